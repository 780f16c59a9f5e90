/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * runner.c - times all competitors of a case, interleaved.
 *
 * A round runs one short block of each competitor in turn, in an order drawn
 * for that round, so that whatever disturbs the machine for a while, or one
 * competitor leaves to the next, falls on all of them.
 * All threads run the same competitor at once: a sleeping barrier first, so
 * that nobody's waking falls into the timing, then a spinning one, so that
 * all begin together. Before each block one cycle is run untimed, because
 * the block before it belonged to somebody else and left the caches so.
 *
 * All is done `sets` times over with new threads and new slots, and the
 * samples are put together: where the kernel happens to place a slot's pages
 * makes one and the same way up to a quarter faster or slower for as long as
 * the slot lives, with two threads more than with one. It hangs on who warmed
 * up before, so the order of setting and warming up is drawn as well.
 *
 * A block is about BLOCK_NS long, found out in the warm-up; a program with a
 * `prepare` step has blocks of one operation. Thread 0 keeps the books,
 * between the end of a block and the barrier that begins the next. A program
 * that asks how things scale has each block run on thread 0 alone, while the
 * others sleep, right before all of them run it.
 *
 * An error of any thread is noted under the lock during a block; since a
 * barrier follows each block, all threads leave that competitor out from
 * then on.
 */
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BLOCK_NS UINT64_C(2000000)
#define BLOCK_MIN 4
#define BLOCK_MAX 512
#define SCALING_BLOCK_MAX 65536 /* of operations that take nanoseconds */
#define WARM_NS UINT64_C(150000000)
#define WARM_CYCLES 3000
#define SPINS 2000

struct runner {
	const struct bench_program *program;
	const struct bench_options *opt;
	const struct bench_case *c;
	struct bench_entry *entries;
	size_t n_entries;
	size_t *order; /* of the entries */
	uint64_t rng;
	struct worker *workers;
	pthread_barrier_t barrier;
	pthread_mutex_t lock;
	atomic_uint arrived;
	atomic_uint generation;
	uint64_t deadline_ns;
	unsigned int n_sets;
	unsigned long rounds; /* had, in this set */
	unsigned long rounds_max; /* 0: until the deadline */
	bool stop;
};

struct worker {
	struct runner *r;
	unsigned int idx;
	pthread_t thread;
	struct bench_lane *lanes; /* one per entry */
	uint64_t start_ns;
	uint64_t end_ns;
};

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void meet(struct runner *r)
{
	pthread_barrier_wait(&r->barrier);
}

static void meet_spinning(struct runner *r)
{
	unsigned int generation = atomic_load(&r->generation);
	unsigned int spins = 0;

	if (atomic_fetch_add(&r->arrived, 1) + 1 == r->opt->n_threads) {
		atomic_store(&r->arrived, 0);
		atomic_fetch_add(&r->generation, 1);
		return;
	}
	while (atomic_load(&r->generation) == generation)
		if (++spins > SPINS)
			sched_yield();
}

static void fail(struct worker *w, size_t e, const char *step, int err)
{
	pthread_mutex_lock(&w->r->lock);
	bench_entry_fail(&w->r->entries[e], step, err);
	pthread_mutex_unlock(&w->r->lock);
}

static bool usable(const struct worker *w, size_t e)
{
	return w->r->entries[e].status == BENCH_OK;
}

