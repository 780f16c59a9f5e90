/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * listed.c - errors that faultline.h lists can be had: -EAGAIN and -ETIMEDOUT of a
 * full pool, -ECHILD in a forked child, -ENOEXEC of bytes that are something else,
 * and -EINVAL where no other test asks for that.
 *
 * For the first four the calls are complete: one of which the header lists the code,
 * and which has no row here, is a failure. That calls answer with no other error than
 * those of their lists is looked at by the programs beside this one, which make
 * system calls and allocations fail (-ENOMEM, -EIO, -EPERM).
 */
#include "answers.h"

#include "tests/kit/child.h"
#include "tests/kit/conform_module.h"
#include "tests/kit/page_source.h"

struct scene {
	struct conform conform;
	struct fl_module *module;
	struct fl_instance *instance;
	struct fl_memory *memory;
	struct fl_table *table;
	struct fl_stack *stack;
	struct fl_snapshot *snapshot;
	struct fl_snapshot *parts; /* of the image, by the runtime */
	struct fl_image *image;
	struct fl_delta *delta;
	/* Which calls answered, by their place among the answers. */
	bool has_row[TEST_ARRAY_SIZE(answers)];
};

static void row(struct scene *scene, const char *call, int err, int wanted)
{
	size_t len = strcspn(call, "(");

	if (!CHECK_EQ(err, wanted))
		test_note("%s answers %d", call, err);
	check_answer(call, err);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(answers); i++)
		if (strlen(answers[i].call) == len &&
		    !memcmp(answers[i].call, call, len))
			scene->has_row[i] = true;
}

#define ROW(wanted, call) row(scene, #call, call, wanted)

/* Has each call a row that lists the code? Not those named in others. */
static void check_complete(struct scene *scene, const char *code,
			   const char *others)
{
	char word[40];

	snprintf(word, sizeof(word), " %s ", code);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(answers); i++) {
		if (!strstr(answers[i].codes, word) ||
		    strstr(others, answers[i].call))
			continue;
		if (!CHECK(scene->has_row[i]))
			test_note("%s() lists %s and has no row",
				  answers[i].call, code);
	}
	memset(scene->has_row, 0, sizeof(scene->has_row));
}

/* One slot of each kind, all in use. */
static void scene_open(struct scene *scene)
{
	struct fl_snapshot_config capture;
	struct fl_table_config table;
	struct fl_pool_config config;
	struct fl_delta_config delta;
	struct fl_snapshot_parts parts;
	struct wasm w = { 0 };

	memset(scene, 0, sizeof(*scene));
	conform_pool_config(&config);
	config.max_instances = config.max_stacks = 1;
	config.max_memories = config.max_tables = 2;
	config.max_memory_bytes = WPAGE * 4;
	config.stack_bytes = 64 * KIB;
	conform_open(&scene->conform, &config);
	wasm_header(&w);
	wasm_one_table(&w, 4, WASM_NO_MAX);
	wasm_one_memory(&w, 1, WASM_NO_MAX);
	scene->module = module_load(&scene->conform, &w);
	MUST_EQ(fl_instance_acquire(scene->conform.pool, scene->module, NULL,
				    &scene->instance, NULL),
		0);
	fl_snapshot_config_init(&capture);
	capture.plain_structure = capture.plain_tables = 1;
	MUST_EQ(fl_instance_snapshot(&scene->instance, 1, &capture,
				     &scene->snapshot, NULL),
		0);
	MUST_EQ(fl_instance_release(scene->instance), 0);
	MUST_EQ(fl_snapshot_acquire(scene->conform.pool, scene->snapshot, NULL,
				    &scene->instance, NULL),
		0);
	fl_delta_config_init(&delta);
	delta.snapshot = scene->snapshot;
	delta.capture = &capture;
	MUST_EQ(fl_instance_delta(&scene->instance, 1, &delta, &scene->delta,
				  NULL),
		0);
	scene->image = conform_image(&scene->conform, WPAGE, NULL, 0);
	scene->memory = conform_take(&scene->conform, scene->image, WPAGE);
	fl_snapshot_parts_init(&parts);
	parts.module = scene->module;
	parts.images = &scene->image;
	parts.image_count = 1;
	MUST_EQ(fl_snapshot_create(&parts, &scene->parts, NULL), 0);
	fl_table_config_init(&table);
	table.initial_elements = 4;
	MUST_EQ(fl_table_acquire(scene->conform.pool, &table, &scene->table,
				 NULL),
		0);
	MUST_EQ(fl_stack_acquire(scene->conform.pool, 0, &scene->stack, NULL),
		0);
}

