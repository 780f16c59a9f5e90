/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bounds.c - what traps and what does not: guards before and after,
 * the size before and after growth and reuse, alignment, stride and prefix as
 * configured, and what fl_fault_lookup() says of an address.
 *
 * Every trap must be a SIGSEGV at the very address: many runtimes handle
 * nothing else.
 */
#define _GNU_SOURCE
#include "lib/os/os.h"
#include "tests/kit/child.h"
#include "tests/kit/conform.h"
#include "tests/kit/trap.h"

#include <signal.h>
#include <stdlib.h>

/* One memory of 1 to 4 wpages, and nothing else. */
static const uint8_t module_bytes[] = {
	0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00,
	0x00, 0x05, 0x04, 0x01, 0x01, 0x01, 0x04,
};

static struct fl_module *load_module(struct conform *conform)
{
	struct fl_error error = { .text = "" };
	struct fl_module_config config;
	struct fl_module *module = NULL;

	fl_module_config_init(&config);
	config.bytes = module_bytes;
	config.length_bytes = sizeof(module_bytes);
	CONFORM_MUST(fl_module_load(conform->context, &config, &module, &error),
		     &error);
	return module;
}

static uint64_t stride(const struct conform *conform)
{
	return conform_info(conform).memory_stride_bytes;
}

static void check_trap_at(struct fl_memory *memory, uint64_t off)
{
	if (!CHECK(test_traps(memory->base + off)))
		test_note("offset 0x%jx does not trap", (uintmax_t)off);
}

static void check_open_at(struct fl_memory *memory, uint64_t off)
{
	if (!CHECK(test_open(memory->base + off)))
		test_note("offset 0x%jx traps", (uintmax_t)off);
}

/* In a guarded pool everything from the size, rounded up to a host page, to the
 * end of the stride traps; what is within the size does not. */
static void check_guarded(const struct conform *conform,
			  struct fl_memory *memory)
{
	uint64_t len = fl_memory_length(memory);
	uint64_t end = conform_round_up(len, conform_hpage());
	uint64_t last = stride(conform);

	for (uint64_t off = 1; off < last && off; off *= 2) {
		if (off < len)
			check_open_at(memory, off);
		else if (off >= end)
			check_trap_at(memory, off);
		if (off - 1 < len)
			check_open_at(memory, off - 1);
	}
	if (len) {
		check_open_at(memory, 0);
		check_open_at(memory, len - 1);
	}
	if (end < last) {
		check_trap_at(memory, end);
		check_trap_at(memory, end + 1);
		check_trap_at(memory, end + (last - end) / 2);
		check_trap_at(memory, last - 1);
	}
}

/* Stride as small as it gets, and as compiled code wants it. */
static const uint64_t strides[] = { 0, LARGE_STRIDE };

static void guarded_config(struct fl_pool_config *config, uint64_t stride_bytes)
{
	conform_pool_config(config);
	config->memory_stride_bytes = stride_bytes;
	config->max_memory_bytes = 4 * MIB;
}

static void size_is_enforced(void)
{
	static const uint64_t sizes[] = { 0, WPAGE,  3 * WPAGE, 4 * MIB,
					  5, 761927, 4096,	8191 };

	for (size_t s = 0; s < TEST_ARRAY_SIZE(strides); s++) {
		struct fl_memory *memories[4];
		struct fl_pool_config config;
		struct conform conform;

		guarded_config(&config, strides[s]);
		conform_open(&conform, &config);
		for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i += 4) {
			/* All slots at once: one's guard is not another's
			 * memory. */
			for (size_t m = 0; m < 4; m++)
				memories[m] = conform_take(&conform, NULL,
							   sizes[i + m]);
			for (size_t m = 0; m < 4; m++)
				check_guarded(&conform, memories[m]);
			for (size_t m = 0; m < 4; m++)
				conform_give(memories[m]);
		}
		conform_close(&conform);
	}
}

