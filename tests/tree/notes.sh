#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# notes.sh - each kernel feature has its note, and each note its test.
#
# A row of features.def names a note that exists, calls the feature by its name
# and says since which kernel it is there. Each note names at least one test
# that exists in its last section, and one file of ours that uses what it
# is about. What a note says was measured names what shows it again, in the same
# paragraph: a test, a benchmark, or the word "once" for none. readme.sh looks at
# headings, index and single cases.

. "$srcdir/tests/kit/functions.sh"
make_tmp
cd "$srcdir" || failed "no source directory"

# The text of a section of a note: section NOTE HEADING
section()
{
	awk -v heading="## $2" '
		/^## / { inside = $0 == heading; next }
		inside' "$1"
}

check_row()
{
	note=kernel-notes/$3
	test -f "$note" || {
		echo "features.def: $1 has no $note"
		return
	}
	grep -qF "\`$1\`" "$note" ||
		echo "$note does not name the feature $1"
	section "$note" Since | grep -qF "$2" ||
		echo "$note does not say that $1 is there since $2"
}

# Programs and scripts of tests/ that a text names, by their path or as
# `folder/program: case`.
tests_named()
{
	tr -s ' \n' '  ' |
		grep -oE '`[a-z]+/[a-z0-9_]+: [a-z0-9_]+`|tests/[a-z0-9_/-]+\.(c|sh)' |
		sed -e 's/^`\(.*\): .*/tests\/\1.c/' | sort -u
}

# Paragraphs and bullets with [M ...] that name no evidence after a semicolon in
# one of their brackets. A template's own [M] has no colon.
check_claims()
{
	awk -v note="$1" '
		function judge() {
			gsub(/ +/, " ", text)
			if (text ~ /\[(K, )?M[:,]/ &&
			    text !~ /\[(K, )?M[^]]*; ?[^]]*(`[a-z]+\/[a-z0-9_]+: [a-z0-9_]+`|`bench_[a-z]+`|`tests\/[^`]*`|once)[^]]*\]/)
				print note ": measured, and not by what: " substr(text, 1, 70)
			text = ""
		}
		/^$/ || /^- / || /^#/ { judge() }
		{ text = text (text == "" ? "" : " ") $0 }
		END { judge() }' "$1"
	grep -oE '`bench_[a-z]+`' "$1" | tr -d '`' | sort -u |
	while read -r bench; do
		test -f "tests/bench/$bench.c" ||
			echo "$1: there is no benchmark $bench"
	done
}

check_note()
{
	check_claims "$1"
	section "$1" "The test that proves it" | tests_named >"$tmp/tests"
	test -s "$tmp/tests" || echo "$1 names no test"
	while read -r path; do
		test -f "$path" || echo "$1: there is no $path"
		name=${path%.c}
		grep -qE "^[[:space:]]$name( |\$)" tests/*/*.am ||
			echo "$1: $path is in no list of tests/*/*.am"
	done <"$tmp/tests"
	section "$1" "Where used" |
		grep -qE '(lib|uffd)/[a-z0-9_/]+\.[ch]' ||
		echo "$1 does not say where it is used"
	grep -qF "$1 " kernel-notes/kernel-notes.am ||
		echo "$1 is not in kernel-notes.am"
}

sed -n 's/^FL_FEATURE([A-Z_0-9]*, "\([^"]*\)", "\([^"]*\)", "\([^"]*\)".*/\1 \2 \3/p' \
	uffd/features.def >"$tmp/rows"
rows=$(grep -c '^FL_FEATURE(' uffd/features.def)
test "$rows" -gt 0 && test "$(wc -l <"$tmp/rows")" -eq "$rows" ||
	failed "cannot read the rows of uffd/features.def"

{
	while read -r name since note; do
		check_row "$name" "$since" "$note"
	done <"$tmp/rows"
	for note in kernel-notes/*.md; do
		test "$note" = kernel-notes/README.md || check_note "$note"
	done
} >"$tmp/complaints"
cat "$tmp/complaints"
test ! -s "$tmp/complaints" || failed "a note is missing something"
echo "$rows features, $(($(find kernel-notes -name '*.md' | wc -l) - 1)) notes"
passed
