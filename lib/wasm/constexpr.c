/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* constexpr.c - checking and evaluating constant expressions. See constexpr.h. */
#include "constexpr.h"
#include "opcodes.h"

#include <inttypes.h>
#include <stdlib.h>

/* ------------------------------------------------------- the stack of types */

static void stack_push(struct fl__constexpr *x, struct fl__cursor *c,
		       struct fl__valtype type)
{
	if (x->depth == x->capacity) {
		uint32_t capacity = x->capacity ? 2 * x->capacity : 64;
		struct fl__valtype *stack =
			realloc(x->stack, capacity * sizeof(*stack));

		if (!stack) {
			fl__cursor_fail(
				c, -ENOMEM, c->off,
				"no memory to check a constant expression");
			return;
		}
		x->stack = stack;
		x->capacity = capacity;
	}
	x->stack[x->depth++] = type;
}

/* The operands of an instruction: count values of one type, or, with a code of
 * 0, of any. */
static void stack_pop(struct fl__constexpr *x, struct fl__cursor *c,
		      uint64_t off, struct fl__valtype type, uint32_t count)
{
	for (; count && x->depth; count--) {
		struct fl__valtype actual = x->stack[--x->depth];

		if (type.code && !fl__valtype_matches(actual, type))
			fl__cursor_fail(
				c, -ENOEXEC, off,
				"the instruction needs %s as operand, but the constant expression gives %s",
				fl__valtype_name(type),
				fl__valtype_name(actual));
	}
	if (count && !x->is_loose)
		fl__cursor_fail(
			c, -ENOEXEC, off,
			"the instruction finds too few operands in the constant expression");
}

/* -------------------------------------------------------- one instruction */

/* What it takes to evaluate a global besides the instruction that reads it. */
static void count_global(struct fl__constexpr *x, const struct fl__const *init)
{
	if (x->needs < init->needs)
		x->needs = init->needs;
	if (init->known == FL__KNOWN_NO) {
		x->known = FL__KNOWN_NO;
	} else if (init->known == FL__KNOWN_IMPORT) {
		if (x->known == FL__KNOWN_YES)
			x->known = FL__KNOWN_IMPORT;
		if (x->steps <= FL__READER_MAX_STEPS)
			x->steps += init->steps;
		if (x->nesting < init->nesting + 1u)
			x->nesting = init->nesting + 1u;
	}
}

static struct fl__valtype apply_global_get(struct fl__constexpr *x,
					   struct fl__cursor *c,
					   const struct fl__instruction *in)
{
	const struct fl__global *global;

	fl__cursor_check_index(c, in->immediates_off, "index of global.get",
			       in->idx, x->reader->global_count,
			       "globals before it");
	if (c->err)
		return in->op.result;
	global = &x->reader->globals[in->idx];
	if (global->is_mutable)
		fl__cursor_fail(
			c, -ENOEXEC, in->immediates_off,
			"global %" PRIu32
			" is mutable: a constant expression may read immutable ones only",
			in->idx);
	count_global(x, &global->init);
	if (in->idx < x->reader->imported_global_count && x->needs <= in->idx)
		x->needs = in->idx + 1;
	return global->type;
}

static void apply(struct fl__constexpr *x, struct fl__cursor *c,
		  const struct fl__instruction *in)
{
	const struct fl__valtype any_type = { 0 };
	struct fl__valtype result = in->op.result;
	bool is_nullable = !x->depth || x->stack[x->depth - 1].is_nullable;

	stack_pop(x, c, in->off, in->op.operand, in->op.operand_count);
	switch (in->op.code) {
	case FL__OP_GLOBAL_GET:
		result = apply_global_get(x, c, in);
		break;
	case FL__OP_REF_NULL:
		result.heap = in->heap;
		break;
	case FL__OP_REF_FUNC:
		fl__cursor_check_index(c, in->immediates_off,
				       "index of ref.func", in->idx,
				       x->reader->func_count, "functions");
		break;
	case FL__OP_STRUCT_NEW:
		x->depth = 0;
		x->is_loose = true;
		break;
	case FL__OP_ARRAY_NEW:
		stack_pop(x, c, in->off, any_type, 1);
		break;
	case FL__OP_ARRAY_NEW_FIXED:
		stack_pop(x, c, in->off, any_type, in->count);
		break;
	case FL__OP_ANY_CONVERT_EXTERN:
	case FL__OP_EXTERN_CONVERT_ANY:
		result.is_nullable = is_nullable;
		break;
	}
	stack_push(x, c, result);
}

/* -------------------------------------------------------------- evaluation */

/* One stack for an expression and all globals it depends on. */
struct evaluation {
	const struct fl__reader *reader;
	const struct fl__globals *globals;
	uint32_t depth;
	uint64_t stack[FL__READER_MAX_STEPS];
};

static bool evaluate(struct evaluation *e, struct fl__view expr);

static void evaluate_push(struct evaluation *e, struct fl__valtype type,
			  uint64_t value)
{
	fl_assert(e->depth < FL__READER_MAX_STEPS);
	e->stack[e->depth++] = type.code == FL__TYPE_I32 ? (uint32_t)value :
							   value;
}

