/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * faultline-wasmtime.c - see faultline-wasmtime.h.
 *
 * A batch holds the memories of one module, taken all or none before Wasmtime
 * begins. The creator hands them over in the order of their indices, which is
 * the order in which Wasmtime asks, before any code of the guest runs. So when a
 * start function or a host call instantiates another module, the outer batch has
 * nothing left, and that other module has to be announced too.
 *
 * Each request is compared with what the module's binary says of the memory, and
 * with what the pool guarantees about reservation and guard.
 *
 * State: per thread the innermost open batch.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../fail.h"
#include "faultline-wasmtime.h"

/* What wasm.h and wasmtime.h of Wasmtime 48 say. The adapter is built where
 * Wasmtime is not; tests/consumers/wasmtime holds this against the headers. */
typedef struct wasmtime_error wasmtime_error_t;
typedef struct wasm_memorytype_t wasm_memorytype_t;
typedef struct wasm_config_t wasm_config_t;
typedef struct wasm_engine_t wasm_engine_t;
typedef struct wasm_trap_t wasm_trap_t;
typedef struct wasmtime_module wasmtime_module_t;
typedef struct wasmtime_store wasmtime_store_t;
typedef struct wasmtime_context wasmtime_context_t;

typedef struct wasm_byte_vec_t {
	size_t size;
	char *data;
} wasm_byte_vec_t;

typedef struct wasmtime_linear_memory {
	void *env;
	uint8_t *(*get_memory)(void *env, size_t *size, size_t *capacity);
	wasmtime_error_t *(*grow_memory)(void *env, size_t new_size);
	void (*finalizer)(void *env);
} wasmtime_linear_memory_t;

typedef struct wasmtime_memory_creator {
	void *env;
	wasmtime_error_t *(*new_memory)(void *env,
					const wasm_memorytype_t *type,
					size_t minimum, size_t maximum,
					size_t reserved, size_t guard,
					wasmtime_linear_memory_t *memory);
	void (*finalizer)(void *env);
} wasmtime_memory_creator_t;

typedef struct wasmtime_instance {
	uint64_t store_id;
	size_t private_idx;
} wasmtime_instance_t;

wasmtime_error_t *wasmtime_error_new(const char *message);
void wasmtime_error_message(const wasmtime_error_t *error,
			    wasm_byte_vec_t *message);
void wasmtime_error_delete(wasmtime_error_t *error);
void wasm_byte_vec_delete(wasm_byte_vec_t *bytes);
void wasm_trap_delete(wasm_trap_t *trap);
uint64_t wasmtime_memorytype_minimum(const wasm_memorytype_t *type);
bool wasmtime_memorytype_maximum(const wasm_memorytype_t *type, uint64_t *max);
bool wasmtime_memorytype_is64(const wasm_memorytype_t *type);
uint64_t wasmtime_memorytype_page_size(const wasm_memorytype_t *type);
void wasmtime_config_host_memory_creator_set(wasm_config_t *config,
					     wasmtime_memory_creator_t *creator);
void wasmtime_config_memory_reservation_set(wasm_config_t *config,
					    uint64_t bytes);
void wasmtime_config_memory_guard_size_set(wasm_config_t *config,
					   uint64_t bytes);
void wasmtime_config_memory_may_move_set(wasm_config_t *config, bool may_move);
void wasmtime_config_memory_init_cow_set(wasm_config_t *config, bool enable);
wasmtime_error_t *wasmtime_module_new(wasm_engine_t *engine,
				      const uint8_t *bytes, size_t length,
				      wasmtime_module_t **module);
void wasmtime_module_delete(wasmtime_module_t *module);
wasmtime_store_t *wasmtime_store_new(wasm_engine_t *engine, void *data,
				     void (*finalizer)(void *data));
