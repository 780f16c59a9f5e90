/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasmtime.c - guests in Wasmtime on a pool's memories do what they do on
 * Wasmtime's own, and each instance begins with its own module's content,
 * whatever is instantiated in between and whatever fails halfway. What nobody
 * announced is refused.
 */
#include "runtime.h"
#include "tests/kit/conform.h"
#include "tests/kit/random.h"

#include <pthread.h>
#include <stdlib.h>

#define GUEST_WPAGE 65536u

static const char work_text[] =
	"(module (memory (export \"memory\") 4 9)"
	"(data (i32.const 1000) \"some of what the module says\")"
	"(data (i32.const 200000) \"and some more\")"
	"(global $seen (mut i32) (i32.const 0))"
	"(func (export \"load\") (param i32 i32) (result i32)"
	"  (i32.load (local.get 0)))"
	"(func (export \"far\") (param i32 i32) (result i32)"
	"  (i32.load offset=4294967292 (local.get 0)))"
	"(func (export \"store\") (param i32 i32) (result i32)"
	"  (i32.store (local.get 0) (local.get 1)) (i32.load (local.get 0)))"
	"(func (export \"fill\") (param i32 i32) (result i32)"
	"  (memory.fill (local.get 0) (i32.const 0x5a) (local.get 1))"
	"  (i32.const 0))"
	"(func (export \"grow\") (param i32 i32) (result i32)"
	"  (memory.grow (local.get 0)))"
	"(func (export \"size\") (param i32 i32) (result i32) (memory.size))"
	"(func (export \"spin\") (param i32 i32) (result i32)"
	"  (loop (i32.store (local.get 0) (i32.add (i32.load (local.get 0))"
	"    (i32.const 1))) (br 0)) (i32.const 0))"
	"(func (export \"sum\") (param $at i32) (param i32) (result i32)"
	"  (local $sum i32)"
	"  (loop $next"
	"    (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 31))"
	"      (i32.load (local.get $at))))"
	"    (local.set $at (i32.add (local.get $at) (i32.const 4)))"
	"    (br_if $next (i32.lt_u (local.get $at) (i32.const 262144))))"
	"  (local.get $sum)))";

struct scene {
	struct conform conform;
	struct fl_pool *pool;
	struct engine pooled, stock;
	struct program work, own;
};

static struct fl_pool *make_pool(struct fl_context *context, uint32_t slots,
				 enum fl_bounds bounds)
{
	struct fl_pool_config config;
	struct fl_error error = { .text = "" };
	struct fl_pool *pool;

	fl_pool_config_init(&config);
	config.max_instances = 0;
	config.max_memories = slots;
	config.max_memories_per_instance = 8;
	config.max_memory_bytes = 16 * GUEST_WPAGE;
	config.bounds = bounds;
	if (bounds == FL_BOUNDS_ACCESSIBLE)
		config.memory_stride_bytes = 0;
	/* The last guard is as far as Wasmtime's code reaches. */
	config.guard_after_bytes = (uint64_t)32 << 20;
	CONFORM_MUST(fl_pool_create(context, &config, &pool, &error), &error);
	return pool;
}

static void scene_open_with(struct scene *scene, uint32_t slots,
			    enum fl_bounds bounds)
{
	wasm_byte_vec_t bytes = wasm_of(work_text);
	wasm_config_t *config = wasm_config_new();

	conform_open(&scene->conform, NULL);
	scene->pool = make_pool(scene->conform.context, slots, bounds);
	engine_open(&scene->pooled, scene->conform.context, scene->pool,
		    config);
	engine_open(&scene->stock, NULL, NULL, wasm_config_new());
	program_open(&scene->work, &scene->pooled, bytes.data, bytes.size);
	program_open(&scene->own, &scene->stock, bytes.data, bytes.size);
	wasm_byte_vec_delete(&bytes);
}

static void scene_open(struct scene *scene, uint32_t slots)
{
	scene_open_with(scene, slots, FL_BOUNDS_GUARDED);
}

static void scene_close(struct scene *scene)
{
	struct fl_pool_info info = { .size = sizeof(info) };

	fl_pool_info(scene->pool, &info);
	CHECK_EQ(info.live_memories, 0);
	CHECK_EQ(info.retired_memories, 0);
	program_close(&scene->own);
	program_close(&scene->work);
	engine_close(&scene->stock);
	engine_close(&scene->pooled);
	MUST_EQ(fl_pool_destroy(scene->pool), 0);
	conform_close(&scene->conform);
}

