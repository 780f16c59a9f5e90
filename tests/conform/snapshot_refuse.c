/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot_refuse.c - what a capture and what a clone refuse, each with its
 * code, a sentence, and nothing held; and what only looks as if it had to be
 * refused: older and newer structs, another pool, another allocation.
 */
#define _GNU_SOURCE
#include "runtime.h"

#include "tests/kit/child.h"

#include <stdlib.h>

#define STRUCTURE_BYTES 64

/* What encode_elements and encode_state do. */
struct how {
	uint64_t value; /* 0: the element itself */
	uint64_t first_bytes, second_bytes; /* of the state */
	int err;
	uint8_t seen; /* of the state that was decoded last */
	uint64_t seen_bytes;
	unsigned int encoded, decoded; /* elements */
};

struct scene {
	struct runtime rt;
	struct how how;
	struct fl_snapshot_config capture;
	struct fl_instance_config clone;
	struct fl_instance *instance;
	struct fl_snapshot *snapshot;
	struct fl_error error;
};

static int encode_elements(void *user, struct fl_instance *instance,
			   uint32_t table_idx, uint64_t first_idx,
			   const void *elements, uint64_t count,
			   uint64_t *values)
{
	struct how *how = user;

	(void)instance;
	(void)table_idx;
	(void)first_idx;
	memcpy(values, elements, count * 8);
	for (uint64_t i = 0; how->value && i < count; i++)
		values[i] = how->value;
	how->encoded += (unsigned int)count;
	return how->err;
}

static int encode_state(void *user, struct fl_instance *instance, void *buffer,
			uint64_t *length_bytes)
{
	struct how *how = user;

	(void)instance;
	*length_bytes = buffer ? how->second_bytes : how->first_bytes;
	if (buffer && how->first_bytes)
		memset(buffer, 's',
		       how->first_bytes < how->second_bytes ?
			       how->first_bytes :
			       how->second_bytes);
	return how->err;
}

static int decode_elements(void *user, struct fl_instance *instance,
			   uint32_t table_idx, uint64_t first_idx,
			   const uint64_t *values, uint64_t count,
			   void *elements)
{
	struct how *how = user;
	struct fl_table *table = fl_instance_table(instance, table_idx);

	CHECK(first_idx + count <= fl_table_size(table));
	memcpy(elements, values, count * 8);
	how->decoded += (unsigned int)count;
	return 0;
}

static int decode_state(void *user, struct fl_instance *instance,
			const void *bytes, uint64_t length_bytes)
{
	struct how *how = user;

	(void)instance;
	how->seen_bytes = length_bytes;
	how->seen = length_bytes ? *(const uint8_t *)bytes : 0;
	return 0;
}

/* ---------------------------------------------------------------- the scene */

static void scene_pool_config(struct fl_pool_config *pool)
{
	runtime_pool_config(pool);
	pool->max_instances = 4;
	pool->max_memories = 8;
	pool->max_memories_per_instance = 2;
	pool->instance_bytes = STRUCTURE_BYTES;
}

static void scene_configs(struct scene *scene)
{
	fl_instance_config_init(&scene->rt.config);
	scene->rt.config.user = &scene->how;
	fl_snapshot_config_init(&scene->capture);
	scene->capture.user = &scene->how;
	scene->capture.encode_elements = encode_elements;
	scene->capture.plain_structure = 1;
	scene->clone = scene->rt.config;
	scene->clone.decode_elements = decode_elements;
	scene->clone.decode_state = decode_state;
}

static void scene_open_with(struct scene *scene,
			    const struct fl_pool_config *pool)
{
	memset(scene, 0, sizeof(*scene));
	runtime_open_with(&scene->rt, pool);
	scene_configs(scene);
}

/* Two memories, a table of 10 nulls, a passive segment. */
static void scene_load(struct scene *scene)
{
	wasm_import_funcs(&scene->rt.parts, 2);
	wasm_add_memory(&scene->rt.parts, 2);
	wasm_add_memory(&scene->rt.parts, 1);
	wasm_add_data(&scene->rt.parts, 100, "initial");
	wasm_add_table(&scene->rt.parts, 10, 100);
	wasm_add_passive(&scene->rt.parts, 0, 2);
	runtime_load(&scene->rt);
}

static void scene_start(struct scene *scene)
{
	scene->instance = runtime_start(&scene->rt);
	memcpy(fl_instance_memory(scene->instance, 0)->base + WPAGE, "started",
	       7);
	if (fl_instance_structure(scene->instance))
		memset(fl_instance_structure(scene->instance), 0xee,
		       STRUCTURE_BYTES);
}

static void scene_open(struct scene *scene)
{
	struct fl_pool_config pool;

	scene_pool_config(&pool);
	scene_open_with(scene, &pool);
	scene_load(scene);
	scene_start(scene);
}

static void scene_set(struct scene *scene, uint64_t idx, uint64_t element)
{
	CHECK_EQ(fl_table_set(fl_instance_table(scene->instance, 0), idx,
			      &element),
		 FL_TRAP_NONE);
}

static void scene_close(struct scene *scene)
{
	if (scene->instance)
		instance_stop(scene->instance);
	fl_snapshot_release(scene->snapshot);
	runtime_close(&scene->rt);
}

static int try_capture(struct scene *scene,
		       const struct fl_snapshot_config *config)
{
	struct fl_snapshot *snapshot = NULL;
	int err;

	scene->error = (struct fl_error){ .text = "" };
	err = fl_instance_snapshot(&scene->instance, 1, config, &snapshot,
				   &scene->error);
	CHECK((snapshot != NULL) == !err);
	if (err) {
		CHECK_EQ(scene->error.code, err);
		CHECK(scene->error.text[0] != '\0');
		CHECK(strcmp(fl_strerror(err), "unknown error"));
	} else {
		fl_snapshot_release(scene->snapshot);
		scene->snapshot = snapshot;
		scene->clone.snapshot = snapshot;
	}
	return err;
}

