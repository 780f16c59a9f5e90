/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * wake.c - from a delta to what it was made of.
 *
 * Takes a delta, which was checked, and what shows the snapshot's content; gives
 * that the delta's sizes and lines. A memory's slot is attached at the size of the
 * snapshot and grown from there, so that a reset in place returns to the snapshot.
 *
 * The lines are stored by the processor, and the kernel notes the pages like those
 * that a guest writes. fl__memory_put() knows where a call has to store them.
 */
#include "wake.h"
#include "base/bits.h"
#include "memory.h"

static int memory_put(struct fl_memory *memory, const struct fl__delta_run *run,
		      uint64_t length_bytes)
{
	uint64_t off = run->first * FL__DELTA_LINE_BYTES;

	return fl__memory_put(memory, off, run->lines,
			      fl_min_u64(run->count * FL__DELTA_LINE_BYTES,
					 length_bytes - off));
}

static int memory_grow_to(struct fl_memory *memory, uint64_t length_bytes,
			  struct fl_error *error)
{
	uint64_t page_bytes = fl__memory_of(memory)->shape.page_bytes;
	uint64_t more = length_bytes - fl__memory_length(memory);
	int err = more % page_bytes ?
			  -EINVAL :
			  (more ? fl_memory_grow(memory, more / page_bytes,
						 NULL) :
				  0);

	/* Which maximum is in the way, if it is no call of the runtime's. */
	if (err == -E2BIG &&
	    fl_memory_check_growth(memory, more / page_bytes, error))
		return err;
	return err ? fl__error_set(
			     error, err,
			     "the memory cannot grow to the %llu bytes that it had: %s",
			     fl_llu(length_bytes), fl_strerror(err)) :
		     0;
}

static int memory_restore(struct fl_memory *memory, struct fl__delta_part *part,
			  struct fl_error *error)
{
	struct fl__delta_run run;
	int err = memory_grow_to(memory, part->length, error);

	while (!err && fl__delta_next_run(part, &run)) {
		err = memory_put(memory, &run, part->length);
		if (err)
			return fl__memory_cannot_put("a line of the delta", err,
						     error);
	}
	return err;
}

static int check_fresh(const struct fl_delta *delta, uint32_t memory_idx,
		       const struct fl_memory *memory, struct fl_error *error)
{
	const struct fl__slot *slot = fl__slot_of_side(memory);
	struct fl_image *image =
		fl_snapshot_image(delta->snapshot, 0, memory_idx);
	int err = fl__pool_check_owner(slot->bank->pool, error);

	if (err)
		return err;
	if (!delta->snapshot->count)
		return fl__snapshot_not_bound(error);
	if (!image)
		return fl__error_set(
			error, -EINVAL,
			"the delta's snapshot has no memory %u to restore",
			memory_idx);
	if (!fl__slot_is_live(slot))
		return fl__error_set(error, -EINVAL, "the memory is not live");
	if (slot->space.image != image ||
	    fl__memory_length(memory) != image->map.initial_bytes)
		return fl__error_set(
			error, -EINVAL,
			"the memory is not fresh: acquire it with image %u of the delta's snapshot, and of its size",
			memory_idx);
	return 0;
}

int fl_delta_restore_memory(const struct fl_delta *delta, uint32_t memory_idx,
			    struct fl_memory *memory, struct fl_error *error)
{
	struct fl__stats *stats = fl__slot_of_side(memory)->bank->pool->stats;
	struct fl__delta_part part;
	int err = check_fresh(delta, memory_idx, memory, error);
	uint64_t start_ns;

	if (err)
		return err;
	start_ns = fl__stats_begin_word(stats, FL__WORD_wakes);
	if (fl__delta_find(delta->bytes, 0, FL__DELTA_MEMORY, memory_idx,
			   &part))
		err = memory_restore(memory, &part, error);
	fl__stats_end(stats, FL__TIMES_wake, start_ns);
	if (!err)
		fl__stats_add(stats, FL__WORD_wakes, 1);
	return fl__stats_answer(stats, err);
}

/* ---------------------------------------------------------------- instances */

