/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * nbdkit.h - a file behind NBD, on a socket, where each read takes so long:
 * nbdkit with its delay filter, for tests and benchmarks.
 *
 * The server ends with the process that started it, or by SIGTERM.
 */
#ifndef KIT_NBDKIT_H
#define KIT_NBDKIT_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Become the server. delay is as nbdkit takes it, "1ms"; comes back only where
 * there is no nbdkit. */
static inline void nbdkit_become(const char *socket_path, const char *file,
				 const char *delay)
{
	char delays[32];

	snprintf(delays, sizeof(delays), "rdelay=%s", delay);
	execlp("nbdkit", "nbdkit", "-f", "-r", "--exit-with-parent", "-U",
	       socket_path, "--filter=delay", "file", file, delays,
	       (char *)NULL);
}

/* The socket's name is there before anybody listens. A server to which nobody
 * listens would complain, so its first words are read. */
static inline bool nbdkit_listens(const char *socket_path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	size_t length = strlen(socket_path);
	char words[18];
	int fd, err;

	if (length >= sizeof(name.sun_path))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	memcpy(name.sun_path, socket_path, length + 1);
	do
		err = connect(fd, (const void *)&name, sizeof(name));
	while (err && errno == EINTR);
	if (!err && read(fd, words, sizeof(words)) < 0)
		err = -1;
	close(fd);
	return !err;
}

/* Start a server and wait until it listens. -1: there is none, and it said why
 * if it could. */
static inline pid_t nbdkit_start(const char *socket_path, const char *file,
				 const char *delay)
{
	pid_t pid = fork();

	if (!pid) {
		nbdkit_become(socket_path, file, delay);
		_exit(127);
	}
	while (pid > 0 && !nbdkit_listens(socket_path)) {
		if (waitpid(pid, NULL, WNOHANG))
			return -1;
		usleep(10000);
	}
	return pid;
}

#endif
