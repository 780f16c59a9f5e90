/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* image.c - planning and filling image maps; see image.h. */
#include "image.h"

/* The part of a segment that lies in one host page. */
struct slice {
	uint64_t hpage_idx;
	uint64_t off; /* in the memory */
	const uint8_t *bytes;
	uint64_t len;
};

static bool slice_next(const struct fl_segment *segment, uint64_t hpage_bytes,
		       uint64_t *done, struct slice *slice)
{
	if (*done == segment->length_bytes)
		return false;
	slice->off = segment->offset_bytes + *done;
	slice->hpage_idx = slice->off / hpage_bytes;
	slice->bytes = (const uint8_t *)segment->bytes + *done;
	slice->len = fl_min_u64(segment->length_bytes - *done,
				hpage_bytes - slice->off % hpage_bytes);
	*done += slice->len;
	return true;
}

static int plan_segment(struct fl__image_map *map,
			const struct fl_segment *segment)
{
	uint64_t end = segment->offset_bytes + segment->length_bytes, done = 0;
	struct slice slice;

	if (!segment->length_bytes)
		return 0;
	if (!map->data_end_bytes ||
	    segment->offset_bytes < map->data_first_bytes)
		map->data_first_bytes = segment->offset_bytes;
	if (segment->offset_bytes < map->data_end_bytes)
		map->is_overlapping = true;
	map->data_end_bytes = fl_max_u64(map->data_end_bytes, end);
	while (slice_next(segment, map->hpage_bytes, &done, &slice)) {
		int err;

		if (fl_is_zero(slice.bytes, (size_t)slice.len))
			continue;
		err = fl__runs_append(&map->data, slice.hpage_idx, 1);
		if (err)
			return err;
	}
	return 0;
}

static int plan_data(struct fl__image_map *map,
		     const struct fl__segments *segments,
		     struct fl_error *error)
{
	for (size_t i = 0; i < segments->count; i++) {
		struct fl_segment segment;
		enum fl__segment_status status;
		int err;

		status = segments->get(segments, i, &segment, error);
		if (status == FL__SEGMENT_UNKNOWN)
			return -EINVAL;
		if (status == FL__SEGMENT_TRAP ||
		    !fl_range_fits(segment.offset_bytes, segment.length_bytes,
				   map->initial_bytes)) {
			map->trap = FL_TRAP_MEMORY_OUT_OF_BOUNDS;
			map->trap_segment_idx = i;
			break;
		}
		err = plan_segment(map, &segment);
		if (err)
			return fl__error_set(error, err,
					     "no memory to plan an image");
	}
	if (map->data_end_bytes > FL__IMAGE_MAX_END_BYTES)
		return fl__error_set(
			error, -E2BIG,
			"initial content ends at byte %llu; an image ends at 1 TiB or before",
			fl_llu(map->data_end_bytes));
	fl__runs_normalise(&map->data);
	return 0;
}

static uint64_t gap_before(const struct fl__runs *data, size_t idx)
{
	const struct fl__run *last = &data->items[idx - 1];

	return data->items[idx].hpage_off - last->hpage_off - last->hpage_len;
}

/* Cut at the longest gaps, in order of place. cuts[] holds the indices of the
 * runs that begin a new extent. */
static uint32_t plan_cuts(const struct fl__runs *data, uint64_t min_gap,
			  size_t *cuts)
{
	uint32_t count = 0;

	for (size_t i = 1; i < data->count; i++) {
		uint32_t shortest = 0;

		if (gap_before(data, i) < min_gap)
			continue;
		if (count < FL__IMAGE_MAX_EXTENTS - 1) {
			cuts[count++] = i;
			continue;
		}
		for (uint32_t c = 1; c < count; c++) {
			if (gap_before(data, cuts[c]) <
			    gap_before(data, cuts[shortest]))
				shortest = c;
		}
		if (gap_before(data, i) <= gap_before(data, cuts[shortest]))
			continue;
		memmove(&cuts[shortest], &cuts[shortest + 1],
			(count - shortest - 1) * sizeof(*cuts));
		cuts[count - 1] = i;
	}
	return count;
}

