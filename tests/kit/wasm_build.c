/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* wasm_build.c - see wasm_build.h. */
#include "wasm_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void wasm_free(struct wasm *w)
{
	free(w->bytes);
	*w = (struct wasm){ 0 };
}

void wasm_raw(struct wasm *w, const void *bytes, size_t length)
{
	if (!length)
		return;
	if (length > w->capacity - w->length) {
		w->capacity = 2 * w->capacity + length;
		w->bytes = realloc(w->bytes, w->capacity);
		if (!w->bytes) {
			fprintf(stderr, "no memory for a test module\n");
			exit(1);
		}
	}
	memcpy(w->bytes + w->length, bytes, length);
	w->length += length;
}

void wasm_u(struct wasm *w, uint64_t value)
{
	while (value >= 0x80) {
		wasm_bytes(w, (uint8_t)(value | 0x80));
		value >>= 7;
	}
	wasm_bytes(w, (uint8_t)value);
}

void wasm_s(struct wasm *w, int64_t value)
{
	/* The last byte's bit 6 must be the sign of all that is left. */
	while (value < -0x40 || value >= 0x40) {
		wasm_bytes(w, (uint8_t)(value | 0x80));
		value >>= 7;
	}
	wasm_bytes(w, (uint8_t)(value & 0x7f));
}

void wasm_name(struct wasm *w, const char *name)
{
	wasm_u(w, strlen(name));
	wasm_raw(w, name, strlen(name));
}

void wasm_header(struct wasm *w)
{
	wasm_bytes(w, 0x00, 'a', 's', 'm', 1, 0, 0, 0);
}

void wasm_section_raw(struct wasm *module, enum wasm_section_id id,
		      const void *contents, size_t length)
{
	wasm_bytes(module, (uint8_t)id);
	wasm_u(module, length);
	wasm_raw(module, contents, length);
}

void wasm_section(struct wasm *module, enum wasm_section_id id,
		  struct wasm *contents)
{
	wasm_section_raw(module, id, contents->bytes, contents->length);
	wasm_free(contents);
}

void wasm_limits(struct wasm *w, unsigned int flags, uint64_t min, uint64_t max)
{
	wasm_bytes(w, (uint8_t)flags);
	wasm_u(w, min);
	if (flags & 1)
		wasm_u(w, max);
}

void wasm_i32_const(struct wasm *w, uint32_t value)
{
	wasm_bytes(w, 0x41);
	wasm_s(w, (int32_t)value);
	wasm_bytes(w, 0x0b);
}

void wasm_i64_const(struct wasm *w, uint64_t value)
{
	wasm_bytes(w, 0x42);
	wasm_s(w, (int64_t)value);
	wasm_bytes(w, 0x0b);
}

void wasm_global_get(struct wasm *w, uint32_t global_idx)
{
	wasm_bytes(w, 0x23);
	wasm_u(w, global_idx);
	wasm_bytes(w, 0x0b);
}

void wasm_ref_func(struct wasm *w, uint32_t func_idx)
{
	wasm_bytes(w, 0xd2);
	wasm_u(w, func_idx);
	wasm_bytes(w, 0x0b);
}

void wasm_ref_null(struct wasm *w, unsigned int heap_type)
{
	wasm_bytes(w, 0xd0, (uint8_t)heap_type, 0x0b);
}

void wasm_element_head(struct wasm *w, unsigned int flags, uint32_t table_idx,
		       uint32_t offset, unsigned int heap_type)
{
	wasm_u(w, flags);
	if (!(flags & WASM_ELEMENT_PASSIVE)) {
		if (flags & WASM_ELEMENT_EXPLICIT)
			wasm_u(w, table_idx);
		wasm_i32_const(w, offset);
	}
	if (!(flags & (WASM_ELEMENT_PASSIVE | WASM_ELEMENT_EXPLICIT)))
		return;
	/* The kind of what are indices is 0: functions. */
	wasm_bytes(w, flags & WASM_ELEMENT_EXPRS ? (uint8_t)heap_type : 0);
}

void wasm_data_active(struct wasm *w, uint32_t offset, const void *bytes,
		      size_t length)
{
	wasm_bytes(w, 0);
	wasm_i32_const(w, offset);
	wasm_u(w, length);
	wasm_raw(w, bytes, length);
}

void wasm_data_passive(struct wasm *w, const void *bytes, size_t length)
{
	wasm_bytes(w, 1);
	wasm_u(w, length);
	wasm_raw(w, bytes, length);
}

void wasm_parts_build(struct wasm_parts *parts, struct wasm *module)
{
	wasm_header(module);
	wasm_section_bytes(module, WASM_TYPE, 3, 0x60, 0, 0, 0x5f, 2, 0x7c, 0,
			   0x7b, 0, 0x5e, 0x7f, 0);
	for (int id = WASM_IMPORT; id <= WASM_DATA; id++) {
		struct wasm contents = { 0 };

		if (!parts->of[id].count)
			continue;
		wasm_u(&contents, parts->of[id].count);
		wasm_raw(&contents, parts->of[id].items.bytes,
			 parts->of[id].items.length);
		wasm_free(&parts->of[id].items);
		parts->of[id].count = 0;
		wasm_section(module, id, &contents);
	}
}