static void scene_close(struct scene *scene)
{
	CHECK_EQ(fl_stack_release(scene->stack), 0);
	CHECK_EQ(fl_table_release(scene->table), 0);
	conform_give(scene->memory);
	CHECK_EQ(fl_instance_release(scene->instance), 0);
	fl_image_release(scene->image);
	fl_delta_release(scene->delta);
	fl_snapshot_release(scene->parts);
	fl_snapshot_release(scene->snapshot);
	fl_module_release(scene->module);
	conform_close(&scene->conform);
}

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
	ROW(wanted, fl_memory_acquire(pool, &memory_config, &memory, NULL));
	ROW(wanted, fl_table_acquire(pool, &table_config, &table, NULL));
	ROW(wanted, fl_stack_acquire(pool, timeout_ns, &stack, NULL));
	ROW(wanted,
	    fl_instance_acquire(pool, module, &config, &instance, NULL));
	ROW(wanted,
	    fl_instance_allocate(pool, module, &config, &instance, NULL));
	ROW(wanted,
	    fl_snapshot_acquire(pool, snapshot, &clones, &instance, NULL));
	ROW(wanted, fl_delta_acquire(pool, delta, &clones, &instance, NULL));
}

static void of_a_full_pool(void)
{
	struct scene scene;

	scene_open(&scene);
	take_all(&scene, 0, -EAGAIN);
	check_complete(&scene, "EAGAIN", "");
	take_all(&scene, 1000, -ETIMEDOUT);
	/* `conform/image_source` has a source that answers too late. */
	check_complete(&scene, "ETIMEDOUT",
		       "fl_image_open_source fl_snapshot_open_source");
	scene_close(&scene);
}

/* ------------------------------------------------------------- what is refused */

/* Those of which no other test asks for -EINVAL. */
static void of_wrong_arguments(void)
{
	struct fl_segment none = { 0, NULL, 3 };
	struct fl_feature feature = { .size = sizeof(feature) };
	struct fl_syscall call = { .size = sizeof(call) };
	struct fl_instance_config config = { .size = 1 };
	const struct fl_instance_config *configs = &config;
	static const uint8_t empty[] = { 0, 'a', 's', 'm', 1, 0, 0, 0 };
	struct fl_module_config module_config;
	struct fl_load_config load = { .size = 1 };
	struct fl_delta_config delta_config = { .size = 1 };
	struct fl_page_source *source;
	struct fl_instance *instance;
	struct fl_snapshot *snapshot;
	struct fl_context *context;
	struct fl_module *module;
	struct fl_delta *delta;
	struct fl_image *image;
	struct fl_pool *pool;
	struct scene all, *scene = &all;

	scene_open(scene);
	context = scene->conform.context;
	pool = scene->conform.pool;
	fl_module_config_init(&module_config);
	module_config.bytes = empty;
	module_config.length_bytes = sizeof(empty);
	MUST_EQ(fl_module_load(NULL, &module_config, &module, NULL), 0);
	MUST_EQ(fl_page_source_from_bytes("abc", 3, NULL, NULL, &source, NULL),
		0);
	ROW(-EINVAL, fl_context_feature(context, UINT32_MAX, &feature));
	ROW(-EINVAL, fl_context_syscall(context, UINT32_MAX, &call));
	ROW(-EINVAL, fl_pool_validate(pool, module, NULL));
	fl_module_release(module);
	module_config.size = 1;
	ROW(-EINVAL, fl_module_load(context, &module_config, &module, NULL));
	ROW(-EINVAL,
	    fl_image_from_segments(context, WPAGE, &none, 1, &image, NULL));
	ROW(-EINVAL, fl_image_write(scene->image, "/proc/none/x", NULL));
	ROW(-EINVAL, fl_image_open(context, "/proc", -1, 0, &image, NULL));
	ROW(-EINVAL, fl_instance_allocate(pool, scene->module, &config,
					  &instance, NULL));
	ROW(-EINVAL, fl_snapshot_write(scene->snapshot, "/proc/none/x", NULL));
	ROW(-EINVAL, fl_snapshot_open_source(context, source, &load, NULL,
					     &snapshot, NULL));
	ROW(-EINVAL, fl_instance_delta(&scene->instance, 1, &delta_config,
				       &delta, NULL));
	ROW(-EINVAL,
	    fl_delta_acquire(pool, scene->delta, &configs, &instance, NULL));
	fl_page_source_release(source);
	scene_close(scene);
}

