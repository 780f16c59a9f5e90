/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * arena.h - the slots of one source, and what tracks each of them.
 *
 * Takes where slots lie; gives a record a slot, and the descriptors that serve
 * it. All but the records is immutable, and a record is its slot's owner's: so
 * there are no locks.
 */
#ifndef FL_ARENA_H
#define FL_ARENA_H

#include "host.h"
#include "uffd/load/loader.h"

struct fl__arena {
	struct fl__geometry geometry;
	const struct fl__host *host;
	struct fl__whole whole;
	uint32_t first_shard;
	struct fl__dirty *dirty; /* one a slot */
};

/* The calls arena_open and arena_close of backend.h. */
int fl__arena_open(struct fl__host *host, const struct fl__geometry *geometry,
		   struct fl__arena **out, struct fl_error *error);
void fl__arena_close(struct fl__arena *arena);

static inline const struct fl__dirty_host *
fl__arena_shard(const struct fl__arena *arena, const struct fl__space *space)
{
	return &arena->host->shards[(arena->first_shard + space->idx) %
				    arena->host->shard_count];
}

/* What tracks a slot: a slot is registered with one descriptor, for all
 * purposes. room is for the answer. */
static inline const struct fl__dirty_host *
fl__arena_tracker(const struct fl__arena *arena, const struct fl__space *space,
		  struct fl__dirty_host *room)
{
	const struct fl__dirty_host *shard = fl__arena_shard(arena, space);

	if (!space->is_lazy || shard->uffd_fd < 0)
		return shard;
	*room = *shard;
	room->uffd_fd = fl__loader_uffd(arena->host->loader);
	return room;
}

#endif
