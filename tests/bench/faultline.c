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
 *
 * The rows of clones always do, and begin each instance from a snapshot of one
 * that has started. Some of them have a table full of references, and a runtime
 * that decodes them and its structure, rebinds, and takes a generation id.
 *
 * The rows that ask what was written pay for the answer and for what it leaves
 * to the release. The row that stays resets its memory in place of giving and
 * taking it; a case with instances runs as in the row "faultline".
 */
#include "bench.h"

#include <faultline.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define POOL_SLOTS 256
#define ANSWER_RUNS 16384

struct way {
	const char *backend;
	const char *rung;
	enum fl_bounds bounds;
	bool is_clone;
	bool has_runtime; /* with something to decode */
	bool binds; /* tables may stay decoded */
	bool binds_structure; /* and structures */
	/* Ask what was written before each release, with written_flags. */
	bool asks;
	uint32_t written_flags;
	bool stays; /* reset in place, memories alone */
	bool is_uncounted; /* no statistics */
};

/* What the lanes of one row in one case share. */
struct shared {
	const struct bench_case *c;
	const struct way *way;
	struct fl_context *context;
	struct fl_pool *pool;
	struct fl_image *images[2]; /* or, with a table or structure, */
	struct fl_module *modules[2];
	struct fl_snapshot *snapshots[2]; /* of clones */
	struct fl_instance_config clones[2];
	unsigned int n_lanes;
	struct shared *next;
};

struct lane {
	struct shared *shared;
	struct fl_memory *memory;
	struct fl_instance *instance; /* whose memory it is; NULL: none */
	unsigned int image_idx; /* or module */
	bool is_attached; /* memory was taken by attach, or stays */
	struct fl_memory_run *runs; /* of rows that ask; NULL: none */
};

/* setup and teardown run one at a time. */
static struct shared *all_shared;

/* Of this thread's last call that failed, what names the limit. */
static _Thread_local struct fl_error last_error;

static const char *failure(void)
{
	return last_error.text;
}

static int context_make(const struct way *way, struct fl_context **context,
			struct fl_error *error)
{
	struct fl_context_config config;

	fl_context_config_init(&config);
	config.backend = way->backend;
	config.rung = way->rung;
	if (way->is_uncounted)
		config.statistics = FL_STATISTICS_OFF;
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
		*at++ = 4; /* tables: one, of funcref */
		at = put(at, 3 + put_bytes(elements));
		*at++ = 1;
		*at++ = 0x70;
		*at++ = 0;
		at = put(at, elements);
	}
	*at++ = 5; /* memories: one */
	at = put(at, 2 + put_bytes(wpages));
	*at++ = 1;
	*at++ = 0;
	at = put(at, wpages);
	*at++ = 11; /* data */
	at = put(at,
		 sizeof(segment) + put_bytes(c->image_bytes) + c->image_bytes);
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
				     &shared->modules[i], &last_error);
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
					     &last_error);
	return err;
}

/* Does the row take instances, and not memories alone? */
static bool has_instances(const struct shared *shared)
{
	return bench_case_has_parts(shared->c) || shared->way->is_clone;
}

static int encode(void *user, struct fl_instance *instance, uint32_t table_idx,
		  uint64_t first_idx, const void *elements, uint64_t count,
		  uint64_t *values)
{
	(void)user;
	(void)instance;
	(void)table_idx;
	(void)first_idx;
	for (uint64_t i = 0; i < count; i++)
		memcpy(&values[i],
		       (const uint8_t *)elements + i * BENCH_ELEMENT_BYTES,
		       sizeof(values[i]));
	return 0;
}

static int decode(void *user, struct fl_instance *instance, uint32_t table_idx,
		  uint64_t first_idx, const uint64_t *values, uint64_t count,
		  void *elements)
{
	(void)user;
	(void)instance;
	(void)table_idx;
	(void)first_idx;
	for (uint64_t i = 0; i < count; i++) {
		uint8_t *element =
			(uint8_t *)elements + i * BENCH_ELEMENT_BYTES;

		memset(element, 0, BENCH_ELEMENT_BYTES);
		memcpy(element, &values[i], sizeof(values[i]));
	}
	return 0;
}

/* The structure's bytes; user is what the lanes share. */
static int encode_state(void *user, struct fl_instance *instance, void *bytes,
			uint64_t *length_bytes)
{
	const struct shared *shared = user;

	*length_bytes = shared->c->structure_bytes;
	if (bytes && *length_bytes)
		memcpy(bytes, fl_instance_structure(instance), *length_bytes);
	return 0;
}

