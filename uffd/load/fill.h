/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * fill.h - from a load to a page that guests see: read, unpacked, checked, published.
 *
 * Takes loads of the desk; reads what is missing of a page where the calling thread
 * may wait for that, checks the page against the index of its file, and publishes
 * it. A part of a page is checked by the page's leaves. Each load comes to its end
 * here, with the page or with an error, or is given back to the desk: to be read on,
 * or, where the leaves are not the page's, to be read whole. What is continued
 * (lazy.h) is read to where it stays, around blocks that were published before.
 *
 * Any thread of the loader calls; only fillers unpack.
 */
#ifndef FL_FILL_H
#define FL_FILL_H

#include "unpack.h"

/* What is to be read next: where in the file it lies, how long it is, and where it
 * goes. */
uint64_t fl__fill_off(const struct fl__load *load);
uint64_t fl__fill_missing(const struct fl__load *load);
uint8_t *fl__fill_to(const struct fl__load *load);
/* Read what is missing, on a thread that may wait. The bytes, or an error. */
int64_t fl__fill_read(const struct fl__load *load);
/* The load has come to its end. */
void fl__fill_end(struct fl__load *load, int err);
/* Some bytes came, or an error. True: all that was wanted is there, to be checked. */
bool fl__fill_answered(struct fl__load *load, int64_t result);
/* What is all there, and not packed: check and publish it. */
void fl__fill_check(struct fl__load *load, struct fl__sha256 *sha);
/* A filler's turn: a load. False: there was none. Called and left under
 * the desk's lock, which is not held meanwhile. */
bool fl__fill_turn_locked(struct fl__desk *desk, struct fl__unpack *unpack,
			  struct fl__sha256 *sha);

#endif
