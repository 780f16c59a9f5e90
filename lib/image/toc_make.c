/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* toc_make.c - tables of contents of image files, made; see toc.h. */
#include "toc_form.h"

#include <stdlib.h>

#define LARGE_BYTES ((uint64_t)2 << 20)

int fl__toc_add_wpage(struct fl__toc *toc, uint32_t image_idx, uint64_t wpage,
		      const uint8_t *bytes, struct fl__sha256 *sha,
		      struct fl_error *error)
{
	struct fl__toc_entry entry = {
		.image_idx = image_idx,
		.wpage = wpage,
		.stored_bytes = FL_WPAGE_BYTES,
	};
	int err;

	if (fl_is_zero(bytes, FL_WPAGE_BYTES))
		return 0;
	err = fl__toc_grow(toc, error);
	if (err)
		return err;
	fl__page_hash(sha, bytes, entry.sha256);
	fl__toc_append(toc, &entry);
	return 0;
}

/* The smallest byte from at on that suits the extent. */
static uint64_t place_extent(const struct fl__toc_extent *extent, uint64_t at)
{
	uint64_t bytes = extent->wpage_count * FL_WPAGE_BYTES;
	uint64_t unit = bytes < LARGE_BYTES ? FL_WPAGE_BYTES : LARGE_BYTES;
	uint64_t off = extent->first_wpage * FL_WPAGE_BYTES % unit;

	return fl_round_up(at - fl_min_u64(at, off), unit) + off;
}

static int place_image(struct fl__toc *toc, struct fl__toc_image *image)
{
	struct fl__run cuts[FL__IMAGE_MAX_EXTENTS];
	struct fl__runs runs = { 0 };
	int err = 0;

	for (uint64_t i = 0; !err && i < image->entry_count; i++)
		err = fl__runs_append(
			&runs, toc->entries[image->first_entry + i].wpage, 1);
	if (!err)
		image->extent_count =
			fl__image_cut(&runs, FL_WPAGE_BYTES, cuts);
	fl__runs_fini(&runs);
	for (uint32_t i = 0; !err && i < image->extent_count; i++) {
		struct fl__toc_extent *extent = &image->extents[i];

		extent->first_wpage = cuts[i].hpage_off;
		extent->wpage_count = cuts[i].hpage_len;
		extent->file_off = place_extent(extent, toc->file_bytes);
		toc->file_bytes =
			extent->file_off + extent->wpage_count * FL_WPAGE_BYTES;
	}
	return err;
}

static void place_entries(struct fl__toc *toc)
{
	for (uint64_t i = 0; i < toc->entry_count; i++) {
		struct fl__toc_entry *entry = &toc->entries[i];
		bool has_place =
			fl__toc_place_of(&toc->images[entry->image_idx],
					 entry->wpage, &entry->file_off);

		fl_assert(has_place);
		(void)has_place;
	}
}

static uint8_t *write_header(const struct fl__toc *toc, uint8_t *at)
{
	memcpy(at, FL__TOC_MAGIC, MAGIC_BYTES);
	put32(at + HEADER_VERSION, VERSION_RAW);
	put32(at + HEADER_WPAGE, FL_WPAGE_BYTES);
	put64(at + HEADER_FILE, toc->file_bytes);
	put32(at + HEADER_IMAGES, toc->image_count);
	put32(at + HEADER_MODULES, toc->module_count);
	put64(at + HEADER_ENTRIES, toc->entry_count);
	put64(at + HEADER_STATE, toc->state_bytes);
	memcpy(at + HEADER_STATE_SHA256, toc->state_sha256, FL__SHA256_BYTES);
	memcpy(at + HEADER_ENCODING, toc->encoding,
	       strnlen(toc->encoding, FL__TOC_ENCODING_BYTES - 1));
	return at + HEADER_BYTES;
}

static uint8_t *write_image(const struct fl__toc_image *image, uint8_t *at)
{
	uint8_t *to = at + IMAGE_EXTENT;

	put32(at + IMAGE_KIND, KIND_BYTES);
	put32(at + IMAGE_EXTENTS, image->extent_count);
	put64(at + IMAGE_INITIAL, image->initial_bytes);
	for (uint32_t i = 0; i < image->extent_count; i++, to += EXTENT_BYTES) {
		put64(to, image->extents[i].first_wpage);
		put64(to + 8, image->extents[i].wpage_count);
		put64(to + 16, image->extents[i].file_off);
	}
	return at + IMAGE_BYTES;
}

