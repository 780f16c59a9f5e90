/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * image_source.c - images from page sources: each source and each way gives the
 * image that was written; what a source does wrong while an image is opened is
 * an error in time, and nothing is left over.
 */
#include "tests/kit/conform.h"
#include "tests/kit/page_source.h"
#include "tests/kit/random.h"

#include <stdlib.h>

#define PAGES 24
/* In which a source answers, however busy the host; and one that will not. */
#define PATIENCE_NS 40000000000u
#define IMPATIENCE_NS 50000000u

/* Pages of noise, some of zeroes, and a long gap. */
static struct fl_image *noisy_image(struct conform *conform)
{
	static uint8_t bytes[PAGES * 65536];
	struct fl_segment segments[2] = {
		{ WPAGE, bytes, (PAGES - 4) * WPAGE },
		{ 45 * WPAGE + 100, bytes + (PAGES - 4) * WPAGE, 4 * WPAGE },
	};
	struct test_random random;

	test_random_init(&random, 12);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = i / WPAGE % 5 == 3 ?
				   0 :
				   (uint8_t)test_random_next(&random);
	return conform_image(conform, 50 * WPAGE + 10, segments, 2);
}

static void check_equal(const struct fl_image *a, const struct fl_image *b)
{
	struct fl_image_info info = { .size = sizeof(info) };
	uint64_t len;
	uint8_t *mine, *theirs;

	fl_image_info(a, &info);
	len = info.initial_bytes;
	fl_image_info(b, &info);
	MUST_EQ(info.initial_bytes, len);
	mine = malloc(len);
	theirs = malloc(len);
	MUST(mine && theirs);
	CHECK_EQ(fl_image_read(a, 0, mine, len), 0);
	CHECK_EQ(fl_image_read(b, 0, theirs, len), 0);
	CHECK(!memcmp(mine, theirs, len));
	free(mine);
	free(theirs);
}

static enum fl_load_way way_of(const struct fl_image *image)
{
	struct fl_image_loading loading = { .size = sizeof(loading) };

	fl_image_loading(image, &loading);
	CHECK(loading.reason && loading.reason[0]);
	return loading.way;
}

static int open_source(struct conform *conform, struct fl_page_source *source,
		       enum fl_load_way way, uint64_t deadline_ns,
		       struct fl_image **image, struct fl_error *error)
{
	struct fl_load_config config;

	*image = NULL;
	error->text[0] = '\0';
	fl_load_config_init(&config);
	config.way = way;
	config.deadline_ns = deadline_ns;
	if (way == FL_LOAD_IN_PLACE)
		config.open_flags = FL_OPEN_IN_PLACE;
	return fl_image_open_source(conform->context, source, &config, image,
				    error);
}

static void check_way(struct conform *conform, struct fl_page_source *source,
		      struct fl_image *image, enum fl_load_way way)
{
	struct fl_error error;
	struct fl_image *opened;
	uint8_t digests[2][32];
	int err =
		open_source(conform, source, way, PATIENCE_NS, &opened, &error);

	if (err == -ENOTSUP && way != FL_LOAD_WHOLE && way != FL_LOAD_AUTO) {
		CHECK(error.text[0]);
		if (way == FL_LOAD_LAZY)
			CHECK_HAS(error.text, "use FL_LOAD_AUTO");
		return;
	}
	CONFORM_MUST(err, &error);
	if (way)
		CHECK_EQ(way_of(opened), way);
	else
		CHECK(way_of(opened) != FL_LOAD_AUTO);
	check_equal(image, opened);
	CHECK_EQ(fl_image_digest(image, digests[0], &error), 0);
	CHECK_EQ(fl_image_digest(opened, digests[1], &error), 0);
	CHECK(!memcmp(digests[0], digests[1], 32));
	fl_image_release(opened);
}

static void check_ways(struct conform *conform, struct fl_page_source *source,
		       struct fl_image *image)
{
	for (int way = FL_LOAD_AUTO; way <= FL_LOAD_WHOLE; way++)
		check_way(conform, source, image, (enum fl_load_way)way);
}

static void count_release(void *user, const void *bytes)
{
	++*(int *)user;
	free((void *)(uintptr_t)bytes);
}

