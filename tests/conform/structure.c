/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * structure.c - what instances have of a pool beside their content: the
 * slot for the runtime's structure, tunables that compiled code relies on, purge
 * of a module, and the limits of what one instance and all of them may take.
 */
#define _GNU_SOURCE
#include "runtime.h"

#include "tests/kit/trap.h"

/* --------------------------------------------------------------- structures */

static void open_with_structures(struct runtime *rt, uint32_t max_instances,
				 uint64_t bytes)
{
	struct fl_pool_config pool;

	runtime_pool_config(&pool);
	pool.max_instances = max_instances;
	pool.instance_bytes = bytes;
	runtime_open_with(rt, &pool);
	runtime_load(rt);
}

static bool all_bytes_are(const uint8_t *at, uint8_t value, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		if (at[i] != value)
			return false;
	}
	return true;
}

/* Four instances at once, each with its own structure, filled to the brim. Where
 * they are is written to seen; it is where others were before, if reused. */
static void fill_structures(struct runtime *rt,
			    const struct fl_pool_config *pool,
			    struct fl_instance **instances, void **seen,
			    bool is_reused)
{
	uint64_t bytes = pool->instance_bytes;
	uint8_t *at;

	for (int i = 0; i < 4; i++) {
		bool known = !is_reused;

		instances[i] = runtime_start_as(rt, NULL);
		at = fl_instance_structure(instances[i]);
		MUST(at != NULL);
		CHECK_EQ((uintptr_t)at %
				 (pool->instance_alignment_bytes ?: 4096),
			 0);
		CHECK_EQ(conform_first_data(at, bytes), bytes);
		memset(at, i + 1, bytes);
		for (int k = 0; k < 4; k++)
			known = known || seen[k] == at;
		CHECK(known);
	}
	for (int i = 0; i < 4; i++) {
		seen[i] = fl_instance_structure(instances[i]);
		/* Nobody else wrote here. */
		CHECK(all_bytes_are(seen[i], i + 1, bytes));
	}
}

static void structures(uint64_t bytes, uint64_t alignment,
		       enum fl_allocation allocation, uint32_t audit_every)
{
	struct fl_instance *instances[4];
	struct fl_pool_config pool;
	void *seen[4] = { NULL };
	struct runtime rt;

	runtime_pool_config(&pool);
	pool.max_instances = 4;
	pool.instance_bytes = bytes;
	pool.instance_alignment_bytes = alignment;
	pool.allocation = allocation;
	pool.audit_every = audit_every;
	runtime_open_with(&rt, &pool);
	runtime_load(&rt);
	for (int round = 0; round < 10; round++) {
		fill_structures(&rt, &pool, instances, seen,
				round && allocation == FL_ALLOCATION_POOLING);
		for (int i = 0; i < 4; i++)
			instance_stop(instances[round % 2 ? i : 3 - i]);
		if (round % 4 == 3)
			fl_pool_trim(rt.conform.pool, UINT64_MAX, NULL);
	}
	runtime_close(&rt);
}

static void structures_of_instances(void)
{
	static const struct {
		uint64_t bytes, alignment;
	} sizes[] = { { 1, 0 },	   { 100, 64 },	     { 4096, 4096 },
		      { 4097, 1 }, { 70000, 65536 }, { MIB + 8, 2 * MIB } };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		structures(sizes[i].bytes, sizes[i].alignment,
			   FL_ALLOCATION_POOLING, 0);
		structures(sizes[i].bytes, sizes[i].alignment,
			   FL_ALLOCATION_POOLING, 1);
		structures(sizes[i].bytes, sizes[i].alignment,
			   FL_ALLOCATION_ON_DEMAND, 0);
	}
}

static void no_structure(void)
{
	struct fl_instance *instance;
	struct runtime rt;

	open_with_structures(&rt, 2, 0);
	instance = runtime_start_as(&rt, NULL);
	CHECK(fl_instance_structure(instance) == NULL);
	runtime_stop(&rt, instance);
	runtime_close(&rt);
}

