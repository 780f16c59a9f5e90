/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reader.c - the section reader, on modules made in C.
 *
 * Most cases are rows: the contents of one section, put into a module that
 * has what a section may refer to (see world()), and what reading it must
 * say. Offsets in rows count from the section's contents.
 */
#include "tests/kit/random.h"
#include "tests/kit/reader_check.h"
#include "tests/kit/test.h"

#include "wasm/cursor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ROW 48

struct row {
	const char *says; /* a part of the error's text; NULL: valid */
	int err;
	unsigned int off;
	size_t length;
	uint8_t bytes[MAX_ROW];
};

#define GOOD(...)                                                     \
	{                                                             \
		NULL, 0, 0, sizeof((const uint8_t[]){ __VA_ARGS__ }), \
		{                                                     \
			__VA_ARGS__                                   \
		}                                                     \
	}
#define ROW(err, off, says, ...)                                          \
	{                                                                 \
		says, err, off, sizeof((const uint8_t[]){ __VA_ARGS__ }), \
		{                                                         \
			__VA_ARGS__                                       \
		}                                                         \
	}
#define BAD(off, says, ...) ROW(-ENOEXEC, off, says, __VA_ARGS__)

/* i32.const n (n < 64) and i64.const n, with `end` */
#define I32(n) 0x41, n, 0x0b
#define I64(n) 0x42, n, 0x0b

/* ------------------------------------------------------------------- world */

static const uint8_t section_order[] = { 1, 2, 3, 4,  5,  13, 6,
					 7, 8, 9, 12, 10, 11 };

/*
 * What a section finds around it: functions 0 and 1; immutable globals i32 0,
 * i64 1, mutable i32 2, immutable f32 3 and externref 4; table 0 of 10
 * funcref and table 1 of 5 externref with 64-bit indices; memory 0, and memory
 * 1 with 64-bit addresses; tag 0. Functions, globals and the tag are imports.
 */
static void world_section(struct wasm *m, unsigned int id)
{
	switch (id) {
	case WASM_TYPE:
		wasm_section_bytes(m, WASM_TYPE, 1, 0x60, 0, 0);
		break;
	case WASM_IMPORT:
		/* clang-format off: an item a line */
		wasm_section_bytes(m, WASM_IMPORT, 8, 1, 'm', 2, 'f', '0', 0, 0,
				   1, 'm', 2, 'f', '1', 0, 0, 1, 'm', 2, 'g',
				   '0', 3, 0x7f, 0, 1, 'm', 2, 'g', '1', 3,
				   0x7e, 0, 1, 'm', 2, 'g', '2', 3, 0x7f, 1, 1,
				   'm', 2, 'g', '3', 3, 0x7d, 0, 1, 'm', 2, 'g',
				   '4', 3, 0x6f, 0, 1, 'm', 2, 't', '0', 4, 0,
				   0);
		/* clang-format on */
		break;
	case WASM_TABLE:
		wasm_section_bytes(m, WASM_TABLE, 2, 0x70, 0, 10, 0x6f, 4, 5);
		break;
	case WASM_MEMORY:
		wasm_section_bytes(m, WASM_MEMORY, 2, 0, 1, 4, 1);
		break;
	}
}

/* The world with one section of the test's own. Returns where its contents
 * start. */
static size_t world(struct wasm *m, unsigned int id, const void *contents,
		    size_t length)
{
	size_t start = 0;

	wasm_header(m);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(section_order); i++) {
		if (section_order[i] != id) {
			world_section(m, section_order[i]);
			continue;
		}
		wasm_section_raw(m, id, contents, length);
		start = m->length - length;
	}
	return start;
}

static void check_row(const struct guard *guard, unsigned int id,
		      const struct row *row, size_t idx)
{
	struct fl_error error = { 0 };
	struct wasm m = { 0 };
	size_t start = world(&m, id, row->bytes, row->length);
	bool holds;
	int err = check_read(guard, m.bytes, m.length, &error);

	holds = CHECK_EQ(err, row->err);
	if (holds && err) {
		holds = CHECK_HAS(error.text, row->says);
		holds &= CHECK_EQ(error.byte_off - start, row->off);
	}
	if (!holds)
		test_note("section %u, row %zu: %s", id, idx, error.text);
	wasm_free(&m);
}

static void check_rows(unsigned int id, const struct row *rows, size_t count)
{
	struct guard guard;

	guard_open(&guard, 4096);
	for (size_t i = 0; i < count; i++)
		check_row(&guard, id, &rows[i], i);
	guard_close(&guard);
}

#define CHECK_ROWS(id, rows) check_rows(id, rows, TEST_ARRAY_SIZE(rows))

/* A module that is valid, kept for looking into. */
static void must_read(struct fl__reader *reader, const struct wasm *m)
{
	struct fl_error error = { 0 };
	int err = fl__reader_read(reader, m->bytes, m->length, &error);

	if (err)
		test_note("%s (at byte %llu)", error.text,
			  (unsigned long long)error.byte_off);
	MUST_EQ(err, 0);
}

static bool view_is(const struct fl__reader *r, struct fl__view view,
		    const char *text)
{
	return view.len == strlen(text) &&
	       !memcmp(r->bytes + view.off, text, view.len);
}

/* ------------------------------------------------------------------ header */

static void check_header(const uint8_t *bytes, size_t length, int err,
			 uint64_t off, const char *says)
{
	struct fl_error error = { 0 };
	struct guard guard;

	guard_open(&guard, length);
	CHECK_EQ(check_read(&guard, bytes, length, &error), err);
	if (err) {
		CHECK_EQ(error.byte_off, off);
		CHECK_HAS(error.text, says);
	}
	guard_close(&guard);
}

static void eight_bytes_are_a_module_and_seven_are_not(void)
{
	static const uint8_t m[] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };

	check_header(m, 8, 0, 0, NULL);
	check_header(m, 7, -ENOEXEC, 7, "only 7");
	check_header(NULL, 0, -ENOEXEC, 0, "only 0");
}

static void other_magic_and_versions_are_refused(void)
{
	static const uint8_t elf[] = { 0x7f, 'E', 'L', 'F', 1, 0, 0, 0, 0 };
	static const uint8_t v2[] = { 0, 'a', 's', 'm', 2, 0, 0, 0 };
	static const uint8_t layer2[] = { 0, 'a', 's', 'm', 1, 0, 2, 0 };

	check_header(elf, sizeof(elf), -ENOEXEC, 0, "starts with 7f 45 4c 46");
	check_header(v2, sizeof(v2), -ENOEXEC, 4, "version is 2");
	check_header(layer2, sizeof(layer2), -ENOEXEC, 4, "layer 2");
}

static void a_component_is_refused_by_name(void)
{
	static const uint8_t now[] = { 0, 'a', 's', 'm', 0x0d, 0, 1, 0 };
	static const uint8_t old[] = { 0, 'a', 's', 'm', 0x0a, 0, 1, 0, 1, 8 };

	check_header(now, sizeof(now), -ENOTSUP, 4, "component");
	check_header(old, sizeof(old), -ENOTSUP, 4, "component");
}

static void more_than_a_gibibyte_is_refused_unread(void)
{
	static const uint8_t m[] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };
	struct fl_error error = { 0 };
	struct fl__reader reader;

	CHECK_EQ(fl__reader_read(&reader, m, ((uint64_t)1 << 30) + 1, &error),
		 -E2BIG);
	CHECK_HAS(error.text, "1 GiB");
}

/* ---------------------------------------------------------------- sections */

static int read_two_sections(unsigned int first, unsigned int second,
			     struct fl_error *error)
{
	struct guard guard;
	struct wasm m = { 0 };
	int err;

	wasm_header(&m);
	world_section(&m, WASM_TYPE);
	world_section(&m, WASM_IMPORT);
	/* A count of zero is a whole section, and so is start function 0. */
	wasm_section_bytes(&m, first, 0);
	wasm_section_bytes(&m, second, 0);
	guard_open(&guard, m.length);
	err = check_read(&guard, m.bytes, m.length, error);
	guard_close(&guard);
	wasm_free(&m);
	return err;
}

static void sections_come_in_one_order_and_once(void)
{
	size_t count = TEST_ARRAY_SIZE(section_order);
	struct fl_error error;

	/* After types and imports, which the start function needs. */
	for (size_t i = 2; i < count; i++) {
		for (size_t j = 2; j < count; j++) {
			unsigned int a = section_order[i];
			unsigned int b = section_order[j];
			int err = read_two_sections(a, b, &error);

			if (!CHECK_EQ(err, j > i ? 0 : -ENOEXEC))
				test_note("section %u, then %u", a, b);
			if (err)
				CHECK_HAS(error.text,
					  i == j ? "second" :
						   "must come before");
		}
	}
}

static void custom_sections_may_stand_anywhere(void)
{
	struct guard guard;
	struct wasm m = { 0 };

	wasm_header(&m);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(section_order); i++) {
		wasm_section_bytes(&m, WASM_CUSTOM, 1, 'x', 0xff, 0xfe);
		wasm_section_bytes(&m, WASM_CUSTOM, 0);
		world_section(&m, section_order[i]);
	}
	wasm_section_bytes(&m, WASM_CUSTOM, 4, 'n', 'a', 'm', 'e');
	guard_open(&guard, m.length);
	CHECK_EQ(check_read(&guard, m.bytes, m.length, NULL), 0);
	guard_close(&guard);
	wasm_free(&m);
}

static void unknown_sections_are_refused(void)
{
	static const uint8_t id15[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 15, 0 };
	static const uint8_t strings[] = { 0, 'a', 's', 'm', 1, 0,
					   0, 0,   14,	2,   0, 0 };

	check_header(id15, sizeof(id15), -ENOEXEC, 8, "section id is 15");
	check_header(strings, sizeof(strings), -ENOTSUP, 8, "stringref");
}

