/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * budget.c - what a pool keeps, and how it gets rid of it: budgets of
 * idle slots and of the pool, fl_pool_trim(), fl_pool_usage(), lent memories.
 *
 * What is resident is read from smaps, which the library does not
 * use: that is the judge, also of fl_pool_usage(). What a slot shows is looked
 * at too, for what is dropped must come back as image and zeroes.
 *
 * A rung that drops everything at release keeps nothing, and passes by that. Its
 * slots stay attached and count as warm all the same.
 */
#define _GNU_SOURCE
#include "tests/kit/attack.h"
#include "tests/kit/attack_host.h"
#include "tests/kit/child.h"
#include "tests/kit/clock.h"
#include "tests/kit/conform_module.h"
#include "tests/kit/host.h"
#include "tests/kit/procfs.h"
#include "tests/kit/random.h"
#include "tests/kit/trap.h"

#include "os/os.h"

#include <fcntl.h>
#include <inttypes.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>

/* ------------------------------------------------------------------- a pool */

#define MAX_BYTES (8 * MIB)
#define IMAGE_BYTES (3 * MIB)
#define DATA_OFF (MIB / 2)
#define DATA_BYTES MIB
#define MAX_SLOTS 8

struct budget {
	struct conform conform;
	struct fl_image *image;
	uint8_t *expected; /* the image, zeroes around it, up to MAX_BYTES */
	/* Where the pool's memories lie, as far as they have been seen. */
	uint8_t *first, *end;
};

static bool keeps_pages(void)
{
	return attack_rung_keeps_pages();
}

/* The segmented backend keeps the image's data, written or not, and zeroes in
 * stretches, and drops what was grown. */
static bool keeps_data(void)
{
	return !strcmp(test_rung->how, "discard");
}

static bool keeps_any(void)
{
	return keeps_pages() || keeps_data();
}

static void budget_config(struct fl_pool_config *config, uint32_t slots)
{
	conform_pool_config(config);
	config->max_memories = slots;
	/* So few that no processor has a shelf: what was given last is young,
	 * wherever the thread ran. */
	config->max_warm_memories = fl_min_u64(slots, 15);
	config->max_memory_bytes = MAX_BYTES;
	config->memory_alignment_bytes = 2 * MIB;
	/* What is mapped beside the pool must not become one mapping with it. */
	config->guard_before_bytes = WPAGE;
}

static void budget_open(struct budget *budget,
			const struct fl_pool_config *config)
{
	memset(budget, 0, sizeof(*budget));
	conform_open(&budget->conform, config);
	budget->expected = calloc(1, MAX_BYTES);
	MUST(budget->expected != NULL);
	for (uint64_t i = 0; i < DATA_BYTES; i++)
		budget->expected[DATA_OFF + i] =
			(uint8_t)(i % 241 + i / 4096 * 3) | 1;
	budget->image = conform_image_of(&budget->conform, IMAGE_BYTES,
					 DATA_OFF, budget->expected + DATA_OFF,
					 DATA_BYTES);
}

static void budget_close(struct budget *budget)
{
	fl_image_release(budget->image);
	free(budget->expected);
	conform_close(&budget->conform);
}

static struct fl_memory *budget_note(struct budget *budget,
				     struct fl_memory *memory)
{
	if (!budget->first || memory->base < budget->first)
		budget->first = memory->base;
	if (!budget->end || memory->base + MAX_BYTES > budget->end)
		budget->end = memory->base + MAX_BYTES;
	return memory;
}

static struct fl_memory *budget_take(struct budget *budget)
{
	return budget_note(budget,
			   conform_take(&budget->conform, budget->image, 0));
}

static void check_clean(const struct budget *budget, struct fl_memory *memory)
{
	CHECK(!memcmp(memory->base, budget->expected,
		      fl_memory_length(memory)));
}

/* A byte of each host page of a range. */
static void touch(struct fl_memory *memory, uint64_t off, uint64_t len)
{
	for (uint64_t at = off; at < off + len; at += conform_hpage())
		memory->base[at + at / 4096 % 90] ^= 0x5a;
}

/* Short runs of pages with gaps as long between them: an engine may drop a long
 * run rather than keep it. Half of the range is written. */
#define RUN_BYTES (64 * KIB)

static void touch_runs(struct fl_memory *memory, uint64_t off, uint64_t len)
{
	for (uint64_t at = 0; at < len; at += 2 * RUN_BYTES)
		touch(memory, off + at, RUN_BYTES);
}

/* One tenancy: look, write a range, leave. */
static void tenancy(struct budget *budget, uint64_t off, uint64_t len)
{
	struct fl_memory *memory = budget_take(budget);

	check_clean(budget, memory);
	touch(memory, off, len);
	conform_give(memory);
}

static void tenancy_in_runs(struct budget *budget, uint64_t off, uint64_t len)
{
	struct fl_memory *memory = budget_take(budget);

	check_clean(budget, memory);
	touch_runs(memory, off, len);
	conform_give(memory);
}

static void tenancy_grown(struct budget *budget, uint64_t delta_bytes)
{
	struct fl_memory *memory = budget_take(budget);

	CHECK_EQ(fl_memory_grow(memory, delta_bytes / WPAGE, NULL), 0);
	check_clean(budget, memory);
	touch_runs(memory, IMAGE_BYTES, delta_bytes);
	conform_give(memory);
}

/* --------------------------------------------------------------------- heap */

#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 33)
#define HAS_HEAP_FIGURES
#endif
#endif

static uint64_t heap_bytes(void)
{
#ifdef HAS_HEAP_FIGURES
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
#else
	return 0;
#endif
}

/* ----------------------------------------------------------------- resident */

static struct procfs_resident resident_of(const struct budget *budget)
{
	return procfs_resident(budget->first, budget->end);
}

/* Of one slot that has not grown: its neighbours are other mappings. */
static uint64_t private_of(const uint8_t *base)
{
	struct procfs_resident now = procfs_resident(base, base + IMAGE_BYTES);

	return now.private_bytes + now.swapped_bytes;
}

/* -------------------------------------------------------------- slot budget */

/* Both numbers of one moment: the kernel may take pages out or bring them back while
 * the pool looks, for instance where the swap of another program goes. */
static struct procfs_resident usage_and_resident(const struct budget *budget,
						 struct fl_pool_usage *usage)
{
	struct procfs_resident before, now;
	int left = 100;

	do {
		before = resident_of(budget);
		*usage = (struct fl_pool_usage){ .size = sizeof(*usage) };
		CHECK_EQ(fl_pool_usage(budget->conform.pool, usage, NULL), 0);
		now = resident_of(budget);
	} while (memcmp(&before, &now, sizeof(now)) != 0 && left--);
	return now;
}

