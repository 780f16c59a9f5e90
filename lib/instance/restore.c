/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * restore.c - clones: instances that begin where a captured instance stood.
 *
 * Takes a snapshot and a pool; gives instances whose memories, plain tables and
 * plain structures show the snapshot's images, like a module's own. Then the
 * runtime turns values back into references (decode), mends what points into
 * the slots (rebind), and renews what clones must not share (restored).
 * Whatever fails, all that was taken is given back.
 */
#include "restore.h"
#include "base/config.h"
#include "bind.h"
#include "wake.h"

#include <stdlib.h>

/* What the runtime answered, as an error of the closed set. */
static int answer_error(struct fl_error *error, const char *call, int answer)
{
	return fl__error_set(error, fl__error_answer(answer), "%s answered %d",
			     call, answer);
}

static uint32_t instance_idx(const struct fl_delta *delta,
			     const struct fl__captured *captured)
{
	return (uint32_t)(captured - delta->snapshot->instances);
}

/* Decoded references take the place of nulls, which hold nothing. */
static int decode_run(struct fl_instance *instance,
		      const struct fl_instance_config *config,
		      uint32_t table_idx, uint64_t first_idx, uint64_t count,
		      const uint64_t *values, struct fl_error *error)
{
	struct fl_table *table = instance->tables[table_idx];
	int answer;

	if (!config->decode_elements)
		return fl__error_set(
			error, -EINVAL,
			"table %u of the snapshot was encoded; set decode_elements",
			table_idx);
	answer = config->decode_elements(config->user, instance, table_idx,
					 first_idx, values, count,
					 fl__table_element(table, first_idx));
	if (!answer)
		return 0;
	/* What a failed call has left there is no reference. */
	fl__table_put(fl__table_of(table), first_idx, fl__table_of(table)->null,
		      count);
	return answer_error(error, "decode_elements", answer);
}

static int decode_table(struct fl_instance *instance,
			const struct fl_instance_config *config,
			const struct fl__captured_table *captured,
			uint32_t table_idx, struct fl_error *error)
{
	const uint64_t *values = captured->values;
	int err = 0;

	for (uint64_t i = 0; i < captured->run_count && !err; i++) {
		const struct fl__captured_run *run = &captured->runs[i];

		err = decode_run(instance, config, table_idx, run->first_idx,
				 run->count, values, error);
		values += run->count;
	}
	return err;
}

/* Entries of the table have changed since the snapshot. */
static int decode_changed_table(struct fl_instance *instance,
				const struct fl_instance_config *config,
				const struct fl__captured_table *captured,
				const struct fl__delta_part *part,
				struct fl_error *error)
{
	uint64_t *values = calloc((size_t)part->length + 1, sizeof(*values));
	uint64_t end;
	int err = 0;

	if (!values)
		return fl__error_set(error, -ENOMEM,
				     "no memory for the elements of table %u",
				     part->idx);
	fl__wake_values(captured, part, values);
	for (uint64_t i = 0; i < part->length && !err; i = end) {
		end = i;
		while (end < part->length && values[end] != UINT64_MAX)
			end++;
		if (end > i)
			err = decode_run(instance, config, part->idx, i,
					 end - i, values + i, error);
		else
			end++;
	}
	free(values);
	return err;
}

/* What differs from the snapshot is decoded over nulls. */
static void loosen_table(const struct fl_instance *instance,
			 const struct fl__captured_table *captured,
			 uint32_t table_idx)
{
	const struct fl_instance_config none = { .binds_tables = 0 };

	(void)fl__bind_holds(instance, &none, captured, table_idx);
}

static int decode_tables(struct fl_instance *instance,
			 const struct fl_instance_config *config,
			 const struct fl__captured *captured,
			 struct fl_error *error)
{
	struct fl__delta_part part;
	int err = 0;

	for (uint32_t i = 0; i < instance->table_count && !err; i++) {
		const struct fl__captured_table *table = &captured->tables[i];

		if (config->delta &&
		    fl__delta_find(config->delta->bytes,
				   instance_idx(config->delta, captured),
				   FL__DELTA_VALUES, i, &part)) {
			loosen_table(instance, table, i);
			err = decode_changed_table(instance, config, table,
						   &part, error);
			continue;
		}
		if (table->run_count &&
		    table->length > fl_table_size(instance->tables[i]))
			return fl__error_set(
				error, -EINVAL,
				"table %u is shorter than that of the snapshot",
				i);
		if (fl__bind_holds(instance, config, table, i))
			continue;
		err = decode_table(instance, config, table, i, error);
		if (!err)
			fl__bind_table(instance, config, table, i);
	}
	return err;
}

