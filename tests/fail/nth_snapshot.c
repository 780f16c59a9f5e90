/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * nth_snapshot.c - captures and clones in which the 1st, 2nd, ... nth allocation
 * or system call fails, until none is left to fail.
 *
 * Each time: a capture or a clone is made whole or answers with an error of the
 * closed set; the captured instance is as it was; a clone holds what was captured
 * and nothing of the clone before; what was taken is given back; a clone that is to
 * sleep lives as it was, or sleeps whole and can be woken. Once the tables
 * and the structure are plain bytes, once the runtime encodes them, once on
 * demand, once there are two instances, of which the second imports from the
 * first, and once clones show a file in place.
 */
#define _GNU_SOURCE
#include "answers.h"
#include "inject.h"

#include "tests/kit/conform_module.h"
#include "tests/kit/resources.h"

#define WPAGES 4
#define STRUCTURE_BYTES 6000
#define STATE_BYTES 5000
#define ELEMENTS 600

enum kind {
	PLAIN,
	ENCODED,
	ON_DEMAND, /* and encoded */
	GROUP, /* and encoded */
	IN_PLACE, /* and plain */
};

struct life {
	struct wasm wasm, importer;
	enum kind kind;
	struct fl_context *context;
	struct fl_module *module;
	struct fl_module *importing; /* of a group */
	struct fl_pool *pool;
	struct fl_instance *instances[2]; /* the second only in a group */
	uint32_t count; /* of instances */
	struct fl_memory *memory; /* imported */
	struct fl_table *table; /* imported */
	struct fl_snapshot *snapshot;
	char file[48]; /* of the snapshot, in place */
	struct fl_image *image; /* of a memory alone */
	struct fl_snapshot_config capture;
	struct fl_instance_config clone;
	bool is_whole; /* no step failed */
	bool has_decoded;
	uint8_t generation_id[16];
};

/* ----------------------------------------------------------- runtime's calls */

static int encode_state(void *user, struct fl_instance *instance, void *buffer,
			uint64_t *length_bytes)
{
	(void)user;
	(void)instance;
	*length_bytes = STATE_BYTES;
	if (buffer)
		memset(buffer, 0x5a, STATE_BYTES);
	return 0;
}

static int decode_state(void *user, struct fl_instance *instance,
			const void *bytes, uint64_t length_bytes)
{
	struct life *life = user;
	const uint8_t *at = bytes;

	(void)instance;
	CHECK_EQ(length_bytes, STATE_BYTES);
	CHECK(*at == 0x5a && !memcmp(at, at + 1, STATE_BYTES - 1));
	life->has_decoded = true;
	return 0;
}

static int restored(void *user, struct fl_instance *instance,
		    const struct fl_restored *how)
{
	struct life *life = user;
	uint8_t zeroes[16] = { 0 };

	(void)instance;
	CHECK(memcmp(how->generation_id, zeroes, 16) != 0);
	CHECK(memcmp(how->generation_id, life->generation_id, 16) != 0);
	memcpy(life->generation_id, how->generation_id, 16);
	return 0;
}

static bool has_plain(const struct life *life)
{
	return life->kind == PLAIN || life->kind == IN_PLACE;
}

static void configure(struct life *life)
{
	bool is_plain = has_plain(life);

	fl_snapshot_config_init(&life->capture);
	life->capture.user = life;
	life->capture.encoding = "nth";
	life->capture.plain_tables = is_plain;
	life->capture.plain_structure = is_plain;
	life->capture.encode_elements = is_plain ? NULL : words_encode;
	life->capture.encode_state = encode_state;
	fl_instance_config_init(&life->clone);
	life->clone.user = life;
	life->clone.decode_elements = is_plain ? NULL : words_decode;
	life->clone.binds_tables = life->kind == ENCODED;
	life->clone.binds_structure = life->kind == ENCODED;
	life->clone.decode_state = decode_state;
	life->clone.restored = restored;
}

/* ----------------------------------------------------------------- content */

/* Two memories, a table, a passive segment. */
static void build_module(struct wasm *w)
{
	struct wasm_parts parts = { 0 };

	wasm_add_table(&parts, ELEMENTS, 1000);
	wasm_add_memory(&parts, WPAGES);
	wasm_add_memory(&parts, 1);
	wasm_add_data(&parts, 100, "first");
	wasm_data_passive(wasm_add(&parts, WASM_DATA), "passive", 7);
	wasm_parts_build(&parts, w);
}

