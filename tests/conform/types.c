/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * types.c - what the type of a memory or table bounds: its growth, its image,
 * and which imports it matches.
 */
#include "tests/kit/conform_module.h"
#include "tests/kit/host.h"

#include <stdlib.h>

#define LIMITS_MAX 1
#define LIMITS_SHARED 2
#define LIMITS_64 4
#define LIMITS_PAGE_SIZE 8

/* A memory or a table, as a module says it. */
struct type {
	unsigned int flags;
	uint64_t min, max;
	unsigned int element; /* tables */
};

static const enum fl_allocation allocations[] = { FL_ALLOCATION_POOLING,
						  FL_ALLOCATION_ON_DEMAND };

/* Memories larger than 32-bit addresses reach. */
static void open_large(struct conform *conform, enum fl_allocation allocation)
{
	struct fl_pool_config config;

	fl_pool_config_init(&config);
	config.max_instances = config.max_memories = 2;
	config.max_tables = 2;
	config.max_table_elements = UINT64_C(5) << 30;
	config.table_element_bytes = 4;
	config.max_memory_bytes = 16 * GIB;
	config.memory_stride_bytes = 0;
	config.allocation = allocation;
	conform_open(conform, &config);
}

static void add_memory_type(struct wasm *w, const struct type *type)
{
	wasm_limits(w, type->flags, type->min, type->max);
	if (type->flags & LIMITS_PAGE_SIZE)
		wasm_u(w, 0);
}

static struct fl_module *load_memory(struct conform *conform,
				     const struct type *type)
{
	struct wasm w = { 0 }, memories = { 0 };

	wasm_header(&w);
	wasm_u(&memories, 1);
	add_memory_type(&memories, type);
	wasm_section(&w, WASM_MEMORY, &memories);
	return module_load(conform, &w);
}

static struct fl_module *load_table(struct conform *conform,
				    const struct type *type)
{
	struct wasm w = { 0 }, tables = { 0 };

	wasm_header(&w);
	wasm_u(&tables, 1);
	wasm_u(&tables, type->element);
	wasm_limits(&tables, type->flags, type->min, type->max);
	wasm_section(&w, WASM_TABLE, &tables);
	return module_load(conform, &w);
}

static struct fl_module *load_import(struct conform *conform, bool is_table,
				     const struct type *type)
{
	struct wasm w = { 0 }, imports = { 0 };

	wasm_header(&w);
	wasm_u(&imports, 1);
	wasm_name(&imports, "env");
	wasm_name(&imports, "it");
	wasm_u(&imports, is_table ? 1 : 2);
	if (is_table) {
		wasm_u(&imports, type->element);
		wasm_limits(&imports, type->flags, type->min, type->max);
	} else {
		add_memory_type(&imports, type);
	}
	wasm_section(&w, WASM_IMPORT, &imports);
	return module_load(conform, &w);
}

/* --------------------------------------------------------------- growth */

/* Grow to the last page, and not one further, in one step or in two. */
static void check_end(struct fl_memory *memory, uint64_t page_bytes,
		      uint64_t most_pages)
{
	uint64_t pages = fl_memory_length(memory) / page_bytes, old = 7;

	CHECK_EQ(fl_memory_grow(memory, most_pages - pages + 1, &old), -E2BIG);
	CHECK_EQ(old, 7);
	CHECK_EQ(fl_memory_length(memory), pages * page_bytes);
	CHECK_EQ(fl_memory_grow(memory, most_pages - pages, &old), 0);
	CHECK_EQ(old, pages);
	CHECK_EQ(fl_memory_length(memory), most_pages * page_bytes);
	CHECK_EQ(fl_memory_grow(memory, 1, &old), -E2BIG);
	CHECK_EQ(fl_memory_grow(memory, 0, &old), 0);
	CHECK_EQ(old, most_pages);
}

