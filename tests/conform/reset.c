/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reset.c - memories and instances begin again in place: the same handles and
 * addresses, the first content and size, and nothing of what was there.
 *
 * Random ones: conform/memory: random_operations, and of instances and clones
 * conform/snapshot_model.
 */
#include "tests/kit/conform_module.h"

#include <stdlib.h>

static void memory_begins_again(struct conform *conform, struct fl_image *image,
				bool is_lent)
{
	struct fl_memory_config config;
	struct fl_memory *memory;
	struct model model;
	uint8_t *base;

	fl_memory_config_init(&config);
	config.image = image;
	config.is_lent = is_lent;
	memory = conform_acquire(conform, &config);
	base = memory->base;
	model_init(&model, 3 * WPAGE, 4 * MIB, WPAGE);
	model_put(&model, 70000, "image", 5, 0, 5);
	for (int i = 0; i < 6; i++) {
		CHECK(memory->base == base);
		CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
		if (i % 2)
			CHECK_EQ(fl_memory_grow(memory, 5, NULL), 0);
		memset(base, 0x5a, i < 2 ? 100 : fl_memory_length(memory));
		CHECK_EQ(fl_memory_reset(memory), 0);
	}
	CHECK(fl_memory_find(conform->pool, base) == memory);
	CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
	CHECK_EQ(fl_memory_grow(memory, 2, NULL), 0);
	CHECK_EQ(conform_first_data(base + 3 * WPAGE, 2 * WPAGE), 2 * WPAGE);
	model_fini(&model);
	conform_give(memory);
}

static void memories(void)
{
	static const enum fl_bounds bounds[] = { FL_BOUNDS_GUARDED,
						 FL_BOUNDS_ACCESSIBLE };

	for (int i = 0; i < 8; i++) {
		struct fl_pool_config config;
		struct conform conform;
		struct fl_image *image;

		conform_pool_config(&config);
		config.bounds = bounds[i % 2];
		config.allocation = i & 2 ? FL_ALLOCATION_ON_DEMAND :
					    FL_ALLOCATION_POOLING;
		config.audit_every = 1;
		conform_open(&conform, &config);
		image = conform_image_of(&conform, 3 * WPAGE, 70000, "image",
					 5);
		memory_begins_again(&conform, image, i & 4);
		CHECK_EQ(conform_info(&conform).live_memories, 0);
		CHECK_EQ(conform_info(&conform).retired_memories, 0);
		fl_image_release(image);
		conform_close(&conform);
	}
}

static int64_t live_references;

static void make_reference(void *user, struct fl_instance *instance,
			   const struct fl_element *from, void *element)
{
	uint64_t value = from->idx + 1;

	(void)user;
	(void)instance;
	memcpy(element, &value, sizeof(value));
	live_references++;
}

static void clone_reference(void *user, void *dst, const void *src)
{
	(void)user;
	memcpy(dst, src, 8);
	live_references++;
}

static void drop_reference(void *user, void *element)
{
	(void)user;
	memset(element, 0, 8);
	live_references--;
}

/* One memory with data and a passive segment, one table with an element. */
static struct fl_module *load(struct conform *conform)
{
	struct wasm w = { 0 }, data = { 0 };

	wasm_header(&w);
	wasm_section_bytes(&w, WASM_TYPE, 1, 0x60, 0, 0);
	wasm_section_bytes(&w, WASM_FUNCTION, 1, 0);
	wasm_section_bytes(&w, WASM_TABLE, 1, 0x70, 0, 10);
	wasm_section_bytes(&w, WASM_MEMORY, 1, 0, 2);
	wasm_section_bytes(&w, WASM_ELEMENT, 1, 0, 0x41, 3, 0x0b, 1, 0);
	wasm_section_bytes(&w, WASM_DATA_COUNT, 2);
	wasm_section_bytes(&w, WASM_CODE, 1, 2, 0, 0x0b);
	wasm_u(&data, 2);
	wasm_data_active(&data, 100, "first", 5);
	wasm_data_passive(&data, "passive", 7);
	wasm_section(&w, WASM_DATA, &data);
	return module_load(conform, &w);
}

static void open_pool(struct conform *conform)
{
	struct fl_pool_config config;

	conform_pool_config(&config);
	config.max_tables = 4;
	config.table_element_bytes = 8;
	config.instance_bytes = 100;
	conform_open(conform, &config);
}

static void check_fresh(struct fl_instance *instance)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	struct fl_table *table = fl_instance_table(instance, 0);
	uint64_t element;

	CHECK_EQ(fl_memory_length(memory), 2 * WPAGE);
	CHECK(!memcmp(memory->base + 100, "first", 6));
	CHECK_EQ(fl_table_size(table), 10);
	for (uint64_t i = 0; i < 10; i++) {
		memcpy(&element, (uint8_t *)table->base + 8 * i, 8);
		CHECK_EQ(element, i == 3);
	}
	CHECK_EQ(conform_first_data(fl_instance_structure(instance), 100), 100);
	CHECK_EQ(fl_memory_init(instance, 0, 1, 0, 0, 7), FL_TRAP_NONE);
	CHECK_EQ(live_references, 1);
}

static void change(struct fl_instance *instance)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	struct fl_table *table = fl_instance_table(instance, 0);
	uint64_t element = 77;

	memset(memory->base, 0x77, 2 * WPAGE);
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
	memory->base[2 * WPAGE] = 1;
	CHECK_EQ(fl_table_grow(table, 5, &element, NULL), 0);
	CHECK_EQ(fl_table_fill(table, 0, &element, 4), FL_TRAP_NONE);
	memset(fl_instance_structure(instance), 0x78, 100);
	fl_data_drop(instance, 1);
	CHECK_EQ(fl_memory_init(instance, 0, 1, 0, 0, 1),
		 FL_TRAP_MEMORY_OUT_OF_BOUNDS);
}

