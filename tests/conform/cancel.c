/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * cancel.c - pthread_cancel() of a thread that is inside a call.
 *
 * A thread that waits for a slot ends at once, and what it had taken by then is
 * the pool's again. Anywhere else a cancellation waits until the call is over: a
 * thread with a cancellation pending goes through the calls of a whole life,
 * and ends only behind the last one. Calls back into the runtime are part of the
 * call.
 */
#define _GNU_SOURCE
#include "runtime.h"
#include "tests/kit/clock.h"

#include <pthread.h>
#include <stdlib.h>

/* ------------------------------------------------------------------ waiting */

struct scene {
	struct runtime rt;
	struct fl_memory *memories[4];
	struct fl_instance *instances[2];
	struct fl_table *tables[4];
	struct fl_stack *stack;
	struct fl_snapshot *snapshot;
};

static void scene_open(struct scene *scene, uint32_t max_instances)
{
	struct fl_pool_config pool;

	*scene = (struct scene){ .stack = NULL };
	runtime_pool_config(&pool);
	pool.max_instances = max_instances;
	pool.max_stacks = 1;
	pool.stack_bytes = 64 * KIB;
	pool.instance_bytes = 64;
	runtime_open_with(&scene->rt, &pool);
	wasm_import_funcs(&scene->rt.parts, 4);
	wasm_add_memory(&scene->rt.parts, 1);
	wasm_add_table(&scene->rt.parts, 10, 50);
	wasm_add_funcs(&scene->rt.parts, 0, 1, 0, 3);
	runtime_load(&scene->rt);
	scene->rt.config.timeout_ns = UINT64_MAX;
}

static void scene_close(struct scene *scene)
{
	runtime_close(&scene->rt);
}

/* The waiter is cancelled before it waits, or while it does. */
static void cancel_waiter(void *(*wait)(void *scene), struct scene *scene)
{
	for (int i = 0; i < 2; i++) {
		pthread_t thread;
		void *result;

		MUST_EQ(pthread_create(&thread, NULL, wait, scene), 0);
		if (i)
			test_sleep_ms(20);
		CHECK_EQ(pthread_cancel(thread), 0);
		CHECK_EQ(pthread_join(thread, &result), 0);
		CHECK(result == PTHREAD_CANCELED);
	}
}

static void *wait_for_memory(void *arg)
{
	struct scene *scene = arg;
	struct fl_memory_config config;
	struct fl_memory *memory;

	fl_memory_config_init(&config);
	config.initial_bytes = WPAGE;
	config.timeout_ns = UINT64_MAX;
	(void)fl_memory_acquire(scene->rt.conform.pool, &config, &memory, NULL);
	return NULL;
}

static void *wait_for_instance(void *arg)
{
	struct scene *scene = arg;
	struct fl_instance *instance;

	(void)fl_instance_acquire(scene->rt.conform.pool, scene->rt.module,
				  &scene->rt.config, &instance, NULL);
	return NULL;
}

static void *wait_for_stack(void *arg)
{
	struct scene *scene = arg;
	struct fl_stack *stack;

	(void)fl_stack_acquire(scene->rt.conform.pool, UINT64_MAX, &stack,
			       NULL);
	return NULL;
}

static void *wait_for_group(void *arg)
{
	struct scene *scene = arg;
	const struct fl_instance_config *configs[] = { &scene->rt.config,
						       &scene->rt.config };
	struct fl_instance *clones[2];

	(void)fl_snapshot_acquire(scene->rt.conform.pool, scene->snapshot,
				  configs, clones, NULL);
	return NULL;
}

static void waiting_for_a_memory(void)
{
	struct scene scene;

	scene_open(&scene, 2);
	for (int i = 0; i < 4; i++)
		scene.memories[i] =
			conform_take(&scene.rt.conform, NULL, WPAGE);
	cancel_waiter(wait_for_memory, &scene);
	cancel_waiter(wait_for_instance, &scene);
	for (int i = 0; i < 4; i++)
		conform_give(scene.memories[i]);
	scene_close(&scene);
}

