/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * policy.c - which pages are watched, played through on invented writes.
 *
 * A slot of 1,024 host pages in two chunks. Each release asks the functions of
 * uffd/track/policy.h, in the order in which uffd/track/settle.c and track.c
 * ask them. No memory is looked at: a page differs if the trace wrote it.
 *
 * Prices are in nanoseconds, as measured on a guest of two processors: what
 * counts is their relation. The same writes are priced for two simple
 * policies, to watch every page again at each release, and never to watch a
 * page again that was once written; each is bad at some traces. What all
 * three pay alike, the scan, is left out.
 *
 * Always checked: a page that was written is found, which no policy may prevent.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "uffd/track/policy.h"

#include <string.h>

#define CHUNKS 2
#define HPAGES (CHUNKS * FL__CHUNK_MAX_HPAGES)

#define COPY_NS 100
#define FAULT_NS 800
#define CALL_NS 10000

struct slot {
	struct fl__watch watch[CHUNKS];
	bool is_written[HPAGES]; /* in this tenancy */
	bool was_written[HPAGES]; /* ever */
	bool is_same[HPAGES]; /* is always written with what is there */
	uint32_t resets;
	struct fl__sweeps known;
	uint32_t sweeps;
	/* What it cost, and what the simple policies would have. */
	uint64_t ns, watch_ns, never_ns;
	struct test_random random;
};

static void slot_init(struct slot *slot)
{
	memset(slot, 0, sizeof(*slot));
	test_random_init(&slot->random, 20);
}

static struct fl__watch *watch_of(struct slot *slot, uint32_t page)
{
	return &slot->watch[page / FL__CHUNK_MAX_HPAGES];
}

static bool is_open(const struct slot *slot, uint32_t page)
{
	return fl_bit_get(slot->watch[page / FL__CHUNK_MAX_HPAGES].open,
			  page % FL__CHUNK_MAX_HPAGES);
}

static bool is_hot(const struct slot *slot, uint32_t page)
{
	return fl_bit_get(slot->watch[page / FL__CHUNK_MAX_HPAGES].hot,
			  page % FL__CHUNK_MAX_HPAGES);
}

/* ------------------------------------------- the caller, as uffd/track is */

static void page_report(struct slot *slot, uint32_t page,
			struct fl__found *found, uint32_t *quiet_end)
{
	struct fl__watch *watch = watch_of(slot, page);
	uint32_t idx = page % FL__CHUNK_MAX_HPAGES;
	bool is_changed = slot->is_written[page] && !slot->is_same[page];

	slot->is_written[page] = false;
	slot->ns += COPY_NS;
	if (fl_bit_get(watch->hot, idx) &&
	    fl__policy_trusts(slot->resets, page / FL__CHUNK_MAX_HPAGES)) {
		found->hot++;
		return;
	}
	if (fl__policy_reported(watch, idx, found) != FL__REPORT_OPEN)
		return;
	fl__policy_compared(watch, idx, is_changed, found);
	if (is_changed)
		return;
	found->quiet_runs += page != *quiet_end;
	*quiet_end = page + 1;
}

static void sweep(struct slot *slot, const struct fl__found *found)
{
	enum fl__sweep sweep = fl__policy_sweep(&slot->known, found);

	if (sweep == FL__SWEEP_NONE)
		return;
	slot->sweeps++;
	slot->ns += sweep == FL__SWEEP_RUNS ? found->quiet_runs * CALL_NS :
					      CALL_NS;
	for (int i = 0; i < CHUNKS; i++)
		fl__policy_swept(&slot->watch[i], sweep);
}

static void price_simple_policies(struct slot *slot)
{
	uint64_t written = 0, ever = 0, fresh = 0;

	for (uint32_t i = 0; i < HPAGES; i++) {
		written += slot->is_written[i];
		fresh += slot->is_written[i] && !slot->was_written[i];
		slot->was_written[i] |= slot->is_written[i];
		ever += slot->was_written[i];
	}
	if (written)
		slot->watch_ns += written * (FAULT_NS + COPY_NS) + CALL_NS;
	slot->never_ns += fresh * FAULT_NS + ever * COPY_NS;
}

/* The tenancy's writes are in is_written; afterwards none may be left. */
static void slot_release(struct slot *slot)
{
	struct fl__found found = { .hot = 0 };
	uint32_t quiet_end = HPAGES;

	price_simple_policies(slot);
	for (uint32_t i = 0; i < HPAGES; i++) {
		if (slot->is_written[i] && !is_open(slot, i))
			slot->ns += FAULT_NS;
		if (slot->is_written[i] || is_open(slot, i))
			page_report(slot, i, &found, &quiet_end);
		CHECK(!slot->is_written[i]);
	}
	sweep(slot, &found);
	slot->resets++;
}

