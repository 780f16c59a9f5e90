/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* uffd.c - opening and using a userfaultfd; see uffd.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define WP_FEATURES                                                            \
	(UFFD_FEATURE_PAGEFAULT_FLAG_WP | FL_UFFD_FEATURE_WP_HUGETLBFS_SHMEM | \
	 FL_UFFD_FEATURE_WP_UNPOPULATED | FL_UFFD_FEATURE_WP_ASYNC)

static int open_device(void)
{
	int device, fd, err;

	device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	if (device < 0)
		return -errno;
	fd = ioctl(device, FL_USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
	err = errno;
	close(device);
	return fd < 0 ? -err : fd;
}

int fl__uffd_open_plain(void)
{
	const int flags = O_CLOEXEC | O_NONBLOCK;
	long fd = open_device();

	/* Where descriptors ran out, the next way may be denied, and that would
	 * be taken for the answer. */
	if (fd >= 0 || fd == -EMFILE || fd == -ENFILE || fd == -ENOMEM)
		return (int)fd;
	fd = syscall(SYS_userfaultfd, flags);
	if (fd < 0)
		fd = syscall(SYS_userfaultfd, flags | FL_UFFD_USER_MODE_ONLY);
	return fd < 0 ? -errno : (int)fd;
}

static int open_features(uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	int fd = fl__uffd_open_plain(), err;

	if (fd < 0 || !fl__kernel_ioctl(fd, UFFDIO_API, &api))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int fl__uffd_open(void)
{
	return open_features(WP_FEATURES);
}

int fl__uffd_open_missing(bool with_wp, bool with_minor)
{
	return open_features(UFFD_FEATURE_MISSING_SHMEM |
			     (with_wp ? WP_FEATURES : 0) |
			     (with_minor ? FL_UFFD_FEATURE_MINOR_SHMEM : 0));
}

int fl__uffd_register(int fd, uint64_t start, uint64_t len, uint64_t modes)
{
	struct uffdio_register reg = {
		.range = { .start = start, .len = len },
		.mode = modes,
	};

	return fl__kernel_ioctl(fd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

int fl__uffd_register_wp(int fd, uint64_t start, uint64_t len)
{
	return fl__uffd_register(fd, start, len, FL__UFFD_WP);
}

int fl__uffd_copy(int fd, uint64_t to, const void *from, uint64_t len,
		  uint64_t *copied)
{
	struct uffdio_copy copy = {
		.dst = to,
		.src = (uintptr_t)from,
		.len = len,
		.mode = UFFDIO_COPY_MODE_DONTWAKE,
		.copy = 0,
	};
	int err = fl__kernel_ioctl(fd, UFFDIO_COPY, &copy) ? -errno : 0;

	*copied = copy.copy > 0 ? (uint64_t)copy.copy : 0;
	return err;
}

int fl__uffd_continue(int fd, uint64_t start, uint64_t len, bool with_wp,
		      uint64_t *mapped)
{
	struct fl__kernel_continue show = {
		.range = { .start = start, .len = len },
		.mode = FL_UFFDIO_CONTINUE_MODE_DONTWAKE |
			(with_wp ? FL_UFFDIO_CONTINUE_MODE_WP : 0),
	};
	int err = fl__kernel_ioctl(fd, FL_UFFDIO_CONTINUE, &show) ? -errno : 0;

	*mapped = show.mapped > 0 ? (uint64_t)show.mapped : 0;
	return err;
}

void fl__uffd_wake(int fd, uint64_t start, uint64_t len)
{
	struct uffdio_range range = { .start = start, .len = len };

	(void)fl__kernel_ioctl(fd, UFFDIO_WAKE, &range);
}

static int change_protection(int fd, uint64_t start, uint64_t len,
			     uint64_t mode)
{
	struct uffdio_writeprotect wp = {
		.range = { .start = start, .len = len },
		.mode = mode,
	};

	/* EAGAIN: the address space is changing; nothing was done. */
	while (fl__kernel_ioctl(fd, UFFDIO_WRITEPROTECT, &wp)) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return 0;
}

int fl__uffd_protect(int fd, uint64_t start, uint64_t len)
{
	return change_protection(fd, start, len, UFFDIO_WRITEPROTECT_MODE_WP);
}

int fl__uffd_unprotect(int fd, uint64_t start, uint64_t len)
{
	return change_protection(fd, start, len, 0);
}
