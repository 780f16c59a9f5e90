/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * fit.c - how many slots this process can have.
 *
 * Takes what lib/os/limits.c has read, and other pools' configurations; gives
 * the configuration with the largest counts whose costs stay within each limit.
 *
 * What a pool costs is asked of the layout that fl_pool_create() itself will
 * use, so there is no second arithmetic of strides and guards. Costs only grow
 * with the counts, so that the largest counts within a limit are found by
 * halving. All counts are lowered in proportion: how many memories, tables and
 * stacks there are for an instance is the caller's choice, and stays.
 */
#include "fit.h"
#include "base/config.h"
#include "base/sized.h"
#include "slots/pool.h"

#include <stdio.h>
#include <stdlib.h>

/* A slot's structs, whatever lies in it, and what is known of each 2 MiB that a
 * tenant touches. */
#define SLOT_BOOK_BYTES 1024
#define CHUNK_BYTES ((uint64_t)2 << 20)
#define CHUNK_BOOK_BYTES 4608

/* The reservation's own pieces: before, between and behind the banks. */
#define POOL_MAPPINGS 8

static const struct {
	const char *name, *unit, *remedy;
	uint64_t divisor;
} rows[FL_LIMIT_COUNT] = {
	[FL_LIMIT_NONE] = { "none", "", "", 1 },
#define FL_POOL_LIMIT(id, name, unit, divisor, remedy) \
	[FL_LIMIT_##id] = { name, unit, remedy, divisor },
#include "fit.def"
#undef FL_POOL_LIMIT
};

static uint64_t sum(uint64_t a, uint64_t b)
{
	return fl_add_overflow(a, b, &a) ? UINT64_MAX : a;
}

static uint64_t times(uint64_t a, uint64_t b)
{
	return fl_mul_overflow(a, b, &a) ? UINT64_MAX : a;
}

/* ------------------------------------------------------------------- costs */

/* Slots of a bank, and of them those in mappings of their own. */
struct slots {
	uint64_t all, apart;
};

static void slots_of(const struct fl_pool_config *config,
		     struct slots slots[FL__BANK_COUNT])
{
#define SLOTS(bank, plural)                                                 \
	slots[bank] = (struct slots){                                       \
		(uint64_t)config->max_##plural + config->overflow_##plural, \
		config->overflow_##plural,                                  \
	}
	SLOTS(FL__BANK_MEMORY, memories);
	SLOTS(FL__BANK_TABLE, tables);
	SLOTS(FL__BANK_STRUCTURE, instances);
	SLOTS(FL__BANK_STACK, stacks);
#undef SLOTS
}

uint64_t fl__fit_tenants(const struct fl_pool_config *config)
{
	uint64_t instances =
		(uint64_t)config->max_instances + config->overflow_instances;

	return instances ? instances :
			   (uint64_t)config->max_memories +
				   config->overflow_memories;
}

/* Of one memory, at its largest. */
static uint64_t memory_bytes(const struct fl_pool_config *config,
			     const struct fl_pool_load *load,
			     const struct fl__geometry *geometry)
{
	uint64_t bytes = geometry->max_bytes;

	if (load->memory_bytes && config->bounds == FL_BOUNDS_GUARDED)
		bytes = fl_min_u64(bytes, load->memory_bytes);
	return bytes;
}

/* Accessible and not, and an extent of an image with the zeroes behind it. What
 * is registered is a mapping of its own: a prefix, and what had grown, or all but
 * the end that nobody has touched. */
static uint64_t memory_mappings(const struct fl_pool_config *config,
				const struct fl_pool_load *load,
				const struct fl__fit_host *host,
				const struct fl__geometry *geometry)
{
	uint64_t count =
		host->shows_images ? fl_min_u64(load->image_extents, 4) : 0;
	bool is_guarded = config->bounds == FL_BOUNDS_GUARDED;

	if (!is_guarded && !count &&
	    geometry->stride_bytes ==
		    geometry->prefix_bytes + geometry->max_bytes)
		return 0;
	count = 2 + 2 * count;
	if (host->tracks)
		count += (geometry->prefix_bytes ? 1u : 0u) +
			 (is_guarded ? 1u : 0u);
	return count;
}

static uint64_t mappings_of(const struct fl_pool_config *config,
			    const struct fl_pool_load *load,
			    const struct fl__fit_host *host,
			    const struct fl__layout *layout,
			    const struct slots slots[FL__BANK_COUNT])
{
	uint64_t each[FL__BANK_COUNT] = {
		[FL__BANK_MEMORY] = memory_mappings(
			config, load, host, &layout->banks[FL__BANK_MEMORY]),
		[FL__BANK_TABLE] = config->table_null ? 3 : 2,
		[FL__BANK_STRUCTURE] = config->instance_bytes ? 2 : 0,
		[FL__BANK_STACK] = 2,
	};
	uint64_t count = POOL_MAPPINGS;

	for (int i = 0; i < FL__BANK_COUNT; i++) {
		count = sum(count, times(slots[i].all, each[i]));
		count = sum(count, times(slots[i].apart, 2));
	}
	return count;
}

static uint64_t books_of(const struct slots slots[FL__BANK_COUNT],
			 uint64_t memory)
{
	uint64_t chunks = memory / CHUNK_BYTES + 1;
	uint64_t bytes = times(slots[FL__BANK_MEMORY].all,
			       times(chunks, CHUNK_BOOK_BYTES));

	for (int i = 0; i < FL__BANK_COUNT; i++)
		bytes = sum(bytes, times(slots[i].all, SLOT_BOOK_BYTES));
	return bytes;
}

static uint64_t data_of(const struct fl__layout *layout,
			const struct slots slots[FL__BANK_COUNT],
			uint64_t memory)
{
	const struct fl__geometry *banks = layout->banks;
	uint64_t bytes =
		times(slots[FL__BANK_MEMORY].all,
		      sum(memory, banks[FL__BANK_MEMORY].prefix_bytes));

	/* A marked guard is accessible as far as limits go. */
	for (int i = FL__BANK_TABLE; i < FL__BANK_COUNT; i++)
		bytes = sum(bytes,
			    times(slots[i].all, sum(banks[i].max_bytes,
						    banks[i].marked_bytes)));
	return bytes;
}

int fl__fit_cost(const struct fl_pool_config *config,
		 const struct fl_pool_load *load,
		 const struct fl__fit_host *host, uint64_t cost[FL_LIMIT_COUNT],
		 struct fl_error *error)
{
	struct slots slots[FL__BANK_COUNT];
	struct fl__layout layout, apart;
	uint64_t memory, books, tenants = fl__fit_tenants(config);
	int err =
		fl__layout_plan(config, host->hpage_bytes, true, &apart, error);

	if (err)
		return err;
	err = fl__layout_plan(config, host->hpage_bytes, false, &layout, error);
	if (err == -EINVAL)
		return err;
	/* What cannot be marked takes the mappings that are counted here. */
	if (host->marks_guards)
		fl__layout_mark_guards(&layout);
	for (int i = 0; i < FL__BANK_COUNT && !err; i++)
		apart.banks[i].marked_bytes = layout.banks[i].marked_bytes;
	slots_of(config, slots);
	memory = memory_bytes(config, load, &apart.banks[FL__BANK_MEMORY]);
	books = books_of(slots, memory);
	/* Aligning takes more, which is given back. */
	cost[FL_LIMIT_ADDRESSES] =
		err ? UINT64_MAX :
		      sum(layout.reserved_bytes,
			  layout.align_bytes - fl_min_u64(layout.align_bytes,
							  host->hpage_bytes));
	cost[FL_LIMIT_ADDRESS_SPACE] = sum(cost[FL_LIMIT_ADDRESSES], books);
	for (int i = 0; i < FL__BANK_COUNT; i++)
		cost[FL_LIMIT_ADDRESS_SPACE] =
			sum(cost[FL_LIMIT_ADDRESS_SPACE],
			    times(slots[i].apart,
				  apart.banks[i].first_off +
					  apart.banks[i].stride_bytes));
	/* What is mapped over locked memory counts beside that for a moment. */
	cost[FL_LIMIT_LOCKED] = sum(cost[FL_LIMIT_ADDRESS_SPACE], memory);
	cost[FL_LIMIT_MAPPINGS] =
		mappings_of(config, load, host, &apart, slots);
	/* The pool's statistics are in a memory file as images are. */
	cost[FL_LIMIT_DESCRIPTORS] =
		!host->shows_images ?
			0 :
			sum(sum(load->images, 1),
			    times(load->images_per_instance, tenants));
	cost[FL_LIMIT_DATA] = sum(data_of(&apart, slots, memory), books);
	cost[FL_LIMIT_COMMIT] = cost[FL_LIMIT_DATA];
	cost[FL_LIMIT_GROUP] =
		load->touched_bytes ?
			sum(times(load->touched_bytes, tenants), books) :
			0;
	cost[FL_LIMIT_MEMORY] = cost[FL_LIMIT_GROUP];
	cost[FL_LIMIT_NONE] = 0;
	return 0;
}

/* ----------------------------------------------------------------- the fit */

#define COUNTS(config)                                                \
	{                                                             \
		&(config)->max_instances, &(config)->max_memories,    \
			&(config)->max_tables, &(config)->max_stacks, \
			&(config)->overflow_instances,                \
			&(config)->overflow_memories,                 \
			&(config)->overflow_tables,                   \
			&(config)->overflow_stacks,                   \
	}

static uint32_t largest_count(struct fl_pool_config *config)
{
	uint32_t *const counts[] = COUNTS(config);
	uint32_t largest = 0;

	for (size_t i = 0; i < FL_ARRAY_SIZE(counts); i++)
		largest = *counts[i] > largest ? *counts[i] : largest;
	return largest;
}

/* step of so many steps; none but the step 0 takes a count to 0. */
static struct fl_pool_config lowered(const struct fl_pool_config *config,
				     uint32_t step, uint32_t steps)
{
	struct fl_pool_config low = *config;
	uint32_t *const counts[] = COUNTS(&low);

	for (size_t i = 0; i < FL_ARRAY_SIZE(counts); i++)
		*counts[i] =
			(uint32_t)(((uint64_t)*counts[i] * step + steps - 1) /
				   steps);
	return low;
}

static bool is_within(const struct fl__fit_host *host, int limit, uint64_t cost)
{
	uint64_t total;

	return host->allowed[limit] == UINT64_MAX ||
	       (!fl_add_overflow(host->used[limit], cost, &total) &&
		total <= host->allowed[limit]);
}

/* The last step up to most at which the pool stays within a limit. The counts
 * have no influence on what else fl__fit_cost() can object to. */
static uint32_t last_step(const struct fl_pool_config *config,
			  const struct fl_pool_load *load,
			  const struct fl__fit_host *host, int limit,
			  uint32_t most, uint32_t steps)
{
	uint32_t low = 0, high = most;

	while (low < high) {
		uint32_t middle = high - (high - low) / 2;
		struct fl_pool_config tried = lowered(config, middle, steps);
		uint64_t cost[FL_LIMIT_COUNT];

		if (!fl__fit_cost(&tried, load, host, cost, NULL) &&
		    is_within(host, limit, cost[limit]))
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* The field of the bank that takes most addresses; what fits no address space at
 * all has a layout of one slot. */
static const char *field_to_lower(const struct fl_pool_config *config,
				  const struct fl__fit_host *host)
{
	enum fl__bank_idx largest = FL__BANK_MEMORY;
	struct slots slots[FL__BANK_COUNT];
	struct fl__layout apart;
	uint64_t most = 0;

	slots_of(config, slots);
	if (fl__layout_plan(config, host->hpage_bytes, true, &apart, NULL))
		return "memory_stride_bytes";
	for (enum fl__bank_idx i = FL__BANK_MEMORY; i < FL__BANK_COUNT; i++) {
		uint64_t bytes =
			times(slots[i].all, apart.banks[i].stride_bytes);

		if (bytes > most) {
			most = bytes;
			largest = i;
		}
	}
	return fl__layout_largest_field(config, largest);
}

static void fill_rows(const struct fl_pool_config *config,
		      const struct fl__fit_host *host,
		      const uint64_t asked[FL_LIMIT_COUNT],
		      struct fl_pool_fit *fit)
{
	const char *field = field_to_lower(config, host);

	for (int i = 0; i < FL_LIMIT_COUNT; i++) {
		struct fl_pool_limit *row = &fit->limits[i];
		uint64_t needed = sum(host->used[i], asked[i]);

		*row = (struct fl_pool_limit){
			.name = rows[i].name,
			.unit = rows[i].unit,
			.allowed = host->allowed[i],
			.used = host->used[i],
			.asked = asked[i],
		};
		if (is_within(host, i, asked[i]))
			continue;
		needed = needed / rows[i].divisor +
			 (needed % rows[i].divisor != 0);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		/* The formats are those of fit.def. */
		snprintf(row->remedy, sizeof(row->remedy), rows[i].remedy,
			 fl_llu(needed), field);
#pragma GCC diagnostic pop
	}
}

int fl__fit(struct fl_pool_config *config, const struct fl_pool_load *load,
	    const struct fl__fit_host *host, struct fl_pool_fit *fit,
	    struct fl_error *error)
{
	uint32_t steps = largest_count(config), best = steps;
	uint64_t cost[FL_LIMIT_COUNT];
	struct fl_pool_config low;
	int err = fl__fit_cost(config, load, host, cost, error);

	if (err)
		return err;
	fit->decided = FL_LIMIT_NONE;
	fit->reserved = 0;
	fill_rows(config, host, cost, fit);
	for (int i = FL_LIMIT_NONE + 1; i < FL_LIMIT_COUNT && steps; i++) {
		uint32_t step = last_step(config, load, host, i, best, steps);

		if (step == best)
			continue;
		best = step;
		fit->decided = (enum fl_limit)i;
	}
	if (steps && !best)
		return fl__error_set(
			error, -ENOMEM,
			"not one slot of each kind fits: %s allow %llu %s, %llu are taken; %s",
			fit->limits[fit->decided].name,
			fl_llu(fit->limits[fit->decided].allowed),
			fit->limits[fit->decided].unit,
			fl_llu(fit->limits[fit->decided].used),
			fit->limits[fit->decided].remedy);
	low = steps ? lowered(config, best, steps) : *config;
	err = fl__fit_cost(&low, load, host, cost, error);
	for (int i = 0; i < FL_LIMIT_COUNT && !err; i++)
		fit->limits[i].fitted = cost[i];
	if (!err)
		*config = low;
	return err;
}

/* ---------------------------------------------------------------- the host */

/* What other pools may take yet, and where they lie. */
struct others {
	struct fl__os_range *ranges;
	size_t count;
	uint64_t mappings, data, touched;
};

/* An unlocked look: pools are made by the thousand at most. */
static size_t count_pools(struct fl_context *context)
{
	size_t count = 0;

	fl__os_lock(&context->lock);
	for (struct fl_pool *pool = context->pools; pool; pool = pool->next)
		count++;
	fl__os_unlock(&context->lock);
	return count;
}

static uint64_t free_tenants(const struct fl_pool *pool)
{
	const int banks[] = { FL__BANK_STRUCTURE, FL__BANK_MEMORY };
	uint64_t tenants = fl__fit_tenants(&pool->config), live = 0;
	struct fl__source_counts counts;

	for (size_t i = 0; i < FL_ARRAY_SIZE(banks); i++) {
		pool->source->count(pool->banks[banks[i]].source, &counts);
		live = fl_max_u64(live, counts.live);
	}
	return tenants - fl_min_u64(tenants, live);
}

static void add_pool(struct others *others, const struct fl_pool *pool,
		     const struct fl_pool_load *load,
		     const struct fl__fit_host *host)
{
	uint64_t cost[FL_LIMIT_COUNT], start = (uintptr_t)pool->reservation;

	/* On demand there is nothing that a pool could be said to take yet. */
	if (!pool->reservation ||
	    fl__fit_cost(&pool->config, load, host, cost, NULL))
		return;
	others->ranges[others->count++] =
		(struct fl__os_range){ start,
				       start + pool->layout.reserved_bytes };
	others->mappings = sum(others->mappings, cost[FL_LIMIT_MAPPINGS]);
	others->data = sum(others->data, cost[FL_LIMIT_DATA]);
	others->touched = sum(others->touched,
			      times(load->touched_bytes, free_tenants(pool)));
}

static int look_at_others(struct fl_context *context,
			  const struct fl_pool_load *load,
			  const struct fl__fit_host *host,
			  struct others *others)
{
	size_t room = count_pools(context);

	others->ranges = calloc(room + 1, sizeof(*others->ranges));
	if (!others->ranges)
		return -ENOMEM;
	fl__os_lock(&context->lock);
	for (struct fl_pool *pool = context->pools;
	     pool && others->count < room; pool = pool->next)
		add_pool(others, pool, load, host);
	fl__os_unlock(&context->lock);
	return 0;
}

/* Of what lies in other pools the larger counts: what they may take, or what
 * they have. */
static void reckon(const struct fl_pool_load *load, const struct others *others,
		   const struct fl__os_limits *limits,
		   struct fl__fit_host *host)
{
	uint64_t data =
		sum(limits->data - fl_min_u64(limits->data,
					      limits->apart_writable_bytes),
		    fl_max_u64(others->data, limits->apart_writable_bytes));
	uint64_t mappings =
		sum(limits->mappings,
		    fl_max_u64(others->mappings, limits->apart_mappings));
	uint64_t commit = limits->commit;

	if (others->data > limits->apart_writable_bytes)
		commit = sum(commit,
			     others->data - limits->apart_writable_bytes);
#define LIMIT(id, allowed_by, used_by)               \
	host->allowed[FL_LIMIT_##id] = (allowed_by); \
	host->used[FL_LIMIT_##id] = (used_by)
	LIMIT(NONE, UINT64_MAX, 0);
	LIMIT(ADDRESSES, limits->hole_bytes, 0);
	LIMIT(ADDRESS_SPACE, limits->space_max,
	      sum(limits->space, load->spare_address_bytes));
	LIMIT(LOCKED, limits->locked_max,
	      sum(limits->locked, load->spare_address_bytes));
	LIMIT(MAPPINGS, limits->mapping_max,
	      sum(mappings, load->spare_mappings));
	LIMIT(DESCRIPTORS, limits->fd_max,
	      sum(limits->fds, load->spare_descriptors));
	LIMIT(DATA, limits->data_max, data);
	LIMIT(COMMIT, limits->commit_max, commit);
	LIMIT(GROUP, limits->group_max, sum(limits->group, others->touched));
	LIMIT(MEMORY, limits->memory_max, others->touched);
#undef LIMIT
}

static int look_at_host(struct fl_context *context,
			const struct fl_pool_load *load,
			struct fl__fit_host *host)
{
	struct fl_pool_load alike = *load;
	struct others others = { .count = 0 };
	struct fl__os_limits limits;
	const char *reason;
	int err;

	*host = (struct fl__fit_host){
		.hpage_bytes = fl__os_hpage_bytes(),
		.shows_images = context->backend->makes_memory_files,
		.tracks = !strcmp(fl_context_rung(context, &reason), "track"),
		.marks_guards = context->backend->marks_guards &&
				context->backend->marks_guards(context->host),
	};
	alike.images = alike.images_per_instance = 0;
	err = look_at_others(context, &alike, host, &others);
	if (err)
		return err;
	fl__os_limits(others.ranges, others.count, &limits);
	/* A portable host has no such count. */
	if (!limits.mappings)
		limits.mapping_max = UINT64_MAX;
	reckon(load, &others, &limits, host);
	free(others.ranges);
	return 0;
}

int fl_pool_config_fit(struct fl_context *context,
		       const struct fl_pool_load *load,
		       struct fl_pool_config *config, struct fl_pool_fit *fit,
		       struct fl_error *error)
{
	struct fl_pool_fit filled = { .size = sizeof(filled) };
	struct fl_pool_config known;
	struct fl_pool_load known_load;
	struct fl__fit_host host;
	int err;

	if (fl__os_is_forked(&context->fork_guard))
		return fl__error_set(
			error, -ECHILD,
			"this process was forked from the context's owner; make a context of its own");
	err = fl__config_read(FL_POOL_LOAD, &known_load, load, error);
	if (!err)
		err = fl__config_read(FL_POOL_CONFIG, &known, config, error);
	if (err)
		return err;
	if (look_at_host(context, &known_load, &host))
		return fl__error_set(error, -ENOMEM,
				     "no memory to look at other pools");
	err = fl__fit(&known, &known_load, &host, &filled, error);
	if (!err)
		fl__sized_write(config, &known, sizeof(known));
	if (fit && (!err || err == -ENOMEM))
		fl__sized_write(fit, &filled, sizeof(filled));
	return err;
}
