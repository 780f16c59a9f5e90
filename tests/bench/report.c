/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * report.c - samples, and the table or JSON lines made of them.
 *
 * Medians and quartiles, never means: on a shared machine the slow tail
 * tells about the neighbours. The ratio column divides each median by that
 * of the row named "faultline", or of the first row that has figures: above
 * 1 is slower than that row. A program that asks how things scale has another
 * table: what a cycle takes on one thread and on all, and how much more all get
 * done than one; beside it what that is of the scaling of its first rival,
 * which shares nothing.
 *
 * JSON: one object a line and nothing else on standard output; each repeats
 * the host's description, so that lines of several runs can be joined.
 */
#include "bench.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

int bench_samples_add(struct bench_samples *s, double value)
{
	if (s->n == s->room) {
		size_t room = s->room ? s->room * 2 : 256;
		double *at = realloc(s->at, room * sizeof(*at));

		if (!at)
			return -ENOMEM;
		s->at = at;
		s->room = room;
	}
	s->at[s->n++] = value;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

double bench_samples_quantile(struct bench_samples *s, double q)
{
	double place;
	size_t below;

	if (!s->n)
		return NAN;
	qsort(s->at, s->n, sizeof(*s->at), by_value);
	place = q * (double)(s->n - 1);
	below = (size_t)place;
	if (below + 1 == s->n)
		return s->at[below];
	return s->at[below] +
	       (place - (double)below) * (s->at[below + 1] - s->at[below]);
}

/* The first error is the cause of the others. */
void bench_entry_fail(struct bench_entry *e, const char *step, int err)
{
	const char *why = "";

	if (e->status != BENCH_OK)
		return;
	e->status = BENCH_FAILED;
	if (e->competitor->failure)
		why = e->competitor->failure();
	snprintf(e->reason, sizeof(e->reason), "%s: %s", step,
		 *why ? why : strerror(-err));
}

static void first_line(const char *path, const char *key, char *text,
		       size_t size)
{
	FILE *f = fopen(path, "re");
	char line[256];

	snprintf(text, size, "unknown");
	while (f && fgets(line, sizeof(line), f)) {
		char *from = line;

		line[strcspn(line, "\n")] = '\0';
		if (key && strncmp(line, key, strlen(key)))
			continue;
		if (key && strchr(line, ':'))
			from = strchr(line, ':') + 1;
		while (isspace((unsigned char)*from))
			from++;
		snprintf(text, size, "%.*s", (int)size - 1, from);
		break;
	}
	if (f)
		fclose(f);
}

static void cpu_model(char *text, size_t size)
{
	first_line("/proc/cpuinfo", "model name", text, size);
	if (!strcmp(text, "unknown"))
		first_line("/proc/cpuinfo", "CPU part", text, size);
}

void bench_report_header(const struct bench_program *p,
			 const struct bench_options *opt)
{
	char cpu[128], thp[64], shmem[96];
	struct utsname un;

	if (opt->json)
		return;
	uname(&un);
	cpu_model(cpu, sizeof(cpu));
	first_line("/sys/kernel/mm/transparent_hugepage/enabled", NULL, thp,
		   sizeof(thp));
	first_line("/sys/kernel/mm/transparent_hugepage/shmem_enabled", NULL,
		   shmem, sizeof(shmem));
	printf("bench_%s: %s\n", p->name, p->question);
	printf("  kernel   %s %s\n", un.sysname, un.release);
	printf("  cpu      %s, %ld online\n", cpu,
	       sysconf(_SC_NPROCESSORS_ONLN));
	printf("  hpage    %ld bytes\n", sysconf(_SC_PAGESIZE));
	printf("  thp      %s\n           shmem: %s\n", thp, shmem);
	printf("  user     %u (%s)\n", (unsigned int)geteuid(),
	       geteuid() ? "not privileged" : "privileged");
	printf("  threads  %u, on processors", opt->n_threads);
	for (unsigned int i = 0; i < opt->n_cpus && i < opt->n_threads; i++)
		printf("%c%u", i ? ',' : ' ', opt->cpus[i]);
	puts(opt->n_cpus ? "" : " as the kernel likes");
	if (opt->verify)
		puts("  verify   after each block; it warms the slots, so "
		     "do not quote these figures");
}

static void value_text(const struct bench_param *param, uint64_t value,
		       char *text, size_t size)
{
	const char *word = param->words;

	if (param->kind == BENCH_SPREAD && !value) {
		snprintf(text, size, "all");
	} else if (param->kind == BENCH_SPREAD) {
		snprintf(text, size, "within:%llu", (unsigned long long)value);
	} else if (param->kind == BENCH_WORD) {
		while (value--)
			word = strchr(word, '|') + 1;
		snprintf(text, size, "%.*s", (int)strcspn(word, "|"), word);
	} else {
		snprintf(text, size, "%llu", (unsigned long long)value);
	}
}

void bench_report_case(const struct bench_program *p,
		       const struct bench_options *opt,
		       const struct bench_case *c)
{
	char text[64];

	if (opt->json)
		return;
	putchar('\n');
	for (size_t i = 0; i < p->n_params; i++) {
		value_text(&p->params[i], c->values[i], text, sizeof(text));
		printf("%s%s %s", i ? ", " : "", p->params[i].option, text);
	}
	putchar('\n');
}

static void json_string(const char *key, const char *text)
{
	printf("\"%s\": \"", key);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		if ((unsigned char)*text >= ' ')
			putchar(*text);
	}
	putchar('"');
}

