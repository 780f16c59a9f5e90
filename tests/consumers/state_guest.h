/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * state_guest.h - instances of modules/state.wat, with what they import, for
 * the tests of companions and of states.
 *
 * Each instance has imports of its own. Function types of others are registered
 * before the module's, in an order that the caller chooses: an id of a type is
 * no index.
 */
#ifndef STATE_GUEST_H
#define STATE_GUEST_H

#include <stdbool.h>

#include <faultline-wasm2c.h>

#include "state.h"

extern const struct fl_wasm2c_layout Z_state_layout;

struct Z_env_instance_t {
	wasm_rt_memory_t memory;
	wasm_rt_funcref_table_t table;
	uint32_t base, counter;
};

struct Z_otherZ20lib_instance_t {
	int nothing;
};

struct guest {
	Z_state_instance_t instance;
	struct Z_env_instance_t env;
	struct Z_otherZ20lib_instance_t other;
};

/* Once: the runtime, this thread, and the module. 0, or 1 after a failure. */
int guest_init(bool types_in_another_order);

/* base is the global that the module imports. */
void guest_open(struct guest *guest, uint32_t base);
/* The same in two parts: what is imported, and the instance. */
void guest_open_imports(struct guest *guest, uint32_t base);
void guest_instantiate(struct guest *guest);
void guest_close(struct guest *guest);

#endif
