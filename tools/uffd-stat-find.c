/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-find.c - which processes have userfaultfds or statistics, and what
 * their pages say now.
 *
 * What was found is kept from one look to the next. A process's descriptors are
 * listed again when their number changed, and every tenth time. Where a process is
 * one of ours by its page, the kernel is asked about it every tenth time, or when
 * the numbers of the kernel are wanted: a host may have thousands of such
 * processes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "uffd-stat-read.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LIST_AGAIN 10

struct known {
	int pid;
	unsigned long long started;
	uint64_t fd_count;
	unsigned int looks;
	bool is_seen;
	struct stat_target target; /* without pools */
	struct stat_page *pages;
	size_t page_count;
	int uffds[STAT_MAX_POOLS];
	size_t uffd_count;
};

struct stat_finder {
	int *pids;
	size_t pid_count;
	bool wants_kernel;
	struct known **known; /* by pid */
	size_t known_count, known_room;
	struct stat_reader reader;
};

struct stat_finder *stat_finder_new(const int *pids, size_t count,
				    bool wants_kernel)
{
	struct stat_finder *finder = calloc(1, sizeof(*finder));

	if (!finder)
		return NULL;
#ifdef __GLIBC__
	/* Samples come and go by the thousand: keep their memory. */
	(void)mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
	finder->reader.bytes = malloc(STAT_MAX_PAGE_BYTES);
	finder->pids = calloc(count + 1, sizeof(*pids));
	if (!finder->reader.bytes || !finder->pids) {
		stat_finder_free(finder);
		return NULL;
	}
	if (count)
		memcpy(finder->pids, pids, count * sizeof(*pids));
	finder->pid_count = count;
	finder->wants_kernel = wants_kernel;
	return finder;
}

static void pages_forget(struct stat_page *pages, size_t count)
{
	for (size_t i = 0; i < count; i++)
		stat_page_forget(&pages[i]);
	free(pages);
}

static void known_free(struct known *known)
{
	pages_forget(known->pages, known->page_count);
	free(known);
}

void stat_finder_free(struct stat_finder *finder)
{
	if (!finder)
		return;
	for (size_t i = 0; i < finder->known_count; i++)
		known_free(finder->known[i]);
	stat_schemas_forget(&finder->reader.schemas);
	free(finder->known);
	free(finder->reader.bytes);
	free(finder->pids);
	free(finder);
}

/* A small file of /proc, NUL-terminated; false: it cannot be read. */
static bool slurp(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return false;
	len = read(fd, text, size - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return len > 0;
}

/* The command, the faults and the start time. */
static bool process_read(int pid, struct stat_target *target,
			 unsigned long long *started)
{
	char path[64], text[1024], *open_at, *close_at;
	unsigned long long minor, major, pages;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!slurp(path, text, sizeof(text)))
		return false;
	open_at = strchr(text, '(');
	close_at = strrchr(text, ')');
	if (!open_at || !close_at || close_at < open_at ||
	    sscanf(close_at + 1,
		   " %*c %*d %*d %*d %*d %*d %*u %llu %*u %llu %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu %*u %llu",
		   &minor, &major, started, &pages) != 4)
		return false;
	*close_at = '\0';
	snprintf(target->command, sizeof(target->command), "%.31s",
		 open_at + 1);
	for (char *c = target->command; *c; c++) {
		if (!isprint((unsigned char)*c) || (unsigned char)*c > 0x7e)
			*c = '?';
	}
	target->pid = pid;
	target->kernel.minor_faults = minor;
	target->kernel.major_faults = major;
	target->kernel.resident_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

/* Where a process is in the list, or belongs. */
static size_t known_at(const struct stat_finder *finder, int pid)
{
	size_t low = 0, high = finder->known_count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (finder->known[mid]->pid < pid)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static struct known *known_add(struct stat_finder *finder, int pid)
{
	size_t at = known_at(finder, pid);
	struct known *known;

	if (at < finder->known_count && finder->known[at]->pid == pid)
		return finder->known[at];
	if (finder->known_count == finder->known_room) {
		size_t room = finder->known_room * 2 + 64;
		struct known **grown =
			realloc(finder->known, room * sizeof(*grown));

		if (!grown)
			return NULL;
		finder->known = grown;
		finder->known_room = room;
	}
	known = calloc(1, sizeof(*known));
	if (!known)
		return NULL;
	known->pid = pid;
	known->fd_count = UINT64_MAX;
	memmove(&finder->known[at + 1], &finder->known[at],
		(finder->known_count++ - at) * sizeof(known));
	finder->known[at] = known;
	return known;
}

/* -------------------------------------------------------------- descriptors */

static void page_note(struct stat_page *pages, size_t *count,
		      struct known *known, int fd)
{
	struct stat_page *page = &pages[*count];

	if (*count == STAT_MAX_POOLS)
		return;
	*page = (struct stat_page){ .fd = fd };
	for (size_t i = 0; i < known->page_count; i++) {
		if (known->pages[i].fd != fd)
			continue;
		*page = known->pages[i];
		known->pages[i].sample = NULL;
		known->pages[i].counts = NULL;
	}
	++*count;
}

static void descriptors_list(struct known *known)
{
	struct stat_page pages[STAT_MAX_POOLS], *kept;
	char path[64], target[64];
	struct dirent *entry;
	size_t count = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", known->pid);
	known->uffd_count = 0;
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target,
					 sizeof(target) - 1);

		if (len <= 0)
			continue;
		target[len] = '\0';
		if (!strncmp(target, "/memfd:faultline-stats", 22) ||
		    !strncmp(target, "/memfd:faultline-loads", 22))
			page_note(pages, &count, known, atoi(entry->d_name));
		if (!strcmp(target, "anon_inode:[userfaultfd]") &&
		    known->uffd_count < STAT_MAX_POOLS)
			known->uffds[known->uffd_count++] = atoi(entry->d_name);
	}
	if (dir)
		closedir(dir);
	pages_forget(known->pages, known->page_count);
	kept = calloc(count + 1, sizeof(*kept));
	known->pages = kept;
	known->page_count = kept ? count : 0;
	for (size_t i = 0; i < count; i++) {
		if (kept)
			kept[i] = pages[i];
		else
			stat_page_forget(&pages[i]);
	}
}

