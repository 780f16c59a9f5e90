/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* traps.h - can guests trap in this build? For programs that skip where not. */
#ifndef CONSUMERS_TRAPS_H
#define CONSUMERS_TRAPS_H

#include <stdbool.h>
#include <stdio.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#endif

/* False after a sentence that says why the program is skipped. */
static inline bool traps_are_followed(void)
{
#ifdef THREAD_SANITIZER
	printf("skipped: the thread sanitizer does not follow a jump out of a "
	       "signal handler, which is how a trap ends a guest\n");
	return false;
#else
	return true;
#endif
}

#endif
