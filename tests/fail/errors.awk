# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# errors.awk - which errors faultline.h lists for each call: a row a call,
# { "fl_call", " ECODE ... " }. A comment serves the calls up to the next
# comment. What a comment says behind "Errors" is its list; the calls named there
# lend theirs. A comment without that word lists every code that it names.

/^\/\*/ {
	text = ""
	is_comment = 1
}

is_comment {
	line = $0
	sub(/^ \*/, "", line)
	text = text " " line
	if (/\*\//)
		is_comment = 0
	next
}

/^FL_API int / {
	name = $3
	sub(/^\**/, "", name)
	sub(/\(.*/, "", name)
	names[++count] = name
	list = text
	if (match(list, /Errors[: ]/))
		list = substr(list, RSTART)
	lists[name] = list
}

# The codes of a call, with those that it borrows.
function codes(name, depth,    rest, found, other)
{
	rest = lists[name]
	found = ""
	while (match(rest, /-E[A-Z0-9]+|fl_[a-z_0-9]+\(\)/)) {
		other = substr(rest, RSTART, RLENGTH)
		rest = substr(rest, RSTART + RLENGTH)
		if (other ~ /^-/) {
			found = found " " substr(other, 2)
			continue
		}
		sub(/\(\)/, "", other)
		if ((other in lists) && other != name && depth < 5)
			found = found codes(other, depth + 1)
	}
	return found
}

END {
	for (i = 1; i <= count; i++)
		printf "{ \"%s\", \"%s \" },\n", names[i], codes(names[i], 0)
}
