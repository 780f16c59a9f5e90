#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# layers.sh - includes go downward only.
#
# The first table gives each file of lib/, by its name without suffix, a rank:
# it may include headers of its own rank or below. The second says, for files
# outside that order, by path prefix (longest first), which headers they may
# include; the first row that matches a file decides. Only #include "..." and
# includes of our own headers in <...> are looked at. A file in no table is a
# failure: a new file finds its place here first.

. "$srcdir/tests/functions.sh"
make_tmp

cat >"$tmp/ranks" <<'EOF'
0 faultline
1 util bits run error sized
2 os posix watch
3 contents cursor valtype opcodes constexpr reader_pass reader_entities reader_segments reader
4 image
5 backend segmented
6 context backends
7 store
8 module datafree element
9 freelist stock
10 pool bank region layout lookup memory usage audit instance initialise bulk table table_ops table_pool stack metrics validate
EOF

# file prefix, then what it may include: paths, or dir/ for all of a folder
cat >"$tmp/rules" <<'EOF'
lib/adapters/wasm2c/ lib/faultline.h lib/adapters/wasm2c/
lib/ RANKED
uffd/ lib/faultline.h lib/base/ lib/os/ lib/image/ lib/backend.h uffd/
tools/ lib/faultline.h tools/
EOF

cd "$srcdir" || failed "no source directory"
files=$(find lib uffd tools \( -name '*.[ch]' -o -name '*.cc' \) | sort)
test -n "$files" || failed "found no source file"

# One line per include of a header of ours: "file header", as paths from the
# top, looked up as the compiler does: beside the file, at the top, in lib/.
for file in $files; do
	sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]\([^">]*\)[">].*/\1/p' "$file" |
	while read -r name; do
		for path in "${file%/*}/$name" "$name" "lib/$name"; do
			if test -f "$path"; then
				# a/../b is b
				echo "$file $path" | sed 's,[^/ ]*/\.\./,,g'
				break
			fi
		done
	done
	echo "$file -"
done >"$tmp/includes"

awk -v ranks="$tmp/ranks" -v rules="$tmp/rules" '
function stem(path) {
	sub(/.*\//, "", path)
	sub(/\.[a-z]*$/, "", path)
	return path
}
function complain(text) {
	print text
	bad = 1
}
function allowed(file, header, rule,    i, word, n) {
	n = split(rule, word, " ")
	for (i = 2; i <= n; i++) {
		if (word[i] == "RANKED") {
			if (header ~ /^lib\// &&
			    rank[stem(header)] <= rank[stem(file)])
				return 1
		} else if (word[i] ~ /\/$/) {
			if (index(header, word[i]) == 1)
				return 1
		} else if (header == word[i]) {
			return 1
		}
	}
	return 0
}
BEGIN {
	while ((getline < ranks) > 0)
		for (i = 2; i <= NF; i++)
			rank[$i] = $1
	while ((getline line < rules) > 0)
		rule[++n_rules] = line
}
{
	for (r = 1; r <= n_rules; r++) {
		split(rule[r], word, " ")
		if (index($1, word[1]) == 1)
			break
	}
	if (r > n_rules) {
		complain($1 ": no rule of layers.sh covers it")
		next
	}
	if (rule[r] ~ /RANKED/ && !(stem($1) in rank)) {
		complain($1 ": has no rank in layers.sh")
		next
	}
	if ($2 == "-")
		next
	if (rule[r] ~ /RANKED/ && $2 ~ /^lib\// && !(stem($2) in rank))
		complain($2 ": has no rank in layers.sh")
	else if (!allowed($1, $2, rule[r]))
		complain($1 ": must not include " $2)
}
END { exit bad }' "$tmp/includes" | sort -u >"$tmp/complaints"
cat "$tmp/complaints"
test ! -s "$tmp/complaints" || failed "an include goes upward"
echo "$(grep -vc -e ' -$' "$tmp/includes") includes follow the order"
passed
