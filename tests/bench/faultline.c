/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline.c - Faultline itself as a competitor, one row per rung.
 *
 * Uses <faultline.h> and nothing else of the library. The row to which all
 * others are compared is the one named "faultline". All lanes of a row share
 * one pool, as the threads of a runtime do; take and give are the pool's
 * own acquire and release. attach takes a memory with an image that its slot
 * does not have: two images of the same bytes take turns.
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
	struct fl_image *images[2];
	unsigned int n_lanes;
	struct shared *next;
};

struct lane {
	struct shared *shared;
	struct fl_memory *memory;
	unsigned int image_idx;
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

static int shared_fill(struct shared *shared)
{
	const struct bench_case *c = shared->c;
	struct fl_segment segment = {
		.bytes = c->image,
		.length_bytes = c->image_bytes,
	};
	struct fl_pool_config config;
	int err;

	err = context_make(shared->way, &shared->context, NULL);
	for (int i = 0; i < 2 && !err; i++)
		err = fl_image_from_segments(shared->context, c->image_bytes,
					     &segment, 1, &shared->images[i],
					     NULL);
	if (err)
		return err;
	fl_pool_config_init(&config);
	config.max_memories = POOL_SLOTS;
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
	fl_image_release(shared->images[0]);
	fl_image_release(shared->images[1]);
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

static int lane_acquire(struct lane *lane)
{
	struct fl_memory_config config;

	fl_memory_config_init(&config);
	config.image = lane->shared->images[lane->image_idx];
	return fl_memory_acquire(lane->shared->pool, &config, &lane->memory,
				 NULL);
}

static int lane_release(struct lane *lane)
{
	struct fl_memory *memory = lane->memory;

	lane->memory = NULL;
	lane->is_attached = false;
	return fl_memory_release(memory);
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