static void a_section_has_exactly_its_size(void)
{
	static const uint8_t past[] = { 0, 'a', 's', 'm', 1, 0, 0,
					0, 5,	4,   1,	  0, 1 };
	static const uint8_t rest[] = { 0, 'a', 's', 'm', 1, 0, 0,
					0, 5,	4,   1,	  0, 1, 0 };
	static const uint8_t cut[] = { 0, 'a', 's', 'm', 1, 0, 0,
				       0, 5,   2,   1,	 0, 1 };
	static const uint8_t no_size[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 5 };
	static const uint8_t huge[] = { 0, 'a',	 's',  'm',  1,	   0,	 0, 0,
					5, 0xff, 0xff, 0xff, 0xff, 0x0f, 1 };

	check_header(past, sizeof(past), -ENOEXEC, 8, "only 3 left");
	check_header(rest, sizeof(rest), -ENOEXEC, 13, "1 bytes too many");
	check_header(cut, sizeof(cut), -ENOEXEC, 10, "cannot hold them");
	check_header(no_size, sizeof(no_size), -ENOEXEC, 9, "cut off");
	check_header(huge, sizeof(huge), -ENOEXEC, 8, "4294967295");
}

static const struct row utf8_rows[] = {
	GOOD(0),
	GOOD(2, 0xc2, 0x80),
	GOOD(2, 0xdf, 0xbf),
	GOOD(3, 0xe0, 0xa0, 0x80),
	GOOD(3, 0xed, 0x9f, 0xbf),
	GOOD(3, 0xee, 0x80, 0x80),
	GOOD(3, 0xef, 0xbf, 0xbf),
	GOOD(4, 0xf0, 0x90, 0x80, 0x80),
	GOOD(4, 0xf4, 0x8f, 0xbf, 0xbf),
	GOOD(1, 0),
	BAD(1, "0x80", 1, 0x80),
	BAD(1, "0xbf", 1, 0xbf),
	BAD(1, "0xc0", 2, 0xc0, 0x80),
	BAD(1, "0xc1", 2, 0xc1, 0xbf),
	BAD(1, "0xc2", 1, 0xc2),
	BAD(1, "0xc2", 2, 0xc2, 0x7f),
	BAD(1, "0xc2", 2, 0xc2, 0xc0),
	BAD(1, "0xe0", 3, 0xe0, 0x9f, 0xbf),
	BAD(1, "0xed", 3, 0xed, 0xa0, 0x80),
	BAD(1, "0xe1", 2, 0xe1, 0x80),
	BAD(1, "0xe1", 3, 0xe1, 0x80, 0x2e),
	BAD(1, "0xf0", 4, 0xf0, 0x8f, 0xbf, 0xbf),
	BAD(1, "0xf4", 4, 0xf4, 0x90, 0x80, 0x80),
	BAD(1, "0xf5", 4, 0xf5, 0x80, 0x80, 0x80),
	BAD(1, "0xf1", 3, 0xf1, 0x80, 0x80),
	BAD(1, "0xf1", 4, 0xf1, 0x80, 0x80, 0x2e),
	BAD(1, "0xff", 1, 0xff),
	BAD(3, "0xfe", 3, 'a', 'b', 0xfe),
	BAD(1, "should take 4 bytes", 4, 'n', 'a', 'm'),
	BAD(0, "cut off", 0x80),
};

static void custom_names_are_utf8(void)
{
	struct guard guard;

	guard_open(&guard, 256);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(utf8_rows); i++) {
		const struct row *row = &utf8_rows[i];
		struct fl_error error = { 0 };
		struct wasm m = { 0 };
		int err;

		wasm_header(&m);
		wasm_section_raw(&m, WASM_CUSTOM, row->bytes, row->length);
		err = check_read(&guard, m.bytes, m.length, &error);
		if (!CHECK_EQ(err, row->err))
			test_note("row %zu", i);
		if (err && row->err) {
			CHECK_HAS(error.text, row->says);
			CHECK_EQ(error.byte_off, 10 + row->off);
		}
		wasm_free(&m);
	}
	guard_close(&guard);
}

static void integers_are_of_their_width(void)
{
	/* The index of the start function, 32 bits. */
	static const struct row narrow[] = {
		GOOD(0x81, 0x00),
		GOOD(0x81, 0x80, 0x80, 0x80, 0x00),
		BAD(0, "more than the 5 bytes", 0x81, 0x80, 0x80, 0x80, 0x80,
		    0x00),
		BAD(0, "does not fit 32 bits", 0x81, 0x80, 0x80, 0x80, 0x10),
		BAD(0, "does not fit 32 bits", 0x81, 0x80, 0x80, 0x80, 0x40),
		BAD(0, "cut off", 0x81, 0x80),
	};
	/* The minimum of a memory, 64 bits. */
	static const struct row wide[] = {
		GOOD(1, 4, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
		     0x00),
		BAD(2, "more than the 10 bytes", 1, 4, 0x82, 0x80, 0x80, 0x80,
		    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00),
		BAD(2, "does not fit 64 bits", 1, 4, 0x82, 0x80, 0x80, 0x80,
		    0x80, 0x80, 0x80, 0x80, 0x80, 0x02),
		BAD(1, "281474976710656 pages", 1, 4, 0x82, 0x80, 0x80, 0x80,
		    0x80, 0x80, 0x80, 0x80, 0x80, 0x01),
		BAD(2, "cut off", 1, 0, 0x82, 0x80),
		BAD(0, "count of memories is 3", 3, 0, 1),
		BAD(0, "does not fit 32 bits", 0xff, 0xff, 0xff, 0xff, 0x1f),
	};

	CHECK_ROWS(WASM_START, narrow);
	CHECK_ROWS(WASM_MEMORY, wide);
}

/* Since 3.0 limits are integers of 64 bits, of 32-bit memories and tables too:
 * longer than they need be, or beyond what is valid. */
