/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * table_life.c - tables are made, taken, grown, found and given back.
 *
 * Takes a configuration; gives a table in a slot of a pool, in memory of the
 * caller (static) or from malloc() (dynamic), and grows it there. A table in a
 * slot begins with an image: the caller's, zeroes, or nulls where nulls are not
 * all zeroes (table_nulls.h).
 */
#include "table_life.h"
#include "base/config.h"
#include "quota.h"
#include "slots/bound.h"
#include "table_nulls.h"

#include <stdlib.h>

static int read_config(const struct fl_table_config *config,
		       struct fl_table_config *known,
		       uint64_t pool_element_bytes, struct fl_error *error)
{
	int err = fl__config_read(FL_TABLE_CONFIG, known, config, error);

	if (err)
		return err;
	if (!known->element_bytes)
		known->element_bytes = (uint32_t)pool_element_bytes;
	if (!fl__table_width_is_valid(known->element_bytes))
		return fl__error_set(
			error, -EINVAL,
			"element_bytes is %u; use 4, 8, 16, 24 or 32",
			known->element_bytes);
	if (!known->clone != !known->drop)
		return fl__error_set(
			error, -EINVAL,
			"of clone and drop only one is set; give both or neither");
	if (known->address_bits && known->address_bits != 32 &&
	    known->address_bits != 64)
		return fl__error_set(
			error, -EINVAL,
			"address_bits is %u; use 32, 64, or 0 for a table whose type is not known",
			known->address_bits);
	if (known->address_bits == 32)
		known->max_elements =
			fl_min_u64(known->max_elements, UINT32_MAX);
	if (known->initial_elements > known->max_elements)
		return fl__error_set(
			error, -EINVAL,
			"the table starts with %llu %s, more than the %llu that max_elements and address_bits allow",
			fl_llu(known->initial_elements),
			fl_noun(known->initial_elements, "element", "elements"),
			fl_llu(known->max_elements));
	return 0;
}

/* The caller fills the initial_elements at base. */
static void table_begin(struct fl__table *table,
			const struct fl_table_config *config, void *base,
			uint64_t capacity)
{
	table->pub.base = base;
	table->capacity = capacity;
	table->quota = NULL;
	table->initial_elements = config->initial_elements;
	table->max_elements = config->max_elements;
	table->type_max = config->max_elements;
	table->type = (struct fl__valtype){ .code = 0 };
	table->address_bits = (uint8_t)config->address_bits;
	table->clone = config->clone;
	table->drop = config->drop;
	table->user = config->user;
	__atomic_store_n(&table->element_bytes, config->element_bytes,
			 __ATOMIC_RELAXED);
	memset(table->null, 0, sizeof(table->null));
	if (config->null)
		memcpy(table->null, config->null, config->element_bytes);
	__atomic_store_n(&table->pub.length, config->initial_elements,
			 __ATOMIC_RELEASE);
}

/* ------------------------------------------------------ storage of its own */

static int table_move(struct fl__table *table, uint64_t capacity)
{
	uint64_t bytes;
	void *moved;

	if (fl_mul_overflow(capacity, table->element_bytes, &bytes) ||
	    bytes >= SIZE_MAX / 2)
		return -ENOMEM;
	/* realloc() may answer NULL for no bytes. */
	moved = realloc(table->pub.base, (size_t)bytes + 1);
	if (!moved)
		return -ENOMEM;
	table->pub.base = moved;
	table->capacity = capacity;
	return 0;
}

/* Room for the initial elements. */
static int storage_open(struct fl__table *table,
			const struct fl_table_config *config,
			struct fl_error *error)
{
	if (!table->is_static)
		return table_move(table, config->initial_elements) ?
			       fl__error_set(error, -ENOMEM,
					     "no memory for %llu %s",
					     fl_llu(config->initial_elements),
					     fl_noun(config->initial_elements,
						     "element", "elements")) :
			       0;
	if ((uintptr_t)config->storage % 8)
		return fl__error_set(error, -EINVAL,
				     "storage is not aligned to 8 bytes");
	if (config->initial_elements > table->capacity)
		return fl__error_set(
			error, -E2BIG,
			"the table starts with %llu elements, storage_bytes has room for %llu",
			fl_llu(config->initial_elements),
			fl_llu(table->capacity));
	return 0;
}

int fl_table_create(const struct fl_table_config *config, struct fl_table **out,
		    struct fl_error *error)
{
	struct fl_table_config known;
	struct fl__table *table;
	int err = read_config(config, &known, 0, error);

	if (err)
		return err;
	if (known.image)
		return fl__error_set(
			error, -EINVAL,
			"only a table from a pool can have an image; use fl_table_init_elements()");
	table = fl__os_alloc(sizeof(*table));
	if (!table)
		return fl__error_set(error, -ENOMEM, "no memory for a table");
	table->is_static = known.storage != NULL;
	table_begin(table, &known, known.storage,
		    known.storage_bytes / known.element_bytes);
	if (table->is_static)
		table->type_max =
			fl_min_u64(table->max_elements, table->capacity);
	err = storage_open(table, &known, error);
	if (err) {
		fl__os_free(table);
		return err;
	}
	fl__table_put(table, 0, table->null, known.initial_elements);
	*out = &table->pub;
	return 0;
}