static void instances(void)
{
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;
	struct fl_instance_config config;
	struct conform conform;
	struct fl_module *module;
	uint64_t acquired;

	live_references = 0;
	open_pool(&conform);
	module = load(&conform);
	fl_instance_config_init(&config);
	config.make_element = make_reference;
	config.clone_element = clone_reference;
	config.drop_element = drop_reference;
	CONFORM_MUST(fl_instance_acquire(conform.pool, module, &config,
					 &instance, &error),
		     &error);
	acquired = conform_info(&conform).acquired_instances;
	for (int i = 0; i < 6; i++) {
		check_fresh(instance);
		change(instance);
		CHECK_EQ(fl_instance_reset(instance, &config, &error), 0);
		CHECK_EQ(live_references, 0);
		CHECK_EQ(fl_table_size(fl_instance_table(instance, 0)), 10);
		CHECK_EQ(fl_instance_initialise(instance, &config, &error), 0);
		CHECK_EQ(fl_instance_initialise(instance, &config, &error),
			 -EINVAL);
	}
	check_fresh(instance);
	CHECK_EQ(conform_info(&conform).acquired_instances, acquired);
	instance_stop(instance);
	CHECK_EQ(live_references, 0);
	fl_module_release(module);
	conform_close(&conform);
}

static void what_is_refused(void)
{
	struct fl_snapshot_config capture = FL_SNAPSHOT_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot = NULL;
	struct fl_instance_config config;
	struct fl_instance *instance;
	struct conform conform;
	struct fl_module *module;
	struct fl_memory *memory;

	open_pool(&conform);
	module = load(&conform);
	instance = instance_start(&conform, module);
	/* A part of an instance is reset with the instance. */
	memory = fl_instance_memory(instance, 0);
	memory->base[0] = 7;
	CHECK_EQ(fl_memory_reset(memory), -EINVAL);
	CHECK_EQ(memory->base[0], 7);
	capture.plain_tables = capture.plain_structure = 1;
	CONFORM_MUST(fl_instance_snapshot(&instance, 1, &capture, &snapshot,
					  &error),
		     &error);
	fl_instance_config_init(&config);
	config.snapshot = snapshot;
	CHECK_EQ(fl_instance_reset(instance, &config, &error), -EINVAL);
	CHECK_EQ(memory->base[0], 7);
	instance_stop(instance);
	CHECK_EQ(fl_instance_reset(instance, NULL, &error), -EINVAL);
	memory = conform_take(&conform, NULL, WPAGE);
	conform_give(memory);
	CHECK_EQ(fl_memory_reset(memory), -EINVAL);
	fl_snapshot_release(snapshot);
	fl_module_release(module);
	conform_close(&conform);
}

static struct fl_snapshot *capture_of(struct fl_instance *instance)
{
	struct fl_snapshot_config capture = FL_SNAPSHOT_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot = NULL;

	capture.plain_tables = capture.plain_structure = 1;
	CONFORM_MUST(fl_instance_snapshot(&instance, 1, &capture, &snapshot,
					  &error),
		     &error);
	return snapshot;
}

/* A clone may outlive its snapshot, and the allocator gives the next snapshot the
 * same address: that one is another all the same. */
static bool another_is_refused(struct conform *conform,
			       struct fl_instance *model)
{
	struct fl_snapshot_config capture = FL_SNAPSHOT_CONFIG_INIT;
	struct fl_delta_config suspend = FL_DELTA_CONFIG_INIT;
	struct fl_memory *memory = fl_instance_memory(model, 0);
	struct fl_error error = { .text = "" };
	struct fl_instance *clone = NULL;
	struct fl_instance_config config;
	struct fl_delta *delta = NULL;
	uintptr_t first;

	fl_instance_config_init(&config);
	memory->base[9] = 1;
	config.snapshot = capture_of(model);
	first = (uintptr_t)config.snapshot;
	CONFORM_MUST(fl_instance_acquire(conform->pool,
					 fl_instance_module(model), &config,
					 &clone, &error),
		     &error);
	fl_snapshot_release(config.snapshot);
	memory->base[9] = 2;
	config.snapshot = capture_of(model);
	CHECK_EQ(fl_instance_reset(clone, &config, &error), -EINVAL);
	CHECK_EQ(fl_instance_memory(clone, 0)->base[9], 1);
	capture.plain_tables = capture.plain_structure = 1;
	suspend.snapshot = config.snapshot;
	suspend.capture = &capture;
	CHECK_EQ(fl_instance_delta(&clone, 1, &suspend, &delta, &error),
		 -EINVAL);
	fl_snapshot_release(config.snapshot);
	instance_stop(clone);
	return first == (uintptr_t)config.snapshot;
}

static void a_snapshot_where_another_was(void)
{
	struct fl_instance *model;
	struct conform conform;
	struct fl_module *module;
	int same = 0;

	open_pool(&conform);
	module = load(&conform);
	model = instance_start(&conform, module);
	for (int i = 0; i < 20; i++)
		same += another_is_refused(&conform, model);
	test_note("%d of 20 at the same address", same);
	instance_stop(model);
	fl_module_release(module);
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE(memories),
	TEST_CASE(instances),
	TEST_CASE(what_is_refused),
	TEST_CASE(a_snapshot_where_another_was),
};

CONFORM_MAIN(cases)
