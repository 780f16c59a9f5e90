/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * kept.c - what slots keep beside pages: page tables and what the library knows
 * of pages, after tenants that were large once, of dropped segments, and stacks.
 *
 * A page table stays when its pages are dropped. The judge is what the kernel
 * says of this process: page tables, resident memory.
 */
#include "tests/kit/conform.h"
#include "tests/kit/conform_module.h"
#include "tests/kit/host.h"
#include "tests/kit/procfs.h"

#include <stdlib.h>
#include <sys/mman.h>

#define SLOTS 6
#define LARGE_BYTES (sizeof(void *) < 8 ? 160 * MIB : 512 * MIB)
#define LARGE_TABLES (LARGE_BYTES / (2 * MIB))
/* Page tables of two slots. */
#define TWO_SLOTS (LARGE_BYTES / 256)
#define SLACK_BYTES (512 * KIB)

static uint64_t table_bytes(void)
{
	return procfs_status_kib("VmPTE") * KIB;
}

static void large_config(struct fl_pool_config *config)
{
	conform_pool_config(config);
	config->max_memories = SLOTS;
	config->max_memory_bytes = LARGE_BYTES;
}

static void touch(struct fl_memory *memory, bool writes)
{
	volatile uint8_t *bytes = memory->base;

	for (uint64_t at = 0; at < fl_memory_length(memory); at += 2 * MIB) {
		if (writes)
			bytes[at] = 1;
		else
			(void)bytes[at];
	}
}

/* All slots at once, twice: tenants that read, or write, a byte in each 2 MiB. */
static void large_tenants(struct conform *conform, bool writes)
{
	struct fl_memory *memories[SLOTS];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < SLOTS; i++) {
			memories[i] = conform_take(conform, NULL, LARGE_BYTES);
			touch(memories[i], writes);
		}
		for (int i = 0; i < SLOTS; i++)
			conform_give(memories[i]);
	}
}

static void small_tenants(struct conform *conform)
{
	struct fl_memory *memories[SLOTS];

	for (int i = 0; i < SLOTS; i++) {
		memories[i] = conform_take(conform, NULL, WPAGE);
		memories[i]->base[5] = 1;
	}
	for (int i = 0; i < SLOTS; i++)
		conform_give(memories[i]);
}

static void check_tables(uint64_t before, uint64_t budget)
{
	uint64_t now = table_bytes();

	/* A sanitizer has page tables of its own. */
	if (test_is_sanitized())
		return;
	if (!CHECK(now <= before + budget + SLACK_BYTES))
		test_note("%ju KiB of page tables, %ju before",
			  (uintmax_t)now / KIB, (uintmax_t)before / KIB);
}

/* A budget of a slot that its page tables alone pass. */
static void a_slot_keeps_its_budget(void)
{
	for (int writes = 0; writes < 2; writes++) {
		struct fl_pool_config config;
		struct conform conform;
		uint64_t before;

		large_config(&config);
		config.max_idle_slot_bytes = 256 * KIB;
		conform_open(&conform, &config);
		before = table_bytes();
		large_tenants(&conform, writes);
		check_tables(before, 0);
		small_tenants(&conform);
		CHECK_EQ(conform_info(&conform).retired_memories, 0);
		conform_close(&conform);
	}
}

/* A budget of the pool, which the page tables of two slots pass: the other slots
 * are emptied, and a tenant that is small changes nothing for the worse. */
static void a_pool_keeps_its_budget(void)
{
	for (int writes = 0; writes < 2; writes++) {
		struct fl_pool_config config;
		struct conform conform;
		uint64_t before;

		large_config(&config);
		config.max_idle_bytes = TWO_SLOTS;
		conform_open(&conform, &config);
		before = table_bytes();
		large_tenants(&conform, writes);
		check_tables(before, TWO_SLOTS);
		CHECK(conform_info(&conform).idle_kept_bytes <= TWO_SLOTS);
		/* One that wrote passes the budget alone, by its pages. */
		CHECK(writes || conform_info(&conform).idle_kept_bytes >=
					LARGE_TABLES * conform_hpage());
		small_tenants(&conform);
		check_tables(before, TWO_SLOTS);
		conform_close(&conform);
	}
}

/* Without a budget a trim gives it back, in part too, and usage tells. */
static void a_trim_gives_tables_back(void)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_pool_config config;
	struct conform conform;
	uint64_t before, full, half, trimmed = 0;
	bool is_told;

	large_config(&config);
	conform_open(&conform, &config);
	before = table_bytes();
	large_tenants(&conform, true);
	full = table_bytes();
	is_told = !fl_pool_usage(conform.pool, &usage, NULL);
	/* Newer kernels free page tables where everything is dropped. */
	if (is_told) {
		CHECK(full >=
		      before + SLOTS * LARGE_TABLES * conform_hpage() / 2);
		CHECK(usage.table_bytes >=
		      SLOTS * LARGE_TABLES * conform_hpage());
		CHECK(usage.record_bytes > 0);
		CHECK_EQ(fl_pool_trim(conform.pool, TWO_SLOTS, &trimmed), 0);
		half = table_bytes();
		CHECK(trimmed >= TWO_SLOTS && trimmed < 4 * TWO_SLOTS);
		CHECK(half < full && half > before + TWO_SLOTS / 2);
	}
	CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL), 0);
	check_tables(before, 0);
	if (is_told && !fl_pool_usage(conform.pool, &usage, NULL)) {
		CHECK_EQ(usage.table_bytes, 0);
		CHECK_EQ(usage.record_bytes, 0);
	}
	conform_close(&conform);
}

