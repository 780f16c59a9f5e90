#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# fuzz_reader.sh - replays the corpus of the fuzz target for the reader.

. "$srcdir/tests/functions.sh"
exec "$FL_BUILDDIR/tests/fuzz/fuzz_reader" "$srcdir/tests/fuzz/corpus/reader"
