/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* runtime.c - see runtime.h. */
#include "runtime.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char words[512];

void runtime_need(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "wasmtime: %s\n", what);
	exit(1);
}

static const char *words_of(wasm_byte_vec_t *message)
{
	snprintf(words, sizeof(words), "%.*s", (int)message->size,
		 message->data);
	wasm_byte_vec_delete(message);
	return words;
}

const char *runtime_words(wasmtime_error_t *error)
{
	wasm_byte_vec_t message;

	wasmtime_error_message(error, &message);
	wasmtime_error_delete(error);
	return words_of(&message);
}

static const char *trap_words(wasm_trap_t *trap)
{
	wasm_byte_vec_t message;

	wasm_trap_message(trap, &message);
	wasm_trap_delete(trap);
	return words_of(&message);
}

void engine_open(struct engine *engine, struct fl_context *context,
		 struct fl_pool *pool, wasm_config_t *config)
{
	struct fl_error error = { .text = "" };

	engine->context = context;
	engine->pool = pool;
	if (pool)
		runtime_need(!fl_wasmtime_use(config, pool, &error),
			     error.text);
	engine->engine = wasm_engine_new_with_config(config);
	runtime_need(engine->engine != NULL, "no engine");
}

void engine_close(struct engine *engine)
{
	wasm_engine_delete(engine->engine);
}

wasm_byte_vec_t wasm_of(const char *text)
{
	wasm_byte_vec_t bytes;
	wasmtime_error_t *error = wasmtime_wat2wasm(text, strlen(text), &bytes);

	runtime_need(!error, error ? runtime_words(error) : "");
	return bytes;
}

void program_open(struct program *program, const struct engine *engine,
		  const void *bytes, size_t length)
{
	struct fl_error error = { .text = "" };
	wasmtime_error_t *theirs;

	*program = (struct program){ .engine = engine };
	if (engine->pool) {
		runtime_need(!fl_wasmtime_load(engine->engine, engine->context,
					       engine->pool, bytes, length,
					       &program->loaded, &error),
			     error.text);
		program->compiled = program->loaded->compiled;
		return;
	}
	theirs = wasmtime_module_new(engine->engine, bytes, length,
				     &program->compiled);
	runtime_need(!theirs, theirs ? runtime_words(theirs) : "");
}

void program_open_resumable(struct program *program,
			    const struct engine *engine, const void *bytes,
			    size_t length)
{
	struct fl_error error = { .text = "" };

	*program = (struct program){ .engine = engine };
	runtime_need(!fl_wasmtime_load_resumable(
			     engine->engine, engine->context, engine->pool,
			     bytes, length, &program->loaded, &error),
		     error.text);
	program->compiled = program->loaded->compiled;
}

void program_close(struct program *program)
{
	if (program->loaded)
		fl_wasmtime_release(program->loaded);
	else
		wasmtime_module_delete(program->compiled);
}

const char *running_start(struct running *running,
			  const struct program *program,
			  const wasmtime_extern_t *imports, size_t count)
{
	struct fl_error ours = { .text = "" };
	struct fl_wasmtime_batch batch;
	wasm_trap_t *trap = NULL;
	wasmtime_error_t *error;

	if (program->loaded &&
	    fl_wasmtime_begin(&batch, program->loaded, 0, &ours)) {
		snprintf(words, sizeof(words), "%s", ours.text);
		return words;
	}
	running->store =
		wasmtime_store_new(program->engine->engine, NULL, NULL);
	running->context = wasmtime_store_context(running->store);
	/* An engine that counts no fuel says so, which is all right. */
	error = wasmtime_context_set_fuel(running->context, 1000);
	if (error)
		wasmtime_error_delete(error);
	error = wasmtime_instance_new(running->context, program->compiled,
				      imports, count, &running->instance,
				      &trap);
	if (program->loaded)
		fl_wasmtime_end(&batch);
	if (!error && !trap)
		return NULL;
	wasmtime_store_delete(running->store);
	return error ? runtime_words(error) : trap_words(trap);
}

void running_end(struct running *running)
{
	wasmtime_store_delete(running->store);
}

bool running_export(struct running *running, const char *name,
		    wasmtime_extern_t *item)
{
	return wasmtime_instance_export_get(
		running->context, &running->instance, name, strlen(name), item);
}

const char *running_call(struct running *running, const char *name, uint32_t a,
			 uint32_t b, uint32_t *answer)
{
	wasmtime_val_t args[2] = {
		{ .kind = WASMTIME_I32, .of.i32 = (int32_t)a },
		{ .kind = WASMTIME_I32, .of.i32 = (int32_t)b },
	};
	wasmtime_val_t result = { .kind = WASMTIME_I32 };
	wasm_trap_t *trap = NULL;
	wasmtime_error_t *error;
	wasmtime_extern_t item;

	runtime_need(running_export(running, name, &item), name);
	error = wasmtime_func_call(running->context, &item.of.func, args, 2,
				   &result, 1, &trap);
	if (error)
		return runtime_words(error);
	if (trap)
		return trap_words(trap);
	*answer = (uint32_t)result.of.i32;
	return NULL;
}
