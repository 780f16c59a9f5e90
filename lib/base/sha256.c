/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* sha256.c - SHA-256 by FIPS 180-4, section 6.2; see sha256.h. */
#include "sha256.h"

#if defined(__GNUC__) && defined(__x86_64__)
#define HAVE_X86 1
#include <cpuid.h>
#include <immintrin.h>
#else
#define HAVE_X86 0
#endif

static uint32_t rotate(uint32_t value, unsigned int bits)
{
	return value >> bits | value << (32 - bits);
}

static void schedule(uint32_t w[64], const uint8_t *bytes)
{
	for (int i = 0; i < 16; i++, bytes += 4)
		w[i] = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
		       (uint32_t)bytes[2] << 8 | bytes[3];
	for (int i = 16; i < 64; i++) {
		uint32_t a = w[i - 15], b = w[i - 2];

		w[i] = w[i - 16] + w[i - 7] +
		       (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
		       (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
	}
}

static void block_portable(uint32_t state[8], const uint8_t *bytes)
{
	uint32_t w[64], s[8];

	schedule(w, bytes);
	memcpy(s, state, sizeof(s));
	for (int i = 0; i < 64; i++) {
		uint32_t a = s[0], e = s[4];
		uint32_t up = s[7] + w[i] + fl__sha256_constants[i] +
			      (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
			      ((e & s[5]) ^ (~e & s[6]));
		uint32_t down = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) +
				((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));

		memmove(&s[1], &s[0], 7 * sizeof(*s));
		s[4] += up;
		s[0] = up + down;
	}
	for (int i = 0; i < 8; i++)
		state[i] += s[i];
}

void fl__sha256_blocks_portable(uint32_t state[8], const uint8_t *bytes,
				size_t count)
{
	for (; count; count--, bytes += FL__SHA256_BLOCK_BYTES)
		block_portable(state, bytes);
}

#if HAVE_X86
#define X86_TARGET __attribute__((target("sha,ssse3,sse4.1")))

/* One message: its state as (a, b, e, f) and (c, d, g, h), which is how the
 * instructions want it, and sixteen words of its schedule. */
struct x86 {
	__m128i abef, cdgh, abef_before, cdgh_before;
	__m128i w[4]; /* w[i % 4] has the words of rounds 4 i to 4 i + 3 */
};

X86_TARGET static inline __attribute__((always_inline)) void
x86_load(struct x86 *x, const uint32_t state[8])
{
	const __m128i *at = (const __m128i *)(const void *)state;
	__m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(&at[0]), 0xb1);
	__m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128(&at[1]), 0x1b);

	x->abef = _mm_alignr_epi8(cdab, efgh, 8);
	x->cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
}

X86_TARGET static inline __attribute__((always_inline)) void
x86_store(const struct x86 *x, uint32_t state[8])
{
	__m128i *at = (__m128i *)(void *)state;
	__m128i abef = _mm_shuffle_epi32(x->abef, 0x1b);
	__m128i cdgh = _mm_shuffle_epi32(x->cdgh, 0xb1);

	_mm_storeu_si128(&at[0], _mm_blend_epi16(abef, cdgh, 0xf0));
	_mm_storeu_si128(&at[1], _mm_alignr_epi8(cdgh, abef, 8));
}

X86_TARGET static inline __attribute__((always_inline)) void
x86_begin(struct x86 *x, const uint8_t *bytes)
{
	const __m128i swap =
		_mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
	const __m128i *in = (const __m128i *)(const void *)bytes;

	for (int i = 0; i < 4; i++)
		x->w[i] = _mm_shuffle_epi8(_mm_loadu_si128(&in[i]), swap);
	x->abef_before = x->abef;
	x->cdgh_before = x->cdgh;
}

/* Rounds 4 i to 4 i + 3. */
X86_TARGET static inline __attribute__((always_inline)) void
x86_rounds(struct x86 *x, int i)
{
	const __m128i *constants =
		(const __m128i *)(const void *)&fl__sha256_constants[4 * i];
	__m128i *now = &x->w[i % 4];
	__m128i sum = _mm_add_epi32(*now, _mm_loadu_si128(constants));

	x->cdgh = _mm_sha256rnds2_epu32(x->cdgh, x->abef, sum);
	x->abef = _mm_sha256rnds2_epu32(x->abef, x->cdgh,
					_mm_shuffle_epi32(sum, 0x0e));
	if (i >= 12)
		return;
	/* What round i has used becomes the words of round i + 4. */
	*now = _mm_sha256msg1_epu32(*now, x->w[(i + 1) % 4]);
	*now = _mm_add_epi32(*now, _mm_alignr_epi8(x->w[(i + 3) % 4],
						   x->w[(i + 2) % 4], 4));
	*now = _mm_sha256msg2_epu32(*now, x->w[(i + 3) % 4]);
}

