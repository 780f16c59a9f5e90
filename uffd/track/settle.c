/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* settle.c - restoring, dropping, protecting; see settle.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "settle.h"
#include "base/copy.h"
#include "uffd/load/lazy.h"
#include "uffd/uffd.h"

#include <stdlib.h>
#include <sys/mman.h>

/* A run of pages that were watched until now is dropped, not restored, if it is
 * this long. If a page of the run is written again, it is restored the next
 * time; if not, its memory is not kept. */
#define DROP_HPAGES 64

struct fl__dirty_chunk *fl__settle_chunk(struct fl__reset *reset,
					 size_t chunk_idx)
{
	struct fl__dirty *dirty = reset->dirty;
	size_t count = chunk_idx + 1;

	if (chunk_idx >= dirty->chunk_count) {
		struct fl__dirty_chunk *grown =
			realloc(dirty->chunks, count * sizeof(*grown));

		if (!grown)
			return NULL;
		memset(grown + dirty->chunk_count, 0,
		       (count - dirty->chunk_count) * sizeof(*grown));
		dirty->chunks = grown;
		dirty->chunk_count = count;
	}
	return &dirty->chunks[chunk_idx];
}

int fl__settle_flush(struct fl__reset *reset)
{
	uint64_t start = reset->protect_start;
	uint64_t len = reset->protect_end - start;

	if (!len)
		return 0;
	reset->protect_end = reset->protect_start = 0;
	reset->work->protected += (uint32_t)(len >> reset->hpage_shift);
	reset->work->calls++;
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

/* A lazy image. Nobody cuts its file, and a page that the file has not was never
 * written in the slot, whatever the scan says. */
static int lazy_restore(const struct fl__reset *reset,
			const struct fl__area *area, uint64_t start,
			uint64_t end)
{
	uint64_t step = end - start;

	if (!fl__lazy_bytes(area->file, start - reset->base, step))
		step = reset->hpage_bytes;
	for (; start < end; start += step) {
		const uint8_t *bytes =
			fl__lazy_bytes(area->file, start - reset->base, step);

		if (bytes)
			memcpy((void *)(uintptr_t)start, bytes, (size_t)step);
	}
	return 0;
}

static int lazy_compare(const struct fl__reset *reset,
			const struct fl__area *area, uint64_t addr,
			bool *is_changed)
{
	const uint8_t *bytes = fl__lazy_bytes(area->file, addr - reset->base,
					      reset->hpage_bytes);

	*is_changed = bytes && fl__copy_back((void *)(uintptr_t)addr, bytes,
					     (size_t)reset->hpage_bytes);
	return 0;
}

/*
 * A file in place. Whoever cuts the file takes even private pages away, so the
 * kernel alone reads and writes here: it answers with an error where an access
 * would be a signal.
 */
static int file_restore(const struct fl__reset *reset,
			const struct fl__area *area, uint64_t start,
			uint64_t end)
{
	if (area->file->lazy)
		return lazy_restore(reset, area, start, end);
	reset->work->calls++;
	return fl__image_fetch(area->file, start - reset->base,
			       (void *)(uintptr_t)start, end - start);
}

#define FILE_STEP_BYTES 4096

static int file_compare(const struct fl__reset *reset,
			const struct fl__area *area, uint64_t addr,
			bool *is_changed)
{
	uint8_t here[FILE_STEP_BYTES], there[FILE_STEP_BYTES];
	uint64_t end = addr + reset->hpage_bytes;

	if (area->file->lazy)
		return lazy_compare(reset, area, addr, is_changed);
	*is_changed = false;
	for (uint64_t at = addr; at < end; at += FILE_STEP_BYTES) {
		reset->work->calls += 2;
		if (fl__os_peek(here, (const void *)(uintptr_t)at,
				FILE_STEP_BYTES) ||
		    fl__image_fetch(area->file, at - reset->base, there,
				    FILE_STEP_BYTES))
			return -EIO;
		*is_changed |= memcmp(here, there, FILE_STEP_BYTES) != 0;
	}
	return *is_changed ? file_restore(reset, area, addr, end) : 0;
}

/* Of an image with holes, which a read of the image would make memory of. */
static void restore_pieces(const struct fl__reset *reset,
			   const struct fl__area *area, uint64_t start,
			   uint64_t end)
{
	struct fl__piece piece;

	for (uint64_t off = start - reset->base;
	     fl__image_map_next_data(&reset->space->image->map, NULL, off,
				     end - reset->base, &piece);
	     off += piece.len) {
		uint64_t addr = reset->base + off;
		void *at = (void *)(uintptr_t)addr;

		if (piece.is_data)
			memcpy(at, area->image + (addr - area->start),
			       (size_t)piece.len);
		else
			fl__copy_restore(at, NULL, (size_t)piece.len);
	}
}

/* Does a page of the area show bytes of the image? */
static bool is_stored(const struct fl__reset *reset,
		      const struct fl__area *area, uint64_t addr)
{
	return area->image &&
	       (!fl__reset_has_holes(reset) ||
		fl__runs_overlap(&reset->space->image->map.data,
				 (addr - reset->base) >> reset->hpage_shift,
				 1));
}

static const uint8_t *area_bytes(const struct fl__area *area, uint64_t addr)
{
	return area->image ? area->image + (addr - area->start) : NULL;
}

/* What is about to go. */
static void take(const struct fl__reset *reset, uint64_t start, uint64_t end)
{
	if (fl_unlikely(reset->taker != NULL))
		reset->taker->take(reset->taker, start - reset->base,
				   end - start);
}

/* In one pass over what is there. False: no such pass can be. */
static bool bring_back(const struct fl__reset *reset,
		       const struct fl__area *area, uint64_t start,
		       uint64_t end, bool *is_changed)
{
	if (!reset->taker)
		return false;
	if (fl__reset_has_holes(reset) || area->file) {
		take(reset, start, end);
		return false;
	}
	*is_changed =
		reset->taker->bring_back(reset->taker, start - reset->base,
					 area_bytes(area, start), end - start);
	return true;
}

/* All but an image without holes that nobody takes from. Apart, or that case,
 * which is nearly every case, would save and restore these cases' registers for
 * each page. */
static __attribute__((noinline)) int
restore_other(const struct fl__reset *reset, const struct fl__area *area,
	      uint64_t start, uint64_t end)
{
	bool is_changed;

	if (bring_back(reset, area, start, end, &is_changed))
		return 0;
	if (area->image)
		restore_pieces(reset, area, start, end);
	else if (area->file)
		return file_restore(reset, area, start, end);
	else
		fl__copy_restore((void *)(uintptr_t)start, NULL,
				 (size_t)(end - start));
	return 0;
}

/* Without a question: the range was written. [start, end) lies in one area. */
static int restore(struct fl__reset *reset, const struct fl__area *area,
		   uint64_t start, uint64_t end)
{
	size_t len = (size_t)(end - start);

	reset->restored += (uint32_t)(len >> reset->hpage_shift);
	if (fl_unlikely(area->way != FL__AREA_IMAGE))
		return restore_other(reset, area, start, end);
	fl__copy_restore((void *)(uintptr_t)start,
			 area->image + (start - area->start), len);
	return 0;
}

static __attribute__((noinline)) int
compare_other(const struct fl__reset *reset, const struct fl__area *area,
	      uint64_t addr, bool *is_changed)
{
	size_t len = (size_t)reset->hpage_bytes;
	void *at = (void *)(uintptr_t)addr;

	if (bring_back(reset, area, addr, addr + len, is_changed))
		return 0;
	if (area->file)
		return file_compare(reset, area, addr, is_changed);
	*is_changed = is_stored(reset, area, addr) ?
			      fl__copy_back(at, area_bytes(area, addr), len) :
			      fl__copy_zeroes(at, len);
	return 0;
}

/* Compare one page, and bring it back. */
static int compare(struct fl__reset *reset, const struct fl__area *area,
		   uint64_t addr, bool *is_changed)
{
	size_t len = (size_t)reset->hpage_bytes;
	void *at = (void *)(uintptr_t)addr;

	reset->restored++;
	reset->work->compared++;
	if (area->way == FL__AREA_IMAGE)
		*is_changed = fl__copy_back(
			at, area->image + (addr - area->start), len);
	else if (area->way == FL__AREA_ZEROES)
		*is_changed = fl__copy_zeroes(at, len);
	else
		return compare_other(reset, area, addr, is_changed);
	return 0;
}

static bool is_worth_dropping(const struct fl__reset *reset, uint64_t start,
			      uint64_t end)
{
	return reset->host->uffd_fd >= 0 &&
	       end - start >= DROP_HPAGES * reset->hpage_bytes;
}

int fl__settle_drop(uint64_t start, uint64_t end)
{
	if (start < end && madvise((void *)(uintptr_t)start,
				   (size_t)(end - start), MADV_DONTNEED))
		return -errno;
	return 0;
}

/* A page that was open is compared while it is copied back. */
static int page_compare(struct fl__reset *reset, const struct fl__area *area,
			struct fl__dirty_chunk *chunk, uint64_t addr)
{
	bool is_changed;
	int err = compare(reset, area, addr, &is_changed);

	if (err)
		return err;
	fl__policy_compared(&chunk->watch, fl__reset_hpage_idx(reset, addr),
			    is_changed, &reset->found);
	if (is_changed)
		return 0;
	reset->found.quiet_runs += addr != reset->quiet_end;
	reset->quiet_end = addr + reset->hpage_bytes;
	return 0;
}

static void page_keep(struct fl__reset *reset, struct fl__dirty_chunk *chunk,
		      uint32_t idx)
{
	reset->dirty->kept_hpages += !fl_bit_get(chunk->kept, idx);
	fl_bit_set(chunk->kept, idx, true);
}

/* Pages just dropped are protected at once: an empty entry without a mark would
 * be reported as written for ever. */
static int drop_fresh(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	int err;

	take(reset, start, end);
	err = fl__settle_drop(start, end);
	reset->work->calls++;
	reset->work->dropped += (uint32_t)((end - start) >> reset->hpage_shift);
	for (uint64_t addr = start; addr < end; addr += reset->hpage_bytes) {
		struct fl__dirty_chunk *chunk = fl__reset_chunk_at(reset, addr);
		uint32_t idx = fl__reset_hpage_idx(reset, addr);

		fl__policy_dropped(&chunk->watch, idx);
		fl_bit_set(chunk->kept, idx, false);
		reset->dirty->kept_hpages--;
	}
	return err ? err : fl__settle_protect(reset, start, end);
}

/* Pages that were watched until this tenant wrote them. A long run is dropped,
 * unless its pages were swept or dropped before and have returned. */
static int settle_fresh(struct fl__reset *reset, const struct fl__area *area,
			uint64_t start, uint64_t end, enum fl__report report)
{
	if (start == end)
		return 0;
	if (report == FL__REPORT_FRESH && is_worth_dropping(reset, start, end))
		return drop_fresh(reset, start, end);
	return restore(reset, area, start, end);
}

static int settle_run(struct fl__reset *reset, const struct fl__area *area,
		      uint64_t start, uint64_t end)
{
	enum fl__report last = FL__REPORT_OPEN;
	uint64_t from = start;
	int err = 0;

	for (uint64_t addr = start; addr < end && !err;
	     addr += reset->hpage_bytes) {
		struct fl__dirty_chunk *chunk = fl__reset_chunk_at(reset, addr);
		uint32_t idx = fl__reset_hpage_idx(reset, addr);
		enum fl__report report =
			fl__policy_reported(&chunk->watch, idx, &reset->found);

		page_keep(reset, chunk, idx);
		if (report != last || report == FL__REPORT_OPEN) {
			err = settle_fresh(reset, area, from, addr, last);
			from = addr;
		}
		if (!err && report == FL__REPORT_OPEN) {
			err = page_compare(reset, area, chunk, addr);
			from = addr + reset->hpage_bytes;
		}
		last = report;
	}
	return err ? err : settle_fresh(reset, area, from, end, last);
}

/* The end of the hot pages from start on that are not compared now: the steady
 * state. */
static uint64_t hot_end(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	uint64_t addr = start, stop;

	do {
		size_t chunk_idx = fl__reset_chunk_of(reset, addr);
		const struct fl__dirty *dirty = reset->dirty;

		if (!fl__policy_trusts(dirty->resets, chunk_idx))
			break;
		addr = fl__reset_set_end(reset,
					 dirty->chunks[chunk_idx].watch.hot,
					 addr, end, &stop);
	} while (addr == stop && addr < end);
	reset->found.hot += (addr - start) >> reset->hpage_shift;
	return addr;
}

/* Apart, so that the loop over hot regions keeps its registers. */
static __attribute__((noinline)) int
settle_region(struct fl__reset *reset, const struct fl__kernel_region *region)
{
	uint64_t start = region->start;
	int err = 0;

	while (start < region->end && !err) {
		const struct fl__area *area = fl__reset_area_at(reset, start);
		uint64_t end = fl_min_u64(region->end, area->end);
		uint64_t hot = hot_end(reset, start, end);

		if (hot > start)
			err = restore(reset, area, start, hot);
		if (!err && end > hot)
			err = settle_run(reset, area, hot, end);
		start = end;
	}
	return err;
}

/* A part of a chunk that lies in one area. Regions of it that are hot need no
 * more than a copy. */
struct window {
	uint64_t start, end;
	const uint64_t *hot; /* of the chunk; NULL: look at each region */
	uint64_t chunk; /* its first address */
	const uint8_t *image; /* the bytes that belong at start */
};

static void window_open(struct window *window, struct fl__reset *reset,
			uint64_t addr)
{
	const struct fl__area *area = fl__reset_area_at(reset, addr);
	size_t chunk_idx = fl__reset_chunk_of(reset, addr);
	bool is_plain = area->way == FL__AREA_IMAGE &&
			fl__policy_trusts(reset->dirty->resets, chunk_idx);

	window->chunk = fl_round_down(addr, FL__CHUNK_BYTES);
	window->start = fl_max_u64(area->start, window->chunk);
	window->end = fl_min_u64(area->end, window->chunk + FL__CHUNK_BYTES);
	window->hot = NULL;
	if (!is_plain)
		return;
	window->hot = reset->dirty->chunks[chunk_idx].watch.hot;
	window->image = area->image + (window->start - area->start);
}

/* False: not all of the region is hot and within the window. */
static inline bool window_restore(const struct window *window,
				  uint32_t hpage_shift,
				  const struct fl__kernel_region *region)
{
	size_t from = (size_t)((region->start - window->chunk) >> hpage_shift);
	size_t to = (size_t)((region->end - window->chunk) >> hpage_shift);

	if (!window->hot || region->end > window->end ||
	    fl_bits_next(window->hot, to, from, false) < to)
		return false;
	fl__copy_restore((void *)(uintptr_t)region->start,
			 window->image + (region->start - window->start),
			 (size_t)(region->end - region->start));
	return true;
}

int fl__settle_written(void *user, const struct fl__kernel_region *region,
		       size_t count, int step)
{
	struct fl__reset *reset = user;
	struct window window = { .end = 0 };
	uint64_t hot_bytes = 0;
	int err = 0;

	for (; count && !err; count--, region += step) {
		reset->reported_end =
			fl_max_u64(reset->reported_end, region->end);
		if (region->start < window.start || region->start >= window.end)
			window_open(&window, reset, region->start);
		if (window_restore(&window, reset->hpage_shift, region))
			hot_bytes += region->end - region->start;
		else
			err = settle_region(reset, region);
	}
	reset->found.hot += hot_bytes >> reset->hpage_shift;
	reset->restored += (uint32_t)(hot_bytes >> reset->hpage_shift);
	return err;
}

int fl__settle_told(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	const struct fl__taker *taker = reset->taker;
	int err = 0;

	for (; reset->taken_runs < taker->run_count && !err;
	     reset->taken_runs++) {
		const struct fl_memory_run *run =
			&taker->runs[reset->taken_runs];
		uint64_t from = reset->base + run->offset_bytes;
		struct fl__kernel_region region = {
			.start = fl_max_u64(start, from),
			.end = fl_min_u64(end, from + run->length_bytes),
		};

		if (from >= end)
			break;
		if (region.start < region.end)
			err = fl__settle_written(reset, &region, 1, 1);
		/* The rest of the run is of another stretch. */
		if (from + run->length_bytes > end)
			break;
	}
	return err;
}

/* Count [start, end) as kept; the scan has cleared the kept bits there. */
static void keep_private(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	for (; start < end; start += reset->hpage_bytes) {
		struct fl__dirty_chunk *chunk = fl__settle_chunk(
			reset, fl__reset_chunk_of(reset, start));

		if (chunk)
			page_keep(reset, chunk,
				  fl__reset_hpage_idx(reset, start));
		else
			reset->is_uncounted = true;
	}
}

int fl__settle_private(struct fl__reset *reset, const struct fl__area *area,
		       uint64_t start, uint64_t end)
{
	if (is_worth_dropping(reset, start, end)) {
		reset->work->dropped +=
			(uint32_t)((end - start) >> reset->hpage_shift);
		reset->work->calls++;
		take(reset, start, end);
		return fl__settle_drop(start, end);
	}
	keep_private(reset, start, end);
	return restore(reset, area, start, end);
}

/* Only a marked chunk has a page that was protected, and only where it is
 * registered: elsewhere the page table tells which pages are private. */
static int open_chunk(const struct fl__reset *reset, size_t chunk_idx)
{
	uint64_t *noted = reset->dirty->chunks[chunk_idx].noted;
	uint64_t addr = fl__reset_chunk_addr(reset, chunk_idx);
	uint64_t limit = fl__reset_chunk_end(reset, chunk_idx);
	size_t idx = 0, end;
	int err = 0;

	while (!err && (idx = fl_bits_next(noted, FL__CHUNK_MAX_HPAGES, idx,
					   true)) < FL__CHUNK_MAX_HPAGES) {
		uint64_t from = addr + ((uint64_t)idx << reset->hpage_shift);

		end = fl_bits_next(noted, FL__CHUNK_MAX_HPAGES, idx, false);
		reset->work->calls += from < limit;
		if (from < limit)
			err = fl__uffd_unprotect(
				reset->host->uffd_fd, from,
				fl_min_u64(limit,
					   addr + ((uint64_t)end
						   << reset->hpage_shift)) -
					from);
		idx = end;
	}
	return err;
}

int fl__settle_noted(struct fl__reset *reset)
{
	struct fl__dirty *dirty = reset->dirty;
	int err = 0;

	for (size_t i = 0; i < dirty->chunk_count && !err; i++) {
		if (dirty->chunks[i].is_marked)
			err = open_chunk(reset, i);
		memset(dirty->chunks[i].noted, 0,
		       sizeof(dirty->chunks[i].noted));
	}
	dirty->has_noted = false;
	return err;
}
