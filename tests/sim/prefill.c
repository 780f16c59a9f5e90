/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * prefill.c - what is learnt from first tenants, against the same done
 * with sets of bits. Pure; nothing of the kernel is needed.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "uffd/track/prefill.h"

#include <string.h>

#define HPAGES 200

static struct fl__prefill_list list_of(const bool *bits)
{
	struct fl__prefill_list list = { 0 };

	for (uint32_t i = 0; i < HPAGES; i++) {
		if (bits[i] && !fl__prefill_add(&list, i))
			break;
	}
	return list;
}

static struct fl__prefill_list known(struct fl__prefill *prefill)
{
	struct fl__prefill_list list;
	uint32_t turn;

	fl__prefill_get(prefill, &list, &turn);
	return list;
}

static void nothing_is_known_at_first(void)
{
	struct fl__prefill_list list = { .count = 2, .hpages = { 3, 9 } };
	struct fl__prefill prefill = { 0 };

	for (int i = 1; i < FL__PREFILL_ROUNDS; i++) {
		CHECK_EQ(known(&prefill).count, 0);
		fl__prefill_learn(&prefill, &list);
	}
	CHECK_EQ(known(&prefill).count, 0);
	fl__prefill_learn(&prefill, &list);
	CHECK_EQ(known(&prefill).count, 2);
	CHECK_EQ(known(&prefill).hpages[0], 3);
	CHECK_EQ(known(&prefill).hpages[1], 9);
}

static void begins_anew_when_empty(void)
{
	struct fl__prefill_list one = { .count = 1, .hpages = { 1 } };
	struct fl__prefill_list two = { .count = 1, .hpages = { 2 } };
	struct fl__prefill prefill = { 0 };

	for (int i = 0; i < 10; i++)
		fl__prefill_learn(&prefill, &one);
	fl__prefill_learn(&prefill, &two);
	CHECK_EQ(known(&prefill).count, 0);
	for (int i = 0; i < FL__PREFILL_ROUNDS; i++)
		fl__prefill_learn(&prefill, &two);
	CHECK_EQ(known(&prefill).count, 1);
	CHECK_EQ(known(&prefill).hpages[0], 2);
}

static void turns_differ(void)
{
	struct fl__prefill prefill = { 0 };
	struct fl__prefill_list list;
	uint32_t first, second;

	fl__prefill_get(&prefill, &list, &first);
	fl__prefill_get(&prefill, &list, &second);
	CHECK(first != second);
}

/* Another thread is at it. */
static void list_in_use(void)
{
	struct fl__prefill_list list = { .count = 1, .hpages = { 1 } };
	struct fl__prefill prefill = { 0 };

	for (int i = 0; i < FL__PREFILL_ROUNDS; i++)
		fl__prefill_learn(&prefill, &list);
	prefill.is_locked = true;
	CHECK_EQ(known(&prefill).count, 0);
	list.count = 0;
	fl__prefill_learn(&prefill, &list);
	prefill.is_locked = false;
	CHECK_EQ(known(&prefill).count, 1);
}

/* With few enough pages for the list, it is the intersection since it was
 * empty. */
static void random_tenants(void)
{
	struct fl__prefill prefill = { 0 };
	bool kept[HPAGES] = { 0 };
	struct test_random random;
	unsigned int rounds = 0;

	test_random_init(&random, 5);
	for (int round = 0; round < 20000 && !test_has_failed(); round++) {
		struct fl__prefill_list list, mine;
		bool bits[HPAGES] = { 0 }, any = false;

		for (uint32_t i = 0; i < HPAGES; i += 4)
			bits[i] = test_random_below(&random, 8) > 1;
		list = list_of(bits);
		fl__prefill_learn(&prefill, &list);
		for (uint32_t i = 0; i < HPAGES; i++) {
			kept[i] = bits[i] && (kept[i] || !rounds);
			any |= kept[i];
		}
		rounds = any ? rounds + 1 : 0;
		mine = list_of(kept);
		list = known(&prefill);
		CHECK_EQ(list.count,
			 rounds < FL__PREFILL_ROUNDS ? 0 : mine.count);
		CHECK(!list.count ||
		      !memcmp(list.hpages, mine.hpages,
			      list.count * sizeof(*list.hpages)));
	}
}

static void full_list(void)
{
	struct fl__prefill_list list = { 0 };

	for (uint32_t i = 0; i < FL__PREFILL_MAX_HPAGES; i++)
		CHECK(fl__prefill_add(&list, i));
	CHECK(!fl__prefill_add(&list, FL__PREFILL_MAX_HPAGES));
	CHECK_EQ(list.count, FL__PREFILL_MAX_HPAGES);
	CHECK_EQ(fl__prefill_run(&list, 0), FL__PREFILL_MAX_HPAGES);
	CHECK_EQ(fl__prefill_run(&list, FL__PREFILL_MAX_HPAGES - 1), 1);
}

static void runs(void)
{
	struct fl__prefill_list list = { .count = 6,
					 .hpages = { 1, 2, 3, 7, 9, 10 } };

	CHECK_EQ(fl__prefill_run(&list, 0), 3);
	CHECK_EQ(fl__prefill_run(&list, 3), 1);
	CHECK_EQ(fl__prefill_run(&list, 4), 2);
}

static const struct test_case cases[] = {
	TEST_CASE(nothing_is_known_at_first),
	TEST_CASE(begins_anew_when_empty),
	TEST_CASE(turns_differ),
	TEST_CASE(list_in_use),
	TEST_CASE(random_tenants),
	TEST_CASE(full_list),
	TEST_CASE(runs),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
