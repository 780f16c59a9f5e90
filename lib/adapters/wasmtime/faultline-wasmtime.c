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
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasmtime-api.h"

static _Thread_local struct fl_wasmtime_batch *innermost;

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
	/* What fl_wasmtime_use() set, and the pool keeps. */
	size_t reserved, guard;
};

static uint8_t *memory_get(void *env, size_t *size, size_t *capacity)
{
	const struct fl_wasmtime_held *held = env;

	*capacity = held->capacity;
	*size = 0;
	/* Its content sleeps, and its store is about to end. */
	if (!held->memory)
		return NULL;
	*size = (size_t)fl_memory_length(held->memory);
	return held->memory->base;
}

static wasmtime_error_t *memory_grow(void *env, size_t new_size)
{
	const struct fl_wasmtime_held *held = env;
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
	struct fl_wasmtime_held *held = env;

	if (held->memory)
		(void)fl_memory_release(held->memory);
	free(held);
}

/* Take a memory, and what Wasmtime is going to keep of it. */
static int hold(struct fl_pool *pool, struct fl_memory_config *config,
		struct fl_wasmtime_held **out, struct fl_error *error)
{
	struct fl_wasmtime_held *held = malloc(sizeof(*held));
	int err;

	if (!held)
		return fail(error, -ENOMEM,
			    "no memory for what holds a memory");
	*held = (struct fl_wasmtime_held){ .page_bytes = config->page_bytes };
	config->user = held;
	err = fl_memory_acquire(pool, config, &held->memory, error);
	if (err)
		free(held);
	else
		*out = held;
	return err;
}

/* ------------------------------------------------------------- the creator */

