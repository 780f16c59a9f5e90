/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * test.c - see test.h.
 *
 * Which cases run, with what set up and looked at around each, and what is
 * printed. The runner, CUnit or our own, calls them one after the other and
 * counts their failures.
 */
#include "test.h"

#include "clock.h"
#include "resources.h"
#include "runner.h"

#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* FAULTLINE_TEST_CASE_TIMEOUT: for emulators. */
static unsigned int case_timeout_s(void)
{
	const char *asked = getenv("FAULTLINE_TEST_CASE_TIMEOUT");

	if (asked)
		return (unsigned int)strtoul(asked, NULL, 10);
	return test_is_sanitized() ? 300 : 120;
}

const struct test_rung *test_rung;

static struct {
	char program[128];
	const struct test_rung *rungs;
	size_t rung_count;
	char **picks;
	int pick_count;
	unsigned int skipped;
	unsigned int unmet; /* skips that are failures */
	uint64_t started_ns;
	struct test_resources before;
	char *disable; /* FAULTLINE_DISABLE of the whole run */
} run;

static void case_timed_out(int signo)
{
	static const char text[] = "    the case did not end in time\n";
	ssize_t n = write(STDOUT_FILENO, text, sizeof(text) - 1);

	(void)n;
	signal(signo, SIG_DFL);
	raise(SIGABRT);
}

void test_more_time(unsigned int s)
{
	alarm(case_timeout_s() + s);
}

/* FAULTLINE_TEST_DENIED, by denied.c: the host does not give this anyhow. */
static bool is_denied(const char *features)
{
	const char *denied = getenv("FAULTLINE_TEST_DENIED");

	return denied && !strcmp(denied, features);
}

static void rung_enter(const struct test_rung *rung)
{
	test_rung = rung;
	if (rung && rung->disable && !is_denied(rung->disable))
		setenv("FAULTLINE_DISABLE", rung->disable, 1);
}

static void rung_leave(void)
{
	test_rung = NULL;
	if (run.disable)
		setenv("FAULTLINE_DISABLE", run.disable, 1);
	else
		unsetenv("FAULTLINE_DISABLE");
}

static const struct test_rung *rung_by_name(const char *name)
{
	for (size_t i = 0; i < run.rung_count; i++) {
		if (!strcmp(run.rungs[i].name, name))
			return &run.rungs[i];
	}
	return NULL;
}

static void case_begin(const char *suite, const char *name)
{
	printf("%s/%s\n", suite, name);
	fflush(stdout);
	rung_enter(rung_by_name(suite));
	check_case_begin();
	run.started_ns = test_now_ns();
	test_resources(&run.before);
	signal(SIGALRM, case_timed_out);
	alarm(case_timeout_s());
}

static void case_end(void)
{
	alarm(0);
	CHECK_EQ(check_elsewhere(), 0);
	/* A case that ended early has not cleaned up. */
	if (!test_has_failed())
		test_check_resources(&run.before);
	rung_leave();
}

static void case_done(const char *suite, const char *name, bool has_failed)
{
	printf("  %s %s/%s (%" PRIu64 " ms)\n", has_failed ? "FAILED" : "ok",
	       suite, name, (test_now_ns() - run.started_ns) / 1000000);
	fflush(stdout);
}

static bool is_picked(const char *suite, const char *name)
{
	char full[256];

	if (!run.pick_count)
		return true;
	snprintf(full, sizeof(full), "%s/%s", suite, name);
	for (int i = 0; i < run.pick_count; i++) {
		if (!strcmp(run.picks[i], suite) ||
		    !strcmp(run.picks[i], name) || !strcmp(run.picks[i], full))
			return true;
	}
	return false;
}

