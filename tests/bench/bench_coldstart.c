/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_coldstart.c - an image file that is not in memory: how long until a
 * working set of it is touched?
 *
 * The working set is 8 % of the pages, in clusters, and touched cluster by
 * cluster in random order: one byte of each host page, which is compared. Before
 * each trial the file's pages are dropped from the page cache. Time runs from
 * opening until the last page is touched. The ways take turns within each round.
 *
 * Ways of others: a private mapping of the file, alone, with MADV_RANDOM, and
 * with MADV_WILLNEED on the working set, and on the 64 KiB pages that it lies in,
 * which is what whoever checks hashes has to read; the whole file read into
 * memory, and read by io_uring into a memory file that is then mapped, through the
 * page cache and past it (O_DIRECT); the same of the working set alone. Ways of
 * Faultline: whole, lazy, in place and unchecked, the last two also with the
 * working set that an earlier run recorded; whole and lazy also from a file whose
 * pages are packed, which takes the set of the other; lazy also past the page cache,
 * into buffers or to where pages stay. The content packs about as well as a program's
 * heap: lines of which a third is noise. The last rows are the second slot of an image:
 * one that is resident, one of which a tenant has loaded the working set, and one of
 * which a tenant has loaded all.
 */
#include "coldstart.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define MAX_ROUNDS 100

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

void check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "bench_coldstart: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void must(int err, const struct fl_error *error)
{
	if (!err)
		return;
	fprintf(stderr, "bench_coldstart: %s\n", error->text);
	exit(1);
}

/* What lies at the start of a host page of the image. */
static uint64_t word_at(uint64_t off)
{
	uint64_t z = off * 0x9e3779b97f4a7c15u + 1;

	z = (z ^ (z >> 29)) * 0xbf58476d1ce4e5b9u;
	return z | 1;
}

/* When the last page was touched: what comes after is another matter. */
static double touched_ms;

bool touch(const struct bench *b, const uint8_t *base)
{
	bool is_right = true;

	for (size_t i = 0; i < b->cluster_count; i++) {
		for (uint64_t h = 0; h < b->cluster_hpages; h++) {
			uint64_t off = b->clusters[i] + h * HPAGE, word;

			memcpy(&word, base + off, sizeof(word));
			is_right &= word == word_at(off);
		}
	}
	touched_ms = now_ms();
	return is_right;
}

#define LINE 32
#define NOISE 12

/* One of some records, with a value of its own. */
static void make_line(uint8_t *line, uint64_t off)
{
	uint64_t value = word_at(off), kind = word_at(off + 1) % 61;

	memcpy(line, &value, 8);
	value = word_at(off + 2);
	memcpy(line + 8, &value, NOISE - 8);
	for (uint64_t i = NOISE; i < LINE; i++)
		line[i] = (uint8_t)(kind * 37 + i * (kind % 5));
}

static void make_packed(struct bench *b, struct fl_image *image)
{
	struct fl_error error = { .text = "" };
	int err =
		fl_image_write_as(image, b->packed_path, FL_WRITE_ZSTD, &error);

	b->packed_fd = -1;
	if (err == -ENOTSUP)
		return;
	must(err, &error);
	b->packed_fd = open(b->packed_path, O_RDONLY | O_CLOEXEC);
	check(b->packed_fd >= 0, "cannot open the packed file");
}

static void make_file(struct bench *b)
{
	struct fl_segment segment = { 0, NULL, b->image_bytes };
	struct fl_error error = { .text = "" };
	struct fl_image *image;
	uint8_t *bytes = malloc(b->image_bytes), head[8192];
	uint64_t word = word_at(0);

	check(bytes != NULL, "no memory for the image");
	for (uint64_t off = 0; off < b->image_bytes; off += LINE)
		make_line(bytes + off, off);
	segment.bytes = bytes;
	must(fl_image_from_segments(b->context, b->image_bytes, &segment, 1,
				    &image, &error),
	     &error);
	must(fl_image_write(image, b->path, &error), &error);
	make_packed(b, image);
	fl_image_release(image);
	free(bytes);
	b->fd = open(b->path, O_RDONLY | O_CLOEXEC);
	check(b->fd >= 0, "cannot open the image file");
	/* Pages lie in the order of the memory: the first is at its start. */
	for (b->data_off = 0;; b->data_off += 65536) {
		check(pread(b->fd, head, 8, (off_t)b->data_off) == 8,
		      "no image in the file");
		if (!memcmp(head, &word, 8))
			break;
	}
}

