/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasm3.c - see faultline-wasm3.h.
 *
 * The linker's --wrap sends wasm3's m3_Realloc() and m3_Free() here. Two
 * questions decide what they do:
 *
 * - Is this the memory of the module that this thread loads? It is the first
 *   call of a load with a NULL pointer and the size of the module's minimum and
 *   wasm3's header.
 * - Is this pointer one of ours? A memory's base lies on a host page, and wasm3
 *   has its header right before the base: the pointer is 8 modulo 16. No
 *   allocator of C gives such a pointer. The handle lies right before wasm3's
 *   header, in the slot's prefix, which the pool zeroes for each tenant.
 *
 * State: per thread the load that is under way; and once for the process,
 * whether wasm3's calls arrive.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "../resume.h"
#include "faultline-wasm3.h"

/* What wasm3.h says. The adapter is built where wasm3 is not. */
typedef const char *M3Result;
typedef struct M3Runtime *IM3Runtime;
typedef struct M3Module *IM3Module;
typedef struct M3Environment *IM3Environment;
typedef struct M3Function *IM3Function;

extern M3Result m3Err_mallocFailed;

IM3Environment m3_NewEnvironment(void);
void m3_FreeEnvironment(IM3Environment env);
IM3Runtime m3_NewRuntime(IM3Environment env, uint32_t stack_bytes,
			 void *unused);
void m3_FreeRuntime(IM3Runtime runtime);
M3Result m3_ParseModule(IM3Environment env, IM3Module *parsed,
			const uint8_t *bytes, uint32_t length);
M3Result m3_LoadModule(IM3Runtime runtime, IM3Module parsed);
void m3_FreeModule(IM3Module parsed);
M3Result m3_FindFunction(IM3Function *function, IM3Runtime runtime,
			 const char *name);
M3Result m3_CallWithArgs(IM3Function function, uint32_t argc,
			 const char *const *argv);
uint8_t *m3_GetMemory(IM3Runtime runtime, uint32_t *length, uint32_t idx);

#define WPAGE_BYTES ((uint64_t)65536)
/* wasm3's M3MemoryHeader: the runtime, the end of its stack, a length. */
#define HEADER_BYTES ((size_t)24)

_Static_assert(sizeof(void *) == 8, "wasm3's header has other sizes here");
_Static_assert(FL_WASM3_PREFIX_BYTES == HEADER_BYTES + sizeof(void *),
	       "the handle lies before the header");

struct load {
	struct fl_memory *memory;
	uint64_t wanted_bytes; /* of the memory and the header */
	bool is_taken;
	bool is_trial; /* only to see whether calls arrive */
	bool has_arrived; /* m3_Realloc() did */
	bool has_freed; /* m3_Free() did */
	const char *refusal;
};

static _Thread_local struct load *loading;

M3Result __wrap_m3_Realloc(void **ptr, size_t new_size, size_t old_size);
M3Result __real_m3_Realloc(void **ptr, size_t new_size, size_t old_size);
void __wrap_m3_Free(void **ptr);
void __real_m3_Free(void **ptr);

/* ------------------------------------------------------------ wasm3's calls */

static struct fl_memory *memory_of(const void *mallocated)
{
	struct fl_memory *memory;

	if ((uintptr_t)mallocated % 16 != 8)
		return NULL;
	memcpy(&memory, (const uint8_t *)mallocated - sizeof(memory),
	       sizeof(memory));
	return memory;
}

static M3Result grow(struct fl_memory *memory, size_t new_size)
{
	uint64_t bytes = new_size - HEADER_BYTES;
	uint64_t length = fl_memory_length(memory);

	if (bytes <= length)
		return NULL;
	if (bytes % WPAGE_BYTES ||
	    fl_memory_grow(memory, (bytes - length) / WPAGE_BYTES, NULL))
		return m3Err_mallocFailed;
	return NULL;
}

static M3Result refuse(struct load *load, const char *why)
{
	load->refusal = why;
	return m3Err_mallocFailed;
}

/* The first call of a load: the module's memory. */
static M3Result take(struct load *load, void **ptr, size_t new_size)
{
	load->is_taken = true;
	if (*ptr)
		return refuse(
			load,
			"the runtime has a memory already, and wasm3 would make both one: use a runtime for each module with a memory");
	if (new_size != load->wanted_bytes)
		return refuse(
			load,
			"the runtime's memory limit is below the module's minimum: raise it");
	*ptr = load->memory->base - HEADER_BYTES;
	memcpy((uint8_t *)*ptr - sizeof(load->memory), &load->memory,
	       sizeof(load->memory));
	return NULL;
}

M3Result __wrap_m3_Realloc(void **ptr, size_t new_size, size_t old_size)
{
	struct load *load = loading;
	struct fl_memory *memory;

	if (load && load->is_trial)
		load->has_arrived = true;
	else if (load && !load->is_taken)
		return take(load, ptr, new_size);
	memory = memory_of(*ptr);
	return memory ? grow(memory, new_size) :
			__real_m3_Realloc(ptr, new_size, old_size);
}

