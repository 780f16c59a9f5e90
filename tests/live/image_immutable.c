/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * image_immutable.c - an image in place only where the kernel keeps the file:
 * FL_OPEN_IMMUTABLE takes a memory file under the seals that it names, and
 * refuses every file that somebody could still change or cut.
 *
 * A file with fs-verity is taken too where this host's file system has it.
 */
#define _GNU_SOURCE
#include "tests/kit/conform.h"

#include <fcntl.h>
#include <linux/fsverity.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define BOTH (FL_OPEN_IN_PLACE | FL_OPEN_IMMUTABLE)

struct scene {
	struct conform conform;
	struct fl_image *image;
	char path[64];
};

static void scene_open(struct scene *scene)
{
	int fd;

	conform_open(&scene->conform, NULL);
	scene->image = conform_image_of(&scene->conform, 131072, 70000,
					"what the file says", 18);
	snprintf(scene->path, sizeof(scene->path), "/var/tmp/fl-image-XXXXXX");
	fd = mkstemp(scene->path);
	MUST(fd >= 0);
	close(fd);
	MUST_EQ(fl_image_write(scene->image, scene->path, NULL), 0);
}

static void scene_close(struct scene *scene)
{
	unlink(scene->path);
	fl_image_release(scene->image);
	conform_close(&scene->conform);
}

/* The same bytes in a memory file. */
static int memory_file_of(const char *path)
{
	int from = open(path, O_RDONLY | O_CLOEXEC);
	int fd = memfd_create("image", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	uint8_t bytes[4096];
	ssize_t n;

	MUST(from >= 0 && fd >= 0);
	while ((n = read(from, bytes, sizeof(bytes))) > 0)
		MUST_EQ(write(fd, bytes, (size_t)n), n);
	close(from);
	return fd;
}

static void check_refused(struct scene *scene, int fd, uint32_t flags, int err)
{
	struct fl_error error = { .text = "" };
	struct fl_image *image = NULL;

	CHECK_EQ(fl_image_open(scene->conform.context,
			       fd < 0 ? scene->path : NULL, fd, flags, &image,
			       &error),
		 err);
	CHECK(!image);
	CHECK(strstr(error.text, "FL_OPEN_IMMUTABLE") != NULL);
}

static void check_taken(struct scene *scene, int fd)
{
	struct fl_error error = { .text = "" };
	struct fl_image *image = NULL;
	struct fl_memory *memory;

	CONFORM_MUST(fl_image_open(scene->conform.context, NULL, fd, BOTH,
				   &image, &error),
		     &error);
	memory = conform_take(&scene->conform, image, 0);
	CHECK(!memcmp(memory->base + 70000, "what the file says", 18));
	conform_give(memory);
	fl_image_release(image);
}

static void what_can_change_is_refused(void)
{
	struct scene scene;
	int fd;

	scene_open(&scene);
	check_refused(&scene, -1, BOTH, -EPERM);
	check_refused(&scene, -1, FL_OPEN_IMMUTABLE, -EINVAL);
	fd = memory_file_of(scene.path);
	check_refused(&scene, fd, BOTH, -EPERM);
	/* Under this seal, mappings made before may still write. */
	MUST_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
	check_refused(&scene, fd, BOTH, -EPERM);
	/* Nobody may write, but anybody may cut. */
	MUST_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	check_refused(&scene, fd, BOTH, -EPERM);
	MUST_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	check_taken(&scene, fd);
	close(fd);
	scene_close(&scene);
}

/* Few file systems have it, and they need it said when they are made. */
static void verity_is_taken(void)
{
	struct fsverity_enable_arg arg = {
		.version = 1,
		.hash_algorithm = FS_VERITY_HASH_ALG_SHA256,
		.block_size = 4096,
	};
	struct scene scene;
	int fd;

	scene_open(&scene);
	fd = open(scene.path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	if (ioctl(fd, FS_IOC_ENABLE_VERITY, &arg))
		check_refused(&scene, fd, BOTH, -EPERM);
	else
		check_taken(&scene, fd);
	close(fd);
	scene_close(&scene);
}

static const struct test_case cases[] = {
	TEST_CASE(what_can_change_is_refused),
	TEST_CASE(verity_is_taken),
};

/* One rung of the backend that maps files. */
int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases),
			 conform_best_rung(), 1);
}