static void memories_end_with_their_addresses(void)
{
	static const struct {
		struct type type;
		uint64_t page_bytes, most_pages;
	} rows[] = {
		{ { 0, 1, 0, 0 }, WPAGE, 65536 },
		{ { 0, 0, 0, 0 }, WPAGE, 65536 },
		{ { 0, 65536, 0, 0 }, WPAGE, 65536 },
		{ { LIMITS_MAX, 1, 65536, 0 }, WPAGE, 65536 },
		{ { LIMITS_MAX, 1, 5, 0 }, WPAGE, 5 },
		{ { LIMITS_PAGE_SIZE, 1, 0, 0 }, 1, UINT32_MAX },
		{ { LIMITS_64, 1, 0, 0 }, WPAGE, 16 * GIB / WPAGE },
		{ { LIMITS_64 | LIMITS_PAGE_SIZE, 1, 0, 0 }, 1, 16 * GIB },
	};
	struct conform conform;

	for (size_t a = 0; a < TEST_ARRAY_SIZE(allocations); a++) {
		open_large(&conform, allocations[a]);
		for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
			struct fl_module *module =
				load_memory(&conform, &rows[i].type);
			struct fl_instance *instance =
				instance_start(&conform, module);

			check_end(fl_instance_memory(instance, 0),
				  rows[i].page_bytes, rows[i].most_pages);
			instance_stop(instance);
			fl_module_release(module);
		}
		conform_close(&conform);
	}
}

static void memories_alone_end_with_their_addresses(void)
{
	static const struct {
		uint32_t address_bits;
		uint64_t page_bytes, max_bytes, most_pages;
	} rows[] = {
		{ 32, WPAGE, UINT64_MAX, 65536 },
		{ 32, WPAGE, 8 * GIB, 65536 },
		{ 32, WPAGE, 2 * WPAGE, 2 },
		{ 32, 4096, UINT64_MAX, 4 * GIB / 4096 },
		{ 32, 2, UINT64_MAX, 2 * GIB },
		{ 32, 1, UINT64_MAX, UINT32_MAX },
		{ 64, WPAGE, UINT64_MAX, 16 * GIB / WPAGE },
		{ 0, WPAGE, UINT64_MAX, 16 * GIB / WPAGE },
	};
	struct fl_memory_config config;
	struct conform conform;

	for (size_t a = 0; a < TEST_ARRAY_SIZE(allocations); a++) {
		open_large(&conform, allocations[a]);
		for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
			struct fl_memory *memory;

			fl_memory_config_init(&config);
			config.page_bytes = rows[i].page_bytes;
			config.max_bytes = rows[i].max_bytes;
			config.address_bits = rows[i].address_bits;
			memory = conform_acquire(&conform, &config);
			check_end(memory, rows[i].page_bytes,
				  rows[i].most_pages);
			conform_give(memory);
		}
		conform_close(&conform);
	}
}

static void image_has_a_size_of_the_type(void)
{
	struct type bounded = { LIMITS_MAX, 1, 2, 0 }, open = { 0, 1, 0, 0 };
	struct fl_module *modules[2];
	const uint64_t most[2] = { 2 * WPAGE, 4 * GIB };
	struct fl_error error = { .text = "" };
	struct fl_memory_config config;
	struct fl_memory *memory = NULL;
	struct conform conform;

	open_large(&conform, FL_ALLOCATION_POOLING);
	modules[0] = load_memory(&conform, &bounded);
	modules[1] = load_memory(&conform, &open);
	for (size_t i = 0; i < 2; i++) {
		struct fl_image_config image_config = FL_IMAGE_CONFIG_INIT;
		struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
		struct fl_snapshot *snapshot = NULL;
		struct fl_image *image = NULL;

		image_config.initial_bytes = most[i] + 1;
		CHECK_EQ(fl_image_from_module(conform.context, modules[i], 0,
					      &image_config, &image, &error),
			 -EINVAL);
		CHECK_HAS(error.text, "initial_bytes");
		image_config.initial_bytes = WPAGE - 1;
		CHECK_EQ(fl_image_from_module(conform.context, modules[i], 0,
					      &image_config, &image, &error),
			 -EINVAL);
		CHECK_HAS(error.text, "65536 at least");
		image_config.initial_bytes = most[i];
		MUST_EQ(fl_image_from_module(conform.context, modules[i], 0,
					     &image_config, &image, &error),
			0);
		fl_image_release(image);
		parts.module = modules[i];
		parts.images = &image;
		parts.image_count = 1;
		image = conform_image(&conform, WPAGE - 1, NULL, 0);
		CHECK_EQ(fl_snapshot_create(&parts, &snapshot, &error),
			 -EINVAL);
		CHECK_HAS(error.text, "from 65536 to");
		fl_image_release(image);
		image = conform_image(&conform, most[i] + 1, NULL, 0);
		CHECK_EQ(fl_snapshot_create(&parts, &snapshot, &error),
			 -EINVAL);
		fl_memory_config_init(&config);
		config.image = image;
		if (i)
			config.address_bits = 32;
		else
			config.max_bytes = most[i];
		CHECK_EQ(fl_memory_acquire(conform.pool, &config, &memory,
					   &error),
			 -EINVAL);
		CHECK_HAS(error.text, i ? "address_bits" : "max_bytes");
		fl_image_release(image);
		fl_module_release(modules[i]);
	}
	config.image = NULL;
	config.address_bits = 33;
	CHECK_EQ(fl_memory_acquire(conform.pool, &config, &memory, &error),
		 -EINVAL);
	conform_close(&conform);
}

