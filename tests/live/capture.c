/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * capture.c - an image taken of a memory holds what the guest would read,
 * whatever the kernel did to the pages before: swapped, merged, collapsed,
 * dropped, shared with a child, carried off.
 *
 * Each case is a way to disturb what the kernel tells of pages, which
 * attack_repeat() takes through many tenancies of one slot. The capture comes
 * before any look at the pages, because a look would bring the pages back.
 */
#define _GNU_SOURCE
#include "tests/kit/attack.h"
#include "tests/kit/attack_host.h"
#include "tests/kit/child.h"
#include "tests/kit/clock.h"
#include "tests/kit/procfs.h"

#include <sys/mman.h>

#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define KSM "/sys/kernel/mm/ksm/"

/* What the guest had before the kernel was asked, and what was captured. */
static uint8_t before[ATTACK_MAX_BYTES], captured[ATTACK_MAX_BYTES];

static void remember(const struct tenant *tenant)
{
	memcpy(before, tenant->base, tenant->length_bytes);
}

static int advise(const struct tenant *tenant, uint64_t off, uint64_t len,
		  int advice)
{
	return madvise(tenant->base + off, len, advice);
}

static int advise_all(const struct tenant *tenant, int advice)
{
	return advise(tenant, 0, tenant->length_bytes, advice);
}

/* The image is what the guest sees afterwards. */
static bool check_capture(struct tenant *tenant)
{
	struct fl_image_info info = { .size = sizeof(info) };
	struct fl_error error = { .text = "" };
	struct fl_image *image = NULL;

	CONFORM_MUST(fl_image_from_memory(tenant->memory, NULL, &image, &error),
		     &error);
	fl_image_info(image, &info);
	CHECK_EQ(info.initial_bytes, tenant->length_bytes);
	CHECK_EQ(fl_image_read(image, 0, captured, tenant->length_bytes), 0);
	fl_image_release(image);
	if (CHECK(!memcmp(captured, tenant->base, tenant->length_bytes)))
		return true;
	for (uint64_t off = 0; off < tenant->length_bytes; off++) {
		if (captured[off] == tenant->base[off])
			continue;
		test_note(
			"cycle %u, kind %d, offset 0x%jx: 0x%02x was captured, not 0x%02x",
			tenant->cycle, tenant->kind, (uintmax_t)off,
			captured[off], tenant->base[off]);
		break;
	}
	return false;
}

/* And what the guest had before. */
static void check_remembered(struct tenant *tenant)
{
	if (check_capture(tenant))
		CHECK(!memcmp(captured, before, tenant->length_bytes));
}

/* -------------------------------------------------------------- plain writes */

static void do_write(struct tenant *tenant)
{
	attack_write(tenant);
	if (tenant->cycle % 3 == 1)
		attack_grow(tenant, tenant->cycle % 5);
	if (tenant->cycle % 3 == 2)
		memset(tenant->base + tenant->length_bytes / 3, 0,
		       tenant->length_bytes / 3);
	remember(tenant);
	check_remembered(tenant);
	/* Written after a capture, captured again. */
	attack_write(tenant);
	check_capture(tenant);
}

static void plain_writes(void)
{
	attack_repeat(do_write);
}

/* ---------------------------------------------------------------------- swap */

static void do_swap(struct tenant *tenant)
{
	if (tenant->cycle % 4 == 3)
		advise_all(tenant, MADV_PAGEOUT);
	attack_write(tenant);
	remember(tenant);
	advise_all(tenant, MADV_PAGEOUT);
	tenant->attack->evidence +=
		procfs_swapped(tenant->base, tenant->length_bytes) > 0;
	check_remembered(tenant);
	advise_all(tenant, MADV_PAGEOUT);
}

static void swapped_out(void)
{
	attack_wants_evidence = true;
	attack_repeat(do_swap);
	attack_wants_evidence = false;
}

/* Some pages went out, came back to be read, or were written again. */
static void do_swap_some(struct tenant *tenant)
{
	uint64_t half =
		tenant->length_bytes / 2 / conform_hpage() * conform_hpage();

	attack_write(tenant);
	remember(tenant);
	advise_all(tenant, MADV_PAGEOUT);
	CHECK(!memcmp(tenant->base, before, half));
	if (tenant->cycle % 2) {
		attack_write(tenant);
		remember(tenant);
		advise(tenant, half, tenant->length_bytes - half, MADV_PAGEOUT);
	}
	check_remembered(tenant);
}

static void swapped_out_in_part(void)
{
	attack_repeat(do_swap_some);
}

static void do_swapoff(struct tenant *tenant)
{
	attack_write(tenant);
	remember(tenant);
	advise_all(tenant, MADV_PAGEOUT);
	if (tenant->cycle % 8 == 1)
		tenant->attack->evidence += CHECK(attack_swap_cycle());
	check_remembered(tenant);
}

