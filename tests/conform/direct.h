/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * direct.h - a local file, and a lazy image of it that is read past the page cache.
 *
 * The file is raw or packed; pages of a packed one lie at odd offsets.
 */
#ifndef TEST_DIRECT_H
#define TEST_DIRECT_H

#include "tests/kit/conform.h"
#include "tests/kit/page_source.h"
#include "tests/kit/procfs.h"
#include "tests/kit/random.h"
#include "tests/kit/readers.h"
#include "tests/kit/toc_bytes.h"

#define PAGES ((uint64_t)40)
#define HPAGE ((uint64_t)4096)

struct host {
	struct conform conform;
	struct test_file file;
	struct fl_page_source *source;
	struct fl_image *image;
	uint8_t *bytes;
	char path[64], set_path[64];
	int fd;
};

static inline int open_as(const struct host *host,
			  struct fl_page_source *source,
			  const struct fl_load_config *asked,
			  struct fl_image **image, struct fl_error *error)
{
	*image = NULL;
	error->text[0] = '\0';
	return fl_image_open_source(host->conform.context, source, asked, image,
				    error);
}

static inline struct fl_load_config config_of(enum fl_load_way way,
					      enum fl_load_read read)
{
	struct fl_load_config config;

	fl_load_config_init(&config);
	config.way = way;
	config.read = read;
	if (way == FL_LOAD_IN_PLACE)
		config.open_flags = FL_OPEN_IN_PLACE;
	return config;
}

static inline struct fl_image *must_open(const struct host *host,
					 enum fl_load_way way,
					 enum fl_load_read read,
					 const char *set_path)
{
	struct fl_load_config config = config_of(way, read);
	struct fl_error error;
	struct fl_image *image;

	config.working_set_path = set_path;
	CONFORM_MUST(open_as(host, host->source, &config, &image, &error),
		     &error);
	return image;
}

static inline void drop_image(const struct host *host, struct fl_image *image)
{
	CHECK_EQ(fl_pool_purge(host->conform.pool, NULL, image, NULL), 0);
	fl_image_release(image);
}

static inline void reopen(struct host *host, enum fl_load_read read,
			  const char *set_path)
{
	drop_image(host, host->image);
	host->image = must_open(host, FL_LOAD_LAZY, read, set_path);
}

/* A third of the pages is noise, which packs to no less than itself. The last page
 * packs, and so the file ends with it, where no block of a disk ends. */
static inline void bytes_make(struct host *host)
{
	struct test_random random;

	host->bytes = malloc(PAGES * WPAGE);
	MUST(host->bytes != NULL);
	test_random_init(&random, 29);
	test_random_fill(&random, host->bytes, PAGES * WPAGE);
	for (uint64_t i = 0; i < PAGES * WPAGE; i++) {
		if (i / WPAGE % 3 == 0)
			host->bytes[i] &= 0x0f;
		else if (i / WPAGE % 3 == 1 && i % WPAGE > 5 * HPAGE)
			host->bytes[i] = (uint8_t)(i / HPAGE + 1);
	}
}

static inline int path_make(char path[64], const char *pattern)
{
	int fd;

	strcpy(path, pattern);
	fd = mkstemp(path);
	MUST(fd >= 0);
	return fd;
}

static inline void file_write(const struct host *host)
{
	MUST_EQ(pwrite(host->fd, host->file.bytes, host->file.len, 0),
		(ssize_t)host->file.len);
}

static inline void host_open(struct host *host, bool is_packed)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_image *plain;

	conform_pool_config(&config);
	config.max_memories = config.max_instances = TEST_READERS + 2;
	config.audit_every = 1;
	conform_open(&host->conform, &config);
	bytes_make(host);
	plain = conform_image_of(&host->conform, PAGES * WPAGE, 0, host->bytes,
				 PAGES * WPAGE);
	host->file = is_packed ? test_packed_file_of(plain) :
				 test_file_of(plain);
	fl_image_release(plain);
	host->fd = path_make(host->path, "/tmp/fl-direct-XXXXXX");
	close(path_make(host->set_path, "/tmp/fl-direct-set-XXXXXX"));
	file_write(host);
	CONFORM_MUST(fl_page_source_from_file(host->path, -1, &host->source,
					      &error),
		     &error);
	host->image = must_open(host, FL_LOAD_LAZY, FL_READ_DIRECT, NULL);
}

