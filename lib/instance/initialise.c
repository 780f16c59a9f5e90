/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * initialise.c - the part of instantiation that writes tables and memories.
 *
 * Takes an instance that was allocated; does what the specification does after
 * globals and before the start function. Tables get their initialisers, then
 * come active element segments in order, then active data segments in order.
 * The first segment that does not fit traps, after the segments before it were
 * written. Content that an image covers is there already, and no step writes
 * it. Images are used only where no segment with a known offset traps
 * (shows_images of module.h), so that each segment that traps does so in its
 * turn. A clone gets its content by restore.c instead. Also table.init and elem.drop, which read the same segments.
 */
#include "base/config.h"
#include "base/probes.h"
#include "bind.h"
#include "bulk.h"
#include "instance.h"
#include "module/element.h"
#include "restore.h"
#include "table.h"

static void make_element(struct fl_instance *instance,
			 const struct fl__table *table,
			 const struct fl_element *from, void *element)
{
	fl__os_no_cancel();

	if (from->kind == FL_ELEMENT_NULL)
		memcpy(element, table->null, table->element_bytes);
	else
		instance->make_element(instance->user, instance, from, element);
}

/* An element that was made is the table's, and is not cloned once more. */
static void put_made(struct fl__table *table, uint64_t idx, void *made)
{
	uint8_t *element = fl__table_element(&table->pub, idx);

	fl__table_drop(table, element);
	memcpy(element, made, table->element_bytes);
}

static void put_segment(struct fl_instance *instance, struct fl_table *table,
			const struct fl__elem *segment, uint64_t dst_idx,
			uint64_t src_idx, uint64_t count)
{
	uint8_t made[FL__MAX_ELEMENT_BYTES];
	struct fl__elements walk;
	struct fl_element from;

	fl__elements_begin(&walk, &instance->module->reader, segment,
			   (uint32_t)src_idx);
	for (; count && fl__elements_next(&walk, &from); count--) {
		make_element(instance, fl__table_of(table), &from, made);
		put_made(fl__table_of(table), dst_idx++, made);
	}
}

static bool has_image(const struct fl_instance *instance, uint32_t table_idx)
{
	return fl_bit_get(instance->image_tables, table_idx);
}

static void run_initialiser(struct fl_instance *instance, uint32_t table_idx)
{
	const struct fl__reader *reader = &instance->module->reader;
	struct fl_table *table = instance->tables[table_idx];
	uint8_t made[FL__MAX_ELEMENT_BYTES];
	struct fl_element from;

	if (!reader->tables[table_idx].has_init || !table->length ||
	    has_image(instance, table_idx))
		return;
	fl__element_of_expr(reader, &reader->tables[table_idx].init, &from);
	if (from.kind == FL_ELEMENT_NULL)
		return;
	make_element(instance, fl__table_of(table), &from, made);
	fl__table_put(fl__table_of(table), 0, made, table->length);
	/* Every element is a clone of the made one, which goes now. */
	if (fl__table_of(table)->clone)
		fl__table_drop(fl__table_of(table), made);
}

static int apply_segment(struct fl_instance *instance,
			 const struct fl__globals *globals,
			 uint32_t segment_idx, struct fl_error *error)
{
	const struct fl__reader *reader = &instance->module->reader;
	const struct fl__elem *segment = &reader->elems[segment_idx];
	struct fl_table *table = instance->tables[segment->table_idx];
	uint64_t offset;
	int err;

	/* Without make_element a segment without a place is the runtime's. */
	err = fl__module_offset(instance->module, "element", segment_idx,
				&segment->offset, globals, &offset,
				instance->make_element ? error : NULL);
	if (err)
		return instance->make_element ? err : 0;
	if (!fl_range_fits(offset, segment->count, fl_table_size(table)))
		return fl__error_set_trap(
			error, FL_TRAP_TABLE_OUT_OF_BOUNDS,
			"element segment %u is out of bounds of table %u, which has %llu %s",
			segment_idx, segment->table_idx,
			fl_llu(fl_table_size(table)),
			fl_noun(fl_table_size(table), "element", "elements"));
	if (!has_image(instance, segment->table_idx))
		put_segment(instance, table, segment, offset, 0,
			    segment->count);
	return 0;
}

