/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * guest.h - what a guest of the service is: a program with state of its own,
 * which a host starts once and then asks.
 *
 * A guest is compiled twice, from the same sources: to a WebAssembly module that
 * imports nothing, and natively, for the answers that are expected of the
 * module. GUEST() defines a function that the host calls: an export in the
 * module, and natively GUEST_NAME_native_function.
 *
 *	start()		once, before all others. 0, or the number of the step
 *			that failed
 *	handle(kind, seed)	one request. The length of the answer in bytes,
 *			-1 where there is none. An answer depends on kind
 *			and seed alone, whatever was asked before
 *	session(kind, seed)	one request of a session, whose answer depends on
 *			all that this guest was asked before by this call: 0
 *			an event, whose answer begins with how many there were;
 *			1 shows all that the session holds; 2 begins it anew.
 *			The length of the answer, -1 where there is none
 *	answer()	where the text of the last answer lies
 *	served()	how many requests this guest has seen, so that a host
 *			can tell a fresh guest from a used one
 *	restored(low, high)	renews the random state from 128 bits. A host
 *			calls it in each clone, because clones inherit the
 *			state of what was captured
 *	random()	64 bits of the random state, as programs in the guest
 *			get them
 *	peek(address)	the byte at an address; a trap beyond the memory. In
 *			the module alone
 *
 * The clock stands still, and without restored() random numbers are the same in
 * each run.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>

#ifdef __wasm__
#define GUEST(type, name) __attribute__((export_name(#name))) type guest_##name
#else
#define GUEST_JOIN_(guest, name) guest##_native_##name
#define GUEST_JOIN(guest, name) GUEST_JOIN_(guest, name)
#define GUEST(type, name) type GUEST_JOIN(GUEST_NAME, name)
#endif

/* The room for an answer. */
#define ANSWER_BYTES 65536

/* A day in 2026, in nanoseconds: what the clock says. */
#define STANDING_NS UINT64_C(1780000000000000000)

/* xoroshiro128+: 128 bits of state, never all zero. */
struct guest_random {
	uint64_t low, high;
};

static inline uint64_t guest_rotate(uint64_t bits, int by)
{
	return bits << by | bits >> (64 - by);
}

static inline void guest_random_renew(struct guest_random *random, uint64_t low,
				      uint64_t high)
{
	random->low = low;
	random->high = low | high ? high : 1;
}

static inline uint64_t guest_random_next(struct guest_random *random)
{
	uint64_t low = random->low, high = random->high ^ low;
	uint64_t bits = low + random->high;

	random->low = guest_rotate(low, 24) ^ high ^ high << 16;
	random->high = guest_rotate(high, 37);
	return bits;
}

#endif
