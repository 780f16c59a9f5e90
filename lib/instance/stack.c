/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * stack.c - fiber stacks of a pool.
 *
 * Takes a pool; gives slots of its bank of stacks, and takes them back. Stacks
 * have a backend of their own, with nothing but what a stack needs: the mapping
 * is opened when a slot is first used, and stays open. No other backend knows of
 * stacks, so their bytes are never registered with userfaultfd.
 *
 * Invariant, with zero_stacks: a free stack reads as zero. What is kept resident
 * is zeroed at the end where frames begin, the rest is dropped.
 */
#include "stack.h"
#include "slots/bank.h"

static const struct fl__slot *slot_of(const struct fl__space *space)
{
	return (const struct fl__slot *)((uintptr_t)space -
					 offsetof(struct fl__slot, space));
}

static int stack_arena_open(struct fl__host *host,
			    const struct fl__geometry *geometry,
			    struct fl__arena **arena, struct fl_error *error)
{
	(void)host;
	(void)geometry;
	(void)error;
	*arena = NULL;
	return 0;
}

static int stack_attach(struct fl__arena *arena, struct fl__space *space,
			struct fl_image *image, uint64_t size_bytes)
{
	int err = 0;

	(void)arena;
	(void)image;
	if (!space->is_open)
		err = fl__os_allow(space->base, size_bytes);
	space->is_open = !err;
	return err;
}

static int stack_detach(struct fl__arena *arena, struct fl__space *space)
{
	(void)arena;
	space->is_open = false;
	return fl__os_renew(space->base, slot_of(space)->geometry->max_bytes);
}

static int stack_reset(struct fl__arena *arena, struct fl__space *space)
{
	const struct fl__slot *slot = slot_of(space);
	const struct fl_pool_config *config = &slot->bank->pool->config;
	uint64_t bytes = slot->geometry->max_bytes, keep;
	bool is_up = config->stack_growth == FL_STACK_GROWS_UP;

	(void)arena;
	if (!config->zero_stacks)
		return 0;
	keep = fl_round_up(fl_min_u64(config->stack_keep_resident_bytes, bytes),
			   slot->geometry->hpage_bytes);
	memset(is_up ? space->base : space->base + bytes - keep, 0,
	       (size_t)keep);
	return fl__os_discard(is_up ? space->base + keep : space->base,
			      bytes - keep);
}

static const struct fl__backend stack_backend = {
	.name = "stack",
	.arena_open = stack_arena_open,
	.attach = stack_attach,
	.detach = stack_detach,
	.reset = stack_reset,
};

/* Both ends are aligned to a host page. */
static int stack_init(struct fl__slot *slot)
{
	const struct fl_pool_config *config = &slot->bank->pool->config;
	struct fl_stack *stack = fl__slot_side(slot);
	uint8_t *low = slot->space.base, *high = low + slot->geometry->max_bytes;

	stack->low = low;
	stack->high = high;
	stack->top = config->stack_growth == FL_STACK_GROWS_UP ?
			     low :
			     high - (uintptr_t)high %
					    config->stack_alignment_bytes;
	return 0;
}

static uint64_t stack_describe(struct fl__slot *slot, struct fl_fault *fault)
{
	fault->stack = fl__slot_side(slot);
	fault->kind = FL_FAULT_STACK_GUARD;
	return slot->geometry->max_bytes;
}

const struct fl__kind fl__kind_stack = {
	.plural = "stacks",
	.what = "stack",
	.side_bytes = sizeof(struct fl_stack),
	.backend = &stack_backend,
	.init = stack_init,
	.describe = stack_describe,
};

int fl_stack_acquire(struct fl_pool *pool, uint64_t timeout_ns,
		     struct fl_stack **out, struct fl_error *error)
{
	struct fl__bank *bank = &pool->banks[FL__BANK_STACK];
	struct fl__request request = {
		.initial_bytes = bank->geometry.max_bytes,
	};
	struct fl__slot *slot;
	int err = fl__pool_check_owner(pool, error);

	if (!err && !request.initial_bytes)
		err = fl__error_set(
			error, -ENOTSUP,
			"the pool has no stacks; raise max_stacks, or stack_bytes where that is 0");
	if (!err)
		err = fl__bank_take(bank, &request, 1, timeout_ns, &slot, error);
	if (err)
		return err;
	fl__slot_publish(slot, NULL);
	*out = fl__slot_side(slot);
	return 0;
}

int fl_stack_release(struct fl_stack *stack)
{
	struct fl__slot *slot = fl__slot_of_side(stack);
	int err = stack ? fl__pool_check_owner(slot->bank->pool, NULL) :
			  -EINVAL;

	if (err)
		return err;
	return fl__slot_claim(slot) ? fl__slot_give(slot, 0) : -EINVAL;
}
