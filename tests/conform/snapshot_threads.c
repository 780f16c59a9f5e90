/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot_threads.c - threads take and release clones of the same snapshots
 * while another one captures instances of its own and releases snapshots. No
 * clone may show a byte that another tenant wrote, and no two clones get the same
 * generation id.
 */
#define _GNU_SOURCE
#include "tests/kit/clock.h"
#include "tests/kit/conform_module.h"
#include "tests/kit/random.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define CLONERS 4
#define WPAGES 6
#define STRUCTURE_BYTES 700
#define ELEMENTS 100
#define RUN_MS 1000
#define IDS 10000

/* What a clone of a snapshot holds: one value in all that can be written. */
struct shown {
	struct fl_snapshot *snapshot;
	uint8_t value;
};

struct crew {
	struct conform conform;
	struct fl_module *module;
	pthread_mutex_t lock; /* of shown */
	struct shown shown;
	atomic_bool is_over;
	atomic_int next_idx;
	atomic_uint clones, captures, busy;
	uint8_t (*ids)[16];
	atomic_uint id_count;
};

static int restored(void *user, struct fl_instance *instance,
		    const struct fl_restored *how)
{
	struct crew *crew = user;
	unsigned int idx = atomic_fetch_add(&crew->id_count, 1);

	(void)instance;
	if (crew->ids && idx < IDS)
		memcpy(crew->ids[idx], how->generation_id, 16);
	return 0;
}

static void crew_open(struct crew *crew, uint32_t instances,
		      enum fl_allocation allocation)
{
	struct fl_pool_config config;
	struct wasm_parts parts = { 0 };
	struct wasm w = { 0 };

	memset(crew, 0, sizeof(*crew));
	pthread_mutex_init(&crew->lock, NULL);
	conform_pool_config(&config);
	config.max_memories = config.max_tables = instances;
	config.max_instances = instances;
	config.max_table_elements = ELEMENTS;
	config.table_element_bytes = 8;
	config.instance_bytes = STRUCTURE_BYTES;
	config.audit_every = 5;
	config.allocation = allocation;
	conform_open(&crew->conform, &config);
	wasm_add_table(&parts, ELEMENTS, ELEMENTS);
	wasm_add_memory(&parts, WPAGES - 1);
	wasm_add_data(&parts, 70000, "of the module");
	wasm_parts_build(&parts, &w);
	crew->module = module_load(&crew->conform, &w);
}

static void crew_close(struct crew *crew)
{
	struct fl_pool_info info = conform_info(&crew->conform);

	CHECK_EQ(info.live_tables, 0);
	CHECK_EQ(info.audit_failures, 0);
	CHECK_EQ(info.retired_memories + info.retired_tables +
			 info.retired_instances,
		 0);
	check_nothing_held(&crew->conform);
	fl_snapshot_release(crew->shown.snapshot);
	fl_module_release(crew->module);
	conform_close(&crew->conform);
	pthread_mutex_destroy(&crew->lock);
}

/* ------------------------------------------------------------------- content */

static bool is_all(const void *bytes, uint64_t len, uint8_t value)
{
	const uint8_t *at = bytes;

	return !len || (*at == value && !memcmp(at, at + 1, (size_t)len - 1));
}

static void check_shows(struct fl_instance *instance, uint8_t value)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);

	CHECK_EQ(fl_memory_length(memory), WPAGES * WPAGE);
	CHECK(is_all(memory->base, WPAGES * WPAGE, value));
	CHECK(is_all(fl_instance_table(instance, 0)->base, ELEMENTS * 8,
		     value));
	CHECK(is_all(fl_instance_structure(instance), STRUCTURE_BYTES, value));
}

static void fill(struct fl_instance *instance, uint8_t value)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);

	memset(memory->base, value, fl_memory_length(memory));
	memset(fl_instance_table(instance, 0)->base, value, ELEMENTS * 8);
	memset(fl_instance_structure(instance), value, STRUCTURE_BYTES);
}

/* Some pages, with what nobody else writes. */
static void scribble(struct fl_instance *instance, struct test_random *random,
		     uint8_t value)
{
	uint8_t *base = fl_instance_memory(instance, 0)->base;
	uint8_t *table = fl_instance_table(instance, 0)->base;
	uint8_t *structure = fl_instance_structure(instance);

	for (int i = 0; i < 6; i++) {
		uint64_t off = test_random_below(random, WPAGES * WPAGE - 5000);

		memset(base + off, value, test_random_below(random, 5000));
	}
	table[test_random_below(random, ELEMENTS * 8)] = value;
	structure[test_random_below(random, STRUCTURE_BYTES)] = value;
}

