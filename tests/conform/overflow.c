/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * overflow.c - a full pool serves on demand up to a second limit; and waiting
 * for a slot without a blocked thread, by a descriptor. Both with threads that
 * would hang if a wake-up were lost.
 */
#define _GNU_SOURCE
#include "tests/kit/clock.h"
#include "tests/kit/conform_module.h"
#include "tests/kit/host.h"
#include "tests/kit/trap.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

static void small_pool(struct fl_pool_config *config, uint32_t count,
		       uint32_t overflow)
{
	conform_pool_config(config);
	config->max_memories = config->max_instances = config->max_tables =
		config->max_stacks = count;
	config->overflow_memories = config->overflow_instances =
		config->overflow_tables = config->overflow_stacks = overflow;
	config->instance_bytes = 100;
	config->table_element_bytes = 8;
}

static int try_take(struct conform *conform, uint64_t timeout_ns,
		    struct fl_memory **memory)
{
	struct fl_memory_config config;

	fl_memory_config_init(&config);
	config.initial_bytes = WPAGE;
	config.timeout_ns = timeout_ns;
	return fl_memory_acquire(conform->pool, &config, memory, NULL);
}

static struct fl_memory *must_take(struct conform *conform)
{
	struct fl_memory *memory = NULL;

	MUST_EQ(try_take(conform, 0, &memory), 0);
	return memory;
}

/* ---------------------------------------------------------------- overflow */

static void check_guest(struct conform *conform, struct fl_memory *memory)
{
	struct fl_fault fault;
	uint64_t old;

	CHECK_EQ(conform_first_data(memory->base, WPAGE), WPAGE);
	CHECK(fl_memory_find(conform->pool, memory->base) == memory);
	CHECK(test_traps(memory->base + WPAGE));
	CHECK(fl_fault_lookup(conform->context, memory->base + WPAGE, &fault));
	CHECK(fault.memory == memory && fault.is_trap);
	CHECK_EQ(fl_memory_grow(memory, 2, &old), 0);
	memset(memory->base, 0x66, 3 * WPAGE);
	CHECK_EQ(fl_memory_grow(memory, 1000, &old), -E2BIG);
}

static void up_to_the_second_limit(void)
{
	struct fl_pool_config config;
	struct fl_memory *memories[6];
	struct fl_pool_info info;
	struct conform conform;

	small_pool(&config, 2, 3);
	conform_open(&conform, &config);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 5; i++) {
			memories[i] = must_take(&conform);
			check_guest(&conform, memories[i]);
		}
		CHECK_EQ(try_take(&conform, 0, &memories[5]), -EAGAIN);
		CHECK_EQ(try_take(&conform, 1000, &memories[5]), -ETIMEDOUT);
		info = conform_info(&conform);
		CHECK_EQ(info.live_memories, 5);
		CHECK_EQ(info.overflow_memories, 3);
		CHECK_EQ(info.overflowed_memories,
			 (uint64_t)(round + 1) * 3 + (uint64_t)round);
		CHECK_EQ(fl_pool_destroy(conform.pool), -EBUSY);
		/* A place beyond is free again at once. */
		conform_give(memories[4]);
		CHECK_EQ(fl_memory_release(memories[4]), -EINVAL);
		memories[4] = must_take(&conform);
		CHECK_EQ(conform_info(&conform).overflow_memories, 3);
		/* What lies beyond can outlive what lies within. */
		for (int i = 0; i < 5; i++)
			conform_give(memories[i]);
		info = conform_info(&conform);
		CHECK_EQ(info.live_memories, 0);
		CHECK_EQ(info.overflow_memories, 0);
	}
	conform_close(&conform);
}

/* The pool's own slots come first. */
static void only_what_has_no_room(void)
{
	struct fl_memory *within, *beyond;
	struct fl_pool_config config;
	struct conform conform;
	uint8_t *base;

	small_pool(&config, 1, 1);
	conform_open(&conform, &config);
	within = must_take(&conform);
	base = within->base;
	beyond = must_take(&conform);
	CHECK(beyond->base != base);
	conform_give(within);
	within = must_take(&conform);
	CHECK(within->base == base);
	conform_give(beyond);
	conform_give(within);
	CHECK_EQ(conform_info(&conform).overflowed_memories, 1);
	conform_close(&conform);
}

