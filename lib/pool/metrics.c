/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * metrics.c - a pool's numbers, for people and for exporters.
 *
 * Takes a pool; gives its counts as a struct, one by one with names, and with the
 * configuration as JSON. base/stats.def has the names. A number is exact while no
 * thread takes or gives a slot.
 */
#include "base/sized.h"
#include "slots/bank.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------- info */

static void info_fill(const struct fl_pool *pool, struct fl_pool_info *info)
{
	struct fl__source_counts counts[FL__BANK_COUNT];

#define LOAD(field) __atomic_load_n(&pool->field, __ATOMIC_RELAXED)
	*info = (struct fl_pool_info){
		.reserved_bytes = pool->layout.reserved_bytes,
		.memory_stride_bytes =
			pool->layout.banks[FL__BANK_MEMORY].stride_bytes,
		.max_memory_bytes = pool->config.max_memory_bytes,
		.prefix_bytes = pool->config.prefix_bytes,
		.guard_before_bytes = pool->config.guard_before_bytes,
		.guard_after_bytes = pool->config.guard_after_bytes,
		.audited = LOAD(audited),
		.audit_failures = LOAD(audit_failures),
		.audit_pins = LOAD(audit_pins),
		.idle_kept_bytes = LOAD(idle_kept_bytes),
	};
	for (int i = 0; i < FL__BANK_COUNT; i++) {
		pool->source->count(pool->banks[i].source, &counts[i]);
		info->reserved_bytes += counts[i].mapped_bytes;
	}
#define FILL(bank, plural)                                         \
	info->max_##plural = pool->config.max_##plural;            \
	info->live_##plural = (uint32_t)counts[bank].live;         \
	info->retired_##plural = (uint32_t)counts[bank].retired;   \
	info->acquired_##plural = counts[bank].acquired;           \
	info->refused_##plural = LOAD(banks[bank].refused);        \
	info->overflow_##plural = (uint32_t)counts[bank].overflow; \
	info->overflowed_##plural = counts[bank].overflowed
	FILL(FL__BANK_MEMORY, memories);
	FILL(FL__BANK_TABLE, tables);
	FILL(FL__BANK_STRUCTURE, instances);
	FILL(FL__BANK_STACK, stacks);
#undef FILL
#undef LOAD
	info->warm_memories = (uint32_t)counts[FL__BANK_MEMORY].warm;
	info->warm_tables = (uint32_t)counts[FL__BANK_TABLE].warm;
	info->warm_instances = (uint32_t)counts[FL__BANK_STRUCTURE].warm;
}

void fl_pool_info(const struct fl_pool *pool, struct fl_pool_info *info)
{
	struct fl_pool_info filled;

	info_fill(pool, &filled);
	fl__sized_write(info, &filled, sizeof(filled));
}

/* ---------------------------------------------------------------- metrics */

const char *fl_pool_statistics(const struct fl_pool *pool, const char **reason)
{
	const struct fl__stats *stats = pool->stats;

	if (reason)
		*reason = stats ? stats->reason : NULL;
	if (!stats)
		return "off";
	return stats->fd >= 0 ? "published" : "private";
}

/* What the rows are read from. */
struct snapshot {
	struct fl_pool_info info;
	struct fl_pool_usage usage;
	bool has_usage;
	const struct fl__stats *stats; /* NULL: off */
};

enum row_kind {
	ROW_INFO,
	ROW_USAGE,
	ROW_WORD,
	ROW_TIMED, /* how many calls were timed */
	ROW_QUANTILE,
};

