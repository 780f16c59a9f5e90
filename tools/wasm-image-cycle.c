/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm-image-cycle.c - the verb cycle: acquire, touch, release, over and over.
 *
 * Each thread is a lane. A lane shares the plan and the pool with the others,
 * has samples of its own, which are read after the thread was joined, and holds
 * one instance at a time. A lane takes imported memories alone, each with the
 * image that the module gives it, and hands them to the instance as a runtime
 * would.
 *
 * Before and after the timed cycles each lane compares an instance with the
 * image, byte by byte: the figures are of memories that were right.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "wasm-image.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* What is compared of each zero run. */
#define MAX_ZERO_HPAGES 1024

/* Which host pages of a memory are touched: so many reads and writes, spread
 * evenly over [first_hpage, first_hpage + hpages). */
struct touched {
	uint64_t first_hpage, hpages;
	uint64_t reads, writes;
};

/* What every lane does, over and over. */
struct plan {
	const struct subject *subject;
	struct fl_pool *pool;
	struct touched *touched; /* by memory */
	uint64_t count;
};

enum step {
	STEP_ACQUIRE = 0,
	STEP_TOUCH = 1,
	STEP_RELEASE = 2,
	STEP_COUNT = 3,
};

static const char *const step_names[STEP_COUNT] = {
	"acquire",
	"touch",
	"release",
};

