/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* stats.c - laying the statistics out, times and sums; see stats.h. */
#include "stats.h"

#include <stdio.h>
#include <stdlib.h>

/* More processors than this share shards. */
#define MAX_SHARDS 64
#define MAX_TIMES_SHARDS 4

/* What the numbers are, a line each, for readers of any version. */
#define KIND_0 "g "
#define KIND_1 "c "
static const char pool_schema[] =
#define FL_METRIC_INFO(name, unit, is_counter, field, help) \
	KIND_##is_counter #name " " unit " " help "\n"
#define FL_STAT_COUNTER(name, unit, help) "c " #name " " unit " " help "\n"
#define FL_STAT_GAUGE(name, unit, help) "g " #name " " unit " " help "\n"
#include "base/stats.def"
#define FL_ERROR(code, meaning) \
	"c errors_" #code " events Calls that failed: " meaning ".\n"
#include "base/error.def"
#undef FL_ERROR
#define FL_METRIC_SUM(name, unit, field, sum, help) \
	"d " #name " " unit " " sum " " help "\n"
#define FL_METRIC_USAGE(name, unit, field, help) \
	"l " #name " " unit " " help "\n"
#define FL_STAT_LIMIT(name, unit, field, help) "l " #name " " unit " " help "\n"
#define FL_STAT_MARK(name, unit, help) "l " #name " " unit " " help "\n"
#define FL_STAT_TIMES(name, help) "t " #name " nanoseconds " help "\n"
#define FL_STAT_SIZES(name, help) "s " #name " bytes " help "\n"
#include "base/stats.def"
	;

static const char loads_schema[] =
#define FL_LOADS_COUNTER(name, unit, help) "c " #name " " unit " " help "\n"
#define FL_LOADS_SUM(name, unit, sum, help) \
	"d " #name " " unit " " sum " " help "\n"
#define FL_LOADS_MARK(name, unit, help) "l " #name " " unit " " help "\n"
#define FL_LOADS_TIMES(name, help) "t " #name " nanoseconds " help "\n"
#include "base/loads.def"
	;

/* What a file holds, and the name that readers look for. */
static const struct form {
	const char *name, *schema;
	uint64_t schema_bytes;
	uint32_t words, levels, times, sample_every;
} forms[] = {
	[FL__STATS_OF_POOL] = { "faultline-stats", pool_schema,
				sizeof(pool_schema) - 1, FL__WORD_COUNT,
				FL__LEVEL_COUNT, FL__TIMES_COUNT,
				FL__STATS_SAMPLE },
	[FL__STATS_OF_LOADS] = { "faultline-loads", loads_schema,
				 sizeof(loads_schema) - 1, FL__LOADS_COUNT,
				 FL__LOADS_LEVEL_COUNT, FL__LOADS_TIMES_COUNT,
				 1 },
};

static uint64_t schema_signature(const struct form *form)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (uint64_t i = 0; i < form->schema_bytes; i++)
		hash = (hash ^ (uint8_t)form->schema[i]) *
		       UINT64_C(0x100000001b3);
	return hash;
}

/* The largest power of two up to count. */
static uint32_t floor_pow2(uint32_t count)
{
	uint32_t power = 1;

	while (power <= count / 2)
		power *= 2;
	return power;
}

/* Where everything is. Numbers come from constants and from the number of
 * processors, and cannot overflow. */
static struct fl_statistics_head head_plan(const struct form *form)
{
	uint32_t shards = floor_pow2(
		(uint32_t)fl_min_u64(fl__os_cpu_count(), MAX_SHARDS));
	struct fl_statistics_head head = {
		.magic = FL_STATISTICS_MAGIC,
		.version = FL_STATISTICS_VERSION,
		.head_bytes = sizeof(head),
		.signature = schema_signature(form),
		.schema_off = fl_round_up(sizeof(head), 128),
		.schema_bytes = form->schema_bytes,
		.word_count = form->words,
		.shard_count = shards + 1,
		.shard_bytes = sizeof(struct fl__shard),
		.word_off = offsetof(struct fl__shard, words),
		.level_count = form->levels,
		.times_count = form->times,
		.times_shard_count =
			(uint32_t)fl_min_u64(shards, MAX_TIMES_SHARDS),
		.bucket_count = FL__BUCKET_COUNT,
		.bucket_bits = FL__BUCKET_BITS,
		.sample_every = form->sample_every,
	};

	head.levels_off = fl_round_up(head.schema_off + head.schema_bytes, 128);
	head.shards_off = fl_round_up(
		head.levels_off + head.level_count * sizeof(uint64_t), 128);
	head.times_off = fl_round_up(
		head.shards_off + head.shard_count * head.shard_bytes, 128);
	head.file_bytes = fl_round_up(
		head.times_off + sizeof(uint64_t) * head.times_shard_count *
					 head.times_count * head.bucket_count,
		fl__os_hpage_bytes());
	return head;
}

static void name_copy(char *name, size_t size, const char *text)
{
	(void)snprintf(name, size, "%s", text ? text : "");
}

static void head_write(struct fl__stats *stats, struct fl_statistics_head *head,
		       const struct fl__stats_about *about)
{
	head->process = fl__os_process();
	head->serial = about->serial;
	head->made_ns = fl__os_now_ns();
	name_copy(head->pool, sizeof(head->pool), about->pool);
	name_copy(head->library, sizeof(head->library), FL_VERSION);
	name_copy(head->backend, sizeof(head->backend), about->backend);
	name_copy(head->rung, sizeof(head->rung), about->rung);
	stats->shards =
		(struct fl__shard *)(void *)(stats->map + head->shards_off);
	stats->shard_mask = head->shard_count - 2;
	stats->shards[head->shard_count - 1].is_shared = 1;
	stats->times_mask = head->times_shard_count - 1;
	stats->times_count = head->times_count;
	stats->times = (uint64_t *)(void *)(stats->map + head->times_off);
	stats->levels = (uint64_t *)(void *)(stats->map + head->levels_off);
	memcpy(stats->map + head->schema_off, forms[about->of].schema,
	       (size_t)head->schema_bytes);
	memcpy(stats->map, head, sizeof(*head));
}

