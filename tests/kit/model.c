/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* model.c - the reference memory of model.h. */
#include "model.h"

#include "faultline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRETCH_BYTES ((uint64_t)65536)

static void *model_alloc(size_t count, size_t bytes)
{
	void *p = calloc(count, bytes);

	if (!p) {
		fprintf(stderr, "model: out of memory\n");
		abort();
	}
	return p;
}

void model_init(struct model *model, uint64_t length_bytes, uint64_t max_bytes,
		uint64_t page_bytes)
{
	model->length_bytes = length_bytes;
	model->max_bytes = max_bytes;
	model->page_bytes = page_bytes;
	model->stretch_count = length_bytes / STRETCH_BYTES + 1;
	model->stretches = model_alloc(model->stretch_count, sizeof(uint8_t *));
}

void model_fini(struct model *model)
{
	for (size_t i = 0; i < model->stretch_count; i++)
		free(model->stretches[i]);
	free(model->stretches);
	memset(model, 0, sizeof(*model));
}

uint8_t model_get(const struct model *model, uint64_t off)
{
	uint64_t stretch_idx = off / STRETCH_BYTES;

	if (off >= model->length_bytes || !model->stretches[stretch_idx])
		return 0;
	return model->stretches[stretch_idx][off % STRETCH_BYTES];
}

void model_set(struct model *model, uint64_t off, uint8_t value)
{
	uint8_t **stretch = &model->stretches[off / STRETCH_BYTES];

	if (off >= model->length_bytes)
		abort();
	if (!*stretch)
		*stretch = model_alloc(1, STRETCH_BYTES);
	(*stretch)[off % STRETCH_BYTES] = value;
}

/* "If i + n is larger than the length of mem.data, then trap", in numbers that
 * do not wrap. */
static bool is_outside(uint64_t off, uint64_t len, uint64_t size)
{
	return off > size || len > size - off;
}

bool model_fill(struct model *model, uint64_t off, uint8_t value, uint64_t len)
{
	if (is_outside(off, len, model->length_bytes))
		return true;
	for (uint64_t i = 0; i < len; i++)
		model_set(model, off + i, value);
	return false;
}

bool model_copy(struct model *dst, uint64_t dst_off, const struct model *src,
		uint64_t src_off, uint64_t len)
{
	if (is_outside(dst_off, len, dst->length_bytes) ||
	    is_outside(src_off, len, src->length_bytes))
		return true;
	for (uint64_t i = 0; i < len; i++) {
		uint64_t at = dst_off <= src_off ? i : len - 1 - i;

		model_set(dst, dst_off + at, model_get(src, src_off + at));
	}
	return false;
}

bool model_put(struct model *model, uint64_t dst_off, const void *src,
	       uint64_t src_bytes, uint64_t src_off, uint64_t len)
{
	const uint8_t *bytes = src;

	if (is_outside(dst_off, len, model->length_bytes) ||
	    is_outside(src_off, len, src_bytes))
		return true;
	for (uint64_t i = 0; i < len; i++)
		model_set(model, dst_off + i, bytes[src_off + i]);
	return false;
}

size_t model_apply(struct model *model, const struct fl_segment *segments,
		   size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct fl_segment *segment = &segments[i];

		if (model_put(model, segment->offset_bytes, segment->bytes,
			      segment->length_bytes, 0, segment->length_bytes))
			return i;
	}
	return count;
}

bool model_grow(struct model *model, uint64_t delta_pages, uint64_t *old_pages)
{
	uint64_t room_pages =
		(model->max_bytes - model->length_bytes) / model->page_bytes;
	size_t count;

	*old_pages = model->length_bytes / model->page_bytes;
	if (model->length_bytes > model->max_bytes || delta_pages > room_pages)
		return false;
	model->length_bytes += delta_pages * model->page_bytes;
	count = model->length_bytes / STRETCH_BYTES + 1;
	if (count > model->stretch_count) {
		uint8_t **stretches = model_alloc(count, sizeof(uint8_t *));

		memcpy(stretches, model->stretches,
		       model->stretch_count * sizeof(uint8_t *));
		free(model->stretches);
		model->stretches = stretches;
		model->stretch_count = count;
	}
	return true;
}

/* memcmp() first, for the sake of the sanitizers' time. */
static uint64_t stretch_diff(const uint8_t *expected, const uint8_t *actual,
			     uint64_t len)
{
	static const uint8_t zeroes[STRETCH_BYTES];

	if (!expected)
		expected = zeroes;
	if (!memcmp(expected, actual, len))
		return MODEL_EQUAL;
	for (uint64_t i = 0; i < len; i++) {
		if (actual[i] != expected[i])
			return i;
	}
	return MODEL_EQUAL;
}

static uint64_t diff_range(const struct model *model, const uint8_t *base,
			   uint64_t off, uint64_t len)
{
	uint64_t end = off + len;

	while (off < end) {
		const uint8_t *stretch = model->stretches[off / STRETCH_BYTES];
		uint64_t within = off % STRETCH_BYTES;
		uint64_t part = STRETCH_BYTES - within, diff;

		if (part > end - off)
			part = end - off;
		diff = stretch_diff(stretch ? stretch + within : NULL,
				    base + off, part);
		if (diff != MODEL_EQUAL)
			return off + diff;
		off += part;
	}
	return MODEL_EQUAL;
}

uint64_t model_diff_bytes(const struct model *model, const void *base,
			  uint64_t length_bytes)
{
	uint64_t len = length_bytes, diff;

	if (len > model->length_bytes)
		len = model->length_bytes;
	diff = diff_range(model, base, 0, len);
	if (diff == MODEL_EQUAL && length_bytes != model->length_bytes)
		diff = len;
	return diff;
}

uint64_t model_diff(const struct model *model, const struct fl_memory *memory)
{
	return model_diff_bytes(model, memory->base, fl_memory_length(memory));
}

uint64_t model_diff_range(const struct model *model,
			  const struct fl_memory *memory, uint64_t off,
			  uint64_t len)
{
	if (is_outside(off, len, model->length_bytes) ||
	    is_outside(off, len, fl_memory_length(memory)))
		return off;
	return diff_range(model, memory->base, off, len);
}

bool model_has_data(const struct model *model, uint64_t off, uint64_t len)
{
	static const uint8_t zeroes[STRETCH_BYTES];

	while (len && off < model->length_bytes) {
		const uint8_t *stretch = model->stretches[off / STRETCH_BYTES];
		uint64_t within = off % STRETCH_BYTES;
		uint64_t part = STRETCH_BYTES - within;

		if (part > len)
			part = len;
		if (stretch && memcmp(stretch + within, zeroes, part))
			return true;
		off += part;
		len -= part;
	}
	return false;
}
