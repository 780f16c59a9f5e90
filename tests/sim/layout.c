/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * layout.c - the arithmetic of a pool's reservation: a grid of all edge
 * values and random ones. Whatever is accepted keeps the promises of pool.h;
 * what is refused says which field. Pure; nothing of the kernel is needed.
 */
#include "tests/kit/random.h"
#include "tests/kit/test.h"

#include "slots/layout.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HPAGE ((uint64_t)4096)
#define MIB ((uint64_t)1 << 20)

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* Slots lie apart, guarded, aligned, inside what is reserved and after from;
 * returns where the bank ends. */
static uint64_t check_bank(const struct fl__layout *layout,
			   enum fl__bank_idx kind, uint64_t from, uint64_t lead,
			   uint64_t trail, uint64_t align)
{
	const struct fl__geometry *bank = &layout->banks[kind];
	uint64_t last;

	/* What has no room is only counted. */
	if (!bank->slot_count || !bank->stride_bytes)
		return from;
	last = bank->first_off + (bank->slot_count - 1) * bank->stride_bytes;
	CHECK(bank->first_off >= from + lead);
	CHECK_EQ(bank->first_off % align, 0);
	CHECK_EQ(bank->stride_bytes % align, 0);
	CHECK_EQ(bank->max_bytes % HPAGE, 0);
	CHECK(bank->stride_bytes >=
	      bank->max_bytes + (lead > trail ? lead : trail));
	CHECK(last + bank->max_bytes + trail <= layout->reserved_bytes);
	return last + bank->stride_bytes;
}

static void check_layout(const struct fl_pool_config *config,
			 const struct fl__layout *layout)
{
	const struct fl__geometry *memories = &layout->banks[FL__BANK_MEMORY];
	uint64_t align = config->memory_alignment_bytes > HPAGE ?
				 config->memory_alignment_bytes :
				 HPAGE;
	uint64_t structure_align = config->instance_alignment_bytes > HPAGE ?
					   config->instance_alignment_bytes :
					   HPAGE;
	uint64_t stack_guard = config->stack_guard_bytes > HPAGE ?
				       config->stack_guard_bytes :
				       HPAGE;
	uint64_t end;

	CHECK(memories->max_bytes >= config->max_memory_bytes);
	CHECK(memories->stride_bytes >= config->memory_stride_bytes);
	if (config->max_memories && config->bounds == FL_BOUNDS_GUARDED)
		CHECK(layout->memory_reach_bytes > memories->max_bytes);
	end = check_bank(layout, FL__BANK_MEMORY, 0,
			 config->guard_before_bytes + config->prefix_bytes,
			 config->guard_after_bytes, align);
	CHECK(!config->max_memories ||
	      memories->first_off >= HPAGE + config->prefix_bytes);
	end = check_bank(layout, FL__BANK_TABLE, end, HPAGE, HPAGE, HPAGE);
	end = check_bank(layout, FL__BANK_STRUCTURE, end, HPAGE, HPAGE,
			 structure_align);
	if (config->max_stacks) {
		CHECK_EQ(layout->banks[FL__BANK_STACK].max_bytes,
			 round_up(config->stack_bytes, HPAGE));
		(void)check_bank(layout, FL__BANK_STACK, end, stack_guard,
				 stack_guard, HPAGE);
	}
	CHECK(layout->reserved_bytes <= (uint64_t)1 << 63);
}

/* Returns whether it was accepted. */
static bool plan(const struct fl_pool_config *config)
{
	struct fl_error error = { .text = "" };
	struct fl__layout layout;
	int err = fl__layout_plan(config, HPAGE, false, &layout, &error);

	if (!err) {
		check_layout(config, &layout);
		return true;
	}
	CHECK(err == -EINVAL || err == -ENOMEM);
	CHECK_EQ(error.code, err);
	CHECK(strchr(error.text, '_') != NULL);
	return false;
}

/* Each combination of edges. */
static void grid(void)
{
	static const uint64_t counts[] = { 0, 1, 2, 1000 };
	static const uint64_t maxima[] = { 0, 1, 65536, 4 * MIB, 4096 * MIB };
	static const uint64_t strides[] = { 0, 65536, 4 * MIB, 8192 * MIB };
	static const uint64_t guards[] = { 0, 1, 65536, 2048 * MIB };
	static const uint64_t aligns[] = { 0, 1, 4096, 4096 * MIB };
	struct fl_pool_config config;
	uint32_t accepted = 0, refused = 0;

	for (size_t i = 0; i < 4 * 5 * 4 * 4 * 4 * 4; i++) {
		size_t at = i;

		fl_pool_config_init(&config);
		config.max_memories = (uint32_t)counts[at % 4];
		config.max_memory_bytes = maxima[(at /= 4) % 5];
		config.memory_stride_bytes = strides[(at /= 5) % 4];
		config.guard_before_bytes = guards[(at /= 4) % 4];
		config.guard_after_bytes = guards[(at /= 4) % 4];
		config.memory_alignment_bytes = aligns[(at /= 4) % 4];
		config.max_tables = config.max_memories;
		config.max_stacks = config.max_memories;
		config.instance_bytes = config.max_memory_bytes % MIB;
		if (plan(&config))
			accepted++;
		else
			refused++;
	}
	CHECK(accepted > 1000);
	CHECK(refused > 100);
}

