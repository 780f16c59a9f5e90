/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* runtime.c - see run.h and runtime.h. */
#include "tests/consumers/run.h"
#include "tests/consumers/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STACK_BYTES 8192

/* The calls of one WAMR. */
#define CALLS(CALL)                           \
	CALL(wasm_runtime_init)               \
	CALL(wasm_runtime_destroy)            \
	CALL(wasm_runtime_load)               \
	CALL(wasm_runtime_unload)             \
	CALL(wasm_runtime_instantiate)        \
	CALL(wasm_runtime_deinstantiate)      \
	CALL(wasm_runtime_create_exec_env)    \
	CALL(wasm_runtime_destroy_exec_env)   \
	CALL(wasm_runtime_lookup_function)    \
	CALL(wasm_runtime_call_wasm)          \
	CALL(wasm_runtime_get_exception)      \
	CALL(wasm_runtime_clear_exception)    \
	CALL(wasm_runtime_addr_app_to_native) \
	CALL(wasm_runtime_get_app_addr_range)

#define DECLARE(name) extern __typeof__(name) stock_##name;
CALLS(DECLARE)

#define FIELD(name) __typeof__(name) *name;
struct wamr_calls {
	CALLS(FIELD)
};

#define PATCHED(name) .name = name,
static const struct wamr_calls patched_calls = { CALLS(PATCHED) };
#define STOCK(name) .name = stock_##name,
static const struct wamr_calls stock_calls = { CALLS(STOCK) };

static void need(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "wamr: %s\n", what);
	exit(1);
}

void runtime_open(void)
{
	need(patched_calls.wasm_runtime_init() &&
		     stock_calls.wasm_runtime_init(),
	     "WAMR does not start");
}

void runtime_close(void)
{
	stock_calls.wasm_runtime_destroy();
	patched_calls.wasm_runtime_destroy();
}

struct fl_pool *guest_pool(struct fl_context *context, uint32_t slots)
{
	struct fl_pool_config config;
	struct fl_error error = { .text = "" };
	struct fl_pool *pool;

	fl_pool_config_init(&config);
	config.max_instances = 0;
	config.max_memories = slots;
	config.max_memory_bytes = 128 * 65536;
	config.memory_stride_bytes = 0;
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	need(!fl_pool_create(context, &config, &pool, &error), error.text);
	need(!fl_wamr_use(pool, &error), error.text);
	return pool;
}

int guest_pool_close(struct fl_pool *pool)
{
	int err = fl_wamr_use(NULL, NULL);

	return err ? err : fl_pool_destroy(pool);
}

uint8_t *wamr_bytes(const char *name, uint64_t *length)
{
	char path[512];
	uint8_t *bytes;

	snprintf(path, sizeof(path), "%s/%s.wasm", MODULES_DIR, name);
	bytes = file_read(path, length);
	need(bytes != NULL, path);
	return bytes;
}

void guest_module_open(struct guest_module *module, struct fl_context *context,
		       const char *name)
{
	struct fl_error error = { .text = "" };
	char words[128];
	uint64_t length;

	module->whole = wamr_bytes(name, &length);
	need(!fl_wamr_load(context, module->whole, length, &module->pooled,
			   &error),
	     error.text);
	(void)fl_wamr_load_resumable(context, module->whole, length,
				     &module->resumable, NULL);
	module->stock = stock_calls.wasm_runtime_load(
		module->whole, (uint32_t)length, words, sizeof(words));
	need(module->stock != NULL, words);
}

void guest_module_close(struct guest_module *module)
{
	stock_calls.wasm_runtime_unload(module->stock);
	fl_wamr_release(module->resumable);
	fl_wamr_release(module->pooled);
	free(module->whole);
}

static int begin(struct guest *guest)
{
	guest->env = guest->calls->wasm_runtime_create_exec_env(guest->instance,
								STACK_BYTES);
	need(guest->env != NULL, "no environment");
	return 0;
}

int wamr_guest_start(struct fl_wamr_module *module,
		     const struct fl_wamr_config *config, struct guest *guest,
		     struct fl_error *error)
{
	int err;

	guest->calls = &patched_calls;
	err = fl_wamr_instantiate(module, config, &guest->instance, error);
	return err ? err : begin(guest);
}

int guest_start(const struct guest_module *module, struct fl_pool *pool,
		struct guest *guest, struct fl_error *error)
{
	if (pool)
		return wamr_guest_start(module->pooled, NULL, guest, error);
	guest->calls = &stock_calls;
	guest->instance = stock_calls.wasm_runtime_instantiate(
		module->stock, STACK_BYTES, 0, error->text,
		sizeof(error->text));
	return guest->instance ? begin(guest) : -22;
}

int guest_resume(const struct guest_module *module, struct fl_pool *pool,
		 struct fl_snapshot *snapshot, const struct fl_delta *delta,
		 struct guest *guest, struct fl_error *error)
{
	struct fl_wamr_config config = {
		.size = sizeof(config),
		.snapshot = snapshot,
		.delta = delta,
	};

	(void)pool;
	return wamr_guest_start(module->resumable, &config, guest, error);
}

int guest_snapshot(struct guest *guest, const struct guest_module *module,
		   struct fl_snapshot **snapshot, struct fl_error *error)
{
	return fl_wamr_snapshot(guest->instance, module->resumable, snapshot,
				error);
}

int guest_delta(struct guest *guest, const struct guest_module *module,
		struct fl_snapshot *snapshot, struct fl_delta **delta,
		struct fl_error *error)
{
	return fl_wamr_delta(guest->instance, module->resumable, snapshot,
			     delta, error);
}

const char *guest_call(struct guest *guest, const char *name, uint32_t arg,
		       uint32_t *answer)
{
	const struct wamr_calls *calls = guest->calls;
	wasm_function_inst_t function = calls->wasm_runtime_lookup_function(
		guest->instance, name, NULL);
	uint32_t argv[1] = { arg };

	need(function != NULL, name);
	if (!calls->wasm_runtime_call_wasm(guest->env, function, 1, argv)) {
		snprintf(guest->trap, sizeof(guest->trap), "%s",
			 calls->wasm_runtime_get_exception(guest->instance));
		calls->wasm_runtime_clear_exception(guest->instance);
		return guest->trap;
	}
	memcpy(answer, guest_memory(guest, NULL) + RUN_ANSWER, sizeof(*answer));
	return NULL;
}

uint8_t *guest_memory(struct guest *guest, uint32_t *length)
{
	uint32_t end = 0;

	need(guest->calls->wasm_runtime_get_app_addr_range(guest->instance, 0,
							   NULL, &end),
	     "no memory");
	if (length)
		*length = end;
	return guest->calls->wasm_runtime_addr_app_to_native(guest->instance,
							     0);
}

struct fl_memory *guest_handle(struct guest *guest)
{
	return fl_wamr_memory(guest->instance);
}

void guest_end(struct guest *guest)
{
	guest->calls->wasm_runtime_destroy_exec_env(guest->env);
	guest->calls->wasm_runtime_deinstantiate(guest->instance);
}
