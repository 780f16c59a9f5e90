/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* track.c - scanning and marking; see track.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "track.h"
#include "settle.h"
#include "sweep.h"
#include "uffd/load/lazy.h"
#include "uffd/uffd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Up to so many unmarked chunks between marked ones are marked too: one more
 * scan costs as much as two page tables of marks. */
#define BRIDGE_CHUNKS 2

/* Room on the stack for the runs that one call of a scan reports. A slot that
 * needed more gets room for FL__SCAN_MAX_REGIONS. */
#define FEW_REGIONS 64

/* To fault in and mark a chunk again costs about so many scans of it. */
#define STALE_RESETS 64

void fl__track_forget(struct fl__dirty *dirty)
{
	free(dirty->chunks);
	free(dirty->regions);
	memset(dirty, 0, offsetof(struct fl__dirty, table_bytes));
	__atomic_store_n(&dirty->table_bytes, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&dirty->record_bytes, 0, __ATOMIC_RELAXED);
}

static void chunks_touch(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	for (size_t i = fl__reset_chunk_of(reset, start);
	     i <= fl__reset_chunk_of(reset, end - 1); i++) {
		struct fl__dirty_chunk *chunk = fl__settle_chunk(reset, i);

		if (chunk)
			chunk->is_touched = true;
	}
	reset->was_touched = true;
}

/* A slot that is used once need not be watched: touched chunks are marked from
 * the second release on. Without a mapping to spare they are marked later. */
static bool does_touch_count(const struct fl__reset *reset)
{
	return reset->host->uffd_fd >= 0 &&
	       reset->dirty->resets > reset->dirty->unwatched_until;
}

/* A touched chunk has a page table, and dropping its pages does not free the
 * table. Without memory for the chunk, the table is not counted. */
static void tables_note(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	for (size_t i = fl__reset_chunk_of(reset, start);
	     i <= fl__reset_chunk_of(reset, end - 1); i++) {
		struct fl__dirty_chunk *chunk = fl__settle_chunk(reset, i);

		if (!chunk || chunk->has_table)
			continue;
		chunk->has_table = true;
		reset->dirty->tables++;
	}
}

/* The scan was asked for one area alone. */
static int touched_region(struct fl__reset *reset,
			  const struct fl__kernel_region *region)
{
	const uint64_t large = FL_PAGE_IS_HUGE | FL_PAGE_IS_FILE;
	const struct fl__area *area = fl__reset_area_at(reset, region->start);

	/* 2 MiB of the image in one entry are scanned, and read, faster
	 * unmarked. */
	if ((region->categories & large) != large) {
		tables_note(reset, region->start, region->end);
		if (does_touch_count(reset))
			chunks_touch(reset, region->start, region->end);
	}
	if (!fl__scan_is_private(region->categories, fl__area_is_image(area)))
		return 0;
	return fl__settle_private(reset, area, region->start, region->end);
}

static int on_touched(void *user, const struct fl__kernel_region *region,
		      size_t count, int step)
{
	struct fl__reset *reset = user;
	int err = 0;

	reset->was_told = true;
	for (; count && !err; count--, region += step)
		err = touched_region(reset, region);
	return err;
}

static int scan_marked(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	int err;

	/* What was noted is opened first, and only then told by a scan. Here the
	 * scan that told will do. */
	if (fl_unlikely(reset->taker && !reset->had_noted))
		err = fl__settle_told(reset, start, end);
	else
		err = fl__scan(reset->host->pagemap_fd, start, end,
			       reset->host->written_form, &reset->buffer,
			       fl__settle_written, reset);
	return err ? err : fl__settle_flush(reset);
}

/* A slot of this size can have page tables that are worth counting, also where
 * its tenants only read. */
#define LARGE_BYTES ((uint64_t)128 << 20)

