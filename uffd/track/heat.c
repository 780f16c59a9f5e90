/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* heat.c - the score behind heat.h. */
#include "heat.h"

/* Up to 2^(level + 1) releases, a quarter of it spread. */
static uint16_t lease_of(uint8_t level, uint64_t hpage_idx)
{
	uint32_t longest = UINT32_C(2) << level;

	return (uint16_t)(longest - hpage_idx * 5 % (longest / 4));
}

/* The page was surely written in this tenancy. */
static enum fl__heat_verdict heat_up(struct fl__heat *heat, uint16_t now,
				     uint64_t hpage_idx)
{
	if (heat->level < FL__HEAT_MAX_LEVEL)
		heat->level++;
	heat->when = now;
	if (heat->level < FL__HEAT_HOT_LEVEL)
		return FL__HEAT_FRESH;
	heat->when = (uint16_t)(now + lease_of(heat->level, hpage_idx));
	return FL__HEAT_HOT;
}

enum fl__heat_verdict fl__heat_written(struct fl__heat *heat, bool is_open,
				       uint16_t now, uint64_t hpage_idx)
{
	bool is_hot = heat->level >= FL__HEAT_HOT_LEVEL;

	if (is_open)
		return is_hot && !fl__heat_is_due(heat->when, now) ?
			       FL__HEAT_HOT :
			       FL__HEAT_WARM;
	/* Watched since: a lease that was cut short counts as the last time. */
	if (!(is_hot && !fl__heat_is_due(heat->when, now)) &&
	    (uint16_t)(now - heat->when) > FL__HEAT_WINDOW)
		heat->level = 0;
	return heat_up(heat, now, hpage_idx);
}

enum fl__heat_verdict fl__heat_compared(struct fl__heat *heat, bool is_changed,
					uint16_t now, uint64_t hpage_idx)
{
	if (is_changed)
		return heat_up(heat, now, hpage_idx);
	if (heat->level >= FL__HEAT_HOT_LEVEL)
		heat->level /= 2;
	return FL__HEAT_IDLE;
}