/* -------------------------------------------------------------------- threads */

static int acquire(struct crew *crew, struct fl_snapshot *snapshot,
		   uint64_t timeout_ns, struct fl_instance **instance)
{
	struct fl_instance_config config;

	fl_instance_config_init(&config);
	config.user = crew;
	config.snapshot = snapshot;
	config.restored = snapshot ? restored : NULL;
	config.timeout_ns = timeout_ns;
	return fl_instance_acquire(crew->conform.pool, crew->module, &config,
				   instance, NULL);
}

static struct shown shown_now(struct crew *crew)
{
	struct shown shown;

	pthread_mutex_lock(&crew->lock);
	shown = crew->shown;
	if (shown.snapshot)
		fl_snapshot_retain(shown.snapshot);
	pthread_mutex_unlock(&crew->lock);
	return shown;
}

/* Captured values are below 128, scribbled ones above. */
static void *clone_loop(void *arg)
{
	struct crew *crew = arg;
	int idx = atomic_fetch_add(&crew->next_idx, 1);
	struct test_random random = { (uint64_t)idx * 77 + 5 };
	uint8_t value = (uint8_t)(0xf0 + idx);

	while (!atomic_load(&crew->is_over) && !test_has_failed()) {
		struct shown shown = shown_now(crew);
		struct fl_instance *instance = NULL;
		int err = acquire(crew, shown.snapshot, UINT64_MAX, &instance);

		/* The clone needs the snapshot no more. */
		fl_snapshot_release(shown.snapshot);
		if (!CHECK_EQ(err, 0))
			break;
		check_shows(instance, shown.value);
		scribble(instance, &random, value);
		CHECK_EQ(fl_instance_release(instance), 0);
		atomic_fetch_add(&crew->clones, 1);
	}
	return NULL;
}

static struct fl_snapshot *capture(struct fl_instance *instance)
{
	struct fl_snapshot_config config;
	struct fl_snapshot *snapshot = NULL;

	fl_snapshot_config_init(&config);
	config.plain_tables = 1;
	config.plain_structure = 1;
	CHECK_EQ(fl_instance_snapshot(&instance, 1, &config, &snapshot, NULL),
		 0);
	return snapshot;
}

static void show(struct crew *crew, struct fl_snapshot *snapshot, uint8_t value)
{
	struct fl_snapshot *before;

	pthread_mutex_lock(&crew->lock);
	before = crew->shown.snapshot;
	crew->shown = (struct shown){ snapshot, value };
	pthread_mutex_unlock(&crew->lock);
	fl_snapshot_release(before);
}

/* An instance filled with a value, which may be a clone of the snapshot before. */
static void capture_one(struct crew *crew, uint8_t value)
{
	struct shown shown = shown_now(crew);
	struct fl_instance *instance = NULL;
	struct fl_memory *memory;
	bool is_clone = value % 2 && shown.snapshot;

	CHECK_EQ(acquire(crew, is_clone ? shown.snapshot : NULL, UINT64_MAX,
			 &instance),
		 0);
	fl_snapshot_release(shown.snapshot);
	if (!instance)
		return;
	memory = fl_instance_memory(instance, 0);
	if (is_clone) {
		check_shows(instance, shown.value);
	} else {
		check_text(memory, 70000, "of the module");
		CHECK_EQ(conform_first_data(memory->base, 70000), 70000);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
	}
	fill(instance, value);
	show(crew, capture(instance), value);
	check_shows(instance, value);
	CHECK_EQ(fl_instance_release(instance), 0);
	atomic_fetch_add(&crew->captures, 1);
}

static void *capture_loop(void *arg)
{
	struct crew *crew = arg;
	unsigned int round = 0;

	while (!atomic_load(&crew->is_over) && !test_has_failed()) {
		capture_one(crew, (uint8_t)(1 + round++ % 120));
		test_sleep_ms(round % 3);
	}
	return NULL;
}

