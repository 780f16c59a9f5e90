#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# wasm-image-files.sh - tools/wasm-image and image files, from outside: save,
# show, verify, diff, delta and bake; what they print, write and refuse.
#
# Modules are written here byte by byte, files by the verb save, and files that
# save does not write by write-snapshot. wasm-validate and wasm-interp look at
# baked modules if they are there, node too, jq or python3 at the JSON. What the
# written modules mean is tested by bake.c and bake_state.c.

. "$srcdir/tests/kit/functions.sh"
make_tmp
tool=$FL_BUILDDIR/tools/wasm-image
write=$FL_BUILDDIR/tests/tools/write-snapshot
test -x "$tool" || failed "$tool is not built"
test -x "$write" || failed "$write is not built"

# run STATUS ARG... - output in out and err; a failure says exactly one line.
run()
{
	want=$1
	shift
	"$tool" "$@" >out 2>err </dev/null
	status=$?
	test $status -eq "$want" || {
		cat out err
		failed "wasm-image $*: exit status $status and not $want"
	}
	test $status -eq 64 || test "$(wc -l <err)" -eq "$status" || {
		cat err
		failed "wasm-image $*: not one sentence on stderr"
	}
	test $status -eq 0 || grep -q 'wasm-image: ' err ||
		failed "wasm-image $*: stderr does not say who speaks"
}

# says FILE TEXT - the last run said so, literally.
says()
{
	grep -qF -e "$2" "$1" || {
		cat "$1"
		failed "the last command does not say: $2"
	}
}

check_json()
{
	if command -v jq >/dev/null; then
		jq -e "$1" out >/dev/null
	elif command -v python3 >/dev/null; then
		python3 -c 'import json; json.load(open("out"))'
	else
		echo "  neither jq nor python3: only looked at as text"
	fi || {
		cat out
		failed "not JSON, or not so: $1"
	}
}

validate()
{
	if command -v wasm-validate >/dev/null; then
		wasm-validate --enable-multi-memory "$1" ||
			failed "$1 is not valid"
	else
		echo "  no wasm-validate: only the library has read $1"
	fi
}

# digest FILE
digest()
{
	"$tool" verify "$1" | sed 's/ .*//'
}

cd "$tmp" || failed "no temporary directory"

# Two pages, four at most; "hello" at 8 and "x" at 65536.
printf '\000asm\001\000\000\000\005\004\001\001\002\004'\
'\013\023\002\000\101\010\013\005hello\000\101\200\200\004\013\001x' \
	>own.wasm
# One page, no data; all else that a started instance may have changed.
printf '\000asm\001\000\000\000\005\003\001\000\001' >plain.wasm
{ cat plain.wasm; printf '\006\006\001\177\001\101\005\013'; } >global.wasm
printf '\000asm\001\000\000\000\004\004\001\160\000\002\005\003\001\000\001' \
	>table.wasm
{ cat plain.wasm; printf '\013\004\001\001\001p'; } >passive.wasm
# A start function, and two memories.
printf '\000asm\001\000\000\000\001\004\001\140\000\000\003\002\001\000'\
'\005\005\002\000\001\000\002\010\001\000\012\004\001\002\000\013' >start.wasm
# A memory and a global are imported, the global places "hello".
printf '\000asm\001\000\000\000\002\030\002'\
'\003env\004base\003\177\000\003env\003mem\002\000\002'\
'\013\013\001\000\043\000\013\005hello' >side.wasm
# One page, and a byte just behind it.
printf '\000asm\001\000\000\000\005\003\001\000\001'\
'\013\011\001\000\101\200\200\004\013\001x' >over.wasm
# One page; a table and two globals that are exported, and functions:
#	0 "get"		the value of global 0
#	1 "call"	what the function at 2 in the table says
#	2 "is_null"	is a reference to function 4 null?
#	3		42
#	4		43; in the active segment, and no other place
# Another segment, passive, has function 3.
printf '\000asm\001\000\000\000\001\005\001\140\000\001\177'\
'\003\006\005\000\000\000\000\000\004\005\001\160\001\001\004'\
'\005\003\001\000\001\006\022\002\177\001\101\005\013'\
'\174\001\104\000\000\000\000\000\000\000\000\013'\
'\007\044\006\001t\001\000\001a\003\000\001b\003\001\003get\000\000'\
'\004call\000\001\007is_null\000\002'\
'\011\013\002\000\101\000\013\001\004\001\000\001\003'\
'\012\036\005\004\000\043\000\013\007\000\101\002\021\000\000\013'\
'\005\000\322\004\321\013\004\000\101\052\013\004\000\101\053\013' \
	>rich.wasm

