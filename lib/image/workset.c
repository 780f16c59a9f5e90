/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* workset.c - scores of pages, and the side file; see workset.h. */
#include "workset.h"

#include <errno.h>
#include <stdlib.h>

#define HEAD_BYTES 48
#define PAGE_BYTES 16
#define SET_VERSION 1
#define WORTH 64 /* of 255: a quarter of the tenants */
#define GONE 16 /* a score below this is not kept */

static const uint8_t magic[8] = { 0x89, 'F', 'L', 'W', '\r', '\n', 0x1a, '\n' };

static uint64_t get(const uint8_t *bytes, size_t len)
{
	uint64_t value = 0;

	while (len)
		value = value << 8 | bytes[--len];
	return value;
}

static void put(uint8_t *bytes, uint64_t value, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

int fl__workset_init(struct fl__workset *set, const struct fl__toc *toc,
		     uint32_t image_idx)
{
	const struct fl__toc_image *image = &toc->images[image_idx];
	size_t count = (size_t)image->entry_count;
	uint8_t *bytes = calloc(count + 1, 4);

	if (!bytes)
		return -ENOMEM;
	*set = (struct fl__workset){
		.toc = toc,
		.first_entry = image->first_entry,
		.entry_count = image->entry_count,
		.image_idx = image_idx,
		.touched = bytes,
		.written = bytes + count,
		.old_touched = bytes + 2 * count,
		.old_written = bytes + 3 * count,
	};
	return 0;
}

void fl__workset_fini(struct fl__workset *set)
{
	free(set->touched);
}

bool fl__workset_read(struct fl__workset *set, const uint8_t *bytes,
		      uint64_t len)
{
	if (len < HEAD_BYTES || memcmp(bytes, magic, sizeof(magic)) ||
	    get(bytes + 8, 4) != SET_VERSION ||
	    get(bytes + 12, 4) != set->image_idx ||
	    memcmp(bytes + 16, set->toc->digest, FL__SHA256_BYTES))
		return false;
	for (uint64_t at = HEAD_BYTES; len - at >= PAGE_BYTES;
	     at += PAGE_BYTES) {
		uint64_t entry;

		if (!fl__toc_find(set->toc, set->image_idx, get(bytes + at, 8),
				  &entry))
			continue;
		set->old_touched[entry - set->first_entry] = bytes[at + 8];
		set->old_written[entry - set->first_entry] = bytes[at + 9];
	}
	return true;
}

bool fl__workset_begin(struct fl__workset *set)
{
	/* Most releases come later and only read. */
	if (__atomic_load_n(&set->tenants, __ATOMIC_RELAXED) >=
	    FL__WORKSET_TENANTS)
		return false;
	return __atomic_fetch_add(&set->tenants, 1, __ATOMIC_RELAXED) <
	       FL__WORKSET_TENANTS;
}

void fl__workset_touch(struct fl__workset *set, uint64_t wpage, bool is_written)
{
	uint64_t entry;

	if (fl__toc_find(set->toc, set->image_idx, wpage, &entry))
		__atomic_add_fetch((is_written ? set->written : set->touched) +
					   (entry - set->first_entry),
				   1, __ATOMIC_RELAXED);
}

bool fl__workset_next(const struct fl__workset *set, uint64_t *at,
		      uint64_t *wpage)
{
	while (*at < set->entry_count) {
		uint64_t entry = (*at)++;

		if (set->old_touched[entry] < WORTH)
			continue;
		*wpage = set->toc->entries[set->first_entry + entry].wpage;
		return true;
	}
	return false;
}

/* The score of all runs, this one included. */
static uint8_t score(const uint8_t *count, uint8_t old, uint32_t tenants,
		     bool is_first)
{
	uint32_t times = __atomic_load_n(count, __ATOMIC_RELAXED), now;

	if (!tenants)
		return old;
	now = (times < tenants ? times : tenants) * 255u / tenants;
	now = is_first ? now : (now + old) / 2;
	return (uint8_t)(now < GONE ? 0 : now);
}

int fl__workset_write(const struct fl__workset *set, uint8_t **out,
		      uint64_t *len)
{
	uint32_t tenants = __atomic_load_n(&set->tenants, __ATOMIC_RELAXED);
	uint8_t *bytes =
		calloc((size_t)set->entry_count + HEAD_BYTES, PAGE_BYTES);
	bool is_first = fl_is_zero(set->old_touched, set->entry_count);
	uint64_t at = HEAD_BYTES;

	if (!bytes)
		return -ENOMEM;
	tenants = tenants < FL__WORKSET_TENANTS ? tenants : FL__WORKSET_TENANTS;
	memcpy(bytes, magic, sizeof(magic));
	put(bytes + 8, SET_VERSION, 4);
	put(bytes + 12, set->image_idx, 4);
	memcpy(bytes + 16, set->toc->digest, FL__SHA256_BYTES);
	for (uint64_t i = 0; i < set->entry_count; i++) {
		uint8_t read = score(&set->touched[i], set->old_touched[i],
				     tenants, is_first);

		if (!read)
			continue;
		put(bytes + at, set->toc->entries[set->first_entry + i].wpage,
		    8);
		bytes[at + 8] = read;
		bytes[at + 9] = score(&set->written[i], set->old_written[i],
				      tenants, is_first);
		at += PAGE_BYTES;
	}
	*out = bytes;
	*len = at;
	return 0;
}
