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

/* Protecting over so many pages that are protected already costs less than
 * another system call. */
#define BRIDGE_HPAGES	64

/* Unmarked chunks between marked ones are marked too when there are so few of
 * them: a scan more costs as much as two page tables of marks. */
#define BRIDGE_CHUNKS	2

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
	/* To be protected, not yet done. */
	uint64_t protect_start, protect_end;
	struct area areas[2 * FL__IMAGE_MAX_EXTENTS + 1];
	uint32_t area_count;
	uint32_t area_idx;		/* where the scan is */
};

void fl__dirty_forget(struct fl__dirty *dirty)
{
	for (size_t i = 0; i < dirty->chunk_count; i++)
		dirty->chunks[i].is_marked = false;
	dirty->tracked_bytes = 0;
	dirty->resets = 0;
}

void fl__dirty_fini(struct fl__dirty *dirty)
{
	for (size_t i = 0; i < dirty->chunk_count; i++)
		free(dirty->chunks[i].heat);
	free(dirty->chunks);
	*dirty = (struct fl__dirty){ 0 };
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
		chunk->heat = calloc((size_t)(FL__CHUNK_BYTES /
					      reset->hpage_bytes),
				     sizeof(*chunk->heat));
	return chunk->heat ? chunk : NULL;
}

/* The host page's number, counted from chunk 0. */
static uint64_t hpage_of(const struct reset *reset, uint64_t addr)
{
	return (addr - reset->chunk_base) >> reset->hpage_shift;
}

/* Of a page whose chunk has heat: every marked one. */
static struct fl__heat *heat_of(const struct reset *reset, uint64_t addr)
{
	return &reset->dirty->chunks[chunk_of(reset, addr)]
			.heat[hpage_of(reset, addr) & reset->chunk_hpages_mask];
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

/* Between the run that is pending and this one lie no open pages: an open page
 * in between would have flushed. */
static int protect_add(struct reset *reset, uint64_t start, uint64_t end)
{
	int err;

	if (reset->protect_end && start >= reset->protect_end &&
	    start - reset->protect_end <=
		    BRIDGE_HPAGES * reset->hpage_bytes) {
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
static int restore(const struct reset *reset, const struct area *area,
		   uint64_t start, uint64_t end, bool is_cold)
{
	void *at = (void *)(uintptr_t)start;
	size_t len = (size_t)(end - start);

	if (is_cold && len >= DROP_HPAGES * reset->hpage_bytes)
		return madvise(at, len, MADV_DONTNEED) ? -errno : 0;
	if (area->image)
		memcpy(at, area->image + (start - area->start), len);
	else
		memset(at, 0, len);
	return 0;
}

/* A stretch of pages of one marked chunk and one area, all to be left open or
 * all to be protected. */
static int settle(struct reset *reset, const struct area *area,
		  uint64_t start, uint64_t end, bool is_open)
{
	int err = restore(reset, area, start, end, !is_open);

	if (err)
		return err;
	if (!is_open)
		return protect_add(reset, start, end);
	return protect_flush(reset);
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

static bool page_stays_open(struct reset *reset, const struct area *area,
			    uint64_t addr)
{
	uint64_t idx = hpage_of(reset, addr);
	struct fl__heat *heat = heat_of(reset, addr);
	enum fl__heat_verdict verdict = fl__heat_written(heat, reset->now, idx);

	if (verdict == FL__HEAT_COMPARE)
		verdict = fl__heat_compared(heat,
					    bytes_differ(reset, area, addr),
					    idx);
	return verdict == FL__HEAT_OPEN;
}

static int settle_run(struct reset *reset, const struct area *area,
		      uint64_t start, uint64_t end)
{
	uint64_t at = start;
	bool is_open = false;
	int err = 0;

	for (uint64_t addr = start; addr < end && !err;
	     addr += reset->hpage_bytes) {
		bool next = page_stays_open(reset, area, addr);

		if (addr > start && next != is_open) {
			err = settle(reset, area, at, addr, is_open);
			at = addr;
		}
		is_open = next;
	}
	return err ? err : settle(reset, area, at, end, is_open);
}

/* Where the pages from start on end whose lease goes on after this release: the
 * steady state, in which nothing is to be decided. */
static uint64_t open_end(const struct reset *reset, uint64_t start,
			 uint64_t end)
{
	uint64_t addr = start;

	for (; addr < end; addr += reset->hpage_bytes) {
		struct fl__heat *heat = heat_of(reset, addr);

		if (!fl__heat_stays_open(heat))
			break;
	}
	return addr;
}

static int on_written(void *user, const struct fl__kernel_region *region)
{
	struct reset *reset = user;
	uint64_t start = region->start;
	int err = 0;

	while (start < region->end && !err) {
		const struct area *area = area_at(reset, start);
		uint64_t end = fl_min_u64(region->end, area->end);
		uint64_t open = open_end(reset, start, end);

		if (open > start)
			err = settle(reset, area, start, open, true);
		if (!err && end > open)
			err = settle_run(reset, area, open, end);
		start = end;
	}
	return err;
}

/* The first sight of a written page counts for its heat. */
static void heat_begin(struct reset *reset, uint64_t start, uint64_t end)
{
	for (uint64_t addr = start; addr < end; addr += reset->hpage_bytes) {
		struct fl__dirty_chunk *chunk =
			chunk_find(reset, chunk_of(reset, addr));

		if (chunk && chunk->heat)
			*heat_of(reset, addr) = (struct fl__heat){
				.last = reset->now,
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
static int on_touched(void *user, const struct fl__kernel_region *region)
{
	struct reset *reset = user;
	const struct area *area = area_at(reset, region->start);

	if (reset->host->uffd_fd >= 0 && reset->dirty->resets)
		chunks_touch(reset, region->start, region->end);
	if (!fl__scan_is_private(region->categories, area->image != NULL))
		return 0;
	heat_begin(reset, region->start, region->end);
	/* Without tracking every private page is copied back for ever; at
	 * least let it not fault as well. */
	return restore(reset, area, region->start, region->end,
		       reset->host->uffd_fd >= 0);
}

static int scan_marked(struct reset *reset, uint64_t start, uint64_t end)
{
	int err = fl__scan(reset->host->pagemap_fd, start, end,
			   reset->host->written_form, on_written, reset);

	return err ? err : protect_flush(reset);
}

static int scan_unmarked(struct reset *reset, uint64_t start, uint64_t end)
{
	while (start < end) {
		const struct area *area = area_at(reset, start);
		uint64_t stop = fl_min_u64(end, area->end);
		int err = fl__scan(reset->host->pagemap_fd, start, stop,
				   FL__SCAN_TOUCHED, on_touched, reset);

		if (err)
			return err;
		start = stop;
	}
	return 0;
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
		dirty->chunks[i].is_marked = true;
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
		    const struct fl__slot *slot)
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
	reset.protect_start = reset.protect_end = 0;
	reset.area_count = reset.area_idx = 0;
	if (!slot->allowed_bytes)
		return 0;
	areas_build(&reset);
	err = scan_all(&reset);
	if (!err && reset.was_touched) {
		err = track_more(&reset);
		if (!err) {
			mark_bridges(&reset);
			err = mark_chunks(&reset);
		}
	}
	dirty->resets++;
	return fl__error_fold(err);
}
