/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sweep.h - watching again what is open.
 *
 * Takes the marked chunks of a slot that was made clean, and what the policy says of
 * them; protects their pages, so that the next scan reports those that are written.
 * When, and what, is the policy's to say (policy.h). A page is protected after it was
 * restored, never before.
 */
#ifndef FL_SWEEP_H
#define FL_SWEEP_H

#include "reset.h"

/* Watch every page again, of all marked chunks or of the chunks with quiet pages. */
int fl__sweep_chunks(struct fl__reset *reset, bool is_all);
/* What the policy wants swept now, if anything. */
int fl__sweep(struct fl__reset *reset);

#endif
