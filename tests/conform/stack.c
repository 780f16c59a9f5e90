/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * stack.c - fiber stacks: their shape and guards, what the next tenant
 * finds, exhaustion, and code that really runs on one. Written from the header;
 * pooled and on demand, growing down and up, where the header makes no
 * difference.
 */
#define _GNU_SOURCE
#include "tests/kit/child.h"
#include "tests/kit/clock.h"
#include "tests/kit/conform.h"
#include "tests/kit/host.h"
#include "tests/kit/procfs.h"
#include "tests/kit/random.h"
#include "tests/kit/trap.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

/* musl declares these calls and has none. */
#pragma weak getcontext
#pragma weak makecontext
#pragma weak swapcontext

#define STACK_BYTES (64 * KIB)
#define STACKS 3

static void stack_config(struct fl_pool_config *config)
{
	conform_pool_config(config);
	config->max_stacks = STACKS;
	config->stack_bytes = STACK_BYTES;
}

static struct fl_stack *take_waiting(const struct conform *conform,
				     uint64_t timeout_ns)
{
	struct fl_error error = { .text = "" };
	struct fl_stack *stack = NULL;

	CONFORM_MUST(fl_stack_acquire(conform->pool, timeout_ns, &stack,
				      &error),
		     &error);
	MUST(stack != NULL);
	return stack;
}

static struct fl_stack *take_stack(const struct conform *conform)
{
	return take_waiting(conform, 0);
}

static void give_stack(struct fl_stack *stack)
{
	CHECK_EQ(fl_stack_release(stack), 0);
}

/* Both allocations and both directions, one after another. */
static void each_kind(void (*fn)(const struct fl_pool_config *config))
{
	for (int kind = 0; kind < 4 && !test_has_failed(); kind++) {
		struct fl_pool_config config;

		stack_config(&config);
		config.allocation = kind & 1 ? FL_ALLOCATION_ON_DEMAND :
					       FL_ALLOCATION_POOLING;
		config.stack_growth = kind & 2 ? FL_STACK_GROWS_UP :
						 FL_STACK_GROWS_DOWN;
		fn(&config);
		if (test_has_failed())
			test_note("%s, growing %s",
				  kind & 1 ? "on demand" : "pooling",
				  kind & 2 ? "up" : "down");
	}
}

/* Address arithmetic beyond an object, as a fault has it. */
static uint8_t *addr_at(const void *from, int64_t off)
{
	return (uint8_t *)((uintptr_t)from + (uintptr_t)off);
}

static uint64_t stack_len(const struct fl_stack *stack)
{
	return (uint64_t)(stack->high - stack->low);
}

/* By memcmp(), which the thread sanitizer sees as one access. */
static bool is_zero(const struct fl_stack *stack)
{
	return !stack->low[0] &&
	       !memcmp(stack->low, stack->low + 1, stack_len(stack) - 1);
}

/* -------------------------------------------------------------------- shape */

static void check_shape(const struct fl_stack *stack,
			const struct fl_pool_config *config)
{
	uint64_t align = config->stack_alignment_bytes;
	uint64_t hpage = conform_hpage();

	MUST(stack->low && stack->low < stack->high);
	CHECK(stack_len(stack) >= config->stack_bytes);
	CHECK(stack_len(stack) < config->stack_bytes + hpage + align);
	CHECK_EQ((uintptr_t)stack->top % align, 0);
	if (config->stack_growth == FL_STACK_GROWS_UP) {
		CHECK(stack->top == stack->low);
	} else {
		CHECK(stack->top <= stack->high);
		CHECK((uint64_t)(stack->high - stack->top) < align);
	}
	for (uint64_t off = 0; off < stack_len(stack); off += hpage)
		CHECK(test_open(stack->low + off));
	CHECK(test_open(stack->high - 1));
	for (uint64_t off = 0; off < hpage; off += hpage / 8) {
		CHECK(test_traps(addr_at(stack->low, -1 - (int64_t)off)));
		CHECK(test_traps(addr_at(stack->high, (int64_t)off)));
	}
}

