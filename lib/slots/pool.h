/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * pool.h - a pool: four banks and what they share.
 *
 * pool/pool.c makes it and takes it down; everything that lies in its slots, and
 * everything that counts and trims them, sees this struct.
 *
 * Locks: each stock has its own, held for list work only, never across a system
 * call. The trim_lock is taken before any stock's lock and held while slots are
 * trimmed, so that fl_pool_destroy() does not take a slot which the pressure
 * thread is emptying for a tenant's.
 */
#ifndef FL_SLOTS_POOL_H
#define FL_SLOTS_POOL_H

#include "context.h"
#include "slot.h"

struct fl_pool {
	struct fl_context *context;	/* a reference */
	struct fl_pool *next;		/* context's list, atomic */
	struct fl_pool_config config;
	/* config with the limits that the pool's source does not have raised to
	 * their type's maximum: what an instance may ask for. */
	struct fl_pool_config limits;
	struct fl__layout layout;
	const struct fl__source_calls *source;
	uint8_t *reservation;
	struct fl__os_fork_guard fork_guard;
	uint8_t table_null[FL__MAX_ELEMENT_BYTES];
	struct fl__os_lock trim_lock;
	struct fl__os_watch *pressure_watch;	/* NULL: none */
	uint64_t pressure_trim_bytes;

	/* Atomic; written only by pools that ask for audits or a budget. */
	uint64_t releases, audited, audit_failures, audit_pins;
	uint64_t idle_kept_bytes;

	/* Aligned, so that what is above is only read when they are used. */
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

/* False: tables are the runtime's. */
static inline bool fl__pool_has_tables(const struct fl_pool *pool)
{
	return pool->config.max_tables != 0;
}

#endif
