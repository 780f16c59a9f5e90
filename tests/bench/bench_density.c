/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench_density.c - how much memory does a live instance take, and how much
 * a slot that was used and is clean again?
 *
 * N instances are alive at once, each having made its touches; then all are
 * released and their slots kept. PSS (proportional set size) counts a shared
 * page once over all who map it, so pages of the image that instances share
 * weigh little, as they do in truth; page tables are not in it and are shown
 * beside it, and so is the number of mappings. All are differences to before the
 * first instance, so the
 * harness's own copy of the image is not in them.
 */
#include "competitors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	INSTANCES,
	IMAGE_WPAGES,
	ZERO_WPAGES,
	READS,
	WRITES,
	CHOICE,
	TABLE,
	STRUCTURE,
	N_PARAMS,
};

static const struct bench_param params[N_PARAMS] = {
	[INSTANCES] = { "instances", BENCH_NUMBER, "100", NULL,
			"how many are alive at once" },
	[IMAGE_WPAGES] = { "image-wpages", BENCH_NUMBER, "64", NULL,
			   "size of the image in 64 KiB pages" },
	[ZERO_WPAGES] = { "zero-wpages", BENCH_NUMBER, "0", NULL,
			  "of these at each end that hold zeroes" },
	[READS] = { "reads", BENCH_NUMBER, "64", NULL,
		    "host pages read by each" },
	[WRITES] = { "writes", BENCH_NUMBER, "16", NULL,
		     "host pages written by each" },
	[CHOICE] = { "choice", BENCH_WORD, "random", BENCH_CHOICE_WORDS,
		     "how they are chosen: " BENCH_CHOICE_WORDS },
	[TABLE] = { "table", BENCH_NUMBER, "0", NULL,
		    "elements of 32 bytes in a table of each" },
	[STRUCTURE] = { "structure", BENCH_NUMBER, "0", NULL,
			"bytes of the runtime's structure in each" },
};

static const struct bench_competitor *const rivals[] = {
	&bench_mmap_memcpy,
	&bench_uffd_thread,
	&bench_cow_dontneed,
	&bench_cow_keep,
	&bench_cow_scan_32,
	&bench_cow_scan,
	NULL,
};

struct usage {
	double pss_kib;
	double tables_kib;
	double mappings;
};

struct density {
	struct usage before;
	struct usage alive;
	struct usage idle;
};

static void workload(uint64_t *values, struct bench_workload *w)
{
	*w = (struct bench_workload){
		.image_wpages = values[IMAGE_WPAGES],
		.zero_wpages = values[ZERO_WPAGES],
		.reads = values[READS],
		.writes = values[WRITES],
		.choice = (enum bench_choice)values[CHOICE],
		.table_elements = values[TABLE],
		.structure_bytes = values[STRUCTURE],
		.live = values[INSTANCES],
	};
}

static int read_kib(const char *path, const char *key, double *kib)
{
	FILE *f = fopen(path, "re");
	char line[256];
	int err = -ENODATA;

	if (!f)
		return -errno;
	while (err && fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, strlen(key)))
			continue;
		*kib = strtod(line + strlen(key), NULL);
		err = 0;
	}
	fclose(f);
	return err;
}

static double count_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "re");
	double lines = 0;
	int c;

	while (f && (c = getc(f)) != EOF)
		lines += c == '\n';
	if (f)
		fclose(f);
	return lines;
}

static int read_usage(struct usage *u)
{
	int err = read_kib("/proc/self/smaps_rollup", "Pss:", &u->pss_kib);

	u->mappings = count_mappings();
	return err ? err :
		     read_kib("/proc/self/status", "VmPTE:", &u->tables_kib);
}

static int fill(struct bench_lane *lanes, size_t n, const struct bench_case *c,
		const struct bench_competitor *k)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		err = bench_lane_open(&lanes[i], k, c, 0);
		if (!err)
			err = bench_lane_attach(&lanes[i]);
		if (!err)
			err = bench_lane_take(&lanes[i]);
		if (!err)
			err = bench_lane_touch(&lanes[i]);
	}
	return err;
}

static int empty(struct bench_lane *lanes, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = bench_lane_give(&lanes[i]);
	return err;
}

