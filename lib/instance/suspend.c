/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * suspend.c - from live memories, or live instances, to a delta.
 *
 * Takes memories or instances in which nothing runs, and the snapshot that they
 * began as; gives a delta. A checkpoint changes nothing. A suspend is a checkpoint,
 * and then the release: until the delta is whole, nothing has changed, and from then
 * on nothing takes the delta back, whatever becomes of the slots.
 */
#include "capture.h"
#include "base/config.h"
#include "table.h"
#include "taking.h"

#include <stdlib.h>

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
	if (!snapshot->count || !snapshot->instances[0].is_parts)
		return fl__error_set(
			error, -EINVAL,
			"the snapshot was not made by fl_snapshot_create(); use fl_instance_delta()");
	if (known->memory_count > FL__READER_MAX_MEMORIES)
		return fl__error_set(error, -E2BIG,
				     "memory_count is %u; a module has at most %u",
				     known->memory_count,
				     (unsigned)FL__READER_MAX_MEMORIES);
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
		return fl__error_set(error, -EINVAL,
				     "memories[%u] is not live", idx);
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

static int parts_take(const struct fl_delta_parts *parts,
		      struct fl__taking *taking, struct fl_error *error)
{
	const struct fl__captured *captured = parts->snapshot->instances;
	uint32_t slot_idx = 0;
	int err = 0;

	for (uint32_t i = 0; i < parts->memory_count && !err; i++) {
		const struct fl_memory *memory = parts->memories[i];

		if (memory)
			err = fl__taking_slot(taking, fl__slot_of_side(memory),
					      fl__memory_length(memory), error);
	}
	fl__delta_bound_lines(&taking->bound, 2, parts->state_bytes);
	if (!err)
		err = fl__taking_room(taking, parts->needed_bytes, error);
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

static int parts_delta(const struct fl_delta_parts *parts,
		       struct fl_delta **delta, struct fl_error *error)
{
	struct fl__taking taking;
	int err = fl__taking_begin(&taking, parts->snapshot, 1, parts->tag,
				   parts->buffer, parts->buffer_bytes, error);

	if (!err)
		err = parts_take(parts, &taking, error);
	if (!err)
		*delta = fl__taking_end(&taking);
	fl__taking_fini(&taking);
	return err;
}

/* A delta under way, for the statistics of the first part's pool. */
struct clock {
	struct fl__stats *stats; /* NULL: not counted */
	enum fl__word word;
	uint64_t start_ns;
};

static struct clock clock_begin(const struct fl__slot *slot, bool is_end)
{
	struct clock clock = {
		.stats = slot ? slot->bank->pool->stats : NULL,
		.word = is_end ? FL__WORD_suspends : FL__WORD_checkpoints,
	};

	clock.start_ns = fl__stats_begin_word(clock.stats, clock.word);
	return clock;
}

static void clock_end(const struct clock *clock, const struct fl_delta *delta)
{
	fl__stats_end(clock->stats, FL__TIMES_suspend, clock->start_ns);
	fl__stats_add(clock->stats, clock->word, 1);
	fl__stats_add(clock->stats, FL__WORD_delta_bytes, delta->length_bytes);
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
	struct clock clock;
	int err = parts_read(parts, &known, error);

	if (!err)
		err = check_memories(&known, false, error);
	if (err)
		return err;
	clock = clock_begin(first_slot(&known), false);
	err = parts_delta(&known, delta, error);
	if (!err)
		clock_end(&clock, *delta);
	return fl__stats_answer(clock.stats, err);
}

/* Each memory is this call's, or none: another release may get ahead. */
static int claim_all(const struct fl_delta_parts *parts, struct fl_error *error)
{
	for (uint32_t i = 0; i < parts->memory_count; i++) {
		if (!parts->memories[i] ||
		    fl__slot_claim(fl__slot_of_side(parts->memories[i])))
			continue;
		for (uint32_t k = 0; k < i; k++) {
			if (parts->memories[k])
				fl__slot_unclaim(
					fl__slot_of_side(parts->memories[k]));
		}
		return fl__error_set(
			error, -EINVAL,
			"memories[%u] is released by somebody else, or given twice",
			i);
	}
	return 0;
}

int fl_memory_suspend(const struct fl_delta_parts *parts,
		      struct fl_delta **out, struct fl_error *error)
{
	struct fl_delta_parts known;
	struct fl_delta *delta;
	struct clock clock;
	int err = parts_read(parts, &known, error);

