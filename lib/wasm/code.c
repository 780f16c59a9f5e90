/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* code.c - a walk through function bodies. See code.h. */
#include "code.h"
#include "opcodes.h"

struct walk {
	struct fl__cursor cursor;
	const struct fl__reader *reader;
	const struct fl__code_marks *marks;
	struct fl__opcode_rows rows;
};

static void mark(struct walk *w, uint8_t *marks, uint32_t idx, uint32_t count,
		 const char *of, uint8_t bits)
{
	fl__cursor_check_index(&w->cursor, w->cursor.off, "index", idx, count,
			       of);
	if (!w->cursor.err)
		marks[idx] |= bits;
}

static void mark_table(struct walk *w, uint32_t idx)
{
	mark(w, w->marks->tables, idx, w->reader->table_count, "tables",
	     FL__CODE_CHANGES);
}

static void mark_elem(struct walk *w, uint32_t idx, uint8_t bits)
{
	mark(w, w->marks->elems, idx, w->reader->elem_count, "element segments",
	     bits);
}

static void mark_data(struct walk *w, uint32_t idx, uint8_t bits)
{
	mark(w, w->marks->data, idx, w->reader->data_count, "data segments",
	     bits);
}

static void apply_to_segment(struct walk *w, const struct fl__step *step)
{
	switch (step->code) {
	case FL__OP_TABLE_INIT:
		mark_table(w, step->second);
		mark_elem(w, step->idx, FL__CODE_USES);
		break;
	case FL__OP_ELEM_DROP:
		mark_elem(w, step->idx, FL__CODE_DROPS);
		break;
	case FL__OP_ARRAY_NEW_ELEM:
	case FL__OP_ARRAY_INIT_ELEM:
		mark_elem(w, step->second, FL__CODE_USES);
		break;
	case FL__OP_MEMORY_INIT:
		mark_data(w, step->idx, FL__CODE_USES);
		break;
	case FL__OP_DATA_DROP:
		mark_data(w, step->idx, FL__CODE_DROPS);
		break;
	case FL__OP_ARRAY_NEW_DATA:
	case FL__OP_ARRAY_INIT_DATA:
		mark_data(w, step->second, FL__CODE_USES);
		break;
	}
}

static void apply(struct walk *w, const struct fl__step *step)
{
	switch (step->code) {
	case FL__OP_GLOBAL_SET:
		mark(w, w->marks->globals, step->idx, w->reader->global_count,
		     "globals", FL__CODE_CHANGES);
		break;
	case FL__OP_REF_FUNC:
		mark(w, w->marks->functions, step->idx, w->reader->func_count,
		     "functions", FL__CODE_USES);
		break;
	case FL__OP_TABLE_SET:
	case FL__OP_TABLE_GROW:
	case FL__OP_TABLE_FILL:
	case FL__OP_TABLE_COPY: /* the target comes first */
		mark_table(w, step->idx);
		break;
	default:
		apply_to_segment(w, step);
		break;
	}
}

/* The cursor's window is the body. The last instruction is the `end` of the
 * body; of more than one `end`, nothing is lost by not counting them. */
static void walk_body(struct walk *w)
{
	struct fl__cursor *c = &w->cursor;
	struct fl__step step = { 0 };
	uint32_t groups = fl__cursor_count(c, "count of locals", 2, UINT32_MAX);

	for (; !c->err && groups; groups--) {
		fl__cursor_u32(c, "number of locals");
		fl__valtype_read(c, "type of the locals");
	}
	do {
		if (fl__step_read(c, &w->rows, &step))
			apply(w, &step);
	} while (!c->err && c->off < c->end);
	if (step.code != FL__OP_END)
		fl__cursor_fail(c, -ENOEXEC, c->off,
				"the function body does not end with `end`");
}

int fl__code_walk(const struct fl__reader *reader,
		  const struct fl__code_marks *marks, struct fl_error *error)
{
	struct walk w = { .reader = reader, .marks = marks };
	struct fl__cursor *c = &w.cursor;
	uint32_t count = reader->func_count - reader->imported_func_count;
	uint64_t end = reader->bodies.off + reader->bodies.len;

	*c = fl__cursor_at(reader->bytes, reader->bodies);
	c->error = error;
	c->scope = "function body";
	c->item = "function body";
	fl__opcode_rows_init(&w.rows);
	for (; !c->err && c->item_idx < count; c->item_idx++) {
		uint32_t size = fl__cursor_u32(c, "size");

		fl_assert(size <= end - c->off);
		c->end = c->off + size;
		walk_body(&w);
		if (!c->err)
			c->end = end;
	}
	return c->err;
}