static void check_shapes(const struct fl_pool_config *config)
{
	struct fl_stack *stacks[STACKS];
	struct conform conform;

	conform_open(&conform, config);
	for (int i = 0; i < STACKS; i++) {
		stacks[i] = take_stack(&conform);
		check_shape(stacks[i], config);
		for (int j = 0; j < i; j++)
			CHECK(stacks[i]->high < stacks[j]->low ||
			      stacks[j]->high < stacks[i]->low);
	}
	CHECK_EQ(conform_info(&conform).live_stacks, STACKS);
	for (int i = 0; i < STACKS; i++)
		give_stack(stacks[i]);
	CHECK_EQ(conform_info(&conform).live_stacks, 0);
	conform_close(&conform);
}

static void guards_at_both_ends(void)
{
	each_kind(check_shapes);
}

static void check_alignments(const struct fl_pool_config *config)
{
	static const uint32_t aligns[] = { 1, 8, 64, 256, 4096 };
	static const uint64_t sizes[] = { 4096, 20480, 100000, 1048576 };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(aligns); i++) {
		for (size_t j = 0; j < TEST_ARRAY_SIZE(sizes); j++) {
			struct fl_pool_config mine = *config;

			mine.stack_alignment_bytes = aligns[i];
			mine.stack_bytes = sizes[j];
			if (aligns[i] > sizes[j])
				continue;
			check_shapes(&mine);
			if (test_has_failed())
				test_note("alignment %u, %ju bytes", aligns[i],
					  (uintmax_t)sizes[j]);
		}
	}
}

static void alignments_and_sizes(void)
{
	each_kind(check_alignments);
}

static void refuse(const struct fl_pool_config *config, const char *name)
{
	struct fl_context *context = conform_context();
	struct fl_error error = { .text = "" };
	struct fl_pool *pool = NULL;
	int err = fl_pool_create(context, config, &pool, &error);

	CHECK(err == -EINVAL || err == -ENOMEM);
	CHECK_EQ(error.code, err);
	CHECK_HAS(error.text, name);
	if (!CHECK(pool == NULL))
		fl_pool_destroy(pool);
	fl_context_destroy(context);
}

static void check_refused(const struct fl_pool_config *config)
{
	struct fl_pool_config mine = *config;

	mine.stack_alignment_bytes = 24;
	refuse(&mine, "stack_alignment_bytes");
	mine = *config;
	mine.stack_bytes = UINT64_MAX;
	refuse(&mine, "stack");
	mine.stack_bytes = UINT64_MAX / 2 + 1;
	refuse(&mine, "stack");
	mine = *config;
	mine.stack_guard_bytes = UINT64_MAX;
	refuse(&mine, "stack_guard_bytes");
	mine = *config;
	mine.stack_growth = (enum fl_stack_growth)7;
	refuse(&mine, "stack_growth");
	mine = *config;
	mine.max_stacks = UINT32_MAX;
	mine.stack_bytes = UINT64_MAX / UINT32_MAX;
	mine.allocation = FL_ALLOCATION_POOLING;
	refuse(&mine, "stack");
}

/* From both ends of a stack, so far and not one byte less is shut, whatever the
 * neighbours are. */
static void check_guard_sizes(const struct fl_pool_config *config)
{
	static const uint64_t sizes[] = { 65536, 0, 1, 4096, 300000 };
	struct fl_stack *stacks[STACKS];
	struct conform conform;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		struct fl_pool_config mine = *config;
		uint64_t guard = conform_round_up(sizes[i] ? sizes[i] : 1,
						  conform_hpage());

		if (i)
			mine.stack_guard_bytes = sizes[i];
		CHECK_EQ(mine.stack_guard_bytes, sizes[i]);
		conform_open(&conform, &mine);
		for (int k = 0; k < STACKS; k++)
			stacks[k] = take_stack(&conform);
		for (int k = 0; k < STACKS; k++) {
			CHECK(test_traps(
				addr_at(stacks[k]->low, -(int64_t)guard)));
			CHECK(test_traps(addr_at(stacks[k]->low, -1)));
			CHECK(test_traps(stacks[k]->high));
			CHECK(test_traps(
				addr_at(stacks[k]->high, (int64_t)guard - 1)));
			give_stack(stacks[k]);
		}
		conform_close(&conform);
	}
}

static void guards_of_a_size(void)
{
	each_kind(check_guard_sizes);
}

static void what_no_stack_can_be(void)
{
	each_kind(check_refused);
}

