/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * delta.c - memories sleep as what they changed, and wake as they were: in other
 * slots, in other pools, on another backend, in another process.
 *
 * Sessions have a copy of all that they should have beside them. What wakes is
 * compared with the copy byte by byte, and what becomes free must be clean.
 * FAULTLINE_TEST_CHANGES sets how many changed bytes each rung meets, and
 * FAULTLINE_TEST_TENANTS how many sessions have secrets.
 */
#define _GNU_SOURCE
#include "tests/kit/conform_module.h"
#include "tests/kit/delta_bytes.h"
#include "tests/kit/random.h"

#include <stdlib.h>

#define MEMORIES 2
#define MAX_BYTES (10 * WPAGE)
#define MAX_STATE 1000
#define SESSIONS 12

/* Memory 0 has wpages, memory 1 pages of one byte. */
static const uint64_t page_bytes[MEMORIES] = { WPAGE, 1 };
static const uint64_t first_bytes[MEMORIES] = { 4 * WPAGE, 100001 };

struct session {
	struct fl_memory *memories[MEMORIES]; /* NULL: asleep */
	struct fl_delta *delta;
	uint8_t *now[MEMORIES]; /* MAX_BYTES each */
	uint64_t length[MEMORIES];
	uint8_t state[MAX_STATE];
	uint64_t state_bytes;
	uint8_t tag[32];
};

struct world {
	struct conform conform;
	struct test_random random;
	struct fl_module *module;
	struct fl_snapshot *snapshot;
	uint8_t *initial[MEMORIES];
	uint8_t state[MAX_STATE];
	uint64_t state_bytes;
	struct session sessions[SESSIONS];
};

static uint64_t pick(struct world *w, uint64_t limit)
{
	return test_random_below(&w->random, limit);
}

static void *zeroes(uint64_t bytes)
{
	void *p = calloc(1, bytes);

	MUST(p != NULL);
	return p;
}

/* -------------------------------------------------------------------- world */

static struct fl_module *world_module(struct conform *conform)
{
	struct wasm_parts parts = { 0 };
	struct wasm built = { 0 };

	for (int i = 0; i < MEMORIES; i++) {
		struct wasm *w = wasm_add(&parts, WASM_MEMORY);

		wasm_limits(w, i ? 9 : 1, 1, MAX_BYTES / page_bytes[i]);
		if (i)
			wasm_u(w, 0);
	}
	wasm_parts_build(&parts, &built);
	return module_load(conform, &built);
}

/* Data with holes, and zeroes at both ends. */
static struct fl_image *world_image(struct world *w, int idx)
{
	struct fl_segment segments[3];

	for (uint64_t i = 0; i < 3; i++) {
		uint64_t off = 10000 + 29000 * i, len = 1 + pick(w, 9000);

		for (uint64_t k = 0; k < len; k++)
			w->initial[idx][off + k] = (uint8_t)(1 + pick(w, 255));
		segments[i] =
			(struct fl_segment){ off, w->initial[idx] + off, len };
	}
	return conform_image(&w->conform, first_bytes[idx], segments, 3);
}

static void world_snapshot(struct world *w)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_image *images[MEMORIES];
	struct fl_error error = { .text = "" };

	for (int i = 0; i < MEMORIES; i++)
		images[i] = world_image(w, i);
	w->state_bytes = pick(w, MAX_STATE);
	for (uint64_t i = 0; i < w->state_bytes; i++)
		w->state[i] = (uint8_t)pick(w, 256);
	parts.module = w->module;
	parts.images = images;
	parts.image_count = MEMORIES;
	parts.state = w->state;
	parts.state_bytes = w->state_bytes;
	parts.encoding = "delta test 1";
	CONFORM_MUST(fl_snapshot_create(&parts, &w->snapshot, &error), &error);
	for (int i = 0; i < MEMORIES; i++)
		fl_image_release(images[i]);
}

static void world_open(struct world *w, uint64_t seed,
		       const struct fl_pool_config *pool)
{
	memset(w, 0, sizeof(*w));
	test_random_init(&w->random, seed);
	conform_open(&w->conform, pool);
	w->module = world_module(&w->conform);
	for (int i = 0; i < MEMORIES; i++)
		w->initial[i] = zeroes(MAX_BYTES);
	world_snapshot(w);
}

static void session_end(struct session *s)
{
	for (int i = 0; i < MEMORIES; i++) {
		if (s->memories[i])
			conform_give(s->memories[i]);
		free(s->now[i]);
	}
	fl_delta_release(s->delta);
	memset(s, 0, sizeof(*s));
}

static void world_close(struct world *w)
{
	for (int i = 0; i < SESSIONS; i++)
		session_end(&w->sessions[i]);
	for (int i = 0; i < MEMORIES; i++)
		free(w->initial[i]);
	check_nothing_held(&w->conform);
	CHECK_EQ(conform_info(&w->conform).retired_memories, 0);
	fl_snapshot_release(w->snapshot);
	fl_module_release(w->module);
	conform_close(&w->conform);
}

/* ----------------------------------------------------------------- sessions */

static void session_take(struct world *w, struct session *s)
{
	for (int i = 0; i < MEMORIES; i++) {
		struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;

		config.image = fl_snapshot_image(w->snapshot, 0, i);
		config.page_bytes = page_bytes[i];
		config.max_bytes = MAX_BYTES;
		s->memories[i] = conform_acquire(&w->conform, &config);
	}
}

