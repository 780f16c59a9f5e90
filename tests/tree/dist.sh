#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# dist.sh - the tarball holds what git tracks: dist.sh TARBALL SRCDIR
#
# Run by "make check-dist" in the build folder, which may lie in SRCDIR. Prints
# the files that are missing and exits 1.

set -u
export LC_ALL=C
cd "$2" || exit 1
git rev-parse --is-inside-work-tree >/dev/null 2>&1 || {
	echo "check-dist: $2 is not a git checkout, there is nothing to compare"
	exit 1
}
case $1 in
/*) tarball=$1 ;;
*) tarball=$OLDPWD/$1 ;;
esac
top=$(pwd -P)
build=$(cd "$OLDPWD" && pwd -P)
case $build in
"$top"/*) build=/${build#"$top"/}/ ;;
*) build=/none/ ;;
esac
files()
{
	git ls-files --cached --others --exclude-standard --exclude="$build"
}

list=$(mktemp) || exit 1
trap 'rm -f "$list"' EXIT
tar -tf "$tarball" | sed 's,^[^/]*/,,' >"$list"
missing=$(files | grep -vxF -f "$list")
test -z "$missing" || {
	echo "$missing"
	echo "check-dist: these files are tracked and not in the tarball"
	exit 1
}
echo "check-dist: all $(files | wc -l) files are in the tarball"
