#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# archive.sh - replays the corpus of the fuzz target for image files.

. "$srcdir/tests/kit/functions.sh"
exec "$FL_BUILDDIR/tests/fuzz/fuzz_archive" "$srcdir/tests/fuzz/corpus/archive"
