/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * validate.c - does a module fit a pool, do imports and snapshots fit a
 * module, and does compiled code fit both?
 *
 * Takes a pool, a loaded module, what an instance is to be made with, or what a
 * compiler would like to take for granted; gives 0, or an error that names the
 * obstacle and the field to change. Nothing is allocated. Any thread.
 */
#include "validate.h"
#include "base/config.h"
#include "base/sized.h"
#include "memory.h"
#include "table.h"
#include "wasm/valtype.h"

static int check_counts(uint32_t defined, uint32_t per_instance,
			uint32_t in_pool, const char *plural,
			struct fl_error *error)
{
	bool is_narrow = defined > per_instance;

	if (!is_narrow && defined <= in_pool)
		return 0;
	return fl__error_set(
		error, -E2BIG,
		"the module defines %u %s, the pool allows %u; raise max_%s%s",
		defined, plural, is_narrow ? per_instance : in_pool, plural,
		is_narrow ? "_per_instance" : "");
}

static int check_start(uint32_t idx, uint64_t min, uint64_t allowed,
		       const char *what, const char *unit, const char *field,
		       struct fl_error *error)
{
	if (min <= allowed)
		return 0;
	return fl__error_set(
		error, -E2BIG,
		"%s %u starts with %llu %s, the pool allows %llu; raise %s",
		what, idx, fl_llu(min), unit, fl_llu(allowed), field);
}

static int validate_memories(const struct fl_pool_config *limits,
			     const struct fl_module *module,
			     struct fl_error *error)
{
	const struct fl__reader *reader = &module->reader;
	uint32_t first = reader->imported_memory_count;
	int err = check_counts(reader->memory_count - first,
			       limits->max_memories_per_instance,
			       limits->max_memories, "memories", error);

	for (uint32_t i = first; i < reader->memory_count && !err; i++)
		err = check_start(i, module->memories[i].min_bytes,
				  limits->max_memory_bytes, "memory", "bytes",
				  "max_memory_bytes", error);
	return err;
}

static int validate_tables(const struct fl_pool_config *limits,
			   const struct fl_module *module,
			   struct fl_error *error)
{
	const struct fl__reader *reader = &module->reader;
	uint32_t first = reader->imported_table_count;
	int err = check_counts(reader->table_count - first,
			       limits->max_tables_per_instance,
			       limits->max_tables, "tables", error);

	for (uint32_t i = first; i < reader->table_count && !err; i++)
		err = check_start(i, reader->tables[i].limits.min,
				  limits->max_table_elements, "table",
				  "elements", "max_table_elements", error);
	return err;
}

int fl_pool_validate(const struct fl_pool *pool, const struct fl_module *module,
		     struct fl_error *error)
{
	int err = fl__pool_check_owner(pool, error);

	if (err)
		return err;
	if (module->context != pool->context)
		return fl__error_set(
			error, -EINVAL,
			"the module was loaded with another context, or none; load the module with the pool's context");
	err = validate_memories(&pool->limits, module, error);
	/* In a pool without tables, the tables are the runtime's. */
	if (err || !fl__pool_has_tables(pool))
		return err;
	return validate_tables(&pool->limits, module, error);
}

/* --------------------------------------------------------------- imports */

/* Of an import: what is "memory" or "table", unit what its limits count. */
struct import {
	const char *what, *unit;
	uint32_t idx;
	const struct fl__limits *wanted;
};

/* A type that was not said fits. max is the actual maximum, in units. */
static int check_limits(const struct import *import, uint8_t address_bits,
			uint64_t max, struct fl_error *error)
{
	const struct fl__limits *wanted = import->wanted;

	if (address_bits && (address_bits == 64) != wanted->is_64)
		return fl__error_set(
			error, -EINVAL,
			"imported %s %u has addresses of %u bits, the module asks for %u",
			import->what, import->idx, address_bits,
			wanted->is_64 ? 64 : 32);
	if (max <= wanted->max)
		return 0;
	if (max == UINT64_MAX)
		return fl__error_set(
			error, -EINVAL,
			"imported %s %u has no maximum, the module allows %llu %s at most",
			import->what, import->idx, fl_llu(wanted->max),
			import->unit);
	return fl__error_set(
		error, -EINVAL,
		"imported %s %u may grow to %llu %s, the module allows %llu at most",
		import->what, import->idx, fl_llu(max), import->unit,
		fl_llu(wanted->max));
}

