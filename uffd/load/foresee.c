/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* foresee.c - touched pages, and pages asked for ahead; see foresee.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "foresee.h"
#include "ahead.h"
#include "lazy.h"
#include "uffd/scan.h"
#include "uffd/uffd.h"

#include <fcntl.h>

/* Tenants of a lazy image that are watched, of those that are recorded. A watched
 * slot takes a fault for each host page that it reads, as long as it shows the image.
 * While pages are loaded that is nothing beside; later it would be. */
#define LAZY_WATCHED 1

/* What a disk reads while the threads of the first image begin. */
#define FIRST_RUNS 64
#define FIRST_BYTES (UINT64_C(2) << 20)

static uint64_t extent_bytes(const struct fl_image *image, uint32_t idx,
			     const struct fl__space *space, uint64_t *start)
{
	const struct fl__run *extent = &image->map.extents[idx];

	*start = (uintptr_t)space->base +
		 extent->hpage_off * image->map.hpage_bytes;
	return extent->hpage_len * image->map.hpage_bytes;
}

void fl__foresee_watch(int uffd_fd, struct fl__space *space,
		       struct fl_image *image)
{
	uint32_t most = image->lazy ? LAZY_WATCHED : FL__WORKSET_TENANTS;
	uint64_t modes = FL__UFFD_WP |
			 (image->lazy ? fl__lazy_modes(image) : 0);
	int err = 0;

	/* Where a fault for each host page would be the loader's, the tenant would
	 * take three times as long. And most attaches come later and only read. */
	if (uffd_fd < 0 || (image->lazy && image->lazy->is_continue) ||
	    __atomic_load_n(&image->set.watched, __ATOMIC_RELAXED) >= most ||
	    __atomic_fetch_add(&image->set.watched, 1, __ATOMIC_RELAXED) >=
		    most)
		return;
	for (uint32_t i = 0; i < image->map.extent_count; i++) {
		uint64_t start;
		uint64_t len = extent_bytes(image, i, space, &start);

		fl__space_called(space, 1);
		err |= fl__uffd_register(uffd_fd, start, len, modes);
	}
	space->is_watched = !err;
}

struct record {
	struct fl_image *image;
	uint64_t base;
	struct fl__workset_tenant tenant;
};

static int on_recorded(void *user, const struct fl__kernel_region *region,
		       size_t count, int step)
{
	struct record *record = user;
	struct fl_image *image = record->image;

	/* Of a page that was swapped out nothing says whether it was written. */
	for (; count; count--, region += step) {
		uint64_t from = region->start - record->base;
		uint64_t to = region->end - record->base;

		if (region->categories & FL_PAGE_IS_SWAPPED)
			continue;
		fl__workset_touch(&image->set, &record->tenant, from, to,
				  !(region->categories & FL_PAGE_IS_FILE));
		for (uint64_t w = from / FL_WPAGE_BYTES;
		     image->lazy && w * FL_WPAGE_BYTES < to; w++)
			fl__lazy_touched(image, w);
	}
	return 0;
}

void fl__foresee_record(int pagemap_fd, struct fl__space *space)
{
	struct fl_image *image = space->image;
	struct fl__kernel_region regions[64];
	struct fl__scan_buffer buffer = { .regions = regions, .count = 64 };
	struct record record = {
		.image = image,
		.base = (uintptr_t)space->base,
		/* Of a file in place nothing is known better. */
		.tenant.is_rough = image->lazy && !space->is_watched,
	};

	if (pagemap_fd < 0 || space->is_ahead ||
	    !fl__workset_begin(&image->set))
		return;
	for (uint32_t i = 0; i < image->map.extent_count; i++) {
		uint64_t start;
		uint64_t len = extent_bytes(image, i, space, &start);

		/* What is missing in the record is missing. */
		(void)fl__scan(pagemap_fd, start, start + len, FL__SCAN_TOUCHED,
			       &buffer, on_recorded, &record);
	}
	fl__space_scanned(space, buffer.calls);
}

void fl__foresee_open(struct fl_image *image)
{
	struct fl__lazy first = {
		.image = image,
		.is_shown = true,
		.can_ask = true,
	};
	int fd = fl__page_source_fd(image->origin->pages);
	uint64_t off, len;

	/* What is asked for is asked for again later, when it costs nothing. */
	for (int i = 0;
	     i < FIRST_RUNS && fd >= 0 && first.set_asked < FIRST_BYTES &&
	     fl__ahead_ask(&first, &off, &len);
	     i++)
		(void)readahead(fd, (off64_t)off, (size_t)len);
}

bool fl__foresee_ask(struct fl_image *image)
{
	struct fl__workset *set = &image->set;
	uint64_t at = 0, off, len, wpages = 0;

	/* Most attaches come later and only read. */
	if (__atomic_load_n(&set->asked, __ATOMIC_RELAXED) ||
	    __atomic_exchange_n(&set->asked, 1, __ATOMIC_RELAXED))
		return false;
	if (image->lazy)
		return fl__workset_next(set, &at, &off);
	while (fl__workset_next_run(set, &at, &off, &len))
		(void)readahead(image->fd, (off64_t)off, (size_t)len);
	for (at = 0; fl__workset_next(set, &at, &off);)
		wpages++;
	__atomic_store_n(&set->foreseen_count, wpages, __ATOMIC_RELAXED);
	return wpages;
}
