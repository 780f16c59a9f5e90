/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-find.c - which processes have userfaultfds or statistics, and what
 * their pages say now.
 *
 * A page is found by its name among a process's descriptors, opened for reading
 * and read into a buffer here. It is never mapped: a page that its owner cuts
 * would end this program. What was found is kept from one look to the next, by
 * process number and start time; a process's descriptors are listed again when
 * their number changed, and every tenth time.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "uffd-stat.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_PAGE_BYTES ((uint64_t)8 << 20)
#define MAX_POOLS 64
#define LIST_AGAIN 10

struct known {
	int pid;
	unsigned long long started;
	uint64_t fd_count;
	unsigned int looks;
	bool is_seen;
	int pools[MAX_POOLS], uffds[MAX_POOLS];
	size_t pool_count, uffd_count;
};

struct stat_finder {
	int *pids;
	size_t pid_count;
	struct known *known;
	size_t known_count;
	uint8_t *page;
};

struct stat_finder *stat_finder_new(const int *pids, size_t count)
{
	struct stat_finder *finder = calloc(1, sizeof(*finder));

	if (!finder)
		return NULL;
	finder->page = malloc(MAX_PAGE_BYTES);
	finder->pids = calloc(count + 1, sizeof(*pids));
	if (!finder->page || !finder->pids) {
		stat_finder_free(finder);
		return NULL;
	}
	if (count)
		memcpy(finder->pids, pids, count * sizeof(*pids));
	finder->pid_count = count;
	return finder;
}

void stat_finder_free(struct stat_finder *finder)
{
	if (!finder)
		return;
	free(finder->known);
	free(finder->page);
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

static struct known *known_get(struct stat_finder *finder, int pid,
			       unsigned long long started)
{
	struct known *known = finder->known;

	for (size_t i = 0; i < finder->known_count; i++) {
		if (known[i].pid == pid && known[i].started == started)
			return &known[i];
	}
	known = realloc(known, (finder->known_count + 1) * sizeof(*known));
	if (!known)
		return NULL;
	finder->known = known;
	known += finder->known_count++;
	memset(known, 0, sizeof(*known));
	known->pid = pid;
	known->started = started;
	known->fd_count = UINT64_MAX;
	return known;
}

static void descriptors_list(struct known *known)
{
	char path[64], target[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", known->pid);
	known->pool_count = known->uffd_count = 0;
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, target,
					 sizeof(target) - 1);

		if (len <= 0)
			continue;
		target[len] = '\0';
		if (!strncmp(target, "/memfd:faultline-stats", 22) &&
		    known->pool_count < MAX_POOLS)
			known->pools[known->pool_count++] = atoi(entry->d_name);
		if (!strcmp(target, "anon_inode:[userfaultfd]") &&
		    known->uffd_count < MAX_POOLS)
			known->uffds[known->uffd_count++] = atoi(entry->d_name);
	}
	if (dir)
		closedir(dir);
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
	    known->looks++ % LIST_AGAIN == 0)
		descriptors_list(known);
	known->fd_count = (uint64_t)about.st_size;
}

static const char *page_read(struct stat_finder *finder, int pid, int fd_number,
			     struct stat_sample *sample)
{
	char path[64];
	size_t len = 0;
	struct stat about;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd_number);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return "gone";
	/* Only a file can be read by pread() without waiting. */
	if (fstat(fd, &about) || !S_ISREG(about.st_mode) ||
	    (uint64_t)about.st_size > MAX_PAGE_BYTES) {
		close(fd);
		return "not of this form";
	}
	while (len < (size_t)about.st_size) {
		ssize_t got = pread(fd, finder->page + len,
				    (size_t)about.st_size - len, (off_t)len);

		if (got <= 0)
			break;
		len += (size_t)got;
	}
	close(fd);
	return stat_page_parse(finder->page, len, sample);
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

static void pools_read(struct stat_finder *finder, const struct known *known,
		       struct stat_target *target)
{
	target->pools = calloc(known->pool_count + 1, sizeof(*target->pools));
	for (size_t i = 0; target->pools && i < known->pool_count; i++) {
		struct stat_pool *pool = &target->pools[target->pool_count];
		struct stat_sample *sample = malloc(sizeof(*sample));

		if (!sample)
			break;
		pool->why =
			page_read(finder, known->pid, known->pools[i], sample);
		/* A forked child has its parent's page. */
		if (!pool->why && sample->process != (uint64_t)known->pid)
			pool->why = "of another process";
		if (pool->why) {
			free(sample);
			sample = NULL;
		}
		pool->sample = sample;
		target->pool_count++;
	}
}

static void target_look(struct stat_finder *finder, int pid,
			struct stat_moment *moment)
{
	struct stat_target target = { .pid = 0 };
	unsigned long long started;
	struct stat_target *grown;
	struct known *known;

	if (!process_read(pid, &target, &started))
		return;
	known = known_get(finder, pid, started);
	if (!known)
		return;
	known->is_seen = true;
	descriptors_look(known);
	if (!known->pool_count && !known->uffd_count && !finder->pid_count)
		return;
	grown = realloc(moment->targets,
			(moment->target_count + 1) * sizeof(*grown));
	if (!grown)
		return;
	moment->targets = grown;
	waiters_read(known, &target.kernel);
	pools_read(finder, known, &target);
	grown[moment->target_count++] = target;
}

