/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_delta.c - what does a request to a sleeping session cost?
 *
 * Sessions are bytes in the process's memory. A request picks one at random,
 * wakes it in a slot, changes some lines, and puts it back to sleep: what is timed
 * is all but the guest's own writing. The delta is made in a buffer of the
 * program's, and what it takes is copied from there. Beside it run a clone that is
 * given back and forgotten, and the floor of any way to find what changed: every
 * written page is compared once, after one scan. In each request the guest finds
 * what the session's last request left, or the program ends.
 *
 * Printed too: what a session takes beyond its changed lines, how the session's
 * median relates to the floor's, and how often processors interrupted each other to
 * drop what they knew of page tables (the row TLB of /proc/interrupts, of the whole
 * host).
 *
 * With --threads N the same is done by one thread and then by N, each with its own
 * share of the sessions and its own buffer; a second line has the rate of all and
 * how many times as much it is.
 *
 * Uses <faultline.h> and nothing else of the library.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <faultline.h>

#include <getopt.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#define IMAGE_BYTES ((uint64_t)4 << 20)
#define HPAGE 4096u
#define LINE 64u
#define SLOTS 64

struct options {
	uint64_t sessions, requests, pages, lines, rounds, threads;
	bool as_json;
};

struct session {
	uint64_t count; /* of its requests */
	uint64_t length_bytes;
	void *bytes; /* NULL: it never slept */
};

struct bench {
	const struct options *options;
	struct fl_context *context;
	struct fl_pool *pool;
	struct fl_snapshot *snapshot;
	struct fl_image *image;
	uint8_t *copy; /* of the image */
	struct session *sessions;
	double *times; /* of all lanes, each in its own stretch */
	double floor_us; /* the last median of scan-floor */
};

/* A thread that serves requests. Its sessions are idx, idx + lanes and so on. */
struct lane {
	struct bench *bench;
	const struct row *row;
	uint64_t idx, lanes;
	uint64_t random;
	double *times;
	uint8_t *buffer;
	pthread_barrier_t *together;
	double busy_us;
	pthread_t id;
};

#define BUFFER_BYTES ((size_t)4 << 20)
#define MAX_LANES 32u

static void check(bool is_right, const char *what)
{
	if (is_right)
		return;
	fprintf(stderr, "bench_delta: %s\n", what);
	exit(1);
}

static void must(int err, const struct fl_error *error)
{
	check(!err, error->text[0] ? error->text : fl_strerror(err));
}

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static uint64_t draw(struct lane *lane)
{
	uint64_t sessions = lane->bench->options->sessions;

	lane->random ^= lane->random << 13;
	lane->random ^= lane->random >> 7;
	lane->random ^= lane->random << 17;
	return lane->random % (sessions / lane->lanes) * lane->lanes +
	       lane->idx;
}

/* The guest writes the same pages in all sessions, and in each session other
 * lines of them. */
static uint64_t line_off(const struct bench *b, uint64_t session, uint64_t i)
{
	const struct options *o = b->options;
	uint64_t page = i % o->pages, nth = i / o->pages;
	uint64_t line = (session * 7 + page * 3 + nth) % (HPAGE / LINE);

	return page * 61 * HPAGE % IMAGE_BYTES + line * LINE;
}

static void guest_run(const struct bench *b, uint64_t session,
		      struct fl_memory *memory, uint64_t count)
{
	for (uint64_t i = 0; i < b->options->lines; i++) {
		uint64_t *word =
			(void *)(memory->base + line_off(b, session, i));

		check(*word == count, "a session woke in another state");
		*word = count + 1;
	}
}

static struct fl_memory *clone_take(struct bench *b)
{
	struct fl_error error = { .text = "" };
	struct fl_memory *memory = NULL;
	struct fl_memory_config config;

	fl_memory_config_init(&config);
	config.image = b->image;
	must(fl_memory_acquire(b->pool, &config, &memory, &error), &error);
	return memory;
}

/* ----------------------------------------------------------------- requests */

/* Each gives the time of a request less the guest's own. */