/* ------------------------------------------------------------------- traces */

typedef void trace_fn(struct slot *slot, uint32_t release);

static void write_range(struct slot *slot, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++)
		slot->is_written[i % HPAGES] = true;
}

static void write_random(struct slot *slot, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		slot->is_written[test_random_below(&slot->random, HPAGES)] =
			true;
}

static void trace_stable(struct slot *slot, uint32_t release)
{
	(void)release;
	write_range(slot, 500, 24); /* in both chunks */
}

/* Of 32 pages one goes and one comes in each release. */
static void trace_drifting(struct slot *slot, uint32_t release)
{
	write_range(slot, release, 32);
}

static void trace_random(struct slot *slot, uint32_t release)
{
	(void)release;
	write_random(slot, 8);
}

static void trace_stable_and_random(struct slot *slot, uint32_t release)
{
	trace_stable(slot, release);
	trace_random(slot, release);
}

static void trace_phases(struct slot *slot, uint32_t release)
{
	write_range(slot, release / 250 % 4 * 256, 64);
}

static void trace_once(struct slot *slot, uint32_t release)
{
	if (release == 0)
		write_range(slot, 0, 600);
	write_range(slot, 1000, 4);
}

static void trace_every_eighth(struct slot *slot, uint32_t release)
{
	if (release % 8 == 0)
		write_range(slot, 100, 64);
}

/* An interpreter that counts references: of 76 pages that it writes in many
 * runs, 55 are left as they were. */
static void trace_same(struct slot *slot, uint32_t release)
{
	(void)release;
	for (uint32_t i = 0; i < 76; i++) {
		slot->is_written[100 + 3 * i] = true;
		slot->is_same[100 + 3 * i] = i >= 21;
	}
}

static void trace_nothing(struct slot *slot, uint32_t release)
{
	(void)slot;
	(void)release;
}

static void run(struct slot *slot, trace_fn *fn, uint32_t count)
{
	for (uint32_t i = 0; i < count && !test_has_failed(); i++) {
		fn(slot, slot->resets);
		slot_release(slot);
	}
}

static uint32_t count_hot(const struct slot *slot)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < HPAGES; i++)
		n += is_hot(slot, i);
	return n;
}

static uint32_t count_open(const struct slot *slot)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < HPAGES; i++)
		n += is_open(slot, i);
	return n;
}

/* -------------------------------------------------------------------- cases */

static void stable_pages_become_hot(void)
{
	struct slot slot;

	slot_init(&slot);
	run(&slot, trace_stable, 2);
	CHECK_EQ(count_hot(&slot), 24);
	run(&slot, trace_stable, 2000);
	CHECK_EQ(count_hot(&slot), 24);
	CHECK_EQ(count_open(&slot), 24);
	CHECK_EQ(slot.sweeps, 0);
}

/* Releases are counted modulo 2^32. */
static void counter_wraps(void)
{
	struct slot slot;

	slot_init(&slot);
	slot.resets = UINT32_MAX - 100;
	run(&slot, trace_stable, 200);
	CHECK_EQ(count_hot(&slot), 24);
	CHECK_EQ(slot.sweeps, 0);
	run(&slot, trace_nothing, 200);
	CHECK_EQ(count_open(&slot), 0);
}

