/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * table.c - tables of no pool: made in the caller's storage or in
 * malloc()'s, of every width and null, up to their maximum, and at the edges of
 * their bounds. A model goes along (tables.h).
 */
#define _GNU_SOURCE
#include "tables.h"

#define HUGE_INDEX UINT64_MAX

/* ------------------------------------------------------------------- making */

static void widths_and_patterns(void)
{
	for (size_t i = 0; i < TEST_ARRAY_SIZE(table_widths); i++) {
		for (enum pattern p = 0; p < NULL_PATTERNS; p++) {
			struct fl_table_config config;
			uint8_t got[MAX_WIDTH + 1];
			struct model_table m;
			struct fl_table *table;

			table_config(&config, table_widths[i], p, 9,
				     UINT64_MAX);
			table = table_create(&config);
			model_open(&m, table_widths[i], null_bytes(p), 9, 100);
			model_check(&m, table);
			CHECK_EQ(fl_table_set(table, 8, some_element(i)), 0);
			memcpy(model_at(&m, 8), some_element(i),
			       table_widths[i]);
			model_check(&m, table);
			memset(got, 0x5a, sizeof(got));
			CHECK_EQ(fl_table_get(table, 8, got), 0);
			CHECK(!memcmp(got, some_element(i), table_widths[i]));
			CHECK_EQ(got[table_widths[i]], 0x5a);
			CHECK_EQ(fl_table_get(table, 0, got), 0);
			CHECK(!memcmp(got, null_bytes(p), table_widths[i]));
			CHECK_EQ(got[table_widths[i]], 0x5a);
			model_close(&m);
			table_give(table);
		}
	}
}

static void other_widths_are_refused(void)
{
	static const uint32_t refused[] = { 1,	2,  3,	5,  7,	12,
					    20, 28, 33, 40, 64, UINT32_MAX };
	static uint64_t storage[64];

	for (size_t i = 0; i < TEST_ARRAY_SIZE(refused); i++) {
		struct fl_error error = { .text = "" };
		struct fl_table_config config;
		struct fl_table *table = NULL;

		table_config(&config, refused[i], NULL_ZEROES, 1, 1);
		CHECK_EQ(fl_table_create(&config, &table, &error), -EINVAL);
		CHECK_EQ(error.code, -EINVAL);
		CHECK(error.text[0]);
		config.storage = storage;
		config.storage_bytes = sizeof(storage);
		CHECK_EQ(fl_table_create(&config, &table, NULL), -EINVAL);
		CHECK(table == NULL);
	}
}

/* The null reference is copied: the caller's may change. */
static void null_is_copied(void)
{
	struct fl_table_config config;
	struct fl_table *table;
	uint8_t null[8], got[8];

	memset(null, 0xab, sizeof(null));
	table_config(&config, 8, NULL_ZEROES, 1, 3);
	config.null = null;
	table = table_create(&config);
	memset(null, 0, sizeof(null));
	CHECK_EQ(fl_table_grow(table, 2, NULL, NULL), 0);
	CHECK_EQ(fl_table_get(table, 2, got), 0);
	CHECK_EQ(got[0], 0xab);
	CHECK_EQ(got[7], 0xab);
	table_give(table);
}

/* What is around the caller's storage is the caller's, and what is in it stays
 * when the table ends. */
static void static_storage(void)
{
	static const uint64_t canary = 0x1122334455667788;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(table_widths); i++) {
		struct fl_table_config config;
		struct model_table m;
		struct fl_table *table;
		uint64_t storage[42], old = 99;

		for (int k = 0; k < 42; k++)
			storage[k] = canary;
		table_config(&config, table_widths[i], NULL_MIXED, 3,
			     UINT64_MAX);
		config.storage = storage + 1;
		config.storage_bytes = 40 * 8 - 2;
		table = table_create(&config);
		CHECK(table->base == storage + 1);
		model_open(&m, table_widths[i], null_bytes(NULL_MIXED), 3,
			   (40 * 8 - 2) / table_widths[i]);
		while (m.length < m.max) {
			CHECK_EQ(fl_table_grow(table, 1, some_element(m.length),
					       &old),
				 0);
			CHECK_EQ(old, m.length);
			model_table_grow(&m, 1, some_element(m.length));
			CHECK(table->base == storage + 1);
		}
		CHECK_EQ(fl_table_grow(table, 1, NULL, &old), -E2BIG);
		CHECK_EQ(fl_table_grow(table, UINT64_MAX, NULL, NULL), -E2BIG);
		CHECK_EQ(fl_table_grow(table, 0, NULL, &old), 0);
		CHECK_EQ(old, m.max);
		model_check(&m, table);
		table_give(table);
		CHECK(!memcmp(storage + 1, m.bytes, m.length * m.width));
		CHECK_EQ(storage[0], canary);
		CHECK_EQ(storage[41], canary);
		model_close(&m);
	}
}