echo "usage"
run 64 verify
run 64 verify own.img other.img
says err 'verify takes one file, and "other.img" is one more'
run 64 diff own.img own.img own.img
says err 'diff takes two files, and "own.img" is one more'
run 64 verify --digest 12 own.img
run 64 verify --digest "$(printf '%064d0' 0)" own.img
run 64 verify --memory 0 own.img
run 64 diff own.img
run 64 diff --digest "$(printf '%064d' 0)" own.img own.img
run 64 save own.wasm
run 64 save own.wasm -o own.img own.img
run 64 save --json own.wasm -o own.img
run 64 bake own.wasm -o out.wasm
run 64 bake own.wasm own.img
run 64 show own.wasm -o own.img

echo "save"
run 0 save own.wasm -o own.img
says out 'own.img: snapshot of 1 memory, before anything ran'
run 0 save --memory 0 own.wasm --output=own0.img
says out 'own0.img: image file of memory 0'
run 0 save own.wasm -o again.img
cmp own.img again.img || failed "the same module makes another file"
if "$tool" save --zstd own.wasm -o packed.img >out 2>err; then
	run 0 verify packed.img
	mv out packed.out
	run 0 verify own.img
	sed s/own.img/packed.img/ out | cmp - packed.out ||
		failed "a packed file has another digest"
	test "$(wc -c <packed.img)" -lt "$(wc -c <own.img)" ||
		failed "a packed file is not smaller"
	run 0 diff packed.img own.img
else
	grep -q libzstd-dev err || failed "save --zstd does not say what it lacks"
fi
run 64 verify --zstd own.img
run 0 save --global 0=100 side.wasm -o side.img
run 1 save side.wasm -o no.img
says err 'memory 0 has no image'
run 1 save --memory 0 side.wasm -o no.img
run 1 save --memory 1 own.wasm -o no.img
says err '--memory is 1, but own.wasm has 1 memory'
run 1 save over.wasm -o no.img
run 1 save own.wasm -o own.wasm
says err 'is the input'
run 1 save own.wasm -o no-such-dir/no.img
run 1 save own.wasm -o .
run 1 save own.img -o no.img
says err 'own.img is an image file'
test ! -e no.img || failed "a failed save wrote a file"
run 0 show own.wasm
says out '2 active segments'

echo "show"
run 0 --svg own.img
says out '<svg xmlns'
says out 'image 0: '
run 0 own.img
says out 'own.img: snapshot, '
says out "$(digest own.img)"
says out 'encoding   "wasm-image initial"'
says out "module 0   $(sha256sum <own.wasm | sed 's/ .*//')"
says out 'image    131072 bytes to start with'
says out '64 KiB 2/2'
says out '0x0000000000  '
run 0 show own0.img
says out 'own0.img: image file, '
says out 'state      0 bytes'
run 1 --global 0=1 own.img
says err '--global is for modules'
run 0 --json own.img
check_json '.is_snapshot and .encoding == "wasm-image initial" and
	(.module_digests | length) == 1 and (.images | length) == 1 and
	.images[0].image.initial_bytes == 131072 and
	.images[0].image.wpages == [[0, 1], [1, 1]]'
says out '"wpages":[[0,1],[1,1]]'
run 0 --json own0.img
check_json '.is_snapshot == false and .module_digests == [] and
	.state_bytes == 0'
# Names from a file cannot disturb a terminal.
"$write" own.wasm hostile.img "$(printf 'a\033[2J"')" '' 131072 0 x ||
	failed "write-snapshot"
run 0 hostile.img
says out 'encoding   "a\u001b[2J\""'
run 0 --json hostile.img
check_json '.encoding == "a\u001b[2J\""'

