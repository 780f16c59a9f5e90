/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * code.c - the walk through function bodies, and what it tells of tables,
 * globals, functions and segments. Pure; nothing of the kernel is needed.
 *
 * Bodies are rows of bytes, put into a module that has what code may name; see
 * world(). A row of a known instruction is followed by global.set 1: only a walk
 * that has read exactly the instruction's immediates sees that one.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"
#include "tests/kit/wasm_build.h"

#include "wasm/reader.h"
#include "wasm/survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROW 24

struct row {
	size_t length;
	uint8_t bytes[MAX_ROW];
};

#define ROW(...)                                          \
	{                                                 \
		sizeof((const uint8_t[]){ __VA_ARGS__ }), \
		{                                         \
			__VA_ARGS__                       \
		}                                         \
	}

enum {
	FUNCS = 6,
	TABLES = 3,
	GLOBALS = 3,
	ELEMS = 3,
	DATA = 2,
};

/* ------------------------------------------------------------------- world */

/*
 * Function 0, global 0 (mutable) and table 0 are imported; functions 1 to 5,
 * global 1 (mutable), global 2 (ref.func 1), tables 1 and 2 and one memory are
 * defined. Function 5 is exported twice, global 1 and table 1 once. Element
 * segment 0 is active with function 2, segment 1 is passive with function 3,
 * segment 2 is declared with function 4. Data segment 0 is active, segment 1
 * passive. Function 1 has the body that is given, all others an empty one.
 */
static void world(struct wasm *m, const uint8_t *body, size_t length)
{
	struct wasm code = { 0 };

	wasm_header(m);
	wasm_section_bytes(m, WASM_TYPE, 2, 0x60, 0, 0, 0x60, 0, 0);
	wasm_section_bytes(m, WASM_IMPORT, 3, 1, 'm', 1, 'f', 0, 1, 1, 'm', 1,
			   'g', 3, 0x7f, 1, 1, 'm', 1, 't', 1, 0x70, 0, 9);
	wasm_section_bytes(m, WASM_FUNCTION, 5, 0, 0, 1, 0, 1);
	wasm_section_bytes(m, WASM_TABLE, 2, 0x70, 0, 9, 0x70, 0, 9);
	wasm_section_bytes(m, WASM_MEMORY, 1, 0, 1);
	wasm_section_bytes(m, WASM_GLOBAL, 2, 0x7f, 1, 0x41, 0, 0x0b, 0x70, 0,
			   0xd2, 1, 0x0b);
	wasm_section_bytes(m, WASM_EXPORT, 4, 1, 'x', 0, 5, 1, 'y', 0, 5, 1,
			   'z', 3, 1, 1, 'w', 1, 1);
	wasm_section_bytes(m, WASM_ELEMENT, 3, 2, 1, 0x41, 0, 0x0b, 0, 1, 2, 1,
			   0, 1, 3, 3, 0, 1, 4);
	wasm_u(&code, FUNCS - 1);
	wasm_u(&code, length);
	wasm_raw(&code, body, length);
	for (int i = 2; i < FUNCS; i++)
		wasm_bytes(&code, 2, 0, 0x0b);
	wasm_section(m, WASM_CODE, &code);
	wasm_section_bytes(m, WASM_DATA, 2, 0, 0x41, 0, 0x0b, 1, 'a', 1, 1,
			   'b');
}

/* What a walk marked. */
struct seen {
	uint8_t tables[TABLES];
	uint8_t globals[GLOBALS];
	uint8_t functions[FUNCS];
	uint8_t elems[ELEMS];
	uint8_t data[DATA];
};

static int walk(const uint8_t *body, size_t length, struct seen *seen,
		struct fl_error *error)
{
	struct fl__code_marks marks = { seen->tables, seen->globals,
					seen->functions, seen->elems,
					seen->data };
	struct fl__reader reader;
	struct wasm m = { 0 };
	int err;

	memset(seen, 0, sizeof(*seen));
	world(&m, body, length);
	MUST_EQ(fl__reader_read(&reader, m.bytes, m.length, error), 0);
	err = fl__code_walk(&reader, &marks, error);
	fl__reader_fini(&reader);
	wasm_free(&m);
	return err;
}

