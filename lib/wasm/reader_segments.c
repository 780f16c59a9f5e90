/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reader_segments.c - element segments, the data count and data segments; see
 * reader_pass.h.
 *
 * Nothing is copied: a segment is its offset and views of the module's bytes.
 * Indices of functions and expressions in elements are checked here once and
 * not kept.
 */
#include "reader_pass.h"

#include <inttypes.h>
#include <stdlib.h>

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

/* The offset of an active segment, of the width of what it is applied to. */
static int read_offset(struct fl__pass *p, bool is_64, struct fl__const *offset)
{
	struct fl__valtype type = { .code = is_64 ? FL__TYPE_I64 :
						    FL__TYPE_I32 };

	return fl__constexpr_read(&p->exprs, &p->cursor, type, offset);
}

/* ---------------------------------------------------------------- elements */

/* After the offset: a kind byte, a reference type, or nothing. */
static int read_elem_type(struct fl__pass *p, uint32_t flags,
			  struct fl__elem *elem)
{
	struct fl__cursor *c = &p->cursor;
	uint64_t start_off = c->off;
	uint8_t kind = 0;
	int err = 0;

	elem->type.code = FL__TYPE_REF;
	elem->type.heap = FL__HEAP_FUNC;
	elem->type.is_nullable = elem->is_expressions;
	if (!(flags & (ELEM_NOT_ACTIVE | ELEM_EXPLICIT)))
		return 0;
	if (elem->is_expressions)
		return fl__constexpr_reftype(c, "type of the elements",
					     &elem->type);
	err = fl__cursor_u8(c, "kind of the elements", &kind);
	if (!err && kind)
		err = fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the kind of the elements is 0x%02x, expected 0x00 (functions)",
			kind);
	return err;
}

static int read_elem_head(struct fl__pass *p, struct fl__elem *elem)
{
	struct fl__cursor *c = &p->cursor;
	struct fl__reader *r = p->reader;
	uint64_t start_off = c->off;
	uint32_t flags;
	int err = fl__cursor_u32(c, "flags", &flags);

	if (err)
		return err;
	if (flags > ELEM_FLAGS_MAX)
		return fl__cursor_fail(c, -ENOEXEC, start_off,
				       "the flags are %" PRIu32
				       ", expected 0 to 7",
				       flags);
	elem->is_expressions = flags & ELEM_EXPRESSIONS;
	if (flags & ELEM_NOT_ACTIVE) {
		elem->mode = flags & ELEM_EXPLICIT ? FL__SEGMENT_DECLARED :
						     FL__SEGMENT_PASSIVE;
		return read_elem_type(p, flags, elem);
	}
	elem->mode = FL__SEGMENT_ACTIVE;
	if (flags & ELEM_EXPLICIT)
		err = fl__cursor_index(c, "table index", r->table_count,
				       "tables", &elem->table_idx);
	else if (!r->table_count)
		err = fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"it is for table 0, but the module has no table");
	if (!err)
		err = read_offset(p, r->tables[elem->table_idx].limits.is_64,
				  &elem->offset);
	start_off = c->off;
	if (!err)
		err = read_elem_type(p, flags, elem);
	if (!err &&
	    !fl__constexpr_matches(elem->type, r->tables[elem->table_idx].type))
		err = fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"its elements are of another type than table %" PRIu32,
			elem->table_idx);
	return err;
}

static int read_elem_items(struct fl__pass *p, struct fl__elem *elem)
{
	struct fl__cursor *c = &p->cursor;
	struct fl__const item;
	uint32_t idx;
	int err = fl__cursor_count(c, "count of elements",
				   elem->is_expressions ? 2 : 1, UINT32_MAX,
				   &elem->count);

	if (err)
		return err;
	elem->items.off = c->off;
	for (uint32_t i = 0; !err && i < elem->count; i++) {
		if (elem->is_expressions)
			err = fl__constexpr_read(&p->exprs, c, elem->type,
						 &item);
		else
			err = fl__cursor_index(c, "function index",
					       p->reader->func_count,
					       "functions", &idx);
	}
	elem->items.len = c->off - elem->items.off;
	return err;
}

