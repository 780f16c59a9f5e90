/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * quota.h - what one tenant may have in all its memories and tables together.
 *
 * Takes what a memory or a table is to grow by; charges it to the instance and
 * asks the runtime, or refuses. What is charged and does not come about is given
 * back. The sum is one atomic: memories of one instance grow on several threads,
 * and together never have more than the maximum.
 *
 * The quota is the instance's. A memory or a table that was taken alone has none,
 * and the one that an instance imports is charged to its owner.
 */
#ifndef FL_QUOTA_H
#define FL_QUOTA_H

#include "base/error.h"

struct fl__quota {
	fl_atomic64 total_bytes; /* atomic */
	uint64_t max_total_bytes;
	int (*may_grow)(void *user, struct fl_instance *instance,
			const struct fl_growth *growth);
	void *user;
	struct fl_instance *instance;
};

/* growth->total_bytes is filled in. quota may be NULL: nothing is bounded.
 * -E2BIG. */
int fl__quota_grow(struct fl__quota *quota, struct fl_growth *growth);
/* Is there room for so many bytes more? */
bool fl__quota_has_room(const struct fl__quota *quota, uint64_t bytes);
/* The growth did not come about. */
void fl__quota_undo(struct fl__quota *quota, const struct fl_growth *growth);

#endif
