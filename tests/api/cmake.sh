#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# cmake.sh - an installed copy serves a program that knows CMake.
#
# Installs into a staging directory, then builds and runs the examples of
# README.md by find_package() alone: against the shared library, and against the
# static one, which is chosen by taking the shared one away. A newer version and
# another minor version are refused.

. "$srcdir/tests/kit/functions.sh"
make_tmp
command -v cmake >/dev/null || skipped "no cmake"
# shellcheck disable=SC1007 # an empty variable for one command
MAKEFLAGS= $MAKE -C "$FL_BUILDDIR" install DESTDIR="$tmp/root" \
	>"$tmp/install.log" 2>&1 || {
	tail -n 20 "$tmp/install.log"
	failed "make install failed"
}
config=$(find "$tmp/root" -name faultline-config.cmake)
test -n "$config" || failed "make install brought no faultline-config.cmake"
libdir=${config%/cmake/faultline/*}

# configure_for NAME VERSION - CC may be more than one word
configure_for()
{
	CC=$CC cmake -S "$srcdir/tests/api" -B "$tmp/$1" \
		-DCMAKE_C_FLAGS="$FL_SANITIZER_FLAGS" -DVERSION="$2" \
		-Dfaultline_DIR="${config%/*}" >"$tmp/$1.log" 2>&1
}

# build_and_run NAME
build_and_run()
{
	configure_for "$1" "$FL_VERSION" &&
		cmake --build "$tmp/$1" >>"$tmp/$1.log" 2>&1 || {
		tail -n 20 "$tmp/$1.log"
		failed "the examples do not build: $1"
	}
	for example in minimal clone; do
		(cd "$tmp" && LD_LIBRARY_PATH=$libdir "$1/$example") ||
			failed "$1/$example: exit status $?"
	done
}

test ! -e "$libdir/libfaultline.so" || build_and_run shared
if test -e "$libdir/libfaultline.a"; then
	rm -f "$libdir"/libfaultline.so*
	build_and_run static
fi
for version in "${FL_VERSION%.*}.9999" 99.0.0; do
	! configure_for "refused-$version" "$version" ||
		failed "version $version was found, $FL_VERSION is installed"
done
passed
