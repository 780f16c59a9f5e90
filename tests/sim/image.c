/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * image.c - image maps against the bytes that the segments give: planned,
 * filled, and walked piece by piece. Pure; nothing of the kernel is needed.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "image/image.h"

#include <stdlib.h>
#include <string.h>

#define HPAGE ((uint64_t)4096)
#define INITIAL ((uint64_t)6 << 20)
#define MAX_SEGMENTS 40

struct model {
	struct fl_segment segments[MAX_SEGMENTS];
	size_t count;
	uint8_t *expected; /* INITIAL bytes */
	struct fl__image_map map;
	uint8_t *storage;
};

static enum fl__segment_status list_get(const struct fl__segments *segments,
					size_t idx, struct fl_segment *segment,
					struct fl_error *error)
{
	(void)error;
	*segment = ((const struct fl_segment *)segments->owner)[idx];
	return FL__SEGMENT_OURS;
}

static void model_add(struct model *model, uint64_t off, const void *bytes,
		      uint64_t len)
{
	MUST(model->count < MAX_SEGMENTS && off + len <= INITIAL);
	model->segments[model->count++] = (struct fl_segment){
		.offset_bytes = off,
		.bytes = bytes,
		.length_bytes = len,
	};
	memcpy(model->expected + off, bytes, len);
}

static void model_begin(struct model *model)
{
	*model = (struct model){ .expected = calloc(1, INITIAL) };
	MUST(model->expected);
}

static int model_put(void *user, uint64_t off, const void *bytes, uint64_t len)
{
	memcpy((uint8_t *)user + off, bytes, len);
	return 0;
}

static void model_plan(struct model *model)
{
	struct fl__segments segments = {
		.count = model->count,
		.owner = model->segments,
		.get = list_get,
	};

	MUST(!fl__image_map_plan(&model->map, &segments, INITIAL, HPAGE, NULL));
	model->storage = calloc(1, fl__image_map_span_bytes(&model->map) + 1);
	MUST(model->storage);
	MUST(!fl__image_map_fill(&model->map, &segments, model_put,
				 model->storage));
	fl__image_map_refine(&model->map, model->storage);
}

static void model_end(struct model *model)
{
	fl__image_map_fini(&model->map);
	free(model->storage);
	free(model->expected);
}

typedef bool next_fn(const struct fl__image_map *map, const uint8_t *bytes,
		     uint64_t at, uint64_t end, struct fl__piece *piece);

/* Pieces follow each other without a gap to the end and show what is expected;
 * returns how many there are. */
static unsigned check_pieces(const struct model *model, next_fn *next,
			     uint64_t at, uint64_t end)
{
	struct fl__piece piece;
	unsigned count = 0;

	for (; next(&model->map, model->storage, at, end, &piece);
	     at += piece.len) {
		const uint8_t *expected = model->expected + at;

		MUST(piece.len && piece.len <= end - at);
		CHECK_EQ(piece.off, at);
		if (piece.bytes)
			CHECK(!memcmp(expected, piece.bytes, piece.len));
		else
			CHECK(fl_is_zero(expected, piece.len));
		count++;
	}
	CHECK(at >= end);
	return count;
}

static void no_map_is_all_zeroes(void)
{
	struct fl__piece piece;

	CHECK(fl__image_map_next(NULL, NULL, 5, 12345, &piece));
	CHECK(piece.off == 5 && piece.len == 12340 && !piece.bytes);
	CHECK(!fl__image_map_next(NULL, NULL, 12345, 12345, &piece));
	CHECK(!fl__image_map_next(NULL, NULL, 2, 1, &piece));
}

static void map_without_data_is_all_zeroes(void)
{
	struct model model;

	model_begin(&model);
	model_plan(&model);
	CHECK_EQ(check_pieces(&model, fl__image_map_next, 0, INITIAL), 1);
	CHECK_EQ(check_pieces(&model, fl__image_map_next_data, 7, 9), 1);
	CHECK_EQ(check_pieces(&model, fl__image_map_next, 9, 9), 0);
	model_end(&model);
}

