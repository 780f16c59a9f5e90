/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * slot.h - slots, kinds, sources and banks.
 *
 * A slot is a place for one memory, table, structure or stack. Slots know
 * nothing of what lies in them: each has side bytes right behind it, as many as
 * its kind asks for, and the files of instance/ keep their structs there. A
 * kind is a set of words and calls. A kind says what to do with the side bytes
 * when a slot comes to be and when the slot ends, and what a fault at the slot
 * means.
 *
 * A source makes slots and takes slots back: from a reservation that was made
 * in advance (reservation.c), or each by a mapping of its own (region.c). A
 * slot remembers its source, and no file asks which of the two sources that is.
 *
 * Invariants
 * - Between take and give a slot belongs to one caller.
 * - A slot whose reset or attach failed is emptied or retired, never given. A
 *   slot that could not be emptied is laid up: a trim, and a taker that finds no
 *   other slot, try again.
 * - What is bound to a slot (bound.h) is in no slot that another tenant takes.
 * - state is LIVE exactly while a tenant holds the slot. Signal handlers read
 *   the state and the side bytes without a lock.
 *
 * A table or a structure is a slot like a memory's. They differ in geometry
 * (all of a table is accessible, because runtimes check table indices in code)
 * and in their readers; attach, tracking, budgets, audit and trimming are the
 * same code.
 *
 * The slot's struct has 256 bytes. A handle is the address of the side bytes,
 * so that compiled code finds base and length at fixed offsets, and the library
 * finds the slot by a subtraction.
 */
#ifndef FL_SLOT_H
#define FL_SLOT_H

#include "layout.h"

#include <stdlib.h>

enum fl__slot_state {
	FL__SLOT_FREE = 0,
	FL__SLOT_LIVE = 1,
	FL__SLOT_RETIRED = 2,	/* for good */
	FL__SLOT_LAID_UP = 3,	/* retired until the slot can be emptied */
};

struct fl__bank;
struct fl__bound;
struct fl__source;

struct fl__slot {
	struct fl__space space;
	struct fl__arena *arena;
	struct fl__bank *bank;
	struct fl__source *source;
	const struct fl__geometry *geometry;
	struct fl_instance *instance;	/* atomic; NULL: taken alone */
	uint32_t state;			/* atomic, enum fl__slot_state */
	bool is_lent;			/* atomic; set only while LIVE */
	bool is_unclean;		/* an audit said so while LIVE */
	bool is_published;		/* since its last release */
	bool is_counted;		/* as open, in the statistics */
	bool is_settled;		/* its give finds it reset, and how: */
	int32_t settle_error;
	uint64_t counted_bytes;		/* in the pool's idle_kept_bytes */
	fl_atomic64 acquired;		/* atomic; written by its owner */
	struct fl__bound *bound;	/* see bound.h; NULL: none */
	fl_atomic64 bound_bytes;	/* atomic; memory that bound takes */
	uint64_t spurned;		/* serial of what grows too often */
	uint32_t outgrown;		/* how often that grew of late */
} __attribute__((aligned(128)));	/* two threads never share a line */

/* What lies in the slots of a bank. A call that is NULL has nothing to do. */
struct fl__kind {
	const char *plural;		/* as in the field max_<plural> */
	const char *what;
	size_t side_bytes;
	/* No backend knows of the slots: no slot is attached, reset, audited or
	 * counted, and the kind makes its slots accessible. */
	bool is_bare;
	/* What lies in the slots is read and written by code of the host, which
	 * expects no signal, and not by guests alone. */
	bool is_hosts;
	/* Once for each bank: make what its slots share, in bank->shared. */
	int (*open)(struct fl__bank *bank, struct fl_error *error);
	void (*close)(struct fl__bank *bank);
	/* The slot has its base; its side bytes are zero, or as the slot's
	 * last use left them. -ENOMEM. */
	int (*init)(struct fl__slot *slot);
	/* The slot goes for good: let go of what its side bytes hold. */
	void (*end)(struct fl__slot *slot);
	/* Memory that the side bytes of any slot hold, tenant or none; beside
	 * the slot's owner. NULL: none. */
	uint64_t (*held_bytes)(const struct fl__slot *slot);
	/* Say in a fault report what lives in the slot, and give its length in
	 * bytes. Async-signal-safe. */
	uint64_t (*describe)(struct fl__slot *slot, struct fl_fault *fault);
};

