#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# fetch.sh DIR - fetches the modules of modules.tsv into DIR, as NAME.wasm.
#
# Packages come through npm, from whatever registry it is configured for; no
# package script runs. A file that is there with the right SHA-256 is kept, so
# that a second run fetches nothing. Ends with 0 when DIR has them all, with
# FAULTLINE_NPM_DIR=DIR for tests/live/npm.

set -u
list=${0%/*}/modules.tsv
if test $# -ne 1; then
	echo "usage: $0 DIR" >&2
	exit 2
fi
dir=$1
mkdir -p "$dir" || exit 1
tmp=$(mktemp -d "${TMPDIR:-/tmp}/faultline-npm.XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

is_right()
{
	test -f "$1" && echo "$2  $1" | sha256sum -c --status -
}

# fetch_one NAME PACKAGE@VERSION PATH SHA256
fetch_one()
{
	rm -rf "$tmp/one" && mkdir "$tmp/one" || return 1
	if ! command -v npm >/dev/null; then
		echo "$1: npm is not installed (Debian: package npm)" >&2
		return 1
	fi
	if ! npm pack --silent --ignore-scripts \
	    --pack-destination "$tmp/one" "$2" >"$tmp/log" 2>&1; then
		cat "$tmp/log" >&2
		echo "$1: npm could not fetch $2: is the registry reachable?" >&2
		return 1
	fi
	# Packages keep their files under package/, or under another first name.
	if ! tar -xzf "$tmp"/one/*.tgz -C "$tmp/one" --strip-components=1; then
		echo "$1: $2 is no package that tar can read" >&2
		return 1
	fi
	if ! is_right "$tmp/one/$3" "$4"; then
		echo "$1: $3 of $2 is missing or has another SHA-256 than $4" >&2
		return 1
	fi
	mv "$tmp/one/$3" "$dir/$1.wasm"
}

tab=$(printf '\t')
total=0 failed=0
while IFS=$tab read -r name package version path sha256 rest; do
	case $name in
	'' | '#'*) continue ;;
	esac
	total=$((total + 1))
	if is_right "$dir/$name.wasm" "$sha256"; then
		echo "$name: there"
	elif fetch_one "$name" "$package@$version" "$path" "$sha256"; then
		echo "$name: fetched from $package $version"
	else
		failed=$((failed + 1))
	fi
done <"$list"
echo "$((total - failed)) of $total modules are in $dir"
test "$total" -gt 0 && test "$failed" -eq 0
