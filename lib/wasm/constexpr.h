/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * constexpr.h - value types and constant expressions.
 *
 * Takes a cursor at an expression and the type it must have; checks it as a
 * stack machine of types, steps over it, and says whether its value is known,
 * will be known with the imported globals, or never.
 *
 * Invariants
 * - An expression sees the globals that reader->globals holds so far; the
 *   caller counts a global in after its own initialiser was read.
 * - The stack of types is one allocation for a whole pass, at most a few
 *   bytes for each byte of the longest expression.
 * - Evaluation takes no memory, at most FL__READER_MAX_STEPS steps and
 *   FL__READER_MAX_NESTING nested calls, however often globals refer to
 *   globals.
 *
 * Types are not read, so how many operands struct.new takes is not known: it
 * is assumed to take what it needs, and what may be left below it is taken on
 * trust. No number comes out of a reference in a constant expression, so the
 * types of offsets are always checked in full.
 */
#ifndef FL_CONSTEXPR_H
#define FL_CONSTEXPR_H

#include "cursor.h"

struct fl__constexpr {
	const struct fl__reader *reader;
	struct fl__valtype *stack;
	uint32_t depth;
	uint32_t capacity;
	bool is_loose; /* more may lie below than depth tells */
	/* Of the instructions read so far; past their limits both stay put. */
	enum fl__known known;
	uint32_t steps;
	uint32_t nesting;
};

/* A value type, or (reference) one that must be a reference. */
int fl__constexpr_valtype(struct fl__cursor *c, const char *what,
			  struct fl__valtype *type);
int fl__constexpr_reftype(struct fl__cursor *c, const char *what,
			  struct fl__valtype *type);

/* May a value of type actual stand where expected is asked for? */
bool fl__constexpr_matches(struct fl__valtype actual,
			   struct fl__valtype expected);

/* Read one expression, `end` included. */
int fl__constexpr_read(struct fl__constexpr *x, struct fl__cursor *c,
		       struct fl__valtype expected, struct fl__const *out);
void fl__constexpr_fini(struct fl__constexpr *x);

#endif
