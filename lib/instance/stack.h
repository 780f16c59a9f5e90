/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* stack.h - the kind of slots that fiber stacks are; see stack.c. */
#ifndef FL_STACK_H
#define FL_STACK_H

#include "slots/slot.h"

extern const struct fl__kind fl__kind_stack;

#endif
