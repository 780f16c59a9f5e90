/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * difference.c - what differs, as a list: between a delta and its snapshot, and
 * between two snapshots of one module.
 *
 * Takes objects that were checked; calls a function of the caller's for each
 * stretch that differs, in the order of a delta's parts. Two snapshots are compared
 * in a delta's units, so that a stretch is or is not in a delta of the first one;
 * where that changes within a stretch, the stretch is told in pieces. Nothing is
 * kept but 128 KiB for pages of both.
 */
#include "delta.h"
#include "base/bits.h"
#include "base/copy.h"
#include "taking_values.h"

#include <stdlib.h>

#define LINE FL__DELTA_LINE_BYTES
#define STEP_BYTES ((uint64_t)64 << 10)

typedef int difference_fn(void *user, const struct fl_difference *difference);

/* A part being told. */
struct telling {
	difference_fn *fn;
	void *user;
	const struct fl_delta *delta; /* that may touch it; NULL: none */
	struct fl_difference out;
	uint64_t unit; /* bytes of an item, or 1 */
	uint64_t first, count; /* items, not told yet */
	/* Of the delta: the part, and its next run. */
	struct fl__delta_part part;
	struct fl__delta_run run;
	bool has_part, has_run;
	int err;
};

static void tell(struct telling *t, uint64_t first, uint64_t count,
		 bool is_touched)
{
	uint64_t length = fl_max_u64(t->out.length, t->out.was_length);

	t->out.first = first * t->unit;
	t->out.count = fl_min_u64(count * t->unit, length - t->out.first);
	t->out.is_touched = is_touched;
	if (!t->err)
		t->err = t->fn(t->user, &t->out);
}

static void run_next(struct telling *t)
{
	t->has_run = fl__delta_next_run(&t->part, &t->run);
}

/* In pieces that the delta touches, or does not. */
static void part_flush(struct telling *t)
{
	while (t->count && !t->err) {
		uint64_t count = t->count;
		bool is_touched;

		while (t->has_run && t->run.first + t->run.count <= t->first)
			run_next(t);
		is_touched = t->has_run && t->run.first <= t->first;
		if (is_touched)
			count = fl_min_u64(count, t->run.first + t->run.count -
							  t->first);
		else if (t->has_run)
			count = fl_min_u64(count, t->run.first - t->first);
		tell(t, t->first, count, is_touched);
		t->first += count;
		t->count -= count;
	}
}

static void part_add(struct telling *t, uint64_t first, uint64_t count)
{
	if (t->count && t->first + t->count == first) {
		t->count += count;
		return;
	}
	part_flush(t);
	t->first = first;
	t->count = count;
}

static void part_begin(struct telling *t, uint32_t instance_idx,
		       enum fl__delta_kind kind, uint32_t idx,
		       uint64_t was_length, uint64_t length)
{
	t->out = (struct fl_difference){
		.part = (uint32_t)kind,
		.instance_idx = instance_idx,
		.part_idx = idx,
		.was_length = was_length,
		.length = length,
	};
	t->unit = fl__delta_has_lines(kind) ? LINE : 1;
	t->count = 0;
	t->has_part = t->delta && fl__delta_find(t->delta->bytes, instance_idx,
						 kind, idx, &t->part);
	t->has_run = false;
	if (t->has_part)
		run_next(t);
	if (was_length != length)
		tell(t, 0, 0, t->has_part);
}

/* -------------------------------------------------------------------- delta */

/* What the part had in the snapshot; of one that was opened only to be looked at,
 * what it has now. */
static uint64_t length_before(const struct fl_snapshot *snapshot,
			      const struct fl__delta_part *part)
{
	const struct fl__captured *captured;

	if (!snapshot->count)
		return part->length;
	captured = &snapshot->instances[part->instance_idx];
	switch (part->kind) {
	case FL__DELTA_MEMORY:
		return captured->images[part->idx]->map.initial_bytes;
	case FL__DELTA_TABLE:
		return captured->tables[part->idx].length *
		       captured->tables[part->idx].element_bytes;
	case FL__DELTA_VALUES:
		return captured->tables[part->idx].length;
	case FL__DELTA_STATE:
		return captured->state_bytes;
	default:
		return part->length;
	}
}

