/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-schema.c - from the text of a schema to rows with names.
 *
 * Whoever wrote the text may be hostile, so text is taken byte by byte and each
 * count has a limit of ours. What is taken is kept for the next page with the
 * same text. The same text, and not the same hash: a hash can be forged, and would
 * give one process's names to another's numbers.
 */
#include "uffd-stat.h"

#include <stdlib.h>
#include <string.h>

/* Of a valid sequence of UTF-8 of printable characters, its length; else 0. */
static size_t utf8_length(const uint8_t *at, size_t left)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = at[0] < 0x80	    ? 1 :
		     (at[0] & 0xe0) == 0xc0 ? 2 :
		     (at[0] & 0xf0) == 0xe0 ? 3 :
		     (at[0] & 0xf8) == 0xf0 ? 4 :
					      0;
	uint32_t code;

	if (len == 1)
		return at[0] >= 0x20 && at[0] < 0x7f;
	if (!len || len > left)
		return 0;
	code = at[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (at[i] & 0x3f);
	}
	/* No controls of the second set, no surrogates. */
	return code < least[len] || code < 0xa0 || code > 0x10ffff ||
			       (code >= 0xd800 && code < 0xe000) ?
		       0 :
		       len;
}

void stat_text_copy(char *to, size_t size, const void *from, size_t len)
{
	const uint8_t *at = from;
	size_t used = 0;

	for (size_t i = 0; i < len && at[i];) {
		size_t step = utf8_length(at + i, len - i);

		if (used + (step ? step : 1) >= size)
			break;
		if (step)
			memcpy(to + used, at + i, step);
		else
			to[used] = '?';
		used += step ? step : 1;
		i += step ? step : 1;
	}
	to[used] = '\0';
}

/* A word of a line, and what is behind it; a name has only letters, digits and
 * '_', and a sum '+' and '-' too. */
static const char *word_take(const char *at, const char *end, const char *more,
			     char *to, size_t size)
{
	size_t len = 0;

	while (at < end && *at != ' ') {
		bool is_good = (*at >= 'a' && *at <= 'z') ||
			       (*at >= 'A' && *at <= 'Z') ||
			       (*at >= '0' && *at <= '9') || *at == '_' ||
			       (*at && strchr(more, *at));

		if (!is_good || len + 1 >= size)
			return NULL;
		to[len++] = *at++;
	}
	to[len] = '\0';
	return len && at < end ? at + 1 : NULL;
}

static bool row_take(const char *line, const char *end,
		     struct stat_schema *schema)
{
	struct stat_row *row = &schema->rows[schema->row_count];

	if (end - line < 4 || line[1] != ' ')
		return false;
	memset(row, 0, sizeof(*row));
	row->kind = *line;
	line = word_take(line + 2, end, "", row->name, sizeof(row->name));
	if (line)
		line = word_take(line, end, "", row->unit, sizeof(row->unit));
	if (line && row->kind == 'd')
		line = word_take(line, end, "+-", row->sum, sizeof(row->sum));
	if (!line)
		return false;
	stat_text_copy(row->help, sizeof(row->help), line,
		       (size_t)(end - line));
	if (row->kind == 't' || row->kind == 's') {
		struct stat_times *times = &schema->times[schema->times_count];

		if (schema->times_count == STAT_MAX_TIMES)
			return false;
		memcpy(times->name, row->name, sizeof(times->name));
		memcpy(times->help, row->help, sizeof(times->help));
		times->is_sizes = row->kind == 's';
		schema->times_count++;
		return true;
	}
	if (row->kind == 'l')
		row->at = schema->levels++;
	else if (row->kind == 'c' || row->kind == 'g')
		row->at = schema->words++;
	else if (row->kind != 'd')
		/* A kind that this reader does not know. */
		return true;
	schema->row_count++;
	return true;
}

static bool schema_parse(struct stat_schema *schema)
{
	const char *line = schema->text;
	const char *last = line + schema->text_bytes;

	while (line < last) {
		const char *end = memchr(line, '\n', (size_t)(last - line));

		if (!end || schema->row_count == STAT_MAX_ROWS ||
		    !row_take(line, end, schema))
			return false;
		line = end + 1;
	}
	for (size_t i = 0; i < schema->row_count; i++)
		schema->is_loads |=
			!strcmp(schema->rows[i].name, "loads_begun");
	return true;
}

void stat_schema_put(struct stat_schema *schema)
{
	if (schema && !--schema->refs)
		free(schema);
}

void stat_schemas_forget(struct stat_schemas *schemas)
{
	for (size_t i = 0; i < sizeof(schemas->schemas) / sizeof(void *); i++) {
		stat_schema_put(schemas->schemas[i]);
		schemas->schemas[i] = NULL;
	}
}

struct stat_schema *stat_schema_get(struct stat_schemas *schemas,
				    const char *text, size_t len)
{
	const size_t room = sizeof(schemas->schemas) / sizeof(void *);
	struct stat_schema *schema;

	for (size_t i = 0; i < room; i++) {
		schema = schemas->schemas[i];
		if (schema && schema->text_bytes == len &&
		    !memcmp(schema->text, text, len)) {
			schema->refs++;
			return schema;
		}
	}
	/* Rows are written one by one. */
	schema = malloc(sizeof(*schema) + len);
	if (!schema)
		return NULL;
	schema->words = schema->levels = 0;
	schema->is_loads = false;
	schema->row_count = schema->times_count = 0;
	schema->text_bytes = len;
	memcpy(schema->text, text, len);
	if (!schema_parse(schema)) {
		free(schema);
		return NULL;
	}
	stat_schema_put(schemas->schemas[schemas->next]);
	schemas->schemas[schemas->next] = schema;
	schemas->next = (schemas->next + 1) % room;
	schema->refs = 2;
	return schema;
}
