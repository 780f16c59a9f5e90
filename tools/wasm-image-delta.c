/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-delta.c - the verb delta: what a sleeping session has changed.
 *
 * Takes the bytes of a delta in a file, and the file of the snapshot that it is of;
 * gives text or one JSON object: which parts differ, which host pages of these,
 * which lines of 64 bytes of each page, and how many bytes. The library checks all
 * of both. The session's content is not shown: it is the tenant's.
 *
 * The delta is walked twice: once to count, once to list.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wasm-image.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 64
/* Of a page in the list; a larger host page is listed in steps. */
#define PAGE_BYTES 4096
#define PAGE_LINES (PAGE_BYTES / LINE_BYTES)

struct counts {
	uint64_t parts, pages, lines, bytes, items;
};

/* What is being listed: a part, and a page of it. */
struct listing {
	bool is_json, is_counting;
	struct counts counts;
	bool has_part, has_page;
	struct fl_difference part; /* its first stretch */
	struct counts in_part;
	uint64_t page_idx;
	char lines[PAGE_LINES + 1];
};

static const char *const part_names[] = {
	[FL_PART_MEMORY] = "memory",
	[FL_PART_PLAIN_TABLE] = "plain table",
	[FL_PART_TABLE] = "table",
	[FL_PART_STRUCTURE] = "structure",
	[FL_PART_DROPPED_DATA] = "dropped data segments",
	[FL_PART_DROPPED_ELEMENTS] = "dropped element segments",
	[FL_PART_STATE] = "state",
};

/* Is the part counted in bytes, and has it pages? */
static bool has_bytes(const struct fl_difference *part)
{
	return part->part != FL_PART_TABLE &&
	       part->part != FL_PART_DROPPED_DATA &&
	       part->part != FL_PART_DROPPED_ELEMENTS;
}

static bool has_index(const struct fl_difference *part)
{
	return part->part <= FL_PART_TABLE;
}

static void print_page(struct listing *l)
{
	uint64_t off = l->page_idx * PAGE_BYTES;

	if (l->is_json)
		printf("%s{\"offset_bytes\":%" PRIu64 ",\"lines\":\"%s\"}",
		       l->in_part.pages > 1 ? "," : "", off, l->lines);
	else
		printf("  0x%010" PRIx64 "  %s\n", off, l->lines);
}

static void page_end(struct listing *l)
{
	if (l->has_page && !l->is_counting)
		print_page(l);
	l->has_page = false;
}

/* One line of a part. */
static void line_add(struct listing *l, uint64_t off)
{
	if (!l->has_page || l->page_idx != off / PAGE_BYTES) {
		page_end(l);
		l->has_page = true;
		l->page_idx = off / PAGE_BYTES;
		l->counts.pages++;
		l->in_part.pages++;
		memset(l->lines, '.', PAGE_LINES);
		l->lines[PAGE_LINES] = '\0';
	}
	l->lines[off % PAGE_BYTES / LINE_BYTES] = '!';
	l->counts.lines++;
	l->in_part.lines++;
}

static void part_end(struct listing *l)
{
	page_end(l);
	if (l->has_part && !l->is_counting && l->is_json)
		printf("],\"changed_lines\":%" PRIu64
		       ",\"changed_bytes\":%" PRIu64 ",\"items\":%" PRIu64 "}",
		       l->in_part.lines, l->in_part.bytes, l->in_part.items);
	else if (l->has_part && !l->is_counting && has_bytes(&l->part))
		printf("  %" PRIu64 " page%s, %" PRIu64 " line%s, %" PRIu64
		       " bytes\n",
		       l->in_part.pages, l->in_part.pages == 1 ? "" : "s",
		       l->in_part.lines, l->in_part.lines == 1 ? "" : "s",
		       l->in_part.bytes);
	else if (l->has_part && !l->is_counting)
		printf("  %" PRIu64 " differ\n", l->in_part.items);
	l->has_part = false;
}

