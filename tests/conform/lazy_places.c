/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lazy_places.c - slots that show lazy images come and go, and guests are disturbed
 * while they wait.
 *
 * An image outlives its slots, and addresses are used again: a fault belongs to
 * what is there now. The kernel tells of an access anew when a signal disturbed
 * the wait: such an access still takes one waiter.
 */
#include "tests/kit/conform.h"
#include "tests/kit/page_source.h"
#include "tests/kit/trap.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define IMAGES 2
#define SIGNALS 1000
#define READERS 3

/* Images of one byte value each, the second longer than the first. */
struct host {
	struct conform conform;
	struct test_file files[IMAGES];
	struct test_source sources[IMAGES];
	struct fl_image *images[IMAGES];
};

static uint8_t value_of(int idx)
{
	return (uint8_t)(0x41 + idx);
}

static uint64_t pages_of(int idx)
{
	return 10 + 5 * (uint64_t)idx;
}

static void image_open(struct host *host, int idx, uint64_t deadline_ms)
{
	struct fl_error error = { .text = "" };
	struct fl_load_config config;
	int err;

	fl_load_config_init(&config);
	config.way = FL_LOAD_LAZY;
	config.deadline_ns = deadline_ms * 1000000;
	/* Where the machine is busy, opening may take longer than a load may. */
	do
		err = fl_image_open_source(host->conform.context,
					   host->sources[idx].source, &config,
					   &host->images[idx], &error);
	while (err == -ETIMEDOUT);
	CONFORM_MUST(err, &error);
}

static void source_open(struct host *host, int idx)
{
	uint64_t len = pages_of(idx) * WPAGE;
	uint8_t *bytes = malloc(len);
	struct fl_image *plain;

	MUST(bytes != NULL);
	memset(bytes, value_of(idx), len);
	plain = conform_image_of(&host->conform, len, 0, bytes, len);
	free(bytes);
	host->files[idx] = test_file_of(plain);
	fl_image_release(plain);
	test_source_open(&host->sources[idx], host->files[idx], true);
}

static void pool_open(struct host *host, enum fl_allocation allocation)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;

	conform_pool_config(&config);
	config.allocation = allocation;
	CONFORM_MUST(fl_pool_create(host->conform.context, &config,
				    &host->conform.pool, &error),
		     &error);
}

/* deadline_ms: of the first image. */
static void host_open(struct host *host, enum fl_allocation allocation,
		      uint64_t deadline_ms)
{
	host->conform.context = conform_context();
	pool_open(host, allocation);
	for (int i = 0; i < IMAGES; i++)
		source_open(host, i);
	image_open(host, 0, deadline_ms);
	image_open(host, 1, 20000);
}

static void host_close(struct host *host)
{
	for (int i = 0; i < IMAGES; i++)
		fl_image_release(host->images[i]);
	conform_close(&host->conform);
	for (int i = 0; i < IMAGES; i++) {
		fl_page_source_release(host->sources[i].source);
		free(host->files[i].bytes);
	}
}

/* Each page is of this image, wherever another image was shown before. Backward,
 * so that nothing is foreseen. */
static void check_shows(const struct fl_memory *memory, int idx)
{
	for (uint64_t w = pages_of(idx); w--;)
		CHECK_EQ(memory->base[w * WPAGE + 7], value_of(idx));
}

static void images_take_turns(enum fl_allocation allocation, bool is_pool_new)
{
	struct host host;

	host_open(&host, allocation, 10000);
	for (int i = 0; i < 6; i++) {
		struct fl_memory *memory;

		memory =
			conform_take(&host.conform, host.images[i % IMAGES], 0);
		check_shows(memory, i % IMAGES);
		conform_give(memory);
		if (!is_pool_new)
			continue;
		CHECK_EQ(fl_pool_destroy(host.conform.pool), 0);
		pool_open(&host, allocation);
	}
	host_close(&host);
}

/* The next pool is where the first was, and shows another image there. */
static void the_pool_goes_the_image_stays(void)
{
	images_take_turns(FL_ALLOCATION_POOLING, true);
}

static void on_demand_addresses_come_again(void)
{
	images_take_turns(FL_ALLOCATION_ON_DEMAND, false);
	images_take_turns(FL_ALLOCATION_ON_DEMAND, true);
}

/* A release that can map nothing over a slot on demand unmaps it all the same. */
static void on_demand_ends_without_room(void)
{
	struct rlimit before, none;
	struct fl_memory *memory;
	struct host host;

	host_open(&host, FL_ALLOCATION_ON_DEMAND, 10000);
	memory = conform_take(&host.conform, host.images[0], 0);
	CHECK_EQ(memory->base[7], value_of(0));
	MUST_EQ(getrlimit(RLIMIT_AS, &before), 0);
	none = before;
	none.rlim_cur = WPAGE;
	MUST_EQ(setrlimit(RLIMIT_AS, &none), 0);
	conform_give(memory);
	MUST_EQ(setrlimit(RLIMIT_AS, &before), 0);
	CHECK_EQ(conform_info(&host.conform).retired_memories, 0);
	memory = conform_take(&host.conform, host.images[1], 0);
	check_shows(memory, 1);
	conform_give(memory);
	host_close(&host);
}

