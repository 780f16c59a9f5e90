/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bound.c - decoded tables that stay in their slots from one clone to the next
 * (fl_instance_config.binds_tables): a clone finds what would have been decoded
 * for it, and nobody else finds any of it, whatever the tenants between did, the
 * host trimmed, purged or audited, and whichever slots come together.
 *
 * An element here is the address of its instance's structure plus a number, which
 * is its value; so an element that was made for another instance is found out.
 */
#define _GNU_SOURCE
#include "tests/kit/conform_module.h"
#include "tests/kit/random.h"

#include <pthread.h>
#include <stdlib.h>

#define STRUCTURE_BYTES 64
#define LENGTH 300
#define MAX_LENGTH 700
#define NONE UINT64_MAX
#define OTHER_DECODER ((uint64_t)1 << 50)
#define SLOTS 3

/* What a table has; NONE: a null. */
struct values {
	uint64_t length;
	uint64_t of[MAX_LENGTH];
};

struct scene {
	struct conform conform;
	struct fl_module *module;
	uint64_t null;
	struct fl_instance_config clone;
	uint32_t decodes;
	int fails;
};

static uint64_t base_of(struct fl_instance *instance)
{
	return (uint64_t)(uintptr_t)fl_instance_structure(instance);
}

static int encode(void *user, struct fl_instance *instance, uint32_t table_idx,
		  uint64_t first_idx, const void *elements, uint64_t count,
		  uint64_t *values)
{
	const uint64_t *from = elements;

	(void)user;
	(void)table_idx;
	(void)first_idx;
	for (uint64_t i = 0; i < count; i++)
		values[i] = (from[i] - base_of(instance)) % OTHER_DECODER;
	return 0;
}

static void make(struct fl_instance *instance, uint64_t more,
		 const uint64_t *values, uint64_t count, void *elements)
{
	uint64_t *to = elements;

	for (uint64_t i = 0; i < count; i++)
		to[i] = base_of(instance) + more + values[i];
}

static int decode(void *user, struct fl_instance *instance, uint32_t table_idx,
		  uint64_t first_idx, const uint64_t *values, uint64_t count,
		  void *elements)
{
	struct scene *scene = user;

	(void)table_idx;
	(void)first_idx;
	scene->decodes++;
	make(instance, 0, values, count, elements);
	return scene->fails ? -EPERM : 0;
}

static int decode_other(void *user, struct fl_instance *instance,
			uint32_t table_idx, uint64_t first_idx,
			const uint64_t *values, uint64_t count, void *elements)
{
	(void)user;
	(void)table_idx;
	(void)first_idx;
	make(instance, OTHER_DECODER, values, count, elements);
	return 0;
}

static void pool_config(struct fl_pool_config *config, const uint64_t *null,
			uint32_t slots)
{
	conform_pool_config(config);
	config->max_memories = slots;
	config->max_instances = slots;
	config->max_tables = slots;
	config->max_table_elements = MAX_LENGTH;
	config->table_element_bytes = 8;
	config->table_null = null;
	config->instance_bytes = STRUCTURE_BYTES;
}

static struct fl_module *load(struct conform *conform, const char *text)
{
	struct wasm_parts parts = { 0 };
	struct wasm w = { 0 };

	wasm_add_table(&parts, LENGTH, MAX_LENGTH);
	wasm_add_memory(&parts, 1);
	wasm_add_data(&parts, 7, text);
	wasm_parts_build(&parts, &w);
	return module_load(conform, &w);
}

static void scene_open_with(struct scene *scene, struct fl_pool_config *config)
{
	conform_open(&scene->conform, config);
	scene->module = load(&scene->conform, "one");
	fl_instance_config_init(&scene->clone);
	scene->clone.user = scene;
	scene->clone.decode_elements = decode;
	scene->clone.binds_tables = 1;
}

static void scene_open(struct scene *scene, uint32_t slots)
{
	struct fl_pool_config config;

	*scene = (struct scene){ .null = UINT64_MAX };
	pool_config(&config, &scene->null, slots);
	scene_open_with(scene, &config);
}

