/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* chores.c - reading ahead and collapsing; see chores.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "chores.h"
#include "ahead.h"
#include "large.h"

#include <fcntl.h>

static void chore_begin(struct fl__desk *desk, struct fl__lazy *lazy)
{
	lazy->holders++;
	fl__os_unlock(&desk->lock);
}

static void chore_end(struct fl__desk *desk, struct fl__lazy *lazy)
{
	fl__os_lock(&desk->lock);
	lazy->holders--;
	fl__os_cond_broadcast(&desk->answered);
}

bool fl__chore_ahead_locked(struct fl__desk *desk)
{
	struct fl__lazy *lazy = desk->images;
	uint64_t off, len;

	if (!desk->may_ask || desk->is_asking)
		return false;
	while (lazy && !fl__ahead_ask(lazy, &off, &len))
		lazy = lazy->next;
	desk->may_ask = desk->is_asking = lazy;
	if (!lazy)
		return false;
	/* What woke this thread may have been a load, and a disk may keep this
	 * thread waiting. */
	fl__os_cond_signal(&desk->filler);
	chore_begin(desk, lazy);
	(void)readahead(fl__page_source_fd(lazy->image->origin->pages),
			(off64_t)off, (size_t)len);
	chore_end(desk, lazy);
	desk->is_asking = false;
	return true;
}

bool fl__chore_collapse_locked(struct fl__desk *desk)
{
	struct fl__lazy *lazy = desk->images;
	uint8_t *chunk;

	if (!desk->may_collapse || desk->is_collapsing || desk->taken_count)
		return false;
	while (lazy && !(chunk = fl__large_next(lazy)))
		lazy = lazy->next;
	desk->may_collapse = desk->is_collapsing = lazy;
	if (!lazy)
		return false;
	chore_begin(desk, lazy);
	fl__large_make(chunk);
	chore_end(desk, lazy);
	desk->is_collapsing = false;
	return true;
}
