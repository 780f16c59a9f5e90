/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * pool.c - opening and closing a pool.
 *
 * Takes a configuration; gives a pool with its reservation, banks and locks, in
 * the context's list, and takes the pool down in reverse order. Only this file
 * knows which kind lies in which bank, and which source serves which
 * allocation.
 */
#include "base/config.h"
#include "base/sized.h"
#include "instance/instance.h"
#include "instance/stack.h"
#include "instance/table_life.h"

#include <stdlib.h>

static const struct fl__kind *const kinds[FL__BANK_COUNT] = {
	[FL__BANK_MEMORY] = &fl__kind_memory,
	[FL__BANK_TABLE] = &fl__kind_table,
	[FL__BANK_STRUCTURE] = &fl__kind_structure,
	[FL__BANK_STACK] = &fl__kind_stack,
};

static const struct fl__source_calls *const sources[] = {
	[FL_ALLOCATION_POOLING] = &fl__source_reservation,
	[FL_ALLOCATION_ON_DEMAND] = &fl__source_regions,
};

/* How many slots a bank has beyond the reservation, and of how many in it. */
static void overflow_of(const struct fl_pool_config *config, int bank_idx,
			uint32_t *beyond, uint32_t *within)
{
#define BANK(bank, plural)                           \
	case bank:                                   \
		*beyond = config->overflow_##plural; \
		*within = config->max_##plural;      \
		break
	switch (bank_idx) {
		BANK(FL__BANK_MEMORY, memories);
		BANK(FL__BANK_TABLE, tables);
		BANK(FL__BANK_STRUCTURE, instances);
		BANK(FL__BANK_STACK, stacks);
	}
#undef BANK
}

/* A full pool may have slots that lie apart. */
static int pool_plan_overflow(struct fl_pool *pool, struct fl_error *error)
{
	struct fl__layout apart;
	uint32_t beyond = 0, within = 0;
	bool has_overflow = false;
	int err;

	for (int i = 0; i < FL__BANK_COUNT; i++) {
		const char *plural = i == FL__BANK_STRUCTURE ? "instances" :
							       kinds[i]->plural;

		overflow_of(&pool->config, i, &beyond, &within);
		if (beyond && !within)
			return fl__error_set(
				error, -EINVAL,
				"overflow_%s is %u, but max_%s is 0; raise it, or leave overflow_%s at 0",
				plural, beyond, plural, plural);
		pool->banks[i].max_overflow = beyond;
		has_overflow |= beyond != 0;
	}
	if (!has_overflow)
		return 0;
	err = fl__layout_plan(&pool->config, fl__os_hpage_bytes(), true, &apart,
			      error);
	for (int i = 0; i < FL__BANK_COUNT; i++)
		pool->banks[i].overflow_geometry = apart.banks[i];
	pool->source = &fl__source_overflow;
	return err;
}