wasmtime_context_t *wasmtime_store_context(wasmtime_store_t *store);
void wasmtime_store_delete(wasmtime_store_t *store);
wasmtime_error_t *wasmtime_instance_new(wasmtime_context_t *context,
					const wasmtime_module_t *module,
					const void *imports, size_t count,
					wasmtime_instance_t *instance,
					wasm_trap_t **trap);

static _Thread_local struct fl_wasmtime_batch *innermost;

/* Wasmtime's own words, which the call consumes. */
static int fail_by(struct fl_error *error, wasmtime_error_t *theirs)
{
	wasm_byte_vec_t words;

	wasmtime_error_message(theirs, &words);
	fail(error, -EINVAL, "Wasmtime says: %.*s",
	     words.size < 200 ? (int)words.size : 200, words.data);
	wasm_byte_vec_delete(&words);
	wasmtime_error_delete(theirs);
	return -EINVAL;
}

__attribute__((format(printf, 1, 2))) static wasmtime_error_t *
refuse(const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return wasmtime_error_new(text);
}

/* ---------------------------------------------------------------- a memory */

/* What Wasmtime keeps of a memory creator. */
struct creator {
	struct fl_pool *pool;
	/* The pool's maximum. Wasmtime takes faults up to here, and a guard
	 * farther, for the memory's, and lets growth in place end here. */
	size_t capacity;
};

/* What Wasmtime keeps of a memory. */
struct held {
	struct fl_memory *memory;
	uint64_t page_bytes;
	size_t capacity;
};

static uint8_t *memory_get(void *env, size_t *size, size_t *capacity)
{
	const struct held *held = env;

	*size = (size_t)fl_memory_length(held->memory);
	*capacity = held->capacity;
	return held->memory->base;
}

static wasmtime_error_t *memory_grow(void *env, size_t new_size)
{
	const struct held *held = env;
	uint64_t length = fl_memory_length(held->memory);
	int err;

	if (new_size <= length)
		return NULL;
	if ((new_size - length) % held->page_bytes)
		return refuse("a memory grows by whole pages");
	err = fl_memory_grow(held->memory,
			     (new_size - length) / held->page_bytes, NULL);
	return err ? refuse("the memory cannot grow: %s", fl_strerror(err)) :
		     NULL;
}

static void memory_end(void *env)
{
	struct held *held = env;

	(void)fl_memory_release(held->memory);
	free(held);
}

/* ------------------------------------------------------------- the creator */

/* Does the pool keep what Wasmtime's code takes for granted? */
static wasmtime_error_t *check_bounds(const struct fl_pool *pool,
				      size_t reserved, size_t guard)
{
	struct fl_tunables tunables;
	struct fl_error error = { .text = "" };

	fl_tunables_init(&tunables);
	tunables.memory_reservation_bytes = reserved;
	tunables.memory_guard_bytes = guard;
	tunables.memory_may_move = 0;
	tunables.checks_bounds = !reserved && !guard;
	if (fl_pool_adjust_tunables(pool, &tunables, &error))
		return refuse("%s", error.text);
	if (tunables.memory_reservation_bytes >= reserved &&
	    tunables.memory_guard_bytes >= guard)
		return NULL;
	return refuse(
		"Wasmtime's code needs a reservation of %zu and a guard of %zu bytes, the pool has %llu and %llu: call fl_wasmtime_use() last on the configuration",
		reserved, guard,
		(unsigned long long)tunables.memory_reservation_bytes,
		(unsigned long long)tunables.memory_guard_bytes);
}

/* Is this the memory that the batch has next? */
static wasmtime_error_t *check_type(const struct fl_wasmtime_batch *batch,
				    const wasm_memorytype_t *type)
{
	struct fl_memory_type wanted = { .size = sizeof(wanted) };
	uint64_t max = UINT64_MAX;

	if (fl_module_memory_type(batch->module->module,
				  batch->first + batch->taken, &wanted))
		return refuse("the module has no such memory");
	if (!wasmtime_memorytype_maximum(type, &max))
		max = UINT64_MAX;
	if (wanted.min_pages == wasmtime_memorytype_minimum(type) &&
	    wanted.max_pages == max &&
	    !wanted.is_64 == !wasmtime_memorytype_is64(type) &&
	    wanted.page_bytes == wasmtime_memorytype_page_size(type))
		return NULL;
	return refuse(
		"memory %u is not that of the module that fl_wasmtime_begin() was told",
		batch->first + batch->taken);
}

