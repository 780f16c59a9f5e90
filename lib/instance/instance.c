/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * instance.c - from a module to its memories, tables and structure, and back in
 * reverse.
 *
 * Takes a module and a pool; gives an instance whose memories and tables show
 * what their images hold; initialise.c does the rest. Whatever fails, all that
 * was taken is given back in reverse order.
 *
 * Memories are taken first, then tables, then the slot of the structure, which
 * is the instance. Every taker waits in this order, and a taker that holds an
 * instance waits for nothing, so no taker waits for another in a circle.
 *
 * Imported memories are the caller's, and an instance uses them as they are.
 * The content of an imported memory comes from the image that the caller
 * acquired the memory with, or from fl_memory_apply_segments().
 *
 * Instantiation has two halves, because a runtime's references often point into
 * the runtime's own structure, which must be there before elements can be made.
 * fl_instance_acquire() is both halves, for runtimes that need nothing between.
 */
#include "instance.h"
#include "base/config.h"
#include "base/probes.h"
#include "table_life.h"
#include "validate.h"
#include "wake.h"

#include <stdlib.h>

_Static_assert(FL__READER_MAX_MEMORIES <= FL__TAKE_MAX, "memories");
_Static_assert(FL__READER_MAX_TABLES <= FL__TAKE_MAX, "tables");

/* -------------------------------------------------------------- side bytes */

static void instance_end(struct fl__slot *slot)
{
	struct fl_instance *instance = fl__slot_side(slot);

	fl_module_release(instance->module);
	free(instance->dropped_data.bits);
	free(instance->dropped_elements.bits);
	memset(instance, 0, sizeof(*instance));
}

static uint64_t instance_held_bytes(const struct fl__slot *slot)
{
	const struct fl_instance *instance =
		(const struct fl_instance *)(const void *)(slot + 1);

	return (__atomic_load_n(&instance->dropped_data.words,
				__ATOMIC_RELAXED) +
		__atomic_load_n(&instance->dropped_elements.words,
				__ATOMIC_RELAXED)) *
	       sizeof(uint64_t);
}

static uint64_t instance_describe(struct fl__slot *slot, struct fl_fault *fault)
{
	fault->instance = fl__slot_side(slot);
	return slot->bank->pool->config.instance_bytes;
}

const struct fl__kind fl__kind_structure = {
	.plural = "instances",
	.what = "structure",
	.side_bytes = sizeof(struct fl_instance),
	.is_hosts = true,
	.end = instance_end,
	.held_bytes = instance_held_bytes,
	.describe = instance_describe,
};

static void hold_module(struct fl_instance *instance, struct fl_module *module)
{
	struct fl_module *last = instance->module;

	if (last == module)
		return;
	instance->module = fl_module_retain(module);
	fl_module_release(last);
}

/* The module to release when the instance is gone; NULL: the slot keeps it.
 * When the slot has the only reference, no other thread can take one
 * meanwhile. */
static struct fl_module *part_with_module(struct fl_instance *instance)
{
	struct fl_module *module = instance->module;

	if (fl__instance_slot(instance)->source->calls->keeps_slots &&
	    __atomic_load_n(&module->refs, __ATOMIC_ACQUIRE) > 1)
		return NULL;
	instance->module = NULL;
	return module;
}

/* Modules that unused slots have let go of. */
struct let_go {
	const struct fl_module *module; /* NULL: any */
	struct fl_module *held[64];
	uint32_t count;
};

static void forget_dropped(struct fl__dropped *dropped)
{
	free(dropped->bits);
	dropped->bits = NULL;
	dropped->has_any = false;
	__atomic_store_n(&dropped->words, 0, __ATOMIC_RELAXED);
}

static int let_go_of(struct fl__slot *slot, void *user)
{
	struct fl_instance *instance = fl__slot_side(slot);
	struct let_go *let_go = user;

	if (!let_go->module) {
		forget_dropped(&instance->dropped_data);
		forget_dropped(&instance->dropped_elements);
	}
	if (!instance->module ||
	    (let_go->module && instance->module != let_go->module))
		return 0;
	if (let_go->count == FL_ARRAY_SIZE(let_go->held))
		return -EAGAIN;
	let_go->held[let_go->count++] = instance->module;
	instance->module = NULL;
	return 0;
}

