/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* page_source.c - page sources that misbehave; see page_source.h. */
#include "page_source.h"
#include "check.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_OPEN 256

struct open_read {
	struct fl_page_read read;
	uint32_t nth;
	bool is_cancelled;
};

struct test_source_threads {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	struct open_read reads[MAX_OPEN];
	unsigned int count;
	bool is_stopping;
};

static struct test_file file_of(int (*write)(const void *from, const char *path,
					     struct fl_error *error),
				const void *from)
{
	const char *base = access("/var/tmp", W_OK) ? "/tmp" : "/var/tmp";
	struct fl_error error = { .text = "" };
	struct test_file file = { NULL, 0 };
	char folder[64], path[80];
	struct stat status;
	int fd;

	snprintf(folder, sizeof(folder), "%s/fl-source-XXXXXX", base);
	MUST(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/file", folder);
	MUST_EQ(write(from, path, &error), 0);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	MUST_EQ(fstat(fd, &status), 0);
	file.len = (uint64_t)status.st_size;
	file.bytes = malloc(file.len + 1);
	MUST(file.bytes != NULL);
	MUST_EQ(pread(fd, file.bytes, file.len, 0), file.len);
	close(fd);
	unlink(path);
	rmdir(folder);
	return file;
}

static int write_image(const void *from, const char *path,
		       struct fl_error *error)
{
	return fl_image_write(from, path, error);
}

static int write_snapshot(const void *from, const char *path,
			  struct fl_error *error)
{
	return fl_snapshot_write(from, path, error);
}

struct test_file test_file_of(const struct fl_image *image)
{
	return file_of(write_image, image);
}

static int write_packed(const void *from, const char *path,
			struct fl_error *error)
{
	return fl_image_write_as(from, path, FL_WRITE_ZSTD, error);
}

struct test_file test_packed_file_of(const struct fl_image *image)
{
	return file_of(write_packed, image);
}

const char *test_needs_zstd(void)
{
	struct fl_packed_info info = { .size = sizeof(info) };

	return fl_packed_info(NULL, 0, &info, NULL) == -ENOTSUP ? TEST_NOT_BUILT
		       "libzstd is not there" :
								  NULL;
}

struct test_file test_file_of_snapshot(const struct fl_snapshot *snapshot)
{
	return file_of(write_snapshot, snapshot);
}

static uint32_t get(const uint32_t *field)
{
	return __atomic_load_n(field, __ATOMIC_RELAXED);
}

static bool is_nth(uint32_t every, uint32_t nth)
{
	return every && nth % every == 0;
}

/* Only reads of pages are counted and can fail: an image that cannot be opened
 * is another test. */
static bool is_page(const struct fl_page_read *read)
{
	return read->length_bytes > 4096;
}

static int64_t answer(struct test_source *source,
		      const struct fl_page_read *read, uint32_t nth)
{
	const struct test_mischief *m = &source->mischief;
	uint64_t end = source->file.len, len = read->length_bytes;

	if (get(&m->is_late))
		usleep(100 + nth % 7 * 100);
	if (is_page(read) && is_nth(get(&m->fail_every), nth))
		return (int32_t)__atomic_load_n(&m->fail_err, __ATOMIC_RELAXED);
	if (get(&m->end_early) && is_page(read) && get(&m->end_early) < end)
		end = get(&m->end_early);
	if (read->offset_bytes >= end)
		return 0;
	if (len > end - read->offset_bytes)
		len = end - read->offset_bytes;
	if (get(&m->is_short) && len > 1)
		len = 1 + nth * 7919u % (len - 1);
	memcpy(read->dst, source->file.bytes + read->offset_bytes, len);
	if (is_page(read) && is_nth(get(&m->wrong_every), nth))
		((uint8_t *)read->dst)[len / 2] ^= 1;
	return (int64_t)len;
}

static uint32_t count_read(struct test_source *source,
			   const struct fl_page_read *read)
{
	if (!is_page(read))
		return 1;
	return (uint32_t)__atomic_add_fetch(&source->reads, 1,
					    __ATOMIC_RELAXED);
}

static int64_t read_now(void *user, const struct fl_page_read *read)
{
	struct test_source *source = user;

	return answer(source, read, count_read(source, read));
}

static int64_t read_later(void *user, const struct fl_page_read *read)
{
	struct test_source *source = user;
	struct test_source_threads *threads = source->threads;
	int64_t err = 0;

	pthread_mutex_lock(&threads->lock);
	if (threads->count < MAX_OPEN)
		threads->reads[threads->count++] =
			(struct open_read){ *read, count_read(source, read),
					    false };
	else
		err = -EBUSY;
	pthread_cond_signal(&threads->cond);
	pthread_mutex_unlock(&threads->lock);
	return err;
}

static void cancel(void *user, uint64_t ticket)
{
	struct test_source *source = user;
	struct test_source_threads *threads = source->threads;

	__atomic_add_fetch(&source->cancels, 1, __ATOMIC_RELAXED);
	if (!threads)
		return;
	pthread_mutex_lock(&threads->lock);
	for (unsigned int i = 0; i < threads->count; i++) {
		if (threads->reads[i].read.ticket == ticket)
			threads->reads[i].is_cancelled = true;
	}
	pthread_cond_signal(&threads->cond);
	pthread_mutex_unlock(&threads->lock);
}

static bool is_silent(const struct test_source *source,
		      const struct open_read *open)
{
	const struct test_mischief *m = &source->mischief;
	uint32_t below = get(&m->silent_below);

	return get(&m->is_silent) && is_page(&open->read) &&
	       (!below || open->read.length_bytes < below) &&
	       (!open->is_cancelled || get(&m->is_deaf));
}

/* The index of a read to answer, or MAX_OPEN. */
static unsigned int pick(const struct test_source *source)
{
	const struct test_source_threads *threads = source->threads;
	const struct test_mischief *m = &source->mischief;
	unsigned int picked = MAX_OPEN;

	for (unsigned int i = 0; i < threads->count; i++) {
		if (is_silent(source, &threads->reads[i]))
			continue;
		picked = i;
		if (!get(&m->is_unordered))
			break;
	}
	return picked;
}

static void *answer_run(void *arg)
{
	struct test_source *source = arg;
	struct test_source_threads *threads = source->threads;

	pthread_mutex_lock(&threads->lock);
	while (!threads->is_stopping) {
		unsigned int i = pick(source);
		struct open_read open;
		int64_t result;

		if (i == MAX_OPEN) {
			pthread_cond_wait(&threads->cond, &threads->lock);
			continue;
		}
		open = threads->reads[i];
		memmove(&threads->reads[i], &threads->reads[i + 1],
			(threads->count - i - 1) * sizeof(open));
		threads->count--;
		pthread_mutex_unlock(&threads->lock);
		result = open.is_cancelled &&
					 !get(&source->mischief.is_stubborn) ?
				 -EIO :
				 answer(source, &open.read, open.nth);
		fl_page_source_done(open.read.source, open.read.ticket, result);
		if (get(&source->mischief.is_twice)) {
			fl_page_source_done(open.read.source, open.read.ticket,
					    result);
			fl_page_source_done(open.read.source, UINT64_MAX, 5);
		}
		pthread_mutex_lock(&threads->lock);
	}
	pthread_mutex_unlock(&threads->lock);
	return NULL;
}

static void source_close(void *user)
{
	struct test_source *source = user;
	struct test_source_threads *threads = source->threads;

	if (threads) {
		pthread_mutex_lock(&threads->lock);
		threads->is_stopping = true;
		pthread_cond_signal(&threads->cond);
		pthread_mutex_unlock(&threads->lock);
		pthread_join(threads->thread, NULL);
		pthread_cond_destroy(&threads->cond);
		pthread_mutex_destroy(&threads->lock);
		free(threads);
	}
	__atomic_store_n(&source->is_closed, true, __ATOMIC_RELAXED);
}

void test_source_open(struct test_source *source, struct test_file file,
		      bool is_async)
{
	struct fl_page_source_config config;
	struct fl_error error = { .text = "" };

	memset(source, 0, sizeof(*source));
	source->file = file;
	fl_page_source_config_init(&config);
	config.length_bytes = file.len;
	config.user = source;
	config.read = is_async ? read_later : read_now;
	config.cancel = cancel;
	config.close = source_close;
	config.is_async = is_async;
	if (is_async) {
		source->threads = calloc(1, sizeof(*source->threads));
		MUST(source->threads != NULL);
		pthread_mutex_init(&source->threads->lock, NULL);
		pthread_cond_init(&source->threads->cond, NULL);
		MUST_EQ(pthread_create(&source->threads->thread, NULL,
				       answer_run, source),
			0);
	}
	MUST_EQ(fl_page_source_create(&config, &source->source, &error), 0);
}

void test_source_kick(struct test_source *source)
{
	pthread_mutex_lock(&source->threads->lock);
	pthread_cond_signal(&source->threads->cond);
	pthread_mutex_unlock(&source->threads->lock);
}

void test_source_set(uint32_t *field, uint32_t value)
{
	__atomic_store_n(field, value, __ATOMIC_RELAXED);
}

void test_source_behave(struct test_source *source)
{
	struct test_mischief *m = &source->mischief;

	test_source_set(&m->fail_every, 0);
	test_source_set(&m->is_late, 0);
	test_source_set(&m->is_short, 0);
	test_source_set(&m->is_twice, 0);
	test_source_set(&m->is_unordered, 0);
	test_source_set(&m->is_silent, 0);
	test_source_set(&m->is_deaf, 0);
	test_source_set(&m->is_stubborn, 0);
	test_source_set(&m->silent_below, 0);
	test_source_set(&m->wrong_every, 0);
	test_source_set(&m->end_early, 0);
}