static double request_session(struct lane *lane)
{
	struct bench *b = lane->bench;
	uint64_t idx = draw(lane), len;
	struct session *session = &b->sessions[idx];
	struct fl_delta_parts parts = FL_DELTA_PARTS_INIT;
	struct fl_error error = { .text = "" };
	struct fl_delta *delta = NULL;
	struct fl_memory *memory;
	double start, run, slept;
	const void *bytes;

	start = now_us();
	memory = clone_take(b);
	if (session->bytes) {
		must(fl_delta_open(b->snapshot, session->bytes,
				   session->length_bytes, FL_BYTES_BORROW, NULL,
				   &delta, &error),
		     &error);
		must(fl_delta_restore_memory(delta, 0, memory, &error), &error);
		fl_delta_release(delta);
	}
	run = now_us();
	guest_run(b, idx, memory, session->count++);
	slept = now_us();
	run = slept - run;
	parts.snapshot = b->snapshot;
	parts.memories = &memory;
	parts.memory_count = 1;
	parts.buffer = lane->buffer;
	parts.buffer_bytes = BUFFER_BYTES;
	must(fl_memory_suspend(&parts, &delta, &error), &error);
	bytes = fl_delta_bytes(delta, &len);
	if (len != session->length_bytes)
		session->bytes = realloc(session->bytes, len);
	check(session->bytes != NULL, "no memory");
	memcpy(session->bytes, bytes, len);
	session->length_bytes = len;
	fl_delta_release(delta);
	return now_us() - start - run;
}

static double request_clone(struct lane *lane)
{
	struct bench *b = lane->bench;
	double start = now_us(), run, end;
	struct fl_memory *memory = clone_take(b);

	run = now_us();
	guest_run(b, draw(lane), memory, 0);
	end = now_us();
	run = end - run;
	check(!fl_memory_release(memory), "a release failed");
	return now_us() - start - run;
}

static double request_floor(struct lane *lane)
{
	struct bench *b = lane->bench;
	struct fl_memory_run runs[1024];
	struct fl_written written = { .size = sizeof(written) };
	struct fl_memory *memory = clone_take(b);
	uint64_t differ = 0, changed = b->options->lines;
	double start;

	guest_run(b, draw(lane), memory, 0);
	start = now_us();
	check(!fl_memory_written(memory, 0, runs, 1024, &written, NULL),
	      "what was written is not known");
	for (uint64_t i = 0; i < b->options->pages; i++) {
		uint64_t off = i * 61 * HPAGE % IMAGE_BYTES;

		differ += !!memcmp(memory->base + off, b->copy + off, HPAGE);
	}
	start = now_us() - start;
	if (changed > b->options->pages)
		changed = b->options->pages;
	check(differ == changed, "other pages than the guest's have changed");
	check(!fl_memory_release(memory), "a release failed");
	return start;
}

static const struct row {
	const char *name, *note;
	double (*request)(struct lane *lane);
} rows[] = {
	{ "scan-floor", "what was written is listed, and compared",
	  request_floor },
	{ "faultline-session", "wakes, runs, sleeps", request_session },
	{ "faultline-clone", "runs and is forgotten", request_clone },
};

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double delta_bytes(const struct bench *b)
{
	uint64_t sum = 0, count = 0;

	for (uint64_t i = 0; i < b->options->sessions; i++) {
		sum += b->sessions[i].length_bytes;
		count += b->sessions[i].bytes != NULL;
	}
	return count ? (double)sum / (double)count : 0;
}

/* Shootdowns so far, of all processors; 0: the row cannot be read. */
static uint64_t shootdowns(void)
{
	char line[4096];
	uint64_t sum = 0;
	FILE *file = fopen("/proc/interrupts", "r");

	while (file && fgets(line, sizeof(line), file)) {
		char *at = strstr(line, "TLB:"), *end;

		if (!at)
			continue;
		for (at += 4;; at = end) {
			uint64_t count = strtoull(at, &end, 10);

			if (end == at)
				break;
			sum += count;
		}
	}
	if (file)
		fclose(file);
	return sum;
}

static void *lane_run(void *arg)
{
	struct lane *lane = arg;
	uint64_t count = lane->bench->options->requests;
	double start;

	for (uint64_t i = 0; i < count / 10 + 100; i++)
		(void)lane->row->request(lane);
	pthread_barrier_wait(lane->together);
	start = now_us();
	for (uint64_t i = 0; i < count; i++)
		lane->times[i] = lane->row->request(lane);
	lane->busy_us = now_us() - start;
	pthread_barrier_wait(lane->together);
	return NULL;
}

