/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * waiters.h - those who wait for a page, and what they are told.
 *
 * Takes waiters, which stand in a load's list or among the unserved; gives each its
 * one answer: the page is there, or the page is lost and why. A guest is woken, and a
 * thread looks.
 *
 * Lost means: the part of the page in this slot is made inaccessible before its
 * waiter is woken, so that the access becomes a SIGSEGV, and space->load_error says
 * why. Such a slot is mapped anew at its release.
 *
 * Every call is made under the desk's lock.
 */
#ifndef FL_WAITERS_H
#define FL_WAITERS_H

#include "table.h"

/* The waiter stands in no list. err 0: the page is there. */
void fl__waiter_answer(struct fl__desk *desk, struct fl__waiter *waiter,
		       int err);
/* Is there what the waiter wants? */
bool fl__waiter_is_served(const struct fl__waiter *waiter);
/* Answer the waiters of a list that have what they want. */
void fl__waiters_serve(struct fl__desk *desk, struct fl__waiter **link);
/* No load is free: the waiter stands among the unserved, behind the others. */
void fl__waiters_wait(struct fl__desk *desk, struct fl__waiter *waiter);
/* Take the waiters of a slot off all lists, without an answer. */
void fl__waiters_leave(struct fl__desk *desk, const struct fl__space *space);

/* Does somebody wait for the block of the page that begins at start in the slot? The kernel
 * tells of an access again when something disturbed its wait, a signal
 * above all. The answer to the slot's waiter is for all who wait for the part. */
bool fl__waiters_have(struct fl__desk *desk, const struct fl__place *place,
		      uint64_t wpage, uint64_t start, uint32_t block);

#endif
