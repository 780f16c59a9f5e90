/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * reservation.c - slots from a reservation that was made in advance.
 *
 * Takes a bank whose geometry lies in the pool's reservation; gives its slots by
 * the stock's choice (stock.h), and finds them by address through arithmetic. A
 * slot that comes back is kept for its next tenant.
 *
 * Affinity is by image, not by module: two memories of one module have two
 * affinities, and an image that the caller made has its own. What is bound to a
 * slot (bound.h) is an affinity too, and goes before the image.
 */
#include "bound.h"
#include "module/holes.h"
#include "reservation.h"
#include "stock.h"

#include <stdlib.h>

/* Serials of images count up from 1. Slots without an image are one group too:
 * pages that one tenant left resident serve the next. */
#define AFFINITY_NO_IMAGE UINT64_MAX

struct reservation {
	struct fl__source source;
	struct fl__arena *arena;
	uint8_t *slots;
	size_t slot_bytes;
	uint32_t initialised;
	uint32_t laid_up; /* atomic: so many slots are */
	struct fl__stock stock;
};

static struct reservation *of_source(const struct fl__source *source)
{
	return (struct reservation *)(uintptr_t)source;
}

static struct fl__slot *slot_at(const struct reservation *from, uint32_t idx)
{
	return (struct fl__slot *)(void *)(from->slots +
					   idx * from->slot_bytes);
}

static uint64_t affinity_of(const struct fl_image *image, uint64_t bound)
{
	if (bound)
		return bound;
	return image ? image->serial : AFFINITY_NO_IMAGE;
}

static void reservation_close(struct fl__source *source)
{
	struct reservation *from = of_source(source);

	for (uint32_t i = 0; i < from->initialised; i++) {
		struct fl__slot *slot = slot_at(from, i);
		struct fl_image *image = slot->space.image;

		/* What guests made of the image's holes can go only when no
		 * slot maps it, and what loads its pages knows the slot. */
		if (image && (image->has_holes || slot->space.is_lazy))
			(void)source->bank->backend->detach(from->arena,
							    &slot->space);
		fl__image_unshow(image);
		fl_image_release(image);
		fl__slot_end(slot);
	}
	if (from->arena)
		source->bank->backend->arena_close(from->arena);
	fl__os_free(from->slots);
	fl__stock_fini(&from->stock);
	fl__os_free(from);
}

static int reservation_fill(struct reservation *from)
{
	struct fl__bank *bank = from->source.bank;
	const struct fl_pool_config *config = &bank->pool->config;
	uint32_t count = bank->geometry.slot_count;
	/* Slots without bytes, and bare slots, keep nothing that suits one
	 * tenant more than another. */
	bool is_alike = !bank->geometry.max_bytes || bank->kind->is_bare;
	size_t bytes;
	int err;

	err = fl__stock_init(&from->stock, bank->kind->plural, count,
			     bank->kind->is_bare ? FL_STRATEGY_REUSE_AFFINITY :
						   config->strategy,
			     is_alike ? FL__STOCK_SHELVES :
					config->max_warm_memories,
			     config->random_seed);
	from->slot_bytes = fl__slot_bytes(bank->kind);
	bytes = ((size_t)count + 1) * from->slot_bytes;
	from->slots = err ? NULL : fl__os_alloc(bytes);
	if (!from->slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < count && !err; i++) {
		struct fl__slot *slot = slot_at(from, i);

		slot->bank = bank;
		slot->source = &from->source;
		slot->arena = from->arena;
		err = fl__slot_init(slot, &bank->geometry, i);
		from->initialised += !err;
	}
	return err;
}

static int reservation_open(struct fl__bank *bank, struct fl__source **source,
			    struct fl_error *error)
{
	struct reservation *from;
	int err = 0;

	from = fl__os_alloc(sizeof(*from));
	if (!from)
		return fl__error_set(error, -ENOMEM, "no memory for a bank");
	from->source = (struct fl__source){ &fl__source_reservation, bank };
	if (bank->backend)
		err = bank->backend->arena_open(bank->pool->context->host,
						&bank->geometry, &from->arena,
						error);
	if (!err) {
		err = reservation_fill(from);
		if (err)
			fl__error_set(error, err, "no memory to describe %u %s",
				      bank->geometry.slot_count,
				      bank->kind->plural);
	}
	if (err) {
		reservation_close(&from->source);
		return err;
	}
	*source = &from->source;
	return 0;
}

static void affinities_of(const struct fl__request *requests, uint32_t count,
			  uint64_t *affinities)
{
	affinities[0] =
		affinity_of(requests[0].image, requests[0].bound_serial);
	for (uint32_t i = 1; i < count; i++)
		affinities[i] = affinity_of(requests[i].image,
					    requests[i].bound_serial);
}

