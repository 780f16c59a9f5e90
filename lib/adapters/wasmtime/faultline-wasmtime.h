/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasmtime.h - memories from a Faultline pool for Wasmtime, through its
 * C API and without a change to it.
 *
 *	fl_wasmtime_use(config, pool, &error);		before the engine is made
 *	engine = wasm_engine_new_with_config(config);
 *	fl_wasmtime_load(engine, fl, pool, bytes, length, &module, &error);
 *	...
 *	fl_wasmtime_begin(&batch, module, 0, &error);
 *	wasmtime_instance_new(context, module->compiled, ...);
 *	fl_wasmtime_end(&batch);
 *	...
 *	wasmtime_store_delete(store);	gives the memories back to the pool
 *
 * Wasmtime asks a memory creator for each memory that an instance defines, and
 * tells the creator a type and no module. So an instantiation is announced, on
 * the thread that makes it. A memory that nobody announced is refused: Wasmtime
 * compiled a module without its data, and a memory of zeroes would be wrong.
 *
 * - The engine's allocation strategy is Wasmtime's default, on demand. Wasmtime
 *   asks no creator in its pooling strategy; fl_wasmtime_load() tries that out
 *   and refuses such an engine.
 * - What Wasmtime's code takes for granted is the pool's: fl_wasmtime_use() sets
 *   reservation and guard, and each memory is checked against them.
 *   FL_BOUNDS_ACCESSIBLE makes Wasmtime check bounds in code.
 * - A module is compiled whole, and gets memories of zeroes that Wasmtime fills,
 *   where its data cannot be in an image: a shared memory, an imported memory
 *   with data, offsets that are not known. module->whole_reason says so.
 * - Wasmtime makes shared memories, and those of wasmtime_memory_new(), itself,
 *   whatever the creator.
 * - A module that was compiled elsewhere, whole, is announced as NULL: memories of
 *   zeroes, which Wasmtime fills.
 * - Traps stay Wasmtime's: its own handler is asked about each fault.
 *
 * The pool and the module outlive the stores. Any thread; begin, instantiation
 * and end of one batch belong to one thread. For Wasmtime 48.
 */
#ifndef FAULTLINE_WASMTIME_H
#define FAULTLINE_WASMTIME_H

#include <faultline.h>

#ifdef __cplusplus
extern "C" {
#endif

/* As wasm.h and wasmtime.h name them. */
struct wasm_config_t;
struct wasm_engine_t;
struct wasmtime_module;

#define FL_WASMTIME_MAX_MEMORIES 16

/* A module for both: its images in Faultline, its code in Wasmtime. */
struct fl_wasmtime_module {
	struct fl_module *module;
	struct wasmtime_module *compiled;
	struct fl_pool *pool;
	/* Why Wasmtime copies the data itself; NULL: memories show images. */
	const char *whole_reason;
};

/* What is for one instantiation, between begin and end. The caller owns the
 * struct and keeps it in place; the content is the adapter's. */
struct fl_wasmtime_batch {
	struct fl_wasmtime_batch *outer;
	const struct fl_wasmtime_module *module;	/* NULL: zeroes */
	uint32_t first;		/* the index of the first memory defined */
	uint32_t count;
	uint32_t taken;
	uint32_t is_trial;
	struct fl_memory *memories[FL_WASMTIME_MAX_MEMORIES];
};

/*
 * Make an engine of this configuration take its memories from the pool: sets
 * the memory creator, the reservation, the guard, that memories do not move, and
 * that Wasmtime maps no images of its own. Errors: -EINVAL, as
 * fl_pool_adjust_tunables(); -ENOMEM.
 */
int fl_wasmtime_use(struct wasm_config_t *config, struct fl_pool *pool,
		    struct fl_error *error);

/*
 * Load a module for both: read it, make its images, and compile it without its
 * data. bytes are copied.
 *
 * Errors: as fl_module_load() and fl_pool_validate(); -EINVAL: Wasmtime refuses
 * the module, error->text has its words; -ENOTSUP: the engine does not ask for
 * memories here. After an error nothing is held.
 */
int fl_wasmtime_load(struct wasm_engine_t *engine, struct fl_context *context,
		     struct fl_pool *pool, const void *bytes,
		     uint64_t length_bytes, struct fl_wasmtime_module **module,
		     struct fl_error *error);
/* Instances that were made of the module live on. NULL is allowed. */
void fl_wasmtime_release(struct fl_wasmtime_module *module);

/*
 * Take the memories that the module defines, for the instantiation that this
 * thread makes next. module NULL: memories are zeroes, as many as are asked for.
 *
 * Errors: as fl_memory_acquire(); -E2BIG: more than FL_WASMTIME_MAX_MEMORIES
 * memories. After an error nothing is held, and the batch need not be ended.
 */
int fl_wasmtime_begin(struct fl_wasmtime_batch *batch,
		      const struct fl_wasmtime_module *module,
		      uint64_t timeout_ns, struct fl_error *error);

/* Give back what the instantiation did not take. Call it on every path after a
 * successful begin. Batches of one thread end in reverse order. */
void fl_wasmtime_end(struct fl_wasmtime_batch *batch);

#ifdef __cplusplus
}
#endif

#endif
