/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* usage.h - what slots take, by the page tables; see usage.c. */
#ifndef FL_USAGE_H
#define FL_USAGE_H

#include "slots/pool.h"

/* Add what a slot takes. -ENOTSUP: the backend cannot tell. */
int fl__usage_add(struct fl__slot *slot, struct fl_pool_usage *usage);

#endif