static void check_kept_at_most(const struct budget *budget, uint64_t bytes)
{
	struct procfs_resident now = resident_of(budget);
	struct fl_pool_usage usage;

	if (now.private_bytes + now.swapped_bytes > bytes)
		CHECK_EQ(now.private_bytes + now.swapped_bytes, bytes);
	if (!keeps_pages())
		return;
	now = usage_and_resident(budget, &usage);
	CHECK_EQ(usage.private_bytes, now.private_bytes);
	CHECK_EQ(usage.idle_private_bytes, now.private_bytes);
}

/* Over the budget and under it by turns, in places that have never been
 * written, sometimes, and always. */
static void a_slot_over_its_budget_keeps_nothing(void)
{
	struct fl_pool_config config;
	struct test_random random;
	struct budget budget;

	test_random_init(&random, 11);
	budget_config(&config, 1);
	config.max_idle_slot_bytes = MIB;
	budget_open(&budget, &config);
	for (int i = 0; i < 60 && !test_has_failed(); i++) {
		uint64_t off = i % 3 ? DATA_OFF + 128 * KIB :
				       test_random_below(&random, 80) * 4 * KIB;

		if (i % 4 == 3)
			tenancy_in_runs(&budget, off, 2 * MIB + 2 * RUN_BYTES);
		else
			tenancy(&budget, off, 40 * KIB);
		CHECK_EQ(conform_info(&budget.conform).warm_memories, 1);
		/* Where the system does not say what is resident, long
		 * stretches go in any case, and what is left is no more than
		 * the budget. */
		if (i % 4 == 3 && !test_needs_resident())
			check_kept_at_most(&budget, 0);
		else
			check_kept_at_most(&budget, MIB);
		if (i % 4 == 2 && i % 3 && keeps_pages())
			CHECK(resident_of(&budget).private_bytes > 0);
	}
	budget_close(&budget);
}

/* Exactly the budget may be kept, one page more may not. */
static void the_budget_itself_is_kept(void)
{
	uint64_t hpage = conform_hpage();
	struct fl_pool_config config;
	struct budget budget;

	budget_config(&config, 1);
	config.max_idle_slot_bytes = 32 * hpage;
	budget_open(&budget, &config);
	for (int i = 0; i < 12; i++) {
		tenancy(&budget, DATA_OFF, 32 * hpage);
		check_kept_at_most(&budget, 32 * hpage);
		if (keeps_pages() && conform_hpage() == 4096)
			CHECK(resident_of(&budget).private_bytes > 0);
	}
	tenancy(&budget, DATA_OFF, 33 * hpage);
	check_kept_at_most(&budget, 0);
	budget_close(&budget);
}

/* What was grown stays behind the border, where nobody looks for it: it counts
 * in the tenancies after it too. */
static void hidden_growth_counts(void)
{
	struct fl_pool_config config;
	struct budget budget;

	budget_config(&config, 1);
	config.max_idle_slot_bytes = MIB + MIB / 2;
	budget_open(&budget, &config);
	for (int i = 0; i < 24 && !test_has_failed(); i++) {
		/* One MiB each, within the budget, two together. */
		if (i % 4 == 0)
			tenancy_grown(&budget, 2 * MIB);
		else
			tenancy_in_runs(&budget, DATA_OFF, 2 * MIB);
		check_kept_at_most(&budget, MIB + MIB / 2);
	}
	for (int i = 0; i < 3; i++) {
		tenancy_grown(&budget, 4 * MIB);
		check_kept_at_most(&budget, keeps_data() ? DATA_BYTES : 0);
	}
	budget_close(&budget);
}

/* A budget of the pool that is never reached, so that its count is kept. */
static void open_counted(struct budget *budget)
{
	struct fl_pool_config config;

	budget_config(&config, 1);
	config.max_idle_bytes = GIB;
	budget_open(budget, &config);
}

/* What is counted is what is there, or a little more. */
static void check_counted(const struct budget *budget)
{
	struct procfs_resident now = resident_of(budget);
	uint64_t there = now.private_bytes + now.swapped_bytes;
	uint64_t counted = conform_info(&budget->conform).idle_kept_bytes;

	if (counted < there || counted > there + MIB / 2)
		CHECK_EQ(counted, there);
}

static void tenancy_at_the_top(struct budget *budget, uint64_t delta_bytes)
{
	struct fl_memory *memory = budget_take(budget);
	uint64_t end = IMAGE_BYTES + delta_bytes;

	CHECK_EQ(fl_memory_grow(memory, delta_bytes / WPAGE, NULL), 0);
	check_clean(budget, memory);
	touch_runs(memory, end - MIB / 2, MIB / 2);
	conform_give(memory);
}

/* Each tenant grows less far than the one before and writes the top of it:
 * what is hidden adds up. */
static void hidden_growth_adds_up(void)
{
	struct fl_pool_config config;
	struct budget budget;

	open_counted(&budget);
	for (uint64_t delta = 5 * MIB; delta; delta -= MIB / 2) {
		tenancy_at_the_top(&budget, delta);
		check_counted(&budget);
	}
	budget_close(&budget);
	budget_config(&config, 1);
	config.max_idle_slot_bytes = MIB;
	budget_open(&budget, &config);
	for (uint64_t delta = 5 * MIB; delta; delta -= MIB / 2) {
		tenancy_at_the_top(&budget, delta);
		check_kept_at_most(&budget, MIB);
	}
	budget_close(&budget);
}

/* One that grows by a page has not looked at all that is hidden. */
static void little_growth_counts_the_rest(void)
{
	struct budget budget;

	open_counted(&budget);
	tenancy_at_the_top(&budget, 5 * MIB);
	check_counted(&budget);
	for (int i = 0; i < 5; i++) {
		struct fl_memory *memory = budget_take(&budget);

		CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
		touch(memory, IMAGE_BYTES, 4 * KIB);
		conform_give(memory);
		check_counted(&budget);
	}
	budget_close(&budget);
}

/* Memories of one image need not start with one size. */
static void smaller_memories_hide_what_larger_ones_wrote(void)
{
	struct budget budget;

	open_counted(&budget);
	for (uint64_t size = MAX_BYTES; size > IMAGE_BYTES; size -= MIB / 2) {
		struct fl_memory *memory =
			budget_note(&budget, conform_take(&budget.conform,
							  budget.image, size));

		check_clean(&budget, memory);
		touch_runs(memory, size - MIB / 2, MIB / 2);
		touch_runs(memory, DATA_OFF, MIB / 2);
		conform_give(memory);
		check_counted(&budget);
	}
	budget_close(&budget);
}

