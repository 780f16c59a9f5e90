/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * serve_pool.c - requests served in fresh instances from a Faultline pool.
 *
 * This is what a host of wasm2c modules does: load the whole modules once for
 * their images, open one pool for all, and for each instance take its memory
 * in a call that can fail, before wasm2c's instantiate, which cannot. A fault
 * becomes a trap of the guest when fl_fault_lookup() says so.
 *
 * Each thread takes one instance at a time; nothing is shared between threads
 * but the pool.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <faultline-wasm2c.h>

#include "file.h"
#include "rt_threadlocal.h"
#include "serve.h"
#include "serve_app.h"

struct worker {
	const struct service *service;
	const struct guest *guest;
	struct fl_module *module;
	pthread_barrier_t *ready;
	uint32_t first;
	uint32_t count;
	uint32_t call_every;
	struct sample *samples;
	struct worker_report report;
	bool failed;
	char sentence[320];
};

struct step {
	const struct guest *guest;
	struct guest_instance *instance;
	uint32_t request_idx;
	uint32_t answer;
};

/* -------------------------------------------------------------- open, close */

static bool is_guest(void *user, const void *address)
{
	struct fl_fault fault;

	return fl_fault_lookup(user, address, &fault) && fault.is_trap;
}

static int load_module(struct service *service, const char *modules_dir,
		       int guest_idx)
{
	struct fl_module_config config;
	struct fl_error error;
	char path[4096];
	void *bytes;
	int err;

	fl_module_config_init(&config);
	snprintf(path, sizeof(path), "%s/%s.wasm", modules_dir,
		 guests[guest_idx].name);
	bytes = file_read(path, &config.length_bytes);
	if (!bytes)
		return -1;
	config.bytes = bytes;
	err = fl_module_load(service->context, &config,
			     &service->modules[guest_idx], &error);
	if (err)
		fprintf(stderr, "serve: %s: %s\n", path, error.text);
	free(bytes);
	return err ? -1 : 0;
}

int service_open(struct service *service, const char *modules_dir)
{
	struct fl_pool_config config;
	struct fl_error error;
	int i;

	memset(service, 0, sizeof(*service));
	if (fl_context_create(NULL, &service->context, &error)) {
		fprintf(stderr, "serve: %s\n", error.text);
		return -1;
	}
	fl_pool_config_init(&config);
	config.max_instances = 0;
	config.max_memories = 4 * MAX_WORKERS;
	if (fl_pool_create(service->context, &config, &service->pool, &error)) {
		fprintf(stderr, "serve: %s\n", error.text);
		return -1;
	}
	wasm_rt_init();
	rt_set_lookup(is_guest, service->context);
	for (i = 0; i < GUEST_COUNT; i++) {
		guests[i].init_module();
		if (load_module(service, modules_dir, i))
			return -1;
	}
	return 0;
}

int service_close(struct service *service)
{
	int i, err;

	err = fl_pool_destroy(service->pool);
	if (err)
		fprintf(stderr, "serve: the pool cannot be destroyed: %s\n",
			fl_strerror(err));
	for (i = 0; i < GUEST_COUNT; i++)
		fl_module_release(service->modules[i]);
	fl_context_destroy(service->context);
	wasm_rt_free();
	return err ? -1 : 0;
}

/* ------------------------------------------------------------- one instance */

static void step_instantiate(void *arg)
{
	struct step *step = arg;

	step->guest->instantiate(step->instance);
}

static void step_request(void *arg)
{
	struct step *step = arg;

	step->answer = step->guest->request(step->instance,
					    request_seed(step->request_idx),
					    request_bytes(step->request_idx));
}

static int fail(struct worker *worker, const char *what, const char *why)
{
	worker->failed = true;
	snprintf(worker->sentence, sizeof(worker->sentence), "%s: %s: %s",
		 worker->guest->name, what, why);
	return -1;
}

/* The memory comes with the instance where the module defines it, and before
 * it where the module imports it. */