/* No locals, the row, global.set 1, end. */
static int walk_row(const struct row *row, struct seen *seen,
		    struct fl_error *error)
{
	uint8_t body[MAX_ROW + 4] = { 0 };

	memcpy(body + 1, row->bytes, row->length);
	memcpy(body + 1 + row->length, (uint8_t[]){ 0x24, 1, 0x0b }, 3);
	return walk(body, row->length + 4, seen, error);
}

/* ------------------------------------------------------------------- cases */

static const struct row known[] = {
	/* blocks of every type; branches */
	ROW(0x02, 0x40, 0x03, 0x7f, 0x04, 0x05, 0x05),
	ROW(0x02, 0x70, 0x02, 0x63, 0x70, 0x02, 0xc0, 0x00),
	ROW(0x0c, 0, 0x0d, 0x80, 0x01, 0x0e, 2, 0, 1, 2, 0x0e, 0, 0),
	ROW(0x06, 0x40, 0x07, 0, 0x19, 0x18, 0, 0x08, 0, 0x09, 0, 0x0a),
	ROW(0x1f, 0x40, 3, 0, 9, 1, 2, 1, 3, 0),
	/* calls */
	ROW(0x10, 0, 0x11, 0, 1, 0x12, 0, 0x13, 0, 1, 0x14, 0, 0x15, 0),
	ROW(0x1a, 0x1b, 0x1c, 2, 0x7f, 0x63, 0x00),
	ROW(0x20, 0, 0x21, 0, 0x22, 0, 0x23, 0, 0x25, 0),
	/* memory: with alignment, a memory's number, offsets of 64 bits */
	ROW(0x28, 2, 0, 0x3e, 0x42, 1, 0x80, 0x80, 0x01),
	ROW(0x29, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
	ROW(0x3f, 0, 0x40, 0),
	/* numbers; 0x24 and 0x26 inside of constants */
	ROW(0x41, 0xa4, 0x26, 0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
	    0x80, 0x80, 0x7f),
	ROW(0x43, 0x26, 0x00, 0x26, 0x00),
	ROW(0x44, 0x26, 0x00, 0x26, 0x00, 0x26, 0x00, 0x26, 0x00),
	ROW(0x45, 0x6a, 0x7c, 0xc4),
	/* references */
	ROW(0xd0, 0x70, 0xd0, 0x05, 0xd1, 0xd3, 0xd4, 0xd5, 0, 0xd6, 0),
	ROW(0xfb, 0, 0, 0xfb, 2, 0, 1, 0xfb, 8, 0, 3, 0xfb, 0x0f),
	ROW(0xfb, 0x14, 0x70, 0xfb, 0x18, 3, 0, 0x6e, 0x05, 0xfb, 0x1e),
	/* bulk memory, saturating conversions */
	ROW(0xfc, 0, 0xfc, 7, 0xfc, 0x0a, 0, 0, 0xfc, 0x0b, 0, 0xfc, 0x10, 0),
	/* vectors */
	ROW(0xfd, 0, 4, 0, 0xfd, 0x54, 0x40, 1, 0, 7, 0xfd, 0x15, 3),
	ROW(0xfd, 0x0c, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
	    0x26),
	ROW(0xfd, 0x5c, 0, 0, 0xfd, 0xff, 0x01, 0xfd, 0x93, 0x02),
	/* threads */
	ROW(0xfe, 0, 2, 0, 0xfe, 3, 0, 0xfe, 0x10, 2, 0, 0xfe, 0x4e, 3, 0),
};

static void immediates_are_read_whole(void)
{
	struct fl_error error = { .text = "" };
	struct seen seen, expected = { .globals = { 0, FL__CODE_CHANGES } };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(known); i++) {
		if (!CHECK_EQ(walk_row(&known[i], &seen, &error), 0))
			test_note("row %zu: %s", i, error.text);
		if (!CHECK(!memcmp(&seen, &expected, sizeof(seen))))
			test_note("row %zu", i);
	}
}

