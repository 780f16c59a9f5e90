/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * places.c - which slot an address is in, against an array of all addresses.
 *
 * Slots of one to three extents come and go at random, also where others were,
 * and of another length. Pure; nothing of the kernel is needed.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "uffd/load/places.h"

#include <string.h>

#define UNITS 600
#define UNIT ((uint64_t)0x1000)
#define BASE ((uint64_t)0x10000000)
#define SPACES 40

static struct fl_image images[2];

struct model {
	struct fl__places places;
	struct fl__space spaces[SPACES];
	uint64_t units[SPACES]; /* of the slot; 0: not shown */
	const struct fl__space *at[UNITS];
	uint64_t taken[UNITS]; /* by a slot, shown there or not */
	struct test_random random;
};

static bool is_free(const struct model *model, uint64_t first, uint64_t count)
{
	for (uint64_t i = first; i < first + count; i++) {
		if (i >= UNITS || model->taken[i])
			return false;
	}
	return true;
}

static void extent_add(struct model *model, uint32_t idx, uint64_t first,
		       uint64_t count)
{
	const struct fl__place place = {
		.start = BASE + first * UNIT,
		.end = BASE + (first + count) * UNIT,
		.image = &images[idx % 2],
		.space = &model->spaces[idx],
	};

	CHECK_EQ(fl__places_add(&model->places, &place), 0);
	for (uint64_t i = first; i < first + count; i++)
		model->at[i] = place.space;
}

/* Up to three extents, with what is not shown between them. */
static void slot_show(struct model *model, uint32_t idx)
{
	uint64_t first = test_random_below(&model->random, UNITS);
	uint64_t count = 1 + test_random_below(&model->random, 20);
	uint64_t at = first;

	if (!is_free(model, first, count))
		return;
	for (uint64_t i = first; i < first + count; i++)
		model->taken[i] = 1;
	model->spaces[idx].base = (uint8_t *)(uintptr_t)(BASE + first * UNIT);
	model->units[idx] = count;
	for (int i = 0; i < 3 && at < first + count; i++) {
		uint64_t len = 1 + test_random_below(&model->random,
						     first + count - at);

		at += test_random_below(&model->random, 2);
		if (at + len > first + count)
			break;
		extent_add(model, idx, at, len);
		at += len;
	}
}

static void slot_drop(struct model *model, uint32_t idx)
{
	uint64_t start = (uintptr_t)model->spaces[idx].base;
	uint64_t first = (start - BASE) / UNIT;
	const struct fl__space *space = &model->spaces[idx];

	fl__places_drop(&model->places, space, start,
			start + model->units[idx] * UNIT);
	for (uint64_t i = first; i < first + model->units[idx]; i++)
		model->taken[i] = 0;
	model->units[idx] = 0;
	for (uint64_t i = 0; i < UNITS; i++) {
		if (model->at[i] == space)
			model->at[i] = NULL;
	}
}

static void check_all(const struct model *model)
{
	for (uint64_t i = 0; i < UNITS; i++) {
		const struct fl__place *place = fl__places_at(
			&model->places, BASE + i * UNIT + i % UNIT);

		if ((place ? place->space : NULL) != model->at[i]) {
			CHECK(place ? place->space == model->at[i] :
				      !model->at[i]);
			return;
		}
	}
}

static void slots_come_and_go(void)
{
	static struct model model;

	memset(&model, 0, sizeof(model));
	test_random_init(&model.random, 9);
	CHECK(!fl__places_at(&model.places, BASE));
	for (int step = 0; step < 20000; step++) {
		uint32_t idx =
			(uint32_t)test_random_below(&model.random, SPACES);

		if (model.units[idx])
			slot_drop(&model, idx);
		else
			slot_show(&model, idx);
		check_all(&model);
	}
	/* 120 extents at once at most. */
	CHECK(model.places.capacity <= 448);
	for (uint32_t i = 0; i < SPACES; i++) {
		if (model.units[i])
			slot_drop(&model, i);
	}
	CHECK(!fl__places_show(&model.places, &images[0]));
	CHECK(!fl__places_show(&model.places, &images[1]));
	CHECK_EQ(model.places.gap_count, model.places.count);
	fl__places_fini(&model.places);
}

static const struct test_case cases[] = {
	TEST_CASE(slots_come_and_go),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