/* Each state and each answer, from nothing on. */
static void one_page(void)
{
	struct fl__found found = { .hot = 0 };
	struct fl__watch watch;
	uint32_t idx = 77;

	fl__policy_watch_all(&watch);
	CHECK_EQ(fl__policy_reported(&watch, idx, &found), FL__REPORT_FRESH);
	CHECK(fl_bit_get(watch.open, idx) && !fl_bit_get(watch.hot, idx) &&
	      !fl_bit_get(watch.quiet, idx));
	CHECK_EQ(fl__policy_reported(&watch, idx, &found), FL__REPORT_OPEN);
	fl__policy_compared(&watch, idx, false, &found);
	CHECK(fl_bit_get(watch.open, idx) && !fl_bit_get(watch.hot, idx) &&
	      fl_bit_get(watch.quiet, idx) && watch.has_quiet);
	fl__policy_compared(&watch, idx, true, &found);
	CHECK(fl_bit_get(watch.open, idx) && fl_bit_get(watch.hot, idx) &&
	      !fl_bit_get(watch.quiet, idx));
	fl__policy_compared(&watch, idx, false, &found);
	CHECK(!fl_bit_get(watch.hot, idx) && fl_bit_get(watch.quiet, idx));
	CHECK_EQ(found.hot, 1);
	CHECK_EQ(found.quiet, 2);
	/* Swept, and written again. */
	fl__policy_swept(&watch, FL__SWEEP_RUNS);
	CHECK(!fl_bit_get(watch.open, idx) && !watch.has_quiet);
	CHECK_EQ(found.returned, 0);
	CHECK_EQ(fl__policy_reported(&watch, idx, &found), FL__REPORT_RETURNED);
	CHECK_EQ(found.returned, 1);
	CHECK(!fl_bit_get(watch.quiet, idx));
	/* Dropped, and written again; then forgotten by a sweep. */
	fl__policy_dropped(&watch, idx);
	CHECK(!fl_bit_get(watch.open, idx) && !fl_bit_get(watch.hot, idx));
	CHECK_EQ(fl__policy_reported(&watch, idx, &found), FL__REPORT_RETURNED);
	fl__policy_dropped(&watch, idx);
	fl__policy_swept(&watch, FL__SWEEP_RUNS);
	CHECK_EQ(fl__policy_reported(&watch, idx, &found), FL__REPORT_FRESH);
}

/* A sweep of runs leaves hot pages open; a sweep of chunks leaves none. */
static void sweeps_of_both_kinds(void)
{
	for (int is_all = 0; is_all < 2; is_all++) {
		struct fl__found found = { .hot = 0 };
		struct fl__watch watch;

		fl__policy_watch_all(&watch);
		for (uint32_t idx = 100; idx < 200; idx++) {
			(void)fl__policy_reported(&watch, idx, &found);
			fl__policy_compared(&watch, idx, idx % 3 != 0, &found);
		}
		fl__policy_swept(&watch,
				 is_all ? FL__SWEEP_CHUNKS : FL__SWEEP_RUNS);
		for (uint32_t idx = 100; idx < 200; idx++) {
			bool is_left = !is_all && idx % 3 != 0;

			CHECK_EQ(fl_bit_get(watch.open, idx), is_left);
			CHECK_EQ(fl_bit_get(watch.hot, idx), is_left);
		}
	}
}

/* Of pages written at random, each once in 128 releases on average, few are
 * hot at any time, and open ones are watched again. */
static void random_pages_stay_cool(void)
{
	struct slot slot;
	uint64_t hot = 0, open = 0;
	uint32_t most = 0;

	slot_init(&slot);
	for (int i = 0; i < 20000 && !test_has_failed(); i++) {
		run(&slot, trace_random, 1);
		hot += count_hot(&slot);
		open += count_open(&slot);
		if (count_hot(&slot) > most)
			most = count_hot(&slot);
	}
	test_note("hot on average %.2f, at most %u, open %.1f of %u pages",
		  (double)hot / 20000, most, (double)open / 20000, HPAGES);
	CHECK(hot < UINT64_C(20000) * HPAGES / 100);
	CHECK(most < HPAGES / 40);
	CHECK(open < UINT64_C(20000) * HPAGES / 20);
}

/* Hot pages at rest: each is looked at, and compared until that has paid for a
 * sweep. */
static void hot_pages_cool(void)
{
	struct slot slot;

	slot_init(&slot);
	run(&slot, trace_stable, 5000);
	run(&slot, trace_nothing, FL__POLICY_LOOK_EVERY);
	CHECK_EQ(count_hot(&slot), 0);
	run(&slot, trace_nothing, 100);
	CHECK_EQ(count_open(&slot), 0);
	CHECK(slot.sweeps >= 1 && slot.sweeps <= 3);
	/* Nothing left to do, for ever. */
	slot.ns = 0;
	run(&slot, trace_nothing, 70000);
	CHECK_EQ(slot.ns, 0);
}

/* The same beside pages that are written on and on, which stay open. */
static void one_of_many_cools(void)
{
	struct slot slot;

	slot_init(&slot);
	for (int i = 0; i < 3000; i++) {
		write_range(&slot, 700, 1);
		run(&slot, trace_stable, 1);
	}
	CHECK(is_hot(&slot, 700));
	run(&slot, trace_stable, FL__POLICY_LOOK_EVERY);
	CHECK(!is_hot(&slot, 700));
	run(&slot, trace_stable, 1000);
	CHECK(!is_open(&slot, 700));
	CHECK_EQ(count_hot(&slot), 24);
	CHECK_EQ(slot.sweeps, 1);
}

