/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * since.h - what has a tenant written, while the tenant lives?
 *
 * Takes a slot whose guest stands still; gives the runs of pages that may have
 * been written since the slot was attached, or since its pages were watched
 * anew, and watches them anew.
 *
 * Watching anew protects pages that the reset has yet to restore. Isolation
 * depends on the reset seeing them, so no page is protected here before it is
 * noted, and the reset takes the protection from all noted pages before it
 * looks. Then each of them is reported, and the reset finds what it would have
 * found without a call of this file. The policy hears nothing of the calls.
 *
 * One thread at a time for a slot. Errors are -errno as the kernel gave them, or
 * -ENOMEM; after each of them the slot can be reset like any other.
 */
#ifndef FL_SINCE_H
#define FL_SINCE_H

#include "track.h"

/*
 * Tell the runs of [0, size_bytes), in order, that hold each page which was
 * written since the attach, or (is_anew) since fl__since_watch(). Others may be
 * among them: a page that an earlier tenant left open or private; for is_anew
 * only beyond what was accessible then, or on a host without userfaultfd. What
 * fn returns, if not 0, ends the call.
 */
int fl__since_tell(struct fl__dirty *dirty, const struct fl__dirty_host *host,
		   const struct fl__geometry *geometry,
		   struct fl__space *space, uint64_t size_bytes,
		   bool is_anew, fl__changed_fn *fn, void *user);

/* Watch every page that is accessible, from now on. -ENOTSUP without
 * userfaultfd. */
int fl__since_watch(struct fl__dirty *dirty, const struct fl__dirty_host *host,
		    struct fl__whole *whole,
		    const struct fl__geometry *geometry,
		    struct fl__space *space);

#endif
