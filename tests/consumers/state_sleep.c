/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * state_sleep.c - tests of fl_wasm2c_suspend() and fl_wasm2c_wake(), with the
 * module modules/state.wat, on every rung.
 *
 * Each session has a twin: an instance that was cloned with it, is used as it is,
 * and never sleeps. What wakes, in any instance of a few, is compared with its
 * twin: memories byte by byte, and the state. Then what cannot sleep or wake is
 * refused, and bytes of deltas are changed.
 *
 * FAULTLINE_TEST_CHANGES sets how many changed bytes each rung meets (1,000).
 */
#include "tests/kit/conform.h"
#include "tests/kit/delta_bytes.h"
#include "tests/kit/random.h"

#include <stdlib.h>

#include "file.h"
#include "rt_threadlocal.h"
#include "state_guest.h"
#include "state_used.h"

#define SESSIONS 8
#define PLACES 3
#define MEMORIES 3

static const struct fl_wasm2c_layout *const layout = &Z_state_layout;

static int hosts[4];

static int encode_host(void *user, wasm_rt_externref_t reference,
		       uint64_t *number)
{
	(void)user;
	*number = (uint64_t)((int *)reference - hosts);
	return *number < 4 ? 0 : -EBUSY;
}

static int decode_host(void *user, uint64_t number,
		       wasm_rt_externref_t *reference)
{
	(void)user;
	if (number >= 4)
		return -EPERM;
	*reference = &hosts[number];
	return 0;
}

struct scene {
	struct conform conform;
	struct fl_module *module;
	struct fl_snapshot *snapshot;
	struct fl_wasm2c_codec codec;
	struct fl_wasm2c_clones clones;
	struct test_random random;
	struct fl_restored last; /* what restored was told */
};

static int hear_restored(void *user, void *instance,
			 const struct fl_restored *how)
{
	struct scene *scene = user;

	(void)instance;
	scene->last = *how;
	return 0;
}

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

/* All of its memories are the pool's, the imported one too. */
static void open_in_pool(struct scene *scene, struct guest *guest,
			 uint32_t base)
{
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_error error = { .text = "" };
	struct fl_wasm2c_batch batch;

	guest_open_imports(guest, base);
	wasm_rt_free_memory(&guest->env.memory);
	config.initial_bytes = config.max_bytes = WPAGE;
	CONFORM_MUST(fl_wasm2c_acquire(scene->conform.pool, &config,
				       &guest->env.memory, &error),
		     &error);
	CONFORM_MUST(fl_wasm2c_begin(&batch, scene->conform.pool, scene->module,
				     &guest->instance, sizeof(guest->instance),
				     0, &error),
		     &error);
	guest_instantiate(guest);
	MUST_EQ(fl_wasm2c_end(&batch), 0);
}

static wasm_rt_memory_t *memory_of(struct guest *guest, uint32_t idx)
{
	wasm_rt_memory_t *const memories[MEMORIES] = {
		&guest->env.memory,
		&guest->instance.w2c_M1,
		&guest->instance.w2c_second_memory,
	};

	return memories[idx];
}

/* A snapshot of an instance that was used. */
static struct fl_snapshot *capture(struct scene *scene)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot = NULL;
	struct guest guest;

	open_in_pool(scene, &guest, 1);
	used_make(&guest, hosts);
	memcpy(memory_of(&guest, 0)->data + 100, "imported", 8);
	memcpy(memory_of(&guest, 2)->data + 70000, "second", 6);
	CONFORM_MUST(fl_wasm2c_snapshot(layout, &guest.instance, scene->module,
					&scene->codec, NULL, &snapshot, &error),
		     &error);
	guest_close(&guest);
	return snapshot;
}

