/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * segmented.c - the portable backend: copy at attach, compare at reset.
 *
 * Takes geometry and images like any backend; needs nothing of the host but
 * os.h. An image's storage is plain memory. The attach of another image copies
 * the image's data pages. A reset reads all of these pages, and writes what
 * differs. It keeps them, for to give them back and to copy them again costs
 * several times as much. Zeroes are read and kept where most of a stretch is in
 * use, and dropped elsewhere, because a read would map pages that nobody has
 * touched. What the system says of residence decides only which of the two is
 * done: both leave zeroes, whatever the system says.
 *
 * A slot keeps no more than its budget. A slot over it drops everything, and the
 * next attach copies. What tenants grew is not kept either. There is no kernel feature and
 * no state besides the slot's own fields, hence there are no locks.
 */
#include "backend.h"
#include "base/copy.h"

#include <stdlib.h>

#define RUNG "discard"

struct fl__arena {
	struct fl__geometry geometry;
};

static int segmented_open(const char *disabled,
			  const struct fl_context_config *config,
			  struct fl__host **host, struct fl_error *error)
{
	(void)disabled;
	(void)config;
	(void)error;
	*host = NULL;
	return 0;
}

static void segmented_close(struct fl__host *host)
{
	(void)host;
}

static const char *segmented_rung(const struct fl__host *host,
				  const char **reason)
{
	(void)host;
	*reason = "the segmented backend tracks nothing";
	return RUNG;
}

static int segmented_put(void *user, uint64_t off, const void *bytes,
			 uint64_t len)
{
	memcpy((uint8_t *)user + off, bytes, (size_t)len);
	return 0;
}

/* Gaps between extents go back: a 64-bit memory may have much of them. */
static int allow_extents(const struct fl__image_map *map, uint8_t *bytes)
{
	uint64_t first = fl__image_map_first_off(map), end = first;
	int err = 0;

	for (uint32_t i = 0; i < map->extent_count && !err; i++)
		err = fl__os_allow(
			bytes + (map->extents[i].hpage_off * map->hpage_bytes -
				 first),
			map->extents[i].hpage_len * map->hpage_bytes);
	for (uint32_t i = 0; i < map->extent_count && !err; i++) {
		uint64_t off = map->extents[i].hpage_off * map->hpage_bytes;

		if (off > end)
			fl__os_release_part(bytes, end - first, off - end,
					    false);
		end = off + map->extents[i].hpage_len * map->hpage_bytes;
	}
	return err;
}

static int segmented_image_create(struct fl__host *host, struct fl_image *image,
				  const struct fl__segments *segments,
				  struct fl_error *error)
{
	uint64_t span = fl__image_map_span_bytes(&image->map);
	uint8_t *bytes;
	int err;

	(void)host;
	if (!span)
		return 0;
	err = fl__os_reserve(span, image->map.hpage_bytes, &bytes);
	if (!err) {
		/* The module has this content too. */
		fl__os_dump(bytes, span, false);
		err = allow_extents(&image->map, bytes);
		if (err)
			fl__os_release(bytes, span);
	}
	if (err) {
		const char *remedy = fl__os_remedy(err);

		return fl__error_set(
			error, err,
			"cannot get %llu bytes to store an image: %s%s%s",
			fl_llu(span), fl_strerror(err), remedy ? "; " : "",
			remedy ? remedy : "");
	}
	(void)fl__image_map_fill(&image->map, segments, segmented_put, bytes);
	fl__image_map_refine(&image->map, bytes);
	image->bytes = bytes;
	return 0;
}

static void segmented_image_destroy(struct fl_image *image)
{
	const struct fl__image_map *map = &image->map;
	uint64_t first = fl__image_map_first_off(map);

	for (uint32_t i = 0; image->bytes && i < map->extent_count; i++)
		fl__os_release_part(
			(uint8_t *)(uintptr_t)image->bytes,
			map->extents[i].hpage_off * map->hpage_bytes - first,
			map->extents[i].hpage_len * map->hpage_bytes,
			i + 1 == map->extent_count);
}

static int segmented_arena_open(struct fl__host *host,
				const struct fl__geometry *geometry,
				struct fl__arena **arena,
				struct fl_error *error)
{
	(void)host;
	*arena = malloc(sizeof(**arena));
	if (!*arena)
		return fl__error_set(error, -ENOMEM, "no memory for a pool");
	(*arena)->geometry = *geometry;
	return 0;
}

static void segmented_arena_close(struct fl__arena *arena)
{
	free(arena);
}

static void segmented_copy(const struct fl__space *space,
			   const struct fl_image *image)
{
	uint64_t end = fl__image_map_first_off(&image->map) +
		       fl__image_map_span_bytes(&image->map);
	struct fl__piece piece;

	for (uint64_t at = 0; fl__image_map_next_data(&image->map, image->bytes,
						      at, end, &piece);
	     at += piece.len) {
		if (piece.is_data)
			memcpy(space->base + at, piece.bytes,
			       (size_t)piece.len);
	}
}

