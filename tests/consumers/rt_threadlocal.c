/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * rt_threadlocal.c - all of wasm-rt.h (wabt 1.0.32) with its state per thread.
 *
 * Debian's libwasm-rt-impl.a keeps the target of a trap in one variable of
 * the process and has a signal stack on one thread only, so a second thread
 * that traps jumps into the first one's frames. Here each thread has its own
 * jump target, exception and signal stack.
 *
 * A fault becomes a trap when this thread is inside rt_try() and the address
 * lies in guest memory (WASM_RT_TRAP_OOB) or in the guard of this thread's
 * stack (WASM_RT_TRAP_EXHAUSTION). Every other fault goes to the handler that
 * was there before, or to the default action, so that a bug of the host still
 * ends the program where it happened.
 *
 * wasm-rt.h gives its functions no way to report an error: where the host has
 * no memory left, they print a sentence and abort, as wabt's do. The mutex
 * guards the list of function types and initialisation; the list of
 * reservations is lock-free because the signal handler reads it.
 *
 * The jump saves no signal mask: the handler runs with SA_NODEFER and an empty
 * mask, so none has changed, and a call into a guest costs no system call.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rt_threadlocal.h"

#if WASM_RT_USE_STACK_DEPTH_COUNT
#error "wasm-rt.h counts the stack depth in one variable for all threads"
#endif

#define WPAGE_BYTES ((uint64_t)65536)
#define RESERVATION_BYTES ((size_t)8 << 30)
#define MAX_RESERVATIONS 1024
#define MAX_EXCEPTION_BYTES 256
#define SIGNAL_STACK_BYTES ((size_t)64 << 10)
/* How far a frame may jump over the lowest page of the stack and still be
 * taken for an overflow of it. */
#define STACK_SLACK_BYTES ((uintptr_t)64 << 10)

struct rt_thread {
	sigjmp_buf *trap_target; /* NULL outside rt_try() */
	WASM_RT_UNWIND_TARGET *unwind_target;
	void *signal_stack;
	uintptr_t stack_guard_low;
	uintptr_t stack_guard_high;
	uint32_t exception_tag;
	uint32_t exception_bytes;
	_Alignas(16) uint8_t exception[MAX_EXCEPTION_BYTES];
};

struct func_type {
	struct func_type *next;
	uint32_t idx;
	uint32_t param_count;
	uint32_t result_count;
	wasm_rt_type_t types[];
};

static _Thread_local struct rt_thread rt_thread;

static pthread_mutex_t rt_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool rt_initialized;
static struct sigaction previous_segv, previous_bus;
static struct func_type *func_types;
static atomic_uint tag_count;

static bool (*lookup)(void *user, const void *address);
static void *lookup_user;
static _Atomic(uintptr_t) reservations[MAX_RESERVATIONS];

static _Noreturn void die(const char *sentence)
{
	fprintf(stderr, "rt_threadlocal: %s\n", sentence);
	abort();
}

/* ------------------------------------------------------------------ faults */

static bool is_guest_address(uintptr_t address)
{
	size_t i;

	if (lookup && lookup(lookup_user, (const void *)address))
		return true;
	for (i = 0; i < MAX_RESERVATIONS; i++) {
		uintptr_t base = atomic_load_explicit(&reservations[i],
						      memory_order_relaxed);

		if (base && address - base < RESERVATION_BYTES)
			return true;
	}
	return false;
}

static void pass_on(int sig, siginfo_t *info, void *context)
{
	const struct sigaction *old = sig == SIGBUS ? &previous_bus :
						      &previous_segv;

	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(sig, info, context);
	} else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
		old->sa_handler(sig);
	} else {
		signal(sig, SIG_DFL);
		/* A real fault happens again when the handler returns. */
		if (info->si_code <= 0)
			raise(sig);
	}
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	struct rt_thread *self = &rt_thread;
	uintptr_t address = (uintptr_t)info->si_addr;

	if (self->trap_target && info->si_code > 0) {
		if (is_guest_address(address))
			siglongjmp(*self->trap_target, WASM_RT_TRAP_OOB);
		if (address >= self->stack_guard_low &&
		    address < self->stack_guard_high)
			siglongjmp(*self->trap_target, WASM_RT_TRAP_EXHAUSTION);
	}
	pass_on(sig, info, context);
}