/* Refused before anything is allocated or written. */
static void check_table_end(struct fl_table *table)
{
	uint64_t length = fl_table_size(table), old = 7;

	CHECK_EQ(fl_table_grow(table, (UINT64_C(1) << 32) - length, NULL, &old),
		 -E2BIG);
	CHECK_EQ(old, 7);
	CHECK_EQ(fl_table_grow(table, 3, NULL, &old), 0);
	CHECK_EQ(old, length);
}

static void tables_end_with_their_indices(void)
{
	struct type type = { 0, 10, 0, 0x70 };
	struct fl_error error = { .text = "" };
	struct fl_table_config config = FL_TABLE_CONFIG_INIT;
	struct fl_instance *instance;
	struct fl_module *module;
	struct fl_table *table = NULL;
	struct conform conform;

	config.element_bytes = 4;
	config.address_bits = 32;
	for (size_t a = 0; a < TEST_ARRAY_SIZE(allocations); a++) {
		open_large(&conform, allocations[a]);
		module = load_table(&conform, &type);
		instance = instance_start(&conform, module);
		check_table_end(fl_instance_table(instance, 0));
		instance_stop(instance);
		fl_module_release(module);
		MUST_EQ(fl_table_acquire(conform.pool, &config, &table, &error),
			0);
		check_table_end(table);
		CHECK_EQ(fl_table_release(table), 0);
		conform_close(&conform);
	}
	MUST_EQ(fl_table_create(&config, &table, &error), 0);
	check_table_end(table);
	CHECK_EQ(fl_table_release(table), 0);
	config.initial_elements = UINT64_C(1) << 32;
	CHECK_EQ(fl_table_create(&config, &table, &error), -EINVAL);
	CHECK_HAS(error.text, "address_bits");
	config.address_bits = 16;
	CHECK_EQ(fl_table_create(&config, &table, &error), -EINVAL);
}

/* -------------------------------------------------------------- imports */

static void check_import(struct conform *conform, bool is_table,
			 const struct type *type,
			 const struct fl_instance_config *config,
			 const char *refused)
{
	struct fl_module *module = load_import(conform, is_table, type);
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;

	CHECK_EQ(fl_instance_acquire(conform->pool, module, config, &instance,
				     &error),
		 refused ? -EINVAL : 0);
	if (refused)
		CHECK_HAS(error.text, refused);
	if (instance)
		instance_stop(instance);
	fl_module_release(module);
}

