/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * test.h - CUnit glue: case tables, skips with a reason, leak checks, children,
 * traps.
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
 *
 * The CHECK macros may be used from any thread and in forked children: a
 * failure in a thread fails the case that started it, one in a child of
 * test_fork() makes that child exit with TEST_CHILD_FAILED.
 */
#ifndef TEST_H
#define TEST_H

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

/* ------------------------------------------------------------------- checks */

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
void test_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Has this case failed so far? */
bool test_has_failed(void);

/* Built with the address or the thread sanitizer? Both need mappings and time
 * of their own. */
bool test_is_sanitized(void);

/* ----------------------------------------------------------------- children */

#define TEST_CHILD_FAILED 99

struct test_end {
	int status; /* exit status, -1 when a signal ended it */
	int signo; /* that signal, 0 otherwise; SIGALRM: it hung */
};

/* Run fn(arg) in a forked child with default signal handlers; its return value
 * is the exit status. SIGALRM after timeout_s seconds. */
struct test_end test_fork(int (*fn)(void *arg), void *arg,
			  unsigned int timeout_s);

/* -------------------------------------------------------------------- traps */

struct test_trap {
	int signo; /* 0: fn returned */
	const void *addr; /* where the fault was */
};

/* Run fn(arg); a SIGSEGV or SIGBUS of this thread ends it. Restores the
 * handlers that were installed. One thread at a time. */
struct test_trap test_catch(void (*fn)(void *arg), void *arg);

/* The signal that reading or writing one byte there raises, 0 for none. A
 * write that succeeds puts back what was there. */
int test_read_signal(const void *addr);
int test_write_signal(void *addr);

/* Both raise SIGSEGV at that very address; neither raises anything. */
bool test_traps(void *addr);
bool test_open(void *addr);

/* ------------------------------------------------------------------- random */

/* Deterministic; seeded from FAULTLINE_TEST_SEED or the given number, which is
 * printed. */
struct test_random {
	uint64_t state;
};

void test_random_init(struct test_random *random, uint64_t seed);
uint64_t test_random_next(struct test_random *random);
/* Uniform in [0, limit); 0 for a limit of 0. */
uint64_t test_random_below(struct test_random *random, uint64_t limit);

/* -------------------------------------------------------------------- clock */

uint64_t test_now_ns(void);
void test_sleep_ms(unsigned int ms);

/* ---------------------------------------------------------------- resources */

struct test_resources {
	unsigned int fds;
	unsigned int threads;
	unsigned int memfds; /* mappings of memfds and of userfaultfds */
	uint64_t reserved_bytes; /* mappings that nobody may access */
};

/* What the process holds now. */
void test_resources(struct test_resources *now);

/* Checks that nothing is left over; threads that are just ending get time. */
void test_check_resources(const struct test_resources *before);

#endif
