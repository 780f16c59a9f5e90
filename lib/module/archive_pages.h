/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * archive_pages.h - an opened image file, and images made of its pages.
 *
 * Takes a file whose tables were read and checked, and gives an image of it: of
 * pages that were all read and checked, of pages that come when they are touched,
 * or of the file itself. A page is used once it has its hash, but for a file that
 * the caller wants unchecked.
 */
#ifndef FL_ARCHIVE_PAGES_H
#define FL_ARCHIVE_PAGES_H

#include "archive.h"

/* A file that is open, and what its tables say. */
struct fl__archive_file {
	struct fl_context *context;
	struct fl__toc_source source;
	struct fl__origin *origin;
	enum fl_load_way way; /* once the first image is opened, not AUTO */
	const char *way_reason;
	uint32_t flags;
	int fd; /* -1: not a file */
	bool is_ours; /* the descriptor */
};

/* All pages, read and checked, in storage of the backend. Errors: as
 * fl__archive_open(). */
int fl__archive_open_whole(const struct fl__archive_file *file,
			   uint32_t image_idx, struct fl_image **image,
			   struct fl_error *error);
/* Pages on demand. The file has a page source. */
int fl__archive_open_lazy(const struct fl__archive_file *file,
			  uint32_t image_idx, struct fl_image **image,
			  struct fl_error *error);
/* The file itself, of which fd is the descriptor. */
int fl__archive_open_in_place(const struct fl__archive_file *file,
			      uint32_t image_idx, struct fl_image **image,
			      struct fl_error *error);

#endif
