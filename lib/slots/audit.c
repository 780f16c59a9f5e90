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

		done += len;
		/* Of a page that is not loaded no tenant has another one. */
		if (image->has && !image->has(image, at, len))
			continue;
		if (fl__os_peek(here, space->base + at, len) ||
		    fl__image_fetch(image, at, there, len))
			return FL__AUDIT_UNSURE;
		if (memcmp(here, there, (size_t)len) != 0)
			return FL__AUDIT_DIRTY;
	}
	return FL__AUDIT_CLEAN;
}

static enum fl__audit_verdict audit_piece(const struct fl__space *space,
					  const struct fl_image *image,
					  const struct fl__piece *piece)
{
	const uint8_t *here = space->base + piece->off;

	if (fl__image_is_in_place(image))
		return audit_file(space, image, piece);
	return memcmp(here, piece->bytes, (size_t)piece->len) ?
		       FL__AUDIT_DIRTY :
		       FL__AUDIT_CLEAN;
}

/* What one audit looks at. */
struct audit {
	const struct fl__slot *slot;
	const struct fl__space *space;
	bool is_swapless;
};

static bool is_touched(const struct audit *audit, const struct fl__piece *part)
{
	const struct fl__backend *backend = audit->slot->bank->backend;

	return !backend->is_touched ||
	       backend->is_touched(audit->slot->arena, audit->space, part->off,
				   part->len, audit->is_swapless);
}

/* Zeroes that nobody touched are zeroes still, and a read would make these pages
 * resident. in_place: NULL, or the image that these zeroes are a hole of. */
static enum fl__audit_verdict audit_zeroes(const struct audit *audit,
					   const struct fl__piece *piece,
					   uint64_t step,
					   const struct fl_image *in_place)
{
	uint64_t end = piece->off + piece->len;
	enum fl__audit_verdict verdict = FL__AUDIT_CLEAN;
	struct fl__piece part = *piece;

	for (; part.off < end && verdict == FL__AUDIT_CLEAN;
	     part.off += part.len) {
		part.len = fl_min_u64(end - part.off, step);
		if (!is_touched(audit, &part))
			continue;
		if (in_place)
			verdict = audit_file(audit->space, in_place, &part);
		else if (!fl_is_zero(audit->space->base + part.off, part.len))
			verdict = FL__AUDIT_DIRTY;
	}
	return verdict;
}

/* A hole of the image's storage: to read a page that nobody touched would make
 * memory of the storage, so touched stretches are looked at by the page. */
static enum fl__audit_verdict audit_hole(const struct audit *audit,
					 const struct fl_image *image,
					 const struct fl__piece *hole)
{
	uint64_t hpage = audit->slot->geometry->hpage_bytes;
	uint64_t end = hole->off + hole->len;
	enum fl__audit_verdict verdict = FL__AUDIT_CLEAN;
	struct fl__piece part = *hole;

	for (; part.off < end && verdict == FL__AUDIT_CLEAN;
	     part.off += part.len) {
		part.len = fl_min_u64(end - part.off, AUDIT_STEP_BYTES);
		if (is_touched(audit, &part))
			verdict = audit_zeroes(
				audit, &part, hpage,
				fl__image_is_in_place(image) ? image : NULL);
	}
	return verdict;
}

static enum fl__audit_verdict audit_extent(const struct audit *audit,
					   const struct fl_image *image,
					   const struct fl__piece *extent)
{
	uint64_t end = extent->off + extent->len;
	enum fl__audit_verdict verdict = FL__AUDIT_CLEAN;
	struct fl__piece piece;

	for (uint64_t at = extent->off;
	     verdict == FL__AUDIT_CLEAN &&
	     fl__image_map_next_data(&image->map, image->bytes, at, end,
				     &piece);
	     at += piece.len)
		verdict = piece.is_data ?
				  audit_piece(audit->space, image, &piece) :
				  audit_hole(audit, image, &piece);
	return verdict;
}

static enum fl__audit_verdict audit_image(const struct audit *audit,
					  const struct fl_image *image,
					  uint64_t end)
{
	const struct fl__image_map *map = image ? &image->map : NULL;
	enum fl__audit_verdict verdict = FL__AUDIT_CLEAN;
	struct fl__piece piece;

	for (uint64_t at = 0; verdict == FL__AUDIT_CLEAN &&
			      fl__image_map_next(map, NULL, at, end, &piece);
	     at += piece.len)
		verdict = piece.is_data ? audit_extent(audit, image, &piece) :
					  audit_zeroes(audit, &piece,
						       AUDIT_STEP_BYTES, NULL);
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

static enum fl__audit_verdict audit_bytes(const struct fl__slot *slot,
					  uint64_t length_bytes)
{
	const struct fl__geometry *geometry = slot->geometry;
	const struct fl__space *space = &slot->space;
	uint64_t end =
		fl_round_up(fl_max_u64(length_bytes, space->attached_bytes),
			    geometry->hpage_bytes);
	uint64_t shown = fl_min_u64(end, space->allowed_bytes);
	int status_fd = slot->bank->pool->context->status_fd;
	struct audit audit = { slot, space, !fl__os_is_swapped(status_fd) };
	/* In an accessible arena a tenant may have written past its size. */
	struct fl__piece rest = { .off = shown,
				  .len = space->allowed_bytes - shown };
	enum fl__audit_verdict verdict = audit_image(
		&audit, space->is_blank ? NULL : space->image, shown);

	if (verdict == FL__AUDIT_CLEAN)
		verdict = audit_zeroes(&audit, &rest, AUDIT_STEP_BYTES, NULL);
	if (verdict != FL__AUDIT_CLEAN)
		return verdict;
	if (!fl_is_zero(space->base - geometry->prefix_bytes,
			geometry->prefix_bytes))
		return FL__AUDIT_DIRTY;
	return audit_hidden(space, end);
}

bool fl__audit_is_due(struct fl_pool *pool)
{
	uint64_t release =
		__atomic_add_fetch(&pool->releases, 1, __ATOMIC_RELAXED);

	return release % pool->config.audit_every == 0;
}

enum fl__audit_verdict fl__audit(struct fl__slot *slot, uint64_t length_bytes)
{
	struct fl_pool *pool = slot->bank->pool;
	enum fl__audit_verdict verdict;

	__atomic_add_fetch(&pool->audited, 1, __ATOMIC_RELAXED);
	fl__stats_add(pool->stats, FL__WORD_audits, 1);
	verdict = audit_bytes(slot, length_bytes);
	if (verdict == FL__AUDIT_DIRTY) {
		__atomic_add_fetch(&pool->audit_failures, 1, __ATOMIC_RELAXED);
		fl__stats_add(pool->stats, FL__WORD_audit_failures, 1);
	}
	if (verdict == FL__AUDIT_CLEAN &&
	    fl__os_pinned_bytes(pool->context->status_fd)) {
		__atomic_add_fetch(&pool->audit_pins, 1, __ATOMIC_RELAXED);
		fl__stats_add(pool->stats, FL__WORD_audit_pins, 1);
		verdict = FL__AUDIT_UNSURE;
	}
	return verdict;
}
