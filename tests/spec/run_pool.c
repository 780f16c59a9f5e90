/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * run_pool.c - the specification's testsuite on memories and tables of a
 * Faultline pool, through the wasm2c adapter. See run.h.
 *
 * wasm2c was given the data-free modules: what the tests find in a memory that
 * a module defines is its image, and what they find in one that it imports was
 * written by fl_memory_apply_segments().
 *
 * Three rounds are played in a roomy pool, where each module comes back to the
 * slots that it had: cold, then searched, then tracked ones. Three more in a
 * tight one, whose slots go from module to module, and one in a pool that
 * allocates on demand. Every second release is audited.
 *
 * Beside the tests themselves it fails a step when the pool does not hold
 * exactly the memories and tables that the live instances have, when an audit
 * finds a slot unclean, and when a fault is not what fl_fault_lookup() must say
 * about it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <faultline-wasm2c.h>

#include "../consumers/file.h"
#include "run.h"

#define WPAGE_BYTES ((uint64_t)65536)
#define MAX_GLOBALS 256

#define ROOMY_ROUNDS 3
#define TIGHT_ROUNDS 3

const unsigned int host_rounds = ROOMY_ROUNDS + TIGHT_ROUNDS + 1;

struct loaded {
	const struct module *from;
	struct fl_module *module;
	struct fl_module_info info;
	struct loaded *next;
};

/* What an instance holds of the pool. */
struct holding {
	uint32_t memories;
	uint32_t tables;
};

static struct fl_context *context;
static struct fl_pool *pool;
static struct loaded *loaded_list;
static struct holding *slots;
static struct holding held;
static struct fl_fault fault;
static volatile sig_atomic_t has_fault;
static struct fl_error error;

/* ------------------------------------------------------------------ faults */

void host_fault(const void *addr)
{
	has_fault = 1;
	fl_fault_lookup(context, addr, &fault);
}

const char *host_check_fault(const struct step *step, wasm_rt_trap_t trap)
{
	if (!has_fault)
		return NULL;
	has_fault = 0;
	if (trap == WASM_RT_TRAP_EXHAUSTION)
		return fault.kind == FL_FAULT_NOT_OURS ?
			       NULL :
			       "the end of the stack is taken for a memory's";
	if (fault.kind != FL_FAULT_OUT_OF_BOUNDS || !fault.is_trap ||
	    fault.trap != FL_TRAP_MEMORY_OUT_OF_BOUNDS || !fault.memory)
		return "fl_fault_lookup() does not know the access for one out "
		       "of bounds";
	return step->out_of == 't' ? "a table trapped in a memory" : NULL;
}

/* -------------------------------------------------------------------- pool */

static void must(int err, const char *what)
{
	if (!err)
		return;
	printf("cannot start: %s: %s\n", what, error.text);
	exit(1);
}

static void open_pool(unsigned int round)
{
	struct fl_pool_config config;

	fl_pool_config_init(&config);
	config.max_instances = 0;
	config.max_memories = file.live_max + 1;
	config.max_tables = file.live_max * FL_WASM2C_MAX_TABLES + 1;
	config.table_element_bytes = sizeof(wasm_rt_funcref_t);
	config.audit_every = 2;
	if (round < ROOMY_ROUNDS)
		config.max_memories += 64;
	else if (round < ROOMY_ROUNDS + TIGHT_ROUNDS)
		config.max_warm_memories = 0;
	else
		config.allocation = FL_ALLOCATION_ON_DEMAND;
	must(fl_pool_create(context, &config, &pool, &error), "pool");
}

void host_open(void)
{
	const char *reason;

	must(fl_context_create(NULL, &context, &error), "context");
	slots = calloc(file.slot_count + 1, sizeof(*slots));
	must(slots ? 0 : -ENOMEM, "slots");
	printf("on %s\n", fl_context_rung(context, &reason));
}

static void close_pool(void)
{
	must(fl_pool_destroy(pool), "something is still live");
	pool = NULL;
}

void host_close(void)
{
	while (loaded_list) {
		struct loaded *next = loaded_list->next;

		fl_module_release(loaded_list->module);
		free(loaded_list);
		loaded_list = next;
	}
	free(slots);
	close_pool();
	fl_context_destroy(context);
}

/* Everything that lives came from the pool, and nothing was unclean. */
static const char *check_pool(void)
{
	struct fl_pool_info info = { .size = sizeof(info) };

	fl_pool_info(pool, &info);
	/* One of each is spectest's. */
	if (info.live_memories != held.memories + 1)
		return "not all memories are the pool's";
	if (info.live_tables != held.tables + 1)
		return "not all tables are the pool's";
	if (info.audit_failures || info.retired_memories || info.retired_tables)
		return "a slot was unclean";
	return NULL;
}

