/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wamr.c - guests in WAMR on a pool's memories: the cases of run_cases.c, WAMR's
 * own heap in such a memory, modules that are loaded whole; and what cannot work
 * is refused, and nothing is held afterwards.
 */
#include "tests/consumers/run_cases.h"

#include <stdlib.h>

#define DATA_AT 100
#define DATA 42

static struct fl_wamr_module *must_load(struct run_scene *scene,
					const char *name)
{
	struct fl_error error = { .text = "" };
	struct fl_wamr_module *module;
	uint64_t length;
	uint8_t *bytes = wamr_bytes(name, &length);

	CONFORM_MUST(fl_wamr_load(scene->conform.context, bytes, length,
				  &module, &error),
		     &error);
	free(bytes);
	return module;
}

static void check_load_refused(struct run_scene *scene, const char *name,
			       int err, const char *words)
{
	struct fl_error error = { .text = "" };
	struct fl_wamr_module *module;
	uint64_t length;
	uint8_t *bytes = wamr_bytes(name, &length);

	CHECK_EQ(fl_wamr_load(scene->conform.context, bytes, length, &module,
			      &error),
		 err);
	CHECK(module == NULL);
	CHECK(strstr(error.text, words) != NULL);
	free(bytes);
}

static uint32_t must_call(struct guest *guest, const char *name, uint32_t arg)
{
	uint32_t answer = 0;

	MUST(!guest_call(guest, name, arg, &answer));
	return answer;
}

static void a_full_pool_fails_the_hook(void)
{
	struct fl_error error = { .text = "" };
	struct run_scene scene;
	struct guest guest;

	run_scene_open(&scene, 1);
	run_must_start(&scene.work, scene.pool, &guest);
	run_check_start_refused(scene.pool, &scene.work, -EAGAIN,
				fl_wamr_last_error());
	CHECK(fl_wamr_last_error()[0] != '\0');
	CHECK_EQ(fl_wamr_use(NULL, &error), -EBUSY);
	guest_end(&guest);
	run_must_start(&scene.work, scene.pool, &guest);
	guest_end(&guest);
	run_scene_close(&scene);
}

/* A pool need only outlive its instances. */
static void a_pool_that_went_is_not_asked(void)
{
	struct fl_error error = { .text = "" };
	struct run_scene scene;

	run_scene_open(&scene, 1);
	CHECK_EQ(fl_pool_destroy(scene.pool), 0);
	scene.pool = guest_pool(scene.conform.context, 1);
	CHECK_EQ(fl_wamr_use(scene.pool, &error), 0);
	run_scene_close(&scene);
}

static void what_nobody_announced_is_refused(void)
{
	struct run_scene scene;
	char words[128] = "";

	run_scene_open(&scene, 1);
	CHECK(!wasm_runtime_instantiate(scene.work.pooled->loaded, 8192, 0,
					words, sizeof(words)));
	CHECK(strstr(words, "allocate memory failed") != NULL);
	CHECK(strstr(fl_wamr_last_error(), "nobody announced") != NULL);
	run_scene_close(&scene);
}

static void a_wamr_that_was_set_up_otherwise_is_refused(void)
{
	int byte;

	CHECK(!fl_wamr_malloc(4096, NULL, 0));
	CHECK(strstr(fl_wamr_last_error(), "WITH_USAGE") != NULL);
	CHECK(!fl_wamr_malloc(0, &byte, 64));
	CHECK(!fl_wamr_realloc(0, false, &byte, NULL, 64));
}

/* What newer versions allocate through the hook beside memories. */
static void all_else_comes_from_malloc(void)
{
	uint8_t *bytes = fl_wamr_malloc(0, NULL, 16);

	MUST(bytes != NULL);
	bytes[15] = 7;
	bytes = fl_wamr_realloc(0, false, NULL, bytes, 4096);
	MUST(bytes != NULL);
	CHECK_EQ(bytes[15], 7);
	fl_wamr_free(0, NULL, bytes);
	fl_wamr_free(0, NULL, NULL);
}

static void the_pool_ends_growth_in_words(void)
{
	struct run_scene scene;
	struct fl_wamr_module *module;
	struct guest guest;

	run_scene_open(&scene, 1);
	module = must_load(&scene, "open");
	MUST_EQ(wamr_guest_start(module, NULL, &guest, NULL), 0);
	CHECK_EQ(must_call(&guest, "grow", 127), 1);
	CHECK_EQ(must_call(&guest, "grow", 1), UINT32_MAX);
	CHECK(strstr(fl_wamr_last_error(),
		     "at 8388608 bytes; raise max_memory_bytes") != NULL);
	CHECK_EQ(must_call(&guest, "load", DATA_AT), DATA);
	CHECK_EQ(must_call(&guest, "load", 127 * 65536), 0);
	guest_end(&guest);
	fl_wamr_release(module);
	run_scene_close(&scene);
}

