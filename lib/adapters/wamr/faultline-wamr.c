/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wamr.c - see faultline-wamr.h.
 *
 * An instantiation is announced on its thread. The memory is taken when WAMR
 * asks for it, and not before, because WAMR alone knows its size: it adds its
 * heap. A module that has an image has one memory. So an announcement is good
 * for one request, and whatever else WAMR instantiates inside (another module of
 * a host call or a start function) is refused, or has to be announced itself. A
 * module that was loaded whole may have any memories of zeroes.
 *
 * State: the pool in use, one for the process as WAMR is; per thread the
 * instantiation that is under way, and the last error.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "../resume.h"
#include "faultline-wamr.h"

/* What wasm_export.h says. The adapter is built where WAMR is not. */
typedef struct WASMModuleCommon *wasm_module_t;
typedef struct WASMModuleInstanceCommon *wasm_module_inst_t;

wasm_module_t wasm_runtime_load(const uint8_t *bytes, uint32_t length,
				char *words, uint32_t words_size);
void wasm_runtime_unload(wasm_module_t module);
wasm_module_inst_t wasm_runtime_instantiate(wasm_module_t module,
					    uint32_t stack_size,
					    uint32_t heap_size, char *words,
					    uint32_t words_size);
void wasm_runtime_deinstantiate(wasm_module_inst_t instance);
/* Newer versions take 64 bits, which a zero of 64 bits serves as well. */
void *wasm_runtime_addr_app_to_native(wasm_module_inst_t instance,
				      uint64_t offset);

typedef struct WASMExecEnv *wasm_exec_env_t;
typedef void *wasm_function_inst_t;

wasm_function_inst_t wasm_runtime_lookup_function(wasm_module_inst_t instance,
						  const char *name,
						  const char *signature);
wasm_exec_env_t wasm_runtime_create_exec_env(wasm_module_inst_t instance,
					     uint32_t stack_size);
void wasm_runtime_destroy_exec_env(wasm_exec_env_t env);
bool wasm_runtime_call_wasm(wasm_exec_env_t env, wasm_function_inst_t function,
			    uint32_t argc, uint32_t argv[]);
void wasm_runtime_clear_exception(wasm_module_inst_t instance);

#define WPAGE_BYTES ((uint64_t)65536)
#define WORDS_BYTES 160
/* For the functions of a resumable module, which call nothing. */
#define CALL_STACK_BYTES 4096u

enum usage {
	USAGE_RUNTIME = 0,
	USAGE_LINEAR = 1,
};

/* Only to see whether WAMR asks here and leaves the bytes alone. */
struct trial {
	uint8_t *bytes;
	bool is_freed;
};

struct announcement {
	const struct fl_wamr_module *module;
	const struct fl_wamr_config *config;
	struct trial *trial;
	uint32_t taken;
	int err;
	uint64_t begun_bytes; /* of the memory, as WAMR asked */
	struct fl_memory *memory; /* the last one taken */
};

static struct fl_pool *_Atomic used_pool;
static _Atomic uint32_t live_count; /* memories that WAMR has of it */
static _Thread_local struct announcement *announced;
static _Thread_local struct fl_error last;

static struct fl_pool *pool_in_use(void)
{
	return atomic_load_explicit(&used_pool, memory_order_acquire);
}

/* ------------------------------------------------------------- WAMR's calls */

static void *trial_malloc(struct trial *trial, unsigned int size)
{
	if (trial->bytes || !size)
		return NULL;
	trial->bytes = malloc(size);
	if (trial->bytes)
		memset(trial->bytes, 1, size);
	return trial->bytes;
}

static int memory_take(struct announcement *now, unsigned int size,
		       struct fl_memory **memory)
{
	struct fl_memory_config wanted;
	int err;

