/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * suspend.c - from live memories to a delta, for runtimes that own the rest.
 *
 * Takes memories in which nothing runs, the snapshot that they began as, and the
 * runtime's bytes; gives a delta. suspend.h has the order of steps.
 */
#include "suspend.h"
#include "base/config.h"
#include "memory.h"

/* The parts, as this library knows them. */
static int parts_read(const struct fl_delta_parts *parts,
		      struct fl_delta_parts *known, struct fl_error *error)
{
	const struct fl_snapshot *snapshot;
	int err = fl__config_read(FL_DELTA_PARTS, known, parts, error);

	if (err)
		return err;
	snapshot = known->snapshot;
	if (!snapshot || (known->state_bytes && !known->state) ||
	    (known->memory_count && !known->memories))
		return fl__error_set(
			error, -EINVAL,
			"the parts of a delta need a snapshot, and bytes and memories where they have a length");
	if (!snapshot->count)
		return fl__snapshot_not_bound(error);
	if (!snapshot->instances[0].is_parts)
		return fl__error_set(
			error, -EINVAL,
			"the snapshot was not made by fl_snapshot_create(); use fl_instance_delta()");
	if (known->memory_count > FL__READER_MAX_MEMORIES)
		return fl__error_set(
			error, -E2BIG,
			"memory_count is %u; a module has at most %u",
			known->memory_count, (unsigned)FL__READER_MAX_MEMORIES);
	return 0;
}

static int check_memory(const struct fl_delta_parts *parts, uint32_t idx,
			bool is_end, struct fl_error *error)
{
	const struct fl_memory *memory = parts->memories[idx];
	const struct fl__slot *slot = fl__slot_of_side(memory);
	int err = fl__pool_check_owner(slot->bank->pool, error);

	if (err)
		return err;
	if (!fl__slot_is_live(slot))
		return fl__error_set(error, -EINVAL, "memories[%u] is not live",
				     idx);
	if (is_end && slot->instance)
		return fl__error_set(
			error, -EINVAL,
			"memories[%u] belongs to an instance; use fl_instance_suspend()",
			idx);
	if (slot->space.image != parts->snapshot->instances[0].images[idx])
		return fl__error_set(
			error, -EINVAL,
			"memories[%u] was not acquired with image %u of the snapshot",
			idx, idx);
	if (__atomic_load_n(&slot->is_lent, __ATOMIC_RELAXED))
		return fl__error_set(
			error, -ENOTSUP,
			"memories[%u] is lent: the holder of its pages may write at any time",
			idx);
	if (fl__memory_of(memory)->shape.is_shared && !parts->is_quiet)
		return fl__error_set(
			error, -ENOTSUP,
			"memories[%u] is shared; when no thread runs in it, set is_quiet",
			idx);
	return 0;
}

/* Each memory that the snapshot has an image of is there, and no other. */
static int check_memories(const struct fl_delta_parts *parts, bool is_end,
			  struct fl_error *error)
{
	const struct fl__captured *captured = parts->snapshot->instances;
	int err = 0;

	for (uint32_t i = 0; i < FL__READER_MAX_MEMORIES && !err; i++) {
		bool is_given = i < parts->memory_count && parts->memories[i];

		if (is_given != (captured->images[i] != NULL))
			err = fl__error_set(
				error, -EINVAL,
				is_given ?
					"memories[%u] is given, and the snapshot has no image of it" :
					"memories[%u] is missing: the snapshot has an image of it",
				i);
		else if (is_given)
			err = check_memory(parts, i, is_end, error);
	}
	return err;
}

/* Nothing was done to the first count memories. */
static void unclaim(const struct fl_delta_parts *parts, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (parts->memories[i])
			fl__slot_unclaim(fl__slot_of_side(parts->memories[i]));
	}
}

/* Each memory is this call's, or none: another release may get ahead. */
static int claim_all(const struct fl_delta_parts *parts, struct fl_error *error)
{
	for (uint32_t i = 0; i < parts->memory_count; i++) {
		if (!parts->memories[i] ||
		    fl__slot_claim(fl__slot_of_side(parts->memories[i])))
			continue;
		unclaim(parts, i);
		return fl__error_set(
			error, -EINVAL,
			"memories[%u] is released by somebody else, or given twice",
			i);
	}
	return 0;
}

