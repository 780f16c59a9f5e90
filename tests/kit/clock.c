/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* clock.c - see clock.h. */
#include "clock.h"

#include <errno.h>
#include <time.h>

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t test_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t test_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

void test_sleep_ms(unsigned int ms)
{
	struct timespec left = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}
