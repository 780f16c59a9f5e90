/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * image.c - a memory's initial content, built from segments: what
 * fl_image_info(), fl_image_next_run() and fl_image_read() say of it, against the
 * model, and what a memory shows that is acquired with it.
 */
#include "tests/kit/conform_module.h"
#include "tests/kit/random.h"

#include <stdlib.h>

static struct fl_image_info image_info(const struct fl_image *image)
{
	struct fl_image_info info = { .size = sizeof(info) };

	fl_image_info(image, &info);
	return info;
}

/* Runs are in order and apart, and what lies between them is zero. A question
 * from within a run gives the rest of this run. */
static void check_runs(const struct fl_image *image, uint64_t len)
{
	uint64_t hpage = conform_hpage(), hpages = 0, end = 0;
	struct fl_image_run run = { 0, 0 }, other;

	while (fl_image_next_run(image, end, &run)) {
		MUST(run.length_bytes > 0);
		CHECK_EQ(run.offset_bytes % hpage, 0);
		CHECK(!end || run.offset_bytes > end);
		CHECK_EQ(fl_image_next_run(image, end, &other), 1);
		CHECK(!memcmp(&run, &other, sizeof(run)));
		end = run.offset_bytes + run.length_bytes;
		CHECK(end == len || (end < len && end % hpage == 0));
		hpages += (run.length_bytes + hpage - 1) / hpage;
		CHECK_EQ(fl_image_next_run(image, end - 1, &other), 1);
		CHECK_EQ(other.offset_bytes, end - 1);
		CHECK_EQ(other.length_bytes, 1);
	}
	CHECK_EQ(hpages, image_info(image).data_hpages);
	other = run;
	CHECK_EQ(fl_image_next_run(image, len, &run), 0);
	CHECK(!memcmp(&run, &other, sizeof(run)));
}

/* Every answer of the image against the model of the same segments. */
static void check_image(const struct fl_image *image, const struct model *model)
{
	struct fl_image_info info = image_info(image);
	uint64_t hpage = conform_hpage(), len = model->length_bytes;
	uint64_t data_wpages = 0, data_hpages = 0;
	uint8_t *bytes = malloc(len + 1);

	MUST(bytes != NULL);
	CHECK_EQ(info.initial_bytes, len);
	CHECK_EQ(fl_image_read(image, 0, bytes, len), 0);
	CHECK_EQ(model_diff_bytes(model, bytes, len), MODEL_EQUAL);
	free(bytes);
	for (uint64_t off = 0; off < len; off += WPAGE) {
		int has_data = model_has_data(model, off, WPAGE);

		data_wpages += (uint64_t)has_data;
		if (!CHECK_EQ(conform_has_data(image, off, WPAGE), has_data))
			test_note("wpage %ju", (uintmax_t)(off / WPAGE));
	}
	for (uint64_t off = 0; off < len; off += hpage) {
		int has_data = model_has_data(model, off, hpage);

		data_hpages += (uint64_t)has_data;
		if (!CHECK_EQ(conform_has_data(image, off, hpage), has_data))
			test_note("hpage %ju", (uintmax_t)(off / hpage));
	}
	CHECK_EQ(info.data_wpages, data_wpages);
	CHECK_EQ(info.data_hpages, data_hpages);
	check_runs(image, len);
	/* Past the initial size everything is zero. */
	CHECK_EQ(conform_has_data(image, (len / WPAGE + 1) * WPAGE, WPAGE), 0);
	CHECK_EQ(conform_has_data(image, (len / hpage + 1) * hpage, hpage), 0);
	CHECK_EQ(conform_has_data(image, UINT64_MAX / hpage * hpage, hpage), 0);
	CHECK_EQ(conform_has_data(image, UINT64_MAX, 1), 0);
}

