/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * conform_initialise.c - instances with tables and structures: element
 * segments as a module says them, instantiation in the order of the
 * specification, what is left after it trapped, and what the next instance of a
 * slot sees.
 *
 * An element is 8 bytes here: a number that says what it was made from, and
 * zeroes. Null is all ones, which no fresh memory has by itself.
 */
#define _GNU_SOURCE
#include "conform_module.h"

#include <stdlib.h>

#define TABLE_OOB FL_TRAP_TABLE_OUT_OF_BOUNDS
#define NONE UINT32_MAX
#define FUNC(idx) (0x1000u + (idx))
#define GLOBAL(idx) (0x2000u + (idx))
#define EXPR(op) (0x3000u + (op))

static const uint64_t ones = UINT64_MAX;

/* ------------------------------------------------------------------ modules */

/* Sections in the making, by id. */
struct parts {
	struct {
		struct wasm items;
		uint32_t count;
	} of[WASM_TAG];
};

static struct wasm *part(struct parts *parts, enum wasm_section_id id)
{
	parts->of[id].count++;
	return &parts->of[id].items;
}

static struct wasm *import(struct parts *parts, unsigned int kind)
{
	struct wasm *w = part(parts, WASM_IMPORT);

	wasm_name(w, "env");
	wasm_name(w, "it");
	wasm_bytes(w, (uint8_t)kind);
	return w;
}

static void import_funcs(struct parts *parts, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		wasm_u(import(parts, 0), 0);
}

static void import_table(struct parts *parts, uint64_t min)
{
	struct wasm *w = import(parts, 1);

	wasm_bytes(w, 0x70);
	wasm_limits(w, 0, min, 0);
}

static void import_memory(struct parts *parts, uint64_t min)
{
	wasm_limits(import(parts, 2), 0, min, 0);
}

static void import_global(struct parts *parts, unsigned int type)
{
	wasm_bytes(import(parts, 3), (uint8_t)type, 0);
}

static void add_table(struct parts *parts, uint64_t min, uint64_t max)
{
	struct wasm *w = part(parts, WASM_TABLE);

	wasm_bytes(w, 0x70);
	wasm_limits(w, max != WASM_NO_MAX, min, max);
}

static void add_memory(struct parts *parts, uint64_t min)
{
	wasm_limits(part(parts, WASM_MEMORY), 0, min, 0);
}

static void add_data(struct parts *parts, uint32_t off, const char *text)
{
	wasm_data_active(part(parts, WASM_DATA), off, text, strlen(text));
}

/* Active, of functions from first on. */
static void add_funcs(struct parts *parts, uint32_t table_idx, uint32_t off,
		      uint32_t first, uint32_t count)
{
	uint32_t idx[64];

	for (uint32_t i = 0; i < count; i++)
		idx[i] = first + i;
	wasm_element_active(part(parts, WASM_ELEMENT), table_idx, off, idx,
			    count);
}

/* Active in table 0, of expressions: one function and one null. */
static void add_func_and_null(struct parts *parts, uint32_t off, uint32_t func)
{
	struct wasm *w = part(parts, WASM_ELEMENT);

	wasm_element_head(w, WASM_ELEMENT_EXPRS, 0, off, 0x70);
	wasm_u(w, 2);
	wasm_ref_func(w, func);
	wasm_ref_null(w, 0x70);
}

static void add_passive(struct parts *parts, uint32_t first, uint32_t count)
{
	struct wasm *w = part(parts, WASM_ELEMENT);

	wasm_element_head(w, WASM_ELEMENT_PASSIVE, 0, 0, 0x70);
	wasm_u(w, count);
	for (uint32_t i = 0; i < count; i++)
		wasm_u(w, first + i);
}

static void parts_build(struct parts *parts, struct wasm *w)
{
	wasm_header(w);
	/* (func), (struct (field f64) (field v128)), (array i32) */
	wasm_section_bytes(w, WASM_TYPE, 3, 0x60, 0, 0, 0x5f, 2, 0x7c, 0, 0x7b,
			   0, 0x5e, 0x7f, 0);
	for (int id = WASM_IMPORT; id <= WASM_DATA; id++) {
		struct wasm contents = { 0 };

		if (!parts->of[id].count)
			continue;
		wasm_u(&contents, parts->of[id].count);
		wasm_raw(&contents, parts->of[id].items.bytes,
			 parts->of[id].items.length);
		wasm_free(&parts->of[id].items);
		wasm_section(w, id, &contents);
	}
}

static struct fl_module *parts_load(struct conform *conform,
				    struct parts *parts)
{
	struct wasm w = { 0 };

	parts_build(parts, &w);
	return module_load(conform, &w);
}

static void parts_refused(struct conform *conform, struct parts *parts,
			  int code)
{
	struct fl_error error = { .text = "" };
	struct fl_module *module = NULL;
	struct wasm w = { 0 };

	parts_build(parts, &w);
	CHECK_EQ(module_try_load(conform, &w, &module, &error), code);
	CHECK(module == NULL);
	CHECK(error.text[0]);
}

/* --------------------------------------------------------------- the runtime */

struct host {
	uint32_t width;
	uint32_t made;
	int64_t live; /* references made and cloned, not dropped */
	struct fl_instance *instance; /* of the last call */
	struct fl_element last;
	int user_calls;
};

static uint32_t number_of(const struct fl_element *from)
{
	const uint8_t *expr = from->expr;

	switch (from->kind) {
	case FL_ELEMENT_FUNC:
		return FUNC(from->idx);
	case FL_ELEMENT_GLOBAL:
		return GLOBAL(from->idx);
	default:
		return EXPR(expr[0]);
	}
}

static void make_element(void *user, struct fl_instance *instance,
			 const struct fl_element *from, void *element)
{
	struct host *host = user;
	uint32_t number = number_of(from);

	CHECK(from->kind != FL_ELEMENT_NULL);
	host->made++;
	host->live++;
	host->instance = instance;
	host->last = *from;
	memset(element, 0, host->width);
	memcpy(element, &number, sizeof(number));
}

/* Globals hold null here, and function 0 is zero. */
static void make_null_or_zero(void *user, struct fl_instance *instance,
			      const struct fl_element *from, void *element)
{
	struct host *host = user;

	(void)instance;
	host->live += from->kind == FL_ELEMENT_FUNC;
	memset(element, from->kind == FL_ELEMENT_FUNC ? 0 : 0xff, host->width);
}

static void clone_element(void *user, void *dst, const void *src)
{
	struct host *host = user;

	CHECK(memcmp(src, &ones, 8) != 0);
	memcpy(dst, src, host->width);
	host->live++;
}

static void drop_element(void *user, void *element)
{
	struct host *host = user;

	CHECK(memcmp(element, &ones, 8) != 0);
	memset(element, 0xdd, host->width);
	host->live--;
}

static void host_config(struct host *host, struct fl_instance_config *config)
{
	*host = (struct host){ .width = 8 };
	fl_instance_config_init(config);
	config->user = host;
	config->make_element = make_element;
	config->clone_element = clone_element;
	config->drop_element = drop_element;
}

static void pool_config(struct fl_pool_config *config)
{
	conform_pool_config(config);
	config->max_instances = 2;
	config->max_tables = 4;
	config->max_tables_per_instance = 4;
	config->max_table_elements = 1000;
	config->table_element_bytes = 8;
	config->table_null = &ones;
}

static void open_pool(struct conform *conform)
{
	struct fl_pool_config config;

	pool_config(&config);
	conform_open(conform, &config);
}

static void open_pool_of(struct conform *conform, enum fl_allocation allocation)
{
	struct fl_pool_config config;

	pool_config(&config);
	config.allocation = allocation;
	conform_open(conform, &config);
}

static struct fl_instance *start(struct conform *conform,
				 struct fl_module *module,
				 const struct fl_instance_config *config)
{
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;

	CONFORM_MUST(fl_instance_acquire(conform->pool, module, config,
					 &instance, &error),
		     &error);
	return instance;
}

static struct fl_table *make_table(uint64_t length)
{
	struct fl_error error = { .text = "" };
	struct fl_table_config config;
	struct fl_table *table = NULL;

	fl_table_config_init(&config);
	config.element_bytes = 8;
	config.null = &ones;
	config.initial_elements = length;
	CONFORM_MUST(fl_table_create(&config, &table, &error), &error);
	return table;
}

static uint32_t at(const struct fl_table *table, uint64_t idx)
{
	uint64_t element;

	memcpy(&element, (uint8_t *)table->base + 8 * idx, 8);
	if (element == ones)
		return NONE;
	CHECK(element < NONE);
	return (uint32_t)element;
}

#define CHECK_TABLE(table, ...)                                 \
	check_table((table), (const uint32_t[]){ __VA_ARGS__ }, \
		    sizeof((const uint32_t[]){ __VA_ARGS__ }) / 4, __LINE__)

/* These are all elements that the table has. */
static void check_table(const struct fl_table *table, const uint32_t *numbers,
			uint64_t count, int line)
{
	MUST(table != NULL);
	MUST_EQ(fl_table_size(table), count);
	for (uint64_t i = 0; i < count; i++) {
		if (!CHECK_EQ(at(table, i), numbers[i]))
			test_note("element %llu, line %d",
				  (unsigned long long)i, line);
	}
}

static bool all_null(const struct fl_table *table, uint64_t from)
{
	for (uint64_t i = from; i < table->length; i++) {
		if (at(table, i) != NONE)
			return false;
	}
	return true;
}

