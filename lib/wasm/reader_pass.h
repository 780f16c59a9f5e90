/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reader_pass.h - what the files of the reader share during one
 * fl__reader_read().
 *
 * reader.c walks the sections and their items, and has the functions below read
 * one item each from a cursor whose window is the section's contents.
 * reader_entities.c reads what can be imported, reader_segments.c element and
 * data segments, constexpr.c the expressions in both.
 *
 * A function that reads item idx of an array leaves counting it to the walk: an
 * item is counted when it was read. Whatever fails, fails the cursor.
 *
 * A pass is on one stack and one thread; everything it allocates hangs on
 * pass->reader or pass->exprs, so that the walk frees it after an error.
 */
#ifndef FL_READER_PASS_H
#define FL_READER_PASS_H

#include "constexpr.h"

struct fl__export_name;

struct fl__pass {
	struct fl__cursor cursor;
	struct fl__reader *reader;
	struct fl__constexpr exprs;
	uint64_t id_off; /* of the section that is read */
	uint64_t contents_off;
	uint32_t memory_capacity; /* of the arrays in reader */
	uint32_t table_capacity;
	uint32_t global_capacity;
	uint32_t elem_capacity;
	uint32_t mark_capacity;
	uint32_t data_capacity;
	uint32_t imported_func_capacity;
	uint32_t import_count;
	uint32_t body_count; /* in the code section */
	uint64_t declared_data_count; /* UINT64_MAX: no such section */
	struct fl__export_name *exports; /* reader->export_count */
};

/* The kinds of imports and exports. */
enum fl__kind {
	FL__KIND_FUNC = 0,
	FL__KIND_TABLE = 1,
	FL__KIND_MEMORY = 2,
	FL__KIND_GLOBAL = 3,
	FL__KIND_TAG = 4,
};
#define FL__KINDS "0 (function) to 4 (tag)"

/* The array `items` with room for `need`, the new ones zero; what is the plural
 * for messages. After a failure the array as it was. */
void *fl__pass_grow(struct fl__pass *p, void *items, uint32_t *capacity,
		    uint64_t need, uint32_t max, size_t item_bytes,
		    const char *what);

/* Room for `more` items of an array of the reader, whose count and capacity are
 * named after one of them. */
#define fl__pass_room(p, array, one, more, max, what)                       \
	((p)->reader->array =                                               \
		 fl__pass_grow(p, (p)->reader->array, &(p)->one##_capacity, \
			       (uint64_t)(p)->reader->one##_count + (more), \
			       max, sizeof(*(p)->reader->array), what))

void fl__reader_read_import(struct fl__pass *p, uint32_t idx);
void fl__reader_read_function(struct fl__pass *p, uint32_t idx);
void fl__reader_begin_tables(struct fl__pass *p, uint32_t count);
void fl__reader_read_table(struct fl__pass *p, uint32_t idx);
void fl__reader_begin_memories(struct fl__pass *p, uint32_t count);
void fl__reader_read_memory(struct fl__pass *p, uint32_t idx);
void fl__reader_read_tag(struct fl__pass *p, uint32_t idx);
void fl__reader_begin_globals(struct fl__pass *p, uint32_t count);
void fl__reader_read_global(struct fl__pass *p, uint32_t idx);

void fl__reader_begin_elements(struct fl__pass *p, uint32_t count);
void fl__reader_read_element(struct fl__pass *p, uint32_t idx);
void fl__reader_begin_data(struct fl__pass *p, uint32_t count);
void fl__reader_read_data(struct fl__pass *p, uint32_t idx);

#endif
