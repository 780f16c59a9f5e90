/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * heat.h - should a written page be watched, or simply always copied back?
 *
 * A page that is watched costs a fault when it is written and a system call
 * (which interrupts the other processors) when it is protected again; a page
 * that is left open costs a copy at every release, written or not. So a page
 * that is written in most tenancies is left open, for a lease. When the lease
 * ends its bytes are compared with the image, which costs no more than the
 * copy: changed, the page is still in use and gets a longer lease; unchanged,
 * a shorter one, and then it is watched again. A page written at random now and
 * then stays watched: heat is gained only by writes that follow each other
 * closely.
 *
 * Pure: no clock, no system call, no look at memory. Time is the number of
 * releases of the slot, modulo 2^16; a wrap can make a page hot too early,
 * never wrongly clean.
 */
#ifndef FL_HEAT_H
#define FL_HEAT_H

#include "util.h"

/* One host page. All zero: never seen written. */
struct fl__heat {
	uint16_t last;		/* release at which it was last seen written */
	uint8_t level;		/* how often in close succession */
	uint8_t lease;		/* releases it stays open; 0: watched */
};

/* Two writes at most this many releases apart follow each other closely: about
 * where the cost of watching once equals that of copying as many times. */
#define FL__HEAT_WINDOW		16
#define FL__HEAT_OPEN_LEVEL	2
#define FL__HEAT_MAX_LEVEL	6

enum fl__heat_verdict {
	FL__HEAT_WATCH,		/* protect it again */
	FL__HEAT_OPEN,		/* leave it open */
	FL__HEAT_COMPARE,	/* do that, and tell fl__heat_compared() */
};

/* An open page whose lease does not end now stays open, and this release is
 * taken off its lease. Otherwise nothing is changed, and fl__heat_written()
 * decides. */
static inline bool fl__heat_stays_open(struct fl__heat *heat)
{
	if (heat->lease < 2)
		return false;
	heat->lease--;
	return true;
}

/* The page was reported as written at release now: it was open, or it was
 * watched and written. hpage_idx spreads the ends of leases that began
 * together. */
enum fl__heat_verdict fl__heat_written(struct fl__heat *heat, uint16_t now,
				       uint64_t hpage_idx);

/* After FL__HEAT_COMPARE: did the bytes differ? Never asks again. */
enum fl__heat_verdict fl__heat_compared(struct fl__heat *heat, bool is_changed,
					uint64_t hpage_idx);

#endif
