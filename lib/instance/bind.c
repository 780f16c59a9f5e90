/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* bind.c - what was decoded and may stay, and for whom; see bind.h. */
#include "bind.h"
#include "slots/bank.h"
#include "table.h"

#define MAX_PARTS (FL__READER_MAX_MEMORIES + FL__READER_MAX_TABLES)

/* A memory or table, where it is, and for a memory what it shows. */
struct part {
	uintptr_t handle, base;
	uint64_t image_serial;
};

/* All that what was decoded may depend on, to be compared and not read: what
 * these addresses meant may be gone. Without padding. */
struct key {
	uintptr_t module, instance, structure;
	/* The calls that made it; of a structure with their user, because
	 * structures lead to what is the user's. */
	uintptr_t decode, rebind, user;
	uint64_t part_count;
	struct part parts[MAX_PARTS];
};

static size_t key_bytes(const struct key *key)
{
	return offsetof(struct key, parts) +
	       (size_t)key->part_count * sizeof(key->parts[0]);
}

static void add_part(struct key *key, const void *handle, const void *base,
		     const struct fl_image *image)
{
	key->parts[key->part_count++] = (struct part){
		.handle = (uintptr_t)handle,
		.base = (uintptr_t)base,
		.image_serial = image ? image->serial : 0,
	};
}

static void key_places(const struct fl_instance *instance, struct key *key)
{
	key->module = (uintptr_t)instance->module;
	key->instance = (uintptr_t)instance;
	key->structure = (uintptr_t)fl__instance_slot(instance)->space.base;
	key->part_count = 0;
	for (uint32_t i = 0; i < instance->memory_count; i++) {
		const struct fl_memory *memory = instance->memories[i];

		add_part(key, memory, memory->base,
			 fl__slot_of_side(memory)->space.image);
	}
	for (uint32_t i = 0; i < instance->table_count; i++)
		add_part(key, instance->tables[i], instance->tables[i]->base,
			 NULL);
}

static void key_of_table(const struct fl_instance *instance,
			 const struct fl_instance_config *config,
			 struct key *key)
{
	key->decode = (uintptr_t)config->decode_elements;
	key->rebind = key->user = 0;
	key_places(instance, key);
}

static void key_of_structure(const struct fl_instance *instance,
			     const struct fl_instance_config *config,
			     struct key *key)
{
	key->decode = (uintptr_t)config->decode_state;
	key->rebind = (uintptr_t)config->rebind;
	key->user = (uintptr_t)config->user;
	key_places(instance, key);
}

void fl__bind_settle(const struct fl_pool *pool,
		     struct fl_instance_config *config)
{
	/* A reference that is counted is one tenant's. */
	config->binds_tables &= fl__pool_has_tables(pool) &&
				!config->clone_element && !config->drop_element;
	if (config->delta)
		config->binds_structure = 0;
}

static void note_bound(struct fl_pool *pool)
{
	if (!__atomic_load_n(&pool->has_bound, __ATOMIC_RELAXED))
		__atomic_store_n(&pool->has_bound, true, __ATOMIC_RELAXED);
}

bool fl__bind_holds(const struct fl_instance *instance,
		    const struct fl_instance_config *config,
		    const struct fl__captured_table *captured,
		    uint32_t table_idx)
{
	struct fl__table *table = fl__table_of(instance->tables[table_idx]);
	const struct fl__bound *bound = table->slot ? table->slot->bound : NULL;
	struct key key;

	/* An imported table is bound for its owner. */
	if (!bound || !captured->serial)
		return false;
	key_of_table(instance, config, &key);
	if (config->binds_tables && bound->serial == captured->serial &&
	    bound->length_bytes ==
		    fl_table_size(&table->pub) * table->element_bytes &&
	    fl__bound_is_for(bound, &key, key_bytes(&key)))
		return true;
	fl__table_put(table, 0, table->null,
		      bound->length_bytes / table->element_bytes);
	fl__slot_unbind(table->slot);
	return false;
}

void fl__bind_table(const struct fl_instance *instance,
		    const struct fl_instance_config *config,
		    const struct fl__captured_table *captured,
		    uint32_t table_idx)
{
	const struct fl__table *table =
		fl__table_of(instance->tables[table_idx]);
	struct fl_pool *pool = fl__instance_slot(instance)->bank->pool;
	struct key key;

	if (!config->binds_tables || !captured->serial ||
	    fl_table_size(&table->pub) != table->initial_elements)
		return;
	key_of_table(instance, config, &key);
	note_bound(pool);
	fl__slot_bind(table->slot, captured->serial,
		      table->initial_elements * table->element_bytes, &key,
		      key_bytes(&key));
}

int fl__bind_structure_holds(const struct fl_instance *instance,
			     const struct fl_instance_config *config,
			     const struct fl__captured *captured, bool *holds,
			     struct fl_error *error)
{
	struct fl__slot *slot = fl__instance_slot(instance);
	struct key key;
	int err;

	*holds = false;
	if (!slot->bound)
		return 0;
	key_of_structure(instance, config, &key);
	*holds = config->binds_structure &&
		 slot->bound->serial == captured->serial &&
		 fl__bound_is_for(slot->bound, &key, key_bytes(&key));
	if (*holds)
		return 0;
	err = fl__slot_restart(slot, 0);
	return err ? fl__error_set(error, err,
				   "the structure cannot be reset: %s",
				   fl_strerror(err)) :
		     0;
}

void fl__bind_structure(const struct fl_instance *instance,
			const struct fl_instance_config *config,
			const struct fl__captured *captured)
{
	struct fl__slot *slot = fl__instance_slot(instance);
	struct key key;

	if (!config->binds_structure ||
	    (!captured->state_bytes && !config->rebind))
		return;
	key_of_structure(instance, config, &key);
	note_bound(slot->bank->pool);
	/* Up to the end of the last page, which the runtime may have written. */
	fl__slot_bind(slot, captured->serial, slot->geometry->max_bytes, &key,
		      key_bytes(&key));
}

bool fl__bind_is_of(const struct fl__bound *bound,
		    const struct fl_module *module,
		    const struct fl_image *image)
{
	struct key key;

	memcpy(&key, fl__bound_key(bound), (size_t)bound->key_bytes);
	if (module && key.module == (uintptr_t)module)
		return true;
	for (uint64_t i = 0; image && i < key.part_count; i++) {
		if (key.parts[i].image_serial == image->serial)
			return true;
	}
	return false;
}