/* Build, compare, acquire twice with everything overwritten in between. */
static void check_segments(struct conform *conform, uint64_t initial_bytes,
			   const struct fl_segment *segments, size_t count)
{
	struct fl_image *image =
		conform_image(conform, initial_bytes, segments, count);
	struct model model;

	model_init(&model, initial_bytes, initial_bytes, WPAGE);
	CHECK_EQ(model_apply(&model, segments, count), count);
	CHECK_EQ(image_info(image).trap, FL_TRAP_NONE);
	check_image(image, &model);
	for (int i = 0; i < 3; i++) {
		struct fl_memory *memory = conform_take(conform, image, 0);

		CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
		memset(memory->base, 0xee, initial_bytes);
		conform_give(memory);
	}
	model_fini(&model);
	fl_image_release(image);
}

static void segment_over_a_page_border(void)
{
	static const char big[] = "across the border", small[] = "second";
	const struct fl_segment segments[] = {
		{ WPAGE - 5, big, sizeof(big) },
		{ 2 * WPAGE + 7, small, sizeof(small) },
	};
	struct conform conform;

	conform_open(&conform, NULL);
	check_segments(&conform, 3 * WPAGE, segments, 2);
	conform_close(&conform);
}

static void later_segment_wins(void)
{
	const struct fl_segment segments[] = {
		{ 10, "aaaaaaaaaa", 10 }, { 15, "bbbbbbbbbb", 10 },
		{ 12, "cc", 2 },	  { 4094, "dddd", 4 },
		{ 4095, "\0\0", 2 },	  { 10, "\0", 1 },
	};
	struct conform conform;

	conform_open(&conform, NULL);
	check_segments(&conform, WPAGE, segments, TEST_ARRAY_SIZE(segments));
	conform_close(&conform);
}

static void segments_in_any_order(void)
{
	const struct fl_segment segments[] = {
		{ 3 * WPAGE - 1, "z", 1 },
		{ 0, "first", 5 },
		{ WPAGE + 4096, "middle", 6 },
		{ 3 * WPAGE, "", 0 },
		{ 2, "over", 4 },
	};
	struct conform conform;

	conform_open(&conform, NULL);
	check_segments(&conform, 3 * WPAGE, segments,
		       TEST_ARRAY_SIZE(segments));
	conform_close(&conform);
}

/* What wasm-ld --import-memory writes: long stretches of zeroes that are data
 * in the module and nothing in the image. */
static void zeroes_are_not_data(void)
{
	struct conform conform;
	struct fl_image_info info;
	struct fl_image *image;
	uint8_t *zeroes = calloc(1, 825000);
	const struct fl_segment segments[] = {
		{ 1024, zeroes, 825000 },
		{ 900000, "end", 3 },
	};

	MUST(zeroes != NULL);
	conform_open(&conform, NULL);
	check_segments(&conform, 16 * WPAGE, segments, 2);
	image = conform_image(&conform, 16 * WPAGE, segments, 2);
	info = image_info(image);
	CHECK_EQ(info.data_first_bytes, 1024);
	CHECK_EQ(info.data_end_bytes, 900003);
	CHECK_EQ(info.spanned_wpages, 900003 / WPAGE + 1);
	CHECK_EQ(info.data_wpages, 1);
	CHECK_EQ(info.spanned_hpages,
		 900002 / conform_hpage() - 1024 / conform_hpage() + 1);
	CHECK_EQ(info.data_hpages, 1);
	fl_image_release(image);
	/* Nothing but zeroes. */
	check_segments(&conform, 16 * WPAGE, segments, 1);
	conform_close(&conform);
	free(zeroes);
}

static void image_without_data(void)
{
	struct fl_segment empty = { 77, NULL, 0 };
	struct conform conform;
	struct fl_image_info info;
	struct fl_image *image;

	conform_open(&conform, NULL);
	check_segments(&conform, 2 * WPAGE, NULL, 0);
	check_segments(&conform, 2 * WPAGE, &empty, 1);
	check_segments(&conform, 0, NULL, 0);
	image = conform_image(&conform, 2 * WPAGE, &empty, 1);
	info = image_info(image);
	CHECK_EQ(info.data_first_bytes, 0);
	CHECK_EQ(info.data_end_bytes, 0);
	CHECK_EQ(info.spanned_wpages, 0);
	CHECK_EQ(info.data_wpages, 0);
	CHECK_EQ(info.spanned_hpages, 0);
	CHECK_EQ(info.data_hpages, 0);
	fl_image_release(image);
	conform_close(&conform);
}

