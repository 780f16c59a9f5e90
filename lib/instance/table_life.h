/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* table_life.h - tables come and go, and grow; see table_life.c. */
#ifndef FL_TABLE_LIFE_H
#define FL_TABLE_LIFE_H

#include "slots/bank.h"
#include "table.h"

extern const struct fl__kind fl__kind_table;

/* Take count tables in slots of the pool, not published yet. A table for whose
 * serial something is bound to its slot (bound.h) may show that; 0, or NULL for
 * all: none. After an error the call holds nothing. */
int fl__table_take(struct fl_pool *pool, const struct fl_table_config *configs,
		   const uint64_t *bound_serials, uint32_t count,
		   const struct fl__os_wait *wait, struct fl_table **tables,
		   struct fl_error *error);
/* Drop what the table holds, then as fl__slot_give(). */
int fl__table_give(struct fl_table *table);
/* Drop what the table holds, then as fl__slot_restart(); a table that shows
 * nothing has no elements. */
int fl__table_restart(struct fl_table *table);

#endif