static void check_nothing_is_held(const struct conform *conform)
{
	check_nothing_held(conform);
	CHECK_EQ(conform_info(conform).live_tables, 0);
	CHECK_EQ(conform_info(conform).retired_tables, 0);
	CHECK_EQ(conform_info(conform).retired_instances, 0);
}

/* ----------------------------------------------------------------- segments */

/* Function 7 in a segment of each kind, and in expressions a null as well. */
static void add_kind(struct parts *parts, unsigned int flags)
{
	struct wasm *w = part(parts, WASM_ELEMENT);

	wasm_element_head(w, flags, 1, 100 + flags, 0x70);
	if (flags & WASM_ELEMENT_EXPRS) {
		wasm_u(w, 3);
		wasm_ref_func(w, 7);
		wasm_ref_null(w, 0x70);
		wasm_global_get(w, 1);
	} else {
		wasm_u(w, 2);
		wasm_u(w, 7);
		wasm_u(w, 0);
	}
}

static void check_kind(const struct fl_module *module, unsigned int flags)
{
	struct fl_element_segment segment = { .size = sizeof(segment) };
	bool is_active = !(flags & WASM_ELEMENT_PASSIVE);
	bool has_exprs = flags & WASM_ELEMENT_EXPRS;
	struct fl_element e[3];

	MUST_EQ(fl_module_element_segment(module, flags, &segment), 0);
	CHECK_EQ(segment.element_count, has_exprs ? 3 : 2);
	if (is_active) {
		CHECK_EQ(segment.mode, FL_SEGMENT_ACTIVE);
		CHECK_EQ(segment.table_idx,
			 flags & WASM_ELEMENT_EXPLICIT ? 1 : 0);
		CHECK_EQ(segment.has_offset, 1);
		CHECK_EQ(segment.offset, 100 + flags);
	} else {
		CHECK_EQ(segment.mode, flags & WASM_ELEMENT_EXPLICIT ?
					       FL_SEGMENT_DECLARED :
					       FL_SEGMENT_PASSIVE);
		CHECK_EQ(segment.has_offset, 0);
	}
	memset(e, 0xee, sizeof(e));
	MUST_EQ(fl_module_read_elements(module, flags, 0, has_exprs ? 3 : 2, e),
		0);
	CHECK_EQ(e[0].kind, FL_ELEMENT_FUNC);
	CHECK_EQ(e[0].idx, 7);
	CHECK_EQ(e[1].kind, has_exprs ? FL_ELEMENT_NULL : FL_ELEMENT_FUNC);
	if (!has_exprs) {
		CHECK_EQ(e[1].idx, 0);
		CHECK(!e[0].expr);
		return;
	}
	CHECK_EQ(e[2].kind, FL_ELEMENT_GLOBAL);
	CHECK_EQ(e[2].idx, 1);
	CHECK_EQ(e[0].expr_bytes, 3);
	CHECK(e[0].expr && !memcmp(e[0].expr, "\xd2\x07\x0b", 3));
	CHECK_EQ(e[1].expr_bytes, 3);
	CHECK(e[1].expr && !memcmp(e[1].expr, "\xd0\x70\x0b", 3));
	CHECK_EQ(e[2].expr_bytes, 3);
	CHECK(e[2].expr && !memcmp(e[2].expr, "\x23\x01\x0b", 3));
}

static void segments_of_every_kind(void)
{
	struct fl_element_segment segment = { .size = sizeof(segment) };
	struct fl_module_info info = { .size = sizeof(info) };
	struct fl_table_type type = { .size = sizeof(type) };
	struct parts parts = { 0 };
	struct fl_element e[3];
	struct fl_module *module;
	struct conform conform;

	open_pool(&conform);
	import_funcs(&parts, 8);
	import_global(&parts, 0x7f);
	import_global(&parts, 0x70);
	add_table(&parts, 10, WASM_NO_MAX);
	add_table(&parts, 20, 30);
	for (unsigned int flags = 0; flags < 8; flags++)
		add_kind(&parts, flags);
	module = parts_load(&conform, &parts);
	fl_module_info(module, &info);
	CHECK_EQ(info.element_count, 8);
	CHECK_EQ(info.table_count, 2);
	for (uint32_t i = 0; i < 2; i++) {
		MUST_EQ(fl_module_table_type(module, i, &type), 0);
		CHECK_EQ(type.min_elements, i ? 20 : 10);
		CHECK_EQ(type.max_elements, i ? 30 : UINT64_MAX);
		CHECK_EQ(type.init_elements, 5);
		CHECK_EQ(type.is_func, 1);
		CHECK_EQ(type.is_imported + type.is_64 + type.has_init, 0);
	}
	CHECK_EQ(fl_module_table_type(module, 2, &type), -EINVAL);
	for (unsigned int flags = 0; flags < 8; flags++)
		check_kind(module, flags);
	CHECK_EQ(fl_module_element_segment(module, 8, &segment), -EINVAL);
	CHECK_EQ(fl_module_element_segment(module, NONE, &segment), -EINVAL);
	CHECK_EQ(fl_module_read_elements(module, 8, 0, 0, e), -EINVAL);
	CHECK_EQ(fl_module_read_elements(module, NONE, 0, 0, e), -EINVAL);
	fl_module_release(module);
	conform_close(&conform);
}

static void ranges_of_elements(void)
{
	static const uint32_t edges[] = { 0,  1,	  59,	      60,
					  61, 0x80000000, NONE - 59u, NONE };
	struct parts parts = { 0 };
	struct fl_element e[60];
	struct fl_module *module;
	struct conform conform;
	struct wasm *w;

	open_pool(&conform);
	import_funcs(&parts, 300);
	add_funcs(&parts, 0, 0, 200, 60);
	add_table(&parts, 60, WASM_NO_MAX);
	w = part(&parts, WASM_ELEMENT);
	wasm_element_head(w, 5, 0, 0, 0x70);
	wasm_u(w, 60);
	for (uint32_t i = 0; i < 60; i++)
		wasm_ref_func(w, 200 + i);
	module = parts_load(&conform, &parts);
	for (uint32_t i = 0; i < 2 * 8 * 8; i++) {
		uint32_t first = edges[i / 2 % 8], count = edges[i / 16];
		bool fits = (uint64_t)first + count <= 60;

		memset(e, 0xee, sizeof(e));
		CHECK_EQ(fl_module_read_elements(module, i % 2, first, count,
						 e),
			 fits ? 0 : -EINVAL);
		for (uint32_t k = 0; k < 60; k++) {
			if (fits && k < count)
				CHECK_EQ(e[k].idx, 200 + first + k);
			else
				CHECK_EQ(e[k].idx, 0xeeeeeeee);
		}
	}
	fl_module_release(module);
	conform_close(&conform);
}

#define ENDS_8 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b, 0x0b

/* Expressions that begin like one of the simple kinds, and others, with the byte
 * of their end among their immediates. */
static const struct {
	unsigned int type; /* of the reference */
	size_t length;
	uint8_t bytes[40];
	enum fl_element_kind kind;
} exprs[] = {
	/* (ref.i31 (i32.const 11)) */
	{ 0x6c, 5, { 0x41, 0x0b, 0xfb, 0x1c, 0x0b }, FL_ELEMENT_EXPR },
	{ 0x6c, 3, { 0xd0, 0x6c, 0x0b }, FL_ELEMENT_NULL },
	/* (any.convert_extern (ref.null extern)), (... (global.get 0)) */
	{ 0x6e, 5, { 0xd0, 0x6f, 0xfb, 0x1a, 0x0b }, FL_ELEMENT_EXPR },
	{ 0x6e, 5, { 0x23, 0x00, 0xfb, 0x1a, 0x0b }, FL_ELEMENT_EXPR },
	/* (extern.convert_any (any.convert_extern (global.get 0))) */
	{ 0x6f, 7, { 0x23, 0, 0xfb, 0x1a, 0xfb, 0x1b, 0x0b }, FL_ELEMENT_EXPR },
	{ 0x6f, 3, { 0x23, 0x00, 0x0b }, FL_ELEMENT_GLOBAL },
	/* (struct.new 1 (f64.const ...) (v128.const ...)) */
	{ 0x6d,
	  31,
	  { 0x44, ENDS_8, 0xfd, 0x0c, ENDS_8, ENDS_8, 0xfb, 0, 1, 0x0b },
	  FL_ELEMENT_EXPR },
	{ 0x6d, 4, { 0xfb, 1, 1, 0x0b }, FL_ELEMENT_EXPR },
	/* (array.new_fixed 2 2 (i32.const 11) (i32.const 11)) */
	{ 0x6d,
	  9,
	  { 0x41, 0x0b, 0x41, 0x0b, 0xfb, 8, 2, 2, 0x0b },
	  FL_ELEMENT_EXPR },
	/* (array.new 2 (i32.const 11) (i32.const 11)) */
	{ 0x6d,
	  8,
	  { 0x41, 0x0b, 0x41, 0x0b, 0xfb, 6, 2, 0x0b },
	  FL_ELEMENT_EXPR },
};

/* What is neither null, a function nor a global is an expression. */
static void elements_of_other_expressions(void)
{
	struct parts parts = { 0 };
	struct fl_element e[2];
	struct fl_module *module;
	struct conform conform;

	open_pool(&conform);
	import_global(&parts, 0x6f);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(exprs); i++) {
		struct wasm *w = part(&parts, WASM_ELEMENT);

		wasm_element_head(w, 5, 0, 0, exprs[i].type);
		wasm_u(w, 2);
		for (int k = 0; k < 2; k++)
			wasm_raw(w, exprs[i].bytes, exprs[i].length);
	}
	module = parts_load(&conform, &parts);
	for (uint32_t i = 0; i < TEST_ARRAY_SIZE(exprs); i++) {
		MUST_EQ(fl_module_read_elements(module, i, 0, 2, e), 0);
		for (int k = 0; k < 2; k++) {
			if (!CHECK_EQ(e[k].kind, exprs[i].kind))
				test_note("expression %u", i);
			if (CHECK_EQ(e[k].expr_bytes, exprs[i].length))
				CHECK(!memcmp(e[k].expr, exprs[i].bytes,
					      exprs[i].length));
		}
	}
	fl_module_release(module);
	conform_close(&conform);
}

