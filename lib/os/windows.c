/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * windows.c - the memory, processes and processors of os.h, by the Windows API.
 *
 * A reservation is one VirtualAlloc() of addresses. Memory is committed when it
 * is first allowed: from then on the system's commit limit counts it, touched or
 * not. Denying keeps the bytes, so it keeps the commitment; only discarding and
 * renewing give memory back. A page that is committed anew reads as zero.
 *
 * There is no fork, no limit of mappings, no pressure file, no memory file. Each
 * of their calls says so, as on any system without them.
 */
#include "os.h"
#include "base/error.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <windows.h>

#include <bcrypt.h>

static int memory_error(void)
{
	switch (GetLastError()) {
	case ERROR_ACCESS_DENIED:
		return -EPERM;
	case ERROR_NOT_ENOUGH_MEMORY:
	case ERROR_OUTOFMEMORY:
	case ERROR_COMMITMENT_LIMIT:
	case ERROR_WORKING_SET_QUOTA:
	case ERROR_INVALID_ADDRESS: /* no addresses left, or taken meanwhile */
	case ERROR_INVALID_PARAMETER: /* more than there are */
		return -ENOMEM;
	default:
		return -EIO;
	}
}

uint64_t fl__os_hpage_bytes(void)
{
	SYSTEM_INFO info;

	GetSystemInfo(&info);
	return info.dwPageSize;
}

/* Reservations begin at multiples of this. */
static uint64_t granule_bytes(void)
{
	SYSTEM_INFO info;

	GetSystemInfo(&info);
	return info.dwAllocationGranularity;
}

const char *fl__os_remedy(int err)
{
	MEMORYSTATUSEX status = { .dwLength = sizeof(status) };

	if (err != -ENOMEM || !GlobalMemoryStatusEx(&status))
		return NULL;
	return status.ullAvailPageFile < status.ullTotalPageFile / 16 ?
		       "enlarge the paging file, because Windows charges every accessible byte" :
		       NULL;
}

bool fl__os_is_locked_ahead(void)
{
	return false;
}

/* Every committed byte is charged. Accessible pools commit what is accessible. */
bool fl__os_is_commit_strict(void)
{
	return true;
}

void fl__os_limits(const struct fl__os_range *apart, size_t apart_count,
		   struct fl__os_limits *limits)
{
	MEMORYSTATUSEX status = { .dwLength = sizeof(status) };

	(void)apart;
	(void)apart_count;
	*limits = FL__OS_NO_LIMITS;
	if (!GlobalMemoryStatusEx(&status))
		return;
	limits->hole_bytes =
		fl_min_u64(status.ullAvailVirtual, FL__OS_RESERVE_MAX);
	limits->space_max = status.ullTotalVirtual;
	limits->space = status.ullTotalVirtual - status.ullAvailVirtual;
	limits->commit_max = status.ullTotalPageFile;
	limits->commit = status.ullTotalPageFile - status.ullAvailPageFile;
	limits->memory_max = status.ullTotalPhys;
	limits->memory = status.ullTotalPhys - status.ullAvailPhys;
}

void *fl__os_alloc(size_t len)
{
	void *bytes = _aligned_malloc(len, 128);

	return bytes ? memset(bytes, 0, len) : NULL;
}

void fl__os_free(void *bytes)
{
	_aligned_free(bytes);
}

static uint8_t *reserve_at(uint8_t *addr, uint64_t len)
{
	return VirtualAlloc(addr, (SIZE_T)len, MEM_RESERVE, PAGE_NOACCESS);
}

/* A reservation cannot be cut, so the place is found by a larger one first. A
 * thread may take the place in between. */
static uint8_t *reserve_aligned(uint64_t len, uint64_t align_bytes)
{
	for (unsigned int i = 0; i < 16; i++) {
		uint8_t *found = reserve_at(NULL, len + align_bytes), *map;

		if (!found)
			return NULL;
		VirtualFree(found, 0, MEM_RELEASE);
		map = reserve_at(found + -(uintptr_t)found % align_bytes, len);
		if (map)
			return map;
	}
	return NULL;
}

int fl__os_reserve(uint64_t len, uint64_t align_bytes, uint8_t **addr)
{
	if (len > FL__OS_RESERVE_MAX || align_bytes > (SIZE_MAX >> 2))
		return -ENOMEM;
	*addr = align_bytes <= granule_bytes() ?
			reserve_at(NULL, len) :
			reserve_aligned(len, align_bytes);
	return *addr ? 0 : memory_error();
}

void fl__os_release(uint8_t *addr, uint64_t len)
{
	if (len)
		VirtualFree(addr, 0, MEM_RELEASE);
}

void fl__os_release_part(uint8_t *addr, uint64_t off, uint64_t len,
			 bool is_last)
{
	if (is_last)
		VirtualFree(addr, 0, MEM_RELEASE);
	else if (len)
		VirtualFree(addr + off, (SIZE_T)len, MEM_DECOMMIT);
}

