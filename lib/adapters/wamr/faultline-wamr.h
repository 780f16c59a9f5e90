/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wamr.h - memories from a Faultline pool for the interpreter WAMR.
 *
 * WAMR allocates a module's memory, clears it, and copies the data segments.
 * With this adapter the memory comes from a pool and shows the segments already:
 *
 *	wasm_runtime_full_init(&args);
 *	err = fl_wamr_use(pool, &error);
 *	err = fl_wamr_load(context, bytes, length, &module, &error);
 *	err = fl_wamr_instantiate(module, NULL, &instance, &error);
 *	...			wasm_runtime_call_wasm() as ever
 *	wasm_runtime_deinstantiate(instance);	gives the memory back
 *	fl_wamr_release(module);
 *	err = fl_wamr_use(NULL, &error);
 *	wasm_runtime_destroy();
 *
 * How WAMR is made to ask here
 *
 * - The version of 2020 (crate wamr-sys 0.1.1) needs wamr-sys-0.1.1.patch, which
 *   is installed with the library's data. Whatever RuntimeInitArgs says is for
 *   all else that WAMR allocates.
 * - Newer versions have a hook. It has not been tried with this adapter: what
 *   serves it is written after WAMR's documentation. Build WAMR with
 *   WAMR_BUILD_ALLOC_WITH_USAGE=1 and WAMR_BUILD_ALLOC_WITH_USER_DATA=1. Set
 *   mem_alloc_type to Alloc_With_Allocator; malloc_func, realloc_func and
 *   free_func of the allocator to fl_wamr_malloc, fl_wamr_realloc and
 *   fl_wamr_free; and user_data to NULL. Where WAMR finds traps by a signal
 *   handler and not by checks in code, the pool needs a memory_stride_bytes of
 *   8 GiB and FL_BOUNDS_GUARDED.
 *
 * fl_wamr_use() tries whether WAMR asks here, and refuses otherwise.
 *
 * A hook is told a size and no module. So an instantiation goes through
 * fl_wamr_instantiate(), and a memory that nobody announced is refused: WAMR
 * fails, and fl_wamr_last_error() says why. A memory never comes from malloc()
 * in place of the pool: WAMR has modules without their data, and such a memory
 * would have lost the data.
 *
 * Where the data cannot be in an image (an imported memory, offsets that are not
 * known), WAMR gets the whole module and a memory of zeroes, and copies;
 * module->whole_reason says so. Refused by name: modules compiled ahead of time
 * (AOT), whose bytes hold no WebAssembly; shared memories; memories of 64-bit
 * addresses or of other pages.
 *
 * Clones and sessions, where memory is all that an instance is made of: a module
 * loaded by fl_wamr_load_resumable() has a function more, which traps unless each
 * global has its initial value, as a C program's stack pointer has after each call
 * that returned. fl_wamr_snapshot() captures an instance in which no call is under
 * way, and is refused where that function traps; fl_wamr_instantiate() with a
 * snapshot gives a clone; fl_wamr_delta() tells what a clone has changed, and
 * fl_wamr_instantiate() with that delta goes on from there. Refused by name: tables
 * that can change, start functions, what WAMR would run over a clone's memory
 * (__post_instantiate, __wasm_call_ctors, _initialize: rename the export and call
 * it), and WAMR's own heap, which holds addresses. What the host keeps for a guest
 * is the host's.
 *
 * WAMR checks bounds in code: FL_BOUNDS_ACCESSIBLE with memory_stride_bytes 0 is
 * the small and fast pool for it. Lower max_memory_bytes too, because a slot is
 * as large as that says; the heap that WAMR adds (heap_bytes) is part of the
 * memory. Growth ends where the module, the pool or WAMR says, whichever is
 * first. A memory grows in place.
 *
 * Threads: any. WAMR is one for the process, and so is the pool in use. For
 * 64-bit hosts.
 */
#ifndef FAULTLINE_WAMR_H
#define FAULTLINE_WAMR_H

#include <faultline.h>