/* Values of any magnitude: most bits of a random number, or few of them. */
static uint64_t any_size(struct test_random *random)
{
	return test_random_next(random) >> test_random_below(random, 64);
}

static void random_one(struct test_random *random,
		       struct fl_pool_config *config)
{
	fl_pool_config_init(config);
	config->max_memories = (uint32_t)any_size(random);
	config->max_tables = (uint32_t)any_size(random);
	config->max_stacks = (uint32_t)any_size(random);
	config->max_instances = (uint32_t)any_size(random);
	config->max_memory_bytes = any_size(random);
	config->memory_stride_bytes = any_size(random) / HPAGE * HPAGE;
	config->guard_before_bytes = any_size(random);
	config->guard_after_bytes = any_size(random);
	config->prefix_bytes = any_size(random) >> 8;
	config->memory_alignment_bytes = (uint64_t)1
					 << test_random_below(random, 64);
	config->max_table_elements = any_size(random);
	config->instance_bytes = any_size(random) >> 8;
	config->instance_alignment_bytes = (uint64_t)1
					   << test_random_below(random, 23);
	config->stack_bytes = any_size(random);
	config->stack_guard_bytes = any_size(random);
}

static void random_configs(void)
{
	struct fl_pool_config config;
	struct test_random random;
	uint32_t accepted = 0;

	test_random_init(&random, 41);
	for (int i = 0; i < 300000; i++) {
		random_one(&random, &config);
		accepted += plan(&config);
	}
	test_note("%u of 300,000 accepted", accepted);
	CHECK(accepted > 100);
}

/* A pool that promises guards has one behind each memory, or says which fields
 * leave it none. */
static void guards_that_are_not_there(void)
{
	static const struct {
		uint64_t max, stride, before, after;
		bool is_fine;
	} rows[] = {
		{ 65536, 0, 0, 0, false },
		{ 65536, 65536, 0, 0, false },
		{ 65535, 65536, 0, 0, false },
		{ 4096 * MIB, 4096 * MIB, 0, 0, false },
		{ 65536, 0, 0, 1, true },
		{ 65536, 0, 1, 0, true },
		{ 65536, 65536 + HPAGE, 0, 0, true },
		{ 0, 0, 0, 0, true },
	};
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl__layout layout;

	for (size_t i = 0; i < 2 * TEST_ARRAY_SIZE(rows); i++) {
		bool is_fine = rows[i / 2].is_fine, is_apart = i % 2;

		fl_pool_config_init(&config);
		config.max_memory_bytes = rows[i / 2].max;
		config.memory_stride_bytes = rows[i / 2].stride;
		config.guard_before_bytes = rows[i / 2].before;
		config.guard_after_bytes = rows[i / 2].after;
		CHECK_EQ(fl__layout_plan(&config, HPAGE, is_apart, &layout,
					 &error),
			 is_fine ? 0 : -EINVAL);
		if (!is_fine) {
			CHECK(strstr(error.text, "FL_BOUNDS_GUARDED") != NULL);
			CHECK(strstr(error.text, "guard_after_bytes") != NULL);
			CHECK(strstr(error.text, "memory_stride_bytes") !=
			      NULL);
		}
		config.bounds = FL_BOUNDS_ACCESSIBLE;
		CHECK_EQ(fl__layout_plan(&config, HPAGE, is_apart, &layout,
					 &error),
			 0);
		config.bounds = FL_BOUNDS_GUARDED;
		config.max_memories = 0;
		CHECK_EQ(fl__layout_plan(&config, HPAGE, false, &layout,
					 &error),
			 0);
	}
}

/* On demand, counts reserve nothing, and slots have the same shape. */
static void on_demand(void)
{
	struct fl__layout layout, pooling;
	struct fl_pool_config config;

	fl_pool_config_init(&config);
	config.max_tables = 5;
	config.max_stacks = 5;
	config.instance_bytes = 100;
	CHECK_EQ(fl__layout_plan(&config, HPAGE, false, &pooling, NULL), 0);
	CHECK_EQ(fl__layout_plan(&config, HPAGE, true, &layout, NULL), 0);
	CHECK_EQ(layout.reserved_bytes, 0);
	for (int kind = 0; kind < FL__BANK_COUNT; kind++) {
		CHECK_EQ(layout.banks[kind].slot_count, 0);
		CHECK_EQ(layout.banks[kind].stride_bytes,
			 pooling.banks[kind].stride_bytes);
		CHECK_EQ(layout.banks[kind].max_bytes,
			 pooling.banks[kind].max_bytes);
	}
}

