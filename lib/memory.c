/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * memory.c - taking, growing and giving back one memory.
 *
 * Takes a request and a pool's slot; gives a live memory that shows its image,
 * and a clean slot again. This is where a slot's state is decided: an attach
 * that failed empties the slot, a reset that failed empties it, and a slot that
 * cannot even be emptied is retired.
 */
#include "pool.h"
#include "sized.h"

/* Serials of images count up from 1. */
#define AFFINITY_NO_IMAGE UINT64_MAX

void fl_memory_config_init(struct fl_memory_config *config)
{
	*config = (struct fl_memory_config){
		.size = sizeof(*config),
		.max_bytes = UINT64_MAX,
		.page_bytes = FL_WPAGE_BYTES,
	};
}

static int request_check(const struct fl_pool *pool,
			 const struct fl__memory_request *request,
			 struct fl_error *error)
{
	const struct fl_image *image = request->image;

	if (request->initial_bytes > pool->config.max_memory_bytes)
		return fl__error_set(
			error, -E2BIG,
			"the memory starts with %llu bytes, the pool allows %llu; raise max_memory_bytes",
			(unsigned long long)request->initial_bytes,
			(unsigned long long)pool->config.max_memory_bytes);
	if (!image)
		return 0;
	if (image->context != pool->context)
		return fl__error_set(
			error, -EINVAL,
			"the image was made with another context than the pool");
	if (image->map.trap)
		return fl__error_set_trap(
			error, image->map.trap,
			"data segment %zu is out of bounds of the memory's %llu bytes",
			image->map.trap_segment_idx,
			(unsigned long long)image->map.initial_bytes);
	if (image->map.data_end_bytes > request->initial_bytes)
		return fl__error_set(
			error, -EINVAL,
			"initial_bytes is %llu, but the image has content up to byte %llu",
			(unsigned long long)request->initial_bytes,
			(unsigned long long)image->map.data_end_bytes);
	return 0;
}

/* What a free slot keeps counts for the pool's budget; counted only if there is
 * one, because all threads would write the sum. */
static void memory_count(struct fl__memory *memory, uint64_t kept_bytes)
{
	struct fl_pool *pool = memory->pool;

	if (pool->config.max_idle_bytes == UINT64_MAX)
		return;
	__atomic_add_fetch(&pool->idle_kept_bytes,
			   kept_bytes - memory->counted_bytes,
			   __ATOMIC_RELAXED);
	memory->counted_bytes = kept_bytes;
}

void fl__memory_empty(struct fl__memory *memory)
{
	struct fl_pool *pool = memory->pool;
	struct fl_image *image = memory->slot.image;
	int err;

	err = pool->context->backend->detach(pool->arena, &memory->slot);
	memory->slot.image = NULL;
	memory->slot.kept_bytes = 0;
	memory_count(memory, 0);
	if (err) {
		__atomic_store_n(&memory->state, FL__MEMORY_RETIRED,
				 __ATOMIC_RELEASE);
		fl__stock_retire(&pool->memory_stock, memory->slot.idx);
	} else {
		fl__stock_give(&pool->memory_stock, memory->slot.idx, 0);
	}
	fl_image_release(image);
}

static int memory_attach(struct fl__memory *memory,
			 const struct fl__memory_request *request,
			 struct fl_error *error)
{
	struct fl_pool *pool = memory->pool;
	struct fl_image *old = memory->slot.image;
	int err;

	err = pool->context->backend->attach(pool->arena, &memory->slot,
					     request->image,
					     request->initial_bytes);
	if (err) {
		/* The old image may still be mapped in part. */
		memory->slot.image = old;
		fl__memory_empty(memory);
		return fl__error_set(
			error, err,
			"cannot map the memory's initial content: %s; if vm.max_map_count is reached, raise it or lower max_memories",
			fl_strerror(err));
	}
	if (old != request->image) {
		if (request->image)
			fl_image_retain(request->image);
		memory->slot.image = request->image;
		fl_image_release(old);
	}
	return 0;
}

