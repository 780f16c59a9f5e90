/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * image_file.c - images in files: what is written is opened again, equal in
 * every byte and as a memory shows it; a file that was cut, changed, replaced or
 * truncated at any moment is an error or makes an equal image, never a signal; a
 * write that fails leaves nothing, and an old file as it was.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_PATH, O_DIRECT */
#endif
#include "tests/kit/conform.h"
#include "tests/kit/host.h"
#include "tests/kit/page_source.h"
#include "tests/kit/procfs.h"
#include "tests/kit/random.h"
#include "tests/kit/toc_bytes.h"

#include "module/archive.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define DIGEST 32

/* ---------------------------------------------------------------- a folder */

/* A folder of its own for each case, with room for a file's path. */
struct folder {
	char path[64];
	char file[96];
	char other[96];
};

static void folder_make(struct folder *folder)
{
	const char *base = access("/var/tmp", W_OK) ? "/tmp" : "/var/tmp";

	snprintf(folder->path, sizeof(folder->path), "%s/fl-image-XXXXXX",
		 base);
	MUST(mkdtemp(folder->path) != NULL);
	snprintf(folder->file, sizeof(folder->file), "%s/image", folder->path);
	snprintf(folder->other, sizeof(folder->other), "%s/other",
		 folder->path);
}

/* Names in a folder, whatever they are. */
static unsigned int folder_count(const struct folder *folder)
{
	DIR *open = opendir(folder->path);
	unsigned int count = 0;
	struct dirent *entry;

	MUST(open != NULL);
	while ((entry = readdir(open)))
		count += strcmp(entry->d_name, ".") &&
			 strcmp(entry->d_name, "..");
	closedir(open);
	return count;
}

static void folder_remove(struct folder *folder)
{
	unlink(folder->file);
	unlink(folder->other);
	CHECK_EQ(folder_count(folder), 0);
	CHECK_EQ(rmdir(folder->path), 0);
}

struct bytes {
	uint8_t *bytes;
	uint64_t len;
};

static struct bytes file_bytes(const char *path)
{
	struct bytes b = { NULL, 0 };
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	MUST(fd >= 0);
	MUST_EQ(fstat(fd, &status), 0);
	b.len = (uint64_t)status.st_size;
	b.bytes = malloc(b.len + 1);
	MUST(b.bytes != NULL);
	MUST_EQ(pread(fd, b.bytes, b.len, 0), b.len);
	close(fd);
	return b;
}

static void file_put(const char *path, const void *bytes, uint64_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	MUST(fd >= 0);
	MUST_EQ(write(fd, bytes, len), len);
	close(fd);
}

/* ------------------------------------------------------------------- images */

static int open_path(struct conform *conform, const char *path,
		     struct fl_image **image, struct fl_error *error)
{
	*image = NULL;
	error->text[0] = '\0';
	return fl_image_open(conform->context, path, -1, 0, image, error);
}

static struct fl_image *must_open(struct conform *conform, const char *path)
{
	struct fl_error error;
	struct fl_image *image;

	CONFORM_MUST(open_path(conform, path, &image, &error), &error);
	return image;
}

static void must_write(const struct fl_image *image, const char *path)
{
	struct fl_error error = { .text = "" };

	CONFORM_MUST(fl_image_write(image, path, &error), &error);
}

static void must_digest(struct fl_image *image, uint8_t *digest)
{
	struct fl_error error = { .text = "" };

	CONFORM_MUST(fl_image_digest(image, digest, &error), &error);
}

static struct fl_image_info info_of(const struct fl_image *image)
{
	struct fl_image_info info = { .size = sizeof(info) };

	fl_image_info(image, &info);
	return info;
}

/* Where one has data, both have the same. */
static bool has_bytes_of(const struct fl_image *a, const struct fl_image *b)
{
	struct fl_image_run run;
	uint64_t from = 0;
	bool same = true;

	while (same && fl_image_next_run(a, from, &run)) {
		uint8_t *mine = malloc(run.length_bytes);
		uint8_t *theirs = malloc(run.length_bytes);

		MUST(mine && theirs);
		same = !fl_image_read(a, run.offset_bytes, mine,
				      run.length_bytes) &&
		       !fl_image_read(b, run.offset_bytes, theirs,
				      run.length_bytes) &&
		       !memcmp(mine, theirs, run.length_bytes);
		free(mine);
		free(theirs);
		from = run.offset_bytes + run.length_bytes;
	}
	return same;
}

static bool is_equal(const struct fl_image *a, const struct fl_image *b)
{
	return info_of(a).initial_bytes == info_of(b).initial_bytes &&
	       has_bytes_of(a, b) && has_bytes_of(b, a);
}

#define MAX_SEGMENTS 12

static struct fl_image *random_image(struct conform *conform,
				     struct test_random *random)
{
	static uint8_t bytes[300000];
	struct fl_segment segments[MAX_SEGMENTS];
	uint64_t size = 1 + test_random_below(random, 4 * MIB);
	size_t count = (size_t)test_random_below(random, MAX_SEGMENTS + 1);

	for (size_t i = 0; i < sizeof(bytes); i += 1 + i % 5000)
		bytes[i] = (uint8_t)test_random_next(random);
	for (size_t i = 0; i < count; i++) {
		uint64_t len = test_random_below(
			random, test_random_below(random, 2) ? 300000 : 300);

		len = len < size ? len : size;
		segments[i].length_bytes = len;
		segments[i].bytes =
			bytes + test_random_below(random, 300000 - len + 1);
		segments[i].offset_bytes =
			test_random_below(random, size - len + 1);
	}
	return conform_image(conform, size, segments, count);
}

/* Two pages and a bit, one of which is zero between. */
static struct fl_image *small_image(struct conform *conform)
{
	struct fl_segment segments[2] = { { 100, "first", 5 },
					  { 2 * WPAGE + 3, "second", 6 } };

	return conform_image(conform, 2 * WPAGE + 1000, segments, 2);
}

static void check_round_trip(struct conform *conform,
			     const struct folder *folder,
			     struct fl_image *image)
{
	uint8_t before[DIGEST], after[DIGEST];
	struct bytes one, two;
	struct fl_image *opened;

	must_write(image, folder->file);
	opened = must_open(conform, folder->file);
	CHECK(is_equal(image, opened));
	CHECK(info_of(image).serial != info_of(opened).serial);
	must_digest(image, before);
	must_digest(opened, after);
	CHECK(!memcmp(before, after, DIGEST));
	/* Asked again, it is known. */
	must_digest(opened, after);
	CHECK(!memcmp(before, after, DIGEST));
	must_write(opened, folder->other);
	one = file_bytes(folder->file);
	two = file_bytes(folder->other);
	CHECK_EQ(one.len, two.len);
	/* Without data nothing but the header. */
	if (!info_of(image).stored_bytes)
		CHECK(one.len < 1024);
	CHECK(one.len == two.len && !memcmp(one.bytes, two.bytes, one.len));
	free(one.bytes);
	free(two.bytes);
	fl_image_release(opened);
}