static void keep_nothing(uint64_t prefix_bytes, enum fl_bounds bounds)
{
	struct fl_pool_config config;
	struct budget budget;

	budget_config(&config, 1);
	config.max_idle_slot_bytes = 0;
	config.prefix_bytes = prefix_bytes;
	config.bounds = bounds;
	budget_open(&budget, &config);
	for (int i = 0; i < 40 && !test_has_failed(); i++) {
		struct fl_memory *memory = budget_take(&budget);

		check_clean(&budget, memory);
		CHECK_EQ(conform_first_data(memory->base - prefix_bytes,
					    prefix_bytes),
			 prefix_bytes);
		budget.first = memory->base - prefix_bytes;
		memset(memory->base - prefix_bytes, 0x77, prefix_bytes);
		touch(memory, DATA_OFF, 64 * KIB);
		touch(memory, i % 8 * (MIB / 4), 8 * KIB);
		if (i % 5 == 2) {
			CHECK_EQ(fl_memory_grow(memory, 3, NULL), 0);
			touch(memory, IMAGE_BYTES, 3 * WPAGE);
		}
		conform_give(memory);
		check_kept_at_most(&budget, 0);
	}
	budget_close(&budget);
}

static void a_budget_of_zero_keeps_nothing(void)
{
	keep_nothing(0, FL_BOUNDS_GUARDED);
	keep_nothing(0, FL_BOUNDS_ACCESSIBLE);
}

static const char *needs_heap_figures(void)
{
#ifdef HAS_HEAP_FIGURES
	void *volatile some = malloc(MIB);
	bool is_told = heap_bytes() >= MIB;

	free(some);
	if (!is_told && test_is_sanitized())
		return TEST_NOT_BUILT "a sanitizer's allocator tells nothing";
	return is_told ? NULL : "the allocator does not tell what is in use";
#else
	return "the C library has no mallinfo2()";
#endif
}

/* One page in each 2 MiB of a large memory: what the engine knows of them is
 * much, and goes with the pages when the slot is emptied. */
static void trim_gives_back_what_was_known(void)
{
	const uint64_t size = GIB;
	struct fl_pool_config config;
	struct budget budget;
	uint64_t before;

	budget_config(&config, 1);
	config.max_memory_bytes = size;
	budget_open(&budget, &config);
	before = heap_bytes();
	for (int i = 0; i < 3; i++) {
		struct fl_memory *memory =
			conform_take(&budget.conform, NULL, size);

		for (uint64_t off = 0; off < size; off += 2 * MIB)
			memory->base[off] = 1;
		conform_give(memory);
	}
	CHECK_EQ(fl_pool_trim(budget.conform.pool, UINT64_MAX, NULL), 0);
	CHECK(heap_bytes() < before + 128 * KIB);
	budget_close(&budget);
}

/* The prefix is memory of the slot too. */
static void a_budget_of_zero_keeps_no_prefix(void)
{
	keep_nothing(24, FL_BOUNDS_GUARDED);
}

/* Random tenants against a small budget: images, none, growth. */
static void small_budgets_keep_slots_clean(void)
{
	struct fl_pool_config config;
	struct attack attack;

	attack_pool_config(&config);
	config.max_idle_slot_bytes = 200 * KIB;
	attack_open_with(&attack, &config);
	for (unsigned int i = 0; i < 150 && !test_has_failed(); i++) {
		struct tenant tenant;

		attack_begin(&attack, &tenant,
			     i % 50 < 40 ? ATTACK_SMALL_IMAGE :
			     i % 50 < 45 ? ATTACK_NO_IMAGE :
					   ATTACK_LARGE_IMAGE);
		if (i % 4 == 1)
			attack_grow(&tenant, 1 + i % 20);
		attack_check(&tenant);
		attack_pick_by_cycle(&tenant);
		attack_write(&tenant);
		attack_end(&tenant);
	}
	attack_close(&attack);
}

/* -------------------------------------------------------------- pool budget */

#define EACH_BYTES (DATA_BYTES / 2) /* what each tenant leaves in its slot */

static uint64_t each_kept(void)
{
	return keeps_data() ? DATA_BYTES : keeps_pages() ? EACH_BYTES : 0;
}

/* count tenants at once, released in order; where they were. */
static void fill_slots(struct budget *budget, uint32_t count, uint8_t **bases)
{
	struct fl_memory *memories[MAX_SLOTS];

	for (uint32_t i = 0; i < count; i++) {
		memories[i] = budget_take(budget);
		check_clean(budget, memories[i]);
		touch_runs(memories[i], DATA_OFF, DATA_BYTES);
		bases[i] = memories[i]->base;
	}
	for (uint32_t i = 0; i < count; i++)
		conform_give(memories[i]);
}

/* The sum that is budgeted is what is there. */
static void check_idle_kept(const struct budget *budget)
{
	struct fl_pool_info info = conform_info(&budget->conform);

	if (keeps_data())
		check_counted(budget);
	else
		CHECK_EQ(info.idle_kept_bytes,
			 resident_of(budget).private_bytes);
}

static void a_pool_over_its_budget_empties_the_oldest(void)
{
	struct fl_pool_config config;
	struct fl_pool_info info;
	struct budget budget;
	uint8_t *bases[4];

	budget_config(&config, 4);
	config.max_idle_bytes = 2 * EACH_BYTES + EACH_BYTES / 2;
	budget_open(&budget, &config);
	for (int round = 0; round < 6; round++) {
		fill_slots(&budget, 4, bases);
		info = conform_info(&budget.conform);
		CHECK(info.idle_kept_bytes <= config.max_idle_bytes);
		check_idle_kept(&budget);
		CHECK_EQ(info.warm_memories,
			 each_kept() ? config.max_idle_bytes / each_kept() : 4);
		CHECK_EQ(private_of(bases[0]), 0);
		CHECK_EQ(private_of(bases[1]), 0);
		CHECK_EQ(private_of(bases[2]), keeps_pages() ? EACH_BYTES : 0);
		CHECK_EQ(private_of(bases[3]), each_kept());
	}
	budget_close(&budget);
}

static void idle_bytes_follow(void)
{
	struct fl_memory *memories[3];
	struct fl_pool_config config;
	struct budget budget;
	uint8_t *bases[3];

	budget_config(&config, 3);
	config.max_idle_bytes = GIB;
	budget_open(&budget, &config);
	for (int round = 0; round < 20; round++) {
		fill_slots(&budget, 3, bases);
		check_idle_kept(&budget);
		if (round % 3 == 1)
			tenancy_grown(&budget, MIB);
		if (round % 3 == 2)
			tenancy(&budget, 2 * MIB, 96 * KIB);
		check_idle_kept(&budget);
		for (int i = 0; i < 3; i++) {
			memories[i] = budget_take(&budget);
			if (i < 2)
				CHECK(!conform_info(&budget.conform)
					       .idle_kept_bytes ==
				      !keeps_any());
		}
		CHECK_EQ(conform_info(&budget.conform).idle_kept_bytes, 0);
		for (int i = 0; i < 3; i++)
			conform_give(memories[i]);
		check_idle_kept(&budget);
	}
	CHECK_EQ(fl_pool_trim(budget.conform.pool, UINT64_MAX, NULL), 0);
	CHECK_EQ(conform_info(&budget.conform).idle_kept_bytes, 0);
	check_kept_at_most(&budget, 0);
	budget_close(&budget);
}