void fl__instance_forget(struct fl_pool *pool, const struct fl_module *module)
{
	struct fl__source *source = pool->banks[FL__BANK_STRUCTURE].source;
	struct let_go let_go = { .module = module };
	uint32_t from = 0;
	int err;

	do {
		let_go.count = 0;
		err = source->calls->each_unused(source, &from, let_go_of,
						 &let_go);
		while (let_go.count)
			fl_module_release(let_go.held[--let_go.count]);
	} while (err);
}

/* ------------------------------------------------------------------ taking */

/* Room for count segments, none of which is dropped. The room stays with the
 * slot, so that a reused slot allocates only for more segments. */
static int make_room(struct fl__dropped *dropped, uint32_t count)
{
	size_t words = fl_bits_words(count);

	if (words > dropped->words) {
		uint64_t *grown = calloc(words, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		free(dropped->bits);
		dropped->bits = grown;
		__atomic_store_n(&dropped->words, words, __ATOMIC_RELAXED);
	} else if (dropped->has_any) {
		memset(dropped->bits, 0, dropped->words * sizeof(uint64_t));
	}
	dropped->has_any = false;
	return 0;
}

/* A clone has dropped what the captured instance had dropped. */
static void set_dropped(struct fl__dropped *dropped, const uint64_t *bits,
			uint32_t count)
{
	if (!bits)
		return;
	memcpy(dropped->bits, bits, fl_bits_words(count) * sizeof(*bits));
	dropped->has_any = true;
}

/* Images are all or nothing: where one segment traps, each segment before that
 * one has to be written in its turn. */
static struct fl_image *image_of(const struct fl_module *module,
				 uint32_t memory_idx)
{
	return module->shows_images ? module->memories[memory_idx].image : NULL;
}

static struct fl__request memory_request(const struct fl_module *module,
					 const struct fl__captured *captured,
					 uint32_t memory_idx)
{
	struct fl__request request = {
		.image = image_of(module, memory_idx),
		.initial_bytes = module->memories[memory_idx].min_bytes,
	};

	if (captured) {
		request.image = captured->images[memory_idx];
		request.initial_bytes = request.image->map.initial_bytes;
	}
	return request;
}

/* The memories that the module defines, all or none. */
static int take_memories(struct fl_pool *pool, const struct fl_module *module,
			 const struct fl_instance_config *config,
			 const struct fl__captured *captured,
			 const struct fl__os_wait *wait,
			 struct fl_memory **memories, struct fl_error *error)
{
	uint32_t first = module->reader.imported_memory_count;
	uint32_t count = module->reader.memory_count - first;
	struct fl__request requests[FL__READER_MAX_MEMORIES];
	struct fl__slot *slots[FL__READER_MAX_MEMORIES];
	int err;

	if (!count)
		return 0;
	for (uint32_t i = 0; i < count; i++)
		requests[i] = memory_request(module, captured, first + i);
	err = fl__bank_take(&pool->banks[FL__BANK_MEMORY], requests, count,
			    wait, slots, error);
	for (uint32_t i = 0; i < count && !err; i++) {
		struct fl__memory_shape shape =
			fl__memory_shape_of(module, first + i);

		shape.max_bytes =
			fl_min_u64(shape.max_bytes, config->max_memory_bytes);
		memories[i] = fl__memory_begin(slots[i], &requests[i], &shape);
	}
	return err;
}

/* Whoever imports the table sees the type that the module says. */
static void set_type(struct fl__table *table, const struct fl__table_type *type)
{
	table->type_max = type->limits.max;
	table->type = type->type;
}

static int take_tables(struct fl_pool *pool, const struct fl_module *module,
		       const struct fl_instance_config *config,
		       const struct fl__captured *captured,
		       const struct fl__os_wait *wait, struct fl_table **tables,
		       struct fl_error *error)
{
	const struct fl__reader *reader = &module->reader;
	uint32_t first = reader->imported_table_count;
	uint32_t count = reader->table_count - first;
	struct fl_table_config configs[FL__READER_MAX_TABLES];
	uint64_t bound_serials[FL__READER_MAX_TABLES];
	int err;

	if (!fl__pool_has_tables(pool))
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct fl__limits *limits =
			&reader->tables[first + i].limits;

		configs[i] = (struct fl_table_config){
			.size = sizeof(configs[i]),
			.element_bytes =
				(uint32_t)pool->config.table_element_bytes,
			.initial_elements = limits->min,
			.max_elements = fl_min_u64(limits->most,
						   config->max_table_elements),
			.address_bits = limits->is_64 ? 64 : 32,
			.null = pool->table_null,
			.image = config->table_images ?
					 config->table_images[i] :
					 NULL,
			.clone = config->clone_element,
			.drop = config->drop_element,
			.user = config->user,
		};
		if (captured) {
			configs[i].initial_elements =
				captured->tables[first + i].length;
			configs[i].image = captured->tables[first + i].image;
		}
		bound_serials[i] = captured && config->binds_tables ?
					   captured->tables[first + i].serial :
					   0;
	}
	err = fl__table_take(pool, configs, bound_serials, count, wait, tables,
			     error);
	for (uint32_t i = 0; i < count && !err; i++)
		set_type(fl__table_of(tables[i]), &reader->tables[first + i]);
	return err;
}