	if (!err)
		err = check_memories(&known, true, error);
	if (err)
		return err;
	clock = clock_begin(first_slot(&known), true);
	err = parts_delta(&known, &delta, error);
	if (err)
		return fl__stats_answer(clock.stats, err);
	err = claim_all(&known, error);
	if (err) {
		fl_delta_release(delta);
		return fl__stats_answer(clock.stats, err);
	}
	for (uint32_t i = known.memory_count; i--;) {
		err = known.memories[i] ? fl__memory_give(known.memories[i]) :
					  0;
		if (err)
			delta->release_error = err;
	}
	clock_end(&clock, delta);
	*out = delta;
	return 0;
}

/* ---------------------------------------------------------------- instances */

/* Instances that are taken, and what the runtime gave of them. */
struct group {
	struct fl_instance *const *instances;
	uint32_t count;
	const struct fl_snapshot *snapshot;
	struct fl_snapshot_config capture;
	struct fl__captured *now;
};

static int check_slot(const struct fl__slot *slot, const struct fl_image *image,
		      uint32_t idx, struct fl_error *error)
{
	if (slot->space.image == image)
		return 0;
	return fl__error_set(
		error, -EINVAL,
		"a %s of instances[%u] does not show the snapshot's image",
		slot->bank->kind->what, idx);
}

static int check_memories_of(const struct group *group, uint32_t idx,
			     struct fl_error *error)
{
	const struct fl_instance *instance = group->instances[idx];
	const struct fl__captured *captured = &group->snapshot->instances[idx];
	int err = 0;

	for (uint32_t i = instance->module->reader.imported_memory_count;
	     i < instance->memory_count && !err; i++) {
		const struct fl_memory *memory = instance->memories[i];
		const struct fl__slot *slot = fl__slot_of_side(memory);

		err = check_slot(slot, captured->images[i], idx, error);
		if (!err && __atomic_load_n(&slot->is_lent, __ATOMIC_RELAXED))
			err = fl__error_set(
				error, -ENOTSUP,
				"memory %u of instances[%u] is lent: the holder of its pages may write at any time",
				i, idx);
		if (!err && fl__memory_of(memory)->shape.is_shared &&
		    !group->capture.is_quiet)
			err = fl__error_set(
				error, -ENOTSUP,
				"memory %u of instances[%u] is shared; when no thread runs in it, set is_quiet",
				i, idx);
	}
	return err;
}

/* What is bytes in the snapshot is bytes here. */
static int check_forms(const struct group *group, uint32_t idx,
		       struct fl_error *error)
{
	const struct fl_instance *instance = group->instances[idx];
	const struct fl__captured *captured = &group->snapshot->instances[idx];
	bool has_structure = group->capture.plain_structure &&
			     fl_instance_structure(instance);

	for (uint32_t i = instance->module->reader.imported_table_count;
	     i < instance->table_count; i++) {
		const struct fl_image *image = captured->tables[i].image;

		if (!group->capture.plain_tables == !image && !image)
			continue;
		if (image && group->capture.plain_tables &&
		    !check_slot(fl__table_of(instance->tables[i])->slot, image,
				idx, NULL))
			continue;
		return fl__error_set(
			error, -EINVAL,
			"plain_tables is %u, and table %u of the snapshot is in the other form",
			group->capture.plain_tables, i);
	}
	if (has_structure == (captured->structure != NULL))
		return 0;
	return fl__error_set(
		error, -EINVAL,
		"plain_structure is %u, and the snapshot has the structure in the other form",
		group->capture.plain_structure);
}

static int check_instance(const struct group *group, uint32_t idx,
			  struct fl_error *error)
{
	const struct fl_instance *instance = group->instances[idx];
	int err;

