/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * test.h - a test program: case tables, skips with a reason, leak checks.
 *
 * A test program is a table of cases and a main() that calls test_main(). Each
 * case runs once, or once per rung (a suite of its own) when rungs are given.
 * `needs` answers NULL, or why the case cannot run here: it is then skipped,
 * the reason is printed, and FAULTLINE_TEST_REQUIRE=all makes it a failure,
 * unless the reason begins with TEST_NOT_BUILT.
 *
 * The program prints one line per case and ends with "N passed, N failed,
 * N skipped"; it exits 0, 1, or 77 when everything was skipped. Arguments pick
 * cases: "case", "suite" or "suite/case".
 *
 * After each case that passed, open file descriptors, threads and reserved
 * address space must be as before it. Every case has a time limit.
 */
#ifndef TEST_H
#define TEST_H

#include "check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEST_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* First words of a skip reason that even FAULTLINE_TEST_REQUIRE=all takes. */
#define TEST_NOT_BUILT "not built: "

struct test_case {
	const char *name;
	void (*fn)(void);
	const char *(*needs)(void); /* NULL: needs nothing */
};

#define TEST_CASE(name)           \
	{                         \
#name, name, NULL \
	}
#define TEST_CASE_NEEDS(name, needs) \
	{                            \
#name, name, needs   \
	}

/* One way to run the whole table. */
struct test_rung {
	const char *name; /* of the suite */
	const char *backend; /* for fl_context_config.backend */
	const char *how; /* what fl_context_rung() must answer then */
	const char *disable; /* for FAULTLINE_DISABLE; NULL: as it is */
	const char *(*needs)(void); /* asked with disable in effect */
};

/* The rung of the running case, NULL outside. */
extern const struct test_rung *test_rung;

/* rungs NULL: one suite, named after the program. */
int test_main(int argc, char **argv, const struct test_case *cases,
	      size_t case_count, const struct test_rung *rungs,
	      size_t rung_count);

#endif