/* One thread, with what it holds during a cycle. */
struct lane {
	const struct plan *plan;
	pthread_t thread;
	struct fl_memory **imported;
	struct fl_instance *instance;
	uint64_t *samples_ns[STEP_COUNT];
	uint8_t *expected; /* one host page, to compare */
	unsigned int sum; /* of the bytes read: they are used */
	bool is_failed;
	struct fl_error error;
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The span of the data, longer if the touches need more pages than that, so
 * that there is a page for each touch as far as the memory goes. */
static struct touched choose_touched(const struct options *options,
				     const struct fl_image_info *info)
{
	uint64_t size = hpage_bytes(), wanted = options->reads;
	uint64_t all = info->initial_bytes / size +
		       (info->initial_bytes % size ? 1 : 0);
	struct touched touched = { 0 };

	if (options->writes > wanted)
		wanted = options->writes;
	if (info->data_end_bytes)
		touched.first_hpage = info->data_first_bytes / size;
	touched.hpages = info->spanned_hpages;
	if (touched.hpages < wanted)
		touched.hpages = wanted;
	touched.hpages = min_u64(touched.hpages, all - touched.first_hpage);
	touched.reads = min_u64(options->reads, touched.hpages);
	touched.writes = min_u64(options->writes, touched.hpages);
	return touched;
}

static uint64_t touch_hpage(const struct touched *touched, uint64_t i,
			    uint64_t count)
{
	return touched->first_hpage + i * touched->hpages / count;
}

static uint8_t *touch_at(const struct touched *touched,
			 const struct fl_memory *memory, uint64_t i,
			 uint64_t count)
{
	return memory->base + touch_hpage(touched, i, count) * hpage_bytes();
}

static void touch(struct lane *lane, uint32_t memory_idx)
{
	const struct touched *touched = &lane->plan->touched[memory_idx];
	const struct fl_memory *memory =
		fl_instance_memory(lane->instance, memory_idx);

	for (uint64_t i = 0; i < touched->reads; i++)
		lane->sum += *(volatile uint8_t *)touch_at(touched, memory, i,
							   touched->reads);
	for (uint64_t i = 0; i < touched->writes; i++)
		*(volatile uint8_t *)touch_at(touched, memory, i,
					      touched->writes) ^= 0xff;
}

static int lane_acquire(struct lane *lane)
{
	const struct subject *subject = lane->plan->subject;
	uint32_t imported = subject->info.imported_memory_count;
	struct fl_instance_config config;
	int err = 0;

	for (uint32_t i = 0; i < imported && !err; i++) {
		const struct memory *memory = &subject->memories[i];
		struct fl_memory_config from;

		fl_memory_config_init(&from);
		from.image = memory->image;
		from.page_bytes = memory->type.page_bytes;
		from.is_shared = memory->type.is_shared;
		err = fl_memory_acquire(lane->plan->pool, &from,
					&lane->imported[i], &lane->error);
	}
	if (err)
		return err;
	fl_instance_config_init(&config);
	config.imported_memories = lane->imported;
	config.imported_memory_count = imported;
	config.imported_globals = subject->options->globals;
	config.imported_global_count = subject->options->global_count;
	return fl_instance_acquire(lane->plan->pool, subject->module, &config,
				   &lane->instance, &lane->error);
}

/* An acquire may have failed halfway. */
static void lane_release(struct lane *lane)
{
	uint32_t imported = lane->plan->subject->info.imported_memory_count;

	fl_instance_release(lane->instance);
	lane->instance = NULL;
	for (uint32_t i = imported; i--;) {
		if (lane->imported[i])
			fl_memory_release(lane->imported[i]);
		lane->imported[i] = NULL;
	}
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int lane_cycle(struct lane *lane, uint64_t cycle)
{
	uint64_t begin = now_ns(), acquired, touched;
	int err = lane_acquire(lane);

	acquired = now_ns();
	for (uint32_t i = 0; i < lane->plan->subject->info.memory_count && !err;
	     i++)
		touch(lane, i);
	touched = now_ns();
	lane_release(lane);
	lane->samples_ns[STEP_ACQUIRE][cycle] = acquired - begin;
	lane->samples_ns[STEP_TOUCH][cycle] = touched - acquired;
	lane->samples_ns[STEP_RELEASE][cycle] = now_ns() - touched;
	return err;
}

static int compare_hpage(struct lane *lane, uint32_t memory_idx,
			 uint64_t hpage_idx)
{
	const struct memory *memory =
		&lane->plan->subject->memories[memory_idx];
	const struct fl_memory *held =
		fl_instance_memory(lane->instance, memory_idx);
	uint64_t size = hpage_bytes(), off = hpage_idx * size;
	size_t len = (size_t)min_u64(size, held->length_bytes - off);

	if (fl_image_read(memory->image, off, lane->expected, len) ||
	    memcmp(held->base + off, lane->expected, len)) {
		lane->error.byte_off = FL_ERROR_NO_OFFSET;
		snprintf(
			lane->error.text, sizeof(lane->error.text),
			"memory %u does not show its image in host page %" PRIu64
			": this is a defect of Faultline",
			memory_idx, hpage_idx);
		return -EIO;
	}
	return 0;
}

/* The span of the data, without the rest of zero runs that are longer than
 * MAX_ZERO_HPAGES: a sparse memory may span a TiB of them. */
static int compare_span(struct lane *lane, uint32_t memory_idx)
{
	const struct touched *touched = &lane->plan->touched[memory_idx];
	const struct fl_image *image =
		lane->plan->subject->memories[memory_idx].image;
	uint64_t end = touched->first_hpage + touched->hpages, zeroes = 0;
	struct fl_image_run run;
	int err = 0;

	for (uint64_t i = touched->first_hpage; i < end && !err; i++) {
		uint64_t next = end;

		if (fl_image_next_run(image, i * hpage_bytes(), &run))
			next = min_u64(end, run.offset_bytes / hpage_bytes());
		zeroes = next == i ? 0 : zeroes + 1;
		if (zeroes > MAX_ZERO_HPAGES)
			i = next - 1;
		else
			err = compare_hpage(lane, memory_idx, i);
	}
	return err;
}

static int compare_touched(struct lane *lane, uint32_t memory_idx,
			   uint64_t count)
{
	const struct touched *touched = &lane->plan->touched[memory_idx];
	int err = 0;

	for (uint64_t i = 0; i < count && !err; i++)
		err = compare_hpage(lane, memory_idx,
				    touch_hpage(touched, i, count));
	return err;
}

/* Does the instance show the image over the span of the data, and wherever
 * cycles touch it? */
static int lane_compare(struct lane *lane)
{
	const struct plan *plan = lane->plan;
	int err = 0;

	for (uint32_t m = 0; m < plan->subject->info.memory_count && !err;
	     m++) {
		const struct touched *touched = &plan->touched[m];

		err = compare_span(lane, m);
		if (!err)
			err = compare_touched(lane, m, touched->reads);
		if (!err)
			err = compare_touched(lane, m, touched->writes);
	}
	return err;
}

static void *lane_run(void *arg)
{
	struct lane *lane = arg;
	int err = 0;

	for (uint64_t i = 0; i < lane->plan->count && !err; i++)
		err = lane_cycle(lane, i);
	lane->is_failed = err != 0;
	return NULL;
}

static int lane_init(struct lane *lane, const struct plan *plan)
{
	uint32_t imported = plan->subject->info.imported_memory_count;

	lane->plan = plan;
	lane->imported = calloc((size_t)imported + 1, sizeof(*lane->imported));
	lane->expected = malloc((size_t)hpage_bytes());
	if (!lane->imported || !lane->expected)
		return fail("no memory");
	for (int s = 0; s < STEP_COUNT; s++) {
		size_t bytes = (size_t)plan->count * sizeof(uint64_t);

		lane->samples_ns[s] = malloc(bytes);
		if (!lane->samples_ns[s])
			return fail("no memory for %" PRIu64
				    " cycles; lower --count or --threads",
				    plan->count);
		/* Made resident now, so that no cycle pays for the fault. */
		memset(lane->samples_ns[s], 0xff, bytes);
	}
	return 0;
}

static void lane_fini(struct lane *lane)
{
	for (int s = 0; s < STEP_COUNT; s++)
		free(lane->samples_ns[s]);
	free(lane->imported);
	free(lane->expected);
}

/* All lanes hold an instance at once, so that each slot of the pool is
 * compared, and is warm afterwards. */
static int lanes_compare(struct lane *lanes, uint64_t count)
{
	uint64_t failed = count;

	for (uint64_t i = 0; i < count && failed == count; i++) {
		if (lane_acquire(&lanes[i]) || lane_compare(&lanes[i]))
			failed = i;
	}
	for (uint64_t i = 0; i < count; i++)
		lane_release(&lanes[i]);
	if (failed == count)
		return 0;
	return fail_with(lanes[failed].plan->subject->options->path,
			 &lanes[failed].error);
}

static int lanes_run(struct lane *lanes, uint64_t count)
{
	uint64_t started, failed = count;
	int err = 0;

	for (started = 0; started < count; started++) {
		err = pthread_create(&lanes[started].thread, NULL, lane_run,
				     &lanes[started]);
		if (err)
			break;
	}
	for (uint64_t i = 0; i < started; i++) {
		pthread_join(lanes[i].thread, NULL);
		if (lanes[i].is_failed)
			failed = i;
	}
	if (err)
		return fail("cannot start thread %" PRIu64 ": %s", started,
			    strerror(err));
	if (failed < count)
		return fail_with(lanes[failed].plan->subject->options->path,
				 &lanes[failed].error);
	return 0;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

/* The smallest sample that percent of all do not exceed. */
static double percentile_us(const uint64_t *sorted, uint64_t count,
			    uint64_t percent)
{
	return (double)sorted[(count * percent + 99) / 100 - 1] / 1000;
}

static int report_steps(const struct lane *lanes, const struct plan *plan,
			uint64_t threads)
{
	uint64_t total = plan->count * threads;
	uint64_t *all = malloc((size_t)total * sizeof(*all));

	if (!all)
		return fail("no memory for %" PRIu64
			    " samples; lower --count or --threads",
			    total);
	printf("%-12s %10s %10s  us\n", "", "p50", "p99");
	for (int s = 0; s < STEP_COUNT; s++) {
		for (uint64_t i = 0; i < threads; i++)
			memcpy(all + i * plan->count, lanes[i].samples_ns[s],
			       (size_t)plan->count * sizeof(*all));
		qsort(all, (size_t)total, sizeof(*all), compare_u64);
		printf("%-12s %10.2f %10.2f\n", step_names[s],
		       percentile_us(all, total, 50),
		       percentile_us(all, total, 99));
	}
	free(all);
	return 0;
}

static void report_head(const struct plan *plan, uint64_t threads)
{
	const struct subject *subject = plan->subject;
	const char *reason, *rung;

	rung = fl_context_rung(subject->context, &reason);
	printf("%s: %" PRIu64 " cycles on each of %" PRIu64 " thread%s\n",
	       subject->options->path, plan->count, threads,
	       threads == 1 ? "" : "s");
	printf("backend %s, rung %s%s%s\n",
	       fl_context_backend(subject->context), rung,
	       reason ? "; why no better one: " : "", reason ? reason : "");
	for (uint32_t i = 0; i < subject->info.memory_count; i++) {
		const struct touched *touched = &plan->touched[i];

		printf("memory %u: reads %" PRIu64 " and writes %" PRIu64
		       " host pages, spread over %" PRIu64 " from page %" PRIu64
		       "\n",
		       i, touched->reads, touched->writes, touched->hpages,
		       touched->first_hpage);
	}
}

static uint64_t minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)usage.ru_minflt;
}

/* The first comparison also makes the slots warm; the second one shows that the
 * cycles left nothing behind. */
static int cycle_lanes(struct lane *lanes, const struct plan *plan,
		       uint64_t threads)
{
	uint64_t faults, began, took;
	int status;

	report_head(plan, threads);
	status = lanes_compare(lanes, threads);
	if (status)
		return status;
	faults = minor_faults();
	began = now_ns();
	status = lanes_run(lanes, threads);
	took = now_ns() - began;
	faults = minor_faults() - faults;
	if (!status)
		status = lanes_compare(lanes, threads);
	if (!status)
		status = report_steps(lanes, plan, threads);
	if (status)
		return status;
	printf("page faults  %10.1f a cycle\n"
	       "cycles       %10.0f a second, all threads\n"
	       "content      equal to the image before and after\n",
	       (double)faults / (double)(plan->count * threads),
	       (double)(plan->count * threads) * 1e9 / (double)took);
	return 0;
}

static int cycle_threads(const struct plan *plan, uint64_t threads)
{
	struct lane *lanes = calloc((size_t)threads, sizeof(*lanes));
	int status = 0;

	if (!lanes)
		return fail("no memory for %" PRIu64 " threads", threads);
	for (uint64_t i = 0; i < threads && !status; i++)
		status = lane_init(&lanes[i], plan);
	if (!status)
		status = cycle_lanes(lanes, plan, threads);
	for (uint64_t i = 0; i < threads; i++)
		lane_fini(&lanes[i]);
	free(lanes);
	return status;
}

/* A pool as large as the module needs and no larger; its guards are the
 * defaults, as a runtime that leaves bounds to guards has them. */
static void pool_config_for(const struct subject *subject,
			    struct fl_pool_config *config)
{
	const struct fl_module_info *info = &subject->info;
	uint32_t threads = (uint32_t)subject->options->threads;
	uint32_t defined = info->memory_count - info->imported_memory_count;

