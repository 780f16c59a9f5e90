/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * toc_bytes.h - image files in memory: read as a hostile file is, and mended.
 *
 * toc_bytes_try() reads any bytes and says what it found wrong with the reader.
 * toc_bytes_mend() makes sizes and hashes fit whatever the bytes are, so that a
 * change gets past the digest and meets the checks behind it. It knows the form
 * from the description in lib/image/toc.h, not from the code. toc_bytes_older() makes
 * of a packed file the form that is not written any more.
 */
#ifndef TOC_BYTES_H
#define TOC_BYTES_H

#include "image/toc.h"

#include <stdlib.h>

#if FL_WITH_ZSTD
#include <zstd.h>
#endif

#define TOC_HEADER 512
#define TOC_WPAGE 65536

struct toc_bytes {
	struct fl__toc_source source;
	const uint8_t *bytes;
};

/* A reader that asks for a byte outside has a bug. */
static inline int toc_bytes_read(const struct fl__toc_source *source,
				 uint64_t off, void *dst, uint64_t len,
				 struct fl_error *error)
{
	const uint8_t *bytes = source->owner;

	(void)error;
	if (off > source->length_bytes || len > source->length_bytes - off)
		abort();
	if (len)
		memcpy(dst, bytes + off, (size_t)len);
	return 0;
}

static inline struct fl__toc_source toc_bytes_source(const uint8_t *bytes,
						     uint64_t len)
{
	return (struct fl__toc_source){ len, bytes, toc_bytes_read };
}

static inline uint64_t toc_bytes_get(const uint8_t *bytes, size_t len)
{
	uint64_t value = 0;

	for (size_t i = 0; i < len; i++)
		value |= (uint64_t)bytes[i] << 8 * i;
	return value;
}

