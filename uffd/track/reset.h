/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reset.h - one reset under way: what track.c and settle.c share.
 *
 * track.c asks the kernel which pages were written, and decides which chunks
 * are watched; settle.c restores each written page. Both share this struct,
 * which lives on the stack of one reset.
 *
 * Addresses are absolute and host-page aligned. Scans go upwards. The runs that
 * one call of a scan reported are settled upwards in one reset and downwards in
 * the next: the pages that were copied last are still in the processor's
 * caches, and the next copying begins with these pages.
 */
#ifndef FL_RESET_H
#define FL_RESET_H

#include "backend.h"
#include "dirty.h"

/* How a page of an area is brought back. */
enum fl__area_way {
	FL__AREA_IMAGE,		/* from the image, which has it */
	FL__AREA_ZEROES,
	FL__AREA_OTHER,		/* with care: see settle.c */
};

/* The slot's content from one address to another: image or zeroes. */
struct fl__area {
	uint64_t start, end;
	enum fl__area_way way;
	const uint8_t *image; /* bytes of [start, end), NULL: see file */
	/* An image in place, of which no byte may be read here; NULL: zeroes,
	 * where image is NULL too. */
	const struct fl_image *file;
};

static inline bool fl__area_is_image(const struct fl__area *area)
{
	return area->image || area->file;
}

struct fl__reset {
	struct fl__dirty *dirty;
	const struct fl__dirty_host *host;
	struct fl__whole *whole;
	bool must_mark;			/* no chunk may stay unwatched */
	bool may_split;			/* see fl__reset_may_split() */
	struct fl__taker *taker;	/* NULL: nobody takes */
	uint64_t taken_runs;		/* of the taker's, settled */
	bool had_noted;			/* some page, before it was opened */
	const struct fl__space *space;
	uint64_t hpage_bytes;
	uint32_t hpage_shift; /* the same; a division costs too much */
	uint64_t base;
	uint64_t allowed_end, tracked_end;
	bool was_touched; /* some chunk is_touched */
	bool was_told; /* of some page by a scan of unmarked chunks */
	uint64_t reported_end; /* of the highest written page */
	struct fl__found found;
	uint64_t quiet_end; /* of the last run of quiet pages */
	bool is_uncounted; /* a kept page, for want of memory */
	uint64_t overhead_bytes; /* page tables, and what is known */
	/* To be protected, not yet done. */
	uint64_t protect_start, protect_end;
	struct fl__area *areas; /* one for each piece of the slot */
	uint32_t area_count;
	uint32_t area_idx; /* where the scan is */
	struct fl__scan_buffer buffer;
	uint32_t restored; /* what work gets in the end */
	struct fl__work *work;
};

static inline size_t fl__reset_chunk_of(const struct fl__reset *reset,
					uint64_t addr)
{
	return (size_t)(addr / FL__CHUNK_BYTES - reset->base / FL__CHUNK_BYTES);
}

/* The host page's number within its chunk. */
static inline uint32_t fl__reset_hpage_idx(const struct fl__reset *reset,
					   uint64_t addr)
{
	return (uint32_t)(addr % FL__CHUNK_BYTES >> reset->hpage_shift);
}

/* The chunk of an address; NULL: no page of it was ever private, and it was never
 * touched while it could have been marked. */
static inline struct fl__dirty_chunk *
fl__reset_chunk_at(const struct fl__reset *reset, uint64_t addr)
{
	size_t idx = fl__reset_chunk_of(reset, addr);

	return idx < reset->dirty->chunk_count ? &reset->dirty->chunks[idx] :
						 NULL;
}

/* The area of an address, looked for from the last one asked for on. */
static inline const struct fl__area *fl__reset_area_at(struct fl__reset *reset,
						       uint64_t addr)
{
	while (addr >= reset->areas[reset->area_idx].end)
		reset->area_idx++;
	while (addr < reset->areas[reset->area_idx].start)
		reset->area_idx--;
	return &reset->areas[reset->area_idx];
}

static inline uint64_t fl__reset_chunk_addr(const struct fl__reset *reset,
					    size_t chunk_idx)
{
	return fl_round_down(reset->base, FL__CHUNK_BYTES) +
	       chunk_idx * FL__CHUNK_BYTES;
}

