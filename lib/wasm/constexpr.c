/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* constexpr.c - value types and constant expressions. See constexpr.h. */
#include "constexpr.h"

#include <inttypes.h>
#include <stdlib.h>

/* Opcodes that a constant expression may hold. */
enum {
	OP_END = 0x0b,
	OP_GLOBAL_GET = 0x23,
	OP_I32_CONST = 0x41,
	OP_I64_CONST = 0x42,
	OP_F32_CONST = 0x43,
	OP_F64_CONST = 0x44,
	OP_I32_ADD = 0x6a,
	OP_I32_SUB = 0x6b,
	OP_I32_MUL = 0x6c,
	OP_I64_ADD = 0x7c,
	OP_I64_SUB = 0x7d,
	OP_I64_MUL = 0x7e,
	OP_REF_NULL = 0xd0,
	OP_REF_FUNC = 0xd2,
	OP_PREFIX_GC = 0xfb,
	OP_PREFIX_SIMD = 0xfd,
};

enum {
	GC_STRUCT_NEW = 0,
	GC_STRUCT_NEW_DEFAULT = 1,
	GC_ARRAY_NEW = 6,
	GC_ARRAY_NEW_DEFAULT = 7,
	GC_ARRAY_NEW_FIXED = 8,
	GC_ANY_CONVERT_EXTERN = 26,
	GC_EXTERN_CONVERT_ANY = 27,
	GC_REF_I31 = 28,
	SIMD_V128_CONST = 12,
};

static const struct fl__valtype type_i32 = { .code = FL__TYPE_I32 };
static const struct fl__valtype type_i64 = { .code = FL__TYPE_I64 };
static const struct fl__valtype type_f32 = { .code = FL__TYPE_F32 };
static const struct fl__valtype type_f64 = { .code = FL__TYPE_F64 };
static const struct fl__valtype type_v128 = { .code = FL__TYPE_V128 };

static struct fl__valtype type_ref(enum fl__heap heap, bool is_nullable)
{
	return (struct fl__valtype){ .code = FL__TYPE_REF,
				     .heap = (uint8_t)heap,
				     .is_nullable = is_nullable };
}

/* ------------------------------------------------------------------- types */

/* Types that are valid somewhere, but not known here. */
static const char *type_proposal(uint8_t byte)
{
	switch (byte) {
	case 0x62:
		return "custom-descriptors";
	case 0x65:
		return "shared-everything-threads";
	case 0x67:
		return "stringref";
	case 0x68:
	case 0x75:
		return "stack-switching";
	}
	return NULL;
}

static int type_unknown(const struct fl__cursor *c, const char *what,
			uint8_t byte, uint64_t off)
{
	const char *proposal = type_proposal(byte);

	if (proposal)
		return fl__cursor_fail(
			c, -ENOTSUP, off,
			"the %s is of the %s proposal, which Faultline does not support",
			what, proposal);
	return fl__cursor_fail(
		c, -ENOEXEC, off,
		"the %s is 0x%02x, which is no type that may stand here", what,
		byte);
}

static bool heap_is_abstract(uint8_t byte)
{
	return byte >= FL__HEAP_EXN && byte <= FL__HEAP_NOEXN;
}

/* A single byte for an abstract type, or a type index of 33 signed bits. */
static int type_read_heap(struct fl__cursor *c, const char *what, uint8_t *heap)
{
	uint64_t start_off = c->off;
	int64_t idx;
	int err;

	if (fl__cursor_left(c) && (c->bytes[c->off] & 0xc0) == 0x40) {
		uint8_t byte = c->bytes[c->off++];

		if (!heap_is_abstract(byte))
			return type_unknown(c, what, byte, start_off);
		*heap = byte;
		return 0;
	}
	err = fl__cursor_signed(c, what, 33, &idx);
	if (err)
		return err;
	if (idx < 0)
		return fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the %s is neither a heap type nor a type index", what);
	*heap = FL__HEAP_DEFINED;
	return 0;
}

int fl__constexpr_valtype(struct fl__cursor *c, const char *what,
			  struct fl__valtype *type)
{
	uint64_t start_off = c->off;
	uint8_t byte;
	int err = fl__cursor_u8(c, what, &byte);

