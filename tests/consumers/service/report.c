/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * report.c - what the service found, as tables of 80 columns, or as one JSON
 * object a line.
 */
#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "service.h"

/* Isolation should cost no more than this and so many times memcpy. */
#define ISOLATION_US 3.0
#define ISOLATION_COPIES 1.3

#define LEFT_OUT "left out: there is no pre-started module"

void report_head(const struct options *options, struct fl_context *context)
{
	struct utsname host;

	if (options->is_json)
		return;
	uname(&host);
	printf("A function service: each request in a fresh instance, every "
	       "answer compared\nwith that of the native build.\n\n"
	       " a   stock wasm2c: a new memory, the guest's start, the "
	       "request\n"
	       " a2  stock wasm2c on a module that was started before it was "
	       "compiled\n"
	       " b   Faultline without a snapshot: the guest's start in a clean "
	       "slot\n"
	       " c   Faultline: a clone of an instance that has started\n"
	       " d   one instance for all, never made clean: the ceiling, "
	       "without isolation\n\n"
	       "%s %s %s, %ld processors\nFaultline %s, backend %s, rung "
	       "%s\n",
	       host.sysname, host.release, host.machine,
	       sysconf(_SC_NPROCESSORS_ONLN), fl_version(),
	       fl_context_backend(context), options->rung);
	printf("us a request: start, request and end together; faults: minor "
	       "page faults;\nTLB: shootdowns of the whole host, each of "
	       "these a request. Workers are threads.\n");
}

void report_guest(const struct options *options, const struct guest *guest)
{
	struct fl_image_info info = { .size = sizeof(info) };

	if (options->is_json)
		return;
	fl_image_info(fl_snapshot_image(guest->snapshot, 0, 0), &info);
	printf("\n%s: starts in %.1f ms; the started memory has %llu KiB, %llu "
	       "pages of data\n",
	       guest->title, (double)guest->start_ns / 1e6,
	       (unsigned long long)guest->memory_bytes / 1024,
	       (unsigned long long)info.data_hpages);
}

static void row_json(const struct options *options, const struct guest *guest,
		     uint32_t kind, int way, const struct figures *f)
{
	struct utsname host;

	uname(&host);
	printf("{\"bench\": \"service\", \"guest\": \"%s\", \"kind\": \"%s\", "
	       "\"way\": \"%s\"",
	       guest->name, guest->kinds[kind], ways[way].name);
	if (!f->is_there) {
		printf(", \"skipped\": \"no module that was started "
		       "before\"}\n");
		return;
	}
	printf(", \"workers\": %u, \"requests\": %zu, \"requests_per_s\": "
	       "%.1f, \"p50_us\": %.3f, \"p95_us\": %.3f, \"p99_us\": %.3f, "
	       "\"isolation_p50_us\": %.3f, \"isolation_p99_us\": %.3f, "
	       "\"faults\": %.3f, \"shootdowns\": %.4f, \"rung\": \"%s\", "
	       "\"kernel\": \"%s\"}\n",
	       f->workers, f->requests, f->per_s, f->p50_us, f->p95_us,
	       f->p99_us, f->isolation_p50_us, f->isolation_p99_us, f->faults,
	       f->shootdowns, options->rung, host.release);
}

static void row(int way, const struct figures *f)
{
	printf(" %-3s %-23s", ways[way].letter, ways[way].title);
	if (!f->is_there) {
		printf(" " LEFT_OUT "\n");
		return;
	}
	printf(" %8.0f %8.2f %8.2f %8.2f %7.2f %7.3f\n", f->per_s, f->p50_us,
	       f->p95_us, f->p99_us, f->faults, f->shootdowns);
}

void report_figures(const struct options *options, const struct guest *guest,
		    uint32_t kind, const struct figures figures[WAYS])
{
	unsigned int workers = figures[WAY_CLONE].workers;
	char title[64];

	if (!options->is_json) {
		snprintf(title, sizeof(title), "%s, %s, %u worker%s",
			 guest->title, guest->kinds[kind], workers,
			 workers > 1 ? "s" : "");
		printf("\n%-28s %8s %8s %8s %8s %7s %7s\n", title, "req/s",
		       "p50 us", "p95 us", "p99 us", "faults", "TLB");
	}
	for (int way = 0; way < WAYS; way++) {
		if (options->is_json)
			row_json(options, guest, kind, way, &figures[way]);
		else
			row(way, &figures[way]);
	}
	fflush(stdout);
}

