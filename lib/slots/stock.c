/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* stock.c - shelves, lock and waiting around the free list; see stock.h. */
#include "stock.h"

int fl__stock_init(struct fl__stock *stock, const char *name, uint32_t capacity,
		   enum fl_strategy strategy, uint32_t max_warm, uint64_t seed)
{
	int err;

	memset(stock, 0, sizeof(*stock));
	stock->name = name;
	stock->max_warm = max_warm;
	/* The other strategies choose among all free indices. */
	stock->has_shelves = strategy == FL_STRATEGY_REUSE_AFFINITY &&
			     max_warm >= FL__STOCK_SHELVES;
	err = fl__freelist_init(&stock->list, capacity, strategy, max_warm,
				seed);
	if (err)
		return err;
	err = fl__os_lock_init(&stock->lock);
	if (err)
		goto err_list;
	err = fl__os_cond_init(&stock->given);
	if (!err)
		return 0;
	fl__os_lock_fini(&stock->lock);
err_list:
	fl__freelist_fini(&stock->list);
	return err;
}

void fl__stock_fini(struct fl__stock *stock)
{
	if (!stock->list.entries)
		return;
	fl__os_cond_fini(&stock->given);
	fl__os_lock_fini(&stock->lock);
	fl__freelist_fini(&stock->list);
}

static uint32_t *shelf_here(struct fl__stock *stock)
{
	return &stock->shelves[fl__os_cpu() % FL__STOCK_SHELVES].idx_plus_1;
}

/* The affinity of an index is written before the index gets on a shelf, and
 * read before the index is taken off. At worst the affinity is stale by then,
 * and the taker merely gets a slot of another affinity. */
static fl_atomic64 *affinity_of(struct fl__stock *stock, uint32_t idx)
{
	return &stock->list.entries[idx].affinity;
}