	if (err)
		return err;
	*type = (struct fl__valtype){ .code = byte };
	if (byte >= FL__TYPE_V128 && byte <= FL__TYPE_I32)
		return 0;
	if (heap_is_abstract(byte)) {
		*type = type_ref(byte, true);
		return 0;
	}
	if (byte == 0x63 || byte == 0x64) {
		*type = type_ref(FL__HEAP_DEFINED, byte == 0x63);
		return type_read_heap(c, what, &type->heap);
	}
	return type_unknown(c, what, byte, start_off);
}

int fl__constexpr_reftype(struct fl__cursor *c, const char *what,
			  struct fl__valtype *type)
{
	uint64_t start_off = c->off;
	int err = fl__constexpr_valtype(c, what, type);

	if (err)
		return err;
	if (type->code != FL__TYPE_REF)
		return fl__cursor_fail(c, -ENOEXEC, start_off,
				       "the %s must be a reference type", what);
	return 0;
}

static bool heap_is_defined(uint8_t heap)
{
	return heap <= FL__HEAP_DEFINED_ARRAY;
}

/* The abstract type `expected` above a type of another kind. */
static bool heap_is_below(uint8_t actual, uint8_t expected)
{
	switch (expected) {
	case FL__HEAP_ANY:
		return actual == FL__HEAP_EQ ||
		       heap_is_below(actual, FL__HEAP_EQ);
	case FL__HEAP_EQ:
		return actual == FL__HEAP_I31 || actual == FL__HEAP_STRUCT ||
		       actual == FL__HEAP_ARRAY || actual == FL__HEAP_NONE ||
		       (heap_is_defined(actual) &&
			actual != FL__HEAP_DEFINED_FUNC);
	case FL__HEAP_I31:
		return actual == FL__HEAP_NONE;
	case FL__HEAP_STRUCT:
		return actual == FL__HEAP_NONE || actual == FL__HEAP_DEFINED ||
		       actual == FL__HEAP_DEFINED_STRUCT;
	case FL__HEAP_ARRAY:
		return actual == FL__HEAP_NONE || actual == FL__HEAP_DEFINED ||
		       actual == FL__HEAP_DEFINED_ARRAY;
	case FL__HEAP_FUNC:
		return actual == FL__HEAP_NOFUNC ||
		       actual == FL__HEAP_DEFINED ||
		       actual == FL__HEAP_DEFINED_FUNC;
	case FL__HEAP_EXTERN:
		return actual == FL__HEAP_NOEXTERN;
	case FL__HEAP_EXN:
		return actual == FL__HEAP_NOEXN;
	}
	return false;
}

bool fl__constexpr_matches(struct fl__valtype actual,
			   struct fl__valtype expected)
{
	if (actual.code != expected.code)
		return false;
	if (actual.code != FL__TYPE_REF)
		return true;
	if (actual.is_nullable && !expected.is_nullable)
		return false;
	if (actual.heap == expected.heap)
		return true;
	if (heap_is_defined(expected.heap))
		return heap_is_defined(actual.heap) ||
		       actual.heap == FL__HEAP_NONE ||
		       actual.heap == FL__HEAP_NOFUNC;
	return heap_is_below(actual.heap, expected.heap);
}

static const char *type_name(struct fl__valtype type)
{
	switch (type.code) {
	case FL__TYPE_I32:
		return "i32";
	case FL__TYPE_I64:
		return "i64";
	case FL__TYPE_F32:
		return "f32";
	case FL__TYPE_F64:
		return "f64";
	case FL__TYPE_V128:
		return "v128";
	}
	switch (type.heap) {
	case FL__HEAP_FUNC:
		return type.is_nullable ? "funcref" : "(ref func)";
	case FL__HEAP_EXTERN:
		return type.is_nullable ? "externref" : "(ref extern)";
	}
	return type.is_nullable ? "a reference that may be null" :
				  "a reference that is not null";
}

/* ------------------------------------------------------- the stack of types */

static int stack_push(struct fl__constexpr *x, const struct fl__cursor *c,
		      struct fl__valtype type)
{
	if (x->depth == x->capacity) {
		uint32_t capacity = x->capacity ? 2 * x->capacity : 64;
		struct fl__valtype *stack =
			realloc(x->stack, capacity * sizeof(*stack));

		if (!stack)
			return fl__cursor_fail(
				c, -ENOMEM, c->off,
				"no memory to check a constant expression");
		x->stack = stack;
		x->capacity = capacity;
	}
	x->stack[x->depth++] = type;
	return 0;
}