static void random_images(void)
{
	int rounds = test_rounds(test_is_sanitized() ? 10 : 40);
	struct test_random random;
	struct folder folder;
	struct conform conform;

	test_random_init(&random, 21);
	conform_open(&conform, NULL);
	folder_make(&folder);
	for (int i = 0; i < rounds && !test_has_failed(); i++) {
		struct fl_image *image = random_image(&conform, &random);

		check_round_trip(&conform, &folder, image);
		fl_image_release(image);
	}
	folder_remove(&folder);
	conform_close(&conform);
}

/* Sizes that are no multiple of anything, sizes of 64-bit memories, no data. */
static void sizes_of_every_kind(void)
{
	static const uint64_t sizes[] = { 0,
					  1,
					  4095,
					  WPAGE - 1,
					  WPAGE,
					  WPAGE + 1,
					  4 * GIB,
					  4 * GIB + 1,
					  1024 * GIB,
					  UINT64_MAX,
					  (uint64_t)1 << 63 };
	struct conform conform;
	struct folder folder;

	conform_open(&conform, NULL);
	folder_make(&folder);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		uint64_t size = sizes[i];
		struct fl_image *none = conform_image(&conform, size, NULL, 0);

		check_round_trip(&conform, &folder, none);
		fl_image_release(none);
		if (!size || size > 4 * GIB + 1)
			continue;
		none = conform_image_of(&conform, size, size - 1, "x", 1);
		check_round_trip(&conform, &folder, none);
		fl_image_release(none);
	}
	folder_remove(&folder);
	conform_close(&conform);
}

