/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * pool.c - opening and closing a pool.
 *
 * Takes a configuration; gives a pool with its reservation, banks, stacks and
 * locks, in the context's list, and takes all of it down in reverse order.
 */
#include "pool.h"
#include "base/sized.h"

#include <stdlib.h>

static void pool_link(struct fl_pool *pool)
{
	struct fl_context *context = pool->context;

	fl__os_lock(&context->lock);
	pool->next = context->pools;
	/* Pairs with the acquire of a handler that walks the list: it sees
	 * the pool whole or not at all. */
	__atomic_store_n(&context->pools, pool, __ATOMIC_RELEASE);
	fl__os_unlock(&context->lock);
}

static void pool_unlink(struct fl_pool *pool)
{
	struct fl_context *context = pool->context;
	struct fl_pool **link = &context->pools;

	fl__os_lock(&context->lock);
	while (*link != pool)
		link = &(*link)->next;
	__atomic_store_n(link, pool->next, __ATOMIC_SEQ_CST);
	fl__context_walk_wait(context);
	fl__os_unlock(&context->lock);
}

/* What stands beside the slots of a bank, one each. */
static int pool_alloc_sides(struct fl_pool *pool, struct fl_error *error)
{
	uint32_t tables = pool->layout.banks[FL__BANK_TABLE].slot_count;
	uint32_t instances = pool->layout.banks[FL__BANK_STRUCTURE].slot_count;
	size_t size = ((size_t)tables + 1) * sizeof(*pool->tables);

	if (!posix_memalign((void **)&pool->tables, 128, size)) {
		memset(pool->tables, 0, size);
		pool->instances =
			calloc((size_t)instances + 1, sizeof(*pool->instances));
		if (pool->instances)
			return 0;
	}
	return fl__error_set(error, -ENOMEM,
			     "no memory to describe %u tables and %u instances",
			     tables, instances);
}

static void pool_free_sides(struct fl_pool *pool)
{
	uint32_t count =
		pool->instances ?
			pool->layout.banks[FL__BANK_STRUCTURE].slot_count :
			0;

	for (uint32_t i = 0; i < count; i++)
		fl__instance_fini(&pool->instances[i]);
	free(pool->instances);
	free(pool->tables);
}

static int pool_reserve(struct fl_pool *pool, struct fl_error *error)
{
	struct fl__layout *layout = &pool->layout;
	int err;

	if (!layout->reserved_bytes)
		return 0;
	err = fl__os_reserve(layout->reserved_bytes, layout->align_bytes,
			     &pool->reservation);
	if (err)
		return fl__error_set(
			error, err,
			"cannot reserve %llu bytes of address space for %u memories of stride %llu; lower max_memories or memory_stride_bytes, or raise `ulimit -v`",
			(unsigned long long)layout->reserved_bytes,
			pool->config.max_memories,
			(unsigned long long)layout->banks[FL__BANK_MEMORY]
				.stride_bytes);
	return 0;
}

static int pool_init_guards(struct fl_pool *pool, struct fl_error *error)
{
	int err = fl__os_fork_guard_init(
		&pool->fork_guard,
		!fl__context_lacks(pool->context, "madv-wipeonfork", NULL));

	if (err)
		return fl__error_set(error, err, "cannot map a fork guard");
	err = fl__os_lock_init(&pool->trim_lock);
	if (!err) {
		err = fl__os_lock_init(&pool->null_lock);
		if (!err)
			return 0;
		fl__os_lock_fini(&pool->trim_lock);
	}
	fl__os_fork_guard_fini(&pool->fork_guard);
	return fl__error_set(error, err, "cannot make a lock");
}