/* What shows the image reads as zero from now on. */
static int segmented_uncover(struct fl__space *space,
			     const struct fl__geometry *geometry)
{
	const struct fl__image_map *map;
	int err = 0;

	if (!space->image || space->is_blank)
		return 0;
	map = &space->image->map;
	for (uint32_t i = 0; i < map->extent_count && !err; i++) {
		uint8_t *at = space->base +
			      map->extents[i].hpage_off * map->hpage_bytes;
		uint64_t len = map->extents[i].hpage_len * map->hpage_bytes;

		err = fl__os_discard(at, len);
		fl__geometry_zeroes(geometry, at, len);
		fl__space_called(space, 1u + geometry->avoids_huge_pages +
						fl__space_dump_mapped(geometry,
								      at, len));
	}
	return err;
}

static int segmented_attach(struct fl__arena *arena, struct fl__space *space,
			    struct fl_image *image, uint64_t size_bytes)
{
	const struct fl__geometry *geometry = &arena->geometry;
	uint64_t target = fl__geometry_allowed(geometry, size_bytes);
	bool is_shown = space->is_open && !space->is_blank &&
			space->image == image;
	int err = 0;

	fl__space_called(space, !space->is_open && geometry->prefix_bytes);
	if (!space->is_open)
		err = fl__os_allow(space->base - geometry->prefix_bytes,
				   geometry->prefix_bytes);
	else if (!is_shown)
		err = segmented_uncover(space, geometry);
	if (err)
		return err;
	space->is_open = true;
	/* Behind the border nothing is kept: no reset would count it. */
	err = target < space->allowed_bytes ?
		      fl__space_cut(space, geometry, target) :
		      fl__space_move_border(space, geometry, target);
	if (err)
		return err;
	space->attached_bytes = size_bytes;
	space->is_blank = false;
	if (image && !is_shown)
		segmented_copy(space, image);
	return 0;
}

static int segmented_detach(struct fl__arena *arena, struct fl__space *space)
{
	return fl__space_renew(space, &arena->geometry);
}

static int segmented_grow(struct fl__arena *arena, struct fl__space *space,
			  uint64_t size_bytes)
{
	return fl__space_grow(space, &arena->geometry,
			      fl__geometry_allowed(&arena->geometry,
						   size_bytes),
			      space->allowed_bytes);
}

/* Shorter zeroes are read always: to drop them takes a call. */
#define SHORT_BYTES ((uint64_t)64 << 10)
/* Longer ones are judged in stretches. */
#define STRETCH_BYTES ((uint64_t)256 << 10)
/* To read pages again costs about a sixteenth of what it costs to fault in the
 * pages that are used. */
#define READS_A_FAULT 16
/* What lies further behind the beginning of a stretch of zeroes is dropped: to
 * ask what of it is in use would take longer. */
#define LOOK_BYTES ((uint64_t)64 << 20)

/* What fl__os_resident() learns by one call. */
#define ASK_BYTES ((uint64_t)1 << 20)

/* One reset under way. */
struct restore {
	const struct fl__geometry *geometry;
	struct fl__work *work;
	uint64_t limit_bytes, kept_bytes; /* kept: the data from the start */
	bool is_over; /* more than the limit is in use */
	uint8_t *drop_start; /* to be dropped, not yet done */
	uint64_t drop_len;
};

static int drop_flush(struct restore *restore)
{
	uint8_t *at = restore->drop_start;
	uint64_t len = restore->drop_len;
	int err = fl__os_discard(at, len);

	if (!len || err)
		return err;
	fl__geometry_zeroes(restore->geometry, at, len);
	restore->work->calls +=
		1u + restore->geometry->avoids_huge_pages +
		fl__space_dump_mapped(restore->geometry, at, len);
	restore->work->dropped +=
		(uint32_t)(len / restore->geometry->hpage_bytes);
	restore->drop_len = 0;
	return 0;
}

static int drop(struct restore *restore, uint8_t *at, uint64_t len)
{
	int err = 0;

	if (restore->drop_len && restore->drop_start + restore->drop_len != at)
		err = drop_flush(restore);
	if (!restore->drop_len)
		restore->drop_start = at;
	restore->drop_len += err ? 0 : len;
	return err;
}

/* How many pages differed. source: NULL for zeroes. */
static uint64_t bring_back(struct restore *restore, uint8_t *at,
			   const uint8_t *source, uint64_t len)
{
	uint64_t hpage = restore->geometry->hpage_bytes, count = 0;

	for (uint64_t off = 0; off < len; off += hpage)
		count += source ? fl__copy_back(at + off, source + off,
						(size_t)hpage) :
				  fl__copy_zeroes(at + off, (size_t)hpage);
	restore->work->restored += (uint32_t)count;
	restore->work->compared += (uint32_t)count;
	return count;
}