/* The operands of the instruction at off: count values of one type, or, with
 * a code of 0, of any. */
static int stack_pop(struct fl__constexpr *x, const struct fl__cursor *c,
		     uint64_t off, struct fl__valtype type, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (!x->depth) {
			if (x->is_loose)
				return 0;
			return fl__cursor_fail(
				c, -ENOEXEC, off,
				"the instruction finds too few operands in the constant expression");
		}
		x->depth--;
		if (type.code &&
		    !fl__constexpr_matches(x->stack[x->depth], type))
			return fl__cursor_fail(
				c, -ENOEXEC, off,
				"the instruction needs %s as operand, but the constant expression gives %s",
				type_name(type), type_name(x->stack[x->depth]));
	}
	return 0;
}

/* -------------------------------------------------------- one instruction */

/* What it takes to evaluate a global besides the instruction that reads it. */
static void count_global(struct fl__constexpr *x, const struct fl__const *init)
{
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

static int read_global_get(struct fl__constexpr *x, struct fl__cursor *c)
{
	const struct fl__global *global;
	uint64_t start_off = c->off;
	uint32_t idx;
	int err = fl__cursor_index(c, "index of global.get",
				   x->reader->global_count, "globals before it",
				   &idx);

	if (err)
		return err;
	global = &x->reader->globals[idx];
	if (global->is_mutable)
		return fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"global %" PRIu32
			" is mutable: a constant expression may read immutable ones only",
			idx);
	count_global(x, &global->init);
	return stack_push(x, c, global->type);
}

static int read_ref_null(struct fl__constexpr *x, struct fl__cursor *c)
{
	uint8_t heap;
	int err = type_read_heap(c, "type of ref.null", &heap);

	return err ? err : stack_push(x, c, type_ref(heap, true));
}

static int read_ref_func(struct fl__constexpr *x, struct fl__cursor *c)
{
	uint32_t idx;
	int err = fl__cursor_index(c, "index of ref.func",
				   x->reader->func_count, "functions", &idx);

	return err ? err :
		     stack_push(x, c, type_ref(FL__HEAP_DEFINED_FUNC, false));
}

static int read_const(struct fl__constexpr *x, struct fl__cursor *c,
		      struct fl__valtype type, unsigned bits)
{
	int64_t value;
	int err = fl__cursor_signed(c, "constant", bits, &value);

	return err ? err : stack_push(x, c, type);
}

static int read_raw(struct fl__constexpr *x, struct fl__cursor *c,
		    struct fl__valtype type, uint32_t len)
{
	int err = fl__cursor_skip(c, "constant", len, NULL);

	return err ? err : stack_push(x, c, type);
}

static int read_binary(struct fl__constexpr *x, struct fl__cursor *c,
		       uint64_t off, struct fl__valtype type)
{
	int err = stack_pop(x, c, off, type, 2);

	return err ? err : stack_push(x, c, type);
}

static int read_simd(struct fl__constexpr *x, struct fl__cursor *c,
		     uint64_t off)
{
	uint32_t op;
	int err = fl__cursor_u32(c, "opcode", &op);

	if (err)
		return err;
	if (op != SIMD_V128_CONST)
		return fl__cursor_fail(
			c, -ENOEXEC, off,
			"instruction 0xfd %" PRIu32
			" is not allowed in a constant expression",
			op);
	return read_raw(x, c, type_v128, 16);
}

/* The instructions that name a type and make an object of it. */
static int read_new(struct fl__constexpr *x, struct fl__cursor *c, uint64_t off,
		    uint32_t op)
{
	bool is_struct = op == GC_STRUCT_NEW || op == GC_STRUCT_NEW_DEFAULT;
	struct fl__valtype any_type = { 0 };
	uint32_t type_idx, count = 0;
	int err = fl__cursor_u32(c, "type index", &type_idx);

	if (!err && op == GC_ARRAY_NEW_FIXED)
		err = fl__cursor_u32(c, "number of elements", &count);
	if (!err && (op == GC_ARRAY_NEW || op == GC_ARRAY_NEW_DEFAULT))
		err = stack_pop(x, c, off, type_i32, 1);
	if (!err && op == GC_ARRAY_NEW)
		count = 1;
	if (!err)
		err = stack_pop(x, c, off, any_type, count);
	if (err)
		return err;
	if (op == GC_STRUCT_NEW) {
		x->depth = 0;
		x->is_loose = true;
	}
	return stack_push(x, c,
			  type_ref(is_struct ? FL__HEAP_DEFINED_STRUCT :
					       FL__HEAP_DEFINED_ARRAY,
				   false));
}

