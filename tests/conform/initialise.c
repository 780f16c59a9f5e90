/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * initialise.c - instantiation in the order of the specification: table
 * initialisers, element segments, data segments; what is left after it trapped;
 * table.init and elem.drop; tables that are imported or begin as an image; and
 * the two halves that a runtime may call apart.
 */
#define _GNU_SOURCE
#include "runtime.h"

#include "tests/kit/child.h"

/* -------------------------------------------------------------------- order */

/* Segments apply in order, and a null wins like anything else. */
static void check_segments_in_order(struct runtime *rt)
{
	struct fl_instance *instance = runtime_start(rt);
	struct fl_table *table = fl_instance_table(instance, 0);

	CHECK_TABLE(table, FUNC(0), FUNC(4), NONE, NONE, NONE, NONE);
	CHECK_TABLE(fl_instance_table(instance, 1), FUNC(5), FUNC(6), FUNC(7));
	CHECK(!fl_instance_table(instance, 2));
	CHECK(!fl_instance_table(instance, NONE));
	CHECK_EQ(rt->live, 5);
	CHECK(rt->instance == instance);
	CHECK_EQ(fl_table_grow(table, 94, table->base, NULL), 0);
	CHECK_EQ(fl_table_grow(table, 1, NULL, NULL), -E2BIG);
	CHECK_EQ(rt->live, 99);
	CHECK_EQ(fl_table_release(table), -EINVAL);
	CHECK_EQ(rt->live, 99);
	runtime_stop(rt, instance);
}

static void segments_in_order(void)
{
	static const enum fl_allocation allocations[] = {
		FL_ALLOCATION_POOLING, FL_ALLOCATION_ON_DEMAND
	};
	struct runtime rt;

	for (int k = 0; k < 2; k++) {
		runtime_open_as(&rt, allocations[k]);
		wasm_import_funcs(&rt.parts, 9);
		wasm_add_table(&rt.parts, 6, 100);
		wasm_add_table(&rt.parts, 3, WASM_NO_MAX);
		wasm_add_funcs(&rt.parts, 0, 0, 0, 4);
		wasm_add_funcs(&rt.parts, 1, 0, 5, 3);
		wasm_add_func_and_null(&rt.parts, 2, 8);
		wasm_add_funcs(&rt.parts, 0, 6, 0, 0);
		wasm_add_func_and_null(&rt.parts, 1, 4);
		runtime_load(&rt);
		for (int i = 0; i < 10; i++)
			check_segments_in_order(&rt);
		runtime_close(&rt);
	}
}

/* -------------------------------------------------------------------- traps */

/* With 9 functions, and a table of 4 elements, to import. */
static void open_importing_table(struct runtime *rt)
{
	runtime_open(rt);
	wasm_import_funcs(&rt->parts, 9);
	runtime_import_table(rt, 4);
}

/* Elements first: the one that does not fit ends it before any data. */
static void element_segment_out_of_bounds(void)
{
	struct runtime rt;

	open_importing_table(&rt);
	runtime_import_memory(&rt);
	wasm_add_table(&rt.parts, 1, 1);
	wasm_add_funcs(&rt.parts, 0, 1, 2, 2);
	wasm_add_funcs(&rt.parts, 0, 2, 5, 3);
	wasm_add_funcs(&rt.parts, 0, 0, 8, 1);
	wasm_add_data(&rt.parts, 0, "never");
	runtime_load(&rt);
	rt.config.fills_imports = 1;
	for (int i = 0; i < 5; i++) {
		runtime_traps(&rt, TABLE_OOB);
		CHECK_TABLE(rt.table, NONE, FUNC(2), FUNC(3), NONE);
		conform_check_zero(rt.memory);
		CHECK_EQ(conform_info(&rt.conform).live_tables, 0);
		CHECK_EQ(conform_info(&rt.conform).live_instances, 0);
	}
	runtime_close(&rt);
}

