/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * limits.c - what one tenant may have: of each memory, of each table, of all
 * together, and what its runtime lets it have.
 */
#define _GNU_SOURCE
#include "runtime.h"
#include "tests/kit/random.h"

#include <pthread.h>

/* Two memories of 1 and 2 pages up to 6, two tables of 10 and 20 elements, and
 * a pool with room for more. */
static void limits_open(struct runtime *rt)
{
	struct fl_pool_config pool;
	struct wasm *w;

	runtime_pool_config(&pool);
	pool.max_memories = 4;
	pool.max_memories_per_instance = 2;
	pool.max_memory_bytes = 8 * WPAGE;
	pool.memory_stride_bytes = 0;
	runtime_open_with(rt, &pool);
	for (unsigned int i = 1; i <= 2; i++) {
		w = wasm_add(&rt->parts, WASM_MEMORY);
		wasm_limits(w, 1, i, 6);
		wasm_add_table(&rt->parts, 10 * i, 900);
	}
	runtime_load(rt);
}

static void each_memory_and_table_ends_at_its_limit(void)
{
	struct fl_instance *instance;
	struct fl_fault fault;
	struct fl_memory *memory;
	struct fl_table *table;
	struct runtime rt;
	uint64_t old = 0;

	limits_open(&rt);
	rt.config.max_memory_bytes = 3 * WPAGE + 5;
	rt.config.max_table_elements = 25;
	instance = runtime_start(&rt);
	for (uint32_t i = 0; i < 2; i++) {
		memory = fl_instance_memory(instance, i);
		CHECK_EQ(fl_memory_grow(memory, 3 - i, NULL), -E2BIG);
		CHECK_EQ(fl_memory_grow(memory, 2 - i, &old), 0);
		CHECK_EQ(old, 1 + i);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), -E2BIG);
		CHECK_EQ(memory->length_bytes, 3 * WPAGE);
		/* The fault lookup knows the size and not the limit. */
		CHECK_EQ(fl_fault_lookup(rt.conform.context,
					 memory->base + 3 * WPAGE, &fault),
			 1);
		CHECK_EQ(fault.kind, FL_FAULT_OUT_OF_BOUNDS);
		table = fl_instance_table(instance, i);
		CHECK_EQ(fl_table_grow(table, 16 - 10 * i, NULL, NULL), -E2BIG);
		CHECK_EQ(fl_table_grow(table, 15 - 10 * i, NULL, &old), 0);
		CHECK_EQ(old, 10 + 10 * i);
		CHECK_EQ(fl_table_grow(table, 1, NULL, NULL), -E2BIG);
	}
	runtime_stop(&rt, instance);
	/* The slots' next tenant has no limit of the last one's. */
	rt.config.max_memory_bytes = rt.config.max_table_elements = UINT64_MAX;
	instance = runtime_start(&rt);
	CHECK_EQ(fl_memory_grow(fl_instance_memory(instance, 0), 5, NULL), 0);
	CHECK_EQ(fl_table_grow(fl_instance_table(instance, 0), 890, NULL, NULL),
		 0);
	runtime_stop(&rt, instance);
	runtime_close(&rt);
}

static void check_named(const struct fl_memory *memory, uint64_t delta_pages,
			const char *words)
{
	struct fl_error error = { .text = "" };

	CHECK_EQ(fl_memory_check_growth(memory, delta_pages, &error),
		 words ? -E2BIG : 0);
	CHECK(!words || strstr(error.text, words) != NULL);
}

static void the_limit_in_the_way_is_named(void)
{
	struct fl_instance *instance;
	struct fl_memory *memory;
	struct runtime rt;

	limits_open(&rt);
	instance = runtime_start(&rt);
	memory = fl_instance_memory(instance, 0);
	check_named(memory, 5, NULL);
	check_named(memory, 6, "the maximum of the memory's type");
	check_named(memory, 8, "max_memory_bytes of fl_pool_config");
	runtime_stop(&rt, instance);
	rt.config.max_memory_bytes = 3 * WPAGE + 5;
	rt.config.max_total_bytes = 4 * WPAGE + 30 * 8;
	instance = runtime_start(&rt);
	memory = fl_instance_memory(instance, 0);
	check_named(memory, 1, NULL);
	check_named(memory, 2, "max_total_bytes of fl_instance_config");
	check_named(memory, 3, "max_memory_bytes of fl_instance_config");
	check_named(memory, 6, "the maximum of the memory's type");
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
	check_named(memory, 1, "max_total_bytes of fl_instance_config");
	runtime_stop(&rt, instance);
	runtime_close(&rt);
}

static void what_starts_beyond_a_limit_is_refused(void)
{
	struct runtime rt;

	limits_open(&rt);
	rt.config.max_memory_bytes = 2 * WPAGE - 1;
	runtime_fails(&rt, -E2BIG);
	CHECK(strstr(rt.error.text, "max_memory_bytes") != NULL);
	rt.config.max_memory_bytes = 2 * WPAGE;
	rt.config.max_table_elements = 19;
	runtime_fails(&rt, -E2BIG);
	CHECK(strstr(rt.error.text, "max_table_elements") != NULL);
	rt.config.max_table_elements = 20;
	rt.config.max_total_bytes = 3 * WPAGE + 30 * 8 - 1;
	runtime_fails(&rt, -E2BIG);
	CHECK(strstr(rt.error.text, "max_total_bytes") != NULL);
	rt.config.max_total_bytes++;
	runtime_stop(&rt, runtime_start(&rt));
	runtime_close(&rt);
}

