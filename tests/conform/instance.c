/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * instance.c - from a module to instances: what fits a pool, which
 * memory is which, and what is given back after an error.
 */
#define _GNU_SOURCE
#include "tests/kit/child.h"
#include "tests/kit/conform_module.h"
#include "tests/kit/random.h"

#include <stdlib.h>

/* -------------------------------------------------------------------- start */

/* A table is the runtime's, whatever the pool says of tables. */
static void memory_and_table(void)
{
	struct fl_instance *instance;
	struct fl_module *module;
	struct conform conform;
	struct wasm w = { 0 };
	int user;

	conform_open(&conform, NULL);
	wasm_header(&w);
	wasm_section_bytes(&w, WASM_TABLE, 1, 0x70, 0, 10);
	wasm_one_memory(&w, 1, 1);
	module = module_load(&conform, &w);
	CHECK_EQ(fl_pool_validate(conform.pool, module, NULL), 0);
	for (int i = 0; i < 3; i++) {
		struct fl_instance_config config;
		struct fl_memory *memory;

		fl_instance_config_init(&config);
		config.user = &user;
		CHECK_EQ(fl_instance_acquire(conform.pool, module, &config,
					     &instance, NULL),
			 0);
		memory = fl_instance_memory(instance, 0);
		MUST(memory != NULL);
		CHECK_EQ(fl_memory_length(memory), WPAGE);
		CHECK(fl_instance_memory(instance, 1) == NULL);
		CHECK(fl_instance_memory(instance, UINT32_MAX) == NULL);
		CHECK(fl_instance_module(instance) == module);
		CHECK(fl_instance_user(instance) == &user);
		CHECK(fl_memory_find(conform.pool, memory->base) == memory);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), -E2BIG);
		CHECK_EQ(conform_info(&conform).live_instances, 1);
		CHECK_EQ(conform_info(&conform).live_memories, 1);
		instance_stop(instance);
		check_nothing_held(&conform);
	}
	fl_module_release(module);
	conform_close(&conform);
}

static void module_without_memory(void)
{
	struct fl_instance *instances[4], *none = NULL;
	struct fl_pool_config config;
	struct fl_module *module;
	struct conform conform;
	struct wasm w = { 0 };

	conform_pool_config(&config);
	config.max_memories = 0;
	conform_open(&conform, &config);
	wasm_header(&w);
	module = module_load(&conform, &w);
	CHECK_EQ(fl_pool_validate(conform.pool, module, NULL), 0);
	for (int i = 0; i < 4; i++)
		instances[i] = instance_start(&conform, module);
	CHECK_EQ(fl_instance_acquire(conform.pool, module, NULL, &none, NULL),
		 -EAGAIN);
	CHECK(fl_instance_memory(instances[0], 0) == NULL);
	for (int i = 0; i < 4; i++)
		instance_stop(instances[i]);
	fl_module_release(module);
	conform_close(&conform);
}

/* The module goes, the instance and all its pages stay. */
static void module_released_before_first_touch(void)
{
	struct conform conform;
	struct fl_module *module;
	struct fl_instance *instance;

	conform_open(&conform, NULL);
	for (int i = 0; i < 3; i++) {
		module = module_simple(&conform, 8, 5 * WPAGE + 3, "preserved");
		instance = instance_start(&conform, module);
		fl_module_release(module);
		check_text(fl_instance_memory(instance, 0), 5 * WPAGE + 3,
			   "preserved");
		CHECK(fl_instance_module(instance) == module);
		instance_stop(instance);
	}
	conform_close(&conform);
}

struct borrowed {
	const void *bytes;
	int released;
};

static void borrowed_released(void *user, const void *bytes)
{
	struct borrowed *borrowed = user;

	CHECK(bytes == borrowed->bytes);
	borrowed->released++;
}

static struct fl_module *load_borrowed(struct conform *conform, struct wasm *w,
				       struct borrowed *borrowed)
{
	struct fl_module_config config;
	struct fl_module *module = NULL;

	*borrowed = (struct borrowed){ .bytes = w->bytes };
	fl_module_config_init(&config);
	config.bytes = w->bytes;
	config.length_bytes = w->length;
	config.ownership = FL_BYTES_BORROW;
	config.release = borrowed_released;
	config.user = borrowed;
	MUST_EQ(fl_module_load(conform->context, &config, &module, NULL), 0);
	return module;
}

