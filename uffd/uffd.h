/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd.h - a userfaultfd for asynchronous write-protection.
 *
 * Takes ranges of this process; gives write-protect tracking of their pages.
 * After a page is protected, the first write clears its mark in the kernel, and
 * no thread is woken. No event is ever read from the descriptor.
 *
 * Ranges are whole host pages. Calls return 0 or a negative errno as the
 * kernel gave it. Any thread. See kernel-notes/uffd-wp.md.
 */
#ifndef FL_UFFD_H
#define FL_UFFD_H

#include "kernel.h"

/* Open by the first way that works: /dev/userfaultfd, the system call, the
 * system call in user-mode-only form. The descriptor or -errno. */
int fl__uffd_open_plain(void);

/* The same, and turn on what asynchronous write-protection needs. */
int fl__uffd_open(void);

int fl__uffd_register_wp(int fd, uint64_t start, uint64_t len);
int fl__uffd_protect(int fd, uint64_t start, uint64_t len);
/* Take the protection away: the scan reports every page of the range. */
int fl__uffd_unprotect(int fd, uint64_t start, uint64_t len);

#endif
