/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* opcodes.c - reading an instruction. See opcodes.h. */
#include "opcodes.h"

#include <inttypes.h>

enum {
	PREFIX_GC = 0xfb,
	PREFIX_SIMD = 0xfd,
};

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
#undef FL_OPCODE
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

	if (second <= UINT8_MAX)
		in->op = opcode_find(is_long ? (uint32_t)byte << 8 | second :
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
