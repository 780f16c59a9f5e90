/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * usage.c - what a pool takes, and giving some of it back.
 *
 * Takes a pool; gives figures read from the page tables, and emptied slots. A
 * slot that is trimmed is taken from the stock like any other, so that no
 * acquire can meet it half emptied. Trimming can be left to a thread that
 * waits for memory pressure.
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
	/* Ask at least once, to say whether there is an answer. */
	if (!used && pool->config.max_memories)
		used = 1;
	for (uint32_t i = 0; i < used && !err; i++)
		err = usage_add(pool, &pool->memories[i], &filled);
	if (err)
		return fl__error_set(
			error, err, "the page tables cannot be read: %s",
			err == -ENOTSUP ?
				"this needs rung \"scan\" or \"track\"" :
				fl_strerror(err));
	fl__sized_write(usage, &filled, sizeof(filled));
	return 0;
}

static uint64_t trim_locked(struct fl_pool *pool, uint64_t bytes)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };

	while (usage.private_bytes < bytes) {
		uint32_t idx = fl__stock_take_oldest(&pool->memory_stock);

		if (idx == FL__SLOT_NONE)
			break;
		/* Only the count suffers if the backend cannot tell. */
		(void)usage_add(pool, &pool->memories[idx], &usage);
		fl__memory_empty(&pool->memories[idx]);
	}
	return usage.private_bytes;
}

int fl_pool_trim(struct fl_pool *pool, uint64_t bytes, uint64_t *trimmed_bytes)
{
	uint64_t trimmed;
	int err = fl__pool_check_owner(pool, NULL);

	if (err)
		return err;
	fl__os_lock(&pool->trim_lock);
	trimmed = trim_locked(pool, bytes);
	fl__os_unlock(&pool->trim_lock);
	if (trimmed_bytes)
		*trimmed_bytes = trimmed;
	return 0;
}

void fl_pressure_config_init(struct fl_pressure_config *config)
{
	*config = (struct fl_pressure_config){
		.size = sizeof(*config),
		.stall_us = 150000,
		.window_us = 2000000,
		.trim_bytes = UINT64_MAX,
	};
}

static void on_pressure(void *user)
{
	struct fl_pool *pool = user;

	(void)fl_pool_trim(pool, pool->pressure_trim_bytes, NULL);
}

/* With the trim_lock, for which the new thread waits if it is quick. */
static int pressure_start(struct fl_pool *pool,
			  const struct fl_pressure_config *config,
			  struct fl_error *error)
{
	int err;

	if (pool->pressure_watch)
		return fl__error_set(error, -EBUSY,
				     "the pool is trimmed on pressure already");
	pool->pressure_trim_bytes = config->trim_bytes;
	err = fl__os_watch_pressure(config->path, config->stall_us,
				    config->window_us, on_pressure, pool,
				    &pool->pressure_watch);
	if (!err)
		return 0;
	return fl__error_set(
		error, err,
		"cannot watch %s for %u us of stall in %u us: %s; the window is 500,000 to 10,000,000 us and, without privilege, a multiple of 2,000,000",
		config->path, config->stall_us, config->window_us,
		fl_strerror(err));
}

int fl_pool_trim_on_pressure(struct fl_pool *pool,
			     const struct fl_pressure_config *config,
			     struct fl_error *error)
{
	struct fl_pressure_config known;
	const char *reason = NULL;
	int err = fl__pool_check_owner(pool, error);

	fl_pressure_config_init(&known);
	if (!err && config)
		err = fl__sized_read(&known, sizeof(known), config,
				     "fl_pressure_config", error);
	if (err)
		return err;
	if (fl__context_lacks(pool->context, "memory-pressure", &reason))
		return fl__error_set(error, -ENOTSUP, "%s", reason);
	if (!known.path)
		known.path = "/proc/pressure/memory";
	fl__os_lock(&pool->trim_lock);
	err = pressure_start(pool, &known, error);
	fl__os_unlock(&pool->trim_lock);
	return err;
}