static void storage_that_does_not_do(void)
{
	struct fl_error error = { .text = "" };
	struct fl_table_config config;
	struct fl_table *table = NULL;
	uint64_t storage[8];

	table_config(&config, 16, NULL_ZEROES, 5, UINT64_MAX);
	config.storage = storage;
	config.storage_bytes = sizeof(storage);
	CHECK_EQ(fl_table_create(&config, &table, &error), -E2BIG);
	CHECK_HAS(error.text, "storage_bytes");
	/* (2^60 + 1) * 16 is 16 in 64 bits. */
	config.initial_elements = (1ull << 60) + 1;
	CHECK_EQ(fl_table_create(&config, &table, &error), -E2BIG);
	config.initial_elements = UINT64_MAX;
	CHECK_EQ(fl_table_create(&config, &table, &error), -E2BIG);
	config.initial_elements = 1;
	config.storage = (uint8_t *)storage + 4;
	config.storage_bytes = 32;
	CHECK_EQ(fl_table_create(&config, &table, &error), -EINVAL);
	CHECK(table == NULL);
	/* No room is room for a table of nothing. */
	config.storage = storage;
	config.storage_bytes = 15;
	config.initial_elements = 0;
	table = table_create(&config);
	CHECK_EQ(table->length, 0);
	CHECK_EQ(fl_table_grow(table, 1, NULL, NULL), -E2BIG);
	CHECK_EQ(fl_table_get(table, 0, storage), OOB);
	table_give(table);
}

static void dynamic_storage_that_is_not_there(void)
{
	static const uint64_t sizes[] = { UINT64_MAX, UINT64_MAX / 2,
					  UINT64_MAX / 16 + 2, 1ull << 60,
					  1ull << 50 };
	struct fl_table_config config;
	struct fl_table *table = NULL;
	uint64_t old = 77;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		int err;

		table_config(&config, 16, NULL_ONES, sizes[i], UINT64_MAX);
		err = fl_table_create(&config, &table, NULL);
		CHECK(err == -ENOMEM || err == -E2BIG);
		CHECK(table == NULL);
		config.initial_elements = 2;
		table = table_create(&config);
		err = fl_table_grow(table, sizes[i], NULL, &old);
		CHECK(err == -ENOMEM || err == -E2BIG);
		CHECK_EQ(table->length, 2);
		CHECK_EQ(fl_table_set(table, 1, some_element(i)), 0);
		CHECK_EQ(fl_table_set(table, 2, some_element(i)), OOB);
		table_give(table);
		table = NULL;
	}
}

static void maximum_in_the_configuration(void)
{
	struct fl_table_config config;
	struct fl_table *table = NULL;
	uint64_t storage[10], old;

	for (int is_static = 0; is_static < 2; is_static++) {
		table_config(&config, 8, NULL_ONES, 3, 5);
		if (is_static) {
			config.storage = storage;
			config.storage_bytes = sizeof(storage);
		}
		table = table_create(&config);
		CHECK_EQ(fl_table_grow(table, 3, NULL, &old), -E2BIG);
		CHECK_EQ(table->length, 3);
		CHECK_EQ(fl_table_grow(table, 2, NULL, &old), 0);
		CHECK_EQ(old, 3);
		CHECK_EQ(fl_table_grow(table, 1, NULL, &old), -E2BIG);
		CHECK_EQ(table->length, 5);
		table_give(table);
		table = NULL;
		config.initial_elements = 6;
		CHECK(fl_table_create(&config, &table, NULL) < 0);
		CHECK(table == NULL);
	}
}

/* fl_table_create() knows no images. */
static void no_image_outside_of_a_pool(void)
{
	struct fl_table_config config;
	struct fl_table *table = NULL;
	struct conform conform;

	conform_open(&conform, NULL);
	table_config(&config, 8, NULL_ZEROES, 1, 1);
	config.image = conform_image_of(&conform, 8, 0, "element", 8);
	CHECK_EQ(fl_table_create(&config, &table, NULL), -EINVAL);
	CHECK(table == NULL);
	fl_image_release(config.image);
	conform_close(&conform);
}

