/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * settle.c - what becomes of a page that was written.
 *
 * Takes runs of written pages; gives them back equal to the image. Each page
 * is restored, found unchanged, or, in long runs that were not written lately,
 * dropped. Whether it is watched from then on follows from its heat: see
 * heat.h. A page is protected after it was restored, never before.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "copy.h"
#include "uffd/memfd.h"
#include "reset.h"
#include "uffd/uffd.h"

#include <stdlib.h>
#include <sys/mman.h>

/* A cold run this long is dropped, not restored: if it is written again it
 * is restored the next time, and if not its memory is not kept. */
#define DROP_HPAGES 64

/* Copying begins on lines that the processor has been told of. Its own
 * prefetching stops at the end of each page. */
#define AHEAD_BYTES 512
#define LINE_BYTES 64

/* What is copied at once when a long run is copied from its end. */
#define STEP_BYTES (UINT64_C(32) << 10)

/* Between these sizes comparing with the image is faster than copying blindly.
 * Less stays, with its image, in the smallest cache or nearly; more comes from
 * memory, which bounds both. */
#define COMPARE_MIN_BYTES (UINT64_C(64) << 10)
#define COMPARE_MAX_BYTES (UINT64_C(1) << 20)

int fl__settle_flush(struct fl__reset *reset)
{
	uint64_t start = reset->protect_start;
	uint64_t len = reset->protect_end - start;

	if (!len)
		return 0;
	reset->protect_end = reset->protect_start = 0;
	return fl__uffd_protect(reset->host->uffd_fd, start, len);
}

int fl__settle_protect(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	int err;

	if (reset->protect_end && start == reset->protect_end) {
		reset->protect_end = end;
		return 0;
	}
	err = fl__settle_flush(reset);
	reset->protect_start = start;
	reset->protect_end = end;
	return err;
}

static void copy(const struct fl__reset *reset, const struct fl__area *area,
		 uint64_t start, uint64_t end)
{
	void *at = (void *)(uintptr_t)start;
	size_t len = (size_t)(end - start);
	bool can_compare = reset->host->can_compare;

	if (area->image)
		fl__copy_back(at, area->image + (start - area->start), len,
			      can_compare && reset->is_comparing);
	else
		fl__copy_zeroes(at, len, can_compare);
}

/* [start, end) lies in one area. */
static void restore(const struct fl__reset *reset, const struct fl__area *area,
		    uint64_t start, uint64_t end)
{
	while (reset->is_downward && end - start > STEP_BYTES) {
		copy(reset, area, end - STEP_BYTES, end);
		end -= STEP_BYTES;
	}
	copy(reset, area, start, end);
}

static bool is_worth_dropping(const struct fl__reset *reset, uint64_t start,
			      uint64_t end)
{
	return reset->host->uffd_fd >= 0 &&
	       end - start >= DROP_HPAGES * reset->hpage_bytes;
}

int fl__settle_drop(uint64_t start, uint64_t end)
{
	return madvise((void *)(uintptr_t)start, (size_t)(end - start),
		       MADV_DONTNEED) ?
		       -errno :
		       0;
}

static bool bytes_differ(const struct fl__reset *reset,
			 const struct fl__area *area, uint64_t addr)
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
static struct fl__dirty_chunk *chunk_at(const struct fl__reset *reset,
					uint64_t addr)
{
	return &reset->dirty->chunks[fl__reset_chunk_of(reset, addr)];
}