/* Since Linux 6.2 the folder's size is the number of descriptors. */
static void descriptors_look(struct known *known)
{
	char path[64];
	struct stat about;

	snprintf(path, sizeof(path), "/proc/%d/fd", known->pid);
	if (stat(path, &about))
		return;
	if (known->fd_count != (uint64_t)about.st_size ||
	    known->looks % LIST_AGAIN == 0)
		descriptors_list(known);
	known->fd_count = (uint64_t)about.st_size;
}

static void waiters_read(const struct known *known, struct stat_kernel *kernel)
{
	char path[64], text[512];

	kernel->uffds = (uint32_t)known->uffd_count;
	for (size_t i = 0; i < known->uffd_count; i++) {
		unsigned long long pending = 0, total = 0;

		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", known->pid,
			 known->uffds[i]);
		if (!slurp(path, text, sizeof(text)))
			continue;
		if (strstr(text, "pending:"))
			(void)sscanf(strstr(text, "pending:"), "pending: %llu",
				     &pending);
		if (strstr(text, "total:"))
			(void)sscanf(strstr(text, "total:"), "total: %llu",
				     &total);
		kernel->pending += pending;
		kernel->total += total;
	}
}

static void pools_read(struct stat_finder *finder, struct known *known,
		       struct stat_target *target)
{
	target->pools = calloc(known->page_count + 1, sizeof(*target->pools));
	for (size_t i = 0; target->pools && i < known->page_count; i++) {
		struct stat_pool *pool = &target->pools[target->pool_count++];

		pool->why = stat_page_read(&finder->reader, known->pid,
					   &known->pages[i]);
		pool->sample = pool->why ? NULL : known->pages[i].sample;
		if (pool->sample)
			pool->sample->refs++;
	}
}

static void pools_free(struct stat_target *target)
{
	for (size_t j = 0; j < target->pool_count; j++)
		stat_sample_put(target->pools[j].sample);
	free(target->pools);
}

/* ----------------------------------------------------------------- processes */

/* False: the process is gone, or another one has its number; then it is told
 * from its beginning. */
static bool process_look(struct known *known)
{
	unsigned long long started;
	struct stat_target target = { .pid = 0 };

	if (!process_read(known->pid, &target, &started))
		return false;
	if (known->started != started) {
		pages_forget(known->pages, known->page_count);
		known->pages = NULL;
		known->page_count = known->uffd_count = 0;
		known->fd_count = UINT64_MAX;
	}
	known->started = started;
	known->target = target;
	return true;
}

