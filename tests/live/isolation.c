/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * isolation.c - the next tenant sees image and zeroes, whatever the kernel
 * did to the pages in between: swapped, aged, freed, collapsed, merged, moved,
 * locked, populated, protected, moved away by the tenant itself.
 *
 * Each case is a way to make pages dirty, or to disturb what is known of them,
 * which attack_repeat() takes through many tenancies of one slot. All of it is
 * legal before a release.
 */
#define _GNU_SOURCE
#include "tests/kit/attack.h"
#include "tests/kit/attack_host.h"
#include "tests/kit/clock.h"
#include "tests/kit/procfs.h"
#include "tests/kit/trap.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MADV_COLD
#define MADV_COLD 20
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

#define LARGE_FOLIO (2 * MIB)

/* Advice may be refused; what it did is seen by what the next tenant gets. */
static int advise(const struct tenant *tenant, uint64_t off, uint64_t len,
		  int advice)
{
	return madvise(tenant->base + off, len, advice);
}

static int advise_all(const struct tenant *tenant, int advice)
{
	return advise(tenant, 0, tenant->length_bytes, advice);
}

static void read_all(const struct tenant *tenant)
{
	for (uint64_t off = 0; off < tenant->length_bytes;
	     off += conform_hpage())
		(void)*(volatile uint8_t *)(tenant->base + off);
}

static const char *needs_uninstrumented(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer's shadow does not follow" :
				     NULL;
}

/* ------------------------------------------------------------- plain writes */

static void do_write(struct tenant *tenant)
{
	attack_write(tenant);
}

static void plain_writes(void)
{
	attack_repeat(do_write);
}

/* Every byte of half the picks is written with what it was. */
static void do_write_same(struct tenant *tenant)
{
	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		volatile uint8_t *at = attack_picked(tenant, i);

		for (uint64_t k = 0; k < conform_hpage(); k++)
			at[k] = i % 2 ? at[k] : (uint8_t)(at[k] + 1);
	}
}

static void identical_bytes(void)
{
	attack_repeat(do_write_same);
}

/* Grown twice within a tenancy; pages of what came first and of what came
 * later are written, and the very last ones. */
static void do_grow(struct tenant *tenant)
{
	uint32_t first = (uint32_t)(tenant->length_bytes / conform_hpage());
	uint32_t count;

	attack_write(tenant);
	attack_grow(tenant, tenant->cycle % 9 + 1);
	count = (uint32_t)(tenant->length_bytes / conform_hpage());
	for (uint32_t i = first; i < count; i += 3 + tenant->cycle % 5)
		attack_pick(tenant, i);
	attack_pick(tenant, first);
	attack_pick(tenant, count - 1);
	attack_write(tenant);
}

static void grown_memory(void)
{
	attack_repeat(do_grow);
}

/* Everything that can be written is. */
static void do_write_all(struct tenant *tenant)
{
	attack_write(tenant);
	if (tenant->cycle % 3 == 1)
		memset(tenant->base, 0x5c, tenant->length_bytes);
}

static void whole_memory(void)
{
	attack_repeat(do_write_all);
}

/* Where the whole maximum is accessible, code that does not check writes beyond
 * its size. */
static void do_write_beyond(struct tenant *tenant)
{
	uint64_t len = tenant->length_bytes;

	attack_write(tenant);
	if (test_write_signal(tenant->base + ATTACK_MAX_BYTES - 1))
		return;
	tenant->attack->evidence++;
	memset(tenant->base + len, 0x3d, conform_hpage());
	tenant->base[ATTACK_MAX_BYTES - 1] = 0x3e;
	if (tenant->cycle % 4 == 3)
		memset(tenant->base + len, 0x3f, ATTACK_MAX_BYTES - len);
}

static void written_beyond_the_size(void)
{
	attack_repeat(do_write_beyond);
}

/* The engine counts releases modulo a power of two: far more tenancies than
 * any lease of a hot page, most of which write nothing new. */
static void do_write_few(struct tenant *tenant)
{
	if (tenant->pick_count > 12)
		tenant->pick_count = 12;
	attack_write(tenant);
}

