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
#include "wasm/opcodes.h"

/* One instruction with one index and `end` is what it says; more is for the
 * runtime to evaluate. */
static void read_expr(struct fl__cursor *c, struct fl_element *element)
{
	struct fl__instruction in, last = { 0 };
	uint64_t start_off = c->off;
	uint32_t count = 0;

	*element = (struct fl_element){ .kind = FL_ELEMENT_EXPR };
	for (; fl__instruction_read(c, &in); count++)
		last = in;
	if (count == 1 && last.op.code == FL__OP_REF_NULL)
		element->kind = FL_ELEMENT_NULL;
	else if (count == 1 && last.op.code == FL__OP_REF_FUNC)
		element->kind = FL_ELEMENT_FUNC;
	else if (count == 1 && last.op.code == FL__OP_GLOBAL_GET)
		element->kind = FL_ELEMENT_GLOBAL;
	if (element->kind != FL_ELEMENT_EXPR)
		element->idx = last.idx;
	element->expr = c->bytes + start_off;
	element->expr_bytes = (size_t)(c->off - start_off);
}

/* The last mark at or before an element. */
static struct fl__mark mark_before(const struct fl__reader *reader,
				   const struct fl__elem *segment, uint32_t idx)
{
	const struct fl__mark *marks;
	uint32_t low = 0, high = segment->mark_count;

	/* A reader that has no mark has no array of marks. */
	if (!high)
		return (struct fl__mark){ 0, 0 };
	marks = reader->marks + segment->first_mark;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (marks[middle].idx <= idx)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? marks[low - 1] : (struct fl__mark){ 0, 0 };
}

void fl__elements_begin(struct fl__elements *walk,
			const struct fl__reader *reader,
			const struct fl__elem *segment, uint32_t first)
{
	struct fl__mark mark = mark_before(reader, segment, first);
	struct fl__view items = { segment->items.off + mark.off,
				  segment->items.len - mark.off };
	struct fl_element skipped;

	*walk = (struct fl__elements){
		.cursor = fl__cursor_at(reader->bytes, items),
		.is_expressions = segment->is_expressions,
		.left = segment->count - mark.idx,
	};
	for (uint32_t i = mark.idx; i < first; i++)
		(void)fl__elements_next(walk, &skipped);
}

bool fl__elements_next(struct fl__elements *walk, struct fl_element *element)
{
	if (!walk->left)
		return false;
	walk->left--;
	if (walk->is_expressions)
		read_expr(&walk->cursor, element);
	else
		*element = (struct fl_element){
			.kind = FL_ELEMENT_FUNC,
			.idx = fl__cursor_u32(&walk->cursor, ""),
		};
	return !walk->cursor.err;
}

void fl__element_of_expr(const struct fl__reader *reader,
			 const struct fl__const *expr,
			 struct fl_element *element)
{
	struct fl__cursor c = fl__cursor_at(reader->bytes, expr->expr);

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
		.has_offset = elem->offset.known == FL__KNOWN_YES,
		.offset = elem->offset.value,
	};
	fl__sized_write(segment, &filled, sizeof(filled));
	return 0;
}

int fl_module_read_elements(const struct fl_module *module,
			    uint32_t segment_idx, uint32_t first,
			    uint32_t count, struct fl_element *elements)
{
	struct fl__elements walk;

	if (segment_idx >= module->reader.elem_count ||
	    !fl_range_fits(first, count,
			   module->reader.elems[segment_idx].count))
		return -EINVAL;
	fl__elements_begin(&walk, &module->reader,
			   &module->reader.elems[segment_idx], first);
	for (uint32_t i = 0; i < count; i++)
		(void)fl__elements_next(&walk, &elements[i]);
	return 0;
}
