/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * pool.h - a pool: four banks and what they share.
 *
 * pool/pool.c makes a pool and takes it down. The files of instance/, and the
 * files that count and trim slots, see this struct.
 *
 * Locks: each stock has a lock, held for list work only, never across a system
 * call. The trim_lock is taken before any stock's lock and held while slots are
 * emptied. So fl_pool_destroy() does not mistake a slot that the pressure
 * thread is emptying for a tenant's.
 */
#ifndef FL_SLOTS_POOL_H
#define FL_SLOTS_POOL_H

#include "base/config.h"
#include "context.h"
#include "slot.h"
#include "stats.h"

struct fl_pool {
	struct fl_context *context;	/* a reference */
	struct fl_pool *next;		/* context's list, atomic */
	struct fl_pool_config config;
	/* What an instance may ask for: config, but a limit that the pool's
	 * source does not have is raised to its type's maximum. */
	struct fl_pool_config limits;
	struct fl__layout layout;
	const struct fl__source_calls *source;
	uint8_t *reservation;
	struct fl__stats *stats;	/* NULL: off */
	bool is_published;		/* counted in the context */
	bool has_bound;			/* atomic; something was ever bound */
	struct fl__os_fork_guard fork_guard;	/* the context's */
	uint8_t table_null[FL__MAX_ELEMENT_BYTES];
	char name[FL__NAME_BYTES];	/* "": none */
	struct fl__os_lock trim_lock;
	struct fl__os_watch *pressure_watch;	/* NULL: none */
	/* Atomic, and set once, with the trim_lock: fl_pool_wait_fd(); -1:
	 * nobody asked. */
	int event_fd;
	uint64_t pressure_trim_bytes;

	/* Atomic; written only by pools that ask for audits or a budget. */
	fl_atomic64 releases, audited, audit_failures, audit_pins;
	fl_atomic64 idle_kept_bytes;

	/* Aligned, so that writes to banks leave the line above alone. */
	struct fl__bank banks[FL__BANK_COUNT] __attribute__((aligned(128)));
};

/* -ECHILD in a forked child. */
static inline int fl__pool_check_owner(const struct fl_pool *pool,
				       struct fl_error *error)
{
	if (fl_unlikely(fl__os_is_forked(&pool->fork_guard)))
		return fl__error_set(
			error, -ECHILD,
			"this process was forked from the pool's owner; make a context and a pool of its own");
	return 0;
}

/* The same, and -EINVAL for the slot of a handle that was released long ago,
 * whose struct is gone. */
static inline int fl__slot_check_owner(const struct fl__slot *slot,
				       struct fl_error *error)
{
	if (fl_unlikely(!slot->bank))
		return fl__error_set(error, -EINVAL,
				     "the handle was released before");
	return fl__pool_check_owner(slot->bank->pool, error);
}

/* False: the runtime has tables of its own. */
static inline bool fl__pool_has_tables(const struct fl_pool *pool)
{
	return pool->config.max_tables != 0;
}

#endif
