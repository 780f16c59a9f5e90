/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * delta_head.h - the head of a delta's bytes; what delta_write.c, delta_check.c
 * and delta_bytes.c know in common. The form is delta_bytes.h's.
 */
#ifndef FL_DELTA_HEAD_H
#define FL_DELTA_HEAD_H

#include "base/checksum.h"

#define FL__DELTA_HEAD_BYTES 88u
#define FL__DELTA_LINE_BYTES 64u
#define FL__DELTA_TAG_BYTES 32u

#define FL__DELTA_MAGIC "FLD"
#define FL__DELTA_FORMAT 1

enum fl__delta_off {
	FL__DELTA_FORMAT_OFF = 3,
	FL__DELTA_TABLES_OFF = 4,
	FL__DELTA_SUM_OFF = 8,
	FL__DELTA_LINES_OFF = 16,
	FL__DELTA_DIGEST_OFF = 24,
	FL__DELTA_TAG_OFF = 56,
};

static inline void fl__delta_put(uint8_t *at, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t fl__delta_get(const uint8_t *at, size_t bytes)
{
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++)
		value |= (uint64_t)at[i] << (8 * i);
	return value;
}

/* Of bytes whose head is written. */
static inline uint64_t fl__delta_sum(const uint8_t *bytes,
				     uint64_t length_bytes)
{
	return fl__checksum(fl__delta_get(bytes, 8),
			    bytes + FL__DELTA_LINES_OFF,
			    length_bytes - FL__DELTA_LINES_OFF);
}

static inline uint64_t fl__delta_lines_of(uint64_t length_bytes)
{
	return length_bytes / FL__DELTA_LINE_BYTES +
	       (length_bytes % FL__DELTA_LINE_BYTES != 0);
}

#endif
