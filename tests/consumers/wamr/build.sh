#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# build.sh DIR PATCH - WAMR, out of the crate wamr-sys 0.1.1, and the guests that
# run in it, into DIR:
#
#	DIR/wamr	WAMR's C source
#	DIR/wamr.a	WAMR with the patch
#	DIR/stock.o	WAMR as it comes, its symbols called stock_wasm_... and
#			so on, to run beside the other one in one program
#	DIR/unpatched.a	WAMR as it comes
#	DIR/NAME.wasm	modules that the adapter refuses, or loads whole
#
# and the modules of run-guests.sh. Takes CC, AR, OBJCOPY, NM and WAT2WASM, and
# the folder of this script for fetch.sh.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
patch=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
mkdir -p "$1"
cd "$1"

sh "$here/../guests/fetch.sh" wamr .
mkdir -p objects

case $($CC -dumpmachine) in
x86_64-*)
	target=-DBUILD_TARGET_X86_64
	call=em64.s
	;;
aarch64-*)
	target='-DBUILD_TARGET_AARCH64 -DBUILD_TARGET="AARCH64"'
	call=aarch64.s
	;;
*)
	echo "build.sh: WAMR is built for x86-64 and AArch64 only" >&2
	exit 1
	;;
esac

# compile OBJECT SOURCE - the interpreter alone, with checks of bounds in code.
compile()
{
	# shellcheck disable=SC2086 # one word for each flag
	$CC -O3 -w $target -D_GNU_SOURCE -DBH_PLATFORM_LINUX \
		-DBH_MALLOC=wasm_runtime_malloc -DBH_FREE=wasm_runtime_free \
		-DWASM_ENABLE_INTERP=1 -DWASM_ENABLE_FAST_INTERP=1 \
		-DWASM_ENABLE_LIBC_BUILTIN=1 -DWASM_DISABLE_HW_BOUND_CHECK=1 \
		-Iwamr -Iwamr/iwasm/include -Iwamr/iwasm/common \
		-Iwamr/iwasm/interpreter -Iwamr/shared/mem-alloc \
		-Iwamr/shared/platform/include -Iwamr/shared/platform/linux \
		-Iwamr/shared/utils -c -o "$1" "$2"
}

rm -f objects/*.o
for source in wamr/iwasm/common/wasm_exec_env.c \
	wamr/iwasm/common/wasm_memory.c wamr/iwasm/common/wasm_native.c \
	wamr/iwasm/common/wasm_runtime_common.c \
	wamr/iwasm/interpreter/wasm_interp_fast.c \
	wamr/iwasm/interpreter/wasm_loader.c \
	wamr/iwasm/libraries/libc-builtin/*.c \
	wamr/shared/mem-alloc/*.c wamr/shared/mem-alloc/ems/*.c \
	wamr/shared/utils/*.c wamr/shared/platform/linux/*.c \
	wamr/shared/platform/common/posix/*.c; do
	compile "objects/$(basename "$source" .c).o" "$source"
done
$CC -Wa,--noexecstack -c -o objects/call.o \
	"wamr/iwasm/common/arch/invokeNative_$call"

# WAMR's memory_instantiate() and its like are in the one file that the patch
# changes.
file=wamr/iwasm/interpreter/wasm_runtime.c
rm -rf patched
mkdir -p patched/core/iwasm/interpreter
cp "$file" patched/core/iwasm/interpreter
patch -s -d patched -p1 <"$patch"
compile patched.o patched/core/iwasm/interpreter/wasm_runtime.c
compile unpatched.o "$file"

rm -f wamr.a unpatched.a
$AR crs wamr.a patched.o objects/*.o
$AR crs unpatched.a unpatched.o objects/*.o
$CC -r -nostdlib -o stock.o unpatched.o objects/*.o
$NM -g --defined-only stock.o | awk '{ print $3, "stock_" $3 }' >stock.names
$OBJCOPY --redefine-syms=stock.names stock.o

sh "$here/../run-guests.sh" .

# module NAME FLAGS - out of the text on standard input.
module()
{
	cat >"$1.wat"
	# shellcheck disable=SC2086 # one word for each flag
	$WAT2WASM $2 "$1.wat" -o "$1.wasm"
}
module shared --enable-threads <<'END'
(module (memory 1 2 shared))
END
module wide --enable-memory64 <<'END'
(module (memory i64 1))
END
# Growth that no maximum of the module ends.
module open '' <<'END'
(module (memory (export "memory") 1)
  (data (i32.const 100) "\2a\00\00\00")
  (func (export "grow") (param $pages i32)
    (i32.store (i32.const 16) (memory.grow (local.get $pages))))
  (func (export "load") (param $at i32)
    (i32.store (i32.const 16) (i32.load (local.get $at)))))
END
module imported '' <<'END'
(module (import "env" "memory" (memory 1))
  (data (i32.const 100) "\2a\00\00\00")
  (func (export "load") (param $at i32)
    (i32.store (i32.const 16) (i32.load (local.get $at)))))
END
module trapping '' <<'END'
(module (memory 1)
  (func $start unreachable)
  (start $start))
END
module none '' <<'END'
(module (func (export "nothing")))
END