int fl__reader_read_elements(struct fl__pass *p)
{
	struct fl__reader *r = p->reader;
	struct fl__elem *elem;
	uint32_t count;
	int err = fl__cursor_count(&p->cursor, "count of element segments", 3,
				   FL__READER_MAX_SEGMENTS, &count);

	if (err || !count)
		return err;
	r->elems = calloc(count, sizeof(*r->elems));
	if (!r->elems)
		return fl__cursor_fail(&p->cursor, -ENOMEM, p->cursor.off,
				       "no memory to keep %" PRIu32
				       " element segments",
				       count);
	p->cursor.item = "element segment";
	for (; !err && r->elem_count < count; r->elem_count++) {
		p->cursor.item_idx = r->elem_count;
		elem = &r->elems[r->elem_count];
		err = read_elem_head(p, elem);
		if (!err)
			err = read_elem_items(p, elem);
		if (!err && elem->mode == FL__SEGMENT_ACTIVE)
			r->tables[elem->table_idx].init_elements += elem->count;
	}
	return err;
}

/* -------------------------------------------------------------------- data */

int fl__reader_read_data_count(struct fl__pass *p)
{
	p->reader->has_data_count = true;
	return fl__cursor_u32(&p->cursor, "count of data segments",
			      &p->declared_data_count);
}

static int read_data_head(struct fl__pass *p, struct fl__data *data)
{
	struct fl__cursor *c = &p->cursor;
	struct fl__reader *r = p->reader;
	uint64_t start_off = c->off;
	uint32_t flags;
	int err = fl__cursor_u32(c, "flags", &flags);

	if (err)
		return err;
	if (flags > DATA_ACTIVE_EXPLICIT)
		return fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the flags are %" PRIu32
			", expected 0 or 2 (active) or 1 (passive)",
			flags);
	data->flags.off = start_off;
	if (flags == DATA_PASSIVE) {
		data->mode = FL__SEGMENT_PASSIVE;
	} else {
		data->mode = FL__SEGMENT_ACTIVE;
		if (flags == DATA_ACTIVE_EXPLICIT)
			err = fl__cursor_index(c, "memory index",
					       r->memory_count, "memories",
					       &data->memory_idx);
		else if (!r->memory_count)
			err = fl__cursor_fail(
				c, -ENOEXEC, start_off,
				"it is for memory 0, but the module has no memory");
		if (!err)
			err = read_offset(
				p, r->memories[data->memory_idx].limits.is_64,
				&data->offset);
	}
	data->flags.len = c->off - start_off;
	return err;
}

static int read_data(struct fl__pass *p, struct fl__data *data)
{
	struct fl__cursor *c = &p->cursor;
	uint32_t len;
	int err = read_data_head(p, data);

	if (err)
		return err;
	data->size.off = c->off;
	err = fl__cursor_u32(c, "length", &len);
	data->size.len = c->off - data->size.off;
	if (err)
		return err;
	return fl__cursor_skip(c, "content", len, &data->bytes);
}

int fl__reader_read_data(struct fl__pass *p)
{
	struct fl__reader *r = p->reader;
	uint64_t start_off = p->cursor.off;
	uint32_t count;
	int err = fl__cursor_count(&p->cursor, "count of data segments", 2,
				   FL__READER_MAX_SEGMENTS, &count);

	if (err)
		return err;
	if (r->has_data_count && count != p->declared_data_count)
		return fl__cursor_fail(
			&p->cursor, -ENOEXEC, start_off,
			"the data section has %" PRIu32
			" segments, but the data count section says %" PRIu32,
			count, p->declared_data_count);
	r->data_section = (struct fl__view){ .off = start_off,
					     .len = p->cursor.end - start_off };
	if (!count)
		return 0;
	r->data = calloc(count, sizeof(*r->data));
	if (!r->data)
		return fl__cursor_fail(&p->cursor, -ENOMEM, p->cursor.off,
				       "no memory to keep %" PRIu32
				       " data segments",
				       count);
	p->cursor.item = "data segment";
	for (; !err && r->data_count < count; r->data_count++) {
		p->cursor.item_idx = r->data_count;
		err = read_data(p, &r->data[r->data_count]);
	}
	return err;
}
