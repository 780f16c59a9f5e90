/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * conform_table.c - tables outside of instances: made in the caller's storage
 * or in malloc()'s, and taken from a pool; their bounds, their references, and
 * what the next tenant of a slot sees.
 *
 * A model of bytes, written from the specification, goes along with every
 * table. References that are counted are played by handles: each clone is a new
 * one, each drop ends one, and one that is lost, doubled, or ended
 * twice shows.
 */
#define _GNU_SOURCE
#include "conform.h"

#include <pthread.h>
#include <stdlib.h>

#define OOB FL_TRAP_TABLE_OUT_OF_BOUNDS
#define MAX_WIDTH 32
#define HUGE_INDEX UINT64_MAX

static const uint32_t widths[] = { 4, 8, 16, 24, 32 };

/* ------------------------------------------------------------ null patterns */

enum pattern {
	NULL_ZEROES,
	NULL_ONES,
	NULL_MIXED,
	NULL_PATTERNS
};

/* The null reference; NULL for the pattern that is the default. */
static const uint8_t *null_bytes(enum pattern pattern)
{
	static uint8_t bytes[NULL_PATTERNS][MAX_WIDTH];

	memset(bytes[NULL_ONES], 0xff, MAX_WIDTH);
	/* Zeroes first, so that a null is not known by one byte. */
	for (size_t i = 0; i < MAX_WIDTH; i++)
		bytes[NULL_MIXED][i] = i % 4 == 3 ? 0xc0 + i : 0;
	return bytes[pattern];
}

/* -------------------------------------------------------------------- model */

struct model_table {
	uint8_t *bytes;
	uint64_t length;
	uint64_t max;
	uint32_t width;
	uint8_t null[MAX_WIDTH];
};

static void model_open(struct model_table *m, uint32_t width,
		       const uint8_t *null, uint64_t length, uint64_t max)
{
	m->bytes = malloc(max * width + 1);
	MUST(m->bytes != NULL);
	m->length = length;
	m->max = max;
	m->width = width;
	memcpy(m->null, null, width);
	for (uint64_t i = 0; i < length; i++)
		memcpy(m->bytes + i * width, null, width);
}

static void model_close(struct model_table *m)
{
	free(m->bytes);
	m->bytes = NULL;
}

static uint8_t *model_at(const struct model_table *m, uint64_t idx)
{
	return m->bytes + idx * m->width;
}

/* Does [idx, idx + count) pass length? Without wrapping. */
static bool is_beyond(uint64_t length, uint64_t idx, uint64_t count)
{
	return count > length || idx > length - count;
}

static bool model_table_fill(struct model_table *m, uint64_t idx,
			     const void *element, uint64_t count)
{
	if (is_beyond(m->length, idx, count))
		return true;
	for (uint64_t i = 0; i < count; i++)
		memcpy(model_at(m, idx + i), element ? element : m->null,
		       m->width);
	return false;
}

static bool model_table_copy(struct model_table *dst, uint64_t dst_idx,
			     const struct model_table *src, uint64_t src_idx,
			     uint64_t count)
{
	if (is_beyond(dst->length, dst_idx, count) ||
	    is_beyond(src->length, src_idx, count))
		return true;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t k = dst_idx <= src_idx ? i : count - 1 - i;

		memcpy(model_at(dst, dst_idx + k), model_at(src, src_idx + k),
		       dst->width);
	}
	return false;
}

static bool model_table_grow(struct model_table *m, uint64_t delta,
			     const void *element)
{
	uint64_t old = m->length;

	if (is_beyond(m->max, old, delta))
		return false;
	m->length += delta;
	model_table_fill(m, old, element, delta);
	return true;
}

static void model_check(const struct model_table *m,
			const struct fl_table *table)
{
	MUST_EQ(table->length, m->length);
	CHECK_EQ(fl_table_size(table), m->length);
	for (uint64_t i = 0; i < m->length; i++) {
		const uint8_t *at = table->base;

		if (memcmp(at + i * m->width, model_at(m, i), m->width)) {
			test_note("element %llu of %llu differs",
				  (unsigned long long)i,
				  (unsigned long long)m->length);
			CHECK(!"the table is as the model");
			break;
		}
	}
}

/* An element that is like no other of its seed, and no null. */
static const uint8_t *some_element(uint64_t seed)
{
	static uint8_t element[MAX_WIDTH];

	for (size_t i = 0; i < MAX_WIDTH; i++)
		element[i] = (uint8_t)(1 + (seed * 37 + i * 11) % 253);
	memcpy(element, &(uint32_t){ (uint32_t)seed * 2 + 1 }, 4);
	return element;
}

