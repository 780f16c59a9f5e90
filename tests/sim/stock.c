/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * stock.c - free indices shared between threads: shelves, takes of several
 * at once, waiting and waking. Written from lib/slots/stock.h.
 *
 * fl__os_cpu() is replaced (--wrap): a thread runs where it says it does, so
 * that shelves can be met in any order on any machine. Some cases pin threads
 * to the processors there really are.
 */
#define _GNU_SOURCE
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "slots/stock.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MS 1000000u
#define ON_REAL_CPU UINT32_MAX

static _Thread_local uint32_t cpu_here;

uint32_t __real_fl__os_cpu(void);
uint32_t __wrap_fl__os_cpu(void);

uint32_t __wrap_fl__os_cpu(void)
{
	return cpu_here == ON_REAL_CPU ? __real_fl__os_cpu() : cpu_here;
}

static void stock_open(struct fl__stock *stock, uint32_t capacity,
		       uint32_t max_warm)
{
	MUST_EQ(fl__stock_init(stock, "things", capacity,
			       FL_STRATEGY_REUSE_AFFINITY, max_warm, 5),
		0);
	cpu_here = 0;
}

static int stock_take(struct fl__stock *stock, const uint64_t *affinities,
		      uint32_t count, uint64_t timeout_ns, uint32_t *idx,
		      struct fl_error *error)
{
	struct fl__os_wait wait = { timeout_ns, NULL, NULL };

	return fl__stock_take(stock, affinities, count, &wait, idx, error);
}

static int take(struct fl__stock *stock, uint64_t affinity, uint32_t *idx)
{
	*idx = FL__IDX_NONE;
	return stock_take(stock, &affinity, 1, 0, idx, NULL);
}

static uint32_t must_take(struct fl__stock *stock, uint64_t affinity)
{
	uint32_t idx;

	MUST_EQ(take(stock, affinity, &idx), 0);
	return idx;
}

/* ------------------------------------------------------------------ shelves */

/* What a thread gave on a processor, it gets there again, whatever others do
 * elsewhere. */
static void each_processor_its_own(void)
{
	struct fl__stock stock;
	uint32_t mine[40];

	stock_open(&stock, 40, 100);
	for (uint32_t cpu = 0; cpu < FL__STOCK_SHELVES; cpu++) {
		cpu_here = cpu;
		mine[cpu] = must_take(&stock, 7);
	}
	for (uint32_t cpu = 0; cpu < FL__STOCK_SHELVES; cpu++) {
		cpu_here = cpu;
		fl__stock_give(&stock, mine[cpu], 7);
	}
	for (uint32_t cpu = FL__STOCK_SHELVES; cpu--;) {
		cpu_here = cpu;
		CHECK_EQ(must_take(&stock, 7), mine[cpu]);
	}
	for (uint32_t cpu = 0; cpu < FL__STOCK_SHELVES; cpu++)
		fl__stock_give(&stock, mine[cpu], 7);
	CHECK_EQ(fl__stock_look(&stock).used_count, 0);
	CHECK_EQ(fl__stock_look(&stock).cold_next, FL__STOCK_SHELVES);
	fl__stock_fini(&stock);
}

/* More processors than shelves, each giving and taking: none is lost. */
static void more_processors_than_shelves(void)
{
	struct fl__stock stock;
	bool is_out[200] = { false };

	stock_open(&stock, 200, 1000);
	for (int round = 0; round < 3; round++) {
		uint32_t idx;

		memset(is_out, 0, sizeof(is_out));
		for (uint32_t cpu = 0; cpu < 200; cpu++) {
			cpu_here = cpu;
			idx = must_take(&stock, 1 + cpu % 5);
			MUST(idx < 200 && !is_out[idx]);
			is_out[idx] = true;
		}
		CHECK_EQ(take(&stock, 1, &idx), -EAGAIN);
		for (uint32_t i = 0; i < 200; i++) {
			cpu_here = 200 - i;
			fl__stock_give(&stock, i, i % 6);
		}
		CHECK_EQ(fl__stock_look(&stock).used_count, 0);
	}
	fl__stock_fini(&stock);
}

