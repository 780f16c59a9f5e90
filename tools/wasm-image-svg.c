/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-svg.c - show --svg: the page maps of images as one SVG picture.
 *
 * A square for each 64 KiB page of the span, 64 in a row or 16 of few pages, and in
 * it a smaller one for each host page that holds data. Rows without data are counted, not drawn and
 * not looked at: there may be millions of them. So the picture is as large as the
 * data. Names may hold anything; only what XML takes is written, by number where
 * it is not plain ASCII.
 */
#include "wasm-image.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WPAGE_BYTES ((uint64_t)65536)
#define FEW_WPAGES 128
#define LEFT 120
#define LINE 18
#define MAP_WIDTH 768
#define WIDTH (LEFT + MAP_WIDTH + 16)

/* What is drawn, from the top down. With is_drawn false only the height is
 * counted. */
struct picture {
	uint64_t y;
	bool is_drawn;
	/* Of a row; a page with its gap, in pixels. */
	uint64_t columns, cell;
};

static void xml_text(const char *text, size_t len)
{
	uint32_t point;

	while (len) {
		size_t used =
			text_decode((const unsigned char *)text, len, &point);

		if (point == '&' || point == '<' || point == '>' ||
		    (point >= 0xa0 && point < 0xd800) ||
		    (point >= 0xe000 && point < 0xfffe) || point >= 0x10000)
			printf("&#x%x;", (unsigned int)point);
		else if (point >= 0x20 && point < 0x7f)
			putchar((int)point);
		else
			putchar('?');
		text += used;
		len -= used;
	}
}

static void line_begin(struct picture *picture, const char *kind)
{
	picture->y += LINE;
	if (picture->is_drawn)
		printf("<text class=\"%s\" x=\"8\" y=\"%" PRIu64 "\">", kind,
		       picture->y - 5);
}

static void line_end(const struct picture *picture)
{
	if (picture->is_drawn)
		printf("</text>\n");
}

static void line(struct picture *picture, const char *text)
{
	line_begin(picture, "t");
	if (picture->is_drawn)
		xml_text(text, strlen(text));
	line_end(picture);
}

static void square(double x, double y, double side)
{
	printf("M%.4g %.7gh%.4gv%.4gh-%.4gz", x, y, side, side, side);
}

static bool has_data(const struct fl_image *image, uint64_t off, uint64_t len)
{
	struct fl_image_run run;

	return fl_image_next_run(image, off, &run) &&
	       run.offset_bytes < off + len;
}

/* The squares of a page; they fill a square grid. */
static void wpage_draw(const struct fl_image *image, uint64_t wpage_idx,
		       double x, double y, double side)
{
	uint64_t hpage = hpage_bytes(), columns = 1;
	uint64_t count = WPAGE_BYTES / hpage ? WPAGE_BYTES / hpage : 1;

	while (columns * columns < count)
		columns *= 2;
	for (uint64_t i = 0; i < count; i++) {
		double step = side / (double)columns;

		if (has_data(image, wpage_idx * WPAGE_BYTES + i * hpage, hpage))
			square(x + step * (double)(i % columns),
			       y + step * (double)(i / columns),
			       count == 1 ? side : step);
	}
}

static void row_draw(struct picture *picture, const struct fl_image *image,
		     uint64_t first, uint64_t columns)
{
	uint64_t y = picture->y, cell = picture->cell;
	double side = (double)(cell - 1);

	picture->y += cell;
	if (!picture->is_drawn)
		return;
	printf("<text class=\"a\" x=\"8\" y=\"%" PRIu64 "\">0x%010" PRIx64
	       "</text>\n<path class=\"z\" d=\"",
	       y + 9, first * WPAGE_BYTES);
	for (uint64_t i = 0; i < columns; i++)
		square((double)(LEFT + i * cell), (double)y, side);
	printf("\"/>\n<path class=\"d\" d=\"");
	for (uint64_t i = 0; i < columns; i++) {
		if (has_data(image, (first + i) * WPAGE_BYTES, WPAGE_BYTES))
			wpage_draw(image, first + i, (double)(LEFT + i * cell),
				   (double)y, side);
	}
	printf("\"/>\n");
}

