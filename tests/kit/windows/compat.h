/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * compat.h - what the portable tests take from POSIX, on Windows.
 *
 * Included before each test's source (tests/hosts/run.sh). Anonymous mappings,
 * descriptors and the environment are what they are elsewhere. A case that needs
 * what Windows has not (a child that is forked, limits of a process, mappings of
 * files) is skipped there, by name, when it asks for it.
 */
#ifndef TEST_COMPAT_H
#define TEST_COMPAT_H

#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

/* End the running case: skipped, because Windows lacks what. */
void compat_lacks(const char *what) __attribute__((noreturn));

#define O_CLOEXEC _O_NOINHERIT
#define O_DIRECTORY 0
#define O_NOCTTY 0
#define O_NOFOLLOW 0
#define O_NONBLOCK 0

#ifndef SIGALRM
#define SIGBUS 7
#define SIGKILL 9
#define SIGUSR1 10
#define SIGALRM 14
#define SIGXFSZ 25
#endif

#ifndef EDQUOT
#define EDQUOT 3122
#endif

#define malloc_usable_size _msize
#define fsync _commit

#define POSIX_FADV_DONTNEED 4
static inline int posix_fadvise(int fd, off_t off, off_t len, int advice)
{
	(void)fd;
	(void)off;
	(void)len;
	(void)advice;
	return 0;
}

/* Threads go where they like. */
#define CPU_SETSIZE 1
#define CPU_COUNT(set) ((set)->count)
#define CPU_ISSET(cpu, set) ((set)->count > (cpu))
#define CPU_ZERO(set) ((set)->count = 0)
#define CPU_SET(cpu, set) ((set)->count = (cpu) + 1)
typedef struct {
	uint32_t count;
} cpu_set_t;

static inline int sched_getaffinity(int pid, size_t size, cpu_set_t *set)
{
	(void)pid;
	(void)size;
	set->count = 1;
	return 0;
}

static inline int sched_setaffinity(int pid, size_t size, const cpu_set_t *set)
{
	(void)pid;
	(void)size;
	(void)set;
	return 0;
}

#define _SC_PAGESIZE 30
long sysconf(int name);

static inline unsigned int alarm(unsigned int seconds)
{
	(void)seconds;
	return 0;
}

static inline int getuid(void)
{
	return 0;
}

static inline int geteuid(void)
{
	return 0;
}

static inline int setenv(const char *name, const char *value, int is_replacing)
{
	return is_replacing || !getenv(name) ? _putenv_s(name, value) : 0;
}

static inline int unsetenv(const char *name)
{
	return _putenv_s(name, "");
}

static inline int compat_fork(void)
{
	compat_lacks("fork()");
}
#define fork compat_fork

#define SA_RESTART 1
#define SA_ONSTACK 2
struct sigaction {
	void (*sa_handler)(int signo);
	int sa_flags;
};

static inline int sigaction(int signo, const struct sigaction *action,
			    struct sigaction *before)
{
	(void)signo;
	(void)action;
	(void)before;
	compat_lacks("signals to a thread");
}

static inline int symlink(const char *to, const char *from)
{
	(void)to;
	(void)from;
	compat_lacks("symbolic links for everybody");
}
#define lstat stat

static inline int mkfifo(const char *path, int mode)
{
	(void)path;
	(void)mode;
	compat_lacks("pipes with a path");
}

static inline int pipe(int ends[2])
{
	return _pipe(ends, 1 << 20, _O_BINARY);
}

static inline int pipe2(int ends[2], int flags)
{
	(void)flags;
	return pipe(ends);
}

static inline int setuid(int uid)
{
	(void)uid;
	compat_lacks("user numbers");
}

static inline int setgid(int gid)
{
	return setuid(gid);
}

void *memmem(const void *bytes, size_t len, const void *part, size_t part_len);

/* Others may open, rename and delete the file meanwhile, as elsewhere. */
int compat_mkstemp(char *path);
#define mkstemp compat_mkstemp
int compat_unlink(const char *path);
#define unlink compat_unlink
char *mkdtemp(char *path);
ssize_t pread(int fd, void *bytes, size_t len, off_t off);
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t off);

#endif
