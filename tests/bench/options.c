/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * options.c - the command line: options of the harness, and the program's
 * parameters as lists. A text that is not understood ends the program with a
 * sentence that says what would be.
 */
#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct harness_option {
	const char *name;
	const char *value; /* NULL: takes none */
	const char *help;
	int (*set)(struct bench_options *opt, const char *text);
};

static int parse_number(const char *text, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	if (errno || end == text || *end || strchr(text, '-'))
		return -EINVAL;
	return 0;
}

static int set_cpus(struct bench_options *opt, const char *text)
{
	char *end;

	opt->n_cpus = 0;
	do {
		long cpu = strtol(text, &end, 10);

		if (end == text || cpu < 0 || cpu >= CPU_SETSIZE ||
		    opt->n_cpus == BENCH_CPUS_MAX)
			return -EINVAL;
		opt->cpus[opt->n_cpus++] = (unsigned int)cpu;
		text = end + 1;
	} while (*end == ',');
	return *end ? -EINVAL : 0;
}

static int set_threads(struct bench_options *opt, const char *text)
{
	uint64_t n;

	if (parse_number(text, &n) || !n || n > BENCH_CPUS_MAX)
		return -EINVAL;
	opt->n_threads = (unsigned int)n;
	return 0;
}

static int set_seconds(struct bench_options *opt, const char *text)
{
	char *end;

	opt->seconds = strtod(text, &end);
	return end == text || *end || !(opt->seconds > 0) ||
			       opt->seconds > 1e6 ?
		       -EINVAL :
		       0;
}

static int set_rounds(struct bench_options *opt, const char *text)
{
	uint64_t n;

	if (parse_number(text, &n) || !n)
		return -EINVAL;
	opt->rounds = (unsigned long)n;
	return 0;
}

static int set_sets(struct bench_options *opt, const char *text)
{
	uint64_t n;

	if (parse_number(text, &n) || !n || n > 1000)
		return -EINVAL;
	opt->n_sets = (unsigned int)n;
	return 0;
}

static int set_only(struct bench_options *opt, const char *text)
{
	opt->only = text;
	return 0;
}

static int set_json(struct bench_options *opt, const char *text)
{
	(void)text;
	opt->json = true;
	return 0;
}

static int set_verify(struct bench_options *opt, const char *text)
{
	(void)text;
	opt->verify = true;
	return 0;
}

static int set_list(struct bench_options *opt, const char *text)
{
	(void)text;
	opt->list = true;
	return 0;
}

static const struct harness_option harness_options[] = {
	{ "threads", "N", "run on N threads at once (1; bench_empty 2)",
	  set_threads },
	{ "cpu", "LIST", "pin thread i to the i-th processor of LIST",
	  set_cpus },
	{ "seconds", "S", "time for the rounds of each case (5)", set_seconds },
	{ "rounds", "N", "a number of rounds instead", set_rounds },
	{ "sets", "N", "share them out over N sets of new slots (5)",
	  set_sets },
	{ "only", "NAMES", "only these competitors, by comma", set_only },
	{ "list", NULL, "name the competitors and end", set_list },
	{ "verify", NULL, "compare all bytes with the image after each block",
	  set_verify },
	{ "json", NULL, "one JSON object a line", set_json },
};

void bench_options_help(const struct bench_program *p, FILE *to)
{
	fprintf(to, "usage: bench_%s [--OPTION [VALUE]]...\n%s\n\n", p->name,
		p->question);
	for (size_t i = 0; i < BENCH_ARRAY_SIZE(harness_options); i++) {
		const struct harness_option *o = &harness_options[i];

		fprintf(to, "  --%-14s %-6s %s\n", o->name,
			o->value ? o->value : "", o->help);
	}
	fprintf(to, "  --%-14s %-6s %s\n", "help", "", "this text");
	fprintf(to, "\nparameters (a LIST of values makes several cases):\n");
	for (size_t i = 0; i < p->n_params; i++) {
		const struct bench_param *param = &p->params[i];

		fprintf(to, "  --%-14s %-6s %s (%s)\n", param->option, "LIST",
			param->help, param->defaults);
	}
}

static int parse_word(const char *words, const char *text, uint64_t *value)
{
	size_t len = strlen(text);

	for (*value = 0; words; (*value)++) {
		size_t word_len = strcspn(words, "|");

		if (len == word_len && !strncmp(words, text, len))
			return 0;
		words = words[word_len] ? words + word_len + 1 : NULL;
	}
	return -EINVAL;
}

static int parse_value(const struct bench_param *param, const char *text,
		       uint64_t *value)
{
	if (param->kind == BENCH_WORD)
		return parse_word(param->words, text, value);
	if (param->kind == BENCH_NUMBER)
		return parse_number(text, value);
	*value = 0;
	if (!strcmp(text, "all"))
		return 0;
	if (strncmp(text, "within:", 7))
		return -EINVAL;
	return parse_number(text + 7, value) || !*value ? -EINVAL : 0;
}