static void session_check(const struct session *s)
{
	for (int i = 0; i < MEMORIES; i++) {
		const struct fl_memory *memory = s->memories[i];

		MUST_EQ(fl_memory_length(memory), s->length[i]);
		for (uint64_t at = 0; at < s->length[i]; at++) {
			if (memory->base[at] == s->now[i][at])
				continue;
			test_note("memory %d, byte %ju of %ju: %u, not %u", i,
				  (uintmax_t)at, (uintmax_t)s->length[i],
				  memory->base[at], s->now[i][at]);
			CHECK(!"the memory is as it was");
			break;
		}
	}
}

static void session_start(struct world *w, struct session *s)
{
	session_take(w, s);
	for (int i = 0; i < MEMORIES; i++) {
		s->now[i] = zeroes(MAX_BYTES);
		memcpy(s->now[i], w->initial[i], first_bytes[i]);
		s->length[i] = first_bytes[i];
	}
	memcpy(s->state, w->state, w->state_bytes);
	s->state_bytes = w->state_bytes;
	session_check(s);
}

static void session_store(struct world *w, struct session *s, int idx)
{
	uint64_t most = pick(w, 6) ? 40 : 20000, len = 1 + pick(w, most);
	uint64_t off = pick(w, s->length[idx]);
	bool is_back = pick(w, 4) == 0;
	uint8_t value = (uint8_t)pick(w, 3);

	if (len > s->length[idx] - off)
		len = s->length[idx] - off;
	for (uint64_t i = off; i < off + len; i++) {
		/* Often what the snapshot has. */
		s->now[idx][i] = is_back && i < first_bytes[idx] ?
					 w->initial[idx][i] :
					 value;
		s->memories[idx]->base[i] = s->now[idx][i];
	}
}

static void session_grow(struct world *w, struct session *s, int idx)
{
	uint64_t pages = pick(w, 3 * WPAGE) / page_bytes[idx];

	if (!fl_memory_grow(s->memories[idx], pages, NULL))
		s->length[idx] += pages * page_bytes[idx];
	CHECK_EQ(fl_memory_length(s->memories[idx]), s->length[idx]);
}

static void session_state(struct world *w, struct session *s)
{
	uint64_t at = pick(w, MAX_STATE);

	if (pick(w, 2))
		s->state_bytes = pick(w, MAX_STATE);
	s->state[at] ^= (uint8_t)pick(w, 256);
}

static void session_parts(const struct world *w, struct session *s,
			  struct fl_delta_parts *parts)
{
	fl_delta_parts_init(parts);
	parts->snapshot = w->snapshot;
	parts->memories = s->memories;
	parts->memory_count = MEMORIES;
	parts->state = s->state;
	parts->state_bytes = s->state_bytes;
	for (int i = 0; i < 32; i++)
		s->tag[i] = (uint8_t)(s - w->sessions + i);
	memcpy(parts->tag, s->tag, sizeof(s->tag));
}

static void session_checkpoint(struct world *w, struct session *s)
{
	struct fl_error error = { .text = "" };
	struct fl_delta_parts parts;

	session_parts(w, s, &parts);
	fl_delta_release(s->delta);
	s->delta = NULL;
	CONFORM_MUST(fl_memory_delta(&parts, &s->delta, &error), &error);
	session_check(s);
}

static void session_sleep(struct world *w, struct session *s)
{
	struct fl_delta_info info = { .size = sizeof(info) };
	struct fl_error error = { .text = "" };
	struct fl_delta_parts parts;

	session_parts(w, s, &parts);
	fl_delta_release(s->delta);
	s->delta = NULL;
	CONFORM_MUST(fl_memory_suspend(&parts, &s->delta, &error), &error);
	memset(s->memories, 0, sizeof(s->memories));
	fl_delta_info(s->delta, &info);
	CHECK_EQ(info.release_error, 0);
	CHECK(info.snapshot == w->snapshot);
	CHECK(!memcmp(info.tag, s->tag, 32));
	CHECK_EQ(info.instance_count, 1);
}

/* The bytes alone are kept, and lie in an allocation of exactly their size. */
static void session_reopen(struct world *w, struct session *s)
{
	struct fl_error error = { .text = "" };
	uint64_t len;
	const void *bytes = fl_delta_bytes(s->delta, &len);
	uint8_t *copy = malloc(len);
	struct fl_delta *opened = NULL;

	MUST(copy != NULL);
	memcpy(copy, bytes, len);
	CONFORM_MUST(fl_delta_open(w->snapshot, copy, len, FL_BYTES_COPY,
				   s->tag, &opened, &error),
		     &error);
	free(copy);
	fl_delta_release(s->delta);
	s->delta = opened;
}

static void session_fill(const struct world *w, struct session *s)
{
	struct fl_error error = { .text = "" };
	uint8_t state[MAX_STATE + 1];
	uint64_t len = 0;

	(void)w;
	for (int i = 0; i < MEMORIES; i++)
		CONFORM_MUST(fl_delta_restore_memory(s->delta, i,
						     s->memories[i], &error),
			     &error);
	CHECK_EQ(fl_delta_read_state(s->delta, 0, NULL, &len), 0);
	MUST_EQ(len, s->state_bytes);
	len += len < MAX_STATE;
	CHECK_EQ(fl_delta_read_state(s->delta, 0, state, &len), 0);
	CHECK_EQ(len, s->state_bytes);
	CHECK(!memcmp(state, s->state, len));
	session_check(s);
}

