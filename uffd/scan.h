/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * scan.h - what does the page table say about a range?
 *
 * Takes a range and one of two questions, gives the runs that answer it, in
 * order of address, through a callback. The loop goes on until the whole range
 * was walked, however many runs there are. See kernel-notes/pagemap-scan.md.
 *
 * FL__SCAN_WRITTEN asks in the one form that the kernel answers fast, and means
 * something only where every page was write-protected before: what was written
 * since (an empty entry that lost its mark counts as written).
 *
 * FL__SCAN_TOUCHED needs no tracking: pages that are resident or swapped
 * out, each run with its categories (FL_PAGE_IS_*), from which
 * fl__scan_is_private() tells the ones that differ from what is mapped.
 */
#ifndef FL_SCAN_H
#define FL_SCAN_H

#include "kernel.h"
#include "util.h"

enum fl__scan_form {
	FL__SCAN_WRITTEN,
	/* The same where the fast form misreads swapped entries (below 6.9). */
	FL__SCAN_WRITTEN_SLOW,
	FL__SCAN_TOUCHED,
	/* Touched pages, and of each whether it was written: for counting. */
	FL__SCAN_ACCOUNT,
};

/* Returns 0 to go on; anything else ends the scan and is returned by it. */
typedef int fl__scan_fn(void *user, const struct fl__kernel_region *region);

/* The pagemap of this process, close-on-exec; or -errno. */
int fl__scan_open(void);

/* -errno as the kernel gave it; -EIO when a walk makes no progress. */
int fl__scan(int pagemap_fd, uint64_t start, uint64_t end,
	     enum fl__scan_form form, fl__scan_fn *fn, void *user);

/* Of a touched page: may its bytes differ from the mapped file (is_file), or
 * from zero (anonymous memory)? */
bool fl__scan_is_private(uint64_t categories, bool is_file);

#endif