/* Clean pages are asked for only to learn which chunks are in use. */
static enum fl__scan_form unmarked_form(const struct fl__reset *reset,
					const struct fl__area *area)
{
	if (does_touch_count(reset) ||
	    reset->space->allowed_bytes >= LARGE_BYTES)
		return FL__SCAN_TOUCHED;
	return fl__area_is_image(area) ? FL__SCAN_PRIVATE_FILE :
					 FL__SCAN_PRIVATE_ZERO;
}

/* [start, end) is about to be scanned, and its kept pages counted anew. */
static void uncount_range(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	for (uint64_t next; start < end; start = next) {
		struct fl__dirty_chunk *chunk =
			fl__reset_chunk_at(reset, start);
		uint32_t idx = fl__reset_hpage_idx(reset, start);

		if (!chunk)
			break;
		next = fl_min_u64(end, fl_round_down(start, FL__CHUNK_BYTES) +
					       FL__CHUNK_BYTES);
		reset->dirty->kept_hpages -= fl_bits_clear(
			chunk->kept, idx,
			idx + (uint32_t)((next - start) >> reset->hpage_shift));
	}
}

static int scan_unmarked(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	uncount_range(reset, start, end);
	while (start < end) {
		const struct fl__area *area = fl__reset_area_at(reset, start);
		uint64_t stop = fl_min_u64(end, area->end);
		int err = fl__scan(reset->host->pagemap_fd, start, stop,
				   unmarked_form(reset, area), &reset->buffer,
				   on_touched, reset);

		if (err)
			return err;
		start = stop;
	}
	return 0;
}

/* Keep nothing of the slot, neither before the border nor behind it. */
static int drop_all(struct fl__reset *reset)
{
	struct fl__dirty *dirty = reset->dirty;
	int err = fl__settle_drop(reset->base,
				  reset->base + dirty->highest_bytes);

	reset->work->calls++;
	reset->work->dropped += (uint32_t)dirty->kept_hpages;
	for (size_t i = 0; i < dirty->chunk_count; i++)
		dirty->chunks[i] = (struct fl__dirty_chunk){
			.is_marked = dirty->chunks[i].is_marked,
			.has_table = dirty->chunks[i].has_table,
		};
	dirty->sweeps = (struct fl__sweeps){ .swept = 0 };
	dirty->kept_hpages = 0;
	return err ? err : fl__sweep_chunks(reset, true);
}

static uint64_t kept_bytes_of(const struct fl__reset *reset)
{
	return reset->dirty->kept_hpages * reset->hpage_bytes;
}

/* Where a scan of written pages comes beyond what is registered, it reports each
 * page table that is there, and no hole. */
struct tail {
	struct fl__reset *reset;
	uint64_t start; /* of what is not registered */
	uint64_t from, to; /* what was reported of it */
};

static int on_written_or_tail(void *user,
			      const struct fl__kernel_region *region,
			      size_t count, int step)
{
	struct tail *tail = user;
	int err = 0;

	for (; count && !err; count--, region += step) {
		struct fl__kernel_region written = *region;

		if (region->end > tail->start) {
			uint64_t from = fl_max_u64(region->start, tail->start);

			tail->from = fl_min_u64(tail->from, from);
			tail->to = fl_max_u64(tail->to, region->end);
			written.end = tail->start;
		}
		if (written.start < written.end)
			err = fl__settle_written(tail->reset, &written, 1, 1);
	}
	return err;
}

/* A page table that the rest shares with what lies behind is there for others,
 * and has to be scanned twice. That pays where the rest is this long. */
#define LONG_TAIL_BYTES ((uint64_t)256 << 20)

/* Is the rest, from the end of a marked stretch on, nothing that was ever
 * registered? */
static bool ends_in_tail(const struct fl__reset *reset, uint64_t end)
{
	return end == reset->tracked_end && end < reset->allowed_end &&
	       !reset->dirty->has_tail &&
	       (reset->may_split || reset->allowed_end % FL__CHUNK_BYTES == 0 ||
		reset->allowed_end - end > LONG_TAIL_BYTES) &&
	       reset->host->written_form == FL__SCAN_WRITTEN && !reset->taker &&
	       !__atomic_load_n(&reset->whole->is_registered, __ATOMIC_RELAXED);
}