static int table_grow_to(struct fl_table *table, uint64_t length,
			 struct fl_error *error)
{
	uint64_t more = length - fl_table_size(table);
	int err = more ? fl_table_grow(table, more, NULL, NULL) : 0;

	return err ? fl__error_set(
			     error, err,
			     "a table cannot grow to the %llu %s that it had: %s",
			     fl_llu(length),
			     fl_noun(length, "element", "elements"),
			     fl_strerror(err)) :
		     0;
}

/* Of images that are nobody's file. */
static void put_lines(uint8_t *base, struct fl__delta_part *part)
{
	struct fl__delta_run run;

	while (fl__delta_next_run(part, &run)) {
		uint64_t off = run.first * FL__DELTA_LINE_BYTES;
		uint64_t len = run.count * FL__DELTA_LINE_BYTES;

		memcpy(base + off, run.lines,
		       (size_t)fl_min_u64(len, part->length - off));
	}
}

/* Lines are against zeroes where the snapshot had no elements, and a table grows
 * by nulls. */
static int plain_table_restore(struct fl_table *table,
			       struct fl__delta_part *part,
			       struct fl_error *error)
{
	uint64_t width = fl__table_of(table)->element_bytes;
	uint64_t were = fl_table_size(table);
	int err = table_grow_to(table, part->length / width, error);

	if (err)
		return err;
	memset(fl__table_element(table, were), 0,
	       (size_t)(part->length - were * width));
	put_lines(fl__table_element(table, 0), part);
	return 0;
}

static void drop_segments(uint64_t *bits, bool *drops,
			  struct fl__delta_part *part)
{
	struct fl__delta_run run;

	while (fl__delta_next_run(part, &run)) {
		*drops = true;
		for (uint64_t i = 0; i < run.count; i++)
			fl_bit_set(bits, (size_t)(run.first + i), true);
	}
}

static int part_restore(struct fl__wake_target *target,
			struct fl__delta_part part, struct fl_error *error)
{
	switch (part.kind) {
	case FL__DELTA_MEMORY:
		return memory_restore(target->memories[part.idx], &part, error);
	case FL__DELTA_TABLE:
		return plain_table_restore(target->tables[part.idx], &part,
					   error);
	case FL__DELTA_VALUES:
		return table_grow_to(target->tables[part.idx], part.length,
				     error);
	case FL__DELTA_STRUCTURE:
		put_lines(target->structure, &part);
		return 0;
	case FL__DELTA_DROPPED_DATA:
		drop_segments(target->dropped_data, &target->drops_data, &part);
		return 0;
	case FL__DELTA_DROPPED_ELEMENTS:
		drop_segments(target->dropped_elements, &target->drops_elements,
			      &part);
		return 0;
	default:
		return 0;
	}
}

int fl__wake(const struct fl_delta *delta, uint32_t instance_idx,
	     struct fl__wake_target *target, struct fl_error *error)
{
	struct fl__delta_walk walk;
	int err = 0;

	fl__delta_walk(&walk, delta->bytes);
	while (!err && fl__delta_walk_next(&walk)) {
		if (walk.part.instance_idx > instance_idx)
			break;
		if (walk.part.instance_idx == instance_idx)
			err = part_restore(target, walk.part, error);
	}
	return err;
}

void fl__wake_values(const struct fl__captured_table *captured,
		     const struct fl__delta_part *part, uint64_t *values)
{
	const uint8_t *at = fl__delta_values(part);
	const uint64_t *were = captured->values;
	struct fl__delta_part runs = *part;
	struct fl__delta_run run;

	memset(values, 0xff, (size_t)part->length * sizeof(*values));
	for (uint64_t i = 0; i < captured->run_count; i++) {
		const struct fl__captured_run *old = &captured->runs[i];

		memcpy(values + old->first_idx, were,
		       (size_t)old->count * sizeof(*values));
		were += old->count;
	}
	while (fl__delta_next_run(&runs, &run)) {
		for (uint64_t i = 0; i < run.count; i++)
			values[run.first + i] = fl__delta_next_value(&at);
	}
}
