/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bits.h - a set of small numbers, a bit each.
 *
 * Takes an array of fl_bits_words(count) words, which the caller owns and
 * zeroes. The caller promises that each index is below count. No state, no
 * allocation, nothing atomic.
 */
#ifndef FL_BITS_H
#define FL_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How many words hold count bits. */
static inline size_t fl_bits_words(size_t count)
{
	return count / 64 + (count % 64 != 0);
}

static inline bool fl_bit_get(const uint64_t *bits, size_t idx)
{
	return bits[idx / 64] >> idx % 64 & 1;
}

static inline void fl_bit_set(uint64_t *bits, size_t idx, bool value)
{
	uint64_t bit = UINT64_C(1) << idx % 64;

	bits[idx / 64] = value ? bits[idx / 64] | bit : bits[idx / 64] & ~bit;
}

/* The first index from `from` on whose bit is value; count when there is none. */
static inline size_t fl_bits_next(const uint64_t *bits, size_t count,
				  size_t from, bool value)
{
	while (from < count) {
		uint64_t word = value ? bits[from / 64] : ~bits[from / 64];

		word >>= from % 64;
		if (word) {
			from += (size_t)__builtin_ctzll(word);
			break;
		}
		from = (from / 64 + 1) * 64;
	}
	return from < count ? from : count;
}

/* Clear the bits [first, end); gives how many of these bits were set. */
static inline size_t fl_bits_clear(uint64_t *bits, size_t first, size_t end)
{
	size_t cleared = 0;

	for (size_t i = first; i < end; i = (i / 64 + 1) * 64) {
		uint64_t mask = UINT64_MAX << i % 64;

		if (end / 64 == i / 64)
			mask &= ~(UINT64_MAX << end % 64);
		cleared += (size_t)__builtin_popcountll(bits[i / 64] & mask);
		bits[i / 64] &= ~mask;
	}
	return cleared;
}

#endif
