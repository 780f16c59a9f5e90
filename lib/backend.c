/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * backend.c - what every backend does with the border of a slot; see backend.h.
 *
 * Takes a space, and sizes that are whole host pages; changes what of the slot
 * is accessible, by os.h alone. No state, no locks.
 */
#include "backend.h"

/* The range becomes accessible, or ceases to be. Without a wish of the host for
 * guest memory in dumps, this makes no call. */
static void space_dump(struct fl__space *space,
		       const struct fl__geometry *geometry, uint64_t off,
		       uint64_t len, bool is_in)
{
	if (geometry->dump != FL__DUMP_ACCESSIBLE || !len)
		return;
	fl__os_dump(space->base + off, len, is_in);
	fl__space_called(space, 1);
}

uint32_t fl__space_dump_mapped(const struct fl__geometry *geometry,
			       uint8_t *addr, uint64_t len)
{
	if (geometry->dump == FL__DUMP_ALL || !len)
		return 0;
	fl__os_dump(addr, len, geometry->dump == FL__DUMP_ACCESSIBLE);
	return 1;
}

void fl__space_mark_guard(struct fl__space *space,
			  const struct fl__geometry *geometry)
{
	uint64_t len = space->idx ? geometry->marked_bytes : 0;

	if (!len)
		return;
	/* Marked first: the guard is never open. */
	if (!fl__os_mark_guard(space->base - len, len))
		(void)fl__os_allow(space->base - len, len);
	fl__space_called(space, 2);
}

/* Fresh zeroes, as the pool has them. */
static void space_zeroes(struct fl__space *space,
			 const struct fl__geometry *geometry, uint8_t *at,
			 uint64_t len)
{
	fl__geometry_zeroes(geometry, at, len);
	if (geometry->dump != FL__DUMP_ALL)
		fl__os_dump(at, len, false);
	fl__space_called(space, 1u + geometry->avoids_huge_pages +
					(geometry->dump != FL__DUMP_ALL));
}

int fl__space_move_border(struct fl__space *space,
			  const struct fl__geometry *geometry, uint64_t target)
{
	uint64_t allowed = space->allowed_bytes;
	int err = 0;

	if (target == allowed)
		return 0;
	fl__space_called(space, 1);
	if (target > allowed)
		err = fl__os_allow(space->base + allowed, target - allowed);
	else
		err = fl__os_deny(space->base + target, allowed - target);
	if (err)
		return err;
	if (target > allowed)
		space_dump(space, geometry, allowed, target - allowed, true);
	else
		space_dump(space, geometry, target, allowed - target, false);
	space->allowed_bytes = target;
	return 0;
}

int fl__space_cut(struct fl__space *space, const struct fl__geometry *geometry,
		  uint64_t target)
{
	uint8_t *at = space->base + target;
	uint64_t len = space->allowed_bytes - target;
	int err = fl__os_renew(at, len);

	if (err || !len)
		return err;
	space_zeroes(space, geometry, at, len);
	space->allowed_bytes = target;
	return 0;
}

/* A part that a failed call has opened must not stay open: no reset would make
 * that part clean. */
int fl__space_grow(struct fl__space *space, const struct fl__geometry *geometry,
		   uint64_t target, uint64_t split)
{
	uint64_t allowed = space->allowed_bytes;
	int err;

	if (target <= allowed)
		return 0;
	fl__space_called(space, (target > split) + 0u + (split > allowed));
	err = fl__os_allow(space->base + split, target - split);
	if (!err) {
		err = fl__os_allow(space->base + allowed, split - allowed);
		/* Another thread of the guest may have written there since. */
		space->is_torn |= err != 0;
	}
	if (!err) {
		space_dump(space, geometry, allowed, target - allowed, true);
		space->allowed_bytes = target;
	} else if (fl__os_deny(space->base + allowed, target - allowed)) {
		space->is_torn = true;
	}
	return err;
}

/* One page table, and the size from which a slot's are worth counting. */
#define TABLE_SPAN_BYTES ((uint64_t)2 << 20)
#define LARGE_BYTES ((uint64_t)128 << 20)

int fl__space_keep_tables(struct fl__space *space,
			  const struct fl__geometry *geometry)
{
	uint64_t high = fl_max_u64(space->highest_bytes, space->allowed_bytes);

	space->highest_bytes = high;
	space->kept_bytes = high < LARGE_BYTES ? 0 :
						 high / TABLE_SPAN_BYTES *
							 geometry->hpage_bytes;
	return space->kept_bytes > geometry->max_kept_bytes ? -EAGAIN : 0;
}

int fl__space_renew(struct fl__space *space,
		    const struct fl__geometry *geometry)
{
	int err;

	/* An empty slot is reserved address space already. To map it anew could
	 * take a mapping that is not to be had. */
	if (!space->is_open) {
		space->is_torn = false;
		return 0;
	}
	err = fl__os_renew(space->base - geometry->prefix_bytes,
			   geometry->prefix_bytes + geometry->max_bytes);
	if (err)
		return err;
	space_zeroes(space, geometry, space->base - geometry->prefix_bytes,
		     geometry->prefix_bytes + geometry->max_bytes);
	space->is_open = space->is_torn = false;
	space->allowed_bytes = space->highest_bytes = 0;
	return 0;
}
