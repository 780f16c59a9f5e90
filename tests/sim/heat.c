/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * heat.c - which pages are watched, played through on invented writes.
 *
 * A slot of 1,024 host pages in two chunks. Each release follows the rule of
 * uffd/dirty.c over uffd/heat.h: open pages are reported, hot ones copied back
 * without a question, the others compared; when the comparisons that found
 * nothing have cost as much as a sweep, the chunks that hold such pages are
 * watched again. No memory is looked at: a page differs if the trace wrote it.
 *
 * Prices are in nanoseconds, as measured on a guest of two processors: what
 * counts is their relation. The same writes are priced for two simple
 * policies, to watch every page again at each release, and never to watch a
 * page again that was once written; each is bad at some traces. What all
 * three pay alike, the scan, is left out.
 *
 * Always checked: a page that was written is found, which no heat may prevent.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "uffd/heat.h"

#include <string.h>

#define CHUNK_HPAGES 512
#define CHUNKS 2
#define HPAGES (CHUNKS * CHUNK_HPAGES)

#define COPY_NS 100
#define COMPARE_NS 100
#define FAULT_NS 800
#define SWEEP_NS 10000

struct chunk {
	uint16_t next_end;
	uint16_t ends_round;
	bool has_idle;
};

struct slot {
	struct fl__heat heat[HPAGES];
	bool is_open[HPAGES];
	bool is_hot[HPAGES];
	bool is_written[HPAGES]; /* in this tenancy */
	bool was_written[HPAGES]; /* ever */
	struct chunk chunks[CHUNKS];
	uint32_t resets;
	uint64_t idle_cost, hot_count, idle_count;
	uint32_t sweeps;
	/* What it cost, and what the simple policies would have. */
	uint64_t ns, watch_ns, never_ns;
	struct test_random random;
};

static void slot_init(struct slot *slot)
{
	memset(slot, 0, sizeof(*slot));
	for (int i = 0; i < CHUNKS; i++)
		slot->chunks[i].next_end = FL__HEAT_MAX_LEASE;
	test_random_init(&slot->random, 20);
}

/* ------------------------------------------- the caller, as uffd/dirty.c is */

static void page_judge(struct slot *slot, uint32_t idx)
{
	struct chunk *chunk = &slot->chunks[idx / CHUNK_HPAGES];
	struct fl__heat *heat = &slot->heat[idx];
	uint16_t now = (uint16_t)slot->resets;
	enum fl__heat_verdict verdict =
		fl__heat_written(heat, slot->is_open[idx], now, idx);

	/* Only an open page may be unchanged, so only of one is it asked. */
	CHECK(slot->is_open[idx] || verdict != FL__HEAT_WARM);
	if (verdict == FL__HEAT_WARM) {
		verdict = fl__heat_compared(heat, slot->is_written[idx], now,
					    idx);
		slot->ns += COMPARE_NS;
	}
	slot->is_open[idx] = true;
	slot->is_hot[idx] = verdict == FL__HEAT_HOT;
	if (verdict == FL__HEAT_IDLE) {
		CHECK(!slot->is_written[idx]);
		chunk->has_idle = true;
		slot->idle_count++;
		return;
	}
	slot->ns += COPY_NS;
	slot->is_written[idx] = false;
	if (verdict != FL__HEAT_HOT)
		return;
	slot->hot_count++;
	if (!fl__heat_is_due(chunk->next_end, heat->when))
		chunk->next_end = heat->when;
}

static bool chunk_has_ends(struct chunk *chunk, uint16_t now)
{
	if (!fl__heat_is_due(chunk->next_end, now))
		return chunk->ends_round == now;
	chunk->ends_round = now;
	chunk->next_end = (uint16_t)(now + FL__HEAT_MAX_LEASE);
	return true;
}

