/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* trap.c - the traps of trap.h, by signals. */
#include "trap.h"

#include "check.h"

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>

static sigjmp_buf catch_jump;
static volatile sig_atomic_t catch_signo;
static const void *volatile catch_addr;
static void (*catch_seen)(const void *addr);

static void catch_handler(int signo, siginfo_t *info, void *context)
{
	(void)context;
	catch_signo = signo;
	catch_addr = info->si_addr;
	if (catch_seen)
		catch_seen(info->si_addr);
	siglongjmp(catch_jump, 1);
}

struct test_trap test_catch_seen(void (*fn)(void *arg), void *arg,
				 void (*seen)(const void *addr))
{
	struct sigaction action = { .sa_flags = SA_SIGINFO }, segv, bus;
	struct test_trap trap;

	action.sa_sigaction = catch_handler;
	sigemptyset(&action.sa_mask);
	sigaction(SIGSEGV, &action, &segv);
	sigaction(SIGBUS, &action, &bus);
	catch_signo = 0;
	catch_addr = NULL;
	catch_seen = seen;
	if (!sigsetjmp(catch_jump, 1))
		fn(arg);
	sigaction(SIGSEGV, &segv, NULL);
	sigaction(SIGBUS, &bus, NULL);
	trap.signo = catch_signo;
	trap.addr = catch_addr;
	return trap;
}

static void (*fault_fn)(int signo, const void *addr);

static void fault_handler(int signo, siginfo_t *info, void *context)
{
	(void)context;
	fault_fn(signo, info->si_addr);
}

void test_handle_faults(void (*fn)(int signo, const void *addr))
{
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
	static uint8_t alternate[64 * 1024];
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };

	fault_fn = fn;
	action.sa_sigaction = fault_handler;
	MUST_EQ(sigaltstack(&stack, NULL), 0);
	MUST_EQ(sigaction(SIGSEGV, &action, NULL), 0);
}

static __thread sigjmp_buf *volatile thread_jump;
static struct sigaction threads_before;
static void (*threads_seen)(const void *addr);

static void thread_handler(int signo, siginfo_t *info, void *context)
{
	(void)context;
	if (!thread_jump) {
		/* Nobody expects this: fault again, and die of it. */
		signal(signo, SIG_DFL);
		return;
	}
	if (threads_seen)
		threads_seen(info->si_addr);
	siglongjmp(*thread_jump, 1);
}

void test_threads_catch(void (*seen)(const void *addr))
{
	struct sigaction action = { .sa_flags = SA_SIGINFO };

	threads_seen = seen;
	action.sa_sigaction = thread_handler;
	MUST_EQ(sigaction(SIGSEGV, &action, &threads_before), 0);
}

void test_threads_catch_end(void)
{
	MUST_EQ(sigaction(SIGSEGV, &threads_before, NULL), 0);
}

bool test_thread_read(const void *addr, uint8_t *byte)
{
	sigjmp_buf jump;
	volatile bool is_read = false;

	if (!sigsetjmp(jump, 1)) {
		thread_jump = &jump;
		*byte = *(const volatile uint8_t *)addr;
		is_read = true;
	}
	thread_jump = NULL;
	return is_read;
}
