/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * stats.h - a pool's counters and times, where other processes can read them.
 *
 * Takes events; gives sums. The numbers are in one memory file for each pool, in
 * the form of struct fl_statistics_head in faultline.h; base/stats.def has the
 * rows. A pool's file goes with the pool, so no reader can take one pool's
 * numbers for another's.
 *
 * Writers. Words lie in shards, one for each processor. A writer claims the
 * shard of its processor by one exchange, adds by plain stores, and lets go: a
 * shard has one writer at a time, and no two processors write one line. A writer
 * that finds its shard claimed (its holder was interrupted) does not wait: it
 * takes the last shard, which all use and where each addition is atomic. So no
 * count is ever lost. An event of several numbers takes one claim.
 *
 * Times are those of one call in 64, chosen by counts. A bucket is one atomic
 * addition. Buckets are log-linear: exact below 16 ns, and from there on 16 for
 * each power of two, so that the middle of a bucket is at most 1/32 away from
 * any time in it.
 *
 * A lazy image has numbers of its own, in a file of the same form: base/loads.def
 * has their rows. There each call is timed.
 *
 * NULL for a struct fl__stats means that statistics are off.
 */
#ifndef FL_SLOTS_STATS_H
#define FL_SLOTS_STATS_H

#include "base/error.h"
#include "os/os.h"

#include <errno.h>

/* Published: additions from any thread. */
enum fl__word {
#define FL_METRIC_INFO(name, unit, is_counter, field, help) FL__WORD_##name,
#define FL_STAT_COUNTER(name, unit, help) FL__WORD_##name,
#define FL_STAT_GAUGE(name, unit, help) FL__WORD_##name,
#include "base/stats.def"
#define FL_ERROR(code, meaning) FL__WORD_errors_##code,
#include "base/error.def"
#undef FL_ERROR
	FL__WORD_COUNT
};

/* Published: set, not added to. */
enum fl__level {
#define FL_METRIC_USAGE(name, unit, field, help) FL__LEVEL_##name,
#define FL_STAT_LIMIT(name, unit, field, help) FL__LEVEL_##name,
#define FL_STAT_MARK(name, unit, help) FL__LEVEL_##name,
#include "base/stats.def"
	FL__LEVEL_COUNT
};

enum fl__times {
#define FL_STAT_TIMES(name, help) FL__TIMES_##name,
#define FL_STAT_SIZES(name, help) FL__TIMES_##name,
#include "base/stats.def"
	FL__TIMES_COUNT
};

/* The same three of a lazy image. */
enum fl__loads_word {
#define FL_LOADS_COUNTER(name, unit, help) FL__LOADS_##name,
#include "base/loads.def"
	FL__LOADS_COUNT
};

enum fl__loads_level {
#define FL_LOADS_MARK(name, unit, help) FL__LOADS_LEVEL_##name,
#include "base/loads.def"
	FL__LOADS_LEVEL_COUNT
};

enum fl__loads_times {
#define FL_LOADS_TIMES(name, help) FL__LOADS_TIMES_##name,
#include "base/loads.def"
	FL__LOADS_TIMES_COUNT
};

#define FL__STATS_SAMPLE	64
#define FL__BUCKET_BITS		4
/* Times of 2^36 ns, a minute, and more are all in the last bucket. */
#define FL__BUCKET_COUNT	((36 - FL__BUCKET_BITS + 1) << FL__BUCKET_BITS)

/* An image's words take no more room than a pool's. */
_Static_assert((int)FL__LOADS_COUNT <= (int)FL__WORD_COUNT, "words of a shard");

struct fl__shard {
	uint32_t is_claimed;		/* atomic */
	uint32_t is_shared;		/* the last shard */
	fl_atomic64 words[FL__WORD_COUNT];	/* atomic */
} __attribute__((aligned(128)));

struct fl__stats {
	uint8_t *map;
	uint64_t bytes;
	int fd;				/* -1: not published */
	const char *reason;		/* why not; NULL: as asked for */
	struct fl__shard *shards;
	uint32_t shard_mask;		/* + 1 is the shared one's number */
	uint32_t times_mask, times_count;
	fl_atomic64 *times, *levels;	/* atomic */
};

/* Whose numbers: enum fl__word and so on, or enum fl__loads_word and so on. */
enum fl__stats_of {
	FL__STATS_OF_POOL = 0,
	FL__STATS_OF_LOADS,
};

