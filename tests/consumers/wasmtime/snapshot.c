/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot.c - a clone of an instance in Wasmtime is that instance, byte for byte
 * and answer for answer; a session that sleeps between any two calls cannot be told
 * from one that never does; both in another store, engine and process. What cannot
 * be captured is refused by name, and what a hostile state says harms nobody.
 */
#include "runtime.h"
#include "tests/kit/conform.h"
#include "tests/kit/random.h"

#include <stdlib.h>

/* A start function that would be noticed if it ran again, and everything that an
 * instance can be made of. */
static const char guest_text[] =
	"(module"
	" (import \"host\" \"tick\" (func $tick))"
	" (memory (export \"memory\") 2 9)"
	" (memory $side 1 3)"
	" (table $fixed 2 2 funcref)"
	" (table $t 3 40 funcref)"
	" (elem (table $fixed) (i32.const 0) func $one $two)"
	" (elem (table $t) (i32.const 0) func $one $two $tick)"
	" (elem $more func $three $one)"
	" (data (i32.const 1000) \"what the module says\")"
	" (data $later \"passive bytes\")"
	" (global $g32 (mut i32) (i32.const 7))"
	" (global $g64 (export \"g64\") (mut i64) (i64.const 8))"
	" (global $f32 (mut f32) (f32.const 1.5))"
	" (global $f64 (mut f64) (f64.const -2.5))"
	" (global $ref (mut funcref) (ref.null func))"
	" (global $never (mut i32) (i32.const 99))"
	" (type $answer (func (param i32 i32) (result i32)))"
	" (func $one (type $answer) (i32.const 1))"
	" (func $two (type $answer) (global.get $g32))"
	" (func $three (type $answer) (i32.load (i32.const 1000)))"
	" (func $start"
	"  (call $tick)"
	"  (global.set $g32 (i32.add (global.get $g32) (i32.const 100)))"
	"  (i32.store (i32.const 5000) (i32.const 0x600d))"
	"  (i32.store $side (i32.const 64) (i32.const 0x51de)))"
	" (start $start)"
	" (func (export \"store\") (type $answer)"
	"  (i32.store (local.get 0) (local.get 1)) (i32.const 0))"
	" (func (export \"side\") (type $answer)"
	"  (i32.store $side (local.get 0) (local.get 1)) (i32.const 0))"
	" (func (export \"grow\") (type $answer) (memory.grow (local.get 0)))"
	" (func (export \"init\") (type $answer)"
	"  (memory.init $later (local.get 0) (i32.const 0) (i32.const 13))"
	"  (i32.const 0))"
	" (func (export \"set\") (type $answer)"
	"  (global.set $g32 (local.get 0))"
	"  (global.set $g64 (i64.extend_i32_s (local.get 1)))"
	"  (global.set $f32 (f32.reinterpret_i32 (local.get 0)))"
	"  (global.set $f64 (f64.convert_i32_s (local.get 1)))"
	"  (i32.const 0))"
	" (func (export \"tset\") (type $answer)"
	"  (table.copy $t $t (i32.and (local.get 0) (i32.const 1))"
	"   (i32.and (local.get 1) (i32.const 1)) (i32.const 1))"
	"  (i32.const 0))"
	" (func (export \"tinit\") (type $answer)"
	"  (table.init $t $more (i32.const 0) (i32.const 0) (i32.const 2))"
	"  (i32.const 0))"
	" (func (export \"tgrow\") (type $answer)"
	"  (table.grow $t (ref.func $three) (i32.and (local.get 0) (i32.const 3))))"
	" (func (export \"tnull\") (type $answer)"
	"  (table.set $t (i32.const 2) (ref.null func)) (i32.const 0))"
	" (func (export \"ref\") (type $answer)"
	"  (global.set $ref (table.get $t (i32.rem_u (local.get 0)"
	"   (table.size $t)))) (i32.const 0))"
	" (func (export \"call\") (type $answer)"
	"  (call_indirect $t (type $answer) (local.get 0) (local.get 1)"
	"   (i32.rem_u (local.get 0) (table.size $t))))"
	" (func (export \"callref\") (type $answer)"
	"  (table.set $t (i32.const 0) (global.get $ref))"
	"  (call_indirect $t (type $answer) (i32.const 0) (i32.const 0)"
	"   (i32.const 0)))"
	" (func (export \"sum\") (type $answer) (local $at i32) (local $sum i32)"
	"  (loop $next"
	"   (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31))"
	"    (i32.load (local.get $at))))"
	"   (local.set $at (i32.add (local.get $at) (i32.const 4)))"
	"   (br_if $next (i32.lt_u (local.get $at)"
	"    (i32.mul (memory.size) (i32.const 65536)))))"
	"  (local.set $at (i32.const 0))"
	"  (loop $next"
	"   (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31))"
	"    (i32.load $side (local.get $at))))"
	"   (local.set $at (i32.add (local.get $at) (i32.const 4)))"
	"   (br_if $next (i32.lt_u (local.get $at) (i32.const 65536))))"
	"  (i32.add (local.get $sum) (i32.add"
	"   (i32.add (global.get $g32) (i32.wrap_i64 (global.get $g64)))"
	"   (i32.add (i32.reinterpret_f32 (global.get $f32))"
	"    (i32.add (i32.trunc_sat_f64_s (global.get $f64))"
	"     (i32.add (memory.size) (i32.add (table.size $t)"
	"      (ref.is_null (global.get $ref)))))))))"
	")";

