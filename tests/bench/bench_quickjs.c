/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_quickjs.c - what does isolation cost a real guest?
 *
 *	bench_quickjs [--threads N] [--seconds S] [--kind NAME] [--json]
 *	bench_quickjs --lines [--json]
 *
 * The guest is a JavaScript interpreter with two libraries
 * (tests/consumers/guests). One interpreter is started, answers some requests,
 * and its memory becomes an image. Then each request is answered by a clone: a
 * memory with that image is taken from a pool, bound into the instance of the
 * thread, asked once, and released. Beside it runs the floor: one interpreter
 * for each thread that answers all requests and is never made clean.
 *
 * Kinds are greeting, mustache, markdown, and mixed: one of them at random.
 * For each kind the two ways take turns in blocks of some milliseconds, S
 * seconds in all (2). Every answer is compared with that of another interpreter,
 * and each clone is asked how many requests it has seen; neither is timed.
 *
 * whole	take, answer, release
 * isolation	take and release alone
 * faults	minor page faults of a request
 *
 * wasm2c's table holds pointers to the instance it belongs to. So a thread has
 * one instance for all of its clones: its table is filled once, its memory is
 * another one each time, and its globals are set to those of the capture.
 *
 * --lines asks instead what a clone differs by from its image after some requests,
 * were that kept in lines of 32, 64, 128 or 256 bytes or in pages: the bytes of the
 * lines that differ and two for each run of them, the mean of 40 clones. It is the
 * table in lib/instance/delta_bytes.h.
 *
 * Exit status: 0, or 1 after a sentence on stderr.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>

#include <faultline-wasm2c.h>

#include "qjs.h"
#include "rt_threadlocal.h"

#define HPAGE_BYTES 4096u
#define WPAGE_BYTES 65536u
#define MAX_THREADS 64u
#define SLOTS 64u
#define SEEDS 64u
#define WARM_REQUESTS 50u /* of each kind, before the capture */
#define WARM_CLONES 600u /* of each thread, before it measures */
#define BLOCK_NS UINT64_C(4000000)

enum {
	GREETING,
	MUSTACHE,
	MARKDOWN,
	MIXED,
	KINDS,
	REAL_KINDS = MIXED,
};
static const char *const kind_names[KINDS] = {
	[GREETING] = "greeting",
	[MUSTACHE] = "mustache",
	[MARKDOWN] = "markdown",
	[MIXED] = "mixed",
};

enum way {
	CLONE,
	REUSE,
	WAYS
};
static const char *const way_names[WAYS] = {
	[CLONE] = "clone",
	[REUSE] = "reuse",
};

struct options {
	unsigned int threads;
	double seconds;
	int kind; /* -1: all */
	bool is_json, wants_lines;
};

struct text {
	uint8_t *bytes;
	uint32_t length;
};

/* What all threads share, and nobody writes once they run. */
struct service {
	struct fl_context *context;
	struct fl_pool *pool;
	struct fl_image *image;
	struct text answers[REAL_KINDS][SEEDS];
	/* The interpreter that was captured. */
	Z_qjs_instance_t parent;
	uint32_t parent_served;
};

/* One request, in one interpreter. */
struct call {
	Z_qjs_instance_t *instance;
	uint32_t kind, seed;
	uint32_t length, at, served;
};

struct samples {
	uint32_t *whole_ns, *isolation_ns;
	size_t count, room;
	uint64_t busy_ns, faults;
};

struct worker {
	const struct service *service;
	const struct options *options;
	pthread_barrier_t *together;
	int kind;
	uint64_t random;
	Z_qjs_instance_t clone, reused;
	struct samples samples[WAYS];
};

