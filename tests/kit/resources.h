/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * resources.h - what the process holds, counted for each case.
 *
 * A case knows best what it did, so leaks are looked for after each. A thread's
 * stack and malloc's arenas are mappings too, so only what is reserved but
 * inaccessible and larger than a stack's guard is counted, and malloc is kept
 * to one arena.
 */
#ifndef TEST_RESOURCES_H
#define TEST_RESOURCES_H

#include <stdint.h>

struct test_resources {
	unsigned int fds;
	unsigned int threads;
	unsigned int memfds; /* mappings of memfds and of userfaultfds */
	uint64_t reserved_bytes; /* mappings that nobody may access */
};

/* What the process holds now. */
void test_resources(struct test_resources *now);

/* Checks that nothing is left over; threads that are just ending get time. */
void test_check_resources(const struct test_resources *before);

#endif
