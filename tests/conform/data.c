/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * data.c - data segments after loading: placed by imported globals,
 * applied to a memory that has content, copied by memory.init, dropped, and
 * taken out of the module.
 */
#define _GNU_SOURCE
#include "tests/kit/conform_module.h"

#include <stdio.h>

/* --------------------------------------------------------- imported globals */

static void segments_placed_by_imported_globals(void)
{
	static const uint64_t bases[] = { 1000, 70000, 2 * WPAGE - 21, 0 };
	struct fl_memory_type type = { .size = sizeof(type) };
	struct fl_instance_config config;
	struct fl_module *module;
	struct conform conform;

	conform_open(&conform, NULL);
	module = module_relocated(&conform);
	CHECK_EQ(fl_module_memory_type(module, 0, &type), 0);
	CHECK_EQ(type.has_image, 0);
	CHECK(type.no_image_reason != NULL);
	CHECK_EQ(type.image_global_count, 2);
	CHECK(fl_module_image(module, 0) == NULL);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(bases); i++) {
		uint64_t globals[2] = { 77777, bases[i] };
		struct fl_instance *instance = NULL;
		struct fl_error error = { .text = "" };
		struct fl_memory *memory;
		struct model model;

		fl_instance_config_init(&config);
		config.imported_globals = globals;
		config.imported_global_count = 2;
		CONFORM_MUST(fl_instance_acquire(conform.pool, module, &config,
						 &instance, &error),
			     &error);
		memory = fl_instance_memory(instance, 0);
		model_init(&model, 2 * WPAGE, 2 * WPAGE, WPAGE);
		model_put(&model, 0, "fixed", 5, 0, 5);
		model_put(&model, bases[i] + 16, "moved", 5, 0, 5);
		CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
		model_fini(&model);
		memset(memory->base, 0xee, 2 * WPAGE);
		instance_stop(instance);
	}
	fl_module_release(module);
	conform_close(&conform);
}

static void globals_that_are_missing_or_wrong(void)
{
	uint64_t globals[2] = { 1, 2 * WPAGE - 20 };
	struct fl_instance *instance = NULL;
	struct fl_instance_config config;
	struct fl_error error = { .text = "" };
	struct fl_module *module;
	struct conform conform;

	conform_open(&conform, NULL);
	module = module_relocated(&conform);
	CHECK_EQ(fl_instance_acquire(conform.pool, module, NULL, &instance,
				     &error),
		 -EINVAL);
	CHECK_HAS(error.text, "global");
	fl_instance_config_init(&config);
	config.imported_globals = globals;
	config.imported_global_count = 1;
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -EINVAL);
	/* One byte too far. */
	config.imported_global_count = 2;
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 -EFAULT);
	CHECK_EQ(error.trap, OOB);
	/* i32.add wraps: 0xfffffff8 + 16 is 8. */
	globals[1] = 0xfffffff8;
	CHECK_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				     &error),
		 0);
	if (instance) {
		check_text(fl_instance_memory(instance, 0), 8, "moved");
		instance_stop(instance);
	}
	check_nothing_held(&conform);
	fl_module_release(module);
	conform_close(&conform);
}

/* -------------------------------------------------------- image_from_module */

static void image_larger_than_the_minimum(void)
{
	struct fl_image_info info = { .size = sizeof(info) };
	struct fl_image_config config;
	struct fl_image *image = NULL;
	struct fl_memory *memory;
	struct fl_module *module;
	struct conform conform;

	conform_open(&conform, NULL);
	/* Out of bounds for the minimum, within what it starts with. */
	module = module_simple(&conform, 1, 5 * WPAGE, "far");
	fl_image_info(fl_module_image(module, 0), &info);
	CHECK_EQ(info.trap, OOB);
	fl_image_config_init(&config);
	config.initial_bytes = 6 * WPAGE;
	MUST_EQ(fl_image_from_module(conform.context, module, 0, &config,
				     &image, NULL),
		0);
	fl_image_info(image, &info);
	CHECK_EQ(info.trap, FL_TRAP_NONE);
	CHECK_EQ(info.initial_bytes, 6 * WPAGE);
	fl_module_release(module);
	memory = conform_take(&conform, image, 0);
	CHECK_EQ(fl_memory_length(memory), 6 * WPAGE);
	check_text(memory, 5 * WPAGE, "far");
	conform_give(memory);
	fl_image_release(image);
	conform_close(&conform);
}