/* A data segment that does not fit, after all elements. */
static void data_segment_out_of_bounds(void)
{
	struct runtime rt;

	open_importing_table(&rt);
	runtime_import_memory(&rt);
	wasm_add_memory(&rt.parts, 1);
	wasm_add_funcs(&rt.parts, 0, 2, 5, 2);
	wasm_add_data(&rt.parts, 3, "first");
	wasm_add_data(&rt.parts, 65534, "beyond");
	wasm_add_data(&rt.parts, 100, "never");
	runtime_load(&rt);
	rt.config.fills_imports = 1;
	runtime_traps(&rt, OOB);
	CHECK_TABLE(rt.table, NONE, NONE, FUNC(5), FUNC(6));
	check_text(rt.memory, 3, "first");
	CHECK_EQ(conform_first_data(rt.memory->base + 8, WPAGE - 8), WPAGE - 8);
	CHECK_EQ(conform_info(&rt.conform).live_memories, 1);
	CHECK_EQ(conform_info(&rt.conform).live_instances, 0);
	runtime_close(&rt);
}

/* The same for a memory of the instance's own, whose image ends in the trap:
 * the elements are there all the same. */
static void image_that_traps_comes_after_elements(void)
{
	struct fl_module_info info = { .size = sizeof(info) };
	struct runtime rt;

	open_importing_table(&rt);
	wasm_add_memory(&rt.parts, 1);
	wasm_add_funcs(&rt.parts, 0, 2, 5, 2);
	wasm_add_data(&rt.parts, 65534, "beyond");
	runtime_load(&rt);
	fl_module_info(rt.module, &info);
	CHECK_HAS(info.segmented_reason, "out of bounds");
	runtime_traps(&rt, OOB);
	CHECK_TABLE(rt.table, NONE, NONE, FUNC(5), FUNC(6));
	check_nothing_is_held(&rt.conform);
	runtime_close(&rt);
}

/* An imported memory that is used as it is and too small for the data traps
 * in its turn, after the elements, and not when it is allocated. */
static void unfilled_import_traps_after_elements(void)
{
	struct fl_instance *instance;
	struct runtime rt;

	open_importing_table(&rt);
	runtime_import_memory(&rt);
	wasm_add_funcs(&rt.parts, 0, 2, 5, 2);
	wasm_add_data(&rt.parts, 65534, "beyond");
	runtime_load(&rt);
	instance = runtime_allocate(&rt);
	CHECK_EQ(fl_instance_initialise(instance, &rt.config, &rt.error),
		 -EFAULT);
	CHECK_EQ(rt.error.trap, OOB);
	instance_stop(instance);
	CHECK_TABLE(rt.table, NONE, NONE, FUNC(5), FUNC(6));
	fl_table_fill(rt.table, 0, NULL, 4);
	runtime_traps(&rt, OOB);
	CHECK_TABLE(rt.table, NONE, NONE, FUNC(5), FUNC(6));
	conform_check_zero(rt.memory);
	runtime_close(&rt);
}

/* Both are out of bounds: the table's is told. */
static void which_trap_comes_first(void)
{
	struct runtime rt;

	runtime_open(&rt);
	wasm_import_funcs(&rt.parts, 9);
	wasm_add_table(&rt.parts, 3, WASM_NO_MAX);
	wasm_add_memory(&rt.parts, 1);
	wasm_add_funcs(&rt.parts, 0, 2, 5, 2);
	wasm_add_data(&rt.parts, 65534, "beyond");
	runtime_load(&rt);
	for (int i = 0; i < 10; i++) {
		runtime_traps(&rt, TABLE_OOB);
		CHECK_EQ(rt.live, 0);
		check_nothing_is_held(&rt.conform);
	}
	runtime_close(&rt);
}

/* An empty segment has an edge too. */
static void edges_of_element_segments(void)
{
	static const struct {
		uint32_t off;
		uint32_t count;
		bool traps;
	} edges[] = { { 3, 0, false },	      { 4, 0, true },
		      { NONE, 0, true },      { 3, 1, true },
		      { 0, 3, false },	      { 0, 4, true },
		      { 2, 1, false },	      { 1, 3, true },
		      { NONE, 1, true },      { NONE, 2, true },
		      { 0x80000000, 1, true } };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(edges); i++) {
		struct runtime rt;

		runtime_open(&rt);
		wasm_import_funcs(&rt.parts, 9);
		wasm_add_table(&rt.parts, 3, WASM_NO_MAX);
		wasm_add_funcs(&rt.parts, 0, edges[i].off, 0, edges[i].count);
		runtime_load(&rt);
		if (edges[i].traps)
			runtime_traps(&rt, TABLE_OOB);
		else
			instance_stop(runtime_start(&rt));
		CHECK_EQ(rt.live, 0);
		runtime_close(&rt);
	}
}

