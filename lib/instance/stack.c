/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * stack.c - fiber stacks of a pool.
 *
 * Takes a pool; gives slots of its bank of stacks, and takes them back. Stacks
 * are a bare kind: no backend attaches them, so their bytes are never registered
 * with userfaultfd. A stack's mapping is opened when its slot is first used, and
 * stays open.
 *
 * Stacks are not tracked because every tenant writes a stack's top, a fiber may
 * be suspended in a system call on its stack, and the kernel writes signal
 * frames there.
 *
 * Invariant, with zero_stacks: a free stack reads as zero. The bytes that are
 * kept resident, at the end where frames begin, are zeroed; the rest is
 * dropped.
 */
#include "stack.h"
#include "slots/bank.h"

/* Both ends are aligned to a host page. */
static int stack_init(struct fl__slot *slot)
{
	const struct fl_pool_config *config = &slot->bank->pool->config;
	struct fl_stack *stack = fl__slot_side(slot);
	uint8_t *low = slot->space.base,
		*high = low + slot->geometry->max_bytes;

	stack->low = low;
	stack->high = high;
	stack->top =
		config->stack_growth == FL_STACK_GROWS_UP ?
			low :
			high - (uintptr_t)high % config->stack_alignment_bytes;
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
	.is_bare = true,
	.init = stack_init,
	.describe = stack_describe,
};

static int stack_take(struct fl__bank *bank, uint64_t timeout_ns,
		      struct fl__slot **slot, struct fl_error *error)
{
	struct fl__request request = { .image = NULL };
	const struct fl__os_wait wait = { timeout_ns, NULL, NULL };
	int err = fl__bank_take_slots(bank, &request, 1, &wait, slot, error);

	if (err)
		return err;
	fl__slot_count(*slot, 0);
	if ((*slot)->space.is_open)
		return 0;
	fl__space_mark_guard(&(*slot)->space, &bank->geometry);
	fl__space_called(&(*slot)->space, 1);
	err = fl__os_allow((*slot)->space.base, bank->geometry.max_bytes);
	if (err) {
		err = fl__slot_refused(*slot, "pages", err, error);
		(*slot)->source->calls->give(*slot);
		return err;
	}
	(*slot)->space.is_open = true;
	fl__slot_count_open(*slot, true);
	fl__slot_count_calls(*slot);
	return 0;
}

int fl_stack_acquire(struct fl_pool *pool, uint64_t timeout_ns,
		     struct fl_stack **out, struct fl_error *error)
{
	struct fl__bank *bank = &pool->banks[FL__BANK_STACK];
	struct fl__slot *slot;
	int err = fl__pool_check_owner(pool, error);

	if (!err && !bank->geometry.max_bytes)
		err = fl__error_set(
			error, -ENOTSUP,
			"the pool has no stacks; raise max_stacks, or stack_bytes if stack_bytes is 0");
	if (err)
		return err;
	err = stack_take(bank, timeout_ns, &slot, error);
	if (err) {
		fl__bank_refuse(bank);
		return fl__stats_answer(pool->stats, err);
	}
	fl__stats_add(pool->stats, FL__WORD_stacks_acquired, 1);
	fl__slot_publish(slot, NULL);
	*out = fl__slot_side(slot);
	return 0;
}

static int stack_zero(struct fl__slot *slot)
{
	const struct fl_pool_config *config = &slot->bank->pool->config;
	uint8_t *low = slot->space.base;
	uint64_t bytes = slot->geometry->max_bytes;
	uint64_t keep = fl_round_up(
		fl_min_u64(config->stack_keep_resident_bytes, bytes),
		slot->geometry->hpage_bytes);
	bool is_up = config->stack_growth == FL_STACK_GROWS_UP;

	memset(is_up ? low : low + bytes - keep, 0, (size_t)keep);
	fl__space_called(&slot->space, keep < bytes);
	return fl__os_discard(is_up ? low + keep : low, bytes - keep);
}

/* What the stack keeps for its next tenant. To ask the system costs about a
 * microsecond, so it is asked only where a budget may be passed. */
static uint64_t stack_kept(struct fl__slot *slot)
{
	const struct fl_pool_config *config = &slot->bank->pool->config;
	uint64_t bytes = slot->geometry->max_bytes;

	if (!slot->source->calls->keeps_slots)
		return 0;
	if (config->zero_stacks)
		return fl_min_u64(
			bytes,
			fl_round_up(fl_min_u64(config->stack_keep_resident_bytes,
					       bytes),
				    slot->geometry->hpage_bytes));
	if (config->max_idle_bytes == UINT64_MAX &&
	    bytes <= config->max_idle_slot_bytes)
		return 0;
	fl__space_called(&slot->space, 1);
	return fl__os_resident(slot->space.base, bytes);
}

/* Give back a stack that nobody uses, within the budgets. */
static void stack_shelve(struct fl__slot *slot)
{
	uint64_t kept = stack_kept(slot);

	if (kept > slot->bank->pool->config.max_idle_slot_bytes) {
		fl__space_called(&slot->space, 1);
		if (!fl__os_discard(slot->space.base,
				    slot->geometry->max_bytes))
			kept = 0;
	}
	fl__slot_count_calls(slot);
	slot->space.kept_bytes = kept;
	fl__slot_shelve(slot);
}

int fl_stack_release(struct fl_stack *stack)
{
	struct fl__slot *slot;
	int err;

	if (!stack)
		return -EINVAL;
	slot = fl__slot_of_side(stack);
	err = fl__slot_check_owner(slot, NULL);
	if (err)
		return err;
	/* Claiming lets one of two releases through. */
	if (!fl__slot_claim(slot))
		return -EINVAL;
	fl__slot_count_release(slot);
	if (slot->bank->pool->config.zero_stacks && stack_zero(slot)) {
		/* No tenant may see what is on the stack, not even through a
		 * wild pointer. */
		(void)fl__os_deny(slot->space.base, slot->geometry->max_bytes);
		fl__slot_count_open(slot, false);
		fl__slot_count_retired(slot, 1);
		slot->source->calls->retire(slot, false);
		return -ENOMEM;
	}
	stack_shelve(slot);
	return 0;
}
