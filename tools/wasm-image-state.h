/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-state.h - the state of an instance that wasm2c's code made, as the
 * library's adapter encodes it.
 *
 * Takes a module and bytes that should be a state of an instance of it; gives
 * the state in the terms of the module. The bytes may be anything: each number
 * is held against the module. What a module cannot express is refused by name:
 * a reference to something of the host's.
 *
 * The section "state" of faultline-wasm2c.h says what the bytes are.
 */
#ifndef WASM_IMAGE_STATE_H
#define WASM_IMAGE_STATE_H

#include "wasm-image-bake.h"

#include <faultline.h>

/* FL_WASM2C_ENCODING of faultline-wasm2c.h. */
#define STATE_ENCODING "faultline-wasm2c 1"

struct state {
	struct bake_state is;
	struct bake_global *globals;
	struct bake_table *tables;
};

/* The exit status: 0, or 1 after one sentence on stderr, which begins with path.
 * Whatever the call returns, state_close() is to follow. The bytes stay in place
 * until then. */
int state_open(struct state *state, const struct fl_module *module,
	       const char *path, const void *bytes, uint64_t length_bytes);
void state_close(struct state *state);

#endif
