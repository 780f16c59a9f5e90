#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# spdx.sh - every file says its licence, none names a package registry.
#
# Looks at what git tracks; in an unpacked tarball at every file but those that
# autoreconf made and a build folder in it. The licence is named within the first
# five lines. Binary files, the fuzz corpus, whose files are bytes even where
# they look like text, two files whose form Debian's tools fix, and LICENSE itself
# cannot carry the line.

. "$srcdir/tests/kit/functions.sh"
make_tmp
cd "$srcdir" || failed "no source directory"

if git rev-parse --is-inside-work-tree >/dev/null 2>&1 &&
   test -e .git; then
	git ls-files --cached >"$tmp/listed"
else
	top=$(pwd -P)
	inside=./${FL_BUILDDIR#"$top/"}
	find . \( -path "$inside" -o -name '_*' \
		  -o -name build-aux -o -name autom4te.cache \
		  -o -name 'libtool.m4' -o -name 'lt*.m4' -o -name aclocal.m4 \
		  -o -name configure -o -name Makefile.in \) -prune \
		-o -type f -print | sed 's,^\./,,' >"$tmp/listed"
fi

registries='npmjs[.](org|com)|crates[.]io|pypi[.]org|proxy[.]golang[.]org'
registries="$registries|deb[.]debian[.]org|ftp[.].*debian[.]org|rubygems[.]org"

n=0
while read -r file; do
	case $file in
	LICENSE | tests/fuzz/corpus/*) continue ;;
	packaging/debian/changelog | packaging/debian/source/format) continue ;;
	esac
	test -f "$file" || continue
	# grep -I takes a binary file for one without a match
	test ! -s "$file" || grep -Iq . "$file" || continue
	n=$((n + 1))
	head -n 5 "$file" |
		grep -q 'SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception' ||
		echo "$file: no SPDX line"
	grep -nHE "$registries" "$file"
done <"$tmp/listed" >"$tmp/complaints"
cat "$tmp/complaints"
test ! -s "$tmp/complaints" || failed "files without licence or with a registry"
test "$n" -gt 0 || failed "found no file to look at"
echo "$n files looked at"
passed