static void page_report(struct slot *slot, uint32_t idx)
{
	struct chunk *chunk = &slot->chunks[idx / CHUNK_HPAGES];

	if (!slot->is_hot[idx] ||
	    chunk_has_ends(chunk, (uint16_t)slot->resets)) {
		page_judge(slot, idx);
		return;
	}
	slot->hot_count++;
	slot->ns += COPY_NS;
	slot->is_written[idx] = false;
}

static void sweep(struct slot *slot)
{
	for (uint32_t i = 0; i < HPAGES; i++) {
		if (slot->chunks[i / CHUNK_HPAGES].has_idle)
			slot->is_open[i] = slot->is_hot[i] = false;
	}
	for (int i = 0; i < CHUNKS; i++)
		slot->chunks[i].has_idle = false;
	slot->idle_cost = 0;
	slot->sweeps++;
	slot->ns += SWEEP_NS;
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
		slot->watch_ns += written * (FAULT_NS + COPY_NS) + SWEEP_NS;
	slot->never_ns += fresh * FAULT_NS + ever * COPY_NS;
}

/* The tenancy's writes are in is_written; afterwards none may be left. */
static void slot_release(struct slot *slot)
{
	price_simple_policies(slot);
	slot->hot_count = slot->idle_count = 0;
	for (uint32_t i = 0; i < HPAGES; i++) {
		if (slot->is_written[i] && !slot->is_open[i])
			slot->ns += FAULT_NS;
		if (slot->is_written[i] || slot->is_open[i])
			page_report(slot, i);
		CHECK(!slot->is_written[i]);
	}
	slot->idle_cost += slot->idle_count;
	if (slot->idle_cost > 100 + 8 * slot->hot_count)
		sweep(slot);
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
		n += slot->is_hot[i];
	return n;
}

static uint32_t count_open(const struct slot *slot)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < HPAGES; i++)
		n += slot->is_open[i];
	return n;
}

/* -------------------------------------------------------------------- cases */

static void stable_pages_become_hot(void)
{
	struct slot slot;

	slot_init(&slot);
	run(&slot, trace_stable, FL__HEAT_HOT_LEVEL);
	CHECK_EQ(count_hot(&slot), 24);
	run(&slot, trace_stable, 2000);
	CHECK_EQ(count_hot(&slot), 24);
	CHECK_EQ(count_open(&slot), 24);
	CHECK_EQ(slot.sweeps, 0);
}

/* The wrap of the counter is not seen, nor a rest that spans it. */
static void counter_wraps(void)
{
	struct slot slot;

	slot_init(&slot);
	run(&slot, trace_stable, 3 * 65536 + 50);
	CHECK_EQ(count_hot(&slot), 24);
	CHECK_EQ(slot.sweeps, 0);
	for (uint32_t rest = 65536 - 200; rest < 65536 + 200; rest += 100) {
		run(&slot, trace_nothing, rest);
		CHECK_EQ(count_open(&slot), 0);
		run(&slot, trace_stable, FL__HEAT_HOT_LEVEL);
		CHECK_EQ(count_hot(&slot), 24);
	}
}

/* A page written n releases apart counts as new from the window on, whatever
 * the counter stands at. */
static void window_holds_at_each_time(void)
{
	static const uint16_t starts[] = { 0, 1, 100, 32767, 65500, 65535 };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(starts); i++) {
		for (uint32_t gap = 1; gap < 200; gap++) {
			struct fl__heat heat = { .when = starts[i],
						 .level = 1 };
			uint16_t now = (uint16_t)(starts[i] + gap);

			CHECK_EQ(fl__heat_written(&heat, false, now, 0),
				 FL__HEAT_FRESH);
			CHECK_EQ(heat.level, gap <= FL__HEAT_WINDOW ? 2 : 1);
			CHECK_EQ(heat.when, now);
		}
	}
}

/* The hottest page, found unchanged twice, has to prove itself again: two more
 * changes before the next lease. */
