/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * serve.c - a real C program behind a service: each request in a fresh
 * instance, Faultline beside stock wasm2c, every answer checked.
 *
 *	serve [REQUESTS]
 *
 * Beside it must lie own.wasm and imp.wasm, the whole modules (it is linked
 * with the data-free ones), and the programs stock and unpooled. For each
 * guest it serves REQUESTS requests (4,000) with each of the three, taking
 * turns so that none has the quieter machine, and compares every answer with
 * that of the native build of the same C code. Then it makes and frees
 * instances without calling them, which is what an allocator is answerable
 * for, with two workers and with one. Finally it makes 100,000 instances with
 * Faultline and looks for what they left behind.
 *
 * Workers are threads of one process, except those of stock, whose runtime
 * knows one thread: they are processes, and so are spared the contention for
 * one address space that every host with threads has. That host without a
 * pool is unpooled.
 *
 * Exit status: 0 when every answer was right and nothing leaked, 1 otherwise,
 * after a sentence on stderr. Times are reported, never judged.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "serve.h"
#include "serve_app.h"

#define DEFAULT_REQUESTS 4000
#define MAX_REQUESTS 1000000
#define ROUND_REQUESTS 1000
#define IDLE_INSTANCES 10000
/* At most 10,000 for each worker, which is what stock wasm2c can make. */
#define ROUND_IDLE 2500
#define LEAK_INSTANCES 100000
#define LEAK_CALL_EVERY 100
/* What 100,000 instances may leave behind: the allocator's own caches. One
 * host page for each would be 400 MiB. */
#define LEAK_BYTES ((uint64_t)16 << 20)
#define LEAK_MAPPINGS 16

enum who {
	STOCK,
	UNPOOLED,
	FAULTLINE,
	WHO_COUNT
};
static const char *const who_names[WHO_COUNT] = {
	[STOCK] = "stock",
	[UNPOOLED] = "unpooled",
	[FAULTLINE] = "Faultline",
};

enum part {
	INSTANTIATE,
	RUN,
	RELEASE,
	IN_AND_OUT
};

struct program {
	struct rival rivals[FAULTLINE];
	struct service service;
	uint32_t requests;
	uint32_t *answers; /* of the native build, one per request */
};

void outcome_add(struct outcome *outcome, const struct job *job,
		 const struct worker_report *reports)
{
	uint64_t begin_ns = UINT64_MAX, end_ns = 0;
	uint32_t i;

	for (i = 0; i < job->workers; i++) {
		outcome->page_faults += reports[i].page_faults;
		if (reports[i].begin_ns < begin_ns)
			begin_ns = reports[i].begin_ns;
		if (reports[i].end_ns > end_ns)
			end_ns = reports[i].end_ns;
	}
	outcome->wall_ns += end_ns - begin_ns;
	outcome->count += job->count;
}

/* ------------------------------------------------------------------- tables */

