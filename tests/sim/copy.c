/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * copy.c - copying back by comparing gives what copying blindly gives, says
 * whether anything differed, and writes nothing outside its range. Pure; every
 * loop that this processor can run is tried, beside the calls that choose one.
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

struct loops {
	const char *name;
	bool (*back)(void *at, const void *source, size_t len);
	bool (*zeroes)(void *at, const void *source, size_t len);
	uint64_t (*differ_from)(const void *here, const void *there,
				size_t count);
	uint64_t (*differ_from_zeroes)(const void *here, const void *there,
				       size_t count);
};

static bool chosen_zeroes(void *at, const void *source, size_t len)
{
	(void)source;
	return fl__copy_zeroes(at, len);
}

/* Says nothing of what differed. */
static bool restored(void *at, const void *source, size_t len)
{
	bool is_changed = memcmp(at, source, len) != 0;

	fl__copy_restore(at, source, len);
	return is_changed;
}

static bool zeroes_restored(void *at, const void *source, size_t len)
{
	bool is_changed = !fl_is_zero(at, len);

	(void)source;
	fl__copy_restore(at, NULL, len);
	return is_changed;
}

static const struct loops all_loops[] = {
	{ "chosen", fl__copy_back, chosen_zeroes, fl__copy_differ,
	  fl__copy_differ },
	{ "chosen, known to be written", restored, zeroes_restored,
	  fl__copy_differ, fl__copy_differ },
	{ "portable", back, zeroes, differ_from, differ_from_zeroes },
#if FL_HAS_WIDE_VECTORS
	{ "AVX2", back_avx2, zeroes_avx2, differ_from_avx2,
	  differ_from_zeroes_avx2 },
	{ "AVX-512", back_avx512, zeroes_avx512, differ_from_avx512,
	  differ_from_zeroes_avx512 },
#endif
};

/* NULL after the last one that this processor can run. */
static const struct loops *loops_next(size_t *i)
{
	const struct loops *loops = &all_loops[*i];

	if (*i >= TEST_ARRAY_SIZE(all_loops))
		return NULL;
	++*i;
#if FL_HAS_WIDE_VECTORS
	if ((loops->back == back_avx2 && !__builtin_cpu_supports("avx2")) ||
	    (loops->back == back_avx512 && !__builtin_cpu_supports("avx512f")))
		return loops_next(i);
#endif
	return loops;
}

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
static void restore(struct bytes *bytes, const struct loops *loops,
		    bool is_zero, size_t off, size_t len)
{
	const uint8_t *source = bytes->source + off;
	uint8_t *at = bytes->at + off;

	memcpy(bytes->before, bytes->at, BYTES);
	if (is_zero) {
		CHECK_EQ(loops->zeroes(at, NULL, len),
			 !fl_is_zero(bytes->before + off, len));
		memset(bytes->before + off, 0, len);
	} else {
		CHECK_EQ(loops->back(at, source, len),
			 memcmp(bytes->before + off, source, len) != 0);
		memcpy(bytes->before + off, source, len);
	}
	CHECK(!memcmp(bytes->at, bytes->before, BYTES));
}

static void each_byte(struct bytes *bytes, const struct loops *loops)
{
	for (int is_zero = 0; is_zero < 2; is_zero++) {
		fill(bytes, is_zero);
		for (size_t i = 0; i < HPAGE_BYTES && !test_has_failed(); i++) {
			bytes->at[i] ^= (uint8_t)(1u << i % 8);
			restore(bytes, loops, is_zero, 0, HPAGE_BYTES);
			restore(bytes, loops, is_zero, 0, HPAGE_BYTES);
		}
	}
}

static void random_writes(struct bytes *bytes, const struct loops *loops)
{
	struct test_random *random = &bytes->random;

	for (int round = 0; round < 1000 && !test_has_failed(); round++) {
		bool is_zero = test_random_below(random, 2);
		size_t first = test_random_below(random, HPAGES);
		size_t count = 1 + test_random_below(random, HPAGES - first);
		uint64_t writes = UINT64_C(1) << test_random_below(random, 13);

		fill(bytes, is_zero);
		for (uint64_t i = 0; i < writes; i++)
			bytes->at[test_random_below(random, BYTES)] =
				(uint8_t)test_random_next(random);
		restore(bytes, loops, is_zero, first * HPAGE_BYTES,
			count * HPAGE_BYTES);
	}
}

/* At any address. */
static void lines_told(struct bytes *bytes, const struct loops *loops)
{
	for (int round = 0; round < 1000 && !test_has_failed(); round++) {
		struct test_random *random = &bytes->random;
		bool is_zero = test_random_below(random, 2);
		size_t off = test_random_below(random, HPAGE_BYTES);
		size_t count = test_random_below(random, 65);
		uint64_t writes = UINT64_C(1) << test_random_below(random, 13);
		const uint8_t *here = bytes->at + off;
		const uint8_t *there = bytes->source + off;
		uint64_t mask = 0;

		fill(bytes, is_zero);
		for (uint64_t i = 0; i < writes; i++)
			bytes->at[test_random_below(random, BYTES)] ^=
				(uint8_t)test_random_next(random);
		for (size_t i = 0; i < count; i++) {
			bool differs = is_zero ?
					       !fl_is_zero(here + 64 * i, 64) :
					       memcmp(here + 64 * i,
						      there + 64 * i, 64) != 0;

			mask |= (uint64_t)differs << i;
		}
		CHECK_EQ(is_zero ?
				 loops->differ_from_zeroes(here, NULL, count) :
				 loops->differ_from(here, there, count),
			 mask);
	}
}

static void by_each_loop(void (*check)(struct bytes *bytes,
				       const struct loops *loops))
{
	const struct loops *loops;
	struct bytes bytes;

	bytes_open(&bytes);
	for (size_t i = 0; (loops = loops_next(&i)) && !test_has_failed();) {
		check(&bytes, loops);
		if (test_has_failed())
			test_note("by the loop: %s", loops->name);
	}
	bytes_close(&bytes);
}

static void one_byte_anywhere(void)
{
	by_each_loop(each_byte);
}

static void written_at_random(void)
{
	by_each_loop(random_writes);
}

static void which_lines_differ(void)
{
	by_each_loop(lines_told);
}

/* And not one byte before or behind. */
static void more_than_a_cache_holds(void)
{
	static uint8_t there[FL__COPY_LONG + FL__COPY_UNIT]
		__attribute__((aligned(64)));
	static uint8_t here[sizeof(there) + 2 * HPAGE_BYTES]
		__attribute__((aligned(64)));
	uint8_t *at = here + HPAGE_BYTES;

	for (size_t i = 0; i < sizeof(there); i++)
		there[i] = (uint8_t)(i * 7 >> 3);
	memset(here, 0x5a, sizeof(here));
	fl__copy_restore(at, there, sizeof(there));
	CHECK(!memcmp(at, there, sizeof(there)));
	fl__copy_restore(at, NULL, sizeof(there));
	CHECK(fl_is_zero(at, sizeof(there)));
	for (size_t i = 0; i < HPAGE_BYTES; i++) {
		MUST_EQ(here[i], 0x5a);
		MUST_EQ(at[sizeof(there) + i], 0x5a);
	}
}

static const struct test_case cases[] = {
	TEST_CASE(more_than_a_cache_holds),
	TEST_CASE(one_byte_anywhere),
	TEST_CASE(written_at_random),
	TEST_CASE(which_lines_differ),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