/* A memory with data in the page lead is of so many mappings. */
static void count_lead(uint64_t lead, unsigned int pieces)
{
	struct fl__piece piece;
	struct model model;

	model_begin(&model);
	model_add(&model, lead * HPAGE, "a", 1);
	model_plan(&model);
	CHECK_EQ(check_pieces(&model, fl__image_map_next, 0, INITIAL), pieces);
	MUST(fl__image_map_next_data(&model.map, model.storage, 0, INITIAL,
				     &piece));
	CHECK_EQ(piece.is_data, !lead);
	model_end(&model);
}

/* Few zeroes below the data are no mapping of their own. */
static void zeroes_below_the_data(void)
{
	count_lead(0, 2);
	count_lead(1, 2);
	count_lead(FL__IMAGE_MAX_LEAD_BYTES / HPAGE, 2);
	count_lead(FL__IMAGE_MAX_LEAD_BYTES / HPAGE + 1, 3);
}

/* Two extents, the second of two pages with a hole between them. */
static void borders_of_extents_and_of_data(void)
{
	struct fl__piece piece;
	struct model model;

	model_begin(&model);
	model_add(&model, 3 * HPAGE + 1, "abc", 3);
	model_add(&model, 800 * HPAGE, "d", 1);
	model_add(&model, 803 * HPAGE - 1, "ef", 2);
	model_plan(&model);
	CHECK_EQ(model.map.extent_count, 2);
	CHECK_EQ(check_pieces(&model, fl__image_map_next, 0, INITIAL), 4);
	CHECK_EQ(check_pieces(&model, fl__image_map_next_data, 0, INITIAL), 7);
	/* Cut at both ends. */
	MUST(fl__image_map_next(&model.map, model.storage, 3 * HPAGE + 2,
				3 * HPAGE + 4, &piece));
	CHECK(piece.len == 2 && !memcmp(piece.bytes, "bc", 2));
	MUST(fl__image_map_next(&model.map, model.storage, 4 * HPAGE, INITIAL,
				&piece));
	CHECK(piece.len == 796 * HPAGE && !piece.bytes);
	MUST(fl__image_map_next(&model.map, model.storage, 801 * HPAGE, INITIAL,
				&piece));
	CHECK(piece.len == 3 * HPAGE && piece.bytes);
	MUST(fl__image_map_next_data(&model.map, model.storage, 801 * HPAGE,
				     INITIAL, &piece));
	CHECK(piece.len == HPAGE && !piece.bytes);
	model_end(&model);
}

static void random_maps(void)
{
	static uint8_t noise[3 * 4096];
	struct test_random random;

	test_random_init(&random, 7);
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)test_random_below(&random, 256);
	for (unsigned round = 0; round < 60; round++) {
		unsigned count =
			(unsigned)test_random_below(&random, MAX_SEGMENTS);
		struct model model;

		model_begin(&model);
		while (count--) {
			uint64_t len =
				test_random_below(&random, sizeof(noise));

			model_add(&model,
				  test_random_below(&random, INITIAL - len),
				  noise, len);
		}
		model_plan(&model);
		CHECK(check_pieces(&model, fl__image_map_next, 0, INITIAL) <=
		      2 * model.map.extent_count + 1);
		check_pieces(&model, fl__image_map_next_data, 0, INITIAL);
		for (unsigned i = 0; i < 20; i++) {
			uint64_t at = test_random_below(&random, INITIAL);
			uint64_t end =
				at + test_random_below(&random, INITIAL - at);

			check_pieces(&model, fl__image_map_next, at, end);
			check_pieces(&model, fl__image_map_next_data, at, end);
		}
		model_end(&model);
	}
}

static const struct test_case cases[] = {
	TEST_CASE(no_map_is_all_zeroes),
	TEST_CASE(map_without_data_is_all_zeroes),
	TEST_CASE(zeroes_below_the_data),
	TEST_CASE(borders_of_extents_and_of_data),
	TEST_CASE(random_maps),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