/* Does the pool keep what Wasmtime's code takes for granted? */
static wasmtime_error_t *check_bounds(const struct creator *creator,
				      size_t reserved, size_t guard)
{
	struct fl_tunables tunables;
	struct fl_error error = { .text = "" };

	if (reserved == creator->reserved && guard == creator->guard)
		return NULL;
	fl_tunables_init(&tunables);
	tunables.memory_reservation_bytes = reserved;
	tunables.memory_guard_bytes = guard;
	tunables.memory_may_move = 0;
	tunables.checks_bounds = !reserved && !guard;
	if (fl_pool_adjust_tunables(creator->pool, &tunables, &error))
		return refuse("%s", error.text);
	if (tunables.memory_reservation_bytes >= reserved &&
	    tunables.memory_guard_bytes >= guard)
		return NULL;
	return refuse(
		"Wasmtime's code needs a reservation of %llu and a guard of %llu bytes, the pool has %llu and %llu: call fl_wasmtime_use() last on the configuration",
		(unsigned long long)reserved, (unsigned long long)guard,
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
				    struct fl_wasmtime_held **held)
{
	struct fl_error error = { .text = "" };
	struct fl_memory_config config;

	fl_memory_config_init(&config);
	config.initial_bytes = minimum;
	config.max_bytes = maximum == SIZE_MAX ? UINT64_MAX : maximum;
	config.page_bytes = page_bytes;
	return hold(pool, &config, held, &error) ? refuse("%s", error.text) :
						   NULL;
}

static wasmtime_error_t *take_announced(struct fl_wasmtime_batch *batch,
					struct fl_pool *pool,
					const wasm_memorytype_t *type,
					struct fl_wasmtime_held **held)
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
		*held = batch->held[batch->taken++];
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
	struct fl_wasmtime_held *held = NULL;
	wasmtime_error_t *error;

	if (!batch)
		return refuse(
			"nobody has announced this memory: call fl_wasmtime_begin() before the instantiation, on the same thread");
	if (batch->is_trial)
		batch->taken++;
	error = check_bounds(creator, reserved, guard);
	if (!error)
		error = batch->module ? take_announced(batch, creator->pool,
						       type, &held) :
					take_plain(creator->pool, minimum,
						   maximum, page_bytes, &held);
	if (error)
		return error;
	held->capacity = creator->capacity;
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
	struct fl_pool_config pooled = { .size = sizeof(pooled) };
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
	fl_pool_config_of(pool, &pooled);
	creator->pool = pool;
	creator->capacity = (size_t)pooled.max_memory_bytes;
	creator->reserved = (size_t)tunables.memory_reservation_bytes;
	creator->guard = (size_t)tunables.memory_guard_bytes;
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
static const uint8_t trial_bytes[] = { 0, 'a', 's', 'm', 1, 0, 0,
				       0, 5,   3,   1,	 0, 0 };

/* Instantiate a module in the engine, and see whether it asks for its memory. */
static int try_engine(wasm_engine_t *engine, struct fl_error *error)
{
	struct fl_wasmtime_batch batch = { .outer = innermost, .is_trial = 1 };
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

/* The reserved exports of a module that was written with them. */
static int list_state(struct fl_wasmtime_module *module, struct fl_error *error)
{
	struct fl_state_export *exports;
	int err = fl_module_state_exports(module->module, NULL, 0,
					  &module->export_count, error);

	if (err)
		return err;
	exports = calloc(module->export_count + (size_t)1, sizeof(*exports));
	if (!exports)
		return fail(error, -ENOMEM, "no memory for a list of exports");
	module->exports = exports;
	return fl_module_state_exports(module->module, exports,
				       module->export_count,
				       &module->export_count, error);
}

/* Nothing is copied over a restored content. */
static int write_resumable(struct fl_wasmtime_module *module, void **bytes,
			   uint64_t *length_bytes, struct fl_error *error)
{
	struct fl_data_free_report report = { .size = sizeof(report) };
	int err = list_state(module, error);

	if (!err && module->whole_reason)
		err = fail(error, -ENOTSUP, "no snapshots of this module: %s",
			   module->whole_reason);
	if (!err)
		err = fl_module_write_state_exports(
			module->module, bytes, length_bytes, &report, error);
	if (!err && report.kept_count)
		err = fail(
			error, -ENOTSUP,
			"no snapshots of this module: data segment %u is copied at each instantiation: %s",
			report.first_kept_idx, report.kept_reason);
	return err;
}

static int compile(wasm_engine_t *engine, struct fl_wasmtime_module *module,
		   const void *bytes, uint64_t length_bytes, bool is_resumable,
		   struct fl_error *error)
{
	void *free_bytes = NULL;
	wasmtime_error_t *theirs;
	int err = 0;

	module->whole_reason = find_whole_reason(module->module);
	if (is_resumable)
		err = write_resumable(module, &free_bytes, &length_bytes,
				      error);
	else if (!module->whole_reason)
		err = fl_module_write_data_free(module->module, &free_bytes,
						&length_bytes, NULL, error);
	if (err) {
		fl_bytes_free(free_bytes);
		return err;
	}
	theirs = wasmtime_module_new(engine, free_bytes ? free_bytes : bytes,
				     (size_t)length_bytes, &module->compiled);
	fl_bytes_free(free_bytes);
	return theirs ? fail_by(error, theirs) : 0;
}

static int load(wasm_engine_t *engine, struct fl_context *context,
		struct fl_pool *pool, const void *bytes, uint64_t length_bytes,
		bool is_resumable, struct fl_wasmtime_module **out,
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
		err = compile(engine, module, bytes, length_bytes, is_resumable,
			      error);
	if (err)
		fl_wasmtime_release(module);
	else
		*out = module;
	return err;
}

int fl_wasmtime_load(struct wasm_engine_t *engine, struct fl_context *context,
		     struct fl_pool *pool, const void *bytes,
		     uint64_t length_bytes, struct fl_wasmtime_module **module,
		     struct fl_error *error)
{
	return load(engine, context, pool, bytes, length_bytes, false, module,
		    error);
}

int fl_wasmtime_load_resumable(struct wasm_engine_t *engine,
			       struct fl_context *context, struct fl_pool *pool,
			       const void *bytes, uint64_t length_bytes,
			       struct fl_wasmtime_module **module,
			       struct fl_error *error)
{
	return load(engine, context, pool, bytes, length_bytes, true, module,
		    error);
}

void fl_wasmtime_release(struct fl_wasmtime_module *module)
{
	if (!module)
		return;
	if (module->compiled)
		wasmtime_module_delete(module->compiled);
	fl_module_release(module->module);
	free(module->exports);
	free(module);
}

/* ----------------------------------------------------------------- batches */

/* What the memories of a batch begin with. */
struct content {
	struct fl_snapshot *snapshot; /* NULL: the module's images */
	const struct fl_delta *delta; /* over the snapshot's; NULL: none */
};

static struct fl_image *find_image(const struct fl_wasmtime_module *module,
				   const struct content *content, uint32_t idx)
{
	if (content->snapshot)
		return fl_snapshot_image(content->snapshot, 0, idx);
	return module->whole_reason ? NULL :
				      fl_module_image(module->module, idx);
}

static int take_one(struct fl_wasmtime_batch *batch,
		    const struct content *content, uint64_t timeout_ns,
		    struct fl_error *error)
{
	const struct fl_wasmtime_module *module = batch->module;
	struct fl_memory_type type = { .size = sizeof(type) };
	struct fl_wasmtime_held **held = &batch->held[batch->count];
	uint32_t idx = batch->first + batch->count;
	struct fl_memory_config config;
	int err = fl_module_memory_type(module->module, idx, &type);

	if (err)
		return fail(error, err, "the module has no such memory");
	fl_memory_config_init(&config);
	config.image = find_image(module, content, idx);
	/* Both products are below 2^64: the reader has seen to that. A snapshot's
	 * image knows how large the memory was. */
	if (!content->snapshot)
		config.initial_bytes = type.min_pages * type.page_bytes;
	config.max_bytes = type.max_pages > UINT64_MAX / type.page_bytes ?
				   UINT64_MAX :
				   type.max_pages * type.page_bytes;
	config.page_bytes = type.page_bytes;
	config.timeout_ns = timeout_ns;
	err = hold(module->pool, &config, held, error);
	batch->count += !err;
	if (!err && content->delta)
		err = fl_delta_restore_memory(content->delta, idx,
					      (*held)->memory, error);
	return err;
}

static bool is_shared(const struct fl_module *module, uint32_t memory_idx)
{
	struct fl_memory_type type = { .size = sizeof(type) };

	return !fl_module_memory_type(module, memory_idx, &type) &&
	       type.is_shared;
}

/* Give back what is not taken. */
static void give_rest(struct fl_wasmtime_batch *batch)
{
	while (batch->count > batch->taken)
		memory_end(batch->held[--batch->count]);
}

static int begin(struct fl_wasmtime_batch *batch,
		 const struct fl_wasmtime_module *module,
		 const struct content *content, uint64_t timeout_ns,
		 struct fl_error *error)
{
	struct fl_module_info info = { .size = sizeof(info) };
	int err = 0, cancel;

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
	/* A thread that ended here would leave memories that nobody finds. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	while (!err &&
	       info.imported_memory_count + batch->count < info.memory_count) {
		if (batch->count == FL_WASMTIME_MAX_MEMORIES)
			err = fail(error, -E2BIG,
				   "the module has more than %d memories",
				   FL_WASMTIME_MAX_MEMORIES);
		else
			err = take_one(batch, content, timeout_ns, error);
	}
	pthread_setcancelstate(cancel, NULL);
	if (err)
		give_rest(batch);
	else
		innermost = batch;
	return err;
}

int fl_wasmtime_begin(struct fl_wasmtime_batch *batch,
		      const struct fl_wasmtime_module *module,
		      uint64_t timeout_ns, struct fl_error *error)
{
	struct content content = { NULL, NULL };

	return begin(batch, module, &content, timeout_ns, error);
}

int fl_wasmtime_begin_clone(struct fl_wasmtime_batch *batch,
			    const struct fl_wasmtime_module *module,
			    struct fl_snapshot *snapshot,
			    const struct fl_delta *delta, uint64_t timeout_ns,
			    struct fl_error *error)
{
	struct content content = { snapshot, delta };
	int err = fl_wasmtime_check_snapshot(module, snapshot, delta, error);

	return err ? err : begin(batch, module, &content, timeout_ns, error);
}

void fl_wasmtime_end(struct fl_wasmtime_batch *batch)
{
	innermost = batch->outer;
	give_rest(batch);
}
