/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reader_pass.h - what the files of the reader share during one
 * fl__reader_read().
 *
 * reader.c walks the sections and gives each section's function a cursor
 * whose window is the section's contents; the function reads as many items as
 * the section says, and the walk checks that it ended exactly at the window's
 * end. reader_entities.c reads what can be imported, reader_segments.c element
 * and data segments, constexpr.c the expressions in both.
 *
 * A pass is on one stack and one thread; everything it allocates hangs on
 * pass->reader or pass->exprs, so that the walk frees it after an error.
 */
#ifndef FL_READER_PASS_H
#define FL_READER_PASS_H

#include "constexpr.h"

struct fl__pass {
	struct fl__cursor cursor;
	struct fl__reader *reader;
	struct fl__constexpr exprs;
	uint32_t memory_capacity; /* of the arrays in reader */
	uint32_t table_capacity;
	uint32_t global_capacity;
	uint32_t import_count;
	uint32_t body_count; /* in the code section */
	uint32_t declared_data_count; /* in the data count section */
};

int fl__reader_read_imports(struct fl__pass *p);
int fl__reader_read_functions(struct fl__pass *p);
int fl__reader_read_tables(struct fl__pass *p);
int fl__reader_read_memories(struct fl__pass *p);
int fl__reader_read_tags(struct fl__pass *p);
int fl__reader_read_globals(struct fl__pass *p);

int fl__reader_read_elements(struct fl__pass *p);
int fl__reader_read_data_count(struct fl__pass *p);
int fl__reader_read_data(struct fl__pass *p);

#endif
