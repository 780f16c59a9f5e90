#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# fetch-parser.sh DIR - fetches a parser of the WebAssembly text format into
# DIR, for modules.mjs: that of wasm-tools, translated to JavaScript and
# WebAssembly, out of npm's @bytecodealliance/jco-transpile.
#
# Packages come through npm, from whatever registry it is configured for; no
# package script runs, and what the package depends on is not fetched: what
# the parser imports of the system is parser-shim.mjs. Files that are there with
# the right SHA-256 are kept, so that a second run fetches nothing. Ends with 0
# when DIR is right.

set -u
here=$(dirname "$0")
package=@bytecodealliance/jco-transpile
version=0.15.0
sums='
6630676daf465eab06edbb762a10bf3f1e91dfcc294cac035bff953ff8f1c5cc  vendor/wasm-tools.js
3fefaaa84d88c2e256f1313a333f9bd605cb0eab55658f178a6f469fc01a6d22  vendor/wasm-tools.core.wasm
280fbf3d86c902fbf15419b9f95cf92b50778514d50bc0c06c11d3ae012296f6  vendor/wasm-tools.core2.wasm
'

if test $# -ne 1; then
	echo "usage: $0 DIR" >&2
	exit 2
fi
dir=$1
mkdir -p "$dir" || exit 1
tmp=$(mktemp -d "${TMPDIR:-/tmp}/faultline-parser.XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

die()
{
	echo "$package $version: $*" >&2
	exit 1
}

are_right()
{
	(cd "$dir" && echo "$sums" | grep . | sha256sum -c --status -) \
		2>/dev/null
}

fetch_files()
{
	command -v npm >/dev/null ||
		die "npm is not installed (Debian: package npm)"
	if ! npm pack --silent --ignore-scripts --pack-destination "$tmp" \
	    "$package@$version" >"$tmp/log" 2>&1; then
		cat "$tmp/log" >&2
		die "npm could not fetch it: is the registry reachable?"
	fi
	tar -xzf "$tmp"/*.tgz -C "$dir" --strip-components=1 \
		package/package.json package/vendor/wasm-tools.js \
		package/vendor/wasm-tools.core.wasm \
		package/vendor/wasm-tools.core2.wasm ||
		die "it is no package that tar can read"
	are_right || die "a file of it is missing or has another SHA-256"
}

verb=there
if ! are_right; then
	fetch_files
	verb=fetched
fi
shim=$dir/node_modules/@bytecodealliance/preview2-shim
mkdir -p "$shim" && cp "$here/parser-shim.mjs" "$shim/shim.mjs" &&
	echo '{ "exports": { "./*": "./shim.mjs" } }' >"$shim/package.json" ||
	exit 1
echo "$package $version: $verb"
