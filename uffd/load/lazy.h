/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lazy.h - a lazy image: a sparse memory file, and which of its pages are there.
 *
 * Takes an image with its map and its origin; gives a memory file with holes, a
 * window over the file through which pages are published, and a state for each
 * page that the origin's index names. Offsets in the file are offsets in the
 * memory.
 *
 * There are two ways to publish, of which an image has one for its whole life.
 *
 * - *Copy*: UFFDIO_COPY from a buffer that was checked into the window, which is
 *   registered for missing pages: the kernel fills a page before the page is in the
 *   file, so that each slot sees a host page whole or not at all. What is in the
 *   file is checked.
 * - *Continue*: the ring reads into the window, which is not registered, and so into
 *   the file's own pages. What is in the file is checked only where the state says
 *   so: it may be on its way, or wrong. So the states decide everywhere, and every
 *   slot is registered for minor faults besides until the last page is loaded: the
 *   kernel shows a slot no page of the file but by UFFDIO_CONTINUE, and a page is
 *   continued after its state was set. A block is never read once its state is set,
 *   and by one read at a time (desk.h).
 *
 * A page is published at most once: the file is sealed against new writers, and a
 * page that is there already is left as it is. A state goes from absent to another
 * and never back. Only what was published may be read through the window.
 *
 * Of a page that is absent some blocks of 4 KiB may be there, because they were
 * foreseen and checked by the page's leaves. A bit says so of each; it is set after
 * the block is in the file, and a block without a bit may be there all the same.
 *
 * No part of this is inherited by a child: who reads a hole in the child would
 * make a page of zeroes of it, for the parent too.
 */
#ifndef FL_LAZY_H
#define FL_LAZY_H

#include "backend.h"

struct fl__desk;

/* The window lies so that a chunk of the file can be one entry. */
#define FL__LAZY_CHUNK_BYTES	(UINT64_C(2) << 20)

/* Which thread reads the pages of an image. */
enum fl__lazy_reader {
	FL__READER_FILLER,	/* one that fills: what is read does not wait long */
	FL__READER_RING,	/* the one that reads faults, by its ring */
	FL__READER_CALLER,	/* one that calls what the host supplied */
};

/* How a page came. */
enum fl__lazy_page {
	FL__PAGE_ABSENT = 0,
	FL__PAGE_ASKED,		/* somebody waited for it */
	FL__PAGE_FORESEEN,	/* before anybody asked; not known to be used */
	FL__PAGE_USED,		/* the same, and used */
};

struct fl__lazy {
	struct fl__desk *desk;
	uint8_t *window;	/* shows the file from first_off on */
	uint64_t first_off;
	uint64_t span_bytes;
	uint8_t *loaded;	/* atomic; how each entry's page came */
	uint16_t *present;	/* atomic; blocks of absent pages in the file */
	fl_atomic64 loaded_count;	/* atomic */
	fl_atomic64 failed_count;	/* atomic */
	int uffd_fd;
	struct fl__lazy_direct {	/* of a file that is read past the page cache */
		int fd;			/* -1: none */
		uint32_t unit_bytes;	/* reads are multiples of it; 0: none */
	} direct;
	bool is_continue;	/* how pages are published */
	bool with_wp;		/* and slots are registered for writes as well */
	enum fl__lazy_reader reader;
	struct fl__lazy *next;	/* the desk's list */
	struct fl_image *image;	/* whose this is */
	/* ahead.h's, under the desk's lock. Pages foreseen, which are loaded when
	 * nothing else is to do: from ahead up to ahead_end; then, when a slot
	 * shows the image, those of its working set from entry set_at on. The
	 * kernel is asked to read those from entry ask_at on. How many bytes of
	 * the set were asked for, and for how many loads were begun. */
	uint64_t last_wpage, ahead, ahead_end;
	uint64_t set_at, ask_at;	/* blocks of the set */
	uint64_t set_asked, set_begun;
	uint64_t foreseen_wpage;	/* the last */
	bool is_shown;
	bool can_ask;		/* a local file, and the set may have more */
	bool is_going;		/* there was room the last time */
	/* turns.h's, under the desk's lock: loads of what is foreseen, those of
	 * them and of others that the ring reads, and whether more begin when some
	 * have ended. */
	uint32_t foreseen_count, reading_count;
	bool is_short;
	/* large.h's, under the desk's lock: how many pages of each chunk are
	 * loaded, and how many chunks are whole and were not made one folio. */
	bool can_collapse;
	uint8_t *chunk_loaded;
	uint32_t whole_count;
	uint32_t holders;	/* threads in a call for this image */
};

