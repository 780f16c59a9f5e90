#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# wasm-image.sh - tools/wasm-image, from outside: what it prints, writes and
# refuses.
#
# Modules are written here byte by byte, so nothing but the tool is needed; jq
# or python3 look at the JSON if they are there, mandoc or groff at the manual
# page.

. "$srcdir/tests/kit/functions.sh"
make_tmp
tool=$FL_BUILDDIR/tools/wasm-image
test -x "$tool" || failed "$tool is not built"

# run STATUS ARG... - output in $tmp/out and $tmp/err; a failure says exactly
# one line, and that is of the tool's making.
run()
{
	want=$1
	shift
	"$tool" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null
	status=$?
	test $status -eq "$want" || {
		cat "$tmp/out" "$tmp/err"
		failed "wasm-image $*: exit status $status and not $want"
	}
	test $status -eq 64 || test "$(wc -l <"$tmp/err")" -eq "$status" || {
		cat "$tmp/err"
		failed "wasm-image $*: not one sentence on stderr"
	}
	test $status -eq 0 || grep -q 'wasm-image: ' "$tmp/err" ||
		failed "wasm-image $*: stderr does not say who speaks"
}

# says FILE TEXT - the last run said so, literally.
says()
{
	grep -qF -e "$2" "$tmp/$1" || {
		cat "$tmp/$1"
		failed "the last command does not say: $2"
	}
}

# The picture in $tmp/out is XML, by a real parser if there is one.
check_svg()
{
	if command -v xmllint >/dev/null; then
		xmllint --noout "$tmp/out"
	elif command -v python3 >/dev/null; then
		python3 -c 'import sys, xml.dom.minidom
xml.dom.minidom.parse(sys.argv[1])' "$tmp/out"
	else
		grep -q '^</svg>$' "$tmp/out"
	fi || {
		cat "$tmp/out"
		failed "no XML"
	}
}

# Two pages, four at most; "hello" at 8 and "x" at 65536.
printf '\000asm\001\000\000\000\005\004\001\001\002\004'\
'\007\012\001\006mem\033\042y\002\000'\
'\013\023\002\000\101\010\013\005hello\000\101\200\200\004\013\001x' \
	>"$tmp/own.wasm"
# A memory and a global are imported, the global places "hello".
printf '\000asm\001\000\000\000\002\030\002'\
'\003env\004base\003\177\000\003env\003mem\002\000\002'\
'\013\013\001\000\043\000\013\005hello' >"$tmp/side.wasm"
# One page, and a byte just behind it.
printf '\000asm\001\000\000\000\005\003\001\000\001'\
'\013\011\001\000\101\200\200\004\013\001x' >"$tmp/over.wasm"
# A table that code sets, and one that code only calls through.
printf '\000asm\001\000\000\000\001\004\001\140\000\000\003\002\001\000'\
'\004\007\002\160\000\001\160\000\002\007\005\001\001t\001\001'\
'\012\020\001\016\000\101\000\320\160\046\000\101\000\021\000\001\000\013' \
	>"$tmp/tables.wasm"
printf '\000asm\015\000\001\000' >"$tmp/component.wasm"
: >"$tmp/empty.wasm"
cd "$tmp" || failed "no temporary directory"

echo "usage"
run 0 --help
says out 'usage: wasm-image'
run 0 --version
says out "${FL_VERSION:?}"
run 64
run 64 show
run 64 cicle own.wasm
says err '"cicle" is no verb'
run 64 own.wasm side.wasm
run 64 data-free own.wasm
run 64 --count 5 own.wasm
run 64 --json cycle own.wasm
run 64 cycle --count 0 own.wasm
run 64 cycle --threads two own.wasm
run 64 --global 1 side.wasm
run 64 --no-such-option own.wasm
run 64 --limit no_such_field=1 own.wasm
run 64 --limit max_image_bytes own.wasm
run 64 --limit max_memories=0x100000000 cycle own.wasm
run 64 --limit max_memory_bytes=1 show own.wasm