static void *trim_loop(void *arg)
{
	struct crew *crew = arg;

	while (!atomic_load(&crew->is_over) && !test_has_failed()) {
		struct shown shown = shown_now(crew);

		CHECK_EQ(fl_pool_purge(crew->conform.pool, NULL,
				       fl_snapshot_image(shown.snapshot, 0, 0),
				       NULL),
			 0);
		CHECK_EQ(fl_pool_trim(crew->conform.pool, 65536, NULL), 0);
		fl_snapshot_release(shown.snapshot);
		test_sleep_ms(5);
	}
	return NULL;
}

static bool has_run(struct crew *crew)
{
	return atomic_load(&crew->clones) > 20 &&
	       atomic_load(&crew->captures) > 5;
}

static void run_threads(uint32_t instances, enum fl_allocation allocation,
			bool trims)
{
	pthread_t threads[CLONERS + 2];
	struct crew crew;
	int count = 0;

	crew_open(&crew, instances, allocation);
	capture_one(&crew, 100);
	for (int i = 0; i < CLONERS; i++)
		MUST_EQ(pthread_create(&threads[count++], NULL, clone_loop,
				       &crew),
			0);
	MUST_EQ(pthread_create(&threads[count++], NULL, capture_loop, &crew),
		0);
	if (trims)
		MUST_EQ(pthread_create(&threads[count++], NULL, trim_loop,
				       &crew),
			0);
	/* On a busy host the time may be over before all have begun. */
	for (int i = 0; i < 40 && !test_has_failed() && (!i || !has_run(&crew));
	     i++)
		test_sleep_ms(RUN_MS);
	atomic_store(&crew.is_over, true);
	while (count)
		pthread_join(threads[--count], NULL);
	test_note("%u clones of %u captures", atomic_load(&crew.clones),
		  atomic_load(&crew.captures));
	CHECK(has_run(&crew));
	crew_close(&crew);
}

static void clones_beside_captures(void)
{
	run_threads(CLONERS + 1, FL_ALLOCATION_POOLING, true);
}

/* Some wait for a slot, mostly of another snapshot. */
static void clones_wait_for_slots(void)
{
	run_threads(CLONERS - 1, FL_ALLOCATION_POOLING, false);
}

static void clones_on_demand(void)
{
	run_threads(CLONERS + 1, FL_ALLOCATION_ON_DEMAND, false);
}

/* ------------------------------------------------------------- generation ids */

static void *id_loop(void *arg)
{
	struct crew *crew = arg;

	for (int i = 0; i < IDS / CLONERS; i++) {
		struct fl_instance *instance = NULL;

		if (!CHECK_EQ(acquire(crew, crew->shown.snapshot, UINT64_MAX,
				      &instance),
			      0))
			break;
		CHECK_EQ(fl_instance_release(instance), 0);
	}
	return NULL;
}

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

/* Each bit is set about as often as not. */
static void check_bits(uint8_t (*ids)[16])
{
	for (unsigned int bit = 0; bit < 128; bit++) {
		unsigned int set = 0;

		for (unsigned int i = 0; i < IDS; i++)
			set += ids[i][bit / 8] >> bit % 8 & 1;
		/* Eight standard deviations. */
		CHECK(set > IDS / 2 - 400 && set < IDS / 2 + 400);
	}
}

static void generation_ids_differ(void)
{
	struct fl_instance *instance = NULL;
	pthread_t threads[CLONERS];
	struct crew crew;

	crew_open(&crew, CLONERS, FL_ALLOCATION_POOLING);
	crew.ids = calloc(IDS, 16);
	MUST(crew.ids != NULL);
	MUST_EQ(acquire(&crew, NULL, 0, &instance), 0);
	show(&crew, capture(instance), 0);
	CHECK_EQ(fl_instance_release(instance), 0);
	for (int i = 0; i < CLONERS; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, id_loop, &crew), 0);
	for (int i = 0; i < CLONERS; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(atomic_load(&crew.id_count), IDS);
	check_bits(crew.ids);
	qsort(crew.ids, IDS, 16, compare_ids);
	for (int i = 1; i < IDS; i++) {
		if (!memcmp(crew.ids[i - 1], crew.ids[i], 16))
			CHECK(!"no two ids are the same");
	}
	free(crew.ids);
	crew_close(&crew);
}

static const struct test_case cases[] = {
	TEST_CASE(clones_beside_captures),
	TEST_CASE(clones_wait_for_slots),
	TEST_CASE(clones_on_demand),
	TEST_CASE(generation_ids_differ),
};

CONFORM_MAIN(cases)