static void each_cut_is_an_error_or_the_end(void)
{
	struct fl_error error;
	struct seen seen;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(known); i++) {
		uint8_t body[MAX_ROW + 1] = { 0 };

		memcpy(body + 1, known[i].bytes, known[i].length);
		for (size_t cut = 0; cut <= known[i].length; cut++)
			CHECK_EQ(walk(body, cut, &seen, &error), -ENOEXEC);
	}
}

/* Every opcode that no row has. */
static void unknown_opcodes_stop_the_walk(void)
{
	static const uint8_t plain[] = { 0x16, 0x17, 0x1d, 0x1e, 0x27, 0xc5,
					 0xcf, 0xd7, 0xe0, 0xfa, 0xff };
	static const struct row rows[] = {
		ROW(0xfb, 0x1f),
		ROW(0xfc, 0x12),
		ROW(0xfc, 0x80, 0x20),
		ROW(0xfd, 0x94, 0x02),
		ROW(0xfe, 4),
		ROW(0xfe, 0x4f),
		ROW(0xfd, 0xff, 0xff, 0xff, 0xff, 0x0f),
	};
	struct fl_error error = { .text = "" };
	struct seen seen;

	for (size_t i = 0; i < sizeof(plain); i++) {
		struct row row = { 1, { plain[i] } };

		CHECK_EQ(walk_row(&row, &seen, &error), -ENOTSUP);
		CHECK_HAS(error.text, "function body 0: the instruction");
	}
	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++)
		CHECK_EQ(walk_row(&rows[i], &seen, &error), -ENOTSUP);
}

static void what_the_module_lacks_stops_the_walk(void)
{
	static const struct row rows[] = {
		ROW(0x24, GLOBALS),	    ROW(0x26, TABLES),
		ROW(0xd2, FUNCS),	    ROW(0xfc, 8, DATA, 0),
		ROW(0xfc, 9, DATA),	    ROW(0xfc, 0x0c, ELEMS, 0),
		ROW(0xfc, 0x0c, 0, TABLES), ROW(0xfc, 0x0d, ELEMS),
		ROW(0xfc, 0x0e, TABLES, 0), ROW(0xfc, 0x0f, TABLES),
		ROW(0xfc, 0x11, TABLES),    ROW(0xfb, 0x09, 0, DATA),
		ROW(0xfb, 0x13, 0, ELEMS),  ROW(0x28, 0x20, 0),
		ROW(0x1f, 0x40, 1, 4, 0),   ROW(0xfb, 0x18, 4, 0, 0x70, 0x70),
	};
	struct fl_error error;
	struct seen seen;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		if (!CHECK_EQ(walk_row(&rows[i], &seen, &error), -ENOEXEC))
			test_note("row %zu", i);
	}
}

static void what_code_names_is_marked(void)
{
	static const struct {
		struct row row;
		size_t off; /* in struct seen */
		uint8_t bits;
	} marks[] = {
#define AT(row, thing, idx, bits) \
	{ row, offsetof(struct seen, thing) + (idx), bits }
		AT(ROW(0x24, 0), globals, 0, FL__CODE_CHANGES),
		AT(ROW(0x26, 2), tables, 2, FL__CODE_CHANGES),
		AT(ROW(0xd2, 0x84, 0x00), functions, 4, FL__CODE_USES),
		AT(ROW(0xfc, 8, 1, 0), data, 1, FL__CODE_USES),
		AT(ROW(0xfc, 9, 1), data, 1, FL__CODE_DROPS),
		AT(ROW(0xfc, 0x0d, 1), elems, 1, FL__CODE_DROPS),
		AT(ROW(0xfc, 0x0e, 1, 2), tables, 1, FL__CODE_CHANGES),
		AT(ROW(0xfc, 0x0f, 1), tables, 1, FL__CODE_CHANGES),
		AT(ROW(0xfc, 0x11, 0), tables, 0, FL__CODE_CHANGES),
		AT(ROW(0xfb, 0x0a, 0, 1), elems, 1, FL__CODE_USES),
		AT(ROW(0xfb, 0x12, 0, 1), data, 1, FL__CODE_USES),
#undef AT
	};
	struct fl_error error;
	struct seen seen;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(marks); i++) {
		struct seen expected = { .globals = { 0, FL__CODE_CHANGES } };

		((uint8_t *)&expected)[marks[i].off] |= marks[i].bits;
		CHECK_EQ(walk_row(&marks[i].row, &seen, &error), 0);
		if (!CHECK(!memcmp(&seen, &expected, sizeof(seen))))
			test_note("row %zu", i);
	}
	CHECK_EQ(walk_row(&(struct row)ROW(0xfc, 0x0c, 1, 2), &seen, &error),
		 0);
	CHECK_EQ(seen.tables[2], FL__CODE_CHANGES);
	CHECK_EQ(seen.elems[1], FL__CODE_USES);
}