void rt_set_lookup(bool (*is_guest)(void *user, const void *address),
		   void *user)
{
	lookup_user = user;
	lookup = is_guest;
}

/* ----------------------------------------------------------------- threads */

static int find_stack_guard(struct rt_thread *self)
{
	pthread_attr_t attr;
	size_t bytes, guard_bytes;
	void *low;
	int err;

	err = pthread_getattr_np(pthread_self(), &attr);
	if (err)
		return -err;
	pthread_attr_getstack(&attr, &low, &bytes);
	pthread_attr_getguardsize(&attr, &guard_bytes);
	pthread_attr_destroy(&attr);
	if (guard_bytes < STACK_SLACK_BYTES)
		guard_bytes = STACK_SLACK_BYTES;
	self->stack_guard_low = (uintptr_t)low - guard_bytes;
	self->stack_guard_high = (uintptr_t)low + STACK_SLACK_BYTES;
	return 0;
}

int rt_thread_init(void)
{
	struct rt_thread *self = &rt_thread;
	stack_t stack = { .ss_size = SIGNAL_STACK_BYTES };
	int err;

	if (self->signal_stack)
		return 0;
	err = find_stack_guard(self);
	if (err)
		return err;
	stack.ss_sp = malloc(SIGNAL_STACK_BYTES);
	if (!stack.ss_sp)
		return -ENOMEM;
	if (sigaltstack(&stack, NULL)) {
		err = -errno;
		free(stack.ss_sp);
		return err;
	}
	self->signal_stack = stack.ss_sp;
	return 0;
}

void rt_thread_exit(void)
{
	struct rt_thread *self = &rt_thread;
	stack_t off = { .ss_flags = SS_DISABLE };

	if (!self->signal_stack)
		return;
	sigaltstack(&off, NULL);
	free(self->signal_stack);
	self->signal_stack = NULL;
}

wasm_rt_trap_t rt_try(void (*body)(void *arg), void *arg)
{
	sigjmp_buf here, *const outer = rt_thread.trap_target;
	WASM_RT_UNWIND_TARGET *const unwind = rt_thread.unwind_target;
	int trap;

	if (!rt_thread.signal_stack)
		die("rt_thread_init() must come before rt_try()");
	trap = sigsetjmp(here, 0);
	if (!trap) {
		rt_thread.trap_target = &here;
		rt_thread.unwind_target = NULL;
		body(arg);
	}
	rt_thread.trap_target = outer;
	rt_thread.unwind_target = unwind;
	return (wasm_rt_trap_t)trap;
}

void wasm_rt_trap(wasm_rt_trap_t trap)
{
	if (!rt_thread.trap_target)
		die("a guest trapped outside rt_try()");
	siglongjmp(*rt_thread.trap_target, (int)trap);
}

/* ------------------------------------------------------------------ set-up */

void wasm_rt_init(void)
{
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
	};

	pthread_mutex_lock(&rt_lock);
	if (!atomic_load(&rt_initialized)) {
		sigemptyset(&action.sa_mask);
		if (sigaction(SIGSEGV, &action, &previous_segv) ||
		    sigaction(SIGBUS, &action, &previous_bus))
			die("sigaction failed");
		atomic_store(&rt_initialized, true);
	}
	pthread_mutex_unlock(&rt_lock);
}

bool wasm_rt_is_initialized(void)
{
	return atomic_load(&rt_initialized);
}

void wasm_rt_free(void)
{
	struct func_type *type;

	pthread_mutex_lock(&rt_lock);
	while ((type = func_types)) {
		func_types = type->next;
		free(type);
	}
	if (atomic_load(&rt_initialized)) {
		sigaction(SIGSEGV, &previous_segv, NULL);
		sigaction(SIGBUS, &previous_bus, NULL);
		atomic_store(&rt_initialized, false);
	}
	pthread_mutex_unlock(&rt_lock);
}

