/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reuse.c - what the next tenant of a slot sees: image and zeroes,
 * whatever the ones before wrote, grew, or had written by the kernel.
 *
 * What others found worth a regression test holds here too: tests/README, "The
 * anchor's cases".
 */
#define _GNU_SOURCE
#include "tests/kit/conform.h"
#include "tests/kit/host.h"
#include "tests/kit/procfs.h"
#include "tests/kit/random.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>

/* -------------------------------------------------------------------- reuse */

static void zero_after_ten_reuses(void)
{
	struct conform conform;
	uint8_t *base = NULL;

	conform_open_one_slot(&conform);
	for (int i = 0; i < 11; i++) {
		struct fl_memory *memory = conform_take(&conform, NULL, WPAGE);

		if (!base)
			base = memory->base;
		CHECK(memory->base == base);
		conform_check_zero(memory);
		memset(memory->base, 0xfe, WPAGE);
		conform_give(memory);
	}
	conform_close(&conform);
}

/* The same with an image, whose pages the tenant overwrites, all or some. */
static void image_after_ten_reuses(void)
{
	static const char text[] = "initial content";
	const struct fl_segment segments[] = {
		{ 3 * 4096 + 5, text, sizeof(text) },
		{ 9 * WPAGE - 4, text, sizeof(text) },
	};
	struct conform conform;
	struct fl_image *image;
	struct model model;

	conform_open_one_slot(&conform);
	image = conform_image(&conform, 16 * WPAGE, segments, 2);
	model_init(&model, 16 * WPAGE, 16 * WPAGE, WPAGE);
	model_apply(&model, segments, 2);
	for (int i = 0; i < 11; i++) {
		struct fl_memory *memory = conform_take(&conform, image, 0);

		CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
		if (i % 3)
			memset(memory->base, i, 16 * WPAGE);
		else
			memory->base[9 * WPAGE] = 0xff;
		conform_give(memory);
	}
	model_fini(&model);
	fl_image_release(image);
	conform_close(&conform);
}

/* Pages that the tenant read but did not write, and pages it never touched,
 * among pages it wrote. */
