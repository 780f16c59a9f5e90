/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * context.h - the root that owns the opened backend and knows the pools.
 *
 * Takes the host as it is; gives a backend and its host handle to images and
 * pools, each of which holds a reference. The list of pools, and a pool's list of
 * regions, are read by signal handlers without a lock: a reader announces itself
 * in `lookups`, and what leaves a list waits until no reader that might have seen
 * it is left.
 */
#ifndef FL_CONTEXT_H
#define FL_CONTEXT_H

#include "backend.h"

struct fl_context {
	uint32_t refs;			/* atomic */
	const struct fl__backend *backend;
	struct fl__host *host;
	uint64_t last_serial;		/* atomic */
	struct fl__os_lock lock;	/* guards changes to the list */
	struct fl_pool *pools;		/* atomic links, newest first */
	/* Atomic: handlers walking the lists, by the turn in which they began.
	 * Who waits for them lets others begin in the other turn, so that it
	 * ends however many there are. */
	uint32_t lookups[2];
	uint32_t turn;			/* atomic */
	struct fl__os_fork_guard fork_guard;
};

struct fl_context *fl__context_retain(struct fl_context *context);
uint64_t fl__context_next_serial(struct fl_context *context);

/* Between these two, what the lists hold stays. Async-signal-safe. Begin gives
 * what end takes. */
uint32_t fl__context_walk_begin(const struct fl_context *context);
void fl__context_walk_end(const struct fl_context *context, uint32_t turn);
/* With the lock, after something was unlinked: until no walker can have seen
 * it. */
void fl__context_walk_wait(struct fl_context *context);

/* Was a feature found wanting, or taken away? A name that the backend does not
 * list is not: nobody has looked. *reason (optional) says why. */
bool fl__context_lacks(const struct fl_context *context, const char *name,
		       const char **reason);

#endif