/* What one module defines, another one imports. */
static void imports_of_memories_match(void)
{
	static const struct {
		struct type actual, wanted;
		const char *refused;
	} rows[] = {
		{ { 0, 2, 0, 0 }, { 0, 2, 0, 0 }, NULL },
		{ { 0, 2, 0, 0 }, { 0, 1, 0, 0 }, NULL },
		{ { 0, 2, 0, 0 }, { 0, 3, 0, 0 }, "asks for" },
		{ { 0, 2, 0, 0 }, { LIMITS_MAX, 1, 65536, 0 }, "no maximum" },
		{ { LIMITS_MAX, 2, 4, 0 }, { 0, 1, 0, 0 }, NULL },
		{ { LIMITS_MAX, 2, 4, 0 }, { LIMITS_MAX, 1, 4, 0 }, NULL },
		{ { LIMITS_MAX, 2, 4, 0 }, { LIMITS_MAX, 1, 3, 0 }, "grow" },
		/* The pool's maximum is no part of the type. */
		{ { LIMITS_MAX, 2, 60000, 0 },
		  { LIMITS_MAX, 2, 59999, 0 },
		  "grow" },
		{ { LIMITS_64, 2, 0, 0 }, { 0, 2, 0, 0 }, "64 bits" },
		{ { 0, 2, 0, 0 }, { LIMITS_64, 2, 0, 0 }, "32 bits" },
		{ { LIMITS_64, 2, 0, 0 }, { LIMITS_64, 2, 0, 0 }, NULL },
		{ { LIMITS_PAGE_SIZE, 65536, 0, 0 }, { 0, 1, 0, 0 }, "pages" },
		{ { 0, 1, 0, 0 }, { LIMITS_PAGE_SIZE, 1, 0, 0 }, "pages" },
		{ { LIMITS_PAGE_SIZE, 9, 0, 0 },
		  { LIMITS_PAGE_SIZE, 9, 0, 0 },
		  NULL },
		{ { LIMITS_MAX | LIMITS_SHARED, 1, 2, 0 },
		  { LIMITS_MAX, 1, 2, 0 },
		  "is_shared" },
		{ { LIMITS_MAX, 1, 2, 0 },
		  { LIMITS_MAX | LIMITS_SHARED, 1, 2, 0 },
		  "is_shared" },
		{ { LIMITS_MAX | LIMITS_SHARED, 1, 2, 0 },
		  { LIMITS_MAX | LIMITS_SHARED, 1, 2, 0 },
		  NULL },
	};
	struct fl_instance_config config;
	struct conform conform;

	conform_open(&conform, NULL);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		struct fl_module *module =
			load_memory(&conform, &rows[i].actual);
		struct fl_instance *from = instance_start(&conform, module);
		struct fl_memory *memory = fl_instance_memory(from, 0);

		fl_instance_config_init(&config);
		config.imported_memories = &memory;
		config.imported_memory_count = 1;
		check_import(&conform, false, &rows[i].wanted, &config,
			     rows[i].refused);
		instance_stop(from);
		fl_module_release(module);
	}
	conform_close(&conform);
}

/* A memory taken alone: its maximum is where its growth ends. */
static void imports_of_memories_alone_match(void)
{
	static const struct {
		uint32_t address_bits, is_shared;
		uint64_t page_bytes, max_bytes;
		struct type wanted;
		const char *refused;
	} rows[] = {
		{ 0, 0, WPAGE, UINT64_MAX, { 0, 2, 0, 0 }, NULL },
		{ 0, 0, WPAGE, UINT64_MAX, { LIMITS_64, 2, 0, 0 }, NULL },
		{ 32, 0, WPAGE, UINT64_MAX, { 0, 2, 0, 0 }, NULL },
		{ 64, 0, WPAGE, UINT64_MAX, { LIMITS_64, 2, 0, 0 }, NULL },
		{ 64, 0, WPAGE, UINT64_MAX, { 0, 2, 0, 0 }, "64 bits" },
		{ 32, 0, WPAGE, UINT64_MAX, { LIMITS_64, 2, 0, 0 }, "32 bits" },
		/* The pool's maximum is 64 pages. */
		{ 0, 0, WPAGE, UINT64_MAX, { LIMITS_MAX, 2, 64, 0 }, NULL },
		{ 0, 0, WPAGE, UINT64_MAX, { LIMITS_MAX, 2, 63, 0 }, "grow" },
		{ 0, 0, WPAGE, 3 * WPAGE, { LIMITS_MAX, 2, 3, 0 }, NULL },
		{ 0, 0, WPAGE, 4 * WPAGE, { LIMITS_MAX, 2, 3, 0 }, "grow" },
		{ 0, 0, 1, UINT64_MAX, { 0, 2, 0, 0 }, "pages" },
		{ 0, 1, WPAGE, UINT64_MAX, { 0, 2, 0, 0 }, "is_shared" },
	};
	struct fl_memory_config memory_config;
	struct fl_instance_config config;
	struct conform conform;

	conform_open(&conform, NULL);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		struct fl_memory *memory;

		fl_memory_config_init(&memory_config);
		memory_config.initial_bytes = 2 * WPAGE;
		memory_config.max_bytes = rows[i].max_bytes;
		memory_config.page_bytes = rows[i].page_bytes;
		memory_config.is_shared = rows[i].is_shared;
		memory_config.address_bits = rows[i].address_bits;
		memory = conform_acquire(&conform, &memory_config);
		fl_instance_config_init(&config);
		config.imported_memories = &memory;
		config.imported_memory_count = 1;
		check_import(&conform, false, &rows[i].wanted, &config,
			     rows[i].refused);
		conform_give(memory);
	}
	conform_close(&conform);
}

static void open_with_tables(struct conform *conform)
{
	struct fl_pool_config config;

	conform_pool_config(&config);
	config.max_tables = 4;
	config.max_table_elements = 100;
	config.table_element_bytes = 8;
	conform_open(conform, &config);
}

