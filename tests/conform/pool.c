/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * pool.c - configuration: what a pool refuses and how it says so, which
 * slot it hands out, what is given back after an error, structs of other
 * versions of the header, the context and its backends.
 */
#define _GNU_SOURCE
#include "tests/kit/child.h"
#include "tests/kit/conform.h"
#include "tests/kit/host.h"

#include <stdlib.h>
#include <sys/resource.h>

/* ------------------------------------------------------------------ context */

static void backend_is_the_one_asked_for(void)
{
	struct fl_context *context = conform_context();

	CHECK(!strcmp(fl_context_backend(context), test_rung->backend));
	fl_context_destroy(context);
}

/* By name, as by taking features away; the better ones are a reason away. */
static void rung_by_name(void)
{
	static const char *const names[] = { "track", "scan", "dontneed" };
	bool is_linux = !strcmp(test_rung->backend, "linux");
	struct fl_context_config config;
	bool is_offered = !is_linux;
	/* What took the better rungs away: the rung, or the host. */
	const char *lacks = getenv("FAULTLINE_DISABLE") ? "FAULTLINE_DISABLE" :
							  "userfaultfd";

	fl_context_config_init(&config);
	config.backend = test_rung->backend;
	for (size_t i = 0; i < TEST_ARRAY_SIZE(names); i++) {
		struct fl_context *context = NULL;
		struct fl_error error = { .text = "" };
		const char *why = NULL;
		int err;

		config.rung = names[i];
		is_offered |= !strcmp(names[i], test_rung->how);
		err = fl_context_create(&config, &context, &error);
		if (!is_linux)
			continue;
		if (!is_offered) {
			CHECK_EQ(err, -ENOTSUP);
			CHECK_HAS(error.text, lacks);
			continue;
		}
		CONFORM_MUST(err, &error);
		CHECK(!strcmp(fl_context_rung(context, &why), names[i]));
		CHECK_EQ(why != NULL, i != 0);
		fl_context_destroy(context);
	}
}

static int rung_answer(const char *backend, const char *rung)
{
	struct fl_context *context = NULL;
	struct fl_context_config config;
	struct fl_error error = { .text = "" };
	int err;

	fl_context_config_init(&config);
	config.backend = backend;
	config.rung = rung;
	err = fl_context_create(&config, &context, &error);
	CHECK_EQ(context != NULL, !err);
	if (err)
		CHECK_HAS(error.text, rung);
	fl_context_destroy(context);
	return err;
}

/* A name that exists nowhere is a slip, one of another backend is not there. */
static void rungs_of_no_or_another_backend(void)
{
	const char *backend = test_rung->backend;
	bool is_linux = !strcmp(backend, "linux");

	CHECK_EQ(rung_answer(backend, "no such rung"), -EINVAL);
	CHECK_EQ(rung_answer(NULL, "no such rung"), -EINVAL);
	CHECK_EQ(rung_answer("no such backend", "no such rung"), -EINVAL);
	CHECK_EQ(rung_answer(backend, ""), -EINVAL);
	CHECK_EQ(rung_answer(backend, is_linux ? "discard" : "dontneed"),
		 -ENOTSUP);
	CHECK_EQ(rung_answer(NULL, "discard"), 0);
}

/* A rung chooses the backend that has it, as fl_context_config.rung says. */
static void a_rung_chooses_its_backend(void)
{
	struct fl_context *context = NULL;
	struct fl_context_config config;

	fl_context_config_init(&config);
	config.rung = "discard";
	MUST_EQ(fl_context_create(&config, &context, NULL), 0);
	CHECK(!strcmp(fl_context_backend(context), "segmented"));
	fl_context_destroy(context);
}

/* The names that there are. */
static void a_backend_of_no_name(void)
{
	struct fl_error error = { .text = "" };
	struct fl_context *context = NULL;
	struct fl_context_config config;

	fl_context_config_init(&config);
	config.backend = "linus";
	CHECK_EQ(fl_context_create(&config, &context, &error), -ENOTSUP);
	CHECK_HAS(error.text, "\"linus\"");
	CHECK_HAS(error.text, "\"linux\"");
	CHECK_HAS(error.text, "\"segmented\"");
}

/* Those that are built. */
static const char *needs_all_backends(void)
{
	struct fl_context_config config;
	struct fl_context *context = NULL;

	fl_context_config_init(&config);
	config.backend = FL_WITH_UFFD ? "linux" : "segmented";
	if (fl_context_create(&config, &context, NULL))
		return "the kernel has not what backend linux needs";
	fl_context_destroy(context);
	return NULL;
}

