/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * workset.h - which pages of an image its tenants are likely to touch.
 *
 * Takes what the first tenants of an image touched and wrote, and what earlier
 * runs found; gives the pages worth loading before anybody asks, and the bytes
 * of a side file. Pages are entries of the image file's index. Pure but for
 * atomic counts: any thread may count.
 *
 * Each page has two scores from 0 to 255, read and written: how often tenants
 * touched the page, of which a run gives one half and all runs before it the
 * other. So a page that is touched no more goes after two or three runs, and a
 * wrong guess costs the load of a page until then. A page is foreseen when a
 * quarter of the tenants or more touched it.
 *
 * Foreseen pages have an order: that in which guests first waited for them, so that
 * a guest that does the same again runs behind the loads and not after the last of
 * them; within a batch of 64 pages they ascend. A page that nobody waited for follows the
 * page before it in memory. A page
 * keeps its place from run to run; new pages come last.
 *
 * Each page also has sixteen blocks of 4 KiB, and a bit for each that a tenant of
 * this run touched, and of the run before. Whoever can have a part of a page asks
 * for the blocks of both. Where the kernel mapped pages around those that a tenant
 * touched, its blocks are *rough*: they count for a page of which no tenant of the
 * run has exact ones.
 *
 * A part of a page can be checked by the page's leaves (page_hash.h). A set of a
 * file that is loaded keeps those of pages that were loaded whole while tenants are
 * recorded, and those of the side file: 512 bytes for such a page. What a side file
 * says are leaves is checked against the index before it is used. Of a packed page a
 * part is whole frames (page_pack.h); of one that is a single frame, the page.
 *
 * The side file: 8 bytes 89 46 4c 57 0d 0a 1a 0a; version 3, 4 bytes; image, 4
 * bytes; digest of the image file, 32 bytes; then, in their order, for each page with a
 * score: page,
 * 8 bytes; score read, score written, 1 byte each; blocks of the run that wrote the
 * file, and of the run before it, 2 bytes each; 2 bytes that say how many leaves
 * follow, 0 or 16, of 32 bytes each. Numbers are little-endian. The file is advice:
 * of what does not fit, nothing is used.
 */
#ifndef FL_WORKSET_H
#define FL_WORKSET_H

#include "toc.h"

/* So many tenants of an image are recorded in a run. */
#define FL__WORKSET_TENANTS	8

struct fl__workset {
	const struct fl__toc *toc;
	uint64_t first_entry, entry_count;
	uint32_t image_idx;
	uint32_t tenants;	/* atomic: recorded, or being recorded */
	uint32_t watched;	/* atomic: tenants, by whoever records them */
	/* One byte for each entry. Counts are atomic. */
	uint8_t *touched, *written;
	uint8_t *old_touched, *old_written;
	/* Blocks; those of this run are atomic. */
	uint16_t *blocks, *old_blocks, *older_blocks;
	uint16_t *rough_blocks;
	/* Of each entry, and how far they can be used: atomic. NULL: parts are of
	 * no use. */
	struct fl__page_leaves *leaves;
	uint8_t *leaf_states;
	/* The entries of the side file in its order, and the place of each entry, from
	 * 1 on; 0: none. */
	uint32_t *turns, *places;
	uint64_t turn_count;
	/* When a guest first waited for the entry in this run, from 1 on; 0: none
	 * did. Atomic. */
	uint32_t *waits;
	uint32_t wait_count;	/* atomic */
	uint32_t unit_blocks;	/* a part is whole units */
	uint32_t asked;		/* atomic: the set was asked for */
	fl_atomic64 foreseen_count;	/* atomic */
};

/* What of one tenant was counted already; zeroes to begin with. */
struct fl__workset_tenant {
	uint64_t touched_end, written_end;	/* pages */
	bool is_rough;
};

/* Blocks of a page, one after the other. */
struct fl__part {
	uint32_t first, count;
};

#define FL__PART_WHOLE ((struct fl__part){ 0, FL__PAGE_BLOCKS })

static inline bool fl__part_is_whole(struct fl__part part)
{
	return part.count == FL__PAGE_BLOCKS;
}

/* The blocks as bits. */
static inline uint32_t fl__part_mask(struct fl__part part)
{
	return ((1u << part.count) - 1) << part.first;
}

/* -ENOMEM. The table of contents outlives the set. */
int fl__workset_init(struct fl__workset *set, const struct fl__toc *toc,
		     uint32_t image_idx);
void fl__workset_fini(struct fl__workset *set);

/* Before anything else: parts of pages can be had, in host pages of this size.
 * -ENOMEM. */
int fl__workset_take_parts(struct fl__workset *set, uint64_t hpage_bytes);

/* No side file of this set is longer. */
uint64_t fl__workset_max_bytes(const struct fl__workset *set);
/* Take a side file's bytes. False: they are of another image, or no side file. */
bool fl__workset_read(struct fl__workset *set, const uint8_t *bytes,
		      uint64_t len);

/* Is this tenant to be recorded? It counts as recorded from here on. */
bool fl__workset_begin(struct fl__workset *set);
/* A recorded tenant touched bytes [from, to) of the image. Ranges of a tenant
 * ascend; a page counts once, and once as written. */
void fl__workset_touch(struct fl__workset *set,
		       struct fl__workset_tenant *tenant, uint64_t from,
		       uint64_t to, bool is_written);

/* A guest waits for a page of the index. */
void fl__workset_wait(struct fl__workset *set, uint64_t entry_idx);

/* Parts and runs are told in the set's order; *at is 0 to begin with, and moves behind
 * what was told. */

/* The next page foreseen. */
bool fl__workset_next(const struct fl__workset *set, uint64_t *at,
		      uint64_t *wpage);
/* The next part that is worth a load of its own: of a page without leaves, or of which
 * most blocks are foreseen, the page. *entry_idx is the index's. */
bool fl__workset_next_part(const struct fl__workset *set, uint64_t *at,
			   uint64_t *entry_idx, struct fl__part *part);
/* The part to load when somebody waits for a block: as above, and the page where the
 * block is not foreseen. */
struct fl__part fl__workset_part_at(const struct fl__workset *set,
				    uint64_t entry_idx, uint32_t block);
/* Where a part lies in the file; of a packed page, where its frames do. */
uint64_t fl__workset_place(const struct fl__workset *set, uint64_t entry_idx,
			   struct fl__part part, uint64_t *len);
/* The next bytes of the file that hold foreseen blocks, as many as follow one
 * another. */
bool fl__workset_next_run(const struct fl__workset *set, uint64_t *at,
			  uint64_t *file_off, uint64_t *len);

/* The leaves of a page of the index, checked; NULL: there are none, and from here on
 * the page is loaded whole. Any thread. */
const struct fl__page_leaves *fl__workset_leaves(struct fl__workset *set,
						 uint64_t entry_idx,
						 struct fl__sha256 *sha);
/* These are the leaves of a page that was loaded whole. Keeps them while tenants are
 * recorded. Any thread. */
void fl__workset_learn(struct fl__workset *set, uint64_t entry_idx,
		       const struct fl__page_leaves *leaves);

/* The side file as of now; the caller frees *bytes. -ENOMEM. */
int fl__workset_write(const struct fl__workset *set, uint8_t **bytes,
		      uint64_t *len);

#endif
