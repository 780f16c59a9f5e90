/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * runner.h - what runs the cases of a program and counts their failures, for
 * the other parts of the kit.
 *
 * It is there twice: cunit.c leaves the work to CUnit, runner.c does it where
 * CUnit is missing. configure chooses; what the program prints is the same. One
 * thread calls it, and no child.
 */
#ifndef TEST_RUNNER_H
#define TEST_RUNNER_H

#include <stdbool.h>

struct runner_calls {
	void (*begin)(const char *suite, const char *name);
	void (*end)(void); /* may still fail the case */
	void (*done)(const char *suite, const char *name, bool has_failed);
	void (*skipped)(const char *suite, const char *name,
			const char *reason);
};

struct runner_counts {
	unsigned int run;
	unsigned int failed; /* of those that ran to an end */
	unsigned int skipped; /* in their middle, by runner_skip() */
};

bool runner_open(const struct runner_calls *calls);
/* Both names must live as long as the runner. A suite's cases come one after
 * the other. */
bool runner_add(const char *suite, const char *name, void (*fn)(void));
/* Each case in the order of runner_add(), between begin() and end(). */
struct runner_counts runner_run(void);
void runner_close(void);

/* The running case has failed. A fatal failure ends it: does not return. */
void runner_fail(bool is_fatal, const char *file, int line, const char *text);
/* Runs without CUnit alone: the running case cannot go on here, or the program,
 * between cases. Does not return; what the case holds stays. */
void runner_skip(const char *reason) __attribute__((noreturn));
/* Calls of runner_fail() so far. */
unsigned int runner_failures(void);

/* check.c: remember this thread and process as the main ones; a case begins;
 * its failures in threads, or in the child that asks. */
void check_init(void);
void check_case_begin(void);
unsigned int check_elsewhere(void);

#endif