/* Holds memories meanwhile, and the image of the table's nulls. */
static void waiting_for_a_table(void)
{
	struct fl_table_config config;
	struct scene scene;

	scene_open(&scene, 2);
	fl_table_config_init(&config);
	for (int i = 0; i < 4; i++)
		MUST_EQ(fl_table_acquire(scene.rt.conform.pool, &config,
					 &scene.tables[i], NULL),
			0);
	cancel_waiter(wait_for_instance, &scene);
	CHECK_EQ(conform_info(&scene.rt.conform).live_memories, 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(fl_table_release(scene.tables[i]), 0);
	scene_close(&scene);
}

/* Holds memories and tables meanwhile. */
static void waiting_for_a_structure(void)
{
	struct fl_pool_info info;
	struct scene scene;

	scene_open(&scene, 2);
	for (int i = 0; i < 2; i++)
		scene.instances[i] = runtime_start(&scene.rt);
	cancel_waiter(wait_for_instance, &scene);
	info = conform_info(&scene.rt.conform);
	CHECK_EQ(info.live_memories, 2);
	CHECK_EQ(info.live_tables, 2);
	for (int i = 0; i < 2; i++)
		instance_stop(scene.instances[i]);
	scene_close(&scene);
}

/* Holds the first clone of two meanwhile. */
static void waiting_for_a_group(void)
{
	struct fl_snapshot_config config;
	struct fl_pool_info info;
	struct scene scene;

	scene_open(&scene, 3);
	scene.rt.config.clone_element = NULL;
	scene.rt.config.drop_element = NULL;
	for (int i = 0; i < 2; i++)
		scene.instances[i] = runtime_start(&scene.rt);
	fl_snapshot_config_init(&config);
	config.plain_tables = config.plain_structure = 1;
	MUST_EQ(fl_instance_snapshot(scene.instances, 2, &config,
				     &scene.snapshot, NULL),
		0);
	cancel_waiter(wait_for_group, &scene);
	info = conform_info(&scene.rt.conform);
	CHECK_EQ(info.live_instances, 2);
	CHECK_EQ(info.live_memories, 2);
	CHECK_EQ(info.live_tables, 2);
	for (int i = 0; i < 2; i++)
		instance_stop(scene.instances[i]);
	fl_snapshot_release(scene.snapshot);
	scene_close(&scene);
}

static void waiting_for_a_stack(void)
{
	struct scene scene;

	scene_open(&scene, 2);
	MUST_EQ(fl_stack_acquire(scene.rt.conform.pool, 0, &scene.stack, NULL),
		0);
	cancel_waiter(wait_for_stack, &scene);
	CHECK_EQ(fl_stack_release(scene.stack), 0);
	scene_close(&scene);
}

/* ------------------------------------------------------------------- a life */

struct life {
	char folder[32], file[48];
	bool is_over;
};

static void life_release_bytes(void *user, const void *bytes)
{
	pthread_testcancel();
	(void)bytes;
	wasm_free(user);
	free(user);
}

static void life_make_element(void *user, struct fl_instance *instance,
			      const struct fl_element *from, void *element)
{
	uint64_t number = FUNC(from->idx);

	(void)user;
	(void)instance;
	pthread_testcancel();
	memcpy(element, &number, 8);
}

static void life_clone(void *user, void *dst, const void *src)
{
	(void)user;
	pthread_testcancel();
	memcpy(dst, src, 8);
}

static void life_drop(void *user, void *element)
{
	(void)user;
	(void)element;
	pthread_testcancel();
}

static int life_encode(void *user, struct fl_instance *instance,
		       uint32_t table_idx, uint64_t first_idx,
		       const void *elements, uint64_t count, uint64_t *values)
{
	(void)user;
	(void)instance;
	(void)table_idx;
	(void)first_idx;
	pthread_testcancel();
	memcpy(values, elements, count * 8);
	return 0;
}

static int life_decode(void *user, struct fl_instance *instance,
		       uint32_t table_idx, uint64_t first_idx,
		       const uint64_t *values, uint64_t count, void *elements)
{
	(void)user;
	(void)instance;
	(void)table_idx;
	(void)first_idx;
	pthread_testcancel();
	memcpy(elements, values, count * 8);
	return 0;
}

static int life_restored(void *user, struct fl_instance *instance,
			 const struct fl_restored *how)
{
	(void)user;
	(void)instance;
	(void)how;
	pthread_testcancel();
	return 0;
}

static void use_memories(struct conform *conform, struct life *life)
{
	struct fl_image *image =
		conform_image_of(conform, 4 * WPAGE, 100, "image", 5);
	struct fl_image *opened = NULL, *captured = NULL;
	struct fl_memory *memory;

	CHECK_EQ(fl_image_write(image, life->file, NULL), 0);
	CHECK_EQ(fl_image_open(conform->context, life->file, -1, 0, &opened,
			       NULL),
		 0);
	fl_image_release(opened);
	if (!fl_image_open(conform->context, life->file, -1, FL_OPEN_IN_PLACE,
			   &opened, NULL)) {
		for (int i = 0; i < 3; i++) {
			memory = conform_take(conform, opened, 0);
			memory->base[100] = 1;
			conform_give(memory);
		}
		fl_image_release(opened);
	}
	for (int i = 0; i < 4; i++) {
		memory = conform_take(conform, i == 3 ? NULL : image, WPAGE);
		memory->base[100] = 1;
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
		(void)fl_memory_prefault(memory, 0, WPAGE);
		if (i == 2 && !CHECK_EQ(fl_image_from_memory(memory, NULL,
							     &captured, NULL),
					0))
			captured = NULL;
		conform_give(memory);
	}
	fl_image_release(captured);
	fl_image_release(image);
}

static void use_pool(struct conform *conform)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_pressure_config pressure;

	(void)fl_pool_usage(conform->pool, &usage, NULL);
	fl_pressure_config_init(&pressure);
	(void)fl_pool_trim_on_pressure(conform->pool, &pressure, NULL);
	CHECK_EQ(fl_pool_trim(conform->pool, UINT64_MAX, NULL), 0);
}

