/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * table.c - tables: where their elements are, and how many.
 *
 * Takes a configuration; gives a table in a pool's slot (table_pool.c), in memory
 * of the caller (static) or from malloc() (dynamic), and grows it there. What
 * is done to elements is table_ops.c's.
 *
 * Invariant: the elements from length on hold no reference.
 */
#include "table.h"
#include "base/sized.h"

#include <stdlib.h>

int fl__table_read_config(const struct fl_table_config *config,
			  struct fl_table_config *known,
			  uint64_t pool_element_bytes, struct fl_error *error)
{
	int err = 0;

	fl_table_config_init(known);
	if (config)
		err = fl__sized_read(known, sizeof(*known), config,
				     "fl_table_config", error);
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
	if (known->initial_elements > known->max_elements)
		return fl__error_set(
			error, -EINVAL,
			"the table starts with %llu elements, more than its max_elements of %llu",
			(unsigned long long)known->initial_elements,
			(unsigned long long)known->max_elements);
	return 0;
}

void fl__table_begin(struct fl__table *table,
		     const struct fl_table_config *config, void *base,
		     uint64_t capacity)
{
	table->pub.base = base;
	table->capacity = capacity;
	table->max_elements = config->max_elements;
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

static int storage_check(const struct fl_table_config *config,
			 uint64_t *capacity, struct fl_error *error)
{
	*capacity = config->storage_bytes / config->element_bytes;
	if ((uintptr_t)config->storage % 8)
		return fl__error_set(error, -EINVAL,
				     "storage is not aligned to 8 bytes");
	if (config->initial_elements > *capacity)
		return fl__error_set(
			error, -E2BIG,
			"the table starts with %llu elements, storage_bytes has room for %llu",
			(unsigned long long)config->initial_elements,
			(unsigned long long)*capacity);
	return 0;
}

static int storage_alloc(const struct fl_table_config *config, void **base,
			 uint64_t *capacity, struct fl_error *error)
{
	uint64_t bytes;

	*capacity = config->initial_elements;
	if (!fl_mul_overflow(*capacity, config->element_bytes, &bytes) &&
	    bytes < SIZE_MAX / 2) {
		*base = malloc((size_t)bytes + 1);
		if (*base)
			return 0;
	}
	return fl__error_set(error, -ENOMEM, "no memory for %llu elements",
			     (unsigned long long)*capacity);
}

int fl_table_create(const struct fl_table_config *config, struct fl_table **out,
		    struct fl_error *error)
{
	struct fl_table_config known;
	struct fl__table *table;
	uint64_t capacity;
	void *base;
	int err = fl__table_read_config(config, &known, 0, error);

	if (err)
		return err;
	if (known.image)
		return fl__error_set(
			error, -EINVAL,
			"only a table from a pool can have an image; use fl_table_init_elements()");
	base = known.storage;
	err = base ? storage_check(&known, &capacity, error) :
		     storage_alloc(&known, &base, &capacity, error);
	if (err)
		return err;
	if (posix_memalign((void **)&table, 128, sizeof(*table))) {
		if (!known.storage)
			free(base);
		return fl__error_set(error, -ENOMEM, "no memory for a table");
	}
	memset(table, 0, sizeof(*table));
	table->is_static = known.storage != NULL;
	fl__table_begin(table, &known, base, capacity);
	fl__table_put(table, 0, table->null, known.initial_elements);
	*out = &table->pub;
	return 0;
}

int fl_table_release(struct fl_table *pub)
{
	struct fl__table *table = fl__table_of(pub);
	int err;

	if (!table)
		return -EINVAL;
	if (table->memory) {
		err = fl__pool_check_owner(table->memory->pool, NULL);
		if (err)
			return err;
		return fl__memory_claim(table->memory) ? fl__table_give(table) :
							 -EINVAL;
	}
	fl__table_drop_all(table);
	if (!table->is_static)
		free(table->pub.base);
	free(table);
	return 0;
}

static int table_move(struct fl__table *table, uint64_t capacity)
{
	uint64_t bytes;
	void *moved;

	if (fl_mul_overflow(capacity, table->element_bytes, &bytes) ||
	    bytes >= SIZE_MAX / 2)
		return -ENOMEM;
	moved = realloc(table->pub.base, (size_t)bytes);
	if (!moved)
		return -ENOMEM;
	table->pub.base = moved;
	table->capacity = capacity;
	return 0;
}

/* Twice as large if it can be had, so that growing one by one is not
 * quadratic. */
static int table_make_room(struct fl__table *table, uint64_t length)
{
	uint64_t wanted = fl_min_u64(2 * table->capacity, table->max_elements);

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
	int err = 0;

	if (table->memory)
		err = fl__pool_check_owner(table->memory->pool, NULL);
	if (err)
		return err;
	if (fl_add_overflow(old, delta, &length) ||
	    length > table->max_elements)
		return -E2BIG;
	/* The element may be one of the table's own, which moves. */
	memcpy(own, element ? element : table->null, table->element_bytes);
	if (length > table->capacity) {
		if (table->memory || table->is_static)
			return -E2BIG;
		err = table_make_room(table, length);
		if (err)
			return err;
	}
	fl__table_put(table, old, own, delta);
	/* Pairs with readers of the length: whoever sees it may read them. */
	__atomic_store_n(&pub->length, length, __ATOMIC_RELEASE);
	if (old_elements)
		*old_elements = old;
	return 0;
}
