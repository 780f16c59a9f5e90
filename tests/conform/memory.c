/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * memory.c - one memory taken alone: growth, bulk operations, access by
 * the kernel, fork; and random operations against the model.
 */
#define _GNU_SOURCE
#include "tests/kit/child.h"
#include "tests/kit/conform.h"
#include "tests/kit/host.h"
#include "tests/kit/random.h"
#include "tests/kit/trap.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>

/* ------------------------------------------------------------------- growth */

/* The specification of memory.grow. */
static void grow_to_the_maximum(void)
{
	struct conform conform;
	struct fl_memory *memory;
	uint64_t old = 99;

	conform_open(&conform, NULL);
	memory = conform_take_sized(&conform, 0, 3 * WPAGE, WPAGE);
	for (uint64_t i = 0; i < 3; i++) {
		uint8_t *base = memory->base;

		CHECK_EQ(fl_memory_grow(memory, 1, &old), 0);
		CHECK_EQ(old, i);
		CHECK(memory->base == base);
		CHECK_EQ(memory->length_bytes, (i + 1) * WPAGE);
		base[i * WPAGE] = 1;
		base[(i + 1) * WPAGE - 1] = 1;
	}
	CHECK_EQ(fl_memory_grow(memory, 1, &old), -E2BIG);
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), -E2BIG);
	CHECK_EQ(fl_memory_grow(memory, UINT64_MAX, &old), -E2BIG);
	CHECK_EQ(fl_memory_grow(memory, UINT64_MAX / WPAGE + 1, &old), -E2BIG);
	CHECK_EQ(fl_memory_grow(memory, 1ull << 48, &old), -E2BIG);
	CHECK_EQ(fl_memory_grow(memory, 0, &old), 0);
	CHECK_EQ(old, 3);
	CHECK_EQ(fl_memory_length(memory), 3 * WPAGE);
	conform_give(memory);
	conform_close(&conform);
}

/* No maximum of its own: the pool's ends growth. */
static void grow_to_the_pools_maximum(void)
{
	static const enum fl_bounds bounds[] = { FL_BOUNDS_GUARDED,
						 FL_BOUNDS_ACCESSIBLE };

	for (size_t i = 0; i < TEST_ARRAY_SIZE(bounds); i++) {
		struct fl_pool_config config;
		struct conform conform;
		struct fl_memory *memory;

		conform_pool_config(&config);
		config.max_memory_bytes = 10 * WPAGE;
		config.bounds = bounds[i];
		conform_open(&conform, &config);
		memory = conform_take_sized(&conform, 2 * WPAGE, UINT64_MAX,
					    WPAGE);
		CHECK_EQ(fl_memory_grow(memory, 9, NULL), -E2BIG);
		CHECK_EQ(fl_memory_length(memory), 2 * WPAGE);
		CHECK_EQ(fl_memory_grow(memory, 8, NULL), 0);
		conform_check_zero(memory);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), -E2BIG);
		conform_give(memory);
		/* A declared maximum above the pool's only clamps. */
		memory = conform_take_sized(&conform, 2 * WPAGE, 1000 * WPAGE,
					    WPAGE);
		CHECK_EQ(fl_memory_grow(memory, 8, NULL), 0);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), -E2BIG);
		conform_give(memory);
		conform_close(&conform);
	}
}

static void check_growth(const struct fl_memory *memory, uint64_t delta_pages,
			 const char *words)
{
	struct fl_error error = { .text = "" };
	uint64_t length = fl_memory_length(memory);

	CHECK_EQ(fl_memory_check_growth(memory, delta_pages, &error),
		 words ? -E2BIG : 0);
	CHECK(!words || strstr(error.text, words) != NULL);
	CHECK_EQ(fl_memory_check_growth(memory, delta_pages, NULL),
		 words ? -E2BIG : 0);
	CHECK_EQ(fl_memory_length(memory), length);
}