/* Sets image->fd, lazy and file_offs; uffd_fd is open for missing pages of shared
 * memory, and for minor faults where the image's origin wants its pages continued.
 * direct.fd is the image's from here on. with_wp: slots are tracked by uffd_fd.
 * -ENOMEM, -EPERM, -ENOTSUP. */
int fl__lazy_create(struct fl_image *image, struct fl__desk *desk, int uffd_fd,
		    struct fl__lazy_direct direct, bool with_wp,
		    struct fl_error *error);

/* By copy: is the file read past the page cache? */
static inline bool fl__lazy_is_direct_copy(const struct fl__lazy *lazy)
{
	return lazy->direct.unit_bytes && !lazy->is_continue;
}

/* What is read into a buffer is a multiple of these, and lies at one. */
static inline uint64_t fl__lazy_unit_bytes(const struct fl__lazy *lazy)
{
	return fl__lazy_is_direct_copy(lazy) ? lazy->direct.unit_bytes : 1;
}

/* No slot shows the image, and no load is under way. is_parents: in a forked child,
 * which may have memory of its own where the window was. */
void fl__lazy_destroy(struct fl_image *image, bool is_parents);

/* Is a page loaded, or of no content? */
bool fl__lazy_has(const struct fl_image *image, uint64_t wpage);
/* Is a part of the page of an entry known to be in the file? */
bool fl__lazy_has_part(const struct fl_image *image, uint64_t entry_idx,
		       struct fl__part part);

/* Are all pages that the index names loaded? Then nothing that may be wrong is in the
 * file. */
bool fl__lazy_is_whole(const struct fl_image *image);

/* For what slots that show the image have to be registered from now on, beside
 * what tracks them. */
uint64_t fl__lazy_modes(const struct fl_image *image);

/* May guests see a host page of the range, now or in a moment? */
bool fl__lazy_holds(const struct fl_image *image, uint64_t off, uint64_t len);

/* The next loaded bytes in [at, end) of the memory; false: there are none. Whoever
 * touches them waits for nobody. */
bool fl__lazy_next(const struct fl_image *image, uint64_t at, uint64_t end,
		   uint64_t *off, uint64_t *len);

/* The first byte in [at, end) of a page's memory that is loaded, or that is not; end:
 * there is none. */
uint64_t fl__lazy_seek(const struct fl_image *image, uint64_t at, uint64_t end,
		       bool is_loaded);

/* Where the window shows a byte of the memory. */
uint8_t *fl__lazy_at(const struct fl_image *image, uint64_t off);

/* Bytes that can be read: all of [off, off + len) was published. Else NULL; of a
 * host page that was not, no slot has a copy. */
const uint8_t *fl__lazy_bytes(const struct fl_image *image, uint64_t off,
			      uint64_t len);

/* By copy: make a part of a page visible to all slots. -ENOMEM, -EIO. */
int fl__lazy_publish(const struct fl_image *image, uint64_t wpage,
		     struct fl__part part, const uint8_t *bytes);
/* To be continued: a page that the index does not name gets its zeroes. -ENOMEM. */
int fl__lazy_make_zeroes(const struct fl_image *image, uint64_t wpage);
/* To be continued: map what is loaded of [start, end) of a slot, and the zeroes of
 * pages that the index does not name. base is the slot's. Wakes nobody. -ENOMEM,
 * -EIO. */
int fl__lazy_show(const struct fl_image *image, uint64_t base, uint64_t start,
		  uint64_t end);
/* Map what is loaded before anybody asks: what would take many calls, or long, is left
 * out. How many calls it took. */
uint32_t fl__lazy_show_ahead(const struct fl_image *image, uint64_t base,
			     uint64_t start, uint64_t end);
/* A part was published, and the page is not to count as loaded. */
void fl__lazy_set_present(const struct fl_image *image, uint64_t entry_idx,
			  struct fl__part part, bool is_foreseen);
/* how: ASKED, FORESEEN or USED. False: the page was loaded before. */
bool fl__lazy_set_loaded(const struct fl_image *image, uint64_t entry_idx,
			 enum fl__lazy_page how);
/* A tenant touched a page, which may have been foreseen. */
void fl__lazy_touched(const struct fl_image *image, uint64_t wpage);

#endif
