/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-export.c - two moments as JSON, one as metrics: what other programs
 * read.
 *
 * A number that cannot be had is null, never 0. No address of another process is
 * in what is written.
 */
#include "uffd-stat-span.h"

#include <inttypes.h>
#include <string.h>

/* --------------------------------------------------------------------- JSON */

static void json_text(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static void json_rate(FILE *out, double rate)
{
	if (rate < 0)
		fputs("null", out);
	else
		fprintf(out, "%.3f", rate);
}

static void json_times(FILE *out, const struct stat_span *span, bool is_sizes)
{
	static const uint32_t parts[] = { 500, 990, 999 };
	static const char *const names[] = { "p50", "p99", "p999" };
	const char *comma = "";

	fprintf(out, ",\"%s\":{", is_sizes ? "sizes" : "times");
	for (size_t i = 0; i < span->now->schema->times_count; i++) {
		const struct stat_times *times = &span->now->schema->times[i];
		const char *name = times->name;
		uint64_t count, ns;

		if (times->is_sizes != is_sizes)
			continue;
		(void)stat_quantile(span->before, span->now, name, 500, &count);
		fprintf(out, "%s\"%s\":{\"%s\":%" PRIu64, comma, name,
			is_sizes ? "sampled" : "timed", count);
		comma = ",";
		for (size_t j = 0; j < 3; j++) {
			ns = stat_quantile(span->before, span->now, name,
					   parts[j], &count);
			fprintf(out, ",\"%s_%s\":", names[j],
				is_sizes ? "bytes" : "ns");
			if (count)
				fprintf(out, "%" PRIu64, ns);
			else
				fputs("null", out);
		}
		fputc('}', out);
	}
	fputc('}', out);
}

static void json_sample(FILE *out, const struct stat_span *span)
{
	const struct stat_sample *now = span->now;
	const struct stat_about *about = &now->about;
	const struct stat_schema *schema = now->schema;
	const char *comma = "";

	fputs(schema->is_loads ? "{\"image\":" : "{\"pool\":", out);
	json_text(out, about->pool);
	fprintf(out, ",\"serial\":%" PRIu64 ",\"library\":", about->serial);
	json_text(out, about->library);
	fputs(",\"backend\":", out);
	json_text(out, about->backend);
	fputs(",\"rung\":", out);
	json_text(out, about->rung);
	fprintf(out, ",\"seconds\":%.6f,\"numbers\":{", span->seconds);
	for (size_t i = 0; i < schema->row_count; i++) {
		/* Where things lie is nobody's business in a log. */
		if (!strcmp(schema->rows[i].unit, "address"))
			continue;
		fprintf(out, "%s\"%s\":%" PRIu64, comma, schema->rows[i].name,
			now->values[i]);
		comma = ",";
	}
	fputs("},\"rates\":{", out);
	comma = "";
	for (size_t i = 0; i < schema->row_count; i++) {
		if (schema->rows[i].kind != 'c')
			continue;
		fprintf(out, "%s\"%s\":", comma, schema->rows[i].name);
		json_rate(out, stat_span_rate(span, schema->rows[i].name));
		comma = ",";
	}
	fputc('}', out);
	json_times(out, span, false);
	json_times(out, span, true);
	fputc('}', out);
}

/* The pools of a process, or its lazy images. A page that cannot be read is
 * among the pools. */
static void json_samples(FILE *out, const struct stat_moment *before,
			 const struct stat_moment *now,
			 const struct stat_target *target, bool is_loads)
{
	const char *comma = "";

	for (size_t i = 0; i < target->pool_count; i++) {
		const struct stat_pool *pool = &target->pools[i];
		struct stat_span span;

		if (is_loads !=
		    (pool->sample && pool->sample->schema->is_loads))
			continue;
		fputs(comma, out);
		comma = ",";
		if (!pool->sample) {
			fputs("{\"unread\":", out);
			json_text(out, pool->why);
			fputc('}', out);
			continue;
		}
		span = stat_span_of(before, now, target, pool->sample);
		json_sample(out, &span);
	}
}

static void json_target(FILE *out, const struct stat_moment *before,
			const struct stat_moment *now,
			const struct stat_target *target)
{
	const struct stat_kernel *kernel = &target->kernel;

	fprintf(out, "{\"pid\":%d,\"command\":", target->pid);
	json_text(out, target->command);
	fprintf(out,
		",\"kernel\":{\"userfaultfds\":%u,\"waiting\":%" PRIu64
		",\"pending\":%" PRIu64 ",\"minor_faults\":%" PRIu64
		",\"major_faults\":%" PRIu64 ",\"resident_bytes\":%" PRIu64
		"},\"pools\":[",
		kernel->uffds, kernel->total, kernel->pending,
		kernel->minor_faults, kernel->major_faults,
		kernel->resident_bytes);
	json_samples(out, before, now, target, false);
	fputs("],\"images\":[", out);
	json_samples(out, before, now, target, true);
	fputs("]}", out);
}

void stat_print_json(FILE *out, const struct stat_moment *before,
		     const struct stat_moment *now)
{
	fprintf(out, "{\"time\":%.6f,\"processes\":[", now->wall_s);
	for (size_t i = 0; i < now->target_count; i++) {
		if (i)
			fputc(',', out);
		json_target(out, before, now, &now->targets[i]);
	}
	fputs("]}\n", out);
}

/* ------------------------------------------------------------------ metrics */

static void label_text(FILE *out, const char *text)
{
	json_text(out, text);
}

static void labels(FILE *out, const struct stat_target *target,
		   const struct stat_sample *sample, const char *quantile)
{
	fprintf(out, "{pid=\"%d\",command=", target->pid);
	label_text(out, target->command);
	fputs(sample->schema->is_loads ? ",image=" : ",pool=", out);
	label_text(out, sample->about.pool);
	fprintf(out, ",serial=\"%" PRIu64 "\",rung=", sample->about.serial);
	label_text(out, sample->about.rung);
	if (quantile)
		fprintf(out, ",quantile=\"%s\"", quantile);
	fputc('}', out);
}

/* What is printed of all samples that have a row of this name. guess: where the
 * row is in samples of the schema that it was found in. */
struct family {
	const char *name;
	const struct stat_schema *schema;
	size_t guess;
};

typedef void metric_fn(FILE *out, const struct stat_target *target,
		       const struct stat_sample *sample,
		       const struct family *family);

static void each_sample(FILE *out, const struct stat_moment *now,
			const struct family *family, metric_fn *fn)
{
	for (size_t i = 0; i < now->target_count; i++) {
		const struct stat_target *target = &now->targets[i];

		for (size_t j = 0; j < target->pool_count; j++) {
			if (target->pools[j].sample)
				fn(out, target, target->pools[j].sample,
				   family);
		}
	}
}

static bool row_find(const struct stat_schema *schema, const char *name,
		     size_t *at)
{
	for (*at = 0; *at < schema->row_count; ++*at) {
		if (!strcmp(schema->rows[*at].name, name))
			return true;
	}
	return false;
}

static void row_metric(FILE *out, const struct stat_target *target,
		       const struct stat_sample *sample,
		       const struct family *family)
{
	size_t at = family->guess;

	if (sample->schema != family->schema &&
	    !row_find(sample->schema, family->name, &at))
		return;
	fprintf(out, "faultline_%s%s", family->name,
		sample->schema->rows[at].kind == 'c' ? "_total" : "");
	labels(out, target, sample, NULL);
	fprintf(out, " %" PRIu64 "\n", sample->values[at]);
}

static const struct stat_times *times_find(const struct stat_schema *schema,
					   const char *name)
{
	for (size_t i = 0; i < schema->times_count; i++) {
		if (!strcmp(schema->times[i].name, name))
			return &schema->times[i];
	}
	return NULL;
}

static const char *times_unit(const struct stat_times *times)
{
	return times->is_sizes ? "bytes" : "seconds";
}

static void times_metric(FILE *out, const struct stat_target *target,
			 const struct stat_sample *sample,
			 const struct family *family)
{
	static const uint32_t parts[] = { 500, 990, 999 };
	static const char *const quantiles[] = { "0.5", "0.99", "0.999" };
	const char *name = family->name;
	const struct stat_times *times = times_find(sample->schema, name);
	uint64_t count = 0;

	if (!times)
		return;
	for (size_t i = 0; i < 3; i++) {
		uint64_t ns =
			stat_quantile(NULL, sample, name, parts[i], &count);

		fprintf(out, "faultline_%s_%s", name, times_unit(times));
		labels(out, target, sample, quantiles[i]);
		if (count && times->is_sizes)
			fprintf(out, " %" PRIu64 "\n", ns);
		else if (count)
			fprintf(out, " %.9f\n", (double)ns / 1e9);
		else
			fputs(" NaN\n", out);
	}
	fprintf(out, "faultline_%s_%s_count", name, times_unit(times));
	labels(out, target, sample, NULL);
	fprintf(out, " %" PRIu64 "\n", count);
}

static void row_family(FILE *out, const struct stat_moment *now,
		       const struct stat_schema *schema, size_t at,
		       const struct stat_style *style)
{
	const struct stat_row *row = &schema->rows[at];
	struct family family = { row->name, schema, at };
	const char *suffix =
		row->kind == 'c' && !style->is_openmetrics ? "_total" : "";

	fprintf(out, "# HELP faultline_%s%s %s\n", row->name, suffix,
		row->help);
	fprintf(out, "# TYPE faultline_%s%s %s\n", row->name, suffix,
		row->kind == 'c' ? "counter" : "gauge");
	each_sample(out, now, &family, row_metric);
}

static void times_family(FILE *out, const struct stat_moment *now,
			 const struct stat_sample *sample, size_t at)
{
	const struct stat_times *times = &sample->schema->times[at];
	struct family family = { times->name, sample->schema, at };

	fprintf(out, "# HELP faultline_%s_%s %s", times->name,
		times_unit(times), times->help);
	if (sample->about.sample_every > 1)
		fprintf(out, " Of one call in %u.", sample->about.sample_every);
	fprintf(out, "\n# TYPE faultline_%s_%s summary\n", times->name,
		times_unit(times));
	each_sample(out, now, &family, times_metric);
}

/* Schemas whose families are printed. */
struct printed {
	const struct stat_schema *schemas[16];
	size_t count;
};

static bool is_printed(const struct printed *printed, const char *name)
{
	for (size_t i = 0; i < printed->count; i++) {
		const struct stat_schema *schema = printed->schemas[i];
		size_t at;

		if (row_find(schema, name, &at))
			return true;
		if (times_find(schema, name))
			return true;
	}
	return false;
}

/* Units of a moment of a clock, or of a place, that nobody else has. */
static bool is_exported(const struct stat_row *row)
{
	return strcmp(row->unit, "nanoseconds") != 0 &&
	       strcmp(row->unit, "address") != 0;
}

static void families(FILE *out, const struct stat_moment *now,
		     const struct stat_sample *sample, struct printed *printed,
		     const struct stat_style *style)
{
	const struct stat_schema *schema = sample->schema;

	for (size_t i = 0; i < printed->count; i++) {
		if (printed->schemas[i] == schema)
			return;
	}
	/* More kinds of libraries than this have no names of their own. */
	if (printed->count == sizeof(printed->schemas) / sizeof(void *))
		return;
	for (size_t i = 0; i < schema->row_count; i++) {
		if (is_exported(&schema->rows[i]) &&
		    !is_printed(printed, schema->rows[i].name))
			row_family(out, now, schema, i, style);
	}
	for (size_t i = 0; i < schema->times_count; i++) {
		if (!is_printed(printed, schema->times[i].name))
			times_family(out, now, sample, i);
	}
	printed->schemas[printed->count++] = schema;
}

void stat_print_metrics(FILE *out, const struct stat_moment *now,
			const struct stat_style *style)
{
	struct printed printed = { .count = 0 };

	for (size_t i = 0; i < now->target_count; i++) {
		const struct stat_target *target = &now->targets[i];

		for (size_t j = 0; j < target->pool_count; j++) {
			if (target->pools[j].sample)
				families(out, now, target->pools[j].sample,
					 &printed, style);
		}
	}
	if (style->is_openmetrics)
		fputs("# EOF\n", out);
}
