/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * table_pool.c - tables in slots of a pool.
 *
 * Takes configurations; gives tables whose elements are in slots of the pool's
 * bank of tables, which show an image of what the table begins with: what the
 * caller gives, zeroes, or null references, where those are not all zero. So a
 * slot is clean for the next table like any memory's, in time proportional to
 * what was written, and dropping its pages never leaves a zero where a null
 * belongs.
 */
#include "table.h"

#include <stdlib.h>

static bool is_all_zero(const uint8_t *bytes, size_t count)
{
	return !*bytes && !memcmp(bytes, bytes + 1, count - 1);
}

/* --------------------------------------------------------- images of nulls */

/*
 * How many nulls the image of a table's has: not as many as the table, but one
 * of few sizes. Modules choose the sizes of their tables, and each
 * image is storage and a descriptor. What it has beyond the table's length is
 * seen by nobody: growth writes its elements.
 */
static uint64_t null_count(const struct fl_pool *pool,
			   const struct fl_table_config *config)
{
	uint64_t most = pool->config.max_table_elements;
	uint64_t bytes = pool->layout.banks[FL__BANK_TABLE].hpage_bytes;

	if (config->initial_elements >= most)
		return config->initial_elements;
	while (bytes / config->element_bytes < config->initial_elements)
		bytes *= 4;
	return fl_min_u64(bytes / config->element_bytes, most);
}

static bool null_image_is(const struct fl__null_image *entry,
			  const struct fl_table_config *config, uint64_t count)
{
	return entry->image && entry->element_bytes == config->element_bytes &&
	       entry->element_count == count &&
	       !memcmp(entry->null, config->null, config->element_bytes);
}

static int null_image_build(struct fl_pool *pool,
			    const struct fl_table_config *config,
			    uint64_t count, struct fl_image **image,
			    struct fl_error *error)
{
	size_t width = config->element_bytes;
	size_t bytes = (size_t)count * width;
	uint8_t *nulls = malloc(bytes);
	struct fl_segment segment = { 0, nulls, bytes };
	int err;

	if (!nulls)
		return fl__error_set(error, -ENOMEM,
				     "no memory for an image of %zu bytes",
				     bytes);
	for (size_t at = 0; at < bytes; at += width)
		memcpy(nulls + at, config->null, width);
	err = fl_image_from_segments(pool->context, bytes, &segment, 1, image,
				     error);
	free(nulls);
	return err;
}

/* With the null_lock. */
static int null_image_find(struct fl_pool *pool,
			   const struct fl_table_config *config, uint64_t count,
			   struct fl_image **image, struct fl_error *error)
{
	struct fl__null_image *entry;
	int err;

	for (size_t i = 0; i < FL__NULL_IMAGES; i++) {
		if (null_image_is(&pool->null_images[i], config, count)) {
			*image = pool->null_images[i].image;
			return 0;
		}
	}
	err = null_image_build(pool, config, count, image, error);
	if (err)
		return err;
	entry = &pool->null_images[pool->null_next++ % FL__NULL_IMAGES];
	fl_image_release(entry->image);
	entry->image = *image;
	entry->element_count = count;
	entry->element_bytes = config->element_bytes;
	memcpy(entry->null, config->null, config->element_bytes);
	return 0;
}

static int null_image(struct fl_pool *pool,
		      const struct fl_table_config *config,
		      struct fl__memory_request *request,
		      struct fl_error *error)
{
	uint64_t count = null_count(pool, config);
	int err;

	/* On demand only: too large to be kept for another. */
	if (count > pool->config.max_table_elements)
		return null_image_build(pool, config, count, &request->image,
					error);
	request->initial_bytes = count * config->element_bytes;
	fl__os_lock(&pool->null_lock);
	err = null_image_find(pool, config, count, &request->image, error);
	if (!err)
		fl_image_retain(request->image);
	fl__os_unlock(&pool->null_lock);
	return err;
}

/* A reference to the image that the table begins with; NULL: zeroes. */
static int request_image(struct fl_pool *pool,
			 const struct fl_table_config *config,
			 struct fl__memory_request *request,
			 struct fl_error *error)
{
	request->image = config->image;
	if (config->image) {
		fl_image_retain(config->image);
		return 0;
	}
	if (!config->initial_elements || !config->null ||
	    is_all_zero(config->null, config->element_bytes))
		return 0;
	return null_image(pool, config, request, error);
}

void fl__table_forget_nulls(struct fl_pool *pool)
{
	for (size_t i = 0; i < FL__NULL_IMAGES; i++) {
		fl_image_release(pool->null_images[i].image);
		pool->null_images[i].image = NULL;
	}
}

