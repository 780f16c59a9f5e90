/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * stock.h - free indices, shared between threads.
 *
 * Takes indices back from any thread and hands them out to any thread, which
 * may wait. freelist.h chooses the index. A stock adds the lock, the waiting,
 * and a shelf for each processor. A shelf holds the index that a thread there
 * gave last, and the next taker of the same affinity there gets that index
 * without the lock. Two threads on two processors that each take and give in
 * turn never meet.
 *
 * A taker gets all the indices that it needs at once, or none. No taker holds
 * some and waits for more, so takers cannot wait for each other in a circle.
 *
 * No wake-up is lost: a giver that uses its shelf looks for waiters after that,
 * and a waiter looks at all shelves after announcing itself. Both are in
 * sequentially consistent order, so that one of the two sees the other.
 */
#ifndef FL_STOCK_H
#define FL_STOCK_H

#include "base/error.h"
#include "os/os.h"
#include "freelist.h"

#define FL__STOCK_SHELVES	16

/* Threads on two processors never write the same cache line. */
struct fl__shelf {
	uint32_t idx_plus_1;		/* atomic; 0: empty */
} __attribute__((aligned(128)));

struct fl__stock {
	struct fl__shelf shelves[FL__STOCK_SHELVES];
	const char *name;		/* as in the field max_<name> */
	uint32_t max_warm;		/* shelves included */
	bool has_shelves;
	struct fl__os_lock lock;	/* guards all below */
	struct fl__freelist list;
	struct fl__os_cond given;
	uint32_t waiters;		/* atomic: read without the lock */
	uint32_t wide_waiters;		/* of them, waiters for several */
};

/* -ENOMEM. Without shelves unless the strategy is reuse affinity and max_warm is
 * FL__STOCK_SHELVES or more. */
int fl__stock_init(struct fl__stock *stock, const char *name, uint32_t capacity,
		   enum fl_strategy strategy, uint32_t max_warm,
		   uint64_t seed);
void fl__stock_fini(struct fl__stock *stock);

/*
 * Take count indices, idx[i] for affinities[i], all or none, waiting up to
 * timeout_ns for them. -EAGAIN, -ETIMEDOUT.
 */
int fl__stock_take(struct fl__stock *stock, const uint64_t *affinities,
		   uint32_t count, uint64_t timeout_ns, uint32_t *idx,
		   struct fl_error *error);
void fl__stock_give(struct fl__stock *stock, uint32_t idx, uint64_t affinity);
void fl__stock_retire(struct fl__stock *stock, uint32_t idx);
/* Take an index that was retired. */
void fl__stock_recall(struct fl__stock *stock, uint32_t idx);

/* A free index of an affinity, or for 0 the one that has been free longest of
 * all indices with an affinity; FL__IDX_NONE if there is none. */
uint32_t fl__stock_take_warm(struct fl__stock *stock, uint64_t affinity);

/* Between freeze and thaw no index is taken, and fl__stock_is_free() may be
 * called. The lock is held: list work only. */
void fl__stock_freeze(struct fl__stock *stock);
bool fl__stock_is_free(const struct fl__stock *stock, uint32_t idx);
void fl__stock_thaw(struct fl__stock *stock);

/* The free list, for its counts: exact while no thread takes or gives. */
struct fl__freelist fl__stock_look(struct fl__stock *stock);

#endif