const char *wasm_rt_strerror(wasm_rt_trap_t trap)
{
	switch (trap) {
	case WASM_RT_TRAP_NONE:
		return "no trap";
	case WASM_RT_TRAP_OOB:
		return "out-of-bounds access to a memory or table";
	case WASM_RT_TRAP_INT_OVERFLOW:
		return "integer overflow";
	case WASM_RT_TRAP_DIV_BY_ZERO:
		return "integer division by zero";
	case WASM_RT_TRAP_INVALID_CONVERSION:
		return "conversion of NaN to an integer";
	case WASM_RT_TRAP_UNREACHABLE:
		return "unreachable instruction";
	case WASM_RT_TRAP_CALL_INDIRECT:
		return "indirect call to nothing or to another type";
	case WASM_RT_TRAP_UNCAUGHT_EXCEPTION:
		return "uncaught exception";
	case WASM_RT_TRAP_EXHAUSTION:
		return "call stack exhausted";
	}
	return "unknown trap";
}

/* ---------------------------------------------------------- function types */

static struct func_type *find_func_type(const struct func_type *wanted)
{
	size_t count = (size_t)wanted->param_count + wanted->result_count;
	struct func_type *type;

	for (type = func_types; type; type = type->next)
		if (type->param_count == wanted->param_count &&
		    type->result_count == wanted->result_count &&
		    !memcmp(type->types, wanted->types,
			    count * sizeof(wanted->types[0])))
			break;
	return type;
}

uint32_t wasm_rt_register_func_type(uint32_t params, uint32_t results, ...)
{
	size_t i, count = (size_t)params + results;
	struct func_type *wanted, *found;
	uint32_t idx;
	va_list args;

	wanted = malloc(sizeof(*wanted) + count * sizeof(wanted->types[0]));
	if (!wanted)
		die("no memory for a function type");
	wanted->param_count = params;
	wanted->result_count = results;
	va_start(args, results);
	for (i = 0; i < count; i++)
		wanted->types[i] = va_arg(args, wasm_rt_type_t);
	va_end(args);

	pthread_mutex_lock(&rt_lock);
	found = find_func_type(wanted);
	if (!found) {
		wanted->idx = func_types ? func_types->idx + 1 : 1;
		wanted->next = func_types;
		func_types = wanted;
	}
	idx = found ? found->idx : wanted->idx;
	pthread_mutex_unlock(&rt_lock);
	if (found)
		free(wanted);
	return idx;
}

/* -------------------------------------------------------------- exceptions */

uint32_t wasm_rt_register_tag(uint32_t size)
{
	if (size > MAX_EXCEPTION_BYTES)
		die("an exception carries more than 256 bytes");
	return atomic_fetch_add(&tag_count, 1);
}

void wasm_rt_load_exception(uint32_t tag, uint32_t size, const void *values)
{
	struct rt_thread *self = &rt_thread;

	if (size > MAX_EXCEPTION_BYTES)
		die("an exception carries more than 256 bytes");
	self->exception_tag = tag;
	self->exception_bytes = size;
	if (size)
		memcpy(self->exception, values, size);
}

void wasm_rt_throw(void)
{
	if (!rt_thread.unwind_target)
		wasm_rt_trap(WASM_RT_TRAP_UNCAUGHT_EXCEPTION);
	siglongjmp(*rt_thread.unwind_target, 1);
}

WASM_RT_UNWIND_TARGET *wasm_rt_get_unwind_target(void)
{
	return rt_thread.unwind_target;
}

void wasm_rt_set_unwind_target(WASM_RT_UNWIND_TARGET *target)
{
	rt_thread.unwind_target = target;
}

uint32_t wasm_rt_exception_tag(void)
{
	return rt_thread.exception_tag;
}

uint32_t wasm_rt_exception_size(void)
{
	return rt_thread.exception_bytes;
}

void *wasm_rt_exception(void)
{
	return rt_thread.exception;
}

/* ---------------------------------------------------------------- memories */

static void reservation_add(uintptr_t base)
{
	uintptr_t none;
	size_t i;

	for (i = 0; i < MAX_RESERVATIONS; i++) {
		none = 0;
		if (atomic_compare_exchange_strong(&reservations[i], &none,
						   base))
			return;
	}
	die("more than 1024 memories live at once outside a pool");
}

