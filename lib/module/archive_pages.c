/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* archive_pages.c - images of the pages of a file; see archive_pages.h. */
#include "archive_pages.h"

#include <errno.h>
#include <stdlib.h>

/* The pages of one image, read and checked, and the segments they make. */
struct pages {
	uint8_t *bytes;
	struct fl_segment *segments;
	size_t segment_count;
};

static void pages_fini(struct pages *pages)
{
	free(pages->bytes);
	free(pages->segments);
}

static void pages_add(struct pages *pages, uint64_t wpage, const uint8_t *bytes)
{
	uint64_t off = wpage * FL_WPAGE_BYTES;
	struct fl_segment *segment = &pages->segments[pages->segment_count];

	if (pages->segment_count &&
	    segment[-1].offset_bytes + segment[-1].length_bytes == off) {
		segment[-1].length_bytes += FL_WPAGE_BYTES;
		return;
	}
	*segment = (struct fl_segment){
		.offset_bytes = off,
		.bytes = bytes,
		.length_bytes = FL_WPAGE_BYTES,
	};
	pages->segment_count++;
}

/* The first segment begins, and the last one ends, with a byte that is not
 * zero: a page has one. */
static void pages_trim(struct pages *pages)
{
	struct fl_segment *first = pages->segments, *last;
	const uint8_t *bytes;

	if (!pages->segment_count)
		return;
	last = &first[pages->segment_count - 1];
	for (bytes = first->bytes; !*bytes; bytes++) {
		first->offset_bytes++;
		first->length_bytes--;
	}
	first->bytes = bytes;
	bytes = last->bytes;
	while (!bytes[last->length_bytes - 1])
		last->length_bytes--;
}

/* Packed, a small file has many pages; what they become counts whole before
 * anything is taken for them. */
static int pages_limit(const struct fl__archive_file *file,
		       const struct fl__toc_image *image,
		       struct fl_error *error)
{
	uint64_t count = image->entry_count;
	uint64_t most = file->context->limits.max_image_bytes;

	if (file->origin->toc.is_packed && count > most / FL_WPAGE_BYTES)
		return fl__error_set_at(
			error, -E2BIG, FL__TOC_ENTRIES_BYTE,
			"the file packs an image of %llu %s of 64 KiB; max_image_bytes of fl_context_config is %llu",
			fl_llu(count), fl_noun(count, "page", "pages"),
			fl_llu(most));
	if (count > (SIZE_MAX - 1) / FL_WPAGE_BYTES)
		return fl__error_set(error, -ENOMEM,
				     "no memory to read %llu pages of an image",
				     fl_llu(count));
	return 0;
}

static int pages_read(struct pages *pages, const struct fl__archive_file *file,
		      const struct fl__toc_image *image, struct fl_error *error)
{
	const struct fl__toc *toc = &file->origin->toc;
	size_t count = (size_t)image->entry_count;
	struct fl__toc_reader reader;
	int err = pages_limit(file, image, error);

	if (err)
		return err;
	*pages = (struct pages){
		.bytes = malloc((size_t)(count * FL_WPAGE_BYTES) + 1),
		.segments = calloc(count + 1, sizeof(*pages->segments)),
	};
	if (!pages->bytes || !pages->segments)
		err = fl__error_set(error, -ENOMEM,
				    "no memory to read %zu %s of an image",
				    count, fl_noun(count, "page", "pages"));
	fl__toc_reader_init(&reader);
	for (size_t i = 0; !err && i < count; i++) {
		uint8_t *dst = pages->bytes + i * FL_WPAGE_BYTES;
		uint64_t idx = image->first_entry + i;

		err = fl__toc_read_wpage(toc, &file->source, idx, &reader, dst,
					 error);
		if (!err)
			pages_add(pages, toc->entries[idx].wpage, dst);
	}
	fl__toc_reader_fini(&reader);
	if (err)
		pages_fini(pages);
	else
		pages_trim(pages);
	return err;
}

int fl__archive_open_whole(const struct fl__archive_file *file,
			   uint32_t image_idx, struct fl_image **image,
			   struct fl_error *error)
{
	const struct fl__toc_image *from = &file->origin->toc.images[image_idx];
	struct pages pages;
	int err = pages_read(&pages, file, from, error);

	if (err)
		return err;
	err = fl_image_from_segments(file->context, from->initial_bytes,
				     pages.segments, pages.segment_count, image,
				     error);
	pages_fini(&pages);
	return err;
}

/* What of a page of the file goes into the map. */
static int map_add(struct fl__image_map *map, uint64_t wpage,
		   const uint8_t *bytes)
{
	uint64_t off = wpage * FL_WPAGE_BYTES;
	int err = 0;

	for (uint64_t i = 0; !err && i < FL_WPAGE_BYTES;
	     i += map->hpage_bytes) {
		const uint8_t *hpage = bytes + i;
		uint64_t first = 0, end = map->hpage_bytes;

		if (fl_is_zero(hpage, map->hpage_bytes))
			continue;
		while (!hpage[first])
			first++;
		while (!hpage[end - 1])
			end--;
		if (!map->data_end_bytes)
			map->data_first_bytes = off + i + first;
		map->data_end_bytes = off + i + end;
		err = fl__runs_append(&map->data, (off + i) / map->hpage_bytes,
				      1);
	}
	return err;
}

