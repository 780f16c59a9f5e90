/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* survey.c - functions, exports and marks of a module. See survey.h. */
#include "survey.h"
#include "opcodes.h"

#include <stdlib.h>

/* The kind of an export that is a function. */
#define KIND_FUNC 0

static size_t marks_bytes(const struct fl__reader *r)
{
	return (size_t)r->table_count + r->global_count + r->func_count +
	       r->elem_count + r->data_count;
}

static int allocate(const struct fl__reader *r, struct fl__survey *s)
{
	uint8_t *marks = calloc(marks_bytes(r) + 1, 1);

	s->marks.tables = marks;
	s->functions = calloc(r->func_count + (size_t)1, sizeof(*s->functions));
	s->export_names =
		calloc(r->export_count + (size_t)1, sizeof(*s->export_names));
	if (!marks || !s->functions || !s->export_names)
		return -ENOMEM;
	s->marks.globals = s->marks.tables + r->table_count;
	s->marks.functions = s->marks.globals + r->global_count;
	s->marks.elems = s->marks.functions + r->func_count;
	s->marks.data = s->marks.elems + r->elem_count;
	return 0;
}

/* The reader has checked what is read below: no cursor fails. */

static void read_types(const struct fl__reader *r, struct fl__survey *s)
{
	struct fl__cursor c = fl__cursor_at(r->bytes, r->functions);

	for (uint32_t i = 0; i < r->imported_func_count; i++)
		s->functions[i].type_idx = r->func_imports[i].type_idx;
	for (uint32_t i = r->imported_func_count; i < r->func_count; i++)
		s->functions[i].type_idx = fl__cursor_u32(&c, "");
}

static void read_exports(const struct fl__reader *r, struct fl__survey *s)
{
	struct fl__cursor c = fl__cursor_at(r->bytes, r->exports);

	for (uint32_t i = 0; i < r->export_count; i++) {
		uint32_t len = fl__cursor_u32(&c, "");
		struct fl__view name = fl__cursor_skip(&c, "", len);
		uint8_t kind = fl__cursor_u8(&c, "");
		uint32_t idx = fl__cursor_u32(&c, "");

		s->export_names[i] = name;
		if (kind == KIND_FUNC && !s->functions[idx].export_number)
			s->functions[idx].export_number = i + 1;
	}
}

/* The references that one constant expression makes. */
static void read_expr(struct fl__survey *s, struct fl__cursor *c)
{
	struct fl__instruction in;

	while (fl__instruction_read(c, &in)) {
		if (in.op.code == FL__OP_REF_FUNC)
			s->marks.functions[in.idx] |= FL__CODE_USES;
	}
}

static void read_init(const struct fl__reader *r, struct fl__survey *s,
		      const struct fl__const *init)
{
	struct fl__cursor c = fl__cursor_at(r->bytes, init->expr);

	if (init->expr.len)
		read_expr(s, &c);
}

static void read_elem(const struct fl__reader *r, struct fl__survey *s,
		      const struct fl__elem *elem)
{
	struct fl__cursor c = fl__cursor_at(r->bytes, elem->items);

	for (uint32_t i = 0; i < elem->count; i++) {
		if (elem->is_expressions)
			read_expr(s, &c);
		else
			s->marks.functions[fl__cursor_u32(&c, "")] |=
				FL__CODE_USES;
	}
}

static void read_references(const struct fl__reader *r, struct fl__survey *s)
{
	for (uint32_t i = 0; i < r->table_count; i++)
		read_init(r, s, &r->tables[i].init);
	for (uint32_t i = 0; i < r->global_count; i++)
		read_init(r, s, &r->globals[i].init);
	for (uint32_t i = 0; i < r->elem_count; i++) {
		if (r->elems[i].mode != FL__SEGMENT_DECLARED)
			read_elem(r, s, &r->elems[i]);
	}
}

int fl__survey_make(const struct fl__reader *reader, struct fl__survey **out)
{
	struct fl__survey *survey = calloc(1, sizeof(*survey));

	if (!survey)
		return -ENOMEM;
	if (allocate(reader, survey)) {
		fl__survey_free(survey);
		return -ENOMEM;
	}
	read_types(reader, survey);
	read_exports(reader, survey);
	read_references(reader, survey);
	survey->is_code_known = !fl__code_walk(reader, &survey->marks, NULL);
	if (!survey->is_code_known)
		memset(survey->marks.tables, FL__CODE_ALL, marks_bytes(reader));
	*out = survey;
	return 0;
}

void fl__survey_free(struct fl__survey *survey)
{
	if (!survey)
		return;
	free(survey->marks.tables);
	free(survey->functions);
	free(survey->export_names);
	free(survey);
}
