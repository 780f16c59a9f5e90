/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * measure.c - requests of one kind in all ways, in blocks that take turns.
 *
 * Each worker is a thread with a lane for each way. All workers do the same way
 * at once, for some milliseconds, and go on to the next way together. So no way
 * has the quieter machine. Timed are start, request and end; comparing the
 * answer in between is not.
 *
 * Page faults are the thread's, counted around the same three. TLB shootdowns
 * are the host's, from /proc/interrupts before and after each block: other
 * processes' are in the count.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "rt_threadlocal.h"
#include "service.h"

#define BLOCK_NS UINT64_C(10000000)
/* Before a way is measured: until its slots and caches are in their steady
 * state, or, where starting takes milliseconds, a few. */
#define WARM_UP_REQUESTS 600u
#define WARM_UP_NS UINT64_C(50000000)

struct samples {
	uint32_t *whole_ns, *isolation_ns;
	/* Of isolation, without the first request of each block. */
	uint32_t *warm_ns;
	size_t count, room, warm_count;
	uint64_t busy_ns, faults, shootdowns;
};

struct worker {
	const struct guest *guest;
	pthread_barrier_t *together;
	uint64_t length_ns;
	uint32_t kind;
	bool is_first; /* the one that reads /proc/interrupts */
	uint64_t random;
	struct lane lanes[WAYS];
	struct fl_pool *pool;
	struct samples samples[WAYS];
};

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t faults_now(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)usage.ru_minflt;
}

/* The sum over all processors; 0 where the kernel does not show the line. */
static uint64_t shootdowns_now(void)
{
	FILE *file = fopen("/proc/interrupts", "r");
	char *line = NULL, *at, *end;
	size_t room = 0;
	uint64_t sum = 0;

	while (file && getline(&line, &room, file) > 0) {
		at = strstr(line, "TLB:");
		if (!at)
			continue;
		for (at += 4;; at = end) {
			uint64_t one = strtoull(at, &end, 10);

			if (end == at)
				break;
			sum += one;
		}
	}
	free(line);
	if (file)
		fclose(file);
	return sum;
}

static uint32_t random_seed(struct worker *worker)
{
	worker->random ^= worker->random << 13;
	worker->random ^= worker->random >> 7;
	worker->random ^= worker->random << 17;
	return (uint32_t)(worker->random >> 32) % SEEDS;
}

/* The new room is touched now, so that no request pays for it. */
static uint32_t *sample_room(uint32_t *ns, size_t count, size_t room)
{
	ns = realloc(ns, room * sizeof(*ns));
	if (!ns)
		die("no memory for samples");
	memset(ns + count, 0, (room - count) * sizeof(*ns));
	return ns;
}

static void sample_add(struct samples *samples, uint64_t whole_ns,
		       uint64_t isolation_ns, bool is_first)
{
	if (samples->count == samples->room) {
		samples->room = samples->room ? samples->room * 2 : 4096;
		samples->whole_ns = sample_room(samples->whole_ns,
						samples->count, samples->room);
		samples->isolation_ns = sample_room(
			samples->isolation_ns, samples->count, samples->room);
		samples->warm_ns = sample_room(
			samples->warm_ns, samples->warm_count, samples->room);
	}
	if (!is_first)
		samples->warm_ns[samples->warm_count++] =
			(uint32_t)isolation_ns;
	samples->whole_ns[samples->count] = (uint32_t)whole_ns;
	samples->isolation_ns[samples->count++] = (uint32_t)isolation_ns;
}

static void serve_one(struct worker *worker, struct lane *lane,
		      struct samples *samples, bool is_first)
{
	uint32_t seed = random_seed(worker), length;
	uint64_t at_ns[5], faults;

	faults = faults_now();
	at_ns[0] = now_ns();
	lane->way->start(lane);
	at_ns[1] = now_ns();
	length = lane_request(lane, worker->kind, seed);
	at_ns[2] = now_ns();
	samples->faults += faults_now() - faults;
	lane_check(lane, worker->kind, seed, length);
	faults = faults_now();
	at_ns[3] = now_ns();
	lane->way->end(lane);
	at_ns[4] = now_ns();
	samples->faults += faults_now() - faults;
	sample_add(samples, at_ns[2] - at_ns[0] + (at_ns[4] - at_ns[3]),
		   at_ns[1] - at_ns[0] + (at_ns[4] - at_ns[3]), is_first);
	samples->busy_ns += at_ns[2] - at_ns[0] + (at_ns[4] - at_ns[3]);
}

static void warm_up(struct worker *worker, int way)
{
	struct samples *samples = &worker->samples[way];
	uint64_t end_ns = now_ns() + WARM_UP_NS;

	for (unsigned int i = 0; i < WARM_UP_REQUESTS && now_ns() < end_ns; i++)
		serve_one(worker, &worker->lanes[way], samples, false);
	samples->count = samples->warm_count = 0;
	samples->busy_ns = samples->faults = 0;
}

