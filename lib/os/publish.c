/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * publish.c - memory that other processes may read; see os.h.
 *
 * A memory file has no name in any folder: it goes with its last user, also when
 * that user is killed. Sealed, it can be neither cut nor written through another
 * descriptor. Its pages are made in advance by a call, because a page that
 * cannot be made at the first write would be a signal.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef MFD_ALLOW_SEALING
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static int publish_open(const char *name)
{
	const unsigned int noexec = 0x0008u;
	const unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	int fd = memfd_create(name, flags | noexec);

	/* Kernels that do not know the flag refuse it. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(name, flags);
	return fd < 0 ? -errno : fd;
}

static int publish_fill(int fd, uint64_t len)
{
	int err;

	/* Past this limit the kernel would send SIGXFSZ, which ends the host. */
	if (!fl__os_file_may_reach(len))
		return -EFBIG;
	if (ftruncate(fd, (off_t)len))
		return -errno;
	do
		err = fallocate(fd, 0, 0, (off_t)len);
	while (err && errno == EINTR);
	return err ? -errno : 0;
}

/* The mapping that was made before the seal stays writable. */
static int publish_seal(int fd)
{
	const int seals = F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;

	if (!fcntl(fd, F_ADD_SEALS, seals | F_SEAL_FUTURE_WRITE))
		return 0;
	/* Before Linux 5.1. */
	return fcntl(fd, F_ADD_SEALS, seals) ? -errno : 0;
}

int fl__os_publish(const char *name, uint64_t len, uint8_t **bytes, int *fd)
{
	fl__os_no_cancel();
	void *map = MAP_FAILED;
	int err = 0;

	*fd = publish_open(name);
	if (*fd < 0)
		return *fd;
	err = publish_fill(*fd, len);
	if (!err) {
		map = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE,
			   MAP_SHARED, *fd, 0);
		err = map == MAP_FAILED ? -errno : publish_seal(*fd);
	}
	if (!err) {
		*bytes = map;
		return 0;
	}
	if (map != MAP_FAILED)
		(void)munmap(map, (size_t)len);
	close(*fd);
	return err;
}
#else
int fl__os_publish(const char *name, uint64_t len, uint8_t **bytes, int *fd)
{
	(void)name;
	(void)len;
	(void)bytes;
	(void)fd;
	return -ENOTSUP;
}
#endif