static bool has_gone(const struct stat_target *target)
{
	for (size_t i = 0; i < target->pool_count; i++) {
		if (target->pools[i].why &&
		    !strcmp(target->pools[i].why, "gone"))
			return true;
	}
	return false;
}

/* False: there is no such process, or it is none of those that are looked for. */
static bool target_make(struct stat_finder *finder, int pid,
			struct stat_target *target)
{
	struct known *known = known_add(finder, pid);
	bool is_asked;

	if (!known)
		return false;
	is_asked = finder->wants_kernel || !known->page_count ||
		   known->looks % LIST_AGAIN == 0;
	if (is_asked && !process_look(known))
		return false;
	descriptors_look(known);
	known->looks++;
	known->is_seen = true;
	if (!known->page_count && !known->uffd_count && !finder->pid_count)
		return false;
	*target = known->target;
	if (is_asked)
		waiters_read(known, &target->kernel);
	pools_read(finder, known, target);
	/* Not asked about, and its page is gone: is it still there? */
	if (!is_asked && has_gone(target) && !process_look(known)) {
		pools_free(target);
		return false;
	}
	return true;
}

static void target_look(struct stat_finder *finder, int pid,
			struct stat_moment *moment)
{
	struct stat_target target = { .pid = 0 };
	size_t count = moment->target_count;

	if (!target_make(finder, pid, &target))
		return;
	/* Room doubles whenever the count is a power of two. */
	if (!(count & (count - 1))) {
		struct stat_target *grown =
			realloc(moment->targets,
				(count ? 2 * count : 1) * sizeof(*grown));

		if (!grown) {
			pools_free(&target);
			return;
		}
		moment->targets = grown;
	}
	moment->targets[moment->target_count++] = target;
}

static void forget_gone(struct stat_finder *finder)
{
	size_t kept = 0;

	for (size_t i = 0; i < finder->known_count; i++) {
		if (!finder->known[i]->is_seen) {
			known_free(finder->known[i]);
			continue;
		}
		finder->known[i]->is_seen = false;
		finder->known[kept++] = finder->known[i];
	}
	finder->known_count = kept;
}

static int by_pid(const void *a, const void *b)
{
	const struct stat_target *one = a, *other = b;

	return (one->pid > other->pid) - (one->pid < other->pid);
}

struct stat_moment *stat_look(struct stat_finder *finder)
{
	struct stat_moment *moment = calloc(1, sizeof(*moment));
	struct timespec now;
	struct dirent *entry;
	DIR *dir = NULL;

	if (!moment)
		return NULL;
	clock_gettime(CLOCK_MONOTONIC, &now);
	moment->now_ns =
		(uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	clock_gettime(CLOCK_REALTIME, &now);
	moment->wall_s = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	for (size_t i = 0; i < finder->pid_count; i++)
		target_look(finder, finder->pids[i], moment);
	if (!finder->pid_count)
		dir = opendir("/proc");
	while (dir && (entry = readdir(dir))) {
		struct stat about;

		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    fstatat(dirfd(dir), entry->d_name, &about, 0) ||
		    (about.st_uid != geteuid() && geteuid()))
			continue;
		target_look(finder, atoi(entry->d_name), moment);
	}
	if (dir)
		closedir(dir);
	forget_gone(finder);
	if (moment->target_count)
		qsort(moment->targets, moment->target_count,
		      sizeof(*moment->targets), by_pid);
	return moment;
}

void stat_moment_free(struct stat_moment *moment)
{
	for (size_t i = 0; moment && i < moment->target_count; i++)
		pools_free(&moment->targets[i]);
	if (moment)
		free(moment->targets);
	free(moment);
}

const struct stat_sample *stat_earlier(const struct stat_moment *before,
				       const struct stat_target *target,
				       const struct stat_sample *sample)
{
	const struct stat_target *old =
		before && before->target_count ?
			bsearch(target, before->targets, before->target_count,
				sizeof(*target), by_pid) :
			NULL;

	for (size_t j = 0; old && j < old->pool_count; j++) {
		const struct stat_sample *earlier = old->pools[j].sample;

		if (earlier &&
		    earlier->about.made_ns == sample->about.made_ns &&
		    earlier->about.serial == sample->about.serial)
			return earlier;
	}
	return NULL;
}
