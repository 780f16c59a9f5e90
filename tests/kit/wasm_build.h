/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm_build.h - module bytes put together in C, so that tests need no opaque
 * fixtures.
 *
 * A struct wasm is a growing row of bytes. A module is one that begins with
 * wasm_header(); a section is put together in another one and appended, with
 * id and size, by wasm_section(), which frees it. Nothing is checked: broken
 * modules are made the same way. Integers are written in their shortest form.
 * Out of memory ends the program.
 *
 *	struct wasm module = { 0 }, memories = { 0 };
 *
 *	wasm_header(&module);
 *	wasm_u(&memories, 1);
 *	wasm_limits(&memories, 1, 2, 10);
 *	wasm_section(&module, WASM_MEMORY, &memories);
 *	... module.bytes, module.length ...
 *	wasm_free(&module);
 */
#ifndef WASM_BUILD_H
#define WASM_BUILD_H

#include <stddef.h>
#include <stdint.h>

struct wasm {
	uint8_t *bytes;
	size_t length;
	size_t capacity;
};

enum wasm_section_id {
	WASM_CUSTOM = 0,
	WASM_TYPE = 1,
	WASM_IMPORT = 2,
	WASM_FUNCTION = 3,
	WASM_TABLE = 4,
	WASM_MEMORY = 5,
	WASM_GLOBAL = 6,
	WASM_EXPORT = 7,
	WASM_START = 8,
	WASM_ELEMENT = 9,
	WASM_CODE = 10,
	WASM_DATA = 11,
	WASM_DATA_COUNT = 12,
	WASM_TAG = 13,
};

#define WASM_NO_MAX UINT64_MAX

void wasm_free(struct wasm *w);

void wasm_raw(struct wasm *w, const void *bytes, size_t length);
/* wasm_bytes(w, 0x60, 0, 0) */
#define wasm_bytes(w, ...)                            \
	wasm_raw(w, (const uint8_t[]){ __VA_ARGS__ }, \
		 sizeof((const uint8_t[]){ __VA_ARGS__ }))
void wasm_u(struct wasm *w, uint64_t value); /* unsigned LEB128 */
void wasm_s(struct wasm *w, int64_t value); /* signed LEB128 */
void wasm_name(struct wasm *w, const char *name);

void wasm_header(struct wasm *w);
void wasm_section(struct wasm *module, enum wasm_section_id id,
		  struct wasm *contents);
/* The same from bytes: wasm_section_bytes(w, WASM_START, 0). */
#define wasm_section_bytes(w, id, ...)                            \
	wasm_section_raw(w, id, (const uint8_t[]){ __VA_ARGS__ }, \
			 sizeof((const uint8_t[]){ __VA_ARGS__ }))
void wasm_section_raw(struct wasm *module, enum wasm_section_id id,
		      const void *contents, size_t length);

/* Flags, minimum, and the maximum when flag bit 0 is set. */
void wasm_limits(struct wasm *w, unsigned int flags, uint64_t min,
		 uint64_t max);

/* Constant expressions, `end` included. */
void wasm_i32_const(struct wasm *w, uint32_t value);
void wasm_i64_const(struct wasm *w, uint64_t value);
void wasm_global_get(struct wasm *w, uint32_t global_idx);
void wasm_ref_func(struct wasm *w, uint32_t func_idx);
void wasm_ref_null(struct wasm *w, unsigned int heap_type);

/* Items of a data section: length, then the content. */
void wasm_data_active(struct wasm *w, uint32_t offset, const void *bytes,
		      size_t length);
void wasm_data_passive(struct wasm *w, const void *bytes, size_t length);

/* Heads of items of an element section: flags, and what the flags ask for.
 * table_idx and offset count for active ones, heap_type where it is written;
 * functions or expressions follow, after their count. */
enum wasm_element_flags {
	WASM_ELEMENT_PASSIVE = 1, /* or declared, with the next */
	WASM_ELEMENT_EXPLICIT = 2,
	WASM_ELEMENT_EXPRS = 4,
};

void wasm_element_head(struct wasm *w, unsigned int flags, uint32_t table_idx,
		       uint32_t offset, unsigned int heap_type);

/* A module put together item by item, sections in any order. Building it empties
 * it; types are always (func), (struct (field f64) (field v128)), (array i32).
 * Tables are of functions; max: WASM_NO_MAX for none. */
struct wasm_parts {
	struct {
		struct wasm items;
		uint32_t count;
	} of[WASM_TAG];
};

void wasm_parts_build(struct wasm_parts *parts, struct wasm *module);
/* The section's items, which get one more; its bytes are the caller's. */
struct wasm *wasm_add(struct wasm_parts *parts, enum wasm_section_id id);

void wasm_import_funcs(struct wasm_parts *parts, uint32_t count);
void wasm_import_table(struct wasm_parts *parts, uint64_t min);
void wasm_import_memory(struct wasm_parts *parts, uint64_t min);
void wasm_import_global(struct wasm_parts *parts, unsigned int type);

void wasm_add_table(struct wasm_parts *parts, uint64_t min, uint64_t max);
void wasm_add_table64(struct wasm_parts *parts, uint64_t min);
/* With an initialiser, an expression for the caller to append. */
struct wasm *wasm_add_table_init(struct wasm_parts *parts, uint64_t min,
				 uint64_t max);
void wasm_add_memory(struct wasm_parts *parts, uint64_t min);
void wasm_add_data(struct wasm_parts *parts, uint32_t offset, const char *text);
/* Element segments. This one is a head and a count; functions or expressions are
 * for the caller to append. */
struct wasm *wasm_add_elements(struct wasm_parts *parts, unsigned int flags,
			       uint32_t table_idx, uint32_t offset,
			       unsigned int heap_type, uint32_t count);
/* Functions from first on: active, and passive. */
void wasm_add_funcs(struct wasm_parts *parts, uint32_t table_idx,
		    uint32_t offset, uint32_t first, uint32_t count);
void wasm_add_passive(struct wasm_parts *parts, uint32_t first, uint32_t count);
/* Active in table 0, of expressions: one function and one null. */
void wasm_add_func_and_null(struct wasm_parts *parts, uint32_t offset,
			    uint32_t func_idx);

/* Whole sections with one item. max: WASM_NO_MAX for none. */
void wasm_one_memory(struct wasm *module, uint64_t min, uint64_t max);
void wasm_one_table(struct wasm *module, uint64_t min, uint64_t max);
void wasm_one_export(struct wasm *module, const char *name, unsigned int kind,
		     uint32_t idx);
void wasm_one_data(struct wasm *module, uint32_t offset, const void *bytes,
		   size_t length);

#endif
