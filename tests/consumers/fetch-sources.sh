#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# Fetch the third-party C sources of the real consumer (bzip2 and zlib, as
# Debian 12 ships them) into a directory of the build tree:
#
#	fetch-sources.sh DIR
#
# leaves DIR/bzip2 and DIR/zlib.  The archives come from the mirror that this
# host's apt is configured for, through apt's own downloader (so its proxy
# settings apply, and no deb-src line and no root are needed).  Each archive is
# checked against the SHA-256 sum written here, on every run.  With the
# archives already in DIR, nothing is downloaded.

set -eu

bzip2_file=bzip2_1.0.8.orig.tar.gz
bzip2_path=pool/main/b/bzip2/$bzip2_file
bzip2_sum=ab5a03176ee106d3f0fa90e381da478ddae405918153cca248e682cd0c4a2269
zlib_file=zlib_1.2.13.dfsg.orig.tar.bz2
zlib_path=pool/main/z/zlib/$zlib_file
zlib_sum=71feb7947e3c00ef125f83b79a4e529bde31171e5babe48b391f06758d1ab0a1

die()
{
	echo "fetch-sources.sh: $*" >&2
	exit 1
}

# $1 file, $2 sum
has_sum()
{
	[ -f "$1" ] && [ "$(sha256sum <"$1")" = "$2  -" ]
}

# The mirrors that apt is configured for, without their trailing slashes. What
# their release files say of themselves is known after 'apt-get update'; before,
# a mirror is told by the name of the release that is wanted of it.
mirrors()
{
	# shellcheck disable=SC2016 # these are apt's variables
	apt-get indextargets "$@" \
		--format '$(LABEL) $(RELEASE) $(COMPONENT) $(REPO_URI)' \
		'Created-By: Packages' |
		awk '($1 == "Debian" || $2 == "bookworm" || $2 == "stable") &&
		     $3 == "main" { sub("/+$", "", $4)
			if (!seen[$4]++) print $4 }'
}

# $1 file, $2 path on a mirror, $3 sum
fetch()
{
	has_sum "$1" "$3" && return 0
	[ -x "$helper" ] ||
		die "$helper is missing; put $1 into $dir by hand"
	bases=$(mirrors)
	[ -n "$bases" ] || bases=$(mirrors --no-release-info)
	[ -n "$bases" ] || die "apt is configured for no Debian mirror;" \
		"put $1 into $dir by hand"
	for base in $bases; do
		rm -f "$1.part"
		# shellcheck disable=SC2086 # two words or none
		"$helper" $sandbox download-file "$base/$2" "$1.part" ||
			continue
		if has_sum "$1.part" "$3"; then
			mv "$1.part" "$1"
			return 0
		fi
		echo "fetch-sources.sh: $base/$2 is not the file of Debian 12:" \
			"its SHA-256 sum is not $3" >&2
		rm -f "$1.part"
	done
	die "could not get $2 from any of: $bases"
}

# $1 archive, $2 name of the directory to make
unpack()
{
	rm -rf "$2.part" "$2"
	mkdir "$2.part"
	tar -xf "$1" -C "$2.part" --strip-components=1 --no-same-owner ||
		die "tar could not unpack $1 (is the package bzip2 installed?)"
	mv "$2.part" "$2"
}

[ $# -eq 1 ] || die "usage: fetch-sources.sh DIR"
mkdir -p "$1"
cd "$1"
dir=$(pwd)
helper=/usr/lib/apt/apt-helper
sandbox=
# apt's download user cannot write here, and would say so for every file.
[ "$(id -u)" -ne 0 ] || sandbox='-o APT::Sandbox::User=root'

fetch "$bzip2_file" "$bzip2_path" "$bzip2_sum"
fetch "$zlib_file" "$zlib_path" "$zlib_sum"

[ "$(cat sums 2>/dev/null)" = "$bzip2_sum $zlib_sum" ] && exit 0
unpack "$bzip2_file" bzip2
unpack "$zlib_file" zlib
echo "$bzip2_sum $zlib_sum" >sums