__attribute__((noreturn, format(printf, 1, 2))) static void
die(const char *format, ...)
{
	va_list args;

	fputs("bench_quickjs: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static uint64_t now_ns(void)
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

static uint32_t random_below(uint64_t *state, uint32_t below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 32) % below;
}

/* --------------------------------------------------------------- the guest */

static void body_start(void *arg)
{
	struct call *call = arg;

	Z_qjs_instantiate(call->instance);
	Z_qjsZ__initialize(call->instance);
	call->length = Z_qjsZ_start(call->instance);
}

static void body_instantiate(void *arg)
{
	Z_qjs_instantiate(arg);
}

static void body_request(void *arg)
{
	struct call *call = arg;

	call->length = Z_qjsZ_handle(call->instance, call->kind, call->seed);
}

static void body_look(void *arg)
{
	struct call *call = arg;

	call->at = Z_qjsZ_answer(call->instance);
	call->served = Z_qjsZ_served(call->instance);
}

static void try_or_die(void (*body)(void *arg), void *arg, const char *what)
{
	wasm_rt_trap_t trap = rt_try(body, arg);

	if (trap)
		die("%s trapped: %s", what, wasm_rt_strerror(trap));
}

static void interpreter_start(Z_qjs_instance_t *instance)
{
	struct call call = { .instance = instance };

	try_or_die(body_start, &call, "starting the interpreter");
	if (call.length)
		die("the interpreter did not start: step %u", call.length);
}

static const uint8_t *answer_of(struct call *call)
{
	const wasm_rt_memory_t *memory = &call->instance->w2c_memory;

	try_or_die(body_look, call, "looking at the answer");
	if (call->length > memory->size ||
	    call->at > memory->size - call->length)
		die("%s %u has no answer", kind_names[call->kind], call->seed);
	return memory->data + call->at;
}

/* ----------------------------------------------------------------- service */

static bool is_guest(void *user, const void *address)
{
	struct fl_fault fault;

	return fl_fault_lookup(user, address, &fault) && fault.is_trap;
}

static void pool_open(struct service *service)
{
	struct fl_pool_config config;
	struct fl_error error;

	if (fl_context_create(NULL, &service->context, &error))
		die("%s", error.text);
	fl_pool_config_init(&config);
	config.max_instances = 0;
	config.max_memories = SLOTS;
	if (fl_pool_create(service->context, &config, &service->pool, &error))
		die("%s", error.text);
}

/* What an interpreter of its own answers to each request there is. */
static void answers_make(struct service *service)
{
	Z_qjs_instance_t instance;

	interpreter_start(&instance);
	for (uint32_t kind = 0; kind < REAL_KINDS; kind++) {
		for (uint32_t seed = 0; seed < SEEDS; seed++) {
			struct text *text = &service->answers[kind][seed];
			struct call call = { &instance, kind, seed, 0, 0, 0 };

			try_or_die(body_request, &call, "a request");
			text->length = call.length;
			text->bytes = malloc(call.length + 1u);
			if (!text->bytes)
				die("no memory");
			memcpy(text->bytes, answer_of(&call), call.length);
		}
	}
	Z_qjs_free(&instance);
}

static void answer_check(const struct service *service, struct call *call,
			 bool is_clone)
{
	const struct text *text = &service->answers[call->kind][call->seed];
	const uint8_t *bytes = answer_of(call);

	if (call->length != text->length ||
	    memcmp(bytes, text->bytes, text->length))
		die("%s %u: a wrong answer", kind_names[call->kind],
		    call->seed);
	if (is_clone && call->served != service->parent_served + 1)
		die("%s %u: the clone has seen %u requests, not %u",
		    kind_names[call->kind], call->seed, call->served,
		    service->parent_served + 1);
}

static bool is_zero(const uint8_t *bytes, size_t length)
{
	return !bytes[0] && !memcmp(bytes, bytes + 1, length - 1);
}

/* One segment for each host page that holds anything. */
static void capture(struct service *service)
{
	const wasm_rt_memory_t *memory = &service->parent.w2c_memory;
	struct fl_segment *segments =
		calloc(memory->size / HPAGE_BYTES, sizeof(*segments));
	struct fl_error error;
	size_t count = 0;

	if (!segments)
		die("no memory");
	for (uint32_t at = 0; at < memory->size; at += HPAGE_BYTES) {
		if (!is_zero(memory->data + at, HPAGE_BYTES))
			segments[count++] =
				(struct fl_segment){ at, memory->data + at,
						     HPAGE_BYTES };
	}
	if (fl_image_from_segments(service->context, memory->size, segments,
				   count, &service->image, &error))
		die("%s", error.text);
	free(segments);
}

static void parent_make(struct service *service)
{
	struct call call = { .instance = &service->parent };

	interpreter_start(&service->parent);
	for (uint32_t i = 0; i < WARM_REQUESTS; i++) {
		for (call.kind = 0; call.kind < REAL_KINDS; call.kind++) {
			call.seed = i % SEEDS;
			try_or_die(body_request, &call, "a request");
			answer_check(service, &call, false);
		}
	}
	service->parent_served = call.served;
	capture(service);
}

static void service_close(struct service *service)
{
	Z_qjs_free(&service->parent);
	for (uint32_t kind = 0; kind < REAL_KINDS; kind++)
		for (uint32_t seed = 0; seed < SEEDS; seed++)
			free(service->answers[kind][seed].bytes);
	fl_image_release(service->image);
	if (fl_pool_destroy(service->pool))
		die("the pool cannot be destroyed");
	fl_context_destroy(service->context);
}

/* ---------------------------------------------------------------- a thread */

/* Its table is bound to this struct; the memory comes later. */
static void clone_prepare(struct worker *worker)
{
	try_or_die(body_instantiate, &worker->clone, "instantiating");
	wasm_rt_free_memory(&worker->clone.w2c_memory);
	worker->clone.w2c_g0 = worker->service->parent.w2c_g0;
}

/* The same interpreter, in a memory that stays. */
static void reused_prepare(struct worker *worker)
{
	const wasm_rt_memory_t *from = &worker->service->parent.w2c_memory;
	wasm_rt_memory_t *to = &worker->reused.w2c_memory;

	try_or_die(body_instantiate, &worker->reused, "instantiating");
	if (wasm_rt_grow_memory(to, (from->size - to->size) / WPAGE_BYTES) ==
	    UINT32_MAX)
		die("no memory for another interpreter");
	memcpy(to->data, from->data, from->size);
	worker->reused.w2c_g0 = worker->service->parent.w2c_g0;
}

static void sample_add(struct samples *samples, uint64_t whole_ns,
		       uint64_t isolation_ns)
{
	size_t room = samples->room ? samples->room * 2 : 1024;

	if (samples->count == samples->room) {
		samples->room = room;
		samples->whole_ns =
			realloc(samples->whole_ns, room * sizeof(uint32_t));
		samples->isolation_ns =
			realloc(samples->isolation_ns, room * sizeof(uint32_t));
		if (!samples->whole_ns || !samples->isolation_ns)
			die("no memory for samples");
		/* Touched now, so that no request pays for it. */
		memset(samples->whole_ns + samples->count, 0,
		       (room - samples->count) * sizeof(uint32_t));
		memset(samples->isolation_ns + samples->count, 0,
		       (room - samples->count) * sizeof(uint32_t));
	}
	samples->whole_ns[samples->count] = (uint32_t)whole_ns;
	samples->isolation_ns[samples->count++] = (uint32_t)isolation_ns;
}

static void draw(struct worker *worker, struct call *call)
{
	call->kind = worker->kind == MIXED ?
			     random_below(&worker->random, REAL_KINDS) :
			     (uint32_t)worker->kind;
	call->seed = random_below(&worker->random, SEEDS);
}

static void request_clone(struct worker *worker)
{
	const struct service *service = worker->service;
	struct samples *samples = &worker->samples[CLONE];
	struct call call = { .instance = &worker->clone };
	uint64_t taking_ns, taken_ns, answered_ns, releasing_ns, end_ns, faults;
	struct fl_memory_config config;
	struct fl_error error;

	draw(worker, &call);
	fl_memory_config_init(&config);
	config.image = service->image;
	faults = faults_now();
	taking_ns = now_ns();
	if (fl_wasm2c_acquire(service->pool, &config, &worker->clone.w2c_memory,
			      &error))
		die("%s", error.text);
	worker->clone.w2c_g0 = service->parent.w2c_g0;
	taken_ns = now_ns();
	try_or_die(body_request, &call, "a request");
	answered_ns = now_ns();
	samples->faults += faults_now() - faults;
	answer_check(service, &call, true);
	faults = faults_now();
	releasing_ns = now_ns();
	wasm_rt_free_memory(&worker->clone.w2c_memory);
	end_ns = now_ns();
	samples->faults += faults_now() - faults;
	sample_add(samples, end_ns - releasing_ns + (answered_ns - taking_ns),
		   end_ns - releasing_ns + (taken_ns - taking_ns));
	samples->busy_ns += end_ns - releasing_ns + (answered_ns - taking_ns);
}

static void request_reuse(struct worker *worker)
{
	struct samples *samples = &worker->samples[REUSE];
	struct call call = { .instance = &worker->reused };
	uint64_t start_ns, end_ns, faults;

	draw(worker, &call);
	faults = faults_now();
	start_ns = now_ns();
	try_or_die(body_request, &call, "a request");
	end_ns = now_ns();
	samples->faults += faults_now() - faults;
	answer_check(worker->service, &call, false);
	sample_add(samples, end_ns - start_ns, 0);
	samples->busy_ns += end_ns - start_ns;
}

static void requests(struct worker *worker, enum way way, uint64_t length_ns)
{
	uint64_t end_ns = now_ns() + length_ns;

	do {
		if (way == CLONE)
			request_clone(worker);
		else
			request_reuse(worker);
	} while (now_ns() < end_ns);
}

static void warm_up(struct worker *worker)
{
	for (uint32_t i = 0; i < WARM_CLONES; i++) {
		request_clone(worker);
		request_reuse(worker);
	}
	for (int way = 0; way < WAYS; way++) {
		worker->samples[way].count = 0;
		worker->samples[way].busy_ns = worker->samples[way].faults = 0;
	}
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	uint64_t blocks =
		(uint64_t)(worker->options->seconds * 1e9) / BLOCK_NS / WAYS;

	if (rt_thread_init())
		die("no signal stack");
	clone_prepare(worker);
	reused_prepare(worker);
	warm_up(worker);
	for (uint64_t i = 0; i <= blocks; i++) {
		for (int way = 0; way < WAYS; way++) {
			pthread_barrier_wait(worker->together);
			requests(worker, (enum way)way, BLOCK_NS);
		}
	}
	wasm_rt_free_funcref_table(&worker->clone.w2c_T0);
	Z_qjs_free(&worker->reused);
	rt_thread_exit();
	return NULL;
}

/* ------------------------------------------------------------------ report */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* All threads' samples of one way in one. */
static void samples_join(const struct worker *workers, unsigned int count,
			 int way, struct samples *all)
{
	memset(all, 0, sizeof(*all));
	for (unsigned int i = 0; i < count; i++) {
		const struct samples *one = &workers[i].samples[way];

		for (size_t k = 0; k < one->count; k++)
			sample_add(all, one->whole_ns[k], one->isolation_ns[k]);
		all->busy_ns += one->busy_ns;
		all->faults += one->faults;
	}
	qsort(all->whole_ns, all->count, sizeof(uint32_t), by_value);
	qsort(all->isolation_ns, all->count, sizeof(uint32_t), by_value);
}

static double quantile_us(const uint32_t *sorted_ns, size_t count, double share)
{
	return sorted_ns[(size_t)(share * (double)(count - 1))] / 1e3;
}

static double mean_us(const uint32_t *ns, size_t count)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += ns[i];
	return sum / (double)count / 1e3;
}