/* A marked stretch and all that lies behind it, which nobody may have touched: one
 * scan for both. What has a page table is asked for its pages. */
static int scan_to_end(struct fl__reset *reset, uint64_t start)
{
	struct tail tail = { reset, reset->tracked_end, UINT64_MAX, 0 };
	int err = fl__scan(reset->host->pagemap_fd, start, reset->allowed_end,
			   FL__SCAN_WRITTEN, &reset->buffer, on_written_or_tail,
			   &tail);

	if (!err)
		err = fl__settle_flush(reset);
	/* What is kept of the rest is counted anew. */
	uncount_range(reset, tail.start, reset->allowed_end);
	reset->dirty->has_tail = tail.to != 0;
	if (!err && tail.to)
		err = scan_unmarked(reset, tail.from, tail.to);
	return err;
}

/* Or the two are scanned apart, as long as something is there: to ask twice for the
 * same pages helps nobody. */
static int scan_tail(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	int err;

	reset->was_told = false;
	err = scan_unmarked(reset, start, end);
	reset->dirty->has_tail = reset->was_told;
	return err;
}

/* A scan goes around runs of open pages: the scan reports each of them whatever was
 * written, which takes as long as thirty entries of others. The runs at the
 * beginning save even where they are short, because no scan more is made for
 * them. Elsewhere runs of two full words and more do. */
#define OPEN_HPAGES_FIRST 8
#define OPEN_HPAGES_NEXT 128

static uint64_t open_end(const struct fl__reset *reset, uint64_t addr,
			 uint64_t end)
{
	uint64_t stop;

	do
		addr = fl__reset_set_end(
			reset, fl__reset_chunk_at(reset, addr)->watch.open,
			addr, end, &stop);
	while (addr == stop && addr < end);
	return addr;
}

/* The next long run of open pages in marked chunks; end if there is none. A page
 * that is open is kept. */
static uint64_t open_next(const struct fl__reset *reset, uint64_t addr,
			  uint64_t end)
{
	const uint64_t word_bytes = 64 * reset->hpage_bytes;

	if (reset->dirty->kept_hpages < OPEN_HPAGES_NEXT)
		return end;
	for (addr = fl_round_up(addr, word_bytes); addr < end;
	     addr += word_bytes) {
		const uint64_t *open =
			fl__reset_chunk_at(reset, addr)->watch.open;
		uint32_t word = fl__reset_hpage_idx(reset, addr) / 64;

		if (word + 1 < FL__CHUNK_WORDS && !~open[word] &&
		    !~open[word + 1])
			return addr;
	}
	return end;
}

static int settle_open(struct fl__reset *reset, uint64_t start, uint64_t end)
{
	struct fl__kernel_region open = { .start = start, .end = end };

	return start < end ? fl__settle_written(reset, &open, 1, 1) : 0;
}

/* A marked stretch, all but what is open for long. *end becomes where the last scan
 * ended. */
static int scan_closed(struct fl__reset *reset, uint64_t start, uint64_t *end)
{
	int err = 0;

	while (start < *end && !err) {
		uint64_t open = open_next(reset, start, *end);

		if (open == *end && ends_in_tail(reset, *end)) {
			*end = reset->allowed_end;
			return scan_to_end(reset, start);
		}
		err = scan_marked(reset, start, open);
		start = open < *end ? open_end(reset, open, *end) : open;
		if (!err)
			err = settle_open(reset, open, start);
	}
	return err;
}