static void capture(struct scene *scene)
{
	CONFORM_MUST(try_capture(scene, &scene->capture), &scene->error);
}

/* A clone in a pool with that module. The caller releases the clone. */
static int try_clone(struct scene *scene, struct fl_pool *pool,
		     struct fl_module *module, struct fl_instance **clone)
{
	struct fl_pool_info before = { .size = sizeof(before) }, after = before;
	int err;

	*clone = NULL;
	scene->error = (struct fl_error){ .text = "" };
	fl_pool_info(pool, &before);
	err = fl_instance_acquire(pool, module, &scene->clone, clone,
				  &scene->error);
	CHECK((*clone != NULL) == !err);
	if (!err)
		return 0;
	fl_pool_info(pool, &after);
	CHECK_EQ(after.live_memories, before.live_memories);
	CHECK_EQ(after.live_tables, before.live_tables);
	CHECK_EQ(after.live_instances, before.live_instances);
	CHECK_EQ(scene->error.code, err);
	CHECK(scene->error.text[0] != '\0');
	CHECK(strcmp(fl_strerror(err), "unknown error"));
	return err;
}

static void check_clone(struct fl_instance *clone)
{
	struct fl_memory *memory = fl_instance_memory(clone, 0);

	check_text(memory, 100, "initial");
	check_text(memory, WPAGE, "started");
	CHECK_EQ(conform_first_data(memory->base, 100), 100);
	CHECK_EQ(conform_first_data(memory->base + WPAGE + 7, WPAGE - 7),
		 WPAGE - 7);
	conform_check_zero(fl_instance_memory(clone, 1));
}

/* The scene's pool clones what was captured last. */
static void check_clones(struct scene *scene)
{
	struct fl_instance *clone;

	CONFORM_MUST(try_clone(scene, scene->rt.conform.pool, scene->rt.module,
			       &clone),
		     &scene->error);
	check_clone(clone);
	instance_stop(clone);
}

static void clone_fails(struct scene *scene, struct fl_pool *pool,
			struct fl_module *module, int code)
{
	struct fl_instance *clone;

	CHECK_EQ(try_clone(scene, pool, module, &clone), code);
	if (clone)
		instance_stop(clone);
}

/* ----------------------------------------------------- captures: instances */

static void no_instance_to_capture(void)
{
	struct fl_instance *instances[2] = { NULL, NULL };
	struct fl_snapshot *none = NULL;
	struct fl_error error = { .text = "" };
	struct scene scene;

	scene_open(&scene);
	CHECK_EQ(fl_instance_snapshot(instances, 0, NULL, &none, &error),
		 -EINVAL);
	CHECK_EQ(fl_instance_snapshot(instances, 1, NULL, &none, &error),
		 -EINVAL);
	instances[0] = scene.instance;
	CHECK_EQ(fl_instance_snapshot(instances, 2, NULL, &none, &error),
		 -EINVAL);
	CHECK(error.text[0] != '\0');
	CHECK(none == NULL);
	/* The slot stays in the pool, and nothing lives there. */
	instance_stop(scene.instance);
	CHECK_EQ(try_capture(&scene, &scene.capture), -EINVAL);
	scene.instance = NULL;
	scene_close(&scene);
}

/* On demand the slot has gone. */
static void released_instance_on_demand(void)
{
	struct fl_pool_config pool;
	struct scene scene;

	scene_pool_config(&pool);
	pool.allocation = FL_ALLOCATION_ON_DEMAND;
	scene_open_with(&scene, &pool);
	scene_load(&scene);
	scene_start(&scene);
	instance_stop(scene.instance);
	CHECK_EQ(try_capture(&scene, &scene.capture), -EINVAL);
	scene.instance = NULL;
	scene_close(&scene);
}

static void lent_memory(void)
{
	struct scene scene;

	for (uint32_t i = 0; i < 2; i++) {
		scene_open(&scene);
		CHECK_EQ(fl_memory_lend(fl_instance_memory(scene.instance, i)),
			 0);
		CHECK_EQ(try_capture(&scene, &scene.capture), -ENOTSUP);
		CHECK_HAS(scene.error.text, "lent");
		scene_close(&scene);
	}
}

/* One shared memory of a wpage. */
static void scene_load_shared(struct scene *scene)
{
	wasm_limits(wasm_add(&scene->rt.parts, WASM_MEMORY), 3, 1, 4);
	runtime_load(&scene->rt);
	scene->instance = runtime_start(&scene->rt);
}

static void shared_memory(void)
{
	struct fl_pool_config pool;
	struct fl_instance *clone;
	struct scene scene;

	scene_pool_config(&pool);
	scene_open_with(&scene, &pool);
	scene_load_shared(&scene);
	memcpy(fl_instance_memory(scene.instance, 0)->base + 9, "shared", 6);
	CHECK_EQ(try_capture(&scene, &scene.capture), -ENOTSUP);
	CHECK_HAS(scene.error.text, "shared");
	CHECK_EQ(try_capture(&scene, NULL), -ENOTSUP);
	scene.capture.is_quiet = 1;
	capture(&scene);
	CONFORM_MUST(try_clone(&scene, scene.rt.conform.pool, scene.rt.module,
			       &clone),
		     &scene.error);
	check_text(fl_instance_memory(clone, 0), 9, "shared");
	CHECK_EQ(fl_memory_grow(fl_instance_memory(clone, 0), 3, NULL), 0);
	CHECK_EQ(fl_memory_grow(fl_instance_memory(clone, 0), 1, NULL), -E2BIG);
	instance_stop(clone);
	scene_close(&scene);
}

/* What may hold pointers is not taken as bytes by mistake. */
static void structure_without_an_encoder(void)
{
	struct scene scene;

	scene_open(&scene);
	CHECK_EQ(try_capture(&scene, NULL), -ENOTSUP);
	CHECK_HAS(scene.error.text, "structure");
	scene.capture.plain_structure = 0;
	CHECK_EQ(try_capture(&scene, &scene.capture), -ENOTSUP);
	scene.capture.encode_state = encode_state;
	capture(&scene);
	check_clones(&scene);
	scene_close(&scene);
}

