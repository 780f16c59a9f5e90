/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bake_state.c - tools/wasm-image-state.c and tools/wasm-image-bake-state.c: the
 * state of an instance in a module.
 *
 * One module has something of everything that a state is about. Some tests hold
 * the written module against one that was put together by hand. In the others
 * the library judges: an instance of the written module must have the tables and
 * the segments that the state says. What values globals begin with a runtime
 * must say; wasm-image-files.sh asks one.
 */
#include "tests/kit/conform_module.h"
#include "tests/kit/random.h"

#include "tools/wasm-image-state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CHANGES 100000
#define FUNCTIONS 6 /* the first is imported */
#define FUNCREF 0x70
#define EXTERNREF 0x6f
#define MAX_ENTRIES 4000
#define MAX_SIZE 9000

/* The last sentence, in place of the tool's stderr. */
static char said[400];

__attribute__((format(printf, 1, 2))) int fail(const char *format, ...);

int fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
	return 1;
}

/* -------------------------------------------------------------- the module */

/* What differs between the module and what is written for it. */
struct parts {
	uint64_t sizes[4]; /* tables */
	struct wasm globals, elements, data;
};

static void table(struct wasm *w, unsigned int type, uint64_t min, uint64_t max)
{
	wasm_bytes(w, (uint8_t)type);
	wasm_limits(w, 1, min, max);
}

static void add_exports(struct wasm *module)
{
	static const struct {
		const char *name;
		uint8_t kind, idx;
	} exports[] = {
		{ "t0", 1, 0 }, { "t1", 1, 1 }, { "t3", 1, 3 }, { "g0", 3, 0 },
		{ "g1", 3, 1 }, { "g2", 3, 2 }, { "g3", 3, 3 }, { "g4", 3, 4 },
		{ "g5", 3, 5 }, { "f0", 0, 0 }, { "f5", 0, 5 },
	};
	struct wasm w = { 0 };

	wasm_u(&w, TEST_ARRAY_SIZE(exports));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(exports); i++) {
		wasm_name(&w, exports[i].name);
		wasm_bytes(&w, exports[i].kind, exports[i].idx);
	}
	wasm_section(module, WASM_EXPORT, &w);
}

/* Tables 0, 1 and 3 can change, and globals 0 to 5. Empties the parts. */
static struct wasm build(struct parts *parts)
{
	struct wasm module = { 0 }, w = { 0 };

	wasm_header(&module);
	wasm_section_bytes(&module, WASM_TYPE, 1, 0x60, 0, 0);
	wasm_section_bytes(&module, WASM_IMPORT, 1, 1, 'm', 1, 'f', 0, 0);
	wasm_section_bytes(&module, WASM_FUNCTION, 5, 0, 0, 0, 0, 0);
	wasm_u(&w, 4);
	table(&w, FUNCREF, parts->sizes[0], MAX_SIZE);
	table(&w, EXTERNREF, parts->sizes[1], 9);
	table(&w, FUNCREF, parts->sizes[2], 3);
	table(&w, FUNCREF, parts->sizes[3], 20);
	wasm_section(&module, WASM_TABLE, &w);
	wasm_one_memory(&module, 1, 1);
	wasm_section(&module, WASM_GLOBAL, &parts->globals);
	add_exports(&module);
	wasm_section(&module, WASM_ELEMENT, &parts->elements);
	wasm_section_bytes(&module, WASM_CODE, 5, 2, 0, 0x0b, 2, 0, 0x0b, 2, 0,
			   0x0b, 2, 0, 0x0b, 2, 0, 0x0b);
	wasm_section(&module, WASM_DATA, &parts->data);
	return module;
}

static void constant_globals(struct wasm *w)
{
	wasm_bytes(w, 0x7f, 0);
	wasm_i32_const(w, 70);
	wasm_bytes(w, FUNCREF, 1);
	wasm_ref_func(w, 3);
}

static void active(struct wasm *w, unsigned int flags, uint32_t table_idx,
		   uint32_t place, unsigned int type, uint32_t count)
{
	wasm_element_head(w, flags, table_idx, place, type);
	wasm_u(w, count);
}

