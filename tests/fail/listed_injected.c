/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * listed_injected.c - each call once for each allocation and system call that it
 * makes, which fails: with the error that is usual there, as a filter or a security
 * module would have it fail, and with one that no call gives for a reason known
 * here; that one alone, and all from there on.
 */
#define _GNU_SOURCE
#include "listed.h"

#include "inject.h"

#include <stdlib.h>

/* Which of a function's calls is to fail, and which comes next. */
static uint32_t wanted, next;

static void begin(void)
{
	memset(&listed_error, 0, sizeof(listed_error));
	inject.is_armed = next == wanted;
	next++;
}

/* What cannot be read or synced is -EIO for whatever reason. */
static bool is_access(const char *name)
{
	return strstr(name, "read") || strstr(name, "process_vm") ||
	       strstr(name, "fstat") || strstr(name, "fsync");
}

/* What the system says of a call is what the library says. An allocation fails for
 * want of memory whatever system calls say, and what the system lacks is -ENOTSUP. */
static bool is_same(int err)
{
	return err == -ENOMEM || err == -ENOTSUP ||
	       err == (inject.instead == EPERM ? -EPERM :
		       inject.instead == EXDEV ? -EIO :
						 -ENOMEM) ||
	       (err == -EIO &&
		(inject.is_sticky || is_access(inject.first_failed)));
}

static int end(const char *call, int err)
{
	bool was_armed = inject.is_armed;

	inject.is_armed = false;
	if (was_armed && inject.failed ?
		    err && inject.instead && !CHECK(is_same(err)) :
		    !CHECK(!err || err == -ENOTSUP))
		test_note("%s answers %d: %s", call, err, listed_error.text);
	return listed_note(call, err,
			   strstr(call, "listed_error") ? &listed_error : NULL);
}

#define TRY(call) (begin(), end(#call, call))

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
	(void)__real_syscall(SYS_unlink, scene->new_path);
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

/* What failed may have retired a slot. */
static void settle(struct scene *scene)
{
	CHECK_EQ(fl_pool_trim(scene->conform.pool, UINT64_MAX, NULL), 0);
}

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
	settle(scene);
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
	settle(scene);
}

static void try_memory_grow(struct scene *scene)
{
	struct fl_memory *memory =
		conform_take(&scene->conform, scene->image, 0);

	TRY(fl_memory_check_growth(memory, 1, &listed_error));
	TRY(fl_memory_grow(memory, 1, NULL));
	TRY(fl_memory_prefault(memory, 0, 2 * WPAGE));
	(void)fl_memory_release(memory);
	settle(scene);
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
	settle(scene);
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
	settle(scene);
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
	settle(scene);
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
	settle(scene);
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
	settle(scene);
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
	settle(scene);
	if (!TRY(fl_instance_allocate(pool, scene->module, &config, &instance,
				      &listed_error))) {
		TRY(fl_instance_initialise(instance, &config, &listed_error));
		TRY(fl_instance_release(instance));
	}
	settle(scene);
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
	settle(scene);
	if (!TRY(fl_delta_acquire(pool, scene->delta, &clones, &instance,
				  &listed_error)))
		(void)fl_instance_release(instance);
	settle(scene);
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
	settle(scene);
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
	settle(scene);
	memory = conform_take(&scene->conform, scene->image, 0);
	TRY(fl_delta_restore_memory(scene->parts_delta, 0, memory,
				    &listed_error));
	(void)fl_memory_release(memory);
	settle(scene);
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

/* -------------------------------------------------------------------- sweep */

/* Where each of them is tried. */
enum where {
	EVERYWHERE,
	ONCE, /* on the first rung: the backend has no part in it */
	SLOW, /* everywhere, and only one call fails at a time, with its error */
};

static const struct {
	void (*fn)(struct scene *scene);
	enum where where;
} tries[] = {
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
	{ try_instance, EVERYWHERE },
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
};

/* Until there are fewer to fail. Are there as many calls of the library? */
static bool sweep(struct scene *scene, void (*fn)(struct scene *scene),
		  bool is_sticky, int instead)
{
	bool has_call = true;

	for (uint64_t at = 1; has_call && at < 1000; at++) {
		memset(&inject, 0, sizeof(inject));
		inject.is_of_thread = true;
		inject.is_sticky = is_sticky;
		inject.instead = instead;
		inject.fail_at = at;
		next = 0;
		fn(scene);
		has_call = next > wanted;
		if (test_has_failed()) {
			test_note("%s%s failed, the %jus in the %ju. call",
				  inject.first_failed,
				  is_sticky ? " and all" : "", (uintmax_t)at,
				  (uintmax_t)wanted + 1);
			return false;
		}
		if (!inject.failed)
			break;
	}
	return has_call;
}

static const struct {
	int instead;
	bool is_sticky;
} modes[] = { { 0, false },	{ 0, true },	 { ENOMEM, false },
	      { EPERM, false }, { EPERM, true }, { EXDEV, false },
	      { EXDEV, true } };

static void sweep_all(struct scene *scene, size_t idx)
{
	size_t count = tries[idx].where == SLOW ? 1 : TEST_ARRAY_SIZE(modes);
	bool has_call = true;

	for (wanted = 0; has_call; wanted++)
		for (size_t i = 0; i < count && has_call; i++)
			has_call = sweep(scene, tries[idx].fn,
					 modes[i].is_sticky, modes[i].instead);
}

void of_calls_that_fail(void)
{
	struct scene scene;

	inject_is_here = true;
	scene_open(&scene, 4);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(tries); i++)
		if (tries[i].where != ONCE ||
		    !strcmp(test_rung->name, conform_rungs[0].name))
			sweep_all(&scene, i);
	scene_close(&scene);
}

/* A reset that drops nothing, and an audit after it. */
void of_a_kernel_that_lies(void)
{
	struct fl_table_config table_config = FL_TABLE_CONFIG_INIT;
	struct fl_pool_config config;
	struct fl_instance *instance;
	struct fl_memory *memory;
	struct conform conform;
	struct fl_module *module;
	struct fl_table *table;

	if (strcmp(test_rung->how, "dontneed"))
		return;
	conform_pool_config(&config);
	config.max_tables = 2;
	config.audit_every = 1;
	conform_open(&conform, &config);
	module = module_simple(&conform, 1, 0, "abc");
	table_config.initial_elements = 4;
	instance = instance_start(&conform, module);
	memory = conform_take(&conform, NULL, WPAGE);
	MUST_EQ(fl_table_acquire(conform.pool, &table_config, &table, NULL), 0);
	fl_instance_memory(instance, 0)->base[7] = 1;
	memory->base[7] = 1;
	memset(table->base, 1, 8);
	inject.lies = true;
	ROW(-EIO, fl_instance_release(instance));
	ROW(-EIO, fl_memory_release(memory));
	ROW(-EIO, fl_table_release(table));
	inject.lies = false;
	fl_module_release(module);
	conform_close(&conform);
}
