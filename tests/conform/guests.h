/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * guests.h - instances of random modules beside a model of all that they hold,
 * for the programs about snapshots.
 *
 * The model is written from the specification: memories, tables, which segments
 * were dropped, and what the runtime keeps (a structure, some bytes of its own).
 * An element is a number here, which the element's bytes spell out over the
 * whole width of the table, so that a part of another element shows.
 *
 *	shape_make()     a random module
 *	content_begin()  what its instances begin with
 *	guest_act()      the guest and its model do the same at random
 *	guest_check()    all that the instance holds is as the model says
 */
#ifndef CONFORM_GUESTS_H
#define CONFORM_GUESTS_H

#include "tests/kit/conform_module.h"
#include "tests/kit/random.h"

#include <stdlib.h>

#define MEMORIES 4
#define TABLES 3
#define SEGMENTS 6
#define FUNCS 80
#define MAX_BYTES (12 * WPAGE)
#define MAX_ELEMENTS 700
#define MAX_WIDTH 32
#define STRUCTURE_BYTES 5000
#define OWN_BYTES 300
#define PREFIX_BYTES 24
#define NONE UINT32_MAX

/* ------------------------------------------------------------------ modules */

struct memory_shape {
	uint64_t min_pages, max_pages, page_bytes;
	bool is_64;
};

struct table_shape {
	uint64_t min, max;
};

/* Of data, or of elements. */
struct segment_shape {
	bool is_passive;
	uint32_t idx, off, length;
};

/* Imports come first: memory 0 and table 0 may be the caller's. */
struct shape {
	struct fl_module *module;
	uint32_t memory_count, table_count, data_count, element_count;
	bool imports_memory, imports_table;
	struct memory_shape memories[MEMORIES];
	struct table_shape tables[TABLES];
	struct segment_shape datas[SEGMENTS], elements[SEGMENTS];
};

/* Byte off of data segment idx; element off of element segment idx. */
static inline uint8_t data_byte(uint32_t idx, uint32_t off)
{
	return (uint8_t)(1 + (idx * 50 + off * 7) % 255);
}

static inline uint32_t func_of(uint32_t idx, uint32_t off)
{
	return (idx * 13 + off) % FUNCS;
}

static inline void shape_add_memory(struct wasm_parts *parts,
				    struct test_random *random,
				    struct memory_shape *m)
{
	struct wasm *w = wasm_add(parts, WASM_MEMORY);
	bool is_fine = test_random_below(random, 3) == 0;

	m->page_bytes = is_fine ? 1 : WPAGE;
	m->is_64 = test_random_below(random, 3) == 0;
	m->min_pages = test_random_below(random, MAX_BYTES / 2) / m->page_bytes;
	m->max_pages = m->min_pages +
		       test_random_below(random, MAX_BYTES / 2) / m->page_bytes;
	wasm_limits(w, 1u + (m->is_64 ? 4 : 0) + (is_fine ? 8 : 0),
		    m->min_pages, m->max_pages);
	if (is_fine)
		wasm_u(w, 0);
}

static inline void shape_add_memories(struct wasm_parts *parts,
				      struct test_random *random,
				      struct shape *shape)
{
	uint32_t defined = (uint32_t)test_random_below(random, MEMORIES);

	if (shape->imports_memory) {
		shape->memories[0] = (struct memory_shape){ 1,
							    MAX_BYTES / WPAGE,
							    WPAGE, false };
		wasm_import_memory(parts, 1);
	}
	shape->memory_count = shape->imports_memory;
	while (defined--)
		shape_add_memory(parts, random,
				 &shape->memories[shape->memory_count++]);
}

static inline void shape_add_tables(struct wasm_parts *parts,
				    struct test_random *random,
				    struct shape *shape)
{
	uint32_t defined = (uint32_t)test_random_below(random, TABLES);

	if (shape->imports_table) {
		shape->tables[0] = (struct table_shape){ 5, MAX_ELEMENTS };
		wasm_import_table(parts, 5);
	}
	shape->table_count = shape->imports_table;
	while (defined--) {
		struct table_shape *t = &shape->tables[shape->table_count++];

		t->min = test_random_below(random, MAX_ELEMENTS / 2);
		t->max = t->min + test_random_below(random, MAX_ELEMENTS / 2);
		wasm_add_table(parts, t->min, t->max);
	}
}

