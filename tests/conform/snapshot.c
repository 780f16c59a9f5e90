/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * snapshot.c - an instance that has started is captured, and clones begin where
 * it stood: memories, tables, dropped segments, the structure, the runtime's own
 * state; what each call of the runtime is asked, and what its failure leaves.
 */
#define _GNU_SOURCE
#include "runtime.h"

#include <stdlib.h>

#define STRUCTURE_BYTES 64

/* What this runtime keeps beside memories and tables: two numbers. */
struct own {
	uint64_t global;
	uint64_t clock;
};

struct shot {
	struct runtime rt;
	struct fl_snapshot_config capture;
	struct fl_instance_config clone;
	struct own own; /* of the instance that was restored last */
	char calls[16];
	int fails_at; /* a letter of calls, 0: none */
	uint8_t ids[2][16];
	uint32_t id_count;
};

static struct shot *shot_of(void *user)
{
	return (struct shot *)((char *)user - offsetof(struct shot, rt));
}

static int told(struct shot *shot, char call)
{
	size_t len = strlen(shot->calls);

	if (len + 1 < sizeof(shot->calls))
		shot->calls[len] = call;
	return shot->fails_at == call ? -EPERM : 0;
}

static int encode_elements(void *user, struct fl_instance *instance,
			   uint32_t table_idx, uint64_t first_idx,
			   const void *elements, uint64_t count,
			   uint64_t *values)
{
	CHECK(fl_instance_table(instance, table_idx) != NULL);
	CHECK(first_idx + count <=
	      fl_table_size(fl_instance_table(instance, table_idx)));
	for (uint64_t i = 0; i < count; i++) {
		memcpy(&values[i], (const uint8_t *)elements + 8 * i, 8);
		CHECK(values[i] != runtime_null);
	}
	return told(shot_of(user), 'e');
}

static int encode_state(void *user, struct fl_instance *instance, void *buffer,
			uint64_t *length_bytes)
{
	struct shot *shot = shot_of(user);

	CHECK(fl_instance_structure(instance) != NULL);
	*length_bytes = sizeof(shot->own);
	if (buffer)
		memcpy(buffer, &shot->own, sizeof(shot->own));
	return told(shot, 's');
}

static int decode_elements(void *user, struct fl_instance *instance,
			   uint32_t table_idx, uint64_t first_idx,
			   const uint64_t *values, uint64_t count,
			   void *elements)
{
	struct shot *shot = shot_of(user);

	(void)instance;
	(void)table_idx;
	(void)first_idx;
	if (told(shot, 'D'))
		return -EPERM;
	for (uint64_t i = 0; i < count; i++) {
		CHECK(values[i] != UINT64_MAX);
		memcpy((uint8_t *)elements + 8 * i, &values[i], 8);
		shot->rt.live++;
	}
	return 0;
}

static int decode_state(void *user, struct fl_instance *instance,
			const void *bytes, uint64_t length_bytes)
{
	struct shot *shot = shot_of(user);

	(void)instance;
	MUST(length_bytes == sizeof(shot->own));
	memcpy(&shot->own, bytes, sizeof(shot->own));
	return told(shot, 'S');
}

static int rebind(void *user, struct fl_instance *instance)
{
	CHECK(fl_instance_memory(instance, 0) != NULL);
	return told(shot_of(user), 'R');
}

static int restored(void *user, struct fl_instance *instance,
		    const struct fl_restored *how)
{
	struct shot *shot = shot_of(user);

	(void)instance;
	CHECK_EQ(how->cause, FL_RESTORE_CLONED);
	memcpy(shot->ids[shot->id_count++ % 2], how->generation_id, 16);
	return told(shot, 'F');
}

static void shot_open_as(struct shot *shot, enum fl_allocation allocation)
{
	struct fl_pool_config pool;

	memset(shot, 0, sizeof(*shot));
	runtime_pool_config(&pool);
	pool.max_instances = 4;
	pool.max_memories = 8;
	pool.max_memories_per_instance = 2;
	pool.instance_bytes = STRUCTURE_BYTES;
	pool.allocation = allocation;
	runtime_open_with(&shot->rt, &pool);
	fl_snapshot_config_init(&shot->capture);
	shot->capture.user = &shot->rt;
	shot->capture.encode_elements = encode_elements;
	shot->capture.encode_state = encode_state;
	shot->clone = shot->rt.config;
	shot->clone.decode_elements = decode_elements;
	shot->clone.decode_state = decode_state;
	shot->clone.rebind = rebind;
	shot->clone.restored = restored;
	/* Two memories, a table with two functions, passive segments. */
	wasm_import_funcs(&shot->rt.parts, 2);
	wasm_add_memory(&shot->rt.parts, 3);
	wasm_add_memory(&shot->rt.parts, 1);
	wasm_add_data(&shot->rt.parts, 100, "initial");
	wasm_add_table(&shot->rt.parts, 10, 100);
	wasm_add_funcs(&shot->rt.parts, 0, 2, 0, 2);
	wasm_add_passive(&shot->rt.parts, 0, 2);
	runtime_load(&shot->rt);
}

