/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * mappings.c - what slots cost beside their memory: mappings and page tables.
 *
 * A pool that is one mapping stays one, whatever its slots go through, and a
 * trim gives back the page tables that slots share. Where guards are marks within
 * a mapping, they are guards at every moment all the same. Where the kernel gives
 * no mapping more, no slot is lost.
 */
#define _GNU_SOURCE
#include "tests/kit/conform_module.h"
#include "tests/kit/clock.h"
#include "tests/kit/procfs.h"
#include "tests/kit/trap.h"

#include <sys/mman.h>

#define SLOTS 400

struct many {
	struct conform conform;
	struct fl_memory *memories[SLOTS];
};

static void many_open(struct many *many, const struct fl_pool_config *config)
{
	conform_open(&many->conform, config);
}

/* Each tenant writes in the first page and in the last one. */
static void use_all(struct many *many, uint64_t bytes)
{
	for (int i = 0; i < SLOTS; i++) {
		struct fl_memory *memory =
			conform_take(&many->conform, NULL, bytes);

		CHECK_EQ(memory->base[5], 0);
		CHECK_EQ(memory->base[bytes - 1], 0);
		memory->base[5] = memory->base[bytes - 1] = 1;
		many->memories[i] = memory;
	}
}

static void give_all(struct many *many)
{
	for (int i = 0; i < SLOTS; i++)
		conform_give(many->memories[i]);
}

/* Slots side by side, all accessible: nothing lies between them. */
static void open_dense(struct many *many)
{
	struct fl_pool_config config;

	conform_pool_config(&config);
	config.max_memories = SLOTS;
	config.max_memory_bytes = WPAGE;
	config.guard_after_bytes = 0;
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	many_open(many, &config);
}

static void dense_pool_stays_whole(void)
{
	struct fl_pool_info info;
	struct many many;
	unsigned int before;

	open_dense(&many);
	before = procfs_footprint().mappings;
	for (int round = 0; round < 4; round++) {
		use_all(&many, WPAGE);
		CHECK(procfs_footprint().mappings < before + 10);
		give_all(&many);
		CHECK(procfs_footprint().mappings < before + 10);
	}
	/* Every second slot is emptied while the others are in use. */
	use_all(&many, WPAGE);
	for (int i = 0; i < SLOTS; i += 2)
		conform_give(many.memories[i]);
	CHECK_EQ(fl_pool_trim(many.conform.pool, UINT64_MAX, NULL), 0);
	for (int i = 0; i < SLOTS; i += 2)
		many.memories[i] = conform_take(&many.conform, NULL, WPAGE);
	give_all(&many);
	for (int round = 0; round < 3; round++) {
		use_all(&many, WPAGE);
		give_all(&many);
	}
	if (strcmp(test_rung->how, "track") == 0)
		CHECK(procfs_footprint().mappings < before + 10);
	CHECK_EQ(fl_pool_trim(many.conform.pool, UINT64_MAX, NULL), 0);
	CHECK(procfs_footprint().mappings < before + 10);
	info = conform_info(&many.conform);
	CHECK_EQ(info.retired_memories, 0);
	CHECK_EQ(info.warm_memories, 0);
	conform_close(&many.conform);
}

static void trim_gives_page_tables_back(void)
{
	struct fl_pool_config config;
	uint64_t before, idle, trimmed;
	struct many many;

	conform_pool_config(&config);
	config.max_memories = SLOTS;
	config.max_memory_bytes = MIB;
	many_open(&many, &config);
	before = procfs_status_kib("VmPTE");
	for (int round = 0; round < 2; round++) {
		use_all(&many, MIB);
		idle = procfs_status_kib("VmPTE") - before;
		give_all(&many);
	}
	CHECK_EQ(fl_pool_trim(many.conform.pool, UINT64_MAX, NULL), 0);
	trimmed = procfs_status_kib("VmPTE") - before;
	test_note("page tables: %llu KiB in use, %llu KiB trimmed",
		  (unsigned long long)idle, (unsigned long long)trimmed);
	/* Two slots share a table of 4 KiB, or more where pages are larger. */
	CHECK(idle >= SLOTS);
	CHECK(trimmed <= idle / 8);
	use_all(&many, MIB);
	give_all(&many);
	conform_close(&many.conform);
}

