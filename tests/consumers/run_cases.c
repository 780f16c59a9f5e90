/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * run_cases.c - guests in an interpreter on a pool's memories do what they do on
 * the interpreter's own: the same answers, sizes and traps, whoever had the memory
 * before.
 *
 * FAULTLINE_TEST_GUESTS is how many guests come and go.
 */
#include "run_cases.h"

#include "tests/kit/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

void run_scene_open(struct run_scene *scene, uint32_t slots)
{
	conform_open(&scene->conform, NULL);
	runtime_open();
	scene->pool = guest_pool(scene->conform.context, slots);
	guest_module_open(&scene->work, scene->conform.context, "work");
	guest_module_open(&scene->start, scene->conform.context, "start");
}

void run_scene_close(struct run_scene *scene)
{
	struct fl_pool_info info = { .size = sizeof(info) };

	fl_pool_info(scene->pool, &info);
	CHECK_EQ(info.live_memories, 0);
	CHECK_EQ(info.retired_memories, 0);
	guest_module_close(&scene->start);
	guest_module_close(&scene->work);
	MUST_EQ(guest_pool_close(scene->pool), 0);
	runtime_close();
	conform_close(&scene->conform);
}

void run_must_start(const struct guest_module *module, struct fl_pool *pool,
		    struct guest *guest)
{
	struct fl_error error = { .text = "" };

	CONFORM_MUST(guest_start(module, pool, guest, &error), &error);
}

void run_check_start_refused(struct fl_pool *pool,
			     const struct guest_module *module, int err,
			     const char *words)
{
	struct fl_error error = { .text = "" };
	struct guest guest;

	CHECK_EQ(guest_start(module, pool, &guest, &error), err);
	CHECK(strstr(error.text, words) != NULL);
}

static void check_same(const char *trap, const char *other)
{
	CHECK(!trap == !other);
	CHECK(!trap || !other || !strcmp(trap, other));
}

static const char *const names[] = {
	"sum", "touch", "grow", "size", "load", "store", "count",
};

/* A number that fits the function, now and then one that traps. */
static uint32_t random_arg(struct test_random *random, const char *name)
{
	if (!strcmp(name, "sum"))
		return (uint32_t)test_random_below(random, RUN_DATA_END / 256) *
		       256;
	if (!strcmp(name, "touch"))
		return (uint32_t)test_random_below(random, 1100);
	if (!strcmp(name, "grow"))
		return (uint32_t)test_random_below(random, 12);
	if (!strcmp(name, "load") || !strcmp(name, "store"))
		return (uint32_t)test_random_below(random, 100 * 65536);
	return 0;
}

/* Both guests do the same; both memories are the same afterwards. */
static void play(struct run_scene *scene, struct test_random *random)
{
	struct guest pooled, stock;
	uint32_t pooled_length, stock_length;

	run_must_start(&scene->work, scene->pool, &pooled);
	run_must_start(&scene->work, NULL, &stock);
	for (int i = 0; i < 12 && !test_has_failed(); i++) {
		const char *name =
			names[test_random_below(random, TEST_ARRAY_SIZE(names))];
		uint32_t arg = random_arg(random, name);
		uint32_t a = 0, b = 0;
		const char *trap = guest_call(&pooled, name, arg, &a);

		check_same(trap, guest_call(&stock, name, arg, &b));
		CHECK_EQ(a, b);
	}
	CHECK(guest_memory(&pooled, &pooled_length) != NULL);
	CHECK(guest_memory(&stock, &stock_length) != NULL);
	CHECK_EQ(pooled_length, stock_length);
	CHECK_EQ(fl_memory_length(guest_handle(&pooled)), stock_length);
	CHECK(!memcmp(guest_memory(&pooled, NULL), guest_memory(&stock, NULL),
		      stock_length));
	guest_end(&pooled);
	guest_end(&stock);
}

void run_answers_equal_stock(void)
{
	struct test_random random;
	struct run_scene scene;

	test_random_init(&random, 3);
	run_scene_open(&scene, 2);
	for (int i = 0; i < 60 && !test_has_failed(); i++)
		play(&scene, &random);
	run_scene_close(&scene);
}