/* Bytes that are nothing of what they are given as. */
static void of_other_bytes(void)
{
	static const uint8_t bytes[4096] = { 'n', 'o', 'n', 'e' };
	struct fl_packed_info info = { .size = sizeof(info) };
	struct fl_module_config config;
	struct fl_page_source *source;
	struct fl_snapshot *snapshot;
	struct fl_context *context;
	struct fl_module *module;
	struct fl_delta *delta;
	struct fl_image *image;
	struct scene all, *scene = &all;

	scene_open(scene);
	context = scene->conform.context;
	fl_module_config_init(&config);
	config.bytes = bytes;
	config.length_bytes = sizeof(bytes);
	MUST_EQ(fl_page_source_from_bytes(bytes, sizeof(bytes), NULL, NULL,
					  &source, NULL),
		0);
	ROW(-ENOEXEC, fl_module_load(context, &config, &module, NULL));
	ROW(-ENOEXEC,
	    fl_image_open(context, "/proc/self/exe", -1, 0, &image, NULL));
	ROW(-ENOEXEC, fl_snapshot_open(context, "/proc/self/exe", -1, 0, NULL,
				       &snapshot, NULL));
	ROW(-ENOEXEC,
	    fl_image_open_source(context, source, NULL, &image, NULL));
	ROW(-ENOEXEC, fl_snapshot_open_source(context, source, NULL, NULL,
					      &snapshot, NULL));
	ROW(-ENOEXEC, fl_delta_open(scene->snapshot, bytes, sizeof(bytes),
				    FL_BYTES_COPY, NULL, &delta, NULL));
	ROW(test_needs_zstd() ? -ENOTSUP : -ENOEXEC,
	    fl_packed_info(bytes, sizeof(bytes), &info, NULL));
	/* Of a loaded module; `conform/pack` has packed bytes. */
	check_complete(scene, "ENOEXEC",
		       "fl_module_table_type fl_module_global_type "
		       "fl_module_function fl_delta_unpack");
	fl_page_source_release(source);
	scene_close(scene);
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
	ROW(-ECHILD, fl_pool_create(context, &config, &other, NULL));
	ROW(-ECHILD, fl_pool_destroy(pool));
	ROW(-ECHILD, fl_pool_wait_fd(pool, &fd, NULL));
	ROW(-ECHILD, fl_pool_validate(pool, module, NULL));
	ROW(-ECHILD, fl_pool_metric(pool, 0, &metric));
	ROW(-ECHILD, fl_pool_dump_json(pool, &json, &bytes, NULL));
	ROW(-ECHILD, fl_pool_usage(pool, &usage, NULL));
	ROW(-ECHILD, fl_pool_trim(pool, 1, NULL));
	ROW(-ECHILD, fl_pool_purge(pool, module, NULL, NULL));
	ROW(-ECHILD, fl_pool_trim_on_pressure(pool, &pressure, NULL));
	ROW(-ECHILD, fl_pool_config_fit(context, NULL, &config, NULL, NULL));
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
	ROW(-ECHILD, fl_memory_check_growth(memory, 1, NULL));
	ROW(-ECHILD, fl_memory_prefault(memory, 0, WPAGE));
	ROW(-ECHILD, fl_memory_written(memory, 0, NULL, 0, &written, NULL));
	ROW(-ECHILD,
	    fl_memory_apply_segments(memory, module, 0, NULL, &trap, NULL));
	ROW(-ECHILD, fl_image_from_memory(memory, &capture, &image, NULL));
	ROW(-ECHILD, fl_memory_delta(&parts, &taken, NULL));
	ROW(-ECHILD, fl_memory_suspend(&parts, &taken, NULL));
	ROW(-ECHILD, fl_delta_restore_memory(delta, 0, memory, NULL));
	ROW(-ECHILD, fl_memory_release(memory));
	ROW(-ECHILD, fl_image_from_table(table, &capture, &image, NULL));
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
	ROW(-ECHILD, fl_instance_initialise(instance, NULL, NULL));
	ROW(-ECHILD, fl_instance_reset(instance, NULL, NULL));
	ROW(-ECHILD,
	    fl_instance_snapshot(&instance, 1, &capture, &snapshot, NULL));
	ROW(-ECHILD, fl_instance_delta(&instance, 1, &config, &delta, NULL));
	ROW(-ECHILD, fl_instance_suspend(&instance, 1, &config, &delta, NULL));
	ROW(-ECHILD, fl_instance_release(instance));
}

static int child_uses_all(void *arg)
{
	struct scene *scene = arg;

	child_asks_pools(scene);
	child_uses_parts(scene);
	child_uses_instances(scene);
	take_all(scene, 0, -ECHILD);
	check_complete(scene, "ECHILD", "");
	return 0;
}

static void of_a_forked_child(void)
{
	struct scene scene;

	scene_open(&scene);
	conform_check_child(child_uses_all, &scene);
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(of_a_full_pool),
	TEST_CASE(of_wrong_arguments),
	TEST_CASE(of_other_bytes),
	TEST_CASE(of_a_forked_child),
};

CONFORM_MAIN(cases)