static void best_backend(void)
{
	struct fl_context *context = NULL;
	const char *name;

	CHECK_EQ(fl_context_create(NULL, &context, NULL), 0);
	MUST(context != NULL);
	name = fl_context_backend(context);
	CHECK(!strcmp(name, FL_WITH_UFFD ? "linux" : "segmented"));
	fl_context_destroy(context);
}

static void unknown_backend(void)
{
	struct fl_context_config config;
	struct fl_context *context = NULL;
	struct fl_error error = { .code = 0 };

	fl_context_config_init(&config);
	CHECK_EQ(config.size, sizeof(config));
	config.backend = "no such backend";
	CHECK_EQ(fl_context_create(&config, &context, &error), -ENOTSUP);
	CHECK_EQ(error.code, -ENOTSUP);
	CHECK_HAS(error.text, "no such backend");
	CHECK(context == NULL);
	config.backend = "";
	CHECK(fl_context_create(&config, &context, &error) < 0);
	CHECK(context == NULL);
}

/* FAULTLINE_DISABLE takes away, one name or several, with blanks around; a name
 * of nothing is an error. */
static void backends_taken_away(void)
{
	const char *saved = getenv("FAULTLINE_DISABLE");
	char *before = saved ? strdup(saved) : NULL;
	struct fl_context_config config;
	struct fl_context *context = NULL;
	struct fl_error error = { .code = 0 };

	fl_context_config_init(&config);
	config.backend = test_rung->backend;
	setenv("FAULTLINE_DISABLE", test_rung->backend, 1);
	CHECK_EQ(fl_context_create(&config, &context, &error), -ENOTSUP);
	CHECK_HAS(error.text, "FAULTLINE_DISABLE");
	setenv("FAULTLINE_DISABLE", "linux,segmented", 1);
	CHECK_EQ(fl_context_create(NULL, &context, &error), -ENOTSUP);
	CHECK(context == NULL);
	/* A part of a name is another name. */
	setenv("FAULTLINE_DISABLE", "segmented,linu", 1);
	CHECK_EQ(fl_context_create(&config, &context, &error), -EINVAL);
	CHECK_HAS(error.text, "\"linu\"");
	CHECK(context == NULL);
	setenv("FAULTLINE_DISABLE", "pagemap-fast-scan x", 1);
	CHECK_EQ(fl_context_create(&config, &context, &error), -EINVAL);
	setenv("FAULTLINE_DISABLE", " ,, ", 1);
	CHECK_EQ(fl_context_create(&config, &context, &error), 0);
	fl_context_destroy(context);
	context = NULL;
	setenv("FAULTLINE_DISABLE", " linux ,", 1);
	CHECK_EQ(fl_context_create(NULL, &context, NULL), 0);
	if (context)
		CHECK(!strcmp(fl_context_backend(context), "segmented"));
	fl_context_destroy(context);
	if (before)
		setenv("FAULTLINE_DISABLE", before, 1);
	else
		unsetenv("FAULTLINE_DISABLE");
	free(before);
}

/* -------------------------------------------------------------------- sizes */

/* A larger struct of a newer header passes as long as the rest is zero. */
static void newer_and_older_structs(void)
{
	struct {
		struct fl_pool_config known;
		uint64_t unknown[4];
	} newer;
	struct fl_context *context = conform_context();
	struct fl_error error = { .text = "" };
	struct fl_pool *pool = NULL;

	memset(&newer, 0, sizeof(newer));
	conform_pool_config(&newer.known);
	CHECK_EQ(newer.known.size, sizeof(newer.known));
	newer.known.size = sizeof(newer);
	CONFORM_OK(fl_pool_create(context, &newer.known, &pool, &error),
		   &error);
	CHECK_EQ(fl_pool_destroy(pool), 0);
	pool = NULL;
	newer.unknown[3] = 1;
	CHECK_EQ(fl_pool_create(context, &newer.known, &pool, &error), -EINVAL);
	CHECK(pool == NULL);
	newer.unknown[3] = 0;
	/* Not filled by its init call. */
	newer.known.size = 0;
	CHECK_EQ(fl_pool_create(context, &newer.known, &pool, &error), -EINVAL);
	CHECK(pool == NULL);
	fl_context_destroy(context);
}

static void shorter_pool_info(void)
{
	struct conform conform;
	struct fl_pool_info info;

	conform_open(&conform, NULL);
	memset(&info, 0x5a, sizeof(info));
	info.size = offsetof(struct fl_pool_info, max_memory_bytes);
	fl_pool_info(conform.pool, &info);
	CHECK(info.memory_stride_bytes < 0x5a5a5a5a5a5a5a5aull);
	CHECK_EQ(info.max_memory_bytes, 0x5a5a5a5a5a5a5a5aull);
	CHECK_EQ(info.live_instances, 0x5a5a5a5a);
	conform_close(&conform);
}