static bool shelf_take(struct fl__stock *stock, uint64_t affinity,
		       uint32_t *idx)
{
	uint32_t *shelf = shelf_here(stock);
	uint32_t there = __atomic_load_n(shelf, __ATOMIC_RELAXED);

	if (!there || __atomic_load_n(affinity_of(stock, there - 1),
				      __ATOMIC_RELAXED) != affinity)
		return false;
	/* Acquire: what the giver did to the slot is done. */
	if (!__atomic_compare_exchange_n(shelf, &there, 0, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	*idx = there - 1;
	return true;
}

/* With the lock, which is left: post an event for each index that was given and
 * not taken again, if somebody asked for it. True: it was. */
static bool stock_unlock(struct fl__stock *stock)
{
	uint32_t count = stock->fresh < stock->armed ? stock->fresh :
						       stock->armed;
	int fd = stock->event_fd;

	stock->fresh = 0;
	if (!count) {
		fl__os_unlock(&stock->lock);
		return false;
	}
	stock->armed -= count;
	__atomic_sub_fetch(&stock->waiters, count, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&stock->posting, 1, __ATOMIC_RELAXED);
	fl__os_unlock(&stock->lock);
	fl__os_event_post(fd, count);
	/* Last: the pool, and fd with it, may go when nothing is posted. */
	__atomic_sub_fetch(&stock->posting, 1, __ATOMIC_RELEASE);
	return true;
}

static void give_locked(struct fl__stock *stock, uint32_t idx)
{
	stock->fresh++;
	fl__freelist_give(&stock->list, idx,
			  __atomic_load_n(affinity_of(stock, idx),
					  __ATOMIC_RELAXED));
	if (stock->wide_waiters)
		fl__os_cond_broadcast(&stock->given);
	else if (stock->waiters)
		fl__os_cond_signal(&stock->given);
}

/* With the lock: indices on the shelves go to the free list. */
static void shelves_clear(struct fl__stock *stock)
{
	for (uint32_t i = 0; i < FL__STOCK_SHELVES; i++) {
		uint32_t there = __atomic_exchange_n(
			&stock->shelves[i].idx_plus_1, 0, __ATOMIC_SEQ_CST);

		if (there)
			give_locked(stock, there - 1);
	}
}

/* With the lock. Indices on the shelves are warm too, and the free list does
 * not know of them. The shelves are read only where their count decides between
 * a cold index and an old one: their lines belong to threads that take no
 * lock. */
static void limit_warm(struct fl__stock *stock)
{
	struct fl__freelist *list = &stock->list;
	uint32_t shelved = 0;

	list->max_warm = stock->max_warm;
	if (!stock->has_shelves || list->cold_next == list->capacity ||
	    list->warm.count + FL__STOCK_SHELVES < stock->max_warm)
		return;
	for (uint32_t i = 0; i < FL__STOCK_SHELVES; i++)
		shelved += __atomic_load_n(&stock->shelves[i].idx_plus_1,
					   __ATOMIC_RELAXED) != 0;
	if (shelved == stock->max_warm)
		shelves_clear(stock);
	else
		list->max_warm -= shelved;
}

static bool take_locked(struct fl__stock *stock, const uint64_t *affinities,
			uint32_t count, uint32_t *idx)
{
	const struct fl__freelist *list = &stock->list;

	if (list->free_count + list->capacity - list->cold_next < count)
		return false;
	limit_warm(stock);
	for (uint32_t i = 0; i < count; i++)
		idx[i] = fl__freelist_take(&stock->list, affinities[i]);
	stock->fresh -= stock->fresh < count ? stock->fresh : count;
	return true;
}

#define ANY_POKES UINT64_MAX

struct waiter {
	struct fl__stock *stock;
	const struct fl__os_wait *wait;
	bool is_wide; /* waits for several */
};

static void waiter_leave(const struct waiter *waiter)
{
	__atomic_sub_fetch(&waiter->stock->waiters, 1, __ATOMIC_SEQ_CST);
	waiter->stock->wide_waiters -= waiter->is_wide;
}

/* The thread ends. The wake-up that it may have had goes to another waiter. */
static void waiter_cancelled(void *user)
{
	const struct waiter *waiter = user;

	waiter_leave(waiter);
	fl__os_cond_broadcast(&waiter->stock->given);
	(void)stock_unlock(waiter->stock);
	fl__os_wait_undo(waiter->wait);
}

/* With the lock. Each give wakes one waiter, or all waiters if some need
 * several; a waiter that finds too few indices waits on. */
static int stock_wait(struct fl__stock *stock, const uint64_t *affinities,
		      uint32_t count, const struct fl__os_wait *wait,
		      uint64_t pokes, uint32_t *idx)
{
	struct waiter waiter = { stock, wait, count > 1 };
	uint64_t deadline_ns;
	bool is_in_time = true;
	int err = 0;

	if (fl_add_overflow(fl__os_now_ns(), wait->timeout_ns, &deadline_ns))
		deadline_ns = UINT64_MAX;
	stock->wide_waiters += waiter.is_wide;
	__atomic_add_fetch(&stock->waiters, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		shelves_clear(stock);
		if (take_locked(stock, affinities, count, idx))
			break;
		if (!is_in_time)
			err = -ETIMEDOUT;
		/* So many are retired that there will never be enough left. */
		if (stock->list.capacity - stock->list.retired_count < count &&
		    pokes == ANY_POKES)
			err = -EAGAIN;
		if (pokes != ANY_POKES && pokes != stock->pokes)
			err = FL__STOCK_POKED;
		if (err)
			break;
		/* To wait leaves the lock, and no event may wait as well. */
		if (stock->fresh && stock->armed) {
			stock_unlock(stock);
			fl__os_lock(&stock->lock);
			continue;
		}
		stock->fresh = 0;
		is_in_time = fl__os_cond_wait(&stock->given, &stock->lock,
					      deadline_ns, waiter_cancelled,
					      &waiter);
	}
	waiter_leave(&waiter);
	return err;
}

/* With the lock, and the free list has too few. Announced, as by one who waits: else a
 * thread that the kernel moves meanwhile could put an index on a shelf that was looked
 * at, take another off one that was not yet, and who has looked at all shelves would
 * find none of two. */
static bool take_shelved(struct fl__stock *stock, const uint64_t *affinities,
			 uint32_t count, uint32_t *idx)
{
	bool is_taken;

	__atomic_add_fetch(&stock->waiters, 1, __ATOMIC_SEQ_CST);
	shelves_clear(stock);
	is_taken = take_locked(stock, affinities, count, idx);
	__atomic_sub_fetch(&stock->waiters, 1, __ATOMIC_SEQ_CST);
	return is_taken;
}

static int stock_take_slow(struct fl__stock *stock, const uint64_t *affinities,
			   uint32_t count, const struct fl__os_wait *wait,
			   uint64_t pokes, uint32_t *idx)
{
	int err = 0;

	fl__os_lock(&stock->lock);
	if (!take_locked(stock, affinities, count, idx) &&
	    !take_shelved(stock, affinities, count, idx))
		err = wait->timeout_ns ? stock_wait(stock, affinities, count,
						    wait, pokes, idx) :
					 -EAGAIN;
	stock_unlock(stock);
	return err;
}

int fl__stock_wait(struct fl__stock *stock, const uint64_t *affinities,
		   uint32_t count, const struct fl__os_wait *wait,
		   uint64_t pokes, uint32_t *idx, struct fl_error *error)
{
	int err;

	if (count == 1 && stock->has_shelves &&
	    shelf_take(stock, *affinities, idx))
		return 0;
	err = stock_take_slow(stock, affinities, count, wait, pokes, idx);
	if (!err || err == FL__STOCK_POKED)
		return err;
	return fl__error_set(
		error, err,
		"all %u %s of the pool are in use (%u retired); release one, %s timeout_ns, or raise max_%s",
		stock->list.capacity, stock->name,
		fl__stock_look(stock).retired_count,
		err == -ETIMEDOUT ? "raise" : "wait with", stock->name);
}

int fl__stock_take(struct fl__stock *stock, const uint64_t *affinities,
		   uint32_t count, const struct fl__os_wait *wait,
		   uint32_t *idx, struct fl_error *error)
{
	return fl__stock_wait(stock, affinities, count, wait, ANY_POKES, idx,
			      error);
}

uint64_t fl__stock_pokes(struct fl__stock *stock)
{
	uint64_t pokes;

	fl__os_lock(&stock->lock);
	pokes = stock->pokes;
	stock_unlock(stock);
	return pokes;
}

void fl__stock_poke(struct fl__stock *stock)
{
	fl__os_lock(&stock->lock);
	stock->pokes++;
	stock->fresh++;
	if (stock->waiters)
		fl__os_cond_broadcast(&stock->given);
	stock_unlock(stock);
}

void fl__stock_arm(struct fl__stock *stock, int event_fd)
{
	fl__os_lock(&stock->lock);
	stock->event_fd = event_fd;
	stock->armed++;
	__atomic_add_fetch(&stock->waiters, 1, __ATOMIC_SEQ_CST);
	stock_unlock(stock);
}

void fl__stock_disarm(struct fl__stock *stock)
{
	fl__os_lock(&stock->lock);
	if (stock->armed) {
		stock->armed--;
		__atomic_sub_fetch(&stock->waiters, 1, __ATOMIC_SEQ_CST);
	}
	stock_unlock(stock);
}

uint32_t fl__stock_posting(const struct fl__stock *stock)
{
	return __atomic_load_n(&stock->posting, __ATOMIC_ACQUIRE);
}

/* Put idx on this processor's shelf, which is empty; false: it is not. So that a thread
 * never has more indices in its hands than the one that it gives, what is on the shelf
 * is moved with the lock. */
static bool shelf_put(struct fl__stock *stock, uint32_t idx)
{
	uint32_t *shelf = shelf_here(stock), mine = idx + 1, none = 0;

	if (!__atomic_compare_exchange_n(shelf, &none, mine, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		return false;
	/* Sequentially consistent with a taker that announces itself and then
	 * clears the shelves: if the taker has not seen this index, the
	 * announcement is seen here. */
	return !__atomic_load_n(&stock->waiters, __ATOMIC_SEQ_CST) ||
	       !__atomic_compare_exchange_n(shelf, &mine, 0, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

/* With the lock, and so without a new waiter. What was given last stays on the shelf,
 * and what was there goes to the free list. */
static void shelf_renew(struct fl__stock *stock, uint32_t idx)
{
	uint32_t before;

	if (__atomic_load_n(&stock->waiters, __ATOMIC_RELAXED)) {
		give_locked(stock, idx);
		return;
	}
	before = __atomic_exchange_n(shelf_here(stock), idx + 1,
				     __ATOMIC_SEQ_CST);
	if (before)
		give_locked(stock, before - 1);
}

void fl__stock_give(struct fl__stock *stock, uint32_t idx, uint64_t affinity)
{
	fl_atomic64 *last = affinity_of(stock, idx);
	bool is_shelved = stock->has_shelves && affinity;

	/* Written only if different: other threads use the cache line. */
	if (__atomic_load_n(last, __ATOMIC_RELAXED) != affinity)
		__atomic_store_n(last, affinity, __ATOMIC_RELAXED);
	if (is_shelved && shelf_put(stock, idx))
		return;
	fl__os_lock(&stock->lock);
	if (is_shelved)
		shelf_renew(stock, idx);
	else
		give_locked(stock, idx);
	stock_unlock(stock);
}

void fl__stock_retire(struct fl__stock *stock, uint32_t idx)
{
	fl__os_lock(&stock->lock);
	fl__freelist_retire(&stock->list, idx);
	/* A waiter for a slot that will never come must look again. */
	if (stock->waiters)
		fl__os_cond_broadcast(&stock->given);
	stock_unlock(stock);
}

void fl__stock_recall(struct fl__stock *stock, uint32_t idx)
{
	fl__os_lock(&stock->lock);
	fl__freelist_recall(&stock->list, idx);
	stock_unlock(stock);
}

uint32_t fl__stock_take_warm(struct fl__stock *stock, uint64_t affinity)
{
	uint32_t idx;

	fl__os_lock(&stock->lock);
	shelves_clear(stock);
	idx = affinity ? fl__freelist_take_affine(&stock->list, affinity) :
			 fl__freelist_take_oldest(&stock->list);
	stock->fresh -= stock->fresh && idx != FL__IDX_NONE;
	stock_unlock(stock);
	return idx;
}

bool fl__stock_take_emptied(struct fl__stock *stock, uint32_t idx)
{
	bool is_taken;

	fl__os_lock(&stock->lock);
	is_taken = fl__freelist_take_emptied(&stock->list, idx);
	(void)stock_unlock(stock);
	return is_taken;
}

void fl__stock_freeze(struct fl__stock *stock)
{
	fl__os_lock(&stock->lock);
	shelves_clear(stock);
}

bool fl__stock_is_free(const struct fl__stock *stock, uint32_t idx)
{
	return stock->list.entries[idx].group != FL__IDX_NONE;
}

void fl__stock_thaw(struct fl__stock *stock)
{
	stock_unlock(stock);
}

struct fl__freelist fl__stock_look(struct fl__stock *stock)
{
	struct fl__freelist list;

	fl__os_lock(&stock->lock);
	shelves_clear(stock);
	list = stock->list;
	stock_unlock(stock);
	return list;
}
