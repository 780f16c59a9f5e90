/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * loads.c - the published numbers of lazy images: that they agree with what the
 * source was asked for and with what tenants touched.
 */
#define _GNU_SOURCE
#include "tests/conform/stats_page.h"
#include "tests/kit/clock.h"
#include "tests/kit/conform.h"
#include "tests/kit/page_source.h"
#include "tests/kit/procfs.h"
#include "tests/kit/trap.h"

#include <unistd.h>

#define PAGES ((uint64_t)40)

struct lazy {
	struct conform conform;
	struct test_file file;
	struct test_source source;
	struct fl_image *image;
};

static void image_open(struct lazy *lazy, const char *set_path)
{
	struct fl_error error = { .text = "" };
	struct fl_load_config config;
	int err;

	fl_load_config_init(&config);
	config.way = FL_LOAD_LAZY;
	config.working_set_path = set_path;
	do
		err = fl_image_open_source(lazy->conform.context,
					   lazy->source.source, &config,
					   &lazy->image, &error);
	while (err == -ETIMEDOUT);
	CONFORM_MUST(err, &error);
}

static void lazy_open(struct lazy *lazy)
{
	uint8_t *bytes = malloc(PAGES * WPAGE);
	struct fl_image *plain;

	MUST(bytes != NULL);
	memset(bytes, 7, PAGES * WPAGE);
	conform_open(&lazy->conform, NULL);
	plain = conform_image_of(&lazy->conform, PAGES * WPAGE, 0, bytes,
				 PAGES * WPAGE);
	lazy->file = test_file_of(plain);
	fl_image_release(plain);
	free(bytes);
	test_source_open(&lazy->source, lazy->file, false);
	image_open(lazy, NULL);
}

static void lazy_close(struct lazy *lazy)
{
	fl_image_release(lazy->image);
	conform_close(&lazy->conform);
	fl_page_source_release(lazy->source.source);
	free(lazy->file.bytes);
}

static int loads_fd(void)
{
	return procfs_find_fd("faultline-loads", 0);
}

static uint64_t now(const char *name)
{
	return number_of_fd(loads_fd(), name);
}

/* A guest has its page a moment before the load is counted as ended. */
static void wait_for(const char *name, uint64_t value)
{
	for (int i = 0; i < 20000 && now(name) != value; i++)
		usleep(1000);
	CHECK_EQ(now(name), value);
}

static uint64_t timed(uint32_t idx)
{
	struct page page;
	uint64_t sum = 0;

	page_read_fd(&page, loads_fd());
	CHECK_EQ(page.head.sample_every, 1);
	for (uint32_t j = 0; j < page.head.times_shard_count; j++) {
		for (uint32_t i = 0; i < page.head.bucket_count; i++)
			sum += u64_at(
				&page,
				page.head.times_off +
					8 * (((uint64_t)j *
						      page.head.times_count +
					      idx) * page.head.bucket_count +
					     i));
	}
	free(page.bytes);
	return sum;
}

/* A call is timed a moment after it is counted. */
static void wait_timed(uint32_t idx, uint64_t value)
{
	for (int i = 0; i < 20000 && timed(idx) != value; i++)
		usleep(1000);
	CHECK_EQ(timed(idx), value);
}

static void touch(struct fl_memory *memory, uint64_t wpage)
{
	CHECK_EQ(memory->base[wpage * WPAGE + 5], 7);
}

/* So much of a page that the next run has it whole. */
static void touch_all(struct fl_memory *memory, uint64_t wpage)
{
	for (uint64_t off = 5; off < WPAGE; off += 4096)
		CHECK_EQ(memory->base[wpage * WPAGE + off], 7);
}

static void ignore(const void *addr)
{
	(void)addr;
}

