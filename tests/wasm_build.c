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

void wasm_element_active(struct wasm *w, uint32_t table_idx, uint32_t offset,
			 const uint32_t *func_idx, size_t count)
{
	wasm_element_head(w, table_idx ? WASM_ELEMENT_EXPLICIT : 0, table_idx,
			  offset, 0x70);
	wasm_u(w, count);
	for (size_t i = 0; i < count; i++)
		wasm_u(w, func_idx[i]);
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
