/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * uffd-stat-print.c - two moments as columns.
 *
 * A number that cannot be had is "-", never 0.
 */
#include "uffd-stat-span.h"

#include <inttypes.h>
#include <string.h>

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
static const char *brief_time(char text[16], const struct stat_span *span,
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

static double per_cycle(const struct stat_span *span, const char *name)
{
	uint64_t cycles, count;

	if (!stat_span_grew(span, cycle_word(span->now), &cycles) || !cycles ||
	    !stat_span_grew(span, name, &count))
		return -1;
	return (double)count / (double)cycles;
}

static double errors_grew(const struct stat_span *span)
{
	const struct stat_schema *schema = span->now->schema;
	uint64_t sum = 0, count;

	for (size_t i = 0; i < schema->row_count; i++) {
		if (!strncmp(schema->rows[i].name, "errors_", 7) &&
		    stat_span_grew(span, schema->rows[i].name, &count))
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

static void wide_print(FILE *out, const struct stat_span *span)
{
	char t[13][16];
	const struct stat_sample *now = span->now;

	fprintf(out,
		" %-9.9s %5s %5s %5s %5s %5s %6s %7s %7s %6s %6s %7s %7s %6s",
		now->about.rung, brief_time(t[0], span, "attach", 500),
		brief_time(t[1], span, "reset", 500),
		brief_time(t[2], span, "reset", 990),
		brief_time(t[3], span, "reset", 999),
		brief_time(t[4], span, "scan", 500),
		brief(t[5], per_cycle(span, "scans")),
		brief(t[6], per_cycle(span, "pages_compared")),
		brief(t[7], stat_span_rate(span, "sweeps")),
		brief(t[8], stat_span_rate(span, "pages_dropped")),
		brief(t[9], stat_span_rate(span, "grows")),
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

static void pool_print(FILE *out, int pid, const struct stat_span *span,
		       const struct stat_style *style)
{
	const struct stat_sample *now = span->now;
	char t[9][16];

	fprintf(out, "%7d %-13.13s %5s %5s %7s %5s %5s %5s %5s %6s %6s", pid,
		now->about.pool[0] ? now->about.pool : "-",
		brief(t[0], (double)stat_value(now, live_word(now))),
		brief(t[1], (double)stat_value(now, "memories_warm")),
		brief(t[2], stat_span_rate(span, cycle_word(now))),
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

/* A line that says its own words: few processes have lazy images. */
static void loads_print(FILE *out, int pid, const struct stat_span *span)
{
	const struct stat_sample *now = span->now;
	char t[11][16];

	fprintf(out,
		"%7d image %s: %s of %s pages, %s load/s, LOAD50 %s LOAD99 %s WAIT50 %s WAIT99 %s, queue %s, %s wait, ahead %s unused %s, failed %" PRIu64
		"\n",
		pid, now->about.pool,
		brief(t[0], (double)stat_value(now, "pages_loaded")),
		brief(t[1], (double)stat_value(now, "image_pages")),
		brief(t[2], stat_span_rate(span, "loads_ended")),
		brief_time(t[3], span, "load", 500),
		brief_time(t[4], span, "load", 990),
		brief_time(t[5], span, "wait", 500),
		brief_time(t[6], span, "wait", 990),
		brief(t[7], (double)stat_value(now, "queue_depth")),
		brief(t[8], (double)stat_value(now, "waiting")),
		brief(t[9], (double)stat_value(now, "foreseen_loaded")),
		brief(t[10], (double)stat_value(now, "foreseen_unused")),
		stat_value(now, "loads_failed"));
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
			struct stat_span span;

			if (!pool->sample) {
				fprintf(out, "%7d (%s: a page %s)\n",
					target->pid, target->command,
					pool->why);
				continue;
			}
			span = stat_span_of(before, now, target, pool->sample);
			if (!pool->sample->schema->is_loads)
				pool_print(out, target->pid, &span, style);
			else if (style->is_wide)
				loads_print(out, target->pid, &span);
		}
		if (!target->pool_count)
			kernel_print(out, target);
	}
	if (!now->target_count)
		fputs("no process of yours has statistics or a userfaultfd\n",
		      out);
}
