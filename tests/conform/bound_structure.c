/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bound_structure.c - structures that stay in their slots from one clone to the next
 * (fl_instance_config.binds_structure): a clone finds what would have been decoded
 * and rebound for it, and nobody finds a byte that a tenant left there, whatever
 * the tenants wrote, the host trimmed, purged or audited, and whichever slots come
 * together.
 *
 * A structure here holds addresses of itself, of its memory and of its user, and a
 * number of its snapshot all over; so one that was made for another instance is
 * found out. What a tenant leaves is a secret, up to the end of the last page.
 */
#include "tests/kit/conform_module.h"
#include "tests/kit/random.h"

#include <pthread.h>
#include <stdlib.h>

#define STRUCTURE_BYTES 5000
#define SLOTS 3
#define NUMBERS 500 /* from byte 64 on */
#define SECRET 0x5ec7e75ec7e75ec7

struct structure {
	const void *self, *memory, *user;
	uint64_t rebinds, id[2];
	uint64_t rest[2];
	uint64_t numbers[NUMBERS];
};

struct scene {
	struct conform conform;
	struct fl_module *module;
	struct fl_snapshot *snapshot;
	struct fl_instance_config clone;
	uint64_t number; /* of the snapshot */
	uint32_t decodes, rebinds;
	int fails; /* which call does; 0: none */
};

static struct structure *of(struct fl_instance *instance)
{
	return fl_instance_structure(instance);
}

static uint64_t slot_bytes(void)
{
	return conform_round_up(STRUCTURE_BYTES, conform_hpage());
}

static int encode(void *user, struct fl_instance *instance, void *bytes,
		  uint64_t *length_bytes)
{
	(void)user;
	if (bytes)
		memcpy(bytes, of(instance)->numbers, 8);
	*length_bytes = 8;
	return 0;
}

static int decode(void *user, struct fl_instance *instance, const void *bytes,
		  uint64_t length_bytes)
{
	struct structure *to = of(instance);
	struct scene *scene = user;
	uint64_t number;

	MUST_EQ(length_bytes, 8);
	memcpy(&number, bytes, 8);
	scene->decodes++;
	to->self = to;
	to->user = user;
	for (uint64_t i = 0; i < NUMBERS; i++)
		to->numbers[i] = number + i;
	return scene->fails == 1 ? -EPERM : 0;
}

static int rebind(void *user, struct fl_instance *instance)
{
	struct scene *scene = user;

	scene->rebinds++;
	of(instance)->rebinds++;
	of(instance)->memory = fl_instance_memory(instance, 0)->base;
	return scene->fails == 2 ? -EPERM : 0;
}

static int restored(void *user, struct fl_instance *instance,
		    const struct fl_restored *how)
{
	struct scene *scene = user;

	memcpy(of(instance)->id, how->generation_id, 16);
	return scene->fails == 3 ? -EPERM : 0;
}

static void pool_config(struct fl_pool_config *config, uint32_t slots)
{
	conform_pool_config(config);
	config->max_memories = slots;
	config->max_instances = slots;
	config->instance_bytes = STRUCTURE_BYTES;
}

static struct fl_module *load(struct conform *conform, const char *text)
{
	return module_simple(conform, 1, 7, text);
}

static struct fl_instance *start(struct scene *scene,
				 const struct fl_instance_config *config)
{
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;

	CONFORM_MUST(fl_instance_acquire(scene->conform.pool, scene->module,
					 config, &instance, &error),
		     &error);
	return instance;
}

static struct fl_instance *start_clone(struct scene *scene)
{
	return start(scene, &scene->clone);
}

static void capture_config(struct fl_snapshot_config *config)
{
	fl_snapshot_config_init(config);
	config->encode_state = encode;
}

/* Of an instance whose structure has this number. */
static struct fl_snapshot *snapshot_of(struct scene *scene, uint64_t number)
{
	struct fl_instance *instance = start(scene, NULL);
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot = NULL;
	struct fl_snapshot_config config;

	of(instance)->numbers[0] = number;
	capture_config(&config);
	CONFORM_MUST(fl_instance_snapshot(&instance, 1, &config, &snapshot,
					  &error),
		     &error);
	instance_stop(instance);
	return snapshot;
}

static void scene_begin(struct scene *scene, uint64_t number)
{
	scene->number = number;
	scene->snapshot = snapshot_of(scene, number);
	fl_instance_config_init(&scene->clone);
	scene->clone.user = scene;
	scene->clone.decode_state = decode;
	scene->clone.rebind = rebind;
	scene->clone.restored = restored;
	scene->clone.binds_structure = 1;
	scene->clone.snapshot = scene->snapshot;
}

static void scene_open_with(struct scene *scene,
			    const struct fl_pool_config *config)
{
	*scene = (struct scene){ .number = 0 };
	conform_open(&scene->conform, config);
	scene->module = load(&scene->conform, "one");
	scene_begin(scene, 1000);
}

