/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* quota.c - charging growth to an instance; see quota.h. */
#include "quota.h"
#include "base/util.h"

static bool charge(struct fl__quota *quota, uint64_t bytes, uint64_t *total)
{
	uint64_t old = __atomic_load_n(&quota->total_bytes, __ATOMIC_RELAXED);

	do {
		if (fl_add_overflow(old, bytes, total) ||
		    *total > quota->max_total_bytes)
			return false;
	} while (!__atomic_compare_exchange_n(&quota->total_bytes, &old, *total,
					      true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return true;
}

int fl__quota_grow(struct fl__quota *quota, struct fl_growth *growth)
{
	if (!quota || growth->new_bytes == growth->old_bytes)
		return 0;
	if (!charge(quota, growth->new_bytes - growth->old_bytes,
		    &growth->total_bytes))
		return -E2BIG;
	if (!quota->may_grow ||
	    !quota->may_grow(quota->user, quota->instance, growth))
		return 0;
	fl__quota_undo(quota, growth);
	return -E2BIG;
}

bool fl__quota_has_room(const struct fl__quota *quota, uint64_t bytes)
{
	uint64_t total;

	return !quota || (!fl_add_overflow(__atomic_load_n(&quota->total_bytes,
							   __ATOMIC_RELAXED),
					   bytes, &total) &&
			  total <= quota->max_total_bytes);
}

void fl__quota_undo(struct fl__quota *quota, const struct fl_growth *growth)
{
	if (quota)
		__atomic_fetch_sub(&quota->total_bytes,
				   growth->new_bytes - growth->old_bytes,
				   __ATOMIC_RELAXED);
}
