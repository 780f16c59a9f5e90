/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* trap.h - accesses that may trap, and the traps of others. */
#ifndef TEST_TRAP_H
#define TEST_TRAP_H

#include <stdbool.h>
#include <stdint.h>

struct test_trap {
	int signo; /* 0: fn returned */
	const void *addr; /* where the fault was */
};

/* Run fn(arg); a SIGSEGV or SIGBUS of this thread ends it. Restores the
 * handlers that were installed. One thread at a time. */
struct test_trap test_catch(void (*fn)(void *arg), void *arg);

/* The same, with a call of seen() from the handler, as a runtime's would do. */
struct test_trap test_catch_seen(void (*fn)(void *arg), void *arg,
				 void (*seen)(const void *addr));

/* From now on fn() has every SIGSEGV of this thread, on a stack of its own; it
 * must not return. For children. */
void test_handle_faults(void (*fn)(int signo, const void *addr));

/* The signal that reading or writing one byte there raises, 0 for none. A
 * write that succeeds puts back what was there. */
int test_read_signal(const void *addr);
int test_write_signal(void *addr);

/* Both raise SIGSEGV at that very address; neither raises anything. */
bool test_traps(void *addr);
bool test_open(void *addr);

/* Reads by several threads at once, between on and off: false when the read was
 * a SIGSEGV, of which seen (may be NULL) was told in the handler. */
void test_threads_catch(void (*seen)(const void *addr));
void test_threads_catch_end(void);
bool test_thread_read(const void *addr, uint8_t *byte);

#endif