static void scene_open(struct scene *scene, uint32_t slots)
{
	struct fl_pool_config config;

	pool_config(&config, slots);
	scene_open_with(scene, &config);
}

static void scene_close(struct scene *scene)
{
	CHECK_EQ(conform_info(&scene->conform).retired_instances, 0);
	CHECK_EQ(conform_info(&scene->conform).audit_failures, 0);
	fl_snapshot_release(scene->snapshot);
	check_nothing_held(&scene->conform);
	fl_module_release(scene->module);
	conform_close(&scene->conform);
}

/* All of the slot, up to the end of its last page. */
static void check_as(struct scene *scene, struct fl_instance *instance,
		     const struct scene *user, uint64_t number)
{
	const struct structure *is = of(instance);
	const uint8_t *end = (const uint8_t *)is + slot_bytes();
	uint64_t wrong = 0;

	(void)scene;
	CHECK(is->self == is && is->user == user && is->rebinds == 1);
	CHECK(is->memory == fl_instance_memory(instance, 0)->base);
	CHECK(is->rest[0] == 0 && is->rest[1] == 0);
	CHECK((is->id[0] | is->id[1]) != 0);
	for (uint64_t i = 0; i < NUMBERS; i++)
		wrong += is->numbers[i] != number + i;
	for (const uint8_t *at = (const uint8_t *)(is + 1); at < end; at++)
		wrong += *at != 0;
	CHECK_EQ(wrong, 0);
}

static void check(struct scene *scene, struct fl_instance *instance)
{
	check_as(scene, instance, scene, scene->number);
}

static void check_zeroes(struct fl_instance *instance)
{
	const uint8_t *at = fl_instance_structure(instance);
	uint64_t wrong = 0;

	for (uint64_t i = 0; i < slot_bytes(); i++)
		wrong += at[i] != 0;
	CHECK_EQ(wrong, 0);
}

/* How often was something decoded and rebound since the last check? */
static void check_calls(struct scene *scene, uint32_t expected)
{
	CHECK_EQ(scene->decodes, expected);
	CHECK_EQ(scene->rebinds, expected);
	scene->decodes = scene->rebinds = 0;
}

static void put_secret(struct fl_instance *instance, uint64_t off)
{
	const uint64_t secret = SECRET;

	memcpy((uint8_t *)fl_instance_structure(instance) + off, &secret, 8);
}

/* A tenant writes all of it, one word, or the last word of the last page. */
static void spoil(struct fl_instance *instance, uint64_t how)
{
	if (how % 4 == 0)
		for (uint64_t off = 0; off < slot_bytes(); off += 8)
			put_secret(instance, off);
	else if (how % 4 == 1)
		put_secret(instance, slot_bytes() - 8);
	else if (how % 4 == 2)
		put_secret(instance, how * 73 % (slot_bytes() - 8));
}

/* With one slot, whoever comes next gets the one that something is bound to. */
static void open_bound(struct scene *scene, uint32_t slots)
{
	struct fl_instance *instance;

	scene_open(scene, slots);
	instance = start_clone(scene);
	check(scene, instance);
	check_calls(scene, 1);
	instance_stop(instance);
}

/* ------------------------------------------------------------------ it stays */

static void what_tenants_write_is_brought_back(void)
{
	struct fl_instance *instance;
	uint64_t ids[2] = { 0, 0 };
	struct scene scene;

	open_bound(&scene, 1);
	for (uint64_t i = 0; i < 40; i++) {
		instance = start_clone(&scene);
		check(&scene, instance);
		check_calls(&scene, 0);
		CHECK(memcmp(ids, of(instance)->id, 16) != 0);
		memcpy(ids, of(instance)->id, 16);
		spoil(instance, i);
		instance_stop(instance);
	}
	scene_close(&scene);
}

/* Neither half, nor a group, nor who did not ask. */
static void only_where_it_was_asked_for(void)
{
	const struct fl_instance_config *configs;
	struct fl_instance *instance = NULL;
	struct scene scene;

	scene_open(&scene, 1);
	configs = &scene.clone;
	for (uint64_t i = 0; i < 12; i++) {
		/* Each comes after a clone to whose slot something is bound. */
		scene.clone.binds_structure = i % 6 != 5;
		if (i % 6 == 1) {
			CHECK_EQ(fl_instance_allocate(
					 scene.conform.pool, scene.module,
					 &scene.clone, &instance, NULL),
				 0);
			check_zeroes(instance);
			CHECK_EQ(fl_instance_initialise(instance, &scene.clone,
							NULL),
				 0);
		} else if (i % 6 == 3) {
			CHECK_EQ(fl_snapshot_acquire(scene.conform.pool,
						     scene.snapshot, &configs,
						     &instance, NULL),
				 0);
		} else {
			instance = start_clone(&scene);
		}
		check(&scene, instance);
		check_calls(&scene, 1);
		spoil(instance, i);
		instance_stop(instance);
	}
	scene_close(&scene);
}

