/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * store.h - from an image map to an image: storage, identity, references.
 *
 * Takes segments and a context; gives an immutable, reference-counted image
 * whose bytes the context's backend keeps. Identity is the serial, never
 * the address. Any thread.
 *
 * An image has its own initial size, which may exceed the module's minimum. A
 * segment out of bounds ends the image there and the map records the trap,
 * because instantiation writes what came before the segment and then traps.
 */
#ifndef FL_STORE_H
#define FL_STORE_H

#include "context.h"

/* What the images of one module may still take; each image lessens it. */
struct fl__image_allowance {
	uint64_t bytes, span_bytes;
	bool is_over;			/* an image was refused for a limit */
};

/* For images of so many bytes of input. */
struct fl__image_allowance
fl__image_allowance(const struct fl_context *context, uint64_t input_bytes);

/* allowance may be NULL: the limits of the context alone hold. -E2BIG. */
int fl__image_create(struct fl_context *context,
		     const struct fl__segments *segments,
		     uint64_t initial_bytes,
		     struct fl__image_allowance *allowance,
		     struct fl_image **image, struct fl_error *error);

/*
 * The same of a file in place. map says what is where, and file_offs where each
 * of its extents is in the file; the image takes map over, also when the call
 * fails, and opens fd anew. With an origin, of which it is image image_idx, the
 * image has a working set; NULL: none. -ENOTSUP where the backend maps no files.
 */
int fl__image_create_in_place(struct fl_context *context,
			      struct fl__image_map *map, int fd,
			      const uint64_t *file_offs,
			      struct fl__origin *origin, uint32_t image_idx,
			      struct fl_image **image, struct fl_error *error);

/* The same of an image that is loaded on demand, image image_idx of an origin
 * with a page source. -ENOTSUP where the backend does not load. */
int fl__image_create_lazy(struct fl_context *context,
			       struct fl__image_map *map,
			       struct fl__origin *origin, uint32_t image_idx,
			       struct fl_image **image, struct fl_error *error);

/* Why this context's images cannot be loaded on demand; NULL: they can. */
const char *fl__image_load_lacks(const struct fl_context *context);

#endif