static void shot_open(struct shot *shot)
{
	shot_open_as(shot, FL_ALLOCATION_POOLING);
}

/* An instance that has done something. */
static struct fl_instance *shot_start(struct shot *shot)
{
	struct fl_instance *instance = runtime_start(&shot->rt);
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	uint64_t element = FUNC(77);

	memcpy(memory->base + 2 * WPAGE + 10, "written", 7);
	memset(memory->base + 100, 0, 4);
	CHECK_EQ(fl_memory_grow(memory, 2, NULL), 0);
	memory->base[5 * WPAGE - 1] = 9;
	CHECK_EQ(fl_table_grow(fl_instance_table(instance, 0), 3, &element,
			       NULL),
		 0);
	fl_elem_drop(instance, 1);
	memset(fl_instance_structure(instance), 0xee, STRUCTURE_BYTES);
	shot->own = (struct own){ 42, 43 };
	return instance;
}

static struct fl_snapshot *shot_take(struct shot *shot,
				     struct fl_instance *instance)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot = NULL;

	CONFORM_MUST(fl_instance_snapshot(&instance, 1, &shot->capture,
					  &snapshot, &error),
		     &error);
	shot->clone.snapshot = snapshot;
	return snapshot;
}

static struct fl_instance *shot_clone(struct shot *shot)
{
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;

	memset(shot->calls, 0, sizeof(shot->calls));
	CONFORM_MUST(fl_instance_acquire(shot->rt.conform.pool, shot->rt.module,
					 &shot->clone, &instance, &error),
		     &error);
	return instance;
}

static void check_clone(struct fl_instance *instance)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);

	MUST(memory != NULL);
	CHECK_EQ(fl_memory_length(memory), 5 * WPAGE);
	CHECK(!memcmp(memory->base + 100, "\0\0\0\0ial", 7));
	CHECK(!memcmp(memory->base + 2 * WPAGE + 10, "written", 7));
	CHECK_EQ(memory->base[5 * WPAGE - 1], 9);
	CHECK_EQ(conform_first_data(memory->base, 104), 104);
	CHECK_EQ(conform_first_data(memory->base + 107, WPAGE), WPAGE);
	CHECK_EQ(fl_memory_length(fl_instance_memory(instance, 1)), WPAGE);
	CHECK_TABLE(fl_instance_table(instance, 0), NONE, NONE, FUNC(0),
		    FUNC(1), NONE, NONE, NONE, NONE, NONE, NONE, FUNC(77),
		    FUNC(77), FUNC(77));
	CHECK_EQ(fl_table_init(instance, 0, 1, 0, 0, 1), TABLE_OOB);
}

static void shot_close(struct shot *shot)
{
	fl_snapshot_release(shot->clone.snapshot);
	CHECK_EQ(shot->rt.live, 0);
	runtime_close(&shot->rt);
}

static void play_clones(enum fl_allocation allocation)
{
	struct fl_instance *instance, *clones[2];
	struct shot shot;

	shot_open_as(&shot, allocation);
	instance = shot_start(&shot);
	(void)shot_take(&shot, instance);
	/* The captured instance goes on, and no clone sees of it. */
	memset(fl_instance_memory(instance, 0)->base, 0xaa, 3 * WPAGE);
	shot.own = (struct own){ 0, 0 };
	for (int i = 0; i < 5 && !test_has_failed(); i++) {
		clones[0] = shot_clone(&shot);
		CHECK(!strcmp(shot.calls, "DDSRF"));
		CHECK_EQ(shot.own.global, 42);
		check_clone(clones[0]);
		CHECK_EQ(conform_first_data(fl_instance_structure(clones[0]),
					    STRUCTURE_BYTES),
			 STRUCTURE_BYTES);
		memset(fl_instance_memory(clones[0], 0)->base, 0xbb, 5 * WPAGE);
		if (i % 2)
			instance_stop(clones[0]);
		clones[1] = shot_clone(&shot);
		check_clone(clones[1]);
		if (i % 2 == 0)
			instance_stop(clones[0]);
		instance_stop(clones[1]);
		CHECK(memcmp(shot.ids[0], shot.ids[1], 16) != 0);
	}
	instance_stop(instance);
	shot_close(&shot);
}

static void clones_begin_where_the_captured_stood(void)
{
	play_clones(FL_ALLOCATION_POOLING);
}

static void clones_on_demand(void)
{
	play_clones(FL_ALLOCATION_ON_DEMAND);
}

