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
#include <stdlib.h>

enum {
	KIND_FUNC = 0,
	KIND_TABLE = 1,
	KIND_MEMORY = 2,
	KIND_GLOBAL = 3,
	KIND_TAG = 4,
	KIND_FUNC_EXACT = 0x20,
	/* In place of a kind, after an empty name: compact imports. */
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
	struct fl__view module;
	struct fl__view name;
	uint8_t kind;
	struct fl__limits memory;
	struct fl__table_type table;
	struct fl__global global;
};

/* ------------------------------------------------------------------ arrays */

/* Make room for `need` items, the new ones zero; what is the plural for
 * messages. After an error the array is as it was. */
static int grow(struct fl__pass *p, void **items, uint32_t *capacity,
		uint32_t need, uint32_t max, size_t item_bytes,
		const char *what)
{
	uint32_t wanted = need;
	void *wider;

	if (need <= *capacity)
		return 0;
	if (need > max)
		return fl__cursor_fail(&p->cursor, -E2BIG, p->cursor.off,
				       "the module has more than %" PRIu32
				       " %s, which is all that Faultline reads",
				       max, what);
	if (wanted < 2 * *capacity)
		wanted = 2 * *capacity < max ? 2 * *capacity : max;
	wider = realloc(*items, wanted * item_bytes);
	if (!wider)
		return fl__cursor_fail(&p->cursor, -ENOMEM, p->cursor.off,
				       "no memory to keep %" PRIu32 " %s",
				       wanted, what);
	memset((char *)wider + *capacity * item_bytes, 0,
	       (wanted - *capacity) * item_bytes);
	*items = wider;
	*capacity = wanted;
	return 0;
}

static int grow_memories(struct fl__pass *p, uint32_t more)
{
	void *items = p->reader->memories;
	int err = grow(p, &items, &p->memory_capacity,
		       p->reader->memory_count + more, FL__READER_MAX_MEMORIES,
		       sizeof(*p->reader->memories), "memories");

	p->reader->memories = items;
	return err;
}

static int grow_tables(struct fl__pass *p, uint32_t more)
{
	void *items = p->reader->tables;
	int err = grow(p, &items, &p->table_capacity,
		       p->reader->table_count + more, FL__READER_MAX_TABLES,
		       sizeof(*p->reader->tables), "tables");

	p->reader->tables = items;
	return err;
}

static int grow_globals(struct fl__pass *p, uint32_t more)
{
	void *items = p->reader->globals;
	int err = grow(p, &items, &p->global_capacity,
		       p->reader->global_count + more, FL__READER_MAX_GLOBALS,
		       sizeof(*p->reader->globals), "globals");

	p->reader->globals = items;
	return err;
}

/* ------------------------------------------------------------------- types */

/* The flags byte was read; unit is what the limits count. Whatever the width of
 * addresses, both are integers of 64 bits. */
static int read_min_max(struct fl__cursor *c, uint8_t flags, const char *unit,
			struct fl__limits *limits)
{
	uint64_t start_off = c->off;
	int err;

	limits->has_max = flags & LIMITS_MAX;
	limits->is_shared = flags & LIMITS_SHARED;
	limits->is_64 = flags & LIMITS_64;
	limits->max = UINT64_MAX;
	err = fl__cursor_u64(c, "minimum", &limits->min);
	if (!err && limits->has_max)
		err = fl__cursor_u64(c, "maximum", &limits->max);
	if (err)
		return err;
	if (limits->has_max && limits->max < limits->min)
		return fl__cursor_fail(c, -ENOEXEC, start_off,
				       "the maximum of %" PRIu64
				       " %s is below the minimum of %" PRIu64,
				       limits->max, unit, limits->min);
	return 0;
}

/* The address type says how many there may be: `most`. */
static int check_most(struct fl__cursor *c, uint64_t off,
		      const struct fl__limits *limits, uint64_t most,
		      const char *unit)
{
	if (limits->min <= most && (!limits->has_max || limits->max <= most))
		return 0;
	return fl__cursor_fail(c, -ENOEXEC, off,
			       "the limits go beyond the %" PRIu64
			       " %s that its addresses reach",
			       most, unit);
}

static int read_page_size(struct fl__cursor *c, uint8_t flags,
			  struct fl__limits *limits)
{
	uint64_t start_off = c->off;
	uint32_t log2;
	int err;

