/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench.c - the main function that all benchmark programs share.
 *
 * Builds one case after the other out of the parameters' lists (the last
 * parameter varies fastest), asks each competitor whether it is possible
 * here, has the case measured and reported. Exit status: 0 all is well
 * (skipped competitors included), 1 a competitor failed or its memory did
 * not equal the image, 2 the command line or the case makes no sense.
 */
#include "bench.h"

#include <stdlib.h>
#include <string.h>

static bool is_wanted(const struct bench_options *opt, const char *name)
{
	const char *at = opt->only;
	size_t len = strlen(name);

	while (at && *at) {
		size_t one = strcspn(at, ",");

		if (one == len && !strncmp(at, name, len))
			return true;
		at += one + (at[one] == ',');
	}
	return !opt->only;
}

static size_t add_wanted(const struct bench_options *opt,
			 const struct bench_competitor *const *from,
			 struct bench_entry *entries, size_t n)
{
	for (; *from; from++)
		if (is_wanted(opt, (*from)->name))
			entries[n++].competitor = *from;
	return n;
}

static size_t count(const struct bench_competitor *const *list)
{
	size_t n = 0;

	while (list[n])
		n++;
	return n;
}

static void probe(const struct bench_case *c, struct bench_entry *e)
{
	const struct bench_competitor *k = e->competitor;

	snprintf(e->features, sizeof(e->features), "%s",
		 k->features ? k->features : "");
	if (c->grow_bytes && !k->grow) {
		snprintf(e->reason, sizeof(e->reason), "it cannot grow");
		e->status = BENCH_SKIPPED;
	} else if (bench_case_has_parts(c) && !k->parts) {
		snprintf(e->reason, sizeof(e->reason),
			 "it keeps memories, no tables and structures");
		e->status = BENCH_SKIPPED;
	} else if (k->probe && !k->probe(c, e->reason, sizeof(e->reason))) {
		e->status = BENCH_SKIPPED;
	}
}

static int run_entries(const struct bench_program *p,
		       const struct bench_options *opt,
		       const struct bench_case *c, struct bench_entry *entries,
		       size_t n)
{
	int status = 0, err;

	for (size_t e = 0; e < n; e++)
		probe(c, &entries[e]);
	bench_report_case(p, opt, c);
	if (p->measure) {
		err = p->measure(p, opt, c, entries, n);
	} else {
		err = bench_runner_measure(p, opt, c, entries, n);
		if (!err)
			bench_report_rows(p, opt, c, entries, n);
	}
	if (err)
		fprintf(stderr, "bench_%s: %s\n", p->name, strerror(-err));
	for (size_t e = 0; e < n; e++) {
		if (entries[e].status == BENCH_FAILED)
			status = 1;
		free(entries[e].cycle_us.at);
		free(entries[e].rate.at);
		free(entries[e].alone_us.at);
	}
	return err ? 1 : status;
}

static const struct bench_competitor *const *
own_rows(const struct bench_program *p)
{
	return p->own ? p->own : bench_faultline;
}

static int run_case(const struct bench_program *p,
		    const struct bench_options *opt, uint64_t *values)
{
	size_t room = count(own_rows(p)) + count(p->rivals);
	struct bench_workload w = { 0 };
	struct bench_entry *entries;
	struct bench_case *c;
	char why[BENCH_REASON_BYTES] = "";
	int status = 2;
	size_t n;

	p->workload(values, &w);
	if (bench_case_create(&w, values, &c, why, sizeof(why))) {
		fprintf(stderr, "bench_%s: %s\n", p->name, why);
		return 2;
	}
	entries = calloc(room + 1, sizeof(*entries));
	if (!entries)
		goto out;
	n = add_wanted(opt, own_rows(p), entries, 0);
	n = add_wanted(opt, p->rivals, entries, n);
	if (n)
		status = run_entries(p, opt, c, entries, n);
	else
		fprintf(stderr,
			"--only %s: no such competitor; --list names "
			"all\n",
			opt->only);
out:
	free(entries);
	bench_case_destroy(c);
	return status;
}

/* False: all combinations were had. */
static bool next_case(const struct bench_program *p,
		      const struct bench_options *opt, size_t *at)
{
	for (size_t i = p->n_params; i--;) {
		if (++at[i] < opt->n_values[i])
			return true;
		at[i] = 0;
	}
	return false;
}

static void list(const struct bench_competitor *const *from)
{
	for (; *from; from++)
		printf("%-20s %s\n", (*from)->name, (*from)->note);
}

int bench_main(const struct bench_program *p, int argc, char **argv)
{
	size_t at[BENCH_PARAMS_MAX] = { 0 };
	uint64_t values[BENCH_PARAMS_MAX];
	struct bench_options opt;
	int status = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help"))
			continue;
		bench_options_help(p, stdout);
		return 0;
	}
	if (bench_options_parse(p, argc, argv, &opt))
		return 2;
	if (opt.list) {
		list(own_rows(p));
		list(p->rivals);
		return 0;
	}
	bench_report_header(p, &opt);
	do {
		int one;

		for (size_t i = 0; i < p->n_params; i++)
			values[i] = opt.values[i][at[i]];
		one = run_case(p, &opt, values);
		if (one > status)
			status = one;
	} while (next_case(p, &opt, at));
	return status;
}