/* Upwards and downwards in turn, as the runs of a scan are settled. */
static int scan_stretch(struct fl__reset *reset, uint64_t start, uint64_t *end)
{
	uint64_t from = open_end(reset, start, *end);
	int err = 0;

	if (from - start < OPEN_HPAGES_FIRST * reset->hpage_bytes)
		from = start;
	if (!reset->buffer.is_downward)
		err = settle_open(reset, start, from);
	if (!err)
		err = scan_closed(reset, from, end);
	if (!err && reset->buffer.is_downward)
		err = settle_open(reset, start, from);
	return err;
}

/* What a marked chunk has beyond the registered part is scanned like an
 * unmarked chunk. */
static int scan_all(struct fl__reset *reset)
{
	uint64_t end;
	int err = 0;

	for (uint64_t addr = reset->base; addr < reset->allowed_end && !err;
	     addr = end) {
		bool is_marked =
			addr < reset->tracked_end &&
			fl__reset_is_marked(reset,
					    fl__reset_chunk_of(reset, addr));

		end = fl__reset_stretch_end(reset, addr, is_marked);
		if (!is_marked)
			err = addr == reset->tracked_end ?
				      scan_tail(reset, addr, end) :
				      scan_unmarked(reset, addr, end);
		else if (fl_unlikely(reset->taker != NULL))
			err = scan_marked(reset, addr, end);
		else
			err = scan_stretch(reset, addr, &end);
	}
	return err;
}

/* A failure is seen when the slot's own range is registered. */
static void register_whole(struct fl__whole *whole, struct fl__work *work)
{
	if (!whole->end ||
	    __atomic_load_n(&whole->is_registered, __ATOMIC_RELAXED))
		return;
	work->calls++;
	if (!fl__uffd_register_wp(whole->uffd_fd, whole->start,
				  whole->end - whole->start))
		__atomic_store_n(&whole->is_registered, true, __ATOMIC_RELAXED);
}

/* So many releases go by before a slot that could not be registered is tried
 * again. */
#define UNWATCHED_RESETS 256

/* No mapping is to be had for a registration: the touched chunks stay unmarked,
 * and their pages are told from clean ones by the page table, as on the rung
 * scan. */
static void go_unwatched(struct fl__reset *reset)
{
	for (size_t i = 0; i < reset->dirty->chunk_count; i++)
		reset->dirty->chunks[i].is_touched = false;
	reset->dirty->unwatched_until = reset->dirty->resets + UNWATCHED_RESETS;
}

/* Where a slot shows a lazy image, missing pages are told of too, and pages that may be
 * wrong yet. To register such a part for less would lose that, and to do so afterwards
 * changes nothing. */
static int register_lazy(const struct fl__reset *reset, uint64_t start,
			 uint64_t end)
{
	const struct fl_image *image = reset->space->image;
	struct fl__piece piece;
	int err = 0;

	if (!reset->space->is_lazy)
		return 0;
	for (uint64_t at = start - reset->base;
	     !err && fl__image_map_next(&image->map, NULL, at,
					end - reset->base, &piece);
	     at += piece.len) {
		if (!piece.is_data)
			continue;
		reset->work->calls++;
		err = fl__uffd_register(reset->host->uffd_fd,
					reset->base + piece.off, piece.len,
					fl__lazy_modes(image) | FL__UFFD_WP);
	}
	return err;
}

/* The end of what is to be registered: what is accessible, or of that the chunks
 * that are touched. */
static uint64_t track_end(const struct fl__reset *reset)
{
	size_t idx = reset->dirty->chunk_count;

	if (!reset->may_split || reset->whole->end || reset->space->is_lazy ||
	    reset->host->written_form != FL__SCAN_WRITTEN)
		return reset->allowed_end;
	while (idx && !reset->dirty->chunks[idx - 1].is_touched)
		idx--;
	return idx ? fl_min_u64(reset->allowed_end,
				fl__reset_chunk_addr(reset, idx)) :
		     reset->base;
}

/* Register what is accessible now. A marked chunk of which that is a part has
 * to be protected once more. */
