/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * segmented.c - the portable backend: copy at attach, discard at reset.
 *
 * Takes geometry and images like any backend; needs nothing of the host but
 * os.h. An image's storage is plain memory. Every attach copies the image's
 * data pages, and every reset discards all that was accessible. There is no
 * kernel feature and no state besides the slot's own fields, hence there are no
 * locks.
 */
#include "backend.h"

#include <stdlib.h>

struct fl__arena {
	struct fl__geometry geometry;
};

static int segmented_open(const char *disabled,
			  const struct fl_context_config *config,
			  struct fl__host **host, struct fl_error *error)
{
	const char *rung = config->rung;

	(void)disabled;
	if (rung && strcmp(rung, "discard"))
		return fl__error_set(
			error, -ENOTSUP,
			"the segmented backend has only the rung \"discard\", not \"%s\"",
			rung);
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
	return "discard";
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
		err = fl__os_allow(bytes + (map->extents[i].hpage_off *
						    map->hpage_bytes -
					    first),
				   map->extents[i].hpage_len *
					   map->hpage_bytes);
	for (uint32_t i = 0; i < map->extent_count && !err; i++) {
		uint64_t off = map->extents[i].hpage_off * map->hpage_bytes;

		if (off > end)
			fl__os_release(bytes + (end - first), off - end);
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
	if (err)
		return fl__error_set(error, err,
				     "cannot get %llu bytes to store an image",
				     fl_llu(span));
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
		fl__os_release((uint8_t *)(uintptr_t)image->bytes +
				       (map->extents[i].hpage_off *
						map->hpage_bytes -
					first),
			       map->extents[i].hpage_len * map->hpage_bytes);
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

static int segmented_attach(struct fl__arena *arena, struct fl__space *space,
			    struct fl_image *image, uint64_t size_bytes)
{
	const struct fl__geometry *geometry = &arena->geometry;
	uint64_t target = fl__geometry_allowed(geometry, size_bytes);
	int err = 0;

	if (!space->is_open)
		err = fl__os_allow(space->base - geometry->prefix_bytes,
				   geometry->prefix_bytes);
	if (err)
		return err;
	space->is_open = true;
	err = fl__space_move_border(space, geometry, target);
	if (err)
		return err;
	space->attached_bytes = size_bytes;
	if (image)
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
	return fl__space_grow(
		space, &arena->geometry,
		fl__geometry_allowed(&arena->geometry, size_bytes),
		space->allowed_bytes);
}

static int segmented_reset(struct fl__arena *arena, struct fl__space *space,
			   struct fl__work *work)
{
	const struct fl__geometry *geometry = &arena->geometry;
	int err;

	(void)work;
	if (space->is_torn)
		return -EIO;
	err = fl__os_discard(space->base - geometry->prefix_bytes,
			     geometry->prefix_bytes + space->allowed_bytes);
	if (!err)
		err = fl__space_keep_tables(space, geometry);
	if (err)
		return err;
	fl__space_dump_mapped(geometry, space->base - geometry->prefix_bytes,
			      geometry->prefix_bytes + space->allowed_bytes);
	return fl__space_move_border(
		space, geometry,
		fl__geometry_allowed(geometry, space->attached_bytes));
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
	.clean_shows_image = false,
};