/* Data in several places far apart, so that it takes several mappings. */
static void several_extents(void)
{
	struct fl_segment segments[24];
	struct conform conform;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(segments); i++)
		segments[i] =
			(struct fl_segment){ i * 170000 + i, "extent", 6 };
	conform_open(&conform, NULL);
	check_segments(&conform, 64 * WPAGE, segments, 24);
	check_segments(&conform, 64 * WPAGE, segments, 5);
	check_segments(&conform, 64 * WPAGE, segments + 20, 4);
	check_segments(&conform, 64 * WPAGE, segments + 11, 1);
	conform_close(&conform);
}

/* Zero pages cost nothing, wherever they lie in long runs. */
static void long_zero_runs(void)
{
	const struct fl_segment segments[] = {
		{ 64 * MIB + 3, "one", 3 },
		{ 320 * MIB - 1, "two", 3 },
		{ 500 * MIB, "three", 5 },
	};
	struct fl_pool_config config;
	struct fl_image_info info;
	struct conform conform;
	struct fl_image *image;

	conform_pool_config(&config);
	config.max_memories = config.max_instances = 3;
	config.max_memory_bytes = 512 * MIB;
	conform_open(&conform, &config);
	image = conform_image(&conform, 512 * MIB, segments, 3);
	info = image_info(image);
	CHECK_EQ(info.initial_bytes, 512 * MIB);
	CHECK_EQ(info.data_wpages, 4);
	CHECK_EQ(info.spanned_wpages, (500 - 64) * MIB / WPAGE + 1);
	CHECK(info.stored_bytes <= MIB);
	for (int i = 0; i < 3; i++) {
		struct fl_memory *memory = conform_take(&conform, image, 0);

		for (size_t s = 0; s < 3; s++) {
			uint8_t *at = memory->base + segments[s].offset_bytes;

			CHECK(!memcmp(at, segments[s].bytes,
				      segments[s].length_bytes));
			CHECK_EQ(at[-1], 0);
			CHECK_EQ(at[segments[s].length_bytes], 0);
			memset(at - 5000, 0xdd, 10000);
		}
		CHECK_EQ(memory->base[0], 0);
		CHECK_EQ(memory->base[200 * MIB], 0);
		CHECK_EQ(memory->base[512 * MIB - 1], 0);
		memory->base[0] = 1;
		memory->base[200 * MIB] = 1;
		memory->base[512 * MIB - 1] = 1;
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
}

static void sizes_off_the_page(void)
{
	/* No multiple of anything. */
	static const uint64_t sizes[] = { 1,	 5,	6,	4095,
					  4096,	 4097,	65534,	65535,
					  65537, 70000, 761927, 4194304 - 1 };
	struct conform conform;

	conform_open(&conform, NULL);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		uint64_t size = sizes[i];
		const struct fl_segment segments[] = {
			{ size - 1, "e", 1 },
			{ 0, "s", 1 },
			{ size, "", 0 },
			{ size / 2, "m", 1 },
		};

		check_segments(&conform, size, segments, 4);
	}
	conform_close(&conform);
}

struct trap_case {
	uint64_t size;
	struct fl_segment segments[3];
	uint32_t trap_idx;
};

/* "Let n be the length; if the offset + n is larger than the memory, trap": the
 * segments before it stay written, the later ones never come. */
