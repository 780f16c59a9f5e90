/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * holes.c - what images may take, and what tenants make of their holes.
 *
 * A guest that touches a zero within an extent makes memory of the image's file.
 * That is counted, is in the budgets, and goes with the slots; what the library
 * does by itself makes none. The judge is the size of the memory file. Where
 * images are no files, nothing ever grows.
 */
#include "tests/kit/conform_module.h"
#include "tests/kit/host.h"
#include "tests/kit/procfs.h"
#include "tests/kit/resources.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define MEMORY_BYTES (64 * MIB)
/* The last extent, and what tests read of it. */
#define HOLE_OFF (33 * MIB)
#define HOLE_BYTES (5 * MIB)
/* Pages that the kernel has in hand when the others go back. */
#define FEW_BYTES (64 * conform_hpage())

/* What all images in memory files take. */
static uint64_t files_bytes(void)
{
	uint64_t sum = 0;
	int fd;

	for (unsigned int i = 0;
	     (fd = procfs_find_fd("faultline-image", i)) >= 0; i++)
		sum += procfs_file_bytes(fd);
	return sum;
}

/* Eight bytes far from one another: more gaps than extents can leave out. */
static struct fl_image *sparse(struct conform *conform)
{
	struct fl_segment segments[8];

	for (uint64_t i = 0; i < 8; i++)
		segments[i] = (struct fl_segment){ i * 8 * MIB, "x", 1 };
	return conform_image(conform, MEMORY_BYTES, segments, 8);
}

static void holes_config(struct fl_pool_config *config)
{
	conform_pool_config(config);
	config->max_memory_bytes = MEMORY_BYTES;
}

static uint64_t read_all(const struct fl_memory *memory, uint64_t off,
			 uint64_t len)
{
	const volatile uint8_t *bytes = memory->base;
	uint64_t sum = 0;

	for (uint64_t at = off; at < off + len; at += conform_hpage())
		sum += bytes[at];
	return sum;
}

static void write_all(struct fl_memory *memory, uint64_t off, uint64_t len)
{
	for (uint64_t at = off; at < off + len; at += conform_hpage())
		memory->base[at] = 1;
}

static void check_small(uint64_t before)
{
	uint64_t now = files_bytes();

	if (!CHECK(now <= before + FEW_BYTES))
		test_note("%ju KiB of images, %ju before",
			  (uintmax_t)now / 1024, (uintmax_t)before / 1024);
}

enum touch {
	READ,
	WRITE,
	PREFAULT,
	FILL,
	TOUCHES
};

static void touch_holes(struct fl_memory *memory, enum touch how)
{
	if (how == READ)
		CHECK_EQ(read_all(memory, HOLE_OFF, HOLE_BYTES), 0);
	else if (how == WRITE)
		write_all(memory, HOLE_OFF, HOLE_BYTES);
	else if (how == PREFAULT)
		CHECK_EQ(fl_memory_prefault(memory, HOLE_OFF, HOLE_BYTES), 0);
	else
		CHECK_EQ(fl_memory_fill(memory, HOLE_OFF, 0, HOLE_BYTES), 0);
}

/* Beyond the budget of a slot, it goes with the tenancy; pooling and on
 * demand. */
static void holes_go_with_the_tenant(void)
{
	for (int kind = 0; kind < 2 * TOUCHES; kind++) {
		struct fl_pool_config config;
		struct fl_image *image;
		struct conform conform;
		uint64_t before;

		holes_config(&config);
		config.max_idle_slot_bytes = MIB;
		if (kind & 1)
			config.allocation = FL_ALLOCATION_ON_DEMAND;
		conform_open(&conform, &config);
		image = sparse(&conform);
		before = files_bytes();
		for (int i = 0; i < 3; i++) {
			struct fl_memory *memory =
				conform_take(&conform, image, 0);

			touch_holes(memory, (enum touch)(kind / 2));
			conform_give(memory);
			check_small(before);
		}
		fl_image_release(image);
		conform_close(&conform);
		if (test_has_failed())
			test_note("kind %d", kind);
	}
}

