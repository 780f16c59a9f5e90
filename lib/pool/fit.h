/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * fit.h - the most slots within all limits.
 *
 * Takes a configuration, what tenants will need and the limits of a host; gives
 * what a pool costs by each limit, and the configuration with its counts lowered
 * to what fits. Pure: limits in, configuration out.
 */
#ifndef FL_POOL_FIT_H
#define FL_POOL_FIT_H

#include "slots/layout.h"

/* By enum fl_limit. */
struct fl__fit_host {
	uint64_t hpage_bytes;
	bool shows_images;	/* are images in memory files, and mapped? */
	bool tracks;	/* is written memory registered? */
	bool marks_guards;	/* are guards in one mapping with slots? */
	uint64_t allowed[FL_LIMIT_COUNT];	/* UINT64_MAX: no limit */
	uint64_t used[FL_LIMIT_COUNT];
};

/* Instances that the pool may have at once; of a pool without, memories. */
uint64_t fl__fit_tenants(const struct fl_pool_config *config);

/* What a pool takes once all its slots are used. UINT64_MAX: more than can be
 * counted. -EINVAL as fl__layout_plan(). */
int fl__fit_cost(const struct fl_pool_config *config,
		 const struct fl_pool_load *load,
		 const struct fl__fit_host *host, uint64_t cost[FL_LIMIT_COUNT],
		 struct fl_error *error);

/* Lower the counts, and fill all of *fit but its size. -EINVAL, -ENOMEM; *config
 * is as it was then. */
int fl__fit(struct fl_pool_config *config, const struct fl_pool_load *load,
	    const struct fl__fit_host *host, struct fl_pool_fit *fit,
	    struct fl_error *error);

#endif