static int instantiate(struct worker *worker, struct step *step)
{
	const struct service *service = worker->service;
	struct fl_memory_config config;
	struct fl_wasm2c_batch batch;
	struct fl_error error;
	wasm_rt_trap_t trap;
	int err;

	memset(step->instance, 0, sizeof(*step->instance));
	if (step->guest->imports_memory) {
		fl_memory_config_init(&config);
		config.image = fl_module_image(worker->module, 0);
		err = fl_wasm2c_acquire(service->pool, &config,
					&step->instance->env.memory, &error);
		if (err)
			return fail(worker, "no memory", error.text);
	}
	err = fl_wasm2c_begin(&batch, service->pool, worker->module,
			      step->instance, sizeof(*step->instance), 0,
			      &error);
	if (err)
		return fail(worker, "no instance", error.text);
	trap = rt_try(step_instantiate, step);
	fl_wasm2c_end(&batch);
	if (trap)
		return fail(worker, "instantiation trapped",
			    wasm_rt_strerror(trap));
	return 0;
}

static int cycle(struct worker *worker, uint32_t at)
{
	struct sample *sample = &worker->samples[at];
	struct guest_instance instance;
	struct step step = {
		.guest = worker->guest,
		.instance = &instance,
		.request_idx = worker->first + at,
	};
	wasm_rt_trap_t trap = WASM_RT_TRAP_NONE;
	uint64_t t0, t1, t2, t3;

	t0 = now_ns();
	if (instantiate(worker, &step)) {
		worker->guest->release(&instance);
		return -1;
	}
	t1 = now_ns();
	if (worker->call_every && at % worker->call_every == 0)
		trap = rt_try(step_request, &step);
	t2 = now_ns();
	worker->guest->release(&instance);
	t3 = now_ns();
	if (trap)
		return fail(worker, "a request trapped",
			    wasm_rt_strerror(trap));
	sample->instantiate_ns = (uint32_t)(t1 - t0);
	sample->run_ns = (uint32_t)(t2 - t1);
	sample->release_ns = (uint32_t)(t3 - t2);
	sample->answer = step.answer;
	return 0;
}

/* ------------------------------------------------------------------ threads */

static uint64_t page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (uint64_t)(usage.ru_minflt + usage.ru_majflt);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct worker_report *report = &worker->report;
	uint32_t i;
	int err;

	err = rt_thread_init();
	if (err)
		fail(worker, "no signal stack", strerror(-err));
	for (i = 0; i < WARM_UP && !worker->failed; i++)
		cycle(worker, 0);
	pthread_barrier_wait(worker->ready);
	report->page_faults = page_faults();
	report->begin_ns = now_ns();
	for (i = 0; i < worker->count && !worker->failed; i++)
		cycle(worker, i);
	report->end_ns = now_ns();
	report->page_faults = page_faults() - report->page_faults;
	rt_thread_exit();
	return NULL;
}

static void prepare(struct worker *worker, uint32_t worker_idx,
		    const struct service *service, const struct job *job,
		    pthread_barrier_t *ready, struct outcome *outcome)
{
	memset(worker, 0, sizeof(*worker));
	worker->service = service;
	worker->ready = ready;
	worker->guest = job->guest;
	worker->module = service->modules[job->guest - guests];
	worker->count = job->count / job->workers;
	worker->first = job->first + worker_idx * worker->count;
	worker->call_every = job->call_every;
	worker->samples = outcome->samples + worker->first;
}

int service_run(const struct service *service, const struct job *job,
		struct outcome *outcome)
{
	struct worker_report reports[MAX_WORKERS];
	struct worker workers[MAX_WORKERS];
	pthread_t threads[MAX_WORKERS];
	pthread_barrier_t ready;
	bool failed = false;
	uint32_t i;

	pthread_barrier_init(&ready, NULL, job->workers);
	for (i = 0; i < job->workers; i++) {
		prepare(&workers[i], i, service, job, &ready, outcome);
		if (pthread_create(&threads[i], NULL, work, &workers[i])) {
			/* Those already started wait at the barrier. */
			fprintf(stderr, "serve: cannot start a thread\n");
			exit(1);
		}
	}
	for (i = 0; i < job->workers; i++) {
		pthread_join(threads[i], NULL);
		reports[i] = workers[i].report;
		failed |= workers[i].failed;
		if (workers[i].failed)
			fprintf(stderr, "serve: %s\n", workers[i].sentence);
	}
	pthread_barrier_destroy(&ready);
	if (failed)
		return -1;
	outcome_add(outcome, job, reports);
	return 0;
}
