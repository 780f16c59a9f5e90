/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * model.h - a reference memory to compare with, written from the WebAssembly
 * specification alone.
 *
 * Bytes live in separately allocated stretches of 64 KiB; one that was never
 * written is absent and reads as zero, so that a few MiB cost nothing. Every
 * operation goes byte by byte and in the order of the specification; nothing is
 * shared with the library under test, not even its rounding.
 *
 * Operations answer whether they trap. Running out of memory ends the
 * program. One thread at a time.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fl_memory;
struct fl_segment;

struct model {
	uint64_t length_bytes;
	uint64_t max_bytes;
	uint64_t page_bytes;
	uint8_t **stretches;
	size_t stretch_count;
};

#define MODEL_EQUAL UINT64_MAX

void model_init(struct model *model, uint64_t length_bytes, uint64_t max_bytes,
		uint64_t page_bytes);
void model_fini(struct model *model);

/* Zero past the length too. */
uint8_t model_get(const struct model *model, uint64_t off);
void model_set(struct model *model, uint64_t off, uint8_t value);

/* memory.fill, memory.copy, and memory.init from a segment of src_bytes bytes;
 * true: they trap and write nothing. */
bool model_fill(struct model *model, uint64_t off, uint8_t value, uint64_t len);
bool model_copy(struct model *dst, uint64_t dst_off, const struct model *src,
		uint64_t src_off, uint64_t len);
bool model_put(struct model *model, uint64_t dst_off, const void *src,
	       uint64_t src_bytes, uint64_t src_off, uint64_t len);

/* Active segments in order; the index of the first that traps, or count. */
size_t model_apply(struct model *model, const struct fl_segment *segments,
		   size_t count);

/* memory.grow; false: it answers -1. */
bool model_grow(struct model *model, uint64_t delta_pages, uint64_t *old_pages);

/* Is any byte of [off, off + len) not zero? */
bool model_has_data(const struct model *model, uint64_t off, uint64_t len);

/* Where [base, base + length) first differs, or MODEL_EQUAL. A length that
 * differs counts as a difference at the smaller one. */
uint64_t model_diff_bytes(const struct model *model, const void *base,
			  uint64_t length_bytes);
uint64_t model_diff(const struct model *model, const struct fl_memory *memory);

/* The same, for [off, off + len) of both. */
uint64_t model_diff_range(const struct model *model,
			  const struct fl_memory *memory, uint64_t off,
			  uint64_t len);

#endif