static void unchanged_pages_lose_heat(void)
{
	struct fl__heat heat = { .when = 10, .level = FL__HEAT_MAX_LEVEL };

	CHECK_EQ(fl__heat_written(&heat, true, 9, 0), FL__HEAT_HOT);
	CHECK_EQ(fl__heat_written(&heat, true, 10, 0), FL__HEAT_WARM);
	CHECK_EQ(fl__heat_compared(&heat, false, 10, 0), FL__HEAT_IDLE);
	CHECK_EQ(fl__heat_written(&heat, true, 11, 0), FL__HEAT_WARM);
	CHECK_EQ(fl__heat_compared(&heat, false, 11, 0), FL__HEAT_IDLE);
	CHECK_EQ(fl__heat_compared(&heat, true, 12, 0), FL__HEAT_FRESH);
	CHECK_EQ(fl__heat_compared(&heat, true, 13, 0), FL__HEAT_HOT);
	CHECK(fl__heat_is_due(heat.when, (uint16_t)(13 + (2 << heat.level))));
	CHECK(!fl__heat_is_due(heat.when, 14));
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

/* Hot pages at rest: all leases end within the longest, then each page is
 * compared until that has paid for the sweep. */
static void hot_pages_cool(void)
{
	struct slot slot;

	slot_init(&slot);
	run(&slot, trace_stable, 5000);
	run(&slot, trace_nothing, FL__HEAT_MAX_LEASE + 1);
	CHECK_EQ(count_hot(&slot), 0);
	run(&slot, trace_nothing, 100);
	CHECK_EQ(count_open(&slot), 0);
	CHECK(slot.sweeps >= 1 && slot.sweeps <= 3);
	/* Nothing left to do, for ever. */
	slot.ns = 0;
	run(&slot, trace_nothing, 70000);
	CHECK_EQ(slot.ns, 0);
}

/* The same beside pages that are written on and on. */
static void one_of_many_cools(void)
{
	struct slot slot;

	slot_init(&slot);
	for (int i = 0; i < 3000; i++) {
		write_range(&slot, 700, 1);
		run(&slot, trace_stable, 1);
	}
	CHECK(slot.is_hot[700]);
	run(&slot, trace_stable, FL__HEAT_MAX_LEASE + 1);
	CHECK(!slot.is_hot[700]);
	run(&slot, trace_stable, 100 + 8 * 24);
	CHECK(!slot.is_open[700]);
	CHECK_EQ(count_hot(&slot), 24);
}

/* Nowhere does a page stay hot that nobody has written for the longest lease:
 * asked of each page after each release, on all traces in turn. */
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
			CHECK(!slot.is_hot[p] ||
			      i - last[p] <= FL__HEAT_MAX_LEASE);
	}
}

/* Leases that began together end at different releases, so that no release
 * compares all hot pages at once. */
static void ends_of_leases_spread(void)
{
	uint32_t ends[FL__HEAT_MAX_LEASE + 1] = { 0 };
	struct slot slot;

	slot_init(&slot);
	write_range(&slot, 0, CHUNK_HPAGES);
	for (int i = 0; i < 400; i++) {
		slot_release(&slot);
		write_range(&slot, 0, CHUNK_HPAGES);
	}
	for (uint32_t i = 0; i < CHUNK_HPAGES; i++) {
		uint16_t left = (uint16_t)(slot.heat[i].when - slot.resets);

		if (CHECK(slot.is_hot[i] && left <= FL__HEAT_MAX_LEASE))
			ends[left]++;
	}
	for (uint32_t i = 0; i <= FL__HEAT_MAX_LEASE; i++)
		CHECK(ends[i] <= CHUNK_HPAGES / 8);
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
	TEST_CASE(window_holds_at_each_time),
	TEST_CASE(unchanged_pages_lose_heat),
	TEST_CASE(random_pages_stay_cool),
	TEST_CASE(hot_pages_cool),
	TEST_CASE(one_of_many_cools),
	TEST_CASE(none_stays_hot_unwritten),
	TEST_CASE(ends_of_leases_spread),
	TEST_CASE(costs_against_simple_policies),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
