/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * fit.c - as many slots as fit: each limit of a process is made small, and a
 * pool of what fl_pool_config_fit() leaves is used up to its last slot, while one
 * more slot than that is too many.
 *
 * Each case limits a child. sim/fit has the arithmetic.
 */
#define _GNU_SOURCE
#include "tests/kit/conform.h"
#include "tests/kit/host.h"
#include "tests/kit/procfs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

/* 32 MiB in 64 MiB, so that no remainder of a limit is worth a slot. In a program
 * of 32 bits as much as lets all slots fit, where addresses are not what is
 * limited. */
#define STRIDE (64 * MIB)
#define HAS_64_BITS (sizeof(void *) == 8)
#define SLOTS (HAS_64_BITS ? 3000u : 1000u)

static void plain_config(struct fl_pool_config *config)
{
	fl_pool_config_init(config);
	config->max_instances = config->max_memories = SLOTS;
	config->max_memory_bytes = HAS_64_BITS ? 32 * MIB : MIB;
	config->memory_stride_bytes = HAS_64_BITS ? STRIDE : 3 * MIB / 2;
}

static int use_one(struct fl_pool *pool, struct fl_image *image, uint64_t bytes,
		   struct fl_memory **memory, struct fl_error *error)
{
	struct fl_memory_config config;
	int err;

	fl_memory_config_init(&config);
	config.image = image;
	config.initial_bytes = 4 * WPAGE;
	err = fl_memory_acquire(pool, &config, memory, error);
	if (err)
		return err;
	err = fl_memory_grow(*memory, bytes / WPAGE - 4, NULL);
	if (err) {
		conform_give(*memory);
		return err;
	}
	(*memory)->base[bytes - 1] = 1;
	(*memory)->base[5] = 1;
	return 0;
}

/* A pool in full use: each memory with the image, grown; then its second and its
 * third tenants. */
static int use_pool(struct fl_pool *pool, uint32_t count,
		    struct fl_image *image, uint64_t bytes,
		    struct fl_error *error)
{
	struct fl_memory **memories = calloc(count, sizeof(*memories));
	int err = 0;

	MUST(memories != NULL);
	for (int turn = 0; turn < 3 && !err; turn++) {
		uint32_t taken = 0;

		while (taken < count && !err) {
			err = use_one(pool, image, bytes, &memories[taken],
				      error);
			taken += !err;
		}
		while (taken)
			conform_give(memories[--taken]);
	}
	free(memories);
	return err;
}

static int use_all(struct fl_context *context,
		   const struct fl_pool_config *config, struct fl_image *image,
		   uint64_t bytes, struct fl_error *error)
{
	struct fl_pool *pool;
	int err = fl_pool_create(context, config, &pool, error);

	if (err)
		return err;
	err = use_pool(pool, config->max_memories, image, bytes, error);
	CHECK_EQ(fl_pool_destroy(pool), 0);
	return err;
}

static void must_use_all(struct fl_context *context,
			 const struct fl_pool_config *config,
			 struct fl_image *image, uint64_t bytes)
{
	struct fl_error error = { .text = "" };

	CONFORM_MUST(use_all(context, config, image, bytes, &error), &error);
}

static struct fl_pool_fit fit(struct fl_context *context,
			      const struct fl_pool_load *load,
			      struct fl_pool_config *config,
			      enum fl_limit decided)
{
	struct fl_pool_fit answer = { .size = sizeof(answer) };
	struct fl_error error = { .text = "" };

	CONFORM_MUST(fl_pool_config_fit(context, load, config, &answer, &error),
		     &error);
	if (!CHECK_EQ(answer.decided, decided))
		test_note("%s decided: %s", answer.limits[answer.decided].name,
			  answer.limits[answer.decided].remedy);
	test_note("%u of %u memories: %s", config->max_memories, SLOTS,
		  answer.limits[decided].remedy);
	CHECK(config->max_memories < SLOTS);
	CHECK_EQ(config->max_instances, config->max_memories);
	return answer;
}

/* A pool of so many more slots than were fitted is not made, or not used up. */
static void more_fail(struct fl_context *context,
		      const struct fl_pool_config *fitted,
		      struct fl_image *image, uint64_t bytes, uint32_t more)
{
	struct fl_pool_config config = *fitted;
	struct fl_error error = { .text = "" };