static int decode_state(void *user, struct fl_instance *instance,
			const void *bytes, uint64_t length_bytes)
{
	(void)user;
	memcpy(fl_instance_structure(instance), bytes, length_bytes);
	return 0;
}

static int rebind(void *user, struct fl_instance *instance)
{
	(void)user;
	return fl_instance_memory(instance, 0) ? 0 : -EINVAL;
}

static int restored(void *user, struct fl_instance *instance,
		    const struct fl_restored *how)
{
	(void)user;
	(void)instance;
	return how->cause == FL_RESTORE_CLONED ? 0 : -EINVAL;
}

static int fill_table(struct fl_instance *instance)
{
	/* Zeroes, as the harness expects them; null is not zero here. */
	static const uint8_t element[BENCH_ELEMENT_BYTES];
	struct fl_table *table = fl_instance_table(instance, 0);

	return table && fl_table_fill(table, 0, element, fl_table_size(table)) ?
		       -EINVAL :
		       0;
}

/* An instance of each module starts, and is captured. */
static int make_snapshots(struct shared *shared)
{
	struct fl_snapshot_config config;
	struct fl_instance *instance;
	int err = 0;

	fl_snapshot_config_init(&config);
	config.plain_structure = !shared->way->has_runtime;
	config.encode_elements = encode;
	if (shared->way->has_runtime)
		config.encode_state = encode_state;
	config.user = shared;
	for (int i = 0; i < 2 && !err; i++) {
		err = fl_instance_acquire(shared->pool, shared->modules[i],
					  NULL, &instance, &last_error);
		if (err)
			break;
		if (shared->way->has_runtime)
			err = fill_table(instance);
		if (!err)
			err = fl_instance_snapshot(&instance, 1, &config,
						   &shared->snapshots[i],
						   &last_error);
		(void)fl_instance_release(instance);
		fl_instance_config_init(&shared->clones[i]);
		shared->clones[i].snapshot = shared->snapshots[i];
		if (!shared->way->has_runtime)
			continue;
		shared->clones[i].decode_elements = decode;
		shared->clones[i].binds_tables = shared->way->binds;
		shared->clones[i].decode_state = decode_state;
		shared->clones[i].binds_structure =
			shared->way->binds_structure;
		shared->clones[i].rebind = rebind;
		shared->clones[i].restored = restored;
	}
	return err;
}

static uint32_t pool_slots(const struct bench_case *c)
{
	return c->w.live > POOL_SLOTS ? (uint32_t)c->w.live : POOL_SLOTS;
}