/* What one tenant touched far above its successors' size is not kept, nor
 * scanned, for ever. */
static void a_large_tenant_is_forgotten(void)
{
	struct fl_pool_config config;
	struct conform conform;
	struct fl_memory *memory;
	uint8_t *base = NULL;

	conform_pool_config(&config);
	config.max_memories = 1;
	config.max_memory_bytes = 64 * MIB;
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	conform_open(&conform, &config);
	for (int i = 0; i < 200; i++) {
		memory = conform_take(&conform, NULL, WPAGE);
		base = memory->base;
		CHECK_EQ(base[100], 0);
		base[100] = 1;
		if (i == 1 || i == 2) {
			MUST_EQ(fl_memory_grow(memory, 300, NULL), 0);
			for (uint64_t at = 4 * MIB; at < 16 * MIB;
			     at += 8 * KIB)
				base[at] = 1;
		}
		/* Tenants may write beyond their size here. */
		CHECK_EQ(base[5 * MIB], i == 1 || i == 2);
		conform_give(memory);
	}
	if (!strcmp(test_rung->how, "track"))
		CHECK(procfs_resident(base + 4 * MIB, base + 16 * MIB)
			      .private_bytes < MIB);
	memory = conform_take(&conform, NULL, 20 * MIB);
	CHECK_EQ(conform_first_data(memory->base, 20 * MIB), 20 * MIB);
	conform_give(memory);
	conform_close(&conform);
}

#define SPAN (sizeof(void *) < 8 ? GIB : 4 * GIB)

/* Far behind what is registered, where one scan looks for page tables first.
 * Quiet tenants have the slot's end given back, then one writes there. */
static void far_pages_are_found(void)
{
	struct fl_pool_config config;
	struct conform conform;
	uint64_t quiet_ns = 0, start_ns;

	conform_pool_config(&config);
	config.max_memories = 1;
	config.max_memory_bytes = SPAN;
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	conform_open(&conform, &config);
	for (uint64_t i = 0; i < 800; i++) {
		struct fl_memory *memory = conform_take(&conform, NULL, WPAGE);
		uint64_t far = (i / 80 * 977 + 600) * 64 * KIB % SPAN;
		uint8_t *base = memory->base;

		CHECK_EQ(base[100], 0);
		base[100] = 1;
		if (i % 80 == 77 || i % 80 == 78) {
			CHECK_EQ(base[far] + base[far + 8 * KIB], 0);
			CHECK_EQ(base[SPAN - 1] + base[SPAN - MIB], 0);
		}
		if (i % 80 == 77)
			base[far] = base[SPAN - 1] = 1;
		start_ns = test_now_ns();
		conform_give(memory);
		if (i % 80 >= 70 && i % 80 < 77)
			quiet_ns += test_now_ns() - start_ns;
	}
	test_note("a release after quiet tenants: %llu ns",
		  (unsigned long long)quiet_ns / 70);
	conform_close(&conform);
}

#define FEW 60

/* One of each kind that is accessible as a whole. */
struct sets {
	struct conform conform;
	struct fl_module *module;
	struct fl_instance *instances[FEW];
	struct fl_table *tables[FEW];
	struct fl_stack *stacks[FEW];
};

