/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* show.c - mapping images over slots; see show.h. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "show.h"
#include "storage.h"
#include "uffd/load/foresee.h"
#include "uffd/load/lazy.h"
#include "uffd/track/track.h"

#include <sys/mman.h>

/* What is loaded by now in one go: each fault would take as long as many pages. */
static void slot_show_ahead(struct fl__space *space,
			    const struct fl_image *image, uint64_t start,
			    uint64_t len)
{
	uint32_t calls = fl__lazy_show_ahead(image, (uintptr_t)space->base,
					     start, start + len);

	space->is_ahead |= calls != 0;
	fl__space_called(space, calls);
}

/* A page that is missing would be read as zeroes by all who show the image: the
 * piece is opened once its faults are told of. */
static int slot_show(const struct fl__arena *arena, struct fl__space *space,
		     struct fl_image *image, const struct fl__piece *piece)
{
	uint64_t start = (uintptr_t)space->base + piece->off;
	int err;

	space->is_lazy = space->is_open = true;
	fl__space_called(space, 3);
	err = fl__loader_show(arena->host->loader, image, space, start,
			      start + piece->len);
	if (!err)
		err = fl__os_allow(space->base + piece->off, piece->len);
	if (!err && image->lazy->is_continue && !fl__lazy_is_whole(image))
		slot_show_ahead(space, image, start, piece->len);
	return err;
}

/* Lay an image over an inaccessible slot: its extents from the file, zeroes
 * around them up to target. */
static int slot_map(const struct fl__arena *arena, struct fl__space *space,
		    struct fl_image *image, uint64_t target)
{
	const struct fl__geometry *geometry = &arena->geometry;
	const struct fl__image_map *map = image ? &image->map : NULL;
	const uint8_t *bytes = image ? image->bytes : NULL;
	struct fl__piece piece;
	int err = 0;

	for (uint64_t at = 0;
	     !err && fl__image_map_next(map, bytes, at, target, &piece);
	     at += piece.len) {
		fl__space_called(space, 1);
		if (!piece.is_data)
			err = fl__os_allow(space->base + at, piece.len);
		else if (mmap(space->base + at, (size_t)piece.len,
			      image->lazy ? PROT_NONE : PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
			      image->fd,
			      (off_t)fl__image_file_off(image, at)) ==
			 MAP_FAILED)
			err = fl__error_fold(-errno);
		else if (image->lazy)
			err = slot_show(arena, space, image, &piece);
		space->is_open |= !err;
	}
	if (err)
		return err;
	if (image || geometry->dump == FL__DUMP_ACCESSIBLE)
		fl__space_called(space, fl__space_dump_mapped(
						geometry, space->base, target));
	space->allowed_bytes = target;
	return 0;
}

int fl__show_detach(struct fl__arena *arena, struct fl__space *space)
{
	int err = fl__space_renew(space, &arena->geometry);

	/* No guest touches the slot any more, emptied or not, and its image may
	 * go. */
	if (space->is_lazy)
		fl__desk_drop_space(fl__loader_desk(arena->host->loader), space,
				    (uintptr_t)space->base +
					    arena->geometry.max_bytes);
	space->is_adrift = err && space->is_lazy;
	/* What is known of a slot that was not emptied still holds. */
	if (err)
		return err;
	fl__track_forget(&arena->dirty[space->idx]);
	space->is_lazy = space->is_watched = space->is_ahead = false;
	__atomic_store_n(&space->load_error, 0, __ATOMIC_RELAXED);
	return 0;
}

/* A slot that was emptied is a hole of what was registered as a whole. Its pages
 * merge with its neighbours' only if it is registered before the first of them
 * is written. After a failure the slot is a mapping of its own. */
static void slot_join(const struct fl__arena *arena, struct fl__space *space)
{
	const struct fl__whole *whole = &arena->whole;

	if (!__atomic_load_n(&whole->is_registered, __ATOMIC_RELAXED))
		return;
	fl__space_called(space, 1);
	(void)fl__uffd_register_wp(
		whole->uffd_fd,
		(uintptr_t)space->base - arena->geometry.prefix_bytes,
		arena->geometry.prefix_bytes + space->allowed_bytes);
}

/* What will track the slot, and may be asked now; -1: nothing will. */
static int watching_fd(const struct fl__arena *arena,
		       const struct fl__space *space)
{
	const struct fl__host *host = arena->host;

	/* A slot on demand is never reset, and so not recorded. */
	if (arena->geometry.is_single_use)
		return -1;
	if (space->is_lazy)
		return host->rung == FL__RUNG_TRACK ?
			       fl__loader_uffd(host->loader) :
			       -1;
	return arena->whole.end ? arena->whole.uffd_fd :
				  fl__arena_shard(arena, space)->uffd_fd;
}

/* Of an image with a working set. The tenant whose pages were asked for takes them many at a
 * fault, as the kernel maps what is there around each: within one page of the set,
 * so that the record has the right pages and some blocks too many. Others are
 * watched: a page of theirs is mapped when it is touched. */
