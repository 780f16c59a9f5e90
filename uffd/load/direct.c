/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* direct.c - another descriptor of a file; see direct.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "direct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_same(int a, int b)
{
	struct stat first, second;

	return !fstat(a, &first) && !fstat(b, &second) &&
	       first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

int fl__direct_open(int fd)
{
	char path[32];
	int direct;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	direct = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_DIRECT);
	if (direct < 0)
		return -1;
	/* What stands at that path need not be the kernel's. */
	if (is_same(fd, direct))
		return direct;
	close(direct);
	return -1;
}

bool fl__direct_reads(int direct_fd, uint64_t off)
{
	_Alignas(FL__DIRECT_BYTES) uint8_t block[FL__DIRECT_BYTES];

	/* Whatever else goes wrong, the loads will say. */
	return pread(direct_fd, block, sizeof(block), (off_t)off) >= 0 ||
	       errno != EINVAL;
}
