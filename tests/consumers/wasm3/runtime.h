/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * runtime.h - guests in wasm3, on its own memories or on a pool's: what the
 * tests and the benchmark of the adapter share.
 *
 * The guest is work.wasm. A function of it takes one number and leaves its
 * answer in memory, at WASM3_ANSWER.
 */
#ifndef CONSUMERS_WASM3_RUNTIME_H
#define CONSUMERS_WASM3_RUNTIME_H

#include <faultline-wasm3.h>

#define WASM3_ANSWER 16
#define WASM3_WPAGES 64

/* A module, whole and without its data. */
struct guest_module {
	uint8_t *whole, *free;
	uint64_t whole_bytes, free_bytes;
	struct fl_module *module;
};

struct guest {
	struct M3Environment *env;
	struct M3Runtime *runtime;
};

void guest_module_open(struct guest_module *module, struct fl_context *context,
		       const char *name);
void guest_module_close(struct guest_module *module);

/* A pool for wasm3: guest code checks bounds. */
struct fl_pool *guest_pool(struct fl_context *context, uint32_t slots);

/* On the pool, or for NULL as wasm3 does it alone. Nothing is held after an
 * error. */
int guest_start(const struct guest_module *module, struct fl_pool *pool,
		struct guest *guest, struct fl_error *error);
/* NULL, or wasm3's words for the trap. */
const char *guest_call(struct guest *guest, const char *name, uint32_t arg,
		       uint32_t *answer);
uint8_t *guest_memory(struct guest *guest, uint32_t *length);
void guest_end(struct guest *guest);

#endif
