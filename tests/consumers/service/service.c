/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * service.c - a function service, which is what clones are for: a JavaScript
 * interpreter and a database answer requests, each in a fresh instance.
 *
 *	service [--guest NAME] [--kind NAME] [--workers N] [--seconds S]
 *		[--sessions N] [--json] [--hold]
 *	service --smoke
 *	service [--guest NAME] --write-snapshot DIR
 *	service --cold [--guest NAME] [--kind NAME] [--rounds N] [--more MIB]
 *		[--folder DIR] [--delay TIME] [--json | --smoke]
 *
 * For each guest, kind of request and number of workers (one, two), five ways of
 * having an instance take turns for S seconds in all (2); ways.c says what they
 * are. Every answer is compared with that of the native build of the same
 * sources. Before that the service makes sure that two workers may trap at once,
 * and that clones draw different random numbers.
 *
 * Then sessions of each guest sleep and wake (sessions.c), a third of S for each
 * way and number of workers.
 *
 * --smoke does all of it as shortly as possible, prints no figure, and ends with
 * the number of cases that passed.
 *
 * --hold: before a pool goes, the service says "held" and waits for a line on
 * standard input, so that others can compare what they counted.
 *
 * --write-snapshot writes NAME.snapshot for each guest, the instance that
 * clones are of, and does nothing else.
 *
 * --cold measures instead how long the first answer takes from a snapshot that
 * is in no memory (cold.c).
 *
 * The guests' modules lie where the build left them, beside this program's
 * folder. A guest's pre-started module (baked.so), which the build makes of that
 * snapshot, may be missing; its rows are left out then.
 *
 * Exit status: 0, or 1 after a sentence on stderr, for instance about a wrong
 * answer; 2 for wrong options. Times are reported, never judged.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rt_threadlocal.h"
#include "service.h"

static const char usage[] =
	"usage: service [--guest NAME] [--kind NAME] [--workers 1|2]\n"
	"               [--seconds S] [--sessions N] [--json] [--hold] | --smoke |\n"
	"               [--guest NAME] --write-snapshot DIR |\n"
	"               --cold [--guest NAME] [--kind NAME] [--rounds N]\n"
	"               [--more MIB] [--folder DIR] [--delay TIME] [--json]\n\n"
	"  --guest    quickjs or sqlite; both\n"
	"  --kind     greeting, mustache, markdown; lookup, report, order; all\n"
	"  --workers  1 or 2; both\n"
	"  --seconds  for each guest, kind and number of workers; 2\n"
	"  --sessions how many sleep, 0: none; as many as a quarter of the free\n"
	"             memory holds and 15 seconds can begin, up to 1,000,000\n"
	"  --json     one object a line\n"
	"  --hold     wait for a line of input before a pool goes\n"
	"  --smoke    a few requests of each kind in each way; no figures\n"
	"  --write-snapshot  write the started guests to files there\n"
	"  --cold     the first answer from a snapshot in a cold file instead\n"
	"  --rounds   in each, a process for each way; 15\n"
	"  --more     of memory that no request touches, in a second file; 64\n"
	"  --folder   where these files are; /var/tmp\n"
	"  --delay    of each read over NBD, as nbdkit takes it; 1ms\n";

