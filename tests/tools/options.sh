#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# options.sh - what the tools have in common.
#
# Each option of a tool is in its source, in its --help, under a tag of its page
# and in its completion. -h is --help, -V is --version, and a wrong command line
# is status 64.

. "$srcdir/tests/kit/functions.sh"
make_tmp
tools=$srcdir/tools

# The options on standard input, a line each.
options()
{
	grep -oE -e '--[a-z][a-z-]*' | sort -u
}

# The tags of a page, in man's or in mdoc's macros.
tags()
{
	awk '/^\.TP/ { getline; print } /^\.It Fl/' "$1" |
		sed 's/\\-/-/g; s/^\(\.It.*[ ]\)-/\1--/; s/^\.It Fl //
			s/^\([a-zA-Z]\) /-\1 /'
}

compare()
{
	diff "$tmp/source" "$tmp/$2" ||
		failed "options of $1 in its source (<) and in $2 (>)"
}

# check NAME SOURCE - the options of the source are in $tmp/source.
check()
{
	"$FL_BUILDDIR/tools/$1" --help >"$tmp/help.text" ||
		failed "$1 --help: exit status $?"
	options <"$tmp/help.text" >"$tmp/help"
	tags "$tools/$1.1" >"$tmp/tags"
	options <"$tmp/tags" >"$tmp/page"
	grep -v '^#' "$tools/$1.bash" | options >"$tmp/completion"
	for list in help page completion; do
		compare "$1" $list
	done
	for short in -h -V; do
		for text in "$tmp/help.text" "$tmp/tags" "$tools/$1.bash"; do
			grep -qw -e "$short" "$text" ||
				failed "$1: $short is not in ${text##*/}"
		done
	done
	"$FL_BUILDDIR/tools/$1" -h | cmp -s - "$tmp/help.text" ||
		failed "$1 -h is not $1 --help"
	for version in -V --version; do
		test "$("$FL_BUILDDIR/tools/$1" $version)" = \
			"$1 ${FL_VERSION:?}" || failed "$1 $version"
	done
	"$FL_BUILDDIR/tools/$1" --no-such-option >"$tmp/out" 2>"$tmp/err"
	status=$?
	test $status -eq 64 || failed "$1: a wrong option is status $status"
	test ! -s "$tmp/out" || failed "$1: a wrong option prints to stdout"
}

sed '/^usage()/,/^}/d; /^[[:space:]]*#/d' "$tools/uffd-probe.sh" |
	options >"$tmp/source"
check uffd-probe
for name in uffd-stat wasm-image; do
	test -x "$FL_BUILDDIR/tools/$name" || failed "no $name"
	sed -n 's/^	{ "\([a-z-]*\)", [a-z]*_argument,.*/--\1/p' \
		"$tools/$name.c" | sort -u >"$tmp/source"
	check $name
done
passed