static inline uint64_t fl__reset_chunk_start(const struct fl__reset *reset,
					     size_t chunk_idx)
{
	return fl_max_u64(fl__reset_chunk_addr(reset, chunk_idx), reset->base);
}

/* How far the host pages from addr on are in a set of the chunk's, up to end or the
 * chunk's end, which is *stop. */
static inline uint64_t fl__reset_set_end(const struct fl__reset *reset,
					 const uint64_t *set, uint64_t addr,
					 uint64_t end, uint64_t *stop)
{
	uint32_t idx = fl__reset_hpage_idx(reset, addr);
	size_t limit;

	*stop = fl_min_u64(end, fl_round_down(addr, FL__CHUNK_BYTES) +
					FL__CHUNK_BYTES);
	limit = idx + (size_t)((*stop - addr) >> reset->hpage_shift);
	return addr +
	       ((uint64_t)(fl_bits_next(set, limit, idx, false) - idx)
		<< reset->hpage_shift);
}

/* The end of the chunk's registered part. */
static inline uint64_t fl__reset_chunk_end(const struct fl__reset *reset,
					   size_t chunk_idx)
{
	return fl_min_u64(fl__reset_chunk_addr(reset, chunk_idx + 1),
			  reset->tracked_end);
}

static inline bool fl__reset_is_marked(const struct fl__reset *reset,
				       size_t chunk_idx)
{
	return chunk_idx < reset->dirty->chunk_count &&
	       reset->dirty->chunks[chunk_idx].is_marked;
}

/* In pools of more slots each mapping counts. */
#define FL__SPLIT_MAX_SLOTS 4096

/*
 * May a slot be registered up to its last marked chunk alone? That is a mapping
 * more, as after a memory that had grown. What lies behind is then no part of what
 * counts as written when it is empty, so one scan is enough for both: see
 * scan_to_end(). No page table may be shared with the next slot.
 */
static inline bool fl__reset_may_split(const struct fl__geometry *geometry)
{
	return !geometry->is_accessible &&
	       geometry->slot_count <= FL__SPLIT_MAX_SLOTS &&
	       geometry->stride_bytes >=
		       geometry->max_bytes + geometry->prefix_bytes +
			       FL__CHUNK_BYTES;
}

/* Where the stretch of chunks like the one at addr ends. */
static inline uint64_t fl__reset_stretch_end(const struct fl__reset *reset,
					     uint64_t addr, bool is_marked)
{
	uint64_t limit = reset->allowed_end;
	size_t chunk_idx = fl__reset_chunk_of(reset, addr);

	if (is_marked)
		limit = fl_min_u64(limit, reset->tracked_end);
	do {
		chunk_idx++;
		if (!is_marked && chunk_idx >= reset->dirty->chunk_count)
			return limit;
	} while (fl__reset_chunk_addr(reset, chunk_idx) < limit &&
		 fl__reset_is_marked(reset, chunk_idx) == is_marked);
	return fl_min_u64(fl__reset_chunk_addr(reset, chunk_idx), limit);
}

/* Are there holes in the image's bytes, where not one may be read? */
static inline bool fl__reset_has_holes(const struct fl__reset *reset)
{
	return reset->space->image && reset->space->image->has_holes;
}

/* After the taker, if there is one, is set. */
static inline void fl__reset_areas(struct fl__reset *reset)
{
	const struct fl_image *image = reset->space->image;
	const struct fl__image_map *map = image ? &image->map : NULL;
	const uint8_t *bytes = image ? image->bytes : NULL;
	uint64_t end = reset->allowed_end - reset->base;
	bool is_plain = !reset->taker && !fl__reset_has_holes(reset);
	struct fl__piece piece;

	for (uint64_t at = 0; fl__image_map_next(map, bytes, at, end, &piece);
	     at += piece.len)
		reset->areas[reset->area_count++] = (struct fl__area){
			reset->base + at,
			reset->base + at + piece.len,
			!is_plain || (piece.is_data && !piece.bytes) ?
				FL__AREA_OTHER :
			piece.bytes ? FL__AREA_IMAGE :
				      FL__AREA_ZEROES,
			piece.bytes,
			piece.is_data && !piece.bytes ? image : NULL,
		};
}

#endif
