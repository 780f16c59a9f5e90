/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * watch.c - the part of os.h that tells of memory: pressure and pins.
 *
 * Takes a pressure file and a threshold; gives a thread that waits until the
 * kernel says that the threshold was crossed. The thread is one poll() loop
 * over the file and a pipe that ends the loop. The thread blocks all signals,
 * because signals are the host's. Without the file, and on systems that have no
 * such files, the call returns -ENOTSUP.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "base/error.h"
#include "os.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef __linux__
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define PROC_SUPER_MAGIC 0x9fa0
#define CGROUP2_SUPER_MAGIC 0x63677270

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

static const char no_psi[] =
	"the kernel needs CONFIG_PSI, and `psi=1` when it boots";

static int open_error(const char **why)
{
	int code = errno;

	switch (code) {
	case ENOENT:
		*why = "no such file: name a control group's memory.pressure, mount all of /proc, or boot with `psi=1`";
		return -ENOTSUP;
	case EOPNOTSUPP:
		*why = no_psi;
		return -ENOTSUP;
	case EISDIR:
	case ENOTDIR:
	case ELOOP:
		*why = "it is no pressure file of /proc or of a control group";
		return -EINVAL;
	default:
		*why = fl__os_remedy(-code);
		return fl__error_fold(-code);
	}
}

/* -EINVAL: no file of the kernel's. */
static int kernels_look(int fd, struct stat *status, const char **why)
{
	struct statfs system;

	if (fstat(fd, status) || fstatfs(fd, &system))
		return open_error(why);
	*why = "it is no pressure file of /proc or of a control group";
	return S_ISREG(status->st_mode) &&
			       (system.f_type == PROC_SUPER_MAGIC ||
				system.f_type == CGROUP2_SUPER_MAGIC) ?
		       0 :
		       -EINVAL;
}

/* Is that a pressure file? Only such a file may be written to: the words of a
 * trigger would be content of any other. The kernel's file systems have many
 * files that obey what is written, so both file system and content count. */
static int pressure_look(const char *path, struct stat *status,
			 const char **why)
{
	static const char first[] = "some avg10=";
	char text[sizeof(first)] = "";
	int fd, err;

	/* This opens nothing: not a pipe, not a device. */
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return open_error(why);
	err = kernels_look(fd, status, why);
	close(fd);
	if (err)
		return err;
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return open_error(why);
	if (read(fd, text, sizeof(first) - 1) < 0 && errno == EOPNOTSUPP)
		err = open_error(why);
	else if (strcmp(text, first))
		err = -EINVAL;
	close(fd);
	return err;
}
/* The path may lead elsewhere by now. */
static int check_same_file(int fd, const struct stat *looked_at,
			   const char **why)
{
	struct stat status;

	if (fstat(fd, &status))
		return open_error(why);
	return status.st_dev == looked_at->st_dev &&
			       status.st_ino == looked_at->st_ino ?
		       0 :
		       -EINVAL;
}

static int trigger_write(int fd, uint32_t stall_us, uint32_t window_us,
			 const char **why)
{
	char trigger[64];
	int len = snprintf(trigger, sizeof(trigger), "some %u %u", stall_us,
			   window_us);

	/* The kernel wants the NUL too. */
	if (write(fd, trigger, (size_t)len + 1) == len + 1)
		return 0;
	if (errno != EINVAL)
		return open_error(why);
	*why = "the window is 500,000 to 10,000,000 us and, without privilege, a multiple of 2,000,000";
	return -EINVAL;
}

static int watch_open(struct fl__os_watch *watch, const char *path,
		      uint32_t stall_us, uint32_t window_us, const char **why)
{
	struct stat looked_at;
	int err = pressure_look(path, &looked_at, why);

	if (err)
		return err;
	watch->pressure_fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (watch->pressure_fd < 0)
		return open_error(why);
	err = check_same_file(watch->pressure_fd, &looked_at, why);
	if (!err)
		err = trigger_write(watch->pressure_fd, stall_us, window_us,
				    why);
	if (err)
		close(watch->pressure_fd);
	return err;
}

static int watch_start(struct fl__os_watch *watch, const char **why)
{
	sigset_t all, before;
	int err;

	*why = NULL;
	if (pipe2(watch->stop_fds, O_CLOEXEC))
		return open_error(why);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&watch->thread, NULL, watch_run, watch);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		*why = fl__os_thread_remedy();
		close(watch->stop_fds[0]);
		close(watch->stop_fds[1]);
	}
	return fl__error_fold(-err);
}

int fl__os_watch_pressure(const char *path, uint32_t stall_us,
			  uint32_t window_us, void (*fn)(void *user),
			  void *user, struct fl__os_watch **out,
			  const char **why)
{
	fl__os_no_cancel();
	struct fl__os_watch *watch = calloc(1, sizeof(*watch));
	int err;

	*why = NULL;
	if (!watch)
		return -ENOMEM;
	watch->fn = fn;
	watch->user = user;
	err = watch_open(watch, path, stall_us, window_us, why);
	if (err)
		goto err_free;
	err = watch_start(watch, why);
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
	fl__os_no_cancel();

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
#else
int fl__os_watch_pressure(const char *path, uint32_t stall_us,
			  uint32_t window_us, void (*fn)(void *user),
			  void *user, struct fl__os_watch **watch,
			  const char **why)
{
	(void)path;
	(void)stall_us;
	(void)window_us;
	(void)fn;
	(void)user;
	(void)watch;
	*why = "only Linux has pressure files";
	return -ENOTSUP;
}

void fl__os_watch_stop(struct fl__os_watch *watch)
{
	(void)watch;
}
#endif

int fl__os_status_open(void)
{
	fl__os_no_cancel();
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* A line of the status, in KiB; or less, if the line or the file is not
 * there. The key begins with a newline. */
static uint64_t status_kib(int status_fd, const char *key, uint64_t less)
{
	fl__os_no_cancel();
	char text[4096];
	ssize_t len = status_fd < 0 ?
			      -1 :
			      pread(status_fd, text, sizeof(text) - 1, 0);
	const char *found;

	if (len <= 0)
		return less;
	text[len] = '\0';
	found = strstr(text, key);
	return found ? strtoull(found + strlen(key), NULL, 10) : less;
}

uint64_t fl__os_pinned_bytes(int status_fd)
{
	return status_kib(status_fd, "\nVmPin:", 0) * 1024;
}

bool fl__os_is_swapped(int status_fd)
{
	return status_kib(status_fd, "\nVmSwap:", 1) != 0;
}
