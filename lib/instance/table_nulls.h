/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * table_nulls.h - images of null references.
 *
 * A table whose null is not all zeroes begins with an image of nulls. So a slot
 * is clean for the next table like any memory's slot, in time proportional to
 * what was written, and dropping its pages never leaves a zero where a null
 * belongs. Takes a table's configuration; gives an image, which all tables of
 * the pool with that null share. Any thread.
 */
#ifndef FL_TABLE_NULLS_H
#define FL_TABLE_NULLS_H

#include "slots/pool.h"

/* The calls open and close of the tables' kind: bank->shared is the images. */
int fl__nulls_open(struct fl__bank *bank, struct fl_error *error);
void fl__nulls_close(struct fl__bank *bank);

/* A reference to an image that begins with the table's nulls, and the bytes
 * that the image has. -ENOMEM and what fl_image_from_segments() answers. */
int fl__nulls_get(struct fl_pool *pool, const struct fl_table_config *config,
		  struct fl_image **image, uint64_t *bytes,
		  struct fl_error *error);

#endif
