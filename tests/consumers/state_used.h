/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * state_used.h - an instance of modules/state.wat that was used, and how it
 * answers, for the tests of states and of what is made of them.
 *
 * hosts are four things for host references to point at; with NULL the instance
 * gets no such reference.
 */
#ifndef STATE_USED_H
#define STATE_USED_H

#include "state_guest.h"

/* Everything that can change does. */
void used_make(struct guest *guest, int *hosts);

/* Does the instance answer as one that was used, and is it itself? base is that
 * of its own imports. */
void used_check(struct guest *guest, uint32_t base, const int *hosts);

/* What a call of the function at idx in the first table answers; or is there
 * none? */
void used_check_call(struct guest *guest, uint32_t idx, uint32_t expected);
void used_check_null(struct guest *guest, uint32_t idx);

#endif
