/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * isolation_random.c - ten thousand random tenancies against a model.
 *
 * Two tenants at a time in three slots of a pool, each with one of two images or
 * none and a size of its own. They write at random, favour some pages for a
 * while, grow, lend themselves, have the kernel page out, age, collapse, drop,
 * protect and populate, fork, and are trimmed. Every tenancy compares all of its
 * memory before its first write, or at its end with what it wrote itself.
 *
 * FAULTLINE_TEST_SEED repeats a run, up to what the kernel decides.
 */
#define _GNU_SOURCE
#include "tests/kit/attack.h"
#include "tests/kit/attack_host.h"
#include "tests/kit/child.h"
#include "tests/kit/clock.h"
#include "tests/kit/random.h"

#include <stdlib.h>
#include <sys/mman.h>

#ifndef MADV_COLD
#define MADV_COLD 20
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define TENANCIES 10000
#define TIME_LIMIT_NS ((uint64_t)6 * 1000000000u)
#define KINDS 3
#define LIVE 2
#define SLOTS 3
#define MAX_BYTES (32 * WPAGE)

static const uint64_t initial_bytes[KINDS] = { 14 * WPAGE, 11 * WPAGE,
					       6 * WPAGE };
/* Where each image's data begins and ends, in two segments. */
static const uint64_t data[KINDS][4] = {
	{ WPAGE, 9 * WPAGE, 0, 0 },
	{ 30, 2 * WPAGE + 5, 9 * WPAGE - 77, 11 * WPAGE },
	{ 0, 0, 0, 0 },
};

struct guest {
	struct fl_memory *memory;
	uint8_t *expected; /* MAX_BYTES: what the guest has there now */
	int kind;
	bool is_lent;
};

struct world {
	struct conform conform;
	struct test_random random;
	struct fl_image *images[KINDS];
	uint8_t *clean[KINDS]; /* MAX_BYTES each */
	struct guest guests[LIVE];
	uint64_t hot_off; /* favoured at present */
	unsigned int tenancies;
};

static uint64_t pick(struct world *world, uint64_t limit)
{
	return test_random_below(&world->random, limit);
}

static void kind_init(struct world *world, int kind)
{
	struct fl_segment segments[2];
	size_t count = 0;

	world->clean[kind] = calloc(1, MAX_BYTES);
	MUST(world->clean[kind] != NULL);
	for (int i = 0; i < 2 && data[kind][2 * i + 1]; i++) {
		uint64_t start = data[kind][2 * i];
		uint64_t end = data[kind][2 * i + 1];

		for (uint64_t off = start; off < end; off++)
			world->clean[kind][off] =
				(uint8_t)(off % 241 + off / 4096 * 3 +
					  (uint64_t)kind * 90) |
				1;
		segments[count++] =
			(struct fl_segment){ start, world->clean[kind] + start,
					     end - start };
	}
	world->images[kind] = count ? conform_image(&world->conform,
						    initial_bytes[kind],
						    segments, count) :
				      NULL;
}

/* What a pool of this kind is made of. */
enum flavour {
	GUARDED,
	ACCESSIBLE,
	BUDGETED, /* little may stay resident; every seventh slot is audited */
};

static void world_open(struct world *world, enum flavour flavour)
{
	struct fl_pool_config config;

	memset(world, 0, sizeof(*world));
	test_random_init(&world->random, 10);
	conform_pool_config(&config);
	config.max_memories = SLOTS;
	config.max_memory_bytes = MAX_BYTES;
	if (flavour == ACCESSIBLE)
		config.bounds = FL_BOUNDS_ACCESSIBLE;
	if (flavour == BUDGETED) {
		config.max_idle_slot_bytes = 24 * conform_hpage();
		config.max_idle_bytes = 50 * conform_hpage();
		config.audit_every = 7;
	}
	config.strategy = FL_STRATEGY_RANDOM;
	config.random_seed = test_random_next(&world->random);
	conform_open(&world->conform, &config);
	for (int kind = 0; kind < KINDS; kind++)
		kind_init(world, kind);
	for (int i = 0; i < LIVE; i++) {
		world->guests[i].expected = malloc(MAX_BYTES);
		MUST(world->guests[i].expected != NULL);
	}
}

static void world_close(struct world *world)
{
	for (int kind = 0; kind < KINDS; kind++) {
		fl_image_release(world->images[kind]);
		free(world->clean[kind]);
	}
	for (int i = 0; i < LIVE; i++)
		free(world->guests[i].expected);
	conform_close(&world->conform);
}

/* memcmp() first, for the sake of time. */
static void guest_check(struct world *world, struct guest *guest)
{
	uint64_t len = fl_memory_length(guest->memory);

	if (!memcmp(guest->memory->base, guest->expected, len))
		return;
	for (uint64_t off = 0; off < len; off++) {
		if (guest->memory->base[off] == guest->expected[off])
			continue;
		test_note(
			"tenancy %u, kind %d, offset 0x%jx: 0x%02x is there, not 0x%02x",
			world->tenancies, guest->kind, (uintmax_t)off,
			guest->memory->base[off], guest->expected[off]);
		break;
	}
	CHECK(!"the memory is what it should be");
}

static void guest_begin(struct world *world, struct guest *guest)
{
	uint64_t size;

	guest->kind = (int)pick(world, 8) % KINDS;
	size = initial_bytes[guest->kind];
	if (!pick(world, 6))
		size += pick(world, 5) * WPAGE;
	guest->is_lent = false;
	guest->memory =
		conform_take(&world->conform, world->images[guest->kind], size);
	memcpy(guest->expected, world->clean[guest->kind], MAX_BYTES);
	world->tenancies++;
	if (pick(world, 3))
		guest_check(world, guest);
}