static void sparse_writes_are_undone(void)
{
	uint8_t *data = malloc(16 * WPAGE);
	struct test_random random;
	struct conform conform;
	struct fl_image *image;

	MUST(data != NULL);
	test_random_init(&random, 7);
	for (size_t i = 0; i < 16 * WPAGE; i++)
		data[i] = (uint8_t)(i * 31 + (i >> 12) + 1);
	conform_open_one_slot(&conform);
	image = conform_image_of(&conform, 16 * WPAGE, 0, data, 16 * WPAGE);
	for (int round = 0; round < 60 && !test_has_failed(); round++) {
		struct fl_memory *memory = conform_take(&conform, image, 0);
		volatile uint8_t *base = memory->base;

		for (int i = 0; i < 64; i++) {
			uint64_t off = test_random_below(&random, 16 * WPAGE);

			CHECK_EQ(base[off], data[off]);
		}
		for (int i = 0; i < round % 20; i++)
			base[test_random_below(&random, 16 * WPAGE)] ^= 0xff;
		if (round % 10 == 9) {
			conform_give(memory);
			memory = conform_take(&conform, image, 0);
			CHECK(!memcmp(memory->base, data, 16 * WPAGE));
		}
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
	free(data);
}

/* Some pages are written by every tenant for a while, some now and then, some
 * no more: an engine that learns from the past must not rely on it. */
static void writes_in_changing_patterns(void)
{
	uint8_t *data = malloc(5 * MIB);
	struct test_random random;
	struct conform conform;
	struct fl_pool_config config;
	struct fl_image *image;

	MUST(data != NULL);
	test_random_init(&random, 77);
	for (size_t i = 0; i < 5 * MIB; i++)
		data[i] = (uint8_t)(i % 253 + i / 65536);
	conform_pool_config(&config);
	config.max_memories = 1;
	config.max_memory_bytes = 8 * MIB;
	conform_open(&conform, &config);
	image = conform_image_of(&conform, 6 * MIB, 0, data, 5 * MIB);
	for (uint64_t i = 0; i < 240 && !test_has_failed(); i++) {
		struct fl_memory *memory = conform_take(&conform, image, 0);
		volatile uint8_t *base = memory->base;
		uint64_t hot = i / 40 * 300000;

		if (i % 4 == 0 || i % 40 < 3) {
			CHECK(!memcmp(memory->base, data, 5 * MIB));
			CHECK_EQ(conform_first_data(memory->base + 5 * MIB,
						    MIB),
				 MIB);
		}
		for (uint64_t k = 0; k < 16; k++)
			base[hot + k * 4096 + i % 4096] ^= 0x55;
		for (uint64_t k = 0; k < i % 5; k++)
			base[test_random_below(&random, 6 * MIB)] ^= 0xaa;
		if (i % 11 == 0)
			CHECK_EQ(fl_memory_grow(memory, 8, NULL), 0);
		if (i % 22 == 0)
			base[6 * MIB + 5] = 9;
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
	free(data);
}

/* Host pages that each tenant writes, side by side, for a while: an engine that
 * knows them must not lose what lies between, before or behind them. */
static const struct {
	uint64_t from, to, gap_from, gap_to;
} written_runs[] = {
	{ 0, 16, 16, 17 },	{ 0, 200, 60, 61 },	{ 0, 1000, 512, 513 },
	{ 3, 400, 200, 201 },	{ 100, 1024, 0, 1 },	{ 64, 192, 192, 300 },
	{ 500, 900, 511, 513 }, { 0, 1024, 0, 0 },	{ 0, 7, 300, 500 },
	{ 10, 1020, 40, 700 },	{ 128, 512, 600, 601 },
};

static void write_run(volatile uint8_t *base, size_t run, uint64_t i)
{
	for (uint64_t k = written_runs[run].from; k < written_runs[run].to; k++)
		if (k < written_runs[run].gap_from ||
		    k >= written_runs[run].gap_to || i % 7 == 3)
			base[k * 4096 + i % 4096] ^= 0xa5;
	/* Beside the run, where nobody or only an earlier run wrote. */
	if (i % 5 == 2)
		base[written_runs[run].to * 4096 % (4 * MIB)] ^= 0x5a;
	if (i % 5 == 4)
		base[(written_runs[run].from + 1023) % 1024 * 4096 + 4095] ^= 1;
	if (i % 9 == 5)
		base[i * 977 * 4096 % (4 * MIB)] ^= 0xff;
}

static void long_runs_every_time(void)
{
	uint8_t *data = malloc(4 * MIB);
	struct conform conform;
	struct fl_pool_config config;
	struct fl_image *image;

	MUST(data != NULL);
	for (size_t i = 0; i < 4 * MIB; i++)
		data[i] = (uint8_t)(i % 251 + i / 4096);
	conform_pool_config(&config);
	config.max_memories = 1;
	config.max_memory_bytes = 8 * MIB;
	conform_open(&conform, &config);
	image = conform_image_of(&conform, 4 * MIB, 0, data, 4 * MIB);
	for (size_t run = 0; run < FL_ARRAY_SIZE(written_runs); run++) {
		for (uint64_t i = 0; i < 45 && !test_has_failed(); i++) {
			struct fl_memory *memory =
				conform_take(&conform, image, 0);

			CHECK(i % 3 == 1 ||
			      !memcmp(memory->base, data, 4 * MIB));
			write_run(memory->base, run, i);
			conform_give(memory);
		}
	}
	fl_image_release(image);
	conform_close(&conform);
	free(data);
}

#define FAR_IMAGE (48 * MIB)
#define FAR_BYTES (64 * MIB)

/* Some bytes of a chunk that nobody has touched, its first page among them. */
static void far_bytes(struct fl_memory *memory, uint64_t chunk, bool writes)
{
	for (uint64_t at = chunk * 2 * MIB; at < (chunk + 1) * 2 * MIB;
	     at += 300 * KIB) {
		volatile uint8_t *byte = memory->base + at;

		CHECK_EQ(*byte, at < FAR_IMAGE ? 0x5a : 0);
		if (writes)
			*byte ^= 0x11;
	}
}

/* Most tenants write in the first page alone, and nothing reads what nobody has
 * touched: then one tenant goes further than any before it, and may be followed
 * by others that do. */
static void further_than_any_before(void)
{
	uint8_t *data = malloc(FAR_IMAGE);
	struct conform conform;
	struct fl_pool_config config;
	struct fl_image *image;

	MUST(data != NULL);
	memset(data, 0x5a, FAR_IMAGE);
	conform_pool_config(&config);
	config.max_memories = 1;
	config.max_memory_bytes = FAR_BYTES + 4 * MIB;
	/* No page table is shared with what lies behind the slot. */
	config.guard_after_bytes = 4 * MIB;
	conform_open(&conform, &config);
	image = conform_image_of(&conform, FAR_BYTES, 0, data, FAR_IMAGE);
	for (uint64_t i = 0; i < 32 * 6 && !test_has_failed(); i++) {
		struct fl_memory *memory = conform_take(&conform, image, 0);

		CHECK_EQ(memory->base[7], 0x5a);
		memory->base[7] = (uint8_t)i;
		/* Once, or in two tenancies: written, then looked at. */
		if (i % 6 == 4 || (i % 6 == 5 && i % 4))
			far_bytes(memory, i / 6, true);
		if (i % 48 == 40) {
			MUST_EQ(fl_memory_grow(memory, 20, NULL), 0);
			CHECK_EQ(memory->base[FAR_BYTES + MIB], 0);
			memory->base[FAR_BYTES + MIB] = 1;
		}
		conform_give(memory);
	}
	for (uint64_t chunk = 0; chunk < 32; chunk++) {
		struct fl_memory *memory = conform_take(&conform, image, 0);

		if (chunk)
			far_bytes(memory, chunk, false);
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
	free(data);
}

/* What the tenant before left, image or bytes, shows in none of the
 * next ones. */
static void switch_image_and_no_image(void)
{
	struct conform conform;
	struct fl_image *images[3];
	static const int order[] = { 0, 2, 1, 2, 0, 1, 0, 2, 2, 1, 1, 0, 0, 2 };
	static const uint64_t offs[] = { 4096, 5 * WPAGE + 77 };
	static const char *const texts[] = { "image one", "image two" };
	struct model models[3];

	conform_open_one_slot(&conform);
	for (int i = 0; i < 2; i++) {
		struct fl_segment segment = { offs[i], texts[i], 9 };

		images[i] = conform_image(
			&conform, (uint64_t)(i + 3) * 2 * WPAGE, &segment, 1);
		model_init(&models[i], (uint64_t)(i + 3) * 2 * WPAGE,
			   UINT64_MAX, WPAGE);
		model_apply(&models[i], &segment, 1);
	}
	images[2] = NULL;
	model_init(&models[2], 10 * WPAGE, UINT64_MAX, WPAGE);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(order); i++) {
		int which = order[i];
		struct fl_memory *memory =
			conform_take(&conform, images[which],
				     images[which] ? 0 : 10 * WPAGE);

		CHECK_EQ(model_diff(&models[which], memory), MODEL_EQUAL);
		if (i % 2)
			memset(memory->base, 0xbb, fl_memory_length(memory));
		conform_give(memory);
	}
	for (int i = 0; i < 3; i++) {
		model_fini(&models[i]);
		fl_image_release(images[i]);
	}
	conform_close(&conform);
}

/* What was grown is zero for whoever grows next. */
static void grown_memory_is_clean_again(void)
{
	struct conform conform;
	uint64_t old;

	conform_open_one_slot(&conform);
	for (int i = 0; i < 4; i++) {
		struct fl_memory *memory =
			conform_take(&conform, NULL, 5 * WPAGE);

		CHECK_EQ(fl_memory_length(memory), 5 * WPAGE);
		conform_check_zero(memory);
		CHECK_EQ(fl_memory_grow(memory, 15, &old), 0);
		CHECK_EQ(old, 5);
		conform_check_zero(memory);
		memset(memory->base, 0x99, 20 * WPAGE);
		CHECK_EQ(fl_memory_grow(memory, 44, NULL), 0);
		CHECK_EQ(conform_first_data(memory->base + 20 * WPAGE,
					    44 * WPAGE),
			 44 * WPAGE);
		memset(memory->base + 20 * WPAGE, 0x88, 44 * WPAGE);
		conform_give(memory);
	}
	conform_close(&conform);
}

/* The image is larger than what the next tenant starts with, and it grows over
 * the place where the image was. */
static void grow_over_an_old_image(void)
{
	uint8_t data[300];
	struct conform conform;
	struct fl_image *image;

	memset(data, 0x44, sizeof(data));
	conform_open_one_slot(&conform);
	image = conform_image_of(&conform, 32 * WPAGE, 20 * WPAGE, data, 300);
	for (int i = 0; i < 3; i++) {
		struct fl_memory *memory = conform_take(&conform, image, 0);

		CHECK_EQ(memory->base[20 * WPAGE], 0x44);
		conform_give(memory);
		memory = conform_take(&conform, NULL, WPAGE);
		CHECK_EQ(fl_memory_grow(memory, 63, NULL), 0);
		conform_check_zero(memory);
		if (i)
			memset(memory->base, 0x55, 64 * WPAGE);
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
}

/* Also the bytes behind the size up to the end of the host page. */
static void custom_page_sizes_in_one_slot(void)
{
	static const uint64_t sizes[] = { 5, 6, 4095, 5, 4097, 1, 0, 9000, 3 };
	uint64_t hpage = conform_hpage(), old;
	struct conform conform;

	conform_open_one_slot(&conform);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		uint64_t size = sizes[i], open = conform_round_up(size, hpage);
		struct fl_memory *memory =
			conform_take_sized(&conform, size, UINT64_MAX, 1);

		CHECK_EQ(fl_memory_length(memory), size);
		CHECK_EQ(conform_first_data(memory->base, open), open);
		CHECK_EQ(fl_memory_grow(memory, 3, &old), 0);
		CHECK_EQ(old, size);
		CHECK_EQ(fl_memory_length(memory), size + 3);
		conform_check_zero(memory);
		open = conform_round_up(size + 3, hpage);
		memset(memory->base, 0xcc, open);
		conform_give(memory);
	}
	conform_close(&conform);
}

static void prefix_bytes_are_clean(void)
{
	uint64_t hpage = conform_hpage();
	static const uint64_t prefixes[] = { 24, 1, 8192 };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(prefixes); i++) {
		uint64_t prefix = prefixes[i];
		struct fl_pool_config config;
		struct conform conform;
		struct fl_image *image;

		conform_pool_config(&config);
		config.max_memories = 2;
		config.prefix_bytes = prefix;
		conform_open(&conform, &config);
		image = conform_image_of(&conform, 2 * WPAGE, 0, "at zero", 7);
		for (int round = 0; round < 8; round++) {
			bool has_image = round % 3;
			struct fl_memory *memory = conform_take(
				&conform, has_image ? image : NULL, 2 * WPAGE);
			uint64_t open = conform_round_up(prefix, hpage);

			CHECK_EQ(conform_first_data(memory->base - open, open),
				 open);
			if (has_image)
				CHECK(!memcmp(memory->base, "at zero", 7));
			else
				conform_check_zero(memory);
			memset(memory->base - prefix, 0x31, prefix + 2 * WPAGE);
			if (round % 2)
				memset(memory->base - open, 0x32, open);
			conform_give(memory);
		}
		fl_image_release(image);
		conform_close(&conform);
	}
}

/* An accessible pool cannot stop a tenant from writing beyond its size, and the
 * next one must not see it. */
static void writes_beyond_the_size_are_clean(void)
{
	struct fl_pool_config config;
	struct conform conform;

	conform_pool_config(&config);
	config.max_memories = 1;
	config.bounds = FL_BOUNDS_ACCESSIBLE;
	conform_open(&conform, &config);
	for (int i = 0; i < 3; i++) {
		struct fl_memory *memory = conform_take(&conform, NULL, WPAGE);

		CHECK_EQ(conform_first_data(memory->base, 4 * MIB), 4 * MIB);
		memset(memory->base, 0x41, 4 * MIB);
		conform_give(memory);
	}
	conform_close(&conform);
}

/* ------------------------------------------------------------------- kernel */

/* The ways into guest memory that take no fault in user mode. */
static ssize_t write_by_mem_file(uint8_t *dst, uint8_t *src, size_t len)
{
	int fd = procfs_open_memory();
	ssize_t n = pwrite(fd, src, len, (off_t)(uintptr_t)dst);

	close(fd);
	return n;
}

static ssize_t write_by_process(uint8_t *dst, uint8_t *src, size_t len)
{
	struct iovec from = { src, len }, to = { dst, len };

	return process_vm_writev(getpid(), &from, 1, &to, 1, 0);
}

/* Written behind the library's back, into pages that are fresh, read, or
 * written before, round after round. */
static void other_kernel_writes_are_undone(void)
{
	static ssize_t (*const ways[])(uint8_t *, uint8_t *,
				       size_t) = { write_by_mem_file,
						   write_by_process };
	struct test_random random;
	struct conform conform;
	struct fl_image *image;
	uint8_t bytes[9000];

	test_random_init(&random, 8);
	memset(bytes, 0x7d, sizeof(bytes));
	conform_open_one_slot(&conform);
	image = conform_image_of(&conform, 64 * WPAGE, MIB, bytes, 9000);
	for (int i = 0; i < 40; i++) {
		struct fl_memory *memory =
			conform_take(&conform, image, 64 * WPAGE);
		struct model model;

		model_init(&model, 64 * WPAGE, 64 * WPAGE, WPAGE);
		model_put(&model, MIB, bytes, 9000, 0, 9000);
		CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
		model_fini(&model);
		for (int k = 0; k < 4; k++) {
			uint64_t off = test_random_below(&random, 3 * MIB);

			if (k == 2)
				off = MIB - 100;
			CHECK_EQ(ways[i % 2](memory->base + off, bytes, 9000),
				 9000);
			CHECK_EQ(memory->base[off + 8999], 0x7d);
		}
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
}

/* read(2) into guest memory that nobody touched, and release afterwards: what
 * the kernel wrote is undone too. */
static void kernel_writes_are_undone(void)
{
	uint8_t *bytes = malloc(32768), *back = malloc(32768);
	struct conform conform;
	struct fl_image *image;
	int fds[2];

	MUST(bytes && back);
	memset(bytes, 0x6b, 32768);
	MUST_EQ(pipe2(fds, O_CLOEXEC), 0);
	conform_open_one_slot(&conform);
	image = conform_image_of(&conform, 8 * WPAGE, 2 * WPAGE, "img", 3);
	for (int i = 0; i < 6; i++) {
		struct fl_memory *memory =
			conform_take(&conform, i % 2 ? image : NULL, 8 * WPAGE);
		uint64_t off = 2 * WPAGE - 1000;

		CHECK_EQ(conform_first_data(memory->base, 2 * WPAGE),
			 2 * WPAGE);
		CHECK_EQ(memory->base[2 * WPAGE], i % 2 ? 'i' : 0);
		CHECK_EQ(write(fds[1], bytes, 32768), 32768);
		CHECK_EQ(fl_memory_prefault(memory, off, 32768), 0);
		CHECK_EQ(read(fds[0], memory->base + off, 32768), 32768);
		CHECK(!memcmp(memory->base + off, bytes, 32768));
		CHECK_EQ(write(fds[1], memory->base + off, 32768), 32768);
		CHECK_EQ(read(fds[0], back, 32768), 32768);
		CHECK(!memcmp(back, bytes, 32768));
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
	close(fds[0]);
	close(fds[1]);
	free(bytes);
	free(back);
}

/* Pages reclaimed, aged or collapsed into large ones between a tenant's writes
 * and its release, as the kernel does by itself under pressure. Where it cannot
 * (no swap, no large pages) nothing happens. */
static void kernel_moves_pages(void)
{
	static const int advices[] = { 21 /* MADV_PAGEOUT */,
				       20 /* MADV_COLD */,
				       25 /* MADV_COLLAPSE */ };
	uint8_t *data = malloc(4 * MIB);
	struct test_random random;
	struct conform conform;
	struct fl_image *image;

	MUST(data != NULL);
	test_random_init(&random, 9);
	for (size_t i = 0; i < 4 * MIB; i++)
		data[i] = (uint8_t)(i / 4096 * 7 + i % 251);
	conform_open_one_slot(&conform);
	image = conform_image_of(&conform, 4 * MIB, 0, data, 4 * MIB);
	for (int i = 0; i < 36; i++) {
		bool has_image = i % 9 < 6;
		struct fl_memory *memory = conform_take(
			&conform, has_image ? image : NULL, 4 * MIB);
		volatile uint8_t *base = memory->base;

		if (has_image)
			CHECK(!memcmp(memory->base, data, 4 * MIB));
		else
			conform_check_zero(memory);
		for (int k = 0; k < 40; k++)
			base[test_random_below(&random, 4 * MIB)] ^= 0xff;
		madvise(memory->base, 4 * MIB, advices[i % 3]);
		if (i % 2) {
			for (int k = 0; k < 40; k++)
				base[test_random_below(&random, 4 * MIB)] = 3;
			madvise(memory->base, 4 * MIB, advices[(i + 1) % 3]);
		}
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
	free(data);
}

/* Nine host pages with the image over the middle three: every set of them
 * written, so that runs begin and end in the image, around it, and across both
 * of its edges. */
static void every_pattern_of_nine_pages(void)
{
	uint64_t hpage = conform_hpage(), len = 9 * hpage;
	uint8_t *content = calloc(1, len);
	struct conform conform;
	struct fl_image *image;

	MUST(content != NULL);
	memset(content + 3 * hpage, 0x2b, 3 * hpage);
	conform_open_one_slot(&conform);
	image = conform_image_of(&conform, len, 3 * hpage, content + 3 * hpage,
				 3 * hpage);
	for (uint32_t pattern = 0; pattern < 512; pattern++) {
		struct fl_memory *memory = conform_take(&conform, image, 0);

		CHECK(!memcmp(memory->base, content, len));
		for (uint32_t i = 0; i < 9; i++) {
			if (pattern >> i & 1)
				memset(memory->base + i * hpage, 0x91, hpage);
		}
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
	free(content);
}

static const struct test_case cases[] = {
	TEST_CASE(every_pattern_of_nine_pages),
	TEST_CASE(zero_after_ten_reuses),
	TEST_CASE(image_after_ten_reuses),
	TEST_CASE(sparse_writes_are_undone),
	TEST_CASE(writes_in_changing_patterns),
	TEST_CASE(long_runs_every_time),
	TEST_CASE(further_than_any_before),
	TEST_CASE(switch_image_and_no_image),
	TEST_CASE(grown_memory_is_clean_again),
	TEST_CASE(grow_over_an_old_image),
	TEST_CASE(custom_page_sizes_in_one_slot),
	TEST_CASE(prefix_bytes_are_clean),
	TEST_CASE(writes_beyond_the_size_are_clean),
	TEST_CASE(kernel_writes_are_undone),
	TEST_CASE_NEEDS(other_kernel_writes_are_undone,
			test_needs_process_writes),
	TEST_CASE(kernel_moves_pages),
};

CONFORM_MAIN(cases)