static void image_of_no_memory(void)
{
	struct fl_memory_type type = { .size = sizeof(type) };
	struct fl_image *image = NULL;
	struct fl_error error = { .text = "" };
	struct fl_module *module;
	struct conform conform;

	conform_open(&conform, NULL);
	module = module_simple(&conform, 1, 0, "x");
	CHECK_EQ(fl_image_from_module(conform.context, module, 1, NULL, &image,
				      &error),
		 -EINVAL);
	CHECK(image == NULL);
	CHECK_EQ(fl_module_memory_type(module, 1, &type), -EINVAL);
	CHECK_EQ(fl_image_from_module(conform.context, module, 0, NULL, &image,
				      &error),
		 0);
	fl_image_release(image);
	fl_module_release(module);
	conform_close(&conform);
}

/* ----------------------------------------------------- data segments at run */

/* Segments: 0 passive "0123456789", 1 active "active", 2 passive empty,
 * 3 passive "second". Two memories: an imported one and its own. */
static struct fl_module *load_segments(struct conform *conform)
{
	static const uint64_t mins[] = { 1 };
	struct wasm w = { 0 }, data = { 0 };

	wasm_header(&w);
	module_add_memories(&w, mins, 1);
	wasm_section_bytes(&w, WASM_DATA_COUNT, 4);
	wasm_u(&data, 4);
	wasm_data_passive(&data, "0123456789", 10);
	wasm_data_active(&data, 0, "active", 6);
	wasm_data_passive(&data, "", 0);
	wasm_data_passive(&data, "second", 6);
	wasm_section(&w, WASM_DATA, &data);
	return module_load(conform, &w);
}

/* memory.init traps exactly when d + n or s + n is beyond its end; nothing is
 * written then. */
static void memory_init_bounds(void)
{
	const uint64_t huge = UINT64_MAX;
	const struct {
		uint32_t memory, data;
		uint64_t dst, src, len;
		bool traps;
	} steps[] = {
		{ 0, 0, 100, 0, 10, false },
		{ 0, 0, 100, 1, 10, true },
		{ 0, 0, 100, 10, 0, false },
		{ 0, 0, 100, 11, 0, true },
		{ 0, 0, WPAGE, 0, 0, false },
		{ 0, 0, WPAGE + 1, 0, 0, true },
		{ 0, 0, WPAGE - 10, 0, 10, false },
		{ 0, 0, WPAGE - 9, 0, 10, true },
		{ 0, 0, huge, 0, 1, true },
		{ 0, 0, huge, 0, 0, true },
		{ 0, 0, 0, huge, 0, true },
		{ 0, 0, 0, huge, 1, true },
		{ 0, 0, 0, 0, huge, true },
		{ 0, 0, 1, 1, huge, true },
		{ 0, 0, huge, huge, huge, true },
		/* Active: dropped by instantiation, as if empty. */
		{ 0, 1, 0, 0, 0, false },
		{ 0, 1, 0, 0, 1, true },
		{ 0, 1, WPAGE, 0, 0, false },
		{ 0, 1, 0, 1, 0, true },
		{ 0, 2, 0, 0, 0, false },
		{ 0, 2, 0, 0, 1, true },
		{ 0, 3, 5, 2, 4, false },
		/* No such segment, no such memory. */
		{ 0, 4, 0, 0, 0, true },
		{ 0, UINT32_MAX, 0, 0, 0, true },
	};
	static const char *const texts[] = { "0123456789", "", "", "second" };
	struct fl_instance *instance;
	struct fl_module *module;
	struct conform conform;
	struct model model;

	conform_open(&conform, NULL);
	module = load_segments(&conform);
	instance = instance_start(&conform, module);
	model_init(&model, WPAGE, WPAGE, WPAGE);
	model_put(&model, 0, "active", 6, 0, 6);
	for (size_t i = 0; i < TEST_ARRAY_SIZE(steps); i++) {
		uint32_t data = steps[i].data;
		bool traps = fl_memory_init(instance, steps[i].memory, data,
					    steps[i].dst, steps[i].src,
					    steps[i].len) != FL_TRAP_NONE;

		if (!CHECK_EQ(traps, steps[i].traps))
			test_note("step %zu", i);
		if (data < 4)
			CHECK_EQ(model_put(&model, steps[i].dst, texts[data],
					   strlen(texts[data]), steps[i].src,
					   steps[i].len),
				 steps[i].traps);
		CHECK_EQ(model_diff(&model, fl_instance_memory(instance, 0)),
			 MODEL_EQUAL);
	}
	model_fini(&model);
	instance_stop(instance);
	fl_module_release(module);
	conform_close(&conform);
}