static void must_start(struct running *running, const struct program *program)
{
	const char *why = running_start(running, program, NULL, 0);

	if (why)
		printf("%s\n", why);
	MUST(!why);
}

/* A module of the text, loaded for the pool's engine. */
static void open_text(struct program *program, const struct scene *scene,
		      const char *text)
{
	wasm_byte_vec_t bytes = wasm_of(text);

	program_open(program, &scene->pooled, bytes.data, bytes.size);
	wasm_byte_vec_delete(&bytes);
}

static uint32_t must_call(struct running *running, const char *name, uint32_t a,
			  uint32_t b)
{
	uint32_t answer = 0;

	CHECK(!running_call(running, name, a, b, &answer));
	return answer;
}

/* ------------------------------------------------------------- like its own */

static const char *const names[] = { "load", "store", "fill", "grow",
				     "size", "sum",   "far" };

static uint32_t random_arg(struct test_random *random, const char *name)
{
	if (!strcmp(name, "grow"))
		return (uint32_t)test_random_below(random, 3);
	if (!strcmp(name, "sum"))
		return (uint32_t)test_random_below(random, 60000) * 4;
	if (!strcmp(name, "far"))
		return (uint32_t)test_random_next(random);
	return (uint32_t)test_random_below(random, 10 * GUEST_WPAGE);
}

static void play(struct scene *scene, struct test_random *random)
{
	struct running a, b;

	must_start(&a, &scene->work);
	must_start(&b, &scene->own);
	for (int i = 0; i < 25 && !test_has_failed(); i++) {
		const char *name =
			names[test_random_below(random, TEST_ARRAY_SIZE(names))];
		uint32_t arg = random_arg(random, name);
		uint32_t more = (uint32_t)test_random_below(random, 9000);
		uint32_t x = 0, y = 0;
		const char *trap = running_call(&a, name, arg, more, &x);

		CHECK_EQ(!trap, !running_call(&b, name, arg, more, &y));
		CHECK_EQ(x, y);
	}
	running_end(&a);
	running_end(&b);
}

static void play_many(enum fl_bounds bounds)
{
	struct test_random random;
	struct scene scene;

	test_random_init(&random, 5);
	scene_open_with(&scene, 2, bounds);
	for (int i = 0; i < 60 && !test_has_failed(); i++)
		play(&scene, &random);
	scene_close(&scene);
}

static void answers_equal_its_own(void)
{
	play_many(FL_BOUNDS_GUARDED);
}

static void answers_equal_in_an_accessible_pool(void)
{
	play_many(FL_BOUNDS_ACCESSIBLE);
}

static void traps_at_every_edge(void)
{
	struct scene scene;
	struct running running;
	uint32_t answer;

	scene_open(&scene, 1);
	must_start(&running, &scene.work);
	for (uint32_t size = 4; size <= 9; size++) {
		CHECK_EQ(must_call(&running, "store", size * GUEST_WPAGE - 4,
				   7),
			 7);
		for (uint32_t over = 0; over < 4; over++)
			CHECK(running_call(&running, "store",
					   size * GUEST_WPAGE - over, 7,
					   &answer) != NULL);
		CHECK(running_call(&running, "load", 0xffffffffu, 0, &answer) !=
		      NULL);
		CHECK(running_call(&running, "far", 0xffffffffu, 0, &answer) !=
		      NULL);
		CHECK_EQ(must_call(&running, "grow", 1, 0),
			 size < 9 ? size : UINT32_MAX);
	}
	running_end(&running);
	scene_close(&scene);
}

static int many(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return 500;
#else
	return strcmp(test_rung->name, "linux") ? 300 : 100000;
#endif
}

static void one_after_another(void)
{
	struct running running;
	struct scene scene;

	scene_open(&scene, 1);
	for (int i = 0; i < many() && !test_has_failed(); i++) {
		must_start(&running, &scene.work);
		CHECK_EQ(must_call(&running, "load", 1000, 0), 0x656d6f73);
		must_call(&running, "store", 1000, 1);
		must_call(&running, "store", (uint32_t)i % 60000 * 4, 1);
		if (i % 100 == 0)
			CHECK_EQ(must_call(&running, "grow", 5, 0), 4);
		running_end(&running);
	}
	scene_close(&scene);
}

static void *come_and_go(void *arg)
{
	struct scene *scene = arg;

	for (int i = 0; i < many() / 20 && !test_has_failed(); i++) {
		struct running running;

		must_start(&running, &scene->work);
		CHECK_EQ(must_call(&running, "load", 1000, 0), 0x656d6f73);
		must_call(&running, "fill", 900, 9000);
		running_end(&running);
	}
	return NULL;
}