static void configuration_is_told(void)
{
	struct fl_pool_config asked, told;
	struct fl_pool_info info = { .size = sizeof(info) };
	struct conform conform;

	conform_pool_config(&asked);
	asked.memory_stride_bytes = 0;
	asked.max_memory_bytes = 3 * WPAGE;
	asked.max_memories = 7;
	asked.prefix_bytes = 4096;
	asked.max_tables = 5;
	asked.name = "told";
	conform_open(&conform, &asked);
	fl_pool_info(conform.pool, &info);
	memset(&told, 0x5a, sizeof(told));
	told.size = sizeof(told);
	fl_pool_config_of(conform.pool, &told);
	CHECK_EQ(told.size, sizeof(told));
	CHECK_EQ(told.max_memory_bytes, 3 * WPAGE);
	CHECK_EQ(told.max_memories, 7);
	CHECK_EQ(told.max_tables, 5);
	CHECK_EQ(told.prefix_bytes, 4096);
	/* The next memory's prefix lies beyond. */
	CHECK_EQ(told.memory_stride_bytes + conform_hpage(),
		 info.memory_stride_bytes);
	CHECK(told.memory_stride_bytes > 3 * WPAGE);
	CHECK_EQ(told.table_element_bytes, asked.table_element_bytes);
	CHECK(told.name != asked.name && !strcmp(told.name, "told"));
	/* An older host's struct. */
	memset(&told, 0x5a, sizeof(told));
	told.size = offsetof(struct fl_pool_config, max_memory_bytes);
	fl_pool_config_of(conform.pool, &told);
	CHECK_EQ(told.max_tables, 5);
	CHECK_EQ(told.max_memory_bytes, 0x5a5a5a5a5a5a5a5aull);
	conform_close(&conform);
}

static void defaults(void)
{
	struct fl_memory_config memory;
	struct fl_pool_config pool;

	memset(&pool, 0x5a, sizeof(pool));
	fl_pool_config_init(&pool);
	CHECK_EQ(pool.max_instances, 1000);
	CHECK_EQ(pool.max_memories, 1000);
	CHECK_EQ(pool.max_memories_per_instance, 1);
	CHECK_EQ(pool.max_tables, 0);
	CHECK_EQ(pool.max_tables_per_instance, 1);
	CHECK_EQ(pool.max_stacks, 0);
	CHECK_EQ(pool.max_memory_bytes, 4 * GIB);
	CHECK_EQ(pool.memory_stride_bytes, 8 * GIB);
	/* A host page, or the 0 that stands for it. */
	CHECK(!pool.memory_alignment_bytes ||
	      pool.memory_alignment_bytes == conform_hpage());
	CHECK_EQ(pool.guard_before_bytes, 0);
	CHECK_EQ(pool.guard_after_bytes, 64 * KIB);
	CHECK_EQ(pool.prefix_bytes, 0);
	CHECK_EQ(pool.max_table_elements, 20000);
	CHECK_EQ(pool.table_element_bytes, 32);
	CHECK_EQ(pool.stack_bytes, 256 * KIB);
	CHECK_EQ(pool.bounds, FL_BOUNDS_GUARDED);
	CHECK_EQ(pool.strategy, FL_STRATEGY_REUSE_AFFINITY);
	CHECK_EQ(pool.max_warm_memories, 100);
	memset(&memory, 0x5a, sizeof(memory));
	fl_memory_config_init(&memory);
	CHECK(memory.image == NULL);
	CHECK_EQ(memory.initial_bytes, 0);
	CHECK_EQ(memory.max_bytes, UINT64_MAX);
	CHECK_EQ(memory.page_bytes, WPAGE);
	CHECK_EQ(memory.is_shared, 0);
	CHECK_EQ(memory.timeout_ns, 0);
}

/* Compiled code reads these two. */
static void layout_of_a_memory(void)
{
	CHECK_EQ(offsetof(struct fl_memory, base), 0);
	CHECK_EQ(offsetof(struct fl_memory, length_bytes), 8);
}

/* ------------------------------------------------------------------ refused */

