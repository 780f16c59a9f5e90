/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd.h - a userfaultfd for asynchronous write-protection.
 *
 * Takes ranges of this process; gives write-protect tracking on them: after a
 * page is protected, the first write clears its mark in the kernel, and nobody
 * is woken. No event is ever read from the descriptor.
 *
 * Ranges are whole host pages. Calls return 0 or a negative errno as the
 * kernel gave it. Any thread. See kernel-notes/uffd-wp.md.
 */
#ifndef FL_UFFD_H
#define FL_UFFD_H

#include "kernel.h"

#include <stdbool.h>

/* How the descriptor was opened, in the order that is tried. */
enum fl__uffd_door {
	FL__UFFD_DEVICE = 0,
	FL__UFFD_SYSCALL = 1,
	FL__UFFD_USER_MODE_ONLY = 2,
	FL__UFFD_DOORS = 3,
};

const char *fl__uffd_door_name(enum fl__uffd_door door);

/* Open by one door, without negotiating. The descriptor or -errno. */
int fl__uffd_open_door(enum fl__uffd_door door);

/* Open by the first door that works and ask for what asynchronous
 * write-protection needs. The descriptor or -errno. */
int fl__uffd_open(enum fl__uffd_door *door);

/* Ask for features on a fresh descriptor; *offered gets all the kernel has. */
int fl__uffd_handshake(int fd, uint64_t features, uint64_t *offered);

int fl__uffd_register_wp(int fd, uint64_t start, uint64_t len);
int fl__uffd_protect(int fd, uint64_t start, uint64_t len);

#endif