/* Active in what the module defines, where the segment fits. */
static inline void shape_add_data(struct wasm_parts *parts,
				  struct test_random *random,
				  struct shape *shape, uint32_t idx)
{
	struct segment_shape *s = &shape->datas[idx];
	struct wasm *w = wasm_add(parts, WASM_DATA);
	const struct memory_shape *m;
	uint64_t room;

	s->length = 1 + (uint32_t)test_random_below(random, 5000);
	s->idx = (uint32_t)test_random_below(random, MEMORIES);
	m = &shape->memories[s->idx];
	room = s->idx < shape->memory_count ? m->min_pages * m->page_bytes : 0;
	s->is_passive = test_random_below(random, 2) || room < s->length ||
			s->idx < shape->imports_memory;
	wasm_u(w, s->is_passive ? 1 : 2);
	if (!s->is_passive) {
		s->off = (uint32_t)test_random_below(random,
						     room - s->length + 1);
		wasm_u(w, s->idx);
		if (m->is_64)
			wasm_i64_const(w, s->off);
		else
			wasm_i32_const(w, s->off);
	}
	wasm_u(w, s->length);
	for (uint32_t i = 0; i < s->length; i++)
		wasm_bytes(w, data_byte(idx, i));
}

/* Active in any table, the imported one too. */
static inline void shape_add_elements(struct wasm_parts *parts,
				      struct test_random *random,
				      struct shape *shape, uint32_t idx)
{
	struct segment_shape *s = &shape->elements[idx];
	struct wasm *w;
	uint64_t room;

	s->length = 1 + (uint32_t)test_random_below(random, 30);
	s->idx = (uint32_t)test_random_below(random, TABLES);
	room = s->idx < shape->table_count ? shape->tables[s->idx].min : 0;
	s->is_passive = test_random_below(random, 2) || room < s->length;
	if (!s->is_passive)
		s->off = (uint32_t)test_random_below(random,
						     room - s->length + 1);
	w = wasm_add_elements(parts,
			      s->is_passive ? WASM_ELEMENT_PASSIVE :
					      WASM_ELEMENT_EXPLICIT,
			      s->idx, s->off, 0x70, s->length);
	for (uint32_t i = 0; i < s->length; i++)
		wasm_u(w, func_of(idx, i));
}

static inline void shape_make(struct conform *conform,
			      struct test_random *random, bool may_import_table,
			      struct shape *shape)
{
	struct wasm_parts parts = { 0 };
	struct wasm w = { 0 };

	*shape = (struct shape){
		.imports_memory = test_random_below(random, 4) == 0,
		.imports_table = may_import_table &&
				 test_random_below(random, 3) == 0,
		.data_count = (uint32_t)test_random_below(random, SEGMENTS),
		.element_count = (uint32_t)test_random_below(random, SEGMENTS),
	};
	wasm_import_funcs(&parts, FUNCS);
	shape_add_memories(&parts, random, shape);
	shape_add_tables(&parts, random, shape);
	for (uint32_t i = 0; i < shape->data_count; i++)
		shape_add_data(&parts, random, shape, i);
	for (uint32_t i = 0; i < shape->element_count; i++)
		shape_add_elements(&parts, random, shape, i);
	wasm_parts_build(&parts, &w);
	shape->module = module_load(conform, &w);
}

/* ----------------------------------------------------------------- elements */

/* How elements look: their width and their null. */
struct elements {
	uint32_t width;
	uint8_t null[MAX_WIDTH];
};

static const uint32_t element_widths[] = { 4, 8, 16, 24, 32 };

/* Pattern 0: zeroes, 1: ones, else a null with zeroes in it and before it. */
static inline void elements_init(struct elements *e, uint32_t width,
				 unsigned int pattern)
{
	e->width = width;
	for (uint32_t i = 0; i < MAX_WIDTH; i++)
		e->null[i] = pattern == 0 ? 0 :
			     pattern == 1 ? 0xff :
			     i % 4 == 3	  ? (uint8_t)(0xc0 + i) :
					    0;
}

/* An odd head, and no byte that is zero behind it: no null. */
static inline void element_bytes(const struct elements *e, uint32_t number,
				 void *bytes)
{
	uint32_t head = number * 2 + 1;
	uint8_t *at = bytes;

	if (number == NONE) {
		memcpy(bytes, e->null, e->width);
		return;
	}
	for (uint32_t i = 0; i < e->width; i++)
		at[i] = (uint8_t)(1 + (number % 1000 * 37 + i * 11) % 253);
	memcpy(bytes, &head, 4);
}