int fl__os_allow(uint8_t *addr, uint64_t len)
{
	DWORD before;

	if (!len)
		return 0;
	/* The first call leaves pages as they are that are committed. */
	return VirtualAlloc(addr, (SIZE_T)len, MEM_COMMIT, PAGE_READWRITE) &&
			       VirtualProtect(addr, (SIZE_T)len, PAGE_READWRITE,
					      &before) ?
		       0 :
		       memory_error();
}

int fl__os_deny(uint8_t *addr, uint64_t len)
{
	MEMORY_BASIC_INFORMATION info;
	uint8_t *end = addr + len;
	DWORD before;

	for (; addr < end;
	     addr = (uint8_t *)info.BaseAddress + info.RegionSize) {
		uint64_t step;

		if (!VirtualQuery(addr, &info, sizeof(info)))
			return memory_error();
		step = fl_min_u64((uint64_t)(end - addr),
				  (uint64_t)((uint8_t *)info.BaseAddress +
					     info.RegionSize - addr));
		/* What is only reserved is inaccessible. */
		if (info.State == MEM_COMMIT &&
		    !VirtualProtect(addr, (SIZE_T)step, PAGE_NOACCESS, &before))
			return memory_error();
	}
	return 0;
}

int fl__os_mark_guard(uint8_t *addr, uint64_t len)
{
	(void)addr;
	(void)len;
	return -ENOTSUP;
}

int fl__os_renew(uint8_t *addr, uint64_t len)
{
	return !len || VirtualFree(addr, (SIZE_T)len, MEM_DECOMMIT) ?
		       0 :
		       memory_error();
}

int fl__os_discard(uint8_t *addr, uint64_t len)
{
	int err = fl__os_renew(addr, len);

	return err ? err : fl__os_allow(addr, len);
}

/* A page may be in memory and not in the working set of this process, which is all
 * that the system tells. */
uint64_t fl__os_resident(const uint8_t *addr, uint64_t len)
{
	(void)addr;
	(void)len;
	return 0;
}

/* Large pages come only to who asks for them. */
void fl__os_avoid_huge_pages(uint8_t *addr, uint64_t len)
{
	(void)addr;
	(void)len;
}

/* The program that writes a dump decides. */
void fl__os_dump(uint8_t *addr, uint64_t len, bool is_in)
{
	(void)addr;
	(void)len;
	(void)is_in;
}

bool fl__os_heeds_advice(void)
{
	return false;
}

int fl__os_fork_guard_init(struct fl__os_fork_guard *guard, bool can_wipe)
{
	(void)can_wipe;
	*guard = (struct fl__os_fork_guard){ .owner = fl__os_process() };
	return 0;
}

void fl__os_fork_guard_fini(struct fl__os_fork_guard *guard)
{
	(void)guard;
}

bool fl__os_is_forked(const struct fl__os_fork_guard *guard)
{
	(void)guard;
	return false;
}

int fl__os_watch_pressure(const char *path, uint32_t stall_us,
			  uint32_t window_us, void (*fn)(void *user),
			  void *user, struct fl__os_watch **watch,
			  const char **why)
{
	(void)path;
	(void)stall_us;
	(void)window_us;
	(void)fn;
	(void)user;
	(void)watch;
	*why = "only Linux has pressure files";
	return -ENOTSUP;
}

void fl__os_watch_stop(struct fl__os_watch *watch)
{
	(void)watch;
}

int fl__os_publish(const char *name, uint64_t len, uint8_t **bytes, int *fd)
{
	(void)name;
	(void)len;
	(void)bytes;
	(void)fd;
	return -ENOTSUP;
}

int fl__os_status_open(void)
{
	return -ENOTSUP;
}

uint64_t fl__os_pinned_bytes(int status_fd)
{
	(void)status_fd;
	return 0;
}

bool fl__os_is_swapped(int status_fd)
{
	(void)status_fd;
	return true;
}

int fl__os_random(void *bytes, size_t len)
{
	return BCryptGenRandom(NULL, bytes, (ULONG)len,
			       BCRYPT_USE_SYSTEM_PREFERRED_RNG) ?
		       -EIO :
		       0;
}

const char *fl__os_getenv(const char *name)
{
	return getenv(name);
}

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

uint32_t fl__os_cpu_count(void)
{
	DWORD count = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);

	return count ? (uint32_t)count : 1;
}

uint32_t fl__os_cpus(void)
{
	return fl__os_cpu_count();
}

uint64_t fl__os_process(void)
{
	return GetCurrentProcessId();
}

uint32_t fl__os_cpu(void)
{
	return GetCurrentProcessorNumber();
}

void fl__os_yield(void)
{
	SwitchToThread();
}
