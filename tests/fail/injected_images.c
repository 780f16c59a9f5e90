/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * injected_images.c - calls that are to fail inside: of contexts, modules, images and page sources.
 */
#define _GNU_SOURCE
#include "injected.h"

/* ----------------------------------------------------------------- contexts */

static void try_context_create(struct scene *scene)
{
	struct fl_context_config config = FL_CONTEXT_CONFIG_INIT;
	struct fl_context *context;

	(void)scene;
	config.backend = test_rung->backend;
	if (!TRY(fl_context_create(&config, &context, &listed_error)))
		fl_context_destroy(context);
}

/* ------------------------------------------------------------------ modules */

static void build_other(struct wasm *w)
{
	wasm_header(w);
	wasm_one_table(w, 4, WASM_NO_MAX);
	wasm_one_memory(w, 2, WASM_NO_MAX);
	wasm_section_bytes(w, WASM_GLOBAL, 1, 0x7f, 1, 0x41, 0, 0x0b);
	wasm_one_data(w, 70000, "other", 5);
}

static void try_module_load(struct scene *scene)
{
	struct fl_module_config config = FL_MODULE_CONFIG_INIT;
	struct fl_module *module;
	struct wasm w = { 0 };

	build_other(&w);
	config.bytes = w.bytes;
	config.length_bytes = w.length;
	if (!TRY(fl_module_load(scene->conform.context, &config, &module,
				&listed_error)))
		fl_module_release(module);
	wasm_free(&w);
}

/* The first question walks through the code. */
static struct fl_module *not_asked_yet(struct scene *scene)
{
	struct wasm_parts parts = { 0 };
	struct wasm w = { 0 };

	wasm_add_table(&parts, 4, 8);
	wasm_bytes(wasm_add(&parts, WASM_GLOBAL), 0x7f, 1, 0x41, 0, 0x0b);
	wasm_import_funcs(&parts, 1);
	wasm_parts_build(&parts, &w);
	return module_load(&scene->conform, &w);
}

static void try_module_table_type(struct scene *scene)
{
	struct fl_table_type type = { .size = sizeof(type) };
	struct fl_module *module = not_asked_yet(scene);

	TRY(fl_module_table_type(module, 0, &type));
	fl_module_release(module);
}

static void try_module_global_type(struct scene *scene)
{
	struct fl_global_type type = { .size = sizeof(type) };
	struct fl_module *module = not_asked_yet(scene);

	TRY(fl_module_global_type(module, 0, &type));
	fl_module_release(module);
}

static void try_module_function(struct scene *scene)
{
	struct fl_function function = { .size = sizeof(function) };
	struct fl_module *module = not_asked_yet(scene);

	TRY(fl_module_function(module, 0, &function));
	fl_module_release(module);
}

static void try_module_questions(struct scene *scene)
{
	struct fl_memory_type memory = { .size = sizeof(memory) };
	struct fl_element_segment segment = { .size = sizeof(segment) };
	struct fl_element elements[2];

	TRY(fl_module_memory_type(scene->module, 0, &memory));
	TRY(fl_module_element_segment(scene->module, 0, &segment));
	TRY(fl_module_read_elements(scene->module, 0, 0, 2, elements));
}

static void try_module_write(struct scene *scene)
{
	struct fl_module *module;
	struct fl_state_export exports[8];
	struct wasm w = { 0 };
	uint64_t len;
	uint32_t count;
	void *bytes;

	wasm_header(&w);
	wasm_one_memory(&w, 2, WASM_NO_MAX);
	wasm_one_data(&w, 70000, "other", 5);
	module = module_load(&scene->conform, &w);
	if (!TRY(fl_module_write_data_free(module, &bytes, &len, NULL,
					   &listed_error)))
		fl_bytes_free(bytes);
	TRY(fl_module_state_exports(module, exports, 8, &count, &listed_error));
	if (!TRY(fl_module_write_state_exports(module, &bytes, &len, NULL,
					       &listed_error)))
		fl_bytes_free(bytes);
	if (!TRY(fl_module_write_resumable(module, &bytes, &len, NULL,
					   &listed_error)))
		fl_bytes_free(bytes);
	fl_module_release(module);
}