static void segment_out_of_bounds(void)
{
	static const struct trap_case cases[] = {
		{ WPAGE,
		  { { 0, "a", 1 }, { WPAGE, "b", 1 }, { 1, "c", 1 } },
		  1 },
		{ WPAGE, { { WPAGE - 1, "ab", 2 }, { 0, "c", 1 } }, 0 },
		{ WPAGE,
		  { { 0, "x", 1 }, { 1, "y", 1 }, { WPAGE + 1, "", 0 } },
		  2 },
		{ WPAGE, { { 9, "x", 1 }, { UINT64_MAX, "y", 1 } }, 1 },
		{ WPAGE, { { 9, "x", 1 }, { UINT64_MAX - 1, "yz", 2 } }, 1 },
		{ WPAGE, { { 9, "x", 1 }, { UINT64_MAX, "", 0 } }, 1 },
		{ WPAGE, { { 9, "x", 1 }, { 1ull << 32, "y", 1 } }, 1 },
		{ 0, { { 0, "", 0 }, { 0, "y", 1 } }, 1 },
		{ 5, { { 0, "12345", 5 }, { 5, "", 0 }, { 3, "abc", 3 } }, 2 },
	};
	struct conform conform;

	conform_open(&conform, NULL);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(cases); i++) {
		const struct trap_case *c = &cases[i];
		struct fl_error error = { .code = 0 };
		struct fl_memory *memory = NULL;
		struct fl_memory_config config;
		struct fl_image *image =
			conform_image(&conform, c->size, c->segments, 3);
		struct fl_image_info info = image_info(image);
		struct model model;

		CHECK_EQ(info.trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
		CHECK_EQ(info.trap_segment_idx, c->trap_idx);
		model_init(&model, c->size, c->size, WPAGE);
		CHECK_EQ(model_apply(&model, c->segments, 3), c->trap_idx);
		check_image(image, &model);
		model_fini(&model);
		fl_memory_config_init(&config);
		config.image = image;
		CHECK_EQ(fl_memory_acquire(conform.pool, &config, &memory,
					   &error),
			 -EFAULT);
		CHECK_EQ(error.code, -EFAULT);
		CHECK_EQ(error.trap, FL_TRAP_MEMORY_OUT_OF_BOUNDS);
		CHECK(memory == NULL);
		CHECK_EQ(conform_info(&conform).live_memories, 0);
		fl_image_release(image);
	}
	conform_close(&conform);
}

static void read_of_a_part(void)
{
	static const char text[] = "some data";
	uint8_t buf[32];
	struct conform conform;
	struct fl_image *image;

	conform_open(&conform, NULL);
	image = conform_image_of(&conform, 70000, 65530, text, sizeof(text));
	memset(buf, 0xaa, sizeof(buf));
	CHECK_EQ(fl_image_read(image, 65532, buf, 7), 0);
	CHECK(!memcmp(buf, text + 2, 7));
	CHECK_EQ(buf[7], 0xaa);
	CHECK_EQ(fl_image_read(image, 70000 - 4, buf, 4), 0);
	CHECK_EQ(conform_first_data(buf, 4), 4);
	CHECK_EQ(fl_image_read(image, 70000, buf, 0), 0);
	CHECK_EQ(fl_image_read(image, 70000, buf, 1), -EINVAL);
	CHECK_EQ(fl_image_read(image, 70001, buf, 0), -EINVAL);
	CHECK_EQ(fl_image_read(image, 69999, buf, 2), -EINVAL);
	CHECK_EQ(fl_image_read(image, UINT64_MAX, buf, 1), -EINVAL);
	CHECK_EQ(fl_image_read(image, 1, buf, UINT64_MAX), -EINVAL);
	fl_image_release(image);
	conform_close(&conform);
}

/* The bytes are copied, and every image is another one. */
static void image_owns_its_bytes(void)
{
	char text[] = "before";
	struct conform conform;
	struct fl_memory *memory;
	struct fl_image *first, *second;
	uint64_t serial;

	conform_open(&conform, NULL);
	first = conform_image_of(&conform, WPAGE, 100, text, 6);
	serial = image_info(first).serial;
	memcpy(text, "AFTER!", 6);
	memory = conform_take(&conform, first, 0);
	CHECK(!memcmp(memory->base + 100, "before", 6));
	/* The memory keeps its image, whatever was not read yet included. */
	CHECK(fl_image_retain(first) == first);
	fl_image_release(first);
	fl_image_release(first);
	second = conform_image_of(&conform, WPAGE, 100, text, 6);
	CHECK(image_info(second).serial != serial);
	CHECK(!memcmp(memory->base + 100, "before", 6));
	conform_give(memory);
	/* Identity is not the address: the slot must not show the first. */
	memory = conform_take(&conform, second, 0);
	CHECK(!memcmp(memory->base + 100, "AFTER!", 6));
	conform_give(memory);
	fl_image_release(second);
	conform_close(&conform);
}

