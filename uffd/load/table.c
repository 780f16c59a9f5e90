/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* table.c - storage of a desk, and its bell; see table.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "table.h"

#include <unistd.h>

int fl__desk_init(struct fl__desk *desk)
{
	int err;

	memset(desk, 0, sizeof(*desk));
	desk->uffd_fd = desk->wake_fd = -1;
	err = fl__buffers_make(&desk->buffers, FL__DESK_LOADS);
	if (err)
		return err;
	if (fl__os_lock_init(&desk->lock))
		goto err_buffers;
	if (fl__os_cond_init(&desk->filler))
		goto err_lock;
	if (fl__os_cond_init(&desk->caller))
		goto err_filler;
	if (fl__os_cond_init(&desk->answered))
		goto err_caller;
	for (uint32_t i = 0; i < FL__DESK_LOADS; i++) {
		desk->loads[i].desk = desk;
		desk->loads[i].bytes = fl__buffers_at(&desk->buffers, i);
	}
	for (uint32_t i = 0; i < FL__DESK_WAITERS; i++) {
		desk->waiters[i].next = desk->free_waiters;
		desk->free_waiters = &desk->waiters[i];
	}
	desk->free_waiter_count = FL__DESK_WAITERS;
	return 0;
err_caller:
	fl__os_cond_fini(&desk->caller);
err_filler:
	fl__os_cond_fini(&desk->filler);
err_lock:
	fl__os_lock_fini(&desk->lock);
err_buffers:
	fl__buffers_free(&desk->buffers);
	return -ENOMEM;
}

void fl__desk_fini(struct fl__desk *desk)
{
	fl__places_fini(&desk->places);
	fl__os_cond_fini(&desk->answered);
	fl__os_cond_fini(&desk->caller);
	fl__os_cond_fini(&desk->filler);
	fl__os_lock_fini(&desk->lock);
	fl__buffers_free(&desk->buffers);
}

void fl__desk_ring(const struct fl__desk *desk)
{
	uint64_t one = 1;

	if (desk->wake_fd >= 0)
		(void)!write(desk->wake_fd, &one, sizeof(one));
}
