/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * table.c - table instructions with the specification's trap rules.
 *
 * Takes tables and indices of any value; gives a trap, or elements that were
 * copied. Bounds are checked against the size at the start and before anything
 * is written, so a trap changes nothing. An element is bytes, or, in a table
 * with clone and drop, a reference that is cloned when it is copied and dropped
 * when it is overwritten.
 */
#include "table.h"

static bool is_null(const struct fl__table *table, const void *element)
{
	return !memcmp(element, table->null, table->element_bytes);
}

void fl__table_drop(const struct fl__table *table, void *element)
{
	if (table->drop && !is_null(table, element)) {
		fl__os_no_cancel();

		table->drop(table->user, element);
	}
}

/* *dst holds no reference. */
static void element_clone(const struct fl__table *table, void *dst,
			  const void *src)
{
	if (table->clone && !is_null(table, src)) {
		fl__os_no_cancel();

		table->clone(table->user, dst, src);
	} else {
		memcpy(dst, src, table->element_bytes);
	}
}

/* The new element is cloned before the old one is dropped: both may be the same
 * reference, or the old one may be what keeps the new one alive. */
static void element_replace(const struct fl__table *table, void *dst,
			    const void *src)
{
	uint8_t made[FL__MAX_ELEMENT_BYTES];

	element_clone(table, made, src);
	fl__table_drop(table, dst);
	memcpy(dst, made, table->element_bytes);
}

static bool is_plain(const struct fl__table *table)
{
	return !table->clone && !table->drop;
}

/* Doubling: one memcpy for each power of two. */
static void fill_plain(uint8_t *dst, const void *element, size_t element_bytes,
		       size_t bytes)
{
	size_t done = element_bytes;

	memcpy(dst, element, element_bytes);
	while (done < bytes) {
		size_t step = done < bytes - done ? done : bytes - done;

		memcpy(dst + done, dst, step);
		done += step;
	}
}

void fl__table_put(struct fl__table *table, uint64_t idx, const void *element,
		   uint64_t count)
{
	uint8_t *dst = fl__table_element(&table->pub, idx);
	size_t bytes = (size_t)count * table->element_bytes;

	if (!count)
		return;
	/* A reference may be all zeroes in a table whose null is not. */
	if (table->clone && !is_null(table, element)) {
		for (uint64_t i = 0; i < count;
		     i++, dst += table->element_bytes)
			element_clone(table, dst, element);
		return;
	}
	if (fl_is_zero(element, table->element_bytes))
		memset(dst, 0, bytes);
	else
		fill_plain(dst, element, table->element_bytes, bytes);
}

void fl__table_drop_all(struct fl__table *table)
{
	uint64_t length = fl_table_size(&table->pub);

	for (uint64_t i = 0; table->drop && i < length; i++)
		fl__table_drop(table, fl__table_element(&table->pub, i));
}

static bool fits(const struct fl_table *table, uint64_t idx, uint64_t count)
{
	return fl_range_fits(idx, count, fl_table_size(table));
}

enum fl_trap fl_table_get(const struct fl_table *pub, uint64_t idx,
			  void *element)
{
	if (!fits(pub, idx, 1))
		return FL_TRAP_TABLE_OUT_OF_BOUNDS;
	element_clone(fl__table_of(pub), element, fl__table_element(pub, idx));
	return FL_TRAP_NONE;
}

enum fl_trap fl_table_set(struct fl_table *pub, uint64_t idx,
			  const void *element)
{
	if (!fits(pub, idx, 1))
		return FL_TRAP_TABLE_OUT_OF_BOUNDS;
	element_replace(fl__table_of(pub), fl__table_element(pub, idx),
			element);
	return FL_TRAP_NONE;
}

enum fl_trap fl_table_fill(struct fl_table *pub, uint64_t idx,
			   const void *element, uint64_t count)
{
	struct fl__table *table = fl__table_of(pub);
	uint8_t own[FL__MAX_ELEMENT_BYTES];

	if (!fits(pub, idx, count))
		return FL_TRAP_TABLE_OUT_OF_BOUNDS;
	if (!element)
		element = table->null;
	if (is_plain(table)) {
		/* The element may lie in the range that is filled. */
		memcpy(own, element, table->element_bytes);
		fl__table_put(table, idx, own, count);
		return FL_TRAP_NONE;
	}
	element_clone(table, own, element);
	for (uint64_t i = 0; i < count; i++)
		element_replace(table, fl__table_element(pub, idx + i), own);
	fl__table_drop(table, own);
	return FL_TRAP_NONE;
}

/* Both ranges were checked. */
static void copy_elements(struct fl_table *dst, uint64_t dst_idx,
			  const uint8_t *src, uint64_t count)
{
	struct fl__table *table = fl__table_of(dst);
	uint8_t *to = fl__table_element(dst, dst_idx);
	size_t width = table->element_bytes;
	/* From the end from which no element is overwritten before it is
	 * read. */
	bool is_backward = (uintptr_t)to > (uintptr_t)src;

	if (is_plain(table)) {
		memmove(to, src, (size_t)count * width);
		return;
	}
	for (uint64_t i = 0; i < count; i++) {
		size_t at = (size_t)(is_backward ? count - 1 - i : i) * width;

		element_replace(table, to + at, src + at);
	}
}

enum fl_trap fl_table_copy(struct fl_table *dst, uint64_t dst_idx,
			   const struct fl_table *src, uint64_t src_idx,
			   uint64_t count)
{
	/* Between tables of differing widths no element can be copied. */
	if (!fits(dst, dst_idx, count) || !fits(src, src_idx, count) ||
	    fl__table_of(dst)->element_bytes !=
		    fl__table_of(src)->element_bytes)
		return FL_TRAP_TABLE_OUT_OF_BOUNDS;
	copy_elements(dst, dst_idx, fl__table_element(src, src_idx), count);
	return FL_TRAP_NONE;
}

enum fl_trap fl_table_init_elements(struct fl_table *dst, uint64_t dst_idx,
				    const void *elements,
				    uint64_t element_count, uint64_t src_idx,
				    uint64_t count)
{
	size_t width = fl__table_of(dst)->element_bytes;

	if (!fl_range_fits(src_idx, count, element_count) ||
	    !fits(dst, dst_idx, count))
		return FL_TRAP_TABLE_OUT_OF_BOUNDS;
	if (count)
		copy_elements(dst, dst_idx,
			      (const uint8_t *)elements +
				      (size_t)src_idx * width,
			      count);
	return FL_TRAP_NONE;
}