static int initialise_tables(struct fl_instance *instance,
			     const struct fl__globals *globals,
			     struct fl_error *error)
{
	const struct fl__reader *reader = &instance->module->reader;
	int err = 0;

	/* The runtime has its own tables. */
	if (!instance->table_count)
		return 0;
	for (uint32_t i = reader->imported_table_count;
	     instance->make_element && i < instance->table_count; i++)
		run_initialiser(instance, i);
	for (uint32_t i = 0; i < reader->elem_count && !err; i++) {
		const struct fl__elem *segment = &reader->elems[i];

		/* Without make_element the runtime writes the segments, but for
		 * those that an image covers. */
		if (segment->mode == FL__SEGMENT_ACTIVE &&
		    (instance->make_element ||
		     has_image(instance, segment->table_idx)))
			err = apply_segment(instance, globals, i, error);
	}
	return err;
}

/* A segment that only the caller could have written traps all the same. The
 * trap comes before the segments of the module's own memories, which nobody
 * sees: after the trap these memories go. */
static int check_unfilled(const struct fl_instance *instance,
			  struct fl_error *error)
{
	const struct fl_module *module = instance->module;

	for (uint32_t i = 0; i < module->reader.imported_memory_count; i++) {
		uint64_t end = module->memories[i].active_end_bytes;
		uint64_t length = fl__memory_length(instance->memories[i]);

		if (end > length)
			return fl__error_set_trap(
				error, FL_TRAP_MEMORY_OUT_OF_BOUNDS,
				"a data segment ends at byte %llu of imported memory %u, which has %llu",
				fl_llu(end), i, fl_llu(length));
	}
	return 0;
}

/* The same of a segment which only the globals place. Without their values
 * nobody here can tell where the segment goes. */
static int check_placed(const struct fl_instance *instance, uint32_t data_idx,
			const struct fl__globals *globals,
			struct fl_error *error)
{
	const struct fl_module *module = instance->module;
	const struct fl__data *data = &module->reader.data[data_idx];
	uint64_t length =
		fl__memory_length(instance->memories[data->memory_idx]);
	struct fl_segment segment;

	if (data->offset.known == FL__KNOWN_YES ||
	    fl__module_place(module, data_idx, globals, &segment, NULL) ||
	    fl_range_fits(segment.offset_bytes, segment.length_bytes, length))
		return 0;
	return fl__error_set_trap(
		error, FL_TRAP_MEMORY_OUT_OF_BOUNDS,
		"data segment %u is out of bounds of imported memory %u, which has %llu bytes",
		data_idx, data->memory_idx, fl_llu(length));
}

/* In order of the segments, not of the memories. */
static int initialise_memories(struct fl_instance *instance,
			       const struct fl__globals *globals,
			       bool fills_imports, struct fl_error *error)
{
	const struct fl_module *module = instance->module;
	const struct fl__reader *reader = &module->reader;
	int err = fills_imports ? 0 : check_unfilled(instance, error);

	for (uint32_t i = 0; i < module->unshown_count && !err; i++) {
		uint32_t data_idx = module->unshown[i];
		uint32_t memory_idx = reader->data[data_idx].memory_idx;

		if (memory_idx < reader->imported_memory_count &&
		    !fills_imports)
			err = check_placed(instance, data_idx, globals, error);
		else
			err = fl__data_write(instance->memories[memory_idx],
					     module, data_idx, globals, error);
	}
	return err;
}

static int instance_initialise(struct fl_instance *instance,
			       const struct fl_instance_config *config,
			       struct fl_error *error)
{
	struct fl__globals globals;
	const struct fl__captured *captured;
	int err = fl__instance_captured(config, &captured, error);

