/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* opcodes.c - reading an instruction. See opcodes.h. */
#include "opcodes.h"

#include <inttypes.h>

enum {
	PREFIX_GC = 0xfb,
	PREFIX_SIMD = 0xfd,
	PREFIX_LAST = 0xfe,
	/* Where a code has its prefix, and what is behind the prefix. */
	CODE_PREFIX_SHIFT = 12,
	CODE_SECOND = (1 << CODE_PREFIX_SHIFT) - 1,
};

/* ---------------------------------------------------- constant expressions */

#define NOTHING   \
	{         \
		0 \
	}
#define NUMBER(type)                    \
	{                               \
		.code = FL__TYPE_##type \
	}
#define REF(type)                                             \
	{                                                     \
		.code = FL__TYPE_REF, .heap = FL__HEAP_##type \
	}
#define NULLABLE(type)                              \
	{                                           \
		FL__TYPE_REF, FL__HEAP_##type, true \
	}

static const struct fl__opcode opcodes[] = {
#define FL_OPCODE(id, code, immediates, width, count, operand, result) \
	{ code, FL__IMMEDIATES_##immediates, width, count, operand, result },
#include "opcodes.def"
};

static struct fl__opcode opcode_find(uint32_t code)
{
	for (size_t i = 0; i < FL_ARRAY_SIZE(opcodes); i++) {
		if (opcodes[i].code == code)
			return opcodes[i];
	}
	return (struct fl__opcode){ 0 };
}

static void read_opcode(struct fl__cursor *c, struct fl__instruction *in)
{
	uint8_t byte = fl__cursor_u8(c, "constant expression");
	bool is_long = byte == PREFIX_GC || byte == PREFIX_SIMD;
	uint32_t second = is_long ? fl__cursor_u32(c, "opcode") : 0;

	if (second <= CODE_SECOND)
		in->op = opcode_find(
			is_long ? (uint32_t)byte << CODE_PREFIX_SHIFT | second :
				  byte);
	if (in->op.code)
		return;
	if (!is_long)
		fl__cursor_fail(
			c, -ENOEXEC, in->off,
			"instruction 0x%02x is not allowed in a constant expression",
			byte);
	else
		fl__cursor_fail(c, -ENOEXEC, in->off,
				"instruction 0x%02x %" PRIu32
				" is not allowed in a constant expression",
				byte, second);
}

bool fl__instruction_read(struct fl__cursor *c, struct fl__instruction *in)
{
	*in = (struct fl__instruction){ .off = c->off };
	read_opcode(c, in);
	in->immediates_off = c->off;
	switch (in->op.immediates) {
	case FL__IMMEDIATES_SIGNED:
		in->value = fl__cursor_signed(c, "constant", in->op.width);
		break;
	case FL__IMMEDIATES_BYTES:
		fl__cursor_skip(c, "constant", in->op.width);
		break;
	case FL__IMMEDIATES_HEAP:
		in->heap = fl__valtype_read_heap(c, "type of ref.null");
		break;
	case FL__IMMEDIATES_INDICES:
		in->idx = fl__cursor_u32(c, "index");
		if (in->op.width > 1)
			in->count = fl__cursor_u32(c, "number of elements");
		break;
	}
	return !c->err && in->op.code != FL__OP_END;
}

/* ------------------------------------------------------------------ bodies */

struct row {
	uint32_t first, last;
	uint8_t immediates; /* enum fl__immediates */
	uint8_t width;
};

static const struct row body_rows[] = {
#define FL_OPCODE(id, code, immediates, width, ...) \
	{ code, code, FL__IMMEDIATES_##immediates, width },
#define FL_OPCODE_BODY(id, code, immediates, width) \
	{ code, code, FL__IMMEDIATES_##immediates, width },
#define FL_OPCODE_ROW(first, last, immediates, width) \
	{ first, last, FL__IMMEDIATES_##immediates, width },
#include "opcodes.def"
};

_Static_assert(FL_ARRAY_SIZE(body_rows) < UINT8_MAX,
	       "fl__opcode_rows has a byte for a row's number");

/* The flags of a memory's immediates: the alignment, and whether the number of
 * the memory follows. */
enum {
	MEMORY_ALIGN = 0x1f,
	MEMORY_HAS_INDEX = 0x40,
};

enum {
	BLOCK_EMPTY = 0x40,
	CATCH_ALL = 2, /* this handler and the next have no tag */
	CATCH_MAX = 3,
	CAST_FLAGS_MAX = 3,
};

void fl__opcode_rows_init(struct fl__opcode_rows *rows)
{
	*rows = (struct fl__opcode_rows){ 0 };
	for (size_t i = 0; i < FL_ARRAY_SIZE(body_rows); i++) {
		uint32_t prefix = body_rows[i].first >> CODE_PREFIX_SHIFT;
		uint32_t page = prefix ? prefix - PREFIX_GC + 1 : 0;

		for (uint32_t code = body_rows[i].first;
		     code <= body_rows[i].last; code++)
			rows->of[page][code & CODE_SECOND] = (uint8_t)(i + 1);
	}
}

/* Most indices take a byte. */
static uint32_t read_index(struct fl__cursor *c)
{
	if (c->off < c->end && c->bytes[c->off] < 0x80)
		return c->bytes[c->off++];
	return fl__cursor_u32(c, "index");
}

static void skip_block_type(struct fl__cursor *c)
{
	uint8_t byte = fl__cursor_peek(c);

	if (byte == BLOCK_EMPTY)
		c->off++;
	else if ((byte & 0xc0) == 0x40)
		fl__valtype_read(c, "type of the block");
	else
		fl__cursor_u32(c, "type of the block");
}

static void skip_indices(struct fl__cursor *c, uint32_t count)
{
	for (; !c->err && count; count--)
		read_index(c);
}

static void skip_types(struct fl__cursor *c)
{
	uint32_t count = fl__cursor_count(c, "count of types", 1, UINT32_MAX);

	for (; !c->err && count; count--)
		fl__valtype_read(c, "type");
}

static void skip_memory(struct fl__cursor *c, uint8_t lane_bytes)
{
	uint64_t start_off = c->off;
	uint32_t flags = read_index(c);

	if (flags & ~(uint32_t)(MEMORY_ALIGN | MEMORY_HAS_INDEX))
		fl__cursor_fail(c, -ENOEXEC, start_off,
				"the flags of the access are %" PRIu32
				", of which Faultline knows bits 0 to 4 and 6",
				flags);
	if (flags & MEMORY_HAS_INDEX)
		read_index(c);
	fl__cursor_u64(c, "offset");
	fl__cursor_skip(c, "lane", lane_bytes);
}

static void skip_catches(struct fl__cursor *c)
{
	uint32_t count;

	skip_block_type(c);
	count = fl__cursor_count(c, "count of handlers", 2, UINT32_MAX);
	for (; !c->err && count; count--) {
		uint8_t kind = fl__cursor_choice(c, "kind of the handler",
						 CATCH_MAX, "0 to 3");

		skip_indices(c, kind < CATCH_ALL ? 2 : 1);
	}
}

static void skip_cast(struct fl__cursor *c)
{
	fl__cursor_choice(c, "flags of the cast", CAST_FLAGS_MAX, "0 to 3");
	read_index(c);
	fl__valtype_read_heap(c, "type before the cast");
	fl__valtype_read_heap(c, "type after the cast");
}

static void read_immediates(struct fl__cursor *c, const struct row *row,
			    struct fl__step *step)
{
	switch (row->immediates) {
	case FL__IMMEDIATES_SIGNED:
		fl__cursor_signed(c, "constant", row->width);
		break;
	case FL__IMMEDIATES_BYTES:
		fl__cursor_skip(c, "constant", row->width);
		break;
	case FL__IMMEDIATES_HEAP:
		fl__valtype_read_heap(c, "type");
		break;
	case FL__IMMEDIATES_INDICES:
		step->idx = read_index(c);
		if (row->width > 1)
			step->second = read_index(c);
		break;
	case FL__IMMEDIATES_BLOCK:
		skip_block_type(c);
		break;
	case FL__IMMEDIATES_LABELS:
		skip_indices(c, fl__cursor_count(c, "count of labels", 1,
						 UINT32_MAX));
		read_index(c);
		break;
	case FL__IMMEDIATES_TYPES:
		skip_types(c);
		break;
	case FL__IMMEDIATES_MEMORY:
		skip_memory(c, row->width);
		break;
	case FL__IMMEDIATES_CATCHES:
		skip_catches(c);
		break;
	case FL__IMMEDIATES_CAST:
		skip_cast(c);
		break;
	}
}

bool fl__step_read(struct fl__cursor *c, const struct fl__opcode_rows *rows,
		   struct fl__step *step)
{
	uint64_t start_off = c->off;
	uint8_t byte = fl__cursor_u8(c, "instruction");
	uint32_t page = 0, second = byte, row = 0;

	*step = (struct fl__step){ .code = byte };
	if (byte >= PREFIX_GC && byte <= PREFIX_LAST) {
		page = byte - PREFIX_GC + 1u;
		second = read_index(c);
		step->code = (uint32_t)byte << CODE_PREFIX_SHIFT |
			     (second & CODE_SECOND);
	}
	if (second < FL__OPCODE_PAGE_CODES)
		row = rows->of[page][second];
	if (row)
		read_immediates(c, &body_rows[row - 1], step);
	else
		fl__cursor_fail(c, -ENOTSUP, start_off,
				"the instruction 0x%02x %" PRIu32
				" is not known to Faultline",
				byte, page ? second : 0);
	return !c->err;
}
