/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * denied.c - runs a command under a profile of profile.h:
 * denied no-io_uring|no-userfaultfd COMMAND [ARG...]
 *
 * FAULTLINE_TEST_DENIED tells tests what is denied: test.c takes that away from no
 * rung then, so that the rung is had by the denial itself.
 *
 * For "make check-denied". Exits like the command; 64 after a wrong command line,
 * 99 where there is no filter.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "profile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	static const char no[] = "no-";
	int err;

	if (argc < 3 || strncmp(argv[1], no, strlen(no))) {
		fprintf(stderr,
			"usage: denied no-io_uring|no-userfaultfd COMMAND [ARG...]\n");
		return 64;
	}
	err = profile_enter(argv[1]);
	if (err) {
		fprintf(stderr, "denied: %s: no such filter: %s\n", argv[1],
			strerror(-err));
		return 99;
	}
	setenv("FAULTLINE_TEST_DENIED", argv[1] + strlen(no), 1);
	execvp(argv[2], argv + 2);
	fprintf(stderr, "denied: %s: %s\n", argv[2], strerror(errno));
	return 127;
}
