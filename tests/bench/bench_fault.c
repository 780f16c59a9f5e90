/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_fault.c - one fault of a lazy image whose file lies in the page cache:
 * how long does the guest wait?
 *
 * Each trial opens the image, and a tenant touches one byte of each 64 KiB page,
 * in an order in which no page follows its neighbour, so that nothing is foreseen.
 * Every touch is timed. The ways take turns: the file read by io_uring, and by
 * pread() on a filler's thread. Both check the page's hash and publish a copy.
 *
 * Beside them is the floor: two threads, of which one wakes the other through a
 * descriptor and sleeps until it is woken, as a faulting thread and a handler do
 * that has nothing to do. It is what no way can be below.
 */
#include "faultline.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define WPAGE ((uint64_t)65536)
#define MAX_TOUCHES 65536
#define MAX_ROUNDS 100

struct options {
	uint64_t wpages, rounds;
	const char *folder;
	bool as_json;
};

static double times[3][MAX_TOUCHES * 2];
static size_t counts[3];

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "bench_fault: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void must(int err, const struct fl_error *error)
{
	if (!err)
		return;
	fprintf(stderr, "bench_fault: %s\n", error->text);
	exit(1);
}

static void note(int way, double us)
{
	if (counts[way] < sizeof(times[way]) / sizeof(times[way][0]))
		times[way][counts[way]++] = us;
}

/* ---------------------------------------------------------------- the floor */

struct pair {
	int there_fd, back_fd;
	uint64_t count;
};

static void *answer(void *arg)
{
	const struct pair *pair = arg;
	struct pollfd ready = { .fd = pair->there_fd, .events = POLLIN };
	uint64_t word;

	for (uint64_t i = 0; i < pair->count; i++) {
		check(poll(&ready, 1, -1) == 1, "poll");
		check(read(pair->there_fd, &word, 8) == 8, "read");
		check(write(pair->back_fd, &word, 8) == 8, "write");
	}
	return NULL;
}

static void run_floor(uint64_t count)
{
	struct pair pair = { eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC),
			     count };
	pthread_t thread;
	uint64_t word;

	check(pair.there_fd >= 0 && pair.back_fd >= 0, "eventfd");
	errno = pthread_create(&thread, NULL, answer, &pair);
	check(!errno, "cannot start a thread");
	for (uint64_t i = 0; i < count; i++) {
		double start = now_us();

		word = 1;
		check(write(pair.there_fd, &word, 8) == 8, "write");
		check(read(pair.back_fd, &word, 8) == 8, "read");
		note(0, now_us() - start);
	}
	pthread_join(thread, NULL);
	close(pair.there_fd);
	close(pair.back_fd);
}

/* ------------------------------------------------------------------- faults */

struct host {
	struct fl_context *context;
	struct fl_pool *pool;
	struct fl_page_source *source;
	bool has_ring;
};

static bool has_ring(const struct fl_context *context)
{
	struct fl_feature feature = { .size = sizeof(feature) };

	for (uint32_t i = 0; !fl_context_feature(context, i, &feature); i++) {
		if (!strcmp(feature.name, "io-uring"))
			return feature.support == FL_SUPPORT_YES;
	}
	return false;
}

static void make_file(struct fl_context *context, const char *path,
		      uint64_t bytes_count)
{
	struct fl_segment segment = { 0, NULL, bytes_count };
	struct fl_error error = { .text = "" };
	uint8_t *bytes = malloc(bytes_count);
	struct fl_image *image;

	check(bytes != NULL, "no memory for the image");
	for (uint64_t i = 0; i < bytes_count; i++)
		bytes[i] = (uint8_t)(1 + i / WPAGE + i % 251);
	segment.bytes = bytes;
	must(fl_image_from_segments(context, bytes_count, &segment, 1, &image,
				    &error),
	     &error);
	must(fl_image_write(image, path, &error), &error);
	fl_image_release(image);
	free(bytes);
}

static void host_open(struct host *host, uint64_t wpages)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;

	must(fl_context_create(NULL, &host->context, &error), &error);
	host->has_ring = has_ring(host->context);
	fl_pool_config_init(&config);
	config.max_memories = config.max_instances = 1;
	config.max_memory_bytes = wpages * WPAGE;
	must(fl_pool_create(host->context, &config, &host->pool, &error),
	     &error);
}

static void host_close(struct host *host)
{
	struct fl_error error = { .text = "" };

	fl_page_source_release(host->source);
	must(fl_pool_destroy(host->pool), &error);
	fl_context_destroy(host->context);
}

