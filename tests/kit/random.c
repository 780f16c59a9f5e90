/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* random.c - see random.h. */
#include "random.h"

#include "test.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

void test_random_init(struct test_random *random, uint64_t seed)
{
	const char *text = getenv("FAULTLINE_TEST_SEED");

	if (text && *text)
		seed = strtoull(text, NULL, 0);
	test_note("FAULTLINE_TEST_SEED=%" PRIu64, seed);
	random->state = seed;
}

/* SplitMix64, by Steele, Lea and Flood (2014): the state is a counter, so that
 * every seed is as good as another. */
uint64_t test_random_next(struct test_random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t test_random_below(struct test_random *random, uint64_t limit)
{
	return limit ? test_random_next(random) % limit : 0;
}

void test_random_fill(struct test_random *random, uint8_t *bytes, uint64_t len)
{
	for (uint64_t i = 0; i < len; i += 8) {
		uint64_t value = test_random_next(random);

		memcpy(bytes + i, &value, 8);
	}
}
