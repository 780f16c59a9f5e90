/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * syscalls.c - what a warm slot costs, counted instead of timed: system
 * calls, host pages that the scans report, page faults.
 *
 * A slot whose marks are lost, whose pages are never left open, or that is
 * protected anew at every release is as clean as another, only slower. Here it
 * is seen: in the steady state an acquire makes no call, a release on the
 * rungs track and scan makes one scan that names what is to be restored and
 * nothing else, one on the rung dontneed drops once, and no access faults.
 *
 * The host may take a page from under a process, migrate it, or unmap it, at any
 * moment, and that page is then counted once more. So a case may count anew
 * twice: a slot that costs more does so in every round.
 *
 * Calls are counted by the linker's --wrap, so this program must be linked with
 * it for every name in the list WRAPPED below, together with the library's
 * objects (not the shared library). It needs what its rungs need.
 */
#define _GNU_SOURCE
#include "tests/kit/conform.h"
#include "tests/kit/random.h"

#include "uffd/kernel.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* WRAPPED: mmap mmap64 mprotect madvise ioctl write */

static struct {
	uint64_t scans; /* PAGEMAP_SCAN that only look */
	uint64_t reported_hpages; /* by them */
	uint64_t protects; /* UFFDIO_WRITEPROTECT, and scans that protect */
	uint64_t others;
	uint64_t writes; /* of whatever the program writes, too */
} calls;

#define WRAP(result, name, ...)            \
	result __real_##name(__VA_ARGS__); \
	result __wrap_##name(__VA_ARGS__); \
	result __wrap_##name(__VA_ARGS__)

WRAP(void *, mmap, void *addr, size_t len, int prot, int flags, int fd,
     off_t off)
{
	calls.others++;
	return __real_mmap(addr, len, prot, flags, fd, off);
}

WRAP(void *, mmap64, void *addr, size_t len, int prot, int flags, int fd,
     off_t off)
{
	calls.others++;
	return __real_mmap64(addr, len, prot, flags, fd, off);
}

WRAP(int, mprotect, void *addr, size_t len, int prot)
{
	calls.others++;
	return __real_mprotect(addr, len, prot);
}

WRAP(ssize_t, write, int fd, const void *bytes, size_t len)
{
	calls.writes++;
	return __real_write(fd, bytes, len);
}

WRAP(int, madvise, void *addr, size_t len, int advice)
{
	calls.others++;
	return __real_madvise(addr, len, advice);
}

static void count_scan(const struct fl__kernel_scan *scan, int count)
{
	const struct fl__kernel_region *regions =
		(const void *)(uintptr_t)scan->vec;

	calls.scans++;
	for (int i = 0; i < count; i++)
		calls.reported_hpages +=
			(regions[i].end - regions[i].start) / conform_hpage();
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	ret = __real_ioctl(fd, request, arg);
	if (request == UFFDIO_WRITEPROTECT)
		calls.protects++;
	else if (request != FL_PAGEMAP_SCAN)
		calls.others++;
	else if (((struct fl__kernel_scan *)arg)->flags)
		calls.protects++;
	else
		count_scan(arg, ret);
	return ret;
}

/* -------------------------------------------------------------- the tenants */

#define IMAGE_BYTES (4 * MIB)
#define HPAGES 1024 /* seen as host pages of 4 KiB, whatever they are */
#define UNIT (IMAGE_BYTES / HPAGES)
#define HOT 16
#define WARM_UP 80

static bool is_how(const char *how)
{
	return !strcmp(test_rung->how, how);
}

static const char *needs_small_hpages(void)
{
	return conform_hpage() == UNIT ? NULL :
					 "counts host pages of 4 KiB only";
}

struct slot {
	struct conform conform;
	struct fl_image *image;
	struct test_random random;
	uint64_t grow_pages;
	uint64_t random_writes;
	uint32_t first; /* of the hot pages */
	uint64_t stride; /* and how far apart they are */
	uint64_t tenants;
	uint64_t acquire_calls; /* of all kinds, in all tenancies */
};

