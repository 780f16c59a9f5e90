/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * places.h - which slots show lazy images, by address.
 *
 * Takes the extents of slots as they are shown, and slots as they go; gives the
 * place that an address is in. Places do not overlap. Their owner serialises all
 * calls.
 *
 * An array in order of address. A place that goes leaves a gap, which the next
 * place of those addresses takes: so slots that come and go move nothing, and the
 * list is as long as it was at its fullest, or less.
 */
#ifndef FL_PLACES_H
#define FL_PLACES_H

#include "backend.h"

struct fl__place {
	uint64_t start, end;		/* of an extent in a slot */
	struct fl_image *image;
	struct fl__space *space;	/* NULL: a gap */
};

struct fl__places {
	struct fl__place *items;
	size_t count, gap_count, capacity;
};

void fl__places_fini(struct fl__places *places);

/* 0 or -ENOMEM. */
int fl__places_add(struct fl__places *places, const struct fl__place *place);
/* All places of a slot, which lie in [start, end). */
void fl__places_drop(struct fl__places *places, const struct fl__space *space,
		     uint64_t start, uint64_t end);

/* NULL: no place is there. */
const struct fl__place *fl__places_at(const struct fl__places *places,
				      uint64_t addr);

/* For assertions: linear. */
bool fl__places_show(const struct fl__places *places,
		     const struct fl_image *image);

#endif