static void size_is_enforced_after_growth(void)
{
	struct fl_pool_config config;
	struct conform conform;

	guarded_config(&config, LARGE_STRIDE);
	config.max_memories = 1;
	conform_open(&conform, &config);
	for (int round = 0; round < 10; round++) {
		struct fl_memory_config memory_config;
		struct fl_memory *memory;

		fl_memory_config_init(&memory_config);
		memory_config.max_bytes = 2 * WPAGE;
		memory = conform_acquire(&conform, &memory_config);
		check_guarded(&conform, memory);
		for (uint64_t i = 1; i <= 2; i++) {
			CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
			CHECK_EQ(fl_memory_length(memory), i * WPAGE);
			check_guarded(&conform, memory);
		}
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), -E2BIG);
		check_guarded(&conform, memory);
		conform_give(memory);
	}
	conform_close(&conform);
}

static void growth_in_single_bytes_is_enforced(void)
{
	struct conform conform;
	struct fl_memory_config config;
	struct fl_memory *memory;

	conform_open(&conform, NULL);
	fl_memory_config_init(&config);
	config.page_bytes = 1;
	config.initial_bytes = 5;
	memory = conform_acquire(&conform, &config);
	check_guarded(&conform, memory);
	CHECK_EQ(fl_memory_grow(memory, conform_hpage() - 5, NULL), 0);
	check_guarded(&conform, memory);
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
	check_guarded(&conform, memory);
	CHECK_EQ(fl_memory_grow(memory, 70000, NULL), 0);
	check_guarded(&conform, memory);
	conform_give(memory);
	conform_close(&conform);
}

/* A tenant that grew leaves nothing open for a smaller one. */
static void size_is_enforced_after_reuse(void)
{
	uint8_t *data = malloc(40 * WPAGE);
	struct fl_pool_config config;
	struct conform conform;
	struct fl_image *image;

	MUST(data != NULL);
	memset(data, 0x5c, 40 * WPAGE);
	guarded_config(&config, 0);
	config.max_memories = 1;
	conform_open(&conform, &config);
	image = conform_image_of(&conform, 40 * WPAGE, 0, data, 40 * WPAGE);
	for (int i = 0; i < 3; i++) {
		struct fl_memory *memory =
			conform_take(&conform, NULL, 5 * WPAGE);

		CHECK_EQ(fl_memory_grow(memory, 15, NULL), 0);
		memset(memory->base, 1, 20 * WPAGE);
		conform_give(memory);
		memory = conform_take(&conform, NULL, 5 * WPAGE);
		check_trap_at(memory, 15 * WPAGE);
		check_guarded(&conform, memory);
		conform_give(memory);
		memory = conform_take(&conform, image, 0);
		check_guarded(&conform, memory);
		conform_give(memory);
		memory = conform_take(&conform, NULL, 1);
		check_guarded(&conform, memory);
		CHECK_EQ(fl_memory_grow(memory, 10, NULL), 0);
		check_guarded(&conform, memory);
		conform_give(memory);
		memory = conform_take(&conform, NULL, 0);
		check_guarded(&conform, memory);
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
	free(data);
}

/* A maximum of 0 keeps stride and guards. */
static void maximum_of_zero_still_traps(void)
{
	struct fl_pool_config config;
	struct conform conform;
	struct fl_memory *memory;

	conform_pool_config(&config);
	config.max_memory_bytes = 0;
	config.memory_stride_bytes = LARGE_STRIDE;
	config.guard_before_bytes = WPAGE;
	conform_open(&conform, &config);
	CHECK_EQ(stride(&conform), LARGE_STRIDE);
	memory = conform_take(&conform, NULL, 0);
	MUST(memory != NULL);
	check_guarded(&conform, memory);
	CHECK(test_traps(memory->base));
	CHECK(test_traps(memory->base - 1));
	CHECK_EQ(fl_memory_grow(memory, 0, NULL), 0);
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), -E2BIG);
	conform_give(memory);
	conform_close(&conform);
}

static void guard_before_traps(void)
{
	for (size_t s = 0; s < TEST_ARRAY_SIZE(strides); s++) {
		struct fl_memory *memories[4];
		struct fl_pool_config config;
		struct conform conform;
		uint64_t hpage = conform_hpage();

		guarded_config(&config, strides[s]);
		config.guard_before_bytes = 2 * WPAGE;
		conform_open(&conform, &config);
		for (size_t m = 0; m < 4; m++)
			memories[m] = conform_take(&conform, NULL, 4 * MIB);
		for (size_t m = 0; m < 4; m++) {
			uint8_t *base = memories[m]->base;

			check_open_at(memories[m], 0);
			check_open_at(memories[m], 4 * MIB - 1);
			CHECK(test_traps(base - 1));
			CHECK(test_traps(base - 8));
			CHECK(test_traps(base - hpage));
			CHECK(test_traps(base - WPAGE));
			CHECK(test_traps(base - 2 * WPAGE));
			conform_give(memories[m]);
		}
		conform_close(&conform);
	}
}