/* data.drop is the instance's own affair, and the next one has it all again. */
static void data_drop(void)
{
	struct fl_instance *one, *two;
	struct fl_module *module;
	struct conform conform;

	conform_open(&conform, NULL);
	module = load_segments(&conform);
	two = instance_start(&conform, module);
	for (int i = 0; i < 3; i++) {
		one = instance_start(&conform, module);
		CHECK_EQ(fl_memory_init(one, 0, 0, 0, 0, 10), FL_TRAP_NONE);
		fl_data_drop(one, 0);
		CHECK_EQ(fl_memory_init(one, 0, 0, 0, 0, 0), FL_TRAP_NONE);
		CHECK_EQ(fl_memory_init(one, 0, 0, WPAGE, 0, 0), FL_TRAP_NONE);
		CHECK_EQ(fl_memory_init(one, 0, 0, 0, 0, 1), OOB);
		CHECK_EQ(fl_memory_init(one, 0, 0, 0, 1, 0), OOB);
		/* Again, of what is active, and past the last: no effect. */
		fl_data_drop(one, 0);
		fl_data_drop(one, 1);
		fl_data_drop(one, 4);
		fl_data_drop(one, UINT32_MAX);
		CHECK_EQ(fl_memory_init(one, 0, 3, 50, 0, 6), FL_TRAP_NONE);
		check_text(fl_instance_memory(one, 0), 50, "second");
		CHECK_EQ(fl_memory_init(two, 0, 0, 20, 0, 10), FL_TRAP_NONE);
		check_text(fl_instance_memory(two, 0), 20, "0123456789");
		instance_stop(one);
	}
	instance_stop(two);
	fl_module_release(module);
	conform_close(&conform);
}

/* A segment index whose bit lies beyond the first word of a set. */
static void many_segments_dropped(void)
{
	struct fl_instance *instance;
	struct fl_module *module;
	struct conform conform;
	struct wasm w = { 0 }, data = { 0 };
	char text[16];

	conform_open(&conform, NULL);
	wasm_header(&w);
	wasm_one_memory(&w, 1, WASM_NO_MAX);
	wasm_u(&data, 200);
	for (int i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "%03d", i);
		wasm_data_passive(&data, text, 3);
	}
	wasm_section(&w, WASM_DATA, &data);
	module = module_load(&conform, &w);
	instance = instance_start(&conform, module);
	for (uint32_t i = 0; i < 200; i += 3)
		fl_data_drop(instance, i);
	for (uint32_t i = 0; i < 200; i++) {
		CHECK_EQ(fl_memory_init(instance, 0, i, i * 4, 0, 3),
			 i % 3 ? FL_TRAP_NONE : OOB);
		snprintf(text, sizeof(text), "%03u", i);
		if (i % 3)
			check_text(fl_instance_memory(instance, 0), i * 4,
				   text);
	}
	instance_stop(instance);
	fl_module_release(module);
	conform_close(&conform);
}

