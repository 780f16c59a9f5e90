/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* listed_host.c - what calls answer in a context without room, where a file in place
 * was cut, and where a page source fails. */
#define _GNU_SOURCE
#include "listed.h"

#include <unistd.h>

/* ------------------------------------------------------------ room for images */

/* A context without room for an image, and a pool. */
static void open_narrow(struct conform *narrow)
{
	struct fl_context_config config = FL_CONTEXT_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_pool_config pool;

	config.backend = test_rung->backend;
	config.max_image_bytes = 1;
	CONFORM_MUST(fl_context_create(&config, &narrow->context, &error),
		     &error);
	conform_pool_config(&pool);
	pool.max_tables = 1;
	pool.max_table_elements = 100000;
	CONFORM_MUST(fl_pool_create(narrow->context, &pool, &narrow->pool,
				    &error),
		     &error);
}

static void open_in(struct scene *scene, struct fl_context *context)
{
	struct fl_load_config load = FL_LOAD_CONFIG_INIT;
	struct fl_page_source *sources[2];
	struct fl_snapshot *snapshot;
	struct fl_image *image;

	load.way = FL_LOAD_WHOLE;
	ROW(-E2BIG,
	    fl_image_open(context, scene->path, -1, 0, &image, &listed_error));
	ROW(-E2BIG, fl_snapshot_open(context, scene->snapshot_path, -1, 0, NULL,
				     &snapshot, &listed_error));
	MUST_EQ(fl_page_source_from_file(scene->path, -1, &sources[0], NULL),
		0);
	MUST_EQ(fl_page_source_from_file(scene->snapshot_path, -1, &sources[1],
					 NULL),
		0);
	ROW(-E2BIG, fl_image_open_source(context, sources[0], &load, &image,
					 &listed_error));
	ROW(-E2BIG, fl_snapshot_open_source(context, sources[1], &load, NULL,
					    &snapshot, &listed_error));
	fl_page_source_release(sources[0]);
	fl_page_source_release(sources[1]);
}

static void capture_in(struct conform *narrow)
{
	struct fl_snapshot_config plain = FL_SNAPSHOT_CONFIG_INIT;
	struct fl_table_config config = FL_TABLE_CONFIG_INIT;
	struct fl_module *module = module_simple(narrow, 2, 0, NULL);
	struct fl_instance *instance = instance_start(narrow, module);
	struct fl_snapshot *snapshot;
	struct fl_table *table;
	struct fl_image *image;

	memset(fl_instance_memory(instance, 0)->base, 1, 2 * WPAGE);
	config.initial_elements = 10000;
	MUST_EQ(fl_table_acquire(narrow->pool, &config, &table, NULL), 0);
	memset(table->base, 1, 2 * WPAGE);
	plain.plain_tables = 1;
	ROW(-E2BIG, fl_image_from_memory(fl_instance_memory(instance, 0), NULL,
					 &image, &listed_error));
	ROW(-E2BIG, fl_image_from_table(table, &plain, &image, &listed_error));
	ROW(-E2BIG,
	    fl_instance_snapshot(&instance, 1, NULL, &snapshot, &listed_error));
	CHECK_EQ(fl_table_release(table), 0);
	instance_stop(instance);
	fl_module_release(module);
}

void of_too_little_room(void)
{
	struct fl_module_config config = FL_MODULE_CONFIG_INIT;
	static uint8_t bytes[2 * WPAGE] = { 1, [WPAGE] = 1 };
	struct fl_segment segment = { 0, bytes, sizeof(bytes) };
	struct scene all, *scene = &all;
	struct conform narrow;
	struct fl_module *module;
	struct fl_image *image;
	struct wasm w = { 0 };

	scene_open(scene, 1);
	open_narrow(&narrow);
	wasm_header(&w);
	wasm_one_memory(&w, 2, WASM_NO_MAX);
	wasm_one_data(&w, 0, bytes, sizeof(bytes));
	config.bytes = w.bytes;
	config.length_bytes = w.length;
	ROW(-E2BIG,
	    fl_module_load(narrow.context, &config, &module, &listed_error));
	MUST_EQ(fl_module_load(NULL, &config, &module, NULL), 0);
	ROW(-E2BIG, fl_image_from_module(narrow.context, module, 0, NULL,
					 &image, &listed_error));
	ROW(-E2BIG, fl_image_from_segments(narrow.context, 2 * WPAGE, &segment,
					   1, &image, &listed_error));
	fl_module_release(module);
	wasm_free(&w);
	open_in(scene, narrow.context);
	capture_in(&narrow);
	conform_close(&narrow);
	scene_close(scene);
}

/* ------------------------------------------------------------------ cut files */

/* What was made while the file was whole. */
struct cut {
	struct fl_image *image;
	struct fl_snapshot *snapshot; /* its digest is known */
	struct fl_snapshot *other; /* its digest is not */
	struct fl_memory *fresh, *imported;
	struct fl_delta *delta;
};

static struct fl_snapshot *snapshot_of(struct scene *scene,
				       struct fl_image *image)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot;

	parts.module = scene->module;
	parts.images = &image;
	parts.image_count = 1;
	CONFORM_MUST(fl_snapshot_create(&parts, &snapshot, &error), &error);
	return snapshot;
}

