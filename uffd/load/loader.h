/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * loader.h - the threads that load lazy images.
 *
 * Takes lazy images and the slots that show them; gives pages when a guest or a
 * call first needs them. One thread reads faults and keeps time. A few threads
 * fill: each takes a load from the desk, reads the page from the image's source
 * into a staging buffer, checks the hash, publishes, and has the desk answer. A
 * filler waits for a source that blocks; of a source that answers later it only
 * begins the read, and whichever filler is free takes the answer. How many fill
 * is bounded, because they meet on one file.
 *
 * The threads run while the context has a lazy image, and block all signals. They
 * touch no memory that is registered, allocate nothing, and take no lock but the
 * desk's. A guest cannot be left waiting: an image ends after its last slot, and
 * the descriptor is closed after the last image.
 *
 * See kernel-notes/uffd-missing.md.
 */
#ifndef FL_LOADER_H
#define FL_LOADER_H

#include "desk.h"

struct fl__loader;

/* with_wp: slots of lazy images are tracked by the same descriptor. -ENOMEM. */
int fl__loader_open(bool with_wp, struct fl__loader **loader);
/* No image is left. NULL is allowed. */
void fl__loader_close(struct fl__loader *loader);

/* The image has its map and its origin. Errors: those of fl__lazy_create(). */
int fl__loader_add(struct fl__loader *loader, struct fl_image *image,
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
