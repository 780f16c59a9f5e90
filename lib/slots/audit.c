/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* audit.c - comparing a slot with its image; see audit.h. */
#include "audit.h"

#define AUDIT_STEP_BYTES ((uint64_t)2 << 20)
#define AUDIT_FILE_BYTES 4096

/* A file in place may have been cut: no access of ours, neither to the file nor
 * to the slot that shows it. */
static enum fl__audit_verdict audit_file(const struct fl__space *space,
					 const struct fl_image *image,
					 const struct fl__piece *piece)
{
	uint8_t here[AUDIT_FILE_BYTES], there[AUDIT_FILE_BYTES];

	for (uint64_t done = 0; done < piece->len;) {
		uint64_t at = piece->off + done;
		uint64_t len = fl_min_u64(piece->len - done, sizeof(here));

		if (fl__os_peek(here, space->base + at, len) ||
		    fl__image_fetch(image, at, there, len))
			return FL__AUDIT_UNSURE;
		if (memcmp(here, there, (size_t)len) != 0)
			return FL__AUDIT_DIRTY;
		done += len;
	}
	return FL__AUDIT_CLEAN;
}

static enum fl__audit_verdict audit_piece(const struct fl__space *space,
					  const struct fl_image *image,
					  const struct fl__piece *piece)
{
	const uint8_t *here = space->base + piece->off;
	bool is_clean;

	if (piece->is_data && !piece->bytes)
		return audit_file(space, image, piece);
	is_clean = piece->is_data ?
			   !memcmp(here, piece->bytes, (size_t)piece->len) :
			   fl_is_zero(here, piece->len);
	return is_clean ? FL__AUDIT_CLEAN : FL__AUDIT_DIRTY;
}

static enum fl__audit_verdict audit_image(const struct fl__space *space,
					  const struct fl_image *image,
					  uint64_t end)
{
	const struct fl__image_map *map = image ? &image->map : NULL;
	const uint8_t *bytes = image ? image->bytes : NULL;
	enum fl__audit_verdict verdict = FL__AUDIT_CLEAN;
	struct fl__piece piece;

	for (uint64_t at = 0; verdict == FL__AUDIT_CLEAN &&
			      fl__image_map_next(map, bytes, at, end, &piece);
	     at += piece.len)
		verdict = audit_piece(space, image, &piece);
	return verdict;
}

/* What was grown is behind the border again: open the range to look. */
static enum fl__audit_verdict audit_hidden(const struct fl__space *space,
					   uint64_t end)
{
	uint64_t hidden =
		end > space->allowed_bytes ? end - space->allowed_bytes : 0;
	uint8_t *border = space->base + space->allowed_bytes;
	bool is_zero;

	if (fl__os_allow(border, hidden))
		return FL__AUDIT_UNSURE;
	is_zero = fl_is_zero(border, hidden);
	if (fl__os_deny(border, hidden))
		return FL__AUDIT_UNSURE;
	return is_zero ? FL__AUDIT_CLEAN : FL__AUDIT_DIRTY;
}

/* In an accessible arena a tenant may have written past its size. Most pages
 * there were never touched, and a read would make these pages resident. */
static bool rest_is_zero(const struct fl__slot *slot, uint64_t from)
{
	const struct fl__backend *backend = slot->bank->backend;
	const struct fl__space *space = &slot->space;

	while (from < space->allowed_bytes) {
		uint64_t step = fl_min_u64(space->allowed_bytes - from,
					   AUDIT_STEP_BYTES);

		if ((!backend->is_touched ||
		     backend->is_touched(slot->arena, space, from, step)) &&
		    !fl_is_zero(space->base + from, step))
			return false;
		from += step;
	}
	return true;
}

static enum fl__audit_verdict audit_bytes(const struct fl__slot *slot,
					  uint64_t length_bytes)
{
	const struct fl__geometry *geometry = slot->geometry;
	const struct fl__space *space = &slot->space;
	uint64_t end =
		fl_round_up(fl_max_u64(length_bytes, space->attached_bytes),
			    geometry->hpage_bytes);
	uint64_t shown = fl_min_u64(end, space->allowed_bytes);
	bool shows_image = slot->bank->backend->clean_shows_image;
	enum fl__audit_verdict verdict =
		audit_image(space, shows_image ? space->image : NULL, shown);

	if (verdict != FL__AUDIT_CLEAN)
		return verdict;
	if (!rest_is_zero(slot, shown) ||
	    !fl_is_zero(space->base - geometry->prefix_bytes,
			geometry->prefix_bytes))
		return FL__AUDIT_DIRTY;
	return audit_hidden(space, end);
}

enum fl__audit_verdict fl__audit(struct fl__slot *slot, uint64_t length_bytes)
{
	struct fl_pool *pool = slot->bank->pool;
	uint64_t release =
		__atomic_add_fetch(&pool->releases, 1, __ATOMIC_RELAXED);
	enum fl__audit_verdict verdict;

	if (release % pool->config.audit_every)
		return FL__AUDIT_CLEAN;
	__atomic_add_fetch(&pool->audited, 1, __ATOMIC_RELAXED);
	verdict = audit_bytes(slot, length_bytes);
	if (verdict == FL__AUDIT_DIRTY)
		__atomic_add_fetch(&pool->audit_failures, 1, __ATOMIC_RELAXED);
	if (verdict == FL__AUDIT_CLEAN && fl__os_pinned_bytes()) {
		__atomic_add_fetch(&pool->audit_pins, 1, __ATOMIC_RELAXED);
		verdict = FL__AUDIT_UNSURE;
	}
	return verdict;
}
