/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * written.c - what a tenant wrote, against a copy that is kept beside it; and
 * that asking changes nothing for the tenants that follow.
 *
 * FAULTLINE_TEST_TENANCIES sets how many random tenancies there are in each of two
 * pools. A case has a limit of time, so that the long run of 10,000 is four times
 * 1,250, each with a FAULTLINE_TEST_SEED of its own.
 */
#include "tests/kit/conform.h"
#include "tests/kit/random.h"

#include <stdlib.h>

#define MAX_BYTES (6 * MIB)
#define MAX_RUNS (MAX_BYTES / 4096)

/* On the lowest rung nobody can tell, and lowest_rung_says_so() is all. */
static bool can_tell(void)
{
	return strcmp(test_rung->how, "discard") != 0;
}

/* Which pages an answer names. */
struct told {
	bool pages[MAX_RUNS];
	struct fl_memory_run runs[MAX_RUNS];
	struct fl_written answer;
};

static void ask(struct fl_memory *memory, uint32_t flags, struct told *told)
{
	uint64_t length = fl_memory_length(memory), hpage = conform_hpage();
	struct fl_error error = { .text = "" };
	uint64_t bytes = 0, last = 0;

	memset(told->pages, 0, sizeof(told->pages));
	told->answer = (struct fl_written){ .size = sizeof(told->answer) };
	CONFORM_MUST(fl_memory_written(memory, flags, told->runs, MAX_RUNS,
				       &told->answer, &error),
		     &error);
	MUST(told->answer.run_count <= MAX_RUNS);
	for (uint64_t i = 0; i < told->answer.run_count; i++) {
		const struct fl_memory_run *run = &told->runs[i];
		uint64_t end = run->offset_bytes + run->length_bytes;

		CHECK(run->length_bytes && run->offset_bytes % hpage == 0);
		CHECK(end % hpage == 0 || end == length);
		/* In order and apart. */
		CHECK(end <= length && (!i || run->offset_bytes > last));
		for (uint64_t at = run->offset_bytes; at < end; at += hpage)
			told->pages[at / hpage] = true;
		bytes += run->length_bytes;
		last = end;
	}
	CHECK_EQ(bytes, told->answer.written_bytes);
}

/* ------------------------------------------------------------ one by one */

