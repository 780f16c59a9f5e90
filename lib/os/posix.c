/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * posix.c - the memory, processes and processors of os.h, over mmap and mprotect.
 *
 * Discarding is an mmap of fresh anonymous memory, which POSIX defines;
 * MADV_DONTNEED means different things on different systems. Where the system
 * has MADV_WIPEONFORK the fork guard costs a load, elsewhere a system call.
 *
 * Where headers show POSIX.1-2008 and MAP_ANON and no more, this file compiles
 * and keeps what os.h says: tests/hosts/posix.sh builds it so.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "os.h"
#include "base/error.h"

#include <sched.h>
#include <stdlib.h>
#include <fcntl.h>
#if defined(__linux__)
#include <sys/eventfd.h>
#endif
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

/* What the GNU C library adds to POSIX. */
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
#define HAS_GNU
#endif

#if defined(HAS_GNU) && defined(__has_builtin)
#if __GLIBC_PREREQ(2, 35) && __has_builtin(__builtin_thread_pointer)
#include <sys/rseq.h>
#define HAS_RSEQ
#endif
#endif

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

/* Every header that has the constant has mincore() and madvise(). */
#ifdef MADV_NORMAL
#define HAS_MADVISE
#endif

#define RESERVE_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

uint64_t fl__os_hpage_bytes(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The type of a resource differs from one C library to the next, so the caller
 * makes the call. */
static uint64_t limit_value(int failed, const struct rlimit *limit)
{
	return failed || limit->rlim_cur == RLIM_INFINITY ?
		       UINT64_MAX :
		       (uint64_t)limit->rlim_cur;
}

/* Under mlockall(MCL_FUTURE) no mapping may exceed the limit of locked memory,
 * and the system does not tell who asked for that: try. */
bool fl__os_is_locked_ahead(void)
{
	struct rlimit limit;
	uint64_t len = limit_value(getrlimit(RLIMIT_MEMLOCK, &limit), &limit);
	void *map;

	if (len > SIZE_MAX >> 2)
		return false;
	len = fl_round_down(len, fl__os_hpage_bytes()) + fl__os_hpage_bytes();
	map = mmap(NULL, (size_t)len, PROT_NONE, RESERVE_FLAGS, -1, 0);
	if (map == MAP_FAILED)
		return errno == EAGAIN;
	(void)munmap(map, (size_t)len);
	return false;
}

/* Linux: is every accessible byte charged, touched or not? */
bool fl__os_is_commit_strict(void)
{
	fl__os_no_cancel();
	int fd = open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
	char mode = '0';
	bool is_strict = fd >= 0 && read(fd, &mode, 1) == 1 && mode == '2';

	if (fd >= 0)
		close(fd);
	return is_strict;
}

/* Any of them may be the reason; a host rarely sets more than one. */
static const char *memory_remedy(void)
{
	struct rlimit data, space;
	bool has_data = limit_value(getrlimit(RLIMIT_DATA, &data), &data) !=
			UINT64_MAX;
	bool has_space = limit_value(getrlimit(RLIMIT_AS, &space), &space) !=
			 UINT64_MAX;

	if (fl__os_is_locked_ahead())
		return "raise `ulimit -l`, because mlockall() counts every mapping";
	if (has_data && has_space)
		return "raise `ulimit -d` or `ulimit -v`";
	if (has_data)
		return "raise `ulimit -d`";
	if (has_space)
		return "raise `ulimit -v`";
	if (fl__os_is_commit_strict())
		return "raise vm.overcommit_ratio, because vm.overcommit_memory 2 charges every accessible byte";
	return NULL;
}

/* The C library says EAGAIN also where it has no memory for a stack. */
const char *fl__os_thread_remedy(void)
{
	return memory_remedy() ?
		       "raise `ulimit -u`, the control group's pids.max, or `ulimit -v`, `ulimit -d` and `ulimit -l`" :
		       "raise `ulimit -u` or the control group's pids.max";
}

const char *fl__os_remedy(int err)
{
	switch (-err) {
	case EMFILE:
		return "raise `ulimit -n`";
	case ENFILE:
		return "raise the sysctl fs.file-max";
	case EFBIG:
		return "raise `ulimit -f`";
	case EAGAIN:
	case ENOMEM:
	case ENOSPC:
		return memory_remedy();
	default:
		return NULL;
	}
}

void *fl__os_alloc(size_t len)
{
	void *bytes;

	return posix_memalign(&bytes, 128, len) ? NULL : memset(bytes, 0, len);
}

void fl__os_free(void *bytes)
{
	free(bytes);
}

int fl__os_reserve(uint64_t len, uint64_t align_bytes, uint8_t **addr)
{
	uint64_t hpage = fl__os_hpage_bytes(), slack, head;
	uint8_t *map;

	slack = align_bytes > hpage ? align_bytes - hpage : 0;
	if (slack > FL__OS_RESERVE_MAX || len > FL__OS_RESERVE_MAX - slack)
		return -ENOMEM;
	map = mmap(NULL, (size_t)(len + slack), PROT_NONE, RESERVE_FLAGS, -1,
		   0);
	/* EINVAL: more than this process can have, as emulators and valgrind say
	 * it. Nothing else is wrong with these arguments. */
	if (map == MAP_FAILED)
		return errno == EINVAL ? -ENOMEM : fl__error_fold(-errno);
	head = -(uintptr_t)map % align_bytes;
	/* Unmapping the slack fails only when mappings run out. Then the slack
	 * merely stays reserved. */
	if (head)
		(void)munmap(map, (size_t)head);
	if (slack > head)
		(void)munmap(map + head + len, (size_t)(slack - head));
	*addr = map + head;
	return 0;
}

void fl__os_release(uint8_t *addr, uint64_t len)
{
	if (len)
		(void)munmap(addr, (size_t)len);
}

void fl__os_release_part(uint8_t *addr, uint64_t off, uint64_t len,
			 bool is_last)
{
	(void)is_last;
	fl__os_release(addr + off, len);
}

static int os_protect(uint8_t *addr, uint64_t len, int prot)
{
	if (len && mprotect(addr, (size_t)len, prot))
		return fl__error_fold(-errno);
	return 0;
}

int fl__os_allow(uint8_t *addr, uint64_t len)
{
	return os_protect(addr, len, PROT_READ | PROT_WRITE);
}

int fl__os_deny(uint8_t *addr, uint64_t len)
{
	return os_protect(addr, len, PROT_NONE);
}

int fl__os_mark_guard(uint8_t *addr, uint64_t len)
{
#ifdef __linux__
	return madvise(addr, (size_t)len, FL__OS_GUARD_INSTALL) ?
		       fl__error_fold(-errno) :
		       0;
#else
	(void)addr;
	(void)len;
	return -ENOTSUP;
#endif
}

static int os_remap(uint8_t *addr, uint64_t len, int prot)
{
	if (len && mmap(addr, (size_t)len, prot, RESERVE_FLAGS | MAP_FIXED, -1,
			0) == MAP_FAILED)
		return fl__error_fold(-errno);
	return 0;
}

int fl__os_discard(uint8_t *addr, uint64_t len)
{
	return os_remap(addr, len, PROT_READ | PROT_WRITE);
}

int fl__os_renew(uint8_t *addr, uint64_t len)
{
	return os_remap(addr, len, PROT_NONE);
}

#ifdef HAS_MADVISE
uint64_t fl__os_resident(const uint8_t *addr, uint64_t len)
{
	uint64_t hpage = fl__os_hpage_bytes(), resident = 0, step;
	unsigned char there[256];

	for (; len; addr += step, len -= step) {
		step = fl_min_u64(len, sizeof(there) * hpage);
		if (mincore((void *)(uintptr_t)addr, (size_t)step,
			    (void *)there))
			break;
		for (uint64_t i = 0; i < step / hpage; i++)
			resident += there[i] & 1 ? hpage : 0;
	}
	return resident;
}
#else
uint64_t fl__os_resident(const uint8_t *addr, uint64_t len)
{
	(void)addr;
	(void)len;
	return 0;
}
#endif

void fl__os_avoid_huge_pages(uint8_t *addr, uint64_t len)
{
#ifdef MADV_NOHUGEPAGE
	if (len)
		(void)madvise(addr, (size_t)len, MADV_NOHUGEPAGE);
#else
	(void)addr;
	(void)len;
#endif
}

void fl__os_dump(uint8_t *addr, uint64_t len, bool is_in)
{
#ifdef MADV_DONTDUMP
	if (len)
		(void)madvise(addr, (size_t)len,
			      is_in ? MADV_DODUMP : MADV_DONTDUMP);
#else
	(void)addr;
	(void)len;
	(void)is_in;
#endif
}

bool fl__os_heeds_advice(void)
{
#ifdef HAS_MADVISE
	size_t len = (size_t)fl__os_hpage_bytes();
	void *page = mmap(NULL, len, PROT_NONE, RESERVE_FLAGS, -1, 0);
	bool is_heeded;

	if (page == MAP_FAILED)
		return false;
	is_heeded = madvise(page, len, FL__OS_NO_ADVICE) != 0;
	(void)munmap(page, len);
	return is_heeded;
#else
	return false;
#endif
}

#ifdef __linux__
/* Have the system treat the word's page so that a child can be told. */
static bool guard_advise(struct fl__os_fork_guard *guard, void *page,
			 size_t len, bool can_wipe)
{
#ifdef MADV_WIPEONFORK
	guard->is_wiped = can_wipe && !madvise(page, len, MADV_WIPEONFORK);
#else
	(void)can_wipe;
#endif
	guard->expected = 1;
	if (!guard->is_wiped) {
		/* A child may map something else there, with other bytes. */
		if (madvise(page, len, MADV_DONTFORK) ||
		    fl__os_random(&guard->expected, sizeof(guard->expected)))
			return false;
	}
	guard->word = page;
	*guard->word = guard->expected;
	return true;
}

/* Wakes nobody and moves nobody: of this call only the comparison is wanted,
 * which answers where a load would be a signal. Any other error is that of a
 * filter, and tells nothing. */
static bool word_is_there(const struct fl__os_fork_guard *guard)
{
	if (!syscall(SYS_futex, guard->word, FUTEX_CMP_REQUEUE_PRIVATE, 0,
		     (void *)0, guard->word + 1, guard->expected))
		return true;
	return errno != EFAULT && errno != EAGAIN &&
	       (uint64_t)getpid() == guard->owner;
}
#else
static bool guard_advise(struct fl__os_fork_guard *guard, void *page,
			 size_t len, bool can_wipe)
{
	(void)guard;
	(void)page;
	(void)len;
	(void)can_wipe;
	return false;
}

static bool word_is_there(const struct fl__os_fork_guard *guard)
{
	return *guard->word == guard->expected;
}
#endif

int fl__os_fork_guard_init(struct fl__os_fork_guard *guard, bool can_wipe)
{
	size_t len = (size_t)fl__os_hpage_bytes();
	void *page = mmap(NULL, len, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	*guard = (struct fl__os_fork_guard){ .owner = (uint64_t)getpid() };
	if (page == MAP_FAILED)
		return fl__error_fold(-errno);
	if (!fl__os_heeds_advice() || !guard_advise(guard, page, len, can_wipe))
		munmap(page, len);
	return 0;
}

void fl__os_fork_guard_fini(struct fl__os_fork_guard *guard)
{
	/* In a child there may be nothing, or something of the child's. */
	if (guard->word && !fl__os_is_forked(guard))
		munmap((void *)(uintptr_t)guard->word,
		       (size_t)fl__os_hpage_bytes());
	guard->word = NULL;
}

bool fl__os_is_forked(const struct fl__os_fork_guard *guard)
{
	if (guard->is_wiped)
		return !*guard->word;
	if (guard->word)
		return !word_is_there(guard);
	return (uint64_t)getpid() != guard->owner;
}

#ifdef __linux__
int fl__os_random(void *bytes, size_t len)
{
	return getentropy(bytes, len) ? -EIO : 0;
}
#else
/* POSIX.1-2008 has no such call, and headers disagree where it is declared. The
 * file is on every system of the kind. */
int fl__os_random(void *bytes, size_t len)
{
	fl__os_no_cancel();
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC | O_NOCTTY);
	uint8_t *to = bytes;
	ssize_t n = 0;

	while (fd >= 0 && len) {
		n = read(fd, to, len);
		if (!n || (n < 0 && errno != EINTR))
			break;
		if (n > 0) {
			to += n;
			len -= (size_t)n;
		}
	}
	if (fd >= 0)
		close(fd);
	return len ? -EIO : 0;
}
#endif

const char *fl__os_getenv(const char *name)
{
#if defined(HAS_GNU) || defined(__FreeBSD__)
	return secure_getenv(name);
#else
	return getuid() == geteuid() && getgid() == getegid() ? getenv(name) :
								NULL;
#endif
}

#if defined(__linux__)

int fl__os_event_open(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);

	return fd < 0 ? -errno : fd;
}

