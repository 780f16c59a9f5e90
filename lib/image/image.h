/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * image.h - a memory's initial content: what is where, no storage.
 *
 * Takes segments in order, gives an image map: which host pages hold
 * a byte that is not zero, and the few extents worth mapping. Zero pages
 * before the first extent, after the last, and in long runs between cost
 * nothing, now or later. Shorter ones inside an extent are holes of the
 * storage.
 *
 * Two passes, both pure. Planning reads the segments and decides; filling
 * writes each byte once, to where the storage wants it. Between them the
 * backend makes the storage. An image map knows where data is and no storage;
 * module/store.c and the backend know storage and not what is in it. So all
 * backends have the same image, and the plan is tested without any.
 *
 * Offsets in the storage are offsets in the memory, so that both are congruent
 * modulo any large page. A file then has a hole before the first data page,
 * which costs nothing.
 *
 * At most four extents: each costs two mappings, and nearly every real module
 * needs one extent. A zero run of less than 256 KiB is not worth an extent.
 *
 * A map is immutable after filling.
 */
#ifndef FL_IMAGE_H
#define FL_IMAGE_H

#include "base/error.h"
#include "base/run.h"

/* Mappings one attached image may take, and the zero run that is worth one. */
#define FL__IMAGE_MAX_EXTENTS	4
#define FL__IMAGE_MIN_GAP_BYTES	(4 * FL_WPAGE_BYTES)

/* So few zeroes below the data belong to the first extent: they are no mapping of
 * their own then. That is a stack of the size that linkers give. */
#define FL__IMAGE_MAX_LEAD_BYTES FL_WPAGE_BYTES

/* So few zeroes within extents count as storage. */
#define FL__IMAGE_FEW_HOLE_BYTES (4 * FL_WPAGE_BYTES)

/* Where the last data byte may lie. Keeps every sum of offsets far from
 * overflow, and a sparse image mappable. */
#define FL__IMAGE_MAX_END_BYTES	((uint64_t)1 << 40)

/* Segments in order. get() writes segment idx, or says that instantiation traps
 * before it, or that it cannot be known; only of that it fills in error, which
 * may be NULL. */
enum fl__segment_status {
	FL__SEGMENT_OURS = 0,
	FL__SEGMENT_TRAP = 1,
	FL__SEGMENT_UNKNOWN = 2,
};

struct fl__segments {
	size_t count;
	const void *owner;
	enum fl__segment_status (*get)(const struct fl__segments *segments,
				       size_t idx, struct fl_segment *segment,
				       struct fl_error *error);
};

struct fl__image_map {
	uint64_t initial_bytes;
	uint64_t hpage_bytes;
	uint64_t data_first_bytes;	/* lowest byte written by a segment */
	uint64_t data_end_bytes;	/* highest + 1; 0: no data */
	struct fl__runs data;		/* host pages with a non-zero byte */
	struct fl__run extents[FL__IMAGE_MAX_EXTENTS];
	uint32_t extent_count;
	enum fl_trap trap;
	size_t trap_segment_idx;
	bool is_overlapping;		/* a segment may have written over one */
};

/* Which extents are worth mapping, for data in units of unit_bytes: how many, at
 * most FL__IMAGE_MAX_EXTENTS. Image files are cut by the same rule, and their
 * digests go by the cuts (toc.h). */
uint32_t fl__image_cut(const struct fl__runs *data, uint64_t unit_bytes,
		       struct fl__run *extents);

/* -EINVAL when a segment is FL__SEGMENT_UNKNOWN, -E2BIG, -ENOMEM. The map is valid
 * (and to be finished by fini) only on success. */
int fl__image_map_plan(struct fl__image_map *map,
		       const struct fl__segments *segments,
		       uint64_t initial_bytes, uint64_t hpage_bytes,
		       struct fl_error *error);

/* Writes bytes to storage, off bytes behind the first byte of the first extent.
 * What it returns, if not 0, ends the filling. */
typedef int fl__image_put_fn(void *user, uint64_t off, const void *bytes,
			     uint64_t len);

/* Write the segments to storage that is zero, in order, in as few stretches as
 * data allows. Writes within data only. */
int fl__image_map_fill(const struct fl__image_map *map,
		       const struct fl__segments *segments,
		       fl__image_put_fn *put, void *user);

/* After filling: data that a later segment has made zero again is no data. In
 * storage byte b of the memory is storage[b - first byte of the first extent]. */
void fl__image_map_refine(struct fl__image_map *map, const uint8_t *storage);

void fl__image_map_fini(struct fl__image_map *map);

/* The first byte of the first extent, and the bytes to the end of the last; 0
 * when there is none. */
uint64_t fl__image_map_first_off(const struct fl__image_map *map);
uint64_t fl__image_map_span_bytes(const struct fl__image_map *map);

/* The bytes of the extents alone. */
uint64_t fl__image_map_extent_bytes(const struct fl__image_map *map);

/* Are there zeroes within extents at [off, off + len), for which a store needs
 * memory of the storage too? */
bool fl__image_map_has_hole(const struct fl__image_map *map, uint64_t off,
			    uint64_t len);

/* A stretch of a memory that is all in the storage, or all zeroes. */
struct fl__piece {
	uint64_t off;			/* in the memory */
	uint64_t len;
	bool is_data;			/* false: zeroes */
	const uint8_t *bytes;		/* of data; NULL without storage */
};

/*
 * [at, end) of a memory, cut at the borders of extents: the piece that begins at
 * at; false when at is not below end. bytes is the storage, as for filling, or
 * NULL, which no pointer of a piece is made of then. A map of NULL is all zeroes.
 * To walk:
 *
 *	for (at = 0; fl__image_map_next(map, bytes, at, end, &piece);
 *	     at += piece.len)
 */
bool fl__image_map_next(const struct fl__image_map *map, const uint8_t *bytes,
			uint64_t at, uint64_t end, struct fl__piece *piece);

/* The same, cut at the borders of data: holes of an extent are zeroes too. For
 * readers, because to read a hole of the storage makes a page of the hole. */
bool fl__image_map_next_data(const struct fl__image_map *map,
			     const uint8_t *bytes, uint64_t at, uint64_t end,
			     struct fl__piece *piece);

#endif