static void session_wake(struct world *w, struct session *s)
{
	if (pick(w, 2))
		session_reopen(w, s);
	session_take(w, s);
	session_fill(w, s);
}

static void session_act(struct world *w, struct session *s)
{
	uint64_t times = pick(w, 20);

	while (times--) {
		int idx = (int)pick(w, MEMORIES);

		switch (pick(w, 10)) {
		case 0:
			session_grow(w, s, idx);
			break;
		case 1:
			session_state(w, s);
			break;
		default:
			session_store(w, s, idx);
		}
	}
}

/* Ask what was written, begin anew; reset in place, which is the snapshot's
 * content again. */
static void session_disturb(struct world *w, struct session *s)
{
	struct fl_memory_run runs[1];
	int idx = (int)pick(w, MEMORIES);

	if (pick(w, 3)) {
		(void)fl_memory_written(s->memories[idx], (uint32_t)pick(w, 4),
					runs, 1, NULL, NULL);
		return;
	}
	CHECK_EQ(fl_memory_reset(s->memories[idx]), 0);
	memset(s->now[idx], 0, MAX_BYTES);
	memcpy(s->now[idx], w->initial[idx], first_bytes[idx]);
	s->length[idx] = first_bytes[idx];
}

static bool is_awake(const struct session *s)
{
	return s->memories[0] != NULL;
}

/* Somebody else has to sleep where there is no room. */
static void make_room(struct world *w)
{
	for (int i = 0; i < SESSIONS; i++) {
		if (is_awake(&w->sessions[i])) {
			session_sleep(w, &w->sessions[i]);
			return;
		}
	}
}

static void world_step(struct world *w)
{
	struct session *s = &w->sessions[pick(w, SESSIONS)];

	if (!is_awake(s)) {
		if (conform_info(&w->conform).live_memories >= 2 * MEMORIES)
			make_room(w);
		if (s->now[0])
			session_wake(w, s);
		else
			session_start(w, s);
	}
	session_act(w, s);
	if (!pick(w, 3))
		session_disturb(w, s);
	session_act(w, s);
	if (!pick(w, 3))
		session_checkpoint(w, s);
	if (pick(w, 3))
		session_sleep(w, s);
	else
		session_check(s);
}

static void random_sessions(void)
{
	static const enum fl_bounds bounds[] = { FL_BOUNDS_GUARDED,
						 FL_BOUNDS_ACCESSIBLE };
	int steps = test_is_sanitized() ? 60 : 150;
	struct world w;

	for (size_t b = 0; b < 3 && !test_has_failed(); b++) {
		struct fl_pool_config config;

		conform_pool_config(&config);
		config.bounds = bounds[b % 2];
		config.prefix_bytes = b == 1 ? 24 : 0;
		config.audit_every = 1;
		config.allocation = b == 2 ? FL_ALLOCATION_ON_DEMAND :
					     FL_ALLOCATION_POOLING;
		world_open(&w, 71 + b, &config);
		for (int i = 0; i < steps && !test_has_failed(); i++)
			world_step(&w);
		world_close(&w);
	}
}

/* -------------------------------------------------------------- by hand */

static void world_open_plain(struct world *w, struct session **s)
{
	world_open(w, 5, NULL);
	*s = &w->sessions[0];
	session_start(w, *s);
}

/* What is stored is what changed: the head, the lines, two bytes a run. */
static void a_delta_is_small(void)
{
	struct fl_delta_info info = { .size = sizeof(info) };
	struct session *s;
	struct world w;

	world_open_plain(&w, &s);
	session_sleep(&w, s);
	fl_delta_info(s->delta, &info);
	CHECK_EQ(info.line_count, 0);
	CHECK(info.length_bytes <= 128);
	session_take(&w, s);
	session_fill(&w, s);
	for (uint64_t i = 0; i < 20; i++) {
		uint64_t at = 3 + 640 * i;

		s->memories[0]->base[at] ^= 0x55;
		s->now[0][at] ^= 0x55;
	}
	/* Written, and as it was. */
	s->memories[1]->base[99] = 1;
	s->memories[1]->base[99] = 0;
	session_sleep(&w, s);
	fl_delta_info(s->delta, &info);
	CHECK_EQ(info.line_count, 20);
	CHECK(info.length_bytes <= 128 + 20 * 64 * 11 / 10);
	session_take(&w, s);
	session_fill(&w, s);
	world_close(&w);
}

static uint64_t counted(const struct world *w, const char *name)
{
	struct fl_metric metric = { .size = sizeof(metric) };

	for (uint32_t i = 0; !fl_pool_metric(w->conform.pool, i, &metric);
	     i++) {
		if (!strcmp(metric.name, name))
			return metric.value;
	}
	MUST(!"there is such a metric");
	return 0;
}