static const char *publish_reason(int err)
{
	switch (err) {
	case -ENOTSUP:
		return "this system has no memory files";
	case -EFBIG:
		return "files may not be so large: raise `ulimit -f`";
	case -EMFILE:
		return "the process has no descriptor left: raise `ulimit -n`";
	case -EPERM:
	case -ENOSYS:
		return "this process may not make memory files";
	default:
		return "no memory file could be made";
	}
}

int fl__stats_open(const struct fl__stats_about *about, struct fl__stats **out)
{
	const struct form *form = &forms[about->of];
	struct fl_statistics_head head = head_plan(form);
	struct fl__stats *stats;
	int err = -EAGAIN;

	*out = NULL;
	if (about->how == FL_STATISTICS_OFF)
		return 0;
	stats = calloc(1, sizeof(*stats));
	if (!stats)
		return -ENOMEM;
	stats->bytes = head.file_bytes;
	stats->fd = -1;
	stats->reason = about->how == FL_STATISTICS_PUBLISHED ?
				about->private_reason :
				NULL;
	if (about->how == FL_STATISTICS_PUBLISHED && !stats->reason) {
		err = fl__os_publish(form->name, stats->bytes, &stats->map,
				     &stats->fd);
		if (err)
			stats->reason = publish_reason(err);
	}
	if (err) {
		stats->fd = -1;
		err = fl__os_reserve(stats->bytes, 1, &stats->map);
		if (!err && (err = fl__os_allow(stats->map, stats->bytes)))
			fl__os_release(stats->map, stats->bytes);
	}
	if (err) {
		free(stats);
		return -ENOMEM;
	}
	head_write(stats, &head, about);
	*out = stats;
	return 0;
}

void fl__stats_close(struct fl__stats *stats)
{
	if (!stats)
		return;
	fl__os_release(stats->map, stats->bytes);
	if (stats->fd >= 0)
		fl__os_file_close(stats->fd);
	free(stats);
}

uint32_t fl__stats_bucket(uint64_t ns)
{
	uint32_t power, bucket;

	if (ns >> FL__BUCKET_BITS == 0)
		return (uint32_t)ns;
	power = 63 - (uint32_t)__builtin_clzll(ns) - FL__BUCKET_BITS;
	if (power > 36 - FL__BUCKET_BITS - 1)
		return FL__BUCKET_COUNT - 1;
	bucket = (uint32_t)(ns >> power) & ((1u << FL__BUCKET_BITS) - 1);
	return ((power + 1) << FL__BUCKET_BITS) + bucket;
}

uint64_t fl__stats_bucket_ns(uint32_t bucket)
{
	uint32_t power = bucket >> FL__BUCKET_BITS;
	uint64_t low = bucket & ((1u << FL__BUCKET_BITS) - 1);

	if (!power)
		return low;
	low = (low + (1u << FL__BUCKET_BITS)) << (power - 1);
	return low + (((uint64_t)1 << (power - 1)) >> 1);
}

static fl_atomic64 *buckets_of(const struct fl__stats *stats, uint32_t shard,
			       uint32_t times)
{
	return stats->times +
	       ((size_t)shard * stats->times_count + times) * FL__BUCKET_COUNT;
}

void fl__stats_time(struct fl__stats *stats, uint32_t times, uint64_t ns)
{
	fl_atomic64 *buckets =
		buckets_of(stats, fl__os_cpu() & stats->times_mask, times);

	__atomic_fetch_add(&buckets[fl__stats_bucket(ns)], 1, __ATOMIC_RELAXED);
}

uint64_t fl__stats_sum(const struct fl__stats *stats, uint32_t word)
{
	uint64_t sum = 0;

	for (uint32_t i = 0; i <= stats->shard_mask + 1; i++)
		sum += __atomic_load_n(&stats->shards[i].words[word],
				       __ATOMIC_RELAXED);
	return sum;
}

uint64_t fl__stats_quantile(const struct fl__stats *stats, uint32_t times,
			    uint32_t per_mille, uint64_t *count)
{
	uint64_t sums[FL__BUCKET_COUNT], total = 0, below = 0;
	uint32_t i;

	for (i = 0; i < FL__BUCKET_COUNT; i++) {
		sums[i] = 0;
		for (uint32_t j = 0; j <= stats->times_mask; j++)
			sums[i] +=
				__atomic_load_n(&buckets_of(stats, j, times)[i],
						__ATOMIC_RELAXED);
		total += sums[i];
	}
	if (count)
		*count = total;
	for (i = 0; total && i < FL__BUCKET_COUNT; i++) {
		below += sums[i];
		/* Of few times, the slowest stands for the slowest part. */
		if (below >= total - total * (1000 - per_mille) / 1000)
			return fl__stats_bucket_ns(i);
	}
	return 0;
}

int fl__stats_failed(struct fl__stats *stats, int err)
{
	static const struct {
		int code;
		enum fl__word word;
	} words[] = {
#define FL_ERROR(code, meaning) { code, FL__WORD_errors_##code },
#include "base/error.def"
#undef FL_ERROR
	};

	/* A forked child writes nothing of its parent's. */
	for (size_t i = 0; err != -ECHILD && i < FL_ARRAY_SIZE(words); i++) {
		if (words[i].code == -err)
			fl__stats_add(stats, words[i].word, 1);
	}
	return err;
}
