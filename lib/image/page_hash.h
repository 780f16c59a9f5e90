/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * page_hash.h - the hash of a page, and of its parts.
 *
 * Takes a page of 64 KiB, or some of its sixteen blocks of 4 KiB; gives a hash of
 * 32 bytes. The hash of a page is SHA-256 of its sixteen *leaves* one after the
 * other, and a leaf is SHA-256 of a block. So whoever has the page's hash and its
 * leaves can check a block without the other fifteen; and a processor that hashes
 * many messages at once hashes a page sooner than one message of its length.
 *
 * Leaves need not be trusted: they belong to a page when their hash is the page's.
 * Pure; one thread at a time uses one struct fl__sha256.
 */
#ifndef FL_PAGE_HASH_H
#define FL_PAGE_HASH_H

#include "base/sha256.h"

#define FL__PAGE_BLOCK_BYTES 4096u
#define FL__PAGE_BLOCKS 16u

struct fl__page_leaves {
	uint8_t sha256[FL__PAGE_BLOCKS][FL__SHA256_BYTES];
};

/* Leaves [first, first + count) of blocks that lie at bytes one after the other. */
void fl__page_leaves_of(struct fl__sha256 *sha, const uint8_t *bytes,
			uint32_t first, uint32_t count,
			struct fl__page_leaves *leaves);
/* The hash of the page that has these leaves. */
void fl__page_root(struct fl__sha256 *sha, const struct fl__page_leaves *leaves,
		   uint8_t digest[FL__SHA256_BYTES]);
/* Both: the hash of a page. */
void fl__page_hash(struct fl__sha256 *sha, const uint8_t *page,
		   uint8_t digest[FL__SHA256_BYTES]);

#endif