static int shared_fill(struct shared *shared)
{
	static uint8_t ones[BENCH_ELEMENT_BYTES];
	const struct bench_case *c = shared->c;
	struct fl_pool_config config;
	int err;

	memset(ones, 0xff, sizeof(ones));
	err = context_make(shared->way, &shared->context, &last_error);
	if (!err)
		err = has_instances(shared) ? load_modules(shared) :
					      make_images(shared);
	if (err)
		return err;
	fl_pool_config_init(&config);
	config.max_memories = pool_slots(c);
	config.max_instances = pool_slots(c);
	config.max_tables = c->table_bytes ? pool_slots(c) : 0;
	config.max_table_elements = c->w.table_elements;
	config.table_element_bytes = BENCH_ELEMENT_BYTES;
	config.table_null = shared->way->has_runtime ? ones : NULL;
	config.instance_bytes = c->structure_bytes;
	config.bounds = shared->way->bounds;
	if (config.bounds == FL_BOUNDS_ACCESSIBLE) {
		config.max_memory_bytes = c->image_bytes + c->grow_bytes;
		config.memory_stride_bytes = 0;
	}
	err = fl_pool_create(shared->context, &config, &shared->pool,
			     &last_error);
	if (!err && shared->way->is_clone)
		err = make_snapshots(shared);
	return err;
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
		fl_snapshot_release(shared->snapshots[i]);
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

	if (lane && way->asks)
		lane->runs = calloc(ANSWER_RUNS, sizeof(*lane->runs));
	if (!lane || (way->asks && !lane->runs)) {
		free(lane);
		return -ENOMEM;
	}
	if (!shared) {
		shared = calloc(1, sizeof(*shared));
		if (!shared) {
			free(lane->runs);
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
		free(lane->runs);
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
	int err = fl_instance_acquire(
		shared->pool, shared->modules[lane->image_idx],
		shared->way->is_clone ? &shared->clones[lane->image_idx] : NULL,
		&lane->instance, &last_error);

	if (!err)
		lane->memory = fl_instance_memory(lane->instance, 0);
	return err;
}

static int lane_acquire(struct lane *lane)
{
	struct fl_memory_config config;

	if (has_instances(lane->shared))
		return lane_acquire_instance(lane);
	fl_memory_config_init(&config);
	config.image = lane->shared->images[lane->image_idx];
	return fl_memory_acquire(lane->shared->pool, &config, &lane->memory,
				 &last_error);
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

	return fl_memory_grow(lane->memory,
			      lane->shared->c->grow_bytes / BENCH_WPAGE_BYTES,
			      NULL);
}

static int give(void *state)
{
	struct lane *lane = state;
	const struct way *way = lane->shared->way;
	int err = 0;

	if (way->asks)
		err = fl_memory_written(lane->memory, way->written_flags,
					lane->runs, ANSWER_RUNS, NULL, NULL);
	if (err)
		return err;
	if (!way->stays || lane->instance)
		return lane_release(lane);
	lane->is_attached = true;
	return fl_memory_reset(lane->memory);
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
	free(lane->runs);
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
#define ROW(id, row_name, row_note, ...)                                     \
	static const struct way way_##id = { __VA_ARGS__ };                  \
	static bool probe_##id(const struct bench_case *c, char *reason,     \
			       size_t size)                                  \
	{                                                                    \
		(void)c;                                                     \
		return way_probe(&way_##id, reason, size);                   \
	}                                                                    \
	static int setup_##id(const struct bench_case *c,                    \
			      const struct bench_guest *guest, void **state) \
	{                                                                    \
		(void)guest;                                                 \
		return lane_setup(c, &way_##id, state);                      \
	}                                                                    \
	static const struct bench_competitor row_##id = {                    \
		.name = row_name,                                            \
		.note = row_note,                                            \
		.probe = probe_##id,                                         \
		.setup = setup_##id,                                         \
		.attach = attach,                                            \
		.take = take,                                                \
		.parts = parts,                                              \
		.grow = grow,                                                \
		.give = give,                                                \
		.detach = detach,                                            \
		.teardown = teardown,                                        \
		.describe = describe,                                        \
		.failure = failure,                                          \
	}

ROW(best, "faultline", "the best rung of this host",
    .bounds = FL_BOUNDS_GUARDED);
ROW(accessible, "faultline-accessible", "the same, in an accessible pool",
    .bounds = FL_BOUNDS_ACCESSIBLE);
ROW(uncounted, "faultline-uncounted", "without statistics",
    .is_uncounted = true);
ROW(scan, "faultline-scan", "without write tracking", .backend = "linux",
    .rung = "scan");
ROW(dontneed, "faultline-dontneed", "without scanning", .backend = "linux",
    .rung = "dontneed");
ROW(segmented, "faultline-segmented", "the portable backend",
    .backend = "segmented");
ROW(written, "faultline-written", "and asks what was written, since acquire",
    .asks = true);
ROW(begin, "faultline-begin", "and watches anew besides, before the release",
    .asks = true, .written_flags = FL_WRITTEN_BEGIN);
ROW(reset, "faultline-reset", "in one memory that is reset in place",
    .stays = true);
ROW(clone, "faultline-clone", "clones of an instance that has started",
    .is_clone = true);
ROW(clone_accessible, "faultline-clone-accessible",
    "the same, in an accessible pool", .bounds = FL_BOUNDS_ACCESSIBLE,
    .is_clone = true);
ROW(clone_runtime, "faultline-clone-decoded",
    "with table and structure to decode, rebind, and a generation id",
    .is_clone = true, .has_runtime = true);
ROW(clone_bound, "faultline-clone-bound",
    "the same, and the table stays decoded in its slot", .is_clone = true,
    .has_runtime = true, .binds = true);
ROW(clone_kept, "faultline-clone-kept", "the same, and the structure too",
    .is_clone = true, .has_runtime = true, .binds = true,
    .binds_structure = true);

const struct bench_competitor *const bench_faultline[] = {
	&row_best,
	&row_accessible,
	&row_uncounted,
	&row_scan,
	&row_dontneed,
	&row_segmented,
	&row_written,
	&row_begin,
	&row_reset,
	&row_clone,
	&row_clone_accessible,
	&row_clone_runtime,
	&row_clone_bound,
	&row_clone_kept,
	NULL,
};