/* Nulls are no references; one reference is. */
static void references_without_an_encoder(void)
{
	struct fl_pool_config pool;
	struct scene scene;

	scene_pool_config(&pool);
	pool.instance_bytes = 0;
	scene_open_with(&scene, &pool);
	scene_load(&scene);
	scene_start(&scene);
	CHECK_EQ(try_capture(&scene, NULL), 0);
	check_clones(&scene);
	scene_set(&scene, 9, FUNC(1));
	CHECK_EQ(try_capture(&scene, NULL), -ENOTSUP);
	CHECK_HAS(scene.error.text, "encode_elements");
	scene.capture.encode_elements = NULL;
	CHECK_EQ(try_capture(&scene, &scene.capture), -ENOTSUP);
	scene_set(&scene, 9, runtime_null);
	CHECK_EQ(try_capture(&scene, NULL), 0);
	scene_close(&scene);
}

/* ------------------------------------------------------- captures: encoders */

static void encoder_that_gives_null(void)
{
	struct scene scene;

	scene_open(&scene);
	scene_set(&scene, 3, FUNC(1));
	scene_set(&scene, 4, FUNC(1));
	scene.how.value = UINT64_MAX;
	CHECK_EQ(try_capture(&scene, &scene.capture), -EINVAL);
	CHECK_HAS(scene.error.text, "encode_elements");
	scene.how.value = UINT64_MAX - 1;
	CHECK_EQ(try_capture(&scene, &scene.capture), 0);
	scene_close(&scene);
}

static void encoder_of_nothing_is_not_called(void)
{
	struct scene scene;

	scene_open(&scene);
	capture(&scene);
	CHECK_EQ(scene.how.encoded, 0);
	/* And so there is nothing to decode. */
	scene.clone.decode_elements = NULL;
	check_clones(&scene);
	scene_set(&scene, 0, FUNC(0));
	scene_set(&scene, 9, FUNC(0));
	capture(&scene);
	CHECK_EQ(scene.how.encoded, 2);
	scene.clone.decode_elements = decode_elements;
	check_clones(&scene);
	CHECK_EQ(scene.how.decoded, 2);
	scene_close(&scene);
}

static void encoder_that_wants_more(void)
{
	struct scene scene;

	scene_open(&scene);
	scene.capture.encode_state = encode_state;
	scene.how.first_bytes = 10;
	scene.how.second_bytes = 11;
	CHECK_EQ(try_capture(&scene, &scene.capture), -EINVAL);
	CHECK_HAS(scene.error.text, "encode_state");
	scene.how.second_bytes = UINT64_MAX;
	CHECK_EQ(try_capture(&scene, &scene.capture), -EINVAL);
	scene.how.first_bytes = 0;
	scene.how.second_bytes = 0;
	capture(&scene);
	check_clones(&scene);
	CHECK_EQ(scene.how.seen_bytes, 0);
	scene.how.first_bytes = scene.how.second_bytes = 70000;
	capture(&scene);
	check_clones(&scene);
	CHECK_EQ(scene.how.seen_bytes, 70000);
	CHECK_EQ(scene.how.seen, 's');
	scene_close(&scene);
}

/* No byte that the encoder did not give is anybody's state. */
static void encoder_that_gives_less(void)
{
	uint64_t length = 99;
	struct scene scene;

	scene_open(&scene);
	scene.capture.encode_state = encode_state;
	scene.how.first_bytes = 10;
	scene.how.second_bytes = 4;
	if (!try_capture(&scene, &scene.capture)) {
		CHECK(fl_snapshot_state(scene.snapshot, 0, &length) != NULL);
		CHECK_EQ(length, 4);
		check_clones(&scene);
		CHECK_EQ(scene.how.seen_bytes, 4);
	} else {
		CHECK_EQ(scene.error.code, -EINVAL);
	}
	scene_close(&scene);
}

static void encoder_that_wants_all_there_is(void)
{
	static const uint64_t lengths[] = { UINT64_MAX, UINT64_MAX - 7,
					    1ull << 62, 1ull << 63 };
	struct scene scene;

	scene_open(&scene);
	scene.capture.encode_state = encode_state;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(lengths); i++) {
		int err;

		scene.how.first_bytes = scene.how.second_bytes = lengths[i];
		err = try_capture(&scene, &scene.capture);
		CHECK(err == -E2BIG || err == -ENOMEM || err == -EINVAL);
	}
	scene_close(&scene);
}

/* Codes of the closed set as they are, others as -EIO. */
static void encoder_that_fails(void)
{
	static const struct {
		int gives, becomes;
	} codes[] = { { -EPERM, -EPERM },   { -ENOTSUP, -ENOTSUP },
		      { -ENOMEM, -ENOMEM }, { -EXDEV, -EIO },
		      { 1, -EIO },	    { INT32_MIN, -EIO },
		      { -EAGAIN, -EAGAIN } };
	struct scene scene;

	scene_open(&scene);
	scene_set(&scene, 1, FUNC(0));
	for (size_t i = 0; i < 2 * TEST_ARRAY_SIZE(codes); i++) {
		if (i % 2)
			scene.capture.encode_state = encode_state;
		scene.capture.encode_elements = i % 2 ? NULL : encode_elements;
		scene.capture.plain_tables = i % 2;
		scene.how.err = codes[i / 2].gives;
		CHECK_EQ(try_capture(&scene, &scene.capture),
			 codes[i / 2].becomes);
		scene.capture.encode_state = NULL;
	}
	scene.how.err = 0;
	capture(&scene);
	check_clones(&scene);
	scene_close(&scene);
}

/* ------------------------------------------------------- captures: structs */

