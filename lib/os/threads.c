/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * threads.c - the locks, conditions and clock of os.h, by POSIX threads.
 *
 * Windows has these threads too, by winpthreads.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "os.h"
#include "base/error.h"

#include <time.h>
#include <unistd.h>

/* An option of POSIX.1-2008: conditions wait by any clock. */
#if defined(_POSIX_CLOCK_SELECTION) && _POSIX_CLOCK_SELECTION > 0 && \
	!defined(_WIN32)
#define HAS_CLOCK_SELECTION
#endif

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t fl__os_now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int fl__os_lock_init(struct fl__os_lock *lock)
{
	pthread_mutexattr_t attr;
	int err = pthread_mutexattr_init(&attr);

	if (err)
		return fl__error_fold(-err);
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
	/* Most locks are held for list work only: spinning a little is cheaper
	 * than the two context switches of a sleep. */
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
#endif
	err = pthread_mutex_init(&lock->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	return fl__error_fold(-err);
}

void fl__os_lock_fini(struct fl__os_lock *lock)
{
	pthread_mutex_destroy(&lock->mutex);
}

#ifdef HAS_CLOCK_SELECTION
/* The same clock as fl__os_now_ns(). */
static int cond_set_clock(pthread_condattr_t *attr)
{
	return pthread_condattr_setclock(attr, CLOCK_MONOTONIC);
}

static uint64_t cond_deadline_ns(uint64_t deadline_ns)
{
	return deadline_ns;
}
#else
static int cond_set_clock(pthread_condattr_t *attr)
{
	(void)attr;
	return 0;
}

/* By the time of day: whoever sets that clock during a wait moves the end. */
static uint64_t cond_deadline_ns(uint64_t deadline_ns)
{
	uint64_t now_ns = fl__os_now_ns(), until_ns;

	if (fl_add_overflow(clock_ns(CLOCK_REALTIME),
			    deadline_ns > now_ns ? deadline_ns - now_ns : 0,
			    &until_ns))
		until_ns = UINT64_MAX;
	return until_ns;
}
#endif

int fl__os_cond_init(struct fl__os_cond *cond)
{
	pthread_condattr_t attr;
	int err = pthread_condattr_init(&attr);

	if (err)
		return fl__error_fold(-err);
	err = cond_set_clock(&attr);
	if (!err)
		err = pthread_cond_init(&cond->cond, &attr);
	pthread_condattr_destroy(&attr);
	return fl__error_fold(-err);
}

void fl__os_cond_fini(struct fl__os_cond *cond)
{
	pthread_cond_destroy(&cond->cond);
}

static bool cond_wait(struct fl__os_cond *cond, struct fl__os_lock *lock,
		      uint64_t deadline_ns)
{
	struct timespec until;

	if (deadline_ns == UINT64_MAX)
		return !pthread_cond_wait(&cond->cond, &lock->mutex);
	deadline_ns = cond_deadline_ns(deadline_ns);
	until.tv_sec = (time_t)(deadline_ns / 1000000000u);
	until.tv_nsec = (long)(deadline_ns % 1000000000u);
	return pthread_cond_timedwait(&cond->cond, &lock->mutex, &until) !=
	       ETIMEDOUT;
}

bool fl__os_cond_wait(struct fl__os_cond *cond, struct fl__os_lock *lock,
		      uint64_t deadline_ns, void (*cancelled)(void *user),
		      void *user)
{
	bool is_in_time;

	pthread_cleanup_push(cancelled, user);
	is_in_time = cond_wait(cond, lock, deadline_ns);
	pthread_cleanup_pop(0);
	return is_in_time;
}

int fl__os_hold_cancel(void)
{
	int before;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
	return before;
}

void fl__os_let_cancel(int *before)
{
	pthread_setcancelstate(*before, NULL);
}

void fl__os_cond_signal(struct fl__os_cond *cond)
{
	pthread_cond_signal(&cond->cond);
}

void fl__os_cond_broadcast(struct fl__os_cond *cond)
{
	pthread_cond_broadcast(&cond->cond);
}