static void a_pool_budget_of_zero_keeps_nothing(void)
{
	struct fl_pool_config config;
	struct budget budget;
	uint8_t *bases[3];

	budget_config(&config, 3);
	config.max_idle_bytes = 0;
	budget_open(&budget, &config);
	for (int round = 0; round < 8; round++) {
		fill_slots(&budget, 3, bases);
		check_kept_at_most(&budget, 0);
		CHECK_EQ(conform_info(&budget.conform).idle_kept_bytes, 0);
		/* What is over its budget is emptied, not merely dropped. */
		if (keeps_any())
			CHECK_EQ(conform_info(&budget.conform).warm_memories,
				 0);
	}
	budget_close(&budget);
}

/* A tenant that has nothing accessible leaves what the slot keeps counted. */
static void a_tenant_of_no_bytes_hides_nothing(void)
{
	struct fl_pool_config config;
	struct fl_memory *memory;
	struct budget budget;
	uint64_t kept;

	budget_config(&config, 1);
	config.max_idle_bytes = 16 * MIB;
	budget_open(&budget, &config);
	for (int round = 0; round < 4; round++) {
		memory = budget_note(&budget,
				     conform_take(&budget.conform, NULL, 0));
		CHECK_EQ(fl_memory_grow(memory, DATA_BYTES / WPAGE, NULL), 0);
		touch_runs(memory, 0, DATA_BYTES);
		conform_give(memory);
		kept = conform_info(&budget.conform).idle_kept_bytes;
		CHECK(keeps_data() || (kept > 0) == keeps_pages());
		conform_give(conform_take(&budget.conform, NULL, 0));
		CHECK_EQ(conform_info(&budget.conform).idle_kept_bytes, kept);
	}
	budget_close(&budget);
}

/* ------------------------------------------------------------------ threads */

struct crew {
	struct budget *budget;
	bool has_begun, is_over; /* atomic: the one beside the crew */
	unsigned int cycles; /* each */
	unsigned int full; /* atomic: acquires that found no slot */
	unsigned int trims; /* atomic */
};

static unsigned int crew_cycles(void)
{
	return test_is_sanitized() ? 30 : 300;
}

static void *crew_loop(void *arg)
{
	struct crew *crew = arg;
	struct fl_memory_config config;

	fl_memory_config_init(&config);
	config.image = crew->budget->image;
	for (unsigned int i = 0; i < crew->cycles; i++) {
		struct fl_memory *memory = NULL;
		int err = fl_memory_acquire(crew->budget->conform.pool, &config,
					    &memory, NULL);

		if (err) {
			CHECK_EQ(err, -EAGAIN);
			__atomic_add_fetch(&crew->full, 1, __ATOMIC_RELAXED);
			continue;
		}
		check_clean(crew->budget, memory);
		touch(memory, i % 5 * 100 * KIB, i % 7 * 24 * KIB);
		if (i % 8 == 5 && !fl_memory_grow(memory, 4, NULL))
			touch(memory, IMAGE_BYTES, 4 * WPAGE);
		conform_give(memory);
	}
	return NULL;
}

