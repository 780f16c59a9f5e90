/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * differences.c - what differs between two snapshots of whole instances, and whether
 * a session's delta touches it: tables and structures, as bytes and as the runtime
 * encodes them, globals in the runtime's state, dropped segments, sizes.
 *
 * What is told is written down as text, a line each: the part and its index; the
 * sizes, or the first item and how many; a star where the delta has it too.
 */
#include "tests/kit/conform_module.h"

#define LENGTH 40
#define MAX_LENGTH 60
#define STRUCTURE_BYTES 300
#define GLOBALS 25

struct scene {
	struct conform conform;
	struct fl_module *module;
	struct fl_snapshot_config capture;
	struct fl_instance_config clone;
	uint64_t globals[GLOBALS]; /* of the instance at hand */
	bool is_plain;
};

struct told {
	char text[2000];
	size_t length;
};

/* The globals, and where the structure is not plain, the structure. */
static int encode_state(void *user, struct fl_instance *instance, void *bytes,
			uint64_t *length_bytes)
{
	struct scene *scene = user;
	uint64_t more = scene->is_plain ? 0 : STRUCTURE_BYTES;

	*length_bytes = sizeof(scene->globals) + more;
	if (!bytes)
		return 0;
	memcpy(bytes, scene->globals, sizeof(scene->globals));
	memcpy((uint8_t *)bytes + sizeof(scene->globals),
	       fl_instance_structure(instance), more);
	return 0;
}

static int decode_state(void *user, struct fl_instance *instance,
			const void *bytes, uint64_t length_bytes)
{
	struct scene *scene = user;

	MUST(length_bytes >= sizeof(scene->globals));
	memcpy(scene->globals, bytes, sizeof(scene->globals));
	memcpy(fl_instance_structure(instance),
	       (const uint8_t *)bytes + sizeof(scene->globals),
	       length_bytes - sizeof(scene->globals));
	return 0;
}

static void scene_open(struct scene *scene, bool is_plain)
{
	struct wasm_parts parts = { 0 };
	struct fl_pool_config config;
	struct wasm w = { 0 };

	*scene = (struct scene){ .is_plain = is_plain };
	conform_pool_config(&config);
	config.max_tables = 4;
	config.max_table_elements = MAX_LENGTH;
	config.table_element_bytes = 8;
	config.instance_bytes = STRUCTURE_BYTES;
	conform_open(&scene->conform, &config);
	wasm_add_table(&parts, LENGTH, MAX_LENGTH);
	wasm_add_memory(&parts, 1);
	wasm_data_passive(wasm_add(&parts, WASM_DATA), "first", 5);
	wasm_data_passive(wasm_add(&parts, WASM_DATA), "second", 6);
	wasm_data_passive(wasm_add(&parts, WASM_DATA), "third", 5);
	wasm_parts_build(&parts, &w);
	scene->module = module_load(&scene->conform, &w);
	fl_snapshot_config_init(&scene->capture);
	scene->capture.user = scene;
	scene->capture.plain_tables = scene->capture.plain_structure = is_plain;
	scene->capture.encode_elements = words_encode;
	scene->capture.encode_state = encode_state;
	fl_instance_config_init(&scene->clone);
	scene->clone.user = scene;
	scene->clone.decode_elements = words_decode;
	scene->clone.decode_state = decode_state;
}

static void scene_close(struct scene *scene)
{
	check_nothing_held(&scene->conform);
	fl_module_release(scene->module);
	conform_close(&scene->conform);
}

static void put(struct fl_instance *instance, uint64_t idx, uint64_t value)
{
	CHECK_EQ(fl_table_set(fl_instance_table(instance, 0), idx, &value), 0);
}

/* What the earlier snapshot has: elements 0 to 19, and some of all else. */
static struct fl_instance *start(struct scene *scene)
{
	struct fl_instance *instance =
		instance_start(&scene->conform, scene->module);

	for (uint64_t i = 0; i < LENGTH / 2; i++)
		put(instance, i, 100 + i);
	memset(fl_instance_structure(instance), 7, STRUCTURE_BYTES);
	for (uint64_t i = 0; i < GLOBALS; i++)
		scene->globals[i] = i;
	return instance;
}

static struct fl_snapshot *capture(struct scene *scene,
				   struct fl_instance *instance)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot = NULL;

	CONFORM_MUST(fl_instance_snapshot(&instance, 1, &scene->capture,
					  &snapshot, &error),
		     &error);
	instance_stop(instance);
	return snapshot;
}

/* A later version of the program: elements 3 to 5 and 30 are others, the table has
 * grown; bytes 60 to 69 and 200 of the structure; globals 9 and 20; segments 1
 * and 2 were dropped. */
static void change_version(struct scene *scene, struct fl_instance *instance)
{
	uint8_t *structure = fl_instance_structure(instance);
	const uint64_t element = 1;

	for (uint64_t i = 3; i <= 5; i++)
		put(instance, i, 200 + i);
	put(instance, 30, 230);
	CHECK_EQ(fl_table_grow(fl_instance_table(instance, 0), 10, &element,
			       NULL),
		 0);
	memset(structure + 60, 8, 10);
	structure[200] = 8;
	scene->globals[9] = scene->globals[20] = 1000;
	fl_data_drop(instance, 1);
	fl_data_drop(instance, 2);
}

/* What a session of the earlier one has done: elements 4, 12 and 30; bytes 64 and
 * 299 of the structure; global 9; segment 2. */
