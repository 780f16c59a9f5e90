/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * policy.h - which pages are watched, and when is a page watched again?
 *
 * A page that is watched costs a fault when it is written. A page that was
 * written is restored and left open: from then on the kernel reports the page
 * at every release, and the page is restored every time, written or not.
 * Watching the page again costs a system call and, on other processors, an
 * interrupt. So the policy has to tell open pages that are in use from open
 * pages that are not:
 *
 *	hot	changed by a tenant that came after the one which opened the
 *		page: copied back without a question
 *	quiet	found unchanged by the last tenant
 *
 * An open page that is not hot is compared while it is copied back, which costs
 * about what the copy costs. A hot page is compared every LOOK_EVERY releases.
 * Quiet pages are counted as a cost. When quiet pages have cost as much as
 * watching them again would, the caller watches them again: a sweep. So the
 * cost of sweeping too often and the cost of sweeping too seldom bound each
 * other.
 *
 * A guest can write a page and leave it as it was: an interpreter that counts
 * references does so with most of the pages that it writes. Such a page looks
 * quiet, is swept, and faults again. So before the next sweep the policy counts
 * how many pages of the last sweep have returned. If half of these pages or
 * more have, the policy waits twice as long, and so on.
 *
 * What is known is kept for each slot, not for each image, and goes when the
 * slot's image goes. Knowledge that slots shared would be a cache line that all
 * threads write. A slot learns an image's hot pages in two tenancies, and goes
 * to tenants of the image that the slot held.
 *
 * Pure: no clock, no system call, no look at the pages. Time is the number of
 * releases of the slot. A wrong guess of the policy costs time and never
 * cleanliness: an open page is restored whatever the policy says of the page.
 */
#ifndef FL_POLICY_H
#define FL_POLICY_H

#include "base/bits.h"
#include "base/util.h"

#define FL__CHUNK_MAX_HPAGES	512	/* of 4 KiB; larger ones are fewer */
#define FL__CHUNK_WORDS		(FL__CHUNK_MAX_HPAGES / 64)
#define FL__POLICY_LOOK_EVERY	16

/* What is known of the host pages of a chunk: one bit each. Hot pages are open.
 * A page that is quiet and not open was swept by the last sweep, or dropped
 * since. */
struct fl__watch {
	uint64_t open[FL__CHUNK_WORDS];
	uint64_t hot[FL__CHUNK_WORDS];
	uint64_t quiet[FL__CHUNK_WORDS];
	bool has_quiet;			/* open pages that are quiet */
};

/* What is known of sweeps of a slot. All zero: there was no sweep. */
struct fl__sweeps {
	uint64_t quiet_cost;		/* comparisons of quiet pages since */
	uint64_t swept, returned;	/* pages of the last sweep */
	uint32_t patience;		/* a power of two */
};

/* What one release has found, in pages. */
struct fl__found {
	uint64_t hot, quiet;
	uint64_t quiet_runs;
	uint64_t returned;		/* that the last sweep had watched */
};

/* Every page is watched, and nothing is known of any page. */
static inline void fl__policy_watch_all(struct fl__watch *watch)
{
	*watch = (struct fl__watch){ .has_quiet = false };
}

/* May hot pages of chunk chunk_idx go uncompared at this release? */
static inline bool fl__policy_trusts(uint32_t release, size_t chunk_idx)
{
	return (release + chunk_idx) % FL__POLICY_LOOK_EVERY;
}

enum fl__report {
	/* The page was open: compare it, and tell fl__policy_compared(). */
	FL__REPORT_OPEN,
	/* The page was watched until now, and this tenant has written it. */
	FL__REPORT_FRESH,
	/* The same, and the page was open before: swept or dropped since. */
	FL__REPORT_RETURNED,
};

/* The page was reported as written, and is open from now on. */
static inline enum fl__report fl__policy_reported(struct fl__watch *watch,
						  uint32_t idx,
						  struct fl__found *found)
{
	if (fl_bit_get(watch->open, idx))
		return FL__REPORT_OPEN;
	fl_bit_set(watch->open, idx, true);
	if (!fl_bit_get(watch->quiet, idx))
		return FL__REPORT_FRESH;
	fl_bit_set(watch->quiet, idx, false);
	found->returned++;
	return FL__REPORT_RETURNED;
}

static inline void fl__policy_compared(struct fl__watch *watch, uint32_t idx,
				       bool is_changed, struct fl__found *found)
{
	fl_bit_set(watch->hot, idx, is_changed);
	fl_bit_set(watch->quiet, idx, !is_changed);
	watch->has_quiet |= !is_changed;
	found->hot += is_changed;
	found->quiet += !is_changed;
}

/* The page was dropped, and is watched from now on. */
static inline void fl__policy_dropped(struct fl__watch *watch, uint32_t idx)
{
	fl_bit_set(watch->open, idx, false);
	fl_bit_set(watch->hot, idx, false);
	fl_bit_set(watch->quiet, idx, true);
}

enum fl__sweep {
	FL__SWEEP_NONE,
	FL__SWEEP_RUNS,		/* watch quiet pages again, and no other */
	FL__SWEEP_CHUNKS,	/* watch all of a chunk with a quiet page */
};

/* What to do after a release that has found this. */
enum fl__sweep fl__policy_sweep(struct fl__sweeps *sweeps,
				const struct fl__found *found);

/* Note the sweep of a chunk: its quiet pages are watched again, and by
 * FL__SWEEP_CHUNKS its other open pages too, if it has a quiet page. Pages that
 * an earlier sweep had watched are forgotten. */
void fl__policy_swept(struct fl__watch *watch, enum fl__sweep sweep);

#endif