static void the_maximum_in_the_way_is_named(void)
{
	struct fl_pool_config pool_config;
	struct conform conform;
	struct fl_memory *memory;

	conform_pool_config(&pool_config);
	pool_config.max_memory_bytes = 10 * WPAGE;
	conform_open(&conform, &pool_config);
	memory = conform_take_sized(&conform, 2 * WPAGE, 5 * WPAGE, WPAGE);
	check_growth(memory, 0, NULL);
	check_growth(memory, 3, NULL);
	check_growth(memory, 4,
		     "max_bytes of fl_memory_config ends growth at "
		     "327680 ");
	check_growth(memory, 9, "max_memory_bytes of fl_pool_config");
	check_growth(memory, UINT64_MAX, "max_memory_bytes of fl_pool_config");
	CHECK_EQ(fl_memory_grow(memory, 3, NULL), 0);
	check_growth(memory, 1, "max_bytes of fl_memory_config");
	conform_give(memory);
	conform_close(&conform);
}

/* Only a size of 4 GiB and more meets it. */
static void the_end_of_addresses_is_named(void)
{
	struct fl_pool_config pool_config;
	struct fl_memory_config config;
	struct conform conform;
	struct fl_memory *memory;

	conform_pool_config(&pool_config);
	pool_config.max_memories = 1;
	pool_config.max_memory_bytes = 5 * GIB;
	pool_config.memory_stride_bytes = 0;
	conform_open(&conform, &pool_config);
	fl_memory_config_init(&config);
	config.address_bits = 32;
	memory = conform_acquire(&conform, &config);
	check_growth(memory, 65536, NULL);
	check_growth(memory, 65537, "addresses of 32 bits");
	conform_give(memory);
	conform_close(&conform);
}

static void a_memory_keeps_what_the_runtime_gave(void)
{
	struct fl_memory_config config;
	struct conform conform;
	struct fl_memory *memory;

	conform_open_one_slot(&conform);
	fl_memory_config_init(&config);
	config.user = &config;
	memory = conform_acquire(&conform, &config);
	CHECK(fl_memory_user(memory) == &config);
	CHECK_EQ(fl_memory_reset(memory), 0);
	CHECK(fl_memory_user(memory) == &config);
	conform_give(memory);
	/* The slot's next tenant has its own. */
	config.user = NULL;
	memory = conform_acquire(&conform, &config);
	CHECK(fl_memory_user(memory) == NULL);
	conform_give(memory);
	conform_close(&conform);
}

/* The caller's reference goes first. */
static void an_image_lives_as_long_as_a_memory(void)
{
	struct fl_memory_config config;
	struct conform conform;
	struct fl_memory *memory;

	conform_open_one_slot(&conform);
	fl_memory_config_init(&config);
	config.image = conform_image_of(&conform, WPAGE, 100, "here", 4);
	memory = conform_acquire(&conform, &config);
	fl_image_release(config.image);
	for (int i = 0; i < 3; i++) {
		CHECK(!memcmp(memory->base + 100, "here", 4));
		memset(memory->base, 0xee, WPAGE);
		CHECK_EQ(fl_memory_reset(memory), 0);
	}
	conform_give(memory);
	conform_close(&conform);
}

static void grow_in_single_bytes(void)
{
	struct conform conform;
	struct fl_memory *memory;
	uint64_t old;

	conform_open(&conform, NULL);
	memory = conform_take_sized(&conform, 0, 10000, 1);
	for (uint64_t i = 0; i < 10000; i++) {
		if (fl_memory_grow(memory, 1, &old) || old != i ||
		    memory->base[i])
			break;
		memory->base[i] = (uint8_t)(i | 1);
	}
	CHECK_EQ(fl_memory_length(memory), 10000);
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), -E2BIG);
	for (uint64_t i = 0; i < 10000; i++) {
		if (!CHECK_EQ(memory->base[i], (uint8_t)(i | 1)))
			break;
	}
	conform_give(memory);
	conform_close(&conform);
}