static int decode_state(struct fl_instance *instance,
			const struct fl_instance_config *config,
			const void *state, uint64_t state_bytes,
			struct fl_error *error)
{
	int answer;

	if (!state_bytes)
		return 0;
	if (!config->decode_state)
		return fl__error_set(
			error, -EINVAL,
			"the snapshot has state of the runtime; set decode_state");
	answer = config->decode_state(config->user, instance, state,
				      state_bytes);
	return answer ? answer_error(error, "decode_state", answer) : 0;
}

static int decode_woken_state(struct fl_instance *instance,
			      const struct fl_instance_config *config,
			      const struct fl__captured *captured,
			      struct fl_error *error)
{
	uint32_t idx = instance_idx(config->delta, captured);
	uint64_t len;
	void *state;
	int err;

	fl__delta_read_state(config->delta, idx, NULL, &len);
	state = len < SIZE_MAX / 2 ? malloc((size_t)len + 1) : NULL;
	if (!state)
		return fl__error_set(error, -ENOMEM,
				     "no memory for %llu bytes of state",
				     fl_llu(len));
	fl__delta_read_state(config->delta, idx, state, &len);
	err = decode_state(instance, config, state, len, error);
	free(state);
	return err;
}

/* Random bytes in stock: a system call for each clone would cost as much as the
 * rest of its acquire. The stock is the slot's, so no two threads and no forked
 * child use the same bytes. */
static int take_generation_id(struct fl_instance *instance, uint8_t *id)
{
	uint8_t *stock = instance->random;

	if (!instance->random_left) {
		int err = fl__os_random(stock, sizeof(instance->random));

		if (err)
			return err;
		instance->random_left = sizeof(instance->random);
	}
	instance->random_left -= 16;
	memcpy(id, stock + instance->random_left, 16);
	memset(stock + instance->random_left, 0, 16);
	return 0;
}

static int tell_restored(struct fl_instance *instance,
			 const struct fl_instance_config *config,
			 struct fl_error *error)
{
	struct fl_restored how = {
		.size = sizeof(how),
		.cause = config->delta ? FL_RESTORE_WOKEN : FL_RESTORE_CLONED,
	};
	int answer;

	if (!config->restored)
		return 0;
	answer = take_generation_id(instance, how.generation_id);
	if (answer)
		return fl__error_set(error, answer,
				     "the system gives no random bytes");
	answer = config->restored(config->user, instance, &how);
	return answer ? answer_error(error, "restored", answer) : 0;
}

/* What the runtime has of its own is the instance's, and lies where it is now. */
static int restore_structure(struct fl_instance *instance,
			     const struct fl_instance_config *config,
			     const struct fl__captured *captured,
			     struct fl_error *error)
{
	int answer = 0;
	int err =
		config->delta ?
			decode_woken_state(instance, config, captured, error) :
			decode_state(instance, config, captured->state,
				     captured->state_bytes, error);

	if (!err && config->rebind)
		answer = config->rebind(config->user, instance);
	if (answer)
		return answer_error(error, "rebind", answer);
	if (!err)
		fl__bind_structure(instance, config, captured);
	return err;
}

int fl__instance_restore(struct fl_instance *instance,
			 const struct fl_instance_config *config,
			 const struct fl__captured *captured,
			 struct fl_error *error)
{
	fl__os_no_cancel();
	bool holds;
	int err;

	__atomic_store_n(&instance->is_restoring, true, __ATOMIC_RELAXED);
	/* First: what holds something else is reset by that. */
	err = fl__bind_structure_holds(instance, config, captured, &holds,
				       error);
	if (!err)
		err = decode_tables(instance, config, captured, error);
	if (!err && !holds)
		err = restore_structure(instance, config, captured, error);
	return err ? err : tell_restored(instance, config, error);
}

/* ------------------------------------------------------------------ groups */

/* A configuration whose imports from within the snapshot are filled in. */
struct linked_config {
	struct fl_instance_config config;
	struct fl_memory *memories[FL__READER_MAX_MEMORIES];
	struct fl_table *tables[FL__READER_MAX_TABLES];
};