/* NONE for null; the bytes must be those of the number that they begin with. */
static inline uint32_t element_number(const struct elements *e,
				      const void *bytes)
{
	uint8_t expected[MAX_WIDTH];
	uint32_t head;

	if (!memcmp(bytes, e->null, e->width))
		return NONE;
	memcpy(&head, bytes, 4);
	element_bytes(e, head / 2, expected);
	CHECK(!memcmp(bytes, expected, e->width));
	return head / 2;
}

/* ------------------------------------------------------------------ content */

struct numbers {
	uint32_t *at; /* MAX_ELEMENTS */
	uint64_t length, max;
};

struct content {
	struct model memories[MEMORIES];
	struct numbers tables[TABLES];
	bool data_dropped[SEGMENTS], elements_dropped[SEGMENTS];
	uint8_t structure[STRUCTURE_BYTES];
	uint8_t own[OWN_BYTES];
	uint64_t own_bytes;
};

static inline void *guests_alloc(uint64_t bytes)
{
	void *p = calloc(1, bytes + 1);

	MUST(p != NULL);
	return p;
}

static inline void content_add_table(struct numbers *t, uint64_t length,
				     uint64_t max)
{
	*t = (struct numbers){ guests_alloc(MAX_ELEMENTS * sizeof(*t->at)),
			       length, max };
	for (uint64_t i = 0; i < MAX_ELEMENTS; i++)
		t->at[i] = NONE;
}

static inline void content_begin(struct content *c, const struct shape *shape)
{
	memset(c, 0, sizeof(*c));
	for (uint32_t i = 0; i < shape->memory_count; i++) {
		const struct memory_shape *m = &shape->memories[i];

		model_init(&c->memories[i], m->min_pages * m->page_bytes,
			   m->max_pages * m->page_bytes, m->page_bytes);
	}
	for (uint32_t i = 0; i < shape->table_count; i++)
		content_add_table(&c->tables[i], shape->tables[i].min,
				  shape->tables[i].max);
	for (uint32_t i = 0; i < shape->data_count; i++) {
		const struct segment_shape *s = &shape->datas[i];

		c->data_dropped[i] = !s->is_passive;
		for (uint32_t k = 0; !s->is_passive && k < s->length; k++)
			model_set(&c->memories[s->idx], s->off + k,
				  data_byte(i, k));
	}
	for (uint32_t i = 0; i < shape->element_count; i++) {
		const struct segment_shape *s = &shape->elements[i];

		c->elements_dropped[i] = !s->is_passive;
		for (uint32_t k = 0; !s->is_passive && k < s->length; k++)
			c->tables[s->idx].at[s->off + k] = func_of(i, k);
	}
}

static inline void content_copy(struct content *c, const struct content *from)
{
	*c = *from;
	for (int i = 0; i < MEMORIES; i++) {
		const struct model *m = &from->memories[i];

		if (!m->stretches)
			continue;
		c->memories[i].stretches =
			guests_alloc(m->stretch_count * sizeof(uint8_t *));
		for (size_t k = 0; k < m->stretch_count; k++) {
			if (!m->stretches[k])
				continue;
			c->memories[i].stretches[k] = guests_alloc(WPAGE);
			memcpy(c->memories[i].stretches[k], m->stretches[k],
			       WPAGE);
		}
	}
	for (int i = 0; i < TABLES; i++) {
		if (!from->tables[i].at)
			continue;
		c->tables[i].at = guests_alloc(MAX_ELEMENTS * sizeof(uint32_t));
		memcpy(c->tables[i].at, from->tables[i].at,
		       MAX_ELEMENTS * sizeof(uint32_t));
	}
}

static inline void content_end(struct content *c)
{
	for (int i = 0; i < MEMORIES; i++)
		model_fini(&c->memories[i]);
	for (int i = 0; i < TABLES; i++)
		free(c->tables[i].at);
	memset(c, 0, sizeof(*c));
}

/* ------------------------------------------------------------------- guests */

struct guest {
	const struct shape *shape;
	const struct elements *elements;
	unsigned int pool_idx;
	struct fl_instance *instance; /* NULL: nobody */
	struct fl_memory *imported_memory;
	struct fl_table *imported_table;
	struct fl_snapshot *origin; /* a reference; NULL: no clone */
	struct content content;
	bool counts_references;
	uint64_t prefix_bytes;
};