static void skip_case(const char *suite, const char *name, const char *reason)
{
	const char *require = getenv("FAULTLINE_TEST_REQUIRE");
	bool is_required =
		require && !strcmp(require, "all") &&
		strncmp(reason, TEST_NOT_BUILT, strlen(TEST_NOT_BUILT));

	printf("%s %s/%s: %s\n", is_required ? "required, but skipped" : "skip",
	       suite, name, reason);
	if (is_required)
		run.unmet++;
	else
		run.skipped++;
}

static bool add_suite(const char *name, const struct test_rung *rung,
		      const struct test_case *cases, size_t count)
{
	const char *missing = NULL;
	bool is_added = true;

	rung_enter(rung);
	if (rung && rung->needs)
		missing = rung->needs();
	for (size_t i = 0; is_added && i < count; i++) {
		const char *reason = missing;

		if (!is_picked(name, cases[i].name))
			continue;
		if (!reason && cases[i].needs)
			reason = cases[i].needs();
		if (reason)
			skip_case(name, cases[i].name, reason);
		else
			is_added = runner_add(name, cases[i].name, cases[i].fn);
	}
	rung_leave();
	return is_added;
}

static int report(struct runner_counts counts)
{
	unsigned int passed = counts.run - counts.failed;
	unsigned int failed = counts.failed + run.unmet;

	if (!passed && !failed && !run.skipped) {
		printf("no case of that name\n");
		failed = 1;
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed,
	       run.skipped);
	fflush(stdout);
	if (failed)
		return 1;
	return passed ? 0 : 77;
}

static void *start_nothing(void *arg)
{
	return arg;
}

/* The last folder and the name in it, "sim/run"; without what libtool adds. */
static void program_name(char *name, size_t size, const char *path)
{
	const char *file = strrchr(path, '/'), *dir = file;
	int dir_len = 0, len;

	if (!file) {
		snprintf(name, size, "%s", path);
		return;
	}
	if (file - path >= 6 && !strncmp(file - 6, "/.libs", 6))
		dir = file - 6;
	while (dir - dir_len > path && dir[-dir_len - 1] != '/')
		dir_len++;
	file++;
	if (!strncmp(file, "lt-", 3))
		file += 3;
	len = (int)strlen(file);
	if (len > 4 && !strcmp(file + len - 4, ".exe"))
		len -= 4;
	if (!dir_len || dir[-1] == '.')
		snprintf(name, size, "%.*s", len, file);
	else
		snprintf(name, size, "%.*s/%.*s", dir_len, dir - dir_len, len,
			 file);
}

static void run_init(int argc, char **argv)
{
	const char *disable = getenv("FAULTLINE_DISABLE");
	pthread_t thread;

	program_name(run.program, sizeof(run.program), argv[0]);
	run.picks = argv + 1;
	run.pick_count = argc - 1;
	check_init();
	run.disable = disable ? strdup(disable) : NULL;
#ifdef M_ARENA_MAX
	mallopt(M_ARENA_MAX, 1);
#endif
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* The thread sanitizer starts a thread of its own with the first. */
	if (!pthread_create(&thread, NULL, start_nothing, NULL))
		pthread_join(thread, NULL);
}

int test_main(int argc, char **argv, const struct test_case *cases,
	      size_t case_count, const struct test_rung *rungs,
	      size_t rung_count)
{
	static const struct runner_calls calls = { case_begin, case_end,
						   case_done, skip_case };
	bool is_added;
	int status = 1;

	run_init(argc, argv);
	run.rungs = rungs;
	run.rung_count = rung_count;
	is_added = runner_open(&calls);
	for (size_t i = 0; is_added && i < rung_count; i++)
		is_added =
			add_suite(rungs[i].name, &rungs[i], cases, case_count);
	if (is_added && !rung_count)
		is_added = add_suite(run.program, NULL, cases, case_count);
	if (is_added)
		status = report(runner_run());
	else
		printf("cannot add the cases\n"
		       "0 passed, 1 failed, 0 skipped\n");
	runner_close();
	free(run.disable);
	return status;
}
