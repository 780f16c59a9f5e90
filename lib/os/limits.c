/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * limits.c - what this process may have, and what it has.
 *
 * Takes ranges of addresses that the caller counts for itself; gives numbers for
 * lib/pool/fit.c to reckon with. Reads /proc and the control groups' files by
 * read() into a buffer of its own: the answer about memory needs no memory. What
 * cannot be read is "not limited": a host that hides /proc has its limits all the
 * same, and a pool then meets them when its slots are used.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include "os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* The kernel's own default, where the sysctl is not shown. */
#define DEFAULT_MAPPINGS 65530

/* Below this no process maps anything unless it asks for it by address. */
#define FIRST_ADDRESS 65536

/* Lines of a file. A line that does not fit is cut. */
struct lines {
	int fd;
	size_t at, have;
	char bytes[4096];
	char line[512];
};

static bool lines_open(struct lines *lines, const char *path)
{
	lines->at = lines->have = 0;
	lines->fd = open(path, O_RDONLY | O_CLOEXEC);
	return lines->fd >= 0;
}

static void lines_close(struct lines *lines)
{
	if (lines->fd >= 0)
		close(lines->fd);
}

static bool lines_fill(struct lines *lines)
{
	ssize_t got;

	do
		got = read(lines->fd, lines->bytes, sizeof(lines->bytes));
	while (got < 0 && errno == EINTR);
	lines->at = 0;
	lines->have = got > 0 ? (size_t)got : 0;
	return got > 0;
}

static bool lines_next(struct lines *lines)
{
	size_t len = 0;
	char c = '\0';

	while (lines->at < lines->have || lines_fill(lines)) {
		c = lines->bytes[lines->at++];
		if (c == '\n')
			break;
		if (len + 1 < sizeof(lines->line))
			lines->line[len++] = c;
	}
	lines->line[len] = '\0';
	return len || c == '\n';
}

/* The number at the start of a text, after blanks; other if there is none. */
static uint64_t number_of(const char *text, uint64_t other)
{
	unsigned long long value;
	char *end;

	text += strspn(text, " \t");
	if (*text < '0' || *text > '9')
		return other;
	value = strtoull(text, &end, 10);
	return value;
}

/* The number in a file of one line; other if there is no file, or a word. */
static uint64_t file_number(const char *path, uint64_t other)
{
	struct lines lines;
	uint64_t value = other;

	if (lines_open(&lines, path) && lines_next(&lines))
		value = number_of(lines.line, other);
	lines_close(&lines);
	return value;
}

/* A field of a file of lines "name: number kB", or "name number". */
struct field {
	const char *name;
	uint64_t *value;
	uint64_t unit;
};

static void read_fields(const char *path, const struct field *fields,
			size_t count)
{
	struct lines lines;

	if (lines_open(&lines, path)) {
		while (lines_next(&lines)) {
			size_t len = strcspn(lines.line, ": ");

			for (size_t i = 0; i < count; i++) {
				if (!fl_name_is(lines.line, len,
						fields[i].name))
					continue;
				*fields[i].value =
					fields[i].unit *
					number_of(lines.line + len +
							  (lines.line[len] !=
							   '\0'),
						  0);
			}
		}
	}
	lines_close(&lines);
}

static void read_process(struct fl__os_limits *limits)
{
	const struct field fields[] = {
		{ "VmSize", &limits->space, 1024 },
		{ "VmLck", &limits->locked, 1024 },
		{ "VmData", &limits->data, 1024 },
	};
	struct rlimit limit;

#define LIMIT(resource, field)                                    \
	do {                                                      \
		if (!getrlimit(resource, &limit) &&               \
		    limit.rlim_cur != RLIM_INFINITY)              \
			limits->field = (uint64_t)limit.rlim_cur; \
	} while (0)
	LIMIT(RLIMIT_NOFILE, fd_max);
	LIMIT(RLIMIT_DATA, data_max);
#ifdef RLIMIT_AS
	LIMIT(RLIMIT_AS, space_max);
#endif
#ifdef RLIMIT_MEMLOCK
	if (fl__os_is_locked_ahead())
		LIMIT(RLIMIT_MEMLOCK, locked_max);
#endif
#undef LIMIT
	read_fields("/proc/self/status", fields, FL_ARRAY_SIZE(fields));
}

/* The limit is one of numbers: a descriptor beyond it, opened before it was
 * lowered, takes no room. */
static void read_descriptors(struct fl__os_limits *limits)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!folder)
		return;
	while ((entry = readdir(folder)))
		limits->fds += number_of(entry->d_name, UINT64_MAX) <
			       limits->fd_max;
	/* The folder itself. */
	limits->fds -= fl_min_u64(limits->fds, 1);
	closedir(folder);
}

/* ---------------------------------------------------------------- mappings */

/* "start-end perms ...": a mapping. */
static bool parse_mapping(const char *line, struct fl__os_range *range,
			  bool *is_writable)
{
	unsigned long long start, end;
	char perms[5];

	if (sscanf(line, "%llx-%llx %4s", &start, &end, perms) != 3)
		return false;
	range->start = start;
	range->end = end;
	*is_writable = perms[1] == 'w' && perms[3] == 'p';
	return true;
}