/* As the author of the module wrote it. Segments 1, 3 and 6 are passive and not
 * empty. */
static struct wasm original(void)
{
	struct parts parts = { .sizes = { 4, 2, 3, 2 } };
	struct wasm *g = &parts.globals, *e = &parts.elements;
	struct wasm *d = &parts.data;

	wasm_bytes(g, 8, 0x7f, 1, 0x41, 1, 0x0b, 0x7e, 1, 0x42, 2, 0x0b);
	wasm_bytes(g, 0x7d, 1, 0x43, 0, 0, 0, 0, 0x0b, 0x7c, 1, 0x44, 0, 0, 0,
		   0, 0, 0, 0, 0, 0x0b);
	wasm_bytes(g, FUNCREF, 1);
	wasm_ref_func(g, 1);
	wasm_bytes(g, EXTERNREF, 1);
	wasm_ref_null(g, EXTERNREF);
	constant_globals(g);
	wasm_u(e, 8);
	active(e, 0, 0, 0, 0, 2);
	wasm_bytes(e, 1, 2);
	active(e, WASM_ELEMENT_PASSIVE, 0, 0, 0, 2);
	wasm_bytes(e, 3, 1);
	active(e, WASM_ELEMENT_EXPLICIT, 2, 1, 0, 1);
	wasm_bytes(e, 2);
	active(e, WASM_ELEMENT_PASSIVE | WASM_ELEMENT_EXPRS, 0, 0, FUNCREF, 2);
	wasm_ref_func(e, 4);
	wasm_ref_null(e, FUNCREF);
	active(e, 0, 0, 3, 0, 1);
	wasm_bytes(e, 4);
	active(e, 6, 1, 0, EXTERNREF, 1);
	wasm_ref_null(e, EXTERNREF);
	active(e, WASM_ELEMENT_PASSIVE | WASM_ELEMENT_EXPRS, 0, 0, EXTERNREF,
	       1);
	wasm_ref_null(e, EXTERNREF);
	active(e, 3, 0, 0, 0, 1);
	wasm_bytes(e, 4);
	wasm_u(d, 4);
	wasm_data_passive(d, "ab", 2);
	wasm_data_active(d, 7, "x", 1);
	wasm_data_passive(d, "", 0);
	wasm_data_passive(d, "cd", 2);
	return build(&parts);
}

/* --------------------------------------------------------------- the state */

struct entry {
	uint32_t place, form, function_idx;
};

/* What a state says of the module. */
struct told {
	uint32_t i32;
	uint64_t i64;
	uint32_t f32;
	uint64_t f64;
	uint32_t function_form;
	uint64_t function_idx;
	uint32_t host_form;
	uint8_t flags[5]; /* two of data */
	uint64_t sizes[3]; /* tables 0, 1, 3 */
	struct entry entries[MAX_ENTRIES]; /* of table 0 */
	uint64_t entry_count;
	struct entry last; /* of table 3, unless its form is 0 */
	struct entry host; /* of table 1, likewise */
};

static void number(struct wasm *w, uint64_t value, unsigned int width)
{
	for (; width; width--, value >>= 8)
		wasm_bytes(w, (uint8_t)value);
}

static void global(struct wasm *w, uint32_t idx, uint32_t type, uint32_t form,
		   uint64_t value)
{
	number(w, idx, 4);
	number(w, type, 4);
	number(w, form, 4);
	number(w, value, 8);
}

static void entries(struct wasm *w, uint32_t table_idx, uint64_t size,
		    const struct entry *entry, uint64_t count)
{
	number(w, table_idx, 4);
	number(w, table_idx != 1, 4);
	number(w, size, 8);
	number(w, count, 8);
	for (; count; count--, entry++) {
		number(w, entry->place, 4);
		number(w, entry->form, 4);
		number(w, entry->function_idx, 8);
	}
}

static struct wasm state_of(const struct told *told)
{
	struct wasm w = { 0 };

