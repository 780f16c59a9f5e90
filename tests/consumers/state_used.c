/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* state_used.c - see state_used.h. */
#include "tests/kit/test.h"

#include "rt_threadlocal.h"
#include "state_used.h"

void used_make(struct guest *guest, int *hosts)
{
	Z_state_instance_t *g = &guest->instance;

	Z_stateZ_set_numbers(g, 50, UINT64_C(60) << 32, 70.5f, 80.25);
	*Z_stateZ_shown(g) = 110;
	Z_stateZ_set_function(g, 1);
	if (hosts)
		Z_stateZ_set_value(g, &hosts[3]);
	Z_stateZ_grow(g, 3);
	Z_stateZ_put(g, 0, 0);
	Z_stateZ_put(g, 4, 1);
	Z_stateZ_put(g, 5, 2);
	Z_stateZ_put(g, 6, 3);
	Z_stateZ_init(g, 7, 0, 3);
	/* As a host takes an export and puts it into an exported table. */
	Z_stateZ_functions(g)->data[2] =
		(wasm_rt_funcref_t){ g->w2c_functions.data[7].func_type,
				     (wasm_rt_function_ptr_t)Z_stateZ_eight,
				     g };
	Z_stateZ_copy(g, 2, 1);
	Z_stateZ_grow_hosts(g, 2);
	if (hosts) {
		Z_stateZ_put_host(g, 1, &hosts[0]);
		Z_stateZ_put_host(g, 4, &hosts[2]);
		Z_stateZ_put_host(g, 6, &hosts[1]);
	}
	Z_stateZ_drop_elem(g);
	Z_stateZ_drop_data(g);
}

struct call {
	struct guest *guest;
	uint32_t idx, result;
};

static void call_function(void *arg)
{
	struct call *call = arg;

	call->result = Z_stateZ_call(&call->guest->instance, call->idx);
}

static void init_elements(void *arg)
{
	struct call *call = arg;

	Z_stateZ_init(&call->guest->instance, 9, 0, 1);
}

void used_check_call(struct guest *guest, uint32_t idx, uint32_t expected)
{
	struct call call = { guest, idx, 0 };

	CHECK_EQ(rt_try(call_function, &call), WASM_RT_TRAP_NONE);
	CHECK_EQ(call.result, expected);
}

void used_check_null(struct guest *guest, uint32_t idx)
{
	struct call call = { guest, idx, 0 };

	CHECK_EQ(rt_try(call_function, &call), WASM_RT_TRAP_CALL_INDIRECT);
}

/* An access that traps ends the call. */
static void read_passive(void *arg)
{
	struct call *call = arg;

	Z_stateZ_read_passive(&call->guest->instance, 100);
}

static const void *host(const int *hosts, size_t idx)
{
	return hosts ? &hosts[idx] : NULL;
}

static void check_hosts(Z_state_instance_t *g, const int *hosts)
{
	CHECK(Z_stateZ_value(g) == host(hosts, 3));
	CHECK(Z_stateZ_get_host(g, 0) == NULL);
	CHECK(Z_stateZ_get_host(g, 1) == host(hosts, 0));
	CHECK(Z_stateZ_get_host(g, 4) == host(hosts, 2));
	CHECK(Z_stateZ_get_host(g, 6) == host(hosts, 1));
}

void used_check(struct guest *guest, uint32_t base, const int *hosts)
{
	Z_state_instance_t *g = &guest->instance;
	struct call call = { .guest = guest };
	uint32_t counter = guest->env.counter;

	CHECK_EQ(Z_stateZ_small(g), 50);
	CHECK_EQ(Z_stateZ_large(g), UINT64_C(60) << 32);
	CHECK(Z_stateZ_single(g) == 70.5f);
	CHECK(Z_stateZ_double_float(g) == 80.25);
	CHECK_EQ(*Z_stateZ_shown(g), 110);
	CHECK_EQ(Z_stateZ_moved(g), base + 10);
	CHECK_EQ(Z_stateZ_use_constants(g), 9);
	CHECK_EQ(g->w2c_functions.size, 13);
	used_check_null(guest, 0);
	used_check_call(guest, 1, 70);
	used_check_call(guest, 2, 8);
	used_check_call(guest, 3, 8);
	/* The counter of this instance's host, and of no other. */
	used_check_call(guest, 4, counter + 1);
	used_check_call(guest, 5, 70);
	CHECK_EQ(Z_stateZ_call_twice(g, 6, 21), 42);
	used_check_call(guest, 7, 9);
	used_check_call(guest, 12, counter + 2);
	CHECK_EQ(Z_stateZ_call_inner(g, 2), 70);
	CHECK_EQ(Z_stateZ_call_fixed(g, 1), 7);
	CHECK_EQ(Z_stateZ_call_fixed(g, 2), counter + 3);
	check_hosts(g, hosts);
	CHECK_EQ(g->w2c_T2.size, 7);
	CHECK_EQ(rt_try(init_elements, &call), WASM_RT_TRAP_OOB);
	CHECK_EQ(rt_try(read_passive, &call), WASM_RT_TRAP_OOB);
}