static void quantiles_print(const char *prefix, const uint32_t *ns,
			    size_t count, bool is_json)
{
	static const struct {
		const char *name;
		double share;
	} asked[] = { { "p50", 0.5 }, { "p95", 0.95 }, { "p99", 0.99 } };

	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		double us = quantile_us(ns, count, asked[i].share);

		if (is_json)
			printf(", \"%s_%s_us\": %.3f", prefix, asked[i].name,
			       us);
		else
			printf(" %7.2f", us);
	}
	if (is_json)
		printf(", \"%s_mean_us\": %.3f", prefix, mean_us(ns, count));
	else
		printf(" %7.2f", mean_us(ns, count));
}

static void row(const struct service *service, const struct options *options,
		int kind, int way, const struct samples *all)
{
	double rate = (double)all->count * 1e9 * options->threads /
		      (double)all->busy_ns;
	double faults = (double)all->faults / (double)all->count;
	const char *rung = fl_context_rung(service->context, NULL);
	struct utsname host;

	uname(&host);
	if (options->is_json)
		printf("{\"bench\": \"quickjs\", \"kind\": \"%s\", "
		       "\"way\": \"%s\", \"threads\": %u",
		       kind_names[kind], way_names[way], options->threads);
	else
		printf("%-9s %-5s", kind_names[kind], way_names[way]);
	quantiles_print("whole", all->whole_ns, all->count, options->is_json);
	quantiles_print("isolation", all->isolation_ns, all->count,
			options->is_json);
	if (options->is_json)
		printf(", \"faults\": %.3f, \"requests_per_s\": %.0f, "
		       "\"requests\": %zu, \"rung\": \"%s\", "
		       "\"kernel\": \"%s\"}\n",
		       faults, rate, all->count, rung, host.release);
	else
		printf(" %7.2f %10.0f\n", faults, rate);
	fflush(stdout);
}

