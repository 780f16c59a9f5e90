/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * injected_sessions.c - calls that are to fail inside: of instances, snapshots and deltas.
 */
#define _GNU_SOURCE
#include "injected.h"

/* ---------------------------------------------------------------- instances */

static void try_instance(struct scene *scene)
{
	struct fl_instance_config config = FL_INSTANCE_CONFIG_INIT;
	struct fl_pool *pool = scene->conform.pool;
	struct fl_instance *instance;

	if (!TRY(fl_instance_acquire(pool, scene->module, &config, &instance,
				     &listed_error))) {
		memset(fl_instance_memory(instance, 0)->base, 1, WPAGE);
		if (!TRY(fl_instance_reset(instance, &config, &listed_error)))
			TRY(fl_instance_initialise(instance, &config,
						   &listed_error));
		TRY(fl_instance_release(instance));
	}
	injected_settle(scene);
	if (!TRY(fl_instance_allocate(pool, scene->module, &config, &instance,
				      &listed_error))) {
		TRY(fl_instance_initialise(instance, &config, &listed_error));
		TRY(fl_instance_release(instance));
	}
	injected_settle(scene);
}

/* A module that writes into a file in place, which it imports. */
static void try_initialise_import(struct scene *scene)
{
	struct fl_instance_config config = FL_INSTANCE_CONFIG_INIT;
	struct fl_image *image = scene_in_place(scene);
	struct wasm_parts parts = { 0 };
	struct fl_instance *instance;
	struct fl_memory *imported;
	struct fl_module *module;
	struct wasm w = { 0 };

	if (!image)
		return;
	wasm_import_memory(&parts, 1);
	wasm_add_data(&parts, 300, "filled");
	wasm_parts_build(&parts, &w);
	module = module_load(&scene->conform, &w);
	imported = conform_take(&scene->conform, image, WPAGE);
	config.imported_memories = &imported;
	config.imported_memory_count = 1;
	config.fills_imports = 1;
	MUST_EQ(fl_instance_allocate(scene->conform.pool, module, &config,
				     &instance, NULL),
		0);
	TRY(fl_instance_initialise(instance, &config, &listed_error));
	(void)fl_instance_release(instance);
	(void)fl_memory_release(imported);
	fl_module_release(module);
	fl_image_release(image);
	injected_settle(scene);
}

static void try_snapshot_acquire(struct scene *scene)
{
	struct fl_instance_config clone = FL_INSTANCE_CONFIG_INIT;
	const struct fl_instance_config *clones = &clone;
	struct fl_pool *pool = scene->conform.pool;
	struct fl_instance *instance;

	clone.decode_state = scene_decode_state;
	if (!TRY(fl_snapshot_acquire(pool, scene->snapshot, &clones, &instance,
				     &listed_error)))
		(void)fl_instance_release(instance);
	injected_settle(scene);
	if (!TRY(fl_delta_acquire(pool, scene->delta, &clones, &instance,
				  &listed_error)))
		(void)fl_instance_release(instance);
	injected_settle(scene);
}

/* ---------------------------------------------------------------- snapshots */

static void try_snapshot(struct scene *scene)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_snapshot *snapshot;
	uint8_t digest[32];

	if (!TRY(fl_instance_snapshot(&scene->instance, 1, &scene->capture,
				      &snapshot, &listed_error))) {
		TRY(fl_snapshot_digest(snapshot, digest, &listed_error));
		fl_snapshot_release(snapshot);
	}
	parts.module = scene->module;
	parts.images = &scene->image;
	parts.image_count = 1;
	if (!TRY(fl_snapshot_create(&parts, &snapshot, &listed_error)))
		fl_snapshot_release(snapshot);
}

static void try_captures(struct scene *scene)
{
	struct fl_image *image;

	if (!TRY(fl_image_from_memory(scene->memory, NULL, &image,
				      &listed_error)))
		fl_image_release(image);
	memset(scene->table->base, 1, 8);
	if (!TRY(fl_image_from_table(scene->table, &scene->capture, &image,
				     &listed_error)))
		fl_image_release(image);
}

static void try_snapshot_write(struct scene *scene)
{
	TRY(fl_snapshot_write(scene->snapshot, scene->new_path, &listed_error));
	TRY(fl_snapshot_write_as(scene->snapshot, scene->new_path, 0,
				 &listed_error));
}

static void try_snapshot_open(struct scene *scene)
{
	struct fl_context *context = scene->conform.context;
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;
	struct fl_snapshot *snapshot;

	binding.modules = &scene->module;
	binding.module_count = 1;
	binding.plain_tables = binding.plain_structure = 1;
	for (uint32_t flags = 0; flags <= FL_OPEN_IN_PLACE; flags++)
		if (!TRY(fl_snapshot_open(context, scene->snapshot_path, -1,
					  flags, &binding, &snapshot,
					  &listed_error)))
			fl_snapshot_release(snapshot);
}

static void try_snapshot_digest(struct scene *scene)
{
	struct fl_snapshot *snapshot;
	uint8_t digest[32];

	MUST_EQ(fl_instance_snapshot(&scene->instance, 1, &scene->capture,
				     &snapshot, NULL),
		0);
	TRY(fl_snapshot_digest(snapshot, digest, &listed_error));
	fl_snapshot_release(snapshot);
}

static int tell(void *user, const struct fl_difference *difference)
{
	(void)user;
	(void)difference;
	return 0;
}

static void try_differences(struct scene *scene)
{
	TRY(fl_delta_differences(scene->delta, tell, NULL));
	TRY(fl_snapshot_differences(scene->snapshot, scene->snapshot,
				    scene->delta, tell, NULL, &listed_error));
}

/* ------------------------------------------------------------------- deltas */

