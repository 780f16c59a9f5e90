/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sha256_lanes.h - SHA-256 of sixteen messages at once, one in each lane of a
 * 512-bit register.
 *
 * Takes sixteen messages of as many whole blocks; gives their digests. Every message
 * costs the same, wanted or not. For sha256.c alone, which says when this gains; what
 * both take from the standard is here.
 */
#ifndef FL_SHA256_LANES_H
#define FL_SHA256_LANES_H

#include "util.h"

#define FL__SHA256_BYTES 32
#define FL__SHA256_BLOCK_BYTES 64
#define FL__SHA256_LANES 16

/* FIPS 180-4, sections 5.3.3 and 4.2.2. */
extern const uint32_t fl__sha256_initial_state[8];
extern const uint32_t fl__sha256_constants[64];

/* What struct fl__sha256 has as lanes. There are such registers. */
bool fl__sha256_has_lanes(void);
void fl__sha256_lanes(const uint8_t *const messages[FL__SHA256_LANES],
		      size_t blocks,
		      uint8_t digests[FL__SHA256_LANES][FL__SHA256_BYTES]);

#endif