static void scene_open(struct scene *scene)
{
	struct fl_pool_config config = FL_POOL_CONFIG_INIT;
	struct fl_error error = { .text = "" };

	*scene = (struct scene){
		.codec = { .encode = encode_host,
			   .decode = decode_host,
			   .user = scene,
			   .restored = hear_restored },
	};
	test_random_init(&scene->random, 31);
	config.max_instances = 0;
	config.max_memories = MEMORIES * (SESSIONS + PLACES + 1);
	config.max_memory_bytes = 4 * WPAGE;
	conform_open(&scene->conform, &config);
	scene->module = load(scene->conform.context);
	scene->snapshot = capture(scene);
	CONFORM_MUST(fl_wasm2c_clones_init(&scene->clones, scene->conform.pool,
					   scene->snapshot, layout,
					   &scene->codec, &error),
		     &error);
}

static void scene_close(struct scene *scene)
{
	struct fl_pool_info info = conform_info(&scene->conform);

	CHECK_EQ(info.live_memories, 0);
	CHECK_EQ(info.retired_memories, 0);
	fl_snapshot_release(scene->snapshot);
	fl_module_release(scene->module);
	conform_close(&scene->conform);
}

static void clone(struct scene *scene, struct guest *guest)
{
	struct fl_error error = { .text = "" };

	CONFORM_MUST(fl_wasm2c_clone(&scene->clones, &guest->instance, 0,
				     &error),
		     &error);
}

static uint64_t pick(struct scene *scene, uint64_t limit)
{
	return test_random_below(&scene->random, limit);
}

/* ----------------------------------------------------------------- comparing */

struct state {
	void *bytes;
	uint64_t length;
};

static struct state encode(struct scene *scene, const struct guest *guest)
{
	struct fl_error error = { .text = "" };
	struct state state = { NULL, 0 };

	CONFORM_MUST(fl_wasm2c_encode(layout, &guest->instance, &scene->codec,
				      &state.bytes, &state.length, &error),
		     &error);
	return state;
}

static void check_alike(struct scene *scene, struct guest *guest,
			struct guest *twin)
{
	struct state one = encode(scene, guest), other = encode(scene, twin);

	CHECK_EQ(one.length, other.length);
	CHECK(one.length == other.length &&
	      !memcmp(one.bytes, other.bytes, one.length));
	free(one.bytes);
	free(other.bytes);
	for (uint32_t i = 0; i < MEMORIES; i++) {
		const wasm_rt_memory_t *memory = memory_of(guest, i);
		const wasm_rt_memory_t *twins = memory_of(twin, i);

		CHECK_EQ(memory->pages, twins->pages);
		CHECK_EQ(memory->size, twins->size);
		CHECK(memory->size == twins->size &&
		      !memcmp(memory->data, twins->data, memory->size));
	}
}

/* ------------------------------------------------------------------ requests */

/* What one request changes, by numbers that are drawn once for both. */
struct request {
	uint32_t memory_idx, value, which, place;
	uint64_t off, len;
	bool grows, drops;
};

static struct request draw(struct scene *scene, struct guest *twin)
{
	struct request request = {
		.memory_idx = (uint32_t)pick(scene, MEMORIES),
		.value = (uint32_t)pick(scene, UINT32_MAX),
		.which = (uint32_t)pick(scene, 5),
		.place = (uint32_t)pick(scene, 7),
		.grows = pick(scene, 10) == 0,
		.drops = pick(scene, 20) == 0,
	};
	uint64_t size = memory_of(twin, request.memory_idx)->size;

	request.off = pick(scene, size);
	request.len = 1 + pick(scene, pick(scene, 4) ? 100 : 20000);
	if (request.len > size - request.off)
		request.len = size - request.off;
	return request;
}

