/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * overcommit.c - where the kernel charges every accessible byte
 * (vm.overcommit_memory 2) and none is left, calls answer -ENOMEM and name the
 * sysctl; no signal comes, and what is there goes on.
 *
 * The setting is the whole host's, so a process of its own puts it back, and the
 * program takes milliseconds. What is left is used up in advance, by mappings that
 * are charged and never touched.
 */
#define _GNU_SOURCE
#include "tests/kit/attack_host.h"
#include "tests/kit/conform.h"
#include "tests/kit/conform_module.h"

#include <stdlib.h>
#include <sys/mman.h>

#define STEP (8 * MIB)
#define STEPS 65536
#define IMAGE_BYTES (32 * MIB)

static struct {
	void *at;
	size_t bytes;
} taken[STEPS];

static bool take(size_t count, size_t bytes)
{
	taken[count].at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	taken[count].bytes = bytes;
	return taken[count].at != MAP_FAILED;
}

static void give_back(size_t count)
{
	while (count) {
		count--;
		munmap(taken[count].at, taken[count].bytes);
	}
}

/* Between one and two steps are left. */
static size_t take_all(void)
{
	size_t count = 0;

	while (count < STEPS && take(count, STEP))
		count++;
	if (count)
		munmap(taken[--count].at, STEP);
	return count;
}

/* Not a page is left. */
static size_t take_every_page(void)
{
	size_t bytes = 64 * STEP, count = 0;

	while (count < STEPS && bytes >= (size_t)sysconf(_SC_PAGESIZE)) {
		if (take(count, bytes))
			count++;
		else
			bytes /= 2;
	}
	return count;
}

static void nothing_is_left(void)
{
	uint8_t *data = malloc(IMAGE_BYTES);
	const struct fl_segment segment = { 0, data, IMAGE_BYTES };
	struct fl_error image_error = { .text = "" };
	struct fl_pool_config config;
	struct fl_image *image = NULL;
	struct fl_memory *memory;
	struct conform conform;
	int image_err, grow_err;
	size_t count;

	MUST(data != NULL);
	memset(data, 7, IMAGE_BYTES);
	conform_pool_config(&config);
	config.max_memory_bytes = 2 * IMAGE_BYTES;
	conform_open(&conform, &config);
	memory = conform_take(&conform, NULL, WPAGE);
	count = take_all();
	image_err = fl_image_from_segments(conform.context, IMAGE_BYTES,
					   &segment, 1, &image, &image_error);
	grow_err = fl_memory_grow(memory, IMAGE_BYTES / WPAGE, NULL);
	memory->base[5] = 1;
	give_back(count);
	CHECK(count < STEPS);
	CHECK_EQ(image_err, -ENOMEM);
	CHECK_HAS(image_error.text, "overcommit");
	CHECK_EQ(grow_err, -ENOMEM);
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
	conform_give(memory);
	conform_close(&conform);
	free(data);
}

/* ------------------------------------------------------------ holes of images */

#define PART_BYTES (8 * MIB)
#define PARTS 8
/* In the middle of a hole of an extent: of eight parts only four are extents. */
#define HOLE_OFF ((PARTS - 1) * PART_BYTES - PART_BYTES / 2)

/* A word every so often, and holes between. */
static struct fl_image *sparse_image(struct conform *conform)
{
	struct fl_segment segments[PARTS];
	struct fl_error error;
	struct fl_image *image = NULL;

	for (uint64_t i = 0; i < PARTS; i++)
		segments[i] =
			(struct fl_segment){ i * PART_BYTES, "a word!", 8 };
	CONFORM_MUST(fl_image_from_segments(conform->context,
					    PARTS * PART_BYTES, segments, PARTS,
					    &image, &error),
		     &error);
	return image;
}

struct holes {
	struct conform conform;
	struct fl_image *image;
	struct fl_module *module; /* writes into a hole of what it imports */
	struct fl_snapshot *snapshot;
	struct fl_delta *delta; /* has a line in a hole */
	struct fl_memory *memory, *woken;
};

static void holes_module(struct holes *holes)
{
	struct wasm_parts parts = { 0 };
	struct wasm w = { 0 };

	wasm_import_memory(&parts, PARTS * PART_BYTES / WPAGE);
	wasm_add_data(&parts, HOLE_OFF, "late");
	wasm_parts_build(&parts, &w);
	holes->module = module_load(&holes->conform, &w);
}

/* The image as the content of a memory that a module defines. */
static void holes_snapshot(struct holes *holes)
{
	struct fl_snapshot_parts of;
	struct wasm_parts parts = { 0 };
	struct fl_module *module;
	struct wasm w = { 0 };

	wasm_add_memory(&parts, PARTS * PART_BYTES / WPAGE);
	wasm_parts_build(&parts, &w);
	module = module_load(&holes->conform, &w);
	fl_snapshot_parts_init(&of);
	of.module = module;
	of.images = &holes->image;
	of.image_count = 1;
	MUST_EQ(fl_snapshot_create(&of, &holes->snapshot, NULL), 0);
	fl_module_release(module);
}

static struct fl_memory *holes_clone(struct holes *holes)
{
	return conform_take(&holes->conform,
			    fl_snapshot_image(holes->snapshot, 0, 0), 0);
}