static void no_stacks_here(void)
{
	struct fl_error error = { .text = "" };
	struct fl_stack *stack = NULL;
	struct fl_pool_config config;
	struct conform conform;

	stack_config(&config);
	config.max_stacks = 0;
	conform_open(&conform, &config);
	CHECK_EQ(fl_stack_acquire(conform.pool, 0, &stack, &error), -ENOTSUP);
	CHECK_EQ(error.code, -ENOTSUP);
	CHECK_HAS(error.text, "max_stacks");
	CHECK_EQ(fl_stack_acquire(conform.pool, UINT64_MAX, &stack, NULL),
		 -ENOTSUP);
	CHECK(stack == NULL);
	conform_close(&conform);
}

/* ------------------------------------------------------------------- guards */

static void check_fault(const struct conform *conform, const void *addr,
			enum fl_fault_kind kind, const struct fl_stack *stack)
{
	struct fl_fault fault;

	memset(&fault, 0xa5, sizeof(fault));
	CHECK(fl_fault_lookup(conform->context, addr, &fault));
	CHECK_EQ(fault.kind, kind);
	CHECK(fault.stack == stack);
	CHECK(fault.memory == NULL);
	CHECK(fault.table == NULL);
	CHECK(fault.instance == NULL);
	CHECK_EQ(fault.trap, FL_TRAP_NONE);
}

static int by_address(const void *a, const void *b)
{
	const struct fl_stack *const *left = a, *const *right = b;

	return (*left)->low < (*right)->low ? -1 : 1;
}

/* Who overflows into the guard above stack i: the next one if stacks grow
 * down, this one if they grow up or nobody is there. */
static void check_guard_owners(const struct fl_pool_config *config)
{
	bool is_up = config->stack_growth == FL_STACK_GROWS_UP;
	bool is_apart = config->allocation == FL_ALLOCATION_ON_DEMAND;
	struct fl_stack *stacks[STACKS];
	struct conform conform;

	conform_open(&conform, config);
	for (int i = 0; i < STACKS; i++)
		stacks[i] = take_stack(&conform);
	qsort(stacks, STACKS, sizeof(stacks[0]), by_address);
	for (int i = 0; i < STACKS; i++) {
		int above = i + 1 < STACKS && !is_up && !is_apart ? i + 1 : i;
		int below = i && is_up && !is_apart ? i - 1 : i;

		check_fault(&conform, stacks[i]->low, FL_FAULT_IN_BOUNDS,
			    stacks[i]);
		check_fault(&conform, stacks[i]->high - 1, FL_FAULT_IN_BOUNDS,
			    stacks[i]);
		check_fault(&conform, addr_at(stacks[i]->low, -1),
			    FL_FAULT_STACK_GUARD, stacks[below]);
		check_fault(&conform, stacks[i]->high, FL_FAULT_STACK_GUARD,
			    stacks[above]);
	}
	for (int i = 0; i < STACKS; i++)
		give_stack(stacks[i]);
	conform_close(&conform);
}

static void lookup_names_the_stack(void)
{
	each_kind(check_guard_owners);
}

static void check_free_lookup(const struct fl_pool_config *config)
{
	struct fl_stack *stack;
	struct conform conform;
	struct fl_fault fault;
	uint8_t *low, *high;

	conform_open(&conform, config);
	stack = take_stack(&conform);
	low = stack->low;
	high = stack->high;
	give_stack(stack);
	if (config->allocation == FL_ALLOCATION_POOLING) {
		check_fault(&conform, low, FL_FAULT_FREE_SLOT, NULL);
		check_fault(&conform, high - 1, FL_FAULT_FREE_SLOT, NULL);
	} else {
		CHECK(!fl_fault_lookup(conform.context, low, &fault));
		CHECK_EQ(fault.kind, FL_FAULT_NOT_OURS);
	}
	conform_close(&conform);
}

static void lookup_of_a_free_stack(void)
{
	each_kind(check_free_lookup);
}

/* ------------------------------------------------------------------ content */

static uint64_t count_resident(const struct fl_stack *stack)
{
	uint64_t hpages = stack_len(stack) / conform_hpage(), n = 0;
	unsigned char *vec = malloc(hpages);

	MUST(vec != NULL);
	CHECK_EQ(mincore(stack->low, stack_len(stack), vec), 0);
	for (uint64_t i = 0; i < hpages; i++)
		n += vec[i] & 1;
	free(vec);
	return n;
}

