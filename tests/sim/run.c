/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * run.c - run lists against a bitmap: the same stretches set bit by bit.
 * Pure; nothing of the kernel is needed.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "base/run.h"

#include <string.h>

#define BITS 500

/* The bitmap of a list, and whether the list is what a valid one must be:
 * sorted, no run empty, none touching the next. */
static void check_runs(const struct fl__runs *runs, const uint8_t *bits)
{
	uint64_t total = 0, end = 0;
	uint8_t mine[BITS] = { 0 };

	CHECK(fl__runs_is_valid(runs));
	for (size_t i = 0; i < runs->count; i++) {
		const struct fl__run *run = &runs->items[i];

		CHECK(run->hpage_len > 0);
		CHECK(!i || run->hpage_off > end);
		end = run->hpage_off + run->hpage_len;
		MUST(end <= BITS);
		memset(mine + run->hpage_off, 1, run->hpage_len);
	}
	CHECK(!memcmp(mine, bits, BITS));
	for (size_t i = 0; i < BITS; i++)
		total += bits[i];
	CHECK_EQ(fl__runs_total(runs), total);
}

static uint64_t bits_within(const uint8_t *bits, uint64_t off, uint64_t len)
{
	uint64_t n = 0;

	for (uint64_t i = off; i < off + len && i < BITS; i++)
		n += bits[i];
	return n;
}

static void empty_list(void)
{
	struct fl__runs runs = { 0 };

	CHECK(fl__runs_is_valid(&runs));
	CHECK_EQ(fl__runs_total(&runs), 0);
	CHECK_EQ(fl__runs_find(&runs, 0), 0);
	CHECK_EQ(fl__runs_overlap(&runs, 0, UINT64_MAX), 0);
	fl__runs_normalise(&runs);
	CHECK_EQ(runs.count, 0);
	CHECK_EQ(fl__runs_append(&runs, 7, 0), 0);
	CHECK_EQ(runs.count, 0);
	fl__runs_fini(&runs);
}

static void appending_merges_with_the_last(void)
{
	struct fl__runs runs = { 0 };

	CHECK_EQ(fl__runs_append(&runs, 10, 5), 0);
	CHECK_EQ(fl__runs_append(&runs, 15, 5), 0);
	CHECK_EQ(runs.count, 1);
	CHECK_EQ(fl__runs_append(&runs, 12, 2), 0);
	CHECK_EQ(fl__runs_total(&runs), 10);
	CHECK_EQ(fl__runs_append(&runs, 18, 10), 0);
	CHECK_EQ(fl__runs_total(&runs), 18);
	CHECK_EQ(runs.count, 1);
	CHECK_EQ(fl__runs_append(&runs, 29, 1), 0);
	CHECK_EQ(runs.count, 2);
	CHECK(fl__runs_is_valid(&runs));
	fl__runs_fini(&runs);
	CHECK_EQ(runs.count, 0);
	CHECK(runs.items == NULL);
	/* A list is usable again after fini. */
	CHECK_EQ(fl__runs_append(&runs, 1, 1), 0);
	CHECK_EQ(runs.count, 1);
	fl__runs_fini(&runs);
}

static void invalid_lists_are_seen(void)
{
	struct fl__run items[2] = { { 1, 2 }, { 5, 1 } };
	struct fl__runs runs = { items, 2, 2 };

	CHECK(fl__runs_is_valid(&runs));
	items[1].hpage_off = 3; /* touches */
	CHECK(!fl__runs_is_valid(&runs));
	items[1].hpage_off = 2; /* overlaps */
	CHECK(!fl__runs_is_valid(&runs));
	items[1].hpage_off = 0; /* not sorted */
	CHECK(!fl__runs_is_valid(&runs));
	items[1] = (struct fl__run){ 9, 0 }; /* empty */
	CHECK(!fl__runs_is_valid(&runs));
}

static void numbers_at_the_end_of_the_range(void)
{
	struct fl__runs runs = { 0 };

	CHECK_EQ(fl__runs_append(&runs, UINT64_MAX - 10, 10), 0);
	CHECK_EQ(fl__runs_append(&runs, 0, 4), 0);
	fl__runs_normalise(&runs);
	CHECK(fl__runs_is_valid(&runs));
	CHECK_EQ(runs.count, 2);
	CHECK_EQ(fl__runs_total(&runs), 14);
	CHECK_EQ(fl__runs_find(&runs, 3), 0);
	CHECK_EQ(fl__runs_find(&runs, 4), 1);
	CHECK_EQ(fl__runs_find(&runs, UINT64_MAX - 1), 1);
	CHECK_EQ(fl__runs_find(&runs, UINT64_MAX), 2);
	CHECK_EQ(fl__runs_overlap(&runs, 2, UINT64_MAX - 7), 7);
	fl__runs_fini(&runs);
}

static void random_lists(void)
{
	struct test_random random;

	test_random_init(&random, 1);
	for (int round = 0; round < 2000 && !test_has_failed(); round++) {
		uint64_t count = test_random_below(&random, 60);
		struct fl__runs runs = { 0 };
		uint8_t bits[BITS] = { 0 };

		for (uint64_t i = 0; i < count; i++) {
			uint64_t off = test_random_below(&random, BITS);
			uint64_t len = test_random_below(&random, 12);

			if (len > BITS - off)
				len = BITS - off;
			CHECK_EQ(fl__runs_append(&runs, off, len), 0);
			memset(bits + off, 1, len);
		}
		fl__runs_normalise(&runs);
		check_runs(&runs, bits);
		/* Once more changes nothing. */
		fl__runs_normalise(&runs);
		check_runs(&runs, bits);
		for (int i = 0; i < 50; i++) {
			uint64_t off = test_random_below(&random, BITS + 20);
			uint64_t len = test_random_below(&random, BITS);
			size_t idx = fl__runs_find(&runs, off), expected = 0;

			while (expected < runs.count &&
			       runs.items[expected].hpage_off +
					       runs.items[expected].hpage_len <=
				       off)
				expected++;
			CHECK_EQ(idx, expected);
			CHECK_EQ(fl__runs_overlap(&runs, off, len),
				 bits_within(bits, off, len));
		}
		fl__runs_fini(&runs);
	}
}

static void sorted_and_reversed(void)
{
	for (int reversed = 0; reversed < 2; reversed++) {
		struct fl__runs runs = { 0 };
		uint8_t bits[BITS] = { 0 };

		for (uint64_t i = 0; i < BITS / 5; i++) {
			uint64_t at = reversed ? BITS / 5 - 1 - i : i;

			CHECK_EQ(fl__runs_append(&runs, at * 5, 3), 0);
			memset(bits + at * 5, 1, 3);
		}
		fl__runs_normalise(&runs);
		check_runs(&runs, bits);
		fl__runs_fini(&runs);
	}
}

static const struct test_case cases[] = {
	TEST_CASE(empty_list),
	TEST_CASE(appending_merges_with_the_last),
	TEST_CASE(invalid_lists_are_seen),
	TEST_CASE(numbers_at_the_end_of_the_range),
	TEST_CASE(random_lists),
	TEST_CASE(sorted_and_reversed),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
