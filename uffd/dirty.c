/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* dirty.c - scanning, restoring, protecting; see dirty.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "dirty.h"
#include "uffd.h"

#include <stdlib.h>
#include <sys/mman.h>

/* A cold run this long is dropped, not restored: if it is written again it
 * is restored the next time, and if not its memory is not kept. */
#define DROP_HPAGES	64

/* Unmarked chunks between marked ones are marked too when there are so few of
 * them: a scan more costs as much as two page tables of marks. */
#define BRIDGE_CHUNKS	2

/* Runs that a scan gets at once: so many on the stack, and when there were more
 * as many as the kernel gives. */
#define FEW_REGIONS	64

/* Copying begins on lines that the processor has been told of. Its own
 * prefetching stops at the end of each page. */
#define AHEAD_BYTES	512
#define LINE_BYTES	64

/* The slot's content from one address to another: image or zeroes. */
struct area {
	uint64_t start, end;	/* addresses */
	const uint8_t *image;	/* bytes of [start, end), NULL: zeroes */
};

/* One reset under way. Addresses are absolute; host pages aligned. */
struct reset {
	struct fl__dirty *dirty;
	const struct fl__dirty_host *host;
	const struct fl__slot *slot;
	uint64_t hpage_bytes;
	uint32_t hpage_shift;		/* the same; a division costs too much */
	uint32_t chunk_hpages_mask;
	uint64_t base;
	uint64_t chunk_base;		/* address of chunk 0 */
	uint64_t allowed_end, tracked_end;
	uint16_t now;
	bool was_touched;		/* an unmarked chunk was */
	uint64_t hot_count, idle_count;	/* pages, in this reset */
	uint64_t unmarked_kept;		/* private pages in unmarked chunks */
	/* To be protected, not yet done. */
	uint64_t protect_start, protect_end;
	struct area areas[2 * FL__IMAGE_MAX_EXTENTS + 1];
	uint32_t area_count;
	uint32_t area_idx;		/* where the scan is */
	struct fl__scan_buffer buffer;
	struct fl__kernel_region few[FEW_REGIONS];
};

void fl__dirty_forget(struct fl__dirty *dirty)
{
	for (size_t i = 0; i < dirty->chunk_count; i++) {
		struct fl__dirty_chunk *chunk = &dirty->chunks[i];

		if (chunk->is_marked)
			memset(chunk->heat, 0,
			       FL__CHUNK_MAX_HPAGES * sizeof(*chunk->heat));
		memset(chunk->kept, 0, sizeof(chunk->kept));
		chunk->is_marked = chunk->is_touched = false;
	}
	dirty->tracked_bytes = 0;
	dirty->idle_cost = 0;
	dirty->kept_hpages = 0;
	dirty->resets = 0;
}

void fl__dirty_fini(struct fl__dirty *dirty)
{
	for (size_t i = 0; i < dirty->chunk_count; i++)
		free(dirty->chunks[i].heat);
	free(dirty->chunks);
	free(dirty->regions);
	memset(dirty, 0, sizeof(*dirty));
}

static void areas_add(struct reset *reset, uint64_t start, uint64_t end,
		      const uint8_t *image)
{
	end = fl_min_u64(end, reset->allowed_end);
	if (start < end)
		reset->areas[reset->area_count++] =
			(struct area){ start, end, image };
}

static void areas_build(struct reset *reset)
{
	const struct fl_image *image = reset->slot->image;
	uint64_t at = reset->base, first;

	if (image) {
		first = fl__image_map_first_off(&image->map);
		for (uint32_t i = 0; i < image->map.extent_count; i++) {
			uint64_t off = image->map.extents[i].hpage_off *
				       reset->hpage_bytes;
			uint64_t len = image->map.extents[i].hpage_len *
				       reset->hpage_bytes;

			areas_add(reset, at, reset->base + off, NULL);
			at = reset->base + off + len;
			areas_add(reset, reset->base + off, at,
				  image->bytes + (off - first));
		}
	}
	areas_add(reset, at, reset->allowed_end, NULL);
}