	wasm_raw(&w, "FLw2cs01", 8);
	number(&w, 6, 4);
	number(&w, 3, 4);
	number(&w, 2, 4);
	number(&w, 3, 4);
	global(&w, 0, 0x7f, 0, told->i32);
	global(&w, 1, 0x7e, 0, told->i64);
	global(&w, 2, 0x7d, 0, told->f32);
	global(&w, 3, 0x7c, 0, told->f64);
	global(&w, 4, FUNCREF, told->function_form, told->function_idx);
	global(&w, 5, EXTERNREF, told->host_form, told->host_form);
	wasm_raw(&w, told->flags, 5);
	entries(&w, 0, told->sizes[0], told->entries, told->entry_count);
	entries(&w, 1, told->sizes[1], &told->host, told->host.form != 0);
	entries(&w, 3, told->sizes[2], &told->last, told->last.form != 0);
	return w;
}

/* The state of an instance to which nothing has happened. */
static void tell_original(struct told *told)
{
	memset(told, 0, sizeof(*told));
	told->i32 = 1;
	told->i64 = 2;
	told->function_form = 1;
	told->function_idx = 1;
	told->sizes[0] = 4;
	told->sizes[1] = told->sizes[2] = 2;
	told->entries[0] = (struct entry){ 0, 1, 1 };
	told->entries[1] = (struct entry){ 1, 1, 2 };
	told->entries[2] = (struct entry){ 3, 1, 4 };
	told->entry_count = 3;
}

/* -------------------------------------------------------------- one baking */

struct kitchen {
	struct fl_context *context;
	struct fl_pool *pool;
	struct wasm wasm;
	struct fl_module *module;
};

static struct fl_module *load(struct fl_context *context, const void *bytes,
			      size_t length)
{
	struct fl_module_config config = FL_MODULE_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_module *module = NULL;

	config.bytes = bytes;
	config.length_bytes = length;
	CONFORM_MUST(fl_module_load(context, &config, &module, &error), &error);
	return module;
}

static void kitchen_open(struct kitchen *kitchen)
{
	struct fl_context_config context_config = FL_CONTEXT_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;

	context_config.backend = "segmented";
	CONFORM_MUST(fl_context_create(&context_config, &kitchen->context,
				       &error),
		     &error);
	conform_pool_config(&config);
	config.max_tables = 16;
	config.max_tables_per_instance = 4;
	config.table_element_bytes = 8;
	CONFORM_MUST(fl_pool_create(kitchen->context, &config, &kitchen->pool,
				    &error),
		     &error);
	kitchen->wasm = original();
	kitchen->module = load(kitchen->context, kitchen->wasm.bytes,
			       kitchen->wasm.length);
}

static void kitchen_close(struct kitchen *kitchen)
{
	fl_module_release(kitchen->module);
	wasm_free(&kitchen->wasm);
	CHECK_EQ(fl_pool_destroy(kitchen->pool), 0);
	fl_context_destroy(kitchen->context);
}

/* False after a sentence in said. */
static bool bake(struct kitchen *kitchen, const struct wasm *bytes,
		 const uint8_t *is_declared, struct baked *baked)
{
	struct bake_memory memory = { .page_bytes = 65536,
				      .size_bytes = 65536 };
	struct state state;
	struct bake_request request = {
		.module = kitchen->wasm.bytes,
		.module_bytes = kitchen->wasm.length,
		.memories = &memory,
		.memory_count = 1,
		.max_segments = BAKE_MAX_SEGMENTS,
		.has_started = true,
		.state = &state.is,
	};
	bool is_good;

	said[0] = 0;
	*baked = (struct baked){ .bytes = NULL };
	is_good = !state_open(&state, kitchen->module, "it", bytes->bytes,
			      bytes->length);
	state.is.is_declared = is_declared;
	if (is_good && !bake_module(&request, baked))
		is_good = fail("%s", baked->reason) == 0;
	state_close(&state);
	return is_good;
}

static void baked_free(struct baked *baked)
{
	free(baked->bytes);
	free(baked->is_unmentioned);
}

static void bake_told(struct kitchen *kitchen, const struct told *told,
		      struct baked *baked)
{
	struct wasm bytes = state_of(told);

