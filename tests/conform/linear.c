/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * linear.c - loading, starting and table.init cost what the module is long.
 *
 * No case looks at a clock. Each does so much that a cost which is a product,
 * of segments, memories, and the length of what places them, is past the time
 * limit of a test by far: minutes where a sum takes milliseconds.
 */
#define _GNU_SOURCE
#include "runtime.h"
#include "tests/kit/random.h"

enum {
	MEMORIES = 100,
	SEGMENTS = 50000,
	STEPS = 499, /* pairs: constant and addition */
	STARTS = 50,
	ITEMS = 400000,
	INITS = 40000,
};

/* ------------------------------------------------------------------ segments */

/* Global 1 is 8 more than global 0, in as many steps as are evaluated. */
static void add_long_global(struct wasm_parts *parts)
{
	struct wasm *w;

	wasm_import_global(parts, 0x7f);
	w = wasm_add(parts, WASM_GLOBAL);
	wasm_bytes(w, 0x7f, 0, 0x41, 8);
	for (int i = 0; i < STEPS - 1; i++)
		wasm_bytes(w, 0x41, 0, 0x6a);
	wasm_bytes(w, 0x23, 0, 0x6a, 0x0b);
}

/* Segment i is empty and for the last memory, but the first one, which is a
 * byte for the first memory. */
static void add_segments(struct wasm_parts *parts)
{
	for (uint32_t i = 0; i < SEGMENTS; i++) {
		struct wasm *w = wasm_add(parts, WASM_DATA);

		if (i)
			wasm_bytes(w, 2, MEMORIES - 1);
		else
			wasm_bytes(w, 0);
		wasm_global_get(w, 1);
		if (i)
			wasm_bytes(w, 0);
		else
			wasm_bytes(w, 1, 'x');
	}
}

static void many_memories_open(struct runtime *rt)
{
	struct fl_pool_config pool;

	runtime_pool_config(&pool);
	pool.max_memories = pool.max_memories_per_instance = MEMORIES;
	runtime_open_with(rt, &pool);
	wasm_import_funcs(&rt->parts, 8);
	wasm_add_table(&rt->parts, 200, WASM_NO_MAX);
	for (int i = 0; i < MEMORIES; i++)
		wasm_add_memory(&rt->parts, 1);
}

static void check_started(struct runtime *rt)
{
	struct fl_instance *instance = runtime_start(rt);
	struct fl_memory *first = fl_instance_memory(instance, 0);

	CHECK_EQ(first->base[107], 0);
	CHECK_EQ(first->base[108], 'x');
	first->base[109] = 'y';
	runtime_stop(rt, instance);
}

static void segments_placed_by_a_long_global(void)
{
	static const uint64_t hundred = 100;
	struct fl_image_config config;
	struct runtime rt;

	many_memories_open(&rt);
	add_long_global(&rt.parts);
	add_segments(&rt.parts);
	for (uint32_t i = 0; i < SEGMENTS / 2; i++) {
		struct wasm *w = wasm_add(&rt.parts, WASM_ELEMENT);

		wasm_bytes(w, 0);
		wasm_global_get(w, 1);
		wasm_bytes(w, 0);
	}
	runtime_load(&rt);
	rt.config.imported_globals = &hundred;
	rt.config.imported_global_count = 1;
	for (int i = 0; i < STARTS; i++)
		check_started(&rt);
	/* The images one by one. */
	fl_image_config_init(&config);
	config.imported_globals = &hundred;
	config.imported_global_count = 1;
	for (uint32_t i = 0; i < MEMORIES; i++) {
		struct fl_image_info info = { .size = sizeof(info) };
		struct fl_image *image = NULL;

		CONFORM_MUST(fl_image_from_module(rt.conform.context, rt.module,
						  i, &config, &image,
						  &rt.error),
			     &rt.error);
		fl_image_info(image, &info);
		CHECK_EQ(info.data_end_bytes, i ? 0 : 109);
		CHECK_EQ(info.trap, FL_TRAP_NONE);
		fl_image_release(image);
	}
	runtime_close(&rt);
}

/* ------------------------------------------------------------------ elements */

static void add_items(struct wasm_parts *parts, bool is_expressions)
{
	unsigned int flags = WASM_ELEMENT_PASSIVE;
	struct wasm *w = wasm_add_elements(
		parts, is_expressions ? flags | WASM_ELEMENT_EXPRS : flags, 0,
		0, 0x70, ITEMS);

	for (uint32_t i = 0; i < ITEMS; i++) {
		if (is_expressions)
			wasm_ref_func(w, i % 251);
		else
			wasm_u(w, i % 251);
	}
}

static void table_init_from_far_in(void)
{
	struct test_random random;
	struct fl_instance *instance;
	struct fl_table *table;
	struct runtime rt;

	test_random_init(&random, 1);
	runtime_open(&rt);
	wasm_import_funcs(&rt.parts, 251);
	wasm_add_table(&rt.parts, 10, WASM_NO_MAX);
	add_items(&rt.parts, false);
	add_items(&rt.parts, true);
	runtime_load(&rt);
	instance = runtime_start(&rt);
	table = fl_instance_table(instance, 0);
	for (uint32_t i = 0; i < INITS; i++) {
		uint32_t from = ITEMS / 2 +
				(uint32_t)test_random_below(&random, ITEMS / 2);
		struct fl_element e[1];

		CHECK_EQ(fl_table_init(instance, 0, i % 2, i % 10, from, 1),
			 FL_TRAP_NONE);
		CHECK_EQ(element_at(table, i % 10), FUNC(from % 251));
		CHECK_EQ(fl_module_read_elements(rt.module, i % 2, from, 1, e),
			 0);
		CHECK_EQ(e->idx, from % 251);
	}
	runtime_stop(&rt, instance);
	runtime_close(&rt);
}

static const struct test_case cases[] = {
	TEST_CASE(segments_placed_by_a_long_global),
	TEST_CASE(table_init_from_far_in),
};

CONFORM_MAIN(cases)
