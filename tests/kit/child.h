/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* child.h - forked children, and how they ended. */
#ifndef TEST_CHILD_H
#define TEST_CHILD_H

#include <sys/types.h>

#define TEST_CHILD_FAILED 99

struct test_end {
	int status; /* exit status, -1 when a signal ended it */
	int signo; /* that signal, 0 otherwise; SIGALRM: it hung */
};

/* Run fn(arg) in a forked child with default signal handlers; its return value
 * is the exit status. SIGALRM after timeout_s seconds. */
struct test_end test_fork(int (*fn)(void *arg), void *arg,
			  unsigned int timeout_s);

/* The same in two parts: start it, and wait for its end. */
pid_t test_spawn(int (*fn)(void *arg), void *arg, unsigned int timeout_s);
struct test_end test_wait(pid_t child);

/* End it, and wait for that. */
void test_kill(pid_t child);

/* Run a program, found as a shell would, with its output in a file. Its exit
 * status; -1 when it could not be run, or died. */
int test_run(const char *output, const char *const argv[]);

/* For a child that has just begun to trace the process. */
void test_wait_stopped(pid_t traced);

#endif