/* The only free index is on another's shelf: it is there for whoever asks. */
static void found_on_any_shelf(void)
{
	struct fl__stock stock;
	uint32_t idx;

	stock_open(&stock, 1, 100);
	for (uint32_t cpu = 0; cpu < 2 * FL__STOCK_SHELVES; cpu++) {
		cpu_here = cpu;
		idx = must_take(&stock, 1 + cpu);
		fl__stock_give(&stock, idx, 50 + cpu);
		cpu_here = cpu + 5;
		idx = must_take(&stock, 50 + cpu);
		fl__stock_give(&stock, idx, 2);
		cpu_here = 2 * cpu;
		CHECK_EQ(fl__stock_take_warm(&stock, 3), FL__IDX_NONE);
		CHECK_EQ(fl__stock_take_warm(&stock, 2), 0);
		CHECK_EQ(take(&stock, 2, &idx), -EAGAIN);
		fl__stock_give(&stock, 0, 9);
		CHECK_EQ(fl__stock_take_warm(&stock, 0), 0);
		fl__stock_give(&stock, 0, 0);
		CHECK_EQ(fl__stock_take_warm(&stock, 0), FL__IDX_NONE);
	}
	fl__stock_fini(&stock);
}

/* An emptied index is not for a shelf: who comes finds it in any affinity. */
static void emptied_ones_go_to_anybody(void)
{
	struct fl__stock stock;
	uint32_t a, b;

	stock_open(&stock, 8, 100);
	a = must_take(&stock, 1);
	b = must_take(&stock, 1);
	fl__stock_give(&stock, a, 0);
	cpu_here = 3;
	CHECK_EQ(must_take(&stock, 99), a);
	fl__stock_give(&stock, b, 1);
	CHECK_EQ(fl__stock_look(&stock).warm.count, 1);
	CHECK_EQ(fl__stock_look(&stock).used_count, 1);
	CHECK_EQ(fl__stock_look(&stock).cold_next, 2);
	fl__stock_fini(&stock);
}

/* As many as max_warm says stay warm before one of another affinity is taken
 * instead of a cold one, whether they lie on shelves or not. */
static void shelves_count_as_warm(void)
{
	static const uint32_t limits[] = { 0, 1, 15, 16, 17, 20, 31, 50 };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(limits); i++) {
		for (uint32_t cpus = 1; cpus <= 20; cpus += 6) {
			uint32_t most = limits[i] ? limits[i] : 1;
			struct fl__stock stock;

			stock_open(&stock, 100, limits[i]);
			for (uint32_t n = 0; n < 200; n++) {
				uint32_t idx;

				cpu_here = n % cpus;
				idx = must_take(&stock, n + 1);
				cpu_here = n * 7 % cpus;
				fl__stock_give(&stock, idx, n + 1);
			}
			CHECK_EQ(fl__stock_look(&stock).warm.count, most);
			if (!CHECK_EQ(fl__stock_look(&stock).cold_next, most))
				test_note("max_warm %u, %u processors",
					  limits[i], cpus);
			fl__stock_fini(&stock);
		}
	}
}

/* ------------------------------------------------------------------ several */

static void several_or_none(void)
{
	const uint64_t affinities[5] = { 1, 2, 1, 0, 4 };
	struct fl_error error = { .text = "" };
	struct fl__stock stock;
	uint32_t idx[5], more[5];

	stock_open(&stock, 5, 100);
	MUST_EQ(stock_take(&stock, affinities, 5, 0, idx, NULL), 0);
	for (int i = 0; i < 5; i++) {
		for (int j = 0; j < i; j++)
			CHECK(idx[i] != idx[j]);
	}
	CHECK_EQ(stock_take(&stock, affinities, 1, 0, more, &error), -EAGAIN);
	CHECK_HAS(error.text, "max_things");
	for (uint32_t given = 0; given < 4; given++) {
		cpu_here = given;
		fl__stock_give(&stock, idx[given], affinities[given]);
		cpu_here = 20 - given;
		CHECK_EQ(stock_take(&stock, affinities, given + 2, 0, more,
				    NULL),
			 -EAGAIN);
		CHECK_EQ(stock_take(&stock, affinities, given + 2, MS, more,
				    NULL),
			 -ETIMEDOUT);
		CHECK_EQ(fl__stock_look(&stock).used_count, 4 - given);
	}
	fl__stock_give(&stock, idx[4], 1);
	MUST_EQ(stock_take(&stock, affinities, 5, 0, more, NULL), 0);
	CHECK_EQ(fl__stock_look(&stock).used_count, 5);
	fl__stock_fini(&stock);
}

