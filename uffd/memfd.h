/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * memfd.h - an image's bytes in a sealed memory file.
 *
 * Takes a planned image and its segments; gives a file whose offsets are the
 * memory's, holes where the image is zero, sealed against every change, and a
 * readable mapping of it. See kernel-notes/memfd-seals.md.
 */
#ifndef FL_MEMFD_H
#define FL_MEMFD_H

#include "backend.h"

/* -ENOMEM, -EPERM, -ENOTSUP. Sets image->fd and image->bytes. With can_collapse,
 * chunks of 2 MiB that are mostly data are collapsed to one folio each, if the
 * kernel finds one: a mere gain, never an error. */
int fl__memfd_create(struct fl_image *image,
		     const struct fl__segments *segments, bool can_collapse,
		     struct fl_error *error);
void fl__memfd_destroy(struct fl_image *image);

/* Is an offset in a chunk that is collapsed, if that can be done at all? */
bool fl__memfd_is_large(const struct fl_image *image, uint64_t off);

#endif