static bool is_apart(const struct fl__os_range *range,
		     const struct fl__os_range *apart, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (range->start < apart[i].end && range->end > apart[i].start)
			return true;
	}
	return false;
}

static void read_mappings(const struct fl__os_range *apart, size_t apart_count,
			  struct fl__os_limits *limits)
{
	uint64_t last = FIRST_ADDRESS, hole = 0;
	struct fl__os_range range;
	struct lines lines;
	bool is_writable;

	if (!lines_open(&lines, "/proc/self/maps"))
		return;
	while (lines_next(&lines)) {
		if (!parse_mapping(lines.line, &range, &is_writable))
			continue;
		/* The kernel's own half is nobody's mapping. */
		if (range.start >> 63)
			break;
		if (range.start > last)
			hole = fl_max_u64(hole, range.start - last);
		last = range.end;
		if (!is_apart(&range, apart, apart_count)) {
			limits->mappings++;
			continue;
		}
		limits->apart_mappings++;
		limits->apart_writable_bytes +=
			is_writable ? range.end - range.start : 0;
	}
	lines_close(&lines);
	if (!hole)
		return;
	limits->hole_bytes = fl_min_u64(hole, FL__OS_RESERVE_MAX);
	limits->mapping_max =
		file_number("/proc/sys/vm/max_map_count", DEFAULT_MAPPINGS);
}

/* ------------------------------------------------------------------ memory */

static void read_host(struct fl__os_limits *limits)
{
	uint64_t commit = UINT64_MAX, committed = 0, available = UINT64_MAX;
	const struct field fields[] = {
		{ "CommitLimit", &commit, 1024 },
		{ "Committed_AS", &committed, 1024 },
		{ "MemAvailable", &available, 1024 },
	};

	read_fields("/proc/meminfo", fields, FL_ARRAY_SIZE(fields));
	limits->memory_max = available;
	if (fl__os_is_commit_strict()) {
		limits->commit_max = commit;
		limits->commit = committed;
	}
}

/* The two versions of control groups, as they are mounted everywhere. */
struct groups {
	const char *controller; /* its line in /proc/self/cgroup */
	const char *root;
	const char *max, *current, *idle;
};

static const struct groups group_versions[] = {
	{ "", "/sys/fs/cgroup", "memory.max", "memory.current",
	  "inactive_file" },
	{ "memory", "/sys/fs/cgroup/memory", "memory.limit_in_bytes",
	  "memory.usage_in_bytes", "total_inactive_file" },
};

/* The first version without a limit writes a number that no machine has. */
#define NO_GROUP_BYTES ((uint64_t)1 << 62)

/* File pages that nobody uses are dropped for the asking. */
static void read_group(const struct groups *groups, const char *folder,
		       struct fl__os_limits *limits)
{
	char path[640];
	uint64_t max, current, idle = 0;
	const struct field fields[] = { { groups->idle, &idle, 1 } };

	snprintf(path, sizeof(path), "%s/%s", folder, groups->max);
	max = file_number(path, UINT64_MAX);
	if (max >= NO_GROUP_BYTES)
		return;
	snprintf(path, sizeof(path), "%s/%s", folder, groups->current);
	current = file_number(path, 0);
	snprintf(path, sizeof(path), "%s/memory.stat", folder);
	read_fields(path, fields, FL_ARRAY_SIZE(fields));
	current -= fl_min_u64(current, idle);
	if (limits->group_max != UINT64_MAX &&
	    limits->group_max - fl_min_u64(limits->group_max, limits->group) <=
		    max - fl_min_u64(max, current))
		return;
	limits->group_max = max;
	limits->group = current;
}

/* A line "number:controllers:path" of the version: its path. */
static const char *group_path(const struct groups *groups, char *line)
{
	char *controllers = strchr(line, ':'), *path;

	path = controllers ? strchr(controllers + 1, ':') : NULL;
	if (!path)
		return NULL;
	*path++ = '\0';
	controllers++;
	if (*groups->controller ?
		    !fl_name_is_listed(controllers, groups->controller) :
		    *controllers != '\0')
		return NULL;
	return path;
}

/* A group is within all groups above it. In a container the path may be that of
 * the host, and the root is the container's group. */
static void read_groups(const struct groups *groups,
			struct fl__os_limits *limits)
{
	size_t root = strlen(groups->root);
	const char *path = NULL;
	char folder[600], *slash;
	struct lines lines;

	if (lines_open(&lines, "/proc/self/cgroup")) {
		while (!path && lines_next(&lines))
			path = group_path(groups, lines.line);
	}
	lines_close(&lines);
	if (!path)
		return;
	snprintf(folder, sizeof(folder), "%s%s", groups->root, path);
	do {
		read_group(groups, folder, limits);
		slash = strrchr(folder, '/');
		if (slash)
			*slash = '\0';
	} while (slash && slash >= folder + root);
}

void fl__os_limits(const struct fl__os_range *apart, size_t apart_count,
		   struct fl__os_limits *limits)
{
	fl__os_no_cancel();

	*limits = FL__OS_NO_LIMITS;
	read_process(limits);
	read_descriptors(limits);
	read_mappings(apart, apart_count, limits);
	read_host(limits);
	for (size_t i = 0; i < FL_ARRAY_SIZE(group_versions); i++)
		read_groups(&group_versions[i], limits);
}
