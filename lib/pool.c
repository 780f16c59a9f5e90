/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* pool.c - opening, closing, validating against and waiting for a pool. */
#include "pool.h"
#include "sized.h"

#include <stdlib.h>

void fl_pool_config_init(struct fl_pool_config *config)
{
	*config = (struct fl_pool_config){
		.size = sizeof(*config),
		.max_instances = 1000,
		.max_memories = 1000,
		.max_memories_per_instance = 1,
		.max_tables_per_instance = 1,
		.max_memory_bytes = (uint64_t)4 << 30,
		.memory_stride_bytes = (uint64_t)8 << 30,
		.guard_after_bytes = FL_WPAGE_BYTES,
		.max_table_elements = 20000,
		.table_element_bytes = 32,
		.stack_bytes = 256 << 10,
		.bounds = FL_BOUNDS_GUARDED,
		.strategy = FL_STRATEGY_REUSE_AFFINITY,
		.max_warm_memories = 100,
		.max_idle_slot_bytes = (uint64_t)64 << 20,
		.max_idle_bytes = UINT64_MAX,
	};
}

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
	/* Sequentially consistent with the count of walkers below: a walker
	 * that this loop does not see has seen the list without the pool. */
	__atomic_store_n(link, pool->next, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&context->lookups, __ATOMIC_SEQ_CST))
		fl__os_yield();
	fl__os_unlock(&context->lock);
}

static int pool_alloc_memories(struct fl_pool *pool)
{
	struct fl__geometry *geometry = &pool->layout.memories;
	uint32_t count = geometry->slot_count, made;
	void *memories;

	if (posix_memalign(&memories, 128,
			   ((size_t)count + 1) * sizeof(struct fl__memory)))
		return -ENOMEM;
	memset(memories, 0, ((size_t)count + 1) * sizeof(struct fl__memory));
	pool->memories = memories;
	for (made = 0; made < count; made++) {
		struct fl__memory *memory = &pool->memories[made];
		int err = fl__os_lock_init(&memory->grow_lock);

		if (err) {
			while (made--)
				fl__os_lock_fini(
					&pool->memories[made].grow_lock);
			free(memories);
			pool->memories = NULL;
			return err;
		}
		memory->pool = pool;
		memory->slot.idx = made;
		memory->slot.base = geometry->reservation +
				    geometry->first_off +
				    made * geometry->stride_bytes;
		memory->pub.base = memory->slot.base;
	}
	return 0;
}

static void pool_free_memories(struct fl_pool *pool)
{
	uint32_t count = pool->memories ? pool->layout.memories.slot_count : 0;

	for (uint32_t i = 0; i < count; i++) {
		fl_image_release(pool->memories[i].slot.image);
		fl__os_lock_fini(&pool->memories[i].grow_lock);
	}
	free(pool->memories);
}

static void pool_free_instances(struct fl_pool *pool)
{
	uint32_t count = pool->instances ? pool->config.max_instances : 0;

	for (uint32_t i = 0; i < count; i++) {
		free(pool->instances[i].memories);
		free(pool->instances[i].dropped);
	}
	free(pool->instances);
}

static int pool_alloc_lists(struct fl_pool *pool, struct fl_error *error)
{
	const struct fl_pool_config *config = &pool->config;
	int err;

	err = fl__stock_init(&pool->memory_stock, "memories",
			     config->max_memories, config->strategy,
			     config->max_warm_memories, config->random_seed);
	if (!err)
		err = fl__stock_init(&pool->instance_stock, "instances",
				     config->max_instances,
				     FL_STRATEGY_REUSE_AFFINITY,
				     FL__STOCK_SHELVES, 0);
	if (!err)
		err = pool_alloc_memories(pool);
	if (err)
		return fl__error_set(
			error, err,
			"no memory to describe %u memories and %u instances",
			config->max_memories, config->max_instances);
	pool->instances = calloc((size_t)config->max_instances + 1,
				 sizeof(*pool->instances));
	if (!pool->instances)
		return fl__error_set(error, -ENOMEM,
				     "no memory to describe %u instances",
				     config->max_instances);
	return 0;
}

static int pool_reserve(struct fl_pool *pool, struct fl_error *error)
{
	struct fl__layout *layout = &pool->layout;
	int err;

	if (!layout->reserved_bytes)
		return 0;
	err = fl__os_reserve(layout->reserved_bytes, layout->align_bytes,
			     &layout->memories.reservation);
	if (err)
		return fl__error_set(
			error, err,
			"cannot reserve %llu bytes of address space for %u memories of stride %llu; lower max_memories or memory_stride_bytes, or raise `ulimit -v`",
			(unsigned long long)layout->reserved_bytes,
			pool->config.max_memories,
			(unsigned long long)layout->memories.stride_bytes);
	layout->memories.reserved_bytes = layout->reserved_bytes;
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
	if (err) {
		fl__os_fork_guard_fini(&pool->fork_guard);
		return fl__error_set(error, err, "cannot make a lock");
	}
	return 0;
}