/* ------------------------------------------------------------- initialisers */

static void check_initialisers(struct runtime *rt)
{
	struct fl_instance *instance = runtime_start(rt);
	struct fl_table *table = fl_instance_table(instance, 0);

	CHECK_TABLE(table, FUNC(6), FUNC(2), NONE, FUNC(6));
	CHECK_TABLE(fl_instance_table(instance, 1), NONE, NONE);
	CHECK_TABLE(fl_instance_table(instance, 2), GLOBAL(0), GLOBAL(0));
	CHECK_EQ(rt->live, 5);
	/* What is grown is null, not as the initialiser says. */
	CHECK_EQ(fl_table_grow(table, 5, NULL, NULL), 0);
	CHECK(all_null(table, 4));
	runtime_stop(rt, instance);
}

/* An initialiser makes every element; segments come after it. */
static void table_initialisers(void)
{
	struct fl_table_type type = { .size = sizeof(type) };
	struct runtime rt;

	runtime_open(&rt);
	wasm_import_funcs(&rt.parts, 9);
	wasm_import_global(&rt.parts, 0x70);
	wasm_ref_func(wasm_add_table_init(&rt.parts, 4, WASM_NO_MAX), 6);
	wasm_ref_null(wasm_add_table_init(&rt.parts, 2, 3), 0x70);
	wasm_global_get(wasm_add_table_init(&rt.parts, 2, WASM_NO_MAX), 0);
	wasm_add_func_and_null(&rt.parts, 1, 2);
	runtime_load(&rt);
	MUST_EQ(fl_module_table_type(rt.module, 0, &type), 0);
	CHECK_EQ(type.has_init, 1);
	CHECK_EQ(type.min_elements, 4);
	for (int i = 0; i < 10; i++)
		check_initialisers(&rt);
	runtime_close(&rt);
}

/* Globals hold null here, and function 0 is zero. */
static void make_null_or_zero(void *user, struct fl_instance *instance,
			      const struct fl_element *from, void *element)
{
	struct runtime *rt = user;

	(void)instance;
	rt->live += from->kind == FL_ELEMENT_FUNC;
	memset(element, from->kind == FL_ELEMENT_FUNC ? 0 : 0xff, 8);
}

static void check_null_and_zero(struct runtime *rt)
{
	struct fl_instance *instance = runtime_start(rt);
	struct fl_table *zeroes = fl_instance_table(instance, 1);

	CHECK_TABLE(fl_instance_table(instance, 0), NONE, 0, NONE);
	CHECK_TABLE(zeroes, 0, 0, 0);
	CHECK_EQ(rt->live, 4);
	CHECK_EQ(fl_table_fill(zeroes, 1, NULL, 1), 0);
	CHECK_EQ(rt->live, 3);
	runtime_stop(rt, instance);
}

/* What a global holds may be null, and what is made may be all zeroes. */
static void initialisers_that_make_null_and_zero(void)
{
	struct runtime rt;
	struct wasm *w;

	runtime_open(&rt);
	rt.config.make_element = make_null_or_zero;
	wasm_import_funcs(&rt.parts, 9);
	wasm_import_global(&rt.parts, 0x70);
	wasm_global_get(wasm_add_table_init(&rt.parts, 3, WASM_NO_MAX), 0);
	wasm_ref_func(wasm_add_table_init(&rt.parts, 3, WASM_NO_MAX), 0);
	w = wasm_add_elements(&rt.parts, WASM_ELEMENT_EXPRS, 0, 1, 0x70, 2);
	wasm_ref_func(w, 0);
	wasm_global_get(w, 0);
	runtime_load(&rt);
	for (int i = 0; i < 10; i++)
		check_null_and_zero(&rt);
	runtime_close(&rt);
}

/* The second of two globals has this value; idx NONE: traps. */
static void check_placed(struct runtime *rt, uint64_t value, uint32_t idx)
{
	uint64_t globals[2] = { 77, value };
	struct fl_instance *instance;

	rt->config.imported_globals = globals;
	rt->config.imported_global_count = 2;
	if (idx == NONE) {
		runtime_traps(rt, TABLE_OOB);
	} else {
		instance = runtime_start(rt);
		CHECK_EQ(element_at(fl_instance_table(instance, 0), idx),
			 FUNC(4));
		runtime_stop(rt, instance);
	}
	rt->config.imported_global_count = 1;
	runtime_fails(rt, -EINVAL);
	CHECK_HAS(rt->error.text, "global");
	CHECK_EQ(rt->live, 0);
	check_nothing_is_held(&rt->conform);
}