static void forget_gone(struct stat_finder *finder)
{
	size_t kept = 0;

	for (size_t i = 0; i < finder->known_count; i++) {
		if (!finder->known[i].is_seen)
			continue;
		finder->known[kept] = finder->known[i];
		finder->known[kept++].is_seen = false;
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
	for (size_t i = 0; moment && i < moment->target_count; i++) {
		struct stat_target *target = &moment->targets[i];

		for (size_t j = 0; j < target->pool_count; j++)
			free(target->pools[j].sample);
		free(target->pools);
	}
	if (moment)
		free(moment->targets);
	free(moment);
}

const struct stat_sample *stat_earlier(const struct stat_moment *before,
				       const struct stat_target *target,
				       const struct stat_sample *sample)
{
	for (size_t i = 0; before && i < before->target_count; i++) {
		const struct stat_target *old = &before->targets[i];

		for (size_t j = 0;
		     old->pid == target->pid && j < old->pool_count; j++) {
			const struct stat_sample *earlier =
				old->pools[j].sample;

			if (earlier && earlier->made_ns == sample->made_ns &&
			    earlier->serial == sample->serial)
				return earlier;
		}
	}
	return NULL;
}

/* --------------------------------------------------------------- recordings */

/* Plain structs of this build: a recording is read by the uffd-stat that made
 * it, or by one of the same form. */
struct record_head {
	char magic[8];
	uint32_t sample_bytes, target_count;
	uint64_t now_ns;
	double wall_s;
};

struct record_target {
	int32_t pid;
	uint32_t pool_count;
	char command[32];
	struct stat_kernel kernel;
};

bool stat_record(FILE *file, const struct stat_moment *moment)
{
	struct record_head head = { "UFFDST1", sizeof(struct stat_sample),
				    (uint32_t)moment->target_count,
				    moment->now_ns, moment->wall_s };
	bool is_good = fwrite(&head, sizeof(head), 1, file) == 1;

	for (size_t i = 0; i < moment->target_count && is_good; i++) {
		const struct stat_target *target = &moment->targets[i];
		struct record_target record;

		memset(&record, 0, sizeof(record));
		record.pid = target->pid;
		for (size_t j = 0; j < target->pool_count; j++)
			record.pool_count += target->pools[j].sample != NULL;
		memcpy(record.command, target->command, sizeof(record.command));
		record.kernel = target->kernel;
		is_good = fwrite(&record, sizeof(record), 1, file) == 1;
		for (size_t j = 0; j < target->pool_count && is_good; j++) {
			if (target->pools[j].sample)
				is_good = fwrite(target->pools[j].sample,
						 sizeof(struct stat_sample), 1,
						 file) == 1;
		}
	}
	return is_good && !fflush(file);
}

static bool text_is_clean(const char *text, size_t size)
{
	size_t len = strnlen(text, size);

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	}
	return len < size;
}

/* A recording is a file like any other. */
static bool sample_is_good(const struct stat_sample *sample)
{
	bool is_good =
		sample->row_count <= STAT_MAX_ROWS &&
		sample->times_count <= STAT_MAX_TIMES &&
		sample->bucket_bits <= 8 &&
		sample->bucket_count <= STAT_MAX_BUCKETS &&
		text_is_clean(sample->pool, sizeof(sample->pool)) &&
		text_is_clean(sample->library, sizeof(sample->library)) &&
		text_is_clean(sample->backend, sizeof(sample->backend)) &&
		text_is_clean(sample->rung, sizeof(sample->rung));

	for (size_t i = 0; is_good && i < sample->row_count; i++) {
		const struct stat_row *row = &sample->rows[i];

		is_good = text_is_clean(row->name, sizeof(row->name)) &&
			  text_is_clean(row->unit, sizeof(row->unit)) &&
			  text_is_clean(row->help, sizeof(row->help));
	}
	for (size_t i = 0; is_good && i < sample->times_count; i++)
		is_good = text_is_clean(sample->times[i].name,
					sizeof(sample->times[i].name)) &&
			  text_is_clean(sample->times[i].help,
					sizeof(sample->times[i].help));
	return is_good;
}

static bool target_replay(FILE *file, struct stat_target *target)
{
	struct record_target record;

	if (fread(&record, sizeof(record), 1, file) != 1 ||
	    record.pool_count > MAX_POOLS ||
	    !text_is_clean(record.command, sizeof(record.command)))
		return false;
	target->pid = record.pid;
	memcpy(target->command, record.command, sizeof(target->command));
	target->kernel = record.kernel;
	target->pools = calloc(record.pool_count + 1, sizeof(*target->pools));
	for (uint32_t i = 0; target->pools && i < record.pool_count; i++) {
		struct stat_sample *sample = malloc(sizeof(*sample));

		target->pools[target->pool_count++].sample = sample;
		if (!sample || fread(sample, sizeof(*sample), 1, file) != 1 ||
		    !sample_is_good(sample))
			return false;
	}
	return target->pools != NULL;
}

struct stat_moment *stat_replay(FILE *file, const char **why)
{
	struct record_head head;
	struct stat_moment *moment;
	size_t got = fread(&head, 1, sizeof(head), file);

	*why = NULL;
	if (!got)
		return NULL;
	*why = "not a recording of this uffd-stat, or cut";
	if (got != sizeof(head) || memcmp(head.magic, "UFFDST1", 8) != 0 ||
	    head.sample_bytes != sizeof(struct stat_sample) ||
	    head.target_count > 65536)
		return NULL;
	moment = calloc(1, sizeof(*moment));
	if (!moment)
		return NULL;
	moment->now_ns = head.now_ns;
	moment->wall_s = head.wall_s;
	moment->targets =
		calloc(head.target_count + 1, sizeof(*moment->targets));
	for (uint32_t i = 0; moment->targets && i < head.target_count; i++) {
		if (!target_replay(file,
				   &moment->targets[moment->target_count++])) {
			stat_moment_free(moment);
			return NULL;
		}
	}
	*why = NULL;
	return moment;
}