static void add_offset(struct parts *parts, const void *expr, size_t length)
{
	struct wasm *w = part(parts, WASM_ELEMENT);

	wasm_bytes(w, 0);
	wasm_raw(w, expr, length);
	wasm_bytes(w, 0);
}

static void offsets_that_are_known(void)
{
	struct fl_element_segment segment = { .size = sizeof(segment) };
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;

	open_pool(&conform);
	import_global(&parts, 0x7f);
	add_table(&parts, 10, WASM_NO_MAX);
	/* -1; 3 + 4; 0 - 1; a global; a global and 2. */
	add_offset(&parts, "\x41\x7f\x0b", 3);
	add_offset(&parts, "\x41\x03\x41\x04\x6a\x0b", 6);
	add_offset(&parts, "\x41\x00\x41\x01\x6b\x0b", 6);
	add_offset(&parts, "\x23\x00\x0b", 3);
	add_offset(&parts, "\x23\x00\x41\x02\x6a\x0b", 6);
	module = parts_load(&conform, &parts);
	MUST_EQ(fl_module_element_segment(module, 0, &segment), 0);
	CHECK(segment.has_offset && segment.offset == UINT32_MAX);
	MUST_EQ(fl_module_element_segment(module, 1, &segment), 0);
	CHECK(segment.has_offset && segment.offset == 7);
	MUST_EQ(fl_module_element_segment(module, 2, &segment), 0);
	CHECK(segment.has_offset && segment.offset == UINT32_MAX);
	for (uint32_t i = 3; i < 5; i++) {
		MUST_EQ(fl_module_element_segment(module, i, &segment), 0);
		CHECK_EQ(segment.has_offset, 0);
		CHECK_EQ(segment.element_count, 0);
	}
	fl_module_release(module);
	conform_close(&conform);
}

/* ------------------------------------------------------------ initialisation */

/* Segments apply in order, and a null wins like anything else. */
static void segments_in_order_of(enum fl_allocation allocation)
{
	struct fl_instance_config config;
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct host host;

	open_pool_of(&conform, allocation);
	import_funcs(&parts, 9);
	add_table(&parts, 6, 100);
	add_table(&parts, 3, WASM_NO_MAX);
	add_funcs(&parts, 0, 0, 0, 4);
	add_funcs(&parts, 1, 0, 5, 3);
	add_func_and_null(&parts, 2, 8);
	add_funcs(&parts, 0, 6, 0, 0);
	add_func_and_null(&parts, 1, 4);
	module = parts_load(&conform, &parts);
	for (int i = 0; i < 10; i++) {
		struct fl_instance *instance;
		struct fl_table *table;

		host_config(&host, &config);
		instance = start(&conform, module, &config);
		table = fl_instance_table(instance, 0);
		CHECK_TABLE(table, FUNC(0), FUNC(4), NONE, NONE, NONE, NONE);
		CHECK_TABLE(fl_instance_table(instance, 1), FUNC(5), FUNC(6),
			    FUNC(7));
		CHECK(!fl_instance_table(instance, 2));
		CHECK(!fl_instance_table(instance, NONE));
		CHECK_EQ(host.live, 5);
		CHECK(host.instance == instance);
		CHECK_EQ(fl_table_grow(table, 94, table->base, NULL), 0);
		CHECK_EQ(fl_table_grow(table, 1, NULL, NULL), -E2BIG);
		CHECK_EQ(host.live, 99);
		CHECK_EQ(fl_table_release(table), -EINVAL);
		CHECK_EQ(host.live, 99);
		instance_stop(instance);
		CHECK_EQ(host.live, 0);
		check_nothing_is_held(&conform);
	}
	fl_module_release(module);
	conform_close(&conform);
}

static void segments_in_order(void)
{
	segments_in_order_of(FL_ALLOCATION_POOLING);
	segments_in_order_of(FL_ALLOCATION_ON_DEMAND);
}

/* Elements first: the one that does not fit ends it before any data. */
static void element_segment_out_of_bounds(void)
{
	struct fl_instance_config config;
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;
	struct parts parts = { 0 };
	struct fl_memory *memory;
	struct fl_module *module;
	struct conform conform;
	struct fl_table *table;
	struct host host;

	open_pool(&conform);
	import_funcs(&parts, 9);
	import_table(&parts, 4);
	import_memory(&parts, 1);
	add_table(&parts, 1, 1);
	add_funcs(&parts, 0, 1, 2, 2);
	add_funcs(&parts, 0, 2, 5, 3);
	add_funcs(&parts, 0, 0, 8, 1);
	add_data(&parts, 0, "never");
	module = parts_load(&conform, &parts);
	table = make_table(4);
	memory = conform_take(&conform, NULL, WPAGE);
	host_config(&host, &config);
	config.imported_tables = &table;
	config.imported_table_count = 1;
	config.imported_memories = &memory;
	config.imported_memory_count = 1;
	config.fills_imports = 1;
	for (int i = 0; i < 5; i++) {
		CHECK_EQ(fl_instance_acquire(conform.pool, module, &config,
					     &instance, &error),
			 -EFAULT);
		CHECK_EQ(error.code, -EFAULT);
		CHECK_EQ(error.trap, TABLE_OOB);
		CHECK(instance == NULL);
		CHECK_TABLE(table, NONE, FUNC(2), FUNC(3), NONE);
		conform_check_zero(memory);
		CHECK_EQ(conform_info(&conform).live_tables, 0);
		CHECK_EQ(conform_info(&conform).live_instances, 0);
	}
	conform_give(memory);
	CHECK_EQ(fl_table_release(table), 0);
	fl_module_release(module);
	conform_close(&conform);
}

/* A data segment that does not fit, after all elements. */
static void data_segment_out_of_bounds(void)
{
	struct fl_instance_config config;
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;
	struct parts parts = { 0 };
	struct fl_memory *memory;
	struct fl_module *module;
	struct conform conform;
	struct fl_table *table;
	struct host host;

	open_pool(&conform);
	import_funcs(&parts, 9);
	import_table(&parts, 4);
	import_memory(&parts, 1);
	add_memory(&parts, 1);
	add_funcs(&parts, 0, 2, 5, 2);
	add_data(&parts, 3, "first");
	add_data(&parts, 65534, "beyond");
	add_data(&parts, 100, "never");
	module = parts_load(&conform, &parts);
	table = make_table(4);
	memory = conform_take(&conform, NULL, WPAGE);
	host_config(&host, &config);
	config.imported_tables = &table;
	config.imported_table_count = 1;
	config.imported_memories = &memory;
	config.imported_memory_count = 1;
	config.fills_imports = 1;
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -EFAULT);
	CHECK_EQ(error.trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
	CHECK(instance == NULL);
	CHECK_TABLE(table, NONE, NONE, FUNC(5), FUNC(6));
	check_text(memory, 3, "first");
	CHECK_EQ(conform_first_data(memory->base + 8, WPAGE - 8), WPAGE - 8);
	CHECK_EQ(conform_info(&conform).live_memories, 1);
	CHECK_EQ(conform_info(&conform).live_instances, 0);
	conform_give(memory);
	CHECK_EQ(fl_table_release(table), 0);
	fl_module_release(module);
	conform_close(&conform);
}

/* The same for a memory of the instance's own, whose image ends in the trap:
 * the elements are there all the same. */
static void image_that_traps_comes_after_elements(void)
{
	struct fl_instance_config config;
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct fl_table *table;
	struct host host;

	open_pool(&conform);
	import_funcs(&parts, 9);
	import_table(&parts, 4);
	add_memory(&parts, 1);
	add_funcs(&parts, 0, 2, 5, 2);
	add_data(&parts, 65534, "beyond");
	module = parts_load(&conform, &parts);
	table = make_table(4);
	host_config(&host, &config);
	config.imported_tables = &table;
	config.imported_table_count = 1;
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -EFAULT);
	CHECK_EQ(error.trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
	CHECK(instance == NULL);
	CHECK_TABLE(table, NONE, NONE, FUNC(5), FUNC(6));
	check_nothing_is_held(&conform);
	CHECK_EQ(fl_table_release(table), 0);
	fl_module_release(module);
	conform_close(&conform);
}

/* An imported memory that is used as it is and too small for the data traps
 * in its turn, after the elements, and not when it is allocated. */
