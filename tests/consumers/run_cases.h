/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* run_cases.h - the tests that each interpreter has to pass; see run_cases.c. */
#ifndef CONSUMERS_RUN_CASES_H
#define CONSUMERS_RUN_CASES_H

#include "run.h"
#include "tests/kit/conform.h"

struct run_scene {
	struct conform conform;
	struct guest_module work, start;
	struct fl_pool *pool;
};

void run_scene_open(struct run_scene *scene, uint32_t slots);
/* Nothing is held any more. */
void run_scene_close(struct run_scene *scene);
void run_must_start(const struct guest_module *module, struct fl_pool *pool,
		    struct guest *guest);
void run_check_start_refused(struct fl_pool *pool,
			     const struct guest_module *module, int err,
			     const char *words);

void run_answers_equal_stock(void);
void run_traps_at_every_edge(void);
void run_one_after_another(void);
void run_two_threads(void);
void run_start_function_sees_the_data(void);
void run_clones_and_sessions(void);
void run_foreign_snapshots_are_refused(void);

#endif
