/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* toc.c - tables of contents of image files, read and made; see toc.h. */
#include "toc.h"

#include <stdlib.h>

#define HEADER_BYTES 512
#define IMAGE_BYTES 128
#define EXTENT_BYTES 24
#define ENTRY_BYTES 64
#define KIND_BYTES 1
#define ENCODING_RAW 0
#define AHEAD_BYTES 4096
#define LARGE_BYTES ((uint64_t)2 << 20)

enum header_off {
	HEADER_VERSION = 8,
	HEADER_WPAGE = 12,
	HEADER_FILE = 16,
	HEADER_IMAGES = 24,
	HEADER_MODULES = 28,
	HEADER_ENTRIES = 32,
	HEADER_STATE = 40,
	HEADER_STATE_SHA256 = 48,
	HEADER_ZERO = 80,
	HEADER_ENCODING = 256,
};

enum image_off {
	IMAGE_KIND = 0,
	IMAGE_EXTENTS = 4,
	IMAGE_INITIAL = 8,
	IMAGE_ZERO = 16,
	IMAGE_EXTENT = 32,
};

enum entry_off {
	ENTRY_IMAGE = 0,
	ENTRY_ENCODING = 4,
	ENTRY_WPAGE = 8,
	ENTRY_FILE = 16,
	ENTRY_STORED = 24,
	ENTRY_SHA256 = 32,
};

static const uint8_t magic[8] = { 0x89, 'F', 'L', 'I', '\r', '\n', 0x1a, '\n' };

static uint64_t get(const uint8_t *bytes, size_t len)
{
	uint64_t value = 0;

	while (len)
		value = value << 8 | bytes[--len];
	return value;
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)get(bytes, 4);
}

static uint64_t get64(const uint8_t *bytes)
{
	return get(bytes, 8);
}

static void put(uint8_t *bytes, uint64_t value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

static void put32(uint8_t *bytes, uint32_t value)
{
	put(bytes, value, 4);
}

static void put64(uint8_t *bytes, uint64_t value)
{
	put(bytes, value, 8);
}

static int bad(struct fl_error *error, uint64_t off, const char *what)
{
	return fl__error_set_at(error, -ENOEXEC, off,
				"the image file is damaged at byte %llu: %s",
				fl_llu(off), what);
}

/* ----------------------------------------------------------------- reading */

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
	return bad(walk->error, walk->off - len + byte, what);
}