/* Waiting for more than will ever be there again is refused at once. */
static void retired_ones_never_come(void)
{
	const uint64_t affinities[3] = { 1, 1, 1 };
	struct fl__stock stock;
	uint32_t idx[3];

	stock_open(&stock, 3, 100);
	MUST_EQ(stock_take(&stock, affinities, 3, 0, idx, NULL), 0);
	fl__stock_retire(&stock, idx[0]);
	fl__stock_give(&stock, idx[1], 1);
	CHECK_EQ(stock_take(&stock, affinities, 3, UINT64_MAX, idx, NULL),
		 -EAGAIN);
	CHECK_EQ(fl__stock_look(&stock).retired_count, 1);
	CHECK_EQ(fl__stock_look(&stock).used_count, 1);
	fl__stock_retire(&stock, must_take(&stock, 1));
	fl__stock_retire(&stock, idx[2]);
	CHECK_EQ(stock_take(&stock, affinities, 1, UINT64_MAX, idx, NULL),
		 -EAGAIN);
	CHECK_EQ(fl__stock_look(&stock).retired_count, 3);
	fl__stock_fini(&stock);
}

static void stock_of_nothing(void)
{
	const uint64_t affinity = 1;
	struct fl__stock stock;
	uint32_t idx;

	stock_open(&stock, 0, 100);
	CHECK_EQ(take(&stock, 1, &idx), -EAGAIN);
	CHECK_EQ(stock_take(&stock, &affinity, 1, UINT64_MAX, &idx, NULL),
		 -EAGAIN);
	CHECK_EQ(fl__stock_take_warm(&stock, 0), FL__IDX_NONE);
	fl__stock_fini(&stock);
}

struct holder {
	struct fl__stock stock;
	uint32_t capacity, retired;
	uint32_t held[40], n;
};

static void random_take(struct holder *holder, struct test_random *random)
{
	uint32_t want = 1 + (uint32_t)test_random_below(random, 3);
	uint32_t left = holder->capacity - holder->retired - holder->n;
	uint64_t affinities[3];
	uint32_t got[3];
	int err;

	for (int i = 0; i < 3; i++)
		affinities[i] = 1 + test_random_below(random, 5);
	err = stock_take(&holder->stock, affinities, want, 0, got, NULL);
	CHECK_EQ(err, want <= left ? 0 : -EAGAIN);
	for (uint32_t i = 0; !err && i < want; i++)
		holder->held[holder->n++] = got[i];
}

static void random_step(struct holder *holder, struct test_random *random)
{
	uint64_t choice = test_random_below(random, 100);
	uint32_t at;

	cpu_here = (uint32_t)test_random_below(random, 20);
	if (choice < 50) {
		random_take(holder, random);
	} else if (holder->n && choice < 98) {
		at = (uint32_t)test_random_below(random, holder->n);
		fl__stock_give(&holder->stock, holder->held[at],
			       test_random_below(random, 5));
		holder->held[at] = holder->held[--holder->n];
	} else if (holder->n && holder->capacity - holder->retired > 1) {
		fl__stock_retire(&holder->stock, holder->held[--holder->n]);
		holder->retired++;
	}
}

/* Random operations on random processors: the set is always whole. */
static void none_is_lost(void)
{
	struct test_random random;

	test_random_init(&random, 31);
	for (int round = 0; round < 40 && !test_has_failed(); round++) {
		struct holder holder = { .n = 0 };

		holder.capacity = 1 + (uint32_t)test_random_below(&random, 40);
		stock_open(&holder.stock, holder.capacity,
			   (uint32_t)test_random_below(&random, 60));
		for (int i = 0; i < 2500; i++)
			random_step(&holder, &random);
		CHECK_EQ(fl__stock_look(&holder.stock).used_count, holder.n);
		CHECK_EQ(fl__stock_look(&holder.stock).retired_count,
			 holder.retired);
		fl__stock_fini(&holder.stock);
	}
}

/* ------------------------------------------------------------------ threads */

#define THREADS 6

struct crew {
	struct fl__stock stock;
	uint32_t capacity;
	uint32_t most_wanted; /* a thread takes 1 to so many at once */
	bool is_pinned;
	atomic_uint next_cpu;
	atomic_uint holders[64];
	atomic_uint taken, refused;
};

static void crew_hold(struct crew *crew, const uint32_t *idx, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		MUST(idx[i] < crew->capacity);
		CHECK_EQ(atomic_fetch_add(&crew->holders[idx[i]], 1), 0);
	}
	if (count > 1)
		sched_yield();
	for (uint32_t i = 0; i < count; i++)
		CHECK_EQ(atomic_fetch_sub(&crew->holders[idx[i]], 1), 1);
}

static void pin_somewhere(uint32_t number)
{
	cpu_set_t all, one;
	uint32_t count, seen = 0;

	MUST_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
	count = (uint32_t)CPU_COUNT(&all);
	for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all) || seen++ != number % count)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		MUST_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
	}
}

