#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# readme.sh - the documents say what is there.
#
# The examples in README.md are made of lines of tests/api/minimal.c, clone.c,
# examples/sessions/guest.c and tests/consumers/wasmtime/session.c; the files, calls and test cases that the documents mention exist; the walk in
# HACKING.md names each source once, from the top floor down; each kernel note is
# in the index and has every heading of its template.

. "$srcdir/tests/kit/functions.sh"
make_tmp
cd "$srcdir" || failed "no source directory"
documents='README.md HACKING.md NEWS.md'
for note in kernel-notes/*.md tests/README tests/*/README examples/*/README; do
	documents="$documents $note"
done

# check_excerpt N PROGRAM - the Nth example in README.md is an excerpt of a program
# that is built and run: every line is a line of the program, and the lines come
# in the program's order.
check_excerpt()
{
	awk -v n="$1" '/^```c$/ { inside = ++seen == n; next }
	/^```$/ { inside = 0 }
	inside' README.md >"$tmp/excerpt.c"
	awk 'FNR == NR { line[count++] = $0; next }
	at < count && $0 == line[at] { at++ }
	END {
		if (at < count)
			print "not in its place in the program: " line[at]
		if (count < 10 || count > 25)
			print "the excerpt has " count + 0 " lines, not 10 to 25"
		exit count < 10 || count > 25 || at < count
	}' "$tmp/excerpt.c" "$2" ||
		failed "example $1 in README.md is not made of $2"
}
check_excerpt 1 tests/api/minimal.c
check_excerpt 2 tests/api/clone.c
check_excerpt 3 examples/sessions/guest.c
check_excerpt 4 tests/consumers/wasmtime/session.c

# Paths: a folder of ours, a slash, and a name; a name without a suffix stands
# for the files that have one.
check_paths()
{
	grep -oE '(lib|uffd|tools|tests|examples|kernel-notes|pictures|m4|\.ci)/[A-Za-z0-9_./*-]*' \
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
			grep -qE "\<$name\(" lib/faultline.h \
				lib/adapters/*/*.h ||
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

# The walk in HACKING.md. A unit is a path without suffix, as in layers.sh: its
# header and its source are one. The walk names each unit of lib/ and uffd/ once,
# adapters left out, and never a unit of a higher floor after one of a lower.
walk_sources='(lib|uffd)/[a-z0-9_/]+\.(c|h|def)'
check_walk()
{
	awk '/^## / { inside = $0 == "## The walk: the life of one instance" }
		inside' HACKING.md | grep -oE "$walk_sources" |
		sed 's/\.[a-z]*$//' >"$tmp/walk"
	find lib uffd \( -name '*.[ch]' -o -name '*.def' \) \
		! -path 'lib/adapters/*' | sed 's/\.[a-z]*$//' | sort -u |
	while read -r unit; do
		times=$(grep -cxF "$unit" "$tmp/walk")
		test "$times" -eq 1 ||
			echo "HACKING.md: the walk names $unit $times times"
	done
	# A unit that the table does not know yet is on the highest floor of its
	# folder.
	sed -n "/<<'EOF'\$/,/^EOF\$/p" tests/tree/layers.sh |
	awk 'FNR == NR {
		floors++
		for (i = 2; i <= NF; i++)
			floor[$1 "/" $i] = floors
		folder[$1] = floors
		next
	}
	{
		of = $1
		sub(/\/[^\/]*$/, "", of)
		here = $1 in floor ? floor[$1] : folder[of]
		if (last && here > last)
			print "HACKING.md: the walk goes up to " $1
		last = here
	}' - "$tmp/walk"
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
check_walk >>"$tmp/complaints"
cat "$tmp/complaints"
test ! -s "$tmp/complaints" || failed "the documents say what is not so"
passed
