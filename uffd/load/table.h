/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * table.h - what the desk has: loads, waiters, places, and one lock.
 *
 * Takes nothing; gives the storage of a desk, which is made once: a fixed number of
 * loads, each with a staging buffer, and of waiters. What is done with them is in
 * waiters.h, desk.h and turns.h.
 */
#ifndef FL_TABLE_H
#define FL_TABLE_H

#include "buffers.h"
#include "lazy.h"
#include "places.h"

#define FL__DESK_LOADS		104
#define FL__DESK_WAITERS	256
/* What is foreseen of an image takes so many loads at most; the second is for files that
 * are read past the page cache. What is foreseen of all begins no load when so many are
 * taken: demands need the others. */
#define FL__DESK_FORESEEN_LOADS	16
#define FL__DESK_DIRECT_LOADS	80
#define FL__DESK_FORESEEN_MAX	(FL__DESK_LOADS - 16)
/* Past the page cache a disk is given so many reads of an image at a time, and threads
 * fill as many pages meanwhile: some disks tell of none before all that they have are
 * read. */
#define FL__DESK_DIRECT_READS	40

enum fl__load_state {
	FL__LOAD_FREE = 0,
	FL__LOAD_QUEUED,	/* nobody has begun */
	FL__LOAD_READING,	/* the source is to answer */
	FL__LOAD_ANSWERED,	/* read.result bytes more are there, or an error */
};

/* Somebody who wants a page. */
struct fl__waiter {
	struct fl__waiter *next;
	/* A guest's: where the page lies in its slot. */
	struct fl__space *space;	/* NULL: a thread that made a call */
	uint64_t start, end;
	/* Of one for which no load is free yet. */
	struct fl_image *image;
	uint64_t wpage;
	struct fl__part part;		/* of the page, which is wanted */
	uint64_t deadline_ns, begin_ns;
	/* A thread's. */
	int err;
	bool is_answered;
};

struct fl__load {
	struct fl__page_read read;	/* first: the source gives it back */
	struct fl__desk *desk;
	struct fl_image *image;		/* NULL: the image has gone */
	const struct fl_page_source *asked;	/* whose the buffer is, then too */
	struct fl__waiter *waiters;
	uint64_t wpage;
	uint64_t entry_idx;
	struct fl__part part;		/* of the page, which is loaded */
	uint64_t deadline_ns, begin_ns;
	uint64_t got_bytes;
	int64_t result;			/* of the last read */
	uint64_t order;			/* a smaller one came earlier */
	enum fl__load_state state;
	uint32_t users;			/* threads that work on it unlocked */
	bool is_zero;			/* the index does not name the page */
	bool is_demand;
	bool is_foreseen;		/* begun before anybody asked */
	bool is_left;
	bool is_to_cancel;
	bool is_told;			/* the source, of the cancel */
	uint8_t *bytes;			/* a buffer; not of what is continued */
};

struct fl__desk {
	struct fl__os_lock lock;
	struct fl__os_cond filler;	/* there is something to fill */
	struct fl__os_cond caller;	/* there is something to ask the host */
	struct fl__os_cond answered;	/* a thread has its answer, a load ended */
	int uffd_fd;
	int wake_fd;			/* an eventfd: look again */
	bool is_stopping;
	bool is_closed;
	bool is_short;			/* what is foreseen begins when a load ends */
	bool may_ask;			/* some file may be asked for ahead */
	bool is_asking;			/* a thread does */
	bool may_collapse;		/* some image has a chunk that is whole */
	bool is_collapsing;		/* a thread makes a folio of one */
	uint64_t watched_ns;		/* the deadline of the last tick */
	uint32_t taken_count;		/* loads that are not free */
	uint64_t order;
	struct fl__places places;
	struct fl__lazy *images;
	struct fl__waiter *unserved;	/* oldest first */
	struct fl__waiter *free_waiters;
	uint32_t free_waiter_count;
	struct fl__load loads[FL__DESK_LOADS];
	struct fl__waiter waiters[FL__DESK_WAITERS];
	struct fl__buffers buffers;
};

/* -ENOMEM. */
int fl__desk_init(struct fl__desk *desk);
void fl__desk_fini(struct fl__desk *desk);

/* The thread that reads faults is to look again. */
void fl__desk_ring(const struct fl__desk *desk);

static inline uint32_t fl__desk_foreseen_max(const struct fl__lazy *lazy)
{
	return fl__lazy_is_direct_copy(lazy) ? FL__DESK_DIRECT_LOADS :
					       FL__DESK_FORESEEN_LOADS;
}

/* Of the page, whole or of a part. */
static inline bool fl__load_is_of(const struct fl__load *load,
				  const struct fl_image *image, uint64_t wpage)
{
	return load->state != FL__LOAD_FREE && load->image == image &&
	       load->wpage == wpage;
}

#endif