	limits->page_log2 = 16;
	if (!(flags & LIMITS_PAGE_SIZE))
		return 0;
	err = fl__cursor_u32(c, "page size", &log2);
	if (err)
		return err;
	if (log2 != 0 && log2 != 16)
		return fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the page size is 2 to the power of %" PRIu32
			": it must be 1 byte (0) or 64 KiB (16)",
			log2);
	limits->page_log2 = (uint8_t)log2;
	return 0;
}

static int read_memory_type(struct fl__cursor *c, struct fl__limits *limits)
{
	uint64_t start_off = c->off;
	uint64_t most;
	uint8_t flags;
	int err = fl__cursor_u8(c, "flags byte of the memory", &flags);

	if (err)
		return err;
	if (flags > (LIMITS_MAX | LIMITS_SHARED | LIMITS_64 | LIMITS_PAGE_SIZE))
		return fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the memory has flags 0x%02x: only bits 0 (maximum), 1 (shared), 2 (64-bit) and 3 (page size) are defined",
			flags);
	if ((flags & LIMITS_SHARED) && !(flags & LIMITS_MAX))
		return fl__cursor_fail(c, -ENOEXEC, start_off,
				       "a shared memory must have a maximum");
	err = read_min_max(c, flags, "pages", limits);
	if (!err)
		err = read_page_size(c, flags, limits);
	if (err)
		return err;
	if (limits->page_log2 == 0)
		most = limits->is_64 ? UINT64_MAX : UINT32_MAX;
	else
		most = limits->is_64 ? (uint64_t)1 << 48 : 65536;
	return check_most(c, start_off, limits, most, "pages");
}

static int read_table_type(struct fl__cursor *c, struct fl__table_type *table)
{
	uint64_t start_off;
	uint8_t flags;
	int err = fl__constexpr_reftype(c, "type of the table's elements",
					&table->type);

	if (err)
		return err;
	start_off = c->off;
	err = fl__cursor_u8(c, "flags byte of the table", &flags);
	if (err)
		return err;
	if (flags > (LIMITS_MAX | LIMITS_SHARED | LIMITS_64))
		return fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the table has flags 0x%02x: only bits 0 (maximum) and 2 (64-bit) are defined",
			flags);
	if (flags & LIMITS_SHARED)
		return fl__cursor_fail(
			c, -ENOTSUP, start_off,
			"shared tables are of the shared-everything-threads proposal, which Faultline does not support");
	table->is_func = table->type.heap == FL__HEAP_FUNC ||
			 table->type.heap == FL__HEAP_NOFUNC ||
			 table->type.heap == FL__HEAP_DEFINED;
	err = read_min_max(c, flags, "elements", &table->limits);
	if (err)
		return err;
	return check_most(c, start_off, &table->limits,
			  table->limits.is_64 ? UINT64_MAX : UINT32_MAX,
			  "elements");
}

static int read_global_type(struct fl__cursor *c, struct fl__global *global)
{
	uint64_t start_off;
	uint8_t flags;
	int err = fl__constexpr_valtype(c, "type of the global", &global->type);

	if (err)
		return err;
	start_off = c->off;
	err = fl__cursor_u8(c, "mutability of the global", &flags);
	if (err)
		return err;
	if (flags == 2 || flags == 3)
		return fl__cursor_fail(
			c, -ENOTSUP, start_off,
			"shared globals are of the shared-everything-threads proposal, which Faultline does not support");
	if (flags > 1)
		return fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the mutability of the global is 0x%02x, expected 0 or 1",
			flags);
	global->is_mutable = flags;
	return 0;
}

static int read_tag_type(struct fl__cursor *c)
{
	uint64_t start_off = c->off;
	uint32_t type_idx;
	uint8_t attribute;
	int err = fl__cursor_u8(c, "attribute of the tag", &attribute);

	if (err)
		return err;
	if (attribute)
		return fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the attribute of the tag is 0x%02x, expected 0 (exception)",
			attribute);
	return fl__cursor_u32(c, "type index of the tag", &type_idx);
}

/* ----------------------------------------------------------------- imports */