/* Fails only beyond 2^64 - 2 events, where the descriptor is readable anyway. */
void fl__os_event_post(int fd, uint64_t count)
{
	fl__os_no_cancel();

	int saved = errno;

	if (write(fd, &count, sizeof(count)) < 0)
		errno = saved;
}

void fl__os_event_close(int fd)
{
	fl__os_no_cancel();

	close(fd);
}

#else

int fl__os_event_open(void)
{
	return -ENOTSUP;
}

void fl__os_event_post(int fd, uint64_t count)
{
	(void)fd;
	(void)count;
}

void fl__os_event_close(int fd)
{
	(void)fd;
}

#endif

uint32_t fl__os_cpu_count(void)
{
#ifdef _SC_NPROCESSORS_CONF
	long count = sysconf(_SC_NPROCESSORS_CONF);
#else
	long count = 1;
#endif

	return count > 0 ? (uint32_t)count : 1;
}

uint64_t fl__os_process(void)
{
	return (uint64_t)getpid();
}

uint32_t fl__os_cpu(void)
{
#ifdef HAS_GNU
	int cpu = -1;

#ifdef HAS_RSEQ
	/* Kept by the kernel beside the thread's own data: a third of what the
	 * call below costs. Negative: not registered. */
	cpu = (int)((const volatile struct rseq
			     *)(const void *)((char *)__builtin_thread_pointer() +
					      __rseq_offset))
		      ->cpu_id;
#endif
	if (cpu < 0)
		cpu = sched_getcpu();
	if (cpu >= 0)
		return (uint32_t)cpu;
#endif
	/* Threads differ in their stacks. */
	return (uint32_t)((uintptr_t)__builtin_frame_address(0) >> 20);
}

uint32_t fl__os_cpus(void)
{
#ifdef _SC_NPROCESSORS_ONLN
	long count = sysconf(_SC_NPROCESSORS_ONLN);
#else
	long count = 1;
#endif

	return count < 1 ? 1 : (uint32_t)count;
}

void fl__os_yield(void)
{
	sched_yield();
}