static void memory_of_size_zero(void)
{
	struct conform conform;
	struct fl_memory *memory;
	struct fl_image *image;

	conform_open(&conform, NULL);
	memory = conform_take_sized(&conform, 0, 0, WPAGE);
	CHECK(memory->base != NULL);
	CHECK_EQ(fl_memory_length(memory), 0);
	CHECK_EQ(fl_memory_grow(memory, 0, NULL), 0);
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), -E2BIG);
	CHECK(fl_memory_find(conform.pool, memory->base) == memory);
	CHECK_EQ(fl_memory_fill(memory, 0, 1, 0), FL_TRAP_NONE);
	CHECK_EQ(fl_memory_fill(memory, 0, 1, 1), FL_TRAP_MEMORY_OUT_OF_BOUNDS);
	conform_give(memory);
	image = conform_image(&conform, 0, NULL, 0);
	memory = conform_take(&conform, image, 0);
	CHECK_EQ(fl_memory_length(memory), 0);
	CHECK_EQ(fl_memory_grow(memory, 2, NULL), 0);
	conform_check_zero(memory);
	conform_give(memory);
	fl_image_release(image);
	conform_close(&conform);
}

/* What grew beside an image is zero, and the image stays. */
static void grow_beyond_an_image(void)
{
	struct conform conform;
	struct fl_image *image;
	struct model model;

	conform_open_one_slot(&conform);
	/* Not a multiple of a host page: the rest of the last one counts. */
	image = conform_image_of(&conform, 70001, 70000, "x", 1);
	for (int i = 0; i < 4; i++) {
		struct fl_memory_config config;
		struct fl_memory *memory;
		uint64_t old;

		fl_memory_config_init(&config);
		config.image = image;
		config.page_bytes = 1;
		memory = conform_acquire(&conform, &config);
		model_init(&model, 70001, 4 * MIB, 1);
		model_set(&model, 70000, 'x');
		CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
		CHECK_EQ(fl_memory_grow(memory, 100000, &old), 0);
		CHECK_EQ(old, 70001);
		CHECK(model_grow(&model, 100000, &old));
		CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
		memset(memory->base, 0x12, 170001);
		conform_give(memory);
		model_fini(&model);
	}
	fl_image_release(image);
	conform_close(&conform);
}

/* ---------------------------------------------------------- bulk operations */

static void fill_and_copy_bounds(void)
{
	const enum fl_trap oob = FL_TRAP_MEMORY_OUT_OF_BOUNDS;
	const uint64_t huge = UINT64_MAX, end = 2 * WPAGE;
	struct conform conform;
	struct fl_memory *a, *b;

	conform_open(&conform, NULL);
	a = conform_take(&conform, NULL, end);
	b = conform_take(&conform, NULL, WPAGE);
	CHECK_EQ(fl_memory_fill(a, end, 1, 0), FL_TRAP_NONE);
	CHECK_EQ(fl_memory_fill(a, end + 1, 1, 0), oob);
	CHECK_EQ(fl_memory_fill(a, end, 1, 1), oob);
	CHECK_EQ(fl_memory_fill(a, end - 1, 1, 2), oob);
	CHECK_EQ(fl_memory_fill(a, 0, 1, end + 1), oob);
	CHECK_EQ(fl_memory_fill(a, huge, 1, 0), oob);
	CHECK_EQ(fl_memory_fill(a, huge, 1, 1), oob);
	CHECK_EQ(fl_memory_fill(a, 1, 1, huge), oob);
	CHECK_EQ(fl_memory_fill(a, huge, 1, huge), oob);
	CHECK_EQ(fl_memory_fill(a, huge - 4, 1, 5), oob);
	CHECK_EQ(fl_memory_copy(a, end, b, WPAGE, 0), FL_TRAP_NONE);
	CHECK_EQ(fl_memory_copy(a, end + 1, b, 0, 0), oob);
	CHECK_EQ(fl_memory_copy(a, 0, b, WPAGE + 1, 0), oob);
	CHECK_EQ(fl_memory_copy(a, 0, b, 0, WPAGE + 1), oob);
	CHECK_EQ(fl_memory_copy(b, 0, a, 0, WPAGE + 1), oob);
	CHECK_EQ(fl_memory_copy(a, huge, b, 0, 1), oob);
	CHECK_EQ(fl_memory_copy(a, 0, b, huge, 1), oob);
	CHECK_EQ(fl_memory_copy(a, 0, b, huge, huge), oob);
	CHECK_EQ(fl_memory_copy(a, 1, b, 1, huge), oob);
	CHECK_EQ(fl_memory_copy(a, huge, a, huge, 0), oob);
	/* Bounds come first: none of these wrote anything. */
	conform_check_zero(a);
	conform_check_zero(b);
	CHECK_EQ(fl_memory_fill(a, 0, 0xa5, end), FL_TRAP_NONE);
	CHECK_EQ(fl_memory_copy(b, 0, a, end - WPAGE, WPAGE), FL_TRAP_NONE);
	CHECK_EQ(b->base[0], 0xa5);
	CHECK_EQ(b->base[WPAGE - 1], 0xa5);
	conform_give(a);
	conform_give(b);
	conform_close(&conform);
}

