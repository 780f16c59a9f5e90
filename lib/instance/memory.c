/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * memory.c - linear memories: taken alone, grown, lent, found, given back.
 *
 * Takes a caller's configuration and calls; gives a slot of the pool's bank of
 * memories (bank.c), which is the memory.
 */
#include "pool/pool.h"
#include "base/sized.h"

static int config_to_request(const struct fl_memory_config *config,
			     struct fl__memory_request *request,
			     uint64_t *timeout_ns, struct fl_error *error)
{
	struct fl_memory_config known;
	int err;

	fl_memory_config_init(&known);
	if (config) {
		err = fl__sized_read(&known, sizeof(known), config,
				     "fl_memory_config", error);
		if (err)
			return err;
	}
	if (!known.page_bytes || !fl_is_pow2(known.page_bytes) ||
	    known.page_bytes > FL_WPAGE_BYTES)
		return fl__error_set(
			error, -EINVAL,
			"page_bytes is %llu; it must be a power of two up to 65536",
			(unsigned long long)known.page_bytes);
	*request = (struct fl__memory_request){
		.image = known.image,
		.initial_bytes = known.initial_bytes,
		.max_bytes = known.max_bytes,
		.page_bytes = known.page_bytes,
		.is_lent = known.is_lent != 0,
	};
	*timeout_ns = known.timeout_ns;
	if (!request->initial_bytes && known.image)
		request->initial_bytes = known.image->map.initial_bytes;
	if (request->initial_bytes > request->max_bytes)
		return fl__error_set(
			error, -EINVAL,
			"the memory starts with %llu bytes, more than its max_bytes of %llu",
			(unsigned long long)request->initial_bytes,
			(unsigned long long)request->max_bytes);
	return 0;
}

int fl_memory_acquire(struct fl_pool *pool,
		      const struct fl_memory_config *config,
		      struct fl_memory **out, struct fl_error *error)
{
	struct fl__memory_request request;
	struct fl__memory *memory;
	uint64_t timeout_ns = 0;
	int err;

	err = fl__pool_check_owner(pool, error);
	if (!err)
		err = config_to_request(config, &request, &timeout_ns, error);
	if (err)
		return err;
	err = fl__bank_take(&pool->banks[FL__BANK_MEMORY], &request, 1,
			    timeout_ns, &memory, error);
	if (err)
		return err;
	*out = &memory->pub;
	return 0;
}

int fl_memory_release(struct fl_memory *pub)
{
	struct fl__memory *memory;
	int err;

	if (!pub)
		return -EINVAL;
	memory = fl__memory_of(pub);
	err = fl__pool_check_owner(memory->pool, NULL);
	if (err)
		return err;
	return fl__memory_claim(memory) ? fl__memory_give(memory) : -EINVAL;
}

int fl_memory_lend(struct fl_memory *pub)
{
	struct fl__memory *memory = fl__memory_of(pub);
	int err = fl__pool_check_owner(memory->pool, NULL);

	if (!err)
		__atomic_store_n(&memory->is_lent, true, __ATOMIC_RELAXED);
	return err;
}

struct fl_memory *fl_memory_find(const struct fl_pool *pool, const void *base)
{
	struct fl__memory *memory =
		fl__lookup_slot(pool, FL__BANK_MEMORY, base);

	return memory ? &memory->pub : NULL;
}

static int memory_grow(struct fl__memory *memory, uint64_t delta_pages,
		       uint64_t *old_pages)
{
	const struct fl__backend *backend = memory->pool->context->backend;
	uint64_t old_bytes = fl__memory_length(&memory->pub), new_bytes;
	int err = 0;

	if (fl_mul_overflow(delta_pages, memory->page_bytes, &new_bytes) ||
	    fl_add_overflow(new_bytes, old_bytes, &new_bytes) ||
	    new_bytes > memory->max_bytes)
		return -E2BIG;
	if (new_bytes > old_bytes)
		err = backend->grow(memory->arena, &memory->slot, new_bytes);
	if (err)
		return err;
	/* Pairs with readers of the length: whoever sees the new length may
	 * touch the new bytes. */
	__atomic_store_n(&memory->pub.length_bytes, new_bytes,
			 __ATOMIC_RELEASE);
	if (old_pages)
		*old_pages = old_bytes / memory->page_bytes;
	return 0;
}

int fl_memory_grow(struct fl_memory *pub, uint64_t delta_pages,
		   uint64_t *old_pages)
{
	struct fl__memory *memory = fl__memory_of(pub);
	int err = fl__pool_check_owner(memory->pool, NULL);

	if (err)
		return err;
	fl__os_lock(&memory->grow_lock);
	err = memory_grow(memory, delta_pages, old_pages);
	fl__os_unlock(&memory->grow_lock);
	return err;
}

int fl_memory_prefault(struct fl_memory *pub, uint64_t offset_bytes,
		       uint64_t length_bytes)
{
	struct fl__memory *memory = fl__memory_of(pub);
	int err = fl__pool_check_owner(memory->pool, NULL);

	if (err)
		return err;
	if (!fl_range_fits(offset_bytes, length_bytes, fl__memory_length(pub)))
		return -EINVAL;
	if (!length_bytes)
		return 0;
	return memory->pool->context->backend->prefault(
		memory->arena, &memory->slot, offset_bytes, length_bytes);
}