	if (!CHECK(bake(kitchen, &bytes, NULL, baked)))
		test_note("%s", said);
	wasm_free(&bytes);
	MUST(baked->bytes != NULL);
}

static void check_bytes(struct kitchen *kitchen, const struct told *told,
			struct wasm *expected)
{
	struct baked baked;

	bake_told(kitchen, told, &baked);
	CHECK_EQ(baked.length_bytes, expected->length);
	CHECK(baked.length_bytes == expected->length &&
	      !memcmp(baked.bytes, expected->bytes, expected->length));
	baked_free(&baked);
	wasm_free(expected);
}

/* ------------------------------------------------------ written as expected */

/* All of it has changed. */
static void tell_changed(struct told *told)
{
	memset(told, 0, sizeof(*told));
	told->i32 = 0x80000001;
	told->i64 = UINT64_MAX - 64;
	told->f32 = 0x7fa00001; /* a NaN that arithmetic would change */
	told->f64 = UINT64_C(0x400c000000000000);
	memcpy(told->flags, (uint8_t[]){ 1, 0, 0, 1, 1 }, 5);
	told->sizes[0] = 300;
	told->sizes[1] = 9;
	told->sizes[2] = 3;
	told->entries[0] = (struct entry){ 1, 4, 0 };
	told->entries[1] = (struct entry){ 2, 2, 5 };
	told->entries[2] = (struct entry){ 130, 1, 3 };
	told->entry_count = 3;
	told->last = (struct entry){ 2, 3, 0 };
}

static void changed_elements(struct wasm *e)
{
	wasm_u(e, 8);
	active(e, 0, 0, 1, 0, 2);
	wasm_bytes(e, 0, 5);
	active(e, WASM_ELEMENT_PASSIVE, 0, 0, 0, 2);
	wasm_bytes(e, 3, 1);
	active(e, WASM_ELEMENT_EXPLICIT, 2, 1, 0, 1);
	wasm_bytes(e, 2);
	active(e, WASM_ELEMENT_PASSIVE | WASM_ELEMENT_EXPRS, 0, 0, FUNCREF, 0);
	active(e, 0, 0, 130, 0, 1);
	wasm_bytes(e, 3);
	active(e, WASM_ELEMENT_EXPLICIT, 3, 2, 0, 1);
	wasm_bytes(e, 0);
	active(e, WASM_ELEMENT_PASSIVE | WASM_ELEMENT_EXPRS, 0, 0, EXTERNREF,
	       0);
	active(e, 3, 0, 0, 0, 1);
	wasm_bytes(e, 4);
}

static void everything_goes_to_its_place(void)
{
	struct parts parts = { .sizes = { 300, 9, 3, 3 } };
	struct wasm *g = &parts.globals, *d = &parts.data, expected;
	struct kitchen kitchen;
	struct told told;

	wasm_bytes(g, 8, 0x7f, 1);
	wasm_i32_const(g, 0x80000001);
	wasm_bytes(g, 0x7e, 1);
	wasm_i64_const(g, UINT64_MAX - 64);
	wasm_bytes(g, 0x7d, 1, 0x43, 1, 0, 0xa0, 0x7f, 0x0b);
	wasm_bytes(g, 0x7c, 1, 0x44, 0, 0, 0, 0, 0, 0, 0x0c, 0x40, 0x0b);
	wasm_bytes(g, FUNCREF, 1);
	wasm_ref_null(g, FUNCREF);
	wasm_bytes(g, EXTERNREF, 1);
	wasm_ref_null(g, EXTERNREF);
	constant_globals(g);
	changed_elements(&parts.elements);
	wasm_u(d, 4);
	wasm_data_passive(d, "", 0);
	wasm_data_active(d, 0, "", 0);
	wasm_data_passive(d, "", 0);
	wasm_data_passive(d, "cd", 2);
	expected = build(&parts);
	kitchen_open(&kitchen);
	tell_changed(&told);
	check_bytes(&kitchen, &told, &expected);
	kitchen_close(&kitchen);
}

