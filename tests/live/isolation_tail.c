/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * isolation_tail.c - tenants that stay in few page tables, and now and then one
 * that goes further.
 *
 * A slot is registered no further than its tenants went, and what lies behind is
 * asked about by the same scan. So most tenants write some pages of one chunk of
 * 2 MiB, and nothing reads the rest, which would give it page tables. One tenant
 * in ten does something in another chunk: writes there by itself, by the kernel
 * or by a large page, and has it dropped, paged out, merged, collapsed, locked,
 * protected, copied on a fork, watched anew. Runs of pages that each tenant
 * writes are of any length and place. Tenants look at what the ones before them
 * wrote, and at all of the memory only when the image is switched.
 *
 * FAULTLINE_TEST_SEED repeats a run, up to what the kernel decides.
 */
#define _GNU_SOURCE
#include "tests/kit/attack.h"
#include "tests/kit/attack_host.h"
#include "tests/kit/child.h"
#include "tests/kit/clock.h"
#include "tests/kit/random.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>

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

#define TENANCIES 6000
#define TIME_LIMIT_NS ((uint64_t)1000000000u)
#define KINDS 3
#define MAX_BYTES (16 * MIB)
#define CHUNK (2 * MIB)

static const uint64_t initial_bytes[KINDS] = { 12 * MIB, 5 * MIB, 9 * MIB };
/* Where each image's data begins and ends, in two segments. */
static const uint64_t data[KINDS][4] = {
	{ 0, MIB, 3 * MIB + 5, 9 * MIB - 77 },
	{ WPAGE, 4608 * KIB, 0, 0 },
	{ 0, 0, 0, 0 },
};

struct world {
	struct conform conform;
	struct fl_image *images[KINDS];
	uint8_t *clean[KINDS]; /* MAX_BYTES each */
};

/* One thread's tenants. */
struct guest {
	struct world *world;
	struct test_random random;
	struct fl_memory *memory;
	uint8_t *base;
	uint64_t len;
	int kind;
	/* Where the tenants of this time are at home, and what all of them
	 * write. */
	uint64_t home, run_from, run_to;
	uint64_t far_from, far_to; /* where the last one that did went */
	unsigned int tenancies;
};

