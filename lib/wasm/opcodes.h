/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * opcodes.h - instructions, decoded.
 *
 * Takes a cursor at an instruction of a constant expression; gives the
 * instruction's row of opcodes.def and its immediates, or fails the cursor: at
 * what no constant expression may hold, too.
 *
 * Takes a cursor at an instruction of a function body; gives the instruction's
 * code and indices, and steps over its other immediates, or fails the cursor: at
 * a code that no row has, too. A body holds many instructions, so a table made
 * of the rows finds an instruction's row at once.
 *
 * What operands an instruction finds is not looked at. Pure.
 */
#ifndef FL_OPCODES_H
#define FL_OPCODES_H

#include "valtype.h"

enum {
#define FL_OPCODE(id, code, ...) FL__OP_##id = (code),
#define FL_OPCODE_BODY FL_OPCODE
#include "opcodes.def"
};

enum fl__immediates {
	FL__IMMEDIATES_NONE,
	FL__IMMEDIATES_SIGNED, /* an integer of `width` bits */
	FL__IMMEDIATES_BYTES, /* `width` bytes */
	FL__IMMEDIATES_HEAP, /* a heap type */
	FL__IMMEDIATES_INDICES, /* an index and, with a width of 2, another or
				 * a count */
	FL__IMMEDIATES_BLOCK, /* a block type */
	FL__IMMEDIATES_LABELS, /* a count, as many labels, another label */
	FL__IMMEDIATES_TYPES, /* a count and as many value types */
	FL__IMMEDIATES_MEMORY, /* alignment, memory, offset; `width` bytes */
	FL__IMMEDIATES_CATCHES, /* a block type, a count, as many handlers */
	FL__IMMEDIATES_CAST, /* flags, a label, two heap types */
};

struct fl__opcode {
	uint32_t code; /* FL__OP_*; 0: no row */
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

/* Opcodes without prefix, and those behind 0xfb to 0xfe. */
#define FL__OPCODE_PAGES 5
#define FL__OPCODE_PAGE_CODES 0x114

/* The number of each code's row, plus one; 0: no row. */
struct fl__opcode_rows {
	uint8_t of[FL__OPCODE_PAGES][FL__OPCODE_PAGE_CODES];
};

/* Any table of rows is the same: the caller makes one for many bodies. */
void fl__opcode_rows_init(struct fl__opcode_rows *rows);

/* An instruction of a body. */
struct fl__step {
	uint32_t code; /* FL__OP_*, or another of opcodes.def */
	uint32_t idx; /* of INDICES */
	uint32_t second; /* of INDICES with a width of 2 */
};

/* The next instruction of a body. False when the cursor has failed. */
bool fl__step_read(struct fl__cursor *c, const struct fl__opcode_rows *rows,
		   struct fl__step *step);

#endif