static void json_params(const struct bench_program *p,
			const struct bench_case *c)
{
	char key[64], text[64];

	for (size_t i = 0; i < p->n_params; i++) {
		snprintf(key, sizeof(key), "%s", p->params[i].option);
		for (char *at = key; *at; at++)
			if (*at == '-')
				*at = '_';
		value_text(&p->params[i], c->values[i], text, sizeof(text));
		printf(", ");
		if (p->params[i].kind == BENCH_NUMBER)
			printf("\"%s\": %s", key, text);
		else
			json_string(key, text);
	}
}

void bench_report_json_start(const struct bench_program *p,
			     const struct bench_options *opt,
			     const struct bench_case *c,
			     const struct bench_entry *e)
{
	putchar('{');
	json_string("bench", p->name);
	printf(", ");
	json_string("competitor", e->competitor->name);
	printf(", \"threads\": %u", opt->n_threads);
	json_params(p, c);
}

void bench_report_json_end(const struct bench_entry *e)
{
	static const char *const status_key[] = {
		[BENCH_SKIPPED] = "skipped",
		[BENCH_FAILED] = "failed",
	};
	struct utsname un;
	char cpu[128];

	uname(&un);
	cpu_model(cpu, sizeof(cpu));
	printf(", ");
	if (e->status != BENCH_OK) {
		json_string(status_key[e->status], e->reason);
		printf(", ");
	}
	json_string("features", e->features);
	printf(", ");
	json_string("kernel", un.release);
	printf(", ");
	json_string("cpu", cpu);
	printf(", \"uid\": %u}\n", (unsigned int)geteuid());
}

void bench_report_status(const struct bench_entry *e)
{
	printf("%-20s %s: %s\n", e->competitor->name,
	       e->status == BENCH_SKIPPED ? "skipped" : "FAILED", e->reason);
}

static double reference_us(struct bench_entry *entries, size_t n_entries)
{
	double first = NAN;

	for (size_t e = 0; e < n_entries; e++) {
		double median;

		if (entries[e].status != BENCH_OK)
			continue;
		median = bench_samples_quantile(&entries[e].cycle_us, 0.5);
		if (!strcmp(entries[e].competitor->name, "faultline"))
			return median;
		if (isnan(first))
			first = median;
	}
	return first;
}

/* How many times as much all threads get done as one; NAN: not measured. */
static double scaling_of(const struct bench_options *opt, struct bench_entry *e)
{
	return opt->n_threads * bench_samples_quantile(&e->alone_us, 0.5) /
	       bench_samples_quantile(&e->cycle_us, 0.5);
}

