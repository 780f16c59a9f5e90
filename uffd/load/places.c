/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* places.c - a sorted array with gaps; see places.h. */
#include "places.h"

#include <stdlib.h>

void fl__places_fini(struct fl__places *places)
{
	free(places->items);
}

/* The first place or gap that ends behind addr. */
static size_t find(const struct fl__places *places, uint64_t addr)
{
	size_t low = 0, high = places->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (places->items[mid].end <= addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void close_gaps(struct fl__places *places)
{
	size_t kept = 0;

	for (size_t i = 0; i < places->count; i++) {
		if (places->items[i].space)
			places->items[kept++] = places->items[i];
	}
	places->count = kept;
	places->gap_count = 0;
}

static int make_room(struct fl__places *places)
{
	size_t capacity = places->capacity * 2 + 64;
	struct fl__place *items;

	if (places->count < places->capacity)
		return 0;
	if (places->gap_count > places->count / 2) {
		close_gaps(places);
		return 0;
	}
	items = realloc(places->items, capacity * sizeof(*items));
	if (!items)
		return -ENOMEM;
	places->items = items;
	places->capacity = capacity;
	return 0;
}

int fl__places_add(struct fl__places *places, const struct fl__place *place)
{
	struct fl__place *items;
	size_t at;
	int err = make_room(places);

	if (err)
		return err;
	items = places->items;
	at = find(places, place->start);
	if (at < places->count && !items[at].space) {
		places->gap_count--;
	} else {
		memmove(&items[at + 1], &items[at],
			(places->count - at) * sizeof(*items));
		places->count++;
	}
	items[at] = *place;
	/* Gaps behind that the place covers are empty from here on. */
	while (++at < places->count && items[at].start < place->end) {
		fl_assert(!items[at].space);
		items[at].start = place->end;
		items[at].end = fl_max_u64(items[at].end, place->end);
	}
	return 0;
}

void fl__places_drop(struct fl__places *places, const struct fl__space *space,
		     uint64_t start, uint64_t end)
{
	for (size_t at = find(places, start);
	     at < places->count && places->items[at].start < end; at++) {
		if (places->items[at].space != space)
			continue;
		places->items[at].space = NULL;
		places->items[at].image = NULL;
		places->gap_count++;
	}
}

const struct fl__place *fl__places_at(const struct fl__places *places,
				      uint64_t addr)
{
	size_t at = find(places, addr);

	if (at == places->count || addr < places->items[at].start ||
	    !places->items[at].space)
		return NULL;
	return &places->items[at];
}

bool fl__places_show(const struct fl__places *places,
		     const struct fl_image *image)
{
	for (size_t i = 0; i < places->count; i++) {
		if (places->items[i].image == image)
			return true;
	}
	return false;
}
