/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * loader.h - the threads that load lazy images.
 *
 * Takes lazy images and the slots that show them; gives pages when a guest or a
 * call first needs them. There are three kinds of threads.
 *
 * - The handler reads faults and keeps time. Where there is io_uring, the handler
 *   has a ring and reads files by it, as many pages at a time as there are loads.
 * - A few fillers each take a load from the desk, check the hash of the page in
 *   the staging buffer, publish, and have the desk answer. Of a file without a
 *   ring, and of bytes in memory, a filler also reads the page. How many fill the
 *   host says, and few are enough, because they meet on one file. A filler also has
 *   the kernel read a working set ahead, and one with nothing to do makes large
 *   folios.
 * - Callers call what the host supplied: the read and the cancel of a page source
 *   of its own. What such a read gave is for a filler. Callers are started with
 *   the first image that needs them.
 *
 * The threads run while the context has a lazy image, and block all signals.
 * Handler and fillers touch no memory that is registered, allocate nothing, take
 * no lock but the desk's, and run no code of the host; they are under the filter of
 * filter.h, which callers are not. A guest cannot be left
 * waiting: an image ends after its last slot, and the descriptor is closed after
 * the last image.
 *
 * A read of the ring that passes its deadline is cancelled. Its buffer is the
 * kernel's until the kernel answers, and so the end of an image waits for that:
 * for a file of which the kernel ends no read (a file server that has gone), as
 * long as the kernel does.
 *
 * See kernel-notes/uffd-missing.md.
 */
#ifndef FL_LOADER_H
#define FL_LOADER_H

#include "desk.h"

struct fl__loader;

struct fl__loader_config {
	bool with_wp;		/* slots are tracked by the same descriptor */
	bool with_minor;	/* pages may be read to where they stay */
	bool with_ring;		/* files are read by io_uring */
	/* Threads that run no code of the host are confined, or none starts. */
	bool with_filter;
	bool can_wipe;		/* see fl__os_fork_guard */
	bool can_collapse;	/* what is loaded may lie in large folios */
	uint32_t filler_count;	/* 1 to FL__MAX_LOAD_THREADS */
};

/* -ENOMEM. */
int fl__loader_open(const struct fl__loader_config *config,
		    struct fl__loader **loader);
/* No image is left. NULL is allowed. */
void fl__loader_close(struct fl__loader *loader);

/* The image has its map and its origin. Errors: those of fl__lazy_create(). */
int fl__loader_add(struct fl__loader *loader, struct fl_image *image,
		   struct fl_error *error);
/* What the image's origin wants beside loading on demand cannot be had. -ENOTSUP. */
int fl__loader_refuse(const struct fl__origin *origin, const char *reason,
		      struct fl_error *error);
/* No slot shows the image. */
void fl__loader_remove(struct fl_image *image);

/* What registers, tracks and wakes slots that show lazy images. */
int fl__loader_uffd(const struct fl__loader *loader);

/* [start, end) of a slot was just mapped to the image's file. Until
 * fl__desk_drop_space() the slot waits for pages. -ENOMEM. */
int fl__loader_show(struct fl__loader *loader, struct fl_image *image,
		    struct fl__space *space, uint64_t start, uint64_t end);

struct fl__desk *fl__loader_desk(struct fl__loader *loader);

void fl__loader_tell(const struct fl_image *image,
		     struct fl_image_loading *loading);

#endif