/* A memory and a table of the other module, and a memory of its own. */
static void build_importer(struct wasm *w)
{
	struct wasm_parts parts = { 0 };

	wasm_import_memory(&parts, 1);
	wasm_import_table(&parts, 1);
	wasm_add_memory(&parts, 1);
	wasm_parts_build(&parts, w);
}

/* What the captured instance does before the capture. Its own failures are not
 * what is tested here. */
static void act(struct fl_instance *instance)
{
	struct fl_memory *memory = fl_instance_memory(instance, 0);
	uint64_t *elements = fl_instance_table(instance, 0)->base;

	memcpy(memory->base + 3 * WPAGE + 50, "second", 6);
	memset(memory->base + WPAGE, 0x77, 2 * 4096);
	fl_instance_memory(instance, 1)->base[WPAGE - 1] = 9;
	for (uint64_t i = 0; i < ELEMENTS; i += 2)
		elements[i] = i + 1;
	fl_data_drop(instance, 1);
	memset(fl_instance_structure(instance), 0x33, STRUCTURE_BYTES);
}

static void check_content(struct life *life, struct fl_instance *instance,
			  bool is_clone)
{
	const uint64_t *elements = fl_instance_table(instance, 0)->base;
	bool has_structure = !is_clone || has_plain(life);
	uint8_t *at = fl_instance_structure(instance);
	struct model model;
	bool was_armed = inject.is_armed;

	/* The model's own allocations are none of the library's. */
	inject.is_armed = false;
	model_init(&model, WPAGES * WPAGE, UINT64_MAX, WPAGE);
	model_put(&model, 100, "first", 5, 0, 5);
	model_put(&model, 3 * WPAGE + 50, "second", 6, 0, 6);
	model_fill(&model, WPAGE, 0x77, 2 * 4096);
	CHECK_EQ(model_diff(&model, fl_instance_memory(instance, 0)),
		 MODEL_EQUAL);
	model_fini(&model);
	CHECK_EQ(conform_first_data(fl_instance_memory(instance, 1)->base,
				    WPAGE),
		 WPAGE - 1);
	CHECK_EQ(fl_table_size(fl_instance_table(instance, 0)), ELEMENTS);
	for (uint64_t i = 0; i < ELEMENTS; i++) {
		if (elements[i] != (i % 2 ? 0 : i + 1))
			CHECK_EQ(elements[i], i % 2 ? 0 : i + 1);
	}
	CHECK_EQ(fl_memory_init(instance, 0, 1, 0, 1, 0),
		 FL_TRAP_MEMORY_OUT_OF_BOUNDS);
	CHECK_EQ(at[0], has_structure ? 0x33 : 0);
	CHECK(!memcmp(at, at + 1, STRUCTURE_BYTES - 1));
	inject.is_armed = was_armed;
}

static void spoil(struct fl_instance *instance)
{
	memset(fl_instance_memory(instance, 0)->base, 0xe1, WPAGES * WPAGE);
	memset(fl_instance_memory(instance, 1)->base, 0xe2, WPAGE);
	memset(fl_instance_table(instance, 0)->base, 0xe3, ELEMENTS * 8);
	memset(fl_instance_structure(instance), 0xe4, STRUCTURE_BYTES);
}

/* ------------------------------------------------------------------- a life */

/* Nothing but what the call lists, and a sentence for each. */
static bool answered(struct life *life, const char *call, int err,
		     const struct fl_error *error)
{
	if (!err)
		return true;
	life->is_whole = false;
	CHECK(strcmp(fl_strerror(err), "unknown error"));
	check_answer(call, err);
	CHECK_EQ(error->code, err);
	CHECK(error->text[0] != '\0');
	if (!inject.failed)
		test_note("%s, with nothing failed: %s", fl_strerror(err),
			  error->text);
	return false;
}

#define succeeds(life, call, error) answered(life, #call, call, error)

static struct fl_module *load(struct life *life, const struct wasm *wasm)
{
	struct fl_error error = { .text = "" };
	struct fl_module_config config;
	struct fl_module *module = NULL;

	fl_module_config_init(&config);
	config.bytes = wasm->bytes;
	config.length_bytes = wasm->length;
	CONFORM_MUST(fl_module_load(life->context, &config, &module, &error),
		     &error);
	return module;
}

