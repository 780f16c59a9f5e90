/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * settle.h - what becomes of a page that was written.
 *
 * Takes runs of written pages; makes the pages equal to the slot's content.
 * Each page is restored, or, in a long run that was watched until now or lies
 * in an unmarked chunk, dropped. A page is protected after it was restored,
 * never before.
 */
#ifndef FL_SETTLE_H
#define FL_SETTLE_H

#include "reset.h"

/* Restore a run that the scan of a marked stretch reported as written. An
 * fl__scan_fn, whose user is the struct fl__reset. */
int fl__settle_written(void *user, const struct fl__kernel_region *region,
		       size_t count, int step);

/* The same of the taker's runs, as far as they lie in a marked stretch: the scan
 * that told them said what another would. */
int fl__settle_told(struct fl__reset *reset, uint64_t start, uint64_t end);

/* Restore or drop private pages of unmarked chunks, and count the kept pages.
 * [start, end) lies in the area. */
int fl__settle_private(struct fl__reset *reset, const struct fl__area *area,
		       uint64_t start, uint64_t end);

/* The chunk, made if it is not there. NULL without memory: then the chunk stays
 * unmarked, which is slower and as right. */
struct fl__dirty_chunk *fl__settle_chunk(struct fl__reset *reset,
					 size_t chunk_idx);

/* Drop the resident pages of a range; -errno. */
int fl__settle_drop(uint64_t start, uint64_t end);

/* Take the protection from all pages that are noted, and note none: the scan
 * then reports each of them. -errno. */
int fl__settle_noted(struct fl__reset *reset);

/* Protect a range soon: ranges that touch become one system call. The flush
 * protects the pending range. */
int fl__settle_protect(struct fl__reset *reset, uint64_t start, uint64_t end);
int fl__settle_flush(struct fl__reset *reset);

#endif
