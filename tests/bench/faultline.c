/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline.c - Faultline itself as a competitor, one row per rung.
 *
 * Uses <faultline.h> and nothing else of the library. The row to which all
 * others are compared is the one named "faultline". All lanes of a row share
 * one pool, as the threads of a runtime do; take and give are the pool's
 * own acquire and release. attach takes a memory with an image that its slot
 * does not have: two images of the same bytes take turns.
 *
 * A case with a table or a structure takes whole instances of two modules that
 * are put together here, each a memory with one data segment and a table.
 */
#include "bench.h"

#include <faultline.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POOL_SLOTS	256

struct way {
	const char *backend;
	const char *rung;
	enum fl_bounds bounds;
};

/* What the lanes of one row in one case share. */
struct shared {
	const struct bench_case *c;
	const struct way *way;
	struct fl_context *context;
	struct fl_pool *pool;
	struct fl_image *images[2];	/* or, with a table or structure, */
	struct fl_module *modules[2];
	unsigned int n_lanes;
	struct shared *next;
};

struct lane {
	struct shared *shared;
	struct fl_memory *memory;
	struct fl_instance *instance;	/* whose memory it is; NULL: none */
	unsigned int image_idx;		/* or module */
	bool is_attached;	/* memory was taken by attach */
};

/* setup and teardown run one at a time. */
static struct shared *all_shared;

static int context_make(const struct way *way, struct fl_context **context,
			struct fl_error *error)
{
	struct fl_context_config config;

	fl_context_config_init(&config);
	config.backend = way->backend;
	config.rung = way->rung;
	return fl_context_create(&config, context, error);
}

/* Unsigned LEB128. */
static uint8_t *put(uint8_t *at, uint64_t value)
{
	for (; value > 127; value >>= 7)
		*at++ = (uint8_t)(value | 128);
	*at++ = (uint8_t)value;
	return at;
}

static size_t put_bytes(uint64_t value)
{
	uint8_t bytes[10];

	return (size_t)(put(bytes, value) - bytes);
}

#define HEAD_BYTES 128

/* All up to the data segment's content, which ends the module. */
static size_t put_head(const struct bench_case *c, uint8_t *at)
{
	static const uint8_t start[] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };
	/* One segment, active in memory 0, from i32.const 0 on. */
	static const uint8_t segment[] = { 1, 0, 0x41, 0, 0x0b };
	uint64_t elements = c->w.table_elements, wpages = c->w.image_wpages;
	uint8_t *from = at;

	memcpy(at, start, sizeof(start));
	at += sizeof(start);
	if (elements) {
		*at++ = 4;			/* tables: one, of funcref */
		at = put(at, 3 + put_bytes(elements));
		*at++ = 1;
		*at++ = 0x70;
		*at++ = 0;
		at = put(at, elements);
	}
	*at++ = 5;				/* memories: one */
	at = put(at, 2 + put_bytes(wpages));
	*at++ = 1;
	*at++ = 0;
	at = put(at, wpages);
	*at++ = 11;				/* data */
	at = put(at, sizeof(segment) + put_bytes(c->image_bytes) +
			     c->image_bytes);
	memcpy(at, segment, sizeof(segment));
	at = put(at + sizeof(segment), c->image_bytes);
	return (size_t)(at - from);
}

static int load_modules(struct shared *shared)
{
	const struct bench_case *c = shared->c;
	struct fl_module_config config;
	uint8_t *bytes = malloc(HEAD_BYTES + c->image_bytes);
	size_t head;
	int err = 0;

	if (!bytes)
		return -ENOMEM;
	head = put_head(c, bytes);
	memcpy(bytes + head, c->image, c->image_bytes);
	fl_module_config_init(&config);
	config.bytes = bytes;
	config.length_bytes = head + c->image_bytes;
	for (int i = 0; i < 2 && !err; i++)
		err = fl_module_load(shared->context, &config,
				     &shared->modules[i], NULL);
	free(bytes);
	return err;
}