echo "verify"
run 0 verify own.img
test "$(cat out)" = "$(digest own.img)  own.img" || failed "verify prints more"
run 0 verify --digest "$(digest own.img)" own.img
run 0 verify --digest "$(digest own.img | tr a-f A-F)" own.img
run 1 verify --digest "$(digest own0.img)" own.img
says err 'another digest'
says out "$(digest own.img)"
run 0 verify --json own0.img
check_json '.is_expected == null and (.digest | length) == 64'
run 0 verify --json --digest "$(digest own.img)" own.img
check_json '.is_expected'
run 1 verify --json --digest "$(digest own.img)" own0.img
check_json '.is_expected == false'

echo "diff"
run 0 diff own.img again.img
says out 'the files are equal'
says out 'image 0: the same'
run 0 diff --json own.img again.img
check_json '.is_equal and .is_state_equal and .images[0].changed_bytes == 0 and
	.images[0].same_wpages == 2 and .images[0].wpages == []'
"$write" own.wasm a.img one 123 131072 8 'hello' || failed "write-snapshot"
"$write" own.wasm b.img two 1245 262144 8 'jelly' || failed "write-snapshot"
"$write" own.wasm c.img one 123 262144 196600 "$(printf '%016d' 0)" ||
	failed "write-snapshot"
run 0 diff a.img b.img
says out 'digest     differs'
says out 'modules    the same'
says out 'encoding   "one" and "two"'
says out 'state      differs from byte'
says out 'image 0: 131072 and 262144 bytes to start with, B larger by 131072'
says out '  64 KiB   1 differ, 0 only in A, 0 only in B, 0 the same'
says out '  bytes    2 differ'
says out '    0x0000000000  !  !...'
run 0 diff a.img c.img
says out 'B larger by 65536'
says out 'state      the same'
says out '  64 KiB   0 differ, 1 only in A, 2 only in B, 0 the same'
says out '  bytes    21 differ'
says out '    0x0000000000  <  <...'
says out '    0x0000020000  >  '
says out '    0x0000030000  >  >...'
run 0 diff c.img a.img
says out 'A larger by 65536'
says out '  64 KiB   0 differ, 2 only in A, 1 only in B, 0 the same'
run 0 diff --json a.img c.img
check_json '.is_equal == false and .is_state_equal and .is_encoding_equal and
	.images[0].initial_bytes == [131072, 262144] and
	.images[0].only_a_wpages == 1 and .images[0].only_b_hpages == 2 and
	.images[0].changed_bytes == 21 and
	(.images[0].wpages | map(.kind)) == ["<", ">", ">"]'
says out '"changed_bytes":21,'

echo "delta"
DELTA=a.delta "$write" own.wasm a.img one "$(printf '%0100d' 7)" \
	131072 8 'hello' || failed "write-snapshot"
run 0 delta a.delta a.img
says out 'changed    2 lines of 64 bytes in 2 pages of 4 KiB'
says out 'tag        73657373696f6e00'
says out 'instance 0, memory 0: 131072 bytes'
says out "  0x0000001000  $(printf '%014d!%049d' 0 0 | tr 0 .)"
says out '  1 page, 1 line, 64 bytes'
says out 'instance 0, state: 100 bytes'
says out "$(digest a.img)"
for verb in show verify; do
	run 1 $verb a.delta
	says err 'a.delta is a delta: the verb delta shows it'
done
run 1 delta a.img a.delta
says err 'a.delta is a delta'
printf '\211FLW\r\n\032\n' >a.ws
run 1 a.ws
says err 'a.ws is a working set'
run 0 delta --json a.delta a.img
check_json '.changed_lines == 2 and .changed_pages == 2 and
	(.parts | length) == 2 and .parts[0].part == "memory" and
	.parts[0].pages[0].offset_bytes == 4096 and
	.parts[1].part_idx == null and .parts[1].length == [100, 100] and
	.length_bytes == .beside_bytes + 128'
run 1 delta a.delta b.img
says err 'the delta is of snapshot'
head -c 100 a.delta >cut.delta
run 1 delta cut.delta a.img
says err 'cut.delta: byte 16: the delta has 100 bytes'
run 1 delta a.img a.img
says err 'the bytes are no delta'
run 1 delta none.delta a.img
run 64 delta a.delta
run 0 save start.wasm -o start.img
run 0 diff start.img own0.img
says out 'modules    differ'
says out 'image 1: only in A, 131072 bytes'
run 0 diff --json own0.img start.img
check_json '(.images | length) == 2 and
	.images[1].initial_bytes == [null, 131072]'