static void check_zeroed(const struct fl_pool_config *config, uint64_t keep)
{
	uint64_t kept = keep < STACK_BYTES ? keep : STACK_BYTES;
	struct fl_pool_config mine = *config;
	struct conform conform;

	mine.max_stacks = 1;
	mine.zero_stacks = 1;
	mine.stack_keep_resident_bytes = keep;
	conform_open(&conform, &mine);
	for (int i = 0; i < 5; i++) {
		struct fl_stack *stack = take_stack(&conform), was = *stack;

		CHECK(is_zero(stack));
		memset(stack->low, 0x5a + i, stack_len(stack));
		give_stack(stack);
		if (config->allocation == FL_ALLOCATION_POOLING) {
			CHECK_EQ(count_resident(&was) * conform_hpage(),
				 conform_round_up(kept, conform_hpage()));
		}
	}
	CHECK_EQ(conform_info(&conform).retired_stacks, 0);
	conform_close(&conform);
}

static void check_all_zeroed(const struct fl_pool_config *config)
{
	static const uint64_t keeps[] = {
		0,
		4096,
		8 * KIB,
		12345,
		STACK_BYTES - 1,
		STACK_BYTES,
		STACK_BYTES + 1,
		1 * MIB,
		UINT64_MAX - 4095,
		UINT64_MAX,
	};

	for (size_t i = 0; i < TEST_ARRAY_SIZE(keeps); i++) {
		check_zeroed(config, keeps[i]);
		if (test_has_failed())
			test_note("keep %ju", (uintmax_t)keeps[i]);
	}
}

static void zeroed_for_the_next(void)
{
	each_kind(check_all_zeroed);
}

/* A few bytes, anywhere, of a stack whose tenant touched nothing else. */
static void check_sparse(const struct fl_pool_config *config)
{
	struct fl_pool_config mine = *config;
	struct test_random random;
	struct conform conform;

	test_random_init(&random, 11);
	mine.max_stacks = 1;
	mine.zero_stacks = 1;
	mine.stack_keep_resident_bytes = 20 * KIB;
	conform_open(&conform, &mine);
	for (int i = 0; i < 300; i++) {
		struct fl_stack *stack = take_stack(&conform);

		CHECK(is_zero(stack));
		for (int j = 0; j < 5; j++)
			stack->low[test_random_below(&random, stack_len(stack))] =
				1;
		stack->low[0] = 1;
		stack->high[-1] = 1;
		give_stack(stack);
	}
	conform_close(&conform);
}

static void zeroed_after_few_writes(void)
{
	each_kind(check_sparse);
}

/* 255 tenants in one slot: the address stays, and without zero_stacks a
 * release leaves the bytes as they are. */
static void reused_often(void)
{
	struct fl_pool_config config;
	struct conform conform;
	uint8_t *low = NULL;

	stack_config(&config);
	config.max_stacks = 1;
	config.stack_keep_resident_bytes = 4096; /* of zeroed stacks only */
	conform_open(&conform, &config);
	for (int i = 0; i < 255; i++) {
		struct fl_stack *stack = take_stack(&conform);

		CHECK(!low || stack->low == low);
		if (low) {
			CHECK_EQ(stack->low[0], i - 1);
			CHECK_EQ(stack->high[-1], i - 1);
		}
		low = stack->low;
		memset(stack->low, i, stack_len(stack));
		give_stack(stack);
	}
	CHECK_EQ(conform_info(&conform).acquired_stacks, 255);
	CHECK_EQ(conform_info(&conform).retired_stacks, 0);
	conform_close(&conform);
}

/* --------------------------------------------------------------- exhaustion */

static void all_in_use(void)
{
	struct fl_stack *stacks[STACKS], *none = NULL;
	struct fl_error error = { .code = 0 };
	struct fl_pool_config config;
	struct conform conform;
	uint64_t start;

	stack_config(&config);
	conform_open(&conform, &config);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < STACKS; i++)
			stacks[i] = take_stack(&conform);
		CHECK_EQ(fl_stack_acquire(conform.pool, 0, &none, &error),
			 -EAGAIN);
		CHECK_EQ(error.code, -EAGAIN);
		CHECK_HAS(error.text, "max_stacks");
		start = test_now_ns();
		CHECK_EQ(fl_stack_acquire(conform.pool, 20000000, &none, NULL),
			 -ETIMEDOUT);
		CHECK(test_now_ns() - start >= 19000000);
		CHECK(none == NULL);
		CHECK_EQ(conform_info(&conform).live_stacks, STACKS);
		give_stack(stacks[round % STACKS]);
		stacks[round % STACKS] = take_stack(&conform);
		for (int i = 0; i < STACKS; i++)
			give_stack(stacks[i]);
	}
	CHECK_EQ(conform_info(&conform).refused_stacks, 8);
	CHECK_EQ(conform_info(&conform).acquired_stacks, 4 * (STACKS + 1));
	CHECK_EQ(conform_info(&conform).max_stacks, STACKS);
	conform_close(&conform);
}

