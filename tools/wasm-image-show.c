/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-show.c - the verb show: a module as a pool sees it, as text or as
 * one JSON object; wasm-image-svg.c draws.
 *
 * Names come from the module and may hold anything that is UTF-8: they are
 * printed in quotes, with everything but plain ASCII escaped.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wasm-image.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WPAGE_BYTES ((uint64_t)65536)
#define MAP_COLUMNS 64

size_t text_decode(const unsigned char *text, size_t len, uint32_t *point)
{
	size_t follow = *text >= 0xf0 ? 3 : *text >= 0xe0 ? 2 : 1;

	*point = *text;
	if (*text < 0x80)
		return 1;
	if (*text >= 0xc2 && *text < 0xf5 && follow < len) {
		*point = *text & (0x3fu >> follow);
		for (size_t i = 1; i <= follow; i++) {
			if ((text[i] & 0xc0) != 0x80)
				goto invalid;
			*point = *point << 6 | (text[i] & 0x3f);
		}
		return follow + 1;
	}
invalid:
	*point = 0xfffd;
	return 1;
}

/* In quotes, with everything but plain ASCII as \uXXXX: good as JSON, and
 * harmless on a terminal. */
void print_quoted(const char *text, size_t len)
{
	uint32_t point;

	putchar('"');
	while (len) {
		size_t used =
			text_decode((const unsigned char *)text, len, &point);

		if (point == '"' || point == '\\')
			printf("\\%c", (int)point);
		else if (point >= 0x20 && point < 0x7f)
			putchar((int)point);
		else if (point < 0x10000)
			printf("\\u%04x", (unsigned int)point);
		else
			printf("\\u%04x\\u%04x",
			       0xd7c0u + (unsigned int)(point >> 10),
			       0xdc00u + (unsigned int)(point & 0x3ff));
		text += used;
		len -= used;
	}
	putchar('"');
}

const char *bool_text(bool value)
{
	return value ? "true" : "false";
}

/* How many host pages of a WebAssembly page hold data. The image's last host
 * page may be cut at the initial size. */
static unsigned int data_hpages(const struct fl_image *image,
				uint64_t wpage_idx)
{
	uint64_t off = wpage_idx * WPAGE_BYTES, end = off + WPAGE_BYTES;
	uint64_t bytes = 0;
	struct fl_image_run run;

	while (off < end && fl_image_next_run(image, off, &run) &&
	       run.offset_bytes < end) {
		off = run.offset_bytes + run.length_bytes;
		bytes += (off < end ? off : end) - run.offset_bytes;
	}
	return (unsigned int)((bytes + hpage_bytes() - 1) / hpage_bytes());
}

static char map_glyph(const struct fl_image *image, uint64_t wpage_idx)
{
	unsigned int all = (unsigned int)(WPAGE_BYTES / hpage_bytes());
	unsigned int count = data_hpages(image, wpage_idx), tenths;

	if (!count)
		return '.';
	if (count == all)
		return '#';
	tenths = count * 10 / all;
	return (char)('0' + (tenths ? tenths : 1));
}

static void print_zero_rows(uint64_t wpages)
{
	if (wpages)
		printf("    %14s(%" PRIu64 " zero pages)\n", "", wpages);
}

/* The first 64 KiB page with data from the given one on; UINT64_MAX: none. */
static uint64_t next_wpage(const struct fl_image *image, uint64_t wpage_idx)
{
	struct fl_image_run run;

	return fl_image_next_run(image, wpage_idx * WPAGE_BYTES, &run) ?
		       run.offset_bytes / WPAGE_BYTES :
		       UINT64_MAX;
}

/* Rows of the span; rows without data are counted, not drawn, and not looked at:
 * there may be millions of them. */
static void print_map(const struct memory *memory)
{
	const struct fl_image_info *info = &memory->info;
	uint64_t first = info->data_first_bytes / WPAGE_BYTES, rows;

	printf("  map      a character for each 64 KiB page of the span: . zero, # data in all\n"
	       "           its host pages, 1 to 9 in that many tenths of them\n");
	for (uint64_t i = 0; i < info->spanned_wpages; i += MAP_COLUMNS) {
		uint64_t columns = info->spanned_wpages - i;
		uint64_t next = next_wpage(memory->image, first + i);
		char row[MAP_COLUMNS + 1];

		if (next == UINT64_MAX) {
			print_zero_rows(columns);
			return;
		}
		rows = (next - first - i) / MAP_COLUMNS;
		print_zero_rows(rows * MAP_COLUMNS);
		i += rows * MAP_COLUMNS;
		columns = info->spanned_wpages - i;
		if (columns > MAP_COLUMNS)
			columns = MAP_COLUMNS;
		for (uint64_t c = 0; c < columns; c++)
			row[c] = map_glyph(memory->image, first + i + c);
		row[columns] = '\0';
		printf("    0x%010" PRIx64 "  %s\n", (first + i) * WPAGE_BYTES,
		       row);
	}
}

