/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * steps.c - constant where it looks constant, counted and not timed: the
 * instructions of a release, by a tracer that goes step by step.
 *
 * What lives beside a tenant must not matter, nor the order in which tenants go.
 * A walk over what lives would be seen as a count that grows with it: with 16
 * times as many tenants a release takes 16 times the steps, or nearly. The kernel's
 * part is not counted.
 *
 * It needs ptrace(); for a pool, a build whose asserts do not walk lists.
 */
#define _GNU_SOURCE
#include "tests/kit/child.h"
#include "tests/kit/conform.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#define FEW 64
#define MANY (16 * FEW)
/* Releases that are counted. */
#define COUNTED 2

enum order {
	NEWEST_FIRST,
	OLDEST_FIRST,
	FROM_THE_MIDDLE
};

struct crowd {
	enum fl_allocation allocation;
	enum order order;
	uint32_t count;
};

static uint32_t place_of(const struct crowd *crowd, uint32_t i)
{
	return crowd->order == NEWEST_FIRST ? crowd->count - 1 - i :
	       crowd->order == OLDEST_FIRST ? i :
					      crowd->count / 2 + i;
}

/* What a release does with a slot also depends on what its processor gave last. */
static void stay_here(void)
{
	cpu_set_t here;
	int cpu = sched_getcpu();

	if (cpu < 0)
		return;
	CPU_ZERO(&here);
	CPU_SET((size_t)cpu, &here);
	sched_setaffinity(0, sizeof(here), &here);
}

/* In a child: tenants come, some go between two stops, and the rest goes. */
static int crowd_live(void *arg)
{
	static struct fl_memory *memories[MANY];
	const struct crowd *crowd = arg;
	struct fl_pool_config config;
	struct conform conform;
	int failed = 0;

	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		return 1;
	stay_here();
	conform_pool_config(&config);
	config.allocation = crowd->allocation;
	config.max_memories = MANY;
	config.max_memory_bytes = 64 * KIB;
	config.memory_stride_bytes = 0;
	conform_open(&conform, &config);
	for (uint32_t i = 0; i < crowd->count; i++) {
		memories[i] = conform_take(&conform, NULL, 64 * KIB);
		memories[i]->base[5] = 1;
	}
	/* What the first call of its kind costs, such as binding its name. */
	conform_give(memories[crowd->count - COUNTED - 1]);
	memories[crowd->count - COUNTED - 1] = NULL;
	raise(SIGSTOP);
	for (uint32_t i = 0; i < COUNTED; i++)
		failed += fl_memory_release(memories[place_of(crowd, i)]) != 0;
	raise(SIGSTOP);
	for (uint32_t i = 0; i < COUNTED; i++)
		memories[place_of(crowd, i)] = NULL;
	for (uint32_t i = 0; i < crowd->count; i++)
		if (memories[i])
			failed += fl_memory_release(memories[i]) != 0;
	conform_close(&conform);
	return failed != 0;
}

enum stop {
	ENDED,
	FAILED,
	STOPPED
};

static enum stop wait_for(pid_t child, int *signo)
{
	int status;

	if (waitpid(child, &status, __WALL) != child)
		return FAILED;
	if (!WIFSTOPPED(status))
		return ENDED;
	*signo = WSTOPSIG(status);
	return STOPPED;
}

/* Step by step to the next stop of the child's own. */
static enum stop go_on(pid_t child, uint64_t *steps)
{
	enum stop stop;
	int signo = 0;

	for (;; ++*steps) {
		if (ptrace(PTRACE_SINGLESTEP, child, NULL,
			   (void *)(intptr_t)signo))
			return FAILED;
		stop = wait_for(child, &signo);
		if (stop != STOPPED || signo == SIGSTOP)
			return stop;
		if (signo == SIGTRAP)
			signo = 0;
	}
}

/* Of one release; 0: the child could not be traced. */
static uint64_t steps_count(struct crowd *crowd)
{
	pid_t child = test_spawn(crowd_live, crowd, 60);
	uint64_t steps = 0;
	int signo = 0, status;
	enum stop stop = wait_for(child, &signo);

	if (stop == STOPPED)
		stop = signo == SIGSTOP ? go_on(child, &steps) : FAILED;
	if (stop == FAILED)
		test_kill(child);
	if (stop != STOPPED)
		return 0;
	MUST_EQ(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
	MUST_EQ(waitpid(child, &status, __WALL), child);
	CHECK(WIFEXITED(status) && !WEXITSTATUS(status));
	return steps / COUNTED;
}

static const char *needs_steps(void)
{
	struct crowd one = { FL_ALLOCATION_ON_DEMAND, OLDEST_FIRST, 16 };

	if (test_is_sanitized())
		return TEST_NOT_BUILT "a sanitizer takes steps of its own";
	return steps_count(&one) ? NULL : "no child may be traced";
}

/* Asserts of whole structures walk the list of a pool's free slots. */
static const char *needs_no_walk(void)
{
#if defined(FL_CHECKS) && FL_CHECKS >= 2
	return TEST_NOT_BUILT "--enable-checks=full walks lists";
#else
	return needs_steps();
#endif
}

static void count_orders(enum fl_allocation allocation)
{
	static const char *const names[] = { "newest first", "oldest first",
					     "from the middle" };

	for (int order = NEWEST_FIRST; order <= FROM_THE_MIDDLE; order++) {
		struct crowd few = { allocation, order, FEW };
		struct crowd many = { allocation, order, MANY };
		uint64_t of_few = steps_count(&few);
		uint64_t of_many = steps_count(&many);

		test_note("%s: %llu steps of %d tenants, %llu of %d",
			  names[order], (unsigned long long)of_few, FEW,
			  (unsigned long long)of_many, MANY);
		CHECK(of_few && of_many);
		CHECK(of_many < 2 * of_few);
	}
}

static void releases_on_demand(void)
{
	count_orders(FL_ALLOCATION_ON_DEMAND);
}

static void releases_of_a_pool(void)
{
	count_orders(FL_ALLOCATION_POOLING);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(releases_on_demand, needs_steps),
	TEST_CASE_NEEDS(releases_of_a_pool, needs_no_walk),
};

/* On the best rung alone: lists are the same on all. */
int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases),
			 conform_best_rung(), 1);
}