static void counts_do_not_limit_on_demand(void)
{
	struct fl_pool_config config;
	struct fl_stack *stacks[200];
	struct conform conform;

	stack_config(&config);
	config.max_stacks = 0;
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	conform_open(&conform, &config);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(stacks); i++) {
		stacks[i] = take_stack(&conform);
		memset(stacks[i]->low, (int)i, stack_len(stacks[i]));
	}
	CHECK_EQ(conform_info(&conform).live_stacks, TEST_ARRAY_SIZE(stacks));
	for (size_t i = 0; i < TEST_ARRAY_SIZE(stacks); i++) {
		CHECK_EQ(stacks[i]->low[0], (uint8_t)i);
		CHECK_EQ(stacks[i]->high[-1], (uint8_t)i);
		give_stack(stacks[i]);
	}
	CHECK_EQ(conform_info(&conform).live_stacks, 0);
	conform_close(&conform);
}

/* The second is an error, also while others live. */
static void check_twice(const struct fl_pool_config *config)
{
	struct fl_stack *stack, *other;
	struct conform conform;

	conform_open(&conform, config);
	other = take_stack(&conform);
	for (int i = 0; i < 3; i++) {
		stack = take_stack(&conform);
		give_stack(stack);
		CHECK_EQ(fl_stack_release(stack), -EINVAL);
		CHECK_EQ(fl_stack_release(stack), -EINVAL);
		CHECK_EQ(conform_info(&conform).live_stacks, 1);
	}
	CHECK_EQ(fl_stack_release(NULL), -EINVAL);
	give_stack(other);
	CHECK_EQ(fl_stack_release(other), -EINVAL);
	conform_close(&conform);
}

static void release_twice(void)
{
	each_kind(check_twice);
}

static void check_busy(const struct fl_pool_config *config)
{
	struct fl_stack *stack;
	struct conform conform;

	conform_open(&conform, config);
	stack = take_stack(&conform);
	CHECK_EQ(fl_pool_destroy(conform.pool), -EBUSY);
	memset(stack->low, 1, stack_len(stack));
	CHECK_EQ(conform_info(&conform).live_stacks, 1);
	give_stack(stack);
	conform_close(&conform);
}

static void a_live_stack_keeps_the_pool(void)
{
	each_kind(check_busy);
}

struct child {
	struct conform *conform;
	struct fl_stack *stack;
};

static int child_run(void *arg)
{
	struct child *child = arg;
	struct fl_stack *none = NULL;

	CHECK_EQ(fl_stack_acquire(child->conform->pool, 0, &none, NULL),
		 -ECHILD);
	CHECK(none == NULL);
	CHECK_EQ(fl_stack_release(child->stack), -ECHILD);
	return 0;
}

static void check_child(const struct fl_pool_config *config)
{
	struct conform conform;
	struct child child = { .conform = &conform };

	conform_open(&conform, config);
	child.stack = take_stack(&conform);
	memset(child.stack->low, 3, stack_len(child.stack));
	CHECK_EQ(test_fork(child_run, &child, 20).status, 0);
	CHECK_EQ(child.stack->low[0], 3);
	give_stack(child.stack);
	conform_close(&conform);
}

static void child_gets_an_error(void)
{
	each_kind(check_child);
}

/* ------------------------------------------------------------------ threads */

struct crew {
	struct conform conform;
	bool is_zeroed;
	atomic_int next_idx;
	atomic_bool is_over;
};

static void *tenant_loop(void *arg)
{
	struct crew *crew = arg;
	int idx = atomic_fetch_add(&crew->next_idx, 1);

	for (int i = 0; i < 100; i++) {
		uint64_t timeout_ns = i % 3 ? UINT64_MAX : 1000000;
		struct fl_stack *stack = NULL;
		int err = fl_stack_acquire(crew->conform.pool, timeout_ns,
					   &stack, NULL);

		if (err) {
			CHECK_EQ(err, -ETIMEDOUT);
			CHECK(i % 3 == 0);
			continue;
		}
		if (crew->is_zeroed)
			CHECK(is_zero(stack));
		memset(stack->high - 9000, idx, 9000);
		sched_yield();
		CHECK_EQ(stack->high[-9000], idx);
		CHECK(!memcmp(stack->high - 9000, stack->high - 8999, 8999));
		give_stack(stack);
	}
	return NULL;
}

