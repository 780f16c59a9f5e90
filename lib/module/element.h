/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * element.h - walking the elements of a segment.
 *
 * Takes a module's reader, one of its element segments and the index of an
 * element; gives the elements from there on, in order. A walk is plain data of
 * its owner and borrows the module's bytes. It begins at the last of the
 * reader's marks before the element, so that it costs what it gives.
 */
#ifndef FL_ELEMENT_H
#define FL_ELEMENT_H

#include "wasm/cursor.h"
#include "module.h"

struct fl__elements {
	struct fl__cursor cursor;
	bool is_expressions;
	uint32_t left;
};

void fl__elements_begin(struct fl__elements *walk,
			const struct fl__reader *reader,
			const struct fl__elem *segment, uint32_t first);
/* False after the last. */
bool fl__elements_next(struct fl__elements *walk, struct fl_element *element);

/* What a table's initialiser says. */
void fl__element_of_expr(const struct fl__reader *reader,
			 const struct fl__const *expr,
			 struct fl_element *element);

#endif
