/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* listed_given.c - what calls for modules, images and pools answer to what they are
 * given. */
#define _GNU_SOURCE
#include "listed.h"

#include <unistd.h>

/* ------------------------------------------------------------------- modules */

static struct fl_module *importing_a_memory(struct scene *scene)
{
	struct wasm_parts parts = { 0 };
	struct wasm w = { 0 };

	wasm_import_memory(&parts, 1);
	wasm_parts_build(&parts, &w);
	return module_load(&scene->conform, &w);
}

static void questions_past_the_last(const struct fl_module *module)
{
	struct fl_memory_type memory = FL_SIZED(memory);
	struct fl_table_type table = FL_SIZED(table);
	struct fl_global_type global = FL_SIZED(global);
	struct fl_function function = FL_SIZED(function);
	struct fl_element_segment segment = FL_SIZED(segment);
	struct fl_element elements[4];

	ROW(-EINVAL, fl_module_memory_type(module, 9, &memory));
	ROW(-EINVAL, fl_module_table_type(module, 9, &table));
	ROW(-EINVAL, fl_module_global_type(module, 9, &global));
	ROW(-EINVAL, fl_module_function(module, 9, &function));
	ROW(-EINVAL, fl_module_element_segment(module, 9, &segment));
	ROW(-EINVAL, fl_module_read_elements(module, 0, 1, 4, elements));
}

void of_modules(void)
{
	static const uint8_t component[] = { 0, 'a', 's', 'm', 13, 0, 1, 0 };
	struct fl_module_config config = FL_MODULE_CONFIG_INIT;
	struct fl_module *module, *other;
	struct scene all, *scene = &all;
	uint32_t count;
	uint64_t len;
	void *bytes;

	scene_open(scene, 1);
	questions_past_the_last(scene->module);
	config.bytes = component;
	config.length_bytes = sizeof(component);
	ROW(-ENOTSUP, fl_module_load(scene->conform.context, &config, &module,
				     &listed_error));
	config.size = 1;
	ROW(-EINVAL, fl_module_load(scene->conform.context, &config, &module,
				    &listed_error));
	other = importing_a_memory(scene);
	ROW(-ENOTSUP,
	    fl_module_state_exports(other, NULL, 0, &count, &listed_error));
	ROW(-ENOTSUP, fl_module_write_state_exports(other, &bytes, &len, NULL,
						    &listed_error));
	ROW(-ENOTSUP, fl_module_write_resumable(other, &bytes, &len, NULL,
						&listed_error));
	fl_module_release(other);
	scene_close(scene);
}

/* -------------------------------------------------------------------- images */

static void of_a_trapping_image(struct scene *scene)
{
	struct fl_segment segment = { WPAGE, "abc", 3 };
	struct fl_image *image =
		conform_image(&scene->conform, WPAGE, &segment, 1);
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_snapshot *snapshot;
	struct fl_memory *memory;
	uint8_t digest[32];

	config.image = image;
	parts.module = scene->module;
	parts.images = &image;
	parts.image_count = 1;
	ROW(-EFAULT, fl_image_write(image, scene->new_path, &listed_error));
	ROW(-EFAULT,
	    fl_image_write_as(image, scene->new_path, 0, &listed_error));
	ROW(-EFAULT, fl_image_digest(image, digest, &listed_error));
	ROW(-EFAULT, fl_memory_acquire(scene->conform.pool, &config, &memory,
				       &listed_error));
	ROW(-EFAULT, fl_snapshot_create(&parts, &snapshot, &listed_error));
	fl_image_release(image);
}

