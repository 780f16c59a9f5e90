/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* bits.h - sets of small numbers, one bit each, in words of 64. Plain data. */
#ifndef FL_BITS_H
#define FL_BITS_H

#include "util.h"

static inline size_t fl_bits_words(size_t count)
{
	return (count + 63) / 64;
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

#endif
