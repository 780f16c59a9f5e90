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
static void space_dump(const struct fl__geometry *geometry, uint8_t *addr,
		       uint64_t len, bool is_in)
{
	if (geometry->dump == FL__DUMP_ACCESSIBLE)
		fl__os_dump(addr, len, is_in);
}

void fl__space_dump_mapped(const struct fl__geometry *geometry, uint8_t *addr,
			   uint64_t len)
{
	if (geometry->dump != FL__DUMP_ALL)
		fl__os_dump(addr, len, geometry->dump == FL__DUMP_ACCESSIBLE);
}

void fl__space_mark_guard(const struct fl__space *space,
			  const struct fl__geometry *geometry)
{
	uint64_t len = space->idx ? geometry->marked_bytes : 0;

	/* Marked first: the guard is never open. */
	if (len && !fl__os_mark_guard(space->base - len, len))
		(void)fl__os_allow(space->base - len, len);
}

int fl__space_move_border(struct fl__space *space,
			  const struct fl__geometry *geometry, uint64_t target)
{
	uint64_t allowed = space->allowed_bytes;
	int err = 0;

	if (target > allowed)
		err = fl__os_allow(space->base + allowed, target - allowed);
	else if (target < allowed)
		err = fl__os_deny(space->base + target, allowed - target);
	if (err)
		return err;
	if (target > allowed)
		space_dump(geometry, space->base + allowed, target - allowed,
			   true);
	else
		space_dump(geometry, space->base + target, allowed - target,
			   false);
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
	fl__geometry_zeroes(geometry, at, len);
	if (geometry->dump != FL__DUMP_ALL)
		fl__os_dump(at, len, false);
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
	err = fl__os_allow(space->base + split, target - split);
	if (!err) {
		err = fl__os_allow(space->base + allowed, split - allowed);
		/* Another thread of the guest may have written there since. */
		space->is_torn |= err != 0;
	}
	if (!err) {
		space_dump(geometry, space->base + allowed, target - allowed,
			   true);
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
	if (!space->is_open)
		return 0;
	err = fl__os_renew(space->base - geometry->prefix_bytes,
			   geometry->prefix_bytes + geometry->max_bytes);
	if (err)
		return err;
	fl__geometry_zeroes(geometry, space->base - geometry->prefix_bytes,
			    geometry->prefix_bytes + geometry->max_bytes);
	if (geometry->dump != FL__DUMP_ALL)
		fl__os_dump(space->base - geometry->prefix_bytes,
			    geometry->prefix_bytes + geometry->max_bytes,
			    false);
	space->is_open = space->is_torn = false;
	space->allowed_bytes = space->highest_bytes = 0;
	return 0;
}