static void imports_of_tables_match(void)
{
	static const struct {
		struct type actual, wanted;
		const char *refused;
	} rows[] = {
		{ { 0, 2, 0, 0x70 }, { 0, 2, 0, 0x70 }, NULL },
		{ { 0, 2, 0, 0x6f }, { 0, 1, 0, 0x6f }, NULL },
		{ { 0, 2, 0, 0x6f }, { 0, 2, 0, 0x70 }, "externref" },
		{ { 0, 2, 0, 0x70 }, { 0, 2, 0, 0x6f }, "funcref" },
		{ { 0, 2, 0, 0x70 }, { 0, 3, 0, 0x70 }, "asks for" },
		{ { 0, 2, 0, 0x70 },
		  { LIMITS_MAX, 2, 100, 0x70 },
		  "no maximum" },
		{ { LIMITS_MAX, 2, 9, 0x70 },
		  { LIMITS_MAX, 2, 8, 0x70 },
		  "grow" },
		{ { LIMITS_MAX, 2, 9, 0x70 }, { LIMITS_MAX, 2, 9, 0x70 }, NULL },
		{ { LIMITS_64, 2, 0, 0x70 }, { 0, 2, 0, 0x70 }, "64 bits" },
		{ { 0, 2, 0, 0x70 }, { LIMITS_64, 2, 0, 0x70 }, "32 bits" },
	};
	struct fl_instance_config config;
	struct conform conform;

	open_with_tables(&conform);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		struct fl_module *module =
			load_table(&conform, &rows[i].actual);
		struct fl_instance *from = instance_start(&conform, module);
		struct fl_table *table = fl_instance_table(from, 0);

		fl_instance_config_init(&config);
		config.imported_tables = &table;
		config.imported_table_count = 1;
		check_import(&conform, true, &rows[i].wanted, &config,
			     rows[i].refused);
		instance_stop(from);
		fl_module_release(module);
	}
	conform_close(&conform);
}

/* A table alone does not say what its elements are. Static storage bounds it as
 * a maximum does; dynamic storage does not. */
static void imports_of_tables_alone_match(void)
{
	static uint64_t storage[8];
	static const struct {
		uint32_t address_bits, is_static;
		uint64_t max_elements;
		struct type wanted;
		const char *refused;
	} rows[] = {
		{ 0, 0, UINT64_MAX, { 0, 2, 0, 0x70 }, NULL },
		{ 0, 0, UINT64_MAX, { 0, 2, 0, 0x6f }, NULL },
		{ 0, 0, UINT64_MAX, { LIMITS_MAX, 2, 9, 0x70 }, "no maximum" },
		{ 0, 0, 9, { LIMITS_MAX, 2, 9, 0x70 }, NULL },
		{ 0, 0, 10, { LIMITS_MAX, 2, 9, 0x70 }, "grow" },
		{ 0, 1, UINT64_MAX, { LIMITS_MAX, 2, 8, 0x70 }, NULL },
		{ 0, 1, UINT64_MAX, { LIMITS_MAX, 2, 7, 0x70 }, "grow" },
		{ 64, 0, UINT64_MAX, { LIMITS_64, 2, 0, 0x70 }, NULL },
		{ 64, 0, UINT64_MAX, { 0, 2, 0, 0x70 }, "64 bits" },
		{ 32, 0, UINT64_MAX, { LIMITS_64, 2, 0, 0x70 }, "32 bits" },
	};
	struct fl_instance_config config;
	struct conform conform;

	open_with_tables(&conform);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		struct fl_table_config table_config = FL_TABLE_CONFIG_INIT;
		struct fl_table *table = NULL;

		table_config.element_bytes = 8;
		table_config.initial_elements = 2;
		table_config.max_elements = rows[i].max_elements;
		table_config.address_bits = rows[i].address_bits;
		if (rows[i].is_static) {
			table_config.storage = storage;
			table_config.storage_bytes = sizeof(storage);
		}
		MUST_EQ(fl_table_create(&table_config, &table, NULL), 0);
		fl_instance_config_init(&config);
		config.imported_tables = &table;
		config.imported_table_count = 1;
		check_import(&conform, true, &rows[i].wanted, &config,
			     rows[i].refused);
		CHECK_EQ(fl_table_release(table), 0);
	}
	conform_close(&conform);
}

/* ------------------------------------------------------ segments of imports */

