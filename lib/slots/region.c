/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * region.c - slots on demand: each is a mapping of its own.
 *
 * Takes what a bank asks for; gives a region: one slot in address space of its
 * own, with the prefix, guards and reach that the bank's geometry has. The
 * region is unmapped when its slot is given back, so no slot is ever reset or
 * shown to another tenant, and only the system limits how many regions there
 * are.
 *
 * Regions are in a list that signal handlers walk (context.h). The struct of an
 * unmapped region is kept for the next region, and its address is a region's
 * struct or zeroes until the pool goes, so that a released handle can be told
 * from a live one. records.h gives the memory of such structs back.
 *
 * What walks all regions holds no lock that others wait for: a region counts its
 * visitors, and its end waits until none is left.
 *
 * On demand is a pool's configuration, not another object. All calls work on
 * such a pool, and each region has the bank's geometry, so that guards, images,
 * look-up and traps cannot differ. A region's slot is never reset, so the
 * backend opens no descriptor for the slot.
 */
#include "records.h"
#include "region.h"

#include <stdlib.h>

/* Of spare structs in a bank, if the pool's budget is no smaller. */
#define SPARE_BYTES ((uint64_t)1 << 20)

struct region {
	struct region *next; /* atomic */
	struct region *prev;
	uint8_t *start;
	uint64_t length_bytes;
	struct fl__slab *slab;
	/* context->lock: who walks the list and looks at this one, and does the
	 * region's end wait for these? */
	uint32_t visitors;
	bool is_ending;
	uint64_t turn; /* slot.acquired when the region was taken */
	struct fl__geometry geometry;
	struct fl__slot slot; /* its side bytes follow */
};

struct regions {
	struct fl__source source;
	struct region *mapped; /* atomic links; context->lock to change */
	struct fl__records records; /* context->lock */
	struct fl__os_cond unvisited; /* context->lock: an ending region is */
	fl_atomic64 live; /* atomic */
	fl_atomic64 places; /* atomic: taken of limit */
	uint64_t limit; /* UINT64_MAX: the system's alone */
	fl_atomic64 acquired; /* atomic: ever, by tenants */
	const struct fl__geometry *like;
	void (*given)(void *user); /* NULL: nobody waits for a place */
	void *given_user;
	fl_atomic64 mapped_bytes; /* atomic */
};

static struct regions *of_source(const struct fl__source *source)
{
	return (struct regions *)(uintptr_t)source;
}

static struct fl_context *context_of(const struct regions *from)
{
	return from->source.bank->pool->context;
}

/* ------------------------------------------------------------------- lists */

static void region_link(struct regions *from, struct region *region)
{
	struct fl_context *context = context_of(from);

	fl__os_lock(&context->lock);
	region->prev = NULL;
	region->next = from->mapped;
	if (from->mapped)
		from->mapped->prev = region;
	/* Pairs with a handler that walks the list: the handler sees the region
	 * whole or not at all. */
	__atomic_store_n(&from->mapped, region, __ATOMIC_RELEASE);
	__atomic_add_fetch(&from->mapped_bytes, region->length_bytes,
			   __ATOMIC_RELAXED);
	fl__os_unlock(&context->lock);
}

static void visitors_wait(struct regions *from, const struct region *region)
{
	fl__os_no_cancel();

	while (region->visitors)
		(void)fl__os_cond_wait(&from->unvisited,
				       &context_of(from)->lock, UINT64_MAX,
				       NULL, NULL);
}

static void region_unlink(struct regions *from, struct region *region)
{
	struct fl_context *context = context_of(from);

	fl__os_lock(&context->lock);
	region->is_ending = true;
	if (region->visitors)
		visitors_wait(from, region);
	__atomic_store_n(region->prev ? &region->prev->next : &from->mapped,
			 region->next, __ATOMIC_SEQ_CST);
	if (region->next)
		region->next->prev = region->prev;
	__atomic_sub_fetch(&from->mapped_bytes, region->length_bytes,
			   __ATOMIC_RELAXED);
	fl__context_walk_wait(context);
	fl__os_unlock(&context->lock);
}