static void unfilled_import_traps_after_elements(void)
{
	struct fl_instance_config config;
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;
	struct parts parts = { 0 };
	struct fl_memory *memory;
	struct fl_module *module;
	struct conform conform;
	struct fl_table *table;
	struct host host;

	open_pool(&conform);
	import_funcs(&parts, 9);
	import_table(&parts, 4);
	import_memory(&parts, 1);
	add_funcs(&parts, 0, 2, 5, 2);
	add_data(&parts, 65534, "beyond");
	module = parts_load(&conform, &parts);
	table = make_table(4);
	memory = conform_take(&conform, NULL, WPAGE);
	host_config(&host, &config);
	config.imported_tables = &table;
	config.imported_table_count = 1;
	config.imported_memories = &memory;
	config.imported_memory_count = 1;
	CHECK_EQ(fl_instance_allocate(conform.pool, module, &config, &instance,
				      &error),
		 0);
	if (instance) {
		CHECK_EQ(fl_instance_initialise(instance, &config, &error),
			 -EFAULT);
		CHECK_EQ(error.trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
		instance_stop(instance);
		instance = NULL;
	}
	CHECK_TABLE(table, NONE, NONE, FUNC(5), FUNC(6));
	fl_table_fill(table, 0, NULL, 4);
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -EFAULT);
	CHECK_EQ(error.trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
	CHECK(instance == NULL);
	CHECK_TABLE(table, NONE, NONE, FUNC(5), FUNC(6));
	conform_check_zero(memory);
	conform_give(memory);
	CHECK_EQ(fl_table_release(table), 0);
	check_nothing_is_held(&conform);
	fl_module_release(module);
	conform_close(&conform);
}

/* Both are out of bounds: the table's is told. */
static void which_trap_comes_first(void)
{
	struct fl_instance_config config;
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct host host;

	open_pool(&conform);
	import_funcs(&parts, 9);
	add_table(&parts, 3, WASM_NO_MAX);
	add_memory(&parts, 1);
	add_funcs(&parts, 0, 2, 5, 2);
	add_data(&parts, 65534, "beyond");
	module = parts_load(&conform, &parts);
	host_config(&host, &config);
	for (int i = 0; i < 10; i++) {
		CHECK_EQ(fl_instance_acquire(conform.pool, module, &config,
					     &instance, &error),
			 -EFAULT);
		CHECK_EQ(error.trap, TABLE_OOB);
		CHECK(instance == NULL);
		CHECK_EQ(host.live, 0);
		check_nothing_is_held(&conform);
	}
	fl_module_release(module);
	conform_close(&conform);
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
		struct fl_instance_config config;
		struct fl_error error = { .text = "" };
		struct fl_instance *instance = NULL;
		struct parts parts = { 0 };
		struct fl_module *module;
		struct conform conform;
		struct host host;
		int err;

		open_pool(&conform);
		import_funcs(&parts, 9);
		add_table(&parts, 3, WASM_NO_MAX);
		add_funcs(&parts, 0, edges[i].off, 0, edges[i].count);
		module = parts_load(&conform, &parts);
		host_config(&host, &config);
		err = fl_instance_acquire(conform.pool, module, &config,
					  &instance, &error);
		CHECK_EQ(err, edges[i].traps ? -EFAULT : 0);
		if (!err)
			instance_stop(instance);
		else
			CHECK_EQ(error.trap, TABLE_OOB);
		CHECK_EQ(host.live, 0);
		fl_module_release(module);
		conform_close(&conform);
	}
}

/* An initialiser makes every element; segments come after it. */
static void table_initialisers(void)
{
	struct fl_table_type type = { .size = sizeof(type) };
	struct fl_instance_config config;
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct host host;
	struct wasm *w;

	open_pool(&conform);
	import_funcs(&parts, 9);
	import_global(&parts, 0x70);
	w = part(&parts, WASM_TABLE);
	wasm_bytes(w, 0x40, 0, 0x70);
	wasm_limits(w, 0, 4, 0);
	wasm_ref_func(w, 6);
	w = part(&parts, WASM_TABLE);
	wasm_bytes(w, 0x40, 0, 0x70);
	wasm_limits(w, 1, 2, 3);
	wasm_ref_null(w, 0x70);
	w = part(&parts, WASM_TABLE);
	wasm_bytes(w, 0x40, 0, 0x70);
	wasm_limits(w, 0, 2, 0);
	wasm_global_get(w, 0);
	add_func_and_null(&parts, 1, 2);
	module = parts_load(&conform, &parts);
	MUST_EQ(fl_module_table_type(module, 0, &type), 0);
	CHECK_EQ(type.has_init, 1);
	CHECK_EQ(type.min_elements, 4);
	for (int i = 0; i < 10; i++) {
		struct fl_instance *instance;

		host_config(&host, &config);
		instance = start(&conform, module, &config);
		CHECK_TABLE(fl_instance_table(instance, 0), FUNC(6), FUNC(2),
			    NONE, FUNC(6));
		CHECK_TABLE(fl_instance_table(instance, 1), NONE, NONE);
		CHECK_TABLE(fl_instance_table(instance, 2), GLOBAL(0),
			    GLOBAL(0));
		CHECK_EQ(host.live, 5);
		/* What is grown is null, not as the initialiser says. */
		CHECK_EQ(fl_table_grow(fl_instance_table(instance, 0), 5, NULL,
				       NULL),
			 0);
		CHECK(all_null(fl_instance_table(instance, 0), 4));
		instance_stop(instance);
		CHECK_EQ(host.live, 0);
	}
	fl_module_release(module);
	conform_close(&conform);
}

/* What a global holds may be null, and what is made may be all zeroes. */
static void initialisers_that_make_null_and_zero(void)
{
	struct fl_instance_config config;
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct host host;
	struct wasm *w;

	open_pool(&conform);
	import_funcs(&parts, 9);
	import_global(&parts, 0x70);
	for (int i = 0; i < 2; i++) {
		w = part(&parts, WASM_TABLE);
		wasm_bytes(w, 0x40, 0, 0x70);
		wasm_limits(w, 0, 3, 0);
		if (i)
			wasm_ref_func(w, 0);
		else
			wasm_global_get(w, 0);
	}
	w = part(&parts, WASM_ELEMENT);
	wasm_element_head(w, WASM_ELEMENT_EXPRS, 0, 1, 0x70);
	wasm_u(w, 2);
	wasm_ref_func(w, 0);
	wasm_global_get(w, 0);
	module = parts_load(&conform, &parts);
	for (int i = 0; i < 10; i++) {
		struct fl_instance *instance;

		host_config(&host, &config);
		config.make_element = make_null_or_zero;
		instance = start(&conform, module, &config);
		CHECK_TABLE(fl_instance_table(instance, 0), NONE, 0, NONE);
		CHECK_TABLE(fl_instance_table(instance, 1), 0, 0, 0);
		CHECK_EQ(host.live, 4);
		CHECK_EQ(fl_table_fill(fl_instance_table(instance, 1), 1, NULL,
				       1),
			 0);
		CHECK_EQ(host.live, 3);
		instance_stop(instance);
		CHECK_EQ(host.live, 0);
	}
	fl_module_release(module);
	conform_close(&conform);
}

/* Two imported i32 globals; the second one places a segment, and in sums that
 * wrap in 32 bits. */
static void segments_placed_by_globals(void)
{
	static const struct {
		uint64_t value;
		uint32_t idx; /* NONE: traps */
	} values[] = {
		{ 0, 2 },
		{ 3, 5 },
		{ UINT32_MAX, 1 },
		{ 0xfffffffe, 0 },
		{ UINT64_MAX, 1 },
		{ 7, NONE },
		{ 1ull << 32 | 1, 3 },
		{ 0x80000000, NONE },
	};
	struct fl_error error = { .text = "" };
	struct fl_instance_config config;
	struct fl_instance *instance = NULL;
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct host host;
	struct wasm *w;

	open_pool(&conform);
	import_funcs(&parts, 9);
	import_global(&parts, 0x7f);
	import_global(&parts, 0x7f);
	add_table(&parts, 8, WASM_NO_MAX);
	w = part(&parts, WASM_ELEMENT);
	wasm_bytes(w, 0, 0x23, 1, 0x41, 2, 0x6a, 0x0b, 1, 4);
	module = parts_load(&conform, &parts);
	host_config(&host, &config);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(values); i++) {
		uint64_t globals[2] = { 77, values[i].value };
		int err;

		config.imported_globals = globals;
		config.imported_global_count = 2;
		err = fl_instance_acquire(conform.pool, module, &config,
					  &instance, &error);
		CHECK_EQ(err, values[i].idx == NONE ? -EFAULT : 0);
		if (err)
			continue;
		CHECK_EQ(at(fl_instance_table(instance, 0), values[i].idx),
			 FUNC(4));
		instance_stop(instance);
	}
	config.imported_global_count = 1;
	instance = NULL;
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -EINVAL);
	CHECK(instance == NULL);
	CHECK_HAS(error.text, "global");
	CHECK_EQ(host.live, 0);
	check_nothing_is_held(&conform);
	fl_module_release(module);
	conform_close(&conform);
}

/* Without make_element tables begin with nulls, and segments are left. */
static void runtime_that_fills_tables_itself(void)
{
	struct fl_instance *instance;
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct fl_table *table;
	uint64_t mine[2] = { FUNC(3), FUNC(4) };

	open_pool(&conform);
	import_funcs(&parts, 9);
	add_table(&parts, 3, WASM_NO_MAX);
	add_funcs(&parts, 0, 0, 1, 2);
	add_funcs(&parts, 0, 500, 1, 2);
	add_passive(&parts, 1, 2);
	module = parts_load(&conform, &parts);
	for (int i = 0; i < 10; i++) {
		instance = start(&conform, module, NULL);
		table = fl_instance_table(instance, 0);
		CHECK_TABLE(table, NONE, NONE, NONE);
		CHECK_EQ(fl_table_init_elements(table, 1, mine, 2, 0, 2), 0);
		CHECK_TABLE(table, NONE, FUNC(3), FUNC(4));
		CHECK_EQ(fl_table_init(instance, 0, 2, 0, 0, 1), TABLE_OOB);
		CHECK_TABLE(table, NONE, FUNC(3), FUNC(4));
		instance_stop(instance);
	}
	fl_module_release(module);
	conform_close(&conform);
}