static void serve(const struct request *request, struct guest *guest)
{
	Z_state_instance_t *g = &guest->instance;

	memset(memory_of(guest, request->memory_idx)->data + request->off,
	       (int)request->value, request->len);
	Z_stateZ_set_numbers(g, request->value, (uint64_t)request->value << 20,
			     (float)request->which, request->place);
	*Z_stateZ_shown(g) = request->value;
	Z_stateZ_put(g, request->place, request->which);
	Z_stateZ_copy(g, request->place % 3, request->place);
	Z_stateZ_put_host(g, request->place,
			  request->which < 4 ? &hosts[request->which] : NULL);
	Z_stateZ_set_value(g, &hosts[request->place % 4]);
	Z_stateZ_set_function(g, request->which % 2);
	if (request->drops)
		Z_stateZ_drop_others(g);
	/* To the module's maximum, and then no more. */
	if (request->grows)
		wasm_rt_grow_memory(memory_of(guest, 1), 1);
}

/* ------------------------------------------------------------------- sleeping */

static struct state suspend(struct scene *scene, struct guest *guest,
			    const uint8_t *tag)
{
	struct fl_delta_info info = { .size = sizeof(info) };
	struct fl_error error = { .text = "" };
	struct fl_delta *delta = NULL;
	struct state state;
	const void *lent;

	CONFORM_MUST(fl_wasm2c_suspend(&scene->clones, &guest->instance, tag,
				       &delta, &error),
		     &error);
	fl_delta_info(delta, &info);
	CHECK_EQ(info.release_error, 0);
	for (uint32_t i = 0; i < MEMORIES; i++)
		CHECK_EQ(memory_of(guest, i)->size, 0);
	lent = fl_delta_bytes(delta, &state.length);
	state.bytes = malloc(state.length);
	MUST(state.bytes != NULL);
	memcpy(state.bytes, lent, state.length);
	fl_delta_release(delta);
	return state;
}

static int wake(struct scene *scene, struct guest *guest,
		const struct state *state, const uint8_t *tag,
		struct fl_error *error)
{
	struct fl_delta *delta;
	int err = fl_delta_open(scene->snapshot, state->bytes, state->length,
				FL_BYTES_COPY, tag, &delta, error);

	if (err)
		return err;
	err = fl_wasm2c_wake(&scene->clones, &guest->instance, delta, 0, error);
	fl_delta_release(delta);
	return err;
}

struct session {
	struct guest twin;
	struct state asleep;
	uint8_t tag[32];
};

/* One request of a session, in whichever place. */
static void play_one(struct scene *scene, struct session *session,
		     struct guest *place)
{
	struct request request = draw(scene, &session->twin);
	struct fl_error error = { .text = "" };
	uint8_t id[16];

	memcpy(id, scene->last.generation_id, sizeof(id));
	if (session->asleep.bytes) {
		CONFORM_MUST(wake(scene, place, &session->asleep, session->tag,
				  &error),
			     &error);
		CHECK_EQ(scene->last.cause, FL_RESTORE_WOKEN);
		CHECK(memcmp(id, scene->last.generation_id, 16) != 0);
		free(session->asleep.bytes);
	} else {
		clone(scene, place);
		CHECK_EQ(scene->last.cause, FL_RESTORE_CLONED);
	}
	check_alike(scene, place, &session->twin);
	serve(&request, place);
	serve(&request, &session->twin);
	session->tag[31]++;
	session->asleep = suspend(scene, place, session->tag);
}

static void sessions_are_as_their_twins(void)
{
	struct session sessions[SESSIONS];
	struct guest places[PLACES];
	struct scene scene;

	scene_open(&scene);
	for (uint32_t i = 0; i < SESSIONS; i++) {
		open_in_pool(&scene, &sessions[i].twin, 100);
		clone(&scene, &sessions[i].twin);
		sessions[i].asleep = (struct state){ NULL, 0 };
		memset(sessions[i].tag, (int)i, sizeof(sessions[i].tag));
	}
	/* One place was never in the pool before its first clone. */
	for (uint32_t i = 0; i < PLACES; i++) {
		if (i)
			open_in_pool(&scene, &places[i], 200 + i);
		else
			guest_open(&places[i], 200);
	}
	for (uint32_t i = 0; i < 150 && !test_has_failed(); i++)
		play_one(&scene, &sessions[pick(&scene, SESSIONS)],
			 &places[pick(&scene, PLACES)]);
	for (uint32_t i = 0; i < SESSIONS; i++) {
		guest_close(&sessions[i].twin);
		free(sessions[i].asleep.bytes);
	}
	for (uint32_t i = 0; i < PLACES; i++)
		guest_close(&places[i]);
	scene_close(&scene);
}

