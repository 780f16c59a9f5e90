/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* uffd-stat-span.h - what came to be of a pool between two moments; before the
 * first, since the pool was made. */
#ifndef UFFD_STAT_SPAN_H
#define UFFD_STAT_SPAN_H

#include "uffd-stat.h"

/* What belongs to one line. */
struct stat_span {
	const struct stat_sample *before, *now;
	double seconds;
};

/* before may be NULL. */
struct stat_span stat_span_of(const struct stat_moment *before,
			      const struct stat_moment *now,
			      const struct stat_target *target,
			      const struct stat_sample *sample);
/* How much a counter grew. A counter that fell is a page that lies: false. */
bool stat_span_grew(const struct stat_span *span, const char *name,
		    uint64_t *count);
/* A second; negative: there is none. */
double stat_span_rate(const struct stat_span *span, const char *name);

#endif
