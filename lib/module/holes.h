/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * holes.h - what guests make of the holes of an image's storage, and giving that
 * back.
 *
 * Zeroes within an image's extents are holes of its storage. Where slots map the
 * storage, a guest that touches such a zero makes memory of it, which is no
 * slot's alone and stays when the slot goes. So an image with holes counts the
 * slots that show it, and gives that memory back when the last one has gone, and
 * from time to time before. Budgets count it with each slot that shows the image
 * (slots/bank.c). Any thread.
 */
#ifndef FL_HOLES_H
#define FL_HOLES_H

#include "context.h"

/* A slot, which holds a reference, shows the image from now on. NULL is allowed
 * in both calls. */
void fl__image_show(struct fl_image *image);
/* The slot has been unmapped; it lets go of its reference next. */
void fl__image_unshow(struct fl_image *image);

/* The memory that holes have become; 0 for an image without holes. */
uint64_t fl__image_filled(const struct fl_image *image);

/* Give back what no slot maps. Time is linear in what is filled. */
void fl__image_drain(struct fl_image *image);

/* The same of all images of a context, which are in its list as long as they
 * live. given_back: what is less now than a sum that was filled before. */
void fl__holes_add(struct fl_image *image);
void fl__holes_remove(struct fl_image *image);
uint64_t fl__holes_filled(struct fl_context *context);
uint64_t fl__holes_given_back(struct fl_context *context, uint64_t before);
void fl__holes_drain(struct fl_context *context);

#endif