/* The minimum is the caller's to compare. */
static int check_memory_type(const struct fl_memory *memory, uint32_t idx,
			     const struct fl_module *module,
			     struct fl_error *error)
{
	const struct fl__memory_shape *shape = &fl__memory_of(memory)->shape;
	const struct import import = {
		"memory",
		"pages",
		idx,
		&module->reader.memories[idx].limits,
	};

	if (shape->page_bytes != module->memories[idx].page_bytes)
		return fl__error_set(
			error, -EINVAL,
			"imported memory %u has pages of %llu bytes, the module asks for pages of %llu",
			idx, fl_llu(shape->page_bytes),
			fl_llu(module->memories[idx].page_bytes));
	if (shape->is_shared != import.wanted->is_shared)
		return fl__error_set(
			error, -EINVAL,
			"imported memory %u is %s, the module asks for one that is %s: is_shared says so",
			idx, shape->is_shared ? "shared" : "not shared",
			shape->is_shared ? "not" : "shared");
	return check_limits(&import, shape->address_bits, shape->max_pages,
			    error);
}

static int check_memories(const struct fl_module *module,
			  const struct fl_instance_config *config,
			  struct fl_error *error)
{
	int err = 0;
	uint32_t count = module->reader.imported_memory_count;

	if (config->imported_memory_count != count ||
	    (count && !config->imported_memories))
		return fl__error_set(
			error, -EINVAL,
			"the module imports %u %s, fl_instance_config gives %u",
			count, fl_noun(count, "memory", "memories"),
			config->imported_memory_count);
	for (uint32_t i = 0; i < count && !err; i++) {
		struct fl_memory *memory = config->imported_memories[i];

		if (!memory)
			return fl__error_set(error, -EINVAL,
					     "imported_memories[%u] is NULL",
					     i);
		if (fl__memory_length(memory) < module->memories[i].min_bytes)
			return fl__error_set(
				error, -EINVAL,
				"imported memory %u has %llu bytes, the module asks for %llu",
				i, fl_llu(fl__memory_length(memory)),
				fl_llu(module->memories[i].min_bytes));
		err = check_memory_type(memory, i, module, error);
	}
	return err;
}

static int check_table_type(const struct fl_table *pub, uint32_t idx,
			    const struct fl__table_type *wanted,
			    struct fl_error *error)
{
	const struct fl__table *table = fl__table_of(pub);
	const struct import import = { "table", "elements", idx,
				       &wanted->limits };

	/* Whoever has the table may put in, and take out, what its type lets:
	 * the types are equal. */
	if (table->type.code &&
	    (!fl__valtype_matches(table->type, wanted->type) ||
	     !fl__valtype_matches(wanted->type, table->type)))
		return fl__error_set(
			error, -EINVAL,
			"imported table %u holds %s, the module asks for %s",
			idx, fl__valtype_name(table->type),
			fl__valtype_name(wanted->type));
	return check_limits(&import, table->address_bits, table->type_max,
			    error);
}

static int check_tables(const struct fl_pool *pool,
			const struct fl_module *module,
			const struct fl_instance_config *config,
			struct fl_error *error)
{
	const struct fl__reader *reader = &module->reader;
	uint32_t count = reader->imported_table_count;
	uint32_t defined = reader->table_count - count;
	int err = 0;

	if (!fl__pool_has_tables(pool))
		return 0;
	if (config->imported_table_count != count ||
	    (count && !config->imported_tables))
		return fl__error_set(
			error, -EINVAL,
			"the module imports %u %s, fl_instance_config gives %u",
			count, fl_noun(count, "table", "tables"),
			config->imported_table_count);
	if (!config->clone_element != !config->drop_element)
		return fl__error_set(
			error, -EINVAL,
			"of clone_element and drop_element only one is set; give both or neither");
	if (config->table_images && config->table_image_count != defined)
		return fl__error_set(
			error, -EINVAL,
			"the module defines %u %s, table_image_count is %u",
			defined, fl_noun(defined, "table", "tables"),
			config->table_image_count);
	for (uint32_t i = 0; i < count && !err; i++) {
		const struct fl_table *table = config->imported_tables[i];

		if (!table)
			return fl__error_set(error, -EINVAL,
					     "imported_tables[%u] is NULL", i);
		if (fl__table_of(table)->element_bytes !=
		    pool->config.table_element_bytes)
			return fl__error_set(
				error, -EINVAL,
				"imported table %u has elements of %u bytes, the pool's table_element_bytes is %llu",
				i, fl__table_of(table)->element_bytes,
				fl_llu(pool->config.table_element_bytes));
		if (fl_table_size(table) < reader->tables[i].limits.min)
			return fl__error_set(
				error, -EINVAL,
				"imported table %u has %llu %s, the module asks for %llu",
				i, fl_llu(fl_table_size(table)),
				fl_noun(fl_table_size(table), "element",
					"elements"),
				fl_llu(reader->tables[i].limits.min));
		err = check_table_type(table, i, &reader->tables[i], error);
	}
	return err;
}

