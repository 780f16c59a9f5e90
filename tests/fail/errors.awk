# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# errors.awk - which errors faultline.h lists for each call: a row a call,
# { "fl_call", " ECODE ... " }. A comment serves the calls up to the next
# comment. What a comment says behind "Errors" is its list. The calls named there
# lend nothing: they say what the codes mean. A comment without that word lists every
# code that it names.

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

# The codes of a call.
function codes(name,    rest, found, code)
{
	rest = lists[name]
	found = ""
	while (match(rest, /-E[A-Z0-9]+/)) {
		code = substr(rest, RSTART + 1, RLENGTH - 1)
		rest = substr(rest, RSTART + RLENGTH)
		if (index(found " ", " " code " ") == 0)
			found = found " " code
	}
	return found
}

END {
	for (i = 1; i <= count; i++)
		printf "{ \"%s\", \"%s \" },\n", names[i], codes(names[i])
}
