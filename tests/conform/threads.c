/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * threads.c - acquire, release, wait, grow and look up from several
 * threads at once.
 *
 * A lost wake-up shows as a case that does not end: every case has a time
 * limit. Under the thread sanitizer the bytes of a slot are themselves a test:
 * two tenants on two threads must be ordered by the pool.
 */
#define _GNU_SOURCE
#include "tests/kit/clock.h"
#include "tests/kit/conform.h"
#include "tests/kit/wasm_build.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define THREADS 4
#define MS 1000000u

/* One memory of one wpage. */
static const uint8_t module_bytes[] = {
	0x00,
	0x61,
	0x73,
	0x6d,
	0x01,
	0x00,
	0x00,
	0x00,
	0x05,
	0x03,
	0x01,
	0x00,
	0x01,
	/* data: "thread" at 100 */
	0x0b,
	0x0d,
	0x01,
	0x00,
	0x41,
	0xe4,
	0x00,
	0x0b,
	0x06,
	't',
	'h',
	'r',
	'e',
	'a',
	'd',
};

struct crew {
	struct conform conform;
	struct fl_image *images[2];
	struct fl_module *module;
	struct fl_memory *memory;
	uint64_t timeout_ns;
	int rounds;
	atomic_int next_idx;
	atomic_int live;
	atomic_int most_live;
	atomic_bool is_over;
	atomic_uint_least64_t count;
	_Atomic(struct fl_memory *) shown;
	uint8_t *seen; /* one byte per page of memory */
};

static void crew_run(struct crew *crew, void *(*fn)(void *), int count)
{
	pthread_t threads[16];

	for (int i = 0; i < count; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, fn, crew), 0);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

static void crew_open(struct crew *crew, uint32_t slots)
{
	struct fl_pool_config config;

	memset(crew, 0, sizeof(*crew));
	conform_pool_config(&config);
	config.max_memories = slots;
	config.max_instances = slots;
	conform_open(&crew->conform, &config);
	crew->rounds = 300;
	crew->timeout_ns = UINT64_MAX;
}

static struct fl_module *load_module(struct conform *conform)
{
	struct fl_error error = { .text = "" };
	struct fl_module_config config;
	struct fl_module *module = NULL;

	fl_module_config_init(&config);
	config.bytes = module_bytes;
	config.length_bytes = sizeof(module_bytes);
	CONFORM_MUST(fl_module_load(conform->context, &config, &module, &error),
		     &error);
	return module;
}

static int try_take(struct crew *crew, struct fl_image *image,
		    struct fl_memory **memory)
{
	struct fl_memory_config config;

	fl_memory_config_init(&config);
	config.image = image;
	config.initial_bytes = 2 * WPAGE;
	config.timeout_ns = crew->timeout_ns;
	return fl_memory_acquire(crew->conform.pool, &config, memory, NULL);
}

static void crew_enter(struct crew *crew)
{
	int live = atomic_fetch_add(&crew->live, 1) + 1;
	int most = atomic_load(&crew->most_live);

	while (live > most &&
	       !atomic_compare_exchange_weak(&crew->most_live, &most, live))
		;
}

/* --------------------------------------------------------- acquire, release */

/* Each tenant finds image or zeroes, and nobody else in its memory. */
static void *tenant_loop(void *arg)
{
	struct crew *crew = arg;
	int idx = atomic_fetch_add(&crew->next_idx, 1);

	for (int i = 0; i < crew->rounds; i++) {
		struct fl_image *image = crew->images[(i + idx) % 2];
		struct fl_memory *memory = NULL;

		if (!CHECK_EQ(try_take(crew, image, &memory), 0))
			break;
		crew_enter(crew);
		CHECK_EQ(conform_first_data(memory->base, 5000), 5000);
		CHECK_EQ(memory->base[WPAGE], image ? 'i' : 0);
		memset(memory->base, 0x10 + idx, 5000);
		memset(memory->base + WPAGE, 0x10 + idx, 10);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
		CHECK_EQ(memory->base[2 * WPAGE + 9], 0);
		memory->base[2 * WPAGE + 9] = 1;
		CHECK_EQ(memory->base[0], 0x10 + idx);
		CHECK_EQ(memory->base[4999], 0x10 + idx);
		CHECK_EQ(memory->base[WPAGE + 9], 0x10 + idx);
		CHECK(fl_memory_find(crew->conform.pool, memory->base) ==
		      memory);
		atomic_fetch_sub(&crew->live, 1);
		CHECK_EQ(fl_memory_release(memory), 0);
	}
	return NULL;
}