static void two_threads(void)
{
	pthread_t threads[2];
	struct scene scene;

	scene_open(&scene, 2);
	for (int i = 0; i < 2; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, come_and_go, &scene),
			0);
	for (int i = 0; i < 2; i++)
		MUST_EQ(pthread_join(threads[i], NULL), 0);
	scene_close(&scene);
}

static void stores_end_in_any_order(void)
{
	struct running running[6];
	struct scene scene;

	scene_open(&scene, 6);
	for (int round = 0; round < 20; round++) {
		for (uint32_t i = 0; i < 6; i++) {
			must_start(&running[i], &scene.work);
			CHECK_EQ(must_call(&running[i], "load", 1000, 0),
				 0x656d6f73);
			must_call(&running[i], "store", 1000, i);
		}
		for (uint32_t i = 0; i < 6; i++) {
			uint32_t idx = (i * 5 + (uint32_t)round) % 6;

			CHECK_EQ(must_call(&running[idx], "load", 1000, 0),
				 idx);
			running_end(&running[idx]);
		}
	}
	scene_close(&scene);
}

/* ----------------------------------------------------- which module's image */

static void several_memories(void)
{
	struct program program;
	struct running running;
	struct scene scene;

	scene_open(&scene, 4);
	open_text(
		&program, &scene,
		"(module (memory 1) (memory i64 2) (memory 1)"
		"(data (memory 0) (i32.const 0) \"zero\")"
		"(data (memory 1) (i64.const 70000) \"one.\")"
		"(data (memory 2) (i32.const 8) \"two.\")"
		"(func (export \"get\") (param i32 i32) (result i32)"
		" (if (result i32) (i32.eqz (local.get 0))"
		"  (then (i32.load 0 (local.get 1)))"
		"  (else (if (result i32) (i32.eq (local.get 0) (i32.const 1))"
		"   (then (i32.load 1 (i64.extend_i32_u (local.get 1))))"
		"   (else (i32.load 2 (local.get 1))))))))");
	CHECK(!program.loaded->whole_reason);
	for (int i = 0; i < 3; i++) {
		must_start(&running, &program);
		CHECK_EQ(must_call(&running, "get", 0, 0), 0x6f72657a);
		CHECK_EQ(must_call(&running, "get", 1, 70000), 0x2e656e6f);
		CHECK_EQ(must_call(&running, "get", 2, 8), 0x2e6f7774);
		running_end(&running);
	}
	program_close(&program);
	scene_close(&scene);
}

static void an_imported_memory_keeps_its_content(void)
{
	struct program side;
	struct running running;
	struct fl_wasmtime_batch batch;
	wasmtime_instance_t instance;
	wasmtime_extern_t memory;
	wasm_trap_t *trap = NULL;
	struct scene scene;

	scene_open(&scene, 2);
	open_text(&side, &scene,
		  "(module (import \"main\" \"memory\" (memory 1))"
		  "(data (i32.const 2000) \"side\"))");
	CHECK(side.loaded->whole_reason != NULL);
	must_start(&running, &scene.work);
	CHECK(running_export(&running, "memory", &memory));
	MUST_EQ(fl_wasmtime_begin(&batch, side.loaded, 0, NULL), 0);
	CHECK(!wasmtime_instance_new(running.context, side.compiled, &memory, 1,
				     &instance, &trap) &&
	      !trap);
	fl_wasmtime_end(&batch);
	CHECK_EQ(must_call(&running, "load", 2000, 0), 0x65646973);
	CHECK_EQ(must_call(&running, "load", 1000, 0), 0x656d6f73);
	running_end(&running);
	program_close(&side);
	scene_close(&scene);
}

/* What a start function's import does: instantiate another module. */
struct between {
	const struct program *other;
	bool is_announced;
	bool is_made;
	struct running running;
};

static wasm_trap_t *make_between(void *env, wasmtime_caller_t *caller,
				 const wasmtime_val_t *args, size_t arg_count,
				 wasmtime_val_t *results, size_t result_count)
{
	struct between *between = env;
	struct program other = *between->other;

	(void)caller;
	(void)args;
	(void)arg_count;
	(void)results;
	(void)result_count;
	if (!between->is_announced)
		other.loaded = NULL;
	between->is_made = !running_start(&between->running, &other, NULL, 0);
	return NULL;
}

