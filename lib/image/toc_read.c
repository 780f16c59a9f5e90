/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* toc_read.c - tables of contents of image files, read; see toc.h. */
#include "toc_form.h"

#include <stdlib.h>

#define AHEAD_BYTES 4096

/* A walk over the bytes before the state, all of which the digest covers. */
struct walk {
	const struct fl__toc_source *source;
	struct fl__sha256 sha;
	struct fl__toc *toc;
	uint64_t off; /* of what is read next */
	uint64_t entry_count; /* as the header says */
	uint64_t place; /* in the file, behind the last extent */
	struct fl_error *error;
	/* Read in advance, [ahead_off, ahead_end) of the file. */
	uint64_t ahead_off, ahead_end;
	uint8_t ahead[AHEAD_BYTES];
};

/* The next len bytes, without a call for each few of them. */
static int walk_look(struct walk *walk, uint8_t *dst, uint64_t len)
{
	while (len) {
		uint64_t part = walk->ahead_end - walk->off;

		if (!part) {
			int err;

			part = fl_min_u64(walk->source->length_bytes -
						  walk->off,
					  AHEAD_BYTES);
			err = walk->source->read(walk->source, walk->off,
						 walk->ahead, part,
						 walk->error);
			if (err)
				return err;
			walk->ahead_off = walk->off;
			walk->ahead_end = walk->off + part;
		}
		part = fl_min_u64(part, len);
		memcpy(dst, walk->ahead + (walk->off - walk->ahead_off),
		       (size_t)part);
		walk->off += part;
		dst += part;
		len -= part;
	}
	return 0;
}

static int walk_read(struct walk *walk, void *dst, uint64_t len)
{
	int err = walk_look(walk, dst, len);

	if (!err)
		fl__sha256_add(&walk->sha, dst, len);
	return err;
}

/* byte: of what was read last, len bytes of it. */
static int walk_bad(const struct walk *walk, uint64_t len, uint64_t byte,
		    const char *what)
{
	return fl__toc_bad(walk->error, walk->off - len + byte, what);
}

static int header_kind(const struct walk *walk, const uint8_t *bytes)
{
	uint32_t version = get32(bytes + HEADER_VERSION);

	if (memcmp(bytes, FL__TOC_MAGIC, MAGIC_BYTES))
		return fl__error_set_at(
			walk->error, -ENOEXEC, 0,
			"the bytes are no Faultline image file");
	if (version > FL__TOC_VERSION)
		return fl__error_set_at(
			walk->error, -ENOTSUP, HEADER_VERSION,
			"the image file has version %u, and this library knows version %u: use a newer library",
			version, FL__TOC_VERSION);
	if (version != FL__TOC_VERSION)
		return walk_bad(walk, HEADER_BYTES, HEADER_VERSION,
				"there is no such version");
	if (get32(bytes + HEADER_WPAGE) != FL_WPAGE_BYTES)
		return walk_bad(walk, HEADER_BYTES, HEADER_WPAGE,
				"pages have 65536 bytes");
	return 0;
}

static int header_too_big(const struct walk *walk, uint64_t byte,
			  const char *what, uint64_t has, uint64_t max)
{
	return fl__error_set_at(
		walk->error, -E2BIG, byte,
		"the image file has %llu %s, at most %llu can be", fl_llu(has),
		what, fl_llu(max));
}

static int header_limits(const struct walk *walk)
{
	const struct fl__toc *toc = walk->toc;

	if (toc->image_count > FL__TOC_MAX_IMAGES)
		return header_too_big(walk, HEADER_IMAGES, "images",
				      toc->image_count, FL__TOC_MAX_IMAGES);
	if (toc->module_count > FL__TOC_MAX_MODULES)
		return header_too_big(walk, HEADER_MODULES, "modules",
				      toc->module_count, FL__TOC_MAX_MODULES);
	if (toc->state_bytes > FL__TOC_MAX_STATE_BYTES)
		return header_too_big(walk, HEADER_STATE, "bytes of state",
				      toc->state_bytes,
				      FL__TOC_MAX_STATE_BYTES);
	return 0;
}

/* The sizes that the header claims fit the bytes that there are. */
static int header_sizes(struct walk *walk)
{
	struct fl__toc *toc = walk->toc;
	uint64_t pages, tables;

	if (toc->file_bytes != walk->source->length_bytes)
		return fl__error_set_at(
			walk->error, -ENOEXEC, HEADER_FILE,
			"the image file has %llu bytes, and its header says %llu: the file was cut or changed",
			fl_llu(walk->source->length_bytes),
			fl_llu(toc->file_bytes));
	if (fl_mul_overflow(walk->entry_count, FL_WPAGE_BYTES, &pages) ||
	    pages > toc->file_bytes)
		return walk_bad(walk, HEADER_BYTES, HEADER_ENTRIES,
				"the index has more pages than the file");
	/* Less than a thousandth of the file, and what limits allow. */
	tables = fl__toc_index_off(toc) + walk->entry_count * ENTRY_BYTES +
		 FL__SHA256_BYTES;
	toc->state_off = tables;
	if (!fl_range_fits(tables, toc->state_bytes, toc->file_bytes))
		return walk_bad(walk, HEADER_BYTES, HEADER_IMAGES,
				"tables and state exceed the file");
	walk->place = tables + toc->state_bytes;
	return 0;
}

