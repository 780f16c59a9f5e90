/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot_reuse.c - slots that show snapshots: what a capture leaves out, what
 * the next tenant of a clone's slot sees, purging and trimming beside clones,
 * budgets, audits; and what a capture costs in memory and time.
 */
#define _GNU_SOURCE
#include "tests/kit/clock.h"
#include "tests/kit/conform_module.h"
#include "tests/kit/host.h"

#include <stdlib.h>

#define STRUCTURE_BYTES 1000
#define PREFIX_BYTES 24

struct scene {
	struct conform conform;
	struct fl_module *module;
	struct fl_instance *instance;
	struct fl_snapshot *snapshot;
	struct fl_error error;
};

static void pool_config(struct fl_pool_config *config)
{
	conform_pool_config(config);
	config->max_memories = 3;
	config->max_instances = 3;
	config->max_tables = 3;
	config->max_table_elements = 100;
	config->table_element_bytes = 8;
	config->instance_bytes = STRUCTURE_BYTES;
	config->audit_every = 1;
}

static void scene_open(struct scene *scene, const struct fl_pool_config *config)
{
	struct wasm_parts parts = { 0 };
	struct wasm w = { 0 };

	memset(scene, 0, sizeof(*scene));
	conform_open(&scene->conform, config);
	wasm_add_table(&parts, 10, 100);
	wasm_add_memory(&parts, 4);
	wasm_add_data(&parts, 3 * 65536 + 7, "of the module");
	wasm_parts_build(&parts, &w);
	scene->module = module_load(&scene->conform, &w);
}

static void capture(struct scene *scene, struct fl_instance *instance)
{
	struct fl_snapshot_config config;
	struct fl_snapshot *before = scene->snapshot;

	fl_snapshot_config_init(&config);
	config.plain_tables = 1;
	config.plain_structure = 1;
	CONFORM_MUST(fl_instance_snapshot(&instance, 1, &config,
					  &scene->snapshot, &scene->error),
		     &scene->error);
	fl_snapshot_release(before);
}

static struct fl_instance *clone(struct scene *scene)
{
	struct fl_instance_config config;
	struct fl_instance *instance = NULL;

	fl_instance_config_init(&config);
	config.snapshot = scene->snapshot;
	CONFORM_MUST(fl_instance_acquire(scene->conform.pool, scene->module,
					 &config, &instance, &scene->error),
		     &scene->error);
	return instance;
}

static void scene_close(struct scene *scene)
{
	struct fl_pool_info info = conform_info(&scene->conform);

	CHECK_EQ(info.audit_failures, 0);
	CHECK_EQ(info.retired_memories + info.retired_tables +
			 info.retired_instances,
		 0);
	fl_snapshot_release(scene->snapshot);
	check_nothing_held(&scene->conform);
	fl_module_release(scene->module);
	conform_close(&scene->conform);
}

/* Everything that an instance can write, with one value. */
static void fill(struct fl_instance *instance, uint8_t value)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	struct fl_table *table = fl_instance_table(instance, 0);

	memset(memory->base, value, fl_memory_length(memory));
	memset(table->base, value, 8 * fl_table_size(table));
	memset(fl_instance_structure(instance), value, STRUCTURE_BYTES);
}

static bool is_all(const void *bytes, uint64_t len, uint8_t value)
{
	const uint8_t *at = bytes;

	return !len || (*at == value && !memcmp(at, at + 1, (size_t)len - 1));
}

static void check_filled(struct fl_instance *instance, uint8_t value,
			 uint64_t wpages)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	struct fl_table *table = fl_instance_table(instance, 0);

	CHECK_EQ(fl_memory_length(memory), wpages * WPAGE);
	CHECK(is_all(memory->base, wpages * WPAGE, value));
	CHECK_EQ(fl_table_size(table), 10);
	CHECK(is_all(table->base, 80, value));
	CHECK(is_all(fl_instance_structure(instance), STRUCTURE_BYTES, value));
}

