/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * ctypes.h - how C's types lie in memory on this system, as one number.
 *
 * A runtime's struct as plain bytes means something only where the compiler lays
 * the struct out alike. Two systems with the same number do; Windows and Linux
 * on one processor do not. Pure.
 *
 *	bit	0	the most significant byte comes first
 *	bits	1-3	log2 of a pointer's bytes
 *		4-6	of a long's
 *		7-9	of a wchar_t's
 *		10-12	of the alignment of 64 bits in a struct
 *		13-15	a long double's mantissa has more than 53 bits (1), more
 *			than 64 (2), more than 106 (3)
 */
#ifndef FL_CTYPES_H
#define FL_CTYPES_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FL__CTYPES_END 65536u
#define FL__CTYPES_TEXT_BYTES 64

struct fl__ctypes_probe {
	char first;
	uint64_t second;
};

static inline uint32_t fl__ctypes_log2(size_t bytes)
{
	uint32_t log2 = 0;

	while (bytes >>= 1)
		log2++;
	return log2;
}

/* This system's number; 0 is no system's. */
static inline uint32_t fl__ctypes_here(void)
{
	uint32_t number = 0;

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
	number = 1;
#endif
	number |= fl__ctypes_log2(sizeof(void *)) << 1;
	number |= fl__ctypes_log2(sizeof(long)) << 4;
	number |= fl__ctypes_log2(sizeof(wchar_t)) << 7;
	number |= fl__ctypes_log2(offsetof(struct fl__ctypes_probe, second))
		  << 10;
	return number | (uint32_t)((LDBL_MANT_DIG > 53) + (LDBL_MANT_DIG > 64) +
				   (LDBL_MANT_DIG > 106))
				<< 13;
}

/* The number in words, for an error. */
static inline const char *fl__ctypes_say(uint32_t number,
					 char text[FL__CTYPES_TEXT_BYTES])
{
	snprintf(text, FL__CTYPES_TEXT_BYTES,
		 "%s-endian, pointers of %u bytes, long of %u (%#x)",
		 number & 1 ? "big" : "little", 1u << (number >> 1 & 7),
		 1u << (number >> 4 & 7), number);
	return text;
}

#endif