echo "what errors name can be given"
for field in max_module_image_bytes max_image_bytes max_module_image_span_bytes \
	max_image_span_bytes; do
	run 1 --limit $field=0 own.wasm
	says err "$field of fl_context_config"
	run 0 --limit $field=0 --limit $field=0x100000 own.wasm
done
run 1 cycle --limit max_memory_bytes=0x10000 own.wasm
says err 'max_memory_bytes'
run 0 cycle --count 3 --limit max_memory_bytes=0x40000 own.wasm

echo "show"
run 0 own.wasm
says out '2 active segments of 6 bytes'
says out 'exported as "mem\u001b\"y"'
says out '2 to 4 pages of 65536 bytes'
says out 'from byte 8 up to 65537'
says out '64 KiB 2/2'
says out '0x0000000000  '
mv out out.default
echo "show --svg"
run 64 --svg --json own.wasm
run 64 verify --svg own.wasm
run 0 --svg own.wasm
check_svg
says out 'memory 0: 131072 bytes to start with; data in 2 of 2 pages spanned'
test "$(grep -c 'class="d"' out)" -eq 1 || failed "not one row is drawn"
cp own.wasm "$tmp/<\"&>.wasm"
run 0 --svg "<\"&>.wasm"
check_svg
says out '&#x3c;"&#x26;&#x3e;.wasm'
run 0 --svg over.wasm
check_svg
# A byte at 0 and one 1 GiB further on: what lies between is counted.
printf '\000asm\001\000\000\000\005\005\001\000\201\200\001'\
'\013\021\002\000\101\000\013\001x\000\101\200\200\200\200\004\013\001x' \
	>"$tmp/far.wasm"
run 0 --svg --limit max_module_image_span_bytes=0x80000000 far.wasm
check_svg
says out '16320 pages of zeroes'
test "$(wc -c <out)" -lt 20000 || failed "zeroes are drawn"
run 0 --svg tables.wasm
check_svg
run 0 show own.wasm
cmp -s out out.default || failed "show is not the default"
run 0 side.wasm
says out 'imported as "env" "mem"'
says out 'the first 1 of 1 with --global'
run 0 --global 0=65533 side.wasm
says out 'from byte 65533 up to 65538'
run 1 --global 0=0 --global 1=0 side.wasm
says err 'imports 1 global'
run 0 over.wasm
says out 'out of bounds memory access at data segment 0'
run 0 tables.wasm
says out 'table 0: defined, of functions'
says out 'changed  by code'
says out 'table 1: defined, exported, of functions'
says out 'changed  never by code'

echo "json"
check_json()
{
	if command -v jq >/dev/null; then
		jq -e "$2" "$1" >/dev/null
	elif command -v python3 >/dev/null; then
		python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$1"
	else
		echo "  neither jq nor python3: only looked at as text"
	fi || {
		cat "$1"
		failed "not JSON, or not so: $2"
	}
}
run 0 --json own.wasm
says out '"active_data_bytes":6,'
says out '"data_end_bytes":65537,'
says out '"wpages":[[0,1],[1,1]]'
check_json out '.memories[0] | .export_name == "mem\u001b\"y" and
	.max_pages == 4 and .image.data_wpages == 2 and .image.trap == null'
run 0 --json tables.wasm
check_json out '(.tables[0] | .is_changed and (.is_exported | not)) and
	(.tables[1] | .is_exported and (.is_changed | not))'
run 0 --json side.wasm
check_json out '.memories[0] | .image == null and .is_imported and
	.max_pages == null and (.no_image_reason | length > 0)'
run 0 --json over.wasm
check_json out '.memories[0].image.trap_segment_idx == 0'
# The first and the last byte of a TiB, in each of 100 memories. What is zero
# between is not looked at page by page: that took a minute, here and as JSON.
{
	printf '\000asm\001\000\000\000\005\365\003\144'
	for k in $(seq 100); do
		printf '\004\200\200\200\010'
	done
	printf '\013\356\016\310\001'
	for k in $(seq 0 99); do
		k=\\$(printf %03o "$k")
		printf "\002$k\102\000\013\001x"
		printf "\002$k\102\377\377\377\377\377\037\013\001x"
	done
} >"$tmp/sparse.wasm"
whole_tool=$tool
tool=timeout
run 0 20 "$whole_tool" show "$tmp/sparse.wasm"
says out '(16777088 zero pages)'
run 0 20 "$whole_tool" show --json "$tmp/sparse.wasm"
says out '"wpages":[[0,1],[16777215,1]]'
tool=$whole_tool

