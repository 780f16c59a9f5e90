/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * track.h - find what this tenant wrote, and undo exactly that.
 *
 * Takes a slot whose guest has stopped; makes the slot equal to its image, in
 * time proportional to what was written.
 *
 * In an unmarked chunk the page table alone tells whether a page is private or
 * still the image's. This needs no preparation, but the scan looks at every
 * page. A chunk found touched from the second reset on is marked: its range is
 * registered with the userfaultfd and every page of it write-protected, holes
 * included. From then on the kernel tells in one fast scan which pages were
 * written. A page that was written is restored and left open; policy.h tells
 * what an open page needs.
 *
 * An error leaves the slot in no known state: the caller empties the slot.
 *
 * One thread at a time for a slot. See kernel-notes/uffd-wp.md and
 * pagemap-scan.md.
 */
#ifndef FL_TRACK_H
#define FL_TRACK_H

#include "reset.h"

/* Forget and free everything: the slot was emptied or is attached anew. */
void fl__track_forget(struct fl__dirty *dirty);

/*
 * Restore [0, space->allowed_bytes) to the slot's image and zeroes. The range
 * is accessible. *kept_bytes gets the private memory that the slot keeps, at
 * most geometry->max_kept_bytes, because a slot that would keep more drops
 * everything, and with it the page tables and what is known of the pages.
 * -EAGAIN: these alone are more, so that the slot must be mapped anew. A taker, or
 * NULL, is told of what goes, upwards. 0 or -errno of the closed set.
 */
int fl__track_reset(struct fl__dirty *dirty,
		    const struct fl__dirty_host *host, struct fl__whole *whole,
		    const struct fl__geometry *geometry,
		    const struct fl__space *space, uint64_t *kept_bytes,
		    struct fl__work *work, struct fl__taker *taker);

/* Mark the chunks that are touched, whatever the reset found; what is accessible
 * is registered first. -errno. */
int fl__track_mark(struct fl__reset *reset);

#endif
