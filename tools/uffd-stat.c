/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat.c - options, and the loop that looks and prints.
 *
 * Takes the arguments of vmstat: an interval and a count. Gives a line for each
 * pool at each look, the first since the pool was made. Never writes to its
 * targets, never stops them, and takes no lock of theirs: it reads what they
 * have published, and what /proc tells without walking page tables.
 *
 * Exit status: 0, 1 when something could not be done, 64 for a wrong command
 * line.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "uffd-stat.h"
#include "uffd-stat-more.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STATUS_USAGE 64
#define MAX_PIDS 1024

enum form {
	FORM_COLUMNS,
	FORM_JSON,
	FORM_OPENMETRICS,
	FORM_PROMETHEUS,
	FORM_TOP,
};

struct options {
	int pids[MAX_PIDS];
	size_t pid_count;
	enum form form;
	struct stat_style style;
	const char *listen, *record, *replay;
	double interval_s; /* 0: once */
	unsigned long count; /* 0: no end */
};

static void usage(FILE *out)
{
	fputs("usage: uffd-stat [-x] [--json | --openmetrics | --prometheus | --top]\n"
	      "                 [-p PID]... [--record FILE | --replay FILE]\n"
	      "                 [interval [count]]\n"
	      "       uffd-stat [-p PID]... --listen 127.0.0.1:PORT | --listen /SOCKET\n"
	      "       uffd-stat --help | --version\n",
	      out);
}

static void help(void)
{
	usage(stdout);
	fputs("\n"
	      "What the pools of running processes do, at once, or every interval (in\n"
	      "seconds) as often as count says. uffd-stat(1) explains the columns.\n"
	      "\n"
	      "-p, --pid PID     only this process; also more than once\n"
	      "-x, --extended    more columns, and a line for each lazy image\n"
	      "--json            one JSON object for each interval\n"
	      "--openmetrics     the OpenMetrics form, since the pools were made\n"
	      "--prometheus      the older text form of Prometheus\n"
	      "--top             the full screen\n"
	      "--listen ADDRESS  serve /metrics at 127.0.0.1:PORT or at a socket\n"
	      "--record FILE     also write what is read to FILE\n"
	      "--replay FILE     print a recording in place of processes\n"
	      "-h, --help        this text\n"
	      "-V, --version     the version of this program\n"
	      "\n"
	      "Exit status: 0 done, 1 something could not be done, 64 wrong usage.\n",
	      stdout);
}

static int wrong(const char *what, const char *value)
{
	fprintf(stderr, "uffd-stat: %s%s\n", what, value ? value : "");
	usage(stderr);
	return STATUS_USAGE;
}

static bool number_read(const char *text, double least, double most,
			double *value)
{
	char *end;

	errno = 0;
	*value = strtod(text, &end);
	return !errno && end != text && !*end && *value >= least &&
	       *value <= most;
}

static int pid_add(struct options *options, const char *text)
{
	double pid;

	if (!number_read(text, 1, 1 << 30, &pid) || pid != (double)(int)pid)
		return wrong("not the number of a process: ", text);
	if (options->pid_count == MAX_PIDS)
		return wrong("more than 1024 processes", NULL);
	options->pids[options->pid_count++] = (int)pid;
	return 0;
}

static int arguments_read(struct options *options, int argc, char **argv)
{
	double count;

	if (argc > 2)
		return wrong("too many arguments: ", argv[2]);
	if (argc > 0 &&
	    !number_read(argv[0], 0.001, 86400, &options->interval_s))
		return wrong("not an interval in seconds: ", argv[0]);
	if (argc > 1) {
		if (!number_read(argv[1], 1, 1e9, &count))
			return wrong("not a count: ", argv[1]);
		options->count = (unsigned long)count;
	} else if (!argc) {
		options->count = 1;
	}
	return 0;
}

enum {
	OPT_JSON = 256,
	OPT_OPENMETRICS,
	OPT_PROMETHEUS,
	OPT_TOP,
	OPT_LISTEN,
	OPT_RECORD,
	OPT_REPLAY,
};

static const struct option long_options[] = {
	{ "pid", required_argument, NULL, 'p' },
	{ "extended", no_argument, NULL, 'x' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "openmetrics", no_argument, NULL, OPT_OPENMETRICS },
	{ "prometheus", no_argument, NULL, OPT_PROMETHEUS },
	{ "top", no_argument, NULL, OPT_TOP },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "record", required_argument, NULL, OPT_RECORD },
	{ "replay", required_argument, NULL, OPT_REPLAY },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

/* -1: go on; else the exit status. */
static int option_read(struct options *options, int option)
{
	switch (option) {
	case 'p':
		return pid_add(options, optarg) ? STATUS_USAGE : -1;
	case 'x':
		options->style.is_wide = true;
		return -1;
	case OPT_JSON:
		options->form = FORM_JSON;
		return -1;
	case OPT_OPENMETRICS:
		options->form = FORM_OPENMETRICS;
		options->style.is_openmetrics = true;
		return -1;
	case OPT_PROMETHEUS:
		options->form = FORM_PROMETHEUS;
		return -1;
	case OPT_TOP:
		options->form = FORM_TOP;
		return -1;
	case OPT_LISTEN:
		options->listen = optarg;
		return -1;
	case OPT_RECORD:
		options->record = optarg;
		return -1;
	case OPT_REPLAY:
		options->replay = optarg;
		return -1;
	case 'h':
		help();
		return 0;
	case 'V':
		printf("uffd-stat %s\n", FL_VERSION);
		return 0;
	default:
		usage(stderr);
		return STATUS_USAGE;
	}
}

