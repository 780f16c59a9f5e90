/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* state_guest.c - see state_guest.h. */
#include <string.h>

#include "rt_threadlocal.h"
#include "state_guest.h"

/* ------------------------------------------------------------- the imports */

uint32_t *Z_envZ_base(struct Z_env_instance_t *env)
{
	return &env->base;
}

uint32_t *Z_envZ_counter(struct Z_env_instance_t *env)
{
	return &env->counter;
}

wasm_rt_memory_t *Z_envZ_memory(struct Z_env_instance_t *env)
{
	return &env->memory;
}

wasm_rt_funcref_table_t *Z_envZ_table(struct Z_env_instance_t *env)
{
	return &env->table;
}

/* Called through an element segment, the instance is not what wasm2c promises:
 * the pointer to the import, not the import. */
uint32_t Z_envZ_host(struct Z_env_instance_t *env)
{
	(void)env;
	return 70;
}

uint32_t Z_otherZ20libZ_twice(struct Z_otherZ20lib_instance_t *other,
			      uint32_t x)
{
	(void)other;
	return 2 * x;
}

/* ------------------------------------------------------------ the instances */

int guest_init(bool types_in_another_order)
{
	wasm_rt_init();
	if (rt_thread_init())
		return 1;
	wasm_rt_register_func_type(1, 1, WASM_RT_I32, WASM_RT_I32);
	if (types_in_another_order) {
		wasm_rt_register_func_type(1, 0, WASM_RT_EXTERNREF);
		wasm_rt_register_func_type(3, 0, WASM_RT_F64, WASM_RT_F64,
					   WASM_RT_F64);
		wasm_rt_register_func_type(0, 1, WASM_RT_I32);
	}
	Z_state_init_module();
	return 0;
}

void guest_open_imports(struct guest *guest, uint32_t base)
{
	memset(guest, 0, sizeof(*guest));
	guest->env.base = base;
	wasm_rt_allocate_memory(&guest->env.memory, 1, 1);
	wasm_rt_allocate_funcref_table(&guest->env.table, 4, 8);
}

void guest_instantiate(struct guest *guest)
{
	Z_state_instantiate(&guest->instance, &guest->env, &guest->other);
}

void guest_open(struct guest *guest, uint32_t base)
{
	guest_open_imports(guest, base);
	guest_instantiate(guest);
}

void guest_close(struct guest *guest)
{
	Z_state_free(&guest->instance);
	wasm_rt_free_funcref_table(&guest->env.table);
	wasm_rt_free_memory(&guest->env.memory);
}