/* Borrowed bytes are needed as long as an instance may ask for a segment. */
static void borrowed_bytes_outlive_the_instance(void)
{
	struct fl_module *module;
	struct fl_instance *instance;
	struct borrowed borrowed;
	struct conform conform;
	struct wasm w = { 0 }, data = { 0 };

	conform_open(&conform, NULL);
	wasm_header(&w);
	wasm_one_memory(&w, 1, WASM_NO_MAX);
	wasm_u(&data, 1);
	wasm_data_passive(&data, "passive", 7);
	wasm_section(&w, WASM_DATA, &data);
	module = load_borrowed(&conform, &w, &borrowed);
	instance = instance_start(&conform, module);
	CHECK(fl_module_retain(module) == module);
	fl_module_release(module);
	fl_module_release(module);
	CHECK_EQ(borrowed.released, 0);
	CHECK_EQ(fl_memory_init(instance, 0, 0, 10, 0, 7), FL_TRAP_NONE);
	check_text(fl_instance_memory(instance, 0), 10, "passive");
	instance_stop(instance);
	CHECK_EQ(borrowed.released, 1);
	conform_close(&conform);
	wasm_free(&w);
}

/* ---------------------------------------------------- how long a module lives */

/* Two modules whose ends are counted, and a pool with room for four instances
 * and what is asked for. */
struct lives {
	struct conform conform;
	struct wasm wasm;
	struct borrowed borrowed[2];
	struct fl_module *modules[2];
};

static void lives_open(struct lives *lives, const struct fl_pool_config *config)
{
	*lives = (struct lives){ 0 };
	conform_open(&lives->conform, config);
	wasm_header(&lives->wasm);
	wasm_one_memory(&lives->wasm, 1, WASM_NO_MAX);
	wasm_one_data(&lives->wasm, 5, "mine", 4);
	for (int i = 0; i < 2; i++)
		lives->modules[i] = load_borrowed(&lives->conform, &lives->wasm,
						  &lives->borrowed[i]);
}

static void lives_close(struct lives *lives)
{
	conform_close(&lives->conform);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(lives->borrowed[i].released, 1);
	wasm_free(&lives->wasm);
}

/* count of a module at once, taken and given back. */
static void use_slots(struct lives *lives, int which, int count)
{
	struct fl_instance *instances[4];

	for (int i = 0; i < count; i++)
		instances[i] =
			instance_start(&lives->conform, lives->modules[which]);
	for (int i = 0; i < count; i++) {
		CHECK(fl_instance_module(instances[i]) ==
		      lives->modules[which]);
		CHECK_EQ(lives->borrowed[which].released, 0);
		instance_stop(instances[i]);
	}
}

static void purge_lets_go_of_one_module(void)
{
	struct fl_instance *instances[4];
	struct lives lives;

	lives_open(&lives, NULL);
	for (int i = 0; i < 4; i++)
		instances[i] =
			instance_start(&lives.conform, lives.modules[i % 2]);
	for (int i = 0; i < 4; i++)
		instance_stop(instances[i]);
	/* Two slots hold each module now, and nobody else the second one. */
	fl_module_release(lives.modules[1]);
	CHECK_EQ(fl_pool_purge(lives.conform.pool, lives.modules[0], NULL,
			       NULL),
		 0);
	CHECK_EQ(lives.borrowed[0].released, 0);
	fl_module_release(lives.modules[0]);
	CHECK_EQ(lives.borrowed[0].released, 1);
	CHECK_EQ(lives.borrowed[1].released, 0);
	lives_close(&lives);
}

/* The instance that lives goes on, and takes the module along. */
static void purge_beside_a_live_instance(void)
{
	struct fl_instance *instance;
	struct lives lives;

	lives_open(&lives, NULL);
	use_slots(&lives, 0, 3);
	instance = instance_start(&lives.conform, lives.modules[0]);
	CHECK_EQ(fl_pool_purge(lives.conform.pool, lives.modules[0], NULL,
			       NULL),
		 0);
	fl_module_release(lives.modules[0]);
	CHECK_EQ(lives.borrowed[0].released, 0);
	CHECK(fl_instance_module(instance) == lives.modules[0]);
	check_text(fl_instance_memory(instance, 0), 5, "mine");
	instance_stop(instance);
	CHECK_EQ(lives.borrowed[0].released, 1);
	fl_module_release(lives.modules[1]);
	lives_close(&lives);
}

static void trim_lets_go_of_all_modules(void)
{
	struct lives lives;

	lives_open(&lives, NULL);
	for (int i = 0; i < 2; i++) {
		use_slots(&lives, i, 2);
		fl_module_release(lives.modules[i]);
	}
	CHECK_EQ(fl_pool_trim(lives.conform.pool, UINT64_MAX, NULL), 0);
	for (int i = 0; i < 2; i++)
		CHECK_EQ(lives.borrowed[i].released, 1);
	lives_close(&lives);
}