static int read_import_type(struct fl__cursor *c, struct import *import)
{
	uint64_t kind_off = c->off;
	uint32_t type_idx;
	int err = fl__cursor_u8(c, "kind of the import", &import->kind);

	if (err)
		return err;
	switch (import->kind) {
	case KIND_FUNC:
		return fl__cursor_u32(c, "type index of the function",
				      &type_idx);
	case KIND_TABLE:
		return read_table_type(c, &import->table);
	case KIND_MEMORY:
		return read_memory_type(c, &import->memory);
	case KIND_GLOBAL:
		return read_global_type(c, &import->global);
	case KIND_TAG:
		return read_tag_type(c);
	case KIND_FUNC_EXACT:
		return fl__cursor_fail(
			c, -ENOTSUP, kind_off,
			"exact function imports are of the custom-descriptors proposal, which Faultline does not support");
	}
	return fl__cursor_fail(
		c, -ENOEXEC, kind_off,
		"the kind of the import is 0x%02x, expected 0 (function) to 4 (tag)",
		import->kind);
}

static int add_memory(struct fl__pass *p, const struct import *import)
{
	struct fl__reader *r = p->reader;
	int err = grow_memories(p, 1);

	if (err)
		return err;
	r->memories[r->memory_count] = (struct fl__memory_type){
		.limits = import->memory,
		.is_imported = true,
		.import_module = import->module,
		.import_name = import->name,
	};
	r->imported_memory_count = ++r->memory_count;
	return 0;
}

static int add_table(struct fl__pass *p, const struct import *import)
{
	struct fl__reader *r = p->reader;
	struct fl__table_type *table;
	int err = grow_tables(p, 1);

	if (err)
		return err;
	table = &r->tables[r->table_count];
	*table = import->table;
	table->is_imported = true;
	table->import_module = import->module;
	table->import_name = import->name;
	r->imported_table_count = ++r->table_count;
	return 0;
}

static int add_global(struct fl__pass *p, const struct import *import)
{
	struct fl__reader *r = p->reader;
	struct fl__global *global;
	int err = grow_globals(p, 1);

	if (err)
		return err;
	global = &r->globals[r->global_count];
	*global = import->global;
	global->is_imported = true;
	if (!global->is_mutable && (global->type.code == FL__TYPE_I32 ||
				    global->type.code == FL__TYPE_I64))
		global->init.known = FL__KNOWN_IMPORT;
	r->imported_global_count = ++r->global_count;
	return 0;
}

static int add_import(struct fl__pass *p, const struct import *import)
{
	struct fl__reader *r = p->reader;

	if (++p->import_count > FL__READER_MAX_IMPORTS)
		return fl__cursor_fail(
			&p->cursor, -E2BIG, import->start_off,
			"the module has more than %u imports, which is all that Faultline reads",
			FL__READER_MAX_IMPORTS);
	switch (import->kind) {
	case KIND_FUNC:
		r->imported_func_count = ++r->func_count;
		return 0;
	case KIND_TABLE:
		return add_table(p, import);
	case KIND_MEMORY:
		return add_memory(p, import);
	case KIND_GLOBAL:
		return add_global(p, import);
	default:
		r->tag_count++;
		return 0;
	}
}

/* Imports from one module, each with a name and a type. */
static int read_group_types(struct fl__pass *p, struct import *import)
{
	struct fl__cursor *c = &p->cursor;
	uint32_t count = 0;
	int err = fl__cursor_count(c, "count of imports in the group", 3,
				   FL__READER_MAX_IMPORTS, &count);

	for (uint32_t i = 0; !err && i < count; i++) {
		err = fl__cursor_name(c, "name of the import", &import->name);
		if (!err)
			err = read_import_type(c, import);
		if (!err)
			err = add_import(p, import);
	}
	return err;
}

/* Imports from one module that share a type: the type, then the names. */
static int read_group_names(struct fl__pass *p, struct import *import)
{
	struct fl__cursor *c = &p->cursor;
	uint32_t count = 0;
	int err = read_import_type(c, import);

	if (!err)
		err = fl__cursor_count(c, "count of imports in the group", 1,
				       FL__READER_MAX_IMPORTS, &count);
	for (uint32_t i = 0; !err && i < count; i++) {
		err = fl__cursor_name(c, "name of the import", &import->name);
		if (!err)
			err = add_import(p, import);
	}
	return err;
}

static int read_import(struct fl__pass *p)
{
	struct fl__cursor *c = &p->cursor;
	struct import import = { .start_off = c->off };
	uint8_t next = 0;
	int err =
		fl__cursor_name(c, "module name of the import", &import.module);

	if (!err)
		err = fl__cursor_name(c, "name of the import", &import.name);
	if (err)
		return err;
	if (!import.name.len && fl__cursor_left(c))
		next = c->bytes[c->off];
	if (next == GROUP_TYPES || next == GROUP_ONE_TYPE) {
		c->off++;
		return next == GROUP_TYPES ? read_group_types(p, &import) :
					     read_group_names(p, &import);
	}
	err = read_import_type(c, &import);
	return err ? err : add_import(p, &import);
}

