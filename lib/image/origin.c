/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* origin.c - references to an opened image file; see origin.h. */
#include "origin.h"

#include <stdlib.h>

struct fl__origin *fl__origin_alloc(struct fl_page_source *pages,
				    uint64_t deadline_ns)
{
	struct fl__origin *origin = calloc(1, sizeof(*origin));

	if (!origin)
		return NULL;
	origin->refs = 1;
	origin->pages = pages ? fl_page_source_retain(pages) : NULL;
	origin->deadline_ns = deadline_ns;
	return origin;
}

struct fl__origin *fl__origin_retain(struct fl__origin *origin)
{
	__atomic_fetch_add(&origin->refs, 1, __ATOMIC_RELAXED);
	return origin;
}

void fl__origin_release(struct fl__origin *origin)
{
	/* The last one out must see what the others wrote. */
	if (!origin || __atomic_sub_fetch(&origin->refs, 1, __ATOMIC_ACQ_REL))
		return;
	fl__toc_fini(&origin->toc);
	fl_page_source_release(origin->pages);
	free(origin);
}