static void copy_that_overlaps(void)
{
	struct conform conform;
	struct fl_memory *memory;
	struct model model;

	conform_open(&conform, NULL);
	memory = conform_take(&conform, NULL, WPAGE);
	model_init(&model, WPAGE, WPAGE, WPAGE);
	for (uint64_t i = 0; i < 1000; i++) {
		memory->base[i] = (uint8_t)i;
		model_set(&model, i, (uint8_t)i);
	}
	CHECK_EQ(fl_memory_copy(memory, 3, memory, 0, 900), FL_TRAP_NONE);
	model_copy(&model, 3, &model, 0, 900);
	CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
	CHECK_EQ(fl_memory_copy(memory, 10, memory, 77, 900), FL_TRAP_NONE);
	model_copy(&model, 10, &model, 77, 900);
	CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
	CHECK_EQ(fl_memory_copy(memory, 5, memory, 5, 100), FL_TRAP_NONE);
	CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
	model_fini(&model);
	conform_give(memory);
	conform_close(&conform);
}

/* ------------------------------------------------------------------- kernel */

static void prefault_bounds(void)
{
	struct conform conform;
	struct fl_memory *memory;

	conform_open(&conform, NULL);
	memory = conform_take(&conform, NULL, 70000);
	CHECK_EQ(fl_memory_prefault(memory, 0, 70000), 0);
	CHECK_EQ(fl_memory_prefault(memory, 70000, 0), 0);
	CHECK_EQ(fl_memory_prefault(memory, 12345, 1), 0);
	CHECK_EQ(fl_memory_prefault(memory, 70000, 1), -EINVAL);
	CHECK_EQ(fl_memory_prefault(memory, 70001, 0), -EINVAL);
	CHECK_EQ(fl_memory_prefault(memory, 1, 70000), -EINVAL);
	CHECK_EQ(fl_memory_prefault(memory, UINT64_MAX, 1), -EINVAL);
	CHECK_EQ(fl_memory_prefault(memory, 1, UINT64_MAX), -EINVAL);
	conform_check_zero(memory);
	conform_give(memory);
	conform_close(&conform);
}

static long minor_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* The faults that storing one byte into each host page takes; not seen by the
 * sanitizers, whose shadow faults too. */
__attribute__((no_sanitize_address, no_sanitize_thread)) static long
count_faults(volatile uint8_t *base, uint64_t from, uint64_t to, uint64_t step)
{
	long before = minor_faults();

	for (uint64_t off = from; off < to; off += step)
		base[off] = 1;
	return minor_faults() - before;
}

/* Resident and writable: writing then faults no more. */
static void prefault_leaves_no_fault(void)
{
	uint8_t *data = malloc(MIB);
	struct conform conform;
	struct fl_image *image;

	MUST(data != NULL);
	memset(data, 3, MIB);
	conform_open(&conform, NULL);
	image = conform_image_of(&conform, 4 * MIB, MIB, data, MIB);
	for (int i = 0; i < 4; i++) {
		struct fl_memory *memory =
			conform_take(&conform, i % 2 ? NULL : image, 4 * MIB);

		CHECK_EQ(fl_memory_prefault(memory, MIB / 2, 2 * MIB), 0);
		CHECK(count_faults(memory->base, MIB / 2, 5 * MIB / 2,
				   conform_hpage()) < 16);
		conform_give(memory);
	}
	fl_image_release(image);
	conform_close(&conform);
	free(data);
}

