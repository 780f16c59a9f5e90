/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * valtype.h - value types: reading, comparing and naming them.
 *
 * Takes a cursor at a type; gives the type, or fails the cursor. Pure.
 *
 * Section 1 of a module is not read: a defined type is known by no more than
 * what made it, and fits wherever it might.
 */
#ifndef FL_VALTYPE_H
#define FL_VALTYPE_H

#include "cursor.h"

/* A value type, or one that must be a reference. */
struct fl__valtype fl__valtype_read(struct fl__cursor *c, const char *what);
struct fl__valtype fl__valtype_read_ref(struct fl__cursor *c, const char *what);

/* A heap type: an enum fl__heap. */
uint8_t fl__valtype_read_heap(struct fl__cursor *c, const char *what);

/* May a value of type actual stand where expected is asked for? */
bool fl__valtype_matches(struct fl__valtype actual,
			 struct fl__valtype expected);

static inline bool fl__valtype_is_integer(struct fl__valtype type)
{
	return type.code == FL__TYPE_I32 || type.code == FL__TYPE_I64;
}

/* For messages: "i32", "funcref". */
const char *fl__valtype_name(struct fl__valtype type);

#endif