static void encodings_by_length(void)
{
	struct fl_snapshot_info info = { .size = sizeof(info) };
	struct scene scene;
	char name[300];
	int err;

	scene_open(&scene);
	capture(&scene);
	fl_snapshot_info(scene.snapshot, &info);
	CHECK(info.encoding && !strcmp(info.encoding, ""));
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	scene.capture.encoding = name;
	capture(&scene);
	name[254] = 'x';
	fl_snapshot_info(scene.snapshot, &info);
	CHECK_EQ(strlen(info.encoding), 255);
	CHECK_EQ(info.encoding[254], 'n');
	name[255] = 'n';
	name[256] = '\0';
	err = try_capture(&scene, &scene.capture);
	CHECK(err == -EINVAL || err == -E2BIG);
	CHECK_HAS(scene.error.text, "encoding");
	scene_close(&scene);
}

static void older_and_newer_configs(void)
{
	struct fl_snapshot_config newer[2];
	uint8_t *tail = (uint8_t *)&newer[1];
	struct scene scene;

	scene_open(&scene);
	scene.capture.plain_tables = 1;
	scene.capture.encode_state = encode_state;
	scene.how.err = -EPERM;
	/* What an older caller does not know is not looked at. */
	scene.capture.size = offsetof(struct fl_snapshot_config, encode_state);
	capture(&scene);
	check_clones(&scene);
	scene.capture.size = offsetof(struct fl_snapshot_config, plain_tables);
	CHECK_EQ(try_capture(&scene, &scene.capture), -ENOTSUP);
	scene.capture.size = sizeof(scene.capture);
	CHECK_EQ(try_capture(&scene, &scene.capture), -EPERM);
	scene.how.err = 0;
	scene.how.first_bytes = scene.how.second_bytes = 3;
	memset(newer, 0, sizeof(newer));
	newer[0] = scene.capture;
	newer[0].size = sizeof(newer);
	CHECK_EQ(try_capture(&scene, newer), 0);
	tail[sizeof(newer[1]) - 1] = 1;
	CHECK_EQ(try_capture(&scene, newer), -EINVAL);
	scene.capture.size = 0;
	CHECK_EQ(try_capture(&scene, &scene.capture), -EINVAL);
	scene_close(&scene);
}

/* An instance config that ends before the snapshot makes no clone. */
static void older_instance_config(void)
{
	struct fl_snapshot_info info = {
		.size = offsetof(struct fl_snapshot_info, stored_bytes),
		.stored_bytes = 77,
		.state_bytes = 78,
	};
	struct fl_instance *clone;
	struct scene scene;

	scene_open(&scene);
	capture(&scene);
	fl_snapshot_info(scene.snapshot, &info);
	CHECK_EQ(info.instance_count, 1);
	CHECK_EQ(info.stored_bytes, 77);
	CHECK_EQ(info.state_bytes, 78);
	scene.clone.size = offsetof(struct fl_instance_config, snapshot);
	CONFORM_MUST(try_clone(&scene, scene.rt.conform.pool, scene.rt.module,
			       &clone),
		     &scene.error);
	check_text(fl_instance_memory(clone, 0), 100, "initial");
	CHECK_EQ(fl_instance_memory(clone, 0)->base[WPAGE], 0);
	instance_stop(clone);
	scene_close(&scene);
}

/* A newer one does, as long as what it has more is zero. */
static void newer_instance_config(void)
{
	struct fl_instance_config newer[2];
	const struct fl_instance_config *configs[1] = { newer };
	uint8_t *tail = (uint8_t *)&newer[1];
	struct fl_instance *clone = NULL;
	struct scene scene;

	scene_open(&scene);
	capture(&scene);
	memset(newer, 0, sizeof(newer));
	newer[0] = scene.clone;
	newer[0].size = sizeof(newer);
	for (int i = 0; i < 2; i++) {
		CONFORM_MUST(fl_instance_acquire(scene.rt.conform.pool,
						 scene.rt.module, newer, &clone,
						 &scene.error),
			     &scene.error);
		check_clone(clone);
		instance_stop(clone);
		CONFORM_MUST(fl_snapshot_acquire(scene.rt.conform.pool,
						 scene.snapshot, configs,
						 &clone, &scene.error),
			     &scene.error);
		check_clone(clone);
		instance_stop(clone);
	}
	*tail = 1;
	clone = NULL;
	CHECK_EQ(fl_instance_acquire(scene.rt.conform.pool, scene.rt.module,
				     newer, &clone, &scene.error),
		 -EINVAL);
	CHECK_EQ(fl_snapshot_acquire(scene.rt.conform.pool, scene.snapshot,
				     configs, &clone, &scene.error),
		 -EINVAL);
	CHECK(clone == NULL);
	scene_close(&scene);
}

/* ------------------------------------------------------------------- clones */

/* Nothing to decode, and nothing that the caller wants. */
static void acquire_without_a_config(void)
{
	const struct fl_instance_config *configs[1] = { NULL };
	struct fl_instance *clone = NULL;
	struct scene scene;

	scene_open(&scene);
	capture(&scene);
	CONFORM_MUST(fl_snapshot_acquire(scene.rt.conform.pool, scene.snapshot,
					 configs, &clone, &scene.error),
		     &scene.error);
	check_clone(clone);
	CHECK(fl_instance_user(clone) == NULL);
	instance_stop(clone);
	scene_set(&scene, 2, FUNC(1));
	capture(&scene);
	clone = NULL;
	CHECK_EQ(fl_snapshot_acquire(scene.rt.conform.pool, scene.snapshot,
				     configs, &clone, &scene.error),
		 -EINVAL);
	CHECK(clone == NULL);
	scene_close(&scene);
}

static void decoder_is_missing(void)
{
	struct scene scene;

	scene_open(&scene);
	scene_set(&scene, 2, FUNC(1));
	scene.capture.encode_state = encode_state;
	scene.how.first_bytes = scene.how.second_bytes = 5;
	capture(&scene);
	scene.clone.decode_elements = NULL;
	clone_fails(&scene, scene.rt.conform.pool, scene.rt.module, -EINVAL);
	CHECK_HAS(scene.error.text, "decode_elements");
	scene.clone.decode_elements = decode_elements;
	scene.clone.decode_state = NULL;
	clone_fails(&scene, scene.rt.conform.pool, scene.rt.module, -EINVAL);
	CHECK_HAS(scene.error.text, "decode_state");
	scene.clone.decode_state = decode_state;
	check_clones(&scene);
	scene_close(&scene);
}

