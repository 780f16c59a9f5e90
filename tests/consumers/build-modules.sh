#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# build-modules.sh - everything of the consumers that a wasm compiler, wasm2c
# or somebody else's source has a part in:
#
#	build-modules.sh adapter SRCDIR OUTDIR
#	build-modules.sh state SRCDIR OUTDIR
#	build-modules.sh baked SRCDIR OUTDIR
#	build-modules.sh serve SRCDIR OUTDIR
#
# SRCDIR is tests/consumers of the source tree. The tools come from the
# environment: CC, AR, WASM2C, DATA_FREE (the built data_free), WAT2WASM
# (adapter, state), WASM_IMAGE (state: the built tool), CLANG (state, where there
# is one; serve, with lld, wasi-libc and the wasm32 builtins), INCLUDES (state:
# options that find faultline.h and faultline-wasm2c.h).
#
# adapter: needs no network. Leaves OUTDIR/NAME.h and modules.a for the
# modules of modules/. NAME is that of the file, with "whole" or "free"
# appended where both forms of a module are wanted; else it is data-free.
#
# state: needs no network. Leaves state.h, and the module state with its
# companion in two objects, state-cc.o and state-clang.o.
#
# baked: needs no network. Makes state.h and state-cc.o of OUTDIR/baked.wasm, which
# wasm-image made of state.wasm.
#
# serve: fetches bzip2 and zlib unless OUTDIR has them. Leaves own.wasm and
# imp.wasm; own.h and imp.h; whole.a and free.a, the two guests as stock
# wasm2c and as Faultline is given them; and native.a, the same C for the host.
#
# All of it is compiled here and not by the Makefile, because the project's
# warnings and sanitizers are not meant for code that others or wasm2c wrote.

set -eu

die()
{
	echo "build-modules.sh: $*" >&2
	exit 1
}

[ $# -eq 3 ] ||
	die "usage: build-modules.sh adapter|state|baked|serve SRCDIR OUTDIR"
srcdir=$(cd "$2" && pwd)
mkdir -p "$3"
cd "$3"
: "${CC:=cc}" "${AR:=ar}" "${WASM2C:=wasm2c}" "${WAT2WASM:=wat2wasm}"
: "${CLANG=clang}" "${DATA_FREE:?the program data_free}"

# translate WASM NAME - the generated code has no place for -Wall
translate()
{
	"$WASM2C" -n "$2" "$1" -o "$2.c" ||
		die "wasm2c cannot translate $1 (is it wabt 1.0.32?)"
	$CC -O2 -w -c "$2.c" -o "$2.o"
}

build_adapter()
{
	objects=
	for module in small smallimp over overimp \
			tables tableimp tableother; do
		"$WAT2WASM" "$srcdir/modules/$module.wat" -o "$module.wasm"
		"$DATA_FREE" "$module.wasm" "$module-free.wasm"
		case $module in
		small* | table*)
			translate "$module-free.wasm" "$module"
			objects="$objects $module.o"
			;;
		*)
			translate "$module.wasm" "${module}whole"
			translate "$module-free.wasm" "${module}free"
			objects="$objects ${module}whole.o ${module}free.o"
			;;
		esac
	done
	rm -f modules.a
	# shellcheck disable=SC2086 # words
	$AR rc modules.a $objects
}

# The C that a companion includes is C99, and so is the companion.
build_state()
{
	: "${WASM_IMAGE:?the program wasm-image}"
	"$WAT2WASM" --enable-multi-memory "$srcdir/modules/state.wat" \
		-o state.wasm
	"$DATA_FREE" state.wasm state-free.wasm
	"$WASM2C" --enable-multi-memory -n state state-free.wasm -o state.c ||
		die "wasm2c cannot translate state.wat (is it wabt 1.0.32?)"
	"$WASM_IMAGE" companion state-free.wasm state.c -o state-companion.c
	# shellcheck disable=SC2086 # words
	$CC -std=c99 -O2 -w $INCLUDES -c state-companion.c -o state-cc.o
	test -z "$CLANG" ||
		"$CLANG" -std=gnu17 -O1 -w $INCLUDES -c state-companion.c \
			-o state-clang.o
}

build_baked()
{
	"$WASM2C" --enable-multi-memory -n state baked.wasm -o state.c ||
		die "wasm2c cannot translate baked.wasm (is it wabt 1.0.32?)"
	$CC -std=c99 -O2 -w -c state.c -o state-cc.o
}

third_party='
	bzip2/blocksort bzip2/bzlib bzip2/compress bzip2/crctable
	bzip2/decompress bzip2/huffman bzip2/randtable
	zlib/adler32 zlib/compress zlib/crc32 zlib/deflate zlib/inffast
	zlib/inflate zlib/inftrees zlib/trees zlib/uncompr zlib/zutil
'

# compile_wasm OUT FLAG...
compile_wasm()
{
	out=$1
	shift
	# shellcheck disable=SC2086 # words
	"$CLANG" --target=wasm32-wasi -mexec-model=reactor -O2 -w \
		-DBZ_NO_STDIO -I"$srcdir" -Isources/bzip2 -Isources/zlib \
		-Wl,--strip-all -Wl,--stack-first -Wl,--initial-memory=1048576 \
		"$@" "$srcdir/serve_app.c" $c_files -o "$out" ||
		die "clang cannot compile for wasm32-wasi (are lld, wasi-libc" \
			"and libclang-rt-14-dev-wasm32 installed?)"
}

build_native()
{
	mkdir -p native
	objects=
	for file in "$srcdir/serve_app.c" $c_files; do
		object=native/$(basename "$file" .c).o
		case $file in
		sources/bzip2/compress.c) object=native/bzcompress.o ;;
		esac
		$CC -O2 -w -DBZ_NO_STDIO -I"$srcdir" -Isources/bzip2 \
			-Isources/zlib -c "$file" -o "$object"
		objects="$objects $object"
	done
	rm -f native.a
	# shellcheck disable=SC2086
	$AR rc native.a $objects
}

# build_form FORM - translate FORM/own.wasm and FORM/imp.wasm side by side
build_form()
(
	cd "$1"
	translate own.wasm own &
	own=$!
	translate imp.wasm imp
	wait $own || die "wasm2c or $CC failed on own.wasm"
	rm -f "../$1.a"
	$AR rc "../$1.a" own.o imp.o
)

build_serve()
{
	sh "$srcdir/fetch-sources.sh" sources
	c_files=
	for file in $third_party; do
		c_files="$c_files sources/$file.c"
	done
	compile_wasm own.wasm
	compile_wasm imp.wasm -Wl,--import-memory
	mkdir -p whole free
	for module in own imp; do
		cp "$module.wasm" "whole/$module.wasm"
		"$DATA_FREE" "$module.wasm" "free/$module.wasm"
	done
	build_native
	build_form whole
	build_form free
	for module in own imp; do
		# What guest.c is compiled with serves both forms.
		cmp -s "whole/$module.h" "free/$module.h" ||
			die "the data-free $module.wasm has another interface"
		cp "free/$module.h" "$module.h"
	done
}

case $1 in
adapter) build_adapter ;;
state) build_state ;;
baked) build_baked ;;
serve) build_serve ;;
*) die "no such set of modules: $1" ;;
esac
