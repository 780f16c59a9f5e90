/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-print.c - two moments as columns, as JSON, as metrics.
 *
 * Rates are of the interval; at the first moment, of the time since the pool was
 * made. A number that cannot be had is "-" or null, never 0.
 */
#include "uffd-stat.h"

#include <inttypes.h>
#include <string.h>

/* What belongs to one line. */
struct span {
	const struct stat_sample *before, *now;
	double seconds;
};

static struct span span_of(const struct stat_moment *before,
			   const struct stat_moment *now,
			   const struct stat_target *target,
			   const struct stat_sample *sample)
{
	struct span span = { stat_earlier(before, target, sample), sample, 0 };
	uint64_t from = span.before ? before->now_ns : sample->made_ns;

	if (from < now->now_ns)
		span.seconds = (double)(now->now_ns - from) / 1e9;
	return span;
}

/* How much a counter grew. A counter that fell is a page that lies. */
static bool span_grew(const struct span *span, const char *name,
		      uint64_t *count)
{
	uint64_t old = stat_value(span->before, name), new;

	if (!stat_number(span->now, name, &new) || new < old)
		return false;
	*count = new - old;
	return true;
}

static double span_rate(const struct span *span, const char *name)
{
	uint64_t count;

	if (!span_grew(span, name, &count) || span->seconds <= 0)
		return -1;
	return (double)count / span->seconds;
}

/* Four digits and a letter, at most; negative: none. */
static const char *brief(char text[16], double value)
{
	static const char units[] = " kMGTPE";
	size_t unit = 0;

	while (value >= 9999.5 && unit + 2 < sizeof(units)) {
		value /= 1000;
		unit++;
	}
	if (value < 0)
		snprintf(text, 16, "-");
	else if (unit && value < 99.95)
		snprintf(text, 16, "%.1f%c", value, units[unit]);
	else if (unit)
		snprintf(text, 16, "%.0f%c", value, units[unit]);
	else
		snprintf(text, 16,
			 value > 0 && value < 9.95 &&
					 value != (double)(long)value ?
				 "%.1f" :
				 "%.0f",
			 value);
	return text;
}

static const char *brief_bytes(char text[16], double bytes)
{
	static const char units[] = "BKMGTPE";
	size_t unit = 0;

	while (bytes >= 1023.5 && unit + 2 < sizeof(units)) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, 16, unit && bytes < 99.95 ? "%.1f%c" : "%.0f%c", bytes,
		 units[unit]);
	return text;
}

/* In microseconds. */
static const char *brief_time(char text[16], const struct span *span,
			      const char *name, uint32_t per_mille)
{
	uint64_t count;
	uint64_t ns =
		stat_quantile(span->before, span->now, name, per_mille, &count);

	return brief(text, count ? (double)ns / 1000 : -1);
}

/* Instances where the pool has had any, memories taken alone otherwise. */
static const char *cycle_word(const struct stat_sample *sample)
{
	return stat_value(sample, "instances_acquired") ? "instances_released" :
							  "memories_released";
}

static const char *live_word(const struct stat_sample *sample)
{
	return stat_value(sample, "instances_acquired") ? "instances_live" :
							  "memories_live";
}

static double per_cycle(const struct span *span, const char *name)
{
	uint64_t cycles, count;

	if (!span_grew(span, cycle_word(span->now), &cycles) || !cycles ||
	    !span_grew(span, name, &count))
		return -1;
	return (double)count / (double)cycles;
}

static double errors_grew(const struct span *span)
{
	uint64_t sum = 0, count;

	for (size_t i = 0; i < span->now->row_count; i++) {
		if (!strncmp(span->now->rows[i].name, "errors_", 7) &&
		    span_grew(span, span->now->rows[i].name, &count))
			sum += count;
	}
	return span->seconds > 0 ? (double)sum / span->seconds : -1;
}

static void heading(FILE *out, const struct stat_style *style)
{
	fprintf(out,
		"    PID POOL           LIVE  WARM CYCLE/s ACQ50 ACQ99 REL50 REL99 PG/CYC   KEPT");
	if (style->is_wide)
		fprintf(out,
			" RUNG      ATT50 RES50 RES99 R99.9 SCN50 SCAN/C CMP/CYC SWEEP/s DROP/s GROW/s REFUSED RETIRED  ERR/s");
	fputc('\n', out);
}

static void wide_print(FILE *out, const struct span *span)
{
	char t[13][16];
	const struct stat_sample *now = span->now;

	fprintf(out,
		" %-9.9s %5s %5s %5s %5s %5s %6s %7s %7s %6s %6s %7s %7s %6s",
		now->rung, brief_time(t[0], span, "attach", 500),
		brief_time(t[1], span, "reset", 500),
		brief_time(t[2], span, "reset", 990),
		brief_time(t[3], span, "reset", 999),
		brief_time(t[4], span, "scan", 500),
		brief(t[5], per_cycle(span, "scans")),
		brief(t[6], per_cycle(span, "pages_compared")),
		brief(t[7], span_rate(span, "sweeps")),
		brief(t[8], span_rate(span, "pages_dropped")),
		brief(t[9], span_rate(span, "grows")),
		brief(t[10], (double)(stat_value(now, "memories_refused") +
				      stat_value(now, "tables_refused") +
				      stat_value(now, "instances_refused") +
				      stat_value(now, "stacks_refused"))),
		brief(t[11], (double)(stat_value(now, "memories_retired") +
				      stat_value(now, "tables_retired") +
				      stat_value(now, "instances_retired") +
				      stat_value(now, "stacks_retired"))),
		brief(t[12], errors_grew(span)));
}

