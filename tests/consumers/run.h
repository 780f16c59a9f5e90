/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * run.h - guests in an interpreter, on its own memories or on a pool's: what the
 * tests and the benchmark of the adapters for interpreters share.
 *
 * Each interpreter has a folder with runtime.h and runtime.c, which define the
 * structs and the functions below. The guest is work.wasm of run-guests.sh. A
 * function of it takes one number and leaves its answer in memory, at RUN_ANSWER.
 */
#ifndef CONSUMERS_RUN_H
#define CONSUMERS_RUN_H

#include <runtime.h>

#define RUN_ANSWER 16
#define RUN_WPAGES 64
#define RUN_MAX_WPAGES 80
#define RUN_DATA_END 2097152u

/* Whatever cannot fail in these ends the program. The interpreter itself: before
 * the first and after the last of what follows. */
void runtime_open(void);
void runtime_close(void);

/* A pool for the interpreter, which checks bounds. One at a time. */
struct fl_pool *guest_pool(struct fl_context *context, uint32_t slots);
int guest_pool_close(struct fl_pool *pool);

/* While the pool is there. */
void guest_module_open(struct guest_module *module, struct fl_context *context,
		       const char *name);
void guest_module_close(struct guest_module *module);

/* On the pool, or for NULL as the interpreter does it alone. Nothing is held
 * after an error. */
int guest_start(const struct guest_module *module, struct fl_pool *pool,
		struct guest *guest, struct fl_error *error);
/* The resumable form of the module: a fresh guest for a snapshot of NULL, a clone, or
 * with a delta the session that it was taken of. */
int guest_resume(const struct guest_module *module, struct fl_pool *pool,
		 struct fl_snapshot *snapshot, const struct fl_delta *delta,
		 struct guest *guest, struct fl_error *error);
/* Of guests that guest_resume() began. */
int guest_snapshot(struct guest *guest, const struct guest_module *module,
		   struct fl_snapshot **snapshot, struct fl_error *error);
int guest_delta(struct guest *guest, const struct guest_module *module,
		struct fl_snapshot *snapshot, struct fl_delta **delta,
		struct fl_error *error);
/* NULL, or the interpreter's words for the trap. */
const char *guest_call(struct guest *guest, const char *name, uint32_t arg,
		       uint32_t *answer);
uint8_t *guest_memory(struct guest *guest, uint32_t *length);
/* The pool's. */
struct fl_memory *guest_handle(struct guest *guest);
void guest_end(struct guest *guest);

#endif