/* No page of the host lies behind the initial size. */
static int map_place(struct fl__image_map *map,
		     const struct fl__toc_extent *extent,
		     struct fl_error *error)
{
	uint64_t end = extent->first_wpage + extent->wpage_count;
	uint64_t hpages = FL_WPAGE_BYTES / map->hpage_bytes;
	uint64_t last = (map->initial_bytes - 1) / map->hpage_bytes + 1;

	if (end > FL__IMAGE_MAX_END_BYTES / FL_WPAGE_BYTES)
		return fl__error_set(
			error, -E2BIG,
			"initial content ends at page %llu; an image ends at 1 TiB or before",
			fl_llu(end));
	map->extents[map->extent_count++] = (struct fl__run){
		extent->first_wpage * hpages,
		fl_min_u64(end * hpages, last) - extent->first_wpage * hpages,
	};
	return 0;
}

/* Check one extent as it will be mapped. */
static int map_extent(struct fl__image_map *map, const struct fl__toc *toc,
		      const struct fl__toc_source *source, uint32_t image_idx,
		      const struct fl__toc_extent *extent, uint64_t *entry_idx,
		      uint8_t *bytes, struct fl_error *error)
{
	uint64_t end = extent->first_wpage + extent->wpage_count;
	struct fl__toc_reader reader;
	int err = map_place(map, extent, error);

	fl__toc_reader_init(&reader);
	for (uint64_t w = extent->first_wpage; !err && w < end; w++) {
		err = fl__toc_read_place(toc, source, image_idx, w, entry_idx,
					 &reader, bytes, error);
		if (!err && map_add(map, w, bytes))
			err = fl__error_set(error, -ENOMEM,
					    "no memory to plan an image");
	}
	fl__toc_reader_fini(&reader);
	return err;
}

static int map_make(struct fl__image_map *map, uint64_t *file_offs,
		    const struct fl__toc *toc,
		    const struct fl__toc_source *source, uint32_t image_idx,
		    struct fl_error *error)
{
	const struct fl__toc_image *from = &toc->images[image_idx];
	uint64_t entry_idx = from->first_entry;
	uint8_t *bytes = malloc(FL_WPAGE_BYTES);
	int err = 0;

	*map = (struct fl__image_map){
		.initial_bytes = from->initial_bytes,
		.hpage_bytes = fl__os_hpage_bytes(),
	};
	if (!bytes)
		return fl__error_set(error, -ENOMEM, "no memory for a page");
	for (uint32_t i = 0; !err && i < from->extent_count; i++) {
		file_offs[i] = from->extents[i].file_off;
		err = map_extent(map, toc, source, image_idx, &from->extents[i],
				 &entry_idx, bytes, error);
	}
	free(bytes);
	if (err)
		fl__image_map_fini(map);
	return err;
}

/* What the index alone says: a page that it names is data. */
static int map_index(struct fl__image_map *map, const struct fl__toc *toc,
		     uint32_t image_idx, struct fl_error *error)
{
	const struct fl__toc_image *from = &toc->images[image_idx];
	uint64_t hpage_bytes = fl__os_hpage_bytes(), end = 0;
	int err = 0;

	*map = (struct fl__image_map){
		.initial_bytes = from->initial_bytes,
		.hpage_bytes = hpage_bytes,
	};
	for (uint32_t i = 0; !err && i < from->extent_count; i++)
		err = map_place(map, &from->extents[i], error);
	for (uint64_t i = 0; !err && i < from->entry_count; i++) {
		uint64_t off = toc->entries[from->first_entry + i].wpage *
			       FL_WPAGE_BYTES;

		end = fl_min_u64(off + FL_WPAGE_BYTES, from->initial_bytes);
		if (!i)
			map->data_first_bytes = off;
		if (fl__runs_append(&map->data, off / hpage_bytes,
				    (end - off - 1) / hpage_bytes + 1))
			err = fl__error_set(error, -ENOMEM,
					    "no memory to plan an image");
	}
	map->data_end_bytes = end;
	if (err)
		fl__image_map_fini(map);
	return err;
}

int fl__archive_open_lazy(const struct fl__archive_file *file,
			  uint32_t image_idx, struct fl_image **image,
			  struct fl_error *error)
{
	struct fl__image_map map;
	int err = map_index(&map, &file->origin->toc, image_idx, error);

	return err ? err :
		     fl__image_create_lazy(file->context, &map, file->origin,
					   image_idx, image, error);
}

int fl__archive_open_in_place(const struct fl__archive_file *file,
			      uint32_t image_idx, struct fl_image **image,
			      struct fl_error *error)
{
	uint64_t file_offs[FL__IMAGE_MAX_EXTENTS] = { 0 };
	const struct fl__toc *toc = &file->origin->toc;
	const struct fl__toc_image *from = &toc->images[image_idx];
	bool is_unchecked = file->flags & FL_OPEN_UNCHECKED;
	struct fl__image_map map;
	int err;

	if (toc->is_packed)
		return fl__error_set(
			error, -ENOTSUP,
			"the pages of the file are packed, and cannot be mapped: open it without FL_OPEN_IN_PLACE, or write the file without FL_WRITE_ZSTD");
	if (is_unchecked) {
		for (uint32_t i = 0; i < from->extent_count; i++)
			file_offs[i] = from->extents[i].file_off;
		err = map_index(&map, toc, image_idx, error);
	} else {
		err = map_make(&map, file_offs, toc, &file->source, image_idx,
			       error);
	}
	/* What was checked is in memory, and needs no working set. */
	return err ? err :
		     fl__image_create_in_place(
			     file->context, &map, file->fd, file_offs,
			     is_unchecked ? file->origin : NULL, image_idx,
			     image, error);
}