static wasmtime_error_t *take_plain(struct fl_pool *pool, size_t minimum,
				    size_t maximum, uint64_t page_bytes,
				    struct fl_memory **memory)
{
	struct fl_error error = { .text = "" };
	struct fl_memory_config config;

	fl_memory_config_init(&config);
	config.initial_bytes = minimum;
	config.max_bytes = maximum == SIZE_MAX ? UINT64_MAX : maximum;
	config.page_bytes = page_bytes;
	return fl_memory_acquire(pool, &config, memory, &error) ?
		       refuse("%s", error.text) :
		       NULL;
}

static wasmtime_error_t *take_announced(struct fl_wasmtime_batch *batch,
					struct fl_pool *pool,
					const wasm_memorytype_t *type,
					struct fl_memory **memory)
{
	wasmtime_error_t *error;

	if (batch->module->pool != pool)
		return refuse(
			"the module was loaded for another pool than this engine's");
	if (batch->taken == batch->count)
		return refuse(
			"another module is instantiated in between: announce it too, by fl_wasmtime_begin()");
	error = check_type(batch, type);
	if (!error)
		*memory = batch->memories[batch->taken++];
	return error;
}

static wasmtime_error_t *memory_new(void *env, const wasm_memorytype_t *type,
				    size_t minimum, size_t maximum,
				    size_t reserved, size_t guard,
				    wasmtime_linear_memory_t *made)
{
	uint64_t page_bytes = wasmtime_memorytype_page_size(type);
	struct fl_wasmtime_batch *batch = innermost;
	const struct creator *creator = env;
	wasmtime_error_t *error;
	struct held *held;

	if (!batch)
		return refuse(
			"nobody has announced this memory: call fl_wasmtime_begin() before the instantiation, on the same thread");
	if (batch->is_trial)
		batch->taken++;
	held = malloc(sizeof(*held));
	if (!held)
		return refuse("no memory for what holds a memory");
	*held = (struct held){ .page_bytes = page_bytes,
			       .capacity = creator->capacity };
	error = check_bounds(creator->pool, reserved, guard);
	if (!error)
		error = batch->module ?
				take_announced(batch, creator->pool, type,
					       &held->memory) :
				take_plain(creator->pool, minimum, maximum, page_bytes,
					   &held->memory);
	if (error) {
		free(held);
		return error;
	}
	*made = (wasmtime_linear_memory_t){
		.env = held,
		.get_memory = memory_get,
		.grow_memory = memory_grow,
		.finalizer = memory_end,
	};
	return NULL;
}

int fl_wasmtime_use(struct wasm_config_t *config, struct fl_pool *pool,
		    struct fl_error *error)
{
	struct fl_pool_info info = { .size = sizeof(info) };
	wasmtime_memory_creator_t calls = {
		.new_memory = memory_new,
		.finalizer = free,
	};
	struct fl_tunables tunables;
	struct creator *creator;