static void make_clusters(struct bench *b)
{
	uint64_t len = b->cluster_hpages * HPAGE, rng = 88172645463325252u;
	size_t all = (size_t)(b->image_bytes / len);

	b->cluster_count = (size_t)((double)all * 0.08);
	b->clusters = calloc(all, sizeof(*b->clusters));
	check(b->clusters != NULL, "no memory");
	for (size_t i = 0; i < all; i++)
		b->clusters[i] = i * len;
	for (size_t i = 0; i < b->cluster_count; i++) {
		uint64_t swap = b->clusters[i];
		size_t j;

		rng ^= rng << 13;
		rng ^= rng >> 7;
		rng ^= rng << 17;
		j = i + (size_t)(rng % (all - i));
		b->clusters[i] = b->clusters[j];
		b->clusters[j] = swap;
	}
}

static void drop_cache(const struct bench *b)
{
	check(!fsync(b->fd), "fsync");
	check(!posix_fadvise(b->fd, 0, 0, POSIX_FADV_DONTNEED), "fadvise");
	if (b->packed_fd < 0)
		return;
	check(!fsync(b->packed_fd), "fsync");
	check(!posix_fadvise(b->packed_fd, 0, 0, POSIX_FADV_DONTNEED),
	      "fadvise");
}

/* --------------------------------------------------------- ways of Faultline */

/* NULL: FL_PUBLISH_CONTINUE cannot be had. */
static struct fl_image *open_as(const struct bench *b, const char *path,
				enum fl_load_way way,
				enum fl_load_publish publish,
				enum fl_load_read read, const char *set_path)
{
	struct fl_error error = { .text = "" };
	struct fl_page_source *source;
	struct fl_load_config config;
	struct fl_image *image;
	int err;

	must(fl_page_source_from_file(path, -1, &source, &error), &error);
	fl_load_config_init(&config);
	config.way = way;
	if (way == FL_LOAD_IN_PLACE)
		config.open_flags = FL_OPEN_IN_PLACE | FL_OPEN_UNCHECKED;
	config.working_set_path = set_path;
	config.publish = publish;
	config.read = read;
	err = fl_image_open_source(b->context, source, &config, &image, &error);
	fl_page_source_release(source);
	if (err == -ENOTSUP && publish == FL_PUBLISH_CONTINUE)
		return NULL;
	must(err, &error);
	return image;
}

static struct fl_image *open_published(const struct bench *b, const char *path,
				       enum fl_load_way way,
				       enum fl_load_publish publish,
				       const char *set_path)
{
	return open_as(b, path, way, publish, FL_READ_DEFAULT, set_path);
}

static struct fl_image *open_image(const struct bench *b, const char *path,
				   enum fl_load_way way, const char *set_path)
{
	return open_published(b, path, way, FL_PUBLISH_DEFAULT, set_path);
}

static struct fl_memory *tenant_begin(const struct bench *b,
				      struct fl_image *image)
{
	struct fl_error error = { .text = "" };
	struct fl_memory_config config;
	struct fl_memory *memory;

	fl_memory_config_init(&config);
	config.image = image;
	must(fl_memory_acquire(b->pool, &config, &memory, &error), &error);
	return memory;
}

static bool run_tenant(const struct bench *b, struct fl_image *image)
{
	struct fl_memory *memory = tenant_begin(b, image);
	bool is_right = touch(b, memory->base);

	check(!fl_memory_release(memory), "release");
	return is_right;
}

static void close_image(const struct bench *b, struct fl_image *image)
{
	fl_pool_purge(b->pool, NULL, image, NULL);
	fl_image_release(image);
}

static bool run_file(const struct bench *b, const char *path,
		     enum fl_load_way way, const char *set_path,
		     const char *write_path)
{
	struct fl_image *image = open_image(b, path, way, set_path);
	struct fl_error error = { .text = "" };
	bool is_right = run_tenant(b, image);

	if (write_path)
		must(fl_image_write_working_set(image, write_path, &error),
		     &error);
	close_image(b, image);
	return is_right;
}

static bool run_image(const struct bench *b, enum fl_load_way way,
		      const char *set_path, const char *write_path)
{
	return run_file(b, b->path, way, set_path, write_path);
}

static bool run_packed_whole(const struct bench *b)
{
	return run_file(b, b->packed_path, FL_LOAD_WHOLE, NULL, NULL);
}

static bool run_packed_lazy(const struct bench *b)
{
	return run_file(b, b->packed_path, FL_LOAD_LAZY, NULL, NULL);
}

static bool run_packed_set(const struct bench *b)
{
	return run_file(b, b->packed_path, FL_LOAD_LAZY, b->set_path, NULL);
}

