/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* policy.c - when is watching again worth its price? See policy.h. */
#include "policy.h"

/* In comparisons of a page, a tenth of a microsecond each: a system call with
 * the interrupts that it sends to other processors, and the fault of a page that
 * is in use after all. */
#define CALL_COST 100
#define FAULT_COST 8

/* Quiet pages in few runs are often written again after some tenants. Waiting
 * costs a comparison each, and watching them too early a call, faults, and a
 * release that is slower than the others. */
#define FEW_RUNS 16
#define PATIENCE 800

/*
 * Few quiet runs are watched again by a call each, and late. Many are watched
 * again by one call for whole chunks, and sooner, because they cost more: hot
 * pages in those chunks fault once.
 */
enum fl__sweep fl__policy_sweep(uint64_t quiet_cost, uint64_t quiet_runs,
				uint64_t hot_count)
{
	if (!quiet_runs)
		return FL__SWEEP_NONE;
	if (quiet_runs > fl_max_u64(FEW_RUNS, hot_count))
		return quiet_cost > CALL_COST + FAULT_COST * hot_count ?
			       FL__SWEEP_CHUNKS :
			       FL__SWEEP_NONE;
	return quiet_cost > fl_max_u64(PATIENCE, CALL_COST * quiet_runs) ?
		       FL__SWEEP_RUNS :
		       FL__SWEEP_NONE;
}
