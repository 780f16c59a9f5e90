/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * table.h - a table: a length, and elements of one width.
 *
 * table_life.h decides where the elements lie: in a slot of a pool, whose side
 * bytes then are the table, in memory of the caller, or in malloc()'s. Here
 * elements are moved. An element is bytes, or, in a table with clone and drop,
 * a reference that is cloned when it is copied and dropped when it is
 * overwritten.
 *
 * Invariant: the elements from length on hold no reference.
 */
#ifndef FL_TABLE_H
#define FL_TABLE_H

#include "slots/slot.h"
#include "wasm/contents.h"

/* See faultline.h. */
struct fl__table {
	struct fl_table pub;
	struct fl__slot *slot;		/* NULL: made by fl_table_create() */
	struct fl__quota *quota;	/* NULL: no tenant of several */
	uint64_t initial_elements;
	uint64_t max_elements;
	uint64_t capacity;		/* elements that fit at pub.base */
	void (*clone)(void *user, void *dst, const void *src);
	void (*drop)(void *user, void *element);
	void *user;
	/* As an import sees it; UINT64_MAX: none. Of a table taken alone, where
	 * its growth ends. */
	uint64_t type_max;
	uint32_t element_bytes;		/* atomic: handlers read it */
	struct fl__valtype type;	/* of its elements; code 0: not said */
	uint8_t address_bits;		/* 0: not said */
	bool is_static;
	uint8_t null[FL__MAX_ELEMENT_BYTES];
} __attribute__((aligned(128)));

/* Put clones of *element into elements that hold no reference. */
void fl__table_put(struct fl__table *table, uint64_t idx, const void *element,
		   uint64_t count);

/* End the reference that an element holds, if it holds one. */
void fl__table_drop(const struct fl__table *table, void *element);

/* Drop every reference that an element holds; the bytes stay as they are. */
void fl__table_drop_all(struct fl__table *table);

static inline struct fl__table *fl__table_of(const struct fl_table *pub)
{
	return (struct fl__table *)(uintptr_t)pub;
}

static inline uint8_t *fl__table_element(const struct fl_table *pub,
					 uint64_t idx)
{
	return (uint8_t *)pub->base +
	       (size_t)idx * fl__table_of(pub)->element_bytes;
}

#endif