void __wrap_m3_Free(void **ptr)
{
	struct fl_memory *memory;

	if (loading && loading->is_trial)
		loading->has_freed = true;
	memory = memory_of(*ptr);
	if (!memory) {
		__real_m3_Free(ptr);
		return;
	}
	(void)fl_memory_release(memory);
	*ptr = NULL;
}

/* ------------------------------------------------------------------ a trial */

/* (module (memory 0)): what loads it makes the calls that this file is for. */
static const uint8_t trial_bytes[] = { 0, 'a', 's', 'm', 1, 0, 0,
				       0, 5,   3,   1,	 0, 0 };

static void try_load(IM3Environment env)
{
	IM3Runtime runtime = m3_NewRuntime(env, 1024, NULL);
	IM3Module parsed = NULL;

	if (!runtime)
		return;
	if (!m3_ParseModule(env, &parsed, trial_bytes, sizeof(trial_bytes)) &&
	    m3_LoadModule(runtime, parsed))
		m3_FreeModule(parsed);
	m3_FreeRuntime(runtime);
}

static bool calls_arrive(void)
{
	static atomic_bool have_arrived;
	struct load trial = { .is_trial = true };
	struct load *outer = loading;
	IM3Environment env;

	if (atomic_load_explicit(&have_arrived, memory_order_relaxed))
		return true;
	env = m3_NewEnvironment();
	if (!env)
		return false;
	loading = &trial;
	try_load(env);
	loading = outer;
	m3_FreeEnvironment(env);
	if (!trial.has_arrived || !trial.has_freed)
		return false;
	atomic_store_explicit(&have_arrived, true, memory_order_relaxed);
	return true;
}

/* ----------------------------------------------------------------- loading */

/* The memory that the module defines; false: none. */
static bool defines_memory(const struct fl_module *module,
			   struct fl_memory_type *type)
{
	struct fl_module_info info = { .size = sizeof(info) };

	fl_module_info(module, &info);
	return info.memory_count > info.imported_memory_count &&
	       !fl_module_memory_type(module, info.imported_memory_count, type);
}

static int memory_take(struct fl_pool *pool, const struct fl_module *module,
		       const struct fl_memory_type *type,
		       const struct fl_wasm3_config *config,
		       struct fl_memory **memory, struct fl_error *error)
{
	struct fl_module_info info = { .size = sizeof(info) };
	struct fl_memory_config wanted;

	fl_module_info(module, &info);
	if (type->is_64 || type->page_bytes != WPAGE_BYTES || type->is_shared)
		return fail(
			error, -ENOTSUP,
			"wasm3 knows no memory that is shared, has 64-bit addresses or pages of another size");
	if (info.active_data_count && !type->has_image)
		return fail(
			error, -ENOTSUP,
			"the module's memory has no image (%s): load the whole module by m3_LoadModule()",
			info.segmented_reason ? info.segmented_reason :
						"data at unknown offsets");
	fl_memory_config_init(&wanted);
	wanted.image =
		config->image ?
			config->image :
			fl_module_image(module, info.imported_memory_count);
	wanted.initial_bytes = type->min_pages * WPAGE_BYTES;
	wanted.max_bytes = type->max_pages > UINT32_MAX ?
				   UINT64_MAX :
				   type->max_pages * WPAGE_BYTES;
	wanted.timeout_ns = config->timeout_ns;
	if (config->snapshot)
		resume_configure(config->snapshot, &wanted);
	return fl_memory_acquire(pool, &wanted, memory, error);
}

static int memory_begin(struct fl_pool *pool, const struct fl_module *module,
			const struct fl_memory_type *type,
			const struct fl_wasm3_config *config,
			struct fl_memory **memory, struct fl_error *error)
{
	int err = config->snapshot ?
			  resume_check(module, config->snapshot, error) :
			  0;

	if (!err)
		err = memory_take(pool, module, type, config, memory, error);
	if (err)
		return err;
	err = resume_restore(config->delta, *memory, error);
	if (err)
		(void)fl_memory_release(*memory);
	return err;
}

/* Is there room for the header? Only the prefix is accessible before a base. */
static int check_prefix(const struct fl_pool *pool, struct fl_error *error)
{
	struct fl_pool_config config = { .size = sizeof(config) };

	fl_pool_config_of(pool, &config);
	if (config.prefix_bytes >= FL_WASM3_PREFIX_BYTES)
		return 0;
	return fail(
		error, -ENOTSUP,
		"wasm3 keeps a header before the memory: give the pool a prefix_bytes of %d, it has %llu",
		FL_WASM3_PREFIX_BYTES, (unsigned long long)config.prefix_bytes);
}

