/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* host.h - the example as a child, spoken to by lines; and a server for it. */
#ifndef SESSIONS_HOST_H
#define SESSIONS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct host {
	pid_t pid; /* 0: none runs */
	int to, from;
	size_t fill;
	char bytes[4096];
};

/* Starts the program on a store, as its argument names it. What it complains of
 * goes to a file beside the program. */
void host_start(struct host *host, const char *store);
void host_send(struct host *host, const char *line);
/* Waits up to so long until one of the hosts says something. */
void host_wait(struct host *hosts, unsigned int count, uint64_t timeout_ns);
/* The next whole line that is there, without its end; false: none. */
bool host_line(struct host *host, char *line, size_t size);
/* SIGKILL. What it said before can still be read. */
void host_kill(struct host *host);
/* End of its input: it ends by itself, with all that it was sent done. */
void host_stop(struct host *host);
/* Behind both. */
void host_close(struct host *host);

/* A Redis server that answers, with its files in a folder that it is started
 * in; its socket is FOLDER/redis.sock. */
pid_t server_start(const char *folder);

#endif