/* memory.init into an imported memory and into one of several. */
static void memory_init_of_another_memory(void)
{
	struct fl_instance_config config;
	struct fl_instance *instance = NULL;
	struct fl_memory *memory;
	struct fl_module *module;
	struct conform conform;
	struct wasm w = { 0 }, imports = { 0 }, data = { 0 };

	conform_open(&conform, NULL);
	wasm_header(&w);
	wasm_u(&imports, 1);
	wasm_name(&imports, "");
	wasm_name(&imports, "");
	wasm_bytes(&imports, 2);
	wasm_limits(&imports, 0, 0, 0);
	wasm_section(&w, WASM_IMPORT, &imports);
	wasm_one_memory(&w, 1, WASM_NO_MAX);
	wasm_u(&data, 1);
	wasm_data_passive(&data, "into", 4);
	wasm_section(&w, WASM_DATA, &data);
	module = module_load(&conform, &w);
	memory = conform_take(&conform, NULL, 2 * WPAGE);
	fl_instance_config_init(&config);
	config.imported_memories = &memory;
	config.imported_memory_count = 1;
	MUST_EQ(fl_instance_acquire(conform.pool, module, &config, &instance,
				    NULL),
		0);
	CHECK_EQ(fl_memory_init(instance, 0, 0, WPAGE + 4, 0, 4), FL_TRAP_NONE);
	CHECK_EQ(fl_memory_init(instance, 1, 0, WPAGE + 4, 0, 4), OOB);
	CHECK_EQ(fl_memory_init(instance, 1, 0, WPAGE - 4, 0, 4), FL_TRAP_NONE);
	check_text(memory, WPAGE + 4, "into");
	check_text(fl_instance_memory(instance, 1), WPAGE - 4, "into");
	CHECK(fl_memory_init(instance, 2, 0, 0, 0, 0) != FL_TRAP_NONE);
	instance_stop(instance);
	conform_give(memory);
	fl_module_release(module);
	conform_close(&conform);
}

/* A side module's segments onto a memory that has content. */
static void apply_segments(void)
{
	struct fl_memory *memory;
	struct fl_module *module;
	struct conform conform;
	struct wasm w = { 0 }, imports = { 0 }, data = { 0 };
	enum fl_trap trap = FL_TRAP_TABLE_OUT_OF_BOUNDS;
	struct model model;

	conform_open(&conform, NULL);
	wasm_header(&w);
	wasm_u(&imports, 1);
	wasm_name(&imports, "env");
	wasm_name(&imports, "memory");
	wasm_bytes(&imports, 2);
	wasm_limits(&imports, 0, 0, 0);
	wasm_section(&w, WASM_IMPORT, &imports);
	wasm_u(&data, 4);
	wasm_data_active(&data, 70000, "side", 4);
	wasm_data_passive(&data, "not this", 8);
	wasm_data_active(&data, 70002, "DE", 2);
	wasm_data_active(&data, 2 * WPAGE - 3, "end", 3);
	wasm_section(&w, WASM_DATA, &data);
	module = module_load(&conform, &w);
	memory = conform_take(&conform, NULL, 2 * WPAGE);
	model_init(&model, 2 * WPAGE, 2 * WPAGE, WPAGE);
	memset(memory->base + 69990, 'm', 30);
	model_fill(&model, 69990, 'm', 30);
	CHECK_EQ(fl_memory_apply_segments(memory, module, 0, NULL, &trap, NULL),
		 0);
	CHECK_EQ(trap, FL_TRAP_NONE);
	model_put(&model, 70000, "siDE", 4, 0, 4);
	model_put(&model, 2 * WPAGE - 3, "end", 3, 0, 3);
	CHECK_EQ(model_diff(&model, memory), MODEL_EQUAL);
	model_fini(&model);
	conform_give(memory);
	fl_module_release(module);
	conform_close(&conform);
}

