/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * denied.c - what a context says and does where a container's profile denies
 * io_uring or userfaultfd: tests/kit/profile.h.
 *
 * Each case confines a child before that makes its context. The tests of all else
 * run so by "make check-denied".
 */
#define _GNU_SOURCE
#include "tests/kit/conform.h"
#include "tests/kit/profile.h"

#include <stdlib.h>

#define IMAGE_WPAGES 8

/* Byte i of the image. */
static uint8_t byte_of(uint64_t i)
{
	return (uint8_t)(i / 4096 + i % 251 + 1);
}

struct host {
	struct conform conform;
	struct fl_page_source *source;
};

/* What an image was written to, and a context and pool of what is allowed. */
static void host_open(struct host *host, const char *profile, const char *path)
{
	struct fl_error error = { .text = "" };
	uint8_t *bytes = malloc(IMAGE_WPAGES * WPAGE);
	struct fl_image *image;

	MUST(bytes != NULL);
	for (uint64_t i = 0; i < IMAGE_WPAGES * WPAGE; i++)
		bytes[i] = byte_of(i);
	MUST_EQ(profile_enter(profile), 0);
	conform_open(&host->conform, NULL);
	image = conform_image_of(&host->conform, IMAGE_WPAGES * WPAGE, 0, bytes,
				 IMAGE_WPAGES * WPAGE);
	CONFORM_MUST(fl_image_write(image, path, &error), &error);
	CONFORM_MUST(fl_page_source_from_file(path, -1, &host->source, &error),
		     &error);
	fl_image_release(image);
	free(bytes);
}

static void host_close(struct host *host)
{
	fl_page_source_release(host->source);
	conform_close(&host->conform);
}

static int open_image(struct host *host, enum fl_load_way way,
		      struct fl_image **image, struct fl_error *error)
{
	struct fl_load_config config;

	fl_load_config_init(&config);
	config.way = way;
	return fl_image_open_source(host->conform.context, host->source,
				    &config, image, error);
}

/* Twice, so that the second tenant has a slot that was reset. */
static void check_tenants(struct host *host, struct fl_image *image)
{
	for (int i = 0; i < 2; i++) {
		struct fl_memory *memory =
			conform_take(&host->conform, image, 0);
		uint64_t at = 0;

		while (at < IMAGE_WPAGES * WPAGE &&
		       memory->base[at] == byte_of(at))
			at++;
		CHECK_EQ(at, IMAGE_WPAGES * WPAGE);
		memset(memory->base + 3 * WPAGE - 10, 0, 20);
		conform_give(memory);
	}
}

static void check_denied(const struct conform *conform, const char *name)
{
	struct fl_feature feature = { .size = sizeof(feature) };
	uint32_t i = 0;

	while (!fl_context_feature(conform->context, i, &feature) &&
	       strcmp(feature.name, name))
		i++;
	CHECK(!strcmp(feature.name, name));
	CHECK_EQ(feature.support, FL_SUPPORT_DENIED);
	CHECK_HAS(feature.remedy, "seccomp profile");
}

static int child_without_rings(void *arg)
{
	struct fl_image_loading loading = { .size = sizeof(loading) };
	struct fl_error error = { .text = "" };
	struct fl_image *image = NULL;
	struct host host;

	host_open(&host, "no-io_uring", arg);
	check_denied(&host.conform, "io-uring");
	CHECK(!strcmp(fl_context_rung(host.conform.context, NULL),
		      test_rung->how));
	CONFORM_MUST(open_image(&host, FL_LOAD_AUTO, &image, &error), &error);
	fl_image_loading(image, &loading);
	CHECK_EQ(loading.way, FL_LOAD_LAZY);
	check_tenants(&host, image);
	fl_image_release(image);
	host_close(&host);
	return 0;
}

static int child_without_userfaultfd(void *arg)
{
	struct fl_image_loading loading = { .size = sizeof(loading) };
	struct fl_error error = { .text = "" };
	struct fl_image *image = NULL;
	const char *reason = NULL;
	struct host host;

	host_open(&host, "no-userfaultfd", arg);
	check_denied(&host.conform, "userfaultfd");
	CHECK(strcmp(fl_context_rung(host.conform.context, &reason), "track"));
	CHECK_HAS(reason, "userfaultfd");
	CHECK_EQ(open_image(&host, FL_LOAD_LAZY, &image, &error), -ENOTSUP);
	CHECK_HAS(error.text, "userfaultfd");
	CONFORM_MUST(open_image(&host, FL_LOAD_AUTO, &image, &error), &error);
	fl_image_loading(image, &loading);
	CHECK_EQ(loading.way, FL_LOAD_WHOLE);
	CHECK_HAS(loading.reason, "userfaultfd");
	check_tenants(&host, image);
	fl_image_release(image);
	host_close(&host);
	return 0;
}

static void check_child_with_path(int (*fn)(void *arg))
{
	char path[] = "/tmp/fl-denied-XXXXXX";
	int fd = mkstemp(path);

	MUST(fd >= 0);
	close(fd);
	conform_check_child(fn, path);
	unlink(path);
}

static void files_are_read_without_rings(void)
{
	check_child_with_path(child_without_rings);
}

static void images_are_loaded_whole(void)
{
	check_child_with_path(child_without_userfaultfd);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(files_are_read_without_rings, conform_needs_lazy),
	TEST_CASE(images_are_loaded_whole),
};

/* On the best rung alone: the profiles choose the others. */
int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases),
			 conform_best_rung(), 1);
}