static void head(const struct service *service, const struct options *options)
{
	struct fl_image_info info = { .size = sizeof(info) };
	struct utsname host;

	if (options->is_json)
		return;
	uname(&host);
	fl_image_info(service->image, &info);
	printf("bench_quickjs: requests in clones of a started interpreter\n"
	       "  kernel   %s %s\n  rung     %s\n  threads  %u\n"
	       "  image    %llu KiB, %llu host pages of data\n\n",
	       host.sysname, host.release,
	       fl_context_rung(service->context, NULL), options->threads,
	       (unsigned long long)info.initial_bytes / 1024,
	       (unsigned long long)info.data_hpages);
	printf("%-15s %31s %31s\n%-15s", "", "whole, us", "isolation, us", "");
	for (int i = 0; i < 2; i++)
		printf(" %7s %7s %7s %7s", "p50", "p95", "p99", "mean");
	printf(" %7s %10s\n", "faults", "requests/s");
}

/* ------------------------------------------------------------------- lines */

#define LINE_CLONES 40

static const uint32_t line_sizes[] = { 32, 64, 128, 256, HPAGE_BYTES };
#define LINE_SIZES (sizeof(line_sizes) / sizeof(line_sizes[0]))

/* What differs from the image, which the parent has, and zeroes behind it. */
static uint64_t lines_bytes(const struct service *service,
			    const wasm_rt_memory_t *now, uint32_t line)
{
	static const uint8_t zeroes[HPAGE_BYTES];
	const wasm_rt_memory_t *was = &service->parent.w2c_memory;
	uint64_t bytes = 0;
	bool is_run = false;

	for (uint32_t at = 0; at < now->size; at += line) {
		bool differs = memcmp(now->data + at,
				      at < was->size ? was->data + at : zeroes,
				      line) != 0;

		if (differs)
			bytes += line + (is_run ? 0 : 2);
		is_run = differs;
	}
	return bytes;
}