static void scene_close(struct scene *scene)
{
	CHECK_EQ(conform_info(&scene->conform).retired_tables, 0);
	CHECK_EQ(conform_info(&scene->conform).live_tables, 0);
	fl_snapshot_release(scene->clone.snapshot);
	check_nothing_held(&scene->conform);
	fl_module_release(scene->module);
	conform_close(&scene->conform);
}

/* Every third element is a null, the others come from first. */
static void values_from(struct values *values, uint64_t first)
{
	values->length = LENGTH;
	for (uint64_t i = 0; i < LENGTH; i++)
		values->of[i] = i % 3 == 2 ? NONE : first + i;
}

static struct fl_snapshot *capture(struct fl_instance *instance)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot_config config;
	struct fl_snapshot *snapshot = NULL;

	fl_snapshot_config_init(&config);
	config.encode_elements = encode;
	config.plain_structure = 1;
	CONFORM_MUST(fl_instance_snapshot(&instance, 1, &config, &snapshot,
					  &error),
		     &error);
	return snapshot;
}

/* A snapshot of an instance of the module with these values. */
static struct fl_snapshot *snapshot_of(struct scene *scene,
				       struct fl_module *module,
				       const struct values *values)
{
	struct fl_instance *instance = instance_start(&scene->conform, module);
	struct fl_table *table = fl_instance_table(instance, 0);
	struct fl_snapshot *snapshot;

	CHECK_EQ(fl_table_grow(table, values->length - LENGTH, NULL, NULL), 0);
	for (uint64_t i = 0; i < values->length; i++) {
		uint64_t element = base_of(instance) + values->of[i];

		if (values->of[i] != NONE)
			CHECK_EQ(fl_table_set(table, i, &element), 0);
	}
	snapshot = capture(instance);
	instance_stop(instance);
	return snapshot;
}

static struct fl_instance *start(struct scene *scene, struct fl_module *module,
				 const struct fl_instance_config *config)
{
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;

	CONFORM_MUST(fl_instance_acquire(scene->conform.pool, module, config,
					 &instance, &error),
		     &error);
	return instance;
}

static struct fl_instance *start_clone(struct scene *scene)
{
	return start(scene, scene->module, &scene->clone);
}

/* All of the slot, as far as tenants can see and beyond: nothing but these. */
static void check_table(const struct scene *scene, const struct fl_table *table,
			uint64_t base, const struct values *values)
{
	const uint64_t *elements = table->base;
	uint64_t wrong = 0;

	CHECK_EQ(fl_table_size(table), values->length);
	for (uint64_t i = 0; i < values->length; i++)
		wrong += elements[i] != (values->of[i] == NONE ?
						 scene->null :
						 base + values->of[i]);
	for (uint64_t i = values->length; i < MAX_LENGTH; i++)
		wrong += elements[i] != 0 && elements[i] != scene->null;
	CHECK_EQ(wrong, 0);
}

static void check(const struct scene *scene, struct fl_instance *instance,
		  const struct values *values)
{
	check_table(scene, fl_instance_table(instance, 0), base_of(instance),
		    values);
}

/* How often something was decoded since the last check. */
static void check_decodes(struct scene *scene, uint32_t expected)
{
	CHECK_EQ(scene->decodes, expected);
	scene->decodes = 0;
}

/* The number of runs in values_from(). */
#define RUNS (LENGTH / 3)

/* With one slot, whoever comes next gets the one that something is bound to. */
static void open_bound(struct scene *scene, struct values *values,
		       uint32_t slots)
{
	struct fl_instance *instance;

	scene_open(scene, slots);
	values_from(values, 1000);
	scene->clone.snapshot = snapshot_of(scene, scene->module, values);
	instance = start_clone(scene);
	check(scene, instance, values);
	check_decodes(scene, RUNS);
	instance_stop(instance);
}

/* ------------------------------------------------------------------ it stays */

static void next_clone_decodes_nothing(void)
{
	struct fl_instance *instance;
	struct values values;
	struct scene scene;

	open_bound(&scene, &values, 1);
	for (int i = 0; i < 5; i++) {
		instance = start_clone(&scene);
		check(&scene, instance, &values);
		check_decodes(&scene, 0);
		instance_stop(instance);
	}
	/* Captured again: the elements are the clone's. */
	instance = start_clone(&scene);
	fl_snapshot_release(scene.clone.snapshot);
	scene.clone.snapshot = capture(instance);
	instance_stop(instance);
	instance = start_clone(&scene);
	check(&scene, instance, &values);
	check_decodes(&scene, RUNS);
	instance_stop(instance);
	scene_close(&scene);
}