static void of_sources(struct scene *scene)
{
	struct fl_page_source_config config = FL_PAGE_SOURCE_CONFIG_INIT;
	struct fl_load_config load = FL_LOAD_CONFIG_INIT;
	struct fl_context *context = scene->conform.context;
	struct fl_page_source *source;
	struct test_source silent;
	struct fl_snapshot *snapshot;
	struct fl_image *image;

	ROW(-EINVAL, fl_page_source_create(&config, &source, &listed_error));
	ROW(-EINVAL, fl_page_source_from_bytes(NULL, 9, NULL, NULL, &source,
					       &listed_error));
	ROW(-EINVAL,
	    fl_page_source_from_file("/proc", -1, &source, &listed_error));
	test_source_open(&silent, scene->file, true);
	test_source_set(&silent.mischief.is_silent, 1);
	load.deadline_ns = 1000000;
	load.way = FL_LOAD_WHOLE;
	ROW(-ETIMEDOUT, fl_image_open_source(context, silent.source, &load,
					     &image, &listed_error));
	ROW(-ETIMEDOUT,
	    fl_snapshot_open_source(context, silent.source, &load, NULL,
				    &snapshot, &listed_error));
	load.way = FL_LOAD_IN_PLACE;
	ROW(-ENOTSUP, fl_image_open_source(context, silent.source, &load,
					   &image, &listed_error));
	ROW(-ENOTSUP, fl_snapshot_open_source(context, silent.source, &load,
					      NULL, &snapshot, &listed_error));
	load.size = 1;
	ROW(-EINVAL, fl_image_open_source(context, silent.source, &load, &image,
					  &listed_error));
	ROW(-EINVAL, fl_snapshot_open_source(context, silent.source, &load,
					     NULL, &snapshot, &listed_error));
	fl_page_source_release(silent.source);
}

void of_images(void)
{
	struct fl_segment none = { 0, NULL, 3 };
	struct fl_context *context;
	struct scene all, *scene = &all;
	struct fl_snapshot *snapshot;
	struct fl_image *image;
	uint8_t byte;

	scene_open(scene, 1);
	context = scene->conform.context;
	of_a_trapping_image(scene);
	of_sources(scene);
	ROW(-EINVAL, fl_image_from_module(context, scene->module, 9, NULL,
					  &image, &listed_error));
	ROW(-EINVAL, fl_image_from_segments(context, WPAGE, &none, 1, &image,
					    &listed_error));
	ROW(-EINVAL, fl_image_read(scene->image, 2 * WPAGE, &byte, 1));
	ROW(-EINVAL,
	    fl_image_write(scene->image, "/proc/none/x", &listed_error));
	ROW(-EINVAL, fl_image_write_as(scene->image, scene->new_path, 1 << 20,
				       &listed_error));
	ROW(-EINVAL, fl_image_write_working_set(scene->image, scene->new_path,
						&listed_error));
	ROW(-EINVAL,
	    fl_image_open(context, "/proc", -1, 0, &image, &listed_error));
	ROW(-EINVAL,
	    fl_snapshot_write(scene->snapshot, "/proc/none/x", &listed_error));
	ROW(-EINVAL, fl_snapshot_write_as(scene->snapshot, scene->new_path,
					  1 << 20, &listed_error));
	ROW(-EINVAL, fl_snapshot_open(context, "/proc", -1, 0, NULL, &snapshot,
				      &listed_error));
	scene_close(scene);
}

/* Bytes that are nothing of what they are given as. */
void of_other_bytes(void)
{
	static const uint8_t bytes[4096] = { 'n', 'o', 'n', 'e' };
	struct fl_packed_info info = FL_SIZED(info);
	struct fl_module_config config = FL_MODULE_CONFIG_INIT;
	struct fl_page_source *source;
	struct fl_snapshot *snapshot;
	struct fl_context *context;
	struct fl_module *module;
	struct fl_delta *delta;
	struct fl_image *image;
	struct scene all, *scene = &all;

	scene_open(scene, 1);
	context = scene->conform.context;
	config.bytes = bytes;
	config.length_bytes = sizeof(bytes);
	MUST_EQ(fl_page_source_from_bytes(bytes, sizeof(bytes), NULL, NULL,
					  &source, NULL),
		0);
	ROW(-ENOEXEC, fl_module_load(context, &config, &module, &listed_error));
	ROW(-ENOEXEC, fl_image_open(context, "/proc/self/exe", -1, 0, &image,
				    &listed_error));
	ROW(-ENOEXEC, fl_snapshot_open(context, "/proc/self/exe", -1, 0, NULL,
				       &snapshot, &listed_error));
	ROW(-ENOEXEC,
	    fl_image_open_source(context, source, NULL, &image, &listed_error));
	ROW(-ENOEXEC, fl_snapshot_open_source(context, source, NULL, NULL,
					      &snapshot, &listed_error));
	ROW(-ENOEXEC,
	    fl_delta_open(scene->snapshot, bytes, sizeof(bytes), FL_BYTES_COPY,
			  NULL, &delta, &listed_error));
	ROW(test_needs_zstd() ? -ENOTSUP : -ENOEXEC,
	    fl_packed_info(bytes, sizeof(bytes), &info, &listed_error));
	fl_page_source_release(source);
	scene_close(scene);
}

