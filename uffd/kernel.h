/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * kernel.h - kernel ABI that is newer than the headers of some distributions.
 *
 * Numbers and layouts only, each fixed for ever by the kernel's rule that user
 * space does not break. Probes find out what the running kernel can do
 * (probe.h); this file never tells. Sizes are asserted below.
 */
#ifndef FL_KERNEL_H
#define FL_KERNEL_H

#include <linux/ioctl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>
#include <sys/syscall.h>

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW	_IO(0xAA, 0x00)
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY	1
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED	(1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC		(1 << 15)
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM	(1 << 12)
#endif

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE	23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE		25
#endif

/* linux/fs.h, since 6.7. Under names of our own, so that a newer header may be
 * included beside this one. */
#define FL_PAGE_IS_WPALLOWED	((uint64_t)1 << 0)
#define FL_PAGE_IS_WRITTEN	((uint64_t)1 << 1)
#define FL_PAGE_IS_FILE		((uint64_t)1 << 2)
#define FL_PAGE_IS_PRESENT	((uint64_t)1 << 3)
#define FL_PAGE_IS_SWAPPED	((uint64_t)1 << 4)
#define FL_PAGE_IS_PFNZERO	((uint64_t)1 << 5)
#define FL_PAGE_IS_HUGE		((uint64_t)1 << 6)

#define FL_PM_SCAN_WP_MATCHING	((uint64_t)1 << 0)

struct fl__kernel_region {
	uint64_t start;
	uint64_t end;
	uint64_t categories;
};

struct fl__kernel_scan {
	uint64_t size;
	uint64_t flags;
	uint64_t start;
	uint64_t end;
	uint64_t walk_end;
	uint64_t vec;
	uint64_t vec_len;
	uint64_t max_pages;
	uint64_t category_inverted;
	uint64_t category_mask;
	uint64_t category_anyof_mask;
	uint64_t return_mask;
};

#define FL_PAGEMAP_SCAN		_IOWR('f', 16, struct fl__kernel_scan)

_Static_assert(sizeof(struct fl__kernel_region) == 24, "page_region");
_Static_assert(sizeof(struct fl__kernel_scan) == 96, "pm_scan_arg");
_Static_assert(sizeof(struct uffdio_api) == 24, "uffdio_api");
_Static_assert(sizeof(struct uffdio_register) == 32, "uffdio_register");
_Static_assert(sizeof(struct uffdio_writeprotect) == 24,
	       "uffdio_writeprotect");

#endif
