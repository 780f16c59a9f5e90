/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* region.h - what overflow.c needs of regions beside the calls that every source
 * has: their limit and shape, and to hear of places that become free. */
#ifndef FL_REGION_H
#define FL_REGION_H

#include "pool.h"

/* Before the first take. given is called when a region has gone, while the pool
 * cannot go. */
void fl__regions_limit(struct fl__source *source,
		       const struct fl__geometry *like, uint64_t limit,
		       void (*given)(void *user), void *user);

#endif
