/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bank.c - taking slots, giving them back clean, and what becomes of those that
 * are not.
 *
 * Takes requests and a bank; gives live slots that show their image, and takes
 * them back. This is where a slot's state is decided: an attach that failed
 * empties the slot, a reset that failed empties it, and a slot that cannot even
 * be emptied is retired. A memory, a table's storage and a runtime's structure
 * are all the same here. On demand, taking makes a region and giving drops
 * it; nothing is ever reset.
 */
#include "pool/pool.h"

#include <stdlib.h>

/* Serials of images count up from 1. */
#define AFFINITY_NO_IMAGE UINT64_MAX

/* What users call the slots of a bank, and the fields that limit them. */
static const struct {
	const char *plural;
	const char *what;
	const char *size_field;
} bank_words[FL__BANK_COUNT] = {
	[FL__BANK_MEMORY] = { "memories", "memory", "max_memory_bytes" },
	[FL__BANK_TABLE] = { "tables", "table", "max_table_elements" },
	[FL__BANK_STRUCTURE] = { "instances", "structure", "instance_bytes" },
};

/* Larger than the pool's memories is allowed on demand. */
static int request_check(const struct fl__bank *bank,
			 const struct fl__memory_request *request,
			 struct fl_error *error)
{
	const struct fl_image *image = request->image;
	const char *what = bank_words[bank->kind].what;
	uint64_t allowed = bank->kind == FL__BANK_MEMORY ?
				   bank->pool->config.max_memory_bytes :
				   bank->geometry.max_bytes;