static void *trim_loop(void *arg)
{
	struct crew *crew = arg;
	unsigned int round = 0;

	while (!__atomic_load_n(&crew->is_over, __ATOMIC_ACQUIRE)) {
		uint64_t trimmed = 0;

		CHECK_EQ(fl_pool_trim(crew->budget->conform.pool,
				      round++ % 2 ? UINT64_MAX : 1, &trimmed),
			 0);
		__atomic_add_fetch(&crew->trims, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&crew->has_begun, true, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void *usage_loop(void *arg)
{
	struct crew *crew = arg;

	while (!__atomic_load_n(&crew->is_over, __ATOMIC_ACQUIRE)) {
		struct fl_pool_usage usage = { .size = sizeof(usage) };
		int err =
			fl_pool_usage(crew->budget->conform.pool, &usage, NULL);

		CHECK_EQ(err, keeps_pages() ? 0 : -ENOTSUP);
		CHECK(usage.idle_private_bytes <= usage.private_bytes);
		CHECK(conform_info(&crew->budget->conform).live_memories <= 4);
		__atomic_store_n(&crew->has_begun, true, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* The crew's loop in some threads, another in one beside them, or NULL. */
static void crew_run(struct crew *crew, unsigned int workers,
		     void *(*beside)(void *arg))
{
	pthread_t threads[MAX_SLOTS], other;

	if (beside)
		MUST_EQ(pthread_create(&other, NULL, beside, crew), 0);
	/* On a busy host the crew could be over before the other begins. */
	while (beside && !__atomic_load_n(&crew->has_begun, __ATOMIC_ACQUIRE))
		test_sleep_ms(1);
	for (unsigned int i = 0; i < workers; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, crew_loop, crew), 0);
	for (unsigned int i = 0; i < workers; i++)
		pthread_join(threads[i], NULL);
	__atomic_store_n(&crew->is_over, true, __ATOMIC_RELEASE);
	if (beside)
		pthread_join(other, NULL);
}

/* Take all slots once, so that the judge knows where they are. */
static void see_all_slots(struct budget *budget, uint32_t count)
{
	struct fl_memory *memories[MAX_SLOTS];

	for (uint32_t i = 0; i < count; i++) {
		memories[i] = budget_take(budget);
		check_clean(budget, memories[i]);
	}
	while (count--)
		conform_give(memories[count]);
}

/* As many slots as threads: releases empty each other's slots, and that must
 * not take one from anybody. */
static void pool_budgets_with_threads(void)
{
	struct fl_pool_config config;
	struct budget budget;
	struct crew crew = { .budget = &budget, .cycles = crew_cycles() };

	budget_config(&config, 4);
	config.max_idle_bytes = 300 * KIB;
	config.max_idle_slot_bytes = 200 * KIB;
	budget_open(&budget, &config);
	crew_run(&crew, 4, NULL);
	CHECK_EQ(crew.full, 0);
	CHECK_EQ(conform_info(&budget.conform).live_memories, 0);
	CHECK(conform_info(&budget.conform).idle_kept_bytes <= 300 * KIB);
	see_all_slots(&budget, 4);
	check_idle_kept(&budget);
	check_kept_at_most(&budget, 300 * KIB);
	budget_close(&budget);
}

static void usage_while_guests_run(void)
{
	struct fl_pool_config config;
	struct budget budget;
	struct crew crew = { .budget = &budget, .cycles = crew_cycles() };

	budget_config(&config, 4);
	budget_open(&budget, &config);
	tenancy(&budget, DATA_OFF, WPAGE);
	crew_run(&crew, 3, usage_loop);
	CHECK_EQ(crew.full, 0);
	budget_close(&budget);
}

static void trim_beside_threads(enum fl_strategy strategy, uint32_t slots,
				unsigned int workers)
{
	struct fl_pool_config config;
	struct budget budget;
	struct crew crew = { .budget = &budget, .cycles = crew_cycles() };

	budget_config(&config, slots);
	config.max_idle_bytes = GIB;
	config.strategy = strategy;
	budget_open(&budget, &config);
	crew_run(&crew, workers, trim_loop);
	CHECK(crew.trims > 0);
	CHECK_EQ(crew.full, 0);
	CHECK_EQ(conform_info(&budget.conform).live_memories, 0);
	CHECK_EQ(conform_info(&budget.conform).retired_memories, 0);
	see_all_slots(&budget, slots);
	check_idle_kept(&budget);
	CHECK_EQ(fl_pool_trim(budget.conform.pool, UINT64_MAX, NULL), 0);
	check_kept_at_most(&budget, 0);
	budget_close(&budget);
}

static void trim_from_another_thread(void)
{
	trim_beside_threads(FL_STRATEGY_REUSE_AFFINITY, 4, 3);
	trim_beside_threads(FL_STRATEGY_RANDOM, 4, 3);
}

/* Trimming takes no memory from the pool: who has as many slots as threads
 * never meets a full one. */
static void trim_takes_no_slot_from_anybody(void)
{
	trim_beside_threads(FL_STRATEGY_REUSE_AFFINITY, 1, 1);
	trim_beside_threads(FL_STRATEGY_REUSE_AFFINITY, 3, 3);
}

/* --------------------------------------------------------------------- trim */

static void check_trimmed(const struct budget *budget, uint64_t trimmed,
			  uint64_t before)
{
	uint64_t after = resident_of(budget).private_bytes;

	CHECK_EQ(trimmed, before - after);
}

/* Oldest first, whole slots, no more than it takes. */
static void trim_by_bytes(void)
{
	struct fl_pool_config config;
	struct budget budget;
	uint8_t *bases[4];

	budget_config(&config, 4);
	budget_open(&budget, &config);
	for (int round = 0; round < 4; round++) {
		uint64_t trimmed = 1, before;

		fill_slots(&budget, 4, bases);
		before = resident_of(&budget).private_bytes;
		CHECK_EQ(before, 4 * each_kept());
		CHECK_EQ(conform_info(&budget.conform).warm_memories, 4);
		CHECK_EQ(fl_pool_trim(budget.conform.pool, 0, &trimmed), 0);
		CHECK_EQ(trimmed, 0);
		CHECK_EQ(conform_info(&budget.conform).warm_memories, 4);
		CHECK_EQ(fl_pool_trim(budget.conform.pool, 1, &trimmed), 0);
		check_trimmed(&budget, trimmed, before);
		if (!keeps_any())
			continue;
		CHECK_EQ(conform_info(&budget.conform).warm_memories, 3);
		CHECK_EQ(private_of(bases[0]), 0);
		CHECK_EQ(private_of(bases[1]), each_kept());
		before = resident_of(&budget).private_bytes;
		CHECK_EQ(fl_pool_trim(budget.conform.pool, each_kept() + 1,
				      &trimmed),
			 0);
		check_trimmed(&budget, trimmed, before);
		CHECK_EQ(trimmed, 2 * each_kept());
		CHECK_EQ(conform_info(&budget.conform).warm_memories, 1);
		CHECK_EQ(private_of(bases[3]), each_kept());
	}
	budget_close(&budget);
}

static void trim_all(void)
{
	struct fl_pool_config config;
	struct budget budget;
	uint8_t *bases[4];

	budget_config(&config, 4);
	budget_open(&budget, &config);
	/* Nothing has ever been used. */
	CHECK_EQ(fl_pool_trim(budget.conform.pool, UINT64_MAX, NULL), 0);
	for (int round = 0; round < 10; round++) {
		uint64_t trimmed = 1, before;

		fill_slots(&budget, 4, bases);
		tenancy_grown(&budget, MIB);
		before = resident_of(&budget).private_bytes;
		CHECK_EQ(fl_pool_trim(budget.conform.pool, UINT64_MAX,
				      &trimmed),
			 0);
		check_trimmed(&budget, trimmed, before);
		check_kept_at_most(&budget, 0);
		CHECK_EQ(conform_info(&budget.conform).warm_memories, 0);
		CHECK_EQ(conform_info(&budget.conform).live_memories, 0);
		/* Nothing is mapped any more either. */
		CHECK_EQ(resident_of(&budget).shared_bytes, 0);
		CHECK(test_traps(bases[0] + DATA_OFF));
		CHECK_EQ(fl_pool_trim(budget.conform.pool, UINT64_MAX,
				      &trimmed),
			 0);
		CHECK_EQ(trimmed, 0);
	}
	budget_close(&budget);
}

static uint64_t idle_in(const struct budget *budget)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };

	CHECK_EQ(fl_pool_usage(budget->conform.pool, &usage, NULL), 0);
	return usage.idle_private_bytes;
}

static void trim_leaves_live_memories_alone(void)
{
	struct fl_memory *live, *grown;
	struct fl_pool_config config;
	struct budget budget;
	uint8_t *bases[2];

	budget_config(&config, 4);
	budget_open(&budget, &config);
	for (int round = 0; round < 4; round++) {
		live = budget_take(&budget);
		grown = budget_take(&budget);
		memset(live->base + MIB + 5000, 0x3c, 90000);
		CHECK_EQ(fl_memory_grow(grown, 16, NULL), 0);
		memset(grown->base + IMAGE_BYTES, 0x3d, WPAGE);
		fill_slots(&budget, 2, bases);
		CHECK_EQ(fl_pool_trim(budget.conform.pool, UINT64_MAX, NULL),
			 0);
		CHECK_EQ(conform_info(&budget.conform).live_memories, 2);
		CHECK_EQ(conform_info(&budget.conform).warm_memories, 0);
		for (uint64_t i = 0; i < 90000; i++)
			MUST_EQ(live->base[MIB + 5000 + i], 0x3c);
		memcpy(live->base + MIB + 5000, budget.expected + MIB + 5000,
		       90000);
		check_clean(&budget, live);
		CHECK_EQ(grown->base[IMAGE_BYTES + WPAGE - 1], 0x3d);
		CHECK_EQ(fl_memory_length(grown), IMAGE_BYTES + MIB);
		if (keeps_pages())
			CHECK_EQ(idle_in(&budget), 0);
		conform_give(live);
		conform_give(grown);
	}
	budget_close(&budget);
}

/* The idx-th processor that this thread may use. */
static void run_on(const cpu_set_t *allowed, int idx)
{
	cpu_set_t one;
	int cpu = 0;

	while (!CPU_ISSET(cpu, allowed) || idx--)
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
}

static const char *needs_two_cpus(void)
{
	uint32_t seen[2];
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set))
		return "the processors cannot be told";
	if (CPU_COUNT(&set) < 2)
		return "this needs two processors";
	for (int i = 0; i < 2; i++) {
		run_on(&set, i);
		seen[i] = fl__os_cpu();
	}
	sched_setaffinity(0, sizeof(set), &set);
	return seen[0] == seen[1] ?
		       "the system does not say on which processor a thread runs" :
		       NULL;
}

/* What each processor freed last counts as young; all else goes by age,
 * whatever the processor. */
static void trim_goes_by_age_on_two_processors(void)
{
	struct fl_memory *memories[4];
	struct fl_pool_config config;
	struct budget budget;
	cpu_set_t allowed;

	CHECK_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	budget_config(&config, 4);
	config.max_warm_memories = 100;
	budget_open(&budget, &config);
	for (int i = 0; i < 4; i++) {
		memories[i] = budget_take(&budget);
		touch_runs(memories[i], DATA_OFF, DATA_BYTES);
	}
	for (int i = 0; i < 4; i++) {
		run_on(&allowed, i ? 1 : 0);
		conform_give(memories[i]);
	}
	CHECK_EQ(sched_setaffinity(0, sizeof(allowed), &allowed), 0);
	for (int emptied = 1; emptied <= 2; emptied++) {
		CHECK_EQ(fl_pool_trim(budget.conform.pool, 1, NULL), 0);
		for (int i = 0; i < 4; i++) {
			bool is_kept = !i || i > emptied;

			CHECK_EQ(private_of(memories[i]->base),
				 is_kept ? each_kept() : 0);
		}
	}
	budget_close(&budget);
}

/* -------------------------------------------------------------------- usage */

static void check_usage(const struct budget *budget,
			struct fl_pool_usage *usage)
{
	struct procfs_resident now = usage_and_resident(budget, usage);

	CHECK_EQ(usage->private_bytes, now.private_bytes);
	CHECK_EQ(usage->shared_bytes, now.shared_bytes);
	/* Pages that are watched may be left out, and nothing be made up. */
	CHECK(usage->swapped_bytes <= now.swapped_bytes);
	CHECK(usage->idle_private_bytes <= usage->private_bytes);
	CHECK(usage->dirty_bytes <=
	      usage->private_bytes + usage->swapped_bytes);
}

static const char *needs_usage(void)
{
	return keeps_pages() ? NULL : TEST_NOT_BUILT "this rung cannot look";
}

/* What a tenant touches, in figures; tenancy after tenancy, as the engine comes
 * to know the pages. */
static void usage_counts_what_was_touched(void)
{
	struct fl_pool_config config;
	struct budget budget;

	budget_config(&config, 2);
	budget_open(&budget, &config);
	for (int round = 0; round < 12; round++) {
		struct fl_memory *memory = budget_take(&budget);
		struct fl_pool_usage before, usage;
		const volatile uint8_t *bytes = memory->base;
		uint64_t off = round % 2 ? MIB : 2 * MIB;

		check_usage(&budget, &before);
		CHECK_EQ(before.idle_private_bytes, 0);
		/* Reading zeroes makes nothing resident, reading an image
		 * what is shared. */
		for (uint64_t at = 0; at < IMAGE_BYTES; at += conform_hpage())
			(void)bytes[at];
		check_usage(&budget, &usage);
		CHECK_EQ(usage.private_bytes, before.private_bytes);
		CHECK_EQ(usage.shared_bytes + usage.private_bytes >= DATA_BYTES,
			 true);
		touch(memory, off, 64 * KIB);
		check_usage(&budget, &usage);
		CHECK(usage.private_bytes >= 64 * KIB);
		CHECK(usage.dirty_bytes >= 64 * KIB);
		CHECK_EQ(usage.idle_private_bytes, 0);
		conform_give(memory);
		check_usage(&budget, &usage);
		CHECK_EQ(usage.idle_private_bytes, usage.private_bytes);
	}
	CHECK_EQ(fl_pool_trim(budget.conform.pool, UINT64_MAX, NULL), 0);
	budget_close(&budget);
}

/* Two live, two free, one of which had grown. */
static void usage_tells_live_from_free(void)
{
	struct fl_pool_config config;
	struct fl_pool_usage usage;
	struct fl_memory *live[2];
	struct budget budget;
	uint8_t *bases[4];

	budget_config(&config, 4);
	budget_open(&budget, &config);
	fill_slots(&budget, 4, bases);
	check_usage(&budget, &usage);
	CHECK_EQ(usage.private_bytes, 4 * EACH_BYTES);
	CHECK_EQ(usage.idle_private_bytes, 4 * EACH_BYTES);
	live[0] = budget_take(&budget);
	live[1] = budget_take(&budget);
	check_usage(&budget, &usage);
	CHECK_EQ(usage.idle_private_bytes, 2 * EACH_BYTES);
	CHECK_EQ(fl_memory_grow(live[0], 16, NULL), 0);
	touch_runs(live[0], IMAGE_BYTES, MIB);
	check_usage(&budget, &usage);
	CHECK(usage.private_bytes >= 4 * EACH_BYTES + MIB / 2);
	CHECK_EQ(usage.idle_private_bytes, 2 * EACH_BYTES);
	conform_give(live[0]);
	check_usage(&budget, &usage);
	CHECK_EQ(usage.idle_private_bytes, usage.private_bytes - EACH_BYTES);
	CHECK(usage.idle_private_bytes >= 3 * EACH_BYTES + MIB / 2);
	conform_give(live[1]);
	CHECK_EQ(fl_pool_trim(budget.conform.pool, UINT64_MAX, NULL), 0);
	check_usage(&budget, &usage);
	CHECK_EQ(usage.private_bytes, 0);
	CHECK_EQ(usage.shared_bytes, 0);
	CHECK_EQ(usage.dirty_bytes, 0);
	budget_close(&budget);
}

/* Known pages are watched: those that nobody has written are not dirty. */
static void usage_tells_dirty_from_clean(void)
{
	uint64_t first_dirty = 0, hpage = conform_hpage();
	struct fl_pool_config config;
	struct fl_pool_usage usage;
	struct fl_memory *memory;
	struct budget budget;

	budget_config(&config, 1);
	budget_open(&budget, &config);
	/* A large set for a while, then next to nothing. */
	for (int i = 0; i < 4; i++)
		tenancy_in_runs(&budget, DATA_OFF, DATA_BYTES);
	check_usage(&budget, &usage);
	first_dirty = usage.dirty_bytes;
	for (int i = 0; i < 200; i++)
		tenancy(&budget, DATA_OFF, hpage);
	check_usage(&budget, &usage);
	test_note("dirty of %" PRIu64 " private bytes: %" PRIu64
		  ", later %" PRIu64,
		  usage.private_bytes, first_dirty, usage.dirty_bytes);
	CHECK(usage.dirty_bytes <= first_dirty);
	if (attack_rung_tracks())
		CHECK(usage.dirty_bytes <= 4 * hpage);
	memory = budget_take(&budget);
	touch(memory, DATA_OFF + 8 * RUN_BYTES, 16 * hpage);
	check_usage(&budget, &usage);
	CHECK(usage.dirty_bytes >= 16 * hpage);
	conform_give(memory);
	budget_close(&budget);
}

static const char *needs_swap_and_usage(void)
{
	const char *reason = needs_usage();

	return reason ? reason : attack_needs_swap();
}

/* Written and swapped out: neither lost nor counted as resident. Without an
 * image, whose own pages can be swapped too. */
static void usage_counts_what_is_swapped(void)
{
	uint64_t hpage = conform_hpage(), most = 0;
	struct fl_pool_config config;
	struct budget budget;

	budget_config(&config, 1);
	budget_open(&budget, &config);
	for (int round = 0; round < 6; round++) {
		struct fl_pool_usage usage;
		struct fl_memory *memory = budget_note(
			&budget, conform_take(&budget.conform, NULL, MIB));

		conform_check_zero(memory);
		touch_runs(memory, 0, 128 * hpage);
		check_usage(&budget, &usage);
		CHECK_EQ(madvise(memory->base, MIB, 21 /* MADV_PAGEOUT */), 0);
		check_usage(&budget, &usage);
		most = usage.swapped_bytes > most ? usage.swapped_bytes : most;
		CHECK(usage.private_bytes + usage.swapped_bytes >= 64 * hpage);
		CHECK(usage.dirty_bytes >= 64 * hpage);
		conform_give(memory);
		check_usage(&budget, &usage);
	}
	CHECK(most > 0);
	budget_close(&budget);
}

static const char *needs_no_usage(void)
{
	return keeps_pages() ? TEST_NOT_BUILT "this rung can look" : NULL;
}

/* Said, with the reason, and nothing is written. */
static void usage_is_not_supported(void)
{
	struct fl_pool_usage usage = { .size = sizeof(usage),
				       .private_bytes = 77 };
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct budget budget;

	budget_config(&config, 1);
	budget_open(&budget, &config);
	/* Before the first tenant too. */
	CHECK_EQ(fl_pool_usage(budget.conform.pool, &usage, NULL), -ENOTSUP);
	CHECK_EQ(usage.private_bytes, 77);
	usage.private_bytes = 77;
	tenancy(&budget, DATA_OFF, WPAGE);
	CHECK_EQ(fl_pool_usage(budget.conform.pool, &usage, &error), -ENOTSUP);
	CHECK_EQ(error.code, -ENOTSUP);
	CHECK_HAS(error.text, "rung");
	CHECK_EQ(usage.private_bytes, 77);
	CHECK_EQ(fl_pool_usage(budget.conform.pool, &usage, NULL), -ENOTSUP);
	budget_close(&budget);
}

/* --------------------------------------------------------------------- lend */

#define SECRET 0xc3

enum way {
	BY_CALL,
	BY_CONFIG,
	WAYS
};

static struct fl_memory *take_lent(struct budget *budget, enum way way)
{
	struct fl_memory_config config;
	struct fl_memory *memory;

	fl_memory_config_init(&config);
	config.image = budget->image;
	config.is_lent = way == BY_CONFIG;
	memory = conform_acquire(&budget->conform, &config);
	if (way == BY_CALL)
		CHECK_EQ(fl_memory_lend(memory), 0);
	return budget_note(budget, memory);
}

/* Put the page itself, not a copy, into a pipe. */
static void lend_to_pipe(int fd, void *addr)
{
	struct iovec iov = { addr, conform_hpage() };

	CHECK_EQ(vmsplice(fd, &iov, 1, 0), iov.iov_len);
}

static void check_pipe(int fd)
{
	uint64_t hpage = conform_hpage();
	uint8_t *bytes = malloc(hpage);

	MUST(bytes != NULL);
	CHECK_EQ(read(fd, bytes, hpage), hpage);
	for (uint64_t i = 0; i < hpage; i++) {
		if (bytes[i] != SECRET) {
			CHECK_EQ(bytes[i], SECRET);
			break;
		}
	}
	free(bytes);
}

/* A lent page goes with its tenant: the pipe still has what was lent, and the
 * slot has another page. */
static void lend_at(enum way way, uint64_t off, unsigned int tenancies)
{
	uint64_t hpage = conform_hpage(), frame;
	struct fl_pool_config config;
	struct fl_memory *memory;
	struct budget budget;
	int ends[2];

	MUST_EQ(pipe2(ends, O_CLOEXEC), 0);
	budget_config(&config, 1);
	budget_open(&budget, &config);
	while (tenancies--)
		tenancy(&budget, off, hpage);
	memory = take_lent(&budget, way);
	check_clean(&budget, memory);
	memset(memory->base + off, SECRET, hpage);
	lend_to_pipe(ends[1], memory->base + off);
	frame = test_needs_own_mappings() ? 0 :
					    procfs_frame(memory->base + off);
	conform_give(memory);
	CHECK_EQ(conform_info(&budget.conform).warm_memories, 0);
	check_kept_at_most(&budget, 0);
	memory = budget_take(&budget);
	check_clean(&budget, memory);
	memset(memory->base + off, 0x11, hpage);
	if (frame)
		CHECK(procfs_frame(memory->base + off) != frame);
	check_pipe(ends[0]);
	conform_give(memory);
	budget_close(&budget);
	close(ends[0]);
	close(ends[1]);
}

/* New, watched and often written pages, of the image and of zeroes. */
static void lent_pages_leave_with_the_tenant(void)
{
	static const unsigned int tenancies[] = { 0, 2, 12 };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(tenancies); i++) {
		for (int way = 0; way < WAYS; way++) {
			lend_at((enum way)way, DATA_OFF + WPAGE, tenancies[i]);
			lend_at((enum way)way, 2 * MIB, tenancies[i]);
		}
	}
}

