/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * runtime.h - a runtime at play, for the programs about tables and structures
 * of instances.
 *
 * It has a pool, a module, and a make_element of its own. An element is 8 bytes
 * here: a number that says what it was made from, and zeroes. Null is all ones,
 * which no fresh memory has by itself. References are counted: `live` is how
 * many were made and cloned and not dropped.
 *
 *	struct runtime rt;
 *
 *	runtime_open(&rt);
 *	wasm_add_...(&rt.parts, ...);
 *	runtime_load(&rt);
 *	instance = runtime_start(&rt);
 *	CHECK_TABLE(fl_instance_table(instance, 0), FUNC(3), NONE);
 *	runtime_stop(&rt, instance);
 *	runtime_close(&rt);
 */
#ifndef CONFORM_RUNTIME_H
#define CONFORM_RUNTIME_H

#include "tests/kit/conform_module.h"

#define TABLE_OOB FL_TRAP_TABLE_OUT_OF_BOUNDS
#define NONE UINT32_MAX
#define FUNC(idx) (0x1000u + (idx))
#define GLOBAL(idx) (0x2000u + (idx))
#define EXPR(op) (0x3000u + (op))

static const uint64_t runtime_null = UINT64_MAX;

struct runtime {
	struct conform conform;
	struct wasm_parts parts; /* of the module that is loaded next */
	struct fl_module *module;
	struct fl_instance_config config;
	struct fl_error error; /* of the last call that failed */
	struct fl_table *table; /* imported, if any */
	struct fl_memory *memory; /* imported, if any */
	uint32_t made;
	int64_t live;
	struct fl_instance *instance; /* that make_element was last called for */
};

/* --------------------------------------------------------------- references */

static inline void runtime_make_element(void *user,
					struct fl_instance *instance,
					const struct fl_element *from,
					void *element)
{
	struct runtime *rt = user;
	const uint8_t *expr = from->expr;
	uint64_t number;

	CHECK(from->kind != FL_ELEMENT_NULL);
	if (from->kind == FL_ELEMENT_FUNC)
		number = FUNC(from->idx);
	else if (from->kind == FL_ELEMENT_GLOBAL)
		number = GLOBAL(from->idx);
	else
		number = EXPR(expr[0]);
	rt->made++;
	rt->live++;
	rt->instance = instance;
	memcpy(element, &number, 8);
}

static inline void runtime_clone(void *user, void *dst, const void *src)
{
	struct runtime *rt = user;

	CHECK(memcmp(src, &runtime_null, 8) != 0);
	memcpy(dst, src, 8);
	rt->live++;
}

static inline void runtime_drop(void *user, void *element)
{
	struct runtime *rt = user;

	CHECK(memcmp(element, &runtime_null, 8) != 0);
	memset(element, 0xdd, 8);
	rt->live--;
}

/* ------------------------------------------------------------ open and close */

static inline void runtime_pool_config(struct fl_pool_config *config)
{
	conform_pool_config(config);
	config->max_instances = 2;
	config->max_tables = 4;
	config->max_tables_per_instance = 4;
	config->max_table_elements = 1000;
	config->table_element_bytes = 8;
	config->table_null = &runtime_null;
}

static inline void runtime_open_with(struct runtime *rt,
				     const struct fl_pool_config *pool)
{
	*rt = (struct runtime){ .made = 0 };
	conform_open(&rt->conform, pool);
	fl_instance_config_init(&rt->config);
	rt->config.user = rt;
	rt->config.make_element = runtime_make_element;
	rt->config.clone_element = runtime_clone;
	rt->config.drop_element = runtime_drop;
}

static inline void runtime_open_as(struct runtime *rt,
				   enum fl_allocation allocation)
{
	struct fl_pool_config pool;

	runtime_pool_config(&pool);
	pool.allocation = allocation;
	runtime_open_with(rt, &pool);
}

static inline void runtime_open(struct runtime *rt)
{
	runtime_open_as(rt, FL_ALLOCATION_POOLING);
}

static inline void check_nothing_is_held(const struct conform *conform)
{
	check_nothing_held(conform);
	CHECK_EQ(conform_info(conform).live_tables, 0);
	CHECK_EQ(conform_info(conform).retired_tables, 0);
	CHECK_EQ(conform_info(conform).retired_instances, 0);
}

static inline void runtime_close(struct runtime *rt)
{
	if (rt->memory)
		conform_give(rt->memory);
	if (rt->table)
		CHECK_EQ(fl_table_release(rt->table), 0);
	check_nothing_is_held(&rt->conform);
	fl_module_release(rt->module);
	conform_close(&rt->conform);
}

/* ------------------------------------------------------- modules and imports */

