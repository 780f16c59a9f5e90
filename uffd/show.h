/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * show.h - make a slot show an image at a size.
 *
 * A slot maps the image's file privately, so that the kernel shares clean pages
 * between all slots and copies a page when it is first written; zeroes are
 * anonymous. On every rung, an mprotect moves the border between accessible and
 * not, and a clean slot is attached to the same image and size without a system
 * call.
 *
 * The calls are those of backend.h: attach, detach, grow, prefault.
 */
#ifndef FL_SHOW_H
#define FL_SHOW_H

#include "arena.h"

int fl__show_attach(struct fl__arena *arena, struct fl__space *space,
		    struct fl_image *image, uint64_t size_bytes);
int fl__show_detach(struct fl__arena *arena, struct fl__space *space);
int fl__show_grow(struct fl__arena *arena, struct fl__space *space,
		  uint64_t size_bytes);
int fl__show_prefault(struct fl__arena *arena, struct fl__space *space,
		      uint64_t offset_bytes, uint64_t length_bytes);

#endif
