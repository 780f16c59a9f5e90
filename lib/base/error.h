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

/* Fill all fields of an error; callers use the three forms below. */
int fl__error_fill(struct fl_error *error, int code, enum fl_trap trap,
		   uint64_t byte_off, const char *fmt, ...) FL_PRINTF(5, 6);

#define fl__error_set(error, code, ...)                               \
	fl__error_fill(error, code, FL_TRAP_NONE, FL_ERROR_NO_OFFSET, \
		       __VA_ARGS__)

/* With the byte offset in the module at which reading stopped. */
#define fl__error_set_at(error, code, byte_off, ...) \
	fl__error_fill(error, code, FL_TRAP_NONE, byte_off, __VA_ARGS__)

/* After the sentence, of which file it is: its path, as far as there is room, or
 * where that is NULL its descriptor. */
int fl__error_set_file(struct fl_error *error, int code, const char *path,
		       int fd, const char *fmt, ...) FL_PRINTF(5, 6);

/* -EFAULT with a trap. */
#define fl__error_set_trap(error, trap, ...) \
	fl__error_fill(error, -EFAULT, trap, FL_ERROR_NO_OFFSET, __VA_ARGS__)

/* For %llu. */
static inline unsigned long long fl_llu(uint64_t value)
{
	return value;
}

/* Fold an errno that the kernel gave into the closed set: -ENOMEM where
 * something is used up, -EPERM, or -EIO. The other codes of the set mean
 * something of the library's own, whatever the kernel calls so: -EINVAL is an
 * argument of the caller's, and never one that the library gave the kernel. */
int fl__error_fold(int err);

/* What a call of the runtime's answered, not 0: a code of the closed set as it
 * is, anything else as -EIO. */
int fl__error_answer(int answer);

#endif
