/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * usage.c - what a pool takes.
 *
 * Takes a pool whose guests may run; gives figures that the backend reads from
 * the page tables, slot by slot.
 */
#include "usage.h"
#include "base/sized.h"

int fl__usage_add(struct fl__slot *slot, struct fl_pool_usage *usage)
{
	struct fl_pool_usage one = { .size = sizeof(one) };
	int err;

	if (!slot->bank->backend || !slot->geometry->max_bytes)
		return 0;
	if (!slot->bank->backend->account)
		return -ENOTSUP;
	err = slot->bank->backend->account(slot->arena, &slot->space, &one);
	usage->private_bytes += one.private_bytes;
	usage->shared_bytes += one.shared_bytes;
	usage->swapped_bytes += one.swapped_bytes;
	usage->dirty_bytes += one.dirty_bytes;
	if (!fl__slot_is_live(slot))
		usage->idle_private_bytes += one.private_bytes;
	return err;
}

static int on_slot(struct fl__slot *slot, void *usage)
{
	return fl__usage_add(slot, usage);
}

int fl_pool_usage(struct fl_pool *pool, struct fl_pool_usage *usage,
		  struct fl_error *error)
{
	struct fl_pool_usage filled = { .size = sizeof(filled) };
	int err = fl__pool_check_owner(pool, error);

	if (err)
		return err;
	if (pool->source->no_usage_reason)
		return fl__error_set(error, -ENOTSUP, "%s",
				     pool->source->no_usage_reason);
	for (int i = 0; i < FL__BANK_COUNT && !err; i++)
		err = pool->source->each(pool->banks[i].source, on_slot,
					 &filled);
	if (err)
		return fl__error_set(
			error, err, "the page tables cannot be read: %s",
			err == -ENOTSUP ?
				"usage needs rung \"scan\" or \"track\"" :
				fl_strerror(err));
	fl__sized_write(usage, &filled, sizeof(filled));
	return 0;
}