/* The same bytes, loaded again, are another module. */
static void another_module(void)
{
	struct fl_module *module;
	struct scene scene;

	scene_open(&scene);
	capture(&scene);
	module = module_simple(&scene.rt.conform, 1, 9, "other");
	clone_fails(&scene, scene.rt.conform.pool, module, -EINVAL);
	CHECK_HAS(scene.error.text, "module");
	fl_module_release(module);
	check_clones(&scene);
	scene_close(&scene);
}

static void another_context(void)
{
	struct scene scene, other;
	struct fl_instance *clone = NULL;
	const struct fl_instance_config *configs[1];

	scene_open(&scene);
	capture(&scene);
	scene_open(&other);
	/* Its pool, its pool and module, its module. */
	clone_fails(&scene, other.rt.conform.pool, scene.rt.module, -EINVAL);
	clone_fails(&scene, other.rt.conform.pool, other.rt.module, -EINVAL);
	clone_fails(&scene, scene.rt.conform.pool, other.rt.module, -EINVAL);
	configs[0] = &scene.clone;
	CHECK_EQ(fl_snapshot_acquire(other.rt.conform.pool, scene.snapshot,
				     configs, &clone, &scene.error),
		 -EINVAL);
	CHECK(clone == NULL);
	check_clones(&scene);
	scene_close(&other);
	scene_close(&scene);
}

/* ------------------------------------------------------------- other pools */

static struct fl_pool *open_pool(struct scene *scene,
				 const struct fl_pool_config *config)
{
	struct fl_error error = { .text = "" };
	struct fl_pool *pool = NULL;

	CONFORM_MUST(fl_pool_create(scene->rt.conform.context, config, &pool,
				    &error),
		     &error);
	return pool;
}

static void pool_with_small_memories(void)
{
	struct fl_pool_config config;
	struct fl_instance *clone;
	struct fl_pool *pool;
	struct scene scene;

	scene_open(&scene);
	scene_pool_config(&config);
	config.max_memory_bytes = 4 * WPAGE;
	pool = open_pool(&scene, &config);
	CHECK_EQ(fl_memory_grow(fl_instance_memory(scene.instance, 0), 2, NULL),
		 0);
	capture(&scene);
	CONFORM_MUST(try_clone(&scene, pool, scene.rt.module, &clone),
		     &scene.error);
	check_clone(clone);
	CHECK_EQ(fl_memory_length(fl_instance_memory(clone, 0)), 4 * WPAGE);
	CHECK_EQ(fl_memory_grow(fl_instance_memory(clone, 0), 1, NULL), -E2BIG);
	instance_stop(clone);
	CHECK_EQ(fl_memory_grow(fl_instance_memory(scene.instance, 0), 1, NULL),
		 0);
	capture(&scene);
	clone_fails(&scene, pool, scene.rt.module, -E2BIG);
	CHECK_HAS(scene.error.text, "max_memory_bytes");
	check_clones(&scene);
	CHECK_EQ(fl_pool_destroy(pool), 0);
	scene_close(&scene);
}

static void pool_with_small_tables(void)
{
	struct fl_pool_config config;
	struct fl_pool *pool;
	struct scene scene;

	for (uint32_t is_plain = 0; is_plain < 2; is_plain++) {
		scene_open(&scene);
		scene.capture.plain_tables = is_plain;
		scene_pool_config(&config);
		config.max_table_elements = 20;
		pool = open_pool(&scene, &config);
		CHECK_EQ(fl_table_grow(fl_instance_table(scene.instance, 0), 11,
				       NULL, NULL),
			 0);
		capture(&scene);
		clone_fails(&scene, pool, scene.rt.module, -E2BIG);
		CHECK_HAS(scene.error.text, "max_table_elements");
		check_clones(&scene);
		CHECK_EQ(fl_pool_destroy(pool), 0);
		scene_close(&scene);
	}
}

/* The runtime keeps tables in one of the two pools. */
static void pool_without_tables(void)
{
	struct fl_pool_config config;
	struct fl_instance *clone;
	struct fl_pool *pool;
	struct scene scene;
	int err;

	scene_open(&scene);
	scene_pool_config(&config);
	config.max_tables = 0;
	pool = open_pool(&scene, &config);
	scene_set(&scene, 2, FUNC(1));
	capture(&scene);
	err = try_clone(&scene, pool, scene.rt.module, &clone);
	CHECK(err == -EINVAL || err == -E2BIG || err == -ENOTSUP);
	CHECK_HAS(scene.error.text, "table");
	check_clones(&scene);
	instance_stop(scene.instance);
	CONFORM_MUST(fl_instance_acquire(pool, scene.rt.module,
					 &scene.rt.config, &scene.instance,
					 &scene.error),
		     &scene.error);
	capture(&scene);
	err = try_clone(&scene, scene.rt.conform.pool, scene.rt.module, &clone);
	CHECK(err == -EINVAL || err == -E2BIG || err == -ENOTSUP);
	CHECK_HAS(scene.error.text, "table");
	if (clone)
		instance_stop(clone);
	/* At home it is whole. */
	CONFORM_MUST(try_clone(&scene, pool, scene.rt.module, &clone),
		     &scene.error);
	CHECK(fl_instance_table(clone, 0) == NULL);
	instance_stop(clone);
	instance_stop(scene.instance);
	scene.instance = NULL;
	CHECK_EQ(fl_pool_destroy(pool), 0);
	scene_close(&scene);
}

