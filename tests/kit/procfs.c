/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* procfs.c - see procfs.h. */
#include "procfs.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------ what there is */

static unsigned int count_entries(const char *path)
{
	struct dirent *entry;
	unsigned int n = 0;
	DIR *dir = opendir(path);

	if (!dir)
		return 0;
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

unsigned int procfs_count_fds(void)
{
	return count_entries("/proc/self/fd");
}

unsigned int procfs_count_threads(void)
{
	return count_entries("/proc/self/task");
}

void procfs_each_mapping(bool (*fn)(const struct procfs_mapping *, void *arg),
			 void *arg)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	bool goes_on = true;
	char line[512];

	while (maps && goes_on && fgets(line, sizeof(line), maps)) {
		struct procfs_mapping mapping = { 0 };

		if (sscanf(line,
			   "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %*s %255[^\n]",
			   &mapping.start, &mapping.end, mapping.perms,
			   mapping.name) >= 3)
			goes_on = fn(&mapping, arg);
	}
	if (maps)
		fclose(maps);
}

static bool add_mapping(const struct procfs_mapping *mapping, void *arg)
{
	struct procfs_footprint *now = arg;

	now->mappings++;
	now->address_bytes += mapping->end - mapping->start;
	return true;
}

struct procfs_footprint procfs_footprint(void)
{
	struct procfs_footprint now = { .fds = procfs_count_fds() };

	procfs_each_mapping(add_mapping, &now);
	return now;
}

struct search {
	const char *text;
	unsigned int idx;
	uint8_t *found;
	uint64_t len;
};

static bool look_at(const struct procfs_mapping *mapping, void *arg)
{
	struct search *search = arg;

	if (!strstr(mapping->name, search->text) || mapping->perms[3] != 's' ||
	    search->idx--)
		return true;
	search->found = (uint8_t *)(uintptr_t)mapping->start;
	search->len = mapping->end - mapping->start;
	return false;
}

uint8_t *procfs_find_shared(const char *text, unsigned int idx, uint64_t *len)
{
	struct search search = { .text = text, .idx = idx };

	procfs_each_mapping(look_at, &search);
	if (search.found)
		*len = search.len;
	return search.found;
}

/* The rest of the line of a status file that begins with the field and ':'. */
static bool status_field(const char *path, const char *field, char *value,
			 size_t size)
{
	FILE *file = fopen(path, "re");
	size_t len = strlen(field);
	bool is_found = false;
	char line[256];

	while (file && !is_found && fgets(line, sizeof(line), file)) {
		is_found = !strncmp(line, field, len) && line[len] == ':';
		if (is_found)
			snprintf(value, size, "%s", line + len + 1);
	}
	if (file)
		fclose(file);
	return is_found;
}

uint64_t procfs_status_kib(const char *field)
{
	char value[256];

	if (!status_field("/proc/self/status", field, value, sizeof(value)))
		return 0;
	return strtoull(value, NULL, 10);
}

/* -------------------------------------------------------------------- pages */

/* Lines of /proc/self/smaps, told of with the mapping that they belong to. */
struct smaps {
	FILE *file;
	uint64_t start, end; /* what is asked about */
	bool is_in;
	bool is_first; /* this line names the mapping */
	char line[1024];
};

static void smaps_open(struct smaps *smaps, const void *start, const void *end)
{
	*smaps = (struct smaps){ .file = fopen("/proc/self/smaps", "re"),
				 .start = (uintptr_t)start,
				 .end = (uintptr_t)end };
}

/* The next line of a mapping that touches the range. */
static bool smaps_next(struct smaps *smaps)
{
	uint64_t from, to;

	while (smaps->file &&
	       fgets(smaps->line, sizeof(smaps->line), smaps->file)) {
		smaps->is_first = sscanf(smaps->line,
					 "%" SCNx64 "-%" SCNx64 " ", &from,
					 &to) == 2;
		if (smaps->is_first)
			smaps->is_in = from < smaps->end && to > smaps->start;
		if (smaps->is_in)
			return true;
	}
	if (smaps->file)
		fclose(smaps->file);
	return false;
}

