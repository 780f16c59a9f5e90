/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * test.c - see test.h.
 *
 * The names, the pass or fail of each case and the counts come from CUnit's
 * registry; printing is our own, through its message handlers, so that the
 * last line is what the build expects and a failure shows both values.
 *
 * Leaks are counted per case, from /proc: a case knows best what it did. A
 * thread's stack and malloc's arenas are mappings too, so only what is
 * reserved but inaccessible and larger than a stack's guard is counted, and
 * malloc is kept to one arena.
 */
#include "test.h"

#include <CUnit/CUnit.h>
#include <CUnit/TestDB.h>
#include <CUnit/TestRun.h>
#include <CUnit/Util.h>

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define TEST_SANITIZED 1
#endif
#endif
#ifndef TEST_SANITIZED
#define TEST_SANITIZED 0
#endif

#define CASE_TIMEOUT_S (TEST_SANITIZED ? 180 : 60)
#define STACK_GUARD_BYTES ((uint64_t)65536)

const struct test_rung *test_rung;

static struct {
	char program[128];
	const struct test_rung *rungs;
	size_t rung_count;
	char **picks;
	int pick_count;
	unsigned int unmet; /* skips that are failures */
	unsigned int done;
	pthread_t main_thread;
	pid_t main_pid;
	unsigned int elsewhere; /* failures in threads, or in this child */
	unsigned int asserts_before;
	uint64_t started_ns;
	struct test_resources before;
	char *disable; /* FAULTLINE_DISABLE of the whole run */
} run;

/* ------------------------------------------------------------------- checks */

static void check_report(bool fatal, const char *file, int line,
			 const char *text)
{
	if (getpid() != run.main_pid) {
		fprintf(stderr, "    in a child: %s:%d: %s\n", file, line,
			text);
		if (fatal)
			_exit(TEST_CHILD_FAILED);
		__atomic_add_fetch(&run.elsewhere, 1, __ATOMIC_RELAXED);
		return;
	}
	if (!pthread_equal(pthread_self(), run.main_thread)) {
		fprintf(stderr, "    in a thread: %s:%d: %s\n", file, line,
			text);
		__atomic_add_fetch(&run.elsewhere, 1, __ATOMIC_RELAXED);
		return;
	}
	printf("    %s:%d: %s\n", file, line, text);
	fflush(stdout);
	CU_assertImplementation(CU_FALSE, (unsigned int)line, text, file, "",
				fatal ? CU_TRUE : CU_FALSE);
}

bool test_check(bool holds, bool fatal, const char *file, int line,
		const char *text)
{
	if (!holds)
		check_report(fatal, file, line, text);
	return holds;
}

bool test_check_eq(uint64_t actual, uint64_t expected, bool fatal,
		   const char *file, int line, const char *text)
{
	char buf[512];

	if (actual == expected)
		return true;
	snprintf(buf, sizeof(buf),
		 "%s: got %" PRId64 " (0x%" PRIx64 "), expected %" PRId64
		 " (0x%" PRIx64 ")",
		 text, (int64_t)actual, actual, (int64_t)expected, expected);
	check_report(fatal, file, line, buf);
	return false;
}

bool test_check_has(const char *text, const char *part, const char *file,
		    int line)
{
	size_t len = strlen(part);
	char buf[512];

	for (const char *at = text; *at; at++) {
		if (!strncasecmp(at, part, len))
			return true;
	}
	snprintf(buf, sizeof(buf), "\"%s\" does not contain \"%s\"", text,
		 part);
	check_report(false, file, line, buf);
	return false;
}

void test_note(const char *fmt, ...)
{
	va_list args;

	printf("    note: ");
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

bool test_has_failed(void)
{
	return CU_get_number_of_failures() > run.asserts_before ||
	       __atomic_load_n(&run.elsewhere, __ATOMIC_RELAXED);
}

bool test_is_sanitized(void)
{
	return TEST_SANITIZED;
}

/* ---------------------------------------------------------------- resources */

static unsigned int count_entries(const char *path)
{
	struct dirent *entry;
	unsigned int n = 0;
	DIR *dir = opendir(path);

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static void count_mapping(struct test_resources *now, const char *line)
{
	uint64_t start, end;
	char perms[8];

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s", &start, &end, perms) !=
	    3)
		return;
	if (strstr(line, "memfd:") || strstr(line, "userfaultfd"))
		now->memfds++;
	/* At the start of the address space the sanitizers keep theirs. */
	if (!strncmp(perms, "---", 3) && end - start > STACK_GUARD_BYTES &&
	    !strstr(line, ".so"))
		now->reserved_bytes += end - start;
}

void test_resources(struct test_resources *now)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	*now = (struct test_resources){ 0 };
	now->fds = count_entries("/proc/self/fd");
	now->threads = count_entries("/proc/self/task");
	if (!maps)
		return;
	while (fgets(line, sizeof(line), maps))
		count_mapping(now, line);
	fclose(maps);
}