void show_image(const struct memory *memory)
{
	const struct fl_image_info *info = &memory->info;

	if (!memory->image) {
		printf("  image    none: %s\n", memory->reason);
		return;
	}
	printf("  image    %" PRIu64 " bytes to start with, %" PRIu64
	       " stored, %u extent%s to map\n",
	       info->initial_bytes, info->stored_bytes, info->extent_count,
	       info->extent_count == 1 ? "" : "s");
	if (info->trap)
		printf("  trap     %s at data segment %u: instantiation ends there\n",
		       fl_trap_name(info->trap), info->trap_segment_idx);
	if (!info->data_end_bytes) {
		printf("  data     none: all zero\n");
		return;
	}
	printf("  data     from byte %" PRIu64 " up to %" PRIu64
	       "; pages with a byte that is not zero, of pages spanned:\n"
	       "           64 KiB %" PRIu64 "/%" PRIu64 ", host (%" PRIu64
	       " bytes) %" PRIu64 "/%" PRIu64 "\n",
	       info->data_first_bytes, info->data_end_bytes, info->data_wpages,
	       info->spanned_wpages, hpage_bytes(), info->data_hpages,
	       info->spanned_hpages);
	print_map(memory);
}

static void show_names(const struct fl_memory_type *type)
{
	if (type->is_imported) {
		printf("imported as ");
		print_quoted(type->import_module, type->import_module_bytes);
		putchar(' ');
		print_quoted(type->import_name, type->import_name_bytes);
	} else {
		printf("defined");
	}
	if (type->export_name) {
		printf(", exported as ");
		print_quoted(type->export_name, type->export_name_bytes);
	}
}

static void show_range(const char *unit, uint64_t min, uint64_t max)
{
	if (max == UINT64_MAX)
		printf("%" PRIu64 " %s or more", min, unit);
	else
		printf("%" PRIu64 " to %" PRIu64 " %s", min, max, unit);
}

static void show_memory(const struct subject *subject, uint32_t memory_idx)
{
	const struct memory *memory = &subject->memories[memory_idx];
	const struct fl_memory_type *type = &memory->type;

	printf("memory %u: ", memory_idx);
	show_names(type);
	printf("\n  limits   ");
	show_range("pages", type->min_pages, type->max_pages);
	printf(" of %" PRIu64 " byte%s%s%s\n", type->page_bytes,
	       type->page_bytes == 1 ? "" : "s", type->is_64 ? ", 64-bit" : "",
	       type->is_shared ? ", shared" : "");
	show_image(memory);
}

static struct fl_table_type table_type(const struct subject *subject,
				       uint32_t table_idx)
{
	struct fl_table_type type = { .size = sizeof(type) };

	if (fl_module_table_type(subject->module, table_idx, &type))
		exit(fail("no memory"));
	return type;
}

static void show_table(const struct subject *subject, uint32_t table_idx)
{
	struct fl_table_type type = table_type(subject, table_idx);

	printf("table %u: %s%s, of %s\n  limits   ", table_idx,
	       type.is_imported ? "imported" : "defined",
	       type.is_exported ? ", exported" : "",
	       type.is_func ? "functions" : "other references");
	show_range("elements", type.min_elements, type.max_elements);
	printf("%s\n  initial  %" PRIu64 " in element segments%s\n"
	       "  changed  %s\n",
	       type.is_64 ? ", 64-bit" : "", type.init_elements,
	       type.has_init ? ", the others by an initialiser" : "",
	       type.is_changed ? "by code" : "never by code");
}

static void show_text(const struct subject *subject)
{
	const struct fl_module_info *info = &subject->info;

	printf("%s: %" PRIu64 " bytes, backend %s\n"
	       "data       %u active %s of %" PRIu64
	       " bytes, %u passive of %" PRIu64 "\n"
	       "elements   %u %s\n"
	       "globals    %u, of them %u imported\n"
	       "start      %s\n",
	       subject->options->path, info->length_bytes,
	       fl_context_backend(subject->context), info->active_data_count,
	       noun(info->active_data_count, "segment", "segments"),
	       info->active_data_bytes,
	       info->data_count - info->active_data_count,
	       info->passive_data_bytes, info->element_count,
	       noun(info->element_count, "segment", "segments"),
	       info->global_count, info->imported_global_count,
	       info->has_start ? "a function" : "none");
	for (uint32_t i = 0; i < info->memory_count; i++)
		show_memory(subject, i);
	for (uint32_t i = 0; i < info->table_count; i++)
		show_table(subject, i);
}

static void json_name(const char *key, const char *name, size_t len)
{
	printf(",\"%s\":", key);
	if (name)
		print_quoted(name, len);
	else
		printf("null");
}

/* Pairs: index of a 64 KiB page, and how many of its host pages hold data. */
static void json_map(const struct memory *memory)
{
	const struct fl_image_info *info = &memory->info;
	uint64_t first = info->data_first_bytes / WPAGE_BYTES;
	const char *comma = "";

	printf(",\"wpages\":[");
	for (uint64_t i = first; info->spanned_wpages; i++) {
		i = next_wpage(memory->image, i);
		if (i == UINT64_MAX)
			break;
		printf("%s[%" PRIu64 ",%u]", comma, i,
		       data_hpages(memory->image, i));
		comma = ",";
	}
	putchar(']');
}