static size_t chunk_of(const struct reset *reset, uint64_t addr)
{
	return (size_t)((addr - reset->chunk_base) / FL__CHUNK_BYTES);
}

static uint64_t chunk_addr(const struct reset *reset, size_t chunk_idx)
{
	return reset->chunk_base + chunk_idx * FL__CHUNK_BYTES;
}

static struct fl__dirty_chunk *chunk_find(const struct reset *reset,
					  size_t chunk_idx)
{
	return chunk_idx < reset->dirty->chunk_count
		       ? &reset->dirty->chunks[chunk_idx] : NULL;
}

/* The chunk with room for heat; NULL without memory, and then it stays
 * unmarked, which is slower and as right. */
static struct fl__dirty_chunk *chunk_make(const struct reset *reset,
					  size_t chunk_idx)
{
	struct fl__dirty *dirty = reset->dirty;
	struct fl__dirty_chunk *chunk;

	if (chunk_idx >= dirty->chunk_count) {
		size_t count = chunk_idx + 1;
		struct fl__dirty_chunk *grown =
			realloc(dirty->chunks, count * sizeof(*grown));

		if (!grown)
			return NULL;
		memset(grown + dirty->chunk_count, 0,
		       (count - dirty->chunk_count) * sizeof(*grown));
		dirty->chunks = grown;
		dirty->chunk_count = count;
	}
	chunk = &dirty->chunks[chunk_idx];
	if (!chunk->heat)
		chunk->heat = calloc(FL__CHUNK_MAX_HPAGES,
				     sizeof(*chunk->heat));
	return chunk->heat ? chunk : NULL;
}

/* The host page's number, counted from chunk 0. */
static uint64_t hpage_of(const struct reset *reset, uint64_t addr)
{
	return (addr - reset->chunk_base) >> reset->hpage_shift;
}

static int protect_flush(struct reset *reset)
{
	uint64_t start = reset->protect_start;
	uint64_t len = reset->protect_end - start;

	if (!len)
		return 0;
	reset->protect_end = reset->protect_start = 0;
	return fl__uffd_protect(reset->host->uffd_fd, start, len);
}

/* Runs that touch become one system call. */
static int protect_add(struct reset *reset, uint64_t start, uint64_t end)
{
	int err;

	if (reset->protect_end && start == reset->protect_end) {
		reset->protect_end = end;
		return 0;
	}
	err = protect_flush(reset);
	reset->protect_start = start;
	reset->protect_end = end;
	return err;
}

static const struct area *area_at(struct reset *reset, uint64_t addr)
{
	while (addr >= reset->areas[reset->area_idx].end)
		reset->area_idx++;
	return &reset->areas[reset->area_idx];
}

/* [start, end) lies in one area. */
static void restore(const struct area *area, uint64_t start, uint64_t end)
{
	void *at = (void *)(uintptr_t)start;
	size_t len = (size_t)(end - start);

	if (area->image)
		memcpy(at, area->image + (start - area->start), len);
	else
		memset(at, 0, len);
}

static bool is_worth_dropping(const struct reset *reset, uint64_t start,
			      uint64_t end)
{
	return reset->host->uffd_fd >= 0 &&
	       end - start >= DROP_HPAGES * reset->hpage_bytes;
}

static int drop(uint64_t start, uint64_t end)
{
	return madvise((void *)(uintptr_t)start, (size_t)(end - start),
		       MADV_DONTNEED) ? -errno : 0;
}

static bool bytes_differ(const struct reset *reset, const struct area *area,
			 uint64_t addr)
{
	const uint8_t *bytes = (const uint8_t *)(uintptr_t)addr;
	size_t len = (size_t)reset->hpage_bytes;

	if (area->image)
		return memcmp(bytes, area->image + (addr - area->start), len);
	/* Zero if the first byte is, and each equals the one before it. */
	return *bytes || memcmp(bytes, bytes + 1, len - 1);
}

