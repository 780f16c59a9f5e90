/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasm3.h - memories from a Faultline pool for the interpreter wasm3.
 *
 * wasm3 allocates a module's memory by its own m3_Realloc(), clears it, and
 * copies the data segments. With this adapter the memory comes from a pool and
 * shows the segments already. wasm3 is not changed:
 *
 *	m3_ParseModule(env, &parsed, free_bytes, free_length);
 *	err = fl_wasm3_load(pool, module, runtime, parsed, NULL, &error);
 *	...			m3_FindFunction(), m3_Call() as ever
 *	m3_FreeRuntime(runtime);	gives the memory back
 *
 * What to do once
 *
 * - Link with what `pkg-config --libs faultline-wasm3` says, before wasm3. It
 *   makes the linker send m3_Realloc() and m3_Free() here. That works where
 *   wasm3's m3_core.c is an object of its own, as wasm3's own build makes it.
 *   All else goes on to wasm3. fl_wasm3_load() tries once whether the calls
 *   arrive, and refuses to load otherwise.
 * - fl_module_load() the whole module, and give wasm3 the data-free one
 *   (fl_module_write_data_free(), or `wasm-image data-free`).
 * - wasm3 keeps a header before the first byte: give the pool a prefix_bytes of
 *   FL_WASM3_PREFIX_BYTES or more.
 * - wasm3 checks bounds: FL_BOUNDS_ACCESSIBLE with memory_stride_bytes 0 is the
 *   small and fast pool for it. Lower max_memory_bytes too, because a slot is
 *   as large as that says.
 *
 * The data-free module is for fl_wasm3_load() alone. m3_LoadModule() would load
 * it too, into a memory of zeroes.
 *
 * What cannot work is refused: a second module with a memory in one runtime
 * (wasm3 would make both one memory), and a runtime whose memory limit is below
 * the module's minimum.
 *
 * Clones and sessions, where memory is all that an instance is made of: give wasm3
 * what fl_module_write_resumable() writes in place of the data-free module. Then
 * fl_wasm3_snapshot() captures a runtime in which no call is under way,
 * fl_wasm3_load() with a snapshot begins a clone, fl_wasm3_delta() tells what a
 * clone has changed, and fl_wasm3_load() with that delta goes on from there. wasm3
 * 0.5 lets nobody read a global, so the written module has a function that traps
 * unless each global has its initial value, as a C program's stack pointer has
 * after each call that returned; where it traps, the capture is refused. Tables
 * that can change, start functions and the rest are refused by name when the module
 * is written. What the host keeps for a guest is the host's.
 *
 * Growth ends where the module, the pool or wasm3 says, whichever is first. A
 * memory grows in place.
 *
 * Threads: any. A runtime belongs to one thread at a time, as wasm3 has it. This
 * is for wasm3 0.5 and for 64-bit hosts.
 */
#ifndef FAULTLINE_WASM3_H
#define FAULTLINE_WASM3_H

#include <faultline.h>

#ifdef __cplusplus
extern "C" {
#endif

/* wasm3.h calls pointers to these IM3Runtime and IM3Module. */
struct M3Runtime;
struct M3Module;

/* What the adapter and wasm3 keep before the first byte of a memory. */
#define FL_WASM3_PREFIX_BYTES 32

struct fl_wasm3_config {
	size_t size;		/* set by the caller to sizeof */
	/* Initial content in place of the module's: NULL for the module's. */
	struct fl_image *image;
	uint64_t timeout_ns;	/* as in fl_memory_config */
	/* Begin as the snapshot stood, and as the delta, if there is one, was
	 * taken of a clone of it. parsed is of the resumable module. */
	struct fl_snapshot *snapshot;
	const struct fl_delta *delta;
};

/*
 * m3_LoadModule(), for a module whose memory comes from the pool with the image
 * of module. parsed is what wasm3 parsed of the data-free module. config may be
 * NULL. A module without a memory of its own takes none.
 *
 * Errors: as fl_memory_acquire(), with nothing loaded and parsed still the
 * caller's; -EINVAL: wasm3 refused, error->text has its words, and parsed
 * belongs to whom m3_LoadModule() leaves it; -ENOTSUP: wasm3's calls do not
 * arrive here, so that nothing was loaded, or the pool's prefix is too small.
 * With a snapshot also as fl_delta_restore_memory(); -EINVAL, -ENOTSUP: the snapshot
 * is another module's or runtime's; -EPROTO: wasm3 has loaded the module, and cannot
 * go on from the snapshot (error->text says why: most likely parsed is not of the
 * resumable module): parsed is the runtime's, and the runtime only to be freed.
 */
int fl_wasm3_load(struct fl_pool *pool, const struct fl_module *module,
		  struct M3Runtime *runtime, struct M3Module *parsed,
		  const struct fl_wasm3_config *config,
		  struct fl_error *error);

/* The pool's memory of a runtime that has loaded a module with a memory, for
 * fl_memory_prefault() and the like; NULL if it did not come through this header,
 * or is empty. */
struct fl_memory *fl_wasm3_memory(struct M3Runtime *runtime);

/*
 * Capture what has been loaded: module is the one that fl_wasm3_load() got. No call
 * of the runtime's is under way. The runtime lives on. The snapshot is for
 * fl_wasm3_load(), and for fl_snapshot_write() and fl_snapshot_open() with the
 * encoding FL_WASM3_ENCODING.
 *
 * Errors: as fl_image_from_memory(); -ENOTSUP: a global has another value than at
 * the start; -EINVAL: the runtime has no memory of the pool's, or was not loaded of
 * the resumable module. After an error nothing has changed.
 */
int fl_wasm3_snapshot(struct M3Runtime *runtime, struct fl_module *module,
		      struct fl_snapshot **snapshot, struct fl_error *error);

/*
 * What a clone of the snapshot differs by: a session that can sleep. The runtime
 * lives on; m3_FreeRuntime() ends it.
 *
 * Errors: as fl_memory_delta(), and as above.
 */
int fl_wasm3_delta(struct M3Runtime *runtime, struct fl_snapshot *snapshot,
		   struct fl_delta **delta, struct fl_error *error);

/* What such a snapshot holds: a memory. Those of faultline-wamr.h are the same. */
#define FL_WASM3_ENCODING "fl_memory 1"

#ifdef __cplusplus
}
#endif

#endif