static void refuse(const struct fl_pool_config *config, int code,
		   const char *one, const char *other)
{
	struct fl_context *context = conform_context();
	struct fl_error error = { .text = "" };
	struct fl_pool *pool = NULL;
	int err = fl_pool_create(context, config, &pool, &error);

	CHECK_EQ(err, code);
	CHECK(pool == NULL || !err);
	if (err) {
		CHECK_EQ(error.code, err);
		CHECK_HAS(error.text, one);
		if (other)
			CHECK_HAS(error.text, other);
	}
	fl_pool_destroy(pool);
	fl_context_destroy(context);
}

static void values_that_contradict(void)
{
	struct fl_pool_config config;

	conform_pool_config(&config);
	config.memory_stride_bytes = 2 * MIB;
	refuse(&config, -EINVAL, "memory_stride_bytes", "max_memory_bytes");
	conform_pool_config(&config);
	config.memory_stride_bytes = 4 * MIB;
	refuse(&config, -EINVAL, "memory_stride_bytes", "guard_after_bytes");
	conform_pool_config(&config);
	config.memory_alignment_bytes = 3 * MIB;
	refuse(&config, -EINVAL, "memory_alignment_bytes", NULL);
	conform_pool_config(&config);
	config.memory_alignment_bytes = 4 * GIB;
	config.memory_stride_bytes = 6 * GIB;
	refuse(&config, -EINVAL, "memory_stride_bytes",
	       "memory_alignment_bytes");
	conform_pool_config(&config);
	config.bounds = (enum fl_bounds)7;
	refuse(&config, -EINVAL, "bounds", NULL);
	conform_pool_config(&config);
	config.strategy = (enum fl_strategy)7;
	refuse(&config, -EINVAL, "strategy", NULL);
}

/* Sums that do not fit 64 bits are errors, never small numbers. */
static void values_that_overflow(void)
{
	static const size_t fields[] = {
		offsetof(struct fl_pool_config, max_memory_bytes),
		offsetof(struct fl_pool_config, memory_stride_bytes),
		offsetof(struct fl_pool_config, memory_alignment_bytes),
		offsetof(struct fl_pool_config, guard_before_bytes),
		offsetof(struct fl_pool_config, guard_after_bytes),
		offsetof(struct fl_pool_config, prefix_bytes),
	};
	static const uint64_t values[] = { UINT64_MAX, UINT64_MAX - 4095,
					   1ull << 63, UINT64_MAX - 65536,
					   1ull << 62 };
	struct fl_context *context = conform_context();

	for (size_t f = 0; f < TEST_ARRAY_SIZE(fields); f++) {
		for (size_t v = 0; v < TEST_ARRAY_SIZE(values); v++) {
			struct fl_error error = { .text = "" };
			struct fl_pool_config config;
			struct fl_pool *pool = NULL;
			int err;

			conform_pool_config(&config);
			memcpy((char *)&config + fields[f], &values[v], 8);
			err = fl_pool_create(context, &config, &pool, &error);
			if (!CHECK(err == -EINVAL || err == -ENOMEM))
				test_note("field at %zu, value %jx: %d",
					  fields[f], (uintmax_t)values[v], err);
			CHECK(error.text[0] != '\0');
			if (pool)
				fl_pool_destroy(pool);
		}
	}
	fl_context_destroy(context);
}

/* More than any machine's address space: the sentence says how much and which
 * value makes it smaller. */
static void too_much_address_space(void)
{
	struct fl_pool_config config;

	fl_pool_config_init(&config);
	config.max_memories = 1000000;
	/* The strides, and the guard before the first slot. */
	refuse(&config, -ENOMEM, "max_memories", "858993459");
}

/* Nothing is committed: a pool of half a TiB costs no memory. */
static void pool_is_only_reserved(void)
{
	struct fl_pool_config config;
	struct conform conform;

	fl_pool_config_init(&config);
	config.max_memories = 64;
	conform_open(&conform, &config);
	CHECK(conform_info(&conform).reserved_bytes >= 512 * GIB);
	CHECK_EQ(conform_info(&conform).max_memories, 64);
	CHECK_EQ(conform_info(&conform).max_memory_bytes, 4 * GIB);
	conform_give(conform_take(&conform, NULL, WPAGE));
	conform_close(&conform);
}

/* ----------------------------------------------------------- failed acquire */

static void refuse_memory(struct conform *conform,
			  const struct fl_memory_config *config, int code)
{
	struct fl_memory *memory = NULL;
	struct fl_error error = { .text = "" };

	CHECK_EQ(fl_memory_acquire(conform->pool, config, &memory, &error),
		 code);
	CHECK_EQ(error.code, code);
	CHECK(error.text[0] != '\0');
	CHECK(memory == NULL);
	CHECK_EQ(fl_memory_acquire(conform->pool, config, &memory, NULL), code);
	CHECK_EQ(conform_info(conform).live_memories, 0);
}

