/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * watch.c - the part of os.h that tells of memory: pressure and pins.
 *
 * Takes a pressure file and a threshold; gives a thread that waits until the
 * kernel says that the threshold was crossed. The thread is one poll() loop
 * over the file and a pipe that ends the loop. The thread blocks all signals,
 * because signals are the host's. Without the file the call returns -ENOTSUP.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "base/error.h"
#include "os.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct fl__os_watch {
	pthread_t thread;
	int pressure_fd;
	int stop_fds[2]; /* a pipe; anything written: stop */
	void (*fn)(void *user);
	void *user;
};

static void *watch_run(void *arg)
{
	struct fl__os_watch *watch = arg;
	struct pollfd fds[] = {
		{ .fd = watch->pressure_fd, .events = POLLPRI },
		{ .fd = watch->stop_fds[0], .events = POLLIN },
	};

	for (;;) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return NULL;
		if (fds[1].revents)
			return NULL;
		/* The control group behind the file was removed. */
		if (fds[0].revents & (POLLERR | POLLNVAL))
			return NULL;
		if (fds[0].revents & POLLPRI)
			watch->fn(watch->user);
	}
}

static int watch_open(struct fl__os_watch *watch, const char *path,
		      uint32_t stall_us, uint32_t window_us)
{
	char trigger[64];
	int len, err;

	watch->pressure_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (watch->pressure_fd < 0)
		return errno == ENOENT ? -ENOTSUP :
		       errno == EACCES ? -EPERM :
					 fl__error_fold(-errno);
	len = snprintf(trigger, sizeof(trigger), "some %u %u", stall_us,
		       window_us);
	/* The kernel wants the NUL too. */
	if (write(watch->pressure_fd, trigger, (size_t)len + 1) == len + 1)
		return 0;
	err = errno == EOPNOTSUPP ? -ENOTSUP : fl__error_fold(-errno);
	close(watch->pressure_fd);
	return err;
}

static int watch_start(struct fl__os_watch *watch)
{
	sigset_t all, before;
	int err;

	if (pipe2(watch->stop_fds, O_CLOEXEC))
		return fl__error_fold(-errno);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&watch->thread, NULL, watch_run, watch);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		close(watch->stop_fds[0]);
		close(watch->stop_fds[1]);
	}
	return err == EAGAIN ? -ENOMEM : fl__error_fold(-err);
}

int fl__os_watch_pressure(const char *path, uint32_t stall_us,
			  uint32_t window_us, void (*fn)(void *user),
			  void *user, struct fl__os_watch **out)
{
	struct fl__os_watch *watch = calloc(1, sizeof(*watch));
	int err;

	if (!watch)
		return -ENOMEM;
	watch->fn = fn;
	watch->user = user;
	err = watch_open(watch, path, stall_us, window_us);
	if (err)
		goto err_free;
	err = watch_start(watch);
	if (err)
		goto err_close;
	*out = watch;
	return 0;
err_close:
	close(watch->pressure_fd);
err_free:
	free(watch);
	return err;
}

void fl__os_watch_stop(struct fl__os_watch *watch)
{
	if (!watch)
		return;
	/* Closing the pipe would not end the thread: a forked child may hold
	 * the pipe too. A byte always fits an empty pipe. */
	while (write(watch->stop_fds[1], "", 1) < 0 && errno == EINTR)
		;
	pthread_join(watch->thread, NULL);
	close(watch->stop_fds[1]);
	close(watch->stop_fds[0]);
	close(watch->pressure_fd);
	free(watch);
}

uint64_t fl__os_pinned_bytes(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[128];

	if (!status)
		return 0;
	while (fgets(line, sizeof(line), status)) {
		if (sscanf(line, "VmPin: %llu kB", &kib) == 1)
			break;
	}
	fclose(status);
	return kib * 1024;
}
