/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * ondemand.c - one mapping for each memory, table, structure and stack.
 *
 * Takes what a bank would take from its slots; gives a region: the slot of a
 * bank of one, in address space of its own, with the same prefix, guards
 * and reach. It is unmapped when it is given back, so nothing is ever reset or
 * shown to another tenant, and nothing but the system limits how many there are.
 *
 * Regions are in a list that signal handlers walk (context.h). What describes
 * one is kept for the next, as many as there ever were at once.
 */
#include "pool/pool.h"

#include <stdlib.h>

static void region_link(struct fl_pool *pool, struct fl__region *region)
{
	fl__os_lock(&pool->context->lock);
	region->next = pool->regions;
	/* Pairs with a handler that walks the list: it sees the region whole
	 * or not at all. */
	__atomic_store_n(&pool->regions, region, __ATOMIC_RELEASE);
	fl__os_unlock(&pool->context->lock);
	__atomic_add_fetch(&pool->mapped_bytes, region->length_bytes,
			   __ATOMIC_RELAXED);
}

static void region_unlink(struct fl_pool *pool, struct fl__region *region)
{
	struct fl__region **link = &pool->regions;

	fl__os_lock(&pool->context->lock);
	while (*link != region)
		link = &(*link)->next;
	__atomic_store_n(link, region->next, __ATOMIC_SEQ_CST);
	fl__context_walk_wait(pool->context);
	fl__os_unlock(&pool->context->lock);
	__atomic_sub_fetch(&pool->mapped_bytes, region->length_bytes,
			   __ATOMIC_RELAXED);
}

struct fl__region *fl__region_at(const struct fl_pool *pool, const void *addr)
{
	struct fl__region *region =
		__atomic_load_n(&pool->regions, __ATOMIC_SEQ_CST);

	while (region && (uintptr_t)addr - (uintptr_t)region->start >=
				 region->length_bytes)
		region = __atomic_load_n(&region->next, __ATOMIC_SEQ_CST);
	return region;
}

static void region_spare(struct fl_pool *pool, struct fl__region *region)
{
	fl__os_lock(&pool->context->lock);
	region->next = pool->spare_regions;
	pool->spare_regions = region;
	fl__os_unlock(&pool->context->lock);
}

void fl__regions_free(struct fl_pool *pool)
{
	struct fl__region *region;

	while ((region = pool->spare_regions)) {
		pool->spare_regions = region->next;
		free(region);
	}
}

/* What a handle that was released, or a look-up that comes late, reads of a
 * region is written here and never again. */
static struct fl__region *region_new(struct fl_pool *pool,
				     struct fl_error *error)
{
	struct fl__region *region;
	void *memory;

	if (posix_memalign(&memory, 128, sizeof(*region))) {
		fl__error_set(error, -ENOMEM, "no memory for a region");
		return NULL;
	}
	region = memset(memory, 0, sizeof(*region));
	region->memory.pool = pool;
	region->memory.region = region;
	region->table.memory = &region->memory;
	region->stack.pool = pool;
	region->stack.region = region;
	return region;
}

static struct fl__region *region_alloc(struct fl_pool *pool,
				       struct fl_error *error)
{
	struct fl__region *region;

	fl__os_lock(&pool->context->lock);
	region = pool->spare_regions;
	if (region)
		pool->spare_regions = region->next;
	fl__os_unlock(&pool->context->lock);
	if (!region)
		return region_new(pool, error);
	region->is_stack = false;
	region->memory.slot = (struct fl__space){ 0 };
	region->instance = (struct fl_instance){ 0 };
	return region;
}

/* Address space of length_bytes; region is spared if there is none. */
static int region_reserve(struct fl_pool *pool, struct fl__region *region,
			  uint64_t length_bytes, struct fl_error *error)
{
	int err = fl__os_reserve(length_bytes, pool->layout.align_bytes,
				 &region->start);

	region->length_bytes = length_bytes;
	if (!err)
		return 0;
	region_spare(pool, region);
	return fl__error_set(
		error, err,
		"cannot reserve %llu bytes of address space; lower max_memory_bytes or memory_stride_bytes, or raise `ulimit -v`",
		(unsigned long long)length_bytes);
}