static bool run_whole(const struct bench *b)
{
	return run_image(b, FL_LOAD_WHOLE, NULL, NULL);
}

static bool run_lazy(const struct bench *b)
{
	return run_image(b, FL_LOAD_LAZY, NULL, NULL);
}

static bool run_lazy_set(const struct bench *b)
{
	return run_image(b, FL_LOAD_LAZY, b->set_path, NULL);
}

static bool run_published(const struct bench *b, enum fl_load_publish publish,
			  const char *set_path)
{
	struct fl_image *image =
		open_published(b, b->path, FL_LOAD_LAZY, publish, set_path);
	bool is_right = run_tenant(b, image);

	close_image(b, image);
	return is_right;
}

static bool run_continue(const struct bench *b)
{
	return run_published(b, FL_PUBLISH_CONTINUE, NULL);
}

static bool run_continue_set(const struct bench *b)
{
	return run_published(b, FL_PUBLISH_CONTINUE, b->set_path);
}

static bool run_read_past(const struct bench *b, const char *path,
			  const char *set_path)
{
	struct fl_image *image = open_as(b, path, FL_LOAD_LAZY,
					 FL_PUBLISH_DEFAULT, FL_READ_DIRECT,
					 set_path);
	bool is_right = run_tenant(b, image);

	close_image(b, image);
	return is_right;
}

static bool run_direct(const struct bench *b)
{
	return run_read_past(b, b->path, NULL);
}

static bool run_direct_set(const struct bench *b)
{
	return run_read_past(b, b->path, b->set_path);
}

static bool run_packed_direct_set(const struct bench *b)
{
	return run_read_past(b, b->packed_path, b->set_path);
}

static bool run_place(const struct bench *b)
{
	return run_image(b, FL_LOAD_IN_PLACE, NULL, NULL);
}

static bool run_place_set(const struct bench *b)
{
	return run_image(b, FL_LOAD_IN_PLACE, b->place_set_path, NULL);
}

static const char *needs_packing(const struct bench *b)
{
	return b->packed_fd < 0 ? "the library is built without zstd" : NULL;
}

static const char *needs_packed_direct(const struct bench *b)
{
	const char *lacks = needs_packing(b);

	return lacks ? lacks : needs_direct(b);
}

static const char *needs_continue(const struct bench *b)
{
	struct fl_image *image = open_published(b, b->path, FL_LOAD_LAZY,
						FL_PUBLISH_CONTINUE, NULL);

	fl_image_release(image);
	return image ? NULL : "pages cannot be published by UFFDIO_CONTINUE";
}

static const struct way {
	const char *name;
	const char *note;
	bool (*run)(const struct bench *b);
	const char *(*needs)(const struct bench *b); /* NULL: nothing */
} ways[] = {
	{ "mmap", "a private mapping of the file", run_mmap, NULL },
	{ "mmap-random", "the same with MADV_RANDOM", run_mmap_random, NULL },
	{ "mmap-willneed", "and MADV_WILLNEED on the working set",
	  run_mmap_willneed, NULL },
	{ "mmap-willneed-64k", "and on its pages of 64 KiB", run_mmap_pages,
	  NULL },
	{ "read", "all of the file into memory", run_read, NULL },
	{ "uring-memfd", "all of it by io_uring into a memory file", run_uring,
	  needs_ring },
	{ "uring-memfd-direct", "the same with O_DIRECT", run_uring_direct,
	  needs_direct },
	{ "uring-memfd-set", "the working set alone, with O_DIRECT",
	  run_uring_set, needs_direct },
	{ "faultline-whole", "all pages at open, checked", run_whole, NULL },
	{ "faultline-lazy", "pages when touched, checked", run_lazy, NULL },
	{ "faultline-set", "the same with the recorded set", run_lazy_set,
	  NULL },
	{ "direct-lazy", "faultline-lazy, read past the page cache", run_direct,
	  needs_direct },
	{ "direct-set", "the same with the recorded set", run_direct_set,
	  needs_direct },
	{ "continue-lazy", "faultline-lazy, read to where it stays",
	  run_continue, needs_continue },
	{ "continue-set", "the same with the recorded set", run_continue_set,
	  needs_continue },
	{ "packed-whole", "faultline-whole of the packed file",
	  run_packed_whole, needs_packing },
	{ "packed-lazy", "faultline-lazy of the packed file", run_packed_lazy,
	  needs_packing },
	{ "packed-set", "faultline-set of the packed file", run_packed_set,
	  needs_packing },
	{ "packed-direct-set", "the same, read past the page cache",
	  run_packed_direct_set, needs_packed_direct },
	{ "faultline-place", "the file in place, unchecked", run_place, NULL },
	{ "faultline-place-set", "the same with the recorded set",
	  run_place_set, NULL },
};

