/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * state_group.c - tests of groups of instances that wasm2c's code made, on every
 * rung: three instances of modules/state.wat, of which the second imports a memory,
 * a table and a global of the first, and the third imports the memory that the host
 * made for the first. They are captured, cloned, put to sleep and woken together,
 * in instances other than their own; and what is not all of a group is refused.
 *
 * FAULTLINE_TEST_CHANGES sets how many changed bytes each rung meets (200).
 */
#include "tests/kit/conform.h"
#include "tests/kit/random.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <faultline-wasm2c.h>

#include "file.h"
#include "rt_threadlocal.h"
#include "state.h"

extern const struct fl_wasm2c_layout Z_state_layout;

#define PARTS 3
/* Owned: two in each instance, and one of the host. */
#define MEMORIES (2 * PARTS + 1)

struct Z_env_instance_t {
	wasm_rt_memory_t *memory;
	wasm_rt_funcref_table_t *table;
	uint32_t base, *counter;
	/* Where these are the host's. */
	wasm_rt_memory_t own_memory;
	wasm_rt_funcref_table_t own_table;
	uint32_t own_counter;
};

struct Z_otherZ20lib_instance_t {
	int nothing;
};

uint32_t *Z_envZ_base(struct Z_env_instance_t *env)
{
	return &env->base;
}

uint32_t *Z_envZ_counter(struct Z_env_instance_t *env)
{
	return env->counter;
}

wasm_rt_memory_t *Z_envZ_memory(struct Z_env_instance_t *env)
{
	return env->memory;
}

wasm_rt_funcref_table_t *Z_envZ_table(struct Z_env_instance_t *env)
{
	return env->table;
}

/* Called through an element segment, env is another pointer: not to be read. */
uint32_t Z_envZ_host(struct Z_env_instance_t *env)
{
	(void)env;
	return 70;
}

uint32_t Z_otherZ20libZ_twice(struct Z_otherZ20lib_instance_t *other,
			      uint32_t x)
{
	(void)other;
	return 2 * x;
}

struct group {
	Z_state_instance_t instances[PARTS];
	struct Z_env_instance_t envs[PARTS];
	struct Z_otherZ20lib_instance_t other;
	void *at[PARTS];
};

struct scene {
	struct conform conform;
	struct fl_module *module;
	struct fl_snapshot *snapshots[PARTS];
	struct fl_wasm2c_part parts[PARTS];
	struct fl_wasm2c_clones clones[PARTS];
	struct fl_wasm2c_codec codec;
	struct group groups[2];
	struct fl_error error;
	uint32_t told, fails_at;
};

static int hear_restored(void *user, void *instance,
			 const struct fl_restored *how)
{
	struct scene *scene = user;

	(void)instance;
	(void)how;
	return ++scene->told == scene->fails_at ? -EPERM : 0;
}

/* ------------------------------------------------------------------ instances */

static void instantiate(struct scene *scene, struct group *group, int i)
{
	struct fl_wasm2c_batch batch;

	CONFORM_MUST(fl_wasm2c_begin(&batch, scene->conform.pool, scene->module,
				     &group->instances[i],
				     sizeof(group->instances[i]), 0,
				     &scene->error),
		     &scene->error);
	Z_state_instantiate(&group->instances[i], &group->envs[i],
			    &group->other);
	MUST_EQ(fl_wasm2c_end(&batch), 0);
	group->at[i] = &group->instances[i];
}