uint32_t fl__image_cut(const struct fl__runs *data, uint64_t unit_bytes,
		       struct fl__run *extents)
{
	size_t cuts[FL__IMAGE_MAX_EXTENTS], first = 0;
	uint32_t count;

	if (!data->count)
		return 0;
	count = plan_cuts(data, FL__IMAGE_MIN_GAP_BYTES / unit_bytes, cuts);
	cuts[count++] = data->count;
	for (uint32_t c = 0; c < count; first = cuts[c++]) {
		const struct fl__run *low = &data->items[first];
		const struct fl__run *high = &data->items[cuts[c] - 1];

		extents[c] = (struct fl__run){
			low->hpage_off,
			high->hpage_off + high->hpage_len - low->hpage_off,
		};
	}
	return count;
}

static void plan_lead(struct fl__image_map *map)
{
	struct fl__run *first = &map->extents[0];
	uint64_t holes = fl__image_map_extent_bytes(map) -
			 fl__runs_total(&map->data) * map->hpage_bytes;
	uint64_t lead = first->hpage_off * map->hpage_bytes;

	if (!map->extent_count || lead > FL__IMAGE_MAX_LEAD_BYTES ||
	    holes + lead > FL__IMAGE_FEW_HOLE_BYTES)
		return;
	first->hpage_len += first->hpage_off;
	first->hpage_off = 0;
}

int fl__image_map_plan(struct fl__image_map *map,
		       const struct fl__segments *segments,
		       uint64_t initial_bytes, uint64_t hpage_bytes,
		       struct fl_error *error)
{
	int err;

	*map = (struct fl__image_map){
		.initial_bytes = initial_bytes,
		.hpage_bytes = hpage_bytes,
	};
	err = plan_data(map, segments, error);
	if (err) {
		fl__image_map_fini(map);
		return err;
	}
	map->extent_count =
		fl__image_cut(&map->data, hpage_bytes, map->extents);
	plan_lead(map);
	return 0;
}

void fl__image_map_refine(struct fl__image_map *map, const uint8_t *storage)
{
	uint64_t first_off = fl__image_map_first_off(map);
	struct fl__runs refined = { 0 };

	/* No segment can have written over another. */
	if (!map->is_overlapping)
		return;
	for (size_t i = 0; i < map->data.count; i++) {
		const struct fl__run *run = &map->data.items[i];

		for (uint64_t p = 0; p < run->hpage_len; p++) {
			uint64_t hpage_idx = run->hpage_off + p;
			uint64_t off = hpage_idx * map->hpage_bytes;

			if (fl_is_zero(storage + (off - first_off),
				       (size_t)map->hpage_bytes))
				continue;
			/* Without memory the old list stays: it says data of
			 * pages that are zero, which is merely slower. */
			if (fl__runs_append(&refined, hpage_idx, 1)) {
				fl__runs_fini(&refined);
				return;
			}
		}
	}
	fl__runs_fini(&map->data);
	map->data = refined;
}

/* A page outside the list never gets a non-zero byte. */
static int fill_segment(const struct fl__image_map *map,
			const struct fl_segment *segment, fl__image_put_fn *put,
			void *user)
{
	uint64_t first_off = fl__image_map_first_off(map), done = 0;
	struct slice slice, stretch = { 0 };
	int err = 0;

	while (!err && slice_next(segment, map->hpage_bytes, &done, &slice)) {
		if (!fl__runs_overlap(&map->data, slice.hpage_idx, 1))
			continue;
		if (stretch.len && stretch.off + stretch.len == slice.off) {
			stretch.len += slice.len;
			continue;
		}
		if (stretch.len)
			err = put(user, stretch.off - first_off, stretch.bytes,
				  stretch.len);
		stretch = slice;
	}
	return err || !stretch.len ? err :
				     put(user, stretch.off - first_off,
					 stretch.bytes, stretch.len);
}

