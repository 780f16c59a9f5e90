/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* scan.c - the PAGEMAP_SCAN loop; see scan.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "scan.h"
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
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
	uint64_t all, inverted, any, told, flags;
} forms[] = {
	[FL__SCAN_WRITTEN] = { .all = FL_PAGE_IS_WRITTEN,
			       .told = FL_PAGE_IS_WRITTEN },
	[FL__SCAN_WRITTEN_SLOW] = { .all = FL_PAGE_IS_WRITTEN,
				    .told = FL_PAGE_IS_WRITTEN |
					    FL_PAGE_IS_SWAPPED },
	[FL__SCAN_WATCH] = { .all = FL_PAGE_IS_WRITTEN,
			     .told = FL_PAGE_IS_WRITTEN,
			     .flags = FL_PM_SCAN_WP_MATCHING },
	[FL__SCAN_TOUCHED] = { .any = TOUCHED,
			       .told = FL_PAGE_IS_FILE | FL_PAGE_IS_PFNZERO |
				       FL_PAGE_IS_SWAPPED | FL_PAGE_IS_HUGE },
	/* Not one form for both: a page that KSM has made the zero page differs
	 * from the file. See fl__scan_is_private(). */
	[FL__SCAN_PRIVATE_FILE] = { .all = FL_PAGE_IS_FILE,
				    .inverted = FL_PAGE_IS_FILE,
				    .any = TOUCHED,
				    .told = FL_PAGE_IS_FILE |
					    FL_PAGE_IS_SWAPPED },
	[FL__SCAN_PRIVATE_ZERO] = { .all = FL_PAGE_IS_PFNZERO,
				    .inverted = FL_PAGE_IS_PFNZERO,
				    .any = TOUCHED,
				    .told = FL_PAGE_IS_PFNZERO |
					    FL_PAGE_IS_SWAPPED },
	[FL__SCAN_ACCOUNT] = { .any = TOUCHED,
			       .told = FL_PAGE_IS_FILE | FL_PAGE_IS_PFNZERO |
				       FL_PAGE_IS_SWAPPED |
				       FL_PAGE_IS_WRITTEN },
};

/* One call of the walk [scan->start, scan->end); scan->start moves on to where
 * the kernel stopped. The number of runs found, or -errno. In line, because most
 * releases are this call and little else: behind a system call that went deep
 * some processors mispredict each return. */
static inline __attribute__((always_inline)) int
scan_step(int pagemap_fd, struct fl__kernel_scan *scan)
{
	int count;

	do
		count = fl__kernel_ioctl(pagemap_fd, FL_PAGEMAP_SCAN, scan);
	while (count < 0 && errno == EINTR);
	if (count < 0)
		return -errno;
	if (scan->walk_end <= scan->start || scan->walk_end > scan->end)
		return -EIO;
	scan->start = scan->walk_end;
	return count;
}

static int scan_count(int pagemap_fd, struct fl__kernel_scan *scan,
		      struct fl__scan_buffer *buffer)
{
	uint64_t start_ns = fl_unlikely(buffer->is_timed) ? fl__os_now_ns() : 0;
	int count = scan_step(pagemap_fd, scan);

	buffer->calls++;
	if (fl_unlikely(start_ns))
		buffer->ns += fl__os_now_ns() - start_ns;
	return count;
}

int fl__scan(int pagemap_fd, uint64_t start, uint64_t end,
	     enum fl__scan_form form, struct fl__scan_buffer *buffer,
	     fl__scan_fn *fn, void *user)
{
	struct fl__kernel_scan scan = {
		.size = sizeof(scan),
		.flags = forms[form].flags,
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
		int count = scan_count(pagemap_fd, &scan, buffer), err = 0;

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

/* Entries of pagemap, the form of the kernel. */
#define ENTRY_PRESENT (UINT64_C(1) << 63)
#define ENTRY_SWAPPED (UINT64_C(1) << 62)
#define ENTRY_FILE (UINT64_C(1) << 61)
#define ENTRY_WATCHED (UINT64_C(1) << 57)

struct entries {
	uint64_t at[512];
	uint64_t count;
};

/* The next entries of [start, end); false when they cannot be read. */
static bool entries_read(struct entries *entries, int pagemap_fd,
			 uint64_t start, uint64_t end, uint64_t hpage_bytes)
{
	ssize_t len;

	entries->count = fl_min_u64((end - start) / hpage_bytes,
				    FL_ARRAY_SIZE(entries->at));
	len = (ssize_t)(entries->count * sizeof(*entries->at));
	return pread(pagemap_fd, entries->at, (size_t)len,
		     (off_t)(start / hpage_bytes * sizeof(*entries->at))) ==
	       len;
}

bool fl__scan_reads_touched(int pagemap_fd, uint64_t start, uint64_t end,
			    uint64_t hpage_bytes, bool is_swapless)
{
	struct entries entries;

	for (; start < end; start += entries.count * hpage_bytes) {
		if (!entries_read(&entries, pagemap_fd, start, end,
				  hpage_bytes))
			return true;
		for (uint64_t i = 0; i < entries.count; i++) {
			uint64_t entry = entries.at[i];

			if (entry & ENTRY_PRESENT ||
			    (entry & ENTRY_SWAPPED &&
			     !(is_swapless && entry & ENTRY_WATCHED)))
				return true;
		}
	}
	return false;
}

static bool entry_is_private(uint64_t entry)
{
	return entry & ENTRY_SWAPPED ||
	       (entry & (ENTRY_PRESENT | ENTRY_FILE)) == ENTRY_PRESENT;
}

int fl__scan_reads_private(int pagemap_fd, uint64_t start, uint64_t end,
			   uint64_t hpage_bytes, fl__scan_fn *fn, void *user)
{
	struct fl__kernel_region run = { .start = start, .end = start };
	struct entries entries;
	int err = 0;

	while (start < end && !err) {
		if (!entries_read(&entries, pagemap_fd, start, end,
				  hpage_bytes))
			return -EIO;
		for (uint64_t i = 0; i < entries.count && !err; i++) {
			uint64_t at = start + i * hpage_bytes;

			if (!entry_is_private(entries.at[i]))
				continue;
			if (run.end != at) {
				if (run.end > run.start)
					err = fn(user, &run, 1, 1);
				run.start = at;
			}
			run.end = at + hpage_bytes;
		}
		start += entries.count * hpage_bytes;
	}
	return err || run.end == run.start ? err : fn(user, &run, 1, 1);
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