/* Of what was opened, in any part. */
static void pool_free(struct fl_pool *pool)
{
	fl__stacks_close(pool);
	fl__regions_free(pool);
	for (int kind = FL__BANK_COUNT; kind--;)
		fl__bank_close(&pool->banks[kind]);
	pool_free_sides(pool);
	fl__table_forget_nulls(pool);
	/* Without a reservation this would unmap what is at 0 and above. */
	if (pool->reservation)
		fl__os_release(pool->reservation, pool->layout.reserved_bytes);
	fl__os_lock_fini(&pool->null_lock);
	fl__os_lock_fini(&pool->trim_lock);
	fl__os_fork_guard_fini(&pool->fork_guard);
	fl_context_destroy(pool->context);
	free(pool);
}

static int pool_open(struct fl_pool *pool, struct fl_error *error)
{
	int err = pool_reserve(pool, error);

	if (!err)
		err = pool_alloc_sides(pool, error);
	for (int kind = 0; kind < FL__BANK_COUNT && !err; kind++)
		err = fl__bank_open(&pool->banks[kind], pool,
				    (enum fl__bank_kind)kind, error);
	return err ? err : fl__stacks_open(pool, error);
}

static int pool_read_config(const struct fl_pool_config *config,
			    struct fl_pool_config *known,
			    struct fl_error *error)
{
	fl_pool_config_init(known);
	if (!config)
		return 0;
	return fl__sized_read(known, sizeof(*known), config, "fl_pool_config",
			      error);
}

/* The caller's bytes are copied: they need not outlive the call. */
static void pool_copy_null(struct fl_pool *pool)
{
	struct fl_pool_config *config = &pool->config;

	if (config->table_null && config->max_tables)
		memcpy(pool->table_null, config->table_null,
		       (size_t)config->table_element_bytes);
	config->table_null = pool->table_null;
}

int fl_pool_create(struct fl_context *context,
		   const struct fl_pool_config *config, struct fl_pool **out,
		   struct fl_error *error)
{
	struct fl_pool *pool;
	int err;

	/* Locks and counts that threads of the parent held stay so here. */
	if (fl__os_is_forked(&context->fork_guard))
		return fl__error_set(
			error, -ECHILD,
			"this process was forked from the context's owner; make a context of its own");
	if (posix_memalign((void **)&pool, 128, sizeof(*pool)))
		return fl__error_set(error, -ENOMEM, "no memory for a pool");
	memset(pool, 0, sizeof(*pool));
	err = pool_read_config(config, &pool->config, error);
	if (!err)
		err = fl__layout_plan(&pool->config, fl__os_hpage_bytes(),
				      &pool->layout, error);
	pool->context = context;
	if (!err)
		err = pool_init_guards(pool, error);
	if (err) {
		free(pool);
		return err;
	}
	(void)fl__context_retain(context);
	pool->is_on_demand = pool->config.allocation == FL_ALLOCATION_ON_DEMAND;
	pool_copy_null(pool);
	err = pool_open(pool, error);
	if (err) {
		pool_free(pool);
		return err;
	}
	pool_link(pool);
	*out = pool;
	return 0;
}

int fl_pool_destroy(struct fl_pool *pool)
{
	bool is_busy;
	int err;

	if (!pool)
		return 0;
	err = fl__pool_check_owner(pool, NULL);
	if (err)
		return err;
	fl__os_lock(&pool->trim_lock);
	is_busy = fl__stacks_live(pool) != 0;
	for (int kind = 0; kind < FL__BANK_COUNT; kind++)
		is_busy |= fl__bank_live(&pool->banks[kind]) != 0;
	fl__os_unlock(&pool->trim_lock);
	if (is_busy)
		return -EBUSY;
	fl__os_watch_stop(pool->pressure_watch);
	pool_unlink(pool);
	pool_free(pool);
	return 0;
}

int fl__pool_check_owner(const struct fl_pool *pool, struct fl_error *error)
{
	if (fl_unlikely(fl__os_is_forked(&pool->fork_guard)))
		return fl__error_set(
			error, -ECHILD,
			"this process was forked from the pool's owner; make a context and a pool of its own");
	return 0;
}