static void pool_free(struct fl_pool *pool)
{
	pool_free_instances(pool);
	pool_free_memories(pool);
	fl__stock_fini(&pool->instance_stock);
	fl__stock_fini(&pool->memory_stock);
	fl__os_release(pool->layout.memories.reservation,
		       pool->layout.memories.reserved_bytes);
	fl__os_lock_fini(&pool->trim_lock);
	fl__os_fork_guard_fini(&pool->fork_guard);
	fl_context_destroy(pool->context);
	free(pool);
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

int fl_pool_create(struct fl_context *context,
		   const struct fl_pool_config *config, struct fl_pool **out,
		   struct fl_error *error)
{
	const struct fl__backend *backend = context->backend;
	struct fl_pool *pool;
	int err;

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
	err = pool_reserve(pool, error);
	if (!err)
		err = pool_alloc_lists(pool, error);
	if (!err)
		err = backend->arena_open(context->host, &pool->layout.memories,
					  &pool->arena, error);
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
	is_busy = fl__stock_count(&pool->memory_stock).used ||
		  fl__stock_count(&pool->instance_stock).used;
	fl__os_unlock(&pool->trim_lock);
	if (is_busy)
		return -EBUSY;
	fl__os_watch_stop(pool->pressure_watch);
	pool_unlink(pool);
	pool->context->backend->arena_close(pool->arena);
	pool_free(pool);
	return 0;
}

int fl__pool_check_owner(const struct fl_pool *pool, struct fl_error *error)
{
	if (fl_unlikely(fl__os_is_forked(&pool->fork_guard)))
		return fl__error_set(
			error, -ECHILD,
			"this process was forked from the pool's owner; make a pool of its own");
	return 0;
}

static int validate_memories(const struct fl_pool *pool,
			     const struct fl_module *module,
			     struct fl_error *error)
{
	const struct fl_pool_config *config = &pool->config;
	const struct fl__reader *reader = &module->reader;
	uint32_t defined = reader->memory_count - reader->imported_memory_count;
	uint32_t allowed = config->max_memories_per_instance;

	if (defined > allowed)
		return fl__error_set(
			error, -E2BIG,
			"the module defines %u memories, the pool allows %u an instance; raise max_memories_per_instance",
			defined, allowed);
	if (defined > config->max_memories)
		return fl__error_set(
			error, -E2BIG,
			"the module defines %u memories, the pool has %u; raise max_memories",
			defined, config->max_memories);
	for (uint32_t i = reader->imported_memory_count;
	     i < reader->memory_count; i++) {
		uint64_t min = module->memories[i].min_bytes;

		if (min > config->max_memory_bytes)
			return fl__error_set(
				error, -E2BIG,
				"memory %u starts with %llu bytes, the pool allows %llu; raise max_memory_bytes",
				i, (unsigned long long)min,
				(unsigned long long)config->max_memory_bytes);
	}
	return 0;
}

static int validate_tables(const struct fl_pool *pool,
			   const struct fl_module *module,
			   struct fl_error *error)
{
	const struct fl_pool_config *config = &pool->config;
	const struct fl__reader *reader = &module->reader;
	uint32_t defined = reader->table_count - reader->imported_table_count;

	/* A pool without tables leaves them to the runtime. */
	if (!config->max_tables)
		return 0;
	if (defined > config->max_tables_per_instance)
		return fl__error_set(
			error, -E2BIG,
			"the module defines %u tables, the pool allows %u an instance; raise max_tables_per_instance",
			defined, config->max_tables_per_instance);
	if (defined > config->max_tables)
		return fl__error_set(
			error, -E2BIG,
			"the module defines %u tables, the pool has %u; raise max_tables",
			defined, config->max_tables);
	for (uint32_t i = reader->imported_table_count; i < reader->table_count;
	     i++) {
		uint64_t min = reader->tables[i].limits.min;

		if (min > config->max_table_elements)
			return fl__error_set(
				error, -E2BIG,
				"table %u starts with %llu elements, the pool allows %llu; raise max_table_elements",
				i, (unsigned long long)min,
				(unsigned long long)config->max_table_elements);
	}
	return 0;
}

int fl_pool_validate(const struct fl_pool *pool, const struct fl_module *module,
		     struct fl_error *error)
{
	int err = fl__pool_check_owner(pool, error);

	if (err)
		return err;
	if (module->context != pool->context)
		return fl__error_set(
			error, -EINVAL,
			"the module was loaded with another context, or none; load it with the pool's");
	if (!pool->config.max_instances)
		return fl__error_set(
			error, -E2BIG,
			"the pool holds no instances; raise max_instances");
	err = validate_memories(pool, module, error);
	return err ? err : validate_tables(pool, module, error);
}

void fl_pool_info(const struct fl_pool *pool, struct fl_pool_info *info)
{
	/* Counting clears the shelves, which nobody can see. */
	struct fl_pool *mutable_pool = (struct fl_pool *)(uintptr_t)pool;
	struct fl__stock_counts memories, instances;
	struct fl_pool_info filled = {
		.reserved_bytes = pool->layout.reserved_bytes,
		.memory_stride_bytes = pool->layout.memories.stride_bytes,
		.max_memory_bytes = pool->config.max_memory_bytes,
		.max_memories = pool->config.max_memories,
		.max_instances = pool->config.max_instances,
	};

	memories = fl__stock_count(&mutable_pool->memory_stock);
	instances = fl__stock_count(&mutable_pool->instance_stock);
	filled.live_memories = memories.used;
	filled.warm_memories = memories.warm;
	filled.retired_memories = memories.retired;
	filled.live_instances = instances.used;
	fl__audit_info(pool, &filled);
	filled.idle_kept_bytes =
		__atomic_load_n(&pool->idle_kept_bytes, __ATOMIC_RELAXED);
	fl__sized_write(info, &filled, sizeof(filled));
}
