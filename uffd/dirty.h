/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * dirty.h - what did this tenant write, and undo exactly that.
 *
 * Stage 7: takes a slot whose guest has stopped; gives it back equal to its
 * image, in time proportional to what was written. Memory is seen in chunks
 * of 2 MiB, one page table each.
 *
 * A chunk is first unmarked: what is in it is told from the page table alone
 * (a page is private or still the image's), which needs no preparation but
 * looks at every page. Found touched again, it becomes marked: its range is
 * registered with the userfaultfd, every page of it write-protected, holes
 * included, and from then on the kernel tells in one fast scan which pages
 * were written. Pages that heat.h leaves open are always among them.
 *
 * Invariants
 * - In a marked chunk every page is either protected or open, and an open page
 *   is reported by the scan and restored at every reset.
 * - A restored page is protected after it was restored, never before.
 * - [0, tracked_bytes) is registered; a chunk is marked only within it.
 * - An error leaves the slot in no known state: the caller empties it.
 *
 * One thread at a time for a slot. See kernel-notes/uffd-wp.md and
 * pagemap-scan.md.
 */
#ifndef FL_DIRTY_H
#define FL_DIRTY_H

#include "backend.h"
#include "heat.h"
#include "scan.h"

#define FL__CHUNK_BYTES		((uint64_t)2 << 20)

/* What tracking works with. */
struct fl__dirty_host {
	int pagemap_fd;
	int uffd_fd;			/* -1: unmarked chunks only */
	enum fl__scan_form written_form;
};

struct fl__dirty_chunk {
	struct fl__heat *heat;		/* one a host page */
	bool is_marked;
	bool is_touched;		/* found so in the reset under way */
};

/* One slot's knowledge. All zero is a slot just attached. */
struct fl__dirty {
	uint64_t tracked_bytes;
	uint32_t resets;
	struct fl__dirty_chunk *chunks;
	size_t chunk_count;		/* allocated */
} __attribute__((aligned(128)));	/* two threads never share a line */

/* Forget everything: the slot was emptied or is attached anew. */
void fl__dirty_forget(struct fl__dirty *dirty);
void fl__dirty_fini(struct fl__dirty *dirty);

/*
 * Restore [0, slot->allowed_bytes) to the slot's image and zeroes. The range is
 * accessible. 0 or -errno of the closed set.
 */
int fl__dirty_reset(struct fl__dirty *dirty,
		    const struct fl__dirty_host *host,
		    const struct fl__geometry *geometry,
		    const struct fl__slot *slot);

#endif