#define WAYS (sizeof(ways) / sizeof(ways[0]))

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

static void report(const struct bench *b, const char *name, const char *note,
		   double ms, double base_ms, bool as_json)
{
	if (as_json)
		printf("{\"bench\": \"coldstart\", \"competitor\": \"%s\", \"image_mib\": %llu, \"cluster_hpages\": %llu, \"median_us\": %.1f}\n",
		       name, (unsigned long long)(b->image_bytes / MIB),
		       (unsigned long long)b->cluster_hpages, ms * 1e3);
	else
		printf("%-20s %10.2f ms  %5.2fx  %s\n", name, ms, ms / base_ms,
		       note);
}

struct options {
	uint64_t mib, cluster, rounds;
	const char *folder;
	const char *way; /* NULL: all */
	bool as_json, is_warm;
};

static bool is_wanted(const struct options *options, size_t w)
{
	const char *at = options->way;
	size_t len = strlen(ways[w].name);

	while (at && (strncmp(at, ways[w].name, len) ||
		      (at[len] && at[len] != ','))) {
		at = strchr(at, ',');
		if (at)
			at++;
	}
	return !w || !options->way || at;
}

static const struct second {
	const char *name;
	const char *note;
	enum fl_load_way way;
	enum fl_load_publish publish;
	bool is_complete;
} seconds[] = {
	{ "second-whole", "second slot of a resident image", FL_LOAD_WHOLE,
	  FL_PUBLISH_DEFAULT, false },
	{ "second-lazy", "of a lazy image, its set loaded", FL_LOAD_LAZY,
	  FL_PUBLISH_DEFAULT, false },
	{ "second-continue", "the same, read to where it stays", FL_LOAD_LAZY,
	  FL_PUBLISH_CONTINUE, false },
	{ "second-lazy-all", "of a lazy image, all of it loaded", FL_LOAD_LAZY,
	  FL_PUBLISH_DEFAULT, true },
	{ "second-continue-all", "the same, read to where it stays",
	  FL_LOAD_LAZY, FL_PUBLISH_CONTINUE, true },
};

#define SECONDS ((int)(sizeof(seconds) / sizeof(seconds[0])))

/* The first slot, which a tenant holds: its pages are recorded. */
static struct fl_memory *first_begin(const struct bench *b,
				     struct fl_image *image, bool is_complete)
{
	struct fl_memory *memory = tenant_begin(b, image);
	volatile const uint8_t *base = memory->base;

	for (uint64_t off = 0; is_complete && off < b->image_bytes;
	     off += 65536)
		(void)base[off];
	check(touch(b, memory->base), "the first slot");
	return memory;
}

static bool is_possible(const struct bench *b, int i)
{
	return seconds[i].publish != FL_PUBLISH_CONTINUE || !needs_continue(b);
}

static double run_second(const struct bench *b, int i)
{
	struct fl_image *image = open_published(b, b->path, seconds[i].way,
						seconds[i].publish, NULL);
	struct fl_memory *first = first_begin(b, image, seconds[i].is_complete);
	double start;

	/* With nothing to load, what is loaded whole moves into large folios. */
	usleep(500000);
	start = now_ms();
	run_tenant(b, image);
	start = touched_ms - start;
	check(!fl_memory_release(first), "release");
	close_image(b, image);
	return start;
}

static void run_rounds(struct bench *b, const struct options *options)
{
	uint32_t rounds = (uint32_t)options->rounds;
	bool as_json = options->as_json;
	static double times[WAYS][MAX_ROUNDS], second[SECONDS][MAX_ROUNDS];
	double base_ms;

	for (uint32_t r = 0; r < rounds; r++) {
		for (size_t w = 0; w < WAYS; w++) {
			double start;

			if (!is_wanted(options, w) ||
			    (ways[w].needs && ways[w].needs(b)))
				continue;
			if (!options->is_warm)
				drop_cache(b);
			start = now_ms();
			check(ways[w].run(b), ways[w].name);
			times[w][r] = touched_ms - start;
		}
		for (int i = 0; i < SECONDS && !options->way; i++)
			second[i][r] = is_possible(b, i) ? run_second(b, i) : 0;
	}
	base_ms = median(times[0], rounds);
	for (size_t w = 0; w < WAYS; w++) {
		const char *lacks = ways[w].needs ? ways[w].needs(b) : NULL;

		if (is_wanted(options, w) && lacks && !as_json)
			printf("%-20s skipped: %s\n", ways[w].name, lacks);
		else if (is_wanted(options, w) && !lacks)
			report(b, ways[w].name, ways[w].note,
			       w ? median(times[w], rounds) : base_ms, base_ms,
			       as_json);
	}
	if (options->way)
		return;
	base_ms = median(second[0], rounds);
	for (int i = 0; i < SECONDS; i++) {
		if (!is_possible(b, i))
			continue;
		report(b, seconds[i].name, seconds[i].note,
		       i ? median(second[i], rounds) : base_ms, base_ms,
		       as_json);
	}
}