static const char *needs_limits(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer needs address space" :
				     conform_needs_lazy();
}

struct reader {
	pthread_t thread;
	const uint8_t *at;
	uint8_t byte;
	bool has_byte;
};

static void *read_one(void *arg)
{
	struct reader *reader = arg;

	reader->has_byte = test_thread_read(reader->at, &reader->byte);
	return NULL;
}

static void reader_start(struct reader *reader, const uint8_t *at)
{
	*reader = (struct reader){ .at = at };
	MUST_EQ(pthread_create(&reader->thread, NULL, read_one, reader), 0);
}

static void on_signal(int signo)
{
	(void)signo;
}

/* Whoever preempts guests by signals disturbs many waits. The disposition stays: the
 * last signal reaches a thread when it runs again, however late that is. */
static void disturb(const struct reader *readers, int count)
{
	struct sigaction action = { .sa_handler = on_signal,
				    .sa_flags = SA_RESTART | SA_ONSTACK };

	MUST_EQ(sigaction(SIGUSR1, &action, NULL), 0);
	for (int i = 0; i < SIGNALS; i++) {
		pthread_kill(readers[i % count].thread, SIGUSR1);
		usleep(50);
	}
}

/* One source says nothing, and its guests are told again and again to look. The
 * guests of another are served meanwhile. */
static void disturbed_waits_take_no_waiters(void)
{
	struct reader readers[READERS], other;
	struct fl_memory *silent, *served;
	struct host host;

	host_open(&host, FL_ALLOCATION_POOLING, 20000);
	test_source_set(&host.sources[0].mischief.is_silent, 1);
	silent = conform_take(&host.conform, host.images[0], 0);
	served = conform_take(&host.conform, host.images[1], 0);
	test_threads_catch(NULL);
	for (uint64_t i = 0; i < READERS; i++)
		reader_start(&readers[i], silent->base + (1 + 4 * i) * WPAGE);
	usleep(2000);
	disturb(readers, READERS);
	reader_start(&other, served->base + 5 * WPAGE);
	pthread_join(other.thread, NULL);
	CHECK(other.has_byte);
	CHECK_EQ(other.byte, value_of(1));
	test_source_set(&host.sources[0].mischief.is_silent, 0);
	test_source_kick(&host.sources[0]);
	for (int i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		CHECK(readers[i].has_byte);
		CHECK_EQ(readers[i].byte, value_of(0));
	}
	test_threads_catch_end();
	conform_give(silent);
	conform_give(served);
	host_close(&host);
}

/* Ask a source that does not answer for more pages than can be on their way. */
static void ask_in_vain(struct host *host)
{
	test_threads_catch(NULL);
	for (uint64_t i = 0; i < 24; i++) {
		struct fl_memory *memory =
			conform_take(&host->conform, host->images[0], 0);
		struct reader reader;

		reader_start(&reader, memory->base + i * 3 % 10 * WPAGE);
		pthread_join(reader.thread, NULL);
		CHECK(!reader.has_byte);
		conform_give(memory);
	}
	test_threads_catch_end();
}

static void image_open_again(struct host *host)
{
	CHECK_EQ(fl_pool_purge_image(host->conform.pool, host->images[0], NULL),
		 0);
	fl_image_release(host->images[0]);
	image_open(host, 0, 10);
}

/* A source that does not even answer when it is told to keeps what it was given,
 * also after its image has gone. Guests of another source have their pages. */
static void a_deaf_source_leaves_loads_to_others(void)
{
	struct fl_memory *memory;
	struct host host;

	host_open(&host, FL_ALLOCATION_POOLING, 10);
	test_source_set(&host.sources[0].mischief.is_deaf, 1);
	test_source_set(&host.sources[0].mischief.is_silent, 1);
	for (int i = 0; i < 4; i++) {
		ask_in_vain(&host);
		image_open_again(&host);
	}
	memory = conform_take(&host.conform, host.images[1], 0);
	check_shows(memory, 1);
	conform_give(memory);
	host_close(&host);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(the_pool_goes_the_image_stays, conform_needs_lazy),
	TEST_CASE_NEEDS(on_demand_addresses_come_again, conform_needs_lazy),
	TEST_CASE_NEEDS(on_demand_ends_without_room, needs_limits),
	TEST_CASE_NEEDS(disturbed_waits_take_no_waiters, conform_needs_lazy),
	TEST_CASE_NEEDS(a_deaf_source_leaves_loads_to_others,
			conform_needs_lazy),
};

CONFORM_MAIN(cases)