static void run_tenants(uint32_t slots, bool has_image)
{
	struct crew crew;

	crew_open(&crew, slots);
	if (has_image)
		crew.images[1] = conform_image_of(&crew.conform, 2 * WPAGE,
						  WPAGE, "image", 5);
	crew_run(&crew, tenant_loop, THREADS);
	CHECK(atomic_load(&crew.most_live) <= (int)slots);
	CHECK_EQ(conform_info(&crew.conform).live_memories, 0);
	CHECK_EQ(conform_info(&crew.conform).retired_memories, 0);
	fl_image_release(crew.images[1]);
	conform_close(&crew.conform);
}

static void a_slot_for_every_thread(void)
{
	run_tenants(THREADS, false);
	run_tenants(THREADS, true);
}

/* Every release must wake somebody who waits. */
static void fewer_slots_than_threads(void)
{
	run_tenants(1, true);
	run_tenants(2, true);
	run_tenants(THREADS - 1, false);
}

static void *instance_loop(void *arg)
{
	struct crew *crew = arg;

	for (int i = 0; i < crew->rounds; i++) {
		struct fl_instance_config config;
		struct fl_instance *instance = NULL;
		struct fl_memory *memory;

		fl_instance_config_init(&config);
		config.timeout_ns = UINT64_MAX;
		config.user = &config;
		if (!CHECK_EQ(fl_instance_acquire(crew->conform.pool,
						  crew->module, &config,
						  &instance, NULL),
			      0))
			break;
		CHECK(fl_instance_user(instance) == &config);
		memory = fl_instance_memory(instance, 0);
		CHECK(!memcmp(memory->base + 100, "thread", 6));
		memset(memory->base + 90, 0xff, 30);
		CHECK_EQ(fl_instance_release(instance), 0);
	}
	return NULL;
}

static void instances_from_several_threads(void)
{
	for (uint32_t slots = 1; slots <= THREADS; slots++) {
		struct crew crew;

		crew_open(&crew, slots);
		crew.rounds = 150;
		crew.module = load_module(&crew.conform);
		crew_run(&crew, instance_loop, THREADS);
		CHECK_EQ(conform_info(&crew.conform).live_instances, 0);
		fl_module_release(crew.module);
		conform_close(&crew.conform);
	}
}

static void *wait_for_slot(void *arg)
{
	struct crew *crew = arg;
	struct fl_memory *memory = NULL;

	CHECK_EQ(try_take(crew, NULL, &memory), 0);
	atomic_fetch_add(&crew->count, 1);
	if (memory)
		CHECK_EQ(fl_memory_release(memory), 0);
	return NULL;
}

/* Three memories of one wpage each, data in the first. */
static void crew_open_wide(struct crew *crew, uint32_t slots)
{
	struct fl_module_config module_config;
	struct fl_pool_config config;
	struct fl_error error = { .text = "" };
	struct wasm w = { 0 }, memories = { 0 };

	memset(crew, 0, sizeof(*crew));
	crew->rounds = 200;
	conform_pool_config(&config);
	config.max_memories = slots;
	config.max_memories_per_instance = 3;
	conform_open(&crew->conform, &config);
	wasm_header(&w);
	wasm_u(&memories, 3);
	for (int i = 0; i < 3; i++)
		wasm_limits(&memories, 0, 1, 0);
	wasm_section(&w, WASM_MEMORY, &memories);
	wasm_one_data(&w, 100, "thread", 6);
	fl_module_config_init(&module_config);
	module_config.bytes = w.bytes;
	module_config.length_bytes = w.length;
	CONFORM_MUST(fl_module_load(crew->conform.context, &module_config,
				    &crew->module, &error),
		     &error);
	wasm_free(&w);
}

