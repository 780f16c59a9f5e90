/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * dirty.h - what is known of the pages of one slot.
 *
 * Memory is seen in chunks of 2 MiB, one page table each. A chunk is first
 * unmarked: what is in it is told from the page table alone. Found touched again,
 * it becomes marked: it is registered with the userfaultfd, and each of its pages
 * is watched or open (policy.h).
 *
 * Invariants
 * - In a marked chunk every page is either write-protected or open, and an open
 *   page is reported by the scan and restored at every reset.
 * - [0, tracked_bytes) is registered; a chunk is marked only within it.
 */
#ifndef FL_DIRTY_H
#define FL_DIRTY_H

#include "policy.h"
#include "uffd/scan.h"

#define FL__CHUNK_BYTES		((uint64_t)2 << 20)

/* What tracking works with. */
struct fl__dirty_host {
	int pagemap_fd;
	int uffd_fd;			/* -1: unmarked chunks only */
	enum fl__scan_form written_form;
	bool can_populate;		/* MADV_POPULATE_READ, _WRITE */
	bool can_collapse;		/* see memfd.h */
};

struct fl__dirty_chunk {
	struct fl__watch watch;
	/* Which pages are private copies, kept for the next tenant. */
	uint64_t kept[FL__CHUNK_WORDS];
	bool is_marked;
	bool is_touched;		/* found so in the reset under way */
};

/* One slot's knowledge. All zero is a slot just attached. */
struct fl__dirty {
	uint64_t tracked_bytes;
	uint64_t highest_bytes;		/* that were ever accessible */
	struct fl__sweeps sweeps;
	uint64_t stale_cost;		/* chunks scanned for nothing so far */
	/* The sum of all kept bits. What is hidden behind the border stays
	 * counted as it was last seen. */
	uint64_t kept_hpages;
	uint32_t resets;
	bool is_prefilled;		/* for its first tenant, */
	uint32_t prefill_turn;		/* by this list */
	struct fl__dirty_chunk *chunks;
	size_t chunk_count;		/* allocated */
	/* For scans, once there were too many runs for the stack. */
	struct fl__kernel_region *regions;
} __attribute__((aligned(128)));	/* two threads never share a line */

#endif
