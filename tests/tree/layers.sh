#!/bin/sh
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# layers.sh - what uses what goes downward only.
#
# The table lists the floors from the bottom up, and on each floor its units from
# the bottom up. A unit is a file name without suffix: its header and its source
# are one. A unit may use units that the table names before it, and no others,
# so there is no circle and no two-way arrow. Using is seen in two ways: by
# #include, and by symbols, which object files define and want. A file in no row
# is a failure: a new file finds its place here first.
#
# Tools and adapters stand outside: they see the public header, and what lies
# in their own folder; adapters also lib/adapters/fail.h and resume.h.
#
# The last line counts what must not grow unseen.

. "$srcdir/tests/kit/functions.sh"
make_tmp

cat >"$tmp/floors" <<'EOF'
lib			faultline
lib/base		util copy bits error stats loads ctypes probes sized config run sha256_lanes sha256 checksum
lib/os			os threads windows windows_file posix watch file publish limits touch
lib/slots		stats
lib/wasm		contents cursor valtype opcodes constexpr reader_pass reader_entities reader_segments reader code survey
lib/image		image page_hash page_pack toc toc_form toc_read toc_pages toc_make page_source origin workset
lib			backend segmented
uffd			kernel confine filter ring uffd scan features probe memfd
uffd/load		direct lazy ahead large foresee places buffers table waiters desk turns unpack fill chores loader
uffd/track		policy dirty reset settle sweep track since
uffd			rung host storage arena ask show clean engine
lib			backends context
lib/module		holes store archive archive_write archive_pages archive_read image_file module describe element state_exports sink resumable datafree
lib/slots		freelist stock records layout slot bound pool reservation region overflow audit bank lookup
lib/instance		quota memory written table table_nulls table_life stack snapshot snapshot_state snapshot_file delta_head delta_bytes delta_write delta_check delta taking taking_values difference wake validate instance bulk bind restore initialise capture suspend suspend_instance delta_pack
lib/pool		config pool trim metrics fit
EOF

cd "$srcdir" || failed "no source directory"
files=$(find lib uffd tools \( -name '*.[ch]' -o -name '*.def' \) | sort)
test -n "$files" || failed "found no source file"

# One line per include of a header of ours: "file header", as paths from the
# top, looked up as the compiler does: beside the file, in lib/, at the top.
for file in $files; do
	sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*["<]\([^">]*\)[">].*/\1/p' "$file" |
	while read -r name; do
		for path in "${file%/*}/$name" "lib/$name" "$name"; do
			test ! -f "$path" || {
				echo "$file $path includes"
				break
			}
		done
	done
	echo "$file - -"
done >"$tmp/uses"

# One line per symbol that an object wants of another: "source source symbol".
# The objects of a build without the engine know nothing of uffd/.
srcdir=$(pwd)
cd "$FL_BUILDDIR" || failed "no build directory"
for object in $(find lib uffd -name 'libfaultline_internal_la-*.o' \
		2>/dev/null); do
	source=$(echo "$object" |
		sed 's,\.libs/,,;s,libfaultline_internal_la-,,;s,o$,c,')
	# Left over from a source that has gone.
	test -f "$srcdir/$source" || continue
	$NM -g "$object" | sed "s,^,$source ,"
done >"$tmp/symbols"
grep -q ' T fl_' "$tmp/symbols" || failed "found no object of the library"
awk '$NF !~ /^fl_/ { next }
$(NF - 1) == "U" { want[$1 " " $NF] = 1; next }
{ home[$NF] = $1 }
END {
	for (w in want) {
		split(w, part, " ")
		if (part[2] in home)
			print part[1], home[part[2]], part[2]
	}
}' "$tmp/symbols" >>"$tmp/uses"
cd "$srcdir" || failed "no source directory"

awk -v floors="$tmp/floors" '
function unit(path) {
	sub(/\.[a-z]*$/, "", path)
	return path
}
function complain(text) {
	print text
}
BEGIN {
	while ((getline line < floors) > 0) {
		n = split(line, word, " ")
		for (i = 2; i <= n; i++)
			rank[word[1] "/" word[i]] = ++ranks
	}
}
/^tools\// || /^lib\/adapters\// {
	folder = $1
	sub(/[^\/]*$/, "", folder)
	if ($2 != "-" && $2 != "lib/faultline.h" &&
	    index($2, folder) != 1 &&
	    !($2 ~ /^lib\/adapters\/(fail|resume)\.h$/ &&
	      folder != "tools/"))
		complain($1 ": must not use " $2)
	next
}
{
	from = unit($1)
	to = unit($2)
	if (!(from in rank))
		complain($1 ": has no place in layers.sh")
	else if ($2 == "-" || from == to)
		next
	else if (!(to in rank))
		complain($2 ": has no place in layers.sh")
	else if (rank[to] > rank[from])
		complain($1 ": must not use " $2 " (" $3 ")")
}' "$tmp/uses" | sort -u >"$tmp/complaints"
cat "$tmp/complaints"
test ! -s "$tmp/complaints" || failed "something looks upward"

# Code that is neither blank nor comment, as the preprocessor sees it.
code_lines()
{
	for file in $(find lib uffd \( -name '*.[ch]' -o -name '*.def' \)); do
		${CC:-cc} -fpreprocessed -dD -E -P -x c "$file" 2>/dev/null
	done | grep -c '[^[:space:]]'
}
# The table in pool.c that maps allocations to sources is no test.
on_demand=$(grep -rnE 'ON_DEMAND|on_demand' lib uffd --include='*.[ch]' |
	grep -v -e '^lib/faultline.h:' -e '^lib/slots/region.c:' \
		-e '\[FL_ALLOCATION_ON_DEMAND\] =' | grep -c .)
echo "$(grep -vc -e ' - -$' "$tmp/uses") uses go downward;" \
	"$(grep -c '^FL_API' lib/faultline.h) public functions," \
	"$(code_lines) lines of code in lib and uffd," \
	"$on_demand tests for on demand outside its file," \
	"0 two-way arrows"
test "$on_demand" -eq 0 || failed "a test for on demand stands outside region.c"
passed
