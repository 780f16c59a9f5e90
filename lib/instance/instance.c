/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * instance.c - from a module to its memories, tables and structure, and back in
 * reverse.
 *
 * Takes a validated module and a pool; gives an instance whose memories and
 * tables show what their images hold; initialise.c does the rest. Whatever
 * fails, all that was taken is given back in reverse order.
 *
 * Memories are taken first, then tables, then the slot of the structure, which
 * is the instance: everybody waits in this order, and holds an instance only
 * who waits for nothing, so that nobody waits for another in a circle.
 *
 * A slot that becomes free keeps the reference to its module for its next
 * instance. All threads that use a module would write its count otherwise,
 * twice an instance, and do little else where instances are small. Two ways
 * end that: the next instance is of another module, or the pool lets go
 * (fl__instance_forget). Who holds the last reference of all lets go at once.
 */
#include "pool/pool.h"
#include "base/sized.h"

#include <stdlib.h>

struct fl_instance *fl__instance_at(struct fl__memory *memory)
{
	return memory->region ? &memory->region->instance :
				&memory->pool->instances[memory->slot.idx];
}

void fl__instance_fini(struct fl_instance *instance)
{
	fl_module_release(instance->module);
	free(instance->dropped_data);
	free(instance->dropped_elements);
}

static void hold_module(struct fl_instance *instance, struct fl_module *module)
{
	struct fl_module *last = instance->module;

	if (last == module)
		return;
	instance->module = fl_module_retain(module);
	fl_module_release(last);
}

/* What is to be released when the instance is gone; NULL: the slot keeps it.
 * Nobody can take a reference meanwhile when the slot's is the only one. */
static struct fl_module *part_with_module(struct fl_instance *instance)
{
	struct fl_module *module = instance->module;

	if (!instance->structure->region &&
	    __atomic_load_n(&module->refs, __ATOMIC_ACQUIRE) > 1)
		return NULL;
	instance->module = NULL;
	return module;
}

/* The modules of up to count slots from *from on, which nobody has: free ones,
 * and retired ones. */
static uint32_t collect_modules(struct fl_pool *pool,
				const struct fl_module *module, uint32_t *from,
				struct fl_module **held, uint32_t count)
{
	struct fl__bank *bank = &pool->banks[FL__BANK_STRUCTURE];
	uint32_t found = 0;

	fl__stock_freeze(&bank->stock);
	for (; *from < bank->geometry.slot_count && found < count; ++*from) {
		struct fl_instance *instance = &pool->instances[*from];

		if (!fl__stock_is_free(&bank->stock, *from) &&
		    __atomic_load_n(&bank->slots[*from].state,
				    __ATOMIC_ACQUIRE) != FL__MEMORY_RETIRED)
			continue;
		if (!instance->module || (module && instance->module != module))
			continue;
		held[found++] = instance->module;
		instance->module = NULL;
	}
	fl__stock_thaw(&bank->stock);
	return found;
}

void fl__instance_forget(struct fl_pool *pool, const struct fl_module *module)
{
	struct fl_module *held[64];
	uint32_t from = 0, count;

	do {
		count = collect_modules(pool, module, &from, held, 64);
		for (uint32_t i = 0; i < count; i++)
			fl_module_release(held[i]);
	} while (count);
}