static void only_where_it_was_asked_for(void)
{
	struct fl_instance *instance;
	struct values values, nulls = { .length = LENGTH };
	struct scene scene;

	open_bound(&scene, &values, 1);
	memset(nulls.of, 0xff, sizeof(nulls.of));
	/* Two halves: the first gives nulls. */
	CHECK_EQ(fl_instance_allocate(scene.conform.pool, scene.module,
				      &scene.clone, &instance, NULL),
		 0);
	check(&scene, instance, &nulls);
	CHECK_EQ(fl_instance_initialise(instance, &scene.clone, NULL), 0);
	check(&scene, instance, &values);
	check_decodes(&scene, RUNS);
	instance_stop(instance);
	scene.clone.binds_tables = 0;
	instance = start_clone(&scene);
	check_decodes(&scene, RUNS);
	instance_stop(instance);
	instance = start_clone(&scene);
	check(&scene, instance, &values);
	check_decodes(&scene, RUNS);
	instance_stop(instance);
	/* In a group of one. */
	scene.clone.binds_tables = 1;
	for (int i = 0; i < 4; i++) {
		const struct fl_instance_config *configs = &scene.clone;

		instance = NULL;
		if (i % 2)
			instance = start_clone(&scene);
		else
			CHECK_EQ(fl_snapshot_acquire(scene.conform.pool,
						     scene.clone.snapshot,
						     &configs, &instance, NULL),
				 0);
		MUST(instance != NULL);
		check(&scene, instance, &values);
		check_decodes(&scene, RUNS);
		instance_stop(instance);
	}
	scene_close(&scene);
}

static void keep_reference(void *user, void *dst, const void *src)
{
	(void)user;
	memcpy(dst, src, 8);
}

static void drop_reference(void *user, void *element)
{
	(void)user;
	memset(element, 0xdd, 8);
}

static void counted_references_do_not_stay(void)
{
	struct fl_instance *instance;
	struct values values;
	struct scene scene;

	open_bound(&scene, &values, 1);
	scene.clone.clone_element = keep_reference;
	scene.clone.drop_element = drop_reference;
	for (int i = 0; i < 3; i++) {
		instance = start_clone(&scene);
		check(&scene, instance, &values);
		check_decodes(&scene, RUNS);
		instance_stop(instance);
	}
	scene_close(&scene);
}

/* ------------------------------------------------------------ nobody else's */

static void others_see_none_of_it(void)
{
	struct values values, others, nulls = { .length = LENGTH };
	struct fl_snapshot *first;
	struct fl_instance *instance;
	struct fl_table_config config;
	struct fl_module *module;
	struct fl_table *table;
	struct scene scene;

	open_bound(&scene, &values, 1);
	memset(nulls.of, 0xff, sizeof(nulls.of));
	values_from(&others, 2000);
	module = load(&scene.conform, "two");
	first = scene.clone.snapshot;
	for (int i = 0; i < 3; i++) {
		/* A table taken alone. */
		fl_table_config_init(&config);
		config.initial_elements = i * 50;
		config.null = &scene.null;
		nulls.length = config.initial_elements;
		CHECK_EQ(fl_table_acquire(scene.conform.pool, &config, &table,
					  NULL),
			 0);
		check_table(&scene, table, 0, &nulls);
		CHECK_EQ(fl_table_release(table), 0);
		nulls.length = LENGTH;
		instance_stop(start_clone(&scene));
		instance_stop(start_clone(&scene));
		scene.decodes = 0;
		/* An instance of the module, and one of another. */
		instance = instance_start(&scene.conform,
					  i % 2 ? module : scene.module);
		check(&scene, instance, &nulls);
		instance_stop(instance);
		/* Another snapshot of the module, and one of another. */
		scene.clone.snapshot = snapshot_of(
			&scene, i % 2 ? module : scene.module, &others);
		scene.decodes = 0;
		instance = start(&scene, i % 2 ? module : scene.module,
				 &scene.clone);
		check(&scene, instance, &others);
		check_decodes(&scene, RUNS);
		instance_stop(instance);
		fl_snapshot_release(scene.clone.snapshot);
		scene.clone.snapshot = first;
		/* Another decoder. */
		instance_stop(start_clone(&scene));
		scene.clone.decode_elements = decode_other;
		instance = start_clone(&scene);
		check_table(&scene, fl_instance_table(instance, 0),
			    base_of(instance) + OTHER_DECODER, &values);
		instance_stop(instance);
		scene.clone.decode_elements = decode;
		instance = start_clone(&scene);
		check(&scene, instance, &values);
		instance_stop(instance);
	}
	fl_module_release(module);
	scene_close(&scene);
}

