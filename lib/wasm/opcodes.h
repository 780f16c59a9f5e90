/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * opcodes.h - the instructions of constant expressions, decoded.
 *
 * Takes a cursor at an instruction; gives its row of opcodes.def and its
 * immediates, or fails the cursor: at what is not in the list, too. What
 * operands it finds is not looked at. Pure.
 */
#ifndef FL_OPCODES_H
#define FL_OPCODES_H

#include "valtype.h"

enum {
#define FL_OPCODE(id, code, ...) FL__OP_##id = (code),
#include "opcodes.def"
#undef FL_OPCODE
};

enum fl__immediates {
	FL__IMMEDIATES_NONE,
	FL__IMMEDIATES_SIGNED, /* an integer of `width` bits */
	FL__IMMEDIATES_BYTES, /* `width` bytes */
	FL__IMMEDIATES_HEAP, /* a heap type */
	FL__IMMEDIATES_INDICES, /* an index and, with a width of 2, a count */
};

struct fl__opcode {
	uint16_t code; /* FL__OP_*; 0: no row */
	uint8_t immediates; /* enum fl__immediates */
	uint8_t width;
	uint8_t operand_count;
	struct fl__valtype operand;
	struct fl__valtype result;
};

struct fl__instruction {
	struct fl__opcode op;
	uint64_t off;
	uint64_t immediates_off;
	int64_t value; /* of SIGNED */
	uint32_t idx; /* of INDICES */
	uint32_t count;
	uint8_t heap; /* of HEAP */
};

/* The next instruction of a constant expression. False after `end`, and when
 * the cursor has failed. */
bool fl__instruction_read(struct fl__cursor *c, struct fl__instruction *in);

#endif