/* The tenant after it is an ordinary one. */
static void lending_lasts_for_the_tenancy(void)
{
	struct fl_pool_config config;
	struct budget budget;

	budget_config(&config, 1);
	budget_open(&budget, &config);
	for (int i = 0; i < 12; i++) {
		struct fl_memory *memory = take_lent(&budget, i % WAYS);

		touch(memory, DATA_OFF, 64 * KIB);
		conform_give(memory);
		CHECK_EQ(conform_info(&budget.conform).warm_memories, 0);
		CHECK_EQ(resident_of(&budget).private_bytes, 0);
		for (int k = 0; k < 1 + i % 3; k++) {
			tenancy(&budget, DATA_OFF, 64 * KIB);
			CHECK_EQ(conform_info(&budget.conform).warm_memories,
				 1);
			CHECK_EQ(resident_of(&budget).private_bytes,
				 keeps_data()  ? DATA_BYTES :
				 keeps_pages() ? 64 * KIB :
						 0);
		}
	}
	budget_close(&budget);
}

/* One memory of an instance's two is lent: the other stays warm. */
static void a_memory_of_an_instance_is_lent(void)
{
	const uint64_t mins[] = { 2, 2 };
	struct fl_pool_config config;
	struct fl_module *module;
	struct conform conform;
	struct wasm w = { 0 }, data = { 0 };

	budget_config(&config, 2);
	config.max_memories_per_instance = 2;
	conform_open(&conform, &config);
	wasm_header(&w);
	module_add_memories(&w, mins, 2);
	wasm_u(&data, 2);
	module_add_data(&data, 0, 70000, "zero");
	module_add_data(&data, 1, 300, "one");
	wasm_section(&w, WASM_DATA, &data);
	module = module_load(&conform, &w);
	for (int i = 0; i < 6; i++) {
		struct fl_instance *instance = instance_start(&conform, module);

		for (uint32_t k = 0; k < 2; k++) {
			struct fl_memory *memory =
				fl_instance_memory(instance, k);

			check_text(memory, k ? 300 : 70000, k ? "one" : "zero");
			CHECK_EQ(conform_first_data(memory->base, 200), 200);
			memset(memory->base, 0x2d, 2 * WPAGE);
		}
		if (i % 2)
			CHECK_EQ(fl_memory_lend(fl_instance_memory(instance,
								   i / 2 % 2)),
				 0);
		instance_stop(instance);
		CHECK_EQ(conform_info(&conform).warm_memories, i % 2 ? 1 : 2);
	}
	fl_module_release(module);
	conform_close(&conform);
}

