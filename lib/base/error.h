/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * error.h - filling a caller's struct fl_error.
 *
 * Takes a code of the closed set (error.def) and a sentence that says what to
 * change; gives the code back, so that a failing function ends in
 * `return fl__error_set(error, -E2BIG, ...)`. error may be NULL. No state, any
 * thread, no allocation.
 */
#ifndef FL_ERROR_H
#define FL_ERROR_H

#include "faultline.h"
#include "util.h"

#include <errno.h>

int fl__error_set(struct fl_error *error, int code, const char *fmt, ...)
	FL_PRINTF(3, 4);

/* With the byte offset in the module at which reading stopped. */
int fl__error_set_at(struct fl_error *error, int code, uint64_t byte_off,
		     const char *fmt, ...) FL_PRINTF(4, 5);

/* -EFAULT with a trap. */
int fl__error_set_trap(struct fl_error *error, enum fl_trap trap,
		       const char *fmt, ...) FL_PRINTF(3, 4);

/* For %llu. */
static inline unsigned long long fl_llu(uint64_t value)
{
	return value;
}

/* An errno that the kernel gave, folded into the closed set: what the set
 * does not know becomes -EIO. */
int fl__error_fold(int err);

#endif
