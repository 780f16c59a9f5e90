/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * statistics.c - the published statistics: that they are found by name, that
 * nobody else can change them, and that they say what the pool itself says.
 *
 * The reader here knows struct fl_statistics_head and reads the rest from the
 * schema, as a reader of another build does.
 */
#define _GNU_SOURCE
#include "tests/conform/stats_page.h"
#include "tests/kit/conform_module.h"
#include "tests/kit/procfs.h"
#include "tests/kit/random.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

static int stats_fd(void)
{
	return procfs_find_fd("faultline-stats", 0);
}

static void page_read(struct page *page)
{
	page_read_fd(page, stats_fd());
}

static uint64_t number_now(const char *name)
{
	return number_of_fd(stats_fd(), name);
}

/* -------------------------------------------------------------------- cases */

static void config_all(struct fl_pool_config *config)
{
	conform_pool_config(config);
	config->max_tables = 4;
	config->max_table_elements = 500;
	config->max_stacks = 2;
	config->stack_bytes = 16 * KIB;
	config->instance_bytes = 5000;
	config->name = "the pool \"\xc3\xa9\"";
}

static void found_by_name(void)
{
	struct fl_pool_config config;
	const char *reason = "none";
	struct conform conform;
	struct page page;

	config_all(&config);
	CHECK(stats_fd() < 0);
	conform_open(&conform, &config);
	CHECK(!strcmp(fl_pool_statistics(conform.pool, &reason), "published"));
	CHECK(!reason);
	page_read(&page);
	CHECK(!memcmp(page.head.magic, FL_STATISTICS_MAGIC, 8));
	CHECK_EQ(page.head.version, FL_STATISTICS_VERSION);
	CHECK_EQ(page.head.head_bytes, sizeof(page.head));
	CHECK_EQ(page.head.process, getpid());
	CHECK(!strcmp(page.head.pool, config.name));
	CHECK(!strcmp(page.head.backend, fl_context_backend(conform.context)));
	CHECK(!strcmp(page.head.rung, fl_context_rung(conform.context, NULL)));
	CHECK_EQ(number(&page, "memories_max"), 4);
	free(page.bytes);
	conform_close(&conform);
	CHECK(stats_fd() < 0);
}

/* Sealed: no other process cuts the file, or writes to it. */
static void nobody_else_writes(void)
{
	struct conform conform;
	uint64_t byte = 1;
	int fd;

	conform_open(&conform, NULL);
	fd = procfs_reopen(stats_fd(), O_RDWR);
	MUST(fd >= 0);
	CHECK(ftruncate(fd, 0) < 0);
	CHECK(pwrite(fd, &byte, sizeof(byte), 0) < 0);
	CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) ==
	      MAP_FAILED);
	close(fd);
	conform_close(&conform);
}

