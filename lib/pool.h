/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * pool.h - one reservation, its slots, and who holds which.
 *
 * Takes a configuration; gives memories and instances by index and takes them
 * back. The whole pool is one inaccessible reservation:
 *
 *	│ before │ prefix │ memory 0 ... │ after │ prefix │ memory 1 ... │ after │
 *	                  └── stride ────────────────────┘
 *	│ table 0 │ guard │ table 1 │ guard │ ... │ guard │ stack 0 │ guard │ ...
 *
 * A memory's trailing guard is the next one's leading guard. Tables and
 * stacks have their place; nothing hands them out yet.
 *
 * Locks: each stock has its own, held for list work only, never across a system
 * call. A memory's grow_lock serialises its growth; the trim_lock, taken before
 * any stock's, trimming. Between take and give a slot belongs to one caller.
 *
 * Invariants
 * - A slot whose reset or attach failed is emptied or retired, never given.
 * - memory->state is LIVE exactly while a caller holds it; signal handlers
 *   read it, and pub, without a lock.
 */
#ifndef FL_POOL_H
#define FL_POOL_H

#include "module.h"
#include "stock.h"

enum fl__memory_state {
	FL__MEMORY_FREE = 0,
	FL__MEMORY_LIVE = 1,
	FL__MEMORY_RETIRED = 2,
};

/* One memory slot. pub comes first: a fl_memory is its fl__memory. */
struct fl__memory {
	struct fl_memory pub;		/* length_bytes is atomic */
	struct fl__slot slot;
	struct fl_pool *pool;
	struct fl_instance *instance;	/* atomic; NULL: taken alone */
	uint32_t state;			/* atomic, enum fl__memory_state */
	bool is_lent;			/* atomic; set only while LIVE */
	uint64_t page_bytes;
	uint64_t max_bytes;
	uint64_t counted_bytes;		/* in pool->idle_kept_bytes */
	struct fl__os_lock grow_lock;
} __attribute__((aligned(128)));	/* two threads never share a line */

struct fl_instance {
	struct fl_pool *pool;
	struct fl_module *module;	/* a reference; NULL: free */
	void *user;
	struct fl_memory **memories;	/* module's index space */
	uint32_t memory_count, memory_capacity;
	uint64_t *dropped;		/* one bit a data segment */
	size_t dropped_words;
	bool has_dropped;
};

/* Where everything lies, from the start of the reservation. */
struct fl__layout {
	struct fl__geometry memories;
	uint64_t reserved_bytes;
	uint64_t align_bytes;
	uint64_t tables_off, table_stride_bytes;
	uint64_t stacks_off, stack_stride_bytes;
};

struct fl_pool {
	struct fl_context *context;	/* a reference */
	struct fl_pool *next;		/* context's list, atomic */
	struct fl_pool_config config;
	struct fl__layout layout;
	struct fl__arena *arena;
	struct fl__os_fork_guard fork_guard;
	struct fl__memory *memories;
	struct fl_instance *instances;
	/* Held while slots are trimmed, so that fl_pool_destroy() does not take
	 * the pressure thread's work for a tenant. */
	struct fl__os_lock trim_lock;
	struct fl__os_watch *pressure_watch;	/* NULL: none */
	uint64_t pressure_trim_bytes;

	/* Atomic; written only by pools that ask for audits or a budget. */
	uint64_t releases, audited, audit_failures, audit_pins;
	uint64_t idle_kept_bytes;

	/* Aligned, so that what is above is only read when they are used. */
	struct fl__stock memory_stock;
	struct fl__stock instance_stock;
};

/* Pure: lay a pool out. -EINVAL, -ENOMEM. */
int fl__layout_plan(const struct fl_pool_config *config, uint64_t hpage_bytes,
		    struct fl__layout *layout, struct fl_error *error);

/* -ECHILD in a forked child. */
int fl__pool_check_owner(const struct fl_pool *pool, struct fl_error *error);

/* What one memory is taken with. */
struct fl__memory_request {
	struct fl_image *image;
	uint64_t initial_bytes;
	uint64_t max_bytes;
	uint64_t page_bytes;
	bool is_lent;
};

/* Take count memories, all or none; at most FL__READER_MAX_MEMORIES. */
int fl__memory_take(struct fl_pool *pool,
		    const struct fl__memory_request *requests, uint32_t count,
		    uint64_t timeout_ns, struct fl_memory **memories,
		    struct fl_error *error);
/* 0, or -EIO when an audit found the slot unclean: it is given back or retired
 * in any case. */
int fl__memory_give(struct fl__memory *memory);
/* Empty an owned slot, whatever state it is in, and give it to the stock. */
void fl__memory_empty(struct fl__memory *memory);

enum fl__audit_verdict {
	FL__AUDIT_CLEAN = 0,	/* or not this one's turn */
	FL__AUDIT_UNSURE,	/* pinned, or not to be read: to be emptied */
	FL__AUDIT_DIRTY,	/* the slot is to be retired */
};

/* A slot that was just reset, from a tenant whose size was length_bytes. */
enum fl__audit_verdict fl__audit(struct fl__memory *memory,
				 uint64_t length_bytes);
void fl__audit_info(const struct fl_pool *pool, struct fl_pool_info *info);

static inline struct fl__memory *fl__memory_of(const struct fl_memory *pub)
{
	return (struct fl__memory *)(uintptr_t)pub;
}

static inline uint64_t fl__memory_length(const struct fl_memory *memory)
{
	return __atomic_load_n(&memory->length_bytes, __ATOMIC_ACQUIRE);
}

#endif