static int load_with(struct load *load, IM3Runtime runtime, IM3Module parsed,
		     struct fl_error *error)
{
	struct load *outer = loading;
	M3Result result;
	int cancel;

	/* A thread that ended in wasm3 would take the memory with it. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	loading = load;
	result = m3_LoadModule(runtime, parsed);
	loading = outer;
	pthread_setcancelstate(cancel, NULL);
	if (load->memory && (load->refusal || !load->is_taken))
		(void)fl_memory_release(load->memory);
	if (load->refusal)
		return fail(error, -EINVAL, "%s", load->refusal);
	if (result)
		return fail(error, -EINVAL, "wasm3 says: %s", result);
	return 0;
}

/* ------------------------------------------------------- clones and sessions */

struct fl_memory *fl_wasm3_memory(IM3Runtime runtime)
{
	uint32_t length = 0;
	uint8_t *base = m3_GetMemory(runtime, &length, 0);

	return base ? memory_of(base - HEADER_BYTES) : NULL;
}

static M3Result call(IM3Runtime runtime, const char *name, const char *arg)
{
	IM3Function function;
	M3Result result = m3_FindFunction(&function, runtime, name);

	return result ? result : m3_CallWithArgs(function, arg != NULL, &arg);
}

/* wasm3 has begun with the module's minimum, and the memory is a grown one. */
static int catch_up(IM3Runtime runtime, const struct fl_memory *memory,
		    uint64_t min_bytes, struct fl_error *error)
{
	M3Result result = call(runtime, FL_RESUMABLE_UNCHANGED, NULL);
	char pages[24];

	snprintf(pages, sizeof(pages), "%llu",
		 (unsigned long long)((fl_memory_length(memory) - min_bytes) /
				      WPAGE_BYTES));
	if (!result)
		result = call(runtime, FL_RESUMABLE_GROW, pages);
	return result ? fail(error, -EPROTO,
			     "wasm3 cannot go on from the snapshot: %s",
			     result) :
			0;
}

/* Is memory all that the runtime's module is made of? */
static int check_unchanged(IM3Runtime runtime, struct fl_memory **memory,
			   struct fl_error *error)
{
	IM3Function function;
	M3Result result;

	*memory = fl_wasm3_memory(runtime);
	if (!*memory ||
	    m3_FindFunction(&function, runtime, FL_RESUMABLE_UNCHANGED) != NULL)
		return fail(
			error, -EINVAL,
			"the runtime has no resumable module on a pool's memory: give wasm3 what fl_module_write_resumable() writes");
	result = m3_CallWithArgs(function, 0, NULL);
	if (result)
		return fail(
			error, -ENOTSUP,
			"a global has another value than at the start, and no snapshot of a memory holds it (wasm3 says: %s)",
			result);
	return 0;
}

int fl_wasm3_snapshot(IM3Runtime runtime, struct fl_module *module,
		      struct fl_snapshot **snapshot, struct fl_error *error)
{
	struct fl_memory *memory;
	int err = check_unchanged(runtime, &memory, error);

	return err ? err : resume_capture(module, memory, snapshot, error);
}

int fl_wasm3_delta(IM3Runtime runtime, struct fl_snapshot *snapshot,
		   struct fl_delta **delta, struct fl_error *error)
{
	struct fl_memory *memory;
	int err = check_unchanged(runtime, &memory, error);

	return err ? err : resume_delta(snapshot, memory, delta, error);
}

int fl_wasm3_load(struct fl_pool *pool, const struct fl_module *module,
		  IM3Runtime runtime, IM3Module parsed,
		  const struct fl_wasm3_config *config, struct fl_error *error)
{
	struct fl_memory_type type = { .size = sizeof(type) };
	struct fl_wasm3_config known = { .size = sizeof(known) };
	struct load load = { .is_taken = true };
	int err = check_prefix(pool, error);

	if (err)
		return err;
	if (config)
		memcpy(&known, config,
		       config->size < sizeof(known) ? config->size :
						      sizeof(known));
	if (known.delta && !known.snapshot)
		return fail(error, -EINVAL,
			    "a delta needs the snapshot that it was taken of");
	if (!calls_arrive())
		return fail(
			error, -ENOTSUP,
			"wasm3's calls do not arrive: compile its m3_core.c as an object of its own, without -flto, and link with `pkg-config --libs faultline-wasm3`");
	if (defines_memory(module, &type)) {
		err = memory_begin(pool, module, &type, &known, &load.memory,
				   error);
		if (err)
			return err;
		load.is_taken = false;
		load.wanted_bytes = type.min_pages * WPAGE_BYTES + HEADER_BYTES;
	} else if (known.snapshot) {
		return fail(error, -EINVAL,
			    "the snapshot is of another module");
	}
	err = load_with(&load, runtime, parsed, error);
	if (err || !known.snapshot)
		return err;
	return catch_up(runtime, load.memory, type.min_pages * WPAGE_BYTES,
			error);
}
