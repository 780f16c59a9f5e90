/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * table_pool.c - tables taken alone from a pool: what the next tenant of a
 * slot sees, whatever width, null or image the one before had; limits, counts and
 * waiting; purge; and long random runs beside a model (tables.h).
 */
#define _GNU_SOURCE
#include "tables.h"

#include "tests/kit/child.h"
#include "tests/kit/clock.h"
#include "tests/kit/random.h"
#include "tests/kit/resources.h"

#include <pthread.h>

#define POOL_ELEMENTS 3000

static void pool_config(struct fl_pool_config *config)
{
	conform_pool_config(config);
	config->max_memories = 0;
	config->max_tables = 2;
	config->max_table_elements = POOL_ELEMENTS;
}

static void open_tables(struct conform *conform, uint32_t max_tables)
{
	struct fl_pool_config config;

	pool_config(&config);
	config.max_tables = max_tables;
	conform_open(conform, &config);
}

static bool all_are(const struct fl_table *table, const void *element,
		    uint32_t width)
{
	const uint8_t *at = table->base;

	for (uint64_t i = 0; i < table->length; i++) {
		if (memcmp(at + i * width, element, width))
			return false;
	}
	return true;
}

/* Grow to the end, and write to every byte of it. */
static void use_up(struct fl_table *table, uint32_t width, uint64_t seed)
{
	void *base = table->base;
	uint8_t *at = base;

	CHECK_EQ(fl_table_grow(table, POOL_ELEMENTS - table->length,
			       some_element(seed), NULL),
		 0);
	CHECK(table->base == base);
	memset(at, (int)(seed % 250) + 1, POOL_ELEMENTS * (size_t)width);
}

/* A tenant finds what its configuration says, expected over and over, and leaves
 * something else: how much of the slot is written depends on i. */
static void one_tenant(struct conform *conform,
		       const struct fl_table_config *config,
		       const void *expected, const void *null, int i)
{
	uint64_t initial = config->initial_elements;
	uint32_t width = config->element_bytes;
	struct fl_table *table = table_take(conform, config);

	MUST_EQ(table->length, initial);
	CHECK(all_are(table, expected, width));
	if (i % 2)
		memset(table->base, i, initial * (size_t)width);
	if (i % 4 == 3) {
		use_up(table, width, i);
	} else if (i % 4 == 2) {
		CHECK_EQ(fl_table_grow(table, 1, NULL, NULL), 0);
		CHECK(!memcmp((uint8_t *)table->base + initial * width, null,
			      width));
	}
	table_give(table);
}

/* Which patterns, widths and images take turns in one slot. */
static void reuse(uint64_t initial, enum pattern first, enum pattern step,
		  bool with_image, bool trims)
{
	struct fl_image *image = NULL;
	uint8_t *content = malloc(initial * MAX_WIDTH + 1);
	struct fl_table_config config;
	struct conform conform;

	open_tables(&conform, 1);
	memset(content, 0x3c, initial * MAX_WIDTH);
	if (with_image)
		image = conform_image_of(&conform, initial * MAX_WIDTH, 0,
					 content, initial * MAX_WIDTH);
	for (int i = 0; i < 24; i++) {
		enum pattern p = (first + i / 2 * step) % NULL_PATTERNS;
		bool is_image = image && i % 3 == 1;

		table_config(&config,
			     is_image ? MAX_WIDTH : table_widths[i % 5], p,
			     initial, UINT64_MAX);
		config.image = is_image ? image : NULL;
		one_tenant(&conform, &config,
			   is_image ? content : null_bytes(p), null_bytes(p),
			   i);
		if (trims && i % 3)
			CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL),
				 0);
		if (trims && image && i % 3 == 0)
			CHECK_EQ(fl_pool_purge(conform.pool, NULL, image, NULL),
				 0);
	}
	fl_image_release(image);
	free(content);
	conform_close(&conform);
}

