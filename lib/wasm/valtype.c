/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* valtype.c - value types. See valtype.h. */
#include "valtype.h"

/* Before a heap type: a reference that may be null, one that may not. */
enum {
	PREFIX_REF_NULL = 0x63,
	PREFIX_REF = 0x64,
};

/* Types that are valid somewhere, but not known here. */
static const struct {
	uint8_t byte;
	const char *proposal;
} proposals[] = {
	{ 0x62, "custom-descriptors" }, { 0x65, "shared-everything-threads" },
	{ 0x67, "stringref" },		{ 0x68, "stack-switching" },
	{ 0x75, "stack-switching" },
};

static void fail_unknown(struct fl__cursor *c, const char *what, uint8_t byte,
			 uint64_t off)
{
	for (size_t i = 0; i < FL_ARRAY_SIZE(proposals); i++) {
		if (proposals[i].byte == byte)
			fl__cursor_fail(
				c, -ENOTSUP, off,
				"the %s is of the %s proposal, which Faultline does not support",
				what, proposals[i].proposal);
	}
	fl__cursor_fail(
		c, -ENOEXEC, off,
		"the %s is 0x%02x, which is no type that may stand here", what,
		byte);
}

static bool heap_is_abstract(uint8_t byte)
{
	return byte >= FL__HEAP_EXN && byte <= FL__HEAP_NOEXN;
}

/* A single byte for an abstract type, or a type index of 33 signed bits. */
uint8_t fl__valtype_read_heap(struct fl__cursor *c, const char *what)
{
	uint64_t start_off = c->off;
	uint8_t byte = fl__cursor_peek(c);

	if ((byte & 0xc0) == 0x40) {
		c->off++;
		if (!heap_is_abstract(byte))
			fail_unknown(c, what, byte, start_off);
		return byte;
	}
	if (fl__cursor_signed(c, what, 33) < 0)
		fl__cursor_fail(
			c, -ENOEXEC, start_off,
			"the %s is neither a heap type nor a type index", what);
	return FL__HEAP_DEFINED;
}

struct fl__valtype fl__valtype_read(struct fl__cursor *c, const char *what)
{
	uint64_t start_off = c->off;
	uint8_t byte = fl__cursor_u8(c, what);
	struct fl__valtype type = { .code = byte };

	if (byte >= FL__TYPE_V128 && byte <= FL__TYPE_I32)
		return type;
	type.code = FL__TYPE_REF;
	type.is_nullable = byte != PREFIX_REF;
	if (heap_is_abstract(byte))
		type.heap = byte;
	else if (byte == PREFIX_REF_NULL || byte == PREFIX_REF)
		type.heap = fl__valtype_read_heap(c, what);
	else
		fail_unknown(c, what, byte, start_off);
	return type;
}

struct fl__valtype fl__valtype_read_ref(struct fl__cursor *c, const char *what)
{
	uint64_t start_off = c->off;
	struct fl__valtype type = fl__valtype_read(c, what);

	if (type.code != FL__TYPE_REF)
		fl__cursor_fail(c, -ENOEXEC, start_off,
				"the %s must be a reference type", what);
	return type;
}

/* Heap types and what lies directly above them. */
static const uint8_t heap_parents[][2] = {
	{ FL__HEAP_EQ, FL__HEAP_ANY },
	{ FL__HEAP_I31, FL__HEAP_EQ },
	{ FL__HEAP_STRUCT, FL__HEAP_EQ },
	{ FL__HEAP_ARRAY, FL__HEAP_EQ },
	{ FL__HEAP_NONE, FL__HEAP_I31 },
	{ FL__HEAP_NONE, FL__HEAP_STRUCT },
	{ FL__HEAP_NONE, FL__HEAP_ARRAY },
	{ FL__HEAP_NOFUNC, FL__HEAP_FUNC },
	{ FL__HEAP_NOEXTERN, FL__HEAP_EXTERN },
	{ FL__HEAP_NOEXN, FL__HEAP_EXN },
	{ FL__HEAP_DEFINED, FL__HEAP_STRUCT },
	{ FL__HEAP_DEFINED, FL__HEAP_ARRAY },
	{ FL__HEAP_DEFINED, FL__HEAP_FUNC },
	{ FL__HEAP_DEFINED_STRUCT, FL__HEAP_STRUCT },
	{ FL__HEAP_DEFINED_ARRAY, FL__HEAP_ARRAY },
	{ FL__HEAP_DEFINED_FUNC, FL__HEAP_FUNC },
};

static bool heap_is_below(uint8_t actual, uint8_t expected)
{
	for (size_t i = 0; i < FL_ARRAY_SIZE(heap_parents); i++) {
		if (heap_parents[i][0] == actual &&
		    (heap_parents[i][1] == expected ||
		     heap_is_below(heap_parents[i][1], expected)))
			return true;
	}
	return false;
}

bool fl__valtype_matches(struct fl__valtype actual, struct fl__valtype expected)
{
	if (actual.code != expected.code)
		return false;
	if (actual.code != FL__TYPE_REF)
		return true;
	if (actual.is_nullable && !expected.is_nullable)
		return false;
	if (actual.heap == expected.heap)
		return true;
	if (expected.heap <= FL__HEAP_DEFINED_ARRAY)
		return actual.heap <= FL__HEAP_DEFINED_ARRAY ||
		       actual.heap == FL__HEAP_NONE ||
		       actual.heap == FL__HEAP_NOFUNC;
	return heap_is_below(actual.heap, expected.heap);
}

const char *fl__valtype_name(struct fl__valtype type)
{
	static const char *const numbers[] = { "v128", "f64", "f32", "i64",
					       "i32" };

	if (type.code != FL__TYPE_REF)
		return numbers[type.code - FL__TYPE_V128];
	if (type.heap == FL__HEAP_FUNC)
		return type.is_nullable ? "funcref" : "(ref func)";
	if (type.heap == FL__HEAP_EXTERN)
		return type.is_nullable ? "externref" : "(ref extern)";
	return type.is_nullable ? "a reference that may be null" :
				  "a reference that is not null";
}