	fl_memory_config_init(&wanted);
	if (!now->module->whole_reason) {
		if (now->taken)
			return fail(
				&last, -ENOTSUP,
				"WAMR asks for a second memory: instantiate each module by fl_wamr_instantiate()");
		wanted.image = now->config->image ?
				       now->config->image :
				       fl_module_image(now->module->module, 0);
	}
	now->taken++;
	/* WAMR's page is larger than 64 KiB where a heap goes with the only
	 * page. */
	now->begun_bytes = (size + WPAGE_BYTES - 1) / WPAGE_BYTES * WPAGE_BYTES;
	wanted.initial_bytes = now->begun_bytes;
	wanted.timeout_ns = now->config->timeout_ns;
	/* How large a heap goes with it. */
	wanted.user = (void *)(uintptr_t)now->config->heap_bytes;
	if (now->config->snapshot)
		resume_configure(now->config->snapshot, &wanted);
	err = fl_memory_acquire(pool_in_use(), &wanted, memory, &last);
	if (err)
		return err;
	err = resume_restore(now->config->delta, *memory, &last);
	if (!err && fl_memory_length(*memory) < now->begun_bytes)
		err = fail(
			&last, -EINVAL,
			"the snapshot has a smaller memory than WAMR gives the module");
	if (err) {
		(void)fl_memory_release(*memory);
		return err;
	}
	atomic_fetch_add_explicit(&live_count, 1, memory_order_relaxed);
	now->memory = *memory;
	return 0;
}

static void *linear_malloc(unsigned int size)
{
	struct announcement *now = announced;
	struct fl_memory *memory;

	if (now && now->trial)
		return trial_malloc(now->trial, size);
	if (!now || !pool_in_use()) {
		fail(&last, -ENOTSUP,
		     "nobody announced this memory: instantiate by fl_wamr_instantiate()");
		return NULL;
	}
	now->err = memory_take(now, size, &memory);
	return now->err ? NULL : memory->base;
}

static struct fl_memory *memory_of(const void *base)
{
	struct fl_pool *pool = pool_in_use();
	struct fl_memory *memory = pool ? fl_memory_find(pool, base) : NULL;

	if (!memory)
		fail(&last, -EINVAL,
		     "WAMR names a memory that the pool in use did not give");
	return memory;
}

static void *linear_realloc(void *ptr, unsigned int size)
{
	struct fl_memory *memory = memory_of(ptr);
	uint64_t length, pages;
	int err;

	if (!memory)
		return NULL;
	length = fl_memory_length(memory);
	if (size <= length)
		return ptr;
	pages = (size - length + WPAGE_BYTES - 1) / WPAGE_BYTES;
	err = fl_memory_grow(memory, pages, NULL);
	if (!err)
		return ptr;
	if (!fl_memory_check_growth(memory, pages, &last))
		fail(&last, err, "the memory cannot grow to %u bytes: %s", size,
		     fl_strerror(err));
	return NULL;
}

static void linear_free(void *ptr)
{
	struct announcement *now = announced;
	struct fl_memory *memory;
	int err;

	if (now && now->trial && now->trial->bytes == ptr) {
		now->trial->is_freed = true;
		return;
	}
	memory = memory_of(ptr);
	if (!memory)
		return;
	err = fl_memory_release(memory);
	atomic_fetch_sub_explicit(&live_count, 1, memory_order_relaxed);
	if (err)
		fail(&last, err, "a memory was not made clean: %s",
		     fl_strerror(err));
}

/* A WAMR without usages calls with a size where the usage is, one without user
 * data with a size where the user data is. */
static bool is_as_set_up(int usage, const void *user_data)
{
	if ((usage == USAGE_RUNTIME || usage == USAGE_LINEAR) && !user_data)
		return true;
	fail(&last, -ENOTSUP,
	     "build WAMR with WAMR_BUILD_ALLOC_WITH_USAGE and WAMR_BUILD_ALLOC_WITH_USER_DATA, and leave user_data NULL");
	return false;
}

void *fl_wamr_malloc(int usage, void *user_data, unsigned int size)
{
	if (!is_as_set_up(usage, user_data))
		return NULL;
	return usage == USAGE_LINEAR ? linear_malloc(size) : malloc(size);
}

void *fl_wamr_realloc(int usage, bool is_mapped_whole, void *user_data,
		      void *ptr, unsigned int size)
{
	(void)is_mapped_whole;
	if (!is_as_set_up(usage, user_data))
		return NULL;
	return usage == USAGE_LINEAR ? linear_realloc(ptr, size) :
				       realloc(ptr, size);
}

void fl_wamr_free(int usage, void *user_data, void *ptr)
{
	if (!ptr || !is_as_set_up(usage, user_data))
		return;
	if (usage == USAGE_LINEAR)
		linear_free(ptr);
	else
		free(ptr);
}

const char *fl_wamr_last_error(void)
{
	return last.text;
}

/* ------------------------------------------------------------------ a trial */

/* (module (memory 1)): what instantiates it makes the calls above. */
static const uint8_t trial_bytes[] = { 0, 'a', 's', 'm', 1, 0, 0,
				       0, 5,   3,   1,	 0, 1 };