/* As many slots as one instance needs, or a few more: whoever waits for the
 * rest of its memories must not keep those of another that waits too. */
static void several_memories_for_each(void)
{
	for (uint32_t slots = 3; slots <= 5; slots++) {
		struct crew crew;

		crew_open_wide(&crew, slots);
		crew_run(&crew, instance_loop, THREADS);
		CHECK_EQ(conform_info(&crew.conform).live_memories, 0);
		fl_module_release(crew.module);
		conform_close(&crew.conform);
	}
}

/* A slot that is free goes to who needs one, though another has waited longer
 * for three. */
static void one_slot_beside_a_wait_for_three(void)
{
	struct fl_memory *held[3], *memory = NULL;
	struct fl_memory_config config;
	pthread_t wide, narrow;
	uint64_t given_ns;
	struct crew crew;

	crew_open_wide(&crew, 3);
	crew.rounds = 1;
	crew.timeout_ns = 40000ull * MS;
	fl_memory_config_init(&config);
	config.timeout_ns = 20000ull * MS;
	for (int i = 0; i < 3; i++)
		held[i] = conform_take(&crew.conform, NULL, WPAGE);
	MUST_EQ(pthread_create(&wide, NULL, instance_loop, &crew), 0);
	test_sleep_ms(50);
	MUST_EQ(pthread_create(&narrow, NULL, wait_for_slot, &crew), 0);
	test_sleep_ms(50);
	given_ns = test_now_ns();
	conform_give(held[0]);
	pthread_join(narrow, NULL);
	/* Not only when its time was up. */
	CHECK(test_now_ns() - given_ns < 20000ull * MS);
	CHECK_EQ(atomic_load(&crew.count), 1);
	/* Two in use: the one in between is there for whoever asks. On a busy host
	 * the wide one may only now see that there is no room for it. */
	CHECK_EQ(fl_memory_acquire(crew.conform.pool, &config, &memory, NULL),
		 0);
	if (memory)
		conform_give(memory);
	conform_give(held[1]);
	conform_give(held[2]);
	pthread_join(wide, NULL);
	fl_module_release(crew.module);
	conform_close(&crew.conform);
}

/* Many slots, few instances: the wait is for the count. */
static void waiting_for_an_instance(void)
{
	for (uint32_t instances = 1; instances <= 2; instances++) {
		struct fl_pool_config config;
		struct crew crew;

		memset(&crew, 0, sizeof(crew));
		crew.rounds = 200;
		conform_pool_config(&config);
		config.max_memories = 8;
		config.max_instances = instances;
		conform_open(&crew.conform, &config);
		crew.module = load_module(&crew.conform);
		crew_run(&crew, instance_loop, THREADS);
		CHECK_EQ(conform_info(&crew.conform).live_instances, 0);
		CHECK_EQ(conform_info(&crew.conform).live_memories, 0);
		fl_module_release(crew.module);
		conform_close(&crew.conform);
	}
}

/* Loading, imaging and letting go, each thread for itself. */
static void *module_loop(void *arg)
{
	struct crew *crew = arg;

	for (int i = 0; i < crew->rounds / 3; i++) {
		struct fl_module *module = load_module(&crew->conform);
		struct fl_instance *instance = NULL;

		CHECK_EQ(fl_instance_acquire(crew->conform.pool, module, NULL,
					     &instance, NULL),
			 0);
		fl_module_release(module);
		if (!instance)
			break;
		CHECK(!memcmp(fl_instance_memory(instance, 0)->base + 100,
			      "thread", 6));
		CHECK_EQ(fl_instance_release(instance), 0);
	}
	return NULL;
}

static void modules_from_several_threads(void)
{
	struct crew crew;

	crew_open(&crew, THREADS);
	crew_run(&crew, module_loop, THREADS);
	conform_close(&crew.conform);
}

/* --------------------------------------------------------------- exhaustion */