/* All bits are clear while !*is_set. */
static int make_bits(uint64_t **bits, size_t words, size_t *capacity,
		     bool *is_set)
{
	if (words > *capacity) {
		uint64_t *grown = calloc(words, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		free(*bits);
		*bits = grown;
		*capacity = words;
	} else if (*is_set) {
		memset(*bits, 0, *capacity * sizeof(**bits));
	}
	*is_set = false;
	return 0;
}

/* Room for the bits of dropped segments. It stays with the slot, so that a reused
 * one allocates for more of them only. */
static int instance_make_room(struct fl_instance *instance,
			      const struct fl_module *module)
{
	const struct fl__reader *reader = &module->reader;
	size_t data_words =
		module->passive_count ? (size_t)reader->data_count / 64 + 1 : 0;
	size_t element_words =
		reader->elem_count ? (size_t)reader->elem_count / 64 + 1 : 0;

	if (make_bits(&instance->dropped_data, data_words,
		      &instance->data_words, &instance->has_dropped_data) ||
	    make_bits(&instance->dropped_elements, element_words,
		      &instance->element_words,
		      &instance->has_dropped_elements))
		return -ENOMEM;
	return 0;
}

/* Images are all or nothing: where one segment traps, each has to be written
 * in its turn, up to that one. */
static struct fl_image *image_of(const struct fl_module *module,
				 uint32_t memory_idx)
{
	return module->is_paged ? module->memories[memory_idx].image : NULL;
}

static void memory_request(const struct fl_module *module, uint32_t memory_idx,
			   struct fl__memory_request *request)
{
	const struct fl__limits *limits =
		&module->reader.memories[memory_idx].limits;
	const struct fl__module_memory *wanted = &module->memories[memory_idx];

	*request = (struct fl__memory_request){
		.image = image_of(module, memory_idx),
		.initial_bytes = wanted->min_bytes,
		.page_bytes = wanted->page_bytes,
	};
	if (fl_mul_overflow(limits->max, wanted->page_bytes,
			    &request->max_bytes))
		request->max_bytes = UINT64_MAX;
}

/* What the module defines, all or none. */
static int take_memories(struct fl_pool *pool, const struct fl_module *module,
			 uint64_t timeout_ns, struct fl__memory **memories,
			 struct fl_error *error)
{
	uint32_t first = module->reader.imported_memory_count;
	uint32_t count = module->reader.memory_count - first;
	struct fl__memory_request requests[FL__READER_MAX_MEMORIES];

	for (uint32_t i = 0; i < count; i++)
		memory_request(module, first + i, &requests[i]);
	return fl__bank_take(&pool->banks[FL__BANK_MEMORY], requests, count,
			     timeout_ns, memories, error);
}

static int take_tables(struct fl_pool *pool, const struct fl_module *module,
		       const struct fl_instance_config *config,
		       struct fl_table **tables, struct fl_error *error)
{
	const struct fl__reader *reader = &module->reader;
	uint32_t first = reader->imported_table_count;
	uint32_t count = reader->table_count - first;
	struct fl_table_config configs[FL__READER_MAX_TABLES];

	if (!fl__pool_has_tables(pool))
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		const struct fl__limits *limits =
			&reader->tables[first + i].limits;

		fl_table_config_init(&configs[i]);
		configs[i].element_bytes =
			(uint32_t)pool->config.table_element_bytes;
		configs[i].initial_elements = limits->min;
		configs[i].max_elements = limits->max;
		configs[i].null = pool->table_null;
		configs[i].image =
			config->table_images ? config->table_images[i] : NULL;
		configs[i].clone = config->clone_element;
		configs[i].drop = config->drop_element;
		configs[i].user = config->user;
	}
	return fl__table_take(pool, configs, count, config->timeout_ns, tables,
			      error);
}

/* The slot of the structure is the instance. */
static int take_structure(struct fl_pool *pool, const struct fl_module *module,
			  const struct fl_instance_config *config,
			  struct fl_instance **instance, struct fl_error *error)
{
	struct fl__memory_request request = {
		.image = config->structure_image,
		.initial_bytes = pool->config.instance_bytes,
		.max_bytes = UINT64_MAX,
		.page_bytes = 1,
	};
	struct fl__memory *structure;
	int err = fl__bank_take(&pool->banks[FL__BANK_STRUCTURE], &request, 1,
				config->timeout_ns, &structure, error);

	if (err)
		return err;
	*instance = fl__instance_at(structure);
	if (instance_make_room(*instance, module)) {
		(void)fl__memory_give(structure);
		return fl__error_set(error, -ENOMEM,
				     "no memory for an instance");
	}
	(*instance)->structure = structure;
	return 0;
}

static void give_memories(const struct fl_module *module,
			  struct fl__memory *const *memories)
{
	uint32_t count = module->reader.memory_count -
			 module->reader.imported_memory_count;

	while (count--)
		(void)fl__memory_give(memories[count]);
}

static void give_tables(const struct fl_pool *pool,
			const struct fl_module *module,
			struct fl_table *const *tables)
{
	uint32_t count = fl__pool_has_tables(pool) ?
				 module->reader.table_count -
					 module->reader.imported_table_count :
				 0;

	while (count--)
		(void)fl__table_give(fl__table_of(tables[count]));
}

/* The memories and tables become the instance's. */
static void own_memories(struct fl_instance *instance,
			 const struct fl_instance_config *config,
			 struct fl__memory *const *memories)
{
	const struct fl__reader *reader = &instance->module->reader;
	uint32_t imported = reader->imported_memory_count;