	config.max_memories += more;
	config.max_instances = config.max_memories;
	CHECK_EQ(use_all(context, &config, image, bytes, &error), -ENOMEM);
}

/* ------------------------------------------------------------------- limits */

static int child_space(void *arg)
{
	struct fl_context *context = conform_context();
	struct fl_pool_config config;
	struct fl_pool_load load;
	struct rlimit limit;

	(void)arg;
	limit.rlim_cur =
		procfs_status_kib("VmSize") * KIB + 20 * STRIDE + STRIDE / 2;
	limit.rlim_max = RLIM_INFINITY;
	MUST_EQ(setrlimit(RLIMIT_AS, &limit), 0);
	plain_config(&config);
	config.memory_stride_bytes = STRIDE;
	fl_pool_load_init(&load);
	load.spare_address_bytes = 8 * MIB;
	load.memory_bytes = MIB;
	(void)fit(context, &load, &config, FL_LIMIT_ADDRESS_SPACE);
	CHECK_EQ(config.max_memories, 20);
	must_use_all(context, &config, NULL, MIB);
	more_fail(context, &config, NULL, MIB, 1);
	fl_context_destroy(context);
	return 0;
}

static void address_space_is_limited(void)
{
	conform_check_child(child_space, NULL);
}

static int child_addresses(void *arg)
{
	struct fl_context *context = conform_context();
	struct fl_error error = { .text = "" };
	struct fl_pool_fit answer = { .size = sizeof(answer) };
	struct fl_pool_config config;
	struct fl_pool *pool;

	(void)arg;
	fl_pool_config_init(&config);
	config.max_memories = config.max_instances = 3000;
	config.memory_stride_bytes = HAS_64_BITS ? 256 * GIB : 256 * MIB;
	config.max_memory_bytes = config.memory_stride_bytes / 64;
	CONFORM_MUST(fl_pool_config_fit(context, NULL, &config, &answer,
					&error),
		     &error);
	CHECK_EQ(answer.decided, FL_LIMIT_ADDRESSES);
	CHECK_HAS(answer.limits[answer.decided].remedy, "memory_stride_bytes");
	test_note("%u slots of %llu bytes", config.max_memories,
		  (unsigned long long)config.memory_stride_bytes);
	CONFORM_MUST(fl_pool_create(context, &config, &pool, &error), &error);
	CHECK_EQ(fl_pool_destroy(pool), 0);
	config.max_memories++;
	CHECK_EQ(fl_pool_create(context, &config, &pool, &error), -ENOMEM);
	fl_context_destroy(context);
	return 0;
}

static void addresses_are_limited(void)
{
	conform_check_child(child_addresses, NULL);
}

/* Descriptors are for images, which the portable backend has in memory. */
static int child_descriptors(void *arg)
{
	struct fl_context *context = conform_context();
	struct conform conform = { context, NULL };
	struct fl_error error = { .text = "" };
	struct fl_segment segment = { 5, "x", 1 };
	struct fl_image *images[64];
	struct fl_pool_config config;
	struct fl_pool_load load;
	struct rlimit limit;
	uint32_t count = 0;

	(void)arg;
	limit.rlim_cur = limit.rlim_max = procfs_count_fds() + 40;
	MUST_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	plain_config(&config);
	fl_pool_load_init(&load);
	load.spare_descriptors = 3;
	load.images_per_instance = 1;
	if (strcmp(test_rung->backend, "linux")) {
		CONFORM_MUST(fl_pool_config_fit(context, &load, &config, NULL,
						&error),
			     &error);
		CHECK_EQ(config.max_memories, SLOTS);
		fl_context_destroy(context);
		return 0;
	}
	(void)fit(context, &load, &config, FL_LIMIT_DESCRIPTORS);
	CONFORM_MUST(fl_pool_create(context, &config, &conform.pool, &error),
		     &error);
	while (count < 64 && !fl_image_from_segments(context, WPAGE, &segment,
						     1, &images[count], &error))
		count++;
	test_note("%u fitted, %u images, 3 spared", config.max_memories, count);
	CHECK_EQ(count, config.max_memories + 3);
	CHECK_HAS(error.text, "ulimit -n");
	for (uint32_t i = 0; i < config.max_memories; i++)
		conform_give(conform_take(&conform, images[i], 0));
	while (count)
		fl_image_release(images[--count]);
	CHECK_EQ(fl_pool_destroy(conform.pool), 0);
	fl_context_destroy(context);
	return 0;
}

