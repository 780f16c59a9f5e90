/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* arena.c - opening and closing; see arena.h. */
#include "arena.h"
#include "uffd/track/track.h"

#include <stdlib.h>

void fl__arena_close(struct fl__arena *arena)
{
	for (uint32_t i = 0; i < arena->geometry.slot_count; i++)
		fl__track_forget(&arena->dirty[i]);
	free(arena->dirty);
	free(arena);
}

/* Where slots are all accessible and nothing lies between them, or guards that
 * are of one mapping with them. */
static struct fl__whole whole_of(const struct fl__geometry *geometry)
{
	uint64_t len = geometry->slot_count * geometry->stride_bytes;
	uint64_t first = geometry->first_off - geometry->prefix_bytes;

	if (!geometry->is_accessible || geometry->slot_count < 2 ||
	    geometry->stride_bytes != geometry->prefix_bytes +
					      geometry->max_bytes +
					      geometry->marked_bytes)
		return (struct fl__whole){ .end = 0 };
	first += (uintptr_t)geometry->reservation;
	return (struct fl__whole){ .start = first, .end = first + len };
}

int fl__arena_open(struct fl__host *host, const struct fl__geometry *geometry,
		   struct fl__arena **out, struct fl_error *error)
{
	struct fl__arena *arena = calloc(1, sizeof(*arena));
	size_t count = (size_t)geometry->slot_count + 1;
	size_t size = count * sizeof(*arena->dirty);

	if (!arena || posix_memalign((void **)&arena->dirty, 128, size)) {
		free(arena);
		return fl__error_set(error, -ENOMEM, "no memory for a pool");
	}
	memset(arena->dirty, 0, size);
	arena->geometry = *geometry;
	arena->host = host;
	/* A slot on demand is never reset. */
	if (!geometry->is_single_use)
		arena->first_shard = __atomic_fetch_add(
			&host->turn, geometry->slot_count, __ATOMIC_RELAXED);
	arena->whole = whole_of(geometry);
	arena->whole.uffd_fd =
		geometry->is_single_use || !geometry->max_bytes ?
			-1 :
			host->shards[arena->first_shard % host->shard_count]
				.uffd_fd;
	*out = arena;
	return 0;
}
