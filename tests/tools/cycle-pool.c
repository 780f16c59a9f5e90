/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * cycle-pool.c - targets for the tests of uffd-stat, and for the picture of it.
 *
 * cycle-pool COUNT [PROCESSES [PAUSE_US [NAME]]] takes and gives memories of a
 * pool COUNT times in each of so many processes, says "cycled" when all have done
 * so, and what these cycles cost by getrusage(). Then the processes wait to be
 * killed; with a pause they go on cycling, one cycle after each pause. Children go
 * with their parent.
 */
#define _GNU_SOURCE
#include <faultline.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

struct target {
	struct fl_context *context;
	struct fl_pool *pool;
};

static int fail(const struct fl_error *error)
{
	puts(error->text);
	return 1;
}

static int target_open(struct target *target, const char *name,
		       struct fl_error *error)
{
	struct fl_pool_config config;

	fl_pool_config_init(&config);
	config.max_memories = 8;
	config.max_memory_bytes = 4 << 20;
	config.memory_stride_bytes = 0;
	config.name = name;
	if (fl_context_create(NULL, &target->context, error) ||
	    fl_pool_create(target->context, &config, &target->pool, error))
		return fail(error);
	return 0;
}

/* Some pages more in one cycle than in another. */
static int cycle(const struct target *target, long i, struct fl_error *error)
{
	struct fl_memory_config config;
	struct fl_memory *memory;

	fl_memory_config_init(&config);
	config.initial_bytes = 65536;
	if (fl_memory_acquire(target->pool, &config, &memory, error))
		return fail(error);
	for (long at = 0; at <= i % 4 * 4096; at += 4096)
		memory->base[at] = 1;
	return fl_memory_release(memory) ? 1 : 0;
}

static void cost_print(const struct rusage *before)
{
	struct rusage now;

	getrusage(RUSAGE_SELF, &now);
	printf("pid %d\nminor faults of the cycles %ld\nminor faults of all %ld\n",
	       (int)getpid(), now.ru_minflt - before->ru_minflt, now.ru_minflt);
}

static int run(long count, useconds_t pause_us, const char *name, int done_fd)
{
	struct fl_error error = { .text = "" };
	struct target target;
	struct rusage before;

	if (target_open(&target, name, &error))
		return 1;
	getrusage(RUSAGE_SELF, &before);
	for (long i = 0; i < count; i++) {
		if (cycle(&target, i, &error))
			return 1;
	}
	if (done_fd < 0) {
		cost_print(&before);
		puts("cycled");
		fflush(stdout);
	} else if (write(done_fd, "", 1) != 1) {
		return 1;
	}
	for (long i = 0; pause_us; i++) {
		usleep(pause_us);
		if (cycle(&target, i, &error))
			return 1;
	}
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 0;
	int processes = argc > 2 ? atoi(argv[2]) : 1;
	useconds_t pause_us = argc > 3 ? (useconds_t)atol(argv[3]) : 0;
	const char *name = argc > 4 ? argv[4] : "the-pool";
	int fds[2];
	char byte;

	if (processes == 1)
		return run(count, pause_us, name, -1);
	if (pipe(fds))
		return 1;
	for (int i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return 1;
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(fds[0]);
			return run(count, pause_us, name, fds[1]);
		}
	}
	close(fds[1]);
	for (int i = 0; i < processes; i++) {
		if (read(fds[0], &byte, 1) != 1)
			return 1;
	}
	puts("cycled");
	fflush(stdout);
	for (;;)
		pause();
}