/* What came before the segment that traps stays written. */
static void apply_segments_in_part(void)
{
	enum fl_trap trap = FL_TRAP_NONE;
	struct fl_error error = { .text = "" };
	struct fl_memory *memory;
	struct fl_module *module;
	struct conform conform;
	struct wasm w = { 0 }, data = { 0 };

	conform_open(&conform, NULL);
	wasm_header(&w);
	wasm_one_memory(&w, 1, WASM_NO_MAX);
	wasm_u(&data, 3);
	wasm_data_active(&data, 10, "first", 5);
	wasm_data_active(&data, 65535, "xy", 2);
	wasm_data_active(&data, 20, "third", 5);
	wasm_section(&w, WASM_DATA, &data);
	module = module_load(&conform, &w);
	memory = conform_take(&conform, NULL, WPAGE);
	CHECK_EQ(fl_memory_apply_segments(memory, module, 0, NULL, &trap,
					  &error),
		 0);
	CHECK_EQ(trap, OOB);
	check_text(memory, 10, "first");
	CHECK_EQ(conform_first_data(memory->base + 15, WPAGE - 15), WPAGE - 15);
	conform_give(memory);
	/* A larger memory takes them all. */
	memory = conform_take(&conform, NULL, WPAGE + 1);
	CHECK_EQ(fl_memory_apply_segments(memory, module, 0, NULL, &trap, NULL),
		 0);
	CHECK_EQ(trap, FL_TRAP_NONE);
	check_text(memory, 65535, "xy");
	check_text(memory, 20, "third");
	conform_give(memory);
	fl_module_release(module);
	conform_close(&conform);
}

static void apply_segments_placed_by_globals(void)
{
	uint64_t globals[2] = { 5, 3000 };
	enum fl_trap trap = OOB;
	struct fl_image_config config;
	struct fl_memory *memory;
	struct fl_module *module;
	struct conform conform;

	conform_open(&conform, NULL);
	module = module_relocated(&conform);
	memory = conform_take(&conform, NULL, 2 * WPAGE);
	CHECK_EQ(fl_memory_apply_segments(memory, module, 0, NULL, &trap, NULL),
		 -EINVAL);
	CHECK_EQ(trap, FL_TRAP_NONE);
	/* What came before the one that cannot be placed. */
	check_text(memory, 0, "fixed");
	memset(memory->base, 0, 5);
	fl_image_config_init(&config);
	config.imported_globals = globals;
	config.imported_global_count = 2;
	CHECK_EQ(fl_memory_apply_segments(memory, module, 0, &config, &trap,
					  NULL),
		 0);
	CHECK_EQ(trap, FL_TRAP_NONE);
	check_text(memory, 0, "fixed");
	check_text(memory, 3016, "moved");
	conform_give(memory);
	fl_module_release(module);
	conform_close(&conform);
}

/* A module whose data was taken out traps exactly when the whole one does, and
 * leaves what a runtime copies empty. */
static void data_free_module_goes_with_the_image(void)
{
	struct fl_data_free_report report = { .size = sizeof(report) };
	struct fl_module *module, *empty;
	struct fl_instance *instance;
	struct conform conform;
	struct wasm w = { 0 }, lean = { 0 };
	void *bytes = NULL;
	uint64_t length = 0;

	conform_open(&conform, NULL);
	module = module_simple(&conform, 2, WPAGE - 2, "across");
	CHECK_EQ(fl_module_write_data_free(module, &bytes, &length, &report,
					   NULL),
		 0);
	CHECK_EQ(report.emptied_count, 1);
	CHECK_EQ(report.emptied_bytes, 6);
	CHECK_EQ(report.kept_count, 0);
	wasm_raw(&lean, bytes, length);
	fl_bytes_free(bytes);
	empty = module_load(&conform, &lean);
	instance = instance_start(&conform, empty);
	CHECK_EQ(conform_first_data(fl_instance_memory(instance, 0)->base,
				    2 * WPAGE),
		 2 * WPAGE);
	instance_stop(instance);
	fl_module_release(empty);
	fl_module_release(module);
	/* Out of bounds before, out of bounds after. */
	wasm_header(&w);
	wasm_one_memory(&w, 1, WASM_NO_MAX);
	wasm_one_data(&w, 65533, "four", 4);
	module = module_load(&conform, &w);
	CHECK_EQ(fl_module_write_data_free(module, &bytes, &length, NULL, NULL),
		 0);
	wasm_raw(&lean, bytes, length);
	fl_bytes_free(bytes);
	empty = module_load(&conform, &lean);
	CHECK_EQ(fl_instance_acquire(conform.pool, empty, NULL, &instance,
				     NULL),
		 -EFAULT);
	fl_module_release(empty);
	fl_module_release(module);
	conform_close(&conform);
}