void json_image(const struct memory *memory)
{
	const struct fl_image_info *info = &memory->info;

	if (!memory->image) {
		printf(",\"image\":null,\"no_image_reason\":");
		print_quoted(memory->reason, strlen(memory->reason));
		return;
	}
	printf(",\"image\":{\"initial_bytes\":%" PRIu64
	       ",\"data_first_bytes\":%" PRIu64 ",\"data_end_bytes\":%" PRIu64
	       ",\"spanned_wpages\":%" PRIu64 ",\"data_wpages\":%" PRIu64
	       ",\"spanned_hpages\":%" PRIu64 ",\"data_hpages\":%" PRIu64
	       ",\"stored_bytes\":%" PRIu64 ",\"extent_count\":%u",
	       info->initial_bytes, info->data_first_bytes,
	       info->data_end_bytes, info->spanned_wpages, info->data_wpages,
	       info->spanned_hpages, info->data_hpages, info->stored_bytes,
	       info->extent_count);
	if (info->trap)
		printf(",\"trap\":\"%s\",\"trap_segment_idx\":%u",
		       fl_trap_name(info->trap), info->trap_segment_idx);
	else
		printf(",\"trap\":null,\"trap_segment_idx\":null");
	json_map(memory);
	printf("},\"no_image_reason\":null");
}

static void json_max(const char *key, uint64_t max)
{
	if (max == UINT64_MAX)
		printf(",\"%s\":null", key);
	else
		printf(",\"%s\":%" PRIu64, key, max);
}

static void json_memory(const struct subject *subject, uint32_t memory_idx)
{
	const struct memory *memory = &subject->memories[memory_idx];
	const struct fl_memory_type *type = &memory->type;

	printf("%s{\"memory_idx\":%u,\"is_imported\":%s", memory_idx ? "," : "",
	       memory_idx, bool_text(type->is_imported));
	json_name("import_module", type->import_module,
		  type->import_module_bytes);
	json_name("import_name", type->import_name, type->import_name_bytes);
	json_name("export_name", type->export_name, type->export_name_bytes);
	printf(",\"min_pages\":%" PRIu64, type->min_pages);
	json_max("max_pages", type->max_pages);
	printf(",\"page_bytes\":%" PRIu64 ",\"is_64\":%s,\"is_shared\":%s",
	       type->page_bytes, bool_text(type->is_64),
	       bool_text(type->is_shared));
	json_image(memory);
	putchar('}');
}

static void json_table(const struct subject *subject, uint32_t table_idx)
{
	struct fl_table_type type = table_type(subject, table_idx);

	printf("%s{\"table_idx\":%u,\"is_imported\":%s,\"min_elements\":%" PRIu64,
	       table_idx ? "," : "", table_idx, bool_text(type.is_imported),
	       type.min_elements);
	json_max("max_elements", type.max_elements);
	printf(",\"init_elements\":%" PRIu64
	       ",\"is_64\":%s,\"is_func\":%s,\"has_init\":%s"
	       ",\"is_exported\":%s,\"is_changed\":%s}",
	       type.init_elements, bool_text(type.is_64),
	       bool_text(type.is_func), bool_text(type.has_init),
	       bool_text(type.is_exported), bool_text(type.is_changed));
}

static void show_json(const struct subject *subject)
{
	const struct fl_module_info *info = &subject->info;

	printf("{\"file\":");
	print_quoted(subject->options->path, strlen(subject->options->path));
	printf(",\"length_bytes\":%" PRIu64
	       ",\"backend\":\"%s\",\"hpage_bytes\":%" PRIu64
	       ",\"active_data_count\":%u,\"active_data_bytes\":%" PRIu64
	       ",\"passive_data_count\":%u,\"passive_data_bytes\":%" PRIu64
	       ",\"element_count\":%u,\"global_count\":%u"
	       ",\"imported_global_count\":%u,\"has_start\":%s,\"memories\":[",
	       info->length_bytes, fl_context_backend(subject->context),
	       hpage_bytes(), info->active_data_count, info->active_data_bytes,
	       info->data_count - info->active_data_count,
	       info->passive_data_bytes, info->element_count,
	       info->global_count, info->imported_global_count,
	       bool_text(info->has_start));
	for (uint32_t i = 0; i < info->memory_count; i++)
		json_memory(subject, i);
	printf("],\"tables\":[");
	for (uint32_t i = 0; i < info->table_count; i++)
		json_table(subject, i);
	printf("]}\n");
}

int show(const struct subject *subject)
{
	if (subject->options->is_svg)
		svg_print(subject->options->path, "memory", subject->memories,
			  subject->info.memory_count);
	else if (subject->options->is_json)
		show_json(subject);
	else
		show_text(subject);
	return 0;
}