/* The slot of the structure is the instance. */
static int take_structure(struct fl_pool *pool, const struct fl_module *module,
			  const struct fl_instance_config *config,
			  const struct fl__captured *captured,
			  const struct fl__os_wait *wait,
			  struct fl_instance **instance, struct fl_error *error)
{
	struct fl__request request = {
		.image = captured && captured->structure ?
				 captured->structure :
				 config->structure_image,
		.initial_bytes = pool->config.instance_bytes,
		.bound_serial = captured && config->binds_structure ?
					captured->serial :
					0,
	};
	struct fl__slot *slot;
	int err = 0;

	if (request.image && fl__image_is_in_place(request.image))
		err = fl__error_set(
			error, -ENOTSUP,
			"a structure shows no image file in place; open the file without FL_OPEN_IN_PLACE");
	if (!err)
		err = fl__bank_take(&pool->banks[FL__BANK_STRUCTURE], &request,
				    1, wait, &slot, error);
	if (err)
		return err;
	*instance = fl__slot_side(slot);
	if (make_room(&(*instance)->dropped_data,
		      module->passive_count ? module->reader.data_count : 0) ||
	    make_room(&(*instance)->dropped_elements,
		      module->reader.elem_count)) {
		(void)fl__slot_give(slot, 0);
		return fl__error_set(error, -ENOMEM,
				     "no memory for an instance");
	}
	if (captured) {
		set_dropped(&(*instance)->dropped_data, captured->dropped_data,
			    module->reader.data_count);
		set_dropped(&(*instance)->dropped_elements,
			    captured->dropped_elements,
			    module->reader.elem_count);
	}
	return 0;
}

static int give_memories(struct fl_memory *const *memories, uint32_t count)
{
	int result = 0;

	while (count--) {
		int err = fl__memory_give(memories[count]);

		result = err ? err : result;
	}
	return result;
}

static int give_tables(struct fl_table *const *tables, uint32_t count)
{
	int result = 0;

	while (count--) {
		int err = fl__table_give(tables[count]);

		result = err ? err : result;
	}
	return result;
}

/* The memories and tables become the instance's. */
static void own_memories(struct fl_instance *instance,
			 const struct fl_instance_config *config,
			 struct fl_memory *const *memories)
{
	const struct fl__reader *reader = &instance->module->reader;
	uint32_t imported = reader->imported_memory_count;

	for (uint32_t i = 0; i < reader->memory_count; i++) {
		if (i < imported) {
			instance->memories[i] = config->imported_memories[i];
			continue;
		}
		instance->memories[i] = memories[i - imported];
		fl__memory_of(instance->memories[i])->quota = &instance->quota;
		fl__slot_publish(fl__slot_of_side(instance->memories[i]),
				 instance);
	}
	instance->memory_count = reader->memory_count;
}

static void own_tables(struct fl_instance *instance,
		       const struct fl_instance_config *config,
		       struct fl_table *const *tables)
{
	const struct fl__reader *reader = &instance->module->reader;
	uint32_t imported = reader->imported_table_count;

	instance->table_count = 0;
	memset(instance->image_tables, 0, sizeof(instance->image_tables));
	if (!fl__pool_has_tables(fl__instance_slot(instance)->bank->pool))
		return;
	for (uint32_t i = 0; i < reader->table_count; i++) {
		if (i < imported) {
			instance->tables[i] = config->imported_tables[i];
			continue;
		}
		instance->tables[i] = tables[i - imported];
		fl__table_of(instance->tables[i])->quota = &instance->quota;
		fl__slot_publish(fl__table_of(instance->tables[i])->slot,
				 instance);
		if (config->table_images && config->table_images[i - imported])
			fl_bit_set(instance->image_tables, i, true);
	}
	instance->table_count = reader->table_count;
}

