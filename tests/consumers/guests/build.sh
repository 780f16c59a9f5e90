#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# build.sh - the guests of the service, from source to object:
#
#	build.sh can|fetch|module|companion|whole|free|native GUEST SRCDIR OUTDIR
#	build.sh started|baked GUEST SRCDIR OUTDIR
#
# GUEST is quickjs or sqlite, and SRCDIR is tests/consumers/guests of the source
# tree. NAME is what wasm2c is to call the module: qjs, sql.
#
# can	ends with 1 and a sentence where a tool is missing. Needs no network.
# fetch	fetches the sources unless OUTDIR has them.
# module	does that and leaves NAME.wasm, which imports nothing, and NAME.c and
#	NAME.h, what wasm2c makes of it. The steps below come after this one.
# companion	leaves companion.c, which includes NAME.c; and does not touch it if
#	it is there and the same: WASM_IMAGE is newer after each change of the
#	library, and what follows takes long.
# whole	leaves whole.a, companion.c compiled.
# free	leaves free.wasm, the data-free form, and NAMEfree.h and free.a, what
#	wasm2c makes of it and whole.a does not have.
# native	leaves native.a, the same sources for the host.
# started	comes after the service was built: it leaves baked.wasm, the module as
#	it stands after the service started an instance and asked it to warm
#	up; and does not touch baked.wasm if it is the same.
# baked	leaves baked.so, what wasm2c makes of baked.wasm and whole.a does not
#	have, with the calls of baked.c.
#
# The three forms of a module have the same code, byte for byte, which takes a
# minute to compile: it is compiled once, in whole.a, and all forms run it. What
# is a form's own is how an instance of it begins.
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
	for tool in "$CLANG" "$WASM2C" "$objdump"; do
		command -v "$tool" >/dev/null ||
			die "the guest $guest needs clang, wasm2c and" \
				"wasm-objdump (Debian: packages clang and wabt)"
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

# translate WASM NAME - the generated code has no place for -Wall
translate()
{
	"$WASM2C" -n "$2" "$1" -o "$2.c" ||
		die "wasm2c cannot translate $1 (is it wabt 1.0.32?)"
	if grep -q '^struct Z_' "$2.h"; then
		die "the guest imports something: see $PWD/$2.h"
	fi
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
	translate "$name.wasm" "$name"
	rm -f companion.c
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

build_companion()
{
	"$WASM_IMAGE" companion "$name.wasm" "$name.c" -o companion.c.new
	keep companion.c || :
}

# What an instance has besides its memory is the same in every form.
build_whole()
{
	cat >code.c <<-EOF
	#include "companion.c"
	void Z_${name}_tables(Z_${name}_instance_t *instance)
	{
		init_tables(instance);
		init_elem_instances(instance);
	}
	EOF
	# shellcheck disable=SC2086 # words
	$CC -O2 -w $CPPFLAGS -c code.c -o "$name.o"
	rm -f whole.a
	$AR rc whole.a "$name.o"
}

# code_of WASM - the bytes of every section but globals, memories and data
code_of()
{
	"$objdump" -s "$1" | awk '
		/^Contents/ { is_code = $4 !~ /^(Global|Memory|Data)/ }
		is_code { sub(/^[0-9a-f]+:/, ""); print }'
}

# same_code WASM NAME - whether whole.a has the code of that form
same_code()
{
	code_of "$name.wasm" >code.whole
	code_of "$1" >code.form
	grep -v _H_GENERATED_ "$name.h" >header.whole
	grep -v _H_GENERATED_ "$2.h" | sed "s/$2/$name/g" >header.form
	test -s code.whole && cmp -s code.whole code.form &&
		cmp -s header.whole header.form
}

# own_part NAME - of what wasm2c wrote to NAME.c, all but the code
own_part()
{
	sed '/^static u32 func_types\[/,$d' "$1.c"
	cat <<-EOF
	#include "$name.h"
	void Z_${name}_tables(Z_${name}_instance_t *instance);
	#define init_func_types Z_${name}_init_module
	#define init_tables(instance) Z_${name}_tables((void *)(instance))
	#define init_elem_instances(instance) ((void)0)
	EOF
	sed -n '/^static void init_globals(/,/^}/p
		/^static const u8 data_segment_data_/,/^};/p
		/^static void init_memories(/,/^}/p
		/^static void init_data_instances(/,/^}/p' "$1.c"
	sed -n "/^void Z_$1_init_module(/,\$p" "$1.c"
}

# build_own WASM NAME - leaves NAMEown.c, which is to be compiled
build_own()
{
	translate "$1" "$2"
	same_code "$1" "$2" ||
		die "$1 has other code than $name.wasm: it cannot run that of" \
			"whole.a"
	own_part "$2" >"$2own.c"
}

build_free()
{
	"$DATA_FREE" "$name.wasm" free.wasm
	build_own free.wasm "${name}free"
	$CC -O2 -w -c "${name}freeown.c" -o "${name}free.o"
	rm -f free.a
	$AR rc free.a "${name}free.o"
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

# The code, and what it calls of wasm-rt, are the host program's.
build_baked()
{
	build_own baked.wasm "${name}baked"
	# shellcheck disable=SC2086 # words
	$CC -O2 -w $CPPFLAGS -fPIC -shared -I. -I"$srcdir/../service" \
		-DBAKED="${name}baked" -DCODE="$name" \
		-include "${name}baked.h" -include "$name.h" \
		"${name}bakedown.c" "$srcdir/../service/baked.c" -o baked.so
}

: "${CC:=cc}" "${AR:=ar}" "${WASM2C:=wasm2c}" "${CLANG:=clang}"
: "${DATA_FREE:=data_free}" "${WASM_IMAGE:=wasm-image}" "${SERVICE:=service}"
: "${CPPFLAGS=}"
objdump=${WASM2C%wasm2c}wasm-objdump
[ $# -eq 4 ] || die "usage: build.sh" \
	"can|fetch|module|companion|whole|free|native|started|baked" \
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
companion) build_companion ;;
whole) build_whole ;;
free) build_free ;;
native) build_native ;;
started) build_started ;;
baked) build_baked ;;
*) die "no such step: $1" ;;
esac