static void resident_add(struct procfs_resident *sum, const char *line)
{
	unsigned long long kib;

	if (sscanf(line, "Rss: %llu kB", &kib) == 1) {
		sum->shared_bytes += kib * 1024;
	} else if (sscanf(line, "Anonymous: %llu kB", &kib) == 1) {
		sum->private_bytes += kib * 1024;
		sum->shared_bytes -= kib * 1024;
	} else if (sscanf(line, "Swap: %llu kB", &kib) == 1) {
		sum->swapped_bytes += kib * 1024;
	}
}

struct procfs_resident procfs_resident(const void *start, const void *end)
{
	struct procfs_resident sum = { 0, 0, 0 };
	struct smaps smaps;

	smaps_open(&smaps, start, end);
	while (smaps_next(&smaps))
		resident_add(&sum, smaps.line);
	return sum;
}

bool procfs_is_registered(const void *start, const void *end, int *mappings)
{
	bool is_registered = false;
	struct smaps smaps;

	smaps_open(&smaps, start, end);
	while (smaps_next(&smaps)) {
		*mappings += smaps.is_first;
		/* VmFlags: um, uw, ui. */
		if (!strncmp(smaps.line, "VmFlags:", 8))
			is_registered |= strstr(smaps.line, " um") ||
					 strstr(smaps.line, " uw") ||
					 strstr(smaps.line, " ui");
	}
	return is_registered;
}

uint64_t procfs_dumped_bytes(const void *start, const void *end)
{
	return procfs_bytes_without(start, end, " dd");
}

uint64_t procfs_bytes_without(const void *start, const void *end,
			      const char *flag)
{
	uint64_t from = 0, to = 0, sum = 0;
	struct smaps smaps;

	smaps_open(&smaps, start, end);
	while (smaps_next(&smaps)) {
		if (smaps.is_first) {
			sscanf(smaps.line, "%" SCNx64 "-%" SCNx64, &from, &to);
			from = from > smaps.start ? from : smaps.start;
			to = to < smaps.end ? to : smaps.end;
		} else if (!strncmp(smaps.line, "VmFlags:", 8) &&
			   !strstr(smaps.line, flag)) {
			sum += to - from;
		}
	}
	return sum;
}

#define PAGEMAP_SWAPPED ((uint64_t)1 << 62)
#define PAGEMAP_FRAME (((uint64_t)1 << 55) - 1)

uint64_t procfs_swapped(const void *addr, uint64_t len)
{
	uint64_t hpage = (uint64_t)sysconf(_SC_PAGESIZE), count = 0;
	uint64_t at = (uintptr_t)addr / hpage, end = at + len / hpage;
	int fd = procfs_open_pagemap(getpid());
	uint64_t entries[512];

	while (fd >= 0 && at < end) {
		uint64_t n = end - at < 512 ? end - at : 512;
		ssize_t got = pread(fd, entries, n * 8, (off_t)(at * 8));

		if (got <= 0)
			break;
		for (ssize_t i = 0; i < got / 8; i++)
			count += !!(entries[i] & PAGEMAP_SWAPPED);
		at += (uint64_t)got / 8;
	}
	if (fd >= 0)
		close(fd);
	return count;
}

uint64_t procfs_frame(const void *addr)
{
	uint64_t entry = 0, hpage = (uint64_t)sysconf(_SC_PAGESIZE);
	int fd = procfs_open_pagemap(getpid());

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, 8, (off_t)((uintptr_t)addr / hpage * 8)) != 8)
		entry = 0;
	close(fd);
	return entry & PAGEMAP_FRAME;
}

/* -------------------------------------------------------------- descriptors */