/* ------------------------------------------------------------ take, give */

struct fl__table *fl__table_at(struct fl__memory *memory)
{
	return memory->region ? &memory->region->table :
				&memory->pool->tables[memory->slot.idx];
}

static int config_check(const struct fl_pool *pool,
			const struct fl_table_config *config,
			struct fl_error *error)
{
	if (!pool->config.max_tables)
		return fl__error_set(
			error, -E2BIG,
			"the pool has no tables; raise max_tables");
	if (config->image && config->drop)
		return fl__error_set(
			error, -EINVAL,
			"a table with an image cannot count references: nobody cloned those in the image");
	if (config->element_bytes > pool->config.table_element_bytes)
		return fl__error_set(
			error, -E2BIG,
			"element_bytes is %u, the pool's tables have %llu; raise table_element_bytes",
			config->element_bytes,
			(unsigned long long)pool->config.table_element_bytes);
	if (config->initial_elements > pool->config.max_table_elements &&
	    !pool->is_on_demand)
		return fl__error_set(
			error, -E2BIG,
			"the table starts with %llu elements, the pool allows %llu; raise max_table_elements",
			(unsigned long long)config->initial_elements,
			(unsigned long long)pool->config.max_table_elements);
	return 0;
}

static int request_make(struct fl_pool *pool,
			const struct fl_table_config *config,
			struct fl__memory_request *request,
			struct fl_error *error)
{
	uint64_t bytes;
	int err = config_check(pool, config, error);

	if (err)
		return err;
	if (fl_mul_overflow(config->initial_elements, config->element_bytes,
			    &bytes))
		return fl__error_set(
			error, -ENOMEM,
			"a table of %llu elements fits no memory",
			(unsigned long long)config->initial_elements);
	*request = (struct fl__memory_request){
		.initial_bytes = bytes,
		.max_bytes = UINT64_MAX,
		.page_bytes = 1,
	};
	return request_image(pool, config, request, error);
}

static struct fl_table *table_begin(struct fl__memory *memory,
				    const struct fl_table_config *config)
{
	struct fl__table *table = fl__table_at(memory);
	struct fl_table_config limited = *config;
	uint64_t limit = fl_max_u64(memory->pool->config.max_table_elements,
				    config->initial_elements);

	limited.max_elements = fl_min_u64(config->max_elements, limit);
	table->memory = memory;
	fl__table_begin(table, &limited, memory->pub.base, limit);
	return &table->pub;
}

int fl__table_take(struct fl_pool *pool, const struct fl_table_config *configs,
		   uint32_t count, uint64_t timeout_ns,
		   struct fl_table **tables, struct fl_error *error)
{
	struct fl__memory_request requests[FL__READER_MAX_TABLES];
	struct fl__memory *memories[FL__READER_MAX_TABLES];
	uint32_t made = 0;
	int err;

	if (!count)
		return 0;
	do {
		err = request_make(pool, &configs[made], &requests[made],
				   error);
		made += !err;
	} while (made < count && !err);
	if (!err)
		err = fl__bank_take(&pool->banks[FL__BANK_TABLE], requests,
				    count, timeout_ns, memories, error);
	for (uint32_t i = 0; i < count && !err; i++)
		tables[i] = table_begin(memories[i], &configs[i]);
	/* The slots hold references of their own now. */
	while (made--)
		fl_image_release(requests[made].image);
	return err;
}

int fl__table_give(struct fl__table *table)
{
	fl__table_drop_all(table);
	return fl__memory_give(table->memory);
}

int fl_table_acquire(struct fl_pool *pool, const struct fl_table_config *config,
		     struct fl_table **table, struct fl_error *error)
{
	struct fl_table_config known;
	int err = fl__pool_check_owner(pool, error);

	if (!err)
		err = fl__table_read_config(config, &known,
					    pool->config.table_element_bytes,
					    error);
	if (err)
		return err;
	if (!known.null &&
	    known.element_bytes == pool->config.table_element_bytes)
		known.null = pool->table_null;
	return fl__table_take(pool, &known, 1, known.timeout_ns, table, error);
}

struct fl_table *fl_table_find(const struct fl_pool *pool, const void *base)
{
	struct fl__memory *memory = NULL;

	/* Tables of nothing are all at one address, which finds none. */
	if (pool->banks[FL__BANK_TABLE].geometry.stride_bytes)
		memory = fl__lookup_slot(pool, FL__BANK_TABLE, base);
	return memory ? &fl__table_at(memory)->pub : NULL;
}