static void group_open(struct scene *scene, struct group *group, uint32_t base)
{
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;

	memset(group, 0, sizeof(*group));
	for (int i = 0; i < PARTS; i++) {
		struct Z_env_instance_t *env = &group->envs[i];

		wasm_rt_allocate_funcref_table(&env->own_table, 4, 8);
		env->base = base + (uint32_t)i;
		env->table = &env->own_table;
		env->counter = &env->own_counter;
		env->memory = &group->envs[0].own_memory;
	}
	group->envs[1].memory = &group->instances[0].w2c_second_memory;
	group->envs[1].table = &group->instances[0].w2c_functions;
	group->envs[1].counter = &group->instances[0].w2c_shown;
	config.initial_bytes = config.max_bytes = WPAGE;
	CONFORM_MUST(fl_wasm2c_acquire(scene->conform.pool, &config,
				       &group->envs[0].own_memory,
				       &scene->error),
		     &scene->error);
	for (int i = 0; i < PARTS; i++)
		instantiate(scene, group, i);
}

static void group_close(struct group *group)
{
	for (int i = PARTS; i--;) {
		Z_state_free(&group->instances[i]);
		wasm_rt_free_funcref_table(&group->envs[i].own_table);
	}
	wasm_rt_free_memory(&group->envs[0].own_memory);
}

/* What the group came to: value is in all that changes, and functions of one are
 * in tables and globals of another. */
static void use(struct group *group, uint8_t value)
{
	Z_state_instance_t *g = group->instances;

	for (int i = 0; i < PARTS; i++) {
		Z_stateZ_set_numbers(&g[i], value + (uint32_t)i, 1, 2, 3);
		memset(g[i].w2c_M1.data + 5000 * i, value + i, 300);
	}
	/* By the importer, into what it imports. */
	memset(g[1].Z_envZ_memory->data + 70000, value + 10, 300);
	memset(g[2].Z_envZ_memory->data + 900, value + 11, 300);
	*g[1].Z_envZ_counter = value + 12u;
	g[0].w2c_functions.data[5] = g[1].w2c_functions.data[0];
	g[0].w2c_functions.data[6] = g[1].w2c_functions.data[1];
	g[0].w2c_functions.data[7] = g[2].w2c_functions.data[0];
	g[1].w2c_functions.data[8] = g[0].w2c_functions.data[3];
	g[2].w2c_g9 = g[0].w2c_functions.data[3];
}

static bool is_all(const uint8_t *at, size_t len, int value)
{
	return at[0] == (uint8_t)value && !memcmp(at, at + 1, len - 1);
}

/* Does a reference lead to an instance of this group? */
static void check_of(const wasm_rt_funcref_t *reference, const void *instance)
{
	CHECK(reference->func != NULL);
	CHECK(reference->module_instance == instance);
}

static void check_used(struct group *group, uint8_t value)
{
	Z_state_instance_t *g = group->instances;

	for (int i = 0; i < PARTS; i++) {
		CHECK_EQ(Z_stateZ_small(&g[i]), value + (uint32_t)i);
		CHECK(is_all(g[i].w2c_M1.data + 5000 * i, 300, value + i));
		CHECK(is_all(g[i].w2c_M1.data + 5000 * i + 300, 300, 0));
	}
	CHECK(g[1].Z_envZ_memory == &g[0].w2c_second_memory);
	CHECK(is_all(g[0].w2c_second_memory.data + 70000, 300, value + 10));
	CHECK(is_all(g[0].w2c_second_memory.data + 70300, 700, 0));
	CHECK(is_all(g[0].Z_envZ_memory->data + 900, 300, value + 11));
	CHECK(is_all(g[0].Z_envZ_memory->data + 1200, 700, 0));
	CHECK_EQ(*Z_stateZ_shown(&g[0]), value + 12u);
	check_of(&g[0].w2c_functions.data[5], &g[1]);
	check_of(&g[0].w2c_functions.data[7], &g[2]);
	check_of(&g[1].w2c_functions.data[8], &g[0]);
	check_of(&g[2].w2c_g9, &g[0]);
	/* What the second one's instantiation put there. */
	check_of(&g[0].w2c_functions.data[1], &g[1]);
	CHECK_EQ(Z_stateZ_call(&g[0], 5), 7);
	CHECK_EQ(Z_stateZ_call(&g[0], 6), 70);
	CHECK(g[0].w2c_functions.data[6].module_instance ==
	      &g[1].Z_env_instance);
	CHECK_EQ(Z_stateZ_call(&g[1], 8), 8);
}

