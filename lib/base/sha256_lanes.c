/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* sha256_lanes.c - SHA-256 by AVX-512; see sha256_lanes.h. */
#include "sha256_lanes.h"

const uint32_t fl__sha256_initial_state[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

const uint32_t fl__sha256_constants[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
	0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
	0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
	0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
	0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
	0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
	0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
	0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>

#define LANES_TARGET __attribute__((target("avx512f,avx512bw")))
#define LANES_INLINE LANES_TARGET static inline __attribute__((always_inline))

/* By the truth table of three bits: a ^ b ^ c, a ? b : c, most of them. */
#define XOR(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0x96)
#define CHOOSE(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xca)
#define MOST(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xe8)

LANES_INLINE __m512i add(__m512i a, __m512i b)
{
	return _mm512_add_epi32(a, b);
}

/* Rows become columns: word i of row j is word j of row i. */
LANES_INLINE void transpose(__m512i rows[16])
{
	__m512i t[16];

	for (int i = 0; i < 16; i += 4) {
		__m512i a = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
		__m512i b = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
		__m512i c = _mm512_unpacklo_epi32(rows[i + 2], rows[i + 3]);
		__m512i d = _mm512_unpackhi_epi32(rows[i + 2], rows[i + 3]);

		t[i] = _mm512_unpacklo_epi64(a, c);
		t[i + 1] = _mm512_unpackhi_epi64(a, c);
		t[i + 2] = _mm512_unpacklo_epi64(b, d);
		t[i + 3] = _mm512_unpackhi_epi64(b, d);
	}
	for (int i = 0; i < 4; i++) {
		__m512i a = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88);
		__m512i b = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xdd);
		__m512i c = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88);
		__m512i d = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xdd);

		rows[i] = _mm512_shuffle_i32x4(a, c, 0x88);
		rows[i + 4] = _mm512_shuffle_i32x4(b, d, 0x88);
		rows[i + 8] = _mm512_shuffle_i32x4(a, c, 0xdd);
		rows[i + 12] = _mm512_shuffle_i32x4(b, d, 0xdd);
	}
}

/* One round; s[0] to s[7] are a to h, before they move on by one. */
LANES_INLINE void round_all(__m512i s[8], __m512i word, uint32_t constant)
{
	__m512i a = s[0], e = s[4];
	__m512i up = XOR(_mm512_ror_epi32(e, 6), _mm512_ror_epi32(e, 11),
			 _mm512_ror_epi32(e, 25));
	__m512i down = XOR(_mm512_ror_epi32(a, 2), _mm512_ror_epi32(a, 13),
			   _mm512_ror_epi32(a, 22));

	up = add(add(s[7], add(word, _mm512_set1_epi32((int)constant))),
		 add(up, CHOOSE(e, s[5], s[6])));
	down = add(down, MOST(a, s[1], s[2]));
	s[7] = s[6];
	s[6] = s[5];
	s[5] = e;
	s[4] = add(s[3], up);
	s[3] = s[2];
	s[2] = s[1];
	s[1] = a;
	s[0] = add(up, down);
}

/* The word of round i becomes that of round i + 16. */
LANES_INLINE void schedule_next(__m512i w[16], int i)
{
	__m512i a = w[(i + 1) % 16], b = w[(i + 14) % 16];

	w[i] = add(add(w[i], w[(i + 9) % 16]),
		   add(XOR(_mm512_ror_epi32(a, 7), _mm512_ror_epi32(a, 18),
			   _mm512_srli_epi32(a, 3)),
		       XOR(_mm512_ror_epi32(b, 17), _mm512_ror_epi32(b, 19),
			   _mm512_srli_epi32(b, 10))));
}

LANES_INLINE void block_all(__m512i state[8], __m512i w[16])
{
	__m512i s[8];

	for (int i = 0; i < 8; i++)
		s[i] = state[i];
	/* The last sixteen words that are made so are not used. */
	for (int first = 0; first < 64; first += 16) {
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			round_all(s, w[i], fl__sha256_constants[first + i]);
			schedule_next(w, i);
		}
	}
	for (int i = 0; i < 8; i++)
		state[i] = add(state[i], s[i]);
}

LANES_TARGET void
fl__sha256_lanes(const uint8_t *const messages[FL__SHA256_LANES], size_t blocks,
		 uint8_t digests[FL__SHA256_LANES][FL__SHA256_BYTES])
{
	const __m512i swap = _mm512_broadcast_i32x4(
		_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203));
	uint64_t bits = (uint64_t)blocks * FL__SHA256_BLOCK_BYTES * 8;
	__m512i state[8], w[16];

	for (int i = 0; i < 8; i++)
		state[i] = _mm512_set1_epi32((int)fl__sha256_initial_state[i]);
	for (size_t b = 0; b < blocks; b++) {
		for (int i = 0; i < 16; i++)
			w[i] = _mm512_shuffle_epi8(
				_mm512_loadu_si512(messages[i] +
						   b * FL__SHA256_BLOCK_BYTES),
				swap);
		transpose(w);
		block_all(state, w);
	}
	/* The block that ends a message of whole blocks is the same for all. */
	for (int i = 0; i < 16; i++)
		w[i] = _mm512_setzero_si512();
	w[0] = _mm512_set1_epi32((int)0x80000000u);
	w[14] = _mm512_set1_epi32((int)(uint32_t)(bits >> 32));
	w[15] = _mm512_set1_epi32((int)(uint32_t)bits);
	block_all(state, w);
	for (int i = 0; i < 8; i++)
		w[i] = w[i + 8] = state[i];
	transpose(w);
	for (int i = 0; i < FL__SHA256_LANES; i++)
		_mm256_storeu_si256((__m256i *)(void *)digests[i],
				    _mm512_castsi512_si256(
					    _mm512_shuffle_epi8(w[i], swap)));
}

bool fl__sha256_has_lanes(void)
{
	return __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw");
}

#else

bool fl__sha256_has_lanes(void)
{
	return false;
}

void fl__sha256_lanes(const uint8_t *const messages[FL__SHA256_LANES],
		      size_t blocks,
		      uint8_t digests[FL__SHA256_LANES][FL__SHA256_BYTES])
{
	(void)messages;
	(void)blocks;
	(void)digests;
}

#endif