static bool bit_get(const uint64_t *bits, uint32_t idx)
{
	return bits[idx / 64] >> idx % 64 & 1;
}

static void bit_set(uint64_t *bits, uint32_t idx, bool value)
{
	uint64_t bit = UINT64_C(1) << idx % 64;

	bits[idx / 64] = value ? bits[idx / 64] | bit : bits[idx / 64] & ~bit;
}

/* Of an address in a marked chunk. */
static struct fl__dirty_chunk *chunk_at(const struct reset *reset,
					uint64_t addr)
{
	return &reset->dirty->chunks[chunk_of(reset, addr)];
}

static uint32_t hpage_in_chunk(const struct reset *reset, uint64_t addr)
{
	return (uint32_t)hpage_of(reset, addr) & reset->chunk_hpages_mask;
}

static enum fl__heat_verdict page_judge(struct reset *reset,
					const struct area *area, uint64_t addr)
{
	struct fl__dirty_chunk *chunk = chunk_at(reset, addr);
	uint32_t idx = hpage_in_chunk(reset, addr);
	struct fl__heat *heat = &chunk->heat[idx];
	uint64_t number = hpage_of(reset, addr);
	enum fl__heat_verdict verdict = fl__heat_written(
		heat, bit_get(chunk->open, idx), reset->now, number);

	if (verdict == FL__HEAT_WARM)
		verdict = fl__heat_compared(heat,
					    bytes_differ(reset, area, addr),
					    reset->now, number);
	if (!bit_get(chunk->kept, idx)) {
		bit_set(chunk->kept, idx, true);
		reset->dirty->kept_hpages++;
	}
	bit_set(chunk->open, idx, true);
	bit_set(chunk->hot, idx, verdict == FL__HEAT_HOT);
	if (verdict == FL__HEAT_IDLE) {
		chunk->has_idle = true;
		reset->idle_count++;
	} else if (verdict == FL__HEAT_HOT) {
		reset->hot_count++;
		if (!fl__heat_is_due(chunk->next_end, heat->when))
			chunk->next_end = heat->when;
	}
	return verdict;
}

/* Pages just dropped are protected at once: an empty entry without a mark would
 * be reported as written for ever. */
static int drop_fresh(struct reset *reset, uint64_t start, uint64_t end)
{
	int err = drop(start, end);

	for (uint64_t addr = start; addr < end; addr += reset->hpage_bytes) {
		struct fl__dirty_chunk *chunk = chunk_at(reset, addr);
		uint32_t idx = hpage_in_chunk(reset, addr);

		bit_set(chunk->open, idx, false);
		bit_set(chunk->kept, idx, false);
		reset->dirty->kept_hpages--;
	}
	return err ? err : protect_add(reset, start, end);
}

/* A stretch of pages of one area with one verdict. */
static int settle(struct reset *reset, const struct area *area, uint64_t start,
		  uint64_t end, enum fl__heat_verdict verdict)
{
	if (verdict == FL__HEAT_IDLE)
		return 0;
	if (verdict == FL__HEAT_FRESH && is_worth_dropping(reset, start, end))
		return drop_fresh(reset, start, end);
	restore(area, start, end);
	return 0;
}

static int settle_run(struct reset *reset, const struct area *area,
		      uint64_t start, uint64_t end)
{
	enum fl__heat_verdict verdict = FL__HEAT_IDLE;
	uint64_t at = start;
	int err = 0;

	for (uint64_t addr = start; addr < end && !err;
	     addr += reset->hpage_bytes) {
		enum fl__heat_verdict next = page_judge(reset, area, addr);

		if (next != verdict) {
			err = settle(reset, area, at, addr, verdict);
			at = addr;
		}
		verdict = next;
	}
	return err ? err : settle(reset, area, at, end, verdict);
}

/* Do leases end in this chunk now? Then every hot page of it is looked at, which
 * finds the next end. */