/* ---------------------------------------------------------------------- scenes */

static struct fl_module *load(struct fl_context *context)
{
	struct fl_module_config config = FL_MODULE_CONFIG_INIT;
	struct fl_module *module = NULL;
	struct fl_error error = { .text = "" };
	void *bytes =
		file_read(MODULES_DIR "/state.wasm", &config.length_bytes);

	MUST(bytes != NULL);
	config.bytes = bytes;
	CONFORM_MUST(fl_module_load(context, &config, &module, &error), &error);
	free(bytes);
	return module;
}

static void capture(struct scene *scene, struct group *group,
		    struct fl_snapshot **snapshots)
{
	for (int i = 0; i < PARTS; i++)
		scene->parts[i] = (struct fl_wasm2c_part){
			.layout = &Z_state_layout,
			.instance = group->at[i],
			.module = scene->module,
			.codec = &scene->codec,
		};
	CONFORM_MUST(fl_wasm2c_snapshot_group(scene->parts, PARTS, NULL,
					      snapshots, &scene->error),
		     &scene->error);
}

static void scene_open(struct scene *scene)
{
	struct fl_pool_config config = FL_POOL_CONFIG_INIT;

	*scene = (struct scene){ .codec = { .restored = hear_restored,
					    .user = scene } };
	config.max_instances = 0;
	config.max_memories = 2 * MEMORIES;
	config.max_memory_bytes = 4 * WPAGE;
	conform_open(&scene->conform, &config);
	scene->module = load(scene->conform.context);
	for (int i = 0; i < 2; i++)
		group_open(scene, &scene->groups[i], 10 * (uint32_t)i);
	use(&scene->groups[0], 40);
	capture(scene, &scene->groups[0], scene->snapshots);
	CONFORM_MUST(fl_wasm2c_clones_init_group(scene->clones,
						 scene->conform.pool,
						 scene->snapshots, scene->parts,
						 PARTS, &scene->error),
		     &scene->error);
}

static uint64_t live(const struct scene *scene)
{
	return conform_info(&scene->conform).live_memories;
}

static void scene_close(struct scene *scene)
{
	for (int i = 0; i < 2; i++)
		group_close(&scene->groups[i]);
	CHECK_EQ(live(scene), 0);
	CHECK_EQ(conform_info(&scene->conform).retired_memories, 0);
	for (int i = 0; i < PARTS; i++)
		fl_snapshot_release(scene->snapshots[i]);
	fl_module_release(scene->module);
	conform_close(&scene->conform);
}

static void clone(struct scene *scene, struct group *group)
{
	CONFORM_MUST(fl_wasm2c_clone_group(scene->clones, group->at, PARTS, 0,
					   &scene->error),
		     &scene->error);
}

/* ----------------------------------------------------------------------- cases */

static void clones_begin_where_the_group_stood(void)
{
	struct scene scene;

	scene_open(&scene);
	check_used(&scene.groups[0], 40);
	use(&scene.groups[0], 90);
	for (int i = 0; i < 6; i++) {
		struct group *group = &scene.groups[i % 2];

		scene.told = 0;
		clone(&scene, group);
		CHECK_EQ(scene.told, PARTS);
		check_used(group, 40);
		use(group, (uint8_t)(100 + i));
		check_used(group, (uint8_t)(100 + i));
		CHECK_EQ(live(&scene), 2 * MEMORIES);
	}
	scene_close(&scene);
}