/* After each kind of failure all slots can be taken. */
static void failed_acquire_holds_nothing(void)
{
	struct fl_memory_config config;
	struct conform conform;
	struct fl_image *large;

	conform_open(&conform, NULL);
	large = conform_image_of(&conform, 8 * MIB, 0, "x", 1);
	for (int round = 0; round < 4; round++) {
		struct fl_memory *memories[4];

		fl_memory_config_init(&config);
		config.initial_bytes = 4 * MIB + 1;
		refuse_memory(&conform, &config, -E2BIG);
		config.initial_bytes = UINT64_MAX;
		refuse_memory(&conform, &config, -E2BIG);
		config.initial_bytes = 0;
		config.image = large;
		refuse_memory(&conform, &config, -E2BIG);
		fl_memory_config_init(&config);
		config.page_bytes = 0;
		refuse_memory(&conform, &config, -EINVAL);
		fl_memory_config_init(&config);
		config.size = 0;
		refuse_memory(&conform, &config, -EINVAL);
		for (int i = 0; i < 4; i++)
			memories[i] = conform_take(&conform, NULL, WPAGE);
		for (int i = 0; i < 4; i++)
			conform_give(memories[i]);
	}
	fl_image_release(large);
	conform_close(&conform);
}

/* Larger than its own maximum: refused, or the header must say otherwise. */
static void initial_size_above_the_maximum(void)
{
	struct fl_memory_config config;
	struct fl_memory *memory = NULL;
	struct fl_error error = { .text = "" };
	struct conform conform;
	int err;

	conform_open(&conform, NULL);
	fl_memory_config_init(&config);
	config.initial_bytes = 3 * WPAGE;
	config.max_bytes = 2 * WPAGE;
	err = fl_memory_acquire(conform.pool, &config, &memory, &error);
	CHECK(err == -EINVAL || err == -E2BIG);
	CHECK(memory == NULL);
	conform_close(&conform);
}

static void all_slots_come_back(void)
{
	struct fl_pool_config config;
	struct fl_memory *memories[10], *none = NULL;
	struct fl_memory_config memory_config;
	struct conform conform;

	conform_pool_config(&config);
	config.max_memories = 10;
	conform_open(&conform, &config);
	fl_memory_config_init(&memory_config);
	for (int round = 0; round < 4; round++) {
		for (int i = 0; i < 10; i++) {
			memories[i] = conform_take(&conform, NULL, WPAGE);
			for (int k = 0; k < i; k++)
				CHECK(memories[k]->base != memories[i]->base);
			memories[i]->base[5] = (uint8_t)i;
		}
		CHECK_EQ(fl_memory_acquire(conform.pool, &memory_config, &none,
					   NULL),
			 -EAGAIN);
		CHECK_EQ(fl_pool_destroy(conform.pool), -EBUSY);
		for (int i = 0; i < 10; i++) {
			int k = (i * 3 + round) % 10;

			CHECK_EQ(memories[k]->base[5], k);
			CHECK_EQ(conform_info(&conform).live_memories, 10 - i);
			conform_give(memories[k]);
		}
		CHECK_EQ(conform_info(&conform).live_memories, 0);
		CHECK_EQ(conform_info(&conform).retired_memories, 0);
		CHECK(conform_info(&conform).warm_memories <= 10);
	}
	conform_close(&conform);
}

static void find_by_base(void)
{
	struct conform conform;
	struct fl_memory *memories[4];
	uint8_t *base;

	conform_open(&conform, NULL);
	for (int i = 0; i < 4; i++)
		memories[i] = conform_take(&conform, NULL, (uint64_t)i * WPAGE);
	for (int i = 0; i < 4; i++) {
		base = memories[i]->base;
		CHECK(fl_memory_find(conform.pool, base) == memories[i]);
		CHECK(!fl_memory_find(conform.pool, base + 1));
		CHECK(!fl_memory_find(conform.pool, base - 1));
		CHECK(!fl_memory_find(conform.pool, base + WPAGE));
		CHECK(fl_memory_grow(memories[i], 1, NULL) == 0);
		CHECK(fl_memory_find(conform.pool, base) == memories[i]);
	}
	CHECK(!fl_memory_find(conform.pool, NULL));
	CHECK(!fl_memory_find(conform.pool, &conform));
	CHECK(!fl_memory_find(conform.pool, (void *)UINTPTR_MAX));
	for (int i = 0; i < 4; i++) {
		base = memories[i]->base;
		conform_give(memories[i]);
		CHECK(!fl_memory_find(conform.pool, base));
	}
	conform_close(&conform);
}