static void nulls_after_reuse(void)
{
	static const uint64_t sizes[] = { 0, 1, 100, 127, 128, 2047, 2999 };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		for (enum pattern p = 0; p < NULL_PATTERNS; p++)
			reuse(sizes[i], p, 0, false, false);
		reuse(sizes[i], NULL_ZEROES, 1, false, false);
	}
}

static void nulls_after_reuse_with_trims(void)
{
	for (enum pattern p = 0; p < NULL_PATTERNS; p++)
		reuse(1000, p, 0, false, true);
	reuse(1000, NULL_ONES, 1, false, true);
}

static void image_and_no_image_take_turns(void)
{
	static const uint64_t sizes[] = { 1, 100, 128, 2047, 2999 };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		for (enum pattern p = 0; p < NULL_PATTERNS; p++) {
			reuse(sizes[i], p, 0, true, false);
			reuse(sizes[i], p, 1, true, true);
		}
	}
}

/* Growth ends with max_table_elements, whatever the width, in place. */
static void growth_to_the_maximum(void)
{
	struct conform conform;

	open_tables(&conform, 2);
	for (size_t w = 0; w < TEST_ARRAY_SIZE(table_widths); w++) {
		struct fl_table_config config;
		struct fl_table *table;
		uint64_t old = 0;
		void *base;

		table_config(&config, table_widths[w], NULL_ONES, 7,
			     UINT64_MAX);
		table = table_take(&conform, &config);
		base = table->base;
		CHECK_EQ(fl_table_grow(table, POOL_ELEMENTS - 6, NULL, &old),
			 -E2BIG);
		CHECK_EQ(fl_table_grow(table, UINT64_MAX, NULL, &old), -E2BIG);
		CHECK_EQ(fl_table_grow(table, UINT64_MAX - 6, NULL, &old),
			 -E2BIG);
		CHECK_EQ(table->length, 7);
		CHECK_EQ(fl_table_grow(table, POOL_ELEMENTS - 7, NULL, &old),
			 0);
		CHECK_EQ(old, 7);
		CHECK(table->base == base);
		CHECK(all_are(table, null_bytes(NULL_ONES), table_widths[w]));
		CHECK_EQ(fl_table_grow(table, 1, NULL, &old), -E2BIG);
		table_give(table);
		config.max_elements = 9;
		table = table_take(&conform, &config);
		CHECK_EQ(fl_table_grow(table, 3, NULL, &old), -E2BIG);
		CHECK_EQ(fl_table_grow(table, 2, NULL, &old), 0);
		table_give(table);
	}
	conform_close(&conform);
}

/* The pool's width and null, where the configuration names none. */
static void pool_gives_the_defaults(void)
{
	struct fl_pool_config pool;
	struct fl_table_config config;
	struct fl_table *table;
	struct conform conform;
	uint64_t null = 0x0102030405060708, other = 0;

	pool_config(&pool);
	pool.table_element_bytes = 8;
	pool.table_null = &null;
	conform_open(&conform, &pool);
	null = 0x0102030405060708;
	fl_table_config_init(&config);
	config.initial_elements = 10;
	table = table_take(&conform, &config);
	CHECK(all_are(table, &null, 8));
	CHECK_EQ(fl_table_set(table, 9, &other), 0);
	CHECK(!memcmp((uint8_t *)table->base + 72, &other, 8));
	table_give(table);
	/* Not as wide: zeroes. */
	config.element_bytes = 4;
	table = table_take(&conform, &config);
	CHECK(all_are(table, &other, 4));
	CHECK_EQ(fl_table_grow(table, 20, NULL, NULL), 0);
	CHECK(all_are(table, &other, 4));
	table_give(table);
	config.element_bytes = 8;
	config.null = &other;
	table = table_take(&conform, &config);
	CHECK(all_are(table, &other, 8));
	table_give(table);
	conform_close(&conform);
}

