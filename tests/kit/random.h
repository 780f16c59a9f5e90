/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* random.h - the same numbers in every run, from a seed that is printed. */
#ifndef TEST_RANDOM_H
#define TEST_RANDOM_H

#include <stdint.h>

/* Deterministic; seeded from FAULTLINE_TEST_SEED or the given number, which is
 * printed. */
struct test_random {
	uint64_t state;
};

void test_random_init(struct test_random *random, uint64_t seed);
uint64_t test_random_next(struct test_random *random);
/* Uniform in [0, limit); 0 for a limit of 0. */
uint64_t test_random_below(struct test_random *random, uint64_t limit);
/* Noise: len is a multiple of 8. */
void test_random_fill(struct test_random *random, uint8_t *bytes, uint64_t len);

#endif