static void limits_are_wide_for_every_address_type(void)
{
	static const struct row memories[] = {
		GOOD(1, 0, 0x80, 0x00),
		GOOD(1, 0, 0x82, 0x80, 0x80, 0x80, 0x80, 0x00),
		GOOD(1, 1, 0, 0x82, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
		     0x80, 0x00),
		BAD(2, "more than the 10 bytes", 1, 0, 0x82, 0x80, 0x80, 0x80,
		    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00),
		BAD(1, "65536 pages", 1, 0, 0x80, 0x80, 0x80, 0x80, 0x10),
		BAD(1, "65536 pages", 1, 1, 0, 0x81, 0x80, 0x80, 0x80, 0x10),
		BAD(1, "65536 pages", 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		    0xff, 0xff, 0xff, 0x01),
		/* pages of a byte */
		GOOD(1, 8, 0xff, 0xff, 0xff, 0xff, 0x0f, 0),
		BAD(1, "4294967295 pages", 1, 8, 0x80, 0x80, 0x80, 0x80, 0x10,
		    0),
		BAD(1, "4294967295 pages", 1, 9, 0, 0x80, 0x80, 0x80, 0x80,
		    0x10, 0),
		GOOD(1, 12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		     0xff, 0x01, 0),
	};
	static const struct row tables[] = {
		GOOD(1, 0x70, 0, 0x82, 0x80, 0x80, 0x80, 0x80, 0x00),
		GOOD(1, 0x70, 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
		GOOD(1, 0x70, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
		BAD(2, "4294967295 elements", 1, 0x70, 0, 0x80, 0x80, 0x80,
		    0x80, 0x10),
		BAD(2, "4294967295 elements", 1, 0x70, 1, 0, 0x80, 0x80, 0x80,
		    0x80, 0x10),
		GOOD(1, 0x70, 5, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		     0xff, 0xff, 0x01),
	};

	CHECK_ROWS(WASM_MEMORY, memories);
	CHECK_ROWS(WASM_TABLE, tables);
}

static void signed_constants_are_of_their_width(void)
{
	/* global: type, mutability, expression */
	static const struct row rows[] = {
		GOOD(1, 0x7f, 0, 0x41, 0xff, 0xff, 0xff, 0xff, 0x07, 0x0b),
		GOOD(1, 0x7f, 0, 0x41, 0x80, 0x80, 0x80, 0x80, 0x78, 0x0b),
		GOOD(1, 0x7f, 0, 0x41, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x0b),
		GOOD(1, 0x7f, 0, 0x41, 0x80, 0x80, 0x80, 0x80, 0x00, 0x0b),
		BAD(4, "does not fit 32 bits", 1, 0x7f, 0, 0x41, 0xff, 0xff,
		    0xff, 0xff, 0x0f, 0x0b),
		BAD(4, "does not fit 32 bits", 1, 0x7f, 0, 0x41, 0x80, 0x80,
		    0x80, 0x80, 0x70, 0x0b),
		BAD(4, "does not fit 32 bits", 1, 0x7f, 0, 0x41, 0x80, 0x80,
		    0x80, 0x80, 0x08, 0x0b),
		BAD(4, "more than the 5 bytes", 1, 0x7f, 0, 0x41, 0x80, 0x80,
		    0x80, 0x80, 0x80, 0x00, 0x0b),
		GOOD(1, 0x7e, 0, 0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		     0xff, 0xff, 0x00, 0x0b),
		GOOD(1, 0x7e, 0, 0x42, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
		     0x80, 0x80, 0x7f, 0x0b),
		BAD(4, "does not fit 64 bits", 1, 0x7e, 0, 0x42, 0x80, 0x80,
		    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x7e, 0x0b),
		BAD(4, "does not fit 64 bits", 1, 0x7e, 0, 0x42, 0xff, 0xff,
		    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x0b),
		BAD(4, "more than the 10 bytes", 1, 0x7e, 0, 0x42, 0x80, 0x80,
		    0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x0b),
	};

	CHECK_ROWS(WASM_GLOBAL, rows);
}

/* ---------------------------------------------------------------- entities */

static void memory_flags_are_read(void)
{
	static const struct row rows[] = {
		GOOD(1, 0, 1),
		GOOD(1, 1, 1, 1),
		GOOD(1, 3, 1, 1),
		GOOD(1, 4, 1),
		GOOD(1, 5, 1, 2),
		GOOD(1, 7, 1, 2),
		GOOD(1, 8, 1, 0),
		GOOD(1, 8, 1, 16),
		GOOD(1, 9, 1, 2, 0),
		GOOD(1, 11, 1, 2, 0),
		GOOD(1, 12, 1, 0),
		GOOD(1, 13, 1, 2, 16),
		GOOD(1, 15, 1, 2, 0),
		GOOD(3, 0, 0, 0, 0, 4, 0),
		BAD(1, "must have a maximum", 1, 2, 1),
		BAD(1, "must have a maximum", 1, 6, 1),
		BAD(1, "flags 0x10", 1, 0x10, 1),
		BAD(1, "flags 0x80", 1, 0x80, 1),
		BAD(3, "2 to the power of 1:", 1, 8, 1, 1),
		BAD(3, "2 to the power of 64:", 1, 8, 1, 64),
		BAD(2, "maximum of 1 pages is below the minimum of 2", 1, 1, 2,
		    1),
	};

	CHECK_ROWS(WASM_MEMORY, rows);
}

static void memory_limits_end_where_addresses_do(void)
{
	static const struct row rows[] = {
		/* 65,536 and 65,537 pages */
		GOOD(1, 0, 0x80, 0x80, 0x04),
		BAD(1, "65536 pages", 1, 0, 0x81, 0x80, 0x04),
		GOOD(1, 1, 0, 0x80, 0x80, 0x04),
		BAD(1, "65536 pages", 1, 1, 0, 0x81, 0x80, 0x04),
		/* the same with the page size said */
		BAD(1, "65536 pages", 1, 8, 0x81, 0x80, 0x04, 16),
		/* 2^48 pages */
		GOOD(1, 4, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40),
		BAD(1, "281474976710656", 1, 4, 0x81, 0x80, 0x80, 0x80, 0x80,
		    0x80, 0x40),
		/* 2^32 - 1 and 2^64 - 1 pages of a byte */
		GOOD(1, 8, 0xff, 0xff, 0xff, 0xff, 0x0f, 0),
		GOOD(1, 12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		     0xff, 0x01, 0),
	};

	CHECK_ROWS(WASM_MEMORY, rows);
}

static void limits_are_kept_as_they_are(void)
{
	struct fl__reader r;
	struct wasm m = { 0 };

	wasm_header(&m);
	wasm_section_bytes(&m, WASM_MEMORY, 3, 3, 2, 7, 12, 9, 0, 0, 5);
	must_read(&r, &m);
	CHECK_EQ(r.memory_count, 3);
	CHECK_EQ(r.memories[0].limits.min, 2);
	CHECK_EQ(r.memories[0].limits.max, 7);
	CHECK(r.memories[0].limits.is_shared);
	CHECK_EQ(r.memories[0].limits.page_log2, 16);
	CHECK_EQ(r.memories[1].limits.min, 9);
	CHECK_EQ(r.memories[1].limits.max, UINT64_MAX);
	CHECK(r.memories[1].limits.is_64);
	CHECK_EQ(r.memories[1].limits.page_log2, 0);
	CHECK_EQ(r.memories[2].limits.min, 5);
	CHECK(!r.memories[2].import_name.off);
	CHECK(!r.memories[2].export_name.off);
	fl__reader_fini(&r);
	wasm_free(&m);
}

static void tables_are_read(void)
{
	static const struct row rows[] = {
		GOOD(1, 0x70, 0, 1),
		GOOD(1, 0x6f, 1, 1, 2),
		GOOD(1, 0x70, 4, 1),
		GOOD(1, 0x70, 5, 1, 2),
		GOOD(1, 0x69, 0, 0),
		GOOD(1, 0x6e, 0, 0),
		GOOD(1, 0x63, 0, 0, 0),
		GOOD(1, 0x63, 0x70, 0, 0),
		/* with an initial value */
		GOOD(1, 0x40, 0, 0x70, 0, 1, 0xd0, 0x70, 0x0b),
		GOOD(1, 0x40, 0, 0x64, 0x70, 0, 1, 0xd2, 1, 0x0b),
		GOOD(1, 0x40, 0, 0x6f, 0, 1, 0x23, 4, 0x0b),
		/* 2^32 - 1 elements */
		GOOD(1, 0x70, 0, 0xff, 0xff, 0xff, 0xff, 0x0f),
		BAD(1, "must be a reference type", 1, 0x7f, 0, 1),
		BAD(1, "is 0x60", 1, 0x60, 0, 1),
		BAD(1, "is 0x78", 1, 0x78, 0, 1),
		BAD(2, "is 0x7f", 1, 0x63, 0x7f, 0, 1),
		BAD(2, "neither a heap type", 1, 0x63, 0xf0, 0x7f, 0, 1),
		ROW(-ENOTSUP, 2, "shared-everything-threads", 1, 0x70, 3, 1, 2),
		BAD(2, "flags 0x08", 1, 0x70, 8, 1),
		BAD(3, "below the minimum", 1, 0x70, 1, 2, 1),
		BAD(1, "needs an initial value", 1, 0x64, 0x70, 0, 1),
		BAD(2, "expected 0x00", 1, 0x40, 1, 0x70, 0, 1, 0xd0, 0x70,
		    0x0b),
		BAD(6, "gives externref, expected funcref", 1, 0x40, 0, 0x70, 0,
		    1, 0x23, 4, 0x0b),
		BAD(7, "a reference that may be null", 1, 0x40, 0, 0x64, 0x69,
		    0, 1, 0xd0, 0x69, 0x0b),
		BAD(7, "index of ref.func is 2", 1, 0x40, 0, 0x70, 0, 1, 0xd2,
		    2, 0x0b),
	};

	CHECK_ROWS(WASM_TABLE, rows);
}

static void types_of_other_proposals_are_named(void)
{
	static const struct row rows[] = {
		ROW(-ENOTSUP, 1, "shared-everything-threads", 1, 0x65, 0x70, 0,
		    1),
		ROW(-ENOTSUP, 2, "shared-everything-threads", 1, 0x63, 0x65,
		    0x70, 0, 1),
		ROW(-ENOTSUP, 1, "stack-switching", 1, 0x68, 0, 1),
		ROW(-ENOTSUP, 1, "stack-switching", 1, 0x75, 0, 1),
		ROW(-ENOTSUP, 1, "stringref", 1, 0x67, 0, 1),
		ROW(-ENOTSUP, 2, "custom-descriptors", 1, 0x63, 0x62, 0, 0, 1),
	};

	CHECK_ROWS(WASM_TABLE, rows);
}

static void tags_are_read(void)
{
	static const struct row rows[] = {
		GOOD(0),
		GOOD(2, 0, 0, 0, 5),
		BAD(1, "attribute of the tag is 0x01", 1, 1, 0),
		BAD(0, "count of tags is 2", 2, 0, 0),
	};

	CHECK_ROWS(WASM_TAG, rows);
}

static void imports_are_read(void)
{
	static const struct row rows[] = {
		GOOD(0),
		GOOD(1, 0, 0, 0, 0),
		GOOD(1, 1, 'm', 1, 'n', 1, 0x70, 0, 1),
		GOOD(1, 1, 'm', 1, 'n', 2, 3, 1, 2),
		GOOD(1, 1, 'm', 1, 'n', 2, 12, 1, 0),
		GOOD(1, 1, 'm', 1, 'n', 3, 0x7b, 1),
		GOOD(1, 1, 'm', 1, 'n', 3, 0x64, 0x6c, 0),
		GOOD(1, 1, 'm', 1, 'n', 4, 0, 0),
		BAD(5, "kind of the import is 0x05", 1, 1, 'm', 1, 'n', 5, 0),
		ROW(-ENOTSUP, 5, "custom-descriptors", 1, 1, 'm', 1, 'n', 0x20,
		    0),
		/* a compact group needs an empty name before it */
		BAD(5, "kind of the import is 0x7f", 1, 1, 'm', 1, 'n', 0x7f,
		    0),
		BAD(2, "module name of the import is not UTF-8", 1, 1, 0xff, 1,
		    'n', 0, 0),
		BAD(4, "name of the import is not UTF-8", 1, 1, 'm', 1, 0xff, 0,
		    0),
		BAD(7, "mutability of the global is 0x04", 1, 1, 'm', 1, 'n', 3,
		    0x7f, 4),
		ROW(-ENOTSUP, 7, "shared-everything-threads", 1, 1, 'm', 1, 'n',
		    3, 0x7f, 2),
		BAD(0, "count of imports is 2", 2, 1, 'm', 1, 'n', 0, 0),
		BAD(9, "cut off", 2, 1, 'm', 1, 'n', 0, 0, 1, 'm'),
		/* a table with an initial value is a definition */
		BAD(6, "is 0x40", 1, 1, 'm', 1, 'n', 1, 0x40, 0, 0x70, 0, 1,
		    0xd0, 0x70, 0x0b),
	};

	CHECK_ROWS(WASM_IMPORT, rows);
}

static void imports_open_each_index_space(void)
{
	struct fl__reader r;
	struct wasm m = { 0 };

	wasm_header(&m);
	wasm_section_bytes(&m, WASM_TYPE, 1, 0x60, 0, 0);
	/* clang-format off: an item a line */
	wasm_section_bytes(&m, WASM_IMPORT, 5, 1, 'a', 2, 'f', '0', 0, 0, 1,
			   'b', 3, 't', 'a', 'b', 1, 0x6f, 1, 3, 9, 0, 3, 'm',
			   'e', 'm', 2, 0, 4, 1, 'd', 1, 'g', 3, 0x7f, 0, 1,
			   'e', 0, 2, 4, 6);
	/* clang-format on */
	wasm_section_bytes(&m, WASM_FUNCTION, 2, 0, 0);
	wasm_section_bytes(&m, WASM_TABLE, 1, 0x70, 0, 1);
	wasm_section_bytes(&m, WASM_MEMORY, 1, 0, 1);
	wasm_section_bytes(&m, WASM_GLOBAL, 1, 0x7f, 0, I32(5));
	wasm_section_bytes(&m, WASM_CODE, 2, 2, 0, 0x0b, 2, 0, 0x0b);
	must_read(&r, &m);
	CHECK_EQ(r.func_count, 3);
	CHECK_EQ(r.imported_func_count, 1);
	CHECK_EQ(r.table_count, 2);
	CHECK_EQ(r.imported_table_count, 1);
	CHECK(!r.tables[0].is_func && r.tables[1].is_func);
	CHECK_EQ(r.tables[0].limits.max, 9);
	CHECK_EQ(r.memory_count, 3);
	CHECK_EQ(r.imported_memory_count, 2);
	CHECK(view_is(&r, r.memories[0].import_module, ""));
	CHECK(view_is(&r, r.memories[0].import_name, "mem"));
	CHECK(view_is(&r, r.memories[1].import_module, "e"));
	CHECK(view_is(&r, r.memories[1].import_name, ""));
	CHECK(r.memories[1].limits.is_64 && r.memories[1].limits.min == 6);
	CHECK(!r.memories[2].import_name.off);
	CHECK_EQ(r.global_count, 2);
	CHECK_EQ(r.globals[0].init.known, FL__KNOWN_IMPORT);
	CHECK_EQ(r.globals[1].init.known, FL__KNOWN_YES);
	CHECK_EQ(r.globals[1].init.value, 5);
	fl__reader_fini(&r);
	wasm_free(&m);
}

static void compact_imports_are_read(void)
{
	static const struct row rows[] = {
		/* per-item types: two functions; none at all */
		GOOD(1, 1, 'm', 0, 0x7f, 2, 1, 'a', 0, 0, 1, 'b', 0, 0),
		GOOD(1, 1, 'm', 0, 0x7f, 0),
		/* one type: two functions */
		GOOD(1, 1, 'm', 0, 0x7e, 0, 0, 2, 1, 'a', 1, 'b'),
		GOOD(1, 1, 'm', 0, 0x7e, 0, 0, 0),
		BAD(5, "count of imports in the group is 3", 1, 1, 'm', 0, 0x7f,
		    3, 1, 'a', 0, 0),
		BAD(5, "kind of the import is 0x7f", 1, 1, 'm', 0, 0x7e, 0x7f,
		    0, 1, 1, 'a'),
		BAD(9, "not UTF-8", 1, 1, 'm', 0, 0x7e, 0, 0, 1, 1, 0x80),
		BAD(8, "kind of the import is 0x7e", 1, 1, 'm', 0, 0x7f, 1, 1,
		    'a', 0x7e, 0),
	};
	struct fl__reader r;
	struct wasm m = { 0 };

	CHECK_ROWS(WASM_IMPORT, rows);
	wasm_header(&m);
	/* clang-format off: an item a line */
	wasm_section_bytes(&m, WASM_IMPORT, 3, 1, 'k', 0, 0x7f, 2, 1, 'a', 2, 0,
			   1, 1, 'b', 3, 0x7e, 0, 1, 'l', 0, 0x7e, 2, 1, 1, 5,
			   3, 1, 'x', 1, 'y', 1, 'z', 1, 'n', 1, 'o', 2, 0, 7);
	/* clang-format on */
	must_read(&r, &m);
	CHECK_EQ(r.memory_count, 5);
	CHECK_EQ(r.global_count, 1);
	CHECK(view_is(&r, r.memories[0].import_module, "k"));
	CHECK(view_is(&r, r.memories[0].import_name, "a"));
	CHECK(view_is(&r, r.memories[2].import_module, "l"));
	CHECK(view_is(&r, r.memories[2].import_name, "y"));
	CHECK_EQ(r.memories[3].limits.max, 5);
	CHECK(view_is(&r, r.memories[4].import_name, "o"));
	fl__reader_fini(&r);
	wasm_free(&m);
}

static void exports_are_read(void)
{
	static const struct row rows[] = {
		GOOD(0),
		GOOD(2, 1, 'a', 0, 1, 1, 'b', 0, 1),
		GOOD(5, 1, 'a', 0, 0, 1, 'b', 1, 1, 1, 'c', 2, 1, 1, 'd', 3, 4,
		     1, 'e', 4, 0),
		GOOD(2, 0, 2, 0, 1, 0, 2, 0),
		BAD(6, "same name", 2, 1, 'a', 0, 0, 1, 'a', 2, 0),
		BAD(5, "same name", 2, 0, 2, 0, 0, 2, 1),
		BAD(10, "same name", 3, 1, 'a', 0, 0, 1, 'b', 0, 0, 1, 'a', 2,
		    0),
		BAD(4, "function index is 2, but there are 2", 1, 1, 'a', 0, 2),
		BAD(4, "table index is 2", 1, 1, 'a', 1, 2),
		BAD(4, "memory index is 2", 1, 1, 'a', 2, 2),
		BAD(4, "global index is 5", 1, 1, 'a', 3, 5),
		BAD(4, "tag index is 1", 1, 1, 'a', 4, 1),
		BAD(3, "kind of the export is 0x05", 1, 1, 'a', 5, 0),
		BAD(2, "not UTF-8", 1, 1, 0xc0, 0, 0),
		BAD(0, "count of exports is 2", 2, 1, 'a', 0, 0),
	};

	CHECK_ROWS(WASM_EXPORT, rows);
}

static void the_first_export_names_a_memory(void)
{
	static const uint8_t exports[] = { 4, 1,   'f', 0, 0, 2, 'm', '1', 2, 1,
					   2, 'm', '2', 2, 1, 1, 't', 1,   0 };
	struct fl__reader r;
	struct wasm m = { 0 };

	world(&m, WASM_EXPORT, exports, sizeof(exports));
	must_read(&r, &m);
	CHECK(!r.memories[0].export_name.off);
	CHECK(view_is(&r, r.memories[1].export_name, "m1"));
	fl__reader_fini(&r);
	wasm_free(&m);
}

static void many_exports_are_compared(void)
{
	enum {
		COUNT = 20000
	};
	struct wasm m = { 0 }, exports = { 0 };
	struct fl_error error = { 0 };
	struct fl__reader r;
	char name[16];

	wasm_u(&exports, COUNT + 1);
	for (unsigned int i = 0; i <= COUNT; i++) {
		/* The last one repeats the first. */
		snprintf(name, sizeof(name), "name%u", i % COUNT);
		wasm_name(&exports, name);
		wasm_bytes(&exports, 0, 0);
	}
	world(&m, WASM_EXPORT, exports.bytes, exports.length);
	CHECK_EQ(fl__reader_read(&r, m.bytes, m.length, &error), -ENOEXEC);
	CHECK_HAS(error.text, "same name");
	CHECK(!memcmp(m.bytes + error.byte_off, "name0", 5));
	wasm_free(&exports);
	wasm_free(&m);
}

/* One is one. */
static void an_index_beyond_the_only_one(void)
{
	struct fl_error error = { .text = "" };
	struct fl__cursor cursor = { .error = &error };

	fl__cursor_check_index(&cursor, 0, "memory index", 1, 1, "memories");
	CHECK_EQ(cursor.err, -ENOEXEC);
	CHECK_HAS(error.text, "memory index is 1, but of memories there is 1");
}

static void the_start_function_exists(void)
{
	static const struct row rows[] = {
		GOOD(1),
		BAD(0, "start function is 2, but there are 2", 2),
		BAD(1, "too many", 1, 0),
	};
	struct fl__reader r;
	struct wasm m = { 0 };

	CHECK_ROWS(WASM_START, rows);
	world(&m, WASM_START, "\1", 1);
	must_read(&r, &m);
	CHECK(r.has_start);
	fl__reader_fini(&r);
	wasm_free(&m);
}

static int read_funcs_and_bodies(unsigned int funcs, int bodies,
				 struct fl_error *error)
{
	struct wasm m = { 0 }, section = { 0 };
	struct guard guard;
	int err;

	wasm_header(&m);
	wasm_section_bytes(&m, WASM_TYPE, 1, 0x60, 0, 0);
	wasm_u(&section, funcs);
	for (unsigned int i = 0; i < funcs; i++)
		wasm_u(&section, 0);
	wasm_section(&m, WASM_FUNCTION, &section);
	if (bodies >= 0) {
		wasm_u(&section, (uint64_t)bodies);
		for (int i = 0; i < bodies; i++)
			wasm_bytes(&section, 2, 0, 0x0b);
		wasm_section(&m, WASM_CODE, &section);
	}
	guard_open(&guard, m.length);
	err = check_read(&guard, m.bytes, m.length, error);
	guard_close(&guard);
	wasm_free(&m);
	return err;
}

static void each_function_has_a_body(void)
{
	struct fl_error error;

	CHECK_EQ(read_funcs_and_bodies(2, 2, &error), 0);
	CHECK_EQ(read_funcs_and_bodies(0, -1, &error), 0);
	CHECK_EQ(read_funcs_and_bodies(0, 0, &error), 0);
	CHECK_EQ(read_funcs_and_bodies(2, 1, &error), -ENOEXEC);
	CHECK_HAS(error.text, "has 1 bodies");
	CHECK_EQ(read_funcs_and_bodies(0, 1, &error), -ENOEXEC);
	CHECK_EQ(read_funcs_and_bodies(2, -1, &error), -ENOEXEC);
	CHECK_HAS(error.text, "no code section");
}

static void bodies_fill_the_code_section(void)
{
	static const struct row rows[] = {
		GOOD(0),
		BAD(0, "1 bodies, but the function section has 0", 1, 2, 0,
		    0x0b),
		BAD(1, "3 bytes too many", 0, 1, 2, 3),
	};
	static const uint8_t past[] = { 0, 'a', 's', 'm',  1, 0, 0, 0,
					1, 4,	1,   0x60, 0, 0, 3, 2,
					1, 0,	10,  4,	   1, 3, 0, 0x0b };

	CHECK_ROWS(WASM_CODE, rows);
	check_header(past, sizeof(past), -ENOEXEC, 22,
		     "function body 0: the code should take 3 bytes");
}

/* ---------------------------------------------------- constant expressions */

static void constants_have_the_type_asked_for(void)
{
	static const struct row rows[] = {
		GOOD(1, 0x7f, 0, I32(1)),
		GOOD(1, 0x7e, 1, I64(1)),
		GOOD(1, 0x7d, 0, 0x43, 0, 0, 0, 0, 0x0b),
		GOOD(1, 0x7c, 0, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b),
		GOOD(1, 0x7b, 0, 0xfd, 12, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11,
		     12, 13, 14, 15, 0x0b),
		GOOD(1, 0x70, 0, 0xd0, 0x70, 0x0b),
		GOOD(1, 0x6f, 0, 0x23, 4, 0x0b),
		GOOD(1, 0x70, 0, 0xd2, 1, 0x0b),
		GOOD(1, 0x64, 0, 0, 0xd2, 0, 0x0b),
		BAD(3, "gives i64, expected i32", 1, 0x7f, 0, I64(1)),
		BAD(3, "gives i32, expected i64", 1, 0x7e, 0, I32(1)),
		BAD(3, "gives i32, expected f32", 1, 0x7d, 0, I32(1)),
		BAD(3, "gives i32, expected funcref", 1, 0x70, 0, I32(1)),
		BAD(3, "gives externref, expected funcref", 1, 0x70, 0, 0xd0,
		    0x6f, 0x0b),
		BAD(4, "gives funcref, expected (ref func)", 1, 0x64, 0x70, 0,
		    0xd0, 0x70, 0x0b),
		BAD(3, "leaves 0 values", 2, 0x7f, 0, 0x0b, 0x7f, 0, I32(1)),
		BAD(3, "leaves 2 values", 1, 0x7f, 0, 0x41, 0, 0x41, 0, 0x0b),
		BAD(5, "the constant expression is cut off", 1, 0x7f, 0, 0x41,
		    0),
		BAD(4, "should take 4 bytes", 1, 0x7d, 0, 0x43, 0, 0, 0x0b),
		BAD(1, "is 0x7a", 1, 0x7a, 0, I32(1)),
	};

	CHECK_ROWS(WASM_GLOBAL, rows);
}

static void only_constant_instructions_are_taken(void)
{
	static const struct row rows[] = {
		BAD(3, "instruction 0x01", 1, 0x7f, 0, 0x01, I32(0)),
		BAD(3, "instruction 0x00", 1, 0x7f, 0, 0x00, 0x0b),
		BAD(3, "instruction 0x02", 1, 0x7f, 0, 0x02, 0x7f, I32(0),
		    0x0b),
		BAD(3, "instruction 0x10", 1, 0x7f, 0, 0x10, 0, 0x0b),
		BAD(5, "instruction 0x1a", 1, 0x7f, 0, 0x41, 0, 0x1a, I32(0)),
		BAD(7, "instruction 0x6d", 1, 0x7f, 0, 0x41, 1, 0x41, 1, 0x6d,
		    0x0b),
		BAD(5, "instruction 0xa7", 1, 0x7f, 0, 0x42, 1, 0xa7, 0x0b),
		BAD(3, "instruction 0xfd 13", 1, 0x7b, 0, 0xfd, 13, 0, 0, 0, 0,
		    0x0b),
		BAD(5, "instruction 0xfb 29", 1, 0x7f, 0, 0xd0, 0x6c, 0xfb, 29,
		    0x0b),
		BAD(5, "instruction 0xd1", 1, 0x7f, 0, 0xd0, 0x70, 0xd1, 0x0b),
	};

	CHECK_ROWS(WASM_GLOBAL, rows);
}

static void globals_see_earlier_immutable_globals(void)
{
	static const struct row rows[] = {
		GOOD(1, 0x7f, 0, 0x23, 0, 0x0b),
		GOOD(1, 0x7e, 0, 0x23, 1, 0x0b),
		GOOD(1, 0x7d, 0, 0x23, 3, 0x0b),
		/* 5 is the first defined one, 6 reads it */
		GOOD(2, 0x7f, 0, I32(3), 0x7f, 1, 0x23, 5, 0x0b),
		BAD(4, "5, but there are 5 globals before it", 1, 0x7f, 0, 0x23,
		    5, 0x0b),
		BAD(4, "6, but there are 5", 2, 0x7f, 0, 0x23, 6, 0x0b, 0x7f, 0,
		    I32(0)),
		BAD(4, "global 2 is mutable", 1, 0x7f, 0, 0x23, 2, 0x0b),
		BAD(9, "global 5 is mutable", 2, 0x7f, 1, I32(3), 0x7f, 0, 0x23,
		    5, 0x0b),
		BAD(3, "gives i64, expected i32", 1, 0x7f, 0, 0x23, 1, 0x0b),
	};

	CHECK_ROWS(WASM_GLOBAL, rows);
}

static void arithmetic_is_checked(void)
{
	static const struct row rows[] = {
		GOOD(1, 0x7f, 0, 0x41, 1, 0x41, 2, 0x6a, 0x0b),
		GOOD(1, 0x7f, 0, 0x23, 0, 0x41, 2, 0x6b, 0x41, 3, 0x6c, 0x0b),
		GOOD(1, 0x7e, 0, 0x42, 1, 0x42, 2, 0x7c, 0x23, 1, 0x7d, 0x42, 3,
		     0x7e, 0x0b),
		BAD(5, "too few operands", 1, 0x7f, 0, 0x41, 1, 0x6a, 0x0b),
		BAD(3, "too few operands", 1, 0x7f, 0, 0x6a, 0x0b),
		BAD(7,
		    "needs i32 as operand, but the constant expression gives i64",
		    1, 0x7f, 0, 0x41, 1, 0x42, 1, 0x6a, 0x0b),
		BAD(7, "needs i64 as operand", 1, 0x7e, 0, 0x41, 1, 0x41, 1,
		    0x7c, 0x0b),
	};

	CHECK_ROWS(WASM_GLOBAL, rows);
}

static void objects_in_constants_are_stepped_over(void)
{
	static const struct row rows[] = {
		/* ref.i31 */
		GOOD(1, 0x6c, 0, 0x41, 1, 0xfb, 28, 0x0b),
		GOOD(1, 0x64, 0x6c, 0, 0x41, 1, 0xfb, 28, 0x0b),
		GOOD(1, 0x6e, 0, 0x41, 1, 0xfb, 28, 0x0b),
		/* struct.new_default, struct.new with two operands */
		GOOD(1, 0x64, 0, 0, 0xfb, 1, 0, 0x0b),
		GOOD(1, 0x64, 0, 0, 0x41, 1, 0x42, 2, 0xfb, 0, 0, 0x0b),
		GOOD(1, 0x6b, 0, 0xfb, 1, 0, 0x0b),
		/* a structure in a structure */
		GOOD(1, 0x63, 0, 0, 0x41, 1, 0xfb, 0, 0, 0x41, 2, 0xfb, 0, 0,
		     0x0b),
		/* array.new, array.new_default, array.new_fixed of three */
		GOOD(1, 0x6a, 0, 0x42, 7, 0x41, 3, 0xfb, 6, 0, 0x0b),
		GOOD(1, 0x6a, 0, 0x41, 3, 0xfb, 7, 0, 0x0b),
		GOOD(1, 0x64, 0, 0, 0x41, 1, 0x41, 2, 0x41, 3, 0xfb, 8, 0, 3,
		     0x0b),
		GOOD(1, 0x64, 0, 0, 0xfb, 8, 0, 0, 0x0b),
		/* extern.convert_any, any.convert_extern */
		GOOD(1, 0x6f, 0, 0x41, 1, 0xfb, 28, 0xfb, 27, 0x0b),
		GOOD(1, 0x64, 0x6f, 0, 0x41, 1, 0xfb, 28, 0xfb, 27, 0x0b),
		GOOD(1, 0x6e, 0, 0x23, 4, 0xfb, 26, 0x0b),
		BAD(5, "needs i32", 1, 0x6c, 0, 0x42, 1, 0xfb, 28, 0x0b),
		BAD(3, "gives a reference", 1, 0x7f, 0, 0xfb, 1, 0, 0x0b),
		BAD(3, "leaves 2 values", 1, 0x6b, 0, 0xfb, 1, 0, 0xfb, 1, 0,
		    0x0b),
		BAD(5, "too few operands", 1, 0x6a, 0, 0x41, 1, 0xfb, 8, 0, 2,
		    0x0b),
		BAD(3, "gives", 1, 0x6a, 0, 0xfb, 1, 0, 0x0b),
		BAD(3, "gives", 1, 0x70, 0, 0xfb, 1, 0, 0x0b),
		BAD(4, "gives", 1, 0x64, 0x6e, 0, 0x23, 4, 0xfb, 26, 0x0b),
	};

	CHECK_ROWS(WASM_GLOBAL, rows);
}

static void references_fit_what_is_above_them(void)
{
	/* ref.null of the second type for a global of the first */
	static const struct {
		uint8_t global, value;
		bool fits;
	} pairs[] = {
		{ 0x70, 0x73, true },
		{ 0x73, 0x70, false },
		{ 0x6f, 0x72, true },
		{ 0x6f, 0x71, false },
		{ 0x6e, 0x6d, true },
		{ 0x6e, 0x6c, true },
		{ 0x6e, 0x6b, true },
		{ 0x6e, 0x6a, true },
		{ 0x6e, 0x71, true },
		{ 0x6e, 0x70, false },
		{ 0x6d, 0x6e, false },
		{ 0x6d, 0x6b, true },
		{ 0x6c, 0x71, true },
		{ 0x6c, 0x6d, false },
		{ 0x6b, 0x6a, false },
		{ 0x6b, 0x71, true },
		{ 0x69, 0x74, true },
		{ 0x69, 0x70, false },
		{ 0x71, 0x6b, false },
		{ 0x74, 0x69, false },
		/* of type 0: it may be of any kind that is defined */
		{ 0x70, 0x00, true },
		{ 0x6e, 0x00, true },
		{ 0x6f, 0x00, false },
		{ 0x6c, 0x00, false },
		{ 0x73, 0x00, false },
		{ 0x69, 0x00, false },
	};
	struct guard guard;

	guard_open(&guard, 4096);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(pairs); i++) {
		uint8_t contents[] = { 1,    pairs[i].global, 0,
				       0xd0, pairs[i].value,  0x0b };
		struct wasm m = { 0 };

		world(&m, WASM_GLOBAL, contents, sizeof(contents));
		if (!CHECK_EQ(check_read(&guard, m.bytes, m.length, NULL),
			      pairs[i].fits ? 0 : -ENOEXEC))
			test_note("row %zu", i);
		wasm_free(&m);
	}
	guard_close(&guard);
}

/* The value of global idx of the world with one global section. */
static bool eval_global(const uint8_t *globals, size_t length, uint32_t idx,
			const uint64_t *values, uint32_t value_count,
			enum fl__known *known, uint64_t *value)
{
	const struct fl__globals given = { values, value_count, NULL };
	struct fl__reader r;
	struct wasm m = { 0 };
	bool is_number;

	world(&m, WASM_GLOBAL, globals, length);
	must_read(&r, &m);
	MUST(idx < r.global_count);
	*known = r.globals[idx].init.known;
	*value = 0xdead;
	is_number = fl__reader_eval(&r, &r.globals[idx].init, &given, value);
	fl__reader_fini(&r);
	wasm_free(&m);
	return is_number;
}

#define EVAL(idx, values, count, ...)                                      \
	eval_global((const uint8_t[]){ __VA_ARGS__ },                      \
		    sizeof((const uint8_t[]){ __VA_ARGS__ }), idx, values, \
		    count, &known, &value)

static void values_without_imports_are_known(void)
{
	enum fl__known known;
	uint64_t value;

	CHECK(EVAL(5, NULL, 0, 1, 0x7f, 0, I32(0x7f)));
	CHECK_EQ(known, FL__KNOWN_YES);
	CHECK_EQ(value, 0xffffffff);
	CHECK(EVAL(5, NULL, 0, 1, 0x7e, 0, I64(0x7f)));
	CHECK_EQ(value, UINT64_MAX);
	/* (0 - 2) * 3 in 32 bits */
	CHECK(EVAL(5, NULL, 0, 1, 0x7f, 0, 0x41, 0, 0x41, 2, 0x6b, 0x41, 3,
		   0x6c, 0x0b));
	CHECK_EQ(value, (uint32_t)-6);
	CHECK(EVAL(5, NULL, 0, 1, 0x7e, 0, 0x42, 0, 0x42, 2, 0x7d, 0x42, 3,
		   0x7e, 0x0b));
	CHECK_EQ(value, (uint64_t)-6);
	/* 0x7fffffff + 1 */
	CHECK(EVAL(5, NULL, 0, 1, 0x7f, 0, 0x41, 0xff, 0xff, 0xff, 0xff, 0x07,
		   0x41, 1, 0x6a, 0x0b));
	CHECK_EQ(value, 0x80000000);
	/* a defined global that reads a defined global, minus 1 */
	CHECK(EVAL(6, NULL, 0, 2, 0x7f, 0, I32(9), 0x7f, 0, 0x23, 5, 0x41, 1,
		   0x6b, 0x0b));
	CHECK_EQ(known, FL__KNOWN_YES);
	CHECK_EQ(value, 8);
}

static void values_with_imports_wait_for_them(void)
{
	static const uint64_t values[] = { 0xaaaaaaaa00001000, 7, 1, 2, 3 };
	enum fl__known known;
	uint64_t value;

	CHECK(EVAL(5, values, 5, 1, 0x7f, 0, 0x23, 0, 0x0b));
	CHECK_EQ(known, FL__KNOWN_IMPORT);
	CHECK_EQ(value, 0x1000);
	CHECK(EVAL(5, values, 1, 1, 0x7f, 0, 0x23, 0, 0x41, 16, 0x6a, 0x0b));
	CHECK_EQ(value, 0x1010);
	CHECK(!EVAL(5, NULL, 0, 1, 0x7f, 0, 0x23, 0, 0x0b));
	CHECK_EQ(value, 0xdead);
	CHECK(!EVAL(5, values, 1, 1, 0x7e, 0, 0x23, 1, 0x0b));
	CHECK(EVAL(5, values, 2, 1, 0x7e, 0, 0x23, 1, 0x0b));
	CHECK_EQ(value, 7);
	/* through a defined global, twice */
	CHECK(EVAL(6, values, 5, 2, 0x7f, 0, 0x23, 0, 0x41, 1, 0x6a, 0x0b, 0x7f,
		   0, 0x23, 5, 0x23, 5, 0x6a, 0x0b));
	CHECK_EQ(known, FL__KNOWN_IMPORT);
	CHECK_EQ(value, 0x2002);
}

static void values_that_are_no_integers_are_never_known(void)
{
	static const uint64_t values[] = { 1, 2, 3, 4, 5 };
	enum fl__known known;
	uint64_t value;

	CHECK(!EVAL(5, values, 5, 1, 0x7d, 0, 0x43, 0, 0, 0, 0, 0x0b));
	CHECK_EQ(known, FL__KNOWN_NO);
	CHECK(!EVAL(5, values, 5, 1, 0x7d, 0, 0x23, 3, 0x0b));
	CHECK_EQ(known, FL__KNOWN_NO);
	CHECK(!EVAL(5, values, 5, 1, 0x70, 0, 0xd0, 0x70, 0x0b));
	CHECK_EQ(known, FL__KNOWN_NO);
	/* the imported globals themselves: by type, and no expression */
	CHECK(!EVAL(0, values, 5, 0));
	CHECK_EQ(known, FL__KNOWN_IMPORT);
	CHECK(!EVAL(2, values, 5, 0));
	CHECK_EQ(known, FL__KNOWN_NO);
	CHECK(!EVAL(4, values, 5, 0));
	CHECK_EQ(known, FL__KNOWN_NO);
}

/* A section of count globals, each the one before it plus itself. */
static void doubling_globals(struct wasm *m, uint32_t count)
{
	struct wasm globals = { 0 };

	wasm_u(&globals, count);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t before = i ? 4 + i : 0;

		wasm_bytes(&globals, 0x7f, 0, 0x23);
		wasm_u(&globals, before);
		wasm_bytes(&globals, 0x23);
		wasm_u(&globals, before);
		wasm_bytes(&globals, 0x6a, 0x0b);
	}
	world(m, WASM_GLOBAL, globals.bytes, globals.length);
	wasm_free(&globals);
}