/* The bank's geometry, with room for this one. -ENOMEM. */
static int region_geometry(const struct fl__bank *bank, uint64_t initial_bytes,
			   struct fl__geometry *geometry)
{
	const struct fl__geometry *like = &bank->geometry;
	uint64_t after = like->stride_bytes - like->max_bytes;
	uint64_t max_bytes, length;

	*geometry = *like;
	if (fl_round_up_overflow(fl_max_u64(like->max_bytes, initial_bytes),
				 like->hpage_bytes, &max_bytes) ||
	    fl_add_overflow(max_bytes, after, &length) ||
	    fl_add_overflow(length, like->first_off, &length))
		return -ENOMEM;
	geometry->max_bytes = max_bytes;
	geometry->stride_bytes = max_bytes + after;
	geometry->slot_count = 1;
	geometry->is_single_use = true;
	return 0;
}

static int region_open(struct fl__bank *bank, struct fl__region *region,
		       struct fl_error *error)
{
	const struct fl_context *context = bank->pool->context;
	int err;

	region->geometry.reservation = region->start;
	err = fl__memory_init(&region->memory, bank, &region->geometry, 0);
	if (err)
		return fl__error_set(error, err, "no memory for a lock");
	err = context->backend->arena_open(context->host, &region->geometry,
					   &region->memory.arena, error);
	if (err)
		fl__os_lock_fini(&region->memory.grow_lock);
	return err;
}

int fl__region_make(struct fl__bank *bank,
		    const struct fl__memory_request *request,
		    struct fl__memory **memory, struct fl_error *error)
{
	struct fl__region *region = region_alloc(bank->pool, error);
	int err;

	if (!region)
		return -ENOMEM;
	err = region_geometry(bank, request->initial_bytes, &region->geometry);
	if (err) {
		region_spare(bank->pool, region);
		return fl__error_set(
			error, err,
			"a memory of %llu bytes fits no address space",
			(unsigned long long)request->initial_bytes);
	}
	err = region_reserve(bank->pool, region,
			     region->geometry.first_off +
				     region->geometry.stride_bytes,
			     error);
	if (err)
		return err;
	err = region_open(bank, region, error);
	if (err) {
		fl__os_release(region->start, region->length_bytes);
		region_spare(bank->pool, region);
		return err;
	}
	region_link(bank->pool, region);
	__atomic_add_fetch(&bank->live, 1, __ATOMIC_RELAXED);
	*memory = &region->memory;
	return 0;
}

void fl__region_drop(struct fl__region *region)
{
	struct fl__memory *memory = &region->memory;
	struct fl_pool *pool = memory->pool;
	uint64_t *live = region->is_stack ? &pool->live_stacks :
					    &memory->bank->live;

	region_unlink(pool, region);
	if (!region->is_stack) {
		pool->context->backend->arena_close(memory->arena);
		fl__os_lock_fini(&memory->grow_lock);
		fl__instance_fini(&region->instance);
	}
	fl__os_release(region->start, region->length_bytes);
	region_spare(pool, region);
	/* The last: the pool may go when nothing lives. */
	__atomic_sub_fetch(live, 1, __ATOMIC_RELEASE);
}

int fl__region_make_stack(struct fl_pool *pool, struct fl__stack **stack,
			  struct fl_error *error)
{
	uint64_t guard = fl__os_hpage_bytes(),
		 usable = pool->layout.stack_bytes;
	struct fl__region *region = region_alloc(pool, error);
	int err;

	if (!region)
		return -ENOMEM;
	region->is_stack = true;
	err = region_reserve(pool, region, guard + usable + guard, error);
	if (err)
		return err;
	err = fl__os_allow(region->start + guard, usable);
	if (err) {
		fl__os_release(region->start, region->length_bytes);
		region_spare(pool, region);
		return fl__error_set(error, err, "cannot open a stack: %s",
				     fl_strerror(err));
	}
	region->stack.pub.low = region->start + guard;
	region_link(pool, region);
	__atomic_add_fetch(&pool->live_stacks, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&pool->acquired_stacks, 1, __ATOMIC_RELAXED);
	*stack = &region->stack;
	return 0;
}