int fl__image_map_fill(const struct fl__image_map *map,
		       const struct fl__segments *segments,
		       fl__image_put_fn *put, void *user)
{
	int err = 0;

	for (size_t i = 0; i < segments->count && !err; i++) {
		struct fl_segment segment;

		if (map->trap && i == map->trap_segment_idx)
			break;
		if (segments->get(segments, i, &segment, NULL) ==
		    FL__SEGMENT_OURS)
			err = fill_segment(map, &segment, put, user);
	}
	return err;
}

void fl__image_map_fini(struct fl__image_map *map)
{
	fl__runs_fini(&map->data);
}

uint64_t fl__image_map_first_off(const struct fl__image_map *map)
{
	return map->extent_count ?
		       map->extents[0].hpage_off * map->hpage_bytes :
		       0;
}

/* run: the first that ends after at, NULL if none does. */
static bool piece_cut(const struct fl__image_map *map, const uint8_t *bytes,
		      const struct fl__run *run, uint64_t at, uint64_t end,
		      struct fl__piece *piece)
{
	uint64_t low = run ? run->hpage_off * map->hpage_bytes : UINT64_MAX;
	uint64_t high = low;

	if (at >= end)
		return false;
	piece->bytes = NULL;
	piece->is_data = at >= low;
	if (piece->is_data) {
		if (bytes)
			piece->bytes =
				bytes + (at - fl__image_map_first_off(map));
		high += run->hpage_len * map->hpage_bytes;
	}
	piece->off = at;
	piece->len = fl_min_u64(high, end) - at;
	return true;
}

bool fl__image_map_next(const struct fl__image_map *map, const uint8_t *bytes,
			uint64_t at, uint64_t end, struct fl__piece *piece)
{
	uint32_t count = map ? map->extent_count : 0, i = 0;

	while (i < count &&
	       (map->extents[i].hpage_off + map->extents[i].hpage_len) *
			       map->hpage_bytes <=
		       at)
		i++;
	return piece_cut(map, bytes, i < count ? &map->extents[i] : NULL, at,
			 end, piece);
}

bool fl__image_map_next_data(const struct fl__image_map *map,
			     const uint8_t *bytes, uint64_t at, uint64_t end,
			     struct fl__piece *piece)
{
	size_t i = fl__runs_find(&map->data, at / map->hpage_bytes);

	return piece_cut(map, bytes,
			 i < map->data.count ? &map->data.items[i] : NULL, at,
			 end, piece);
}

uint64_t fl__image_map_span_bytes(const struct fl__image_map *map)
{
	const struct fl__run *last;

	if (!map->extent_count)
		return 0;
	last = &map->extents[map->extent_count - 1];
	return (last->hpage_off + last->hpage_len) * map->hpage_bytes -
	       fl__image_map_first_off(map);
}

uint64_t fl__image_map_extent_bytes(const struct fl__image_map *map)
{
	uint64_t hpages = 0;

	for (uint32_t i = 0; i < map->extent_count; i++)
		hpages += map->extents[i].hpage_len;
	return hpages * map->hpage_bytes;
}

bool fl__image_map_has_hole(const struct fl__image_map *map, uint64_t off,
			    uint64_t len)
{
	uint64_t first = off / map->hpage_bytes;
	uint64_t end =
		fl_round_up(off + len, map->hpage_bytes) / map->hpage_bytes;
	uint64_t hpages = 0;

	for (uint32_t i = 0; i < map->extent_count; i++) {
		const struct fl__run *extent = &map->extents[i];
		uint64_t from = fl_max_u64(first, extent->hpage_off);
		uint64_t to =
			fl_min_u64(end, extent->hpage_off + extent->hpage_len);

		hpages += to > from ? to - from : 0;
	}
	return hpages > fl__runs_overlap(&map->data, first, end - first);
}
