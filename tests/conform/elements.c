/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * elements.c - element segments as a module says them: of every kind, of
 * expressions of every kind, at every offset, in ranges; which of them are
 * refused, and how many there may be.
 */
#define _GNU_SOURCE
#include "runtime.h"
#include "tests/kit/random.h"

/* ----------------------------------------------------------------- segments */

/* Function 7 in a segment of each kind, and in expressions a null as well. */
static void add_kind(struct runtime *rt, unsigned int flags)
{
	bool has_exprs = flags & WASM_ELEMENT_EXPRS;
	struct wasm *w = wasm_add_elements(&rt->parts, flags, 1, 100 + flags,
					   0x70, has_exprs ? 3 : 2);

	if (has_exprs) {
		wasm_ref_func(w, 7);
		wasm_ref_null(w, 0x70);
		wasm_global_get(w, 1);
	} else {
		wasm_u(w, 7);
		wasm_u(w, 0);
	}
}

static void check_segment(const struct fl_module *module, unsigned int flags)
{
	struct fl_element_segment segment = { .size = sizeof(segment) };
	bool is_explicit = flags & WASM_ELEMENT_EXPLICIT;

	MUST_EQ(fl_module_element_segment(module, flags, &segment), 0);
	CHECK_EQ(segment.element_count, flags & WASM_ELEMENT_EXPRS ? 3 : 2);
	if (flags & WASM_ELEMENT_PASSIVE) {
		CHECK_EQ(segment.mode, is_explicit ? FL_SEGMENT_DECLARED :
						     FL_SEGMENT_PASSIVE);
		CHECK_EQ(segment.has_offset, 0);
		return;
	}
	CHECK_EQ(segment.mode, FL_SEGMENT_ACTIVE);
	CHECK_EQ(segment.table_idx, is_explicit ? 1 : 0);
	CHECK_EQ(segment.has_offset, 1);
	CHECK_EQ(segment.offset, 100 + flags);
}

static void check_expr(const struct fl_element *element, const void *bytes,
		       size_t length)
{
	if (CHECK_EQ(element->expr_bytes, length))
		CHECK(element->expr && !memcmp(element->expr, bytes, length));
}

static void check_elements(const struct fl_module *module, unsigned int flags)
{
	bool has_exprs = flags & WASM_ELEMENT_EXPRS;
	struct fl_element e[3];

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
	check_expr(&e[0], "\xd2\x07\x0b", 3);
	check_expr(&e[1], "\xd0\x70\x0b", 3);
	check_expr(&e[2], "\x23\x01\x0b", 3);
}

static void check_two_tables(const struct fl_module *module)
{
	struct fl_module_info info = { .size = sizeof(info) };
	struct fl_table_type type = { .size = sizeof(type) };

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
}

static void segments_of_every_kind(void)
{
	static const uint32_t beyond[] = { 8, NONE };
	struct fl_element_segment segment = { .size = sizeof(segment) };
	struct fl_element e[3];
	struct runtime rt;

	runtime_open(&rt);
	wasm_import_funcs(&rt.parts, 8);
	wasm_import_global(&rt.parts, 0x7f);
	wasm_import_global(&rt.parts, 0x70);
	wasm_add_table(&rt.parts, 10, WASM_NO_MAX);
	wasm_add_table(&rt.parts, 20, 30);
	for (unsigned int flags = 0; flags < 8; flags++)
		add_kind(&rt, flags);
	runtime_load(&rt);
	check_two_tables(rt.module);
	for (unsigned int flags = 0; flags < 8; flags++) {
		check_segment(rt.module, flags);
		check_elements(rt.module, flags);
	}
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(fl_module_element_segment(rt.module, beyond[i],
						   &segment),
			 -EINVAL);
		CHECK_EQ(fl_module_read_elements(rt.module, beyond[i], 0, 0, e),
			 -EINVAL);
	}
	runtime_close(&rt);
}

/* Of 60 elements that are functions from 200 on. */
static void check_range(const struct fl_module *module, uint32_t segment,
			uint32_t first, uint32_t count)
{
	bool fits = (uint64_t)first + count <= 60;
	struct fl_element e[60];

	memset(e, 0xee, sizeof(e));
	CHECK_EQ(fl_module_read_elements(module, segment, first, count, e),
		 fits ? 0 : -EINVAL);
	for (uint32_t k = 0; k < 60; k++) {
		if (fits && k < count)
			CHECK_EQ(e[k].idx, 200 + first + k);
		else
			CHECK_EQ(e[k].idx, 0xeeeeeeee);
	}
}

