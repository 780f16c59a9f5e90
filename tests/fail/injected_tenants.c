/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * injected_tenants.c - calls that are to fail inside: of pools, and what is taken from them alone.
 */
#define _GNU_SOURCE
#include "injected.h"

/* -------------------------------------------------------------------- pools */

static void try_pool_create(struct scene *scene)
{
	struct fl_pool_config config;
	struct fl_pool *pool;

	conform_pool_config(&config);
	config.max_tables = config.max_stacks = 2;
	config.instance_bytes = 100;
	if (!TRY(fl_pool_create(scene->conform.context, &config, &pool,
				&listed_error)))
		TRY(fl_pool_destroy(pool));
}

static void try_pool_wait_fd(struct scene *scene)
{
	struct fl_pool_config config;
	struct fl_pool *pool;
	int fd;

	conform_pool_config(&config);
	MUST_EQ(fl_pool_create(scene->conform.context, &config, &pool, NULL),
		0);
	TRY(fl_pool_wait_fd(pool, &fd, &listed_error));
	CHECK_EQ(fl_pool_destroy(pool), 0);
}

static void try_pool_pressure(struct scene *scene)
{
	struct fl_pool_config config;
	struct fl_pool *pool;

	conform_pool_config(&config);
	MUST_EQ(fl_pool_create(scene->conform.context, &config, &pool, NULL),
		0);
	TRY(fl_pool_trim_on_pressure(pool, NULL, &listed_error));
	CHECK_EQ(fl_pool_destroy(pool), 0);
}

static void try_pool_questions(struct scene *scene)
{
	struct fl_tunables tunables = FL_TUNABLES_INIT;
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_metric metric = { .size = sizeof(metric) };
	struct fl_pool *pool = scene->conform.pool;
	struct fl_pool_config config;
	uint64_t len;
	char *json;

	TRY(fl_pool_validate(pool, scene->module, &listed_error));
	TRY(fl_pool_adjust_tunables(pool, &tunables, &listed_error));
	for (uint32_t i = 0; i < 3; i++)
		TRY(fl_pool_metric(pool, i, &metric));
	if (!TRY(fl_pool_dump_json(pool, &json, &len, &listed_error)))
		fl_bytes_free(json);
	TRY(fl_pool_usage(pool, &usage, &listed_error));
	conform_pool_config(&config);
	TRY(fl_pool_config_fit(scene->conform.context, NULL, &config, NULL,
			       &listed_error));
}

/* With free slots that keep something. */
static void try_pool_trim(struct scene *scene)
{
	struct fl_memory *memory =
		conform_take(&scene->conform, scene->image, 0);

	memset(memory->base, 1, 2 * WPAGE);
	CHECK_EQ(fl_memory_release(memory), 0);
	TRY(fl_pool_trim(scene->conform.pool, UINT64_MAX, NULL));
	memory = conform_take(&scene->conform, scene->image, 0);
	memset(memory->base, 1, 2 * WPAGE);
	CHECK_EQ(fl_memory_release(memory), 0);
	TRY(fl_pool_purge(scene->conform.pool, scene->module, scene->image,
			  NULL));
	CHECK_EQ(fl_pool_trim(scene->conform.pool, UINT64_MAX, NULL), 0);
}

/* ------------------------------------------------------------------ tenants */

static void try_memory_acquire(struct scene *scene)
{
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_memory *memory;

	config.image = scene->image;
	if (!TRY(fl_memory_acquire(scene->conform.pool, &config, &memory,
				   &listed_error))) {
		memset(memory->base, 1, 2 * WPAGE);
		TRY(fl_memory_release(memory));
	}
	injected_settle(scene);
}

static void try_memory_reset(struct scene *scene)
{
	struct fl_memory *memory =
		conform_take(&scene->conform, scene->image, 0);

	memset(memory->base, 1, 2 * WPAGE);
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
	if (!TRY(fl_memory_reset(memory))) {
		TRY(fl_memory_lend(memory));
		TRY(fl_memory_reset(memory));
	}
	(void)fl_memory_release(memory);
	injected_settle(scene);
}

static void try_memory_grow(struct scene *scene)
{
	struct fl_memory *memory =
		conform_take(&scene->conform, scene->image, 0);

	TRY(fl_memory_check_growth(memory, 1, &listed_error));
	TRY(fl_memory_grow(memory, 1, NULL));
	TRY(fl_memory_prefault(memory, 0, 2 * WPAGE));
	(void)fl_memory_release(memory);
	injected_settle(scene);
}

static void try_memory_written(struct scene *scene)
{
	struct fl_memory *memory =
		conform_take(&scene->conform, scene->image, 0);
	struct fl_written written = { .size = sizeof(written) };
	struct fl_memory_run runs[8];

	memset(memory->base, 1, 2 * WPAGE);
	TRY(fl_memory_written(memory, FL_WRITTEN_BEGIN, runs, 8, &written,
			      &listed_error));
	memset(memory->base, 2, WPAGE);
	TRY(fl_memory_written(memory, FL_WRITTEN_SINCE_LAST | FL_WRITTEN_BEGIN,
			      runs, 8, &written, &listed_error));
	(void)fl_memory_release(memory);
	injected_settle(scene);
}

/* Of zeroes, and of a file in place. */
static void apply_to(struct scene *scene, struct fl_image *image)
{
	struct fl_memory *memory = conform_take(&scene->conform, image, WPAGE);
	enum fl_trap trap;

	TRY(fl_memory_apply_segments(memory, scene->module, 0, NULL, &trap,
				     &listed_error));
	(void)fl_memory_release(memory);
}

