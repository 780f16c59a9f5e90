/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * stock.c - measure wasm2c without Faultline: whole modules, a new memory
 * for each instance.
 *
 *	stock|unpooled GUEST FIRST COUNT call|idle THREADS
 *
 * Each thread instantiates and frees COUNT instances one after the other and,
 * with "call", has instance number i answer request FIRST + i in between; the
 * second thread goes on where the first one ends. Writes one byte to standard
 * output when all are ready, waits for one on standard input, so that several
 * processes can start at the same moment, works, and writes for each thread a
 * struct worker_report and its samples.
 *
 * Built twice. "stock" has Debian's libwasm-rt-impl.a: one thread, because it
 * keeps its trap state in process globals, and a COUNT below 10,000, because
 * it unmaps the accessible part of a memory only, so that its 8 GiB of address
 * space are lost and all is used up after some 16,000 instances. "unpooled"
 * (WITH_THREADS) has rt_threadlocal.c for a runtime: threads, and a free that
 * gives back all of a memory.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "guest.h"
#include "serve_app.h"

#ifdef WITH_THREADS
#include "rt_threadlocal.h"
#define PROGRAM "unpooled"
#define MAX_THREADS MAX_WORKERS
#define MAX_INSTANCES 10000000u
#else
#include <wasm-rt-impl.h>
#define PROGRAM "stock"
#define MAX_THREADS 1
#define MAX_INSTANCES (10000u - WARM_UP)
#endif

struct worker {
	const struct guest *guest;
	uint32_t first;
	uint32_t count;
	bool call;
	struct worker_report report;
	struct sample *samples;
	wasm_rt_trap_t trap;
};

static pthread_barrier_t ready, go;

static bool write_all(const void *bytes, size_t length_bytes)
{
	const char *at = bytes;

	while (length_bytes) {
		ssize_t done = write(STDOUT_FILENO, at, length_bytes);

		if (done <= 0)
			return false;
		at += done;
		length_bytes -= (size_t)done;
	}
	return true;
}

static void measure(const struct guest *guest, uint32_t request_idx, bool call,
		    struct sample *sample)
{
	struct guest_instance instance;
	uint64_t t0, t1, t2, t3;

	t0 = now_ns();
	memset(&instance, 0, sizeof(instance));
	if (guest->imports_memory)
		wasm_rt_allocate_memory(&instance.env.memory,
					SERVE_INITIAL_WPAGES, 65535);
	guest->instantiate(&instance);
	t1 = now_ns();
	if (call)
		sample->answer = guest->request(&instance,
						request_seed(request_idx),
						request_bytes(request_idx));
	t2 = now_ns();
	guest->release(&instance);
	t3 = now_ns();
	sample->instantiate_ns = (uint32_t)(t1 - t0);
	sample->run_ns = (uint32_t)(t2 - t1);
	sample->release_ns = (uint32_t)(t3 - t2);
}

static uint64_t page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)(usage.ru_minflt + usage.ru_majflt);
}

static void wait_for_start(void)
{
	char byte = 'r';

	if (pthread_barrier_wait(&ready) == PTHREAD_BARRIER_SERIAL_THREAD &&
	    (!write_all(&byte, 1) || read(STDIN_FILENO, &byte, 1) != 1))
		exit(1);
	pthread_barrier_wait(&go);
}

static void loop(void *arg)
{
	struct worker *worker = arg;
	uint32_t i;

	for (i = 0; i < WARM_UP; i++)
		measure(worker->guest, worker->first, worker->call,
			&worker->samples[0]);
	wait_for_start();
	worker->report.page_faults = page_faults();
	worker->report.begin_ns = now_ns();
	for (i = 0; i < worker->count; i++)
		measure(worker->guest, worker->first + i, worker->call,
			&worker->samples[i]);
	worker->report.end_ns = now_ns();
	worker->report.page_faults = page_faults() - worker->report.page_faults;
}

#ifdef WITH_THREADS
static void guard(struct worker *worker)
{
	if (rt_thread_init())
		worker->trap = WASM_RT_TRAP_EXHAUSTION;
	else
		worker->trap = rt_try(loop, worker);
	rt_thread_exit();
}
#else
static void guard(struct worker *worker)
{
	int trap;

	wasm_rt_init();
	worker->guest->init_module();
	trap = wasm_rt_impl_try();
	if (trap)
		worker->trap = (wasm_rt_trap_t)trap;
	else
		loop(worker);
}
#endif

/* A trap is a bug; whoever reads the output sees it end too early. */
static void *work(void *arg)
{
	struct worker *worker = arg;

	guard(worker);
	if (worker->trap) {
		fprintf(stderr, PROGRAM ": a request trapped: %s\n",
			wasm_rt_strerror(worker->trap));
		exit(1);
	}
	return NULL;
}

static int prepare(struct worker *worker)
{
	size_t bytes = worker->count * sizeof(worker->samples[0]);

	worker->report.sample_count = worker->count;
	worker->samples = malloc(bytes);
	if (!worker->samples)
		return -1;
	/* Touched now, so that its page faults are not counted later. */
	memset(worker->samples, 0, bytes);
	return 0;
}

/* The first worker is this thread, so that stock has no other. */
static int run(struct worker *workers, unsigned int thread_count)
{
	pthread_t threads[MAX_WORKERS];
	unsigned int i;
	bool ok = true;

	pthread_barrier_init(&ready, NULL, thread_count);
	pthread_barrier_init(&go, NULL, thread_count);
	for (i = 0; ok && i < thread_count; i++)
		ok = !prepare(&workers[i]);
	for (i = 1; ok && i < thread_count; i++)
		ok = !pthread_create(&threads[i], NULL, work, &workers[i]);
	if (!ok) {
		fprintf(stderr, PROGRAM ": cannot start a thread\n");
		return 1;
	}
	work(&workers[0]);
	for (i = 1; i < thread_count; i++)
		pthread_join(threads[i], NULL);
	for (i = 0; ok && i < thread_count; i++)
		ok = write_all(&workers[i].report, sizeof(workers[i].report)) &&
		     write_all(workers[i].samples,
			       workers[i].count * sizeof(struct sample));
	return !ok;
}

int main(int argc, char **argv)
{
	struct worker workers[MAX_WORKERS];
	unsigned long count, threads;
	unsigned int i;

	memset(workers, 0, sizeof(workers));
	count = argc == 6 ? strtoul(argv[3], NULL, 10) : 0;
	threads = argc == 6 ? strtoul(argv[5], NULL, 10) : 0;
	if (!count || count > MAX_INSTANCES || !threads ||
	    threads > MAX_THREADS || !guest_find(argv[1])) {
		fprintf(stderr,
			"usage: %s own|imp FIRST COUNT call|idle "
			"THREADS, with COUNT up to %u and THREADS up to %d\n",
			argv[0], MAX_INSTANCES, MAX_THREADS);
		return 2;
	}
	for (i = 0; i < threads; i++) {
		workers[i].guest = guest_find(argv[1]);
		workers[i].count = (uint32_t)count;
		workers[i].first =
			(uint32_t)(strtoul(argv[2], NULL, 10) + i * count);
		workers[i].call = !strcmp(argv[4], "call");
	}
#ifdef WITH_THREADS
	wasm_rt_init();
	workers[0].guest->init_module();
#endif
	return run(workers, (unsigned int)threads);
}
