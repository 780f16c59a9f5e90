/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* large.c - counting chunks, and collapsing them; see large.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "large.h"
#include "uffd/kernel.h"

#include <sys/mman.h>

#define CHUNK_WPAGES (FL__LAZY_CHUNK_BYTES / FL_WPAGE_BYTES)

/* A slot that is told of pages that are there gets each by itself. */
static bool is_time(const struct fl__lazy *lazy)
{
	return !lazy->is_continue || fl__lazy_is_whole(lazy->image);
}

bool fl__large_count(struct fl__lazy *lazy, uint64_t wpage)
{
	uint64_t chunk =
		wpage / CHUNK_WPAGES - lazy->first_off / FL__LAZY_CHUNK_BYTES;

	if (!lazy->can_collapse)
		return false;
	if (++lazy->chunk_loaded[chunk] == CHUNK_WPAGES)
		lazy->whole_count++;
	return lazy->whole_count && is_time(lazy);
}

uint8_t *fl__large_next(struct fl__lazy *lazy)
{
	uint64_t first = fl_round_down(lazy->first_off, FL__LAZY_CHUNK_BYTES);

	for (size_t i = 0; lazy->whole_count && is_time(lazy); i++) {
		if (lazy->chunk_loaded[i] < CHUNK_WPAGES)
			continue;
		/* Never again. */
		lazy->chunk_loaded[i] = 0;
		lazy->whole_count--;
		return lazy->window +
		       (first + i * FL__LAZY_CHUNK_BYTES - lazy->first_off);
	}
	return NULL;
}

void fl__large_make(uint8_t *chunk)
{
	(void)madvise(chunk, FL__LAZY_CHUNK_BYTES, FL_MADV_COLLAPSE);
}
