/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * compat.c - see compat.h; and the parts of the kit that ask the system: traps
 * by a vectored exception handler, and no children, /proc and attacks.
 */
#include "compat.h"

#include "../child.h"
#include "../procfs.h"
#include "../resources.h"
#include "../runner.h"
#include "../trap.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <windows.h>

void compat_lacks(const char *what)
{
	static char reason[100];

	snprintf(reason, sizeof(reason), "Windows has no %s", what);
	runner_skip(reason);
}

long sysconf(int name)
{
	SYSTEM_INFO info;

	(void)name;
	GetSystemInfo(&info);
	return (long)info.dwPageSize;
}

static void guess_name(char *path)
{
	static unsigned int nth;
	size_t len = strlen(path);

	snprintf(path + len - 6, 7, "%06x",
		 (unsigned int)(GetCurrentProcessId() << 8 ^ GetTickCount() ^
				nth++) &
			 0xffffff);
}

char *mkdtemp(char *path)
{
	for (unsigned int i = 0; i < 100; i++) {
		guess_name(path);
		if (CreateDirectoryA(path, NULL))
			return path;
	}
	return NULL;
}

int compat_unlink(const char *path)
{
	if (DeleteFileA(path))
		return 0;
	if (GetLastError() == ERROR_SHARING_VIOLATION)
		compat_lacks("names of open files that go");
	return -1;
}

int compat_mkstemp(char *path)
{
	HANDLE handle;

	guess_name(path);
	handle = CreateFileA(path, GENERIC_READ | GENERIC_WRITE,
			     FILE_SHARE_READ | FILE_SHARE_WRITE |
				     FILE_SHARE_DELETE,
			     NULL, CREATE_NEW, FILE_ATTRIBUTE_NORMAL, NULL);
	return handle == INVALID_HANDLE_VALUE ?
		       -1 :
		       _open_osfhandle((intptr_t)handle, _O_RDWR | _O_BINARY);
}

void *memmem(const void *bytes, size_t len, const void *part, size_t part_len)
{
	const char *at = bytes;

	for (; len >= part_len; at++, len--) {
		if (!memcmp(at, part, part_len))
			return (void *)(uintptr_t)at;
	}
	return NULL;
}

/* Files of tests are bytes, not lines. */
static void __attribute__((constructor)) open_as_bytes(void)
{
	_fmode = _O_BINARY;
}

ssize_t pread(int fd, void *bytes, size_t len, off_t off)
{
	OVERLAPPED at = { .Offset = (DWORD)off };
	DWORD done = 0;

	if (!ReadFile((HANDLE)_get_osfhandle(fd), bytes, (DWORD)len, &done,
		      &at) &&
	    GetLastError() != ERROR_HANDLE_EOF)
		return -1;
	return (ssize_t)done;
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t off)
{
	OVERLAPPED at = { .Offset = (DWORD)off };
	DWORD done = 0;

	return WriteFile((HANDLE)_get_osfhandle(fd), bytes, (DWORD)len, &done,
			 &at) ?
		       (ssize_t)done :
		       -1;
}

/* ------------------------------------------------------------------ mappings */

static DWORD protection(int prot)
{
	return prot & PROT_WRITE ? PAGE_READWRITE :
	       prot & PROT_READ	 ? PAGE_READONLY :
				   PAGE_NOACCESS;
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t off)
{
	void *map;

	(void)fd;
	(void)off;
	if (addr || !(flags & MAP_ANONYMOUS))
		compat_lacks("mapping of a file, or at a place of one's own");
	map = VirtualAlloc(NULL, len, MEM_RESERVE | MEM_COMMIT,
			   protection(prot));
	return map ? map : MAP_FAILED;
}

int munmap(void *addr, size_t len)
{
	(void)len;
	return VirtualFree(addr, 0, MEM_RELEASE) ? 0 : -1;
}

int mprotect(void *addr, size_t len, int prot)
{
	DWORD before;

	return VirtualProtect(addr, len, protection(prot), &before) ? 0 : -1;
}

int madvise(void *addr, size_t len, int advice)
{
	(void)addr;
	(void)len;
	(void)advice;
	compat_lacks("madvise()");
}

int mincore(void *addr, size_t len, unsigned char *there)
{
	(void)addr;
	(void)len;
	(void)there;
	compat_lacks("mincore()");
}

int memfd_create(const char *name, unsigned int flags)
{
	(void)name;
	(void)flags;
	compat_lacks("memory files");
}

int mlockall(int flags)
{
	(void)flags;
	compat_lacks("mlockall()");
}

int munlockall(void)
{
	return 0;
}

/* --------------------------------------------------------------------- traps */

struct jump {
	void *words[5];
	const void *addr;
};

/* One thread at a time, but for test_thread_read(). */
static __thread struct jump *volatile jump_of_thread;
static void (*catch_seen)(const void *addr);
static void (*threads_seen)(const void *addr);
static void *handler;

static void jump_away(void)
{
	struct jump *jump = jump_of_thread;

	jump_of_thread = NULL;
	__builtin_longjmp(jump->words, 1);
}