/* A delta is the session as it was then, however often it is woken. */
static void one_delta_wakes_twice(void)
{
	struct fl_error error = { .text = "" };
	struct guest one, other, twin;
	struct request request;
	struct state state;
	struct scene scene;

	scene_open(&scene);
	open_in_pool(&scene, &one, 1);
	open_in_pool(&scene, &other, 2);
	open_in_pool(&scene, &twin, 3);
	clone(&scene, &one);
	clone(&scene, &twin);
	request = draw(&scene, &twin);
	serve(&request, &one);
	serve(&request, &twin);
	state = suspend(&scene, &one, NULL);
	CONFORM_MUST(wake(&scene, &one, &state, NULL, &error), &error);
	request = draw(&scene, &one);
	serve(&request, &one);
	CONFORM_MUST(wake(&scene, &other, &state, NULL, &error), &error);
	check_alike(&scene, &other, &twin);
	serve(&request, &twin);
	check_alike(&scene, &one, &twin);
	free(state.bytes);
	guest_close(&twin);
	guest_close(&other);
	guest_close(&one);
	scene_close(&scene);
}

/* ------------------------------------------------------------------- refusals */

static void what_is_no_clone_stays_awake(void)
{
	struct fl_error error = { .text = "" };
	struct fl_delta *delta = NULL;
	struct guest pooled, other;
	struct scene scene;

	scene_open(&scene);
	open_in_pool(&scene, &pooled, 1);
	guest_open(&other, 2);
	memcpy(memory_of(&other, 1)->data + 4, "other", 5);
	/* Its memories show the module's images, not the snapshot's. */
	CHECK_EQ(fl_wasm2c_suspend(&scene.clones, &pooled.instance, NULL,
				   &delta, &error),
		 -EINVAL);
	CHECK_EQ(fl_wasm2c_suspend(&scene.clones, &other.instance, NULL, &delta,
				   &error),
		 -EINVAL);
	CHECK_HAS(error.text, "no pool's");
	CHECK(!delta);
	/* Both are as they were: found, grown and freed. */
	CHECK(fl_wasm2c_memory(memory_of(&pooled, 1)) != NULL);
	CHECK_EQ(wasm_rt_grow_memory(memory_of(&pooled, 1), 1), 1);
	CHECK(!memcmp(memory_of(&pooled, 1)->data + 4, "first", 5));
	CHECK(!memcmp(memory_of(&other, 1)->data + 4, "other", 5));
	guest_close(&other);
	guest_close(&pooled);
	scene_close(&scene);
}

static void deltas_of_others_do_not_wake(void)
{
	uint8_t tag[32] = { 1 }, other_tag[32] = { 2 };
	struct fl_error error = { .text = "" };
	struct fl_snapshot *other;
	struct fl_delta *delta;
	struct guest guest;
	struct scene scene;
	struct state state;

	scene_open(&scene);
	open_in_pool(&scene, &guest, 1);
	clone(&scene, &guest);
	state = suspend(&scene, &guest, tag);
	CHECK_EQ(wake(&scene, &guest, &state, other_tag, &error), -EINVAL);
	/* Of the same content, and yet not the clones' own. */
	other = capture(&scene);
	CONFORM_MUST(fl_delta_open(other, state.bytes, state.length,
				   FL_BYTES_COPY, tag, &delta, &error),
		     &error);
	clone(&scene, &guest);
	CHECK_EQ(fl_wasm2c_wake(&scene.clones, &guest.instance, delta, 0,
				&error),
		 -EINVAL);
	CHECK_HAS(error.text, "snapshot of these clones");
	CHECK_EQ(memory_of(&guest, 0)->size, WPAGE);
	fl_delta_release(delta);
	fl_snapshot_release(other);
	/* A table never shrinks: this instance's has grown. */
	Z_stateZ_grow(&guest.instance, 1);
	CHECK_EQ(wake(&scene, &guest, &state, tag, &error), -ENOEXEC);
	CHECK_HAS(error.text, "elements");
	CHECK_EQ(memory_of(&guest, 0)->size, 0);
	free(state.bytes);
	guest_close(&guest);
	scene_close(&scene);
}

