/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * dirty.h - what is known of the pages of one slot.
 *
 * A slot is seen in chunks of 2 MiB, one page table each. A chunk is unmarked
 * at first: the page table alone tells which of its pages are private. A chunk
 * that is found touched from the second reset on becomes marked: the chunk is
 * registered with the userfaultfd, and each page of it is watched or open
 * (policy.h).
 *
 * Invariants
 * - In a marked chunk every page is either write-protected or open, and an open
 *   page is reported by the scan and restored at every reset. A page that is
 *   noted may be protected meanwhile, whatever the policy knows of it.
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
	bool can_populate;		/* MADV_POPULATE_READ */
};

/*
 * Slots that lie side by side, all accessible, are one mapping. To register them
 * one by one would make a mapping of each, so the first slot that is watched
 * registers all, with the one userfaultfd that such slots share.
 */
struct fl__whole {
	uint64_t start, end;		/* 0: each slot is registered alone */
	int uffd_fd;
	bool is_registered;		/* atomic */
};

struct fl__dirty_chunk {
	struct fl__watch watch;
	/* Which pages are private copies, kept for the next tenant. */
	uint64_t kept[FL__CHUNK_WORDS];
	/* Which pages this tenant may have written before a call of since.h
	 * protected them, by whatever the policy calls them. The reset opens
	 * them again before it looks. */
	uint64_t noted[FL__CHUNK_WORDS];
	bool is_marked;
	bool is_touched;		/* by the reset under way */
	bool has_table;			/* a page table, until mapped anew */
};

/* What is known of one slot. All zero: the slot was just attached. */
struct fl__dirty {
	uint64_t tracked_bytes;
	uint64_t highest_bytes;		/* that were ever accessible */
	struct fl__sweeps sweeps;
	uint32_t stale_resets;		/* that scanned chunks for nothing */
	/* The sum of all kept bits. A page behind the border stays counted as
	 * the page was last seen. */
	uint64_t kept_hpages;
	uint32_t resets;
	bool has_noted;			/* some bit of noted is set */
	bool has_tail;			/* pages behind all that is registered,
					 * at the last look */
	uint32_t unwatched_until;	/* no chunk is marked before that reset */
	struct fl__dirty_chunk *chunks;
	size_t chunk_count;		/* allocated */
	/* For scans, once the stack had too little room for their runs. */
	struct fl__kernel_region *regions;
	/* Chunks that have a page table, as far as resets have seen. */
	uint64_t tables;
	/* What the page tables and the chunks take, after the last reset.
	 * Atomic: usage is counted while other threads reset. */
	uint64_t table_bytes, record_bytes;
} __attribute__((aligned(128)));	/* two threads never share a line */

#endif