static double reference_scaling(const struct bench_program *p,
				const struct bench_options *opt,
				struct bench_entry *entries, size_t n_entries)
{
	for (size_t e = 0; e < n_entries; e++)
		if (entries[e].competitor == p->rivals[0] &&
		    entries[e].status == BENCH_OK)
			return scaling_of(opt, &entries[e]);
	return NAN;
}

static void json_scaling(const struct bench_options *opt, struct bench_entry *e,
			 double reference)
{
	double scaling = scaling_of(opt, e);

	if (isnan(scaling))
		return;
	printf(", \"alone_us\": %.4f, \"scaling\": %.4f",
	       bench_samples_quantile(&e->alone_us, 0.5), scaling);
	if (!isnan(reference))
		printf(", \"of_loop\": %.4f", scaling / reference);
}

static void json_row(const struct bench_program *p,
		     const struct bench_options *opt,
		     const struct bench_case *c, struct bench_entry *e,
		     double scaling)
{
	bench_report_json_start(p, opt, c, e);
	if (e->status == BENCH_OK && p->is_scaling)
		json_scaling(opt, e, scaling);
	if (e->status == BENCH_OK)
		printf(", \"median_us\": %.4f, \"q1_us\": %.4f, "
		       "\"q3_us\": %.4f, \"cycles_per_s\": %.1f, "
		       "\"samples\": %zu, \"block\": %u, \"verified\": \"%s\"",
		       bench_samples_quantile(&e->cycle_us, 0.5),
		       bench_samples_quantile(&e->cycle_us, 0.25),
		       bench_samples_quantile(&e->cycle_us, 0.75),
		       bench_samples_quantile(&e->rate, 0.5), e->cycle_us.n,
		       e->block, opt->verify ? "each block" : "at end");
	bench_report_json_end(e);
}

static void table_row(struct bench_entry *e, double reference)
{
	double median = bench_samples_quantile(&e->cycle_us, 0.5);

	printf("%-20s %10.2f %10.2f %10.2f %11.0f %8.3g  %s\n",
	       e->competitor->name, median,
	       bench_samples_quantile(&e->cycle_us, 0.25),
	       bench_samples_quantile(&e->cycle_us, 0.75),
	       bench_samples_quantile(&e->rate, 0.5), median / reference,
	       e->competitor->note);
}

static void scaling_row(const struct bench_options *opt, struct bench_entry *e,
			double reference)
{
	double scaling = scaling_of(opt, e);

	printf("%-20s %10.4f %10.4f %10.4f %10.4f %8.3f %8.3f  %s\n",
	       e->competitor->name, bench_samples_quantile(&e->alone_us, 0.5),
	       bench_samples_quantile(&e->cycle_us, 0.5),
	       bench_samples_quantile(&e->cycle_us, 0.25),
	       bench_samples_quantile(&e->cycle_us, 0.75), scaling,
	       scaling / reference, e->competitor->note);
}

static void table_head(const struct bench_program *p,
		       const struct bench_options *opt)
{
	char all[32];

	snprintf(all, sizeof(all), "%u thr. us", opt->n_threads);
	if (p->is_scaling)
		printf("%-20s %10s %10s %10s %10s %8s %8s\n", "competitor",
		       "alone us", all, "q1", "q3", "scaling", "of loop");
	else
		printf("%-20s %10s %10s %10s %11s %8s\n", "competitor",
		       "median us", "q1", "q3", "cycles/s", "ratio");
}

void bench_report_rows(const struct bench_program *p,
		       const struct bench_options *opt,
		       const struct bench_case *c, struct bench_entry *entries,
		       size_t n_entries)
{
	double reference = reference_us(entries, n_entries);

	double scaling = reference_scaling(p, opt, entries, n_entries);

	if (!opt->json)
		table_head(p, opt);
	for (size_t e = 0; e < n_entries; e++) {
		if (opt->json)
			json_row(p, opt, c, &entries[e], scaling);
		else if (entries[e].status != BENCH_OK)
			bench_report_status(&entries[e]);
		else if (p->is_scaling)
			scaling_row(opt, &entries[e], scaling);
		else
			table_row(&entries[e], reference);
	}
	fflush(stdout);
}