/* Functions that have lost their place outside of code can be declared. */
static void functions_are_declared(void)
{
	static const uint8_t is_declared[FUNCTIONS] = { 0, 1, 0, 0, 1, 0 };
	static const uint8_t end[] = { 3, 0, 2, 1, 4 };
	struct baked baked, again;
	struct kitchen kitchen;
	struct wasm bytes;
	struct told told;
	size_t off;

	kitchen_open(&kitchen);
	tell_changed(&told);
	/* Also the segment which names function 1. */
	told.flags[2] = 1;
	bytes = state_of(&told);
	MUST(bake(&kitchen, &bytes, NULL, &baked));
	MUST(bake(&kitchen, &bytes, is_declared, &again));
	CHECK(!memcmp(baked.is_unmentioned, (uint8_t[FUNCTIONS]){ 0, 1 },
		      FUNCTIONS));
	CHECK(!memcmp(again.is_unmentioned, baked.is_unmentioned, FUNCTIONS));
	CHECK_EQ(again.length_bytes, baked.length_bytes + sizeof(end));
	for (off = 0; off + sizeof(end) < again.length_bytes; off++) {
		if (!memcmp(again.bytes + off, end, sizeof(end)))
			break;
	}
	CHECK(off + sizeof(end) < again.length_bytes);
	fl_module_release(
		load(kitchen.context, again.bytes, again.length_bytes));
	baked_free(&again);
	baked_free(&baked);
	wasm_free(&bytes);
	kitchen_close(&kitchen);
}

/* ----------------------------------------------------- the library's verdict */

static void make_element(void *user, struct fl_instance *instance,
			 const struct fl_element *from, void *element)
{
	uint64_t value = (uint64_t)from->idx + 1;

	(void)user;
	(void)instance;
	memcpy(element, &value, sizeof(value));
}

static void check_table(const struct fl_table *held, uint64_t size,
			const struct entry *entry, uint64_t count)
{
	MUST(held != NULL);
	CHECK_EQ(fl_table_size(held), size);
	for (uint64_t i = 0; i < size && !test_has_failed(); i++) {
		uint64_t element = 0, expected = 0;

		if (count && entry->place == i) {
			expected = (uint64_t)entry->function_idx + 1;
			entry++;
			count--;
		}
		CHECK_EQ(fl_table_get(held, i, &element), FL_TRAP_NONE);
		CHECK_EQ(element, expected);
	}
	CHECK_EQ(count, 0);
}

/* Segments hold what they held, or nothing. */
static void check_segments(struct fl_instance *instance,
			   const struct told *told)
{
	static const uint32_t data[] = { 0, 3 }, elems[] = { 1, 3, 6 };
	static const uint32_t tables[] = { 3, 3, 1 };

	for (size_t i = 0; i < 2; i++)
		CHECK_EQ(fl_memory_init(instance, 0, data[i], 0, 0, 1),
			 told->flags[i] ? FL_TRAP_MEMORY_OUT_OF_BOUNDS :
					  FL_TRAP_NONE);
	for (size_t i = 0; i < 3; i++)
		CHECK_EQ(fl_table_init(instance, tables[i], elems[i], 0, 0, 1),
			 told->flags[2 + i] ? FL_TRAP_TABLE_OUT_OF_BOUNDS :
					      FL_TRAP_NONE);
}

static void check_instance(struct kitchen *kitchen, const struct told *told)
{
	struct fl_instance_config config = FL_INSTANCE_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;
	struct fl_module *module;
	struct baked baked;

	bake_told(kitchen, told, &baked);
	module = load(kitchen->context, baked.bytes, baked.length_bytes);
	config.make_element = make_element;
	CONFORM_MUST(fl_instance_acquire(kitchen->pool, module, &config,
					 &instance, &error),
		     &error);
	check_table(fl_instance_table(instance, 0), told->sizes[0],
		    told->entries, told->entry_count);
	check_table(fl_instance_table(instance, 1), told->sizes[1], NULL, 0);
	check_table(fl_instance_table(instance, 2), 3,
		    &(struct entry){ 1, 1, 2 }, 1);
	check_table(fl_instance_table(instance, 3), told->sizes[2], &told->last,
		    told->last.form != 0);
	check_segments(instance, told);
	CHECK_EQ(fl_instance_release(instance), 0);
	fl_module_release(module);
	baked_free(&baked);
}