/* Tables and structures that come together differently: two that lived at once go
 * in either order, with a table or a memory taken between. */
static void slots_that_come_together_anew(void)
{
	struct fl_instance *live[SLOTS];
	struct fl_memory *memory;
	struct values values;
	struct scene scene;

	open_bound(&scene, &values, SLOTS);
	for (int i = 0; i < 24; i++) {
		int count = i % 2 ? SLOTS : SLOTS - 1;

		memory = i % 2 ? NULL :
				 conform_take(
					 &scene.conform,
					 i % 4 ? fl_snapshot_image(
							 scene.clone.snapshot,
							 0, 0) :
						 NULL,
					 WPAGE);
		for (int k = 0; k < count; k++) {
			live[k] = start_clone(&scene);
			check(&scene, live[k], &values);
		}
		for (int k = 0; k < count; k++)
			check(&scene, live[k], &values);
		if (memory && i % 3)
			conform_give(memory);
		for (int k = 0; k < count; k++)
			instance_stop(live[i % 5 < 3 ? k : count - 1 - k]);
		if (memory && i % 3 == 0)
			conform_give(memory);
	}
	scene_close(&scene);
}

/* ------------------------------------------------------------------- changes */

/* A way in which a tenant, or the runtime for it, changes a table. */
static void change(struct fl_instance *instance, int how)
{
	struct fl_table *table = fl_instance_table(instance, 0);
	uint64_t element = base_of(instance) + 55, *elements = table->base;

	if (how == 0)
		CHECK_EQ(fl_table_set(table, 5, &element), 0);
	else if (how == 1)
		elements[LENGTH - 1] = element;
	else if (how == 2)
		CHECK_EQ(fl_table_grow(table, 30, &element, NULL), 0);
	else if (how == 3)
		CHECK_EQ(fl_table_fill(table, 0, NULL, LENGTH), 0);
	else if (how == 4)
		CHECK_EQ(fl_table_copy(table, 1, table, 0, LENGTH - 1), 0);
	else
		CHECK_EQ(fl_table_grow(table, MAX_LENGTH - LENGTH, &element,
				       NULL),
			 0);
}

static void what_was_changed_is_brought_back(void)
{
	struct values values, nulls = { .length = LENGTH };
	struct fl_instance *instance;
	struct scene scene;

	open_bound(&scene, &values, 1);
	memset(nulls.of, 0xff, sizeof(nulls.of));
	for (int i = 0; i < 12; i++) {
		/* So many that the last growth is forgotten. */
		for (int k = 0; k < 20; k++)
			instance_stop(start_clone(&scene));
		scene.decodes = 0;
		instance = start_clone(&scene);
		check(&scene, instance, &values);
		check_decodes(&scene, 0);
		change(instance, i / 2);
		instance_stop(instance);
		scene.decodes = 0;
		if (i % 2) {
			instance = instance_start(&scene.conform, scene.module);
			check(&scene, instance, &nulls);
			instance_stop(instance);
		}
		/* What has grown is decoded anew, and what others had. */
		instance = start_clone(&scene);
		check(&scene, instance, &values);
		check_decodes(&scene,
			      i % 2 || i / 2 == 2 || i / 2 == 5 ? RUNS : 0);
		instance_stop(instance);
	}
	scene_close(&scene);
}