/* Plain elements of 8 bytes are none of 16. */
static void pool_with_wider_elements(void)
{
	struct fl_pool_config config;
	struct fl_pool *pool;
	struct scene scene;
	uint8_t null[16];
	struct fl_instance *clone;
	int err;

	scene_open(&scene);
	scene_pool_config(&config);
	memset(null, 0xff, sizeof(null));
	config.table_element_bytes = 16;
	config.table_null = null;
	pool = open_pool(&scene, &config);
	scene.capture.plain_tables = 1;
	capture(&scene);
	err = try_clone(&scene, pool, scene.rt.module, &clone);
	CHECK(err == -EINVAL || err == -ENOTSUP);
	CHECK_HAS(scene.error.text, "element");
	if (clone)
		instance_stop(clone);
	check_clones(&scene);
	CHECK_EQ(fl_pool_destroy(pool), 0);
	scene_close(&scene);
}

/* A null that was encoded is the new pool's null. Plain nulls are bytes: refused,
 * or nulls that the new pool knows. */
static void pool_with_another_null(void)
{
	uint64_t element, zero = 0;
	struct fl_pool_config config;
	struct fl_instance *clone;
	struct fl_pool *pool;
	struct scene scene;

	scene_open(&scene);
	scene_pool_config(&config);
	config.table_null = &zero;
	pool = open_pool(&scene, &config);
	scene_set(&scene, 2, FUNC(1));
	capture(&scene);
	CONFORM_MUST(try_clone(&scene, pool, scene.rt.module, &clone),
		     &scene.error);
	for (uint64_t i = 0; i < 10; i++) {
		CHECK_EQ(fl_table_get(fl_instance_table(clone, 0), i, &element),
			 FL_TRAP_NONE);
		CHECK_EQ(element, i == 2 ? FUNC(1) : 0);
	}
	instance_stop(clone);
	scene.capture.plain_tables = 1;
	capture(&scene);
	if (!try_clone(&scene, pool, scene.rt.module, &clone)) {
		CHECK_EQ(fl_table_get(fl_instance_table(clone, 0), 0, &element),
			 FL_TRAP_NONE);
		CHECK_EQ(element, 0);
		instance_stop(clone);
	}
	check_clones(&scene);
	CHECK_EQ(fl_pool_destroy(pool), 0);
	scene_close(&scene);
}

/* A plain structure wants its room; one that is encoded does not. */
static void pool_with_other_structures(void)
{
	static const uint64_t sizes[] = { 0, 8, STRUCTURE_BYTES + 8, 100000 };
	struct fl_pool_config config;
	struct fl_instance *clone;
	struct fl_pool *pool;
	struct scene scene;

	scene_open(&scene);
	for (size_t i = 0; i < 2 * TEST_ARRAY_SIZE(sizes); i++) {
		uint64_t bytes = sizes[i / 2];
		int err;

		scene_pool_config(&config);
		config.instance_bytes = bytes;
		pool = open_pool(&scene, &config);
		scene.capture.plain_structure = i % 2;
		scene.capture.encode_state = encode_state;
		capture(&scene);
		err = try_clone(&scene, pool, scene.rt.module, &clone);
		if (i % 2 && bytes < STRUCTURE_BYTES)
			CHECK(err == -EINVAL || err == -E2BIG ||
			      err == -ENOTSUP);
		if (!(i % 2))
			CHECK_EQ(err, 0);
		if (!err && i % 2) {
			uint8_t *at = fl_instance_structure(clone);

			CHECK_EQ(at[STRUCTURE_BYTES - 1], 0xee);
			CHECK_EQ(conform_first_data(at + STRUCTURE_BYTES,
						    bytes - STRUCTURE_BYTES),
				 bytes - STRUCTURE_BYTES);
		}
		if (!err)
			instance_stop(clone);
		check_clones(&scene);
		CHECK_EQ(fl_pool_destroy(pool), 0);
	}
	scene_close(&scene);
}

static void check_clone_with_table(struct scene *scene, struct fl_pool *pool,
				   struct fl_module *module)
{
	struct fl_instance *clone;

	CONFORM_MUST(try_clone(scene, pool, module, &clone), &scene->error);
	check_clone(clone);
	CHECK_TABLE(fl_instance_table(clone, 0), NONE, NONE, FUNC(1), NONE,
		    NONE, NONE, NONE, NONE, NONE, NONE);
	instance_stop(clone);
}

/* Captured in a pool that has gone, of a module that only the snapshot holds. */
static void snapshot_outlives_pool_and_module(void)
{
	struct fl_pool_config config;
	struct fl_pool *pools[4];
	struct scene scene;

	scene_open(&scene);
	scene_set(&scene, 2, FUNC(1));
	scene.capture.plain_tables = 1;
	scene.capture.plain_structure = 1;
	capture(&scene);
	for (int i = 0; i < 4; i++) {
		scene_pool_config(&config);
		config.allocation = i % 2 ? FL_ALLOCATION_ON_DEMAND :
					    FL_ALLOCATION_POOLING;
		config.bounds = i / 2 ? FL_BOUNDS_ACCESSIBLE :
					FL_BOUNDS_GUARDED;
		pools[i] = open_pool(&scene, &config);
		check_clone_with_table(&scene, pools[i], scene.rt.module);
	}
	instance_stop(scene.instance);
	fl_module_release(scene.rt.module);
	CHECK_EQ(fl_pool_destroy(scene.rt.conform.pool), 0);
	fl_context_destroy(scene.rt.conform.context);
	for (int i = 0; i < 4; i++) {
		check_clone_with_table(&scene, pools[i],
				       fl_snapshot_module(scene.snapshot, 0));
		CHECK_EQ(fl_pool_destroy(pools[i]), 0);
	}
	fl_snapshot_release(scene.snapshot);
}

/* Captured on demand, cloned from a pool. */
static void captured_on_demand(void)
{
	struct fl_pool_config config;
	struct fl_instance *clone;
	struct fl_pool *pool;
	struct scene scene;

	scene_pool_config(&config);
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	scene_open_with(&scene, &config);
	scene_load(&scene);
	scene_start(&scene);
	capture(&scene);
	instance_stop(scene.instance);
	scene.instance = NULL;
	config.allocation = FL_ALLOCATION_POOLING;
	pool = open_pool(&scene, &config);
	for (int i = 0; i < 3; i++) {
		CONFORM_MUST(try_clone(&scene, pool, scene.rt.module, &clone),
			     &scene.error);
		check_clone(clone);
		memset(fl_instance_memory(clone, 0)->base, 0xaa, 2 * WPAGE);
		instance_stop(clone);
	}
	CHECK_EQ(fl_pool_destroy(pool), 0);
	scene_close(&scene);
}

