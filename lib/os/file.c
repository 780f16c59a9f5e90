/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * file.c - the files of os.h, by POSIX calls.
 *
 * Paths are used once, to open a file or its folder. From then on descriptors
 * say which file and which folder is meant, whatever is renamed meanwhile.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "base/error.h"
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
/* Some C libraries have no statx(). */
#ifndef STATX_BASIC_STATS
#include <linux/stat.h>
#endif
#ifndef STATX_ATTR_VERITY
#define STATX_ATTR_VERITY 0x00100000
#endif
#endif

/* The most that one call reads or writes on Linux is less than 2 GiB. */
#define CALL_BYTES ((uint64_t)1 << 30)

int fl__os_file_error(int err)
{
	switch (-err) {
	case ENOENT:
	case ENOTDIR:
	case EISDIR:
	case EEXIST:
	case ELOOP:
	case ENAMETOOLONG:
	case EBADF:
	case ENXIO:
	case EINVAL:
		return -EINVAL;
	case EACCES:
	case EROFS:
	case EPERM:
		return -EPERM;
	case EDQUOT:
		return -ENOMEM;
	default:
		return fl__error_fold(err);
	}
}

int fl__os_file_look(int fd, uint64_t *length_bytes)
{
	struct stat status;

	if (fstat(fd, &status))
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	*length_bytes = (uint64_t)status.st_size;
	return 0;
}

#ifndef O_DIRECT
#define O_DIRECT 0
#endif
#ifndef O_PATH
#define O_PATH 0
#endif

int fl__os_file_lent(int fd, uint64_t *length_bytes)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if (((flags & O_ACCMODE) != O_RDONLY &&
	     (flags & O_ACCMODE) != O_RDWR) ||
	    flags & (O_DIRECT | O_PATH))
		return -EINVAL;
	return fl__os_file_look(fd, length_bytes);
}

#ifdef __linux__
bool fl__os_file_is_immutable(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct statx status;

	if (seals >= 0 && seals & F_SEAL_WRITE && seals & F_SEAL_SHRINK)
		return true;
	return !syscall(SYS_statx, fd, "", AT_EMPTY_PATH, 0, &status) &&
	       status.stx_attributes & STATX_ATTR_VERITY;
}
#else
bool fl__os_file_is_immutable(int fd)
{
	(void)fd;
	return false;
}
#endif

