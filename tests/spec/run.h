/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * run.h - what run.mjs writes about one file of the specification's testsuite,
 * and what run.c, which plays it, asks of the runtime below.
 *
 * A file is a list of steps on slots; a slot holds one module instance. The
 * modules and the calls into them are wasm2c's, named by the content of the
 * module, so that one translation serves all the files that have it.
 *
 * The same steps are linked twice: run_stock.c runs them on wasm-rt alone,
 * run_pool.c on memories and tables of a Faultline pool.
 */
#ifndef SPEC_RUN_H
#define SPEC_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <wasm-rt.h>

/* The C type of a value, by wasm2c's letters. */
union raw {
	uint32_t i;
	uint64_t j;
	float f;
	double d;
	wasm_rt_funcref_t r;
	wasm_rt_externref_t e;
};

enum match {
	MATCH_BITS,
	MATCH_NAN_CANONICAL,
	MATCH_NAN_ARITHMETIC,
	MATCH_NULL,
	MATCH_NOT_NULL,
};

/* An argument or an expected result. type is a letter of union raw; bits of a
 * host reference are its number. */
struct value {
	char type;
	enum match match;
	uint64_t bits;
};

struct module {
	const char *path; /* the whole module, as Faultline reads it */
	size_t instance_bytes;
	void (*init)(void);
	/* imports: an instance for each module that this one imports from. */
	void (*instantiate)(void *instance, void *const *imports);
	void (*free)(void *instance);
	/* The imported memory, NULL if there is none. */
	wasm_rt_memory_t *(*memory)(void *const *imports);
	/* The values of the imported globals, in order of import. */
	void (*globals)(void *const *imports, uint64_t *values);
	uint32_t global_count;
};

enum step_kind {
	STEP_MODULE,	     /* instantiate in slot: no trap */
	STEP_UNINSTANTIABLE, /* instantiate in slot: traps */
	STEP_ACTION,	     /* call: no trap */
	STEP_RETURN,	     /* call: these results */
	STEP_TRAP,	     /* call: this trap */
	STEP_FREE,	     /* nothing refers to the slot any more */
};

/* What a call of a function, or a look at a global, is translated to. */
typedef void call_fn(void *instance, const union raw *args, union raw *results);

struct step {
	uint32_t line;
	enum step_kind kind;
	uint32_t slot;
	const struct module *module;
	const int *imports; /* slots; SPECTEST is the host's own module */
	uint32_t import_count;
	uint32_t arg_count;
	uint32_t result_count;
	call_fn *call;
	const struct value *args;
	const struct value *results;
	wasm_rt_trap_t trap;
	char out_of; /* out of the bounds of a 'm'emory, a 't'able; 0: any */
};

#define SPECTEST (-1)
#define MAX_VALUES 32
#define MAX_IMPORTS 16

struct file {
	const struct step *steps;
	uint32_t step_count;
	uint32_t slot_count;
	uint32_t live_max; /* instances at once */
};

extern const struct file file;

/* The module "spectest" of the specification's testsuite. */
struct Z_spectest_instance_t {
	wasm_rt_memory_t memory;
	wasm_rt_funcref_table_t table;
	uint32_t global_i32;
	uint64_t global_i64;
	float global_f32;
	double global_f64;
};

uint32_t *Z_spectestZ_global_i32(struct Z_spectest_instance_t *host);
uint64_t *Z_spectestZ_global_i64(struct Z_spectest_instance_t *host);
float *Z_spectestZ_global_f32(struct Z_spectest_instance_t *host);
double *Z_spectestZ_global_f64(struct Z_spectest_instance_t *host);
wasm_rt_memory_t *Z_spectestZ_memory(struct Z_spectest_instance_t *host);
wasm_rt_funcref_table_t *Z_spectestZ_table(struct Z_spectest_instance_t *host);

/* ------------------------------------------------------------------- run.c */

/* Call, with traps caught; a fault outside of it ends the program. */
wasm_rt_trap_t guest_call(call_fn *call, void *instance, const union raw *args,
			  union raw *results);
wasm_rt_trap_t guest_instantiate(const struct step *step, void *instance,
				 void *const *imports);

/* ------------------------------------------------- run_stock.c, run_pool.c */

/* How often the steps are played. */
extern const unsigned int host_rounds;

/* After wasm_rt_init(). Says on stdout which memory it runs on. */
void host_open(void);
void host_close(void);

/* A round begins: spectest gets its memory and its table. */
void host_begin(unsigned int round, struct Z_spectest_instance_t *spectest);

/* guest_instantiate() with the memories that the instance is to have; *trap is
 * what it gave. NULL, or what was wrong beside the trap. */
const char *host_instantiate(const struct step *step, void *instance,
			     void *const *imports, wasm_rt_trap_t *trap);

/* After the instance in a slot was freed: what was wrong, or NULL. */
const char *host_freed(const struct step *step);

/* A fault in a guest, in the signal handler. */
void host_fault(const void *addr);

/* After a step: was its fault, if there was one, what the trap says? NULL, or
 * what was wrong. */
const char *host_check_fault(const struct step *step, wasm_rt_trap_t trap);

#endif
