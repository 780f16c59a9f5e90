/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * sim_slots.c - which index is handed out, against a model that looks at every
 * index each time. Pure; nothing of the kernel is needed.
 */
#include "test.h"

#include "lib/slots.h"

#include <string.h>

#define MODEL_SLOTS 64

enum state {
	COLD,
	USED,
	FREE,
	RETIRED
};

struct slots_model {
	uint32_t capacity;
	uint64_t clock;
	struct {
		enum state state;
		uint64_t affinity;
		uint64_t freed; /* when */
	} slots[MODEL_SLOTS];
};

static uint32_t count_state(const struct slots_model *model, enum state state)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < model->capacity; i++)
		n += model->slots[i].state == state;
	return n;
}

#define ANY UINT64_MAX

/* The youngest or oldest free index, of an affinity or of any. */
static uint32_t find_free(const struct slots_model *model, uint64_t affinity,
			  bool youngest)
{
	uint32_t found = FL__SLOT_NONE;

	for (uint32_t i = 0; i < model->capacity; i++) {
		if (model->slots[i].state != FREE ||
		    (affinity != ANY && model->slots[i].affinity != affinity))
			continue;
		if (found == FL__SLOT_NONE ||
		    (model->slots[i].freed > model->slots[found].freed) ==
			    youngest)
			found = i;
	}
	return found;
}

/* What take() must give; COLD slots are alike, so any of them stands for the
 * answer "a cold one". */
static bool is_right(const struct slots_model *model, enum fl_strategy strategy,
		     uint32_t max_warm, uint64_t affinity, uint32_t got)
{
	uint32_t n_cold = count_state(model, COLD);
	uint32_t n_free = count_state(model, FREE);
	uint32_t affine;

	if (!n_cold && !n_free)
		return got == FL__SLOT_NONE;
	if (got >= model->capacity)
		return false;
	if (strategy == FL_STRATEGY_RANDOM)
		return model->slots[got].state == FREE ||
		       model->slots[got].state == COLD;
	if (strategy == FL_STRATEGY_NEXT_AVAILABLE)
		return n_free ? got == find_free(model, ANY, true) :
				model->slots[got].state == COLD;
	affine = find_free(model, affinity, true);
	if (affine == FL__SLOT_NONE)
		affine = find_free(model, 0, true);
	if (affine != FL__SLOT_NONE)
		return got == affine;
	/* No free one is emptied: all are warm. */
	if (n_cold && (n_free < max_warm || !n_free))
		return model->slots[got].state == COLD;
	return got == find_free(model, ANY, false);
}

static void model_give(struct slots_model *model, uint32_t idx,
		       uint64_t affinity)
{
	model->slots[idx].state = FREE;
	model->slots[idx].affinity = affinity;
	model->slots[idx].freed = ++model->clock;
}

static void check_counts(const struct fl__slots *slots,
			 const struct slots_model *model)
{
	CHECK(fl__slots_is_valid(slots));
	CHECK_EQ(slots->free_count, count_state(model, FREE));
	CHECK_EQ(slots->used_count, count_state(model, USED));
	CHECK_EQ(slots->retired_count, count_state(model, RETIRED));
}

static void random_step(struct test_random *random, struct fl__slots *slots,
			struct slots_model *model, enum fl_strategy strategy,
			uint32_t max_warm)
{
	uint32_t start = (uint32_t)test_random_below(random, model->capacity);
	uint64_t affinity = test_random_below(random, 6);
	uint32_t idx;

	if (test_random_below(random, 2)) {
		idx = fl__slots_take(slots, affinity);
		CHECK(is_right(model, strategy, max_warm, affinity, idx));
		if (idx != FL__SLOT_NONE)
			model->slots[idx].state = USED;
		return;
	}
	for (uint32_t i = 0; i < model->capacity; i++) {
		idx = (start + i) % model->capacity;
		if (model->slots[idx].state != USED)
			continue;
		if (test_random_below(random, 60)) {
			fl__slots_give(slots, idx, affinity);
			model_give(model, idx, affinity);
		} else {
			fl__slots_retire(slots, idx);
			model->slots[idx].state = RETIRED;
		}
		return;
	}
}

static void run_random(enum fl_strategy strategy)
{
	static const uint32_t warm[] = { 0, 1, 5, 20, 1000 };
	static const uint32_t capacities[] = { 1, 2, 7, MODEL_SLOTS };
	struct test_random random;

	test_random_init(&random, 3);
	for (int i = 0; i < 20; i++) {
		struct slots_model model = { .capacity = capacities[i % 4] };
		uint32_t max_warm = warm[i / 4];
		struct fl__slots slots;

		MUST_EQ(fl__slots_init(&slots, model.capacity, strategy,
				       max_warm, 12345),
			0);
		check_counts(&slots, &model);
		for (int step = 0; step < 1500 && !test_has_failed(); step++) {
			random_step(&random, &slots, &model, strategy,
				    max_warm);
			check_counts(&slots, &model);
		}
		fl__slots_fini(&slots);
	}
}

