/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* listed_tenants.c - what calls for memories, tables, stacks and instances answer to
 * what they are given. */
#define _GNU_SOURCE
#include "listed.h"

static struct fl_image *trapping(struct scene *scene)
{
	struct fl_segment segment = { 4096, "abc", 3 };

	return conform_image(&scene->conform, 32, &segment, 1);
}

/* ------------------------------------------------------------------ memories */

static void of_memories_given(struct scene *scene)
{
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_module *relocated = module_relocated(&scene->conform);
	struct fl_memory *memory = scene->memory;
	struct fl_written written = FL_SIZED(written);
	struct fl_memory *other;
	enum fl_trap trap;

	config.initial_bytes = 100 * WPAGE;
	ROW(-E2BIG, fl_memory_acquire(scene->conform.pool, &config, &other,
				      &listed_error));
	config.size = 1;
	ROW(-EINVAL, fl_memory_acquire(scene->conform.pool, &config, &other,
				       &listed_error));
	ROW(-E2BIG, fl_memory_grow(memory, 100, NULL));
	ROW(-E2BIG, fl_memory_check_growth(memory, 100, &listed_error));
	ROW(-EINVAL, fl_memory_prefault(memory, 100 * WPAGE, 1));
	ROW(-EINVAL,
	    fl_memory_written(memory, 64, NULL, 0, &written, &listed_error));
	memory->base[0] = 1;
	ROW(strcmp(test_rung->how, "discard") ? -E2BIG : -ENOTSUP,
	    fl_memory_written(memory, 0, NULL, 0, &written, &listed_error));
	ROW(-EINVAL, fl_memory_apply_segments(memory, relocated, 0, NULL, &trap,
					      &listed_error));
	fl_module_release(relocated);
}

static void of_captures_given(struct scene *scene)
{
	struct fl_snapshot_config plain = FL_SNAPSHOT_CONFIG_INIT;
	struct fl_snapshot_config unknown = { .size = 1 };
	struct fl_image *image;

	ROW(-EINVAL, fl_image_from_memory(scene->memory, &unknown, &image,
					  &listed_error));
	ROW(-EINVAL,
	    fl_image_from_table(scene->table, &unknown, &image, &listed_error));
	ROW(-ENOTSUP,
	    fl_image_from_table(scene->table, &plain, &image, &listed_error));
	CHECK_EQ(fl_memory_lend(scene->memory), 0);
	ROW(-ENOTSUP,
	    fl_image_from_memory(scene->memory, NULL, &image, &listed_error));
}

/* --------------------------------------------------------- tables and stacks */

static void of_tables_given(struct scene *scene)
{
	struct fl_table_config config = FL_TABLE_CONFIG_INIT;
	struct fl_image *file = scene_in_place(scene), *traps = trapping(scene);
	struct fl_pool *pool = scene->conform.pool;
	struct fl_table *table;
	uint64_t storage[4];

	config.initial_elements = 4;
	config.element_bytes = 8;
	config.image = traps;
	ROW(-EFAULT, fl_table_acquire(pool, &config, &table, &listed_error));
	ROW(-EINVAL, fl_table_create(&config, &table, &listed_error));
	config.image = file;
	if (file)
		ROW(-ENOTSUP,
		    fl_table_acquire(pool, &config, &table, &listed_error));
	config.image = NULL;
	config.element_bytes = 5;
	ROW(-EINVAL, fl_table_acquire(pool, &config, &table, &listed_error));
	config.element_bytes = 8;
	config.initial_elements = 100;
	ROW(-E2BIG, fl_table_acquire(pool, &config, &table, &listed_error));
	config.storage = storage;
	config.storage_bytes = sizeof(storage);
	ROW(-E2BIG, fl_table_create(&config, &table, &listed_error));
	ROW(-E2BIG, fl_table_grow(scene->table, 100, NULL, NULL));
	fl_image_release(traps);
	fl_image_release(file);
}

static void of_stacks_given(struct scene *scene)
{
	struct fl_stack *stack;
	struct fl_pool *pool;
	struct fl_pool_config config;

	conform_pool_config(&config);
	MUST_EQ(fl_pool_create(scene->conform.context, &config, &pool, NULL),
		0);
	ROW(-ENOTSUP, fl_stack_acquire(pool, 0, &stack, &listed_error));
	ROW(-EINVAL, fl_stack_release(NULL));
	CHECK_EQ(fl_pool_destroy(pool), 0);
}