#ifdef __cplusplus
extern "C" {
#endif

/* wasm_export.h calls pointers to these wasm_module_t and wasm_module_inst_t. */
struct WASMModuleCommon;
struct WASMModuleInstanceCommon;

/* A module for both: its image in Faultline, its code in WAMR. Read the fields.
 * wasm_runtime_instantiate() of loaded is refused. */
struct fl_wamr_module {
	struct fl_module *module;
	struct WASMModuleCommon *loaded;
	/* Why WAMR copies the data itself; NULL: the memory shows an image. */
	const char *whole_reason;
	void *bytes;		/* what WAMR loaded, and goes on using */
	bool is_resumable;
};

struct fl_wamr_config {
	size_t size;		/* set by the caller to sizeof */
	/* Initial content in place of the module's: NULL for the module's. Not
	 * for a module with a whole_reason: -EINVAL. */
	struct fl_image *image;
	uint64_t timeout_ns;	/* as in fl_memory_config */
	uint32_t stack_bytes;	/* wasm_runtime_instantiate()'s stack_size */
	uint32_t heap_bytes;	/* and its heap_size */
	/* Begin as the snapshot stood, and as the delta, if there is one, was
	 * taken of a clone of it. The module is a resumable one. */
	struct fl_snapshot *snapshot;
	const struct fl_delta *delta;
};

/*
 * Take memories from this pool from now on, and NULL: from none. WAMR has been
 * initialised. The pool outlives the instances.
 *
 * Errors: -EBUSY: another pool is in use and has memories that live; -ENOTSUP:
 * WAMR does not ask here, or clears what it is given. Then nothing has changed.
 */
int fl_wamr_use(struct fl_pool *pool, struct fl_error *error);

/*
 * Load a module for both: read it, make its image, and have WAMR load it without
 * its data. bytes are copied.
 *
 * Errors: as fl_module_load(), and as fl_pool_validate() for the pool in use;
 * -EINVAL: WAMR refuses the module, error->text has its words; -ENOTSUP: what
 * cannot work, above, or no pool is in use. After an error nothing is held.
 */
int fl_wamr_load(struct fl_context *context, const void *bytes,
		 uint64_t length_bytes, struct fl_wamr_module **module,
		 struct fl_error *error);
/*
 * The same, and fl_wamr_snapshot() captures instances of the module.
 *
 * Errors: as fl_wamr_load(), and as fl_module_write_resumable().
 */
int fl_wamr_load_resumable(struct fl_context *context, const void *bytes,
			   uint64_t length_bytes,
			   struct fl_wamr_module **module,
			   struct fl_error *error);
/* When no instance of the module lives. NULL is allowed. */
void fl_wamr_release(struct fl_wamr_module *module);

/*
 * wasm_runtime_instantiate(), with a memory of the pool that shows the module's
 * image. config may be NULL.
 *
 * Errors: as fl_memory_acquire(), a full pool among them; -EINVAL: WAMR refuses,
 * or the start function traps: error->text has WAMR's words; -ENOTSUP: WAMR asked
 * for other memories than the module has. After an error nothing is held.
 */
int fl_wamr_instantiate(const struct fl_wamr_module *module,
			const struct fl_wamr_config *config,
			struct WASMModuleInstanceCommon **instance,
			struct fl_error *error);

/*
 * Capture an instance of the module. No call of it is under way. It lives on. The
 * snapshot is for fl_wamr_instantiate(), and for fl_snapshot_write() and
 * fl_snapshot_open() with the encoding FL_WAMR_ENCODING.
 *
 * Errors: as fl_image_from_memory(); -EINVAL: the module is not resumable; -ENOTSUP:
 * a global has another value than at the start, or what is refused by name above.
 * After an error nothing has changed.
 */
int fl_wamr_snapshot(struct WASMModuleInstanceCommon *instance,
		     const struct fl_wamr_module *module,
		     struct fl_snapshot **snapshot, struct fl_error *error);

/*
 * What a clone of the snapshot differs by: a session that can sleep. The instance
 * lives on; wasm_runtime_deinstantiate() ends it.
 *
 * Errors: as fl_memory_delta(), and as above.
 */
int fl_wamr_delta(struct WASMModuleInstanceCommon *instance,
		  const struct fl_wamr_module *module,
		  struct fl_snapshot *snapshot, struct fl_delta **delta,
		  struct fl_error *error);

/* What such a snapshot holds: a memory. Those of faultline-wasm3.h are the same. */
#define FL_WAMR_ENCODING "fl_memory 1"

/* The pool's memory of an instance, for fl_memory_prefault() and the like; NULL
 * if the instance has none, or an empty one. */
struct fl_memory *fl_wamr_memory(struct WASMModuleInstanceCommon *instance);

/* Why this thread's last call of WAMR's for a memory failed; "" before any did.
 * The text is good until the next such call. */
const char *fl_wamr_last_error(void);

/*
 * What WAMR calls. usage is its mem_alloc_usage_t: 1 for a linear memory, 0 for
 * all else, which comes from malloc(). NULL where that fails, or the request is
 * not what this adapter was set up for.
 */
void *fl_wamr_malloc(int usage, void *user_data, unsigned int size);
void *fl_wamr_realloc(int usage, bool is_mapped_whole, void *user_data,
		      void *ptr, unsigned int size);
void fl_wamr_free(int usage, void *user_data, void *ptr);

#ifdef __cplusplus
}
#endif

#endif