	if (__atomic_load_n(&instance->is_restoring, __ATOMIC_RELAXED))
		return fl__error_set(error, -EINVAL,
				     "the acquire of instances[%u] is not over",
				     idx);
	if (instance->captured != &group->snapshot->instances[idx])
		return fl__error_set(
			error, -EINVAL,
			"instances[%u] is no clone of instance %u of the snapshot",
			idx, idx);
	err = check_memories_of(group, idx, error);
	return err ? err : check_forms(group, idx, error);
}

static int group_check(const struct group *group, struct fl_error *error)
{
	const struct fl_snapshot *snapshot = group->snapshot;
	const char *encoding = group->capture.encoding;
	int err;

	if (!snapshot || group->count != snapshot->count)
		return fl__error_set(
			error, -EINVAL,
			"a delta is of all instances of its snapshot: set snapshot, and give as many");
	if (strcmp(encoding ? encoding : "", snapshot->encoding) != 0)
		return fl__error_set(
			error, -EINVAL,
			"encoding is \"%.80s\", that of the snapshot \"%.80s\"",
			encoding ? encoding : "", snapshot->encoding);
	err = fl__capture_check(group->instances, group->count, error);
	for (uint32_t i = 0; i < group->count && !err; i++)
		err = check_instance(group, i, error);
	return err;
}

/* ------------------------------------------------------------------- values */

/* The values of a captured table, asked for upwards. */
struct values {
	const struct fl__captured_table *table;
	uint64_t run, taken; /* values before the run */
};

static uint64_t value_at(struct values *values, uint64_t idx)
{
	const struct fl__captured_table *table = values->table;

	while (values->run < table->run_count) {
		const struct fl__captured_run *run = &table->runs[values->run];

		if (idx < run->first_idx)
			break;
		if (idx - run->first_idx < run->count)
			return table->values[values->taken +
					     (idx - run->first_idx)];
		values->taken += run->count;
		values->run++;
	}
	return UINT64_MAX;
}

/* The next element from idx on that has another value; the length: none. */
static uint64_t next_changed(struct values *now, struct values *was,
			     uint64_t idx, uint64_t *value)
{
	for (; idx < now->table->length; idx++) {
		*value = value_at(now, idx);
		if (*value != value_at(was, idx))
			break;
	}
	return idx;
}

static uint64_t count_changed(const struct fl__captured_table *now,
			      const struct fl__captured_table *was)
{
	struct values n = { now, 0, 0 }, w = { was, 0, 0 };
	uint64_t count = 0, idx = 0, value;

	while ((idx = next_changed(&n, &w, idx, &value)) < now->length) {
		count++;
		idx++;
	}
	return count;
}

static void put_table(struct fl__delta_out *out, uint32_t table_idx,
		      const struct fl__captured_table *now,
		      const struct fl__captured_table *was)
{
	struct values n = { now, 0, 0 }, w = { was, 0, 0 };
	uint64_t idx = 0, value;

	fl__delta_part(out, FL__DELTA_VALUES, table_idx, now->length);
	while ((idx = next_changed(&n, &w, idx, &value)) < now->length)
		fl__delta_item(out, idx++);
	if (!fl__delta_part_end(out, was->length))
		return;
	n = (struct values){ now, 0, 0 };
	w = (struct values){ was, 0, 0 };
	for (idx = 0;
	     (idx = next_changed(&n, &w, idx, &value)) < now->length; idx++)
		fl__delta_value(out, value);
}

static void put_dropped(struct fl__delta_out *out, enum fl__delta_kind kind,
			const uint64_t *now, const uint64_t *was,
			uint32_t count)
{
	fl__delta_part(out, kind, 0, count);
	for (uint32_t i = 0; now && i < count; i++) {
		if (fl_bit_get(now, i) && !(was && fl_bit_get(was, i)))
			fl__delta_item(out, i);
	}
	(void)fl__delta_part_end(out, count);
}

/* -------------------------------------------------------------------- taking */

/* All slots of an instance, in the order in which their lines are taken. */
static int take_slots(const struct group *group, uint32_t idx,
		      struct fl__taking *taking, struct fl_error *error)
{
	const struct fl_instance *instance = group->instances[idx];
	const struct fl__captured *was = &group->snapshot->instances[idx];
	const struct fl__captured *now = &group->now[idx];
	const struct fl__reader *reader = &instance->module->reader;
	int err = 0;

