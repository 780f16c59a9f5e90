/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bench.h - the benchmark harness: what a program and a competitor provide.
 *
 * A *program* (bench_cycle, bench_grow, ...) asks one question. A *competitor*
 * is one way to keep instance memory. A *case* is one set of parameters with
 * its image and its page lists, the same for all competitors. A *lane* is one
 * competitor on one thread; each has a slot and a pretended guest of its own.
 *
 * Life of a lane: setup, attach, then any number of (take, the guest's
 * touches, give), detach, teardown. The harness makes the touches, so that
 * no competitor can have easier ones.
 *
 * setup and teardown are called one lane at a time, never concurrently.
 * setup runs before its thread is pinned: a helper thread that a competitor
 * starts there may run on any processor. All else runs concurrently on the
 * lanes of one competitor.
 *
 * Hooks return 0 or -errno. An error ends the competitor, not the run, and
 * makes the program's exit status 1.
 */
#ifndef BENCH_H
#define BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BENCH_WPAGE_BYTES	((uint64_t)65536)
/* A program of 32 bits has no room for slots as compiled code wants them. */
#define BENCH_SLOT_BYTES	((uint64_t)(sizeof(void *) < 8 ? 128 : 8192) << 20)
#define BENCH_ELEMENT_BYTES	((uint64_t)32)	/* of a table */
#define BENCH_PARAMS_MAX	16
#define BENCH_LIST_MAX		16
#define BENCH_CPUS_MAX		256
#define BENCH_REASON_BYTES	320
#define BENCH_ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* How the read and the written pages are chosen; in the order of the words. */
enum bench_choice {
	BENCH_RANDOM,
	BENCH_STRIDED,
	BENCH_SEQUENTIAL,
};
#define BENCH_CHOICE_WORDS	"random|strided|sequential"

struct bench_workload {
	uint64_t image_wpages;
	uint64_t zero_wpages;		/* of these at each end, without data */
	uint64_t reads;
	uint64_t writes;
	uint64_t random_writes;
	uint64_t both;			/* not 0: reads = writes, same pages */
	uint64_t spread_mib;		/* 0: all of the image */
	uint64_t grow_wpages;
	uint64_t grow_touch_hpages;	/* 0: each grown page */
	uint64_t table_elements;
	uint64_t table_writes;		/* elements */
	uint64_t structure_bytes;
	uint64_t structure_writes;	/* host pages */
	uint64_t live;			/* at once, if many */
	enum bench_choice choice;
};

struct bench_case {
	struct bench_workload w;
	const uint64_t *values;		/* the program's parameters */
	uint64_t hpage_bytes;
	uint64_t image_bytes;
	uint64_t image_hpages;
	uint64_t grow_bytes;
	uint64_t table_bytes;
	uint64_t structure_bytes;
	uint8_t *image;			/* resident, image_bytes long */
	uint32_t *read_idx;		/* host pages of the image */
	uint32_t *write_idx;
	uint32_t *grow_idx;		/* host pages, from image_bytes on */
	uint32_t *element_idx;		/* elements of the table */
	uint32_t *table_idx;		/* host pages that these lie in */
	uint32_t *structure_idx;	/* host pages of the structure */
	size_t n_reads;
	size_t n_writes;
	size_t n_grow;
	size_t n_elements;
	size_t n_table;
	size_t n_structure;
	int memfd;			/* the same bytes, sealed */
	int pagemap_fd;			/* -1: cannot be opened */
};

/* What runs in a memory. drawn_idx holds the last cycle's random writes. */
struct bench_guest {
	unsigned int thread_idx;
	uint64_t rng;
	uint64_t tick;
	uint32_t *drawn_idx;
	size_t n_drawn;
	uint64_t sink;
};

/* What an instance has besides its memory; NULL where the case has none. */
struct bench_parts {
	uint8_t *table;			/* table_bytes; zero is null */
	uint8_t *structure;		/* the runtime's own, structure_bytes */
};

struct bench_competitor {
	const char *name;
	const char *note;
	const char *features;		/* what it uses of the kernel */

	/* False: not possible here, and why (in reason). NULL: always is. */
	bool (*probe)(const struct bench_case *c, char *reason, size_t size);
	/* A slot without an image. guest lives as long as the state. */
	int (*setup)(const struct bench_case *c,
		     const struct bench_guest *guest, void **state);
	/*
	 * Lay the case's image over the slot, really, even when the slot had
	 * it already: that stands for a switch of images. NULL: nothing to do.
	 */
	int (*attach)(void *state);
	/* A memory that equals the image. */
	int (*take)(void *state, uint8_t **base);
	/* The rest of the instance that was taken, zeroed. NULL: it keeps
	 * memories alone. */
	void (*parts)(void *state, struct bench_parts *parts);
	/* Append the case's grow_bytes of zeroes. NULL: cannot grow. */
	int (*grow)(void *state);
	/* Make the slot clean, and as small as the image again. */
	int (*give)(void *state);
	/* Empty the slot, so that attach is the first again. May be NULL. */
	int (*detach)(void *state);
	void (*teardown)(void *state);
	/* Features found out at run time, instead of `features`; or NULL. */
	void (*describe)(void *state, char *text, size_t size);
	/* What the last call that failed says of it, "" for nothing; or NULL. */
	const char *(*failure)(void);
};

/* Faultline's own ways, one per rung; NULL-terminated. See faultline.c. */
extern const struct bench_competitor *const bench_faultline[];