struct scene {
	struct conform conform;
	struct engine engine;
	struct program guest;
	uint32_t ticks;
};

static void scene_open(struct scene *scene)
{
	wasm_byte_vec_t bytes = wasm_of(guest_text);
	struct fl_pool_config config;

	*scene = (struct scene){ .ticks = 0 };
	fl_pool_config_init(&config);
	config.max_instances = 0;
	config.max_memories = 8;
	config.max_memories_per_instance = 2;
	config.max_memory_bytes = 16 * WPAGE;
	config.guard_after_bytes = 32 * MIB;
	conform_open(&scene->conform, &config);
	engine_open(&scene->engine, scene->conform.context, scene->conform.pool,
		    wasm_config_new());
	program_open_resumable(&scene->guest, &scene->engine, bytes.data,
			       bytes.size);
	wasm_byte_vec_delete(&bytes);
}

static void scene_close(struct scene *scene)
{
	struct fl_pool_info info = { .size = sizeof(info) };

	fl_pool_info(scene->conform.pool, &info);
	CHECK_EQ(info.live_memories, 0);
	CHECK_EQ(info.retired_memories, 0);
	program_close(&scene->guest);
	engine_close(&scene->engine);
	conform_close(&scene->conform);
}

static wasm_trap_t *tick(void *env, wasmtime_caller_t *caller,
			 const wasmtime_val_t *args, size_t arg_count,
			 wasmtime_val_t *results, size_t result_count)
{
	struct scene *scene = env;

	(void)caller;
	(void)args;
	(void)arg_count;
	(void)results;
	(void)result_count;
	scene->ticks++;
	return NULL;
}

static wasmtime_extern_t open_store(struct scene *scene,
				    struct running *running)
{
	wasmtime_extern_t import = { .kind = WASMTIME_EXTERN_FUNC };
	wasm_functype_t *type = wasm_functype_new_0_0();

	running->store = wasmtime_store_new(scene->engine.engine, NULL, NULL);
	running->context = wasmtime_store_context(running->store);
	wasmtime_func_new(running->context, type, tick, scene, NULL,
			  &import.of.func);
	wasm_functype_delete(type);
	return import;
}

