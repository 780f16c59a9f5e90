/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* since.c - telling, noting, watching anew; see since.h. */
#include "since.h"
#include "settle.h"

#define SINCE_REGIONS 128

struct since {
	struct fl__reset reset; /* as of a reset that settles nothing */
	struct fl__area areas[2 * FL__IMAGE_MAX_EXTENTS + 1];
	struct fl__kernel_region regions[SINCE_REGIONS];
	struct fl__work work;
	bool is_marked; /* the stretch that is being scanned */
	bool notes, tells;
	fl__changed_fn *fn;
	void *user;
};

static void since_init(struct since *since, struct fl__dirty *dirty,
		       const struct fl__dirty_host *host,
		       const struct fl__geometry *geometry,
		       const struct fl__space *space, uint64_t size_bytes)
{
	uint64_t base = (uintptr_t)space->base;
	uint64_t size = fl_round_up(size_bytes, geometry->hpage_bytes);

	since->reset = (struct fl__reset){
		.dirty = dirty,
		.host = host,
		.may_split = fl__reset_may_split(geometry),
		.space = space,
		.hpage_bytes = geometry->hpage_bytes,
		.hpage_shift = (uint32_t)__builtin_ctzll(geometry->hpage_bytes),
		.base = base,
		.allowed_end = base + fl_min_u64(size, space->allowed_bytes),
		.tracked_end = base + dirty->tracked_bytes,
		.areas = since->areas,
		.buffer = { .regions = since->regions, .count = SINCE_REGIONS },
		.work = &since->work,
	};
	since->work = (struct fl__work){ .calls = 0 };
	since->is_marked = since->notes = since->tells = false;
	fl__reset_areas(&since->reset);
}

static int note(struct since *since, uint64_t start, uint64_t end)
{
	struct fl__reset *reset = &since->reset;

	for (uint64_t at = start; at < end; at += reset->hpage_bytes) {
		struct fl__dirty_chunk *chunk =
			fl__settle_chunk(reset, fl__reset_chunk_of(reset, at));

		if (!chunk)
			return -ENOMEM;
		fl_bit_set(chunk->noted, fl__reset_hpage_idx(reset, at), true);
		chunk->is_touched |= !since->is_marked;
		reset->was_touched |= !since->is_marked;
	}
	reset->dirty->has_noted = true;
	return 0;
}

static int on_region(void *user, const struct fl__kernel_region *region,
		     size_t count, int step)
{
	struct since *since = user;
	int err = 0;

	for (; count && !err; count--, region += step) {
		if (since->notes)
			err = note(since, region->start, region->end);
		if (!err && since->tells)
			err = since->fn(since->user,
					region->start - since->reset.base,
					region->end - region->start);
	}
	return err;
}

static int scan_marked(struct since *since, uint64_t start, uint64_t end,
		       enum fl__scan_form form)
{
	since->is_marked = true;
	return fl__scan(since->reset.host->pagemap_fd, start, end, form,
			&since->reset.buffer, on_region, since);
}

static int scan_unmarked(struct since *since, uint64_t start, uint64_t end)
{
	struct fl__reset *reset = &since->reset;
	int err = 0;

	since->is_marked = false;
	while (start < end && !err) {
		const struct fl__area *area = fl__reset_area_at(reset, start);
		uint64_t stop = fl_min_u64(end, area->end);

		err = fl__scan(reset->host->pagemap_fd, start, stop,
			       fl__area_is_image(area) ? FL__SCAN_PRIVATE_FILE :
							 FL__SCAN_PRIVATE_ZERO,
			       &reset->buffer, on_region, since);
		start = stop;
	}
	return err;
}

static int scan_all(struct since *since, enum fl__scan_form marked_form)
{
	struct fl__reset *reset = &since->reset;
	uint64_t end;
	int err = 0;

	for (uint64_t at = reset->base; at < reset->allowed_end && !err;
	     at = end) {
		bool is_marked = at < reset->tracked_end &&
				 fl__reset_is_marked(
					 reset, fl__reset_chunk_of(reset, at));

		end = fl__reset_stretch_end(reset, at, is_marked);
		err = is_marked ? scan_marked(since, at, end, marked_form) :
				  scan_unmarked(since, at, end);
	}
	return err;
}