static uint64_t idle_kept(const struct conform *conform)
{
	return conform_info(conform).idle_kept_bytes;
}

/* Within the budgets it stays, is counted, and goes by trim, by purge, with the
 * pool, and when the budget of all slots is passed. */
static void holes_are_in_the_budgets(void)
{
	for (int how = 0; how < 4; how++) {
		struct fl_pool_usage usage = { .size = sizeof(usage) };
		uint64_t before, trimmed = 0, filled;
		struct fl_pool_config config;
		struct fl_memory *memory, *other;
		struct fl_image *image;
		struct conform conform;

		holes_config(&config);
		config.max_idle_bytes = how == 3 ? 2 * MIB : 100 * MIB;
		conform_open(&conform, &config);
		image = sparse(&conform);
		before = files_bytes();
		memory = conform_take(&conform, image, 0);
		/* A live bystander of the same image keeps nothing alive. */
		other = conform_take(&conform, image, 0);
		(void)read_all(other, HOLE_OFF - MIB, 4 * conform_hpage());
		(void)read_all(memory, HOLE_OFF, HOLE_BYTES);
		filled = files_bytes() - before;
		if (!fl_pool_usage(conform.pool, &usage, NULL))
			CHECK_EQ(usage.hole_bytes, filled);
		conform_give(memory);
		if (how != 3 && filled) {
			CHECK(idle_kept(&conform) >= HOLE_BYTES);
			CHECK(files_bytes() >= before + HOLE_BYTES / 2);
		}
		if (how == 0)
			CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX,
					      &trimmed),
				 0);
		if (how == 0 && filled)
			CHECK(trimmed >= HOLE_BYTES - FEW_BYTES);
		if (how == 1)
			CHECK_EQ(fl_pool_purge(conform.pool, NULL, image, NULL),
				 0);
		if (how == 2) {
			conform_give(other);
			CHECK_EQ(fl_pool_destroy(conform.pool), 0);
		}
		check_small(before);
		fl_image_release(image);
		if (how == 2) {
			fl_context_destroy(conform.context);
			continue;
		}
		conform_give(other);
		conform_close(&conform);
	}
}

/* What the library does by itself touches no hole: audits of tenants that wrote
 * a little or nothing, watching, captures. */
static void the_library_leaves_holes(void)
{
	struct fl_pool_config config;
	struct fl_image *image;
	struct conform conform;
	uint64_t before;

	holes_config(&config);
	config.audit_every = 1;
	conform_open(&conform, &config);
	image = sparse(&conform);
	before = files_bytes();
	for (uint64_t i = 0; i < 8; i++) {
		struct fl_memory *memory = conform_take(&conform, image, 0);
		struct fl_image *captured = NULL;

		if (i < 5)
			memory->base[HOLE_OFF + i / 2 * 3 * MIB] = 1;
		if (i == 6 && CHECK_EQ(fl_image_from_memory(memory, NULL,
							    &captured, NULL),
				       0))
			fl_image_release(captured);
		conform_give(memory);
	}
	check_small(before);
	CHECK_EQ(conform_info(&conform).audit_failures, 0);
	CHECK_EQ(conform_info(&conform).retired_memories, 0);
	fl_image_release(image);
	conform_close(&conform);
}

/* What one tenant wrote into a hole, the next one does not find, whatever went
 * back in between. */
static void holes_are_clean(void)
{
	struct fl_pool_config config;
	struct fl_image *image;
	struct conform conform;

	holes_config(&config);
	config.max_memories = 1;
	config.audit_every = 3;
	conform_open(&conform, &config);
	image = sparse(&conform);
	for (uint64_t i = 0; i < 8; i++) {
		struct fl_memory *memory = conform_take(&conform, image, 0);

		CHECK_EQ(read_all(memory, HOLE_OFF, HOLE_BYTES), 0);
		CHECK_EQ(read_all(memory, 30 * MIB, 20 * MIB), 3 * 'x');
		write_all(memory, HOLE_OFF + i % 3 * MIB, 3 * MIB);
		conform_give(memory);
		if (i % 4 == 3)
			CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL),
				 0);
	}
	CHECK_EQ(conform_info(&conform).audit_failures, 0);
	fl_image_release(image);
	conform_close(&conform);
}

