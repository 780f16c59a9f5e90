#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# header.sh - faultline.h, alone, in every language that may include it.
#
# api/header.c and api/cxx.cc are compiled against each standard, pedantic and
# with warnings as errors, so that no user has to silence our header.

. "$srcdir/tests/kit/functions.sh"
make_tmp
strict="-pedantic -Wall -Wextra -Wundef -Werror -I$srcdir/lib"

for std in c99 c11 c17 gnu99 gnu11; do
	echo "$CC -std=$std"
	# shellcheck disable=SC2086 # CC and strict are lists of words
	$CC -std=$std $strict -Wstrict-prototypes -fsyntax-only \
		"$srcdir/tests/api/header.c" ||
		failed "faultline.h does not compile as $std"
done

test -n "$CXX" || skipped "no C++ compiler"
for std in c++11 c++17 c++20; do
	echo "$CXX -std=$std"
	# shellcheck disable=SC2086
	$CXX -std=$std $strict -fsyntax-only "$srcdir/tests/api/cxx.cc" ||
		failed "faultline.h does not compile as $std"
done
passed
