/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * packed.c - image files whose pages are packed: whole and lazily, from each kind
 * of source, such a file is the image that was written, under the same digest as
 * the file that is not packed. It cannot be mapped, and says so; it takes no memory
 * beyond the context's limit, and what is damaged is a trap or an error.
 *
 * Images have pages of each kind: packed, stored as they are, and of zeroes; packed
 * pages also as older libraries wrote them. Without
 * libzstd the cases skip, but for the one that sees such a file refused by name.
 */
#include "tests/kit/conform.h"
#include "tests/kit/page_source.h"
#include "tests/kit/toc_bytes.h"
#include "tests/kit/trap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define PAGES 24
#define BYTES (PAGES * WPAGE + 77)

struct packed {
	struct conform conform;
	char folder[64];
	char path[80], plain_path[80];
	struct fl_image *image;
	uint8_t *bytes;
};

/* Of each three pages one is noise, one is half noise, one is zeroes. */
static void bytes_fill(uint8_t *bytes)
{
	uint32_t noise = 1;

	memset(bytes, 0, BYTES);
	for (uint64_t i = 0; i < BYTES; i++) {
		noise = noise * 1664525 + 1013904223;
		if (i / WPAGE % 3 != 2)
			bytes[i] = (uint8_t)(i / WPAGE % 3 == 0 && i % 2 ?
						     i / WPAGE :
						     noise >> 24);
	}
}

static void packed_open(struct packed *packed)
{
	const char *base = access("/var/tmp", W_OK) ? "/tmp" : "/var/tmp";
	struct fl_error error = { .text = "" };

	conform_open_one_slot(&packed->conform);
	snprintf(packed->folder, sizeof(packed->folder), "%s/fl-packed-XXXXXX",
		 base);
	MUST(mkdtemp(packed->folder) != NULL);
	snprintf(packed->path, sizeof(packed->path), "%s/a", packed->folder);
	snprintf(packed->plain_path, sizeof(packed->plain_path), "%s/b",
		 packed->folder);
	packed->bytes = malloc(BYTES);
	MUST(packed->bytes != NULL);
	bytes_fill(packed->bytes);
	packed->image = conform_image_of(&packed->conform, BYTES, 0,
					 packed->bytes, BYTES);
	CONFORM_MUST(fl_image_write(packed->image, packed->plain_path, &error),
		     &error);
	if (test_needs_zstd())
		return;
	CONFORM_MUST(fl_image_write_as(packed->image, packed->path,
				       FL_WRITE_ZSTD, &error),
		     &error);
}

static void packed_close(struct packed *packed)
{
	fl_image_release(packed->image);
	unlink(packed->path);
	unlink(packed->plain_path);
	CHECK_EQ(rmdir(packed->folder), 0);
	free(packed->bytes);
	conform_close(&packed->conform);
}

static uint64_t file_length(const char *path)
{
	struct stat status;

	MUST_EQ(stat(path, &status), 0);
	return (uint64_t)status.st_size;
}

static void check_image(struct packed *packed, struct fl_image *opened)
{
	uint8_t digests[2][32], *bytes = malloc(BYTES);
	struct fl_memory *memory;

	MUST(bytes != NULL);
	for (int round = 0; round < 3; round++) {
		memory = conform_take(&packed->conform, opened, 0);
		CHECK_EQ(fl_memory_length(memory), BYTES);
		CHECK(!memcmp(memory->base, packed->bytes, BYTES));
		for (uint64_t at = 5; at < BYTES; at += 30011)
			memory->base[at] ^= 0x55;
		conform_give(memory);
	}
	CHECK_EQ(fl_image_read(opened, 0, bytes, BYTES), 0);
	CHECK(!memcmp(bytes, packed->bytes, BYTES));
	CHECK_EQ(fl_image_digest(packed->image, digests[0], NULL), 0);
	CHECK_EQ(fl_image_digest(opened, digests[1], NULL), 0);
	CHECK(!memcmp(digests[0], digests[1], 32));
	free(bytes);
}