static void descriptors_are_limited(void)
{
	conform_check_child(child_descriptors, NULL);
}

static int child_data(void *arg)
{
	struct fl_context *context = conform_context();
	struct fl_pool_config config;
	struct fl_pool_load load;
	struct rlimit limit;

	(void)arg;
	limit.rlim_cur = procfs_status_kib("VmData") * KIB + 40 * MIB;
	limit.rlim_max = RLIM_INFINITY;
	MUST_EQ(setrlimit(RLIMIT_DATA, &limit), 0);
	plain_config(&config);
	fl_pool_load_init(&load);
	load.memory_bytes = MIB;
	(void)fit(context, &load, &config, FL_LIMIT_DATA);
	CHECK(config.max_memories > 30);
	must_use_all(context, &config, NULL, MIB);
	/* What is reckoned for books may be left. */
	more_fail(context, &config, NULL, MIB, 4);
	return 0;
}

static void data_is_limited(void)
{
	conform_check_child(child_data, NULL);
}

/* Locked memory counts whole reservations, for those that may not lock more. */
static int child_locked(void *arg)
{
	const struct rlimit limit = { 8 * MIB, 8 * MIB };
	struct fl_context *context;
	struct fl_pool_config config;
	struct fl_pool_load load;

	(void)arg;
	MUST_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
	if (!geteuid())
		MUST_EQ(setuid(65534), 0);
	context = conform_context();
	MUST_EQ(mlockall(MCL_FUTURE), 0);
	plain_config(&config);
	config.max_memory_bytes = MIB / 2;
	config.memory_stride_bytes = MIB;
	fl_pool_load_init(&load);
	load.spare_address_bytes = MIB / 2;
	(void)fit(context, &load, &config, FL_LIMIT_LOCKED);
	CHECK(config.max_memories >= 4);
	must_use_all(context, &config, NULL, MIB / 2);
	/* One for what is spared, and what is laid over what is there. */
	more_fail(context, &config, NULL, MIB / 2, 2);
	return 0;
}

static void locked_memory_is_limited(void)
{
	conform_check_child(child_locked, NULL);
}

/* ----------------------------------------------------------------- mappings */