static void try_memory_apply(struct scene *scene)
{
	struct fl_image *image = scene_in_place(scene);

	apply_to(scene, NULL);
	if (image)
		apply_to(scene, image);
	fl_image_release(image);
	injected_settle(scene);
}

static void try_memory_in_place(struct scene *scene)
{
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_image *captured, *image = scene_in_place(scene);
	struct fl_memory_run runs[8];
	struct fl_memory *memory;
	uint8_t byte;

	if (!image)
		return;
	config.image = image;
	TRY(fl_image_read(image, 0, &byte, 1));
	if (!TRY(fl_memory_acquire(scene->conform.pool, &config, &memory,
				   &listed_error))) {
		memset(memory->base, 1, 100);
		TRY(fl_memory_prefault(memory, 0, WPAGE));
		TRY(fl_memory_written(memory, 0, runs, 8, NULL, &listed_error));
		if (!TRY(fl_image_from_memory(memory, NULL, &captured,
					      &listed_error)))
			fl_image_release(captured);
		if (!TRY(fl_memory_reset(memory)))
			memset(memory->base, 1, 100);
		TRY(fl_memory_release(memory));
	}
	injected_settle(scene);
	TRY(fl_image_write(image, scene->new_path, &listed_error));
	fl_image_release(image);
}

static void try_digest_in_place(struct scene *scene)
{
	struct fl_image *image = scene_in_place(scene);
	uint8_t digest[32];

	if (!image)
		return;
	TRY(fl_image_digest(image, digest, &listed_error));
	fl_image_release(image);
}

static void try_table(struct scene *scene)
{
	struct fl_table_config config = FL_TABLE_CONFIG_INIT;
	struct fl_table *table;

	config.initial_elements = 4;
	config.element_bytes = 8;
	if (!TRY(fl_table_acquire(scene->conform.pool, &config, &table,
				  &listed_error))) {
		TRY(fl_table_grow(table, 2, NULL, NULL));
		memset(table->base, 1, 32);
		TRY(fl_table_release(table));
	}
	if (!TRY(fl_table_create(&config, &table, &listed_error))) {
		TRY(fl_table_grow(table, 2000, NULL, NULL));
		TRY(fl_table_release(table));
	}
	injected_settle(scene);
}

/* With a null that is not zero, which is an image. */
static void try_table_nulls(struct scene *scene)
{
	struct fl_table_config config = FL_TABLE_CONFIG_INIT;
	uint64_t null = ~UINT64_C(0);
	struct fl_table *table;

	config.initial_elements = 4;
	config.element_bytes = 8;
	config.null = &null;
	if (!TRY(fl_table_acquire(scene->conform.pool, &config, &table,
				  &listed_error))) {
		TRY(fl_table_grow(table, 8, NULL, NULL));
		TRY(fl_table_release(table));
	}
	injected_settle(scene);
}

static void try_stack(struct scene *scene)
{
	struct fl_pool_config config;
	struct fl_stack *stack;
	struct fl_pool *pool;

	conform_pool_config(&config);
	config.max_stacks = 2;
	config.zero_stacks = 1;
	config.stack_bytes = 64 * KIB;
	MUST_EQ(fl_pool_create(scene->conform.context, &config, &pool, NULL),
		0);
	if (!TRY(fl_stack_acquire(pool, 0, &stack, &listed_error))) {
		memset(stack->low, 1, 64 * KIB);
		TRY(fl_stack_release(stack));
	}
	CHECK_EQ(fl_pool_trim(pool, UINT64_MAX, NULL), 0);
	CHECK_EQ(fl_pool_destroy(pool), 0);
}

static void try_on_demand(struct scene *scene)
{
	struct fl_memory_config memory_config = FL_MEMORY_CONFIG_INIT;
	struct fl_pool_config config;
	struct fl_memory *memory;
	struct fl_stack *stack;
	struct fl_pool *pool;

	conform_pool_config(&config);
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	MUST_EQ(fl_pool_create(scene->conform.context, &config, &pool, NULL),
		0);
	memory_config.image = scene->image;
	if (!TRY(fl_memory_acquire(pool, &memory_config, &memory,
				   &listed_error))) {
		TRY(fl_memory_grow(memory, 1, NULL));
		TRY(fl_memory_reset(memory));
		TRY(fl_memory_release(memory));
	}
	if (!TRY(fl_stack_acquire(pool, 0, &stack, &listed_error)))
		TRY(fl_stack_release(stack));
	CHECK_EQ(fl_pool_destroy(pool), 0);
}

const struct injected_try injected_tenants[] = {
	{ try_pool_create, EVERYWHERE },
	{ try_pool_wait_fd, ONCE },
	{ try_pool_pressure, ONCE },
	{ try_pool_questions, EVERYWHERE },
	{ try_pool_trim, EVERYWHERE },
	{ try_memory_acquire, EVERYWHERE },
	{ try_memory_reset, EVERYWHERE },
	{ try_memory_grow, EVERYWHERE },
	{ try_memory_written, EVERYWHERE },
	{ try_memory_apply, EVERYWHERE },
	{ try_memory_in_place, EVERYWHERE },
	{ try_digest_in_place, ONCE },
	{ try_table, EVERYWHERE },
	{ try_table_nulls, EVERYWHERE },
	{ try_stack, EVERYWHERE },
	{ try_on_demand, EVERYWHERE },
	{ NULL, EVERYWHERE },
};
