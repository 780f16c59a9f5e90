/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lookup.c - what does a faulting address mean?
 *
 * Takes an address, in a signal handler; gives the slot, the memory, the
 * offset, and whether a guest that touched it has trapped. Reads atomics only:
 * no lock, no allocation, no system call. A pool cannot go while a walk is
 * under way (context.h).
 *
 * An address between two memories is in the guard of both. It is said to
 * be the lower one's, unless only the upper one lives and the address is
 * within its leading guard or prefix.
 */
#include "pool.h"

static struct fl__memory *lookup_memory(struct fl_pool *pool, uint64_t off)
{
	const struct fl__geometry *geometry = &pool->layout.memories;
	uint64_t lead = geometry->first_off, idx, into;
	struct fl__memory *lower, *upper;

	if (off < lead)
		return &pool->memories[0];
	idx = (off - lead) / geometry->stride_bytes;
	into = (off - lead) % geometry->stride_bytes;
	if (idx >= geometry->slot_count)
		return NULL;
	lower = &pool->memories[idx];
	if (idx + 1 == geometry->slot_count ||
	    __atomic_load_n(&lower->state, __ATOMIC_ACQUIRE) == FL__MEMORY_LIVE)
		return lower;
	upper = lower + 1;
	if (geometry->stride_bytes - into >
		    geometry->prefix_bytes + pool->config.guard_before_bytes ||
	    __atomic_load_n(&upper->state, __ATOMIC_ACQUIRE) != FL__MEMORY_LIVE)
		return lower;
	return upper;
}

static void lookup_classify(const struct fl_context *context,
			    const struct fl_pool *pool,
			    struct fl__memory *memory, const void *addr,
			    struct fl_fault *fault)
{
	int64_t off = (int64_t)((uintptr_t)addr - (uintptr_t)memory->pub.base);
	uint64_t length;

	fault->offset_bytes = off;
	if (__atomic_load_n(&memory->state, __ATOMIC_ACQUIRE) !=
	    FL__MEMORY_LIVE) {
		fault->kind = FL_FAULT_FREE_SLOT;
		return;
	}
	/* After the state: LIVE comes with the length of the same tenant. */
	length = fl__memory_length(&memory->pub);
	fault->memory = &memory->pub;
	fault->instance = __atomic_load_n(&memory->instance, __ATOMIC_RELAXED);
	if (off >= 0 && (uint64_t)off < length) {
		fault->kind = FL_FAULT_IN_BOUNDS;
		return;
	}
	if (context->backend->is_mine(pool->arena, &memory->slot, addr)) {
		fault->kind = FL_FAULT_IN_BOUNDS;
		return;
	}
	fault->kind = FL_FAULT_OUT_OF_BOUNDS;
	fault->is_trap = 1;
	fault->trap = FL_TRAP_MEMORY_OUT_OF_BOUNDS;
}

static bool lookup_in_pool(const struct fl_context *context,
			   struct fl_pool *pool, const void *addr,
			   struct fl_fault *fault)
{
	const struct fl__geometry *geometry = &pool->layout.memories;
	uint64_t off =
		(uint64_t)((uintptr_t)addr - (uintptr_t)geometry->reservation);
	struct fl__memory *memory;

	if (off >= geometry->reserved_bytes || !geometry->slot_count)
		return false;
	memory = lookup_memory(pool, off);
	if (!memory)
		return false;
	lookup_classify(context, pool, memory, addr, fault);
	return true;
}

bool fl_fault_lookup(const struct fl_context *context, const void *addr,
		     struct fl_fault *fault)
{
	struct fl_context *walked = (struct fl_context *)(uintptr_t)context;
	struct fl_pool *pool;
	bool is_found = false;

	*fault = (struct fl_fault){ .kind = FL_FAULT_NOT_OURS };
	/* Sequentially consistent with the unlinking of a pool: either that
	 * waits for this walk, or this walk does not see the pool. */
	__atomic_add_fetch(&walked->lookups, 1, __ATOMIC_SEQ_CST);
	pool = __atomic_load_n(&walked->pools, __ATOMIC_SEQ_CST);
	while (pool && !is_found) {
		is_found = lookup_in_pool(walked, pool, addr, fault);
		pool = __atomic_load_n(&pool->next, __ATOMIC_SEQ_CST);
	}
	__atomic_sub_fetch(&walked->lookups, 1, __ATOMIC_SEQ_CST);
	return is_found;
}
