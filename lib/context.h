/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * context.h - the root that owns the opened backend and knows the pools.
 *
 * Takes the host as it is; gives a backend and its host handle to images and
 * pools, each of which holds a reference. The list of pools is read by signal
 * handlers without a lock: a reader announces itself in `lookups`, and a pool
 * that leaves the list waits until no reader that might have seen it is left.
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
	uint32_t lookups;		/* atomic: handlers walking the list */
};

struct fl_context *fl__context_retain(struct fl_context *context);
uint64_t fl__context_next_serial(struct fl_context *context);

/* Was a feature found wanting, or taken away? A name that the backend does not
 * list is not: nobody has looked. *reason (optional) says why. */
bool fl__context_lacks(const struct fl_context *context, const char *name,
		       const char **reason);

#endif
