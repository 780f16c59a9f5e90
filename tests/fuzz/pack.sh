#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# pack.sh - replays the corpus of the fuzz target for packed deltas.

. "$srcdir/tests/kit/functions.sh"
exec "$FL_BUILDDIR/tests/fuzz/fuzz_pack" "$srcdir/tests/fuzz/corpus/pack"