/* What counts for the instance now. */
static void count_total(struct fl_instance *instance)
{
	const struct fl__reader *reader = &instance->module->reader;
	uint64_t total = 0;

	for (uint32_t i = reader->imported_memory_count;
	     i < instance->memory_count; i++)
		total += fl__memory_length(instance->memories[i]);
	for (uint32_t i = reader->imported_table_count;
	     i < instance->table_count; i++)
		total += fl_table_size(instance->tables[i]) *
			 fl__table_of(instance->tables[i])->element_bytes;
	__atomic_store_n(&instance->quota.total_bytes, total, __ATOMIC_RELAXED);
}

/* What was taken of an instance so far. */
struct taken {
	const struct fl__os_wait *outer;
	uint32_t memory_count, table_count;
	struct fl_memory *memories[FL__READER_MAX_MEMORIES];
	struct fl_table *tables[FL__READER_MAX_TABLES];
};

static void taken_give(struct taken *taken)
{
	(void)give_tables(taken->tables, taken->table_count);
	(void)give_memories(taken->memories, taken->memory_count);
}

/* The taker was cancelled while it waited. */
static void taken_undo(void *user)
{
	struct taken *taken = user;

	taken_give(taken);
	fl__os_wait_undo(taken->outer);
}

static int take_parts(struct fl_pool *pool, struct fl_module *module,
		      const struct fl_instance_config *config,
		      const struct fl__captured *captured, struct taken *taken,
		      struct fl_instance **instance, struct fl_error *error)
{
	const struct fl__reader *reader = &module->reader;
	struct fl__os_wait wait = { config->timeout_ns, taken_undo, taken };
	int err = take_memories(pool, module, config, captured, &wait,
				taken->memories, error);

	if (err)
		return err;
	taken->memory_count =
		reader->memory_count - reader->imported_memory_count;
	err = take_tables(pool, module, config, captured, &wait, taken->tables,
			  error);
	if (err)
		return err;
	if (fl__pool_has_tables(pool))
		taken->table_count =
			reader->table_count - reader->imported_table_count;
	return take_structure(pool, module, config, captured, &wait, instance,
			      error);
}

/* All that an acquire counts, by one claim. */
static void count_acquired(struct fl_pool *pool, const struct taken *taken)
{
	struct fl__shard *shard;

	if (!pool->stats)
		return;
	shard = fl__stats_claim(pool->stats);
	fl__shard_add(shard, FL__WORD_instances_acquired, 1);
	fl__shard_add(shard, FL__WORD_memories_acquired, taken->memory_count);
	if (taken->table_count)
		fl__shard_add(shard, FL__WORD_tables_acquired,
			      taken->table_count);
	fl__stats_let_go(shard);
}

static int instance_take(struct fl_pool *pool, struct fl_module *module,
			 const struct fl_instance_config *config,
			 const struct fl__captured *captured,
			 const struct fl__os_wait *outer,
			 struct fl_instance **out, struct fl_error *error)
{
	struct fl_instance *instance;
	struct taken taken;
	int err;

	taken.outer = outer;
	taken.memory_count = taken.table_count = 0;
	err = take_parts(pool, module, config, captured, &taken, &instance,
			 error);
	if (err) {
		taken_give(&taken);
		return err;
	}
	hold_module(instance, module);
	instance->user = config->user;
	instance->make_element = config->make_element;
	instance->is_initialised = false;
	instance->captured_serial = captured ? captured->serial : 0;
	__atomic_store_n(&instance->is_restoring, false, __ATOMIC_RELAXED);
	instance->quota = (struct fl__quota){
		.max_total_bytes = config->max_total_bytes,
		.may_grow = config->may_grow,
		.user = config->user,
		.instance = instance,
	};
	own_memories(instance, config, taken.memories);
	own_tables(instance, config, taken.tables);
	count_total(instance);
	count_acquired(pool, &taken);
	fl__slot_publish(fl__instance_slot(instance), NULL);
	*out = instance;
	return 0;
}