/* Two imported i32 globals; the second one places a segment, and in sums that
 * wrap in 32 bits. */
static void segments_placed_by_globals(void)
{
	struct runtime rt;

	runtime_open(&rt);
	wasm_import_funcs(&rt.parts, 9);
	wasm_import_global(&rt.parts, 0x7f);
	wasm_import_global(&rt.parts, 0x7f);
	wasm_add_table(&rt.parts, 8, WASM_NO_MAX);
	/* Active, (i32.add (global.get 1) (i32.const 2)), function 4. */
	wasm_bytes(wasm_add(&rt.parts, WASM_ELEMENT), 0, 0x23, 1, 0x41, 2, 0x6a,
		   0x0b, 1, 4);
	runtime_load(&rt);
	check_placed(&rt, 0, 2);
	check_placed(&rt, 3, 5);
	check_placed(&rt, UINT32_MAX, 1);
	check_placed(&rt, 0xfffffffe, 0);
	check_placed(&rt, UINT64_MAX, 1);
	check_placed(&rt, 7, NONE);
	check_placed(&rt, 1ull << 32 | 1, 3);
	check_placed(&rt, 0x80000000, NONE);
	runtime_close(&rt);
}

/* ----------------------------------------------- what is left to the runtime */

/* Without make_element tables begin with nulls, and segments are left. */
static void runtime_that_fills_tables_itself(void)
{
	uint64_t mine[2] = { FUNC(3), FUNC(4) };
	struct runtime rt;

	runtime_open(&rt);
	wasm_import_funcs(&rt.parts, 9);
	wasm_add_table(&rt.parts, 3, WASM_NO_MAX);
	wasm_add_funcs(&rt.parts, 0, 0, 1, 2);
	wasm_add_funcs(&rt.parts, 0, 500, 1, 2);
	wasm_add_passive(&rt.parts, 1, 2);
	runtime_load(&rt);
	for (int i = 0; i < 10; i++) {
		struct fl_instance *instance = runtime_start_as(&rt, NULL);
		struct fl_table *table = fl_instance_table(instance, 0);

		CHECK_TABLE(table, NONE, NONE, NONE);
		CHECK_EQ(fl_table_init_elements(table, 1, mine, 2, 0, 2), 0);
		CHECK_TABLE(table, NONE, FUNC(3), FUNC(4));
		CHECK_EQ(fl_table_init(instance, 0, 2, 0, 0, 1), TABLE_OOB);
		CHECK_TABLE(table, NONE, FUNC(3), FUNC(4));
		runtime_stop(&rt, instance);
	}
	runtime_close(&rt);
}

/* A pool without tables leaves them to the runtime, wrong ones too. */
static void tables_that_are_the_runtimes(void)
{
	struct fl_pool_config pool;
	struct fl_instance *instance;
	struct runtime rt;

	runtime_pool_config(&pool);
	pool.max_tables = 0;
	runtime_open_with(&rt, &pool);
	wasm_import_funcs(&rt.parts, 9);
	wasm_add_table(&rt.parts, NONE, WASM_NO_MAX);
	wasm_add_memory(&rt.parts, 1);
	wasm_add_funcs(&rt.parts, 0, NONE, 1, 2);
	wasm_add_data(&rt.parts, 0, "data");
	runtime_load(&rt);
	CHECK_EQ(fl_pool_validate(rt.conform.pool, rt.module, NULL), 0);
	instance = runtime_start(&rt);
	CHECK(!fl_instance_table(instance, 0));
	CHECK_EQ(rt.made, 0);
	check_text(fl_instance_memory(instance, 0), 0, "data");
	CHECK_EQ(fl_table_init(instance, 0, 0, 0, 0, 0), TABLE_OOB);
	runtime_stop(&rt, instance);
	runtime_close(&rt);
}

/* --------------------------------------------------------- table.init, drops */