static uint64_t pick(struct guest *guest, uint64_t limit)
{
	return test_random_below(&guest->random, limit);
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

static void world_open(struct world *world, bool is_aligned, uint64_t idle,
		       uint32_t slots)
{
	struct fl_pool_config config;

	conform_pool_config(&config);
	config.max_memories = slots;
	config.max_memory_bytes = MAX_BYTES;
	/* No page table is shared with the next slot. */
	config.guard_after_bytes = is_aligned ? 4 * MIB : CHUNK;
	config.memory_alignment_bytes = is_aligned ? CHUNK : 0;
	config.prefix_bytes = is_aligned ? 0 : ATTACK_PREFIX_BYTES;
	if (idle)
		config.max_idle_slot_bytes = idle;
	conform_open(&world->conform, &config);
	for (int kind = 0; kind < KINDS; kind++)
		kind_init(world, kind);
}

static void world_close(struct world *world)
{
	for (int kind = 0; kind < KINDS; kind++) {
		fl_image_release(world->images[kind]);
		free(world->clean[kind]);
	}
	conform_close(&world->conform);
}

static void guest_check(struct guest *guest, uint64_t from, uint64_t to)
{
	const uint8_t *clean = guest->world->clean[guest->kind];

	to = to < guest->len ? to : guest->len;
	if (from >= to || !memcmp(guest->base + from, clean + from, to - from))
		return;
	for (uint64_t off = from; off < to; off++) {
		if (guest->base[off] == clean[off])
			continue;
		test_note(
			"tenancy %u, kind %d, offset 0x%jx: 0x%02x is there, not 0x%02x",
			guest->tenancies, guest->kind, (uintmax_t)off,
			guest->base[off], clean[off]);
		break;
	}
	CHECK(!"the memory is what it should be");
}

static void guest_begin(struct guest *guest)
{
	guest->memory = conform_take(&guest->world->conform,
				     guest->world->images[guest->kind],
				     initial_bytes[guest->kind]);
	guest->base = guest->memory->base;
	guest->len = fl_memory_length(guest->memory);
	guest->tenancies++;
}

/* What the tenants of the next time do. */
static void guest_settle(struct guest *guest)
{
	guest->kind = (guest->kind + 1 + (int)pick(guest, KINDS - 1)) % KINDS;
	guest->far_from = guest->far_to = 0;
	guest->home = pick(guest, initial_bytes[guest->kind] / CHUNK) * CHUNK;
	guest->run_from = pick(guest, 2) ? 0 : pick(guest, 512);
	guest->run_to = guest->run_from;
	if (pick(guest, 3))
		guest->run_to += pick(guest, pick(guest, 2) ? 900 : 20);
}

static void write_home(struct guest *guest)
{
	uint64_t gap = pick(guest, 600);

	for (uint64_t i = guest->run_from; i < guest->run_to; i++) {
		uint64_t off = guest->home + i * 4096 + pick(guest, 4096);

		if (off < guest->len && i != gap)
			guest->base[off] ^= 0xa5;
	}
	for (uint64_t i = pick(guest, 6); i; i--) {
		uint64_t off = guest->home + pick(guest, CHUNK);

		if (off < guest->len)
			guest->base[off] ^= 0x5a;
	}
}

static int write_own_copy(void *arg)
{
	struct guest *guest = arg;

	for (uint64_t off = 0; off < guest->len; off += 300 * KIB)
		guest->base[off] ^= 1;
	return 0;
}

static void kernel_writes(struct guest *guest, uint64_t off, uint64_t len)
{
	static const uint8_t bytes[3 * 4096] = { 7, 8, 9 };
	struct iovec from = { (void *)(uintptr_t)bytes, sizeof(bytes) };
	struct iovec to = { guest->base + off, sizeof(bytes) };
	int ends[2];

	if (len < sizeof(bytes))
		return;
	if (pick(guest, 2)) {
		CHECK_EQ(process_vm_writev(getpid(), &from, 1, &to, 1, 0),
			 sizeof(bytes));
		return;
	}
	MUST(!pipe(ends));
	CHECK_EQ(write(ends[1], bytes, sizeof(bytes)), sizeof(bytes));
	CHECK_EQ(read(ends[0], to.iov_base, sizeof(bytes)), sizeof(bytes));
	/* Pinned, and let go. */
	if (vmsplice(ends[1], &to, 1, 0) > 0)
		CHECK(read(ends[0], to.iov_base, sizeof(bytes)) > 0);
	close(ends[0]);
	close(ends[1]);
}

static void write_some(struct guest *guest, uint64_t off, uint64_t len)
{
	uint64_t at = off + pick(guest, len);
	uint64_t count = pick(guest, 2) ? 1 : pick(guest, off + len - at) + 1;

	memset(guest->base + at, (int)pick(guest, 256), count);
}

/* What the kernel does to [off, off + len), before the tenant writes or after. */
static void far_event(struct guest *guest, uint64_t off, uint64_t len)
{
	static const int advice[] = {
		MADV_COLD,     MADV_PAGEOUT,	   MADV_PAGEOUT,
		MADV_COLLAPSE, MADV_POPULATE_READ, MADV_POPULATE_WRITE,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE,	   MADV_MERGEABLE,
		MADV_DONTNEED, MADV_FREE,
	};
	uint8_t *at = guest->base + off;

	switch (pick(guest, 9)) {
	case 0:
		CHECK(!mprotect(at, len, pick(guest, 2) ? 0 : PROT_READ));
		CHECK(!mprotect(at, len, PROT_READ | PROT_WRITE));
		break;
	case 1:
		if (!mlock(at, len))
			munlock(at, len);
		break;
	case 2:
		kernel_writes(guest, off, len);
		break;
	case 3:
		if (pick(guest, 4) == 0)
			CHECK_EQ(test_fork(write_own_copy, guest, 20).status,
				 0);
		break;
	case 4:
		(void)*(volatile uint8_t *)(at + pick(guest, len));
		break;
	default:
		/* Advice may be refused. */
		(void)madvise(at, len,
			      advice[pick(guest, TEST_ARRAY_SIZE(advice))]);
	}
}

/* Some of a chunk, all of it, or from the middle of one to that of the next. */
static void go_far(struct guest *guest)
{
	static __thread struct fl_memory_run runs[MAX_BYTES / 4096];
	uint64_t off, len;

	if (pick(guest, 3) == 0) {
		uint64_t delta = pick(guest, (MAX_BYTES - guest->len) / WPAGE);

		CHECK_EQ(fl_memory_grow(guest->memory, delta, NULL), 0);
		guest->len = fl_memory_length(guest->memory);
	}
	off = pick(guest, 2) ? pick(guest, guest->len / CHUNK) * CHUNK :
			       pick(guest, guest->len / 4096) * 4096;
	len = pick(guest, 2) ? CHUNK : (pick(guest, 500) + 1) * 4096;
	len = len < guest->len - off ? len : guest->len - off;
	guest->far_from = off;
	guest->far_to = off + len;
	for (uint64_t i = pick(guest, 6); i; i--) {
		if (pick(guest, 3))
			far_event(guest, off, len);
		if (pick(guest, 3) == 0)
			write_some(guest, off, len);
		if (pick(guest, 8) == 0)
			(void)fl_memory_written(guest->memory, FL_WRITTEN_BEGIN,
						runs, TEST_ARRAY_SIZE(runs),
						NULL, NULL);
	}
}

static void tenancy(struct guest *guest)
{
	bool goes_far = pick(guest, 10) == 0;

	guest_begin(guest);
	if (pick(guest, 8) == 0)
		guest_check(guest, guest->home, guest->home + CHUNK);
	if (pick(guest, 2))
		guest_check(guest, guest->far_from, guest->far_to);
	if (goes_far && pick(guest, 2))
		go_far(guest);
	write_home(guest);
	if (goes_far)
		go_far(guest);
	conform_give(guest->memory);
}

/* All of it, and then another image: what was read has page tables. */
static void check_and_settle(struct guest *guest)
{
	guest_begin(guest);
	guest_check(guest, 0, guest->len);
	CHECK_EQ(fl_memory_grow(guest->memory, (MAX_BYTES - guest->len) / WPAGE,
				NULL),
		 0);
	guest->len = MAX_BYTES;
	guest_check(guest, 0, guest->len);
	conform_give(guest->memory);
	guest_settle(guest);
}

static void *run_guest(void *arg)
{
	struct guest *guest = arg;
	uint64_t end = test_now_ns() + TIME_LIMIT_NS;

	guest_settle(guest);
	for (int i = 0; i < TENANCIES && !test_has_failed(); i++) {
		if (i % 16 == 0 && test_now_ns() > end)
			break;
		if (pick(guest, 40) == 0)
			check_and_settle(guest);
		tenancy(guest);
	}
	return NULL;
}

static void run_world(bool is_aligned, uint64_t idle, int threads)
{
	struct world world;
	struct guest guests[2];
	pthread_t thread;

	world_open(&world, is_aligned, idle, (uint32_t)threads);
	for (int i = 0; i < threads; i++) {
		memset(&guests[i], 0, sizeof(guests[i]));
		test_random_init(&guests[i].random, (unsigned)(11 + i));
		guests[i].world = &world;
	}
	if (threads > 1)
		MUST(!pthread_create(&thread, NULL, run_guest, &guests[1]));
	run_guest(&guests[0]);
	if (threads > 1)
		MUST(!pthread_join(thread, NULL));
	test_note("%u tenancies", guests[0].tenancies);
	world_close(&world);
}

static void slots_in_tables_of_their_own(void)
{
	run_world(true, 0, 1);
}

/* The base is in the middle of a page table, and the stride is the least that
 * leaves the slot one. */
static void slots_at_the_limit(void)
{
	run_world(false, 0, 1);
}

static void little_is_kept(void)
{
	run_world(true, 600 * KIB, 1);
}

static void two_threads(void)
{
	run_world(false, 0, 2);
}

static const struct test_case cases[] = {
	TEST_CASE(slots_in_tables_of_their_own),
	TEST_CASE(slots_at_the_limit),
	TEST_CASE(little_is_kept),
	TEST_CASE(two_threads),
};

ATTACK_HOST_MAIN(cases, ATTACK_SWAP | ATTACK_KSM | ATTACK_HUGE)