static void evaluation_is_bounded(void)
{
	const uint64_t one = 1;
	struct fl__globals given = { &one, 1, NULL }, kept = given;
	struct fl__reader r;
	struct wasm m = { 0 };
	uint64_t value;
	bool is_known = true;

	doubling_globals(&m, 5000);
	must_read(&r, &m);
	kept.made = calloc(r.global_count, sizeof(*kept.made));
	MUST(kept.made);
	for (uint32_t i = 5; i < r.global_count; i++) {
		const struct fl__const *init = &r.globals[i].init;

		/* Once it is too much it stays so. */
		if (!is_known)
			CHECK_EQ(init->known, FL__KNOWN_NO);
		is_known = init->known == FL__KNOWN_IMPORT;
		if (!is_known)
			continue;
		CHECK(init->steps <= FL__READER_MAX_STEPS);
		CHECK_EQ(init->needs, 1);
		CHECK(fl__reader_eval(&r, init, &given, &value));
		CHECK_EQ(value, (uint64_t)1 << (i - 4));
		/* What was found before is taken, and is the same. */
		CHECK(fl__reader_eval(&r, init, &kept, &value));
		CHECK_EQ(value, (uint64_t)1 << (i - 4));
		CHECK_EQ(kept.made[i - 1].is_made, i > 5);
	}
	CHECK(!is_known);
	free(kept.made);
	CHECK_EQ(r.globals[9].init.known, FL__KNOWN_IMPORT);
	fl__reader_fini(&r);
	wasm_free(&m);
}