static void moment_print(struct options *options,
			 const struct stat_moment *before,
			 const struct stat_moment *now)
{
	switch (options->form) {
	case FORM_JSON:
		stat_print_json(stdout, before, now);
		break;
	case FORM_OPENMETRICS:
	case FORM_PROMETHEUS:
		stat_print_metrics(stdout, now, &options->style);
		break;
	default:
		stat_print_columns(stdout, before, now, &options->style);
	}
	fflush(stdout);
}

/* Until the next look is due; intervals do not drift. */
static void wait_until(struct timespec *due, double interval_s)
{
	long whole = (long)interval_s;

	due->tv_sec += whole;
	due->tv_nsec += (long)((interval_s - (double)whole) * 1e9);
	due->tv_sec += due->tv_nsec / 1000000000;
	due->tv_nsec %= 1000000000;
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, due, NULL) ==
	       EINTR)
		;
}

static int live_run(struct options *options, struct stat_finder *finder,
		    FILE *record)
{
	struct stat_moment *before = NULL, *now;
	struct timespec due;
	int status = 0;

	clock_gettime(CLOCK_MONOTONIC, &due);
	for (unsigned long i = 0; !options->count || i < options->count; i++) {
		if (i)
			wait_until(&due, options->interval_s);
		now = stat_look(finder);
		if (!now) {
			fputs("uffd-stat: no memory\n", stderr);
			status = 1;
			break;
		}
		if (record && !stat_record(record, now)) {
			perror("uffd-stat: --record");
			status = 1;
		}
		moment_print(options, before, now);
		stat_moment_free(before);
		before = now;
		if (status || ferror(stdout))
			break;
	}
	stat_moment_free(before);
	return status;
}

static int replay_run(struct options *options)
{
	struct stat_moment *before = NULL, *now;
	FILE *file = fopen(options->replay, "re");
	struct stat_schemas schemas = { .next = 0 };
	const char *why;

	if (!file) {
		fprintf(stderr, "uffd-stat: %s: %s\n", options->replay,
			strerror(errno));
		return 1;
	}
	while ((now = stat_replay(file, &schemas, &why))) {
		moment_print(options, before, now);
		stat_moment_free(before);
		before = now;
	}
	stat_moment_free(before);
	stat_schemas_forget(&schemas);
	fclose(file);
	if (why)
		fprintf(stderr, "uffd-stat: %s: %s\n", options->replay, why);
	return why != NULL;
}

/* Say which of the processes asked for are none, and leave them out. */
static int pids_check(struct options *options)
{
	size_t kept = 0;

	for (size_t i = 0; i < options->pid_count; i++) {
		int pid = options->pids[i];

		if (kill(pid, 0) && errno == ESRCH)
			fprintf(stderr, "uffd-stat: no process %d\n", pid);
		else
			options->pids[kept++] = pid;
	}
	if (kept == options->pid_count)
		return 0;
	options->pid_count = kept;
	return 1;
}

static int run(struct options *options)
{
	struct stat_finder *finder;
	FILE *record = NULL;
	int status, missing;

	if (options->replay)
		return replay_run(options);
	missing = pids_check(options);
	/* Without a process to look at, all would be looked at. */
	if (missing && !options->pid_count)
		return missing;
	finder = stat_finder_new(options->pids, options->pid_count,
				 options->form == FORM_JSON || options->record);
	if (!finder) {
		fputs("uffd-stat: no memory\n", stderr);
		return 1;
	}
	if (options->record && !(record = fopen(options->record, "we"))) {
		fprintf(stderr, "uffd-stat: %s: %s\n", options->record,
			strerror(errno));
		status = 1;
	} else if (options->listen) {
		status = stat_listen(options->listen, finder);
	} else if (options->form == FORM_TOP) {
		status = stat_top(
			finder, options->interval_s ? options->interval_s : 1);
	} else {
		status = live_run(options, finder, record);
	}
	if (record && fclose(record)) {
		perror("uffd-stat: --record");
		status = 1;
	}
	stat_finder_free(finder);
	return status ? status : missing;
}

int main(int argc, char **argv)
{
	static struct options options;
	int option, status = -1;

	while (status < 0 && (option = getopt_long(argc, argv, "p:xhV",
						   long_options, NULL)) != -1)
		status = option_read(&options, option);
	if (status >= 0)
		return status;
	if (arguments_read(&options, argc - optind, argv + optind))
		return STATUS_USAGE;
	if (options.record && options.replay)
		return wrong("--record and --replay exclude each other", NULL);
	if (options.listen && options.form != FORM_COLUMNS)
		return wrong("--listen has one form, which is asked for", NULL);
	signal(SIGPIPE, SIG_IGN);
	return run(&options);
}