echo "cycle"
for disabled in '' linux; do
	FAULTLINE_DISABLE=$disabled
	export FAULTLINE_DISABLE
	run 0 cycle --count 50 --threads 2 own.wasm
	for row in acquire touch release 'page faults' 'cycles ' \
		'50 cycles on each of 2 threads' 'equal to the image'; do
		says out "$row"
	done
	run 0 cycle --count 3 --touch-reads 0 --touch-writes 100 own.wasm
	says out 'reads 0 and writes 32 host pages, spread over 32 from page 0'
	run 0 cycle --count 3 --global 0=4095 side.wasm
done
says out 'equal to the image'
run 0 cycle --count 3 own.wasm
says out 'backend segmented'
unset FAULTLINE_DISABLE
run 1 cycle side.wasm
says err 'give the values of the first 1 of 1 with --global'
run 1 cycle over.wasm
says err 'out of bounds'
head -c 8 own.wasm >bare.wasm
run 1 cycle bare.wasm
says err 'no memory'

echo "data-free"
cp own.wasm before.wasm
run 0 data-free own.wasm once.wasm
says out '2 active segments of 6 bytes'
run 0 data-free once.wasm twice.wasm
cmp once.wasm twice.wasm || failed "data-free of data-free is another module"
run 0 --json once.wasm
says out '"active_data_count":0,"active_data_bytes":0,'
run 0 data-free side.wasm kept.wasm
says out 'data segment 0: its offset depends on an imported global'
cmp side.wasm kept.wasm || failed "a module with nothing to empty changed"
run 0 data-free over.wasm over-free.wasm
run 0 --json over-free.wasm
says out '"trap_segment_idx":0'
run 1 data-free own.wasm own.wasm
says err 'is the input'
ln -s own.wasm link.wasm
run 1 data-free own.wasm link.wasm
run 1 data-free own.wasm /dev/null
run 1 data-free own.wasm .
run 1 data-free own.wasm no-such-dir/out.wasm
run 1 data-free empty.wasm once.wasm
cmp -s own.wasm before.wasm || failed "the input of data-free was changed"
cmp -s once.wasm twice.wasm || failed "a failed data-free changed its output"
test -c /dev/null || failed "data-free replaced a device"
leftover=$(find . -name '*.wasm.*')
test -z "$leftover" || failed "data-free left files behind: $leftover"

echo "companion"
# What counts of wasm2c's output for tables.wasm; a comment may hold anything.
cat >tables.c <<'EOF'
/* Automatically generated by wasm2c */
#include "tables.h"
static u32 func_types[1];

static void w2c_f0(Z_tables_instance_t*);

static void init_tables(Z_tables_instance_t* instance) {
  wasm_rt_allocate_funcref_table(&instance->w2c_T0, 1, 4294967295);
  wasm_rt_allocate_funcref_table(&instance->w2c_t, 2, 4294967295);
}

/* export: 't
static void w2c_f9(Z_tables_instance_t*);
  wasm_rt_allocate_memory(&instance->w2c_M0, 1, 65536);
' */
wasm_rt_funcref_table_t* Z_tablesZ_t(Z_tables_instance_t* instance) {
  return &instance->w2c_t;
}

