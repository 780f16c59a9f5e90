#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# build.sh DIR - Wasmtime's C API as a static library, out of the crate
# wasmtime-c-api-impl 48.0.8, which is made for being linked into Rust:
#
#	DIR/libwasmtime.a
#	DIR/include		wasm.h, wasmtime.h and what these include
#
# A crate of three lines makes the library. cargo fetches and compiles, without
# optimising because only tests run it; what is there is not built again.
# "build.sh can" says nothing if this host can do that, or why not.

set -eu
version=48.0.8
features='cranelift gc gc-null pooling-allocator threads wat'

can()
{
	command -v cargo >/dev/null || {
		echo "cargo is not installed (Debian: package cargo, or rustup)"
		return
	}
	have=$(rustc --version | cut -d' ' -f2)
	printf '%s\n' 1.95.0 "$have" | sort -V -C ||
		echo "rustc $have is older than 1.95, which Wasmtime 48 needs"
}

test "$1" != can || {
	can
	exit
}
test -z "$(can)" || {
	echo "build.sh: $(can)" >&2
	exit 1
}
mkdir -p "$1"
cd "$1"
test ! -f "libwasmtime.a" || test "$(cat made 2>/dev/null)" != "$version $features" ||
	exit 0

mkdir -p crate/src
{
	cat <<-EOT
	[package]
	name = "wasmtime-static"
	version = "0.0.0"
	edition = "2021"
	[lib]
	crate-type = ["staticlib"]
	name = "wasmtime"
	[dependencies.wasmtime-c-api-impl]
	version = "=$version"
	default-features = false
	EOT
	echo "features = [$(printf '"%s", ' $features)]"
} >crate/Cargo.toml
echo 'pub use wasmtime_c_api::*;' >crate/src/lib.rs
CARGO_TARGET_DIR=$PWD/target CARGO_PROFILE_DEV_DEBUG=0
export CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG
(cd crate && cargo build --quiet)
cp target/debug/libwasmtime.a .

source=$(cd crate && cargo metadata --format-version 1 | tr ',' '\n' |
	sed -n 's/.*"manifest_path":"\(.*\/wasmtime-c-api-impl-[^"]*\)\/Cargo.toml".*/\1/p')
rm -rf include
cp -r "$source/include" include
for feature in $features; do
	echo "s/^#cmakedefine WASMTIME_FEATURE_$(echo "$feature" |
		tr 'a-z-' 'A-Z_')\$/#define &/"
done >conf.sed
sed -f conf.sed include/wasmtime/conf.h.in |
	sed 's/^#define #cmakedefine/#define/; s/^#cmakedefine .*//' \
		>include/wasmtime/conf.h
echo "$version $features" >made
