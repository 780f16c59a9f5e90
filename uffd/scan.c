/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* scan.c - the PAGEMAP_SCAN loop; see scan.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "scan.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

int fl__scan_open(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

#define TOUCHED (FL_PAGE_IS_PRESENT | FL_PAGE_IS_SWAPPED)

/* A page must have each category of `all` (or lack the category, where
 * inverted) and one of `any`; `told` lists the categories that the kernel
 * reports. */
static const struct {
	uint64_t all, inverted, any, told;
} forms[] = {
	[FL__SCAN_WRITTEN] = { .all = FL_PAGE_IS_WRITTEN,
			       .told = FL_PAGE_IS_WRITTEN },
	[FL__SCAN_WRITTEN_SLOW] = { .all = FL_PAGE_IS_WRITTEN,
				    .told = FL_PAGE_IS_WRITTEN |
					    FL_PAGE_IS_SWAPPED },
	[FL__SCAN_TOUCHED] = { .any = TOUCHED,
			       .told = FL_PAGE_IS_FILE | FL_PAGE_IS_PFNZERO |
				       FL_PAGE_IS_SWAPPED | FL_PAGE_IS_HUGE },
	/* Not one form for both: a page that KSM has made the zero page differs
	 * from the file. See fl__scan_is_private(). */
	[FL__SCAN_PRIVATE_FILE] = { FL_PAGE_IS_FILE, FL_PAGE_IS_FILE, TOUCHED,
				    FL_PAGE_IS_FILE | FL_PAGE_IS_SWAPPED },
	[FL__SCAN_PRIVATE_ZERO] = { FL_PAGE_IS_PFNZERO, FL_PAGE_IS_PFNZERO,
				    TOUCHED,
				    FL_PAGE_IS_PFNZERO | FL_PAGE_IS_SWAPPED },
	[FL__SCAN_ACCOUNT] = { .any = TOUCHED,
			       .told = FL_PAGE_IS_FILE | FL_PAGE_IS_PFNZERO |
				       FL_PAGE_IS_SWAPPED |
				       FL_PAGE_IS_WRITTEN },
};

/* One call of the walk [scan->start, scan->end); scan->start moves on to where
 * the kernel stopped. The number of runs found, or -errno. */
static int scan_step(int pagemap_fd, struct fl__kernel_scan *scan)
{
	int count;

	do
		count = ioctl(pagemap_fd, FL_PAGEMAP_SCAN, scan);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return -errno;
	if (scan->walk_end <= scan->start || scan->walk_end > scan->end)
		return -EIO;
	scan->start = scan->walk_end;
	return count;
}

int fl__scan(int pagemap_fd, uint64_t start, uint64_t end,
	     enum fl__scan_form form, struct fl__scan_buffer *buffer,
	     fl__scan_fn *fn, void *user)
{
	struct fl__kernel_scan scan = {
		.size = sizeof(scan),
		.start = start,
		.end = end,
		.vec = (uintptr_t)buffer->regions,
		.vec_len = fl_min_u64(buffer->count, FL__SCAN_MAX_REGIONS),
		.category_mask = forms[form].all,
		.category_inverted = forms[form].inverted,
		.category_anyof_mask = forms[form].any,
		.return_mask = forms[form].told,
	};

	while (scan.start < end) {
		int count = scan_step(pagemap_fd, &scan), err = 0;

		if (count < 0)
			return count;
		if (count && buffer->is_downward)
			err = fn(user, &buffer->regions[count - 1],
				 (size_t)count, -1);
		else if (count)
			err = fn(user, buffer->regions, (size_t)count, 1);
		if (err)
			return err;
		if (scan.start < end)
			buffer->was_full = true;
	}
	return 0;
}

int fl__scan_protect(int pagemap_fd, uint64_t start, uint64_t end)
{
	struct fl__kernel_scan scan = {
		.size = sizeof(scan),
		.flags = FL_PM_SCAN_WP_MATCHING,
		.start = start,
		.end = end,
		.category_mask = FL_PAGE_IS_WRITTEN,
	};
	int err = 0;

	while (err >= 0 && scan.start < end)
		err = scan_step(pagemap_fd, &scan);
	return err < 0 ? err : 0;
}

bool fl__scan_reads_touched(int pagemap_fd, uint64_t start, uint64_t end,
			    uint64_t hpage_bytes)
{
	const uint64_t touched = UINT64_C(3) << 62; /* present, swapped */
	uint64_t entries[512];

	while (start < end) {
		uint64_t count = fl_min_u64((end - start) / hpage_bytes,
					    FL_ARRAY_SIZE(entries));
		ssize_t len = (ssize_t)(count * sizeof(*entries));

		if (pread(pagemap_fd, entries, (size_t)len,
			  (off_t)(start / hpage_bytes * sizeof(*entries))) !=
		    len)
			return true;
		for (uint64_t i = 0; i < count; i++) {
			if (entries[i] & touched)
				return true;
		}
		start += count * hpage_bytes;
	}
	return false;
}

bool fl__scan_is_private(uint64_t categories, bool is_file)
{
	/* A swapped entry of a private mapping holds bytes of its own. */
	if (categories & FL_PAGE_IS_SWAPPED)
		return true;
	/* KSM may put the zero page where a written page of zeroes was, also
	 * in a file mapping: there it differs from the file. */
	return is_file ? !(categories & FL_PAGE_IS_FILE) :
			 !(categories & FL_PAGE_IS_PFNZERO);
}
