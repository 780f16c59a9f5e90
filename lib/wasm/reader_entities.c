/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reader_entities.c - imports, functions, tables, memories, tags and globals: what a
 * module imports or defines, in one index space each. See reader_pass.h.
 *
 * Imports come first in the file and in the index spaces. How many of them
 * are memories, tables or globals shows only as they are read, so the arrays
 * double while they grow; a section that defines things knows its count and
 * grows its array once.
 */
#include "reader_pass.h"

#include <inttypes.h>

/* In place of a kind of import. */
enum {
	KIND_FUNC_EXACT = 0x20,
	/* After an empty name: compact imports. */
	GROUP_ONE_TYPE = 0x7e,
	GROUP_TYPES = 0x7f,
};

enum {
	LIMITS_MAX = 1,
	LIMITS_SHARED = 2,
	LIMITS_64 = 4,
	LIMITS_PAGE_SIZE = 8,
};

/* An import as it is read; of the types, the one that kind tells. */
struct import {
	uint64_t start_off;
	uint8_t kind;
	struct fl__memory_type memory;
	struct fl__table_type table;
	struct fl__global global;
	struct fl__func_import func;
};

/* ------------------------------------------------------------------ arrays */

void fl__reader_begin_memories(struct fl__pass *p, uint32_t count)
{
	fl__pass_room(p, memories, memory, count, FL__READER_MAX_MEMORIES,
		      "memories");
}

void fl__reader_begin_tables(struct fl__pass *p, uint32_t count)
{
	fl__pass_room(p, tables, table, count, FL__READER_MAX_TABLES, "tables");
}

void fl__reader_begin_globals(struct fl__pass *p, uint32_t count)
{
	fl__pass_room(p, globals, global, count, FL__READER_MAX_GLOBALS,
		      "globals");
}

/* ------------------------------------------------------------------- types */

static void read_page_size(struct fl__cursor *c, struct fl__limits *limits)
{
	uint64_t start_off = c->off;
	uint32_t log2 = fl__cursor_u32(c, "page size");

	if (log2 != 0 && log2 != 16)
		fl__cursor_fail(c, -ENOEXEC, start_off,
				"the page size is 2 to the power of %" PRIu32
				": it must be 1 byte (0) or 64 KiB (16)",
				log2);
	limits->page_log2 = (uint8_t)log2;
}

/* The flags byte was read, at start_off, and may be there; unit is what the
 * limits count. Whatever the width of addresses, both limits are integers of 64
 * bits; the address type says how many there may be. */
static void read_limits(struct fl__cursor *c, uint64_t start_off, uint8_t flags,
			const char *unit, struct fl__limits *limits)
{
	uint64_t min_off = c->off, most;

	limits->is_shared = flags & LIMITS_SHARED;
	limits->is_64 = flags & LIMITS_64;
	limits->min = fl__cursor_u64(c, "minimum");
	limits->max = flags & LIMITS_MAX ? fl__cursor_u64(c, "maximum") :
					   UINT64_MAX;
	if (limits->max < limits->min)
		fl__cursor_fail(c, -ENOEXEC, min_off,
				"the maximum of %" PRIu64
				" %s is below the minimum of %" PRIu64,
				limits->max, unit, limits->min);
	if (flags & LIMITS_PAGE_SIZE)
		read_page_size(c, limits);
	if (limits->page_log2)
		most = limits->is_64 ? (uint64_t)1 << 48 : 65536;
	else
		most = limits->is_64 ? UINT64_MAX : UINT32_MAX;
	limits->most = fl_min_u64(limits->max, most);
	if (limits->min > most || ((flags & LIMITS_MAX) && limits->max > most))
		fl__cursor_fail(c, -ENOEXEC, start_off,
				"the limits go beyond the %" PRIu64
				" %s that its addresses reach",
				most, unit);
}