static void every_source_and_way(void)
{
	struct fl_error error = { .text = "" };
	struct fl_page_source *source;
	struct test_source own;
	struct conform conform;
	struct test_file file;
	struct fl_image *image;
	char path[64] = "/tmp/fl-source-XXXXXX";
	int fd, released = 0;

	conform_open(&conform, NULL);
	image = noisy_image(&conform);
	file = test_file_of(image);
	for (int is_async = 0; is_async < 2; is_async++) {
		test_source_open(&own, file, is_async);
		check_ways(&conform, own.source, image);
		fl_page_source_release(own.source);
		CHECK(own.is_closed);
	}
	fd = mkstemp(path);
	MUST(fd >= 0);
	MUST_EQ(write(fd, file.bytes, file.len), file.len);
	CONFORM_MUST(fl_page_source_from_file(path, -1, &source, &error),
		     &error);
	check_ways(&conform, source, image);
	fl_page_source_release(source);
	CONFORM_MUST(fl_page_source_from_file(NULL, fd, &source, &error),
		     &error);
	close(fd);
	unlink(path);
	check_ways(&conform, source, image);
	fl_page_source_release(source);
	CONFORM_MUST(fl_page_source_from_bytes(file.bytes, file.len,
					       count_release, &released,
					       &source, &error),
		     &error);
	check_ways(&conform, source, image);
	CHECK_EQ(released, 0);
	fl_page_source_release(source);
	CHECK_EQ(released, 1);
	fl_image_release(image);
	conform_close(&conform);
}

/* Answers that are late, short, twice and out of order make no difference. */
static void odd_answers(void)
{
	struct test_source own;
	struct conform conform;
	struct test_file file;
	struct fl_image *image;

	conform_open(&conform, NULL);
	image = noisy_image(&conform);
	file = test_file_of(image);
	for (int is_async = 0; is_async < 2; is_async++) {
		test_source_open(&own, file, is_async);
		test_source_set(&own.mischief.is_short, 1);
		test_source_set(&own.mischief.is_twice, 1);
		test_source_set(&own.mischief.is_unordered, 1);
		check_way(&conform, own.source, image, FL_LOAD_WHOLE);
		check_way(&conform, own.source, image, FL_LOAD_AUTO);
		fl_page_source_release(own.source);
	}
	free(file.bytes);
	fl_image_release(image);
	conform_close(&conform);
}

static void check_refused(struct conform *conform, struct test_source *own,
			  int expected)
{
	struct fl_error error;
	struct fl_image *opened;

	CHECK_EQ(open_source(conform, own->source, FL_LOAD_WHOLE,
			     expected == -ETIMEDOUT ? IMPATIENCE_NS :
						      PATIENCE_NS,
			     &opened, &error),
		 expected);
	CHECK(error.text[0]);
	test_source_behave(own);
}

static void a_source_that_fails(void)
{
	struct test_source own;
	struct conform conform;
	struct test_file file;
	struct fl_image *image;

	conform_open(&conform, NULL);
	image = noisy_image(&conform);
	file = test_file_of(image);
	for (uint32_t is_async = 0; is_async < 2; is_async++) {
		test_source_open(&own, file, is_async);
		test_source_set(&own.mischief.fail_every, 3);
		__atomic_store_n(&own.mischief.fail_err, -EIO,
				 __ATOMIC_RELAXED);
		check_refused(&conform, &own, -EIO);
		test_source_set(&own.mischief.wrong_every, 5);
		check_refused(&conform, &own, -ENOEXEC);
		test_source_set(&own.mischief.end_early,
				(uint32_t)file.len - 70000);
		check_refused(&conform, &own, -ENOEXEC);
		if (is_async) {
			test_source_set(&own.mischief.is_silent, 1);
			check_refused(&conform, &own, -ETIMEDOUT);
			test_source_set(&own.mischief.is_silent, 1);
			test_source_set(&own.mischief.is_deaf, 1);
			check_refused(&conform, &own, -ETIMEDOUT);
			CHECK_EQ(__atomic_load_n(&own.cancels,
						 __ATOMIC_RELAXED),
				 2);
		}
		check_way(&conform, own.source, image, FL_LOAD_WHOLE);
		fl_page_source_release(own.source);
		CHECK(own.is_closed);
	}
	free(file.bytes);
	fl_image_release(image);
	conform_close(&conform);
}

/* A source that says one thing to each read from nth_to_fail on: in its answer, by
 * done before it answers, or by not beginning. */
struct liar {
	struct test_file file;
	int64_t says;
	uint32_t nth_to_fail, reads;
	bool is_async, is_done_first;
};

static int64_t liar_read(void *user, const struct fl_page_read *read)
{
	struct liar *liar = user;
	int64_t result = liar->says;

	if (++liar->reads < liar->nth_to_fail) {
		result = (int64_t)read->length_bytes;
		memcpy(read->dst, liar->file.bytes + read->offset_bytes,
		       read->length_bytes);
	} else if (!liar->is_done_first) {
		return result;
	}
	if (!liar->is_async)
		return result;
	fl_page_source_done(read->source, read->ticket, result);
	return 0;
}

