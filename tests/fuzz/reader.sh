#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# reader.sh - replays the corpus of the fuzz target for the reader.

. "$srcdir/tests/kit/functions.sh"
exec "$FL_BUILDDIR/tests/fuzz/fuzz_reader" "$srcdir/tests/fuzz/corpus/reader"
