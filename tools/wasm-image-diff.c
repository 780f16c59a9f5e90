/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-diff.c - the verb diff: what differs between two image files.
 *
 * Takes two files that were read and checked; gives text or one JSON object.
 * Image is compared with image of the same number, page by page of 64 KiB, and
 * within these by host pages. Bytes beyond an image's size count as zero, as
 * does an image that one file lacks. A page is in a file if a byte of the page
 * is not zero there.
 *
 * Each pair of images is walked twice: once to count, once to list.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wasm-image.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WPAGE_BYTES 65536
/* No host page is smaller. */
#define MAX_HPAGES (WPAGE_BYTES / 4096)

/* What is said of a page, as the list shows it. */
enum {
	ZERO = '.', /* in neither file */
	SAME = '=',
	CHANGED = '!',
	ONLY_A = '<',
	ONLY_B = '>',
};

struct counts {
	uint64_t same, changed, only_a, only_b;
};

/* A page of 64 KiB of both files. */
struct wpage {
	uint64_t idx;
	uint64_t changed_bytes;
	char glyph;
	char hpages[MAX_HPAGES + 1];
};

/* Two images of the same number; NULL for the one that is not there. */
struct pair {
	uint32_t image_idx;
	const struct fl_image *images[2];
	struct fl_image_info infos[2];
	struct counts wpages, hpages;
	uint64_t changed_bytes;
	uint8_t *buffers[2];
	uint64_t listed;
};

static bool is_zero(const uint8_t *bytes, size_t len)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, len - 1);
}

static char compare(const uint8_t *a, const uint8_t *b, size_t len)
{
	bool is_zero_a = is_zero(a, len);

	if (!memcmp(a, b, len))
		return is_zero_a ? ZERO : SAME;
	if (is_zero_a)
		return ONLY_B;
	return is_zero(b, len) ? ONLY_A : CHANGED;
}

static void count(struct counts *counts, char glyph)
{
	counts->same += glyph == SAME;
	counts->changed += glyph == CHANGED;
	counts->only_a += glyph == ONLY_A;
	counts->only_b += glyph == ONLY_B;
}

static uint64_t differing(const struct counts *counts)
{
	return counts->changed + counts->only_a + counts->only_b;
}

/* Where the next stretch of data is; UINT64_MAX past the last. */
static uint64_t next_data(const struct pair *pair, int side, uint64_t from)
{
	struct fl_image_run run;

	if (!pair->images[side] ||
	    !fl_image_next_run(pair->images[side], from, &run))
		return UINT64_MAX;
	return run.offset_bytes;
}

static int load(const struct pair *pair, int side, uint64_t wpage_idx)
{
	uint64_t off = wpage_idx * WPAGE_BYTES, len = 0;

	if (pair->images[side] && off < pair->infos[side].initial_bytes)
		len = pair->infos[side].initial_bytes - off;
	if (len > WPAGE_BYTES)
		len = WPAGE_BYTES;
	memset(pair->buffers[side], 0, WPAGE_BYTES);
	if (len &&
	    fl_image_read(pair->images[side], off, pair->buffers[side], len))
		return fail("cannot read image %u", pair->image_idx);
	return 0;
}

static int compare_wpage(const struct pair *pair, struct wpage *wpage)
{
	const uint8_t *a = pair->buffers[0], *b = pair->buffers[1];
	size_t hpage = (size_t)hpage_bytes(), count = 0;

	if (load(pair, 0, wpage->idx) || load(pair, 1, wpage->idx))
		return 1;
	wpage->glyph = compare(a, b, WPAGE_BYTES);
	wpage->changed_bytes = 0;
	for (size_t i = 0; i < WPAGE_BYTES; i++)
		wpage->changed_bytes += a[i] != b[i];
	for (size_t off = 0; off < WPAGE_BYTES; off += hpage)
		wpage->hpages[count++] = compare(a + off, b + off, hpage);
	wpage->hpages[count] = '\0';
	return 0;
}

/* Visit each page of 64 KiB that one of the images has. */
static int walk(struct pair *pair,
		void (*visit)(struct pair *pair, const struct wpage *wpage))
{
	struct wpage wpage;
	uint64_t off = 0;

	for (;;) {
		uint64_t a = next_data(pair, 0, off);
		uint64_t b = next_data(pair, 1, off);

		off = a < b ? a : b;
		if (off == UINT64_MAX)
			return 0;
		wpage.idx = off / WPAGE_BYTES;
		if (compare_wpage(pair, &wpage))
			return 1;
		visit(pair, &wpage);
		off = (wpage.idx + 1) * WPAGE_BYTES;
	}
}