/* Two segments, of which one cannot trap, in a module whose code can name them, or
 * cannot. */
static void check_what_is_left(struct conform *conform, bool has_data_count,
			       bool is_named, uint32_t data_count)
{
	struct fl_module_info info = { .size = sizeof(info) };
	struct fl_data_free_report report = { .size = sizeof(report) };
	struct fl_module *module, *lean;
	struct wasm w = { 0 }, written = { 0 };
	uint64_t length = 0;
	void *bytes = NULL;

	wasm_header(&w);
	wasm_section_bytes(&w, WASM_TYPE, 1, 0x60, 0, 0);
	wasm_section_bytes(&w, WASM_FUNCTION, 1, 0);
	wasm_section_bytes(&w, WASM_MEMORY, 1, 0, 1);
	if (has_data_count)
		wasm_section_bytes(&w, 12, 2);
	/* (data.drop 1) */
	if (is_named)
		wasm_section_bytes(&w, WASM_CODE, 1, 5, 0, 0xfc, 9, 1, 0x0b);
	else
		wasm_section_bytes(&w, WASM_CODE, 1, 2, 0, 0x0b);
	/* At 65534, which fits to the byte; at 65535, which does not. */
	wasm_section_bytes(&w, WASM_DATA, 2, 0, 0x41, 0xfe, 0xff, 3, 0x0b, 2,
			   'o', 'k', 0, 0x41, 0xff, 0xff, 3, 0x0b, 2, 'n', 'o');
	module = module_load(conform, &w);
	MUST_EQ(fl_module_write_data_free(module, &bytes, &length, &report,
					  NULL),
		0);
	CHECK_EQ(report.emptied_count, 2);
	wasm_raw(&written, bytes, length);
	fl_bytes_free(bytes);
	lean = module_load(conform, &written);
	fl_module_info(lean, &info);
	CHECK_EQ(info.data_count, data_count);
	CHECK_EQ(info.active_data_count, data_count);
	CHECK_EQ(info.passive_data_bytes, 0);
	fl_module_release(lean);
	fl_module_release(module);
}

/* A runtime takes time for each active segment, also for an empty one. */
static void segments_without_effect_go(void)
{
	struct conform conform;

	conform_open(&conform, NULL);
	check_what_is_left(&conform, false, false, 1);
	check_what_is_left(&conform, true, false, 1);
	check_what_is_left(&conform, true, true, 2);
	conform_close(&conform);
}

/* A start function, which sets a global and puts itself into a table; the table
 * and an immutable global are exported. */
static struct fl_module *module_with_state(struct conform *conform)
{
	struct wasm w = { 0 };

	wasm_header(&w);
	wasm_section_bytes(&w, WASM_TYPE, 1, 0x60, 0, 0);
	wasm_section_bytes(&w, WASM_FUNCTION, 2, 0, 0);
	wasm_section_bytes(&w, WASM_TABLE, 1, 0x70, 0, 2);
	wasm_section_bytes(&w, WASM_MEMORY, 1, 0, 1);
	/* Mutable and set, mutable and never set, immutable. */
	wasm_section_bytes(&w, WASM_GLOBAL, 3, 0x7f, 1, 0x41, 5, 0x0b, 0x7e, 1,
			   0x42, 6, 0x0b, 0x7f, 0, 0x41, 7, 0x0b);
	wasm_section_bytes(&w, WASM_EXPORT, 1, 1, 'g', 3, 2);
	wasm_section_bytes(&w, WASM_START, 1);
	wasm_section_bytes(&w, WASM_ELEMENT, 1, 0, 0x41, 0, 0x0b, 1, 0);
	/* (global.set 0 (i32.const 9)) (table.set 0 (i32.const 1) (ref.func 0)) */
	wasm_section_bytes(&w, WASM_CODE, 2, 2, 0, 0x0b, 12, 0, 0x41, 9, 0x24,
			   0, 0x41, 1, 0xd2, 0, 0x26, 0, 0x0b);
	wasm_section_bytes(&w, WASM_DATA, 1, 0, 0x41, 10, 0x0b, 2, 'h', 'i');
	return module_load(conform, &w);
}