/* A pool without tables leaves them to the runtime, wrong ones too. */
static void tables_that_are_the_runtimes(void)
{
	struct fl_instance_config config;
	struct fl_pool_config pool;
	struct fl_instance *instance;
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct host host;

	pool_config(&pool);
	pool.max_tables = 0;
	conform_open(&conform, &pool);
	import_funcs(&parts, 9);
	add_table(&parts, NONE, WASM_NO_MAX);
	add_memory(&parts, 1);
	add_funcs(&parts, 0, NONE, 1, 2);
	add_data(&parts, 0, "data");
	module = parts_load(&conform, &parts);
	CHECK_EQ(fl_pool_validate(conform.pool, module, NULL), 0);
	host_config(&host, &config);
	instance = start(&conform, module, &config);
	CHECK(!fl_instance_table(instance, 0));
	CHECK_EQ(host.made, 0);
	check_text(fl_instance_memory(instance, 0), 0, "data");
	CHECK_EQ(fl_table_init(instance, 0, 0, 0, 0, 0), TABLE_OOB);
	instance_stop(instance);
	fl_module_release(module);
	conform_close(&conform);
}

/* --------------------------------------------------------- table.init, drops */

static struct fl_module *module_with_drops(struct conform *conform)
{
	struct parts parts = { 0 };
	struct wasm *w;

	import_funcs(&parts, 9);
	add_table(&parts, 5, WASM_NO_MAX);
	add_table(&parts, 2, WASM_NO_MAX);
	add_memory(&parts, 1);
	add_funcs(&parts, 0, 0, 0, 1); /* 0: active */
	add_passive(&parts, 1, 3); /* 1: passive */
	w = part(&parts, WASM_ELEMENT); /* 2: declared */
	wasm_element_head(w, 3, 0, 0, 0x70);
	wasm_u(w, 1);
	wasm_u(w, 5);
	w = part(&parts, WASM_ELEMENT); /* 3: passive, with a null */
	wasm_element_head(w, 5, 0, 0, 0x70);
	wasm_u(w, 2);
	wasm_ref_null(w, 0x70);
	wasm_ref_func(w, 8);
	add_data(&parts, 0, "active");
	wasm_data_passive(part(&parts, WASM_DATA), "passive", 7);
	return parts_load(conform, &parts);
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

static void passive_segments_and_drops_of(enum fl_allocation allocation)
{
	struct fl_instance_config config;
	struct fl_module *module;
	struct conform conform;
	struct host host;

	open_pool_of(&conform, allocation);
	module = module_with_drops(&conform);
	/* What one instance has dropped, the next one of its slot has. */
	for (int i = 0; i < 10; i++) {
		struct fl_instance *instance;
		struct fl_table *table;
		uint32_t made;

		host_config(&host, &config);
		instance = start(&conform, module, &config);
		table = fl_instance_table(instance, 0);
		made = host.made;
		check_init_edges(instance);
		CHECK_EQ(host.made, made);
		CHECK_EQ(fl_table_init(instance, 0, 1, 1, 1, 2), 0);
		CHECK_EQ(fl_table_init(instance, 0, 1, 4, 0, 1), 0);
		CHECK_TABLE(table, FUNC(0), FUNC(2), FUNC(3), NONE, FUNC(1));
		CHECK_EQ(fl_table_init(instance, 0, 3, 2, 0, 2), 0);
		CHECK_TABLE(table, FUNC(0), FUNC(2), NONE, FUNC(8), FUNC(1));
		CHECK_EQ(fl_table_init(instance, 1, 1, 0, 0, 2), 0);
		CHECK_TABLE(fl_instance_table(instance, 1), FUNC(1), FUNC(2));
		CHECK_EQ(host.live, 6);
		fl_elem_drop(instance, 1);
		CHECK_EQ(fl_table_init(instance, 0, 1, 0, 0, 1), TABLE_OOB);
		CHECK_EQ(fl_table_init(instance, 0, 1, 0, 1, 0), TABLE_OOB);
		CHECK_EQ(fl_table_init(instance, 0, 1, 5, 0, 0), 0);
		CHECK_EQ(fl_table_init(instance, 0, 3, 0, 1, 1), 0);
		fl_elem_drop(instance, 1);
		fl_elem_drop(instance, 0);
		fl_elem_drop(instance, 2);
		fl_elem_drop(instance, 4);
		fl_elem_drop(instance, NONE);
		CHECK_TABLE(table, FUNC(8), FUNC(2), NONE, FUNC(8), FUNC(1));
		instance_stop(instance);
		CHECK_EQ(host.live, 0);
	}
	fl_module_release(module);
	conform_close(&conform);
}

static void passive_segments_and_drops(void)
{
	passive_segments_and_drops_of(FL_ALLOCATION_POOLING);
	passive_segments_and_drops_of(FL_ALLOCATION_ON_DEMAND);
}

static void data_segments_beside_elements(void)
{
	struct fl_module *module;
	struct conform conform;

	open_pool(&conform);
	module = module_with_drops(&conform);
	for (int i = 0; i < 5; i++) {
		struct fl_instance *instance = start(&conform, module, NULL);
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
		instance_stop(instance);
	}
	fl_module_release(module);
	conform_close(&conform);
}

/* ---------------------------------------------------------- imports and images */

static void importing_tables(void)
{
	struct fl_error error = { .text = "" };
	struct fl_instance_config config;
	struct fl_instance *instance = NULL;
	struct fl_table *tables[3];
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct host host;

	open_pool(&conform);
	import_funcs(&parts, 9);
	import_table(&parts, 2);
	import_table(&parts, 4);
	add_table(&parts, 1, WASM_NO_MAX);
	add_funcs(&parts, 1, 4, 3, 1);
	add_funcs(&parts, 2, 0, 5, 1);
	module = parts_load(&conform, &parts);
	for (int i = 0; i < 3; i++)
		tables[i] = make_table(i == 1 ? 5 : 2);
	host_config(&host, &config);
	config.imported_tables = tables;
	for (uint32_t count = 0; count < 4; count++) {
		config.imported_table_count = count;
		if (count == 2)
			continue;
		CHECK_EQ(fl_instance_acquire(conform.pool, module, &config,
					     &instance, &error),
			 -EINVAL);
		CHECK_HAS(error.text, "import");
	}
	config.imported_table_count = 2;
	instance = start(&conform, module, &config);
	CHECK(fl_instance_table(instance, 0) == tables[0]);
	CHECK(fl_instance_table(instance, 1) == tables[1]);
	CHECK_TABLE(tables[1], NONE, NONE, NONE, NONE, FUNC(3));
	CHECK_TABLE(fl_instance_table(instance, 2), FUNC(5));
	instance_stop(instance);
	CHECK_TABLE(tables[1], NONE, NONE, NONE, NONE, FUNC(3));
	/* 2 elements are less than 4, and NULL is none at all. */
	instance = NULL;
	config.imported_tables = (struct fl_table *[]){ tables[0], tables[2] };
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -EINVAL);
	config.imported_tables = (struct fl_table *[]){ NULL, tables[1] };
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -EINVAL);
	CHECK(instance == NULL);
	check_nothing_is_held(&conform);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(fl_table_release(tables[i]), 0);
	fl_module_release(module);
	conform_close(&conform);
}

/* A table of another instance, and one taken alone from the same pool. */
static void tables_shared_by_instances(void)
{
	struct fl_instance *owner, *user;
	struct fl_instance_config config;
	struct parts parts = { 0 };
	struct fl_module *modules[2];
	struct conform conform;
	struct fl_table *table;
	struct host host;

	open_pool(&conform);
	import_funcs(&parts, 9);
	add_table(&parts, 3, WASM_NO_MAX);
	add_funcs(&parts, 0, 0, 1, 1);
	modules[0] = parts_load(&conform, &parts);
	parts = (struct parts){ 0 };
	import_funcs(&parts, 9);
	import_table(&parts, 2);
	add_funcs(&parts, 0, 1, 7, 1);
	modules[1] = parts_load(&conform, &parts);
	for (int i = 0; i < 5; i++) {
		host_config(&host, &config);
		owner = start(&conform, modules[0], &config);
		table = fl_instance_table(owner, 0);
		config.imported_tables = &table;
		config.imported_table_count = 1;
		user = start(&conform, modules[1], &config);
		CHECK(fl_instance_table(user, 0) == table);
		CHECK_TABLE(table, FUNC(1), FUNC(7), NONE);
		CHECK_EQ(host.live, 2);
		instance_stop(user);
		CHECK_TABLE(table, FUNC(1), FUNC(7), NONE);
		instance_stop(owner);
		CHECK_EQ(host.live, 0);
	}
	for (int i = 0; i < 2; i++)
		fl_module_release(modules[i]);
	conform_close(&conform);
}

