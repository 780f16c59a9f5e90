#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# symbols.sh - one list of public symbols, seen in three places.
#
# The FL_API declarations of faultline.h, the names in faultline.map and what
# the shared library exports must be the same set, of at most max_count names:
# each one is a promise. In the static library, where nothing can be hidden,
# every symbol must carry the prefix.

. "$srcdir/tests/kit/functions.sh"
make_tmp
libs=$FL_BUILDDIR/.libs
max_count=138

awk '/^FL_API/ {
	text = $0
	while (text !~ /\(/ && (getline more) > 0)
		text = text " " more
	if (match(text, /fl_[a-z0-9_]+\(/))
		print substr(text, RSTART, RLENGTH - 1)
}' "$srcdir/lib/faultline.h" | sort >"$tmp/header"
sed -n 's/^[[:space:]]*\(fl_[a-z0-9_]*\);$/\1/p' "$srcdir/lib/faultline.map" |
	sort >"$tmp/map"
test -s "$tmp/header" || failed "found no FL_API declaration in faultline.h"
diff "$tmp/header" "$tmp/map" ||
	failed "faultline.h (<) and faultline.map (>) differ"
count=$(wc -l <"$tmp/header")
echo "$count public functions, of at most $max_count"
test "$count" -le "$max_count" ||
	failed "faultline.h declares $count functions, more than $max_count"

if test -f "$libs/libfaultline.so"; then
	# Version nodes are symbols too, of type A.
	$NM -D --defined-only "$libs/libfaultline.so" |
		awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' |
		sort >"$tmp/shared"
	diff "$tmp/map" "$tmp/shared" ||
		failed "faultline.map (<) and libfaultline.so (>) differ"
fi

# Sanitizers add symbols of their own, which start with two underscores or
# hold a dot.
if test -f "$libs/libfaultline.a"; then
	$NM -g --defined-only "$libs/libfaultline.a" | awk 'NF == 3 { print $3 }' |
		grep -v -e '^fl_' -e '^__odr_asan' -e '\.' >"$tmp/stray"
	test ! -s "$tmp/stray" || {
		cat "$tmp/stray"
		failed "libfaultline.a has symbols without the prefix fl_"
	}
fi
# An adapter's own names, and those by which the linker's --wrap finds it.
adapter=$FL_BUILDDIR/libfaultline-wasm2c.a
if test -f "$adapter"; then
	$NM -g --defined-only "$adapter" | awk 'NF == 3 { print $3 }' |
		grep -v -e '^fl_wasm2c_' -e '^__wrap_wasm_rt_' \
			-e '^__odr_asan' -e '\.' >"$tmp/stray"
	test ! -s "$tmp/stray" || {
		cat "$tmp/stray"
		failed "libfaultline-wasm2c.a has symbols of another's"
	}
fi
test -f "$libs/libfaultline.so" || test -f "$libs/libfaultline.a" ||
	failed "no library in $libs"
passed