/* A host page before every base is shut without being asked for: a runtime that
 * forgot prefix_bytes writes into nobody's mapping. */
static void before_the_base_traps(void)
{
	for (int kind = 0; kind < 4; kind++) {
		struct fl_memory *memories[4];
		struct fl_pool_config config;
		struct conform conform;

		guarded_config(&config, 0);
		if (kind & 1)
			config.allocation = FL_ALLOCATION_ON_DEMAND;
		if (kind & 2)
			config.bounds = FL_BOUNDS_ACCESSIBLE;
		CHECK_EQ(config.guard_before_bytes, 0);
		conform_open(&conform, &config);
		for (size_t m = 0; m < 4; m++)
			memories[m] = conform_take(&conform, NULL, WPAGE);
		for (size_t m = 0; m < 4; m++) {
			CHECK(test_traps(memories[m]->base - 1));
			CHECK(test_traps(memories[m]->base - 24));
			CHECK(test_traps(memories[m]->base - conform_hpage()));
			conform_give(memories[m]);
		}
		conform_close(&conform);
	}
}

static void guard_after_the_maximum_traps(void)
{
	struct fl_memory *memories[4];
	struct fl_pool_config config;
	struct conform conform;

	guarded_config(&config, 0);
	config.guard_after_bytes = 3 * WPAGE;
	conform_open(&conform, &config);
	CHECK(stride(&conform) >= 4 * MIB + 3 * WPAGE);
	for (size_t m = 0; m < 4; m++)
		memories[m] = conform_take(&conform, NULL, 4 * MIB);
	for (size_t m = 0; m < 4; m++) {
		check_trap_at(memories[m], 4 * MIB);
		check_trap_at(memories[m], 4 * MIB + WPAGE + 7);
		check_trap_at(memories[m], 4 * MIB + 3 * WPAGE - 1);
		conform_give(memories[m]);
	}
	conform_close(&conform);
}

/* wasm3: a header of 24 bytes before page 0; a guard before that. */
static void prefix_is_open(void)
{
	static const uint64_t prefixes[] = { 24, 4096, 10000 };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(prefixes); i++) {
		uint64_t prefix = prefixes[i];
		uint64_t open = conform_round_up(prefix, conform_hpage());
		struct fl_memory *memories[4];
		struct fl_pool_config config;
		struct conform conform;

		guarded_config(&config, 0);
		config.prefix_bytes = prefix;
		config.guard_before_bytes = WPAGE;
		conform_open(&conform, &config);
		for (size_t m = 0; m < 4; m++)
			memories[m] = conform_take(&conform, NULL,
						   m % 2 ? 4 * MIB : 0);
		for (size_t m = 0; m < 4; m++) {
			uint8_t *base = memories[m]->base;

			CHECK_EQ((uintptr_t)base % conform_hpage(), 0);
			CHECK(test_open(base - 1));
			CHECK(test_open(base - prefix));
			CHECK(test_traps(base - open - 1));
			CHECK(test_traps(base - open - WPAGE));
			check_trap_at(memories[m], 4 * MIB);
			conform_give(memories[m]);
		}
		conform_close(&conform);
	}
}

/* RLBox: a base on a multiple of 4 GiB lets the sandbox mask pointers. */
static void bases_are_aligned(void)
{
	static const uint64_t alignments[] = { HALF_STRIDE, MIB, 2 * MIB,
					       65536 };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(alignments); i++) {
		struct fl_memory *memories[4];
		struct fl_pool_config config;
		struct conform conform;

		guarded_config(&config, 0);
		config.memory_alignment_bytes = alignments[i];
		if (i % 2)
			config.prefix_bytes = 100;
		conform_open(&conform, &config);
		CHECK_EQ(stride(&conform) % alignments[i], 0);
		for (size_t m = 0; m < 4; m++) {
			memories[m] = conform_take(&conform, NULL, WPAGE);
			CHECK_EQ((uintptr_t)memories[m]->base % alignments[i],
				 0);
			check_guarded(&conform, memories[m]);
		}
		for (size_t m = 0; m < 4; m++)
			conform_give(memories[m]);
		conform_close(&conform);
	}
}