static const struct {
	const char *name, *unit, *help;
	enum row_kind kind;
	uint32_t is_counter;
	/* Of ROW_INFO and ROW_USAGE. */
	size_t field_off, field_bytes;
	uint32_t idx; /* enum fl__word or fl__times */
	uint32_t per_mille;
} metric_rows[] = {
#define FIELD(field) \
	offsetof(struct snapshot, field), sizeof(((struct snapshot *)0)->field)
#define FL_METRIC_INFO(name, unit, is_counter, field, help) \
	{ #name, unit, help, ROW_INFO, is_counter, FIELD(info.field), 0, 0 },
#define FL_METRIC_SUM(name, unit, field, sum, help) \
	{ #name, unit, help, ROW_INFO, 0, FIELD(info.field), 0, 0 },
#define FL_METRIC_FIELD(name, unit, is_counter, field, help) \
	{ #name, unit, help, ROW_INFO, is_counter, FIELD(info.field), 0, 0 },
#define FL_METRIC_USAGE(name, unit, field, help) \
	{ #name, unit, help, ROW_USAGE, 0, FIELD(usage.field), 0, 0 },
#define WORD(name, unit, is_counter, help) \
	{ #name, unit, help, ROW_WORD, is_counter, 0, 0, FL__WORD_##name, 0 },
#define FL_STAT_COUNTER(name, unit, help) WORD(name, unit, 1, help)
#define FL_STAT_GAUGE(name, unit, help) WORD(name, unit, 0, help)
#define QUANTILE(name, suffix, unit, per_mille, help)              \
	{ #name suffix,	    unit,     help, ROW_QUANTILE, 0, 0, 0, \
	  FL__TIMES_##name, per_mille },
#define FL_STAT_TIMES(name, help)                                              \
	{ #name "_timed",                                                      \
	  "events",                                                            \
	  "Calls that were timed: " help,                                      \
	  ROW_TIMED,                                                           \
	  1,                                                                   \
	  0,                                                                   \
	  0,                                                                   \
	  FL__TIMES_##name,                                                    \
	  0 },                                                                 \
		QUANTILE(name, "_p50_ns", "nanoseconds", 500,                  \
			 "Half took less: " help)                              \
			QUANTILE(name, "_p99_ns", "nanoseconds", 990,          \
				 "1 % took longer: " help)                     \
				QUANTILE(name, "_p999_ns", "nanoseconds", 999, \
					 "0.1 % took longer: " help)
#define FL_STAT_SIZES(name, help)                                           \
	{ #name "_sampled",                                                 \
	  "events",                                                         \
	  "How many were looked at: " help,                                 \
	  ROW_TIMED,                                                        \
	  1,                                                                \
	  0,                                                                \
	  0,                                                                \
	  FL__TIMES_##name,                                                 \
	  0 },                                                              \
		QUANTILE(name, "_p50_bytes", "bytes", 500,                  \
			 "Half took less: " help)                           \
			QUANTILE(name, "_p99_bytes", "bytes", 990,          \
				 "1 % took more: " help)                    \
				QUANTILE(name, "_p999_bytes", "bytes", 999, \
					 "0.1 % took more: " help)
#include "base/stats.def"
#define FL_ERROR(code, meaning)              \
	{ "errors_" #code,                   \
	  "events",                          \
	  "Calls that failed: " meaning ".", \
	  ROW_WORD,                          \
	  1,                                 \
	  0,                                 \
	  0,                                 \
	  FL__WORD_errors_##code,            \
	  0 },
#include "base/error.def"
#undef FL_ERROR
#undef QUANTILE
#undef WORD
#undef FIELD
};

static uint64_t field_read(const struct snapshot *from, size_t idx)
{
	const uint8_t *field =
		(const uint8_t *)from + metric_rows[idx].field_off;
	uint32_t narrow;
	uint64_t wide;

	if (metric_rows[idx].field_bytes == sizeof(narrow)) {
		memcpy(&narrow, field, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, field, sizeof(wide));
	return wide;
}

/* False: there is no such number here. */
static bool value_read(const struct snapshot *from, size_t idx, uint64_t *value)
{
	enum fl__times times = (enum fl__times)metric_rows[idx].idx;
	uint64_t count;

	switch (metric_rows[idx].kind) {
	case ROW_USAGE:
		if (!from->has_usage)
			return false;
		/* fall through */
	case ROW_INFO:
		*value = field_read(from, idx);
		return true;
	case ROW_WORD:
		if (from->stats)
			*value = fl__stats_sum(
				from->stats,
				(enum fl__word)metric_rows[idx].idx);
		return from->stats;
	case ROW_TIMED:
	default:
		if (!from->stats)
			return false;
		*value = fl__stats_quantile(from->stats, times,
					    metric_rows[idx].per_mille, &count);
		if (metric_rows[idx].kind == ROW_TIMED)
			*value = count;
		return metric_rows[idx].kind == ROW_TIMED || count;
	}
}

static void metric_read(const struct snapshot *from, size_t idx,
			struct fl_metric *metric)
{
	*metric = (struct fl_metric){
		.name = metric_rows[idx].name,
		.unit = metric_rows[idx].unit,
		.help = metric_rows[idx].help,
		.is_counter = metric_rows[idx].is_counter,
	};
	metric->has_value = value_read(from, idx, &metric->value);
}

static void snapshot_take(struct fl_pool *pool, bool wants_usage,
			  struct snapshot *snapshot)
{
	*snapshot = (struct snapshot){
		.usage = { .size = sizeof(snapshot->usage) },
		.stats = pool->stats,
	};
	info_fill(pool, &snapshot->info);
	snapshot->has_usage = wants_usage &&
			      !fl_pool_usage(pool, &snapshot->usage, NULL);
}

int fl_pool_metric(struct fl_pool *pool, uint32_t idx, struct fl_metric *metric)
{
	struct fl_metric filled;
	struct snapshot snapshot;
	int err = fl__pool_check_owner(pool, NULL);

	if (err)
		return err;
	if (idx >= FL_ARRAY_SIZE(metric_rows))
		return -EINVAL;
	snapshot_take(pool, metric_rows[idx].kind == ROW_USAGE, &snapshot);
	metric_read(&snapshot, idx, &filled);
	fl__sized_write(metric, &filled, sizeof(filled));
	return 0;
}

/* ------------------------------------------------------------------- JSON */

/* Text that grows. After a failure the text stays as it was, and has_failed
 * says so at the end. */
struct text {
	char *bytes;
	size_t length, capacity;
	bool has_failed;
};

static void text_add(struct text *text, const char *fmt, ...) FL_PRINTF(2, 3);
static void text_add(struct text *text, const char *fmt, ...)
{
	/* Longer than any number or escaped byte. */
	char piece[64];
	va_list args;
	size_t length;

	va_start(args, fmt);
	length = (size_t)vsnprintf(piece, sizeof(piece), fmt, args);
	va_end(args);
	fl_assert(length < sizeof(piece));
	if (text->length + length + 1 > text->capacity && !text->has_failed) {
		size_t capacity = 2 * (text->length + length) + 1024;
		char *grown = realloc(text->bytes, capacity);

		text->has_failed = !grown;
		text->bytes = grown ? grown : text->bytes;
		text->capacity = grown ? capacity : text->capacity;
	}
	if (text->has_failed)
		return;
	memcpy(text->bytes + text->length, piece, length + 1);
	text->length += length;
}

static void text_string(struct text *text, const char *string)
{
	text_add(text, "\"");
	for (; *string; string++) {
		unsigned char c = (unsigned char)*string;

		if (c == '"' || c == '\\' || c < 0x20)
			text_add(text, "\\u%04x", c);
		else
			text_add(text, "%c", c);
	}
	text_add(text, "\"");
}

static void text_key(struct text *text, const char *key)
{
	if (text->length && text->bytes[text->length - 1] != '{')
		text_add(text, ",");
	text_string(text, key);
	text_add(text, ":");
}

static void text_open(struct text *text, const char *key)
{
	text_key(text, key);
	text_add(text, "{");
}

static void text_pair(struct text *text, const char *key, const char *value)
{
	text_key(text, key);
	if (value)
		text_string(text, value);
	else
		text_add(text, "null");
}

static void text_number(struct text *text, const char *key, uint64_t value)
{
	text_key(text, key);
	text_add(text, "%" PRIu64, value);
}

static void dump_config(const struct fl_pool *pool, struct text *text)
{
	const struct fl_pool_config *config = &pool->config;

	text_open(text, "config");
#define FL_CONFIG(field) text_number(text, #field, config->field);
#include "config.def"
#undef FL_CONFIG
	text_pair(text, "name", config->name);
	text_pair(text, "bounds",
		  config->bounds == FL_BOUNDS_GUARDED ? "guarded" :
							"accessible");
	text_pair(text, "allocation", pool->source->name);
	text_pair(text, "strategy",
		  config->strategy == FL_STRATEGY_RANDOM ? "random" :
		  config->strategy == FL_STRATEGY_NEXT_AVAILABLE ?
							   "next-available" :
							   "reuse-affinity");
	text_pair(text, "stack_growth",
		  config->stack_growth == FL_STACK_GROWS_UP ? "up" : "down");
	text_add(text, "}");
}

static void dump_context(const struct fl_context *context, struct text *text)
{
	struct fl_feature feature = { .size = sizeof(feature) };
	const char *reason = NULL;

	text_pair(text, "version", FL_VERSION);
	text_pair(text, "backend", fl_context_backend(context));
	text_pair(text, "rung", fl_context_rung(context, &reason));
	text_pair(text, "rung_reason", reason);
	text_open(text, "features");
	for (uint32_t i = 0; !fl_context_feature(context, i, &feature); i++)
		text_pair(text, feature.name, fl_support_name(feature.support));
	text_add(text, "}");
}

static void dump_metrics(struct fl_pool *pool, struct text *text)
{
	struct snapshot snapshot;
	struct fl_metric metric;

	snapshot_take(pool, true, &snapshot);
	text_pair(text, "statistics", fl_pool_statistics(pool, NULL));
	text_open(text, "metrics");
	for (size_t i = 0; i < FL_ARRAY_SIZE(metric_rows); i++) {
		metric_read(&snapshot, i, &metric);
		if (metric.has_value)
			text_number(text, metric.name, metric.value);
		else
			text_pair(text, metric.name, NULL);
	}
	text_add(text, "}");
}

int fl_pool_dump_json(struct fl_pool *pool, char **json, uint64_t *length_bytes,
		      struct fl_error *error)
{
	struct text text = { 0 };
	int err = fl__pool_check_owner(pool, error);

	if (err)
		return err;
	text_add(&text, "{");
	dump_context(pool->context, &text);
	dump_config(pool, &text);
	dump_metrics(pool, &text);
	text_add(&text, "}");
	if (text.has_failed) {
		free(text.bytes);
		return fl__error_set(error, -ENOMEM, "no memory for the text");
	}
	*json = text.bytes;
	if (length_bytes)
		*length_bytes = text.length;
	return 0;
}
