/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lazy_file.c - lazy images of a local file, read by io_uring and by pread(), and by
 * io_uring to where the pages stay.
 *
 * Each case runs all ways and expects the same of both: every tenant sees the
 * image, a page that the file lacks or has wrong is a trap with a reason, and the
 * image and its context may go while pages are on their way.
 */
#include "tests/kit/clock.h"
#include "tests/kit/conform.h"
#include "tests/kit/page_source.h"
#include "tests/kit/procfs.h"
#include "tests/kit/random.h"
#include "tests/kit/readers.h"
#include "tests/kit/trap.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGES ((uint64_t)60)
#define HPAGE ((uint64_t)4096)
#define CHUNK_BYTES ((uint64_t)2 << 20)

struct host {
	struct conform conform;
	struct test_file file;
	struct fl_page_source *source;
	struct fl_image *image;
	uint8_t *bytes;
	char path[64];
	int fd;
	bool has_ring;
	enum fl_load_publish publish;
	enum fl_load_read read;
};

static struct fl_context *watched;
static struct fl_fault seen;

static void see(const void *addr)
{
	fl_fault_lookup(watched, addr, &seen);
}

static struct fl_image *open_image(struct host *host, const char *set_path)
{
	struct fl_error error = { .text = "" };
	struct fl_load_config config;
	struct fl_image *image = NULL;

	fl_load_config_init(&config);
	config.way = FL_LOAD_LAZY;
	config.working_set_path = set_path;
	config.publish = host->publish;
	config.read = host->read;
	CONFORM_MUST(fl_image_open_source(host->conform.context, host->source,
					  &config, &image, &error),
		     &error);
	return image;
}

static void make_file(struct host *host)
{
	struct test_random random;
	struct fl_image *plain;

	host->bytes = malloc(PAGES * WPAGE);
	MUST(host->bytes != NULL);
	test_random_init(&random, 11);
	test_random_fill(&random, host->bytes, PAGES * WPAGE);
	plain = conform_image_of(&host->conform, PAGES * WPAGE, 0, host->bytes,
				 PAGES * WPAGE);
	host->file = test_file_of(plain);
	fl_image_release(plain);
	strcpy(host->path, "/tmp/fl-lazy-XXXXXX");
	host->fd = mkstemp(host->path);
	MUST(host->fd >= 0);
	MUST_EQ(write(host->fd, host->file.bytes, host->file.len),
		(ssize_t)host->file.len);
}

static void host_open(struct host *host)
{
	struct fl_pool_config config;
	struct fl_error error = { .text = "" };

	conform_pool_config(&config);
	config.max_memories = config.max_instances = TEST_READERS;
	conform_open(&host->conform, &config);
	host->has_ring = conform_has(host->conform.context, "io-uring");
	make_file(host);
	CONFORM_MUST(fl_page_source_from_file(host->path, -1, &host->source,
					      &error),
		     &error);
	host->image = open_image(host, NULL);
	watched = host->conform.context;
}

static void host_close(struct host *host)
{
	fl_image_release(host->image);
	fl_page_source_release(host->source);
	conform_close(&host->conform);
	close(host->fd);
	unlink(host->path);
	free(host->file.bytes);
	free(host->bytes);
}

static struct fl_image_loading loading_of(const struct fl_image *image)
{
	struct fl_image_loading loading = { .size = sizeof(loading) };

	fl_image_loading(image, &loading);
	return loading;
}

static void run_one(struct host *host, enum fl_load_publish publish,
		    enum fl_load_read read, void (*run)(struct host *host))
{
	struct fl_image_loading loading;

	host->publish = publish;
	host->read = read;
	host_open(host);
	loading = loading_of(host->image);
	CHECK_EQ(loading.publish,
		 publish == FL_PUBLISH_CONTINUE ? publish : FL_PUBLISH_COPY);
	run(host);
	host_close(host);
}

/* Through the page cache, and past it where that can be had. */
static void each_read(struct host *host, enum fl_load_publish publish,
		      void (*run)(struct host *host))
{
	run_one(host, publish, FL_READ_DEFAULT, run);
	if (!test_needs_direct())
		run_one(host, publish, FL_READ_DIRECT, run);
}