/* One that waits for imports. What it comes to is kept, if there is room. */
static bool evaluate_deferred(struct evaluation *e, uint32_t idx)
{
	const struct fl__global *global = &e->reader->globals[idx];
	struct fl__made *made = e->globals->made ? &e->globals->made[idx] :
						   NULL;

	if (made && made->is_made) {
		evaluate_push(e, global->type, made->value);
		return true;
	}
	if (!evaluate(e, global->init.expr))
		return false;
	if (made)
		*made = (struct fl__made){ e->stack[e->depth - 1], true };
	return true;
}

static bool evaluate_global(struct evaluation *e, uint32_t idx)
{
	const struct fl__global *global = &e->reader->globals[idx];

	if (global->init.known == FL__KNOWN_NO)
		return false;
	if (global->init.known == FL__KNOWN_YES)
		evaluate_push(e, global->type, global->init.value);
	else if (idx >= e->reader->imported_global_count)
		return evaluate_deferred(e, idx);
	else
		evaluate_push(e, global->type, e->globals->values[idx]);
	return true;
}

static void evaluate_binary(struct evaluation *e, const struct fl__opcode *op)
{
	uint64_t right = e->stack[--e->depth];
	uint64_t left = e->stack[--e->depth];

	switch (op->code) {
	case FL__OP_I32_ADD:
	case FL__OP_I64_ADD:
		left += right;
		break;
	case FL__OP_I32_SUB:
	case FL__OP_I64_SUB:
		left -= right;
		break;
	default:
		left *= right;
		break;
	}
	evaluate_push(e, op->result, left);
}

/* The expression was read and found to be of integers alone, in no more steps
 * than the stack has room for. It leaves one value. */
static bool evaluate(struct evaluation *e, struct fl__view expr)
{
	struct fl__cursor c = fl__cursor_at(e->reader->bytes, expr);
	struct fl__instruction in;

	while (fl__instruction_read(&c, &in)) {
		if (in.op.operand_count)
			evaluate_binary(e, &in.op);
		else if (in.op.code != FL__OP_GLOBAL_GET)
			evaluate_push(e, in.op.result, (uint64_t)in.value);
		else if (!evaluate_global(e, in.idx))
			return false;
	}
	return !c.err;
}

bool fl__reader_eval(const struct fl__reader *reader,
		     const struct fl__const *expr,
		     const struct fl__globals *globals, uint64_t *value)
{
	struct evaluation e;

	if (expr->known == FL__KNOWN_YES) {
		*value = expr->value;
		return true;
	}
	if (expr->known == FL__KNOWN_NO || !expr->expr.len)
		return false;
	if (expr->needs && (!globals->values || expr->needs > globals->count))
		return false;
	e.reader = reader;
	e.globals = globals;
	e.depth = 0;
	if (!evaluate(&e, expr->expr))
		return false;
	*value = e.stack[0];
	return true;
}

/* -------------------------------------------------------- one expression */

static void conclude(const struct fl__constexpr *x, struct fl__valtype type,
		     struct fl__const *out)
{
	const struct fl__globals none = { NULL, 0, NULL };

	out->needs = x->needs;
	if (!fl__valtype_is_integer(type) || x->steps > FL__READER_MAX_STEPS ||
	    x->nesting > FL__READER_MAX_NESTING)
		return;
	out->known = x->known;
	if (x->known != FL__KNOWN_YES)
		return;
	/* Evaluated as one that depends on globals: none is missing. */
	out->known = FL__KNOWN_IMPORT;
	if (fl__reader_eval(x->reader, out, &none, &out->value))
		out->known = FL__KNOWN_YES;
}

struct fl__const fl__constexpr_read(struct fl__constexpr *x,
				    struct fl__cursor *c,
				    struct fl__valtype expected)
{
	struct fl__const out = { .expr.off = c->off };
	struct fl__instruction in;

	x->depth = x->steps = x->nesting = x->needs = 0;
	x->is_loose = false;
	x->known = FL__KNOWN_YES;
	while (fl__instruction_read(c, &in)) {
		/* Far past the limit is as good as just past it. */
		if (x->steps <= FL__READER_MAX_STEPS)
			x->steps++;
		apply(x, c, &in);
	}
	if (c->err)
		return out;
	if (x->depth != 1)
		fl__cursor_fail(c, -ENOEXEC, out.expr.off,
				"the constant expression leaves %" PRIu32
				" values on the stack, expected one",
				x->depth);
	else if (!fl__valtype_matches(x->stack[0], expected))
		fl__cursor_fail(c, -ENOEXEC, out.expr.off,
				"the constant expression gives %s, expected %s",
				fl__valtype_name(x->stack[0]),
				fl__valtype_name(expected));
	if (c->err)
		return out;
	out.expr.len = c->off - out.expr.off;
	out.steps = (uint16_t)x->steps;
	out.nesting = (uint16_t)x->nesting;
	conclude(x, expected, &out);
	return out;
}