static void link_memories(struct linked_config *linked,
			  const struct fl__captured *captured,
			  struct fl_instance *const *instances)
{
	struct fl_instance_config *config = &linked->config;
	uint32_t count = captured->module->reader.imported_memory_count;

	for (uint32_t i = 0; i < count; i++) {
		const struct fl__link *link = &captured->memory_links[i];

		linked->memories[i] = NULL;
		if (link->is_linked)
			linked->memories[i] = instances[link->instance_idx]
						      ->memories[link->idx];
		else if (config->imported_memories &&
			 i < config->imported_memory_count)
			linked->memories[i] = config->imported_memories[i];
	}
	config->imported_memories = linked->memories;
	config->imported_memory_count = count;
}

static void link_tables(struct linked_config *linked,
			const struct fl__captured *captured,
			struct fl_instance *const *instances)
{
	struct fl_instance_config *config = &linked->config;
	uint32_t count = captured->module->reader.imported_table_count;

	for (uint32_t i = 0; i < count; i++) {
		const struct fl__link *link = &captured->table_links[i];

		linked->tables[i] = NULL;
		if (link->is_linked)
			linked->tables[i] =
				instances[link->instance_idx]->tables[link->idx];
		else if (config->imported_tables &&
			 i < config->imported_table_count)
			linked->tables[i] = config->imported_tables[i];
	}
	config->imported_tables = linked->tables;
	config->imported_table_count = count;
}

/* Clones of a group, as far as they were made. */
struct group {
	struct fl_instance **instances;
	uint32_t count;
};

static void group_give(struct group *group)
{
	while (group->count--)
		(void)fl__instance_give(group->instances[group->count]);
}

/* The taker was cancelled while it waited for a part of the next clone. */
static void group_undo(void *user)
{
	struct group *group = user;

	group_give(group);
	free(group->instances);
}

static int clone_one(struct fl_pool *pool, struct fl_snapshot *snapshot,
		     struct fl_delta *delta,
		     const struct fl_instance_config *config,
		     struct group *group, struct fl_error *error)
{
	const struct fl__os_wait outer = { 0, group_undo, group };
	struct fl_instance **instances = group->instances;
	uint32_t idx = group->count;
	const struct fl__captured *captured = &snapshot->instances[idx];
	struct linked_config linked;
	int err = fl__config_read(FL_INSTANCE_CONFIG, &linked.config, config,
				  error);

	if (err)
		return err;
	linked.config.snapshot = NULL;
	linked.config.binds_tables = linked.config.binds_structure = 0;
	linked.config.delta = delta;
	link_memories(&linked, captured, instances);
	link_tables(&linked, captured, instances);
	err = fl__instance_allocate(pool, captured->module, &linked.config,
				    captured, &outer, &instances[idx], error);
	if (err)
		return err;
	group->count++;
	return fl__instance_restore(instances[idx], &linked.config, captured,
				    error);
}

static int group_acquire(struct fl_pool *pool, struct fl_snapshot *snapshot,
			 struct fl_delta *delta,
			 const struct fl_instance_config *const *configs,
			 struct fl_instance **out, struct fl_error *error)
{
	struct group group = { NULL, 0 };
	int err = fl__pool_check_owner(pool, error);

	if (!err && !snapshot->count)
		err = fl__snapshot_not_bound(error);
	if (err)
		return err;
	group.instances = calloc(snapshot->count, sizeof(*group.instances));
	if (!group.instances)
		return fl__error_set(error, -ENOMEM, "no memory for a group");
	while (group.count < snapshot->count && !err)
		err = clone_one(pool, snapshot, delta,
				configs ? configs[group.count] : NULL, &group,
				error);
	if (err) {
		group_give(&group);
	} else {
		while (group.count--)
			fl__instance_restored(group.instances[group.count]);
		memcpy(out, group.instances, snapshot->count * sizeof(*out));
	}
	free(group.instances);
	return err;
}

int fl_snapshot_acquire(struct fl_pool *pool, struct fl_snapshot *snapshot,
			const struct fl_instance_config *const *configs,
			struct fl_instance **instances, struct fl_error *error)
{
	return group_acquire(pool, snapshot, NULL, configs, instances, error);
}

int fl_delta_acquire(struct fl_pool *pool, struct fl_delta *delta,
		     const struct fl_instance_config *const *configs,
		     struct fl_instance **instances, struct fl_error *error)
{
	return group_acquire(pool, delta->snapshot, delta, configs, instances,
			     error);
}