static void many_tenancies(void)
{
	attack_repeat_times(do_write_few, 400);
}

/* --------------------------------------------------------------------- swap */

/* Dirty pages go out; they are released there, or come back to be read or to be
 * written and to go out again; clean pages go out first and are written in. */
static void do_swap(struct tenant *tenant)
{
	if (tenant->cycle % 4 == 3) {
		read_all(tenant);
		advise_all(tenant, MADV_PAGEOUT);
	}
	attack_write(tenant);
	attack_count_dirt(tenant);
	advise_all(tenant, MADV_PAGEOUT);
	tenant->attack->evidence +=
		procfs_swapped(tenant->base, tenant->length_bytes) > 0;
	if (tenant->cycle % 4 == 1)
		read_all(tenant);
	if (tenant->cycle % 4 == 2) {
		attack_write(tenant);
		advise_all(tenant, MADV_PAGEOUT);
	}
}

/* The host asks what was written, and has the pages watched anew: the kernel then
 * reports none of them as written. */
static void watch_anew(struct tenant *tenant)
{
	static struct fl_memory_run runs[ATTACK_MAX_BYTES / 4096];
	int err = fl_memory_written(tenant->memory, FL_WRITTEN_BEGIN, runs,
				    TEST_ARRAY_SIZE(runs), NULL, NULL);

	CHECK(!err || (err == -ENOTSUP && !strcmp(test_rung->how, "discard")));
}

/* Written, watched, and written again, or not. */
static void do_watch(struct tenant *tenant)
{
	attack_write(tenant);
	watch_anew(tenant);
	if (tenant->cycle % 3 == 1)
		attack_write(tenant);
	if (tenant->cycle % 5 == 2)
		watch_anew(tenant);
}

static void watched_anew(void)
{
	attack_repeat(do_watch);
}

/* Dropped while they are watched, some of them by runs that cross page tables. */
static void do_watch_and_drop(struct tenant *tenant)
{
	attack_write(tenant);
	watch_anew(tenant);
	if (tenant->cycle % 2)
		advise_all(tenant, MADV_DONTNEED);
	if (tenant->cycle % 3)
		attack_write(tenant);
	read_all(tenant);
}

static void watched_anew_and_dropped(void)
{
	attack_repeat(do_watch_and_drop);
}

static void do_watch_and_swap(struct tenant *tenant)
{
	attack_write(tenant);
	if (tenant->cycle % 2)
		advise_all(tenant, MADV_PAGEOUT);
	watch_anew(tenant);
	attack_count_dirt(tenant);
	advise_all(tenant, MADV_PAGEOUT);
	tenant->attack->evidence +=
		procfs_swapped(tenant->base, tenant->length_bytes) > 0;
	if (tenant->cycle % 3 == 0)
		read_all(tenant);
}

static void watched_anew_and_swapped_out(void)
{
	attack_wants_evidence = true;
	attack_repeat(do_watch_and_swap);
	attack_wants_evidence = false;
}

static void swapped_out(void)
{
	attack_wants_evidence = true;
	attack_repeat(do_swap);
	attack_wants_evidence = false;
}

/* Between release and the next tenant everything may go out too, hot pages
 * that are still private first of all. */
static void do_swap_before(struct tenant *tenant)
{
	advise_all(tenant, MADV_PAGEOUT);
	if (tenant->cycle % 2)
		read_all(tenant);
	attack_write(tenant);
}

static void kept_pages_swapped_out(void)
{
	attack_repeat(do_swap_before);
}

/* Swap is taken away: the kernel brings every page back by itself, but for those
 * that went to the swap of somebody else. */
static void do_swapoff(struct tenant *tenant)
{
	uint64_t swapped;

	attack_write(tenant);
	attack_count_dirt(tenant);
	advise_all(tenant, MADV_PAGEOUT);
	swapped = procfs_swapped(tenant->base, tenant->length_bytes);
	if (tenant->cycle % 8 == 1)
		tenant->attack->evidence += CHECK(attack_swap_cycle()) &&
					    swapped;
}