static void load_module_with_drops(struct runtime *rt)
{
	struct wasm_parts *parts = &rt->parts;
	struct wasm *w;

	wasm_import_funcs(parts, 9);
	wasm_add_table(parts, 5, WASM_NO_MAX);
	wasm_add_table(parts, 2, WASM_NO_MAX);
	wasm_add_memory(parts, 1);
	wasm_add_funcs(parts, 0, 0, 0, 1); /* 0: active */
	wasm_add_passive(parts, 1, 3); /* 1: passive */
	w = wasm_add_elements(parts, 3, 0, 0, 0x70, 1); /* 2: declared */
	wasm_u(w, 5);
	/* 3: passive, with a null */
	w = wasm_add_elements(parts, 5, 0, 0, 0x70, 2);
	wasm_ref_null(w, 0x70);
	wasm_ref_func(w, 8);
	wasm_add_data(parts, 0, "active");
	wasm_data_passive(wasm_add(parts, WASM_DATA), "passive", 7);
	runtime_load(rt);
}

static void check_init_edges(struct fl_instance *instance)
{
	static const struct {
		uint32_t table, segment;
		uint64_t dst, src, count;
	} traps[] = {
		{ 0, 1, 3, 0, 3 },	    { 0, 1, 0, 1, 3 },
		{ 0, 1, 6, 0, 0 },	    { 0, 1, 0, 4, 0 },
		{ 0, 1, UINT64_MAX, 0, 1 }, { 0, 1, 0, UINT64_MAX, 1 },
		{ 0, 1, 1, 1, UINT64_MAX }, { 0, 1, UINT64_MAX, 0, 2 },
		{ 0, 1, 0, 1ull << 32, 1 }, { 0, 1, 0, 0, 1ull << 32 },
		{ 0, 0, 0, 0, 1 },	    { 0, 2, 0, 0, 1 },
		{ 0, 0, 0, 1, 0 },	    { 0, 2, 0, 1, 0 },
		{ 1, 1, 0, 0, 3 },	    { 0, 4, 0, 0, 0 },
		{ 0, NONE, 0, 0, 0 },	    { 2, 1, 0, 0, 0 },
		{ NONE, 1, 0, 0, 0 },
	};
	struct fl_table *table = fl_instance_table(instance, 0);

	for (size_t i = 0; i < TEST_ARRAY_SIZE(traps); i++) {
		if (!CHECK_EQ(fl_table_init(instance, traps[i].table,
					    traps[i].segment, traps[i].dst,
					    traps[i].src, traps[i].count),
			      TABLE_OOB))
			test_note("trap %zu", i);
	}
	CHECK_TABLE(table, FUNC(0), NONE, NONE, NONE, NONE);
	/* Nothing at the edge is no trap, of a dropped segment either. */
	CHECK_EQ(fl_table_init(instance, 0, 1, 5, 3, 0), 0);
	CHECK_EQ(fl_table_init(instance, 0, 0, 5, 0, 0), 0);
	CHECK_EQ(fl_table_init(instance, 0, 2, 0, 0, 0), 0);
}

static void check_drops(struct fl_instance *instance)
{
	static const uint32_t dropped[] = { 1, 0, 2, 4, NONE };

	fl_elem_drop(instance, 1);
	CHECK_EQ(fl_table_init(instance, 0, 1, 0, 0, 1), TABLE_OOB);
	CHECK_EQ(fl_table_init(instance, 0, 1, 0, 1, 0), TABLE_OOB);
	CHECK_EQ(fl_table_init(instance, 0, 1, 5, 0, 0), 0);
	CHECK_EQ(fl_table_init(instance, 0, 3, 0, 1, 1), 0);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(dropped); i++)
		fl_elem_drop(instance, dropped[i]);
	CHECK_TABLE(fl_instance_table(instance, 0), FUNC(8), FUNC(2), NONE,
		    FUNC(8), FUNC(1));
}