static void print_part(const struct listing *l)
{
	const struct fl_difference *part = &l->part;

	if (l->is_json) {
		printf("%s{\"instance_idx\":%u,\"part\":\"%s\",\"part_idx\":",
		       l->counts.parts > 1 ? "," : "", part->instance_idx,
		       part_names[part->part]);
		if (has_index(part))
			printf("%u", part->part_idx);
		else
			printf("null");
		printf(",\"length\":[%" PRIu64 ",%" PRIu64 "],\"pages\":[",
		       part->was_length, part->length);
		return;
	}
	printf("instance %u, %s", part->instance_idx, part_names[part->part]);
	if (has_index(part))
		printf(" %u", part->part_idx);
	printf(": %" PRIu64 " %s", part->length,
	       has_bytes(part)		   ? "bytes" :
	       part->part == FL_PART_TABLE ? "elements" :
					     "segments");
	if (part->was_length != part->length)
		printf(", in the snapshot %" PRIu64, part->was_length);
	putchar('\n');
}

static bool is_same_part(const struct fl_difference *a,
			 const struct fl_difference *b)
{
	return a->part == b->part && a->instance_idx == b->instance_idx &&
	       a->part_idx == b->part_idx;
}

static int on_difference(void *user, const struct fl_difference *difference)
{
	struct listing *l = user;
	uint64_t end = difference->first + difference->count;

	if (!l->has_part || !is_same_part(&l->part, difference)) {
		part_end(l);
		l->part = *difference;
		l->has_part = true;
		l->in_part = (struct counts){ .parts = 1 };
		l->counts.parts++;
		if (!l->is_counting)
			print_part(l);
	}
	if (!has_bytes(difference)) {
		l->in_part.items += difference->count;
		l->counts.items += difference->count;
		return 0;
	}
	l->in_part.bytes += difference->count;
	l->counts.bytes += difference->count;
	for (uint64_t off = difference->first; off < end; off += LINE_BYTES)
		line_add(l, off);
	return 0;
}

static void walk(const struct fl_delta *delta, struct listing *l)
{
	l->counts = (struct counts){ .parts = 0 };
	(void)fl_delta_differences(delta, on_difference, l);
	part_end(l);
}

static void text_head(const struct options *options,
		      const struct fl_delta_info *info,
		      const struct counts *counts)
{
	printf("%s: delta, %" PRIu64 " bytes, %u instance%s\nsnapshot   ",
	       options->path, info->length_bytes, info->instance_count,
	       info->instance_count == 1 ? "" : "s");
	print_hex(info->snapshot_digest, DIGEST_BYTES);
	printf("\ntag        ");
	print_hex(info->tag, 32);
	printf("\nchanged    %" PRIu64 " lines of 64 bytes in %" PRIu64
	       " pages of 4 KiB, %" PRIu64 " elements and segments\n"
	       "beside     %" PRIu64 " bytes say which\n",
	       counts->lines, counts->pages, counts->items,
	       info->length_bytes - counts->lines * LINE_BYTES);
}

static void json_head(const struct options *options,
		      const struct fl_delta_info *info,
		      const struct counts *counts)
{
	printf("{\"file\":");
	print_quoted(options->path, strlen(options->path));
	printf(",\"length_bytes\":%" PRIu64
	       ",\"instance_count\":%u,\"snapshot_digest\":\"",
	       info->length_bytes, info->instance_count);
	print_hex(info->snapshot_digest, DIGEST_BYTES);
	printf("\",\"tag\":\"");
	print_hex(info->tag, 32);
	printf("\",\"changed_lines\":%" PRIu64 ",\"changed_pages\":%" PRIu64
	       ",\"changed_items\":%" PRIu64 ",\"beside_bytes\":%" PRIu64
	       ",\"parts\":[",
	       counts->lines, counts->pages, counts->items,
	       info->length_bytes - counts->lines * LINE_BYTES);
}

int delta(const struct options *options, const struct file *snapshot)
{
	struct fl_delta_info info = { .size = sizeof(info) };
	struct listing listing = { .is_json = options->is_json,
				   .is_counting = true };
	struct fl_delta *opened = NULL;
	struct fl_error error;
	uint8_t *bytes = NULL;
	size_t length;
	int status = file_read(options->path, &bytes, &length);

	if (!status && fl_delta_open(snapshot->snapshot, bytes, length,
				     FL_BYTES_BORROW, NULL, &opened, &error))
		status = fail_with(options->path, &error);
	if (!status) {
		fl_delta_info(opened, &info);
		walk(opened, &listing);
		if (options->is_json)
			json_head(options, &info, &listing.counts);
		else
			text_head(options, &info, &listing.counts);
		listing.is_counting = false;
		walk(opened, &listing);
		if (options->is_json)
			printf("]}\n");
	}
	fl_delta_release(opened);
	free(bytes);
	return status;
}