/* Memories without an image are alike too: what one left resident serves the
 * next. */
static uint64_t affinity_of(const struct fl_image *image)
{
	return image ? image->serial : AFFINITY_NO_IMAGE;
}

static void memory_begin(struct fl__memory *memory,
			 const struct fl__memory_request *request)
{
	memory_count(memory, 0);
	__atomic_store_n(&memory->is_lent, request->is_lent, __ATOMIC_RELAXED);
	memory->page_bytes = request->page_bytes;
	memory->max_bytes = fl_min_u64(request->max_bytes,
				       memory->pool->config.max_memory_bytes);
	__atomic_store_n(&memory->instance, NULL, __ATOMIC_RELAXED);
	__atomic_store_n(&memory->pub.length_bytes, request->initial_bytes,
			 __ATOMIC_RELEASE);
	/* A handler that sees LIVE sees all of the above. */
	__atomic_store_n(&memory->state, FL__MEMORY_LIVE, __ATOMIC_RELEASE);
}

/* The slots after failed were taken and not attached; failed itself has been
 * dealt with, and those before it are live. */
static void memory_undo(struct fl_pool *pool, const uint32_t *idx,
			uint32_t failed, uint32_t count)
{
	for (uint32_t i = count; i-- > failed + 1;) {
		struct fl__memory *memory = &pool->memories[idx[i]];

		fl__stock_give(&pool->memory_stock, idx[i],
			       memory->slot.is_open ?
				       affinity_of(memory->slot.image) :
				       0);
	}
	while (failed--)
		(void)fl__memory_give(&pool->memories[idx[failed]]);
}

/* A slot that is being trimmed is in use for a moment. Who does not want to wait
 * is not turned away for that: while the trim_lock is held, none is. */
static int memory_take_idx(struct fl_pool *pool, const uint64_t *affinities,
			   uint32_t count, uint64_t timeout_ns, uint32_t *idx,
			   struct fl_error *error)
{
	int err = fl__stock_take(&pool->memory_stock, affinities, count,
				 timeout_ns, idx, error);

	if (err != -EAGAIN)
		return err;
	fl__os_lock(&pool->trim_lock);
	err = fl__stock_take(&pool->memory_stock, affinities, count, 0, idx,
			     error);
	fl__os_unlock(&pool->trim_lock);
	return err;
}

int fl__memory_take(struct fl_pool *pool,
		    const struct fl__memory_request *requests, uint32_t count,
		    uint64_t timeout_ns, struct fl_memory **memories,
		    struct fl_error *error)
{
	uint64_t affinities[FL__READER_MAX_MEMORIES];
	uint32_t idx[FL__READER_MAX_MEMORIES];
	int err = 0;

	fl_assert(count <= FL__READER_MAX_MEMORIES);
	for (uint32_t i = 0; i < count && !err; i++) {
		err = request_check(pool, &requests[i], error);
		affinities[i] = affinity_of(requests[i].image);
	}
	if (!err && count)
		err = memory_take_idx(pool, affinities, count, timeout_ns, idx,
				      error);
	if (err)
		return err;
	for (uint32_t i = 0; i < count; i++) {
		struct fl__memory *memory = &pool->memories[idx[i]];

		err = memory_attach(memory, &requests[i], error);
		if (err) {
			memory_undo(pool, idx, i, count);
			return err;
		}
		memory_begin(memory, &requests[i]);
		memories[i] = &memory->pub;
	}
	return 0;
}

/* Remove a slot that was found unclean: what is in it must never be seen. */
static void memory_retire(struct fl__memory *memory)
{
	struct fl_pool *pool = memory->pool;
	struct fl_image *image = memory->slot.image;

	(void)pool->context->backend->detach(pool->arena, &memory->slot);
	memory->slot.image = NULL;
	__atomic_store_n(&memory->state, FL__MEMORY_RETIRED, __ATOMIC_RELEASE);
	fl__stock_retire(&pool->memory_stock, memory->slot.idx);
	fl_image_release(image);
}