struct bench_lane {
	const struct bench_competitor *competitor;
	const struct bench_case *c;
	struct bench_guest guest;
	void *state;
	uint8_t *base;
	struct bench_parts parts;
	bool taken;
};

enum bench_param_kind {
	BENCH_NUMBER,
	BENCH_WORD,
	BENCH_SPREAD,			/* all, or within:MiB */
};

/* --OPTION LIST; several values make several cases. */
struct bench_param {
	const char *option;
	enum bench_param_kind kind;
	const char *defaults;
	const char *words;		/* "a|b|c", the value is the index */
	const char *help;
};

struct bench_options {
	unsigned int n_threads;
	unsigned int cpus[BENCH_CPUS_MAX];
	unsigned int n_cpus;
	double seconds;			/* per case */
	unsigned long rounds;		/* 0: as many as seconds allow */
	unsigned int n_sets;		/* of slots, one after the other */
	const char *only;
	bool json;
	bool verify;
	bool list;
	uint64_t values[BENCH_PARAMS_MAX][BENCH_LIST_MAX];
	size_t n_values[BENCH_PARAMS_MAX];
};

struct bench_samples {
	double *at;
	size_t n;
	size_t room;
};

enum bench_status {
	BENCH_OK,
	BENCH_SKIPPED,
	BENCH_FAILED,
};

/* One competitor in one case: a row of the table. */
struct bench_entry {
	const struct bench_competitor *competitor;
	enum bench_status status;
	char reason[BENCH_REASON_BYTES];
	char features[BENCH_REASON_BYTES];
	unsigned int block;
	struct bench_samples cycle_us;
	struct bench_samples rate;
	struct bench_samples alone_us;	/* programs that ask how it scales */
};

struct bench_program {
	const char *name;
	const char *question;
	const struct bench_param *params;
	size_t n_params;
	/* Faultline's rows; NULL: bench_faultline. */
	const struct bench_competitor *const *own;
	const struct bench_competitor *const *rivals;	/* NULL-terminated */
	unsigned int n_threads;		/* unless told otherwise; 0: one */
	/*
	 * How does it scale? Each block runs twice, once on one thread and
	 * once on all; the first rival is what scaling is compared with.
	 */
	bool is_scaling;
	/* values may be changed to what really applies. */
	void (*workload)(uint64_t *values, struct bench_workload *w);
	int (*op)(struct bench_lane *lane);		/* timed */
	/* Not NULL: run before each op, not timed. */
	int (*prepare)(struct bench_lane *lane);
	/* Not NULL: in place of bench_lane_verify(). */
	int (*verify)(struct bench_lane *lane, char *why, size_t why_size);
	/* Not NULL: measures a case in a way of its own, all on one thread. */
	int (*measure)(const struct bench_program *p,
		       const struct bench_options *opt,
		       const struct bench_case *c,
		       struct bench_entry *entries, size_t n_entries);
};

/* bench.c */
int bench_main(const struct bench_program *p, int argc, char **argv);

/* options.c */
int bench_options_parse(const struct bench_program *p, int argc, char **argv,
			struct bench_options *opt);
void bench_options_help(const struct bench_program *p, FILE *to);

/* workload.c */
int bench_case_create(const struct bench_workload *w, const uint64_t *values,
		      struct bench_case **out, char *why, size_t why_size);
void bench_case_destroy(struct bench_case *c);
int bench_guest_init(struct bench_guest *g, const struct bench_case *c,
		     unsigned int thread_idx);
void bench_guest_touch(struct bench_guest *g, const struct bench_case *c,
		       uint8_t *base);
void bench_guest_touch_grown(struct bench_guest *g,
			     const struct bench_case *c, uint8_t *base);
void bench_guest_touch_parts(struct bench_guest *g,
			     const struct bench_case *c,
			     const struct bench_parts *parts);

/* lane.c */
int bench_lane_open(struct bench_lane *lane, const struct bench_competitor *k,
		    const struct bench_case *c, unsigned int thread_idx);
void bench_lane_close(struct bench_lane *lane);
int bench_lane_attach(struct bench_lane *lane);
int bench_lane_take(struct bench_lane *lane);
int bench_lane_touch(struct bench_lane *lane);
int bench_lane_give(struct bench_lane *lane);
int bench_lane_detach(struct bench_lane *lane);
int bench_lane_cycle(struct bench_lane *lane);
int bench_lane_verify(struct bench_lane *lane, char *why, size_t why_size);

/* runner.c */
int bench_runner_measure(const struct bench_program *p,
			 const struct bench_options *opt,
			 const struct bench_case *c,
			 struct bench_entry *entries, size_t n_entries);

/* report.c */
int bench_samples_add(struct bench_samples *s, double value);
double bench_samples_quantile(struct bench_samples *s, double q);
void bench_entry_fail(struct bench_entry *e, const char *step, int err);
void bench_report_header(const struct bench_program *p,
			 const struct bench_options *opt);
void bench_report_case(const struct bench_program *p,
		       const struct bench_options *opt,
		       const struct bench_case *c);
void bench_report_json_start(const struct bench_program *p,
			     const struct bench_options *opt,
			     const struct bench_case *c,
			     const struct bench_entry *e);
void bench_report_json_end(const struct bench_entry *e);
void bench_report_rows(const struct bench_program *p,
		       const struct bench_options *opt,
		       const struct bench_case *c,
		       struct bench_entry *entries, size_t n_entries);
void bench_report_status(const struct bench_entry *e);

static inline bool bench_case_has_parts(const struct bench_case *c)
{
	return c->table_bytes || c->structure_bytes;
}

static inline uint64_t bench_rng_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

#endif