static int make_images(struct shared *shared)
{
	const struct bench_case *c = shared->c;
	struct fl_segment segment = {
		.bytes = c->image,
		.length_bytes = c->image_bytes,
	};
	int err = 0;

	for (int i = 0; i < 2 && !err; i++)
		err = fl_image_from_segments(shared->context, c->image_bytes,
					     &segment, 1, &shared->images[i],
					     NULL);
	return err;
}

static int shared_fill(struct shared *shared)
{
	const struct bench_case *c = shared->c;
	struct fl_pool_config config;
	int err;

	err = context_make(shared->way, &shared->context, NULL);
	if (!err)
		err = bench_case_has_parts(c) ? load_modules(shared) :
						make_images(shared);
	if (err)
		return err;
	fl_pool_config_init(&config);
	config.max_memories = POOL_SLOTS;
	config.max_instances = POOL_SLOTS;
	config.max_tables = c->table_bytes ? POOL_SLOTS : 0;
	config.max_table_elements = c->w.table_elements;
	config.table_element_bytes = BENCH_ELEMENT_BYTES;
	config.instance_bytes = c->structure_bytes;
	config.bounds = shared->way->bounds;
	if (config.bounds == FL_BOUNDS_ACCESSIBLE)
		config.max_memory_bytes = c->image_bytes + c->grow_bytes;
	return fl_pool_create(shared->context, &config, &shared->pool, NULL);
}

static void shared_drop(struct shared *shared)
{
	struct shared **link = &all_shared;

	if (shared->n_lanes)
		return;
	while (*link != shared)
		link = &(*link)->next;
	*link = shared->next;
	fl_pool_destroy(shared->pool);
	for (int i = 0; i < 2; i++) {
		fl_image_release(shared->images[i]);
		fl_module_release(shared->modules[i]);
	}
	fl_context_destroy(shared->context);
	free(shared);
}

static struct shared *shared_find(const struct bench_case *c,
				  const struct way *way)
{
	for (struct shared *s = all_shared; s; s = s->next) {
		if (s->c == c && s->way == way)
			return s;
	}
	return NULL;
}

static int lane_setup(const struct bench_case *c, const struct way *way,
		      void **state)
{
	struct shared *shared = shared_find(c, way);
	struct lane *lane = calloc(1, sizeof(*lane));
	int err = 0;

	if (!lane)
		return -ENOMEM;
	if (!shared) {
		shared = calloc(1, sizeof(*shared));
		if (!shared) {
			free(lane);
			return -ENOMEM;
		}
		shared->c = c;
		shared->way = way;
		shared->next = all_shared;
		all_shared = shared;
		err = shared_fill(shared);
	}
	if (err) {
		shared_drop(shared);
		free(lane);
		return err;
	}
	shared->n_lanes++;
	lane->shared = shared;
	*state = lane;
	return 0;
}

static int lane_acquire_instance(struct lane *lane)
{
	struct shared *shared = lane->shared;
	int err = fl_instance_acquire(shared->pool,
				      shared->modules[lane->image_idx], NULL,
				      &lane->instance, NULL);

	if (!err)
		lane->memory = fl_instance_memory(lane->instance, 0);
	return err;
}

static int lane_acquire(struct lane *lane)
{
	struct fl_memory_config config;

	if (bench_case_has_parts(lane->shared->c))
		return lane_acquire_instance(lane);
	fl_memory_config_init(&config);
	config.image = lane->shared->images[lane->image_idx];
	return fl_memory_acquire(lane->shared->pool, &config, &lane->memory,
				 NULL);
}

static int lane_release(struct lane *lane)
{
	struct fl_instance *instance = lane->instance;
	struct fl_memory *memory = lane->memory;

	lane->instance = NULL;
	lane->memory = NULL;
	lane->is_attached = false;
	return instance ? fl_instance_release(instance) :
			  fl_memory_release(memory);
}

