/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-map.c - the page map of a slot, by /proc/PID/pagemap.
 *
 * Where slots lie is published by the pool, and believed no further than an
 * address may be: of a wrong one the kernel tells what lies there, or nothing.
 * Reading holds the target's memory map for reading, 2 MiB at a time, so a map is
 * read only while it is on the screen.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "uffd-stat-more.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Documentation/admin-guide/mm/pagemap.rst */
#define PRESENT (UINT64_C(1) << 63)
#define SWAPPED (UINT64_C(1) << 62)
#define IS_FILE (UINT64_C(1) << 61)
#define WATCHED (UINT64_C(1) << 57)

static uint8_t state_of(uint64_t entry)
{
	if (entry & PRESENT)
		return entry & IS_FILE ? STAT_PAGE_SHARED :
		       entry & WATCHED ? STAT_PAGE_WATCHED :
					 STAT_PAGE_PRIVATE;
	/* A mark on a page that is not there looks like a swapped page. */
	return (entry & SWAPPED) && !(entry & WATCHED) ? STAT_PAGE_SWAPPED :
							 STAT_PAGE_NONE;
}

static size_t pages_read(int fd, uint64_t first, uint8_t *states, size_t count)
{
	uint64_t entries[512];
	size_t done = 0;

	while (done < count) {
		size_t part = count - done < 512 ? count - done : 512;
		ssize_t got = pread(fd, entries, part * sizeof(*entries),
				    (off_t)((first + done) * sizeof(*entries)));

		if (got < (ssize_t)sizeof(*entries))
			break;
		part = (size_t)got / sizeof(*entries);
		for (size_t i = 0; i < part; i++)
			states[done + i] = state_of(entries[i]);
		done += part;
	}
	return done;
}

size_t stat_map_read(int pid, const struct stat_sample *sample, uint64_t slot,
		     uint8_t *states, size_t count, const char **why)
{
	uint64_t hpage = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t at = stat_value(sample, "memories_at");
	uint64_t stride = stat_value(sample, "memory_stride_bytes");
	char path[64];
	int fd;

	*why = "this pool's slots have no fixed place";
	if (!at || !stride || at % hpage || at >> 57 || stride >> 48 ||
	    slot >= stat_value(sample, "memories_max") || slot >> 20)
		return 0;
	at += slot * stride;
	if (count > stride / hpage)
		count = (size_t)(stride / hpage);
	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	*why = errno == EACCES || errno == EPERM ?
		       "its page table may not be read" :
		       "it is gone";
	if (fd < 0)
		return 0;
	count = pages_read(fd, at / hpage, states, count);
	close(fd);
	return count;
}