void of_parts(void)
{
	struct scene all, *scene = &all;
	struct fl_memory *memory;
	struct fl_table *table;

	scene_open(scene, 4);
	memory = fl_instance_memory(scene->instance, 0);
	table = fl_instance_table(scene->instance, 0);
	of_memories_given(scene);
	of_tables_given(scene);
	of_stacks_given(scene);
	/* These are the instance's. */
	ROW(-EINVAL, fl_memory_release(memory));
	ROW(-EINVAL, fl_memory_reset(memory));
	ROW(-EINVAL, fl_table_release(table));
	of_captures_given(scene);
	scene_close(scene);
}

/* ----------------------------------------------------------------- instances */

static void of_configs(struct scene *scene)
{
	struct fl_instance_config config = FL_INSTANCE_CONFIG_INIT;
	const struct fl_instance_config *configs = &config;
	struct fl_module *module = scene->module;
	struct fl_pool *pool = scene->conform.pool;
	struct fl_image *traps = trapping(scene);
	struct fl_instance *instance;

	config.structure_image = traps;
	ROW(-EFAULT, fl_instance_allocate(pool, module, &config, &instance,
					  &listed_error));
	config.structure_image = NULL;
	config.snapshot = scene->parts;
	ROW(-ENOTSUP, fl_instance_acquire(pool, module, &config, &instance,
					  &listed_error));
	ROW(-ENOTSUP, fl_instance_allocate(pool, module, &config, &instance,
					   &listed_error));
	ROW(-ENOTSUP, fl_snapshot_acquire(pool, scene->parts, &configs,
					  &instance, &listed_error));
	ROW(-ENOTSUP, fl_delta_acquire(pool, scene->parts_delta, &configs,
				       &instance, &listed_error));
	ROW(-EINVAL,
	    fl_instance_reset(scene->instance, &config, &listed_error));
	config.snapshot = NULL;
	config.max_memory_bytes = 1;
	ROW(-E2BIG, fl_instance_acquire(pool, module, &config, &instance,
					&listed_error));
	ROW(-E2BIG, fl_instance_allocate(pool, module, &config, &instance,
					 &listed_error));
	ROW(-E2BIG, fl_snapshot_acquire(pool, scene->snapshot, &configs,
					&instance, &listed_error));
	ROW(-E2BIG, fl_delta_acquire(pool, scene->delta, &configs, &instance,
				     &listed_error));
	fl_image_release(traps);
}

static void of_unknown_configs(struct scene *scene)
{
	struct fl_instance_config config = { .size = 1 };
	const struct fl_instance_config *configs = &config;
	struct fl_pool *pool = scene->conform.pool;
	struct fl_instance *instance;

	ROW(-EINVAL, fl_instance_acquire(pool, scene->module, &config,
					 &instance, &listed_error));
	ROW(-EINVAL, fl_instance_allocate(pool, scene->module, &config,
					  &instance, &listed_error));
	ROW(-EINVAL, fl_snapshot_acquire(pool, scene->snapshot, &configs,
					 &instance, &listed_error));
	ROW(-EINVAL, fl_delta_acquire(pool, scene->delta, &configs, &instance,
				      &listed_error));
}

/* Segments that go nowhere. */
static void of_segments(struct scene *scene)
{
	struct fl_module *beyond =
		module_simple(&scene->conform, 1, (uint32_t)WPAGE, "abc");
	struct fl_module *relocated = module_relocated(&scene->conform);
	struct fl_pool *pool = scene->conform.pool;
	struct fl_instance *instance;

	ROW(-EFAULT,
	    fl_instance_acquire(pool, beyond, NULL, &instance, &listed_error));
	MUST_EQ(fl_instance_allocate(pool, beyond, NULL, &instance, NULL), 0);
	ROW(-EFAULT, fl_instance_initialise(instance, NULL, &listed_error));
	CHECK_EQ(fl_instance_release(instance), 0);
	ROW(-EINVAL, fl_instance_release(instance));
	MUST_EQ(fl_instance_allocate(pool, relocated, NULL, &instance, NULL),
		0);
	ROW(-EINVAL, fl_instance_initialise(instance, NULL, &listed_error));
	CHECK_EQ(fl_instance_release(instance), 0);
	fl_module_release(relocated);
	fl_module_release(beyond);
}

void of_instances(void)
{
	struct scene all, *scene = &all;

	scene_open(scene, 4);
	of_configs(scene);
	of_unknown_configs(scene);
	of_segments(scene);
	scene_close(scene);
}