static bool cut_open(struct scene *scene, struct cut *cut)
{
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	struct fl_error error = { .text = "" };
	struct fl_memory *memory;

	if (fl_image_open(scene->conform.context, scene->path, -1,
			  FL_OPEN_IN_PLACE, &cut->image, NULL))
		return false;
	cut->snapshot = snapshot_of(scene, cut->image);
	cut->other = snapshot_of(scene, cut->image);
	memory = conform_take(&scene->conform, cut->image, 0);
	cut->fresh = conform_take(&scene->conform, cut->image, 0);
	cut->imported = conform_take(&scene->conform, cut->image, 0);
	memory->base[200] = 1;
	parts.snapshot = cut->snapshot;
	parts.memories = &memory;
	parts.memory_count = 1;
	CONFORM_MUST(fl_memory_delta(&parts, &cut->delta, &error), &error);
	conform_give(memory);
	CHECK_EQ(truncate(scene->path, 0), 0);
	return true;
}

static void cut_close(struct scene *scene, struct cut *cut)
{
	(void)fl_memory_release(cut->imported);
	(void)fl_memory_release(cut->fresh);
	fl_delta_release(cut->delta);
	fl_snapshot_release(cut->other);
	fl_snapshot_release(cut->snapshot);
	fl_image_release(cut->image);
	CHECK_EQ(fl_pool_trim(scene->conform.pool, UINT64_MAX, NULL), 0);
}

/* A module that fills the memory that it imports. */
static void initialise_cut(struct scene *scene, struct cut *cut)
{
	struct fl_instance_config config = FL_INSTANCE_CONFIG_INIT;
	struct wasm_parts parts = { 0 };
	struct fl_instance *instance;
	struct fl_module *module;
	struct wasm w = { 0 };

	wasm_import_memory(&parts, 1);
	wasm_add_data(&parts, 300, "filled");
	wasm_parts_build(&parts, &w);
	module = module_load(&scene->conform, &w);
	config.imported_memories = &cut->imported;
	config.imported_memory_count = 1;
	config.fills_imports = 1;
	MUST_EQ(fl_instance_allocate(scene->conform.pool, module, &config,
				     &instance, NULL),
		0);
	ROW(-EIO, fl_instance_initialise(instance, &config, &listed_error));
	CHECK_EQ(fl_instance_release(instance), 0);
	fl_module_release(module);
}

static int tell(void *user, const struct fl_difference *difference)
{
	(void)user;
	(void)difference;
	return 0;
}

void of_a_cut_file(void)
{
	struct fl_packer_config config = FL_PACKER_CONFIG_INIT;
	struct scene all, *scene = &all;
	struct fl_packer *packer;
	struct fl_delta *delta;
	const void *bytes;
	uint8_t digest[32];
	struct cut cut;
	uint64_t len;

	scene_open(scene, 4);
	if (!cut_open(scene, &cut)) {
		listed_lacks("no file can be mapped in place");
		scene_close(scene);
		return;
	}
	bytes = fl_delta_bytes(cut.delta, &len);
	config.snapshot = cut.other;
	ROW(-EIO, fl_image_read(cut.image, 0, digest, 32));
	ROW(-EIO, fl_snapshot_digest(cut.other, digest, &listed_error));
	ROW(-EIO, fl_delta_open(cut.other, bytes, len, FL_BYTES_COPY, NULL,
				&delta, &listed_error));
	ROW(test_needs_zstd() ? -ENOTSUP : -EIO,
	    fl_packer_create(&config, &packer, &listed_error));
	ROW(-EIO, fl_snapshot_differences(scene->parts, cut.snapshot, NULL,
					  tell, NULL, &listed_error));
	ROW(-EIO,
	    fl_delta_restore_memory(cut.delta, 0, cut.fresh, &listed_error));
	initialise_cut(scene, &cut);
	cut_close(scene, &cut);
	scene_close(scene);
}

/* --------------------------------------------------------- loaded on demand */

static void prefault_lazy(struct scene *scene, struct test_source *source,
			  int wanted)
{
	struct fl_load_config load = FL_LOAD_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_memory *memory;
	struct fl_image *image;
	int err;

	load.way = FL_LOAD_LAZY;
	load.deadline_ns = wanted == -ETIMEDOUT ? 50000000 : load.deadline_ns;
	/* Where the machine is busy, opening may take longer than a load may. */
	do
		err = fl_image_open_source(scene->conform.context,
					   source->source, &load, &image,
					   &error);
	while (err == -ETIMEDOUT);
	CONFORM_MUST(err, &error);
	memory = conform_take(&scene->conform, image, 0);
	ROW(wanted, fl_memory_prefault(memory, 0, WPAGE));
	conform_give(memory);
	fl_image_release(image);
}

void of_a_lazy_image(void)
{
	struct scene all, *scene = &all;
	struct test_source source;

	if (conform_needs_lazy()) {
		listed_lacks("no image can be loaded on demand");
		return;
	}
	scene_open(scene, 4);
	test_source_open(&source, scene->file, true);
	test_source_set(&source.mischief.wrong_every, 1);
	prefault_lazy(scene, &source, -ENOEXEC);
	test_source_behave(&source);
	test_source_set(&source.mischief.is_silent, 1);
	prefault_lazy(scene, &source, -ETIMEDOUT);
	test_source_behave(&source);
	fl_page_source_release(source.source);
	scene_close(scene);
}
