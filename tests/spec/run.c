/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * run.c - plays one file of the specification's testsuite; see run.h.
 *
 * Prints a line for each step that asserts something,
 *
 *	ROUND LINE ok
 *	ROUND LINE failed WHAT
 *
 * as soon as it is done, so that whoever reads them sees how far a program came
 * that died; and at last "end". Exits with 0 if it came so far.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wasm-rt-impl.h>

#include "run.h"

static struct Z_spectest_instance_t spectest;
static unsigned int round_idx;

/* ---------------------------------------------------------------- spectest */

void Z_spectestZ_print(struct Z_spectest_instance_t *host);
void Z_spectestZ_print_i32(struct Z_spectest_instance_t *host, uint32_t a);
void Z_spectestZ_print_i64(struct Z_spectest_instance_t *host, uint64_t a);
void Z_spectestZ_print_f32(struct Z_spectest_instance_t *host, float a);
void Z_spectestZ_print_f64(struct Z_spectest_instance_t *host, double a);
void Z_spectestZ_print_i32_f32(struct Z_spectest_instance_t *host, uint32_t a,
			       float b);
void Z_spectestZ_print_f64_f64(struct Z_spectest_instance_t *host, double a,
			       double b);

/* What is printed is of no interest. */
void Z_spectestZ_print(struct Z_spectest_instance_t *host)
{
	(void)host;
}

void Z_spectestZ_print_i32(struct Z_spectest_instance_t *host, uint32_t a)
{
	(void)host;
	(void)a;
}

void Z_spectestZ_print_i64(struct Z_spectest_instance_t *host, uint64_t a)
{
	(void)host;
	(void)a;
}

void Z_spectestZ_print_f32(struct Z_spectest_instance_t *host, float a)
{
	(void)host;
	(void)a;
}

void Z_spectestZ_print_f64(struct Z_spectest_instance_t *host, double a)
{
	(void)host;
	(void)a;
}

void Z_spectestZ_print_i32_f32(struct Z_spectest_instance_t *host, uint32_t a,
			       float b)
{
	(void)host;
	(void)a;
	(void)b;
}

void Z_spectestZ_print_f64_f64(struct Z_spectest_instance_t *host, double a,
			       double b)
{
	(void)host;
	(void)a;
	(void)b;
}

uint32_t *Z_spectestZ_global_i32(struct Z_spectest_instance_t *host)
{
	return &host->global_i32;
}

uint64_t *Z_spectestZ_global_i64(struct Z_spectest_instance_t *host)
{
	return &host->global_i64;
}

float *Z_spectestZ_global_f32(struct Z_spectest_instance_t *host)
{
	return &host->global_f32;
}

double *Z_spectestZ_global_f64(struct Z_spectest_instance_t *host)
{
	return &host->global_f64;
}

wasm_rt_memory_t *Z_spectestZ_memory(struct Z_spectest_instance_t *host)
{
	return &host->memory;
}

wasm_rt_funcref_table_t *Z_spectestZ_table(struct Z_spectest_instance_t *host)
{
	return &host->table;
}

static void spectest_make(void)
{
	memset(&spectest, 0, sizeof(spectest));
	spectest.global_i32 = 666;
	spectest.global_i64 = 666;
	spectest.global_f32 = 666.6f;
	spectest.global_f64 = 666.6;
	host_begin(round_idx, &spectest);
}

static void spectest_free(void)
{
	wasm_rt_free_funcref_table(&spectest.table);
	wasm_rt_free_memory(&spectest.memory);
}

/* ------------------------------------------------------------------ values */

/* A host reference is its number; number 0 is not null. */
static wasm_rt_externref_t externref(uint64_t number)
{
	return (wasm_rt_externref_t)(uintptr_t)(number + 1);
}

static union raw to_raw(const struct value *value)
{
	union raw raw;

	memset(&raw, 0, sizeof(raw));
	switch (value->type) {
	case 'i':
	case 'f':
		raw.i = (uint32_t)value->bits;
		break;
	case 'j':
	case 'd':
		raw.j = value->bits;
		break;
	case 'e':
		if (value->match != MATCH_NULL)
			raw.e = externref(value->bits);
		break;
	default: /* 'r': a test can pass no function but null */
		break;
	}
	return raw;
}

static bool nan_matches(const union raw *raw, const struct value *value)
{
	bool is_f32 = value->type == 'f';
	uint64_t quiet = is_f32 ? UINT64_C(0x7fc00000) :
				  UINT64_C(0x7ff8000000000000);
	uint64_t sign = is_f32 ? UINT64_C(1) << 31 : UINT64_C(1) << 63;
	uint64_t bits = is_f32 ? raw->i : raw->j;

	if (value->match == MATCH_NAN_CANONICAL)
		return (bits & ~sign) == quiet;
	return (bits & quiet) == quiet;
}