/* ------------------------------------------------------------ slots, taken */

static uint64_t table_describe(struct fl__slot *slot, struct fl_fault *fault)
{
	struct fl__table *table = fl__slot_side(slot);

	fault->table = &table->pub;
	fault->trap = FL_TRAP_TABLE_OUT_OF_BOUNDS;
	return fl_table_size(&table->pub) *
	       __atomic_load_n(&table->element_bytes, __ATOMIC_RELAXED);
}

const struct fl__kind fl__kind_table = {
	.plural = "tables",
	.what = "table",
	.side_bytes = sizeof(struct fl__table),
	.is_hosts = true,
	.open = fl__nulls_open,
	.close = fl__nulls_close,
	.describe = table_describe,
};

static int config_check(const struct fl_pool *pool,
			const struct fl_table_config *config,
			struct fl_error *error)
{
	if (!fl__pool_has_tables(pool))
		return fl__error_set(
			error, -E2BIG,
			"the pool has no tables; raise max_tables");
	if (config->image && config->drop)
		return fl__error_set(
			error, -EINVAL,
			"a table with an image cannot count references: the references in the image were never cloned");
	if (config->image && fl__image_is_in_place(config->image))
		return fl__error_set(
			error, -ENOTSUP,
			"a table shows no image file in place; open the file without FL_OPEN_IN_PLACE");
	if (config->element_bytes > pool->config.table_element_bytes)
		return fl__error_set(
			error, -E2BIG,
			"element_bytes is %u, the pool's tables have %llu; raise table_element_bytes",
			config->element_bytes,
			fl_llu(pool->config.table_element_bytes));
	if (config->initial_elements > pool->limits.max_table_elements)
		return fl__error_set(
			error, -E2BIG,
			"the table starts with %llu %s, the pool allows %llu; raise max_table_elements",
			fl_llu(config->initial_elements),
			fl_noun(config->initial_elements, "element",
				"elements"),
			fl_llu(pool->limits.max_table_elements));
	return 0;
}

/* With a reference to the image that the table begins with; NULL: zeroes. */
static int request_make(struct fl_pool *pool,
			const struct fl_table_config *config,
			struct fl__request *request, struct fl_error *error)
{
	int err = config_check(pool, config, error);

	if (err)
		return err;
	*request = (struct fl__request){ .image = config->image };
	if (fl_mul_overflow(config->initial_elements, config->element_bytes,
			    &request->initial_bytes))
		return fl__error_set(error, -ENOMEM,
				     "a table of %llu elements fits no memory",
				     fl_llu(config->initial_elements));
	if (config->image)
		fl_image_retain(config->image);
	else if (config->initial_elements && config->null &&
		 !fl_is_zero(config->null, config->element_bytes))
		return fl__nulls_get(pool, config, &request->image,
				     &request->initial_bytes, error);
	return 0;
}

static struct fl_table *slot_begin(struct fl__slot *slot,
				   const struct fl_table_config *config)
{
	struct fl__table *table = fl__slot_side(slot);
	uint64_t limit = fl_max_u64(slot->bank->pool->config.max_table_elements,
				    config->initial_elements);

	if (table->slot != slot)
		table->slot = slot;
	table_begin(table, config, slot->space.base, limit);
	table->max_elements = fl_min_u64(config->max_elements, limit);
	table->type_max = table->max_elements;
	return &table->pub;
}

/* What a taker of tables holds while it waits. */
struct wanted {
	struct fl__request requests[FL__TAKE_MAX];
	uint32_t made;
	const struct fl__os_wait *outer;
};

static void wanted_release(struct wanted *wanted)
{
	while (wanted->made--)
		fl_image_release(wanted->requests[wanted->made].image);
}

static void wanted_undo(void *user)
{
	struct wanted *wanted = user;

	wanted_release(wanted);
	fl__os_wait_undo(wanted->outer);
}

int fl__table_take(struct fl_pool *pool, const struct fl_table_config *configs,
		   const uint64_t *bound_serials, uint32_t count,
		   const struct fl__os_wait *outer, struct fl_table **tables,
		   struct fl_error *error)
{
	struct wanted wanted;
	struct fl__os_wait wait = { outer->timeout_ns, wanted_undo, &wanted };
	struct fl__slot *slots[FL__TAKE_MAX];
	int err;