static void sessions_are_counted(void)
{
	struct session *s;
	uint64_t lengths[2];
	struct world w;

	world_open_plain(&w, &s);
	session_checkpoint(&w, s);
	(void)fl_delta_bytes(s->delta, &lengths[0]);
	session_act(&w, s);
	session_sleep(&w, s);
	(void)fl_delta_bytes(s->delta, &lengths[1]);
	session_take(&w, s);
	session_fill(&w, s);
	CHECK_EQ(counted(&w, "checkpoints"), 1);
	CHECK_EQ(counted(&w, "suspends"), 1);
	CHECK_EQ(counted(&w, "wakes"), MEMORIES);
	CHECK_EQ(counted(&w, "delta_bytes"), lengths[0] + lengths[1]);
	world_close(&w);
}

static void sizes_are_sampled(void)
{
	struct session *s;
	uint64_t sampled, half;
	struct world w;

	world_open_plain(&w, &s);
	for (int i = 0; i < 300; i++)
		session_checkpoint(&w, s);
	sampled = counted(&w, "delta_size_sampled");
	half = counted(&w, "delta_size_p50_bytes");
	CHECK(sampled >= 1);
	CHECK_EQ(counted(&w, "suspend_timed"), sampled);
	/* Of this many, but for the error of a bucket. */
	CHECK(half * 300 > counted(&w, "delta_bytes") * 30 / 32);
	CHECK(half * 300 < counted(&w, "delta_bytes") * 34 / 32);
	world_close(&w);
}

static void many_wake_by_one_delta(void)
{
	struct session *s, *other;
	struct world w;

	world_open_plain(&w, &s);
	session_act(&w, s);
	session_sleep(&w, s);
	other = &w.sessions[1];
	*other = *s;
	other->delta = fl_delta_retain(s->delta);
	for (int i = 0; i < MEMORIES; i++) {
		other->now[i] = zeroes(MAX_BYTES);
		memcpy(other->now[i], s->now[i], MAX_BYTES);
	}
	session_take(&w, s);
	session_fill(&w, s);
	session_take(&w, other);
	session_fill(&w, other);
	session_act(&w, s);
	session_check(other);
	world_close(&w);
}

/* The pages that were written bound what is asked for, and nothing happens to
 * the session for want of room. */
static void a_buffer_of_the_callers(void)
{
	struct fl_error error = { .text = "" };
	struct fl_delta *delta = NULL;
	struct fl_delta_parts parts;
	uint64_t needed = 0, room, len;
	struct session *s;
	struct world w;
	uint8_t *buffer;

	world_open_plain(&w, &s);
	session_act(&w, s);
	session_parts(&w, s, &parts);
	parts.buffer = &needed;
	parts.needed_bytes = &needed;
	CHECK_EQ(fl_memory_suspend(&parts, &delta, &error), -E2BIG);
	CHECK_HAS(error.text, "buffer_bytes");
	CHECK(delta == NULL);
	session_check(s);
	/* To look at a page may count as touching it: ask again. */
	CHECK_EQ(fl_memory_suspend(&parts, &delta, &error), -E2BIG);
	room = needed;
	buffer = malloc(room);
	MUST(buffer != NULL);
	parts.buffer = buffer;
	parts.buffer_bytes = room - 1;
	CHECK_EQ(fl_memory_suspend(&parts, &delta, &error), -E2BIG);
	CHECK_EQ(needed, room);
	parts.buffer_bytes = room;
	CONFORM_MUST(fl_memory_suspend(&parts, &s->delta, &error), &error);
	CHECK(fl_delta_bytes(s->delta, &len) == buffer);
	CHECK(len <= room);
	session_take(&w, s);
	session_fill(&w, s);
	world_close(&w);
	free(buffer);
}

#define CHECK_REFUSED(call, code, words)        \
	do {                                    \
		error = (struct fl_error){ 0 }; \
		CHECK_EQ(call, code);           \
		CHECK_HAS(error.text, words);   \
		CHECK(delta == NULL);           \
	} while (0)

static void what_is_refused(void)
{
	struct fl_memory *memories[MEMORIES + 1] = { NULL };
	struct fl_delta *delta = NULL;
	struct fl_delta_parts parts;
	struct fl_error error;
	struct session *s;
	struct world w;

	world_open_plain(&w, &s);
	session_parts(&w, s, &parts);
	parts.snapshot = NULL;
	CHECK_REFUSED(fl_memory_delta(&parts, &delta, &error), -EINVAL,
		      "snapshot");
	parts.snapshot = w.snapshot;
	parts.memory_count = 1;
	CHECK_REFUSED(fl_memory_delta(&parts, &delta, &error), -EINVAL,
		      "memories[1] is missing");
	parts.memories = memories;
	parts.memory_count = MEMORIES;
	memories[0] = s->memories[1];
	memories[1] = s->memories[0];
	CHECK_REFUSED(fl_memory_suspend(&parts, &delta, &error), -EINVAL,
		      "image 0");
	memories[0] = s->memories[0];
	memories[1] = s->memories[1];
	parts.memory_count = MEMORIES + 1;
	memories[2] = s->memories[1];
	CHECK_REFUSED(fl_memory_suspend(&parts, &delta, &error), -EINVAL,
		      "no image of it");
	parts.memory_count = MEMORIES;
	CHECK_EQ(fl_memory_lend(s->memories[1]), 0);
	CHECK_REFUSED(fl_memory_suspend(&parts, &delta, &error), -ENOTSUP,
		      "lent");
	session_check(s);
	conform_give(s->memories[1]);
	CHECK_REFUSED(fl_memory_suspend(&parts, &delta, &error), -EINVAL,
		      "not live");
	s->memories[1] = NULL;
	world_close(&w);
}