/* A fresh instance that has started. */
static void start(struct scene *scene, struct running *running)
{
	wasmtime_extern_t import = open_store(scene, running);
	struct fl_error error = { .text = "" };
	struct fl_wasmtime_batch batch;
	wasm_trap_t *trap = NULL;

	CONFORM_MUST(fl_wasmtime_begin(&batch, scene->guest.loaded, 0, &error),
		     &error);
	MUST(!wasmtime_instance_new(running->context, scene->guest.compiled,
				    &import, 1, &running->instance, &trap) &&
	     !trap);
	fl_wasmtime_end(&batch);
	CONFORM_MUST(fl_wasmtime_start(running->context, &running->instance,
				       scene->guest.loaded, &trap, &error),
		     &error);
}

static int try_clone(struct scene *scene, struct fl_snapshot *snapshot,
		     const struct fl_delta *delta, struct running *running,
		     struct fl_error *error)
{
	wasmtime_extern_t import = open_store(scene, running);
	wasm_trap_t *trap;
	int err = fl_wasmtime_clone(running->context, scene->guest.loaded,
				    &import, 1, snapshot, delta, 0,
				    &running->instance, &trap, error);

	if (err)
		wasmtime_store_delete(running->store);
	return err;
}

static void must_clone(struct scene *scene, struct fl_snapshot *snapshot,
		       const struct fl_delta *delta, struct running *running)
{
	struct fl_error error = { .text = "" };

	CONFORM_MUST(try_clone(scene, snapshot, delta, running, &error),
		     &error);
}

static struct fl_snapshot *must_capture(struct scene *scene,
					struct running *running)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot = NULL;

	CONFORM_MUST(fl_wasmtime_snapshot(running->context, &running->instance,
					  scene->guest.loaded, &snapshot,
					  &error),
		     &error);
	return snapshot;
}

/* Ends the store. */
static struct fl_delta *must_suspend(struct scene *scene,
				     struct running *running,
				     struct fl_snapshot *snapshot)
{
	struct fl_error error = { .text = "" };
	struct fl_delta *delta = NULL;

	CONFORM_MUST(fl_wasmtime_suspend(running->store, &running->instance,
					 scene->guest.loaded, snapshot, NULL,
					 &delta, &error),
		     &error);
	return delta;
}

static void same_memory(struct running *a, struct running *b, const char *name)
{
	wasmtime_extern_t x, y;
	size_t length;

	MUST(running_export(a, name, &x) && running_export(b, name, &y));
	length = wasmtime_memory_data_size(a->context, &x.of.memory);
	CHECK_EQ(wasmtime_memory_data_size(b->context, &y.of.memory), length);
	CHECK(!memcmp(wasmtime_memory_data(a->context, &x.of.memory),
		      wasmtime_memory_data(b->context, &y.of.memory), length));
}

/* The same memories, globals and tables, as far as anybody can see. */
static void same(struct running *a, struct running *b)
{
	uint32_t sum = 0, other = 0;

	same_memory(a, b, "memory");
	same_memory(a, b, "faultline:m0");
	same_memory(a, b, "faultline:m1");
	for (uint32_t i = 0; i < 12; i++) {
		uint32_t x = 0, y = 0;
		const char *trap = running_call(a, "call", i, 0, &x);

		CHECK_EQ(!trap, !running_call(b, "call", i, 0, &y));
		CHECK_EQ(x, y);
	}
	CHECK(!running_call(a, "sum", 0, 0, &sum));
	CHECK(!running_call(b, "sum", 0, 0, &other));
	CHECK_EQ(sum, other);
}

/* One call at random. */
struct move {
	const char *name;
	uint32_t a, b;
};

static struct move random_move(struct test_random *random)
{
	static const char *const names[] = {
		"store", "store", "side", "grow",  "init", "set",    "tset",
		"tinit", "tgrow", "ref",  "tnull", "call", "callref"
	};
	struct move move = {
		names[test_random_below(random, TEST_ARRAY_SIZE(names))],
		(uint32_t)test_random_next(random),
		(uint32_t)test_random_next(random),
	};

