/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * direct.h - reads of a file past the page cache.
 *
 * Takes an open file; gives another descriptor of the same file, which reads with
 * O_DIRECT. What is read so takes half the processor time, is not in memory twice,
 * and is read anew by every process and after every restart.
 *
 * Such a read begins and ends at multiples of a unit, in the file and in memory. A file
 * system that wants more than FL__DIRECT_MAX_BYTES is not read so.
 *
 * See kernel-notes/io-uring.md.
 */
#ifndef FL_DIRECT_H
#define FL_DIRECT_H

#include <stdint.h>

#define FL__DIRECT_MAX_BYTES 4096u

/* *unit_bytes: what the file system reads multiples of, a power of two. Waits for a
 * read or two. -ENOTSUP: the file system does not read so; -ENOENT: /proc is not there
 * to open the file by; or what else open() says. */
int fl__direct_open(int fd, uint32_t *unit_bytes);

#endif