static void images_of_tables(void)
{
	uint64_t content[3] = { FUNC(40), UINT64_MAX, FUNC(42) };
	struct fl_instance_config config;
	struct fl_image *images[2] = { NULL };
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct host host;
	struct wasm *w;

	open_pool(&conform);
	import_funcs(&parts, 9);
	w = part(&parts, WASM_TABLE);
	wasm_bytes(w, 0x40, 0, 0x70);
	wasm_limits(w, 0, 3, 0);
	wasm_ref_func(w, 6);
	add_table(&parts, 2, WASM_NO_MAX);
	add_funcs(&parts, 0, 0, 1, 3);
	add_funcs(&parts, 1, 1, 5, 1);
	module = parts_load(&conform, &parts);
	images[0] = conform_image_of(&conform, 24, 0, content, 24);
	for (int i = 0; i < 12; i++) {
		struct fl_instance *instance;

		host_config(&host, &config);
		config.clone_element = NULL;
		config.drop_element = NULL;
		config.table_images = i % 3 ? images : NULL;
		config.table_image_count = i % 3 ? 2 : 0;
		instance = start(&conform, module, &config);
		if (i % 3)
			CHECK_TABLE(fl_instance_table(instance, 0), FUNC(40),
				    NONE, FUNC(42));
		else
			CHECK_TABLE(fl_instance_table(instance, 0), FUNC(1),
				    FUNC(2), FUNC(3));
		CHECK_TABLE(fl_instance_table(instance, 1), NONE, FUNC(5));
		CHECK_EQ(fl_table_grow(fl_instance_table(instance, 0), 500,
				       NULL, NULL),
			 0);
		CHECK(all_null(fl_instance_table(instance, 0), 3));
		memset(fl_instance_table(instance, 0)->base, 7, 503 * 8);
		instance_stop(instance);
	}
	/* One for each table that is defined, or none. */
	config.table_images = images;
	config.table_image_count = 1;
	struct fl_instance *none = NULL;

	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &none,
				     NULL),
		 -EINVAL);
	CHECK(none == NULL);
	check_nothing_is_held(&conform);
	fl_image_release(images[0]);
	fl_module_release(module);
	conform_close(&conform);
}

/* ----------------------------------------------------------- the two halves */

static void allocate_then_initialise(void)
{
	struct fl_error error = { .text = "" };
	struct fl_instance_config config;
	struct fl_instance *instance = NULL;
	struct fl_module *module;
	struct conform conform;
	struct host host;

	open_pool(&conform);
	module = module_with_drops(&conform);
	for (int i = 0; i < 10; i++) {
		struct fl_table *table;

		host_config(&host, &config);
		CONFORM_MUST(fl_instance_allocate(conform.pool, module, &config,
						  &instance, &error),
			     &error);
		table = fl_instance_table(instance, 0);
		CHECK_TABLE(table, NONE, NONE, NONE, NONE, NONE);
		CHECK_EQ(host.made, 0);
		CHECK(fl_instance_user(instance) == &host);
		check_text(fl_instance_memory(instance, 0), 0, "active");
		if (i % 3) {
			CONFORM_MUST(fl_instance_initialise(instance, &config,
							    &error),
				     &error);
			CHECK_TABLE(table, FUNC(0), NONE, NONE, NONE, NONE);
			CHECK_EQ(host.live, 1);
		}
		instance_stop(instance);
		CHECK_EQ(host.live, 0);
		check_nothing_is_held(&conform);
	}
	fl_module_release(module);
	conform_close(&conform);
}

static void initialise_that_traps(void)
{
	struct fl_error error = { .text = "" };
	struct fl_instance_config config;
	struct fl_instance *instance = NULL;
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct host host;

	open_pool(&conform);
	import_funcs(&parts, 9);
	add_table(&parts, 3, WASM_NO_MAX);
	add_funcs(&parts, 0, 1, 1, 2);
	add_funcs(&parts, 0, 2, 5, 2);
	module = parts_load(&conform, &parts);
	for (int i = 0; i < 10; i++) {
		host_config(&host, &config);
		CONFORM_MUST(fl_instance_allocate(conform.pool, module, &config,
						  &instance, &error),
			     &error);
		CHECK_EQ(fl_instance_initialise(instance, &config, &error),
			 -EFAULT);
		CHECK_EQ(error.trap, TABLE_OOB);
		CHECK_TABLE(fl_instance_table(instance, 0), NONE, FUNC(1),
			    FUNC(2));
		CHECK_EQ(host.live, 2);
		instance_stop(instance);
		CHECK_EQ(host.live, 0);
		check_nothing_is_held(&conform);
	}
	fl_module_release(module);
	conform_close(&conform);
}

/* ---------------------------------------------------------------- structures */

static struct fl_module *empty_module(struct conform *conform)
{
	struct parts parts = { 0 };

	return parts_load(conform, &parts);
}

/* All slots at once, each with its own structure, filled to the brim. */
static void structures(uint64_t bytes, uint64_t alignment,
		       enum fl_allocation allocation, uint32_t audit_every)
{
	struct fl_instance *instances[4];
	struct fl_pool_config pool;
	struct fl_module *module;
	struct conform conform;
	void *seen[4] = { NULL };

	pool_config(&pool);
	pool.max_instances = 4;
	pool.instance_bytes = bytes;
	pool.instance_alignment_bytes = alignment;
	pool.allocation = allocation;
	pool.audit_every = audit_every;
	conform_open(&conform, &pool);
	module = empty_module(&conform);
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 4; i++) {
			uint8_t *structure;
			bool known = !round ||
				     allocation == FL_ALLOCATION_ON_DEMAND;

			instances[i] = start(&conform, module, NULL);
			structure = fl_instance_structure(instances[i]);
			MUST(structure != NULL);
			CHECK_EQ((uintptr_t)structure % (alignment ?: 4096), 0);
			CHECK_EQ(conform_first_data(structure, bytes), bytes);
			memset(structure, i + 1, bytes);
			for (int k = 0; k < 4; k++)
				known = known || seen[k] == structure;
			CHECK(known);
		}
		for (int i = 0; i < 4; i++) {
			uint8_t *at = fl_instance_structure(instances[i]);

			seen[i] = at;
			for (uint64_t k = 0; k < bytes; k++) {
				if (at[k] != i + 1) {
					CHECK(!"nobody else wrote here");
					break;
				}
			}
		}
		for (int i = 0; i < 4; i++)
			instance_stop(instances[round % 2 ? i : 3 - i]);
		if (round % 4 == 3)
			fl_pool_trim(conform.pool, UINT64_MAX, NULL);
	}
	fl_module_release(module);
	conform_close(&conform);
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
	struct fl_module *module;
	struct conform conform;

	open_pool(&conform);
	module = empty_module(&conform);
	instance = start(&conform, module, NULL);
	CHECK(fl_instance_structure(instance) == NULL);
	instance_stop(instance);
	fl_module_release(module);
	conform_close(&conform);
}

/* A slot has one tenant, whatever its last one does. */
static void releasing_twice(void)
{
	struct fl_instance *instances[2], *gone;
	struct fl_pool_config pool;
	struct fl_module *module;
	struct conform conform;

	for (uint64_t bytes = 0; bytes < 200; bytes += 100) {
		pool_config(&pool);
		pool.instance_bytes = bytes;
		conform_open(&conform, &pool);
		module = empty_module(&conform);
		gone = start(&conform, module, NULL);
		instance_stop(gone);
		CHECK_EQ(fl_instance_release(gone), -EINVAL);
		CHECK_EQ(conform_info(&conform).live_instances, 0);
		for (int i = 0; i < 2; i++)
			instances[i] = start(&conform, module, NULL);
		CHECK(instances[0] != instances[1]);
		CHECK_EQ(conform_info(&conform).live_instances, 2);
		for (int i = 0; i < 2; i++)
			instance_stop(instances[i]);
		fl_module_release(module);
		conform_close(&conform);
	}
}

static void structure_with_an_image(void)
{
	struct fl_instance_config config;
	struct fl_pool_config pool;
	struct fl_module *module;
	struct conform conform;
	uint8_t content[6000];

	pool_config(&pool);
	pool.max_instances = 1;
	pool.instance_bytes = 9000;
	conform_open(&conform, &pool);
	module = empty_module(&conform);
	memset(content, 0x42, sizeof(content));
	fl_instance_config_init(&config);
	struct fl_image *image = conform_image_of(&conform, 9000, 1000, content,
						  sizeof(content));

	for (int i = 0; i < 20; i++) {
		struct fl_instance *instance;
		uint8_t *at;

		config.structure_image = i % 4 < 2 ? image : NULL;
		instance = start(&conform, module, &config);
		at = fl_instance_structure(instance);
		if (config.structure_image) {
			CHECK_EQ(conform_first_data(at, 1000), 1000);
			CHECK(!memcmp(at + 1000, content, sizeof(content)));
			CHECK_EQ(conform_first_data(at + 7000, 2000), 2000);
		} else {
			CHECK_EQ(conform_first_data(at, 9000), 9000);
		}
		memset(at + i * 100, i, 4000);
		instance_stop(instance);
		if (i % 7 == 6)
			CHECK_EQ(fl_pool_purge_image(conform.pool, image, NULL),
				 0);
	}
	fl_image_release(image);
	/* One whose content does not fit. */
	image = conform_image_of(&conform, 2 * WPAGE, WPAGE, content, 10);
	config.structure_image = image;
	struct fl_instance *none = NULL;

	CHECK(fl_instance_acquire(conform.pool, module, &config, &none, NULL) <
	      0);
	CHECK(none == NULL);
	check_nothing_is_held(&conform);
	fl_image_release(image);
	fl_module_release(module);
	conform_close(&conform);
}