/* -------------------------------------------------------------- tunables */

int fl_pool_adjust_tunables(const struct fl_pool *pool,
			    struct fl_tunables *tunables,
			    struct fl_error *error)
{
	struct fl_tunables known;
	uint64_t reach = pool->layout.memory_reach_bytes;
	int err = fl__config_read(FL_TUNABLES, &known, tunables, error);

	if (err)
		return err;
	if (pool->config.bounds == FL_BOUNDS_ACCESSIBLE && !known.checks_bounds)
		return fl__error_set(
			error, -ENOTSUP,
			"checks_bounds is 0, but bounds of the pool is FL_BOUNDS_ACCESSIBLE: nothing would stop the code; compile with bounds checks or make the pool FL_BOUNDS_GUARDED");
	/* In an accessible pool, the reach is an open maximum and a guard. */
	known.memory_reservation_bytes =
		fl_min_u64(known.memory_reservation_bytes, reach);
	known.memory_guard_bytes =
		fl_min_u64(known.memory_guard_bytes,
			   reach - known.memory_reservation_bytes);
	known.memory_guard_before_bytes = fl_min_u64(
		known.memory_guard_before_bytes,
		pool->config.prefix_bytes ? 0 :
					    pool->config.guard_before_bytes);
	known.memory_may_move = 0;
	fl__sized_write(tunables, &known, sizeof(known));
	return 0;
}

static int tunables_check(const struct fl_pool *pool,
			  const struct fl_tunables *tunables,
			  struct fl_error *error)
{
	struct fl_tunables known, adjusted;
	int err = fl__config_read(FL_TUNABLES, &known, tunables, error);

	if (err)
		return err;
	adjusted = known;
	err = fl_pool_adjust_tunables(pool, &adjusted, error);
	if (err || known.checks_bounds)
		return err;
	if (adjusted.memory_reservation_bytes ==
		    known.memory_reservation_bytes &&
	    adjusted.memory_guard_bytes == known.memory_guard_bytes &&
	    adjusted.memory_guard_before_bytes ==
		    known.memory_guard_before_bytes)
		return 0;
	return fl__error_set(
		error, -ENOTSUP,
		"the module was compiled for a reservation of %llu bytes and guards of %llu after and %llu before it, the pool guarantees %llu, %llu and %llu; compile by fl_pool_adjust_tunables(), or raise memory_stride_bytes or the guards",
		fl_llu(known.memory_reservation_bytes),
		fl_llu(known.memory_guard_bytes),
		fl_llu(known.memory_guard_before_bytes),
		fl_llu(adjusted.memory_reservation_bytes),
		fl_llu(adjusted.memory_guard_bytes),
		fl_llu(adjusted.memory_guard_before_bytes));
}

int fl__instance_check(const struct fl_pool *pool,
		       const struct fl_module *module,
		       const struct fl_instance_config *config,
		       struct fl_error *error)
{
	int err = check_memories(module, config, error);

	if (!err)
		err = check_tables(pool, module, config, error);
	if (!err && config->tunables)
		err = tunables_check(pool, config->tunables, error);
	return err;
}

/* --------------------------------------------------- limits of one tenant */

static int check_limit(const char *what, uint32_t idx, uint64_t start,
		       const char *unit, uint64_t limit, const char *field,
		       struct fl_error *error)
{
	return start <= limit ?
		       0 :
		       fl__error_set(
			       error, -E2BIG,
			       "%s %u starts with %llu %s, the instance's %s is %llu; raise it",
			       what, idx, fl_llu(start), unit, field,
			       fl_llu(limit));
}

static int check_total(uint64_t total, const struct fl_instance_config *config,
		       struct fl_error *error)
{
	return total <= config->max_total_bytes ?
		       0 :
		       fl__error_set(
			       error, -E2BIG,
			       "memories and tables start with %llu bytes together, the instance's max_total_bytes is %llu; raise it",
			       fl_llu(total), fl_llu(config->max_total_bytes));
}

int fl__instance_check_limits(const struct fl_pool *pool,
			      const struct fl_module *module,
			      const struct fl_instance_config *config,
			      const struct fl__captured *captured,
			      struct fl_error *error)
{
	const struct fl__reader *reader = &module->reader;
	uint64_t total = 0;
	int err = 0;