/* What is allowed to a memory beyond its image, if it is accepted, is zero. */
static void initial_size_other_than_the_images(void)
{
	static const uint64_t sizes[] = { WPAGE, 5 * WPAGE, 3 * WPAGE + 100 };
	struct fl_segment segment = { 10, "data", 4 };
	struct fl_pool_config config;
	struct conform conform;
	struct fl_image *image;

	conform_pool_config(&config);
	config.max_memories = 1;
	conform_open(&conform, &config);
	image = conform_image(&conform, 3 * WPAGE, &segment, 1);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(sizes); i++) {
		struct fl_memory_config memory_config;
		struct fl_memory *memory = NULL;
		struct model model;
		int err;

		fl_memory_config_init(&memory_config);
		memory_config.image = image;
		memory_config.initial_bytes = sizes[i];
		err = fl_memory_acquire(conform.pool, &memory_config, &memory,
					NULL);
		CHECK(err == 0 || err == -EINVAL);
		test_note("image of 3 wpages, %ju bytes asked for: %d",
			  (uintmax_t)sizes[i], err);
		if (err)
			continue;
		model_init(&model, sizes[i], UINT64_MAX, WPAGE);
		model_apply(&model, &segment, 1);
		CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
		model_fini(&model);
		memset(memory->base, 1, sizes[i]);
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
}

/* ----------------------------------------------------------------- strategy */

/* The most recently freed slot. */
static void next_available(void)
{
	struct fl_memory *memories[3], *memory;
	struct fl_pool_config config;
	struct conform conform;
	uint8_t *bases[3];

	conform_pool_config(&config);
	config.strategy = FL_STRATEGY_NEXT_AVAILABLE;
	conform_open(&conform, &config);
	for (int i = 0; i < 3; i++) {
		memories[i] = conform_take(&conform, NULL, WPAGE);
		bases[i] = memories[i]->base;
	}
	conform_give(memories[1]);
	conform_give(memories[2]);
	conform_give(memories[0]);
	memory = conform_take(&conform, NULL, WPAGE);
	CHECK(memory->base == bases[0]);
	conform_give(memory);
	memory = conform_take(&conform, NULL, WPAGE);
	CHECK(memory->base == bases[0]);
	memories[0] = memory;
	memory = conform_take(&conform, NULL, WPAGE);
	CHECK(memory->base == bases[2]);
	conform_give(memory);
	conform_give(memories[0]);
	conform_close(&conform);
}

/* The slot that last held the image, even when another was freed later; and
 * while few are warm, others leave it alone. */
static void reuse_affinity(void)
{
	struct fl_memory *memory, *other;
	struct fl_image *images[2];
	struct fl_pool_config config;
	struct conform conform;
	uint8_t *bases[2];

	conform_pool_config(&config);
	/* So few that no processor has a shelf, which another one would not see. */
	config.max_warm_memories = 4;
	conform_open(&conform, &config);
	for (int i = 0; i < 2; i++)
		images[i] = conform_image_of(&conform, WPAGE, 0,
					     i ? "one" : "two", 3);
	memory = conform_take(&conform, images[0], 0);
	bases[0] = memory->base;
	conform_give(memory);
	memory = conform_take(&conform, images[1], 0);
	bases[1] = memory->base;
	CHECK(bases[0] != bases[1]);
	conform_give(memory);
	for (int i = 0; i < 6; i++) {
		memory = conform_take(&conform, images[i % 2], 0);
		CHECK(memory->base == bases[i % 2]);
		other = conform_take(&conform, images[(i + 1) % 2], 0);
		CHECK(other->base == bases[(i + 1) % 2]);
		conform_give(memory);
		conform_give(other);
	}
	for (int i = 0; i < 2; i++)
		fl_image_release(images[i]);
	conform_close(&conform);
}

/* Nothing may stay warm: a used slot is taken before a fresh one. */
static void no_warm_slots(void)
{
	struct fl_image *images[2];
	struct fl_pool_config config;
	struct conform conform;
	uint8_t *base = NULL;

	conform_pool_config(&config);
	config.max_warm_memories = 0;
	conform_open(&conform, &config);
	for (int i = 0; i < 2; i++)
		images[i] = conform_image_of(&conform, WPAGE, 0,
					     i ? "one" : "two", 3);
	for (int i = 0; i < 6; i++) {
		struct fl_memory *memory =
			conform_take(&conform, images[i % 2], 0);

		CHECK(!memcmp(memory->base, i % 2 ? "one" : "two", 3));
		CHECK(!base || memory->base == base);
		base = memory->base;
		memset(base, 7, WPAGE);
		conform_give(memory);
	}
	for (int i = 0; i < 2; i++)
		fl_image_release(images[i]);
	conform_close(&conform);
}

