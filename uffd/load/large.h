/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * large.h - chunks of a lazy image that are loaded whole become one folio each.
 *
 * Takes pages as they are loaded; gives the chunks of 2 MiB of the memory file of
 * which every page is loaded, once each. A slot that shows such a chunk later maps
 * it by one entry, as slots do of an image that is resident from the beginning.
 *
 * A chunk with a page of which the index knows nothing stays in host pages: its
 * hole would become memory, and a hole is what is told of. The bytes stay what they
 * are, and so does whatever slots have written; slots that show the chunk map it
 * anew. The kernel may refuse: a mere gain, never an error.
 *
 * Of an image whose pages are continued (lazy.h) chunks are given once all of the
 * image is loaded: slots that began before get each page by itself, and the ring
 * writes to no page of such a chunk any more.
 *
 * Counts are the lazy image's, under the desk's lock. See
 * kernel-notes/large-folios.md.
 */
#ifndef FL_LARGE_H
#define FL_LARGE_H

#include "lazy.h"

/* A page was loaded that was not. True: there is a chunk to be given. */
bool fl__large_count(struct fl__lazy *lazy, uint64_t wpage);
/* A chunk that is whole and was not given yet: where the window shows it; NULL:
 * none. */
uint8_t *fl__large_next(struct fl__lazy *lazy);
/* Make one folio of it. May take a millisecond; no lock is held. */
void fl__large_make(uint8_t *chunk);

#endif