/* Conversions keep whether a reference may be null. */
static int read_convert(struct fl__constexpr *x, struct fl__cursor *c,
			uint64_t off, enum fl__heap from, enum fl__heap to)
{
	bool is_nullable = !x->depth || x->stack[x->depth - 1].is_nullable;
	int err = stack_pop(x, c, off, type_ref(from, true), 1);

	return err ? err : stack_push(x, c, type_ref(to, is_nullable));
}

static int read_gc(struct fl__constexpr *x, struct fl__cursor *c, uint64_t off)
{
	uint32_t op;
	int err = fl__cursor_u32(c, "opcode", &op);

	if (err)
		return err;
	switch (op) {
	case GC_STRUCT_NEW:
	case GC_STRUCT_NEW_DEFAULT:
	case GC_ARRAY_NEW:
	case GC_ARRAY_NEW_DEFAULT:
	case GC_ARRAY_NEW_FIXED:
		return read_new(x, c, off, op);
	case GC_ANY_CONVERT_EXTERN:
		return read_convert(x, c, off, FL__HEAP_EXTERN, FL__HEAP_ANY);
	case GC_EXTERN_CONVERT_ANY:
		return read_convert(x, c, off, FL__HEAP_ANY, FL__HEAP_EXTERN);
	case GC_REF_I31:
		err = stack_pop(x, c, off, type_i32, 1);
		return err ? err :
			     stack_push(x, c, type_ref(FL__HEAP_I31, false));
	}
	return fl__cursor_fail(c, -ENOEXEC, off,
			       "instruction 0xfb %" PRIu32
			       " is not allowed in a constant expression",
			       op);
}

static int read_instruction(struct fl__constexpr *x, struct fl__cursor *c,
			    uint8_t op)
{
	uint64_t off = c->off - 1;

	switch (op) {
	case OP_I32_CONST:
		return read_const(x, c, type_i32, 32);
	case OP_I64_CONST:
		return read_const(x, c, type_i64, 64);
	case OP_F32_CONST:
		return read_raw(x, c, type_f32, 4);
	case OP_F64_CONST:
		return read_raw(x, c, type_f64, 8);
	case OP_GLOBAL_GET:
		return read_global_get(x, c);
	case OP_I32_ADD:
	case OP_I32_SUB:
	case OP_I32_MUL:
		return read_binary(x, c, off, type_i32);
	case OP_I64_ADD:
	case OP_I64_SUB:
	case OP_I64_MUL:
		return read_binary(x, c, off, type_i64);
	case OP_REF_NULL:
		return read_ref_null(x, c);
	case OP_REF_FUNC:
		return read_ref_func(x, c);
	case OP_PREFIX_GC:
		return read_gc(x, c, off);
	case OP_PREFIX_SIMD:
		return read_simd(x, c, off);
	}
	return fl__cursor_fail(
		c, -ENOEXEC, off,
		"instruction 0x%02x is not allowed in a constant expression",
		op);
}

/* -------------------------------------------------------------- evaluation */

/* One stack for an expression and all globals it depends on. */
struct evaluation {
	const struct fl__reader *reader;
	const uint64_t *values;
	uint32_t value_count;
	uint32_t depth;
	uint64_t stack[FL__READER_MAX_STEPS];
};

static bool evaluate(struct evaluation *e, struct fl__view expr);

static bool evaluate_global(struct evaluation *e, uint32_t idx)
{
	const struct fl__global *global = &e->reader->globals[idx];
	uint64_t value;

	if (global->init.known == FL__KNOWN_YES) {
		value = global->init.value;
	} else if (global->init.known != FL__KNOWN_IMPORT) {
		return false;
	} else if (!global->is_imported) {
		return evaluate(e, global->init.expr);
	} else {
		if (idx >= e->value_count)
			return false;
		value = e->values[idx];
	}
	if (global->type.code == FL__TYPE_I32)
		value = (uint32_t)value;
	e->stack[e->depth++] = value;
	return true;
}