static struct entry random_entry(struct test_random *random, uint32_t place)
{
	uint32_t function_idx = (uint32_t)test_random_below(random, FUNCTIONS);
	uint32_t form = 1;

	if (!function_idx)
		form = 2 + (uint32_t)test_random_below(random, 3);
	return (struct entry){ place, form, function_idx };
}

static void random_told(struct test_random *random, struct told *told)
{
	uint64_t gap = 1 + test_random_below(random, 4), place = 0;

	memset(told, 0, sizeof(*told));
	for (size_t i = 0; i < 5; i++)
		told->flags[i] = (uint8_t)test_random_below(random, 2);
	told->sizes[0] = 4 + test_random_below(random, MAX_SIZE - 3);
	if (test_random_below(random, 4))
		told->sizes[0] = 4 + told->sizes[0] % 30;
	told->sizes[1] = 2 + test_random_below(random, 8);
	told->sizes[2] = 2 + test_random_below(random, 19);
	for (; told->entry_count < MAX_ENTRIES; place++) {
		place += test_random_below(random, gap);
		if (place >= told->sizes[0])
			break;
		told->entries[told->entry_count++] =
			random_entry(random, (uint32_t)place);
	}
	if (test_random_below(random, 2))
		told->last = random_entry(
			random,
			(uint32_t)test_random_below(random, told->sizes[2]));
}

static void instances_begin_as_the_state_says(void)
{
	struct kitchen kitchen;
	struct test_random random;
	struct told told;

	kitchen_open(&kitchen);
	tell_original(&told);
	check_instance(&kitchen, &told);
	test_random_init(&random, 31);
	for (int i = 0; i < 300 && !test_has_failed(); i++) {
		random_told(&random, &told);
		check_instance(&kitchen, &told);
	}
	kitchen_close(&kitchen);
}

/* ------------------------------------------------------------------ refusals */

static void check_refused(struct kitchen *kitchen, const struct told *told,
			  const char *why)
{
	struct wasm bytes = state_of(told);
	struct baked baked;

	CHECK(!bake(kitchen, &bytes, NULL, &baked));
	CHECK_HAS(said, why);
	baked_free(&baked);
	wasm_free(&bytes);
}

static void what_a_module_cannot_say_is_refused(void)
{
	struct kitchen kitchen;
	struct told told;

	kitchen_open(&kitchen);
	tell_original(&told);
	told.host_form = 16;
	check_refused(&kitchen, &told, "global 5 holds a host reference");
	tell_original(&told);
	told.host = (struct entry){ 1, 16, 7 };
	check_refused(&kitchen, &told, "table 1 holds at 1 a host reference");
	tell_original(&told);
	told.entries[1].function_idx = FUNCTIONS;
	check_refused(&kitchen, &told, "function 6 in form 1 is none of");
	tell_original(&told);
	told.function_idx = UINT64_C(1) << 32;
	check_refused(&kitchen, &told, "is none of");
	tell_original(&told);
	/* Function 1 is not imported, and 2 not exported. */
	told.entries[0].form = 3;
	check_refused(&kitchen, &told, "function 1 in form 3 is none of");
	told.entries[0].form = 1;
	told.entries[1].form = 2;
	check_refused(&kitchen, &told, "function 2 in form 2 is none of");
	tell_original(&told);
	told.entries[2].place = 1;
	check_refused(&kitchen, &told, "out of place");
	told.entries[2].place = 4;
	check_refused(&kitchen, &told, "out of place");
	told.sizes[0] = 3;
	check_refused(&kitchen, &told, "does not allow");
	told.sizes[0] = MAX_SIZE + 1;
	check_refused(&kitchen, &told, "does not allow");
	tell_original(&told);
	told.flags[4] = 2;
	check_refused(&kitchen, &told, "neither 0 nor 1");
	kitchen_close(&kitchen);
}