static void files_hold_a_group(void)
{
	struct fl_snapshot_binding binding = FL_SNAPSHOT_BINDING_INIT;
	struct scene scene;
	char path[PARTS][64];

	scene_open(&scene);
	binding.modules = &scene.module;
	binding.module_count = 1;
	binding.encoding = FL_WASM2C_GROUP_ENCODING;
	for (int i = 0; i < PARTS; i++) {
		int fd;

		strcpy(path[i], "/tmp/state-group-XXXXXX");
		fd = mkstemp(path[i]);
		MUST(fd >= 0);
		close(fd);
		CONFORM_MUST(fl_snapshot_write(scene.snapshots[i], path[i],
					       &scene.error),
			     &scene.error);
		fl_snapshot_release(scene.snapshots[i]);
		CONFORM_MUST(fl_snapshot_open(scene.conform.context, path[i],
					      -1, 0, &binding,
					      &scene.snapshots[i],
					      &scene.error),
			     &scene.error);
		unlink(path[i]);
	}
	CONFORM_MUST(fl_wasm2c_clones_init_group(
			     scene.clones, scene.conform.pool, scene.snapshots,
			     scene.parts, PARTS, &scene.error),
		     &scene.error);
	clone(&scene, &scene.groups[1]);
	check_used(&scene.groups[1], 40);
	scene_close(&scene);
}

static void suspend(struct scene *scene, struct group *group,
		    struct fl_delta **deltas)
{
	uint64_t before = live(scene);

	CONFORM_MUST(fl_wasm2c_suspend_group(scene->clones, group->at, PARTS,
					     NULL, deltas, &scene->error),
		     &scene->error);
	CHECK_EQ(live(scene), before - MEMORIES);
}

static void drop(struct fl_delta **deltas)
{
	for (int i = 0; i < PARTS; i++)
		fl_delta_release(deltas[i]);
}

static void groups_sleep_and_wake(void)
{
	struct fl_delta *first[PARTS], *second[PARTS], *mixed[PARTS];
	struct scene scene;

	scene_open(&scene);
	clone(&scene, &scene.groups[0]);
	use(&scene.groups[0], 120);
	suspend(&scene, &scene.groups[0], first);
	clone(&scene, &scene.groups[0]);
	use(&scene.groups[0], 150);
	suspend(&scene, &scene.groups[0], second);
	for (int i = 0; i < 4; i++) {
		struct group *group = &scene.groups[i / 2];

		CONFORM_MUST(fl_wasm2c_wake_group(scene.clones, group->at,
						  i % 2 ? first : second, PARTS,
						  0, &scene.error),
			     &scene.error);
		check_used(group, i % 2 ? 120 : 150);
		use(group, 7);
	}
	/* A part of another sleep: the instances stay as they are. */
	for (int i = 0; i < PARTS; i++) {
		memcpy(mixed, first, sizeof(mixed));
		mixed[i] = second[i];
		CHECK_EQ(fl_wasm2c_wake_group(scene.clones, scene.groups[0].at,
					      mixed, PARTS, 0, &scene.error),
			 -EINVAL);
		CHECK(strstr(scene.error.text, "sleep") != NULL);
		check_used(&scene.groups[0], 7);
	}
	clone(&scene, &scene.groups[1]);
	check_used(&scene.groups[1], 40);
	drop(first);
	drop(second);
	scene_close(&scene);
}

/* ---------------------------------------------------------------- what is refused */

static void refused(struct scene *scene, int err, int expected,
		    const char *word)
{
	CHECK_EQ(err, expected);
	CHECK(strstr(scene->error.text, word) != NULL);
	scene->error.text[0] = '\0';
}