/* A slot has one tenant, whatever its last one does. */
static void releasing_twice(void)
{
	struct fl_instance *instances[2], *gone;
	struct runtime rt;

	for (uint64_t bytes = 0; bytes < 200; bytes += 100) {
		open_with_structures(&rt, 2, bytes);
		gone = runtime_start_as(&rt, NULL);
		instance_stop(gone);
		CHECK_EQ(fl_instance_release(gone), -EINVAL);
		CHECK_EQ(conform_info(&rt.conform).live_instances, 0);
		for (int i = 0; i < 2; i++)
			instances[i] = runtime_start_as(&rt, NULL);
		CHECK(instances[0] != instances[1]);
		CHECK_EQ(conform_info(&rt.conform).live_instances, 2);
		for (int i = 0; i < 2; i++)
			instance_stop(instances[i]);
		runtime_close(&rt);
	}
}

/* 9000 bytes, of which the image has 6000 from 1000 on. */
static void check_structure_image(struct runtime *rt, const uint8_t *content,
				  int i)
{
	struct fl_instance *instance = runtime_start(rt);
	uint8_t *at = fl_instance_structure(instance);

	if (rt->config.structure_image) {
		CHECK_EQ(conform_first_data(at, 1000), 1000);
		CHECK(!memcmp(at + 1000, content, 6000));
		CHECK_EQ(conform_first_data(at + 7000, 2000), 2000);
	} else {
		CHECK_EQ(conform_first_data(at, 9000), 9000);
	}
	memset(at + i * 100, i, 4000);
	runtime_stop(rt, instance);
}

static void structure_with_an_image(void)
{
	struct fl_image *image;
	uint8_t content[6000];
	struct runtime rt;

	open_with_structures(&rt, 1, 9000);
	memset(content, 0x42, sizeof(content));
	image = conform_image_of(&rt.conform, 9000, 1000, content,
				 sizeof(content));
	for (int i = 0; i < 20; i++) {
		rt.config.structure_image = i % 4 < 2 ? image : NULL;
		check_structure_image(&rt, content, i);
		if (i % 7 == 6)
			CHECK_EQ(fl_pool_purge(rt.conform.pool, NULL, image,
					       NULL),
				 0);
	}
	fl_image_release(image);
	/* One whose content does not fit. */
	image = conform_image_of(&rt.conform, 2 * WPAGE, WPAGE, content, 10);
	rt.config.structure_image = image;
	runtime_fails(&rt, -EINVAL);
	fl_image_release(image);
	runtime_close(&rt);
}

static void check_no_pool(struct fl_context *context,
			  const struct fl_pool_config *config)
{
	struct fl_pool *pool = NULL;
	int err = fl_pool_create(context, config, &pool, NULL);

	CHECK(err == -EINVAL || err == -ENOMEM);
	CHECK(pool == NULL);
}

static void structures_that_are_refused(void)
{
	static const uint64_t wrong[] = { 3,	   24,	       100,
					  4 * MIB, UINT64_MAX, 1ull << 63 };
	struct fl_context *context = conform_context();
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool *pool = NULL;

	runtime_pool_config(&config);
	config.instance_bytes = 100;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(wrong); i++) {
		config.instance_alignment_bytes = wrong[i];
		CHECK_EQ(fl_pool_create(context, &config, &pool, &error),
			 -EINVAL);
		CHECK_HAS(error.text, "instance_alignment_bytes");
	}
	CHECK(pool == NULL);
	runtime_pool_config(&config);
	config.max_instances = 1000000;
	for (unsigned int bit = 44; bit < 64; bit++) {
		config.instance_bytes = UINT64_MAX << bit;
		check_no_pool(context, &config);
		config.instance_bytes = 1ull << bit;
		check_no_pool(context, &config);
	}
	fl_context_destroy(context);
}

/* ----------------------------------------------------------------- tunables */