void run_traps_at_every_edge(void)
{
	struct run_scene scene;
	struct guest guest;
	uint32_t answer, size = RUN_WPAGES;

	run_scene_open(&scene, 1);
	run_must_start(&scene.work, scene.pool, &guest);
	for (; size <= RUN_MAX_WPAGES; size += 8) {
		CHECK(!guest_call(&guest, "store", size * 65536 - 4, &answer));
		for (uint32_t over = 3; over; over--)
			check_same(guest_call(&guest, "store",
					      size * 65536 - over, &answer),
				   RUN_TRAP_BOUNDS);
		check_same(guest_call(&guest, "load", size * 65536, &answer),
			   RUN_TRAP_BOUNDS);
		if (size < RUN_MAX_WPAGES)
			CHECK(!guest_call(&guest, "grow", 8, &answer));
	}
	guest_end(&guest);
	run_scene_close(&scene);
}

/* Guests that come and go: many on the rung that is there for that. */
static int many(void)
{
	const char *text = getenv("FAULTLINE_TEST_GUESTS");

	if (text && atoi(text) > 0)
		return atoi(text);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return 500;
#else
	return strcmp(test_rung->name, "linux") ? 500 : 100000;
#endif
}

void run_one_after_another(void)
{
	uint32_t first = 0, answer = 0;
	struct run_scene scene;
	struct guest guest;

	run_scene_open(&scene, 1);
	for (int i = 0; i < many() && !test_has_failed(); i++) {
		run_must_start(&scene.work, scene.pool, &guest);
		CHECK(!guest_call(&guest, "touch", 16, &answer));
		CHECK_EQ(answer, i ? first : answer);
		first = answer;
		if (i % 1000 == 0) {
			CHECK(!guest_call(&guest, "grow", 3, &answer));
			CHECK_EQ(answer, RUN_WPAGES);
		}
		guest_end(&guest);
	}
	run_scene_close(&scene);
}

static void *come_and_go(void *arg)
{
	struct run_scene *scene = arg;
	uint32_t answer = 0;

	for (int i = 0; i < many() / 5; i++) {
		struct guest guest;

		run_must_start(&scene->work, scene->pool, &guest);
		if (guest_call(&guest, "touch", 20, &answer))
			abort();
		guest_end(&guest);
	}
	return (void *)(uintptr_t)answer;
}

void run_two_threads(void)
{
	pthread_t threads[2];
	void *answers[2];
	struct run_scene scene;

	run_scene_open(&scene, 2);
	for (int i = 0; i < 2; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, come_and_go, &scene),
			0);
	for (int i = 0; i < 2; i++)
		MUST_EQ(pthread_join(threads[i], &answers[i]), 0);
	CHECK(answers[0] == answers[1]);
	run_scene_close(&scene);
}

void run_start_function_sees_the_data(void)
{
	struct run_scene scene;
	struct guest guest;
	uint32_t answer = 0;

	run_scene_open(&scene, 1);
	run_must_start(&scene.start, scene.pool, &guest);
	CHECK(!guest_call(&guest, "size", 0, &answer));
	CHECK_EQ(answer, 42);
	guest_end(&guest);
	run_scene_close(&scene);
}

static uint32_t must_answer(struct guest *guest, const char *name, uint32_t arg)
{
	uint32_t answer = 0;

	MUST(!guest_call(guest, name, arg, &answer));
	return answer;
}

/* The bytes of a guest's memory, for free(). */
static uint8_t *copy_memory(struct guest *guest, uint32_t *length)
{
	const uint8_t *bytes = guest_memory(guest, length);
	uint8_t *copy = malloc(*length);

	MUST(copy != NULL);
	memcpy(copy, bytes, *length);
	return copy;
}

static void check_refused(struct guest *guest, const struct run_scene *scene,
			  struct fl_snapshot *of)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot;
	struct fl_delta *delta;

	CHECK_EQ(guest_snapshot(guest, &scene->work, &snapshot, &error),
		 -ENOTSUP);
	CHECK(strstr(error.text, "a global has another value") != NULL);
	CHECK_EQ(guest_delta(guest, &scene->work, of, &delta, &error),
		 -ENOTSUP);
}

