/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * inject.h - allocations and system calls that fail, one by one or all from one
 * on, and a count of what was allocated and not freed. One file of a program
 * includes this header.
 *
 * Calls are counted and failed by the linker's --wrap, so a program must be
 * linked with it for every name in the list WRAPPED below, together with the
 * library's objects (not the shared library). munmap() and close() are counted
 * but never fail: nothing could be given back.
 */
#ifndef FAIL_INJECT_H
#define FAIL_INJECT_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* WRAPPED: malloc calloc realloc posix_memalign aligned_alloc free mmap mmap64
 * munmap mprotect madvise ioctl memfd_create ftruncate ftruncate64 fcntl
 * fcntl64 open open64 openat openat64 fstat fstat64 fsync renameat pread
 * pread64 pwrite pwrite64 process_vm_readv process_vm_writev close syscall
 * pthread_mutex_init pthread_cond_init pthread_create getentropy eventfd */

static struct {
	bool is_armed; /* count, and fail when due */
	bool is_sticky; /* all from fail_at on, not that one alone */
	bool is_of_thread; /* only of threads with inject_is_here */
	bool lies; /* what is to be dropped stays */
	int instead; /* what system calls say in place of their usual error */
	uint64_t fail_at; /* 0: never */
	uint64_t calls; /* that could have failed, while armed */
	uint64_t failed;
	uint64_t allocations, system_calls;
	int64_t live_allocations;
	const char *first_failed;
} inject;

static __thread bool inject_is_here;

static bool is_due(const char *name)
{
	if (!inject.is_armed || (inject.is_of_thread && !inject_is_here))
		return false;
	inject.calls++;
	if (!inject.fail_at || inject.calls < inject.fail_at ||
	    (inject.calls > inject.fail_at && !inject.is_sticky))
		return false;
	if (!inject.failed)
		inject.first_failed = name;
	inject.failed++;
	return true;
}

static bool fail_allocation(const char *name)
{
	inject.allocations += inject.is_armed;
	return is_due(name);
}

static bool fail_call(const char *name, int err)
{
	inject.system_calls += inject.is_armed;
	if (!is_due(name))
		return false;
	errno = inject.instead ? inject.instead : err;
	return true;
}

static void *count_allocation(void *p)
{
	inject.live_allocations += p && inject.is_armed;
	return p;
}

/* ------------------------------------------------------------------ wrapped */

#define WRAP(result, name, ...)            \
	result __real_##name(__VA_ARGS__); \
	result __wrap_##name(__VA_ARGS__); \
	result __wrap_##name(__VA_ARGS__)

WRAP(void *, malloc, size_t size)
{
	if (fail_allocation("malloc"))
		return NULL;
	return count_allocation(__real_malloc(size));
}

WRAP(void *, calloc, size_t count, size_t size)
{
	if (fail_allocation("calloc"))
		return NULL;
	return count_allocation(__real_calloc(count, size));
}

WRAP(void *, realloc, void *p, size_t size)
{
	void *q;

	if (fail_allocation("realloc"))
		return NULL;
	q = __real_realloc(p, size);
	return p ? q : count_allocation(q);
}

WRAP(int, posix_memalign, void **p, size_t align, size_t size)
{
	int err;

	if (fail_allocation("posix_memalign"))
		return ENOMEM;
	err = __real_posix_memalign(p, align, size);
	if (!err)
		count_allocation(*p);
	return err;
}

WRAP(void *, aligned_alloc, size_t align, size_t size)
{
	if (fail_allocation("aligned_alloc"))
		return NULL;
	return count_allocation(__real_aligned_alloc(align, size));
}

WRAP(void, free, void *p)
{
	inject.live_allocations -= p && inject.is_armed;
	__real_free(p);
}

WRAP(void *, mmap, void *addr, size_t len, int prot, int flags, int fd,
     off_t off)
{
	if (fail_call("mmap", ENOMEM))
		return MAP_FAILED;
	return __real_mmap(addr, len, prot, flags, fd, off);
}

WRAP(void *, mmap64, void *addr, size_t len, int prot, int flags, int fd,
     off_t off)
{
	if (fail_call("mmap", ENOMEM))
		return MAP_FAILED;
	return __real_mmap64(addr, len, prot, flags, fd, off);
}

WRAP(int, munmap, void *addr, size_t len)
{
	inject.system_calls += inject.is_armed;
	return __real_munmap(addr, len);
}

WRAP(int, close, int fd)
{
	inject.system_calls += inject.is_armed;
	return __real_close(fd);
}

WRAP(int, mprotect, void *addr, size_t len, int prot)
{
	if (fail_call("mprotect", ENOMEM))
		return -1;
	return __real_mprotect(addr, len, prot);
}

WRAP(int, madvise, void *addr, size_t len, int advice)
{
	if (fail_call("madvise", ENOMEM))
		return -1;
	if (inject.lies && advice == MADV_DONTNEED)
		return 0;
	return __real_madvise(addr, len, advice);
}

WRAP(int, memfd_create, const char *name, unsigned int flags)
{
	if (fail_call("memfd_create", EMFILE))
		return -1;
	return __real_memfd_create(name, flags);
}

WRAP(int, eventfd, unsigned int count, int flags)
{
	return fail_call("eventfd", EMFILE) ? -1 : __real_eventfd(count, flags);
}

WRAP(int, ftruncate, int fd, off_t len)
{
	return fail_call("ftruncate", ENOSPC) ? -1 : __real_ftruncate(fd, len);
}

WRAP(int, ftruncate64, int fd, off_t len)
{
	return fail_call("ftruncate", ENOSPC) ? -1 :
						__real_ftruncate64(fd, len);
}