static bool matches(const union raw *raw, const struct value *value)
{
	switch (value->match) {
	case MATCH_NAN_CANONICAL:
	case MATCH_NAN_ARITHMETIC:
		return nan_matches(raw, value);
	case MATCH_NULL:
		return value->type == 'r' ? !raw->r.func : !raw->e;
	case MATCH_NOT_NULL:
		return value->type == 'r' ? raw->r.func != NULL :
					    raw->e != NULL;
	case MATCH_BITS:
		break;
	}
	if (value->type == 'e')
		return raw->e == externref(value->bits);
	if (value->type == 'i' || value->type == 'f')
		return raw->i == value->bits;
	return raw->j == value->bits;
}

/* ------------------------------------------------------------------- guests */

static volatile sig_atomic_t in_guest;
static struct sigaction trap_handler;

/* wasm-rt's handler jumps to the last try, also when that is long over. */
static void on_fault(int signo, siginfo_t *info, void *ucontext)
{
	if (!in_guest) {
		signal(signo, SIG_DFL);
		return;
	}
	host_fault(info->si_addr);
	trap_handler.sa_sigaction(signo, info, ucontext);
}

static void watch_faults(void)
{
	struct sigaction action;

	wasm_rt_init();
	sigaction(SIGSEGV, NULL, &trap_handler);
	action = trap_handler;
	action.sa_sigaction = on_fault;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

wasm_rt_trap_t guest_call(call_fn *call, void *instance, const union raw *args,
			  union raw *results)
{
	int trap = wasm_rt_impl_try();

	in_guest = !trap;
	if (!trap)
		call(instance, args, results);
	in_guest = 0;
	return (wasm_rt_trap_t)trap;
}

wasm_rt_trap_t guest_instantiate(const struct step *step, void *instance,
				 void *const *imports)
{
	int trap = wasm_rt_impl_try();

	in_guest = !trap;
	if (!trap)
		step->module->instantiate(instance, imports);
	in_guest = 0;
	return (wasm_rt_trap_t)trap;
}

/* ------------------------------------------------------------------- steps */

static void ok(const struct step *step)
{
	printf("%u %u ok\n", round_idx, step->line);
}

__attribute__((format(printf, 2, 3))) static void
failed(const struct step *step, const char *format, ...)
{
	va_list args;

	printf("%u %u failed ", round_idx, step->line);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
}

static void play_call(const struct step *step, void *instance)
{
	union raw args[MAX_VALUES], results[MAX_VALUES];
	const char *wrong;
	wasm_rt_trap_t trap;
	uint32_t i;

	memset(results, 0, sizeof(results));
	for (i = 0; i < step->arg_count; i++)
		args[i] = to_raw(&step->args[i]);
	trap = guest_call(step->call, instance, args, results);
	wrong = host_check_fault(step, trap);
	if (wrong) {
		failed(step, "%s", wrong);
		return;
	}
	if (trap != step->trap) {
		failed(step, "trap: %s", wasm_rt_strerror(trap));
		return;
	}
	for (i = 0; i < step->result_count && !trap; i++) {
		if (matches(&results[i], &step->results[i]))
			continue;
		failed(step, "result %u: %#" PRIx64 ", not %#" PRIx64, i,
		       results[i].j, step->results[i].bits);
		return;
	}
	ok(step);
}

static void play_module(const struct step *step, void **slots)
{
	void *imports[MAX_IMPORTS];
	wasm_rt_trap_t trap = WASM_RT_TRAP_NONE;
	const char *wrong;
	uint32_t i;

	for (i = 0; i < step->import_count; i++)
		imports[i] = step->imports[i] == SPECTEST ?
				     &spectest :
				     slots[step->imports[i]];
	slots[step->slot] = calloc(1, step->module->instance_bytes);
	if (!slots[step->slot])
		abort();
	step->module->init();
	wrong = host_instantiate(step, slots[step->slot], imports, &trap);
	if (!wrong)
		wrong = host_check_fault(step, trap);
	if (wrong)
		failed(step, "%s", wrong);
	else if (trap != step->trap)
		failed(step, "trap: %s", wasm_rt_strerror(trap));
	else
		ok(step);
}

static void play_free(const struct step *step, void **slots)
{
	const char *wrong;

	step->module->free(slots[step->slot]);
	free(slots[step->slot]);
	slots[step->slot] = NULL;
	wrong = host_freed(step);
	if (wrong)
		failed(step, "when it was freed: %s", wrong);
}

static void play(void **slots)
{
	uint32_t i;

	for (i = 0; i < file.step_count; i++) {
		const struct step *step = &file.steps[i];

		switch (step->kind) {
		case STEP_MODULE:
		case STEP_UNINSTANTIABLE:
			play_module(step, slots);
			break;
		case STEP_FREE:
			play_free(step, slots);
			break;
		case STEP_ACTION:
		case STEP_RETURN:
		case STEP_TRAP:
			play_call(step, slots[step->slot]);
			break;
		}
	}
}

int main(void)
{
	void **slots = calloc(file.slot_count + 1, sizeof(*slots));

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!slots)
		return 1;
	watch_faults();
	host_open();
	for (round_idx = 0; round_idx < host_rounds; round_idx++) {
		spectest_make();
		play(slots);
		spectest_free();
	}
	host_close();
	printf("end\n");
	free(slots);
	return 0;
}