static void check_passive_segments(struct runtime *rt)
{
	struct fl_instance *instance = runtime_start(rt);
	struct fl_table *table = fl_instance_table(instance, 0);
	uint32_t made = rt->made;

	check_init_edges(instance);
	CHECK_EQ(rt->made, made);
	CHECK_EQ(fl_table_init(instance, 0, 1, 1, 1, 2), 0);
	CHECK_EQ(fl_table_init(instance, 0, 1, 4, 0, 1), 0);
	CHECK_TABLE(table, FUNC(0), FUNC(2), FUNC(3), NONE, FUNC(1));
	CHECK_EQ(fl_table_init(instance, 0, 3, 2, 0, 2), 0);
	CHECK_TABLE(table, FUNC(0), FUNC(2), NONE, FUNC(8), FUNC(1));
	CHECK_EQ(fl_table_init(instance, 1, 1, 0, 0, 2), 0);
	CHECK_TABLE(fl_instance_table(instance, 1), FUNC(1), FUNC(2));
	CHECK_EQ(rt->live, 6);
	check_drops(instance);
	runtime_stop(rt, instance);
}

static void passive_segments_and_drops(void)
{
	static const enum fl_allocation allocations[] = {
		FL_ALLOCATION_POOLING, FL_ALLOCATION_ON_DEMAND
	};
	struct runtime rt;

	for (int k = 0; k < 2; k++) {
		runtime_open_as(&rt, allocations[k]);
		load_module_with_drops(&rt);
		/* What one instance has dropped, the next of its slot has. */
		for (int i = 0; i < 10; i++)
			check_passive_segments(&rt);
		runtime_close(&rt);
	}
}

static void data_segments_beside_elements(void)
{
	struct runtime rt;

	runtime_open(&rt);
	load_module_with_drops(&rt);
	for (int i = 0; i < 5; i++) {
		struct fl_instance *instance = runtime_start_as(&rt, NULL);
		struct fl_memory *memory = fl_instance_memory(instance, 0);

		check_text(memory, 0, "active");
		fl_elem_drop(instance, 1);
		CHECK_EQ(fl_memory_init(instance, 0, 1, 10, 1, 6), 0);
		check_text(memory, 10, "assive");
		CHECK_EQ(fl_memory_init(instance, 0, 0, 0, 0, 1), OOB);
		CHECK_EQ(fl_memory_init(instance, 0, 0, 0, 0, 0), 0);
		CHECK_EQ(fl_memory_init(instance, 0, 2, 0, 0, 0), OOB);
		fl_data_drop(instance, 1);
		CHECK_EQ(fl_memory_init(instance, 0, 1, 10, 1, 6), OOB);
		CHECK_EQ(fl_memory_init(instance, 0, 1, 10, 0, 0), 0);
		runtime_stop(&rt, instance);
	}
	runtime_close(&rt);
}

/* -------------------------------------------------------- imports and images */

/* 2 elements are less than 4, and NULL is none at all. */
static void check_wrong_imports(struct runtime *rt, struct fl_table **tables)
{
	for (uint32_t count = 0; count < 4; count++) {
		if (count == 2)
			continue;
		rt->config.imported_table_count = count;
		runtime_fails(rt, -EINVAL);
		CHECK_HAS(rt->error.text, "import");
	}
	rt->config.imported_table_count = 2;
	rt->config.imported_tables =
		(struct fl_table *[]){ tables[0], tables[2] };
	runtime_fails(rt, -EINVAL);
	rt->config.imported_tables = (struct fl_table *[]){ NULL, tables[1] };
	runtime_fails(rt, -EINVAL);
	rt->config.imported_tables = tables;
	check_nothing_is_held(&rt->conform);
}

static void importing_tables(void)
{
	struct fl_instance *instance;
	struct fl_table *tables[3];
	struct runtime rt;

	runtime_open(&rt);
	wasm_import_funcs(&rt.parts, 9);
	wasm_import_table(&rt.parts, 2);
	wasm_import_table(&rt.parts, 4);
	wasm_add_table(&rt.parts, 1, WASM_NO_MAX);
	wasm_add_funcs(&rt.parts, 1, 4, 3, 1);
	wasm_add_funcs(&rt.parts, 2, 0, 5, 1);
	runtime_load(&rt);
	for (int i = 0; i < 3; i++)
		tables[i] = runtime_table(i == 1 ? 5 : 2);
	rt.config.imported_tables = tables;
	check_wrong_imports(&rt, tables);
	instance = runtime_start(&rt);
	CHECK(fl_instance_table(instance, 0) == tables[0]);
	CHECK(fl_instance_table(instance, 1) == tables[1]);
	CHECK_TABLE(tables[1], NONE, NONE, NONE, NONE, FUNC(3));
	CHECK_TABLE(fl_instance_table(instance, 2), FUNC(5));
	instance_stop(instance);
	CHECK_TABLE(tables[1], NONE, NONE, NONE, NONE, FUNC(3));
	check_wrong_imports(&rt, tables);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(fl_table_release(tables[i]), 0);
	runtime_close(&rt);
}