static struct fl_page_source *liar_open(struct liar *liar)
{
	struct fl_page_source_config config;
	struct fl_page_source *source = NULL;
	struct fl_error error = { .text = "" };

	fl_page_source_config_init(&config);
	config.length_bytes = liar->file.len;
	config.user = liar;
	config.read = liar_read;
	config.is_async = liar->is_async;
	CONFORM_MUST(fl_page_source_create(&config, &source, &error), &error);
	return source;
}

/* What the header lists for what a source may say. */
static int told(int64_t said)
{
	switch (said) {
	case -ENOMEM:
	case -EMFILE:
	case -ENFILE:
	case -EFBIG:
	case -ENOSPC:
#ifdef EDQUOT
	case -EDQUOT:
#endif
		return -ENOMEM;
	case -EPERM:
	case -EACCES:
		return -EPERM;
	case -ETIMEDOUT:
		return -ETIMEDOUT;
	default:
		return -EIO;
	}
}

static void check_told(struct conform *conform, struct liar *liar, int64_t says,
		       uint32_t nth)
{
	struct fl_page_source *source;
	struct fl_image *opened;
	struct fl_error error;

	liar->says = says;
	liar->nth_to_fail = nth;
	liar->reads = 0;
	source = liar_open(liar);
	CHECK_EQ(open_source(conform, source, FL_LOAD_WHOLE, PATIENCE_NS,
			     &opened, &error),
		 told(says));
	if (says > -4096 && says != -ETIMEDOUT)
		CHECK_HAS(error.text, strerror((int)-says));
	if (test_has_failed())
		test_note("the source said %lld to read %u", (long long)says,
			  nth);
	fl_page_source_release(source);
}

/* The header, the tables, the pages: no errno of the source's is an argument of
 * the caller's, and each is told in words. */
static void every_errno_of_a_source(void)
{
	static const int64_t beyond[] = { -4095, -4096, -5000, INT32_MIN,
					  INT64_MIN };
	struct conform conform;
	struct fl_image *image;

	conform_open(&conform, NULL);
	image = noisy_image(&conform);
	for (int way = 0; way < 3 && !test_has_failed(); way++) {
		struct liar liar = { .file = test_file_of(image),
				     .is_async = way > 0,
				     .is_done_first = way == 2 };

		for (int64_t err = 1; err < 140; err++) {
			check_told(&conform, &liar, -err, 1);
			check_told(&conform, &liar, -err, 2);
			check_told(&conform, &liar, -err, 4);
		}
		for (size_t i = 0; i < TEST_ARRAY_SIZE(beyond); i++)
			check_told(&conform, &liar, beyond[i], 1);
		free(liar.file.bytes);
	}
	fl_image_release(image);
	conform_close(&conform);
}

static void configurations_that_are_refused(void)
{
	struct fl_error error = { .text = "" };
	struct fl_page_source_config config;
	struct fl_page_source *source = NULL;
	struct fl_load_config load;
	struct conform conform;
	struct fl_image *image = NULL;

	conform_open(&conform, NULL);
	fl_page_source_config_init(&config);
	CHECK_EQ(fl_page_source_create(&config, &source, &error), -EINVAL);
	CHECK_EQ(fl_page_source_from_file("/nowhere/at/all", -1, &source,
					  &error),
		 -EINVAL);
	CHECK_EQ(fl_page_source_from_bytes(NULL, 5, NULL, NULL, &source,
					   &error),
		 -EINVAL);
	CONFORM_MUST(fl_page_source_from_bytes("none", 4, NULL, NULL, &source,
					       &error),
		     &error);
	fl_load_config_init(&load);
	CHECK_EQ(fl_image_open_source(conform.context, source, &load, &image,
				      &error),
		 -ENOEXEC);
	load.way = (enum fl_load_way)9;
	CHECK_EQ(fl_image_open_source(conform.context, source, &load, &image,
				      &error),
		 -EINVAL);
	load.way = FL_LOAD_IN_PLACE;
	CHECK_EQ(fl_image_open_source(conform.context, source, &load, &image,
				      &error),
		 -ENOTSUP);
	fl_page_source_release(source);
	fl_page_source_release(NULL);
	CHECK(!image);
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE(every_source_and_way),
	TEST_CASE(odd_answers),
	TEST_CASE(a_source_that_fails),
	TEST_CASE(every_errno_of_a_source),
	TEST_CASE(configurations_that_are_refused),
};

CONFORM_MAIN(cases)