/* --------------------------------------------------------------------- fork */

struct fork_case {
	struct conform *conform;
	struct fl_memory *memory;
	struct fl_instance *instance;
	int go; /* the child waits for a byte here */
	int parents_end; /* of the pipe; not for the child */
};

static int child_calls(void *arg)
{
	struct fork_case *c = arg;
	struct fl_error error = { .code = 0 };
	struct fl_memory *memory = NULL;
	struct fl_memory_config config;

	fl_memory_config_init(&config);
	config.initial_bytes = WPAGE;
	CHECK_EQ(fl_memory_acquire(c->conform->pool, &config, &memory, &error),
		 -ECHILD);
	CHECK_EQ(error.code, -ECHILD);
	CHECK(memory == NULL);
	CHECK_EQ(fl_memory_grow(c->memory, 1, NULL), -ECHILD);
	CHECK_EQ(fl_memory_prefault(c->memory, 0, 1), -ECHILD);
	CHECK_EQ(fl_memory_release(c->memory), -ECHILD);
	CHECK_EQ(fl_pool_trim(c->conform->pool, UINT64_MAX, NULL), -ECHILD);
	CHECK_EQ(fl_pool_destroy(c->conform->pool), -ECHILD);
	return 0;
}

static void child_gets_an_error(void)
{
	struct conform conform;
	struct fork_case c = { .conform = &conform };
	struct test_end end;

	conform_open(&conform, NULL);
	c.memory = conform_take(&conform, NULL, WPAGE);
	memset(c.memory->base, 0x77, WPAGE);
	end = test_fork(child_calls, &c, 10);
	CHECK_EQ(end.status, 0);
	CHECK_EQ(end.signo, 0);
	/* The parent goes on as if nothing had happened. */
	CHECK_EQ(conform_info(&conform).live_memories, 1);
	CHECK_EQ(c.memory->base[WPAGE - 1], 0x77);
	CHECK_EQ(fl_memory_grow(c.memory, 1, NULL), 0);
	CHECK_EQ(conform_first_data(c.memory->base + WPAGE, WPAGE), WPAGE);
	conform_give(c.memory);
	c.memory = conform_take(&conform, NULL, WPAGE);
	conform_check_zero(c.memory);
	conform_give(c.memory);
	conform_close(&conform);
}

/* A child that lives on shares the parent's pages and writes to its own. */
static int child_writes(void *arg)
{
	struct fork_case *c = arg;
	char byte;

	close(c->parents_end);
	memset(c->memory->base, 0x22, 8 * WPAGE);
	return read(c->go, &byte, 1) < 0;
}

static void child_that_lives_on(void)
{
	struct conform conform;
	struct fork_case c = { .conform = &conform };
	struct fl_image *image;
	int fds[2];
	pid_t pid;

	conform_open_one_slot(&conform);
	MUST_EQ(pipe2(fds, O_CLOEXEC), 0);
	c.go = fds[0];
	image = conform_image_of(&conform, 8 * WPAGE, WPAGE, "image", 5);
	c.memory = conform_take(&conform, image, 0);
	memset(c.memory->base + 3 * WPAGE, 0x11, WPAGE);
	c.parents_end = fds[1];
	pid = test_spawn(child_writes, &c, 20);
	CHECK_EQ(c.memory->base[3 * WPAGE], 0x11);
	memset(c.memory->base + 3 * WPAGE, 0x12, 2 * WPAGE);
	for (int i = 0; i < 4; i++) {
		struct model model;

		conform_give(c.memory);
		c.memory = conform_take(&conform, image, 0);
		model_init(&model, 8 * WPAGE, 8 * WPAGE, WPAGE);
		model_put(&model, WPAGE, "image", 5, 0, 5);
		CHECK_EQ(model_diff(&model, c.memory), MODEL_EQUAL);
		model_fini(&model);
		memset(c.memory->base + (uint64_t)i * WPAGE, 0x13, WPAGE);
	}
	close(fds[1]);
	close(fds[0]);
	test_wait(pid);
	conform_give(c.memory);
	fl_image_release(image);
	conform_close(&conform);
}

