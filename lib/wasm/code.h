/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * code.h - what a module's code may do to tables, globals and segments.
 *
 * Takes what the reader found; gives, for each table, global, function and
 * segment, whether an instruction of some body names it: a table that code
 * changes, a global that code sets, a function of which code makes a reference,
 * a segment that code uses or drops.
 *
 * Invariants
 * - The walk reads each body once, from first to last byte, and no byte outside.
 *   No recursion: where blocks begin and end does not matter.
 * - An instruction that opcodes.def lacks, or a body that is cut off or names
 *   what the module lacks, makes the walk stop: its marks say less than the code
 *   may do. The caller then has to expect anything.
 * - What is marked is what code names. Code may lie behind a branch that nobody
 *   takes. Active segments and initialisers are no code.
 *
 * Nothing is allocated; the caller owns and zeroes the marks. Pure. Time is
 * linear in the length of the bodies.
 *
 * Why not in the reader: most users load modules and never ask.
 */
#ifndef FL_CODE_H
#define FL_CODE_H

#include "cursor.h"

/* Bits of a mark. */
enum {
	/* Of a table: table.set, grow, fill, init, and the target of copy. Of a
	 * global: global.set. */
	FL__CODE_CHANGES = 1,
	/* Of a function: ref.func. Of a segment: an instruction that reads. */
	FL__CODE_USES = 2,
	/* Of a segment: elem.drop, data.drop. */
	FL__CODE_DROPS = 4,
	FL__CODE_ALL = 7,
};

/* A byte for each thing of the module. */
struct fl__code_marks {
	uint8_t *tables;
	uint8_t *globals;
	uint8_t *functions;
	uint8_t *elems;
	uint8_t *data;
};

/* Mark what the bodies name. 0, or -ENOTSUP or -ENOEXEC for code that the walk
 * cannot follow; error->byte_off says where. */
int fl__code_walk(const struct fl__reader *reader,
		  const struct fl__code_marks *marks, struct fl_error *error);

#endif