static void image_released_before_its_first_page_is_read(void)
{
	struct conform conform;
	struct fl_memory *memory;
	struct fl_image *image;

	conform_open(&conform, NULL);
	image = conform_image_of(&conform, 32 * WPAGE, 20 * WPAGE, "late", 4);
	memory = conform_take(&conform, image, 0);
	fl_image_release(image);
	CHECK(!memcmp(memory->base + 20 * WPAGE, "late", 4));
	conform_give(memory);
	conform_close(&conform);
}

static void image_serves_several_pools(void)
{
	struct fl_memory_config config;
	struct conform one, two;
	struct fl_memory *memories[2];
	struct fl_image *image;
	struct fl_error error = { .text = "" };

	conform_open(&one, NULL);
	two.context = one.context;
	two.pool = NULL;
	{
		struct fl_pool_config pool_config;

		conform_pool_config(&pool_config);
		pool_config.max_memory_bytes = 8 * MIB;
		CONFORM_MUST(fl_pool_create(two.context, &pool_config,
					    &two.pool, &error),
			     &error);
	}
	image = conform_image_of(&one, WPAGE, 0, "shared", 6);
	fl_memory_config_init(&config);
	config.image = image;
	memories[0] = conform_acquire(&one, &config);
	memories[1] = conform_acquire(&two, &config);
	memcpy(memories[0]->base, "mine..", 6);
	CHECK(!memcmp(memories[1]->base, "shared", 6));
	conform_give(memories[0]);
	conform_give(memories[1]);
	fl_image_release(image);
	CHECK_EQ(fl_pool_destroy(two.pool), 0);
	conform_close(&one);
}

/* A context, a pool and an image may be let go in any order. */
static void context_goes_with_the_last(void)
{
	struct conform conform;
	struct fl_memory *memory;
	struct fl_image *image;

	conform_open(&conform, NULL);
	fl_context_destroy(conform.context);
	image = conform_image_of(&conform, WPAGE, 0, "alive", 5);
	memory = conform_take(&conform, image, 0);
	CHECK(!memcmp(memory->base, "alive", 5));
	conform_give(memory);
	CHECK_EQ(fl_pool_destroy(conform.pool), 0);
	{
		char buf[5];

		CHECK_EQ(fl_image_read(image, 0, buf, 5), 0);
		CHECK(!memcmp(buf, "alive", 5));
	}
	fl_image_release(image);
	fl_image_release(NULL);
	fl_context_destroy(NULL);
	CHECK_EQ(fl_pool_destroy(NULL), 0);
}

/* An info struct of an older, shorter header is filled that far. */
static void shorter_info(void)
{
	struct conform conform;
	struct fl_image *image;
	struct fl_image_info info;

	conform_open(&conform, NULL);
	image = conform_image_of(&conform, WPAGE, 0, "x", 1);
	memset(&info, 0x5a, sizeof(info));
	info.size = offsetof(struct fl_image_info, spanned_wpages);
	fl_image_info(image, &info);
	CHECK_EQ(info.initial_bytes, WPAGE);
	CHECK_EQ(info.data_end_bytes, 1);
	CHECK_EQ(info.spanned_wpages, 0x5a5a5a5a5a5a5a5aull);
	CHECK_EQ(info.serial, 0x5a5a5a5a5a5a5a5aull);
	fl_image_release(image);
	conform_close(&conform);
}

/* ------------------------------------------------------------------- random */

#define RANDOM_SEGMENTS 40

/* Half of the segments lie near page borders, some are zeroes, and in some
 * rounds one does not fit. */