static void *lookup_loop(void *arg)
{
	struct crew *crew = arg;
	struct fl_fault fault;
	uint8_t local;

	while (!atomic_load(&crew->is_over)) {
		CHECK(!fl_fault_lookup(crew->conform.context, &local, &fault));
		CHECK_EQ(fault.kind, FL_FAULT_NOT_OURS);
	}
	return NULL;
}

static void check_threads(const struct fl_pool_config *config)
{
	pthread_t threads[4], looker;

	for (uint32_t zero = 0; zero < 2; zero++) {
		struct fl_pool_config mine = *config;
		struct crew crew = { .is_zeroed = zero };

		mine.max_stacks = 2;
		mine.zero_stacks = zero;
		mine.stack_keep_resident_bytes = zero * 8 * KIB;
		conform_open(&crew.conform, &mine);
		MUST_EQ(pthread_create(&looker, NULL, lookup_loop, &crew), 0);
		for (int i = 0; i < 4; i++)
			MUST_EQ(pthread_create(&threads[i], NULL, tenant_loop,
					       &crew),
				0);
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
		atomic_store(&crew.is_over, true);
		pthread_join(looker, NULL);
		CHECK_EQ(conform_info(&crew.conform).live_stacks, 0);
		CHECK_EQ(conform_info(&crew.conform).retired_stacks, 0);
		conform_close(&crew.conform);
	}
}

static void stacks_from_several_threads(void)
{
	each_kind(check_threads);
}

/* ----------------------------------------------------------- code on stacks */

static ucontext_t fiber_main, fiber_context;
static uint64_t fiber_sum;

static __attribute__((noinline)) uint64_t fiber_depth(unsigned int left)
{
	volatile uint8_t frame[256];

	for (size_t i = 0; i < sizeof(frame); i++)
		frame[i] = (uint8_t)left;
	if (!left)
		return 1;
	return fiber_depth(left - 1) + 1 + (frame[left % 256] != (uint8_t)left);
}

static void fiber_fn(void)
{
	fiber_sum = fiber_depth(50);
	swapcontext(&fiber_context, &fiber_main);
	fiber_sum += fiber_depth(10);
}

static void fiber_start(const struct fl_stack *stack, void (*fn)(void))
{
	MUST_EQ(getcontext(&fiber_context), 0);
	fiber_context.uc_stack.ss_sp = stack->low;
	fiber_context.uc_stack.ss_size = stack_len(stack);
	fiber_context.uc_link = &fiber_main;
	makecontext(&fiber_context, fn, 0);
	MUST_EQ(swapcontext(&fiber_main, &fiber_context), 0);
}

static const char *needs_fibers(void)
{
	if (!makecontext)
		return TEST_NOT_BUILT "this C library has no makecontext()";
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "sanitizers know no fibers" :
				     NULL;
}

/* Ten fibers on reused stacks, suspended and resumed. */
static void check_fiber(const struct fl_pool_config *config)
{
	struct fl_pool_config mine = *config;
	struct conform conform;

	mine.zero_stacks = 1;
	conform_open(&conform, &mine);
	for (int i = 0; i < 10; i++) {
		struct fl_stack *stack = take_stack(&conform);

		fiber_sum = 0;
		fiber_start(stack, fiber_fn);
		CHECK_EQ(fiber_sum, 51);
		MUST_EQ(swapcontext(&fiber_main, &fiber_context), 0);
		CHECK_EQ(fiber_sum, 51 + 11);
		give_stack(stack);
	}
	conform_close(&conform);
}

static void a_fiber_runs(void)
{
	struct fl_pool_config config;

	stack_config(&config);
	check_fiber(&config);
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	check_fiber(&config);
}

static void *thread_fn(void *arg)
{
	uint8_t here;

	*(uint8_t **)arg = &here;
	fiber_depth(30);
	return arg;
}

