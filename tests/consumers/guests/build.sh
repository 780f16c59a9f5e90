#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# build.sh - the guests of the service, from source to object:
#
#	build.sh can|fetch|module|data-free|whole|free|native GUEST SRCDIR OUTDIR
#	build.sh started|baked GUEST SRCDIR OUTDIR
#
# GUEST is quickjs or sqlite, and SRCDIR is tests/consumers/guests of the source
# tree. NAME is what wasm2c is to call the module: qjs, sql.
#
# can	ends with 1 and a sentence where a tool is missing. Needs no network.
# fetch	fetches the sources unless OUTDIR has them.
# module	does that and leaves NAME.wasm, which imports nothing. The steps below
#	come after this one.
# data-free	leaves free.wasm, the data-free form, what wasm2c makes of it, and the
#	companion of that; and does not touch free.wasm if all is there and
#	the same: DATA_FREE and WASM_IMAGE are newer after each change of the
#	library, and what follows takes long.
# whole	leaves NAME.h and whole.a, what wasm2c makes of NAME.wasm.
# free	leaves NAMEfree.h and free.a, what it makes of free.wasm.
# native	leaves native.a, the same sources for the host.
# started	comes after the service was built: it leaves baked.wasm, the module as
#	it stands after the service started an instance and asked it to warm
#	up; and does not touch baked.wasm if it is the same.
# baked	leaves baked.so, what wasm2c makes of baked.wasm, with the calls of
#	baked.c.
#
# The tools come from the environment: CC, AR, WASM2C, DATA_FREE, WASM_IMAGE and
# SERVICE (the built data_free, wasm-image and service), CPPFLAGS (that find the adapter's
# header), CLANG (with lld, wasi-libc and the wasm32 builtins). All of it is
# compiled here and not by the Makefile, because the project's warnings and
# sanitizers are not meant for code that others or wasm2c wrote.

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
			die "the guest $guest needs clang and wasm2c (Debian:" \
				"packages clang and wabt)"
	done
	for tool in cargo $fetched_by; do
		[ -d sources ] || command -v $tool >/dev/null ||
			die "the guest $guest needs $tool to fetch its" \
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

# What a guest is compiled of and with, for both targets. SQLite is built for
# size, because what wasm2c makes of it otherwise takes a minute to compile.
describe()
{
	case $guest in
	quickjs)
		name=qjs
		fetched_by=npm
		optimize=-O2
		flags="-D_GNU_SOURCE -DNDEBUG -Isources/quickjs"
		c_files=
		for file in cutils libbf libregexp libunicode quickjs; do
			c_files="$c_files sources/quickjs/$file.c"
		done
		;;
	sqlite)
		name=sql
		fetched_by=
		optimize=-Os
		flags="-DNDEBUG -Isources/sqlite -DSQLITE_OS_OTHER=1
			-DSQLITE_THREADSAFE=0 -DSQLITE_TEMP_STORE=3
			-DSQLITE_DEFAULT_MEMSTATUS=0 -DSQLITE_DQS=0"
		for part in AUTHORIZATION COMPLETE DECLTYPE DEPRECATED \
				DESERIALIZE GET_TABLE JSON LOAD_EXTENSION \
				LOCALTIME PROGRESS_CALLBACK SHARED_CACHE \
				TCL_VARIABLE TRACE UTF16 WAL; do
			flags="$flags -DSQLITE_OMIT_$part"
		done
		c_files=sources/sqlite/sqlite3.c
		;;
	*)
		die "no such guest: $guest"
		;;
	esac
}

fetch_sources()
{
	sh "$srcdir/fetch.sh" "$guest" sources
	[ "$guest" = quickjs ] || return 0
	{
		array marked_js sources/marked.js
		array mustache_js sources/mustache.js
		array quickjs_js "$srcdir/quickjs.js"
	} >sources.h
}