/* Any free slot, uniformly: 4,000 draws of 8, 500 each; five standard
 * deviations are 105. */
static void random_slots(void)
{
	unsigned int counts[8] = { 0 };
	struct fl_pool_config config;
	struct conform conform;
	uint8_t *low = NULL;
	uint64_t stride;

	conform_pool_config(&config);
	config.max_memories = 8;
	config.strategy = FL_STRATEGY_RANDOM;
	config.random_seed = 4711;
	conform_open(&conform, &config);
	stride = conform_info(&conform).memory_stride_bytes;
	for (int pass = 0; pass < 2; pass++) {
		for (int i = 0; i < 4000; i++) {
			struct fl_memory *memory =
				conform_take(&conform, NULL, WPAGE);
			uint8_t *base = memory->base;

			if (!pass && (!low || base < low))
				low = base;
			if (pass)
				counts[(uint64_t)(base - low) / stride & 7]++;
			conform_give(memory);
		}
	}
	for (int i = 0; i < 8; i++) {
		if (!CHECK(counts[i] > 395 && counts[i] < 605))
			test_note("slot %d: %u of 4000", i, counts[i]);
	}
	conform_close(&conform);
}

/* Which slots a pool with this seed hands out, counted from the first. */
static void draw_slots(uint64_t seed, int64_t *offs, int count)
{
	struct fl_pool_config config;
	struct conform conform;
	uint8_t *first = NULL;

	conform_pool_config(&config);
	config.max_memories = 16;
	config.strategy = FL_STRATEGY_RANDOM;
	config.random_seed = seed;
	conform_open(&conform, &config);
	for (int i = 0; i < count; i++) {
		struct fl_memory *memory = conform_take(&conform, NULL, WPAGE);

		if (!first)
			first = memory->base;
		offs[i] = memory->base - first;
		conform_give(memory);
	}
	conform_close(&conform);
}

static void random_slots_by_seed(void)
{
	int64_t one[40], same[40], other[40];

	draw_slots(1, one, 40);
	draw_slots(1, same, 40);
	draw_slots(2, other, 40);
	CHECK(!memcmp(one, same, sizeof(one)));
	CHECK(memcmp(one, other, sizeof(one)) != 0);
}

/* -------------------------------------------------------------------- trim */

/* Free slots lose their images, live ones nothing, and what comes next is as
 * clean as ever. */
static void trimmed_slots_are_cold_and_clean(void)
{
	uint8_t *data = malloc(MIB);
	struct fl_memory *live, *memories[3];
	struct conform conform;
	struct fl_image *image;

	MUST(data != NULL);
	memset(data, 0x3e, MIB);
	conform_open(&conform, NULL);
	image = conform_image_of(&conform, 2 * MIB, 4096, data, MIB);
	live = conform_take(&conform, image, 0);
	memset(live->base, 0x3f, 2 * MIB);
	for (int round = 0; round < 4; round++) {
		uint64_t trimmed = 1;

		for (int i = 0; i < 3; i++) {
			memories[i] = conform_take(&conform, image, 0);
			CHECK_EQ(conform_first_data(memories[i]->base, 4096),
				 4096);
			CHECK(!memcmp(memories[i]->base + 4096, data, MIB));
			memset(memories[i]->base, 0x40, 2 * MIB);
		}
		for (int i = 0; i < 3; i++)
			conform_give(memories[i]);
		CHECK_EQ(fl_pool_trim(conform.pool, 0, &trimmed), 0);
		CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL), 0);
		CHECK_EQ(conform_info(&conform).warm_memories, 0);
		CHECK_EQ(conform_info(&conform).live_memories, 1);
		CHECK_EQ(conform_info(&conform).retired_memories, 0);
		CHECK_EQ(live->base[0], 0x3f);
		CHECK_EQ(live->base[2 * MIB - 1], 0x3f);
	}
	conform_give(live);
	fl_image_release(image);
	conform_close(&conform);
	free(data);
}