static int track_more(struct fl__reset *reset)
{
	uint64_t start = reset->tracked_end, end = track_end(reset);
	size_t chunk_idx = fl__reset_chunk_of(reset, start);
	int err;

	if (start >= end)
		return 0;
	register_whole(reset->whole, reset->work);
	err = register_lazy(reset, start, end);
	if (!err) {
		reset->work->calls++;
		err = fl__uffd_register_wp(reset->whole->end ?
						   reset->whole->uffd_fd :
						   reset->host->uffd_fd,
					   start, end - start);
	}
	if (err)
		return err;
	reset->tracked_end = end;
	reset->dirty->tracked_bytes = reset->tracked_end - reset->base;
	if (fl__reset_is_marked(reset, chunk_idx))
		reset->dirty->chunks[chunk_idx].is_touched = true;
	return 0;
}

/* Few unmarked chunks between marked ones are worth marking. */
static void mark_bridges(struct fl__reset *reset)
{
	struct fl__dirty_chunk *chunks = reset->dirty->chunks;
	size_t last = SIZE_MAX;

	for (size_t i = 0; i < reset->dirty->chunk_count; i++) {
		if (!chunks[i].is_marked && !chunks[i].is_touched)
			continue;
		if (last != SIZE_MAX && i - last - 1 <= BRIDGE_CHUNKS) {
			while (++last < i)
				chunks[last].is_touched = true;
		}
		last = i;
	}
}

/*
 * Map the image's pages of a range. A present entry is scanned twice as fast as
 * an empty one that is marked, and its first read does not fault. The pages are
 * the page cache's, and no page is copied. Holes stay holes. After a failure the
 * gain is missing.
 */
static void populate(const struct fl__reset *reset, uint64_t start,
		     uint64_t end)
{
	const struct fl_image *image = reset->space->image;
	const struct fl__image_map *map = image ? &image->map : NULL;
	uint64_t at = start - reset->base;
	struct fl__piece piece;

	/* The kernel would ask the loader for each. */
	if (image && image->lazy && image->lazy->is_continue) {
		reset->work->calls +=
			fl__lazy_show_ahead(image, reset->base, start, end);
		return;
	}
	if (!reset->host->can_populate || !image)
		return;
	/* One call more for each run of data is the price of many holes. Of a
	 * lazy image, what is not loaded would be. */
	for (; image->lazy	? fl__lazy_next(image, at, end - reset->base,
						&piece.off, &piece.len) :
	       image->has_holes ? fl__image_map_next_data(map, NULL, at,
							  end - reset->base,
							  &piece) :
				  fl__image_map_next(map, NULL, at,
						     end - reset->base, &piece);
	     at = piece.off + piece.len) {
		bool is_mapped = image->lazy || piece.is_data;

		reset->work->calls += is_mapped;
		if (is_mapped)
			(void)madvise(
				(void *)(uintptr_t)(reset->base + piece.off),
				(size_t)piece.len, FL_MADV_POPULATE_READ);
	}
}

int fl__track_mark(struct fl__reset *reset)
{
	struct fl__dirty *dirty = reset->dirty;
	int err = track_more(reset);

	if (err == -ENOMEM && !reset->must_mark) {
		go_unwatched(reset);
		return 0;
	}
	if (err)
		return err;
	mark_bridges(reset);
	for (size_t i = 0; i < dirty->chunk_count && !err; i++) {
		uint64_t start = fl__reset_chunk_start(reset, i);
		uint64_t end = fl__reset_chunk_end(reset, i);

		if (!dirty->chunks[i].is_touched || start >= end)
			continue;
		/* Also a marked chunk of which more is accessible now. */
		fl__policy_watch_all(&dirty->chunks[i].watch);
		dirty->chunks[i].is_marked = true;
		tables_note(reset, start, end);
		err = fl__settle_protect(reset, start, end);
	}
	if (!err)
		err = fl__settle_flush(reset);
	/* Protecting splits a large folio's entry and leaves empty ones. */
	for (size_t i = 0; i < dirty->chunk_count; i++) {
		if (!err && dirty->chunks[i].is_touched)
			populate(reset, fl__reset_chunk_start(reset, i),
				 fl__reset_chunk_end(reset, i));
		dirty->chunks[i].is_touched = false;
	}
	return err;
}