/* What every tenant lets grow is not copied for every tenant. */
static void what_grows_always_stays_no_more(void)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_instance *instance;
	struct values values;
	struct scene scene;
	uint64_t first = 0;

	open_bound(&scene, &values, 1);
	for (int i = 0; i < 6; i++) {
		instance = start_clone(&scene);
		check(&scene, instance, &values);
		if (!fl_pool_usage(scene.conform.pool, &usage, NULL) && !i)
			first = usage.record_bytes;
		change(instance, i % 2 ? 2 : 5);
		instance_stop(instance);
	}
	instance = start_clone(&scene);
	check(&scene, instance, &values);
	if (!fl_pool_usage(scene.conform.pool, &usage, NULL))
		CHECK(usage.record_bytes + LENGTH * 8 <= first);
	instance_stop(instance);
	scene.decodes = 0;
	instance = start_clone(&scene);
	check(&scene, instance, &values);
	check_decodes(&scene, RUNS);
	instance_stop(instance);
	scene_close(&scene);
}

static void a_failed_decode_leaves_nothing(void)
{
	struct values values, nulls = { .length = LENGTH };
	struct fl_instance *instance;
	struct scene scene;

	open_bound(&scene, &values, 1);
	memset(nulls.of, 0xff, sizeof(nulls.of));
	for (int i = 0; i < 3; i++) {
		instance = start_clone(&scene);
		change(instance, i % 2 ? 2 : 5);
		instance_stop(instance);
		scene.fails = 1;
		CHECK_EQ(fl_instance_acquire(scene.conform.pool, scene.module,
					     &scene.clone, &instance, NULL),
			 -EPERM);
		scene.fails = 0;
		instance = instance_start(&scene.conform, scene.module);
		check(&scene, instance, &nulls);
		instance_stop(instance);
		instance = start_clone(&scene);
		check(&scene, instance, &values);
		instance_stop(instance);
	}
	scene_close(&scene);
}

static void a_reset_leads_to_the_snapshot(void)
{
	struct fl_instance *instance;
	struct values values;
	struct scene scene;

	open_bound(&scene, &values, 1);
	for (int i = 0; i < 4; i++) {
		instance = start_clone(&scene);
		if (i % 2)
			change(instance, i);
		CHECK_EQ(fl_instance_reset(instance, &scene.clone, NULL), 0);
		CHECK_EQ(fl_instance_initialise(instance, &scene.clone, NULL),
			 0);
		check(&scene, instance, &values);
		instance_stop(instance);
		instance = start_clone(&scene);
		check(&scene, instance, &values);
		instance_stop(instance);
	}
	scene_close(&scene);
}

/* ----------------------------------------------- trims, purges, audits, budgets */

static void trims_and_purges_let_go(void)
{
	struct fl_instance *instance;
	struct values values;
	struct scene scene;
	uint32_t purged;

	open_bound(&scene, &values, 1);
	for (int i = 0; i < 6; i++) {
		instance_stop(start_clone(&scene));
		instance_stop(start_clone(&scene));
		check_decodes(&scene, i ? RUNS : 0);
		purged = 0;
		if (i % 3 == 0)
			CHECK_EQ(fl_pool_trim(scene.conform.pool, UINT64_MAX,
					      NULL),
				 0);
		else if (i % 3 == 1)
			CHECK_EQ(fl_pool_purge(scene.conform.pool, scene.module,
					       NULL, &purged),
				 0);
		else
			CHECK_EQ(fl_pool_purge(
					 scene.conform.pool, NULL,
					 fl_snapshot_image(scene.clone.snapshot,
							   0, 0),
					 &purged),
				 0);
		CHECK(i % 3 == 0 || purged >= 1);
		if (i < 3)
			continue;
		instance = start_clone(&scene);
		check(&scene, instance, &values);
		check_decodes(&scene, RUNS);
		instance_stop(instance);
		CHECK_EQ(fl_pool_trim(scene.conform.pool, UINT64_MAX, NULL), 0);
	}
	scene_close(&scene);
}

