/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * service.h - what the files of the service share.
 *
 *	service.c	options, and the order of all that follows
 *	guests.c	the guests, their expected answers, and the capture
 *	ways.c	the ways of having an instance for a request
 *	measure.c	requests in blocks that take turns
 *	memory.c	what instances take, and what a request writes
 *	check.c	traps and random numbers, and a few requests each way
 *	report.c	the table and the JSON
 *	cold.c		the first answer from a snapshot that is not in memory
 *	sessions.h	sessions of the guests, which sleep between requests
 */
#ifndef SERVICE_H
#define SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <faultline-wasm2c.h>

#include "module.h"

#define HPAGE_BYTES 4096u
#define MAX_WORKERS 2u
#define GUESTS 2u
#define KINDS 3u
#define SEEDS 64u
#define WARM_REQUESTS 50u /* of each kind, before the capture */
#define POOL_SLOTS 64u
#define ENTROPY_BYTES 256u

/* ------------------------------------------------------------------ guests */

struct text {
	uint8_t *bytes;
	uint32_t length;
};

struct guest {
	const char *name, *title;
	const char *kinds[KINDS];
	const char *wasm_path; /* below the folder of the guests */
	const char *baked_path;
	/* What wasm2c made of the whole module, of the data-free one, and of
	 * one that was started before, which may be NULL. */
	const struct module *whole, *free, *baked;
	/* The native build. */
	int32_t (*native_start)(void);
	int32_t (*native_handle)(uint32_t kind, uint32_t seed);
	int32_t (*native_session)(uint32_t kind, uint32_t seed);
	const char *(*native_answer)(void);

	/* Set by guest_open(), and not changed once workers run. */
	struct text answers[KINDS][SEEDS];
	struct fl_module *module;
	/* Of the instance that was captured. */
	struct fl_snapshot *snapshot;
	uint32_t served;
	uint64_t start_ns, capture_ns, memory_bytes;
};

extern struct guest guests[GUESTS];

/* guests_dir is where the build left the guests. */
void guest_open(struct guest *guest, struct fl_context *context,
		const char *guests_dir);
/* The pre-started module, if the build has left one. */
void baked_load(struct guest *guest, const char *guests_dir);
void guest_close(struct guest *guest);
/* The module alone, by another context than the one that guest_open() got. */
void guest_load(struct guest *guest, struct fl_context *context,
		const char *guests_dir);

/* -------------------------------------------------------------------- ways */

/* Random bytes of the kernel, fetched several clones' worth at a time. */
struct entropy {
	uint8_t bytes[ENTROPY_BYTES];
	unsigned int left;
};

/* One way of having instances of one guest, on one thread. */
struct lane {
	const struct guest *guest;
	const struct way *way;
	const struct module *module;
	struct fl_pool *pool;
	void *instance;
	uint32_t served; /* what the next instance has seen before */
	struct entropy entropy;
	struct fl_wasm2c_batch batch;
	struct fl_wasm2c_codec codec;
	struct fl_wasm2c_clones clones;
};

struct way {
	const char *letter, *name, *title;
	bool is_fresh; /* each request gets an instance of its own */
	const struct module *(*module)(const struct guest *guest);
	/* Once on each thread, before and after all requests. */
	void (*open)(struct lane *lane);
	void (*close)(struct lane *lane);
	/* Around each request: make an instance that can answer, and end it. */
	void (*start)(struct lane *lane);
	void (*end)(struct lane *lane);
};

enum {
	WAY_STOCK,
	WAY_BAKED,
	WAY_POOL,
	WAY_CLONE,
	WAY_REUSE,
	WAYS
};
extern const struct way ways[WAYS];

/* False where the guest has no module for this way. */
bool way_is_there(const struct way *way, const struct guest *guest);

/* Between open and close a lane stays in place. */
void lane_open(struct lane *lane, const struct way *way,
	       const struct guest *guest, struct fl_pool *pool);
void lane_close(struct lane *lane);

/* The request between start and end. Answers the length of the answer. */
uint32_t lane_request(struct lane *lane, uint32_t kind, uint32_t seed);

/* Is the answer that of the native build, and has the instance seen as many
 * requests as it should? Ends the program if not. */
