/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* toc_read.c - tables of contents of image files, read; see toc.h. */
#include "toc_form.h"
#include "page_pack.h"

#include <stdlib.h>

/* Read at a time: first, and when the header has said how much there is. A source
 * may be far away, so that few reads are better than many. */
#define FIRST_BYTES 4096
#define AHEAD_BYTES (15 * 4096)

/* A walk over the bytes before the state, all of which the digest covers. */
struct walk {
	const struct fl__toc_source *source;
	struct fl__sha256 sha;
	struct fl__toc *toc;
	uint64_t off; /* of what is read next */
	uint64_t entry_count; /* as the header says */
	uint64_t place; /* in the file, behind the last extent */
	uint64_t packed_place; /* the same, of a packed file's last page */
	struct fl_error *error;
	/* Read in advance, [ahead_off, ahead_end) of the file. */
	uint64_t ahead_off, ahead_end;
	uint8_t *ahead;
	uint64_t room_bytes; /* of ahead */
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
					  walk->room_bytes);
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

/* Read as much at a time as the index is long. Without memory it stays less. */
static void walk_widen(struct walk *walk)
{
	uint64_t room = walk->entry_count >= AHEAD_BYTES / ENTRY_BYTES ?
				AHEAD_BYTES :
				FIRST_BYTES;
	uint8_t *ahead = realloc(walk->ahead, (size_t)room);

	if (!ahead)
		return;
	walk->ahead = ahead;
	walk->room_bytes = room;
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
	if (version != VERSION_RAW && version != VERSION_PACKED)
		return walk_bad(walk, HEADER_BYTES, HEADER_VERSION,
				"there is no such version");
	walk->toc->is_packed = version == VERSION_PACKED;
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

	if (toc->stored_bytes != walk->source->length_bytes)
		return fl__error_set_at(
			walk->error, -ENOEXEC,
			toc->is_packed ? HEADER_PACKED : HEADER_FILE,
			"the image file has %llu bytes, and its header says %llu: the file was cut or changed",
			fl_llu(walk->source->length_bytes),
			fl_llu(toc->stored_bytes));
	if (fl_mul_overflow(walk->entry_count, FL_WPAGE_BYTES, &pages) ||
	    pages > toc->file_bytes)
		return walk_bad(walk, HEADER_BYTES, HEADER_ENTRIES,
				"the index has more pages than the file");
	/* Less than a thousandth of the file, and what limits allow. */
	tables = fl__toc_index_off(toc) + walk->entry_count * ENTRY_BYTES +
		 FL__SHA256_BYTES;
	toc->state_off = tables;
	if (!fl_range_fits(tables, toc->state_bytes, toc->stored_bytes) ||
	    !fl_range_fits(tables, toc->state_bytes, toc->file_bytes))
		return walk_bad(walk, HEADER_BYTES, HEADER_IMAGES,
				"tables and state exceed the file");
	walk->place = walk->packed_place = tables + toc->state_bytes;
	return 0;
}

static int header_rest(struct walk *walk, const uint8_t *bytes)
{
	const uint8_t *encoding = bytes + HEADER_ENCODING;
	const uint8_t *end = memchr(encoding, 0, FL__TOC_ENCODING_BYTES);

	if (!walk->toc->is_packed &&
	    !fl_is_zero(bytes + HEADER_PACKED, HEADER_ZERO - HEADER_PACKED))
		return walk_bad(walk, HEADER_BYTES, HEADER_PACKED,
				"bytes 80 to 255 are zero");
	if (!fl_is_zero(bytes + HEADER_ZERO, HEADER_ENCODING - HEADER_ZERO))
		return walk_bad(walk, HEADER_BYTES, HEADER_ZERO,
				"bytes 88 to 255 are zero");
	if (!end || !fl_is_zero(end, (uint64_t)(encoding +
						FL__TOC_ENCODING_BYTES - end)))
		return walk_bad(walk, HEADER_BYTES, HEADER_ENCODING,
				"the encoding's name does not end");
	memcpy(walk->toc->encoding, encoding, FL__TOC_ENCODING_BYTES);
	memcpy(walk->toc->state_sha256, bytes + HEADER_STATE_SHA256,
	       FL__SHA256_BYTES);
	return 0;
}