/* captured is what the instance was allocated with, of the delta's snapshot. */
static int instance_wake(struct fl_instance *instance,
			 const struct fl__captured *captured,
			 const struct fl_delta *delta, struct fl_error *error)
{
	const struct fl__captured *first = delta->snapshot->instances;
	struct fl__wake_target target = {
		.memories = instance->memories,
		.tables = instance->tables,
		.structure = fl_instance_structure(instance),
		.dropped_data = instance->dropped_data.bits,
		.dropped_elements = instance->dropped_elements.bits,
	};
	struct fl__stats *stats =
		fl__instance_slot(instance)->bank->pool->stats;
	uint64_t start_ns = fl__stats_begin_word(stats, FL__WORD_wakes);
	int err = fl__wake(delta, (uint32_t)(captured - first), &target, error);

	fl__stats_end(stats, FL__TIMES_wake, start_ns);
	if (!err)
		fl__stats_add(stats, FL__WORD_wakes, 1);
	instance->dropped_data.has_any |= target.drops_data;
	instance->dropped_elements.has_any |= target.drops_elements;
	return err;
}

int fl__instance_allocate(struct fl_pool *pool, struct fl_module *module,
			  const struct fl_instance_config *config,
			  const struct fl__captured *captured,
			  const struct fl__os_wait *outer,
			  struct fl_instance **out, struct fl_error *error)
{
	struct fl_instance *instance;
	int err = fl_pool_validate(pool, module, error);

	if (!err && !pool->limits.max_instances)
		err = fl__error_set(
			error, -E2BIG,
			"the pool holds no instances; raise max_instances");
	if (!err)
		err = fl__instance_check(pool, module, config, error);
	if (!err && captured)
		err = fl__instance_check_captured(pool, module, captured,
						  error);
	if (!err)
		err = fl__instance_check_limits(pool, module, config, captured,
						error);
	if (!err)
		err = instance_take(pool, module, config, captured, outer,
				    &instance, error);
	if (err)
		return err;
	if (config->delta)
		err = instance_wake(instance, captured, config->delta, error);
	if (err) {
		(void)fl__instance_give(instance);
		return err;
	}
	*out = instance;
	return 0;
}

int fl__instance_captured(const struct fl_instance_config *config,
			  const struct fl__captured **captured,
			  struct fl_error *error)
{
	const struct fl_snapshot *snapshot =
		config->delta ? config->delta->snapshot : config->snapshot;

	*captured = snapshot ? snapshot->instances : NULL;
	if (config->delta && config->snapshot && config->snapshot != snapshot)
		return fl__error_set(
			error, -EINVAL,
			"the delta is not of the snapshot; leave snapshot NULL, or give the delta's");
	if (!snapshot || snapshot->count == 1)
		return 0;
	if (!snapshot->count)
		return fl__snapshot_not_bound(error);
	return fl__error_set(
		error, -EINVAL,
		"the snapshot holds %u instances; take them together by %s",
		snapshot->count,
		config->delta ? "fl_delta_acquire()" : "fl_snapshot_acquire()");
}

int fl_instance_allocate(struct fl_pool *pool, struct fl_module *module,
			 const struct fl_instance_config *config,
			 struct fl_instance **out, struct fl_error *error)
{
	const struct fl__os_wait outer = { 0 };
	const struct fl__captured *captured;
	struct fl_instance_config known;
	int err = fl__config_read(FL_INSTANCE_CONFIG, &known, config, error);

	/* Nothing is there until it is decoded. */
	known.binds_tables = known.binds_structure = 0;
	if (!err)
		err = fl__instance_captured(&known, &captured, error);
	return err ? err :
		     fl__instance_allocate(pool, module, &known, captured,
					   &outer, out, error);
}

int fl__instance_give(struct fl_instance *instance)
{
	struct fl__slot *slot = fl__instance_slot(instance);
	const struct fl__reader *reader = &instance->module->reader;
	struct fl_module *module;
	int memories, tables = 0, structure;

	memories = give_memories(
		instance->memories + reader->imported_memory_count,
		reader->memory_count - reader->imported_memory_count);
	if (instance->table_count)
		tables = give_tables(
			instance->tables + reader->imported_table_count,
			reader->table_count - reader->imported_table_count);
	instance->memory_count = instance->table_count = 0;
	module = part_with_module(instance);
	/* Last: after this the instance is another tenant's, or gone. */
	structure = fl__slot_give(slot, 0);
	fl_module_release(module);
	if (structure)
		return structure;
	return tables ? tables : memories;
}

