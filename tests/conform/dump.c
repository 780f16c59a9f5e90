/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * dump.c - what core dumps take of a pool: never its reservation, and of its
 * memories what is accessible if the host wants it, else nothing, at every
 * moment of a slot's life.
 *
 * The kernel's flags of the mappings are looked at. Whether a dump comes into
 * being, and where, is the host's to set.
 */
#include "tests/kit/conform.h"
#include "tests/kit/host.h"
#include "tests/kit/procfs.h"

static uint64_t dumped(const struct fl_memory *memory)
{
	/* As far as 32-bit addresses reach, whatever is there. */
	return procfs_dumped_bytes(memory->base, memory->base + HALF_STRIDE);
}

/* Take, grow, give back, and another image in the same slot. */
static void check_life(struct conform *conform, bool is_in)
{
	struct fl_image *images[] = {
		NULL,
		conform_image_of(conform, 2 * WPAGE, 70000, "a", 1),
		conform_image_of(conform, 3 * WPAGE, 5, "b", 1),
	};
	unsigned int wpages[] = { 2, 2, 3 };

	for (int i = 0; i < 9; i++) {
		struct fl_image *image = images[i / 2 % 3];
		uint64_t size = wpages[i / 2 % 3] * WPAGE;
		struct fl_memory *memory = conform_take(conform, image, size);

		CHECK_EQ(dumped(memory), is_in ? size : 0);
		memory->base[0] = 1;
		CHECK_EQ(fl_memory_grow(memory, 2, NULL), 0);
		memory->base[size + WPAGE] = 1;
		CHECK_EQ(dumped(memory), is_in ? size + 2 * WPAGE : 0);
		conform_give(memory);
		if (i % 4 == 3)
			CHECK_EQ(fl_pool_trim(conform->pool, UINT64_MAX, NULL),
				 0);
	}
	for (int i = 0; i < 3; i++)
		fl_image_release(images[i]);
}

static void open_for_dumps(struct conform *conform, bool is_in,
			   enum fl_allocation allocation)
{
	struct fl_pool_config config;

	fl_pool_config_init(&config);
	config.max_memories = config.max_instances = 1;
	config.max_memory_bytes = HALF_STRIDE;
	config.memory_stride_bytes = LARGE_STRIDE;
	config.instance_bytes = 4096;
	config.dumps_memories = is_in;
	config.allocation = allocation;
	conform_open(conform, &config);
}

static void memories_are_left_out(void)
{
	struct conform conform;

	open_for_dumps(&conform, false, FL_ALLOCATION_POOLING);
	check_life(&conform, false);
	conform_close(&conform);
}

static void memories_are_taken_in(void)
{
	struct conform conform;

	open_for_dumps(&conform, true, FL_ALLOCATION_POOLING);
	check_life(&conform, true);
	conform_close(&conform);
}

static void on_demand(void)
{
	struct conform conform;

	for (int is_in = 0; is_in < 2; is_in++) {
		open_for_dumps(&conform, is_in, FL_ALLOCATION_ON_DEMAND);
		check_life(&conform, is_in);
		conform_close(&conform);
	}
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(memories_are_left_out, test_needs_dump_flags),
	TEST_CASE_NEEDS(memories_are_taken_in, test_needs_dump_flags),
	TEST_CASE_NEEDS(on_demand, test_needs_dump_flags),
};

CONFORM_MAIN(cases)