static void long_chains_of_globals_are_cut(void)
{
	enum {
		COUNT = 100000
	};
	const uint64_t one = 1;
	const struct fl__globals given = { &one, 1, NULL };
	struct wasm m = { 0 }, globals = { 0 };
	struct fl__reader r;
	uint64_t value;
	uint32_t last = 5 + FL__READER_MAX_NESTING;

	wasm_u(&globals, COUNT);
	for (uint32_t i = 0; i < COUNT; i++) {
		wasm_bytes(&globals, 0x7f, 0);
		wasm_global_get(&globals, i ? 4 + i : 0);
	}
	world(&m, WASM_GLOBAL, globals.bytes, globals.length);
	must_read(&r, &m);
	CHECK(fl__reader_eval(&r, &r.globals[last - 1].init, &given, &value));
	CHECK_EQ(value, 1);
	CHECK_EQ(r.globals[last].init.known, FL__KNOWN_NO);
	CHECK_EQ(r.globals[5 + COUNT - 1].init.known, FL__KNOWN_NO);
	fl__reader_fini(&r);
	wasm_free(&globals);
	wasm_free(&m);
}

/* count times i32.const 1, then as many additions but one. */
static void read_sum(uint32_t count, enum fl__known known)
{
	struct wasm m = { 0 }, globals = { 0 };
	struct fl__reader r;

	wasm_bytes(&globals, 1, 0x7f, 0);
	for (uint32_t i = 0; i < count; i++)
		wasm_bytes(&globals, 0x41, 1);
	for (uint32_t i = 1; i < count; i++)
		wasm_bytes(&globals, 0x6a);
	wasm_bytes(&globals, 0x0b);
	world(&m, WASM_GLOBAL, globals.bytes, globals.length);
	must_read(&r, &m);
	CHECK_EQ(r.globals[5].init.known, known);
	if (known == FL__KNOWN_YES)
		CHECK_EQ(r.globals[5].init.value, count);
	fl__reader_fini(&r);
	wasm_free(&globals);
	wasm_free(&m);
}