/* Where addresses end before the first multiple of 4 GiB, the pool or its memory
 * is refused, and nothing else is unmapped. */
static int align_to_all(void *arg)
{
	uint8_t *addr = NULL;
	struct conform conform = { conform_context(), NULL };
	struct fl_error error = { .text = "" };
	struct fl_memory_config memory_config;
	struct fl_memory *memory = NULL;
	int expected = sizeof(void *) < 8 ? -ENOMEM : 0, err;

	err = fl__os_reserve(2 * conform_hpage(), 4 * GIB, &addr);
	CHECK_EQ(err, expected);
	if (!err)
		fl__os_release(addr, 2 * conform_hpage());
	err = fl_pool_create(conform.context, arg, &conform.pool, &error);
	if (err) {
		CHECK_EQ(err, expected);
		fl_context_destroy(conform.context);
		return 0;
	}
	fl_memory_config_init(&memory_config);
	memory_config.initial_bytes = WPAGE;
	CHECK_EQ(fl_memory_acquire(conform.pool, &memory_config, &memory,
				   &error),
		 expected);
	if (memory)
		conform_give(memory);
	conform_close(&conform);
	return 0;
}

static void alignment_of_all_addresses(void)
{
	struct fl_pool_config config;

	guarded_config(&config, 0);
	config.max_memories = config.max_instances = 1;
	config.memory_alignment_bytes = 4 * GIB;
	conform_check_child(align_to_all, &config);
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	conform_check_child(align_to_all, &config);
}

/* Bases lie a whole number of strides apart. */
static void stride_is_as_configured(void)
{
	struct fl_memory *memories[4];
	struct fl_pool_config config;
	struct conform conform;

	for (size_t s = 0; s < TEST_ARRAY_SIZE(strides); s++) {
		guarded_config(&config, strides[s]);
		conform_open(&conform, &config);
		if (strides[s])
			CHECK_EQ(stride(&conform), strides[s]);
		CHECK(stride(&conform) >= 4 * MIB + WPAGE);
		CHECK(stride(&conform) <= strides[s] + 4 * MIB + 4 * WPAGE);
		for (size_t m = 0; m < 4; m++)
			memories[m] = conform_take(&conform, NULL, WPAGE);
		for (size_t m = 1; m < 4; m++) {
			int64_t apart = memories[m]->base - memories[0]->base;

			CHECK(apart != 0);
			CHECK_EQ(apart % (int64_t)stride(&conform), 0);
			CHECK(apart / (int64_t)stride(&conform) <= 3);
		}
		for (size_t m = 0; m < 4; m++)
			conform_give(memories[m]);
		conform_close(&conform);
	}
}

/* An accessible pool leaves the maximum open and the guard shut, and growth
 * changes neither. */
static void accessible_pool(void)
{
	struct fl_pool_config config;
	struct conform conform;

	guarded_config(&config, 0);
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	config.max_memories = 1;
	conform_open(&conform, &config);
	for (int round = 0; round < 3; round++) {
		struct fl_memory *memory =
			conform_take(&conform, NULL, round ? WPAGE : 0);

		for (int i = 0; i < 3; i++) {
			check_open_at(memory, 0);
			check_open_at(memory, 2 * WPAGE);
			check_open_at(memory, 4 * MIB - 1);
			check_trap_at(memory, 4 * MIB);
			check_trap_at(memory, 4 * MIB + WPAGE - 1);
			CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
		}
		conform_give(memory);
	}
	conform_close(&conform);
}

/* Memories of one wpage, as close as a pool lays them: what crosses the end of
 * one reaches its guard and not the next, whatever is there. */
