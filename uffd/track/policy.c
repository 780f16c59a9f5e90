/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* policy.c - when is watching again worth its price? See policy.h. */
#include "policy.h"

/* In comparisons of a page, a tenth of a microsecond each: a system call with
 * the interrupts that it sends to other processors, and the fault of a page that
 * is in use after all. */
#define CALL_COST 100
#define FAULT_COST 8

/* Quiet pages in few runs are often written again after some tenants. Waiting
 * costs a comparison a page; watching such pages too early costs a call,
 * faults, and a release that is slower than the others. */
#define FEW_RUNS 16
#define PATIENCE 800

/* Waiting doubles up to 2^this. */
#define MAX_PATIENCE 6

/*
 * Few quiet runs are watched again by a call each, and late. Many quiet runs
 * are watched again by one call for whole chunks, and sooner, because many cost
 * more. The hot pages in these chunks then fault once.
 */
enum fl__sweep fl__policy_sweep(struct fl__sweeps *sweeps,
				const struct fl__found *found)
{
	bool is_many = found->quiet_runs > fl_max_u64(FEW_RUNS, found->hot);
	uint64_t cost =
		is_many ? CALL_COST + FAULT_COST * found->hot :
			  fl_max_u64(PATIENCE, CALL_COST * found->quiet_runs);

	sweeps->quiet_cost += found->quiet;
	sweeps->returned += found->returned;
	if (!found->quiet || sweeps->quiet_cost <= cost << sweeps->patience)
		return FL__SWEEP_NONE;
	if (sweeps->swept && 2 * sweeps->returned >= sweeps->swept) {
		sweeps->swept = 0;
		if (sweeps->patience < MAX_PATIENCE) {
			sweeps->patience++;
			return FL__SWEEP_NONE;
		}
	} else if (sweeps->swept) {
		sweeps->patience = 0;
	}
	sweeps->quiet_cost = sweeps->returned = 0;
	sweeps->swept = found->quiet;
	return is_many ? FL__SWEEP_CHUNKS : FL__SWEEP_RUNS;
}

void fl__policy_swept(struct fl__watch *watch, enum fl__sweep sweep)
{
	bool is_all = sweep == FL__SWEEP_CHUNKS && watch->has_quiet;

	for (int i = 0; i < FL__CHUNK_WORDS; i++) {
		watch->quiet[i] &= watch->open[i];
		watch->open[i] &= is_all ? 0 : ~watch->quiet[i];
		watch->hot[i] &= watch->open[i];
	}
	watch->has_quiet = false;
}
