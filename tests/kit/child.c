/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* child.c - see child.h. */
#include "child.h"

#include "check.h"
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* The limit is for children that hang: on a busy host others take their time. */
#define LEAST_S 100

pid_t test_spawn(int (*fn)(void *arg), void *arg, unsigned int timeout_s)
{
	int status;
	pid_t pid;

	fflush(stdout);
	fflush(stderr);
	pid = fork();
	MUST(pid >= 0);
	if (pid)
		return pid;
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
	signal(SIGALRM, SIG_DFL);
	alarm(timeout_s < LEAST_S ? LEAST_S : timeout_s);
	check_case_begin();
	status = fn(arg);
	fflush(stdout);
	_exit(check_elsewhere() ? TEST_CHILD_FAILED : status);
}

struct test_end test_wait(pid_t child)
{
	struct test_end end = { -1, 0 };
	int status = 0;

	while (waitpid(child, &status, 0) < 0) {
		if (errno == EINTR)
			continue;
		CHECK(!"there is such a child");
		return end;
	}
	if (WIFEXITED(status))
		end.status = WEXITSTATUS(status);
	else
		end.signo = WTERMSIG(status);
	return end;
}

struct test_end test_fork(int (*fn)(void *arg), void *arg,
			  unsigned int timeout_s)
{
	return test_wait(test_spawn(fn, arg, timeout_s));
}

void test_kill(pid_t child)
{
	kill(child, SIGKILL);
	test_wait(child);
}

void test_wait_stopped(pid_t traced)
{
	while (waitpid(traced, NULL, __WALL) < 0 && errno == EINTR)
		;
}

extern char **environ;

#define RUN_MAX_ARGS 8

int test_run(const char *output, const char *const argv[])
{
	posix_spawn_file_actions_t actions;
	char *args[RUN_MAX_ARGS] = { NULL };
	pid_t pid;

	/* posix_spawn does not write to them. */
	for (size_t i = 0; i < RUN_MAX_ARGS - 1 && argv[i]; i++)
		memcpy(&args[i], &argv[i], sizeof(args[i]));
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output,
					 O_WRONLY | O_CREAT | O_TRUNC, 0600);
	posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO,
					 STDERR_FILENO);
	if (posix_spawnp(&pid, args[0], &actions, NULL, args, environ))
		pid = -1;
	posix_spawn_file_actions_destroy(&actions);
	return pid < 0 ? -1 : test_wait(pid).status;
}
