/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * settle.h - what becomes of a page that was written.
 *
 * Takes runs of written pages; gives them back equal to the image. Each page is
 * restored, or, in long runs that were watched until now, dropped. A page is
 * protected after it was restored, never before.
 */
#ifndef FL_SETTLE_H
#define FL_SETTLE_H

#include "reset.h"

/* Runs that the scan of a marked stretch reported as written. */
int fl__settle_written(struct fl__reset *reset,
		       const struct fl__kernel_region *regions, size_t count);

/* Pages of an unmarked chunk that are private: restore or drop them, and count
 * what is kept. [start, end) lies in the area. */
int fl__settle_private(struct fl__reset *reset, const struct fl__area *area,
		       uint64_t start, uint64_t end);

/* The chunk, made if it is not there. NULL without memory: then it stays
 * unmarked, which is slower and as right. */
struct fl__dirty_chunk *fl__settle_chunk(struct fl__reset *reset,
					 size_t chunk_idx);

/* Drop whatever is resident; -errno. */
int fl__settle_drop(uint64_t start, uint64_t end);

/* Protect a range soon: ranges that touch become one system call. What is
 * pending is done by the flush. */
int fl__settle_protect(struct fl__reset *reset, uint64_t start, uint64_t end);
int fl__settle_flush(struct fl__reset *reset);

#endif