int fl_delta_differences(const struct fl_delta *delta, difference_fn *fn,
			 void *user)
{
	struct telling t = { .fn = fn, .user = user, .delta = delta };
	struct fl__delta_walk walk;
	struct fl__delta_run run;

	fl__delta_walk(&walk, delta->bytes);
	while (!t.err && fl__delta_walk_next(&walk)) {
		struct fl__delta_part part = walk.part;

		part_begin(&t, part.instance_idx, part.kind, part.idx,
			   length_before(delta->snapshot, &part), part.length);
		while (!t.err && fl__delta_next_run(&part, &run))
			part_add(&t, run.first, run.count);
		part_flush(&t);
	}
	return t.err;
}

/* ---------------------------------------------------------------- snapshots */

/* Two snapshots, and room for a step of both. */
struct pair {
	struct telling t;
	const struct fl_snapshot *was, *now;
	uint8_t *bytes[2];
	uint32_t idx; /* of the instance */
	bool is_lost; /* an image cannot be read */
};

static void lines_differ(struct telling *t, uint64_t off, const uint8_t *was,
			 const uint8_t *now, uint64_t len)
{
	for (uint64_t done = 0; done < len; done += 64 * LINE) {
		uint64_t mask = fl__copy_differ(was + done, now + done, 64);

		for (; mask; mask &= mask - 1)
			part_add(t,
				 (off + done) / LINE +
					 (uint64_t)__builtin_ctzll(mask),
				 1);
	}
}

static uint64_t image_bytes(const struct fl_image *image)
{
	return image ? image->map.initial_bytes : 0;
}

/* A step of an image, and zeroes where it has none. */
static int image_step(const struct fl_image *image, uint64_t off,
		      uint8_t *bytes)
{
	uint64_t end = fl_min_u64(off + STEP_BYTES, image_bytes(image));

	memset(bytes, 0, STEP_BYTES);
	return end > off ? fl_image_read(image, off, bytes, end - off) : 0;
}

static uint64_t next_data(const struct fl_image *image, uint64_t from)
{
	struct fl_image_run run;

	return image && fl_image_next_run(image, from, &run) ?
		       run.offset_bytes :
		       UINT64_MAX;
}

static void images_differ(struct pair *pair, enum fl__delta_kind kind,
			  uint32_t idx, const struct fl_image *was,
			  const struct fl_image *now)
{
	struct telling *t = &pair->t;
	uint64_t off = 0;

	part_begin(t, pair->idx, kind, idx, image_bytes(was), image_bytes(now));
	while (!t->err && !pair->is_lost && was != now) {
		off = fl_min_u64(next_data(was, off), next_data(now, off));
		if (off == UINT64_MAX)
			break;
		off = fl_round_down(off, STEP_BYTES);
		if (image_step(was, off, pair->bytes[0]) ||
		    image_step(now, off, pair->bytes[1]))
			pair->is_lost = true;
		else
			lines_differ(t, off, pair->bytes[0], pair->bytes[1],
				     STEP_BYTES);
		off += STEP_BYTES;
	}
	part_flush(t);
}

static void on_value(void *user, uint64_t idx)
{
	part_add(user, idx, 1);
}

static void values_differ(struct pair *pair, uint32_t idx,
			  const struct fl__captured_table *was,
			  const struct fl__captured_table *now)
{
	part_begin(&pair->t, pair->idx, FL__DELTA_VALUES, idx, was->length,
		   now->length);
	fl__taking_each_value(now, was, on_value, &pair->t);
	part_flush(&pair->t);
}

/* First the plain tables, then the encoded ones, as in a delta. A table may have
 * changed its form. */
static void tables_differ(struct pair *pair, const struct fl__captured *was,
			  const struct fl__captured *now)
{
	const struct fl__reader *reader = &was->module->reader;
	uint32_t from = reader->imported_table_count;
	static const struct fl__captured_table none;

	for (uint32_t i = from; i < reader->table_count && !pair->t.err; i++) {
		if (was->tables[i].image || now->tables[i].image)
			images_differ(pair, FL__DELTA_TABLE, i,
				      was->tables[i].image,
				      now->tables[i].image);
	}
	for (uint32_t i = from; i < reader->table_count && !pair->t.err; i++) {
		const struct fl__captured_table *a = &was->tables[i];
		const struct fl__captured_table *b = &now->tables[i];

		if (!a->image || !b->image)
			values_differ(pair, i, a->image ? &none : a,
				      b->image ? &none : b);
	}
}