void die(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("service: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

void *must_allocate(size_t bytes)
{
	void *allocated = calloc(bytes ? bytes : 1, 1);

	if (!allocated)
		die("no memory");
	return allocated;
}

void pool_configure(struct fl_pool_config *config, uint32_t slots)
{
	fl_pool_config_init(config);
	config->max_instances = 0;
	config->max_memories = slots;
	config->max_tables = slots;
}

struct fl_pool *pool_open(struct fl_context *context)
{
	struct fl_pool_config config;
	struct fl_error error;
	struct fl_pool *pool;

	pool_configure(&config, POOL_SLOTS);
	if (fl_pool_create(context, &config, &pool, &error))
		die("%s", error.text);
	return pool;
}

static bool is_held;

void pool_close(struct fl_pool *pool)
{
	if (is_held) {
		puts("held");
		fflush(stdout);
		while (getchar() >= ' ')
			;
	}
	if (fl_pool_destroy(pool))
		die("a pool cannot be destroyed");
}

static bool is_guest(void *user, const void *address)
{
	struct fl_fault fault;

	return fl_fault_lookup(user, address, &fault) && fault.is_trap;
}

struct fl_context *context_open(void)
{
	struct fl_context *context;
	struct fl_error error;

	if (fl_context_create(NULL, &context, &error))
		die("%s", error.text);
	rt_set_lookup(is_guest, context);
	return context;
}

/* --------------------------------------------------------------------- run */

struct run {
	const struct options *options;
	struct fl_context *context;
	struct summary summaries[GUESTS * KINDS];
	unsigned int count, cases;
};

static void smoke_report(struct run *run, const struct guest *guest,
			 uint32_t kind, const struct figures figures[WAYS])
{
	for (int way = 0; way < WAYS; way++) {
		const struct figures *f = &figures[way];

		if (!f->is_there)
			continue;
		printf("%s, %s, %u worker(s), %s: %zu answers are right\n",
		       guest->title, guest->kinds[kind], f->workers,
		       ways[way].title, f->requests);
		run->cases++;
	}
	fflush(stdout);
}

static void run_kind(struct run *run, const struct guest *guest,
		     struct fl_pool *pool, uint32_t kind)
{
	const struct options *options = run->options;
	struct summary *summary = &run->summaries[run->count++];

	summary->guest = guest;
	summary->kind = kind;
	for (unsigned int workers = 1; workers <= MAX_WORKERS; workers++) {
		struct figures *figures = workers == 1 ? summary->one :
							 summary->two;

		if (options->workers > 0 && options->workers != (int)workers)
			continue;
		measure(guest, pool, kind, workers, options->seconds, figures);
		if (options->is_smoke)
			smoke_report(run, guest, kind, figures);
		else
			report_figures(options, guest, kind, figures);
	}
	written_measure(guest, kind, &summary->written);
}

static bool is_wanted(int wanted, uint32_t idx)
{
	return wanted < 0 || wanted == (int)idx;
}

static void write_snapshot(struct run *run, struct guest *guest)
{
	struct fl_error error;
	char path[4096];

	guest_open(guest, run->context, run->options->guests_dir);
	snprintf(path, sizeof(path), "%s/%s.snapshot",
		 run->options->snapshot_dir, guest->name);
	if (fl_snapshot_write(guest->snapshot, path, &error))
		die("%s: %s", path, error.text);
}

static void run_guest(struct run *run, struct guest *guest)
{
	const struct options *options = run->options;
	struct footprint footprints[WAYS];
	struct fl_pool *pool;

	guest_open(guest, run->context, options->guests_dir);
	baked_load(guest, options->guests_dir);
	pool = pool_open(run->context);
	run->cases += checks_run(guest, pool);
	if (!options->is_smoke)
		report_guest(options, guest);
	for (uint32_t kind = 0; kind < KINDS; kind++)
		if (is_wanted(options->kind, kind))
			run_kind(run, guest, pool, kind);
	pool_close(pool);
	footprints_measure(guest, run->context, footprints);
	if (!options->is_smoke)
		report_footprints(options, guest, footprints);
}

static void run_sessions(struct run *run, struct guest *guest)
{
	run->cases += sessions_run(run->options, guest, run->context);
}

static void for_each_guest(struct run *run,
			   void (*call)(struct run *run, struct guest *guest))
{
	for (uint32_t i = 0; i < GUESTS; i++)
		if (is_wanted(run->options->guest, i))
			call(run, &guests[i]);
}

static void report_cases(const struct run *run)
{
	if (run->options->is_smoke)
		printf("%u passed, 0 failed, 0 skipped\n", run->cases);
}

static void report_all(struct run *run)
{
	const struct options *options = run->options;

	if (!options->is_smoke)
		report_head(options, run->context);
	for_each_guest(run, run_guest);
	if (!options->is_smoke && options->workers != 2)
		report_summaries(options, run->summaries, run->count);
	if (options->sessions)
		for_each_guest(run, run_sessions);
	report_cases(run);
}

static void run_cold(struct run *run, struct guest *guest)
{
	guest_open(guest, run->context, run->options->guests_dir);
	run->cases += cold_run(run->options, guest, run->context);
}

static void report_cold(struct run *run)
{
	cold_report_head(run->options);
	for_each_guest(run, run_cold);
	report_cases(run);
}

static void close_guest(struct run *run, struct guest *guest)
{
	(void)run;
	guest_close(guest);
}

static void run_all(struct options *options)
{
	struct run *run = must_allocate(sizeof(*run));

	run->options = options;
	run->context = context_open();
	options->rung = fl_context_rung(run->context, NULL);
	if (options->snapshot_dir)
		for_each_guest(run, write_snapshot);
	else if (options->is_cold)
		report_cold(run);
	else
		report_all(run);
	for_each_guest(run, close_guest);
	fl_context_destroy(run->context);
	free(run);
}

/* ----------------------------------------------------------------- options */

static void wrong_usage(void)
{
	fputs(usage, stderr);
	exit(2);
}

static int guest_of(const char *name)
{
	for (int i = 0; i < (int)GUESTS; i++)
		if (!strcmp(guests[i].name, name))
			return i;
	wrong_usage();
	return -1;
}

/* A kind's name says which guest it is of. */
static void kind_set(struct options *options, const char *name)
{
	for (int guest = 0; guest < (int)GUESTS; guest++) {
		for (int kind = 0; kind < (int)KINDS; kind++) {
			if (strcmp(guests[guest].kinds[kind], name))
				continue;
			options->guest = guest;
			options->kind = kind;
			return;
		}
	}
	wrong_usage();
}

static bool flag_set(struct options *options, const char *name)
{
	if (!strcmp(name, "--json")) {
		options->is_json = true;
	} else if (!strcmp(name, "--smoke")) {
		options->is_smoke = true;
		options->seconds = 0;
		options->rounds = 1;
		options->more_mib = 1;
	} else if (!strcmp(name, "--cold")) {
		options->is_cold = true;
	} else if (!strcmp(name, "--hold")) {
		is_held = true;
	} else if (!strcmp(name, "--help")) {
		fputs(usage, stdout);
		exit(0);
	} else {
		return false;
	}
	return true;
}

static void option_set(struct options *options, const char *name,
		       const char *value)
{
	if (!value)
		wrong_usage();
	if (!strcmp(name, "--guest"))
		options->guest = guest_of(value);
	else if (!strcmp(name, "--kind"))
		kind_set(options, value);
	else if (!strcmp(name, "--workers"))
		options->workers = atoi(value);
	else if (!strcmp(name, "--seconds"))
		options->seconds = atof(value);
	else if (!strcmp(name, "--sessions"))
		options->sessions = atol(value);
	else if (!strcmp(name, "--write-snapshot"))
		options->snapshot_dir = value;
	else if (!strcmp(name, "--rounds"))
		options->rounds = atoi(value);
	else if (!strcmp(name, "--more"))
		options->more_mib = atol(value);
	else if (!strcmp(name, "--folder"))
		options->folder = value;
	else if (!strcmp(name, "--delay"))
		options->delay = value;
	else
		wrong_usage();
	if (options->sessions < -1 || options->sessions > 100000000 ||
	    options->rounds < 1 || options->rounds > MAX_COLD_ROUNDS ||
	    options->more_mib < 0 || options->more_mib > 1024 ||
	    !options->workers || options->workers > (int)MAX_WORKERS ||
	    !(options->seconds >= 0 && options->seconds < 1e5))
		wrong_usage();
}

/* The folder of the guests, from where this program lies. */
static const char *guests_dir_find(char *path, size_t room)
{
	static const char below[] = "../guests.d";
	ssize_t length = readlink("/proc/self/exe", path, room - 1);
	char *slash;

	if (length < 0)
		die("/proc/self/exe cannot be read");
	path[length] = 0;
	slash = strrchr(path, '/');
	if (!slash || (size_t)(slash + 1 - path) + sizeof(below) > room)
		die("this program's path is too long");
	memcpy(slash + 1, below, sizeof(below));
	return path;
}

int main(int argc, char **argv)
{
	struct options options = {
		.seconds = 2,
		.guest = -1,
		.kind = -1,
		.workers = -1,
		.sessions = -1,
		.rounds = 15,
		.more_mib = 64,
		.folder = "/var/tmp",
		.delay = "1ms",
	};
	char path[4096];

	for (int i = 1; i < argc; i++)
		if (!flag_set(&options, argv[i])) {
			option_set(&options, argv[i], argv[i + 1]);
			i++;
		}
	options.guests_dir = guests_dir_find(path, sizeof(path));
	wasm_rt_init();
	if (rt_thread_init())
		die("no signal stack");
	run_all(&options);
	rt_thread_exit();
	wasm_rt_free();
	return 0;
}