static void check_plain(struct fl_instance *instance)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	uint64_t off = 3 * WPAGE + 7, end = off + 13;

	CHECK_EQ(fl_memory_length(memory), 4 * WPAGE);
	check_text(memory, off, "of the module");
	CHECK_EQ(conform_first_data(memory->base, off), off);
	CHECK_EQ(conform_first_data(memory->base + end, 4 * WPAGE - end),
		 4 * WPAGE - end);
	CHECK(is_all(fl_instance_table(instance, 0)->base, 80, 0));
	CHECK(is_all(fl_instance_structure(instance), STRUCTURE_BYTES, 0));
}

/* ------------------------------------------------------------- what is left out */

static void prefix_is_not_captured(void)
{
	struct fl_pool_config config;
	struct fl_instance *one;
	struct scene scene;

	for (int i = 0; i < 4; i++) {
		pool_config(&config);
		config.prefix_bytes = PREFIX_BYTES;
		config.bounds = i % 2 ? FL_BOUNDS_ACCESSIBLE :
					FL_BOUNDS_GUARDED;
		config.allocation = i / 2 ? FL_ALLOCATION_ON_DEMAND :
					    FL_ALLOCATION_POOLING;
		scene_open(&scene, &config);
		one = instance_start(&scene.conform, scene.module);
		memset(fl_instance_memory(one, 0)->base - PREFIX_BYTES, 0xaa,
		       PREFIX_BYTES);
		memset(fl_instance_memory(one, 0)->base, 0xbb, 100);
		capture(&scene, one);
		CHECK(is_all(fl_instance_memory(one, 0)->base - PREFIX_BYTES,
			     PREFIX_BYTES, 0xaa));
		instance_stop(one);
		for (int k = 0; k < 4; k++) {
			uint8_t *base;

			one = clone(&scene);
			base = fl_instance_memory(one, 0)->base;
			CHECK(is_all(base - PREFIX_BYTES, PREFIX_BYTES, 0));
			CHECK(is_all(base, 100, 0xbb));
			memset(base - PREFIX_BYTES, 0xcc, PREFIX_BYTES);
			capture(&scene, one);
			instance_stop(one);
		}
		scene_close(&scene);
	}
}

/* A memory of 1-byte pages ends within a host page, and the rest of the page can
 * be written. */
static void rest_of_the_last_page_is_not_captured(void)
{
	uint64_t size = 2 * conform_hpage() + 100;
	struct fl_pool_config config;
	struct wasm_parts parts = { 0 };
	struct fl_instance *one;
	struct fl_memory *memory;
	struct wasm w = { 0 };
	struct scene scene;

	pool_config(&config);
	scene_open(&scene, &config);
	fl_module_release(scene.module);
	wasm_limits(wasm_add(&parts, WASM_MEMORY), 9, size, MIB);
	wasm_u(&parts.of[WASM_MEMORY].items, 0);
	wasm_parts_build(&parts, &w);
	scene.module = module_load(&scene.conform, &w);
	one = instance_start(&scene.conform, scene.module);
	memory = fl_instance_memory(one, 0);
	memset(memory->base + size - 50, 0x99, 50);
	memset(memory->base + size, 0xaa, conform_hpage() - 100);
	capture(&scene, one);
	instance_stop(one);
	for (int i = 0; i < 4; i++) {
		one = clone(&scene);
		memory = fl_instance_memory(one, 0);
		CHECK_EQ(fl_memory_length(memory), size);
		CHECK(is_all(memory->base + size - 50, 50, 0x99));
		CHECK(is_all(memory->base + size, conform_hpage() - 100, 0));
		CHECK_EQ(fl_memory_grow(memory, WPAGE, NULL), 0);
		CHECK_EQ(conform_first_data(memory->base + size, WPAGE), WPAGE);
		memset(memory->base, 0xbb, size + WPAGE);
		instance_stop(one);
	}
	scene_close(&scene);
}

/* What lies between the length of a table and the end of its slot is accessible,
 * and is none of the table's. */