static void check_same(const struct conform *conform)
{
	struct fl_pool_info info = conform_info(conform);
	struct page page;

	page_read(&page);
#define SAME(plural)                                                          \
	CHECK_EQ(number(&page, #plural "_live"), info.live_##plural);         \
	CHECK_EQ(number(&page, #plural "_retired"), info.retired_##plural);   \
	CHECK_EQ(number(&page, #plural "_acquired"), info.acquired_##plural); \
	CHECK_EQ(number(&page, #plural "_refused"), info.refused_##plural)
	SAME(memories);
	SAME(tables);
	SAME(instances);
	SAME(stacks);
#undef SAME
	CHECK_EQ(number(&page, "memories_warm"), info.warm_memories);
	CHECK_EQ(number(&page, "tables_warm"), info.warm_tables);
	CHECK_EQ(number(&page, "instances_warm"), info.warm_instances);
	free(page.bytes);
}

struct held {
	struct fl_memory *memory;
	struct fl_table *table;
	struct fl_instance *instance;
	struct fl_stack *stack;
};

static void acquire_one(struct conform *conform, struct fl_module *module,
			struct held *held, uint64_t kind)
{
	struct fl_table_config table;

	memset(held, 0, sizeof(*held));
	fl_table_config_init(&table);
	table.initial_elements = 3;
	if (kind == 0)
		(void)fl_memory_acquire(conform->pool, NULL, &held->memory,
					NULL);
	else if (kind == 1)
		(void)fl_table_acquire(conform->pool, &table, &held->table,
				       NULL);
	else if (kind == 2)
		(void)fl_stack_acquire(conform->pool, 0, &held->stack, NULL);
	else
		(void)fl_instance_acquire(conform->pool, module, NULL,
					  &held->instance, NULL);
	if (held->memory && kind == 0)
		(void)fl_memory_grow(held->memory, 1, NULL);
}

static void release_one(struct held *held)
{
	if (held->memory)
		CHECK_EQ(fl_memory_release(held->memory), 0);
	if (held->table)
		CHECK_EQ(fl_table_release(held->table), 0);
	if (held->stack)
		CHECK_EQ(fl_stack_release(held->stack), 0);
	if (held->instance)
		CHECK_EQ(fl_instance_release(held->instance), 0);
	memset(held, 0, sizeof(*held));
}

static void random_run(enum fl_allocation allocation)
{
	struct held held[8] = { { NULL, NULL, NULL, NULL } };
	struct fl_pool_config config;
	struct test_random random;
	struct fl_module *module;
	struct conform conform;

	config_all(&config);
	config.allocation = allocation;
	conform_open(&conform, &config);
	module = module_simple(&conform, 1, 10, "text");
	test_random_init(&random, 5);
	for (int i = 0; i < 400; i++) {
		struct held *one = &held[test_random_below(&random, 8)];

		if (one->memory || one->table || one->stack || one->instance)
			release_one(one);
		else
			acquire_one(&conform, module, one,
				    test_random_below(&random, 4));
		if (i % 50 == 7)
			CHECK_EQ(fl_pool_trim(conform.pool, 1, NULL), 0);
		if (i % 10 == 0)
			check_same(&conform);
	}
	for (size_t i = 0; i < TEST_ARRAY_SIZE(held); i++)
		release_one(&held[i]);
	check_same(&conform);
	CHECK(number_now("grows") > 0);
	CHECK(number_now("emptied") > 0);
	fl_module_release(module);
	conform_close(&conform);
}

static void says_what_the_pool_says(void)
{
	random_run(FL_ALLOCATION_POOLING);
	random_run(FL_ALLOCATION_ON_DEMAND);
}

/* What resets do, and how often calls are timed. */
static void work_is_counted(void)
{
	const uint64_t rounds = 640;
	struct fl_memory *memory = NULL;
	struct conform conform;
	uint64_t timed;

	/* Of a slot's calls one in 64 is timed, and each slot keeps its pages. */
	conform_open_one_slot(&conform);
	for (uint64_t i = 0; i < rounds; i++) {
		struct fl_memory_config config;

		fl_memory_config_init(&config);
		config.initial_bytes = WPAGE;
		MUST_EQ(fl_memory_acquire(conform.pool, &config, &memory, NULL),
			0);
		memory->base[0] = 1;
		memory->base[2 * conform_hpage()] = 1;
		MUST_EQ(fl_memory_release(memory), 0);
	}
	CHECK_EQ(number_now("resets"), rounds);
	CHECK_EQ(number_now("resets_failed"), 0);
	/* To map the slot takes one at least, and each scan is one. */
	CHECK(number_now("system_calls") > number_now("scans"));
	if (!strcmp(test_rung->how, "track") ||
	    !strcmp(test_rung->how, "scan")) {
		CHECK(number_now("pages_restored") >= 2 * rounds);
		CHECK(number_now("scans") >= rounds);
		CHECK_EQ(number_now("kept_bytes"), 2 * conform_hpage());
	} else {
		CHECK_EQ(number_now("kept_bytes"), 0);
	}
	for (uint32_t i = 0;; i++) {
		struct fl_metric metric = { .size = sizeof(metric) };

		MUST_EQ(fl_pool_metric(conform.pool, i, &metric), 0);
		if (strcmp(metric.name, "reset_timed") != 0)
			continue;
		timed = metric.value;
		break;
	}
	CHECK_EQ(timed, rounds / 64);
	conform_close(&conform);
}

static void errors_are_counted(void)
{
	struct fl_memory *memories[4], *more = NULL;
	struct conform conform;

	conform_open(&conform, NULL);
	for (int i = 0; i < 4; i++)
		MUST_EQ(fl_memory_acquire(conform.pool, NULL, &memories[i],
					  NULL),
			0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(fl_memory_acquire(conform.pool, NULL, &more, NULL),
			 -EAGAIN);
	CHECK_EQ(fl_memory_grow(memories[0], 1000, NULL), -E2BIG);
	CHECK_EQ(number_now("errors_EAGAIN"), 3);
	CHECK_EQ(number_now("errors_E2BIG"), 1);
	CHECK_EQ(number_now("errors_EIO"), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(fl_memory_release(memories[i]), 0);
	conform_close(&conform);
}

static void usage_is_published(void)
{
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_memory_config config;
	struct fl_memory *memory;
	struct conform conform;

	conform_open(&conform, NULL);
	fl_memory_config_init(&config);
	config.initial_bytes = WPAGE;
	MUST_EQ(fl_memory_acquire(conform.pool, &config, &memory, NULL), 0);
	memory->base[100] = 1;
	CHECK_EQ(number_now("usage_at_ns"), 0);
	if (!fl_pool_usage(conform.pool, &usage, NULL)) {
		CHECK(number_now("usage_at_ns") > 0);
		CHECK_EQ(number_now("private_bytes"), usage.private_bytes);
		CHECK(usage.private_bytes > 0);
	}
	CHECK_EQ(fl_memory_release(memory), 0);
	conform_close(&conform);
}

static void open_how(struct conform *conform, enum fl_statistics how)
{
	struct fl_context_config config;
	struct fl_pool_config small;

	conform_pool_config(&small);
	fl_context_config_init(&config);
	config.backend = test_rung->backend;
	config.statistics = how;
	MUST_EQ(fl_context_create(&config, &conform->context, NULL), 0);
	MUST_EQ(fl_pool_create(conform->context, &small, &conform->pool, NULL),
		0);
}

static void off_and_private(void)
{
	struct fl_context_config config;
	struct fl_context *context;
	struct fl_memory *memory;
	struct conform conform;
	const char *reason;

	for (int how = FL_STATISTICS_PRIVATE; how <= FL_STATISTICS_OFF; how++) {
		open_how(&conform, (enum fl_statistics)how);
		CHECK(stats_fd() < 0);
		CHECK(!strcmp(fl_pool_statistics(conform.pool, &reason),
			      how == FL_STATISTICS_OFF ? "off" : "private"));
		CHECK(!reason);
		MUST_EQ(fl_memory_acquire(conform.pool, NULL, &memory, NULL),
			0);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
		CHECK_EQ(fl_memory_grow(memory, 9999, NULL), -E2BIG);
		CHECK_EQ(fl_memory_release(memory), 0);
		conform_close(&conform);
	}
	fl_context_config_init(&config);
	config.statistics = (enum fl_statistics)3;
	CHECK_EQ(fl_context_create(&config, &context, NULL), -EINVAL);
}

static int child_is_limited(void *arg)
{
	struct rlimit low = { 4096, 4096 };
	struct conform conform;
	const char *reason = NULL;
	struct fl_pool_config small;

	(void)arg;
	conform_pool_config(&small);
	MUST_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
	conform.context = conform_context();
	MUST_EQ(fl_pool_create(conform.context, &small, &conform.pool, NULL),
		0);
	CHECK(!strcmp(fl_pool_statistics(conform.pool, &reason), "private"));
	CHECK(reason && strstr(reason, "ulimit -f"));
	CHECK(stats_fd() < 0);
	conform_close(&conform);
	return test_has_failed();
}

/* A limit of files makes no signal, but a reason. */
static void small_limit(void)
{
	CHECK_EQ(test_fork(child_is_limited, NULL, 20).status, 0);
}

static void names(void)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool *pool = NULL;
	struct conform conform;
	char name[65];

	conform_open(&conform, NULL);
	memset(name, 'n', sizeof(name));
	conform_pool_config(&config);
	config.name = name;
	name[64] = '\0';
	CHECK_EQ(fl_pool_create(conform.context, &config, &pool, &error),
		 -EINVAL);
	CHECK(strstr(error.text, "63 bytes") != NULL);
	name[63] = '\0';
	MUST_EQ(fl_pool_create(conform.context, &config, &pool, NULL), 0);
	CHECK_EQ(fl_pool_destroy(pool), 0);
	conform_close(&conform);
}

/* -------------------------------------------------------------------- forks */

static int child_calls(void *arg)
{
	struct conform *conform = arg;
	struct fl_memory *memory;

	return fl_memory_acquire(conform->pool, NULL, &memory, NULL) != -ECHILD;
}

static void child_writes_nothing(void)
{
	struct conform conform;
	struct page before, after;

	conform_open(&conform, NULL);
	page_read(&before);
	CHECK_EQ(test_fork(child_calls, &conform, 10).status, 0);
	page_read(&after);
	CHECK(!memcmp(before.bytes, after.bytes, before.head.file_bytes));
	free(before.bytes);
	free(after.bytes);
	conform_close(&conform);
}

/* ------------------------------------------------------------------ threads */

#define THREADS 4
#define ROUNDS 300

static void *cycle(void *arg)
{
	struct conform *conform = arg;

	for (int i = 0; i < ROUNDS; i++) {
		struct fl_memory *memory;

		if (!CHECK_EQ(fl_memory_acquire(conform->pool, NULL, &memory,
						NULL),
			      0))
			break;
		CHECK_EQ(fl_memory_release(memory), 0);
	}
	return NULL;
}

/* An instance without a structure has a slot of no bytes, of which nothing is
 * shown or made clean: the numbers are those of its memory. */
static void empty_slots_are_not_timed(void)
{
	const uint64_t rounds = 640;
	struct fl_pool_config config;
	struct fl_module *module;
	struct conform conform;

	conform_pool_config(&config);
	config.max_instances = config.max_memories = 1;
	conform_open(&conform, &config);
	module = module_simple(&conform, 1, 0, "a");
	for (uint64_t i = 0; i < rounds; i++) {
		struct fl_instance *instance = instance_start(&conform, module);

		fl_instance_memory(instance, 0)->base[0] = 1;
		instance_stop(instance);
	}
	CHECK_EQ(number_now("resets"), rounds);
	CHECK_EQ(number_now("instances_released"), rounds);
	CHECK_EQ(number_now("memories_released"), rounds);
	/* One in 64 of a slot's calls. */
	for (uint32_t i = 0;; i++) {
		struct fl_metric metric = { .size = sizeof(metric) };

		if (fl_pool_metric(conform.pool, i, &metric))
			break;
		if (!strcmp(metric.name, "reset_timed") ||
		    !strcmp(metric.name, "attach_timed"))
			CHECK_EQ(metric.value, rounds / 64);
	}
	fl_module_release(module);
	conform_close(&conform);
}

static void threads_lose_nothing(void)
{
	pthread_t threads[THREADS];
	struct conform conform;

	conform_open(&conform, NULL);
	for (int i = 0; i < THREADS; i++)
		MUST_EQ(pthread_create(&threads[i], NULL, cycle, &conform), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(number_now("memories_acquired"), THREADS * ROUNDS);
	CHECK_EQ(number_now("resets"), THREADS * ROUNDS);
	check_same(&conform);
	conform_close(&conform);
}

static const char *makes_files(void)
{
	return strcmp(test_rung->backend, "segmented") ? NULL :
							 TEST_NOT_BUILT
		       "this backend makes no memory files";
}

/* A host of many pools keeps its descriptors, and a backend that makes no memory
 * files makes none for this. */
static void not_every_pool_is_published(void)
{
	struct fl_pool *pools[18];
	struct fl_pool_config config;
	struct fl_context *context = conform_context();
	unsigned int published = 0;
	const char *reason;

	conform_pool_config(&config);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(pools); i++) {
		MUST_EQ(fl_pool_create(context, &config, &pools[i], NULL), 0);
		published += !strcmp(fl_pool_statistics(pools[i], &reason),
				     "published");
		CHECK_EQ(!reason, published == i + 1);
	}
	CHECK_EQ(published, makes_files() ? 0 : 16);
	MUST_EQ(fl_pool_destroy(pools[3]), 0);
	MUST_EQ(fl_pool_create(context, &config, &pools[3], NULL), 0);
	CHECK_EQ(!strcmp(fl_pool_statistics(pools[3], NULL), "published"),
		 !makes_files());
	for (size_t i = 0; i < TEST_ARRAY_SIZE(pools); i++)
		MUST_EQ(fl_pool_destroy(pools[i]), 0);
	fl_context_destroy(context);
}

static const struct test_case cases[] = {
	TEST_CASE(not_every_pool_is_published),
	TEST_CASE_NEEDS(found_by_name, makes_files),
	TEST_CASE_NEEDS(nobody_else_writes, makes_files),
	TEST_CASE_NEEDS(says_what_the_pool_says, makes_files),
	TEST_CASE_NEEDS(work_is_counted, makes_files),
	TEST_CASE_NEEDS(errors_are_counted, makes_files),
	TEST_CASE_NEEDS(usage_is_published, makes_files),
	TEST_CASE(off_and_private),
	TEST_CASE_NEEDS(small_limit, makes_files),
	TEST_CASE(names),
	TEST_CASE_NEEDS(child_writes_nothing, makes_files),
	TEST_CASE_NEEDS(threads_lose_nothing, makes_files),
	TEST_CASE_NEEDS(empty_slots_are_not_timed, makes_files),
};

CONFORM_MAIN(cases)