static void evaluate_binary(struct evaluation *e, uint8_t op)
{
	uint64_t right = e->stack[--e->depth];
	uint64_t left = e->stack[e->depth - 1];

	switch (op) {
	case OP_I32_ADD:
		left = (uint32_t)(left + right);
		break;
	case OP_I32_SUB:
		left = (uint32_t)(left - right);
		break;
	case OP_I32_MUL:
		left = (uint32_t)(left * right);
		break;
	case OP_I64_ADD:
		left += right;
		break;
	case OP_I64_SUB:
		left -= right;
		break;
	case OP_I64_MUL:
		left *= right;
		break;
	}
	e->stack[e->depth - 1] = left;
}

/* The expression was read and found to be of integers alone, in no more steps
 * than the stack has room for. It leaves one value. */
static bool evaluate(struct evaluation *e, struct fl__view expr)
{
	struct fl__cursor c = { .bytes = e->reader->bytes,
				.off = expr.off,
				.end = expr.off + expr.len };
	uint8_t op = OP_END;
	int64_t value;
	uint32_t idx;

	while (!fl__cursor_u8(&c, "", &op) && op != OP_END) {
		fl_assert(e->depth < FL__READER_MAX_STEPS);
		if (op == OP_GLOBAL_GET) {
			if (fl__cursor_u32(&c, "", &idx) ||
			    !evaluate_global(e, idx))
				return false;
		} else if (op == OP_I32_CONST || op == OP_I64_CONST) {
			if (fl__cursor_signed(&c, "",
					      op == OP_I32_CONST ? 32 : 64,
					      &value))
				return false;
			e->stack[e->depth++] = op == OP_I32_CONST ?
						       (uint32_t)value :
						       (uint64_t)value;
		} else {
			evaluate_binary(e, op);
		}
	}
	return true;
}

bool fl__reader_eval(const struct fl__reader *reader,
		     const struct fl__const *expr, const uint64_t *values,
		     uint32_t value_count, uint64_t *value)
{
	struct evaluation e;

	if (expr->known == FL__KNOWN_YES) {
		*value = expr->value;
		return true;
	}
	if (expr->known == FL__KNOWN_NO || !expr->expr.len)
		return false;
	e.reader = reader;
	e.values = values;
	e.value_count = value_count;
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
	bool is_integer = type.code == FL__TYPE_I32 ||
			  type.code == FL__TYPE_I64;
	uint64_t value;

	out->known = FL__KNOWN_NO;
	out->steps = (uint16_t)x->steps;
	out->nesting = (uint16_t)x->nesting;
	out->value = 0;
	if (!is_integer || x->steps > FL__READER_MAX_STEPS ||
	    x->nesting > FL__READER_MAX_NESTING)
		return;
	out->known = x->known;
	if (x->known != FL__KNOWN_YES)
		return;
	/* Evaluated as one that depends on globals: none is missing. */
	out->known = FL__KNOWN_IMPORT;
	if (fl__reader_eval(x->reader, out, NULL, 0, &value)) {
		out->known = FL__KNOWN_YES;
		out->value = value;
	}
}

int fl__constexpr_read(struct fl__constexpr *x, struct fl__cursor *c,
		       struct fl__valtype expected, struct fl__const *out)
{
	uint64_t start_off = c->off;
	uint8_t op;
	int err;

	x->depth = 0;
	x->steps = 0;
	x->nesting = 0;
	x->is_loose = false;
	x->known = FL__KNOWN_YES;
	for (;;) {
		err = fl__cursor_u8(c, "constant expression", &op);
		if (err)
			return err;
		if (op == OP_END)
			break;
		/* Far past the limit is as good as just past it. */
		if (x->steps <= FL__READER_MAX_STEPS)
			x->steps++;
		err = read_instruction(x, c, op);
		if (err)
			return err;
	}
	if (x->depth != 1)
		return fl__cursor_fail(c, -ENOEXEC, start_off,
				       "the constant expression leaves %" PRIu32
				       " values on the stack, expected one",
				       x->depth);
	if (!fl__constexpr_matches(x->stack[0], expected))
		return fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the constant expression gives %s, expected %s",
			type_name(x->stack[0]), type_name(expected));
	out->expr = (struct fl__view){ .off = start_off,
				       .len = c->off - start_off };
	conclude(x, expected, out);
	return 0;
}

void fl__constexpr_fini(struct fl__constexpr *x)
{
	free(x->stack);
	x->stack = NULL;
	x->capacity = 0;
}