static void limits_are_named(void)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config pool;
	struct fl_table_config config;
	struct fl_table *table = NULL;
	struct conform conform;

	pool_config(&pool);
	pool.table_element_bytes = 8;
	conform_open(&conform, &pool);
	table_config(&config, 8, NULL_ZEROES, POOL_ELEMENTS + 1, UINT64_MAX);
	CHECK_EQ(fl_table_acquire(conform.pool, &config, &table, &error),
		 -E2BIG);
	CHECK_HAS(error.text, "max_table_elements");
	for (size_t i = 0; i < TEST_ARRAY_SIZE(table_edges); i++) {
		config.initial_elements = table_edges[i];
		if (table_edges[i] > POOL_ELEMENTS)
			CHECK_EQ(fl_table_acquire(conform.pool, &config, &table,
						  &error),
				 -E2BIG);
	}
	table_config(&config, 16, NULL_ZEROES, 1, UINT64_MAX);
	CHECK_EQ(fl_table_acquire(conform.pool, &config, &table, &error),
		 -E2BIG);
	CHECK_HAS(error.text, "table_element_bytes");
	config.element_bytes = 5;
	CHECK_EQ(fl_table_acquire(conform.pool, &config, &table, &error),
		 -EINVAL);
	CHECK(table == NULL);
	CHECK_EQ(conform_info(&conform).live_tables, 0);
	conform_close(&conform);
	pool.max_tables = 0;
	conform_open(&conform, &pool);
	table_config(&config, 8, NULL_ZEROES, 1, UINT64_MAX);
	CHECK_EQ(fl_table_acquire(conform.pool, &config, &table, &error),
		 -E2BIG);
	CHECK_HAS(error.text, "max_tables");
	CHECK(table == NULL);
	conform_close(&conform);
}

static void configurations_of_pools(void)
{
	static const uint64_t wrong[] = { 0, 1, 3, 5, 33, 64, UINT64_MAX };
	struct fl_context *context = conform_context();
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool *pool = NULL;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(wrong); i++) {
		pool_config(&config);
		config.table_element_bytes = wrong[i];
		CHECK_EQ(fl_pool_create(context, &config, &pool, &error),
			 -EINVAL);
		CHECK_HAS(error.text, "table_element_bytes");
	}
	/* Sizes that wrap when they are multiplied. */
	for (size_t i = 0; i < TEST_ARRAY_SIZE(table_edges); i++) {
		int err;

		if (table_edges[i] <= UINT32_MAX)
			continue;
		pool_config(&config);
		config.max_table_elements = table_edges[i];
		config.max_tables = 1000000;
		err = fl_pool_create(context, &config, &pool, &error);
		CHECK(err == -EINVAL || err == -ENOMEM);
		CHECK(pool == NULL);
		if (!err)
			fl_pool_destroy(pool);
	}
	fl_context_destroy(context);
}

static void counts_of_tables(void)
{
	struct fl_table *tables[2], *none = NULL;
	struct fl_table_config config;
	struct fl_pool_info info;
	struct conform conform;

	open_tables(&conform, 2);
	table_config(&config, 8, NULL_ONES, 300, UINT64_MAX);
	for (int i = 0; i < 2; i++) {
		tables[i] = table_take(&conform, &config);
		memset(tables[i]->base, i, 300 * 8);
	}
	CHECK_EQ(fl_table_acquire(conform.pool, &config, &none, NULL), -EAGAIN);
	config.timeout_ns = 20 * 1000 * 1000;
	CHECK_EQ(fl_table_acquire(conform.pool, &config, &none, NULL),
		 -ETIMEDOUT);
	CHECK(none == NULL);
	info = conform_info(&conform);
	CHECK_EQ(info.max_tables, 2);
	CHECK_EQ(info.live_tables, 2);
	CHECK_EQ(info.warm_tables, 0);
	CHECK_EQ(info.acquired_tables, 2);
	CHECK_EQ(info.refused_tables, 2);
	CHECK_EQ(fl_pool_destroy(conform.pool), -EBUSY);
	table_give(tables[0]);
	info = conform_info(&conform);
	CHECK_EQ(info.live_tables, 1);
	CHECK_EQ(info.warm_tables, 1);
	CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL), 0);
	CHECK_EQ(conform_info(&conform).warm_tables, 0);
	CHECK(!memcmp(tables[1]->base, "\1\1\1\1\1\1\1\1", 8));
	table_give(tables[1]);
	CHECK_EQ(conform_info(&conform).live_tables, 0);
	CHECK_EQ(conform_info(&conform).retired_tables, 0);
	conform_close(&conform);
}