/* Not by the library's record of it, but by what stands in the file. */
static void check_digests_in_files(const struct packed *packed)
{
	uint8_t digests[2][32];

	for (int i = 0; i < 2; i++) {
		uint8_t head[512];
		int fd = open(i ? packed->path : packed->plain_path,
			      O_RDONLY | O_CLOEXEC);

		MUST(fd >= 0);
		MUST_EQ(pread(fd, head, 512, 0), 512);
		CHECK_EQ(toc_bytes_get(head + 8, 4), i + 1);
		MUST_EQ(pread(fd, digests[i], 32,
			      (off_t)(toc_bytes_index(head) +
				      64 * toc_bytes_get(head + 32, 8))),
			32);
		close(fd);
	}
	CHECK(!memcmp(digests[0], digests[1], 32));
}

static void whole(void)
{
	struct fl_error error = { .text = "" };
	struct fl_image *opened = NULL;
	struct packed packed;

	packed_open(&packed);
	CHECK(file_length(packed.path) * 4 <
	      file_length(packed.plain_path) * 3);
	check_digests_in_files(&packed);
	CONFORM_MUST(fl_image_open(packed.conform.context, packed.path, -1, 0,
				   &opened, &error),
		     &error);
	check_image(&packed, opened);
	/* What is written of it is the file that is not packed. */
	MUST_EQ(unlink(packed.path), 0);
	CONFORM_MUST(fl_image_write(opened, packed.path, &error), &error);
	CHECK_EQ(file_length(packed.path), file_length(packed.plain_path));
	fl_image_release(opened);
	packed_close(&packed);
}

static void check_source(struct packed *packed, struct fl_page_source *source)
{
	struct fl_image_loading loading = { .size = sizeof(loading) };
	struct fl_error error = { .text = "" };
	struct fl_load_config config;
	struct fl_image *opened = NULL;
	int err;

	fl_load_config_init(&config);
	err = fl_image_open_source(packed->conform.context, source, &config,
				   &opened, &error);
	CONFORM_MUST(err, &error);
	check_image(packed, opened);
	fl_image_loading(opened, &loading);
	CHECK(loading.way != FL_LOAD_IN_PLACE);
	if (loading.way == FL_LOAD_LAZY)
		loading = conform_loading(opened, loading.wpages);
	CHECK_EQ(loading.failed_loads, 0);
	/* A free slot would keep the image, and the image its source. */
	CHECK_EQ(fl_pool_purge(packed->conform.pool, NULL, opened, NULL), 0);
	fl_image_release(opened);
}

/* A file is read by the ring where there is one, memory by the threads that
 * unpack, calls of the host by threads that may wait. */
static void from_each_source(void)
{
	struct fl_page_source *source;
	struct test_source own;
	struct packed packed;
	struct test_file file;

	packed_open(&packed);
	file = test_packed_file_of(packed.image);
	MUST_EQ(fl_page_source_from_file(packed.path, -1, &source, NULL), 0);
	check_source(&packed, source);
	fl_page_source_release(source);
	MUST_EQ(fl_page_source_from_bytes(file.bytes, file.len, NULL, NULL,
					  &source, NULL),
		0);
	check_source(&packed, source);
	fl_page_source_release(source);
	for (int is_async = 0; is_async < 2; is_async++) {
		test_source_open(&own, file, is_async);
		check_source(&packed, own.source);
		fl_page_source_release(own.source);
	}
	free(file.bytes);
	packed_close(&packed);
}