int fl_instance_release(struct fl_instance *instance)
{
	struct fl__stats *stats;
	struct fl__slot *slot;
	uint64_t start_ns;
	int err;

	if (!instance)
		return 0;
	err = fl__slot_check_owner(fl__instance_slot(instance), NULL);
	if (err)
		return err;
	if (__atomic_load_n(&instance->is_restoring, __ATOMIC_RELAXED))
		return -EINVAL;
	slot = fl__instance_slot(instance);
	/* A slot that was given twice would have two tenants at once. */
	if (!fl__slot_claim(slot))
		return -EINVAL;
	stats = slot->bank->pool->stats;
	start_ns = fl__stats_begin(stats, fl__slot_turn(slot));
	fl_probe2(release, slot->bank->pool->name, instance);
	err = fl__instance_give(instance);
	fl__stats_end(stats, FL__TIMES_release, start_ns);
	return fl__stats_answer(stats, err);
}

/* Memories, tables, structure: all of them, so that nothing of the tenant is left
 * where one fails. The first error. */
static int instance_restart(struct fl_instance *instance)
{
	const struct fl__reader *reader = &instance->module->reader;
	int result = 0, err;

	for (uint32_t i = reader->imported_memory_count;
	     i < instance->memory_count; i++) {
		err = fl__memory_restart(instance->memories[i]);
		result = result ? result : err;
	}
	for (uint32_t i = reader->imported_table_count;
	     i < instance->table_count; i++) {
		err = fl__table_restart(instance->tables[i]);
		result = result ? result : err;
	}
	count_total(instance);
	err = fl__slot_restart(fl__instance_slot(instance), 0);
	return result ? result : err;
}

static void restart_dropped(struct fl__dropped *dropped, const uint64_t *bits,
			    uint32_t count)
{
	if (dropped->has_any)
		memset(dropped->bits, 0, dropped->words * sizeof(uint64_t));
	dropped->has_any = false;
	set_dropped(dropped, bits, count);
}

static int instance_reset(struct fl_instance *instance,
			  const struct fl__captured *captured,
			  const struct fl_delta *delta, struct fl_error *error)
{
	const struct fl__reader *reader = &instance->module->reader;
	int err = instance_restart(instance);

	restart_dropped(&instance->dropped_data,
			captured ? captured->dropped_data : NULL,
			reader->data_count);
	restart_dropped(&instance->dropped_elements,
			captured ? captured->dropped_elements : NULL,
			reader->elem_count);
	if (err)
		err = fl__error_set(
			error, err,
			"the instance cannot be reset: %s; release it",
			fl_strerror(err));
	else if (delta)
		err = instance_wake(instance, captured, delta, error);
	/* What shows nothing, or only a part, is not to be initialised. */
	instance->is_initialised = err != 0;
	return err;
}

int fl_instance_reset(struct fl_instance *instance,
		      const struct fl_instance_config *config,
		      struct fl_error *error)
{
	const struct fl__captured *captured;
	struct fl_instance_config known;
	int err = fl__pool_check_owner(fl__instance_slot(instance)->bank->pool,
				       error);

	if (!err && !fl__slot_is_live(fl__instance_slot(instance)))
		err = fl__error_set(error, -EINVAL, "the instance is not live");
	if (!err && __atomic_load_n(&instance->is_restoring, __ATOMIC_RELAXED))
		err = fl__error_set(error, -EINVAL,
				    "the acquire of the clone is not over");
	if (!err)
		err = fl__config_read(FL_INSTANCE_CONFIG, &known, config,
				      error);
	if (!err)
		err = fl__instance_captured(&known, &captured, error);
	if (!err && !fl__instance_began_as(instance, captured))
		err = fl__error_set(
			error, -EINVAL,
			"the instance was allocated with another snapshot, or none");
	return err ? err :
		     instance_reset(instance, captured, known.delta, error);
}

struct fl_memory *fl_instance_memory(const struct fl_instance *instance,
				     uint32_t memory_idx)
{
	return memory_idx < instance->memory_count ?
		       instance->memories[memory_idx] :
		       NULL;
}

struct fl_table *fl_instance_table(const struct fl_instance *instance,
				   uint32_t table_idx)
{
	return table_idx < instance->table_count ? instance->tables[table_idx] :
						   NULL;
}

struct fl_module *fl_instance_module(const struct fl_instance *instance)
{
	return instance->module;
}

void *fl_instance_user(const struct fl_instance *instance)
{
	return instance->user;
}

void *fl_instance_structure(const struct fl_instance *instance)
{
	const struct fl__slot *slot = fl__instance_slot(instance);

	return slot->bank->pool->config.instance_bytes ? slot->space.base :
							 NULL;
}