/* ------------------------------------------------------------------- random */

#define RANDOM_IMAGES 4
#define RANDOM_SLOTS 3
#define RANDOM_SEGMENTS 16
#define RANDOM_IMAGE_MAX (4 * MIB + MIB / 2)
#define RANDOM_MAX (6 * MIB)

struct random_world {
	struct test_random random;
	struct conform conform;
	struct fl_image *images[RANDOM_IMAGES];
	struct model initial[RANDOM_IMAGES];
	struct fl_memory *memories[RANDOM_SLOTS];
	struct model models[RANDOM_SLOTS];
	struct model begun[RANDOM_SLOTS]; /* as the memory was acquired */
};

static uint64_t random_off(struct random_world *w, uint64_t len)
{
	uint64_t off = test_random_below(&w->random, len + 2);

	if (!test_random_below(&w->random, 4))
		off = off / 4096 * 4096;
	return off;
}

static void random_images_init(struct random_world *w)
{
	static uint8_t bytes[40000];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)test_random_next(&w->random);
	for (int i = 0; i < RANDOM_IMAGES; i++) {
		uint64_t size = test_random_below(&w->random, RANDOM_IMAGE_MAX);
		struct fl_segment segments[RANDOM_SEGMENTS];

		for (size_t s = 0; s < RANDOM_SEGMENTS; s++) {
			uint64_t off = test_random_below(&w->random, size);
			uint64_t len = test_random_below(&w->random, 40000);

			if (len > size - off)
				len = size - off;
			segments[s] = (struct fl_segment){ off, bytes, len };
		}
		w->images[i] = conform_image(&w->conform, size, segments,
					     RANDOM_SEGMENTS);
		model_init(&w->initial[i], size, RANDOM_MAX, 1);
		CHECK_EQ(model_apply(&w->initial[i], segments, RANDOM_SEGMENTS),
			 RANDOM_SEGMENTS);
	}
}

static void random_take(struct random_world *w, int slot)
{
	uint64_t which = test_random_below(&w->random, RANDOM_IMAGES + 1);
	uint64_t max =
		test_random_below(&w->random, 2) ?
			UINT64_MAX :
			RANDOM_IMAGE_MAX + test_random_below(&w->random, MIB);
	struct fl_memory_config config;
	uint64_t size;

	fl_memory_config_init(&config);
	config.max_bytes = max;
	config.page_bytes = test_random_below(&w->random, 2) ? 1 : WPAGE;
	if (which < RANDOM_IMAGES) {
		config.image = w->images[which];
		size = w->initial[which].length_bytes;
	} else {
		size = test_random_below(&w->random, RANDOM_IMAGE_MAX);
		config.initial_bytes = size;
	}
	w->memories[slot] = conform_acquire(&w->conform, &config);
	model_init(&w->models[slot], size, max < RANDOM_MAX ? max : RANDOM_MAX,
		   config.page_bytes);
	if (which < RANDOM_IMAGES)
		model_copy(&w->models[slot], 0, &w->initial[which], 0, size);
	model_init(&w->begun[slot], size, size, 1);
	model_copy(&w->begun[slot], 0, &w->models[slot], 0, size);
	/* A full look touches every page: not always. */
	if (test_random_below(&w->random, 2))
		CHECK_EQ(model_diff(&w->models[slot], w->memories[slot]),
			 MODEL_EQUAL);
}

