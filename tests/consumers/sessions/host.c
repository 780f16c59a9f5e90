/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* host.c - see host.h. */
#define _GNU_SOURCE
#include "host.h"

#include "tests/kit/check.h"
#include "tests/kit/child.h"
#include "tests/kit/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A child ends by SIGALRM if the test forgets it. */
#define CHILD_S 200

struct started {
	const char *program, *argument;
	int in, out, log;
};

static int run_host(void *arg)
{
	const struct started *started = arg;

	if (dup2(started->in, STDIN_FILENO) < 0 ||
	    dup2(started->out, STDOUT_FILENO) < 0 ||
	    dup2(started->log, STDERR_FILENO) < 0)
		return 1;
	execl(started->program, started->program, started->argument, NULL);
	return 1;
}

void host_start(struct host *host, const char *store)
{
	struct started started = {
		.program = getenv("FAULTLINE_SESSIONS"),
		.argument = store,
	};
	int to[2], from[2];
	char log[4096];

	MUST(started.program != NULL);
	snprintf(log, sizeof(log), "%s.log", started.program);
	started.log =
		open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	MUST(started.log >= 0);
	MUST(!pipe2(to, O_CLOEXEC) && !pipe2(from, O_CLOEXEC));
	started.in = to[0];
	started.out = from[1];
	host->pid = test_spawn(run_host, &started, CHILD_S);
	close(to[0]);
	close(from[1]);
	close(started.log);
	host->to = to[1];
	host->from = from[0];
	host->fill = 0;
	/* A host that was killed reads nothing more. */
	MUST(!fcntl(host->to, F_SETFL, O_NONBLOCK));
	MUST(!fcntl(host->from, F_SETFL, O_NONBLOCK));
}

void host_send(struct host *host, const char *line)
{
	size_t length = strlen(line);

	MUST_EQ(write(host->to, line, length), length);
}

void host_wait(struct host *hosts, unsigned int count, uint64_t timeout_ns)
{
	struct pollfd fds[2];

	for (unsigned int i = 0; i < count; i++) {
		fds[i].fd = hosts[i].pid ? hosts[i].from : -1;
		fds[i].events = POLLIN;
	}
	poll(fds, count, (int)((timeout_ns + 999999) / 1000000));
}

bool host_line(struct host *host, char *line, size_t size)
{
	char *end = memchr(host->bytes, '\n', host->fill);
	size_t length;

	if (!end) {
		ssize_t got = read(host->from, host->bytes + host->fill,
				   sizeof(host->bytes) - host->fill);

		if (got <= 0)
			return false;
		host->fill += (size_t)got;
		end = memchr(host->bytes, '\n', host->fill);
		if (!end)
			return false;
	}
	length = (size_t)(end - host->bytes);
	MUST(length < size);
	memcpy(line, host->bytes, length);
	line[length] = 0;
	host->fill -= length + 1;
	memmove(host->bytes, end + 1, host->fill);
	return true;
}

void host_kill(struct host *host)
{
	test_kill(host->pid);
	host->pid = 0;
}

void host_stop(struct host *host)
{
	close(host->to);
	host->to = -1;
	CHECK_EQ(test_wait(host->pid).status, 0);
	host->pid = 0;
}

void host_close(struct host *host)
{
	if (host->to >= 0)
		close(host->to);
	close(host->from);
}

/* ------------------------------------------------------------------- server */

static int run_server(void *arg)
{
	const char *folder = arg;
	int log;

	/* Where the test dies, its server does. */
	prctl(PR_SET_PDEATHSIG, 9);
	log = open("/dev/null", O_WRONLY);
	if (chdir(folder) || log < 0 || dup2(log, STDOUT_FILENO) < 0)
		return 1;
	execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
	       "redis.sock", "--save", "", "--appendonly", "yes",
	       "--appendfsync", "always", NULL);
	return 1;
}

/* Does it answer? A server that still reads its files says LOADING. */
static bool server_answers(const char *folder)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char answer[5] = { 0 };
	bool does;
	int fd;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s/redis.sock",
		 folder);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(fd >= 0);
	does = !connect(fd, (struct sockaddr *)&address, sizeof(address)) &&
	       write(fd, "PING\r\n", 6) == 6 && read(fd, answer, 5) == 5 &&
	       !memcmp(answer, "+PONG", 5);
	close(fd);
	return does;
}

pid_t server_start(const char *folder)
{
	uint64_t limit_ns = test_now_ns() + 20000000000u;
	char arg[64];
	pid_t pid;

	snprintf(arg, sizeof(arg), "%s", folder);
	pid = test_spawn(run_server, arg, CHILD_S);
	while (!server_answers(folder)) {
		MUST(test_now_ns() < limit_ns);
		test_sleep_ms(2);
	}
	return pid;
}
