/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * chores.h - what fillers do beside loads.
 *
 * Takes the desk; has the kernel read ahead what the working set of a local file
 * needs next, and has it make large folios of what is loaded. One thread at a time
 * does each. An image stays while a chore works on it: its end waits
 * (fl__desk_drop_image()).
 *
 * Called and left under the desk's lock, which is not held meanwhile. False: there
 * was nothing to do.
 */
#ifndef FL_CHORES_H
#define FL_CHORES_H

#include "desk.h"

bool fl__chore_ahead_locked(struct fl__desk *desk);
/* Only when nothing is being loaded. */
bool fl__chore_collapse_locked(struct fl__desk *desk);

#endif
