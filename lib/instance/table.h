/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * table.h - what the files about tables know of each other.
 *
 * table.c has the life of a table and its growth, table_pool.c those in slots of
 * a pool, table_ops.c what is done to elements.
 */
#ifndef FL_TABLE_H
#define FL_TABLE_H

#include "pool/pool.h"

/* A caller's configuration (NULL: the defaults) in full. -EINVAL. */
int fl__table_read_config(const struct fl_table_config *config,
			  struct fl_table_config *known,
			  uint64_t pool_element_bytes, struct fl_error *error);

/* Everything but memory and is_static; what is at base is the caller's to fill:
 * initial_elements of them. */
void fl__table_begin(struct fl__table *table,
		     const struct fl_table_config *config, void *base,
		     uint64_t capacity);

/* Clones of *element into elements that hold nothing. */
void fl__table_put(struct fl__table *table, uint64_t idx, const void *element,
		   uint64_t count);

/* End the reference that an element holds, if it holds one. */
void fl__table_drop(const struct fl__table *table, void *element);

/* Drop what all elements hold; they are left as they are. */
void fl__table_drop_all(struct fl__table *table);

static inline uint8_t *fl__table_element(const struct fl_table *pub,
					 uint64_t idx)
{
	return (uint8_t *)pub->base +
	       (size_t)idx * fl__table_of(pub)->element_bytes;
}

#endif
