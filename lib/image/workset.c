/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* workset.c - scores of pages, and the side file; see workset.h. */
#include "workset.h"

#include <errno.h>
#include <stdlib.h>

#define HEAD_BYTES 48
#define PAGE_BYTES 16
#define LEAVES_BYTES ((uint64_t)FL__PAGE_BLOCKS * FL__SHA256_BYTES)
#define SET_VERSION 3
#define WORTH 64 /* of 255: a quarter of the tenants */
#define GONE 16 /* a score below this is not kept */
/* Pages ascend within a batch. A guest that runs right behind the loads waits for each;
 * one that comes a batch later waits once. */
#define BATCH 64
#define BLOCK_BYTES ((uint64_t)FL__PAGE_BLOCK_BYTES)
#define BLOCKS ((uint64_t)FL__PAGE_BLOCKS)
#define ALL_BLOCKS 0xffffu
/* Blocks that nobody foresees are read where a second load would cost more, and the
 * whole page where hardly any are left. */
#define GAP_BLOCKS 2
#define MOST_BLOCKS 12

enum leaf_state {
	LEAVES_NONE = 0,
	LEAVES_COMING,
	LEAVES_CLAIMED, /* by the side file */
	LEAVES_GOOD,
	LEAVES_BAD,
};

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
	uint32_t *turns = calloc(count + 1, 3 * sizeof(uint32_t) +
						    4 * sizeof(uint16_t) + 4);
	uint16_t *blocks;
	uint8_t *bytes;

	if (!turns)
		return -ENOMEM;
	blocks = (uint16_t *)(turns + 3 * count);
	bytes = (uint8_t *)(blocks + 4 * count);
	*set = (struct fl__workset){
		.toc = toc,
		.first_entry = image->first_entry,
		.entry_count = image->entry_count,
		.image_idx = image_idx,
		.turns = turns,
		.places = turns + count,
		.waits = turns + 2 * count,
		.touched = bytes,
		.written = bytes + count,
		.old_touched = bytes + 2 * count,
		.old_written = bytes + 3 * count,
		.blocks = blocks,
		.old_blocks = blocks + count,
		.older_blocks = blocks + 2 * count,
		.rough_blocks = blocks + 3 * count,
	};
	return 0;
}

int fl__workset_take_parts(struct fl__workset *set, uint64_t hpage_bytes)
{
	size_t count = (size_t)set->entry_count;

	if (hpage_bytes >= FL_WPAGE_BYTES)
		return 0;
	set->leaf_states = calloc(count + 1, 1);
	/* Memory of pages that are never loaded is not touched. */
	set->leaves = calloc(count + 1, sizeof(*set->leaves));
	set->unit_blocks = (uint32_t)(hpage_bytes / BLOCK_BYTES);
	return set->leaf_states && set->leaves ? 0 : -ENOMEM;
}

void fl__workset_fini(struct fl__workset *set)
{
	free(set->leaves);
	free(set->leaf_states);
	free(set->turns);
}

static void page_read(struct fl__workset *set, const uint8_t *bytes,
		      const uint8_t *leaves)
{
	uint64_t entry;

	if (!fl__toc_find(set->toc, set->image_idx, get(bytes, 8), &entry))
		return;
	entry -= set->first_entry;
	/* A second record of a page is nobody's. */
	if (set->places[entry])
		return;
	set->turns[set->turn_count++] = (uint32_t)entry;
	set->places[entry] = (uint32_t)set->turn_count;
	set->old_touched[entry] = bytes[8];
	set->old_written[entry] = bytes[9];
	set->old_blocks[entry] = (uint16_t)get(bytes + 10, 2);
	set->older_blocks[entry] = (uint16_t)get(bytes + 12, 2);
	if (!leaves || !set->leaves)
		return;
	memcpy(&set->leaves[entry], leaves, LEAVES_BYTES);
	set->leaf_states[entry] = LEAVES_CLAIMED;
}