static void dropped_differ(struct pair *pair, enum fl__delta_kind kind,
			   const uint64_t *was, const uint64_t *now,
			   uint32_t count)
{
	part_begin(&pair->t, pair->idx, kind, 0, count, count);
	for (uint32_t i = 0; i < count; i++) {
		if ((was && fl_bit_get(was, i)) != (now && fl_bit_get(now, i)))
			part_add(&pair->t, i, 1);
	}
	part_flush(&pair->t);
}

static void states_differ(struct pair *pair, const struct fl__captured *was,
			  const struct fl__captured *now)
{
	struct telling *t = &pair->t;
	const uint8_t *a = was->state, *b = now->state;
	uint64_t both = fl_min_u64(was->state_bytes, now->state_bytes);
	uint64_t all = fl_max_u64(was->state_bytes, now->state_bytes);

	part_begin(t, pair->idx, FL__DELTA_STATE, 0, was->state_bytes,
		   now->state_bytes);
	for (uint64_t off = 0; off < all && !t->err; off += LINE) {
		uint64_t end = fl_min_u64(off + LINE, all);

		if (end > both ||
		    memcmp(a + off, b + off, (size_t)(end - off)) != 0)
			part_add(t, off / LINE, 1);
	}
	part_flush(t);
}

static void instances_differ(struct pair *pair)
{
	const struct fl__captured *was = &pair->was->instances[pair->idx];
	const struct fl__captured *now = &pair->now->instances[pair->idx];
	const struct fl__reader *reader = &was->module->reader;

	for (uint32_t i = 0; i < FL__READER_MAX_MEMORIES && !pair->t.err; i++) {
		if (was->images[i] || now->images[i])
			images_differ(pair, FL__DELTA_MEMORY, i, was->images[i],
				      now->images[i]);
	}
	tables_differ(pair, was, now);
	if (was->structure || now->structure)
		images_differ(pair, FL__DELTA_STRUCTURE, 0, was->structure,
			      now->structure);
	dropped_differ(pair, FL__DELTA_DROPPED_DATA, was->dropped_data,
		       now->dropped_data, reader->data_count);
	dropped_differ(pair, FL__DELTA_DROPPED_ELEMENTS, was->dropped_elements,
		       now->dropped_elements, reader->elem_count);
	states_differ(pair, was, now);
}

static bool is_same_module(const struct fl_module *a, const struct fl_module *b)
{
	return a == b ||
	       (a->reader.length == b->reader.length &&
		!memcmp(a->bytes, b->bytes, (size_t)a->reader.length));
}

static int check_pair(const struct fl_snapshot *was,
		      const struct fl_snapshot *now,
		      const struct fl_delta *delta, struct fl_error *error)
{
	if (!was->count || !now->count)
		return fl__error_set(
			error, -EINVAL,
			"a snapshot was opened only to be looked at; open both with their modules");
	if (was->count != now->count)
		return fl__error_set(
			error, -EINVAL,
			"the snapshots have %u and %u instances; only snapshots of the same modules are compared",
			was->count, now->count);
	for (uint32_t i = 0; i < was->count; i++) {
		if (!is_same_module(was->instances[i].module,
				    now->instances[i].module))
			return fl__error_set(
				error, -EINVAL,
				"instance %u is of another module in the second snapshot; its state is not comparable",
				i);
	}
	if (delta && delta->snapshot != was)
		return fl__error_set(
			error, -EINVAL,
			"the delta is not of the first snapshot; open it with that one");
	return 0;
}

int fl_snapshot_differences(const struct fl_snapshot *was,
			    const struct fl_snapshot *now,
			    const struct fl_delta *delta, difference_fn *fn,
			    void *user, struct fl_error *error)
{
	struct pair pair = {
		.t = { .fn = fn, .user = user, .delta = delta },
		.was = was,
		.now = now,
	};
	int err = check_pair(was, now, delta, error);

	if (err)
		return err;
	pair.bytes[0] = malloc(2 * (size_t)STEP_BYTES);
	if (!pair.bytes[0])
		return fl__error_set(error, -ENOMEM,
				     "no memory to compare snapshots");
	pair.bytes[1] = pair.bytes[0] + STEP_BYTES;
	for (; pair.idx < was->count && !pair.t.err && !pair.is_lost;
	     pair.idx++)
		instances_differ(&pair);
	free(pair.bytes[0]);
	if (!pair.t.err && pair.is_lost)
		return fl__error_set(
			error, -EIO,
			"an image of a snapshot cannot be read: its file was cut or cannot be read");
	return pair.t.err;
}