struct wasm *wasm_add(struct wasm_parts *parts, enum wasm_section_id id)
{
	parts->of[id].count++;
	return &parts->of[id].items;
}

static struct wasm *import_of(struct wasm_parts *parts, unsigned int kind)
{
	struct wasm *w = wasm_add(parts, WASM_IMPORT);

	wasm_name(w, "env");
	wasm_name(w, "it");
	wasm_bytes(w, (uint8_t)kind);
	return w;
}

void wasm_import_funcs(struct wasm_parts *parts, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		wasm_u(import_of(parts, 0), 0);
}

void wasm_import_table(struct wasm_parts *parts, uint64_t min)
{
	struct wasm *w = import_of(parts, 1);

	wasm_bytes(w, 0x70);
	wasm_limits(w, 0, min, 0);
}

void wasm_import_memory(struct wasm_parts *parts, uint64_t min)
{
	wasm_limits(import_of(parts, 2), 0, min, 0);
}

void wasm_import_global(struct wasm_parts *parts, unsigned int type)
{
	wasm_bytes(import_of(parts, 3), (uint8_t)type, 0);
}

void wasm_add_table(struct wasm_parts *parts, uint64_t min, uint64_t max)
{
	struct wasm *w = wasm_add(parts, WASM_TABLE);

	wasm_bytes(w, 0x70);
	wasm_limits(w, max != WASM_NO_MAX, min, max);
}

void wasm_add_table64(struct wasm_parts *parts, uint64_t min)
{
	struct wasm *w = wasm_add(parts, WASM_TABLE);

	wasm_bytes(w, 0x70);
	wasm_limits(w, 4, min, 0);
}

struct wasm *wasm_add_table_init(struct wasm_parts *parts, uint64_t min,
				 uint64_t max)
{
	struct wasm *w = wasm_add(parts, WASM_TABLE);

	wasm_bytes(w, 0x40, 0, 0x70);
	wasm_limits(w, max != WASM_NO_MAX, min, max);
	return w;
}

void wasm_add_memory(struct wasm_parts *parts, uint64_t min)
{
	wasm_limits(wasm_add(parts, WASM_MEMORY), 0, min, 0);
}

void wasm_add_data(struct wasm_parts *parts, uint32_t offset, const char *text)
{
	wasm_data_active(wasm_add(parts, WASM_DATA), offset, text,
			 strlen(text));
}

struct wasm *wasm_add_elements(struct wasm_parts *parts, unsigned int flags,
			       uint32_t table_idx, uint32_t offset,
			       unsigned int heap_type, uint32_t count)
{
	struct wasm *w = wasm_add(parts, WASM_ELEMENT);

	wasm_element_head(w, flags, table_idx, offset, heap_type);
	wasm_u(w, count);
	return w;
}

static void add_func_indices(struct wasm *w, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		wasm_u(w, first + i);
}

void wasm_add_funcs(struct wasm_parts *parts, uint32_t table_idx,
		    uint32_t offset, uint32_t first, uint32_t count)
{
	unsigned int flags = table_idx ? WASM_ELEMENT_EXPLICIT : 0;

	add_func_indices(wasm_add_elements(parts, flags, table_idx, offset,
					   0x70, count),
			 first, count);
}

void wasm_add_passive(struct wasm_parts *parts, uint32_t first, uint32_t count)
{
	add_func_indices(wasm_add_elements(parts, WASM_ELEMENT_PASSIVE, 0, 0,
					   0x70, count),
			 first, count);
}

void wasm_add_func_and_null(struct wasm_parts *parts, uint32_t offset,
			    uint32_t func_idx)
{
	struct wasm *w = wasm_add_elements(parts, WASM_ELEMENT_EXPRS, 0, offset,
					   0x70, 2);

	wasm_ref_func(w, func_idx);
	wasm_ref_null(w, 0x70);
}

void wasm_one_memory(struct wasm *module, uint64_t min, uint64_t max)
{
	struct wasm contents = { 0 };

	wasm_u(&contents, 1);
	wasm_limits(&contents, max != WASM_NO_MAX, min, max);
	wasm_section(module, WASM_MEMORY, &contents);
}

void wasm_one_table(struct wasm *module, uint64_t min, uint64_t max)
{
	struct wasm contents = { 0 };

	wasm_bytes(&contents, 1, 0x70);
	wasm_limits(&contents, max != WASM_NO_MAX, min, max);
	wasm_section(module, WASM_TABLE, &contents);
}

void wasm_one_export(struct wasm *module, const char *name, unsigned int kind,
		     uint32_t idx)
{
	struct wasm contents = { 0 };

	wasm_u(&contents, 1);
	wasm_name(&contents, name);
	wasm_bytes(&contents, (uint8_t)kind);
	wasm_u(&contents, idx);
	wasm_section(module, WASM_EXPORT, &contents);
}

void wasm_one_data(struct wasm *module, uint32_t offset, const void *bytes,
		   size_t length)
{
	struct wasm contents = { 0 };

	wasm_u(&contents, 1);
	wasm_data_active(&contents, offset, bytes, length);
	wasm_section(module, WASM_DATA, &contents);
}
