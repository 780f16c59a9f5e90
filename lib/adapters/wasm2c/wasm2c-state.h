/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wasm2c-state.h - what encoding and decoding of an instance's state share: which
 * globals and tables are state, and how references are numbered. Not installed.
 * faultline-wasm2c.h says what the bytes are.
 */
#ifndef WASM2C_STATE_H
#define WASM2C_STATE_H

#include <string.h>

#include "wasm2c-offer.h"

#define FL_WASM2C_FORM_NONE 0u
/* Beside the forms of functions. */
#define FL_WASM2C_FORM_HOST 16u
/* A function of another part of the group: the part's number, from 1 on, is in
 * the form's bits from here on. */
#define FL_WASM2C_PART_SHIFT 8u

#define FL_WASM2C_ENTRY_BYTES 16u

#define FL_WASM2C_MAGIC "FLw2cs01"
#define FL_WASM2C_MAGIC_BYTES 8u

/* A value, or a reference as a form and an index or number. */
struct fl_wasm2c_item {
	uint32_t form;
	uint64_t value;
};

static inline bool fl_wasm2c_can_change(uint32_t flags)
{
	return !(flags & FL_WASM2C_IS_IMPORTED) &&
	       flags & (FL_WASM2C_IS_CHANGED | FL_WASM2C_IS_EXPORTED);
}

static inline bool
fl_wasm2c_global_is_state(const struct fl_wasm2c_global *global)
{
	return fl_wasm2c_can_change(global->flags) &&
	       global->flags & FL_WASM2C_IS_MUTABLE;
}

static inline bool
fl_wasm2c_table_is_state(const struct fl_wasm2c_member *table)
{
	return fl_wasm2c_can_change(table->flags);
}

static inline uint32_t
fl_wasm2c_count_globals(const struct fl_wasm2c_layout *layout)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < layout->global_count; i++)
		count += fl_wasm2c_global_is_state(&layout->globals[i]);
	return count;
}

static inline uint32_t
fl_wasm2c_count_tables(const struct fl_wasm2c_layout *layout)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < layout->table_count; i++)
		count += fl_wasm2c_table_is_state(&layout->tables[i]);
	return count;
}

/* What wasm-rt's module_instance is in a reference to this function. */
static inline void *
fl_wasm2c_instance_of(const struct fl_wasm2c_function *function,
		      const void *instance)
{
	char *place = (char *)(uintptr_t)instance + function->import_offset;
	void *import;

	if (function->form != FL_WASM2C_IMPORT)
		return place;
	memcpy(&import, place, sizeof(import));
	return import;
}

static inline uint32_t fl_wasm2c_table_size(const void *table, bool is_func)
{
	const wasm_rt_funcref_table_t *functions = table;
	const wasm_rt_externref_table_t *hosts = table;

	return is_func ? functions->size : hosts->size;
}

/* Fill in error, which may be NULL, with the byte that is wrong; gives err. */
__attribute__((format(printf, 4, 5))) int
fl_wasm2c_fail_at(struct fl_error *error, int err, uint64_t off,
		  const char *format, ...);

/* -EINVAL: a companion was written by another version. */
int fl_wasm2c_check_layouts(const struct fl_wasm2c_part *parts, uint32_t count,
			    struct fl_error *error);

#endif