static void crew_settle(struct crew *crew, struct test_random *random)
{
	uint32_t number = atomic_fetch_add(&crew->next_cpu, 1);

	random->state = number * 1000003u + 17;
	cpu_here = crew->is_pinned ? ON_REAL_CPU : number;
	if (crew->is_pinned)
		pin_somewhere(number);
}

/* Whoever waits for ever gets some; who gives up early may get none. */
static void *taker_loop(void *arg)
{
	struct crew *crew = arg;
	struct test_random random;

	crew_settle(crew, &random);
	for (int i = 0; i < 3000; i++) {
		uint64_t affinities[4] = { 1 + test_random_below(&random, 3), 1,
					   2, 3 };
		uint32_t count = 1 + (uint32_t)test_random_below(
					     &random, crew->most_wanted);
		bool is_patient = test_random_below(&random, 3);
		uint64_t timeout_ns = is_patient ? UINT64_MAX : 1000;
		uint32_t idx[4];
		int err = stock_take(&crew->stock, affinities, count,
				     timeout_ns, idx, NULL);

		if (err) {
			CHECK(!is_patient && err == -ETIMEDOUT);
			atomic_fetch_add(&crew->refused, 1);
			continue;
		}
		atomic_fetch_add(&crew->taken, 1);
		crew_hold(crew, idx, count);
		if (!crew->is_pinned && i % 8 == 0)
			cpu_here = (uint32_t)test_random_below(&random, 40);
		while (count--)
			fl__stock_give(&crew->stock, idx[count],
				       test_random_below(&random, 5));
	}
	return NULL;
}

/* Trimming takes from under everybody's hands, and gives back. */
static void *trimmer_loop(void *arg)
{
	struct crew *crew = arg;
	struct test_random random;

	crew_settle(crew, &random);
	for (int i = 0; i < 1000; i++) {
		uint32_t idx = fl__stock_take_warm(&crew->stock, i % 2 ? 0 : 2);

		if (idx != FL__IDX_NONE) {
			crew_hold(crew, &idx, 1);
			fl__stock_give(&crew->stock, idx, 0);
		}
		CHECK(fl__stock_look(&crew->stock).used_count <=
		      crew->capacity);
	}
	return NULL;
}

