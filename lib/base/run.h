/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * run.h - the one type that travels from image to reset.
 *
 * A run is a stretch of host pages of one memory, counted from its base,
 * half-open. A run list is sorted, its runs neither overlap nor touch, and none
 * is empty: fl__runs_is_valid() says so. Lists grow by appending in any order
 * and become valid by fl__runs_normalise().
 *
 * Plain data, owned by one thread at a time. Allocation happens in append
 * and nowhere else.
 */
#ifndef FL_RUN_H
#define FL_RUN_H

#include "util.h"

struct fl__run {
	uint64_t hpage_off;
	uint64_t hpage_len;
};

struct fl__runs {
	struct fl__run *items;
	size_t count;
	size_t capacity;
};

void fl__runs_fini(struct fl__runs *runs);

/* Add a run; one that touches or overlaps the last is merged into it. 0 or
 * -ENOMEM, and then the list is as before. An empty run is not added. */
int fl__runs_append(struct fl__runs *runs, uint64_t hpage_off,
		    uint64_t hpage_len);

/* Sort, merge what overlaps or touches. Linear when already sorted. */
void fl__runs_normalise(struct fl__runs *runs);

bool fl__runs_is_valid(const struct fl__runs *runs);

/* Index of the first run that ends after hpage_off; count if none. */
size_t fl__runs_find(const struct fl__runs *runs, uint64_t hpage_off);

/* Host pages in the whole list, and in its part within [off, off + len). */
uint64_t fl__runs_total(const struct fl__runs *runs);
uint64_t fl__runs_overlap(const struct fl__runs *runs, uint64_t hpage_off,
			  uint64_t hpage_len);

#endif