static void slot_open(struct slot *slot, uint64_t image_bytes)
{
	struct fl_pool_config config;
	uint8_t *bytes = malloc(image_bytes);

	MUST(!!bytes);
	memset(slot, 0, sizeof(*slot));
	slot->stride = image_bytes < IMAGE_BYTES ? 25 : 61;
	test_random_init(&slot->random, 7);
	conform_pool_config(&config);
	config.max_memories = 1;
	config.max_memory_bytes = 2 * image_bytes;
	/* So that a page table's part of it is the same each time. */
	config.memory_alignment_bytes = 2 * MIB;
	conform_open(&slot->conform, &config);
	memset(bytes, 0x5a, image_bytes);
	slot->image = conform_image_of(&slot->conform, image_bytes, 0, bytes,
				       image_bytes);
	free(bytes);
}

static void slot_close(struct slot *slot)
{
	fl_image_release(slot->image);
	conform_close(&slot->conform);
}

static void counted_from_here(struct slot *slot)
{
	memset(&calls, 0, sizeof(calls));
	slot->acquire_calls = slot->tenants = 0;
}

static void tenant_write(struct slot *slot, uint8_t *base)
{
	for (uint32_t i = 0; i < HOT; i++) {
		base[(slot->first + i * slot->stride) * UNIT]++;
		(void)*(volatile uint8_t *)(base + i * 29 * UNIT);
	}
	for (uint64_t i = 0; i < slot->random_writes; i++)
		base[test_random_below(&slot->random, HPAGES) * UNIT]++;
}

static void tenancies(struct slot *slot, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		uint64_t before = calls.scans + calls.protects + calls.others;
		struct fl_memory *memory =
			conform_take(&slot->conform, slot->image, 0);
		uint64_t old = fl_memory_length(memory);

		slot->acquire_calls +=
			calls.scans + calls.protects + calls.others - before;
		tenant_write(slot, memory->base);
		if (slot->grow_pages) {
			CHECK_EQ(fl_memory_grow(memory, slot->grow_pages, NULL),
				 0);
			for (uint64_t at = old; at < fl_memory_length(memory);
			     at += UNIT)
				memory->base[at] = 1;
		}
		conform_give(memory);
		slot->tenants++;
	}
}

static uint64_t faults_so_far(void)
{
	struct rusage usage;

	CHECK_EQ(getrusage(RUSAGE_SELF, &usage), 0);
	return (uint64_t)usage.ru_minflt;
}

#define ROUNDS 3

static struct {
	unsigned int left;
	bool has_strayed;
} rounds;

/* In the last round a failed check. */
#define COUNTED(what, expected)                                               \
	do {                                                                  \
		uint64_t counted = (what);                                    \
		if (!rounds.left) {                                           \
			CHECK_EQ(counted, expected);                          \
		} else if (counted != (expected)) {                           \
			test_note("%s is %ju, not %ju", #what,                \
				  (uintmax_t)counted, (uintmax_t)(expected)); \
			rounds.has_strayed = true;                            \
		}                                                             \
	} while (0)

static void count(struct slot *slot, void (*round)(struct slot *slot))
{
	rounds.left = ROUNDS;
	do {
		rounds.left--;
		rounds.has_strayed = false;
		counted_from_here(slot);
		round(slot);
	} while (rounds.has_strayed);
}

/* The kernel may take pages from under a process now and then; a slot that
 * faults does so for each page. */
static void check_no_faults(uint64_t before, uint64_t tenants)
{
	if (!test_is_sanitized())
		COUNTED(faults_so_far() - before >= tenants / 2, 0);
}

/* -------------------------------------------------------------------- cases */

static void same_pages_round(struct slot *slot)
{
	const unsigned int tenants = 1000;
	uint64_t faults = faults_so_far();

	tenancies(slot, tenants);
	if (is_how("track") || is_how("scan")) {
		COUNTED(calls.scans, tenants);
		COUNTED(calls.reported_hpages, tenants * HOT);
		COUNTED(calls.protects, 0);
		COUNTED(calls.others, 0);
		check_no_faults(faults, tenants);
	} else if (is_how("dontneed")) {
		COUNTED(calls.others, tenants);
		COUNTED(calls.scans + calls.protects, 0);
	}
	CHECK_EQ(slot->acquire_calls, 0);
}

