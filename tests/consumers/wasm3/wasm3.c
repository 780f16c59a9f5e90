/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm3.c - guests in wasm3 on a pool's memories do what they do on wasm3's own:
 * the same answers, sizes and traps, whoever had the memory before. What cannot
 * work is refused, and nothing is held afterwards.
 *
 * With UNITY the program is linked with wasm3 in one object, where the linker
 * wraps no call: then the one thing to see is that every load is refused.
 */
#include "runtime.h"
#include "tests/kit/conform.h"
#include "tests/kit/random.h"

#include <pthread.h>
#include <stdlib.h>
#include <wasm3.h>

#define DATA_END 2097152u

struct scene {
	struct conform conform;
	struct guest_module work, start;
	struct fl_pool *pool;
};

static void scene_open(struct scene *scene, uint32_t slots)
{
	conform_open(&scene->conform, NULL);
	guest_module_open(&scene->work, scene->conform.context, "work");
	guest_module_open(&scene->start, scene->conform.context, "start");
	scene->pool = guest_pool(scene->conform.context, slots);
}

static void scene_close(struct scene *scene)
{
	struct fl_pool_info info = { .size = sizeof(info) };

	fl_pool_info(scene->pool, &info);
	CHECK_EQ(info.live_memories, 0);
	CHECK_EQ(info.retired_memories, 0);
	MUST_EQ(fl_pool_destroy(scene->pool), 0);
	guest_module_close(&scene->start);
	guest_module_close(&scene->work);
	conform_close(&scene->conform);
}

static void must_start(const struct guest_module *module, struct fl_pool *pool,
		       struct guest *guest)
{
	struct fl_error error = { .text = "" };

	CONFORM_MUST(guest_start(module, pool, guest, &error), &error);
}

#ifndef UNITY
static void check_start_refused(struct fl_pool *pool,
				const struct guest_module *module, int err,
				const char *words)
{
	struct fl_error error = { .text = "" };
	struct guest guest;

	CHECK_EQ(guest_start(module, pool, &guest, &error), err);
	CHECK(strstr(error.text, words) != NULL);
}

static const char *const names[] = {
	"sum", "touch", "grow", "size", "load", "store", "count",
};

/* A number that fits the function, now and then one that traps. */
static uint32_t random_arg(struct test_random *random, const char *name)
{
	if (!strcmp(name, "sum"))
		return (uint32_t)test_random_below(random, DATA_END / 256) *
		       256;
	if (!strcmp(name, "touch"))
		return (uint32_t)test_random_below(random, 1100);
	if (!strcmp(name, "grow"))
		return (uint32_t)test_random_below(random, 12);
	if (!strcmp(name, "load") || !strcmp(name, "store"))
		return (uint32_t)test_random_below(random, 100 * 65536);
	return 0;
}

/* Both guests do the same; both memories are the same afterwards. */
static void play(struct scene *scene, struct test_random *random)
{
	struct guest pooled, stock;
	uint32_t pooled_length, stock_length;

	must_start(&scene->work, scene->pool, &pooled);
	must_start(&scene->work, NULL, &stock);
	for (int i = 0; i < 12 && !test_has_failed(); i++) {
		const char *name = names[test_random_below(
			random, TEST_ARRAY_SIZE(names))];
		uint32_t arg = random_arg(random, name);
		uint32_t a = 0, b = 0;
		const char *trap = guest_call(&pooled, name, arg, &a);

		CHECK(trap == guest_call(&stock, name, arg, &b));
		CHECK_EQ(a, b);
	}
	CHECK(guest_memory(&pooled, &pooled_length) != NULL);
	CHECK(guest_memory(&stock, &stock_length) != NULL);
	CHECK_EQ(pooled_length, stock_length);
	CHECK_EQ(fl_memory_length(fl_wasm3_memory(pooled.runtime)),
		 stock_length);
	CHECK(!memcmp(guest_memory(&pooled, NULL), guest_memory(&stock, NULL),
		      stock_length));
	guest_end(&pooled);
	guest_end(&stock);
}

static void answers_equal_stock(void)
{
	struct test_random random;
	struct scene scene;

	test_random_init(&random, 3);
	scene_open(&scene, 2);
	for (int i = 0; i < 60 && !test_has_failed(); i++)
		play(&scene, &random);
	scene_close(&scene);
}

static void traps_at_every_edge(void)
{
	struct scene scene;
	struct guest guest;
	uint32_t answer, size = WASM3_WPAGES;

	scene_open(&scene, 1);
	must_start(&scene.work, scene.pool, &guest);
	for (; size <= 80; size += 8) {
		CHECK(!guest_call(&guest, "store", size * 65536 - 4, &answer));
		for (uint32_t over = 3; over; over--)
			CHECK(guest_call(&guest, "store", size * 65536 - over,
					 &answer) ==
			      m3Err_trapOutOfBoundsMemoryAccess);
		CHECK(guest_call(&guest, "load", size * 65536, &answer) ==
		      m3Err_trapOutOfBoundsMemoryAccess);
		if (size < 80)
			CHECK(!guest_call(&guest, "grow", 8, &answer));
	}
	guest_end(&guest);
	scene_close(&scene);
}

