/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* table_nulls.c - the images of a pool's nulls; see table_nulls.h. */
#include "table_nulls.h"

#include <stdlib.h>

#define NULL_IMAGES 16

/* An image of nulls, which are not zeroes. */
struct null_image {
	struct fl_image *image; /* a reference; NULL: free */
	uint32_t element_bytes;
};

struct nulls {
	struct fl__os_lock lock; /* under it no other lock is taken */
	struct null_image images[NULL_IMAGES];
	uint32_t next;
};

int fl__nulls_open(struct fl__bank *bank, struct fl_error *error)
{
	struct nulls *nulls = calloc(1, sizeof(*nulls));
	int err = nulls ? fl__os_lock_init(&nulls->lock) : -ENOMEM;

	if (err) {
		free(nulls);
		return fl__error_set(error, err, "no memory for tables");
	}
	bank->shared = nulls;
	return 0;
}

void fl__nulls_close(struct fl__bank *bank)
{
	struct nulls *nulls = bank->shared;

	if (!nulls)
		return;
	for (size_t i = 0; i < NULL_IMAGES; i++)
		fl_image_release(nulls->images[i].image);
	fl__os_lock_fini(&nulls->lock);
	free(nulls);
}

/*
 * How many nulls the image of a table has: not as many as the table, but one of
 * few counts. Modules choose the lengths of their tables, and each image takes
 * storage and a descriptor. No guest sees the nulls beyond the table's length,
 * because growth writes the new elements.
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

/* The image begins with a null: its first host page holds data. */
static bool null_image_is(const struct null_image *entry,
			  const struct fl_table_config *config, uint64_t count)
{
	uint32_t width = config->element_bytes;

	return entry->image && entry->element_bytes == width &&
	       entry->image->map.initial_bytes == count * width &&
	       !memcmp(entry->image->bytes, config->null, width);
}

static int null_image_build(struct fl_context *context,
			    const struct fl_table_config *config,
			    uint64_t count, struct fl_image **image,
			    struct fl_error *error)
{
	size_t width = config->element_bytes;
	size_t bytes = (size_t)count * width;
	uint8_t *all = malloc(bytes);
	struct fl_segment segment = { 0, all, bytes };
	int err;

	if (!all)
		return fl__error_set(error, -ENOMEM,
				     "no memory for an image of %zu bytes",
				     bytes);
	for (size_t at = 0; at < bytes; at += width)
		memcpy(all + at, config->null, width);
	err = fl_image_from_segments(context, bytes, &segment, 1, image, error);
	free(all);
	return err;
}

/* With the lock. */
static int null_image_find(struct nulls *nulls, struct fl_context *context,
			   const struct fl_table_config *config, uint64_t count,
			   struct fl_image **image, struct fl_error *error)
{
	struct null_image *entry;
	int err;

	for (size_t i = 0; i < NULL_IMAGES; i++) {
		if (null_image_is(&nulls->images[i], config, count)) {
			*image = fl_image_retain(nulls->images[i].image);
			return 0;
		}
	}
	err = null_image_build(context, config, count, image, error);
	if (err)
		return err;
	entry = &nulls->images[nulls->next++ % NULL_IMAGES];
	fl_image_release(entry->image);
	*entry = (struct null_image){ fl_image_retain(*image),
				      config->element_bytes };
	return 0;
}

int fl__nulls_get(struct fl_pool *pool, const struct fl_table_config *config,
		  struct fl_image **image, uint64_t *bytes,
		  struct fl_error *error)
{
	struct nulls *nulls = pool->banks[FL__BANK_TABLE].shared;
	uint64_t count = null_count(pool, config);
	int err;

	*bytes = count * config->element_bytes;
	/* Larger than the pool's tables: no other table would share it. */
	if (count > pool->config.max_table_elements)
		return null_image_build(pool->context, config, count, image,
					error);
	fl__os_lock(&nulls->lock);
	err = null_image_find(nulls, pool->context, config, count, image,
			      error);
	fl__os_unlock(&nulls->lock);
	return err;
}