static void open_pool(struct life *life)
{
	struct fl_pool_config pool;
	struct fl_error error = { .text = "" };

	life->context = conform_context();
	life->module = load(life, &life->wasm);
	life->importing = load(life, &life->importer);
	conform_pool_config(&pool);
	pool.max_memories_per_instance = 2;
	pool.max_memories = 8;
	pool.max_tables = 4;
	pool.max_table_elements = 1000;
	pool.table_element_bytes = 8;
	pool.instance_bytes = STRUCTURE_BYTES;
	pool.allocation = life->kind == ON_DEMAND ? FL_ALLOCATION_ON_DEMAND :
						    FL_ALLOCATION_POOLING;
	CONFORM_MUST(fl_pool_create(life->context, &pool, &life->pool, &error),
		     &error);
}

static void start(struct life *life)
{
	struct fl_error error = { .text = "" };
	struct fl_instance_config config;

	CONFORM_MUST(fl_instance_acquire(life->pool, life->module, NULL,
					 &life->instances[0], &error),
		     &error);
	act(life->instances[0]);
	life->count = 1;
	if (life->kind != GROUP)
		return;
	life->memory = fl_instance_memory(life->instances[0], 0);
	life->table = fl_instance_table(life->instances[0], 0);
	fl_instance_config_init(&config);
	config.imported_memories = &life->memory;
	config.imported_memory_count = 1;
	config.imported_tables = &life->table;
	config.imported_table_count = 1;
	CONFORM_MUST(fl_instance_acquire(life->pool, life->importing, &config,
					 &life->instances[1], &error),
		     &error);
	fl_instance_memory(life->instances[1], 1)->base[77] = 0x55;
	life->count = 2;
	life->memory = NULL;
	life->table = NULL;
}

static void check_image(struct life *life)
{
	uint8_t text[6];

	CHECK_EQ(fl_image_read(life->image, 3 * WPAGE + 50, text, 6), 0);
	CHECK(!memcmp(text, "second", 6));
	fl_image_release(life->image);
	life->image = NULL;
}

static void capture(struct life *life)
{
	struct fl_error error = { .text = "" };

	if (!succeeds(life,
		      fl_instance_snapshot(life->instances, life->count,
					   &life->capture, &life->snapshot,
					   &error),
		      &error))
		CHECK(life->snapshot == NULL);
	check_content(life, life->instances[0], false);
	if (succeeds(life,
		     fl_image_from_memory(fl_instance_memory(life->instances[0],
							     0),
					  NULL, &life->image, &error),
		     &error))
		check_image(life);
	check_content(life, life->instances[0], false);
}

/* Nothing but the captured instances, and so many clones of them. */
static void check_live(struct life *life, uint32_t clones)
{
	struct fl_pool_info info = { .size = sizeof(info) };
	uint32_t times = 1 + clones;

	fl_pool_info(life->pool, &info);
	CHECK_EQ(info.live_instances, times * life->count);
	CHECK_EQ(info.live_memories, times * (1 + life->count));
	CHECK_EQ(info.live_tables, times);
}

/* By either call. */
static int try_clone(struct life *life, int round, struct fl_instance **clones,
		     struct fl_error *error)
{
	struct fl_instance_config importing = life->clone;
	const struct fl_instance_config *configs[2] = { &life->clone,
							&importing };

	importing.imported_memories = &life->memory;
	importing.imported_memory_count = 1;
	importing.imported_tables = &life->table;
	importing.imported_table_count = 1;
	life->clone.snapshot = life->snapshot;
	if (round % 2 || life->count == 2)
		return fl_snapshot_acquire(life->pool, life->snapshot, configs,
					   clones, error);
	return fl_instance_acquire(life->pool, life->module, &life->clone,
				   &clones[0], error);
}

static void check_importer(struct fl_instance *const *clones)
{
	struct fl_memory *memory = fl_instance_memory(clones[1], 1);

	CHECK(fl_instance_memory(clones[1], 0) ==
	      fl_instance_memory(clones[0], 0));
	CHECK(fl_instance_table(clones[1], 0) ==
	      fl_instance_table(clones[0], 0));
	CHECK_EQ(conform_first_data(memory->base, WPAGE), 77);
	CHECK_EQ(memory->base[77], 0x55);
	memset(memory->base, 0xe5, WPAGE);
}