static struct fl_module *life_load(struct conform *conform)
{
	struct wasm_parts parts = { 0 };
	struct fl_module_config config;
	struct fl_module *module = NULL;
	struct wasm *w = calloc(1, sizeof(*w));

	MUST(w != NULL);
	wasm_import_funcs(&parts, 4);
	wasm_add_memory(&parts, 1);
	wasm_add_table(&parts, 10, 50);
	wasm_add_funcs(&parts, 0, 1, 0, 3);
	wasm_parts_build(&parts, w);
	fl_module_config_init(&config);
	config.bytes = w->bytes;
	config.length_bytes = w->length;
	config.ownership = FL_BYTES_BORROW;
	config.user = w;
	config.release = life_release_bytes;
	MUST_EQ(fl_module_load(conform->context, &config, &module, NULL), 0);
	return module;
}

static void use_instances(struct conform *conform, struct life *life)
{
	struct fl_module *module = life_load(conform);
	struct fl_snapshot_config capture;
	struct fl_snapshot *snapshot = NULL;
	struct fl_instance_config config;
	struct fl_instance *instance = NULL;

	fl_instance_config_init(&config);
	config.make_element = life_make_element;
	config.clone_element = life_clone;
	config.drop_element = life_drop;
	MUST_EQ(fl_instance_acquire(conform->pool, module, &config, &instance,
				    NULL),
		0);
	fl_snapshot_config_init(&capture);
	capture.encode_elements = life_encode;
	capture.plain_structure = 1;
	MUST_EQ(fl_instance_snapshot(&instance, 1, &capture, &snapshot, NULL),
		0);
	CHECK_EQ(fl_snapshot_write(snapshot, life->file, NULL), 0);
	CHECK_EQ(fl_instance_release(instance), 0);
	config.snapshot = snapshot;
	config.decode_elements = life_decode;
	config.restored = life_restored;
	MUST_EQ(fl_instance_acquire(conform->pool, module, &config, &instance,
				    NULL),
		0);
	CHECK_EQ(fl_instance_release(instance), 0);
	fl_snapshot_release(snapshot);
	CHECK_EQ(fl_pool_purge(conform->pool, module, NULL, NULL), 0);
	fl_module_release(module);
}

static void *live(void *arg)
{
	struct life *life = arg;
	struct fl_pool_config config;
	struct conform conform;

	pthread_cancel(pthread_self());
	for (int i = 0; i < 2; i++) {
		runtime_pool_config(&config);
		config.audit_every = 2;
		config.allocation = i ? FL_ALLOCATION_ON_DEMAND :
					FL_ALLOCATION_POOLING;
		conform_open(&conform, &config);
		use_memories(&conform, life);
		use_instances(&conform, life);
		use_pool(&conform);
		conform_close(&conform);
	}
	life->is_over = true;
	pthread_testcancel();
	return NULL;
}

static void a_life_is_not_cut_short(void)
{
	struct life life = { .folder = "/tmp/fl-cancel-XXXXXX" };
	pthread_t thread;
	void *result;

	MUST(mkdtemp(life.folder) != NULL);
	snprintf(life.file, sizeof(life.file), "%s/file", life.folder);
	MUST_EQ(pthread_create(&thread, NULL, live, &life), 0);
	CHECK_EQ(pthread_join(thread, &result), 0);
	CHECK(life.is_over);
	CHECK(result == PTHREAD_CANCELED);
	unlink(life.file);
	rmdir(life.folder);
}

static const char *ends_threads(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer does not follow a thread that is cancelled" :
				     NULL;
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(waiting_for_a_memory, ends_threads),
	TEST_CASE_NEEDS(waiting_for_a_table, ends_threads),
	TEST_CASE_NEEDS(waiting_for_a_structure, ends_threads),
	TEST_CASE_NEEDS(waiting_for_a_group, ends_threads),
	TEST_CASE_NEEDS(waiting_for_a_stack, ends_threads),
	TEST_CASE_NEEDS(a_life_is_not_cut_short, ends_threads),
};

CONFORM_MAIN(cases)