static void pool_link(struct fl_pool *pool)
{
	struct fl_context *context = pool->context;

	fl__os_lock(&context->lock);
	pool->next = context->pools;
	/* Pairs with the acquire of a handler that walks the list: the handler
	 * sees the pool whole or not at all. */
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

/* The bank that takes most of the reservation is the one to make smaller. */
static enum fl__bank_idx pool_largest_bank(const struct fl_pool *pool)
{
	uint64_t most = 0;
	enum fl__bank_idx largest = FL__BANK_MEMORY;

	for (enum fl__bank_idx i = FL__BANK_MEMORY; i < FL__BANK_COUNT; i++) {
		const struct fl__geometry *geometry = &pool->layout.banks[i];
		uint64_t bytes = geometry->stride_bytes * geometry->slot_count;

		if (bytes > most) {
			most = bytes;
			largest = i;
		}
	}
	return largest;
}

/* Which value makes the reservation smaller. */
static int pool_refused(const struct fl_pool *pool, int err,
			struct fl_error *error)
{
	const struct fl__layout *layout = &pool->layout;
	const char *remedy = fl__os_remedy(err);
	enum fl__bank_idx largest = pool_largest_bank(pool);

	if (err != -ENOMEM)
		return fl__error_set(
			error, err,
			"cannot reserve %llu bytes of address space: %s",
			fl_llu(layout->reserved_bytes), fl_strerror(err));
	return fl__error_set(
		error, err,
		"cannot reserve %llu bytes of address space, most for %u %s of stride %llu; lower max_%s or %s%s%s",
		fl_llu(layout->reserved_bytes),
		layout->banks[largest].slot_count, kinds[largest]->plural,
		fl_llu(layout->banks[largest].stride_bytes),
		largest == FL__BANK_STRUCTURE ? "instances" :
						kinds[largest]->plural,
		fl__layout_largest_field(&pool->config, largest),
		remedy ? ", or " : "", remedy ? remedy : "");
}

static int pool_reserve(struct fl_pool *pool, struct fl_error *error)
{
	const struct fl__layout *layout = &pool->layout;
	const struct fl__geometry *memories = &layout->banks[FL__BANK_MEMORY];
	int err;

	if (!layout->reserved_bytes)
		return 0;
	err = fl__os_reserve(layout->reserved_bytes, layout->align_bytes,
			     &pool->reservation);
	if (err)
		return pool_refused(pool, err, error);
	fl__geometry_zeroes(memories, pool->reservation,
			    layout->reserved_bytes);
	/* Memories are the first in the reservation. */
	if (memories->slot_count)
		fl__os_dump(pool->reservation,
			    memories->first_off + memories->stride_bytes *
							  memories->slot_count,
			    false);
	fl__stats_set(pool->stats, FL__LEVEL_memories_at,
		      (uintptr_t)pool->reservation + memories->first_off);
	fl__stats_set(pool->stats, FL__LEVEL_memory_stride_bytes,
		      memories->stride_bytes);
	return 0;
}

static int pool_init_guards(struct fl_pool *pool, struct fl_error *error)
{
	int err = fl__os_lock_init(&pool->trim_lock);

	pool->fork_guard = pool->context->fork_guard;
	return err ? fl__error_set(error, err, "cannot make a lock") : 0;
}

static int pool_open_stats(struct fl_pool *pool, struct fl_error *error)
{
	struct fl_context *context = pool->context;
	const char *reason = NULL;
	struct fl__stats_about about = {
		.pool = pool->name,
		.backend = fl_context_backend(context),
		.rung = fl_context_rung(context, &reason),
		.serial = __atomic_add_fetch(&context->last_pool, 1,
					     __ATOMIC_RELAXED),
		.how = context->statistics,
	};
	bool may_publish = about.how == FL_STATISTICS_PUBLISHED;
	int err;

	if (may_publish)
		about.private_reason = fl__context_publish(
			context, &context->published,
			"16 pools of this context are published already");
	err = fl__stats_open(&about, &pool->stats);
	pool->is_published = may_publish && !about.private_reason;
	if (err)
		return fl__error_set(error, err, "no memory for statistics");
	fl__stats_set(pool->stats, FL__LEVEL_address_space_bytes,
		      pool->layout.reserved_bytes);
#define FL_STAT_LIMIT(name, unit, field, help) \
	fl__stats_set(pool->stats, FL__LEVEL_##name, pool->limits.field);
#include "base/stats.def"
	return 0;
}

/* The pool may have been opened in part. */
static void pool_free(struct fl_pool *pool)
{
	for (int i = FL__BANK_COUNT; i--;)
		fl__bank_close(&pool->banks[i]);
	/* Without a reservation, this would unmap addresses from 0 on. */
	if (pool->reservation)
		fl__os_release(pool->reservation, pool->layout.reserved_bytes);
	if (pool->event_fd >= 0)
		fl__os_event_close(pool->event_fd);
	fl__stats_close(pool->stats);
	if (pool->is_published)
		__atomic_sub_fetch(&pool->context->published, 1,
				   __ATOMIC_RELAXED);
	fl__os_lock_fini(&pool->trim_lock);
	fl_context_destroy(pool->context);
	fl__os_free(pool);
}

/* The configuration in full, and what follows from it. */
static void pool_plan_guards(struct fl_pool *pool)
{
	const struct fl_context *context = pool->context;

	if (pool->source->keeps_slots && context->backend->marks_guards &&
	    context->backend->marks_guards(context->host))
		fl__layout_mark_guards(&pool->layout);
}

static int pool_plan(struct fl_pool *pool, const struct fl_pool_config *config,
		     struct fl_error *error)
{
	struct fl_pool_config *known = &pool->config;
	int err = fl__config_read(FL_POOL_CONFIG, known, config, error);

	if (!err && (unsigned int)known->allocation >= FL_ARRAY_SIZE(sources))
		err = fl__error_set(
			error, -EINVAL,
			"allocation is %d; use an enumerator of enum fl_allocation",
			(int)known->allocation);
	if (err)
		return err;
	pool->source = sources[known->allocation];
	err = fl__layout_plan(known, fl__os_hpage_bytes(),
			      !pool->source->keeps_slots, &pool->layout, error);
	if (!err)
		pool_plan_guards(pool);
	if (!err && pool->source->keeps_slots)
		err = pool_plan_overflow(pool, error);
	/* The caller's bytes are copied, as they may go after the call. */
	if (!err && known->table_null && known->max_tables)
		memcpy(pool->table_null, known->table_null,
		       (size_t)known->table_element_bytes);
	known->table_null = pool->table_null;
	if (!err)
		err = fl__config_name(pool->name, known->name,
				      "fl_pool_config.name", error);
	known->name = pool->name;
	pool->limits = *known;
	if (pool->source->raise)
		pool->source->raise(&pool->limits);
	return err;
}

void fl_pool_config_of(const struct fl_pool *pool,
		       struct fl_pool_config *config)
{
	struct fl_pool_config filled = pool->config;

	/* Not the distance of two bases: the next memory's prefix, which is
	 * writable, is no part of what code may reach. */
	filled.memory_stride_bytes = pool->layout.memory_reach_bytes;
	fl__sized_write(config, &filled, sizeof(filled));
}

int fl_pool_create(struct fl_context *context,
		   const struct fl_pool_config *config, struct fl_pool **out,
		   struct fl_error *error)
{
	struct fl_pool *pool;
	int err;

	/* In a child, locks that threads of the parent held stay held. */
	if (fl__os_is_forked(&context->fork_guard))
		return fl__error_set(
			error, -ECHILD,
			"this process was forked from the context's owner; make a context of its own");
	pool = fl__os_alloc(sizeof(*pool));
	if (!pool)
		return fl__error_set(error, -ENOMEM, "no memory for a pool");
	pool->context = context;
	pool->event_fd = -1;
	err = pool_plan(pool, config, error);
	if (!err)
		err = pool_init_guards(pool, error);
	if (err) {
		fl__os_free(pool);
		return err;
	}
	(void)fl__context_retain(context);
	err = pool_open_stats(pool, error);
	if (!err)
		err = pool_reserve(pool, error);
	for (int i = 0; i < FL__BANK_COUNT && !err; i++)
		err = fl__bank_open(&pool->banks[i], pool, kinds[i],
				    &pool->layout.banks[i], error);
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
	struct fl__source_counts counts;
	bool is_busy = false;
	int err;

	if (!pool)
		return 0;
	err = fl__pool_check_owner(pool, NULL);
	if (err)
		return err;
	fl__os_lock(&pool->trim_lock);
	for (int i = 0; i < FL__BANK_COUNT; i++) {
		pool->source->count(pool->banks[i].source, &counts);
		is_busy |= counts.live != 0;
	}
	fl__os_unlock(&pool->trim_lock);
	if (is_busy)
		return -EBUSY;
	fl__os_watch_stop(pool->pressure_watch);
	pool_unlink(pool);
	pool_free(pool);
	return 0;
}

int fl_pool_wait_fd(struct fl_pool *pool, int *fd, struct fl_error *error)
{
	int err = fl__pool_check_owner(pool, error), opened;

	if (err)
		return err;
	fl__os_lock(&pool->trim_lock);
	opened = pool->event_fd >= 0 ? pool->event_fd : fl__os_event_open();
	if (opened >= 0)
		__atomic_store_n(&pool->event_fd, opened, __ATOMIC_RELAXED);
	fl__os_unlock(&pool->trim_lock);
	if (opened == -ENOTSUP)
		return fl__error_set(error, opened,
				     "this system has no event descriptors");
	if (opened < 0)
		return fl__error_set(error, fl__error_fold(opened),
				     "cannot open an event descriptor: %s%s%s",
				     strerror(-opened),
				     fl__os_remedy_lead(opened),
				     fl__os_remedy_text(opened));
	*fd = opened;
	return 0;
}
