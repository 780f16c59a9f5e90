/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * audit.c - is a slot that was made clean really clean?
 *
 * Takes a slot after its reset; compares it with its image byte for byte,
 * including what the last tenant had grown, and looks whether the process has
 * pinned memory that nobody declared. Every audit_every-th release of a pool;
 * it reads the whole memory, and so is as slow as it sounds.
 */
#include "pool/pool.h"

#define AUDIT_STEP_BYTES ((uint64_t)2 << 20)

static bool all_zero(const uint8_t *bytes, uint64_t len)
{
	/* Zero if the first byte is, and each equals the one before it. */
	return !len || (!*bytes && !memcmp(bytes, bytes + 1, (size_t)len - 1));
}

/* [0, end) against the image's extents and the zeroes around them. */
static bool equals_image(const struct fl__space *slot,
			 const struct fl_image *image, uint64_t end)
{
	const struct fl__image_map *map = image ? &image->map : NULL;
	uint32_t count = map ? map->extent_count : 0;
	uint64_t at = 0;

	for (uint32_t i = 0; i < count && at < end; i++) {
		uint64_t first_off = fl__image_map_first_off(map);
		uint64_t off = map->extents[i].hpage_off * map->hpage_bytes;
		uint64_t stop =
			off + map->extents[i].hpage_len * map->hpage_bytes;

		off = fl_min_u64(off, end);
		stop = fl_min_u64(stop, end);
		if (!all_zero(slot->base + at, off - at) ||
		    memcmp(slot->base + off, image->bytes + (off - first_off),
			   (size_t)(stop - off)))
			return false;
		at = stop;
	}
	return all_zero(slot->base + at, end - at);
}

/* What was grown is behind the border again: open it to look. */
static enum fl__audit_verdict audit_hidden(const struct fl__space *slot,
					   uint64_t end)
{
	uint64_t hidden =
		end > slot->allowed_bytes ? end - slot->allowed_bytes : 0;
	uint8_t *border = slot->base + slot->allowed_bytes;
	bool is_zero;

	if (fl__os_allow(border, hidden))
		return FL__AUDIT_UNSURE;
	is_zero = all_zero(border, hidden);
	if (fl__os_deny(border, hidden))
		return FL__AUDIT_UNSURE;
	return is_zero ? FL__AUDIT_CLEAN : FL__AUDIT_DIRTY;
}

/* Where nothing is enforced, a tenant may have written past its size. Most of
 * that was never touched, and reading it would make pages of it. */
static bool rest_is_zero(const struct fl__memory *memory, uint64_t from)
{
	const struct fl__backend *backend = memory->pool->context->backend;
	const struct fl__space *slot = &memory->slot;

	while (from < slot->allowed_bytes) {
		uint64_t step = fl_min_u64(slot->allowed_bytes - from,
					   AUDIT_STEP_BYTES);

		if (backend->is_touched(memory->arena, slot, from, step) &&
		    !all_zero(slot->base + from, step))
			return false;
		from += step;
	}
	return true;
}

static enum fl__audit_verdict audit_bytes(const struct fl__memory *memory,
					  uint64_t length_bytes)
{
	const struct fl__geometry *geometry = memory->geometry;
	const struct fl__space *slot = &memory->slot;
	uint64_t end =
		fl_round_up(fl_max_u64(length_bytes, slot->attached_bytes),
			    geometry->hpage_bytes);
	uint64_t shown = fl_min_u64(end, slot->allowed_bytes);
	bool shows_image = memory->pool->context->backend->clean_shows_image;

	if (!equals_image(slot, shows_image ? slot->image : NULL, shown) ||
	    !rest_is_zero(memory, shown) ||
	    !all_zero(slot->base - geometry->prefix_bytes,
		      geometry->prefix_bytes))
		return FL__AUDIT_DIRTY;
	return audit_hidden(slot, end);
}

enum fl__audit_verdict fl__audit(struct fl__memory *memory,
				 uint64_t length_bytes)
{
	struct fl_pool *pool = memory->pool;
	uint64_t release =
		__atomic_add_fetch(&pool->releases, 1, __ATOMIC_RELAXED);
	enum fl__audit_verdict verdict;

	if (release % pool->config.audit_every)
		return FL__AUDIT_CLEAN;
	__atomic_add_fetch(&pool->audited, 1, __ATOMIC_RELAXED);
	verdict = audit_bytes(memory, length_bytes);
	if (verdict == FL__AUDIT_DIRTY)
		__atomic_add_fetch(&pool->audit_failures, 1, __ATOMIC_RELAXED);
	if (verdict == FL__AUDIT_CLEAN && fl__os_pinned_bytes()) {
		__atomic_add_fetch(&pool->audit_pins, 1, __ATOMIC_RELAXED);
		verdict = FL__AUDIT_UNSURE;
	}
	return verdict;
}

void fl__audit_info(const struct fl_pool *pool, struct fl_pool_info *info)
{
	info->audited = __atomic_load_n(&pool->audited, __ATOMIC_RELAXED);
	info->audit_failures =
		__atomic_load_n(&pool->audit_failures, __ATOMIC_RELAXED);
	info->audit_pins = __atomic_load_n(&pool->audit_pins, __ATOMIC_RELAXED);
}
