/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * direct.h - reads of a file past the page cache.
 *
 * Takes an open file; gives another descriptor of the same file, which reads with
 * O_DIRECT. What is read so takes half the processor time, is not in memory twice,
 * and is read anew by every process and after every restart.
 *
 * Such a read begins and ends at multiples of FL__DIRECT_BYTES, in the file and in
 * memory. A file system that wants more answers EINVAL to the read.
 *
 * See kernel-notes/io-uring.md.
 */
#ifndef FL_DIRECT_H
#define FL_DIRECT_H

#include <stdbool.h>
#include <stdint.h>

#define FL__DIRECT_BYTES 4096u

/* -1: the file cannot be read so, or /proc is not there to open it by. */
int fl__direct_open(int fd);

/* Does the file system read FL__DIRECT_BYTES from a multiple of them? Waits for the
 * read. */
bool fl__direct_reads(int direct_fd, uint64_t off);

#endif