static void pin(const struct worker *w)
{
	const struct bench_options *opt = w->r->opt;
	cpu_set_t set;

	if (w->idx >= opt->n_cpus)
		return;
	CPU_ZERO(&set);
	CPU_SET(opt->cpus[w->idx], &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		fprintf(stderr,
			"thread %u cannot be pinned to processor %u "
			"(%s): figures will vary more\n",
			w->idx, opt->cpus[w->idx], strerror(errno));
}

static void draw_order(struct runner *r)
{
	for (size_t i = r->n_entries; i > 1; i--) {
		size_t j = bench_rng_next(&r->rng) % i;
		size_t held = r->order[i - 1];

		r->order[i - 1] = r->order[j];
		r->order[j] = held;
	}
}

static void open_lanes(struct worker *w)
{
	struct runner *r = w->r;

	for (size_t i = 0; i < r->n_entries; i++) {
		struct bench_entry *entry = &r->entries[r->order[i]];
		struct bench_lane *lane = &w->lanes[r->order[i]];
		int err;

		pthread_mutex_lock(&r->lock);
		if (entry->status != BENCH_OK) {
			pthread_mutex_unlock(&r->lock);
			continue;
		}
		err = bench_lane_open(lane, entry->competitor, r->c, w->idx);
		if (!err && !r->program->prepare)
			err = bench_lane_attach(lane);
		if (err)
			bench_entry_fail(entry, "setup", err);
		pthread_mutex_unlock(&r->lock);
	}
}

static void close_lanes(struct worker *w)
{
	struct runner *r = w->r;

	for (size_t e = 0; e < r->n_entries; e++) {
		struct bench_lane *lane = &w->lanes[e];
		struct bench_entry *entry = &r->entries[e];

		pthread_mutex_lock(&r->lock);
		if (lane->state && entry->competitor->describe)
			entry->competitor->describe(lane->state,
						    entry->features,
						    sizeof(entry->features));
		bench_lane_close(lane);
		pthread_mutex_unlock(&r->lock);
	}
}

/* One operation with what goes before it; only for warm-up. */
static int run_once(struct worker *w, size_t e)
{
	const struct bench_program *p = w->r->program;
	int err = p->prepare ? p->prepare(&w->lanes[e]) : 0;

	return err ? err : p->op(&w->lanes[e]);
}

static void warm_up(struct worker *w, size_t e)
{
	struct runner *r = w->r;
	unsigned int n = 0, half = 0,
		     most = r->program->is_scaling ? SCALING_BLOCK_MAX :
						     BLOCK_MAX;
	uint64_t end_ns, half_ns = 0, start_ns, cycle_ns;
	int err = 0;

	meet(r);
	start_ns = now_ns();
	do {
		err = run_once(w, e);
		n++;
		end_ns = now_ns();
		if (end_ns - start_ns < WARM_NS / 2 && n <= WARM_CYCLES / 2) {
			half = n;
			half_ns = end_ns - start_ns;
		}
	} while (!err && n < WARM_CYCLES && end_ns - start_ns < WARM_NS);
	if (err) {
		fail(w, e, "warm-up", err);
	} else if (!w->idx) {
		cycle_ns = (end_ns - start_ns - half_ns) / (n - half) + 1;
		r->entries[e].block =
			r->program->prepare ?
				1 :
			BLOCK_NS / cycle_ns > most ?
				most :
			BLOCK_NS / cycle_ns < BLOCK_MIN ?
				BLOCK_MIN :
				(unsigned int)(BLOCK_NS / cycle_ns);
	}
	meet(r);
}

static void keep_books_alone(const struct worker *w, struct bench_entry *entry)
{
	if (entry->status == BENCH_OK &&
	    bench_samples_add(&entry->alone_us,
			      (double)(w->end_ns - w->start_ns) / entry->block /
				      1e3))
		bench_entry_fail(entry, "samples", -ENOMEM);
}

static void keep_books(struct runner *r, struct bench_entry *entry)
{
	uint64_t first_ns = UINT64_MAX, last_ns = 0;
	double ops = entry->block;
	int err = 0;

	if (entry->status != BENCH_OK)
		return;
	for (unsigned int t = 0; t < r->opt->n_threads && !err; t++) {
		const struct worker *w = &r->workers[t];

		if (w->start_ns < first_ns)
			first_ns = w->start_ns;
		if (w->end_ns > last_ns)
			last_ns = w->end_ns;
		err = bench_samples_add(&entry->cycle_us,
					(double)(w->end_ns - w->start_ns) /
						ops / 1e3);
	}
	if (!err)
		err = bench_samples_add(
			&entry->rate, ops * 1e9 * r->opt->n_threads /
					      (double)(last_ns - first_ns + 1));
	if (err)
		bench_entry_fail(entry, "samples", err);
}

static void verify(struct worker *w, size_t e)
{
	struct bench_entry *entry = &w->r->entries[e];
	char why[BENCH_REASON_BYTES] = "";

	if (!(w->r->program->verify ?
		      w->r->program->verify :
		      bench_lane_verify)(&w->lanes[e], why, sizeof(why)))
		return;
	pthread_mutex_lock(&w->r->lock);
	entry->status = BENCH_FAILED;
	memcpy(entry->reason, why, sizeof(why));
	fprintf(stderr, "%s: %s\n", entry->competitor->name, why);
	pthread_mutex_unlock(&w->r->lock);
}

/* Between the two barriers of a block. */
static void run_ops(struct worker *w, size_t e, int err)
{
	const struct bench_program *p = w->r->program;
	struct bench_lane *lane = &w->lanes[e];
	unsigned int block = w->r->entries[e].block;

	w->start_ns = now_ns();
	for (unsigned int i = 0; i < block && !err; i++)
		err = p->op(lane);
	w->end_ns = now_ns();
	if (err)
		fail(w, e, "cycle", err);
}

static void run_block_alone(struct worker *w, size_t e)
{
	struct runner *r = w->r;

	meet(r);
	if (!w->idx) {
		run_ops(w, e, r->program->op(&w->lanes[e]));
		keep_books_alone(w, &r->entries[e]);
	}
	meet(r);
}

static void run_block(struct worker *w, size_t e)
{
	struct runner *r = w->r;
	const struct bench_program *p = r->program;
	struct bench_lane *lane = &w->lanes[e];
	int err = p->prepare ? p->prepare(lane) : p->op(lane);

	meet(r);
	meet_spinning(r);
	run_ops(w, e, err);
	meet(r);
	if (!w->idx)
		keep_books(r, &r->entries[e]);
	if (!r->opt->verify)
		return;
	meet(r);
	if (usable(w, e))
		verify(w, e);
	meet(r);
}

static void run_blocks(struct worker *w, size_t e)
{
	if (usable(w, e) && w->r->program->is_scaling)
		run_block_alone(w, e);
	if (usable(w, e))
		run_block(w, e);
}

static bool next_round(struct worker *w)
{
	struct runner *r = w->r;

	meet(r);
	if (!w->idx) {
		r->stop = r->rounds_max ?
				  r->rounds == r->rounds_max :
				  r->rounds && now_ns() >= r->deadline_ns;
		r->rounds++;
		draw_order(r);
	}
	meet(r);
	return !r->stop;
}

/* The last state of each slot is compared once, even without --verify. */
static void verify_all(struct worker *w)
{
	for (size_t e = 0; e < w->r->n_entries; e++) {
		if (usable(w, e))
			verify(w, e);
		meet(w->r);
	}
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct runner *r = w->r;

	open_lanes(w);
	pin(w);
	meet(r);
	for (size_t i = 0; i < r->n_entries; i++)
		if (usable(w, r->order[i]))
			warm_up(w, r->order[i]);
	if (!w->idx)
		r->deadline_ns = now_ns() +
				 (uint64_t)(r->opt->seconds * 1e9 / r->n_sets);
	while (next_round(w))
		for (size_t i = 0; i < r->n_entries; i++)
			run_blocks(w, r->order[i]);
	verify_all(w);
	close_lanes(w);
	return NULL;
}

static int start_workers(struct runner *r)
{
	unsigned int n = r->opt->n_threads;
	int err;

	for (unsigned int t = 0; t < n; t++) {
		struct worker *w = &r->workers[t];

		w->r = r;
		w->idx = t;
		w->lanes = calloc(r->n_entries, sizeof(*w->lanes));
		if (!w->lanes)
			return -ENOMEM;
	}
	for (unsigned int t = 0; t < n; t++) {
		err = pthread_create(&r->workers[t].thread, NULL, work,
				     &r->workers[t]);
		if (err) {
			/* Those that run wait at a barrier for ever. */
			fprintf(stderr, "thread %u: %s: lower --threads\n", t,
				strerror(err));
			exit(1);
		}
	}
	for (unsigned int t = 0; t < n; t++)
		pthread_join(r->workers[t].thread, NULL);
	return 0;
}

static int run_set(struct runner *r)
{
	unsigned int n = r->opt->n_threads;
	int err;

	r->workers = calloc(n, sizeof(*r->workers));
	if (!r->workers)
		return -ENOMEM;
	r->rounds = 0;
	pthread_barrier_init(&r->barrier, NULL, n);
	err = start_workers(r);
	for (unsigned int t = 0; t < n; t++)
		free(r->workers[t].lanes);
	free(r->workers);
	pthread_barrier_destroy(&r->barrier);
	return err;
}

int bench_runner_measure(const struct bench_program *p,
			 const struct bench_options *opt,
			 const struct bench_case *c,
			 struct bench_entry *entries, size_t n_entries)
{
	struct runner r = {
		.program = p,
		.opt = opt,
		.c = c,
		.entries = entries,
		.n_entries = n_entries,
		.n_sets = opt->n_sets,
		.rng = 1,
	};
	int err = 0;

	r.order = calloc(n_entries, sizeof(*r.order));
	if (!r.order)
		return -ENOMEM;
	for (size_t e = 0; e < n_entries; e++)
		r.order[e] = e;

	if (opt->rounds && opt->rounds < r.n_sets)
		r.n_sets = (unsigned int)opt->rounds;
	r.rounds_max = (opt->rounds + r.n_sets - 1) / r.n_sets;
	pthread_mutex_init(&r.lock, NULL);
	for (unsigned int set = 0; set < r.n_sets && !err; set++) {
		draw_order(&r);
		err = run_set(&r);
	}
	pthread_mutex_destroy(&r.lock);
	free(r.order);
	return err;
}