static bool trial_is_passed(struct trial *trial)
{
	struct announcement now = { .trial = trial }, *outer = announced;
	uint8_t bytes[sizeof(trial_bytes)];
	wasm_module_inst_t instance;
	wasm_module_t loaded;
	char words[WORDS_BYTES];
	bool is_kept = false;

	memcpy(bytes, trial_bytes, sizeof(bytes));
	loaded = wasm_runtime_load(bytes, sizeof(bytes), words, sizeof(words));
	if (!loaded)
		return false;
	announced = &now;
	instance =
		wasm_runtime_instantiate(loaded, 1024, 0, words, sizeof(words));
	if (instance) {
		is_kept = trial->bytes && trial->bytes[0] == 1 &&
			  trial->bytes[WPAGE_BYTES - 1] == 1;
		wasm_runtime_deinstantiate(instance);
	}
	announced = outer;
	wasm_runtime_unload(loaded);
	return is_kept && trial->is_freed;
}

static bool wamr_asks_here(void)
{
	struct trial trial = { .bytes = NULL };
	bool is_passed = trial_is_passed(&trial);

	/* A WAMR that asked here and freed elsewhere has freed it. */
	if (trial.is_freed)
		free(trial.bytes);
	return is_passed;
}

int fl_wamr_use(struct fl_pool *pool, struct fl_error *error)
{
	uint32_t live = atomic_load_explicit(&live_count, memory_order_relaxed);

	/* The pool in use may have gone, if none of its memories lives. */
	if (live && pool != pool_in_use())
		return fail(error, -EBUSY,
			    "the pool in use has %u live memories", live);
	if (pool && !wamr_asks_here())
		return fail(
			error, -ENOTSUP,
			"WAMR does not ask here for memories, or clears them: initialise it first; apply wamr-sys-0.1.1.patch, or see faultline-wamr.h for newer versions");
	atomic_store_explicit(&used_pool, pool, memory_order_release);
	return 0;
}

/* ----------------------------------------------------------------- loading */

static int memory_check(const struct fl_module *module, uint32_t idx,
			struct fl_error *error)
{
	struct fl_memory_type type = { .size = sizeof(type) };

	fl_module_memory_type(module, idx, &type);
	if (type.is_64 || type.page_bytes != WPAGE_BYTES || type.is_shared)
		return fail(
			error, -ENOTSUP,
			"memory %u: memories that are shared, have 64-bit addresses or pages of another size are not for this adapter",
			idx);
	return 0;
}

/* NULL: WAMR may have the module without its data. */
static const char *reason_for_whole(const struct fl_module *module,
				    const struct fl_module_info *info)
{
	struct fl_memory_type type = { .size = sizeof(type) };

	if (info->imported_memory_count)
		return "the module imports a memory";
	if (info->memory_count > 1)
		return "the module has more than one memory";
	if (!info->memory_count)
		return "the module has no memory";
	fl_module_memory_type(module, 0, &type);
	if (!info->active_data_count || type.has_image)
		return NULL;
	return info->segmented_reason ? info->segmented_reason :
					"data at unknown offsets";
}

/* WAMR changes the bytes that it loads, and goes on using them. */
static int bytes_for_wamr(struct fl_wamr_module *module, const void *whole,
			  uint64_t *length, struct fl_error *error)
{
	if (module->is_resumable)
		return fl_module_write_resumable(module->module, &module->bytes,
						 length, NULL, error);
	if (!module->whole_reason)
		return fl_module_write_data_free(module->module, &module->bytes,
						 length, NULL, error);
	module->bytes = malloc((size_t)*length);
	if (!module->bytes)
		return fail(error, -ENOMEM, "no memory for %llu bytes",
			    (unsigned long long)*length);
	memcpy(module->bytes, whole, (size_t)*length);
	return 0;
}

static int load_into(struct fl_wamr_module *module, const void *bytes,
		     uint64_t length, struct fl_error *error)
{
	struct fl_module_info info = { .size = sizeof(info) };
	char words[WORDS_BYTES] = "";
	int err = fl_pool_validate(pool_in_use(), module->module, error);

	if (err)
		return err;
	fl_module_info(module->module, &info);
	for (uint32_t i = 0; i < info.memory_count; i++) {
		err = memory_check(module->module, i, error);
		if (err)
			return err;
	}
	module->whole_reason = reason_for_whole(module->module, &info);
	if (module->is_resumable && module->whole_reason)
		return fail(error, -ENOTSUP, "no snapshots of this module: %s",
			    module->whole_reason);
	err = bytes_for_wamr(module, bytes, &length, error);
	if (err)
		return err;
	if (length > UINT32_MAX)
		return fail(error, -E2BIG, "the module has 4 GiB or more");
	module->loaded = wasm_runtime_load(module->bytes, (uint32_t)length,
					   words, sizeof(words));
	if (!module->loaded)
		return fail(error, -EINVAL, "WAMR says: %s", words);
	return 0;
}