/* The bytes end where the allocation ends. */
static void cut_bytes_are_refused(void)
{
	struct kitchen kitchen;
	struct wasm bytes;
	struct told told;

	kitchen_open(&kitchen);
	tell_changed(&told);
	bytes = state_of(&told);
	for (size_t length = 0; length < bytes.length; length++) {
		struct wasm cut = { malloc(length + 1), length, length };
		struct baked baked;

		MUST(cut.bytes != NULL);
		cut.bytes = realloc(cut.bytes, length ? length : 1);
		memcpy(cut.bytes, bytes.bytes, length);
		CHECK(!bake(&kitchen, &cut, NULL, &baked));
		CHECK_HAS(said, "it: byte ");
		baked_free(&baked);
		wasm_free(&cut);
	}
	wasm_bytes(&bytes, 0);
	CHECK(!bake(&kitchen, &bytes, NULL, &(struct baked){ .bytes = NULL }));
	CHECK_HAS(said, "more bytes follow");
	wasm_free(&bytes);
	kitchen_close(&kitchen);
}

/* One sentence, or a module that loads. */
static void changed_bytes_are_refused_or_a_state(void)
{
	struct kitchen kitchen;
	struct test_random random;
	struct wasm bytes;
	struct told told;
	uint32_t taken = 0;

	kitchen_open(&kitchen);
	tell_changed(&told);
	bytes = state_of(&told);
	test_random_init(&random, 37);
	for (uint32_t i = 0; i < CHANGES && !test_has_failed(); i++) {
		uint64_t off = test_random_below(&random, bytes.length);
		uint8_t before = bytes.bytes[off];
		struct baked baked;

		bytes.bytes[off] ^=
			(uint8_t)(1u << test_random_below(&random, 8));
		if (bake(&kitchen, &bytes, NULL, &baked)) {
			taken++;
			fl_module_release(load(kitchen.context, baked.bytes,
					       baked.length_bytes));
		} else {
			CHECK(said[0]);
		}
		baked_free(&baked);
		bytes.bytes[off] = before;
	}
	test_note("%u of %u changes make another state", taken, CHANGES);
	CHECK(taken > 0 && taken < CHANGES);
	wasm_free(&bytes);
	kitchen_close(&kitchen);
}

/* A module whose bytes are not what the library has read: refused, or a module
 * of whatever kind; never read beyond the end, which the address sanitizer
 * sees. */
static void broken_modules_do_no_harm(void)
{
	struct kitchen kitchen;
	struct test_random random;
	struct wasm bytes, whole;
	struct told told;

	kitchen_open(&kitchen);
	tell_changed(&told);
	bytes = state_of(&told);
	whole = kitchen.wasm;
	test_random_init(&random, 41);
	for (uint32_t i = 0; i < CHANGES / 4; i++) {
		uint64_t length = whole.length, off;
		struct baked baked;

		if (i & 1)
			length = test_random_below(&random, length);
		kitchen.wasm.bytes = malloc(length ? length : 1);
		kitchen.wasm.length = length;
		MUST(kitchen.wasm.bytes != NULL);
		memcpy(kitchen.wasm.bytes, whole.bytes, length);
		off = test_random_below(&random, whole.length);
		if (off < length)
			kitchen.wasm.bytes[off] =
				(uint8_t)test_random_next(&random);
		if (!bake(&kitchen, &bytes, NULL, &baked))
			CHECK(said[0]);
		baked_free(&baked);
		free(kitchen.wasm.bytes);
	}
	kitchen.wasm = whole;
	wasm_free(&bytes);
	kitchen_close(&kitchen);
}

static const struct test_case cases[] = {
	TEST_CASE(everything_goes_to_its_place),
	TEST_CASE(functions_are_declared),
	TEST_CASE(instances_begin_as_the_state_says),
	TEST_CASE(what_a_module_cannot_say_is_refused),
	TEST_CASE(cut_bytes_are_refused),
	TEST_CASE(changed_bytes_are_refused_or_a_state),
	TEST_CASE(broken_modules_do_no_harm),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