static void locals_come_before_the_code(void)
{
	static const uint8_t good[] = { 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f,
					1, 0x63, 0x70, 0x24, 0,	   0x0b };
	static const uint8_t many[] = { 0xff, 0xff, 0xff, 0xff, 0x0f, 0x0b };
	struct fl_error error;
	struct seen seen;

	CHECK_EQ(walk(good, sizeof(good), &seen, &error), 0);
	CHECK_EQ(seen.globals[0], FL__CODE_CHANGES);
	CHECK_EQ(walk(many, sizeof(many), &seen, &error), -ENOEXEC);
}

/* Any bytes: a mark more or less, never a byte outside (the sanitizer looks). */
static void random_bodies(void)
{
	struct test_random random;
	struct fl_error error;
	struct seen seen;

	test_random_init(&random, 17);
	for (unsigned int round = 0; round < 20000; round++) {
		uint8_t body[40];
		size_t length = (size_t)test_random_below(&random, 41);

		for (size_t i = 0; i < length; i++)
			body[i] = (uint8_t)test_random_below(&random, 256);
		if (length && test_random_below(&random, 2))
			body[0] = 0;
		walk(body, length, &seen, &error);
	}
}

/* ------------------------------------------------- in the module's interface */

static struct fl_module *load(const uint8_t *body, size_t length)
{
	struct fl_module_config config = FL_MODULE_CONFIG_INIT;
	struct fl_module *module = NULL;
	struct wasm m = { 0 };

	world(&m, body, length);
	config.bytes = m.bytes;
	config.length_bytes = m.length;
	MUST_EQ(fl_module_load(NULL, &config, &module, NULL), 0);
	wasm_free(&m);
	return module;
}

/* A bit for each function that can become a reference. */
static unsigned int referenced(const struct fl_module *module)
{
	unsigned int bits = 0;

	for (uint32_t i = 0; i < FUNCS; i++) {
		struct fl_function function = { .size = sizeof(function) };

		MUST_EQ(fl_module_function(module, i, &function), 0);
		bits |= function.is_referenced << i;
	}
	return bits;
}

static unsigned int changed(const struct fl_module *module)
{
	unsigned int bits = 0;

	for (uint32_t i = 0; i < TABLES; i++) {
		struct fl_table_type table = { .size = sizeof(table) };
		struct fl_global_type global = { .size = sizeof(global) };

		MUST_EQ(fl_module_table_type(module, i, &table), 0);
		MUST_EQ(fl_module_global_type(module, i, &global), 0);
		bits |= table.is_changed << i | global.is_changed << (i + 4);
	}
	return bits;
}

static void module_says_what_changes(void)
{
	static const uint8_t nothing[] = { 0, 0x0b };
	static const uint8_t some[] = { 0, 0x24, 1, 0x26, 2, 0xd2, 0, 0x0b };
	static const uint8_t unknown[] = { 0, 0xff, 0x0b };
	struct fl_module *module = load(nothing, sizeof(nothing));

	/* By the initialiser of global 2, and segments 0 and 1. */
	CHECK_EQ(referenced(module), 0x0e);
	CHECK_EQ(changed(module), 0);
	fl_module_release(module);
	module = load(some, sizeof(some));
	CHECK_EQ(referenced(module), 0x0f);
	CHECK_EQ(changed(module), 0x24);
	fl_module_release(module);
	/* Global 2 is immutable whatever the code is. */
	module = load(unknown, sizeof(unknown));
	CHECK_EQ(referenced(module), 0x3f);
	CHECK_EQ(changed(module), 0x37);
	fl_module_release(module);
}

static void check_name(const char *name, size_t bytes, const char *expected)
{
	CHECK_EQ(bytes, strlen(expected));
	CHECK(*expected ? name && !memcmp(name, expected, bytes) : !name);
}