/* The snapshot's file, mapped, takes the place of the snapshot. */
static void map_file(struct life *life)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;
	struct fl_error error = { .text = "" };
	struct fl_snapshot *mapped = NULL;
	int err;

	inject.is_armed = false;
	CONFORM_MUST(fl_snapshot_write(life->snapshot, life->file, &error),
		     &error);
	inject.is_armed = true;
	binding.modules = &life->module;
	binding.module_count = 1;
	binding.plain_tables = binding.plain_structure = 1;
	binding.encoding = "nth";
	err = fl_snapshot_open(life->context, life->file, -1, FL_OPEN_IN_PLACE,
			       &binding, &mapped, &error);
	/* A rung that cannot. */
	if (err == -ENOTSUP && !inject.failed)
		return;
	if (!answered(life, "fl_snapshot_open", err, &error)) {
		CHECK(mapped == NULL);
		return;
	}
	fl_snapshot_release(life->snapshot);
	life->snapshot = mapped;
}

/* A release always succeeds, but where the kernel must read a file for it, and
 * where a slot can be neither reset nor emptied: it says so. */
static void check_release(struct life *life, struct fl_instance *instance)
{
	int err = fl_instance_release(instance);

	CHECK(!err || inject.failed);
	CHECK(!err || err == -ENOMEM ||
	      (err == -EIO && life->kind == IN_PLACE));
	life->is_whole &= !err;
}

#define TOUCHED (2 * WPAGE + 20000)

static int try_wake(struct life *life, struct fl_delta *delta,
		    struct fl_instance **clones, struct fl_error *error)
{
	struct fl_instance_config importing = life->clone;
	const struct fl_instance_config *configs[2] = { &life->clone,
							&importing };

	life->clone.snapshot = life->snapshot;
	importing.imported_memories = &life->memory;
	importing.imported_memory_count = 1;
	importing.imported_tables = &life->table;
	importing.imported_table_count = 1;
	return fl_delta_acquire(life->pool, delta, configs, clones, error);
}

/* What sleeps is whole: it wakes when nothing fails any more. */
static void wake(struct life *life, struct fl_delta *delta,
		 struct fl_instance **clones)
{
	struct fl_error error = { .text = "" };
	uint64_t fail_at = inject.fail_at;
	int err;

	life->has_decoded = false;
	err = try_wake(life, delta, clones, &error);
	if (!answered(life, "fl_delta_acquire", err, &error)) {
		check_live(life, 0);
		inject.fail_at = 0;
		CONFORM_MUST(try_wake(life, delta, clones, &error), &error);
		inject.fail_at = fail_at;
	}
	CHECK(life->has_decoded);
}

/* The clones sleep and wake, or live on. */
static void nap(struct life *life, struct fl_instance **clones)
{
	struct fl_delta_config config = FL_DELTA_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_delta *delta = NULL;
	int err;

	config.snapshot = life->snapshot;
	config.capture = &life->capture;
	fl_instance_memory(clones[0], 0)->base[TOUCHED] = 0x42;
	((uint64_t *)fl_instance_table(clones[0], 0)->base)[ELEMENTS - 1] = 99;
	err = fl_instance_suspend(clones, life->count, &config, &delta, &error);
	if (answered(life, "fl_instance_suspend", err, &error)) {
		struct fl_delta_info info = { .size = sizeof(info) };

		fl_delta_info(delta, &info);
		life->is_whole &= !info.release_error;
		check_live(life, 0);
		wake(life, delta, clones);
		fl_delta_release(delta);
	}
	check_live(life, 1);
	CHECK_EQ(fl_instance_memory(clones[0], 0)->base[TOUCHED], 0x42);
	CHECK_EQ(((uint64_t *)fl_instance_table(clones[0], 0)
			  ->base)[ELEMENTS - 1],
		 99);
	fl_instance_memory(clones[0], 0)->base[TOUCHED] = 0;
	((uint64_t *)fl_instance_table(clones[0], 0)->base)[ELEMENTS - 1] = 0;
}

static void take_clone(struct life *life, int round)
{
	struct fl_instance *clones[2] = { NULL, NULL };
	struct fl_error error = { .text = "" };
	int err;

	life->has_decoded = false;
	err = try_clone(life, round, clones, &error);
	if (!answered(life, "fl_instance_acquire", err, &error)) {
		check_live(life, 0);
		return;
	}
	/* A bound structure is there, and is not decoded again. */
	CHECK(life->has_decoded || life->clone.binds_structure);
	check_live(life, 1);
	check_content(life, clones[0], true);
	if (round % 2) {
		nap(life, clones);
		check_content(life, clones[0], true);
	}
	if (clones[1]) {
		check_importer(clones);
		check_release(life, clones[1]);
	}
	spoil(clones[0]);
	check_release(life, clones[0]);
}

