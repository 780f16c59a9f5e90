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
struct wasm_trap_t;
struct wasmtime_module;
struct wasmtime_store;
struct wasmtime_context;
struct wasmtime_instance;
struct wasmtime_extern;

#define FL_WASMTIME_MAX_MEMORIES 16

struct fl_wasmtime_held;

/* A module for both: its images in Faultline, its code in Wasmtime. */
struct fl_wasmtime_module {
	struct fl_module *module;
	struct wasmtime_module *compiled;
	struct fl_pool *pool;
	/* By fl_wasmtime_load_resumable(): what an instance is made of. */
	struct fl_state_export *exports;
	uint32_t export_count;
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
	struct fl_wasmtime_held *held[FL_WASMTIME_MAX_MEMORIES];
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

/*
 * Snapshots: an instance that has started is captured once, and clones of it begin
 * where it stood, in this store or another, in this process or another.
 *
 *	fl_wasmtime_load_resumable(engine, fl, pool, bytes, length, &module, &error);
 *	... begin, wasmtime_instance_new(), end ...
 *	fl_wasmtime_start(context, &instance, module, &trap, &error);
 *	... whatever the guest does once: its runtime, its libraries ...
 *	fl_wasmtime_snapshot(context, &instance, module, &snapshot, &error);
 *	...
 *	fl_wasmtime_clone(context, module, imports, count, snapshot, NULL, 0,
 *			  &instance, &trap, &error);
 *	... a request ...
 *	fl_wasmtime_suspend(store, &instance, module, snapshot, NULL, &delta, &error);
 *	... any time later: fl_wasmtime_clone() with the delta ...
 *
 * - One compiled module serves every snapshot: nothing is compiled again.
 * - Snapshots and deltas are the library's: fl_snapshot_write(), fl_snapshot_open()
 *   with FL_WASMTIME_ENCODING, fl_delta_bytes(), fl_delta_open() and the rest. The
 *   state that they hold says what globals and tables had, functions by index.
 * - The module is compiled with reserved exports, named "faultline:...", and
 *   without its start section. Its other exports keep their indices.
 * - Between calls alone: no call of the instance is under way, on this stack or on
 *   a fiber.
 * - Imports are the caller's. Clones get the same functions and the same values of
 *   immutable globals, or the clone is no clone.
 * - What must differ between clones, as seeds of random numbers, the host renews in
 *   each one before the first request.
 * - A store's limiter is asked about growth only, and not about the size that a
 *   clone begins with.
 */
#define FL_WASMTIME_ENCODING "fl_wasmtime 1"

/*
 * Load a module of whose instances snapshots can be made. Everything else as
 * fl_wasmtime_load(). Errors besides: -ENOTSUP, and the text names what cannot be
 * captured: see fl_module_state_exports(); and modules whose data Wasmtime would
 * copy (whole_reason).
 */
int fl_wasmtime_load_resumable(struct wasm_engine_t *engine,
			       struct fl_context *context,
			       struct fl_pool *pool, const void *bytes,
			       uint64_t length_bytes,
			       struct fl_wasmtime_module **module,
			       struct fl_error *error);

/*
 * Run the module's start function, if the module has one: once, after an
 * instantiation that is no clone's. *trap is NULL, or the trap that Wasmtime gave,
 * which the caller deletes; then the answer is -EINVAL too. Errors: -EINVAL
 * (Wasmtime's words; a module that was not loaded resumable).
 */
int fl_wasmtime_start(struct wasmtime_context *context,
		      const struct wasmtime_instance *instance,
		      const struct fl_wasmtime_module *module,
		      struct wasm_trap_t **trap, struct fl_error *error);

/*
 * Capture an instance. It lives on. Errors: -ENOTSUP (a table or a global holds a
 * function that is not the module's own, with its place), -EINVAL (not an instance
 * of this module in this pool), and as fl_image_from_memory() and
 * fl_snapshot_create().
 */
int fl_wasmtime_snapshot(struct wasmtime_context *context,
			 const struct wasmtime_instance *instance,
			 const struct fl_wasmtime_module *module,
			 struct fl_snapshot **snapshot,
			 struct fl_error *error);

/* As fl_wasmtime_begin(), for an instantiation that becomes a clone, by
 * fl_wasmtime_restore() after fl_wasmtime_end(): for hosts that instantiate by a
 * linker. delta NULL: where the snapshot stands. Errors besides: -EINVAL (of
 * another module, of another snapshot, of another encoding). */
int fl_wasmtime_begin_clone(struct fl_wasmtime_batch *batch,
			    const struct fl_wasmtime_module *module,
			    struct fl_snapshot *snapshot,
			    const struct fl_delta *delta, uint64_t timeout_ns,
			    struct fl_error *error);

/* Give the instance's globals and tables what the snapshot, or the delta, holds.
 * Errors: -EINVAL, -ENOEXEC (a state that is not one of this module's), -E2BIG (a
 * table cannot grow as large), -ENOMEM. After an error the store is only to be
 * deleted. */
int fl_wasmtime_restore(struct wasmtime_context *context,
			const struct wasmtime_instance *instance,
			const struct fl_wasmtime_module *module,
			const struct fl_snapshot *snapshot,
			const struct fl_delta *delta, struct fl_error *error);

/* All three: begin a clone, wasmtime_instance_new() with these imports, end,
 * restore. *trap as of fl_wasmtime_start(). After an error the store is only to be
 * deleted. */
int fl_wasmtime_clone(struct wasmtime_context *context,
		      const struct fl_wasmtime_module *module,
		      const struct wasmtime_extern *imports,
		      size_t import_count, struct fl_snapshot *snapshot,
		      const struct fl_delta *delta, uint64_t timeout_ns,
		      struct wasmtime_instance *instance,
		      struct wasm_trap_t **trap, struct fl_error *error);

/* What a clone differs by from the snapshot now. It lives on. tag: 32 bytes, or
 * NULL for zeroes. Errors: as fl_memory_delta(), and as fl_wasmtime_snapshot(). */
int fl_wasmtime_delta(struct wasmtime_context *context,
		      const struct wasmtime_instance *instance,
		      const struct fl_wasmtime_module *module,
		      struct fl_snapshot *snapshot, const uint8_t *tag,
		      struct fl_delta **delta, struct fl_error *error);

/*
 * The same, and the store ends, by wasmtime_store_delete(): the memories of the
 * clone have gone back before, so a finalizer of the host's in the store may not
 * look at them. After an error store and clone live and nothing has changed.
 */
int fl_wasmtime_suspend(struct wasmtime_store *store,
			const struct wasmtime_instance *instance,
			const struct fl_wasmtime_module *module,
			struct fl_snapshot *snapshot, const uint8_t *tag,
			struct fl_delta **delta, struct fl_error *error);

#ifdef __cplusplus
}
#endif

#endif