run 1 diff own.img own.wasm
says err 'own.wasm: byte 0: '
run 1 diff no.img own.img

echo "bake"
# What is baked is saved again as the same images.
for module in own plain global table passive start; do
	run 0 save $module.wasm -o $module.img
	run 0 bake $module.wasm $module.img -o $module.baked.wasm
	validate $module.baked.wasm
	run 0 save $module.baked.wasm -o $module.again.img
	run 0 diff --json $module.img $module.again.img
	says out '"is_state_equal":true'
	! grep -q '"changed_bytes":[1-9]' out ||
		failed "$module: bake changed the content"
done
run 0 bake own.wasm own.img -o out.wasm
says out 'out.wasm: '
says out '2 active segments of 6 bytes'
says out 'start      none'
run 0 bake start.wasm start.img -o out.wasm
says out 'start      kept: it has not run'
# A grown memory of an instance that has started.
"$write" own.wasm grown.img mine '' 262144 196608 'grown' ||
	failed "write-snapshot"
run 0 bake own.wasm grown.img -o grown.wasm
validate grown.wasm
run 0 --json grown.wasm
says out '"min_pages":4,'
says out '"data_first_bytes":196608,"data_end_bytes":196613,'
says out '"active_data_count":2,"active_data_bytes":5,'
"$write" start.wasm ran.img mine '' 131072 70000 'first' 131072 9 'second' ||
	failed "write-snapshot"
run 0 bake start.wasm ran.img -o ran.wasm
says out 'start      removed: it has run'
validate ran.wasm
run 0 --json ran.wasm
says out '"has_start":false,'
says out '"active_data_bytes":11,'
check_json '.memories[0].image.data_first_bytes == 70000 and
	.memories[0].min_pages == 2 and
	.memories[1].image.data_end_bytes == 15'

echo "bake with a state"
# Global 0 is -7, global 1 is 1.5, the passive segment was dropped, and the table
# has grown to three elements: function 0, null, function 3.
printf 'FLw2cs01\002\000\000\000\001\000\000\000'\
'\000\000\000\000\001\000\000\000'\
'\000\000\000\000\177\000\000\000\000\000\000\000'\
'\371\377\377\377\000\000\000\000'\
'\001\000\000\000\174\000\000\000\000\000\000\000'\
'\000\000\000\000\000\000\370\077'\
'\001'\
'\000\000\000\000\001\000\000\000\003\000\000\000\000\000\000\000'\
'\002\000\000\000\000\000\000\000'\
'\000\000\000\000\002\000\000\000\000\000\000\000\000\000\000\000'\
'\002\000\000\000\001\000\000\000\003\000\000\000\000\000\000\000' \
	>rich.state
"$write" rich.wasm rich.img 'faultline-wasm2c 1' @rich.state 65536 9 'nine' ||
	failed "write-snapshot"
run 0 bake rich.wasm rich.img -o rich.baked.wasm
says out 'state      2 globals, 1 table with 2 functions, 1 dropped segment'
says out '1 active segment of 4 bytes'
validate rich.baked.wasm
if command -v wasm-interp >/dev/null; then
	wasm-interp rich.baked.wasm --run-all-exports >out 2>&1
	says out 'get() => i32:4294967289'
	says out 'call() => i32:42'
	says out 'is_null() => i32:0'
else
	echo "  no wasm-interp"
fi
if command -v node >/dev/null; then
	node -e 'const bytes = require("fs").readFileSync("rich.baked.wasm");
		const of = new WebAssembly.Instance(
			new WebAssembly.Module(bytes)).exports;
		console.log(of.get(), of.call(), of.is_null(), of.a.value,
			of.b.value, of.t.length, of.t.get(0) === of.get,
			of.t.get(1), of.t.get(2)());' >out 2>&1
	says out '-7 42 0 -7 1.5 3 true null 42'
else
	echo "  no node"
fi

# An imported memory keeps its segments where nothing has run.
run 0 bake side.wasm side.img -o side.baked.wasm
cmp side.wasm side.baked.wasm || failed "bake changed an imported memory"

echo "bake refuses"
cp out.wasm before.wasm
"$write" own.wasm state.img mine 12345 131072 0 x || failed "write-snapshot"
run 1 bake own.wasm state.img -o out.wasm
says err '5 bytes of state ("mine")'
"$write" rich.wasm rich2.img 'faultline-wasm2c 2' @rich.state 65536 0 x ||
	failed "write-snapshot"
