#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# pkgconfig.sh - an installed copy serves a program that knows pkg-config.
#
# Installs into a staging directory, then builds minimal.c as C and as C++,
# clone.c, and the programs of the header test, with nothing but what pkg-config says:
# once against the shared library, once against the static one, which is
# chosen by taking the shared one away. Each program is run. So is
# examples/sessions, with its own makefile, against the shared library. Without a
# sanitizer, whose runtime cannot be static, the C program is also built
# with -static.

. "$srcdir/tests/kit/functions.sh"
make_tmp
test -n "$PKG_CONFIG" || skipped "no pkg-config"

MAKEFLAGS='' $MAKE -C "$FL_BUILDDIR" install DESTDIR="$tmp/root" \
	>"$tmp/install.log" 2>&1 || {
	tail -n 20 "$tmp/install.log"
	failed "make install failed"
}

pc=$(find "$tmp/root" -name faultline.pc)
test -n "$pc" || failed "make install brought no faultline.pc"
PKG_CONFIG_LIBDIR=${pc%/*}
PKG_CONFIG_SYSROOT_DIR=$tmp/root
export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
version=$($PKG_CONFIG --modversion faultline)
test "$version" = "$FL_VERSION" ||
	failed "faultline.pc says $version, configure.ac $FL_VERSION"
libdir=${pc%/pkgconfig/*}

# build_and_run NAME COMPILER SOURCE FLAG...
build_and_run()
{
	name=$1 compiler=$2 source=$3
	shift 3
	echo "$name: $compiler ${source##*/} $*"
	# shellcheck disable=SC2086 # a compiler may be several words
	$compiler $FL_SANITIZER_FLAGS -o "$tmp/$name" $source "$@" ||
		failed "$name does not build"
	(cd "$tmp" && LD_LIBRARY_PATH=$libdir "./$name") || failed "$name: exit status $?"
}

# build_all SUFFIX FLAG...
build_all()
{
	suffix=$1
	shift
	for source in minimal clone header; do
		build_and_run "$source-$suffix" "$CC" \
			"$srcdir/tests/api/$source.c" "$@"
	done
	test -n "$CXX" || return 0
	build_and_run "minimal-cxx-$suffix" "$CXX -x c++" \
		"$srcdir/tests/api/minimal.c -x none" "$@"
	build_and_run "cxx-$suffix" "$CXX -std=c++11" \
		"$srcdir/tests/api/cxx.cc" "$@"
}

# The staging directory hides the packages of the stores: the table in memory is
# left. tests/consumers/sessions/check.sh has the others.
sessions_run()
{
	dir=$tmp/sessions
	mkdir "$dir"
	MAKEFLAGS='' $MAKE -s -C "$dir" -f "$top/examples/sessions/Makefile" \
		CC="$CC" PKG_CONFIG="$PKG_CONFIG" \
		CFLAGS="-Werror $FL_SANITIZER_FLAGS" ||
		failed "examples/sessions does not build"
	printf '1 add a one\n2 add a two\n3 show a\n' |
	LD_LIBRARY_PATH=$libdir "$dir/sessions" memory |
	grep '^3 ok 2 ' || failed "examples/sessions forgets"
}

top=$(cd "$srcdir" && pwd)
built=
if test -f "$libdir/libfaultline.so"; then
	# shellcheck disable=SC2046 # the flags are words
	build_all shared $($PKG_CONFIG --cflags --libs faultline)
	sessions_run
	rm -f "$libdir"/libfaultline.so
	built=yes
fi
if test -f "$libdir/libfaultline.a"; then
	# shellcheck disable=SC2046
	build_all static $($PKG_CONFIG --static --cflags --libs faultline)
	if test -z "$FL_SANITIZER_FLAGS"; then
		# shellcheck disable=SC2046
		build_and_run minimal-allstatic "$CC -static" \
			"$srcdir/tests/api/minimal.c" \
			$($PKG_CONFIG --static --cflags --libs faultline)
	fi
	built=yes
fi
test -n "$built" || failed "make install brought no library"
test -n "$CXX" || skipped "no C++ compiler: only the C half was run"
passed