/* ------------------------------------------------------------- nobody else's */

static void others_see_none_of_it(void)
{
	struct scene scene, other;
	struct fl_instance *instance;

	open_bound(&scene, 1);
	other = scene;
	scene_begin(&other, 7000);
	for (uint64_t i = 0; i < 24; i++) {
		instance = start_clone(&scene);
		check(&scene, instance);
		spoil(instance, i);
		instance_stop(instance);
		/* One of the module; another snapshot's; another user's. */
		instance = i % 3 == 0 ? start(&scene, NULL) :
					start_clone(&other);
		if (i % 3 == 0)
			check_zeroes(instance);
		else
			check(&other, instance);
		instance_stop(instance);
		if (i % 3 != 2)
			continue;
		other.clone.snapshot = scene.snapshot;
		instance = start_clone(&other);
		check_as(&other, instance, &other, scene.number);
		instance_stop(instance);
		other.clone.snapshot = other.snapshot;
	}
	fl_snapshot_release(other.snapshot);
	scene_close(&scene);
}

/* A session that sleeps and wakes has a structure of its own. */
static void sessions_have_their_own(void)
{
	struct fl_snapshot_config capture;
	struct fl_delta_config config;
	struct fl_instance *instance;
	struct fl_delta *delta;
	struct scene scene;

	open_bound(&scene, 1);
	capture_config(&capture);
	fl_delta_config_init(&config);
	config.capture = &capture;
	config.snapshot = scene.snapshot;
	for (uint64_t i = 0; i < 6; i++) {
		instance = start_clone(&scene);
		check(&scene, instance);
		of(instance)->numbers[0] = 40 + i;
		CHECK_EQ(fl_instance_suspend(&instance, 1, &config, &delta,
					     NULL),
			 0);
		if (i % 2)
			instance_stop(start_clone(&scene));
		scene.clone.delta = delta;
		instance = start_clone(&scene);
		check_as(&scene, instance, &scene, 40 + i);
		spoil(instance, i);
		instance_stop(instance);
		scene.clone.delta = NULL;
		fl_delta_release(delta);
	}
	scene_close(&scene);
}

static void slots_that_come_together_anew(void)
{
	struct fl_instance *live[SLOTS];
	struct fl_memory *memory;
	struct scene scene;

	open_bound(&scene, SLOTS);
	for (int i = 0; i < 24; i++) {
		int count = i % 2 ? SLOTS : SLOTS - 1;

		memory = i % 2 ? NULL :
				 conform_take(&scene.conform,
					      i % 4 ? fl_snapshot_image(
							      scene.snapshot, 0,
							      0) :
						      NULL,
					      WPAGE);
		for (int k = 0; k < count; k++)
			live[k] = start_clone(&scene);
		for (int k = 0; k < count; k++) {
			check(&scene, live[k]);
			spoil(live[k], (uint64_t)(i + k));
		}
		if (memory && i % 3)
			conform_give(memory);
		for (int k = 0; k < count; k++)
			instance_stop(live[i % 5 < 3 ? k : count - 1 - k]);
		if (memory && i % 3 == 0)
			conform_give(memory);
	}
	scene_close(&scene);
}

/* ------------------------------------------------------------------ failures */

static void failed_calls_leave_nothing(void)
{
	struct fl_instance *instance;
	struct scene scene;

	open_bound(&scene, 1);
	for (int i = 0; i < 9; i++) {
		/* Of a structure that stays, only "restored" is called. */
		if (i % 3 != 2)
			CHECK_EQ(fl_pool_trim(scene.conform.pool, UINT64_MAX,
					      NULL),
				 0);
		scene.fails = 1 + i % 3;
		CHECK_EQ(fl_instance_acquire(scene.conform.pool, scene.module,
					     &scene.clone, &instance, NULL),
			 -EPERM);
		scene.fails = 0;
		if (i % 2) {
			instance = start(&scene, NULL);
			check_zeroes(instance);
			instance_stop(instance);
		}
		instance = start_clone(&scene);
		check(&scene, instance);
		spoil(instance, (uint64_t)i);
		instance_stop(instance);
	}
	scene_close(&scene);
}

static void a_reset_leads_to_the_snapshot(void)
{
	struct fl_instance *instance;
	struct scene scene;

	open_bound(&scene, 1);
	for (uint64_t i = 0; i < 4; i++) {
		instance = start_clone(&scene);
		spoil(instance, i);
		CHECK_EQ(fl_instance_reset(instance, &scene.clone, NULL), 0);
		check_zeroes(instance);
		CHECK_EQ(fl_instance_initialise(instance, &scene.clone, NULL),
			 0);
		check(&scene, instance);
		spoil(instance, i);
		instance_stop(instance);
		instance = start_clone(&scene);
		check(&scene, instance);
		instance_stop(instance);
	}
	scene_close(&scene);
}

