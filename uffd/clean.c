/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* clean.c - a reset by the rung of the context; see clean.h. */
#include "clean.h"
#include "storage.h"
#include "uffd/load/foresee.h"
#include "uffd/track/settle.h"
#include "uffd/track/since.h"
#include "uffd/track/track.h"

/* A prefix up to this size is zeroed, and not counted as kept. A larger prefix,
 * or one that exceeds the budget of a slot, is dropped. */
#define PREFIX_CLEAR_BYTES FL_WPAGE_BYTES

static int reset_prefix(const struct fl__arena *arena, struct fl__space *space)
{
	uint64_t len = arena->geometry.prefix_bytes;
	uint8_t *start = space->base - len;

	if (len >
	    fl_min_u64(PREFIX_CLEAR_BYTES, arena->geometry.max_kept_bytes)) {
		fl__space_called(space, 1);
		return fl__settle_drop((uintptr_t)start,
				       (uintptr_t)space->base);
	}
	/* Without a prefix the address is a guard's: pass it to no call. */
	if (len)
		memset(start, 0, (size_t)len);
	return 0;
}

/* What did the first tenant of a slot touch? Before a reset has marked anything,
 * what is present was touched. */
static void slot_record(const struct fl__arena *arena, struct fl__space *space)
{
	if (space->image && space->image->set.toc &&
	    !arena->dirty[space->idx].resets)
		fl__foresee_record(fl__arena_shard(arena, space)->pagemap_fd,
				   space);
}

/* Nobody waits in the slot any more, so nothing is lost in it from now on. */
static bool slot_is_whole(const struct fl__arena *arena,
			  const struct fl__space *space)
{
	fl__desk_leave(fl__loader_desk(arena->host->loader), space);
	return !__atomic_load_n(&space->load_error, __ATOMIC_RELAXED);
}

static int slot_drop(const struct fl__arena *arena, struct fl__space *space,
		     struct fl__taker *taker)
{
	const struct fl__geometry *geometry = &arena->geometry;
	uint64_t base = (uintptr_t)space->base;
	int err;

	if (taker)
		taker->take(taker, 0, space->allowed_bytes);
	fl__space_called(space, 1);
	err = fl__settle_drop(base - geometry->prefix_bytes,
			      base + space->allowed_bytes);
	return err ? err : fl__space_keep_tables(space, geometry);
}

int fl__clean_reset_taking(struct fl__arena *arena, struct fl__space *space,
			   struct fl__work *work, struct fl__taker *taker)
{
	const struct fl__geometry *geometry = &arena->geometry;
	struct fl__whole none = { .end = 0 };
	struct fl__dirty_host room;
	int err;

	if (space->is_torn || fl__storage_look(space->image))
		return -EIO;
	/* A page that could not be loaded is inaccessible. */
	if (space->is_lazy && !slot_is_whole(arena, space))
		return -EAGAIN;
	slot_record(arena, space);
	if (arena->host->rung == FL__RUNG_DONTNEED) {
		err = slot_drop(arena, space, taker);
	} else {
		err = reset_prefix(arena, space);
		if (!err)
			err = fl__track_reset(
				&arena->dirty[space->idx],
				fl__arena_tracker(arena, space, &room),
				space->is_lazy ? &none : &arena->whole,
				geometry, space, &space->kept_bytes, work,
				taker);
	}
	/* What lies behind the border is not to be read any more. */
	if (!err && taker)
		taker->take(taker, space->allowed_bytes, 0);
	if (err)
		return fl__error_fold(err);
	return fl__space_move_border(
		space, geometry,
		fl__geometry_allowed(geometry, space->attached_bytes));
}

int fl__clean_reset(struct fl__arena *arena, struct fl__space *space,
		    struct fl__work *work)
{
	return fl__clean_reset_taking(arena, space, work, NULL);
}

int fl__clean_watch(struct fl__arena *arena, struct fl__space *space)
{
	struct fl__whole none = { .end = 0 };
	struct fl__dirty_host room;
	int err;

	if (arena->geometry.is_single_use)
		return -ENOTSUP;
	err = fl__since_watch(&arena->dirty[space->idx],
			      fl__arena_tracker(arena, space, &room),
			      space->is_lazy ? &none : &arena->whole,
			      &arena->geometry, space);
	return err == -ENOTSUP ? err : fl__error_fold(err);
}