static void random_give(struct random_world *w, int slot)
{
	if (test_random_below(&w->random, 2))
		CHECK_EQ(model_diff(&w->models[slot], w->memories[slot]),
			 MODEL_EQUAL);
	conform_give(w->memories[slot]);
	model_fini(&w->models[slot]);
	model_fini(&w->begun[slot]);
	w->memories[slot] = NULL;
}

static void random_stores(struct random_world *w, struct fl_memory *memory,
			  struct model *model)
{
	uint64_t len = model->length_bytes;
	uint64_t count = test_random_below(&w->random, 50);

	for (uint64_t i = 0; len && i < count; i++) {
		uint64_t off = test_random_below(&w->random, len);
		uint8_t value = (uint8_t)test_random_next(&w->random);

		CHECK_EQ(memory->base[off], model_get(model, off));
		((volatile uint8_t *)memory->base)[off] = value;
		model_set(model, off, value);
	}
}

/* In place, as after the acquire. */
static void random_reset(struct random_world *w, int slot)
{
	struct model *model = &w->models[slot];
	uint64_t max = model->max_bytes, page_bytes = model->page_bytes;
	uint64_t size = w->begun[slot].length_bytes;

	CHECK_EQ(fl_memory_reset(w->memories[slot]), 0);
	model_fini(model);
	model_init(model, size, max, page_bytes);
	model_copy(model, 0, &w->begun[slot], 0, size);
	CHECK_EQ(model_diff(model, w->memories[slot]), MODEL_EQUAL);
}

/* Of each page, does the answer say whether its bytes differ from what the
 * memory began with? */
static void random_written(struct random_world *w, int slot)
{
	static struct fl_memory_run runs[RANDOM_MAX / 4096];
	struct fl_written answer = { .size = sizeof(answer) };
	const struct model *model = &w->models[slot];
	uint64_t hpage = conform_hpage(), size = model->length_bytes;
	uint32_t flags = test_random_below(&w->random, 2) ? FL_WRITTEN_BEGIN :
							    0;
	const struct fl_memory_run *run = runs;
	int err = fl_memory_written(w->memories[slot], flags, runs,
				    TEST_ARRAY_SIZE(runs), &answer, NULL);

	if (!strcmp(test_rung->how, "discard")) {
		CHECK_EQ(err, -ENOTSUP);
		return;
	}
	CHECK_EQ(err, 0);
	for (uint64_t at = 0; at < size; at += hpage) {
		uint64_t end = size - at < hpage ? size : at + hpage;
		uint64_t off = at;

		while (run < runs + answer.run_count &&
		       run->offset_bytes + run->length_bytes <= at)
			run++;
		while (off < end &&
		       model_get(model, off) == model_get(&w->begun[slot], off))
			off++;
		if (!CHECK_EQ(run < runs + answer.run_count &&
				      run->offset_bytes <= at,
			      off < end))
			break;
	}
}

static void random_step(struct random_world *w, int slot)
{
	struct fl_memory *memory = w->memories[slot];
	struct model *model = &w->models[slot];
	int other = (int)test_random_below(&w->random, RANDOM_SLOTS);
	uint64_t len = test_random_below(&w->random, 20000);
	uint64_t dst = random_off(w, model->length_bytes), src, old, mine;
	bool grows;

	switch (test_random_below(&w->random, 7)) {
	case 5:
		if (!test_random_below(&w->random, 3))
			random_reset(w, slot);
		break;
	case 6:
		if (!test_random_below(&w->random, 3))
			random_written(w, slot);
		break;
	case 0:
		CHECK_EQ(fl_memory_fill(memory, dst, (uint8_t)len, len) !=
				 FL_TRAP_NONE,
			 model_fill(model, dst, (uint8_t)len, len));
		break;
	case 1:
		if (!w->memories[other])
			break;
		src = random_off(w, w->models[other].length_bytes);
		CHECK_EQ(fl_memory_copy(memory, dst, w->memories[other], src,
					len) != FL_TRAP_NONE,
			 model_copy(model, dst, &w->models[other], src, len));
		break;
	case 2:
		len = test_random_below(&w->random, 300000) / model->page_bytes;
		mine = model->length_bytes / model->page_bytes;
		old = mine;
		grows = !fl_memory_grow(memory, len, &old);
		CHECK_EQ(grows, model_grow(model, len, &mine));
		CHECK_EQ(fl_memory_length(memory), model->length_bytes);
		if (grows && model->length_bytes % model->page_bytes == 0)
			CHECK_EQ(old, mine);
		break;
	default:
		random_stores(w, memory, model);
	}
}