static void behind_the_table_is_not_captured(void)
{
	struct fl_pool_config config;
	struct fl_instance *one;
	struct fl_table *table;
	struct scene scene;

	pool_config(&config);
	scene_open(&scene, &config);
	one = instance_start(&scene.conform, scene.module);
	memset(fl_instance_table(one, 0)->base, 0xaa, 800);
	capture(&scene, one);
	instance_stop(one);
	for (int i = 0; i < 4; i++) {
		one = clone(&scene);
		table = fl_instance_table(one, 0);
		CHECK_EQ(fl_table_size(table), 10);
		CHECK(is_all(table->base, 80, 0xaa));
		CHECK_EQ(fl_table_grow(table, 90, NULL, NULL), 0);
		CHECK(is_all((uint8_t *)table->base + 80, 720, 0));
		memset(table->base, 0xbb, 800);
		instance_stop(one);
	}
	scene_close(&scene);
}

/* --------------------------------------------------------------- next tenants */

/* A memory without content, then a clone or an instance of the module. */
static void take_turns(struct scene *scene, int turn)
{
	struct fl_memory *memory;
	struct fl_instance *one;

	if (turn % 3 == 0) {
		memory = conform_take(&scene->conform, NULL, 6 * WPAGE);
		conform_check_zero(memory);
		memset(memory->base, 0x22, 6 * WPAGE);
		conform_give(memory);
	}
	if (turn % 2) {
		one = instance_start(&scene->conform, scene->module);
		check_plain(one);
	} else {
		one = clone(scene);
		check_filled(one, 0x5e, 6);
	}
	fill(one, (uint8_t)turn);
	instance_stop(one);
}

/* All in the one slot that there is. */
static void clones_and_others_take_turns(void)
{
	static const uint64_t budgets[] = { UINT64_MAX, 0, 20000 };
	struct fl_pool_config config;
	struct fl_instance *one;
	struct scene scene;

	for (size_t b = 0; b < TEST_ARRAY_SIZE(budgets); b++) {
		pool_config(&config);
		config.max_memories = config.max_tables = 1;
		config.max_instances = 1;
		config.max_idle_bytes = budgets[b];
		config.max_idle_slot_bytes = budgets[b];
		scene_open(&scene, &config);
		one = instance_start(&scene.conform, scene.module);
		CHECK_EQ(fl_memory_grow(fl_instance_memory(one, 0), 2, NULL),
			 0);
		fill(one, 0x5e);
		capture(&scene, one);
		fill(one, 0x11);
		instance_stop(one);
		for (int turn = 0; turn < 24; turn++)
			take_turns(&scene, turn);
		scene_close(&scene);
	}
}

#define CHAIN 8

/* Snapshot i of the chain shows this value in 4 + i wpages. */
static uint8_t chain_value(int i)
{
	return (uint8_t)(0x10 + i);
}

/* Each clone is captured in its turn; each snapshot is of the clone before. */
static void chain_forge(struct scene *scene, struct fl_snapshot **kept)
{
	struct fl_instance *one =
		instance_start(&scene->conform, scene->module);

	for (int i = 0; i < CHAIN; i++) {
		fill(one, chain_value(i));
		capture(scene, one);
		kept[i] = fl_snapshot_retain(scene->snapshot);
		CHECK(kept[i] == scene->snapshot);
		instance_stop(one);
		one = clone(scene);
		check_filled(one, chain_value(i), 4 + (uint64_t)i);
		CHECK_EQ(fl_memory_grow(fl_instance_memory(one, 0), 1, NULL),
			 0);
	}
	instance_stop(one);
}

static void a_chain_of_clones(void)
{
	struct fl_snapshot *kept[CHAIN];
	struct fl_pool_config config;
	struct fl_instance *one;
	struct scene scene;

	pool_config(&config);
	scene_open(&scene, &config);
	chain_forge(&scene, kept);
	fl_snapshot_release(scene.snapshot);
	for (int i = CHAIN; i--;) {
		scene.snapshot = kept[i];
		for (int k = 0; k < 2; k++) {
			one = clone(&scene);
			check_filled(one, chain_value(i), 4 + (uint64_t)i);
			fill(one, 0xff);
			instance_stop(one);
		}
		fl_snapshot_release(kept[i]);
	}
	scene.snapshot = NULL;
	scene_close(&scene);
}