/* By name where the caller insists, and another way where it does not. */
static void not_in_place(void)
{
	struct fl_image_loading loading = { .size = sizeof(loading) };
	struct fl_error error = { .text = "" };
	struct fl_image *opened = NULL;
	struct fl_page_source *source;
	struct fl_load_config config;
	struct packed packed;

	packed_open(&packed);
	for (uint32_t flags = FL_OPEN_IN_PLACE;
	     flags <= (FL_OPEN_IN_PLACE | FL_OPEN_UNCHECKED);
	     flags += FL_OPEN_UNCHECKED) {
		CHECK_EQ(fl_image_open(packed.conform.context, packed.path, -1,
				       flags, &opened, &error),
			 -ENOTSUP);
		CHECK_HAS(error.text, "FL_OPEN_IN_PLACE");
	}
	MUST_EQ(fl_page_source_from_file(packed.path, -1, &source, NULL), 0);
	fl_load_config_init(&config);
	config.open_flags = FL_OPEN_IN_PLACE;
	config.way = FL_LOAD_IN_PLACE;
	CHECK_EQ(fl_image_open_source(packed.conform.context, source, &config,
				      &opened, &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, "FL_WRITE_ZSTD");
	config.way = FL_LOAD_AUTO;
	CONFORM_MUST(fl_image_open_source(packed.conform.context, source,
					  &config, &opened, &error),
		     &error);
	check_image(&packed, opened);
	fl_image_loading(opened, &loading);
	CHECK(loading.way == FL_LOAD_LAZY || loading.way == FL_LOAD_WHOLE);
	if (loading.way == FL_LOAD_LAZY)
		CHECK_HAS(loading.reason, "packed");
	fl_image_release(opened);
	fl_page_source_release(source);
	packed_close(&packed);
}

static void file_put(const char *path, const uint8_t *bytes, uint64_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	MUST(fd >= 0);
	MUST_EQ(write(fd, bytes, len), len);
	close(fd);
}

#if FL_WITH_ZSTD

/* As older libraries wrote it: whole, and from each source. */
static void a_file_of_the_older_form(void)
{
	struct fl_error error = { .text = "" };
	struct fl_page_source *source;
	struct fl_image *opened = NULL;
	struct test_source own;
	struct packed packed;
	struct test_file file;
	uint8_t *older;

	packed_open(&packed);
	file = test_packed_file_of(packed.image);
	older = toc_bytes_older(file.bytes, &file.len);
	free(file.bytes);
	file.bytes = older;
	file_put(packed.path, file.bytes, file.len);
	check_digests_in_files(&packed);
	CONFORM_MUST(fl_image_open(packed.conform.context, packed.path, -1, 0,
				   &opened, &error),
		     &error);
	check_image(&packed, opened);
	/* Written anew, it has the newer form. */
	CONFORM_MUST(fl_image_write_as(opened, packed.plain_path, FL_WRITE_ZSTD,
				       &error),
		     &error);
	CHECK(file_length(packed.plain_path) != file_length(packed.path));
	fl_image_release(opened);
	MUST_EQ(fl_page_source_from_file(packed.path, -1, &source, NULL), 0);
	check_source(&packed, source);
	fl_page_source_release(source);
	test_source_open(&own, file, true);
	check_source(&packed, own.source);
	fl_page_source_release(own.source);
	free(file.bytes);
	packed_close(&packed);
}

#else

static void a_file_of_the_older_form(void)
{
}

#endif

/* A byte of each page's bytes, one after the other: each open is an error that
 * names the page's byte, and no other page is. */
static void each_damaged_page_is_named(void)
{
	struct fl_error error = { .text = "" };
	struct fl_image *opened = NULL;
	struct test_file file;
	struct packed packed;
	uint64_t index, count;

	packed_open(&packed);
	file = test_packed_file_of(packed.image);
	index = toc_bytes_index(file.bytes);
	count = toc_bytes_get(file.bytes + 32, 8);
	CHECK_EQ(count, PAGES - PAGES / 3 + 1);
	for (uint64_t i = 0; i < count; i++) {
		const uint8_t *entry = file.bytes + index + 64 * i;
		uint64_t off = toc_bytes_get(entry + 16, 8);
		uint64_t len = toc_bytes_stored(entry);
		int fd = open(packed.path, O_WRONLY | O_CLOEXEC);
		uint8_t byte = file.bytes[off + len / 2] ^ 4;

		MUST(fd >= 0);
		MUST_EQ(pwrite(fd, &byte, 1, (off_t)(off + len / 2)), 1);
		CHECK_EQ(fl_image_open(packed.conform.context, packed.path, -1,
				       0, &opened, &error),
			 -ENOEXEC);
		CHECK_EQ(error.byte_off, off);
		MUST_EQ(pwrite(fd, file.bytes + off + len / 2, 1,
			       (off_t)(off + len / 2)),
			1);
		close(fd);
	}
	free(file.bytes);
	packed_close(&packed);
}

/* A small file of many pages is refused before the first one is unpacked. */
static void many_pages_in_a_small_file(void)
{
	struct fl_context_config config;
	struct fl_error error = { .text = "" };
	struct fl_context *context;
	struct fl_image *opened = NULL;
	struct packed packed;
	struct test_file file;

	packed_open(&packed);
	file = test_packed_file_of(packed.image);
	fl_context_config_init(&config);
	config.backend = test_rung->backend;
	config.max_image_bytes = 16 * WPAGE;
	CONFORM_MUST(fl_context_create(&config, &context, &error), &error);
	file_put(packed.path, file.bytes, file.len);
	CHECK_EQ(fl_image_open(context, packed.path, -1, 0, &opened, &error),
		 -E2BIG);
	CHECK_HAS(error.text, "max_image_bytes");
	CHECK_HAS(error.text, "17 pages");
	fl_context_destroy(context);
	free(file.bytes);
	packed_close(&packed);
}

/* The kernel would end the process by SIGXFSZ, and the file is known to be too
 * long only when its last page is packed. */
static int child_with_small_files(void *arg)
{
	const struct packed *packed = arg;
	struct rlimit limit = { .rlim_max = RLIM_INFINITY };
	struct fl_error error = { .text = "" };
	uint64_t len = file_length(packed->path);

	limit.rlim_cur = len - 1;
	MUST_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	CHECK_EQ(fl_image_write_as(packed->image, packed->path, FL_WRITE_ZSTD,
				   &error),
		 -ENOMEM);
	CHECK_HAS(error.text, "ulimit -f");
	limit.rlim_cur = len;
	MUST_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	CONFORM_MUST(fl_image_write_as(packed->image, packed->path,
				       FL_WRITE_ZSTD, &error),
		     &error);
	return 0;
}

static void the_limit_of_files_is_an_error(void)
{
	struct packed packed;

	packed_open(&packed);
	conform_check_child(child_with_small_files, &packed);
	packed_close(&packed);
}

static void flags_are_checked(void)
{
	struct fl_error error = { .text = "" };
	struct packed packed;

	packed_open(&packed);
	CHECK_EQ(fl_image_write_as(packed.image, packed.path, 2, &error),
		 -EINVAL);
	CHECK_HAS(error.text, "0x2");
	CHECK_EQ(fl_image_write_as(packed.image, packed.path, 0, &error), 0);
	CHECK_EQ(file_length(packed.path), file_length(packed.plain_path));
	packed_close(&packed);
}

/* A file of another host, of which a page is packed. */
static void without_libzstd(void)
{
	struct fl_error error = { .text = "" };
	struct fl_image *opened = NULL;
	struct test_file file;
	struct packed packed;
	uint64_t index;

	if (!test_needs_zstd())
		return;
	packed_open(&packed);
	CHECK_EQ(fl_image_write_as(packed.image, packed.path, FL_WRITE_ZSTD,
				   &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, "libzstd-dev");
	CHECK_EQ(access(packed.path, F_OK), -1);
	file = test_file_of(packed.image);
	index = toc_bytes_index(file.bytes);
	toc_bytes_put(file.bytes + 8, 2, 4);
	toc_bytes_put(file.bytes + 80, file.len, 8);
	toc_bytes_put(file.bytes + index + 4, 1, 4);
	file_put(packed.path, file.bytes, file.len);
	CHECK_EQ(fl_image_open(packed.conform.context, packed.path, -1, 0,
			       &opened, &error),
		 -ENOTSUP);
	CHECK_EQ(error.byte_off, index + 4);
	CHECK_HAS(error.text, "libzstd-dev");
	free(file.bytes);
	packed_close(&packed);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(whole, test_needs_zstd),
	TEST_CASE_NEEDS(from_each_source, test_needs_zstd),
	TEST_CASE_NEEDS(not_in_place, test_needs_zstd),
	TEST_CASE_NEEDS(a_file_of_the_older_form, test_needs_zstd),
	TEST_CASE_NEEDS(each_damaged_page_is_named, test_needs_zstd),
	TEST_CASE_NEEDS(many_pages_in_a_small_file, test_needs_zstd),
	TEST_CASE_NEEDS(the_limit_of_files_is_an_error, test_needs_zstd),
	TEST_CASE(flags_are_checked),
	TEST_CASE(without_libzstd),
};

CONFORM_MAIN(cases)
