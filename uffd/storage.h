/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * storage.h - where an image's bytes are.
 *
 * Takes a planned image; gives it a sealed memory file (memfd.h), the place in
 * somebody else's file, or pages that are loaded when they are first touched
 * (load/loader.h). The calls are those of backend.h, image_create and its like.
 */
#ifndef FL_STORAGE_H
#define FL_STORAGE_H

#include "host.h"

int fl__storage_create(struct fl__host *host, struct fl_image *image,
		       const struct fl__segments *segments,
		       struct fl_error *error);
int fl__storage_map(struct fl__host *host, struct fl_image *image,
		    struct fl_error *error);
const char *fl__storage_load_lacks(const struct fl__host *host);
int fl__storage_load(struct fl__host *host, struct fl_image *image,
		     struct fl_error *error);
void fl__storage_destroy(struct fl_image *image);

/* -EIO: it is a file in place, and somebody has cut it. NULL is no image. */
int fl__storage_look(const struct fl_image *image);

#endif