static void swap_taken_away(void)
{
	attack_wants_evidence = true;
	attack_repeat(do_swapoff);
	attack_wants_evidence = false;
}

static void do_cold_and_free(struct tenant *tenant)
{
	attack_write(tenant);
	attack_count_dirt(tenant);
	advise_all(tenant, MADV_COLD);
	/* Not of a file mapping: each stretch by itself. */
	for (uint64_t off = 0; off < tenant->length_bytes; off += WPAGE)
		if (tenant->cycle % 3)
			advise(tenant, off, WPAGE, MADV_FREE);
	if (tenant->cycle % 3 == 2)
		advise_all(tenant, MADV_PAGEOUT);
}

static void cold_and_freed(void)
{
	attack_repeat(do_cold_and_free);
}

/* -------------------------------------------------------------- large pages */

static void collapse_all(const struct tenant *tenant)
{
	for (uint64_t off = 0; off + LARGE_FOLIO <= tenant->length_bytes;
	     off += LARGE_FOLIO) {
		int err = advise(tenant, off, LARGE_FOLIO, MADV_COLLAPSE);

		tenant->attack->evidence += !err;
	}
}

/* Before, after and between the writes. */
static void do_collapse(struct tenant *tenant)
{
	if (tenant->cycle % 3 == 0)
		collapse_all(tenant);
	attack_write(tenant);
	if (tenant->cycle % 3 == 1)
		collapse_all(tenant);
	if (tenant->cycle % 6 == 2) {
		memset(tenant->base, 0x31, tenant->length_bytes);
		collapse_all(tenant);
		attack_write(tenant);
	}
}

static void collapsed(void)
{
	attack_repeat(do_collapse);
}

/* Advice outlives the tenancy: pages of the next ones come large. */
static void do_huge(struct tenant *tenant)
{
	advise_all(tenant,
		   tenant->cycle % 8 == 7 ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	attack_write(tenant);
	if (tenant->cycle % 5 == 0)
		memset(tenant->base + 3 * MIB - 1, 0x32,
		       tenant->length_bytes - 3 * MIB);
	/* khugepaged looks every millisecond. */
	if (tenant->cycle % 4 == 1)
		test_sleep_ms(4);
}

static void large_folios(void)
{
	attack_repeat(do_huge);
}

/* ---------------------------------------------------------------------- KSM */

#define KSM "/sys/kernel/mm/ksm/"

/* KSM merges what two scans found unchanged. */
static void ksm_wait(void)
{
	long start = attack_read_number(KSM "full_scans");

	for (int i = 0; i < 2000; i++) {
		if (attack_read_number(KSM "full_scans") >= start + 3)
			return;
		test_sleep_ms(1);
	}
}

/* Equal pages, and pages of zeroes where the image has data: merged into one,
 * or into the zero page. A write breaks a merge; unmerging copies again. */
static void do_ksm(struct tenant *tenant)
{
	advise_all(tenant, MADV_MERGEABLE);
	attack_write(tenant);
	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		uint8_t *at = attack_picked(tenant, i);

		if (i % 3)
			memset(at, i % 3 == 1 ? 0 : 0x77, conform_hpage());
	}
	attack_count_dirt(tenant);
	ksm_wait();
	tenant->attack->evidence += attack_read_number(KSM "pages_sharing") > 0;
	tenant->attack->evidence += attack_read_number(KSM "ksm_zero_pages") >
				    0;
	if (tenant->cycle % 4 == 1)
		attack_write(tenant);
	if (tenant->cycle % 4 == 2)
		advise_all(tenant, MADV_UNMERGEABLE);
}

static void merge(const char *use_zero_pages)
{
	CHECK(attack_write_text(KSM "use_zero_pages", use_zero_pages));
	CHECK(attack_write_text(KSM "run", "1"));
	attack_wants_evidence = true;
	attack_repeat_times(do_ksm, 36);
	attack_wants_evidence = false;
	/* Unmerges all, and stops. */
	CHECK(attack_write_text(KSM "run", "2"));
	CHECK(attack_write_text(KSM "run", "0"));
}

