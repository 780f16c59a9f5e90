/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * run.h - which host pages of an image hold data, as a list of runs.
 *
 * A run is a half-open stretch of the host pages of one image, counted from the
 * image's byte 0. A run list is sorted, its runs neither overlap nor touch, and
 * no run is empty: fl__runs_is_valid() checks that. A list grows by appending
 * in any order and becomes valid by fl__runs_normalise().
 *
 * Plain data, owned by one thread at a time. Only append allocates.
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

/* Add a run. A run that begins in the last one, or where the last one ends, is
 * merged into the last one; an empty run is not added. 0 or -ENOMEM; after an
 * error the list is as before. */
int fl__runs_append(struct fl__runs *runs, uint64_t hpage_off,
		    uint64_t hpage_len);

/* Sort the runs, and merge runs that overlap or touch. Linear when the list is
 * sorted already. */
void fl__runs_normalise(struct fl__runs *runs);

bool fl__runs_is_valid(const struct fl__runs *runs);

/* Index of the first run that ends after hpage_off; count if no run does. */
size_t fl__runs_find(const struct fl__runs *runs, uint64_t hpage_off);

/* Host pages in the whole list, and in its part within [off, off + len). */
uint64_t fl__runs_total(const struct fl__runs *runs);
uint64_t fl__runs_overlap(const struct fl__runs *runs, uint64_t hpage_off,
			  uint64_t hpage_len);

#endif