static void parts_alone_are_refused(void)
{
	const struct fl_wasm2c_layout *layout = &Z_state_layout;
	struct fl_snapshot *snapshots[PARTS], *alone = NULL;
	struct fl_wasm2c_clones clones;
	struct fl_delta *delta = NULL;
	struct group *group;
	struct scene scene;

	scene_open(&scene);
	group = &scene.groups[0];
	/* The second uses the first one's memory. */
	refused(&scene,
		fl_wasm2c_snapshot(layout, group->at[1], scene.module,
				   &scene.codec, NULL, &alone, &scene.error),
		-EINVAL, "memory 0 of Z_state_layout");
	refused(&scene,
		fl_wasm2c_snapshot_group(scene.parts + 1, 2, NULL, snapshots,
					 &scene.error),
		-EINVAL, "no part of the group");
	refused(&scene,
		fl_wasm2c_snapshot_group(scene.parts, 0, NULL, snapshots,
					 &scene.error),
		-EINVAL, "1 to 64");
	/* And the first one holds functions of the others. */
	refused(&scene,
		fl_wasm2c_snapshot_group(scene.parts, 1, NULL, snapshots,
					 &scene.error),
		-ENOTSUP, "another instance");
	scene.parts[2].instance = group->at[0];
	refused(&scene,
		fl_wasm2c_snapshot_group(scene.parts, PARTS, NULL, snapshots,
					 &scene.error),
		-EINVAL, "one instance");
	for (int i = 0; i < PARTS; i++) {
		refused(&scene,
			fl_wasm2c_clones_init(&clones, scene.conform.pool,
					      scene.snapshots[i], layout,
					      &scene.codec, &scene.error),
			-EINVAL, "part of a group");
		refused(&scene,
			fl_wasm2c_clone(&scene.clones[i], group->at[i], 0,
					&scene.error),
			-EINVAL, "goes together only");
		refused(&scene,
			fl_wasm2c_suspend(&scene.clones[i], group->at[i], NULL,
					  &delta, &scene.error),
			-EINVAL, "goes together only");
	}
	refused(&scene,
		fl_wasm2c_clone_group(scene.clones, group->at, 2, 0,
				      &scene.error),
		-EINVAL, "part 0 of 2");
	check_used(group, 40);
	scene_close(&scene);
}

static void mixed_parts_are_refused(void)
{
	struct fl_snapshot *others[PARTS], *mixed[PARTS];
	struct fl_wasm2c_clones clones[PARTS], swapped;
	void *at[PARTS];
	struct scene scene;

	scene_open(&scene);
	capture(&scene, &scene.groups[0], others);
	for (int i = 0; i < PARTS; i++) {
		memcpy(mixed, scene.snapshots, sizeof(mixed));
		mixed[i] = others[i];
		refused(&scene,
			fl_wasm2c_clones_init_group(clones, scene.conform.pool,
						    mixed, scene.parts, PARTS,
						    &scene.error),
			-EINVAL, "of the group");
		memcpy(mixed, scene.snapshots, sizeof(mixed));
		mixed[i] = scene.snapshots[(i + 1) % PARTS];
		refused(&scene,
			fl_wasm2c_clones_init_group(clones, scene.conform.pool,
						    mixed, scene.parts, PARTS,
						    &scene.error),
			-EINVAL, "of the group");
	}
	/* Instances that import otherwise: of two groups, and in another order. */
	memcpy(at, scene.groups[0].at, sizeof(at));
	at[0] = scene.groups[1].at[0];
	refused(&scene,
		fl_wasm2c_clone_group(scene.clones, at, PARTS, 0, &scene.error),
		-EINVAL, "memory 0 of Z_state_layout (part 1)");
	memcpy(at, scene.groups[0].at, sizeof(at));
	at[0] = scene.groups[0].at[1];
	at[1] = scene.groups[0].at[0];
	refused(&scene,
		fl_wasm2c_clone_group(scene.clones, at, PARTS, 0, &scene.error),
		-EINVAL, "imports other memories");
	swapped = scene.clones[0];
	scene.clones[0] = scene.clones[1];
	refused(&scene,
		fl_wasm2c_clone_group(scene.clones, scene.groups[0].at, PARTS,
				      0, &scene.error),
		-EINVAL, "clones[0]");
	scene.clones[0] = swapped;
	check_used(&scene.groups[0], 40);
	CHECK_EQ(live(&scene), 2 * MEMORIES);
	for (int i = 0; i < PARTS; i++)
		fl_snapshot_release(others[i]);
	scene_close(&scene);
}