static void deep_expressions_are_valid_but_not_known(void)
{
	read_sum(500, FL__KNOWN_YES);
	read_sum(501, FL__KNOWN_NO);
	read_sum(200000, FL__KNOWN_NO);
}

/* ---------------------------------------------------------------- segments */

static void data_segments_are_read(void)
{
	static const struct row rows[] = {
		GOOD(0),
		GOOD(1, 0, I32(5), 2, 0xaa, 0xbb),
		GOOD(1, 0, I32(5), 0),
		GOOD(1, 1, 3, 1, 2, 3),
		GOOD(1, 2, 0, I32(5), 1, 9),
		GOOD(1, 2, 1, I64(5), 1, 9),
		GOOD(1, 0, 0x23, 0, 0x0b, 0),
		GOOD(1, 2, 1, 0x23, 1, 0x42, 1, 0x7c, 0x0b, 0),
		BAD(1, "flags are 3", 1, 3, I32(5), 0),
		BAD(1, "flags are 4", 1, 4, I32(5), 0),
		BAD(2, "memory index is 2, but there are 2", 1, 2, 2, I32(5),
		    0),
		BAD(2, "gives i64, expected i32", 1, 0, I64(5), 0),
		BAD(3, "gives i32, expected i64", 1, 2, 1, I32(5), 0),
		BAD(2, "leaves 0 values", 1, 0, 0x0b, 0),
		BAD(3, "global 2 is mutable", 1, 0, 0x23, 2, 0x0b, 0),
		BAD(2, "gives a reference", 1, 0, 0xfb, 1, 0, 0x0b, 0),
		BAD(6, "should take 3 bytes", 1, 0, I32(5), 3, 0xaa, 0xbb),
		BAD(7, "1 bytes too many", 1, 0, I32(5), 1, 0xaa, 0xbb),
		BAD(0, "count of data segments is 4", 4, 1, 0, 1, 0),
		BAD(5, "length is cut off", 1, 0, I32(5)),
	};

	CHECK_ROWS(WASM_DATA, rows);
}

