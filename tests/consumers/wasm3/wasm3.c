/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm3.c - guests in wasm3 on a pool's memories: the cases of run_cases.c, and
 * what cannot work is refused, and nothing is held afterwards.
 *
 * With UNITY the program is linked with wasm3 in one object, where the linker
 * wraps no call: then the one thing to see is that every load is refused.
 */
#include "tests/consumers/run_cases.h"

#include <wasm3.h>

#ifndef UNITY
static void what_cannot_work_is_refused(void)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool *small;
	struct run_scene scene;
	struct guest guest, other;
	IM3Module parsed;
	uint32_t answer;

	run_scene_open(&scene, 1);
	run_must_start(&scene.work, scene.pool, &guest);
	run_check_start_refused(scene.pool, &scene.work, -EAGAIN, "");
	/* A second memory in the runtime; the first one stays whole. */
	guest_end(&guest);
	MUST_EQ(fl_pool_destroy(scene.pool), 0);
	scene.pool = guest_pool(scene.conform.context, 2);
	run_must_start(&scene.work, scene.pool, &guest);
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
	run_must_start(&scene.start, scene.pool, &other);
	guest_end(&other);
	guest_end(&guest);

	fl_pool_config_init(&config);
	config.max_memories = 1;
	config.max_instances = 0;
	config.prefix_bytes = 24;
	CONFORM_MUST(fl_pool_create(scene.conform.context, &config, &small,
				    &error),
		     &error);
	run_check_start_refused(small, &scene.work, -ENOTSUP, "prefix_bytes");
	MUST_EQ(fl_pool_destroy(small), 0);
	run_scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(run_answers_equal_stock),
	TEST_CASE(run_traps_at_every_edge),
	TEST_CASE(run_one_after_another),
	TEST_CASE(run_two_threads),
	TEST_CASE(run_start_function_sees_the_data),
	TEST_CASE(run_clones_and_sessions),
	TEST_CASE(run_foreign_snapshots_are_refused),
	TEST_CASE(what_cannot_work_is_refused),
};
#else
static void a_bypassed_load_is_refused(void)
{
	struct fl_error error = { .text = "" };
	struct run_scene scene;
	struct guest guest;

	run_scene_open(&scene, 1);
	CHECK_EQ(guest_start(&scene.start, scene.pool, &guest, &error),
		 -ENOTSUP);
	CHECK(strstr(error.text, "do not arrive") != NULL);
	run_must_start(&scene.start, NULL, &guest);
	guest_end(&guest);
	run_scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(a_bypassed_load_is_refused),
};
#endif

CONFORM_MAIN(cases)