void test_check_resources(const struct test_resources *before)
{
	struct test_resources now;

	test_resources(&now);
	/* A joined thread may still be in /proc for a moment. */
	for (int i = 0; i < 100 && now.threads > before->threads; i++) {
		test_sleep_ms(10);
		test_resources(&now);
	}
	CHECK_EQ(now.fds, before->fds);
	CHECK_EQ(now.threads, before->threads);
	CHECK_EQ(now.memfds, before->memfds);
	if (now.reserved_bytes > before->reserved_bytes)
		CHECK_EQ(now.reserved_bytes, before->reserved_bytes);
}

/* ------------------------------------------------------------ running cases */

static void case_timed_out(int signo)
{
	static const char text[] = "    the case did not end in time\n";
	ssize_t n = write(STDOUT_FILENO, text, sizeof(text) - 1);

	(void)n;
	signal(signo, SIG_DFL);
	raise(SIGABRT);
}

static void rung_enter(const struct test_rung *rung)
{
	test_rung = rung;
	if (rung && rung->disable)
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

static void case_set_up(void)
{
	rung_enter(rung_by_name(CU_get_current_suite()->pName));
	run.asserts_before = CU_get_number_of_failures();
	run.elsewhere = 0;
	run.started_ns = test_now_ns();
	test_resources(&run.before);
	signal(SIGALRM, case_timed_out);
	alarm(CASE_TIMEOUT_S);
}

static void case_tear_down(void)
{
	alarm(0);
	CHECK_EQ(run.elsewhere, 0);
	/* A case that ended early has not cleaned up. */
	if (!test_has_failed())
		test_check_resources(&run.before);
	rung_leave();
}

static void case_started(const CU_pTest test, const CU_pSuite suite)
{
	if (!test->fActive)
		return;
	printf("%s/%s\n", suite->pName, test->pName);
	fflush(stdout);
}

static void case_completed(const CU_pTest test, const CU_pSuite suite,
			   const CU_pFailureRecord failure)
{
	/* Inactive cases come here with a record; their reason was printed. */
	if (!test->fActive)
		return;
	run.done++;
	printf("  %s %s/%s (%" PRIu64 " ms)\n", failure ? "FAILED" : "ok",
	       suite->pName, test->pName,
	       (test_now_ns() - run.started_ns) / 1000000);
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

static void skip_case(CU_pTest test, const char *suite, const char *reason)
{
	const char *require = getenv("FAULTLINE_TEST_REQUIRE");
	bool is_required =
		require && !strcmp(require, "all") &&
		strncmp(reason, TEST_NOT_BUILT, strlen(TEST_NOT_BUILT));

	printf("%s %s/%s: %s\n", is_required ? "required, but skipped" : "skip",
	       suite, test->pName, reason);
	run.unmet += is_required;
	CU_set_test_active(test, CU_FALSE);
}

static bool add_suite(const char *name, const struct test_rung *rung,
		      const struct test_case *cases, size_t count)
{
	const char *missing = NULL;
	CU_pSuite suite;

	rung_enter(rung);
	if (rung && rung->needs)
		missing = rung->needs();
	suite = CU_add_suite_with_setup_and_teardown(
		name, NULL, NULL, case_set_up, case_tear_down);
	for (size_t i = 0; suite && i < count; i++) {
		const char *reason = missing;
		CU_pTest test;

		if (!is_picked(name, cases[i].name))
			continue;
		test = CU_add_test(suite, cases[i].name, cases[i].fn);
		if (!test)
			return false;
		if (!reason && cases[i].needs)
			reason = cases[i].needs();
		if (reason)
			skip_case(test, name, reason);
	}
	rung_leave();
	return suite;
}

static int report(void)
{
	unsigned int failed = CU_get_number_of_tests_failed();
	unsigned int passed = CU_get_number_of_tests_run() - failed;
	unsigned int skipped = CU_get_number_of_tests_inactive() - run.unmet;

	failed += run.unmet;
	if (!passed && !failed && !skipped) {
		printf("no case of that name\n");
		failed = 1;
	}
	printf("%u passed, %u failed, %u skipped\n", passed, failed, skipped);
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
	int dir_len = 0;

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
	if (!dir_len || dir[-1] == '.')
		snprintf(name, size, "%s", file);
	else
		snprintf(name, size, "%.*s/%s", dir_len, dir - dir_len, file);
}

static void run_init(int argc, char **argv)
{
	const char *disable = getenv("FAULTLINE_DISABLE");
	pthread_t thread;

	program_name(run.program, sizeof(run.program), argv[0]);
	run.picks = argv + 1;
	run.pick_count = argc - 1;
	run.main_thread = pthread_self();
	run.main_pid = getpid();
	run.disable = disable ? strdup(disable) : NULL;
	mallopt(M_ARENA_MAX, 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	/* The thread sanitizer starts a thread of its own with the first. */
	if (!pthread_create(&thread, NULL, start_nothing, NULL))
		pthread_join(thread, NULL);
}

int test_main(int argc, char **argv, const struct test_case *cases,
	      size_t case_count, const struct test_rung *rungs,
	      size_t rung_count)
{
	bool is_added = true;
	int status = 1;

	run_init(argc, argv);
	run.rungs = rungs;
	run.rung_count = rung_count;
	if (CU_initialize_registry() != CUE_SUCCESS)
		return 1;
	CU_set_fail_on_inactive(CU_FALSE);
	CU_set_error_action(CUEA_IGNORE);
	CU_set_test_start_handler(case_started);
	CU_set_test_complete_handler(case_completed);
	for (size_t i = 0; i < rung_count; i++)
		is_added &=
			add_suite(rungs[i].name, &rungs[i], cases, case_count);
	if (!rung_count)
		is_added = add_suite(run.program, NULL, cases, case_count);
	if (is_added) {
		CU_run_all_tests();
		status = report();
	} else {
		printf("cannot add the cases: %s\n", CU_get_error_msg());
		printf("0 passed, 1 failed, 0 skipped\n");
	}
	CU_cleanup_registry();
	free(run.disable);
	return status;
}

/* ----------------------------------------------------------------- children */

struct test_end test_fork(int (*fn)(void *arg), void *arg,
			  unsigned int timeout_s)
{
	struct test_end end = { -1, 0 };
	int status;
	pid_t pid;

	fflush(stdout);
	fflush(stderr);
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		signal(SIGALRM, SIG_DFL);
		alarm(timeout_s);
		run.elsewhere = 0;
		status = fn(arg);
		fflush(stdout);
		_exit(run.elsewhere ? TEST_CHILD_FAILED : status);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status))
		end.status = WEXITSTATUS(status);
	else
		end.signo = WTERMSIG(status);
	return end;
}

/* -------------------------------------------------------------------- traps */

static sigjmp_buf catch_jump;
static volatile sig_atomic_t catch_signo;
static const void *volatile catch_addr;

static void catch_handler(int signo, siginfo_t *info, void *context)
{
	(void)context;
	catch_signo = signo;
	catch_addr = info->si_addr;
	siglongjmp(catch_jump, 1);
}

struct test_trap test_catch(void (*fn)(void *arg), void *arg)
{
	struct sigaction action = { .sa_flags = SA_SIGINFO }, segv, bus;
	struct test_trap trap;

	action.sa_sigaction = catch_handler;
	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, &segv);
	sigaction(SIGBUS, &action, &bus);
	catch_signo = 0;
	catch_addr = NULL;
	if (!sigsetjmp(catch_jump, 1))
		fn(arg);
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	trap.signo = catch_signo;
	trap.addr = catch_addr;
	return trap;
}