/* ------------------------------------------------------------------- bounds */

struct two {
	struct fl_table *table;
	struct model_table m;
};

static void two_open(struct two *two, uint32_t width, uint64_t length)
{
	struct fl_table_config config;

	table_config(&config, width, NULL_MIXED, length, 4 * length);
	two->table = table_create(&config);
	model_open(&two->m, width, null_bytes(NULL_MIXED), length, 4 * length);
	for (uint64_t i = 0; i < length; i++) {
		fl_table_set(two->table, i, some_element(i));
		memcpy(model_at(&two->m, i), some_element(i), width);
	}
}

static void two_close(struct two *two)
{
	model_check(&two->m, two->table);
	table_give(two->table);
	model_close(&two->m);
}

static void get_and_set_at_the_edges(void)
{
	for (size_t w = 0; w < TEST_ARRAY_SIZE(table_widths); w++) {
		struct two two;

		two_open(&two, table_widths[w], 10);
		for (size_t i = 0; i < TEST_ARRAY_SIZE(table_edges); i++) {
			uint8_t got[MAX_WIDTH] = { 0x77 };
			bool traps = table_edges[i] >= 10;

			CHECK_EQ(fl_table_get(two.table, table_edges[i], got),
				 traps ? OOB : FL_TRAP_NONE);
			CHECK(!traps || got[0] == 0x77);
			CHECK_EQ(fl_table_set(two.table, table_edges[i],
					      some_element(i)),
				 traps ? OOB : FL_TRAP_NONE);
			model_table_fill(&two.m, table_edges[i],
					 some_element(i), 1);
			model_check(&two.m, two.table);
		}
		two_close(&two);
	}
}

static void fill_at_the_edges(void)
{
	struct two two;

	for (size_t w = 0; w < TEST_ARRAY_SIZE(table_widths); w++) {
		two_open(&two, table_widths[w], 10);
		for (size_t i = 0; i < TEST_ARRAY_SIZE(table_edges); i++) {
			for (size_t n = 0; n < TEST_ARRAY_SIZE(table_edges);
			     n++) {
				const uint8_t *e = some_element(i * n);

				if (n % 5 == 4)
					e = NULL;
				CHECK_EQ(
					fl_table_fill(two.table, table_edges[i],
						      e, table_edges[n]),
					model_table_fill(&two.m, table_edges[i],
							 e, table_edges[n]) ?
						OOB :
						FL_TRAP_NONE);
			}
			model_check(&two.m, two.table);
		}
		two_close(&two);
	}
}

/* Both ends of a copy, and of an init from elements of the runtime's. */
static void copy_at_the_edges(void)
{
	const size_t count = TEST_ARRAY_SIZE(table_edges);
	struct two to, from;

	two_open(&to, 8, 10);
	two_open(&from, 8, 11);
	for (size_t i = 0; i < count * count * count; i++) {
		uint64_t d = table_edges[i % count],
			 s = table_edges[i / count % count];
		uint64_t n = table_edges[i / count / count];
		enum fl_trap trap;

		trap = model_table_copy(&to.m, d, &from.m, s, n) ? OOB : 0;
		CHECK_EQ(fl_table_copy(to.table, d, from.table, s, n), trap);
		CHECK_EQ(fl_table_init_elements(to.table, d, from.m.bytes, 11,
						s, n),
			 trap);
		if (!trap || i % 97 == 0)
			model_check(&to.m, to.table);
		trap = model_table_copy(&to.m, d, &to.m, s, n) ? OOB : 0;
		CHECK_EQ(fl_table_copy(to.table, d, to.table, s, n), trap);
	}
	two_close(&to);
	two_close(&from);
}

static void copies_that_overlap(void)
{
	struct two two;

	for (size_t w = 0; w < TEST_ARRAY_SIZE(table_widths); w++) {
		two_open(&two, table_widths[w], 20);
		for (uint64_t d = 0; d <= 20; d++) {
			for (uint64_t s = 0; s <= 20; s++) {
				CHECK_EQ(fl_table_copy(two.table, d, two.table,
						       s, 7),
					 model_table_copy(&two.m, d, &two.m, s,
							  7) ?
						 OOB :
						 FL_TRAP_NONE);
				fl_table_set(two.table, (d + s) % 20,
					     some_element(d * s));
				memcpy(model_at(&two.m, (d + s) % 20),
				       some_element(d * s), table_widths[w]);
			}
			model_check(&two.m, two.table);
		}
		two_close(&two);
	}
}