static void check_default_tunables(const struct fl_tunables *tunables)
{
	CHECK_EQ(tunables->memory_reservation_bytes, 4 * GIB);
	CHECK_EQ(tunables->memory_guard_bytes, 32 * MIB);
	CHECK_EQ(tunables->memory_guard_before_bytes, 0);
	CHECK_EQ(tunables->memory_may_move, 1);
	CHECK_EQ(tunables->checks_bounds, 0);
}

/* Every byte that they promise beyond the first wpage faults. */
static void check_promises(struct runtime *rt,
			   const struct fl_tunables *tunables)
{
	uint64_t reach = tunables->memory_reservation_bytes +
			 tunables->memory_guard_bytes;
	struct fl_instance *instance;
	uint8_t *base;

	rt->config.tunables = tunables;
	instance = runtime_start(rt);
	base = fl_instance_memory(instance, 0)->base;
	CHECK(test_open(base + WPAGE - 1));
	for (uint64_t off = WPAGE; off < reach; off += 32 * KIB)
		CHECK(test_traps(base + off));
	CHECK(test_traps(base + reach - 1));
	runtime_stop(rt, instance);
}

/* One more byte than the pool has, in each of them. */
static void check_too_much(struct runtime *rt,
			   const struct fl_tunables *tunables)
{
	struct fl_tunables asked;

	rt->config.tunables = &asked;
	for (int i = 0; i < 3; i++) {
		asked = *tunables;
		asked.memory_reservation_bytes += i == 0;
		asked.memory_guard_bytes += i == 1;
		asked.memory_guard_before_bytes += i == 2;
		runtime_fails(rt, -ENOTSUP);
	}
	asked = *tunables;
	asked.memory_may_move = 1;
	runtime_stop(rt, runtime_start(rt));
	asked.size = 3;
	CHECK_EQ(fl_pool_adjust_tunables(rt->conform.pool, &asked, &rt->error),
		 -EINVAL);
}

static void tunables_of_a_guarded_pool(void)
{
	struct fl_tunables tunables, asked;
	struct runtime rt;

	runtime_open(&rt);
	rt.module = module_simple(&rt.conform, 1, 0, NULL);
	fl_tunables_init(&asked);
	check_default_tunables(&asked);
	tunables = asked;
	CHECK_EQ(fl_pool_adjust_tunables(rt.conform.pool, &tunables, &rt.error),
		 0);
	CHECK_EQ(tunables.memory_may_move, 0);
	CHECK(tunables.memory_reservation_bytes >= 4 * MIB);
	CHECK(tunables.memory_reservation_bytes < GIB);
	check_promises(&rt, &tunables);
	/* As they were before they were adjusted. */
	rt.config.tunables = &asked;
	runtime_fails(&rt, -ENOTSUP);
	check_too_much(&rt, &tunables);
	runtime_close(&rt);
}

/* All slots, also the last one, have what the tunables say around them. */
static void check_around(uint8_t *base, const struct fl_tunables *tunables)
{
	uint64_t before = tunables->memory_guard_before_bytes;
	uint64_t reach = tunables->memory_reservation_bytes +
			 tunables->memory_guard_bytes;

	CHECK(reach >= 4 * MIB + 192 * KIB);
	CHECK(test_open(base - 24));
	for (uint64_t off = 4 * MIB; off < reach; off += 4 * KIB)
		CHECK(test_traps(base + off));
	for (uint64_t off = 1; before && off <= before; off += 4 * KIB)
		CHECK(test_traps(base - 4096 - off));
}

static void tunables_hold_in_every_slot(void)
{
	struct fl_memory *memories[4];
	struct fl_tunables tunables;
	struct fl_pool_config pool;
	struct conform conform;

	runtime_pool_config(&pool);
	pool.guard_before_bytes = 128 * KIB;
	pool.guard_after_bytes = 192 * KIB;
	pool.prefix_bytes = 24;
	conform_open(&conform, &pool);
	fl_tunables_init(&tunables);
	tunables.memory_guard_before_bytes = GIB;
	CHECK_EQ(fl_pool_adjust_tunables(conform.pool, &tunables, NULL), 0);
	CHECK(tunables.memory_guard_before_bytes <= 128 * KIB);
	for (int i = 0; i < 4; i++)
		memories[i] = conform_take(&conform, NULL, 4 * MIB);
	for (int i = 0; i < 4; i++)
		check_around(memories[i]->base, &tunables);
	for (int i = 0; i < 4; i++)
		conform_give(memories[i]);
	conform_close(&conform);
}