static void what_is_not_woken(void)
{
	struct fl_error error = { .text = "" };
	struct fl_delta *delta = NULL;
	struct session *s;
	struct world w;
	uint8_t tag[32];
	const void *bytes;
	uint64_t len = 3;
	uint8_t state[3];

	world_open_plain(&w, &s);
	s->state_bytes = 10;
	session_grow(&w, s, 0);
	session_sleep(&w, s);
	session_take(&w, s);
	memcpy(tag, s->tag, 32);
	CHECK_EQ(fl_delta_read_state(s->delta, 0, state, &len), -E2BIG);
	CHECK_EQ(len, 10);
	CHECK_EQ(fl_delta_read_state(s->delta, 1, NULL, &len), -EINVAL);
	CHECK_EQ(fl_delta_restore_memory(s->delta, 2, s->memories[0], &error),
		 -EINVAL);
	CHECK_EQ(fl_delta_restore_memory(s->delta, 1, s->memories[0], &error),
		 -EINVAL);
	CHECK_HAS(error.text, "not fresh");
	CHECK_EQ(fl_memory_grow(s->memories[1], 1, NULL), 0);
	CHECK_EQ(fl_delta_restore_memory(s->delta, 1, s->memories[1], &error),
		 -EINVAL);
	bytes = fl_delta_bytes(s->delta, &len);
	tag[31]++;
	CHECK_REFUSED(fl_delta_open(w.snapshot, bytes, len, FL_BYTES_COPY, tag,
				    &delta, &error),
		      -EINVAL, "tag");
	CONFORM_MUST(fl_delta_open(w.snapshot, bytes, len, FL_BYTES_BORROW,
				   NULL, &delta, &error),
		     &error);
	fl_delta_release(delta);
	world_close(&w);
}

/* By name, and a snapshot of other content is another one. */
static void a_delta_of_another_snapshot(void)
{
	struct fl_error error = { .text = "" };
	struct fl_delta *delta = NULL;
	struct session *s;
	struct world w, other;
	const void *bytes;
	uint64_t len;

	world_open_plain(&w, &s);
	world_open(&other, 6, NULL);
	session_act(&w, s);
	session_sleep(&w, s);
	bytes = fl_delta_bytes(s->delta, &len);
	CHECK_REFUSED(fl_delta_open(other.snapshot, bytes, len, FL_BYTES_COPY,
				    s->tag, &delta, &error),
		      -EINVAL, "is of snapshot");
	world_close(&other);
	world_close(&w);
}

/* A memory that may not grow as large stays as it was acquired, and is released. */
static void a_pool_that_is_too_small(void)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool *small = NULL;
	struct fl_memory *memory;
	struct session *s;
	struct world w;

	world_open_plain(&w, &s);
	s->length[0] += 2 * WPAGE;
	CHECK_EQ(fl_memory_grow(s->memories[0], 2, NULL), 0);
	s->memories[0]->base[s->length[0] - 1] = 1;
	session_sleep(&w, s);
	conform_pool_config(&config);
	config.max_memory_bytes = 5 * WPAGE;
	CONFORM_MUST(fl_pool_create(w.conform.context, &config, &small, &error),
		     &error);
	{
		struct conform there = { w.conform.context, small };

		memory = conform_take(&there,
				      fl_snapshot_image(w.snapshot, 0, 0), 0);
	}
	CHECK_EQ(fl_delta_restore_memory(s->delta, 0, memory, &error), -E2BIG);
	CHECK_HAS(error.text, "raise max_memory_bytes of fl_pool_config");
	CHECK_EQ(fl_memory_length(memory), first_bytes[0]);
	conform_give(memory);
	CHECK_EQ(fl_pool_destroy(small), 0);
	world_close(&w);
}

/* ------------------------------------------------------------ secrets */

#define NOBODY UINT64_MAX
#define SEVERAL (UINT64_MAX - 1)

/* 16 bytes that say whose they are. */
static void secret_of(uint64_t who, uint8_t *bytes)
{
	memcpy(bytes, "SECRET of ", 10);
	bytes[10] = (uint8_t)(100 + who / 10000);
	bytes[11] = (uint8_t)(100 + who / 100 % 100);
	bytes[12] = (uint8_t)(100 + who % 100);
	memcpy(bytes + 13, "own", 3);
}

/* Whose secrets are there? */
static uint64_t owner_of(const uint8_t *bytes, uint64_t len)
{
	uint64_t owner = NOBODY;
	const uint8_t *at = bytes;

	while ((at = memmem(at, (size_t)(bytes + len - at), "SECRET of ",
			    10))) {
		uint64_t who = (at[10] - 100u) * 10000 + (at[11] - 100u) * 100 +
			       (at[12] - 100u);

		if (owner != NOBODY && who != owner)
			return SEVERAL;
		owner = who;
		at += 13;
	}
	return owner;
}

static void tenant_acts(struct world *w, struct session *s, uint64_t who)
{
	uint8_t secret[16];

	secret_of(who, secret);
	for (int i = 0; i < 12; i++) {
		int idx = (int)pick(w, MEMORIES);
		/* No secret lies over a part of another. */
		uint64_t off = 16 * pick(w, s->length[idx] / 16);

		memcpy(s->memories[idx]->base + off, secret, 16);
	}
}

