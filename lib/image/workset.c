/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* workset.c - scores of pages, and the side file; see workset.h. */
#include "workset.h"

#include <errno.h>
#include <stdlib.h>

#define HEAD_BYTES 48
#define PAGE_BYTES 16
#define SET_VERSION 2
#define WORTH 64 /* of 255: a quarter of the tenants */
#define GONE 16 /* a score below this is not kept */
#define BLOCK_BYTES ((uint64_t)4096)
#define BLOCKS (FL_WPAGE_BYTES / BLOCK_BYTES) /* of a page */

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
	uint16_t *blocks = calloc(count + 1, 3 * sizeof(*blocks) + 4);
	uint8_t *bytes;

	if (!blocks)
		return -ENOMEM;
	bytes = (uint8_t *)(blocks + 3 * count);
	*set = (struct fl__workset){
		.toc = toc,
		.first_entry = image->first_entry,
		.entry_count = image->entry_count,
		.image_idx = image_idx,
		.touched = bytes,
		.written = bytes + count,
		.old_touched = bytes + 2 * count,
		.old_written = bytes + 3 * count,
		.blocks = blocks,
		.old_blocks = blocks + count,
		.older_blocks = blocks + 2 * count,
	};
	return 0;
}

void fl__workset_fini(struct fl__workset *set)
{
	free(set->blocks);
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
		set->old_blocks[entry - set->first_entry] =
			(uint16_t)get(bytes + at + 10, 2);
		set->older_blocks[entry - set->first_entry] =
			(uint16_t)get(bytes + at + 12, 2);
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

/* The blocks of a page that lie in [from, to). */
static uint16_t blocks_of(uint64_t wpage, uint64_t from, uint64_t to)
{
	uint64_t start = wpage * FL_WPAGE_BYTES;
	uint64_t first = fl_max_u64(from, start) - start;
	uint64_t last = fl_min_u64(to - start, FL_WPAGE_BYTES) - 1;

	return (uint16_t)((2u << last / BLOCK_BYTES) -
			  (1u << first / BLOCK_BYTES));
}

static void count(uint8_t *counter, uint64_t *end, uint64_t wpage)
{
	if (wpage < *end)
		return;
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
	*end = wpage + 1;
}

void fl__workset_touch(struct fl__workset *set,
		       struct fl__workset_tenant *tenant, uint64_t from,
		       uint64_t to, bool is_written)
{
	uint64_t entry;

	for (uint64_t w = from / FL_WPAGE_BYTES; w * FL_WPAGE_BYTES < to; w++) {
		if (!fl__toc_find(set->toc, set->image_idx, w, &entry))
			continue;
		entry -= set->first_entry;
		count(&set->touched[entry], &tenant->touched_end, w);
		if (is_written)
			count(&set->written[entry], &tenant->written_end, w);
		__atomic_or_fetch(&set->blocks[entry], blocks_of(w, from, to),
				  __ATOMIC_RELAXED);
	}
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

static bool block_is_foreseen(const struct fl__workset *set, uint64_t at)
{
	uint64_t entry = at / BLOCKS;

	return set->old_touched[entry] >= WORTH &&
	       ((set->old_blocks[entry] | set->older_blocks[entry]) >>
			at % BLOCKS &
		1);
}

static uint64_t block_file_off(const struct fl__workset *set, uint64_t at)
{
	return set->toc->entries[set->first_entry + at / BLOCKS].file_off +
	       at % BLOCKS * BLOCK_BYTES;
}

bool fl__workset_next_run(const struct fl__workset *set, uint64_t *at,
			  uint64_t *file_off, uint64_t *len)
{
	uint64_t end = set->entry_count * BLOCKS;

	while (*at < end && !block_is_foreseen(set, *at))
		++*at;
	if (*at == end)
		return false;
	*file_off = block_file_off(set, *at);
	*len = 0;
	while (*at < end && block_is_foreseen(set, *at) &&
	       block_file_off(set, *at) == *file_off + *len) {
		*len += BLOCK_BYTES;
		++*at;
	}
	return true;
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
		uint16_t now =
			__atomic_load_n(&set->blocks[i], __ATOMIC_RELAXED);

		if (!read)
			continue;
		put(bytes + at, set->toc->entries[set->first_entry + i].wpage,
		    8);
		bytes[at + 8] = read;
		bytes[at + 9] = score(&set->written[i], set->old_written[i],
				      tenants, is_first);
		put(bytes + at + 10, tenants ? now : set->old_blocks[i], 2);
		put(bytes + at + 12,
		    tenants ? set->old_blocks[i] : set->older_blocks[i], 2);
		at += PAGE_BYTES;
	}
	*out = bytes;
	*len = at;
	return 0;
}