/* Run by the ring, if there is one, and then without. */
static void both_ways(void (*run)(struct host *host))
{
	struct conform_disabled before;
	struct host host;

	each_read(&host, FL_PUBLISH_DEFAULT, run);
	before = conform_disable("io-uring");
	each_read(&host, FL_PUBLISH_COPY, run);
	CHECK(!host.has_ring);
	conform_enable(&before);
}

/* And to where the pages stay. */
static void all_ways(void (*run)(struct host *host))
{
	struct host host;

	both_ways(run);
	if (!conform_needs_continue())
		run_one(&host, FL_PUBLISH_CONTINUE, FL_READ_DEFAULT, run);
}

static void run_readers(struct host *host)
{
	struct test_readers readers;

	test_readers_start(&readers, host->conform.pool, host->image,
			   host->bytes, PAGES);
	CHECK_EQ(test_readers_end(&readers), 0);
	CHECK_EQ(loading_of(host->image).failed_loads, 0);
}

static void many_read_a_file(void)
{
	all_ways(run_readers);
}

/* A page of the file is read whole, in part or not at all. */
static void check_page(struct host *host, uint64_t wpage, int load_error)
{
	struct fl_memory *memory = conform_take(&host->conform, host->image, 0);
	uint8_t byte = 0;

	memset(&seen, 0, sizeof(seen));
	test_threads_catch(see);
	if (CHECK_EQ(test_thread_read(memory->base + wpage * WPAGE, &byte),
		     !load_error)) {
		if (load_error)
			CHECK_EQ(seen.kind, FL_FAULT_NOT_LOADED);
		else
			CHECK_EQ(byte, host->bytes[wpage * WPAGE]);
		CHECK_EQ(seen.load_error, load_error);
	}
	test_threads_catch_end();
	conform_give(memory);
}

static void run_trouble(struct host *host)
{
	uint64_t at = host->file.len - (PAGES - 20) * WPAGE + 5; /* page 20 */
	uint8_t wrong = (uint8_t)~host->file.bytes[at];

	MUST_EQ(pwrite(host->fd, &wrong, 1, (off_t)at), 1);
	check_page(host, 20, -ENOEXEC);
	MUST_EQ(pwrite(host->fd, host->file.bytes + at, 1, (off_t)at), 1);
	check_page(host, 20, 0);
	/* Cut within a page: some of it comes, and then nothing. */
	MUST_EQ(ftruncate(host->fd, (off_t)(host->file.len - 3 * WPAGE - 1000)),
		0);
	check_page(host, PAGES - 5, 0);
	check_page(host, PAGES - 4, -EIO);
	check_page(host, PAGES - 1, -EIO);
	MUST_EQ(pwrite(host->fd, host->file.bytes, host->file.len, 0),
		(ssize_t)host->file.len);
	check_page(host, PAGES - 4, 0);
	check_page(host, PAGES - 1, 0);
	CHECK(loading_of(host->image).failed_loads >= 3);
	CHECK_EQ(conform_info(&host->conform).retired_memories, 0);
}

static void a_file_that_is_wrong_or_short(void)
{
	all_ways(run_trouble);
}

/* Pages are foreseen, and the image goes before they have come. */
static void run_leaving(struct host *host)
{
	char path[64] = "/tmp/fl-set-XXXXXX";
	struct fl_error error = { .text = "" };
	struct fl_memory *memory;
	int fd = mkstemp(path);

	MUST(fd >= 0);
	close(fd);
	run_readers(host);
	CONFORM_MUST(fl_image_write_working_set(host->image, path, &error),
		     &error);
	for (int i = 0; i < 12; i++) {
		CHECK_EQ(fl_pool_purge(host->conform.pool, NULL, host->image,
				       NULL),
			 0);
		fl_image_release(host->image);
		(void)posix_fadvise(host->fd, 0, 0, POSIX_FADV_DONTNEED);
		host->image = open_image(host, path);
		memory = conform_take(&host->conform, host->image, 0);
		usleep((useconds_t)i * 150);
		if (i % 2)
			CHECK_EQ(memory->base[33 * WPAGE],
				 host->bytes[33 * WPAGE]);
		conform_give(memory);
	}
	unlink(path);
}