	if (err)
		return err;
	if (instance->is_initialised)
		return fl__error_set(error, -EINVAL,
				     "the instance was initialised before");
	if (!fl__instance_began_as(instance, captured))
		return fl__error_set(
			error, -EINVAL,
			"the instance was allocated with another snapshot, or none");
	instance->is_initialised = true;
	if (captured) {
		err = fl__instance_restore(instance, config, captured, error);
		fl__instance_restored(instance);
		return err;
	}
	fl__module_globals_begin(instance->module, config->imported_globals,
				 config->imported_global_count, &globals);
	err = initialise_tables(instance, &globals, error);
	if (!err)
		err = initialise_memories(instance, &globals,
					  config->fills_imports, error);
	fl__module_globals_end(&globals);
	return err;
}

int fl_instance_initialise(struct fl_instance *instance,
			   const struct fl_instance_config *config,
			   struct fl_error *error)
{
	struct fl_instance_config known;
	int err = fl__pool_check_owner(fl__instance_slot(instance)->bank->pool,
				       error);

	if (!err)
		err = fl__config_read(FL_INSTANCE_CONFIG, &known, config,
				      error);
	known.binds_tables = known.binds_structure = 0;
	return err ? err : instance_initialise(instance, &known, error);
}

static int instance_acquire(struct fl_pool *pool, struct fl_module *module,
			    const struct fl_instance_config *config,
			    struct fl_instance **out, struct fl_error *error)
{
	const struct fl__os_wait outer = { 0 };
	const struct fl__captured *captured;
	struct fl_instance_config known;
	struct fl_instance *instance;
	int err = fl__config_read(FL_INSTANCE_CONFIG, &known, config, error);

	if (!err)
		fl__bind_settle(pool, &known);
	if (!err)
		err = fl__instance_captured(&known, &captured, error);
	if (!err)
		err = fl__instance_allocate(pool, module, &known, captured,
					    &outer, &instance, error);
	if (err)
		return err;
	err = instance_initialise(instance, &known, error);
	if (err) {
		(void)fl__instance_give(instance);
		return err;
	}
	fl_probe3(acquire, pool->name, module->name, instance);
	*out = instance;
	return 0;
}

int fl_instance_acquire(struct fl_pool *pool, struct fl_module *module,
			const struct fl_instance_config *config,
			struct fl_instance **out, struct fl_error *error)
{
	uint64_t start_ns =
		fl__stats_begin_word(pool->stats, FL__WORD_instances_acquired);
	int err = instance_acquire(pool, module, config, out, error);

	if (!err)
		fl__stats_end(pool->stats, FL__TIMES_acquire, start_ns);
	return fl__stats_answer(pool->stats, err);
}

/* ---------------------------------------------------- table.init, elem.drop */

static uint64_t elements_left(const struct fl_instance *instance,
			      uint32_t segment_idx)
{
	const struct fl__elem *segment =
		&instance->module->reader.elems[segment_idx];

	/* Initialisation has dropped segments that are not passive. */
	if (segment->mode != FL__SEGMENT_PASSIVE)
		return 0;
	return fl_bit_get(instance->dropped_elements.bits, segment_idx) ?
		       0 :
		       segment->count;
}

enum fl_trap fl_table_init(struct fl_instance *instance, uint32_t table_idx,
			   uint32_t segment_idx, uint64_t dst_idx,
			   uint64_t src_idx, uint64_t count)
{
	const struct fl__reader *reader = &instance->module->reader;
	struct fl_table *table = fl_instance_table(instance, table_idx);

	if (!table || segment_idx >= reader->elem_count ||
	    !fl_range_fits(src_idx, count,
			   elements_left(instance, segment_idx)) ||
	    !fl_range_fits(dst_idx, count, fl_table_size(table)) ||
	    (count && !instance->make_element))
		return FL_TRAP_TABLE_OUT_OF_BOUNDS;
	if (!count)
		return FL_TRAP_NONE;
	put_segment(instance, table, &reader->elems[segment_idx], dst_idx,
		    src_idx, count);
	return FL_TRAP_NONE;
}

void fl_elem_drop(struct fl_instance *instance, uint32_t segment_idx)
{
	const struct fl__reader *reader = &instance->module->reader;

	if (segment_idx >= reader->elem_count ||
	    reader->elems[segment_idx].mode != FL__SEGMENT_PASSIVE)
		return;
	fl__dropped_set(&instance->dropped_elements, segment_idx);
}
