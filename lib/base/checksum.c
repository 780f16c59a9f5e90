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

/* Whole steps of all lanes. Gives the bytes that were taken. */
static size_t sum_steps(uint64_t *lanes, const uint8_t *at, uint64_t len)
{
	uint64_t sums[LANES];
	size_t off;

	memcpy(sums, lanes, sizeof(sums));
	/* Unrolled, the lanes are in registers. */
	for (off = 0; len - off >= sizeof(sums); off += sizeof(sums)) {
#pragma GCC unroll 8
		for (size_t i = 0; i < LANES; i++)
			sums[i] = mix(sums[i],
				      word_at(at + off + i * STEP_BYTES));
	}
	memcpy(lanes, sums, sizeof(sums));
	return off;
}

#if FL_HAS_WIDE_VECTORS
#include <immintrin.h>

/* All lanes are one register's. */
__attribute__((target("avx512f,avx512dq"))) static size_t
sum_steps_avx512(uint64_t *lanes, const uint8_t *at, uint64_t len)
{
	__m512i factor = _mm512_set1_epi64((long long)FACTOR);
	__m512i sums = _mm512_loadu_si512(lanes);
	size_t off;

	for (off = 0; len - off >= sizeof(sums); off += sizeof(sums)) {
		sums = _mm512_xor_si512(sums, _mm512_loadu_si512(at + off));
		sums = _mm512_mullo_epi64(sums, factor);
		sums = _mm512_xor_si512(sums, _mm512_srli_epi64(sums, 32));
	}
	_mm512_storeu_si512(lanes, sums);
	return off;
}

#define BEST(name) (__builtin_cpu_supports("avx512dq") ? name##_avx512 : name)
#else
#define BEST(name) name
#endif

uint64_t fl__checksum(uint64_t seed, const void *bytes, uint64_t len)
{
	const uint8_t *at = bytes;
	uint64_t lanes[LANES];
	uint8_t rest[LANES * STEP_BYTES] = { 0 };
	uint64_t sum = len;
	size_t done;

	for (size_t i = 0; i < LANES; i++)
		lanes[i] = seed ^ (i * FACTOR);
	done = BEST(sum_steps)(lanes, at, len);
	if (len > done)
		memcpy(rest, at + done, (size_t)(len - done));
	for (size_t i = 0; i < LANES; i++)
		sum = mix(sum, mix(lanes[i], word_at(rest + i * STEP_BYTES)));
	return sum;
}
