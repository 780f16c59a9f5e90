/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * turns.h - which load a thread works on next.
 *
 * Takes the loads of the desk and what is foreseen of images; gives a thread the load
 * that is most wanted of those that threads of its kind can work on. What somebody
 * waits for goes first, the oldest first. When there is nothing of that kind, a load
 * of what is foreseen begins here, as long as enough loads are free for demands, and the
 * disk of its image has not enough reads.
 *
 * Every call is made under the desk's lock.
 */
#ifndef FL_TURNS_H
#define FL_TURNS_H

#include "desk.h"

/* The load that a thread of this kind works on next, with users counted up; NULL:
 * none. What was read is for fillers, whichever thread read it. */
struct fl__load *fl__turns_next_locked(struct fl__desk *desk,
				       enum fl__lazy_reader who);
/* A load whose read this thread is to cancel, with users counted up. */
struct fl__load *fl__turns_to_cancel_locked(struct fl__desk *desk,
					    enum fl__lazy_reader who);

#endif