static void tunables_of_an_accessible_pool(void)
{
	struct fl_tunables tunables, before;
	struct fl_pool_config pool;
	struct runtime rt;

	runtime_pool_config(&pool);
	pool.bounds = FL_BOUNDS_ACCESSIBLE;
	runtime_open_with(&rt, &pool);
	rt.module = module_simple(&rt.conform, 1, 0, NULL);
	rt.config.tunables = &tunables;
	fl_tunables_init(&tunables);
	before = tunables;
	CHECK_EQ(fl_pool_adjust_tunables(rt.conform.pool, &tunables, &rt.error),
		 -ENOTSUP);
	CHECK_HAS(rt.error.text, "checks_bounds");
	CHECK_HAS(rt.error.text, "FL_BOUNDS_ACCESSIBLE");
	CHECK(!memcmp(&tunables, &before, sizeof(before)));
	runtime_fails(&rt, -ENOTSUP);
	/* Small enough to be held, but nobody checks. */
	tunables.memory_reservation_bytes = 0;
	tunables.memory_guard_bytes = 0;
	runtime_fails(&rt, -ENOTSUP);
	fl_tunables_init(&tunables);
	tunables.checks_bounds = 1;
	CHECK_EQ(fl_pool_adjust_tunables(rt.conform.pool, &tunables, &rt.error),
		 0);
	CHECK_EQ(tunables.checks_bounds, 1);
	CHECK_EQ(tunables.memory_may_move, 0);
	runtime_stop(&rt, runtime_start(&rt));
	runtime_close(&rt);
}

/* -------------------------------------------------------------------- purge */

static uint32_t purge(struct runtime *rt, const struct fl_module *module)
{
	uint32_t purged = 9;

	CHECK_EQ(fl_pool_purge(rt->conform.pool, module, NULL, &purged), 0);
	return purged;
}

/* So few warm slots that no processor has a shelf, which another one would not see: a
 * module's next instance is in the slot of its last one. */
static void open_without_shelves(struct runtime *rt)
{
	struct fl_pool_config pool;

	runtime_pool_config(&pool);
	pool.max_warm_memories = 4;
	runtime_open_with(rt, &pool);
}

/* Of the two modules, the one that has turn is purged. */
static void purge_one_of(struct runtime *rt, struct fl_module **modules,
			 int turn)
{
	struct fl_instance *instances[2];

	for (int i = 0; i < 2; i++) {
		rt->module = modules[i];
		instances[i] = runtime_start(rt);
		memset(fl_instance_memory(instances[i], 0)->base, i, 100);
	}
	/* What lives is left alone. */
	CHECK_EQ(purge(rt, modules[0]), 0);
	for (int i = 0; i < 2; i++)
		instance_stop(instances[i]);
	CHECK_EQ(conform_info(&rt->conform).warm_memories, 2);
	CHECK_EQ(purge(rt, modules[turn]), 1);
	CHECK_EQ(conform_info(&rt->conform).warm_memories, 1);
	CHECK_EQ(purge(rt, modules[turn]), 0);
	rt->module = modules[0];
	instances[0] = runtime_start(rt);
	check_text(fl_instance_memory(instances[0], 0), 5, "two");
	runtime_stop(rt, instances[0]);
}

static void purge_of_a_module(void)
{
	struct fl_module *modules[2];
	struct runtime rt;

	open_without_shelves(&rt);
	for (int i = 0; i < 2; i++)
		modules[i] =
			module_simple(&rt.conform, 2, 5, i ? "one" : "two");
	for (int round = 0; round < 10; round++)
		purge_one_of(&rt, modules, round % 2);
	fl_module_release(modules[1]);
	runtime_close(&rt);
}

