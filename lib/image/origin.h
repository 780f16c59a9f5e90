/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * origin.h - an opened image file: its tables, and where its bytes come from.
 *
 * Takes a page source, or none for a file that its opener reads alone; holds the
 * tables of contents until the last user has gone. Images that are loaded on
 * demand share the origin of their file. After opening nothing in it changes.
 */
#ifndef FL_ORIGIN_H
#define FL_ORIGIN_H

#include "page_source.h"
#include "toc.h"

struct fl__origin {
	uint32_t refs;			/* atomic */
	struct fl_page_source *pages;	/* a reference; NULL: none */
	uint64_t deadline_ns;		/* of one load */
	enum fl_load_publish publish;	/* as the caller wants it */
	enum fl_load_read read;		/* the same */
	const char *set_path;	/* the caller's, while images are opened; NULL: none */
	struct fl__toc toc;
};

/* An origin without tables; pages may be NULL. NULL: no memory. */
struct fl__origin *fl__origin_alloc(struct fl_page_source *pages,
				    uint64_t deadline_ns);
struct fl__origin *fl__origin_retain(struct fl__origin *origin);
/* NULL is allowed. */
void fl__origin_release(struct fl__origin *origin);

#endif
