/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * serve_stock.c - the same work done by children that run wasm2c without
 * Faultline.
 *
 * Starts the children of a rival (see stock.c, also for what passes through the
 * pipes), waits until each says it is ready, starts them at the same
 * moment, and collects their reports. A child that dies is an error with a
 * sentence, never a hang: its end of the pipe closes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve.h"

extern char **environ;

struct child {
	pid_t pid; /* 0: not started */
	int to_fd; /* -1: not open, and then neither is from_fd */
	int from_fd;
};

static bool read_all(int fd, void *bytes, size_t length_bytes)
{
	char *at = bytes;

	while (length_bytes) {
		ssize_t done = read(fd, at, length_bytes);

		if (done <= 0)
			return false;
		at += done;
		length_bytes -= (size_t)done;
	}
	return true;
}

static int spawn(struct child *child, const char *program, char *const argv[],
		 const int to[2], const int from[2])
{
	posix_spawn_file_actions_t actions;
	int err;

	if (posix_spawn_file_actions_init(&actions))
		return -1;
	posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
	err = posix_spawn(&child->pid, program, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (!err)
		return 0;
	child->pid = 0;
	fprintf(stderr, "serve: cannot run %s: %s\n", program, strerror(err));
	return -1;
}

static int start(struct child *child, const struct rival *rival,
		 const struct job *job, uint32_t first, uint32_t threads)
{
	char first_text[16], count_text[16], threads_text[16];
	char *argv[] = {
		(char *)(uintptr_t)rival->program,
		(char *)(uintptr_t)job->guest->name,
		first_text,
		count_text,
		(char *)(uintptr_t)(job->call_every ? "call" : "idle"),
		threads_text,
		NULL,
	};
	int to[2], from[2], err;

	child->pid = 0;
	child->to_fd = -1;
	snprintf(first_text, sizeof(first_text), "%u", first);
	snprintf(count_text, sizeof(count_text), "%u",
		 job->count / job->workers);
	snprintf(threads_text, sizeof(threads_text), "%u", threads);
	if (pipe2(to, O_CLOEXEC)) {
		perror("serve: pipe");
		return -1;
	}
	if (pipe2(from, O_CLOEXEC)) {
		perror("serve: pipe");
		close(to[0]);
		close(to[1]);
		return -1;
	}
	err = spawn(child, rival->program, argv, to, from);
	close(to[0]);
	close(from[1]);
	child->to_fd = to[1];
	child->from_fd = from[0];
	return err;
}

/* Returns 0 when the child ended well. */
static int stop(struct child *child)
{
	int status = 0;

	if (child->to_fd >= 0) {
		close(child->to_fd);
		close(child->from_fd);
	}
	if (!child->pid || waitpid(child->pid, &status, 0) != child->pid)
		return -1;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFSIGNALED(status))
		fprintf(stderr, "serve: a child died of signal %d\n",
			WTERMSIG(status));
	else
		fprintf(stderr, "serve: a child ended with status %d\n",
			WEXITSTATUS(status));
	return -1;
}

/* Workers come in order: those of the first child, then of the next. */
static bool converse(const struct child *children, uint32_t child_count,
		     const struct job *job, struct worker_report *reports,
		     struct sample *samples)
{
	uint32_t count = job->count / job->workers;
	uint32_t i;
	char byte;

	for (i = 0; i < child_count; i++)
		if (!read_all(children[i].from_fd, &byte, 1))
			return false;
	for (i = 0; i < child_count; i++)
		if (write(children[i].to_fd, &byte, 1) != 1)
			return false;
	for (i = 0; i < job->workers; i++) {
		int fd = children[i * child_count / job->workers].from_fd;

		if (!read_all(fd, &reports[i], sizeof(reports[i])) ||
		    reports[i].sample_count != count ||
		    !read_all(fd, samples + i * count,
			      count * sizeof(samples[0])))
			return false;
	}
	return true;
}

int rival_run(const struct rival *rival, const struct job *job,
	      struct outcome *outcome)
{
	uint32_t child_count = rival->has_threads ? 1 : job->workers;
	uint32_t threads = job->workers / child_count;
	struct worker_report reports[MAX_WORKERS];
	struct child children[MAX_WORKERS];
	uint32_t i, started;
	bool ok = true;

	for (started = 0; started < child_count && ok; started++)
		ok = !start(&children[started], rival, job,
			    job->first + started * (job->count / child_count),
			    threads);
	if (ok)
		ok = converse(children, child_count, job, reports,
			      outcome->samples + job->first);
	for (i = 0; i < started; i++)
		if (stop(&children[i]))
			ok = false;
	if (!ok) {
		fprintf(stderr, "serve: %s could not be measured\n",
			rival->program);
		return -1;
	}
	outcome_add(outcome, job, reports);
	return 0;
}