/* A segment of an imported memory that a global places, which the library does
 * not write: it traps where the same segment with a constant does. */
static void segments_placed_by_globals_trap(void)
{
	static const struct {
		uint64_t offset;
		uint32_t given;
		int err;
	} rows[] = {
		{ 0, 1, 0 },
		{ WPAGE - 1, 1, 0 },
		{ WPAGE, 1, -EFAULT },
		{ 70000, 1, -EFAULT },
		{ UINT32_MAX, 1, -EFAULT },
		/* Nobody here can tell. */
		{ 70000, 0, 0 },
	};
	struct wasm w = { 0 }, imports = { 0 }, data = { 0 };
	struct fl_error error = { .text = "" };
	struct fl_instance_config config;
	struct fl_memory *memory;
	struct fl_module *module;
	struct conform conform;

	conform_open(&conform, NULL);
	wasm_header(&w);
	wasm_u(&imports, 2);
	wasm_name(&imports, "env");
	wasm_name(&imports, "memory");
	wasm_bytes(&imports, 2, 0, 1);
	wasm_name(&imports, "env");
	wasm_name(&imports, "base");
	wasm_bytes(&imports, 3, 0x7f, 0);
	wasm_section(&w, WASM_IMPORT, &imports);
	wasm_bytes(&data, 1, 0);
	wasm_global_get(&data, 0);
	wasm_name(&data, "x");
	wasm_section(&w, WASM_DATA, &data);
	module = module_load(&conform, &w);
	memory = conform_take(&conform, NULL, WPAGE);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		struct fl_instance *instance = NULL;

		fl_instance_config_init(&config);
		config.imported_memories = &memory;
		config.imported_memory_count = 1;
		config.imported_globals = &rows[i].offset;
		config.imported_global_count = rows[i].given;
		CHECK_EQ(fl_instance_acquire(conform.pool, module, &config,
					     &instance, &error),
			 rows[i].err);
		if (rows[i].err)
			CHECK_EQ(error.trap, OOB);
		else
			instance_stop(instance);
		CHECK_EQ(conform_first_data(memory->base, WPAGE), WPAGE);
	}
	conform_give(memory);
	fl_module_release(module);
	conform_close(&conform);
}

/* A table's image covers its segments, and does not hide that one of them is
 * out of bounds; with make_element and without. */
static void make_nothing(void *user, struct fl_instance *instance,
			 const struct fl_element *from, void *element)
{
	(void)user;
	(void)instance;
	(void)from;
	memset(element, 1, 8);
}

static void segments_under_an_image_trap(void)
{
	struct fl_error error = { .text = "" };
	struct wasm_parts parts = { 0 };
	struct fl_instance_config config;
	struct fl_instance *instance = NULL;
	struct fl_module *module;
	struct fl_image *image;
	struct wasm w = { 0 };
	struct conform conform;

	open_with_tables(&conform);
	wasm_import_funcs(&parts, 2);
	wasm_add_table(&parts, 4, WASM_NO_MAX);
	wasm_add_funcs(&parts, 0, 3, 0, 2);
	wasm_parts_build(&parts, &w);
	module = module_load(&conform, &w);
	image = conform_image_of(&conform, 4 * 8, 0, "one", 3);
	for (int i = 0; i < 2; i++) {
		fl_instance_config_init(&config);
		config.make_element = i ? make_nothing : NULL;
		config.table_images = &image;
		config.table_image_count = 1;
		CHECK_EQ(fl_instance_acquire(conform.pool, module, &config,
					     &instance, &error),
			 -EFAULT);
		CHECK_EQ(error.trap, FL_TRAP_TABLE_OUT_OF_BOUNDS);
		CHECK(instance == NULL);
	}
	fl_image_release(image);
	fl_module_release(module);
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(memories_end_with_their_addresses, test_needs_space),
	TEST_CASE_NEEDS(memories_alone_end_with_their_addresses,
			test_needs_space),
	TEST_CASE_NEEDS(image_has_a_size_of_the_type, test_needs_space),
	TEST_CASE_NEEDS(tables_end_with_their_indices, test_needs_space),
	TEST_CASE(imports_of_memories_match),
	TEST_CASE(imports_of_memories_alone_match),
	TEST_CASE(imports_of_tables_match),
	TEST_CASE(imports_of_tables_alone_match),
	TEST_CASE(segments_placed_by_globals_trap),
	TEST_CASE(segments_under_an_image_trap),
};

CONFORM_MAIN(cases)