static void other_instances_take_a_modules_slots(void)
{
	struct lives lives;

	lives_open(&lives, NULL);
	use_slots(&lives, 0, 4);
	fl_module_release(lives.modules[0]);
	use_slots(&lives, 1, 4);
	CHECK_EQ(lives.borrowed[0].released, 1);
	fl_module_release(lives.modules[1]);
	lives_close(&lives);
}

/* Slots that nothing has ended before end with the pool; so do slots whose
 * memory a budget has emptied. */
static void modules_go_with_the_pool(void)
{
	struct fl_pool_config config;
	struct lives lives;

	conform_pool_config(&config);
	for (int i = 0; i < 2; i++) {
		config.max_idle_bytes = i ? 0 : UINT64_MAX;
		lives_open(&lives, &config);
		use_slots(&lives, 0, 3);
		use_slots(&lives, 1, 2);
		fl_module_release(lives.modules[0]);
		fl_module_release(lives.modules[1]);
		lives_close(&lives);
	}
}

/* On demand nothing stays that could hold one. */
static void modules_go_at_once_on_demand(void)
{
	struct fl_pool_config config;
	struct lives lives;

	conform_pool_config(&config);
	config.allocation = FL_ALLOCATION_ON_DEMAND;
	lives_open(&lives, &config);
	for (int i = 0; i < 2; i++) {
		use_slots(&lives, i, 4);
		fl_module_release(lives.modules[i]);
		CHECK_EQ(lives.borrowed[i].released, 1);
	}
	lives_close(&lives);
}

struct reentry {
	struct fl_pool *pool;
	const struct fl_module *other;
	int calls;
};

static void call_the_pool(void *user, const void *bytes)
{
	struct reentry *reentry = user;

	(void)bytes;
	reentry->calls++;
	CHECK_EQ(fl_pool_trim(reentry->pool, UINT64_MAX, NULL), 0);
	CHECK_EQ(fl_pool_purge(reentry->pool, reentry->other, NULL, NULL), 0);
	CHECK_EQ(conform_info(&(struct conform){ .pool = reentry->pool })
			 .live_instances,
		 0);
}

/* No lock is held when a module's owner is told of its end. */
static void owner_calls_the_pool_at_the_end(void)
{
	struct fl_module_config config;
	struct reentry reentry = { 0 };
	struct fl_module *module = NULL;
	struct lives lives;

	lives_open(&lives, NULL);
	reentry.pool = lives.conform.pool;
	reentry.other = lives.modules[0];
	fl_module_config_init(&config);
	config.bytes = lives.wasm.bytes;
	config.length_bytes = lives.wasm.length;
	config.ownership = FL_BYTES_BORROW;
	config.release = call_the_pool;
	config.user = &reentry;
	/* By the release of the only instance, and by trimming. */
	for (int i = 1; i <= 2; i++) {
		struct fl_instance *instances[2];

		MUST_EQ(fl_module_load(lives.conform.context, &config, &module,
				       NULL),
			0);
		for (int j = 0; j < i; j++)
			instances[j] = instance_start(&lives.conform, module);
		fl_module_release(module);
		for (int j = 0; j < i; j++)
			instance_stop(instances[j]);
		CHECK_EQ(reentry.calls, 1);
		CHECK_EQ(fl_pool_trim(lives.conform.pool, UINT64_MAX, NULL), 0);
		CHECK_EQ(reentry.calls, i);
	}
	for (int i = 0; i < 2; i++)
		fl_module_release(lives.modules[i]);
	lives_close(&lives);
}

