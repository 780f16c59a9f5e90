/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* sessions_report.c - what the sessions came to: a table, or an object a line. */
#include <sys/utsname.h>

#include "sessions.h"

void sessions_head(const struct sessions *sessions, double fill_s)
{
	const struct options *options = sessions->options;

	if (options->is_json || options->is_smoke)
		return;
	printf("\n%s: %u sessions, each with a counter, its last fifty events "
	       "and a\ndocument, all begun in %.1f s. A request wakes its "
	       "session, runs, and puts it to\nsleep; in LMDB it takes until "
	       "it and up to 63 others are on the disk. Sessions\nare drawn by "
	       "Zipf's law. held: by this way; bytes: of a session at rest; "
	       "memory,\ntables: MiB, by how much the process has grown.\n\n",
	       sessions->guest->title, sessions->count, fill_s);
	printf("%-20s %1s %8s %8s %8s %8s %7s %6s %6s\n", "way", "w", "held",
	       "req/s", "p50 us", "p99 us", "bytes", "memory", "tables");
	fflush(stdout);
}

static void row_json(const struct sessions *sessions, int way,
		     const struct session_figures *f)
{
	struct utsname host;

	uname(&host);
	printf("{\"bench\": \"service-sessions\", \"guest\": \"%s\", \"way\": "
	       "\"%s\", \"sessions\": %u",
	       sessions->guest->name, session_way(way)->name, sessions->count);
	if (f->left_out) {
		printf(", \"skipped\": \"%s\"}\n", f->left_out);
		return;
	}
	printf(", \"held\": %u, \"workers\": %u, \"requests\": %zu, "
	       "\"requests_per_s\": %.1f, \"p50_us\": %.3f, \"p99_us\": %.3f, "
	       "\"session_bytes\": %.1f, \"memory_mib\": %.1f, "
	       "\"tables_mib\": %.2f, \"compared\": %u, \"rung\": \"%s\", "
	       "\"kernel\": \"%s\"}\n",
	       f->held_count, f->workers, f->requests, f->per_s, f->p50_us,
	       f->p99_us, f->bytes, f->private_mib, f->tables_mib, f->compared,
	       sessions->options->rung, host.release);
}

static void row_text(int way, const struct session_figures *f)
{
	printf("%-20s", session_way(way)->title);
	if (f->left_out) {
		printf(" left out: %s\n", f->left_out);
		return;
	}
	printf(" %1u %8u %8.0f %8.1f %8.1f", f->workers, f->held_count,
	       f->per_s, f->p50_us, f->p99_us);
	if (way == SESSIONS_REPLAY)
		printf(" %7s", "-");
	else
		printf(" %7.0f", f->bytes);
	printf(" %6.0f %6.1f\n", f->private_mib, f->tables_mib);
	if (f->compared)
		printf("  %u sessions are as native replays have them\n",
		       f->compared);
}

void sessions_row(const struct sessions *sessions, int way,
		  const struct session_figures *figures)
{
	if (sessions->options->is_json)
		row_json(sessions, way, figures);
	else if (!sessions->options->is_smoke)
		row_text(way, figures);
	else if (figures->compared)
		printf("%s, sessions, %s: %u of %u are as native replays have "
		       "them\n",
		       sessions->guest->title, session_way(way)->title,
		       figures->compared, figures->held_count);
	else if (figures->left_out)
		printf("%s, sessions, %s: left out: %s\n",
		       sessions->guest->title, session_way(way)->title,
		       figures->left_out);
	fflush(stdout);
}
