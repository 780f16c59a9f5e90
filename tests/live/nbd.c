/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * nbd.c - images over NBD, from a real nbdkit.
 *
 * Each case starts nbdkit on a socket in a folder of its own, with the file of an
 * image, and kills it at the end or in between.
 */
#define _GNU_SOURCE
#include "tests/kit/clock.h"
#include "tests/kit/conform.h"
#include "tests/kit/nbdkit.h"
#include "tests/kit/page_source.h"

#include "lib/adapters/nbd/faultline-nbd.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#define SECOND UINT64_C(1000000000)
/* In which the server answers, however busy the host. */
#define PATIENCE (40 * SECOND)
#define IMAGE_BYTES (32 * WPAGE)

struct server {
	char folder[32], file[64], socket[64], uri[96];
	const char *delay; /* of each read; NULL: none */
	pid_t pid;
};

static int child_serves(void *arg)
{
	const struct server *server = arg;

	nbdkit_become(server->socket, server->file,
		      server->delay ? server->delay : "0");
	return 1;
}

static void server_start(struct server *server, const char *delay)
{
	server->delay = delay;
	unlink(server->socket);
	server->pid = test_spawn(child_serves, server, 60);
	for (int i = 0; i < 4000 && !nbdkit_listens(server->socket); i++)
		usleep(10000);
	MUST(nbdkit_listens(server->socket));
}

static void server_open(struct server *server, struct test_file file,
			const char *delay)
{
	int fd;

	memset(server, 0, sizeof(*server));
	strcpy(server->folder, "/tmp/fl-nbd-XXXXXX");
	MUST(mkdtemp(server->folder) != NULL);
	snprintf(server->file, sizeof(server->file), "%s/file", server->folder);
	snprintf(server->socket, sizeof(server->socket), "%s/socket",
		 server->folder);
	snprintf(server->uri, sizeof(server->uri), "nbd+unix:///?socket=%s",
		 server->socket);
	fd = open(server->file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0);
	MUST_EQ(write(fd, file.bytes, file.len), file.len);
	close(fd);
	server_start(server, delay);
}

static void server_close(struct server *server)
{
	test_kill(server->pid);
	unlink(server->socket);
	unlink(server->file);
	rmdir(server->folder);
}

/* ------------------------------------------------------------------- images */

struct fixture {
	struct fl_context *context;
	struct fl_image *image;
	struct test_file file;
	struct server server;
};

static void fixture_open_file(struct fixture *fixture, const char *delay,
			      bool is_packed)
{
	uint8_t *bytes = malloc(IMAGE_BYTES);
	struct fl_segment segment = { 0, bytes, IMAGE_BYTES };
	struct fl_error error = { .text = "" };

	MUST(bytes != NULL);
	for (uint64_t i = 0; i < IMAGE_BYTES; i++)
		bytes[i] = (uint8_t)(i >> 3 ^ i * 7 ^ i >> 16);
	MUST_EQ(fl_context_create(NULL, &fixture->context, &error), 0);
	CONFORM_MUST(fl_image_from_segments(fixture->context, IMAGE_BYTES,
					    &segment, 1, &fixture->image,
					    &error),
		     &error);
	free(bytes);
	fixture->file = is_packed ? test_packed_file_of(fixture->image) :
				    test_file_of(fixture->image);
	server_open(&fixture->server, fixture->file, delay);
}

static void fixture_open(struct fixture *fixture, const char *delay)
{
	fixture_open_file(fixture, delay, false);
}

static void fixture_close(struct fixture *fixture)
{
	server_close(&fixture->server);
	free(fixture->file.bytes);
	fl_image_release(fixture->image);
	fl_context_destroy(fixture->context);
}

static struct fl_page_source *source_open(const struct fixture *fixture)
{
	struct fl_page_source *source = NULL;
	struct fl_error error = { .text = "" };

	CONFORM_MUST(fl_nbd_source_open(fixture->server.uri, PATIENCE, &source,
					&error),
		     &error);
	return source;
}

static int image_open_by(const struct fixture *fixture,
			 struct fl_page_source *source, enum fl_load_way way,
			 uint64_t deadline_ns, struct fl_image **image)
{
	struct fl_error error = { .text = "" };
	struct fl_load_config config;

	fl_load_config_init(&config);
	config.way = way;
	config.deadline_ns = deadline_ns;
	return fl_image_open_source(fixture->context, source, &config, image,
				    &error);
}

static int image_open(const struct fixture *fixture,
		      struct fl_page_source *source, uint64_t deadline_ns,
		      struct fl_image **image)
{
	return image_open_by(fixture, source, FL_LOAD_WHOLE, deadline_ns,
			     image);
}

static void check_image(const struct fixture *fixture, struct fl_image *image)
{
	static uint8_t expected[WPAGE], found[WPAGE];

	for (uint64_t at = 0; at < IMAGE_BYTES; at += WPAGE) {
		fl_image_read(fixture->image, at, expected, WPAGE);
		fl_image_read(image, at, found, WPAGE);
		CHECK_EQ(memcmp(expected, found, WPAGE), 0);
	}
	fl_image_release(image);
}

/* -------------------------------------------------------------------- cases */