static int load(struct fl_context *context, const void *bytes,
		uint64_t length_bytes, bool is_resumable,
		struct fl_wamr_module **module, struct fl_error *error)
{
	struct fl_wamr_module *made;
	struct fl_module_config config;
	int err;

	*module = NULL;
	if (!pool_in_use())
		return fail(error, -ENOTSUP,
			    "no pool is in use: call fl_wamr_use() first");
	if (length_bytes >= 4 && !memcmp(bytes, "\0aot", 4))
		return fail(
			error, -ENOTSUP,
			"the module was compiled ahead of time (AOT): this adapter takes WebAssembly");
	made = calloc(1, sizeof(*made));
	if (!made)
		return fail(error, -ENOMEM, "no memory for a module");
	made->is_resumable = is_resumable;
	fl_module_config_init(&config);
	config.bytes = bytes;
	config.length_bytes = length_bytes;
	err = fl_module_load(context, &config, &made->module, error);
	if (!err)
		err = load_into(made, bytes, length_bytes, error);
	if (err) {
		fl_wamr_release(made);
		return err;
	}
	*module = made;
	return 0;
}

int fl_wamr_load(struct fl_context *context, const void *bytes,
		 uint64_t length_bytes, struct fl_wamr_module **module,
		 struct fl_error *error)
{
	return load(context, bytes, length_bytes, false, module, error);
}

int fl_wamr_load_resumable(struct fl_context *context, const void *bytes,
			   uint64_t length_bytes,
			   struct fl_wamr_module **module,
			   struct fl_error *error)
{
	return load(context, bytes, length_bytes, true, module, error);
}

void fl_wamr_release(struct fl_wamr_module *module)
{
	if (!module)
		return;
	if (module->loaded)
		wasm_runtime_unload(module->loaded);
	if (module->whole_reason)
		free(module->bytes);
	else
		fl_bytes_free(module->bytes);
	fl_module_release(module->module);
	free(module);
}

/* ------------------------------------------------------------ instantiating */

static int instantiate(struct announcement *now, wasm_module_inst_t *instance,
		       struct fl_error *error)
{
	struct announcement *outer = announced;
	char words[WORDS_BYTES] = "";
	int cancel;

	/* A thread that ended in WAMR would take the memory with it. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	announced = now;
	*instance = wasm_runtime_instantiate(now->module->loaded,
					     now->config->stack_bytes,
					     now->config->heap_bytes, words,
					     sizeof(words));
	announced = outer;
	pthread_setcancelstate(cancel, NULL);
	if (now->err) {
		if (*instance)
			wasm_runtime_deinstantiate(*instance);
		*instance = NULL;
		return fail(error, now->err, "%s", last.text);
	}
	if (!*instance)
		return fail(error, -EINVAL, "WAMR says: %s", words);
	if (now->taken || now->module->whole_reason)
		return 0;
	wasm_runtime_deinstantiate(*instance);
	*instance = NULL;
	return fail(error, -ENOTSUP, "WAMR did not ask for the memory");
}

/* ------------------------------------------------------- clones and sessions */

/* False: it is not there, or it trapped. */
static bool call(wasm_module_inst_t instance, const char *name, uint32_t argc,
		 uint32_t argv[])
{
	wasm_function_inst_t function =
		wasm_runtime_lookup_function(instance, name, NULL);
	wasm_exec_env_t env;
	bool is_done;

	if (!function)
		return false;
	env = wasm_runtime_create_exec_env(instance, CALL_STACK_BYTES);
	if (!env)
		return false;
	is_done = wasm_runtime_call_wasm(env, function, argc, argv);
	if (!is_done)
		wasm_runtime_clear_exception(instance);
	wasm_runtime_destroy_exec_env(env);
	return is_done;
}

/* What WAMR calls when it instantiates, in this version or in newer ones. */
static int check_hooks(wasm_module_inst_t instance, struct fl_error *error)
{
	static const char *const hooks[] = { "__post_instantiate",
					     "__wasm_call_ctors",
					     "_initialize" };

	for (size_t i = 0; i < sizeof(hooks) / sizeof(*hooks); i++) {
		if (wasm_runtime_lookup_function(instance, hooks[i], NULL))
			return fail(
				error, -ENOTSUP,
				"the module exports %s, which WAMR may run over a clone's memory: rename the export",
				hooks[i]);
	}
	return 0;
}

/* WAMR has begun with the module's minimum, and the memory is a grown one. */
static int catch_up(const struct announcement *now, wasm_module_inst_t instance,
		    struct fl_error *error)
{
	uint32_t pages[1] = { (
		uint32_t)((fl_memory_length(now->memory) - now->begun_bytes) /
			  WPAGE_BYTES) };
	int err = check_hooks(instance, error);