/* A slot that last showed the snapshot is the next clone's, though another one
 * was freed later. */
static void clones_go_where_clones_were(void)
{
	struct fl_pool_config config;
	struct fl_instance *one, *two;
	struct scene scene;
	const void *base;

	pool_config(&config);
	/* So few that no processor has a shelf, which another one would not see. */
	config.max_warm_memories = 4;
	scene_open(&scene, &config);
	one = instance_start(&scene.conform, scene.module);
	fill(one, 0x44);
	capture(&scene, one);
	instance_stop(one);
	one = clone(&scene);
	base = fl_instance_memory(one, 0)->base;
	for (int i = 0; i < 10; i++) {
		two = instance_start(&scene.conform, scene.module);
		instance_stop(one);
		instance_stop(two);
		one = clone(&scene);
		check_filled(one, 0x44, 4);
		CHECK(fl_instance_memory(one, 0)->base == base);
		fill(one, 0x45);
	}
	instance_stop(one);
	scene_close(&scene);
}

/* The snapshot goes first; its clones live on, and are captured. */
static void snapshot_goes_before_its_clones(void)
{
	struct fl_pool_config config;
	struct fl_instance *one, *two;
	struct scene scene;

	pool_config(&config);
	scene_open(&scene, &config);
	one = instance_start(&scene.conform, scene.module);
	fill(one, 0x44);
	capture(&scene, one);
	instance_stop(one);
	one = clone(&scene);
	fl_snapshot_release(scene.snapshot);
	scene.snapshot = NULL;
	check_filled(one, 0x44, 4);
	capture(&scene, one);
	two = clone(&scene);
	check_filled(two, 0x44, 4);
	instance_stop(one);
	instance_stop(two);
	scene_close(&scene);
}

/* -------------------------------------------------------------- purge and trim */

/* How many slots the purge of the snapshot's image empties. */
static uint32_t purge(struct scene *scene)
{
	uint32_t purged = UINT32_MAX;

	CHECK_EQ(fl_pool_purge(scene->conform.pool, NULL,
			       fl_snapshot_image(scene->snapshot, 0, 0),
			       &purged),
		 0);
	return purged;
}

static void purge_by_image(void)
{
	struct fl_pool_config config;
	struct fl_instance *one, *two;
	struct scene scene;

	pool_config(&config);
	scene_open(&scene, &config);
	one = instance_start(&scene.conform, scene.module);
	fill(one, 0x44);
	capture(&scene, one);
	instance_stop(one);
	CHECK_EQ(fl_pool_trim(scene.conform.pool, UINT64_MAX, NULL), 0);
	one = clone(&scene);
	two = clone(&scene);
	fill(one, 0x55);
	/* None of the free slots shows the image. */
	CHECK_EQ(purge(&scene), 0);
	instance_stop(one);
	CHECK_EQ(purge(&scene), 1);
	check_filled(two, 0x44, 4);
	one = clone(&scene);
	check_filled(one, 0x44, 4);
	instance_stop(one);
	instance_stop(two);
	CHECK_EQ(purge(&scene), 2);
	CHECK_EQ(conform_info(&scene.conform).warm_memories, 0);
	scene_close(&scene);
}

static void trim_beside_live_clones(void)
{
	struct fl_pool_config config;
	struct fl_instance *one, *two;
	struct scene scene;

	pool_config(&config);
	scene_open(&scene, &config);
	one = instance_start(&scene.conform, scene.module);
	fill(one, 0x44);
	capture(&scene, one);
	instance_stop(one);
	two = clone(&scene);
	for (int i = 0; i < 6; i++) {
		one = clone(&scene);
		check_filled(one, 0x44, 4);
		fill(one, 0x55);
		CHECK_EQ(fl_pool_trim(scene.conform.pool, UINT64_MAX, NULL), 0);
		check_filled(one, 0x55, 4);
		instance_stop(one);
		CHECK_EQ(fl_pool_trim(scene.conform.pool,
				      i % 2 ? 4096 : UINT64_MAX, NULL),
			 0);
		check_filled(two, 0x44, 4);
	}
	instance_stop(two);
	scene_close(&scene);
}

