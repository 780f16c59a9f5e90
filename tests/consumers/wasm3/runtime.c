/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* runtime.c - see run.h. */
#include "tests/consumers/run.h"
#include "tests/consumers/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasm3.h>

#define STACK_BYTES 8192

static void need(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "wasm3: %s\n", what);
	exit(1);
}

void runtime_open(void)
{
}

void runtime_close(void)
{
}

void guest_module_open(struct guest_module *module, struct fl_context *context,
		       const char *name)
{
	struct fl_module_config config;
	struct fl_error error = { .text = "" };
	char path[512];

	fl_module_config_init(&config);
	snprintf(path, sizeof(path), "%s/%s.wasm", MODULES_DIR, name);
	module->whole = file_read(path, &module->whole_bytes);
	need(module->whole != NULL, path);
	config.bytes = module->whole;
	config.length_bytes = module->whole_bytes;
	config.ownership = FL_BYTES_BORROW;
	need(!fl_module_load(context, &config, &module->module, &error),
	     error.text);
	need(!fl_module_write_data_free(module->module, (void **)&module->free,
					&module->free_bytes, NULL, &error),
	     error.text);
	module->resumable = NULL;
	(void)fl_module_write_resumable(module->module,
					(void **)&module->resumable,
					&module->resumable_bytes, NULL, NULL);
}

void guest_module_close(struct guest_module *module)
{
	fl_module_release(module->module);
	fl_bytes_free(module->resumable);
	fl_bytes_free(module->free);
	free(module->whole);
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
	config.prefix_bytes = FL_WASM3_PREFIX_BYTES;
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	need(!fl_pool_create(context, &config, &pool, &error), error.text);
	return pool;
}

int guest_pool_close(struct fl_pool *pool)
{
	return fl_pool_destroy(pool);
}

static void begin(struct guest *guest, const uint8_t *bytes, uint64_t length,
		  IM3Module *parsed)
{
	guest->env = m3_NewEnvironment();
	need(guest->env != NULL, "no environment");
	guest->runtime = m3_NewRuntime(guest->env, STACK_BYTES, NULL);
	need(guest->runtime != NULL, "no runtime");
	need(!m3_ParseModule(guest->env, parsed, bytes, (uint32_t)length),
	     "wasm3 cannot parse the module");
}

/* After -EPROTO the runtime has the module. */
static int ended(int err, struct guest *guest, IM3Module parsed)
{
	if (err && err != -EPROTO)
		m3_FreeModule(parsed);
	if (err)
		guest_end(guest);
	return err;
}

int guest_start(const struct guest_module *module, struct fl_pool *pool,
		struct guest *guest, struct fl_error *error)
{
	IM3Module parsed;
	M3Result result;

	if (pool) {
		begin(guest, module->free, module->free_bytes, &parsed);
		return ended(fl_wasm3_load(pool, module->module, guest->runtime,
					   parsed, NULL, error),
			     guest, parsed);
	}
	begin(guest, module->whole, module->whole_bytes, &parsed);
	result = m3_LoadModule(guest->runtime, parsed);
	if (result)
		snprintf(error->text, sizeof(error->text), "%s", result);
	return ended(result ? -EINVAL : 0, guest, parsed);
}

int guest_resume(const struct guest_module *module, struct fl_pool *pool,
		 struct fl_snapshot *snapshot, const struct fl_delta *delta,
		 struct guest *guest, struct fl_error *error)
{
	struct fl_wasm3_config config = {
		.size = sizeof(config),
		.snapshot = snapshot,
		.delta = delta,
	};
	IM3Module parsed;

	begin(guest, module->resumable, module->resumable_bytes, &parsed);
	return ended(fl_wasm3_load(pool, module->module, guest->runtime, parsed,
				   &config, error),
		     guest, parsed);
}

int guest_snapshot(struct guest *guest, const struct guest_module *module,
		   struct fl_snapshot **snapshot, struct fl_error *error)
{
	return fl_wasm3_snapshot(guest->runtime, module->module, snapshot,
				 error);
}

int guest_delta(struct guest *guest, const struct guest_module *module,
		struct fl_snapshot *snapshot, struct fl_delta **delta,
		struct fl_error *error)
{
	(void)module;
	return fl_wasm3_delta(guest->runtime, snapshot, delta, error);
}

const char *guest_call(struct guest *guest, const char *name, uint32_t arg,
		       uint32_t *answer)
{
	char digits[16];
	const char *args[1] = { digits };
	IM3Function function;
	M3Result result;
	uint8_t *base;

	snprintf(digits, sizeof(digits), "%u", arg);
	result = m3_FindFunction(&function, guest->runtime, name);
	need(!result, name);
	result = m3_CallWithArgs(function, 1, args);
	if (result)
		return result;
	base = m3_GetMemory(guest->runtime, NULL, 0);
	memcpy(answer, base + RUN_ANSWER, sizeof(*answer));
	return NULL;
}

uint8_t *guest_memory(struct guest *guest, uint32_t *length)
{
	return m3_GetMemory(guest->runtime, length, 0);
}

struct fl_memory *guest_handle(struct guest *guest)
{
	return fl_wasm3_memory(guest->runtime);
}

void guest_end(struct guest *guest)
{
	m3_FreeRuntime(guest->runtime);
	m3_FreeEnvironment(guest->env);
}