static void ranges_of_elements(void)
{
	static const uint32_t edges[] = { 0,  1,	  59,	      60,
					  61, 0x80000000, NONE - 59u, NONE };
	struct runtime rt;
	struct wasm *w;

	runtime_open(&rt);
	wasm_import_funcs(&rt.parts, 300);
	wasm_add_funcs(&rt.parts, 0, 0, 200, 60);
	wasm_add_table(&rt.parts, 60, WASM_NO_MAX);
	w = wasm_add_elements(&rt.parts, 5, 0, 0, 0x70, 60);
	for (uint32_t i = 0; i < 60; i++)
		wasm_ref_func(w, 200 + i);
	runtime_load(&rt);
	for (uint32_t i = 0; i < 2 * 8 * 8; i++)
		check_range(rt.module, i % 2, edges[i / 2 % 8], edges[i / 16]);
	runtime_close(&rt);
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
static void add_number(struct wasm *w, struct test_random *random)
{
	wasm_bytes(w, 0x41);
	wasm_s(w, (int32_t)test_random_next(random));
}

/* An element takes a few bytes, or hundreds, or thousands. */
static void add_item_of_any_length(struct wasm *w, struct test_random *random)
{
	uint64_t adds = test_random_below(random, 4) ?
				0 :
				test_random_below(random, 60);

	if (adds && !test_random_below(random, 8))
		adds *= 20;
	add_number(w, random);
	for (; adds; adds--) {
		add_number(w, random);
		wasm_bytes(w, 0x6a);
	}
	wasm_bytes(w, 0xfb, 0x1c, 0x0b);
}

/* Any range gives what reading all of them gives. */
static void elements_of_any_length(void)
{
	struct fl_element all[300], some[300];
	struct test_random random;
	struct runtime rt;
	struct wasm *w;

	test_random_init(&random, 7);
	runtime_open(&rt);
	w = wasm_add_elements(&rt.parts, 5, 0, 0, 0x6e, 300);
	for (int i = 0; i < 300; i++)
		add_item_of_any_length(w, &random);
	runtime_load(&rt);
	MUST_EQ(fl_module_read_elements(rt.module, 0, 0, 300, all), 0);
	for (int i = 0; i < 3000; i++) {
		uint32_t first = (uint32_t)test_random_below(&random, 300);
		uint32_t count =
			(uint32_t)test_random_below(&random, 301 - first);

		MUST_EQ(fl_module_read_elements(rt.module, 0, first, count,
						some),
			0);
		CHECK(!memcmp(some, all + first, count * sizeof(*some)));
	}
	runtime_close(&rt);
}

static void elements_of_other_expressions(void)
{
	struct fl_element e[2];
	struct runtime rt;

	runtime_open(&rt);
	wasm_import_global(&rt.parts, 0x6f);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(exprs); i++) {
		struct wasm *w =
			wasm_add_elements(&rt.parts, 5, 0, 0, exprs[i].type, 2);

		for (int k = 0; k < 2; k++)
			wasm_raw(w, exprs[i].bytes, exprs[i].length);
	}
	runtime_load(&rt);
	for (uint32_t i = 0; i < TEST_ARRAY_SIZE(exprs); i++) {
		MUST_EQ(fl_module_read_elements(rt.module, i, 0, 2, e), 0);
		for (int k = 0; k < 2; k++) {
			if (!CHECK_EQ(e[k].kind, exprs[i].kind))
				test_note("expression %u", i);
			check_expr(&e[k], exprs[i].bytes, exprs[i].length);
		}
	}
	runtime_close(&rt);
}

/* Offsets of empty segments, and what is known of them. */
static const struct {
	uint8_t expr[8];
	size_t length;
	bool is_known;
	uint64_t offset;
} offsets[] = {
	/* -1; 3 + 4; 0 - 1; a global; a global and 2. */
	{ { 0x41, 0x7f, 0x0b }, 3, true, UINT32_MAX },
	{ { 0x41, 3, 0x41, 4, 0x6a, 0x0b }, 6, true, 7 },
	{ { 0x41, 0, 0x41, 1, 0x6b, 0x0b }, 6, true, UINT32_MAX },
	{ { 0x23, 0, 0x0b }, 3, false, 0 },
	{ { 0x23, 0, 0x41, 2, 0x6a, 0x0b }, 6, false, 0 },
};

