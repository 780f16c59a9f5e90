/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* wasm-image-state.c - see wasm-image-state.h. */
#include "wasm-image-state.h"
#include "wasm-image.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t magic[8] = { 'F', 'L', 'w', '2', 'c', 's', '0', '1' };

/* How a reference is stored. */
enum {
	FORM_NONE = 0, /* a null; a number */
	FORM_DEFINED = 1,
	FORM_EXPORT = 2,
	FORM_IMPORT = 3,
	FORM_IMPORT_ADDRESS = 4,
	FORM_HOST = 16,
};

#define ENTRY_BYTES 16

struct reader {
	struct state *state;
	const struct fl_module *module;
	struct fl_module_info info;
	const char *path;
	const uint8_t *bytes;
	uint64_t len, off;
	int status;
};

struct item {
	uint64_t form, value;
};

__attribute__((format(printf, 2, 3))) static void
reject(struct reader *r, const char *format, ...)
{
	char text[160];
	va_list args;

	if (r->status)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	r->status = fail("%s: byte %" PRIu64 " of the state: %s", r->path,
			 r->off, text);
}

/* The next number; 0 after a failure. */
static uint64_t get(struct reader *r, unsigned int width)
{
	uint64_t value = 0;

	if (!r->status && r->len - r->off < width)
		reject(r, "the state is cut off");
	if (r->status)
		return 0;
	for (unsigned int i = 0; i < width; i++)
		value |= (uint64_t)r->bytes[r->off + i] << 8 * i;
	r->off += width;
	return value;
}

static void expect(struct reader *r, unsigned int width, uint64_t expected,
		   const char *what)
{
	uint64_t value = get(r, width);

	if (value != expected)
		reject(r, "the %s is %" PRIu64 ", and the module's is %" PRIu64,
		       what, value, expected);
}

static struct item get_item(struct reader *r)
{
	struct item item;

	item.form = get(r, 4);
	item.value = get(r, 8);
	return item;
}

static void *allocate(struct reader *r, uint64_t count, size_t item_bytes)
{
	void *items = calloc((size_t)count + 1, item_bytes);

	if (!items && !r->status)
		r->status = fail("no memory");
	return items;
}

/* ------------------------------------------------------ what is in a state */

static struct fl_global_type global_type(struct reader *r, uint32_t global_idx)
{
	struct fl_global_type type = { .size = sizeof(type) };

	if (fl_module_global_type(r->module, global_idx, &type) && !r->status)
		r->status = fail("no memory");
	return type;
}

static struct fl_table_type table_type(struct reader *r, uint32_t table_idx)
{
	struct fl_table_type type = { .size = sizeof(type) };

	if (fl_module_table_type(r->module, table_idx, &type) && !r->status)
		r->status = fail("no memory");
	return type;
}

static bool global_is_state(struct reader *r, uint32_t global_idx)
{
	struct fl_global_type type = global_type(r, global_idx);

	return !type.is_imported && type.is_mutable &&
	       (type.is_changed || type.is_exported);
}

static bool table_is_state(struct reader *r, uint32_t table_idx)
{
	struct fl_table_type type = table_type(r, table_idx);

	return !type.is_imported && (type.is_changed || type.is_exported);
}

/* -------------------------------------------------------------- references */

/* Is the item a function of the module, in a form that this function has? */
static bool is_function(struct reader *r, const struct item *item)
{
	struct fl_function function = { .size = sizeof(function) };

	if (item->value >= r->info.function_count)
		return false;
	if (fl_module_function(r->module, (uint32_t)item->value, &function)) {
		r->status = r->status ? r->status : fail("no memory");
		return false;
	}
	switch (item->form) {
	case FORM_DEFINED:
		return !function.is_imported;
	case FORM_EXPORT:
		return function.is_exported;
	case FORM_IMPORT:
	case FORM_IMPORT_ADDRESS:
		return function.is_imported;
	default:
		return false;
	}
}

static void check_function(struct reader *r, const struct item *item)
{
	if (!is_function(r, item))
		reject(r,
		       "function %" PRIu64 " in form %" PRIu64
		       " is none of the module's %u",
		       item->value, item->form, r->info.function_count);
}

/* ----------------------------------------------------------------- globals */

static void check_value(struct reader *r, const struct bake_global *global,
			const struct item *item)
{
	switch (global->type) {
	case FL_VALUE_I32:
	case FL_VALUE_F32:
		if (item->value > UINT32_MAX)
			reject(r, "a value of 32 bits is larger");
		/* fall through */
	case FL_VALUE_I64:
	case FL_VALUE_F64:
		if (item->form != FORM_NONE)
			reject(r, "a number has the form %" PRIu64, item->form);
		break;
	case FL_VALUE_FUNCREF:
		if (!global->is_null)
			check_function(r, item);
		break;
	case FL_VALUE_EXTERNREF:
		if (!global->is_null)
			reject(r,
			       "global %u holds a host reference, which no module can have as an initialiser",
			       global->global_idx);
		break;
	default:
		reject(r,
		       "global %u is of a type that wasm2c of wabt 1.0.32 cannot translate",
		       global->global_idx);
	}
}

