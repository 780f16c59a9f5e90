/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat.h - what the files of uffd-stat share.
 *
 * A sample is one page of statistics, read and checked: plain numbers with
 * names. A target is a process with userfaultfds; it has a sample for each of
 * its pools. Everything that prints takes two moments and prints what came to
 * be between them. All text in these structs is clean: printable, and valid
 * UTF-8.
 */
#ifndef UFFD_STAT_H
#define UFFD_STAT_H

#include <faultline.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define STAT_MAX_ROWS	 192
#define STAT_MAX_TIMES	 16
#define STAT_MAX_BUCKETS 640
#define STAT_NAME	 48

struct stat_row {
	char kind; /* as the schema has it */
	char name[STAT_NAME], unit[16], help[128], sum[112];
	uint64_t value;
};

struct stat_times {
	char name[STAT_NAME], help[128];
	bool is_sizes;	/* of bytes, not of nanoseconds */
	uint64_t count;
	uint64_t buckets[STAT_MAX_BUCKETS];
};

struct stat_sample {
	uint64_t serial, made_ns, process;
	char pool[64], library[16], backend[16], rung[16];
	uint32_t bucket_bits, bucket_count, sample_every;
	size_t row_count, times_count;
	struct stat_row rows[STAT_MAX_ROWS];
	struct stat_times times[STAT_MAX_TIMES];
};

/*
 * Check the bytes of a page and take its numbers. NULL, or why the page is no
 * page: of a newer version, cut, or not of this form. Believes no byte.
 */
const char *stat_page_parse(const uint8_t *bytes, size_t len,
			    struct stat_sample *sample);

/* A number by its name; false: the page has none. */
bool stat_number(const struct stat_sample *sample, const char *name,
		 uint64_t *value);
uint64_t stat_value(const struct stat_sample *sample, const char *name);

const struct stat_times *stat_times_named(const struct stat_sample *sample,
					  const char *name);

/* Of the times between two samples (before may be NULL), the one that a part in
 * thousandths stayed below, in nanoseconds. 0: none was timed. */
uint64_t stat_quantile(const struct stat_sample *before,
		       const struct stat_sample *now, const char *name,
		       uint32_t per_mille, uint64_t *count);

/* What the kernel tells of a process whatever library it uses. */
struct stat_kernel {
	uint32_t uffds;
	uint64_t pending, total; /* of its userfaultfds: waiting threads */
	uint64_t minor_faults, major_faults;
	uint64_t resident_bytes;
};

struct stat_pool {
	struct stat_sample *sample; /* NULL: see why */
	const char *why;
};

struct stat_target {
	int pid;
	char command[32];
	struct stat_kernel kernel;
	struct stat_pool *pools;
	size_t pool_count;
};

struct stat_moment {
	uint64_t now_ns; /* CLOCK_MONOTONIC */
	double wall_s; /* seconds since 1970 */
	struct stat_target *targets;
	size_t target_count;
};

/* What is looked for from one moment to the next. */
struct stat_finder;
/* No pids: all processes of the user. NULL: no memory. */
struct stat_finder *stat_finder_new(const int *pids, size_t count);
void stat_finder_free(struct stat_finder *finder);
/* NULL: no memory. */
struct stat_moment *stat_look(struct stat_finder *finder);
void stat_moment_free(struct stat_moment *moment);
/* The same pool at an earlier moment; NULL: it is new. */
const struct stat_sample *stat_earlier(const struct stat_moment *before,
				       const struct stat_target *target,
				       const struct stat_sample *sample);

/* A recording: moments as they were read. False: the file cannot be written, or
 * holds no more. */
bool stat_record(FILE *file, const struct stat_moment *moment);
struct stat_moment *stat_replay(FILE *file, const char **why);

struct stat_style {
	bool is_wide; /* -x */
	bool is_openmetrics; /* not the older text form of Prometheus */
	unsigned int lines; /* until the heading comes again */
};
void stat_print_columns(FILE *out, const struct stat_moment *before,
			const struct stat_moment *now,
			struct stat_style *style);
void stat_print_json(FILE *out, const struct stat_moment *before,
		     const struct stat_moment *now);
void stat_print_metrics(FILE *out, const struct stat_moment *now,
			const struct stat_style *style);

#endif