static void count_wpage(struct pair *pair, const struct wpage *wpage)
{
	count(&pair->wpages, wpage->glyph);
	for (const char *hpage = wpage->hpages; *hpage; hpage++)
		count(&pair->hpages, *hpage);
	pair->changed_bytes += wpage->changed_bytes;
}

/* -------------------------------------------------------------------- text */

/* How much larger the second is, or the first. */
static void print_larger(uint64_t a, uint64_t b)
{
	if (a != b)
		printf(", %s larger by %" PRIu64, a > b ? "A" : "B",
		       a > b ? a - b : b - a);
	putchar('\n');
}

static void print_counts(const char *name, const struct counts *counts)
{
	printf("  %-8s %" PRIu64 " differ, %" PRIu64 " only in A, %" PRIu64
	       " only in B, %" PRIu64 " the same\n",
	       name, counts->changed, counts->only_a, counts->only_b,
	       counts->same);
}

static void print_wpage(struct pair *pair, const struct wpage *wpage)
{
	if (wpage->glyph == SAME || wpage->glyph == ZERO)
		return;
	if (!pair->listed++)
		printf("  pages    a row for each 64 KiB page that differs, and its host pages:\n"
		       "           ! differ, < only in A, > only in B, = the same, . in neither\n");
	printf("    0x%010" PRIx64 "  %c  %s  %" PRIu64 " byte%s\n",
	       wpage->idx * WPAGE_BYTES, wpage->glyph, wpage->hpages,
	       wpage->changed_bytes, wpage->changed_bytes == 1 ? "" : "s");
}

static int text_pair(struct pair *pair)
{
	const struct fl_image_info *infos = pair->infos;

	printf("image %u: ", pair->image_idx);
	if (!pair->images[0] || !pair->images[1]) {
		printf("only in %s, %" PRIu64 " bytes to start with\n",
		       pair->images[0] ? "A" : "B",
		       infos[pair->images[0] ? 0 : 1].initial_bytes);
	} else {
		printf("%" PRIu64 " and %" PRIu64 " bytes to start with",
		       infos[0].initial_bytes, infos[1].initial_bytes);
		print_larger(infos[0].initial_bytes, infos[1].initial_bytes);
	}
	print_counts("64 KiB", &pair->wpages);
	print_counts("host", &pair->hpages);
	printf("  bytes    %" PRIu64 " differ\n", pair->changed_bytes);
	return walk(pair, print_wpage);
}

/* ------------------------------------------------------------------- JSON */

static void json_counts(const char *unit, const struct counts *counts)
{
	printf(",\"changed_%s\":%" PRIu64 ",\"only_a_%s\":%" PRIu64
	       ",\"only_b_%s\":%" PRIu64 ",\"same_%s\":%" PRIu64,
	       unit, counts->changed, unit, counts->only_a, unit,
	       counts->only_b, unit, counts->same);
}

static void json_wpage(struct pair *pair, const struct wpage *wpage)
{
	if (wpage->glyph == SAME || wpage->glyph == ZERO)
		return;
	printf("%s{\"wpage_idx\":%" PRIu64
	       ",\"kind\":\"%c\",\"hpages\":\"%s\",\"changed_bytes\":%" PRIu64
	       "}",
	       pair->listed++ ? "," : "", wpage->idx, wpage->glyph,
	       wpage->hpages, wpage->changed_bytes);
}

static int json_pair(struct pair *pair)
{
	int status;

	printf("%s{\"image_idx\":%u,\"initial_bytes\":[",
	       pair->image_idx ? "," : "", pair->image_idx);
	for (int side = 0; side < 2; side++) {
		if (side)
			putchar(',');
		if (pair->images[side])
			printf("%" PRIu64, pair->infos[side].initial_bytes);
		else
			printf("null");
	}
	putchar(']');
	json_counts("wpages", &pair->wpages);
	json_counts("hpages", &pair->hpages);
	printf(",\"changed_bytes\":%" PRIu64 ",\"wpages\":[",
	       pair->changed_bytes);
	status = walk(pair, json_wpage);
	printf("]}");
	return status;
}

/* ----------------------------------------------------------- what is beside */

/* What two files have beside images. */
struct beside {
	uint64_t state_bytes[2];
	uint64_t first_off; /* of the state's bytes that differ */
	bool is_same_state, is_same_encoding, is_same_modules, is_same;
};

static struct beside compare_beside(const struct file *a, const struct file *b)
{
	struct beside beside = {
		.is_same_encoding = !strcmp(a->info.encoding, b->info.encoding),
		.is_same_modules =
			a->info.module_count == b->info.module_count &&
			(!a->info.module_count ||
			 !memcmp(a->info.module_digests, b->info.module_digests,
				 (size_t)a->info.module_count * DIGEST_BYTES)),
		.is_same = !memcmp(a->digest, b->digest, DIGEST_BYTES),
	};
	const uint8_t *first, *second;
	uint64_t common;

