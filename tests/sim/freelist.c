/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * freelist.c - which index is handed out, against a model that looks at every
 * index each time: random operations, and every short sequence of operations
 * there is. Pure; nothing of the kernel is needed.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "slots/freelist.h"

#include <stdlib.h>
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
	uint32_t found = FL__IDX_NONE;

	for (uint32_t i = 0; i < model->capacity; i++) {
		if (model->slots[i].state != FREE ||
		    (affinity != ANY && model->slots[i].affinity != affinity))
			continue;
		if (found == FL__IDX_NONE ||
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
		return got == FL__IDX_NONE;
	if (got >= model->capacity)
		return false;
	if (strategy == FL_STRATEGY_RANDOM)
		return model->slots[got].state == FREE ||
		       model->slots[got].state == COLD;
	if (strategy == FL_STRATEGY_NEXT_AVAILABLE)
		return n_free ? got == find_free(model, ANY, true) :
				model->slots[got].state == COLD;
	affine = find_free(model, affinity, true);
	if (affine == FL__IDX_NONE)
		affine = find_free(model, 0, true);
	if (affine != FL__IDX_NONE)
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

/* The oldest free index that is not emptied. */
static uint32_t find_oldest_warm(const struct slots_model *model)
{
	uint32_t found = FL__IDX_NONE;

	for (uint32_t i = 0; i < model->capacity; i++) {
		if (model->slots[i].state == FREE && model->slots[i].affinity &&
		    (found == FL__IDX_NONE ||
		     model->slots[i].freed < model->slots[found].freed))
			found = i;
	}
	return found;
}

static void check_counts(const struct fl__freelist *slots,
			 const struct slots_model *model)
{
	CHECK(fl__freelist_is_valid(slots));
	CHECK_EQ(slots->free_count, count_state(model, FREE));
	CHECK_EQ(slots->used_count, count_state(model, USED));
	CHECK_EQ(slots->retired_count, count_state(model, RETIRED));
	/* At hand without a search, however many emptied ones are older. */
	CHECK_EQ(slots->warm.oldest, find_oldest_warm(model));
}

static void random_step(struct test_random *random, struct fl__freelist *slots,
			struct slots_model *model, enum fl_strategy strategy,
			uint32_t max_warm)
{
	uint32_t start = (uint32_t)test_random_below(random, model->capacity);
	uint64_t affinity = test_random_below(random, 6);
	uint32_t idx;

	if (test_random_below(random, 2)) {
		idx = fl__freelist_take(slots, affinity);
		CHECK(is_right(model, strategy, max_warm, affinity, idx));
		if (idx != FL__IDX_NONE)
			model->slots[idx].state = USED;
		return;
	}
	for (uint32_t i = 0; i < model->capacity; i++) {
		idx = (start + i) % model->capacity;
		if (model->slots[idx].state != USED)
			continue;
		if (test_random_below(random, 60)) {
			fl__freelist_give(slots, idx, affinity);
			model_give(model, idx, affinity);
		} else {
			fl__freelist_retire(slots, idx);
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
		struct fl__freelist slots;

		MUST_EQ(fl__freelist_init(&slots, model.capacity, strategy,
					  max_warm, 12345),
			0);
		check_counts(&slots, &model);
		for (int step = 0; step < 1500 && !test_has_failed(); step++) {
			random_step(&random, &slots, &model, strategy,
				    max_warm);
			check_counts(&slots, &model);
		}
		fl__freelist_fini(&slots);
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
	struct fl__freelist slots;

	MUST_EQ(fl__freelist_init(&slots, 0, FL_STRATEGY_REUSE_AFFINITY, 10, 0),
		0);
	CHECK_EQ(fl__freelist_take(&slots, 1), FL__IDX_NONE);
	CHECK_EQ(fl__freelist_take_affine(&slots, 1), FL__IDX_NONE);
	CHECK_EQ(fl__freelist_take_oldest(&slots), FL__IDX_NONE);
	CHECK(fl__freelist_is_valid(&slots));
	fl__freelist_fini(&slots);
}

static void only_what_is_affine(void)
{
	struct fl__freelist slots;
	uint32_t a, b;

	MUST_EQ(fl__freelist_init(&slots, 4, FL_STRATEGY_REUSE_AFFINITY, 4, 0),
		0);
	CHECK_EQ(fl__freelist_take_affine(&slots, 7), FL__IDX_NONE);
	a = fl__freelist_take(&slots, 7);
	b = fl__freelist_take(&slots, 7);
	fl__freelist_give(&slots, a, 7);
	fl__freelist_give(&slots, b, 8);
	CHECK_EQ(fl__freelist_take_affine(&slots, 9), FL__IDX_NONE);
	CHECK_EQ(fl__freelist_take_affine(&slots, 7), a);
	CHECK_EQ(fl__freelist_take_affine(&slots, 7), FL__IDX_NONE);
	CHECK_EQ(fl__freelist_take_affine(&slots, 8), b);
	CHECK(fl__freelist_is_valid(&slots));
	fl__freelist_fini(&slots);
}

/* Trimming takes the oldest with an image, and leaves those without. */
static void oldest_first_for_trimming(void)
{
	struct fl__freelist slots;
	uint32_t taken[4];

	MUST_EQ(fl__freelist_init(&slots, 4, FL_STRATEGY_REUSE_AFFINITY, 4, 0),
		0);
	for (int i = 0; i < 4; i++)
		taken[i] = fl__freelist_take(&slots, 1);
	fl__freelist_give(&slots, taken[2], 0);
	fl__freelist_give(&slots, taken[1], 5);
	fl__freelist_give(&slots, taken[3], 6);
	CHECK_EQ(fl__freelist_take_oldest(&slots), taken[1]);
	CHECK_EQ(fl__freelist_take_oldest(&slots), taken[3]);
	CHECK_EQ(fl__freelist_take_oldest(&slots), FL__IDX_NONE);
	CHECK(fl__freelist_is_valid(&slots));
	fl__freelist_fini(&slots);
}

/* Each of 16 free indices is as likely as another: 16,000 draws, 1,000 each;
 * five standard deviations are 153. */
static void random_is_uniform(void)
{
	uint32_t counts[16] = { 0 };
	struct fl__freelist slots;

	MUST_EQ(fl__freelist_init(&slots, 16, FL_STRATEGY_RANDOM, 4, 99), 0);
	for (int i = 0; i < 16000; i++) {
		uint32_t idx = fl__freelist_take(&slots, 1);

		MUST(idx < 16);
		counts[idx]++;
		fl__freelist_give(&slots, idx, 1);
	}
	for (int i = 0; i < 16; i++)
		CHECK(counts[i] > 847 && counts[i] < 1153);
	fl__freelist_fini(&slots);
}

/* More affinities over time than indices: groups are taken back. */
static void many_affinities(void)
{
	struct fl__freelist slots;

	MUST_EQ(fl__freelist_init(&slots, 3, FL_STRATEGY_REUSE_AFFINITY, 3, 0),
		0);
	for (uint64_t affinity = 1; affinity < 5000; affinity++) {
		uint32_t idx = fl__freelist_take(&slots, affinity);

		MUST(idx < 3);
		fl__freelist_give(&slots, idx, affinity);
		CHECK_EQ(fl__freelist_take(&slots, affinity), idx);
		fl__freelist_give(&slots, idx, affinity);
		if (affinity % 100 == 0)
			CHECK(fl__freelist_is_valid(&slots));
	}
	fl__freelist_fini(&slots);
}

/* ---------------------------------------------------------- every sequence */

#define STEPS_MAX 8

enum op_kind {
	OP_TAKE,
	OP_TAKE_AFFINE,
	OP_TAKE_OLDEST,
	OP_GIVE,
	OP_RETIRE
};

struct op {
	enum op_kind kind;
	uint32_t idx; /* of a give and a retirement */
	uint64_t affinity;
};

struct explorer {
	enum fl_strategy strategy;
	uint32_t capacity, max_warm;
	uint32_t steps; /* of the longest sequence */
	struct op ops[STEPS_MAX];
	uint64_t sequences;
};

/* What an operation answers; false: not what it should. */
static bool op_run(const struct explorer *explorer, const struct op *op,
		   struct fl__freelist *slots, struct slots_model *model)
{
	uint32_t got, want;
	bool is_good = true;

	switch (op->kind) {
	case OP_GIVE:
		fl__freelist_give(slots, op->idx, op->affinity);
		model_give(model, op->idx, op->affinity);
		return true;
	case OP_RETIRE:
		fl__freelist_retire(slots, op->idx);
		model->slots[op->idx].state = RETIRED;
		return true;
	case OP_TAKE:
		got = fl__freelist_take(slots, op->affinity);
		is_good = is_right(model, explorer->strategy,
				   explorer->max_warm, op->affinity, got);
		break;
	case OP_TAKE_AFFINE:
		got = fl__freelist_take_affine(slots, op->affinity);
		want = find_free(model, op->affinity, true);
		is_good = got == want;
		break;
	default:
		got = fl__freelist_take_oldest(slots);
		want = find_oldest_warm(model);
		is_good = got == want;
	}
	if (is_good && got != FL__IDX_NONE)
		model->slots[got].state = USED;
	return is_good;
}

/* The first count operations, from the beginning; the last is checked, the
 * others were when they were the last. */
static void explore_run(struct explorer *explorer, uint32_t count,
			struct slots_model *model)
{
	struct fl__freelist slots;
	bool is_good = true;

	*model = (struct slots_model){ .capacity = explorer->capacity };
	MUST_EQ(fl__freelist_init(&slots, explorer->capacity,
				  explorer->strategy, explorer->max_warm, 7),
		0);
	for (uint32_t i = 0; i < count && is_good; i++)
		is_good = op_run(explorer, &explorer->ops[i], &slots, model);
	if (!CHECK(is_good)) {
		for (uint32_t i = 0; i < count; i++)
			test_note("%u: op %d, index %u, affinity %u", i,
				  explorer->ops[i].kind, explorer->ops[i].idx,
				  (unsigned int)explorer->ops[i].affinity);
	} else {
		check_counts(&slots, model);
	}
	explorer->sequences++;
	fl__freelist_fini(&slots);
}

static void explore(struct explorer *explorer, uint32_t count);

static void explore_op(struct explorer *explorer, uint32_t count,
		       enum op_kind kind, uint32_t idx, uint64_t affinity)
{
	explorer->ops[count] = (struct op){ kind, idx, affinity };
	explore(explorer, count + 1);
}

/* Everything that a caller may do next. */
static void explore(struct explorer *explorer, uint32_t count)
{
	struct slots_model model;

	explore_run(explorer, count, &model);
	if (count == explorer->steps || test_has_failed())
		return;
	for (uint64_t affinity = 1; affinity <= 2; affinity++) {
		explore_op(explorer, count, OP_TAKE, 0, affinity);
		explore_op(explorer, count, OP_TAKE_AFFINE, 0, affinity);
	}
	explore_op(explorer, count, OP_TAKE_OLDEST, 0, 0);
	for (uint32_t i = 0; i < explorer->capacity; i++) {
		if (model.slots[i].state != USED)
			continue;
		for (uint64_t affinity = 0; affinity <= 2; affinity++)
			explore_op(explorer, count, OP_GIVE, i, affinity);
		explore_op(explorer, count, OP_RETIRE, i, 0);
	}
}

static void every_sequence(enum fl_strategy strategy)
{
	/* One more where most is decided; fewer with sanitizers, for time. */
	bool is_long = strategy == FL_STRATEGY_REUSE_AFFINITY;
	uint32_t most = test_is_sanitized() ? 5 : is_long ? 7 : 6;
	const uint32_t steps[] = { 3, 6, 6, most };
	uint64_t sequences = 0;

	for (uint32_t capacity = 0; capacity <= 3; capacity++) {
		for (uint32_t max_warm = 0; max_warm <= 2; max_warm++) {
			struct explorer explorer = {
				.strategy = strategy,
				.capacity = capacity,
				.max_warm = max_warm,
				.steps = steps[capacity],
			};

			if (!test_has_failed())
				explore(&explorer, 0);
			sequences += explorer.sequences;
		}
	}
	test_note("%llu sequences", (unsigned long long)sequences);
}

static void every_sequence_by_affinity(void)
{
	every_sequence(FL_STRATEGY_REUSE_AFFINITY);
}

static void every_sequence_next_available(void)
{
	every_sequence(FL_STRATEGY_NEXT_AVAILABLE);
}

static void every_sequence_at_random(void)
{
	every_sequence(FL_STRATEGY_RANDOM);
}

/* -------------------------------------------------------------- properties */

#define MANY_SLOTS 300

/* Exactly capacity distinct indices, again and again; 100,000 operations. */
static void exhaust_and_refill(struct test_random *random,
			       struct fl__freelist *slots, uint32_t capacity)
{
	uint32_t taken[MANY_SLOTS], left = capacity;
	bool is_out[MANY_SLOTS] = { false };

	while (left) {
		uint32_t idx = fl__freelist_take(
			slots, 1 + test_random_below(random, 20));

		MUST(idx < capacity && !is_out[idx]);
		is_out[idx] = true;
		taken[--left] = idx;
	}
	for (uint64_t affinity = 0; affinity < 20; affinity++)
		CHECK_EQ(fl__freelist_take(slots, affinity), FL__IDX_NONE);
	CHECK_EQ(fl__freelist_take_oldest(slots), FL__IDX_NONE);
	CHECK_EQ(slots->used_count, capacity);
	for (uint32_t i = capacity; i--;) {
		uint32_t swap = (uint32_t)test_random_below(random, i + 1);
		uint32_t idx = taken[swap];

		taken[swap] = taken[i];
		fl__freelist_give(slots, idx, test_random_below(random, 20));
	}
	CHECK(fl__freelist_is_valid(slots));
}

static void all_of_any_capacity(void)
{
	struct test_random random;
	uint32_t ops = 0;

	test_random_init(&random, 21);
	for (uint32_t round = 0; ops < 100000; round++) {
		uint32_t capacity =
			1 + (uint32_t)test_random_below(&random, MANY_SLOTS);
		struct fl__freelist slots;

		MUST_EQ(fl__freelist_init(
				&slots, capacity, (enum fl_strategy)(round % 3),
				(uint32_t)test_random_below(&random, capacity),
				round),
			0);
		for (int i = 0; i < 5; i++, ops += 2 * capacity)
			exhaust_and_refill(&random, &slots, capacity);
		fl__freelist_fini(&slots);
	}
}

/* Tenants of 15 modules at random in 100 slots: more than a fifth find a slot
 * that last held theirs; without affinity a fifteenth would. */
static void affinity_is_mostly_hit(void)
{
	uint32_t live[100], n_live = 0, hits = 0, takes = 0;
	uint64_t last[100] = { 0 };
	struct test_random random;
	struct fl__freelist slots;

	test_random_init(&random, 22);
	MUST_EQ(fl__freelist_init(&slots, 100, FL_STRATEGY_REUSE_AFFINITY, 100,
				  0),
		0);
	for (int i = 0; i < 100000; i++) {
		uint64_t affinity = 1 + test_random_below(&random, 15);
		uint32_t idx, at;

		if (n_live < 100 && test_random_below(&random, 2)) {
			idx = fl__freelist_take(&slots, affinity);
			MUST(idx < 100);
			hits += last[idx] == affinity;
			takes++;
			last[idx] = affinity;
			live[n_live++] = idx;
		} else if (n_live) {
			at = (uint32_t)test_random_below(&random, n_live);
			idx = live[at];
			live[at] = live[--n_live];
			fl__freelist_give(&slots, idx, last[idx]);
		}
	}
	test_note("%u of %u", hits, takes);
	CHECK(hits * 5 > takes);
	fl__freelist_fini(&slots);
}

/* New images get cold slots until max_warm are warm; then the one that has
 * been free longest. */
static void cold_until_enough_are_warm(void)
{
	for (uint32_t max_warm = 0; max_warm < 12; max_warm++) {
		uint32_t ring = max_warm ? max_warm : 1;
		struct fl__freelist slots;

		MUST_EQ(fl__freelist_init(&slots, 20,
					  FL_STRATEGY_REUSE_AFFINITY, max_warm,
					  0),
			0);
		for (uint32_t i = 0; i < 100; i++) {
			uint32_t idx = fl__freelist_take(&slots, i + 1);

			CHECK_EQ(idx, i % ring);
			fl__freelist_give(&slots, idx, i + 1);
			CHECK(slots.warm.count <= ring);
		}
		fl__freelist_fini(&slots);
	}
}

/* Whatever the order of giving: the oldest goes first to who has no affinity,
 * the youngest of the affinity to who has. */
static void longest_free_goes_first(void)
{
	struct test_random random;
	uint32_t order[50];
	struct fl__freelist slots;

	test_random_init(&random, 23);
	MUST_EQ(fl__freelist_init(&slots, 50, FL_STRATEGY_REUSE_AFFINITY, 0, 0),
		0);
	for (int round = 0; round < 100; round++) {
		for (uint32_t i = 0; i < 50; i++)
			order[i] = fl__freelist_take(&slots, 1000);
		for (uint32_t i = 50; i--;) {
			uint32_t at =
				(uint32_t)test_random_below(&random, i + 1);
			uint32_t idx = order[at];

			order[at] = order[i];
			order[i] = idx;
		}
		for (uint32_t i = 0; i < 50; i++)
			fl__freelist_give(&slots, order[i], 1 + i % 2);
		CHECK_EQ(fl__freelist_take(&slots, 2), order[49]);
		fl__freelist_give(&slots, order[49], 2);
		for (uint32_t i = 0; i < 50; i++)
			CHECK_EQ(fl__freelist_take(&slots, 3), order[i]);
		for (uint32_t i = 0; i < 50; i++)
			fl__freelist_give(&slots, order[i], 1000);
	}
	fl__freelist_fini(&slots);
}

static const struct test_case cases[] = {
	TEST_CASE(reuse_affinity),
	TEST_CASE(next_available),
	TEST_CASE(any_at_random),
	TEST_CASE(nothing_at_all),
	TEST_CASE(only_what_is_affine),
	TEST_CASE(oldest_first_for_trimming),
	TEST_CASE(random_is_uniform),
	TEST_CASE(many_affinities),
	TEST_CASE(every_sequence_by_affinity),
	TEST_CASE(every_sequence_next_available),
	TEST_CASE(every_sequence_at_random),
	TEST_CASE(all_of_any_capacity),
	TEST_CASE(affinity_is_mostly_hit),
	TEST_CASE(cold_until_enough_are_warm),
	TEST_CASE(longest_free_goes_first),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
