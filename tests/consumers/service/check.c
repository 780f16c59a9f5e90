/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * check.c - traps and random numbers: what the service needs of its runtime and
 * of its clones before anything is worth measuring.
 *
 * Traps: two threads, each with an instance, trap at the same time, again and
 * again. Each gets its own trap back, and its instance still answers.
 *
 * Random numbers: clones of one capture draw different ones, because each was
 * told 128 bits of its own.
 */
#include <pthread.h>
#include <stdlib.h>

#include "rt_threadlocal.h"
#include "service.h"

#define TRAP_ROUNDS 50u
#define TRAPS_A_ROUND 100u
#define BEYOND 0xfffffff0u
#define DRAWS 64u

struct trapper {
	pthread_barrier_t *together;
	struct lane lane;
	const struct way *way;
	const struct guest *guest;
	struct fl_pool *pool;
};

static void trap_once(struct lane *lane)
{
	wasm_rt_trap_t trap = lane_peek(lane, BEYOND);

	if (trap != WASM_RT_TRAP_OOB)
		die("%s, %s: an access beyond the memory ended as: %s",
		    lane->guest->title, lane->way->title,
		    wasm_rt_strerror(trap));
	trap = lane_peek(lane, 0);
	if (trap)
		die("%s, %s: an access inside the memory trapped: %s",
		    lane->guest->title, lane->way->title,
		    wasm_rt_strerror(trap));
}

static void *trap_often(void *arg)
{
	struct trapper *trapper = arg;
	struct lane *lane = &trapper->lane;

	if (rt_thread_init())
		die("no signal stack");
	lane_open(lane, trapper->way, trapper->guest, trapper->pool);
	lane->way->start(lane);
	for (unsigned int round = 0; round < TRAP_ROUNDS; round++) {
		pthread_barrier_wait(trapper->together);
		for (unsigned int i = 0; i < TRAPS_A_ROUND; i++)
			trap_once(lane);
	}
	lane_check(lane, 0, 1, lane_request(lane, 0, 1));
	lane->way->end(lane);
	lane_close(lane);
	rt_thread_exit();
	return NULL;
}

static void check_traps(const struct guest *guest, struct fl_pool *pool,
			const struct way *way)
{
	struct trapper trappers[MAX_WORKERS];
	pthread_t threads[MAX_WORKERS];
	pthread_barrier_t together;

	pthread_barrier_init(&together, NULL, MAX_WORKERS);
	for (unsigned int i = 0; i < MAX_WORKERS; i++) {
		trappers[i] = (struct trapper){
			.together = &together,
			.way = way,
			.guest = guest,
			.pool = pool,
		};
		if (pthread_create(&threads[i], NULL, trap_often, &trappers[i]))
			die("cannot start a thread");
	}
	for (unsigned int i = 0; i < MAX_WORKERS; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&together);
}

static void check_random(const struct guest *guest, struct fl_pool *pool)
{
	uint64_t drawn[DRAWS];
	struct lane lane;

	lane_open(&lane, &ways[WAY_CLONE], guest, pool);
	for (unsigned int i = 0; i < DRAWS; i++) {
		lane.way->start(&lane);
		drawn[i] = lane_random(&lane);
		lane.way->end(&lane);
		for (unsigned int k = 0; k < i; k++)
			if (drawn[k] == drawn[i])
				die("%s: clones %u and %u draw the same random "
				    "number",
				    guest->title, k, i);
	}
	lane_close(&lane);
}

unsigned int checks_run(const struct guest *guest, struct fl_pool *pool)
{
	unsigned int cases = 0;

	for (int way = 0; way < WAYS; way++) {
		if (!way_is_there(&ways[way], guest))
			continue;
		check_traps(guest, pool, &ways[way]);
		cases++;
	}
	check_random(guest, pool);
	return cases + 1;
}