struct giver {
	struct fl_table *table;
};

static void *give_later(void *arg)
{
	struct giver *giver = arg;

	test_sleep_ms(50);
	CHECK_EQ(fl_table_release(giver->table), 0);
	return NULL;
}

static void waiting_for_a_table(void)
{
	struct fl_table_config config;
	struct giver giver;
	struct conform conform;
	pthread_t thread;

	open_tables(&conform, 1);
	table_config(&config, 8, NULL_ONES, 1000, UINT64_MAX);
	giver.table = table_take(&conform, &config);
	memset(giver.table->base, 7, 8000);
	MUST_EQ(pthread_create(&thread, NULL, give_later, &giver), 0);
	config.timeout_ns = UINT64_MAX;
	struct fl_table *table = table_take(&conform, &config);

	CHECK(all_are(table, null_bytes(NULL_ONES), 8));
	pthread_join(thread, NULL);
	table_give(table);
	conform_close(&conform);
}

static void finding_a_table(void)
{
	struct conform conform, other;
	struct fl_table_config config;
	struct fl_table *tables[2], *made;
	void *base;

	open_tables(&conform, 2);
	open_tables(&other, 2);
	table_config(&config, 32, NULL_ZEROES, 10, UINT64_MAX);
	made = table_create(&config);
	for (int i = 0; i < 2; i++)
		tables[i] = table_take(&conform, &config);
	for (int i = 0; i < 2; i++) {
		base = tables[i]->base;
		CHECK(fl_table_find(conform.pool, base) == tables[i]);
		CHECK(!fl_table_find(conform.pool, (uint8_t *)base + 1));
		CHECK(!fl_table_find(conform.pool, (uint8_t *)base + 32));
		CHECK(!fl_table_find(other.pool, base));
		CHECK(!fl_memory_find(conform.pool, base));
	}
	CHECK(!fl_table_find(conform.pool, NULL));
	CHECK(!fl_table_find(conform.pool, made->base));
	CHECK(!fl_table_find(conform.pool, (void *)UINTPTR_MAX));
	base = tables[0]->base;
	table_give(tables[0]);
	CHECK(!fl_table_find(conform.pool, base));
	table_give(tables[1]);
	table_give(made);
	conform_close(&other);
	conform_close(&conform);
}

/* Tables that can hold nothing can still be taken. */
static void tables_without_room(void)
{
	struct fl_pool_config pool;
	struct fl_table_config config;
	struct fl_table *tables[2];
	struct conform conform;
	uint64_t old = 7;

	for (int with_memories = 0; with_memories < 2; with_memories++) {
		pool_config(&pool);
		pool.max_memories = with_memories ? 2 : 0;
		pool.max_table_elements = 0;
		conform_open(&conform, &pool);
		table_config(&config, 8, NULL_ONES, 0, UINT64_MAX);
		for (int i = 0; i < 2; i++) {
			tables[i] = table_take(&conform, &config);
			CHECK_EQ(tables[i]->length, 0);
			CHECK_EQ(fl_table_grow(tables[i], 0, NULL, &old), 0);
			CHECK_EQ(old, 0);
			CHECK_EQ(fl_table_grow(tables[i], 1, NULL, NULL),
				 -E2BIG);
		}
		CHECK(!fl_table_find(conform.pool, &config));
		CHECK(!fl_table_find(conform.pool, NULL));
		for (int i = 0; i < 2; i++)
			table_give(tables[i]);
		conform_close(&conform);
	}
}

