/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * suspend_instance.c - from live instances to a delta.
 *
 * Takes all instances of a snapshot, in which nothing runs, and how the runtime
 * encodes what is no bytes; gives a delta. suspend.h has the order of steps.
 */
#include "capture.h"
#include "base/config.h"
#include "suspend.h"
#include "table.h"
#include "taking_values.h"

#include <stdlib.h>

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
	if (!fl__instance_began_as(instance, &group->snapshot->instances[idx]))
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

	if (snapshot && !snapshot->count)
		return fl__snapshot_not_bound(error);
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
				      false, error);
	for (uint32_t i = reader->imported_table_count;
	     i < instance->table_count && !err; i++) {
		const struct fl__table *table =
			fl__table_of(instance->tables[i]);

		/* What drops elements is called with them, by the give. */
		if (was->tables[i].image)
			err = fl__taking_slot(taking, table->slot,
					      now->tables[i].length *
						      table->element_bytes,
					      table->drop != NULL, error);
		else
			fl__delta_bound_items(
				&taking->bound,
				fl__taking_count_values(&now->tables[i],
							&was->tables[i]));
	}
	if (!err && was->structure)
		err = fl__taking_slot(taking, fl__instance_slot(instance),
				      was->structure->map.initial_bytes, false,
				      error);
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
			fl__taking_values(&taking->out, i,
					  &group->now[idx].tables[i], table);
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
	fl__taking_dropped(out, FL__DELTA_DROPPED_DATA, now->dropped_data,
			   was->dropped_data, reader->data_count);
	fl__taking_dropped(out, FL__DELTA_DROPPED_ELEMENTS,
			   now->dropped_elements, was->dropped_elements,
			   reader->elem_count);
	fl__taking_state(taking, was, now->state, now->state_bytes);
	fl__delta_instance_end(out);
	return 0;
}

/* The runtime encodes first: what it changes by that is taken. */
static int group_gather(const struct group *group,
			const struct fl_delta_config *config,
			struct fl__taking *taking, struct fl_error *error)
{
	int err = 0;

	for (uint32_t i = 0; i < group->count && !err; i++)
		err = fl__capture_values(group->instances, i, &group->capture,
					 &group->now[i], error);
	for (uint32_t i = 0; i < group->count && !err; i++)
		err = take_slots(group, i, taking, error);
	return err ? err : fl__taking_room(taking, config->needed_bytes, error);
}

static int group_take(const struct group *group, struct fl__taking *taking,
		      struct fl_error *error)
{
	uint32_t slot_idx = 0;
	int err = 0;

	for (uint32_t i = 0; i < group->count && !err; i++)
		err = put_instance(group, i, taking, &slot_idx, error);
	return err;
}

static void unclaim(const struct group *group, uint32_t count)
{
	while (count--)
		fl__slot_unclaim(fl__instance_slot(group->instances[count]));
}

/* Each instance is this call's, or none: another release may get ahead. */
static int claim_all(const struct group *group, struct fl_error *error)
{
	for (uint32_t i = 0; i < group->count; i++) {
		if (fl__slot_claim(fl__instance_slot(group->instances[i])))
			continue;
		unclaim(group, i);
		return fl__error_set(
			error, -EINVAL,
			"an instance is released by somebody else, or given twice");
	}
	return 0;
}

/* With is_end the instances are claimed after that, or live and are as they
 * were. */
static int group_delta(struct group *group,
		       const struct fl_delta_config *config, bool is_end,
		       struct fl_delta **delta, struct fl_error *error)
{
	struct fl__taking taking;
	bool is_claimed = false;
	int err;

	group->now = calloc(group->count, sizeof(*group->now));
	if (!group->now)
		return fl__error_set(error, -ENOMEM,
				     "no memory to make a delta");
	err = fl__taking_begin(&taking, config->snapshot, group->count,
			       config->tag, config->buffer,
			       config->buffer_bytes, is_end, error);
	if (!err)
		err = group_gather(group, config, &taking, error);
	if (!err && is_end) {
		err = claim_all(group, error);
		is_claimed = !err;
		if (!err)
			err = fl__taking_is_sure(&taking, error);
	}
	if (!err)
		err = group_take(group, &taking, error);
	if (err && is_claimed)
		unclaim(group, group->count);
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
			   struct fl__suspend_clock *clock,
			   struct fl_delta **delta, struct fl_error *error)
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
	*clock = fl__suspend_clock_begin(fl__instance_slot(instances[0]),
					 is_end);
	return fl__stats_answer(clock->stats,
				group_delta(&group, &known, is_end, delta,
					    error));
}

int fl_instance_delta(struct fl_instance *const *instances, uint32_t count,
		      const struct fl_delta_config *config,
		      struct fl_delta **delta, struct fl_error *error)
{
	fl__os_no_cancel();
	struct fl__suspend_clock clock;
	int err = instances_delta(instances, count, config, false, &clock,
				  delta, error);

	if (!err)
		fl__suspend_clock_end(&clock, *delta);
	return err;
}

int fl_instance_suspend(struct fl_instance *const *instances, uint32_t count,
			const struct fl_delta_config *config,
			struct fl_delta **out, struct fl_error *error)
{
	fl__os_no_cancel();
	struct fl_delta *delta;
	struct fl__suspend_clock clock;
	int err = instances_delta(instances, count, config, true, &clock,
				  &delta, error);

	if (err)
		return err;
	while (count--) {
		err = fl__instance_give(instances[count]);
		if (err)
			delta->release_error = err;
	}
	fl__suspend_clock_end(&clock, delta);
	*out = delta;
	return 0;
}