static void neighbours_are_apart(void)
{
	struct fl_memory *memories[4];
	struct fl_pool_config config;
	struct conform conform;

	conform_pool_config(&config);
	config.max_memory_bytes = WPAGE;
	config.guard_after_bytes = 1;
	conform_open(&conform, &config);
	for (size_t i = 0; i < 4; i++) {
		memories[i] = conform_take(&conform, NULL, WPAGE);
		memset(memories[i]->base, 'a' + (int)i, WPAGE);
	}
	for (size_t i = 0; i < 4; i++) {
		check_open_at(memories[i], WPAGE - 1);
		check_trap_at(memories[i], WPAGE);
		CHECK_EQ(fl_memory_copy(memories[i], WPAGE - 4,
					memories[(i + 1) % 4], 0, 8),
			 FL_TRAP_MEMORY_OUT_OF_BOUNDS);
		CHECK_EQ(conform_first_data(memories[i]->base, WPAGE), 0);
		CHECK_EQ(memories[i]->base[WPAGE - 1], 'a' + i);
	}
	for (size_t i = 0; i < 4; i++)
		conform_give(memories[i]);
	conform_close(&conform);
}

/* ----------------------------------------------------------------- children */

static int child_reads(void *arg)
{
	(void)*(volatile uint8_t *)arg;
	return 0;
}

static int child_stores(void *arg)
{
	*(volatile uint8_t *)arg = 1;
	return 0;
}

static void check_child(uint8_t *addr, bool traps)
{
	static int (*const fns[])(void *) = { child_reads, child_stores };

	for (size_t i = 0; i < 2; i++) {
		struct test_end end = test_fork(fns[i], addr, 10);

		CHECK_EQ(end.signo, traps ? SIGSEGV : 0);
		CHECK_EQ(end.status, traps ? -1 : 0);
	}
}

/* The same without a handler, as a whole process sees it. */
static void children_die_of_sigsegv(void)
{
	struct fl_pool_config config;
	struct conform conform;
	struct fl_memory *memory;

	guarded_config(&config, LARGE_STRIDE);
	config.max_memories = 1;
	config.guard_before_bytes = WPAGE;
	conform_open(&conform, &config);
	memory = conform_take(&conform, NULL, WPAGE);
	for (uint64_t size = WPAGE; size <= 2 * WPAGE; size += WPAGE) {
		check_child(memory->base, false);
		check_child(memory->base + size - 1, false);
		check_child(memory->base - 1, true);
		check_child(memory->base + size, true);
		check_child(memory->base + 4 * MIB, true);
		check_child(memory->base + HALF_STRIDE, true);
		check_child(memory->base + LARGE_STRIDE - 1, true);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
	}
	conform_give(memory);
	conform_close(&conform);
}

/* ------------------------------------------------------------------- lookup */

static void check_lookup(const struct fl_context *context, const void *addr,
			 enum fl_fault_kind kind, struct fl_memory *memory,
			 struct fl_instance *instance)
{
	struct fl_fault fault;