static void play_audits(uint32_t every)
{
	struct fl_pool_config config;
	struct fl_instance *instance;
	struct values values;
	struct scene scene = { .null = UINT64_MAX };
	struct fl_pool_info info;

	pool_config(&config, &scene.null, 1);
	config.audit_every = every;
	scene_open_with(&scene, &config);
	values_from(&values, 1000);
	scene.clone.snapshot = snapshot_of(&scene, scene.module, &values);
	scene.decodes = 0;
	for (uint32_t i = 0; i < 30; i++) {
		instance = start_clone(&scene);
		check(&scene, instance, &values);
		if (i % 10 == 9)
			change(instance, 1);
		instance_stop(instance);
	}
	CHECK(scene.decodes <= 30 * RUNS);
	CHECK(every != 1 || scene.decodes == 30 * RUNS);
	CHECK(every == 1 || scene.decodes < 30 * RUNS);
	info = conform_info(&scene.conform);
	CHECK_EQ(info.audit_failures, 0);
	/* A memory, a table and a structure each. */
	CHECK_EQ(info.audited, 93 / every);
	scene_close(&scene);
}

static void audits_see_the_image(void)
{
	play_audits(1);
	play_audits(7);
}

static void budgets_hold(void)
{
	struct fl_pool_config config;
	struct fl_instance *instance;
	struct values values;
	struct scene scene;

	values_from(&values, 1000);
	for (int i = 0; i < 2; i++) {
		scene = (struct scene){ .null = UINT64_MAX };
		pool_config(&config, &scene.null, 1);
		if (i)
			config.max_idle_bytes = 0;
		else
			config.max_idle_slot_bytes = 4096;
		scene_open_with(&scene, &config);
		scene.clone.snapshot =
			snapshot_of(&scene, scene.module, &values);
		for (int k = 0; k < 4; k++) {
			scene.decodes = 0;
			instance = start_clone(&scene);
			check(&scene, instance, &values);
			check_decodes(&scene, RUNS);
			instance_stop(instance);
		}
		scene_close(&scene);
	}
}

static void on_demand_nothing_stays(void)
{
	struct fl_pool_config config;
	struct fl_instance *instance;
	struct values values;
	struct scene scene = { .null = UINT64_MAX };

	values_from(&values, 1000);
	pool_config(&config, &scene.null, 1);
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	scene_open_with(&scene, &config);
	scene.clone.snapshot = snapshot_of(&scene, scene.module, &values);
	for (int k = 0; k < 4; k++) {
		scene.decodes = 0;
		instance = start_clone(&scene);
		check(&scene, instance, &values);
		check_decodes(&scene, RUNS);
		instance_stop(instance);
	}
	scene_close(&scene);
}

/* --------------------------------------------------------------- random moments */

#define SNAPSHOTS 4

struct tenant {
	struct fl_instance *instance; /* NULL: none */
	struct values values;
	uint64_t base;
};

struct play {
	struct scene scene;
	struct test_random random;
	struct fl_module *modules[2];
	struct fl_snapshot *snapshots[SNAPSHOTS];
	struct values values[SNAPSHOTS];
	struct fl_delta *deltas[SNAPSHOTS];
	struct values slept[SNAPSHOTS];
	struct tenant tenants[SLOTS];
};

static uint64_t below(struct play *play, uint64_t limit)
{
	return test_random_below(&play->random, limit);
}

static struct fl_module *module_of(struct play *play, uint64_t idx)
{
	return play->modules[idx % 2];
}

static void play_capture(struct play *play, uint64_t idx)
{
	struct values *values = &play->values[idx];

	fl_delta_release(play->deltas[idx]);
	play->deltas[idx] = NULL;
	fl_snapshot_release(play->snapshots[idx]);
	values->length = below(play, 4) ? LENGTH : LENGTH + below(play, 200);
	for (uint64_t i = 0; i < values->length; i++)
		values->of[i] = below(play, 5) ? below(play, 1 << 20) : NONE;
	play->snapshots[idx] =
		snapshot_of(&play->scene, module_of(play, idx), values);
}