run 1 bake rich.wasm rich2.img -o out.wasm
says err 'does not know this encoding'
head -c 60 rich.state >cut.state
"$write" rich.wasm cut.img 'faultline-wasm2c 1' @cut.state 65536 0 x ||
	failed "write-snapshot"
run 1 bake rich.wasm cut.img -o out.wasm
says err 'cut.img: byte 56 of the state: the state is cut off'
"$write" rich.wasm empty.img 'faultline-wasm2c 1' '' 65536 0 x ||
	failed "write-snapshot"
run 1 bake rich.wasm empty.img -o out.wasm
says err 'byte 0 of the state'
# The state is of another module's instance.
"$write" global.wasm other.img 'faultline-wasm2c 1' @rich.state 65536 0 x ||
	failed "write-snapshot"
run 1 bake global.wasm other.img -o out.wasm
says err 'the count of globals that can change is 2'
for module in global table passive; do
	"$write" $module.wasm $module.img mine '' 65536 0 x ||
		failed "write-snapshot"
	run 1 bake $module.wasm $module.img -o out.wasm
done
says err "module's 1 passive segment was"
run 1 bake global.wasm global.img -o out.wasm
says err "no values of the module's 1 global"
run 1 bake table.wasm table.img -o out.wasm
says err "no values of the module's 1 table"
run 1 bake own.wasm own0.img -o out.wasm
says err 'names no module'
"$write" side.wasm side.img mine '' 131072 0 x || failed "write-snapshot"
run 1 bake side.wasm side.img -o out.wasm
says err 'memory 0 is imported and holds data'
run 1 bake plain.wasm own.img -o out.wasm
says err 'is none of the 1 that were given'
"$write" own.wasm none.img mine '' || failed "write-snapshot"
run 1 bake own.wasm none.img -o out.wasm
says err 'has no image of memory 0'
# The library takes no image that is larger than its memory may become, or smaller
# than its memory is.
! "$write" own.wasm large.img mine '' 327680 0 x 2>/dev/null ||
	failed "write-snapshot"
! "$write" own.wasm small.img mine '' 65536 0 x 2>/dev/null ||
	failed "write-snapshot"
run 1 bake own.wasm own.img -o own.wasm
run 1 bake own.wasm own.img -o own.img
says err 'is the input'
run 1 bake own.wasm own.wasm -o out.wasm
run 1 bake own.img own.img -o out.wasm
run 1 bake own.wasm no.img -o out.wasm
cmp out.wasm before.wasm || failed "a failed bake changed its output"

echo "hostile files"
cp own.img before.img
size=$(wc -c <own.img)
n=0
while test $n -lt 1200; do
	head -c $n own.img >cut.img
	run 1 verify cut.img
	says err 'cut.img: byte '
	n=$((n + 41))
done
# What is before the state's end, and pages; between them is no content.
for n in $(seq 0 29 870) 65536 65544 131071 131072 196607; do
	{
		head -c "$n" own.img
		printf '\377'
		tail -c "+$((n + 2))" own.img
	} >changed.img
	test "$(wc -c <changed.img)" -eq "$size" || failed "no file to look at"
	cmp -s changed.img own.img || {
		run 1 verify changed.img
	}
done
run 1 diff own.img changed.img
run 1 show changed.img
for verb in verify show; do
	run 1 $verb .
	run 1 $verb no-such-file.img
	: >empty.img
	run 1 $verb empty.img
done
mkfifo pipe
run 1 verify pipe
says err pipe
run 1 verify own.wasm
says err 'byte 0: '
cmp own.img before.img || failed "a file that was looked at has changed"
if test "$(id -u)" -ne 0; then
	chmod 0 again.img
	run 1 verify again.img
fi
# A name that this build does not know would be an error.
names=linux
grep -q 'WITH_UFFD_TRUE"\]=""' "$FL_BUILDDIR/config.status" &&
	names='linux userfaultfd'
for disabled in $names; do
	FAULTLINE_DISABLE=$disabled "$tool" verify own.img >out ||
		failed "verify without $disabled"
	says out "$(digest own.img)"
done
leftover=$(find . -name '*.wasm.*' -o -name '.*.img*')
test -z "$leftover" || failed "files are left behind: $leftover"
passed