static void pool_print(FILE *out, int pid, const struct span *span,
		       const struct stat_style *style)
{
	const struct stat_sample *now = span->now;
	char t[9][16];

	fprintf(out, "%7d %-13.13s %5s %5s %7s %5s %5s %5s %5s %6s %6s", pid,
		now->pool[0] ? now->pool : "-",
		brief(t[0], (double)stat_value(now, live_word(now))),
		brief(t[1], (double)stat_value(now, "memories_warm")),
		brief(t[2], span_rate(span, cycle_word(now))),
		brief_time(t[3], span, "acquire", 500),
		brief_time(t[4], span, "acquire", 990),
		brief_time(t[5], span, "release", 500),
		brief_time(t[6], span, "release", 990),
		brief(t[7], per_cycle(span, "pages_restored")),
		brief_bytes(t[8], (double)stat_value(now, "kept_bytes")));
	if (style->is_wide)
		wide_print(out, span);
	fputc('\n', out);
}

/* The process does not use this library, or does not publish: what the kernel
 * counts. */
static void kernel_print(FILE *out, const struct stat_target *target)
{
	const struct stat_kernel *kernel = &target->kernel;
	char t[3][16];

	fprintf(out,
		"%7d (%s: no statistics; %u userfaultfds, %" PRIu64
		" wait, RSS %s, faults %s + %s)\n",
		target->pid, target->command, kernel->uffds, kernel->total,
		brief_bytes(t[0], (double)kernel->resident_bytes),
		brief(t[1], (double)kernel->minor_faults),
		brief(t[2], (double)kernel->major_faults));
}

void stat_print_columns(FILE *out, const struct stat_moment *before,
			const struct stat_moment *now, struct stat_style *style)
{
	for (size_t i = 0; i < now->target_count; i++) {
		const struct stat_target *target = &now->targets[i];

		if (style->lines++ % 20 == 0)
			heading(out, style);
		for (size_t j = 0; j < target->pool_count; j++) {
			const struct stat_pool *pool = &target->pools[j];
			struct span span;

			if (!pool->sample) {
				fprintf(out, "%7d (%s: a page %s)\n",
					target->pid, target->command,
					pool->why);
				continue;
			}
			span = span_of(before, now, target, pool->sample);
			pool_print(out, target->pid, &span, style);
		}
		if (!target->pool_count)
			kernel_print(out, target);
	}
	if (!now->target_count)
		fputs("no process of yours has statistics or a userfaultfd\n",
		      out);
}

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