/* --------------------------------------------------------------------- fork */

struct forked {
	struct budget *budget;
	struct fl_memory *memory;
};

static int child_tries_all(void *arg)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct forked *forked = arg;
	struct fl_error error = { .text = "" };
	uint64_t trimmed = 7;

	CHECK_EQ(fl_pool_trim(forked->budget->conform.pool, UINT64_MAX,
			      &trimmed),
		 -ECHILD);
	CHECK_EQ(trimmed, 7);
	CHECK_EQ(fl_pool_usage(forked->budget->conform.pool, &usage, &error),
		 -ECHILD);
	CHECK_EQ(error.code, -ECHILD);
	CHECK_EQ(fl_memory_lend(forked->memory), -ECHILD);
	return 0;
}

static void a_child_may_not(void)
{
	struct fl_pool_config config;
	struct budget budget;
	struct forked forked = { .budget = &budget };
	struct test_end end;

	budget_config(&config, 2);
	budget_open(&budget, &config);
	tenancy(&budget, DATA_OFF, WPAGE);
	forked.memory = budget_take(&budget);
	end = test_fork(child_tries_all, &forked, 20);
	CHECK_EQ(end.signo, 0);
	CHECK_EQ(end.status, 0);
	check_clean(&budget, forked.memory);
	conform_give(forked.memory);
	CHECK_EQ(conform_info(&budget.conform).warm_memories, 1);
	budget_close(&budget);
}