static uint8_t *write_entry(const struct fl__toc_entry *entry, uint8_t *at)
{
	put32(at + ENTRY_IMAGE, entry->image_idx);
	put32(at + ENTRY_ENCODING, ENCODING_RAW);
	put64(at + ENTRY_WPAGE, entry->wpage);
	put64(at + ENTRY_FILE, entry->file_off);
	put64(at + ENTRY_STORED, FL_WPAGE_BYTES);
	memcpy(at + ENTRY_SHA256, entry->sha256, FL__SHA256_BYTES);
	return at + ENTRY_BYTES;
}

/* bytes is zeroed. */
static void write_tables(struct fl__toc *toc, uint8_t *bytes)
{
	struct fl__sha256 sha;
	uint8_t *at = write_header(toc, bytes);

	for (uint32_t i = 0; i < toc->image_count; i++)
		at = write_image(&toc->images[i], at);
	memcpy(at, toc->module_digests,
	       (size_t)toc->module_count * FL__SHA256_BYTES);
	at = bytes + fl__toc_index_off(toc);
	for (uint64_t i = 0; i < toc->entry_count; i++)
		at = write_entry(&toc->entries[i], at);
	fl__sha256_init(&sha);
	fl__sha256_add(&sha, bytes, (uint64_t)(at - bytes));
	fl__sha256_end(&sha, toc->digest);
	memcpy(at, toc->digest, FL__SHA256_BYTES);
}

int fl__toc_place(struct fl__toc *toc, uint8_t **bytes, struct fl_error *error)
{
	int err = 0;

	if (toc->state_bytes > FL__TOC_MAX_STATE_BYTES)
		return fl__error_set(
			error, -E2BIG,
			"an image file has at most %llu bytes of state, not %llu",
			fl_llu(FL__TOC_MAX_STATE_BYTES),
			fl_llu(toc->state_bytes));
	toc->state_off = fl__toc_index_off(toc) +
			 toc->entry_count * ENTRY_BYTES + FL__SHA256_BYTES;
	toc->file_bytes = toc->state_off + toc->state_bytes;
	toc->is_packed = false;
	for (uint32_t i = 0; !err && i < toc->image_count; i++)
		err = place_image(toc, &toc->images[i]);
	*bytes = err ? NULL : calloc(1, (size_t)toc->state_off);
	if (!*bytes)
		return fl__error_set(
			error, -ENOMEM, "no memory for an index of %llu %s",
			fl_llu(toc->entry_count),
			fl_noun(toc->entry_count, "page", "pages"));
	toc->stored_bytes = toc->file_bytes;
	place_entries(toc);
	write_tables(toc, *bytes);
	return 0;
}

void fl__toc_pack_begin(struct fl__toc *toc)
{
	toc->is_packed = true;
	toc->stored_bytes = toc->state_off + toc->state_bytes;
}

void fl__toc_pack_wpage(struct fl__toc *toc, uint64_t entry_idx,
			const uint16_t frame_bytes[FL__PAGE_FRAMES])
{
	struct fl__toc_entry *entry = &toc->entries[entry_idx];
	uint32_t len = 0;

	for (uint32_t i = 0; i < FL__PAGE_FRAMES; i++) {
		entry->frame_bytes[i] = frame_bytes[i];
		len += frame_bytes[i];
	}
	entry->file_off = toc->stored_bytes;
	entry->stored_bytes = len ? len : (uint32_t)FL_WPAGE_BYTES;
	toc->stored_bytes += entry->stored_bytes;
}

static void write_frames(const struct fl__toc_entry *entry, uint8_t *at)
{
	put32(at + ENTRY_ENCODING, ENCODING_FRAMES);
	for (uint32_t i = 0; i < FL__PAGE_FRAMES; i++)
		put(at + ENTRY_STORED + 2 * i, entry->frame_bytes[i], 2);
}

void fl__toc_pack_end(const struct fl__toc *toc, uint8_t *bytes)
{
	uint8_t *at = bytes + fl__toc_index_off(toc);

	put32(bytes + HEADER_VERSION, VERSION_PACKED);
	put64(bytes + HEADER_PACKED, toc->stored_bytes);
	for (uint64_t i = 0; i < toc->entry_count; i++) {
		at = write_entry(&toc->entries[i], at);
		if (fl__toc_is_packed(toc, i))
			write_frames(&toc->entries[i], at - ENTRY_BYTES);
	}
}
