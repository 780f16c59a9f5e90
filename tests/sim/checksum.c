/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * checksum.c - the checksum of a delta is the same on every host, however a
 * processor takes the steps, and shows every changed byte.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "base/checksum.h"

#define FACTOR UINT64_C(0xd6e8feb86659fd93)

static uint64_t mix(uint64_t sum, uint64_t word)
{
	sum = (sum ^ word) * FACTOR;
	return sum ^ (sum >> 32);
}

static uint64_t word_at(const uint8_t *bytes, size_t len, size_t off)
{
	uint64_t word = 0;

	for (size_t i = 0; i < 8 && off + i < len; i++)
		word |= (uint64_t)bytes[off + i] << (8 * i);
	return word;
}

/* The form that deltas are written in, a word at a time. */
static uint64_t plain(uint64_t seed, const uint8_t *bytes, size_t len)
{
	uint64_t lanes[8], sum = len;

	for (size_t i = 0; i < 8; i++)
		lanes[i] = seed ^ (i * FACTOR);
	for (size_t off = 0; off < len / 64 * 64 + 64; off += 8)
		lanes[off / 8 % 8] =
			mix(lanes[off / 8 % 8], word_at(bytes, len, off));
	for (size_t i = 0; i < 8; i++)
		sum = mix(sum, lanes[i]);
	return sum;
}

static void fill(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(i * 7 + i / 256);
}

static void sums_that_were_written_before(void)
{
	uint8_t bytes[4250];

	fill(bytes, sizeof(bytes));
	CHECK(fl__checksum(0, NULL, 0) == UINT64_C(0x5175e66a6ac2549a));
	CHECK(fl__checksum(1, bytes, 5) == UINT64_C(0x6945bf993da80f6e));
	CHECK(fl__checksum(2, bytes, 64) == UINT64_C(0x5f1637d53ecd2db6));
	CHECK(fl__checksum(3, bytes, 4250) == UINT64_C(0x5ea841836641d20a));
}

static void any_length_and_place(void)
{
	uint8_t bytes[1000];
	bool is_same = true;

	fill(bytes, sizeof(bytes));
	for (size_t len = 0; len < 600; len++) {
		size_t off = len % 67;

		is_same &= fl__checksum(len, bytes + off, len) ==
			   plain(len, bytes + off, len);
	}
	CHECK(is_same);
}

static void each_changed_byte_shows(void)
{
	uint8_t bytes[500];
	struct test_random random;
	bool is_shown = true;
	uint64_t sum;

	fill(bytes, sizeof(bytes));
	test_random_init(&random, 64);
	sum = fl__checksum(0, bytes, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++) {
		uint8_t change = (uint8_t)(1 + test_random_below(&random, 255));

		bytes[i] ^= change;
		is_shown &= fl__checksum(0, bytes, sizeof(bytes)) != sum;
		bytes[i] ^= change;
	}
	CHECK(is_shown);
}

static const struct test_case cases[] = {
	TEST_CASE(sums_that_were_written_before),
	TEST_CASE(any_length_and_place),
	TEST_CASE(each_changed_byte_shows),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