/* Modules take turns in one slot: with an image, without, a larger one. */
static void modules_take_turns(void)
{
	static const struct {
		uint64_t min;
		uint32_t off;
		const char *text;
	} kinds[] = {
		{ 2, 100, "first" },	      { 3, 0, NULL },
		{ 20, 19 * 65536, "second" }, { 1, 0, NULL },
		{ 2, 100, "third" },
	};
	struct fl_module *modules[5];
	struct fl_pool_config config;
	struct test_random random;
	struct conform conform;

	test_random_init(&random, 5);
	conform_pool_config(&config);
	config.max_memories = 1;
	conform_open(&conform, &config);
	for (size_t i = 0; i < 5; i++)
		modules[i] = module_simple(&conform, kinds[i].min, kinds[i].off,
					   kinds[i].text);
	for (int i = 0; i < 60; i++) {
		size_t k = test_random_below(&random, 5);
		struct fl_instance *instance =
			instance_start(&conform, modules[k]);
		struct fl_memory *memory = fl_instance_memory(instance, 0);
		struct model model;

		model_init(&model, kinds[k].min * WPAGE, UINT64_MAX, WPAGE);
		if (kinds[k].text)
			model_put(&model, kinds[k].off, kinds[k].text,
				  strlen(kinds[k].text), 0,
				  strlen(kinds[k].text));
		CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
		model_fini(&model);
		CHECK_EQ(fl_memory_grow(memory, k, NULL), 0);
		memset(memory->base, 0xd1, fl_memory_length(memory));
		instance_stop(instance);
	}
	for (size_t i = 0; i < 5; i++)
		fl_module_release(modules[i]);
	conform_close(&conform);
}

/* --------------------------------------------------------- several memories */

static void several_memories(void)
{
	static const uint64_t mins[] = { 1, 3, 2 };
	struct fl_pool_config config;
	struct fl_instance *instances[2], *none = NULL;
	struct fl_module *module;
	struct conform conform;
	struct wasm w = { 0 }, data = { 0 };

	conform_pool_config(&config);
	config.max_memories = 7;
	config.max_memories_per_instance = 3;
	conform_open(&conform, &config);
	wasm_header(&w);
	module_add_memories(&w, mins, 3);
	wasm_u(&data, 4);
	module_add_data(&data, 1, 2 * WPAGE, "in one");
	module_add_data(&data, 0, 7, "in zero");
	module_add_data(&data, 2, WPAGE - 3, "in two");
	module_add_data(&data, 1, 2 * WPAGE + 3, "ONE");
	wasm_section(&w, WASM_DATA, &data);
	module = module_load(&conform, &w);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 2; i++)
			instances[i] = instance_start(&conform, module);
		CHECK_EQ(conform_info(&conform).live_memories, 6);
		/* One slot is left, and three are needed. */
		CHECK_EQ(fl_instance_acquire(conform.pool, module, NULL, &none,
					     NULL),
			 -EAGAIN);
		CHECK_EQ(conform_info(&conform).live_memories, 6);
		CHECK_EQ(conform_info(&conform).live_instances, 2);
		conform_give(conform_take(&conform, NULL, WPAGE));
		for (int i = 0; i < 2; i++) {
			for (uint32_t m = 0; m < 3; m++) {
				struct fl_memory *memory =
					fl_instance_memory(instances[i], m);

				CHECK_EQ(fl_memory_length(memory),
					 mins[m] * WPAGE);
			}
			check_text(fl_instance_memory(instances[i], 0), 7,
				   "in zero");
			check_text(fl_instance_memory(instances[i], 1),
				   2 * WPAGE, "in ONE");
			check_text(fl_instance_memory(instances[i], 2),
				   WPAGE - 3, "in two");
			CHECK(fl_instance_memory(instances[i], 3) == NULL);
			memset(fl_instance_memory(instances[i], 1)->base, 9,
			       3 * WPAGE);
		}
		for (int i = 0; i < 2; i++)
			instance_stop(instances[i]);
		check_nothing_held(&conform);
	}
	fl_module_release(module);
	conform_close(&conform);
}

/* (import "host" "mem" (memory 2)), then a memory of its own of 1 wpage. */
static struct fl_module *load_importing(struct conform *conform)
{
	static const uint64_t mins[] = { 1 };
	struct wasm w = { 0 }, imports = { 0 }, data = { 0 };

	wasm_header(&w);
	wasm_u(&imports, 1);
	wasm_name(&imports, "host");
	wasm_name(&imports, "mem");
	wasm_bytes(&imports, 2);
	wasm_limits(&imports, 0, 2, 0);
	wasm_section(&w, WASM_IMPORT, &imports);
	module_add_memories(&w, mins, 1);
	wasm_u(&data, 2);
	module_add_data(&data, 0, WPAGE, "for the import");
	module_add_data(&data, 1, 5, "own");
	wasm_section(&w, WASM_DATA, &data);
	return module_load(conform, &w);
}

/* The way an image serves an imported memory: taken alone with the
 * module's image, then handed to the instance. */