build_module()
{
	check_tools
	fetch_sources
	# shellcheck disable=SC2086 # words
	"$CLANG" --target=wasm32-wasi -mexec-model=reactor $optimize -w \
		$flags -I. -I"$srcdir" \
		-Wl,--strip-all -Wl,--stack-first -Wl,-z,stack-size=262144 \
		"$srcdir/$guest.c" "$srcdir/wasi.c" $c_files -o "$name.wasm" ||
		die "clang cannot compile the guest $guest"
}

# keep FILE - FILE.new becomes FILE; false if it is the same
keep()
{
	if cmp -s "$1.new" "$1"; then
		rm "$1.new"
		return 1
	fi
	mv "$1.new" "$1"
}

build_data_free()
{
	"$DATA_FREE" "$name.wasm" free.wasm.new
	! keep free.wasm || rm -f companion.c
	translate free.wasm "${name}free"
	"$WASM_IMAGE" companion free.wasm "${name}free.c" -o companion.c.new
	! keep companion.c || touch free.wasm
}

# translate WASM NAME - the generated code has no place for -Wall
translate()
{
	"$WASM2C" -n "$2" "$1" -o "$2.c" ||
		die "wasm2c cannot translate $1 (is it wabt 1.0.32?)"
	if grep -q '^struct Z_' "$2.h"; then
		die "the guest imports something: see $PWD/$2.h"
	fi
}

# build_form WASM NAME ARCHIVE
build_form()
{
	if [ "$1" = free.wasm ]; then
		# shellcheck disable=SC2086 # words
		$CC -O2 -w $CPPFLAGS -c companion.c -o "$2.o"
	else
		translate "$1" "$2"
		$CC -O2 -w -c "$2.c" -o "$2.o"
	fi
	rm -f "$3"
	$AR rc "$3" "$2.o"
}

# Only answers are wanted of it, so no time is spent on optimizing it.
build_native()
{
	mkdir -p native
	objects=
	for file in "$srcdir/$guest.c" $c_files; do
		object=native/$(basename "$file" .c).o
		[ "$file" != "$srcdir/$guest.c" ] || object=native/guest.o
		# shellcheck disable=SC2086
		$CC -O0 -w -DGUEST_NAME=$name $flags -I. -I"$srcdir" \
			-c "$file" -o "$object"
		objects="$objects $object"
	done
	rm -f native.a
	# shellcheck disable=SC2086
	$AR rc native.a $objects
}

build_started()
{
	"$SERVICE" --guest "$guest" --write-snapshot .
	"$WASM_IMAGE" bake "$name.wasm" "$guest.snapshot" -o baked.wasm.new
	keep baked.wasm || :
}

# The calls that it makes of wasm-rt are the host program's.
build_baked()
{
	translate baked.wasm "${name}baked"
	# shellcheck disable=SC2086 # words
	$CC -O2 -w $CPPFLAGS -fPIC -shared -I. -I"$srcdir/../service" \
		-DBAKED="${name}baked" -include "${name}baked.h" \
		"${name}baked.c" "$srcdir/../service/baked.c" -o baked.so
}

: "${CC:=cc}" "${AR:=ar}" "${WASM2C:=wasm2c}" "${CLANG:=clang}"
: "${DATA_FREE:=data_free}" "${WASM_IMAGE:=wasm-image}" "${SERVICE:=service}"
: "${CPPFLAGS=}"
[ $# -eq 4 ] || die "usage: build.sh" \
	"can|fetch|module|data-free|whole|free|native|started|baked" \
	"GUEST SRCDIR OUTDIR"
guest=$2
describe
srcdir=$(cd "$3" && pwd)
mkdir -p "$4"
cd "$4"
case $1 in
can) check_tools ;;
fetch) fetch_sources ;;
module) build_module ;;
data-free) build_data_free ;;
whole) build_form "$name.wasm" "$name" whole.a ;;
free) build_form free.wasm "${name}free" free.a ;;
native) build_native ;;
started) build_started ;;
baked) build_baked ;;
*) die "no such step: $1" ;;
esac
