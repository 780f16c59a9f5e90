/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * trim.c - what a pool's slots take, and giving back what free slots keep.
 *
 * Takes a pool whose guests may run; gives figures that the backend reads from
 * the page tables, slot by slot, and gives emptied slots. Trimming takes a slot
 * from its source as a tenant would, so that no acquire can meet a slot that is
 * half emptied. The host can leave trimming to a thread that waits for memory
 * pressure.
 */
#include "base/config.h"
#include "base/sized.h"
#include "instance/instance.h"

/* Add what a slot takes. -ENOTSUP: the backend cannot tell. */
static int usage_add(struct fl__slot *slot, void *user)
{
	struct fl_pool_usage *usage = user;
	uint64_t private_before = usage->private_bytes;
	int err;

	if (!slot->bank->backend || !slot->geometry->max_bytes)
		return 0;
	if (!slot->bank->backend->account)
		return -ENOTSUP;
	err = slot->bank->backend->account(slot->arena, &slot->space, usage);
	if (!fl__slot_is_live(slot))
		usage->idle_private_bytes +=
			usage->private_bytes - private_before;
	return err;
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
		err = pool->source->each(pool->banks[i].source, usage_add,
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

int fl_pool_trim(struct fl_pool *pool, uint64_t bytes, uint64_t *trimmed_bytes)
{
	struct fl_pool_usage trimmed = { .size = sizeof(trimmed) }, before;
	int i = 0, err = fl__pool_check_owner(pool, NULL);

	if (err)
		return err;
	fl__os_lock(&pool->trim_lock);
	/* Memories come first, because memories are the largest. */
	while (trimmed.private_bytes < bytes && i < FL__BANK_COUNT) {
		struct fl__slot *slot =
			fl__bank_take_warm(&pool->banks[i], NULL);

		if (!slot) {
			i++;
			continue;
		}
		before = trimmed;
		/* Only the count suffers if the backend cannot tell. */
		(void)usage_add(slot, &trimmed);
		if (!fl__slot_trim(slot)) {
			trimmed = before;
			i++;
		}
	}
	for (i = 0; i < FL__BANK_COUNT; i++)
		fl__bank_recall(&pool->banks[i]);
	fl__os_unlock(&pool->trim_lock);
	/* Every free slot is empty, and may still hold a module. */
	if (trimmed.private_bytes < bytes)
		fl__instance_forget(pool, NULL);
	if (trimmed_bytes)
		*trimmed_bytes = trimmed.private_bytes;
	return 0;
}

/* With the trim_lock, so that a taker which does not wait is not turned away
 * while a slot is being emptied. */
static uint32_t purge_image(struct fl_pool *pool, const struct fl_image *image)
{
	struct fl__slot *slot;
	uint32_t count = 0;

	if (!image)
		return 0;
	fl__os_lock(&pool->trim_lock);
	for (int i = 0; i < FL__BANK_COUNT; i++) {
		while ((slot = fl__bank_take_warm(&pool->banks[i], image)) &&
		       fl__slot_trim(slot))
			count++;
	}
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
	if (module)
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

/* With the trim_lock: a new thread that trims at once waits until all is
 * set. */
static int pressure_start(struct fl_pool *pool,
			  const struct fl_pressure_config *config,
			  struct fl_error *error)
{
	const char *why;
	int err;

	if (pool->pressure_watch)
		return fl__error_set(error, -EBUSY,
				     "the pool is trimmed on pressure already");
	pool->pressure_trim_bytes = config->trim_bytes;
	err = fl__os_watch_pressure(config->path, config->stall_us,
				    config->window_us, on_pressure, pool,
				    &pool->pressure_watch, &why);
	if (!err)
		return 0;
	return fl__error_set(error, err,
			     "cannot watch %s for %u us of stall in %u us: %s%s%s",
			     config->path, config->stall_us, config->window_us,
			     fl_strerror(err), why ? "; " : "", why ? why : "");
}

int fl_pool_trim_on_pressure(struct fl_pool *pool,
			     const struct fl_pressure_config *config,
			     struct fl_error *error)
{
	struct fl_pressure_config known;
	const char *reason = NULL;
	int err = fl__pool_check_owner(pool, error);

	if (!err)
		err = fl__config_read(FL_PRESSURE_CONFIG, &known, config,
				      error);
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