static void sets_open(struct sets *sets, enum fl_stack_growth growth)
{
	static const uint8_t null[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	struct fl_pool_config config;
	struct wasm empty = { 0 };

	conform_pool_config(&config);
	config.max_memories = 0;
	config.max_instances = config.max_tables = config.max_stacks = FEW;
	config.instance_bytes = 3 * KIB;
	config.instance_alignment_bytes = 16 * KIB;
	config.max_table_elements = 1024;
	config.table_element_bytes = 8;
	config.table_null = null;
	config.stack_bytes = 64 * KIB;
	config.stack_growth = growth;
	config.zero_stacks = growth == FL_STACK_GROWS_UP;
	conform_open(&sets->conform, &config);
	wasm_header(&empty);
	sets->module = module_load(&sets->conform, &empty);
}

static void sets_take(struct sets *sets, int first, int step)
{
	struct fl_table_config config;

	for (int i = first; i < FEW; i += step) {
		fl_table_config_init(&config);
		config.initial_elements = i % 3 ? 1024 : 0;
		MUST_EQ(fl_table_acquire(sets->conform.pool, &config,
					 &sets->tables[i], NULL),
			0);
		MUST_EQ(fl_stack_acquire(sets->conform.pool, 0,
					 &sets->stacks[i], NULL),
			0);
		sets->instances[i] =
			instance_start(&sets->conform, sets->module);
	}
}

static void sets_give(struct sets *sets, int first, int step)
{
	for (int i = first; i < FEW; i += step) {
		CHECK_EQ(fl_table_release(sets->tables[i]), 0);
		CHECK_EQ(fl_stack_release(sets->stacks[i]), 0);
		instance_stop(sets->instances[i]);
	}
}

/* The kernel too answers that nothing is there. */
static void check_guards(uint8_t *low, uint8_t *high)
{
	CHECK(test_traps(low - 1));
	CHECK(test_traps(low - conform_hpage()));
	CHECK(test_traps(high));
	CHECK(test_traps(high + conform_hpage() - 1));
	CHECK(test_open(low));
	CHECK(test_open(high - 1));
}

static void sets_check(struct sets *sets, int first, int step)
{
	for (int i = first; i < FEW; i += step) {
		struct fl_stack *stack = sets->stacks[i];
		uint8_t *table = sets->tables[i]->base;
		struct fl_fault fault;

		memset(stack->low, 7, 64 * KIB);
		check_guards(stack->low, stack->high);
		check_guards(table, table + 8 * KIB);
		CHECK(fl_fault_lookup(sets->conform.context, stack->low - 1,
				      &fault));
		CHECK_EQ(fault.kind, FL_FAULT_STACK_GUARD);
	}
}

static bool marks_guards(const struct conform *conform)
{
	struct fl_feature feature = { .size = sizeof(feature) };
	uint32_t i = 0;

	while (!fl_context_feature(conform->context, i++, &feature)) {
		if (!strcmp(feature.name, "guard-markers"))
			return feature.support == FL_SUPPORT_YES;
	}
	return false;
}

static void guards_within_a_mapping(void)
{
	for (int growth = 0; growth < 2; growth++) {
		struct sets sets;
		unsigned int before, most;

		sets_open(&sets,
			  growth ? FL_STACK_GROWS_UP : FL_STACK_GROWS_DOWN);
		before = procfs_footprint().mappings;
		/* A table's nulls are an image, which is a mapping. */
		most = marks_guards(&sets.conform) ? FEW * 2 + 20 :
						     FEW * 7 + 20;
		for (int round = 0; round < 4; round++) {
			sets_take(&sets, 0, 1);
			sets_check(&sets, 0, 1);
			if (!CHECK(procfs_footprint().mappings - before < most))
				test_note("%u mappings",
					  procfs_footprint().mappings - before);
			sets_give(&sets, 0, 2);
			/* Others are in use while these are emptied. */
			if (round % 2)
				CHECK_EQ(fl_pool_trim(sets.conform.pool,
						      UINT64_MAX, NULL),
					 0);
			sets_check(&sets, 1, 2);
			sets_take(&sets, 0, 2);
			sets_check(&sets, 0, 1);
			sets_give(&sets, 0, 1);
			if (round == 2)
				CHECK_EQ(fl_pool_trim(sets.conform.pool,
						      UINT64_MAX, NULL),
					 0);
		}
		fl_module_release(sets.module);
		conform_close(&sets.conform);
	}
}

static const char *needs_status(void)
{
	return procfs_status_kib("VmPTE") ? NULL :
					    "/proc does not show page tables";
}

/* --------------------------------------------------------- no mappings left */

static const char *needs_own_mappings(void)
{
	long max = procfs_sysctl("vm/max_map_count");

	if (test_is_sanitized())
		return TEST_NOT_BUILT "a sanitizer cannot do without mappings";
	return max <= 0 || max > 300000 ?
		       "vm.max_map_count is too large to be used up" :
		       NULL;
}

#define FILLER_BYTES (sizeof(void *) < 8 ? GIB + GIB / 4 : 4 * GIB)

/* Split one mapping until the kernel refuses. */
static uint8_t *use_up_mappings(void)
{
	uint64_t hpage = conform_hpage();
	uint8_t *filler = mmap(NULL, FILLER_BYTES, PROT_NONE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			       0);

	MUST(filler != MAP_FAILED);
	for (uint64_t off = hpage; off < FILLER_BYTES; off += 2 * hpage) {
		if (mprotect(filler + off, hpage, PROT_READ))
			return filler;
	}
	MUST(!"mappings can be used up");
	return filler;
}

static int child_without_mappings(void *arg)
{
	struct fl_memory_config config;
	struct fl_memory *live, *memories[8] = { NULL };
	struct fl_pool_info info;
	struct fl_image *image;
	struct conform conform;
	uint8_t *filler;
	uint32_t n = 0, retired, failed = 0;

	(void)arg;
	conform_open(&conform, NULL);
	image = conform_image_of(&conform, 8 * WPAGE, 5 * WPAGE, "image", 5);
	live = conform_take(&conform, image, 0);
	memset(live->base, 0x66, 8 * WPAGE);
	filler = use_up_mappings();
	fl_memory_config_init(&config);
	config.image = image;
	for (int i = 0; i < 8; i++) {
		int err = fl_memory_acquire(conform.pool, &config, &memories[n],
					    NULL);

		CHECK(!err || err == -ENOMEM || err == -EAGAIN);
		n += !err;
	}
	CHECK(fl_memory_grow(live, 5, NULL) >= -ENOMEM);
	CHECK_EQ(live->base[0], 0x66);
	/* No slot is lost by a trim at the limit, nor by what comes before. */
	CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL), 0);
	retired = conform_info(&conform).retired_memories;
	while (n)
		failed += fl_memory_release(memories[--n]) == -ENOMEM;
	failed += fl_memory_release(live) == -ENOMEM;
	CHECK_EQ(conform_info(&conform).retired_memories, retired + failed);
	CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL), 0);
	CHECK(conform_info(&conform).retired_memories <= retired + failed);
	munmap(filler, FILLER_BYTES);
	info = conform_info(&conform);
	CHECK_EQ(info.live_memories, 0);
	for (n = 0; n < info.max_memories; n++) {
		memories[n] =
			conform_take(&conform, n % 2 ? image : NULL, 8 * WPAGE);
		CHECK_EQ(conform_first_data(memories[n]->base, 5 * WPAGE),
			 5 * WPAGE);
		CHECK_EQ(memories[n]->base[5 * WPAGE], n % 2 ? 'i' : 0);
		CHECK_EQ(conform_first_data(memories[n]->base + 6 * WPAGE,
					    2 * WPAGE),
			 2 * WPAGE);
	}
	while (n)
		conform_give(memories[--n]);
	fl_image_release(image);
	conform_close(&conform);
	return 0;
}

static void no_mappings_left(void)
{
	struct test_end end = test_fork(child_without_mappings, NULL, 50);

	CHECK_EQ(end.signo, 0);
	CHECK_EQ(end.status, 0);
}

static const struct test_case cases[] = {
	TEST_CASE(dense_pool_stays_whole),
	TEST_CASE(a_large_tenant_is_forgotten),
	TEST_CASE(far_pages_are_found),
	TEST_CASE(guards_within_a_mapping),
	TEST_CASE_NEEDS(trim_gives_page_tables_back, needs_status),
	TEST_CASE_NEEDS(no_mappings_left, needs_own_mappings),
};

CONFORM_MAIN(cases)