static enum fl__heat_verdict
page_judge(struct fl__reset *reset, const struct fl__area *area, uint64_t addr)
{
	struct fl__dirty_chunk *chunk = chunk_at(reset, addr);
	uint32_t idx = fl__reset_hpage_idx(reset, addr);
	struct fl__heat *heat = &chunk->heat[idx];
	uint64_t number = fl__reset_hpage_of(reset, addr);
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
static int drop_fresh(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	int err = fl__settle_drop(start, end);

	for (uint64_t addr = start; addr < end; addr += reset->hpage_bytes) {
		struct fl__dirty_chunk *chunk = chunk_at(reset, addr);
		uint32_t idx = fl__reset_hpage_idx(reset, addr);

		bit_set(chunk->open, idx, false);
		bit_set(chunk->kept, idx, false);
		reset->dirty->kept_hpages--;
	}
	return err ? err : fl__settle_protect(reset, start, end);
}

/* A stretch of pages of one area with one verdict. */
static int settle(struct fl__reset *reset, const struct fl__area *area,
		  uint64_t start, uint64_t end, enum fl__heat_verdict verdict)
{
	if (verdict == FL__HEAT_IDLE)
		return 0;
	if (verdict == FL__HEAT_FRESH && is_worth_dropping(reset, start, end))
		return drop_fresh(reset, start, end);
	restore(reset, area, start, end);
	return 0;
}

static int settle_run(struct fl__reset *reset, const struct fl__area *area,
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
static bool chunk_has_ends(const struct fl__reset *reset,
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
static uint64_t hot_end(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	uint64_t addr = start;

	while (addr < end) {
		struct fl__dirty_chunk *chunk = chunk_at(reset, addr);

		if (!bit_get(chunk->hot, fl__reset_hpage_idx(reset, addr)) ||
		    chunk_has_ends(reset, chunk))
			break;
		reset->hot_count++;
		addr += reset->hpage_bytes;
	}
	return addr;
}

static int written_region(struct fl__reset *reset, uint64_t start,
			  uint64_t region_end)
{
	int err = 0;

	while (start < region_end && !err) {
		const struct fl__area *area = fl__reset_area_at(reset, start);
		uint64_t end = fl_min_u64(region_end, area->end);
		uint64_t hot = hot_end(reset, start, end);

		if (hot > start)
			restore(reset, area, start, hot);
		if (end > hot)
			err = settle_run(reset, area, hot, end);
		start = end;
	}
	return err;
}

static void look_ahead(const struct fl__reset *reset, uint64_t addr)
{
	const struct fl__area *area = &reset->areas[reset->area_idx];

	for (uint64_t at = addr; at < addr + AHEAD_BYTES; at += LINE_BYTES)
		__builtin_prefetch((const void *)(uintptr_t)at, 1);
	if (!area->image || addr < area->start || addr >= area->end)
		return;
	for (uint64_t at = 0; at < AHEAD_BYTES; at += LINE_BYTES)
		__builtin_prefetch(area->image + (addr - area->start) + at);
}

void fl__settle_begin(struct fl__reset *reset,
		      const struct fl__kernel_region *regions, size_t count)
{
	uint64_t len = 0;

	for (size_t i = 0; i < count; i++)
		len += regions[i].end - regions[i].start;
	reset->is_comparing = len > COMPARE_MIN_BYTES &&
			      len <= COMPARE_MAX_BYTES;
}

int fl__settle_written(struct fl__reset *reset,
		       const struct fl__kernel_region *regions, size_t count)
{
	bool is_long = count > FL__RESET_REGIONS / 2;
	int err = 0;

	fl__settle_begin(reset, regions, count);
	if (count)
		reset->reported_end =
			fl_max_u64(reset->reported_end, regions[count - 1].end);
	for (size_t i = 0; i < count && !err; i++) {
		const struct fl__kernel_region *region =
			fl__reset_region(reset, regions, count, i);

		if (is_long && i + 1 < count)
			look_ahead(reset, fl__reset_region(reset, regions,
							   count, i + 1)
						  ->start);
		err = written_region(reset, region->start, region->end);
	}
	return err;
}

/* NULL: the chunk was never touched while it could have been marked. */
static struct fl__dirty_chunk *chunk_find(const struct fl__reset *reset,
					  uint64_t addr)
{
	return fl__reset_chunk_of(reset, addr) < reset->dirty->chunk_count ?
		       chunk_at(reset, addr) :
		       NULL;
}

/* The first sight of a written page counts for its heat. */
static void heat_begin(struct fl__reset *reset, uint64_t start, uint64_t end,
		       bool is_kept)
{
	for (uint64_t addr = start; addr < end; addr += reset->hpage_bytes) {
		struct fl__dirty_chunk *chunk = chunk_find(reset, addr);
		uint32_t idx = fl__reset_hpage_idx(reset, addr);

		if (!chunk || !chunk->heat)
			continue;
		/* More of a marked one has become accessible: counted here;
		 * the pages of others are counted when they are marked. */
		if (chunk->is_marked && is_kept && !bit_get(chunk->kept, idx)) {
			reset->dirty->kept_hpages++;
			fl__reset_uncount(reset->dirty,
					  fl__reset_unmarked_idx(reset, addr),
					  1);
		}
		bit_set(chunk->kept, idx, is_kept);
		chunk->heat[idx] = (struct fl__heat){
			.when = reset->now,
			.level = 1,
		};
	}
}

/*
 * May the page's first read map 2 MiB of the image at once? Then making it
 * private ahead takes more than it gives: the reads around it fault one by
 * one.
 */
static bool is_in_large_folio(const struct fl__reset *reset,
			      const struct fl__area *area, uint64_t addr)
{
	return area->image && reset->host->can_collapse &&
	       fl__memfd_is_large(reset->space->image, addr - reset->base);
}

/* A page that was prefilled is private, written or not. To compare a quarter of
 * them each time is enough to find those that are of no use. */
static bool is_unused(const struct fl__reset *reset,
		      const struct fl__area *area, uint64_t addr)
{
	const struct fl__dirty *dirty = reset->dirty;

	return dirty->is_prefilled &&
	       ((addr >> reset->hpage_shift) - dirty->prefill_turn) % 4 == 0 &&
	       !bytes_differ(reset, area, addr);
}

/* Before what the slot's first tenant wrote is restored. */
static void first_note(struct fl__reset *reset, const struct fl__area *area,
		       uint64_t start, uint64_t end)
{
	end = fl_min_u64(end, reset->attached_end);
	for (uint64_t addr = start; addr < end; addr += reset->hpage_bytes) {
		uint64_t hpage = (addr - reset->base) >> reset->hpage_shift;

		if (is_in_large_folio(reset, area, addr) ||
		    is_unused(reset, area, addr))
			continue;
		if (!fl__prefill_add(reset->first, (uint32_t)hpage))
			return;
	}
}

static bool unmarked_make(struct fl__dirty *dirty, size_t count)
{
	uint8_t *grown;

	if (count <= dirty->unmarked_count)
		return true;
	grown = realloc(dirty->unmarked, count * sizeof(*grown));
	if (!grown)
		return false;
	memset(grown + dirty->unmarked_count, 0,
	       (count - dirty->unmarked_count) * sizeof(*grown));
	dirty->unmarked = grown;
	dirty->unmarked_count = count;
	return true;
}

/* The scan has taken what was counted of [start, end) before off the count. */
static void count_unmarked(struct fl__reset *reset, uint64_t start,
			   uint64_t end)
{
	struct fl__dirty *dirty = reset->dirty;

	if (!unmarked_make(dirty, fl__reset_unmarked_idx(reset, end - 1) + 1)) {
		reset->is_uncounted = true;
		return;
	}
	dirty->unmarked_hpages += (end - start) >> reset->hpage_shift;
	for (; start < end; start += reset->hpage_bytes)
		dirty->unmarked[fl__reset_unmarked_idx(reset, start)]++;
}

int fl__settle_private(struct fl__reset *reset, const struct fl__area *area,
		       uint64_t start, uint64_t end)
{
	bool is_dropped = is_worth_dropping(reset, start, end);

	if (reset->first)
		first_note(reset, area, start, end);
	if (!is_dropped)
		count_unmarked(reset, start, end);
	heat_begin(reset, start, end, !is_dropped);
	if (is_dropped)
		return fl__settle_drop(start, end);
	restore(reset, area, start, end);
	return 0;
}
