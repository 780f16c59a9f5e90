/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_run.c - a fresh guest in an interpreter, on its own memory and on a
 * pool's, in turn: start, write so many host pages of a memory of 4 MiB with 2 MiB
 * of data, end. Medians of what each way took.
 *
 * The first table is where the C library gives a freed memory back to the system,
 * as it does where memories of other sizes or many guests at once come between.
 * In the second table glibc keeps the memory, so a lone guest after another finds
 * its pages there.
 *
 * The guests run in a thread of their own, as in a host with workers: on the main
 * thread glibc's pthread_getattr_np(), which WAMR calls for each guest, reads all
 * of /proc/self/maps, whatever the memories are.
 *
 * Then clones of a guest that was captured after it had written 16 pages, and
 * sessions of one that sleeps as a delta after each call: so many that each slot
 * and each byte of the allocator has had another guest before.
 *
 *	bench_wasm3|bench_wamr [ROUNDS [CLONES]]
 */
#include "run.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SAMPLES 200

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double cycle_us(const struct guest_module *module, struct fl_pool *pool,
		       uint32_t pages)
{
	struct fl_error error = { .text = "" };
	struct guest guest;
	uint32_t answer;
	double start = now_us();

	if (guest_start(module, pool, &guest, &error) ||
	    guest_call(&guest, "touch", pages, &answer)) {
		fprintf(stderr, "bench_" RUN_NAME ": %s\n", error.text);
		exit(1);
	}
	guest_end(&guest);
	return now_us() - start;
}

static void bench(const struct guest_module *module, struct fl_pool *pool,
		  uint32_t pages, int rounds)
{
	static double stock[SAMPLES], pooled[SAMPLES];
	int count = rounds < SAMPLES ? rounds : SAMPLES;
	double a, b;

	for (int i = -5; i < count; i++) {
		a = cycle_us(module, NULL, pages);
		/* The caches are the pool's own, as in a row of guests. */
		cycle_us(module, pool, pages);
		b = cycle_us(module, pool, pages);
		if (i >= 0) {
			stock[i] = a;
			pooled[i] = b;
		}
	}
	qsort(stock, (size_t)count, sizeof(*stock), compare);
	qsort(pooled, (size_t)count, sizeof(*pooled), compare);
	printf("%5u %10.1f %10.1f %8.1f\n", pages, stock[count / 2],
	       pooled[count / 2], stock[count / 2] / pooled[count / 2]);
}

static void bench_all(const struct guest_module *module, struct fl_pool *pool,
		      const char *what, int rounds)
{
	static const uint32_t pages[] = { 0, 4, 16, 64, 256 };

	printf("pages   stock us  pooled us    times   %s\n", what);
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++)
		bench(module, pool, pages[i], rounds);
}

static void need(bool holds, const struct fl_error *error)
{
	if (holds)
		return;
	fprintf(stderr, "bench_" RUN_NAME ": %s\n", error->text);
	exit(1);
}

/* One call in a clone, or in the session. Its answer is checked: the word of the
 * last page that it writes has been added to before. */
static double clone_us(const struct guest_module *module, struct fl_pool *pool,
		       struct fl_snapshot *snapshot, struct fl_delta **asleep,
		       uint32_t expected)
{
	struct fl_error error = { .text = "a clone has another content" };
	struct fl_delta *before = asleep ? *asleep : NULL;
	struct guest guest;
	uint32_t answer = 0;
	double start = now_us();

	need(!guest_resume(module, pool, snapshot, before, &guest, &error) &&
		     !guest_call(&guest, "touch", 16, &answer) &&
		     (!expected || answer == expected),
	     &error);
	if (asleep) {
		need(!guest_delta(&guest, module, snapshot, asleep, &error),
		     &error);
		fl_delta_release(before);
	}
	guest_end(&guest);
	return now_us() - start;
}

static void bench_clones(const struct guest_module *module,
			 struct fl_pool *pool, int count)
{
	double *clones = calloc((size_t)count, sizeof(*clones));
	double *sessions = calloc((size_t)count, sizeof(*sessions));
	struct fl_error error = { .text = "no memory" };
	struct fl_delta *asleep = NULL;
	struct fl_snapshot *snapshot;
	struct guest guest;
	uint32_t answer;

	need(clones && sessions &&
		     !guest_resume(module, pool, NULL, NULL, &guest, &error) &&
		     !guest_call(&guest, "touch", 16, &answer) &&
		     !guest_snapshot(&guest, module, &snapshot, &error),
	     &error);
	guest_end(&guest);
	for (int i = 0; i < count; i++) {
		/* touch() adds one to the last page. */
		clones[i] = clone_us(module, pool, snapshot, NULL, answer + 1);
		sessions[i] = clone_us(module, pool, snapshot, &asleep, 0);
	}
	qsort(clones, (size_t)count, sizeof(*clones), compare);
	qsort(sessions, (size_t)count, sizeof(*sessions), compare);
	printf("%d clones %.1f us, sessions %.1f us\n", count,
	       clones[count / 2], sessions[count / 2]);
	fl_delta_release(asleep);
	fl_snapshot_release(snapshot);
	free(sessions);
	free(clones);
}

struct job {
	struct guest_module module;
	struct fl_pool *pool;
	int rounds, clones;
};

static void *run(void *arg)
{
	struct job *job = arg;

	mallopt(M_MMAP_THRESHOLD, 128 << 10);
	bench_all(&job->module, job->pool, "(malloc gives memory back)",
		  job->rounds);
	/* The most that glibc takes; a thread's heap has room for so much. */
	mallopt(M_MMAP_THRESHOLD, 32 << 20);
	mallopt(M_TRIM_THRESHOLD, 64 << 20);
	bench_all(&job->module, job->pool, "(malloc keeps what was freed)",
		  job->rounds);
	bench_clones(&job->module, job->pool, job->clones);
	return NULL;
}

int main(int argc, char **argv)
{
	struct job job = {
		.rounds = argc > 1 ? atoi(argv[1]) : SAMPLES,
		.clones = argc > 2 ? atoi(argv[2]) : 1000,
	};
	struct fl_context *context;
	pthread_t worker;

	if (fl_context_create(NULL, &context, NULL))
		return 1;
	runtime_open();
	job.pool = guest_pool(context, 1);
	guest_module_open(&job.module, context, "work");
	printf("%s (%s) on %s/%s\n", RUN_NAME, RUN_CYCLE,
	       fl_context_backend(context), fl_context_rung(context, NULL));
	if (pthread_create(&worker, NULL, run, &job) ||
	    pthread_join(worker, NULL))
		return 1;
	guest_module_close(&job.module);
	guest_pool_close(job.pool);
	runtime_close();
	fl_context_destroy(context);
	return 0;
}
