#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# build.sh - the QuickJS guest, from source to object:
#
#	build.sh can OUTDIR
#	build.sh build SRCDIR OUTDIR
#
# can: ends with 1 and a sentence where a tool is missing. Needs no network.
#
# build: SRCDIR is tests/consumers/quickjs of the source tree. Leaves in OUTDIR
# qjs.wasm, which imports nothing; qjs.h and qjs.a, what wasm2c
# makes of it. Fetches the sources unless OUTDIR has them.
#
# The tools come from the environment: CC, AR, WASM2C, CLANG (with lld,
# wasi-libc and the wasm32 builtins). All of it is compiled here and not by the
# Makefile, because the project's warnings and sanitizers are not meant for code
# that others or wasm2c wrote.

set -eu

die()
{
	echo "build.sh: $*" >&2
	exit 1
}

# What a C program needs of a compiler for wasm32-wasi, in one file.
can_compile()
{
	cat >probe.c <<-EOF
	#include <stdlib.h>
	__attribute__((export_name("probe"))) long double probe(long double a)
	{
		return a * atoi("2");
	}
	EOF
	"$CLANG" --target=wasm32-wasi -mexec-model=reactor probe.c \
		-o probe.wasm 2>probe.log
}

check_tools()
{
	for tool in "$CLANG" "$WASM2C"; do
		command -v "$tool" >/dev/null ||
			die "the QuickJS guest needs clang and wasm2c (Debian:" \
				"packages clang and wabt)"
	done
	for tool in cargo npm; do
		[ -d sources ] || command -v $tool >/dev/null ||
			die "the QuickJS guest needs $tool to fetch its" \
				"sources with (Debian: package $tool)"
	done
	can_compile ||
		die "clang cannot compile for wasm32-wasi (are lld, wasi-libc" \
			"and libclang-rt-14-dev-wasm32 installed?):" \
			"$PWD/probe.log"
}

# array NAME FILE - a C array of the file's bytes and a zero
array()
{
	echo "static const unsigned char $1[] = {"
	od -An -v -tx1 "$2" | sed 's/ \(..\)/0x\1,/g'
	echo "0 };"
}

compile_wasm()
{
	c_files=
	for file in cutils libbf libregexp libunicode quickjs; do
		c_files="$c_files sources/quickjs/$file.c"
	done
	# shellcheck disable=SC2086 # words
	"$CLANG" --target=wasm32-wasi -mexec-model=reactor -O2 -w \
		-D_GNU_SOURCE -DNDEBUG -Isources/quickjs -I. \
		-Wl,--strip-all -Wl,--stack-first -Wl,-z,stack-size=262144 \
		"$srcdir/guest.c" $c_files -o qjs.wasm ||
		die "clang cannot compile the guest"
}

build()
{
	check_tools
	sh "$srcdir/fetch.sh" sources
	{
		array marked_js sources/marked.js
		array mustache_js sources/mustache.js
		array guest_js "$srcdir/guest.js"
	} >sources.h
	compile_wasm
	"$WASM2C" -n qjs qjs.wasm -o qjs.c ||
		die "wasm2c cannot translate the guest (is it wabt 1.0.32?)"
	if grep -q '^struct Z_' qjs.h; then
		die "the guest imports something: see qjs.h"
	fi
	# The generated code has no place for -Wall.
	$CC -O2 -w -c qjs.c -o qjs.o
	rm -f qjs.a
	$AR rc qjs.a qjs.o
}

: "${CC:=cc}" "${AR:=ar}" "${WASM2C:=wasm2c}" "${CLANG:=clang}"
case $#:${1:-} in
2:can)
	mkdir -p "$2"
	cd "$2"
	check_tools
	;;
3:build)
	srcdir=$(cd "$2" && pwd)
	mkdir -p "$3"
	cd "$3"
	build
	;;
*)
	die "usage: build.sh can OUTDIR | build SRCDIR OUTDIR"
	;;
esac