void lane_check(struct lane *lane, uint32_t kind, uint32_t seed,
		uint32_t length);

/* The same, in all kinds, before a capture. */
void lane_warm(struct lane *lane);

/* A request of a session: guest.h. */
uint32_t lane_session(struct lane *lane, uint32_t kind, uint32_t seed);
/* Where the last answer lies, in the guest's memory; NULL: not there. */
const uint8_t *lane_answer(struct lane *lane, uint32_t length);

uint64_t lane_random(struct lane *lane);
wasm_rt_trap_t lane_peek(struct lane *lane, uint32_t address);

/* ------------------------------------------------------------- measurements */

struct options {
	const char *guests_dir;
	const char *snapshot_dir; /* for nothing but snapshots */
	double seconds; /* for each guest, kind and number of workers */
	int guest, kind, workers; /* -1: all */
	bool is_json, is_smoke;
	long sessions; /* 0: none; -1: as many as memory holds */
	bool is_cold; /* first answers of cold files in place of all else */
	int rounds; /* of these; at most MAX_COLD_ROUNDS */
	long more_mib; /* of memory in the larger snapshot; 0: there is none */
	const char *folder, *delay; /* where files are; of each read over NBD */
	const char *rung; /* set once there is a context */
};

/* What all requests of one way were, for one guest, kind, number of workers. */
struct figures {
	bool is_there;
	unsigned int workers;
	size_t requests;
	double per_s, p50_us, p95_us, p99_us, faults, shootdowns;
	/* start and end alone */
	double isolation_p50_us, isolation_p99_us;
	/* Without the first request of each block; 0: there are no others. */
	double warm_p99_us;
};

void measure(const struct guest *guest, struct fl_pool *pool, uint32_t kind,
	     unsigned int workers, double seconds,
	     struct figures figures[WAYS]);

/* Private memory of one instance, page tables included, in KiB. */
struct footprint {
	bool is_there;
	double idle_kib; /* started, nothing asked */
	double live_kib; /* after a request of each kind */
};

void footprints_measure(const struct guest *guest, struct fl_context *context,
			struct footprint footprints[WAYS]);

/* The host pages that a request writes, and how long memcpy takes for them. */
struct written {
	double hpages, memcpy_us;
};

void written_measure(const struct guest *guest, uint32_t kind,
		     struct written *written);

/* The sum of the fields of a file in /proc that begin with name, in KiB. */
double field_kib(const char *path, const char *name);

/* Sessions of a guest, in all ways. Answers how many of these there are here. */
unsigned int sessions_run(const struct options *options,
			  const struct guest *guest,
			  struct fl_context *context);

#define MAX_COLD_ROUNDS 100

/* First answers from cold snapshots of a guest, in all ways. Answers how many ways
 * gave one. */
unsigned int cold_run(const struct options *options, const struct guest *guest,
		      struct fl_context *context);
void cold_report_head(const struct options *options);

/* Traps, random numbers, and a few requests of each kind in each way, with one
 * worker and with two. Answers the number of cases; ends the program where one
 * fails. */
unsigned int checks_run(const struct guest *guest, struct fl_pool *pool);

/* ------------------------------------------------------------------ report */

void report_head(const struct options *options, struct fl_context *context);
void report_guest(const struct options *options, const struct guest *guest);
void report_figures(const struct options *options, const struct guest *guest,
		    uint32_t kind, const struct figures figures[WAYS]);
void report_footprints(const struct options *options, const struct guest *guest,
		       const struct footprint footprints[WAYS]);

/* What a kind's rows come to. */
struct summary {
	const struct guest *guest;
	uint32_t kind;
	struct figures one[WAYS], two[WAYS];
	struct written written;
};
void report_summaries(const struct options *options,
		      const struct summary *summaries, unsigned int count);

/* ------------------------------------------------------------------- common */

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format,
							 ...);
void *must_allocate(size_t bytes); /* zeroed */
uint64_t now_ns(void);
/* A context by which this process knows a guest's traps. */
struct fl_context *context_open(void);
/* Of memories and tables, so many. */
void pool_configure(struct fl_pool_config *config, uint32_t slots);
struct fl_pool *pool_open(struct fl_context *context);
void pool_close(struct fl_pool *pool);

#endif