/* An instance, and another one that imports its table. */
static void share_a_table(struct runtime *rt, struct fl_module *owning,
			  struct fl_module *importing)
{
	struct fl_instance *owner, *user;
	struct fl_table *table;

	rt->module = owning;
	rt->config.imported_table_count = 0;
	owner = runtime_start(rt);
	table = fl_instance_table(owner, 0);
	rt->module = importing;
	rt->config.imported_tables = &table;
	rt->config.imported_table_count = 1;
	user = runtime_start(rt);
	CHECK(fl_instance_table(user, 0) == table);
	CHECK_TABLE(table, FUNC(1), FUNC(7), NONE);
	CHECK_EQ(rt->live, 2);
	instance_stop(user);
	CHECK_TABLE(table, FUNC(1), FUNC(7), NONE);
	runtime_stop(rt, owner);
}

static void tables_shared_by_instances(void)
{
	struct fl_module *owning;
	struct runtime rt;

	runtime_open(&rt);
	wasm_import_funcs(&rt.parts, 9);
	wasm_add_table(&rt.parts, 3, WASM_NO_MAX);
	wasm_add_funcs(&rt.parts, 0, 0, 1, 1);
	runtime_load(&rt);
	owning = fl_module_retain(rt.module);
	wasm_import_funcs(&rt.parts, 9);
	wasm_import_table(&rt.parts, 2);
	wasm_add_funcs(&rt.parts, 0, 1, 7, 1);
	runtime_load(&rt);
	for (int i = 0; i < 5; i++)
		share_a_table(&rt, owning, rt.module);
	fl_module_release(owning);
	runtime_close(&rt);
}

/* Table 0 begins as the image, if there is one, or by its segment. */
static void check_table_image(struct runtime *rt, bool has_image)
{
	struct fl_instance *instance = runtime_start(rt);
	struct fl_table *table = fl_instance_table(instance, 0);

	if (has_image)
		CHECK_TABLE(table, FUNC(40), NONE, FUNC(42));
	else
		CHECK_TABLE(table, FUNC(1), FUNC(2), FUNC(3));
	CHECK_TABLE(fl_instance_table(instance, 1), NONE, FUNC(5));
	CHECK_EQ(fl_table_grow(table, 500, NULL, NULL), 0);
	CHECK(all_null(table, 3));
	memset(table->base, 7, 503 * 8);
	instance_stop(instance);
}

static void images_of_tables(void)
{
	uint64_t content[3] = { FUNC(40), UINT64_MAX, FUNC(42) };
	struct fl_image *images[2] = { NULL };
	struct runtime rt;

	runtime_open(&rt);
	rt.config.clone_element = NULL;
	rt.config.drop_element = NULL;
	wasm_import_funcs(&rt.parts, 9);
	wasm_ref_func(wasm_add_table_init(&rt.parts, 3, WASM_NO_MAX), 6);
	wasm_add_table(&rt.parts, 2, WASM_NO_MAX);
	wasm_add_funcs(&rt.parts, 0, 0, 1, 3);
	wasm_add_funcs(&rt.parts, 1, 1, 5, 1);
	runtime_load(&rt);
	images[0] = conform_image_of(&rt.conform, 24, 0, content, 24);
	for (int i = 0; i < 12; i++) {
		rt.config.table_images = i % 3 ? images : NULL;
		rt.config.table_image_count = i % 3 ? 2 : 0;
		check_table_image(&rt, i % 3);
	}
	/* One for each table that is defined, or none. */
	rt.config.table_images = images;
	rt.config.table_image_count = 1;
	runtime_fails(&rt, -EINVAL);
	fl_image_release(images[0]);
	runtime_close(&rt);
}

/* ------------------------------------------------------------- the two halves */

