/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* poll.h - see compat.h. */
#ifndef TEST_POLL_H
#define TEST_POLL_H

#include "compat.h"

#define POLLIN 1

struct pollfd {
	int fd;
	short events, revents;
};

static inline int poll(struct pollfd *fds, unsigned int count, int timeout_ms)
{
	(void)fds;
	(void)count;
	(void)timeout_ms;
	compat_lacks("poll()");
}

#endif