static void block(struct worker *worker, int way)
{
	struct samples *samples = &worker->samples[way];
	uint64_t end_ns, before = 0;
	bool is_first = true;

	if (worker->is_first)
		before = shootdowns_now();
	pthread_barrier_wait(worker->together);
	end_ns = now_ns() + BLOCK_NS;
	do {
		serve_one(worker, &worker->lanes[way], samples, is_first);
		is_first = false;
	} while (now_ns() < end_ns);
	pthread_barrier_wait(worker->together);
	if (worker->is_first)
		samples->shootdowns += shootdowns_now() - before;
}

/* Rounds are counted, not timed, so that all workers do as many. */
static void rounds(struct worker *worker)
{
	uint64_t count = worker->length_ns / BLOCK_NS / WAYS;

	for (uint64_t i = 0; i <= count; i++)
		for (int way = 0; way < WAYS; way++)
			if (way_is_there(&ways[way], worker->guest))
				block(worker, way);
}

static void *work(void *arg)
{
	struct worker *worker = arg;

	if (rt_thread_init())
		die("no signal stack");
	for (int way = 0; way < WAYS; way++) {
		if (!way_is_there(&ways[way], worker->guest))
			continue;
		lane_open(&worker->lanes[way], &ways[way], worker->guest,
			  worker->pool);
		warm_up(worker, way);
	}
	rounds(worker);
	for (int way = 0; way < WAYS; way++)
		if (way_is_there(&ways[way], worker->guest))
			lane_close(&worker->lanes[way]);
	rt_thread_exit();
	return NULL;
}

/* ----------------------------------------------------------------- figures */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static double quantile_us(const uint32_t *sorted_ns, size_t count, double share)
{
	return sorted_ns[(size_t)(share * (double)(count - 1))] / 1e3;
}

/* Moves one worker's samples to all. */
static void samples_join(struct samples *all, struct samples *one)
{
	size_t warm_from = all->warm_count;

	for (size_t i = 0; i < one->count; i++)
		sample_add(all, one->whole_ns[i], one->isolation_ns[i], true);
	memcpy(all->warm_ns + warm_from, one->warm_ns,
	       one->warm_count * sizeof(*one->warm_ns));
	all->warm_count += one->warm_count;
	all->busy_ns += one->busy_ns;
	all->faults += one->faults;
	all->shootdowns += one->shootdowns;
	free(one->whole_ns);
	free(one->isolation_ns);
	free(one->warm_ns);
}

static void figures_make(struct figures *figures, struct samples *all,
			 unsigned int workers)
{
	double requests = (double)all->count;

	qsort(all->whole_ns, all->count, sizeof(uint32_t), by_value);
	qsort(all->isolation_ns, all->count, sizeof(uint32_t), by_value);
	qsort(all->warm_ns, all->warm_count, sizeof(uint32_t), by_value);
	*figures = (struct figures){
		.is_there = true,
		.workers = workers,
		.requests = all->count,
		.per_s = requests * 1e9 * workers / (double)all->busy_ns,
		.p50_us = quantile_us(all->whole_ns, all->count, 0.5),
		.p95_us = quantile_us(all->whole_ns, all->count, 0.95),
		.p99_us = quantile_us(all->whole_ns, all->count, 0.99),
		.faults = (double)all->faults / requests,
		.shootdowns = (double)all->shootdowns / requests,
		.isolation_p50_us =
			quantile_us(all->isolation_ns, all->count, 0.5),
		.isolation_p99_us =
			quantile_us(all->isolation_ns, all->count, 0.99),
		/* A way that takes longer than a block has first ones alone. */
		.warm_p99_us = all->warm_count ?
				       quantile_us(all->warm_ns,
						   all->warm_count, 0.99) :
				       0,
	};
	free(all->whole_ns);
	free(all->isolation_ns);
	free(all->warm_ns);
}

static void way_figures(struct worker *workers, unsigned int count, int way,
			struct figures *figures)
{
	struct samples all;

	memset(&all, 0, sizeof(all));
	memset(figures, 0, sizeof(*figures));
	for (unsigned int i = 0; i < count; i++)
		samples_join(&all, &workers[i].samples[way]);
	if (all.count)
		figures_make(figures, &all, count);
}

void measure(const struct guest *guest, struct fl_pool *pool, uint32_t kind,
	     unsigned int workers, double seconds, struct figures figures[WAYS])
{
	struct worker *all = must_allocate(workers * sizeof(*all));
	pthread_t threads[MAX_WORKERS];
	pthread_barrier_t together;

	pthread_barrier_init(&together, NULL, workers);
	for (unsigned int i = 0; i < workers; i++) {
		all[i] = (struct worker){
			.guest = guest,
			.together = &together,
			.length_ns = (uint64_t)(seconds * 1e9),
			.kind = kind,
			.is_first = !i,
			.random = UINT64_C(0x9e3779b97f4a7c15) * (i + 1),
			.pool = pool,
		};
		if (pthread_create(&threads[i], NULL, work, &all[i]))
			die("cannot start a thread");
	}
	for (unsigned int i = 0; i < workers; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&together);
	for (int way = 0; way < WAYS; way++)
		way_figures(all, workers, way, &figures[way]);
	free(all);
}