static void runs_of_a_few_stores(void)
{
	static struct told told;
	uint64_t hpage = conform_hpage();
	struct conform conform;
	struct fl_image *image;

	if (!can_tell())
		return;
	conform_open_one_slot(&conform);
	image = conform_image_of(&conform, 300001, 70000, "image", 5);
	for (int round = 0; round < 20; round++) {
		struct fl_memory *memory = conform_take(&conform, image, 0);

		ask(memory, 0, &told);
		CHECK_EQ(told.answer.run_count, 0);
		CHECK_EQ(told.answer.is_exact, 1);
		memory->base[0] = 1;
		memory->base[hpage] = 1;
		memory->base[300000] = 1;
		/* Written, and as it was. */
		memory->base[70000] = 'x';
		memory->base[70000] = 'i';
		ask(memory, 0, &told);
		CHECK_EQ(told.answer.run_count, 2);
		CHECK_EQ(told.runs[0].offset_bytes, 0);
		CHECK_EQ(told.runs[0].length_bytes, 2 * hpage);
		CHECK_EQ(told.runs[1].offset_bytes, 300000 / hpage * hpage);
		CHECK_EQ(told.runs[1].length_bytes, 300001 % hpage);
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
}

/* Each beginning is a new one, and since acquire all of it counts. */
static void beginnings(void)
{
	uint64_t hpage = conform_hpage();
	static struct told told;
	struct conform conform;

	if (!can_tell())
		return;
	conform_open_one_slot(&conform);
	for (int round = 0; round < 40; round++) {
		struct fl_memory *memory = conform_take(&conform, NULL, MIB);
		bool is_watched = !strcmp(test_rung->how, "track");

		for (uint64_t i = 0; i < 4; i++) {
			memory->base[(i + 1) * 3 * hpage] = 1;
			ask(memory, FL_WRITTEN_SINCE_LAST | FL_WRITTEN_BEGIN,
			    &told);
			CHECK(told.pages[(i + 1) * 3]);
			CHECK_EQ(told.answer.is_exact, !i || is_watched);
			if (told.answer.is_exact)
				CHECK_EQ(told.answer.run_count, 1);
		}
		/* What was written since acquire stays known. */
		memory->base[3 * hpage] = 0;
		ask(memory, 0, &told);
		CHECK_EQ(told.answer.run_count, 3);
		CHECK(!told.pages[3]);
		ask(memory, FL_WRITTEN_SINCE_LAST, &told);
		CHECK(told.pages[3]);
		conform_give(memory);
		memory = conform_take(&conform, NULL, MIB);
		conform_check_zero(memory);
		conform_give(memory);
	}
	conform_close(&conform);
}

static void what_is_refused(void)
{
	struct fl_written answer = { .size = sizeof(answer) };
	struct fl_error error = { .text = "" };
	struct fl_memory_run runs[2];
	struct conform conform;
	struct fl_memory *memory;
	uint64_t hpage = conform_hpage();

	if (!can_tell())
		return;
	conform_open_one_slot(&conform);
	memory = conform_take(&conform, NULL, MIB);
	CHECK_EQ(fl_memory_written(memory, 4, runs, 2, &answer, &error),
		 -EINVAL);
	memory->base[0] = memory->base[2 * hpage] = memory->base[4 * hpage] = 1;
	CHECK_EQ(fl_memory_written(memory, FL_WRITTEN_BEGIN, runs, 2, &answer,
				   &error),
		 -E2BIG);
	CHECK_EQ(answer.run_count, 3);
	CHECK_EQ(answer.written_bytes, 3 * hpage);
	CHECK_EQ(runs[1].offset_bytes, 2 * hpage);
	/* Nothing was begun, and no room is needed to ask how much. */
	CHECK_EQ(fl_memory_written(memory, FL_WRITTEN_SINCE_LAST, NULL, 0,
				   &answer, &error),
		 -E2BIG);
	CHECK_EQ(answer.run_count, 3);
	CHECK_EQ(answer.is_exact, 1);
	CHECK_EQ(fl_memory_lend(memory), 0);
	CHECK_EQ(fl_memory_written(memory, 0, runs, 2, NULL, &error), -ENOTSUP);
	conform_give(memory);
	CHECK_EQ(fl_memory_written(memory, 0, runs, 2, NULL, &error), -EINVAL);
	conform_close(&conform);
}

static void lowest_rung_says_so(void)
{
	struct fl_error error = { .text = "" };
	struct fl_memory_run run;
	struct conform conform;
	struct fl_memory *memory;

	if (can_tell())
		return;
	conform_open_one_slot(&conform);
	memory = conform_take(&conform, NULL, MIB);
	CHECK_EQ(fl_memory_written(memory, 0, &run, 1, NULL, &error), -ENOTSUP);
	conform_give(memory);
	conform_close(&conform);
}

static void on_demand(void)
{
	static struct told told;
	struct fl_pool_config config;
	struct conform conform;
	struct fl_memory *memory;

	if (!can_tell())
		return;
	conform_pool_config(&config);
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	conform_open(&conform, &config);
	memory = conform_take(&conform, NULL, MIB);
	memory->base[MIB - 1] = 1;
	ask(memory, FL_WRITTEN_BEGIN, &told);
	CHECK_EQ(told.answer.run_count, 1);
	CHECK_EQ(told.answer.is_exact, 1);
	memory->base[0] = 1;
	ask(memory, FL_WRITTEN_SINCE_LAST, &told);
	CHECK_EQ(told.answer.is_exact, 0);
	CHECK_EQ(told.answer.run_count, 2);
	conform_give(memory);
	conform_close(&conform);
}

/* ---------------------------------------------------------------- random */

struct world {
	struct test_random random;
	struct conform conform;
	struct fl_image *image;
	struct fl_memory *memory;
	uint64_t size, begun; /* bytes; begun: 0, or the size then */
	bool has_begun;
	uint8_t initial[MAX_BYTES], now[MAX_BYTES];
	uint8_t content[2 * MIB]; /* of the image, at its offset */
	uint64_t content_off;
	bool written[MAX_RUNS]; /* since the beginning */
	struct told told;
};

static void store(struct world *w, uint64_t off, uint64_t len, uint8_t value)
{
	uint64_t hpage = conform_hpage();

	memset(w->memory->base + off, value, len);
	memset(w->now + off, value, len);
	for (uint64_t i = off / hpage; i <= (off + len - 1) / hpage; i++)
		w->written[i] = true;
}

static void random_stores(struct world *w)
{
	uint64_t count = test_random_below(&w->random, 12);

	for (uint64_t i = 0; i < count && w->size; i++) {
		uint64_t off = test_random_below(&w->random, w->size);
		uint64_t len = test_random_below(&w->random, 8) ?
				       1 :
				       test_random_below(&w->random, 400000);
		/* Often what is there already, or the image's byte. */
		uint8_t value = test_random_below(&w->random, 3) ?
					(uint8_t)test_random_next(&w->random) :
					w->initial[off];

		if (test_random_below(&w->random, 2))
			off %= 64 * KIB < w->size ? 64 * KIB : w->size;
		if (len > w->size - off)
			len = w->size - off;
		if (len)
			store(w, off, len, value);
	}
}

static void check_since_acquire(struct world *w)
{
	uint64_t hpage = conform_hpage();

	ask(w->memory, 0, &w->told);
	CHECK_EQ(w->told.answer.is_exact, 1);
	for (uint64_t at = 0; at < w->size; at += hpage) {
		uint64_t len = w->size - at < hpage ? w->size - at : hpage;

		if (!CHECK_EQ(w->told.pages[at / hpage],
			      memcmp(w->initial + at, w->now + at, len) != 0))
			break;
	}
}

static void check_since_last(struct world *w, uint32_t flags)
{
	uint64_t hpage = conform_hpage();
	bool is_exact;

	ask(w->memory, FL_WRITTEN_SINCE_LAST | flags, &w->told);
	is_exact = w->told.answer.is_exact;
	CHECK(is_exact || w->has_begun);
	CHECK(is_exact || strcmp(test_rung->how, "track"));
	for (uint64_t at = 0; at < w->size; at += hpage) {
		uint64_t len = w->size - at < hpage ? w->size - at : hpage;
		bool is_told = w->told.pages[at / hpage];
		bool is_written = w->written[at / hpage];

		/* By bytes: without a beginning, and what was grown since. */
		if (!w->has_begun || at >= w->begun) {
			bool differs =
				memcmp(w->initial + at, w->now + at, len) != 0;

			CHECK(is_told || !differs);
			CHECK(!is_told || differs || !is_exact);
		} else {
			CHECK(is_told || !is_written);
			CHECK(!is_told || is_written || !is_exact);
		}
		if (test_has_failed())
			break;
	}
}

static void random_step(struct world *w)
{
	uint64_t pages, old;

	switch (test_random_below(&w->random, 6)) {
	case 0:
		pages = test_random_below(&w->random, 20);
		if (!fl_memory_grow(w->memory, pages, &old))
			w->size += pages * WPAGE;
		break;
	case 1:
		check_since_acquire(w);
		break;
	case 2:
		check_since_last(w, 0);
		break;
	case 3:
		check_since_last(w, FL_WRITTEN_BEGIN);
		w->has_begun = true;
		w->begun = conform_round_up(w->size, conform_hpage());
		memset(w->written, 0, sizeof(w->written));
		break;
	default:
		random_stores(w);
	}
}

static void random_tenancy(struct world *w)
{
	bool has_image = test_random_below(&w->random, 8) != 0;
	uint64_t steps = test_random_below(&w->random, 12);

	w->size = has_image ? 4 * MIB : test_random_below(&w->random, 5 * MIB);
	w->memory =
		conform_take(&w->conform, has_image ? w->image : NULL, w->size);
	memset(w->initial, 0, sizeof(w->initial));
	if (has_image)
		memcpy(w->initial + w->content_off, w->content,
		       sizeof(w->content));
	memcpy(w->now, w->initial, sizeof(w->now));
	memset(w->written, 0, sizeof(w->written));
	w->has_begun = false;
	/* Nothing of the tenant before, whatever that one asked. A look makes
	 * pages present: not always. */
	if (test_random_below(&w->random, 2))
		CHECK(!memcmp(w->memory->base, w->now, w->size));
	while (steps-- && !test_has_failed())
		random_step(w);
	CHECK(!memcmp(w->memory->base, w->now, w->size));
	conform_give(w->memory);
}

static void random_tenancies(void)
{
	static const enum fl_bounds bounds[] = { FL_BOUNDS_GUARDED,
						 FL_BOUNDS_ACCESSIBLE };
	const char *text = getenv("FAULTLINE_TEST_TENANCIES");
	long count = text ? atol(text) : test_is_sanitized() ? 40 : 120;
	struct world *w;

	if (!can_tell())
		return;
	w = malloc(sizeof(*w));
	MUST(w != NULL);
	for (size_t b = 0; b < TEST_ARRAY_SIZE(bounds); b++) {
		struct fl_pool_config config;

		test_random_init(&w->random, 7 + b);
		conform_pool_config(&config);
		config.max_memories = 1;
		config.max_memory_bytes = MAX_BYTES;
		config.bounds = bounds[b];
		conform_open(&w->conform, &config);
		for (size_t i = 0; i < sizeof(w->content); i++)
			w->content[i] = (uint8_t)test_random_next(&w->random);
		memset(w->content + MIB / 2, 0, MIB / 2);
		w->content_off = 100000;
		w->image = conform_image_of(&w->conform, 4 * MIB,
					    w->content_off, w->content,
					    sizeof(w->content));
		for (long i = 0; i < count && !test_has_failed(); i++)
			random_tenancy(w);
		fl_image_release(w->image);
		conform_close(&w->conform);
	}
	free(w);
}

static const struct test_case cases[] = {
	TEST_CASE(runs_of_a_few_stores),
	TEST_CASE(beginnings),
	TEST_CASE(what_is_refused),
	TEST_CASE(lowest_rung_says_so),
	TEST_CASE(on_demand),
	TEST_CASE(random_tenancies),
};

CONFORM_MAIN(cases)