static bool chunk_has_ends(const struct reset *reset,
			   struct fl__dirty_chunk *chunk)
{
	if (!fl__heat_is_due(chunk->next_end, reset->now))
		return chunk->ends_round == reset->now;
	chunk->ends_round = reset->now;
	chunk->next_end = (uint16_t)(reset->now + FL__HEAT_MAX_LEASE);
	return true;
}

/* Where the hot pages from start on end that have nothing to be decided: the
 * steady state. */
static uint64_t hot_end(struct reset *reset, uint64_t start, uint64_t end)
{
	uint64_t addr = start;

	while (addr < end) {
		struct fl__dirty_chunk *chunk = chunk_at(reset, addr);

		if (!bit_get(chunk->hot, hpage_in_chunk(reset, addr)) ||
		    chunk_has_ends(reset, chunk))
			break;
		reset->hot_count++;
		addr += reset->hpage_bytes;
	}
	return addr;
}

static int written_region(struct reset *reset, uint64_t start,
			  uint64_t region_end)
{
	int err = 0;

	while (start < region_end && !err) {
		const struct area *area = area_at(reset, start);
		uint64_t end = fl_min_u64(region_end, area->end);
		uint64_t hot = hot_end(reset, start, end);

		if (hot > start)
			restore(area, start, hot);
		if (end > hot)
			err = settle_run(reset, area, hot, end);
		start = end;
	}
	return err;
}

static void look_ahead(const struct reset *reset, uint64_t addr)
{
	const struct area *area = &reset->areas[reset->area_idx];

	for (uint64_t at = addr; at < addr + AHEAD_BYTES; at += LINE_BYTES)
		__builtin_prefetch((const void *)(uintptr_t)at, 1);
	if (!area->image || addr >= area->end)
		return;
	for (uint64_t at = 0; at < AHEAD_BYTES; at += LINE_BYTES)
		__builtin_prefetch(area->image + (addr - area->start) + at);
}

static int on_written(void *user, const struct fl__kernel_region *regions,
		      size_t count)
{
	struct reset *reset = user;
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		if (count > FEW_REGIONS / 2 && i + 1 < count)
			look_ahead(reset, regions[i + 1].start);
		err = written_region(reset, regions[i].start, regions[i].end);
	}
	return err;
}

/* The first sight of a written page counts for its heat. */
static void heat_begin(struct reset *reset, uint64_t start, uint64_t end,
		       bool is_kept)
{
	for (uint64_t addr = start; addr < end; addr += reset->hpage_bytes) {
		struct fl__dirty_chunk *chunk =
			chunk_find(reset, chunk_of(reset, addr));
		uint32_t idx = hpage_in_chunk(reset, addr);

		if (!chunk || !chunk->heat)
			continue;
		/* More of a marked one has become accessible: counted here;
		 * the pages of others are counted when they are marked. */
		if (chunk->is_marked && is_kept &&
		    !bit_get(chunk->kept, idx)) {
			reset->dirty->kept_hpages++;
			reset->unmarked_kept--;
		}
		bit_set(chunk->kept, idx, is_kept);
		chunk->heat[idx] = (struct fl__heat){
			.when = reset->now,
			.level = 1,
		};
	}
}

static void chunks_touch(struct reset *reset, uint64_t start, uint64_t end)
{
	for (size_t i = chunk_of(reset, start);
	     i <= chunk_of(reset, end - 1); i++) {
		struct fl__dirty_chunk *chunk = chunk_make(reset, i);

		if (chunk)
			chunk->is_touched = true;
	}
	reset->was_touched = true;
}

