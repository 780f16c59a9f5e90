/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * references.c - tables whose references are counted, by the clone and
 * drop of the runtime.
 *
 * References are played by handles: each clone is a new one, each drop ends one,
 * and one that is lost, doubled, or ended twice shows.
 */
#define _GNU_SOURCE
#include "tables.h"

#include "tests/kit/random.h"

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
	table = table_create(&config);
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
	table_give(table);
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
	table = table_create(&config);
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
	table_give(table);
	refs_close(refs);
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
		play->tables[t] = table_create(&config);
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
	table = table_create(&config);
	CHECK_EQ(fl_table_grow(table, 8, &mine, NULL), 0);
	CHECK_EQ(refs->live, 9);
	CHECK_EQ(refs_check(refs, table, ids), 8);
	CHECK_EQ(fl_table_fill(table, 1, &mine, 4), 0);
	CHECK_EQ(refs_check(refs, table, ids), 8);
	CHECK_EQ(refs->live, 9);
	table_give(table);
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
		table_give(play.tables[round % 2]);
		table_give(play.tables[1 - round % 2]);
		CHECK_EQ(play.refs->live, 0);
	}
	conform_close(&conform);
	refs_close(play.refs);
}

static const struct test_case cases[] = {
	TEST_CASE(references_are_cloned_and_dropped),
	TEST_CASE(elements_that_lie_in_the_table),
	TEST_CASE(reference_of_zeroes),
	TEST_CASE(references_at_random),
};

CONFORM_MAIN(cases)