X86_TARGET static inline __attribute__((always_inline)) void
x86_end(struct x86 *x)
{
	x->abef = _mm_add_epi32(x->abef, x->abef_before);
	x->cdgh = _mm_add_epi32(x->cdgh, x->cdgh_before);
}

/* Unrolled, so that the schedule stays in registers. */
X86_TARGET static void blocks_x86(uint32_t state[8], const uint8_t *bytes,
				  size_t count)
{
	struct x86 x;

	x86_load(&x, state);
	for (; count; count--, bytes += FL__SHA256_BLOCK_BYTES) {
		x86_begin(&x, bytes);
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++)
			x86_rounds(&x, i);
		x86_end(&x);
	}
	x86_store(&x, state);
}

/* Two rounds of one message wait for each other. Those of another message fill
 * the time between. */
X86_TARGET static void pair_x86(uint32_t state_a[8], const uint8_t *a,
				uint32_t state_b[8], const uint8_t *b,
				size_t count)
{
	struct x86 x, y;

	x86_load(&x, state_a);
	x86_load(&y, state_b);
	for (; count; count--) {
		x86_begin(&x, a);
		x86_begin(&y, b);
#pragma GCC unroll 16
		for (int i = 0; i < 16; i++) {
			x86_rounds(&x, i);
			x86_rounds(&y, i);
		}
		x86_end(&x);
		x86_end(&y);
		a += FL__SHA256_BLOCK_BYTES;
		b += FL__SHA256_BLOCK_BYTES;
	}
	x86_store(&x, state_a);
	x86_store(&y, state_b);
}

static bool has_x86(void)
{
	unsigned int a, b, c, d;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) ||
	    !(c & bit_SSE4_1))
		return false;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & bit_SHA;
}
#endif

void fl__sha256_init(struct fl__sha256 *sha)
{
	sha->blocks = fl__sha256_blocks_portable;
	sha->pair = NULL;
	sha->lanes = fl__sha256_has_lanes() ? fl__sha256_lanes : NULL;
#if HAVE_X86
	if (has_x86()) {
		sha->blocks = blocks_x86;
		sha->pair = pair_x86;
	}
#endif
	fl__sha256_restart(sha);
}

void fl__sha256_restart(struct fl__sha256 *sha)
{
	memcpy(sha->state, fl__sha256_initial_state, sizeof(sha->state));
	sha->length_bytes = 0;
}

void fl__sha256_add(struct fl__sha256 *sha, const void *bytes, uint64_t len)
{
	uint64_t held = sha->length_bytes % FL__SHA256_BLOCK_BYTES;
	const uint8_t *from = bytes;

	/* Of no bytes the address may be NULL. */
	if (!len)
		return;
	sha->length_bytes += len;
	if (held) {
		uint64_t part = fl_min_u64(len, FL__SHA256_BLOCK_BYTES - held);

		memcpy(sha->rest + held, from, (size_t)part);
		if (held + part < FL__SHA256_BLOCK_BYTES)
			return;
		sha->blocks(sha->state, sha->rest, 1);
		from += part;
		len -= part;
	}
	if (len >= FL__SHA256_BLOCK_BYTES)
		sha->blocks(sha->state, from,
			    (size_t)(len / FL__SHA256_BLOCK_BYTES));
	from += len - len % FL__SHA256_BLOCK_BYTES;
	if (len % FL__SHA256_BLOCK_BYTES)
		memcpy(sha->rest, from, (size_t)(len % FL__SHA256_BLOCK_BYTES));
}

