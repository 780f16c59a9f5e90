/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * serve_app.c - the guest of the real consumer: one request of a service that
 * archives text with bzip2 and zlib.
 *
 * Takes a seed and a length. Makes that many bytes of text from the seed,
 * compresses them with bzip2 and with zlib, decompresses both, and checks
 * that the text came back. Gives a CRC-32 over the text and both archives, so
 * that a single wrong byte anywhere in memory shows in the result; 0 when
 * a library reported an error or the text did not come back.
 *
 * The same file is compiled for the host, which is what each result is
 * checked against, and to wasm32-wasi. There an instance that is not fresh
 * gives a different result: the size of its memory, the count of requests
 * it served and the buffers it is going to use all enter the CRC. The buffers
 * are static because C programs have them: with an imported memory wasm-ld
 * writes them to the module as zeroes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bzlib.h"
#include "zlib.h"

#include "serve_app.h"

#define ARCHIVE_BYTES (SERVE_MAX_BYTES + SERVE_MAX_BYTES / 64 + 600)

#ifdef __wasm__
#define EXPORT(name) __attribute__((export_name(#name)))
#else
#define EXPORT(name)
#endif

void bz_internal_error(int code);

/* Not zero at the start, so that the count lies in a data segment. */
static uint32_t served_plus_one = 1;

static char text[SERVE_MAX_BYTES];
static char back[SERVE_MAX_BYTES];
static char archive[ARCHIVE_BYTES];

/* bzip2 without stdio leaves this to its user. */
void bz_internal_error(int code)
{
	(void)code;
	abort();
}

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void make_text(uint32_t seed, uint32_t length_bytes)
{
	static const char *const words[] = {
		"the ",	  "slot ",  "memory ", "page ",	 "instance ", "is ",
		"clean ", "fault ", "of ",     "a ",	 "request ",  "fresh ",
		"image ", "zero ",  "pool ",   "guard ",
	};
	uint32_t state = seed, at = 0;

	while (at < length_bytes) {
		uint32_t random = next_random(&state);
		const char *word = words[random % 16];
		uint32_t bytes = (uint32_t)strlen(word);

		if (bytes > length_bytes - at)
			bytes = length_bytes - at;
		memcpy(text + at, word, bytes);
		at += bytes;
		if ((random & 0x100) && at < length_bytes)
			text[at++] = (char)('0' + random / 512 % 10);
	}
}

/* Everything that a previous tenant of the slot could have left behind where
 * this request will look; 0 in a fresh instance. */
static uint32_t leftovers(uint32_t length_bytes)
{
	uint32_t found = served_plus_one - 1;
	uint32_t at;

	for (at = 0; at < length_bytes; at++)
		found |= (uint32_t)(text[at] | back[at] | archive[at]);
#ifdef __wasm__
	found |= (uint32_t)__builtin_wasm_memory_size(0) ^ SERVE_INITIAL_WPAGES;
#endif
	return found;
}

static uint32_t bzip2_roundtrip(uint32_t length_bytes, uint32_t crc)
{
	unsigned int archive_bytes = sizeof(archive);
	unsigned int back_bytes = length_bytes;

	if (BZ2_bzBuffToBuffCompress(archive, &archive_bytes, text,
				     length_bytes, 1, 0, 30) != BZ_OK ||
	    BZ2_bzBuffToBuffDecompress(back, &back_bytes, archive,
				       archive_bytes, 0, 0) != BZ_OK ||
	    back_bytes != length_bytes || memcmp(text, back, length_bytes))
		return 0;
	return (uint32_t)crc32(crc, (const Bytef *)archive, archive_bytes);
}

static uint32_t zlib_roundtrip(uint32_t length_bytes, uint32_t crc)
{
	uLongf archive_bytes = sizeof(archive);
	uLongf back_bytes = length_bytes;

	if (compress2((Bytef *)archive, &archive_bytes, (const Bytef *)text,
		      length_bytes, 6) != Z_OK ||
	    uncompress((Bytef *)back, &back_bytes, (const Bytef *)archive,
		       archive_bytes) != Z_OK ||
	    back_bytes != length_bytes || memcmp(text, back, length_bytes))
		return 0;
	return (uint32_t)crc32(crc, (const Bytef *)archive,
			       (uInt)archive_bytes);
}

EXPORT(serve_request)
uint32_t serve_request(uint32_t seed, uint32_t length_bytes)
{
	uint32_t crc;

	if (length_bytes > SERVE_MAX_BYTES)
		return 0;
	crc = leftovers(length_bytes);
	served_plus_one++;
	make_text(seed, length_bytes);
	crc = (uint32_t)crc32(crc, (const Bytef *)text, length_bytes);
	crc = bzip2_roundtrip(length_bytes, crc);
	return crc ? zlib_roundtrip(length_bytes, crc) : 0;
}

#ifndef __wasm__
void serve_native_reset(void)
{
	served_plus_one = 1;
	memset(text, 0, sizeof(text));
	memset(back, 0, sizeof(back));
	memset(archive, 0, sizeof(archive));
}
#endif