static void slots_of(const struct reservation *from, const uint32_t *idx,
		     uint32_t count, struct fl__slot **slots)
{
	slots[0] = slot_at(from, idx[0]);
	for (uint32_t i = 1; i < count; i++)
		slots[i] = slot_at(from, idx[i]);
}

static int reservation_take(struct fl__source *source,
			    const struct fl__request *requests, uint32_t count,
			    const struct fl__os_wait *wait,
			    struct fl__slot **slots, struct fl_error *error)
{
	struct reservation *from = of_source(source);
	uint64_t affinities[FL__TAKE_MAX];
	uint32_t idx[FL__TAKE_MAX];
	int err;

	affinities_of(requests, count, affinities);
	err = fl__stock_take(&from->stock, affinities, count, wait, idx, error);
	if (!err)
		slots_of(from, idx, count, slots);
	return err;
}

int fl__reservation_wait(struct fl__source *source,
			 const struct fl__request *requests, uint32_t count,
			 const struct fl__os_wait *wait, uint64_t pokes,
			 struct fl__slot **slots, struct fl_error *error)
{
	struct reservation *from = of_source(source);
	uint64_t affinities[FL__TAKE_MAX];
	uint32_t idx[FL__TAKE_MAX];
	int err;

	affinities_of(requests, count, affinities);
	err = fl__stock_wait(&from->stock, affinities, count, wait, pokes, idx,
			     error);
	if (!err)
		slots_of(from, idx, count, slots);
	return err;
}

uint64_t fl__reservation_pokes(struct fl__source *source)
{
	return fl__stock_pokes(&of_source(source)->stock);
}

void fl__reservation_poke(struct fl__source *source)
{
	fl__stock_poke(&of_source(source)->stock);
}

static void reservation_arm(struct fl__source *source, int event_fd)
{
	fl__stock_arm(&of_source(source)->stock, event_fd);
}

static void reservation_disarm(struct fl__source *source)
{
	fl__stock_disarm(&of_source(source)->stock);
}

static void reservation_give(struct fl__slot *slot)
{
	fl__stock_give(&of_source(slot->source)->stock, slot->space.idx,
		       slot->space.is_open ?
			       affinity_of(slot->space.image,
					   fl__bound_serial(slot)) :
			       0);
}

static void reservation_retire(struct fl__slot *slot, bool is_for_good)
{
	struct reservation *from = of_source(slot->source);

	fl__stock_retire(&from->stock, slot->space.idx);
	__atomic_add_fetch(&from->laid_up, !is_for_good, __ATOMIC_RELAXED);
	/* Last: a slot that is laid up may be taken at once. */
	__atomic_store_n(&slot->state,
			 is_for_good ? FL__SLOT_RETIRED : FL__SLOT_LAID_UP,
			 __ATOMIC_RELEASE);
}

static struct fl__slot *reservation_take_laid_up(struct fl__source *source,
						 uint32_t *idx)
{
	struct reservation *from = of_source(source);

	if (!__atomic_load_n(&from->laid_up, __ATOMIC_RELAXED))
		return NULL;
	for (; *idx < from->initialised; ++*idx) {
		struct fl__slot *slot = slot_at(from, *idx);

		if (__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) !=
		    FL__SLOT_LAID_UP)
			continue;
		__atomic_store_n(&slot->state, FL__SLOT_FREE, __ATOMIC_RELAXED);
		__atomic_sub_fetch(&from->laid_up, 1, __ATOMIC_RELAXED);
		fl__stock_recall(&from->stock, slot->space.idx);
		return slot;
	}
	return NULL;
}

static struct fl__slot *reservation_take_warm(struct fl__source *source,
					      uint64_t serial)
{
	struct reservation *from = of_source(source);
	uint32_t idx = fl__stock_take_warm(&from->stock, serial);

	return idx == FL__IDX_NONE ? NULL : slot_at(from, idx);
}

/* So many slots are taken at once, so that takers find others meanwhile. */
#define JOIN_SLOTS 1024

/* Slots [first, end) are taken and empty. A page table goes when all that the
 * table reaches is unmapped by one call, guards included. */
static void join_run(struct reservation *from, uint32_t first, uint32_t end)
{
	const struct fl__geometry *geometry = &from->source.bank->geometry;
	uint64_t len = (end - first) * geometry->stride_bytes;
	uint64_t tail = geometry->stride_bytes - geometry->prefix_bytes -
			geometry->max_bytes;

	/* After a failure the tables stay, and nothing else is wrong. */
	if (end - first > 1) {
		uint8_t *start = slot_at(from, first)->space.base -
				 geometry->prefix_bytes;

		fl__space_called(&slot_at(from, first)->space,
				 1u + geometry->avoids_huge_pages +
					 (geometry->dump != FL__DUMP_ALL));
		(void)fl__os_renew(start, len - tail);
		fl__geometry_zeroes(geometry, start, len - tail);
		if (geometry->dump != FL__DUMP_ALL)
			fl__os_dump(start, len - tail, false);
	}
	while (first < end)
		fl__stock_give(&from->stock, first++, 0);
}