static inline void host_close(struct host *host)
{
	CHECK_EQ(conform_info(&host->conform).retired_memories, 0);
	fl_image_release(host->image);
	fl_page_source_release(host->source);
	conform_close(&host->conform);
	close(host->fd);
	unlink(host->path);
	unlink(host->set_path);
	free(host->file.bytes);
	free(host->bytes);
}

static inline void run_file(bool is_packed, void (*run)(struct host *host))
{
	struct host host;

	if (is_packed && test_needs_zstd())
		return;
	host_open(&host, is_packed);
	run(&host);
	host_close(&host);
}

/* Of each kind of file, by the ring, if there is one, and without. */
static inline void each_way(void (*run)(struct host *host))
{
	for (int is_packed = 0; is_packed < 2; is_packed++) {
		struct conform_disabled before;

		run_file(is_packed, run);
		before = conform_disable("io-uring");
		run_file(is_packed, run);
		conform_enable(&before);
	}
}

static inline struct fl_memory *take(struct host *host)
{
	return conform_take(&host->conform, host->image, 0);
}

static inline bool shows(const struct host *host,
			 const struct fl_memory *memory)
{
	return !memcmp(memory->base, host->bytes, PAGES * WPAGE);
}

static inline struct fl_image_loading loading_of(const struct fl_image *image)
{
	struct fl_image_loading loading = { .size = sizeof(loading) };

	fl_image_loading(image, &loading);
	return loading;
}

/* How many host pages of the file's pages are in the page cache. The host page in
 * which the index ends does not count. */
static inline uint64_t cached(const struct host *host)
{
	return procfs_cached(
		host->fd, conform_round_up(toc_bytes_off(host->file.bytes, 0),
					   conform_hpage()));
}

/* All of it, by many threads. */
static inline void read_all(struct host *host)
{
	struct test_readers readers;

	test_readers_start(&readers, host->conform.pool, host->image,
			   host->bytes, PAGES);
	CHECK_EQ(test_readers_end(&readers), 0);
	if (loading_of(host->image).way == FL_LOAD_LAZY)
		(void)conform_loading(host->image, PAGES);
	CHECK_EQ(loading_of(host->image).failed_loads, 0);
}

/* A tenant that touches some blocks, and the set that they make. */
static inline void record(struct host *host)
{
	struct fl_error error = { .text = "" };
	struct fl_memory *memory = take(host);

	for (uint64_t w = 1; w < PAGES; w += 2) {
		for (uint64_t block = w % 5; block < 16; block += 1 + w % 7) {
			uint64_t off = w * WPAGE + block * HPAGE + 9;

			CHECK_EQ(memory->base[off], host->bytes[off]);
		}
	}
	conform_give(memory);
	CONFORM_MUST(fl_image_write_working_set(host->image, host->set_path,
						&error),
		     &error);
}

/* A file that was read anew is not in the page cache. */
static inline const char *needs_direct(void)
{
	const char *lacks = conform_needs_lazy();
	char path[64];
	int fd;

	if (!lacks)
		lacks = test_needs_direct();
	if (lacks)
		return lacks;
	fd = path_make(path, "/tmp/fl-direct-XXXXXX");
	MUST_EQ(pwrite(fd, path, sizeof(path), 0), sizeof(path));
	procfs_drop_cached(fd);
	if (procfs_cached(fd, 0))
		lacks = "files in /tmp are always in memory";
	close(fd);
	unlink(path);
	return lacks;
}

#endif
