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
#include <sys/ioctl.h>
#include <sys/syscall.h>

/* The type of a request differs from one C library to the next. */
#ifdef __GLIBC__
typedef unsigned long fl__kernel_request;
#else
typedef int fl__kernel_request;
#endif

static inline int fl__kernel_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, (fl__kernel_request)request, arg);
}

/* Under names of our own, so that a newer header may be included beside this
 * one. linux/userfaultfd.h: */
#define FL_USERFAULTFD_IOC_NEW	_IO(0xAA, 0x00)
#define FL_UFFD_USER_MODE_ONLY	1
#define FL_UFFD_FEATURE_MINOR_SHMEM		(1 << 10)
#define FL_UFFD_FEATURE_WP_HUGETLBFS_SHMEM	(1 << 12)
#define FL_UFFD_FEATURE_WP_UNPOPULATED		(1 << 13)
#define FL_UFFD_FEATURE_WP_ASYNC		(1 << 15)
#define FL_UFFD_FEATURE_MOVE			(1 << 16)
#define FL_UFFDIO_REGISTER_MODE_MINOR		((uint64_t)1 << 2)
#define FL_UFFDIO_CONTINUE_MODE_DONTWAKE	((uint64_t)1 << 0)
#define FL_UFFDIO_CONTINUE_MODE_WP		((uint64_t)1 << 1)

struct fl__kernel_continue {
	struct uffdio_range range;
	uint64_t mode;
	int64_t mapped;
};

#define FL_UFFDIO_CONTINUE	_IOWR(UFFDIO, 0x07, struct fl__kernel_continue)

struct fl__kernel_move {
	uint64_t dst, src, len, mode;
	int64_t moved;
};

#define FL_UFFDIO_MOVE		_IOWR(UFFDIO, 0x05, struct fl__kernel_move)

/* fcntl.h, since 5.1. */
#define FL_F_SEAL_FUTURE_WRITE	0x0010

/* sys/mman.h */
#define FL_MFD_NOEXEC_SEAL	0x0008U
#define FL_MADV_POPULATE_READ	22
#define FL_MADV_POPULATE_WRITE	23
#define FL_MADV_COLLAPSE	25

/* linux/fs.h, since 6.7. */
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
_Static_assert(sizeof(struct uffdio_copy) == 40, "uffdio_copy");
_Static_assert(sizeof(struct fl__kernel_continue) == 32, "uffdio_continue");
_Static_assert(sizeof(struct fl__kernel_move) == 40, "uffdio_move");
_Static_assert(sizeof(struct uffd_msg) == 32, "uffd_msg");
_Static_assert(sizeof(struct fl__kernel_scan) == 96, "pm_scan_arg");
_Static_assert(sizeof(struct uffdio_api) == 24, "uffdio_api");
_Static_assert(sizeof(struct uffdio_register) == 32, "uffdio_register");
_Static_assert(sizeof(struct uffdio_writeprotect) == 24,
	       "uffdio_writeprotect");

#endif