/* In an accessible arena: the end of what this tenant had or wrote, and of the
 * chunk in which that lies. Behind it all is zeroes. */
static uint64_t used_end(const struct fl__reset *reset)
{
	uint64_t end = fl_max_u64(reset->base + reset->space->attached_bytes,
				  reset->reported_end);

	return fl_round_up(end, FL__CHUNK_BYTES);
}

/* What goes only when the slot is mapped anew. */
static uint64_t overhead_of(struct fl__reset *reset)
{
	struct fl__dirty *dirty = reset->dirty;
	uint64_t tables = dirty->tables * reset->hpage_bytes;
	uint64_t records = dirty->chunk_count * sizeof(*dirty->chunks);

	__atomic_store_n(&dirty->table_bytes, tables, __ATOMIC_RELAXED);
	__atomic_store_n(&dirty->record_bytes, records, __ATOMIC_RELAXED);
	return fl__overhead_counts(tables + records);
}

/* What is known of the chunks from count on goes. */
static void chunks_shrink(struct fl__dirty *dirty, size_t count)
{
	struct fl__dirty_chunk *kept;

	if (count >= dirty->chunk_count)
		return;
	kept = realloc(dirty->chunks, (count + 1) * sizeof(*kept));
	if (kept)
		dirty->chunks = kept;
	dirty->chunk_count = count;
}

/* Fresh memory behind a border: no page, no mark and no page table is left there
 * to be scanned. */
static int tail_renew(struct fl__reset *reset,
		      const struct fl__geometry *geometry, uint64_t start)
{
	struct fl__dirty *dirty = reset->dirty;
	uint64_t len = reset->tracked_end - start;
	void *at = (void *)(uintptr_t)start;

	if (mmap(at, (size_t)len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
		 0) == MAP_FAILED)
		return -errno;
	fl__geometry_zeroes(geometry, at, len);
	reset->work->calls += 1u + geometry->avoids_huge_pages +
			      fl__space_dump_mapped(geometry, at, len);
	uncount_range(reset, start, reset->tracked_end);
	for (size_t i = fl__reset_chunk_of(reset, start);
	     i < dirty->chunk_count; i++)
		dirty->tables -= dirty->chunks[i].has_table;
	chunks_shrink(dirty, fl__reset_chunk_of(reset, start));
	reset->tracked_end = start;
	dirty->tracked_bytes = start - reset->base;
	/* Or what lies side by side would fall into pieces. */
	if (__atomic_load_n(&reset->whole->is_registered, __ATOMIC_RELAXED)) {
		reset->work->calls++;
		(void)fl__uffd_register_wp(reset->whole->uffd_fd, start, len);
	}
	return 0;
}

/*
 * In an accessible arena, chunks that one tenant touched far beyond its size
 * would be scanned for all later tenants. Marked chunks above the size and above
 * all that is written now are scanned until the scans have cost about what it
 * costs to map and mark these chunks once more. Then they are given back. After
 * a failure the slot goes on as it was.
 */
static void drop_stale(struct fl__reset *reset,
		       const struct fl__geometry *geometry)
{
	struct fl__dirty *dirty = reset->dirty;
	uint64_t start = used_end(reset);

	if (fl__reset_chunk_of(reset, start) >= dirty->chunk_count ||
	    start >= reset->tracked_end) {
		dirty->stale_resets = 0;
		return;
	}
	if (++dirty->stale_resets > STALE_RESETS &&
	    !tail_renew(reset, geometry, start))
		dirty->stale_resets = 0;
}

