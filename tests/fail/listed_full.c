/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * listed_full.c - what calls answer when all slots are in use, and what they answer in
 * a forked child.
 */
#include "listed.h"

/* ---------------------------------------------------------------- full pools */

static void take_all(struct scene *scene, uint64_t timeout_ns, int wanted)
{
	struct fl_pool *pool = scene->conform.pool;
	struct fl_module *module = scene->module;
	struct fl_snapshot *snapshot = scene->snapshot;
	struct fl_delta *delta = scene->delta;
	struct fl_memory_config memory_config;
	struct fl_table_config table_config;
	struct fl_instance_config config, clone;
	const struct fl_instance_config *clones = &clone;
	struct fl_instance *instance;
	struct fl_memory *memory;
	struct fl_table *table;
	struct fl_stack *stack;

	fl_memory_config_init(&memory_config);
	memory_config.initial_bytes = WPAGE;
	fl_table_config_init(&table_config);
	fl_instance_config_init(&config);
	fl_instance_config_init(&clone);
	clone.timeout_ns = memory_config.timeout_ns = timeout_ns;
	table_config.timeout_ns = config.timeout_ns = timeout_ns;
	ROW(wanted,
	    fl_memory_acquire(pool, &memory_config, &memory, &listed_error));
	ROW(wanted,
	    fl_table_acquire(pool, &table_config, &table, &listed_error));
	ROW(wanted, fl_stack_acquire(pool, timeout_ns, &stack, &listed_error));
	ROW(wanted, fl_instance_acquire(pool, module, &config, &instance,
					&listed_error));
	ROW(wanted, fl_instance_allocate(pool, module, &config, &instance,
					 &listed_error));
	ROW(wanted, fl_snapshot_acquire(pool, snapshot, &clones, &instance,
					&listed_error));
	ROW(wanted,
	    fl_delta_acquire(pool, delta, &clones, &instance, &listed_error));
}

void of_a_full_pool(void)
{
	struct scene scene;

	scene_open(&scene, 1);
	take_all(&scene, 0, -EAGAIN);
	take_all(&scene, 1000, -ETIMEDOUT);
	scene_close(&scene);
}

/* ------------------------------------------------------------ forked children */

static void child_asks_pools(struct scene *scene)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_metric metric = { .size = sizeof(metric) };
	struct fl_context *context = scene->conform.context;
	struct fl_pool *pool = scene->conform.pool, *other;
	struct fl_module *module = scene->module;
	struct fl_pressure_config pressure;
	struct fl_pool_config config;
	uint64_t bytes;
	char *json;
	int fd;

	conform_pool_config(&config);
	fl_pressure_config_init(&pressure);
	ROW(-ECHILD, fl_pool_create(context, &config, &other, &listed_error));
	ROW(-ECHILD, fl_pool_destroy(pool));
	ROW(-ECHILD, fl_pool_wait_fd(pool, &fd, &listed_error));
	ROW(-ECHILD, fl_pool_validate(pool, module, &listed_error));
	ROW(-ECHILD, fl_pool_metric(pool, 0, &metric));
	ROW(-ECHILD, fl_pool_dump_json(pool, &json, &bytes, &listed_error));
	ROW(-ECHILD, fl_pool_usage(pool, &usage, &listed_error));
	ROW(-ECHILD, fl_pool_trim(pool, 1, NULL));
	ROW(-ECHILD, fl_pool_purge(pool, module, NULL, NULL));
	ROW(-ECHILD, fl_pool_trim_on_pressure(pool, &pressure, &listed_error));
	ROW(-ECHILD,
	    fl_pool_config_fit(context, NULL, &config, NULL, &listed_error));
}

static void child_uses_parts(struct scene *scene)
{
	struct fl_memory *memory = scene->memory;
	struct fl_module *module = scene->module;
	struct fl_table *table = scene->table;
	struct fl_delta *delta = scene->delta;
	struct fl_snapshot_config capture;
	struct fl_delta_parts parts;
	struct fl_written written = { .size = sizeof(written) };
	struct fl_delta *taken;
	struct fl_image *image;
	enum fl_trap trap;

	fl_snapshot_config_init(&capture);
	parts = (struct fl_delta_parts)FL_DELTA_PARTS_INIT;
	parts.snapshot = scene->parts;
	parts.memories = &scene->memory;
	parts.memory_count = 1;
	ROW(-ECHILD, fl_memory_reset(memory));
	ROW(-ECHILD, fl_memory_lend(memory));
	ROW(-ECHILD, fl_memory_grow(memory, 1, NULL));
	ROW(-ECHILD, fl_memory_check_growth(memory, 1, &listed_error));
	ROW(-ECHILD, fl_memory_prefault(memory, 0, WPAGE));
	ROW(-ECHILD,
	    fl_memory_written(memory, 0, NULL, 0, &written, &listed_error));
	ROW(-ECHILD, fl_memory_apply_segments(memory, module, 0, NULL, &trap,
					      &listed_error));
	ROW(-ECHILD,
	    fl_image_from_memory(memory, &capture, &image, &listed_error));
	ROW(-ECHILD, fl_memory_delta(&parts, &taken, &listed_error));
	ROW(-ECHILD, fl_memory_suspend(&parts, &taken, &listed_error));
	ROW(-ECHILD, fl_delta_restore_memory(delta, 0, memory, &listed_error));
	ROW(-ECHILD, fl_memory_release(memory));
	ROW(-ECHILD,
	    fl_image_from_table(table, &capture, &image, &listed_error));
	ROW(-ECHILD, fl_table_grow(table, 1, NULL, NULL));
	ROW(-ECHILD, fl_table_release(table));
	ROW(-ECHILD, fl_stack_release(scene->stack));
}

static void child_uses_instances(struct scene *scene)
{
	struct fl_instance *instance = scene->instance;
	struct fl_snapshot_config capture;
	struct fl_snapshot *snapshot;
	struct fl_delta_config config;
	struct fl_delta *delta;

	fl_snapshot_config_init(&capture);
	fl_delta_config_init(&config);
	config.snapshot = scene->snapshot;
	capture.plain_structure = capture.plain_tables = 1;
	config.capture = &capture;
	ROW(-ECHILD, fl_instance_initialise(instance, NULL, &listed_error));
	ROW(-ECHILD, fl_instance_reset(instance, NULL, &listed_error));
	ROW(-ECHILD, fl_instance_snapshot(&instance, 1, &capture, &snapshot,
					  &listed_error));
	ROW(-ECHILD,
	    fl_instance_delta(&instance, 1, &config, &delta, &listed_error));
	ROW(-ECHILD,
	    fl_instance_suspend(&instance, 1, &config, &delta, &listed_error));
	ROW(-ECHILD, fl_instance_release(instance));
}

static int child_uses_all(void *arg)
{
	struct scene *scene = arg;

	child_asks_pools(scene);
	child_uses_parts(scene);
	child_uses_instances(scene);
	take_all(scene, 0, -ECHILD);
	return 0;
}

void of_a_forked_child(void)
{
	struct scene scene;

	scene_open(&scene, 1);
	conform_check_child(child_uses_all, &scene);
	scene_close(&scene);
}