/* What a slot is taken with. */
struct fl__request {
	struct fl_image *image;
	uint64_t initial_bytes;
	bool is_lent;
	/* A slot with this bound to it is kept as it is; 0: none is. */
	uint64_t bound_serial;
};

/* The most that one call takes. */
#define FL__TAKE_MAX 128

struct fl__source_counts {
	uint64_t live, warm, retired;
	uint64_t mapped_bytes;	/* address space beside the reservation */
	uint64_t overflow;	/* of live, beyond the reservation */
	uint64_t overflowed;	/* of acquired, there */
	uint64_t acquired;	/* ever, by tenants */
};

/* Visits a slot; anything but 0 ends the walk and is returned by it. */
typedef int fl__slot_fn(struct fl__slot *slot, void *user);

struct fl__source_calls {
	const char *name;	/* as fl_pool_dump_json() gives it */
	/* Does a free slot stay as its last tenant left its side bytes? False:
	 * each slot has a mapping of its own, as long as it has a tenant. */
	bool keeps_slots;
	/* Raise the limits that do not hold. NULL: all limits hold. */
	void (*raise)(struct fl_pool_config *limits);
	int (*open)(struct fl__bank *bank, struct fl__source **source,
		    struct fl_error *error);
	void (*close)(struct fl__source *source);
	/* count slots, all or none, waiting up to wait->timeout_ns. */
	int (*take)(struct fl__source *source,
		    const struct fl__request *requests, uint32_t count,
		    const struct fl__os_wait *wait, struct fl__slot **slots,
		    struct fl_error *error);
	/* The slot is clean, and best for the image that the slot shows; or it
	 * is bound, and best for what is bound to it; or the slot is empty. */
	void (*give)(struct fl__slot *slot);
	/* No tenant may get the slot: never again, or not before the slot was
	 * taken by take_laid_up, emptied and given. */
	void (*retire)(struct fl__slot *slot, bool is_for_good);
	/* Post one event at event_fd when slots are given; disarm takes that back.
	 * NULL for a source that never answers -EAGAIN. */
	void (*arm)(struct fl__source *source, int event_fd);
	void (*disarm)(struct fl__source *source);
	/* A slot that is retired, but not for good, from index *from on, which
	 * moves on; NULL: none. With the trim_lock. The call is NULL for a
	 * source that keeps no slots. */
	struct fl__slot *(*take_laid_up)(struct fl__source *source,
					 uint32_t *from);
	/* A free slot that is not empty: a slot of the image or of what is bound
	 * to it, by serial, or for 0 the slot that has been free longest. NULL:
	 * none. The call is NULL for a source whose free slots are all empty. */
	struct fl__slot *(*take_warm)(struct fl__source *source,
				      uint64_t serial);
	/* Give back what neighbouring slots that are empty share: page tables,
	 * mappings. With the trim_lock. NULL: nothing is shared. */
	void (*join)(struct fl__source *source);
	/* The slot whose place or guard an address is in; NULL: none. Takes no
	 * lock: the caller is within fl__context_walk_begin() and _end(). */
	struct fl__slot *(*at_address)(const struct fl__source *source,
				       const void *addr);
	/* The live slot with this base; NULL: none. No lock, any thread. */
	struct fl__slot *(*at_base)(const struct fl__source *source,
				    const void *base);
	/* Every slot that a tenant may have used and that still has memory, and
	 * of a reservation the first one in any case. No tenant of a slot waits
	 * for longer than fn looks at that slot. */
	int (*each)(struct fl__source *source, fl__slot_fn *fn, void *user);
	/* Free and retired slots from index *from on. No taker gets one
	 * meanwhile, so fn does list work only. *from becomes the index of the
	 * slot at which fn ended the walk. */
	int (*each_unused)(struct fl__source *source, uint32_t *from,
			   fl__slot_fn *fn, void *user);
	void (*count)(struct fl__source *source,
		      struct fl__source_counts *counts);
	/* What the source keeps of slots that came and went, and giving that
	 * back: so many bytes. NULL: its slots are as many as they always
	 * were. */
	uint64_t (*record_bytes)(struct fl__source *source);
	uint64_t (*tidy)(struct fl__source *source);
};

