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
#include "base/sized.h"

static int usage_add(struct fl_pool *pool, const struct fl__memory *memory,
		     struct fl_pool_usage *usage)
{
	struct fl_pool_usage one = { .size = sizeof(one) };
	int err = pool->context->backend->account(memory->arena, &memory->slot,
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

static int usage_add_bank(struct fl__bank *bank, struct fl_pool_usage *usage)
{
	uint32_t used = fl__stock_count(&bank->stock).ever_used;
	int err = 0;

	if (!bank->geometry.max_bytes)
		return 0;
	/* Ask at least once, to say whether there is an answer. */
	if (!used && bank->geometry.slot_count)
		used = 1;
	for (uint32_t i = 0; i < used && !err; i++)
		err = usage_add(bank->pool, &bank->slots[i], usage);
	return err;
}

int fl_pool_usage(struct fl_pool *pool, struct fl_pool_usage *usage,
		  struct fl_error *error)
{
	struct fl_pool_usage filled = { .size = sizeof(filled) };
	int err = fl__pool_check_owner(pool, error);

	if (err)
		return err;
	if (pool->is_on_demand)
		return fl__error_set(
			error, -ENOTSUP,
			"usage is not counted in a pool that allocates on demand");
	for (int kind = 0; kind < FL__BANK_COUNT && !err; kind++)
		err = usage_add_bank(&pool->banks[kind], &filled);
	if (err)
		return fl__error_set(
			error, err, "the page tables cannot be read: %s",
			err == -ENOTSUP ?
				"this needs rung \"scan\" or \"track\"" :
				fl_strerror(err));
	fl__sized_write(usage, &filled, sizeof(filled));
	return 0;
}

/* Memories first: they are the largest. */
static uint64_t trim_locked(struct fl_pool *pool, uint64_t bytes)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	int kind = 0;

	while (usage.private_bytes < bytes && kind < FL__BANK_COUNT) {
		struct fl__bank *bank = &pool->banks[kind];
		uint32_t idx = fl__stock_take_oldest(&bank->stock);

		if (idx == FL__IDX_NONE) {
			kind++;
			continue;
		}
		/* Only the count suffers if the backend cannot tell. */
		(void)usage_add(pool, &bank->slots[idx], &usage);
		fl__memory_empty(&bank->slots[idx]);
	}
	return usage.private_bytes;
}

int fl_pool_trim(struct fl_pool *pool, uint64_t bytes, uint64_t *trimmed_bytes)
{
	uint64_t trimmed;
	int err = fl__pool_check_owner(pool, NULL);

	if (err)
		return err;
	if (pool->is_on_demand)
		bytes = 0;
	fl__os_lock(&pool->trim_lock);
	trimmed = trim_locked(pool, bytes);
	fl__os_unlock(&pool->trim_lock);
	/* Every free slot is empty, and may still hold a module. */
	if (trimmed < bytes)
		fl__instance_forget(pool, NULL);
	if (trimmed_bytes)
		*trimmed_bytes = trimmed;
	return 0;
}

static uint32_t purge_bank(struct fl__bank *bank, const struct fl_image *image)
{
	uint32_t count = 0, idx;

	while ((idx = fl__stock_take_affine(&bank->stock, image->serial)) !=
	       FL__IDX_NONE) {
		fl__memory_empty(&bank->slots[idx]);
		count++;
	}
	return count;
}

/* Under the trim_lock: a thread that does not wait for a slot is not turned away
 * for a slot that is being emptied. image may be NULL. */
static uint32_t purge_image(struct fl_pool *pool, const struct fl_image *image)
{
	uint32_t count = 0;

	if (!image || pool->is_on_demand)
		return 0;
	fl__os_lock(&pool->trim_lock);
	for (int kind = 0; kind < FL__BANK_COUNT; kind++)
		count += purge_bank(&pool->banks[kind], image);
	fl__os_unlock(&pool->trim_lock);
	return count;
}

int fl_pool_purge(struct fl_pool *pool, const struct fl_module *module,
		  const struct fl_image *image, uint32_t *purged)
{
	uint32_t memory_count = module ? module->reader.memory_count : 0;
	uint32_t count;
	int err = fl__pool_check_owner(pool, NULL);

	if (!err && !module && !image)
		err = -EINVAL;
	if (err)
		return err;
	count = purge_image(pool, image);
	for (uint32_t i = 0; i < memory_count; i++)
		count += purge_image(pool, module->memories[i].image);
	if (module && !pool->is_on_demand)
		fl__instance_forget(pool, module);
	if (purged)
		*purged = count;
	return 0;
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