static int header_kind(const struct walk *walk, const uint8_t *bytes)
{
	uint32_t version = get32(bytes + HEADER_VERSION);

	if (memcmp(bytes, magic, sizeof(magic)))
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

/* Where the index begins. Limits keep the sum small. */
static uint64_t toc_index_off(const struct fl__toc *toc)
{
	return fl_round_up(
		HEADER_BYTES + (uint64_t)toc->image_count * IMAGE_BYTES +
			(uint64_t)toc->module_count * FL__SHA256_BYTES,
		ENTRY_BYTES);
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
	tables = toc_index_off(toc) + walk->entry_count * ENTRY_BYTES +
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
		return bad(walk->error, walk->place,
			   "the file goes on behind its last extent");
	err = walk_read(walk, toc->module_digests,
			(uint64_t)toc->module_count * FL__SHA256_BYTES);
	padding = toc_index_off(toc) - walk->off;
	if (!err)
		err = walk_read(walk, zero, padding);
	if (!err && !fl_is_zero(zero, padding))
		err = walk_bad(walk, padding, 0, "zeroes precede the index");
	return err;
}

/* Where a page must be stored; false when no extent has the page. */
static bool image_place(const struct fl__toc_image *image, uint64_t wpage,
			uint64_t *off)
{
	for (uint32_t i = 0; i < image->extent_count; i++) {
		const struct fl__toc_extent *extent = &image->extents[i];

		if (wpage < extent->first_wpage ||
		    wpage - extent->first_wpage >= extent->wpage_count)
			continue;
		*off = extent->file_off +
		       (wpage - extent->first_wpage) * FL_WPAGE_BYTES;
		return true;
	}
	return false;
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
	if (!image_place(&toc->images[entry->image_idx], entry->wpage,
			 &place) ||
	    entry->file_off != place)
		return walk_bad(walk, ENTRY_BYTES, ENTRY_WPAGE,
				"the page is not at its place in an extent");
	return 0;
}

static int toc_grow(struct fl__toc *toc, struct fl_error *error)
{
	uint64_t capacity = fl_max_u64(256, toc->entry_capacity * 2);
	struct fl__toc_entry *entries;

	if (toc->entry_count < toc->entry_capacity)
		return 0;
	entries = realloc(toc->entries, (size_t)capacity * sizeof(*entries));
	if (!entries)
		return fl__error_set(error, -ENOMEM,
				     "no memory for an index of %llu pages",
				     fl_llu(toc->entry_count));
	toc->entries = entries;
	toc->entry_capacity = capacity;
	return 0;
}

static void toc_append(struct fl__toc *toc, const struct fl__toc_entry *entry)
{
	struct fl__toc_image *image = &toc->images[entry->image_idx];

	if (!image->entry_count++)
		image->first_entry = toc->entry_count;
	toc->entries[toc->entry_count++] = *entry;
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
		err = toc_grow(walk->toc, walk->error);
	if (!err)
		toc_append(walk->toc, &entry);
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
		err = bad(walk->error, off,
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

bool fl__toc_find(const struct fl__toc *toc, uint32_t image_idx, uint64_t wpage,
		  uint64_t *entry_idx)
{
	const struct fl__toc_image *image = &toc->images[image_idx];
	uint64_t low = image->first_entry;
	uint64_t end = low + image->entry_count, high = end;

	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (toc->entries[mid].wpage < wpage)
			low = mid + 1;
		else
			high = mid;
	}
	*entry_idx = low;
	return low < end && toc->entries[low].wpage == wpage;
}

int fl__toc_check_wpage(const struct fl__toc *toc, uint64_t entry_idx,
			struct fl__sha256 *sha, const uint8_t *bytes,
			struct fl_error *error)
{
	const struct fl__toc_entry *entry = &toc->entries[entry_idx];
	uint64_t size = toc->images[entry->image_idx].initial_bytes;
	uint64_t rest = fl_min_u64(size - entry->wpage * FL_WPAGE_BYTES,
				   FL_WPAGE_BYTES);
	uint8_t digest[FL__SHA256_BYTES];

	if (fl_is_zero(bytes, FL_WPAGE_BYTES))
		return bad(error, entry->file_off,
			   "the index names a page that is zero");
	fl__sha256_restart(sha);
	fl__sha256_add(sha, bytes, FL_WPAGE_BYTES);
	fl__sha256_end(sha, digest);
	if (memcmp(digest, entry->sha256, FL__SHA256_BYTES))
		return bad(error, entry->file_off,
			   "the page does not have the hash of the index");
	if (!fl_is_zero(bytes + rest, FL_WPAGE_BYTES - rest))
		return bad(error, entry->file_off + rest,
			   "the page has bytes beyond the initial size");
	return 0;
}

int fl__toc_read_wpage(const struct fl__toc *toc,
		       const struct fl__toc_source *source, uint64_t entry_idx,
		       struct fl__sha256 *sha, uint8_t *dst,
		       struct fl_error *error)
{
	int err = source->read(source, toc->entries[entry_idx].file_off, dst,
			       FL_WPAGE_BYTES, error);

	return err ? err : fl__toc_check_wpage(toc, entry_idx, sha, dst, error);
}

int fl__toc_read_place(const struct fl__toc *toc,
		       const struct fl__toc_source *source, uint32_t image_idx,
		       uint64_t wpage, uint64_t *entry_idx,
		       struct fl__sha256 *sha, uint8_t *dst,
		       struct fl_error *error)
{
	const struct fl__toc_image *image = &toc->images[image_idx];
	uint64_t off = 0;
	bool has_place = image_place(image, wpage, &off);
	int err;

	fl_assert(has_place);
	(void)has_place;
	if (*entry_idx < image->first_entry + image->entry_count &&
	    toc->entries[*entry_idx].wpage == wpage)
		return fl__toc_read_wpage(toc, source, (*entry_idx)++, sha, dst,
					  error);
	err = source->read(source, off, dst, FL_WPAGE_BYTES, error);
	if (!err && !fl_is_zero(dst, FL_WPAGE_BYTES))
		err = bad(error, off,
			  "a page that the index does not name is not zero");
	return err;
}

#define STATE_PART_BYTES 4096

int fl__toc_read_state(const struct fl__toc *toc,
		       const struct fl__toc_source *source, uint8_t *dst,
		       struct fl_error *error)
{
	uint8_t digest[FL__SHA256_BYTES], part[STATE_PART_BYTES];
	struct fl__sha256 sha;

	fl__sha256_init(&sha);
	for (uint64_t done = 0; done < toc->state_bytes;) {
		uint64_t len =
			fl_min_u64(STATE_PART_BYTES, toc->state_bytes - done);
		int err = source->read(source, toc->state_off + done, part, len,
				       error);

		if (err)
			return err;
		fl__sha256_add(&sha, part, len);
		if (!fl_is_zero(part, len))
			memcpy(dst + done, part, (size_t)len);
		done += len;
	}
	fl__sha256_end(&sha, digest);
	if (memcmp(digest, toc->state_sha256, FL__SHA256_BYTES))
		return bad(error, toc->state_off,
			   "the state does not have the hash of the header");
	return 0;
}

/* ------------------------------------------------------------------ making */

int fl__toc_begin(struct fl__toc *toc, uint32_t image_count,
		  uint32_t module_count, struct fl_error *error)
{
	memset(toc, 0, sizeof(*toc));
	if (image_count > FL__TOC_MAX_IMAGES ||
	    module_count > FL__TOC_MAX_MODULES)
		return fl__error_set(
			error, -E2BIG,
			"an image file has at most %u images and %u modules, not %u and %u",
			FL__TOC_MAX_IMAGES, FL__TOC_MAX_MODULES, image_count,
			module_count);
	toc->image_count = image_count;
	toc->module_count = module_count;
	toc->images = calloc((size_t)image_count + 1, sizeof(*toc->images));
	toc->module_digests =
		calloc((size_t)module_count + 1, sizeof(*toc->module_digests));
	if (toc->images && toc->module_digests)
		return 0;
	fl__toc_fini(toc);
	return fl__error_set(error, -ENOMEM,
			     "no memory for the tables of an image file");
}

int fl__toc_add_wpage(struct fl__toc *toc, uint32_t image_idx, uint64_t wpage,
		      const uint8_t *bytes, struct fl__sha256 *sha,
		      struct fl_error *error)
{
	struct fl__toc_entry entry = { .image_idx = image_idx, .wpage = wpage };
	int err;

	if (fl_is_zero(bytes, FL_WPAGE_BYTES))
		return 0;
	err = toc_grow(toc, error);
	if (err)
		return err;
	fl__sha256_restart(sha);
	fl__sha256_add(sha, bytes, FL_WPAGE_BYTES);
	fl__sha256_end(sha, entry.sha256);
	toc_append(toc, &entry);
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
		bool has_place = image_place(&toc->images[entry->image_idx],
					     entry->wpage, &entry->file_off);

		fl_assert(has_place);
		(void)has_place;
	}
}

static uint8_t *write_header(const struct fl__toc *toc, uint8_t *at)
{
	memcpy(at, magic, sizeof(magic));
	put32(at + HEADER_VERSION, FL__TOC_VERSION);
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
	at = bytes + toc_index_off(toc);
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
	toc->state_off = toc_index_off(toc) + toc->entry_count * ENTRY_BYTES +
			 FL__SHA256_BYTES;
	toc->file_bytes = toc->state_off + toc->state_bytes;
	for (uint32_t i = 0; !err && i < toc->image_count; i++)
		err = place_image(toc, &toc->images[i]);
	*bytes = err ? NULL : calloc(1, (size_t)toc->state_off);
	if (!*bytes)
		return fl__error_set(error, -ENOMEM,
				     "no memory for an index of %llu pages",
				     fl_llu(toc->entry_count));
	place_entries(toc);
	write_tables(toc, *bytes);
	return 0;
}

void fl__toc_fini(struct fl__toc *toc)
{
	free(toc->images);
	free(toc->module_digests);
	free(toc->entries);
	toc->images = NULL;
	toc->module_digests = NULL;
	toc->entries = NULL;
}