	memset(&fault, 0x5a, sizeof(fault));
	CHECK(fl_fault_lookup(context, addr, &fault));
	CHECK_EQ(fault.kind, kind);
	CHECK_EQ(fault.is_trap, kind == FL_FAULT_OUT_OF_BOUNDS);
	if (kind == FL_FAULT_OUT_OF_BOUNDS)
		CHECK_EQ(fault.trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
	if (kind == FL_FAULT_FREE_SLOT)
		return;
	CHECK(fault.memory == memory);
	CHECK(fault.instance == instance);
	CHECK_EQ(fault.offset_bytes, (const uint8_t *)addr - memory->base);
}

static void lookup_of_a_memory(void)
{
	const enum fl_fault_kind in = FL_FAULT_IN_BOUNDS;
	const enum fl_fault_kind out = FL_FAULT_OUT_OF_BOUNDS;

	for (size_t s = 0; s < TEST_ARRAY_SIZE(strides); s++) {
		struct fl_memory *memories[4], *memory;
		struct fl_pool_config config;
		struct conform conform;
		uint64_t last;

		guarded_config(&config, strides[s]);
		config.guard_before_bytes = WPAGE;
		conform_open(&conform, &config);
		last = stride(&conform) - 1;
		for (size_t m = 0; m < 4; m++)
			memories[m] = conform_take(&conform, NULL, WPAGE + 9);
		for (size_t m = 0; m < 4; m++) {
			struct fl_context *context = conform.context;
			uint8_t *base = memories[m]->base;

			memory = memories[m];
			check_lookup(context, base, in, memory, NULL);
			check_lookup(context, base + WPAGE + 8, in, memory,
				     NULL);
			check_lookup(context, base + WPAGE + 9, out, memory,
				     NULL);
			check_lookup(context, base + 2 * WPAGE, out, memory,
				     NULL);
			check_lookup(context, base + 4 * MIB, out, memory,
				     NULL);
			check_lookup(context, base + last, out, memory, NULL);
			CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
			check_lookup(context, base + 2 * WPAGE, in, memory,
				     NULL);
		}
		conform_give(memories[1]);
		check_lookup(conform.context, memories[2]->base, in,
			     memories[2], NULL);
		conform_give(memories[0]);
		conform_give(memories[2]);
		conform_give(memories[3]);
		conform_close(&conform);
	}
}

/* The lowest slot: an access before its base is out of bounds, at a negative
 * offset. */
static void lookup_before_the_base(void)
{
	struct fl_pool_config config;
	struct conform conform;
	struct fl_memory *memory;
	struct fl_fault fault;

	guarded_config(&config, 0);
	config.max_memories = 1;
	config.guard_before_bytes = WPAGE;
	conform_open(&conform, &config);
	memory = conform_take(&conform, NULL, WPAGE);
	CHECK(fl_fault_lookup(conform.context, memory->base - 9, &fault));
	CHECK_EQ(fault.offset_bytes, -9);
	check_lookup(conform.context, memory->base - 1, FL_FAULT_OUT_OF_BOUNDS,
		     memory, NULL);
	check_lookup(conform.context, memory->base - WPAGE,
		     FL_FAULT_OUT_OF_BOUNDS, memory, NULL);
	conform_give(memory);
	conform_close(&conform);
}

static void lookup_of_a_free_slot(void)
{
	struct fl_fault fault;
	struct conform conform;
	struct fl_memory *memory;
	uint8_t *base;

	conform_open(&conform, NULL);
	memory = conform_take(&conform, NULL, WPAGE);
	base = memory->base;
	conform_give(memory);
	check_lookup(conform.context, base, FL_FAULT_FREE_SLOT, NULL, NULL);
	check_lookup(conform.context, base + WPAGE, FL_FAULT_FREE_SLOT, NULL,
		     NULL);
	CHECK_EQ(fl_pool_destroy(conform.pool), 0);
	CHECK(!fl_fault_lookup(conform.context, base, &fault));
	CHECK_EQ(fault.kind, FL_FAULT_NOT_OURS);
	fl_context_destroy(conform.context);
}

static void lookup_of_foreign_addresses(void)
{
	struct fl_context *other = conform_context();
	struct conform conform;
	struct fl_memory *memory;
	struct fl_fault fault;
	int local = 0;
	const void *foreign[] = { NULL, &local, "text", (void *)UINTPTR_MAX,
				  (void *)(uintptr_t)&lookup_of_a_memory };

	conform_open(&conform, NULL);
	memory = conform_take(&conform, NULL, WPAGE);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(foreign); i++) {
		memset(&fault, 0x5a, sizeof(fault));
		CHECK(!fl_fault_lookup(conform.context, foreign[i], &fault));
		CHECK_EQ(fault.kind, FL_FAULT_NOT_OURS);
		CHECK_EQ(fault.is_trap, 0);
	}
	/* Another context's pool is not ours. */
	CHECK(!fl_fault_lookup(other, memory->base, &fault));
	conform_give(memory);
	conform_close(&conform);
	fl_context_destroy(other);
}