static inline struct fl_memory *guest_memory(const struct guest *g,
					     uint32_t idx)
{
	struct fl_memory *memory = fl_instance_memory(g->instance, idx);

	MUST(memory != NULL);
	return memory;
}

static inline struct fl_table *guest_table(const struct guest *g, uint32_t idx)
{
	struct fl_table *table = fl_instance_table(g->instance, idx);

	MUST(table != NULL);
	return table;
}

static inline bool is_beyond(uint64_t length, uint64_t idx, uint64_t count)
{
	return count > length || idx > length - count;
}

/* An offset that mostly fits a size with n more, and sometimes not. */
static inline uint64_t guest_off(struct test_random *random, uint64_t size,
				 uint64_t n)
{
	if (n > size || test_random_below(random, 12) == 0)
		return test_random_below(random, size + 100);
	return test_random_below(random, size - n + 1);
}

static inline uint64_t guest_count(struct test_random *random)
{
	static const uint64_t most[] = { 2, 60, 300, 5000, 9000, 30000 };

	return test_random_below(random, most[test_random_below(random, 6)]);
}

static inline void guest_store(struct guest *g, struct test_random *random,
			       uint32_t idx, uint64_t n)
{
	struct fl_memory *memory = guest_memory(g, idx);
	uint64_t len = fl_memory_length(memory);
	uint8_t seed = (uint8_t)test_random_next(random);
	uint64_t off = test_random_below(random, len + 1);

	n = n < len - off ? n : len - off;
	for (uint64_t i = 0; i < n; i++) {
		memory->base[off + i] = (uint8_t)(seed + i);
		model_set(&g->content.memories[idx], off + i,
			  (uint8_t)(seed + i));
	}
	if (g->prefix_bytes)
		memset(memory->base - g->prefix_bytes, seed, g->prefix_bytes);
}

static inline void guest_grow(struct guest *g, struct test_random *random,
			      uint32_t idx)
{
	struct model *model = &g->content.memories[idx];
	uint64_t delta =
		test_random_below(random, 3 * WPAGE) / model->page_bytes;
	uint64_t old = 0, expected;
	bool fits = model_grow(model, delta, &expected);

	CHECK_EQ(fl_memory_grow(guest_memory(g, idx), delta, &old),
		 fits ? 0 : -E2BIG);
	if (fits)
		CHECK_EQ(old, expected);
}

/* memory.init, and now and then data.drop. */
static inline void guest_init(struct guest *g, struct test_random *random,
			      uint32_t idx)
{
	uint32_t seg =
		(uint32_t)test_random_below(random, g->shape->data_count);
	struct model *model = &g->content.memories[idx];
	uint64_t n, src_off, off, length;
	uint8_t bytes[5000];

	if (seg >= g->shape->data_count)
		return;
	if (test_random_below(random, 4) == 0) {
		fl_data_drop(g->instance, seg);
		g->content.data_dropped[seg] = true;
	}
	length = g->content.data_dropped[seg] ? 0 : g->shape->datas[seg].length;
	n = test_random_below(random, length + 1);
	src_off = test_random_below(random, length - n + 2);
	off = guest_off(random, model->length_bytes, n);
	for (uint32_t i = 0; i < length; i++)
		bytes[i] = data_byte(seg, i);
	CHECK_EQ(fl_memory_init(g->instance, idx, seg, off, src_off, n),
		 model_put(model, off, bytes, length, src_off, n) ? OOB : 0);
}

static inline void guest_act_on_memory(struct guest *g,
				       struct test_random *random)
{
	uint32_t count = g->shape->memory_count;
	uint32_t idx = (uint32_t)test_random_below(random, count);
	uint32_t src = (uint32_t)test_random_below(random, count);
	struct model *models = g->content.memories;
	uint64_t n = guest_count(random), off, src_off;
	uint8_t value = (uint8_t)test_random_below(random, 5);

	if (!count)
		return;
	off = guest_off(random, models[idx].length_bytes, n);
	src_off = guest_off(random, models[src].length_bytes, n);
	switch (test_random_below(random, 7)) {
	case 0:
		guest_grow(g, random, idx);
		break;
	case 1:
		CHECK_EQ(fl_memory_fill(guest_memory(g, idx), off, value, n),
			 model_fill(&models[idx], off, value, n) ? OOB : 0);
		break;
	case 2:
		CHECK_EQ(fl_memory_copy(guest_memory(g, idx), off,
					guest_memory(g, src), src_off, n),
			 model_copy(&models[idx], off, &models[src], src_off,
				    n) ?
				 OOB :
				 0);
		break;
	case 3:
		guest_init(g, random, idx);
		break;
	default:
		guest_store(g, random, idx, n);
	}
}

