/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * copy.h - bring bytes back to what they were, writing only what differs.
 *
 * Takes host pages that a tenant may have written; gives them equal to their
 * source, or zero. A guest seldom writes all of a page: a line that is read and
 * found as it should be is moved once between the processor's caches, one that
 * is written blindly twice. Zeroing pages of which little was written takes
 * half to two thirds of memset's time, copying such pages a fifth less than
 * memcpy's, and none takes longer when all of a page was written; but pages
 * that fit the smallest cache are copied faster blindly. Measured figures:
 * HACKING.md.
 *
 * Where the processor has no fast way to compare, these are memcpy and memset.
 *
 * Lengths are multiples of FL__COPY_UNIT, and addresses of 32. Pure.
 */
#ifndef FL_COPY_H
#define FL_COPY_H

#include "base/util.h"

#define FL__COPY_UNIT ((size_t)128)

/* May this be called with is_comparing set? */
bool fl__copy_can_compare(void);

void fl__copy_back(void *at, const void *source, size_t len,
		   bool is_comparing);
void fl__copy_zeroes(void *at, size_t len, bool is_comparing);

#endif
