/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* listed_scene.c - see listed.h. */
#define _GNU_SOURCE
#include "listed.h"

#include <stdlib.h>
#include <unistd.h>

/* A table, a memory with data, a passive segment, a global, a function, an
 * element. */
static void build_module(struct wasm *w)
{
	struct wasm_parts parts = { 0 };

	wasm_add_table(&parts, 4, 8);
	wasm_add_memory(&parts, 1);
	wasm_import_funcs(&parts, 2);
	wasm_add_funcs(&parts, 0, 0, 0, 2);
	wasm_add_data(&parts, 100, "first");
	wasm_data_passive(wasm_add(&parts, WASM_DATA), "passive", 7);
	wasm_bytes(wasm_add(&parts, WASM_GLOBAL), 0x7f, 1, 0x41, 0, 0x0b);
	wasm_parts_build(&parts, w);
}

static int encode_state(void *user, struct fl_instance *instance, void *buffer,
			uint64_t *length_bytes)
{
	(void)user;
	(void)instance;
	*length_bytes = 5;
	if (buffer)
		memcpy(buffer, "state", 5);
	return 0;
}

static void open_pool(struct scene *scene, uint32_t count)
{
	struct fl_pool_config config;

	conform_pool_config(&config);
	config.max_instances = config.max_stacks = count;
	config.max_memories = config.max_tables = count + 1;
	config.max_memory_bytes = WPAGE * 8;
	config.max_table_elements = 16;
	config.table_element_bytes = 8;
	config.instance_bytes = 4096;
	config.stack_bytes = 64 * KIB;
	conform_open(&scene->conform, &config);
}

/* A clone, its snapshot, and what it differs by. */
static void open_instance(struct scene *scene)
{
	struct fl_instance_config clone = FL_INSTANCE_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_delta_config delta;

	fl_snapshot_config_init(&scene->capture);
	scene->capture.plain_tables = scene->capture.plain_structure = 1;
	scene->capture.encode_state = encode_state;
	scene->instance = instance_start(&scene->conform, scene->module);
	CONFORM_MUST(fl_instance_snapshot(&scene->instance, 1, &scene->capture,
					  &scene->snapshot, &error),
		     &error);
	instance_stop(scene->instance);
	clone.snapshot = scene->snapshot;
	clone.decode_state = scene_decode_state;
	CONFORM_MUST(fl_instance_acquire(scene->conform.pool, scene->module,
					 &clone, &scene->instance, &error),
		     &error);
	fl_instance_memory(scene->instance, 0)->base[5] = 5;
	fl_delta_config_init(&delta);
	delta.snapshot = scene->snapshot;
	delta.capture = &scene->capture;
	CONFORM_MUST(fl_instance_delta(&scene->instance, 1, &delta,
				       &scene->delta, &error),
		     &error);
}

/* What is taken alone, and what goes with it. */
static void open_parts(struct scene *scene)
{
	struct fl_delta_parts delta = FL_DELTA_PARTS_INIT;
	struct fl_table_config table = FL_TABLE_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_snapshot_parts parts;

	scene->image =
		conform_image_of(&scene->conform, 2 * WPAGE, 5, "abc", 3);
	fl_snapshot_parts_init(&parts);
	parts.module = scene->module;
	parts.images = &scene->image;
	parts.image_count = 1;
	CONFORM_MUST(fl_snapshot_create(&parts, &scene->parts, &error), &error);
	scene->memory = conform_take(&scene->conform, scene->image, 0);
	scene->memory->base[WPAGE] = 7;
	CHECK_EQ(fl_memory_grow(scene->memory, 1, NULL), 0);
	delta.snapshot = scene->parts;
	delta.memories = &scene->memory;
	delta.memory_count = 1;
	CONFORM_MUST(fl_memory_delta(&delta, &scene->parts_delta, &error),
		     &error);
	table.initial_elements = 4;
	CONFORM_MUST(fl_table_acquire(scene->conform.pool, &table,
				      &scene->table, &error),
		     &error);
	CONFORM_MUST(fl_stack_acquire(scene->conform.pool, 0, &scene->stack,
				      &error),
		     &error);
}

static void open_files(struct scene *scene)
{
	struct fl_error error = { .text = "" };

	strcpy(scene->folder, access("/dev/shm", W_OK) ?
				      "/tmp/fl-listed-XXXXXX" :
				      "/dev/shm/fl-listed-XXXXXX");
	MUST(mkdtemp(scene->folder) != NULL);
	snprintf(scene->path, sizeof(scene->path), "%s/image", scene->folder);
	snprintf(scene->snapshot_path, sizeof(scene->snapshot_path),
		 "%s/snapshot", scene->folder);
	snprintf(scene->new_path, sizeof(scene->new_path), "%s/new",
		 scene->folder);
	CONFORM_MUST(fl_image_write(scene->image, scene->path, &error), &error);
	CONFORM_MUST(fl_snapshot_write(scene->snapshot, scene->snapshot_path,
				       &error),
		     &error);
	scene->file = test_file_of(scene->image);
	scene->snapshot_file = test_file_of_snapshot(scene->snapshot);
}

void scene_open(struct scene *scene, uint32_t count)
{
	struct wasm w = { 0 };

	memset(scene, 0, sizeof(*scene));
	open_pool(scene, count);
	build_module(&w);
	scene->module = module_load(&scene->conform, &w);
	open_instance(scene);
	open_parts(scene);
	open_files(scene);
}

void scene_close(struct scene *scene)
{
	free(scene->file.bytes);
	free(scene->snapshot_file.bytes);
	(void)unlink(scene->new_path);
	CHECK_EQ(unlink(scene->path), 0);
	CHECK_EQ(unlink(scene->snapshot_path), 0);
	CHECK_EQ(rmdir(scene->folder), 0);
	CHECK_EQ(fl_stack_release(scene->stack), 0);
	CHECK_EQ(fl_table_release(scene->table), 0);
	conform_give(scene->memory);
	CHECK_EQ(fl_instance_release(scene->instance), 0);
	fl_delta_release(scene->parts_delta);
	fl_delta_release(scene->delta);
	fl_image_release(scene->image);
	fl_snapshot_release(scene->parts);
	fl_snapshot_release(scene->snapshot);
	fl_module_release(scene->module);
	conform_close(&scene->conform);
}

int scene_decode_state(void *user, struct fl_instance *instance,
		       const void *bytes, uint64_t length_bytes)
{
	(void)user;
	(void)instance;
	CHECK(length_bytes == 5 && !memcmp(bytes, "state", 5));
	return 0;
}

void scene_deltas(struct scene *scene, struct fl_delta **deltas, uint32_t count)
{
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	struct fl_error error = { .text = "" };
	struct fl_memory *memory =
		conform_take(&scene->conform, scene->image, 0);

	parts.snapshot = scene->parts;
	parts.memories = &memory;
	parts.memory_count = 1;
	for (uint32_t i = 0; i < count; i++) {
		for (uint32_t k = 0; k < 10; k++)
			sprintf((char *)memory->base + 1000 + 80 * k,
				"session %u did %s and %s, for %u", i,
				k % 3 ? "buy" : "look",
				(i + k) % 5 ? "went" : "stayed", i * k * 7919);
		CONFORM_MUST(fl_memory_delta(&parts, &deltas[i], &error),
			     &error);
	}
	conform_give(memory);
}

struct fl_image *scene_in_place(struct scene *scene)
{
	struct fl_image *image;

	return fl_image_open(scene->conform.context, scene->path, -1,
			     FL_OPEN_IN_PLACE, &image, NULL) ?
		       NULL :
		       image;
}
