/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sized.h - output structs, which start with the caller's size.
 *
 * The library fills a struct up to that size and keeps the struct's size field.
 */
#ifndef FL_SIZED_H
#define FL_SIZED_H

#include "util.h"

static inline void fl__sized_write(void *output, const void *filled,
				   size_t filled_bytes)
{
	size_t size;

	memcpy(&size, output, sizeof(size));
	if (size <= sizeof(size))
		return;
	memset((uint8_t *)output + sizeof(size), 0, size - sizeof(size));
	memcpy((uint8_t *)output + sizeof(size),
	       (const uint8_t *)filled + sizeof(size),
	       (size < filled_bytes ? size : filled_bytes) - sizeof(size));
}

#endif