static int set_param(struct bench_options *opt, const struct bench_param *param,
		     size_t idx, const char *text)
{
	char one[64];

	opt->n_values[idx] = 0;
	for (;;) {
		size_t len = strcspn(text, ",");

		if (len >= sizeof(one) || opt->n_values[idx] == BENCH_LIST_MAX)
			return -EINVAL;
		memcpy(one, text, len);
		one[len] = '\0';
		if (parse_value(param, one,
				&opt->values[idx][opt->n_values[idx]]))
			return -EINVAL;
		opt->n_values[idx]++;
		if (!text[len])
			return 0;
		text += len + 1;
	}
}

static void complain_param(const struct bench_param *param, const char *text)
{
	static const char *const wants[] = {
		[BENCH_NUMBER] = "whole numbers",
		[BENCH_WORD] = "words out of ",
		[BENCH_SPREAD] = "all or within:MiB",
	};

	fprintf(stderr, "--%s %s: give up to %d %s%s, separated by commas\n",
		param->option, text, BENCH_LIST_MAX, wants[param->kind],
		param->kind == BENCH_WORD ? param->words : "");
}

/* name is not ended by a zero: len characters of it count. */
static const struct harness_option *find_option(const char *name, size_t len)
{
	for (size_t i = 0; i < BENCH_ARRAY_SIZE(harness_options); i++)
		if (strlen(harness_options[i].name) == len &&
		    !strncmp(harness_options[i].name, name, len))
			return &harness_options[i];
	return NULL;
}

static int apply(const struct bench_program *p, struct bench_options *opt,
		 const char *name, size_t len, const char *text)
{
	const struct harness_option *o = find_option(name, len);

	if (o && o->set(opt, text)) {
		fprintf(stderr, "--%s %s: not understood; it takes %s: %s\n",
			o->name, text, o->value, o->help);
		return -EINVAL;
	}
	if (o)
		return 0;
	for (size_t i = 0; i < p->n_params; i++) {
		const struct bench_param *param = &p->params[i];

		if (strlen(param->option) != len ||
		    strncmp(param->option, name, len))
			continue;
		if (!set_param(opt, param, i, text))
			return 0;
		complain_param(param, text);
		return -EINVAL;
	}
	fprintf(stderr, "--%.*s: no such option; --help names all\n", (int)len,
		name);
	return -EINVAL;
}

static int check_cpus(const struct bench_options *opt)
{
	cpu_set_t set;

	if (opt->n_cpus && opt->n_cpus < opt->n_threads) {
		fprintf(stderr,
			"--cpu names %u processors for %u threads: "
			"name one per thread\n",
			opt->n_cpus, opt->n_threads);
		return -EINVAL;
	}
	if (sched_getaffinity(0, sizeof(set), &set))
		return 0;
	for (unsigned int i = 0; i < opt->n_cpus; i++) {
		if (CPU_ISSET(opt->cpus[i], &set))
			continue;
		fprintf(stderr,
			"--cpu: this process may not run on processor "
			"%u: name others\n",
			opt->cpus[i]);
		return -EINVAL;
	}
	return 0;
}

/* Thread i on the i-th processor we may use, if there are enough. */
static void default_cpus(struct bench_options *opt)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) ||
	    (unsigned int)CPU_COUNT(&set) < opt->n_threads)
		return;
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &set) && opt->n_cpus < opt->n_threads)
			opt->cpus[opt->n_cpus++] = cpu;
}

static int one_argument(const struct bench_program *p, char **argv, int argc,
			int *i, struct bench_options *opt)
{
	const char *name = argv[*i], *text;
	const struct harness_option *o;
	size_t len;

	if (strncmp(name, "--", 2)) {
		fprintf(stderr, "%s: not an option; --help names all\n", name);
		return -EINVAL;
	}
	name += 2;
	len = strcspn(name, "=");
	o = find_option(name, len);
	text = name[len] ? name + len + 1 : "";
	if (!name[len] && !(o && !o->value)) {
		if (++*i == argc) {
			fprintf(stderr,
				"--%s: give it a value; --help says "
				"which\n",
				name);
			return -EINVAL;
		}
		text = argv[*i];
	}
	return apply(p, opt, name, len, text);
}

int bench_options_parse(const struct bench_program *p, int argc, char **argv,
			struct bench_options *opt)
{
	*opt = (struct bench_options){
		.n_threads = p->n_threads ? p->n_threads : 1,
		.seconds = 5,
		.n_sets = 5,
	};
	for (size_t i = 0; i < p->n_params; i++)
		if (set_param(opt, &p->params[i], i, p->params[i].defaults))
			return -EINVAL;
	for (int i = 1; i < argc; i++)
		if (one_argument(p, argv, argc, &i, opt))
			return -EINVAL;
	if (!opt->n_cpus)
		default_cpus(opt);
	return check_cpus(opt);
}
