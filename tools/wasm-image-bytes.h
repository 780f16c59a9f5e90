/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-bytes.h - the binary format of modules, read and written piece by
 * piece.
 *
 * Reading takes any bytes and never goes beyond their end: what is not there
 * reads as 0, and has_failed says so. Writing counts, and writes if there is
 * room to write to; so the same functions first count a module's bytes and then
 * write them.
 */
#ifndef WASM_IMAGE_BYTES_H
#define WASM_IMAGE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that are read one after the other. */
struct in {
	const uint8_t *bytes;
	size_t off, end;
	bool has_failed;
};

uint8_t get_byte(struct in *in);
uint64_t get_uleb(struct in *in);
uint32_t get_u32(struct in *in);
void skip(struct in *in, uint64_t len);

/* The functions that something refers to: one byte for each function. */
struct mentions {
	uint8_t *is_mentioned;
	uint32_t function_count;
};

/* Note a reference to a function; false if there is no such function. */
bool mention(const struct mentions *mentions, uint64_t function_idx);

/* Go past a constant expression. mentions may be NULL; otherwise it gets the
 * functions of ref.func. */
void skip_expression(struct in *in, const struct mentions *mentions);

/* A reference type; the byte that it begins with. */
uint8_t get_reftype(struct in *in);

enum limits_flags {
	HAS_MAX = 1,
	IS_64 = 4,
	HAS_PAGE_BYTES = 8,
	KNOWN_LIMITS = 15, /* and shared */
};

/* Of a memory or a table; rest to end is what follows the minimum. */
struct limits {
	uint8_t flags;
	uint64_t min, max; /* UINT64_MAX for none */
	size_t rest, end;
};

/* False for limits of no known form. */
bool get_limits(struct in *in, struct limits *limits);

enum section_id {
	SECTION_CUSTOM = 0,
	SECTION_TABLE = 4,
	SECTION_MEMORY = 5,
	SECTION_GLOBAL = 6,
	SECTION_START = 8,
	SECTION_ELEMENT = 9,
	SECTION_CODE = 10,
	SECTION_DATA = 11,
	SECTION_DATA_COUNT = 12,
	SECTION_TAG = 13,
};

struct section {
	uint8_t id;
	size_t start, body, end;
};

/* Go to the next section; false at the end and after a failure. */
bool next_section(struct in *in, struct section *section);

/* Writes where out is not NULL, counts always. */
struct sink {
	uint8_t *out;
	uint64_t len;
	bool has_failed; /* content that cannot be had */
};

void put_bytes(struct sink *sink, const void *bytes, uint64_t len);
void put_byte(struct sink *sink, uint8_t byte);
void put_uleb(struct sink *sink, uint64_t value);
void put_sleb(struct sink *sink, int64_t value);

/* An address as a constant expression. */
void put_address(struct sink *sink, bool is_64, uint64_t value);

#endif
