/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* runner.c - runs cases without CUnit; see runner.h. */
#include "runner.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

struct entry {
	const char *suite;
	const char *name;
	void (*fn)(void);
};

static struct {
	const struct runner_calls *calls;
	struct entry *entries;
	size_t count;
	unsigned int failures;
	bool is_in_case; /* else there is nowhere to jump to */
	const char *skip_reason;
	jmp_buf case_end;
} runner;

bool runner_open(const struct runner_calls *calls)
{
	runner.calls = calls;
	return true;
}

bool runner_add(const char *suite, const char *name, void (*fn)(void))
{
	size_t size = (runner.count + 1) * sizeof(runner.entries[0]);
	struct entry *entries = realloc(runner.entries, size);

	if (!entries)
		return false;
	entries[runner.count++] = (struct entry){ suite, name, fn };
	runner.entries = entries;
	return true;
}

static void run_case(const struct entry *entry)
{
	runner.calls->begin(entry->suite, entry->name);
	if (!setjmp(runner.case_end)) {
		runner.is_in_case = true;
		entry->fn();
	}
	runner.is_in_case = false;
	if (!runner.skip_reason)
		runner.calls->end();
}

struct runner_counts runner_run(void)
{
	struct runner_counts counts = { 0 };

	for (size_t i = 0; i < runner.count; i++) {
		const struct entry *entry = &runner.entries[i];
		unsigned int before = runner.failures;
		bool has_failed;

		runner.skip_reason = NULL;
		run_case(entry);
		has_failed = runner.failures > before;
		if (runner.skip_reason && !has_failed) {
			counts.skipped++;
			runner.calls->skipped(entry->suite, entry->name,
					      runner.skip_reason);
			continue;
		}
		counts.run++;
		counts.failed += has_failed;
		runner.calls->done(entry->suite, entry->name, has_failed);
	}
	return counts;
}

void runner_close(void)
{
	free(runner.entries);
	runner.entries = NULL;
	runner.count = 0;
}

void runner_fail(bool is_fatal, const char *file, int line, const char *text)
{
	(void)file;
	(void)line;
	(void)text;
	runner.failures++;
	if (!is_fatal)
		return;
	if (!runner.is_in_case)
		abort();
	longjmp(runner.case_end, 1);
}

void runner_skip(const char *reason)
{
	if (!runner.is_in_case) {
		printf("skip: %s\n", reason);
		exit(77);
	}
	runner.skip_reason = reason;
	longjmp(runner.case_end, 1);
}

unsigned int runner_failures(void)
{
	return runner.failures;
}
