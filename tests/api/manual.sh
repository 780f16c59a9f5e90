#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# manual.sh - the manual pages say what faultline.h says.
#
# Every public function, struct and enum has a page; the page that it refers to
# has the prototype or the declaration; every word of the header's comments is on a page; and
# mandoc finds nothing wrong with any page, those of the tools included.

. "$srcdir/tests/kit/functions.sh"
make_tmp
man3=$FL_BUILDDIR/man3
test -f "$man3/faultline.3" || failed "make has made no manual pages"

sed -n 's/^[[:space:]]*\(fl_[a-z0-9_]*\);$/\1/p' "$srcdir/lib/faultline.map" \
	>"$tmp/calls"
test -s "$tmp/calls" || failed "faultline.map names no call"
while read -r call; do
	page=$man3/$call.3
	test -f "$page" || failed "there is no page $call(3)"
	target=$(sed -n 's/^\.so \(man3\/.*\)$/\1/p' "$page")
	test -z "$target" || page=$FL_BUILDDIR/$target
	grep -Eq "^([a-z].*[ *])?$call\(" "$page" ||
		failed "${page##*/} has no prototype of $call()"
	grep -q "$call" "$man3/faultline.3" ||
		failed "faultline(3) does not name $call()"
done <"$tmp/calls"

grep -E '^(struct|enum) fl_[a-z0-9_]+ \{' "$srcdir/lib/faultline.h" |
	sed 's/ {.*//' >"$tmp/types"
test -s "$tmp/types" || failed "faultline.h declares no type"
while read -r keyword type; do
	page=$man3/$type.3
	test -f "$page" || failed "there is no page $type(3)"
	target=$(sed -n 's/^\.so \(man3\/.*\)$/\1/p' "$page")
	test -z "$target" || page=$FL_BUILDDIR/$target
	grep -q "^$keyword $type {" "$page" ||
		failed "${page##*/} does not declare $keyword $type"
done <"$tmp/types"

command -v mandoc >/dev/null || skipped "mandoc is not installed"
pages=$(grep -L '^\.so' "$man3"/*.3)
test "$(echo "$pages" | wc -l)" -gt 10 || failed "there are few pages"
for page in $pages "$srcdir"/tools/*.1 "$srcdir"/lib/manual/*.7; do
	mandoc -T lint -W warning "$page" >"$tmp/lint" || {
		cat "$tmp/lint"
		failed "mandoc does not like $page"
	}
done

# The tag of an entry is one line; what is below it begins a sentence.
for page in "$srcdir"/lib/manual/*.7; do
	awk 'below == 1 && /^[a-z]/ { print FILENAME ": " FNR ": " $0; bad = 1 }
		{ below-- }
		/^\.TP/ { below = 2 }
		END { exit bad }' "$page" || failed "a tag has several lines"
done

# The words of comments, but for what draws and what joins.
words()
{
	tr -cs 'A-Za-z0-9_' '\n' | grep . | sort -u
}
sed -n '/^[[:space:]]*\/\*/{
	:more
	p
	/\*\//b
	n
	b more
}' "$srcdir/lib/faultline.h" |
	sed '/SPDX/d; s/FL_API//' | words >"$tmp/said"
# shellcheck disable=SC2086 # a list of files
for page in $pages; do
	mandoc -T ascii -O width=200 "$page" | sed "s/.$(printf '\b')//g"
done | words >"$tmp/shown"
comm -23 "$tmp/said" "$tmp/shown" >"$tmp/lost"
test ! -s "$tmp/lost" || {
	tr '\n' ' ' <"$tmp/lost"
	failed "the pages have lost these words of faultline.h"
}
passed
