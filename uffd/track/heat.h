/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * heat.h - what is a page that was written likely to need next time?
 *
 * A page that is watched costs a fault when it is written. One that is left
 * open costs a copy at every release, written or not, until it is watched
 * again, which costs a system call and, on other processors, an interrupt. So
 * a written page is left open, and heat tells which open pages are in use:
 *
 *	hot	written in most tenancies: copied back without a question,
 *		for a lease; when it ends, compared
 *	warm	not known to be: compared with the image at every release,
 *		which costs no more than the copy. Changed, it gets hotter;
 *		unchanged, it is idle, and the caller counts that as a cost
 *
 * When idle pages have cost as much as watching everything again would, the
 * caller does that (see dirty.h). A page written at random now and then is thus
 * watched most of the time, and never becomes hot.
 *
 * Pure: no clock, no system call, no look at memory. Time is the number of
 * releases of the slot, modulo 2^16; a wrap can misjudge heat, never what is
 * clean.
 */
#ifndef FL_HEAT_H
#define FL_HEAT_H

#include "base/util.h"

/* One host page. All zero: never seen written. */
struct fl__heat {
	uint16_t when;		/* hot: the release at which its lease ends;
				 * else: when it was last seen written */
	uint8_t level;		/* how often in close succession */
	uint8_t unused;
};

/* Two writes at most this many releases apart follow each other closely. */
#define FL__HEAT_WINDOW		16
#define FL__HEAT_HOT_LEVEL	3
#define FL__HEAT_MAX_LEVEL	6
#define FL__HEAT_MAX_LEASE	(UINT16_C(2) << FL__HEAT_MAX_LEVEL)

enum fl__heat_verdict {
	FL__HEAT_FRESH,		/* written after being watched; warm */
	FL__HEAT_HOT,		/* copy it back until release heat->when */
	FL__HEAT_WARM,		/* compare; tell fl__heat_compared() */
	FL__HEAT_IDLE,		/* unchanged: nothing to copy */
};

/* Has release now reached then? Both modulo 2^16, at most 2^15 apart. */
static inline bool fl__heat_is_due(uint16_t then, uint16_t now)
{
	return (int16_t)(uint16_t)(now - then) >= 0;
}

/* The page was reported as written at release now: it was open, or it was
 * watched and written. FRESH, HOT or WARM. hpage_idx spreads the ends of
 * leases that began together. */
enum fl__heat_verdict fl__heat_written(struct fl__heat *heat, bool is_open,
				       uint16_t now, uint64_t hpage_idx);

/* After FL__HEAT_WARM: did the bytes differ? FRESH, HOT or IDLE. */
enum fl__heat_verdict fl__heat_compared(struct fl__heat *heat, bool is_changed,
					uint16_t now, uint64_t hpage_idx);

#endif