static void crew_run(uint32_t capacity, uint32_t most_wanted, bool is_pinned)
{
	struct crew *crew = calloc(1, sizeof(*crew));
	pthread_t threads[THREADS + 1];

	MUST(crew != NULL);
	crew->capacity = capacity;
	crew->most_wanted = most_wanted;
	crew->is_pinned = is_pinned;
	MUST_EQ(fl__stock_init(&crew->stock, "things", capacity,
			       FL_STRATEGY_REUSE_AFFINITY, 100, 5),
		0);
	for (int i = 0; i <= THREADS; i++)
		MUST_EQ(pthread_create(&threads[i], NULL,
				       i ? taker_loop : trimmer_loop, crew),
			0);
	for (int i = 0; i <= THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(fl__stock_look(&crew->stock).used_count, 0);
	CHECK_EQ(fl__stock_look(&crew->stock).retired_count, 0);
	CHECK(atomic_load(&crew->taken) > 0);
	fl__stock_fini(&crew->stock);
	free(crew);
}

static void threads_on_many_processors(void)
{
	crew_run(THREADS, 1, false);
	crew_run(2, 1, false);
	crew_run(1, 1, false);
	crew_run(40, 1, false);
}

static void threads_that_take_several(void)
{
	crew_run(4, 4, false);
	crew_run(7, 3, false);
	crew_run(40, 4, false);
}

static void threads_on_real_processors(void)
{
	crew_run(2, 1, true);
	crew_run(4, 4, true);
	crew_run(20, 2, true);
}

/* As many slots as threads, each holding one at a time: nobody is ever turned
 * away, even if it does not wait. */
static void *impatient_loop(void *arg)
{
	struct crew *crew = arg;
	struct test_random random;

	crew_settle(crew, &random);
	for (int i = 0; i < 20000; i++) {
		uint64_t affinity = 1 + test_random_below(&random, 3);
		uint32_t idx;

		if (!CHECK_EQ(take(&crew->stock, affinity, &idx), 0))
			break;
		crew_hold(crew, &idx, 1);
		fl__stock_give(&crew->stock, idx, affinity);
	}
	return NULL;
}

static void enough_for_all_is_enough(void)
{
	for (int pinned = 0; pinned < 2; pinned++) {
		struct crew *crew = calloc(1, sizeof(*crew));
		pthread_t threads[THREADS];

		MUST(crew != NULL);
		crew->capacity = THREADS;
		crew->is_pinned = pinned;
		MUST_EQ(fl__stock_init(&crew->stock, "things", THREADS,
				       FL_STRATEGY_REUSE_AFFINITY, 100, 5),
			0);
		for (int i = 0; i < THREADS; i++)
			MUST_EQ(pthread_create(&threads[i], NULL,
					       impatient_loop, crew),
				0);
		for (int i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		CHECK_EQ(fl__stock_look(&crew->stock).used_count, 0);
		fl__stock_fini(&crew->stock);
		free(crew);
	}
}

/* Two slots, two threads that the kernel moves all the time: one gives on a shelf that
 * the other has just looked at, and takes from one that the other has yet to see. */
static void *moved_loop(void *arg)
{
	struct crew *crew = arg;
	struct test_random random;

	crew_settle(crew, &random);
	for (int i = 0; i < 400000; i++) {
		uint32_t idx;

		cpu_here = test_random_below(&random, 2) ? 0 : 15;
		if (!CHECK_EQ(take(&crew->stock, 1, &idx), 0))
			break;
		crew_hold(crew, &idx, 1);
		cpu_here = test_random_below(&random, 2) ? 0 : 15;
		fl__stock_give(&crew->stock, idx, 1);
	}
	return NULL;
}

static void enough_for_two_who_are_moved(void)
{
	struct crew *crew = calloc(1, sizeof(*crew));
	pthread_t threads[2];

	MUST(crew != NULL);
	crew->capacity = 2;
	MUST_EQ(fl__stock_init(&crew->stock, "things", 2,
			       FL_STRATEGY_REUSE_AFFINITY, 100, 5),
		0);
	for (int i = 0; i < 2; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, moved_loop, crew), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(fl__stock_look(&crew->stock).used_count, 0);
	fl__stock_fini(&crew->stock);
	free(crew);
}

/* One gives on its shelf at the very moment that another begins to wait. */
struct duel {
	struct fl__stock stock;
	pthread_barrier_t start;
	uint32_t idx;
	uint32_t rounds;
};

static void *waiter_loop(void *arg)
{
	const uint64_t affinity = 8;
	struct duel *duel = arg;

	cpu_here = 1;
	for (uint32_t i = 0; i < duel->rounds; i++) {
		uint32_t idx = FL__IDX_NONE;

		pthread_barrier_wait(&duel->start);
		CHECK_EQ(stock_take(&duel->stock, &affinity, 1, UINT64_MAX,
				    &idx, NULL),
			 0);
		CHECK_EQ(idx, 0);
		duel->idx = idx;
		pthread_barrier_wait(&duel->start);
	}
	return NULL;
}

static void give_beside_the_wait(void)
{
	struct duel duel = { .rounds = 5000 };
	struct test_random random;
	pthread_t waiter;

	test_random_init(&random, 41);
	stock_open(&duel.stock, 1, 100);
	pthread_barrier_init(&duel.start, NULL, 2);
	duel.idx = must_take(&duel.stock, 7);
	MUST_EQ(pthread_create(&waiter, NULL, waiter_loop, &duel), 0);
	for (uint32_t i = 0; i < duel.rounds; i++) {
		pthread_barrier_wait(&duel.start);
		for (uint64_t spin = test_random_below(&random, 2000); spin;
		     spin--)
			atomic_signal_fence(memory_order_seq_cst);
		fl__stock_give(&duel.stock, duel.idx, 7);
		pthread_barrier_wait(&duel.start);
	}
	pthread_join(waiter, NULL);
	pthread_barrier_destroy(&duel.start);
	fl__stock_fini(&duel.stock);
}

static const struct test_case cases[] = {
	TEST_CASE(each_processor_its_own),
	TEST_CASE(more_processors_than_shelves),
	TEST_CASE(found_on_any_shelf),
	TEST_CASE(emptied_ones_go_to_anybody),
	TEST_CASE(shelves_count_as_warm),
	TEST_CASE(several_or_none),
	TEST_CASE(retired_ones_never_come),
	TEST_CASE(stock_of_nothing),
	TEST_CASE(none_is_lost),
	TEST_CASE(threads_on_many_processors),
	TEST_CASE(threads_that_take_several),
	TEST_CASE(threads_on_real_processors),
	TEST_CASE(enough_for_all_is_enough),
	TEST_CASE(enough_for_two_who_are_moved),
	TEST_CASE(give_beside_the_wait),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