/* At most LOOK_BYTES. */
static int restore_stretch(struct restore *restore, uint8_t *at, uint64_t len)
{
	uint64_t hpages = len / restore->geometry->hpage_bytes;

	restore->work->calls += len >= SHORT_BYTES;
	if (len >= SHORT_BYTES && fl__os_resident(at, len) < len / 8)
		return drop(restore, at, len);
	restore->is_over |= len > restore->limit_bytes - restore->kept_bytes;
	if (restore->is_over)
		return 0;
	/* Hardly anybody wrote there? */
	if (bring_back(restore, at, NULL, len) * READS_A_FAULT < hpages &&
	    len >= SHORT_BYTES)
		return drop(restore, at, len);
	restore->kept_bytes += len;
	return 0;
}

static int restore_zeroes(struct restore *restore, uint8_t *at, uint64_t len)
{
	uint64_t looked = fl_min_u64(len, LOOK_BYTES), done = 0, step;
	int err = 0;

	if (len > STRETCH_BYTES)
		restore->work->calls +=
			(uint32_t)((looked + ASK_BYTES - 1) / ASK_BYTES);
	/* Of few pages it does not matter where they are. */
	if (len > STRETCH_BYTES &&
	    fl__os_resident(at, looked) < STRETCH_BYTES / 8)
		return drop(restore, at, len);
	for (; done < looked && !err && !restore->is_over; done += step) {
		step = fl_min_u64(looked - done, STRETCH_BYTES);
		err = restore_stretch(restore, at + done, step);
	}
	return err || restore->is_over ?
		       err :
		       drop(restore, at + looked, len - looked);
}

/* [0, end) of the slot, of which the image's data is. */
static int restore_shown(struct restore *restore, const struct fl__space *space,
			 uint64_t end)
{
	const struct fl_image *image = space->image;
	struct fl__piece piece;
	int err = 0;

	if (!image)
		return restore_zeroes(restore, space->base, end);
	for (uint64_t at = 0; !err && !restore->is_over &&
			      fl__image_map_next_data(&image->map, image->bytes,
						      at, end, &piece);
	     at += piece.len) {
		if (piece.is_data)
			bring_back(restore, space->base + at, piece.bytes,
				   piece.len);
		else
			err = restore_zeroes(restore, space->base + at,
					     piece.len);
	}
	return err;
}

/* The prefix and [0, end). is_over afterwards: not all is clean. */
static int restore_kept(struct restore *restore, const struct fl__space *space,
			uint64_t end)
{
	uint64_t prefix = restore->geometry->prefix_bytes;
	int err;

	if (space->image)
		restore->kept_bytes = fl__runs_total(&space->image->map.data) *
				      restore->geometry->hpage_bytes;
	restore->is_over = restore->kept_bytes > restore->limit_bytes;
	if (restore->is_over)
		return 0;
	err = restore_zeroes(restore, space->base - prefix, prefix);
	if (!err)
		err = restore_shown(restore, space, end);
	return err ? err : drop_flush(restore);
}

/* Make all that is accessible clean; nothing is kept from end on. */
static int restore_all(struct restore *restore, struct fl__space *space,
		       uint64_t end)
{
	const struct fl__geometry *geometry = restore->geometry;
	uint64_t prefix = geometry->prefix_bytes;
	int err = restore_kept(restore, space, end);

	if (!err && restore->is_over) {
		restore->kept_bytes = 0;
		err = drop(restore, space->base - prefix, prefix + end);
	}
	space->is_blank = restore->is_over;
	if (!err && geometry->is_accessible)
		err = drop(restore, space->base + end,
			   space->allowed_bytes - end);
	return err ? err : drop_flush(restore);
}

static int segmented_reset(struct fl__arena *arena, struct fl__space *space,
			   struct fl__work *work)
{
	const struct fl__geometry *geometry = &arena->geometry;
	uint64_t end =
		fl_round_up(space->attached_bytes, geometry->hpage_bytes);
	struct restore restore = { .geometry = geometry, .work = work };
	int err;

	if (space->is_torn)
		return -EIO;
	err = fl__space_keep_tables(space, geometry);
	if (err)
		return err;
	restore.limit_bytes = geometry->max_kept_bytes - space->kept_bytes;
	err = restore_all(&restore, space, end);
	if (!err && !geometry->is_accessible)
		err = fl__space_cut(space, geometry, end);
	space->kept_bytes += restore.kept_bytes;
	return err;
}

static int segmented_prefault(struct fl__arena *arena, struct fl__space *space,
			      uint64_t offset_bytes, uint64_t length_bytes)
{
	(void)arena;
	fl__os_touch(space->base + offset_bytes, length_bytes);
	return 0;
}

const struct fl__backend fl__backend_segmented = {
	.name = "segmented",
	.rungs = { RUNG },
	.open = segmented_open,
	.close = segmented_close,
	.rung = segmented_rung,
	.image_create = segmented_image_create,
	.image_destroy = segmented_image_destroy,
	.arena_open = segmented_arena_open,
	.arena_close = segmented_arena_close,
	.attach = segmented_attach,
	.detach = segmented_detach,
	.grow = segmented_grow,
	.reset = segmented_reset,
	.prefault = segmented_prefault,
};