	fl_pool_config_init(config);
	config->max_instances = threads;
	config->max_memories = threads * info->memory_count;
	config->max_memories_per_instance = defined;
	for (uint32_t i = 0; i < info->memory_count; i++) {
		uint64_t initial = subject->memories[i].info.initial_bytes;

		if (initial <= config->max_memory_bytes)
			continue;
		config->max_memory_bytes = initial;
		config->memory_stride_bytes = 0;
	}
	limits_apply(subject->options, NULL, config);
}

static int cycle_check(const struct subject *subject)
{
	if (!subject->info.memory_count)
		return fail("%s has no memory to cycle",
			    subject->options->path);
	for (uint32_t i = 0; i < subject->info.memory_count; i++) {
		const struct memory *memory = &subject->memories[i];

		if (!memory->image)
			return fail("%s: memory %u has no image: %s",
				    subject->options->path, i, memory->reason);
		if (memory->info.trap)
			return fail(
				"%s: instantiation traps at data segment %u: %s",
				subject->options->path,
				memory->info.trap_segment_idx,
				fl_trap_name(memory->info.trap));
	}
	return 0;
}

int cycle(const struct subject *subject)
{
	const struct options *options = subject->options;
	struct plan plan = { .subject = subject, .count = options->count };
	struct fl_pool_config config;
	struct fl_error error;
	int status = cycle_check(subject);

	if (status)
		return status;
	plan.touched =
		calloc(subject->info.memory_count, sizeof(*plan.touched));
	if (!plan.touched)
		return fail("no memory");
	for (uint32_t i = 0; i < subject->info.memory_count; i++)
		plan.touched[i] =
			choose_touched(options, &subject->memories[i].info);
	pool_config_for(subject, &config);
	if (fl_pool_create(subject->context, &config, &plan.pool, &error))
		status = fail_with(options->path, &error);
	else
		status = cycle_threads(&plan, options->threads);
	fl_pool_destroy(plan.pool);
	free(plan.touched);
	return status;
}
