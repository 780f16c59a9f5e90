/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sized.h - structs that start with their size, in both directions.
 *
 * An input struct may be older (shorter: the rest keeps its default) or newer
 * than this library (longer: accepted while the unknown tail is zero). An
 * output struct is filled up to the caller's size and its size field kept.
 */
#ifndef FL_SIZED_H
#define FL_SIZED_H

#include "error.h"

/* Copy a caller's struct over defaults of known_bytes. -EINVAL. */
static inline int fl__sized_read(void *defaults, size_t known_bytes,
				 const void *input, const char *name,
				 struct fl_error *error)
{
	const uint8_t *bytes = input;
	size_t size;

	memcpy(&size, input, sizeof(size));
	if (size < sizeof(size))
		return fl__error_set(error, -EINVAL,
			"struct %s has no size; fill it with its init call first",
			name);
	for (size_t i = known_bytes; i < size; i++) {
		if (bytes[i])
			return fl__error_set(error, -EINVAL,
				"struct %s sets a field at byte %zu that version %s does not know",
				name, i, FL_VERSION);
	}
	memcpy(defaults, input, size < known_bytes ? size : known_bytes);
	return 0;
}

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
