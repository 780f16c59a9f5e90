/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* access.c - the accesses of trap.h, which may trap. */
#include "trap.h"

#include <signal.h>
#include <stddef.h>
#include <string.h>

struct test_trap test_catch(void (*fn)(void *arg), void *arg)
{
	return test_catch_seen(fn, arg, NULL);
}

static void read_byte(void *arg)
{
	(void)*(const volatile uint8_t *)arg;
}

static void write_byte(void *arg)
{
	volatile uint8_t *byte = arg;

	*byte = *byte;
}

/* Of a page that can be read, the write alone decides. */
static void store_byte(void *arg)
{
	*(volatile uint8_t *)arg = 0;
}

int test_read_signal(const void *addr)
{
	void *arg;

	memcpy(&arg, &addr, sizeof(arg));
	return test_catch(read_byte, arg).signo;
}

int test_write_signal(void *addr)
{
	if (test_read_signal(addr))
		return test_catch(store_byte, addr).signo;
	return test_catch(write_byte, addr).signo;
}

/* On s390x the processor tells the page of a fault and not the byte. */
static bool is_told(const void *told, const void *addr)
{
#ifdef __s390x__
	return (uintptr_t)told == ((uintptr_t)addr & ~(uintptr_t)4095);
#else
	return told == addr;
#endif
}

bool test_traps(void *addr)
{
	struct test_trap on_read = test_catch(read_byte, addr);
	struct test_trap on_write = test_catch(store_byte, addr);

	return on_read.signo == SIGSEGV && is_told(on_read.addr, addr) &&
	       on_write.signo == SIGSEGV && is_told(on_write.addr, addr);
}

bool test_open(void *addr)
{
	return !test_read_signal(addr) && !test_write_signal(addr);
}