	for (uint32_t i = reader->imported_memory_count;
	     i < reader->memory_count && !err; i++) {
		uint64_t bytes =
			captured ? captured->images[i]->map.initial_bytes :
				   module->memories[i].min_bytes;

		err = check_limit("memory", i, bytes, "bytes",
				  config->max_memory_bytes, "max_memory_bytes",
				  error);
		if (fl_add_overflow(total, bytes, &total))
			total = UINT64_MAX;
	}
	for (uint32_t i = reader->imported_table_count;
	     i < reader->table_count && !err && fl__pool_has_tables(pool);
	     i++) {
		uint64_t elements = captured ? captured->tables[i].length :
					       reader->tables[i].limits.min;
		uint64_t bytes;

		err = check_limit("table", i, elements,
				  fl_noun(elements, "element", "elements"),
				  config->max_table_elements,
				  "max_table_elements", error);
		if (fl_mul_overflow(elements, pool->config.table_element_bytes,
				    &bytes) ||
		    fl_add_overflow(total, bytes, &total))
			total = UINT64_MAX;
	}
	return err ? err : check_total(total, config, error);
}

/* -------------------------------------------------------------- snapshots */

static int captured_table(const struct fl_pool *pool,
			  const struct fl__captured_table *table, uint32_t idx,
			  struct fl_error *error)
{
	if (table->length > pool->limits.max_table_elements)
		return fl__error_set(
			error, -E2BIG,
			"table %u of the snapshot has %llu %s, the pool allows %llu; raise max_table_elements",
			idx, fl_llu(table->length),
			fl_noun(table->length, "element", "elements"),
			fl_llu(pool->limits.max_table_elements));
	if (!table->image)
		return 0;
	if (table->element_bytes != pool->config.table_element_bytes)
		return fl__error_set(
			error, -EINVAL,
			"table %u of the snapshot has plain elements of %u bytes, the pool's table_element_bytes is %llu",
			idx, table->element_bytes,
			fl_llu(pool->config.table_element_bytes));
	if (!memcmp(table->null, pool->table_null, table->element_bytes))
		return 0;
	return fl__error_set(
		error, -EINVAL,
		"plain table %u of the snapshot has another null than the pool; make table_null that of the captured instance's pool",
		idx);
}

static int captured_content(const struct fl_pool *pool,
			    const struct fl_module *module,
			    const struct fl__captured *captured,
			    struct fl_error *error)
{
	const struct fl__reader *reader = &module->reader;
	int err = 0;

	for (uint32_t i = reader->imported_memory_count;
	     i < reader->memory_count; i++) {
		uint64_t bytes = captured->images[i]->map.initial_bytes;

		if (bytes > pool->limits.max_memory_bytes)
			return fl__error_set(
				error, -E2BIG,
				"memory %u of the snapshot has %llu bytes, the pool allows %llu; raise max_memory_bytes",
				i, fl_llu(bytes),
				fl_llu(pool->limits.max_memory_bytes));
	}
	if (fl__pool_has_tables(pool) != captured->has_tables &&
	    reader->table_count > reader->imported_table_count)
		return fl__error_set(
			error, -EINVAL,
			"tables are %s the snapshot but %s the pool; make max_tables that of the captured instance's pool",
			captured->has_tables ? "in" : "not in",
			captured->has_tables ? "not in" : "in");
	for (uint32_t i = reader->imported_table_count;
	     i < reader->table_count && !err; i++)
		err = captured_table(pool, &captured->tables[i], i, error);
	return err;
}

int fl__instance_check_captured(const struct fl_pool *pool,
				const struct fl_module *module,
				const struct fl__captured *captured,
				struct fl_error *error)
{
	const struct fl_image *structure = captured->structure;

	if (captured->is_parts)
		return fl__error_set(
			error, -ENOTSUP,
			"the snapshot was made by fl_snapshot_create(); only its runtime can clone it");
	if (module != captured->module)
		return fl__error_set(
			error, -EINVAL,
			"the snapshot is of another module; give fl_snapshot_module()");
	if (structure &&
	    structure->map.initial_bytes != pool->config.instance_bytes)
		return fl__error_set(
			error, -EINVAL,
			"the structure of the snapshot has %llu bytes, the pool's instance_bytes is %llu",
			fl_llu(structure->map.initial_bytes),
			fl_llu(pool->config.instance_bytes));
	return captured_content(pool, module, captured, error);
}