static void slot_foresee(const struct fl__arena *arena, struct fl__space *space,
			 struct fl_image *image)
{
	if (!fl__foresee_ask(image))
		fl__foresee_watch(watching_fd(arena, space), space, image);
}

int fl__show_attach(struct fl__arena *arena, struct fl__space *space,
		    struct fl_image *image, uint64_t size_bytes)
{
	const struct fl__geometry *geometry = &arena->geometry;
	uint64_t target = fl__geometry_allowed(geometry, size_bytes);
	int err = fl__storage_look(image);

	if (!err && space->is_open &&
	    (space->image != image || space->is_adrift))
		err = fl__show_detach(arena, space);
	if (!err && !space->is_open) {
		fl__space_mark_guard(space, geometry);
		err = fl__os_allow(space->base - geometry->prefix_bytes,
				   geometry->prefix_bytes);
		fl__space_called(space, geometry->prefix_bytes != 0);
		space->is_open = !err && geometry->prefix_bytes;
		if (!err)
			err = slot_map(arena, space, image, target);
		if (!err && !space->is_lazy)
			slot_join(arena, space);
		if (!err && image && image->set.toc)
			slot_foresee(arena, space, image);
	} else if (!err) {
		err = fl__space_move_border(space, geometry, target);
	}
	if (err)
		return err;
	space->is_open = true;
	space->attached_bytes = size_bytes;
	return 0;
}

/* The part that an earlier tenant has grown is a mapping of its own,
 * registered; the part that no tenant has grown is another. The second part is
 * opened first, because only that can need a new mapping and so fail. */
int fl__show_grow(struct fl__arena *arena, struct fl__space *space,
		  uint64_t size_bytes)
{
	uint64_t target = fl__geometry_allowed(&arena->geometry, size_bytes);
	uint64_t grown = arena->dirty[space->idx].tracked_bytes;

	return fl__space_grow(space, &arena->geometry, target,
			      fl_max_u64(space->allowed_bytes,
					 fl_min_u64(grown, target)));
}

/* What the kernel would be denied in user-mode-only form is there then. */
static int slot_load(const struct fl__space *space, uint64_t off, uint64_t len)
{
	const struct fl_image *image = space->image;
	struct fl__piece piece;
	int err = 0;

	for (uint64_t at = off;
	     !err &&
	     fl__image_map_next(&image->map, NULL, at, off + len, &piece);
	     at += piece.len) {
		if (piece.is_data)
			err = image->ready(image, at, piece.len);
	}
	return err;
}

/* What the kernel maps for nobody by itself, and in user-mode-only form for no call:
 * the image is loaded there. */
static int slot_map_loaded(const struct fl__space *space, uint64_t off,
			   uint64_t len)
{
	const struct fl_image *image = space->image;
	uint64_t base = (uintptr_t)space->base;
	struct fl__piece piece;
	int err = 0;

	if (!image->lazy->is_continue)
		return 0;
	for (uint64_t at = off;
	     !err &&
	     fl__image_map_next(&image->map, NULL, at, off + len, &piece);
	     at += piece.len) {
		if (piece.is_data)
			err = fl__lazy_show(image, base, base + piece.off,
					    base + piece.off + piece.len);
	}
	return err;
}

/* Either a file in place was cut, or a hole of our own file could not become
 * memory: every byte is charged, and none is left. */
static int would_be_signal(const struct fl__space *space)
{
	return space->image && space->image->bytes ? -ENOMEM : -EIO;
}

/* Without MADV_POPULATE_WRITE. Where the storage has holes the kernel reads first,
 * and answers if it has no memory for one. */
static int slot_touch(const struct fl__space *space, uint8_t *start,
		      uint64_t len)
{
	const struct fl_image *image = space->image;
	uint64_t off = (uint64_t)(start - space->base);
	uint64_t hpage = fl__os_hpage_bytes();
	uint8_t byte;

	if (image && image->bytes &&
	    fl__image_map_has_hole(&image->map, off, len)) {
		for (uint64_t at = 0; at < len; at += hpage)
			if (fl__os_peek(&byte, start + at, 1) == -EFAULT)
				return would_be_signal(space);
	}
	fl__os_touch(start, len);
	return 0;
}

int fl__show_prefault(struct fl__arena *arena, struct fl__space *space,
		      uint64_t offset_bytes, uint64_t length_bytes)
{
	uint8_t *start = space->base + offset_bytes;
	int err = space->is_lazy ?
			  slot_load(space, offset_bytes, length_bytes) :
			  0;

	if (err)
		return err;
	if (space->is_lazy)
		err = slot_map_loaded(space, offset_bytes, length_bytes);
	if (err)
		return err;
	fl__space_called(space, 1);
	if (!fl__probe_has(&arena->host->probe, FL__FEATURE_POPULATE))
		return slot_touch(space, start, length_bytes);
	if (!madvise(start, (size_t)length_bytes, FL_MADV_POPULATE_WRITE))
		return 0;
	return errno == EFAULT ? would_be_signal(space) :
				 fl__error_fold(-errno);
}