static void check_between(struct scene *scene, const struct program *outer,
			  bool is_announced)
{
	struct between between = { .other = &scene->work,
				   .is_announced = is_announced };
	struct fl_wasmtime_batch batch;
	wasmtime_extern_t import = { .kind = WASMTIME_EXTERN_FUNC };
	wasm_functype_t *type = wasm_functype_new_0_0();
	struct running running;
	wasm_trap_t *trap = NULL;

	running.store = wasmtime_store_new(scene->pooled.engine, NULL, NULL);
	running.context = wasmtime_store_context(running.store);
	wasmtime_func_new(running.context, type, make_between, &between, NULL,
			  &import.of.func);
	wasm_functype_delete(type);
	MUST_EQ(fl_wasmtime_begin(&batch, outer->loaded, 0, NULL), 0);
	CHECK(!wasmtime_instance_new(running.context, outer->compiled, &import,
				     1, &running.instance, &trap) &&
	      !trap);
	fl_wasmtime_end(&batch);
	CHECK_EQ(must_call(&running, "get", 10, 0), 0x6574756f);
	CHECK_EQ(between.is_made, is_announced);
	if (between.is_made) {
		CHECK_EQ(must_call(&between.running, "load", 1000, 0),
			 0x656d6f73);
		running_end(&between.running);
	}
	running_end(&running);
}

static void another_module_in_between(void)
{
	struct program outer;
	struct scene scene;

	scene_open(&scene, 2);
	open_text(&outer, &scene,
		  "(module (import \"host\" \"make\" (func $make))"
		  "(memory 1) (data (i32.const 10) \"outer\")"
		  "(func (export \"get\") (param i32 i32) (result i32)"
		  " (i32.load (local.get 0))) (start $make))");
	for (int i = 0; i < 4; i++)
		check_between(&scene, &outer, i % 2);
	program_close(&outer);
	scene_close(&scene);
}

static void failures_halfway(void)
{
	static const char *const texts[] = {
		"(module (memory 1) (data (i32.const 8) \"x\")"
		" (func $f unreachable) (start $f))",
		"(module (memory 1) (memory 1) (table 1 funcref)"
		" (data (i32.const 8) \"x\") (elem (i32.const 1) $f) (func $f))",
		"(module (memory 1) (data (i32.const 65535) \"xy\"))",
	};
	struct scene scene;

	scene_open(&scene, 2);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(texts); i++) {
		struct program program;
		struct running running;

		open_text(&program, &scene, texts[i]);
		for (int k = 0; k < 5; k++)
			CHECK(running_start(&running, &program, NULL, 0) !=
			      NULL);
		program_close(&program);
	}
	scene_close(&scene);
}

static void module_gone_before_its_memory_is_touched(void)
{
	struct program program;
	struct running running;
	struct scene scene;

	scene_open(&scene, 1);
	open_text(&program, &scene, work_text);
	must_start(&running, &program);
	program_close(&program);
	CHECK_EQ(must_call(&running, "load", 1000, 0), 0x656d6f73);
	running_end(&running);
	scene_close(&scene);
}

/* ----------------------------------------------------------- what is refused */

static void what_nobody_announced_is_refused(void)
{
	struct program silent;
	struct running running;
	const char *why;
	struct scene scene;

	scene_open(&scene, 1);
	silent = scene.work;
	silent.loaded = NULL;
	why = running_start(&running, &silent, NULL, 0);
	CHECK(why && strstr(why, "nobody has announced"));
	must_start(&running, &scene.work);
	running_end(&running);
	scene_close(&scene);
}

/* A module that was compiled elsewhere, whole: memories of zeroes, which
 * Wasmtime fills. */
static void whole_modules_are_announced(void)
{
	wasm_byte_vec_t bytes = wasm_of(work_text);
	struct fl_wasmtime_batch batch;
	wasmtime_module_t *module;
	struct running running;
	wasm_trap_t *trap = NULL;
	struct scene scene;

	scene_open(&scene, 1);
	MUST(!wasmtime_module_new(scene.pooled.engine,
				  (const uint8_t *)bytes.data, bytes.size,
				  &module));
	for (int i = 0; i < 3; i++) {
		running.store =
			wasmtime_store_new(scene.pooled.engine, NULL, NULL);
		running.context = wasmtime_store_context(running.store);
		MUST_EQ(fl_wasmtime_begin(&batch, NULL, 0, NULL), 0);
		CHECK(!wasmtime_instance_new(running.context, module, NULL, 0,
					     &running.instance, &trap) &&
		      !trap);
		fl_wasmtime_end(&batch);
		CHECK_EQ(must_call(&running, "load", 1000, 0), 0x656d6f73);
		must_call(&running, "fill", 900, 9000);
		running_end(&running);
	}
	wasmtime_module_delete(module);
	wasm_byte_vec_delete(&bytes);
	scene_close(&scene);
}

