/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * constexpr.h - constant expressions.
 *
 * Takes a cursor at an expression and the type it must have; checks it as a
 * stack machine of types, steps over it, and says whether its value is known,
 * will be known with the imported globals, or never. Evaluates an
 * expression that was read, given the imported globals.
 *
 * Invariants
 * - An expression sees the globals that reader->globals holds so far; the
 *   caller counts a global in after its own initialiser was read.
 * - The stack of types is one allocation for a whole pass, at most a few
 *   bytes for each byte of the longest expression.
 * - Evaluation takes no memory, at most FL__READER_MAX_STEPS steps and
 *   FL__READER_MAX_NESTING nested calls, however often globals refer to
 *   globals. Where one struct fl__globals serves many expressions and has room
 *   for what it made, all of them together take as many steps as they and the
 *   globals are long.
 *
 * Types are not read, so how many operands struct.new takes is not known: it
 * is assumed to take what it needs, and what may be left below it is taken on
 * trust. No number comes out of a reference in a constant expression, so the
 * types of offsets are always checked in full.
 */
#ifndef FL_CONSTEXPR_H
#define FL_CONSTEXPR_H

#include "valtype.h"

struct fl__constexpr {
	const struct fl__reader *reader;
	struct fl__valtype *stack; /* the caller frees it */
	uint32_t depth;
	uint32_t capacity;
	bool is_loose; /* more may lie below than depth tells */
	/* Of the instructions read so far; past their limits both stay put. */
	enum fl__known known;
	uint32_t steps;
	uint32_t nesting;
	uint32_t needs;
};

/* What a defined global that waits for imports came to. */
struct fl__made {
	uint64_t value;
	bool is_made;
};

/* Values of the imported globals, in order of import (all imported globals,
 * whatever their type; NULL: none). made has a place for each global of the
 * module, zero at first, or is NULL: then a global is evaluated each time that it
 * is read. */
struct fl__globals {
	const uint64_t *values;
	uint32_t count;
	struct fl__made *made;
};

/* Read one expression, `end` included; or fail the cursor. */
struct fl__const fl__constexpr_read(struct fl__constexpr *x,
				    struct fl__cursor *c,
				    struct fl__valtype expected);

/*
 * The value of an expression that was read. False when it is FL__KNOWN_NO, has
 * no expr (the init of an imported global), or needs more globals than have
 * values.
 */
bool fl__reader_eval(const struct fl__reader *reader,
		     const struct fl__const *expr,
		     const struct fl__globals *globals, uint64_t *value);

#endif