struct fl__stats_about {
	enum fl__stats_of of;
	const char *pool, *backend, *rung;
	uint64_t serial;
	enum fl_statistics how;
	/* Why they are private although how says published; NULL. */
	const char *private_reason;
};

/* *stats becomes NULL when statistics are off. -ENOMEM. */
int fl__stats_open(const struct fl__stats_about *about,
		   struct fl__stats **stats);
void fl__stats_close(struct fl__stats *stats);

uint32_t fl__stats_bucket(uint64_t ns);
/* The middle of a bucket. */
uint64_t fl__stats_bucket_ns(uint32_t bucket);

void fl__stats_time(struct fl__stats *stats, uint32_t times, uint64_t ns);
uint64_t fl__stats_sum(const struct fl__stats *stats, uint32_t word);
/* The time that a part of the calls, in thousandths, stayed below; 0: none was
 * timed. *count (optional) gets the calls that were timed. */
uint64_t fl__stats_quantile(const struct fl__stats *stats,
			    uint32_t times, uint32_t per_mille,
			    uint64_t *count);

static inline struct fl__shard *fl__stats_shard(struct fl__stats *stats)
{
	return &stats->shards[fl__os_cpu() & stats->shard_mask];
}

/* A shard to add to, for list work only. Pairs with fl__stats_let_go(). */
static inline struct fl__shard *fl__stats_claim(struct fl__stats *stats)
{
	struct fl__shard *shard = fl__stats_shard(stats);

	/* Acquire: the additions of the writer before are seen. */
	if (fl_unlikely(__atomic_exchange_n(&shard->is_claimed, 1,
					    __ATOMIC_ACQUIRE)))
		return &stats->shards[stats->shard_mask + 1];
	return shard;
}

static inline void fl__stats_let_go(struct fl__shard *shard)
{
	if (!shard->is_shared)
		__atomic_store_n(&shard->is_claimed, 0, __ATOMIC_RELEASE);
}

/* count may be negative, as a two's complement: sums wrap. */
static inline void fl__shard_add(struct fl__shard *shard, uint32_t word,
				 uint64_t count)
{
	fl_atomic64 *at = &shard->words[word];

	if (fl_unlikely(shard->is_shared))
		__atomic_fetch_add(at, count, __ATOMIC_RELAXED);
	else
		__atomic_store_n(at,
				 __atomic_load_n(at, __ATOMIC_RELAXED) + count,
				 __ATOMIC_RELAXED);
}

static inline void fl__stats_add(struct fl__stats *stats, uint32_t word,
				 uint64_t count)
{
	struct fl__shard *shard;

	if (!stats || !count)
		return;
	shard = fl__stats_claim(stats);
	fl__shard_add(shard, word, count);
	fl__stats_let_go(shard);
}

static inline void fl__stats_set(struct fl__stats *stats, uint32_t level,
				 uint64_t value)
{
	if (stats)
		__atomic_store_n(&stats->levels[level], value,
				 __ATOMIC_RELAXED);
}

/* Is the n-th call of its kind one to time? Not the first: it is no example. */
static inline bool fl__stats_is_sample(const struct fl__stats *stats,
				       uint64_t n)
{
	return stats && n % FL__STATS_SAMPLE == FL__STATS_SAMPLE / 2;
}

/* When a call of which n were counted began; 0: the call is not timed. */
static inline uint64_t fl__stats_begin(const struct fl__stats *stats,
				       uint64_t n)
{
	return fl_unlikely(fl__stats_is_sample(stats, n)) ? fl__os_now_ns() : 0;
}

/* The same, where this processor's count of a word tells. */
static inline uint64_t fl__stats_begin_word(struct fl__stats *stats,
					    enum fl__word word)
{
	return stats ? fl__stats_begin(
			       stats,
			       __atomic_load_n(
				       &fl__stats_shard(stats)->words[word],
				       __ATOMIC_RELAXED)) :
		       0;
}

static inline void fl__stats_end(struct fl__stats *stats, uint32_t times,
				 uint64_t start_ns)
{
	if (fl_unlikely(start_ns))
		fl__stats_time(stats, times, fl__os_now_ns() - start_ns);
}

/* Count what a public call answers, and answer it. */
int fl__stats_failed(struct fl__stats *stats, int err);
static inline int fl__stats_answer(struct fl__stats *stats, int err)
{
	return fl_unlikely(err) && stats ? fl__stats_failed(stats, err) : err;
}

#endif