static void reservation_remove(uintptr_t base)
{
	size_t i;

	for (i = 0; i < MAX_RESERVATIONS; i++)
		if (atomic_load(&reservations[i]) == base)
			atomic_store(&reservations[i], 0);
}

void wasm_rt_allocate_memory(wasm_rt_memory_t *memory, uint32_t initial_pages,
			     uint32_t max_pages)
{
	void *base = mmap(NULL, RESERVATION_BYTES, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		die("no 8 GiB of address space for a memory");
	if (initial_pages &&
	    mprotect(base, initial_pages * WPAGE_BYTES, PROT_READ | PROT_WRITE))
		die("mprotect failed for a new memory");
	reservation_add((uintptr_t)base);
	memory->data = base;
	memory->pages = initial_pages;
	memory->max_pages = max_pages;
	memory->size = (uint32_t)(initial_pages * WPAGE_BYTES);
}

uint32_t wasm_rt_grow_memory(wasm_rt_memory_t *memory, uint32_t pages)
{
	uint32_t old_pages = memory->pages;
	uint64_t new_pages = (uint64_t)old_pages + pages;

	/* size has 32 bits: 65,536 pages do not fit. */
	if (new_pages > memory->max_pages || new_pages > 65535)
		return UINT32_MAX;
	if (pages && mprotect(memory->data + old_pages * WPAGE_BYTES,
			      pages * WPAGE_BYTES, PROT_READ | PROT_WRITE))
		return UINT32_MAX;
	memory->pages = (uint32_t)new_pages;
	memory->size = (uint32_t)(new_pages * WPAGE_BYTES);
	return old_pages;
}

void wasm_rt_free_memory(wasm_rt_memory_t *memory)
{
	if (!memory->data)
		return;
	reservation_remove((uintptr_t)memory->data);
	munmap(memory->data, RESERVATION_BYTES);
}

/* ------------------------------------------------------------------ tables */

static void *table_allocate(uint32_t elements, size_t element_bytes)
{
	void *data = calloc(elements ? elements : 1, element_bytes);

	if (!data)
		die("no memory for a table");
	return data;
}

/* Room for delta more elements; NULL when memory.grow must answer -1. */
static void *table_resize(void *data, uint32_t elements, uint32_t delta,
			  uint32_t max_elements, size_t element_bytes)
{
	uint64_t wanted = (uint64_t)elements + delta;

	if (wanted > max_elements)
		return NULL;
	return realloc(data, (size_t)(wanted ? wanted : 1) * element_bytes);
}

void wasm_rt_allocate_funcref_table(wasm_rt_funcref_table_t *table,
				    uint32_t elements, uint32_t max_elements)
{
	table->data = table_allocate(elements, sizeof(table->data[0]));
	table->size = elements;
	table->max_size = max_elements;
}

void wasm_rt_allocate_externref_table(wasm_rt_externref_table_t *table,
				      uint32_t elements, uint32_t max_elements)
{
	table->data = table_allocate(elements, sizeof(table->data[0]));
	table->size = elements;
	table->max_size = max_elements;
}

void wasm_rt_free_funcref_table(wasm_rt_funcref_table_t *table)
{
	free(table->data);
}

void wasm_rt_free_externref_table(wasm_rt_externref_table_t *table)
{
	free(table->data);
}

uint32_t wasm_rt_grow_funcref_table(wasm_rt_funcref_table_t *table,
				    uint32_t delta, wasm_rt_funcref_t init)
{
	uint32_t i, old = table->size;
	void *data = table_resize(table->data, old, delta, table->max_size,
				  sizeof(table->data[0]));

	if (!data)
		return UINT32_MAX;
	table->data = data;
	table->size = old + delta;
	for (i = old; i < table->size; i++)
		table->data[i] = init;
	return old;
}

uint32_t wasm_rt_grow_externref_table(wasm_rt_externref_table_t *table,
				      uint32_t delta, wasm_rt_externref_t init)
{
	uint32_t i, old = table->size;
	void *data = table_resize(table->data, old, delta, table->max_size,
				  sizeof(table->data[0]));

	if (!data)
		return UINT32_MAX;
	table->data = data;
	table->size = old + delta;
	for (i = old; i < table->size; i++)
		table->data[i] = init;
	return old;
}
