/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * delays.c - a library to preload: threads are late at random, where a busy host
 * makes them late.
 *
 * Takes a program that is linked dynamically, and FAULTLINE_TEST_DELAYS, "ONE_IN
 * MS": of so many calls one is late, by up to so many milliseconds. A thread is
 * late before it takes a lock and after it gives one back, at the begin of the
 * thread that is made and of the thread that makes it, after ioctl(), read(),
 * poll() and fork(), and before write().
 *
 * A test that fails so waits for too little, or the library loses a wake-up. A
 * process is late by 40 seconds altogether, and goes on as usual then.
 *
 * For "make check-delays".
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define ALL_US 40000000

static unsigned int one_in, longest_ms;
static int64_t left_us; /* atomic */
static __thread uint64_t state;

__attribute__((constructor)) static void read_settings(void)
{
	const char *text = getenv("FAULTLINE_TEST_DELAYS");

	if (text && sscanf(text, "%u %u", &one_in, &longest_ms) == 2 && one_in)
		left_us = ALL_US;
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t draw(void)
{
	if (!state)
		state = now_ns() * 0x9e3779b97f4a7c15u ^ (uintptr_t)&state;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* A confined thread may not sleep: it is late by being busy. */
static void pass(uint64_t us)
{
	struct timespec time = { (time_t)(us / 1000000),
				 (long)(us % 1000000 * 1000) };
	uint64_t end_ns = now_ns() + us * 1000;

	if (!syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL))
		return;
	while (now_ns() < end_ns)
		continue;
}

/* often: how many times as often as at a lock. */
static void be_late(unsigned int often)
{
	int err = errno;
	uint64_t us;

	if (__atomic_load_n(&left_us, __ATOMIC_RELAXED) <= 0 ||
	    (draw() >> 20) % (one_in / often + 1))
		return;
	us = (draw() >> 20) % (longest_ms * 1000 + 1);
	__atomic_fetch_sub(&left_us, (int64_t)us, __ATOMIC_RELAXED);
	pass(us);
	errno = err;
}

/* The C library's function of this name, as `real`. */
#define REAL(name)                     \
	static __typeof__(&name) real; \
                                       \
	if (!real)                     \
	*(void **)&real = dlsym(RTLD_NEXT, #name)

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
	REAL(pthread_mutex_lock);
	be_late(1);
	return real(mutex);
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	int err;

	REAL(pthread_mutex_unlock);
	err = real(mutex);
	be_late(1);
	return err;
}

struct begin {
	void *(*run)(void *arg);
	void *arg;
};

static void *begin_late(void *arg)
{
	struct begin begin = *(struct begin *)arg;

	free(arg);
	be_late(20);
	return begin.run(begin.arg);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
		   void *(*run)(void *arg), void *arg)
{
	struct begin *begin = malloc(sizeof(*begin));
	int err;

	REAL(pthread_create);
	if (!begin)
		return EAGAIN;
	*begin = (struct begin){ run, arg };
	err = real(thread, attr, begin_late, begin);
	if (err)
		free(begin);
	else
		be_late(20);
	return err;
}

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;
	int result;

	REAL(ioctl);
	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	result = real(fd, request, arg);
	be_late(1);
	return result;
}

ssize_t read(int fd, void *bytes, size_t len)
{
	ssize_t result;

	REAL(read);
	result = real(fd, bytes, len);
	be_late(2);
	return result;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
	REAL(write);
	be_late(2);
	return real(fd, bytes, len);
}

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	int result;

	REAL(poll);
	result = real(fds, count, timeout_ms);
	be_late(3);
	return result;
}

pid_t fork(void)
{
	pid_t result;

	REAL(fork);
	result = real();
	be_late(10);
	return result;
}