static void change_session(struct scene *scene, struct fl_instance *instance)
{
	uint8_t *structure = fl_instance_structure(instance);

	put(instance, 4, 300);
	put(instance, 12, 300);
	put(instance, 30, 300);
	structure[64] = structure[STRUCTURE_BYTES - 1] = 9;
	scene->globals[9] = 2000;
	fl_data_drop(instance, 2);
}

static struct fl_delta *session(struct scene *scene,
				struct fl_snapshot *snapshot)
{
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;
	struct fl_delta_config config;
	struct fl_delta *delta = NULL;

	scene->clone.snapshot = snapshot;
	CONFORM_MUST(fl_instance_acquire(scene->conform.pool, scene->module,
					 &scene->clone, &instance, &error),
		     &error);
	change_session(scene, instance);
	fl_delta_config_init(&config);
	config.snapshot = snapshot;
	config.capture = &scene->capture;
	CONFORM_MUST(fl_instance_suspend(&instance, 1, &config, &delta, &error),
		     &error);
	return delta;
}

static int told_of(void *user, const struct fl_difference *d)
{
	static const char *const names[] = {
		[FL_PART_MEMORY] = "memory",
		[FL_PART_PLAIN_TABLE] = "plain table",
		[FL_PART_TABLE] = "table",
		[FL_PART_STRUCTURE] = "structure",
		[FL_PART_DROPPED_DATA] = "data",
		[FL_PART_DROPPED_ELEMENTS] = "elements",
		[FL_PART_STATE] = "state",
	};
	struct told *told = user;
	char *at = told->text + told->length;
	size_t room = sizeof(told->text) - told->length;

	MUST(d->part < sizeof(names) / sizeof(names[0]) && names[d->part]);
	CHECK_EQ(d->instance_idx, 0);
	if (d->count)
		told->length += (size_t)snprintf(at, room, "%s %u: %ju+%ju%s\n",
						 names[d->part], d->part_idx,
						 (uintmax_t)d->first,
						 (uintmax_t)d->count,
						 d->is_touched ? " *" : "");
	else
		told->length += (size_t)snprintf(
			at, room, "%s %u: %ju to %ju%s\n", names[d->part],
			d->part_idx, (uintmax_t)d->was_length,
			(uintmax_t)d->length, d->is_touched ? " *" : "");
	MUST(told->length < sizeof(told->text));
	return 0;
}

static void check_told(const struct told *told, const char *expected)
{
	if (!CHECK(!strcmp(told->text, expected)))
		test_note("told: %s", told->text);
}

static void play(bool is_plain, const char *of_both, const char *of_session)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *was, *now;
	struct fl_instance *instance;
	struct told told = { .length = 0 };
	struct fl_delta *delta;
	struct scene scene;

	scene_open(&scene, is_plain);
	was = capture(&scene, start(&scene));
	instance = start(&scene);
	change_version(&scene, instance);
	now = capture(&scene, instance);
	delta = session(&scene, was);
	CONFORM_MUST(fl_snapshot_differences(was, now, delta, told_of, &told,
					     &error),
		     &error);
	check_told(&told, of_both);
	told = (struct told){ .length = 0 };
	CHECK_EQ(fl_delta_differences(delta, told_of, &told), 0);
	check_told(&told, of_session);
	/* A snapshot does not differ from itself. */
	told = (struct told){ .length = 0 };
	CONFORM_MUST(fl_snapshot_differences(was, was, delta, told_of, &told,
					     &error),
		     &error);
	check_told(&told, "");
	fl_delta_release(delta);
	fl_snapshot_release(was);
	fl_snapshot_release(now);
	scene_close(&scene);
}

/* Elements by number; the structure and the globals are lines of the state: the
 * globals have 200 bytes, and the structure follows. */
static void as_the_runtime_encodes_them(void)
{
	play(false,
	     "table 0: 40 to 50 *\n"
	     "table 0: 3+1\n"
	     "table 0: 4+1 *\n"
	     "table 0: 5+1\n"
	     "table 0: 30+1 *\n"
	     "table 0: 40+10\n"
	     "data 0: 1+1\n"
	     "data 0: 2+1 *\n"
	     "state 0: 64+64 *\n"
	     "state 0: 128+64\n"
	     "state 0: 256+64 *\n"
	     "state 0: 384+64\n",
	     "table 0: 4+1 *\n"
	     "table 0: 12+1 *\n"
	     "table 0: 30+1 *\n"
	     "data 0: 2+1 *\n"
	     "state 0: 64+64 *\n"
	     "state 0: 256+64 *\n"
	     "state 0: 448+52 *\n");
}

static void as_bytes(void)
{
	play(true,
	     "plain table 0: 320 to 400 *\n"
	     "plain table 0: 0+64 *\n"
	     "plain table 0: 192+64 *\n"
	     "plain table 0: 320+80\n"
	     "structure 0: 0+64\n"
	     "structure 0: 64+64 *\n"
	     "structure 0: 192+64\n"
	     "data 0: 1+1\n"
	     "data 0: 2+1 *\n"
	     "state 0: 64+64 *\n"
	     "state 0: 128+64\n",
	     "plain table 0: 0+128 *\n"
	     "plain table 0: 192+64 *\n"
	     "structure 0: 64+64 *\n"
	     "structure 0: 256+44 *\n"
	     "data 0: 2+1 *\n"
	     "state 0: 64+64 *\n");
}

static const struct test_case cases[] = {
	TEST_CASE(as_the_runtime_encodes_them),
	TEST_CASE(as_bytes),
};

CONFORM_MAIN(cases)