static void must_resume(const struct run_scene *scene,
			struct fl_snapshot *snapshot,
			const struct fl_delta *delta, struct guest *guest)
{
	struct fl_error error = { .text = "" };

	CONFORM_MUST(guest_resume(&scene->work, scene->pool, snapshot, delta,
				  guest, &error),
		     &error);
}

static struct fl_snapshot *must_capture(const struct run_scene *scene)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot;
	struct guest guest;

	must_resume(scene, NULL, NULL, &guest);
	(void)must_answer(&guest, "touch", 20);
	(void)must_answer(&guest, "store", 70000);
	CHECK_EQ(must_answer(&guest, "grow", 3), RUN_WPAGES);
	CONFORM_MUST(guest_snapshot(&guest, &scene->work, &snapshot, &error),
		     &error);
	/* Whose global the capture would lose. */
	(void)must_answer(&guest, "count", 0);
	check_refused(&guest, scene, snapshot);
	guest_end(&guest);
	return snapshot;
}

/* A clone changes, sleeps, and goes on in another guest, byte by byte. */
void run_clones_and_sessions(void)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot;
	struct run_scene scene;
	struct guest guest;
	struct fl_delta *delta;
	uint32_t length, answer;
	uint8_t *slept;

	run_scene_open(&scene, 1);
	snapshot = must_capture(&scene);
	must_resume(&scene, snapshot, NULL, &guest);
	CHECK_EQ(must_answer(&guest, "size", 0), RUN_WPAGES + 3);
	CHECK_EQ(must_answer(&guest, "load", 70000), 0x5aa5);
	CHECK_EQ(must_answer(&guest, "store", 400000), 0x5aa5);
	CHECK_EQ(must_answer(&guest, "grow", 1), RUN_WPAGES + 3);
	(void)must_answer(&guest, "touch", 5);
	CHECK(guest_call(&guest, "load", (RUN_WPAGES + 4) * 65536, &answer) !=
	      NULL);
	CONFORM_MUST(guest_delta(&guest, &scene.work, snapshot, &delta, &error),
		     &error);
	slept = copy_memory(&guest, &length);
	guest_end(&guest);
	/* Another clone knows nothing of it. */
	must_resume(&scene, snapshot, NULL, &guest);
	CHECK_EQ(must_answer(&guest, "size", 0), RUN_WPAGES + 3);
	CHECK(must_answer(&guest, "load", 400000) != 0x5aa5);
	guest_end(&guest);
	must_resume(&scene, snapshot, delta, &guest);
	MUST_EQ(must_answer(&guest, "size", 0), RUN_WPAGES + 4);
	CHECK_EQ(must_answer(&guest, "load", 400000), 0x5aa5);
	/* But for the answers of these two. */
	memset(slept + RUN_ANSWER, 0, 4);
	memset(guest_memory(&guest, NULL) + RUN_ANSWER, 0, 4);
	CHECK(!memcmp(slept, guest_memory(&guest, NULL), length));
	guest_end(&guest);
	free(slept);
	fl_delta_release(delta);
	fl_snapshot_release(snapshot);
	run_scene_close(&scene);
}

/* Snapshots of other modules and deltas of nothing. */
void run_foreign_snapshots_are_refused(void)
{
	struct fl_error error = { .text = "" };
	struct fl_snapshot *snapshot, *foreign;
	struct fl_snapshot_parts parts;
	struct fl_image *image;
	struct run_scene scene;
	struct guest guest;

	run_scene_open(&scene, 1);
	snapshot = must_capture(&scene);
	image = fl_snapshot_image(snapshot, 0, 0);
	fl_snapshot_parts_init(&parts);
	parts.module = fl_snapshot_module(snapshot, 0);
	parts.images = &image;
	parts.image_count = 1;
	parts.encoding = "another 1";
	CONFORM_MUST(fl_snapshot_create(&parts, &foreign, &error), &error);
	CHECK_EQ(guest_resume(&scene.work, scene.pool, foreign, NULL, &guest,
			      &error),
		 -ENOTSUP);
	CHECK(strstr(error.text, "another runtime's") != NULL);
	must_resume(&scene, snapshot, NULL, &guest);
	guest_end(&guest);
	fl_snapshot_release(foreign);
	fl_snapshot_release(snapshot);
	run_scene_close(&scene);
}