/* The field that is named is the one to lower, whatever the others are. */
static void errors_name_the_largest_field(void)
{
#define FIELD(name, count)                                             \
	{                                                              \
		offsetof(struct fl_pool_config, name), #name,          \
			offsetof(struct fl_pool_config, count), #count \
	}
	static const struct {
		size_t off;
		const char *name;
		size_t count_off;
		const char *count;
	} rows[] = {
		FIELD(max_memory_bytes, max_memories),
		FIELD(guard_before_bytes, max_memories),
		FIELD(guard_after_bytes, max_memories),
		FIELD(prefix_bytes, max_memories),
		FIELD(memory_alignment_bytes, max_memories),
		FIELD(memory_stride_bytes, max_memories),
		FIELD(max_table_elements, max_tables),
		FIELD(instance_bytes, max_instances),
		FIELD(stack_bytes, max_stacks),
		FIELD(stack_guard_bytes, max_stacks),
	};
	const uint64_t large = (uint64_t)1 << 55;
	const uint32_t many = 1000;

	for (size_t i = 0; i < TEST_ARRAY_SIZE(rows); i++) {
		struct fl_error error = { .text = "" };
		struct fl_pool_config config;
		struct fl__layout layout;
		char wanted[80];

		fl_pool_config_init(&config);
		config.memory_stride_bytes = 0;
		config.max_memories = config.max_tables = 1;
		config.table_element_bytes = 4;
		config.stack_bytes = 65536;
		config.max_stacks = config.max_instances = 1;
		memcpy((char *)&config + rows[i].off, &large, sizeof(large));
		memcpy((char *)&config + rows[i].count_off, &many,
		       sizeof(many));
		CHECK_EQ(fl__layout_plan(&config, HPAGE, false, &layout,
					 &error),
			 -ENOMEM);
		snprintf(wanted, sizeof(wanted), "lower %s or %s",
			 rows[i].count, rows[i].name);
		if (!CHECK(strstr(error.text, wanted) != NULL))
			test_note("%s: %s", rows[i].name, error.text);
	}
#undef FIELD
}

/* The alignment alone does not fit the stride; no sum of the others is said. */
static void a_stride_below_the_alignment(void)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl__layout layout;

	fl_pool_config_init(&config);
	config.max_memory_bytes = 65536;
	config.guard_after_bytes = 0;
	config.guard_before_bytes = 0;
	config.memory_stride_bytes = 1 * MIB;
	config.memory_alignment_bytes = 2 * MIB;
	CHECK_EQ(fl__layout_plan(&config, HPAGE, false, &layout, &error),
		 -EINVAL);
	CHECK(strstr(error.text, "multiple of 2097152") != NULL);
	CHECK(strstr(error.text, "max_memory_bytes") == NULL);
}

/* What was given, and that a struct which no call filled is not filled. */
static void alignments_that_are_none(void)
{
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl__layout layout;

	fl_pool_config_init(&config);
	config.memory_alignment_bytes = 3000;
	CHECK_EQ(fl__layout_plan(&config, HPAGE, false, &layout, &error),
		 -EINVAL);
	CHECK(strstr(error.text, "memory_alignment_bytes is 3000") != NULL);
	CHECK(strstr(error.text, "up to") == NULL);
	fl_pool_config_init(&config);
	config.stack_alignment_bytes = 8192;
	CHECK_EQ(fl__layout_plan(&config, HPAGE, false, &layout, &error),
		 -EINVAL);
	CHECK(strstr(error.text, "is 8192; use a power of two up to 4096") !=
	      NULL);
	memset(&config, 0, sizeof(config));
	CHECK_EQ(fl__layout_plan(&config, HPAGE, false, &layout, &error),
		 -EINVAL);
	CHECK(strstr(error.text, "init call") != NULL);
}

static const struct test_case cases[] = {
	TEST_CASE(grid),
	TEST_CASE(random_configs),
	TEST_CASE(guards_that_are_not_there),
	TEST_CASE(on_demand),
	TEST_CASE(errors_name_the_largest_field),
	TEST_CASE(a_stride_below_the_alignment),
	TEST_CASE(alignments_that_are_none),
};

int main(int argc, char **argv)
{
	return test_main(argc, argv, cases, TEST_ARRAY_SIZE(cases), NULL, 0);
}
