# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# manual.awk - the manual pages of section 3, made of faultline.h.
#
# Takes the public header on its input and the variables out (a folder), version
# and date. Gives faultline.3 from the header's head, one page for each part of
# the header that a line of dashes begins, fl_<part>.3, and for each function,
# struct and enum a page of one line that refers to its part's page. The header is the one text:
# what a comment there says, the page says.
#
# The header is read as items. An item is a comment, what is declared right
# below that comment, and what follows without an empty line between. A comment
# followed by an empty line is a paragraph of its own.

BEGIN {
	part = ""
	depth = 0
}

# ------------------------------------------------------------------- escaping

function plain(s)
{
	gsub(/\\/, "\\e", s)
	gsub(/-/, "\\-", s)
	gsub(/─/, "\\-", s)
	gsub(/│/, "|", s)
	gsub(/┬|└|├/, "+", s)
	return s
}

# Names of calls are bold.
function text(s,	out, name)
{
	s = plain(s)
	out = ""
	while (match(s, /(fl|FL)_[a-zA-Z0-9_]+/)) {
		name = substr(s, RSTART, RLENGTH)
		out = out substr(s, 1, RSTART - 1) "\\fB" name "\\fP"
		s = substr(s, RSTART + RLENGTH)
	}
	s = out s
	return s ~ /^[.']/ ? "\\&" s : s
}

# A line of code, as it stands.
function code(s,	out, i, c)
{
	out = ""
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		if (c == "\t")
			do
				out = out " "
			while (length(out) % 8)
		else
			out = out c
	}
	out = plain(out)
	return out ~ /^[.']/ ? "\\&" out : out
}

# A line of code without its first columns, where these are blank.
function unindent(s, columns,	out, at)
{
	for (at = 0; s ~ /^[ \t]/; s = substr(s, 2))
		at = substr(s, 1, 1) == "\t" ? at + 8 - at % 8 : at + 1
	out = ""
	while (at-- > columns)
		out = out " "
	return out s
}

# -------------------------------------------------------------------- comments

# The bare text of a comment's lines, in words[1..n].
function strip(raw, count, words,	i, s)
{
	for (i = 1; i <= count; i++) {
		s = raw[i]
		sub(/^\/\*[ ]?/, "", s)
		sub(/[ ]*\*\/[ ]*$/, "", s)
		sub(/^ \*[ ]?/, "", s)
		words[i] = s
	}
	return count
}

# Prose, lists that begin with "- ", and lines that a tab or a quoted word with a
# tab behind it sets apart.
function prose(words, from, count,	i, s, in_code, in_list, out, is_fresh)
{
	out = ""
	in_code = in_list = is_fresh = 0
	for (i = from; i <= count; i++) {
		s = words[i]
		if (in_code && s !~ /\t/) {
			out = out ".fi\n"
			in_code = 0
			is_fresh = 0
		}
		if (s ~ /^[ \t]*$/) {
			is_fresh = out != ""
			continue
		}
		if (s ~ /\t/) {
			if (!in_code)
				out = out (is_fresh ? ".PP\n" : "") ".nf\n"
			in_code = 1
			is_fresh = 0
			out = out code(s) "\n"
			continue
		}
		if (s ~ /^- /) {
			out = out ".IP \\(bu 2\n"
			in_list = 1
			sub(/^- /, "", s)
		} else if (is_fresh || (in_list && s !~ /^ /)) {
			out = out ".PP\n"
			in_list = 0
		}
		sub(/^ +/, "", s)
		is_fresh = 0
		out = out text(s) "\n"
	}
	if (in_code)
		out = out ".fi\n"
	return out
}

# ----------------------------------------------------------------------- pages

function header(name, what)
{
	return ".\\\" SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception\n" \
	       ".\\\" Made of faultline.h by manual.awk.\n" \
	       ".TH " toupper(name) " 3 " date " \"Faultline " version \
	       "\" \"Library Functions Manual\"\n.SH NAME\n" name \
	       " \\- " what "\n"
}

function part_close(	i, file, see)
{
	if (part == "")
		return
	file = out "/" part ".3"
	printf "%s", header(part, "Faultline: " title) >file
	printf ".SH SYNOPSIS\n.nf\n#include <faultline.h>\n" >file
	printf "%s.fi\n.SH DESCRIPTION\n%s", synopsis, body >file
	printf ".SH SEE ALSO\n.BR faultline (3)\n" >file
	close(file)
	parts[++part_count] = part
	titles[part] = title
	part = ""
}

function part_open(s)
{
	part_close()
	title = s
	part = s
	gsub(/ /, "_", part)
	part = "fl_" part
	synopsis = ""
	body = ""
	calls[part] = ""
}

# A page that refers to this part's, unless the name is a part's own.
function refer(name,	file)
{
	if (name == part || name in titles || name in referred)
		return
	referred[name] = 1
	file = out "/" name ".3"
	printf ".so man3/%s.3\n", part >file
	close(file)
}

function alias(name)
{
	if (name in known)
		return
	known[name] = 1
	calls[part] = calls[part] (calls[part] == "" ? "" : ", ") name
	refer(name)
}

# ----------------------------------------------------------------------- items

# Declarations of an item: prototypes for the synopsis, types shown whole.
function item_close(	i, s, heads, shown, is_type, n, words, in_proto,
		    shift)
{
	if (!doc_count && !line_count)
		return
	heads = shown = ""
	is_type = in_proto = 0
	for (i = 1; i <= line_count; i++) {
		s = lines[i]
		if (s ~ /^(struct|enum) [a-z0-9_]+ \{/) {
			is_type = 1
			n = s
			sub(/ \{.*/, "", n)
			refer(substr(n, index(n, " ") + 1))
			heads = heads (heads == "" ? "" : ", ") n
		}
		if (is_type) {
			shown = shown code(s) "\n"
			if (s ~ /^\};/)
				is_type = 0
			continue
		}
		if (match(s, /^(FL_API|static inline) /)) {
			in_proto = 1
			shift = RLENGTH
			s = substr(s, shift + 1)
			synopsis = synopsis "\n"
		} else if (in_proto) {
			s = unindent(s, shift)
		}
		if (!in_proto)
			continue
		if (s ~ /^\{/) {
			in_proto = 0
			sub(/\n$/, ";\n", synopsis)
			continue
		}
		if (match(s, /fl_[a-z0-9_]+\(/)) {
			n = substr(s, RSTART, RLENGTH - 1)
			alias(n)
			heads = heads (heads == "" ? "" : ", ") n "()"
		}
		synopsis = synopsis code(s) "\n"
		if (s ~ /;[ \t]*$/)
			in_proto = 0
	}
	if (heads != "" || shown != "" || doc_count) {
		n = strip(doc, doc_count, words)
		if (heads != "")
			body = body ".SS " plain(heads) "\n"
		else if (doc_count && body != "")
			body = body ".PP\n"
		body = body prose(words, 1, n)
		if (shown != "")
			body = body (n ? ".PP\n" : "") ".nf\n" shown ".fi\n"
	}
	doc_count = line_count = 0
}

# The head of the file is the first page's.
FNR > 1 && !has_head {
	if ($0 ~ /^ \*\//) {
		has_head = 1
		next
	}
	head[++head_count] = $0
	next
}

/^\/\* -+ .* \*\/$/ {
	item_close()
	s = $0
	sub(/^\/\* -+ /, "", s)
	sub(/ \*\/$/, "", s)
	part_open(s)
	next
}

part == "" { next }

/^#ifdef __cplusplus/ {
	item_close()
	part_close()
	next
}

# Macros are for compilers: what they are for stands in the comments.
in_macro || /^#/ || /^FL__/ {
	in_macro = $0 ~ /\\$/
	next
}

in_doc || (depth == 0 && /^\/\*/) {
	if (!in_doc && line_count)
		item_close()
	doc[++doc_count] = $0
	in_doc = $0 !~ /\*\//
	next
}

/^[ \t]*$/ && depth == 0 {
	item_close()
	next
}

{
	lines[++line_count] = $0
	s = $0
	depth += gsub(/\{/, "", s)
	depth -= gsub(/\}/, "", s)
}

END {
	item_close()
	part_close()
	file = out "/faultline.3"
	count = strip(head, head_count, words)
	# The first line is the name and what it is.
	what = words[2]
	sub(/^.* - /, "", what)
	sub(/\.$/, "", what)
	printf "%s", header("faultline", what) >file
	printf ".SH SYNOPSIS\n.nf\n#include <faultline.h>\n.PP\n" >file
	printf "cc program.c $(pkg\\-config \\-\\-cflags \\-\\-libs faultline)\n" >file
	printf ".fi\n.SH DESCRIPTION\n%s", prose(words, 3, count) >file
	printf ".SH CALLS\n" >file
	for (i = 1; i <= part_count; i++) {
		printf ".TP\n.BR %s (3)\n", plain(parts[i]) >file
		printf "%s\n", text(titles[parts[i]] ": " calls[parts[i]]) >file
	}
	printf ".SH SEE ALSO\n.BR uffd\\-probe (1),\n.BR uffd\\-stat (1),\n.BR wasm\\-image (1),\n.BR faultline\\-porting (7),\n.BR faultline\\-tuning (7)\n" >file
	close(file)
}
