/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * rt_threadlocal.h - the functions that wasm-rt.h leaves to the embedder, for
 * programs that run wasm2c instances on several threads.
 *
 * rt_threadlocal.c defines all of wasm-rt.h (of wabt 1.0.32), so
 * libwasm-rt-impl.a is not linked. Beyond that header it offers what follows.
 * The order of calls:
 *
 *	wasm_rt_init();			once, any thread
 *	rt_set_lookup(...);		once, before guests run
 *	rt_thread_init();		in each thread that runs guests
 *	trap = rt_try(body, arg);	as often as wanted
 *	rt_thread_exit();		in each thread, before it ends
 *	wasm_rt_free();			once, when no guest runs
 */
#ifndef RT_THREADLOCAL_H
#define RT_THREADLOCAL_H

#include <stdbool.h>

#include <wasm-rt.h>

/* Does a faulting address lie in guest memory that wasm_rt_allocate_memory()
 * did not make, so that a guest's access to it is a trap? Called in the signal
 * handler: it must be async-signal-safe. */
void rt_set_lookup(bool (*is_guest)(void *user, const void *address),
		   void *user);

/* Give the calling thread a signal stack. 0 or -errno. */
int rt_thread_init(void);

/* Take it away again. */
void rt_thread_exit(void);

/* Run body, which may call into guests of this thread. Returns
 * WASM_RT_TRAP_NONE, or the trap that ended it. May be nested. */
wasm_rt_trap_t rt_try(void (*body)(void *arg), void *arg);

#endif
