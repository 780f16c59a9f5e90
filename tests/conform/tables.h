/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * tables.h - tables beside a model of bytes, for the programs about tables
 * outside of instances.
 *
 * The model is written from the specification: what a table's elements are after
 * each operation, and whether the operation traps.
 */
#ifndef CONFORM_TABLES_H
#define CONFORM_TABLES_H

#include "tests/kit/conform.h"

#include <stdlib.h>

#define OOB FL_TRAP_TABLE_OUT_OF_BOUNDS
#define MAX_WIDTH 32

static const uint32_t table_widths[] = { 4, 8, 16, 24, 32 };

/* ------------------------------------------------------------ null patterns */

enum pattern {
	NULL_ZEROES,
	NULL_ONES,
	NULL_MIXED,
	NULL_PATTERNS
};

/* The null reference; NULL for the pattern that is the default. */
static inline const uint8_t *null_bytes(enum pattern pattern)
{
	static uint8_t bytes[NULL_PATTERNS][MAX_WIDTH];

	memset(bytes[NULL_ONES], 0xff, MAX_WIDTH);
	/* Zeroes first, so that a null is not known by one byte. */
	for (size_t i = 0; i < MAX_WIDTH; i++)
		bytes[NULL_MIXED][i] = i % 4 == 3 ? 0xc0 + i : 0;
	return bytes[pattern];
}

/* -------------------------------------------------------------------- model */

struct model_table {
	uint8_t *bytes;
	uint64_t length;
	uint64_t max;
	uint32_t width;
	uint8_t null[MAX_WIDTH];
};

static inline void model_open(struct model_table *m, uint32_t width,
			      const uint8_t *null, uint64_t length,
			      uint64_t max)
{
	m->bytes = malloc(max * width + 1);
	MUST(m->bytes != NULL);
	m->length = length;
	m->max = max;
	m->width = width;
	memcpy(m->null, null, width);
	for (uint64_t i = 0; i < length; i++)
		memcpy(m->bytes + i * width, null, width);
}

static inline void model_close(struct model_table *m)
{
	free(m->bytes);
	m->bytes = NULL;
}

static inline uint8_t *model_at(const struct model_table *m, uint64_t idx)
{
	return m->bytes + idx * m->width;
}

/* Does [idx, idx + count) pass length? Without wrapping. */
static inline bool is_beyond(uint64_t length, uint64_t idx, uint64_t count)
{
	return count > length || idx > length - count;
}

static inline bool model_table_fill(struct model_table *m, uint64_t idx,
				    const void *element, uint64_t count)
{
	if (is_beyond(m->length, idx, count))
		return true;
	for (uint64_t i = 0; i < count; i++)
		memcpy(model_at(m, idx + i), element ? element : m->null,
		       m->width);
	return false;
}

static inline bool model_table_copy(struct model_table *dst, uint64_t dst_idx,
				    const struct model_table *src,
				    uint64_t src_idx, uint64_t count)
{
	if (is_beyond(dst->length, dst_idx, count) ||
	    is_beyond(src->length, src_idx, count))
		return true;
	for (uint64_t i = 0; i < count; i++) {
		uint64_t k = dst_idx <= src_idx ? i : count - 1 - i;

		memcpy(model_at(dst, dst_idx + k), model_at(src, src_idx + k),
		       dst->width);
	}
	return false;
}

static inline bool model_table_grow(struct model_table *m, uint64_t delta,
				    const void *element)
{
	uint64_t old = m->length;

	if (is_beyond(m->max, old, delta))
		return false;
	m->length += delta;
	model_table_fill(m, old, element, delta);
	return true;
}

static inline void model_check(const struct model_table *m,
			       const struct fl_table *table)
{
	MUST_EQ(table->length, m->length);
	CHECK_EQ(fl_table_size(table), m->length);
	for (uint64_t i = 0; i < m->length; i++) {
		const uint8_t *at = table->base;

		if (memcmp(at + i * m->width, model_at(m, i), m->width)) {
			test_note("element %llu of %llu differs",
				  (unsigned long long)i,
				  (unsigned long long)m->length);
			CHECK(!"the table is as the model");
			break;
		}
	}
}

/* An element that is like no other of its seed, and no null. */
static inline const uint8_t *some_element(uint64_t seed)
{
	static uint8_t element[MAX_WIDTH];

	for (size_t i = 0; i < MAX_WIDTH; i++)
		element[i] = (uint8_t)(1 + (seed * 37 + i * 11) % 253);
	memcpy(element, &(uint32_t){ (uint32_t)seed * 2 + 1 }, 4);
	return element;
}

/* ------------------------------------------------------------------- making */

static inline void table_config(struct fl_table_config *config, uint32_t width,
				enum pattern pattern, uint64_t initial,
				uint64_t max)
{
	fl_table_config_init(config);
	config->element_bytes = width;
	config->null = pattern ? null_bytes(pattern) : NULL;
	config->initial_elements = initial;
	config->max_elements = max;
}

static inline struct fl_table *
table_create(const struct fl_table_config *config)
{
	struct fl_error error = { .text = "" };
	struct fl_table *table = NULL;

	CONFORM_MUST(fl_table_create(config, &table, &error), &error);
	return table;
}

static inline void table_give(struct fl_table *table)
{
	CHECK_EQ(fl_table_release(table), 0);
}

static inline struct fl_table *table_take(struct conform *conform,
					  const struct fl_table_config *config)
{
	struct fl_error error = { .text = "" };
	struct fl_table *table = NULL;

	CONFORM_MUST(fl_table_acquire(conform->pool, config, &table, &error),
		     &error);
	return table;
}

/* Indices and counts about the edge of 10 elements, and those that wrap, in 64
 * bits and when they are multiplied by a width. */
static const uint64_t table_edges[] = { 0,
					1,
					9,
					10,
					11,
					UINT32_MAX,
					1ull << 32,
					(1ull << 32) + 1,
					1ull << 59,
					1ull << 60,
					(1ull << 60) + 1,
					1ull << 61,
					(1ull << 61) + 9,
					UINT64_MAX / 24 + 1,
					UINT64_MAX / 2 + 1,
					UINT64_MAX - 10,
					UINT64_MAX - 9,
					UINT64_MAX - 1,
					UINT64_MAX };

#endif