	if (!strcmp(move.name, "grow"))
		move.a %= 3;
	else if (!strcmp(move.name, "init") || !strcmp(move.name, "store"))
		move.a %= 9 * WPAGE;
	else if (!strcmp(move.name, "side"))
		move.a %= WPAGE;
	return move;
}

/* Do both answer alike? */
static void play(struct running *a, struct running *b, const struct move *move)
{
	uint32_t x = 0, y = 0;
	const char *trap = running_call(a, move->name, move->a, move->b, &x);

	CHECK_EQ(!trap, !running_call(b, move->name, move->a, move->b, &y));
	CHECK_EQ(x, y);
}

static void a_clone_is_what_was_captured(void)
{
	struct test_random random;
	struct scene scene;

	test_random_init(&random, 11);
	scene_open(&scene);
	for (int round = 0; round < 8 && !test_has_failed(); round++) {
		struct running captured, clone, again;
		struct fl_snapshot *snapshot;
		uint32_t ticks, answer;

		start(&scene, &captured);
		for (int i = 0; i < round * 4; i++) {
			struct move move = random_move(&random);

			running_call(&captured, move.name, move.a, move.b,
				     &answer);
		}
		snapshot = must_capture(&scene, &captured);
		ticks = scene.ticks;
		must_clone(&scene, snapshot, NULL, &clone);
		must_clone(&scene, snapshot, NULL, &again);
		CHECK_EQ(scene.ticks, ticks);
		same(&captured, &clone);
		/* And goes on alike, without a trace in the other. */
		for (int i = 0; i < 20; i++) {
			struct move move = random_move(&random);

			play(&captured, &clone, &move);
		}
		same(&captured, &clone);
		running_end(&captured);
		running_end(&clone);
		must_clone(&scene, snapshot, NULL, &clone);
		same(&again, &clone);
		running_end(&again);
		running_end(&clone);
		fl_snapshot_release(snapshot);
	}
	scene_close(&scene);
}

static void a_session_that_sleeps_is_one_that_does_not(void)
{
	struct fl_error error = { .text = "" };
	struct running waking, sleeper;
	struct fl_snapshot *snapshot;
	struct test_random random;
	struct scene scene;

	test_random_init(&random, 12);
	scene_open(&scene);
	start(&scene, &waking);
	snapshot = must_capture(&scene, &waking);
	running_end(&waking);
	must_clone(&scene, snapshot, NULL, &waking);
	must_clone(&scene, snapshot, NULL, &sleeper);
	for (int i = 0; i < 120 && !test_has_failed(); i++) {
		struct move move = random_move(&random);
		struct fl_delta *delta, *copy;
		const void *bytes, *theirs;
		uint64_t length, other;

		play(&waking, &sleeper, &move);
		/* A checkpoint says the same as the sleep. */
		CONFORM_MUST(fl_wasmtime_delta(sleeper.context,
					       &sleeper.instance,
					       scene.guest.loaded, snapshot,
					       NULL, &copy, &error),
			     &error);
		delta = must_suspend(&scene, &sleeper, snapshot);
		bytes = fl_delta_bytes(delta, &length);
		theirs = fl_delta_bytes(copy, &other);
		CHECK_EQ(other, length);
		CHECK(other == length && !memcmp(bytes, theirs, length));
		fl_delta_release(copy);
		CONFORM_MUST(fl_delta_open(snapshot, bytes, length,
					   FL_BYTES_COPY, NULL, &copy, &error),
			     &error);
		fl_delta_release(delta);
		must_clone(&scene, snapshot, copy, &sleeper);
		fl_delta_release(copy);
		if (i % 10 == 0)
			same(&waking, &sleeper);
	}
	same(&waking, &sleeper);
	running_end(&waking);
	running_end(&sleeper);
	fl_snapshot_release(snapshot);
	scene_close(&scene);
}

