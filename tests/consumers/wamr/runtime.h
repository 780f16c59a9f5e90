/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * runtime.h - run.h's guests, in WAMR: one WAMR with the patch and one as it
 * comes, in one program.
 */
#ifndef CONSUMERS_WAMR_RUNTIME_H
#define CONSUMERS_WAMR_RUNTIME_H

#include <faultline-wamr.h>
#include <wasm_export.h>

#define RUN_NAME "wamr"
#define RUN_CYCLE "instantiate, call, free"
#define RUN_TRAP_BOUNDS "Exception: out of bounds memory access"

/* A module on the pool, and in WAMR as it comes. */
struct guest_module {
	struct fl_wamr_module *pooled;
	struct fl_wamr_module *resumable; /* NULL: it cannot be */
	uint8_t *whole;
	wasm_module_t stock;
};

struct guest {
	const struct wamr_calls *calls;
	wasm_module_inst_t instance;
	wasm_exec_env_t env;
	char trap[128];
};

/* One guest, also of a module that run.h does not know. */
int wamr_guest_start(struct fl_wamr_module *module,
		     const struct fl_wamr_config *config, struct guest *guest,
		     struct fl_error *error);
/* The bytes of a module of build.sh, for free(). */
uint8_t *wamr_bytes(const char *name, uint64_t *length);

#endif