static void same_pages_every_time(void)
{
	struct slot slot;

	slot_open(&slot, IMAGE_BYTES);
	tenancies(&slot, WARM_UP);
	count(&slot, same_pages_round);
	slot_close(&slot);
}

/* The same on top of which each tenant writes some pages at random: watched
 * pages cost a fault, open ones are reported. Neither may get out of hand, nor
 * the calls by which the one becomes the other. */
static void random_round(struct slot *slot)
{
	const unsigned int tenants = 1000;

	tenancies(slot, tenants);
	test_note("a release: %ju scans, %ju protecting calls for %u; %ju host "
		  "pages reported",
		  (uintmax_t)calls.scans, (uintmax_t)calls.protects, tenants,
		  (uintmax_t)(calls.reported_hpages / tenants));
	if (is_how("track")) {
		COUNTED(calls.scans > tenants + tenants / 10, 0);
		COUNTED(calls.protects < tenants / 100, 0);
		COUNTED(calls.protects > tenants / 4, 0);
		COUNTED(calls.reported_hpages / tenants > HPAGES / 8, 0);
		COUNTED(calls.others, 0);
	}
}

static void some_pages_at_random(void)
{
	struct slot slot;

	slot_open(&slot, IMAGE_BYTES);
	slot.random_writes = 8;
	tenancies(&slot, WARM_UP);
	count(&slot, random_round);
	slot_close(&slot);
}

static void hot_pages_round(struct slot *slot)
{
	tenancies(slot, 100);
	if (is_how("track")) {
		COUNTED(calls.scans, 100);
		COUNTED(calls.reported_hpages, 100 * HOT);
		COUNTED(calls.protects, 0);
	}
}

/* What tenants write no more is watched again, and reported no more. */
static void pages_left_are_forgotten(void)
{
	struct slot slot;

	slot_open(&slot, IMAGE_BYTES);
	tenancies(&slot, WARM_UP);
	slot.first = 12;
	tenancies(&slot, 300);
	count(&slot, hot_pages_round);
	slot_close(&slot);
}

#define GROWN_HPAGES 32

static void grown_round(struct slot *slot)
{
	const unsigned int tenants = 200;
	uint64_t faults = faults_so_far();

	tenancies(slot, tenants);
	if (is_how("track") || is_how("scan")) {
		/* Without tracking one scan for each kind of mapping. */
		COUNTED(calls.scans, tenants * (is_how("scan") ? 2 : 1));
		COUNTED(calls.reported_hpages, tenants * (HOT + GROWN_HPAGES));
		COUNTED(calls.protects, 0);
		COUNTED(calls.others, 2 * tenants);
		check_no_faults(faults, tenants);
	} else if (is_how("dontneed")) {
		COUNTED(calls.others, 3 * tenants);
	}
	CHECK_EQ(slot->acquire_calls, 0);
}

/* Growing and shrinking is one call each, and what was grown is found by the
 * scan of the rest. */
static void grown_every_time(void)
{
	struct slot slot;

	slot_open(&slot, IMAGE_BYTES);
	slot.grow_pages = GROWN_HPAGES * UNIT / WPAGE;
	tenancies(&slot, WARM_UP);
	count(&slot, grown_round);
	slot_close(&slot);
}

static void large_round(struct slot *slot)
{
	const unsigned int tenants = 200;

	tenancies(slot, tenants);
	if (is_how("track") || is_how("scan")) {
		/* Which the slow scan does not tell apart from the rest. */
		COUNTED(calls.scans,
			tenants * (strcmp(test_rung->name, "linux_slow_scan") ?
					   1 :
					   2));
		COUNTED(calls.reported_hpages, tenants * HOT);
		COUNTED(calls.protects, 0);
		COUNTED(calls.others, 0);
	}
}