WRAP(ssize_t, pread, int fd, void *buf, size_t len, off_t off)
{
	return fail_call("pread", EIO) ? -1 : __real_pread(fd, buf, len, off);
}

WRAP(ssize_t, pread64, int fd, void *buf, size_t len, off_t off)
{
	return fail_call("pread", EIO) ? -1 : __real_pread64(fd, buf, len, off);
}

WRAP(ssize_t, pwrite, int fd, const void *buf, size_t len, off_t off)
{
	return fail_call("pwrite", ENOSPC) ? -1 :
					     __real_pwrite(fd, buf, len, off);
}

WRAP(ssize_t, pwrite64, int fd, const void *buf, size_t len, off_t off)
{
	return fail_call("pwrite", ENOSPC) ? -1 :
					     __real_pwrite64(fd, buf, len, off);
}

WRAP(int, fstat, int fd, struct stat *status)
{
	return fail_call("fstat", EIO) ? -1 : __real_fstat(fd, status);
}

WRAP(int, fstat64, int fd, struct stat64 *status)
{
	return fail_call("fstat", EIO) ? -1 : __real_fstat64(fd, status);
}

WRAP(int, fsync, int fd)
{
	return fail_call("fsync", ENOSPC) ? -1 : __real_fsync(fd);
}

WRAP(int, renameat, int from_fd, const char *from, int to_fd, const char *to)
{
	return fail_call("renameat", EACCES) ?
		       -1 :
		       __real_renameat(from_fd, from, to_fd, to);
}

WRAP(ssize_t, process_vm_readv, pid_t pid, const struct iovec *to,
     unsigned long to_count, const struct iovec *from, unsigned long from_count,
     unsigned long flags)
{
	return fail_call("process_vm_readv", EFAULT) ?
		       -1 :
		       __real_process_vm_readv(pid, to, to_count, from,
					       from_count, flags);
}

WRAP(ssize_t, process_vm_writev, pid_t pid, const struct iovec *from,
     unsigned long from_count, const struct iovec *to, unsigned long to_count,
     unsigned long flags)
{
	return fail_call("process_vm_writev", EFAULT) ?
		       -1 :
		       __real_process_vm_writev(pid, from, from_count, to,
						to_count, flags);
}

WRAP(int, pthread_mutex_init, pthread_mutex_t *mutex,
     const pthread_mutexattr_t *attr)
{
	if (is_due("pthread_mutex_init"))
		return ENOMEM;
	return __real_pthread_mutex_init(mutex, attr);
}

WRAP(int, pthread_cond_init, pthread_cond_t *cond,
     const pthread_condattr_t *attr)
{
	if (is_due("pthread_cond_init"))
		return EAGAIN;
	return __real_pthread_cond_init(cond, attr);
}

WRAP(int, pthread_create, pthread_t *thread, const pthread_attr_t *attr,
     void *(*fn)(void *), void *arg)
{
	if (is_due("pthread_create"))
		return EAGAIN;
	return __real_pthread_create(thread, attr, fn, arg);
}

WRAP(int, getentropy, void *buffer, size_t len)
{
	return fail_call("getentropy", EIO) ? -1 :
					      __real_getentropy(buffer, len);
}

/* The third argument, if any, is passed on as it came. */
#define WRAP_VARIADIC(name, err, first, first_arg, second, second_arg) \
	int __real_##name(first, second, ...);                         \
	int __wrap_##name(first, second, ...);                         \
	int __wrap_##name(first, second, ...)                          \
	{                                                              \
		va_list args;                                          \
		long arg;                                              \
                                                                       \
		va_start(args, second_arg);                            \
		arg = va_arg(args, long);                              \
		va_end(args);                                          \
		if (fail_call(#name, err))                             \
			return -1;                                     \
		return __real_##name(first_arg, second_arg, arg);      \
	}                                                              \
	int __wrap_##name(first, second, ...)

/* A C library without names of their own for long files. */
int __real_fcntl64(int fd, int cmd, ...) __attribute__((weak));

WRAP_VARIADIC(ioctl, EINVAL, int fd, fd, unsigned long request, request);
WRAP_VARIADIC(fcntl, EINVAL, int fd, fd, int cmd, cmd);
WRAP_VARIADIC(fcntl64, EINVAL, int fd, fd, int cmd, cmd);
WRAP_VARIADIC(open, EMFILE, const char *path, path, int flags, flags);
WRAP_VARIADIC(open64, EMFILE, const char *path, path, int flags, flags);

#define WRAP_OPENAT(name)                                            \
	int __real_##name(int at, const char *path, int flags, ...); \
	int __wrap_##name(int at, const char *path, int flags, ...); \
	int __wrap_##name(int at, const char *path, int flags, ...)  \
	{                                                            \
		va_list args;                                        \
		long mode;                                           \
                                                                     \
		va_start(args, flags);                               \
		mode = va_arg(args, long);                           \
		va_end(args);                                        \
		if (fail_call(#name, ENOSPC))                        \
			return -1;                                   \
		return __real_##name(at, path, flags, mode);         \
	}                                                            \
	int __wrap_##name(int at, const char *path, int flags, ...)

WRAP_OPENAT(openat);
WRAP_OPENAT(openat64);

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
	long arg[6];
	va_list args;

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		arg[i] = va_arg(args, long);
	va_end(args);
	/* The question whether the process was forked, where the system clears
	 * no word: such a question can give no error but the answer. */
	if (number != SYS_futex && fail_call("syscall", ENOSYS))
		return -1;
	return __real_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4],
			      arg[5]);
}

#endif