static void reuse_affinity(void)
{
	run_random(FL_STRATEGY_REUSE_AFFINITY);
}

static void next_available(void)
{
	run_random(FL_STRATEGY_NEXT_AVAILABLE);
}

static void any_at_random(void)
{
	run_random(FL_STRATEGY_RANDOM);
}

static void nothing_at_all(void)
{
	struct fl__slots slots;

	MUST_EQ(fl__slots_init(&slots, 0, FL_STRATEGY_REUSE_AFFINITY, 10, 0),
		0);
	CHECK_EQ(fl__slots_take(&slots, 1), FL__SLOT_NONE);
	CHECK_EQ(fl__slots_take_affine(&slots, 1), FL__SLOT_NONE);
	CHECK_EQ(fl__slots_take_oldest(&slots), FL__SLOT_NONE);
	CHECK(fl__slots_is_valid(&slots));
	fl__slots_fini(&slots);
}

static void only_what_is_affine(void)
{
	struct fl__slots slots;
	uint32_t a, b;

	MUST_EQ(fl__slots_init(&slots, 4, FL_STRATEGY_REUSE_AFFINITY, 4, 0), 0);
	CHECK_EQ(fl__slots_take_affine(&slots, 7), FL__SLOT_NONE);
	a = fl__slots_take(&slots, 7);
	b = fl__slots_take(&slots, 7);
	fl__slots_give(&slots, a, 7);
	fl__slots_give(&slots, b, 8);
	CHECK_EQ(fl__slots_take_affine(&slots, 9), FL__SLOT_NONE);
	CHECK_EQ(fl__slots_take_affine(&slots, 7), a);
	CHECK_EQ(fl__slots_take_affine(&slots, 7), FL__SLOT_NONE);
	CHECK_EQ(fl__slots_take_affine(&slots, 8), b);
	CHECK(fl__slots_is_valid(&slots));
	fl__slots_fini(&slots);
}

/* Trimming takes the oldest with an image, and leaves those without. */
static void oldest_first_for_trimming(void)
{
	struct fl__slots slots;
	uint32_t taken[4];

	MUST_EQ(fl__slots_init(&slots, 4, FL_STRATEGY_REUSE_AFFINITY, 4, 0), 0);
	for (int i = 0; i < 4; i++)
		taken[i] = fl__slots_take(&slots, 1);
	fl__slots_give(&slots, taken[2], 0);
	fl__slots_give(&slots, taken[1], 5);
	fl__slots_give(&slots, taken[3], 6);
	CHECK_EQ(fl__slots_take_oldest(&slots), taken[1]);
	CHECK_EQ(fl__slots_take_oldest(&slots), taken[3]);
	CHECK_EQ(fl__slots_take_oldest(&slots), FL__SLOT_NONE);
	CHECK(fl__slots_is_valid(&slots));
	fl__slots_fini(&slots);
}

/* Each of 16 free indices is as likely as another: 16,000 draws, 1,000 each;
 * five standard deviations are 153. */
static void random_is_uniform(void)
{
	uint32_t counts[16] = { 0 };
	struct fl__slots slots;

	MUST_EQ(fl__slots_init(&slots, 16, FL_STRATEGY_RANDOM, 4, 99), 0);
	for (int i = 0; i < 16000; i++) {
		uint32_t idx = fl__slots_take(&slots, 1);

		MUST(idx < 16);
		counts[idx]++;
		fl__slots_give(&slots, idx, 1);
	}
	for (int i = 0; i < 16; i++)
		CHECK(counts[i] > 847 && counts[i] < 1153);
	fl__slots_fini(&slots);
}

/* More affinities over time than indices: groups are taken back. */
static void many_affinities(void)
{
	struct fl__slots slots;

	MUST_EQ(fl__slots_init(&slots, 3, FL_STRATEGY_REUSE_AFFINITY, 3, 0), 0);
	for (uint64_t affinity = 1; affinity < 5000; affinity++) {
		uint32_t idx = fl__slots_take(&slots, affinity);

		MUST(idx < 3);
		fl__slots_give(&slots, idx, affinity);
		CHECK_EQ(fl__slots_take(&slots, affinity), idx);
		fl__slots_give(&slots, idx, affinity);
		if (affinity % 100 == 0)
			CHECK(fl__slots_is_valid(&slots));
	}
	fl__slots_fini(&slots);
}

static const struct test_case cases[] = {
	TEST_CASE(reuse_affinity),	TEST_CASE(next_available),
	TEST_CASE(any_at_random),	TEST_CASE(nothing_at_all),
	TEST_CASE(only_what_is_affine), TEST_CASE(oldest_first_for_trimming),
	TEST_CASE(random_is_uniform),	TEST_CASE(many_affinities),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