static void data_views_say_what_to_rewrite(void)
{
	/* clang-format off: an item a line */
	static const uint8_t section[] = { 3, 0,    0x41, 0x80, 0x08, 0x0b, 2,
					   7, 8,    1,	  0x81, 0,    9,    2,
					   1, 0x42, 3,	  0x0b, 1,    6 };
	/* clang-format on */
	const struct fl__data *d;
	struct fl__reader r;
	struct wasm m = { 0 };
	size_t start = world(&m, WASM_DATA, section, sizeof(section));

	must_read(&r, &m);
	MUST_EQ(r.data_count, 3);
	d = &r.data[0];
	CHECK(d->mode == FL__SEGMENT_ACTIVE && d->memory_idx == 0);
	CHECK(d->whole.off == start + 1 && d->whole.len == 8);
	CHECK(d->offset.expr.off == start + 2 && d->offset.expr.len == 4);
	CHECK(d->bytes.off == start + 7 && d->bytes.len == 2);
	CHECK(d->offset.known == FL__KNOWN_YES && d->offset.value == 1024);
	d = &r.data[1];
	CHECK(d->mode == FL__SEGMENT_PASSIVE);
	CHECK(d->whole.off == start + 9 && d->whole.len == 4);
	CHECK(d->bytes.off == start + 12);
	CHECK(d->bytes.len == 1 && m.bytes[d->bytes.off] == 9);
	d = &r.data[2];
	CHECK(d->mode == FL__SEGMENT_ACTIVE && d->memory_idx == 1);
	CHECK(d->whole.len == 7 && d->offset.value == 3);
	CHECK(m.bytes[d->bytes.off] == 6);
	fl__reader_fini(&r);
	wasm_free(&m);
}

static void data_without_memory_is_refused_if_active(void)
{
	static const uint8_t active[] = { 0, 'a', 's', 'm', 1, 0,      0,
					  0, 11,  6,   1,   0, I32(0), 0 };
	static const uint8_t passive[] = { 0, 'a', 's', 'm', 1, 0, 0,
					   0, 11,  3,	1,   1, 0 };

	check_header(active, sizeof(active), -ENOEXEC, 11, "no memory");
	check_header(passive, sizeof(passive), 0, 0, NULL);
}

static void the_data_count_equals_the_data(void)
{
	static const uint8_t two[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 12,
				       1, 2,   11,  5,	 2, 1, 0, 1, 0 };
	static const uint8_t one[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 12,
				       1, 1,   11,  5,	 2, 1, 0, 1, 0 };
	static const uint8_t none[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 12, 1, 1 };
	static const uint8_t zero[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 12, 1, 0 };

	check_header(two, sizeof(two), 0, 0, NULL);
	check_header(one, sizeof(one), -ENOEXEC, 13, "says 1");
	check_header(none, sizeof(none), -ENOEXEC, 11, "no data section");
	check_header(zero, sizeof(zero), 0, 0, NULL);
}

static void element_segments_are_read(void)
{
	static const struct row rows[] = {
		GOOD(0),
		GOOD(1, 0, I32(0), 2, 0, 1),
		GOOD(1, 1, 0, 1, 1),
		GOOD(1, 2, 0, I32(0), 0, 1, 0),
		GOOD(1, 3, 0, 1, 0),
		GOOD(1, 4, I32(0), 2, 0xd2, 0, 0x0b, 0xd0, 0x70, 0x0b),
		GOOD(1, 5, 0x6f, 1, 0xd0, 0x6f, 0x0b),
		GOOD(1, 6, 1, I64(0), 0x6f, 2, 0xd0, 0x6f, 0x0b, 0x23, 4, 0x0b),
		GOOD(1, 6, 0, I32(0), 0x64, 0x70, 1, 0xd2, 0, 0x0b),
		GOOD(1, 7, 0x70, 0),
		GOOD(1, 5, 0x6c, 1, 0x41, 1, 0xfb, 28, 0x0b),
		BAD(1, "flags are 8", 1, 8, I32(0), 0),
		BAD(2, "table index is 2, but there are 2", 1, 2, 2, I32(0), 0,
		    0),
		BAD(2, "expected i32", 1, 0, I64(0), 0),
		BAD(3, "expected i64", 1, 6, 1, I32(0), 0x6f, 0),
		BAD(2, "kind of the elements is 0x01", 1, 1, 1, 0),
		BAD(2, "must be a reference type", 1, 5, 0x7f, 0),
		BAD(6, "function index is 2", 1, 0, I32(0), 1, 2),
		BAD(6, "another type than table 1", 1, 2, 1, I64(0), 0, 1, 0),
		BAD(6, "another type than table 1", 1, 6, 1, I64(0), 0x70, 0),
		BAD(6, "another type than table 0", 1, 6, 0, I32(0), 0x6f, 0),
		BAD(4, "gives externref, expected funcref", 1, 5, 0x70, 1, 0xd0,
		    0x6f, 0x0b),
		BAD(5, "gives funcref, expected (ref func)", 1, 5, 0x64, 0x70,
		    1, 0xd0, 0x70, 0x0b),
		BAD(5, "count of elements is 3", 1, 0, I32(0), 3, 0, 0),
	};

	CHECK_ROWS(WASM_ELEMENT, rows);
}

static void elements_are_counted_by_table(void)
{
	/* clang-format off: an item a line */
	static const uint8_t section[] = { 5,	 0,    I32(0), 2,      0, 1,
					   1,	 0,    3,      0,      0, 0,
					   6,	 1,    I64(2), 0x6f,   1, 0xd0,
					   0x6f, 0x0b, 4,      I32(4), 1, 0xd2,
					   0,	 0x0b, 3,      0,      1, 1 };
	/* clang-format on */
	struct fl__reader r;
	struct wasm m = { 0 };
	size_t start = world(&m, WASM_ELEMENT, section, sizeof(section));

	must_read(&r, &m);
	MUST_EQ(r.elem_count, 5);
	CHECK_EQ(r.tables[0].init_elements, 3);
	CHECK_EQ(r.tables[1].init_elements, 1);
	CHECK(r.elems[0].items.off == start + 6 && r.elems[0].items.len == 2);
	CHECK_EQ(r.elems[0].count, 2);
	CHECK_EQ(r.elems[1].mode, FL__SEGMENT_PASSIVE);
	CHECK(r.elems[2].table_idx == 1 && r.elems[2].is_expressions);
	CHECK_EQ(r.elems[2].offset.value, 2);
	CHECK_EQ(r.elems[2].items.len, 3);
	CHECK_EQ(r.elems[4].mode, FL__SEGMENT_DECLARED);
	fl__reader_fini(&r);
	wasm_free(&m);
}

/* ------------------------------------------------------------------ limits */

/* A section of count equal items, read in the world. */
static void check_many(unsigned int id, uint32_t count, const void *item,
		       size_t item_length, int expected, const char *says)
{
	struct wasm m = { 0 }, section = { 0 };
	struct fl_error error = { 0 };
	struct fl__reader r;
	int err;

	wasm_u(&section, count);
	for (uint32_t i = 0; i < count; i++)
		wasm_raw(&section, item, item_length);
	world(&m, id, section.bytes, section.length);
	err = fl__reader_read(&r, m.bytes, m.length, &error);
	CHECK_EQ(err, expected);
	if (err)
		CHECK_HAS(error.text, says);
	else
		fl__reader_fini(&r);
	wasm_free(&section);
	wasm_free(&m);
}

static void limits_are_those_of_the_header(void)
{
	check_many(WASM_DATA, 100000, "\1\0", 2, 0, NULL);
	check_many(WASM_DATA, 100001, "\1\0", 2, -E2BIG, "100000");
	check_many(WASM_ELEMENT, 100000, "\1\0\0", 3, 0, NULL);
	check_many(WASM_ELEMENT, 100001, "\1\0\0", 3, -E2BIG, "100000");
	check_many(WASM_MEMORY, 100, "\0\0", 2, 0, NULL);
	check_many(WASM_MEMORY, 101, "\0\0", 2, -E2BIG, "memories");
	check_many(WASM_TABLE, 100, "\x70\0\0", 3, 0, NULL);
	check_many(WASM_TABLE, 101, "\x70\0\0", 3, -E2BIG, "tables");
	check_many(WASM_IMPORT, 98, "\0\0\2\0\0", 5, 0, NULL);
	check_many(WASM_IMPORT, 99, "\0\0\2\0\0", 5, -E2BIG, "memories");
	check_many(WASM_IMPORT, 101, "\0\0\1\x70\0\0", 6, -E2BIG, "tables");
	check_many(WASM_IMPORT, 1000000, "\0\0\0\0", 4, 0, NULL);
	check_many(WASM_IMPORT, 1000001, "\0\0\0\0", 4, -E2BIG, "imports");
	check_many(WASM_GLOBAL, 999995, "\x7f\0\x41\0\x0b", 5, 0, NULL);
	check_many(WASM_GLOBAL, 999996, "\x7f\0\x41\0\x0b", 5, -E2BIG,
		   "globals");
	check_many(WASM_EXPORT, 1000001, "\0\0\0", 3, -E2BIG, "1000000");
}

