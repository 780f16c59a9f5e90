/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_cycle.c - what does one instance cost, from taking a slot to its
 * being clean again, once the slot is warm?
 */
#include "competitors.h"

enum {
	IMAGE_WPAGES,
	READS,
	WRITES,
	RANDOM_WRITES,
	BOTH,
	SPREAD,
	CHOICE,
	GROW,
	TABLE,
	TABLE_WRITES,
	STRUCTURE,
	STRUCTURE_WRITES,
	N_PARAMS,
};

static const struct bench_param params[N_PARAMS] = {
	[IMAGE_WPAGES] = { "image-wpages", BENCH_NUMBER, "64", NULL,
			   "size of the image in 64 KiB pages" },
	[READS] = { "reads", BENCH_NUMBER, "64", NULL,
		    "host pages read in each cycle, always the same" },
	[WRITES] = { "writes", BENCH_NUMBER, "16", NULL,
		     "host pages written in each cycle, always the same" },
	[RANDOM_WRITES] = { "random-writes", BENCH_NUMBER, "0", NULL,
			    "more writes, drawn anew from the whole image" },
	[BOTH] = { "both", BENCH_NUMBER, "0", NULL,
		   "N: the same N pages read and written" },
	[SPREAD] = { "spread", BENCH_SPREAD, "all", NULL,
		     "all or within:MiB, where those pages lie" },
	[CHOICE] = { "choice", BENCH_WORD, "random", BENCH_CHOICE_WORDS,
		     "how they are chosen: " BENCH_CHOICE_WORDS },
	[GROW] = { "grow", BENCH_NUMBER, "0", NULL,
		   "64 KiB pages grown by and touched in each cycle" },
	[TABLE] = { "table", BENCH_NUMBER, "0", NULL,
		    "whole instances, with a table of so many 32-byte elements" },
	[TABLE_WRITES] = { "table-writes", BENCH_NUMBER, "0", NULL,
			   "elements written in each cycle, evenly spread" },
	[STRUCTURE] = { "structure", BENCH_NUMBER, "0", NULL,
			"whole instances, with so many bytes of the runtime's own" },
	[STRUCTURE_WRITES] = { "structure-writes", BENCH_NUMBER, "0", NULL,
			       "host pages of it written in each cycle, evenly spread" },
};

static const struct bench_competitor *const rivals[] = {
	&bench_mmap_memcpy,  &bench_uffd_thread,
	&bench_cow_dontneed, &bench_cow_keep,
	&bench_cow_scan_32,  &bench_cow_scan,
	&bench_memcpy_floor, NULL,
};

static void workload(uint64_t *values, struct bench_workload *w)
{
	if (values[BOTH])
		values[READS] = values[WRITES] = values[BOTH];
	*w = (struct bench_workload){
		.image_wpages = values[IMAGE_WPAGES],
		.reads = values[READS],
		.writes = values[WRITES],
		.random_writes = values[RANDOM_WRITES],
		.both = values[BOTH],
		.spread_mib = values[SPREAD],
		.choice = (enum bench_choice)values[CHOICE],
		.grow_wpages = values[GROW],
		.table_elements = values[TABLE],
		.table_writes = values[TABLE_WRITES],
		.structure_bytes = values[STRUCTURE],
		.structure_writes = values[STRUCTURE_WRITES],
	};
}

static const struct bench_program program = {
	.name = "cycle",
	.question = "take a slot, read and write in it, make it clean",
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
