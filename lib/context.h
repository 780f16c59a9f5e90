/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * context.h - the root that owns the opened backend and knows the pools.
 *
 * Takes the host as it is; gives a backend and its host handle to images and
 * pools, and each image and pool holds a reference. Signal handlers read the
 * list of pools, and the lists of regions, without a lock. So a reader
 * announces itself in `lookups`, and a pool or region that leaves its list
 * waits until no reader is left that might have seen the pool or region.
 */
#ifndef FL_CONTEXT_H
#define FL_CONTEXT_H

#include "backend.h"

struct fl_context {
	uint32_t refs;			/* atomic */
	const struct fl__backend *backend;
	struct fl__host *host;
	fl_atomic64 last_serial;	/* atomic */
	struct fl__os_lock lock;	/* guards changes to the list */
	struct fl_pool *pools;		/* atomic links, newest first */
	/* Atomic: handlers that walk the lists, by the turn in which each
	 * began. While a waiter waits for one turn, new walks begin in the
	 * other, so that the wait ends however many walks begin. */
	uint32_t lookups[2];
	uint32_t turn;			/* atomic */
	enum fl_statistics statistics;
	fl_atomic64 last_pool;		/* atomic; their serials */
	uint32_t published;		/* atomic; pools */
	uint32_t published_loads;	/* atomic; lazy images */
	/* What images may take, and what the living ones take: atomic. */
	struct fl_context_config limits;
	fl_atomic64 image_bytes, image_span_bytes;
	/* Images with holes, see module/holes.h. The lock is taken last, and
	 * held for calls of the backend. */
	struct fl__os_lock holes_lock;
	struct fl_image *holes;
	struct fl__os_fork_guard fork_guard;	/* also of its pools */
	int status_fd;	/* fl__os_status_open() */
	/* fl__os_is_commit_strict() as the context began. */
	bool is_commit_strict;
	/* Loaded modules by the hash of their bytes, see module/module.c. */
	struct fl__os_lock twins_lock;
	struct fl_module *twins[256];
};

struct fl_context *fl__context_retain(struct fl_context *context);

/*
 * Take a lock that guards a list of the context's images or modules. False, and
 * nothing is locked, in a forked child: a thread of the parent may have held the
 * lock at the fork, and may have been changing the list. A child gives references
 * back, and walks no list.
 */
bool fl__context_lock(const struct fl_context *context,
		      struct fl__os_lock *lock);

/* A number > 0 that nothing else of the context has. */
static inline uint64_t fl__context_serial(struct fl_context *context)
{
	return __atomic_add_fetch(&context->last_serial, 1, __ATOMIC_RELAXED);
}

/* Between these two calls, what the lists hold stays. Async-signal-safe. Begin
 * gives what end takes. */
uint32_t fl__context_walk_begin(const struct fl_context *context);
void fl__context_walk_end(const struct fl_context *context, uint32_t turn);
/* With the lock, after a pool or region was unlinked: waits until no walker can
 * have seen the pool or region. */
void fl__context_walk_wait(struct fl_context *context);

/* Why numbers are not to be published, full if so many are already; NULL: they
 * are, and *published counted them. */
const char *fl__context_publish(const struct fl_context *context,
				uint32_t *published, const char *full);

/* Was a feature found wanting, or taken away? False for a name that the backend
 * does not list: no probe has looked. *reason (optional) says why. */
bool fl__context_lacks(const struct fl_context *context, const char *name,
		       const char **reason);

#endif