static void lookup_with_several_pools(void)
{
	struct conform conforms[3];
	struct fl_memory *memories[3];
	struct fl_fault fault;

	conform_open(&conforms[0], NULL);
	for (int i = 1; i < 3; i++) {
		struct fl_error error = { .text = "" };
		struct fl_pool_config config;

		conform_pool_config(&config);
		conforms[i].context = conforms[0].context;
		CONFORM_MUST(fl_pool_create(conforms[i].context, &config,
					    &conforms[i].pool, &error),
			     &error);
	}
	for (int i = 0; i < 3; i++)
		memories[i] = conform_take(&conforms[i], NULL, WPAGE);
	for (int i = 0; i < 3; i++) {
		check_lookup(conforms[0].context, memories[i]->base + WPAGE,
			     FL_FAULT_OUT_OF_BOUNDS, memories[i], NULL);
		CHECK(fl_memory_find(conforms[i].pool, memories[i]->base) ==
		      memories[i]);
		CHECK(!fl_memory_find(conforms[(i + 1) % 3].pool,
				      memories[i]->base));
	}
	for (int i = 1; i < 3; i++) {
		uint8_t *base = memories[i]->base;

		conform_give(memories[i]);
		CHECK_EQ(fl_pool_destroy(conforms[i].pool), 0);
		CHECK(!fl_fault_lookup(conforms[0].context, base, &fault));
		check_lookup(conforms[0].context, memories[0]->base + WPAGE,
			     FL_FAULT_OUT_OF_BOUNDS, memories[0], NULL);
	}
	conform_give(memories[0]);
	conform_close(&conforms[0]);
}

/* The way a runtime does it: in its own handler, at the time of the fault. */
static struct {
	struct fl_context *context;
	struct fl_fault fault;
	bool is_ours;
} guest;

static void guest_faulted(const void *addr)
{
	guest.is_ours = fl_fault_lookup(guest.context, addr, &guest.fault);
}

static void store_one(void *addr)
{
	*(volatile uint8_t *)addr = 1;
}

static bool guest_stores(uint8_t *addr)
{
	guest.is_ours = false;
	return test_catch_seen(store_one, addr, guest_faulted).signo;
}

static void handler_names_the_instance(void)
{
	struct fl_instance *instances[2] = { NULL, NULL };
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct conform conform;
	struct fl_module *module;

	guarded_config(&config, LARGE_STRIDE);
	conform_open(&conform, &config);
	module = load_module(&conform);
	guest.context = conform.context;
	for (int i = 0; i < 2; i++)
		CONFORM_MUST(fl_instance_acquire(conform.pool, module, NULL,
						 &instances[i], &error),
			     &error);
	for (int i = 0; i < 2; i++) {
		struct fl_memory *memory = fl_instance_memory(instances[i], 0);

		MUST(memory != NULL);
		check_guarded(&conform, memory);
		CHECK(!guest_stores(memory->base + WPAGE - 1));
		CHECK(guest_stores(memory->base + HALF_STRIDE + 12345));
		CHECK(guest.is_ours);
		CHECK_EQ(guest.fault.kind, FL_FAULT_OUT_OF_BOUNDS);
		CHECK_EQ(guest.fault.is_trap, 1);
		CHECK_EQ(guest.fault.trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
		CHECK(guest.fault.instance == instances[i]);
		CHECK(guest.fault.memory == memory);
		CHECK_EQ(guest.fault.offset_bytes, HALF_STRIDE + 12345);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
		CHECK(!guest_stores(memory->base + WPAGE));
		CHECK(guest_stores(memory->base + 2 * WPAGE));
		CHECK_EQ(guest.fault.offset_bytes, 2 * WPAGE);
	}
	for (int i = 0; i < 2; i++)
		CHECK_EQ(fl_instance_release(instances[i]), 0);
	fl_module_release(module);
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE(size_is_enforced),
	TEST_CASE(size_is_enforced_after_growth),
	TEST_CASE(growth_in_single_bytes_is_enforced),
	TEST_CASE(size_is_enforced_after_reuse),
	TEST_CASE(maximum_of_zero_still_traps),
	TEST_CASE(guard_before_traps),
	TEST_CASE(before_the_base_traps),
	TEST_CASE(guard_after_the_maximum_traps),
	TEST_CASE(prefix_is_open),
	TEST_CASE(bases_are_aligned),
	TEST_CASE(alignment_of_all_addresses),
	TEST_CASE(stride_is_as_configured),
	TEST_CASE(accessible_pool),
	TEST_CASE(neighbours_are_apart),
	TEST_CASE(children_die_of_sigsegv),
	TEST_CASE(lookup_of_a_memory),
	TEST_CASE(lookup_before_the_base),
	TEST_CASE(lookup_of_a_free_slot),
	TEST_CASE(lookup_of_foreign_addresses),
	TEST_CASE(lookup_with_several_pools),
	TEST_CASE(handler_names_the_instance),
};

CONFORM_MAIN(cases)
