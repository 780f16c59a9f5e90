/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * host_pages.c - with avoids_huge_pages zeroes of slots take host pages alone, at
 * every moment of a slot's life.
 *
 * The kernel's flags of the mappings are looked at, because whether it would make
 * huge pages is the host's to set. Of an image's pages nothing is promised.
 */
#include "tests/kit/conform.h"
#include "tests/kit/host.h"
#include "tests/kit/procfs.h"

#include <unistd.h>

#define SIZE (4 * MIB)
#define MAX (8 * MIB)

static const char *needs_huge_pages(void)
{
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK))
		return "this kernel has no huge pages";
	return test_needs_dump_flags();
}

/* Behind the first page, which an image may have. */
static uint64_t may_be_huge(const struct fl_memory *memory, uint64_t size)
{
	return procfs_bytes_without(memory->base + WPAGE, memory->base + size,
				    " nh");
}

static void check_life(struct conform *conform, bool avoids)
{
	struct fl_image *image = conform_image_of(conform, SIZE, 5, "a", 1);

	for (int i = 0; i < 12; i++) {
		struct fl_memory *memory =
			conform_take(conform, i / 3 % 2 ? image : NULL, SIZE);

		CHECK_EQ(may_be_huge(memory, SIZE), avoids ? 0 : SIZE - WPAGE);
		memset(memory->base, 1, SIZE);
		CHECK_EQ(fl_memory_grow(memory, 2, NULL), 0);
		memory->base[SIZE + WPAGE] = 1;
		if (avoids)
			CHECK_EQ(may_be_huge(memory, SIZE + 2 * WPAGE), 0);
		conform_give(memory);
		if (i % 4 == 3)
			CHECK_EQ(fl_pool_trim(conform->pool, UINT64_MAX, NULL),
				 0);
	}
	fl_image_release(image);
}

static void try(enum fl_bounds bounds, enum fl_allocation allocation)
{
	for (int avoids = 0; avoids < 2; avoids++) {
		struct fl_pool_config config;
		struct conform conform;

		conform_pool_config(&config);
		config.max_memories = 1;
		config.max_memory_bytes = MAX;
		config.bounds = bounds;
		config.allocation = allocation;
		config.max_idle_slot_bytes = MIB;
		config.avoids_huge_pages = avoids;
		conform_open(&conform, &config);
		check_life(&conform, avoids);
		conform_close(&conform);
	}
}

static void guarded(void)
{
	try(FL_BOUNDS_GUARDED, FL_ALLOCATION_POOLING);
}

static void accessible(void)
{
	try(FL_BOUNDS_ACCESSIBLE, FL_ALLOCATION_POOLING);
}

static void on_demand(void)
{
	try(FL_BOUNDS_GUARDED, FL_ALLOCATION_ON_DEMAND);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(guarded, needs_huge_pages),
	TEST_CASE_NEEDS(accessible, needs_huge_pages),
	TEST_CASE_NEEDS(on_demand, needs_huge_pages),
};

CONFORM_MAIN(cases)