static void json_times(FILE *out, const struct span *span, bool is_sizes)
{
	static const uint32_t parts[] = { 500, 990, 999 };
	static const char *const names[] = { "p50", "p99", "p999" };
	bool is_first = true;

	fprintf(out, ",\"%s\":{", is_sizes ? "sizes" : "times");
	for (size_t i = 0; i < span->now->times_count; i++) {
		const char *name = span->now->times[i].name;
		uint64_t count, ns;

		if (span->now->times[i].is_sizes != is_sizes)
			continue;
		(void)stat_quantile(span->before, span->now, name, 500, &count);
		fprintf(out, "%s\"%s\":{\"%s\":%" PRIu64, is_first ? "" : ",",
			name, is_sizes ? "sampled" : "timed", count);
		is_first = false;
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

static void json_pool(FILE *out, const struct span *span)
{
	const struct stat_sample *now = span->now;
	bool is_first = true;

	fputs("{\"pool\":", out);
	json_text(out, now->pool);
	fprintf(out, ",\"serial\":%" PRIu64 ",\"library\":", now->serial);
	json_text(out, now->library);
	fputs(",\"backend\":", out);
	json_text(out, now->backend);
	fputs(",\"rung\":", out);
	json_text(out, now->rung);
	fprintf(out, ",\"seconds\":%.6f,\"numbers\":{", span->seconds);
	for (size_t i = 0; i < now->row_count; i++)
		fprintf(out, "%s\"%s\":%" PRIu64, i ? "," : "",
			now->rows[i].name, now->rows[i].value);
	fputs("},\"rates\":{", out);
	for (size_t i = 0; i < now->row_count; i++) {
		if (now->rows[i].kind != 'c')
			continue;
		fprintf(out, "%s\"%s\":", is_first ? "" : ",",
			now->rows[i].name);
		json_rate(out, span_rate(span, now->rows[i].name));
		is_first = false;
	}
	fputc('}', out);
	json_times(out, span, false);
	json_times(out, span, true);
	fputc('}', out);
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
	for (size_t i = 0; i < target->pool_count; i++) {
		const struct stat_pool *pool = &target->pools[i];
		struct span span;

		if (i)
			fputc(',', out);
		if (!pool->sample) {
			fputs("{\"unread\":", out);
			json_text(out, pool->why);
			fputc('}', out);
			continue;
		}
		span = span_of(before, now, target, pool->sample);
		json_pool(out, &span);
	}
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
	fputs(",pool=", out);
	label_text(out, sample->pool);
	fprintf(out, ",serial=\"%" PRIu64 "\",rung=", sample->serial);
	label_text(out, sample->rung);
	if (quantile)
		fprintf(out, ",quantile=\"%s\"", quantile);
	fputc('}', out);
}

typedef void metric_fn(FILE *out, const struct stat_target *target,
		       const struct stat_sample *sample, const char *name);

static void each_sample(FILE *out, const struct stat_moment *now,
			const char *name, metric_fn *fn)
{
	for (size_t i = 0; i < now->target_count; i++) {
		const struct stat_target *target = &now->targets[i];

		for (size_t j = 0; j < target->pool_count; j++) {
			if (target->pools[j].sample)
				fn(out, target, target->pools[j].sample, name);
		}
	}
}

static const struct stat_row *row_named(const struct stat_sample *sample,
					const char *name)
{
	for (size_t i = 0; i < sample->row_count; i++) {
		if (!strcmp(sample->rows[i].name, name))
			return &sample->rows[i];
	}
	return NULL;
}

static void row_metric(FILE *out, const struct stat_target *target,
		       const struct stat_sample *sample, const char *name)
{
	const struct stat_row *row = row_named(sample, name);

	if (!row)
		return;
	fprintf(out, "faultline_%s%s", name, row->kind == 'c' ? "_total" : "");
	labels(out, target, sample, NULL);
	fprintf(out, " %" PRIu64 "\n", row->value);
}

static const char *times_unit(const struct stat_times *times)
{
	return times->is_sizes ? "bytes" : "seconds";
}

static void times_metric(FILE *out, const struct stat_target *target,
			 const struct stat_sample *sample, const char *name)
{
	static const uint32_t parts[] = { 500, 990, 999 };
	static const char *const quantiles[] = { "0.5", "0.99", "0.999" };
	const struct stat_times *times = stat_times_named(sample, name);
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
		       const struct stat_row *row,
		       const struct stat_style *style)
{
	const char *suffix =
		row->kind == 'c' && !style->is_openmetrics ? "_total" : "";

	fprintf(out, "# HELP faultline_%s%s %s\n", row->name, suffix,
		row->help);
	fprintf(out, "# TYPE faultline_%s%s %s\n", row->name, suffix,
		row->kind == 'c' ? "counter" : "gauge");
	each_sample(out, now, row->name, row_metric);
}

static void times_family(FILE *out, const struct stat_moment *now,
			 const struct stat_times *times)
{
	fprintf(out, "# HELP faultline_%s_%s %s Of one call in 64.\n",
		times->name, times_unit(times), times->help);
	fprintf(out, "# TYPE faultline_%s_%s summary\n", times->name,
		times_unit(times));
	each_sample(out, now, times->name, times_metric);
}

/* Was the name in a sample before this one? Then its family is printed. */
static bool is_printed(const struct stat_moment *now,
		       const struct stat_sample *until, const char *name)
{
	for (size_t i = 0; i < now->target_count; i++) {
		const struct stat_target *target = &now->targets[i];

		for (size_t j = 0; j < target->pool_count; j++) {
			const struct stat_sample *sample =
				target->pools[j].sample;

			if (sample == until)
				return false;
			if (sample && (row_named(sample, name) ||
				       stat_times_named(sample, name)))
				return true;
		}
	}
	return false;
}

static void families(FILE *out, const struct stat_moment *now,
		     const struct stat_sample *sample,
		     const struct stat_style *style)
{
	for (size_t i = 0; i < sample->row_count; i++) {
		const struct stat_row *row = &sample->rows[i];

		/* A moment of a clock that others do not have. */
		if (strcmp(row->unit, "nanoseconds") != 0 &&
		    !is_printed(now, sample, row->name))
			row_family(out, now, row, style);
	}
	for (size_t i = 0; i < sample->times_count; i++) {
		if (!is_printed(now, sample, sample->times[i].name))
			times_family(out, now, &sample->times[i]);
	}
}

void stat_print_metrics(FILE *out, const struct stat_moment *now,
			const struct stat_style *style)
{
	for (size_t i = 0; i < now->target_count; i++) {
		const struct stat_target *target = &now->targets[i];

		for (size_t j = 0; j < target->pool_count; j++) {
			if (target->pools[j].sample)
				families(out, now, target->pools[j].sample,
					 style);
		}
	}
	if (style->is_openmetrics)
		fputs("# EOF\n", out);
}
