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
 * Each page also has sixteen blocks of 4 KiB, and a bit for each that a tenant of
 * this run touched, and of the run before. Whoever can have a part of a page asks
 * for the blocks of both.
 *
 * The side file: 8 bytes 89 46 4c 57 0d 0a 1a 0a; version 2, 4 bytes; image, 4
 * bytes; digest of the image file, 32 bytes; then 16 bytes for each page with a
 * score: page, 8 bytes; score read, score written, 1 byte each; blocks of the run
 * that wrote the file, and of the run before it, 2 bytes each; 2 bytes zero.
 * Numbers are little-endian. The file is advice: of what does not fit, nothing is
 * used.
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
	/* One byte for each entry. Counts are atomic. */
	uint8_t *touched, *written;
	uint8_t *old_touched, *old_written;
	/* Blocks; those of this run are atomic. */
	uint16_t *blocks, *old_blocks, *older_blocks;
	uint32_t asked;		/* atomic: the set was asked for */
	fl_atomic64 foreseen_count;	/* atomic */
};

/* What of one tenant was counted already; zeroes to begin with. */
struct fl__workset_tenant {
	uint64_t touched_end, written_end;	/* pages */
};

/* -ENOMEM. The table of contents outlives the set. */
int fl__workset_init(struct fl__workset *set, const struct fl__toc *toc,
		     uint32_t image_idx);
void fl__workset_fini(struct fl__workset *set);

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

/* The next page foreseen, from entry *at on, which moves behind the page. */
bool fl__workset_next(const struct fl__workset *set, uint64_t *at,
		      uint64_t *wpage);
/* The next bytes of the file that hold foreseen blocks, as many as follow one
 * another, from block *at on, which moves behind them. */
bool fl__workset_next_run(const struct fl__workset *set, uint64_t *at,
			  uint64_t *file_off, uint64_t *len);

/* The side file as of now; the caller frees *bytes. -ENOMEM. */
int fl__workset_write(const struct fl__workset *set, uint8_t **bytes,
		      uint64_t *len);

#endif