static void check_function(const struct fl_module *module, uint32_t idx,
			   uint32_t type_idx, const char *import,
			   const char *export)
{
	struct fl_function f = { .size = sizeof(f) };

	MUST_EQ(fl_module_function(module, idx, &f), 0);
	CHECK_EQ(f.type_idx, type_idx);
	CHECK_EQ(f.is_imported, *import != 0);
	CHECK_EQ(f.is_exported, *export != 0);
	check_name(f.import_module, f.import_module_bytes, *import ? "m" : "");
	check_name(f.import_name, f.import_name_bytes, import);
	check_name(f.export_name, f.export_name_bytes, export);
}

static void check_global(const struct fl_module *module, uint32_t idx,
			 enum fl_value_type value, const char *import,
			 const char *export)
{
	struct fl_global_type g = { .size = sizeof(g) };

	MUST_EQ(fl_module_global_type(module, idx, &g), 0);
	CHECK_EQ(g.value, value);
	CHECK_EQ(g.is_mutable, idx < 2);
	CHECK_EQ(g.is_imported, *import != 0);
	CHECK_EQ(g.is_exported, *export != 0);
	check_name(g.import_module, g.import_module_bytes, *import ? "m" : "");
	check_name(g.import_name, g.import_name_bytes, import);
	check_name(g.export_name, g.export_name_bytes, export);
}

static void module_names_functions_globals_and_tables(void)
{
	static const uint8_t nothing[] = { 0, 0x0b };
	struct fl_module_info info = { .size = sizeof(info) };
	struct fl_table_type t = { .size = sizeof(t) };
	struct fl_module *module = load(nothing, sizeof(nothing));

	fl_module_info(module, &info);
	CHECK_EQ(info.function_count, FUNCS);
	CHECK_EQ(info.imported_function_count, 1);
	check_function(module, 0, 1, "f", "");
	check_function(module, 1, 0, "", "");
	check_function(module, 3, 1, "", "");
	check_function(module, 5, 1, "", "x");
	check_global(module, 0, FL_VALUE_I32, "g", "");
	check_global(module, 1, FL_VALUE_I32, "", "z");
	check_global(module, 2, FL_VALUE_FUNCREF, "", "");
	CHECK_EQ(fl_module_function(module, FUNCS, NULL), -EINVAL);
	CHECK_EQ(fl_module_global_type(module, GLOBALS, NULL), -EINVAL);
	MUST_EQ(fl_module_table_type(module, 0, &t), 0);
	CHECK_EQ(t.is_exported, 0);
	check_name(t.import_module, t.import_module_bytes, "m");
	check_name(t.import_name, t.import_name_bytes, "t");
	MUST_EQ(fl_module_table_type(module, 1, &t), 0);
	CHECK_EQ(t.is_exported, 1);
	check_name(t.export_name, t.export_name_bytes, "w");
	fl_module_release(module);
}

/* A struct of an older header is filled as far as it goes. */
static void older_table_types_are_filled(void)
{
	static const uint8_t nothing[] = { 0, 0x0b };
	struct fl_module *module = load(nothing, sizeof(nothing));
	struct fl_table_type t;

	memset(&t, 0xee, sizeof(t));
	t.size = offsetof(struct fl_table_type, is_changed);
	MUST_EQ(fl_module_table_type(module, 1, &t), 0);
	CHECK_EQ(t.is_exported, 1);
	CHECK_EQ(t.is_changed, 0xeeeeeeee);
	fl_module_release(module);
}

static const struct test_case cases[] = {
	TEST_CASE(immediates_are_read_whole),
	TEST_CASE(each_cut_is_an_error_or_the_end),
	TEST_CASE(unknown_opcodes_stop_the_walk),
	TEST_CASE(what_the_module_lacks_stops_the_walk),
	TEST_CASE(what_code_names_is_marked),
	TEST_CASE(locals_come_before_the_code),
	TEST_CASE(random_bodies),
	TEST_CASE(module_says_what_changes),
	TEST_CASE(module_names_functions_globals_and_tables),
	TEST_CASE(older_table_types_are_filled),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