static void full_pool_is_an_error(void)
{
	struct fl_memory *memories[3], *none = NULL;
	struct fl_memory_config config;
	struct fl_error error = { .code = 0 };
	struct crew crew;

	crew_open(&crew, 3);
	fl_memory_config_init(&config);
	config.initial_bytes = WPAGE;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++)
			memories[i] = conform_take(&crew.conform, NULL, WPAGE);
		CHECK_EQ(fl_memory_acquire(crew.conform.pool, &config, &none,
					   &error),
			 -EAGAIN);
		CHECK_EQ(error.code, -EAGAIN);
		CHECK_HAS(error.text, "max_memories");
		CHECK(none == NULL);
		CHECK_EQ(conform_info(&crew.conform).live_memories, 3);
		conform_give(memories[1]);
		memories[1] = conform_take(&crew.conform, NULL, WPAGE);
		for (int i = 0; i < 3; i++)
			conform_give(memories[i]);
	}
	conform_close(&crew.conform);
}

static void full_pool_times_out(void)
{
	struct fl_memory *memory, *none = NULL;
	struct crew crew;
	uint64_t start, took;

	crew_open(&crew, 1);
	memory = conform_take(&crew.conform, NULL, WPAGE);
	crew.timeout_ns = 50 * MS;
	start = test_now_ns();
	CHECK_EQ(try_take(&crew, NULL, &none), -ETIMEDOUT);
	took = test_now_ns() - start;
	CHECK(took >= 49 * MS);
	CHECK(took < 20000ull * MS);
	CHECK(none == NULL);
	crew.timeout_ns = 1;
	CHECK_EQ(try_take(&crew, NULL, &none), -ETIMEDOUT);
	crew.timeout_ns = 0;
	CHECK_EQ(try_take(&crew, NULL, &none), -EAGAIN);
	conform_give(memory);
	/* Nothing of the failed ones is left in a queue. */
	for (int i = 0; i < 3; i++)
		conform_give(conform_take(&crew.conform, NULL, WPAGE));
	conform_close(&crew.conform);
}

static void instances_run_out(void)
{
	struct fl_instance *instances[3], *none = NULL;
	struct fl_instance_config config;
	struct fl_error error = { .code = 0 };
	struct fl_pool_config pool_config;
	struct conform conform;
	struct fl_module *module;

	/* More slots than instances: the count of instances decides. */
	conform_pool_config(&pool_config);
	pool_config.max_instances = 3;
	pool_config.max_memories = 8;
	conform_open(&conform, &pool_config);
	module = load_module(&conform);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(fl_instance_acquire(conform.pool, module, NULL,
					     &instances[i], NULL),
			 0);
	CHECK_EQ(fl_instance_acquire(conform.pool, module, NULL, &none, &error),
		 -EAGAIN);
	CHECK_HAS(error.text, "max_instances");
	fl_instance_config_init(&config);
	config.timeout_ns = 20 * MS;
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &none,
				     &error),
		 -ETIMEDOUT);
	CHECK_EQ(conform_info(&conform).live_instances, 3);
	CHECK_EQ(conform_info(&conform).live_memories, 3);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(fl_instance_release(instances[i]), 0);
	CHECK_EQ(fl_instance_acquire(conform.pool, module, NULL, &none, NULL),
		 0);
	CHECK_EQ(fl_instance_release(none), 0);
	fl_module_release(module);
	conform_close(&conform);
}