/* A dropped segment is one of no elements. */
static void init_from_nothing(void)
{
	struct two two;

	two_open(&two, 16, 10);
	CHECK_EQ(fl_table_init_elements(two.table, 0, NULL, 0, 0, 0), 0);
	CHECK_EQ(fl_table_init_elements(two.table, 10, NULL, 0, 0, 0), 0);
	CHECK_EQ(fl_table_init_elements(two.table, 11, NULL, 0, 0, 0), OOB);
	CHECK_EQ(fl_table_init_elements(two.table, 0, NULL, 0, 1, 0), OOB);
	CHECK_EQ(fl_table_init_elements(two.table, 0, NULL, 0, 0, 1), OOB);
	CHECK_EQ(fl_table_init_elements(two.table, 0, NULL, 0, HUGE_INDEX, 1),
		 OOB);
	two_close(&two);
}

/* An empty table has an edge too. */
static void table_of_nothing(void)
{
	struct fl_table_config config;
	struct fl_table *table;
	uint64_t got = 5, old = 6;

	table_config(&config, 8, NULL_ONES, 0, UINT64_MAX);
	table = table_create(&config);
	CHECK_EQ(table->length, 0);
	CHECK_EQ(fl_table_get(table, 0, &got), OOB);
	CHECK_EQ(fl_table_set(table, 0, &got), OOB);
	CHECK_EQ(fl_table_fill(table, 0, &got, 0), 0);
	CHECK_EQ(fl_table_fill(table, 0, &got, 1), OOB);
	CHECK_EQ(fl_table_fill(table, 1, &got, 0), OOB);
	CHECK_EQ(fl_table_copy(table, 0, table, 0, 0), 0);
	CHECK_EQ(fl_table_copy(table, 0, table, 1, 0), OOB);
	CHECK_EQ(fl_table_grow(table, 0, NULL, &old), 0);
	CHECK_EQ(old, 0);
	CHECK_EQ(fl_table_grow(table, 1, NULL, &old), 0);
	CHECK_EQ(old, 0);
	CHECK_EQ(fl_table_get(table, 0, &got), 0);
	CHECK_EQ(got, UINT64_MAX);
	table_give(table);
}

/* An element of the table itself, which malloc() may move. */
static void growth_by_an_element_of_the_table(void)
{
	for (size_t w = 0; w < TEST_ARRAY_SIZE(table_widths); w++) {
		uint32_t width = table_widths[w];
		struct fl_table_config config;
		struct fl_table *table;

		table_config(&config, width, NULL_ONES, 1, UINT64_MAX);
		table = table_create(&config);
		fl_table_set(table, 0, some_element(w));
		for (uint64_t delta = 1; delta < 100000; delta *= 7) {
			uint8_t *last = table->base;

			last += (table->length - 1) * width;
			CHECK_EQ(fl_table_grow(table, delta, last, NULL), 0);
		}
		for (uint64_t i = 0; i < table->length; i++) {
			uint8_t *at = (uint8_t *)table->base + i * width;

			if (!CHECK(!memcmp(at, some_element(w), width)))
				break;
		}
		table_give(table);
	}
}

static const struct test_case cases[] = {
	TEST_CASE(widths_and_patterns),
	TEST_CASE(other_widths_are_refused),
	TEST_CASE(null_is_copied),
	TEST_CASE(static_storage),
	TEST_CASE(storage_that_does_not_do),
	TEST_CASE_NEEDS(dynamic_storage_that_is_not_there,
			conform_malloc_fails),
	TEST_CASE(maximum_in_the_configuration),
	TEST_CASE(no_image_outside_of_a_pool),
	TEST_CASE(get_and_set_at_the_edges),
	TEST_CASE(fill_at_the_edges),
	TEST_CASE(copy_at_the_edges),
	TEST_CASE(copies_that_overlap),
	TEST_CASE(init_from_nothing),
	TEST_CASE(table_of_nothing),
	TEST_CASE(growth_by_an_element_of_the_table),
};

CONFORM_MAIN(cases)