/* The scan was asked for one area alone. */
static int touched_region(struct reset *reset,
			  const struct fl__kernel_region *region)
{
	const struct area *area = area_at(reset, region->start);
	bool is_dropped;

	if (reset->host->uffd_fd >= 0 && reset->dirty->resets)
		chunks_touch(reset, region->start, region->end);
	if (!fl__scan_is_private(region->categories, area->image != NULL))
		return 0;
	is_dropped = is_worth_dropping(reset, region->start, region->end);
	if (!is_dropped)
		reset->unmarked_kept += (region->end - region->start) >>
					reset->hpage_shift;
	heat_begin(reset, region->start, region->end, !is_dropped);
	if (is_dropped)
		return drop(region->start, region->end);
	restore(area, region->start, region->end);
	return 0;
}

static int on_touched(void *user, const struct fl__kernel_region *regions,
		      size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++)
		err = touched_region(user, &regions[i]);
	return err;
}

static int scan_marked(struct reset *reset, uint64_t start, uint64_t end)
{
	int err = fl__scan(reset->host->pagemap_fd, start, end,
			   reset->host->written_form, &reset->buffer,
			   on_written, reset);

	return err ? err : protect_flush(reset);
}

static int scan_unmarked(struct reset *reset, uint64_t start, uint64_t end)
{
	while (start < end) {
		const struct area *area = area_at(reset, start);
		uint64_t stop = fl_min_u64(end, area->end);
		int err = fl__scan(reset->host->pagemap_fd, start, stop,
				   FL__SCAN_TOUCHED, &reset->buffer,
				   on_touched, reset);

		if (err)
			return err;
		start = stop;
	}
	return 0;
}

/* Has comparing idle pages cost as much as a sweep would? Comparing one takes a
 * tenth of a microsecond, a fault eight times that, the system call and its
 * interrupts up to ten. */
static bool is_sweep_due(const struct reset *reset)
{
	return reset->dirty->idle_cost > 100 + 8 * reset->hot_count;
}

static int sweep_range(const struct reset *reset, uint64_t start, uint64_t end)
{
	const struct fl__dirty_host *host = reset->host;

	if (host->written_form != FL__SCAN_WRITTEN)
		return fl__uffd_protect(host->uffd_fd, start, end - start);
	return fl__scan_protect(host->pagemap_fd, start, end);
}

/* Watch every page again, of all marked chunks or of those with idle pages. */
static int sweep(struct reset *reset, bool is_all)
{
	struct fl__dirty *dirty = reset->dirty;
	uint64_t from = 0, to = 0;
	int err = 0;

	for (size_t i = 0; i < dirty->chunk_count && !err; i++) {
		struct fl__dirty_chunk *chunk = &dirty->chunks[i];
		uint64_t start = fl_max_u64(chunk_addr(reset, i), reset->base);

		if (!chunk->is_marked || !(is_all || chunk->has_idle))
			continue;
		chunk->has_idle = false;
		memset(chunk->open, 0, sizeof(chunk->open));
		memset(chunk->hot, 0, sizeof(chunk->hot));
		if (to != start) {
			err = to ? sweep_range(reset, from, to) : 0;
			from = start;
		}
		to = fl_min_u64(chunk_addr(reset, i + 1), reset->tracked_end);
	}
	dirty->idle_cost = 0;
	return err || !to ? err : sweep_range(reset, from, to);
}

/* Keep nothing: not what is accessible, nor what is hidden behind the border. */
static int drop_all(struct reset *reset)
{
	struct fl__dirty *dirty = reset->dirty;
	int err = drop(reset->base, fl_max_u64(reset->allowed_end,
					       reset->tracked_end));

	for (size_t i = 0; i < dirty->chunk_count; i++)
		memset(dirty->chunks[i].kept, 0, sizeof(dirty->chunks[i].kept));
	dirty->kept_hpages = 0;
	reset->unmarked_kept = 0;
	return err ? err : sweep(reset, true);
}

static uint64_t kept_bytes_of(const struct reset *reset)
{
	return (reset->dirty->kept_hpages + reset->unmarked_kept) *
	       reset->hpage_bytes;
}

static bool chunk_is_marked(const struct reset *reset, size_t chunk_idx)
{
	const struct fl__dirty_chunk *chunk = chunk_find(reset, chunk_idx);

	return chunk && chunk->is_marked;
}