static void images_leave_while_pages_come(void)
{
	all_ways(run_leaving);
}

/* The frames of the first 2 MiB follow one another. */
static bool is_one_folio(const struct fl_memory *memory)
{
	uint64_t first = procfs_frame(memory->base);

	for (uint64_t off = 0; off < CHUNK_BYTES; off += HPAGE) {
		/* The page is to be mapped. */
		(void)*(volatile const uint8_t *)(memory->base + off);
		if (!off)
			first = procfs_frame(memory->base);
		if (procfs_frame(memory->base + off) != first + off / HPAGE)
			return false;
	}
	return first && first % (CHUNK_BYTES / HPAGE) == 0;
}

/* One byte of each n-th host page becomes another. */
static void scribble(struct fl_memory *memory, uint64_t from, uint64_t to,
		     uint64_t step)
{
	for (uint64_t off = from; off < to; off += step * HPAGE)
		memory->base[off + 5] ^= 0xff;
}

static bool is_scribbled(const struct host *host,
			 const struct fl_memory *memory, uint64_t from,
			 uint64_t to, uint64_t step)
{
	for (uint64_t off = 0; off < PAGES * WPAGE; off++) {
		bool is_written = off % (step * HPAGE) == 5 && off >= from &&
				  off < to;

		if (memory->base[off] !=
		    (uint8_t)(host->bytes[off] ^ (is_written ? 0xff : 0)))
			return false;
	}
	return true;
}

/* A tenant writes, reads all, so that the loader makes a large folio of what it
 * loaded under the tenant's eyes, and writes more. marked: earlier tenants wrote in
 * the slot. What is written stays, is found at the release, and is nobody else's. */
static void run_collapse(struct host *host, bool marked)
{
	struct fl_image *image = open_image(host, NULL);
	struct fl_memory *memory, *other;
	bool is_one = false;

	for (int i = 0; i < (marked ? 4 : 0); i++) {
		memory = conform_take(&host->conform, image, 0);
		scribble(memory, 0, 5 * WPAGE, 3);
		conform_give(memory);
	}
	memory = conform_take(&host->conform, image, 0);
	scribble(memory, 0, 40 * WPAGE, 5);
	CHECK(is_scribbled(host, memory, 0, 40 * WPAGE, 5));
	other = conform_take(&host->conform, image, 0);
	for (int i = 0; i < 400 && !is_one; i++) {
		fl_memory_release(other);
		fl_pool_purge(host->conform.pool, NULL, image, NULL);
		other = conform_take(&host->conform, image, 0);
		is_one = is_one_folio(other);
		if (!is_one)
			usleep(5000);
	}
	/* The kernel may have no free one. */
	if (!is_one)
		test_note("no large folio was made");
	CHECK(is_scribbled(host, memory, 0, 40 * WPAGE, 5));
	CHECK(is_scribbled(host, other, 0, 0, 1));
	scribble(memory, 0, 40 * WPAGE, 5);
	CHECK(is_scribbled(host, memory, 0, 0, 1));
	scribble(memory, WPAGE, 30 * WPAGE, 2);
	conform_give(memory);
	for (int i = 0; i < 2; i++) {
		memory = conform_take(&host->conform, image, 0);
		CHECK(is_scribbled(host, memory, 0, 0, 1));
		scribble(memory, 0, 32 * WPAGE, 7);
		conform_give(memory);
	}
	conform_give(other);
	fl_image_release(image);
}

static void run_collapses(struct host *host)
{
	run_collapse(host, false);
	run_collapse(host, true);
}

static void loaded_chunks_become_one_folio(void)
{
	all_ways(run_collapses);
}

static const char *needs_collapse(void)
{
	int here = 1;

	if (!procfs_frame(&here))
		return "this process sees no frame numbers";
	return conform_needs_lazy();
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(many_read_a_file, conform_needs_lazy),
	TEST_CASE_NEEDS(a_file_that_is_wrong_or_short, conform_needs_lazy),
	TEST_CASE_NEEDS(images_leave_while_pages_come, conform_needs_lazy),
	TEST_CASE_NEEDS(loaded_chunks_become_one_folio, needs_collapse),
};

CONFORM_MAIN(cases)