static void releasing_twice(void)
{
	struct fl_table_config config;
	struct conform conform;
	struct fl_table *table;

	open_tables(&conform, 2);
	table_config(&config, 8, NULL_ZEROES, 10, UINT64_MAX);
	table = table_take(&conform, &config);
	table_give(table);
	CHECK_EQ(fl_table_release(table), -EINVAL);
	CHECK_EQ(conform_info(&conform).live_tables, 0);
	table = table_take(&conform, &config);
	CHECK_EQ(conform_info(&conform).live_tables, 1);
	table_give(table);
	conform_close(&conform);
}

/* What a fault at a table means. */
static void looking_up(void)
{
	struct fl_table_config config;
	struct conform conform;
	struct fl_table *table;
	struct fl_fault fault;
	uint8_t *base;

	open_tables(&conform, 1);
	table_config(&config, 8, NULL_ZEROES, 10, UINT64_MAX);
	table = table_take(&conform, &config);
	base = table->base;
	CHECK(fl_fault_lookup(conform.context, base + 79, &fault));
	CHECK_EQ(fault.kind, FL_FAULT_IN_BOUNDS);
	CHECK(fault.table == table);
	CHECK(!fault.memory);
	CHECK(!fault.is_trap);
	CHECK_EQ(fault.offset_bytes, 79);
	CHECK(fl_fault_lookup(conform.context, base + 80, &fault));
	CHECK_EQ(fault.kind, FL_FAULT_OUT_OF_BOUNDS);
	CHECK(fault.table == table);
	CHECK(fault.is_trap);
	CHECK_EQ(fault.trap, OOB);
	CHECK_EQ(fault.offset_bytes, 80);
	CHECK_EQ(fl_table_grow(table, 1, NULL, NULL), 0);
	CHECK(fl_fault_lookup(conform.context, base + 80, &fault));
	CHECK_EQ(fault.kind, FL_FAULT_IN_BOUNDS);
	table_give(table);
	CHECK(fl_fault_lookup(conform.context, base, &fault));
	CHECK_EQ(fault.kind, FL_FAULT_FREE_SLOT);
	CHECK(!fault.table);
	conform_close(&conform);
}

struct fork_case {
	struct conform *conform;
	struct fl_table *table;
	struct fl_table *made;
};

static int child_calls(void *arg)
{
	struct fork_case *c = arg;
	struct fl_table_config config;
	struct fl_table *table = NULL;

	table_config(&config, 8, NULL_ZEROES, 1, UINT64_MAX);
	CHECK_EQ(fl_table_acquire(c->conform->pool, &config, &table, NULL),
		 -ECHILD);
	CHECK(table == NULL);
	CHECK_EQ(fl_table_grow(c->table, 1, NULL, NULL), -ECHILD);
	CHECK_EQ(c->table->length, 5);
	CHECK_EQ(fl_table_release(c->table), -ECHILD);
	/* A table of no pool is the child's as much as the parent's. */
	CHECK_EQ(fl_table_grow(c->made, 1, NULL, NULL), 0);
	CHECK_EQ(fl_table_release(c->made), 0);
	return test_has_failed() ? TEST_CHILD_FAILED : 0;
}

static void child_gets_an_error(void)
{
	struct conform conform;
	struct fork_case c = { .conform = &conform };
	struct fl_table_config config;

	open_tables(&conform, 2);
	table_config(&config, 8, NULL_ZEROES, 5, UINT64_MAX);
	c.table = table_take(&conform, &config);
	c.made = table_create(&config);
	conform_check_child(child_calls, &c);
	CHECK_EQ(fl_table_grow(c.table, 1, NULL, NULL), 0);
	CHECK_EQ(c.made->length, 5);
	table_give(c.table);
	table_give(c.made);
	conform_close(&conform);
}

/* ------------------------------------------------------- purging and budgets */

