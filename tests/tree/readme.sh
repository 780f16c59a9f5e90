#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# readme.sh - the documents say what is there.
#
# The example in README.md is tests/api/minimal.c; the files, calls and test cases
# that the documents mention exist; each kernel note is in the index and has
# every heading of its template.

. "$srcdir/tests/kit/functions.sh"
make_tmp
cd "$srcdir" || failed "no source directory"
documents='README.md HACKING.md NEWS.md'
for note in kernel-notes/*.md; do
	documents="$documents $note"
done

awk '/^```c$/ { inside = 1; next } /^```$/ { inside = 0 } inside' README.md \
	>"$tmp/example.c"
diff tests/api/minimal.c "$tmp/example.c" ||
	failed "the example in README.md is not tests/api/minimal.c"

# Paths: a folder of ours, a slash, and a name; a name without a suffix stands
# for the files that have one.
check_paths()
{
	grep -oE '(lib|uffd|tools|tests|kernel-notes|m4|\.ci)/[A-Za-z0-9_./*-]*' \
		"$1" | sed 's/[.]*$//' | sort -u |
	while read -r path; do
		# shellcheck disable=SC2086 # patterns
		set -- $path $path.*
		test -e "$1" || test -e "$2" ||
			echo "$document: there is no $path"
	done
}

# Calls, written with their parentheses: public ones are in the header,
# internal ones somewhere.
check_calls()
{
	grep -oE '\<fl_[a-z0-9_]+\(\)' "$1" | sort -u | tr -d '()' |
	while read -r name; do
		case $name in
		fl__*)
			grep -qrE "\<$name\(" lib uffd ||
				echo "$1: nothing is called $name()"
			;;
		*)
			grep -qE "\<$name\(" lib/faultline.h ||
				echo "$1: faultline.h has no $name()"
			;;
		esac
	done
}

# Test cases, written `folder/program: case`, also over the end of a line.
check_cases()
{
	# shellcheck disable=SC2016 # backquotes of the document
	tr -s ' \n' '  ' <"$1" | grep -oE '`[a-z0-9_/]+: [a-z0-9_]+`' |
	tr -d '`:' | sort -u |
	while read -r program name; do
		grep -qsE "TEST_CASE[A-Z_]*\($name\>" "tests/$program.c" ||
			echo "$1: tests/$program.c has no case $name"
	done
}

check_note()
{
	name=${1##*/}
	grep -qF "($name)" kernel-notes/README.md ||
		echo "kernel-notes/README.md does not list $name"
	sed -n 's/^- \*\*\(.*\)\*\*.*/\1/p' kernel-notes/README.md |
	while read -r heading; do
		grep -qxF "## $heading" "$1" ||
			echo "$1 has no section \"$heading\""
	done
}

for document in $documents; do
	check_paths "$document"
	check_calls "$document"
	check_cases "$document"
	case $document in
	kernel-notes/README.md) ;;
	kernel-notes/*) check_note "$document" ;;
	esac
done >"$tmp/complaints"
cat "$tmp/complaints"
test ! -s "$tmp/complaints" || failed "the documents say what is not so"
passed