int procfs_find_fd(const char *text, unsigned int idx)
{
	char path[300], target[300];
	struct dirent *entry;
	DIR *dir = opendir("/proc/self/fd");
	int fd = -1;

	while (dir && fd < 0 && (entry = readdir(dir))) {
		ssize_t len;

		snprintf(path, sizeof(path), "/proc/self/fd/%s", entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		if (len <= 0)
			continue;
		target[len] = '\0';
		if (strstr(target, text) && !idx--)
			fd = atoi(entry->d_name);
	}
	if (dir)
		closedir(dir);
	return fd;
}

uint64_t procfs_file_bytes(int fd)
{
	struct stat status;

	return fstat(fd, &status) ? 0 : (uint64_t)status.st_blocks * 512;
}

uint64_t procfs_cached(int fd, uint64_t off)
{
	uint64_t hpage = (uint64_t)sysconf(_SC_PAGESIZE), count = 0;
	unsigned char *resident = NULL;
	void *map = MAP_FAILED;
	struct stat status;
	size_t len = 0;

	if (!fstat(fd, &status) && (uint64_t)status.st_size > off) {
		len = (size_t)((uint64_t)status.st_size - off);
		map = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, (off_t)off);
		resident = calloc(len / hpage + 1, 1);
	}
	if (map != MAP_FAILED && resident && !mincore(map, len, resident)) {
		for (uint64_t i = 0; i < len / hpage + 1; i++)
			count += resident[i] & 1;
	}
	free(resident);
	if (map != MAP_FAILED)
		munmap(map, len);
	return count;
}

void procfs_drop_cached(int fd)
{
	(void)fsync(fd);
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

int procfs_reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

int procfs_open_memory(void)
{
	return open("/proc/self/mem", O_RDWR | O_CLOEXEC);
}

int procfs_open_pagemap(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/pagemap", (int)pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* ------------------------------------------------------------------ threads */

/* The kernel lists threads as they began; numbers come again. */
pid_t procfs_newest_thread(void)
{
	struct dirent *entry;
	DIR *dir = opendir("/proc/self/task");
	pid_t last = 0;

	while (dir && (entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		last = tid > 0 ? tid : last;
	}
	if (dir)
		closedir(dir);
	return last;
}

uint64_t procfs_blocked_signals(pid_t tid)
{
	char path[64], value[256];

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", (int)tid);
	if (!status_field(path, "SigBlk", value, sizeof(value)))
		return 0;
	return strtoull(value, NULL, 16);
}

/* Kernels before 5.9 say whether there are filters, and not how many. */
static long filters_of(const char *path)
{
	char value[256];

	if (status_field(path, "Seccomp_filters", value, sizeof(value)))
		return strtol(value, NULL, 10);
	return status_field(path, "Seccomp", value, sizeof(value)) &&
	       strtol(value, NULL, 10) == 2;
}

unsigned int procfs_count_filtered_threads(void)
{
	long inherited = filters_of("/proc/self/status");
	struct dirent *entry;
	DIR *dir = opendir("/proc/self/task");
	unsigned int count = 0;

	while (dir && (entry = readdir(dir))) {
		char path[300];

		snprintf(path, sizeof(path), "/proc/self/task/%s/status",
			 entry->d_name);
		count += filters_of(path) > inherited;
	}
	if (dir)
		closedir(dir);
	return count;
}

/* --------------------------------------------------------------------- host */

static void sysctl_path(char *path, size_t size, const char *name)
{
	snprintf(path, size, "/proc/sys/%s", name);
}

long procfs_sysctl(const char *name)
{
	char path[200];
	long value = -1;
	FILE *file;

	sysctl_path(path, sizeof(path), name);
	file = fopen(path, "re");
	if (file && fscanf(file, "%ld", &value) != 1)
		value = -1;
	if (file)
		fclose(file);
	return value;
}

bool procfs_sysctl_may_write(const char *name)
{
	char path[200];

	sysctl_path(path, sizeof(path), name);
	return !access(path, W_OK);
}

bool procfs_sysctl_write(const char *name, const char *text)
{
	char path[200];
	bool is_done;
	int fd;

	sysctl_path(path, sizeof(path), name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	is_done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return is_done;
}

bool procfs_mount(unsigned int idx, struct procfs_mount *mount)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	bool is_found = false;
	char line[1200];

	while (mounts && !is_found && fgets(line, sizeof(line), mounts))
		is_found = sscanf(line, "%*s %399s %39s %399s", mount->at,
				  mount->type, mount->options) == 3 &&
			   !idx--;
	if (mounts)
		fclose(mounts);
	return is_found;
}
