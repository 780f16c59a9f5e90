/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reader_segments.c - element and data segments; see reader_pass.h.
 *
 * Nothing is copied: a segment is its offset and views of the module's bytes.
 * Indices of functions and expressions in elements are checked here once and
 * not kept. Marks say where some of them begin, an eighth of the items' bytes at
 * most: table.init then costs what it writes, wherever in a segment it begins.
 */
#include "reader_pass.h"

#include <inttypes.h>

/* Bits of an element segment's flags. Bit 1 means an explicit table index in
 * an active segment, and declared rather than passive in another. */
enum {
	ELEM_NOT_ACTIVE = 1,
	ELEM_EXPLICIT = 2,
	ELEM_EXPRESSIONS = 4,
	ELEM_FLAGS_MAX = 7,
};

enum {
	DATA_ACTIVE = 0,
	DATA_PASSIVE = 1,
	DATA_ACTIVE_EXPLICIT = 2,
};

static uint32_t read_flags(struct fl__cursor *c, uint32_t max,
			   const char *expected)
{
	uint64_t start_off = c->off;
	uint32_t flags = fl__cursor_u32(c, "flags");

	if (flags > max)
		fl__cursor_fail(c, -ENOEXEC, start_off,
				"the flags are %" PRIu32 ", expected %s", flags,
				expected);
	return flags;
}

/* The offset of an active segment, of the width of what it is applied to. */
static struct fl__const read_offset(struct fl__pass *p,
				    const struct fl__limits *limits)
{
	struct fl__valtype type = { .code = limits->is_64 ? FL__TYPE_I64 :
							    FL__TYPE_I32 };

	return fl__constexpr_read(&p->exprs, &p->cursor, type);
}

/* ---------------------------------------------------------------- elements */

void fl__reader_begin_elements(struct fl__pass *p, uint32_t count)
{
	fl__pass_room(p, elems, elem, count, FL__READER_MAX_SEGMENTS,
		      "element segments");
}

/* After the offset: a kind byte, a reference type, or nothing. */
static void read_elem_type(struct fl__cursor *c, uint32_t flags,
			   struct fl__elem *elem)
{
	elem->type.code = FL__TYPE_REF;
	elem->type.heap = FL__HEAP_FUNC;
	elem->type.is_nullable = elem->is_expressions;
	if (!(flags & (ELEM_NOT_ACTIVE | ELEM_EXPLICIT)))
		return;
	if (elem->is_expressions)
		elem->type = fl__valtype_read_ref(c, "type of the elements");
	else
		fl__cursor_choice(c, "kind of the elements", 0,
				  "0x00 (functions)");
}

static void read_elem_head(struct fl__pass *p, struct fl__elem *elem)
{
	struct fl__cursor *c = &p->cursor;
	struct fl__reader *r = p->reader;
	uint64_t start_off = c->off;
	uint32_t flags = read_flags(c, ELEM_FLAGS_MAX, "0 to 7");

	elem->is_expressions = flags & ELEM_EXPRESSIONS;
	elem->mode = !(flags & ELEM_NOT_ACTIVE) ? FL__SEGMENT_ACTIVE :
		     flags & ELEM_EXPLICIT	? FL__SEGMENT_DECLARED :
						  FL__SEGMENT_PASSIVE;
	if (elem->mode != FL__SEGMENT_ACTIVE) {
		read_elem_type(c, flags, elem);
		return;
	}
	if (flags & ELEM_EXPLICIT)
		elem->table_idx = fl__cursor_index(c, "table index",
						   r->table_count, "tables");
	else if (!r->table_count)
		fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"it is for table 0, but the module has no table");
	if (c->err)
		return;
	elem->offset = read_offset(p, &r->tables[elem->table_idx].limits);
	start_off = c->off;
	read_elem_type(c, flags, elem);
	if (!fl__valtype_matches(elem->type, r->tables[elem->table_idx].type))
		fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"its elements are of another type than table %" PRIu32,
			elem->table_idx);
}

/* Item idx of the segment begins at the cursor. */
static void mark_item(struct fl__pass *p, struct fl__elem *elem, uint32_t idx)
{
	struct fl__reader *r = p->reader;
	uint32_t off = (uint32_t)(p->cursor.off - elem->items.off);
	uint32_t last_off = elem->mark_count ? r->marks[r->mark_count - 1].off :
					       0;

	if (off - last_off < FL__MARK_BYTES)
		return;
	if (r->mark_count == p->mark_capacity)
		fl__pass_room(p, marks, mark, 1, UINT32_MAX, "marks");
	if (p->cursor.err)
		return;
	r->marks[r->mark_count++] = (struct fl__mark){ idx, off };
	elem->mark_count++;
}

void fl__reader_read_element(struct fl__pass *p, uint32_t idx)
{
	struct fl__cursor *c = &p->cursor;
	struct fl__reader *r = p->reader;
	struct fl__elem *elem = &r->elems[idx];

	read_elem_head(p, elem);
	elem->count = fl__cursor_count(c, "count of elements",
				       elem->is_expressions ? 2 : 1,
				       UINT32_MAX);
	elem->items.off = c->off;
	elem->first_mark = r->mark_count;
	for (uint32_t i = 0; !c->err && i < elem->count; i++) {
		mark_item(p, elem, i);
		if (elem->is_expressions)
			fl__constexpr_read(&p->exprs, c, elem->type);
		else
			fl__cursor_index(c, "function index", r->func_count,
					 "functions");
	}
	elem->items.len = c->off - elem->items.off;
	if (!c->err && elem->mode == FL__SEGMENT_ACTIVE)
		r->tables[elem->table_idx].init_elements += elem->count;
}

/* -------------------------------------------------------------------- data */

void fl__reader_begin_data(struct fl__pass *p, uint32_t count)
{
	if (p->declared_data_count != UINT64_MAX &&
	    p->declared_data_count != count)
		fl__cursor_fail(
			&p->cursor, -ENOEXEC, p->contents_off,
			"the data section has %" PRIu32
			" segments, but the data count section says %" PRIu64,
			count, p->declared_data_count);
	fl__pass_room(p, data, data, count, FL__READER_MAX_SEGMENTS,
		      "data segments");
}

void fl__reader_read_data(struct fl__pass *p, uint32_t idx)
{
	struct fl__cursor *c = &p->cursor;
	struct fl__reader *r = p->reader;
	struct fl__data *data = &r->data[idx];
	uint64_t start_off = c->off;
	uint32_t flags = read_flags(c, DATA_ACTIVE_EXPLICIT,
				    "0 or 2 (active) or 1 (passive)");

	if (flags == DATA_ACTIVE_EXPLICIT)
		data->memory_idx = fl__cursor_index(
			c, "memory index", r->memory_count, "memories");
	else if (flags == DATA_ACTIVE && !r->memory_count)
		fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"it is for memory 0, but the module has no memory");
	if (c->err)
		return;
	data->mode = FL__SEGMENT_PASSIVE;
	if (flags != DATA_PASSIVE) {
		data->mode = FL__SEGMENT_ACTIVE;
		data->offset =
			read_offset(p, &r->memories[data->memory_idx].limits);
	}
	data->bytes =
		fl__cursor_skip(c, "content", fl__cursor_u32(c, "length"));
	data->whole = (struct fl__view){ start_off, c->off - start_off };
}