static void live_on(struct life *life)
{
	capture(life);
	if (life->snapshot && life->kind == IN_PLACE)
		map_file(life);
	for (int round = 0; life->snapshot && round < 5; round++)
		take_clone(life, round);
	check_content(life, life->instances[0], false);
	/* Failures are over: the same pool and snapshot work. */
	inject.fail_at = 0;
	if (!life->snapshot)
		capture(life);
	MUST(life->snapshot != NULL);
	take_clone(life, 0);
	check_live(life, 0);
}

/* Counted and failed: from the capture to the release of the snapshot. */
static void live(struct life *life, uint64_t fail_at, bool is_sticky)
{
	life->snapshot = NULL;
	life->is_whole = true;
	memset(&inject, 0, sizeof(inject));
	configure(life);
	inject.is_armed = true;
	open_pool(life);
	start(life);
	inject.calls = inject.allocations = inject.system_calls = 0;
	inject.fail_at = fail_at;
	inject.is_sticky = is_sticky;
	live_on(life);
	while (life->count)
		CHECK_EQ(fl_instance_release(life->instances[--life->count]),
			 0);
	fl_snapshot_release(life->snapshot);
	CHECK_EQ(fl_pool_destroy(life->pool), 0);
	fl_module_release(life->module);
	fl_module_release(life->importing);
	fl_context_destroy(life->context);
	inject.is_armed = false;
	CHECK_EQ(inject.live_allocations, 0);
}

static void run_lives(enum kind kind, bool is_sticky)
{
	struct test_resources before;
	struct life life = { .kind = kind };
	uint64_t at = 0;

	build_module(&life.wasm);
	build_importer(&life.importer);
	snprintf(life.file, sizeof(life.file), "%s/fl-nth-snapshot-%d",
		 access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", getpid());
	/* Once without, to see that the wrapping works at all. */
	live(&life, 0, false);
	CHECK(life.is_whole);
	CHECK(inject.allocations > 3);
	test_resources(&before);
	do {
		at++;
		live(&life, at, is_sticky);
		test_check_resources(&before);
		if (test_has_failed())
			test_note("call %ju failed: %s", (uintmax_t)at,
				  inject.first_failed ? inject.first_failed :
							"none");
	} while (inject.failed && at < 4000 && !test_has_failed());
	test_note("%ju calls failed, one by one", (uintmax_t)(at - 1));
	CHECK(at > 10);
	live(&life, 0, false);
	CHECK(life.is_whole);
	(void)unlink(life.file);
	wasm_free(&life.wasm);
	wasm_free(&life.importer);
}

static void one_call_fails(void)
{
	run_lives(PLAIN, false);
}

static void one_call_fails_encoded(void)
{
	run_lives(ENCODED, false);
}

static void one_call_fails_on_demand(void)
{
	run_lives(ON_DEMAND, false);
}

static void one_call_fails_of_a_group(void)
{
	run_lives(GROUP, false);
}

static void one_call_fails_in_place(void)
{
	run_lives(IN_PLACE, false);
}

static void all_calls_fail(void)
{
	run_lives(PLAIN, true);
}

static void all_calls_fail_encoded(void)
{
	run_lives(ENCODED, true);
}

static void all_calls_fail_on_demand(void)
{
	run_lives(ON_DEMAND, true);
}

static void all_calls_fail_of_a_group(void)
{
	run_lives(GROUP, true);
}

static void all_calls_fail_in_place(void)
{
	run_lives(IN_PLACE, true);
}

static const struct test_case cases[] = {
	TEST_CASE(one_call_fails),
	TEST_CASE(one_call_fails_encoded),
	TEST_CASE(one_call_fails_on_demand),
	TEST_CASE(one_call_fails_of_a_group),
	TEST_CASE(one_call_fails_in_place),
	TEST_CASE(all_calls_fail),
	TEST_CASE(all_calls_fail_encoded),
	TEST_CASE(all_calls_fail_on_demand),
	TEST_CASE(all_calls_fail_of_a_group),
	TEST_CASE(all_calls_fail_in_place),
};

CONFORM_MAIN(cases)