static void imported_memory_with_an_image(void)
{
	struct fl_instance_config config;
	struct fl_instance *instance;
	struct fl_memory_type type = { .size = sizeof(type) };
	struct fl_memory *memory;
	struct fl_module *module;
	struct fl_image *image;
	struct conform conform;

	conform_open(&conform, NULL);
	module = load_importing(&conform);
	CHECK_EQ(fl_module_memory_type(module, 0, &type), 0);
	CHECK_EQ(type.is_imported, 1);
	CHECK_EQ(type.has_image, 1);
	CHECK_EQ(type.min_pages, 2);
	image = fl_module_image(module, 0);
	MUST(image != NULL);
	CHECK(fl_module_image(module, 2) == NULL);
	for (int i = 0; i < 3; i++) {
		instance = NULL;
		memory = conform_take(&conform, image, 0);
		CHECK_EQ(fl_memory_length(memory), 2 * WPAGE);
		check_text(memory, WPAGE, "for the import");
		fl_instance_config_init(&config);
		config.imported_memories = &memory;
		config.imported_memory_count = 1;
		MUST_EQ(fl_instance_acquire(conform.pool, module, &config,
					    &instance, NULL),
			0);
		CHECK(fl_instance_memory(instance, 0) == memory);
		check_text(memory, WPAGE, "for the import");
		CHECK(fl_instance_memory(instance, 1) != memory);
		check_text(fl_instance_memory(instance, 1), 5, "own");
		CHECK(fl_instance_memory(instance, 2) == NULL);
		CHECK_EQ(fl_memory_length(fl_instance_memory(instance, 1)),
			 WPAGE);
		/* memory.copy between the two. */
		CHECK_EQ(fl_memory_copy(memory, 0,
					fl_instance_memory(instance, 1), 5, 3),
			 FL_TRAP_NONE);
		check_text(memory, 0, "own");
		instance_stop(instance);
		/* The imported one is the caller's. */
		check_text(memory, 0, "own");
		CHECK_EQ(conform_info(&conform).live_memories, 1);
		conform_give(memory);
	}
	fl_module_release(module);
	conform_close(&conform);
}

/* The content of an imported memory is the caller's: nothing is written to it,
 * nothing of it is checked. */
static void imported_memory_is_used_as_it_is(void)
{
	struct fl_instance_config config;
	struct fl_instance *instance = NULL;
	struct fl_memory *memory;
	struct fl_module *module;
	struct conform conform;

	conform_open(&conform, NULL);
	module = load_importing(&conform);
	memory = conform_take(&conform, NULL, 2 * WPAGE);
	fl_instance_config_init(&config);
	config.imported_memories = &memory;
	config.imported_memory_count = 1;
	MUST_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				    NULL),
		0);
	CHECK_EQ(conform_first_data(memory->base, 2 * WPAGE), 2 * WPAGE);
	instance_stop(instance);
	conform_give(memory);
	fl_module_release(module);
	conform_close(&conform);
}

static void wrong_count_of_imported_memories(void)
{
	struct fl_memory *memories[2] = { NULL, NULL };
	struct fl_instance_config config;
	struct fl_instance *instance = NULL;
	struct fl_error error = { .text = "" };
	struct fl_module *module;
	struct conform conform;

	conform_open(&conform, NULL);
	module = load_importing(&conform);
	CHECK_EQ(fl_instance_acquire(conform.pool, module, NULL, &instance,
				     &error),
		 -EINVAL);
	CHECK_HAS(error.text, "import");
	check_nothing_held(&conform);
	fl_instance_config_init(&config);
	config.imported_memories = memories;
	config.imported_memory_count = 1;
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -EINVAL);
	memories[0] = conform_take(&conform, NULL, 2 * WPAGE);
	memories[1] = conform_take(&conform, NULL, 2 * WPAGE);
	config.imported_memory_count = 2;
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -EINVAL);
	CHECK(instance == NULL);
	conform_give(memories[0]);
	conform_give(memories[1]);
	check_nothing_held(&conform);
	fl_module_release(module);
	conform_close(&conform);
}

/* An instance's memory goes with the instance, not before. */
static void memory_of_an_instance_is_not_released_alone(void)
{
	struct conform conform;
	struct fl_module *module;
	struct fl_instance *instance;
	struct fl_memory *memory;

	conform_open(&conform, NULL);
	module = module_simple(&conform, 1, 0, "still here");
	instance = instance_start(&conform, module);
	memory = fl_instance_memory(instance, 0);
	memory->base[100] = 1;
	CHECK_EQ(fl_memory_release(memory), -EINVAL);
	CHECK_EQ(conform_info(&conform).live_memories, 1);
	CHECK_EQ(memory->base[100], 1);
	check_text(memory, 0, "still here");
	CHECK_EQ(fl_pool_destroy(conform.pool), -EBUSY);
	memory->base[101] = 2;
	CHECK_EQ(fl_memory_grow(memory, 1, NULL), 0);
	instance_stop(instance);
	fl_module_release(module);
	conform_close(&conform);
}

