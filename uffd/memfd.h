/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * memfd.h - an image's bytes in a sealed memory file.
 *
 * Takes a planned image and its segments; gives a file and a readable mapping
 * of the file. Offsets in the file are offsets in the slot, the file has holes
 * where the image is zero, and seals forbid every change. See
 * kernel-notes/memfd-seals.md.
 */
#ifndef FL_MEMFD_H
#define FL_MEMFD_H

#include "backend.h"

/* An empty memory file that can be sealed, or -errno. */
int fl__memfd_open(void);

/* -ENOMEM, -EPERM, -ENOTSUP. Sets image->fd and image->bytes. With
 * can_collapse, chunks of 2 MiB that are mostly data become one folio each, if
 * the kernel finds a free one: a mere gain, never an error. */
int fl__memfd_create(struct fl_image *image,
		     const struct fl__segments *segments, bool can_collapse,
		     struct fl_error *error);
/* Also of an image in place. */
void fl__memfd_destroy(struct fl_image *image);

/*
 * A guest that touches a hole of the file makes a page of the hole, whatever the
 * seals say. settle notes how large the file is while no guest has; filled
 * tells what has come since, and drain gives back what no slot maps any more.
 * The page is clean and reads as zeroes, so nothing is lost, and no seal is in
 * the way. Of an image in place, the same of somebody else's file: what cannot
 * be given back (a file of another user, a file system that is no tmpfs) stays.
 */
void fl__memfd_settle(struct fl_image *image);
uint64_t fl__memfd_filled(const struct fl_image *image);
void fl__memfd_drain(const struct fl_image *image);

#endif