static void run_trial(const struct host *host, int way, uint64_t wpages)
{
	struct fl_error error = { .text = "" };
	struct fl_memory_config memory_config;
	struct fl_load_config config;
	struct fl_memory *memory;
	struct fl_image *image;
	bool is_right = true;

	fl_load_config_init(&config);
	config.way = FL_LOAD_LAZY;
	must(fl_image_open_source(host->context, host->source, &config, &image,
				  &error),
	     &error);
	fl_memory_config_init(&memory_config);
	memory_config.image = image;
	must(fl_memory_acquire(host->pool, &memory_config, &memory, &error),
	     &error);
	/* An odd factor of a power of two reaches each page once. */
	for (uint64_t i = 0; i < wpages; i++) {
		uint64_t off = i * 37 % wpages * WPAGE;
		double start = now_us();
		uint8_t byte = *(volatile uint8_t *)(memory->base + off);

		note(way, now_us() - start);
		is_right &= byte == (uint8_t)(1 + off / WPAGE + off % 251);
	}
	check(is_right, "a page is wrong");
	check(!fl_memory_release(memory), "release");
	fl_pool_purge(host->pool, NULL, image, NULL);
	fl_image_release(image);
}

/* ------------------------------------------------------------------- report */

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void report(int way, const char *name, const char *what, bool as_json)
{
	size_t count = counts[way];
	double p50, p99;

	if (!count)
		return;
	qsort(times[way], count, sizeof(times[way][0]), compare);
	p50 = times[way][count / 2];
	p99 = times[way][count * 99 / 100];
	if (as_json)
		printf("{\"bench\": \"fault\", \"competitor\": \"%s\", \"count\": %zu, \"median_us\": %.2f, \"p99_us\": %.2f}\n",
		       name, count, p50, p99);
	else
		printf("%-16s %9.2f us %9.2f us  %s, %zu times\n", name, p50,
		       p99, what, count);
}

static void usage(FILE *out)
{
	fprintf(out,
		"usage: bench_fault [OPTION]...\n"
		"How long a guest waits for a page that lies in the page cache.\n\n"
		"  --wpages N    pages of 64 KiB, a power of two (256)\n"
		"  --rounds N    (10)\n"
		"  --folder DIR  where the file lies (/var/tmp)\n"
		"  --json        one object a line\n"
		"  --sets N, --verify: each touched page is compared anyway\n");
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{ "wpages", required_argument, NULL, 'w' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "folder", required_argument, NULL, 'f' },
		{ "json", no_argument, NULL, 'j' },
		{ "sets", required_argument, NULL, 's' },
		{ "verify", no_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0) {
		if (c == 'w')
			options->wpages = strtoull(optarg, NULL, 10);
		else if (c == 'r')
			options->rounds = strtoull(optarg, NULL, 10);
		else if (c == 'f')
			options->folder = optarg;
		else if (c == 'j')
			options->as_json = true;
		else if (c == 'h') {
			usage(stdout);
			exit(0);
		} else if (c != 's') {
			usage(stderr);
			exit(2);
		}
	}
	if (options->wpages < 64 || options->wpages > MAX_TOUCHES ||
	    options->wpages & (options->wpages - 1) || !options->rounds ||
	    options->rounds > MAX_ROUNDS) {
		usage(stderr);
		exit(2);
	}
}

/* hosts[0]: with the ring, if this host has one; hosts[1]: without. */
static void hosts_open(struct host hosts[2], const char *path, uint64_t wpages)
{
	const char *before = getenv("FAULTLINE_DISABLE");
	struct fl_error error = { .text = "" };
	char without[256];

	snprintf(without, sizeof(without), "%s%sio-uring", before ? before : "",
		 before && before[0] ? "," : "");
	host_open(&hosts[0], wpages);
	setenv("FAULTLINE_DISABLE", without, 1);
	host_open(&hosts[1], wpages);
	make_file(hosts[0].context, path, wpages * WPAGE);
	for (int i = 0; i < 2; i++)
		must(fl_page_source_from_file(path, -1, &hosts[i].source,
					      &error),
		     &error);
}

int main(int argc, char **argv)
{
	struct options options = { 256, 10, "/var/tmp", false };
	char folder[256], path[300];
	struct utsname system;
	struct host hosts[2];

	parse(argc, argv, &options);
	snprintf(folder, sizeof(folder), "%s/fl-fault-XXXXXX", options.folder);
	check(mkdtemp(folder) != NULL, "cannot make a folder");
	snprintf(path, sizeof(path), "%s/image", folder);
	hosts_open(hosts, path, options.wpages);
	uname(&system);
	if (!options.as_json)
		printf("%llu pages of 64 KiB, %llu rounds, Linux %s; median and p99\n",
		       (unsigned long long)options.wpages,
		       (unsigned long long)options.rounds, system.release);
	for (uint64_t r = 0; r < options.rounds; r++) {
		run_floor(options.wpages);
		for (int i = 0; i < 2; i++) {
			if (i || hosts[0].has_ring)
				run_trial(&hosts[i], i + 1, options.wpages);
		}
	}
	report(0, "floor", "two thread switches", options.as_json);
	report(1, "faultline-ring", "one fault, read by io_uring",
	       options.as_json);
	report(2, "faultline-pread", "one fault, read by pread()",
	       options.as_json);
	host_close(&hosts[0]);
	host_close(&hosts[1]);
	unlink(path);
	rmdir(folder);
	return 0;
}
