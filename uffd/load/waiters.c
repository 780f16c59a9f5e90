/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* waiters.c - answers, and lists of waiters; see waiters.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "waiters.h"
#include "slots/stats.h"
#include "uffd/uffd.h"

#include <sys/mman.h>

/* An answer that could not be given is given again after this time. */
#define AGAIN_NS UINT64_C(50000000)

/* A waiter with an answer: a thread looks at err, a guest's slot is known no
 * more. */
static void waiter_free(struct fl__desk *desk, struct fl__waiter *waiter)
{
	struct fl__stats *loads = waiter->image->loads;

	fl__stats_add(loads, FL__LOADS_waits_ended, 1);
	if (loads)
		fl__stats_end(loads, FL__LOADS_TIMES_wait, waiter->begin_ns);
	if (!waiter->space) {
		waiter->is_answered = true;
		fl__os_cond_broadcast(&desk->answered);
		return;
	}
	waiter->next = desk->free_waiters;
	desk->free_waiters = waiter;
	/* Faults may be left in the kernel for want of one. */
	if (!desk->free_waiter_count++)
		fl__desk_ring(desk);
}

/* Make the page inaccessible in the slot. A part of a mapping may be one mapping
 * too many; then the whole place goes. */
static int place_lose(struct fl__desk *desk, const struct fl__waiter *waiter)
{
	const struct fl__place *place;

	if (!mprotect((void *)(uintptr_t)waiter->start,
		      (size_t)(waiter->end - waiter->start), PROT_NONE))
		return 0;
	place = fl__places_at(&desk->places, waiter->start);
	if (!place || place->space != waiter->space)
		return 0;
	return mprotect((void *)(uintptr_t)place->start,
			(size_t)(place->end - place->start), PROT_NONE);
}

void fl__waiters_wait(struct fl__desk *desk, struct fl__waiter *waiter)
{
	struct fl__waiter **link = &desk->unserved;

	while (*link)
		link = &(*link)->next;
	waiter->next = NULL;
	*link = waiter;
}

/* Where the kernel does not map what is loaded by itself. */
static int waiter_show(const struct fl__waiter *waiter)
{
	uint64_t base = (uintptr_t)waiter->space->base;

	return waiter->image->lazy->is_continue ?
		       fl__lazy_show(waiter->image, base, waiter->start,
				     waiter->end) :
		       0;
}

void fl__waiter_answer(struct fl__desk *desk, struct fl__waiter *waiter,
		       int err)
{
	if (!err && waiter->space)
		err = waiter_show(waiter);
	if (!waiter->space) {
		waiter->err = err;
	} else if (err) {
		/* Whoever handles the signal reads this. */
		__atomic_store_n(&waiter->space->load_error, err,
				 __ATOMIC_RELEASE);
		if (place_lose(desk, waiter)) {
			waiter->err = err;
			waiter->deadline_ns = fl__os_now_ns() + AGAIN_NS;
			fl__waiters_wait(desk, waiter);
			return;
		}
	}
	if (waiter->space)
		fl__uffd_wake(desk->uffd_fd, waiter->start,
			      waiter->end - waiter->start);
	waiter_free(desk, waiter);
}

bool fl__waiter_is_served(const struct fl__waiter *waiter)
{
	const struct fl_image *image = waiter->image;
	uint64_t entry_idx;

	/* A hole that is not in the file is still to be filled with zeroes. */
	if (!fl__toc_find(&image->origin->toc, image->origin_idx, waiter->wpage,
			  &entry_idx))
		return !waiter->space;
	return fl__lazy_has_part(image, entry_idx, waiter->part);
}

void fl__waiters_serve(struct fl__desk *desk, struct fl__waiter **link)
{
	while (*link) {
		struct fl__waiter *waiter = *link;

		if (!fl__waiter_is_served(waiter)) {
			link = &waiter->next;
			continue;
		}
		*link = waiter->next;
		fl__waiter_answer(desk, waiter, 0);
	}
}

/* Take the waiters of a slot off a list, without an answer. */
static void waiters_drop(struct fl__desk *desk, struct fl__waiter **link,
			 const struct fl__space *space)
{
	while (*link) {
		struct fl__waiter *waiter = *link;

		if (waiter->space != space) {
			link = &waiter->next;
			continue;
		}
		*link = waiter->next;
		waiter_free(desk, waiter);
	}
}

void fl__waiters_leave(struct fl__desk *desk, const struct fl__space *space)
{
	waiters_drop(desk, &desk->unserved, space);
	for (uint32_t i = 0; i < FL__DESK_LOADS; i++)
		waiters_drop(desk, &desk->loads[i].waiters, space);
}

/* Does somebody wait for a block of the page that begins at start? */
static bool is_among(const struct fl__waiter *waiter,
		     const struct fl__place *place, uint64_t start,
		     uint32_t block)
{
	while (waiter &&
	       (waiter->space != place->space || waiter->start != start ||
		!(fl__part_mask(waiter->part) >> block & 1)))
		waiter = waiter->next;
	return waiter;
}

bool fl__waiters_have(struct fl__desk *desk, const struct fl__place *place,
		      uint64_t wpage, uint64_t start, uint32_t block)
{
	bool is_waiting = is_among(desk->unserved, place, start, block);

	for (uint32_t i = 0; i < FL__DESK_LOADS && !is_waiting; i++)
		is_waiting =
			fl__load_is_of(&desk->loads[i], place->image, wpage) &&
			is_among(desk->loads[i].waiters, place, start, block);
	return is_waiting;
}