static void play_start(struct play *play, struct tenant *tenant)
{
	struct fl_instance_config config = play->scene.clone;
	uint64_t idx = below(play, SNAPSHOTS), more = 0;

	tenant->values = play->values[idx];
	config.snapshot = play->snapshots[idx];
	config.binds_tables = below(play, 8) != 0;
	if (below(play, 8) == 0) {
		config.decode_elements = decode_other;
		more = OTHER_DECODER;
	}
	if (below(play, 10) == 0) {
		config.snapshot = NULL;
		tenant->values.length = LENGTH;
		memset(tenant->values.of, 0xff, sizeof(tenant->values.of));
	} else if (play->deltas[idx] && below(play, 3) == 0) {
		config.delta = play->deltas[idx];
		tenant->values = play->slept[idx];
	}
	tenant->instance = start(&play->scene, module_of(play, idx), &config);
	tenant->base = base_of(tenant->instance) + more;
	check_table(&play->scene, fl_instance_table(tenant->instance, 0),
		    tenant->base, &tenant->values);
}

static void play_write(struct play *play, struct tenant *tenant)
{
	struct fl_table *table = fl_instance_table(tenant->instance, 0);
	struct values *values = &tenant->values;
	uint64_t at = below(play, values->length), *elements = table->base;
	uint64_t value = below(play, 3) ? below(play, 1 << 20) : NONE;
	uint64_t element = value == NONE ? play->scene.null :
					   tenant->base + value;
	uint64_t more = below(play, 20);

	values->of[at] = value;
	if (below(play, 2))
		elements[at] = element;
	else
		CHECK_EQ(fl_table_set(table, at, &element), 0);
	if (below(play, 4) || values->length + more > MAX_LENGTH)
		return;
	CHECK_EQ(fl_table_grow(table, more, &element, NULL), 0);
	while (more--)
		values->of[values->length++] = value;
}

/* A session of a snapshot falls asleep, if the tenant is one. */
static void play_sleep(struct play *play, struct tenant *tenant)
{
	struct fl_snapshot_config capture;
	struct fl_delta_config config;
	struct fl_delta *delta;

	fl_snapshot_config_init(&capture);
	capture.encode_elements = encode;
	capture.plain_structure = 1;
	fl_delta_config_init(&config);
	config.capture = &capture;
	for (int i = 0; i < SNAPSHOTS; i++) {
		config.snapshot = play->snapshots[i];
		if (fl_instance_suspend(&tenant->instance, 1, &config, &delta,
					NULL))
			continue;
		fl_delta_release(play->deltas[i]);
		play->deltas[i] = delta;
		play->slept[i] = tenant->values;
		tenant->instance = NULL;
		return;
	}
}

static void play_host(struct play *play)
{
	struct fl_pool *pool = play->scene.conform.pool;
	uint64_t what = below(play, 6), idx = below(play, SNAPSHOTS);

	if (what == 0)
		CHECK_EQ(fl_pool_trim(pool, below(play, 2) ? UINT64_MAX : 9000,
				      NULL),
			 0);
	else if (what == 1)
		CHECK_EQ(fl_pool_purge(pool, module_of(play, idx), NULL, NULL),
			 0);
	else if (what == 2)
		CHECK_EQ(fl_pool_purge(pool, NULL,
				       fl_snapshot_image(play->snapshots[idx],
							 0, 0),
				       NULL),
			 0);
}

static void play_step(struct play *play)
{
	struct tenant *tenant = &play->tenants[below(play, SLOTS)];
	uint64_t what = below(play, 10);

	if (what == 0)
		play_host(play);
	if (!tenant->instance) {
		play_start(play, tenant);
		return;
	}
	check_table(&play->scene, fl_instance_table(tenant->instance, 0),
		    tenant->base, &tenant->values);
	if (what == 1 && below(play, 3) == 0) {
		play_write(play, tenant);
	} else if (what == 2) {
		play_sleep(play, tenant);
	} else {
		instance_stop(tenant->instance);
		tenant->instance = NULL;
	}
}

