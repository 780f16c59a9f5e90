/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lookup.c - what does an address mean?
 *
 * Takes an address, in a signal handler; gives the slot, who lives in it, the
 * offset, and whether a guest that touched it has trapped. Reads atomics only:
 * no lock, no allocation, no system call. Neither a pool nor a region can go
 * while a walk is under way (context.h).
 *
 * An address between two memories is in the guard of both. It is said to
 * be the lower one's, unless only the upper one lives and the address is
 * within its leading guard or prefix. A guard between two stacks is that of the
 * one which grows into it.
 */
#include "pool/pool.h"

/* The slot of a bank that an offset into the reservation belongs to, guards
 * included; NULL: another bank's. */
static struct fl__memory *lookup_slot(struct fl__bank *bank, uint64_t off,
				      uint64_t lead_bytes)
{
	const struct fl__geometry *geometry = &bank->geometry;
	uint64_t first = geometry->first_off, idx, into;
	struct fl__memory *lower, *upper;

	if (!geometry->slot_count || !geometry->stride_bytes ||
	    off < first - lead_bytes)
		return NULL;
	if (off < first)
		return &bank->slots[0];
	idx = (off - first) / geometry->stride_bytes;
	into = (off - first) % geometry->stride_bytes;
	if (idx >= geometry->slot_count)
		return NULL;
	lower = &bank->slots[idx];
	if (idx + 1 == geometry->slot_count || fl__memory_is_live(lower))
		return lower;
	upper = lower + 1;
	if (geometry->stride_bytes - into > lead_bytes ||
	    !fl__memory_is_live(upper))
		return lower;
	return upper;
}

/* NULL: between two banks, for alignment. */
static struct fl__memory *lookup_banks(struct fl_pool *pool, uint64_t off)
{
	for (int kind = 0; kind < FL__BANK_COUNT; kind++) {
		struct fl__bank *bank = &pool->banks[kind];
		const struct fl__geometry *geometry = &bank->geometry;
		uint64_t lead_bytes = geometry->hpage_bytes;
		struct fl__memory *memory;

		if (kind == FL__BANK_MEMORY)
			lead_bytes =
				off < geometry->first_off ?
					geometry->first_off :
					geometry->prefix_bytes +
						pool->config.guard_before_bytes;
		memory = lookup_slot(bank, off, lead_bytes);
		if (memory)
			return memory;
	}
	return NULL;
}

static void classify_live(struct fl__memory *memory, struct fl_fault *fault)
{
	/* After the state: LIVE comes with the length of the same tenant. */
	uint64_t length = fl__memory_length(&memory->pub);
	int64_t off = fault->offset_bytes;

	fault->instance = __atomic_load_n(&memory->instance, __ATOMIC_RELAXED);
	if (memory->bank->kind == FL__BANK_MEMORY) {
		fault->memory = &memory->pub;
		fault->trap = FL_TRAP_MEMORY_OUT_OF_BOUNDS;
	} else if (memory->bank->kind == FL__BANK_TABLE) {
		struct fl__table *table = fl__table_at(memory);

		fault->table = &table->pub;
		fault->trap = FL_TRAP_TABLE_OUT_OF_BOUNDS;
		length = fl_table_size(&table->pub);
		/* May be that of the tenant before: it is for no guest to touch
		 * what is not yet handed out. */
		length *= __atomic_load_n(&table->element_bytes,
					  __ATOMIC_RELAXED);
	} else {
		fault->instance = fl__instance_at(memory);
	}
	if (off >= 0 && (uint64_t)off < length) {
		fault->kind = FL_FAULT_IN_BOUNDS;
		fault->trap = FL_TRAP_NONE;
		return;
	}
	fault->kind = FL_FAULT_OUT_OF_BOUNDS;
	fault->is_trap = fault->trap != FL_TRAP_NONE;
}

static void classify(struct fl__memory *memory, const void *addr,
		     struct fl_fault *fault)
{
	fault->offset_bytes =
		(int64_t)((uintptr_t)addr - (uintptr_t)memory->pub.base);
	fault->kind = FL_FAULT_FREE_SLOT;
	if (fl__memory_is_live(memory))
		classify_live(memory, fault);
}

static bool stack_is_live(const struct fl__stack *stack)
{
	return __atomic_load_n(&stack->state, __ATOMIC_ACQUIRE) ==
	       FL__MEMORY_LIVE;
}