/* Of a large memory only what is in use is marked and registered; the same scan
 * sees that the rest has no page. */
static void rest_of_a_large_memory(void)
{
	struct slot slot;

	slot_open(&slot, 8 * IMAGE_BYTES);
	tenancies(&slot, WARM_UP);
	count(&slot, large_round);
	slot_close(&slot);
}

/* Written by each tenant, side by side from first on. */
static void run_tenancies(struct slot *slot, uint64_t hpages, uint64_t tenants)
{
	for (uint64_t i = 0; i < tenants; i++) {
		struct fl_memory *memory =
			conform_take(&slot->conform, slot->image, 0);

		for (uint64_t k = 0; k < hpages; k++)
			memory->base[(slot->first + k) * UNIT]++;
		conform_give(memory);
	}
}

/* scans, and the host pages that they report, of each release. */
static struct {
	uint64_t hpages, scans, reported;
} run;

static void run_round(struct slot *slot)
{
	const uint64_t tenants = 64;

	run_tenancies(slot, run.hpages, tenants);
	if (!strcmp(test_rung->name, "linux")) {
		COUNTED(calls.scans > run.scans * tenants + run.scans, 0);
		COUNTED(calls.reported_hpages >
				run.reported * tenants + run.hpages,
			0);
		COUNTED(calls.protects + calls.others, 0);
	} else if (is_how("scan")) {
		CHECK(calls.reported_hpages >= tenants * run.hpages);
	}
}

static void check_run(uint32_t first, uint64_t hpages, uint64_t scans,
		      uint64_t reported)
{
	struct slot slot;

	slot_open(&slot, IMAGE_BYTES);
	slot.first = first;
	run.hpages = hpages;
	run.scans = scans;
	run.reported = reported;
	run_tenancies(&slot, hpages, WARM_UP);
	count(&slot, run_round);
	slot_close(&slot);
}

/* Pages that are open are known, and are not asked for: in the middle from a full
 * word of the library's bits on. */
static void open_runs_are_not_scanned(void)
{
	check_run(0, 16, 1, 0);
	check_run(0, 200, 1, 0);
	check_run(0, 1000, 1, 0);
	check_run(0, 1024, 0, 0);
	check_run(100, 300, 2, 28);
}

static void read_every(const uint8_t *base, uint64_t len, uint64_t step)
{
	for (uint64_t at = 0; at < len; at += step)
		(void)*(volatile const uint8_t *)(base + at);
}

/* Is 2 MiB of the image one entry of the page table? A byte read there is a
 * page fault for all of it, then. */
static bool has_large_folios(struct slot *slot, uint64_t len)
{
	struct fl_memory *memory = conform_take(&slot->conform, slot->image, 0);
	uint64_t faults;

	read_every(memory->base, len, 2 * MIB);
	faults = faults_so_far();
	read_every(memory->base, len, UNIT);
	faults = faults_so_far() - faults;
	conform_give(memory);
	return faults < len / (2 * MIB);
}

static void write_low_and_read_all(struct slot *slot, uint64_t len,
				   unsigned int tenants)
{
	for (unsigned int i = 0; i < tenants; i++) {
		struct fl_memory *memory =
			conform_take(&slot->conform, slot->image, 0);

		tenant_write(slot, memory->base);
		read_every(memory->base, len, 2 * MIB);
		conform_give(memory);
	}
}

/* What is read only stays in large folios, which the scan reports whole, and is
 * not marked page by page. */
static void large_folios_round(struct slot *slot)
{
	const uint64_t len = 8 * IMAGE_BYTES;
	const unsigned int tenants = 100;

	write_low_and_read_all(slot, len, tenants);
	if (is_how("track")) {
		COUNTED(calls.scans, 2 * tenants);
		COUNTED(calls.protects + calls.others, 0);
		COUNTED(calls.reported_hpages,
			tenants * (HOT + (len - IMAGE_BYTES) / UNIT));
	}
}

