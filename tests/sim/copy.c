/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * copy.c - copying back by comparing gives what copying blindly gives, says
 * whether anything differed, and writes nothing outside its range. Pure; the
 * loop that every processor runs is tried beside the one that this processor
 * takes.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

/* For the loops themselves. */
#include "lib/base/copy.c"

#include <stdlib.h>
#include <string.h>

#define HPAGES 4
#define HPAGE_BYTES 4096
#define BYTES ((size_t)HPAGES * HPAGE_BYTES)

struct bytes {
	uint8_t *at, *source, *before;
	struct test_random random;
};

static void bytes_open(struct bytes *bytes)
{
	uint8_t **all[] = { &bytes->at, &bytes->source, &bytes->before };

	test_random_init(&bytes->random, 90);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(all); i++)
		MUST(!!(*all[i] = aligned_alloc(HPAGE_BYTES, BYTES)));
	for (size_t i = 0; i < BYTES; i++)
		bytes->source[i] = (uint8_t)test_random_next(&bytes->random);
}

static void bytes_close(struct bytes *bytes)
{
	free(bytes->at);
	free(bytes->source);
	free(bytes->before);
}

static void fill(struct bytes *bytes, bool is_zero)
{
	if (is_zero)
		memset(bytes->at, 0, BYTES);
	else
		memcpy(bytes->at, bytes->source, BYTES);
}

/* Restore [off, off + len) of what is there now, and look at all of it. */
static void restore(struct bytes *bytes, bool is_zero, size_t off, size_t len,
		    bool is_portable)
{
	vector *at = (vector *)(void *)(bytes->at + off);
	const vector *source = (const void *)(bytes->source + off);
	bool is_changed;

	memcpy(bytes->before, bytes->at, BYTES);
	if (is_zero) {
		is_changed = is_portable ? zeroes(at, NULL, len) :
					   fl__copy_zeroes(at, len);
		CHECK_EQ(is_changed, !fl_is_zero(bytes->before + off, len));
		memset(bytes->before + off, 0, len);
	} else {
		is_changed = is_portable ? back(at, source, len) :
					   fl__copy_back(at, source, len);
		CHECK_EQ(is_changed,
			 memcmp(bytes->before + off, source, len) != 0);
		memcpy(bytes->before + off, source, len);
	}
	CHECK(!memcmp(bytes->at, bytes->before, BYTES));
}

static void one_byte_anywhere(void)
{
	struct bytes bytes;

	bytes_open(&bytes);
	for (int is_zero = 0; is_zero < 2; is_zero++) {
		fill(&bytes, is_zero);
		for (size_t i = 0; i < HPAGE_BYTES && !test_has_failed(); i++) {
			bytes.at[i] ^= (uint8_t)(1u << i % 8);
			restore(&bytes, is_zero, 0, HPAGE_BYTES, i & 1);
			restore(&bytes, is_zero, 0, HPAGE_BYTES, i & 1);
		}
	}
	bytes_close(&bytes);
}

static void random_writes(struct bytes *bytes, bool is_portable)
{
	struct test_random *random = &bytes->random;

	for (int round = 0; round < 2000 && !test_has_failed(); round++) {
		bool is_zero = test_random_below(random, 2);
		size_t first = test_random_below(random, HPAGES);
		size_t count = 1 + test_random_below(random, HPAGES - first);
		uint64_t writes = UINT64_C(1) << test_random_below(random, 13);

		fill(bytes, is_zero);
		for (uint64_t i = 0; i < writes; i++)
			bytes->at[test_random_below(random, BYTES)] =
				(uint8_t)test_random_next(random);
		restore(bytes, is_zero, first * HPAGE_BYTES,
			count * HPAGE_BYTES, is_portable);
	}
}

static void written_at_random(void)
{
	struct bytes bytes;

	bytes_open(&bytes);
	random_writes(&bytes, false);
	bytes_close(&bytes);
}

static void by_the_portable_loop(void)
{
	struct bytes bytes;

	bytes_open(&bytes);
	random_writes(&bytes, true);
	bytes_close(&bytes);
}

/* Which lines differ, at any address, by both loops. */
static void which_lines_differ(void)
{
	struct bytes bytes;

	bytes_open(&bytes);
	for (int round = 0; round < 2000 && !test_has_failed(); round++) {
		struct test_random *random = &bytes.random;
		bool is_zero = test_random_below(random, 2);
		size_t off = test_random_below(random, HPAGE_BYTES);
		size_t count = test_random_below(random, 65);
		uint64_t writes = UINT64_C(1) << test_random_below(random, 13);
		uint64_t mask = 0, got, portable;

		fill(&bytes, is_zero);
		for (uint64_t i = 0; i < writes; i++)
			bytes.at[test_random_below(random, BYTES)] ^=
				(uint8_t)test_random_next(random);
		for (size_t i = 0; i < count; i++) {
			const uint8_t *line = bytes.at + off + 64 * i;
			bool differs =
				is_zero ? !fl_is_zero(line, 64) :
					  memcmp(line,
						 bytes.source + off + 64 * i,
						 64) != 0;

			mask |= (uint64_t)differs << i;
		}
		got = fl__copy_differ(bytes.at + off,
				      is_zero ? NULL : bytes.source + off,
				      count);
		portable =
			is_zero ?
				differ_from_zeroes(
					(const void *)(bytes.at + off), NULL,
					count) :
				differ_from((const void *)(bytes.at + off),
					    (const void *)(bytes.source + off),
					    count);
		CHECK_EQ(got, mask);
		CHECK_EQ(portable, mask);
	}
	bytes_close(&bytes);
}

static const struct test_case cases[] = {
	TEST_CASE(one_byte_anywhere),
	TEST_CASE(written_at_random),
	TEST_CASE(by_the_portable_loop),
	TEST_CASE(which_lines_differ),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