static void swap_taken_away(void)
{
	attack_wants_evidence = true;
	attack_repeat(do_swapoff);
	attack_wants_evidence = false;
}

/* ----------------------------------------------------------------------- KSM */

static void ksm_wait(void)
{
	long start = attack_read_number(KSM "full_scans");

	for (int i = 0; i < 2000; i++) {
		if (attack_read_number(KSM "full_scans") >= start + 3)
			return;
		test_sleep_ms(1);
	}
}

/* Pages of zeroes where the image has data, and pages that are alike. */
static void do_ksm(struct tenant *tenant)
{
	advise_all(tenant, MADV_MERGEABLE);
	attack_write(tenant);
	for (uint32_t i = 0; i < tenant->pick_count; i++) {
		if (i % 3)
			memset(attack_picked(tenant, i), i % 3 == 1 ? 0 : 0x77,
			       conform_hpage());
	}
	remember(tenant);
	ksm_wait();
	tenant->attack->evidence +=
		attack_read_number(KSM "pages_sharing") > 0 ||
		attack_read_number(KSM "ksm_zero_pages") > 0;
	check_remembered(tenant);
	if (tenant->cycle % 4 == 2)
		advise_all(tenant, MADV_UNMERGEABLE);
}

static void merge(const char *use_zero_pages)
{
	CHECK(attack_write_text(KSM "use_zero_pages", use_zero_pages));
	CHECK(attack_write_text(KSM "run", "1"));
	attack_wants_evidence = true;
	attack_repeat_times(do_ksm, 24);
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

/* -------------------------------------------------------------------- advice */

/* What is dropped shows the image again, or zeroes. */
static void do_drop(struct tenant *tenant)
{
	uint64_t third =
		tenant->length_bytes / 3 / conform_hpage() * conform_hpage();

	attack_write(tenant);
	advise(tenant, third, third,
	       tenant->cycle % 2 ? MADV_DONTNEED : MADV_FREE);
	check_capture(tenant);
	attack_write(tenant);
	check_capture(tenant);
}

static void dropped_by_the_tenant(void)
{
	attack_repeat(do_drop);
}

static void do_collapse(struct tenant *tenant)
{
	attack_write(tenant);
	remember(tenant);
	advise_all(tenant, MADV_HUGEPAGE);
	tenant->attack->evidence += !advise_all(tenant, MADV_COLLAPSE);
	check_remembered(tenant);
	attack_write(tenant);
	check_capture(tenant);
}

static void collapsed(void)
{
	attack_repeat(do_collapse);
}

/* ------------------------------------------------------------------ children */

static int child_waits(void *arg)
{
	(void)arg;
	test_sleep_ms(2000);
	return 0;
}

/* Pages are shared with the child until one of the two writes. */
static void do_fork(struct tenant *tenant)
{
	pid_t child;

	attack_write(tenant);
	child = test_spawn(child_waits, NULL, 10);
	remember(tenant);
	check_remembered(tenant);
	attack_write(tenant);
	check_capture(tenant);
	test_kill(child);
}

static void shared_with_a_child(void)
{
	attack_repeat(do_fork);
}

static const char *needs_uninstrumented(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer's shadow does not follow" :
				     NULL;
}

/* The pages are carried off, and empty ones of the same mappings stay. */
static void do_carry_off(struct tenant *tenant)
{
	uint64_t from = conform_round_up(2600 * KIB, conform_hpage());
	uint64_t len = tenant->length_bytes - from;
	void *away;

	attack_write(tenant);
	if (tenant->kind != ATTACK_SMALL_IMAGE || tenant->cycle % 3 == 0)
		return;
	away = mremap(tenant->base + from, len, len,
		      MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	if (away == MAP_FAILED)
		return;
	tenant->attack->evidence++;
	munmap(away, len);
	check_capture(tenant);
	attack_write(tenant);
	check_capture(tenant);
}

static void pages_carried_off(void)
{
	attack_wants_evidence = true;
	attack_repeat(do_carry_off);
	attack_wants_evidence = false;
}

static const struct test_case cases[] = {
	TEST_CASE(plain_writes),
	TEST_CASE_NEEDS(swapped_out, attack_needs_swap),
	TEST_CASE_NEEDS(swapped_out_in_part, attack_needs_swap),
	TEST_CASE_NEEDS(swap_taken_away, attack_needs_swap),
	TEST_CASE_NEEDS(merged, attack_needs_ksm),
	TEST_CASE_NEEDS(merged_into_the_zero_page, attack_needs_ksm),
	TEST_CASE(dropped_by_the_tenant),
	TEST_CASE(collapsed),
	TEST_CASE(shared_with_a_child),
	TEST_CASE_NEEDS(pages_carried_off, needs_uninstrumented),
};

ATTACK_HOST_MAIN(cases, ATTACK_SWAP | ATTACK_KSM | ATTACK_HUGE)