static void large_folios_stay(void)
{
	const uint64_t len = 8 * IMAGE_BYTES;
	struct slot slot;

	slot_open(&slot, len);
	if (has_large_folios(&slot, len)) {
		write_low_and_read_all(&slot, len, WARM_UP);
		count(&slot, large_folios_round);
	} else {
		test_note("no large folios here");
	}
	slot_close(&slot);
}

/* Marking a chunk maps the image's pages, which nobody has touched: they are
 * scanned faster, and read without a fault. Once: the reads themselves map what
 * was not. */
static void unread_pages_are_mapped(void)
{
	struct fl_memory *memory;
	struct slot slot;
	uint64_t faults;

	slot_open(&slot, IMAGE_BYTES);
	tenancies(&slot, WARM_UP);
	memory = conform_take(&slot.conform, slot.image, 0);
	faults = faults_so_far();
	read_every(memory->base, IMAGE_BYTES, UNIT);
	rounds.left = 0;
	if (is_how("track"))
		check_no_faults(faults, HPAGES / 8);
	conform_give(memory);
	slot_close(&slot);
}

/* A slot takes no memory before its tenant writes, whatever earlier tenants of
 * the image wrote. */
static void attach_makes_nothing_private(void)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct slot slot;

	slot_open(&slot, IMAGE_BYTES);
	for (unsigned int i = 0; i < 8; i++) {
		struct fl_memory *memory;

		memory = conform_take(&slot.conform, slot.image, 0);
		if (is_how("track") || is_how("scan")) {
			CHECK_EQ(fl_pool_usage(slot.conform.pool, &usage, NULL),
				 0);
			CHECK_EQ(usage.private_bytes, 0);
		}
		conform_give(memory);
		tenancies(&slot, 1);
		CHECK_EQ(fl_pool_trim(slot.conform.pool, UINT64_MAX, NULL), 0);
	}
	slot_close(&slot);
}

/* A descriptor to wait by costs a release nothing, unless somebody waits. */
static void only_who_waits_costs_a_call(void)
{
	struct fl_memory_config config;
	struct fl_memory *memory, *none = NULL;
	struct slot slot;
	int fd;

	slot_open(&slot, HPAGES * UNIT);
	CHECK_EQ(fl_pool_wait_fd(slot.conform.pool, &fd, NULL), 0);
	tenancies(&slot, 10);
	counted_from_here(&slot);
	tenancies(&slot, 50);
	CHECK_EQ(calls.writes, 0);
	CHECK_EQ(slot.acquire_calls, 0);
	fl_memory_config_init(&config);
	config.image = slot.image;
	for (int i = 0; i < 3; i++) {
		memory = conform_take(&slot.conform, slot.image, 0);
		CHECK_EQ(fl_memory_acquire(slot.conform.pool, &config, &none,
					   NULL),
			 -EAGAIN);
		calls.writes = 0;
		conform_give(memory);
		CHECK_EQ(calls.writes, 1);
	}
	slot_close(&slot);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(same_pages_every_time, needs_small_hpages),
	TEST_CASE_NEEDS(some_pages_at_random, needs_small_hpages),
	TEST_CASE_NEEDS(pages_left_are_forgotten, needs_small_hpages),
	TEST_CASE_NEEDS(grown_every_time, needs_small_hpages),
	TEST_CASE_NEEDS(rest_of_a_large_memory, needs_small_hpages),
	TEST_CASE_NEEDS(open_runs_are_not_scanned, needs_small_hpages),
	TEST_CASE_NEEDS(large_folios_stay, needs_small_hpages),
	TEST_CASE_NEEDS(unread_pages_are_mapped, needs_small_hpages),
	TEST_CASE_NEEDS(attach_makes_nothing_private, needs_small_hpages),
	TEST_CASE_NEEDS(only_who_waits_costs_a_call, needs_small_hpages),
};

/* Not the segmented backend: it has other calls, and copies at attach. */
int main(int argc, char **argv)
{
	size_t count = 0;

	while (count < TEST_ARRAY_SIZE(conform_rungs) &&
	       !strcmp(conform_rungs[count].backend, "linux"))
		count++;
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases),
			 conform_rungs, count);
}
