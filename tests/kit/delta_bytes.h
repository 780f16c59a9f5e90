/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * delta_bytes.h - a delta's bytes, mended after a change.
 *
 * The checksum and the sizes in the head are made to fit whatever the bytes are, so
 * that a change gets past them and meets the checks behind. The form is known from
 * the description in lib/instance/delta_bytes.h, not from the code.
 */
#ifndef DELTA_BYTES_H
#define DELTA_BYTES_H

#include "base/checksum.h"

#define DELTA_HEAD 88

static inline void delta_bytes_put(uint8_t *at, uint64_t value, size_t count)
{
	for (size_t i = 0; i < count; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t delta_bytes_get(const uint8_t *at, size_t count)
{
	uint64_t value = 0;

	for (size_t i = count; i--;)
		value = value << 8 | at[i];
	return value;
}

/* The lines that the head says stay, as many as there is room for; what follows
 * are the tables. */
static inline void delta_bytes_mend(uint8_t *bytes, uint64_t len)
{
	uint64_t lines;

	if (len < DELTA_HEAD)
		return;
	lines = delta_bytes_get(bytes + 16, 8);
	if (lines > (len - DELTA_HEAD) / 64)
		lines = (len - DELTA_HEAD) / 64;
	delta_bytes_put(bytes + 16, lines, 8);
	delta_bytes_put(bytes + 4, len - DELTA_HEAD - 64 * lines, 4);
	delta_bytes_put(bytes + 8,
			fl__checksum(delta_bytes_get(bytes, 8), bytes + 16,
				     len - 16),
			8);
}

#endif