/* ---------------------------------------------------------- another process */

struct files {
	char snapshot[64];
	char delta[64];
};

/* What the other process does with the session before it sleeps. */
static void work(struct running *running)
{
	uint32_t answer;

	CHECK(!running_call(running, "store", 70000, 77, &answer));
	CHECK(!running_call(running, "set", 5, 6, &answer));
	CHECK(!running_call(running, "tinit", 0, 0, &answer));
	CHECK(!running_call(running, "tgrow", 3, 0, &answer));
	CHECK(!running_call(running, "grow", 2, 0, &answer));
	CHECK(!running_call(running, "ref", 4, 0, &answer));
}

static int sleep_elsewhere(void *arg)
{
	const struct files *files = arg;
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot;
	struct running running;
	struct fl_delta *delta;
	struct scene scene;
	const void *bytes;
	uint64_t length;
	FILE *file;

	scene_open(&scene);
	start(&scene, &running);
	snapshot = must_capture(&scene, &running);
	running_end(&running);
	CONFORM_MUST(fl_snapshot_write(snapshot, files->snapshot, &error),
		     &error);
	must_clone(&scene, snapshot, NULL, &running);
	work(&running);
	delta = must_suspend(&scene, &running, snapshot);
	bytes = fl_delta_bytes(delta, &length);
	file = fopen(files->delta, "wb");
	MUST(file && fwrite(bytes, 1, length, file) == length);
	MUST(!fclose(file));
	fl_delta_release(delta);
	fl_snapshot_release(snapshot);
	scene_close(&scene);
	return 0;
}

static void wake_here(struct scene *scene, const struct files *files)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;
	struct fl_module *modules[1] = { scene->guest.loaded->module };
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot = NULL;
	struct running woken, fresh;
	struct fl_delta *delta;
	static uint8_t bytes[1 << 20];
	size_t length;
	FILE *file = fopen(files->delta, "rb");

	MUST(file != NULL);
	length = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	binding.modules = modules;
	binding.module_count = 1;
	binding.encoding = FL_WASMTIME_ENCODING;
	CONFORM_MUST(fl_snapshot_open(scene->conform.context, files->snapshot,
				      -1, 0, &binding, &snapshot, &error),
		     &error);
	CONFORM_MUST(fl_delta_open(snapshot, bytes, length, FL_BYTES_COPY, NULL,
				   &delta, &error),
		     &error);
	must_clone(scene, snapshot, delta, &woken);
	CHECK_EQ(scene->ticks, 0);
	start(scene, &fresh);
	work(&fresh);
	same(&fresh, &woken);
	running_end(&fresh);
	running_end(&woken);
	fl_delta_release(delta);
	fl_snapshot_release(snapshot);
}

static void a_session_wakes_in_another_process(void)
{
	struct files files;
	struct test_end end;
	struct scene scene;

	snprintf(files.snapshot, sizeof(files.snapshot), "wasmtime-%d.snapshot",
		 (int)getpid());
	snprintf(files.delta, sizeof(files.delta), "wasmtime-%d.delta",
		 (int)getpid());
	end = test_fork(sleep_elsewhere, &files, 120);
	CHECK_EQ(end.status, 0);
	if (!end.status) {
		scene_open(&scene);
		wake_here(&scene, &files);
		scene_close(&scene);
	}
	unlink(files.snapshot);
	unlink(files.delta);
}

/* ------------------------------------------------------------------ refusals */