/* What a tenant wrote is private, and free slots hold no more after a trim. */
static void usage_counts_private_pages(void)
{
	bool can_look = strcmp(test_rung->how, "dontneed") &&
			strcmp(test_rung->how, "discard");
	struct fl_pool_usage usage = { .size = sizeof(usage) };
	struct fl_error error = { .text = "" };
	struct conform conform;
	struct fl_memory *memory;

	conform_open(&conform, NULL);
	memory = conform_take(&conform, NULL, 4 * MIB);
	memset(memory->base, 1, MIB);
	if (!can_look) {
		CHECK_EQ(fl_pool_usage(conform.pool, &usage, &error), -ENOTSUP);
		CHECK(error.text[0] != '\0');
	} else {
		CONFORM_OK(fl_pool_usage(conform.pool, &usage, &error), &error);
		CHECK(usage.private_bytes + usage.swapped_bytes >= MIB);
		CHECK(usage.private_bytes <= 2 * MIB);
		CHECK(usage.dirty_bytes >= MIB);
		CHECK_EQ(usage.idle_private_bytes, 0);
	}
	conform_give(memory);
	CHECK_EQ(fl_pool_trim(conform.pool, UINT64_MAX, NULL), 0);
	conform_close(&conform);
}

/* A limit that is far below 100 TiB, where programs have their code. */
static int refused_pool(void *arg)
{
	struct rlimit limit = { 64 * GIB, 64 * GIB };
	struct fl_context *context = conform_context();
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_pool *pool = NULL;

	(void)arg;
	if (setrlimit(RLIMIT_AS, &limit))
		return 1;
	fl_pool_config_init(&config);
	config.max_memories = 16000;
	CHECK_EQ(fl_pool_create(context, &config, &pool, &error), -ENOMEM);
	CHECK(pool == NULL);
	CHECK_HAS(error.text, "ulimit");
	fl_context_destroy(context);
	return test_has_failed() ? TEST_CHILD_FAILED : 0;
}

/* What could not be reserved is not unmapped either. */
static void refused_reservation_leaves_the_rest_alone(void)
{
	struct test_end end = test_fork(refused_pool, NULL, 10);

	CHECK_EQ(end.status, 0);
	CHECK_EQ(end.signo, 0);
}

static const char *address_space_limit(void)
{
	return test_is_sanitized() ? TEST_NOT_BUILT
		       "a sanitizer takes more address space than that" :
				     test_needs_limits();
}

/* Not from the parent's context, whose locks may be held there; from a new
 * one. */
static int make_in_child(void *arg)
{
	struct conform *parent = arg;
	struct fl_error error = { .text = "" };
	struct fl_pool *pool = NULL;
	struct conform conform;

	CHECK_EQ(fl_pool_create(parent->context, NULL, &pool, &error), -ECHILD);
	CHECK_HAS(error.text, "context of its own");
	conform_open(&conform, NULL);
	conform_give(conform_take(&conform, NULL, WPAGE));
	conform_close(&conform);
	return test_has_failed() ? TEST_CHILD_FAILED : 0;
}

static void child_makes_its_own(void)
{
	struct conform conform;

	conform_open(&conform, NULL);
	CHECK_EQ(test_fork(make_in_child, &conform, 20).status, 0);
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE(child_makes_its_own),
	TEST_CASE(backend_is_the_one_asked_for),
	TEST_CASE(rung_by_name),
	TEST_CASE(rungs_of_no_or_another_backend),
	TEST_CASE(a_rung_chooses_its_backend),
	TEST_CASE(a_backend_of_no_name),
	TEST_CASE_NEEDS(best_backend, needs_all_backends),
	TEST_CASE(unknown_backend),
	TEST_CASE(backends_taken_away),
	TEST_CASE(newer_and_older_structs),
	TEST_CASE(shorter_pool_info),
	TEST_CASE(configuration_is_told),
	TEST_CASE(defaults),
	TEST_CASE(layout_of_a_memory),
	TEST_CASE(values_that_contradict),
	TEST_CASE(values_that_overflow),
	TEST_CASE(too_much_address_space),
	TEST_CASE_NEEDS(refused_reservation_leaves_the_rest_alone,
			address_space_limit),
	TEST_CASE_NEEDS(pool_is_only_reserved, test_needs_space),
	TEST_CASE(failed_acquire_holds_nothing),
	TEST_CASE(initial_size_above_the_maximum),
	TEST_CASE(all_slots_come_back),
	TEST_CASE(find_by_base),
	TEST_CASE(initial_size_other_than_the_images),
	TEST_CASE(next_available),
	TEST_CASE(reuse_affinity),
	TEST_CASE(no_warm_slots),
	TEST_CASE(random_slots),
	TEST_CASE(random_slots_by_seed),
	TEST_CASE(trimmed_slots_are_cold_and_clean),
	TEST_CASE(usage_counts_private_pages),
};

CONFORM_MAIN(cases)
