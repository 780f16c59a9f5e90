/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * place.c - an image file mapped in place and unchecked: header, tables and index
 * are checked as ever, no page is read, and every tenant sees what is in the file.
 * What the first tenants touched is what the next run asks the kernel for.
 */
#include "tests/kit/conform.h"
#include "tests/kit/page_source.h"
#include "tests/kit/random.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES ((uint64_t)20)
#define HPAGE ((uint64_t)4096)

struct host {
	struct conform conform;
	struct test_file file;
	struct fl_page_source *source;
	uint8_t *bytes;
	char path[64], set_path[64];
	int fd;
};

/* Noise, and some pages that the file leaves out. */
static void bytes_fill(uint8_t *bytes)
{
	struct test_random random;

	test_random_init(&random, 21);
	for (uint64_t i = 0; i < PAGES * WPAGE; i++)
		bytes[i] = i / WPAGE % 7 == 4 ?
				   0 :
				   (uint8_t)test_random_next(&random);
}

static void host_open(struct host *host)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_image *plain;
	int fd;

	conform_pool_config(&config);
	config.max_memories = config.max_instances = 2;
	conform_open(&host->conform, &config);
	host->bytes = malloc(PAGES * WPAGE);
	MUST(host->bytes != NULL);
	bytes_fill(host->bytes);
	plain = conform_image_of(&host->conform, PAGES * WPAGE, 0, host->bytes,
				 PAGES * WPAGE);
	host->file = test_file_of(plain);
	fl_image_release(plain);
	strcpy(host->path, "/tmp/fl-place-XXXXXX");
	host->fd = mkstemp(host->path);
	MUST(host->fd >= 0);
	MUST_EQ(write(host->fd, host->file.bytes, host->file.len),
		(ssize_t)host->file.len);
	strcpy(host->set_path, "/tmp/fl-set-XXXXXX");
	fd = mkstemp(host->set_path);
	MUST(fd >= 0);
	close(fd);
	CONFORM_MUST(fl_page_source_from_file(host->path, -1, &host->source,
					      &error),
		     &error);
}

static void host_close(struct host *host)
{
	fl_page_source_release(host->source);
	conform_close(&host->conform);
	close(host->fd);
	unlink(host->path);
	unlink(host->set_path);
	free(host->file.bytes);
	free(host->bytes);
}

static int open_image(struct host *host, uint32_t flags, const char *set_path,
		      struct fl_image **image, struct fl_error *error)
{
	struct fl_load_config config;

	fl_load_config_init(&config);
	config.way = flags & FL_OPEN_IN_PLACE ? FL_LOAD_IN_PLACE : FL_LOAD_AUTO;
	config.open_flags = flags;
	config.working_set_path = set_path;
	error->text[0] = '\0';
	return fl_image_open_source(host->conform.context, host->source,
				    &config, image, error);
}

static struct fl_image *must_open(struct host *host, const char *set_path)
{
	struct fl_error error;
	struct fl_image *image = NULL;

	CONFORM_MUST(open_image(host, FL_OPEN_IN_PLACE | FL_OPEN_UNCHECKED,
				set_path, &image, &error),
		     &error);
	return image;
}

static struct fl_image_loading loading_of(const struct fl_image *image)
{
	struct fl_image_loading loading = { .size = sizeof(loading) };

	fl_image_loading(image, &loading);
	return loading;
}

static const char *can_map_files(void)
{
	struct host host;
	struct fl_error error;
	struct fl_image *image;
	int err;

	host_open(&host);
	err = open_image(&host, FL_OPEN_IN_PLACE, NULL, &image, &error);
	if (!err)
		fl_image_release(image);
	host_close(&host);
	return err ? TEST_NOT_BUILT "this rung maps no foreign files" : NULL;
}

/* A page of the file is changed: noticed by who checks alone. */
static void a_page_is_not_read(void)
{
	struct fl_error error;
	struct fl_image *image = NULL;
	struct fl_memory *memory;
	struct host host;
	uint64_t off;
	uint8_t byte;

	host_open(&host);
	off = host.file.len - 100;
	byte = host.file.bytes[off] ^ 1;
	MUST_EQ(pwrite(host.fd, &byte, 1, (off_t)off), 1);
	CHECK_EQ(open_image(&host, FL_OPEN_IN_PLACE, NULL, &image, &error),
		 -ENOEXEC);
	image = must_open(&host, NULL);
	CHECK_EQ(loading_of(image).way, FL_LOAD_IN_PLACE);
	memory = conform_take(&host.conform, image, 0);
	CHECK_EQ(memory->base[PAGES * WPAGE - 100], byte);
	conform_give(memory);
	fl_image_release(image);
	host_close(&host);
}

/* One byte of what stands before the pages, each in turn. */
static void tables_are_checked(void)
{
	struct fl_error error;
	struct fl_image *image;
	struct host host;

	host_open(&host);
	for (uint64_t off = 0; off < 1700; off += 13) {
		uint8_t byte = host.file.bytes[off] ^ 0x10;
		int err;

		MUST_EQ(pwrite(host.fd, &byte, 1, (off_t)off), 1);
		err = open_image(&host, FL_OPEN_IN_PLACE | FL_OPEN_UNCHECKED,
				 NULL, &image, &error);
		CHECK(err == -ENOEXEC || err == -ENOTSUP || err == -E2BIG);
		if (!err)
			fl_image_release(image);
		MUST_EQ(pwrite(host.fd, &host.file.bytes[off], 1, (off_t)off),
			1);
	}
	host_close(&host);
}