#define TABLE_OOB FL_TRAP_TABLE_OUT_OF_BOUNDS

static inline void guest_table_init(struct guest *g, struct test_random *random,
				    uint32_t idx)
{
	uint32_t seg =
		(uint32_t)test_random_below(random, g->shape->element_count);
	struct numbers *t = &g->content.tables[idx];
	uint64_t n, src, dst, length;
	bool traps;

	if (seg >= g->shape->element_count)
		return;
	if (test_random_below(random, 4) == 0) {
		fl_elem_drop(g->instance, seg);
		g->content.elements_dropped[seg] = true;
	}
	length = g->content.elements_dropped[seg] ?
			 0 :
			 g->shape->elements[seg].length;
	n = test_random_below(random, length + 1);
	src = test_random_below(random, length - n + 2);
	dst = guest_off(random, t->length, n);
	traps = is_beyond(length, src, n) || is_beyond(t->length, dst, n);
	CHECK_EQ(fl_table_init(g->instance, idx, seg, dst, src, n),
		 traps ? TABLE_OOB : 0);
	for (uint64_t i = 0; !traps && i < n; i++)
		t->at[dst + i] = func_of(seg, (uint32_t)(src + i));
}

static inline void guest_table_grow(struct guest *g, struct test_random *random,
				    uint32_t idx, uint32_t number)
{
	struct numbers *t = &g->content.tables[idx];
	uint64_t delta = test_random_below(random, 80), old = 0;
	bool fits = !is_beyond(t->max, t->length, delta);
	uint8_t element[MAX_WIDTH];

	element_bytes(g->elements, number, element);
	CHECK_EQ(fl_table_grow(guest_table(g, idx), delta, element, &old),
		 fits ? 0 : -E2BIG);
	if (!fits)
		return;
	CHECK_EQ(old, t->length);
	for (uint64_t i = 0; i < delta; i++)
		t->at[t->length++] = number;
}

static inline void guest_table_copy(struct guest *g, struct test_random *random,
				    uint32_t idx, uint32_t src_idx)
{
	struct numbers *t = &g->content.tables[idx];
	const struct numbers *s = &g->content.tables[src_idx];
	uint64_t n = test_random_below(random, 90);
	uint64_t dst = guest_off(random, t->length, n);
	uint64_t src = guest_off(random, s->length, n);
	bool traps = is_beyond(t->length, dst, n) ||
		     is_beyond(s->length, src, n);

	CHECK_EQ(fl_table_copy(guest_table(g, idx), dst,
			       guest_table(g, src_idx), src, n),
		 traps ? TABLE_OOB : 0);
	if (!traps)
		memmove(t->at + dst, s->at + src, n * sizeof(*t->at));
}

/* By table.fill, or as compiled code does where no references are counted. */
static inline void guest_table_set(struct guest *g, struct test_random *random,
				   uint32_t idx, uint32_t number)
{
	struct numbers *t = &g->content.tables[idx];
	struct fl_table *table = guest_table(g, idx);
	uint64_t n = test_random_below(random, 40);
	uint64_t dst = guest_off(random, t->length, n);
	bool traps = is_beyond(t->length, dst, n);
	uint8_t element[MAX_WIDTH];

	element_bytes(g->elements, number, element);
	if (g->counts_references || traps || test_random_below(random, 2)) {
		CHECK_EQ(fl_table_fill(table, dst,
				       number == NONE ? NULL : element, n),
			 traps ? TABLE_OOB : 0);
	} else {
		uint8_t *at = (uint8_t *)table->base + dst * g->elements->width;

		for (uint64_t i = 0; i < n; i++)
			memcpy(at + i * g->elements->width, element,
			       g->elements->width);
	}
	for (uint64_t i = 0; !traps && i < n; i++)
		t->at[dst + i] = number;
}

static inline void guest_act_on_table(struct guest *g,
				      struct test_random *random)
{
	uint32_t count = g->shape->table_count;
	uint32_t idx = (uint32_t)test_random_below(random, count);
	uint32_t number = (uint32_t)test_random_below(random, 100000);

