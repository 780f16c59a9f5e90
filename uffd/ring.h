/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * ring.h - reads of files that go on while their thread does something else.
 *
 * Takes reads of open files into memory of the caller; gives each read back once,
 * with its result. The ring is io_uring by liburing. Without liburing no ring
 * opens, and whoever wants one reads with pread().
 *
 * The ring can read and cancel, and nothing else: it is restricted before it is
 * enabled, because a filter of system calls does not see what a ring is asked
 * for. Nothing can be registered with it later. A forked child has no mapping of
 * it.
 *
 * One thread at a time uses a ring. Memory that a read writes to is the kernel's
 * until the read was given back, also after it was cancelled; so a ring is closed
 * when it has nothing left.
 *
 * See kernel-notes/io-uring.md.
 */
#ifndef FL_RING_H
#define FL_RING_H

#include <stdbool.h>
#include <stdint.h>

#ifndef FL_WITH_LIBURING
#define FL_WITH_LIBURING 0
#endif

struct fl__ring;

/* Room for count reads at a time. -ENOSYS: the library was built without liburing,
 * or the kernel has no io_uring; -EINVAL: the ring cannot be restricted; else why
 * the kernel denies the ring. */
int fl__ring_open(uint32_t count, struct fl__ring **ring);
/* NULL is allowed. */
void fl__ring_close(struct fl__ring *ring);

/* Does the ring take what it is given, and refuse what it may not do? A new ring
 * with nothing in it. -EINVAL: it does not refuse; else why the kernel denies it. */
int fl__ring_try(struct fl__ring *ring);

/* Readable when a read can be taken back. */
int fl__ring_fd(const struct fl__ring *ring);

/* Put a read, or the cancel of one, into the ring; user is not NULL. False: the
 * ring has no room. The kernel sees both at the next fl__ring_go(). */
bool fl__ring_read(struct fl__ring *ring, int fd, uint64_t off, void *dst,
		   uint32_t len, void *user);
bool fl__ring_cancel(struct fl__ring *ring, void *user);
/* Hand over what was put in. Does not wait. False: the kernel did not take all of
 * it now, and has to be asked again. */
bool fl__ring_go(struct fl__ring *ring);
/* Take a read back: its user and bytes read or -errno. NULL: none is done. */
void *fl__ring_next(struct fl__ring *ring, int64_t *result);

#endif