static void compact_groups_count_as_imports(void)
{
	enum {
		COUNT = 1000001
	};
	struct wasm m = { 0 }, section = { 0 };
	struct fl_error error = { 0 };
	struct fl__reader r;

	/* one group, one type (i32), all names empty: a byte for each */
	wasm_bytes(&section, 2, 1, 'm', 0, 0x7e, 3, 0x7f, 0);
	wasm_u(&section, COUNT / 2);
	for (uint32_t i = 0; i < COUNT / 2; i++)
		wasm_bytes(&section, 0);
	wasm_bytes(&section, 1, 'm', 0, 0x7e, 3, 0x7f, 0);
	wasm_u(&section, COUNT - COUNT / 2);
	for (uint32_t i = 0; i < COUNT - COUNT / 2; i++)
		wasm_bytes(&section, 0);
	wasm_header(&m);
	wasm_section(&m, WASM_IMPORT, &section);
	CHECK_EQ(fl__reader_read(&r, m.bytes, m.length, &error), -E2BIG);
	CHECK_HAS(error.text, "imports");
	wasm_free(&m);
}

/* -------------------------------------------------------- cuts, mutations */

/* Every kind of section, and every form of most items. */
/* clang-format off: an item a line */
static void rich_module(struct wasm *m)
{
	wasm_header(m);
	wasm_section_bytes(m, WASM_CUSTOM, 3, 'a', 0xc3, 0xa9, 1, 2, 3);
	world_section(m, WASM_TYPE);
	wasm_section_bytes(m, WASM_IMPORT, 4, 1, 'm', 2, 'f', '0', 0, 0, 1, 'm',
			   0, 0x7f, 2, 1, 'g', 3, 0x7f, 0, 1, 'h', 3, 0x7e, 0,
			   1, 'm', 0, 0x7e, 2, 1, 1, 0x80, 0x02, 2, 1, 'x', 2,
			   'y', 'z', 1, 'm', 1, 't', 1, 0x70, 1, 5, 9);
	wasm_section_bytes(m, WASM_FUNCTION, 2, 0, 0);
	wasm_section_bytes(m, WASM_TABLE, 3, 0x70, 0, 10, 0x6f, 5, 5, 6, 0x40,
			   0, 0x64, 0x70, 0, 1, 0xd2, 1, 0x0b);
	wasm_section_bytes(m, WASM_MEMORY, 4, 0, 1, 4, 1, 3, 1, 2, 9, 1, 2, 0);
	wasm_section_bytes(m, WASM_TAG, 1, 0, 0);
	wasm_section_bytes(m, WASM_GLOBAL, 5, 0x7f, 0, I32(5), 0x7f, 1, 0x23, 0,
			   0x41, 1, 0x6a, 0x0b, 0x6c, 0, 0x41, 1, 0xfb, 28,
			   0x0b, 0x64, 0, 0, 0x41, 1, 0x41, 2, 0xfb, 8, 0, 2,
			   0x0b, 0x7b, 0, 0xfd, 12, 0, 1, 2, 3, 4, 5, 6, 7, 8,
			   9, 10, 11, 12, 13, 14, 15, 0x0b);
	wasm_section_bytes(m, WASM_EXPORT, 4, 1, 'm', 2, 3, 1, 't', 1, 1, 3,
			   0xe2, 0x82, 0xac, 0, 1, 1, 'e', 4, 0);
	wasm_section_bytes(m, WASM_START, 1);
	wasm_section_bytes(m, WASM_ELEMENT, 5, 0, I32(0), 2, 0, 1, 5, 0x6f, 1,
			   0xd0, 0x6f, 0x0b, 6, 2, I64(0), 0x6f, 1, 0xd0, 0x6f,
			   0x0b, 3, 0, 1, 0, 2, 1, 0x23, 0, 0x0b, 0, 1, 2);
	wasm_section_bytes(m, WASM_DATA_COUNT, 4);
	wasm_section_bytes(m, WASM_CODE, 2, 2, 0, 0x0b, 4, 0, 0x41, 0, 0x0b);
	wasm_section_bytes(m, WASM_DATA, 4, 0, I32(5), 2, 0xaa, 0xbb, 1, 3, 1,
			   2, 3, 2, 3, 0x23, 1, 0x42, 1, 0x7c, 0x0b, 1, 9, 0,
			   0x23, 2, 0x0b, 0);
	wasm_section_bytes(m, WASM_CUSTOM, 4, 'n', 'a', 'm', 'e', 0, 0);
}
/* clang-format on */

static void a_module_cut_anywhere_is_no_module(void)
{
	struct wasm m = { 0 };

	rich_module(&m);
	check_cuts(m.bytes, m.length);
	wasm_free(&m);
}

static void a_large_module_cut_is_no_module(void)
{
	struct wasm m = { 0 }, section = { 0 };
	char name[16];

	wasm_header(&m);
	for (unsigned int i = 1; i <= 5; i++)
		world_section(&m, i);
	wasm_u(&section, 2000);
	for (unsigned int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "export%u", i);
		wasm_name(&section, name);
		wasm_bytes(&section, 2, 0);
	}
	wasm_section(&m, WASM_EXPORT, &section);
	wasm_u(&section, 300);
	for (unsigned int i = 0; i < 300; i++) {
		wasm_bytes(&section, 0);
		wasm_i32_const(&section, i);
		wasm_bytes(&section, 3, 0, 1, 0);
	}
	wasm_section(&m, WASM_ELEMENT, &section);
	wasm_section_bytes(&m, WASM_DATA_COUNT, 0x88, 0x27);
	wasm_u(&section, 5000);
	for (unsigned int i = 0; i < 5000; i++)
		wasm_data_active(&section, 16 * i, "0123456789abcdef", 16);
	wasm_section(&m, WASM_DATA, &section);
	check_cuts(m.bytes, m.length);
	wasm_free(&m);
}

/* No mutation may crash, read past the end, or leave a reader half made. */
static void mutated_modules_are_read_or_refused(void)
{
	struct test_random random;
	unsigned int accepted = 0;
	struct guard guard;
	struct wasm m = { 0 };
	uint8_t *copy;

	rich_module(&m);
	test_random_init(&random, 20);
	guard_open(&guard, m.length);
	copy = malloc(m.length);
	MUST(copy);
	for (unsigned int i = 0; i < 100000; i++) {
		uint64_t times = 1 + test_random_below(&random, 4);

		memcpy(copy, m.bytes, m.length);
		while (times--) {
			uint64_t off =
				8 + test_random_below(&random, m.length - 8);

			copy[off] = (uint8_t)test_random_next(&random);
		}
		accepted += !check_read(&guard, copy, m.length, NULL);
	}
	test_note("%u of 100000 mutations are modules", accepted);
	CHECK(accepted > 0);
	free(copy);
	guard_close(&guard);
	wasm_free(&m);
}

static void errors_may_go_unread(void)
{
	static const uint8_t bad[] = { 0, 'a', 's', 'm', 1, 0, 0, 0, 5, 9 };
	struct fl__reader r;

	CHECK_EQ(fl__reader_read(&r, bad, sizeof(bad), NULL), -ENOEXEC);
	fl__reader_fini(&r);
}

static const struct test_case cases[] = {
	TEST_CASE(eight_bytes_are_a_module_and_seven_are_not),
	TEST_CASE(other_magic_and_versions_are_refused),
	TEST_CASE(a_component_is_refused_by_name),
	TEST_CASE(more_than_a_gibibyte_is_refused_unread),
	TEST_CASE(sections_come_in_one_order_and_once),
	TEST_CASE(custom_sections_may_stand_anywhere),
	TEST_CASE(unknown_sections_are_refused),
	TEST_CASE(a_section_has_exactly_its_size),
	TEST_CASE(custom_names_are_utf8),
	TEST_CASE(integers_are_of_their_width),
	TEST_CASE(limits_are_wide_for_every_address_type),
	TEST_CASE(signed_constants_are_of_their_width),
	TEST_CASE(memory_flags_are_read),
	TEST_CASE(memory_limits_end_where_addresses_do),
	TEST_CASE(limits_are_kept_as_they_are),
	TEST_CASE(tables_are_read),
	TEST_CASE(types_of_other_proposals_are_named),
	TEST_CASE(tags_are_read),
	TEST_CASE(imports_are_read),
	TEST_CASE(imports_open_each_index_space),
	TEST_CASE(compact_imports_are_read),
	TEST_CASE(exports_are_read),
	TEST_CASE(the_first_export_names_a_memory),
	TEST_CASE(many_exports_are_compared),
	TEST_CASE(an_index_beyond_the_only_one),
	TEST_CASE(the_start_function_exists),
	TEST_CASE(each_function_has_a_body),
	TEST_CASE(bodies_fill_the_code_section),
	TEST_CASE(constants_have_the_type_asked_for),
	TEST_CASE(only_constant_instructions_are_taken),
	TEST_CASE(globals_see_earlier_immutable_globals),
	TEST_CASE(arithmetic_is_checked),
	TEST_CASE(objects_in_constants_are_stepped_over),
	TEST_CASE(references_fit_what_is_above_them),
	TEST_CASE(values_without_imports_are_known),
	TEST_CASE(values_with_imports_wait_for_them),
	TEST_CASE(values_that_are_no_integers_are_never_known),
	TEST_CASE(evaluation_is_bounded),
	TEST_CASE(long_chains_of_globals_are_cut),
	TEST_CASE(deep_expressions_are_valid_but_not_known),
	TEST_CASE(data_segments_are_read),
	TEST_CASE(data_views_say_what_to_rewrite),
	TEST_CASE(data_without_memory_is_refused_if_active),
	TEST_CASE(the_data_count_equals_the_data),
	TEST_CASE(element_segments_are_read),
	TEST_CASE(elements_are_counted_by_table),
	TEST_CASE(limits_are_those_of_the_header),
	TEST_CASE(compact_groups_count_as_imports),
	TEST_CASE(a_module_cut_anywhere_is_no_module),
	TEST_CASE(a_large_module_cut_is_no_module),
	TEST_CASE(mutated_modules_are_read_or_refused),
	TEST_CASE(errors_may_go_unread),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