static int attach(void *state)
{
	struct lane *lane = state;
	int err;

	if (lane->is_attached) {
		err = lane_release(lane);
		if (err)
			return err;
	}
	lane->image_idx = !lane->image_idx;
	err = lane_acquire(lane);
	lane->is_attached = !err;
	return err;
}

static int take(void *state, uint8_t **base)
{
	struct lane *lane = state;
	int err = 0;

	if (!lane->is_attached)
		err = lane_acquire(lane);
	lane->is_attached = false;
	if (!err)
		*base = lane->memory->base;
	return err;
}

static void parts(void *state, struct bench_parts *parts)
{
	struct lane *lane = state;
	struct fl_table *table = fl_instance_table(lane->instance, 0);

	parts->table = table ? table->base : NULL;
	parts->structure = fl_instance_structure(lane->instance);
}

static int grow(void *state)
{
	struct lane *lane = state;

	return fl_memory_grow(lane->memory, lane->shared->c->grow_bytes /
						    BENCH_WPAGE_BYTES, NULL);
}

static int give(void *state)
{
	return lane_release(state);
}

static int detach(void *state)
{
	struct lane *lane = state;
	int err = 0;

	if (lane->is_attached)
		err = lane_release(lane);
	return err ? err : fl_pool_trim(lane->shared->pool, UINT64_MAX, NULL);
}

static void teardown(void *state)
{
	struct lane *lane = state;

	if (lane->memory)
		(void)lane_release(lane);
	lane->shared->n_lanes--;
	shared_drop(lane->shared);
	free(lane);
}

static void describe(void *state, char *text, size_t size)
{
	struct lane *lane = state;

	snprintf(text, size, "%s/%s", fl_context_backend(lane->shared->context),
		 fl_context_rung(lane->shared->context, NULL));
}

static bool way_probe(const struct way *way, char *reason, size_t size)
{
	struct fl_context *context;
	struct fl_error error;

	if (context_make(way, &context, &error)) {
		snprintf(reason, size, "%s", error.text);
		return false;
	}
	fl_context_destroy(context);
	return true;
}

/* A row: its way, and hooks that know it. */
#define ROW(id, row_name, row_note, ...)				\
	static const struct way way_##id = { __VA_ARGS__ };		\
	static bool probe_##id(const struct bench_case *c,		\
			       char *reason, size_t size)		\
	{								\
		(void)c;						\
		return way_probe(&way_##id, reason, size);		\
	}								\
	static int setup_##id(const struct bench_case *c,		\
			      const struct bench_guest *guest,		\
			      void **state)				\
	{								\
		(void)guest;						\
		return lane_setup(c, &way_##id, state);			\
	}								\
	static const struct bench_competitor row_##id = {		\
		.name = row_name,					\
		.note = row_note,					\
		.probe = probe_##id,					\
		.setup = setup_##id,					\
		.attach = attach,					\
		.take = take,						\
		.parts = parts,						\
		.grow = grow,						\
		.give = give,						\
		.detach = detach,					\
		.teardown = teardown,					\
		.describe = describe,					\
	}

ROW(best, "faultline", "the best rung of this host", NULL, NULL,
    FL_BOUNDS_GUARDED);
ROW(accessible, "faultline-accessible", "the same, in an accessible pool",
    NULL, NULL, FL_BOUNDS_ACCESSIBLE);
ROW(scan, "faultline-scan", "without write tracking", "linux", "scan",
    FL_BOUNDS_GUARDED);
ROW(dontneed, "faultline-dontneed", "without scanning", "linux", "dontneed",
    FL_BOUNDS_GUARDED);
ROW(segmented, "faultline-segmented", "the portable backend", "segmented",
    NULL, FL_BOUNDS_GUARDED);

const struct bench_competitor *const bench_faultline[] = {
	&row_best,
	&row_accessible,
	&row_scan,
	&row_dontneed,
	&row_segmented,
	NULL,
};