static void try_module_exports(struct scene *scene)
{
	struct fl_module *module = not_asked_yet(scene);
	struct fl_state_export exports[8];
	uint32_t count;

	TRY(fl_module_state_exports(module, exports, 8, &count, &listed_error));
	fl_module_release(module);
}

static void try_module_resumable(struct scene *scene)
{
	struct fl_module *module;
	struct wasm w = { 0 };
	uint64_t len;
	void *bytes;

	wasm_header(&w);
	wasm_one_memory(&w, 2, WASM_NO_MAX);
	module = module_load(&scene->conform, &w);
	if (!TRY(fl_module_write_resumable(module, &bytes, &len, NULL,
					   &listed_error)))
		fl_bytes_free(bytes);
	fl_module_release(module);
	wasm_header(&w);
	wasm_one_memory(&w, 2, WASM_NO_MAX);
	module = module_load(&scene->conform, &w);
	if (!TRY(fl_module_write_state_exports(module, &bytes, &len, NULL,
					       &listed_error)))
		fl_bytes_free(bytes);
	fl_module_release(module);
}

/* ------------------------------------------------------------------- images */

static void try_image_from(struct scene *scene)
{
	struct fl_segment segment = { WPAGE, "abc", 3 };
	struct fl_image_config config = FL_IMAGE_CONFIG_INIT;
	struct fl_context *context = scene->conform.context;
	struct fl_image *image;

	config.initial_bytes = 3 * WPAGE;
	if (!TRY(fl_image_from_module(context, scene->module, 0, &config,
				      &image, &listed_error)))
		fl_image_release(image);
	if (!TRY(fl_image_from_segments(context, 2 * WPAGE, &segment, 1, &image,
					&listed_error)))
		fl_image_release(image);
}

static void try_image_read(struct scene *scene)
{
	char bytes[8];

	TRY(fl_image_read(scene->image, 0, bytes, 8));
}

static void try_image_write(struct scene *scene)
{
	TRY(fl_image_write(scene->image, scene->new_path, &listed_error));
	(void)unlink(scene->new_path);
	TRY(fl_image_write_as(scene->image, scene->new_path, 0, &listed_error));
	TRY(fl_image_write_as(scene->image, scene->new_path, FL_WRITE_ZSTD,
			      &listed_error));
}

static void try_image_open(struct scene *scene)
{
	struct fl_context *context = scene->conform.context;
	struct fl_image *image;

	if (!TRY(fl_image_open(context, scene->path, -1, 0, &image,
			       &listed_error)))
		fl_image_release(image);
	if (!TRY(fl_image_open(context, scene->path, -1, FL_OPEN_IN_PLACE,
			       &image, &listed_error)))
		fl_image_release(image);
}

static void try_image_digest(struct scene *scene)
{
	struct fl_segment segment = { WPAGE, "abc", 3 };
	struct fl_image *image;
	uint8_t digest[32];

	image = conform_image(&scene->conform, 2 * WPAGE, &segment, 1);
	TRY(fl_image_digest(image, digest, &listed_error));
	fl_image_release(image);
}

/* ------------------------------------------------------------------ sources */

static int64_t read_nothing(void *user, const struct fl_page_read *read)
{
	(void)user;
	(void)read;
	return 0;
}

static void try_page_source(struct scene *scene)
{
	struct fl_page_source_config config = FL_PAGE_SOURCE_CONFIG_INIT;
	struct fl_page_source *source;

	config.length_bytes = 100;
	config.read = read_nothing;
	if (!TRY(fl_page_source_create(&config, &source, &listed_error)))
		fl_page_source_release(source);
	if (!TRY(fl_page_source_from_file(scene->path, -1, &source,
					  &listed_error)))
		fl_page_source_release(source);
	if (!TRY(fl_page_source_from_bytes("abc", 3, NULL, NULL, &source,
					   &listed_error)))
		fl_page_source_release(source);
}