/* The two halves make a clone too. */
static void clone_in_two_halves(void)
{
	struct fl_instance *clone = NULL;
	struct scene scene;

	scene_open(&scene);
	scene_set(&scene, 2, FUNC(1));
	scene.capture.encode_state = encode_state;
	scene.how.first_bytes = scene.how.second_bytes = 5;
	capture(&scene);
	CONFORM_MUST(fl_instance_allocate(scene.rt.conform.pool,
					  scene.rt.module, &scene.clone, &clone,
					  &scene.error),
		     &scene.error);
	CHECK_EQ(scene.how.decoded, 0);
	CHECK_EQ(scene.how.seen_bytes, 0);
	check_clone(clone);
	CONFORM_MUST(fl_instance_initialise(clone, &scene.clone, &scene.error),
		     &scene.error);
	CHECK_EQ(scene.how.decoded, 1);
	CHECK_EQ(scene.how.seen_bytes, 5);
	check_clone(clone);
	CHECK_TABLE(fl_instance_table(clone, 0), NONE, NONE, FUNC(1), NONE,
		    NONE, NONE, NONE, NONE, NONE, NONE);
	CHECK_EQ(fl_instance_initialise(clone, &scene.clone, &scene.error),
		 -EINVAL);
	instance_stop(clone);
	scene_close(&scene);
}

/* -------------------------------------------------------------------- parts */

static void parts_are_not_acquired(void)
{
	struct fl_snapshot_parts parts = { .size = sizeof(parts) };
	const struct fl_instance_config *configs[1];
	struct fl_image *images[2] = { NULL, NULL };
	struct fl_instance *clone = NULL;
	uint64_t length = 0;
	struct scene scene;

	scene_open(&scene);
	CONFORM_MUST(fl_image_from_memory(fl_instance_memory(scene.instance, 0),
					  NULL, &images[0], &scene.error),
		     &scene.error);
	parts.module = scene.rt.module;
	parts.images = images;
	parts.image_count = 2;
	parts.state = "state";
	parts.state_bytes = 5;
	parts.encoding = "parts";
	CONFORM_MUST(fl_snapshot_create(&parts, &scene.snapshot, &scene.error),
		     &scene.error);
	fl_image_release(images[0]);
	CHECK(fl_snapshot_image(scene.snapshot, 0, 0) == images[0]);
	CHECK(fl_snapshot_image(scene.snapshot, 0, 1) == NULL);
	CHECK(!memcmp(fl_snapshot_state(scene.snapshot, 0, &length), "state",
		      5));
	CHECK_EQ(length, 5);
	CHECK(fl_snapshot_module(scene.snapshot, 0) == scene.rt.module);
	scene.clone.snapshot = scene.snapshot;
	clone_fails(&scene, scene.rt.conform.pool, scene.rt.module, -ENOTSUP);
	configs[0] = &scene.clone;
	CHECK_EQ(fl_snapshot_acquire(scene.rt.conform.pool, scene.snapshot,
				     configs, &clone, &scene.error),
		 -ENOTSUP);
	CHECK(clone == NULL);
	scene_close(&scene);
}

static void parts_fail(const struct fl_snapshot_parts *parts)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *none = NULL;

	CHECK_EQ(fl_snapshot_create(parts, &none, &error), -EINVAL);
	CHECK(none == NULL);
	CHECK_EQ(error.code, -EINVAL);
	CHECK(error.text[0] != '\0');
}

static void parts_that_are_refused(void)
{
	struct fl_image *images[3] = { NULL, NULL, NULL };
	struct fl_snapshot_parts good = { .size = sizeof(good) }, bad;
	uint64_t length = 9;
	struct scene scene;
	char name[300];

	scene_open(&scene);
	good.module = scene.rt.module;
	good.images = images;
	good.image_count = 2;
	CONFORM_MUST(fl_snapshot_create(&good, &scene.snapshot, &scene.error),
		     &scene.error);
	CHECK(fl_snapshot_state(scene.snapshot, 0, &length) == NULL);
	CHECK_EQ(length, 0);
	bad = good;
	bad.module = NULL;
	parts_fail(&bad);
	bad = good;
	bad.image_count = 3;
	images[2] = conform_image_of(&scene.rt.conform, WPAGE, 0, "x", 1);
	parts_fail(&bad);
	fl_image_release(images[2]);
	bad = good;
	bad.images = NULL;
	parts_fail(&bad);
	bad = good;
	bad.state_bytes = 1;
	parts_fail(&bad);
	bad = good;
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	bad.encoding = name;
	parts_fail(&bad);
	bad = good;
	bad.size = 0;
	parts_fail(&bad);
	scene_close(&scene);
}

/* ------------------------------------------------------------------- images */

static void image_fails(struct scene *scene, const struct fl_memory *memory,
			const struct fl_snapshot_config *config, int code)
{
	struct fl_image *none = NULL;

	scene->error = (struct fl_error){ .text = "" };
	CHECK_EQ(fl_image_from_memory(memory, config, &none, &scene->error),
		 code);
	CHECK(none == NULL);
	CHECK(scene->error.text[0] != '\0');
}