/* ------------------------------------------------------------------ limits */

static void open_limited(struct conform *conform,
			 const struct fl_context_config *config)
{
	struct fl_error error = { .text = "" };
	struct fl_context_config mine = *config;

	mine.backend = test_rung->backend;
	conform->pool = NULL;
	CONFORM_MUST(fl_context_create(&mine, &conform->context, &error),
		     &error);
}

/* count bytes in memories, stride bytes apart in each. */
static struct wasm bytes_far_apart(uint32_t memories, uint32_t count,
				   uint32_t stride)
{
	struct wasm w = { 0 }, types = { 0 }, data = { 0 };

	wasm_header(&w);
	wasm_u(&types, memories);
	for (uint32_t i = 0; i < memories; i++)
		wasm_limits(&types, 0, 65536, 0);
	wasm_section(&w, WASM_MEMORY, &types);
	wasm_u(&data, count);
	for (uint32_t i = 0; i < count; i++)
		module_add_data(&data, i % memories, i / memories * stride,
				"x");
	wasm_section(&w, WASM_DATA, &data);
	return w;
}

static void refuse_module(struct conform *conform, struct wasm w,
			  const char *field)
{
	struct fl_error error = { .text = "" };
	struct fl_module *module = NULL;
	int err = module_try_load(conform, &w, &module, &error);

	CHECK_EQ(err, field ? -E2BIG : 0);
	if (field)
		CHECK_HAS(error.text, field);
	fl_module_release(module);
}

/* By default a module of 300 KB cannot take 120 MB, in one memory or in many. */
static void modules_are_not_amplified(void)
{
	struct fl_context_config config;
	struct conform conform;
	uint64_t before = files_bytes();

	fl_context_config_init(&config);
	open_limited(&conform, &config);
	refuse_module(&conform, bytes_far_apart(1, 30000, 40960),
		      "max_module_image_bytes");
	refuse_module(&conform, bytes_far_apart(50, 30000, 409600),
		      "max_module_image_bytes");
	refuse_module(&conform, bytes_far_apart(50, 400, 512 << 20),
		      "max_module_image_span_bytes");
	refuse_module(&conform, bytes_far_apart(1, 8000, 40960), NULL);
	CHECK_EQ(files_bytes(), before);
	fl_context_destroy(conform.context);
}

/* A limit that is met is no error; one byte less is. Nothing is held after. */
static void limits_are_exact(void)
{
	uint64_t hpage = conform_hpage();
	struct fl_segment segments[10];
	struct fl_error error = { .text = "" };
	struct fl_context_config config;
	struct fl_image *image = NULL, *more = NULL;
	struct conform conform;

	for (uint64_t i = 0; i < 10; i++)
		segments[i] = (struct fl_segment){ i * MIB, "x", 1 };
	fl_context_config_init(&config);
	config.max_module_image_bytes = 10 * hpage - 10;
	config.max_image_bytes = 15 * hpage;
	for (int i = 0; i < 2; i++) {
		open_limited(&conform, &config);
		CHECK_EQ(fl_image_from_segments(conform.context, 16 * MIB,
						segments, 10, &image, &error),
			 i ? -E2BIG : 0);
		if (i) {
			CHECK_HAS(error.text, "max_module_image_bytes");
			fl_context_destroy(conform.context);
			continue;
		}
		/* The same again is too much for the context. */
		CHECK_EQ(fl_image_from_segments(conform.context, 16 * MIB,
						segments, 10, &more, &error),
			 -E2BIG);
		CHECK_HAS(error.text, "max_image_bytes");
		CHECK_EQ(fl_image_from_segments(conform.context, 16 * MIB,
						segments, 5, &more, &error),
			 0);
		fl_image_release(image);
		fl_image_release(more);
		CHECK_EQ(fl_image_from_segments(conform.context, 16 * MIB,
						segments, 10, &image, &error),
			 0);
		fl_image_release(image);
		fl_context_destroy(conform.context);
		config.max_module_image_bytes--;
	}
}

