#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# delta.sh - replays the corpus of the fuzz target for deltas.

. "$srcdir/tests/kit/functions.sh"
exec "$FL_BUILDDIR/tests/fuzz/fuzz_delta" "$srcdir/tests/fuzz/corpus/delta"