/* Bank and source are written here and never again: a look-up that comes late,
 * or the holder of a released handle, may read both. */
static struct region *region_alloc(struct regions *from)
{
	struct fl_context *context = context_of(from);
	struct region *region;
	struct fl__slab *slab;

	fl__os_lock(&context->lock);
	region = fl__records_take(&from->records, &slab);
	fl__os_unlock(&context->lock);
	if (!region)
		return NULL;
	region->slab = slab;
	region->is_ending = false;
	if (!region->slot.bank) {
		region->slot.source = &from->source;
		region->slot.bank = from->source.bank;
		/* Which calls are timed goes by this number. */
		region->slot.acquired =
			__atomic_load_n(&from->acquired, __ATOMIC_RELAXED);
	}
	region->turn = region->slot.acquired;
	return region;
}

static void region_spare(struct regions *from, struct region *region)
{
	struct fl_context *context = context_of(from);

	fl__os_lock(&context->lock);
	fl__records_give(&from->records, region->slab, region);
	fl__os_unlock(&context->lock);
}

/* ------------------------------------------------------------- take, give */

/* The bank's geometry, with room for initial_bytes. -ENOMEM. */
static int region_shape(struct region *region, const struct fl__geometry *like,
			uint64_t initial_bytes)
{
	uint64_t after = like->stride_bytes - like->max_bytes;
	uint64_t max_bytes;

	if (fl_round_up_overflow(fl_max_u64(like->max_bytes, initial_bytes),
				 like->hpage_bytes, &max_bytes) ||
	    fl_add_overflow(max_bytes, after, &region->length_bytes) ||
	    fl_add_overflow(region->length_bytes, like->first_off,
			    &region->length_bytes))
		return -ENOMEM;
	region->geometry = *like;
	region->geometry.max_bytes = max_bytes;
	region->geometry.stride_bytes = max_bytes + after;
	region->geometry.slot_count = 1;
	region->geometry.is_single_use = true;
	return 0;
}

static int region_open(struct regions *from, struct region *region,
		       struct fl_error *error)
{
	struct fl__bank *bank = from->source.bank;
	struct fl__slot *slot = &region->slot;
	int err;

	region->geometry.reservation = region->start;
	err = fl__slot_init(slot, &region->geometry, 0);
	if (err)
		return fl__error_set(error, err, "no memory for a lock");
	if (bank->backend)
		err = bank->backend->arena_open(context_of(from)->host,
						&region->geometry, &slot->arena,
						error);
	if (err)
		fl__slot_end(slot);
	return err;
}

/* Address space, a slot in it, and its arena. */
static int region_map(struct regions *from, struct region *region,
		      const struct fl__request *request, struct fl_error *error)
{
	struct fl__bank *bank = from->source.bank;
	int err = region_shape(region, from->like, request->initial_bytes);

	if (!err)
		err = fl__os_reserve(region->length_bytes,
				     bank->pool->layout.align_bytes,
				     &region->start);
	if (err && err != -ENOMEM)
		return fl__error_set(
			error, err, "cannot reserve address space for a %s: %s",
			bank->kind->what, fl_strerror(err));
	if (err) {
		const char *remedy = fl__os_remedy(err);

		return fl__error_set(
			error, err,
			"cannot reserve %llu bytes of address space and their guards for a %s; %s, or lower %s",
			fl_llu(fl_max_u64(from->like->max_bytes,
					  request->initial_bytes)),
			bank->kind->what,
			remedy ? remedy :
				 "raise `ulimit -v` or vm.max_map_count",
			fl__layout_largest_field(
				&bank->pool->config,
				(enum fl__bank_idx)(bank - bank->pool->banks)));
	}
	fl__geometry_zeroes(&region->geometry, region->start,
			    region->length_bytes);
	if (region->geometry.dump != FL__DUMP_ALL)
		fl__os_dump(region->start, region->length_bytes, false);
	err = region_open(from, region, error);
	if (err)
		fl__os_release(region->start, region->length_bytes);
	else
		fl__space_called(&region->slot.space,
				 0u + region->geometry.avoids_huge_pages +
					 (region->geometry.dump !=
					  FL__DUMP_ALL));
	return err;
}