static int parts_gather(const struct fl_delta_parts *parts,
			struct fl__taking *taking, struct fl_error *error)
{
	int err = 0;

	for (uint32_t i = 0; i < parts->memory_count && !err; i++) {
		const struct fl_memory *memory = parts->memories[i];

		if (memory)
			err = fl__taking_slot(taking, fl__slot_of_side(memory),
					      fl__memory_length(memory), false,
					      error);
	}
	fl__delta_bound_lines(&taking->bound, 2, parts->state_bytes);
	return err ? err : fl__taking_room(taking, parts->needed_bytes, error);
}

static int parts_take(const struct fl_delta_parts *parts,
		      struct fl__taking *taking, struct fl_error *error)
{
	const struct fl__captured *captured = parts->snapshot->instances;
	uint32_t slot_idx = 0;
	int err = 0;

	for (uint32_t i = 0; i < parts->memory_count && !err; i++) {
		if (parts->memories[i])
			err = fl__taking_lines(
				taking, slot_idx++, FL__DELTA_MEMORY, i,
				captured->images[i]->map.initial_bytes, error);
	}
	if (err)
		return err;
	fl__taking_state(taking, captured, parts->state, parts->state_bytes);
	fl__delta_instance_end(&taking->out);
	return 0;
}

/* With is_end the memories are claimed after that, or live and are as they were. */
static int parts_delta(const struct fl_delta_parts *parts, bool is_end,
		       struct fl_delta **delta, struct fl_error *error)
{
	struct fl__taking taking;
	bool is_claimed = false;
	int err = fl__taking_begin(&taking, parts->snapshot, 1, parts->tag,
				   parts->buffer, parts->buffer_bytes, is_end,
				   error);

	if (!err)
		err = parts_gather(parts, &taking, error);
	if (!err && is_end) {
		err = claim_all(parts, error);
		is_claimed = !err;
		if (!err)
			err = fl__taking_is_sure(&taking, error);
	}
	if (!err)
		err = parts_take(parts, &taking, error);
	if (err && is_claimed)
		unclaim(parts, parts->memory_count);
	if (!err)
		*delta = fl__taking_end(&taking);
	fl__taking_fini(&taking);
	return err;
}

static const struct fl__slot *first_slot(const struct fl_delta_parts *parts)
{
	for (uint32_t i = 0; i < parts->memory_count; i++) {
		if (parts->memories[i])
			return fl__slot_of_side(parts->memories[i]);
	}
	return NULL;
}

int fl_memory_delta(const struct fl_delta_parts *parts, struct fl_delta **delta,
		    struct fl_error *error)
{
	struct fl_delta_parts known;
	struct fl__suspend_clock clock;
	int err = parts_read(parts, &known, error);

	if (!err)
		err = check_memories(&known, false, error);
	if (err)
		return err;
	clock = fl__suspend_clock_begin(first_slot(&known), false);
	err = parts_delta(&known, false, delta, error);
	if (!err)
		fl__suspend_clock_end(&clock, *delta);
	return fl__stats_answer(clock.stats, err);
}

int fl_memory_suspend(const struct fl_delta_parts *parts, struct fl_delta **out,
		      struct fl_error *error)
{
	struct fl_delta_parts known;
	struct fl_delta *delta;
	struct fl__suspend_clock clock;
	int err = parts_read(parts, &known, error);

	if (!err)
		err = check_memories(&known, true, error);
	if (err)
		return err;
	clock = fl__suspend_clock_begin(first_slot(&known), true);
	err = parts_delta(&known, true, &delta, error);
	if (err)
		return fl__stats_answer(clock.stats, err);
	for (uint32_t i = known.memory_count; i--;) {
		err = known.memories[i] ? fl__memory_give(known.memories[i]) :
					  0;
		if (err)
			delta->release_error = err;
	}
	fl__suspend_clock_end(&clock, delta);
	*out = delta;
	return 0;
}