static inline void toc_bytes_put(uint8_t *bytes, uint64_t value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

static inline void toc_bytes_hash(const uint8_t *bytes, uint64_t len,
				  uint8_t *digest)
{
	struct fl__sha256 sha;

	fl__sha256_init(&sha);
	fl__sha256_add(&sha, bytes, len);
	fl__sha256_end(&sha, digest);
}

/* The hash of a page, from what toc.h says of it. */
static inline void toc_bytes_hash_wpage(const uint8_t *page, uint8_t *digest)
{
	uint8_t leaves[16 * 32];

	for (int i = 0; i < 16; i++)
		toc_bytes_hash(page + i * 4096, 4096, leaves + i * 32);
	toc_bytes_hash(leaves, sizeof(leaves), digest);
}

/* Byte of the index, as the header's counts say. */
static inline uint64_t toc_bytes_index(const uint8_t *bytes)
{
	return (TOC_HEADER + 128 * toc_bytes_get(bytes + 24, 4) +
		32 * toc_bytes_get(bytes + 28, 4) + 63) /
	       64 * 64;
}

/* Where version 1 has a page: by the extents of its image, or nowhere. */
static inline uint64_t toc_bytes_place(const uint8_t *bytes, uint64_t image,
				       uint64_t wpage)
{
	const uint8_t *extent = bytes + TOC_HEADER + image * 128 + 32;

	if (image >= toc_bytes_get(bytes + 24, 4))
		return 0;
	for (int i = 0; i < 4; i++, extent += 24) {
		uint64_t first = toc_bytes_get(extent, 8);

		if (wpage >= first &&
		    wpage - first < toc_bytes_get(extent + 8, 8))
			return toc_bytes_get(extent + 16, 8) +
			       (wpage - first) * TOC_WPAGE;
	}
	return 0;
}

/* The digest of tables of version 2: that of version 1 with the same content. */
static inline void toc_bytes_packed_digest(const uint8_t *bytes, uint64_t index,
					   uint64_t end, uint8_t *digest)
{
	uint8_t *plain = malloc((size_t)end);

	if (!plain)
		abort();
	memcpy(plain, bytes, (size_t)end);
	toc_bytes_put(plain + 8, 1, 4);
	toc_bytes_put(plain + 80, 0, 8);
	for (uint64_t at = index; at < end; at += 64) {
		toc_bytes_put(plain + at + 4, 0, 4);
		toc_bytes_put(plain + at + 16,
			      toc_bytes_place(bytes,
					      toc_bytes_get(bytes + at, 4),
					      toc_bytes_get(bytes + at + 8, 8)),
			      8);
		toc_bytes_put(plain + at + 24, TOC_WPAGE, 8);
	}
	toc_bytes_hash(plain, end, digest);
	free(plain);
}

static inline bool toc_bytes_is_packed(const uint8_t *bytes)
{
	return toc_bytes_get(bytes + 8, 4) == 2;
}

static inline bool toc_bytes_is_one_frame(const uint8_t *entry)
{
	return toc_bytes_get(entry + 4, 4) == 1;
}

/* The length of a packed page's frame. */
static inline uint64_t toc_bytes_frame(const uint8_t *entry, int idx)
{
	return toc_bytes_get(entry + 24 + 2 * idx,
			     toc_bytes_is_one_frame(entry) ? 8 : 2);
}

/* The bytes that an entry says are stored. */
static inline uint64_t toc_bytes_stored(const uint8_t *entry)
{
	uint64_t sum = 0;

	if (toc_bytes_get(entry + 4, 4) != 2)
		return toc_bytes_get(entry + 24, 8);
	for (int i = 0; i < 4; i++)
		sum += toc_bytes_frame(entry, i);
	return sum;
}

/* The nth entry of the index. */
static inline const uint8_t *toc_bytes_entry(const uint8_t *bytes, uint64_t nth)
{
	return bytes + toc_bytes_index(bytes) + 64 * nth;
}

/* Where the nth page is stored. */
static inline uint64_t toc_bytes_off(const uint8_t *bytes, uint64_t nth)
{
	return toc_bytes_get(toc_bytes_entry(bytes, nth) + 16, 8);
}

/* Unpack a page, of which room bytes are there. False: that is not possible. */
static inline bool toc_bytes_unpack(const uint8_t *entry, const uint8_t *stored,
				    uint64_t room,
				    struct fl__page_unpacker *unpacker,
				    uint8_t *page)
{
	int frames = toc_bytes_is_one_frame(entry) ? 1 : 4;

	for (int i = 0; i < frames; i++) {
		uint64_t len = toc_bytes_frame(entry, i);

		if (len > room || len > TOC_WPAGE ||
		    fl__page_unpack(unpacker, stored, (uint32_t)len, page,
				    (uint32_t)(TOC_WPAGE / frames)))
			return false;
		stored += len;
		room -= len;
		page += TOC_WPAGE / frames;
	}
	return true;
}

/* The hash of what an entry says is stored, whatever it is. */
static inline void toc_bytes_mend_wpage(uint8_t *bytes, uint64_t len,
					uint64_t tables, uint8_t *entry,
					struct fl__page_unpacker *unpacker)
{
	uint64_t off = toc_bytes_get(entry + 16, 8);
	uint64_t encoding = toc_bytes_get(entry + 4, 4);
	uint8_t *page;

	if (off < tables || off >= len || toc_bytes_stored(entry) > TOC_WPAGE)
		return;
	if ((encoding != 1 && encoding != 2) || !unpacker) {
		if (len - off >= TOC_WPAGE)
			toc_bytes_hash_wpage(bytes + off, entry + 32);
		return;
	}
	page = fl__page_unpacker_buffer(unpacker);
	if (toc_bytes_unpack(entry, bytes + off, len - off, unpacker, page))
		toc_bytes_hash_wpage(page, entry + 32);
}

#if FL_WITH_ZSTD

/* What an older library stored of the page: the page, or one frame. */
static inline uint64_t toc_bytes_older_wpage(uint8_t *entry,
					     const uint8_t *stored,
					     struct fl__page_unpacker *unpacker,
					     uint8_t *to)
{
	uint64_t len = toc_bytes_stored(entry);
	uint8_t *page = fl__page_unpacker_buffer(unpacker);

	if (toc_bytes_get(entry + 4, 4) != 2) {
		memcpy(to, stored, (size_t)len);
		return len;
	}
	if (!toc_bytes_unpack(entry, stored, len, unpacker, page))
		abort();
	len = ZSTD_compress(to, TOC_WPAGE, page, TOC_WPAGE, 3);
	if (ZSTD_isError((size_t)len))
		abort();
	toc_bytes_put(entry + 4, 1, 4);
	toc_bytes_put(entry + 24, len, 8);
	return len;
}

/* The caller frees it. *len: of the file that is given, and of the older one. */
static inline uint8_t *toc_bytes_older(const uint8_t *bytes, uint64_t *len)
{
	uint64_t index = toc_bytes_index(bytes);
	uint64_t count = toc_bytes_get(bytes + 32, 8);
	uint64_t at = index + count * 64 + 32 + toc_bytes_get(bytes + 40, 8);
	uint8_t *older = calloc(1, (size_t)(at + count * TOC_WPAGE));
	struct fl__page_unpacker *unpacker;

	if (!older || fl__page_unpacker_create(&unpacker, NULL))
		abort();
	memcpy(older, bytes, (size_t)at);
	for (uint64_t i = 0; i < count; i++) {
		uint8_t *entry = older + index + i * 64;
		uint64_t off = toc_bytes_get(entry + 16, 8);

		toc_bytes_put(entry + 16, at, 8);
		at += toc_bytes_older_wpage(entry, bytes + off, unpacker,
					    older + at);
	}
	fl__page_unpacker_destroy(unpacker);
	toc_bytes_put(older + 80, at, 8);
	*len = at;
	return older;
}

#endif

static inline void toc_bytes_mend(uint8_t *bytes, uint64_t len)
{
	struct fl__page_unpacker *unpacker = NULL;
	uint64_t index, entries, digest, state;

	if (len < TOC_HEADER)
		return;
	memcpy(bytes,
	       "\x89"
	       "FLI\r\n\x1a\n",
	       8);
	toc_bytes_put(bytes + 8, toc_bytes_is_packed(bytes) ? 2 : 1, 4);
	toc_bytes_put(bytes + 12, TOC_WPAGE, 4);
	toc_bytes_put(bytes + (toc_bytes_is_packed(bytes) ? 80 : 16), len, 8);
	index = toc_bytes_index(bytes);
	entries = toc_bytes_get(bytes + 32, 8);
	state = toc_bytes_get(bytes + 40, 8);
	if (entries > len / 64 || index + entries * 64 + 32 > len)
		return;
	digest = index + entries * 64;
	if (toc_bytes_is_packed(bytes))
		(void)fl__page_unpacker_create(&unpacker, NULL);
	for (uint64_t at = index; at < digest; at += 64)
		toc_bytes_mend_wpage(bytes, len, digest, bytes + at, unpacker);
	fl__page_unpacker_destroy(unpacker);
	if (state <= len - digest - 32)
		toc_bytes_hash(bytes + digest + 32, state, bytes + 48);
	if (toc_bytes_is_packed(bytes))
		toc_bytes_packed_digest(bytes, index, digest, bytes + digest);
	else
		toc_bytes_hash(bytes, digest, bytes + digest);
}

/* What a file holds, put into a new table: its digest, hence its content. */
static inline int toc_bytes_remake(const struct fl__toc *toc,
				   const struct fl__toc_source *source,
				   struct fl__toc *made, uint8_t *page,
				   struct fl_error *error)
{
	struct fl__toc_reader reader;
	struct fl__sha256 sha;
	int err = 0;

	memcpy(made->encoding, toc->encoding, sizeof(made->encoding));
	memcpy(made->state_sha256, toc->state_sha256, FL__SHA256_BYTES);
	made->state_bytes = toc->state_bytes;
	memcpy(made->module_digests, toc->module_digests,
	       (size_t)toc->module_count * FL__SHA256_BYTES);
	for (uint32_t i = 0; i < toc->image_count; i++)
		made->images[i].initial_bytes = toc->images[i].initial_bytes;
	fl__sha256_init(&sha);
	fl__toc_reader_init(&reader);
	for (uint64_t i = 0; !err && i < toc->entry_count; i++) {
		const struct fl__toc_entry *entry = &toc->entries[i];

		err = fl__toc_read_wpage(toc, source, i, &reader, page, error);
		if (!err)
			err = fl__toc_add_wpage(made, entry->image_idx,
						entry->wpage, page, &sha,
						error);
	}
	fl__toc_reader_fini(&reader);
	return err;
}

static inline const char *toc_bytes_compare(const struct fl__toc *toc,
					    struct fl__toc *made,
					    uint8_t *content)
{
	struct fl_error error;
	uint8_t *bytes = NULL;

	if (fl__toc_place(made, &bytes, &error))
		return "what was read cannot be written";
	memcpy(content, made->digest, FL__SHA256_BYTES);
	free(bytes);
	if (made->entry_count != toc->entry_count)
		return "pages were lost";
	for (uint64_t i = 0; i < toc->entry_count; i++) {
		if (memcmp(made->entries[i].sha256, toc->entries[i].sha256,
			   FL__SHA256_BYTES))
			return "a page has another hash";
	}
	return NULL;
}

static inline const char *toc_bytes_parts(const struct fl__toc *toc,
					  const struct fl__toc_source *source,
					  uint8_t *content, int *err,
					  struct fl_error *error)
{
	uint8_t *state = calloc(1, (size_t)toc->state_bytes + 1);
	uint8_t *page = malloc(TOC_WPAGE);
	const char *wrong = NULL;
	struct fl__toc made;

	if (!state || !page ||
	    fl__toc_begin(&made, toc->image_count, toc->module_count, error))
		abort();
	*err = fl__toc_read_state(toc, source, state, error);
	if (!*err)
		*err = toc_bytes_remake(toc, source, &made, page, error);
	if (!*err)
		wrong = toc_bytes_compare(toc, &made, content);
	fl__toc_fini(&made);
	free(page);
	free(state);
	return wrong;
}

/* Read everything. *err is the reader's verdict; content gets the digest of what
 * was read. NULL, or what the reader did wrong. */
static inline const char *toc_bytes_try(const uint8_t *bytes, uint64_t len,
					uint8_t *content, int *err,
					struct fl_error *error)
{
	struct fl__toc_source source = toc_bytes_source(bytes, len);
	const char *wrong = NULL;
	struct fl__toc toc;

	*error = (struct fl_error){ .byte_off = FL_ERROR_NO_OFFSET };
	*err = fl__toc_read(&toc, &source, error);
	if (!*err) {
		wrong = toc_bytes_parts(&toc, &source, content, err, error);
		fl__toc_fini(&toc);
	}
	if (wrong || !*err)
		return wrong;
	if (*err != -ENOEXEC && *err != -ENOTSUP && *err != -E2BIG)
		return "an error of no such kind";
	return error->code != *err || error->byte_off > len || !error->text[0] ?
		       "an error that does not say where" :
		       NULL;
}

#endif