/* The digest is that of the file as it would be with its pages as they are. */
static void header_add(struct walk *walk, uint8_t *bytes)
{
	if (walk->toc->is_packed) {
		put32(bytes + HEADER_VERSION, VERSION_RAW);
		put64(bytes + HEADER_PACKED, 0);
	}
	fl__sha256_add(&walk->sha, bytes, HEADER_BYTES);
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
	err = walk_look(walk, bytes, HEADER_BYTES);
	if (!err)
		err = header_kind(walk, bytes);
	if (err)
		return err;
	toc->file_bytes = get64(bytes + HEADER_FILE);
	toc->stored_bytes = toc->is_packed ? get64(bytes + HEADER_PACKED) :
					     toc->file_bytes;
	toc->image_count = get32(bytes + HEADER_IMAGES);
	toc->module_count = get32(bytes + HEADER_MODULES);
	walk->entry_count = get64(bytes + HEADER_ENTRIES);
	toc->state_bytes = get64(bytes + HEADER_STATE);
	err = header_limits(walk);
	if (!err)
		err = header_sizes(walk);
	if (!err)
		err = header_rest(walk, bytes);
	if (!err)
		header_add(walk, bytes);
	return err;
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
		return fl__toc_bad(walk->error,
				   toc->is_packed ? HEADER_FILE : walk->place,
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

static int entry_frames(struct walk *walk, const uint8_t *bytes,
			struct fl__toc_entry *entry)
{
	bool is_good = true;

	entry->stored_bytes = 0;
	for (uint32_t i = 0; i < FL__PAGE_FRAMES; i++) {
		entry->frame_bytes[i] =
			(uint16_t)get(bytes + ENTRY_STORED + 2 * i, 2);
		entry->stored_bytes += entry->frame_bytes[i];
		is_good &= entry->frame_bytes[i] > 0;
	}
	return is_good && entry->stored_bytes < FL_WPAGE_BYTES ?
		       0 :
		       walk_bad(
			       walk, ENTRY_BYTES, ENTRY_STORED,
			       "a packed page is stored as four frames of 1 byte and more, 65535 together at most");
}

/* What is stored of a page: all of the page, or less that zstd made of it. */
static int entry_encoding(struct walk *walk, const uint8_t *bytes,
			  struct fl__toc_entry *entry)
{
	uint32_t encoding = get32(bytes + ENTRY_ENCODING);
	const char *lacks = fl__page_pack_lacks();
	uint64_t byte = walk->off - ENTRY_BYTES + ENTRY_ENCODING;

	if (encoding > (walk->toc->is_packed ? ENCODING_FRAMES : ENCODING_RAW))
		return fl__error_set_at(
			walk->error, -ENOTSUP, byte,
			"page %llu of image %u is stored by encoding %u, which this library does not know in a file of this version",
			fl_llu(entry->wpage), entry->image_idx, encoding);
	if (encoding != ENCODING_RAW && lacks)
		return fl__error_set_at(walk->error, -ENOTSUP, byte,
					"page %llu of image %u is packed: %s",
					fl_llu(entry->wpage), entry->image_idx,
					lacks);
	if (encoding == ENCODING_RAW && entry->stored_bytes != FL_WPAGE_BYTES)
		return walk_bad(walk, ENTRY_BYTES, ENTRY_STORED,
				"a page is stored as 65536 bytes");
	if (encoding == ENCODING_ZSTD &&
	    (!entry->stored_bytes || entry->stored_bytes >= FL_WPAGE_BYTES))
		return walk_bad(walk, ENTRY_BYTES, ENTRY_STORED,
				"a packed page is stored as 1 to 65535 bytes");
	return encoding == ENCODING_FRAMES ? entry_frames(walk, bytes, entry) :
					     0;
}

/* Packed pages follow one another. */
static int entry_packed_place(struct walk *walk,
			      const struct fl__toc_entry *entry)
{
	if (entry->file_off != walk->packed_place ||
	    !fl_range_fits(entry->file_off, entry->stored_bytes,
			   walk->toc->stored_bytes))
		return walk_bad(
			walk, ENTRY_BYTES, ENTRY_FILE,
			"the page does not follow the one before, or exceeds the file");
	walk->packed_place += entry->stored_bytes;
	return 0;
}

static int entry_order(struct walk *walk, const struct fl__toc_entry *entry)
{
	const struct fl__toc *toc = walk->toc;
	const struct fl__toc_entry *last =
		toc->entry_count ? &toc->entries[toc->entry_count - 1] : NULL;

	if (entry->image_idx >= toc->image_count ||
	    (last && (entry->image_idx < last->image_idx ||
		      (entry->image_idx == last->image_idx &&
		       entry->wpage <= last->wpage))))
		return walk_bad(walk, ENTRY_BYTES, ENTRY_IMAGE,
				"the index is not in order");
	return 0;
}

static int entry_place(struct walk *walk, const struct fl__toc_entry *entry,
		       uint64_t *place)
{
	const struct fl__toc *toc = walk->toc;

	if (!fl__toc_place_of(&toc->images[entry->image_idx], entry->wpage,
			      place) ||
	    (!toc->is_packed && entry->file_off != *place))
		return walk_bad(walk, ENTRY_BYTES, ENTRY_WPAGE,
				"the page is not at its place in an extent");
	return toc->is_packed ? entry_packed_place(walk, entry) : 0;
}

/* As header_add(). */
static void entry_add(struct walk *walk, uint8_t *bytes, uint64_t place)
{
	put32(bytes + ENTRY_ENCODING, ENCODING_RAW);
	put64(bytes + ENTRY_FILE, place);
	put64(bytes + ENTRY_STORED, FL_WPAGE_BYTES);
	fl__sha256_add(&walk->sha, bytes, ENTRY_BYTES);
}

static int walk_entry(struct walk *walk)
{
	uint8_t bytes[ENTRY_BYTES];
	struct fl__toc_entry entry;
	uint64_t place = 0;
	int err = walk_look(walk, bytes, ENTRY_BYTES);

	if (err)
		return err;
	entry.image_idx = get32(bytes + ENTRY_IMAGE);
	entry.wpage = get64(bytes + ENTRY_WPAGE);
	entry.file_off = get64(bytes + ENTRY_FILE);
	entry.stored_bytes =
		(uint32_t)fl_min_u64(get64(bytes + ENTRY_STORED), UINT32_MAX);
	memset(entry.frame_bytes, 0, sizeof(entry.frame_bytes));
	memcpy(entry.sha256, bytes + ENTRY_SHA256, FL__SHA256_BYTES);
	err = entry_encoding(walk, bytes, &entry);
	if (!err)
		err = entry_order(walk, &entry);
	if (!err)
		err = entry_place(walk, &entry, &place);
	if (!err)
		err = fl__toc_grow(walk->toc, walk->error);
	if (err)
		return err;
	entry_add(walk, bytes, place);
	fl__toc_append(walk->toc, &entry);
	return 0;
}

static int walk_index(struct walk *walk)
{
	struct fl__toc *toc = walk->toc;
	int err = 0;

	while (!err && toc->entry_count < walk->entry_count)
		err = walk_entry(walk);
	if (!err && toc->is_packed && walk->packed_place != toc->stored_bytes)
		err = fl__toc_bad(walk->error, walk->packed_place,
				  "the file goes on behind its last page");
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

	walk.ahead = malloc(FIRST_BYTES);
	walk.room_bytes = FIRST_BYTES;
	if (!walk.ahead)
		return fl__error_set(error, -ENOMEM,
				     "no memory to read an index");
	memset(&head, 0, sizeof(head));
	fl__sha256_init(&walk.sha);
	walk.toc = &head;
	err = walk_header(&walk);
	image_count = head.image_count;
	module_count = head.module_count;
	if (!err)
		err = fl__toc_begin(toc, image_count, module_count, error);
	if (!err)
		walk_widen(&walk);
	if (err) {
		free(walk.ahead);
		return err;
	}
	head.images = toc->images;
	head.module_digests = toc->module_digests;
	*toc = head;
	walk.toc = toc;
	err = walk_tables(&walk);
	if (!err)
		err = walk_index(&walk);
	if (!err)
		err = walk_digest(&walk);
	if (err)
		fl__toc_fini(toc);
	free(walk.ahead);
	return err;
}