/* The parts become the module, in place of the one before. */
static inline void runtime_load(struct runtime *rt)
{
	struct wasm w = { 0 };

	fl_module_release(rt->module);
	wasm_parts_build(&rt->parts, &w);
	rt->module = module_load(&rt->conform, &w);
}

static inline void runtime_load_fails(struct runtime *rt, int code)
{
	struct fl_module *module = NULL;
	struct wasm w = { 0 };

	wasm_parts_build(&rt->parts, &w);
	rt->error.text[0] = '\0';
	CHECK_EQ(module_try_load(&rt->conform, &w, &module, &rt->error), code);
	CHECK(module == NULL);
	CHECK(rt->error.text[0]);
}

static inline struct fl_table *runtime_table(uint64_t length)
{
	struct fl_error error = { .text = "" };
	struct fl_table_config config;
	struct fl_table *table = NULL;

	fl_table_config_init(&config);
	config.element_bytes = 8;
	config.null = &runtime_null;
	config.initial_elements = length;
	CONFORM_MUST(fl_table_create(&config, &table, &error), &error);
	return table;
}

/* The module imports a table of length nulls. */
static inline void runtime_import_table(struct runtime *rt, uint64_t length)
{
	wasm_import_table(&rt->parts, length);
	rt->table = runtime_table(length);
	rt->config.imported_tables = &rt->table;
	rt->config.imported_table_count = 1;
}

/* The module imports a memory of one wpage of zeroes. */
static inline void runtime_import_memory(struct runtime *rt)
{
	wasm_import_memory(&rt->parts, 1);
	rt->memory = conform_take(&rt->conform, NULL, WPAGE);
	rt->config.imported_memories = &rt->memory;
	rt->config.imported_memory_count = 1;
}

/* ------------------------------------------------------------------ instances */

static inline struct fl_instance *
runtime_start_as(struct runtime *rt, const struct fl_instance_config *config)
{
	struct fl_instance *instance = NULL;

	CONFORM_MUST(fl_instance_acquire(rt->conform.pool, rt->module, config,
					 &instance, &rt->error),
		     &rt->error);
	return instance;
}

static inline struct fl_instance *runtime_start(struct runtime *rt)
{
	return runtime_start_as(rt, &rt->config);
}

static inline struct fl_instance *runtime_allocate(struct runtime *rt)
{
	struct fl_instance *instance = NULL;

	CONFORM_MUST(fl_instance_allocate(rt->conform.pool, rt->module,
					  &rt->config, &instance, &rt->error),
		     &rt->error);
	return instance;
}

/* Release the only instance there is: nothing stays. */
static inline void runtime_stop(struct runtime *rt,
				struct fl_instance *instance)
{
	instance_stop(instance);
	CHECK_EQ(rt->live, 0);
	check_nothing_is_held(&rt->conform);
}

static inline void runtime_fails(struct runtime *rt, int code)
{
	struct fl_instance *instance = NULL;

	rt->error = (struct fl_error){ .text = "" };
	CHECK_EQ(fl_instance_acquire(rt->conform.pool, rt->module, &rt->config,
				     &instance, &rt->error),
		 code);
	CHECK(instance == NULL);
	CHECK_EQ(rt->error.code, code);
	CHECK(rt->error.text[0]);
}

static inline void runtime_traps(struct runtime *rt, enum fl_trap trap)
{
	runtime_fails(rt, -EFAULT);
	CHECK_EQ(rt->error.trap, trap);
}

/* ------------------------------------------------------------------- elements */

/* The number of an element, NONE for null. */
static inline uint32_t element_at(const struct fl_table *table, uint64_t idx)
{
	uint64_t element;

	memcpy(&element, (uint8_t *)table->base + 8 * idx, 8);
	if (element == runtime_null)
		return NONE;
	CHECK(element < NONE);
	return (uint32_t)element;
}

/* These are all elements that the table has. */
#define CHECK_TABLE(table, ...)                                 \
	check_table((table), (const uint32_t[]){ __VA_ARGS__ }, \
		    sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4, __LINE__)

static inline void check_table(const struct fl_table *table,
			       const uint32_t *numbers, uint64_t count,
			       int line)
{
	MUST(table != NULL);
	MUST_EQ(fl_table_size(table), count);
	for (uint64_t i = 0; i < count; i++) {
		if (!CHECK_EQ(element_at(table, i), numbers[i]))
			test_note("element %llu, line %d",
				  (unsigned long long)i, line);
	}
}

static inline bool all_null(const struct fl_table *table, uint64_t from)
{
	for (uint64_t i = from; i < table->length; i++) {
		if (element_at(table, i) != NONE)
			return false;
	}
	return true;
}

#endif