static size_t random_segments(struct test_random *random, uint64_t size,
			      uint8_t *bytes, struct fl_segment *segments)
{
	size_t count = test_random_below(random, RANDOM_SEGMENTS);

	for (size_t i = 0; i < count; i++) {
		uint64_t off = test_random_below(random, size + 1);
		uint64_t len = test_random_below(random, 9000);

		if (test_random_below(random, 2))
			off = off / 4096 * 4096 + test_random_below(random, 5);
		if (off > size)
			off = size;
		if (len > size - off && test_random_below(random, 50))
			len = size - off;
		segments[i].offset_bytes = off;
		segments[i].length_bytes = len;
		/* The first 10,000 bytes are zero, the rest is not. */
		segments[i].bytes = bytes +
				    (test_random_below(random, 4) ? 10000 : 0) +
				    test_random_below(random, 1000);
	}
	return count;
}

static void random_images(void)
{
	struct fl_segment segments[RANDOM_SEGMENTS];
	struct test_random random;
	struct conform conform;
	uint8_t bytes[20000];

	test_random_init(&random, 20261120);
	memset(bytes, 0, 10000);
	for (size_t i = 10000; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)test_random_below(&random, 256);
	conform_open(&conform, NULL);
	for (int i = 0; i < 60 && !test_has_failed(); i++) {
		uint64_t size = test_random_below(&random, MIB);
		size_t count = random_segments(&random, size, bytes, segments);
		struct fl_image *image =
			conform_image(&conform, size, segments, count);
		struct model model;
		size_t fits;

		model_init(&model, size, size, WPAGE);
		fits = model_apply(&model, segments, count);
		check_image(image, &model);
		CHECK_EQ(image_info(image).trap,
			 fits < count ? FL_TRAP_MEMORY_OUT_OF_BOUNDS :
					FL_TRAP_NONE);
		if (fits < count) {
			CHECK_EQ(image_info(image).trap_segment_idx, fits);
		} else {
			struct fl_memory *memory =
				conform_take(&conform, image, 0);

			CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
			memset(memory->base, 0x77, size);
			conform_give(memory);
		}
		model_fini(&model);
		fl_image_release(image);
	}
	conform_close(&conform);
}

/* The same bytes in one context give the same images, whoever goes first. */
static void equal_modules_share_images(void)
{
	struct fl_image_info info[3];
	struct fl_module *modules[3];
	struct conform conform;

	conform_open(&conform, NULL);
	for (int i = 0; i < 3; i++) {
		struct wasm w = { 0 };

		wasm_header(&w);
		wasm_one_memory(&w, 2, WASM_NO_MAX);
		wasm_one_data(&w, 70000, i == 2 ? "hallo" : "hello", 5);
		modules[i] = module_load(&conform, &w);
		info[i].size = sizeof(info[i]);
		fl_image_info(fl_module_image(modules[i], 0), &info[i]);
	}
	CHECK_EQ(info[0].serial, info[1].serial);
	CHECK(fl_module_image(modules[0], 0) == fl_module_image(modules[1], 0));
	CHECK(info[2].serial != info[0].serial);
	/* The first goes; its image is the second's too. */
	fl_module_release(modules[0]);
	for (int i = 1; i < 3; i++) {
		struct fl_instance *instance =
			instance_start(&conform, modules[i]);

		CHECK(!memcmp(fl_instance_memory(instance, 0)->base + 70000,
			      i == 2 ? "hallo" : "hello", 5));
		instance_stop(instance);
		fl_module_release(modules[i]);
	}
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE(equal_modules_share_images),
	TEST_CASE(segment_over_a_page_border),
	TEST_CASE(later_segment_wins),
	TEST_CASE(segments_in_any_order),
	TEST_CASE(zeroes_are_not_data),
	TEST_CASE(image_without_data),
	TEST_CASE(several_extents),
	TEST_CASE(long_zero_runs),
	TEST_CASE(sizes_off_the_page),
	TEST_CASE(segment_out_of_bounds),
	TEST_CASE(read_of_a_part),
	TEST_CASE(image_owns_its_bytes),
	TEST_CASE(image_released_before_its_first_page_is_read),
	TEST_CASE(image_serves_several_pools),
	TEST_CASE(context_goes_with_the_last),
	TEST_CASE(shorter_info),
	TEST_CASE(random_images),
};

CONFORM_MAIN(cases)
