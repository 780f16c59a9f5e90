/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* direct.c - another descriptor of a file; see direct.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "direct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_same(int a, int b)
{
	struct stat first, second;

	return !fstat(a, &first) && !fstat(b, &second) &&
	       first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

static bool reads(int direct_fd, uint32_t unit_bytes)
{
	_Alignas(FL__DIRECT_MAX_BYTES) uint8_t block[FL__DIRECT_MAX_BYTES];

	/* Whatever else goes wrong, the loads will say. */
	return pread(direct_fd, block, unit_bytes, (off_t)unit_bytes) >= 0 ||
	       errno != EINVAL;
}

/* What disks have, smallest first. 0: more. */
static uint32_t unit_of(int direct_fd)
{
	uint32_t unit = 512;

	while (unit <= FL__DIRECT_MAX_BYTES && !reads(direct_fd, unit))
		unit *= 8;
	return unit <= FL__DIRECT_MAX_BYTES ? unit : 0;
}

int fl__direct_open(int fd, uint32_t *unit_bytes)
{
	char path[32];
	int direct;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* What stands at that path need not be the kernel's, and is not waited for. */
	direct = open(path,
		      O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_DIRECT);
	if (direct < 0)
		return errno == EINVAL ? -ENOTSUP : -errno;
	if (!is_same(fd, direct)) {
		close(direct);
		return -ENOENT;
	}
	*unit_bytes = unit_of(direct);
	if (*unit_bytes)
		return direct;
	close(direct);
	return -ENOTSUP;
}
