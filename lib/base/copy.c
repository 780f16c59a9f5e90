/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * copy.c - comparing two cache lines a turn; see copy.h.
 *
 * Two lines a turn need fewer branches than one, and with four a long run of
 * pages that were written whole is slower. The loop is in the compiler's own
 * vectors, which every target has. On x86-64 the loop is compiled once more for
 * AVX2, and once more for AVX-512, where one vector is one line; on Windows only
 * with optimisation (FL_HAS_WIDE_VECTORS).
 */
#include "copy.h"

#include <string.h>

typedef uint64_t vector __attribute__((vector_size(32), may_alias));
/* The same as a load from any address. */
typedef uint64_t loose __attribute__((vector_size(32), may_alias, aligned(1)));
/* A line, likewise. */
typedef uint64_t line __attribute__((vector_size(64), may_alias, aligned(1)));

/* from(i): what belongs at index i. any(v): is a bit of v set? */
#define DEFINE(name, target, from, any)                                       \
	target static bool name(void *start, const void *belongs, size_t len) \
	{                                                                     \
		const vector *source = belongs;                               \
		vector *at = start;                                           \
		bool is_changed = false;                                      \
                                                                              \
		(void)source;                                                 \
		for (size_t i = 0; i < len / sizeof(*at); i += 4) {           \
			vector a = from(i), b = from(i + 1);                  \
			vector c = from(i + 2), d = from(i + 3);              \
			vector differ = (a ^ at[i]) | (b ^ at[i + 1]) |       \
					(c ^ at[i + 2]) | (d ^ at[i + 3]);    \
                                                                              \
			if (!any(differ))                                     \
				continue;                                     \
			at[i] = a;                                            \
			at[i + 1] = b;                                        \
			at[i + 2] = c;                                        \
			at[i + 3] = d;                                        \
			is_changed = true;                                    \
		}                                                             \
		return is_changed;                                            \
	}

#define DEFINE_DIFFER(name, target, from, any)                            \
	target static uint64_t name(const void *start, const void *other, \
				    size_t count)                         \
	{                                                                 \
		const loose *here = start, *source = other;               \
		uint64_t mask = 0;                                        \
                                                                          \
		(void)source;                                             \
		for (size_t i = 0; i < count; i++) {                      \
			vector a = here[2 * i], b = here[2 * i + 1];      \
			vector differ = (a ^ from(2 * i)) |               \
					(b ^ from(2 * i + 1));            \
                                                                          \
			mask |= (uint64_t)(any(differ) != 0) << i;        \
		}                                                         \
		return mask;                                              \
	}

/* Both with a vector for each line. */
#define DEFINE_LINES(name, target, from, any)                                 \
	target static bool name(void *start, const void *belongs, size_t len) \
	{                                                                     \
		const line *source = belongs;                                 \
		line *at = start;                                             \
		bool is_changed = false;                                      \
                                                                              \
		(void)source;                                                 \
		for (size_t i = 0; i < len / sizeof(*at); i += 2) {           \
			line a = from(i), b = from(i + 1);                    \
			line differ = (a ^ at[i]) | (b ^ at[i + 1]);          \
                                                                              \
			if (!any(differ))                                     \
				continue;                                     \
			at[i] = a;                                            \
			at[i + 1] = b;                                        \
			is_changed = true;                                    \
		}                                                             \
		return is_changed;                                            \
	}

#define DEFINE_DIFFER_LINES(name, target, from, any)                      \
	target static uint64_t name(const void *start, const void *other, \
				    size_t count)                         \
	{                                                                 \
		const line *here = start, *source = other;                \
		uint64_t mask = 0;                                        \
                                                                          \
		(void)source;                                             \
		for (size_t i = 0; i < count; i++) {                      \
			line differ = here[i] ^ from(i);                  \
                                                                          \
			mask |= (uint64_t)(any(differ) != 0) << i;        \
		}                                                         \
		return mask;                                              \
	}

#define SOURCE(i) source[i]
#define ZERO(i) ((vector){ 0 })
#define ANY(v) ((v)[0] | (v)[1] | (v)[2] | (v)[3])

DEFINE(back, , SOURCE, ANY)
DEFINE(zeroes, , ZERO, ANY)
DEFINE_DIFFER(differ_from, , SOURCE, ANY)
DEFINE_DIFFER(differ_from_zeroes, , ZERO, ANY)

#if FL_HAS_WIDE_VECTORS
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define ANY_AVX2(v) (!_mm256_testz_si256((__m256i)(v), (__m256i)(v)))

DEFINE(back_avx2, AVX2, SOURCE, ANY_AVX2)
DEFINE(zeroes_avx2, AVX2, ZERO, ANY_AVX2)
DEFINE_DIFFER(differ_from_avx2, AVX2, SOURCE, ANY_AVX2)
DEFINE_DIFFER(differ_from_zeroes_avx2, AVX2, ZERO, ANY_AVX2)

#define AVX512 __attribute__((target("avx512f")))
#define ANY_AVX512(v) _mm512_test_epi64_mask((__m512i)(v), (__m512i)(v))
#define ZERO_LINE(i) ((line){ 0 })

DEFINE_LINES(back_avx512, AVX512, SOURCE, ANY_AVX512)
DEFINE_LINES(zeroes_avx512, AVX512, ZERO_LINE, ANY_AVX512)
DEFINE_DIFFER_LINES(differ_from_avx512, AVX512, SOURCE, ANY_AVX512)
DEFINE_DIFFER_LINES(differ_from_zeroes_avx512, AVX512, ZERO_LINE, ANY_AVX512)

#if defined(__clang__) || __GNUC__ > 9
#define HAS(feature) __builtin_cpu_supports(feature)
#else
/* gcc 9 cannot ask for what came later. */
#define HAS(feature) false
#endif

/* Older processors with AVX-512 lower their clock for it, or may; what has
 * bfloat16 came later. */
static inline bool has_avx512(void)
{
	return HAS("avx512f") && HAS("avx512bf16");
}

/* What has this too. Zen 5 copies a page in 0.8 of what it takes to compare the page,
 * and zeroes more than its second cache holds in 0.8 of what it takes to look first. */
static inline bool is_zen5(void)
{
	return has_avx512() && HAS("avx512vp2intersect");
}

#define BEST(name)                                        \
	(has_avx512()			? name##_avx512 : \
	 __builtin_cpu_supports("avx2") ? name##_avx2 :   \
					  name)
#else
static inline bool has_avx512(void)
{
	return false;
}

static inline bool is_zen5(void)
{
	return false;
}
#define BEST(name) name
#endif

bool fl__copy_back(void *at, const void *source, size_t len)
{
	fl_assert(len % FL__COPY_UNIT == 0);
	return BEST(back)(at, source, len);
}

bool fl__copy_zeroes(void *at, size_t len)
{
	fl_assert(len % FL__COPY_UNIT == 0);
	return BEST(zeroes)(at, NULL, len);
}

void fl__copy_restore(void *at, const void *source, size_t len)
{
	if (source && has_avx512() && !is_zen5())
		(void)fl__copy_back(at, source, len);
	else if (source)
		memcpy(at, source, len);
	else if (len > FL__COPY_LONG && is_zen5())
		memset(at, 0, len);
	else
		(void)fl__copy_zeroes(at, len);
}

uint64_t fl__copy_differ(const void *here, const void *there, size_t count)
{
	fl_assert(count <= 64);
	return there ? BEST(differ_from)(here, there, count) :
		       BEST(differ_from_zeroes)(here, NULL, count);
}