void fl__sha256_end(struct fl__sha256 *sha, uint8_t digest[FL__SHA256_BYTES])
{
	uint64_t bits = sha->length_bytes * 8;
	uint64_t held = sha->length_bytes % FL__SHA256_BLOCK_BYTES;
	uint8_t tail[2 * FL__SHA256_BLOCK_BYTES] = { 0 };
	size_t count = held < FL__SHA256_BLOCK_BYTES - 8 ? 1 : 2;

	memcpy(tail, sha->rest, (size_t)held);
	tail[held] = 0x80;
	for (size_t i = 0; i < 8; i++)
		tail[count * FL__SHA256_BLOCK_BYTES - 1 - i] =
			(uint8_t)(bits >> 8 * i);
	sha->blocks(sha->state, tail, count);
	for (size_t i = 0; i < FL__SHA256_BYTES; i++)
		digest[i] = (uint8_t)(sha->state[i / 4] >> (24 - i % 4 * 8));
}

static void hash_one(struct fl__sha256 *sha, const uint8_t *bytes, uint64_t len,
		     uint8_t digest[FL__SHA256_BYTES])
{
	fl__sha256_restart(sha);
	fl__sha256_add(sha, bytes, len);
	fl__sha256_end(sha, digest);
}

/* Messages of whole blocks. */
static void hash_pair(struct fl__sha256 *sha, const uint8_t *bytes,
		      uint64_t len, uint8_t (*digests)[FL__SHA256_BYTES])
{
	uint32_t states[2][8];

	memcpy(states[0], fl__sha256_initial_state, sizeof(states[0]));
	memcpy(states[1], fl__sha256_initial_state, sizeof(states[1]));
	sha->pair(states[0], bytes, states[1], bytes + len,
		  (size_t)(len / FL__SHA256_BLOCK_BYTES));
	for (int i = 0; i < 2; i++) {
		memcpy(sha->state, states[i], sizeof(states[i]));
		sha->length_bytes = len;
		fl__sha256_end(sha, digests[i]);
	}
}

/* Lanes that are not wanted hash the first message again. */
static void hash_lanes(const struct fl__sha256 *sha, const uint8_t *bytes,
		       uint64_t len, size_t count,
		       uint8_t (*digests)[FL__SHA256_BYTES])
{
	uint8_t all[FL__SHA256_LANES][FL__SHA256_BYTES];
	const uint8_t *messages[FL__SHA256_LANES];

	for (size_t i = 0; i < FL__SHA256_LANES; i++)
		messages[i] = bytes + (i < count ? i * len : 0);
	sha->lanes(messages, (size_t)(len / FL__SHA256_BLOCK_BYTES), all);
	memcpy(digests, all, count * sizeof(all[0]));
}

void fl__sha256_many(struct fl__sha256 *sha, const uint8_t *bytes, uint64_t len,
		     size_t count, uint8_t (*digests)[FL__SHA256_BYTES])
{
	bool is_whole = len % FL__SHA256_BLOCK_BYTES == 0;
	/* So many pairs, or messages, take as long as all lanes. */
	size_t worth = sha->pair ? 10 : 2;

	for (size_t part; count; count -= part, bytes += part * len) {
		part = 1;
		if (is_whole && sha->lanes && count >= worth) {
			part = count < FL__SHA256_LANES ? count :
							  FL__SHA256_LANES;
			hash_lanes(sha, bytes, len, part, digests);
		} else if (is_whole && sha->pair && count >= 2) {
			part = 2;
			hash_pair(sha, bytes, len, digests);
		} else {
			hash_one(sha, bytes, len, digests[0]);
		}
		digests += part;
	}
}

enum {
	DIGEST_UNKNOWN = 0,
	DIGEST_TAKEN = 1, /* one thread writes the bytes */
	DIGEST_KNOWN = 2,
};

bool fl__kept_digest_get(const struct fl__kept_digest *kept,
			 uint8_t digest[FL__SHA256_BYTES])
{
	/* Pairs with the store in fl__kept_digest_set(). */
	if (__atomic_load_n(&kept->state, __ATOMIC_ACQUIRE) != DIGEST_KNOWN)
		return false;
	memcpy(digest, kept->bytes, sizeof(kept->bytes));
	return true;
}

void fl__kept_digest_set(struct fl__kept_digest *kept,
			 const uint8_t digest[FL__SHA256_BYTES])
{
	uint32_t unknown = DIGEST_UNKNOWN;

	if (!__atomic_compare_exchange_n(&kept->state, &unknown, DIGEST_TAKEN,
					 false, __ATOMIC_RELAXED,
					 __ATOMIC_RELAXED))
		return;
	memcpy(kept->bytes, digest, sizeof(kept->bytes));
	__atomic_store_n(&kept->state, DIGEST_KNOWN, __ATOMIC_RELEASE);
}
