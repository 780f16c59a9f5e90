/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lookup.c - what does an address mean?
 *
 * Takes an address, in a signal handler; gives the slot, what lives in it, the
 * offset, and whether a guest that touched it has trapped. Reads atomics only:
 * no lock, no allocation, no system call. Neither a pool nor a slot can go while
 * a walk is under way (context.h).
 *
 * An address between two slots is in the guard of both. The answer is the lower
 * slot, or the upper one where guard_is_above. If only the other slot lives,
 * and the address is within the other slot's lead, the answer is the other
 * slot.
 */
#include "pool.h"

static void classify(struct fl__slot *slot, const void *addr,
		     struct fl_fault *fault)
{
	uint64_t length;
	/* By 64 bits, because the difference may be negative. */
	int64_t off =
		(int64_t)(uintptr_t)addr - (int64_t)(uintptr_t)slot->space.base;

	fault->offset_bytes = off;
	fault->kind = FL_FAULT_FREE_SLOT;
	if (!fl__slot_is_live(slot))
		return;
	fault->instance = __atomic_load_n(&slot->instance, __ATOMIC_RELAXED);
	fault->kind = FL_FAULT_OUT_OF_BOUNDS;
	/* After the state: LIVE comes with the length of the same tenant. */
	length = slot->bank->kind->describe(slot, fault);
	if (off >= 0 && (uint64_t)off < length) {
		/* Pairs with the thread that could not load the page. */
		fault->load_error = __atomic_load_n(&slot->space.load_error,
						    __ATOMIC_ACQUIRE);
		fault->kind = fault->load_error ? FL_FAULT_NOT_LOADED :
						  FL_FAULT_IN_BOUNDS;
		fault->trap = FL_TRAP_NONE;
	}
	fault->is_trap = fault->trap != FL_TRAP_NONE || fault->load_error;
}

static bool lookup_in_pool(const struct fl_pool *pool, const void *addr,
			   struct fl_fault *fault)
{
	for (int i = 0; i < FL__BANK_COUNT; i++) {
		const struct fl__source *source = pool->banks[i].source;
		struct fl__slot *slot = source->calls->at_address(source, addr);

		if (!slot)
			continue;
		classify(slot, addr, fault);
		return true;
	}
	if ((uint64_t)((uintptr_t)addr - (uintptr_t)pool->reservation) >=
	    pool->layout.reserved_bytes)
		return false;
	/* Between two banks, for alignment. */
	fault->kind = FL_FAULT_FREE_SLOT;
	return true;
}

bool fl_fault_lookup(const struct fl_context *context, const void *addr,
		     struct fl_fault *fault)
{
	struct fl_pool *pool;
	bool is_found = false;
	uint32_t turn;

	*fault = (struct fl_fault){ .kind = FL_FAULT_NOT_OURS };
	turn = fl__context_walk_begin(context);
	pool = __atomic_load_n(&context->pools, __ATOMIC_SEQ_CST);
	while (pool && !is_found) {
		is_found = lookup_in_pool(pool, addr, fault);
		pool = __atomic_load_n(&pool->next, __ATOMIC_SEQ_CST);
	}
	fl__context_walk_end(context, turn);
	return is_found;
}