int fl__reader_read_imports(struct fl__pass *p)
{
	uint32_t count;
	int err = fl__cursor_count(&p->cursor, "count of imports", 4,
				   FL__READER_MAX_IMPORTS, &count);

	p->cursor.item = "import";
	for (uint32_t i = 0; !err && i < count; i++) {
		p->cursor.item_idx = i;
		err = read_import(p);
	}
	return err;
}

/* ------------------------------------------------------------- definitions */

int fl__reader_read_functions(struct fl__pass *p)
{
	uint32_t count, type_idx;
	int err = fl__cursor_count(&p->cursor, "count of functions", 1,
				   UINT32_MAX, &count);

	for (uint32_t i = 0; !err && i < count; i++)
		err = fl__cursor_u32(&p->cursor, "type index of a function",
				     &type_idx);
	if (!err)
		p->reader->func_count += count;
	return err;
}

static int read_table(struct fl__pass *p, struct fl__table_type *table)
{
	struct fl__cursor *c = &p->cursor;
	uint64_t start_off = c->off;
	uint8_t zero;
	int err;

	table->has_init = fl__cursor_left(c) && c->bytes[c->off] == 0x40;
	if (table->has_init) {
		c->off++;
		err = fl__cursor_u8(c, "byte after 0x40", &zero);
		if (!err && zero)
			err = fl__cursor_fail(
				c, -ENOEXEC, c->off - 1,
				"the byte after 0x40 is 0x%02x, expected 0x00",
				zero);
		if (err)
			return err;
	}
	err = read_table_type(c, table);
	if (err)
		return err;
	if (table->has_init)
		return fl__constexpr_read(&p->exprs, c, table->type,
					  &table->init);
	if (!table->type.is_nullable)
		return fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"a table whose elements cannot be null needs an initial value");
	return 0;
}

int fl__reader_read_tables(struct fl__pass *p)
{
	struct fl__reader *r = p->reader;
	uint32_t count;
	int err = fl__cursor_count(&p->cursor, "count of tables", 3, UINT32_MAX,
				   &count);

	if (!err)
		err = grow_tables(p, count);
	p->cursor.item = "table";
	for (uint32_t i = 0; !err && i < count; i++) {
		p->cursor.item_idx = r->table_count;
		err = read_table(p, &r->tables[r->table_count]);
		r->table_count++;
	}
	return err;
}

int fl__reader_read_memories(struct fl__pass *p)
{
	struct fl__reader *r = p->reader;
	uint32_t count;
	int err = fl__cursor_count(&p->cursor, "count of memories", 2,
				   UINT32_MAX, &count);

	if (!err)
		err = grow_memories(p, count);
	p->cursor.item = "memory";
	for (uint32_t i = 0; !err && i < count; i++) {
		p->cursor.item_idx = r->memory_count;
		err = read_memory_type(&p->cursor,
				       &r->memories[r->memory_count].limits);
		r->memory_count++;
	}
	return err;
}

int fl__reader_read_tags(struct fl__pass *p)
{
	uint32_t count;
	int err = fl__cursor_count(&p->cursor, "count of tags", 2, UINT32_MAX,
				   &count);

	p->cursor.item = "tag";
	for (uint32_t i = 0; !err && i < count; i++) {
		p->cursor.item_idx = p->reader->tag_count++;
		err = read_tag_type(&p->cursor);
	}
	return err;
}

int fl__reader_read_globals(struct fl__pass *p)
{
	struct fl__reader *r = p->reader;
	struct fl__global *global;
	uint32_t count;
	int err = fl__cursor_count(&p->cursor, "count of globals", 4,
				   FL__READER_MAX_GLOBALS, &count);

	if (!err)
		err = grow_globals(p, count);
	p->cursor.item = "global";
	for (uint32_t i = 0; !err && i < count; i++) {
		p->cursor.item_idx = r->global_count;
		global = &r->globals[r->global_count];
		err = read_global_type(&p->cursor, global);
		if (!err)
			err = fl__constexpr_read(&p->exprs, &p->cursor,
						 global->type, &global->init);
		/* Only now: an initialiser does not see its own global. */
		r->global_count++;
	}
	return err;
}
