/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * check.c - see check.h.
 *
 * What fails in the program's main thread goes to the runner; what fails in
 * another thread, or in a child, is counted here, because a runner's counts are
 * for one thread.
 */
#include "check.h"

#include "child.h"
#include "runner.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
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

static struct {
	pthread_t main_thread;
	pid_t main_pid;
	unsigned int failures_before; /* of the cases before this one */
	unsigned int elsewhere; /* failures in threads, or in this child */
} run;

void check_init(void)
{
	run.main_thread = pthread_self();
	run.main_pid = getpid();
}

void check_case_begin(void)
{
	run.failures_before = runner_failures();
	run.elsewhere = 0;
}

unsigned int check_elsewhere(void)
{
	return __atomic_load_n(&run.elsewhere, __ATOMIC_RELAXED);
}

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
	runner_fail(fatal, file, line, text);
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
	return runner_failures() > run.failures_before || check_elsewhere();
}

bool test_is_sanitized(void)
{
	return TEST_SANITIZED;
}

int test_rounds(int rounds)
{
	const char *text = getenv("FAULTLINE_TEST_FEWER");
	long fewer = text ? strtol(text, NULL, 10) : 1;

	if (fewer < 1)
		return rounds;
	return rounds > fewer ? (int)(rounds / fewer) : 1;
}