static void play_random(uint64_t null, uint64_t seed)
{
	struct play *play = calloc(1, sizeof(*play));
	struct fl_pool_config config;

	MUST(play != NULL);
	test_random_init(&play->random, seed);
	play->scene.null = null;
	pool_config(&config, null ? &play->scene.null : NULL, SLOTS);
	config.audit_every = seed % 2 ? 5 : 0;
	scene_open_with(&play->scene, &config);
	play->modules[0] = play->scene.module;
	play->modules[1] = load(&play->scene.conform, "two");
	for (uint64_t i = 0; i < SNAPSHOTS; i++)
		play_capture(play, i);
	for (int i = 0; i < 1000; i++) {
		bool is_empty = true;

		play_step(play);
		for (int k = 0; k < SLOTS; k++)
			is_empty &= !play->tenants[k].instance;
		/* A slot is needed for that. */
		if (is_empty && below(play, 8) == 0)
			play_capture(play, below(play, SNAPSHOTS));
	}
	for (int k = 0; k < SLOTS; k++) {
		if (play->tenants[k].instance)
			instance_stop(play->tenants[k].instance);
	}
	CHECK_EQ(conform_info(&play->scene.conform).audit_failures, 0);
	for (int i = 0; i < SNAPSHOTS; i++) {
		fl_delta_release(play->deltas[i]);
		fl_snapshot_release(play->snapshots[i]);
	}
	fl_module_release(play->modules[1]);
	scene_close(&play->scene);
	free(play);
}

static void random_moments(void)
{
	for (uint64_t seed = 1; seed <= 4; seed++)
		play_random(seed / 2 % 2 ? UINT64_MAX : 0, seed);
}

/* ------------------------------------------------------------------ threads */

#define CYCLES 150

struct thread {
	struct scene scene; /* with the pool of all, and counts of its own */
	struct values values;
	uint64_t seed;
	pthread_t id;
};

static void *clone_loop(void *arg)
{
	struct thread *thread = arg;
	struct test_random random;

	test_random_init(&random, thread->seed);
	for (int i = 0; i < CYCLES; i++) {
		struct fl_instance *instance = start_clone(&thread->scene);

		check(&thread->scene, instance, &thread->values);
		if (test_random_below(&random, 20) == 0)
			change(instance, (int)test_random_below(&random, 6));
		instance_stop(instance);
	}
	return NULL;
}

static void beside_threads_trims_and_purges(void)
{
	struct thread threads[SLOTS];
	struct scene scene;

	scene_open(&scene, SLOTS);
	for (int i = 0; i < SLOTS; i++) {
		struct thread *thread = &threads[i];

		/* Two threads share a snapshot. */
		thread->scene = scene;
		thread->seed = 90 + (uint64_t)i;
		values_from(&thread->values, 1000 * (uint64_t)(i / 2));
		thread->scene.clone.user = &thread->scene;
		thread->scene.clone.timeout_ns = UINT64_MAX;
		thread->scene.clone.snapshot =
			i % 2 ? fl_snapshot_retain(
					threads[i - 1].scene.clone.snapshot) :
				snapshot_of(&scene, scene.module,
					    &thread->values);
	}
	for (int i = 0; i < SLOTS; i++)
		MUST_EQ(pthread_create(&threads[i].id, NULL, clone_loop,
				       &threads[i]),
			0);
	for (int i = 0; i < 20; i++) {
		CHECK_EQ(fl_pool_purge(scene.conform.pool, scene.module, NULL,
				       NULL),
			 0);
		CHECK_EQ(fl_pool_trim(scene.conform.pool, 20000, NULL), 0);
	}
	for (int i = 0; i < SLOTS; i++) {
		MUST_EQ(pthread_join(threads[i].id, NULL), 0);
		fl_snapshot_release(threads[i].scene.clone.snapshot);
	}
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(next_clone_decodes_nothing),
	TEST_CASE(only_where_it_was_asked_for),
	TEST_CASE(counted_references_do_not_stay),
	TEST_CASE(others_see_none_of_it),
	TEST_CASE(slots_that_come_together_anew),
	TEST_CASE(what_was_changed_is_brought_back),
	TEST_CASE(what_grows_always_stays_no_more),
	TEST_CASE(a_failed_decode_leaves_nothing),
	TEST_CASE(a_reset_leads_to_the_snapshot),
	TEST_CASE(trims_and_purges_let_go),
	TEST_CASE(audits_see_the_image),
	TEST_CASE(budgets_hold),
	TEST_CASE(on_demand_nothing_stays),
	TEST_CASE(random_moments),
	TEST_CASE(beside_threads_trims_and_purges),
};

CONFORM_MAIN(cases)