/* The thread goes on in jump_away(), on its own stack. */
static LONG WINAPI fault_seen(EXCEPTION_POINTERS *fault)
{
	const EXCEPTION_RECORD *record = fault->ExceptionRecord;

	if (!jump_of_thread ||
	    record->ExceptionCode != EXCEPTION_ACCESS_VIOLATION)
		return EXCEPTION_CONTINUE_SEARCH;
	jump_of_thread->addr = (const void *)record->ExceptionInformation[1];
	if (catch_seen)
		catch_seen(jump_of_thread->addr);
	if (threads_seen)
		threads_seen(jump_of_thread->addr);
	fault->ContextRecord->Rip = (DWORD64)(uintptr_t)jump_away;
	fault->ContextRecord->Rsp =
		((fault->ContextRecord->Rsp - 256) & ~(DWORD64)15) - 8;
	return EXCEPTION_CONTINUE_EXECUTION;
}

static bool caught(void (*fn)(void *arg), void *arg, struct jump *jump)
{
	if (!handler)
		handler = AddVectoredExceptionHandler(1, fault_seen);
	if (__builtin_setjmp(jump->words))
		return true;
	jump_of_thread = jump;
	fn(arg);
	jump_of_thread = NULL;
	return false;
}

struct test_trap test_catch_seen(void (*fn)(void *arg), void *arg,
				 void (*seen)(const void *addr))
{
	struct test_trap trap = { 0, NULL };
	struct jump jump = { .addr = NULL };

	catch_seen = seen;
	if (caught(fn, arg, &jump))
		trap = (struct test_trap){ SIGSEGV, jump.addr };
	catch_seen = NULL;
	return trap;
}

void test_handle_faults(void (*fn)(int signo, const void *addr))
{
	(void)fn;
	compat_lacks("fork()");
}

void test_threads_catch(void (*seen)(const void *addr))
{
	threads_seen = seen;
}

void test_threads_catch_end(void)
{
	threads_seen = NULL;
}

static void copy_byte(void *arg)
{
	const volatile uint8_t **at = arg;

	*(volatile uint8_t *)(uintptr_t)at[1] = *at[0];
}

bool test_thread_read(const void *addr, uint8_t *byte)
{
	const void *at[2] = { addr, byte };
	struct jump jump = { .addr = NULL };

	return !caught(copy_byte, at, &jump);
}

/* ---------------------------------------------------- what is not there at all */

void test_resources(struct test_resources *now)
{
	*now = (struct test_resources){ 0 };
}

void test_check_resources(const struct test_resources *before)
{
	(void)before;
}

pid_t test_spawn(int (*fn)(void *arg), void *arg, unsigned int timeout_s)
{
	(void)fn;
	(void)arg;
	(void)timeout_s;
	compat_lacks("fork()");
}

struct test_end test_fork(int (*fn)(void *arg), void *arg,
			  unsigned int timeout_s)
{
	test_spawn(fn, arg, timeout_s);
	return (struct test_end){ -1, 0 };
}

struct test_end test_wait(pid_t child)
{
	(void)child;
	return (struct test_end){ -1, 0 };
}

void test_kill(pid_t child)
{
	(void)child;
}

int test_run(const char *output, const char *const argv[])
{
	(void)output;
	(void)argv;
	compat_lacks("shell");
}

unsigned int procfs_count_fds(void)
{
	return 0;
}

unsigned int procfs_count_threads(void)
{
	return 0;
}

void procfs_each_mapping(bool (*fn)(const struct procfs_mapping *, void *arg),
			 void *arg)
{
	(void)fn;
	(void)arg;
}

struct procfs_footprint procfs_footprint(void)
{
	compat_lacks("/proc");
}

uint64_t procfs_bytes_without(const void *start, const void *end,
			      const char *flag)
{
	(void)start;
	(void)end;
	(void)flag;
	compat_lacks("/proc");
}

uint64_t procfs_file_bytes(int fd)
{
	(void)fd;
	compat_lacks("count of a file's blocks");
}

int procfs_open_memory(void)
{
	compat_lacks("/proc");
}

int procfs_reopen(int fd, int flags)
{
	(void)fd;
	(void)flags;
	return -1;
}

uint8_t *procfs_find_shared(const char *text, unsigned int idx, uint64_t *len)
{
	(void)text;
	(void)idx;
	(void)len;
	return NULL;
}

uint64_t procfs_status_kib(const char *field)
{
	(void)field;
	compat_lacks("/proc");
}

uint64_t procfs_frame(const void *addr)
{
	(void)addr;
	return 0;
}

struct procfs_resident procfs_resident(const void *start, const void *end)
{
	(void)start;
	(void)end;
	compat_lacks("/proc");
}

uint64_t procfs_dumped_bytes(const void *start, const void *end)
{
	(void)start;
	(void)end;
	return 0;
}

int procfs_find_fd(const char *text, unsigned int idx)
{
	(void)text;
	(void)idx;
	return -1;
}

long procfs_sysctl(const char *name)
{
	(void)name;
	return -1;
}