/* Leave so many mappings: pages of two kinds, in turn. */
static void leave_mappings(uint32_t left)
{
	long max = procfs_sysctl("vm/max_map_count");
	uint64_t hpage = conform_hpage(), pages;
	uint8_t *map;

	pages = (uint64_t)max - procfs_footprint().mappings - left;
	map = mmap(NULL, (size_t)(pages * hpage), PROT_NONE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	MUST(map != MAP_FAILED);
	for (uint64_t i = 0; i < pages; i += 2)
		MUST_EQ(mprotect(map + i * hpage, (size_t)hpage, PROT_READ), 0);
}

#define SPARE 40

/* Zeroes before the data, more than are part of its extent, and behind. */
static struct fl_image *image_of_extents(struct fl_context *context)
{
	struct fl_segment segments[] = {
		{ 5 * WPAGE / 4, "x", 1 },
		{ 9 * WPAGE / 4, "y", 1 },
	};
	struct conform conform = { context, NULL };

	return conform_image(&conform, 4 * WPAGE, segments, 2);
}

static void open_pool(struct fl_context *context,
		      const struct fl_pool_config *config,
		      struct fl_pool **pool)
{
	struct fl_error error = { .text = "" };

	CONFORM_MUST(fl_pool_create(context, config, pool, &error), &error);
}

static long mappings_left(void)
{
	return procfs_sysctl("vm/max_map_count") -
	       (long)procfs_footprint().mappings;
}

/* What another pool may take yet is taken. Once all slots of both were used,
 * there is left what was spared. */
static void fill_mappings(struct fl_context *context,
			  const struct fl_pool_load *load,
			  struct fl_image *image)
{
	struct fl_pool_config config, other;
	struct fl_error error = { .text = "" };
	struct fl_pool *first, *second;
	long left;

	plain_config(&other);
	other.max_memories = other.max_instances = 50;
	open_pool(context, &other, &first);
	plain_config(&config);
	(void)fit(context, load, &config, FL_LIMIT_MAPPINGS);
	open_pool(context, &config, &second);
	CONFORM_OK(use_pool(second, config.max_memories, image, MIB, &error),
		   &error);
	CONFORM_OK(use_pool(first, 50, image, MIB, &error), &error);
	left = mappings_left();
	test_note("%u slots with %u extents, %ld mappings left",
		  config.max_memories, load->image_extents, left);
	/* More than spared: what pools may have beside slots, and a slot's. */
	CHECK(left >= SPARE - 8);
	CHECK(left <= SPARE + 2 * 8 + 8);
	plain_config(&config);
	CHECK_EQ(use_all(context, &config, image, MIB, &error), -ENOMEM);
	CHECK_EQ(fl_pool_destroy(first), 0);
	CHECK_EQ(fl_pool_destroy(second), 0);
}

static int child_mappings(void *arg)
{
	bool has_image = *(const bool *)arg;
	struct fl_context *context = conform_context();
	struct fl_image_info info = { .size = sizeof(info) };
	struct fl_image *image = NULL;
	struct fl_pool_load load;

	fl_pool_load_init(&load);
	load.spare_mappings = SPARE;
	load.image_extents = 0;
	if (has_image) {
		image = image_of_extents(context);
		fl_image_info(image, &info);
		load.image_extents = info.extent_count;
	}
	leave_mappings(1000);
	fill_mappings(context, &load, image);
	return 0;
}

static void mappings_are_limited(void)
{
	for (int i = 0; i < 2; i++) {
		bool has_image = i;

		conform_check_child(child_mappings, &has_image);
	}
}

static const char *needs_plain_memory(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer has memory of its own" :
				     test_needs_limits();
}

static const char *needs_mappings(void)
{
	const char *reason = needs_plain_memory();

	if (reason)
		return reason;
	return procfs_sysctl("vm/max_map_count") < 200000 ?
		       NULL :
		       "vm.max_map_count is too large to be used up here";
}

/* ------------------------------------------------------------------- errors */

static void errors(void)
{
	struct fl_pool_fit answer = { .size = sizeof(answer) };
	struct fl_context *context = conform_context();
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool_load load;

	fl_pool_config_init(&config);
	config.memory_stride_bytes = 4096;
	CHECK_EQ(fl_pool_config_fit(context, NULL, &config, &answer, &error),
		 -EINVAL);
	CHECK_HAS(error.text, "memory_stride_bytes");
	CHECK_EQ(config.max_memories, 1000);
	plain_config(&config);
	fl_pool_load_init(&load);
	load.touched_bytes = UINT64_MAX;
	CHECK_EQ(fl_pool_config_fit(context, &load, &config, &answer, &error),
		 -ENOMEM);
	CHECK(answer.decided == FL_LIMIT_MEMORY ||
	      answer.decided == FL_LIMIT_GROUP);
	CHECK_HAS(error.text, "touch less");
	CHECK_EQ(config.max_memories, SLOTS);
	/* A struct of an older header is not written beyond its end. */
	plain_config(&config);
	config.max_memories = config.max_instances = 4;
	config.size = offsetof(struct fl_pool_config, name);
	config.overflow_memories = 77;
	CHECK_EQ(fl_pool_config_fit(context, NULL, &config, NULL, &error), 0);
	CHECK_EQ(config.max_memories, 4);
	CHECK_EQ(config.overflow_memories, 77);
	load.size = 1;
	CHECK_EQ(fl_pool_config_fit(context, &load, &config, NULL, &error),
		 -EINVAL);
	fl_context_destroy(context);
}

static int child_of_an_owner(void *arg)
{
	struct fl_pool_config config;

	fl_pool_config_init(&config);
	CHECK_EQ(fl_pool_config_fit(arg, NULL, &config, NULL, NULL), -ECHILD);
	return 0;
}

static void a_child_is_told(void)
{
	struct fl_context *context = conform_context();

	conform_check_child(child_of_an_owner, context);
	fl_context_destroy(context);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(address_space_is_limited, needs_plain_memory),
	TEST_CASE_NEEDS(addresses_are_limited, needs_plain_memory),
	TEST_CASE(descriptors_are_limited),
	TEST_CASE_NEEDS(data_is_limited, needs_plain_memory),
	TEST_CASE_NEEDS(locked_memory_is_limited, needs_plain_memory),
	TEST_CASE_NEEDS(mappings_are_limited, needs_mappings),
	TEST_CASE(errors),
	TEST_CASE(a_child_is_told),
};

CONFORM_MAIN(cases)