static void read_memory_type(struct fl__cursor *c, struct fl__limits *limits)
{
	uint64_t start_off = c->off;
	uint8_t flags = fl__cursor_u8(c, "flags byte of the memory");

	if (flags > (LIMITS_MAX | LIMITS_SHARED | LIMITS_64 | LIMITS_PAGE_SIZE))
		fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the memory has flags 0x%02x: only bits 0 (maximum), 1 (shared), 2 (64-bit) and 3 (page size) are defined",
			flags);
	if ((flags & LIMITS_SHARED) && !(flags & LIMITS_MAX))
		fl__cursor_fail(c, -ENOEXEC, start_off,
				"a shared memory must have a maximum");
	limits->page_log2 = 16;
	read_limits(c, start_off, flags, "pages", limits);
}

static void read_table_type(struct fl__cursor *c, struct fl__table_type *table)
{
	uint64_t start_off;
	uint8_t flags;

	table->type = fl__valtype_read_ref(c, "type of the table's elements");
	table->is_func = table->type.heap == FL__HEAP_FUNC ||
			 table->type.heap == FL__HEAP_NOFUNC ||
			 table->type.heap == FL__HEAP_DEFINED;
	start_off = c->off;
	flags = fl__cursor_u8(c, "flags byte of the table");
	if (flags > (LIMITS_MAX | LIMITS_SHARED | LIMITS_64))
		fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the table has flags 0x%02x: only bits 0 (maximum) and 2 (64-bit) are defined",
			flags);
	if (flags & LIMITS_SHARED)
		fl__cursor_fail_proposal(c, start_off, "shared tables",
					 "shared-everything-threads");
	read_limits(c, start_off, flags, "elements", &table->limits);
}

static uint32_t read_type_idx(struct fl__cursor *c)
{
	return fl__cursor_u32(c, "type index of the function");
}

static void read_global_type(struct fl__cursor *c, struct fl__global *global)
{
	uint8_t flags;

	global->type = fl__valtype_read(c, "type of the global");
	flags = fl__cursor_peek(c);
	if (flags == 2 || flags == 3)
		fl__cursor_fail_proposal(c, c->off, "shared globals",
					 "shared-everything-threads");
	global->is_mutable =
		fl__cursor_choice(c, "mutability of the global", 1, "0 or 1");
}

/* ----------------------------------------------------------------- imports */

static void read_import_name(struct fl__cursor *c, struct import *import)
{
	import->memory.import_name = fl__cursor_name(c, "name of the import");
	import->table.import_name = import->memory.import_name;
	import->global.import_name = import->memory.import_name;
	import->func.import_name = import->memory.import_name;
}

static void read_import_type(struct fl__pass *p, struct import *import)
{
	struct fl__cursor *c = &p->cursor;

	if (fl__cursor_peek(c) == KIND_FUNC_EXACT)
		fl__cursor_fail_proposal(c, c->off, "exact function imports",
					 "custom-descriptors");
	import->kind = fl__cursor_choice(c, "kind of the import", FL__KIND_TAG,
					 FL__KINDS);
	switch (import->kind) {
	case FL__KIND_FUNC:
		import->func.type_idx = read_type_idx(c);
		break;
	case FL__KIND_TABLE:
		read_table_type(c, &import->table);
		break;
	case FL__KIND_MEMORY:
		read_memory_type(c, &import->memory.limits);
		break;
	case FL__KIND_GLOBAL:
		read_global_type(c, &import->global);
		break;
	case FL__KIND_TAG:
		fl__reader_read_tag(p, 0);
		break;
	}
}

static void add_global(struct fl__pass *p, const struct fl__global *import)
{
	struct fl__reader *r = p->reader;
	struct fl__global *global = &r->globals[r->global_count];

	*global = *import;
	if (!global->is_mutable && fl__valtype_is_integer(global->type))
		global->init.known = FL__KNOWN_IMPORT;
	r->imported_global_count = ++r->global_count;
}