void Z_tables_init_module(void) {
  s_module_initialized = true;
}
EOF
run 0 companion tables.wasm tables.c
says out '#include "tables.c"'
says out 'offsetof(FL_COMPANION, w2c_T0), FL_WASM2C_IS_CHANGED'
says out 'offsetof(FL_COMPANION, w2c_t), FL_WASM2C_IS_EXPORTED'
says out 'const struct fl_wasm2c_layout Z_tables_layout = {'
cp out companion.c
run 0 companion tables.wasm ./tables.c -o made.c
cmp made.c companion.c || failed "companion writes another file with -o"
run 64 companion tables.wasm
run 64 companion tables.wasm tables.c tables.c
run 64 -o made.c tables.wasm
run 1 companion own.wasm tables.c
says err 'it has 1 functions, and own.wasm has 0'
run 1 companion tables.wasm tables.wasm
says err 'is not what wasm2c of wabt 1.0.32 writes'
run 1 companion tables.wasm tables.c -o ./tables.c
says err 'is the input'
run 1 companion tables.wasm no-such-file.c
# change SED-COMMAND TEXT - a companion of tables.c so changed is refused.
change()
{
	sed "$1" tables.c >changed.c
	run 1 companion tables.wasm changed.c
	says err "$2"
}
change '1d' 'is not what wasm2c'
change 's/_init_module/_init/' 'no init function'
change '/^static void w2c_f0/d' 'it has 0 functions'
change '/w2c_t, 2/d' 'it has 1 tables, and tables.wasm has 2'
change 's/w2c_t, 2/w2c_t, 3/' 'table w2c_t has limits 3'
change 's/funcref_table(&instance->w2c_t/externref_table(\&instance->w2c_t/' \
	'table 1 is of another type'
change 's/^void/  instance->elem_segment_dropped_w2c_e0 = false;\n&/' \
	'it has 1 element segments'
change 's/return &instance->w2c_t/return w2c_f7(instance)/' \
	'it exports 1 functions, of which the module knows 0'
test ! -f tables.h || failed "companion made a file that nobody asked for"
leftover=$(find . -name '*.c.*')
test -z "$leftover" || failed "companion left files behind: $leftover"

echo "hostile input"
run 1 empty.wasm
says err 'byte 0: '
run 1 component.wasm
says err component
run 1 .
run 1 no-such-file.wasm
size=$(wc -c <own.wasm)
n=0
while test $n -lt "$size"; do
	head -c $n own.wasm >cut.wasm
	case $n in
	# the ends of sections
	8 | 14 | 26) run 0 cut.wasm ;;
	*)
		run 1 cut.wasm
		says err 'cut.wasm: byte '
		;;
	esac
	n=$((n + 1))
done
if test -w /dev/full; then
	"$tool" own.wasm >/dev/full 2>err
	test $? -eq 1 || failed "a full disk goes unnoticed"
fi

echo "manual page"
page=$srcdir
case $page in
/*) ;;
*) page=$OLDPWD/$page ;;
esac
page=$page/tools/wasm-image.1
for option in $("$tool" --help | grep -o -e '--[a-z-]*'); do
	sed 's/\\-/-/g' "$page" | grep -qF -e "$option" ||
		failed "$option is not in wasm-image.1"
done
if command -v mandoc >/dev/null; then
	mandoc -T lint -W warning "$page" || failed "mandoc complains"
elif command -v groff >/dev/null; then
	warnings=$(groff -man -ww -z "$page" 2>&1)
	test -z "$warnings" || failed "groff complains: $warnings"
fi
# A module from standard input, and what is no module but its text.
"$tool" show - <"$tmp/own.wasm" >"$tmp/out" || failed "show - fails"
"$tool" show "$tmp/own.wasm" | sed 1d >"$tmp/named"
sed 1d "$tmp/out" | cmp -s - "$tmp/named" || failed "show - says something else"
printf ';; text\n(module)' >"$tmp/own.wat"
run 1 show "$tmp/own.wat"
says err "wat2wasm $tmp/own.wat"

# A plan of modules.
run 0 plan "$tmp/own.wasm" "$tmp/side.wasm"
says out 'modules                    2'
says out 'max_memories_per_instance  1'
says out 'max_instances '
run 0 plan --json "$tmp/own.wasm"
grep -q '"decided":"[a-z-]*"' "$tmp/out" || failed "no limit decides"
! command -v jq >/dev/null || jq -e '.max_instances > 0' "$tmp/out" >/dev/null ||
	failed "the plan is not JSON"
run 1 plan "$tmp/own.wasm" "$tmp/own.wat"
run 64 plan
passed