/* All or none: nothing is held, and the next clone is whole. */
static void what_fails_halfway_leaves_nothing(void)
{
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_memory *taken[MEMORIES];
	struct scene scene;

	scene_open(&scene);
	for (uint32_t i = 1; i <= PARTS; i++) {
		scene.told = 0;
		scene.fails_at = i;
		CHECK_EQ(fl_wasm2c_clone_group(scene.clones, scene.groups[0].at,
					       PARTS, 0, &scene.error),
			 -EPERM);
		CHECK_EQ(live(&scene), MEMORIES);
	}
	scene.fails_at = 0;
	/* A pool that has room for all but i of the memories. */
	for (int i = 0; i < MEMORIES; i++) {
		config.initial_bytes = WPAGE;
		for (int k = 0; k <= i; k++)
			CONFORM_MUST(fl_memory_acquire(scene.conform.pool,
						       &config, &taken[k],
						       &scene.error),
				     &scene.error);
		CHECK_EQ(fl_wasm2c_clone_group(scene.clones, scene.groups[0].at,
					       PARTS, 0, &scene.error),
			 -EAGAIN);
		CHECK_EQ(live(&scene), MEMORIES + 1u + (uint32_t)i);
		for (int k = 0; k <= i; k++)
			CHECK_EQ(fl_memory_release(taken[k]), 0);
	}
	clone(&scene, &scene.groups[0]);
	check_used(&scene.groups[0], 40);
	scene_close(&scene);
}

/* Bytes of a delta that were changed: an error, or a group that the module could
 * have come to. */
static void play_changed(struct scene *scene, struct fl_delta **deltas,
			 struct test_random *random)
{
	uint32_t part = (uint32_t)test_random_below(random, PARTS);
	struct fl_delta *changed[PARTS];
	uint64_t len;
	const void *bytes = fl_delta_bytes(deltas[part], &len);
	uint8_t *copy = malloc(len);
	int err;

	MUST(copy != NULL);
	memcpy(copy, bytes, len);
	for (uint64_t i = 0; i <= test_random_below(random, 3); i++)
		copy[test_random_below(random, len)] =
			(uint8_t)test_random_next(random);
	memcpy(changed, deltas, sizeof(changed));
	if (!fl_delta_open(scene->snapshots[part], copy, len, FL_BYTES_COPY,
			   NULL, &changed[part], &scene->error)) {
		err = fl_wasm2c_wake_group(scene->clones, scene->groups[1].at,
					   changed, PARTS, 0, &scene->error);
		CHECK(err == 0 || err == -EINVAL || err == -ENOEXEC ||
		      err == -ENOTSUP);
		fl_delta_release(changed[part]);
	}
	free(copy);
}

static void changed_bytes(void)
{
	const char *set = getenv("FAULTLINE_TEST_CHANGES");
	int changes = set ? atoi(set) : 200;
	struct fl_delta *deltas[PARTS];
	struct test_random random;
	struct scene scene;

	test_random_init(&random, 47);
	scene_open(&scene);
	clone(&scene, &scene.groups[0]);
	use(&scene.groups[0], 120);
	suspend(&scene, &scene.groups[0], deltas);
	for (int i = 0; i < changes; i++)
		play_changed(&scene, deltas, &random);
	clone(&scene, &scene.groups[1]);
	check_used(&scene.groups[1], 40);
	drop(deltas);
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(clones_begin_where_the_group_stood),
	TEST_CASE(files_hold_a_group),
	TEST_CASE(groups_sleep_and_wake),
	TEST_CASE(parts_alone_are_refused),
	TEST_CASE(mixed_parts_are_refused),
	TEST_CASE(what_fails_halfway_leaves_nothing),
	TEST_CASE(changed_bytes),
};

int main(int argc, char **argv)
{
	wasm_rt_init();
	if (rt_thread_init())
		return 1;
	Z_state_init_module();
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases),
			 conform_rungs, TEST_ARRAY_SIZE(conform_rungs));
}