/* Nowhere does a page stay hot that nobody has written between two looks: asked of
 * each page after each release, on all traces in turn. */
static void none_stays_hot_unwritten(void)
{
	static trace_fn *const traces[] = {
		trace_random,	trace_phases,
		trace_drifting, trace_stable_and_random,
		trace_once,	trace_every_eighth,
	};
	static uint32_t last[HPAGES];
	struct slot slot;

	slot_init(&slot);
	memset(last, 0, sizeof(last));
	for (uint32_t i = 0; i < 6 * 1500 && !test_has_failed(); i++) {
		traces[i / 1500](&slot, i);
		for (uint32_t p = 0; p < HPAGES; p++) {
			if (slot.is_written[p])
				last[p] = i;
		}
		slot_release(&slot);
		for (uint32_t p = 0; p < HPAGES; p++)
			CHECK(!is_hot(&slot, p) ||
			      i - last[p] <= FL__POLICY_LOOK_EVERY);
	}
}

/* Nor stays a page open for good that nobody writes, beside any trace. */
static void none_stays_open_unwritten(void)
{
	static trace_fn *const traces[] = {
		trace_stable,  trace_random, trace_drifting,
		trace_phases,  trace_once,   trace_stable_and_random,
		trace_nothing,
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(traces); i++) {
		struct slot slot;

		slot_init(&slot);
		/* No trace but the random ones writes it. */
		write_range(&slot, 300, 1);
		run(&slot, traces[i], 1);
		for (int left = 20000; left && is_open(&slot, 300); left--)
			run(&slot, traces[i], 1);
		CHECK(!is_open(&slot, 300));
	}
}

/* Chunks are looked at in different releases. */
static void looks_are_spread(void)
{
	for (uint32_t release = 0; release < 100; release++) {
		uint32_t looks = 0;

		for (size_t i = 0; i < FL__POLICY_LOOK_EVERY; i++)
			looks += !fl__policy_trusts(release, i);
		CHECK_EQ(looks, 1);
	}
}

/* The cost over 4,000 releases, against both simple policies, in percent of
 * theirs. */
static const struct {
	const char *name;
	trace_fn *fn;
	uint32_t most_of_watch, most_of_never;
} races[] = {
	/* As cheap as copying it each time, which is best here. */
	{ "stable", trace_stable, 9, 103 },
	/* The others pay for all pages ever written, or for all faults. */
	{ "drifting", trace_drifting, 25, 12 },
	{ "random", trace_random, 70, 15 },
	{ "stable and random", trace_stable_and_random, 50, 20 },
	{ "phases", trace_phases, 16, 45 },
	{ "once", trace_once, 6, 2 },
	/* The worst for a rule that does not look ahead: written again just
	 * after it was decided that it would not be, or that it would. */
	{ "every eighth", trace_every_eighth, 105, 135 },
	/* Nearly as good as never to watch a page again. */
	{ "written as it was", trace_same, 13, 108 },
};

static void costs_against_simple_policies(void)
{
	for (size_t i = 0; i < TEST_ARRAY_SIZE(races); i++) {
		struct slot slot;

		slot_init(&slot);
		run(&slot, races[i].fn, 4000);
		test_note("%s: %.2f us a release, always watched %.2f, never "
			  "again %.2f; %u sweeps",
			  races[i].name, (double)slot.ns / 4e6,
			  (double)slot.watch_ns / 4e6,
			  (double)slot.never_ns / 4e6, slot.sweeps);
		CHECK(slot.ns * 100 <= slot.watch_ns * races[i].most_of_watch);
		CHECK(slot.ns * 100 <= slot.never_ns * races[i].most_of_never);
	}
}

static const struct test_case cases[] = {
	TEST_CASE(stable_pages_become_hot),
	TEST_CASE(counter_wraps),
	TEST_CASE(one_page),
	TEST_CASE(sweeps_of_both_kinds),
	TEST_CASE(random_pages_stay_cool),
	TEST_CASE(hot_pages_cool),
	TEST_CASE(one_of_many_cools),
	TEST_CASE(none_stays_hot_unwritten),
	TEST_CASE(none_stays_open_unwritten),
	TEST_CASE(looks_are_spread),
	TEST_CASE(costs_against_simple_policies),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