static int compare_u32(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t sample_part(const struct sample *sample, enum part part)
{
	switch (part) {
	case INSTANTIATE:
		return sample->instantiate_ns;
	case RUN:
		return sample->run_ns;
	case RELEASE:
		return sample->release_ns;
	case IN_AND_OUT:
		break;
	}
	return sample->instantiate_ns + sample->release_ns;
}

/* In microseconds; share is from 0 to 1. */
static double percentile(const struct outcome *outcome, enum part part,
			 double share)
{
	uint32_t *values = malloc(outcome->count * sizeof(values[0]));
	double us;
	uint32_t i;

	if (!values)
		return 0;
	for (i = 0; i < outcome->count; i++)
		values[i] = sample_part(&outcome->samples[i], part);
	qsort(values, outcome->count, sizeof(values[0]), compare_u32);
	us = values[(uint32_t)(share * (outcome->count - 1))] / 1e3;
	free(values);
	return us;
}

/* The last column, which may be left out, is how much better Faultline does
 * than stock. */
static void row(const char *name, const double values[WHO_COUNT], int decimals,
		double ratio)
{
	int who;

	printf("  %-32s", name);
	for (who = 0; who < WHO_COUNT; who++)
		printf(" %10.*f", decimals, values[who]);
	if (ratio > 0)
		printf(" %8.2fx", ratio);
	printf("\n");
}

static void percentile_row(const struct outcome outcomes[WHO_COUNT],
			   enum part part, const char *name, double share,
			   bool with_ratio)
{
	double us[WHO_COUNT];
	int who;

	for (who = 0; who < WHO_COUNT; who++)
		us[who] = percentile(&outcomes[who], part, share);
	row(name, us, 2,
	    with_ratio && us[FAULTLINE] > 0 ? us[STOCK] / us[FAULTLINE] : 0);
}

/* No ratio for p99: on a busy machine it compares who was preempted. */
static void percentile_rows(const struct outcome outcomes[WHO_COUNT],
			    enum part part, const char *what)
{
	char name[64];

	snprintf(name, sizeof(name), "%s p50, us", what);
	percentile_row(outcomes, part, name, 0.50, true);
	snprintf(name, sizeof(name), "%s p99, us", what);
	percentile_row(outcomes, part, name, 0.99, false);
}

static void common_rows(const struct outcome outcomes[WHO_COUNT],
			const char *what)
{
	double rate[WHO_COUNT], faults[WHO_COUNT];
	char name[64];
	int who;

	for (who = 0; who < WHO_COUNT; who++) {
		rate[who] = outcomes[who].count * 1e9 /
			    (double)outcomes[who].wall_ns;
		faults[who] =
			(double)outcomes[who].page_faults / outcomes[who].count;
	}
	snprintf(name, sizeof(name), "%s per second", what);
	row(name, rate, 0, rate[FAULTLINE] / rate[STOCK]);
	row("page faults per instance", faults, 2, 0);
}

/* ---------------------------------------------------------------- outcomes */

static int outcome_init(struct outcome *outcome, uint32_t count)
{
	memset(outcome, 0, sizeof(*outcome));
	outcome->samples = malloc(count * sizeof(outcome->samples[0]));
	if (!outcome->samples) {
		fprintf(stderr, "serve: no memory for %u samples\n", count);
		return -1;
	}
	/* Touch it now, so that its page faults are not counted later. */
	memset(outcome->samples, 0, count * sizeof(outcome->samples[0]));
	return 0;
}

/* All take turns at count instances, round_count at a time. */
static int measure(const struct program *program, const struct job *whole,
		   uint32_t round_count, struct outcome outcomes[WHO_COUNT])
{
	struct job job = *whole;
	int who;

	for (who = 0; who < WHO_COUNT; who++)
		if (outcome_init(&outcomes[who], whole->count))
			return -1;
	for (; job.first < whole->count; job.first += job.count) {
		job.count = whole->count - job.first;
		if (job.count > round_count)
			job.count = round_count;
		for (who = 0; who < FAULTLINE; who++)
			if (rival_run(&program->rivals[who], &job,
				      &outcomes[who]))
				return -1;
		if (service_run(&program->service, &job, &outcomes[FAULTLINE]))
			return -1;
	}
	return 0;
}

static void outcomes_free(struct outcome outcomes[WHO_COUNT])
{
	int who;

	for (who = 0; who < WHO_COUNT; who++)
		free(outcomes[who].samples);
}

static int check_answers(const struct program *program,
			 const struct guest *guest, const char *who,
			 const struct outcome *outcome)
{
	uint32_t i, wrong = 0, first = 0;

	for (i = 0; i < outcome->count; i++)
		if (outcome->samples[i].answer != program->answers[i] &&
		    !wrong++)
			first = i;
	if (!wrong)
		return 0;
	fprintf(stderr,
		"serve: %s, %s: %u of %u answers differ from the "
		"native build's; request %u answered 0x%08x, not 0x%08x\n",
		guest->name, who, wrong, outcome->count, first,
		outcome->samples[first].answer, program->answers[first]);
	return -1;
}

/* ------------------------------------------------------------------- phases */

static uint32_t native_answer(uint32_t request_idx)
{
	serve_native_reset();
	return serve_request(request_seed(request_idx),
			     request_bytes(request_idx));
}

static int native_answers(struct program *program)
{
	uint64_t begin_ns;
	uint32_t i;

	program->answers =
		malloc(program->requests * sizeof(program->answers[0]));
	if (!program->answers) {
		fprintf(stderr, "serve: no memory for the native answers\n");
		return -1;
	}
	begin_ns = now_ns();
	for (i = 0; i < program->requests; i++) {
		program->answers[i] = native_answer(i);
		if (program->answers[i])
			continue;
		fprintf(stderr, "serve: the native build fails request %u\n",
			i);
		return -1;
	}
	printf("native build: %u requests answered, %.0f us each\n",
	       program->requests,
	       (double)(now_ns() - begin_ns) / 1e3 / program->requests);
	return 0;
}

static void describe(const struct program *program, int guest_idx)
{
	const struct guest *guest = &guests[guest_idx];
	const struct fl_module *module = program->service.modules[guest_idx];
	struct fl_module_info info = { .size = sizeof(info) };

	fl_module_info(module, &info);
	printf("\n%s: the %s (%u KiB at the start); %u active data segments, "
	       "%llu bytes\n",
	       guest->name,
	       guest->imports_memory ? "host brings the memory" :
				       "module defines its memory",
	       SERVE_INITIAL_WPAGES * 64, info.active_data_count,
	       (unsigned long long)info.active_data_bytes);
	printf("  %-32s %10s %10s %10s\n", "", "stock", "unpooled",
	       "Faultline");
}

static int serve_requests(const struct program *program,
			  const struct guest *guest)
{
	struct job job = { .guest = guest,
			   .count = program->requests,
			   .workers = MAX_WORKERS,
			   .call_every = 1 };
	struct outcome outcomes[WHO_COUNT];
	int who, failed = 0;

	if (measure(program, &job, ROUND_REQUESTS, outcomes))
		return -1;
	for (who = 0; who < WHO_COUNT; who++)
		failed |= check_answers(program, guest, who_names[who],
					&outcomes[who]);
	printf(" %u requests each, every one in a fresh instance, %d workers; "
	       "%s\n",
	       job.count, MAX_WORKERS,
	       failed ? "WRONG answers" : "all answers right");
	common_rows(outcomes, "requests");
	percentile_rows(outcomes, INSTANTIATE, "instantiate");
	percentile_rows(outcomes, RUN, "run");
	percentile_rows(outcomes, RELEASE, "release");
	outcomes_free(outcomes);
	return failed;
}

static int serve_nothing(const struct program *program,
			 const struct guest *guest, uint32_t workers)
{
	struct job job = { .guest = guest,
			   .count = IDLE_INSTANCES,
			   .workers = workers };
	struct outcome outcomes[WHO_COUNT];

	if (measure(program, &job, ROUND_IDLE, outcomes))
		return -1;
	printf(" %u instances each, no guest call between, %u worker%s\n",
	       job.count, workers, workers > 1 ? "s" : "");
	common_rows(outcomes, "instances");
	percentile_rows(outcomes, IN_AND_OUT, "instantiate + release");
	outcomes_free(outcomes);
	return 0;
}

/* ------------------------------------------------------------------- leaks */

struct footprint {
	uint64_t address_bytes;
	uint64_t resident_bytes;
	uint64_t mappings;
	uint64_t fds;
};

static uint64_t count_lines(const char *path)
{
	FILE *file = fopen(path, "r");
	uint64_t lines = 0;
	int c;

	if (!file)
		return 0;
	while ((c = getc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

static uint64_t count_entries(const char *path)
{
	DIR *dir = opendir(path);
	uint64_t entries = 0;

	if (!dir)
		return 0;
	while (readdir(dir))
		entries++;
	closedir(dir);
	return entries;
}

static void take_footprint(struct footprint *footprint)
{
	uint64_t hpage_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned long long size = 0, resident = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (file) {
		if (fscanf(file, "%llu %llu", &size, &resident) != 2)
			size = resident = 0;
		fclose(file);
	}
	footprint->address_bytes = size * hpage_bytes;
	footprint->resident_bytes = resident * hpage_bytes;
	footprint->mappings = count_lines("/proc/self/maps");
	footprint->fds = count_entries("/proc/self/fd");
}

static bool grew(uint64_t before, uint64_t after, uint64_t allowed)
{
	return after > before && after - before > allowed;
}

static int report_leaks(const struct footprint *before,
			const struct footprint *after)
{
	printf("  %-30s %14s %14s\n", "", "before", "after");
	printf("  %-30s %14llu %14llu\n", "address space, KiB",
	       (unsigned long long)before->address_bytes >> 10,
	       (unsigned long long)after->address_bytes >> 10);
	printf("  %-30s %14llu %14llu\n", "resident, KiB",
	       (unsigned long long)before->resident_bytes >> 10,
	       (unsigned long long)after->resident_bytes >> 10);
	printf("  %-30s %14llu %14llu\n", "mappings",
	       (unsigned long long)before->mappings,
	       (unsigned long long)after->mappings);
	printf("  %-30s %14llu %14llu\n", "file descriptors",
	       (unsigned long long)before->fds, (unsigned long long)after->fds);
	if (!grew(before->address_bytes, after->address_bytes, LEAK_BYTES) &&
	    !grew(before->resident_bytes, after->resident_bytes, LEAK_BYTES) &&
	    !grew(before->mappings, after->mappings, LEAK_MAPPINGS) &&
	    !grew(before->fds, after->fds, 0))
		return 0;
	fprintf(stderr, "serve: %d instances left something behind\n",
		LEAK_INSTANCES);
	return -1;
}

static int look_for_leaks(const struct program *program)
{
	struct footprint before, after;
	struct outcome outcome;
	int i, wrong = 0;

	if (outcome_init(&outcome, LEAK_INSTANCES))
		return -1;
	printf("\nleaks: %d instances, one in %d answers a request\n",
	       LEAK_INSTANCES, LEAK_CALL_EVERY);
	take_footprint(&before);
	for (i = 0; i < GUEST_COUNT; i++) {
		struct job job = {
			.guest = &guests[i],
			.first = (uint32_t)i * (LEAK_INSTANCES / GUEST_COUNT),
			.count = LEAK_INSTANCES / GUEST_COUNT,
			.workers = MAX_WORKERS,
			.call_every = LEAK_CALL_EVERY,
		};

		if (service_run(&program->service, &job, &outcome)) {
			free(outcome.samples);
			return -1;
		}
	}
	take_footprint(&after);
	for (i = 0; i < LEAK_INSTANCES; i += LEAK_CALL_EVERY)
		wrong += outcome.samples[i].answer !=
			 native_answer((uint32_t)i);
	free(outcome.samples);
	if (wrong)
		fprintf(stderr,
			"serve: %d answers among %d instances differ "
			"from the native build's\n",
			wrong, LEAK_INSTANCES);
	return report_leaks(&before, &after) || wrong ? -1 : 0;
}

/* -------------------------------------------------------------------- main */

static int run(struct program *program)
{
	struct utsname host;
	int i;

	uname(&host);
	printf("bzip2 1.0.8 and zlib 1.2.13, compiled by clang for "
	       "wasm32-wasi, translated by wasm2c\n");
	printf("%s %s %s, %ld processors; Faultline %s, backend %s\n",
	       host.sysname, host.release, host.machine,
	       sysconf(_SC_NPROCESSORS_ONLN), fl_version(),
	       fl_context_backend(program->service.context));
	printf("stock: Debian's runtime, each worker a process; unpooled: "
	       "threads of one process,\neach memory mapped and unmapped; "
	       "Faultline: threads of one process, one pool\n");
	if (native_answers(program))
		return -1;
	for (i = 0; i < GUEST_COUNT; i++) {
		describe(program, i);
		if (serve_requests(program, &guests[i]) ||
		    serve_nothing(program, &guests[i], MAX_WORKERS) ||
		    serve_nothing(program, &guests[i], 1))
			return -1;
	}
	return look_for_leaks(program);
}

/* The directory that this program lies in. */
static int own_directory(char *dir, size_t dir_bytes)
{
	ssize_t length = readlink("/proc/self/exe", dir, dir_bytes - 1);
	char *slash;

	if (length <= 0)
		return -1;
	dir[length] = '\0';
	slash = strrchr(dir, '/');
	if (!slash)
		return -1;
	*slash = '\0';
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long requests = DEFAULT_REQUESTS;
	struct program program;
	char dir[4000], stock[4096], unpooled[4096];
	int failed;

	if (argc == 2)
		requests = strtoul(argv[1], NULL, 10);
	if (argc > 2 || !requests || requests > MAX_REQUESTS ||
	    requests % MAX_WORKERS) {
		fprintf(stderr,
			"usage: serve [REQUESTS], an even number up to "
			"%d\n",
			MAX_REQUESTS);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	memset(&program, 0, sizeof(program));
	program.requests = (uint32_t)requests;
	if (own_directory(dir, sizeof(dir))) {
		fprintf(stderr, "serve: cannot find its own directory\n");
		return 1;
	}
	snprintf(stock, sizeof(stock), "%s/stock", dir);
	snprintf(unpooled, sizeof(unpooled), "%s/unpooled", dir);
	program.rivals[STOCK].program = stock;
	program.rivals[UNPOOLED].program = unpooled;
	program.rivals[UNPOOLED].has_threads = true;
	if (service_open(&program.service, dir))
		return 1;
	failed = run(&program);
	free(program.answers);
	failed |= service_close(&program.service);
	printf(failed ?
		       "\nFAILED\n" :
		       "\nevery answer was that of the native build; nothing leaked\n");
	return failed ? 1 : 0;
}