static void plain_structure_is_taken_as_bytes(void)
{
	struct fl_instance *instance;
	struct shot shot;

	shot_open(&shot);
	shot.capture.plain_structure = 1;
	shot.capture.encode_state = NULL;
	instance = shot_start(&shot);
	(void)shot_take(&shot, instance);
	instance_stop(instance);
	instance = shot_clone(&shot);
	CHECK(!strcmp(shot.calls, "DDRF"));
	CHECK_EQ(*(uint8_t *)fl_instance_structure(instance), 0xee);
	instance_stop(instance);
	shot_close(&shot);
}

/* Each call of the runtime fails in its turn; nothing is held then. */
static void each_call_may_fail(void)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *none = NULL;
	struct fl_instance *instance, *clone = NULL;
	struct shot shot;

	shot_open(&shot);
	instance = shot_start(&shot);
	for (const char *at = "es"; *at; at++) {
		shot.fails_at = *at;
		CHECK_EQ(fl_instance_snapshot(&instance, 1, &shot.capture,
					      &none, &error),
			 -EPERM);
		CHECK(strstr(error.text, "encode_") != NULL);
	}
	shot.fails_at = 0;
	(void)shot_take(&shot, instance);
	instance_stop(instance);
	for (const char *at = "DSRF"; *at; at++) {
		shot.fails_at = *at;
		CHECK_EQ(fl_instance_acquire(shot.rt.conform.pool,
					     shot.rt.module, &shot.clone,
					     &clone, &error),
			 -EPERM);
		CHECK(strstr(error.text, "answered") != NULL);
		CHECK_EQ(shot.rt.live, 0);
		check_nothing_is_held(&shot.rt.conform);
	}
	shot.fails_at = 0;
	clone = shot_clone(&shot);
	check_clone(clone);
	instance_stop(clone);
	shot_close(&shot);
}

static void what_cannot_be_captured_is_refused(void)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *none = NULL;
	struct fl_instance *instance;
	struct shot shot;

	shot_open(&shot);
	instance = shot_start(&shot);
	shot.capture.encode_elements = NULL;
	CHECK_EQ(fl_instance_snapshot(&instance, 1, &shot.capture, &none,
				      &error),
		 -ENOTSUP);
	CHECK(strstr(error.text, "encode_elements") != NULL);
	shot.capture.plain_tables = 1;
	CHECK_EQ(fl_instance_snapshot(&instance, 1, &shot.capture, &none,
				      &error),
		 -ENOTSUP);
	CHECK(strstr(error.text, "counts references") != NULL);
	CHECK_EQ(fl_memory_lend(fl_instance_memory(instance, 1)), 0);
	CHECK_EQ(fl_instance_snapshot(&instance, 1, NULL, &none, &error),
		 -ENOTSUP);
	CHECK(strstr(error.text, "lent") != NULL);
	instance_stop(instance);
	shot_close(&shot);
}

/* -------------------------------------------------------------------- files */

static char file_path[256];

static void file_begin(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(file_path, sizeof(file_path) - sizeof("/snapshot"),
		 "%s/faultline-test.XXXXXX", tmp ? tmp : "/tmp");
	MUST(mkdtemp(file_path) != NULL);
	strcat(file_path, "/snapshot");
}

static void file_end(void)
{
	CHECK_EQ(unlink(file_path), 0);
	*strrchr(file_path, '/') = '\0';
	CHECK_EQ(rmdir(file_path), 0);
}

static int file_open(struct shot *shot, const char *encoding,
		     struct fl_module *module, struct fl_snapshot **snapshot,
		     struct fl_error *error)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;

	binding.modules = &module;
	binding.module_count = 1;
	binding.encoding = encoding;
	return fl_snapshot_open(shot->rt.conform.context, file_path, -1, 0,
				&binding, snapshot, error);
}

/* What another process makes of the file: its addresses are others. */
static int clone_from_file(void *arg)
{
	struct fl_error error = { .text = "" };
	struct fl_instance *instance;
	struct fl_snapshot *opened;
	struct shot shot;

	(void)arg;
	shot_open(&shot);
	CONFORM_MUST(file_open(&shot, "own 1", shot.rt.module, &opened, &error),
		     &error);
	shot.clone.snapshot = opened;
	for (int i = 0; i < 2; i++) {
		instance = shot_clone(&shot);
		CHECK(!strcmp(shot.calls, "DDSRF"));
		CHECK_EQ(shot.own.clock, 43);
		check_clone(instance);
		memset(fl_instance_memory(instance, 0)->base, 1, 5 * WPAGE);
		instance_stop(instance);
	}
	shot_close(&shot);
	return test_has_failed();
}