static void random_operations(void)
{
	static const enum fl_bounds bounds[] = { FL_BOUNDS_GUARDED,
						 FL_BOUNDS_ACCESSIBLE };
	int steps = test_rounds(test_is_sanitized() ? 250 : 600);
	struct random_world w;

	for (size_t b = 0; b < TEST_ARRAY_SIZE(bounds); b++) {
		struct fl_pool_config config;

		memset(&w, 0, sizeof(w));
		test_random_init(&w.random, 42 + b);
		conform_pool_config(&config);
		config.max_memories = RANDOM_SLOTS;
		config.max_memory_bytes = RANDOM_MAX;
		config.bounds = bounds[b];
		conform_open(&w.conform, &config);
		random_images_init(&w);
		for (int i = 0; i < steps && !test_has_failed(); i++) {
			int slot =
				(int)test_random_below(&w.random, RANDOM_SLOTS);

			if (!w.memories[slot])
				random_take(&w, slot);
			else if (!test_random_below(&w.random, 6))
				random_give(&w, slot);
			else
				random_step(&w, slot);
		}
		for (int slot = 0; slot < RANDOM_SLOTS; slot++) {
			if (w.memories[slot])
				random_give(&w, slot);
		}
		for (int i = 0; i < RANDOM_IMAGES; i++) {
			fl_image_release(w.images[i]);
			model_fini(&w.initial[i]);
		}
		conform_close(&w.conform);
	}
}

/* A memory of 65,534 wpages in a slot of 4 GiB: the last two can be had, and no
 * third; the last byte is there, and the next access traps. */
static void all_of_four_gib(void)
{
	struct fl_pool_config config;
	struct conform conform;

	fl_pool_config_init(&config);
	config.max_memories = 1;
	config.max_instances = 0;
	conform_open(&conform, &config);
	for (int round = 0; round < 3; round++) {
		struct fl_memory *memory =
			conform_take(&conform, NULL, 65534 * WPAGE);
		uint64_t old = 0;

		CHECK(test_traps(memory->base + 65534 * WPAGE));
		CHECK_EQ(fl_memory_grow(memory, 3, &old), -E2BIG);
		CHECK_EQ(fl_memory_grow(memory, 2, &old), 0);
		CHECK_EQ(old, 65534);
		CHECK_EQ(memory->base[4 * GIB - 1], 0);
		memory->base[4 * GIB - 1] = 1;
		CHECK_EQ(fl_memory_grow(memory, 1, &old), -E2BIG);
		CHECK(test_traps(memory->base + 4 * GIB));
		conform_give(memory);
	}
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE_NEEDS(all_of_four_gib, test_needs_64_bits),
	TEST_CASE(grow_to_the_maximum),
	TEST_CASE(grow_to_the_pools_maximum),
	TEST_CASE(the_maximum_in_the_way_is_named),
	TEST_CASE_NEEDS(the_end_of_addresses_is_named, test_needs_64_bits),
	TEST_CASE(a_memory_keeps_what_the_runtime_gave),
	TEST_CASE(an_image_lives_as_long_as_a_memory),
	TEST_CASE(grow_in_single_bytes),
	TEST_CASE(memory_of_size_zero),
	TEST_CASE(grow_beyond_an_image),
	TEST_CASE(fill_and_copy_bounds),
	TEST_CASE(copy_that_overlaps),
	TEST_CASE(prefault_bounds),
	TEST_CASE(prefault_leaves_no_fault),
	TEST_CASE(child_gets_an_error),
	TEST_CASE(child_that_lives_on),
	TEST_CASE(random_operations),
};

CONFORM_MAIN(cases)
