/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd.h - a userfaultfd for asynchronous write-protection, and for pages that are
 * missing or not shown yet.
 *
 * Takes ranges of this process; gives write-protect tracking of their pages.
 * After a page is protected, the first write clears its mark in the kernel, and
 * no thread is woken. An event is read from a descriptor only if the descriptor
 * is open for missing pages too (kernel-notes/uffd-missing.md).
 *
 * Ranges are whole host pages. Calls return 0 or a negative errno as the
 * kernel gave it. Any thread. See kernel-notes/uffd-wp.md.
 */
#ifndef FL_UFFD_H
#define FL_UFFD_H

#include "kernel.h"

#include <stdbool.h>

/* Open by the first way that works: /dev/userfaultfd, the system call, the
 * system call in user-mode-only form. The descriptor or -errno. */
int fl__uffd_open_plain(void);

/* The same, and turn on what asynchronous write-protection needs. */
int fl__uffd_open(void);

/* Open for missing pages, of shared memory too, beside write-protection if
 * with_wp, and for pages of memory files that are there and not mapped yet if
 * with_minor. The descriptor can be read without waiting. -EIO: the kernel does not
 * have it. */
int fl__uffd_open_missing(bool with_wp, bool with_minor);

#define FL__UFFD_MISSING	UFFDIO_REGISTER_MODE_MISSING
#define FL__UFFD_MINOR		FL_UFFDIO_REGISTER_MODE_MINOR
#define FL__UFFD_WP		UFFDIO_REGISTER_MODE_WP
int fl__uffd_register(int fd, uint64_t start, uint64_t len, uint64_t modes);
int fl__uffd_register_wp(int fd, uint64_t start, uint64_t len);
/* Fill missing pages; *copied bytes were, also after an error. Wakes nobody. */
int fl__uffd_copy(int fd, uint64_t to, const void *from, uint64_t len,
		  uint64_t *copied);
/* Map pages that are in the file, watched for writes if with_wp; *mapped bytes were,
 * also after an error. Wakes nobody. -EEXIST: the first page is mapped already. */
int fl__uffd_continue(int fd, uint64_t start, uint64_t len, bool with_wp,
		      uint64_t *mapped);
/* Let whoever waits for pages of a range try again. */
void fl__uffd_wake(int fd, uint64_t start, uint64_t len);
int fl__uffd_protect(int fd, uint64_t start, uint64_t len);
/* Take the protection away: the scan reports every page of the range. */
int fl__uffd_unprotect(int fd, uint64_t start, uint64_t len);

#endif