static void usage(FILE *out)
{
	fprintf(out,
		"usage: bench_coldstart [OPTION]...\n"
		"Time until a working set of a cold image file is touched.\n\n"
		"  --mib N       size of the image (256)\n"
		"  --cluster N   host pages side by side that are touched (4)\n"
		"  --rounds N    (5)\n"
		"  --folder DIR  where the file lies (/var/tmp)\n"
		"  --way A,B...  these ways alone, beside mmap\n"
		"  --warm        leave the file in the page cache\n"
		"  --json        one object a line\n"
		"  --sets N, --verify: each touched page is compared anyway\n");
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option names[] = {
		{ "mib", required_argument, NULL, 'm' },
		{ "cluster", required_argument, NULL, 'c' },
		{ "rounds", required_argument, NULL, 'r' },
		{ "folder", required_argument, NULL, 'f' },
		{ "way", required_argument, NULL, 'w' },
		{ "warm", no_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		{ "sets", required_argument, NULL, 's' },
		{ "verify", no_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0) {
		if (c == 'm')
			options->mib = strtoull(optarg, NULL, 10);
		else if (c == 'c')
			options->cluster = strtoull(optarg, NULL, 10);
		else if (c == 'r')
			options->rounds = strtoull(optarg, NULL, 10);
		else if (c == 'f')
			options->folder = optarg;
		else if (c == 'w')
			options->way = optarg;
		else if (c == 'p')
			options->is_warm = true;
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
	if (!options->mib || options->mib > 4096 || !options->cluster ||
	    options->cluster > 256 || !options->rounds ||
	    options->rounds > MAX_ROUNDS) {
		usage(stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct options options = { 256, 4, 5, "/var/tmp", NULL, false, false };
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	char folder[256], path[300], set_path[300], place_set_path[300];
	char packed_path[300];
	struct utsname system;
	struct bench b = { 0 };

	parse(argc, argv, &options);
	snprintf(folder, sizeof(folder), "%s/fl-coldstart-XXXXXX",
		 options.folder);
	check(mkdtemp(folder) != NULL, "cannot make a folder");
	snprintf(path, sizeof(path), "%s/image", folder);
	snprintf(set_path, sizeof(set_path), "%s/set", folder);
	b.image_bytes = options.mib * MIB;
	b.cluster_hpages = options.cluster;
	b.path = path;
	snprintf(packed_path, sizeof(packed_path), "%s/packed", folder);
	b.packed_path = packed_path;
	b.set_path = set_path;
	snprintf(place_set_path, sizeof(place_set_path), "%s/place", folder);
	b.place_set_path = place_set_path;
	must(fl_context_create(NULL, &b.context, &error), &error);
	fl_pool_config_init(&config);
	config.max_memories = config.max_instances = 2;
	config.max_memory_bytes = b.image_bytes;
	must(fl_pool_create(b.context, &config, &b.pool, &error), &error);
	make_file(&b);
	make_clusters(&b);
	uname(&system);
	if (!options.as_json)
		printf("image %llu MiB, working set %zu clusters of %llu host pages, %llu rounds, Linux %s\n",
		       (unsigned long long)options.mib, b.cluster_count,
		       (unsigned long long)options.cluster,
		       (unsigned long long)options.rounds, system.release);
	if (!options.as_json && b.packed_fd >= 0)
		printf("packed, the file has %.2f of its bytes\n",
		       (double)lseek(b.packed_fd, 0, SEEK_END) /
			       (double)lseek(b.fd, 0, SEEK_END));
	check(run_image(&b, FL_LOAD_LAZY, NULL, set_path), "recording");
	check(run_image(&b, FL_LOAD_IN_PLACE, NULL, place_set_path),
	      "recording in place");
	run_rounds(&b, &options);
	must(fl_pool_destroy(b.pool), &error);
	fl_context_destroy(b.context);
	close(b.fd);
	if (b.packed_fd >= 0)
		close(b.packed_fd);
	free(b.clusters);
	unlink(path);
	unlink(packed_path);
	unlink(set_path);
	unlink(place_set_path);
	rmdir(folder);
	return 0;
}