static int header_rest(struct walk *walk, const uint8_t *bytes)
{
	const uint8_t *encoding = bytes + HEADER_ENCODING;
	const uint8_t *end = memchr(encoding, 0, FL__TOC_ENCODING_BYTES);

	if (!fl_is_zero(bytes + HEADER_ZERO, HEADER_ENCODING - HEADER_ZERO))
		return walk_bad(walk, HEADER_BYTES, HEADER_ZERO,
				"bytes 80 to 255 are zero");
	if (!end || !fl_is_zero(end, (uint64_t)(encoding +
						FL__TOC_ENCODING_BYTES - end)))
		return walk_bad(walk, HEADER_BYTES, HEADER_ENCODING,
				"the encoding's name does not end");
	memcpy(walk->toc->encoding, encoding, FL__TOC_ENCODING_BYTES);
	memcpy(walk->toc->state_sha256, bytes + HEADER_STATE_SHA256,
	       FL__SHA256_BYTES);
	return 0;
}

static int walk_header(struct walk *walk)
{
	uint8_t bytes[HEADER_BYTES];
	struct fl__toc *toc = walk->toc;
	int err;

	if (walk->source->length_bytes < FL__TOC_MIN_BYTES)
		return fl__error_set_at(
			walk->error, -ENOEXEC, 0,
			"%llu bytes are too short for a Faultline image file",
			fl_llu(walk->source->length_bytes));
	err = walk_read(walk, bytes, HEADER_BYTES);
	if (!err)
		err = header_kind(walk, bytes);
	if (err)
		return err;
	toc->file_bytes = get64(bytes + HEADER_FILE);
	toc->image_count = get32(bytes + HEADER_IMAGES);
	toc->module_count = get32(bytes + HEADER_MODULES);
	walk->entry_count = get64(bytes + HEADER_ENTRIES);
	toc->state_bytes = get64(bytes + HEADER_STATE);
	err = header_limits(walk);
	if (!err)
		err = header_sizes(walk);
	return err ? err : header_rest(walk, bytes);
}

static uint64_t image_wpages(uint64_t initial_bytes)
{
	return initial_bytes / FL_WPAGE_BYTES +
	       (initial_bytes % FL_WPAGE_BYTES != 0);
}

static int walk_extent(struct walk *walk, struct fl__toc_image *image,
		       uint32_t idx, const uint8_t *entry)
{
	uint64_t byte = IMAGE_EXTENT + (uint64_t)idx * EXTENT_BYTES, end = 0;
	struct fl__toc_extent *extent = &image->extents[idx];
	const uint8_t *bytes = entry + byte;
	uint64_t low = 0, len;

	if (idx >= image->extent_count)
		return fl_is_zero(bytes, EXTENT_BYTES) ?
			       0 :
			       walk_bad(walk, IMAGE_BYTES, byte,
					"an extent that is not used is zero");
	extent->first_wpage = get64(bytes);
	extent->wpage_count = get64(bytes + 8);
	extent->file_off = get64(bytes + 16);
	if (idx)
		low = extent[-1].first_wpage + extent[-1].wpage_count;
	if (extent->first_wpage < low || !extent->wpage_count ||
	    !fl_range_fits(extent->first_wpage, extent->wpage_count,
			   image_wpages(image->initial_bytes)))
		return walk_bad(
			walk, IMAGE_BYTES, byte,
			"the extent's pages are not in order or not within the initial size");
	if (fl_mul_overflow(extent->wpage_count, FL_WPAGE_BYTES, &len) ||
	    fl_add_overflow(extent->file_off, len, &end) ||
	    extent->file_off < walk->place ||
	    extent->file_off % FL_WPAGE_BYTES || end > walk->toc->file_bytes)
		return walk_bad(
			walk, IMAGE_BYTES, byte + 16,
			"the extent's place is not free or not in the file");
	walk->place = end;
	return 0;
}

static int walk_image(struct walk *walk, struct fl__toc_image *image)
{
	uint8_t bytes[IMAGE_BYTES];
	int err = walk_read(walk, bytes, IMAGE_BYTES);

	if (err)
		return err;
	if (get32(bytes + IMAGE_KIND) != KIND_BYTES)
		return walk_bad(walk, IMAGE_BYTES, IMAGE_KIND,
				"there is no such kind of image");
	image->extent_count = get32(bytes + IMAGE_EXTENTS);
	if (image->extent_count > FL__IMAGE_MAX_EXTENTS)
		return walk_bad(walk, IMAGE_BYTES, IMAGE_EXTENTS,
				"an image has at most 4 extents");
	image->initial_bytes = get64(bytes + IMAGE_INITIAL);
	if (!fl_is_zero(bytes + IMAGE_ZERO, IMAGE_EXTENT - IMAGE_ZERO))
		return walk_bad(walk, IMAGE_BYTES, IMAGE_ZERO,
				"bytes 16 to 31 of an image are zero");
	for (uint32_t i = 0; !err && i < FL__IMAGE_MAX_EXTENTS; i++)
		err = walk_extent(walk, image, i, bytes);
	return err;
}