/* ---------------------------------------------------------------- hostile bytes */

static uint32_t changes(void)
{
	const char *text = getenv("FAULTLINE_TEST_CHANGES");

	return text ? (uint32_t)strtoul(text, NULL, 10) : 1000;
}

/* Refused, and then the instance is good for another clone; or a session. */
static bool try_bytes(struct scene *scene, struct guest *guest,
		      const struct state *state)
{
	struct fl_error error = { .text = "" };
	int err = wake(scene, guest, state, NULL, &error);

	if (!err) {
		struct state again = suspend(scene, guest, NULL);

		free(again.bytes);
		return true;
	}
	CHECK(err == -ENOEXEC || err == -EINVAL || err == -ENOTSUP ||
	      err == -E2BIG || err == -EPERM);
	CHECK(error.text[0] != 0);
	return false;
}

/* What was taken may have had larger tables, and tables never shrink. */
static void open_if_grown(struct scene *scene, struct guest *guest)
{
	const Z_state_instance_t *g = &guest->instance;

	if (g->w2c_functions.size == 13 && g->w2c_T2.size == 7 &&
	    g->w2c_T4.size == 3)
		return;
	guest_close(guest);
	open_in_pool(scene, guest, 1);
}

static void changed_bytes(void)
{
	struct guest guest, twin;
	struct state state, copy;
	uint32_t taken = 0;
	struct scene scene;

	scene_open(&scene);
	open_in_pool(&scene, &guest, 1);
	open_in_pool(&scene, &twin, 2);
	clone(&scene, &guest);
	for (uint32_t i = 0; i < 3; i++) {
		struct request request = draw(&scene, &guest);

		serve(&request, &guest);
	}
	state = suspend(&scene, &guest, NULL);
	copy = state;
	copy.bytes = malloc(state.length);
	MUST(copy.bytes != NULL);
	for (uint32_t i = 0; i < changes() && !test_has_failed(); i++) {
		/* The head and what follows the lines is where the sense is. */
		uint64_t off = pick(&scene, 2) ?
				       pick(&scene, state.length) :
				       state.length - 1 - pick(&scene, 400);
		uint8_t *bytes = copy.bytes;

		memcpy(bytes, state.bytes, state.length);
		bytes[off] ^= (uint8_t)(1u << pick(&scene, 8));
		if (pick(&scene, 8))
			delta_bytes_mend(bytes, state.length);
		taken += try_bytes(&scene, &guest, &copy);
		open_if_grown(&scene, &guest);
	}
	test_note("%u of %u changed deltas are deltas", taken, changes());
	/* Nothing of all that is left. */
	clone(&scene, &guest);
	clone(&scene, &twin);
	check_alike(&scene, &guest, &twin);
	free(copy.bytes);
	free(state.bytes);
	guest_close(&twin);
	guest_close(&guest);
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(sessions_are_as_their_twins),
	TEST_CASE(one_delta_wakes_twice),
	TEST_CASE(what_is_no_clone_stays_awake),
	TEST_CASE(deltas_of_others_do_not_wake),
	TEST_CASE(changed_bytes),
};

int main(int argc, char **argv)
{
	if (guest_init(false))
		return 1;
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases),
			 conform_rungs, TEST_ARRAY_SIZE(conform_rungs));
}