static void guest_write(struct world *world, struct guest *guest)
{
	uint64_t len = fl_memory_length(guest->memory);
	uint64_t off = pick(world, len), n = 1;
	uint8_t value = (uint8_t)pick(world, 256);

	if (pick(world, 2))
		off = (world->hot_off + pick(world, 6) * 4096 + off % 64) % len;
	if (!pick(world, 20))
		n = pick(world, 90 * 4096);
	else if (!pick(world, 3))
		n = pick(world, 9000);
	n = n < len - off ? n : len - off;
	memset(guest->memory->base + off, value, n);
	memset(guest->expected + off, value, n);
}

static void guest_grow(struct world *world, struct guest *guest)
{
	uint64_t len = fl_memory_length(guest->memory);
	uint64_t delta = pick(world, 6);

	if (len + delta * WPAGE <= MAX_BYTES)
		CHECK_EQ(fl_memory_grow(guest->memory, delta, NULL), 0);
	else
		CHECK_EQ(fl_memory_grow(guest->memory, delta, NULL), -E2BIG);
}

static void guest_drop(struct world *world, struct guest *guest)
{
	uint64_t len = fl_memory_length(guest->memory);
	uint64_t off = pick(world, len) & ~(conform_hpage() - 1);
	uint64_t n = conform_round_up(pick(world, WPAGE) + 1, conform_hpage());

	n = n < len - off ? n : len - off;
	/* The segmented backend's image is not there to come back. */
	if (strcmp(test_rung->backend, "linux") ||
	    madvise(guest->memory->base + off, n, MADV_DONTNEED))
		return;
	memcpy(guest->expected + off, world->clean[guest->kind] + off, n);
}

static int write_own_copy(void *arg)
{
	struct guest *guest = arg;

	guest->memory->base[77] ^= 1;
	guest->memory->base[5 * WPAGE] ^= 1;
	return 0;
}

static void fork_and_write(struct guest *guest)
{
	CHECK_EQ(test_fork(write_own_copy, guest, 20).status, 0);
}

/* Something the kernel does. */
static void guest_event(struct world *world, struct guest *guest)
{
	static const int advice[] = { MADV_COLD,	   MADV_PAGEOUT,
				      MADV_COLLAPSE,	   MADV_POPULATE_READ,
				      MADV_POPULATE_WRITE, MADV_HUGEPAGE,
				      MADV_NOHUGEPAGE,	   MADV_MERGEABLE };
	uint64_t len = fl_memory_length(guest->memory);
	uint8_t *base = guest->memory->base;
	uint64_t off = pick(world, len) & ~(conform_hpage() - 1);

	switch (pick(world, 6)) {
	case 0:
		CHECK(!mprotect(base, len,
				pick(world, 2) ? PROT_NONE : PROT_READ));
		CHECK(!mprotect(base, len, PROT_READ | PROT_WRITE));
		break;
	case 1:
		guest_drop(world, guest);
		break;
	case 2:
		if (!pick(world, 6) && !test_is_sanitized())
			fork_and_write(guest);
		break;
	default:
		madvise(base + off, len - off,
			advice[pick(world, TEST_ARRAY_SIZE(advice))]);
		break;
	}
}

static void guest_live(struct world *world, struct guest *guest)
{
	for (uint64_t n = pick(world, 7); n; n--) {
		guest_write(world, guest);
		if (!pick(world, 12))
			guest_grow(world, guest);
		if (!pick(world, 8))
			guest_event(world, guest);
		if (!pick(world, 60))
			CHECK_EQ(fl_memory_lend(guest->memory), 0);
	}
}

static void guest_end(struct world *world, struct guest *guest)
{
	guest_check(world, guest);
	CHECK_EQ(fl_memory_release(guest->memory), 0);
	guest->memory = NULL;
	if (!pick(world, 200))
		CHECK_EQ(fl_pool_trim(world->conform.pool, pick(world, MIB),
				      NULL),
			 0);
	/* What is favoured drifts, and sometimes jumps. */
	if (!pick(world, 150))
		world->hot_off = pick(world, MAX_BYTES);
}

static void ten_thousand(enum flavour flavour, unsigned int tenancies)
{
	uint64_t until_ns = test_now_ns() + TIME_LIMIT_NS / 2;
	struct world world;

	world_open(&world, flavour);
	while (world.tenancies < tenancies && !test_has_failed() &&
	       test_now_ns() < until_ns) {
		struct guest *guest = &world.guests[pick(&world, LIVE)];

		if (guest->memory && pick(&world, 3))
			guest_end(&world, guest);
		if (!guest->memory)
			guest_begin(&world, guest);
		guest_live(&world, guest);
	}
	for (int i = 0; i < LIVE; i++)
		if (world.guests[i].memory)
			guest_end(&world, &world.guests[i]);
	if (world.tenancies < tenancies)
		test_note("%u tenancies in the time there is", world.tenancies);
	CHECK_EQ(conform_info(&world.conform).retired_memories, 0);
	CHECK_EQ(conform_info(&world.conform).audit_failures, 0);
	world_close(&world);
}

static void random_tenancies_guarded(void)
{
	ten_thousand(GUARDED, TENANCIES / 2);
}

static void random_tenancies_accessible(void)
{
	ten_thousand(ACCESSIBLE, TENANCIES / 4);
}

static void random_tenancies_on_a_budget(void)
{
	ten_thousand(BUDGETED, TENANCIES / 4);
}

static const struct test_case cases[] = {
	TEST_CASE(random_tenancies_guarded),
	TEST_CASE(random_tenancies_accessible),
	TEST_CASE(random_tenancies_on_a_budget),
};

ATTACK_HOST_MAIN(cases, ATTACK_SWAP)