static void read_global(struct reader *r, uint32_t global_idx)
{
	struct bake_global *global =
		&r->state->globals[r->state->is.global_count++];
	struct item item;

	global->global_idx = global_idx;
	global->type = (uint8_t)global_type(r, global_idx).value;
	expect(r, 4, global_idx, "index of a global");
	expect(r, 4, global->type, "type of a global");
	item = get_item(r);
	global->is_null = item.form == FORM_NONE && item.value == 0;
	global->value = item.value;
	if (!r->status)
		check_value(r, global, &item);
}

/* ------------------------------------------------------------------ tables */

static void read_entry(struct reader *r, const struct bake_table *table,
		       uint64_t least_place, struct bake_entry *entry)
{
	uint64_t place = get(r, 4);
	struct item item = get_item(r);

	if (!r->status && (place < least_place || place >= table->size))
		reject(r, "an entry of table %u is out of place",
		       table->table_idx);
	if (!r->status && !table->is_func)
		reject(r,
		       "table %u holds at %" PRIu64
		       " a host reference, which no module can have in a segment",
		       table->table_idx, place);
	if (!r->status)
		check_function(r, &item);
	entry->place = (uint32_t)place;
	entry->function_idx = (uint32_t)item.value;
}

static void read_entries(struct reader *r, struct bake_table *table)
{
	uint64_t count = get(r, 8), least_place = 0;
	struct bake_entry *entries;

	if (!r->status && count > (r->len - r->off) / ENTRY_BYTES)
		reject(r, "table %u has more entries than bytes follow",
		       table->table_idx);
	if (r->status)
		return;
	entries = allocate(r, count, sizeof(*entries));
	table->entries = entries;
	for (uint64_t i = 0; i < count && !r->status; i++) {
		read_entry(r, table, least_place, &entries[i]);
		least_place = (uint64_t)entries[i].place + 1;
		table->entry_count++;
	}
}

static void read_table(struct reader *r, uint32_t table_idx)
{
	struct bake_table *table =
		&r->state->tables[r->state->is.table_count++];
	struct fl_table_type type = table_type(r, table_idx);

	table->table_idx = table_idx;
	table->is_func = type.is_func;
	expect(r, 4, table_idx, "index of a table");
	expect(r, 4, type.is_func != 0, "kind of a table");
	table->size = get(r, 8);
	if (table->size < type.min_elements ||
	    table->size > type.max_elements || table->size > UINT32_MAX)
		reject(r,
		       "table %u has %" PRIu64
		       " elements, which the module does not allow",
		       table_idx, table->size);
	read_entries(r, table);
}

/* --------------------------------------------------------------- the whole */

static uint32_t read_flags(struct reader *r, uint64_t count,
			   const uint8_t **flags)
{
	*flags = r->bytes ? r->bytes + r->off : NULL;
	for (uint64_t i = 0; i < count && !r->status; i++) {
		if (get(r, 1) > 1)
			reject(r, "a flag of a segment is neither 0 nor 1");
	}
	return (uint32_t)count;
}

static void read_state(struct reader *r)
{
	struct bake_state *is = &r->state->is;
	uint64_t globals = 0, tables = 0, data_flags, elem_flags, mark;

	for (uint32_t i = 0; i < r->info.global_count; i++)
		globals += global_is_state(r, i);
	for (uint32_t i = 0; i < r->info.table_count; i++)
		tables += table_is_state(r, i);
	r->state->globals = allocate(r, globals, sizeof(*r->state->globals));
	r->state->tables = allocate(r, tables, sizeof(*r->state->tables));
	mark = get(r, sizeof(magic));
	if (!r->status && memcmp(r->bytes, magic, sizeof(magic)))
		reject(r, "the mark %016" PRIx64 " is not that of a state",
		       mark);
	expect(r, 4, globals, "count of globals that can change");
	expect(r, 4, tables, "count of tables that can change");
	data_flags = get(r, 4);
	elem_flags = get(r, 4);
	for (uint32_t i = 0; i < r->info.global_count && !r->status; i++) {
		if (global_is_state(r, i))
			read_global(r, i);
	}
	is->data_flag_count = read_flags(r, data_flags, &is->data_flags);
	is->elem_flag_count = read_flags(r, elem_flags, &is->elem_flags);
	for (uint32_t i = 0; i < r->info.table_count && !r->status; i++) {
		if (table_is_state(r, i))
			read_table(r, i);
	}
	if (r->off != r->len)
		reject(r, "more bytes follow");
}

int state_open(struct state *state, const struct fl_module *module,
	       const char *path, const void *bytes, uint64_t length_bytes)
{
	struct reader r = {
		.state = state,
		.module = module,
		.info.size = sizeof(r.info),
		.path = path,
		.bytes = bytes,
		.len = length_bytes,
	};

	*state = (struct state){ .globals = NULL };
	fl_module_info(module, &r.info);
	state->is.function_count = r.info.function_count;
	state->is.imported_global_count = r.info.imported_global_count;
	state->is.imported_table_count = r.info.imported_table_count;
	read_state(&r);
	state->is.globals = state->globals;
	state->is.tables = state->tables;
	return r.status;
}

void state_close(struct state *state)
{
	for (uint32_t i = 0; i < state->is.table_count; i++)
		free((void *)(uintptr_t)state->tables[i].entries);
	free(state->tables);
	free(state->globals);
}
