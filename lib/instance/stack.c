/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * stack.c - fiber stacks of a pool.
 *
 * Takes a pool; gives stacks between guards, and takes them back. A stack's
 * mapping is opened once, when its slot is first used, and stays open; no
 * backend knows of it, so its bytes are never registered with userfaultfd.
 *
 * Invariant, with zero_stacks: a stack on the shelf reads as zero. What is kept
 * resident is zeroed at the end where frames begin, the rest is dropped.
 */
#include "pool/pool.h"

#include <stdlib.h>

/* One stack is as good as another. */
#define STACK_AFFINITY 1

static struct fl__stack *stack_of(struct fl_stack *pub)
{
	return (struct fl__stack *)(uintptr_t)pub;
}

int fl__stacks_open(struct fl_pool *pool, struct fl_error *error)
{
	const struct fl__layout *layout = &pool->layout;
	uint32_t count = pool->config.max_stacks;
	size_t size = ((size_t)count + 1) * sizeof(*pool->stacks);
	int err;

	if (pool->is_on_demand)
		return 0;
	if (posix_memalign((void **)&pool->stacks, 128, size))
		return fl__error_set(error, -ENOMEM,
				     "no memory to describe %u stacks", count);
	memset(pool->stacks, 0, size);
	for (uint32_t i = 0; i < count; i++) {
		struct fl__stack *stack = &pool->stacks[i];

		stack->pool = pool;
		stack->idx = i;
		stack->pub.low =
			pool->reservation + layout->stacks_off +
			i * layout->stack_stride_bytes +
			(layout->stack_stride_bytes - layout->stack_bytes);
	}
	err = fl__stock_init(&pool->stack_stock, "stacks", count,
			     FL_STRATEGY_REUSE_AFFINITY, FL__STOCK_SHELVES, 0);
	return err ? fl__error_set(error, err,
				   "no memory to describe %u stacks", count) :
		     0;
}

void fl__stacks_close(struct fl_pool *pool)
{
	fl__stock_fini(&pool->stack_stock);
	free(pool->stacks);
}

uint64_t fl__stacks_live(struct fl_pool *pool)
{
	if (pool->is_on_demand)
		return __atomic_load_n(&pool->live_stacks, __ATOMIC_ACQUIRE);
	return fl__stock_count(&pool->stack_stock).used;
}

static void stack_begin(struct fl__stack *stack)
{
	const struct fl_pool_config *config = &stack->pool->config;
	uintptr_t align = config->stack_alignment_bytes;
	uint8_t *low = stack->pub.low;
	uint8_t *high = low + stack->pool->layout.stack_bytes;

	stack->pub.high = high;
	/* Both ends are aligned to a host page. */
	stack->pub.top = config->stack_growth == FL_STACK_GROWS_UP ?
				 low :
				 high - (uintptr_t)high % align;
	__atomic_store_n(&stack->acquired, stack->acquired + 1,
			 __ATOMIC_RELAXED);
	/* A handler that sees LIVE sees all of the above. */
	__atomic_store_n(&stack->state, FL__MEMORY_LIVE, __ATOMIC_RELEASE);
}

static int stack_take(struct fl_pool *pool, uint64_t timeout_ns,
		      struct fl__stack **out, struct fl_error *error)
{
	uint64_t affinity = STACK_AFFINITY;
	struct fl__stack *stack;
	uint32_t idx;
	int err = fl__stock_take(&pool->stack_stock, &affinity, 1, timeout_ns,
				 &idx, error);

	if (err)
		return err;
	stack = &pool->stacks[idx];
	if (!stack->is_open) {
		err = fl__os_allow(stack->pub.low, pool->layout.stack_bytes);
		if (err) {
			fl__stock_give(&pool->stack_stock, idx, 0);
			return fl__error_set(
				error, err,
				"cannot open a stack: %s; if vm.max_map_count is reached, raise it or lower max_stacks",
				fl_strerror(err));
		}
		stack->is_open = true;
	}
	*out = stack;
	return 0;
}

int fl_stack_acquire(struct fl_pool *pool, uint64_t timeout_ns,
		     struct fl_stack **out, struct fl_error *error)
{
	struct fl__stack *stack;
	int err = fl__pool_check_owner(pool, error);

	if (err)
		return err;
	if (!pool->layout.stack_bytes)
		return fl__error_set(
			error, -ENOTSUP, "the pool has no stacks; raise %s",
			pool->is_on_demand ? "stack_bytes" : "max_stacks");
	err = pool->is_on_demand ? fl__region_make_stack(pool, &stack, error) :
				   stack_take(pool, timeout_ns, &stack, error);
	if (err) {
		__atomic_add_fetch(&pool->refused_stacks, 1, __ATOMIC_RELAXED);
		return err;
	}
	stack_begin(stack);
	*out = &stack->pub;
	return 0;
}

static int stack_zero(const struct fl__stack *stack)
{
	const struct fl_pool_config *config = &stack->pool->config;
	uint64_t hpage = fl__os_hpage_bytes();
	uint64_t bytes = stack->pool->layout.stack_bytes;
	uint64_t keep = fl_min_u64(
		fl_round_up(fl_min_u64(config->stack_keep_resident_bytes,
				       bytes),
			    hpage),
		bytes);
	bool is_up = config->stack_growth == FL_STACK_GROWS_UP;
	uint8_t *low = stack->pub.low;

	memset(is_up ? low : low + bytes - keep, 0, (size_t)keep);
	return fl__os_discard(is_up ? low + keep : low, bytes - keep);
}

static void stack_retire(struct fl__stack *stack)
{
	/* What is on it must not be seen, not even through a wild pointer. */
	(void)fl__os_deny(stack->pub.low, stack->pool->layout.stack_bytes);
	__atomic_store_n(&stack->state, FL__MEMORY_RETIRED, __ATOMIC_RELEASE);
	fl__stock_retire(&stack->pool->stack_stock, stack->idx);
}

int fl_stack_release(struct fl_stack *pub)
{
	uint32_t expected = FL__MEMORY_LIVE;
	struct fl__stack *stack;
	int err;

	if (!pub)
		return -EINVAL;
	stack = stack_of(pub);
	err = fl__pool_check_owner(stack->pool, NULL);
	if (err)
		return err;
	/* The exchange lets one of two releases through. */
	if (!__atomic_compare_exchange_n(&stack->state, &expected,
					 FL__MEMORY_FREE, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return -EINVAL;
	if (stack->region)
		fl__region_drop(stack->region);
	else if (stack->pool->config.zero_stacks && stack_zero(stack))
		stack_retire(stack);
	else
		fl__stock_give(&stack->pool->stack_stock, stack->idx,
			       STACK_AFFINITY);
	return 0;
}