	if (!count)
		return;
	if (test_random_below(random, 4) == 0)
		number = NONE;
	switch (test_random_below(random, 5)) {
	case 0:
		guest_table_grow(g, random, idx, number);
		break;
	case 1:
		guest_table_copy(g, random, idx,
				 (uint32_t)test_random_below(random, count));
		break;
	case 2:
		guest_table_init(g, random, idx);
		break;
	default:
		guest_table_set(g, random, idx, number);
	}
}

static inline void guest_act_on_state(struct guest *g,
				      struct test_random *random)
{
	uint8_t *structure = fl_instance_structure(g->instance);
	uint64_t off = test_random_below(random, STRUCTURE_BYTES);
	uint64_t n = test_random_below(random, STRUCTURE_BYTES - off + 1);
	uint8_t value = (uint8_t)test_random_next(random);

	if (structure) {
		memset(structure + off, value, n);
		memset(g->content.structure + off, value, n);
	}
	g->content.own_bytes = test_random_below(random, OWN_BYTES + 1);
	memset(g->content.own, value, g->content.own_bytes);
}

static inline void guest_act(struct guest *g, struct test_random *random,
			     unsigned int times)
{
	while (times--) {
		uint64_t what = test_random_below(random, 8);

		if (what == 0)
			guest_act_on_state(g, random);
		else if (what < 4)
			guest_act_on_table(g, random);
		else
			guest_act_on_memory(g, random);
	}
}

/* ------------------------------------------------------------------- checks */

static inline bool guest_check_memories(const struct guest *g)
{
	bool is_equal = true;

	for (uint32_t i = 0; i < g->shape->memory_count; i++) {
		const struct model *model = &g->content.memories[i];
		struct fl_memory *memory = guest_memory(g, i);
		uint64_t diff;

		is_equal &=
			CHECK_EQ(fl_memory_length(memory), model->length_bytes);
		diff = model_diff(model, memory);
		if (diff == MODEL_EQUAL)
			continue;
		is_equal = CHECK(!"the memory is as the model says");
		test_note(
			"memory %u of %u differs at 0x%jx of 0x%jx: 0x%02x, not 0x%02x",
			i, g->shape->memory_count, (uintmax_t)diff,
			(uintmax_t)model->length_bytes, memory->base[diff],
			model_get(model, diff));
	}
	return is_equal;
}

static inline bool guest_check_tables(const struct guest *g)
{
	for (uint32_t i = 0; i < g->shape->table_count; i++) {
		const struct numbers *t = &g->content.tables[i];
		const struct fl_table *table = guest_table(g, i);
		const uint8_t *at = table->base;

		if (!CHECK_EQ(fl_table_size(table), t->length))
			return false;
		for (uint64_t k = 0; k < t->length; k++) {
			uint32_t number = element_number(
				g->elements, at + k * g->elements->width);

			if (number == t->at[k])
				continue;
			test_note("table %u, element %ju of %ju", i,
				  (uintmax_t)k, (uintmax_t)t->length);
			return CHECK_EQ(number, t->at[k]);
		}
	}
	return true;
}

/* Nothing of a segment that was dropped can be read, from its first end on. */
static inline void guest_check_segments(const struct guest *g)
{
	const struct content *c = &g->content;

	for (uint32_t i = 0; g->shape->memory_count && i < g->shape->data_count;
	     i++)
		CHECK_EQ(fl_memory_init(g->instance, 0, i, 0, 1, 0),
			 c->data_dropped[i] ? OOB : FL_TRAP_NONE);
	for (uint32_t i = 0;
	     g->shape->table_count && i < g->shape->element_count; i++)
		CHECK_EQ(fl_table_init(g->instance, 0, i, 0, 1, 0),
			 c->elements_dropped[i] ? TABLE_OOB : FL_TRAP_NONE);
}

static inline void guest_check(const struct guest *g)
{
	const uint8_t *structure = fl_instance_structure(g->instance);

	guest_check_memories(g);
	guest_check_tables(g);
	guest_check_segments(g);
	if (structure)
		CHECK(!memcmp(structure, g->content.structure,
			      STRUCTURE_BYTES));
}

/* The prefix of each defined memory of an instance that has written nothing. */
static inline void guest_check_prefixes(const struct guest *g)
{
	for (uint32_t i = g->shape->imports_memory; i < g->shape->memory_count;
	     i++)
		CHECK_EQ(conform_first_data(guest_memory(g, i)->base -
						    g->prefix_bytes,
					    g->prefix_bytes),
			 g->prefix_bytes);
}

#endif
