/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bits.c - bit sets, and the questions about bytes in util.h. Pure; nothing
 * of the kernel is needed.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "base/bits.h"
#include "base/util.h"

#include <string.h>

static void words_hold_the_bits(void)
{
	CHECK_EQ(fl_bits_words(0), 0);
	CHECK_EQ(fl_bits_words(1), 1);
	CHECK_EQ(fl_bits_words(64), 1);
	CHECK_EQ(fl_bits_words(65), 2);
	CHECK_EQ(fl_bits_words(SIZE_MAX), SIZE_MAX / 64 + 1);
}

static void bits_against_bytes(void)
{
	struct test_random random;
	uint64_t bits[4] = { 0 };
	bool bytes[200] = { 0 };

	test_random_init(&random, 11);
	for (unsigned round = 0; round < 5000; round++) {
		size_t idx = (size_t)test_random_below(&random, 200);

		bytes[idx] = test_random_below(&random, 2);
		fl_bit_set(bits, idx, bytes[idx]);
		idx = (size_t)test_random_below(&random, 200);
		CHECK_EQ(fl_bit_get(bits, idx), bytes[idx]);
	}
	for (size_t idx = 0; idx < 200; idx++)
		CHECK_EQ(fl_bit_get(bits, idx), bytes[idx]);
}

static void one_byte_is_enough_not_to_be_zero(void)
{
	uint8_t bytes[80] = { 0 };

	CHECK(fl_is_zero(NULL, 0));
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		CHECK(fl_is_zero(bytes, len));
		for (size_t i = 0; i < sizeof(bytes); i++) {
			bytes[i] = 0x80;
			CHECK_EQ(fl_is_zero(bytes, len), i >= len);
			bytes[i] = 0;
		}
	}
}

static void names_are_listed_whole(void)
{
	CHECK(!fl_name_is_listed(NULL, "a"));
	CHECK(!fl_name_is_listed("", "a"));
	CHECK(fl_name_is_listed("a", "a"));
	CHECK(fl_name_is_listed("b,a", "a"));
	CHECK(fl_name_is_listed(",,a,", "a"));
	CHECK(fl_name_is_listed(" , b ,\ta ", "a"));
	CHECK(!fl_name_is_listed("ab,ba, a b,", "a"));
	CHECK(!fl_name_is_listed("a", "ab"));
}

static const struct test_case cases[] = {
	TEST_CASE(words_hold_the_bits),
	TEST_CASE(bits_against_bytes),
	TEST_CASE(one_byte_is_enough_not_to_be_zero),
	TEST_CASE(names_are_listed_whole),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