static uint64_t tenants(void)
{
	const char *text = getenv("FAULTLINE_TEST_TENANTS");

	return text		   ? strtoull(text, NULL, 10) :
	       test_is_sanitized() ? 200 :
				     300;
}

static void no_session_has_anothers_secret(void)
{
	uint64_t tenant_count = tenants();
	struct fl_delta **deltas =
		calloc(tenant_count, sizeof(struct fl_delta *));
	struct session *s;
	struct world w;
	uint64_t len;

	MUST(deltas && tenant_count <= 1000000);
	world_open_plain(&w, &s);
	session_sleep(&w, s);
	for (uint64_t i = 0; i < 4 * tenant_count && !test_has_failed(); i++) {
		uint64_t who = pick(&w, tenant_count), owner;
		const uint8_t *bytes;

		session_take(&w, s);
		for (int k = 0; k < MEMORIES; k++) {
			if (deltas[who])
				CHECK_EQ(fl_delta_restore_memory(deltas[who], k,
								 s->memories[k],
								 NULL),
					 0);
			owner = owner_of(s->memories[k]->base,
					 fl_memory_length(s->memories[k]));
			CHECK(owner == NOBODY || (deltas[who] && owner == who));
		}
		tenant_acts(&w, s, who);
		fl_delta_release(s->delta);
		s->delta = NULL;
		session_sleep(&w, s);
		fl_delta_release(deltas[who]);
		deltas[who] = fl_delta_retain(s->delta);
		bytes = fl_delta_bytes(deltas[who], &len);
		CHECK_EQ(owner_of(bytes, len), who);
	}
	for (uint64_t i = 0; i < tenant_count; i++)
		fl_delta_release(deltas[i]);
	free(deltas);
	world_close(&w);
}

/* ------------------------------------------------------------ other homes */

/* A session's bytes and the snapshot's file. */
struct parcel {
	struct world *w;
	struct session *s;
	const char *backend; /* NULL: the rung's */
	char path[64];
	uint8_t *bytes;
	uint64_t len;
};

static int open_parcel(void *arg)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;
	struct fl_context_config config = FL_CONTEXT_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct parcel *parcel = arg;
	struct session session = *parcel->s;
	struct world there = { .state_bytes = 0 };
	struct fl_pool_config pool;

	config.backend = parcel->backend ? parcel->backend : test_rung->backend;
	conform_pool_config(&pool);
	CONFORM_MUST(fl_context_create(&config, &there.conform.context, &error),
		     &error);
	CONFORM_MUST(fl_pool_create(there.conform.context, &pool,
				    &there.conform.pool, &error),
		     &error);
	there.module = world_module(&there.conform);
	binding.modules = &there.module;
	binding.module_count = 1;
	binding.encoding = "delta test 1";
	CONFORM_MUST(fl_snapshot_open(there.conform.context, parcel->path, -1,
				      0, &binding, &there.snapshot, &error),
		     &error);
	CONFORM_MUST(fl_delta_open(there.snapshot, parcel->bytes, parcel->len,
				   FL_BYTES_COPY, session.tag, &session.delta,
				   &error),
		     &error);
	session_take(&there, &session);
	session_fill(&there, &session);
	/* It goes on there, and its bytes come back as if it had not left. */
	session.memories[0]->base[7] ^= 1;
	session.now[0][7] ^= 1;
	session_sleep(&there, &session);
	session_take(&there, &session);
	session_fill(&there, &session);
	for (int i = 0; i < MEMORIES; i++)
		conform_give(session.memories[i]);
	parcel->s->now[0][7] = session.now[0][7] ^ 1;
	fl_delta_release(session.delta);
	fl_snapshot_release(there.snapshot);
	fl_module_release(there.module);
	conform_close(&there.conform);
	return test_has_failed();
}

static void parcel_make(struct parcel *parcel, struct world *w,
			struct session *s)
{
	struct fl_error error = { .text = "" };
	const void *bytes;

	*parcel = (struct parcel){ .w = w, .s = s };
	strcpy(parcel->path, "/tmp/fl-delta-XXXXXX");
	close(mkstemp(parcel->path));
	CONFORM_MUST(fl_snapshot_write(w->snapshot, parcel->path, &error),
		     &error);
	bytes = fl_delta_bytes(s->delta, &parcel->len);
	parcel->bytes = zeroes(parcel->len);
	memcpy(parcel->bytes, bytes, parcel->len);
}

static void in_another_process_and_on_another_backend(void)
{
	struct parcel parcel;
	struct session *s;
	struct world w;

	world_open_plain(&w, &s);
	for (int i = 0; i < 4; i++)
		session_act(&w, s);
	session_sleep(&w, s);
	parcel_make(&parcel, &w, s);
	conform_check_child(open_parcel, &parcel);
	parcel.backend = "segmented";
	CHECK_EQ(open_parcel(&parcel), 0);
	free(parcel.bytes);
	(void)unlink(parcel.path);
	world_close(&w);
}

/* ----------------------------------------------------------------- hostile */

/* The bytes as they are now; true: taken. What is taken can be woken, or is
 * refused, and nothing is held. */
