/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * check.h - the verdicts of a case.
 *
 * The CHECK macros may be used from any thread and in forked children: a
 * failure in a thread fails the case that started it, one in a child of
 * child.h makes that child exit with TEST_CHILD_FAILED.
 */
#ifndef TEST_CHECK_H
#define TEST_CHECK_H

#include "lib/base/util.h"

bool test_check(bool holds, bool fatal, const char *file, int line,
		const char *text);
bool test_check_eq(uint64_t actual, uint64_t expected, bool fatal,
		   const char *file, int line, const char *text);
bool test_check_has(const char *text, const char *part, const char *file,
		    int line);

/* Go on after a failure (CHECK), or end the case (MUST; main thread only, in a
 * child it ends the child, in a thread it goes on). All give the verdict. */
#define CHECK(x) test_check((x), false, __FILE__, __LINE__, #x)
#define MUST(x) test_check((x), true, __FILE__, __LINE__, #x)
#define CHECK_EQ(actual, expected)                                     \
	test_check_eq((uint64_t)(actual), (uint64_t)(expected), false, \
		      __FILE__, __LINE__, #actual " == " #expected)
#define MUST_EQ(actual, expected)                                     \
	test_check_eq((uint64_t)(actual), (uint64_t)(expected), true, \
		      __FILE__, __LINE__, #actual " == " #expected)
/* text contains part, whatever the case of its letters. */
#define CHECK_HAS(text, part) test_check_has(text, part, __FILE__, __LINE__)

/* A note for whoever reads the log, for instance a seed. */
void test_note(const char *fmt, ...) FL_PRINTF(1, 2);

/* The case was asked to take longer: its limit is so many seconds more, from now
 * on. */
void test_more_time(unsigned int s);

/* Has this case failed so far? */
bool test_has_failed(void);

/* Built with the address or the thread sanitizer? Both need mappings and time
 * of their own. */
bool test_is_sanitized(void);

/* How many rounds a case of random rounds takes: rounds, or on an emulator that is
 * told by FAULTLINE_TEST_FEWER=N a part in N, at least one. */
int test_rounds(int rounds);

#endif
