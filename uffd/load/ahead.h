/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * ahead.h - which pages of a lazy image are worth loading before anybody asks.
 *
 * Takes the demands of an image in their order, and its working set; gives the next
 * page to load when nothing else is to do, and for an image in a local file the
 * next stretch that the kernel is to read into the page cache meanwhile.
 *
 * A load is a page of 64 KiB, because a page is what has a hash; or a part of one,
 * where its blocks have hashes (image/workset.h). A stretch is what the disk likes:
 * parts of the set that follow one another in the file are one, up
 * to FL__AHEAD_RUN_BYTES. The stretches asked for run before the loads, by
 * FL__AHEAD_BYTES at most, so that a large set does not push other pages out of
 * memory before its turn comes; and they are asked for many at a time, so that
 * those that are one stay one.
 *
 * Plain data of struct fl__lazy; every call is made under the desk's lock, and
 * none makes a system call.
 */
#ifndef FL_AHEAD_H
#define FL_AHEAD_H

#include "lazy.h"

#define FL__AHEAD_BYTES		(UINT64_C(16) << 20)
#define FL__AHEAD_RUN_BYTES	(UINT64_C(1) << 20)

/* Somebody waits for this page. */
void fl__ahead_demand(struct fl__lazy *lazy, uint64_t wpage);
/* The next part of a page that is foreseen; it may be loaded already. */
bool fl__ahead_next(struct fl__lazy *lazy, uint64_t *wpage,
		    struct fl__part *part);

/* May there be a stretch to be asked for, and room for it? Once there was none,
 * there is to be room for many. */
bool fl__ahead_wants(const struct fl__lazy *lazy);
/* The next stretch of the file; false: there is no more, or no room. */
bool fl__ahead_ask(struct fl__lazy *lazy, uint64_t *off, uint64_t *len);

#endif
