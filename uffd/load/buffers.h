/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * buffers.h - memory that sources and disks write to.
 *
 * Takes nothing; gives a fixed number of buffers, each of a page and of what is read
 * before and behind it. They take memory once they are used, and none when they rest.
 * Of files that are read past the page cache a disk writes to them: then they are to lie
 * in large pages, because a read into those is one piece to the disk.
 *
 * Their owner serialises all calls.
 *
 * See kernel-notes/io-uring.md.
 */
#ifndef FL_BUFFERS_H
#define FL_BUFFERS_H

#include "backend.h"
#include "direct.h"

#define FL__BUFFER_BYTES (FL_WPAGE_BYTES + FL__DIRECT_MAX_BYTES)

struct fl__buffers {
	uint8_t *bytes;
	uint32_t count;
	bool is_large;
};

/* -ENOMEM. */
int fl__buffers_make(struct fl__buffers *buffers, uint32_t count);
void fl__buffers_free(struct fl__buffers *buffers);
uint8_t *fl__buffers_at(const struct fl__buffers *buffers, uint32_t idx);

/* Nobody uses a buffer: give the memory back. */
void fl__buffers_rest(struct fl__buffers *buffers);
/* A disk will write to them. is_used: what is there stays, in small pages. */
void fl__buffers_enlarge(struct fl__buffers *buffers, bool is_used);

#endif