static bool try_bytes(struct world *w, const uint8_t *bytes, uint64_t len)
{
	struct fl_error error = { .byte_off = FL_ERROR_NO_OFFSET };
	struct session s = { .state_bytes = 0 };
	uint8_t *exact = malloc(len + !len);
	struct fl_delta *delta = NULL;
	uint64_t state_bytes = 0;
	int err;

	MUST(exact != NULL);
	memcpy(exact, bytes, len);
	err = fl_delta_open(w->snapshot, exact, len, FL_BYTES_BORROW, NULL,
			    &delta, &error);
	if (err) {
		CHECK(!delta && error.text[0] && error.code == err);
		CHECK(err == -ENOEXEC || err == -EINVAL || err == -ENOTSUP ||
		      err == -E2BIG);
		if (!CHECK(error.byte_off <= len))
			test_note("%s", error.text);
		free(exact);
		return false;
	}
	session_take(w, &s);
	for (int i = 0; i < MEMORIES; i++) {
		err = fl_delta_restore_memory(delta, i, s.memories[i], &error);
		CHECK(!err || err == -E2BIG);
		conform_give(s.memories[i]);
	}
	CHECK_EQ(fl_delta_read_state(delta, 0, NULL, &state_bytes), 0);
	CHECK(state_bytes <= len + w->state_bytes);
	fl_delta_release(delta);
	free(exact);
	return true;
}

static struct session *hostile_open(struct world *w, uint8_t **bytes,
				    uint64_t *len)
{
	struct session *s;
	const void *lent;

	world_open_plain(w, &s);
	for (int i = 0; i < 3; i++) {
		session_store(w, s, 0);
		session_store(w, s, 1);
	}
	session_grow(w, s, 0);
	session_grow(w, s, 1);
	s->memories[1]->base[s->length[1] - 1] = s->now[1][s->length[1] - 1] =
		7;
	s->state_bytes = w->state_bytes + 100;
	session_sleep(w, s);
	lent = fl_delta_bytes(s->delta, len);
	*bytes = malloc(*len + 64);
	MUST(*bytes != NULL);
	memcpy(*bytes, lent, *len);
	memset(*bytes + *len, 0, 64);
	return s;
}

static void a_cut_anywhere_is_an_error(void)
{
	uint8_t *bytes, *copy;
	struct world w;
	uint64_t len;

	hostile_open(&w, &bytes, &len);
	CHECK(try_bytes(&w, bytes, len));
	copy = malloc(len + 64);
	MUST(copy != NULL);
	for (uint64_t cut = 0; cut < len + 64 && !test_has_failed(); cut++) {
		if (cut == len)
			continue;
		CHECK(!try_bytes(&w, bytes, cut));
		memcpy(copy, bytes, cut);
		delta_bytes_mend(copy, cut);
		CHECK(!try_bytes(&w, copy, cut));
	}
	free(copy);
	free(bytes);
	world_close(&w);
}

static void changed_bytes(void)
{
	const char *text = getenv("FAULTLINE_TEST_CHANGES");
	long count = text ? atol(text) : 4000;
	uint64_t len, tables, taken = 0;
	uint8_t *bytes, *copy;
	struct world w;

	hostile_open(&w, &bytes, &len);
	tables = DELTA_HEAD + 64 * delta_bytes_get(bytes + 16, 8);
	copy = malloc(len);
	MUST(copy != NULL);
	for (long i = 0; i < count && !test_has_failed(); i++) {
		uint64_t times = 1 + pick(&w, 3);

		memcpy(copy, bytes, len);
		while (times--) {
			uint64_t at = pick(&w, 8) ?
					      tables + pick(&w, len - tables) :
					      pick(&w, len);

			copy[at] ^= (uint8_t)(1 + pick(&w, 255));
		}
		if (i % 2 == 0)
			CHECK(!memcmp(copy, bytes, len) ||
			      !try_bytes(&w, copy, len));
		delta_bytes_mend(copy, len);
		taken += try_bytes(&w, copy, len);
	}
	test_note("%ju of %ld mended changes were taken", (uintmax_t)taken,
		  count);
	free(copy);
	free(bytes);
	world_close(&w);
}

/* Which lines were told: of memories, and last of the state. */
#define LISTED (MEMORIES + 1)
#define NO_LINE 0
#define TOLD 1
#define TOUCHED 2

struct listed {
	uint8_t *lines[LISTED];
	uint64_t lengths[LISTED][2]; /* 0: not told */
	uint64_t calls, end_at;
	uint64_t order;
};

static int on_difference(void *user, const struct fl_difference *d)
{
	struct listed *listed = user;
	uint32_t idx = d->part == FL_PART_STATE ? MEMORIES : d->part_idx;
	uint64_t order = (uint64_t)d->part << 32 | d->part_idx;

	CHECK(d->part == FL_PART_MEMORY || d->part == FL_PART_STATE);
	MUST(idx < LISTED);
	CHECK_EQ(d->instance_idx, 0);
	CHECK(order >= listed->order);
	listed->order = order;
	listed->lengths[idx][0] = d->was_length;
	listed->lengths[idx][1] = d->length;
	CHECK_EQ(d->first % 64, 0);
	for (uint64_t at = 0; at < d->count; at += 64) {
		uint8_t *line = &listed->lines[idx][(d->first + at) / 64];

		CHECK_EQ(*line, NO_LINE);
		*line = d->is_touched ? TOUCHED : TOLD;
	}
	return ++listed->calls == listed->end_at ? 77 : 0;
}

