/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * conform_module.h - modules put together, loaded and instantiated: what tests
 * with instances share.
 */
#ifndef CONFORM_MODULE_H
#define CONFORM_MODULE_H

#include "conform.h"
#include "wasm_build.h"

#define OOB FL_TRAP_MEMORY_OUT_OF_BOUNDS

static inline int module_try_load(struct conform *conform, struct wasm *wasm,
				  struct fl_module **module,
				  struct fl_error *error)
{
	struct fl_module_config config;
	int err;

	fl_module_config_init(&config);
	config.bytes = wasm->bytes;
	config.length_bytes = wasm->length;
	err = fl_module_load(conform->context, &config, module, error);
	wasm_free(wasm);
	return err;
}

static inline struct fl_module *module_load(struct conform *conform,
					    struct wasm *wasm)
{
	struct fl_error error = { .text = "" };
	struct fl_module *module = NULL;

	CONFORM_MUST(module_try_load(conform, wasm, &module, &error), &error);
	return module;
}

static inline struct fl_instance *instance_start(struct conform *conform,
						 struct fl_module *module)
{
	struct fl_error error = { .text = "" };
	struct fl_instance *instance = NULL;

	CONFORM_MUST(fl_instance_acquire(conform->pool, module, NULL, &instance,
					 &error),
		     &error);
	return instance;
}

static inline void instance_stop(struct fl_instance *instance)
{
	CHECK_EQ(fl_instance_release(instance), 0);
}

/* For snapshots of tables whose elements are 8 bytes: each is its own value. */
static inline int words_encode(void *user, struct fl_instance *instance,
			       uint32_t table_idx, uint64_t first_idx,
			       const void *elements, uint64_t count,
			       uint64_t *values)
{
	(void)user;
	(void)instance;
	(void)table_idx;
	(void)first_idx;
	memcpy(values, elements, count * 8);
	return 0;
}

static inline int words_decode(void *user, struct fl_instance *instance,
			       uint32_t table_idx, uint64_t first_idx,
			       const uint64_t *values, uint64_t count,
			       void *elements)
{
	(void)user;
	(void)instance;
	(void)table_idx;
	(void)first_idx;
	memcpy(elements, values, count * 8);
	return 0;
}

/* Memories of one size each, without a maximum. */
static inline void module_add_memories(struct wasm *w, const uint64_t *mins,
				       size_t count)
{
	struct wasm memories = { 0 };

	wasm_u(&memories, count);
	for (size_t i = 0; i < count; i++)
		wasm_limits(&memories, 0, mins[i], 0);
	wasm_section(w, WASM_MEMORY, &memories);
}

/* An active segment of memory memory_idx. */
static inline void module_add_data(struct wasm *data, uint32_t memory_idx,
				   uint32_t off, const char *text)
{
	wasm_u(data, 2);
	wasm_u(data, memory_idx);
	wasm_i32_const(data, off);
	wasm_name(data, text);
}

/* One memory of min wpages with one segment. */
static inline struct fl_module *module_simple(struct conform *conform,
					      uint64_t min, uint32_t off,
					      const char *text)
{
	struct wasm w = { 0 };

	wasm_header(&w);
	wasm_one_memory(&w, min, WASM_NO_MAX);
	if (text)
		wasm_one_data(&w, off, text, strlen(text));
	return module_load(conform, &w);
}

static inline void check_text(const struct fl_memory *memory, uint64_t off,
			      const char *text)
{
	MUST(memory != NULL);
	CHECK(!memcmp(memory->base + off, text, strlen(text)));
}

static inline void check_nothing_held(const struct conform *conform)
{
	CHECK_EQ(conform_info(conform).live_memories, 0);
	CHECK_EQ(conform_info(conform).live_instances, 0);
}

/* Two imported globals, and a segment placed by the second one plus 16 (an
 * extended constant expression) after one at 0. */
static inline struct fl_module *module_relocated(struct conform *conform)
{
	struct wasm w = { 0 }, imports = { 0 }, data = { 0 };

	wasm_header(&w);
	wasm_u(&imports, 2);
	for (int i = 0; i < 2; i++) {
		wasm_name(&imports, "env");
		wasm_name(&imports, i ? "base" : "other");
		wasm_bytes(&imports, 3, 0x7f, 0);
	}
	wasm_section(&w, WASM_IMPORT, &imports);
	wasm_one_memory(&w, 2, WASM_NO_MAX);
	wasm_u(&data, 2);
	wasm_data_active(&data, 0, "fixed", 5);
	wasm_u(&data, 0);
	/* global.get 1, i32.const 16, i32.add, end */
	wasm_bytes(&data, 0x23, 1, 0x41, 16, 0x6a, 0x0b);
	wasm_name(&data, "moved");
	wasm_section(&w, WASM_DATA, &data);
	return module_load(conform, &w);
}

#endif