/* Whether the kernel has protected pages that are not noted is not known. To
 * note too many pages costs the reset time and nothing else. */
static void note_all(struct fl__dirty *dirty)
{
	for (size_t i = 0; i < dirty->chunk_count; i++)
		memset(dirty->chunks[i].noted, 0xff,
		       sizeof(dirty->chunks[i].noted));
	dirty->has_noted = true;
}

static void count_calls(const struct since *since, struct fl__space *space)
{
	fl__space_scanned(space, since->work.scans + since->reset.buffer.calls);
	fl__space_called(space, since->work.calls);
}

static void untouch(struct fl__dirty *dirty)
{
	for (size_t i = 0; i < dirty->chunk_count; i++)
		dirty->chunks[i].is_touched = false;
}

/* Noted pages, in order, up to the end of the reset. */
static int tell_noted(struct since *since)
{
	const struct fl__reset *reset = &since->reset;
	int err = 0;

	for (size_t i = 0; i < reset->dirty->chunk_count && !err; i++) {
		const uint64_t *noted = reset->dirty->chunks[i].noted;
		uint64_t chunk = fl__reset_chunk_addr(reset, i);
		size_t idx = 0;

		while (!err &&
		       (idx = fl_bits_next(noted, FL__CHUNK_MAX_HPAGES, idx,
					   true)) < FL__CHUNK_MAX_HPAGES) {
			uint64_t from =
				chunk + ((uint64_t)idx << reset->hpage_shift);
			uint64_t to;

			idx = fl_bits_next(noted, FL__CHUNK_MAX_HPAGES, idx,
					   false);
			to = chunk + ((uint64_t)idx << reset->hpage_shift);
			from = fl_max_u64(from, reset->base);
			to = fl_min_u64(to, reset->allowed_end);
			if (from < to)
				err = since->fn(since->user, from - reset->base,
						to - from);
		}
	}
	return err;
}

int fl__since_tell(struct fl__dirty *dirty, const struct fl__dirty_host *host,
		   const struct fl__geometry *geometry, struct fl__space *space,
		   uint64_t size_bytes, bool is_anew, fl__changed_fn *fn,
		   void *user)
{
	struct since since;
	int err;

	since_init(&since, dirty, host, geometry, space, size_bytes);
	since.fn = fn;
	since.user = user;
	/* What was written before watching anew is noted, and what was written
	 * after is reported: together they are in order only as bits. */
	since.notes = dirty->has_noted && !is_anew;
	since.tells = !since.notes;
	err = scan_all(&since, host->written_form);
	if (since.notes) {
		untouch(dirty);
		err = err ? err : tell_noted(&since);
	}
	count_calls(&since, space);
	return err;
}

/* Kernels whose fast scan misreads entries protect by another call; pages are
 * noted before it. */
static int watch_slowly(struct since *since)
{
	struct fl__reset *reset = &since->reset;
	int err = scan_all(since, reset->host->written_form);

	for (size_t i = 0; i < reset->dirty->chunk_count && !err; i++) {
		uint64_t start = fl__reset_chunk_start(reset, i);
		uint64_t end = fl__reset_chunk_end(reset, i);

		if (reset->dirty->chunks[i].is_marked && start < end)
			err = fl__settle_protect(reset, start, end);
	}
	return err ? err : fl__settle_flush(reset);
}

int fl__since_watch(struct fl__dirty *dirty, const struct fl__dirty_host *host,
		    struct fl__whole *whole,
		    const struct fl__geometry *geometry,
		    struct fl__space *space)
{
	struct since since;
	int err;

	if (host->uffd_fd < 0)
		return -ENOTSUP;
	since_init(&since, dirty, host, geometry, space, space->allowed_bytes);
	since.reset.whole = whole;
	since.reset.must_mark = true;
	since.notes = true;
	err = host->written_form == FL__SCAN_WRITTEN ?
		      scan_all(&since, FL__SCAN_WATCH) :
		      watch_slowly(&since);
	if (!err && since.reset.was_touched)
		err = fl__track_mark(&since.reset);
	if (err) {
		note_all(dirty);
		untouch(dirty);
	}
	count_calls(&since, space);
	return err;
}