static void flags_that_are_refused(void)
{
	struct fl_error error;
	struct fl_image *image;
	struct host host;

	host_open(&host);
	CHECK_EQ(open_image(&host, FL_OPEN_UNCHECKED, NULL, &image, &error),
		 -EINVAL);
	CHECK(strstr(error.text, "FL_OPEN_IN_PLACE") != NULL);
	CHECK_EQ(open_image(&host, FL_OPEN_UNCHECKED | FL_OPEN_IMMUTABLE, NULL,
			    &image, &error),
		 -EINVAL);
	CHECK_EQ(open_image(&host, 8 | FL_OPEN_IN_PLACE, NULL, &image, &error),
		 -EINVAL);
	host_close(&host);
}

static void check_tenant(struct host *host, struct fl_image *image,
			 uint64_t seed)
{
	struct fl_memory *memory = conform_take(&host->conform, image, 0);
	struct test_random random;

	CHECK(!memcmp(memory->base, host->bytes, PAGES * WPAGE));
	test_random_init(&random, seed);
	for (int i = 0; i < 60; i++)
		memory->base[test_random_below(&random, PAGES * WPAGE)] ^= 0x5a;
	conform_give(memory);
}

/* Written pages go back to what the file has, and to zero outside the index. */
static void tenants_see_the_file(void)
{
	struct fl_image *image;
	struct host host;

	host_open(&host);
	image = must_open(&host, NULL);
	for (uint64_t i = 0; i < 12; i++)
		check_tenant(&host, image, i);
	fl_image_release(image);
	host_close(&host);
}

static void touch_some(struct host *host, struct fl_image *image)
{
	struct fl_memory *memory = conform_take(&host->conform, image, 0);

	CHECK_EQ(memory->base[3 * WPAGE + 2 * HPAGE],
		 host->bytes[3 * WPAGE + 2 * HPAGE]);
	CHECK_EQ(memory->base[9 * WPAGE], host->bytes[9 * WPAGE]);
	memory->base[9 * WPAGE + 5 * HPAGE] = 1;
	conform_give(memory);
}

/* How many host pages of the file lie in the page cache. */
static size_t count_cached(const struct host *host)
{
	size_t len = host->file.len, hpages = (len + HPAGE - 1) / HPAGE;
	unsigned char *there = calloc(1, hpages);
	void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, host->fd, 0);
	size_t count = 0;

	MUST(there && map != MAP_FAILED);
	MUST_EQ(mincore(map, len, there), 0);
	for (size_t i = 0; i < hpages; i++)
		count += there[i] & 1;
	munmap(map, len);
	free(there);
	return count;
}

static void the_set_is_asked_for(void)
{
	struct fl_error error = { .text = "" };
	struct fl_memory *memory;
	struct fl_image *image;
	struct host host;
	size_t before;

	host_open(&host);
	image = must_open(&host, NULL);
	touch_some(&host, image);
	CHECK_EQ(loading_of(image).foreseen_wpages, 0);
	if (!loading_of(image).recorded_tenants) {
		/* Nothing tells what was touched. */
		fl_image_release(image);
		host_close(&host);
		return;
	}
	CHECK_EQ(loading_of(image).recorded_tenants, 1);
	CONFORM_MUST(fl_image_write_working_set(image, host.set_path, &error),
		     &error);
	CHECK_EQ(fl_pool_purge(host.conform.pool, NULL, image, NULL), 0);
	fl_image_release(image);
	/* On file systems in memory all is there anyway. */
	(void)fsync(host.fd);
	(void)posix_fadvise(host.fd, 0, 0, POSIX_FADV_DONTNEED);
	image = must_open(&host, host.set_path);
	before = count_cached(&host);
	memory = conform_take(&host.conform, image, 0);
	/* Without userfaultfd the kernel maps what lies around a fault too. */
	CHECK(loading_of(image).foreseen_wpages >= 2 &&
	      loading_of(image).foreseen_wpages <= 6);
	for (int i = 0;
	     i < 20000 && before < 40 && count_cached(&host) < before + 3; i++)
		usleep(1000);
	if (before < 40)
		CHECK(count_cached(&host) >= before + 3);
	CHECK(!memcmp(memory->base, host.bytes, PAGES * WPAGE));
	conform_give(memory);
	/* Of another image, cut or gone: no error, and nothing foreseen. */
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(fl_pool_purge(host.conform.pool, NULL, image, NULL),
			 0);
		fl_image_release(image);
		if (i)
			unlink(host.set_path);
		else
			MUST_EQ(truncate(host.set_path, 30), 0);
		image = must_open(&host, host.set_path);
		check_tenant(&host, image, 77);
		CHECK_EQ(loading_of(image).foreseen_wpages, 0);
	}
	fl_image_release(image);
	host_close(&host);
}

/* A file that was checked was read: there is nothing to ask for. */
static void a_checked_file_has_no_set(void)
{
	struct fl_error error;
	struct fl_image *image = NULL;
	struct host host;

	host_open(&host);
	CONFORM_MUST(open_image(&host, FL_OPEN_IN_PLACE, host.set_path, &image,
				&error),
		     &error);
	check_tenant(&host, image, 5);
	CHECK_EQ(fl_image_write_working_set(image, host.set_path, &error),
		 -EINVAL);
	fl_image_release(image);
	host_close(&host);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(a_page_is_not_read, can_map_files),
	TEST_CASE_NEEDS(tables_are_checked, can_map_files),
	TEST_CASE(flags_that_are_refused),
	TEST_CASE_NEEDS(tenants_see_the_file, can_map_files),
	TEST_CASE_NEEDS(the_set_is_asked_for, can_map_files),
	TEST_CASE_NEEDS(a_checked_file_has_no_set, can_map_files),
};

CONFORM_MAIN(cases)