	fl_tunables_init(&tunables);
	if (fl_pool_adjust_tunables(pool, &tunables, error)) {
		/* The pool's memories are accessible beyond their size. */
		tunables.checks_bounds = 1;
		tunables.memory_reservation_bytes = 0;
		tunables.memory_guard_bytes = 0;
		if (fl_pool_adjust_tunables(pool, &tunables, error))
			return -EINVAL;
	}
	creator = malloc(sizeof(*creator));
	if (!creator)
		return fail(error, -ENOMEM, "no memory for a creator");
	fl_pool_info(pool, &info);
	creator->pool = pool;
	creator->capacity = (size_t)info.max_memory_bytes;
	calls.env = creator;
	wasmtime_config_host_memory_creator_set(config, &calls);
	wasmtime_config_memory_reservation_set(
		config, tunables.memory_reservation_bytes);
	wasmtime_config_memory_guard_size_set(config,
					      tunables.memory_guard_bytes);
	wasmtime_config_memory_may_move_set(config, false);
	/* Wasmtime 48 panics where it would map an image of its own over a
	 * memory that is not its own. */
	wasmtime_config_memory_init_cow_set(config, false);
	return 0;
}

/* ----------------------------------------------------------------- modules */

/* (module (memory 0)) */
static const uint8_t trial_bytes[] = { 0, 'a', 's', 'm', 1, 0, 0, 0,
				       5, 3,   1,   0,	 0 };

/* Instantiate a module in the engine, and see whether it asks for its memory. */
static int try_engine(wasm_engine_t *engine, struct fl_error *error)
{
	struct fl_wasmtime_batch batch = { .outer = innermost,
					   .is_trial = 1 };
	wasmtime_instance_t instance;
	wasmtime_module_t *module;
	wasmtime_store_t *store;
	wasm_trap_t *trap = NULL;
	wasmtime_error_t *theirs = wasmtime_module_new(
		engine, trial_bytes, sizeof(trial_bytes), &module);

	if (theirs)
		return fail_by(error, theirs);
	store = wasmtime_store_new(engine, NULL, NULL);
	innermost = &batch;
	theirs = wasmtime_instance_new(wasmtime_store_context(store), module,
				       NULL, 0, &instance, &trap);
	innermost = batch.outer;
	wasmtime_store_delete(store);
	wasmtime_module_delete(module);
	if (trap)
		wasm_trap_delete(trap);
	if (theirs)
		return fail_by(error, theirs);
	return batch.taken ?
		       0 :
		       fail(error, -ENOTSUP,
			    "this engine asks for no memories: call fl_wasmtime_use() on its configuration, and leave the allocation strategy on demand");
}

/* Why Wasmtime has to copy the data; NULL: every memory can show its image. */
static const char *find_whole_reason(const struct fl_module *module)
{
	struct fl_module_info info = { .size = sizeof(info) };
	struct fl_memory_type type = { .size = sizeof(type) };

	fl_module_info(module, &info);
	if (info.segmented_reason)
		return info.segmented_reason;
	for (uint32_t i = 0; i < info.memory_count; i++) {
		if (fl_module_memory_type(module, i, &type))
			return "a memory that cannot be looked at";
		if (type.is_shared)
			return "Wasmtime makes shared memories itself";
		if (i < info.imported_memory_count && type.has_image)
			return "an imported memory is the host's to fill";
	}
	return NULL;
}

static int compile(wasm_engine_t *engine, struct fl_wasmtime_module *module,
		   const void *bytes, uint64_t length_bytes,
		   struct fl_error *error)
{
	void *free_bytes = NULL;
	wasmtime_error_t *theirs;
	int err;

	module->whole_reason = find_whole_reason(module->module);
	if (!module->whole_reason) {
		err = fl_module_write_data_free(module->module, &free_bytes,
						&length_bytes, NULL, error);
		if (err)
			return err;
		bytes = free_bytes;
	}
	theirs = wasmtime_module_new(engine, bytes, (size_t)length_bytes,
				     &module->compiled);
	fl_bytes_free(free_bytes);
	return theirs ? fail_by(error, theirs) : 0;
}

int fl_wasmtime_load(struct wasm_engine_t *engine, struct fl_context *context,
		     struct fl_pool *pool, const void *bytes,
		     uint64_t length_bytes, struct fl_wasmtime_module **out,
		     struct fl_error *error)
{
	struct fl_wasmtime_module *module;
	struct fl_module_config config;
	int err = try_engine(engine, error);