void report_footprints(const struct options *options, const struct guest *guest,
		       const struct footprint footprints[WAYS])
{
	if (!options->is_json)
		printf("\n%-7s private memory, KiB %7s %8s\n", guest->title,
		       "idle", "live");
	for (int way = 0; way < WAYS; way++) {
		const struct footprint *f = &footprints[way];

		if (options->is_json && f->is_there)
			printf("{\"bench\": \"service-memory\", \"guest\": "
			       "\"%s\", \"way\": \"%s\", \"idle_kib\": %.1f, "
			       "\"live_kib\": %.1f}\n",
			       guest->name, ways[way].name, f->idle_kib,
			       f->live_kib);
		else if (!options->is_json && f->is_there)
			printf(" %-3s %-23s %8.1f %8.1f\n", ways[way].letter,
			       ways[way].title, f->idle_kib, f->live_kib);
	}
	fflush(stdout);
}

/* --------------------------------------------------------------- summaries */

/* How many times as long a way takes as a clone does; 0: left out. */
static double times(const struct summary *summary, int way)
{
	const struct figures *f = summary->one;

	return f[way].is_there ? f[way].p50_us / f[WAY_CLONE].p50_us : 0;
}

static double isolation_us(const struct summary *summary)
{
	return summary->one[WAY_CLONE].p50_us - summary->one[WAY_REUSE].p50_us;
}

static double bound_us(const struct summary *summary)
{
	return ISOLATION_US + ISOLATION_COPIES * summary->written.memcpy_us;
}

static double scaling(const struct summary *summary)
{
	return summary->two[WAY_CLONE].is_there ?
		       summary->two[WAY_CLONE].per_s /
			       summary->one[WAY_CLONE].per_s :
		       0;
}

static void summary_json(const struct summary *s)
{
	printf("{\"bench\": \"service-summary\", \"guest\": \"%s\", \"kind\": "
	       "\"%s\", \"stock_by_clone\": %.3f, \"baked_by_clone\": %.3f, "
	       "\"pool_by_clone\": %.3f, \"isolation_us\": %.3f, "
	       "\"bound_us\": %.3f, \"written_hpages\": %.1f, \"memcpy_us\": "
	       "%.3f, \"isolation_p99_by_p50\": %.3f, "
	       "\"warm_p99_by_p50\": %.3f, "
	       "\"two_workers_by_one\": %.3f}\n",
	       s->guest->name, s->guest->kinds[s->kind], times(s, WAY_STOCK),
	       times(s, WAY_BAKED), times(s, WAY_POOL), isolation_us(s),
	       bound_us(s), s->written.hpages, s->written.memcpy_us,
	       s->one[WAY_CLONE].isolation_p99_us /
		       s->one[WAY_CLONE].isolation_p50_us,
	       s->one[WAY_CLONE].warm_p99_us /
		       s->one[WAY_CLONE].isolation_p50_us,
	       scaling(s));
}

/* A number, or a dash where there is none. */
static void cell(double value, int width, int decimals)
{
	if (value > 0)
		printf(" %*.*f", width, decimals, value);
	else
		printf(" %*s", width, "-");
}

static void summary_row(const struct summary *s)
{
	printf("%-7s %-8s", s->guest->title, s->guest->kinds[s->kind]);
	cell(times(s, WAY_STOCK), 6, 1);
	cell(times(s, WAY_BAKED), 6, 1);
	cell(times(s, WAY_POOL), 6, 1);
	printf(" %7.2f %6.2f %5.0f %6.2f", isolation_us(s), bound_us(s),
	       s->written.hpages, s->written.memcpy_us);
	cell(s->one[WAY_CLONE].isolation_p99_us /
		     s->one[WAY_CLONE].isolation_p50_us,
	     5, 1);
	cell(s->one[WAY_CLONE].warm_p99_us / s->one[WAY_CLONE].isolation_p50_us,
	     5, 1);
	cell(scaling(s), 6, 2);
	printf("\n");
}

void report_summaries(const struct options *options,
		      const struct summary *summaries, unsigned int count)
{
	if (!options->is_json) {
		printf("\na, a2, b: how many times as long as a clone they "
		       "take, by p50 of one worker.\n(c)-(d): what isolation "
		       "costs, in us, by the same. bound: 3 us + 1.3 x\n"
		       "memcpy of the pages that a request writes. p99: of "
		       "start and end, divided by\ntheir p50. warm: the same "
		       "without the first request of each block of 10 ms, "
		       "which\nfinds the caches full of another way's memory. "
		       "2 by 1: clones' requests/s with\ntwo workers, divided "
		       "by one's.\n\n");
		printf("%-16s %6s %6s %6s %7s %6s %5s %6s %5s %5s %6s\n", "",
		       "a", "a2", "b", "(c)-(d)", "bound", "pages", "memcpy",
		       "p99", "warm", "2 by 1");
	}
	for (unsigned int i = 0; i < count; i++) {
		if (options->is_json)
			summary_json(&summaries[i]);
		else
			summary_row(&summaries[i]);
	}
	if (!options->is_json)
		printf("\nEvery answer was that of the native build.\n");
}