static void reservation_join(struct fl__source *source)
{
	struct reservation *from = of_source(source);
	uint32_t used = fl__stock_look(&from->stock).cold_next, first = 0;

	for (uint32_t i = 0; i < used; i++) {
		if (fl__stock_take_emptied(&from->stock, i)) {
			if (i + 1 - first < JOIN_SLOTS)
				continue;
			join_run(from, first, i + 1);
		} else {
			join_run(from, first, i);
		}
		first = i + 1;
	}
	join_run(from, first, used);
}

static struct fl__slot *reservation_at_address(const struct fl__source *source,
					       const void *addr)
{
	const struct reservation *from = of_source(source);
	const struct fl__geometry *geometry = &source->bank->geometry;
	uint64_t first = geometry->first_off, idx, into, off;
	bool is_above = geometry->guard_is_above;
	struct fl__slot *owner, *other;

	off = (uint64_t)((uintptr_t)addr - (uintptr_t)geometry->reservation);
	if (!geometry->slot_count || !geometry->stride_bytes ||
	    off < first - geometry->first_lead_bytes)
		return NULL;
	if (off < first)
		return slot_at(from, 0);
	idx = (off - first) / geometry->stride_bytes;
	into = (off - first) % geometry->stride_bytes;
	if (idx == geometry->slot_count && into < geometry->trail_bytes)
		return slot_at(from, (uint32_t)idx - 1);
	if (idx >= geometry->slot_count)
		return NULL;
	if (idx + 1 == geometry->slot_count ||
	    geometry->stride_bytes - into > geometry->lead_bytes)
		return slot_at(from, (uint32_t)idx);
	owner = slot_at(from, (uint32_t)idx + is_above);
	other = slot_at(from, (uint32_t)idx + !is_above);
	return !fl__slot_is_live(owner) && fl__slot_is_live(other) ? other :
								     owner;
}

static struct fl__slot *reservation_at_base(const struct fl__source *source,
					    const void *base)
{
	struct fl__slot *slot = reservation_at_address(source, base);

	return slot && fl__slot_lives_at(slot, base) ? slot : NULL;
}

static int reservation_each(struct fl__source *source, fl__slot_fn *fn,
			    void *user)
{
	struct reservation *from = of_source(source);
	uint32_t used = fl__stock_look(&from->stock).cold_next;
	int err = 0;

	if (!used)
		used = from->initialised != 0;
	for (uint32_t i = 0; i < used && !err; i++)
		err = fn(slot_at(from, i), user);
	return err;
}

static int reservation_each_unused(struct fl__source *source, uint32_t *idx,
				   fl__slot_fn *fn, void *user)
{
	struct reservation *from = of_source(source);
	int err = 0;

	fl__stock_freeze(&from->stock);
	for (; *idx < from->initialised && !err; *idx += !err) {
		struct fl__slot *slot = slot_at(from, *idx);

		if (fl__stock_is_free(&from->stock, *idx) ||
		    __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) >=
			    FL__SLOT_RETIRED)
			err = fn(slot, user);
	}
	fl__stock_thaw(&from->stock);
	return err;
}

static int add_acquired(struct fl__slot *slot, void *sum)
{
	*(uint64_t *)sum += __atomic_load_n(&slot->acquired, __ATOMIC_RELAXED);
	return 0;
}

/* No two threads share a counter: `acquired` is a number of each slot, which the
 * slot's owner writes, and the numbers are summed when the host asks. */
static void reservation_count(struct fl__source *source,
			      struct fl__source_counts *counts)
{
	struct fl__freelist list = fl__stock_look(&of_source(source)->stock);
	uint64_t acquired = 0;

	(void)reservation_each(source, add_acquired, &acquired);

	*counts = (struct fl__source_counts){
		/* Who posts an event has not left the pool. */
		.live = list.used_count +
			fl__stock_posting(&of_source(source)->stock),
		.warm = list.warm.count,
		.retired = list.retired_count,
		.acquired = acquired,
	};
}

const struct fl__source_calls fl__source_reservation = {
	.name = "pooling",
	.keeps_slots = true,
	.open = reservation_open,
	.close = reservation_close,
	.take = reservation_take,
	.give = reservation_give,
	.retire = reservation_retire,
	.arm = reservation_arm,
	.disarm = reservation_disarm,
	.take_laid_up = reservation_take_laid_up,
	.take_warm = reservation_take_warm,
	.join = reservation_join,
	.at_address = reservation_at_address,
	.at_base = reservation_at_base,
	.each = reservation_each,
	.each_unused = reservation_each_unused,
	.count = reservation_count,
};