/* ------------------------------------------------------------------- making */

static void table_config(struct fl_table_config *config, uint32_t width,
			 enum pattern pattern, uint64_t initial, uint64_t max)
{
	fl_table_config_init(config);
	config->element_bytes = width;
	config->null = pattern ? null_bytes(pattern) : NULL;
	config->initial_elements = initial;
	config->max_elements = max;
}

static struct fl_table *create(const struct fl_table_config *config)
{
	struct fl_error error = { .text = "" };
	struct fl_table *table = NULL;

	CONFORM_MUST(fl_table_create(config, &table, &error), &error);
	return table;
}

static void give(struct fl_table *table)
{
	CHECK_EQ(fl_table_release(table), 0);
}

static void widths_and_patterns(void)
{
	for (size_t i = 0; i < TEST_ARRAY_SIZE(widths); i++) {
		for (enum pattern p = 0; p < NULL_PATTERNS; p++) {
			struct fl_table_config config;
			uint8_t got[MAX_WIDTH + 1];
			struct model_table m;
			struct fl_table *table;

			table_config(&config, widths[i], p, 9, UINT64_MAX);
			table = create(&config);
			model_open(&m, widths[i], null_bytes(p), 9, 100);
			model_check(&m, table);
			CHECK_EQ(fl_table_set(table, 8, some_element(i)), 0);
			memcpy(model_at(&m, 8), some_element(i), widths[i]);
			model_check(&m, table);
			memset(got, 0x5a, sizeof(got));
			CHECK_EQ(fl_table_get(table, 8, got), 0);
			CHECK(!memcmp(got, some_element(i), widths[i]));
			CHECK_EQ(got[widths[i]], 0x5a);
			CHECK_EQ(fl_table_get(table, 0, got), 0);
			CHECK(!memcmp(got, null_bytes(p), widths[i]));
			CHECK_EQ(got[widths[i]], 0x5a);
			model_close(&m);
			give(table);
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
	table = create(&config);
	memset(null, 0, sizeof(null));
	CHECK_EQ(fl_table_grow(table, 2, NULL, NULL), 0);
	CHECK_EQ(fl_table_get(table, 2, got), 0);
	CHECK_EQ(got[0], 0xab);
	CHECK_EQ(got[7], 0xab);
	give(table);
}

/* What is around the caller's storage is the caller's, and what is in it stays
 * when the table ends. */
static void static_storage(void)
{
	static const uint64_t canary = 0x1122334455667788;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(widths); i++) {
		struct fl_table_config config;
		struct model_table m;
		struct fl_table *table;
		uint64_t storage[42], old = 99;

		for (int k = 0; k < 42; k++)
			storage[k] = canary;
		table_config(&config, widths[i], NULL_MIXED, 3, UINT64_MAX);
		config.storage = storage + 1;
		config.storage_bytes = 40 * 8 - 2;
		table = create(&config);
		CHECK(table->base == storage + 1);
		model_open(&m, widths[i], null_bytes(NULL_MIXED), 3,
			   (40 * 8 - 2) / widths[i]);
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
		give(table);
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
	table = create(&config);
	CHECK_EQ(table->length, 0);
	CHECK_EQ(fl_table_grow(table, 1, NULL, NULL), -E2BIG);
	CHECK_EQ(fl_table_get(table, 0, storage), OOB);
	give(table);
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
		table = create(&config);
		err = fl_table_grow(table, sizes[i], NULL, &old);
		CHECK(err == -ENOMEM || err == -E2BIG);
		CHECK_EQ(table->length, 2);
		CHECK_EQ(fl_table_set(table, 1, some_element(i)), 0);
		CHECK_EQ(fl_table_set(table, 2, some_element(i)), OOB);
		give(table);
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
		table = create(&config);
		CHECK_EQ(fl_table_grow(table, 3, NULL, &old), -E2BIG);
		CHECK_EQ(table->length, 3);
		CHECK_EQ(fl_table_grow(table, 2, NULL, &old), 0);
		CHECK_EQ(old, 3);
		CHECK_EQ(fl_table_grow(table, 1, NULL, &old), -E2BIG);
		CHECK_EQ(table->length, 5);
		give(table);
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
	two->table = create(&config);
	model_open(&two->m, width, null_bytes(NULL_MIXED), length, 4 * length);
	for (uint64_t i = 0; i < length; i++) {
		fl_table_set(two->table, i, some_element(i));
		memcpy(model_at(&two->m, i), some_element(i), width);
	}
}

static void two_close(struct two *two)
{
	model_check(&two->m, two->table);
	give(two->table);
	model_close(&two->m);
}

/* Indices and counts about the edge of 10 elements, and those that wrap, in 64
 * bits and when they are multiplied by a width. */
static const uint64_t edges[] = { 0,
				  1,
				  9,
				  10,
				  11,
				  UINT32_MAX,
				  1ull << 32,
				  (1ull << 32) + 1,
				  1ull << 59,
				  1ull << 60,
				  (1ull << 60) + 1,
				  1ull << 61,
				  (1ull << 61) + 9,
				  UINT64_MAX / 24 + 1,
				  UINT64_MAX / 2 + 1,
				  UINT64_MAX - 10,
				  UINT64_MAX - 9,
				  UINT64_MAX - 1,
				  UINT64_MAX };

static void get_and_set_at_the_edges(void)
{
	for (size_t w = 0; w < TEST_ARRAY_SIZE(widths); w++) {
		struct two two;

		two_open(&two, widths[w], 10);
		for (size_t i = 0; i < TEST_ARRAY_SIZE(edges); i++) {
			uint8_t got[MAX_WIDTH] = { 0x77 };
			bool traps = edges[i] >= 10;

			CHECK_EQ(fl_table_get(two.table, edges[i], got),
				 traps ? OOB : FL_TRAP_NONE);
			CHECK(!traps || got[0] == 0x77);
			CHECK_EQ(fl_table_set(two.table, edges[i],
					      some_element(i)),
				 traps ? OOB : FL_TRAP_NONE);
			model_table_fill(&two.m, edges[i], some_element(i), 1);
			model_check(&two.m, two.table);
		}
		two_close(&two);
	}
}

static void fill_at_the_edges(void)
{
	struct two two;

	for (size_t w = 0; w < TEST_ARRAY_SIZE(widths); w++) {
		two_open(&two, widths[w], 10);
		for (size_t i = 0; i < TEST_ARRAY_SIZE(edges); i++) {
			for (size_t n = 0; n < TEST_ARRAY_SIZE(edges); n++) {
				const uint8_t *e = some_element(i * n);

				if (n % 5 == 4)
					e = NULL;
				CHECK_EQ(fl_table_fill(two.table, edges[i], e,
						       edges[n]),
					 model_table_fill(&two.m, edges[i], e,
							  edges[n]) ?
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
	const size_t count = TEST_ARRAY_SIZE(edges);
	struct two to, from;

	two_open(&to, 8, 10);
	two_open(&from, 8, 11);
	for (size_t i = 0; i < count * count * count; i++) {
		uint64_t d = edges[i % count], s = edges[i / count % count];
		uint64_t n = edges[i / count / count];
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

	for (size_t w = 0; w < TEST_ARRAY_SIZE(widths); w++) {
		two_open(&two, widths[w], 20);
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
				       some_element(d * s), widths[w]);
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
	table = create(&config);
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
	give(table);
}

/* --------------------------------------------------------- counted references */

#define HANDLES 200000u

/* A reference is a handle and what it stands for. */
struct ref {
	uint32_t handle;
	uint32_t id;
};

static const struct ref no_ref = { UINT32_MAX, UINT32_MAX };

struct refs {
	uint32_t ids[HANDLES]; /* of live handles, plus one; 0: not live */
	uint32_t next;
	uint32_t live;
	bool went_wrong;
};

static struct ref ref_make(struct refs *refs, uint32_t id)
{
	struct ref ref = { refs->next++ % HANDLES, id };

	while (refs->ids[ref.handle])
		ref.handle = refs->next++ % HANDLES;
	refs->ids[ref.handle] = id + 1;
	refs->live++;
	return ref;
}

static bool ref_is_live(const struct refs *refs, struct ref ref)
{
	return ref.handle < HANDLES && refs->ids[ref.handle] == ref.id + 1;
}

static void ref_clone(void *user, void *dst, const void *src)
{
	struct refs *refs = user;
	struct ref from;

	memcpy(&from, src, sizeof(from));
	if (!ref_is_live(refs, from)) {
		refs->went_wrong = true;
		return;
	}
	from = ref_make(refs, from.id);
	memcpy(dst, &from, sizeof(from));
}

/* Spoils what it is given: nothing may be read from it afterwards. */
static void ref_drop(void *user, void *element)
{
	struct refs *refs = user;
	struct ref ref;

	memcpy(&ref, element, sizeof(ref));
	if (!ref_is_live(refs, ref)) {
		refs->went_wrong = true;
		return;
	}
	refs->ids[ref.handle] = 0;
	refs->live--;
	memset(element, 0xdd, sizeof(ref));
}

static bool ref_is_null(struct ref ref)
{
	return !memcmp(&ref, &no_ref, sizeof(ref));
}

static struct ref ref_at(const struct fl_table *table, uint64_t idx)
{
	struct ref ref;

	memcpy(&ref, (uint8_t *)table->base + idx * sizeof(ref), sizeof(ref));
	return ref;
}

static void ref_config(struct fl_table_config *config, struct refs *refs,
		       uint64_t initial, uint64_t max)
{
	fl_table_config_init(config);
	config->element_bytes = sizeof(struct ref);
	config->null = &no_ref;
	config->initial_elements = initial;
	config->max_elements = max;
	config->clone = ref_clone;
	config->drop = ref_drop;
	config->user = refs;
}

static struct refs *refs_open(void)
{
	struct refs *refs = calloc(1, sizeof(*refs));

	MUST(refs != NULL);
	return refs;
}

static void refs_close(struct refs *refs)
{
	CHECK_EQ(refs->live, 0);
	CHECK(!refs->went_wrong);
	free(refs);
}

/* Each reference of the table is alive, is the table's alone, and stands for
 * what the model says (UINT32_MAX: null); answers how many there are. */
static uint32_t refs_check(struct refs *refs, const struct fl_table *table,
			   const uint32_t *ids)
{
	uint32_t count = 0;
	bool right = true;

	for (uint64_t i = 0; i < table->length; i++) {
		struct ref ref = ref_at(table, i);

		right = right && ref.id == ids[i];
		if (ref_is_null(ref))
			continue;
		right = right && ref_is_live(refs, ref);
		/* Taken out while the others are looked at. */
		if (right)
			refs->ids[ref.handle] = 0;
		count++;
	}
	for (uint64_t i = 0; right && i < table->length; i++) {
		struct ref ref = ref_at(table, i);

		if (!ref_is_null(ref))
			refs->ids[ref.handle] = ref.id + 1;
	}
	CHECK(right);
	CHECK(!refs->went_wrong);
	return count;
}

static void references_are_cloned_and_dropped(void)
{
	struct refs *refs = refs_open();
	struct fl_table_config config;
	struct fl_table *table;
	struct ref mine = ref_make(refs, 5), got = { 1, 1 };

	ref_config(&config, refs, 4, 6);
	table = create(&config);
	CHECK_EQ(refs->live, 1);
	CHECK_EQ(fl_table_get(table, 0, &got), 0);
	CHECK(ref_is_null(got));
	CHECK_EQ(fl_table_set(table, 0, &mine), 0);
	CHECK_EQ(refs->live, 2);
	CHECK(ref_at(table, 0).handle != mine.handle);
	CHECK_EQ(fl_table_get(table, 0, &got), 0);
	CHECK_EQ(refs->live, 3);
	ref_drop(refs, &got);
	CHECK_EQ(fl_table_set(table, 4, &mine), OOB);
	CHECK_EQ(fl_table_get(table, 4, &got), OOB);
	CHECK_EQ(fl_table_fill(table, 3, &mine, 2), OOB);
	CHECK_EQ(fl_table_copy(table, 3, table, 0, 2), OOB);
	CHECK_EQ(fl_table_init_elements(table, 3, &mine, 1, 0, 2), OOB);
	CHECK_EQ(fl_table_grow(table, 3, &mine, NULL), -E2BIG);
	CHECK_EQ(refs->live, 2);
	CHECK_EQ(fl_table_grow(table, 2, &mine, NULL), 0);
	CHECK_EQ(refs->live, 4);
	CHECK_EQ(fl_table_fill(table, 0, NULL, 5), 0);
	CHECK_EQ(refs->live, 2);
	CHECK_EQ(fl_table_set(table, 5, &no_ref), 0);
	CHECK_EQ(refs->live, 1);
	CHECK_EQ(fl_table_set(table, 2, &mine), 0);
	give(table);
	CHECK_EQ(refs->live, 1);
	ref_drop(refs, &mine);
	refs_close(refs);
}

/* The only reference to something, given from the table to itself. */
static void elements_that_lie_in_the_table(void)
{
	struct refs *refs = refs_open();
	struct fl_table_config config;
	uint32_t ids[1100];
	struct fl_table *table;
	struct ref mine = ref_make(refs, 3);

	ref_config(&config, refs, 4, UINT64_MAX);
	table = create(&config);
	fl_table_set(table, 1, &mine);
	ref_drop(refs, &mine);
	memset(ids, 0xff, sizeof(ids));
	ids[1] = 3;
	CHECK_EQ(fl_table_set(table, 1, (struct ref *)table->base + 1), 0);
	CHECK_EQ(refs_check(refs, table, ids), 1);
	CHECK_EQ(fl_table_copy(table, 0, table, 0, 4), 0);
	CHECK_EQ(refs_check(refs, table, ids), 1);
	CHECK_EQ(fl_table_fill(table, 0, (struct ref *)table->base + 1, 4), 0);
	for (int i = 0; i < 1100; i++)
		ids[i] = 3;
	CHECK_EQ(refs_check(refs, table, ids), 4);
	/* malloc() must move it for some of these. */
	while (table->length < 1000)
		CHECK_EQ(fl_table_grow(table, 83, (struct ref *)table->base + 1,
				       NULL),
			 0);
	CHECK_EQ(refs_check(refs, table, ids), (uint32_t)table->length);
	CHECK_EQ(refs->live, table->length);
	give(table);
	refs_close(refs);
}

/* The same for plain elements, which move as well. */
static void growth_by_an_element_of_the_table(void)
{
	for (size_t w = 0; w < TEST_ARRAY_SIZE(widths); w++) {
		uint32_t width = widths[w];
		struct fl_table_config config;
		struct fl_table *table;

		table_config(&config, width, NULL_ONES, 1, UINT64_MAX);
		table = create(&config);
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
		give(table);
	}
}

#define REF_ELEMENTS 60

struct ref_play {
	struct refs *refs;
	struct fl_table *tables[2];
	uint32_t ids[2][REF_ELEMENTS];
	struct test_random random;
};

static void ids_fill(uint32_t *ids, uint64_t idx, uint32_t id, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++)
		ids[idx + i] = id;
}

/* Set, fill or grow one of the tables by one element. */
static void ref_play_one(struct ref_play *play, uint32_t t)
{
	struct test_random *random = &play->random;
	struct fl_table *table = play->tables[t];
	uint64_t idx = test_random_below(random, table->length + 1);
	uint64_t count = test_random_below(random, 8);
	bool fits = !is_beyond(table->length, idx, count);
	struct ref mine = no_ref;

	if (test_random_below(random, 3))
		mine = ref_make(play->refs, test_random_below(random, 9));
	switch (test_random_below(random, 3)) {
	case 0:
		fits = idx < table->length;
		CHECK_EQ(fl_table_set(table, idx, &mine), fits ? 0 : OOB);
		count = 1;
		break;
	case 1:
		CHECK_EQ(fl_table_fill(table, idx, &mine, count),
			 fits ? 0 : OOB);
		break;
	default:
		idx = table->length;
		fits = !is_beyond(REF_ELEMENTS, idx, count);
		CHECK_EQ(fl_table_grow(table, count, &mine, NULL),
			 fits ? 0 : -E2BIG);
	}
	if (fits)
		ids_fill(play->ids[t], idx, mine.id, count);
	if (!ref_is_null(mine))
		ref_drop(play->refs, &mine);
}

static void ref_play_copy(struct ref_play *play)
{
	struct test_random *random = &play->random;
	uint32_t t = test_random_below(random, 2);
	uint32_t f = test_random_below(random, 2), ids[REF_ELEMENTS];
	struct fl_table *to = play->tables[t], *from = play->tables[f];
	uint64_t d = test_random_below(random, to->length + 1);
	uint64_t s = test_random_below(random, from->length + 1);
	uint64_t count = test_random_below(random, 30);
	bool fits = !is_beyond(to->length, d, count) &&
		    !is_beyond(from->length, s, count);

	memcpy(ids, play->ids[f], sizeof(ids));
	if (f != t && test_random_below(random, 2))
		CHECK_EQ(fl_table_init_elements(to, d, from->base, from->length,
						s, count),
			 fits ? 0 : OOB);
	else
		CHECK_EQ(fl_table_copy(to, d, from, s, count), fits ? 0 : OOB);
	for (uint64_t i = 0; fits && i < count; i++)
		play->ids[t][d + i] = ids[s + i];
}

static void ref_play_start(struct ref_play *play, struct conform *conform,
			   uint32_t t, uint64_t round)
{
	static uint64_t storage[2][REF_ELEMENTS];
	struct fl_error error = { .text = "" };
	struct fl_table_config config;

	ref_config(&config, play->refs, 5, REF_ELEMENTS);
	if (round % 3 == 0) {
		CONFORM_MUST(fl_table_acquire(conform->pool, &config,
					      &play->tables[t], &error),
			     &error);
	} else {
		config.storage = round % 3 == 1 ? storage[t] : NULL;
		config.storage_bytes = sizeof(storage[t]);
		if (!config.storage)
			config.storage_bytes = 0;
		play->tables[t] = create(&config);
	}
	memset(play->ids[t], 0xff, sizeof(play->ids[t]));
}

/* A reference may well be all zeroes, where null is not. */
static void reference_of_zeroes(void)
{
	struct refs *refs = refs_open();
	struct fl_table_config config;
	uint32_t ids[8] = { 0 };
	struct fl_table *table;
	struct ref mine = ref_make(refs, 0);

	CHECK_EQ(mine.handle, 0);
	ref_config(&config, refs, 0, UINT64_MAX);
	table = create(&config);
	CHECK_EQ(fl_table_grow(table, 8, &mine, NULL), 0);
	CHECK_EQ(refs->live, 9);
	CHECK_EQ(refs_check(refs, table, ids), 8);
	CHECK_EQ(fl_table_fill(table, 1, &mine, 4), 0);
	CHECK_EQ(refs_check(refs, table, ids), 8);
	CHECK_EQ(refs->live, 9);
	give(table);
	ref_drop(refs, &mine);
	refs_close(refs);
}

static void references_at_random(void)
{
	struct fl_pool_config config;
	struct ref_play play = { .refs = refs_open() };
	struct conform conform;

	conform_pool_config(&config);
	config.max_tables = 2;
	config.max_table_elements = REF_ELEMENTS;
	conform_open(&conform, &config);
	test_random_init(&play.random, 20);
	for (uint64_t round = 0; round < 60; round++) {
		ref_play_start(&play, &conform, 0, round);
		ref_play_start(&play, &conform, 1, round / 3);
		for (int i = 0; i < 120 && !test_has_failed(); i++) {
			uint32_t count;

			if (test_random_below(&play.random, 2))
				ref_play_copy(&play);
			else
				ref_play_one(&play, i % 2);
			count = refs_check(play.refs, play.tables[0],
					   play.ids[0]);
			count += refs_check(play.refs, play.tables[1],
					    play.ids[1]);
			CHECK_EQ(play.refs->live, count);
		}
		give(play.tables[round % 2]);
		give(play.tables[1 - round % 2]);
		CHECK_EQ(play.refs->live, 0);
	}
	conform_close(&conform);
	refs_close(play.refs);
}

/* --------------------------------------------------------------------- pool */

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

static struct fl_table *take(struct conform *conform,
			     const struct fl_table_config *config)
{
	struct fl_error error = { .text = "" };
	struct fl_table *table = NULL;

	CONFORM_MUST(fl_table_acquire(conform->pool, config, &table, &error),
		     &error);
	return table;
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

/* Which patterns, widths and images take turns in one slot. */
static void reuse(uint64_t initial, enum pattern first, enum pattern step,
		  bool with_image, bool trims)
{
	struct fl_image *image = NULL;
	uint8_t *content = malloc(initial * MAX_WIDTH + 1);
	struct conform conform;

	open_tables(&conform, 1);
	memset(content, 0x3c, initial * MAX_WIDTH);
	if (with_image)
		image = conform_image_of(&conform, initial * MAX_WIDTH, 0,
					 content, initial * MAX_WIDTH);
	for (int i = 0; i < 24; i++) {
		enum pattern p = (first + i / 2 * step) % NULL_PATTERNS;
		uint32_t width = widths[i % 5];
		struct fl_table_config config;
		struct fl_table *table;

		table_config(&config, width, p, initial, UINT64_MAX);
		if (image && i % 3 == 1) {
			config.element_bytes = width = MAX_WIDTH;
			config.image = image;
		}
		table = take(&conform, &config);
		MUST_EQ(table->length, initial);
		CHECK(all_are(table, config.image ? content : null_bytes(p),
			      width));
		if (i % 2)
			memset(table->base, i, initial * (size_t)width);
		if (i % 4 == 3)
			use_up(table, width, i);
		else if (i % 4 == 2)
			CHECK_EQ(fl_table_grow(table, 1, NULL, NULL), 0);
		if (i % 4 == 2)
			CHECK(!memcmp((uint8_t *)table->base + initial * width,
				      null_bytes(p), width));
		give(table);
		if (trims && i % 3)
			CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL),
				 0);
		if (trims && image && i % 3 == 0)
			CHECK_EQ(fl_pool_purge_image(conform.pool, image, NULL),
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
	for (size_t w = 0; w < TEST_ARRAY_SIZE(widths); w++) {
		struct fl_table_config config;
		struct fl_table *table;
		uint64_t old = 0;
		void *base;

		table_config(&config, widths[w], NULL_ONES, 7, UINT64_MAX);
		table = take(&conform, &config);
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
		CHECK(all_are(table, null_bytes(NULL_ONES), widths[w]));
		CHECK_EQ(fl_table_grow(table, 1, NULL, &old), -E2BIG);
		give(table);
		config.max_elements = 9;
		table = take(&conform, &config);
		CHECK_EQ(fl_table_grow(table, 3, NULL, &old), -E2BIG);
		CHECK_EQ(fl_table_grow(table, 2, NULL, &old), 0);
		give(table);
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
	table = take(&conform, &config);
	CHECK(all_are(table, &null, 8));
	CHECK_EQ(fl_table_set(table, 9, &other), 0);
	CHECK(!memcmp((uint8_t *)table->base + 72, &other, 8));
	give(table);
	/* Not as wide: zeroes. */
	config.element_bytes = 4;
	table = take(&conform, &config);
	CHECK(all_are(table, &other, 4));
	CHECK_EQ(fl_table_grow(table, 20, NULL, NULL), 0);
	CHECK(all_are(table, &other, 4));
	give(table);
	config.element_bytes = 8;
	config.null = &other;
	table = take(&conform, &config);
	CHECK(all_are(table, &other, 8));
	give(table);
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
	for (size_t i = 0; i < TEST_ARRAY_SIZE(edges); i++) {
		config.initial_elements = edges[i];
		if (edges[i] > POOL_ELEMENTS)
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
	for (size_t i = 0; i < TEST_ARRAY_SIZE(edges); i++) {
		int err;

		if (edges[i] <= UINT32_MAX)
			continue;
		pool_config(&config);
		config.max_table_elements = edges[i];
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
		tables[i] = take(&conform, &config);
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
	give(tables[0]);
	info = conform_info(&conform);
	CHECK_EQ(info.live_tables, 1);
	CHECK_EQ(info.warm_tables, 1);
	CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL), 0);
	CHECK_EQ(conform_info(&conform).warm_tables, 0);
	CHECK(!memcmp(tables[1]->base, "\1\1\1\1\1\1\1\1", 8));
	give(tables[1]);
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
	giver.table = take(&conform, &config);
	memset(giver.table->base, 7, 8000);
	MUST_EQ(pthread_create(&thread, NULL, give_later, &giver), 0);
	config.timeout_ns = UINT64_MAX;
	struct fl_table *table = take(&conform, &config);

	CHECK(all_are(table, null_bytes(NULL_ONES), 8));
	pthread_join(thread, NULL);
	give(table);
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
	made = create(&config);
	for (int i = 0; i < 2; i++)
		tables[i] = take(&conform, &config);
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
	give(tables[0]);
	CHECK(!fl_table_find(conform.pool, base));
	give(tables[1]);
	give(made);
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
			tables[i] = take(&conform, &config);
			CHECK_EQ(tables[i]->length, 0);
			CHECK_EQ(fl_table_grow(tables[i], 0, NULL, &old), 0);
			CHECK_EQ(old, 0);
			CHECK_EQ(fl_table_grow(tables[i], 1, NULL, NULL),
				 -E2BIG);
		}
		CHECK(!fl_table_find(conform.pool, &config));
		CHECK(!fl_table_find(conform.pool, NULL));
		for (int i = 0; i < 2; i++)
			give(tables[i]);
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
	table = take(&conform, &config);
	give(table);
	CHECK_EQ(fl_table_release(table), -EINVAL);
	CHECK_EQ(conform_info(&conform).live_tables, 0);
	table = take(&conform, &config);
	CHECK_EQ(conform_info(&conform).live_tables, 1);
	give(table);
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
	table = take(&conform, &config);
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
	give(table);
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
	struct test_end end;

	open_tables(&conform, 2);
	table_config(&config, 8, NULL_ZEROES, 5, UINT64_MAX);
	c.table = take(&conform, &config);
	c.made = create(&config);
	end = test_fork(child_calls, &c, 10);
	CHECK_EQ(end.status, 0);
	CHECK_EQ(end.signo, 0);
	CHECK_EQ(fl_table_grow(c.table, 1, NULL, NULL), 0);
	CHECK_EQ(c.made->length, 5);
	give(c.table);
	give(c.made);
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
			tables[i] = take(&conform, &config);
			CHECK(!memcmp((uint8_t *)tables[i]->base + 8 * i,
				      i ? "one" : "two", 3));
			memset((uint8_t *)tables[i]->base, 5, 800);
			CHECK_EQ(fl_table_grow(tables[i], 100, NULL, NULL), 0);
			CHECK(!memcmp((uint8_t *)tables[i]->base + 800,
				      null_bytes(NULL_ONES), 8));
		}
		CHECK_EQ(fl_pool_purge_image(conform.pool, images[0], &purged),
			 0);
		CHECK_EQ(purged, 0);
		for (int i = 0; i < 2; i++)
			give(tables[i]);
		CHECK_EQ(conform_info(&conform).warm_tables, 2);
		CHECK_EQ(fl_pool_purge_image(conform.pool, images[round % 2],
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
		table = take(&conform, &config);
		CHECK(!memcmp(table->base, &zero, 8));
		CHECK(!memcmp((uint8_t *)table->base + 8, "12345678", 8));
		CHECK(!memcmp((uint8_t *)table->base + 16, &zero, 8));
		CHECK_EQ(fl_table_grow(table, i * 50, NULL, NULL), 0);
		for (uint64_t k = 3; k < table->length; k++)
			CHECK(!memcmp((uint8_t *)table->base + 8 * k,
				      null_bytes(NULL_ONES), 8));
		give(table);
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
			tables[i] = take(&conform, &config);
			CHECK_EQ(tables[i]->length, size);
			CHECK(all_are(tables[i], null_bytes(NULL_ONES), 8));
		}
		test_resources(&now);
		if (allocation == FL_ALLOCATION_POOLING)
			CHECK(now.fds - before.fds <= allowed);
		for (int i = 0; i < 60; i++) {
			CHECK(all_are(tables[i], null_bytes(NULL_ONES), 8));
			memset(tables[i]->base, i, tables[i]->length * 8);
			give(tables[i]);
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
			give(play->tables[k]);
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
	uint32_t width = widths[test_random_below(random, 5)];
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
	play->tables[t] = take(&play->conform, &config);
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
	give(play->tables[t]);
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
		fl_pool_purge_image(play->conform.pool, play->images[t], NULL);
		break;
	}
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
		CHECK_EQ(fl_table_copy(table, idx, table, s, count),
			 model_table_copy(m, idx, m, s, count) ? OOB : 0);
		break;
	case 4:
		if (!play->is_live[1 - t] || m->width != f->width)
			break;
		CHECK_EQ(fl_table_copy(table, idx, play->tables[1 - t], s,
				       count),
			 model_table_copy(m, idx, f, s, count) ? OOB : 0);
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

static const char *malloc_that_fails(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer's malloc() ends the program" :
				     NULL;
}

static const struct test_case cases[] = {
	TEST_CASE(widths_and_patterns),
	TEST_CASE(other_widths_are_refused),
	TEST_CASE(null_is_copied),
	TEST_CASE(static_storage),
	TEST_CASE(storage_that_does_not_do),
	TEST_CASE_NEEDS(dynamic_storage_that_is_not_there, malloc_that_fails),
	TEST_CASE(maximum_in_the_configuration),
	TEST_CASE(no_image_outside_of_a_pool),
	TEST_CASE(get_and_set_at_the_edges),
	TEST_CASE(fill_at_the_edges),
	TEST_CASE(copy_at_the_edges),
	TEST_CASE(copies_that_overlap),
	TEST_CASE(init_from_nothing),
	TEST_CASE(table_of_nothing),
	TEST_CASE(references_are_cloned_and_dropped),
	TEST_CASE(elements_that_lie_in_the_table),
	TEST_CASE(growth_by_an_element_of_the_table),
	TEST_CASE(reference_of_zeroes),
	TEST_CASE(references_at_random),
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