static void structures_that_are_refused(void)
{
	static const uint64_t wrong[] = { 3,	   24,	       100,
					  4 * MIB, UINT64_MAX, 1ull << 63 };
	struct fl_context *context = conform_context();
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool *pool = NULL;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(wrong); i++) {
		pool_config(&config);
		config.instance_bytes = 100;
		config.instance_alignment_bytes = wrong[i];
		CHECK_EQ(fl_pool_create(context, &config, &pool, &error),
			 -EINVAL);
		CHECK_HAS(error.text, "instance_alignment_bytes");
	}
	for (unsigned int bit = 44; bit < 64; bit++) {
		int err;

		pool_config(&config);
		config.max_instances = 1000000;
		config.instance_bytes = UINT64_MAX << bit;
		err = fl_pool_create(context, &config, &pool, &error);
		CHECK(err == -EINVAL || err == -ENOMEM);
		config.instance_bytes = 1ull << bit;
		err = fl_pool_create(context, &config, &pool, &error);
		CHECK(err == -EINVAL || err == -ENOMEM);
	}
	CHECK(pool == NULL);
	fl_context_destroy(context);
}

/* ----------------------------------------------------------------- tunables */

static void tunables_of_a_guarded_pool(void)
{
	struct fl_tunables tunables, asked;
	struct fl_instance_config config;
	struct fl_instance *instance = NULL;
	struct fl_error error = { .text = "" };
	struct fl_module *module;
	struct conform conform;
	struct fl_memory *memory;
	uint64_t reach;

	open_pool(&conform);
	module = module_simple(&conform, 1, 0, NULL);
	fl_tunables_init(&asked);
	CHECK_EQ(asked.memory_reservation_bytes, 4 * GIB);
	CHECK_EQ(asked.memory_guard_bytes, 32 * MIB);
	CHECK_EQ(asked.memory_guard_before_bytes, 0);
	CHECK_EQ(asked.memory_may_move, 1);
	CHECK_EQ(asked.checks_bounds, 0);
	tunables = asked;
	CHECK_EQ(fl_pool_adjust_tunables(conform.pool, &tunables, &error), 0);
	CHECK_EQ(tunables.memory_may_move, 0);
	CHECK(tunables.memory_reservation_bytes >= 4 * MIB);
	CHECK(tunables.memory_reservation_bytes < GIB);
	/* Every byte that they promise faults. */
	fl_instance_config_init(&config);
	config.tunables = &tunables;
	instance = start(&conform, module, &config);
	memory = fl_instance_memory(instance, 0);
	reach = tunables.memory_reservation_bytes + tunables.memory_guard_bytes;
	CHECK(test_open(memory->base + WPAGE - 1));
	for (uint64_t off = WPAGE; off < reach; off += 32 * KIB)
		CHECK(test_traps(memory->base + off));
	CHECK(test_traps(memory->base + reach - 1));
	instance_stop(instance);
	instance = NULL;
	/* More than the pool has, in each of them. */
	config.tunables = &asked;
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -ENOTSUP);
	CHECK(error.text[0]);
	for (int i = 0; i < 3; i++) {
		asked = tunables;
		asked.memory_reservation_bytes += i == 0;
		asked.memory_guard_bytes += i == 1;
		asked.memory_guard_before_bytes += i == 2;
		CHECK_EQ(fl_instance_acquire(conform.pool, module, &config,
					     &instance, &error),
			 -ENOTSUP);
	}
	CHECK(instance == NULL);
	asked = tunables;
	asked.memory_may_move = 1;
	instance_stop(start(&conform, module, &config));
	asked.size = 3;
	CHECK_EQ(fl_pool_adjust_tunables(conform.pool, &asked, &error),
		 -EINVAL);
	check_nothing_is_held(&conform);
	fl_module_release(module);
	conform_close(&conform);
}

/* All slots, also the last one, have what the tunables say around them. */
static void tunables_hold_in_every_slot(void)
{
	struct fl_memory *memories[4];
	struct fl_tunables tunables;
	struct fl_pool_config pool;
	struct conform conform;
	uint64_t reach;

	pool_config(&pool);
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
	reach = tunables.memory_reservation_bytes + tunables.memory_guard_bytes;
	CHECK(reach >= 4 * MIB + 192 * KIB);
	for (int i = 0; i < 4; i++) {
		uint8_t *base = memories[i]->base;

		CHECK(test_open(base - 24));
		for (uint64_t off = 4 * MIB; off < reach; off += 4 * KIB)
			CHECK(test_traps(base + off));
		for (uint64_t off = 1;
		     tunables.memory_guard_before_bytes &&
		     off <= tunables.memory_guard_before_bytes;
		     off += 4 * KIB)
			CHECK(test_traps(base - 4096 - off));
	}
	for (int i = 0; i < 4; i++)
		conform_give(memories[i]);
	conform_close(&conform);
}

static void tunables_of_an_accessible_pool(void)
{
	struct fl_instance_config config;
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;
	struct fl_tunables tunables, before;
	struct fl_pool_config pool;
	struct fl_module *module;
	struct conform conform;

	pool_config(&pool);
	pool.bounds = FL_BOUNDS_ACCESSIBLE;
	conform_open(&conform, &pool);
	module = module_simple(&conform, 1, 0, NULL);
	fl_tunables_init(&tunables);
	before = tunables;
	CHECK_EQ(fl_pool_adjust_tunables(conform.pool, &tunables, &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, "checks_bounds");
	CHECK_HAS(error.text, "FL_BOUNDS_ACCESSIBLE");
	CHECK(!memcmp(&tunables, &before, sizeof(before)));
	fl_instance_config_init(&config);
	config.tunables = &tunables;
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -ENOTSUP);
	/* Small enough to be held, but nobody checks. */
	tunables.memory_reservation_bytes = 0;
	tunables.memory_guard_bytes = 0;
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -ENOTSUP);
	CHECK(instance == NULL);
	fl_tunables_init(&tunables);
	tunables.checks_bounds = 1;
	CHECK_EQ(fl_pool_adjust_tunables(conform.pool, &tunables, &error), 0);
	CHECK_EQ(tunables.checks_bounds, 1);
	CHECK_EQ(tunables.memory_may_move, 0);
	instance_stop(start(&conform, module, &config));
	check_nothing_is_held(&conform);
	fl_module_release(module);
	conform_close(&conform);
}

/* -------------------------------------------------------------------- purge */

static void purge_of_a_module(void)
{
	struct fl_instance_config config;
	struct fl_module *modules[2];
	struct conform conform;
	struct host host;

	open_pool(&conform);
	for (int i = 0; i < 2; i++)
		modules[i] = module_simple(&conform, 2, 5, i ? "one" : "two");
	host_config(&host, &config);
	for (int round = 0; round < 10; round++) {
		struct fl_instance *instances[2];
		uint32_t purged = 9;

		for (int i = 0; i < 2; i++) {
			instances[i] = start(&conform, modules[i], &config);
			memset(fl_instance_memory(instances[i], 0)->base, i,
			       100);
		}
		/* What lives is left alone. */
		CHECK_EQ(fl_pool_purge(conform.pool, modules[0], &purged), 0);
		CHECK_EQ(purged, 0);
		for (int i = 0; i < 2; i++)
			instance_stop(instances[i]);
		CHECK_EQ(conform_info(&conform).warm_memories, 2);
		CHECK_EQ(fl_pool_purge(conform.pool, modules[round % 2],
				       &purged),
			 0);
		CHECK_EQ(purged, 1);
		CHECK_EQ(conform_info(&conform).warm_memories, 1);
		CHECK_EQ(fl_pool_purge(conform.pool, modules[round % 2],
				       &purged),
			 0);
		CHECK_EQ(purged, 0);
		instances[0] = start(&conform, modules[0], &config);
		check_text(fl_instance_memory(instances[0], 0), 5, "two");
		instance_stop(instances[0]);
	}
	for (int i = 0; i < 2; i++)
		fl_module_release(modules[i]);
	conform_close(&conform);
}

/* ------------------------------------------------------------------- limits */

static void check_refused(struct conform *conform, struct parts *parts,
			  const char *field)
{
	struct fl_module *module = parts_load(conform, parts);
	struct fl_instance *instance = NULL;
	struct fl_error error = { .text = "" };

	*parts = (struct parts){ 0 };
	CHECK_EQ(fl_pool_validate(conform->pool, module, &error), -E2BIG);
	CHECK_HAS(error.text, field);
	CHECK_EQ(fl_instance_acquire(conform->pool, module, NULL, &instance,
				     &error),
		 -E2BIG);
	CHECK(instance == NULL);
	check_nothing_is_held(conform);
	fl_module_release(module);
}

static void limits_of_tables(void)
{
	struct parts parts = { 0 };
	struct conform conform;
	struct wasm *w;

	open_pool(&conform);
	add_table(&parts, 1001, WASM_NO_MAX);
	check_refused(&conform, &parts, "max_table_elements");
	add_table(&parts, UINT32_MAX, WASM_NO_MAX);
	check_refused(&conform, &parts, "max_table_elements");
	for (unsigned int i = 0; i < 3; i++) {
		/* A table of 64 bits. */
		w = part(&parts, WASM_TABLE);
		wasm_bytes(w, 0x70);
		wasm_limits(w, 4, i ? UINT64_MAX >> (i * 3) : UINT64_MAX, 0);
		check_refused(&conform, &parts, "max_table_elements");
	}
	for (int i = 0; i < 5; i++)
		add_table(&parts, 1, 1);
	check_refused(&conform, &parts, "max_tables_per_instance");
	for (int i = 0; i < 100; i++)
		add_table(&parts, 1, 1);
	check_refused(&conform, &parts, "max_tables_per_instance");
	conform_close(&conform);
}