static void classify_stack(struct fl__stack *stack, const void *addr,
			   struct fl_fault *fault)
{
	int64_t off = (int64_t)((uintptr_t)addr - (uintptr_t)stack->pub.low);
	bool is_inside = off >= 0 &&
			 (uint64_t)off < stack->pool->layout.stack_bytes;

	fault->offset_bytes = off;
	fault->kind = FL_FAULT_FREE_SLOT;
	if (!stack_is_live(stack))
		return;
	fault->stack = &stack->pub;
	fault->kind = is_inside ? FL_FAULT_IN_BOUNDS : FL_FAULT_STACK_GUARD;
}

/* The guard at the start of each stride is between this stack and the one
 * before it. */
static struct fl__stack *lookup_stack(struct fl_pool *pool, uint64_t off)
{
	const struct fl__layout *layout = &pool->layout;
	uint64_t guard_bytes = layout->stack_stride_bytes - layout->stack_bytes;
	uint64_t idx = (off - layout->stacks_off) / layout->stack_stride_bytes;
	uint64_t into = (off - layout->stacks_off) % layout->stack_stride_bytes;
	struct fl__stack *above, *below;

	if (idx >= pool->config.max_stacks)
		return &pool->stacks[pool->config.max_stacks - 1];
	above = &pool->stacks[idx];
	if (into >= guard_bytes || !idx)
		return above;
	below = above - 1;
	if (pool->config.stack_growth == FL_STACK_GROWS_UP)
		return !stack_is_live(below) && stack_is_live(above) ? above :
								       below;
	return !stack_is_live(above) && stack_is_live(below) ? below : above;
}

static bool lookup_in_pool(struct fl_pool *pool, const void *addr,
			   struct fl_fault *fault)
{
	uint64_t off =
		(uint64_t)((uintptr_t)addr - (uintptr_t)pool->reservation);
	struct fl__memory *memory;

	if (off >= pool->layout.reserved_bytes)
		return false;
	if (pool->config.max_stacks && off >= pool->layout.stacks_off) {
		classify_stack(lookup_stack(pool, off), addr, fault);
		return true;
	}
	memory = lookup_banks(pool, off);
	if (memory)
		classify(memory, addr, fault);
	else
		fault->kind = FL_FAULT_FREE_SLOT;
	return true;
}

static bool lookup_on_demand(const struct fl_pool *pool, const void *addr,
			     struct fl_fault *fault)
{
	struct fl__region *region = fl__region_at(pool, addr);

	if (!region)
		return false;
	if (region->is_stack)
		classify_stack(&region->stack, addr, fault);
	else
		classify(&region->memory, addr, fault);
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
		is_found = pool->is_on_demand ?
				   lookup_on_demand(pool, addr, fault) :
				   lookup_in_pool(pool, addr, fault);
		pool = __atomic_load_n(&pool->next, __ATOMIC_SEQ_CST);
	}
	fl__context_walk_end(context, turn);
	return is_found;
}

/* Live, like the next. */
static struct fl__memory *slot_at_base(const struct fl__bank *bank,
				       const void *base)
{
	const struct fl__geometry *geometry = &bank->geometry;
	uint64_t off =
		(uint64_t)((uintptr_t)base - (uintptr_t)geometry->reservation) -
		geometry->first_off;
	uint64_t idx;

	/* Slots of nothing have no place. */
	if (!geometry->stride_bytes)
		return NULL;
	idx = off / geometry->stride_bytes;
	if (off % geometry->stride_bytes || idx >= geometry->slot_count)
		return NULL;
	return fl__memory_is_live(&bank->slots[idx]) ? &bank->slots[idx] : NULL;
}

static struct fl__memory *region_at_base(const struct fl_pool *pool,
					 enum fl__bank_kind kind,
					 const void *base)
{
	struct fl__memory *memory = NULL;
	struct fl__region *region;
	uint32_t turn = fl__context_walk_begin(pool->context);

	region = fl__region_at(pool, base);
	if (region && !region->is_stack && region->memory.pub.base == base &&
	    region->memory.bank->kind == kind &&
	    fl__memory_is_live(&region->memory))
		memory = &region->memory;
	fl__context_walk_end(pool->context, turn);
	return memory;
}

struct fl__memory *fl__lookup_slot(const struct fl_pool *pool,
				   enum fl__bank_kind kind, const void *base)
{
	return pool->is_on_demand ? region_at_base(pool, kind, base) :
				    slot_at_base(&pool->banks[kind], base);
}
