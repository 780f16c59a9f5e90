/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * usage.c - what a pool takes, and giving some of it back.
 *
 * Takes a pool; gives figures read from the page tables, and emptied slots. A
 * slot that is trimmed is taken from the stock like any other, so that no
 * acquire can meet it half emptied.
 */
#include "pool.h"
#include "sized.h"

static int usage_add(struct fl_pool *pool, const struct fl__memory *memory,
		     struct fl_pool_usage *usage)
{
	struct fl_pool_usage one = { .size = sizeof(one) };
	int err = pool->context->backend->account(pool->arena, &memory->slot,
						  &one);

	usage->private_bytes += one.private_bytes;
	usage->shared_bytes += one.shared_bytes;
	usage->swapped_bytes += one.swapped_bytes;
	usage->dirty_bytes += one.dirty_bytes;
	if (__atomic_load_n(&memory->state, __ATOMIC_ACQUIRE) !=
	    FL__MEMORY_LIVE)
		usage->idle_private_bytes += one.private_bytes;
	return err;
}

int fl_pool_usage(struct fl_pool *pool, struct fl_pool_usage *usage,
		  struct fl_error *error)
{
	struct fl_pool_usage filled = { .size = sizeof(filled) };
	uint32_t used;
	int err = fl__pool_check_owner(pool, error);

	if (err)
		return err;
	used = fl__stock_count(&pool->memory_stock).ever_used;
	for (uint32_t i = 0; i < used && !err; i++)
		err = usage_add(pool, &pool->memories[i], &filled);
	if (err)
		return fl__error_set(error, err,
			"the page tables cannot be read: %s",
			err == -ENOTSUP ? "this needs rung \"scan\" or \"track\""
					: fl_strerror(err));
	fl__sized_write(usage, &filled, sizeof(filled));
	return 0;
}

int fl_pool_trim(struct fl_pool *pool, uint64_t bytes, uint64_t *trimmed_bytes)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	int err = fl__pool_check_owner(pool, NULL);

	if (err)
		return err;
	while (usage.private_bytes < bytes) {
		uint32_t idx = fl__stock_take_oldest(&pool->memory_stock);

		if (idx == FL__SLOT_NONE)
			break;
		/* Only the count suffers if the backend cannot tell. */
		(void)usage_add(pool, &pool->memories[idx], &usage);
		fl__memory_empty(&pool->memories[idx]);
	}
	if (trimmed_bytes)
		*trimmed_bytes = usage.private_bytes;
	return 0;
}