/* The third of these instances finds no table, or no slot for itself. */
static void third_instance(uint32_t max_instances, uint32_t max_tables)
{
	struct fl_instance *instances[2], *none = NULL;
	struct fl_instance_config config;
	struct fl_pool_config pool;
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct host host;

	pool_config(&pool);
	pool.max_instances = max_instances;
	pool.max_tables = max_tables;
	conform_open(&conform, &pool);
	import_funcs(&parts, 3);
	add_memory(&parts, 1);
	add_table(&parts, 1000, 1000);
	add_table(&parts, 1, 1);
	add_funcs(&parts, 0, 0, 0, 3);
	module = parts_load(&conform, &parts);
	host_config(&host, &config);
	for (int i = 0; i < 10; i++) {
		for (int k = 0; k < 2; k++)
			instances[k] = start(&conform, module, &config);
		CHECK_EQ(conform_info(&conform).live_tables, 4);
		CHECK_EQ(fl_instance_acquire(conform.pool, module, &config,
					     &none, NULL),
			 -EAGAIN);
		CHECK(none == NULL);
		CHECK_EQ(conform_info(&conform).live_tables, 4);
		CHECK_EQ(conform_info(&conform).live_memories, 2);
		CHECK_EQ(conform_info(&conform).live_instances, 2);
		CHECK_EQ(host.live, 6);
		for (int k = 0; k < 2; k++)
			instance_stop(instances[k]);
		CHECK_EQ(host.live, 0);
		check_nothing_is_held(&conform);
	}
	fl_module_release(module);
	conform_close(&conform);
}

static void more_tables_than_there_are(void)
{
	third_instance(4, 5);
	third_instance(2, 10);
}

/* ------------------------------------------------------------------ hostile */

static void hundred_tables(void)
{
	struct fl_instance_config config;
	struct fl_pool_config pool;
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct host host;

	pool_config(&pool);
	pool.max_tables = 100;
	pool.max_tables_per_instance = 100;
	pool.max_instances = 2;
	conform_open(&conform, &pool);
	import_funcs(&parts, 100);
	for (uint32_t i = 0; i < 100; i++) {
		add_table(&parts, i, WASM_NO_MAX);
		if (i)
			add_funcs(&parts, i, i - 1, i, 1);
	}
	module = parts_load(&conform, &parts);
	for (int round = 0; round < 5; round++) {
		struct fl_instance *instance, *none = NULL;

		host_config(&host, &config);
		instance = start(&conform, module, &config);
		for (uint32_t i = 1; i < 100; i++) {
			struct fl_table *table = fl_instance_table(instance, i);

			CHECK_EQ(table->length, i);
			CHECK_EQ(at(table, i - 1), FUNC(i));
			CHECK(i == 1 || at(table, i - 2) == NONE);
		}
		CHECK_EQ(fl_instance_acquire(conform.pool, module, &config,
					     &none, NULL),
			 -EAGAIN);
		CHECK_EQ(conform_info(&conform).live_tables, 100);
		CHECK_EQ(host.live, 99);
		instance_stop(instance);
		CHECK_EQ(host.live, 0);
		check_nothing_is_held(&conform);
	}
	fl_module_release(module);
	conform_close(&conform);
}

static void many_segments(void)
{
	struct fl_instance_config config;
	struct fl_instance *instance;
	struct parts parts = { 0 };
	struct fl_module *module;
	struct conform conform;
	struct host host;

	open_pool(&conform);
	import_funcs(&parts, 9);
	add_table(&parts, 10, WASM_NO_MAX);
	for (uint32_t i = 0; i < 100000; i++) {
		if (i % 2)
			add_passive(&parts, i % 9, 1);
		else
			add_funcs(&parts, 0, i % 10, i % 9, 1);
	}
	module = parts_load(&conform, &parts);
	for (int i = 0; i < 2; i++) {
		host_config(&host, &config);
		instance = start(&conform, module, &config);
		CHECK_EQ(at(fl_instance_table(instance, 0), 8),
			 FUNC(99998 % 9));
		fl_elem_drop(instance, 99999);
		CHECK_EQ(fl_table_init(instance, 0, 99999, 0, 0, 1), TABLE_OOB);
		CHECK_EQ(fl_table_init(instance, 0, 99997, 0, 0, 1), 0);
		instance_stop(instance);
		CHECK_EQ(host.live, 0);
	}
	fl_module_release(module);
	parts = (struct parts){ 0 };
	add_table(&parts, 10, WASM_NO_MAX);
	for (uint32_t i = 0; i < 100001; i++)
		add_funcs(&parts, 0, 0, 0, 0);
	parts_refused(&conform, &parts, -E2BIG);
	conform_close(&conform);
}

static void elements_that_are_not_there(void)
{
	static const uint32_t funcs[] = { 9, 10, 0x7fffffff, 0x80000000, NONE };
	struct conform conform;

	open_pool(&conform);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(funcs); i++) {
		for (unsigned int flags = 0; flags < 8; flags++) {
			struct parts parts = { 0 };
			struct wasm *w;

			import_funcs(&parts, 9);
			add_table(&parts, 10, WASM_NO_MAX);
			w = part(&parts, WASM_ELEMENT);
			wasm_element_head(w, flags, 0, 0, 0x70);
			wasm_u(w, 1);
			if (flags & WASM_ELEMENT_EXPRS)
				wasm_ref_func(w, funcs[i]);
			else
				wasm_u(w, funcs[i]);
			parts_refused(&conform, &parts, -ENOEXEC);
		}
	}
	for (int i = 0; i < 2; i++) {
		struct parts parts = { 0 };

		/* A table, and a count, past the end. */
		import_funcs(&parts, 9);
		add_table(&parts, 10, WASM_NO_MAX);
		if (i)
			add_funcs(&parts, 1, 0, 0, 1);
		else
			wasm_bytes(part(&parts, WASM_ELEMENT), 1, 0, 0xff, 0xff,
				   0xff, 0xff, 0x0f, 0);
		parts_refused(&conform, &parts, -ENOEXEC);
	}
	conform_close(&conform);
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
	struct fl_pool_config pool;
	struct conform conform;

	pool_config(&pool);
	pool.allocation = FL_ALLOCATION_ON_DEMAND;
	conform_open(&conform, &pool);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(mins); i++) {
		struct fl_instance *instance = NULL;
		struct fl_error error = { .text = "" };
		struct parts parts = { 0 };
		struct fl_module *module;
		struct wasm *w;
		int err;

		w = part(&parts, WASM_TABLE);
		wasm_bytes(w, 0x70);
		wasm_limits(w, 4, mins[i], 0);
		module = parts_load(&conform, &parts);
		/* Allocated, 4 G elements of nulls would have to be written. */
		if (i) {
			err = fl_instance_acquire(conform.pool, module, NULL,
						  &instance, &error);
			CHECK(err == -E2BIG || err == -ENOMEM);
			CHECK(error.text[0]);
		}
		CHECK(instance == NULL);
		check_nothing_is_held(&conform);
		fl_module_release(module);
	}
	conform_close(&conform);
}

struct fork_case {
	struct conform *conform;
	struct fl_module *module;
	struct fl_instance *instance;
};

static int child_calls(void *arg)
{
	struct fork_case *c = arg;
	struct fl_instance *instance = NULL;
	struct fl_instance_config config;
	struct host host;

	host_config(&host, &config);
	CHECK_EQ(fl_instance_allocate(c->conform->pool, c->module, &config,
				      &instance, NULL),
		 -ECHILD);
	CHECK_EQ(fl_instance_initialise(c->instance, &config, NULL), -ECHILD);
	CHECK_EQ(fl_instance_release(c->instance), -ECHILD);
	CHECK_EQ(fl_pool_purge(c->conform->pool, c->module, NULL), -ECHILD);
	CHECK_EQ(host.made, 0);
	return test_has_failed() ? TEST_CHILD_FAILED : 0;
}

static void child_gets_an_error(void)
{
	struct conform conform;
	struct fork_case c = { .conform = &conform };
	struct fl_instance_config config;
	struct fl_error error = { .text = "" };
	struct test_end end;
	struct host host;

	open_pool(&conform);
	c.module = module_with_drops(&conform);
	host_config(&host, &config);
	CONFORM_MUST(fl_instance_allocate(conform.pool, c.module, &config,
					  &c.instance, &error),
		     &error);
	end = test_fork(child_calls, &c, 10);
	CHECK_EQ(end.status, 0);
	CHECK_EQ(end.signo, 0);
	CHECK_EQ(fl_instance_initialise(c.instance, &config, &error), 0);
	CHECK_EQ(at(fl_instance_table(c.instance, 0), 0), FUNC(0));
	instance_stop(c.instance);
	fl_module_release(c.module);
	conform_close(&conform);
}

static const char *malloc_that_fails(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer's malloc() ends the program" :
				     NULL;
}

static const struct test_case cases[] = {
	TEST_CASE(segments_of_every_kind),
	TEST_CASE(ranges_of_elements),
	TEST_CASE(elements_of_other_expressions),
	TEST_CASE(offsets_that_are_known),
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
	TEST_CASE(structures_of_instances),
	TEST_CASE(no_structure),
	TEST_CASE(releasing_twice),
	TEST_CASE(structure_with_an_image),
	TEST_CASE(structures_that_are_refused),
	TEST_CASE(tunables_of_a_guarded_pool),
	TEST_CASE(tunables_hold_in_every_slot),
	TEST_CASE(tunables_of_an_accessible_pool),
	TEST_CASE(purge_of_a_module),
	TEST_CASE(limits_of_tables),
	TEST_CASE(more_tables_than_there_are),
	TEST_CASE(hundred_tables),
	TEST_CASE(many_segments),
	TEST_CASE(elements_that_are_not_there),
	TEST_CASE_NEEDS(huge_tables_on_demand, malloc_that_fails),
	TEST_CASE(child_gets_an_error),
};

CONFORM_MAIN(cases)