static void memories_that_make_no_image(void)
{
	struct fl_memory_config config;
	struct fl_memory *memory;
	struct fl_image *image = NULL;
	struct scene scene;

	scene_open(&scene);
	fl_memory_config_init(&config);
	config.initial_bytes = WPAGE;
	config.is_shared = 1;
	memory = conform_acquire(&scene.rt.conform, &config);
	memory->base[7] = 1;
	image_fails(&scene, memory, NULL, -ENOTSUP);
	CHECK_HAS(scene.error.text, "shared");
	scene.capture.is_quiet = 1;
	CONFORM_MUST(fl_image_from_memory(memory, &scene.capture, &image,
					  &scene.error),
		     &scene.error);
	CHECK(conform_has_data(image, 0, WPAGE));
	fl_image_release(image);
	CHECK_EQ(fl_memory_lend(memory), 0);
	image_fails(&scene, memory, &scene.capture, -ENOTSUP);
	CHECK_HAS(scene.error.text, "lent");
	conform_give(memory);
	image_fails(&scene, memory, &scene.capture, -EINVAL);
	config.is_shared = 0;
	config.is_lent = 1;
	memory = conform_acquire(&scene.rt.conform, &config);
	image_fails(&scene, memory, NULL, -ENOTSUP);
	conform_give(memory);
	scene_close(&scene);
}

static void count_clone(void *user, void *dst, const void *src)
{
	(void)user;
	memcpy(dst, src, 8);
}

static void count_drop(void *user, void *element)
{
	(void)user;
	(void)element;
}

static int try_table_image(struct scene *scene, const struct fl_table *table,
			   bool is_plain)
{
	struct fl_snapshot_config config = scene->capture;
	struct fl_image *image = NULL;
	int err;

	config.plain_tables = is_plain;
	scene->error = (struct fl_error){ .text = "" };
	err = fl_image_from_table(table, &config, &image, &scene->error);
	CHECK((image != NULL) == !err);
	CHECK(!err == !scene->error.text[0]);
	fl_image_release(image);
	return err;
}

static void tables_that_make_no_image(void)
{
	struct fl_table_config config;
	struct fl_table *table = NULL;
	struct scene scene;

	scene_open(&scene);
	fl_table_config_init(&config);
	config.initial_elements = 5;
	CONFORM_MUST(fl_table_acquire(scene.rt.conform.pool, &config, &table,
				      &scene.error),
		     &scene.error);
	CHECK_EQ(try_table_image(&scene, table, true), 0);
	CHECK_EQ(try_table_image(&scene, table, false), -ENOTSUP);
	CHECK_EQ(fl_table_release(table), 0);
	CHECK_EQ(try_table_image(&scene, table, true), -EINVAL);
	config.clone = count_clone;
	config.drop = count_drop;
	CONFORM_MUST(fl_table_acquire(scene.rt.conform.pool, &config, &table,
				      &scene.error),
		     &scene.error);
	CHECK_EQ(fl_table_fill(table, 0, &(uint64_t){ 5 }, 1), FL_TRAP_NONE);
	CHECK_EQ(try_table_image(&scene, table, true), -ENOTSUP);
	CHECK_EQ(fl_table_release(table), 0);
	scene_close(&scene);
}

/* ----------------------------------------------------------- forked children */

static int child_calls(void *arg)
{
	struct scene *scene = arg;
	const struct fl_instance_config *configs[1] = { &scene->clone };
	struct fl_snapshot *snapshot = NULL;
	struct fl_instance *clone = NULL;
	struct fl_image *image = NULL;

	CHECK_EQ(fl_instance_snapshot(&scene->instance, 1, &scene->capture,
				      &snapshot, NULL),
		 -ECHILD);
	CHECK_EQ(fl_instance_acquire(scene->rt.conform.pool, scene->rt.module,
				     &scene->clone, &clone, NULL),
		 -ECHILD);
	CHECK_EQ(fl_snapshot_acquire(scene->rt.conform.pool, scene->snapshot,
				     configs, &clone, NULL),
		 -ECHILD);
	CHECK_EQ(fl_image_from_memory(fl_instance_memory(scene->instance, 0),
				      NULL, &image, NULL),
		 -ECHILD);
	scene->capture.plain_tables = 1;
	CHECK_EQ(fl_image_from_table(fl_instance_table(scene->instance, 0),
				     &scene->capture, &image, NULL),
		 -ECHILD);
	CHECK(!snapshot && !clone && !image);
	return 0;
}

static void child_gets_an_error(void)
{
	struct scene scene;

	scene_open(&scene);
	capture(&scene);
	conform_check_child(child_calls, &scene);
	CHECK_EQ(conform_info(&scene.rt.conform).live_instances, 1);
	check_clones(&scene);
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(no_instance_to_capture),
	TEST_CASE(released_instance_on_demand),
	TEST_CASE(lent_memory),
	TEST_CASE(shared_memory),
	TEST_CASE(structure_without_an_encoder),
	TEST_CASE(references_without_an_encoder),
	TEST_CASE(encoder_that_gives_null),
	TEST_CASE(encoder_of_nothing_is_not_called),
	TEST_CASE(encoder_that_wants_more),
	TEST_CASE(encoder_that_gives_less),
	TEST_CASE_NEEDS(encoder_that_wants_all_there_is, conform_malloc_fails),
	TEST_CASE(encoder_that_fails),
	TEST_CASE(encodings_by_length),
	TEST_CASE(older_and_newer_configs),
	TEST_CASE(older_instance_config),
	TEST_CASE(newer_instance_config),
	TEST_CASE(acquire_without_a_config),
	TEST_CASE(decoder_is_missing),
	TEST_CASE(another_module),
	TEST_CASE(another_context),
	TEST_CASE(pool_with_small_memories),
	TEST_CASE(pool_with_small_tables),
	TEST_CASE(pool_without_tables),
	TEST_CASE(pool_with_wider_elements),
	TEST_CASE(pool_with_another_null),
	TEST_CASE(pool_with_other_structures),
	TEST_CASE(snapshot_outlives_pool_and_module),
	TEST_CASE(captured_on_demand),
	TEST_CASE(clone_in_two_halves),
	TEST_CASE(parts_are_not_acquired),
	TEST_CASE(parts_that_are_refused),
	TEST_CASE(memories_that_make_no_image),
	TEST_CASE(tables_that_make_no_image),
	TEST_CASE(child_gets_an_error),
};

CONFORM_MAIN(cases)
