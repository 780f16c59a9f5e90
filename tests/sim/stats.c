/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * stats.c - the words and times of statistics: no count is lost where threads
 * meet in one shard, and a time read from a histogram is near the time put in.
 *
 * fl__os_cpu() is replaced (--wrap): all threads say that they run on one
 * processor, so that they claim the same shard.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "slots/stats.h"

#include <pthread.h>

uint32_t __wrap_fl__os_cpu(void);

uint32_t __wrap_fl__os_cpu(void)
{
	return 0;
}

static struct fl__stats *stats_open(void)
{
	struct fl__stats_about about = {
		.pool = "sim",
		.backend = "none",
		.rung = "none",
		.how = FL_STATISTICS_PRIVATE,
	};
	struct fl__stats *stats = NULL;

	MUST_EQ(fl__stats_open(&about, &stats), 0);
	MUST(stats != NULL);
	return stats;
}

/* As faultline.h says where a bucket begins. */
static uint64_t first_ns(uint32_t bucket)
{
	uint64_t half = (uint64_t)1 << FL__BUCKET_BITS;

	if (bucket < half)
		return bucket;
	return (half + bucket % half) << (bucket / half - 1);
}

static void buckets_are_as_the_header_says(void)
{
	for (uint32_t i = 0; i + 1 < FL__BUCKET_COUNT; i++) {
		uint64_t first = first_ns(i), next = first_ns(i + 1);

		CHECK(first < next);
		CHECK_EQ(fl__stats_bucket(first), i);
		CHECK_EQ(fl__stats_bucket(next - 1), i);
		CHECK(fl__stats_bucket_ns(i) >= first);
		CHECK(fl__stats_bucket_ns(i) < next);
	}
	CHECK_EQ(fl__stats_bucket(UINT64_MAX), FL__BUCKET_COUNT - 1);
	CHECK_EQ(fl__stats_bucket((uint64_t)1 << 36), FL__BUCKET_COUNT - 1);
}

static uint64_t distance(uint64_t a, uint64_t b)
{
	return a < b ? b - a : a - b;
}

/* At most 1/32 of the time. */
static void error_of_times_is_bounded(void)
{
	struct test_random random;

	test_random_init(&random, 3);
	for (unsigned int i = 0; i < 200000; i++) {
		uint64_t ns = test_random_next(&random) >>
			      (28 + test_random_below(&random, 36));
		uint64_t told = fl__stats_bucket_ns(fl__stats_bucket(ns));

		if (!CHECK(32 * distance(ns, told) <= ns))
			test_note("%llu", (unsigned long long)ns);
	}
}

static void quantiles(void)
{
	struct fl__stats *stats = stats_open();
	uint64_t count = 1;

	CHECK_EQ(fl__stats_quantile(stats, FL__TIMES_reset, 500, &count), 0);
	CHECK_EQ(count, 0);
	for (uint64_t ns = 1; ns <= 1000; ns++)
		fl__stats_time(stats, FL__TIMES_reset, ns * 1000);
	CHECK(distance(fl__stats_quantile(stats, FL__TIMES_reset, 500, &count),
		       500000) <= 500000 / 32);
	CHECK_EQ(count, 1000);
	CHECK(distance(fl__stats_quantile(stats, FL__TIMES_reset, 990, NULL),
		       990000) <= 990000 / 32);
	CHECK(distance(fl__stats_quantile(stats, FL__TIMES_reset, 999, NULL),
		       999000) <= 999000 / 32);
	CHECK_EQ(fl__stats_quantile(stats, FL__TIMES_scan, 500, NULL), 0);
	fl__stats_close(stats);
}

#define THREADS 4
#define EVENTS 50000

static void *count_events(void *arg)
{
	struct fl__stats *stats = arg;

	for (uint64_t i = 0; i < EVENTS; i++) {
		struct fl__shard *shard = fl__stats_claim(stats);

		fl__shard_add(shard, FL__WORD_resets, 1);
		fl__shard_add(shard, FL__WORD_scans, 2);
		/* A gauge that falls as often as it rises. */
		fl__shard_add(shard, FL__WORD_kept_bytes,
			      i % 2 ? UINT64_MAX : 1);
		fl__stats_let_go(shard);
		fl__stats_add(stats, FL__WORD_grows, 1);
	}
	return NULL;
}

static void no_count_is_lost(void)
{
	struct fl__stats *stats = stats_open();
	pthread_t threads[THREADS];
	struct fl__shard *held;

	/* Whoever comes meanwhile takes the shard that all use. */
	held = fl__stats_claim(stats);
	CHECK(!held->is_shared);
	CHECK(fl__stats_claim(stats)->is_shared);
	fl__stats_add(stats, FL__WORD_grows, 1);
	CHECK_EQ(held->words[FL__WORD_grows], 0);
	CHECK_EQ(fl__stats_sum(stats, FL__WORD_grows), 1);
	fl__stats_let_go(held);
	for (int i = 0; i < THREADS; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, count_events, stats),
			0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(fl__stats_sum(stats, FL__WORD_resets), THREADS * EVENTS);
	CHECK_EQ(fl__stats_sum(stats, FL__WORD_scans), 2 * THREADS * EVENTS);
	CHECK_EQ(fl__stats_sum(stats, FL__WORD_kept_bytes), 0);
	CHECK_EQ(fl__stats_sum(stats, FL__WORD_grows), THREADS * EVENTS + 1);
	fl__stats_close(stats);
}

static void one_call_in_64_is_timed(void)
{
	struct fl__stats *stats = stats_open();
	unsigned int timed = 0;

	for (uint64_t n = 0; n < 6400; n++)
		timed += fl__stats_begin(stats, n) != 0;
	CHECK_EQ(timed, 100);
	CHECK_EQ(fl__stats_begin(stats, 0), 0);
	CHECK_EQ(fl__stats_begin(NULL, 32), 0);
	fl__stats_close(stats);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		TEST_CASE(buckets_are_as_the_header_says),
		TEST_CASE(error_of_times_is_bounded),
		TEST_CASE(quantiles),
		TEST_CASE(no_count_is_lost),
		TEST_CASE(one_call_in_64_is_timed),
	};

	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