/* Guests that come and go: many on the rung that is there for that. */
static int many(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return 500;
#else
	return strcmp(test_rung->name, "linux") ? 500 : 100000;
#endif
}

static void one_after_another(void)
{
	uint32_t first = 0, answer = 0;
	struct scene scene;
	struct guest guest;

	scene_open(&scene, 1);
	for (int i = 0; i < many() && !test_has_failed(); i++) {
		must_start(&scene.work, scene.pool, &guest);
		CHECK(!guest_call(&guest, "touch", 16, &answer));
		CHECK_EQ(answer, i ? first : answer);
		first = answer;
		if (i % 1000 == 0) {
			CHECK(!guest_call(&guest, "grow", 3, &answer));
			CHECK_EQ(answer, WASM3_WPAGES);
		}
		guest_end(&guest);
	}
	scene_close(&scene);
}

static void *come_and_go(void *arg)
{
	struct scene *scene = arg;
	uint32_t answer = 0;

	for (int i = 0; i < many() / 5; i++) {
		struct guest guest;

		must_start(&scene->work, scene->pool, &guest);
		if (guest_call(&guest, "touch", 20, &answer))
			abort();
		guest_end(&guest);
	}
	return (void *)(uintptr_t)answer;
}

static void two_threads(void)
{
	pthread_t threads[2];
	void *answers[2];
	struct scene scene;

	scene_open(&scene, 2);
	for (int i = 0; i < 2; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, come_and_go, &scene),
			0);
	for (int i = 0; i < 2; i++)
		MUST_EQ(pthread_join(threads[i], &answers[i]), 0);
	CHECK(answers[0] == answers[1]);
	scene_close(&scene);
}

static void start_function_sees_the_data(void)
{
	struct scene scene;
	struct guest guest;
	uint32_t answer = 0;

	scene_open(&scene, 1);
	must_start(&scene.start, scene.pool, &guest);
	CHECK(!guest_call(&guest, "size", 0, &answer));
	CHECK_EQ(answer, 42);
	guest_end(&guest);
	scene_close(&scene);
}

static void what_cannot_work_is_refused(void)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool *small;
	struct scene scene;
	struct guest guest, other;
	IM3Module parsed;
	uint32_t answer;

	scene_open(&scene, 1);
	must_start(&scene.work, scene.pool, &guest);
	check_start_refused(scene.pool, &scene.work, -EAGAIN, "");
	/* A second memory in the runtime; the first one stays whole. */
	guest_end(&guest);
	MUST_EQ(fl_pool_destroy(scene.pool), 0);
	scene.pool = guest_pool(scene.conform.context, 2);
	must_start(&scene.work, scene.pool, &guest);
	CHECK(!guest_call(&guest, "store", 70000, &answer));
	MUST(!m3_ParseModule(guest.env, &parsed, scene.start.free,
			     (uint32_t)scene.start.free_bytes));
	CHECK_EQ(fl_wasm3_load(scene.pool, scene.start.module, guest.runtime,
			       parsed, NULL, &error),
		 -EINVAL);
	CHECK(strstr(error.text, "has a memory already") != NULL);
	m3_FreeModule(parsed);
	CHECK(!guest_call(&guest, "load", 70000, &answer));
	CHECK_EQ(answer, 0x5aa5);
	must_start(&scene.start, scene.pool, &other);
	guest_end(&other);
	guest_end(&guest);

	fl_pool_config_init(&config);
	config.max_memories = 1;
	config.max_instances = 0;
	config.prefix_bytes = 24;
	CONFORM_MUST(fl_pool_create(scene.conform.context, &config, &small,
				    &error),
		     &error);
	check_start_refused(small, &scene.work, -ENOTSUP,
			    "prefix_bytes");
	MUST_EQ(fl_pool_destroy(small), 0);
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(answers_equal_stock),
	TEST_CASE(traps_at_every_edge),
	TEST_CASE(one_after_another),
	TEST_CASE(two_threads),
	TEST_CASE(start_function_sees_the_data),
	TEST_CASE(what_cannot_work_is_refused),
};
#else
static void a_bypassed_load_is_refused(void)
{
	struct fl_error error = { .text = "" };
	struct scene scene;
	struct guest guest;

	scene_open(&scene, 1);
	CHECK_EQ(guest_start(&scene.start, scene.pool, &guest, &error),
		 -ENOTSUP);
	CHECK(strstr(error.text, "do not arrive") != NULL);
	must_start(&scene.start, NULL, &guest);
	guest_end(&guest);
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(a_bypassed_load_is_refused),
};
#endif

CONFORM_MAIN(cases)