/* --------------------------------------------------------------------- pools */

/* Of pressure files, where the kernel has them. */
static void of_pressure(struct scene *scene)
{
	struct fl_pressure_config config = FL_PRESSURE_CONFIG_INIT;
	struct fl_pool *pool = scene->conform.pool;
	int err;

	config.path = scene->path;
	ROW(test_rung->disable && strstr(test_rung->disable, "pressure") ?
		    -ENOTSUP :
		    -EINVAL,
	    fl_pool_trim_on_pressure(pool, &config, &listed_error));
	err = fl_pool_trim_on_pressure(pool, NULL, NULL);
	if (!err)
		ROW(-EBUSY,
		    fl_pool_trim_on_pressure(pool, NULL, &listed_error));
}

static void of_tunables(struct scene *scene)
{
	struct fl_tunables tunables = FL_TUNABLES_INIT;
	struct fl_pool_config config;
	struct fl_pool *pool;

	conform_pool_config(&config);
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	MUST_EQ(fl_pool_create(scene->conform.context, &config, &pool, NULL),
		0);
	ROW(-ENOTSUP, fl_pool_adjust_tunables(pool, &tunables, &listed_error));
	tunables.size = 1;
	ROW(-EINVAL, fl_pool_adjust_tunables(pool, &tunables, &listed_error));
	CHECK_EQ(fl_pool_destroy(pool), 0);
}

static void of_another_context(struct scene *scene)
{
	static const uint8_t empty[] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };
	struct fl_module_config config = FL_MODULE_CONFIG_INIT;
	struct fl_module *module;

	config.bytes = empty;
	config.length_bytes = sizeof(empty);
	MUST_EQ(fl_module_load(NULL, &config, &module, NULL), 0);
	ROW(-EINVAL,
	    fl_pool_validate(scene->conform.pool, module, &listed_error));
	fl_module_release(module);
	module = module_simple(&scene->conform, 100, 0, NULL);
	ROW(-E2BIG,
	    fl_pool_validate(scene->conform.pool, module, &listed_error));
	fl_module_release(module);
}

void of_pools(void)
{
	struct fl_context_config context_config = FL_CONTEXT_CONFIG_INIT;
	struct fl_pool_config config = FL_POOL_CONFIG_INIT;
	struct fl_feature feature = FL_SIZED(feature);
	struct fl_syscall call = FL_SIZED(call);
	struct fl_metric metric = FL_SIZED(metric);
	struct fl_context *context, *other;
	struct scene all, *scene = &all;
	struct fl_pool *pool;

	scene_open(scene, 1);
	context = scene->conform.context;
	context_config.size = 1;
	ROW(-EINVAL, fl_context_feature(context, UINT32_MAX, &feature));
	ROW(-EINVAL, fl_context_syscall(context, UINT32_MAX, &call));
	ROW(-EINVAL, fl_context_create(&context_config, &other, &listed_error));
	config.memory_stride_bytes = 1;
	ROW(-EINVAL, fl_pool_create(context, &config, &pool, &listed_error));
	ROW(-EINVAL,
	    fl_pool_config_fit(context, NULL, &config, NULL, &listed_error));
	ROW(-EBUSY, fl_pool_destroy(scene->conform.pool));
	ROW(-EINVAL, fl_pool_metric(scene->conform.pool, UINT32_MAX, &metric));
	ROW(-EINVAL, fl_pool_purge(scene->conform.pool, NULL, NULL, NULL));
	of_pressure(scene);
	of_tunables(scene);
	of_another_context(scene);
	scene_close(scene);
}
