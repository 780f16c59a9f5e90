/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_firsttouch.c - what does the first instance of a module in a slot
 * cost? Two steps: attach (the image is laid over the slot and the memory is
 * taken, nothing is touched) and first (attach, the guest's touches, and the
 * first release). The slot was empty before, or used with an image.
 *
 * Each operation is a block of its own, for what goes before it must not be
 * timed: undoing the last one.
 */
#include "competitors.h"

enum {
	STEP,
	SLOT,
	IMAGE_WPAGES,
	READS,
	WRITES,
	CHOICE,
	N_PARAMS,
};

enum step {
	STEP_FIRST,
	STEP_ATTACH,
};

enum slot {
	SLOT_EMPTY,
	SLOT_USED,
};

static const struct bench_param params[N_PARAMS] = {
	[STEP] = { "step", BENCH_WORD, "first,attach", "first|attach",
		   "first (attach, touch, release) or attach" },
	[SLOT] = { "slot", BENCH_WORD, "empty", "empty|used",
		   "empty, or used with an image before" },
	[IMAGE_WPAGES] = { "image-wpages", BENCH_NUMBER, "64", NULL,
			   "size of the image in 64 KiB pages" },
	[READS] = { "reads", BENCH_NUMBER, "64", NULL, "host pages read" },
	[WRITES] = { "writes", BENCH_NUMBER, "16", NULL, "host pages written" },
	[CHOICE] = { "choice", BENCH_WORD, "random,sequential",
		     BENCH_CHOICE_WORDS,
		     "how they are chosen: " BENCH_CHOICE_WORDS },
};

static const struct bench_competitor *const rivals[] = {
	&bench_plain_mmap,  &bench_mmap_memcpy,
	&bench_uffd_thread, &bench_cow_dontneed,
	&bench_cow_keep,    &bench_cow_scan_32,
	&bench_cow_scan,    NULL,
};

static void workload(uint64_t *values, struct bench_workload *w)
{
	*w = (struct bench_workload){
		.image_wpages = values[IMAGE_WPAGES],
		.reads = values[READS],
		.writes = values[WRITES],
		.choice = (enum bench_choice)values[CHOICE],
	};
}

static int prepare(struct bench_lane *lane)
{
	int err = 0;

	if (lane->taken && lane->c->values[SLOT] == SLOT_USED)
		err = bench_lane_touch(lane);
	if (!err && lane->taken)
		err = bench_lane_give(lane);
	if (!err && lane->c->values[SLOT] == SLOT_EMPTY)
		err = bench_lane_detach(lane);
	return err;
}

static int first(struct bench_lane *lane)
{
	int err = bench_lane_attach(lane);

	if (!err)
		err = bench_lane_take(lane);
	if (err || lane->c->values[STEP] == STEP_ATTACH)
		return err;
	err = bench_lane_touch(lane);
	return err ? err : bench_lane_give(lane);
}

static const struct bench_program program = {
	.name = "firsttouch",
	.question = "the first instance of a module in a slot",
	.params = params,
	.n_params = N_PARAMS,
	.rivals = rivals,
	.workload = workload,
	.op = first,
	.prepare = prepare,
};

int main(int argc, char **argv)
{
	return bench_main(&program, argc, argv);
}
