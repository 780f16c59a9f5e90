/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * rung.h - in which way are slots made clean?
 *
 * Takes what the probe found and what the caller asks for; gives the best rung
 * that is left, and why none above it. The rungs, best first:
 *
 * track	track.h with a userfaultfd: what was written is copied back
 * scan		track.h without: what is private is copied back
 * dontneed	everything accessible is dropped
 *
 * Pure: no call of the kernel, no state.
 */
#ifndef FL_RUNG_H
#define FL_RUNG_H

#include "probe.h"

/* In the order of FL__LINUX_RUNGS. */
enum fl__rung {
	FL__RUNG_TRACK,
	FL__RUNG_SCAN,
	FL__RUNG_DONTNEED,
	FL__RUNG_COUNT
};

const char *fl__rung_name(enum fl__rung rung);

/* Bits of the features that no rung uses which is left by the caller's choice
 * and by what is disabled. */
uint32_t fl__rung_unused(const char *disabled, const char *wanted);

/* wanted is known. *reason: why no better rung; NULL: it is the best. -ENOTSUP
 * when the rung that is wanted cannot be had. */
int fl__rung_choose(const struct fl__probe *probe, const char *wanted,
		    enum fl__rung *rung, const char **reason,
		    struct fl_error *error);

#endif