/* A thread's stack is one too, and sanitizers know it. */
static void a_thread_runs(void)
{
	struct fl_pool_config config;
	struct fl_stack *stack;
	struct conform conform;
	pthread_attr_t attr;
	pthread_t thread;
	uint8_t *frame = NULL;

	stack_config(&config);
	config.stack_bytes = 1 * MIB;
	conform_open(&conform, &config);
	stack = take_stack(&conform);
	MUST_EQ(pthread_attr_init(&attr), 0);
	CHECK_EQ(pthread_attr_setstack(&attr, stack->low, stack_len(stack)), 0);
	MUST_EQ(pthread_create(&thread, &attr, thread_fn, &frame), 0);
	pthread_join(thread, NULL);
	pthread_attr_destroy(&attr);
	if (!test_is_sanitized())
		CHECK(frame >= stack->low && frame < stack->high);
	give_stack(stack);
	conform_close(&conform);
}

static const struct fl_context *overflow_context;
static const struct fl_stack *overflow_stack;

#define RIGHT_STACK 7

static void overflow_handler(int signo, const void *addr)
{
	struct fl_fault fault;

	if (signo != SIGSEGV ||
	    !fl_fault_lookup(overflow_context, addr, &fault))
		_exit(1);
	if (fault.kind != FL_FAULT_STACK_GUARD)
		_exit(2);
	_exit(fault.stack == overflow_stack ? RIGHT_STACK : 3);
}

static void fiber_overflow(void)
{
	fiber_sum = fiber_depth(UINT32_MAX);
}

/* The pool is the child's own. */
static int overflow_run(void *arg)
{
	struct fl_stack *stacks[STACKS];
	struct conform conform;

	conform_open(&conform, arg);
	for (int i = 0; i < STACKS; i++)
		stacks[i] = take_stack(&conform);
	qsort(stacks, STACKS, sizeof(stacks[0]), by_address);
	overflow_context = conform.context;
	overflow_stack = stacks[1];
	test_handle_faults(overflow_handler);
	fiber_start(stacks[1], fiber_overflow);
	return 4;
}

static void overflow_is_caught_and_named(void)
{
	struct fl_pool_config config;

	stack_config(&config);
	CHECK_EQ(test_fork(overflow_run, &config, 20).status, RIGHT_STACK);
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	CHECK_EQ(test_fork(overflow_run, &config, 20).status, RIGHT_STACK);
}

/* -------------------------------------------------------------- userfaultfd */

/* Beside memories that are. */
static void check_unregistered(const struct fl_pool_config *config)
{
	struct fl_pool_config mine = *config;
	struct conform conform;

	mine.zero_stacks = 1;
	mine.stack_keep_resident_bytes = 16 * KIB;
	conform_open(&conform, &mine);
	for (int i = 0; i < 6; i++) {
		struct fl_memory *memory = conform_take(&conform, NULL, WPAGE);
		struct fl_stack *stack = take_stack(&conform);
		int mappings = 0;

		memset(memory->base, 1, WPAGE);
		memset(stack->low, 1, stack_len(stack));
		CHECK(!procfs_is_registered(stack->low, stack->high,
					    &mappings));
		CHECK_EQ(mappings, 1);
		give_stack(stack);
		conform_give(memory);
	}
	conform_close(&conform);
}

static void never_registered(void)
{
	each_kind(check_unregistered);
}

static const struct test_case cases[] = {
	TEST_CASE(guards_at_both_ends),
	TEST_CASE(alignments_and_sizes),
	TEST_CASE(guards_of_a_size),
	TEST_CASE(what_no_stack_can_be),
	TEST_CASE(no_stacks_here),
	TEST_CASE(lookup_names_the_stack),
	TEST_CASE(lookup_of_a_free_stack),
	TEST_CASE(zeroed_for_the_next),
	TEST_CASE(zeroed_after_few_writes),
	TEST_CASE(reused_often),
	TEST_CASE(all_in_use),
	TEST_CASE(counts_do_not_limit_on_demand),
	TEST_CASE(release_twice),
	TEST_CASE(a_live_stack_keeps_the_pool),
	TEST_CASE(child_gets_an_error),
	TEST_CASE(stacks_from_several_threads),
	TEST_CASE_NEEDS(a_fiber_runs, needs_fibers),
	TEST_CASE(a_thread_runs),
	TEST_CASE_NEEDS(overflow_is_caught_and_named, needs_fibers),
	TEST_CASE_NEEDS(never_registered, test_needs_own_mappings),
};

CONFORM_MAIN(cases)