static void regions_give(struct fl__slot *slot)
{
	struct regions *from = of_source(slot->source);
	struct region *region = fl_container_of(slot, struct region, slot);

	region_unlink(from, region);
	if (slot->arena)
		slot->bank->backend->arena_close(slot->arena);
	fl__slot_end(slot);
	/* The taker failed before a tenant had it. */
	if (slot->acquired == region->turn)
		__atomic_sub_fetch(&from->acquired, 1, __ATOMIC_RELAXED);
	fl__os_release(region->start, region->length_bytes);
	region_spare(from, region);
	__atomic_sub_fetch(&from->places, 1, __ATOMIC_SEQ_CST);
	if (from->given)
		from->given(from->given_user);
	/* Last: the pool may go when no region lives. */
	__atomic_sub_fetch(&from->live, 1, __ATOMIC_RELEASE);
}

static void regions_retire(struct fl__slot *slot, bool is_for_good)
{
	(void)is_for_good;
	regions_give(slot);
}

/* Count places for count regions, if that many are left. */
static bool regions_admit(struct regions *from, uint32_t count)
{
	uint64_t places = __atomic_load_n(&from->places, __ATOMIC_SEQ_CST);

	do {
		if (count > from->limit - places)
			return false;
	} while (!__atomic_compare_exchange_n(
		&from->places, &places, places + count, false, __ATOMIC_SEQ_CST,
		__ATOMIC_SEQ_CST));
	return true;
}

static int regions_take(struct fl__source *source,
			const struct fl__request *requests, uint32_t count,
			const struct fl__os_wait *wait, struct fl__slot **slots,
			struct fl_error *error)
{
	struct regions *from = of_source(source);

	(void)wait;
	if (!regions_admit(from, count))
		return fl__error_set(
			error, -EAGAIN,
			"all %s of the pool are in use, and all %llu beyond; release one, wait with timeout_ns, or raise max_%s or overflow_%s",
			source->bank->kind->plural, fl_llu(from->limit),
			source->bank->kind->plural, source->bank->kind->plural);
	for (uint32_t i = 0; i < count; i++) {
		struct region *region = region_alloc(from);
		int err =
			region ? region_map(from, region, &requests[i], error) :
				 fl__error_set(error, -ENOMEM,
					       "no memory for a region");

		if (err) {
			if (region)
				region_spare(from, region);
			__atomic_sub_fetch(&from->places, count - i,
					   __ATOMIC_SEQ_CST);
			while (i--)
				regions_give(slots[i]);
			return err;
		}
		region_link(from, region);
		__atomic_add_fetch(&from->live, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&from->acquired, 1, __ATOMIC_RELAXED);
		slots[i] = &region->slot;
	}
	return 0;
}

/* -------------------------------------------------------------- look-ups */

static struct fl__slot *regions_at_address(const struct fl__source *source,
					   const void *addr)
{
	struct region *region =
		__atomic_load_n(&of_source(source)->mapped, __ATOMIC_SEQ_CST);

	while (region && (uintptr_t)addr - (uintptr_t)region->start >=
				 region->length_bytes)
		region = __atomic_load_n(&region->next, __ATOMIC_SEQ_CST);
	return region ? &region->slot : NULL;
}

static struct fl__slot *regions_at_base(const struct fl__source *source,
					const void *base)
{
	const struct fl_context *context = source->bank->pool->context;
	uint32_t turn = fl__context_walk_begin(context);
	struct fl__slot *slot = regions_at_address(source, base);

	if (slot && !fl__slot_lives_at(slot, base))
		slot = NULL;
	fl__context_walk_end(context, turn);
	return slot;
}