/* ------------------------------------------------------------------------ costs */

static const char *needs_usage(void)
{
	return strcmp(test_rung->how, "track") &&
			       strcmp(test_rung->how, "scan") ?
		       TEST_NOT_BUILT "the rung cannot count pages" :
		       NULL;
}

static struct fl_pool_usage usage_of(const struct scene *scene)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_error error = { .text = "" };

	CONFORM_MUST(fl_pool_usage(scene->conform.pool, &usage, &error),
		     &error);
	return usage;
}

/* A memory of up to max_bytes, of min_wpages at first. */
static void scene_open_large(struct scene *scene, uint64_t max_bytes,
			     uint64_t min_wpages, bool is_64)
{
	struct fl_pool_config config;
	struct wasm_parts parts = { 0 };
	struct wasm w = { 0 };

	pool_config(&config);
	config.audit_every = 0;
	config.max_memory_bytes = max_bytes;
	scene_open(scene, &config);
	fl_module_release(scene->module);
	wasm_limits(wasm_add(&parts, WASM_MEMORY), is_64 ? 4 : 0, min_wpages,
		    0);
	wasm_parts_build(&parts, &w);
	scene->module = module_load(&scene->conform, &w);
	scene->instance = instance_start(&scene->conform, scene->module);
}

/* 4 GiB; of addresses of 32 bits a part that three slots have room for. */
#define LARGE_WPAGES (sizeof(void *) < 8 ? 4096 : 65536)

/* Three pages far apart were touched, and no page more after the capture. */
static void capture_touches_nothing(void)
{
	static const uint64_t wpages[] = { 1, 700, LARGE_WPAGES - 1 };
	struct fl_pool_usage before, after;
	struct fl_memory *memory;
	struct scene scene;

	for (int round = 0; round < 2; round++) {
		scene_open_large(&scene, LARGE_WPAGES * WPAGE, LARGE_WPAGES,
				 false);
		memory = fl_instance_memory(scene.instance, 0);
		for (size_t i = 0; i < TEST_ARRAY_SIZE(wpages); i++)
			memory->base[wpages[i] * WPAGE + 5] = 1;
		before = usage_of(&scene);
		for (int i = 0; i < 3; i++) {
			capture(&scene, scene.instance);
			after = usage_of(&scene);
			CHECK(after.private_bytes <=
			      before.private_bytes + 3 * conform_hpage());
			CHECK(after.shared_bytes <=
			      before.shared_bytes + 3 * conform_hpage());
		}
		test_note("%ju private and %ju shared bytes, then %ju and %ju",
			  (uintmax_t)before.private_bytes,
			  (uintmax_t)before.shared_bytes,
			  (uintmax_t)after.private_bytes,
			  (uintmax_t)after.shared_bytes);
		instance_stop(scene.instance);
		scene_close(&scene);
	}
}

/* A clone's pages of the image are mapped, not copied, by a capture of it. */
static void capture_of_a_clone_touches_nothing(void)
{
	struct fl_pool_usage before, after;
	struct fl_instance *one;
	struct scene scene;

	scene_open_large(&scene, LARGE_WPAGES * WPAGE, 1000, false);
	memset(fl_instance_memory(scene.instance, 0)->base + MIB, 1, 8 * MIB);
	capture(&scene, scene.instance);
	instance_stop(scene.instance);
	CHECK_EQ(fl_pool_trim(scene.conform.pool, UINT64_MAX, NULL), 0);
	one = clone(&scene);
	fl_instance_memory(one, 0)->base[40 * MIB] = 1;
	before = usage_of(&scene);
	capture(&scene, one);
	after = usage_of(&scene);
	test_note("private %ju, then %ju bytes; shared %ju, then %ju",
		  (uintmax_t)before.private_bytes,
		  (uintmax_t)after.private_bytes,
		  (uintmax_t)before.shared_bytes,
		  (uintmax_t)after.shared_bytes);
	CHECK(after.private_bytes <= before.private_bytes + conform_hpage());
	instance_stop(one);
	one = clone(&scene);
	CHECK_EQ(fl_instance_memory(one, 0)->base[40 * MIB], 1);
	CHECK(is_all(fl_instance_memory(one, 0)->base + MIB, 8 * MIB, 1));
	instance_stop(one);
	scene_close(&scene);
}

