/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * element.c - what element segments and table initialisers hold.
 *
 * Takes the bytes of a module that was read and found valid; gives elements, one
 * by one, in the terms of the index spaces: a runtime makes its own references
 * of them. Expressions are stepped over by their immediates and not read again.
 */
#include "element.h"
#include "base/sized.h"

#define OP_END 0x0b
#define OP_GLOBAL_GET 0x23
#define OP_I32_CONST 0x41
#define OP_I64_CONST 0x42
#define OP_F32_CONST 0x43
#define OP_F64_CONST 0x44
#define OP_REF_NULL 0xd0
#define OP_REF_FUNC 0xd2
#define OP_PREFIX_GC 0xfb
#define OP_PREFIX_SIMD 0xfd

#define GC_ARRAY_NEW_FIXED 8u /* the last that names a type */

static int skip_gc(struct fl__cursor *c)
{
	uint32_t op, idx;
	int err = fl__cursor_u32(c, "", &op);

	if (!err && op <= GC_ARRAY_NEW_FIXED)
		err = fl__cursor_u32(c, "", &idx);
	if (!err && op == GC_ARRAY_NEW_FIXED)
		err = fl__cursor_u32(c, "", &idx);
	return err;
}

static int skip_simd(struct fl__cursor *c)
{
	uint32_t op;
	int err = fl__cursor_u32(c, "", &op);

	return err ? err : fl__cursor_skip(c, "", 16, NULL);
}

static int skip_immediates(struct fl__cursor *c, uint8_t op)
{
	uint32_t idx;
	int64_t value;

	switch (op) {
	case OP_I32_CONST:
		return fl__cursor_signed(c, "", 32, &value);
	case OP_I64_CONST:
		return fl__cursor_signed(c, "", 64, &value);
	case OP_F32_CONST:
		return fl__cursor_skip(c, "", 4, NULL);
	case OP_F64_CONST:
		return fl__cursor_skip(c, "", 8, NULL);
	case OP_GLOBAL_GET:
	case OP_REF_FUNC:
		return fl__cursor_u32(c, "", &idx);
	case OP_REF_NULL:
		return fl__cursor_signed(c, "", 33, &value);
	case OP_PREFIX_GC:
		return skip_gc(c);
	case OP_PREFIX_SIMD:
		return skip_simd(c);
	}
	return 0;
}

/* One instruction with one index and `end` is what it says; more is for the
 * runtime to evaluate. */
static void read_kind(struct fl__cursor c, uint64_t end,
		      struct fl_element *element)
{
	uint8_t op = OP_END;
	int64_t heap;
	int err = fl__cursor_u8(&c, "", &op);

	element->kind = FL_ELEMENT_EXPR;
	element->idx = 0;
	if (op == OP_REF_NULL)
		err = err ? err : fl__cursor_signed(&c, "", 33, &heap);
	else if (op == OP_REF_FUNC || op == OP_GLOBAL_GET)
		err = err ? err : fl__cursor_u32(&c, "", &element->idx);
	else
		return;
	if (err || c.off + 1 != end)
		return;
	element->kind = op == OP_REF_NULL ? FL_ELEMENT_NULL :
			op == OP_REF_FUNC ? FL_ELEMENT_FUNC :
					    FL_ELEMENT_GLOBAL;
}

static void read_expr(struct fl__cursor *c, struct fl_element *element)
{
	struct fl__cursor start = *c;
	uint8_t op;

	while (!fl__cursor_u8(c, "", &op) && op != OP_END) {
		if (skip_immediates(c, op))
			break;
	}
	element->expr = c->bytes + start.off;
	element->expr_bytes = (size_t)(c->off - start.off);
	read_kind(start, c->off, element);
}

void fl__elements_begin(struct fl__elements *walk,
			const struct fl__reader *reader,
			const struct fl__elem *segment)
{
	*walk = (struct fl__elements){
		.cursor = { .bytes = reader->bytes,
			    .off = segment->items.off,
			    .end = segment->items.off + segment->items.len },
		.is_expressions = segment->is_expressions,
		.left = segment->count,
	};
}

bool fl__elements_next(struct fl__elements *walk, struct fl_element *element)
{
	if (!walk->left)
		return false;
	walk->left--;
	if (walk->is_expressions) {
		read_expr(&walk->cursor, element);
		return true;
	}
	*element = (struct fl_element){ .kind = FL_ELEMENT_FUNC };
	return !fl__cursor_u32(&walk->cursor, "", &element->idx);
}

void fl__element_of_expr(const struct fl__reader *reader,
			 const struct fl__const *expr,
			 struct fl_element *element)
{
	struct fl__cursor c = { .bytes = reader->bytes,
				.off = expr->expr.off,
				.end = expr->expr.off + expr->expr.len };

	read_expr(&c, element);
}

int fl_module_element_segment(const struct fl_module *module,
			      uint32_t segment_idx,
			      struct fl_element_segment *segment)
{
	const struct fl__elem *elem;
	struct fl_element_segment filled;

	if (segment_idx >= module->reader.elem_count)
		return -EINVAL;
	elem = &module->reader.elems[segment_idx];
	filled = (struct fl_element_segment){
		.mode = (enum fl_segment_mode)elem->mode,
		.table_idx = elem->table_idx,
		.element_count = elem->count,
	};
	if (elem->mode == FL__SEGMENT_ACTIVE &&
	    elem->offset.known == FL__KNOWN_YES) {
		filled.has_offset = 1;
		filled.offset = elem->offset.value;
	}
	fl__sized_write(segment, &filled, sizeof(filled));
	return 0;
}

int fl_module_read_elements(const struct fl_module *module,
			    uint32_t segment_idx, uint32_t first,
			    uint32_t count, struct fl_element *elements)
{
	struct fl__elements walk;
	struct fl_element skipped;

	if (segment_idx >= module->reader.elem_count ||
	    !fl_range_fits(first, count,
			   module->reader.elems[segment_idx].count))
		return -EINVAL;
	fl__elements_begin(&walk, &module->reader,
			   &module->reader.elems[segment_idx]);
	while (first-- && fl__elements_next(&walk, &skipped))
		continue;
	for (uint32_t i = 0; i < count; i++)
		(void)fl__elements_next(&walk, &elements[i]);
	return 0;
}