static void lines_of_clone(struct worker *worker, uint32_t count,
			   uint64_t *bytes)
{
	struct call call = { .instance = &worker->clone };
	wasm_rt_memory_t *memory = &worker->clone.w2c_memory;
	struct fl_memory_config config;
	struct fl_error error;

	fl_memory_config_init(&config);
	config.image = worker->service->image;
	if (fl_wasm2c_acquire(worker->service->pool, &config, memory, &error))
		die("%s", error.text);
	worker->clone.w2c_g0 = worker->service->parent.w2c_g0;
	while (count--) {
		draw(worker, &call);
		try_or_die(body_request, &call, "a request");
		answer_check(worker->service, &call, false);
	}
	for (size_t i = 0; i < LINE_SIZES; i++)
		bytes[i] += lines_bytes(worker->service, memory, line_sizes[i]);
	wasm_rt_free_memory(memory);
}

static void lines_row(const struct service *service,
		      const struct options *options, int kind, uint32_t count)
{
	struct worker worker = { .service = service, .kind = kind };
	uint64_t bytes[LINE_SIZES] = { 0 };

	worker.random = UINT64_C(0x9e3779b97f4a7c15);
	clone_prepare(&worker);
	for (int i = 0; i < LINE_CLONES; i++)
		lines_of_clone(&worker, count, bytes);
	wasm_rt_free_funcref_table(&worker.clone.w2c_T0);
	printf(options->is_json ? "{\"bench\": \"quickjs-lines\", \"kind\": "
				  "\"%s\", \"requests\": %u" :
				  "%-9s %8u",
	       kind_names[kind], count);
	for (size_t i = 0; i < LINE_SIZES; i++) {
		unsigned long long mean = bytes[i] / LINE_CLONES;

		if (options->is_json)
			printf(", \"bytes_%u\": %llu", line_sizes[i], mean);
		else
			printf(" %8llu", mean);
	}
	puts(options->is_json ? "}" : "");
}

