/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sha256.h - SHA-256 (FIPS 180-4), of our own: the library needs no other.
 *
 * Takes bytes in any number of parts, gives 32 bytes. Where the processor has
 * instructions for SHA-256 the hash uses them; fl__sha256_init() asks the
 * processor. That question is slow in a virtual machine, so that a caller who
 * hashes many pages restarts one struct. Plain data, no allocation, no error;
 * one thread at a time uses one struct.
 */
#ifndef FL_SHA256_H
#define FL_SHA256_H

#include "sha256_lanes.h"

struct fl__sha256 {
	uint32_t state[8];
	uint64_t length_bytes; /* taken so far */
	/* What is not a whole block yet. */
	uint8_t rest[FL__SHA256_BLOCK_BYTES];
	void (*blocks)(uint32_t state[8], const uint8_t *bytes, size_t count);
	/* As many blocks of two messages, in hardly more time than those of one.
	 * NULL: the processor gains nothing by it. */
	void (*pair)(uint32_t state_a[8], const uint8_t *a, uint32_t state_b[8],
		     const uint8_t *b, size_t count);
	/* The digests of many messages of as many whole blocks, in the same time for
	 * up to FL__SHA256_LANES of them. NULL: the processor cannot. */
	void (*lanes)(const uint8_t *const messages[FL__SHA256_LANES],
		      size_t blocks,
		      uint8_t digests[FL__SHA256_LANES][FL__SHA256_BYTES]);
};

/* The same whatever the processor: for tests, and where it has no better. */
void fl__sha256_blocks_portable(uint32_t state[8], const uint8_t *bytes,
				size_t count);

void fl__sha256_init(struct fl__sha256 *sha);
/* Begin anew, by the same instructions. */
void fl__sha256_restart(struct fl__sha256 *sha);
void fl__sha256_add(struct fl__sha256 *sha, const void *bytes, uint64_t len);
/* The struct must be restarted before its next use. */
void fl__sha256_end(struct fl__sha256 *sha, uint8_t digest[FL__SHA256_BYTES]);

/* The digests of messages of len bytes each that lie one after the other. Begins and
 * ends by itself. */
void fl__sha256_many(struct fl__sha256 *sha, const uint8_t *bytes, uint64_t len,
		     size_t count, uint8_t (*digests)[FL__SHA256_BYTES]);

/* A digest that is computed when it is first asked for. All zero: unknown. Any
 * thread; each thread that asks early computes the same digest, and the first
 * one keeps it. */
struct fl__kept_digest {
	uint32_t state; /* atomic */
	uint8_t bytes[FL__SHA256_BYTES];
};

/* False: unknown. */
bool fl__kept_digest_get(const struct fl__kept_digest *kept,
			 uint8_t digest[FL__SHA256_BYTES]);
void fl__kept_digest_set(struct fl__kept_digest *kept,
			 const uint8_t digest[FL__SHA256_BYTES]);

#endif
