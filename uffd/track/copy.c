/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* copy.c - comparing by vector registers of 32 bytes; see copy.h. */
#include "copy.h"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))

bool fl__copy_can_compare(void)
{
	return __builtin_cpu_supports("avx2");
}

/* Two lines a turn: fewer branches than one, and a long run of pages that were
 * written whole is slower with four. */
AVX2 static void compare_back(__m256i *at, const __m256i *source, size_t len)
{
	for (size_t i = 0; i < len / sizeof(*at); i += 4) {
		__m256i a = _mm256_load_si256(source + i);
		__m256i b = _mm256_load_si256(source + i + 1);
		__m256i c = _mm256_load_si256(source + i + 2);
		__m256i d = _mm256_load_si256(source + i + 3);
		__m256i differ = _mm256_or_si256(
			_mm256_or_si256(_mm256_xor_si256(a, at[i]),
					_mm256_xor_si256(b, at[i + 1])),
			_mm256_or_si256(_mm256_xor_si256(c, at[i + 2]),
					_mm256_xor_si256(d, at[i + 3])));

		if (_mm256_testz_si256(differ, differ))
			continue;
		_mm256_store_si256(at + i, a);
		_mm256_store_si256(at + i + 1, b);
		_mm256_store_si256(at + i + 2, c);
		_mm256_store_si256(at + i + 3, d);
	}
}

AVX2 static void compare_zeroes(__m256i *at, size_t len)
{
	const __m256i zero = _mm256_setzero_si256();

	for (size_t i = 0; i < len / sizeof(*at); i += 4) {
		__m256i any =
			_mm256_or_si256(_mm256_or_si256(at[i], at[i + 1]),
					_mm256_or_si256(at[i + 2], at[i + 3]));

		if (_mm256_testz_si256(any, any))
			continue;
		_mm256_store_si256(at + i, zero);
		_mm256_store_si256(at + i + 1, zero);
		_mm256_store_si256(at + i + 2, zero);
		_mm256_store_si256(at + i + 3, zero);
	}
}

#else

bool fl__copy_can_compare(void)
{
	return false;
}

#define compare_back(at, source, len) memcpy(at, source, len)
#define compare_zeroes(at, len) memset(at, 0, len)

#endif

void fl__copy_back(void *at, const void *source, size_t len, bool is_comparing)
{
	fl_assert(len % FL__COPY_UNIT == 0);
	if (is_comparing)
		compare_back(at, source, len);
	else
		memcpy(at, source, len);
}

void fl__copy_zeroes(void *at, size_t len, bool is_comparing)
{
	fl_assert(len % FL__COPY_UNIT == 0);
	if (is_comparing)
		compare_zeroes(at, len);
	else
		memset(at, 0, len);
}
