#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# lists.sh - faultline.h says what calls and fields mean, and the lists in the
# .def files have what the header has.
#
# Each number of fl_pool_config is a row of config.def. Each count of
# fl_pool_info and fl_pool_usage is a row of stats.def, but for what only
# repeats the configuration. Each error that the header names is a row of
# error.def, and each row is named in the header. Each feature of features.def
# has a name that no other has. The tools know the adapter's encoding of a state
# by the name that the adapter gives it.

. "$srcdir/tests/kit/functions.sh"
make_tmp
cd "$srcdir" || failed "no source directory"

# The integer fields of a public struct.
fields()
{
	awk -v name="struct $1 {" '
		$0 == name { inside = 1; next }
		/^}/ { inside = 0 }
		inside' lib/faultline.h |
	sed -n 's/^	uint[0-9]*_t \([a-z_0-9]*\);.*/\1/p' | sort
}

# The rows of a list: rows FILE MACRO COLUMN
rows()
{
	awk -v macro="$2(" 'index($0, macro) == 1 {
		row = $0
		while (row !~ /\)$/ && (getline more) > 0)
			row = row more
		print substr(row, length(macro) + 1)
	}' "$1" | cut -d, -f"$3" | tr -d ' 	")' | sort
}

# Counts that no exporter wants: they are the configuration's.
repeated='guard_after_bytes
guard_before_bytes
max_instances
max_memories
max_memory_bytes
max_stacks
max_tables
memory_stride_bytes
prefix_bytes
reserved'

{
	fields fl_pool_config | grep -v '^reserved' >"$tmp/config"
	rows lib/pool/config.def FL_CONFIG 1 | diff "$tmp/config" - ||
		echo "fl_pool_config (<) and config.def (>) differ"
	fields fl_pool_info | grep -vxF "$repeated" >"$tmp/info"
	{
		rows lib/base/stats.def FL_METRIC_INFO 4
		rows lib/base/stats.def FL_METRIC_SUM 3
		rows lib/base/stats.def FL_METRIC_FIELD 4
	} | sort | diff "$tmp/info" - ||
		echo "fl_pool_info (<) and stats.def (>) differ"
	fields fl_pool_usage >"$tmp/usage"
	rows lib/base/stats.def FL_METRIC_USAGE 3 | diff "$tmp/usage" - ||
		echo "fl_pool_usage (<) and stats.def (>) differ"
	grep -oE -e '-E[A-Z0-9]{2,}' lib/faultline.h | sed 's/^-//' |
		sort -u >"$tmp/errors"
	rows lib/base/error.def FL_ERROR 1 | diff "$tmp/errors" - ||
		echo "errors that faultline.h names (<) and error.def (>) differ"
	sed -n 's/^#define FL_WASM2C_ENCODING //p' \
		lib/adapters/wasm2c/faultline-wasm2c.h >"$tmp/encoding"
	sed -n 's/^#define STATE_ENCODING //p' tools/wasm-image-state.h |
		diff "$tmp/encoding" - ||
		echo "faultline-wasm2c.h (<) and wasm-image-state.h (>) differ"
	rows uffd/features.def FL_FEATURE 2 | uniq -d |
		sed 's/.*/features.def has & twice/'
} >"$tmp/complaints"
cat "$tmp/complaints"
test ! -s "$tmp/complaints" || failed "a list and the header differ"
for list in config info usage errors encoding; do
	test -s "$tmp/$list" || failed "found nothing to compare: $list"
done
passed
