/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * toc_form.h - image files byte by byte, for the parts that read and make tables.
 *
 * Takes and gives numbers of the file; knows where each lies, as toc.h describes
 * the form, and keeps the index in memory. Seen by the files toc_*.c alone.
 */
#ifndef FL_TOC_FORM_H
#define FL_TOC_FORM_H

#include "toc.h"

#define HEADER_BYTES 512
#define IMAGE_BYTES 128
#define EXTENT_BYTES 24
#define ENTRY_BYTES 64
#define KIND_BYTES 1
#define ENCODING_RAW 0
#define ENCODING_ZSTD 1
#define ENCODING_FRAMES 2
#define VERSION_RAW 1
#define VERSION_PACKED 2

enum header_off {
	HEADER_VERSION = 8,
	HEADER_WPAGE = 12,
	HEADER_FILE = 16,
	HEADER_IMAGES = 24,
	HEADER_MODULES = 28,
	HEADER_ENTRIES = FL__TOC_ENTRIES_BYTE,
	HEADER_STATE = 40,
	HEADER_STATE_SHA256 = 48,
	HEADER_PACKED = 80,
	HEADER_ZERO = 88,
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

#define FL__TOC_MAGIC "\211FLI\r\n\032\n"
#define MAGIC_BYTES 8

static inline uint64_t get(const uint8_t *bytes, size_t len)
{
	uint64_t value = 0;

	while (len)
		value = value << 8 | bytes[--len];
	return value;
}

static inline uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)get(bytes, 4);
}

static inline uint64_t get64(const uint8_t *bytes)
{
	return get(bytes, 8);
}

static inline void put(uint8_t *bytes, uint64_t value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

static inline void put32(uint8_t *bytes, uint32_t value)
{
	put(bytes, value, 4);
}

static inline void put64(uint8_t *bytes, uint64_t value)
{
	put(bytes, value, 8);
}

/* Where the index begins. Limits keep the sum small. */
uint64_t fl__toc_index_off(const struct fl__toc *toc);
/* Where the bytes as they are stand for a page; false when no extent has it. */
bool fl__toc_place_of(const struct fl__toc_image *image, uint64_t wpage,
		      uint64_t *off);
/* Room for one more entry. -ENOMEM. */
int fl__toc_grow(struct fl__toc *toc, struct fl_error *error);
void fl__toc_append(struct fl__toc *toc, const struct fl__toc_entry *entry);
/* A byte of the file is wrong. -ENOEXEC. */
int fl__toc_bad(struct fl_error *error, uint64_t off, const char *what);

#endif