/* Where the stretch of chunks like the one at addr ends, at most at limit. */
static uint64_t stretch_end(const struct reset *reset, uint64_t addr,
			    uint64_t limit)
{
	size_t chunk_idx = chunk_of(reset, addr);
	bool is_marked = chunk_is_marked(reset, chunk_idx);

	do {
		chunk_idx++;
		if (!is_marked && chunk_idx >= reset->dirty->chunk_count)
			return limit;
	} while (chunk_addr(reset, chunk_idx) < limit &&
		 chunk_is_marked(reset, chunk_idx) == is_marked);
	return fl_min_u64(chunk_addr(reset, chunk_idx), limit);
}

static int scan_all(struct reset *reset)
{
	uint64_t tracked_end = fl_min_u64(reset->tracked_end,
					  reset->allowed_end);
	uint64_t addr = reset->base;
	int err = 0;

	while (addr < tracked_end && !err) {
		uint64_t end = stretch_end(reset, addr, tracked_end);

		err = chunk_is_marked(reset, chunk_of(reset, addr))
			      ? scan_marked(reset, addr, end)
			      : scan_unmarked(reset, addr, end);
		addr = end;
	}
	if (!err && addr < reset->allowed_end)
		err = scan_unmarked(reset, addr, reset->allowed_end);
	return err;
}

/* Few unmarked chunks between marked ones are worth marking. */
static void mark_bridges(struct reset *reset)
{
	size_t last = SIZE_MAX, count = reset->dirty->chunk_count;

	for (size_t i = 0; i < count; i++) {
		struct fl__dirty_chunk *chunk = &reset->dirty->chunks[i];

		if (!chunk->is_marked && !chunk->is_touched)
			continue;
		if (last != SIZE_MAX && i - last - 1 <= BRIDGE_CHUNKS) {
			for (size_t j = last + 1; j < i; j++) {
				chunk = chunk_make(reset, j);
				if (chunk)
					chunk->is_touched = true;
			}
		}
		last = i;
	}
}

/*
 * Map the image's pages of a range. An entry that is there is scanned twice as
 * fast as an empty one that is marked, and its first read does not fault. The
 * pages are the page cache's; nothing is copied. A failure costs just that.
 */
static void populate(const struct reset *reset, uint64_t start, uint64_t end)
{
	for (uint32_t i = 0; i < reset->area_count; i++) {
		const struct area *area = &reset->areas[i];
		uint64_t from = fl_max_u64(start, area->start);
		uint64_t to = fl_min_u64(end, area->end);

		if (area->image && from < to)
			(void)madvise((void *)(uintptr_t)from,
				      (size_t)(to - from), MADV_POPULATE_READ);
	}
}

/* What the chunk keeps was counted for this reset alone; now it stays counted. */
static void count_kept(struct reset *reset, const struct fl__dirty_chunk *chunk)
{
	for (size_t i = 0; i < FL_ARRAY_SIZE(chunk->kept); i++) {
		uint64_t kept = (uint64_t)__builtin_popcountll(chunk->kept[i]);

		reset->dirty->kept_hpages += kept;
		reset->unmarked_kept -= kept;
	}
}

/* Also of a chunk that is marked, when more of it has become accessible. */
static void chunk_mark(struct reset *reset, struct fl__dirty_chunk *chunk)
{
	if (!chunk->is_marked)
		count_kept(reset, chunk);
	memset(chunk->open, 0, sizeof(chunk->open));
	memset(chunk->hot, 0, sizeof(chunk->hot));
	chunk->has_idle = false;
	chunk->next_end = (uint16_t)(reset->now + FL__HEAT_MAX_LEASE);
	chunk->ends_round = reset->now;
	chunk->is_marked = true;
}

