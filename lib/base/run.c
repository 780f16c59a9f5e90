/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* run.c - run lists; see run.h for what makes one valid. */
#include "run.h"

#include <errno.h>
#include <stdlib.h>

void fl__runs_fini(struct fl__runs *runs)
{
	free(runs->items);
	*runs = (struct fl__runs){ 0 };
}

static int runs_reserve(struct fl__runs *runs)
{
	size_t capacity = runs->capacity ? runs->capacity * 2 : 16;
	struct fl__run *items;

	if (runs->count < runs->capacity)
		return 0;
	if (capacity > SIZE_MAX / sizeof(*items))
		return -ENOMEM;
	items = realloc(runs->items, capacity * sizeof(*items));
	if (!items)
		return -ENOMEM;
	runs->items = items;
	runs->capacity = capacity;
	return 0;
}

static uint64_t run_end(const struct fl__run *run)
{
	return run->hpage_off + run->hpage_len;
}

/* Does next begin in a run or where the run ends? Then the run takes next
 * in. */
static bool run_merge(struct fl__run *run, const struct fl__run *next)
{
	if (next->hpage_off < run->hpage_off || next->hpage_off > run_end(run))
		return false;
	run->hpage_len =
		fl_max_u64(run_end(run), run_end(next)) - run->hpage_off;
	return true;
}

int fl__runs_append(struct fl__runs *runs, uint64_t hpage_off,
		    uint64_t hpage_len)
{
	const struct fl__run run = { hpage_off, hpage_len };
	int err;

	fl_assert(hpage_len <= UINT64_MAX - hpage_off);
	if (!hpage_len ||
	    (runs->count && run_merge(&runs->items[runs->count - 1], &run)))
		return 0;
	err = runs_reserve(runs);
	if (!err)
		runs->items[runs->count++] = run;
	return err;
}

static int run_compare(const void *a, const void *b)
{
	const struct fl__run *x = a, *y = b;

	return (x->hpage_off > y->hpage_off) - (x->hpage_off < y->hpage_off);
}

void fl__runs_normalise(struct fl__runs *runs)
{
	size_t kept = 0;
	bool sorted = true;

	for (size_t i = 1; i < runs->count && sorted; i++)
		sorted = runs->items[i - 1].hpage_off <=
			 runs->items[i].hpage_off;
	if (!sorted)
		qsort(runs->items, runs->count, sizeof(*runs->items),
		      run_compare);
	for (size_t i = 1; i < runs->count; i++) {
		if (!run_merge(&runs->items[kept], &runs->items[i]))
			runs->items[++kept] = runs->items[i];
	}
	if (runs->count)
		runs->count = kept + 1;
	fl_assert_full(fl__runs_is_valid(runs));
}

bool fl__runs_is_valid(const struct fl__runs *runs)
{
	for (size_t i = 0; i < runs->count; i++) {
		if (!runs->items[i].hpage_len)
			return false;
		if (i &&
		    run_end(&runs->items[i - 1]) >= runs->items[i].hpage_off)
			return false;
	}
	return true;
}

size_t fl__runs_find(const struct fl__runs *runs, uint64_t hpage_off)
{
	size_t low = 0, high = runs->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (run_end(&runs->items[middle]) <= hpage_off)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint64_t fl__runs_total(const struct fl__runs *runs)
{
	uint64_t total = 0;

	for (size_t i = 0; i < runs->count; i++)
		total += runs->items[i].hpage_len;
	return total;
}

uint64_t fl__runs_overlap(const struct fl__runs *runs, uint64_t hpage_off,
			  uint64_t hpage_len)
{
	uint64_t end = hpage_off + hpage_len, total = 0;

	for (size_t i = fl__runs_find(runs, hpage_off); i < runs->count; i++) {
		const struct fl__run *run = &runs->items[i];

		if (run->hpage_off >= end)
			break;
		total += fl_min_u64(run_end(run), end) -
			 fl_max_u64(run->hpage_off, hpage_off);
	}
	return total;
}