static void purge_of_an_image(void)
{
	struct fl_image *images[2];
	struct conform conform;

	open_tables(&conform, 2);
	for (int i = 0; i < 2; i++)
		images[i] = conform_image_of(&conform, 800, 8 * i,
					     i ? "one" : "two", 3);
	for (int round = 0; round < 10; round++) {
		struct fl_table_config config;
		struct fl_table *tables[2];
		uint32_t purged = 9;

		table_config(&config, 8, NULL_ONES, 100, UINT64_MAX);
		for (int i = 0; i < 2; i++) {
			config.image = images[i];
			tables[i] = table_take(&conform, &config);
			CHECK(!memcmp((uint8_t *)tables[i]->base + 8 * i,
				      i ? "one" : "two", 3));
			memset((uint8_t *)tables[i]->base, 5, 800);
			CHECK_EQ(fl_table_grow(tables[i], 100, NULL, NULL), 0);
			CHECK(!memcmp((uint8_t *)tables[i]->base + 800,
				      null_bytes(NULL_ONES), 8));
		}
		CHECK_EQ(fl_pool_purge(conform.pool, NULL, images[0], &purged),
			 0);
		CHECK_EQ(purged, 0);
		for (int i = 0; i < 2; i++)
			table_give(tables[i]);
		CHECK_EQ(conform_info(&conform).warm_tables, 2);
		CHECK_EQ(fl_pool_purge(conform.pool, NULL, images[round % 2],
				       &purged),
			 0);
		CHECK_EQ(purged, 1);
		CHECK_EQ(conform_info(&conform).warm_tables, 1);
	}
	for (int i = 0; i < 2; i++)
		fl_image_release(images[i]);
	conform_close(&conform);
}

/* An image's bytes are the initial elements, nulls included: zeroes where it
 * has no data. What is grown is nulls of the table's. */
static void images_give_all_initial_elements(void)
{
	struct fl_table_config config;
	struct conform conform;
	struct fl_image *image;
	struct fl_table *table;
	uint64_t zero = 0;

	open_tables(&conform, 1);
	image = conform_image_of(&conform, 24, 8, "12345678", 8);
	for (int i = 0; i < 10; i++) {
		table_config(&config, 8, NULL_ONES, 3, UINT64_MAX);
		config.image = image;
		table = table_take(&conform, &config);
		CHECK(!memcmp(table->base, &zero, 8));
		CHECK(!memcmp((uint8_t *)table->base + 8, "12345678", 8));
		CHECK(!memcmp((uint8_t *)table->base + 16, &zero, 8));
		CHECK_EQ(fl_table_grow(table, i * 50, NULL, NULL), 0);
		for (uint64_t k = 3; k < table->length; k++)
			CHECK(!memcmp((uint8_t *)table->base + 8 * k,
				      null_bytes(NULL_ONES), 8));
		table_give(table);
	}
	fl_image_release(image);
	conform_close(&conform);
}

/* Modules choose the sizes of their tables: that costs a pool no descriptor for
 * each, and on demand nothing that outlives the table. */
static void tables_of_many_sizes(enum fl_allocation allocation, uint64_t unit,
				 unsigned int allowed)
{
	struct test_resources before, now;
	struct fl_table *tables[60];
	struct fl_pool_config pool;
	struct conform conform;

	pool_config(&pool);
	pool.max_tables = 60;
	pool.allocation = allocation;
	conform_open(&conform, &pool);
	test_resources(&before);
	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < 60; i++) {
			uint64_t size = unit + i * 49 + (uint64_t)round;
			struct fl_table_config config;

			table_config(&config, 8, NULL_ONES, size, UINT64_MAX);
			tables[i] = table_take(&conform, &config);
			CHECK_EQ(tables[i]->length, size);
			CHECK(all_are(tables[i], null_bytes(NULL_ONES), 8));
		}
		test_resources(&now);
		if (allocation == FL_ALLOCATION_POOLING)
			CHECK(now.fds - before.fds <= allowed);
		for (int i = 0; i < 60; i++) {
			CHECK(all_are(tables[i], null_bytes(NULL_ONES), 8));
			memset(tables[i]->base, i, tables[i]->length * 8);
			table_give(tables[i]);
		}
		test_resources(&now);
		CHECK(now.fds - before.fds <= allowed);
	}
	conform_close(&conform);
}