/* ----------------------------------------------------------------- validate */

static void check_refused(struct conform *conform, struct fl_module *module,
			  int code, const char *field, const char *limit,
			  const char *value)
{
	struct fl_instance *instance = NULL;
	struct fl_error error = { .text = "" };

	CHECK_EQ(fl_pool_validate(conform->pool, module, &error), code);
	CHECK_EQ(error.code, code);
	CHECK_HAS(error.text, field);
	if (limit)
		CHECK_HAS(error.text, limit);
	if (value)
		CHECK_HAS(error.text, value);
	CHECK_EQ(fl_pool_validate(conform->pool, module, NULL), code);
	CHECK_EQ(fl_instance_acquire(conform->pool, module, NULL, &instance,
				     &error),
		 code);
	CHECK(instance == NULL);
	check_nothing_held(conform);
}

/* Limit, value and field to raise are named. */
static void limits_are_validated(void)
{
	static const uint64_t mins[] = { 1, 1, 1, 1, 1 };
	struct fl_pool_config config;
	struct fl_module *module;
	struct conform conform;
	struct wasm w = { 0 };

	conform_pool_config(&config);
	config.max_memory_bytes = 3 * WPAGE;
	config.max_memories_per_instance = 2;
	conform_open(&conform, &config);
	module = module_simple(&conform, 4, 0, NULL);
	check_refused(&conform, module, -E2BIG, "max_memory_bytes", "196608",
		      "262144");
	fl_module_release(module);
	module = module_simple(&conform, 65536, 0, NULL);
	check_refused(&conform, module, -E2BIG, "max_memory_bytes", "196608",
		      "4294967296");
	fl_module_release(module);
	wasm_header(&w);
	module_add_memories(&w, mins, 5);
	module = module_load(&conform, &w);
	check_refused(&conform, module, -E2BIG, "max_memories_per_instance",
		      "2", "5");
	fl_module_release(module);
	/* What just fits, with a declared maximum that does not. */
	wasm_header(&w);
	wasm_one_memory(&w, 3, 60000);
	module = module_load(&conform, &w);
	CHECK_EQ(fl_pool_validate(conform.pool, module, NULL), 0);
	instance_stop(instance_start(&conform, module));
	fl_module_release(module);
	conform_close(&conform);
}

static void fewer_slots_than_one_instance_needs(void)
{
	static const uint64_t mins[] = { 1, 1 };
	struct fl_pool_config config;
	struct fl_module *module;
	struct conform conform;
	struct wasm w = { 0 };

	conform_pool_config(&config);
	config.max_memories = 1;
	config.max_memories_per_instance = 2;
	conform_open(&conform, &config);
	wasm_header(&w);
	module_add_memories(&w, mins, 2);
	module = module_load(&conform, &w);
	check_refused(&conform, module, -E2BIG, "max_memories", NULL, NULL);
	fl_module_release(module);
	conform_close(&conform);
}

static void counts_of_zero(void)
{
	struct fl_instance *instance = NULL;
	struct fl_error error = { .text = "" };
	struct fl_pool_config config;
	struct fl_module *module;
	struct conform conform;

	conform_pool_config(&config);
	config.max_memories = 0;
	conform_open(&conform, &config);
	module = module_simple(&conform, 1, 0, NULL);
	check_refused(&conform, module, -E2BIG, "max_memories", NULL, NULL);
	fl_module_release(module);
	conform_close(&conform);
	conform_pool_config(&config);
	config.max_instances = 0;
	conform_open(&conform, &config);
	module = module_simple(&conform, 1, 0, NULL);
	/* Memories taken alone are not instances, and are asked about. */
	CHECK_EQ(fl_pool_validate(conform.pool, module, NULL), 0);
	CHECK_EQ(fl_instance_acquire(conform.pool, module, NULL, &instance,
				     &error),
		 -E2BIG);
	CHECK_HAS(error.text, "max_instances");
	fl_module_release(module);
	conform_give(conform_take(&conform, NULL, WPAGE));
	conform_close(&conform);
}