/* A module's state is what something can change, and the rest stays. */
static void state_exports_are_what_can_change(void)
{
	static const struct fl_state_export expected[] = {
		{ FL_STATE_MEMORY, 0, FL_VALUE_I32, "faultline:m0" },
		{ FL_STATE_GLOBAL, 0, FL_VALUE_I32, "faultline:g0" },
		{ FL_STATE_TABLE, 0, FL_VALUE_FUNCREF, "faultline:t0" },
		{ FL_STATE_FUNCTION, 0, FL_VALUE_FUNCREF, "faultline:f0" },
		{ FL_STATE_START, 1, FL_VALUE_FUNCREF, "faultline:start" },
	};
	struct fl_data_free_report report = { .size = sizeof(report) };
	struct fl_module_info info = { .size = sizeof(info) };
	struct fl_function function = { .size = sizeof(function) };
	struct fl_state_export exports[8];
	struct fl_module *module, *written;
	struct conform conform;
	struct wasm lean = { 0 };
	struct fl_error error;
	uint64_t length = 0;
	void *bytes = NULL;
	uint32_t count = 0;

	conform_open(&conform, NULL);
	module = module_with_state(&conform);
	MUST_EQ(fl_module_state_exports(module, NULL, 0, &count, NULL), 0);
	MUST_EQ(count, TEST_ARRAY_SIZE(expected));
	MUST_EQ(fl_module_state_exports(module, exports, 8, &count, NULL), 0);
	for (uint32_t i = 0; i < count; i++) {
		CHECK_EQ(exports[i].kind, expected[i].kind);
		CHECK_EQ(exports[i].idx, expected[i].idx);
		CHECK_EQ(exports[i].value, expected[i].value);
		CHECK(!strcmp(exports[i].name, expected[i].name));
	}
	MUST_EQ(fl_module_write_state_exports(module, &bytes, &length, &report,
					      NULL),
		0);
	CHECK_EQ(report.emptied_count, 1);
	wasm_raw(&lean, bytes, length);
	fl_bytes_free(bytes);
	written = module_load(&conform, &lean);
	fl_module_info(written, &info);
	CHECK_EQ(info.has_start, 0);
	CHECK_EQ(fl_module_function(written, 1, &function), 0);
	CHECK(function.export_name_bytes == 15 &&
	      !memcmp(function.export_name, "faultline:start", 15));
	/* Whose names are taken. */
	CHECK_EQ(fl_module_state_exports(written, NULL, 0, &count, &error),
		 -ENOTSUP);
	CHECK_HAS(error.text, "reserved");
	fl_module_release(written);
	fl_module_release(module);
	conform_close(&conform);
}

/* A memory, two globals that can change and one that cannot, and what else the case
 * is about. */
static struct fl_module *module_of_memory(struct conform *conform,
					  bool has_table, bool has_start,
					  bool has_vector)
{
	struct wasm w = { 0 };

	wasm_header(&w);
	wasm_section_bytes(&w, WASM_TYPE, 1, 0x60, 0, 0);
	wasm_section_bytes(&w, WASM_FUNCTION, 1, 0);
	if (has_table)
		wasm_section_bytes(&w, WASM_TABLE, 1, 0x70, 0, 2);
	wasm_section_bytes(&w, WASM_MEMORY, 1, 0, 1);
	if (has_vector)
		wasm_section_bytes(&w, WASM_GLOBAL, 1, 0x7b, 1, 0xfd, 0x0c, 0,
				   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
				   0x0b);
	else
		wasm_section_bytes(&w, WASM_GLOBAL, 3, 0x7f, 1, 0x41, 5, 0x0b,
				   0x7d, 1, 0x43, 0, 0, 0x80, 0x3f, 0x0b, 0x7e,
				   1, 0x42, 7, 0x0b);
	if (has_table)
		wasm_section_bytes(&w, WASM_EXPORT, 2, 1, 'g', 3, 0, 1, 't', 1,
				   0);
	else
		wasm_section_bytes(&w, WASM_EXPORT, 1, 1, 'g', 3, 0);
	if (has_start)
		wasm_section_bytes(&w, WASM_START, 0);
	/* (global.set 1 (f32.const 0)) */
	if (has_vector)
		wasm_section_bytes(&w, WASM_CODE, 1, 2, 0, 0x0b);
	else
		wasm_section_bytes(&w, WASM_CODE, 1, 9, 0, 0x43, 0, 0, 0, 0,
				   0x24, 1, 0x0b);
	wasm_section_bytes(&w, WASM_DATA, 1, 0, 0x41, 10, 0x0b, 2, 'h', 'i');
	return module_load(conform, &w);
}

