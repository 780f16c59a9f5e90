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

static void scan_ask(struct fl__kernel_scan *scan, enum fl__scan_form form)
{
	switch (form) {
	case FL__SCAN_WRITTEN:
		scan->category_mask = FL_PAGE_IS_WRITTEN;
		scan->return_mask = FL_PAGE_IS_WRITTEN;
		break;
	case FL__SCAN_WRITTEN_SLOW:
		scan->category_mask = FL_PAGE_IS_WRITTEN;
		scan->return_mask = FL_PAGE_IS_WRITTEN | FL_PAGE_IS_SWAPPED;
		break;
	case FL__SCAN_TOUCHED:
		scan->category_anyof_mask = FL_PAGE_IS_PRESENT |
					    FL_PAGE_IS_SWAPPED;
		scan->return_mask = FL_PAGE_IS_FILE | FL_PAGE_IS_PFNZERO |
				    FL_PAGE_IS_SWAPPED | FL_PAGE_IS_HUGE;
		break;
	/* Not one form for both: a page that KSM has made the zero page differs
	 * from the file. See fl__scan_is_private(). */
	case FL__SCAN_PRIVATE_FILE:
		scan->category_inverted = FL_PAGE_IS_FILE;
		scan->category_mask = FL_PAGE_IS_FILE;
		scan->category_anyof_mask = FL_PAGE_IS_PRESENT |
					    FL_PAGE_IS_SWAPPED;
		scan->return_mask = FL_PAGE_IS_FILE | FL_PAGE_IS_SWAPPED;
		break;
	case FL__SCAN_PRIVATE_ZERO:
		scan->category_inverted = FL_PAGE_IS_PFNZERO;
		scan->category_mask = FL_PAGE_IS_PFNZERO;
		scan->category_anyof_mask = FL_PAGE_IS_PRESENT |
					    FL_PAGE_IS_SWAPPED;
		scan->return_mask = FL_PAGE_IS_PFNZERO | FL_PAGE_IS_SWAPPED;
		break;
	case FL__SCAN_ACCOUNT:
		scan->category_anyof_mask = FL_PAGE_IS_PRESENT |
					    FL_PAGE_IS_SWAPPED;
		scan->return_mask = FL_PAGE_IS_FILE | FL_PAGE_IS_PFNZERO |
				    FL_PAGE_IS_SWAPPED | FL_PAGE_IS_WRITTEN;
		break;
	}
}

int fl__scan(int pagemap_fd, uint64_t start, uint64_t end,
	     enum fl__scan_form form, struct fl__scan_buffer *buffer,
	     fl__scan_fn *fn, void *user)
{
	struct fl__kernel_scan scan = {
		.size = sizeof(scan),
		.end = end,
		.vec = (uintptr_t)buffer->regions,
		.vec_len = fl_min_u64(buffer->count, FL__SCAN_MAX_REGIONS),
	};

	scan_ask(&scan, form);
	while (start < end) {
		int count, err;

		scan.start = start;
		count = ioctl(pagemap_fd, FL_PAGEMAP_SCAN, &scan);
		if (count < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		err = count ? fn(user, buffer->regions, (size_t)count) : 0;
		if (err)
			return err;
		if (scan.walk_end <= start || scan.walk_end > end)
			return -EIO;
		start = scan.walk_end;
		if (start < end)
			buffer->was_full = true;
	}
	return 0;
}

int fl__scan_protect(int pagemap_fd, uint64_t start, uint64_t end)
{
	struct fl__kernel_scan scan = {
		.size = sizeof(scan),
		.flags = FL_PM_SCAN_WP_MATCHING,
		.end = end,
		.category_mask = FL_PAGE_IS_WRITTEN,
	};

	while (start < end) {
		scan.start = start;
		if (ioctl(pagemap_fd, FL_PAGEMAP_SCAN, &scan) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (scan.walk_end <= start || scan.walk_end > end)
			return -EIO;
		start = scan.walk_end;
	}
	return 0;
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
