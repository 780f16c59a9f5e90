/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* ask.c - what page tables and tracking say of a slot; see ask.h. */
#include "ask.h"
#include "uffd/track/since.h"

static void account_region(struct fl_pool_usage *usage,
			   const struct fl__kernel_region *region)
{
	uint64_t len = region->end - region->start;
	uint64_t written = region->categories & FL_PAGE_IS_WRITTEN ? len : 0;

	/* The zero page belongs to no slot. */
	if (region->categories & FL_PAGE_IS_PFNZERO)
		return;
	/* The kernel reports an empty entry with a mark as swapped, like a
	 * swapped page with a mark. An entry without a mark is a page. */
	if (region->categories & FL_PAGE_IS_SWAPPED) {
		usage->swapped_bytes += written;
	} else if (region->categories & FL_PAGE_IS_FILE) {
		usage->shared_bytes += len;
		return;
	} else {
		usage->private_bytes += len;
	}
	usage->dirty_bytes += written;
}

static int on_account(void *user, const struct fl__kernel_region *region,
		      size_t count, int step)
{
	for (; count; count--, region += step)
		account_region(user, region);
	return 0;
}

/* A rung that does not scan says nothing of its slots. */
bool fl__ask_accounts(const struct fl__host *host)
{
	return host->rung != FL__RUNG_DONTNEED;
}

int fl__ask_account(const struct fl__arena *arena,
		    const struct fl__space *space, struct fl_pool_usage *usage)
{
	const struct fl__geometry *geometry = &arena->geometry;
	struct fl__kernel_region regions[64];
	struct fl__scan_buffer buffer = { .regions = regions, .count = 64 };
	const struct fl__dirty *dirty = &arena->dirty[space->idx];
	uint64_t base = (uintptr_t)space->base;

	if (!fl__ask_accounts(arena->host))
		return -ENOTSUP;
	usage->table_bytes +=
		__atomic_load_n(&dirty->table_bytes, __ATOMIC_RELAXED);
	usage->record_bytes +=
		__atomic_load_n(&dirty->record_bytes, __ATOMIC_RELAXED);
	return fl__error_fold(fl__scan(
		fl__arena_shard(arena, space)->pagemap_fd,
		base - geometry->prefix_bytes, base + geometry->max_bytes,
		FL__SCAN_ACCOUNT, &buffer, on_account, usage));
}

struct changed {
	fl__changed_fn *fn;
	void *user;
	uint64_t base;
	uint32_t scans;
};

static int on_changed(void *user, const struct fl__kernel_region *region,
		      size_t count, int step)
{
	const struct changed *changed = user;
	int err = 0;

	for (; count && !err; count--, region += step)
		err = changed->fn(changed->user, region->start - changed->base,
				  region->end - region->start);
	return err;
}

/* In a hole of the image an empty entry that is watched looks like a swapped
 * page. What is watched was not written, and to read it would make memory of the
 * hole. */
static int on_changed_in_holes(void *user,
			       const struct fl__kernel_region *region,
			       size_t count, int step)
{
	int err = 0;

	for (; count && !err; count--, region += step) {
		uint64_t is = region->categories;

		if ((is & FL_PAGE_IS_SWAPPED && !(is & FL_PAGE_IS_WRITTEN)) ||
		    !fl__scan_is_private(is, true))
			continue;
		err = on_changed(user, region, 1, step);
	}
	return err;
}

/* The private pages of a piece, by the best call that the host has. */
static int piece_changed(const struct fl__arena *arena, int pagemap_fd,
			 const struct fl__piece *piece, bool has_holes,
			 struct changed *changed)
{
	struct fl__kernel_region regions[64];
	struct fl__scan_buffer buffer = { .regions = regions, .count = 64 };
	uint64_t start = changed->base + piece->off;
	int err;

	if (!fl__probe_has(&arena->host->probe, FL__FEATURE_PAGEMAP_SCAN))
		return fl__scan_reads_private(pagemap_fd, start,
					      start + piece->len,
					      arena->geometry.hpage_bytes,
					      on_changed, changed);
	if (has_holes && piece->is_data)
		err = fl__scan(pagemap_fd, start, start + piece->len,
			       FL__SCAN_ACCOUNT, &buffer, on_changed_in_holes,
			       changed);
	else
		err = fl__scan(pagemap_fd, start, start + piece->len,
			       piece->is_data ? FL__SCAN_PRIVATE_FILE :
						FL__SCAN_PRIVATE_ZERO,
			       &buffer, on_changed, changed);
	changed->scans += buffer.calls;
	return err;
}

/* -ENOTSUP when nobody can tell. */
static int slot_changed(const struct fl__arena *arena,
			const struct fl__space *space, uint64_t size_bytes,
			struct changed *changed)
{
	fl__os_no_cancel();
	const struct fl_image *image = space->image;
	const struct fl__image_map *map = image ? &image->map : NULL;
	const uint8_t *bytes = image ? image->bytes : NULL;
	uint64_t end = fl_round_up(size_bytes, arena->geometry.hpage_bytes);
	int pagemap_fd = fl__arena_shard(arena, space)->pagemap_fd, err = 0;
	struct fl__piece piece;

	if (pagemap_fd < 0)
		return -ENOTSUP;
	for (uint64_t at = 0;
	     !err && fl__image_map_next(map, bytes, at, end, &piece);
	     at += piece.len)
		err = piece_changed(arena, pagemap_fd, &piece,
				    image && image->has_holes, changed);
	return fl__error_fold(err);
}

/*
 * A page that is still the file's, or nothing at all, is as it was attached.
 * This holds whatever the rung tracks. To call more pages changed would cost
 * memory: who reads a hole of the file through a mapping makes a page of it.
 */
int fl__ask_changed(const struct fl__arena *arena,
		    const struct fl__space *space, uint64_t size_bytes,
		    fl__changed_fn *fn, void *user)
{
	uint64_t end = fl_round_up(size_bytes, arena->geometry.hpage_bytes);
	struct changed changed = { fn, user, (uintptr_t)space->base, 0 };
	int err = slot_changed(arena, space, size_bytes, &changed);

	return err != -ENOTSUP ? err : end ? fn(user, 0, end) : 0;
}

int fl__ask_written(struct fl__arena *arena, struct fl__space *space,
		    uint64_t size_bytes, bool is_anew, fl__changed_fn *fn,
		    void *user)
{
	struct fl__dirty_host room;
	const struct fl__dirty_host *shard =
		fl__arena_tracker(arena, space, &room);
	struct changed changed = { fn, user, (uintptr_t)space->base, 0 };
	int err;

	/* Nothing is known of a slot that is never reset, nor on a rung that
	 * does not scan. */
	if (arena->host->rung == FL__RUNG_DONTNEED ||
	    arena->geometry.is_single_use) {
		err = slot_changed(arena, space, size_bytes, &changed);
		fl__space_scanned(space, changed.scans);
		return err;
	}
	return fl__error_fold(fl__since_tell(&arena->dirty[space->idx], shard,
					     &arena->geometry, space,
					     size_bytes, is_anew, fn, user));
}

bool fl__ask_is_touched(const struct fl__arena *arena,
			const struct fl__space *space, uint64_t offset_bytes,
			uint64_t length_bytes, bool is_swapless)
{
	fl__os_no_cancel();
	int pagemap_fd = fl__arena_shard(arena, space)->pagemap_fd;
	uint64_t start = (uintptr_t)space->base + offset_bytes;

	return pagemap_fd < 0 ||
	       fl__scan_reads_touched(pagemap_fd, start, start + length_bytes,
				      arena->geometry.hpage_bytes, is_swapless);
}
