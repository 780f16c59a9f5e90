/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat.h - what the files of uffd-stat share.
 *
 * A sample is one page of statistics, read and checked: plain numbers. A schema
 * has their names, and pages of the same schema share it. A target is a process
 * with userfaultfds; it has a sample for each of its pools and of its lazy
 * images. Everything that prints takes two moments and prints what came to be
 * between them. All text in these structs is clean: printable, and valid UTF-8.
 */
#ifndef UFFD_STAT_H
#define UFFD_STAT_H

#include <faultline.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define STAT_MAX_ROWS	 192
#define STAT_MAX_POOLS	 64
#define STAT_MAX_TIMES	 16
#define STAT_MAX_BUCKETS 640
#define STAT_NAME	 48

struct stat_row {
	char kind; /* as the schema has it */
	char name[STAT_NAME], unit[16], help[128], sum[112];
	uint32_t at; /* which word or level */
};

struct stat_times {
	char name[STAT_NAME], help[128];
	bool is_sizes; /* of bytes, not of nanoseconds */
};

struct stat_schema {
	uint32_t refs;
	uint32_t words, levels;
	bool is_loads; /* of a lazy image, and not of a pool */
	size_t row_count, times_count;
	struct stat_row rows[STAT_MAX_ROWS];
	struct stat_times times[STAT_MAX_TIMES];
	size_t text_bytes;
	char text[];
};

/* Plain, but for the two pointers; recordings have it as it is. */
struct stat_about {
	uint64_t serial, made_ns, process;
	char pool[64], library[16], backend[16], rung[16];
	uint32_t bucket_bits, bucket_count, sample_every;
};

struct stat_sample {
	uint32_t refs;
	struct stat_about about;
	struct stat_schema *schema; /* a reference */
	uint64_t values[STAT_MAX_ROWS];
	uint64_t buckets[]; /* bucket_count of each histogram */
};

/* Schemas that were seen. */
struct stat_schemas {
	struct stat_schema *schemas[8];
	size_t next;
};
void stat_schemas_forget(struct stat_schemas *schemas);
/* A reference. NULL: the text is no schema, or there is no memory. */
struct stat_schema *stat_schema_get(struct stat_schemas *schemas,
				    const char *text, size_t len);
void stat_schema_put(struct stat_schema *schema);

/*
 * Check the bytes of a page and take its numbers. NULL, or why the page is no
 * page: of a newer version, cut, or not of this form. Believes no byte.
 */
const char *stat_page_parse(struct stat_schemas *schemas, const uint8_t *bytes,
			    size_t len, struct stat_sample **sample);
/*
 * The same of a page whose head and schema are those of an earlier sample of it;
 * bytes may hold nothing else of the page than the head, what
 * stat_page_counts() says, and what stat_page_times() says. NULL: no memory.
 */
struct stat_sample *stat_page_again(const uint8_t *bytes,
				    const struct stat_sample *earlier);
/* Where in a page that was parsed the words and levels are, and where the
 * histograms. */
struct stat_range {
	uint64_t off, len;
};
struct stat_range stat_page_counts(const struct fl_statistics_head *head);
struct stat_range stat_page_times(const struct fl_statistics_head *head);
/* Room for a sample of the schema; NULL: no memory. */
struct stat_sample *stat_sample_new(struct stat_schema *schema,
				    const struct stat_about *about);
void stat_sample_put(struct stat_sample *sample); /* NULL is allowed */

/* Copy text up to a NUL; what a terminal must not see becomes '?'. */
void stat_text_copy(char *to, size_t size, const void *from, size_t len);

/* A number by its name; false: the page has none. */
bool stat_number(const struct stat_sample *sample, const char *name,
		 uint64_t *value);
uint64_t stat_value(const struct stat_sample *sample, const char *name);

/* A histogram; NULL: the page has none of that name. */
const uint64_t *stat_buckets(const struct stat_sample *sample,
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
	struct stat_sample *sample; /* a reference; NULL: see why */
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
/* No pids: all processes of the user. wants_kernel: at each look what the kernel
 * tells of a process, also where the process tells its own numbers. NULL: no
 * memory. */
struct stat_finder *stat_finder_new(const int *pids, size_t count,
				    bool wants_kernel);
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
struct stat_moment *stat_replay(FILE *file, struct stat_schemas *schemas,
				const char **why);

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