	first = fl_snapshot_state(a->snapshot, 0, &beside.state_bytes[0]);
	second = fl_snapshot_state(b->snapshot, 0, &beside.state_bytes[1]);
	common = beside.state_bytes[0] < beside.state_bytes[1] ?
			 beside.state_bytes[0] :
			 beside.state_bytes[1];
	while (beside.first_off < common &&
	       first[beside.first_off] == second[beside.first_off])
		beside.first_off++;
	beside.is_same_state = beside.state_bytes[0] == beside.state_bytes[1] &&
			       beside.first_off == common;
	return beside;
}

static void text_beside(const struct file *a, const struct file *b,
			const struct beside *beside)
{
	printf("A          %s: %" PRIu64 " bytes\nB          %s: %" PRIu64
	       " bytes",
	       a->path, a->length_bytes, b->path, b->length_bytes);
	print_larger(a->length_bytes, b->length_bytes);
	printf("digest     %s\nmodules    %s\nencoding   ",
	       beside->is_same ? "the same: the files are equal" : "differs",
	       !beside->is_same_modules ? "differ" :
	       a->info.module_count	? "the same" :
					  "none");
	print_quoted(a->info.encoding, strlen(a->info.encoding));
	if (!beside->is_same_encoding) {
		printf(" and ");
		print_quoted(b->info.encoding, strlen(b->info.encoding));
	}
	if (beside->is_same_state)
		printf("\nstate      the same, %" PRIu64 " bytes\n",
		       beside->state_bytes[0]);
	else
		printf("\nstate      differs from byte %" PRIu64 " on; %" PRIu64
		       " and %" PRIu64 " bytes\n",
		       beside->first_off, beside->state_bytes[0],
		       beside->state_bytes[1]);
}

static void json_beside(const struct file *a, const struct file *b,
			const struct beside *beside)
{
	printf("{\"files\":[");
	print_quoted(a->path, strlen(a->path));
	putchar(',');
	print_quoted(b->path, strlen(b->path));
	printf("],\"length_bytes\":[%" PRIu64 ",%" PRIu64 "],\"digests\":[\"",
	       a->length_bytes, b->length_bytes);
	print_hex(a->digest, DIGEST_BYTES);
	printf("\",\"");
	print_hex(b->digest, DIGEST_BYTES);
	printf("\"],\"is_equal\":%s,\"is_modules_equal\":%s"
	       ",\"is_encoding_equal\":%s,\"is_state_equal\":%s"
	       ",\"state_bytes\":[%" PRIu64 ",%" PRIu64
	       "],\"hpage_bytes\":%" PRIu64 ",\"images\":[",
	       bool_text(beside->is_same), bool_text(beside->is_same_modules),
	       bool_text(beside->is_same_encoding),
	       bool_text(beside->is_same_state), beside->state_bytes[0],
	       beside->state_bytes[1], hpage_bytes());
}

static int diff_image(const struct options *options, const struct file *a,
		      const struct file *b, struct pair *pair)
{
	pair->images[0] = fl_snapshot_image(a->snapshot, 0, pair->image_idx);
	pair->images[1] = fl_snapshot_image(b->snapshot, 0, pair->image_idx);
	for (int side = 0; side < 2; side++) {
		pair->infos[side].size = sizeof(pair->infos[side]);
		if (pair->images[side])
			fl_image_info(pair->images[side], &pair->infos[side]);
	}
	if (walk(pair, count_wpage))
		return 1;
	/* One line for an image that is the same in both. */
	if (!options->is_json && !differing(&pair->wpages) && pair->images[0] &&
	    pair->images[1] &&
	    pair->infos[0].initial_bytes == pair->infos[1].initial_bytes) {
		printf("image %u: the same, %" PRIu64 " bytes to start with\n",
		       pair->image_idx, pair->infos[0].initial_bytes);
		return 0;
	}
	return options->is_json ? json_pair(pair) : text_pair(pair);
}

int diff(const struct options *options, const struct file *a,
	 const struct file *b)
{
	struct beside beside = compare_beside(a, b);
	uint8_t *buffers = malloc((size_t)2 * WPAGE_BYTES);
	uint32_t image_count = a->info.image_count > b->info.image_count ?
				       a->info.image_count :
				       b->info.image_count;
	int status = 0;

	if (!buffers)
		return fail("no memory");
	if (options->is_json)
		json_beside(a, b, &beside);
	else
		text_beside(a, b, &beside);
	for (uint32_t i = 0; i < image_count && !status; i++) {
		struct pair pair = {
			.image_idx = i,
			.buffers = { buffers, buffers + WPAGE_BYTES },
		};

		status = diff_image(options, a, b, &pair);
	}
	if (options->is_json)
		printf("]}\n");
	free(buffers);
	return status;
}
