/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_duel.c - which of two builds of the library is faster?
 *
 * Takes two shared libraries, OLD and NEW; gives the time of a cycle by each, and
 * NEW by OLD. A cycle takes a memory with an image of 4 MiB, reads and writes host
 * pages of it, and gives it back.
 *
 * Both are in one process, and run a hundred cycles in turn: a host that is
 * shared becomes faster and slower for both. Processes that take turns differ by
 * more than a change does, because their pages lie elsewhere; so each round
 * begins with new pools, and the first pool is the other library's.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <faultline.h>

#include <dlfcn.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define IMAGE_BYTES (UINT64_C(4) << 20)
#define CYCLES 100

#define CALLS(call)                                                 \
	call(fl_context_create) call(fl_context_destroy)            \
		call(fl_image_from_segments) call(fl_image_release) \
			call(fl_pool_create) call(fl_pool_destroy)  \
				call(fl_memory_acquire)             \
					call(fl_memory_release)

struct side {
	const char *path;
#define CALL(name) __typeof__(&name) name;
	CALLS(CALL)
#undef CALL
	struct fl_context *context;
	struct fl_image *image;
	struct fl_pool *pool;
};

struct duel {
	unsigned long reads, writes, rounds, turns, seed;
	struct side sides[2];
	size_t page_bytes, page_count;
	uint32_t *pages; /* all of the image, in an order of chance */
	uint8_t *bytes; /* of the image */
	/* Of each turn: a cycle's by each side, and the second by the first. */
	double *ns[2], *ratios;
	size_t count;
	uint64_t sum; /* of what was read, which is no use */
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_duel: %s: %s\n", what, why);
	exit(1);
}

static void *get(size_t count, size_t size)
{
	void *got = calloc(count, size);

	if (!got)
		die("figures", "no memory for so many");
	return got;
}

/* Its own copy of everything, whatever the other brought. */
static void side_load(struct side *side, const char *path)
{
	void *library = dlmopen(LM_ID_NEWLM, path, RTLD_NOW | RTLD_LOCAL);

	if (!library)
		die(path, dlerror());
	side->path = path;
#define CALL(name)                                     \
	*(void **)&side->name = dlsym(library, #name); \
	if (!side->name)                               \
		die(path, "has not all calls of a cycle");
	CALLS(CALL)
#undef CALL
}

static void side_open(struct side *side, const uint8_t *bytes)
{
	struct fl_segment segment = { 0, bytes, IMAGE_BYTES };
	struct fl_error error = { .text = "" };
	struct fl_pool_config config = FL_POOL_CONFIG_INIT;
	int err = side->fl_context_create(NULL, &side->context, &error);

	config.max_memories = 2;
	config.max_memory_bytes = 2 * IMAGE_BYTES;
	if (!err)
		err = side->fl_image_from_segments(side->context, IMAGE_BYTES,
						   &segment, 1, &side->image,
						   &error);
	if (!err)
		err = side->fl_pool_create(side->context, &config, &side->pool,
					   &error);
	if (err)
		die(side->path, error.text);
}

static void side_close(struct side *side)
{
	side->fl_pool_destroy(side->pool);
	side->fl_image_release(side->image);
	side->fl_context_destroy(side->context);
}

/* The written pages are others than the read ones. */
static uint64_t cycle(const struct duel *duel, const struct side *side)
{
	struct fl_memory_config config = FL_MEMORY_CONFIG_INIT;
	struct fl_memory *memory;
	uint64_t sum = 0;

	config.image = side->image;
	if (side->fl_memory_acquire(side->pool, &config, &memory, NULL))
		die(side->path, "no memory was to be had");
	for (size_t i = 0; i < duel->reads; i++)
		sum += memory->base[duel->pages[i] * duel->page_bytes];
	for (size_t i = duel->reads; i < duel->reads + duel->writes; i++)
		memory->base[duel->pages[i] * duel->page_bytes + 8] ^= 1;
	if (side->fl_memory_release(memory))
		die(side->path, "a memory was not taken back");
	return sum;
}

static double turn_ns(struct duel *duel, const struct side *side)
{
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < CYCLES; i++)
		duel->sum += cycle(duel, side);
	clock_gettime(CLOCK_MONOTONIC, &to);
	return ((double)(to.tv_sec - from.tv_sec) * 1e9 +
		(double)(to.tv_nsec - from.tv_nsec)) /
	       CYCLES;
}

