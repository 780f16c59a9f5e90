/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reader_check.h - reading a module in a test, with everything around it
 * checked.
 *
 * check_read() puts the bytes right before an inaccessible page, so that a
 * read past their end ends the program, reads them, and checks what holds for
 * every module: after an error nothing is left and the error says what and
 * where; otherwise all views lie within the bytes, indices are in range, and
 * what counts as known can be evaluated.
 */
#ifndef READER_CHECK_H
#define READER_CHECK_H

#include "wasm/reader.h"
#include "wasm_build.h"

#include <stdbool.h>
#include <stddef.h>

struct guard {
	uint8_t *start;
	size_t bytes; /* whole pages; the inaccessible one comes after */
};

void guard_open(struct guard *guard, size_t max_length);
void guard_close(struct guard *guard);
/* A copy of bytes that ends where the inaccessible page begins. */
const uint8_t *guard_copy(const struct guard *guard, const void *bytes,
			  size_t length);

/* Returns what fl__reader_read() did; error may be NULL. */
int check_read(const struct guard *guard, const void *bytes, size_t length,
	       struct fl_error *error);

/* Reads every prefix of a module of at most 4 KiB; of a larger one those that
 * end at a section's edge or one byte beside it, and 1,000 others. Only a
 * prefix that ends where a section ends may be a module. */
void check_cuts(const uint8_t *bytes, size_t length);

#endif