static void tables_of_many_sizes_keep_little(void)
{
	tables_of_many_sizes(FL_ALLOCATION_POOLING, 1, 16);
	tables_of_many_sizes(FL_ALLOCATION_ON_DEMAND, 1, 16);
	tables_of_many_sizes(FL_ALLOCATION_ON_DEMAND, POOL_ELEMENTS, 1);
}

/* ------------------------------------------------------------------- random */

struct play {
	struct conform conform;
	struct test_random random;
	struct fl_image *images[2];
	struct model_table contents[2];
	struct fl_table *tables[2];
	struct model_table models[2];
	bool is_live[2];
};

#define PLAY_ELEMENTS 1500

static void play_open(struct play *play, const struct fl_pool_config *config)
{
	conform_open(&play->conform, config);
	for (uint64_t k = 0; k < 2; k++) {
		uint64_t elements = k ? PLAY_ELEMENTS : 200;
		struct model_table *m = &play->contents[k];

		model_open(m, 32, null_bytes(NULL_ZEROES), elements, elements);
		for (uint64_t i = 0; i < elements; i += 1 + i / 7)
			memcpy(model_at(m, i), some_element(i + k), 32);
		play->images[k] = conform_image_of(&play->conform,
						   elements * 32, 0, m->bytes,
						   elements * 32);
	}
}

static void play_close(struct play *play)
{
	for (int k = 0; k < 2; k++) {
		if (play->is_live[k]) {
			table_give(play->tables[k]);
			model_close(&play->models[k]);
		}
		model_close(&play->contents[k]);
		fl_image_release(play->images[k]);
	}
	conform_close(&play->conform);
}

static void play_take(struct play *play, int t)
{
	struct test_random *random = &play->random;
	enum pattern p = test_random_below(random, NULL_PATTERNS);
	uint32_t width = table_widths[test_random_below(random, 5)];
	uint64_t initial = test_random_below(random, PLAY_ELEMENTS);
	uint32_t k = test_random_below(random, 5);
	struct fl_table_config config;

	table_config(&config, width, p, initial, UINT64_MAX);
	config.null = null_bytes(p);
	if (k < 2) {
		/* As many bytes in elements of any width. */
		config.initial_elements = play->contents[k].length * 32 / width;
		if (play->contents[k].length * 32 % width ||
		    config.initial_elements > POOL_ELEMENTS)
			return;
		config.image = play->images[k];
	}
	play->tables[t] = table_take(&play->conform, &config);
	play->is_live[t] = true;
	model_open(&play->models[t], width, null_bytes(p),
		   config.initial_elements, POOL_ELEMENTS);
	if (config.image)
		memcpy(play->models[t].bytes, play->contents[k].bytes,
		       config.initial_elements * width);
	model_check(&play->models[t], play->tables[t]);
}

static void play_give(struct play *play, int t)
{
	model_check(&play->models[t], play->tables[t]);
	table_give(play->tables[t]);
	model_close(&play->models[t]);
	play->is_live[t] = false;
	switch (test_random_below(&play->random, 6)) {
	case 0:
		fl_pool_trim(play->conform.pool, UINT64_MAX, NULL);
		break;
	case 1:
		fl_pool_trim(play->conform.pool, 4096, NULL);
		break;
	case 2:
		fl_pool_purge(play->conform.pool, NULL, play->images[t], NULL);
		break;
	}
}

static void play_copy(struct play *play, int to, uint64_t idx, int from,
		      uint64_t s, uint64_t count)
{
	CHECK_EQ(fl_table_copy(play->tables[to], idx, play->tables[from], s,
			       count),
		 model_table_copy(&play->models[to], idx, &play->models[from],
				  s, count) ?
			 OOB :
			 0);
}