static void a_file_becomes_the_snapshot_again(void)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *written, *opened = NULL;
	uint8_t digests[2][32];
	struct fl_instance *instance;
	struct fl_module *other;
	struct shot shot;

	file_begin();
	shot_open(&shot);
	shot.capture.encoding = "own 1";
	instance = shot_start(&shot);
	written = shot_take(&shot, instance);
	instance_stop(instance);
	CONFORM_MUST(fl_snapshot_write(written, file_path, &error), &error);
	CONFORM_MUST(file_open(&shot, "own 1", shot.rt.module, &opened, &error),
		     &error);
	CONFORM_MUST(fl_snapshot_digest(written, digests[0], &error), &error);
	CONFORM_MUST(fl_snapshot_digest(opened, digests[1], &error), &error);
	CHECK(!memcmp(digests[0], digests[1], 32));
	fl_snapshot_release(opened);
	CHECK_EQ(file_open(&shot, "own 2", shot.rt.module, &opened, &error),
		 -ENOTSUP);
	CHECK(strstr(error.text, "\"own 2\"") != NULL);
	other = module_simple(&shot.rt.conform, 3, 100, "initial");
	CHECK_EQ(file_open(&shot, "own 1", other, &opened, &error), -EINVAL);
	CHECK(strstr(error.text, "SHA-256") != NULL);
	fl_module_release(other);
	shot_close(&shot);
	CHECK_EQ(test_fork(clone_from_file, NULL, 30).status, 0);
	file_end();
}

/* A runtime that owns the rest captures by parts, and clones itself. */
static void parts_are_the_runtimes_own(void)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	struct fl_snapshot_info info = { .size = sizeof(info) };
	struct fl_error error = { .text = "" };
	struct fl_image *images[2] = { NULL };
	struct fl_instance *instance;
	struct fl_snapshot *snapshot;
	struct fl_memory *memory;
	struct shot shot;
	uint64_t len;

	file_begin();
	shot_open(&shot);
	instance = shot_start(&shot);
	memory = fl_instance_memory(instance, 0);
	CONFORM_MUST(fl_image_from_memory(memory, NULL, &images[0], &error),
		     &error);
	instance_stop(instance);
	parts.module = shot.rt.module;
	parts.images = images;
	parts.image_count = 2;
	parts.state = "state";
	parts.state_bytes = 5;
	CONFORM_MUST(fl_snapshot_create(&parts, &snapshot, &error), &error);
	fl_image_release(images[0]);
	CONFORM_MUST(fl_snapshot_write(snapshot, file_path, &error), &error);
	fl_snapshot_release(snapshot);
	/* Without a binding the file can be looked at, and no more. */
	CONFORM_MUST(fl_snapshot_open(shot.rt.conform.context, file_path, -1, 0,
				      NULL, &snapshot, &error),
		     &error);
	fl_snapshot_info(snapshot, &info);
	CHECK_EQ(info.instance_count, 0);
	CHECK_EQ(info.image_count, 1);
	CHECK_EQ(info.module_count, 1);
	CHECK(info.module_digests != NULL);
	CHECK(fl_snapshot_image(snapshot, 0, 0) != NULL);
	CHECK(fl_snapshot_image(snapshot, 0, 1) == NULL);
	CHECK_EQ(fl_snapshot_acquire(shot.rt.conform.pool, snapshot, NULL,
				     &instance, &error),
		 -ENOTSUP);
	fl_snapshot_release(snapshot);
	CONFORM_MUST(file_open(&shot, NULL, shot.rt.module, &snapshot, &error),
		     &error);
	CHECK(!memcmp(fl_snapshot_state(snapshot, 0, &len), "state", 5));
	CHECK_EQ(len, 5);
	CHECK(fl_snapshot_image(snapshot, 0, 1) == NULL);
	memory = conform_take(&shot.rt.conform,
			      fl_snapshot_image(snapshot, 0, 0), 0);
	CHECK_EQ(fl_memory_length(memory), 5 * WPAGE);
	check_text(memory, 2 * WPAGE + 10, "written");
	conform_give(memory);
	shot.clone.snapshot = snapshot;
	CHECK_EQ(fl_instance_acquire(shot.rt.conform.pool, shot.rt.module,
				     &shot.clone, &instance, &error),
		 -ENOTSUP);
	shot_close(&shot);
	file_end();
}

static const struct test_case cases[] = {
	TEST_CASE(clones_begin_where_the_captured_stood),
	TEST_CASE(clones_on_demand),
	TEST_CASE(plain_structure_is_taken_as_bytes),
	TEST_CASE(each_call_may_fail),
	TEST_CASE(what_cannot_be_captured_is_refused),
	TEST_CASE(a_file_becomes_the_snapshot_again),
	TEST_CASE(parts_are_the_runtimes_own),
};

CONFORM_MAIN(cases)