	if (!count)
		return 0;
	wanted.outer = outer;
	wanted.made = 0;
	do {
		err = request_make(pool, &configs[wanted.made],
				   &wanted.requests[wanted.made], error);
		if (!err && bound_serials)
			wanted.requests[wanted.made].bound_serial =
				bound_serials[wanted.made];
		wanted.made += !err;
	} while (wanted.made < count && !err);
	if (!err)
		err = fl__bank_take(&pool->banks[FL__BANK_TABLE],
				    wanted.requests, count, &wait, slots,
				    error);
	for (uint32_t i = 0; i < count && !err; i++)
		tables[i] = slot_begin(slots[i], &configs[i]);
	/* The slots have references of their own now. */
	wanted_release(&wanted);
	return err;
}

/* What a table has grown by is not bound. */
static void unbind_grown(struct fl__table *table)
{
	struct fl__slot *slot = table->slot;

	if (slot->bound && fl_table_size(&table->pub) * table->element_bytes !=
				   slot->bound->length_bytes) {
		fl__bound_outgrown(slot);
		fl__slot_unbind(slot);
	}
}

int fl__table_give(struct fl_table *table)
{
	fl__table_drop_all(fl__table_of(table));
	unbind_grown(fl__table_of(table));
	return fl__slot_give(fl__table_of(table)->slot, 0);
}

int fl__table_restart(struct fl_table *pub)
{
	struct fl__table *table = fl__table_of(pub);
	int err;

	fl__table_drop_all(table);
	err = fl__slot_restart(table->slot, 0);
	if (err)
		table->max_elements = 0;
	__atomic_store_n(&pub->length, err ? 0 : table->initial_elements,
			 __ATOMIC_RELEASE);
	return err;
}

int fl_table_acquire(struct fl_pool *pool, const struct fl_table_config *config,
		     struct fl_table **table, struct fl_error *error)
{
	struct fl_table_config known;
	struct fl__os_wait wait = { 0 };
	int err = fl__pool_check_owner(pool, error);

	if (!err)
		err = read_config(config, &known,
				  pool->config.table_element_bytes, error);
	if (err)
		return err;
	if (!known.null &&
	    known.element_bytes == pool->config.table_element_bytes)
		known.null = pool->table_null;
	wait.timeout_ns = known.timeout_ns;
	err = fl__table_take(pool, &known, NULL, 1, &wait, table, error);
	if (!err) {
		fl__stats_add(pool->stats, FL__WORD_tables_acquired, 1);
		fl__slot_publish(fl__table_of(*table)->slot, NULL);
	}
	return fl__stats_answer(pool->stats, err);
}

struct fl_table *fl_table_find(const struct fl_pool *pool, const void *base)
{
	const struct fl__source *source = pool->banks[FL__BANK_TABLE].source;
	struct fl__slot *slot = source->calls->at_base(source, base);

	return slot ? fl__slot_side(slot) : NULL;
}

/* --------------------------------------------------------------- end, growth */

int fl_table_release(struct fl_table *pub)
{
	struct fl__table *table = fl__table_of(pub);
	int err;

	/* Elements have bytes, unless the table was released long ago. */
	if (!table || !table->element_bytes)
		return -EINVAL;
	if (table->slot) {
		err = fl__slot_check_owner(table->slot, NULL);
		if (err)
			return err;
		return fl__slot_claim(table->slot) ? fl__table_give(pub) :
						     -EINVAL;
	}
	fl__table_drop_all(table);
	if (!table->is_static)
		free(table->pub.base);
	fl__os_free(table);
	return 0;
}

/* Twice as large if there is memory, so that growing one by one is not
 * quadratic. */
static int table_make_room(struct fl__table *table, uint64_t length)
{
	uint64_t wanted = fl_min_u64(2 * table->capacity, table->max_elements);

	if (table->slot || table->is_static)
		return -E2BIG;
	if (wanted > length && !table_move(table, wanted))
		return 0;
	return table_move(table, length);
}

int fl_table_grow(struct fl_table *pub, uint64_t delta, const void *element,
		  uint64_t *old_elements)
{
	struct fl__table *table = fl__table_of(pub);
	uint64_t old = pub->length, length;
	uint8_t own[FL__MAX_ELEMENT_BYTES];
	struct fl_growth growth;
	int err = 0;

	if (table->slot)
		err = fl__pool_check_owner(table->slot->bank->pool, NULL);
	if (err)
		return err;
	if (fl_add_overflow(old, delta, &length) ||
	    length > table->max_elements)
		return -E2BIG;
	/* The element may be one of the table's own, which moves. */
	memcpy(own, element ? element : table->null, table->element_bytes);
	if (length > table->capacity)
		err = table_make_room(table, length);
	growth = (struct fl_growth){
		.size = sizeof(growth),
		.table = pub,
		.old_bytes = old * table->element_bytes,
		.new_bytes = length * table->element_bytes,
	};
	if (!err)
		err = fl__quota_grow(table->quota, &growth);
	if (err)
		return err;
	fl__table_put(table, old, own, delta);
	/* Pairs with readers of the length: a reader that sees the new length
	 * may read the new elements. */
	__atomic_store_n(&pub->length, length, __ATOMIC_RELEASE);
	if (old_elements)
		*old_elements = old;
	return 0;
}