static int verify_each(struct bench_lane *lanes, size_t n,
		       struct bench_entry *e)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++)
		err = bench_lane_verify(&lanes[i], e->reason,
					sizeof(e->reason));
	if (err) {
		e->status = BENCH_FAILED;
		fprintf(stderr, "%s: %s\n", e->competitor->name, e->reason);
	}
	return err;
}

static int run(struct bench_lane *lanes, size_t n, const struct bench_case *c,
	       struct bench_entry *e, struct density *d)
{
	int err = read_usage(&d->before);

	if (!err)
		err = fill(lanes, n, c, e->competitor);
	if (!err)
		err = read_usage(&d->alive);
	if (!err)
		err = empty(lanes, n);
	if (!err)
		err = read_usage(&d->idle);
	if (err) {
		bench_entry_fail(e, "--instances", err);
		return err;
	}
	if (e->competitor->describe)
		e->competitor->describe(lanes[0].state, e->features,
					sizeof(e->features));
	return verify_each(lanes, n, e);
}

static void print_json(const struct bench_program *p,
		       const struct bench_options *opt,
		       const struct bench_case *c, const struct bench_entry *e,
		       const struct density *d)
{
	double n = (double)c->values[INSTANCES];

	bench_report_json_start(p, opt, c, e);
	if (e->status == BENCH_OK)
		printf(", \"alive_pss_kib\": %.2f, \"alive_tables_kib\": %.2f, "
		       "\"alive_mappings\": %.2f, "
		       "\"idle_pss_kib\": %.2f, \"idle_tables_kib\": %.2f",
		       (d->alive.pss_kib - d->before.pss_kib) / n,
		       (d->alive.tables_kib - d->before.tables_kib) / n,
		       (d->alive.mappings - d->before.mappings) / n,
		       (d->idle.pss_kib - d->before.pss_kib) / n,
		       (d->idle.tables_kib - d->before.tables_kib) / n);
	bench_report_json_end(e);
}

static void print_row(const struct bench_case *c, const struct bench_entry *e,
		      const struct density *d)
{
	double n = (double)c->values[INSTANCES];

	if (e->status != BENCH_OK) {
		bench_report_status(e);
		return;
	}
	printf("%-20s %10.1f %10.1f %10.1f %10.1f %10.1f  %s\n",
	       e->competitor->name, (d->alive.pss_kib - d->before.pss_kib) / n,
	       (d->alive.tables_kib - d->before.tables_kib) / n,
	       (d->alive.mappings - d->before.mappings) / n,
	       (d->idle.pss_kib - d->before.pss_kib) / n,
	       (d->idle.tables_kib - d->before.tables_kib) / n,
	       e->competitor->note);
}

static int measure(const struct bench_program *p,
		   const struct bench_options *opt, const struct bench_case *c,
		   struct bench_entry *entries, size_t n_entries)
{
	size_t n = c->values[INSTANCES];
	struct bench_lane *lanes = n ? calloc(n, sizeof(*lanes)) : NULL;

	if (!lanes) {
		fprintf(stderr,
			"--instances %zu: give a number from 1 up to "
			"what memory allows\n",
			n);
		return -EINVAL;
	}
	if (opt->n_threads != 1)
		fprintf(stderr, "--threads: the instances are all made on one "
				"thread\n");
	if (!opt->json)
		printf("KiB per instance     %10s %10s %10s %10s %10s\n",
		       "alive PSS", "tables", "mappings", "idle PSS", "tables");
	for (size_t e = 0; e < n_entries; e++) {
		struct density d = { 0 };

		memset(lanes, 0, n * sizeof(*lanes));
		if (entries[e].status == BENCH_OK)
			run(lanes, n, c, &entries[e], &d);
		for (size_t i = 0; i < n; i++)
			bench_lane_close(&lanes[i]);
		if (opt->json)
			print_json(p, opt, c, &entries[e], &d);
		else
			print_row(c, &entries[e], &d);
		fflush(stdout);
	}
	free(lanes);
	return 0;
}

static const struct bench_program program = {
	.name = "density",
	.question = "memory of live instances and of clean slots",
	.params = params,
	.n_params = N_PARAMS,
	.rivals = rivals,
	.workload = workload,
	.measure = measure,
};

int main(int argc, char **argv)
{
	return bench_main(&program, argc, argv);
}
