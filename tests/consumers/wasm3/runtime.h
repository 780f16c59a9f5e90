/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* runtime.h - run.h's guests, in wasm3. */
#ifndef CONSUMERS_WASM3_RUNTIME_H
#define CONSUMERS_WASM3_RUNTIME_H

#include <faultline-wasm3.h>

#define RUN_NAME "wasm3"
#define RUN_CYCLE "parse, load, call, free"
#define RUN_TRAP_BOUNDS "[trap] out of bounds memory access"

/* A module: whole, without its data, and resumable if it can be. */
struct guest_module {
	uint8_t *whole, *free, *resumable;
	uint64_t whole_bytes, free_bytes, resumable_bytes;
	struct fl_module *module;
};

struct guest {
	struct M3Environment *env;
	struct M3Runtime *runtime;
};

#endif