static void full_pool_is_an_error(void)
{
	struct running running, other;
	const char *why;
	struct scene scene;

	scene_open(&scene, 1);
	must_start(&running, &scene.work);
	why = running_start(&other, &scene.work, NULL, 0);
	CHECK(why != NULL);
	CHECK_EQ(must_call(&running, "load", 1000, 0), 0x656d6f73);
	running_end(&running);
	must_start(&other, &scene.work);
	running_end(&other);
	scene_close(&scene);
}

static void engines_that_ask_nobody_are_refused(void)
{
	wasmtime_pooling_allocation_config_t *pooling =
		wasmtime_pooling_allocation_config_new();
	wasm_byte_vec_t bytes = wasm_of(work_text);
	struct fl_wasmtime_module *module = NULL;
	struct fl_error error = { .text = "" };
	wasm_config_t *config = wasm_config_new();
	struct engine engine;
	struct scene scene;

	scene_open(&scene, 1);
	wasmtime_pooling_allocation_config_total_memories_set(pooling, 4);
	wasmtime_pooling_allocation_strategy_set(config, pooling);
	wasmtime_pooling_allocation_config_delete(pooling);
	engine_open(&engine, scene.conform.context, scene.pool, config);
	CHECK_EQ(fl_wasmtime_load(engine.engine, scene.conform.context,
				  scene.pool, bytes.data, bytes.size, &module,
				  &error),
		 -ENOTSUP);
	CHECK(strstr(error.text, "on demand") != NULL);
	engine_close(&engine);
	/* Code that reaches farther than the pool's guards. */
	config = wasm_config_new();
	engine_open(&engine, scene.conform.context, scene.pool, config);
	engine_close(&engine);
	config = wasm_config_new();
	MUST_EQ(fl_wasmtime_use(config, scene.pool, NULL), 0);
	wasmtime_config_memory_reservation_set(config, (uint64_t)64 << 30);
	engine.engine = wasm_engine_new_with_config(config);
	CHECK_EQ(fl_wasmtime_load(engine.engine, scene.conform.context,
				  scene.pool, bytes.data, bytes.size, &module,
				  &error),
		 -EINVAL);
	CHECK(strstr(error.text, "reservation") != NULL);
	engine_close(&engine);
	wasm_byte_vec_delete(&bytes);
	scene_close(&scene);
}

/* ------------------------------------------------------------- interruption */

static void out_of_fuel_in_the_middle(void)
{
	wasm_byte_vec_t bytes = wasm_of(work_text);
	wasm_config_t *config = wasm_config_new();
	struct engine engine;
	struct program program;
	struct running running;
	struct scene scene;
	uint32_t answer;

	scene_open(&scene, 1);
	wasmtime_config_consume_fuel_set(config, true);
	engine_open(&engine, scene.conform.context, scene.pool, config);
	program_open(&program, &engine, bytes.data, bytes.size);
	for (int i = 0; i < 50; i++) {
		const char *why;

		must_start(&running, &program);
		CHECK_EQ(must_call(&running, "load", 1000, 0), 0x656d6f73);
		why = running_call(&running, "spin", 1000, 0, &answer);
		CHECK(why && strstr(why, "fuel"));
		running_end(&running);
	}
	program_close(&program);
	engine_close(&engine);
	wasm_byte_vec_delete(&bytes);
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(answers_equal_its_own),
	TEST_CASE(answers_equal_in_an_accessible_pool),
	TEST_CASE(traps_at_every_edge),
	TEST_CASE(one_after_another),
	TEST_CASE(two_threads),
	TEST_CASE(stores_end_in_any_order),
	TEST_CASE(several_memories),
	TEST_CASE(an_imported_memory_keeps_its_content),
	TEST_CASE(another_module_in_between),
	TEST_CASE(failures_halfway),
	TEST_CASE(module_gone_before_its_memory_is_touched),
	TEST_CASE(what_nobody_announced_is_refused),
	TEST_CASE(whole_modules_are_announced),
	TEST_CASE(full_pool_is_an_error),
	TEST_CASE(engines_that_ask_nobody_are_refused),
	TEST_CASE(out_of_fuel_in_the_middle),
};

CONFORM_MAIN(cases)