/* WAMR puts its heap into the memory, and keeps a struct of its own there. */
static void a_heap_goes_along(void)
{
	struct fl_wamr_config config = { .size = sizeof(config),
					 .stack_bytes = 8192,
					 .heap_bytes = 100000 };
	struct run_scene scene;
	struct guest guest;
	uint32_t sum, at;
	void *native;

	run_scene_open(&scene, 1);
	run_must_start(&scene.work, NULL, &guest);
	sum = must_call(&guest, "sum", 1024);
	guest_end(&guest);
	for (int i = 0; i < 3; i++) {
		MUST_EQ(wamr_guest_start(scene.work.pooled, &config, &guest,
					 NULL),
			0);
		CHECK(fl_memory_length(fl_wamr_memory(guest.instance)) >
		      RUN_WPAGES * 65536);
		at = wasm_runtime_module_malloc(guest.instance, 50000, &native);
		CHECK(at >= RUN_WPAGES * 65536);
		memset(native, 0xee, 50000);
		CHECK_EQ(must_call(&guest, "sum", 1024), sum);
		must_call(&guest, "grow", 2);
		CHECK_EQ(must_call(&guest, "load", at + 49996), 0xeeeeeeee);
		wasm_runtime_module_free(guest.instance, at);
		guest_end(&guest);
	}
	run_scene_close(&scene);
}

/* A guest that begins where another one stood. */
static void another_image_takes_the_place(void)
{
	struct fl_wamr_config config = { .size = sizeof(config) };
	struct fl_error error = { .text = "" };
	struct run_scene scene;
	struct guest guest;

	run_scene_open(&scene, 1);
	run_must_start(&scene.work, scene.pool, &guest);
	must_call(&guest, "store", 70000);
	CONFORM_MUST(fl_image_from_memory(guest_handle(&guest), NULL,
					  &config.image, &error),
		     &error);
	guest_end(&guest);
	for (int i = 0; i < 2; i++) {
		MUST_EQ(wamr_guest_start(scene.work.pooled, &config, &guest,
					 NULL),
			0);
		CHECK_EQ(must_call(&guest, "load", 70000), 0x5aa5);
		guest_end(&guest);
	}
	fl_image_release(config.image);
	run_must_start(&scene.work, scene.pool, &guest);
	CHECK(must_call(&guest, "load", 70000) != 0x5aa5);
	guest_end(&guest);
	run_scene_close(&scene);
}

static void whole_modules_get_zeroes(void)
{
	struct fl_wamr_config config = { .size = sizeof(config) };
	struct run_scene scene;
	struct fl_wamr_module *module;
	struct guest guest;

	run_scene_open(&scene, 1);
	CHECK(scene.work.pooled->whole_reason == NULL);
	module = must_load(&scene, "imported");
	CHECK(strstr(module->whole_reason, "imports") != NULL);
	for (int i = 0; i < 2; i++) {
		MUST_EQ(wamr_guest_start(module, NULL, &guest, NULL), 0);
		CHECK(fl_wamr_memory(guest.instance) != NULL);
		CHECK_EQ(must_call(&guest, "load", DATA_AT), DATA);
		guest_end(&guest);
	}
	config.image = fl_module_image(scene.work.pooled->module, 0);
	CHECK_EQ(wamr_guest_start(module, &config, &guest, NULL), -EINVAL);
	fl_wamr_release(module);
	module = must_load(&scene, "none");
	MUST_EQ(wamr_guest_start(module, NULL, &guest, NULL), 0);
	CHECK(fl_wamr_memory(guest.instance) == NULL);
	guest_end(&guest);
	fl_wamr_release(module);
	run_scene_close(&scene);
}

static void a_start_function_that_traps_holds_nothing(void)
{
	struct fl_error error = { .text = "" };
	struct run_scene scene;
	struct fl_wamr_module *module;
	struct guest guest;

	run_scene_open(&scene, 1);
	module = must_load(&scene, "trapping");
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(wamr_guest_start(module, NULL, &guest, &error),
			 -EINVAL);
		CHECK(strstr(error.text, "unreachable") != NULL);
	}
	fl_wamr_release(module);
	run_scene_close(&scene);
}

static void what_cannot_work_is_refused(void)
{
	struct fl_error error = { .text = "" };
	struct fl_wamr_module *module;
	struct run_scene scene;

	run_scene_open(&scene, 1);
	check_load_refused(&scene, "shared", -ENOTSUP, "shared");
	check_load_refused(&scene, "wide", -ENOTSUP, "64-bit");
	CHECK_EQ(fl_wamr_load(scene.conform.context, "\0aot\4\0\0", 8, &module,
			      &error),
		 -ENOTSUP);
	CHECK(strstr(error.text, "ahead of time") != NULL);
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
	TEST_CASE(a_full_pool_fails_the_hook),
	TEST_CASE(a_pool_that_went_is_not_asked),
	TEST_CASE(what_nobody_announced_is_refused),
	TEST_CASE(a_wamr_that_was_set_up_otherwise_is_refused),
	TEST_CASE(all_else_comes_from_malloc),
	TEST_CASE(the_pool_ends_growth_in_words),
	TEST_CASE(a_heap_goes_along),
	TEST_CASE(another_image_takes_the_place),
	TEST_CASE(whole_modules_get_zeroes),
	TEST_CASE(a_start_function_that_traps_holds_nothing),
	TEST_CASE(what_cannot_work_is_refused),
};

CONFORM_MAIN(cases)
