/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * copy.h - bring bytes back to what they were, writing only what differs.
 *
 * Takes host pages that a tenant may have written; makes the pages equal to
 * their content, image or zeroes, and says whether any byte differed. A guest
 * seldom writes all of a page. A line that is read and found right is moved
 * once between the processor's caches, a line that is written blindly twice.
 * Zeroing pages of which little was written takes half to two thirds of
 * memset's time, copying such pages a fifth less than memcpy's, and neither
 * takes longer when all of a page was written; but pages that fit the smallest
 * cache are copied faster blindly, by memcpy().
 *
 * 1 MiB of zeroes, one word a page written: 11.5 us, memset 18.3. All of it
 * written: 42.4 us, memset 42.5. Image pages that are known to be written are
 * copied back by memcpy() where a vector is not a whole line: comparing them
 * first gained nothing there. Where a vector is a line, comparing takes 0.7 of
 * what memcpy() takes if a word of each page was written, 0.95 to 1.06 if all was;
 * but on AMD's Zen 5 1.16 to 1.36 up to 200 pages, and as long for 500 (the copy
 * alone, of pages that lie in a cache). There memset() takes 1.04 to 1.46 of what
 * looking for zeroes first takes up to 200 pages, and 0.76 to 0.89 from 500 on.
 *
 * A delta takes lines of 64 bytes that differ. Which these are is asked apart from
 * moving them: a branch for each line is guessed wrong at most lines that changed,
 * and 64 answers in a word need none.
 *
 * Lengths are multiples of FL__COPY_UNIT, and addresses of 32. Pure.
 */
#ifndef FL_COPY_H
#define FL_COPY_H

#include "base/util.h"

#define FL__COPY_UNIT ((size_t)128)
/* More bytes do not fit a processor's second cache. */
#define FL__COPY_LONG ((size_t)1 << 20)

/* True: some byte differed. */
bool fl__copy_back(void *at, const void *source, size_t len);
bool fl__copy_zeroes(void *at, size_t len);
/* For pages that are known to be written: as fl__copy_back() where comparing takes
 * less than copying blindly, else memcpy(). source: NULL for zeroes; as
 * fl__copy_zeroes(), or memset() where that takes less. */
void fl__copy_restore(void *at, const void *source, size_t len);

#define FL__COPY_LINE ((size_t)64)

/* Which of count lines differ, at most 64: bit i is line i's. there: NULL for
 * zeroes. Addresses are any. */
uint64_t fl__copy_differ(const void *here, const void *there, size_t count);

#endif