static struct fl_page_source *source_of(struct test_file file)
{
	struct fl_page_source *source;

	MUST_EQ(fl_page_source_from_bytes(file.bytes, file.len, NULL, NULL,
					  &source, NULL),
		0);
	return source;
}

static void open_source_by(struct scene *scene, enum fl_load_way way)
{
	struct fl_load_config config = FL_LOAD_CONFIG_INIT;
	struct fl_context *context = scene->conform.context;
	struct fl_page_source *source;
	struct fl_snapshot *snapshot;
	struct fl_image *image;

	config.way = way;
	source = source_of(scene->file);
	if (!TRY(fl_image_open_source(context, source, &config, &image,
				      &listed_error)))
		fl_image_release(image);
	fl_page_source_release(source);
	source = source_of(scene->snapshot_file);
	if (!TRY(fl_snapshot_open_source(context, source, &config, NULL,
					 &snapshot, &listed_error)))
		fl_snapshot_release(snapshot);
	fl_page_source_release(source);
}

static void try_open_source(struct scene *scene)
{
	open_source_by(scene, FL_LOAD_WHOLE);
}

/* The first of them starts the threads that load, which takes a while. */
static void try_loader_start(struct scene *scene)
{
	struct fl_page_source *source = source_of(scene->file);
	struct fl_load_config config = FL_LOAD_CONFIG_INIT;
	struct fl_image *image;

	config.way = FL_LOAD_LAZY;
	if (!TRY(fl_image_open_source(scene->conform.context, source, &config,
				      &image, &listed_error)))
		fl_image_release(image);
	fl_page_source_release(source);
}

static void try_open_source_file(struct scene *scene)
{
	struct fl_load_config config = FL_LOAD_CONFIG_INIT;
	struct fl_page_source *source;
	struct fl_image *image;

	config.open_flags = FL_OPEN_IN_PLACE;
	MUST_EQ(fl_page_source_from_file(scene->path, -1, &source, NULL), 0);
	if (!TRY(fl_image_open_source(scene->conform.context, source, &config,
				      &image, &listed_error)))
		fl_image_release(image);
	fl_page_source_release(source);
}

static void try_working_set(struct scene *scene)
{
	struct fl_load_config config = FL_LOAD_CONFIG_INIT;
	struct fl_page_source *source;
	struct fl_image *image;

	config.way = FL_LOAD_IN_PLACE;
	config.open_flags = FL_OPEN_IN_PLACE | FL_OPEN_UNCHECKED;
	MUST_EQ(fl_page_source_from_file(scene->path, -1, &source, NULL), 0);
	if (fl_image_open_source(scene->conform.context, source, &config,
				 &image, NULL) == 0) {
		TRY(fl_image_write_working_set(image, scene->new_path,
					       &listed_error));
		fl_image_release(image);
	}
	fl_page_source_release(source);
}

const struct injected_try injected_images[] = {
	{ try_context_create, EVERYWHERE },
	{ try_module_load, EVERYWHERE },
	{ try_module_table_type, ONCE },
	{ try_module_global_type, ONCE },
	{ try_module_function, ONCE },
	{ try_module_questions, ONCE },
	{ try_module_write, ONCE },
	{ try_module_exports, ONCE },
	{ try_module_resumable, ONCE },
	{ try_image_from, EVERYWHERE },
	{ try_image_read, ONCE },
	{ try_image_write, ONCE },
	{ try_image_open, EVERYWHERE },
	{ try_image_digest, ONCE },
	{ try_page_source, ONCE },
	{ try_open_source, EVERYWHERE },
	{ try_loader_start, SLOW },
	{ try_open_source_file, EVERYWHERE },
	{ try_working_set, ONCE },
	{ NULL, EVERYWHERE },
};