int fl__os_file_open(const char *path, int *out, uint64_t *length_bytes)
{
	fl__os_no_cancel();
	/* Opening a pipe would wait, a terminal would become ours. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int err;

	if (fd < 0)
		return -errno;
	err = fl__os_file_look(fd, length_bytes);
	if (err) {
		close(fd);
		return err;
	}
	*out = fd;
	return 0;
}

int fl__os_file_read(int fd, uint64_t off, void *dst, uint64_t len,
		     uint64_t *done)
{
	fl__os_no_cancel();

	*done = 0;
	while (*done < len) {
		ssize_t n = pread(fd, (uint8_t *)dst + *done,
				  (size_t)fl_min_u64(len - *done, CALL_BYTES),
				  (off_t)(off + *done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		*done += (uint64_t)n;
	}
	return 0;
}

int fl__os_file_dup(int fd, int *copy)
{
	*copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return *copy < 0 ? -errno : 0;
}

void fl__os_file_close(int fd)
{
	fl__os_no_cancel();

	close(fd);
}

#ifdef __linux__
typedef ssize_t vm_call(pid_t pid, const struct iovec *ours,
			unsigned long our_count, const struct iovec *theirs,
			unsigned long their_count, unsigned long flags);

/* The kernel reads or writes at theirs, and answers EFAULT where an access would
 * be a signal. */
static int vm_copy(vm_call *call, uint8_t *ours, uint8_t *theirs, uint64_t len)
{
	while (len) {
		struct iovec here = { ours, (size_t)len };
		struct iovec there = { theirs, (size_t)len };
		ssize_t n = call(getpid(), &here, 1, &there, 1, 0);

		if (n <= 0)
			return n && errno != EFAULT ? -ENOTSUP : -EFAULT;
		ours += n;
		theirs += n;
		len -= (uint64_t)n;
	}
	return 0;
}

int fl__os_peek(void *dst, const void *src, uint64_t len)
{
	return vm_copy(process_vm_readv, dst, (uint8_t *)(uintptr_t)src, len);
}

int fl__os_poke(void *dst, const void *src, uint64_t len)
{
	return vm_copy(process_vm_writev, (uint8_t *)(uintptr_t)src, dst, len);
}
#else
int fl__os_peek(void *dst, const void *src, uint64_t len)
{
	(void)dst;
	(void)src;
	return len ? -ENOTSUP : 0;
}

int fl__os_poke(void *dst, const void *src, uint64_t len)
{
	return fl__os_peek(dst, src, len);
}
#endif

static int file_sync(int fd)
{
	while (fsync(fd)) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* The part of a path behind its last slash. */
static const char *path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int folder_open(const char *path)
{
	size_t len = (size_t)(path_name(path) - path);
	char *folder = malloc(len + 2);
	int fd;

	if (!folder)
		return -ENOMEM;
	memcpy(folder, path, len);
	memcpy(folder + len, ".", 2);
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = fd < 0 ? -errno : fd;
	free(folder);
	return fd;
}

/* A rename takes the place of whatever has the name, a device too. */
static int check_replaceable(int folder_fd, const char *name)
{
	struct stat there;

	if (fstatat(folder_fd, name, &there, AT_SYMLINK_NOFOLLOW) ||
	    S_ISREG(there.st_mode) || S_ISLNK(there.st_mode))
		return 0;
	return S_ISDIR(there.st_mode) ? -EISDIR : -EEXIST;
}

/* The name is only a guess that nobody has taken; O_EXCL decides. */
static int temporary_open(struct fl__os_new_file *file)
{
	for (unsigned int i = 0; i < 100; i++) {
		int fd;

		snprintf(file->temporary, sizeof(file->temporary),
			 ".faultline-%lx-%llx.tmp", (unsigned long)getpid(),
			 (unsigned long long)fl__os_now_ns() + i);
		fd = openat(file->folder_fd, file->temporary,
			    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
			    0600);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST && errno != EINTR)
			return -errno;
	}
	return -EEXIST;
}

bool fl__os_file_may_reach(uint64_t length_bytes)
{
	struct rlimit limit;

	return length_bytes <= INT64_MAX && (getrlimit(RLIMIT_FSIZE, &limit) ||
					     limit.rlim_cur == RLIM_INFINITY ||
					     length_bytes <= limit.rlim_cur);
}

int fl__os_new_file_open(struct fl__os_new_file *file, const char *path,
			 uint64_t length_bytes)
{
	fl__os_no_cancel();
	int err;

	*file = (struct fl__os_new_file){ .path = path };
	if (!fl__os_file_may_reach(length_bytes))
		return -EFBIG;
	if (!*path_name(path))
		return *path ? -EISDIR : -ENOENT;
	file->folder_fd = folder_open(path);
	if (file->folder_fd < 0)
		return file->folder_fd;
	err = check_replaceable(file->folder_fd, path_name(path));
	file->fd = err ? err : temporary_open(file);
	if (file->fd < 0) {
		err = file->fd;
		close(file->folder_fd);
		return err;
	}
	if (!ftruncate(file->fd, (off_t)length_bytes))
		return 0;
	err = -errno;
	fl__os_new_file_abort(file);
	return err;
}

int fl__os_new_file_write(struct fl__os_new_file *file, uint64_t off,
			  const void *bytes, uint64_t len)
{
	fl__os_no_cancel();
	const uint8_t *from = bytes;

	while (len) {
		ssize_t n = pwrite(file->fd, from,
				   (size_t)fl_min_u64(len, CALL_BYTES),
				   (off_t)off);

		if (n < 0 && errno == EINTR)
			continue;
		/* Nothing written and no reason given would go on forever. */
		if (n <= 0)
			return n ? -errno : -EIO;
		from += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

int fl__os_new_file_commit(struct fl__os_new_file *file)
{
	fl__os_no_cancel();
	int err = file_sync(file->fd);

	if (!err && renameat(file->folder_fd, file->temporary, file->folder_fd,
			     path_name(file->path)))
		err = -errno;
	if (err) {
		fl__os_new_file_abort(file);
		return err;
	}
	file->is_there = true;
	err = file_sync(file->folder_fd);
	close(file->fd);
	close(file->folder_fd);
	/* Some file systems have no such call for folders. */
	return err == -EINVAL ? 0 : err;
}

void fl__os_new_file_abort(struct fl__os_new_file *file)
{
	fl__os_no_cancel();

	(void)unlinkat(file->folder_fd, file->temporary, 0);
	close(file->fd);
	close(file->folder_fd);
}
