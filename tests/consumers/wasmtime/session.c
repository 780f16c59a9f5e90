/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * session.c - the example in README.md: an instance in Wasmtime is started once, a
 * clone of it serves a request, sleeps, and serves the next one in another store.
 */
#include "runtime.h"

#include <stdio.h>

static const char text[] =
	"(module (memory (export \"memory\") 1)"
	" (global $served (mut i32) (i32.const 0))"
	" (func $start (i32.store (i32.const 8) (i32.const 40)))"
	" (start $start)"
	" (func (export \"serve\") (param i32 i32) (result i32)"
	"  (global.set $served (i32.add (global.get $served) (i32.const 1)))"
	"  (i32.add (i32.load (i32.const 8)) (global.get $served))))";

static struct fl_error error;

static void need(int err)
{
	runtime_need(!err, error.text);
}

static uint32_t sum;

static void serve(struct wasmtime_context *context,
		  wasmtime_instance_t instance)
{
	struct running running = { NULL, context, instance };
	uint32_t answer;

	runtime_need(!running_call(&running, "serve", 0, 0, &answer), "serve");
	sum += answer;
}

int main(void)
{
	struct fl_pool_config pools = FL_POOL_CONFIG_INIT;
	wasm_config_t *config = wasm_config_new();
	wasm_byte_vec_t wasm = wasm_of(text);
	struct fl_wasmtime_module *module;
	struct fl_wasmtime_batch batch;
	struct wasmtime_context *context;
	struct fl_snapshot *snapshot;
	wasmtime_instance_t instance;
	struct fl_context *fl;
	struct fl_delta *asleep;
	wasmtime_store_t *store;
	struct fl_pool *pool;
	wasm_engine_t *engine;
	wasm_trap_t *trap;

	pools.max_instances = 0;
	pools.max_memory_bytes = 16 << 20;
	pools.guard_after_bytes = 32 << 20;
	need(fl_context_create(NULL, &fl, &error));
	need(fl_pool_create(fl, &pools, &pool, &error));
	need(fl_wasmtime_use(config, pool, &error));
	engine = wasm_engine_new_with_config(config);
	need(fl_wasmtime_load_resumable(engine, fl, pool, wasm.data, wasm.size,
					&module, &error));
	/* Once: an instance that starts. */
	store = wasmtime_store_new(engine, NULL, NULL);
	context = wasmtime_store_context(store);
	need(fl_wasmtime_begin(&batch, module, 0, &error));
	wasmtime_instance_new(context, module->compiled, NULL, 0, &instance,
			      &trap);
	fl_wasmtime_end(&batch);
	need(fl_wasmtime_start(context, &instance, module, &trap, &error));
	need(fl_wasmtime_snapshot(context, &instance, module, &snapshot,
				  &error));
	wasmtime_store_delete(store);
	/* Often: a clone serves, and sleeps until the next request. */
	store = wasmtime_store_new(engine, NULL, NULL);
	context = wasmtime_store_context(store);
	need(fl_wasmtime_clone(context, module, NULL, 0, snapshot, NULL, 0,
			       &instance, &trap, &error));
	serve(context, instance);
	need(fl_wasmtime_suspend(store, &instance, module, snapshot, NULL,
				 &asleep, &error));

	store = wasmtime_store_new(engine, NULL, NULL);
	context = wasmtime_store_context(store);
	need(fl_wasmtime_clone(context, module, NULL, 0, snapshot, asleep, 0,
			       &instance, &trap, &error));
	serve(context, instance);
	wasmtime_store_delete(store);

	fl_delta_release(asleep);
	fl_snapshot_release(snapshot);
	fl_wasmtime_release(module);
	wasm_byte_vec_delete(&wasm);
	wasm_engine_delete(engine);
	need(fl_pool_destroy(pool));
	fl_context_destroy(fl);
	/* 41 before the sleep, 42 after it, and the start function ran once. */
	printf("%d passed, %d failed, 0 skipped\n", sum == 83, sum != 83);
	return sum != 83;
}
