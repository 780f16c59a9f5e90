/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_grow.c - what does it cost to grow a memory, touch what was grown,
 * and be as small and as zero as before for the next instance?
 */
#include "competitors.h"

enum {
	IMAGE_WPAGES,
	GROW,
	TOUCH,
	N_PARAMS,
};

static const struct bench_param params[N_PARAMS] = {
	[IMAGE_WPAGES] = { "image-wpages", BENCH_NUMBER, "1", NULL,
			   "size of the image, which is not touched" },
	[GROW] = { "grow", BENCH_NUMBER, "16", NULL, "64 KiB pages grown by" },
	[TOUCH] = { "touch", BENCH_NUMBER, "16,256", NULL,
		    "grown host pages written, evenly spread; 0 all" },
};

static const struct bench_competitor *const rivals[] = {
	&bench_grow_dontneed, &bench_grow_memset,
	&bench_grow_huge,     &bench_grow_remap,
	&bench_grow_guard,    &bench_grow_accessible,
	&bench_grow_floor,    NULL,
};

static void workload(uint64_t *values, struct bench_workload *w)
{
	*w = (struct bench_workload){
		.image_wpages = values[IMAGE_WPAGES],
		.grow_wpages = values[GROW],
		.grow_touch_hpages = values[TOUCH],
	};
}

static const struct bench_program program = {
	.name = "grow",
	.question = "grow a memory, touch what was grown, shrink it back",
	.params = params,
	.n_params = N_PARAMS,
	.rivals = rivals,
	.workload = workload,
	.op = bench_lane_cycle,
};

int main(int argc, char **argv)
{
	return bench_main(&program, argc, argv);
}