static void round_run(struct duel *duel, unsigned long round)
{
	for (unsigned long i = 0; i < 2; i++)
		side_open(&duel->sides[(round + i) % 2], duel->bytes);
	/* The first turn meets slots that nobody has used. */
	for (int i = 0; i < 2; i++)
		(void)turn_ns(duel, &duel->sides[i]);
	for (unsigned long turn = 0; turn < duel->turns; turn++) {
		for (unsigned long i = 0; i < 2; i++) {
			unsigned long which = (turn + i) % 2;

			duel->ns[which][duel->count] =
				turn_ns(duel, &duel->sides[which]);
		}
		duel->ratios[duel->count] =
			duel->ns[1][duel->count] / duel->ns[0][duel->count];
		duel->count++;
	}
	for (int i = 0; i < 2; i++)
		side_close(&duel->sides[i]);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(double *values, size_t count, double part)
{
	qsort(values, count, sizeof(*values), by_value);
	return values[(size_t)(part * (double)(count - 1))];
}

static void pages_shuffle(struct duel *duel)
{
	srandom((unsigned int)duel->seed);
	for (size_t i = 0; i < duel->page_count; i++) {
		size_t other = (size_t)random() % (i + 1);

		duel->pages[i] = duel->pages[other];
		duel->pages[other] = (uint32_t)i;
	}
}

static void duel_open(struct duel *duel, char *const *paths)
{
	duel->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	duel->page_count = IMAGE_BYTES / duel->page_bytes;
	if (duel->reads > duel->page_count ||
	    duel->writes > duel->page_count - duel->reads)
		die("--reads and --writes", "the image has not so many pages");
	duel->pages = get(duel->page_count, sizeof(*duel->pages));
	pages_shuffle(duel);
	duel->bytes = get(IMAGE_BYTES, 1);
	memset(duel->bytes, 0x5a, IMAGE_BYTES);
	for (int i = 0; i < 2; i++) {
		side_load(&duel->sides[i], paths[i]);
		duel->ns[i] = get(duel->rounds * duel->turns, sizeof(double));
	}
	duel->ratios = get(duel->rounds * duel->turns, sizeof(double));
}

static void duel_close(struct duel *duel)
{
	free(duel->ratios);
	free(duel->ns[0]);
	free(duel->ns[1]);
	free(duel->bytes);
	free(duel->pages);
}

static void duel_print(struct duel *duel)
{
	printf("%lu pages read, %lu written: old %.0f ns, new %.0f ns; new by old %.3f (quartiles %.3f and %.3f), %zu turns of %d cycles\n",
	       duel->reads, duel->writes,
	       quantile(duel->ns[0], duel->count, 0.5),
	       quantile(duel->ns[1], duel->count, 0.5),
	       quantile(duel->ratios, duel->count, 0.5),
	       quantile(duel->ratios, duel->count, 0.25),
	       quantile(duel->ratios, duel->count, 0.75), duel->count, CYCLES);
}

static void usage(FILE *to, int status)
{
	fprintf(to, "usage: bench_duel [--reads N] [--writes N] [--rounds N] "
		    "[--turns N] [--seed N] OLD NEW\n"
		    "OLD and NEW are files of the shared library.\n");
	exit(status);
}

static void options_read(struct duel *duel, int argc, char **argv)
{
	static const struct option names[] = {
		{ "reads", required_argument, NULL, 0 },
		{ "writes", required_argument, NULL, 0 },
		{ "rounds", required_argument, NULL, 0 },
		{ "turns", required_argument, NULL, 0 },
		{ "seed", required_argument, NULL, 0 },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	unsigned long *const values[] = { &duel->reads, &duel->writes,
					  &duel->rounds, &duel->turns,
					  &duel->seed };
	int chosen, at;
	char *end;

	while ((chosen = getopt_long(argc, argv, "", names, &at)) >= 0) {
		if (chosen == 'h')
			usage(stdout, 0);
		if (chosen == '?')
			usage(stderr, 2);
		*values[at] = strtoul(optarg, &end, 10);
		if (!*optarg || *end)
			usage(stderr, 2);
	}
	if (argc - optind != 2 || !duel->rounds || !duel->turns)
		usage(stderr, 2);
}

int main(int argc, char **argv)
{
	struct duel duel = {
		.reads = 64, .writes = 16, .rounds = 16, .turns = 100, .seed = 1
	};

	options_read(&duel, argc, argv);
	duel_open(&duel, argv + optind);
	for (unsigned long round = 0; round < duel.rounds; round++)
		round_run(&duel, round);
	duel_print(&duel);
	duel_close(&duel);
	return 0;
}