static int compare_entries(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void turns_sort(struct fl__workset *set)
{
	uint64_t len;

	for (uint64_t at = 0; at < set->turn_count; at += len) {
		len = fl_min_u64(BATCH, set->turn_count - at);
		qsort(set->turns + at, (size_t)len, sizeof(*set->turns),
		      compare_entries);
	}
}

bool fl__workset_read(struct fl__workset *set, const uint8_t *bytes,
		      uint64_t len)
{
	if (len < HEAD_BYTES || memcmp(bytes, magic, sizeof(magic)) ||
	    get(bytes + 8, 4) != SET_VERSION ||
	    get(bytes + 12, 4) != set->image_idx ||
	    memcmp(bytes + 16, set->toc->digest, FL__SHA256_BYTES))
		return false;
	for (uint64_t at = HEAD_BYTES; len - at >= PAGE_BYTES;) {
		const uint8_t *page = bytes + at;
		uint64_t leaves = get(page + 14, 2);

		at += PAGE_BYTES;
		if (leaves && (leaves != BLOCKS || len - at < LEAVES_BYTES))
			break;
		page_read(set, page, leaves ? bytes + at : NULL);
		at += leaves ? LEAVES_BYTES : 0;
	}
	turns_sort(set);
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
		__atomic_or_fetch(tenant->is_rough ? &set->rough_blocks[entry] :
						     &set->blocks[entry],
				  blocks_of(w, from, to), __ATOMIC_RELAXED);
	}
}

