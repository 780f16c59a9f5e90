/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * scan.h - what does the page table say about a range?
 *
 * Takes a range and the form of a question; gives the runs that answer the
 * question, one by one, through a callback. The loop goes on until the
 * whole range was walked, however many runs there are. See
 * kernel-notes/pagemap-scan.md.
 *
 * FL__SCAN_WRITTEN asks which pages were written, in the one form that the
 * kernel answers fast. The answer means something only where every page was
 * write-protected before. An empty entry that lost its mark counts as written.
 *
 * FL__SCAN_TOUCHED needs no tracking: it asks for pages that are resident or
 * swapped out, each run with its categories (FL_PAGE_IS_*). From these
 * fl__scan_is_private() tells the pages that may differ from what is mapped. A
 * caller that wants no other page asks for FL__SCAN_PRIVATE_FILE or _ZERO, by
 * what is mapped: there are fewer runs to report.
 */
#ifndef FL_SCAN_H
#define FL_SCAN_H

#include "kernel.h"
#include "base/util.h"

enum fl__scan_form {
	FL__SCAN_WRITTEN,
	/* The same where the fast form misreads swapped entries (below 6.9). */
	FL__SCAN_WRITTEN_SLOW,
	FL__SCAN_TOUCHED,
	/* Touched pages that fl__scan_is_private(), of a file mapping and of
	 * anonymous memory. */
	FL__SCAN_PRIVATE_FILE,
	FL__SCAN_PRIVATE_ZERO,
	/* As FL__SCAN_WRITTEN, and each page that is reported is
	 * write-protected by the same call. Where FL__SCAN_WRITTEN misreads
	 * entries, so does this. */
	FL__SCAN_WATCH,
	/* Touched pages, and whether each was written: for counting. */
	FL__SCAN_ACCOUNT,
};

/* Gets the next count runs, at least one: the first is *region, the others lie
 * step behind each other. By one call each, the runs of a release would cost it
 * 2 %. Returns 0 to go on; any other value ends the scan, which returns that
 * value. */
typedef int fl__scan_fn(void *user, const struct fl__kernel_region *region,
			size_t count, int step);

/* Where the kernel puts runs. A scan uses room for FL__SCAN_MAX_REGIONS at
 * most: with more the kernel says wrongly how far it came. */
#define FL__SCAN_MAX_REGIONS	512

struct fl__scan_buffer {
	struct fl__kernel_region *regions;
	size_t count;
	bool is_downward;	/* fn gets the runs of one call from the end on */
	bool was_full;		/* set when a scan needed more than one call */
	bool is_timed;
	uint32_t calls;
	uint64_t ns;		/* of all calls, if is_timed */
};

/* The pagemap of this process, close-on-exec; or -errno. */
int fl__scan_open(void);

/* -errno as the kernel gave it; -EIO when a walk makes no progress. */
int fl__scan(int pagemap_fd, uint64_t start, uint64_t end,
	     enum fl__scan_form form, struct fl__scan_buffer *buffer,
	     fl__scan_fn *fn, void *user);

/* Write-protect every written page of a tracked range, and no other: the entry
 * of a protected page is not rewritten, unlike with UFFDIO_WRITEPROTECT. Not
 * for kernels on which the fast form misreads swapped entries. -errno. */
int fl__scan_protect(int pagemap_fd, uint64_t start, uint64_t end);

/*
 * Is any page of a range resident or swapped out? Reads the entries of pagemap
 * one by one instead of scanning: for an audit, which must not believe the call
 * that it audits. True also when the entries cannot be read. An empty entry that
 * is watched looks like a swapped page that is watched; with is_swapless the
 * caller knows that no page is swapped.
 */
bool fl__scan_reads_touched(int pagemap_fd, uint64_t start, uint64_t end,
			    uint64_t hpage_bytes, bool is_swapless);

/*
 * The runs of pages that fl__scan_is_private() where PAGEMAP_SCAN cannot be had,
 * from the entries of pagemap; pages of zeroes in anonymous memory are among
 * them. Errors as of fl__scan().
 */
int fl__scan_reads_private(int pagemap_fd, uint64_t start, uint64_t end,
			   uint64_t hpage_bytes, fl__scan_fn *fn, void *user);

/* Of a touched page: may its bytes differ from the mapped file (is_file), or
 * from zero (anonymous memory)? */
bool fl__scan_is_private(uint64_t categories, bool is_file);

#endif