/* 64-bit memories: a size that no pool holds, and one that fits. */
static void memory64(void)
{
	static const uint64_t mins[] = { 1ull << 40, (1ull << 48) - 1, 5 };
	struct conform conform;
	struct fl_module *module;
	struct fl_error error;

	conform_open(&conform, NULL);
	for (size_t i = 0; i < 3; i++) {
		struct wasm w = { 0 }, memories = { 0 }, data = { 0 };

		wasm_header(&w);
		wasm_u(&memories, 1);
		wasm_limits(&memories, 4, mins[i], 0);
		wasm_section(&w, WASM_MEMORY, &memories);
		wasm_u(&data, 1);
		wasm_u(&data, 0);
		wasm_i64_const(&data, 4 * WPAGE + 1);
		wasm_name(&data, "wide");
		wasm_section(&w, WASM_DATA, &data);
		module = NULL;
		CONFORM_MUST(module_try_load(&conform, &w, &module, &error),
			     &error);
		if (mins[i] > 5) {
			check_refused(&conform, module, -E2BIG,
				      "max_memory_bytes", NULL, NULL);
		} else {
			struct fl_instance *instance =
				instance_start(&conform, module);

			check_text(fl_instance_memory(instance, 0),
				   4 * WPAGE + 1, "wide");
			instance_stop(instance);
		}
		fl_module_release(module);
	}
	conform_close(&conform);
}

/* Memories of 5 and 6 bytes in one slot. */
static void memories_of_single_bytes(void)
{
	struct fl_pool_config config;
	struct fl_module *modules[2];
	struct conform conform;

	conform_pool_config(&config);
	config.max_memories = 1;
	conform_open(&conform, &config);
	for (size_t i = 0; i < 2; i++) {
		struct wasm w = { 0 }, memories = { 0 };

		wasm_header(&w);
		wasm_u(&memories, 1);
		/* Flag 8: the page size follows, as a power of two. */
		wasm_limits(&memories, 9, 5 + i, 100);
		wasm_u(&memories, 0);
		wasm_section(&w, WASM_MEMORY, &memories);
		wasm_one_data(&w, 2, "abc", 3);
		modules[i] = module_load(&conform, &w);
	}
	for (int round = 0; round < 6; round++) {
		struct fl_instance *instance =
			instance_start(&conform, modules[round % 2]);
		struct fl_memory *memory = fl_instance_memory(instance, 0);
		uint64_t size = 5 + (uint64_t)(round % 2), old;

		CHECK_EQ(fl_memory_length(memory), size);
		CHECK(!memcmp(memory->base, "\0\0abc\0", size));
		CHECK_EQ(fl_memory_fill(memory, size, 1, 1), OOB);
		CHECK_EQ(fl_memory_fill(memory, 0, 0xff, size), FL_TRAP_NONE);
		CHECK_EQ(fl_memory_grow(memory, 100 - size, &old), 0);
		CHECK_EQ(old, size);
		CHECK_EQ(conform_first_data(memory->base + size, 100 - size),
			 100 - size);
		CHECK_EQ(fl_memory_grow(memory, 1, NULL), -E2BIG);
		memset(memory->base, 0xfe, 100);
		instance_stop(instance);
	}
	for (int i = 0; i < 2; i++)
		fl_module_release(modules[i]);
	conform_close(&conform);
}

/* ----------------------------------------------------- failed instantiation */

/* "A failed acquire gives everything back": the second memory's
 * segment does not fit. */
static void trap_gives_everything_back(void)
{
	static const uint64_t mins[] = { 2, 1 };
	struct fl_pool_config config;
	struct fl_error error;
	struct fl_module *bad, *good;
	struct conform conform;
	struct wasm w = { 0 }, data = { 0 };

	conform_pool_config(&config);
	config.max_memories_per_instance = 2;
	config.max_memories = 2;
	conform_open(&conform, &config);
	wasm_header(&w);
	module_add_memories(&w, mins, 2);
	wasm_u(&data, 3);
	module_add_data(&data, 0, 0, "written before the trap");
	module_add_data(&data, 1, WPAGE - 1, "xy");
	module_add_data(&data, 0, 0, "never written");
	wasm_section(&w, WASM_DATA, &data);
	bad = module_load(&conform, &w);
	good = module_simple(&conform, 2, 0, NULL);
	for (int i = 0; i < 10; i++) {
		struct fl_instance *instances[2], *none = NULL;

		memset(&error, 0, sizeof(error));
		CHECK_EQ(fl_instance_acquire(conform.pool, bad, NULL, &none,
					     &error),
			 -EFAULT);
		CHECK_EQ(error.code, -EFAULT);
		CHECK_EQ(error.trap, OOB);
		CHECK(none == NULL);
		check_nothing_held(&conform);
		for (int k = 0; k < 2; k++) {
			struct fl_memory *memory;

			instances[k] = instance_start(&conform, good);
			memory = fl_instance_memory(instances[k], 0);
			CHECK_EQ(conform_first_data(memory->base, 2 * WPAGE),
				 2 * WPAGE);
			memset(memory->base, 0x3d, 2 * WPAGE);
		}
		for (int k = 0; k < 2; k++)
			instance_stop(instances[k]);
	}
	fl_module_release(bad);
	fl_module_release(good);
	conform_close(&conform);
}