/* Requests a second of all lanes together; *shot: shootdowns a request. */
static double lanes_run(struct bench *b, const struct row *row, uint64_t count,
			double *shot)
{
	static uint64_t random = 88172645463325252u;
	uint64_t requests = b->options->requests, before;
	struct lane lanes[MAX_LANES];
	pthread_barrier_t together;
	double rate = 0;

	pthread_barrier_init(&together, NULL, (unsigned int)count + 1);
	for (uint64_t i = 0; i < count; i++) {
		lanes[i] = (struct lane){ .bench = b, .row = row };
		lanes[i].idx = i;
		lanes[i].lanes = count;
		lanes[i].random = random += 2 * 1181783497276652981u;
		lanes[i].times = b->times + i * requests;
		lanes[i].buffer = malloc(BUFFER_BYTES);
		lanes[i].together = &together;
		check(lanes[i].buffer && !pthread_create(&lanes[i].id, NULL,
							 lane_run, &lanes[i]),
		      "no thread");
	}
	pthread_barrier_wait(&together);
	before = shootdowns();
	pthread_barrier_wait(&together);
	*shot = (double)(shootdowns() - before) / (double)(requests * count);
	for (uint64_t i = 0; i < count; i++) {
		pthread_join(lanes[i].id, NULL);
		rate += (double)requests * 1e6 / lanes[i].busy_us;
		free(lanes[i].buffer);
	}
	pthread_barrier_destroy(&together);
	return rate;
}

static double row_run(struct bench *b, const struct row *row, uint64_t threads,
		      double rate_alone)
{
	const struct options *o = b->options;
	uint64_t count = o->requests * threads;
	double bytes, extra, p50, p99, ratio, shot, rate;

	rate = lanes_run(b, row, threads, &shot);
	qsort(b->times, count, sizeof(*b->times), by_size);
	bytes = row->request == request_session ? delta_bytes(b) : 0;
	extra = bytes > 0 ? bytes - (double)(o->lines * LINE) : 0;
	p50 = b->times[count / 2];
	p99 = b->times[count - 1 - count / 100];
	if (row->request == request_floor)
		b->floor_us = p50;
	ratio = b->floor_us > 0 ? p50 / b->floor_us : 0;
	printf(o->as_json ?
		       "{\"bench\": \"delta\", \"competitor\": \"%s\", \"threads\": %llu, \"sessions\": %llu, \"pages\": %llu, \"lines\": %llu, \"median_us\": %.3f, \"p99_us\": %.3f, \"delta_bytes\": %.0f, \"extra_bytes\": %.0f, \"floors\": %.2f, \"requests_per_s\": %.0f, \"scaling\": %.2f, \"shootdowns\": %.3f, \"note\": \"%s\"}\n" :
		       "%-18s  threads %llu, sessions %llu, pages %llu, lines %llu: p50 %7.2f us, p99 %7.2f us, %6.0f bytes (%.0f beside lines), %.2f floors, %7.0f requests/s (%.2f), %.3f shootdowns  %s\n",
	       row->name, (unsigned long long)threads,
	       (unsigned long long)o->sessions, (unsigned long long)o->pages,
	       (unsigned long long)o->lines, p50, p99, bytes, extra, ratio,
	       rate, rate_alone > 0 ? rate / rate_alone : 1, shot, row->note);
	return rate;
}

/* How many lanes divide the sessions, one after the other: a session that wakes in
 * one run has slept in the one before. */
static void rows_run(struct bench *b)
{
	const struct options *o = b->options;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double rate = row_run(b, &rows[i], 1, 0);

		if (o->threads > 1)
			(void)row_run(b, &rows[i], o->threads, rate);
	}
}

/* ---------------------------------------------------------------------- set-up */