/* A module and the image of another one in one call, one of them alone, none. */
static void purge_of_module_and_image(void)
{
	struct fl_module *modules[2];
	struct runtime rt;
	uint32_t purged = 9;

	open_without_shelves(&rt);
	for (int i = 0; i < 2; i++)
		modules[i] =
			module_simple(&rt.conform, 2, 5, i ? "one" : "two");
	for (int round = 0; round < 4; round++) {
		struct fl_image *image = fl_module_image(modules[1], 0);
		struct fl_instance *instances[2];

		for (int i = 0; i < 2; i++) {
			rt.module = modules[i];
			instances[i] = runtime_start(&rt);
		}
		for (int i = 0; i < 2; i++)
			instance_stop(instances[i]);
		CHECK_EQ(fl_pool_purge(rt.conform.pool, NULL, NULL, &purged),
			 -EINVAL);
		CHECK_EQ(conform_info(&rt.conform).warm_memories, 2);
		CHECK_EQ(fl_pool_purge(rt.conform.pool,
				       round % 2 ? modules[0] : NULL, image,
				       &purged),
			 0);
		CHECK_EQ(purged, 1 + round % 2);
		CHECK_EQ(conform_info(&rt.conform).warm_memories,
			 1 - round % 2);
		CHECK_EQ(purge(&rt, modules[0]), 1 - round % 2);
		purged = 9;
	}
	rt.module = modules[0];
	fl_module_release(modules[1]);
	runtime_close(&rt);
}

/* ------------------------------------------------------------------- limits */

static void check_refused(struct runtime *rt, const char *field)
{
	runtime_load(rt);
	CHECK_EQ(fl_pool_validate(rt->conform.pool, rt->module, &rt->error),
		 -E2BIG);
	CHECK_HAS(rt->error.text, field);
	runtime_fails(rt, -E2BIG);
	check_nothing_is_held(&rt->conform);
}

static void limits_of_tables(void)
{
	static const uint64_t mins[] = { UINT64_MAX, UINT64_MAX >> 3,
					 UINT64_MAX >> 6, 1ull << 32 };
	struct runtime rt;

	runtime_open(&rt);
	wasm_add_table(&rt.parts, 1001, WASM_NO_MAX);
	check_refused(&rt, "max_table_elements");
	wasm_add_table(&rt.parts, UINT32_MAX, WASM_NO_MAX);
	check_refused(&rt, "max_table_elements");
	for (size_t i = 0; i < TEST_ARRAY_SIZE(mins); i++) {
		wasm_add_table64(&rt.parts, mins[i]);
		check_refused(&rt, "max_table_elements");
	}
	for (int i = 0; i < 5; i++)
		wasm_add_table(&rt.parts, 1, 1);
	check_refused(&rt, "max_tables_per_instance");
	for (int i = 0; i < 100; i++)
		wasm_add_table(&rt.parts, 1, 1);
	check_refused(&rt, "max_tables_per_instance");
	runtime_close(&rt);
}

static void check_two_and_no_third(struct runtime *rt)
{
	struct fl_instance *instances[2];

	for (int k = 0; k < 2; k++)
		instances[k] = runtime_start(rt);
	CHECK_EQ(conform_info(&rt->conform).live_tables, 4);
	runtime_fails(rt, -EAGAIN);
	CHECK_EQ(conform_info(&rt->conform).live_tables, 4);
	CHECK_EQ(conform_info(&rt->conform).live_memories, 2);
	CHECK_EQ(conform_info(&rt->conform).live_instances, 2);
	CHECK_EQ(rt->live, 6);
	instance_stop(instances[0]);
	runtime_stop(rt, instances[1]);
}