/* One tenant touches a page in every 2 MiB of an accessible memory, and the small
 * ones after it do not pay for that for ever: the slot is mapped anew. */
static void one_tenants_traces_go(void)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_pool_config config;
	struct conform conform;

	conform_pool_config(&config);
	config.max_memories = 1;
	config.max_memory_bytes = 1 * GIB;
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	conform_open(&conform, &config);
	for (int round = 0; round < 600; round++) {
		struct fl_memory *memory = conform_take(&conform, NULL, WPAGE);

		memory->base[0] = 1;
		for (uint64_t off = 0; off < GIB && round < 3; off += 2 * MIB)
			memory->base[off] = 1;
		conform_give(memory);
	}
	CHECK_EQ(fl_pool_usage(conform.pool, &usage, NULL), 0);
	CHECK(usage.private_bytes <= 16 * conform_hpage());
	conform_close(&conform);
}

static const char *needs_tracking(void)
{
	return strcmp(test_rung->how, "track") ? TEST_NOT_BUILT
		       "chunks are marked on rung track alone" :
						 NULL;
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(one_tenants_traces_go, needs_tracking),
	TEST_CASE(a_slot_over_its_budget_keeps_nothing),
	TEST_CASE(the_budget_itself_is_kept),
	TEST_CASE(hidden_growth_counts),
	TEST_CASE(hidden_growth_adds_up),
	TEST_CASE(little_growth_counts_the_rest),
	TEST_CASE(smaller_memories_hide_what_larger_ones_wrote),
	TEST_CASE_NEEDS(trim_gives_back_what_was_known, needs_heap_figures),
	TEST_CASE(a_budget_of_zero_keeps_nothing),
	TEST_CASE(a_budget_of_zero_keeps_no_prefix),
	TEST_CASE(small_budgets_keep_slots_clean),
	TEST_CASE(a_pool_over_its_budget_empties_the_oldest),
	TEST_CASE(idle_bytes_follow),
	TEST_CASE(a_pool_budget_of_zero_keeps_nothing),
	TEST_CASE(a_tenant_of_no_bytes_hides_nothing),
	TEST_CASE(pool_budgets_with_threads),
	TEST_CASE(usage_while_guests_run),
	TEST_CASE(trim_from_another_thread),
	TEST_CASE(trim_takes_no_slot_from_anybody),
	TEST_CASE(trim_by_bytes),
	TEST_CASE(trim_all),
	TEST_CASE(trim_leaves_live_memories_alone),
	TEST_CASE_NEEDS(trim_goes_by_age_on_two_processors, needs_two_cpus),
	TEST_CASE_NEEDS(usage_counts_what_was_touched, needs_usage),
	TEST_CASE_NEEDS(usage_tells_live_from_free, needs_usage),
	TEST_CASE_NEEDS(usage_tells_dirty_from_clean, needs_usage),
	TEST_CASE_NEEDS(usage_counts_what_is_swapped, needs_swap_and_usage),
	TEST_CASE_NEEDS(usage_is_not_supported, needs_no_usage),
	TEST_CASE(lent_pages_leave_with_the_tenant),
	TEST_CASE(lending_lasts_for_the_tenancy),
	TEST_CASE(a_memory_of_an_instance_is_lent),
	TEST_CASE(a_child_may_not),
};

ATTACK_HOST_MAIN(cases, ATTACK_SWAP)
