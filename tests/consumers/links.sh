#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# links.sh - the adapter for wasm2c under each compiler, linker and way to link.
#
# Every program either serves its instance from the pool or says in words, before
# the guest is called, that the adapter was bypassed. What the adapter's header
# says works has to serve: --wrap where the parts are objects and archives of
# their own, and faultline-wasm2c-route.h everywhere. A compiler or linker that
# is not here is named.

. "$srcdir/tests/kit/functions.sh"
: "${WASM_RT_CPPFLAGS=}"
made=$FL_BUILDDIR/tests/consumers/adapter.d
src=$(cd "$srcdir" && pwd)
test -f "$made/small.c" || skipped "there is no wabt 1.0.32"
test -f "$FL_BUILDDIR/.libs/libfaultline.so" ||
	skipped "the library was built without a shared library"
# Not for want of something that a machine could have.
test -z "$FL_SANITIZER_FLAGS" || {
	echo "skipped: link-time optimisation is not tried with sanitizers"
	echo "0 passed, 0 failed, 1 skipped"
	exit 77
}
for dir in /usr/share/wabt/wasm2c /usr/src/wasm2c; do
	test ! -f "$dir/wasm-rt-impl.c" || rt=$dir
done
test -n "${rt:-}" || skipped "there is no wasm-rt-impl.c"
make_tmp
cd "$tmp" || failed "no temporary directory"
cp "$made/small.c" "$made/small.h" "$src/tests/consumers/link_host.c" \
	"$rt/wasm-rt-impl.c" . || failed "cannot copy"

adapter=$src/lib/adapters/wasm2c
inc="-O1 -w -fPIC -I. -I$src/lib -I$adapter -I$rt"
wraps=$(tr ' ' '\n' <"$FL_BUILDDIR/lib/adapters/wasm2c/faultline-wasm2c.pc" | sed -n '/^-Wl,--wrap=/p')
libs="$FL_BUILDDIR/libfaultline-wasm2c.a -L$FL_BUILDDIR/.libs -lfaultline"
libs="$libs -Wl,-rpath,$FL_BUILDDIR/.libs -lm"
route="-include faultline-wasm2c-route.h"
printf '#include "wasm-rt-impl.c"\n#include "small.c"\n#include "link_host.c"\n' \
	>unity.c
printf '#include "wasm-rt-impl.c"\n#include <faultline-wasm2c-route.h>\n' \
	>unity-route.c
printf '#include "small.c"\n#include "link_host.c"\n' >>unity-route.c

# compiled CC LTO ROUTE - the objects' folder in $objs, made once.
compiled()
{
	objs=$1${2:+-lto}${3:+-route}
	test ! -d "$objs" || return 0
	mkdir "$objs"
	for source in small link_host; do
		# shellcheck disable=SC2086 # words
		$1 $inc $2 $3 -c $source.c -o "$objs/$source.o" || return
	done
	# shellcheck disable=SC2086
	$1 $inc $2 -c wasm-rt-impl.c -o "$objs/rt.o" &&
		ar rc "$objs/librt.a" "$objs/rt.o"
}

# program WAY CC LINK ROUTE - builds ./program. ROUTE is $route, and then the
# linker wraps nothing, or empty.
program()
{
	way=$1 cc=$2 link=$3 how=$4
	wrap=$wraps lto=
	test -z "$how" || wrap=
	case $way in lto*) lto=-flto ;; esac
	rm -f program
	compiled "$cc" "" "$how" || return
	rt=$objs
	compiled "$cc" "$lto" "$how" || return
	parts="$objs/link_host.o $objs/small.o $objs/rt.o"
	case $way in
	unity) parts="$inc unity${how:+-route}.c" ;;
	archive | lto-archive)
		parts="$objs/link_host.o $objs/small.o $rt/librt.a"
		;;
	partial)
		ld -r "$objs/small.o" "$objs/rt.o" -o part.o || return
		parts="$objs/link_host.o part.o"
		;;
	partial-all)
		# shellcheck disable=SC2086
		ld -r $parts -o part.o || return
		parts=part.o
		;;
	shared)
		# shellcheck disable=SC2086
		$cc $link -shared "$objs/small.o" "$objs/rt.o" -lm \
			-o libguest.so || return
		parts="$objs/link_host.o libguest.so -Wl,-rpath,$tmp"
		test -z "$how" || parts="$parts -Wl,--export-dynamic"
		;;
	esac
	# shellcheck disable=SC2086
	$cc $lto $link $parts $wrap $libs -o program
}

# serves WAY ROUTE - does the header promise that this way works?
serves()
{
	test -n "$2" || case $1 in objects | archive) true ;; *) false ;; esac
}

# try WAY CC LINK ROUTE
try()
{
	name="$2 ${3:-default linker}, $1${4:+, routed}"
	if ! program "$@" >log 2>&1; then
		serves "$1" "$4" || { echo "$name: does not link"; return; }
		cat log
		failed "$name: does not link"
	fi
	timeout 60 ./program "$made/small.wasm" >out 2>&1
	status=$?
	echo "$name: $(head -n 1 out | cut -c1-60)"
	case $status in
	0) return ;;
	3)
		serves "$1" "$4" && failed "$name: was to serve"
		grep -q route.h out || failed "$name: does not say what helps"
		;;
	*) failed "$name: $(cat out)" ;;
	esac
}

tried=0
for cc in gcc clang; do
	command -v $cc >/dev/null || { echo "there is no $cc"; continue; }
	for linker in bfd gold lld; do
		command -v ld.$linker >/dev/null ||
			{ echo "there is no ld.$linker"; continue; }
		for way in objects archive lto lto-archive unity partial \
				partial-all shared; do
			# Where the linker makes no difference one will do.
			case $way-$linker in
			unity-gold | unity-lld | partial*-gold | partial*-lld | archive-gold)
				continue
				;;
			# gcc's objects of -flto are for its own linkers.
			lto*-lld) test $cc = clang || continue ;;
			lto*-bfd | lto*-gold) test $cc = gcc || continue ;;
			esac
			for how in '' "$route"; do
				try $way $cc -fuse-ld=$linker "$how"
				tried=$((tried + 1))
			done
		done
	done
done
test $tried -gt 0 || skipped "there is neither gcc nor clang with a linker"
passed