static void spans_are_limited(void)
{
	struct fl_segment segments[10];
	struct fl_error error = { .text = "" };
	struct fl_context_config config;
	struct fl_image *image = NULL;
	struct conform conform;

	for (uint64_t i = 0; i < 10; i++)
		segments[i] = (struct fl_segment){ i * 8 * GIB, "x", 1 };
	fl_context_config_init(&config);
	config.max_module_image_span_bytes = 30 * GIB;
	open_limited(&conform, &config);
	CHECK_EQ(fl_image_from_segments(conform.context, 100 * GIB, segments,
					10, &image, &error),
		 -E2BIG);
	CHECK_HAS(error.text, "max_module_image_span_bytes");
	fl_context_destroy(conform.context);
	config.max_module_image_span_bytes = UINT64_MAX;
	config.max_image_span_bytes = 30 * GIB;
	open_limited(&conform, &config);
	CHECK_EQ(fl_image_from_segments(conform.context, 100 * GIB, segments,
					10, &image, &error),
		 -E2BIG);
	CHECK_HAS(error.text, "max_image_span_bytes");
	CHECK_EQ(fl_image_from_segments(conform.context, 100 * GIB, segments, 4,
					&image, &error),
		 0);
	fl_image_release(image);
	fl_context_destroy(conform.context);
}

/* Bytes at both ends of a 64-bit memory take no address space between. */
static void gaps_take_no_addresses(void)
{
	struct fl_segment segments[2] = { { 0, "a", 1 },
					  { 512 * GIB, "b", 1 } };
	struct procfs_footprint before, after;
	struct fl_image *image;
	struct conform conform;
	char ends[2];

	conform_open(&conform, NULL);
	before = procfs_footprint();
	image = conform_image(&conform, 1024 * GIB, segments, 2);
	after = procfs_footprint();
	CHECK(after.address_bytes < before.address_bytes + 8 * MIB);
	CHECK_EQ(fl_image_read(image, 0, &ends[0], 1), 0);
	CHECK_EQ(fl_image_read(image, 512 * GIB, &ends[1], 1), 0);
	CHECK(ends[0] == 'a' && ends[1] == 'b');
	fl_image_release(image);
	CHECK(procfs_footprint().address_bytes <= after.address_bytes);
	conform_close(&conform);
}

/* Every image in a file holds a descriptor: what runs out has a name. */
static int open_many(void *arg)
{
	struct rlimit limit = { 64, 64 };
	struct fl_error error = { .text = "" };
	struct fl_image *images[200] = { NULL };
	struct conform *conform = arg;
	int err = 0, count = 0;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		return 1;
	while (count < 200 && !err) {
		struct fl_segment segment = { 0, "x", 1 };

		err = fl_image_from_segments(conform->context, WPAGE, &segment,
					     1, &images[count], &error);
		count += !err;
	}
	if (err && (err != -ENOMEM || !strstr(error.text, "ulimit -n")))
		return 2;
	/* What was there serves on, and room that was given back too. */
	for (int i = 0; i < count; i++)
		fl_image_release(images[i]);
	return fl_image_from_segments(conform->context, WPAGE, NULL, 0,
				      &images[0], &error) ?
		       3 :
		       0;
}

static void many_images(void)
{
	struct conform conform;

	conform_open(&conform, NULL);
	conform_check_child(open_many, &conform);
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE(holes_go_with_the_tenant),
	TEST_CASE(holes_are_in_the_budgets),
	TEST_CASE(the_library_leaves_holes),
	TEST_CASE(holes_are_clean),
	TEST_CASE_NEEDS(modules_are_not_amplified, test_needs_64_bits),
	TEST_CASE(limits_are_exact),
	TEST_CASE_NEEDS(spans_are_limited, test_needs_64_bits),
	TEST_CASE_NEEDS(gaps_take_no_addresses, test_needs_space),
	TEST_CASE(many_images),
};

CONFORM_MAIN(cases)