void host_begin(unsigned int round, struct Z_spectest_instance_t *spectest)
{
	struct fl_memory_config memory;
	struct fl_table_config table;

	if (round == ROOMY_ROUNDS || round == ROOMY_ROUNDS + TIGHT_ROUNDS)
		close_pool();
	if (!pool)
		open_pool(round);
	fl_memory_config_init(&memory);
	memory.initial_bytes = WPAGE_BYTES;
	memory.max_bytes = 2 * WPAGE_BYTES;
	must(fl_wasm2c_acquire(pool, &memory, &spectest->memory, &error),
	     "spectest's memory");
	fl_table_config_init(&table);
	table.initial_elements = 10;
	table.max_elements = 20;
	must(fl_wasm2c_acquire_funcref_table(pool, &table, &spectest->table,
					     &error),
	     "spectest's table");
}

/* --------------------------------------------------------------- instances */

static struct loaded *load(const struct module *from)
{
	struct fl_module_config config;
	struct loaded *loaded;
	void *bytes;

	for (loaded = loaded_list; loaded; loaded = loaded->next) {
		if (loaded->from == from)
			return loaded;
	}
	fl_module_config_init(&config);
	bytes = file_read(from->path, &config.length_bytes);
	loaded = calloc(1, sizeof(*loaded));
	if (!bytes || !loaded)
		abort();
	config.bytes = bytes;
	if (fl_module_load(context, &config, &loaded->module, &error)) {
		free(loaded);
		free(bytes);
		return NULL;
	}
	free(bytes);
	loaded->from = from;
	loaded->info.size = sizeof(loaded->info);
	fl_module_info(loaded->module, &loaded->info);
	loaded->next = loaded_list;
	loaded_list = loaded;
	return loaded;
}

/* The data segments for an imported memory, which shows no image. */
static const char *fill_import(const struct step *step,
			       const struct loaded *loaded,
			       void *const *imports, enum fl_trap *trap)
{
	uint64_t globals[MAX_GLOBALS] = { 0 };
	struct fl_image_config config;
	struct fl_memory *memory;

	if (!loaded->info.imported_memory_count)
		return NULL;
	memory = fl_wasm2c_memory(step->module->memory(imports));
	if (!memory)
		return "the imported memory is none of the pool";
	if (step->module->global_count > MAX_GLOBALS)
		abort();
	step->module->globals(imports, globals);
	fl_image_config_init(&config);
	config.imported_globals = globals;
	config.imported_global_count = step->module->global_count;
	if (fl_memory_apply_segments(memory, loaded->module, 0, &config, trap,
				     &error))
		return error.text;
	return NULL;
}

/* A module whose image ends in a trap gets no memory, hence no instance. */
static const char *refused(const struct step *step, int err,
			   wasm_rt_trap_t *trap)
{
	if (err != -EFAULT)
		return error.text;
	*trap = WASM_RT_TRAP_OOB;
	if (error.trap != FL_TRAP_MEMORY_OUT_OF_BOUNDS || step->out_of == 't')
		return "refused with another trap";
	return check_pool();
}

/* An instance has all that its module defines; one that trapped half-way, what
 * the pool says. */
static void hold(const struct step *step, const struct fl_module_info *info,
		 wasm_rt_trap_t trap)
{
	struct holding *holding = &slots[step->slot];
	struct fl_pool_info now = { .size = sizeof(now) };

	fl_pool_info(pool, &now);
	holding->memories = info->memory_count - info->imported_memory_count;
	holding->tables = info->table_count - info->imported_table_count;
	if (trap) {
		holding->memories = now.live_memories - held.memories - 1;
		holding->tables = now.live_tables - held.tables - 1;
	}
	held.memories += holding->memories;
	held.tables += holding->tables;
}

const char *host_instantiate(const struct step *step, void *instance,
			     void *const *imports, wasm_rt_trap_t *trap)
{
	const struct loaded *loaded = load(step->module);
	enum fl_trap fills = FL_TRAP_NONE;
	struct fl_wasm2c_batch batch;
	const char *wrong;
	int err;

	if (!loaded)
		return error.text;
	err = fl_wasm2c_begin(&batch, pool, loaded->module, instance,
			      step->module->instance_bytes, 0, &error);
	if (err)
		return refused(step, err, trap);
	wrong = fill_import(step, loaded, imports, &fills);
	if (!wrong) {
		*trap = guest_instantiate(step, instance, imports);
		if (fills && *trap != WASM_RT_TRAP_OOB)
			wrong = "the data-free module does not trap";
	}
	fl_wasm2c_end(&batch);
	hold(step, &loaded->info, *trap);
	return wrong ? wrong : check_pool();
}

const char *host_freed(const struct step *step)
{
	struct holding *holding = &slots[step->slot];

	held.memories -= holding->memories;
	held.tables -= holding->tables;
	memset(holding, 0, sizeof(*holding));
	return check_pool();
}