static void check_both_halves(struct runtime *rt, bool initialises)
{
	struct fl_instance *instance = runtime_allocate(rt);
	struct fl_table *table = fl_instance_table(instance, 0);

	CHECK_TABLE(table, NONE, NONE, NONE, NONE, NONE);
	CHECK_EQ(rt->made, 0);
	CHECK(fl_instance_user(instance) == rt);
	check_text(fl_instance_memory(instance, 0), 0, "active");
	if (initialises) {
		CONFORM_MUST(fl_instance_initialise(instance, &rt->config,
						    &rt->error),
			     &rt->error);
		CHECK_TABLE(table, FUNC(0), NONE, NONE, NONE, NONE);
		CHECK_EQ(rt->live, 1);
	}
	runtime_stop(rt, instance);
}

static void allocate_then_initialise(void)
{
	struct runtime rt;

	runtime_open(&rt);
	load_module_with_drops(&rt);
	for (int i = 0; i < 10; i++) {
		rt.made = 0;
		check_both_halves(&rt, i % 3);
	}
	runtime_close(&rt);
}

static void initialise_that_traps(void)
{
	struct runtime rt;

	runtime_open(&rt);
	wasm_import_funcs(&rt.parts, 9);
	wasm_add_table(&rt.parts, 3, WASM_NO_MAX);
	wasm_add_funcs(&rt.parts, 0, 1, 1, 2);
	wasm_add_funcs(&rt.parts, 0, 2, 5, 2);
	runtime_load(&rt);
	for (int i = 0; i < 10; i++) {
		struct fl_instance *instance = runtime_allocate(&rt);

		CHECK_EQ(fl_instance_initialise(instance, &rt.config,
						&rt.error),
			 -EFAULT);
		CHECK_EQ(rt.error.trap, TABLE_OOB);
		CHECK_TABLE(fl_instance_table(instance, 0), NONE, FUNC(1),
			    FUNC(2));
		CHECK_EQ(rt.live, 2);
		runtime_stop(&rt, instance);
	}
	runtime_close(&rt);
}

/* --------------------------------------------------------------------- fork */

static int child_calls(void *arg)
{
	struct runtime *rt = arg;
	struct fl_pool *pool = rt->conform.pool;
	struct fl_instance *instance = NULL;

	CHECK_EQ(fl_instance_allocate(pool, rt->module, &rt->config, &instance,
				      NULL),
		 -ECHILD);
	CHECK_EQ(fl_instance_initialise(rt->instance, &rt->config, NULL),
		 -ECHILD);
	CHECK_EQ(fl_instance_release(rt->instance), -ECHILD);
	CHECK_EQ(fl_pool_purge(pool, rt->module, NULL, NULL), -ECHILD);
	CHECK_EQ(rt->made, 0);
	return test_has_failed() ? TEST_CHILD_FAILED : 0;
}

static void child_gets_an_error(void)
{
	struct runtime rt;

	runtime_open(&rt);
	load_module_with_drops(&rt);
	rt.instance = runtime_allocate(&rt);
	conform_check_child(child_calls, &rt);
	CHECK_EQ(fl_instance_initialise(rt.instance, &rt.config, &rt.error), 0);
	CHECK_EQ(element_at(fl_instance_table(rt.instance, 0), 0), FUNC(0));
	runtime_stop(&rt, rt.instance);
	runtime_close(&rt);
}

static const struct test_case cases[] = {
	TEST_CASE(segments_in_order),
	TEST_CASE(element_segment_out_of_bounds),
	TEST_CASE(data_segment_out_of_bounds),
	TEST_CASE(image_that_traps_comes_after_elements),
	TEST_CASE(unfilled_import_traps_after_elements),
	TEST_CASE(which_trap_comes_first),
	TEST_CASE(edges_of_element_segments),
	TEST_CASE(table_initialisers),
	TEST_CASE(initialisers_that_make_null_and_zero),
	TEST_CASE(segments_placed_by_globals),
	TEST_CASE(runtime_that_fills_tables_itself),
	TEST_CASE(tables_that_are_the_runtimes),
	TEST_CASE(passive_segments_and_drops),
	TEST_CASE(data_segments_beside_elements),
	TEST_CASE(importing_tables),
	TEST_CASE(tables_shared_by_instances),
	TEST_CASE(images_of_tables),
	TEST_CASE(allocate_then_initialise),
	TEST_CASE(initialise_that_traps),
	TEST_CASE(child_gets_an_error),
};

CONFORM_MAIN(cases)
