/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* uffd-stat-span.c - differences and rates; see uffd-stat-span.h. */
#include "uffd-stat-span.h"

struct stat_span stat_span_of(const struct stat_moment *before,
			      const struct stat_moment *now,
			      const struct stat_target *target,
			      const struct stat_sample *sample)
{
	struct stat_span span = { stat_earlier(before, target, sample), sample,
				  0 };
	uint64_t from = span.before ? before->now_ns : sample->about.made_ns;

	if (from < now->now_ns)
		span.seconds = (double)(now->now_ns - from) / 1e9;
	return span;
}

bool stat_span_grew(const struct stat_span *span, const char *name,
		    uint64_t *count)
{
	uint64_t old = stat_value(span->before, name), new;

	if (!stat_number(span->now, name, &new) || new < old)
		return false;
	*count = new - old;
	return true;
}

double stat_span_rate(const struct stat_span *span, const char *name)
{
	uint64_t count;

	if (!stat_span_grew(span, name, &count) || span->seconds <= 0)
		return -1;
	return (double)count / span->seconds;
}