struct edge {
	uint32_t off;
	uint32_t len;
	bool traps;
};

/* A memory of one wpage; i32 offsets are unsigned. */
static void edges_of_active_segments(void)
{
	static const struct edge edges[] = {
		{ 65536, 0, false },	 { 65537, 0, true },
		{ 65535, 1, false },	 { 65535, 2, true },
		{ 65536, 1, true },	 { 0, 65536, false },
		{ 0, 65537, true },	 { 0xffffffff, 0, true },
		{ 0xffffffff, 1, true }, { 0x80000000, 1, true },
	};
	uint8_t *bytes = calloc(1, 70000);
	struct conform conform;

	MUST(bytes != NULL);
	conform_open(&conform, NULL);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(edges); i++) {
		struct fl_instance *instance = NULL;
		struct fl_module *module;
		struct wasm w = { 0 };
		int err;

		wasm_header(&w);
		wasm_one_memory(&w, 1, WASM_NO_MAX);
		wasm_one_data(&w, edges[i].off, bytes, edges[i].len);
		module = module_load(&conform, &w);
		err = fl_instance_acquire(conform.pool, module, NULL, &instance,
					  NULL);
		CHECK_EQ(err, edges[i].traps ? -EFAULT : 0);
		if (!err)
			instance_stop(instance);
		fl_module_release(module);
	}
	check_nothing_held(&conform);
	conform_close(&conform);
	free(bytes);
}

/* --------------------------------------------------------------------- fork */

struct fork_case {
	struct conform *conform;
	struct fl_module *module;
	struct fl_instance *instance;
};

static int child_calls(void *arg)
{
	struct fork_case *c = arg;
	struct fl_instance *instance = NULL;

	CHECK_EQ(fl_instance_acquire(c->conform->pool, c->module, NULL,
				     &instance, NULL),
		 -ECHILD);
	CHECK(instance == NULL);
	CHECK_EQ(fl_instance_release(c->instance), -ECHILD);
	return 0;
}

static void child_gets_an_error(void)
{
	struct conform conform;
	struct fork_case c = { .conform = &conform };
	struct test_end end;

	conform_open(&conform, NULL);
	c.module = module_simple(&conform, 1, 9, "parent");
	c.instance = instance_start(&conform, c.module);
	end = test_fork(child_calls, &c, 10);
	CHECK_EQ(end.status, 0);
	CHECK_EQ(end.signo, 0);
	CHECK_EQ(conform_info(&conform).live_instances, 1);
	check_text(fl_instance_memory(c.instance, 0), 9, "parent");
	instance_stop(c.instance);
	instance_stop(instance_start(&conform, c.module));
	fl_module_release(c.module);
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE(memory_and_table),
	TEST_CASE(module_without_memory),
	TEST_CASE(module_released_before_first_touch),
	TEST_CASE(borrowed_bytes_outlive_the_instance),
	TEST_CASE(purge_lets_go_of_one_module),
	TEST_CASE(purge_beside_a_live_instance),
	TEST_CASE(trim_lets_go_of_all_modules),
	TEST_CASE(other_instances_take_a_modules_slots),
	TEST_CASE(modules_go_with_the_pool),
	TEST_CASE(modules_go_at_once_on_demand),
	TEST_CASE(owner_calls_the_pool_at_the_end),
	TEST_CASE(modules_take_turns),
	TEST_CASE(several_memories),
	TEST_CASE(imported_memory_with_an_image),
	TEST_CASE(imported_memory_is_used_as_it_is),
	TEST_CASE(wrong_count_of_imported_memories),
	TEST_CASE(memory_of_an_instance_is_not_released_alone),
	TEST_CASE(limits_are_validated),
	TEST_CASE(fewer_slots_than_one_instance_needs),
	TEST_CASE(counts_of_zero),
	TEST_CASE(memory64),
	TEST_CASE(memories_of_single_bytes),
	TEST_CASE(trap_gives_everything_back),
	TEST_CASE(edges_of_active_segments),
	TEST_CASE(child_gets_an_error),
};

CONFORM_MAIN(cases)