static void add_import(struct fl__pass *p, const struct import *import)
{
	struct fl__reader *r = p->reader;

	if (++p->import_count > FL__READER_MAX_IMPORTS)
		fl__cursor_fail(
			&p->cursor, -E2BIG, import->start_off,
			"the module has more than %u imports, which is all that Faultline reads",
			FL__READER_MAX_IMPORTS);
	if (import->kind == FL__KIND_FUNC)
		fl__pass_room(p, func_imports, imported_func, 1,
			      FL__READER_MAX_IMPORTS, "imports");
	else if (import->kind == FL__KIND_TABLE)
		fl__reader_begin_tables(p, 1);
	else if (import->kind == FL__KIND_MEMORY)
		fl__reader_begin_memories(p, 1);
	else if (import->kind == FL__KIND_GLOBAL)
		fl__reader_begin_globals(p, 1);
	if (p->cursor.err)
		return;
	switch (import->kind) {
	case FL__KIND_FUNC:
		r->func_imports[r->func_count] = import->func;
		r->imported_func_count = ++r->func_count;
		break;
	case FL__KIND_TABLE:
		r->tables[r->table_count] = import->table;
		r->imported_table_count = ++r->table_count;
		break;
	case FL__KIND_MEMORY:
		r->memories[r->memory_count] = import->memory;
		r->imported_memory_count = ++r->memory_count;
		break;
	case FL__KIND_GLOBAL:
		add_global(p, &import->global);
		break;
	case FL__KIND_TAG:
		r->tag_count++;
		break;
	}
}

/* Imports from one module: each with a name and a type, or the one type of all
 * before their names. */
static void read_group(struct fl__pass *p, struct import *import, bool is_one)
{
	struct fl__cursor *c = &p->cursor;
	uint32_t count;

	if (is_one)
		read_import_type(p, import);
	count = fl__cursor_count(c, "count of imports in the group",
				 is_one ? 1 : 3, FL__READER_MAX_IMPORTS);
	for (; !c->err && count; count--) {
		read_import_name(c, import);
		if (!is_one)
			read_import_type(p, import);
		add_import(p, import);
	}
}

void fl__reader_read_import(struct fl__pass *p, uint32_t idx)
{
	struct fl__cursor *c = &p->cursor;
	struct import import = { .start_off = c->off };
	uint8_t next;

	(void)idx;
	import.memory.import_module =
		fl__cursor_name(c, "module name of the import");
	import.table.import_module = import.memory.import_module;
	import.global.import_module = import.memory.import_module;
	import.func.import_module = import.memory.import_module;
	read_import_name(c, &import);
	next = fl__cursor_peek(c);
	if (!import.memory.import_name.len &&
	    (next == GROUP_TYPES || next == GROUP_ONE_TYPE)) {
		c->off++;
		read_group(p, &import, next == GROUP_ONE_TYPE);
		return;
	}
	read_import_type(p, &import);
	add_import(p, &import);
}

/* ------------------------------------------------------------- definitions */

void fl__reader_read_function(struct fl__pass *p, uint32_t idx)
{
	(void)idx;
	read_type_idx(&p->cursor);
}

void fl__reader_read_table(struct fl__pass *p, uint32_t idx)
{
	struct fl__cursor *c = &p->cursor;
	struct fl__table_type *table = &p->reader->tables[idx];
	uint64_t start_off = c->off;

	table->has_init = fl__cursor_peek(c) == 0x40;
	if (table->has_init) {
		c->off++;
		fl__cursor_choice(c, "byte after 0x40", 0, "0x00");
	}
	read_table_type(c, table);
	if (table->has_init)
		table->init = fl__constexpr_read(&p->exprs, c, table->type);
	else if (!table->type.is_nullable)
		fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"a table whose elements cannot be null needs an initial value");
}

void fl__reader_read_memory(struct fl__pass *p, uint32_t idx)
{
	read_memory_type(&p->cursor, &p->reader->memories[idx].limits);
}

void fl__reader_read_tag(struct fl__pass *p, uint32_t idx)
{
	(void)idx;
	fl__cursor_choice(&p->cursor, "attribute of the tag", 0,
			  "0 (exception)");
	fl__cursor_u32(&p->cursor, "type index of the tag");
}

void fl__reader_read_global(struct fl__pass *p, uint32_t idx)
{
	struct fl__global *global = &p->reader->globals[idx];

	read_global_type(&p->cursor, global);
	global->init = fl__constexpr_read(&p->exprs, &p->cursor, global->type);
}