static void whole_instances(void)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_instance *instances[3];
	struct fl_pool_config config;
	struct fl_stack *stacks[4];
	struct fl_module *module;
	struct conform conform;
	struct fl_pool_info info;
	int err;

	small_pool(&config, 1, 2);
	conform_open(&conform, &config);
	module = module_simple(&conform, 2, 100, "data");
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++) {
			struct fl_memory *memory;

			instances[i] = instance_start(&conform, module);
			memory = fl_instance_memory(instances[i], 0);
			CHECK(!memcmp(memory->base + 100, "data", 5));
			CHECK_EQ(conform_first_data(
					 fl_instance_structure(instances[i]),
					 100),
				 100);
			memset(memory->base, 1, 2 * WPAGE);
			memset(fl_instance_structure(instances[i]), 1, 100);
			CHECK_EQ(fl_stack_acquire(conform.pool, 0, &stacks[i],
						  &error),
				 0);
			stacks[i]->low[0] = 1;
		}
		CHECK_EQ(fl_instance_acquire(conform.pool, module, NULL,
					     &instances[0], &error),
			 -EAGAIN);
		CHECK_EQ(fl_stack_acquire(conform.pool, 0, &stacks[3], &error),
			 -EAGAIN);
		info = conform_info(&conform);
		CHECK_EQ(info.overflow_instances, 2);
		CHECK_EQ(info.overflow_stacks, 2);
		err = fl_pool_usage(conform.pool, &usage, &error);
		if (!err)
			CHECK(usage.private_bytes >= 6 * WPAGE);
		else
			CHECK_EQ(err, -ENOTSUP);
		CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL), 0);
		for (int i = 0; i < 3; i++) {
			CHECK_EQ(fl_stack_release(stacks[i]), 0);
			instance_stop(instances[i]);
		}
	}
	fl_module_release(module);
	conform_close(&conform);
}

static void contradictions(void)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool *pool = NULL;
	struct conform conform;

	conform_open(&conform, NULL);
	conform_pool_config(&config);
	config.overflow_tables = 1;
	CHECK_EQ(fl_pool_create(conform.context, &config, &pool, &error),
		 -EINVAL);
	CHECK(strstr(error.text, "overflow_tables"));
	CHECK(strstr(error.text, "max_tables"));
	conform_close(&conform);
}

/* ----------------------------------------------------------------- waiting */

static int wait_fd(struct conform *conform)
{
	struct fl_error error = { .text = "" };
	int fd = -1, again = -1;

	CONFORM_MUST(fl_pool_wait_fd(conform->pool, &fd, &error), &error);
	CHECK_EQ(fl_pool_wait_fd(conform->pool, &again, &error), 0);
	CHECK_EQ(fd, again);
	return fd;
}

/* A signal that is handled ends a poll() whatever its handler's flags say. */
static bool is_readable(int fd, int timeout_ms)
{
	struct pollfd asked = { .fd = fd, .events = POLLIN };
	int count;

	do
		count = poll(&asked, 1, timeout_ms);
	while (count < 0 && errno == EINTR);
	return count == 1;
}

/* Take one event, if there is one. */
static bool take_event(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) && count == 1;
}

static void one_slot_one_event(void)
{
	struct fl_memory *memories[3], *other = NULL;
	struct fl_pool_config config;
	struct conform conform;
	int fd;

	small_pool(&config, 3, 0);
	conform_open(&conform, &config);
	fd = wait_fd(&conform);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 3; i++)
			memories[i] = must_take(&conform);
		/* Nobody waits: nothing is posted. */
		conform_give(memories[2]);
		CHECK(!is_readable(fd, 0));
		memories[2] = must_take(&conform);
		for (int i = 0; i < 3; i++)
			CHECK_EQ(try_take(&conform, 0, &other), -EAGAIN);
		CHECK(!is_readable(fd, 0));
		conform_give(memories[0]);
		CHECK(is_readable(fd, 0));
		CHECK(take_event(fd) && !take_event(fd));
		conform_give(memories[1]);
		CHECK(take_event(fd) && !take_event(fd));
		conform_give(memories[2]);
		CHECK(take_event(fd) && !take_event(fd));
		CHECK(!is_readable(fd, 0));
	}
	conform_close(&conform);
}

static void beyond_too(void)
{
	struct fl_memory *memories[2], *other = NULL;
	struct fl_pool_config config;
	struct conform conform;
	int fd;

	small_pool(&config, 1, 1);
	conform_open(&conform, &config);
	fd = wait_fd(&conform);
	memories[0] = must_take(&conform);
	/* There is room beyond: nobody waits. */
	memories[1] = must_take(&conform);
	CHECK_EQ(try_take(&conform, 0, &other), -EAGAIN);
	conform_give(memories[1]);
	CHECK(take_event(fd) && !take_event(fd));
	memories[1] = must_take(&conform);
	conform_give(memories[0]);
	CHECK(!is_readable(fd, 0));
	conform_give(memories[1]);
	conform_close(&conform);
}

/* A child's calls change nothing for its parent. */
static int child_asks(void *arg)
{
	struct conform *conform = arg;
	int fd;

	CHECK_EQ(fl_pool_wait_fd(conform->pool, &fd, NULL), -ECHILD);
	return 0;
}

static void child_gets_an_error(void)
{
	struct conform conform;

	conform_open(&conform, NULL);
	conform_check_child(child_asks, &conform);
	conform_close(&conform);
}

/* ----------------------------------------------------------------- threads */

#define THREADS 5

struct crew {
	struct conform conform;
	int fd;
	unsigned int cycles;
	unsigned int lost; /* atomic: threads that gave up */
};

