/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lazy_direct_wrong.c - files that are cut or changed while lazy images of them are
 * read past the page cache.
 *
 * A page that the file lacks or has wrong is a trap with a reason, whoever changes
 * the file at what moment; the next tenant has the page once the file is mended. What
 * stands behind the last byte of a file is no matter.
 */
#include "tests/conform/direct.h"
#include "tests/kit/clock.h"
#include "tests/kit/trap.h"

#include <pthread.h>

static struct fl_context *watched;
static struct fl_fault seen;

static void see(const void *addr)
{
	fl_fault_lookup(watched, addr, &seen);
}

static void check_page(struct host *host, uint64_t wpage, int load_error)
{
	struct fl_memory *memory = take(host);
	const uint8_t *page = memory->base + wpage * WPAGE;
	uint8_t byte = 0;

	watched = host->conform.context;
	memset(&seen, 0, sizeof(seen));
	test_threads_catch(see);
	CHECK_EQ(test_thread_read(page + WPAGE - 1, &byte), !load_error);
	test_threads_catch_end();
	CHECK_EQ(seen.load_error, load_error);
	if (load_error)
		CHECK_EQ(seen.kind, FL_FAULT_NOT_LOADED);
	else
		CHECK(!memcmp(page, host->bytes + wpage * WPAGE, WPAGE));
	conform_give(memory);
}

/* Where the page begins in the file, and where it ends. */
static uint64_t page_start(const struct host *host, uint64_t wpage)
{
	return toc_bytes_off(host->file.bytes, wpage);
}

static uint64_t page_end(const struct host *host, uint64_t wpage)
{
	return page_start(host, wpage) +
	       toc_bytes_stored(toc_bytes_entry(host->file.bytes, wpage));
}

/* The file ends there, and then is whole again, or has zeroes in place of what went. */
static void check_cut(struct host *host, uint64_t wpage, uint64_t len)
{
	MUST_EQ(ftruncate(host->fd, (off_t)len), 0);
	check_page(host, wpage, -EIO);
	check_page(host, wpage - 1, 0);
	MUST_EQ(ftruncate(host->fd, (off_t)host->file.len), 0);
	check_page(host, wpage, -ENOEXEC);
	file_write(host);
	check_page(host, wpage, 0);
}

static void run_cut(struct host *host)
{
	check_cut(host, PAGES - 1, page_end(host, PAGES - 1) - 1);
	reopen(host, FL_READ_DIRECT, NULL);
	check_cut(host, PAGES - 2, page_end(host, PAGES - 2) - 700);
	reopen(host, FL_READ_DIRECT, NULL);
	check_cut(host, PAGES - 3, page_start(host, PAGES - 3));
	reopen(host, FL_READ_DIRECT, NULL);
	check_cut(host, PAGES - 4, page_start(host, PAGES - 4) + 1);
	reopen(host, FL_READ_DIRECT, NULL);
	check_cut(host, PAGES - 5,
		  page_start(host, PAGES - 5) / HPAGE * HPAGE + HPAGE);
	reopen(host, FL_READ_DIRECT, NULL);
	read_all(host);
}

static void a_file_that_is_cut(void)
{
	each_way(run_cut);
}

/* Nothing follows the last page, and no block of a disk ends with it; or so much that
 * somebody writes there later. */
static void run_last(struct host *host)
{
	CHECK_EQ(page_end(host, PAGES - 1), host->file.len);
	CHECK(!toc_bytes_is_packed(host->file.bytes) || host->file.len % 512);
	check_page(host, PAGES - 1, 0);
	for (uint64_t more = 1; more < 3 * HPAGE; more = 3 * more + 409) {
		reopen(host, FL_READ_DIRECT, NULL);
		MUST_EQ(pwrite(host->fd, host->bytes, more,
			       (off_t)host->file.len),
			(ssize_t)more);
		check_page(host, PAGES - 1, 0);
	}
	MUST_EQ(ftruncate(host->fd, (off_t)host->file.len), 0);
	reopen(host, FL_READ_DIRECT, NULL);
	read_all(host);
}

static void the_last_page_ends_where_the_file_does(void)
{
	each_way(run_last);
}

