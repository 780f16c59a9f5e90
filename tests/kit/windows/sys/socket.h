/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* sys/socket.h - see ../compat.h. */
#ifndef TEST_SYS_SOCKET_H
#define TEST_SYS_SOCKET_H

#include "../compat.h"

#define AF_UNIX 1
#define SOCK_STREAM 1

static inline int socketpair(int domain, int type, int protocol, int ends[2])
{
	(void)domain;
	(void)type;
	(void)protocol;
	(void)ends;
	compat_lacks("pairs of sockets");
}

#endif