	for (uint32_t i = reader->imported_memory_count;
	     i < instance->memory_count && !err; i++)
		err = fl__taking_slot(taking,
				      fl__slot_of_side(instance->memories[i]),
				      fl__memory_length(instance->memories[i]),
				      error);
	for (uint32_t i = reader->imported_table_count;
	     i < instance->table_count && !err; i++) {
		const struct fl__table *table =
			fl__table_of(instance->tables[i]);

		if (was->tables[i].image)
			err = fl__taking_slot(taking, table->slot,
					      now->tables[i].length *
						      table->element_bytes,
					      error);
		else
			fl__delta_bound_items(&taking->bound,
					      count_changed(&now->tables[i],
							    &was->tables[i]));
	}
	if (!err && was->structure)
		err = fl__taking_slot(taking, fl__instance_slot(instance),
				      was->structure->map.initial_bytes, error);
	fl__delta_bound_items(&taking->bound, reader->data_count);
	fl__delta_bound_items(&taking->bound, reader->elem_count);
	fl__delta_bound_lines(&taking->bound, 2, now->state_bytes);
	return err;
}

/* Plain tables come before the encoded ones; a snapshot has but one form. */
static int put_tables(const struct group *group, uint32_t idx,
		      struct fl__taking *taking, uint32_t *slot_idx,
		      struct fl_error *error)
{
	const struct fl_instance *instance = group->instances[idx];
	const struct fl__captured *was = &group->snapshot->instances[idx];
	int err = 0;

	for (uint32_t i = instance->module->reader.imported_table_count;
	     i < instance->table_count && !err; i++) {
		const struct fl__captured_table *table = &was->tables[i];

		if (table->image)
			err = fl__taking_lines(
				taking, (*slot_idx)++, FL__DELTA_TABLE, i,
				table->length * table->element_bytes, error);
		else
			put_table(&taking->out, i, &group->now[idx].tables[i],
				  table);
	}
	return err;
}

static int put_instance(const struct group *group, uint32_t idx,
			struct fl__taking *taking, uint32_t *slot_idx,
			struct fl_error *error)
{
	const struct fl_instance *instance = group->instances[idx];
	const struct fl__captured *was = &group->snapshot->instances[idx];
	const struct fl__captured *now = &group->now[idx];
	const struct fl__reader *reader = &instance->module->reader;
	struct fl__delta_out *out = &taking->out;
	int err = 0;

	for (uint32_t i = reader->imported_memory_count;
	     i < instance->memory_count && !err; i++)
		err = fl__taking_lines(taking, (*slot_idx)++, FL__DELTA_MEMORY,
				       i, was->images[i]->map.initial_bytes,
				       error);
	if (!err)
		err = put_tables(group, idx, taking, slot_idx, error);
	if (!err && was->structure)
		err = fl__taking_lines(taking, (*slot_idx)++,
				       FL__DELTA_STRUCTURE, 0,
				       was->structure->map.initial_bytes,
				       error);
	if (err)
		return err;
	put_dropped(out, FL__DELTA_DROPPED_DATA, now->dropped_data,
		    was->dropped_data, reader->data_count);
	put_dropped(out, FL__DELTA_DROPPED_ELEMENTS, now->dropped_elements,
		    was->dropped_elements, reader->elem_count);
	fl__taking_state(taking, was, now->state, now->state_bytes);
	fl__delta_instance_end(out);
	return 0;
}

/* The runtime encodes first: what it changes by that is taken. */
static int group_take(const struct group *group,
		      const struct fl_delta_config *config,
		      struct fl__taking *taking, struct fl_error *error)
{
	uint32_t slot_idx = 0;
	int err = 0;