	if (err)
		return err;
	module = calloc(1, sizeof(*module));
	if (!module)
		return fail(error, -ENOMEM, "no memory for a module");
	module->pool = pool;
	fl_module_config_init(&config);
	config.bytes = bytes;
	config.length_bytes = length_bytes;
	err = fl_module_load(context, &config, &module->module, error);
	if (!err)
		err = fl_pool_validate(pool, module->module, error);
	if (!err)
		err = compile(engine, module, bytes, length_bytes, error);
	if (err)
		fl_wasmtime_release(module);
	else
		*out = module;
	return err;
}

void fl_wasmtime_release(struct fl_wasmtime_module *module)
{
	if (!module)
		return;
	if (module->compiled)
		wasmtime_module_delete(module->compiled);
	fl_module_release(module->module);
	free(module);
}

/* ----------------------------------------------------------------- batches */

static int take_one(struct fl_wasmtime_batch *batch, uint32_t idx,
		    uint64_t timeout_ns, struct fl_error *error)
{
	const struct fl_wasmtime_module *module = batch->module;
	struct fl_memory_type type = { .size = sizeof(type) };
	struct fl_memory_config config;
	int err = fl_module_memory_type(module->module, batch->first + idx,
					&type);

	if (err)
		return fail(error, err, "the module has no such memory");
	fl_memory_config_init(&config);
	if (!module->whole_reason)
		config.image = fl_module_image(module->module,
					       batch->first + idx);
	/* Both products are below 2^64: the reader has seen to that. */
	config.initial_bytes = type.min_pages * type.page_bytes;
	config.max_bytes = type.max_pages > UINT64_MAX / type.page_bytes ?
				   UINT64_MAX :
				   type.max_pages * type.page_bytes;
	config.page_bytes = type.page_bytes;
	config.timeout_ns = timeout_ns;
	return fl_memory_acquire(module->pool, &config, &batch->memories[idx],
				 error);
}

static bool is_shared(const struct fl_module *module, uint32_t memory_idx)
{
	struct fl_memory_type type = { .size = sizeof(type) };

	return !fl_module_memory_type(module, memory_idx, &type) &&
	       type.is_shared;
}

int fl_wasmtime_begin(struct fl_wasmtime_batch *batch,
		      const struct fl_wasmtime_module *module,
		      uint64_t timeout_ns, struct fl_error *error)
{
	struct fl_module_info info = { .size = sizeof(info) };
	int err = 0;

	*batch = (struct fl_wasmtime_batch){ .outer = innermost,
					     .module = module };
	if (module) {
		fl_module_info(module->module, &info);
		batch->first = info.imported_memory_count;
	}
	/* A shared memory is not asked for, and Wasmtime fills it. */
	for (uint32_t i = info.imported_memory_count; i < info.memory_count;
	     i++) {
		if (is_shared(module->module, i))
			return fail(
				error, -ENOTSUP,
				"memory %u is shared, which Wasmtime makes itself: instantiate the module without fl_wasmtime_begin()",
				i);
	}
	while (!err && info.imported_memory_count + batch->count <
			       info.memory_count) {
		if (batch->count == FL_WASMTIME_MAX_MEMORIES)
			err = fail(error, -E2BIG,
				   "the module has more than %d memories",
				   FL_WASMTIME_MAX_MEMORIES);
		else
			err = take_one(batch, batch->count, timeout_ns, error);
		batch->count += !err;
	}
	if (!err) {
		innermost = batch;
		return 0;
	}
	while (batch->count)
		(void)fl_memory_release(batch->memories[--batch->count]);
	return err;
}

void fl_wasmtime_end(struct fl_wasmtime_batch *batch)
{
	innermost = batch->outer;
	while (batch->taken < batch->count)
		(void)fl_memory_release(batch->memories[batch->taken++]);
}