	if (err || !pages[0] || call(instance, FL_RESUMABLE_GROW, 1, pages))
		return err;
	return fail(
		error, -EINVAL,
		"WAMR does not let the memory be as large as the snapshot's");
}

static int check_clone(const struct fl_wamr_module *module,
		       const struct fl_wamr_config *config,
		       struct fl_error *error)
{
	if (!config->snapshot)
		return config->delta ?
			       fail(error, -EINVAL,
				    "a delta needs the snapshot that it was taken of") :
			       0;
	if (!module->is_resumable)
		return fail(
			error, -EINVAL,
			"the module was not loaded by fl_wamr_load_resumable()");
	if (config->heap_bytes)
		return fail(
			error, -ENOTSUP,
			"WAMR's heap in the memory would be made over the clone's content: heap_bytes has to be 0");
	return resume_check(module->module, config->snapshot, error);
}

/* Is memory all that the instance is made of? */
static int check_unchanged(wasm_module_inst_t instance,
			   const struct fl_wamr_module *module,
			   struct fl_memory **memory, struct fl_error *error)
{
	*memory = fl_wamr_memory(instance);
	if (!module->is_resumable || !*memory)
		return fail(
			error, -EINVAL,
			"this is no instance of fl_wamr_load_resumable()'s on a pool's memory");
	if (fl_memory_user(*memory))
		return fail(
			error, -ENOTSUP,
			"WAMR's heap is in the memory, and holds addresses: heap_bytes has to be 0");
	if (!call(instance, FL_RESUMABLE_UNCHANGED, 0, NULL))
		return fail(
			error, -ENOTSUP,
			"a global has another value than at the start, and no snapshot of a memory holds it");
	return check_hooks(instance, error);
}

int fl_wamr_snapshot(wasm_module_inst_t instance,
		     const struct fl_wamr_module *module,
		     struct fl_snapshot **snapshot, struct fl_error *error)
{
	struct fl_memory *memory;
	int err = check_unchanged(instance, module, &memory, error);

	return err ? err :
		     resume_capture(module->module, memory, snapshot, error);
}

int fl_wamr_delta(wasm_module_inst_t instance,
		  const struct fl_wamr_module *module,
		  struct fl_snapshot *snapshot, struct fl_delta **delta,
		  struct fl_error *error)
{
	struct fl_memory *memory;
	int err = check_unchanged(instance, module, &memory, error);

	return err ? err : resume_delta(snapshot, memory, delta, error);
}

int fl_wamr_instantiate(const struct fl_wamr_module *module,
			const struct fl_wamr_config *config,
			wasm_module_inst_t *instance, struct fl_error *error)
{
	struct fl_wamr_config known = { .size = sizeof(known) };
	struct announcement now = { .module = module, .config = &known };
	int err;

	*instance = NULL;
	if (config)
		memcpy(&known, config,
		       config->size < sizeof(known) ? config->size :
						      sizeof(known));
	if (known.image && module->whole_reason)
		return fail(
			error, -EINVAL,
			"the module copies its data itself, so no image can take its place: %s",
			module->whole_reason);
	err = check_clone(module, &known, error);
	if (!err)
		err = instantiate(&now, instance, error);
	if (err || !known.snapshot)
		return err;
	err = catch_up(&now, *instance, error);
	if (err) {
		wasm_runtime_deinstantiate(*instance);
		*instance = NULL;
	}
	return err;
}

struct fl_memory *fl_wamr_memory(wasm_module_inst_t instance)
{
	struct fl_pool *pool = pool_in_use();
	void *base = wasm_runtime_addr_app_to_native(instance, 0);

	return pool && base ? fl_memory_find(pool, base) : NULL;
}