/* A byte of a page: its first, its last, or one in between. */
static void page_harm(const struct host *host, uint64_t wpage, uint64_t choice)
{
	uint64_t start = page_start(host, wpage), end = page_end(host, wpage);
	uint64_t at = choice == 0 ? start :
		      choice == 1 ? end - 1 :
				    start + choice % (end - start);
	uint8_t wrong = (uint8_t)~host->file.bytes[at];

	MUST_EQ(pwrite(host->fd, &wrong, 1, (off_t)at), 1);
}

static void run_wrong(struct host *host)
{
	for (uint64_t i = 0; i < 6; i++) {
		uint64_t wpage = PAGES - 2 - 3 * i;

		page_harm(host, wpage, i * 1237);
		check_page(host, wpage, -ENOEXEC);
		check_page(host, wpage - 1, 0);
		file_write(host);
		check_page(host, wpage, 0);
	}
	CHECK(loading_of(host->image).failed_loads >= 6);
}

static void a_file_that_is_wrong(void)
{
	each_way(run_wrong);
}

struct stormer {
	pthread_t thread;
	struct host *host;
	uint64_t seed, end_ns, reads, traps;
};

static void *storm_run(void *arg)
{
	struct stormer *stormer = arg;
	struct host *host = stormer->host;
	struct test_random random;

	test_random_init(&random, stormer->seed);
	while (test_now_ns() < stormer->end_ns && !test_has_failed()) {
		struct fl_memory *memory = take(host);
		uint64_t at, count = 1 + test_random_below(&random, 60);
		uint8_t byte = 0;

		do {
			at = test_random_below(&random, PAGES * WPAGE);
			if (!test_thread_read(memory->base + at, &byte))
				break;
			CHECK_EQ(byte, host->bytes[at]);
			memory->base[at] ^= 0xff;
			stormer->reads++;
		} while (--count);
		stormer->traps += count > 0;
		conform_give(memory);
	}
	return NULL;
}

/* The file is cut, or some bytes of it are others, and it is mended, meanwhile. */
static void harm_run(struct host *host, uint64_t end_ns, uint64_t seed)
{
	struct test_random random;

	test_random_init(&random, seed);
	while (test_now_ns() < end_ns) {
		uint64_t wpage = test_random_below(&random, PAGES);
		uint64_t choice = test_random_next(&random);

		if (choice % 4)
			page_harm(host, wpage, choice);
		else
			MUST_EQ(ftruncate(host->fd,
					  (off_t)(host->file.len -
						  choice % (8 * WPAGE))),
				0);
		usleep((useconds_t)(choice % 300));
		file_write(host);
	}
}

static void run_storm(struct host *host)
{
	struct stormer stormers[TEST_READERS];
	uint64_t reads = 0, traps = 0;

	for (uint64_t round = 0; round < 12; round++) {
		uint64_t end_ns;

		reopen(host, FL_READ_DIRECT, round % 2 ? host->set_path : NULL);
		end_ns = test_now_ns() + 25000000;
		test_threads_catch(NULL);
		for (uint64_t i = 0; i < TEST_READERS; i++) {
			stormers[i] = (struct stormer){
				.host = host,
				.seed = round * TEST_READERS + i,
				.end_ns = end_ns,
			};
			MUST_EQ(pthread_create(&stormers[i].thread, NULL,
					       storm_run, &stormers[i]),
				0);
		}
		harm_run(host, end_ns, round);
		for (int i = 0; i < TEST_READERS; i++) {
			pthread_join(stormers[i].thread, NULL);
			reads += stormers[i].reads;
			traps += stormers[i].traps;
		}
		test_threads_catch_end();
	}
	CHECK(reads > 0);
	test_note("%llu reads, %llu traps", (unsigned long long)reads,
		  (unsigned long long)traps);
	reopen(host, FL_READ_DIRECT, NULL);
	read_all(host);
}

static void run_recorded_storm(struct host *host)
{
	record(host);
	run_storm(host);
}

static void a_file_that_changes_as_it_is_read(void)
{
	each_way(run_recorded_storm);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(a_file_that_is_cut, needs_direct),
	TEST_CASE_NEEDS(the_last_page_ends_where_the_file_does, needs_direct),
	TEST_CASE_NEEDS(a_file_that_is_wrong, needs_direct),
	TEST_CASE_NEEDS(a_file_that_changes_as_it_is_read, needs_direct),
};

CONFORM_MAIN(cases)