static void lines_run(const struct service *service,
		      const struct options *options)
{
	if (!options->is_json) {
		printf("bytes of a clone that differ, in lines of\n%-18s", "");
		for (size_t i = 0; i < LINE_SIZES; i++)
			printf(" %8u", line_sizes[i]);
		puts("");
	}
	for (int kind = 0; kind < REAL_KINDS; kind++) {
		lines_row(service, options, kind, 1);
		lines_row(service, options, kind, 50);
	}
	lines_row(service, options, MIXED, 10);
}

/* -------------------------------------------------------------------- main */

static void kind_run(const struct service *service,
		     const struct options *options, int kind)
{
	static struct worker workers[MAX_THREADS];
	pthread_t threads[MAX_THREADS];
	pthread_barrier_t together;
	struct samples all;

	memset(workers, 0, sizeof(workers));
	pthread_barrier_init(&together, NULL, options->threads);
	for (unsigned int i = 0; i < options->threads; i++) {
		workers[i].service = service;
		workers[i].options = options;
		workers[i].together = &together;
		workers[i].kind = kind;
		workers[i].random = UINT64_C(0x9e3779b97f4a7c15) * (i + 1);
		if (pthread_create(&threads[i], NULL, work, &workers[i]))
			die("cannot start a thread");
	}
	for (unsigned int i = 0; i < options->threads; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&together);
	for (int way = 0; way < WAYS; way++) {
		samples_join(workers, options->threads, way, &all);
		row(service, options, kind, way, &all);
		free(all.whole_ns);
		free(all.isolation_ns);
	}
	for (unsigned int i = 0; i < options->threads; i++) {
		for (int way = 0; way < WAYS; way++) {
			free(workers[i].samples[way].whole_ns);
			free(workers[i].samples[way].isolation_ns);
		}
	}
}

static int kind_of(const char *name)
{
	for (int i = 0; i < KINDS; i++)
		if (!strcmp(name, kind_names[i]))
			return i;
	die("there is no kind %s: use greeting, mustache, markdown or mixed",
	    name);
}

static void options_read(struct options *options, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (!strcmp(argv[i], "--json")) {
			options->is_json = true;
			continue;
		}
		if (!strcmp(argv[i], "--lines")) {
			options->wants_lines = true;
			continue;
		}
		if (!strcmp(argv[i], "--threads"))
			options->threads = (unsigned int)atoi(value);
		else if (!strcmp(argv[i], "--seconds"))
			options->seconds = atof(value);
		else if (!strcmp(argv[i], "--kind"))
			options->kind = kind_of(value);
		else
			die("usage: bench_quickjs [--threads N] [--seconds S] "
			    "[--kind NAME] [--lines] [--json]");
		i++;
	}
	if (options->threads < 1 || options->threads > SLOTS)
		die("--threads takes a number from 1 to %u", SLOTS);
	if (!(options->seconds > 0 && options->seconds < 1e5))
		die("--seconds takes a positive number");
}

int main(int argc, char **argv)
{
	struct options options = { .threads = 1, .seconds = 2, .kind = -1 };
	static struct service service;

	options_read(&options, argc, argv);
	wasm_rt_init();
	if (rt_thread_init())
		die("no signal stack");
	Z_qjs_init_module();
	pool_open(&service);
	rt_set_lookup(is_guest, service.context);
	answers_make(&service);
	parent_make(&service);
	if (options.wants_lines)
		lines_run(&service, &options);
	else
		head(&service, &options);
	for (int kind = 0; kind < KINDS && !options.wants_lines; kind++)
		if (options.kind < 0 || options.kind == kind)
			kind_run(&service, &options, kind);
	service_close(&service);
	rt_thread_exit();
	wasm_rt_free();
	return 0;
}