static void release_wakes_who_waits(void)
{
	struct fl_memory *memory;
	pthread_t threads[THREADS];
	struct crew crew;

	crew_open(&crew, 1);
	for (int round = 0; round < 5; round++) {
		atomic_store(&crew.count, 0);
		crew.timeout_ns = round % 2 ? UINT64_MAX : 30000ull * MS;
		memory = conform_take(&crew.conform, NULL, WPAGE);
		for (int i = 0; i < THREADS; i++)
			MUST_EQ(pthread_create(&threads[i], NULL, wait_for_slot,
					       &crew),
				0);
		test_sleep_ms(30);
		CHECK_EQ(atomic_load(&crew.count), 0);
		conform_give(memory);
		for (int i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		CHECK_EQ(atomic_load(&crew.count), THREADS);
	}
	conform_close(&crew.conform);
}

/* Waits that end by themselves while others release: a wake-up given to one
 * that has just given up must reach another. */
static void *impatient_loop(void *arg)
{
	struct crew *crew = arg;

	for (int i = 0; i < crew->rounds; i++) {
		struct fl_memory *memory = NULL;
		struct fl_memory_config config;
		int err;

		fl_memory_config_init(&config);
		config.initial_bytes = 2 * WPAGE;
		config.image = crew->images[i / 8 % 2];
		config.timeout_ns = (uint64_t)(i % 7) * 20000;
		err = fl_memory_acquire(crew->conform.pool, &config, &memory,
					NULL);
		if (!err) {
			memory->base[i % 100] = 1;
			err = fl_memory_release(memory);
		}
		CHECK(!err || err == -EAGAIN || err == -ETIMEDOUT);
	}
	return NULL;
}

static void *mixed_loop(void *arg)
{
	struct crew *crew = arg;
	int idx = atomic_fetch_add(&crew->next_idx, 1);

	if (idx % 2)
		return impatient_loop(crew);
	for (int i = 0; i < crew->rounds; i++) {
		struct fl_memory *memory = NULL;

		CHECK_EQ(try_take(crew, crew->images[i / 4 % 2], &memory), 0);
		if (!memory)
			break;
		memory->base[i % 100] = 1;
		CHECK_EQ(fl_memory_release(memory), 0);
	}
	return NULL;
}

static void no_wake_up_is_lost(void)
{
	for (uint32_t slots = 1; slots <= 2; slots++) {
		struct crew crew;

		crew_open(&crew, slots);
		crew.rounds = 1000;
		/* A slot may wait for the image it last held. */
		crew.images[1] = conform_image_of(&crew.conform, 2 * WPAGE,
						  WPAGE, "image", 5);
		crew_run(&crew, mixed_loop, 6);
		CHECK_EQ(conform_info(&crew.conform).live_memories, 0);
		fl_image_release(crew.images[1]);
		conform_close(&crew.conform);
	}
}

/* ------------------------------------------------------------------- growth */

#define GROW_PAGES 60

static void *grow_loop(void *arg)
{
	struct crew *crew = arg;
	uint64_t old;

	while (!fl_memory_grow(crew->memory, 1, &old)) {
		if (!CHECK(old < GROW_PAGES))
			break;
		/* Whoever got this page is the only one. */
		CHECK_EQ(__atomic_add_fetch(&crew->seen[old], 1,
					    __ATOMIC_RELAXED),
			 1);
		CHECK(fl_memory_length(crew->memory) >= (old + 1) * WPAGE);
		CHECK_EQ(crew->memory->base[old * WPAGE], 0);
		crew->memory->base[old * WPAGE] = 1;
		atomic_fetch_add(&crew->count, 1);
	}
	return NULL;
}

/* The size never shrinks, and what it covers can be used at once. */
static void *watch_loop(void *arg)
{
	struct crew *crew = arg;
	uint64_t last = 0;

	while (!atomic_load(&crew->is_over)) {
		uint64_t len = fl_memory_length(crew->memory);

		CHECK(len >= last);
		CHECK_EQ(len % WPAGE, 0);
		if (len)
			((volatile uint8_t *)crew->memory->base)[len - 1] = 1;
		last = len;
	}
	return NULL;
}

static void growth_is_serialised(void)
{
	uint8_t seen[GROW_PAGES];

	for (int round = 0; round < 10; round++) {
		struct fl_memory_config config;
		pthread_t watcher;
		struct crew crew;

		crew_open(&crew, 1);
		memset(seen, 0, sizeof(seen));
		crew.seen = seen;
		fl_memory_config_init(&config);
		config.is_shared = 1;
		config.max_bytes = GROW_PAGES * WPAGE;
		crew.memory = conform_acquire(&crew.conform, &config);
		MUST_EQ(pthread_create(&watcher, NULL, watch_loop, &crew), 0);
		crew_run(&crew, grow_loop, THREADS);
		atomic_store(&crew.is_over, true);
		pthread_join(watcher, NULL);
		CHECK_EQ(atomic_load(&crew.count), GROW_PAGES);
		CHECK_EQ(fl_memory_length(crew.memory), GROW_PAGES * WPAGE);
		conform_give(crew.memory);
		/* Shared or not, the next tenant starts clean. */
		crew.memory =
			conform_take(&crew.conform, NULL, GROW_PAGES * WPAGE);
		CHECK_EQ(conform_first_data(crew.memory->base,
					    GROW_PAGES * WPAGE),
			 GROW_PAGES * WPAGE);
		conform_give(crew.memory);
		conform_close(&crew.conform);
	}
}

/* ------------------------------------------------------------------ look-up */

static void *lookup_loop(void *arg)
{
	struct crew *crew = arg;
	uint8_t *low = crew->seen;
	uint64_t stride = conform_info(&crew->conform).memory_stride_bytes;

	while (!atomic_load(&crew->is_over)) {
		struct fl_fault fault;
		uint64_t off = atomic_fetch_add(&crew->count, 4099);

		/* Anywhere in the pool: always ours, whatever is live. */
		CHECK(fl_fault_lookup(crew->conform.context,
				      low + off % (2 * stride), &fault));
		CHECK(fault.kind != FL_FAULT_NOT_OURS);
		fl_memory_find(crew->conform.pool, low);
		fl_memory_find(crew->conform.pool, low + stride);
	}
	return NULL;
}

static void lookup_beside_acquire(void)
{
	struct fl_memory *memories[2];
	pthread_t threads[2];
	struct crew crew;

	crew_open(&crew, 2);
	for (int i = 0; i < 2; i++)
		memories[i] = conform_take(&crew.conform, NULL, WPAGE);
	crew.seen = memories[0]->base < memories[1]->base ? memories[0]->base :
							    memories[1]->base;
	for (int i = 0; i < 2; i++)
		conform_give(memories[i]);
	for (int i = 0; i < 2; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, lookup_loop, &crew),
			0);
	crew_run(&crew, tenant_loop, 2);
	atomic_store(&crew.is_over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	conform_close(&crew.conform);
}

/* Pools come and go while others are looked up. */
static void *pool_loop(void *arg)
{
	struct crew *crew = arg;

	for (int i = 0; i < 60; i++) {
		struct conform mine = { .context = crew->conform.context };
		struct fl_pool_config config;
		struct fl_memory *memory;
		struct fl_fault fault;
		uint8_t *base;

		conform_pool_config(&config);
		if (!CHECK_EQ(fl_pool_create(mine.context, &config, &mine.pool,
					     NULL),
			      0))
			break;
		memory = conform_take(&mine, NULL, WPAGE);
		base = memory->base;
		CHECK(fl_fault_lookup(mine.context, base + WPAGE, &fault));
		CHECK(fault.memory == memory);
		conform_give(memory);
		CHECK_EQ(fl_pool_destroy(mine.pool), 0);
	}
	return NULL;
}

static void pools_from_several_threads(void)
{
	struct crew crew;

	crew_open(&crew, 1);
	crew_run(&crew, pool_loop, THREADS);
	conform_close(&crew.conform);
}

static const struct test_case cases[] = {
	TEST_CASE(a_slot_for_every_thread),
	TEST_CASE(fewer_slots_than_threads),
	TEST_CASE(instances_from_several_threads),
	TEST_CASE(several_memories_for_each),
	TEST_CASE(one_slot_beside_a_wait_for_three),
	TEST_CASE(waiting_for_an_instance),
	TEST_CASE(modules_from_several_threads),
	TEST_CASE(full_pool_is_an_error),
	TEST_CASE(full_pool_times_out),
	TEST_CASE(instances_run_out),
	TEST_CASE(release_wakes_who_waits),
	TEST_CASE(no_wake_up_is_lost),
	TEST_CASE(growth_is_serialised),
	TEST_CASE(lookup_beside_acquire),
	TEST_CASE(pools_from_several_threads),
};

CONFORM_MAIN(cases)
