#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# snapshot.sh - replays the corpus of the fuzz target for snapshots' states.

. "$srcdir/tests/kit/functions.sh"
exec "$FL_BUILDDIR/tests/fuzz/fuzz_snapshot" "$srcdir/tests/fuzz/corpus/snapshot"