/* Backward, so that nothing is foreseen. */
static void demands(void)
{
	struct fl_memory *memory;
	struct lazy lazy;
	uint8_t byte;

	lazy_open(&lazy);
	CHECK_EQ(now("image_pages"), PAGES);
	CHECK_EQ(now("loads_begun"), 0);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	for (uint64_t w = PAGES; w-- > 10;)
		touch(memory, w);
	wait_for("loads_ended", PAGES - 10);
	CHECK_EQ(now("loads_begun"), PAGES - 10);
	CHECK_EQ(now("pages_loaded"), PAGES - 10);
	CHECK_EQ(__atomic_load_n(&lazy.source.reads, __ATOMIC_RELAXED),
		 PAGES - 10);
	wait_for("waiting", 0);
	CHECK(now("waits_begun") >= PAGES - 10);
	CHECK_EQ(now("queue_depth"), 0);
	CHECK_EQ(now("loads_failed"), 0);
	CHECK_EQ(now("foreseen_begun"), 0);
	wait_timed(0, PAGES - 10);
	wait_timed(1, now("waits_ended"));
	/* A load that fails is a failure and no page. */
	__atomic_store_n(&lazy.source.mischief.fail_err, -EIO,
			 __ATOMIC_RELAXED);
	test_source_set(&lazy.source.mischief.fail_every, 1);
	test_threads_catch(ignore);
	CHECK(!test_thread_read(memory->base + 3 * WPAGE, &byte));
	test_threads_catch_end();
	wait_for("loads_failed", 1);
	wait_for("loads_ended", PAGES - 10 + 1);
	CHECK_EQ(now("pages_loaded"), PAGES - 10);
	conform_give(memory);
	lazy_close(&lazy);
	CHECK(loads_fd() < 0);
}

/* What a tenant of an earlier run touched comes ahead. Of these pages the next
 * tenant touches a part. */
static void used_and_unused(void)
{
	struct fl_error error = { .text = "" };
	char path[64] = "/tmp/fl-loads-XXXXXX";
	struct fl_image_loading loading = { .size = sizeof(loading) };
	struct fl_memory *memory;
	struct lazy lazy;
	int fd = mkstemp(path);

	MUST(fd >= 0);
	close(fd);
	lazy_open(&lazy);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	for (uint64_t w = 30; w >= 10; w -= 5)
		touch_all(memory, w);
	conform_give(memory);
	fl_image_loading(lazy.image, &loading);
	CONFORM_MUST(fl_image_write_working_set(lazy.image, path, &error),
		     &error);
	CHECK_EQ(fl_pool_purge(lazy.conform.pool, NULL, lazy.image, NULL), 0);
	fl_image_release(lazy.image);
	image_open(&lazy, path);
	unlink(path);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	if (loading.recorded_tenants) {
		wait_for("foreseen_loaded", 5);
		CHECK_EQ(now("foreseen_used"), 0);
		CHECK_EQ(now("foreseen_unused"), 5);
	}
	touch(memory, 25);
	touch(memory, 15);
	touch(memory, 2);
	wait_for("waiting", 0);
	conform_give(memory);
	if (loading.recorded_tenants) {
		CHECK_EQ(now("foreseen_begun"), 5);
		CHECK_EQ(now("foreseen_used"), 2);
		CHECK_EQ(now("foreseen_unused"), 3);
		wait_for("pages_loaded", 6);
	}
	lazy_close(&lazy);
}

/* A sequence is foreseen, and whoever catches up with it has used it. */
static void sequence(void)
{
	struct fl_memory *memory;
	struct lazy lazy;

	lazy_open(&lazy);
	test_source_set(&lazy.source.mischief.is_late, 1);
	memory = conform_take(&lazy.conform, lazy.image, 0);
	for (uint64_t w = 0; w < PAGES; w++)
		touch(memory, w);
	wait_for("pages_loaded", PAGES);
	wait_for("queue_depth", 0);
	CHECK(now("foreseen_begun") > 0);
	CHECK(now("foreseen_used") <= now("foreseen_loaded"));
	CHECK_EQ(now("foreseen_loaded"), now("foreseen_begun"));
	CHECK_EQ(now("loads_begun"), now("loads_ended"));
	conform_give(memory);
	lazy_close(&lazy);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(demands, conform_needs_lazy),
	TEST_CASE_NEEDS(used_and_unused, conform_needs_lazy),
	TEST_CASE_NEEDS(sequence, conform_needs_lazy),
};

CONFORM_MAIN(cases)
