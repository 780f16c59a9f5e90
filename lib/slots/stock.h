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
 * sequentially consistent order, so that one of the two sees the other. Who does not
 * wait announces itself too before it looks at the shelves, and a giver has one index
 * in its hands at most: so with as many indices as threads that take one each, nobody
 * is turned away, wherever the kernel moves the threads meanwhile.
 *
 * A caller that cannot block asks for an event: it arms the stock, and counts as a
 * waiter until an index is given. One index posts one event, and a stock that
 * nobody armed makes no system call. Events are posted without the lock.
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
	/* Threads that wait, and armed. Atomic: read without the lock. */
	uint32_t waiters;
	uint32_t wide_waiters;		/* threads that wait for several */
	uint32_t armed;			/* events that are asked for */
	uint32_t fresh;			/* given since the lock was taken */
	int event_fd;			/* of the last one that armed */
	uint64_t pokes;
	uint32_t posting;		/* atomic: events on their way */
};

/* -ENOMEM. Without shelves unless the strategy is reuse affinity and max_warm is
 * FL__STOCK_SHELVES or more. */
int fl__stock_init(struct fl__stock *stock, const char *name, uint32_t capacity,
		   enum fl_strategy strategy, uint32_t max_warm,
		   uint64_t seed);
void fl__stock_fini(struct fl__stock *stock);

/*
 * Take count indices, idx[i] for affinities[i], all or none, waiting up to
 * wait->timeout_ns for them. -EAGAIN, -ETIMEDOUT. A thread that is cancelled
 * while it waits has undone everything.
 */
int fl__stock_take(struct fl__stock *stock, const uint64_t *affinities,
		   uint32_t count, const struct fl__os_wait *wait,
		   uint32_t *idx, struct fl_error *error);

/* The same for a taker that may find what it needs elsewhere: FL__STOCK_POKED when
 * the stock was poked since fl__stock_pokes() gave pokes. */
#define FL__STOCK_POKED 1
int fl__stock_wait(struct fl__stock *stock, const uint64_t *affinities,
		   uint32_t count, const struct fl__os_wait *wait, uint64_t pokes,
		   uint32_t *idx, struct fl_error *error);
uint64_t fl__stock_pokes(struct fl__stock *stock);
/* All that wait look elsewhere, and one event is posted if it is asked for. */
void fl__stock_poke(struct fl__stock *stock);

/*
 * Ask for one event at fd when an index is given. The caller arms, and then tries
 * to take once more: what was given before that it finds, and what is given after
 * posts an event. Disarm when that try succeeds.
 */
void fl__stock_arm(struct fl__stock *stock, int event_fd);
void fl__stock_disarm(struct fl__stock *stock);
/* Is an event on its way? Its giver is not done with the stock. */
uint32_t fl__stock_posting(const struct fl__stock *stock);
void fl__stock_give(struct fl__stock *stock, uint32_t idx, uint64_t affinity);
void fl__stock_retire(struct fl__stock *stock, uint32_t idx);
/* Take an index that was retired. */
void fl__stock_recall(struct fl__stock *stock, uint32_t idx);

/* A free index of an affinity, or for 0 the one that has been free longest of
 * all indices with an affinity; FL__IDX_NONE if there is none. */
uint32_t fl__stock_take_warm(struct fl__stock *stock, uint64_t affinity);

/* Take this index if it is free and was emptied. */
bool fl__stock_take_emptied(struct fl__stock *stock, uint32_t idx);

/* Between freeze and thaw no index is taken, and fl__stock_is_free() may be
 * called. The lock is held: list work only. */
void fl__stock_freeze(struct fl__stock *stock);
bool fl__stock_is_free(const struct fl__stock *stock, uint32_t idx);
void fl__stock_thaw(struct fl__stock *stock);

/* The free list, for its counts: exact while no thread takes or gives. */
struct fl__freelist fl__stock_look(struct fl__stock *stock);

#endif
