/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * desk.h - which pages are asked for, by whom, and until when.
 *
 * Takes faults and calls that need a page; gives loads to those that fill pages,
 * and answers each waiter once: its page is there, or its page is lost and why.
 * The desk reads nothing and fills nothing. Its storage is made once: a fixed
 * number of loads, each with a staging buffer of a page, and of waiters.
 *
 * A load is joined by all who want its page, so a page is read once. A load of a part
 * of a page is joined by guests that want a block of it, and by no call: whoever wants
 * another block, or the page, has the whole page loaded beside it, and whichever
 * brings what a waiter wants is the waiter's answer. Where pages are read to where
 * they stay (lazy.h), no two loads have a block in common as long as either may be
 * written by its source: whoever wants such a block waits for the end of that load,
 * within the deadline. A demand
 * goes before a page that is merely foreseen. A load has a deadline; past it the
 * waiters get their answer, and the load is *left*: nobody joins it any more, and
 * its buffer stays lent until the source has answered. A source has a share of the
 * loads, so that one that does not answer leaves some to others. A waiter that finds
 * no load free waits for one, within the deadline too. When all waiters are in use,
 * faults stay in the kernel's queue until one is free.
 *
 * A slot that shows a lazy image is a *place* (places.h). What is answered to a slot
 * is answered under the lock, and a slot leaves the desk under the lock: so no answer
 * meets a slot's next tenant. A fault may be read, or be told again by the
 * kernel, long after its thread went on: a place leaves before its slot's memory
 * and its image do, and a slot has one waiter for a part of a page.
 *
 * Lost means: the part of the page in this slot is made inaccessible before its
 * waiter is woken, so that the access becomes a SIGSEGV, and space->lost says
 * why. Such a slot is mapped anew at its release.
 *
 * One lock, held for list work and for the calls that answer. Whoever holds it
 * touches no memory that is registered, allocates nothing but places, and calls
 * no source. Calls named _locked are made under it.
 */
#ifndef FL_DESK_H
#define FL_DESK_H

#include "ahead.h"
#include "direct.h"
#include "large.h"
#include "places.h"

#define FL__DESK_LOADS		96
#define FL__DESK_WAITERS	256
/* What is foreseen takes so many loads at most: demands need the others. The first is
 * for what the kernel reads ahead, and for sources of the host. */
#define FL__DESK_FORESEEN_LOADS	16
#define FL__DESK_DIRECT_LOADS	80
/* Past the page cache a disk is given so many reads at a time, and threads fill as
 * many pages meanwhile: some disks tell of none before all that they have are read. */
#define FL__DESK_DIRECT_READS	40
/* A page, and what is read before and behind its bytes. */
#define FL__DESK_BUFFER_BYTES	(FL_WPAGE_BYTES + FL__DIRECT_MAX_BYTES)

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
	bool is_large;			/* the buffers are in large pages */
	bool is_caller_short;		/* so do those that call the host */
	bool may_ask;			/* some file may be asked for ahead */
	bool is_asking;			/* a thread does */
	bool may_collapse;		/* some image has a chunk that is whole */
	bool is_collapsing;		/* a thread makes a folio of one */
	uint64_t watched_ns;		/* the deadline of the last tick */
	uint32_t taken_count;		/* loads that are not free */
	uint32_t reading_count;		/* those that the ring reads */
	/* The ring takes more when so few are taken; 0: it needs not be told. */
	uint32_t bell_count;
	uint64_t order;
	struct fl__places places;
	struct fl__lazy *images;
	struct fl__waiter *unserved;	/* oldest first */
	struct fl__waiter *free_waiters;
	uint32_t free_waiter_count;
	struct fl__load loads[FL__DESK_LOADS];
	struct fl__waiter waiters[FL__DESK_WAITERS];
	uint8_t *buffers;
};

int fl__desk_init(struct fl__desk *desk);
void fl__desk_fini(struct fl__desk *desk);
/* Some image is read past the page cache: a disk writes faster to large pages. No
 * image is left: the buffers take no memory. */
void fl__desk_enlarge(struct fl__desk *desk);
void fl__desk_rest_locked(struct fl__desk *desk);

/* A slot shows an image from here on, and does so no more. Add before the slot
 * is registered; drop after its mappings have gone. end: where the slot
 * ends. -ENOMEM. */
int fl__desk_add_place(struct fl__desk *desk, uint64_t start, uint64_t end,
		       struct fl_image *image, struct fl__space *space);
void fl__desk_drop_space(struct fl__desk *desk, const struct fl__space *space,
			 uint64_t end);
/* The slot's tenant has gone: nobody waits there any more. */
void fl__desk_leave(struct fl__desk *desk, const struct fl__space *space);

/* A missing page at addr. There must be a free waiter. */
void fl__desk_fault_locked(struct fl__desk *desk, uint64_t addr);
/* Give waiters that have none a load, and answer those whose time is over. The
 * time of the next deadline; UINT64_MAX: none. */
uint64_t fl__desk_tick_locked(struct fl__desk *desk);
/* A load of all of a part, which can be joined; NULL: none. */
struct fl__load *fl__desk_find_locked(struct fl__desk *desk,
				      const struct fl_image *image,
				      uint64_t wpage, struct fl__part part);
/* Is a block of the part where the source of another load may still write? */
bool fl__desk_is_lent_locked(const struct fl__desk *desk,
			     const struct fl_image *image, uint64_t wpage,
			     struct fl__part part);
/* Queue a load; NULL: none is free. */
struct fl__load *fl__desk_begin_locked(struct fl__desk *desk,
				       struct fl_image *image, uint64_t wpage,
				       struct fl__part part,
				       uint64_t deadline_ns, bool is_foreseen);
/* A thread other than the one that reads faults has begun something that is over at
 * deadline_ns. That thread keeps the time, and may sleep for longer. */
void fl__desk_watch_locked(const struct fl__desk *desk, uint64_t deadline_ns);
/* A thread does not work on a load any more: count its users down. */
void fl__desk_put_locked(struct fl__desk *desk, struct fl__load *load);
/* Some of the page is there, or the read was disturbed: read on. */
void fl__desk_again_locked(struct fl__desk *desk, struct fl__load *load);
/* The part cannot be checked: have the whole page read, once. */
void fl__desk_widen_locked(struct fl__desk *desk, struct fl__load *load);
/* The load has come to its end: answer everybody. */
void fl__desk_end_locked(struct fl__desk *desk, struct fl__load *load, int err);

/* Wait until a page is loaded. Errors: as image->ready. */
int fl__desk_want(struct fl__desk *desk, struct fl_image *image,
		  uint64_t wpage);
void fl__desk_add_image(struct fl__desk *desk, struct fl_image *image);
/* The image goes: no load of it remains but those whose answer is still owed by
 * the source; these know no image any more. Waits for threads that fill. */
void fl__desk_drop_image(struct fl__desk *desk, struct fl_image *image);
/* The source has answered. True: the desk was closed, and no answer is owed any
 * more: the caller ends the desk. */
bool fl__desk_answer(struct fl__desk *desk, struct fl__load *load,
		     int64_t result);
/* The same of a read of the ring, whose image is there. */
void fl__desk_answer_locked(struct fl__desk *desk, struct fl__load *load,
			    int64_t result);
/* No image is left. True: no answer is owed, and the caller ends the desk. Else
 * the last answer does. */
bool fl__desk_close(struct fl__desk *desk);

#endif
