#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# cargo.sh DIR test CRATE [ARG...] - the tests of a crate, and its package, against
#	the library of this build folder, which is installed below DIR/root. The
#	last line is "N passed, N failed, N skipped".
# cargo.sh DIR bench CRATE [ARG...] - runs the program of a crate.
#
# Takes MAKE. What cargo compiles is kept below DIR/target. The crate is copied to
# DIR, because cargo writes a lock file beside what it compiles.

set -eu
dir=$1 what=$2 crate=$3
shift 3
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
MAKEFLAGS='' $MAKE install DESTDIR="$dir/root" >"$dir/install.log" 2>&1 || {
	cat "$dir/install.log"
	exit 1
}
pc=$(find "$dir/root" -name faultline.pc)
export PKG_CONFIG_LIBDIR="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$dir/root"
export LD_LIBRARY_PATH="${pc%/pkgconfig/*}" CARGO_TARGET_DIR="$dir/target"

# As they lie in the tree, so that one finds the other.
rm -rf "$dir/source"
top=$crate
while test ! -f "$top/configure.ac"; do
	top=$top/..
done
for path in lib/adapters/wasmtime/rust tests/consumers/wasmtime/bench; do
	mkdir -p "$dir/source/$path"
	cp -r "$top/$path/." "$dir/source/$path"
done
case $crate in
*/bench) cd "$dir/source/tests/consumers/wasmtime/bench" ;;
*) cd "$dir/source/lib/adapters/wasmtime/rust" ;;
esac
# The lock file of one is good for the other.
cp "$dir/Cargo.lock" . 2>/dev/null || :

if test "$what" = bench; then
	exec cargo run --release --quiet -- "$@"
fi
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
status=0
cargo test --features async "$@" 2>&1 | tee "$dir/test.log" || status=1
grep -q '^test result' "$dir/test.log" || status=1
cargo package --allow-dirty --no-verify --quiet || status=1
sed -n 's/^test result: [a-zA-Z]*\. \([0-9]*\) passed; \([0-9]*\) failed; \([0-9]*\) ignored.*/\1 \2/p' \
	"$dir/test.log" | awk -v status=$status '
	{ passed += $1; failed += $2 }
	END {
		if (status && !failed)
			failed = 1
		printf "%d passed, %d failed, 0 skipped\n", passed, failed
	}'
