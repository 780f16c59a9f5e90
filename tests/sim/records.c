/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * records.c - records at random against a list of what was taken: no two are the
 * same, each keeps its bytes, what was given reads as it was or as zeroes, and
 * spare records take no more than they may.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "slots/records.h"

#include <string.h>

#define MOST 1000

struct taken {
	struct fl__slab *slab;
	uint8_t *record;
	uint8_t mark;
};

static bool is_all(const uint8_t *bytes, size_t len, uint8_t value)
{
	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != value)
			return false;
	}
	return true;
}

static void take(struct fl__records *records, struct taken *taken, uint8_t mark)
{
	taken->record = fl__records_take(records, &taken->slab);
	MUST(taken->record);
	/* Zeroes, or what its last holder left, whole. */
	CHECK(is_all(taken->record, records->record_bytes, taken->record[0]));
	memset(taken->record, mark, records->record_bytes);
	taken->mark = mark;
}

static void give(struct fl__records *records, struct taken *taken)
{
	CHECK(is_all(taken->record, records->record_bytes, taken->mark));
	fl__records_give(records, taken->slab, taken->record);
}

/* Records of sizes that share pages, fill some and span some. */
static void at_random(void)
{
	static const size_t sizes[] = { 128, 384, 640, 2560, 4096, 5000 };
	static struct taken list[MOST];

	for (size_t k = 0; k < TEST_ARRAY_SIZE(sizes); k++) {
		struct test_random random;
		struct fl__records records;
		size_t count = 0;

		test_random_init(&random, 20 + k);
		fl__records_init(&records, sizes[k], 0);
		for (int step = 0; step < 6000; step++) {
			/* Waves, so that slabs fill and empty. */
			bool up = step / 1500 % 2 == 0;

			if (count < MOST &&
			    test_random_below(&random, 4) >= (up ? 1 : 3)) {
				take(&records, &list[count],
				     (uint8_t)(1 + test_random_below(&random,
								     255)));
				count++;
			} else if (count) {
				size_t i = test_random_below(&random, count);

				give(&records, &list[i]);
				list[i] = list[--count];
			}
			if (!test_random_below(&random, 500))
				(void)fl__records_tidy(&records);
			CHECK_EQ(records.taken_count, count);
		}
		for (size_t i = 0; i < count; i++)
			CHECK(is_all(list[i].record, sizes[k], list[i].mark));
		fl__records_fini(&records);
	}
}

/* All are given back: no more is kept than the limit, and after a tidying
 * nothing. Then what was given reads as zeroes. */
static void spare_ones_go(void)
{
	static struct taken list[MOST];
	const uint64_t limit = 100 << 10;
	struct fl__records records;

	fl__records_init(&records, 640, limit);
	for (int i = 0; i < MOST; i++)
		take(&records, &list[i], 7);
	CHECK_EQ(fl__records_bytes(&records), MOST * 640);
	for (int i = 0; i < MOST; i++)
		give(&records, &list[i]);
	CHECK(fl__records_bytes(&records) <= limit + 640);
	CHECK(fl__records_tidy(&records) <= limit + 640);
	CHECK_EQ(fl__records_bytes(&records), 0);
	CHECK_EQ(fl__records_tidy(&records), 0);
	for (int i = 0; i < MOST; i++)
		CHECK(is_all(list[i].record, 640, 0));
	fl__records_fini(&records);
}

/* A page that a taken record has a byte in stays. */
static void neighbours_stay(void)
{
	static struct taken list[256];
	struct fl__records records;

	fl__records_init(&records, 640, UINT64_MAX);
	for (int i = 0; i < 256; i++)
		take(&records, &list[i], (uint8_t)i);
	for (int i = 0; i < 256; i++) {
		if (i % 32)
			give(&records, &list[i]);
	}
	CHECK(fl__records_tidy(&records) > 0);
	CHECK(fl__records_bytes(&records) >= 8 * 640);
	for (int i = 0; i < 256; i += 32)
		give(&records, &list[i]);
	(void)fl__records_tidy(&records);
	CHECK_EQ(fl__records_bytes(&records), 0);
	fl__records_fini(&records);
}

static const struct test_case cases[] = {
	TEST_CASE(at_random),
	TEST_CASE(spare_ones_go),
	TEST_CASE(neighbours_stay),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
