#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# fetch.sh GUEST DIR - fetches what a guest is made of into DIR:
#
#	quickjs	DIR/quickjs, the interpreter's C source, out of the crate
#		rquickjs-sys; DIR/marked.js, of npm's marked 4.3.0;
#		DIR/mustache.js, of npm's mustache 4.2.0
#	sqlite	DIR/sqlite, SQLite 3.46.0 in one C file, out of the crate
#		libsqlite3-sys
#	wasm3	DIR/wasm3, the interpreter's C source, out of the crate wasm3-sys:
#		not a guest, but what guests run in
#	wamr	DIR/wamr, the C source of the interpreter WAMR, out of the crate
#		wamr-sys, likewise
#
# Packages come through cargo and npm, from whatever registries these are
# configured for; nothing of them is run. Each is checked against the SHA-256
# sum written here, on every run. What is there already is not fetched again.

set -eu

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

# fetch_crate DIR CRATE VERSION SHA256 FOLDER - the crate's FOLDER becomes DIR.
# cargo checks the archive against the sum and writes it down.
fetch_crate()
{
	test "$(cat "$1/sum" 2>/dev/null)" = "$4" && return 0
	command -v cargo >/dev/null ||
		die "cargo is not installed (Debian: package cargo)"
	rm -rf "$1"
	mkdir -p "$tmp/crate"
	cat >"$tmp/crate/Cargo.toml" <<-EOF
	[package]
	name = "fetch"
	version = "0.0.0"
	[lib]
	path = "lib.rs"
	[dependencies]
	$2 = "=$3"
	EOF
	: >"$tmp/crate/lib.rs"
	(cd "$tmp/crate" && cargo vendor --quiet vendor >/dev/null) ||
		die "cargo could not fetch $2: is the registry reachable?"
	grep -q "\"package\":\"$4\"" \
		"$tmp/crate/vendor/$2/.cargo-checksum.json" ||
		die "$2 $3 has another SHA-256 than $4"
	mv "$tmp/crate/vendor/$2/$5" "$1"
	echo "$4" >"$1/sum"
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

[ $# -eq 2 ] || die "usage: fetch.sh quickjs|sqlite|wasm3|wamr DIR"
guest=$1
mkdir -p "$2"
cd "$2"
tmp=$(mktemp -d "${TMPDIR:-/tmp}/faultline-guests.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

case $guest in
quickjs)
	fetch_crate quickjs rquickjs-sys 0.9.0 \
		7fed0097b0b4fbb2a87f6dd3b995a7c64ca56de30007eb7e867dfdfc78324ba5 \
		quickjs
	fetch_npm marked.js marked 4.3.0 lib/marked.umd.js \
		0fa8bb1eaf15ccc5fa6b2dbdabf2603466a197f5b176efffd9831b425d821821
	fetch_npm mustache.js mustache 4.2.0 mustache.js \
		a80aca795ca45cded108335257ad6493e9dc54fc4d9f0ebfe0d43185af590b90
	;;
sqlite)
	fetch_crate sqlite libsqlite3-sys 0.30.1 \
		2e99fb7a497b1e3339bc746195567ed8d3e24945ecd636e3619d20b9de9e9149 \
		sqlite3
	;;
wasm3)
	fetch_crate wasm3 wasm3-sys 0.3.0 \
		5a4e5d10bf1ffe7753275d4bbae3dc135dd2d2decd90e615accf9fef8bc52bab \
		wasm3/source
	;;
wamr)
	fetch_crate wamr wamr-sys 0.1.1 \
		7f8519ccb3c87b57003ea20d6d8ccbf57c8a2999fe1035369a2758b2d80341d0 \
		wasm-micro-runtime/core
	;;
*)
	die "no such guest: $guest"
	;;
esac