static void merged(void)
{
	merge("0");
}

static void merged_into_the_zero_page(void)
{
	merge("1");
}

/* --------------------------------------------------------------- compaction */

static const char *needs_compaction(void)
{
	if (!procfs_sysctl_may_write("vm/compact_memory"))
		return "only root may start compaction, and the kernel must have it";
	return NULL;
}

static void do_compact(struct tenant *tenant)
{
	attack_write(tenant);
	/* Half a second each on a large host. */
	if (tenant->cycle == 3 || tenant->cycle == 17)
		CHECK(procfs_sysctl_write("vm/compact_memory", "1"));
}

static void compacted(void)
{
	attack_repeat_times(do_compact, 24);
}

/* ------------------------------------------------------------------ mlock() */

static const char *needs_mlock(void)
{
	void *map = mmap(NULL, ATTACK_MAX_BYTES, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool can = map != MAP_FAILED &&
		   !mprotect(map, ATTACK_MAX_BYTES, PROT_READ | PROT_WRITE) &&
		   !mlock(map, ATTACK_MAX_BYTES);

	if (map != MAP_FAILED)
		munmap(map, ATTACK_MAX_BYTES);
	return can ? NULL : "mlock() is limited: raise `ulimit -l` to 8192";
}

static void do_lock(struct tenant *tenant)
{
	uint64_t len = tenant->length_bytes;

	if (tenant->cycle % 3 == 0)
		CHECK(!mlock(tenant->base, len));
	if (tenant->cycle % 3 == 1)
		CHECK(!syscall(SYS_mlock2, tenant->base, len, 1));
	attack_write(tenant);
	if (tenant->cycle % 3 == 2)
		CHECK(!mlock(tenant->base, len));
	if (tenant->cycle % 5)
		CHECK(!munlock(tenant->base, len));
}

/* Some tenants leave it locked: pages cannot be dropped then. */
static void locked(void)
{
	attack_repeat(do_lock);
}

/* ------------------------------------------------ populate, drop and protect */

static void do_populate(struct tenant *tenant)
{
	uint32_t half = tenant->pick_count / 2;

	advise_all(tenant, MADV_POPULATE_READ);
	for (uint32_t i = 0; i < half; i++)
		madvise(attack_picked(tenant, i), conform_hpage(),
			MADV_POPULATE_WRITE);
	attack_write(tenant);
	if (tenant->cycle % 6 == 4)
		advise_all(tenant, MADV_POPULATE_WRITE);
	if (tenant->cycle % 4 == 1)
		CHECK_EQ(fl_memory_prefault(tenant->memory, MIB + 5, 2 * MIB),
			 0);
}

static void populated(void)
{
	attack_repeat(do_populate);
}

/* The tenant's own DONTNEED, of parts before it writes and after. */
static void do_drop(struct tenant *tenant)
{
	uint64_t len = tenant->length_bytes;

	attack_write(tenant);
	attack_count_dirt(tenant);
	if (tenant->cycle % 4 == 0)
		advise_all(tenant, MADV_DONTNEED);
	for (uint32_t i = 0; i < tenant->pick_count; i += 2)
		madvise(attack_picked(tenant, i), conform_hpage(),
			MADV_DONTNEED);
	if (tenant->cycle % 4 == 1)
		advise(tenant, len - LARGE_FOLIO, LARGE_FOLIO, MADV_DONTNEED);
	if (tenant->cycle % 3)
		attack_write(tenant);
}

static void dropped_by_the_tenant(void)
{
	attack_repeat(do_drop);
}

/* Guard markers in the last pages, which belong to no file: installed where
 * pages were written, removed before release. */
static void do_guard(struct tenant *tenant)
{
	uint64_t off = tenant->length_bytes - 3 * WPAGE;

	attack_pick_run(tenant, (uint32_t)(off / conform_hpage()), 20);
	attack_write(tenant);
	attack_count_dirt(tenant);
	if (tenant->kind == ATTACK_LARGE_IMAGE)
		return;
	if (!advise(tenant, off, 3 * WPAGE, MADV_GUARD_INSTALL)) {
		tenant->attack->evidence++;
		CHECK(!advise(tenant, off, 3 * WPAGE, MADV_GUARD_REMOVE));
	}
	if (tenant->cycle % 2)
		attack_write(tenant);
}

static void guard_markers(void)
{
	attack_repeat(do_guard);
}

static void protect_all(const struct tenant *tenant, int prot)
{
	CHECK(!mprotect(tenant->base, tenant->length_bytes, prot));
}

/* Made inaccessible, or read-only, and accessible again: before, between and
 * after the writes. */
static void do_protect(struct tenant *tenant)
{
	int prot = tenant->cycle % 2 ? PROT_NONE : PROT_READ;
	uint32_t all = tenant->pick_count;

	if (tenant->cycle % 3 == 0)
		protect_all(tenant, prot);
	protect_all(tenant, PROT_READ | PROT_WRITE);
	tenant->pick_count = all / 2;
	attack_write(tenant);
	if (tenant->cycle % 3 == 1)
		protect_all(tenant, prot);
	protect_all(tenant, PROT_READ | PROT_WRITE);
	tenant->pick_count = all;
	if (tenant->cycle % 4 < 3)
		attack_write(tenant);
	if (tenant->cycle % 3 == 2)
		protect_all(tenant, prot);
	protect_all(tenant, PROT_READ | PROT_WRITE);
}

static void protected_and_back(void)
{
	attack_repeat(do_protect);
}

/* ----------------------------------------------------------------- mremap() */

/* The pages are carried off, and with them the tracking; empty ones of the same
 * mappings stay, and are written again. */
static void do_carry_off(struct tenant *tenant)
{
	uint64_t from = conform_round_up(2600 * KIB, conform_hpage());
	uint64_t len = tenant->length_bytes - from;
	void *away;

	attack_write(tenant);
	attack_count_dirt(tenant);
	if (tenant->kind != ATTACK_SMALL_IMAGE || tenant->cycle % 3 == 0)
		return;
	away = mremap(tenant->base + from, len, len,
		      MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (away == MAP_FAILED)
		return;
	tenant->attack->evidence++;
	munmap(away, len);
	if (tenant->cycle % 3 == 1)
		attack_write(tenant);
}

static void pages_carried_off(void)
{
	attack_wants_evidence = true;
	attack_repeat(do_carry_off);
	attack_wants_evidence = false;
}

static const struct test_case cases[] = {
	TEST_CASE(plain_writes),
	TEST_CASE(identical_bytes),
	TEST_CASE(grown_memory),
	TEST_CASE(whole_memory),
	TEST_CASE(written_beyond_the_size),
	TEST_CASE(many_tenancies),
	TEST_CASE(watched_anew),
	TEST_CASE(watched_anew_and_dropped),
	TEST_CASE_NEEDS(watched_anew_and_swapped_out, attack_needs_swap),
	TEST_CASE_NEEDS(swapped_out, attack_needs_swap),
	TEST_CASE_NEEDS(kept_pages_swapped_out, attack_needs_swap),
	TEST_CASE_NEEDS(swap_taken_away, attack_needs_swap),
	TEST_CASE(cold_and_freed),
	TEST_CASE(collapsed),
	TEST_CASE_NEEDS(large_folios, attack_needs_huge),
	TEST_CASE_NEEDS(merged, attack_needs_ksm),
	TEST_CASE_NEEDS(merged_into_the_zero_page, attack_needs_ksm),
	TEST_CASE_NEEDS(compacted, needs_compaction),
	TEST_CASE_NEEDS(locked, needs_mlock),
	TEST_CASE(populated),
	TEST_CASE(dropped_by_the_tenant),
	TEST_CASE(guard_markers),
	TEST_CASE(protected_and_back),
	TEST_CASE_NEEDS(pages_carried_off, needs_uninstrumented),
};

ATTACK_HOST_MAIN(cases, ATTACK_SWAP | ATTACK_KSM | ATTACK_HUGE)