static void listed_open(struct listed *listed)
{
	memset(listed, 0, sizeof(*listed));
	for (int i = 0; i < LISTED; i++)
		listed->lines[i] = zeroes(MAX_BYTES / 64 + 1);
}

static void listed_close(struct listed *listed)
{
	for (int i = 0; i < LISTED; i++)
		free(listed->lines[i]);
}

static bool line_differs(const uint8_t *a, const uint8_t *b, uint64_t line,
			 uint64_t length)
{
	uint64_t off = line * 64;

	return off < length &&
	       memcmp(a + off, b + off, length - off < 64 ? length - off : 64);
}

static void a_delta_is_listed(void)
{
	struct listed listed;
	struct session *s;
	struct world w;

	world_open_plain(&w, &s);
	listed_open(&listed);
	for (int i = 0; i < 20; i++)
		session_act(&w, s);
	session_sleep(&w, s);
	CHECK_EQ(fl_delta_differences(s->delta, on_difference, &listed), 0);
	for (int i = 0; i < MEMORIES; i++) {
		for (uint64_t k = 0; k < MAX_BYTES / 64; k++)
			CHECK_EQ(listed.lines[i][k],
				 line_differs(s->now[i], w.initial[i], k,
					      s->length[i]) ?
					 TOUCHED :
					 NO_LINE);
		if (listed.lengths[i][1]) {
			CHECK_EQ(listed.lengths[i][0], first_bytes[i]);
			CHECK_EQ(listed.lengths[i][1], s->length[i]);
		}
	}
	/* What the caller returns ends the call. */
	listed_close(&listed);
	listed_open(&listed);
	listed.end_at = 1;
	CHECK_EQ(fl_delta_differences(s->delta, on_difference, &listed), 77);
	CHECK_EQ(listed.calls, 1);
	listed_close(&listed);
	world_close(&w);
}

/* Each line that differs is told once, and touched where the delta has it. */
static void versions_check(const struct world *w, const struct world *later,
			   const struct listed *delta,
			   const struct listed *listed)
{
	for (int i = 0; i < MEMORIES; i++) {
		for (uint64_t k = 0; k < MAX_BYTES / 64; k++) {
			bool differs = line_differs(w->initial[i],
						    later->initial[i], k,
						    first_bytes[i]);

			CHECK_EQ(listed->lines[i][k], !differs ? NO_LINE :
						      delta->lines[i][k] ?
								 TOUCHED :
								 TOLD);
		}
	}
	for (uint64_t k = 0; k < MAX_STATE / 64; k++) {
		uint64_t both = w->state_bytes < later->state_bytes ?
					w->state_bytes :
					later->state_bytes;

		CHECK(!line_differs(w->state, later->state, k, both) ||
		      listed->lines[MEMORIES][k]);
	}
	CHECK_EQ(listed->lengths[MEMORIES][0], w->state_bytes);
	CHECK_EQ(listed->lengths[MEMORIES][1], later->state_bytes);
}

static void two_snapshots_are_compared(void)
{
	struct fl_error error = { .text = "" };
	struct listed delta, listed;
	struct world w, later;
	struct session *s;

	world_open_plain(&w, &s);
	world_open(&later, 6, NULL);
	listed_open(&delta);
	listed_open(&listed);
	for (int i = 0; i < 20; i++)
		session_act(&w, s);
	session_sleep(&w, s);
	CHECK_EQ(fl_delta_differences(s->delta, on_difference, &delta), 0);
	CONFORM_MUST(fl_snapshot_differences(w.snapshot, later.snapshot,
					     s->delta, on_difference, &listed,
					     &error),
		     &error);
	versions_check(&w, &later, &delta, &listed);
	CHECK_EQ(fl_snapshot_differences(later.snapshot, w.snapshot, s->delta,
					 on_difference, &listed, &error),
		 -EINVAL);
	CHECK(strstr(error.text, "not of the first snapshot"));
	listed_close(&listed);
	listed_open(&listed);
	CONFORM_MUST(fl_snapshot_differences(w.snapshot, w.snapshot, NULL,
					     on_difference, &listed, &error),
		     &error);
	CHECK_EQ(listed.calls, 0);
	listed_close(&listed);
	listed_close(&delta);
	world_close(&later);
	world_close(&w);
}

static const struct test_case cases[] = {
	TEST_CASE(a_delta_is_small),
	TEST_CASE(sessions_are_counted),
	TEST_CASE(sizes_are_sampled),
	TEST_CASE(many_wake_by_one_delta),
	TEST_CASE(a_buffer_of_the_callers),
	TEST_CASE(what_is_refused),
	TEST_CASE(what_is_not_woken),
	TEST_CASE(a_delta_of_another_snapshot),
	TEST_CASE(a_delta_is_listed),
	TEST_CASE(two_snapshots_are_compared),
	TEST_CASE(a_pool_that_is_too_small),
	TEST_CASE(no_session_has_anothers_secret),
	TEST_CASE(in_another_process_and_on_another_backend),
	TEST_CASE(a_cut_anywhere_is_an_error),
	TEST_CASE(changed_bytes),
	TEST_CASE(random_sessions),
};

CONFORM_MAIN(cases)