static int mark_chunks(struct reset *reset)
{
	struct fl__dirty *dirty = reset->dirty;
	int err = 0;

	for (size_t i = 0; i < dirty->chunk_count && !err; i++) {
		uint64_t start = fl_max_u64(chunk_addr(reset, i), reset->base);
		uint64_t end = fl_min_u64(chunk_addr(reset, i + 1),
					  reset->tracked_end);

		if (!dirty->chunks[i].is_touched)
			continue;
		dirty->chunks[i].is_touched = false;
		if (start >= end)
			continue;
		chunk_mark(reset, &dirty->chunks[i]);
		populate(reset, start, fl_min_u64(end, reset->allowed_end));
		err = protect_add(reset, start, end);
	}
	return err ? err : protect_flush(reset);
}

/* Register what is accessible now; the part of a marked chunk that came with
 * it has to be marked too. */
static int track_more(struct reset *reset)
{
	uint64_t start = reset->tracked_end;
	size_t chunk_idx = chunk_of(reset, start);
	int err;

	if (start >= reset->allowed_end)
		return 0;
	err = fl__uffd_register_wp(reset->host->uffd_fd, start,
				   reset->allowed_end - start);
	if (err)
		return err;
	reset->tracked_end = reset->allowed_end;
	reset->dirty->tracked_bytes = reset->tracked_end - reset->base;
	if (!chunk_is_marked(reset, chunk_idx))
		return 0;
	return fl__uffd_protect(reset->host->uffd_fd, start,
				fl_min_u64(chunk_addr(reset, chunk_idx + 1),
					   reset->tracked_end) - start);
}

int fl__dirty_reset(struct fl__dirty *dirty, const struct fl__dirty_host *host,
		    const struct fl__geometry *geometry,
		    const struct fl__slot *slot, uint64_t *kept_bytes)
{
	uint64_t base = (uintptr_t)slot->base;
	struct reset reset;
	int err;

	/* Not the areas: clearing them would cost more than some resets. */
	reset.dirty = dirty;
	reset.host = host;
	reset.slot = slot;
	reset.hpage_bytes = geometry->hpage_bytes;
	reset.hpage_shift = (uint32_t)__builtin_ctzll(geometry->hpage_bytes);
	reset.chunk_hpages_mask = (uint32_t)(FL__CHUNK_BYTES /
					     geometry->hpage_bytes - 1);
	reset.base = base;
	reset.chunk_base = fl_round_down(base, FL__CHUNK_BYTES);
	reset.allowed_end = base + slot->allowed_bytes;
	reset.tracked_end = base + dirty->tracked_bytes;
	reset.now = (uint16_t)dirty->resets;
	reset.was_touched = false;
	reset.hot_count = reset.idle_count = reset.unmarked_kept = 0;
	reset.protect_start = reset.protect_end = 0;
	reset.area_count = reset.area_idx = 0;
	*kept_bytes = 0;
	if (!slot->allowed_bytes)
		return 0;
	reset.buffer.regions = dirty->regions ? dirty->regions : reset.few;
	reset.buffer.count = dirty->regions ? FL__SCAN_MAX_REGIONS
					    : FEW_REGIONS;
	reset.buffer.was_full = false;
	areas_build(&reset);
	err = scan_all(&reset);
	if (!err && reset.was_touched) {
		err = track_more(&reset);
		if (!err) {
			mark_bridges(&reset);
			err = mark_chunks(&reset);
		}
	}
	dirty->idle_cost += reset.idle_count;
	if (!err && is_sweep_due(&reset))
		err = sweep(&reset, false);
	if (!err && kept_bytes_of(&reset) > geometry->max_kept_bytes)
		err = drop_all(&reset);
	*kept_bytes = kept_bytes_of(&reset);
	/* If there is no memory, the next one asks several times again. */
	if (reset.buffer.was_full && !dirty->regions)
		dirty->regions = malloc(FL__SCAN_MAX_REGIONS *
					sizeof(*dirty->regions));
	dirty->resets++;
	return fl__error_fold(err);
}
