/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reset.c - resets in place of a live memory in which the nth system call fails, or
 * all from the nth on.
 *
 * Each time: the memory is clean, or it has no bytes and each access to it ends at
 * once, most with a signal; the release gives it back, and the next tenant sees the
 * image. Once the memory shows an image that is loaded on demand, of which some
 * pages are not there yet, and once an image that is there; once lent, so that it
 * is mapped anew.
 */
#define _GNU_SOURCE
#include "inject.h"

#include "tests/kit/conform.h"
#include "tests/kit/page_source.h"
#include "tests/kit/trap.h"

#include <signal.h>

#define PAGES 6
#define DATA_OFF (WPAGE + 100)
#define DATA_BYTES (4 * WPAGE)

struct ground {
	struct conform conform;
	struct test_file file;
	struct test_source source;
	struct fl_image *plain, *lazy, *image;
	uint8_t *bytes;
};

static struct fl_context *watched;
static struct fl_fault seen;

static void see(const void *addr)
{
	fl_fault_lookup(watched, addr, &seen);
}

static void lazy_open(struct ground *ground)
{
	struct fl_error error = { .text = "" };
	struct fl_load_config config;
	int err;

	ground->file = test_file_of(ground->plain);
	test_source_open(&ground->source, ground->file, true);
	fl_load_config_init(&config);
	config.way = FL_LOAD_LAZY;
	/* Where the machine is busy, opening may take longer than a load may. */
	do
		err = fl_image_open_source(ground->conform.context,
					   ground->source.source, &config,
					   &ground->lazy, &error);
	while (err == -ETIMEDOUT);
	CONFORM_MUST(err, &error);
}

static void ground_open(struct ground *ground, bool is_lazy)
{
	memset(ground, 0, sizeof(*ground));
	conform_open(&ground->conform, NULL);
	watched = ground->conform.context;
	ground->bytes = calloc(1, PAGES * WPAGE);
	MUST(ground->bytes != NULL);
	for (uint64_t i = 0; i < DATA_BYTES; i++)
		ground->bytes[DATA_OFF + i] = (uint8_t)(1 + i % 251);
	ground->plain = conform_image_of(&ground->conform, PAGES * WPAGE,
					 DATA_OFF, ground->bytes + DATA_OFF,
					 DATA_BYTES);
	ground->image = ground->plain;
	if (!is_lazy)
		return;
	lazy_open(ground);
	ground->image = ground->lazy;
}

static void ground_close(struct ground *ground)
{
	fl_image_release(ground->plain);
	fl_image_release(ground->lazy);
	conform_close(&ground->conform);
	fl_page_source_release(ground->source.source);
	free(ground->file.bytes);
	free(ground->bytes);
}

static void look(void *arg)
{
	(void)*(const volatile uint8_t *)arg;
}

/* An access to a memory that could not be reset. Whether all of it could be made
 * inaccessible hangs on what failed. */
static void check_ends(struct fl_memory *memory, uint64_t off, bool is_shut)
{
	struct test_trap trap;

	memset(&seen, 0, sizeof(seen));
	trap = test_catch_seen(look, memory->base + off, see);
	if (!is_shut && !trap.signo)
		return;
	CHECK_EQ(trap.signo, SIGSEGV);
	CHECK_EQ(seen.is_trap, 1);
}

static bool shows(const struct ground *ground, const struct fl_memory *memory)
{
	return fl_memory_length(memory) == PAGES * WPAGE &&
	       !memcmp(memory->base, ground->bytes, PAGES * WPAGE);
}

/* A tenant has touched one page of two. False: no call was left to fail. */
static bool reset_once(struct ground *ground, bool is_lent, uint64_t fail_at,
		       bool is_sticky)
{
	struct fl_memory *memory =
		conform_take(&ground->conform, ground->image, 0);
	int err;

	memory->base[DATA_OFF] ^= 0x55;
	memory->base[DATA_OFF + 2 * WPAGE] ^= 0x55;
	CHECK_EQ(fl_memory_grow(memory, 2, NULL), 0);
	if (is_lent)
		CHECK_EQ(fl_memory_lend(memory), 0);
	memset(&inject, 0, sizeof(inject));
	inject.fail_at = fail_at;
	inject.is_sticky = is_sticky;
	inject.is_of_thread = inject_is_here = inject.is_armed = true;
	err = fl_memory_reset(memory);
	inject.is_armed = false;
	if (!err) {
		CHECK(shows(ground, memory));
	} else {
		CHECK(err == -ENOMEM || err == -EIO);
		CHECK_EQ(fl_memory_length(memory), 0);
		for (uint64_t w = 0; w < PAGES; w++)
			check_ends(memory, w * WPAGE, !is_sticky);
	}
	CHECK_EQ(fl_memory_release(memory), 0);
	memory = conform_take(&ground->conform, ground->image, 0);
	CHECK(shows(ground, memory));
	conform_give(memory);
	return inject.failed;
}

/* Each time in a slot that nobody had, with no page of the image loaded. */
static void resets_fail(bool is_lazy)
{
	for (int way = 0; way < 4; way++) {
		uint64_t at = 0, failed = 0;
		bool has_failed;

		do {
			struct ground ground;

			ground_open(&ground, is_lazy);
			has_failed =
				reset_once(&ground, way & 1, ++at, way & 2);
			failed += has_failed;
			ground_close(&ground);
		} while (has_failed && at < 100 && !test_has_failed());
		if (test_has_failed())
			test_note("way %d, call %ju failed: %s", way,
				  (uintmax_t)at,
				  inject.first_failed ? inject.first_failed :
							"none");
		/* The backend that is portable maps nothing in a reset. */
		if (way & 1)
			CHECK(failed > 0);
	}
}

static void one_call_fails(void)
{
	resets_fail(false);
}

static void one_call_fails_where_pages_are_missing(void)
{
	resets_fail(true);
}

static const struct test_case cases[] = {
	TEST_CASE(one_call_fails),
	TEST_CASE_NEEDS(one_call_fails_where_pages_are_missing,
			conform_needs_lazy),
};

CONFORM_MAIN(cases)