static bool can_tell_touched_pages(void)
{
	return !needs_usage();
}

/* Beyond 32 bits, and mostly never touched. A rung that knows no page table
 * reads all of the memory, so a smaller one is enough of that. */
static void sparse_memory_of_64_bits(void)
{
	uint64_t bytes = can_tell_touched_pages() ? 32 * GIB : 6 * GIB;
	uint64_t offs[] = { 70000, 4 * GIB + 9, 5 * GIB, bytes - 1 };
	struct fl_image_info info = { .size = sizeof(info) };
	struct fl_instance *one;
	uint64_t started_ns, took_ns;
	struct scene scene;

	scene_open_large(&scene, bytes, bytes / WPAGE, true);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(offs); i++)
		fl_instance_memory(scene.instance, 0)->base[offs[i]] =
			(uint8_t)(i + 1);
	started_ns = test_cpu_ns();
	capture(&scene, scene.instance);
	took_ns = test_cpu_ns() - started_ns;
	test_note("the capture took %ju us", (uintmax_t)took_ns / 1000);
	if (can_tell_touched_pages())
		CHECK(took_ns < 1000000000u);
	fl_image_info(fl_snapshot_image(scene.snapshot, 0, 0), &info);
	CHECK_EQ(info.initial_bytes, bytes);
	CHECK_EQ(info.data_hpages, 4);
	instance_stop(scene.instance);
	for (int i = 0; i < 3; i++) {
		one = clone(&scene);
		for (size_t k = 0; k < TEST_ARRAY_SIZE(offs); k++) {
			uint8_t *at =
				fl_instance_memory(one, 0)->base + offs[k];

			CHECK_EQ(*at, k + 1);
			CHECK_EQ(at[-1], 0);
			*at = 0xff;
		}
		CHECK_EQ(fl_instance_memory(one, 0)->base[3 * GIB], 0);
		fl_instance_memory(one, 0)->base[3 * GIB] = 7;
		instance_stop(one);
	}
	scene_close(&scene);
}

/* Written, and zero again: no page of the image. */
static void zeroes_take_no_storage(void)
{
	struct fl_image_info info = { .size = sizeof(info) };
	struct fl_snapshot_info snapshot = { .size = sizeof(snapshot) };
	struct fl_memory *memory;
	struct scene scene;

	scene_open_large(&scene, 64 * MIB, 1000, false);
	memory = fl_instance_memory(scene.instance, 0);
	memset(memory->base, 0xff, 40 * MIB);
	memset(memory->base, 0, 40 * MIB);
	memory->base[20 * MIB] = 1;
	capture(&scene, scene.instance);
	fl_image_info(fl_snapshot_image(scene.snapshot, 0, 0), &info);
	fl_snapshot_info(scene.snapshot, &snapshot);
	CHECK_EQ(info.data_hpages, 1);
	CHECK(info.stored_bytes <= 2 * MIB);
	CHECK(snapshot.stored_bytes >= info.stored_bytes);
	CHECK(snapshot.stored_bytes <= 3 * MIB);
	instance_stop(scene.instance);
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(prefix_is_not_captured),
	TEST_CASE(rest_of_the_last_page_is_not_captured),
	TEST_CASE(behind_the_table_is_not_captured),
	TEST_CASE(clones_and_others_take_turns),
	TEST_CASE(a_chain_of_clones),
	TEST_CASE(clones_go_where_clones_were),
	TEST_CASE(snapshot_goes_before_its_clones),
	TEST_CASE(purge_by_image),
	TEST_CASE(trim_beside_live_clones),
	TEST_CASE_NEEDS(capture_touches_nothing, needs_usage),
	TEST_CASE_NEEDS(capture_of_a_clone_touches_nothing, needs_usage),
	TEST_CASE_NEEDS(sparse_memory_of_64_bits, test_needs_64_bits),
	TEST_CASE(zeroes_take_no_storage),
};

CONFORM_MAIN(cases)
