/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* toc_form.c - tables in memory, and where things lie; see toc_form.h. */
#include "toc_form.h"

#include <stdlib.h>

int fl__toc_bad(struct fl_error *error, uint64_t off, const char *what)
{
	return fl__error_set_at(error, -ENOEXEC, off,
				"the image file is damaged at byte %llu: %s",
				fl_llu(off), what);
}

uint64_t fl__toc_index_off(const struct fl__toc *toc)
{
	return fl_round_up(
		HEADER_BYTES + (uint64_t)toc->image_count * IMAGE_BYTES +
			(uint64_t)toc->module_count * FL__SHA256_BYTES,
		ENTRY_BYTES);
}

bool fl__toc_place_of(const struct fl__toc_image *image, uint64_t wpage,
		      uint64_t *off)
{
	for (uint32_t i = 0; i < image->extent_count; i++) {
		const struct fl__toc_extent *extent = &image->extents[i];

		if (wpage < extent->first_wpage ||
		    wpage - extent->first_wpage >= extent->wpage_count)
			continue;
		*off = extent->file_off +
		       (wpage - extent->first_wpage) * FL_WPAGE_BYTES;
		return true;
	}
	return false;
}

int fl__toc_grow(struct fl__toc *toc, struct fl_error *error)
{
	uint64_t capacity = fl_max_u64(256, toc->entry_capacity * 2);
	struct fl__toc_entry *entries;

	if (toc->entry_count < toc->entry_capacity)
		return 0;
	entries = realloc(toc->entries, (size_t)capacity * sizeof(*entries));
	if (!entries)
		return fl__error_set(
			error, -ENOMEM, "no memory for an index of %llu %s",
			fl_llu(toc->entry_count),
			fl_noun(toc->entry_count, "page", "pages"));
	toc->entries = entries;
	toc->entry_capacity = capacity;
	return 0;
}

void fl__toc_append(struct fl__toc *toc, const struct fl__toc_entry *entry)
{
	struct fl__toc_image *image = &toc->images[entry->image_idx];

	if (!image->entry_count++)
		image->first_entry = toc->entry_count;
	toc->entries[toc->entry_count++] = *entry;
}

int fl__toc_begin(struct fl__toc *toc, uint32_t image_count,
		  uint32_t module_count, struct fl_error *error)
{
	memset(toc, 0, sizeof(*toc));
	if (image_count > FL__TOC_MAX_IMAGES ||
	    module_count > FL__TOC_MAX_MODULES)
		return fl__error_set(
			error, -E2BIG,
			"an image file has at most %u images and %u modules, not %u and %u",
			FL__TOC_MAX_IMAGES, FL__TOC_MAX_MODULES, image_count,
			module_count);
	toc->image_count = image_count;
	toc->module_count = module_count;
	toc->images = calloc((size_t)image_count + 1, sizeof(*toc->images));
	toc->module_digests =
		calloc((size_t)module_count + 1, sizeof(*toc->module_digests));
	if (toc->images && toc->module_digests)
		return 0;
	fl__toc_fini(toc);
	return fl__error_set(error, -ENOMEM,
			     "no memory for the tables of an image file");
}

void fl__toc_fini(struct fl__toc *toc)
{
	free(toc->images);
	free(toc->module_digests);
	free(toc->entries);
	toc->images = NULL;
	toc->module_digests = NULL;
	toc->entries = NULL;
}
