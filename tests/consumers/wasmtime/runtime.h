/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * runtime.h - Wasmtime on its own memories or on a pool's, in the few calls that
 * the tests and the benchmark of the adapter need. What cannot fail there ends
 * the program.
 */
#ifndef CONSUMERS_WASMTIME_RUNTIME_H
#define CONSUMERS_WASMTIME_RUNTIME_H

#include <faultline-wasmtime.h>
#include <wasm.h>
#include <wasmtime.h>

/* What this adapter calls a struct, the header has to name so too. */
_Static_assert(sizeof(wasmtime_linear_memory_t) == 4 * sizeof(void *) &&
		       sizeof(wasmtime_memory_creator_t) == 3 * sizeof(void *),
	       "the adapter declares these structs");
_Static_assert(sizeof(wasmtime_val_t) <= 32 && sizeof(wasmtime_extern_t) == 32 &&
		       sizeof(wasmtime_func_t) == 16 && WASMTIME_FUNCREF == 5 &&
		       WASMTIME_V128 == 4 && WASMTIME_EXTERN_MEMORY == 3,
	       "the adapter declares these too");

/* An engine, with a pool or without. */
struct engine {
	wasm_engine_t *engine;
	struct fl_context *context;
	struct fl_pool *pool;	/* NULL: Wasmtime's own memories */
};

/* A module that an engine has compiled. */
struct program {
	const struct engine *engine;
	struct fl_wasmtime_module *loaded;	/* NULL: without a pool */
	wasmtime_module_t *compiled;
};

/* An instance in a store of its own. */
struct running {
	wasmtime_store_t *store;
	wasmtime_context_t *context;
	wasmtime_instance_t instance;
};

void runtime_need(bool holds, const char *what);
/* Take an error of Wasmtime's; its words are in a buffer of the thread. */
const char *runtime_words(wasmtime_error_t *error);

void engine_open(struct engine *engine, struct fl_context *context,
		 struct fl_pool *pool, wasm_config_t *config);
void engine_close(struct engine *engine);

/* From the text format. */
wasm_byte_vec_t wasm_of(const char *text);
void program_open(struct program *program, const struct engine *engine,
		  const void *bytes, size_t length);
/* In an engine with a pool, and snapshots can be made of its instances. */
void program_open_resumable(struct program *program,
			    const struct engine *engine, const void *bytes,
			    size_t length);
void program_close(struct program *program);

/* NULL, or why there is no instance; then nothing is held. */
const char *running_start(struct running *running,
			  const struct program *program,
			  const wasmtime_extern_t *imports, size_t count);
void running_end(struct running *running);

/* Call an export that takes up to two i32 and gives one. NULL, or the words of
 * the trap. */
const char *running_call(struct running *running, const char *name,
			 uint32_t a, uint32_t b, uint32_t *answer);
bool running_export(struct running *running, const char *name,
		    wasmtime_extern_t *item);

#endif