static int reset_run(struct fl__reset *reset,
		     const struct fl__geometry *geometry)
{
	uint64_t max_kept_bytes = geometry->max_kept_bytes;
	int err = fl_unlikely(reset->dirty->has_noted) ?
			  fl__settle_noted(reset) :
			  0;

	if (!err)
		err = scan_all(reset);
	if (!err && reset->was_touched)
		err = fl__track_mark(reset);
	if (!err)
		err = fl__sweep(reset);
	if (!err && geometry->is_accessible)
		drop_stale(reset, geometry);
	reset->overhead_bytes = overhead_of(reset);
	if (!err && reset->overhead_bytes > max_kept_bytes)
		err = -EAGAIN;
	if (!err &&
	    (reset->is_uncounted || kept_bytes_of(reset) > max_kept_bytes))
		err = drop_all(reset);
	return err;
}

static int reset_slot(struct fl__dirty *dirty,
		      const struct fl__dirty_host *host,
		      struct fl__whole *whole,
		      const struct fl__geometry *geometry,
		      const struct fl__space *space, uint64_t *kept_bytes,
		      struct fl__work *work, struct fl__taker *taker)
{
	uint64_t base = (uintptr_t)space->base;
	struct fl__area areas[2 * FL__IMAGE_MAX_EXTENTS + 1];
	struct fl__kernel_region few[FEW_REGIONS];
	struct fl__reset reset;
	int err;

	/* Field by field: to clear the struct first costs as much as some
	 * resets do. */
	reset.dirty = dirty;
	reset.host = host;
	reset.whole = whole;
	reset.must_mark = false;
	reset.may_split = fl__reset_may_split(geometry);
	reset.taker = taker;
	reset.taken_runs = 0;
	reset.had_noted = dirty->has_noted;
	reset.space = space;
	reset.hpage_bytes = geometry->hpage_bytes;
	reset.hpage_shift = (uint32_t)__builtin_ctzll(geometry->hpage_bytes);
	reset.base = base;
	reset.allowed_end = base + space->allowed_bytes;
	reset.tracked_end = base + dirty->tracked_bytes;
	reset.was_touched = reset.was_told = reset.is_uncounted = false;
	reset.reported_end = reset.quiet_end = 0;
	reset.restored = 0;
	reset.protect_start = reset.protect_end = 0;
	reset.found = (struct fl__found){ .hot = 0 };
	reset.areas = areas;
	reset.area_count = reset.area_idx = 0;
	reset.buffer = (struct fl__scan_buffer){
		.regions = dirty->regions ? dirty->regions : few,
		.count = dirty->regions ? FL__SCAN_MAX_REGIONS : FEW_REGIONS,
		.is_downward = !taker && dirty->resets % 2,
		.is_timed = work->is_timed,
	};
	reset.work = work;
	dirty->highest_bytes =
		fl_max_u64(dirty->highest_bytes, space->allowed_bytes);
	fl__reset_areas(&reset);
	err = reset_run(&reset, geometry);
	*kept_bytes = kept_bytes_of(&reset) + reset.overhead_bytes;
	work->restored += reset.restored;
	work->scans += reset.buffer.calls;
	work->calls += reset.buffer.calls;
	work->scan_ns += reset.buffer.ns;
	/* Without memory, the next scan needs several calls again. */
	if (reset.buffer.was_full && !dirty->regions)
		dirty->regions =
			malloc(FL__SCAN_MAX_REGIONS * sizeof(*dirty->regions));
	dirty->resets++;
	return fl__error_fold(err);
}

int fl__track_reset(struct fl__dirty *dirty, const struct fl__dirty_host *host,
		    struct fl__whole *whole,
		    const struct fl__geometry *geometry,
		    const struct fl__space *space, uint64_t *kept_bytes,
		    struct fl__work *work, struct fl__taker *taker)
{
	/* A structure of no bytes: nothing is there, and nothing ever was. */
	if (!space->allowed_bytes && !dirty->chunk_count) {
		*kept_bytes = 0;
		return 0;
	}
	return reset_slot(dirty, host, whole, geometry, space, kept_bytes, work,
			  taker);
}
