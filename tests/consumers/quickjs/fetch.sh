#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# fetch.sh DIR - fetches what the QuickJS guest is made of into DIR:
#
#	DIR/quickjs	the interpreter's C source, out of the crate rquickjs-sys
#	DIR/marked.js	of npm's marked 4.3.0
#	DIR/mustache.js	of npm's mustache 4.2.0
#
# Packages come through cargo and npm, from whatever registries these are
# configured for; nothing of them is run. Each is checked against the SHA-256
# sum written here, on every run. What is there already is not fetched again.

set -eu

crate=rquickjs-sys
crate_version=0.9.0
crate_sum=7fed0097b0b4fbb2a87f6dd3b995a7c64ca56de30007eb7e867dfdfc78324ba5

die()
{
	echo "fetch.sh: $*" >&2
	exit 1
}

# is_right FILE SHA256
is_right()
{
	test -f "$1" && echo "$2  $1" | sha256sum -c --status -
}

# cargo checks the archive against this sum and writes it down.
fetch_quickjs()
{
	test "$(cat quickjs/sum 2>/dev/null)" = "$crate_sum" && return 0
	command -v cargo >/dev/null ||
		die "cargo is not installed (Debian: package cargo)"
	rm -rf quickjs
	mkdir -p "$tmp/crate"
	cat >"$tmp/crate/Cargo.toml" <<-EOF
	[package]
	name = "fetch"
	version = "0.0.0"
	[lib]
	path = "lib.rs"
	[dependencies]
	$crate = "=$crate_version"
	EOF
	: >"$tmp/crate/lib.rs"
	(cd "$tmp/crate" && cargo vendor --quiet vendor >/dev/null) ||
		die "cargo could not fetch $crate: is the registry reachable?"
	grep -q "\"package\":\"$crate_sum\"" \
		"$tmp/crate/vendor/$crate/.cargo-checksum.json" ||
		die "$crate $crate_version has another SHA-256 than $crate_sum"
	mv "$tmp/crate/vendor/$crate/quickjs" quickjs
	echo "$crate_sum" >quickjs/sum
}

# fetch_npm FILE PACKAGE VERSION PATH SHA256
fetch_npm()
{
	is_right "$1" "$5" && return 0
	command -v npm >/dev/null ||
		die "npm is not installed (Debian: package npm)"
	rm -rf "$tmp/npm"
	mkdir "$tmp/npm"
	npm pack --silent --ignore-scripts --pack-destination "$tmp/npm" \
		"$2@$3" >/dev/null ||
		die "npm could not fetch $2@$3: is the registry reachable?"
	tar -xzf "$tmp"/npm/*.tgz -C "$tmp/npm" --strip-components=1
	is_right "$tmp/npm/$4" "$5" ||
		die "$4 of $2 $3 is missing or has another SHA-256 than $5"
	mv "$tmp/npm/$4" "$1"
}

[ $# -eq 1 ] || die "usage: fetch.sh DIR"
mkdir -p "$1"
cd "$1"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/faultline-quickjs.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

fetch_quickjs
fetch_npm marked.js marked 4.3.0 lib/marked.umd.js \
	0fa8bb1eaf15ccc5fa6b2dbdabf2603466a197f5b176efffd9831b425d821821
fetch_npm mustache.js mustache 4.2.0 mustache.js \
	a80aca795ca45cded108335257ad6493e9dc54fc4d9f0ebfe0d43185af590b90