/* ---------------------------------------------- trims, purges, audits, budgets */

static void trims_and_purges_let_go(void)
{
	struct scene scene;
	uint32_t purged;

	open_bound(&scene, 1);
	for (int i = 0; i < 6; i++) {
		instance_stop(start_clone(&scene));
		check_calls(&scene, i != 0);
		purged = 1;
		if (i % 3 == 0)
			CHECK_EQ(fl_pool_trim(scene.conform.pool, UINT64_MAX,
					      NULL),
				 0);
		else
			CHECK_EQ(fl_pool_purge(scene.conform.pool,
					       i % 3 == 1 ? scene.module : NULL,
					       i % 3 == 1 ?
						       NULL :
						       fl_snapshot_image(
							       scene.snapshot,
							       0, 0),
					       &purged),
				 0);
		CHECK(purged >= 1);
	}
	scene_close(&scene);
}

/* With an audit of each release, no room to keep anything, or slots that end,
 * nothing stays; and no tenant sees another's. */
static void where_nothing_may_stay(void)
{
	struct fl_pool_config config;
	struct fl_instance *instance;
	struct scene scene;

	for (int i = 0; i < 5; i++) {
		pool_config(&config, 1);
		config.audit_every = i == 0 ? 1 : i == 1 ? 3 : 0;
		if (i == 2)
			config.max_idle_slot_bytes = 4096;
		else if (i == 3)
			config.max_idle_bytes = 0;
		else if (i == 4)
			config.allocation = FL_ALLOCATION_ON_DEMAND;
		scene_open_with(&scene, &config);
		for (uint64_t k = 0; k < 12; k++) {
			instance = start_clone(&scene);
			check(&scene, instance);
			spoil(instance, k);
			instance_stop(instance);
		}
		CHECK(i == 1 ? scene.decodes < 12 : scene.decodes == 12);
		scene_close(&scene);
	}
}

/* ------------------------------------------------------------------ at random */

#define CYCLES 200

struct thread {
	struct scene scene; /* with the pool of all, and counts of its own */
	uint64_t seed;
	pthread_t id;
};

static void *clone_loop(void *arg)
{
	struct thread *thread = arg;
	struct scene *scene = &thread->scene;
	struct test_random random;

	test_random_init(&random, thread->seed);
	for (int i = 0; i < CYCLES; i++) {
		uint64_t what = test_random_below(&random, 12);
		struct fl_instance_config none = FL_INSTANCE_CONFIG_INIT;
		struct fl_instance *instance;

		none.timeout_ns = UINT64_MAX;
		scene->clone.binds_structure = what != 1;
		instance = start(scene, what ? &scene->clone : &none);
		if (what)
			check(scene, instance);
		else
			check_zeroes(instance);
		spoil(instance, test_random_below(&random, 1000));
		instance_stop(instance);
	}
	return NULL;
}

static void beside_threads_trims_and_purges(void)
{
	struct thread threads[SLOTS];
	struct scene scene;

	scene_open(&scene, SLOTS - 1);
	for (int i = 0; i < SLOTS; i++) {
		threads[i].scene = scene;
		threads[i].seed = 60 + (uint64_t)i;
		scene_begin(&threads[i].scene, 9000 * (uint64_t)i);
		threads[i].scene.clone.timeout_ns = UINT64_MAX;
	}
	for (int i = 0; i < SLOTS; i++)
		MUST_EQ(pthread_create(&threads[i].id, NULL, clone_loop,
				       &threads[i]),
			0);
	for (int i = 0; i < 20; i++) {
		CHECK_EQ(fl_pool_purge(scene.conform.pool, scene.module, NULL,
				       NULL),
			 0);
		CHECK_EQ(fl_pool_trim(scene.conform.pool, 20000, NULL), 0);
	}
	for (int i = 0; i < SLOTS; i++) {
		MUST_EQ(pthread_join(threads[i].id, NULL), 0);
		fl_snapshot_release(threads[i].scene.snapshot);
	}
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(what_tenants_write_is_brought_back),
	TEST_CASE(only_where_it_was_asked_for),
	TEST_CASE(others_see_none_of_it),
	TEST_CASE(sessions_have_their_own),
	TEST_CASE(slots_that_come_together_anew),
	TEST_CASE(failed_calls_leave_nothing),
	TEST_CASE(a_reset_leads_to_the_snapshot),
	TEST_CASE(trims_and_purges_let_go),
	TEST_CASE(where_nothing_may_stay),
	TEST_CASE(beside_threads_trims_and_purges),
};

CONFORM_MAIN(cases)