static void usage(FILE *out)
{
	fprintf(out,
		"usage: bench_delta [OPTION]...\n"
		"A request to a session that sleeps as what it changed.\n\n"
		"  --sessions N  (10000)\n"
		"  --pages N     host pages of 4 KiB that a session has changed (16)\n"
		"  --lines N     lines of 64 bytes that it has changed in them (64)\n"
		"  --requests N  in a round (50000)\n"
		"  --rounds N    (1)\n"
		"  --threads N   by one thread, and by N at once (1)\n"
		"  --json        one object a line\n"
		"  --sets N, --verify: every request is compared anyway\n");
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option names[] = {
		{ "sessions", required_argument, NULL, 'n' },
		{ "pages", required_argument, NULL, 'p' },
		{ "lines", required_argument, NULL, 'l' },
		{ "requests", required_argument, NULL, 'q' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "threads", required_argument, NULL, 't' },
		{ "json", no_argument, NULL, 'j' },
		{ "sets", required_argument, NULL, 's' },
		{ "verify", no_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0) {
		uint64_t *number = c == 'n' ? &o->sessions :
				   c == 'p' ? &o->pages :
				   c == 'l' ? &o->lines :
				   c == 'q' ? &o->requests :
				   c == 'r' ? &o->rounds :
				   c == 't' ? &o->threads :
					      NULL;

		if (number)
			*number = strtoull(optarg, NULL, 10);
		else if (c == 'j')
			o->as_json = true;
		else if (c == 'h') {
			usage(stdout);
			exit(0);
		} else if (c != 's') {
			usage(stderr);
			exit(2);
		}
	}
	if (!o->sessions || !o->pages || o->pages > 512 || !o->lines ||
	    o->lines > o->pages * (HPAGE / LINE) || !o->requests ||
	    !o->rounds || !o->threads || o->threads > MAX_LANES ||
	    o->threads > o->sessions) {
		usage(stderr);
		exit(2);
	}
}

static void set_up(struct bench *b)
{
	struct fl_snapshot_parts parts = FL_SNAPSHOT_PARTS_INIT;
	static const uint8_t wasm[] = { 0, 'a', 's', 'm', 1, 0, 0,
					0, 5,	3,   1,	  0, 64 };
	struct fl_error error = { .text = "" };
	struct fl_module_config module_config;
	struct fl_pool_config pool_config;
	struct fl_module *module = NULL;
	struct fl_segment segment = { .length_bytes = IMAGE_BYTES };
	struct fl_image *image = NULL;

	b->copy = malloc(IMAGE_BYTES);
	b->sessions = calloc(b->options->sessions, sizeof(*b->sessions));
	b->times = calloc(b->options->requests * b->options->threads,
			  sizeof(*b->times));
	check(b->copy && b->sessions && b->times, "no memory");
	memset(b->copy, 0x5a, IMAGE_BYTES);
	/* Where the guest counts, from 0. */
	for (uint64_t at = 0; at < IMAGE_BYTES; at += LINE)
		memset(b->copy + at, 0, 8);
	segment.bytes = b->copy;
	must(fl_context_create(NULL, &b->context, &error), &error);
	fl_module_config_init(&module_config);
	module_config.bytes = wasm;
	module_config.length_bytes = sizeof(wasm);
	must(fl_module_load(b->context, &module_config, &module, &error),
	     &error);
	must(fl_image_from_segments(b->context, IMAGE_BYTES, &segment, 1,
				    &image, &error),
	     &error);
	parts.module = module;
	parts.images = &image;
	parts.image_count = 1;
	parts.encoding = "bench 1";
	must(fl_snapshot_create(&parts, &b->snapshot, &error), &error);
	b->image = fl_snapshot_image(b->snapshot, 0, 0);
	fl_pool_config_init(&pool_config);
	pool_config.max_memories = pool_config.max_instances = SLOTS;
	must(fl_pool_create(b->context, &pool_config, &b->pool, &error),
	     &error);
	fl_image_release(image);
	fl_module_release(module);
}

static void tear_down(struct bench *b)
{
	for (uint64_t i = 0; i < b->options->sessions; i++)
		free(b->sessions[i].bytes);
	check(!fl_pool_destroy(b->pool), "a memory is still there");
	fl_snapshot_release(b->snapshot);
	fl_context_destroy(b->context);
	free(b->sessions);
	free(b->times);
	free(b->copy);
}

int main(int argc, char **argv)
{
	struct options options = { 10000, 50000, 16, 64, 1, 1, false };
	struct bench b = { .options = &options };
	struct utsname system;

	parse(argc, argv, &options);
	set_up(&b);
	uname(&system);
	if (!options.as_json)
		printf("image 4 MiB, %s/%s, Linux %s\n",
		       fl_context_backend(b.context),
		       fl_context_rung(b.context, NULL), system.release);
	for (uint64_t r = 0; r < options.rounds; r++)
		rows_run(&b);
	tear_down(&b);
	return 0;
}