extern const struct fl__source_calls fl__source_reservation;
extern const struct fl__source_calls fl__source_regions;
extern const struct fl__source_calls fl__source_overflow;

struct fl__source {
	const struct fl__source_calls *calls;
	struct fl__bank *bank;
};

struct fl__bank {
	struct fl_pool *pool;
	const struct fl__kind *kind;
	const struct fl__backend *backend;	/* NULL: a bare kind */
	struct fl__geometry geometry;
	struct fl__source *source;	/* NULL: not opened */
	/* Slots beyond the reservation: how each lies in a mapping of its own,
	 * and how many there are at most; 0: none. */
	struct fl__geometry overflow_geometry;
	uint32_t max_overflow;
	void *shared;			/* the kind's */
	fl_atomic64 refused;		/* atomic */
};

static inline void *fl__slot_side(struct fl__slot *slot)
{
	return slot + 1;
}

static inline struct fl__slot *fl__slot_of_side(const void *side)
{
	return (struct fl__slot *)(uintptr_t)side - 1;
}

/* A slot with its side bytes, rounded so that two threads never share a line. */
static inline size_t fl__slot_bytes(const struct fl__kind *kind)
{
	return sizeof(struct fl__slot) +
	       (size_t)fl_round_up(kind->side_bytes, 128);
}

static inline bool fl__slot_is_live(const struct fl__slot *slot)
{
	return __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) ==
	       FL__SLOT_LIVE;
}

static inline bool fl__slot_lives_at(const struct fl__slot *slot,
				     const void *base)
{
	return slot->space.base == base && fl__slot_is_live(slot);
}

/* From here on signal handlers, and calls that look addresses up, see what lives
 * in the slot. */
static inline void fl__slot_publish(struct fl__slot *slot,
				    struct fl_instance *instance)
{
	__atomic_store_n(&slot->acquired, slot->acquired + 1, __ATOMIC_RELAXED);
	slot->is_published = true;
	__atomic_store_n(&slot->instance, instance, __ATOMIC_RELAXED);
	/* A handler that sees LIVE sees all that was written before. */
	__atomic_store_n(&slot->state, FL__SLOT_LIVE, __ATOMIC_RELEASE);
}

/* A number that differs from one tenant of a slot to the next, and among slots at
 * the same tenant: to choose tenants by, without regard to slots. */
static inline uint64_t fl__slot_turn(const struct fl__slot *slot)
{
	return slot->acquired + 7 * (uint64_t)slot->space.idx;
}

/* Claim a live slot that was taken alone, for its release; false if the slot is
 * not live or is part of an instance. Of two callers one gets through, and that
 * one gives the slot. */
static inline bool fl__slot_claim(struct fl__slot *slot)
{
	uint32_t expected = FL__SLOT_LIVE;

	return !__atomic_load_n(&slot->instance, __ATOMIC_RELAXED) &&
	       __atomic_compare_exchange_n(&slot->state, &expected,
					   FL__SLOT_FREE, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Take a claim back: nothing was done. */
static inline void fl__slot_unclaim(struct fl__slot *slot)
{
	__atomic_store_n(&slot->state, FL__SLOT_LIVE, __ATOMIC_RELEASE);
}

/* Give a slot, whose bank and source are set, its place. */
static inline int fl__slot_init(struct fl__slot *slot,
				const struct fl__geometry *geometry,
				uint32_t idx)
{
	slot->geometry = geometry;
	slot->space = (struct fl__space){
		.base = geometry->reservation + geometry->first_off +
			idx * geometry->stride_bytes,
		.idx = idx,
	};
	return slot->bank->kind->init ? slot->bank->kind->init(slot) : 0;
}

static inline void fl__slot_end(struct fl__slot *slot)
{
	free(slot->bound);
	slot->bound = NULL;
	if (slot->bank->kind->end)
		slot->bank->kind->end(slot);
}

#endif
