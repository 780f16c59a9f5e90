/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * overcommit.c - where the kernel charges every accessible byte
 * (vm.overcommit_memory 2) and none is left, calls answer -ENOMEM and name the
 * sysctl; no signal comes, and what is there goes on.
 *
 * The setting is the whole host's, so a process of its own puts it back, and the
 * program takes milliseconds. What is left is used up in advance, by mappings that
 * are charged and never touched.
 */
#define _GNU_SOURCE
#include "tests/kit/attack_host.h"
#include "tests/kit/conform.h"

#include <stdlib.h>
#include <sys/mman.h>

#define STEP (8 * MIB)
#define STEPS 65536
#define IMAGE_BYTES (32 * MIB)

static void *taken[STEPS];

/* Between one and two steps are left. */
static size_t take_all(void)
{
	size_t count = 0;

	for (; count < STEPS; count++) {
		taken[count] = mmap(NULL, STEP, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (taken[count] == MAP_FAILED)
			break;
	}
	if (count)
		munmap(taken[--count], STEP);
	return count;
}

static void give_back(size_t count)
{
	while (count)
		munmap(taken[--count], STEP);
}

static void nothing_is_left(void)
{
	uint8_t *data = malloc(IMAGE_BYTES);
	const struct fl_segment segment = { 0, data, IMAGE_BYTES };
	struct fl_error image_error = { .text = "" };
	struct fl_pool_config config;
	struct fl_image *image = NULL;
	struct fl_memory *memory;
	struct conform conform;
	int image_err, grow_err;
	size_t count;

	MUST(data != NULL);
	memset(data, 7, IMAGE_BYTES);
	conform_pool_config(&config);
	config.max_memory_bytes = 2 * IMAGE_BYTES;
	conform_open(&conform, &config);
	memory = conform_take(&conform, NULL, WPAGE);
	count = take_all();
	image_err = fl_image_from_segments(conform.context, IMAGE_BYTES,
					   &segment, 1, &image, &image_error);
	grow_err = fl_memory_grow(memory, IMAGE_BYTES / WPAGE, NULL);
	memory->base[5] = 1;
	give_back(count);
	CHECK(count < STEPS);
	CHECK_EQ(image_err, -ENOMEM);
	CHECK_HAS(image_error.text, "overcommit");
	CHECK_EQ(grow_err, -ENOMEM);
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
	conform_give(memory);
	conform_close(&conform);
	free(data);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(nothing_is_left, attack_needs_strict),
};

ATTACK_HOST_MAIN(cases, ATTACK_STRICT)