static void gap_draw(struct picture *picture, uint64_t wpages)
{
	if (!wpages)
		return;
	picture->y += LINE;
	if (picture->is_drawn)
		printf("<text class=\"a\" x=\"%d\" y=\"%" PRIu64 "\">%" PRIu64
		       " pages of zeroes</text>\n",
		       LEFT, picture->y - 5, wpages);
}

static void map_draw(struct picture *picture, const struct memory *memory)
{
	const struct fl_image_info *info = &memory->info;
	uint64_t at = info->data_first_bytes / WPAGE_BYTES;
	uint64_t end = at + info->spanned_wpages;

	picture->columns = info->spanned_wpages > FEW_WPAGES ? 64 : 16;
	picture->cell = MAP_WIDTH / picture->columns;
	while (at < end) {
		struct fl_image_run run;
		uint64_t rows, columns;

		if (!fl_image_next_run(memory->image, at * WPAGE_BYTES, &run)) {
			gap_draw(picture, end - at);
			return;
		}
		rows = (run.offset_bytes / WPAGE_BYTES - at) / picture->columns;
		gap_draw(picture, rows * picture->columns);
		at += rows * picture->columns;
		columns = end - at < picture->columns ? end - at :
							picture->columns;
		row_draw(picture, memory->image, at, columns);
		at += columns;
	}
}

static void memory_draw(struct picture *picture, const char *kind, uint32_t idx,
			const struct memory *memory)
{
	const struct fl_image_info *info = &memory->info;
	char text[200];

	picture->y += LINE / 2;
	if (!memory->image) {
		line_begin(picture, "t");
		if (picture->is_drawn) {
			printf("%s %u has no image: ", kind, idx);
			xml_text(memory->reason, strlen(memory->reason));
		}
		line_end(picture);
		return;
	}
	snprintf(text, sizeof(text),
		 "%s %u: %" PRIu64 " bytes to start with; data in %" PRIu64
		 " of %" PRIu64 " pages spanned, %" PRIu64 " of %" PRIu64
		 " host pages",
		 kind, idx, info->initial_bytes, info->data_wpages,
		 info->spanned_wpages, info->data_hpages, info->spanned_hpages);
	line(picture, text);
	picture->y += 4;
	if (info->data_end_bytes)
		map_draw(picture, memory);
}

static void all_draw(struct picture *picture, const char *path,
		     const char *kind, const struct memory *memories,
		     uint32_t count)
{
	char text[120];

	line_begin(picture, "n");
	if (picture->is_drawn)
		xml_text(path, strlen(path));
	line_end(picture);
	for (uint32_t i = 0; i < count; i++)
		memory_draw(picture, kind, i, &memories[i]);
	picture->y += LINE / 2;
	snprintf(text, sizeof(text),
		 "a square: a page of 64 KiB; dark in it: a host page (%" PRIu64
		 " bytes) with data",
		 hpage_bytes());
	line(picture, text);
	picture->y += 4;
}

void svg_print(const char *path, const char *kind,
	       const struct memory *memories, uint32_t count)
{
	struct picture picture = { .y = 0 };
	uint64_t height;

	all_draw(&picture, path, kind, memories, count);
	height = picture.y;
	printf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%" PRIu64
	       "\" viewBox=\"0 0 %d %" PRIu64 "\">\n"
	       "<style>text{font:12px monospace;fill:#24292f}"
	       ".n{font-weight:bold}.a{fill:#57606a;font-size:10px}"
	       ".z{fill:#d8dee4}.d{fill:#0a5ad0}</style>\n"
	       "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
	       WIDTH, height, WIDTH, height);
	picture = (struct picture){ .is_drawn = true };
	all_draw(&picture, path, kind, memories, count);
	printf("</svg>\n");
}