/* Give a clean slot to the stock, and keep the pool within its budget. */
static void memory_shelve(struct fl__memory *memory)
{
	struct fl_pool *pool = memory->pool;
	uint64_t budget = pool->config.max_idle_bytes;

	memory_count(memory, memory->slot.kept_bytes);
	fl__stock_give(&pool->memory_stock, memory->slot.idx,
		       affinity_of(memory->slot.image));
	if (__atomic_load_n(&pool->idle_kept_bytes, __ATOMIC_RELAXED) <= budget)
		return;
	fl__os_lock(&pool->trim_lock);
	while (__atomic_load_n(&pool->idle_kept_bytes, __ATOMIC_RELAXED) >
	       budget) {
		uint32_t idx = fl__stock_take_oldest(&pool->memory_stock);

		if (idx == FL__SLOT_NONE)
			break;
		fl__memory_empty(&pool->memories[idx]);
	}
	fl__os_unlock(&pool->trim_lock);
}

int fl__memory_give(struct fl__memory *memory)
{
	struct fl_pool *pool = memory->pool;
	uint64_t length_bytes = fl__memory_length(&memory->pub);

	__atomic_store_n(&memory->state, FL__MEMORY_FREE, __ATOMIC_RELEASE);
	__atomic_store_n(&memory->instance, NULL, __ATOMIC_RELAXED);
	/* Whoever still holds a lent page keeps it; the slot gets others. */
	if (__atomic_load_n(&memory->is_lent, __ATOMIC_RELAXED) ||
	    pool->context->backend->reset(pool->arena, &memory->slot)) {
		fl__memory_empty(memory);
		return 0;
	}
	if (fl_unlikely(pool->config.audit_every)) {
		enum fl__audit_verdict verdict =
			fl__audit(memory, length_bytes);

		if (verdict == FL__AUDIT_DIRTY) {
			memory_retire(memory);
			return -EIO;
		}
		if (verdict == FL__AUDIT_UNSURE) {
			fl__memory_empty(memory);
			return 0;
		}
	}
	memory_shelve(memory);
	return 0;
}

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
	uint64_t timeout_ns = 0;
	int err;

	err = fl__pool_check_owner(pool, error);
	if (!err)
		err = config_to_request(config, &request, &timeout_ns, error);
	if (err)
		return err;
	return fl__memory_take(pool, &request, 1, timeout_ns, out, error);
}

int fl_memory_release(struct fl_memory *pub)
{
	uint32_t expected = FL__MEMORY_LIVE;
	struct fl__memory *memory;
	int err;

	if (!pub)
		return -EINVAL;
	memory = fl__memory_of(pub);
	err = fl__pool_check_owner(memory->pool, NULL);
	if (err)
		return err;
	/* The exchange lets one of two releases through. */
	if (__atomic_load_n(&memory->instance, __ATOMIC_RELAXED) ||
	    !__atomic_compare_exchange_n(&memory->state, &expected,
					 FL__MEMORY_FREE, false,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		return -EINVAL;
	return fl__memory_give(memory);
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
	const struct fl__geometry *geometry = &pool->layout.memories;
	uint64_t off =
		(uint64_t)((uintptr_t)base - (uintptr_t)geometry->reservation) -
		geometry->first_off;
	uint64_t idx = off / geometry->stride_bytes;

	if (off % geometry->stride_bytes || idx >= geometry->slot_count)
		return NULL;
	if (__atomic_load_n(&pool->memories[idx].state, __ATOMIC_ACQUIRE) !=
	    FL__MEMORY_LIVE)
		return NULL;
	return &pool->memories[idx].pub;
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
		err = backend->grow(memory->pool->arena, &memory->slot,
				    new_bytes);
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
		memory->pool->arena, &memory->slot, offset_bytes, length_bytes);
}

uint64_t fl_memory_length(const struct fl_memory *memory)
{
	return fl__memory_length(memory);
}