/* Data far apart: as many extents as there can be, and holes between. */
static void pages_of_zeroes_are_holes(void)
{
	struct fl_segment segments[6];
	struct fl_image *image, *opened;
	struct conform conform;
	struct folder folder;
	struct stat status;
	int fd;

	conform_open(&conform, NULL);
	folder_make(&folder);
	for (uint64_t i = 0; i < 6; i++)
		segments[i] = (struct fl_segment){ i * i * 30 * MIB + i * 4097,
						   "data", 4 };
	image = conform_image(&conform, GIB, segments, 6);
	must_write(image, folder.file);
	MUST_EQ(stat(folder.file, &status), 0);
	CHECK(status.st_size > 100 * (int64_t)MIB);
	fd = open(folder.file, O_RDONLY | O_CLOEXEC);
	CHECK(procfs_file_bytes(fd) < (6 * 128 + 64) * 512);
	close(fd);
	CHECK_EQ(status.st_mode & 0777, 0600);
	opened = must_open(&conform, folder.file);
	CHECK(is_equal(image, opened));
	fl_image_release(opened);
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

/* A memory that is taken with the opened image, and the next one in its slot. */
static void a_memory_shows_the_file(void)
{
	struct conform conform;
	struct fl_image *image, *opened;
	struct folder folder;

	conform_open_one_slot(&conform);
	folder_make(&folder);
	image = small_image(&conform);
	must_write(image, folder.file);
	opened = must_open(&conform, folder.file);
	fl_image_release(image);
	/* The image needs the file no more. */
	MUST_EQ(truncate(folder.file, 0), 0);
	for (int round = 0; round < 6; round++) {
		struct fl_memory *memory = conform_take(&conform, opened, 0);
		uint64_t len = fl_memory_length(memory);

		CHECK_EQ(len, 2 * WPAGE + 1000);
		CHECK_EQ(conform_first_data(memory->base, len), 100);
		CHECK(!memcmp(memory->base + 100, "first", 5));
		CHECK_EQ(conform_first_data(memory->base + 105, len - 105),
			 2 * WPAGE + 3 - 105);
		CHECK(!memcmp(memory->base + 2 * WPAGE + 3, "second", 6));
		memset(memory->base, 0x77, len);
		conform_give(memory);
	}
	fl_image_release(opened);
	folder_remove(&folder);
	conform_close(&conform);
}

static void check_refused(struct conform *conform, const char *path, int fd,
			  uint32_t flags, int expected)
{
	struct fl_error error = { .text = "" };
	struct fl_image *image = NULL;

	CHECK_EQ(fl_image_open(conform->context, path, fd, flags, &image,
			       &error),
		 expected);
	CHECK(!image);
	CHECK_EQ(error.code, expected);
	CHECK(error.text[0] != '\0');
	CHECK_EQ(fl_image_open(conform->context, path, fd, flags, &image, NULL),
		 expected);
}

/* Errors of files say which file. */
static void errors_name_the_file(void)
{
	struct fl_error error = { .text = "" };
	struct fl_page_source *source;
	struct conform conform;
	struct fl_image *image;
	struct folder folder;
	char path[400];

	conform_open(&conform, NULL);
	folder_make(&folder);
	CHECK_EQ(fl_image_open(conform.context, folder.file, -1, 0, &image,
			       &error),
		 -EINVAL);
	CHECK_HAS(error.text, folder.file);
	CHECK_EQ(fl_image_open(conform.context, NULL, 12345, 0, &image, &error),
		 -EINVAL);
	CHECK_HAS(error.text, "descriptor 12345");
	CHECK_EQ(fl_page_source_from_file(folder.file, -1, &source, &error),
		 -EINVAL);
	CHECK_HAS(error.text, folder.file);
	CHECK_EQ(fl_page_source_from_file(NULL, 12345, &source, &error),
		 -EINVAL);
	CHECK_HAS(error.text, "descriptor 12345");
	image = small_image(&conform);
	snprintf(path, sizeof(path), "%s/none/image", folder.path);
	CHECK_EQ(fl_image_write(image, path, &error), -EINVAL);
	CHECK_HAS(error.text, path);
	/* What went wrong comes first, and a path of any length fits. */
	snprintf(path, sizeof(path), "%s/%0300d", folder.path, 0);
	CHECK_EQ(fl_image_write(image, path, &error), -EINVAL);
	CHECK_HAS(error.text, folder.path);
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

static void by_descriptor(void)
{
	struct fl_error error = { .text = "" };
	struct fl_image *image, *opened = NULL;
	struct conform conform;
	struct folder folder;
	int fd;

	conform_open(&conform, NULL);
	folder_make(&folder);
	image = small_image(&conform);
	must_write(image, folder.file);
	fd = open(folder.file, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	MUST_EQ(lseek(fd, 7, SEEK_SET), 7);
	/* The name may go. */
	MUST_EQ(unlink(folder.file), 0);
	CONFORM_MUST(fl_image_open(conform.context, NULL, fd, 0, &opened,
				   &error),
		     &error);
	CHECK(is_equal(image, opened));
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
	fl_image_release(opened);
	close(fd);
	check_refused(&conform, NULL, fd, 0, -EINVAL);
	check_refused(&conform, NULL, -1, 0, -EINVAL);
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

/* Not by descriptors that do not read, or not any bytes. */
static void what_cannot_be_read(void)
{
	static const int flags[] = { O_WRONLY, O_RDONLY | O_PATH,
				     O_RDONLY | O_DIRECT, O_ACCMODE };
	struct fl_error error = { .text = "" };
	struct fl_page_source *source;
	struct conform conform;
	struct fl_image *image;
	struct folder folder;

	conform_open(&conform, NULL);
	folder_make(&folder);
	image = small_image(&conform);
	must_write(image, folder.file);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(flags); i++) {
		int fd = open(folder.file, flags[i] | O_CLOEXEC);

		/* Some file systems know no O_DIRECT. */
		if (fd < 0)
			continue;
		check_refused(&conform, NULL, fd, 0, -EINVAL);
		CHECK_EQ(fl_page_source_from_file(NULL, fd, &source, &error),
			 -EINVAL);
		CHECK(strstr(error.text, "not open for reading"));
		close(fd);
	}
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

/* None of them makes the call wait. */
static void what_is_no_regular_file(void)
{
	struct conform conform;
	struct fl_image *image;
	struct folder folder;
	int ends[2], fd;

	conform_open(&conform, NULL);
	folder_make(&folder);
	check_refused(&conform, folder.file, -1, 0, -EINVAL);
	check_refused(&conform, "", -1, 0, -EINVAL);
	check_refused(&conform, folder.path, -1, 0, -EINVAL);
	check_refused(&conform, "/dev/zero", -1, 0, -EINVAL);
	MUST_EQ(mkfifo(folder.file, 0600), 0);
	check_refused(&conform, folder.file, -1, 0, -EINVAL);
	MUST_EQ(unlink(folder.file), 0);
	MUST_EQ(symlink("image", folder.file), 0);
	check_refused(&conform, folder.file, -1, 0, -EINVAL);
	MUST_EQ(unlink(folder.file), 0);
	MUST_EQ(pipe(ends), 0);
	check_refused(&conform, NULL, ends[0], 0, -EINVAL);
	close(ends[0]);
	close(ends[1]);
	MUST_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
	check_refused(&conform, NULL, ends[0], 0, -EINVAL);
	close(ends[0]);
	close(ends[1]);
	file_put(folder.file, "nothing", 7);
	check_refused(&conform, folder.file, -1, 0, -ENOEXEC);
	check_refused(&conform, folder.file, -1, 0x80, -EINVAL);
	image = small_image(&conform);
	must_write(image, folder.file);
	fl_image_release(image);
	fd = open(folder.file, O_WRONLY | O_CLOEXEC);
	check_refused(&conform, NULL, fd, 0, -EINVAL);
	close(fd);
	folder_remove(&folder);
	conform_close(&conform);
}

/* ------------------------------------------------------------------ hostile */

/* A change made an error, or no difference. */
static void check_harmless(struct conform *conform, const char *path,
			   const struct fl_image *image)
{
	struct fl_error error;
	struct fl_image *opened;
	int err = open_path(conform, path, &opened, &error);

	if (!err) {
		CHECK(is_equal(image, opened));
		fl_image_release(opened);
		return;
	}
	CHECK(err == -ENOEXEC || err == -ENOTSUP || err == -E2BIG);
	CHECK_EQ(error.code, err);
	CHECK(error.byte_off != FL_ERROR_NO_OFFSET);
	CHECK(error.text[0] != '\0');
}

/* Every one; on other rungs than the first some. */
static void every_cut(void)
{
	uint64_t step = test_rung == &conform_rungs[0] ? 1 : 61;
	struct conform conform;
	struct fl_image *image;
	struct folder folder;
	struct bytes whole;
	struct fl_error error;
	struct fl_image *opened;

	conform_open(&conform, NULL);
	folder_make(&folder);
	image = small_image(&conform);
	must_write(image, folder.file);
	whole = file_bytes(folder.file);
	/* Odd, so that each byte of a word is cut at. */
	step = fl_max_u64(
		step, (whole.len / (uint64_t)test_rounds((int)whole.len)) | 1);
	for (uint64_t len = whole.len - 1;
	     len < whole.len && !test_has_failed(); len -= step) {
		MUST_EQ(truncate(folder.file, (off_t)len), 0);
		CHECK_EQ(open_path(&conform, folder.file, &opened, &error),
			 -ENOEXEC);
	}
	/* And a byte too many. */
	file_put(folder.file, whole.bytes, whole.len);
	MUST_EQ(truncate(folder.file, (off_t)whole.len + 1), 0);
	CHECK_EQ(open_path(&conform, folder.file, &opened, &error), -ENOEXEC);
	free(whole.bytes);
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

static const char *can_make_large_files(void)
{
#ifdef _WIN32
	return "truncate() takes a length of 32 bits";
#else
	return NULL;
#endif
}

/* The length is known where it has more than 32 bits. */
static void gib_behind_the_end(void)
{
	struct conform conform;
	struct fl_image *image, *opened;
	struct folder folder;
	struct fl_error error;

	conform_open(&conform, NULL);
	folder_make(&folder);
	image = small_image(&conform);
	must_write(image, folder.file);
	MUST_EQ(truncate(folder.file, (off_t)(5 * GIB)), 0);
	CHECK_EQ(open_path(&conform, folder.file, &opened, &error), -ENOEXEC);
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

/* 50,000 changes below byte end; fewer on other rungs than the first. */
static void check_changes(uint64_t seed, uint64_t end)
{
	int rounds = test_rounds(test_rung == &conform_rungs[0] ? 50000 : 1000);
	struct test_random random;
	struct conform conform;
	struct fl_image *image;
	struct folder folder;
	struct bytes whole;
	int fd;

	test_random_init(&random, seed);
	conform_open(&conform, NULL);
	folder_make(&folder);
	image = small_image(&conform);
	must_write(image, folder.file);
	whole = file_bytes(folder.file);
	fd = open(folder.file, O_WRONLY | O_CLOEXEC);
	MUST(fd >= 0);
	for (int i = 0; i < rounds && !test_has_failed(); i++) {
		uint64_t at = test_random_below(
			&random, end < whole.len ? end : whole.len);
		uint8_t byte = whole.bytes[at] ^
			       (uint8_t)(1 + test_random_below(&random, 255));

		MUST_EQ(pwrite(fd, &byte, 1, (off_t)at), 1);
		check_harmless(&conform, folder.file, image);
		MUST_EQ(pwrite(fd, &whole.bytes[at], 1, (off_t)at), 1);
	}
	close(fd);
	free(whole.bytes);
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

/* All that is not page is in the first 1,024 bytes. */
static void changed_tables(void)
{
	check_changes(22, 1024);
}

static void changed_bytes(void)
{
	check_changes(25, UINT64_MAX);
}

struct changer {
	struct folder *folder;
	struct bytes whole;
	uint32_t stop; /* atomic */
};

/* Cut, overwrite, replace and mend the file without end. */
static void *change_file(void *arg)
{
	struct changer *c = arg;
	struct test_random random = { 23 };

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		uint64_t at = test_random_below(&random, c->whole.len);
		int fd = open(c->folder->file, O_WRONLY | O_CLOEXEC);

		CHECK(fd >= 0);
		if (at % 4 == 0)
			CHECK_EQ(ftruncate(fd, (off_t)at), 0);
		else
			CHECK_EQ(pwrite(fd, "\xff", 1, (off_t)at), 1);
		CHECK_EQ(pwrite(fd, c->whole.bytes, c->whole.len, 0),
			 c->whole.len);
		close(fd);
		if (at % 8 == 1) {
			file_put(c->folder->other, c->whole.bytes, at);
			CHECK_EQ(rename(c->folder->other, c->folder->file), 0);
			file_put(c->folder->other, c->whole.bytes,
				 c->whole.len);
			CHECK_EQ(rename(c->folder->other, c->folder->file), 0);
		}
	}
	return NULL;
}

static void changed_while_opened(void)
{
	struct conform conform;
	struct fl_image *image;
	struct folder folder;
	struct changer changer = { .folder = &folder };
	pthread_t thread;

	conform_open(&conform, NULL);
	folder_make(&folder);
	image = small_image(&conform);
	must_write(image, folder.file);
	changer.whole = file_bytes(folder.file);
	MUST_EQ(pthread_create(&thread, NULL, change_file, &changer), 0);
	for (int i = test_rounds(1000); i > 0 && !test_has_failed(); i--)
		check_harmless(&conform, folder.file, image);
	__atomic_store_n(&changer.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	free(changer.whole.bytes);
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

/* ------------------------------------------------------------ little memory */

static const char *can_limit_memory(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer reserves address space" :
				     NULL;
}

/* What a file of a few hundred bytes may claim, as far as its length allows: a
 * file of holes can have any length. */
static void put_claims(const char *path, uint64_t len, uint64_t images,
		       uint64_t entries, uint64_t state)
{
	uint8_t header[TOC_HEADER] = "\x89"
				     "FLI\r\n\x1a\n\x01\0\0\0\0\0\x01";

	toc_bytes_put(header + 16, len, 8);
	toc_bytes_put(header + 24, images, 4);
	toc_bytes_put(header + 32, entries, 8);
	toc_bytes_put(header + 40, state, 8);
	file_put(path, header, sizeof(header));
	MUST_EQ(truncate(path, (off_t)len), 0);
}

static int child_in_little_memory(void *arg)
{
	const struct folder *folder = arg;
	const uint64_t tib = 1024 * GIB;
	struct rlimit limit = { 0, 0 };
	struct fl_error error;
	struct fl_image *image;
	struct conform conform;
	unsigned long pages = 0;
	FILE *statm;

	conform_open(&conform, NULL);
	statm = fopen("/proc/self/statm", "r");
	MUST(statm && fscanf(statm, "%lu", &pages) == 1);
	fclose(statm);
	limit.rlim_cur = limit.rlim_max = pages * conform_hpage() + 32 * MIB;
	MUST_EQ(setrlimit(RLIMIT_AS, &limit), 0);
	put_claims(folder->file, 600, 1, (uint64_t)1 << 40, 0);
	CHECK_EQ(open_path(&conform, folder->file, &image, &error), -ENOEXEC);
	put_claims(folder->file, tib, 65536, tib / WPAGE, 0);
	CHECK_EQ(open_path(&conform, folder->file, &image, &error), -ENOEXEC);
	put_claims(folder->file, tib, 0, tib / WPAGE, 0);
	CHECK_EQ(open_path(&conform, folder->file, &image, &error), -ENOEXEC);
	put_claims(folder->file, tib, 1, tib / WPAGE, GIB);
	CHECK_EQ(open_path(&conform, folder->file, &image, &error), -ENOEXEC);
	conform_close(&conform);
	return 0;
}

static void claims_cost_nothing(void)
{
	struct folder folder;

	folder_make(&folder);
	conform_check_child(child_in_little_memory, &folder);
	folder_remove(&folder);
}

/* ---------------------------------------------------------- writes that fail */

static void check_no_write(const struct fl_image *image, const char *path,
			   int expected, const char *says)
{
	struct fl_error error = { .text = "" };

	CHECK_EQ(fl_image_write(image, path, &error), expected);
	CHECK_EQ(error.code, expected);
	CHECK_HAS(error.text, says);
	CHECK_EQ(fl_image_write(image, path, NULL), expected);
}

/* Windows tells less. */
#ifdef _WIN32
#define NOT_A_FOLDER "No such file"
#define TOO_LONG "No such file"
#else
#define NOT_A_FOLDER "Not a directory"
#define TOO_LONG "too long"
#endif

static void nowhere_to_write(void)
{
	struct conform conform;
	struct fl_image *image;
	struct folder folder;
	struct stat status;
	char path[400];

	conform_open(&conform, NULL);
	folder_make(&folder);
	image = small_image(&conform);
	check_no_write(image, "", -EINVAL, "No such file");
	check_no_write(image, folder.path, -EINVAL, "directory");
	snprintf(path, sizeof(path), "%s/", folder.path);
	check_no_write(image, path, -EINVAL, "directory");
	snprintf(path, sizeof(path), "%s/none/image", folder.path);
	check_no_write(image, path, -EINVAL, "No such file");
	file_put(folder.other, "old", 3);
	snprintf(path, sizeof(path), "%s/image", folder.other);
	check_no_write(image, path, -EINVAL, NOT_A_FOLDER);
	snprintf(path, sizeof(path), "%s/%0300d", folder.path, 0);
	check_no_write(image, path, -EINVAL, TOO_LONG);
	CHECK_EQ(folder_count(&folder), 1);
	/* What is no file is not replaced by one. */
	MUST_EQ(mkfifo(folder.file, 0600), 0);
	check_no_write(image, folder.file, -EINVAL, "exists");
	MUST_EQ(stat(folder.file, &status), 0);
	CHECK(S_ISFIFO(status.st_mode));
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

/* A file of the same name is replaced, and a link by that name; what the link
 * points to stays. */
static void an_old_file_is_replaced(void)
{
	struct conform conform;
	struct fl_image *image, *opened;
	struct folder folder;
	struct bytes old;
	struct stat status;
	int fd;

	conform_open(&conform, NULL);
	folder_make(&folder);
	image = small_image(&conform);
	file_put(folder.file, "old", 3);
	fd = open(folder.file, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	must_write(image, folder.file);
	/* Its readers keep the old file. */
	MUST_EQ(fstat(fd, &status), 0);
	CHECK_EQ(status.st_size, 3);
	close(fd);
	opened = must_open(&conform, folder.file);
	CHECK(is_equal(image, opened));
	fl_image_release(opened);
	file_put(folder.other, "old", 3);
	MUST_EQ(unlink(folder.file), 0);
	MUST_EQ(symlink("other", folder.file), 0);
	must_write(image, folder.file);
	old = file_bytes(folder.other);
	CHECK_EQ(old.len, 3);
	free(old.bytes);
	MUST_EQ(lstat(folder.file, &status), 0);
	CHECK(S_ISREG(status.st_mode));
	CHECK_EQ(folder_count(&folder), 2);
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

/* A name without a folder is in the folder where the process is. */
static int child_in_a_folder(void *arg)
{
	const struct folder *folder = arg;
	struct conform conform;
	struct fl_image *image;

	conform_open(&conform, NULL);
	image = small_image(&conform);
	MUST_EQ(chdir(folder->path), 0);
	must_write(image, "image");
	fl_image_release(must_open(&conform, folder->file));
	fl_image_release(image);
	conform_close(&conform);
	return 0;
}

static void a_name_alone(void)
{
	struct folder folder;

	folder_make(&folder);
	conform_check_child(child_in_a_folder, &folder);
	CHECK_EQ(folder_count(&folder), 1);
	folder_remove(&folder);
}

static int child_without_rights(void *arg)
{
	const struct folder *folder = arg;
	struct conform conform;
	struct fl_image *image;

	conform_open(&conform, NULL);
	image = small_image(&conform);
	if (!geteuid())
		MUST_EQ(setuid(65534), 0);
	check_no_write(image, folder->file, -EPERM, "Permission denied");
	check_refused(&conform, folder->other, -1, 0, -EPERM);
	fl_image_release(image);
	conform_close(&conform);
	return 0;
}

static void a_folder_that_denies(void)
{
	struct folder folder;
	struct bytes old;

	folder_make(&folder);
	file_put(folder.file, "old", 3);
	file_put(folder.other, "closed", 6);
	MUST_EQ(chmod(folder.other, 0), 0);
	MUST_EQ(chmod(folder.path, 0555), 0);
	conform_check_child(child_without_rights, &folder);
	MUST_EQ(chmod(folder.path, 0700), 0);
	old = file_bytes(folder.file);
	CHECK(old.len == 3 && !memcmp(old.bytes, "old", 3));
	free(old.bytes);
	CHECK_EQ(folder_count(&folder), 2);
	folder_remove(&folder);
}

/* The kernel would end the process by SIGXFSZ. */
static int child_with_small_files(void *arg)
{
	struct rlimit limit = { 100000, 100000 };
	const struct folder *folder = arg;
	struct conform conform;
	struct fl_image *image;

	conform_open(&conform, NULL);
	image = small_image(&conform);
	MUST_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	check_no_write(image, folder->file, -ENOMEM, "ulimit -f");
	fl_image_release(image);
	conform_close(&conform);
	return 0;
}

static void the_limit_of_files_is_an_error(void)
{
	struct folder folder;
	struct bytes old;

	folder_make(&folder);
	file_put(folder.file, "old", 3);
	conform_check_child(child_with_small_files, &folder);
	old = file_bytes(folder.file);
	CHECK(old.len == 3 && !memcmp(old.bytes, "old", 3));
	free(old.bytes);
	CHECK_EQ(folder_count(&folder), 1);
	folder_remove(&folder);
}

static void an_image_that_traps(void)
{
	struct fl_segment segment = { WPAGE - 2, "beyond", 6 };
	struct fl_error error = { .text = "" };
	uint8_t digest[DIGEST];
	struct conform conform;
	struct fl_image *image;
	struct folder folder;

	conform_open(&conform, NULL);
	folder_make(&folder);
	image = conform_image(&conform, WPAGE, &segment, 1);
	check_no_write(image, folder.file, -EFAULT, "out of bounds");
	CHECK_EQ(fl_image_digest(image, digest, &error), -EFAULT);
	CHECK_EQ(error.trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
	CHECK_EQ(folder_count(&folder), 0);
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

/* ---------------------------------------------------------- what is not one */

static void check_archive(const struct fl__archive *a,
			  const struct fl__archive *b)
{
	CHECK_EQ(a->image_count, b->image_count);
	for (uint32_t i = 0; i < a->image_count; i++)
		CHECK(is_equal(a->images[i], b->images[i]));
	CHECK_EQ(a->module_count, b->module_count);
	CHECK(!memcmp(a->module_digests, b->module_digests,
		      a->module_count * (size_t)DIGEST));
	CHECK(!strcmp(a->encoding, b->encoding));
	CHECK_EQ(a->state_bytes, b->state_bytes);
	CHECK(!memcmp(a->state, b->state, a->state_bytes));
}

#define STATE_BYTES 200001

/* Images, modules and a state, most of which is zero. */
static void a_whole_archive(void)
{
	uint8_t modules[2][DIGEST] = { "one", "two" }, digest[DIGEST];
	struct fl__archive archive = { .module_digests = modules,
				       .module_count = 2,
				       .encoding = "test, 1",
				       .state_bytes = STATE_BYTES };
	struct fl_error error = { .text = "" };
	struct fl__archive opened;
	struct fl_image *images[3];
	struct conform conform;
	struct folder folder;

	conform_open(&conform, NULL);
	folder_make(&folder);
	images[0] = small_image(&conform);
	images[1] = conform_image(&conform, 0, NULL, 0);
	images[2] = conform_image_of(&conform, 9 * MIB, 8 * MIB, "third", 5);
	archive.images = images;
	archive.image_count = 3;
	archive.state = calloc(1, STATE_BYTES);
	MUST(archive.state != NULL);
	memcpy(archive.state, "state", 5);
	((uint8_t *)archive.state)[STATE_BYTES - 1] = 1;
	CONFORM_MUST(fl__archive_digest(&archive, digest, &error), &error);
	for (uint32_t flags = 0; flags < (test_needs_zstd() ? 1 : 2); flags++) {
		CONFORM_MUST(fl__archive_write(&archive, folder.file, flags,
					       &error),
			     &error);
		CONFORM_MUST(fl__archive_open(conform.context, folder.file, -1,
					      0, &opened, &error),
			     &error);
		check_archive(&archive, &opened);
		CHECK(!memcmp(opened.digest, digest, DIGEST));
		fl__archive_fini(&opened);
	}
	check_refused(&conform, folder.file, -1, 0, -EINVAL);
	memset(archive.encoding, 'x', sizeof(archive.encoding));
	CHECK_EQ(fl__archive_write(&archive, folder.file, 0, &error), -EINVAL);
	free(archive.state);
	for (int i = 0; i < 3; i++)
		fl_image_release(images[i]);
	folder_remove(&folder);
	conform_close(&conform);
}

/* Neither images nor anything else. */
static void an_empty_archive(void)
{
	struct fl__archive archive = { .encoding = "" }, opened;
	struct fl_error error = { .text = "" };
	struct conform conform;
	struct folder folder;

	conform_open(&conform, NULL);
	folder_make(&folder);
	CONFORM_MUST(fl__archive_write(&archive, folder.file, 0, &error),
		     &error);
	CONFORM_MUST(fl__archive_open(conform.context, folder.file, -1, 0,
				      &opened, &error),
		     &error);
	CHECK_EQ(opened.image_count, 0);
	CHECK_EQ(opened.state_bytes, 0);
	fl__archive_fini(&opened);
	check_refused(&conform, folder.file, -1, 0, -EINVAL);
	folder_remove(&folder);
	conform_close(&conform);
}

#define ASKERS 4

struct asker {
	struct fl_image *image;
	uint8_t digest[DIGEST];
};

static void *ask_digest(void *arg)
{
	struct asker *asker = arg;

	CHECK_EQ(fl_image_digest(asker->image, asker->digest, NULL), 0);
	return NULL;
}

static void digest_from_many_threads(void)
{
	struct asker askers[ASKERS];
	struct test_random random;
	pthread_t threads[ASKERS];
	struct conform conform;
	struct fl_image *image;
	uint8_t digest[DIGEST];

	test_random_init(&random, 24);
	conform_open(&conform, NULL);
	for (int round = 0; round < 20; round++) {
		image = random_image(&conform, &random);
		for (int i = 0; i < ASKERS; i++) {
			askers[i].image = image;
			MUST_EQ(pthread_create(&threads[i], NULL, ask_digest,
					       &askers[i]),
				0);
		}
		for (int i = 0; i < ASKERS; i++)
			pthread_join(threads[i], NULL);
		must_digest(image, digest);
		for (int i = 0; i < ASKERS; i++)
			CHECK(!memcmp(digest, askers[i].digest, DIGEST));
		fl_image_release(image);
	}
	conform_close(&conform);
}

/* ------------------------------------------------------------------ in place */

/* Where the file itself cannot be mapped the call says so. */
static bool maps_files(void)
{
	return !strcmp(test_rung->backend, "linux") &&
	       strcmp(test_rung->name, "linux_bare") != 0;
}

static struct fl_image *must_open_in_place(struct conform *conform,
					   const char *path)
{
	struct fl_error error = { .text = "" };
	struct fl_image *image = NULL;

	CONFORM_MUST(fl_image_open(conform->context, path, -1, FL_OPEN_IN_PLACE,
				   &image, &error),
		     &error);
	return image;
}

static void in_place_or_not(void)
{
	struct fl_image *image, *opened = NULL;
	struct conform conform;
	struct folder folder;

	conform_open(&conform, NULL);
	folder_make(&folder);
	image = small_image(&conform);
	must_write(image, folder.file);
	if (maps_files()) {
		opened = must_open_in_place(&conform, folder.file);
		CHECK(is_equal(image, opened));
		fl_image_release(opened);
	} else {
		check_refused(&conform, folder.file, -1, FL_OPEN_IN_PLACE,
			      -ENOTSUP);
	}
	fl_image_release(image);
	/* Nothing to map is no mapping. */
	image = conform_image(&conform, 100, NULL, 0);
	must_write(image, folder.file);
	if (maps_files()) {
		opened = must_open_in_place(&conform, folder.file);
		conform_give(conform_take(&conform, opened, 0));
		fl_image_release(opened);
	}
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

/* Random writes, some far, some grown: what each tenant finds is the image. */
static void use_tenant(struct conform *conform, struct fl_image *image,
		       const uint8_t *expected, uint64_t size,
		       struct test_random *random)
{
	struct fl_memory *memory = conform_take(conform, image, 0);
	uint64_t writes = test_random_below(random, 40), old;

	CHECK_EQ(fl_memory_length(memory), size);
	CHECK(!memcmp(memory->base, expected, size));
	for (uint64_t i = 0; i < writes; i++)
		memory->base[test_random_below(random, size)] ^= 0x5a;
	if (test_random_below(random, 8) == 0)
		memset(memory->base, 0x77, size);
	if (test_random_below(random, 4) == 0 &&
	    !fl_memory_grow(memory, 1, &old)) {
		CHECK_EQ(conform_first_data(memory->base + size, 1), 1);
		memset(memory->base + size, 0x66,
		       fl_memory_length(memory) - size);
	}
	CHECK_EQ(fl_memory_prefault(memory, 0, size < 5000 ? size : 5000), 0);
	conform_give(memory);
}

static void check_tenants(struct conform *conform, const struct folder *folder,
			  struct fl_image *image, struct test_random *random)
{
	uint64_t size = info_of(image).initial_bytes;
	struct fl_image *opened;
	uint8_t *expected = malloc(size);
	int fd;

	MUST(expected != NULL);
	must_write(image, folder->file);
	fd = open(folder->file, O_RDONLY | O_CLOEXEC);
	MUST_EQ(fl_image_open(conform->context, NULL, fd, FL_OPEN_IN_PLACE,
			      &opened, NULL),
		0);
	/* The image keeps the file by itself. */
	close(fd);
	unlink(folder->file);
	CHECK(is_equal(image, opened));
	MUST_EQ(fl_image_read(opened, 0, expected, size), 0);
	for (int i = 0; i < 24 && !test_has_failed(); i++) {
		use_tenant(conform, opened, expected, size, random);
		if (i % 8 == 7)
			use_tenant(conform, image, expected, size, random);
	}
	free(expected);
	fl_image_release(opened);
}

static void check_tenants_of_pool(const struct fl_pool_config *config,
				  uint64_t seed)
{
	struct test_random random;
	struct conform conform;
	struct folder folder;
	struct fl_image *image;

	test_random_init(&random, seed);
	conform_open(&conform, config);
	folder_make(&folder);
	for (int i = 0; i < 12 && !test_has_failed(); i++) {
		image = random_image(&conform, &random);
		check_tenants(&conform, &folder, image, &random);
		fl_image_release(image);
	}
	CHECK_EQ(conform_info(&conform).retired_memories, 0);
	folder_remove(&folder);
	conform_close(&conform);
}

static const char *can_map_files(void)
{
	return maps_files() ? NULL :
			      TEST_NOT_BUILT "this rung maps no foreign files";
}

static void in_place_tenants(void)
{
	struct fl_pool_config config;

	conform_pool_config(&config);
	config.max_memories = 1;
	config.max_memory_bytes = 5 * MIB;
	check_tenants_of_pool(&config, 31);
	config.audit_every = 1;
	check_tenants_of_pool(&config, 32);
	config.audit_every = 0;
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	check_tenants_of_pool(&config, 33);
	config.allocation = FL_ALLOCATION_POOLING;
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	check_tenants_of_pool(&config, 34);
}

/* The mapping is the file's own, not a copy's. */
static void in_place_is_the_file(void)
{
	struct conform conform;
	struct fl_memory *memory;
	struct folder folder;
	struct fl_image *image;
	char line[600];
	int found = 0;
	FILE *maps;

	conform_open(&conform, NULL);
	folder_make(&folder);
	image = small_image(&conform);
	must_write(image, folder.file);
	fl_image_release(image);
	image = must_open_in_place(&conform, folder.file);
	memory = conform_take(&conform, image, 0);
	maps = fopen("/proc/self/maps", "r");
	MUST(maps != NULL);
	while (fgets(line, sizeof(line), maps))
		found += strstr(line, folder.file) != NULL;
	fclose(maps);
	CHECK(found > 0);
	conform_give(memory);
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

/* A page that the index does not name would be mapped all the same. */
static void in_place_holes_are_zero(void)
{
	struct conform conform;
	struct folder folder;
	struct fl_image *image;
	struct fl_error error;
	struct bytes whole;
	int fd;

	conform_open(&conform, NULL);
	folder_make(&folder);
	image = small_image(&conform);
	must_write(image, folder.file);
	whole = file_bytes(folder.file);
	fd = open(folder.file, O_WRONLY | O_CLOEXEC);
	/* Page 1 of three. */
	MUST_EQ(pwrite(fd, "x", 1, (off_t)whole.len - 2 * (off_t)WPAGE + 9), 1);
	close(fd);
	check_harmless(&conform, folder.file, image);
	fl_image_release(image);
	check_refused(&conform, folder.file, -1, FL_OPEN_IN_PLACE, -ENOEXEC);
	image = NULL;
	CHECK_EQ(fl_image_open(conform.context, folder.file, -1,
			       FL_OPEN_IN_PLACE, &image, &error),
		 -ENOEXEC);
	CHECK_EQ(error.byte_off, whole.len - 2 * WPAGE);
	free(whole.bytes);
	folder_remove(&folder);
	conform_close(&conform);
}

/* 40 pages of data, of which the file keeps the first. */
static struct fl_image *large_in_place(struct conform *conform,
				       const struct folder *folder)
{
	uint64_t len = 40 * WPAGE;
	uint8_t *bytes = malloc(len);
	struct fl_image *image;

	MUST(bytes != NULL);
	memset(bytes, 0x21, len);
	image = conform_image_of(conform, len, 0, bytes, len);
	must_write(image, folder->file);
	fl_image_release(image);
	free(bytes);
	return must_open_in_place(conform, folder->file);
}

static void cut(const struct folder *folder)
{
	/* Data begins at 2 MiB, where a large page may. */
	MUST_EQ(truncate(folder->file, 35 * (off_t)WPAGE), 0);
}

static int put_back(const struct folder *folder, const struct bytes *whole)
{
	int fd = open(folder->file, O_WRONLY | O_CLOEXEC);

	MUST(fd >= 0);
	MUST_EQ(pwrite(fd, whole->bytes, whole->len, 0), whole->len);
	return close(fd);
}

static void check_lost(struct conform *conform, struct fl_image *image)
{
	struct fl_error error = { .text = "" };
	struct fl_memory_config config;
	struct fl_memory *memory = NULL;
	uint8_t bytes[100], digest[DIGEST];

	fl_memory_config_init(&config);
	config.image = image;
	CHECK_EQ(fl_memory_acquire(conform->pool, &config, &memory, &error),
		 -EIO);
	CHECK_EQ(fl_image_read(image, 0, bytes, 100), 0);
	CHECK_EQ(fl_image_read(image, 30 * WPAGE, bytes, 100), -EIO);
	CHECK_EQ(fl_image_digest(image, digest, &error), -EIO);
}

/* Tenants before, so that the slot's pages are in every state there is. */
static void cut_after(struct conform *conform, const struct folder *folder,
		      struct fl_image *image, int tenants)
{
	struct bytes whole = file_bytes(folder->file);
	struct fl_memory *memory;

	for (int i = 0; i < tenants; i++) {
		memory = conform_take(conform, image, 0);
		for (uint64_t at = 0; at < 40 * WPAGE; at += 3 * WPAGE / 2)
			memory->base[at] = (uint8_t)i;
		conform_give(memory);
	}
	memory = conform_take(conform, image, 0);
	CHECK_EQ(memory->base[39 * WPAGE], 0x21);
	for (uint64_t at = 0; at < 40 * WPAGE; at += WPAGE)
		memory->base[at] = 0x99;
	cut(folder);
	CHECK_EQ(fl_memory_prefault(memory, 20 * WPAGE, 10), -EIO);
	CHECK_EQ(fl_memory_release(memory), -EIO);
	check_lost(conform, image);
	put_back(folder, &whole);
	free(whole.bytes);
	memory = conform_take(conform, image, 0);
	CHECK_EQ(conform_first_data(memory->base, 1), 0);
	for (uint64_t at = 0; at < 40 * WPAGE; at += 4096)
		CHECK_EQ(memory->base[at], 0x21);
	conform_give(memory);
	CHECK_EQ(conform_info(conform).retired_memories, 0);
}

static void in_place_file_is_cut(void)
{
	static const int tenants[] = { 0, 1, 2, 3, 9 };
	struct conform conform;
	struct folder folder;
	struct fl_image *image;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(tenants); i++) {
		conform_open_one_slot(&conform);
		folder_make(&folder);
		image = large_in_place(&conform, &folder);
		cut_after(&conform, &folder, image, tenants[i]);
		fl_image_release(image);
		folder_remove(&folder);
		conform_close(&conform);
	}
}

/* What of a memory was written is asked of a file that has gone. The image is 40
 * pages, every second one of zeroes, which the file has and no segment names. */
static void a_cut_file_is_no_signal_to_who_asks(void)
{
	uint64_t len = 40 * WPAGE;
	uint8_t *bytes = calloc(1, len);
	struct fl_written answer = { .size = sizeof(answer) };
	struct fl_memory_run runs[64];
	struct fl_memory *memory;
	struct conform conform;
	struct folder folder;
	struct fl_image *image;
	int err;

	MUST(bytes != NULL);
	for (uint64_t at = 0; at < len; at += 2 * WPAGE)
		memset(bytes + at, 0x21, WPAGE);
	conform_open_one_slot(&conform);
	folder_make(&folder);
	image = conform_image_of(&conform, len, 0, bytes, len);
	must_write(image, folder.file);
	fl_image_release(image);
	free(bytes);
	image = must_open_in_place(&conform, folder.file);
	for (int i = 0; i < 3; i++) {
		memory = conform_take(&conform, image, 0);
		memory->base[37 * WPAGE] = memory->base[39 * WPAGE + 9] = 1;
		if (i < 2)
			conform_give(memory);
	}
	/* The first page that goes is one of zeroes. */
	cut(&folder);
	err = fl_memory_written(memory, 0, runs, 64, &answer, NULL);
	/* Other rungs see that the pages have gone, and nothing written. */
	CHECK(err == -EIO || (!err && strcmp(test_rung->how, "track")));
	CHECK_EQ(fl_memory_release(memory), -EIO);
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

struct cutter {
	struct folder *folder;
	struct bytes whole;
	uint32_t stop; /* atomic */
};

static void *cut_file(void *arg)
{
	struct cutter *c = arg;

	while (!__atomic_load_n(&c->stop, __ATOMIC_RELAXED)) {
		cut(c->folder);
		usleep(100);
		put_back(c->folder, &c->whole);
		usleep(300);
	}
	return NULL;
}

/* How many calls met the file cut. The tenants touch nothing that may go. */
static int count_lost(struct conform *conform, struct fl_image *image,
		      int rounds)
{
	struct fl_memory_config config;
	int lost = 0;

	fl_memory_config_init(&config);
	config.image = image;
	for (int i = 0; i < rounds; i++) {
		struct fl_memory *memory = NULL;
		int err = fl_memory_acquire(conform->pool, &config, &memory,
					    NULL);

		CHECK(!err || err == -EIO);
		lost += err != 0;
		if (err)
			continue;
		/* The kernel writes for the guest, or says that it cannot. */
		err = fl_memory_prefault(memory, WPAGE * (uint64_t)(i % 40), 1);
		CHECK(!err || err == -EIO);
		err = fl_memory_release(memory);
		CHECK(!err || err == -EIO);
		lost += err != 0;
	}
	return lost;
}

/* Also while an audit looks; slots that it finds other than the file of that
 * moment are retired, so there are many. */
static void check_cut(uint32_t audit_every, int rounds)
{
	struct fl_pool_config config;
	struct conform conform;
	struct folder folder;
	struct cutter cutter = { .folder = &folder };
	struct fl_image *image;
	pthread_t thread;

	conform_pool_config(&config);
	config.audit_every = audit_every;
	config.max_memories = audit_every ? (uint32_t)rounds : 1;
	conform_open(&conform, &config);
	folder_make(&folder);
	image = large_in_place(&conform, &folder);
	cutter.whole = file_bytes(folder.file);
	MUST_EQ(pthread_create(&thread, NULL, cut_file, &cutter), 0);
	test_note("%d calls met a file that was cut",
		  count_lost(&conform, image, rounds));
	__atomic_store_n(&cutter.stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	if (!audit_every)
		CHECK_EQ(conform_info(&conform).retired_memories, 0);
	free(cutter.whole.bytes);
	fl_image_release(image);
	folder_remove(&folder);
	conform_close(&conform);
}

/* At any moment of a release, and of an acquire. */
static void in_place_cut_at_any_moment(void)
{
	check_cut(0, 3000);
	check_cut(1, 300);
}

/* ---------------------------------------------------------- prefork workers */

struct prefork {
	struct conform conform;
	struct fl_image *image;
	struct folder folder;
};

/* The parent's image can be read and written to a file, and serves no pool of
 * the child's; what the child opens itself does. */
static int prefork_worker(void *arg)
{
	struct prefork *parent = arg;
	struct fl_memory_config config;
	struct fl_memory *memory;
	struct fl_image *mine;
	struct fl_pool *pool;
	struct conform own;

	CHECK_EQ(fl_pool_create(parent->conform.context, NULL, &pool, NULL),
		 -ECHILD);
	must_write(parent->image, parent->folder.other);
	conform_open(&own, NULL);
	fl_memory_config_init(&config);
	config.image = parent->image;
	CHECK_EQ(fl_memory_acquire(own.pool, &config, &memory, NULL), -EINVAL);
	mine = must_open(&own, parent->folder.file);
	CHECK(has_bytes_of(parent->image, mine));
	for (int i = 0; i < 2; i++) {
		memory = conform_take(&own, mine, 0);
		CHECK(!memcmp(memory->base + 70000, "worker", 6));
		memory->base[70000] = 0;
		conform_give(memory);
	}
	fl_image_release(mine);
	conform_close(&own);
	fl_image_release(parent->image);
	return 0;
}

static void prefork_workers(void)
{
	struct prefork parent;
	struct fl_memory *memory;

	folder_make(&parent.folder);
	conform_open(&parent.conform, NULL);
	parent.image = conform_image_of(&parent.conform, 2 * WPAGE, 70000,
					"worker", 6);
	must_write(parent.image, parent.folder.file);
	for (int i = 0; i < 2; i++)
		conform_check_child(prefork_worker, &parent);
	memory = conform_take(&parent.conform, parent.image, 0);
	CHECK(!memcmp(memory->base + 70000, "worker", 6));
	conform_give(memory);
	fl_image_release(parent.image);
	conform_close(&parent.conform);
	folder_remove(&parent.folder);
}

static const struct test_case cases[] = {
	TEST_CASE(random_images),
	TEST_CASE(sizes_of_every_kind),
	TEST_CASE(pages_of_zeroes_are_holes),
	TEST_CASE(a_memory_shows_the_file),
	TEST_CASE(by_descriptor),
	TEST_CASE(what_cannot_be_read),
	TEST_CASE(what_is_no_regular_file),
	TEST_CASE(errors_name_the_file),
	TEST_CASE(every_cut),
	TEST_CASE_NEEDS(gib_behind_the_end, can_make_large_files),
	TEST_CASE(changed_tables),
	TEST_CASE(changed_bytes),
	TEST_CASE_NEEDS(changed_while_opened, test_needs_names_that_go),
	TEST_CASE_NEEDS(claims_cost_nothing, can_limit_memory),
	TEST_CASE(nowhere_to_write),
	TEST_CASE_NEEDS(an_old_file_is_replaced, test_needs_names_that_go),
	TEST_CASE(a_name_alone),
	TEST_CASE(a_folder_that_denies),
	TEST_CASE(the_limit_of_files_is_an_error),
	TEST_CASE(an_image_that_traps),
	TEST_CASE(prefork_workers),
	TEST_CASE(a_whole_archive),
	TEST_CASE(an_empty_archive),
	TEST_CASE(digest_from_many_threads),
	TEST_CASE(in_place_or_not),
	TEST_CASE_NEEDS(in_place_tenants, can_map_files),
	TEST_CASE_NEEDS(in_place_is_the_file, can_map_files),
	TEST_CASE_NEEDS(in_place_holes_are_zero, can_map_files),
	TEST_CASE_NEEDS(in_place_file_is_cut, can_map_files),
	TEST_CASE_NEEDS(a_cut_file_is_no_signal_to_who_asks, can_map_files),
	TEST_CASE_NEEDS(in_place_cut_at_any_moment, can_map_files),
};

CONFORM_MAIN(cases)
