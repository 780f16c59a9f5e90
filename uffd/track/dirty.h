/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * dirty.h - what did this tenant write, and undo exactly that.
 *
 * Takes a slot whose guest has stopped; gives it back equal to its
 * image, in time proportional to what was written. Memory is seen in chunks
 * of 2 MiB, one page table each.
 *
 * A chunk is first unmarked: what is in it is told from the page table alone
 * (a page is private or still the image's), which needs no preparation but
 * looks at every page. Found touched again, it becomes marked: its range is
 * registered with the userfaultfd, every page of it write-protected, holes
 * included, and from then on the kernel tells in one fast scan which pages
 * were written. A page that was written is restored and left open: it is
 * reported every time from then on, and heat.h tells how to go on with it.
 * When open pages that nobody writes have cost as much as protecting their
 * chunks again would, that is done (a sweep): one system call, and one fault
 * for each page of them that is in use after all.
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
#include "prefill.h"
#include "uffd/scan.h"

#define FL__CHUNK_BYTES		((uint64_t)2 << 20)
#define FL__CHUNK_MAX_HPAGES	512	/* of 4 KiB; larger ones are fewer */

/* What tracking works with. */
struct fl__dirty_host {
	int pagemap_fd;
	int uffd_fd;			/* -1: unmarked chunks only */
	enum fl__scan_form written_form;
	bool can_populate;		/* MADV_POPULATE_READ, _WRITE */
	bool can_collapse;		/* see memfd.h */
	bool can_compare;		/* see copy.h */
};

struct fl__dirty_chunk {
	struct fl__heat *heat;		/* one a host page */
	/* Which pages are open (all others of a marked chunk are protected), and
	 * which of them are hot. In the steady state nothing else is looked
	 * at. */
	uint64_t open[FL__CHUNK_MAX_HPAGES / 64];
	uint64_t hot[FL__CHUNK_MAX_HPAGES / 64];
	/* Which pages are private copies, kept for the next tenant. */
	uint64_t kept[FL__CHUNK_MAX_HPAGES / 64];
	uint16_t next_end;		/* no lease ends before this reset */
	uint16_t ends_round;		/* the last reset when some did */
	bool is_marked;
	bool is_touched;		/* found so in the reset under way */
	bool has_idle;			/* open pages nobody has written */
};

/* One slot's knowledge. All zero is a slot just attached. */
struct fl__dirty {
	uint64_t tracked_bytes;
	uint64_t highest_bytes;		/* that were ever accessible */
	uint64_t idle_cost;		/* pages compared for nothing so far */
	uint64_t stale_cost;		/* chunks scanned for nothing so far */
	uint64_t kept_hpages;		/* in marked chunks, by their bits */
	/* Private pages that no such bit counts, of each FL_WPAGE_BYTES from the
	 * base on, and their sum. What is hidden behind the border stays
	 * counted as it was last seen. */
	uint8_t *unmarked;
	size_t unmarked_count;		/* allocated */
	uint64_t unmarked_hpages;
	uint32_t resets;
	bool is_prefilled;		/* for its first tenant, */
	uint32_t prefill_turn;		/* by this list */
	struct fl__dirty_chunk *chunks;
	size_t chunk_count;		/* allocated */
	/* For scans, once there were too many runs for the stack. */
	struct fl__kernel_region *regions;
} __attribute__((aligned(128)));	/* two threads never share a line */

/*
 * Make the pages private that the first tenants of the slot's image write, in
 * [0, size_bytes) of a slot that was attached just now. Never an error.
 */
void fl__dirty_prefill(struct fl__dirty *dirty,
		       const struct fl__dirty_host *host,
		       const struct fl__geometry *geometry,
		       const struct fl__space *space,
		       const struct fl_image *image, uint64_t size_bytes);

/* Forget everything: the slot was emptied or is attached anew. */
void fl__dirty_forget(struct fl__dirty *dirty);
void fl__dirty_fini(struct fl__dirty *dirty);

/*
 * Restore [0, space->allowed_bytes) to the slot's image and zeroes. The range is
 * accessible. *kept_bytes gets the private memory the slot keeps; it is at most
 * geometry->max_kept_bytes, because a slot that keeps more drops it all. 0 or
 * -errno of the closed set.
 */
int fl__dirty_reset(struct fl__dirty *dirty,
		    const struct fl__dirty_host *host,
		    const struct fl__geometry *geometry,
		    const struct fl__space *space, uint64_t *kept_bytes);

#endif
