/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * desk.h - which pages are asked for, by whom, and until when.
 *
 * Takes faults and calls that need a page; gives loads to those that fill pages,
 * and answers each waiter once (waiters.h): its page is there, or its page is lost
 * and why. The desk reads nothing and fills nothing. What it has is in table.h.
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
 * One lock, held for list work and for the calls that answer. Whoever holds it
 * touches no memory that is registered, allocates nothing but places, and calls
 * no source. Calls named _locked are made under it.
 */
#ifndef FL_DESK_H
#define FL_DESK_H

#include "table.h"

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