	for (uint32_t i = 0; i < group->count && !err; i++)
		err = fl__capture_values(group->instances, i, &group->capture,
					 &group->now[i], error);
	for (uint32_t i = 0; i < group->count && !err; i++)
		err = take_slots(group, i, taking, error);
	if (!err)
		err = fl__taking_room(taking, config->needed_bytes, error);
	for (uint32_t i = 0; i < group->count && !err; i++)
		err = put_instance(group, i, taking, &slot_idx, error);
	return err;
}

static int group_delta(struct group *group,
		       const struct fl_delta_config *config,
		       struct fl_delta **delta, struct fl_error *error)
{
	struct fl__taking taking;
	int err;

	group->now = calloc(group->count, sizeof(*group->now));
	if (!group->now)
		return fl__error_set(error, -ENOMEM,
				     "no memory to make a delta");
	err = fl__taking_begin(&taking, config->snapshot, group->count,
			       config->tag, config->buffer,
			       config->buffer_bytes, error);
	if (!err)
		err = group_take(group, config, &taking, error);
	if (!err)
		*delta = fl__taking_end(&taking);
	fl__taking_fini(&taking);
	for (uint32_t i = 0; i < group->count; i++)
		fl__captured_fini(&group->now[i]);
	free(group->now);
	return err;
}

static int instances_delta(struct fl_instance *const *instances, uint32_t count,
			   const struct fl_delta_config *config, bool is_end,
			   struct clock *clock, struct fl_delta **delta,
			   struct fl_error *error)
{
	struct group group = { .instances = instances, .count = count };
	struct fl_delta_config known;
	int err = fl__config_read(FL_DELTA_CONFIG, &known, config, error);

	if (!err)
		err = fl__config_read(FL_SNAPSHOT_CONFIG, &group.capture,
				      known.capture, error);
	group.snapshot = err ? NULL : known.snapshot;
	if (!err)
		err = group_check(&group, error);
	if (err)
		return err;
	*clock = clock_begin(fl__instance_slot(instances[0]), is_end);
	return fl__stats_answer(clock->stats,
				group_delta(&group, &known, delta, error));
}

int fl_instance_delta(struct fl_instance *const *instances, uint32_t count,
		      const struct fl_delta_config *config,
		      struct fl_delta **delta, struct fl_error *error)
{
	fl__os_no_cancel();
	struct clock clock;
	int err = instances_delta(instances, count, config, false, &clock,
				  delta, error);

	if (!err)
		clock_end(&clock, *delta);
	return err;
}

static int claim_instances(struct fl_instance *const *instances, uint32_t count,
			   struct fl_error *error)
{
	for (uint32_t i = 0; i < count; i++) {
		if (fl__slot_claim(fl__instance_slot(instances[i])))
			continue;
		while (i--)
			fl__slot_unclaim(fl__instance_slot(instances[i]));
		return fl__error_set(
			error, -EINVAL,
			"an instance is released by somebody else, or given twice");
	}
	return 0;
}

int fl_instance_suspend(struct fl_instance *const *instances, uint32_t count,
			const struct fl_delta_config *config,
			struct fl_delta **out, struct fl_error *error)
{
	fl__os_no_cancel();
	struct fl_delta *delta;
	struct clock clock;
	int err = instances_delta(instances, count, config, true, &clock,
				  &delta, error);

	if (err)
		return err;
	err = claim_instances(instances, count, error);
	if (err) {
		fl_delta_release(delta);
		return fl__stats_answer(clock.stats, err);
	}
	while (count--) {
		err = fl__instance_give(instances[count]);
		if (err)
			delta->release_error = err;
	}
	clock_end(&clock, delta);
	*out = delta;
	return 0;
}
