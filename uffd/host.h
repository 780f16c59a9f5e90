/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * host.h - what a context opens, and all its arenas use.
 *
 * Takes a context's configuration; gives the rung and the descriptors. These are
 * opened with the host: so a process that gives up its rights, its root or its
 * /proc afterwards loses nothing, and pools cost no descriptors. They are in
 * shards, two for each processor: two threads that use one userfaultfd or
 * pagemap both write its reference count.
 *
 * All is immutable but the loader, which has the lock, and turn.
 */
#ifndef FL_HOST_H
#define FL_HOST_H

#include "rung.h"
#include "uffd/track/dirty.h"

struct fl__loader;

struct fl__host {
	struct fl__probe probe;
	enum fl__rung rung;
	const char *reason; /* why no better rung; NULL: the best */
	/* Made with the first lazy image, under the lock. */
	struct fl__os_lock lock;
	struct fl__loader *loader;
	uint32_t load_threads;
	/* Atomic: where the next arena begins, so that many small pools do not
	 * all use the first shard. */
	uint32_t turn;
	uint32_t shard_count;
	/* Neighbouring slots use different descriptors: a file's reference
	 * count is a cache line that every call on it writes. */
	struct fl__dirty_host shards[FL__MAX_SHARDS];
};

/* The calls open and close of backend.h. */
int fl__host_open(const char *disabled, const struct fl_context_config *config,
		  struct fl__host **out, struct fl_error *error);
void fl__host_close(struct fl__host *host);

#endif
