/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * serve.h - the parts of the program serve: who does the work (serve_pool.c
 * with Faultline, serve_stock.c with children that run wasm2c without it),
 * and what came of it (serve.c).
 */
#ifndef SERVE_H
#define SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <faultline.h>

#include "guest.h"

/* A part of the work: instances number first to first + count - 1, shared out
 * evenly among the workers; count is a multiple of their number. */
struct job {
	const struct guest *guest;
	uint32_t first;
	uint32_t count;
	uint32_t workers; /* at work at the same time */
	/* Each call_every-th instance answers a request; 0: none does. */
	uint32_t call_every;
};

/* What all jobs of one kind did together. samples[i] is instance number i. */
struct outcome {
	struct sample *samples;
	uint32_t count;
	uint64_t wall_ns;
	uint64_t page_faults;
};

/* What the requests are served from. */
struct service {
	struct fl_context *context;
	struct fl_pool *pool;
	struct fl_module *modules[GUEST_COUNT];
};

/* modules_dir holds own.wasm and imp.wasm, whole. The three functions return
 * 0, or -1 after a sentence on stderr. */
int service_open(struct service *service, const char *modules_dir);
int service_run(const struct service *service, const struct job *job,
		struct outcome *outcome);
int service_close(struct service *service);

/* A program that does the same work without Faultline; its workers are threads
 * or processes. */
struct rival {
	const char *program;
	bool has_threads;
};

/* call_every is 0 or 1 here. 0, or -1 after a sentence on stderr. */
int rival_run(const struct rival *rival, const struct job *job,
	      struct outcome *outcome);

/* Add what the workers of one job report, which were at work at the same
 * time. */
void outcome_add(struct outcome *outcome, const struct job *job,
		 const struct worker_report *reports);

#endif