static void check_not_resumable(struct fl_module *module, const char *words)
{
	struct fl_error error = { .text = "" };
	uint64_t length = 0;
	void *bytes = NULL;

	CHECK_EQ(fl_module_write_resumable(module, &bytes, &length, NULL,
					   &error),
		 -ENOTSUP);
	CHECK(bytes == NULL);
	CHECK_HAS(error.text, words);
	fl_module_release(module);
}

static void check_export(const struct fl_module *module, uint32_t idx,
			 const char *name)
{
	struct fl_function function = { .size = sizeof(function) };

	CHECK_EQ(fl_module_function(module, idx, &function), 0);
	CHECK_EQ(function.export_name_bytes, strlen(name));
	CHECK(!memcmp(function.export_name, name, strlen(name)));
}

/* Two functions more, which runtimes run in tests/consumers; and refusals. */
static void a_resumable_module_tells_of_globals(void)
{
	/* The comparisons of globals 0 and 1: the third changes nowhere. */
	static const uint8_t unchanged[] = {
		0,    0x23, 0, 0x41, 5,	   0x47, 4,    0x40, 0,
		0x0b, 0x23, 1, 0xbc, 0x43, 0,	 0,    0x80, 0x3f,
		0xbc, 0x47, 4, 0x40, 0,	   0x0b, 0x0b,
	};
	struct fl_data_free_report report = { .size = sizeof(report) };
	struct fl_module *module, *written;
	struct conform conform;
	struct wasm lean = { 0 };
	uint64_t length = 0;
	void *bytes = NULL;

	conform_open(&conform, NULL);
	module = module_of_memory(&conform, false, false, false);
	MUST_EQ(fl_module_write_resumable(module, &bytes, &length, &report,
					  NULL),
		0);
	CHECK_EQ(report.emptied_count, 1);
	CHECK(memmem(bytes, length, unchanged, sizeof(unchanged)) != NULL);
	wasm_raw(&lean, bytes, length);
	fl_bytes_free(bytes);
	written = module_load(&conform, &lean);
	check_export(written, 1, FL_RESUMABLE_UNCHANGED);
	check_export(written, 2, FL_RESUMABLE_GROW);
	check_not_resumable(written, "reserved");
	fl_module_release(module);
	check_not_resumable(module_of_memory(&conform, true, false, false),
			    "table 0 can change");
	check_not_resumable(module_of_memory(&conform, false, true, false),
			    "start function");
	check_not_resumable(module_of_memory(&conform, false, false, true),
			    "global 0 can change");
	conform_close(&conform);
}

static const struct test_case cases[] = {
	TEST_CASE(state_exports_are_what_can_change),
	TEST_CASE(a_resumable_module_tells_of_globals),
	TEST_CASE(segments_placed_by_imported_globals),
	TEST_CASE(globals_that_are_missing_or_wrong),
	TEST_CASE(image_larger_than_the_minimum),
	TEST_CASE(image_of_no_memory),
	TEST_CASE(memory_init_bounds),
	TEST_CASE(data_drop),
	TEST_CASE(many_segments_dropped),
	TEST_CASE(memory_init_of_another_memory),
	TEST_CASE(apply_segments),
	TEST_CASE(apply_segments_in_part),
	TEST_CASE(apply_segments_placed_by_globals),
	TEST_CASE(data_free_module_goes_with_the_image),
	TEST_CASE(segments_without_effect_go),
};

CONFORM_MAIN(cases)
