/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * clean.h - make a slot clean by the rung of the context, and watch it anew.
 *
 * The calls are those of backend.h: reset, reset_taking, watch.
 */
#ifndef FL_CLEAN_H
#define FL_CLEAN_H

#include "arena.h"

int fl__clean_reset(struct fl__arena *arena, struct fl__space *space,
		    struct fl__work *work);
int fl__clean_reset_taking(struct fl__arena *arena, struct fl__space *space,
			   struct fl__work *work, struct fl__taker *taker);
int fl__clean_watch(struct fl__arena *arena, struct fl__space *space);

#endif