static void image_comes_whole(void)
{
	struct fixture fixture;
	struct fl_page_source *source;
	struct fl_image *image = NULL;

	fixture_open(&fixture, "1ms");
	source = source_open(&fixture);
	CHECK_EQ(image_open(&fixture, source, PATIENCE, &image), 0);
	check_image(&fixture, image);
	fl_page_source_release(source);
	fixture_close(&fixture);
}

/* Whole, and page by page where the host can: unpacked behind the source. */
static void packed_image_comes(void)
{
	struct fixture fixture;
	struct fl_page_source *source;
	struct fl_image *image = NULL;

	fixture_open_file(&fixture, "1ms", true);
	CHECK(fixture.file.len < IMAGE_BYTES / 2);
	for (int way = FL_LOAD_AUTO; way <= FL_LOAD_WHOLE;
	     way += FL_LOAD_WHOLE) {
		source = source_open(&fixture);
		CHECK_EQ(image_open_by(&fixture, source, (enum fl_load_way)way,
				       PATIENCE, &image),
			 0);
		check_image(&fixture, image);
		fl_page_source_release(source);
	}
	fixture_close(&fixture);
}

/* The source of a server that has gone fails, and works when the server is
 * there again. */
static void server_goes_and_comes(void)
{
	struct fixture fixture;
	struct fl_page_source *source;
	struct fl_image *image = NULL;

	fixture_open(&fixture, NULL);
	source = source_open(&fixture);
	test_kill(fixture.server.pid);
	CHECK_EQ(image_open(&fixture, source, PATIENCE, &image), -EIO);
	unlink(fixture.server.socket);
	CHECK_EQ(image_open(&fixture, source, PATIENCE, &image), -EIO);
	server_start(&fixture.server, NULL);
	CHECK_EQ(image_open(&fixture, source, PATIENCE, &image), 0);
	check_image(&fixture, image);
	fl_page_source_release(source);
	fixture_close(&fixture);
}

/* A slow server is a time-out at the deadline, and its source closes at once,
 * with the read still under way. */
static void server_is_slow(void)
{
	struct fixture fixture;
	struct fl_page_source *source;
	struct fl_image *image = NULL;
	uint64_t begun_ns;

	fixture_open(&fixture, "20");
	source = source_open(&fixture);
	begun_ns = test_now_ns();
	CHECK_EQ(image_open(&fixture, source, SECOND / 20, &image), -ETIMEDOUT);
	fl_page_source_release(source);
	CHECK(test_now_ns() - begun_ns < 15 * SECOND);
	fixture_close(&fixture);
}

/* A server that answers in blocks of 512 pads the file: it is no image file
 * then, and the error says so; no read is beyond the export. */
static void export_that_is_longer(void)
{
	struct fixture fixture;
	struct fl_page_source *source;
	struct fl_image *image = NULL;

	fixture_open(&fixture, NULL);
	MUST_EQ(truncate(fixture.server.file, (off_t)fixture.file.len + 512),
		0);
	source = source_open(&fixture);
	CHECK_EQ(image_open(&fixture, source, PATIENCE, &image), -ENOEXEC);
	fl_page_source_release(source);
	fixture_close(&fixture);
}

struct opening {
	const struct fixture *fixture;
	struct fl_page_source *source;
};

static void *open_cancelled(void *arg)
{
	struct opening *opening = arg;

	pthread_cancel(pthread_self());
	opening->source = source_open(opening->fixture);
	pthread_testcancel();
	return NULL;
}

static void a_cancelled_thread_opens(void)
{
	struct fixture fixture;
	struct opening opening = { &fixture, NULL };
	pthread_t thread;
	void *result;

	fixture_open(&fixture, "0");
	MUST_EQ(pthread_create(&thread, NULL, open_cancelled, &opening), 0);
	CHECK_EQ(pthread_join(thread, &result), 0);
	CHECK(result == PTHREAD_CANCELED);
	CHECK(opening.source != NULL);
	fl_page_source_release(opening.source);
	fixture_close(&fixture);
}

static void what_cannot_be_opened(void)
{
	struct fl_page_source *source = NULL;
	struct fl_error error = { .text = "" };

	CHECK_EQ(fl_nbd_source_open(NULL, PATIENCE, &source, &error), -EINVAL);
	CHECK_EQ(fl_nbd_source_open("no uri", PATIENCE, &source, &error),
		 -EINVAL);
	CHECK_EQ(fl_nbd_source_open("nbd+unix:///?socket=/nowhere/at/all",
				    PATIENCE, &source, &error),
		 -EIO);
	CHECK(error.text[0]);
	CHECK(source == NULL);
}

static const char *needs_nbdkit(void)
{
	const char *const argv[] = { "nbdkit", "--version", NULL };

	return test_run("/dev/null", argv) ? "no nbdkit: install nbdkit" : NULL;
}

static const char *needs_nbdkit_and_zstd(void)
{
	const char *lacks = test_needs_zstd();

	return lacks ? lacks : needs_nbdkit();
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(image_comes_whole, needs_nbdkit),
	TEST_CASE_NEEDS(packed_image_comes, needs_nbdkit_and_zstd),
	TEST_CASE_NEEDS(server_goes_and_comes, needs_nbdkit),
	TEST_CASE_NEEDS(server_is_slow, needs_nbdkit),
	TEST_CASE_NEEDS(export_that_is_longer, needs_nbdkit),
	TEST_CASE_NEEDS(a_cancelled_thread_opens, needs_nbdkit),
	TEST_CASE(what_cannot_be_opened),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
