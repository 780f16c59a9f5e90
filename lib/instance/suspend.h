/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * suspend.h - what the deltas of memories (suspend.c) and of instances
 * (suspend_instance.c) share: how they are counted and timed.
 *
 * A checkpoint changes nothing. A suspend is in this order: all that can be refused
 * is asked; the runtime encodes; what may have been written is asked, and room for
 * it secured; the slots are claimed, so that of two releases one gets through; the
 * lines are taken, and the slots reset by the same pass (taking.h); the slots are
 * given. Up to the first line that is taken in that pass nothing has changed, and
 * from then on nothing takes the delta back, whatever becomes of the slots.
 */
#ifndef FL_SUSPEND_H
#define FL_SUSPEND_H

#include "taking.h"

/* A delta under way, for the statistics of the first part's pool. */
struct fl__suspend_clock {
	struct fl__stats *stats; /* NULL: not counted */
	enum fl__word word;
	uint64_t start_ns;
};

static inline struct fl__suspend_clock
fl__suspend_clock_begin(const struct fl__slot *slot, bool is_end)
{
	struct fl__suspend_clock clock = {
		.stats = slot ? slot->bank->pool->stats : NULL,
		.word = is_end ? FL__WORD_suspends : FL__WORD_checkpoints,
	};

	clock.start_ns = fl__stats_begin_word(clock.stats, clock.word);
	return clock;
}

static inline void fl__suspend_clock_end(const struct fl__suspend_clock *clock,
					 const struct fl_delta *delta)
{
	fl__stats_end(clock->stats, FL__TIMES_suspend, clock->start_ns);
	if (fl_unlikely(clock->start_ns))
		fl__stats_time(clock->stats, FL__TIMES_delta_size,
			       delta->length_bytes);
	fl__stats_add(clock->stats, clock->word, 1);
	fl__stats_add(clock->stats, FL__WORD_delta_bytes, delta->length_bytes);
}

#endif