static int walk_tables(struct walk *walk)
{
	struct fl__toc *toc = walk->toc;
	uint64_t padding;
	uint8_t zero[ENTRY_BYTES];
	int err = 0;

	for (uint32_t i = 0; !err && i < toc->image_count; i++)
		err = walk_image(walk, &toc->images[i]);
	if (err)
		return err;
	if (walk->place != toc->file_bytes)
		return fl__toc_bad(walk->error, walk->place,
				   "the file goes on behind its last extent");
	err = walk_read(walk, toc->module_digests,
			(uint64_t)toc->module_count * FL__SHA256_BYTES);
	padding = fl__toc_index_off(toc) - walk->off;
	if (!err)
		err = walk_read(walk, zero, padding);
	if (!err && !fl_is_zero(zero, padding))
		err = walk_bad(walk, padding, 0, "zeroes precede the index");
	return err;
}

static int walk_entry_place(struct walk *walk, const uint8_t *bytes,
			    const struct fl__toc_entry *entry)
{
	const struct fl__toc *toc = walk->toc;
	const struct fl__toc_entry *last =
		toc->entry_count ? &toc->entries[toc->entry_count - 1] : NULL;
	uint64_t place = 0;

	if (entry->image_idx >= toc->image_count ||
	    (last && (entry->image_idx < last->image_idx ||
		      (entry->image_idx == last->image_idx &&
		       entry->wpage <= last->wpage))))
		return walk_bad(walk, ENTRY_BYTES, ENTRY_IMAGE,
				"the index is not in order");
	if (get64(bytes + ENTRY_STORED) != FL_WPAGE_BYTES)
		return walk_bad(walk, ENTRY_BYTES, ENTRY_STORED,
				"a page is stored as 65536 bytes");
	if (!fl__toc_place_of(&toc->images[entry->image_idx], entry->wpage,
			      &place) ||
	    entry->file_off != place)
		return walk_bad(walk, ENTRY_BYTES, ENTRY_WPAGE,
				"the page is not at its place in an extent");
	return 0;
}

static int walk_entry(struct walk *walk)
{
	uint8_t bytes[ENTRY_BYTES];
	struct fl__toc_entry entry;
	uint32_t encoding;
	int err = walk_read(walk, bytes, ENTRY_BYTES);

	if (err)
		return err;
	entry.image_idx = get32(bytes + ENTRY_IMAGE);
	entry.wpage = get64(bytes + ENTRY_WPAGE);
	entry.file_off = get64(bytes + ENTRY_FILE);
	memcpy(entry.sha256, bytes + ENTRY_SHA256, FL__SHA256_BYTES);
	encoding = get32(bytes + ENTRY_ENCODING);
	if (encoding != ENCODING_RAW)
		return fl__error_set_at(
			walk->error, -ENOTSUP,
			walk->off - ENTRY_BYTES + ENTRY_ENCODING,
			"page %llu of image %u is stored by encoding %u, and this library knows encoding 0 alone",
			fl_llu(entry.wpage), entry.image_idx, encoding);
	err = walk_entry_place(walk, bytes, &entry);
	if (!err)
		err = fl__toc_grow(walk->toc, walk->error);
	if (!err)
		fl__toc_append(walk->toc, &entry);
	return err;
}

static int walk_digest(struct walk *walk)
{
	struct fl__toc *toc = walk->toc;
	uint64_t off = walk->off;
	uint8_t stored[FL__SHA256_BYTES];
	int err;

	fl__sha256_end(&walk->sha, toc->digest);
	err = walk_look(walk, stored, FL__SHA256_BYTES);
	if (!err && memcmp(stored, toc->digest, FL__SHA256_BYTES))
		err = fl__toc_bad(
			walk->error, off,
			"header, tables and index do not have this digest");
	return err;
}

int fl__toc_read(struct fl__toc *toc, const struct fl__toc_source *source,
		 struct fl_error *error)
{
	struct walk walk = { .source = source, .toc = toc, .error = error };
	uint32_t image_count, module_count;
	struct fl__toc head;
	int err;

	memset(&head, 0, sizeof(head));
	fl__sha256_init(&walk.sha);
	walk.toc = &head;
	err = walk_header(&walk);
	if (err)
		return err;
	image_count = head.image_count;
	module_count = head.module_count;
	err = fl__toc_begin(toc, image_count, module_count, error);
	if (err)
		return err;
	head.images = toc->images;
	head.module_digests = toc->module_digests;
	*toc = head;
	walk.toc = toc;
	err = walk_tables(&walk);
	while (!err && toc->entry_count < walk.entry_count)
		err = walk_entry(&walk);
	if (!err)
		err = walk_digest(&walk);
	if (err)
		fl__toc_fini(toc);
	return err;
}
