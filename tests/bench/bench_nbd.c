/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_nbd.c - an image on an NBD server that is far away: how long until a
 * working set of it is touched, with a recorded set and without?
 *
 * The server is nbdkit with its delay filter, on a socket of its own: each read
 * takes so long, and as many at a time as nbdkit has threads. The guest touches
 * clusters of host pages in random order, and each page is compared. Without a set
 * every page of 64 KiB is asked for when the guest waits for it; with one, many are
 * under way at a time. The two take turns.
 */
#include "faultline.h"
#include "lib/adapters/nbd/faultline-nbd.h"
#include "tests/kit/nbdkit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HPAGE ((uint64_t)4096)
#define MIB ((uint64_t)1 << 20)
#define CLUSTER 4
#define ROUNDS 7

struct bench {
	struct fl_context *context;
	struct fl_pool *pool;
	uint64_t bytes, *offs;
	size_t count;
	char folder[64], file[96], socket[96], set[96], uri[128];
	const char *delay;
	pid_t pid;
};

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void must(int err, const struct fl_error *error)
{
	if (!err)
		return;
	fprintf(stderr, "bench_nbd: %s\n",
		error ? error->text : strerror(errno));
	exit(1);
}

static uint64_t word_at(uint64_t off)
{
	return (off * 0x9e3779b97f4a7c15u ^ off >> 7) | 1;
}

static void make_file(struct bench *b)
{
	struct fl_segment segment = { 0, NULL, b->bytes };
	struct fl_error error = { .text = "" };
	uint8_t *bytes = malloc(b->bytes);
	struct fl_image *image;

	must(!bytes, NULL);
	for (uint64_t off = 0; off < b->bytes; off += 8) {
		uint64_t word = word_at(off);

		memcpy(bytes + off, &word, 8);
	}
	segment.bytes = bytes;
	must(fl_image_from_segments(b->context, b->bytes, &segment, 1, &image,
				    &error),
	     &error);
	must(fl_image_write(image, b->file, &error), &error);
	fl_image_release(image);
	free(bytes);
}

/* A permutation of which the first 8 % are touched. */
static void make_offs(struct bench *b)
{
	size_t all = (size_t)(b->bytes / (CLUSTER * HPAGE));
	uint64_t rng = 88172645463325252u;

	b->offs = calloc(all, sizeof(*b->offs));
	must(!b->offs, NULL);
	b->count = all * 8 / 100;
	for (size_t i = 0; i < all; i++)
		b->offs[i] = i * CLUSTER * HPAGE;
	for (size_t i = 0; i < b->count; i++) {
		uint64_t kept = b->offs[i];
		size_t j;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		j = i + (size_t)(rng % (all - i));
		b->offs[i] = b->offs[j];
		b->offs[j] = kept;
	}
}

/* ms until the set is touched. */
static double run(const struct bench *b, const char *set, const char *write_set)
{
	struct fl_error error = { .text = "" };
	struct fl_memory_config memory_config;
	struct fl_page_source *source;
	struct fl_load_config config;
	struct fl_memory *memory;
	struct fl_image *image;
	bool is_right = true;
	double start;

	must(fl_nbd_source_open(b->uri, 5000000000u, &source, &error), &error);
	start = now_ms();
	fl_load_config_init(&config);
	config.way = FL_LOAD_LAZY;
	config.working_set_path = set;
	must(fl_image_open_source(b->context, source, &config, &image, &error),
	     &error);
	fl_memory_config_init(&memory_config);
	memory_config.image = image;
	must(fl_memory_acquire(b->pool, &memory_config, &memory, &error),
	     &error);
	for (size_t i = 0; i < b->count * CLUSTER; i++) {
		uint64_t off = b->offs[i / CLUSTER] + i % CLUSTER * HPAGE, word;

		memcpy(&word, memory->base + off, 8);
		is_right &= word == word_at(off);
	}
	start = now_ms() - start;
	must(!is_right || fl_memory_release(memory), NULL);
	if (write_set)
		must(fl_image_write_working_set(image, write_set, &error),
		     &error);
	fl_pool_purge(b->pool, NULL, image, NULL);
	fl_image_release(image);
	fl_page_source_release(source);
	return start;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run_rounds(const struct bench *b)
{
	double times[2][ROUNDS];

	run(b, NULL, b->set);
	for (int r = 0; r < ROUNDS; r++) {
		times[0][r] = run(b, NULL, NULL);
		times[1][r] = run(b, b->set, NULL);
	}
	for (int i = 0; i < 2; i++)
		qsort(times[i], ROUNDS, sizeof(times[i][0]), compare);
	printf("lazy         %10.2f ms\nrecorded set %10.2f ms, %.1f times shorter\n",
	       times[0][ROUNDS / 2], times[1][ROUNDS / 2],
	       times[0][ROUNDS / 2] / times[1][ROUNDS / 2]);
}

static void paths_make(struct bench *b)
{
	strcpy(b->folder, "/tmp/fl-nbd-XXXXXX");
	must(!mkdtemp(b->folder), NULL);
	snprintf(b->file, sizeof(b->file), "%s/file", b->folder);
	snprintf(b->set, sizeof(b->set), "%s/set", b->folder);
	snprintf(b->socket, sizeof(b->socket), "%s/socket", b->folder);
	snprintf(b->uri, sizeof(b->uri), "nbd+unix:///?socket=%s", b->socket);
}

int main(int argc, char **argv)
{
	struct bench b = { .bytes = 64 * MIB };
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;

	if (argc > 2 || (argc == 2 && argv[1][0] == '-')) {
		fprintf(stderr, "usage: bench_nbd [DELAY]\n"
				"DELAY is of each read, as nbdkit takes it "
				"(1ms)\n");
		return 2;
	}
	b.delay = argc > 1 ? argv[1] : "1ms";
	paths_make(&b);
	must(fl_context_create(NULL, &b.context, &error), &error);
	fl_pool_config_init(&config);
	config.max_memories = config.max_instances = 1;
	config.max_memory_bytes = b.bytes;
	must(fl_pool_create(b.context, &config, &b.pool, &error), &error);
	make_file(&b);
	make_offs(&b);
	b.pid = nbdkit_start(b.socket, b.file, b.delay);
	if (b.pid < 0) {
		fprintf(stderr, "bench_nbd: install nbdkit\n");
		return 1;
	}
	printf("image 64 MiB, %zu clusters of %d host pages, rdelay=%s, 1 connection, nbdkit with its 16 threads, %d rounds\n",
	       b.count, CLUSTER, b.delay, ROUNDS);
	run_rounds(&b);
	kill(b.pid, SIGTERM);
	waitpid(b.pid, NULL, 0);
	must(fl_pool_destroy(b.pool), &error);
	fl_context_destroy(b.context);
	free(b.offs);
	unlink(b.file);
	unlink(b.set);
	unlink(b.socket);
	rmdir(b.folder);
	return 0;
}
