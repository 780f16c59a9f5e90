/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* heat.c - the score behind heat.h. */
#include "heat.h"

/* 6 to 127 releases, a quarter of it spread. */
static uint8_t lease_of(uint8_t level, uint64_t hpage_idx)
{
	uint32_t longest = UINT32_C(2) << level;

	return (uint8_t)(longest - hpage_idx * 5 % (longest / 4) - 1);
}

static enum fl__heat_verdict heat_decide(struct fl__heat *heat,
					 uint64_t hpage_idx)
{
	if (heat->level < FL__HEAT_OPEN_LEVEL)
		return FL__HEAT_WATCH;
	heat->lease = lease_of(heat->level, hpage_idx);
	return FL__HEAT_OPEN;
}

enum fl__heat_verdict fl__heat_written(struct fl__heat *heat, uint16_t now,
				       uint64_t hpage_idx)
{
	if (fl__heat_stays_open(heat))
		return FL__HEAT_OPEN;
	if (heat->lease) {
		heat->lease = 0;
		heat->last = now;
		return FL__HEAT_COMPARE;
	}
	if (!heat->level || (uint16_t)(now - heat->last) > FL__HEAT_WINDOW)
		heat->level = 1;
	else if (heat->level < FL__HEAT_MAX_LEVEL)
		heat->level++;
	heat->last = now;
	return heat_decide(heat, hpage_idx);
}

enum fl__heat_verdict fl__heat_compared(struct fl__heat *heat, bool is_changed,
					uint64_t hpage_idx)
{
	if (!is_changed)
		heat->level /= 2;
	else if (heat->level < FL__HEAT_MAX_LEVEL)
		heat->level++;
	return heat_decide(heat, hpage_idx);
}