/* ------------------------------------------------------------------ segments */

#define SEGMENTS 6400

static struct fl_module *module_of_segments(struct conform *conform)
{
	struct wasm w = { 0 }, data = { 0 };

	wasm_header(&w);
	wasm_one_memory(&w, 1, WASM_NO_MAX);
	wasm_u(&data, SEGMENTS);
	for (int i = 0; i < SEGMENTS; i++)
		wasm_data_passive(&data, "x", 1);
	wasm_section(&w, WASM_DATA, &data);
	return module_load(conform, &w);
}

static uint64_t records(struct conform *conform)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };

	return fl_pool_usage(conform->pool, &usage, NULL) ? 0 :
							    usage.record_bytes;
}

/* A slot's bits of dropped segments are told, and a trim of everything gives them
 * back. Whether the next tenant has dropped a segment is its own doing. */
static void bits_of_segments_go(void)
{
	struct fl_module *module;
	struct conform conform;
	bool is_told;

	conform_open(&conform, NULL);
	module = module_of_segments(&conform);
	for (int round = 0; round < 3; round++) {
		struct fl_instance *instance = instance_start(&conform, module);
		uint64_t kept = records(&conform);

		is_told = kept != 0;
		CHECK(!is_told || kept >= SEGMENTS / 8);
		CHECK_EQ(fl_memory_init(instance, 0, SEGMENTS - 1, 7, 0, 1),
			 FL_TRAP_NONE);
		fl_data_drop(instance, SEGMENTS - 1);
		CHECK_EQ(fl_memory_init(instance, 0, SEGMENTS - 1, 7, 0, 1),
			 FL_TRAP_MEMORY_OUT_OF_BOUNDS);
		instance_stop(instance);
		CHECK(!is_told || records(&conform) >= SEGMENTS / 8);
		CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL), 0);
		CHECK_EQ(records(&conform), 0);
	}
	fl_module_release(module);
	conform_close(&conform);
}

/* -------------------------------------------------------------------- stacks */

#define STACK_BYTES MIB

static void stacks_config(struct fl_pool_config *config)
{
	conform_pool_config(config);
	config->max_stacks = SLOTS;
	config->stack_bytes = STACK_BYTES;
}

static uint64_t resident(struct fl_stack *const *stacks)
{
	unsigned char there[STACK_BYTES / 4096];
	uint64_t sum = 0;

	for (int i = 0; i < SLOTS; i++) {
		CHECK_EQ(mincore(stacks[i]->low, STACK_BYTES, there), 0);
		for (uint64_t k = 0; k < STACK_BYTES / conform_hpage(); k++)
			sum += there[k] & 1 ? conform_hpage() : 0;
	}
	return sum;
}

static void use_stacks(struct conform *conform, struct fl_stack **stacks)
{
	for (int i = 0; i < SLOTS; i++) {
		MUST_EQ(fl_stack_acquire(conform->pool, 0, &stacks[i], NULL),
			0);
		memset(stacks[i]->low, 1, STACK_BYTES);
	}
	CHECK_EQ(resident(stacks), SLOTS * STACK_BYTES);
	for (int i = 0; i < SLOTS; i++)
		CHECK_EQ(fl_stack_release(stacks[i]), 0);
}

/* Without a budget stacks keep their pages; usage tells and a trim gives them
 * back, and a stack serves again. */
static void stacks_are_trimmed(void)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_stack *stacks[SLOTS];
	struct fl_pool_config config;
	struct conform conform;
	uint64_t trimmed = 0;

	stacks_config(&config);
	conform_open(&conform, &config);
	for (int round = 0; round < 2; round++) {
		use_stacks(&conform, stacks);
		CHECK_EQ(resident(stacks), SLOTS * STACK_BYTES);
		if (!fl_pool_usage(conform.pool, &usage, NULL))
			CHECK_EQ(usage.stack_bytes, SLOTS * STACK_BYTES);
		CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, &trimmed), 0);
		CHECK(trimmed >= SLOTS * STACK_BYTES);
		CHECK_EQ(resident(stacks), 0);
	}
	conform_close(&conform);
}

static void stacks_keep_the_budgets(void)
{
	struct fl_stack *stacks[SLOTS];
	struct fl_pool_config config;
	struct conform conform;

	for (int of_pool = 0; of_pool < 2; of_pool++) {
		stacks_config(&config);
		if (of_pool)
			config.max_idle_bytes = 2 * STACK_BYTES;
		else
			config.max_idle_slot_bytes = STACK_BYTES / 2;
		conform_open(&conform, &config);
		use_stacks(&conform, stacks);
		CHECK(resident(stacks) <= of_pool * 2 * STACK_BYTES);
		if (of_pool)
			CHECK_EQ(conform_info(&conform).idle_kept_bytes,
				 2 * STACK_BYTES);
		conform_close(&conform);
	}
}

static const struct test_case cases[] = {
	TEST_CASE(a_slot_keeps_its_budget),
	TEST_CASE(a_pool_keeps_its_budget),
	TEST_CASE(a_trim_gives_tables_back),
	TEST_CASE(bits_of_segments_go),
	TEST_CASE_NEEDS(stacks_are_trimmed, test_needs_resident),
	TEST_CASE_NEEDS(stacks_keep_the_budgets, test_needs_resident),
};

CONFORM_MAIN(cases)