void fl__workset_wait(struct fl__workset *set, uint64_t entry_idx)
{
	uint32_t *wait = &set->waits[entry_idx - set->first_entry];
	uint32_t none = 0;

	if (__atomic_load_n(wait, __ATOMIC_RELAXED))
		return;
	(void)__atomic_compare_exchange_n(
		wait, &none,
		__atomic_add_fetch(&set->wait_count, 1, __ATOMIC_RELAXED),
		false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

bool fl__workset_next(const struct fl__workset *set, uint64_t *at,
		      uint64_t *wpage)
{
	while (*at < set->turn_count) {
		uint64_t entry = set->turns[(*at)++];

		if (set->old_touched[entry] < WORTH)
			continue;
		*wpage = set->toc->entries[set->first_entry + entry].wpage;
		return true;
	}
	return false;
}

static uint32_t foreseen_blocks(const struct fl__workset *set, uint64_t entry)
{
	return set->old_touched[entry] >= WORTH ?
		       (uint32_t)(set->old_blocks[entry] |
				  set->older_blocks[entry]) :
		       0;
}

/* Of a block by its turn: turns are pages, whose blocks ascend. */
static bool block_is_foreseen(const struct fl__workset *set, uint64_t at)
{
	return foreseen_blocks(set, set->turns[at / BLOCKS]) >> at % BLOCKS & 1;
}

static uint64_t block_file_off(const struct fl__workset *set, uint64_t at)
{
	uint64_t entry = set->first_entry + set->turns[at / BLOCKS];

	return set->toc->entries[entry].file_off + at % BLOCKS * BLOCK_BYTES;
}

bool fl__workset_next_run(const struct fl__workset *set, uint64_t *at,
			  uint64_t *file_off, uint64_t *len)
{
	uint64_t end = set->turn_count * BLOCKS;

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

/* Of frames [first, end) of a page. */
static uint64_t frames_bytes(const struct fl__toc_entry *entry, uint32_t first,
			     uint32_t end)
{
	uint64_t sum = 0;

	while (first < end)
		sum += entry->frame_bytes[first++];
	return sum;
}

uint64_t fl__workset_place(const struct fl__workset *set, uint64_t entry_idx,
			   struct fl__part part, uint64_t *len)
{
	const struct fl__toc_entry *entry = &set->toc->entries[entry_idx];
	uint32_t unit = fl__toc_unit_blocks(set->toc, entry_idx);

	*len = entry->stored_bytes;
	if (fl__part_is_whole(part))
		return entry->file_off;
	*len = part.count * BLOCK_BYTES;
	if (!fl__toc_is_packed(set->toc, entry_idx))
		return entry->file_off + part.first * BLOCK_BYTES;
	*len = frames_bytes(entry, part.first / unit,
			    (part.first + part.count) / unit);
	return entry->file_off + frames_bytes(entry, 0, part.first / unit);
}

/* Whole units of a part; and a gap that is not worth two loads is filled. */
static uint32_t round_blocks(const struct fl__workset *set, uint64_t entry,
			     uint32_t blocks)
{
	uint32_t stored_unit =
		fl__toc_unit_blocks(set->toc, set->first_entry + entry);
	uint32_t unit = set->unit_blocks > stored_unit ? set->unit_blocks :
							 stored_unit;
	uint32_t unit_mask = (1u << unit) - 1, all = 0, end = 0;

	for (uint32_t b = 0; b < BLOCKS; b += unit) {
		if (!(blocks >> b & unit_mask))
			continue;
		if (all && b - end <= GAP_BLOCKS)
			all |= ((1u << b) - 1) & ~((1u << end) - 1);
		all |= unit_mask << b;
		end = b + unit;
	}
	return __builtin_popcount(all) >= MOST_BLOCKS ? ALL_BLOCKS : all;
}

static uint32_t leaf_state(const struct fl__workset *set, uint64_t entry)
{
	/* Pairs with fl__workset_learn(). */
	return set->leaves ? __atomic_load_n(&set->leaf_states[entry],
					     __ATOMIC_ACQUIRE) :
			     LEAVES_NONE;
}

static bool has_leaves(const struct fl__workset *set, uint64_t entry)
{
	uint32_t state = leaf_state(set, entry);

	return state == LEAVES_CLAIMED || state == LEAVES_GOOD;
}

/* What is loaded ahead of an entry's page. */
static uint32_t ahead_blocks(const struct fl__workset *set, uint64_t entry)
{
	uint32_t blocks = foreseen_blocks(set, entry);

	if (!blocks || !has_leaves(set, entry))
		return blocks ? ALL_BLOCKS : 0;
	return round_blocks(set, entry, blocks);
}

/* The blocks that follow one another from block first on, which is one of them. */
static struct fl__part part_from(uint32_t blocks, uint32_t first)
{
	struct fl__part part = { first, 0 };

	while (blocks >> (part.first + part.count) & 1)
		part.count++;
	return part;
}

bool fl__workset_next_part(const struct fl__workset *set, uint64_t *at,
			   uint64_t *entry_idx, struct fl__part *part)
{
	while (*at < set->turn_count * BLOCKS) {
		uint64_t turn = *at / BLOCKS, entry = set->turns[turn];
		uint32_t left = ahead_blocks(set, entry) >>
				*at % BLOCKS << *at % BLOCKS;

		/* Whoever found that the leaves are not the page's loads all of
		 * it. */
		if (!left || (*at % BLOCKS && !has_leaves(set, entry))) {
			*at = (turn + 1) * BLOCKS;
			continue;
		}
		*part = part_from(left, (uint32_t)__builtin_ctz(left));
		*entry_idx = set->first_entry + entry;
		*at = turn * BLOCKS + part->first + part->count;
		return true;
	}
	return false;
}

struct fl__part fl__workset_part_at(const struct fl__workset *set,
				    uint64_t entry_idx, uint32_t block)
{
	uint32_t blocks = ahead_blocks(set, entry_idx - set->first_entry);
	uint32_t first = block;

	if (!(blocks >> block & 1))
		return FL__PART_WHOLE;
	while (first && blocks >> (first - 1) & 1)
		first--;
	return part_from(blocks, first);
}

const struct fl__page_leaves *fl__workset_leaves(struct fl__workset *set,
						 uint64_t entry_idx,
						 struct fl__sha256 *sha)
{
	uint64_t entry = entry_idx - set->first_entry;
	uint32_t state = leaf_state(set, entry);

	if (state == LEAVES_CLAIMED) {
		state = fl__toc_check_leaves(set->toc, entry_idx, sha,
					     &set->leaves[entry]) ?
				LEAVES_BAD :
				LEAVES_GOOD;
		__atomic_store_n(&set->leaf_states[entry], (uint8_t)state,
				 __ATOMIC_RELEASE);
	}
	return state == LEAVES_GOOD ? &set->leaves[entry] : NULL;
}

void fl__workset_learn(struct fl__workset *set, uint64_t entry_idx,
		       const struct fl__page_leaves *leaves)
{
	uint64_t entry = entry_idx - set->first_entry;
	uint8_t none = LEAVES_NONE;

	if (!set->leaves || __atomic_load_n(&set->tenants, __ATOMIC_RELAXED) >=
				    FL__WORKSET_TENANTS)
		return;
	if (!__atomic_compare_exchange_n(&set->leaf_states[entry], &none,
					 LEAVES_COMING, false, __ATOMIC_RELAXED,
					 __ATOMIC_RELAXED))
		return;
	set->leaves[entry] = *leaves;
	__atomic_store_n(&set->leaf_states[entry], LEAVES_GOOD,
			 __ATOMIC_RELEASE);
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

/* The blocks of this run: exact ones, if there are any. */
static uint16_t blocks_now(const struct fl__workset *set, uint64_t entry)
{
	uint16_t exact = __atomic_load_n(&set->blocks[entry], __ATOMIC_RELAXED);

	return exact ? exact :
		       __atomic_load_n(&set->rough_blocks[entry],
				       __ATOMIC_RELAXED);
}

/* The leaves go with a page of which the next run loads a part. */
static uint64_t leaves_write(const struct fl__workset *set, uint64_t entry,
			     uint32_t blocks, uint8_t *page)
{
	if (!has_leaves(set, entry) ||
	    round_blocks(set, entry, blocks) == ALL_BLOCKS)
		return 0;
	put(page + 14, BLOCKS, 2);
	memcpy(page + PAGE_BYTES, &set->leaves[entry], LEAVES_BYTES);
	return LEAVES_BYTES;
}

/* How many bytes the page takes; 0: it has no score any more. */
static uint64_t page_write(const struct fl__workset *set, uint64_t entry,
			   uint32_t tenants, bool is_first, uint8_t *bytes)
{
	uint8_t read = score(&set->touched[entry], set->old_touched[entry],
			     tenants, is_first);
	uint16_t last = set->old_blocks[entry];
	uint16_t blocks = tenants ? blocks_now(set, entry) : last;
	uint16_t before = tenants ? last : set->older_blocks[entry];

	if (!read)
		return 0;
	put(bytes, set->toc->entries[set->first_entry + entry].wpage, 8);
	bytes[8] = read;
	bytes[9] = score(&set->written[entry], set->old_written[entry], tenants,
			 is_first);
	put(bytes + 10, blocks, 2);
	put(bytes + 12, before, 2);
	return PAGE_BYTES + leaves_write(set, entry, blocks | before, bytes);
}

/* A page in its order: its key above, and its entry below. */
static int compare_turns(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* All entries in the order of the pages. The caller frees. NULL: no memory. */
static uint64_t *order_make(const struct fl__workset *set)
{
	uint64_t *order = calloc((size_t)set->entry_count + 1, sizeof(*order));
	uint64_t key = 0;

	for (uint64_t i = 0; order && i < set->entry_count; i++) {
		uint32_t wait =
			__atomic_load_n(&set->waits[i], __ATOMIC_RELAXED);

		if (set->places[i])
			key = set->places[i];
		else if (wait)
			key = set->turn_count + wait;
		order[i] = key << 32 | i;
	}
	if (order)
		qsort(order, (size_t)set->entry_count, sizeof(*order),
		      compare_turns);
	return order;
}

int fl__workset_write(const struct fl__workset *set, uint8_t **out,
		      uint64_t *len)
{
	uint32_t tenants = __atomic_load_n(&set->tenants, __ATOMIC_RELAXED);
	uint8_t *bytes =
		calloc((size_t)set->entry_count + 1, PAGE_BYTES + LEAVES_BYTES);
	bool is_first = fl_is_zero(set->old_touched, set->entry_count);
	uint64_t *order = order_make(set), at = HEAD_BYTES;

	if (!bytes || !order) {
		free(bytes);
		free(order);
		return -ENOMEM;
	}
	tenants = tenants < FL__WORKSET_TENANTS ? tenants : FL__WORKSET_TENANTS;
	memcpy(bytes, magic, sizeof(magic));
	put(bytes + 8, SET_VERSION, 4);
	put(bytes + 12, set->image_idx, 4);
	memcpy(bytes + 16, set->toc->digest, FL__SHA256_BYTES);
	for (uint64_t i = 0; i < set->entry_count; i++)
		at += page_write(set, order[i] & UINT32_MAX, tenants, is_first,
				 bytes + at);
	free(order);
	*out = bytes;
	*len = at;
	return 0;
}

uint64_t fl__workset_max_bytes(const struct fl__workset *set)
{
	return HEAD_BYTES + set->entry_count * (PAGE_BYTES + LEAVES_BYTES);
}