static void holes_open(struct holes *holes)
{
	struct fl_delta_parts parts;
	struct fl_pool_config config;
	struct fl_memory *memory;

	*holes = (struct holes){ .image = NULL };
	conform_pool_config(&config);
	config.max_memory_bytes = PARTS * PART_BYTES;
	config.max_memories = 4;
	conform_open(&holes->conform, &config);
	holes->image = sparse_image(&holes->conform);
	holes_module(holes);
	holes_snapshot(holes);
	memory = holes_clone(holes);
	memory->base[HOLE_OFF] = 1;
	fl_delta_parts_init(&parts);
	parts.snapshot = holes->snapshot;
	parts.memories = &memory;
	parts.memory_count = 1;
	MUST_EQ(fl_memory_suspend(&parts, &holes->delta, NULL), 0);
	/* What that tenant made of the hole goes. */
	CHECK_EQ(fl_pool_trim(holes->conform.pool, UINT64_MAX, NULL), 0);
	holes->memory = conform_take(&holes->conform, holes->image, 0);
	holes->woken = holes_clone(holes);
}

static void holes_close(struct holes *holes)
{
	conform_give(holes->woken);
	conform_give(holes->memory);
	fl_delta_release(holes->delta);
	fl_snapshot_release(holes->snapshot);
	fl_module_release(holes->module);
	fl_image_release(holes->image);
	conform_close(&holes->conform);
}

/* The backend that copies has no holes: its bytes are charged at the acquire. */
static bool has_holes(const struct holes *holes)
{
	return !strcmp(fl_context_backend(holes->conform.context), "linux");
}

/* What a call answered with nothing left; has_text: and said. */
struct answer {
	int err;
	bool has_text;
	struct fl_error error;
};

static bool is_refused(const struct answer *answer)
{
	if (answer->err != -ENOMEM)
		return !CHECK_EQ(answer->err, 0);
	return !answer->has_text || CHECK_HAS(answer->error.text, "overcommit");
}

/* Did each call find nothing left? Other processes may give something back just
 * then. */
static bool are_refused(struct holes *holes)
{
	struct answer prefault = { .err = 0 };
	struct answer apply = { .has_text = true }, wake = { .has_text = true };
	size_t count = take_every_page();
	enum fl_trap trap;

	prefault.err = fl_memory_prefault(holes->memory, HOLE_OFF, 10);
	apply.err = fl_memory_apply_segments(holes->memory, holes->module, 0,
					     NULL, &trap, &apply.error);
	wake.err = fl_delta_restore_memory(holes->delta, 0, holes->woken,
					   &wake.error);
	give_back(count);
	CHECK(count < STEPS);
	return is_refused(&prefault) && is_refused(&apply) && is_refused(&wake);
}

/* A hole becomes memory when a page of it is first touched. Where the call is the
 * host's own the kernel is asked first. */
static void calls_write_into_holes(void)
{
	bool is_done = false;
	struct holes holes;
	enum fl_trap trap;

	for (int i = 0; i < 50 && !is_done; i++) {
		holes_open(&holes);
		is_done = !has_holes(&holes) || are_refused(&holes);
		CHECK_EQ(fl_memory_apply_segments(holes.memory, holes.module, 0,
						  NULL, &trap, NULL),
			 0);
		CHECK(!memcmp(holes.memory->base + HOLE_OFF, "late", 4));
		holes_close(&holes);
	}
	CHECK(is_done);
}

/* No call on a table can say that there is no memory: the acquire does. */
static void tables_are_had_whole(void)
{
	struct fl_pool_config config;
	struct fl_table_config wanted;
	struct fl_error error;
	struct conform conform;
	struct fl_image *image;
	struct fl_table *table;
	uint64_t value, sum = 0;
	size_t count;

	conform_pool_config(&config);
	config.max_tables = 2;
	config.table_element_bytes = 8;
	config.max_table_elements = PARTS * PART_BYTES / 8;
	conform_open(&conform, &config);
	image = sparse_image(&conform);
	fl_table_config_init(&wanted);
	wanted.image = image;
	wanted.initial_elements = PARTS * PART_BYTES / 8;
	for (int i = 0; i < 3; i++) {
		CONFORM_MUST(fl_table_acquire(conform.pool, &wanted, &table,
					      &error),
			     &error);
		count = take_every_page();
		for (uint64_t idx = 0; idx < wanted.initial_elements;
		     idx += 500) {
			(void)fl_table_get(table, idx, &value);
			sum |= idx * 8 % PART_BYTES ? value : 0;
		}
		(void)fl_table_set(table, HOLE_OFF / 8, &sum);
		give_back(count);
		CHECK(count < STEPS);
		CHECK_EQ(sum, 0);
		CHECK_EQ(fl_table_release(table), 0);
	}
	fl_image_release(image);
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(nothing_is_left, attack_needs_strict),
	TEST_CASE_NEEDS(calls_write_into_holes, attack_needs_strict),
	TEST_CASE_NEEDS(tables_are_had_whole, attack_needs_strict),
};

ATTACK_HOST_MAIN(cases, ATTACK_STRICT)