static void try_instance_delta(struct scene *scene)
{
	struct fl_instance_config clone = FL_INSTANCE_CONFIG_INIT;
	struct fl_delta_config config = FL_DELTA_CONFIG_INIT;
	const struct fl_instance_config *clones = &clone;
	struct fl_instance *instance;
	struct fl_delta *delta;

	config.snapshot = scene->snapshot;
	config.capture = &scene->capture;
	if (!TRY(fl_instance_delta(&scene->instance, 1, &config, &delta,
				   &listed_error)))
		fl_delta_release(delta);
	clone.decode_state = scene_decode_state;
	MUST_EQ(fl_snapshot_acquire(scene->conform.pool, scene->snapshot,
				    &clones, &instance, NULL),
		0);
	fl_instance_memory(instance, 0)->base[77] = 1;
	if (!TRY(fl_instance_suspend(&instance, 1, &config, &delta,
				     &listed_error)))
		fl_delta_release(delta);
	else
		CHECK_EQ(fl_instance_release(instance), 0);
	injected_settle(scene);
}

static void try_memory_delta(struct scene *scene)
{
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	struct fl_memory *memory;
	struct fl_delta *delta;

	memory = conform_take(&scene->conform, scene->image, 0);
	memory->base[77] = 1;
	parts.snapshot = scene->parts;
	parts.memories = &memory;
	parts.memory_count = 1;
	if (!TRY(fl_memory_delta(&parts, &delta, &listed_error)))
		fl_delta_release(delta);
	if (!TRY(fl_memory_suspend(&parts, &delta, &listed_error)))
		fl_delta_release(delta);
	else
		CHECK_EQ(fl_memory_release(memory), 0);
	injected_settle(scene);
	memory = conform_take(&scene->conform, scene->image, 0);
	TRY(fl_delta_restore_memory(scene->parts_delta, 0, memory,
				    &listed_error));
	(void)fl_memory_release(memory);
	injected_settle(scene);
}

static void try_delta_open(struct scene *scene)
{
	struct fl_delta *delta;
	char state[100];
	uint64_t len;
	const void *bytes = fl_delta_bytes(scene->delta, &len);

	if (!TRY(fl_delta_open(scene->snapshot, bytes, len, FL_BYTES_COPY, NULL,
			       &delta, &listed_error)))
		fl_delta_release(delta);
	len = sizeof(state);
	TRY(fl_delta_read_state(scene->delta, 0, state, &len));
}

static void try_pack(struct scene *scene)
{
	struct fl_packer_config config = FL_PACKER_CONFIG_INIT;
	struct fl_packed_info info = { .size = sizeof(info) };
	struct fl_packer *packer;
	struct fl_delta *delta;
	uint8_t buffer[8192];
	uint64_t len = sizeof(buffer);

	config.snapshot = scene->snapshot;
	if (TRY(fl_packer_create(&config, &packer, &listed_error)))
		return;
	if (!TRY(fl_delta_pack(packer, scene->delta, buffer, &len,
			       &listed_error))) {
		TRY(fl_packed_info(buffer, len, &info, &listed_error));
		if (!TRY(fl_delta_unpack(packer, buffer, len, NULL, &delta,
					 &listed_error)))
			fl_delta_release(delta);
	}
	fl_packer_destroy(packer);
}

/* Deltas of one snapshot that have something in common. */
static void try_train(struct scene *scene)
{
	struct fl_delta *deltas[TRAINED];
	uint8_t dictionary[2048];
	uint64_t len = sizeof(dictionary);

	if (test_needs_zstd())
		return;
	scene_deltas(scene, deltas, TRAINED);
	TRY(fl_packer_train(deltas, TRAINED, dictionary, &len, &listed_error));
	for (size_t i = 0; i < TRAINED; i++)
		fl_delta_release(deltas[i]);
}

/* The kernel writes the lines of a memory that shows a file in place. */
static void try_restore_in_place(struct scene *scene)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_delta_parts delta_parts = FL_DELTA_PARTS_INIT;
	struct fl_image *image = scene_in_place(scene);
	struct fl_memory *memory;
	struct fl_delta *delta;

	if (!image)
		return;
	parts.module = scene->module;
	parts.images = &image;
	parts.image_count = 1;
	MUST_EQ(fl_snapshot_create(&parts, &delta_parts.snapshot, NULL), 0);
	memory = conform_take(&scene->conform, image, 0);
	memory->base[200] = 1;
	delta_parts.memories = &memory;
	delta_parts.memory_count = 1;
	MUST_EQ(fl_memory_suspend(&delta_parts, &delta, NULL), 0);
	memory = conform_take(&scene->conform, image, 0);
	TRY(fl_delta_restore_memory(delta, 0, memory, &listed_error));
	CHECK_EQ(fl_memory_release(memory), 0);
	fl_delta_release(delta);
	fl_snapshot_release(delta_parts.snapshot);
	fl_image_release(image);
}

const struct injected_try injected_sessions[] = {
	{ try_instance, EVERYWHERE },
	{ try_initialise_import, EVERYWHERE },
	{ try_snapshot_acquire, EVERYWHERE },
	{ try_snapshot, EVERYWHERE },
	{ try_captures, EVERYWHERE },
	{ try_snapshot_write, ONCE },
	{ try_snapshot_open, EVERYWHERE },
	{ try_snapshot_digest, ONCE },
	{ try_differences, ONCE },
	{ try_instance_delta, EVERYWHERE },
	{ try_memory_delta, EVERYWHERE },
	{ try_restore_in_place, EVERYWHERE },
	{ try_delta_open, ONCE },
	{ try_pack, ONCE },
	{ try_train, ONCE },
	{ NULL, EVERYWHERE },
};