static void refuse_text(struct scene *scene, const char *text, const char *word)
{
	wasm_byte_vec_t bytes = wasm_of(text);
	struct fl_wasmtime_module *module = NULL;
	struct fl_error error = { .text = "" };

	CHECK_EQ(fl_wasmtime_load_resumable(scene->engine.engine,
					    scene->conform.context,
					    scene->conform.pool, bytes.data,
					    bytes.size, &module, &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, word);
	wasm_byte_vec_delete(&bytes);
}

static void what_cannot_be_captured_is_named(void)
{
	static const char *const texts[][2] = {
		{ "(module (memory 1) (data \"x\") (func (data.drop 0)))",
		  "data segment 0" },
		{ "(module (func $f) (elem func $f) (func (elem.drop 0)))",
		  "element segment 0" },
		{ "(module (global (mut externref) (ref.null extern)))",
		  "global 0" },
		{ "(module (table 1 funcref) (table 1 externref))", "table 1" },
		{ "(module (import \"m\" \"n\" (memory 1)))", "memory 0" },
		{ "(module (import \"m\" \"n\" (table 1 funcref)))",
		  "table 0" },
		{ "(module (import \"m\" \"n\" (global (mut i32))))",
		  "global 0" },
		{ "(module (func (export \"faultline:m0\")))", "export 0" },
		{ "(module (import \"m\" \"n\" (global i32)) (memory 1)"
		  " (data (global.get 0) \"x\"))",
		  "global" },
		{ "(module (memory 1 1 shared))", "shared" },
	};
	struct scene scene;

	scene_open(&scene);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(texts); i++)
		refuse_text(&scene, texts[i][0], texts[i][1]);
	scene_close(&scene);
}