static void offsets_that_are_known(void)
{
	struct fl_element_segment segment = { .size = sizeof(segment) };
	struct runtime rt;

	runtime_open(&rt);
	wasm_import_global(&rt.parts, 0x7f);
	wasm_add_table(&rt.parts, 10, WASM_NO_MAX);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(offsets); i++) {
		struct wasm *w = wasm_add(&rt.parts, WASM_ELEMENT);

		wasm_bytes(w, 0);
		wasm_raw(w, offsets[i].expr, offsets[i].length);
		wasm_bytes(w, 0);
	}
	runtime_load(&rt);
	for (uint32_t i = 0; i < TEST_ARRAY_SIZE(offsets); i++) {
		MUST_EQ(fl_module_element_segment(rt.module, i, &segment), 0);
		CHECK_EQ(segment.has_offset, offsets[i].is_known);
		if (offsets[i].is_known)
			CHECK_EQ(segment.offset, offsets[i].offset);
		CHECK_EQ(segment.element_count, 0);
	}
	runtime_close(&rt);
}

/* ------------------------------------------------------------------ hostile */

static void many_segments(void)
{
	struct runtime rt;

	runtime_open(&rt);
	wasm_import_funcs(&rt.parts, 9);
	wasm_add_table(&rt.parts, 10, WASM_NO_MAX);
	for (uint32_t i = 0; i < 100000; i++) {
		if (i % 2)
			wasm_add_passive(&rt.parts, i % 9, 1);
		else
			wasm_add_funcs(&rt.parts, 0, i % 10, i % 9, 1);
	}
	runtime_load(&rt);
	for (int i = 0; i < 2; i++) {
		struct fl_instance *instance = runtime_start(&rt);

		CHECK_EQ(element_at(fl_instance_table(instance, 0), 8),
			 FUNC(99998 % 9));
		fl_elem_drop(instance, 99999);
		CHECK_EQ(fl_table_init(instance, 0, 99999, 0, 0, 1), TABLE_OOB);
		CHECK_EQ(fl_table_init(instance, 0, 99997, 0, 0, 1), 0);
		runtime_stop(&rt, instance);
	}
	wasm_add_table(&rt.parts, 10, WASM_NO_MAX);
	for (uint32_t i = 0; i < 100001; i++)
		wasm_add_funcs(&rt.parts, 0, 0, 0, 0);
	runtime_load_fails(&rt, -E2BIG);
	runtime_close(&rt);
}

/* Of 9 functions that are imported. */
static void function_that_is_not_there(struct runtime *rt, unsigned int flags,
				       uint32_t func_idx)
{
	struct wasm *w;

	wasm_import_funcs(&rt->parts, 9);
	wasm_add_table(&rt->parts, 10, WASM_NO_MAX);
	w = wasm_add_elements(&rt->parts, flags, 0, 0, 0x70, 1);
	if (flags & WASM_ELEMENT_EXPRS)
		wasm_ref_func(w, func_idx);
	else
		wasm_u(w, func_idx);
	runtime_load_fails(rt, -ENOEXEC);
}

static void elements_that_are_not_there(void)
{
	static const uint32_t funcs[] = { 9, 10, 0x7fffffff, 0x80000000, NONE };
	struct runtime rt;

	runtime_open(&rt);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(funcs); i++) {
		for (unsigned int flags = 0; flags < 8; flags++)
			function_that_is_not_there(&rt, flags, funcs[i]);
	}
	for (int i = 0; i < 2; i++) {
		/* A table, and a count, past the end. */
		wasm_import_funcs(&rt.parts, 9);
		wasm_add_table(&rt.parts, 10, WASM_NO_MAX);
		if (i)
			wasm_add_funcs(&rt.parts, 1, 0, 0, 1);
		else
			wasm_bytes(wasm_add(&rt.parts, WASM_ELEMENT), 1, 0,
				   0xff, 0xff, 0xff, 0xff, 0x0f, 0);
		runtime_load_fails(&rt, -ENOEXEC);
	}
	runtime_close(&rt);
}

static const struct test_case cases[] = {
	TEST_CASE(segments_of_every_kind),
	TEST_CASE(ranges_of_elements),
	TEST_CASE(elements_of_any_length),
	TEST_CASE(elements_of_other_expressions),
	TEST_CASE(offsets_that_are_known),
	TEST_CASE(many_segments),
	TEST_CASE(elements_that_are_not_there),
};

CONFORM_MAIN(cases)