/* The third of these instances finds no table, or no slot for itself. */
static void third_instance(uint32_t max_instances, uint32_t max_tables)
{
	struct fl_pool_config pool;
	struct runtime rt;

	runtime_pool_config(&pool);
	pool.max_instances = max_instances;
	pool.max_tables = max_tables;
	runtime_open_with(&rt, &pool);
	wasm_import_funcs(&rt.parts, 3);
	wasm_add_memory(&rt.parts, 1);
	wasm_add_table(&rt.parts, 1000, 1000);
	wasm_add_table(&rt.parts, 1, 1);
	wasm_add_funcs(&rt.parts, 0, 0, 0, 3);
	runtime_load(&rt);
	for (int i = 0; i < 10; i++)
		check_two_and_no_third(&rt);
	runtime_close(&rt);
}

static void more_tables_than_there_are(void)
{
	third_instance(4, 5);
	third_instance(2, 10);
}

/* ------------------------------------------------------------------ hostile */

/* Each table but the first, which is empty, ends in the function of its index. */
static void check_hundred_tables(struct runtime *rt)
{
	struct fl_instance *instance = runtime_start(rt);

	for (uint32_t i = 1; i < 100; i++) {
		struct fl_table *table = fl_instance_table(instance, i);

		CHECK_EQ(table->length, i);
		CHECK_EQ(element_at(table, i - 1), FUNC(i));
		CHECK(i == 1 || element_at(table, i - 2) == NONE);
	}
	runtime_fails(rt, -EAGAIN);
	CHECK_EQ(conform_info(&rt->conform).live_tables, 100);
	CHECK_EQ(rt->live, 99);
	runtime_stop(rt, instance);
}

static void hundred_tables(void)
{
	struct fl_pool_config pool;
	struct runtime rt;

	runtime_pool_config(&pool);
	pool.max_tables = 100;
	pool.max_tables_per_instance = 100;
	runtime_open_with(&rt, &pool);
	wasm_import_funcs(&rt.parts, 100);
	for (uint32_t i = 0; i < 100; i++) {
		wasm_add_table(&rt.parts, i, WASM_NO_MAX);
		if (i)
			wasm_add_funcs(&rt.parts, i, i - 1, i, 1);
	}
	runtime_load(&rt);
	for (int round = 0; round < 5; round++)
		check_hundred_tables(&rt);
	runtime_close(&rt);
}

/* On demand a table may start larger than the pool's maximum: there is no
 * limit but what a table is, and what is left of the address space. */
static void huge_tables_on_demand(void)
{
	static const uint64_t mins[] = { UINT32_MAX,	   1ull << 40,
					 1ull << 47,	   1ull << 58,
					 1ull << 60,	   (1ull << 61) + 1,
					 (1ull << 61) - 1, UINT64_MAX - 511,
					 UINT64_MAX };
	struct runtime rt;

	runtime_open_as(&rt, FL_ALLOCATION_ON_DEMAND);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(mins); i++) {
		struct fl_instance *instance = NULL;
		int err;

		wasm_add_table64(&rt.parts, mins[i]);
		runtime_load(&rt);
		/* Allocated, 4 G elements of nulls would have to be written. */
		if (!i)
			continue;
		err = fl_instance_acquire(rt.conform.pool, rt.module, NULL,
					  &instance, &rt.error);
		CHECK(err == -E2BIG || err == -ENOMEM);
		CHECK_EQ(rt.error.code, err);
		CHECK(rt.error.text[0]);
		CHECK(instance == NULL);
		check_nothing_is_held(&rt.conform);
	}
	runtime_close(&rt);
}

static const struct test_case cases[] = {
	TEST_CASE(structures_of_instances),
	TEST_CASE(no_structure),
	TEST_CASE(releasing_twice),
	TEST_CASE(structure_with_an_image),
	TEST_CASE(structures_that_are_refused),
	TEST_CASE(tunables_of_a_guarded_pool),
	TEST_CASE(tunables_hold_in_every_slot),
	TEST_CASE(tunables_of_an_accessible_pool),
	TEST_CASE(purge_of_a_module),
	TEST_CASE(purge_of_module_and_image),
	TEST_CASE(limits_of_tables),
	TEST_CASE(more_tables_than_there_are),
	TEST_CASE(hundred_tables),
	TEST_CASE_NEEDS(huge_tables_on_demand, conform_malloc_fails),
};

CONFORM_MAIN(cases)