static void play_on(struct play *play, int t)
{
	struct test_random *random = &play->random;
	struct model_table *m = &play->models[t], *f = &play->models[1 - t];
	struct fl_table *table = play->tables[t];
	uint64_t idx = test_random_below(random, m->length + 2);
	uint64_t s = test_random_below(random, m->length + 2);
	uint64_t count = test_random_below(random, 400);
	const uint8_t *e = some_element(test_random_next(random));

	switch (test_random_below(random, 6)) {
	case 0:
		CHECK_EQ(fl_table_set(table, idx, e),
			 model_table_fill(m, idx, e, 1) ? OOB : 0);
		break;
	case 1:
		e = count % 3 ? e : NULL;
		CHECK_EQ(fl_table_fill(table, idx, e, count),
			 model_table_fill(m, idx, e, count) ? OOB : 0);
		break;
	case 2:
		e = count % 2 ? e : NULL;
		CHECK_EQ(fl_table_grow(table, count, e, NULL),
			 model_table_grow(m, count, e) ? 0 : -E2BIG);
		break;
	case 3:
		play_copy(play, t, idx, t, s, count);
		break;
	case 4:
		if (play->is_live[1 - t] && m->width == f->width)
			play_copy(play, t, idx, 1 - t, s, count);
		break;
	default: /* As compiled code writes. */
		if (idx < m->length) {
			memcpy((uint8_t *)table->base + idx * m->width, e,
			       m->width);
			memcpy(model_at(m, idx), e, m->width);
		}
	}
}

static void play_random(const struct fl_pool_config *config, uint64_t seed)
{
	struct play play = { .is_live = { false } };

	test_random_init(&play.random, seed);
	play_open(&play, config);
	for (int i = 0; i < 12000 && !test_has_failed(); i++) {
		int t = test_random_below(&play.random, 2);

		if (!play.is_live[t])
			play_take(&play, t);
		else if (test_random_below(&play.random, 12))
			play_on(&play, t);
		else
			play_give(&play, t);
	}
	play_close(&play);
}

static void random_operations(void)
{
	struct fl_pool_config config;

	pool_config(&config);
	play_random(&config, 1);
	config.table_null = null_bytes(NULL_ONES);
	config.strategy = FL_STRATEGY_NEXT_AVAILABLE;
	play_random(&config, 2);
	config.strategy = FL_STRATEGY_RANDOM;
	config.max_tables = 5;
	config.max_warm_memories = 1;
	play_random(&config, 3);
}

static void random_operations_within_budgets(void)
{
	struct fl_pool_config config;

	pool_config(&config);
	config.max_idle_slot_bytes = 0;
	play_random(&config, 4);
	config.max_idle_slot_bytes = 3 * conform_hpage();
	play_random(&config, 5);
	config.max_idle_slot_bytes = UINT64_MAX;
	config.max_idle_bytes = 0;
	play_random(&config, 6);
}

/* Every release is compared with what it should leave. */
static void random_operations_audited(void)
{
	struct fl_pool_config config;

	pool_config(&config);
	config.audit_every = 1;
	config.table_null = null_bytes(NULL_MIXED);
	play_random(&config, 7);
}

static void random_operations_on_demand(void)
{
	struct fl_pool_config config;

	pool_config(&config);
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	play_random(&config, 8);
}

static const struct test_case cases[] = {
	TEST_CASE(nulls_after_reuse),
	TEST_CASE(nulls_after_reuse_with_trims),
	TEST_CASE(image_and_no_image_take_turns),
	TEST_CASE(growth_to_the_maximum),
	TEST_CASE(pool_gives_the_defaults),
	TEST_CASE(limits_are_named),
	TEST_CASE(configurations_of_pools),
	TEST_CASE(counts_of_tables),
	TEST_CASE(waiting_for_a_table),
	TEST_CASE(finding_a_table),
	TEST_CASE(tables_without_room),
	TEST_CASE(releasing_twice),
	TEST_CASE(looking_up),
	TEST_CASE(child_gets_an_error),
	TEST_CASE(purge_of_an_image),
	TEST_CASE(images_give_all_initial_elements),
	TEST_CASE(tables_of_many_sizes_keep_little),
	TEST_CASE(random_operations),
	TEST_CASE(random_operations_within_budgets),
	TEST_CASE(random_operations_audited),
	TEST_CASE(random_operations_on_demand),
};

CONFORM_MAIN(cases)