/* Regions that live. One that is being given back is passed over. */
static int regions_each(struct fl__source *source, fl__slot_fn *fn, void *user)
{
	struct regions *from = of_source(source);
	struct fl_context *context = context_of(from);
	struct region *at, *next;
	int err = 0;

	fl__os_lock(&context->lock);
	for (at = from->mapped; at && !err; at = next) {
		if (at->is_ending) {
			next = at->next;
			continue;
		}
		at->visitors++;
		fl__os_unlock(&context->lock);
		err = fn(&at->slot, user);
		fl__os_lock(&context->lock);
		next = at->next;
		if (!--at->visitors && at->is_ending)
			fl__os_cond_broadcast(&from->unvisited);
	}
	fl__os_unlock(&context->lock);
	return err;
}

static int regions_each_unused(struct fl__source *source, uint32_t *idx,
			       fl__slot_fn *fn, void *user)
{
	(void)source;
	(void)idx;
	(void)fn;
	(void)user;
	return 0;
}

static void regions_count(struct fl__source *source,
			  struct fl__source_counts *counts)
{
	struct regions *from = of_source(source);

	*counts = (struct fl__source_counts){
		.live = __atomic_load_n(&from->live, __ATOMIC_ACQUIRE),
		.mapped_bytes =
			__atomic_load_n(&from->mapped_bytes, __ATOMIC_RELAXED),
		.acquired = __atomic_load_n(&from->acquired, __ATOMIC_RELAXED),
	};
	counts->overflowed = counts->acquired;
}

static uint64_t regions_record_bytes(struct fl__source *source)
{
	struct regions *from = of_source(source);
	uint64_t bytes;

	fl__os_lock(&context_of(from)->lock);
	bytes = fl__records_bytes(&from->records);
	fl__os_unlock(&context_of(from)->lock);
	return bytes;
}

static uint64_t regions_tidy(struct fl__source *source)
{
	struct regions *from = of_source(source);
	uint64_t bytes;

	fl__os_lock(&context_of(from)->lock);
	bytes = fl__records_tidy(&from->records);
	fl__os_unlock(&context_of(from)->lock);
	return bytes;
}

/* -------------------------------------------------------- opening, closing */

static void regions_raise(struct fl_pool_config *limits)
{
	limits->max_instances = limits->max_memories = UINT32_MAX;
	limits->max_memories_per_instance = UINT32_MAX;
	limits->max_tables_per_instance = UINT32_MAX;
	limits->max_memory_bytes = limits->max_table_elements = UINT64_MAX;
	/* On demand too, 0 leaves tables to the runtime. */
	if (limits->max_tables)
		limits->max_tables = UINT32_MAX;
}

static int regions_open(struct fl__bank *bank, struct fl__source **source,
			struct fl_error *error)
{
	struct regions *from = calloc(1, sizeof(*from));

	if (!from || fl__os_cond_init(&from->unvisited)) {
		free(from);
		return fl__error_set(error, -ENOMEM, "no memory for a bank");
	}
	from->source = (struct fl__source){ &fl__source_regions, bank };
	from->like = &bank->geometry;
	from->limit = UINT64_MAX;
	fl__records_init(
		&from->records,
		offsetof(struct region, slot) + fl__slot_bytes(bank->kind),
		fl_min_u64(SPARE_BYTES, bank->pool->config.max_idle_bytes));
	*source = &from->source;
	return 0;
}

void fl__regions_limit(struct fl__source *source,
		       const struct fl__geometry *like, uint64_t limit,
		       void (*given)(void *user), void *user)
{
	struct regions *from = of_source(source);

	from->like = like;
	from->limit = limit;
	from->given = given;
	from->given_user = user;
}

static void regions_close(struct fl__source *source)
{
	struct regions *from = of_source(source);

	fl__records_fini(&from->records);
	fl__os_cond_fini(&from->unvisited);
	free(from);
}

const struct fl__source_calls fl__source_regions = {
	.name = "on-demand",
	.keeps_slots = false,
	.raise = regions_raise,
	.open = regions_open,
	.close = regions_close,
	.take = regions_take,
	.give = regions_give,
	.retire = regions_retire,
	.at_address = regions_at_address,
	.at_base = regions_at_base,
	.each = regions_each,
	.each_unused = regions_each_unused,
	.count = regions_count,
	.record_bytes = regions_record_bytes,
	.tidy = regions_tidy,
};