	for (uint32_t i = 0; i < reader->memory_count; i++) {
		if (i < imported) {
			instance->memories[i] = config->imported_memories[i];
			continue;
		}
		instance->memories[i] = &memories[i - imported]->pub;
		__atomic_store_n(&memories[i - imported]->instance, instance,
				 __ATOMIC_RELAXED);
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
	instance->image_tables[0] = instance->image_tables[1] = 0;
	if (!fl__pool_has_tables(instance->pool))
		return;
	for (uint32_t i = 0; i < reader->table_count; i++) {
		if (i < imported) {
			instance->tables[i] = config->imported_tables[i];
			continue;
		}
		instance->tables[i] = tables[i - imported];
		__atomic_store_n(
			&fl__table_of(instance->tables[i])->memory->instance,
			instance, __ATOMIC_RELAXED);
		if (config->table_images && config->table_images[i - imported])
			instance->image_tables[i / 64] |= UINT64_C(1) << i % 64;
	}
	instance->table_count = reader->table_count;
}

static int instance_take(struct fl_pool *pool, struct fl_module *module,
			 const struct fl_instance_config *config,
			 struct fl_instance **out, struct fl_error *error)
{
	struct fl__memory *memories[FL__READER_MAX_MEMORIES];
	struct fl_table *tables[FL__READER_MAX_TABLES];
	struct fl_instance *instance;
	int err;

	err = take_memories(pool, module, config->timeout_ns, memories, error);
	if (err)
		return err;
	err = take_tables(pool, module, config, tables, error);
	if (err)
		goto err_memories;
	err = take_structure(pool, module, config, &instance, error);
	if (err)
		goto err_tables;
	instance->pool = pool;
	hold_module(instance, module);
	instance->user = config->user;
	instance->make_element = config->make_element;
	instance->is_initialised = false;
	own_memories(instance, config, memories);
	own_tables(instance, config, tables);
	*out = instance;
	return 0;
err_tables:
	give_tables(pool, module, tables);
err_memories:
	give_memories(module, memories);
	return err;
}

static int instance_read_config(const struct fl_instance_config *config,
				struct fl_instance_config *known,
				struct fl_error *error)
{
	fl_instance_config_init(known);
	if (!config)
		return 0;
	return fl__sized_read(known, sizeof(*known), config,
			      "fl_instance_config", error);
}

static int instance_allocate(struct fl_pool *pool, struct fl_module *module,
			     const struct fl_instance_config *config,
			     struct fl_instance **out, struct fl_error *error)
{
	int err = fl_pool_validate(pool, module, error);

	if (!err)
		err = fl__instance_check(pool, module, config, error);
	return err ? err : instance_take(pool, module, config, out, error);
}

int fl_instance_allocate(struct fl_pool *pool, struct fl_module *module,
			 const struct fl_instance_config *config,
			 struct fl_instance **out, struct fl_error *error)
{
	struct fl_instance_config known;
	int err = instance_read_config(config, &known, error);

	return err ? err : instance_allocate(pool, module, &known, out, error);
}

static int instance_give(struct fl_instance *instance)
{
	struct fl__memory *structure = instance->structure;
	const struct fl__reader *reader = &instance->module->reader;
	struct fl_module *module;
	int result = 0, err;

	while (instance->memory_count > reader->imported_memory_count) {
		err = fl__memory_give(fl__memory_of(
			instance->memories[--instance->memory_count]));
		result = err ? err : result;
	}
	while (instance->table_count > reader->imported_table_count) {
		err = fl__table_give(fl__table_of(
			instance->tables[--instance->table_count]));
		result = err ? err : result;
	}
	instance->memory_count = instance->table_count = 0;
	module = part_with_module(instance);
	/* Last: with it the instance is somebody else's, or gone. */
	err = fl__memory_give(structure);
	fl_module_release(module);
	return err ? err : result;
}

int fl_instance_acquire(struct fl_pool *pool, struct fl_module *module,
			const struct fl_instance_config *config,
			struct fl_instance **out, struct fl_error *error)
{
	struct fl_instance_config known;
	struct fl_instance *instance = NULL;
	int err = instance_read_config(config, &known, error);

	if (!err)
		err = instance_allocate(pool, module, &known, &instance, error);
	if (err)
		return err;
	err = fl__instance_initialise(instance, &known, error);
	if (err) {
		(void)instance_give(instance);
		return err;
	}
	*out = instance;
	return 0;
}

int fl_instance_release(struct fl_instance *instance)
{
	int err;

	if (!instance)
		return 0;
	err = fl__pool_check_owner(instance->pool, NULL);
	if (err)
		return err;
	/* Given twice, a slot would have two tenants at once. */
	return fl__memory_claim(instance->structure) ? instance_give(instance) :
						       -EINVAL;
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
	return instance->pool->config.instance_bytes ?
		       instance->structure->pub.base :
		       NULL;
}
