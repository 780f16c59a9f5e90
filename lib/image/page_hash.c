/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* page_hash.c - leaves of a page, and their hash; see page_hash.h. */
#include "page_hash.h"

void fl__page_leaves_of(struct fl__sha256 *sha, const uint8_t *bytes,
			uint32_t first, uint32_t count,
			struct fl__page_leaves *leaves)
{
	fl__sha256_many(sha, bytes, FL__PAGE_BLOCK_BYTES, count,
			&leaves->sha256[first]);
}

void fl__page_root(struct fl__sha256 *sha, const struct fl__page_leaves *leaves,
		   uint8_t digest[FL__SHA256_BYTES])
{
	fl__sha256_restart(sha);
	fl__sha256_add(sha, leaves->sha256, sizeof(leaves->sha256));
	fl__sha256_end(sha, digest);
}

void fl__page_hash(struct fl__sha256 *sha, const uint8_t *page,
		   uint8_t digest[FL__SHA256_BYTES])
{
	struct fl__page_leaves leaves;

	fl__page_leaves_of(sha, page, 0, FL__PAGE_BLOCKS, &leaves);
	fl__page_root(sha, &leaves, digest);
}