static void use(struct fl_memory *memory, unsigned int i)
{
	CHECK_EQ(memory->base[i % WPAGE], 0);
	memory->base[i % WPAGE] = 1;
	if (i % 3 == 0)
		sched_yield();
	CHECK_EQ(fl_memory_release(memory), 0);
}

/* An event loop: it never blocks but for the descriptor. */
static void *loop_main(void *arg)
{
	struct crew *crew = arg;

	for (unsigned int i = 0; i < crew->cycles;) {
		struct fl_memory *memory = NULL;
		int err = try_take(&crew->conform, 0, &memory);

		if (!err) {
			use(memory, i++);
			continue;
		}
		CHECK_EQ(err, -EAGAIN);
		while (!take_event(crew->fd)) {
			if (is_readable(crew->fd, 40000))
				continue;
			__atomic_add_fetch(&crew->lost, 1, __ATOMIC_RELAXED);
			return NULL;
		}
	}
	return NULL;
}

/* A thread that waits in the acquire. */
static void *waiter_main(void *arg)
{
	const uint64_t limit_ns = (uint64_t)40 * 1000000000;
	struct crew *crew = arg;

	for (unsigned int i = 0; i < crew->cycles; i++) {
		struct fl_memory *memory = NULL;

		if (try_take(&crew->conform, limit_ns, &memory)) {
			__atomic_add_fetch(&crew->lost, 1, __ATOMIC_RELAXED);
			return NULL;
		}
		use(memory, i);
	}
	return NULL;
}

/* More threads than slots, of both kinds; loops alone, waiters alone. */
static void run_crew(uint32_t within, uint32_t beyond, unsigned int loops)
{
	struct crew crew = { .cycles = test_is_sanitized() ? 100 : 300 };
	struct fl_pool_config config;
	pthread_t threads[THREADS];

	small_pool(&config, within, beyond);
	conform_open(&crew.conform, &config);
	crew.fd = wait_fd(&crew.conform);
	for (unsigned int i = 0; i < THREADS; i++)
		MUST_EQ(pthread_create(&threads[i], NULL,
				       i < loops ? loop_main : waiter_main,
				       &crew),
			0);
	for (unsigned int i = 0; i < THREADS; i++)
		MUST_EQ(pthread_join(threads[i], NULL), 0);
	CHECK_EQ(crew.lost, 0);
	CHECK_EQ(conform_info(&crew.conform).live_memories, 0);
	CHECK_EQ(conform_info(&crew.conform).acquired_memories,
		 (uint64_t)THREADS * crew.cycles);
	conform_close(&crew.conform);
}

#define PATIENCE_NS ((uint64_t)40 * 1000000000)

struct patient {
	struct conform *conform;
	struct fl_memory *memory;
	int err;
};

static void *patient_main(void *arg)
{
	struct patient *patient = arg;

	patient->err =
		try_take(patient->conform, PATIENCE_NS, &patient->memory);
	return NULL;
}

/* It sleeps where the pool's own slots come back, and the place is beyond. */
static void a_waiter_gets_the_place_beyond(void)
{
	struct fl_memory *within, *beyond;
	struct fl_pool_config config;
	struct patient patient;
	struct conform conform;
	pthread_t thread;
	uint64_t given_ns;

	small_pool(&config, 1, 1);
	conform_open(&conform, &config);
	for (int round = 0; round < 5; round++) {
		within = must_take(&conform);
		beyond = must_take(&conform);
		patient = (struct patient){ .conform = &conform };
		MUST_EQ(pthread_create(&thread, NULL, patient_main, &patient),
			0);
		/* Some rounds before it sleeps, some after. */
		test_sleep_ms((unsigned int)round * 5);
		given_ns = test_now_ns();
		conform_give(beyond);
		MUST_EQ(pthread_join(thread, NULL), 0);
		/* Not when its time was up. */
		CHECK(test_now_ns() - given_ns < PATIENCE_NS / 2);
		if (CHECK_EQ(patient.err, 0))
			conform_give(patient.memory);
		conform_give(within);
	}
	conform_close(&conform);
}

static void no_event_is_lost(void)
{
	for (unsigned int loops = 1; loops <= THREADS; loops += 2)
		run_crew(2, 0, loops);
}

static void no_place_beyond_is_missed(void)
{
	for (unsigned int loops = 0; loops <= THREADS; loops += THREADS)
		run_crew(1, 1, loops);
	run_crew(1, 2, 2);
}

static const struct test_case cases[] = {
	TEST_CASE(up_to_the_second_limit),
	TEST_CASE(only_what_has_no_room),
	TEST_CASE(whole_instances),
	TEST_CASE(contradictions),
	TEST_CASE_NEEDS(one_slot_one_event, test_needs_events),
	TEST_CASE_NEEDS(beyond_too, test_needs_events),
	TEST_CASE(child_gets_an_error),
	TEST_CASE(a_waiter_gets_the_place_beyond),
	TEST_CASE_NEEDS(no_event_is_lost, test_needs_events),
	TEST_CASE_NEEDS(no_place_beyond_is_missed, test_needs_events),
};

CONFORM_MAIN(cases)
