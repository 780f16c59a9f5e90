/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * run_stock.c - the specification's testsuite on wasm2c's own runtime: what
 * this fails, Faultline need not pass. See run.h.
 */
#include <stdio.h>

#include "run.h"

const unsigned int host_rounds = 1;

void host_open(void)
{
	printf("on wasm-rt\n");
}

void host_close(void)
{
}

void host_begin(unsigned int round, struct Z_spectest_instance_t *spectest)
{
	(void)round;
	wasm_rt_allocate_memory(&spectest->memory, 1, 2);
	wasm_rt_allocate_funcref_table(&spectest->table, 10, 20);
}

const char *host_instantiate(const struct step *step, void *instance,
			     void *const *imports, wasm_rt_trap_t *trap)
{
	*trap = guest_instantiate(step, instance, imports);
	return NULL;
}

const char *host_freed(const struct step *step)
{
	(void)step;
	return NULL;
}

void host_fault(const void *addr)
{
	(void)addr;
}

const char *host_check_fault(const struct step *step, wasm_rt_trap_t trap)
{
	(void)step;
	(void)trap;
	return NULL;
}