static void read_byte(void *arg)
{
	(void)*(const volatile uint8_t *)arg;
}

static void write_byte(void *arg)
{
	volatile uint8_t *byte = arg;

	*byte = *byte;
}

/* Of a page that can be read, the write alone decides. */
static void store_byte(void *arg)
{
	*(volatile uint8_t *)arg = 0;
}

int test_read_signal(const void *addr)
{
	void *arg;

	memcpy(&arg, &addr, sizeof(arg));
	return test_catch(read_byte, arg).signo;
}

int test_write_signal(void *addr)
{
	if (test_read_signal(addr))
		return test_catch(store_byte, addr).signo;
	return test_catch(write_byte, addr).signo;
}

bool test_traps(void *addr)
{
	struct test_trap on_read = test_catch(read_byte, addr);
	struct test_trap on_write = test_catch(store_byte, addr);

	return on_read.signo == SIGSEGV && on_read.addr == addr &&
	       on_write.signo == SIGSEGV && on_write.addr == addr;
}

bool test_open(void *addr)
{
	return !test_read_signal(addr) && !test_write_signal(addr);
}

/* ------------------------------------------------------------------- random */

void test_random_init(struct test_random *random, uint64_t seed)
{
	const char *text = getenv("FAULTLINE_TEST_SEED");

	if (text && *text)
		seed = strtoull(text, NULL, 0);
	test_note("FAULTLINE_TEST_SEED=%" PRIu64, seed);
	random->state = seed;
}

/* SplitMix64, by Steele, Lea and Flood (2014): the state is a counter, so that
 * every seed is as good as another. */
uint64_t test_random_next(struct test_random *random)
{
	uint64_t z = random->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t test_random_below(struct test_random *random, uint64_t limit)
{
	return limit ? test_random_next(random) % limit : 0;
}

/* -------------------------------------------------------------------- clock */

uint64_t test_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void test_sleep_ms(unsigned int ms)
{
	struct timespec left = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}
