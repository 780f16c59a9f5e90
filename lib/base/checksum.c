/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* checksum.c - see checksum.h. */
#include "checksum.h"

#define LANES 8
#define STEP_BYTES 8

/* Odd, so that to multiply by it loses nothing; its bits look random. */
#define FACTOR UINT64_C(0xd6e8feb86659fd93)

static uint64_t word_at(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * FACTOR;
	/* A multiplication carries upward only. */
	return sum ^ (sum >> 32);
}

uint64_t fl__checksum(uint64_t seed, const void *bytes, uint64_t len)
{
	const uint8_t *at = bytes;
	uint64_t lanes[LANES];
	uint8_t rest[LANES * STEP_BYTES] = { 0 };
	uint64_t sum = len;

	for (size_t i = 0; i < LANES; i++)
		lanes[i] = seed ^ (i * FACTOR);
	/* Unrolled, the lanes are in registers. */
	for (; len >= sizeof(rest); len -= sizeof(rest), at += sizeof(rest)) {
#pragma GCC unroll 8
		for (size_t i = 0; i < LANES; i++)
			lanes[i] = mix(lanes[i], word_at(at + i * STEP_BYTES));
	}
	if (len)
		memcpy(rest, at, (size_t)len);
	for (size_t i = 0; i < LANES; i++)
		sum = mix(sum, mix(lanes[i], word_at(rest + i * STEP_BYTES)));
	return sum;
}