static void a_hosts_function_is_named(void)
{
	static const char text[] =
		"(module (memory 1) (table (export \"t\") 4 funcref)"
		" (global (export \"g\") (mut funcref) (ref.null func)))";
	wasmtime_val_t value = { .kind = WASMTIME_FUNCREF };
	struct fl_snapshot *snapshot = NULL;
	struct fl_error error = { .text = "" };
	wasm_byte_vec_t bytes = wasm_of(text);
	wasm_functype_t *type = wasm_functype_new_0_0();
	wasmtime_extern_t table, global;
	struct program program;
	struct running running;
	wasmtime_func_t host;
	struct scene scene;

	scene_open(&scene);
	program_open_resumable(&program, &scene.engine, bytes.data, bytes.size);
	wasm_byte_vec_delete(&bytes);
	MUST(!running_start(&running, &program, NULL, 0));
	wasmtime_func_new(running.context, type, tick, &scene, NULL, &host);
	wasm_functype_delete(type);
	value.of.funcref = host;
	MUST(running_export(&running, "t", &table));
	MUST(running_export(&running, "g", &global));
	MUST(!wasmtime_table_set(running.context, &table.of.table, 3, &value));
	CHECK_EQ(fl_wasmtime_snapshot(running.context, &running.instance,
				      program.loaded, &snapshot, &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, "element 3 of table 0");
	value.of.funcref.store_id = 0;
	MUST(!wasmtime_table_set(running.context, &table.of.table, 3, &value));
	value.of.funcref = host;
	MUST(!wasmtime_global_set(running.context, &global.of.global, &value));
	CHECK_EQ(fl_wasmtime_snapshot(running.context, &running.instance,
				      program.loaded, &snapshot, &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, "global 0");
	running_end(&running);
	program_close(&program);
	scene_close(&scene);
}

static void of_another_module(void)
{
	static const char text[] = "(module (memory 1) (global (export \"g\")"
				   " (mut i32) (i32.const 0)))";
	wasm_byte_vec_t bytes = wasm_of(text);
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot, *none = NULL;
	struct running running, other;
	struct program program;
	struct scene scene;

	scene_open(&scene);
	program_open_resumable(&program, &scene.engine, bytes.data, bytes.size);
	wasm_byte_vec_delete(&bytes);
	start(&scene, &running);
	snapshot = must_capture(&scene, &running);
	MUST(!running_start(&other, &program, NULL, 0));
	CHECK_EQ(fl_wasmtime_restore(other.context, &other.instance,
				     program.loaded, snapshot, NULL, &error),
		 -EINVAL);
	CHECK_HAS(error.text, "another module");
	CHECK_EQ(fl_wasmtime_snapshot(other.context, &other.instance,
				      scene.guest.loaded, &none, &error),
		 -EINVAL);
	running_end(&other);
	running_end(&running);
	fl_snapshot_release(snapshot);
	program_close(&program);
	scene_close(&scene);
}

/* ---------------------------------------------------------------- a bad state */

static void try_state(struct scene *scene, struct fl_snapshot *base,
		      const uint8_t *state, uint64_t length, bool is_good)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_error error = { .text = "" };
	struct fl_image *images[2];
	struct fl_snapshot *made;
	struct running running;
	uint32_t answer;
	int err;

	for (uint32_t i = 0; i < 2; i++)
		images[i] = fl_snapshot_image(base, 0, i);
	parts.module = scene->guest.loaded->module;
	parts.images = images;
	parts.image_count = 2;
	parts.state = state;
	parts.state_bytes = length;
	parts.encoding = FL_WASMTIME_ENCODING;
	CONFORM_MUST(fl_snapshot_create(&parts, &made, &error), &error);
	err = try_clone(scene, made, NULL, &running, &error);
	fl_snapshot_release(made);
	if (is_good)
		CHECK_EQ(err, 0);
	if (err) {
		CHECK(err == -ENOEXEC || err == -E2BIG || err == -EINVAL);
		return;
	}
	/* Whatever it says, the functions are the module's. */
	for (uint32_t i = 0; i < 6; i++)
		(void)running_call(&running, "call", i, 0, &answer);
	running_end(&running);
}

static void a_hostile_state_harms_nobody(void)
{
	struct test_random random;
	struct running running;
	struct fl_snapshot *snapshot;
	struct scene scene;
	const uint8_t *state;
	uint8_t *copy;
	uint64_t length;

	test_random_init(&random, 13);
	scene_open(&scene);
	start(&scene, &running);
	snapshot = must_capture(&scene, &running);
	running_end(&running);
	state = fl_snapshot_state(snapshot, 0, &length);
	copy = malloc(length + 8);
	MUST(copy != NULL);
	memcpy(copy, state, length);
	memset(copy + length, 0, 8);
	try_state(&scene, snapshot, copy, length, true);
	for (uint64_t cut = 0; cut < length && !test_has_failed(); cut += 5)
		try_state(&scene, snapshot, copy, cut, false);
	try_state(&scene, snapshot, copy, length + 1, false);
	for (int i = 0; i < 150 && !test_has_failed(); i++) {
		memcpy(copy, state, length);
		for (int k = 0; k < 2; k++)
			copy[test_random_below(&random, length)] =
				(uint8_t)test_random_next(&random);
		try_state(&scene, snapshot, copy, length, false);
	}
	free(copy);
	fl_snapshot_release(snapshot);
	scene_close(&scene);
}

static void full_pool_is_an_error(void)
{
	struct fl_error error = { .text = "" };
	struct running running[5];
	struct fl_snapshot *snapshot;
	struct scene scene;

	scene_open(&scene);
	start(&scene, &running[0]);
	snapshot = must_capture(&scene, &running[0]);
	for (int i = 1; i < 4; i++)
		must_clone(&scene, snapshot, NULL, &running[i]);
	CHECK_EQ(try_clone(&scene, snapshot, NULL, &running[4], &error),
		 -EAGAIN);
	for (int i = 0; i < 4; i++)
		running_end(&running[i]);
	fl_snapshot_release(snapshot);
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(a_clone_is_what_was_captured),
	TEST_CASE(a_session_that_sleeps_is_one_that_does_not),
	TEST_CASE(a_session_wakes_in_another_process),
	TEST_CASE(what_cannot_be_captured_is_named),
	TEST_CASE(a_hosts_function_is_named),
	TEST_CASE(of_another_module),
	TEST_CASE(a_hostile_state_harms_nobody),
	TEST_CASE(full_pool_is_an_error),
};

CONFORM_MAIN(cases)