/* ------------------------------------------------------------- the runtime */

struct judge {
	struct runtime rt; /* first: user of its calls */
	uint64_t asked, total;
	bool refuses;
};

static int judge_growth(void *user, struct fl_instance *instance,
			const struct fl_growth *growth)
{
	struct judge *judge = user;

	CHECK(fl_instance_user(instance) == user);
	CHECK((growth->memory == NULL) != (growth->table == NULL));
	CHECK(growth->new_bytes > growth->old_bytes);
	if (growth->memory)
		CHECK_EQ(growth->memory->length_bytes, growth->old_bytes);
	judge->asked++;
	judge->total = growth->total_bytes;
	return judge->refuses;
}

/* What the limits say, in the plainest way. */
struct counted {
	uint64_t memories[2], tables[2]; /* pages, elements */
};

static uint64_t counted_bytes(const struct counted *c)
{
	return (c->memories[0] + c->memories[1]) * WPAGE +
	       (c->tables[0] + c->tables[1]) * 8;
}

static void grow_one(struct judge *judge, struct fl_instance *instance,
		     struct counted *model, struct test_random *random)
{
	const struct fl_instance_config *config = &judge->rt.config;
	uint32_t idx = (uint32_t)test_random_below(random, 2);
	bool is_table = test_random_below(random, 2);
	uint64_t delta = test_random_below(random, is_table ? 300 : 4);
	struct counted then = *model;
	uint64_t asked = judge->asked;
	bool fits;
	int err;

	judge->refuses = !test_random_below(random, 4);
	if (is_table) {
		then.tables[idx] += delta;
		fits = then.tables[idx] <= 900 &&
		       then.tables[idx] <= config->max_table_elements;
		err = fl_table_grow(fl_instance_table(instance, idx), delta,
				    NULL, NULL);
	} else {
		then.memories[idx] += delta;
		fits = then.memories[idx] <= 6 &&
		       then.memories[idx] * WPAGE <= config->max_memory_bytes;
		err = fl_memory_grow(fl_instance_memory(instance, idx), delta,
				     NULL);
	}
	fits = fits && counted_bytes(&then) <= config->max_total_bytes;
	CHECK_EQ(judge->asked - asked, fits && delta);
	CHECK_EQ(err, fits && !(delta && judge->refuses) ? 0 : -E2BIG);
	if (fits && delta)
		CHECK_EQ(judge->total, counted_bytes(&then));
	if (!err)
		*model = then;
	CHECK_EQ(fl_instance_memory(instance, idx)->length_bytes,
		 model->memories[idx] * WPAGE);
	CHECK_EQ(fl_instance_table(instance, idx)->length, model->tables[idx]);
}

static void random_growth_keeps_the_limits(void)
{
	static const struct counted start = { { 1, 2 }, { 10, 20 } };
	struct test_random random;
	struct judge judge = { .refuses = false };

	test_random_init(&random, 3);
	limits_open(&judge.rt);
	judge.rt.config.may_grow = judge_growth;
	for (int i = 0; i < 200; i++) {
		struct fl_instance_config *config = &judge.rt.config;
		struct fl_instance *instance;
		struct counted model = start;

		config->max_memory_bytes =
			WPAGE * (2 + test_random_below(&random, 6));
		config->max_table_elements =
			20 + test_random_below(&random, 1000);
		config->max_total_bytes =
			counted_bytes(&start) +
			test_random_below(&random, 12 * WPAGE);
		instance = runtime_start(&judge.rt);
		for (int k = 0; k < 12; k++)
			grow_one(&judge, instance, &model, &random);
		/* Reset in place, the tenant has what it began with. */
		CHECK_EQ(fl_instance_reset(instance, config, NULL), 0);
		model = start;
		for (int k = 0; k < 6; k++)
			grow_one(&judge, instance, &model, &random);
		runtime_stop(&judge.rt, instance);
	}
	CHECK(judge.asked > 0);
	runtime_close(&judge.rt);
}

/* ------------------------------------------------------------- two threads */

static void *grow_by_ones(void *arg)
{
	struct fl_memory *memory = arg;
	uintptr_t grown = 0;

	for (int i = 0; i < 100; i++)
		grown += !fl_memory_grow(memory, 1, NULL);
	return (void *)grown;
}

/* Of nine pages that both ask for, four are left: each time all four are had. */
static void two_threads_share_the_total(void)
{
	struct runtime rt;

	limits_open(&rt);
	rt.config.max_total_bytes = 7 * WPAGE + 30 * 8;
	for (int i = 0; i < 50; i++) {
		struct fl_instance *instance = runtime_start(&rt);
		pthread_t threads[2];
		uintptr_t total = 0;

		for (uint32_t t = 0; t < 2; t++)
			MUST_EQ(pthread_create(&threads[t], NULL, grow_by_ones,
					       fl_instance_memory(instance, t)),
				0);
		for (int t = 0; t < 2; t++) {
			void *grown = NULL;

			MUST_EQ(pthread_join(threads[t], &grown), 0);
			total += (uintptr_t)grown;
		}
		CHECK_EQ(total, 4);
		runtime_stop(&rt, instance);
	}
	runtime_close(&rt);
}

static const struct test_case cases[] = {
	TEST_CASE(each_memory_and_table_ends_at_its_limit),
	TEST_CASE(the_limit_in_the_way_is_named),
	TEST_CASE(what_starts_beyond_a_limit_is_refused),
	TEST_CASE(random_growth_keeps_the_limits),
	TEST_CASE(two_threads_share_the_total),
};

CONFORM_MAIN(cases)