	if (request->initial_bytes > allowed && !bank->pool->is_on_demand)
		return fl__error_set(
			error, -E2BIG,
			"the %s starts with %llu bytes, the pool allows %llu; raise %s",
			what, (unsigned long long)request->initial_bytes,
			(unsigned long long)allowed,
			bank_words[bank->kind].size_field);
	if (!image)
		return 0;
	if (image->context != bank->pool->context)
		return fl__error_set(
			error, -EINVAL,
			"the image was made with another context than the pool");
	if (image->map.trap)
		return fl__error_set_trap(
			error, image->map.trap,
			"data segment %zu is out of bounds of the %s's %llu bytes",
			image->map.trap_segment_idx, what,
			(unsigned long long)image->map.initial_bytes);
	if (image->map.data_end_bytes > request->initial_bytes)
		return fl__error_set(
			error, -EINVAL,
			"the %s starts with %llu bytes, but the image has content up to byte %llu",
			what, (unsigned long long)request->initial_bytes,
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

/* Out of circulation: to the stock as emptied, to no one, or unmapped. */
static void memory_part(struct fl__memory *memory, bool is_empty)
{
	struct fl__bank *bank = memory->bank;

	if (memory->region) {
		fl__region_drop(memory->region);
		return;
	}
	if (is_empty) {
		fl__stock_give(&bank->stock, memory->slot.idx, 0);
		return;
	}
	__atomic_store_n(&memory->state, FL__MEMORY_RETIRED, __ATOMIC_RELEASE);
	fl__stock_retire(&bank->stock, memory->slot.idx);
}

void fl__memory_empty(struct fl__memory *memory)
{
	struct fl_image *image = memory->slot.image;
	int err;

	err = memory->pool->context->backend->detach(memory->arena,
						     &memory->slot);
	memory->slot.image = NULL;
	memory->slot.kept_bytes = 0;
	memory_count(memory, 0);
	memory_part(memory, !err);
	fl_image_release(image);
}

static int memory_attach(struct fl__memory *memory,
			 const struct fl__memory_request *request,
			 struct fl_error *error)
{
	struct fl_pool *pool = memory->pool;
	struct fl_image *old = memory->slot.image;
	int err;

	err = pool->context->backend->attach(memory->arena, &memory->slot,
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

/* Where growth ends: the pool's maximum need not be whole host pages, and on
 * demand a memory may start beyond it. */
static uint64_t limit_of(const struct fl__memory *memory,
			 uint64_t initial_bytes)
{
	if (memory->bank->kind != FL__BANK_MEMORY)
		return memory->geometry->max_bytes;
	return fl_max_u64(memory->pool->config.max_memory_bytes, initial_bytes);
}

static void memory_begin(struct fl__memory *memory,
			 const struct fl__memory_request *request)
{
	memory_count(memory, 0);
	__atomic_store_n(&memory->is_lent, request->is_lent, __ATOMIC_RELAXED);
	memory->page_bytes = request->page_bytes;
	memory->max_bytes = fl_min_u64(
		request->max_bytes, limit_of(memory, request->initial_bytes));
	__atomic_store_n(&memory->acquired, memory->acquired + 1,
			 __ATOMIC_RELAXED);
	if (memory->region)
		__atomic_add_fetch(&memory->bank->acquired, 1,
				   __ATOMIC_RELAXED);
	__atomic_store_n(&memory->instance, NULL, __ATOMIC_RELAXED);
	__atomic_store_n(&memory->pub.length_bytes, request->initial_bytes,
			 __ATOMIC_RELEASE);
	/* A handler that sees LIVE sees all of the above. */
	__atomic_store_n(&memory->state, FL__MEMORY_LIVE, __ATOMIC_RELEASE);
}

/* The slots after failed were taken and not attached; failed itself has been
 * dealt with, and those before it are live. */
static void bank_undo(struct fl__bank *bank, struct fl__memory *const *memories,
		      uint32_t failed, uint32_t count)
{
	for (uint32_t i = count; i-- > failed + 1;) {
		const struct fl__space *slot = &memories[i]->slot;

		if (memories[i]->region)
			fl__region_drop(memories[i]->region);
		else
			fl__stock_give(
				&bank->stock, slot->idx,
				slot->is_open ? affinity_of(slot->image) : 0);
	}
	while (failed--)
		(void)fl__memory_give(memories[failed]);
}

/* A slot that is being trimmed is in use for a moment. Who does not want to wait
 * is not turned away for that: while the trim_lock is held, none is. */
static int bank_take_idx(struct fl__bank *bank, const uint64_t *affinities,
			 uint32_t count, uint64_t timeout_ns, uint32_t *idx,
			 struct fl_error *error)
{
	int err = fl__stock_take(&bank->stock, affinities, count, timeout_ns,
				 idx, error);

	if (err != -EAGAIN)
		return err;
	fl__os_lock(&bank->pool->trim_lock);
	err = fl__stock_take(&bank->stock, affinities, count, 0, idx, error);
	fl__os_unlock(&bank->pool->trim_lock);
	return err;
}

/* count is not 0. */
static int bank_take_slots(struct fl__bank *bank,
			   const struct fl__memory_request *requests,
			   uint32_t count, uint64_t timeout_ns,
			   struct fl__memory **memories, struct fl_error *error)
{
	uint64_t affinities[FL__READER_MAX_MEMORIES];
	uint32_t idx[FL__READER_MAX_MEMORIES], wanted = 0;
	int err;

	do {
		affinities[wanted] = affinity_of(requests[wanted].image);
	} while (++wanted < count);
	err = bank_take_idx(bank, affinities, count, timeout_ns, idx, error);
	for (uint32_t i = 0; i < count && !err; i++)
		memories[i] = &bank->slots[idx[i]];
	return err;
}

static int bank_make_regions(struct fl__bank *bank,
			     const struct fl__memory_request *requests,
			     uint32_t count, struct fl__memory **memories,
			     struct fl_error *error)
{
	for (uint32_t i = 0; i < count; i++) {
		int err = fl__region_make(bank, &requests[i], &memories[i],
					  error);

		if (!err)
			continue;
		while (i--)
			fl__region_drop(memories[i]->region);
		return err;
	}
	return 0;
}

static int bank_take(struct fl__bank *bank,
		     const struct fl__memory_request *requests, uint32_t count,
		     uint64_t timeout_ns, struct fl__memory **memories,
		     struct fl_error *error)
{
	int err;

	err = bank->pool->is_on_demand ?
		      bank_make_regions(bank, requests, count, memories,
					error) :
		      bank_take_slots(bank, requests, count, timeout_ns,
				      memories, error);
	for (uint32_t i = 0; i < count && !err; i++) {
		err = memory_attach(memories[i], &requests[i], error);
		if (err)
			bank_undo(bank, memories, i, count);
		else
			memory_begin(memories[i], &requests[i]);
	}
	return err;
}

int fl__bank_take(struct fl__bank *bank,
		  const struct fl__memory_request *requests, uint32_t count,
		  uint64_t timeout_ns, struct fl__memory **memories,
		  struct fl_error *error)
{
	int err = 0;

	fl_assert(count <= FL__READER_MAX_MEMORIES);
	for (uint32_t i = 0; i < count && !err; i++)
		err = request_check(bank, &requests[i], error);
	if (err || !count)
		return err;
	err = bank_take(bank, requests, count, timeout_ns, memories, error);
	if (err)
		__atomic_add_fetch(&bank->refused, 1, __ATOMIC_RELAXED);
	return err;
}

/* Remove a slot that was found unclean: what is in it must never be seen. */
static void memory_retire(struct fl__memory *memory)
{
	struct fl_image *image = memory->slot.image;

	(void)memory->pool->context->backend->detach(memory->arena,
						     &memory->slot);
	memory->slot.image = NULL;
	memory_part(memory, false);
	fl_image_release(image);
}

/* Empty idle slots, of the bank that is over first, until the pool keeps no more
 * than its budget. */
static void pool_keep_budget(struct fl_pool *pool, struct fl__bank *bank)
{
	uint64_t budget = pool->config.max_idle_bytes;
	int left = FL__BANK_COUNT;

	fl__os_lock(&pool->trim_lock);
	while (__atomic_load_n(&pool->idle_kept_bytes, __ATOMIC_RELAXED) >
		       budget &&
	       left) {
		uint32_t idx = fl__stock_take_oldest(&bank->stock);

		if (idx != FL__IDX_NONE) {
			fl__memory_empty(&bank->slots[idx]);
			continue;
		}
		bank = &pool->banks[(bank->kind + 1) % FL__BANK_COUNT];
		left--;
	}
	fl__os_unlock(&pool->trim_lock);
}

/* Give a clean slot to the stock, and keep the pool within its budget. */
static void memory_shelve(struct fl__memory *memory)
{
	struct fl_pool *pool = memory->pool;
	struct fl__bank *bank = memory->bank;

	memory_count(memory, memory->slot.kept_bytes);
	fl__stock_give(&bank->stock, memory->slot.idx,
		       affinity_of(memory->slot.image));
	if (__atomic_load_n(&pool->idle_kept_bytes, __ATOMIC_RELAXED) >
	    pool->config.max_idle_bytes)
		pool_keep_budget(pool, bank);
}

int fl__memory_give(struct fl__memory *memory)
{
	struct fl_pool *pool = memory->pool;
	uint64_t length_bytes = fl__memory_length(&memory->pub);

	__atomic_store_n(&memory->state, FL__MEMORY_FREE, __ATOMIC_RELEASE);
	__atomic_store_n(&memory->instance, NULL, __ATOMIC_RELAXED);
	/* Whoever still holds a lent page keeps it; the slot gets others. */
	if (memory->region ||
	    __atomic_load_n(&memory->is_lent, __ATOMIC_RELAXED) ||
	    pool->context->backend->reset(memory->arena, &memory->slot)) {
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

bool fl__memory_claim(struct fl__memory *memory)
{
	uint32_t expected = FL__MEMORY_LIVE;

	return !__atomic_load_n(&memory->instance, __ATOMIC_RELAXED) &&
	       __atomic_compare_exchange_n(&memory->state, &expected,
					   FL__MEMORY_FREE, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* ------------------------------------------------------- opening, closing */

int fl__memory_init(struct fl__memory *memory, struct fl__bank *bank,
		    const struct fl__geometry *geometry, uint32_t idx)
{
	memory->bank = bank;
	memory->pool = bank->pool;
	memory->geometry = geometry;
	memory->slot.idx = idx;
	memory->slot.base = geometry->reservation + geometry->first_off +
			    idx * geometry->stride_bytes;
	memory->pub.base = memory->slot.base;
	return fl__os_lock_init(&memory->grow_lock);
}

static int bank_alloc_slots(struct fl__bank *bank)
{
	uint32_t count = bank->geometry.slot_count, made;
	size_t size = ((size_t)count + 1) * sizeof(struct fl__memory);
	void *slots;

	if (posix_memalign(&slots, 128, size))
		return -ENOMEM;
	memset(slots, 0, size);
	bank->slots = slots;
	for (made = 0; made < count; made++) {
		int err = fl__memory_init(&bank->slots[made], bank,
					  &bank->geometry, made);

		if (err) {
			while (made--)
				fl__os_lock_fini(&bank->slots[made].grow_lock);
			free(slots);
			bank->slots = NULL;
			return err;
		}
	}
	return 0;
}

static int bank_open_arena(struct fl__bank *bank, struct fl_error *error)
{
	const struct fl_context *context = bank->pool->context;
	int err = context->backend->arena_open(context->host, &bank->geometry,
					       &bank->arena, error);

	for (uint32_t i = 0; i < bank->geometry.slot_count && !err; i++)
		bank->slots[i].arena = bank->arena;
	return err;
}

int fl__bank_open(struct fl__bank *bank, struct fl_pool *pool,
		  enum fl__bank_kind kind, struct fl_error *error)
{
	const struct fl_pool_config *config = &pool->config;
	uint32_t warm = config->max_warm_memories;
	int err;

	bank->pool = pool;
	bank->kind = kind;
	bank->geometry = pool->layout.banks[kind];
	bank->geometry.reservation = pool->reservation;
	if (pool->is_on_demand)
		return 0;
	/* An instance without a structure keeps nothing that could be warm. */
	if (kind == FL__BANK_STRUCTURE && !config->instance_bytes)
		warm = FL__STOCK_SHELVES;
	err = fl__stock_init(&bank->stock, bank_words[kind].plural,
			     bank->geometry.slot_count, config->strategy, warm,
			     config->random_seed);
	if (!err)
		err = bank_alloc_slots(bank);
	if (err)
		return fl__error_set(error, err, "no memory to describe %u %s",
				     bank->geometry.slot_count,
				     bank_words[kind].plural);
	return bank_open_arena(bank, error);
}

void fl__bank_close(struct fl__bank *bank)
{
	uint32_t count = bank->slots ? bank->geometry.slot_count : 0;

	if (bank->arena)
		bank->pool->context->backend->arena_close(bank->arena);
	for (uint32_t i = 0; i < count; i++) {
		fl_image_release(bank->slots[i].slot.image);
		fl__os_lock_fini(&bank->slots[i].grow_lock);
	}
	free(bank->slots);
	fl__stock_fini(&bank->stock);
}

uint64_t fl__bank_live(struct fl__bank *bank)
{
	if (bank->pool->is_on_demand)
		return __atomic_load_n(&bank->live, __ATOMIC_ACQUIRE);
	return fl__stock_count(&bank->stock).used;
}
