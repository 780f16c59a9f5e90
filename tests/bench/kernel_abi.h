/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * kernel_abi.h - kernel interfaces newer than the headers of Debian 12.
 *
 * The numbers and layouts are the kernel's stable user interface; a build
 * host with newer headers uses its own, and the static asserts hold for both.
 * The programs find out at run time, by trying, what the running kernel has.
 */
#ifndef BENCH_KERNEL_ABI_H
#define BENCH_KERNEL_ABI_H

#include <assert.h>
#include <linux/fs.h>
#include <linux/types.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY	1
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL	102
#define MADV_GUARD_REMOVE	103
#endif

#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN		_IOWR('f', 16, struct pm_scan_arg)

#define PAGE_IS_WPALLOWED	(1 << 0)
#define PAGE_IS_WRITTEN		(1 << 1)
#define PAGE_IS_FILE		(1 << 2)
#define PAGE_IS_PRESENT		(1 << 3)
#define PAGE_IS_SWAPPED		(1 << 4)
#define PAGE_IS_PFNZERO		(1 << 5)

struct page_region {
	__u64 start;
	__u64 end;
	__u64 categories;
};

struct pm_scan_arg {
	__u64 size;
	__u64 flags;
	__u64 start;
	__u64 end;
	__u64 walk_end;
	__u64 vec;
	__u64 vec_len;
	__u64 max_pages;
	__u64 category_inverted;
	__u64 category_mask;
	__u64 category_anyof_mask;
	__u64 return_mask;
};
#endif

static_assert(sizeof(struct page_region) == 24, "kernel's layout");
static_assert(sizeof(struct pm_scan_arg) == 96, "kernel's layout");
static_assert(sizeof(struct uffd_msg) == 32, "kernel's layout");
static_assert(sizeof(struct uffdio_copy) == 40, "kernel's layout");
static_assert(sizeof(struct uffdio_zeropage) == 32, "kernel's layout");

#endif
