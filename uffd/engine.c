/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * engine.c - the Linux backend: composes the files of uffd/ into backend.h.
 *
 * Takes geometry and images; gives slots that map the image's memory file
 * privately, so that the kernel shares clean pages between all slots and copies
 * a page when it is first written. The rung of the context says how a slot is
 * made clean, best first:
 *
 * track	track.h with a userfaultfd: what was written is copied back
 * scan		track.h without: what is private is copied back
 * dontneed	everything accessible is dropped
 *
 * On every rung, an mprotect moves the border between accessible and not back
 * if the memory had grown, and a clean slot is attached to the same image and
 * size without a system call.
 *
 * Descriptors are opened with the host, and serve all its arenas: so a process
 * that gives up its rights, its root or its /proc afterwards loses nothing, and
 * pools cost no descriptors. They are in shards, two for each processor: two
 * threads that use one userfaultfd or pagemap both write its reference count.
 *
 * Locks: none. A slot belongs to one caller at a time; the rest is immutable.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "backend.h"
#include "confine.h"
#include "memfd.h"
#include "probe.h"
#include "uffd/load/loader.h"
#include "uffd/track/settle.h"
#include "uffd/track/since.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum rung {
	RUNG_TRACK,
	RUNG_SCAN,
	RUNG_DONTNEED,
	RUNG_COUNT
};

static const char *const rung_names[RUNG_COUNT] = {
	[RUNG_TRACK] = "track",
	[RUNG_SCAN] = "scan",
	[RUNG_DONTNEED] = "dontneed",
};

struct fl__host {
	struct fl__probe probe;
	enum rung rung;
	const char *reason; /* why no better rung; NULL: the best */
	/* Made with the first lazy image, under the lock. */
	struct fl__os_lock lock;
	struct fl__loader *loader;
	/* Atomic: where the next arena begins, so that many small pools do not
	 * all use the first shard. */
	uint32_t turn;
	uint32_t shard_count;
	/* Neighbouring slots use different descriptors: a file's reference
	 * count is a cache line that every call on it writes. */
	struct fl__dirty_host shards[FL__MAX_SHARDS];
};

#define DEFAULT_SHARDS 16

struct fl__arena {
	struct fl__geometry geometry;
	const struct fl__host *host;
	struct fl__whole whole;
	uint32_t first_shard;
	struct fl__dirty *dirty; /* one a slot */
};

/* The features that one rung alone uses, in the order in which they are missed.
 * Features in no row serve all rungs. */
static const struct {
	enum rung rung;
	enum fl__feature feature;
	bool is_needed;
} rung_uses[] = {
	{ RUNG_TRACK, FL__FEATURE_PAGEMAP_SCAN, true },
	{ RUNG_TRACK, FL__FEATURE_UFFD, true },
	{ RUNG_TRACK, FL__FEATURE_UFFD_WP_ASYNC, true },
	{ RUNG_TRACK, FL__FEATURE_FAST_SCAN, false },
	{ RUNG_SCAN, FL__FEATURE_PAGEMAP_SCAN, true },
};

/* A feature that was found wanting is a better answer than one that was not
 * tried for that reason. */
static const char *rung_lacks(const struct fl__probe *probe, enum rung rung)
{
	const char *untried = NULL;

	for (size_t i = 0; i < FL_ARRAY_SIZE(rung_uses); i++) {
		const struct fl_feature *feature =
			&probe->features[rung_uses[i].feature];

		if (rung_uses[i].rung != rung || !rung_uses[i].is_needed ||
		    feature->support == FL_SUPPORT_YES)
			continue;
		if (feature->support != FL_SUPPORT_UNTRIED)
			return feature->reason;
		untried = feature->reason;
	}
	return untried;
}

/* The features that no rung uses which is left by the caller's choice and by
 * what is disabled. */
static uint32_t features_unused(const char *disabled, const char *wanted)
{
	bool is_out[RUNG_COUNT];
	uint32_t all = 0, used = 0;

	for (int r = 0; r < RUNG_COUNT; r++)
		is_out[r] = wanted && strcmp(wanted, rung_names[r]);
	for (size_t i = 0; i < FL_ARRAY_SIZE(rung_uses); i++)
		is_out[rung_uses[i].rung] |=
			rung_uses[i].is_needed &&
			fl_name_is_listed(
				disabled,
				fl__feature_name(rung_uses[i].feature));
	for (size_t i = 0; i < FL_ARRAY_SIZE(rung_uses); i++) {
		all |= FL__FEATURE_BIT(rung_uses[i].feature);
		if (!is_out[rung_uses[i].rung])
			used |= FL__FEATURE_BIT(rung_uses[i].feature);
	}
	return all & ~used;
}

static bool rung_is_known(const char *wanted)
{
	for (int r = 0; r < RUNG_COUNT; r++) {
		if (!wanted || !strcmp(wanted, rung_names[r]))
			return true;
	}
	return false;
}

static int host_choose_rung(struct fl__host *host, const char *wanted,
			    struct fl_error *error)
{
	for (int r = 0; r < RUNG_COUNT; r++) {
		const char *lacks = rung_lacks(&host->probe, (enum rung)r);

		host->rung = (enum rung)r;
		if (wanted && strcmp(wanted, rung_names[r])) {
			host->reason = "a lower rung was asked for";
			continue;
		}
		if (!lacks)
			return 0;
		host->reason = lacks;
		if (wanted)
			return fl__error_set(error, -ENOTSUP,
					     "rung \"%s\" cannot be had: %s",
					     wanted, lacks);
	}
	/* A rung that needs nothing is the last. */
	fl_assert(false);
	return -EIO;
}

static bool linux_knows(const char *name, size_t len)
{
	for (uint32_t i = 0; i < FL__FEATURE_COUNT; i++) {
		if (fl_name_is(name, len, fl__feature_name(i)))
			return true;
	}
	return false;
}

static const char *linux_rung(const struct fl__host *host, const char **reason)
{
	*reason = host->reason;
	return rung_names[host->rung];
}

static bool linux_feature(const struct fl__host *host, uint32_t idx,
			  struct fl_feature *feature)
{
	if (idx >= FL__FEATURE_COUNT)
		return false;
	*feature = host->probe.features[idx];
	return true;
}

static bool linux_syscall(const struct fl__host *host, uint32_t idx,
			  struct fl_syscall *syscall)
{
	(void)host;
	return fl__confine_syscall(idx, syscall);
}

static int linux_image_create(struct fl__host *host, struct fl_image *image,
			      const struct fl__segments *segments,
			      struct fl_error *error)
{
	fl__os_no_cancel();
	int err = fl__memfd_create(
		image, segments,
		fl__probe_has(&host->probe, FL__FEATURE_COLLAPSE), error);

	if (!err)
		fl__memfd_settle(image);
	return err;
}

/* A file of somebody else's. What the library does with such memory must fail
 * and not be killed, so two calls of the kernel have to be there. */
static int linux_image_map(struct fl__host *host, struct fl_image *image,
			   struct fl_error *error)
{
	uint8_t byte = 1, copy = 0;

	if (!fl__probe_has(&host->probe, FL__FEATURE_POPULATE))
		return fl__error_set(
			error, -ENOTSUP,
			"mapping a file in place needs MADV_POPULATE_WRITE: open the file without FL_OPEN_IN_PLACE");
	if (fl__os_peek(&copy, &byte, 1) || fl__os_poke(&copy, &byte, 1))
		return fl__error_set(
			error, -ENOTSUP,
			"mapping a file in place needs process_vm_readv() and process_vm_writev(), which this process may not call: open the file without FL_OPEN_IN_PLACE");
	image->bytes = NULL;
	fl__memfd_settle(image);
	return 0;
}

/* What the library itself does with memory that can be missing must fail and
 * not wait for ever, so the calls for files in place have to be there too. */
static const char *linux_load_lacks(const struct fl__host *host)
{
	const struct fl_feature *missing =
		&host->probe.features[FL__FEATURE_UFFD_MISSING];
	uint8_t byte = 1, copy = 0;

	if (missing->support != FL_SUPPORT_YES)
		return missing->reason;
	if (fl__os_peek(&copy, &byte, 1) || fl__os_poke(&copy, &byte, 1))
		return "this process may not call process_vm_readv() and process_vm_writev()";
	return NULL;
}

static int linux_image_load(struct fl__host *host, struct fl_image *image,
			    struct fl_error *error)
{
	fl__os_no_cancel();
	int err = 0;

	fl__os_lock(&host->lock);
	if (!host->loader)
		err = fl__loader_open(host->rung == RUNG_TRACK,
				      fl__probe_has(&host->probe,
						    FL__FEATURE_IO_URING),
				      fl__probe_has(&host->probe,
						    FL__FEATURE_SECCOMP),
				      &host->loader);
	fl__os_unlock(&host->lock);
	if (err)
		return fl__error_set(error, err,
				     "no memory to load images with");
	return fl__loader_add(host->loader, image, error);
}

static void linux_image_destroy(struct fl_image *image)
{
	fl__os_no_cancel();

	if (image->lazy)
		fl__loader_remove(image);
	else
		fl__memfd_destroy(image);
}

static int shard_error(struct fl_error *error, const char *what, int err)
{
	const char *remedy = fl__os_remedy(err);

	return fl__error_set(
		error, fl__error_fold(err), "cannot open %s: %s%s%s", what,
		strerror(-err), remedy ? "; lower descriptor_shards or " : "",
		remedy ? remedy : "");
}

static int shard_open(struct fl__dirty_host *shard, const struct fl__host *host,
		      struct fl_error *error)
{
	shard->can_populate = fl__probe_has(&host->probe, FL__FEATURE_POPULATE);
	shard->uffd_fd = shard->pagemap_fd = -1;
	shard->written_form =
		fl__probe_has(&host->probe, FL__FEATURE_FAST_SCAN) ?
			FL__SCAN_WRITTEN :
			FL__SCAN_WRITTEN_SLOW;
	shard->pagemap_fd = fl__scan_open();
	/* No reset of the lowest rung asks the page table; a capture that cannot
	 * compares everything. */
	if (shard->pagemap_fd < 0 &&
	    (host->rung != RUNG_DONTNEED ||
	     fl__error_fold(shard->pagemap_fd) == -ENOMEM))
		return shard_error(error, "/proc/self/pagemap",
				   shard->pagemap_fd);
	if (host->rung != RUNG_TRACK)
		return 0;
	shard->uffd_fd = fl__uffd_open();
	if (shard->uffd_fd < 0)
		return shard_error(error, "a userfaultfd", shard->uffd_fd);
	return 0;
}

static void shards_close(struct fl__host *host)
{
	for (uint32_t i = 0; i < host->shard_count; i++) {
		if (host->shards[i].uffd_fd >= 0)
			fl__os_file_close(host->shards[i].uffd_fd);
		if (host->shards[i].pagemap_fd >= 0)
			fl__os_file_close(host->shards[i].pagemap_fd);
	}
}

static void linux_close(struct fl__host *host)
{
	fl__os_no_cancel();

	fl__loader_close(host->loader);
	shards_close(host);
	fl__os_lock_fini(&host->lock);
	free(host);
}

static int shards_open(struct fl__host *host, uint32_t wanted,
		       struct fl_error *error)
{
	uint64_t count = wanted;
	int err = 0;

	if (!wanted)
		count = fl_min_u64(2 * (uint64_t)fl__os_cpus(), DEFAULT_SHARDS);
	/* Nothing that the lowest rung does often needs a descriptor. */
	if (host->rung == RUNG_DONTNEED)
		count = 1;
	while (host->shard_count < count && !err)
		err = shard_open(&host->shards[host->shard_count++], host,
				 error);
	return err;
}

static int linux_open(const char *disabled,
		      const struct fl_context_config *config,
		      struct fl__host **out, struct fl_error *error)
{
	fl__os_no_cancel();
	const char *rung = config->rung;
	struct fl__host *host;
	int err;

	if (!rung_is_known(rung))
		return fl__error_set(
			error, -EINVAL,
			"there is no rung \"%s\"; use track, scan or dontneed",
			rung);
	host = calloc(1, sizeof(*host));
	if (!host || fl__os_lock_init(&host->lock)) {
		free(host);
		return fl__error_set(error, -ENOMEM, "no memory for a context");
	}
	err = fl__probe_run(&host->probe, disabled,
			    features_unused(disabled, rung), error);
	if (!err)
		err = host_choose_rung(host, rung, error);
	if (!err)
		err = shards_open(host, config->descriptor_shards, error);
	if (err)
		linux_close(host);
	else
		*out = host;
	return err;
}

static const struct fl__dirty_host *shard_of(const struct fl__arena *arena,
					     const struct fl__space *space)
{
	return &arena->host->shards[(arena->first_shard + space->idx) %
				    arena->host->shard_count];
}

/* What tracks a slot: a slot is registered with one descriptor, for all
 * purposes. room is for the answer. */
static const struct fl__dirty_host *tracker_of(const struct fl__arena *arena,
					       const struct fl__space *space,
					       struct fl__dirty_host *room)
{
	const struct fl__dirty_host *shard = shard_of(arena, space);

	if (!space->is_lazy || shard->uffd_fd < 0)
		return shard;
	*room = *shard;
	room->uffd_fd = fl__loader_uffd(arena->host->loader);
	return room;
}

static void linux_arena_close(struct fl__arena *arena)
{
	for (uint32_t i = 0; i < arena->geometry.slot_count; i++)
		fl__track_forget(&arena->dirty[i]);
	free(arena->dirty);
	free(arena);
}

/* Where slots are all accessible and nothing lies between them. */
static struct fl__whole whole_of(const struct fl__geometry *geometry)
{
	uint64_t len = geometry->slot_count * geometry->stride_bytes;
	uint64_t first = geometry->first_off - geometry->prefix_bytes;

	if (!geometry->is_accessible || geometry->slot_count < 2 ||
	    geometry->stride_bytes !=
		    geometry->prefix_bytes + geometry->max_bytes)
		return (struct fl__whole){ .end = 0 };
	first += (uintptr_t)geometry->reservation;
	return (struct fl__whole){ .start = first, .end = first + len };
}

static int linux_arena_open(struct fl__host *host,
			    const struct fl__geometry *geometry,
			    struct fl__arena **out, struct fl_error *error)
{
	struct fl__arena *arena = calloc(1, sizeof(*arena));
	size_t count = (size_t)geometry->slot_count + 1;
	size_t size = count * sizeof(*arena->dirty);

	if (!arena || posix_memalign((void **)&arena->dirty, 128, size)) {
		free(arena);
		return fl__error_set(error, -ENOMEM, "no memory for a pool");
	}
	memset(arena->dirty, 0, size);
	arena->geometry = *geometry;
	arena->host = host;
	/* A slot on demand is never reset. */
	if (!geometry->is_single_use)
		arena->first_shard = __atomic_fetch_add(
			&host->turn, geometry->slot_count, __ATOMIC_RELAXED);
	arena->whole = whole_of(geometry);
	arena->whole.uffd_fd =
		geometry->is_single_use || !geometry->max_bytes ?
			-1 :
			host->shards[arena->first_shard % host->shard_count]
				.uffd_fd;
	*out = arena;
	return 0;
}

/* A file in place that was cut gives guests signals, and a reset nothing to
 * restore. To ask is cheap beside what such an image costs anyway. */
static int image_look(const struct fl_image *image)
{
	const struct fl__image_map *map;
	uint64_t length_bytes, end = 0;

	if (!image || !fl__image_is_in_place(image) || image->lazy)
		return 0;
	map = &image->map;
	for (uint32_t i = 0; i < map->extent_count; i++)
		end = fl_max_u64(end, image->file_offs[i] +
					      map->extents[i].hpage_len *
						      map->hpage_bytes);
	return fl__os_file_look(image->fd, &length_bytes) ||
			       length_bytes < end ?
		       -EIO :
		       0;
}

static int slot_show(const struct fl__arena *arena, struct fl__space *space,
		     struct fl_image *image, const struct fl__piece *piece)
{
	uint64_t start = (uintptr_t)space->base + piece->off;

	space->is_lazy = space->is_open = true;
	return fl__loader_show(arena->host->loader, image, space, start,
			       start + piece->len);
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
		if (!piece.is_data)
			err = fl__os_allow(space->base + at, piece.len);
		else if (mmap(space->base + at, (size_t)piece.len,
			      PROT_READ | PROT_WRITE,
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
		fl__space_dump_mapped(geometry, space->base, target);
	space->allowed_bytes = target;
	return 0;
}

static int linux_detach(struct fl__arena *arena, struct fl__space *space)
{
	int err = fl__space_renew(space, &arena->geometry);

	/* No guest touches the slot any more, emptied or not. */
	if (space->is_lazy)
		fl__desk_drop_space(fl__loader_desk(arena->host->loader),
				    space);
	/* What is known of a slot that was not emptied still holds. */
	if (err)
		return err;
	fl__track_forget(&arena->dirty[space->idx]);
	space->is_lazy = false;
	__atomic_store_n(&space->load_error, 0, __ATOMIC_RELAXED);
	return 0;
}

/* A slot that was emptied is a hole of what was registered as a whole. Its pages
 * merge with its neighbours' only if it is registered before the first of them
 * is written. After a failure the slot is a mapping of its own. */
static void slot_join(const struct fl__arena *arena,
		      const struct fl__space *space)
{
	const struct fl__whole *whole = &arena->whole;

	if (__atomic_load_n(&whole->is_registered, __ATOMIC_RELAXED))
		(void)fl__uffd_register_wp(
			whole->uffd_fd,
			(uintptr_t)space->base - arena->geometry.prefix_bytes,
			arena->geometry.prefix_bytes + space->allowed_bytes);
}

static int linux_attach(struct fl__arena *arena, struct fl__space *space,
			struct fl_image *image, uint64_t size_bytes)
{
	const struct fl__geometry *geometry = &arena->geometry;
	uint64_t target = fl__geometry_allowed(geometry, size_bytes);
	int err = image_look(image);

	if (!err && space->is_open && space->image != image)
		err = linux_detach(arena, space);
	if (!err && !space->is_open) {
		err = fl__os_allow(space->base - geometry->prefix_bytes,
				   geometry->prefix_bytes);
		space->is_open = !err && geometry->prefix_bytes;
		if (!err)
			err = slot_map(arena, space, image, target);
		if (!err && !space->is_lazy)
			slot_join(arena, space);
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
static int linux_grow(struct fl__arena *arena, struct fl__space *space,
		      uint64_t size_bytes)
{
	uint64_t target = fl__geometry_allowed(&arena->geometry, size_bytes);
	uint64_t grown = arena->dirty[space->idx].tracked_bytes;

	return fl__space_grow(space, &arena->geometry, target,
			      fl_max_u64(space->allowed_bytes,
					 fl_min_u64(grown, target)));
}

/* A prefix up to this size is zeroed, and not counted as kept. A larger prefix,
 * or one that exceeds the budget of a slot, is dropped. */
#define PREFIX_CLEAR_BYTES FL_WPAGE_BYTES

static int reset_prefix(const struct fl__arena *arena,
			const struct fl__space *space)
{
	uint64_t len = arena->geometry.prefix_bytes;
	uint8_t *start = space->base - len;

	if (len >
	    fl_min_u64(PREFIX_CLEAR_BYTES, arena->geometry.max_kept_bytes))
		return fl__settle_drop((uintptr_t)start,
				       (uintptr_t)space->base);
	/* Without a prefix the address is a guard's: pass it to no call. */
	if (len)
		memset(start, 0, (size_t)len);
	return 0;
}

struct record {
	struct fl__workset *set;
	uint64_t base;
	uint64_t touched, written; /* the page behind the last counted one */
};

static int on_recorded(void *user, const struct fl__kernel_region *region,
		       size_t count, int step)
{
	struct record *record = user;

	for (; count; count--, region += step) {
		bool is_written = !(region->categories & FL_PAGE_IS_FILE);
		uint64_t from = (region->start - record->base) / FL_WPAGE_BYTES;
		uint64_t last =
			(region->end - 1 - record->base) / FL_WPAGE_BYTES;

		if (region->categories & FL_PAGE_IS_SWAPPED)
			continue;
		for (uint64_t w = fl_max_u64(from, record->touched); w <= last;
		     record->touched = ++w)
			fl__workset_touch(record->set, w, false);
		for (uint64_t w = fl_max_u64(from, record->written);
		     is_written && w <= last; record->written = ++w)
			fl__workset_touch(record->set, w, true);
	}
	return 0;
}

/* Which pages of its image did the first tenant of a slot touch? Before a reset
 * has marked anything, what is present was touched; a page that was swapped out
 * meanwhile is one guess less. */
static void slot_record(const struct fl__arena *arena,
			const struct fl__space *space)
{
	struct fl_image *image = space->image;
	int pagemap_fd = shard_of(arena, space)->pagemap_fd;
	struct fl__kernel_region regions[64];
	struct fl__scan_buffer buffer = { .regions = regions, .count = 64 };
	struct record record = { &image->set, (uintptr_t)space->base, 0, 0 };

	if (pagemap_fd < 0 || arena->dirty[space->idx].resets ||
	    !fl__workset_begin(&image->set))
		return;
	for (uint32_t i = 0; i < image->map.extent_count; i++) {
		const struct fl__run *extent = &image->map.extents[i];
		uint64_t start = record.base +
				 extent->hpage_off * image->map.hpage_bytes;

		/* What is missing in the record is missing. */
		(void)fl__scan(
			pagemap_fd, start,
			start + extent->hpage_len * image->map.hpage_bytes,
			FL__SCAN_TOUCHED, &buffer, on_recorded, &record);
	}
}

/* Nobody waits in the slot any more, so nothing is lost in it from now on. */
static bool slot_is_whole(const struct fl__arena *arena,
			  const struct fl__space *space)
{
	fl__desk_leave(fl__loader_desk(arena->host->loader), space);
	return !__atomic_load_n(&space->load_error, __ATOMIC_RELAXED);
}

static int linux_reset(struct fl__arena *arena, struct fl__space *space,
		       struct fl__work *work)
{
	const struct fl__geometry *geometry = &arena->geometry;
	uint64_t base = (uintptr_t)space->base;
	struct fl__whole none = { .end = 0 };
	struct fl__dirty_host room;
	int err;

	if (space->is_torn || image_look(space->image))
		return -EIO;
	/* A page that could not be loaded is inaccessible. */
	if (space->is_lazy && !slot_is_whole(arena, space))
		return -EAGAIN;
	if (space->is_lazy)
		slot_record(arena, space);
	if (arena->host->rung == RUNG_DONTNEED) {
		err = fl__settle_drop(base - geometry->prefix_bytes,
				      base + space->allowed_bytes);
		if (!err)
			err = fl__space_keep_tables(space, geometry);
	} else {
		err = reset_prefix(arena, space);
		if (!err)
			err = fl__track_reset(
				&arena->dirty[space->idx],
				tracker_of(arena, space, &room),
				space->is_lazy ? &none : &arena->whole,
				geometry, space, &space->kept_bytes, work);
	}
	if (err)
		return fl__error_fold(err);
	return fl__space_move_border(
		space, geometry,
		fl__geometry_allowed(geometry, space->attached_bytes));
}

/* What the kernel would be denied in user-mode-only form is there then. */
static int slot_load(const struct fl__space *space, uint64_t off, uint64_t len)
{
	const struct fl_image *image = space->image;
	struct fl__piece piece;
	int err = 0;

	for (uint64_t at = off; !err && fl__image_map_next(&image->map, NULL,
							   at, off + len,
							   &piece);
	     at += piece.len) {
		if (piece.is_data)
			err = image->ready(image, at, piece.len);
	}
	return err;
}

static int linux_prefault(struct fl__arena *arena, struct fl__space *space,
			  uint64_t offset_bytes, uint64_t length_bytes)
{
	uint8_t *start = space->base + offset_bytes;
	int err = space->is_lazy ? slot_load(space, offset_bytes,
					     length_bytes) :
				   0;

	if (err)
		return err;
	if (!fl__probe_has(&arena->host->probe, FL__FEATURE_POPULATE))
		fl__os_touch(start, length_bytes);
	/* EFAULT: a file in place was cut. */
	else if (madvise(start, (size_t)length_bytes, FL_MADV_POPULATE_WRITE))
		return errno == EFAULT ? -EIO : fl__error_fold(-errno);
	return 0;
}

static void account_region(struct fl_pool_usage *usage,
			   const struct fl__kernel_region *region)
{
	uint64_t len = region->end - region->start;
	uint64_t written = region->categories & FL_PAGE_IS_WRITTEN ? len : 0;

	/* The zero page belongs to no slot. */
	if (region->categories & FL_PAGE_IS_PFNZERO)
		return;
	/* The kernel reports an empty entry with a mark as swapped, like a
	 * swapped page with a mark. An entry without a mark is a page. */
	if (region->categories & FL_PAGE_IS_SWAPPED) {
		usage->swapped_bytes += written;
	} else if (region->categories & FL_PAGE_IS_FILE) {
		usage->shared_bytes += len;
		return;
	} else {
		usage->private_bytes += len;
	}
	usage->dirty_bytes += written;
}

static int on_account(void *user, const struct fl__kernel_region *region,
		      size_t count, int step)
{
	for (; count; count--, region += step)
		account_region(user, region);
	return 0;
}

static int linux_account(const struct fl__arena *arena,
			 const struct fl__space *space,
			 struct fl_pool_usage *usage)
{
	const struct fl__geometry *geometry = &arena->geometry;
	struct fl__kernel_region regions[64];
	struct fl__scan_buffer buffer = { .regions = regions, .count = 64 };
	const struct fl__dirty *dirty = &arena->dirty[space->idx];
	uint64_t base = (uintptr_t)space->base;

	/* A rung that does not scan says nothing of its slots. */
	if (arena->host->rung == RUNG_DONTNEED)
		return -ENOTSUP;
	usage->table_bytes +=
		__atomic_load_n(&dirty->table_bytes, __ATOMIC_RELAXED);
	usage->record_bytes +=
		__atomic_load_n(&dirty->record_bytes, __ATOMIC_RELAXED);
	return fl__error_fold(fl__scan(
		shard_of(arena, space)->pagemap_fd,
		base - geometry->prefix_bytes, base + geometry->max_bytes,
		FL__SCAN_ACCOUNT, &buffer, on_account, usage));
}

struct changed {
	fl__changed_fn *fn;
	void *user;
	uint64_t base;
};

static int on_changed(void *user, const struct fl__kernel_region *region,
		      size_t count, int step)
{
	const struct changed *changed = user;
	int err = 0;

	for (; count && !err; count--, region += step)
		err = changed->fn(changed->user, region->start - changed->base,
				  region->end - region->start);
	return err;
}

/* In a hole of the image an empty entry that is watched looks like a swapped
 * page. What is watched was not written, and to read it would make memory of the
 * hole. */
static int on_changed_in_holes(void *user,
			       const struct fl__kernel_region *region,
			       size_t count, int step)
{
	int err = 0;

	for (; count && !err; count--, region += step) {
		uint64_t is = region->categories;

		if ((is & FL_PAGE_IS_SWAPPED && !(is & FL_PAGE_IS_WRITTEN)) ||
		    !fl__scan_is_private(is, true))
			continue;
		err = on_changed(user, region, 1, step);
	}
	return err;
}

/* The private pages of a piece, by the best call that the host has. */
static int piece_changed(const struct fl__arena *arena, int pagemap_fd,
			 const struct fl__piece *piece, bool has_holes,
			 struct changed *changed)
{
	struct fl__kernel_region regions[64];
	struct fl__scan_buffer buffer = { .regions = regions, .count = 64 };
	uint64_t start = changed->base + piece->off;

	if (!fl__probe_has(&arena->host->probe, FL__FEATURE_PAGEMAP_SCAN))
		return fl__scan_reads_private(pagemap_fd, start,
					      start + piece->len,
					      arena->geometry.hpage_bytes,
					      on_changed, changed);
	if (has_holes && piece->is_data)
		return fl__scan(pagemap_fd, start, start + piece->len,
				FL__SCAN_ACCOUNT, &buffer, on_changed_in_holes,
				changed);
	return fl__scan(pagemap_fd, start, start + piece->len,
			piece->is_data ? FL__SCAN_PRIVATE_FILE :
					 FL__SCAN_PRIVATE_ZERO,
			&buffer, on_changed, changed);
}

/* -ENOTSUP when nobody can tell. */
static int slot_changed(const struct fl__arena *arena,
			const struct fl__space *space, uint64_t size_bytes,
			fl__changed_fn *fn, void *user)
{
	fl__os_no_cancel();
	const struct fl_image *image = space->image;
	const struct fl__image_map *map = image ? &image->map : NULL;
	const uint8_t *bytes = image ? image->bytes : NULL;
	uint64_t end = fl_round_up(size_bytes, arena->geometry.hpage_bytes);
	int pagemap_fd = shard_of(arena, space)->pagemap_fd, err = 0;
	struct changed changed = { fn, user, (uintptr_t)space->base };
	struct fl__piece piece;

	if (pagemap_fd < 0)
		return -ENOTSUP;
	for (uint64_t at = 0;
	     !err && fl__image_map_next(map, bytes, at, end, &piece);
	     at += piece.len)
		err = piece_changed(arena, pagemap_fd, &piece,
				    image && image->has_holes, &changed);
	return fl__error_fold(err);
}

/*
 * A page that is still the file's, or nothing at all, is as it was attached.
 * This holds whatever the rung tracks. To call more pages changed would cost
 * memory: who reads a hole of the file through a mapping makes a page of it.
 */
static int linux_changed(const struct fl__arena *arena,
			 const struct fl__space *space, uint64_t size_bytes,
			 fl__changed_fn *fn, void *user)
{
	uint64_t end = fl_round_up(size_bytes, arena->geometry.hpage_bytes);
	int err = slot_changed(arena, space, size_bytes, fn, user);

	return err != -ENOTSUP ? err : end ? fn(user, 0, end) : 0;
}

static int linux_written(struct fl__arena *arena, const struct fl__space *space,
			 uint64_t size_bytes, bool is_anew, fl__changed_fn *fn,
			 void *user)
{
	struct fl__dirty_host room;
	const struct fl__dirty_host *shard = tracker_of(arena, space, &room);

	/* Nothing is known of a slot that is never reset, nor on a rung that
	 * does not scan. */
	if (arena->host->rung == RUNG_DONTNEED ||
	    arena->geometry.is_single_use)
		return slot_changed(arena, space, size_bytes, fn, user);
	return fl__error_fold(fl__since_tell(&arena->dirty[space->idx], shard,
					     &arena->geometry, space,
					     size_bytes, is_anew, fn, user));
}

static int linux_watch(struct fl__arena *arena, const struct fl__space *space)
{
	struct fl__whole none = { .end = 0 };
	struct fl__dirty_host room;

	if (arena->geometry.is_single_use)
		return -ENOTSUP;
	return fl__error_fold(fl__since_watch(
		&arena->dirty[space->idx], tracker_of(arena, space, &room),
		space->is_lazy ? &none : &arena->whole, &arena->geometry,
		space));
}

static bool linux_is_touched(const struct fl__arena *arena,
			     const struct fl__space *space,
			     uint64_t offset_bytes, uint64_t length_bytes,
			     bool is_swapless)
{
	fl__os_no_cancel();
	int pagemap_fd = shard_of(arena, space)->pagemap_fd;
	uint64_t start = (uintptr_t)space->base + offset_bytes;

	return pagemap_fd < 0 ||
	       fl__scan_reads_touched(pagemap_fd, start, start + length_bytes,
				      arena->geometry.hpage_bytes, is_swapless);
}

const struct fl__backend fl__backend_linux = {
	.name = "linux",
	.knows = linux_knows,
	.open = linux_open,
	.close = linux_close,
	.rung = linux_rung,
	.feature = linux_feature,
	.syscall = linux_syscall,
	.image_create = linux_image_create,
	.image_map = linux_image_map,
	.load_lacks = linux_load_lacks,
	.image_load = linux_image_load,
	.image_loading = fl__loader_tell,
	.image_destroy = linux_image_destroy,
	.image_filled = fl__memfd_filled,
	.image_drain = fl__memfd_drain,
	.arena_open = linux_arena_open,
	.arena_close = linux_arena_close,
	.attach = linux_attach,
	.detach = linux_detach,
	.grow = linux_grow,
	.reset = linux_reset,
	.prefault = linux_prefault,
	.account = linux_account,
	.makes_memory_files = true,
	.changed = linux_changed,
	.written = linux_written,
	.watch = linux_watch,
	.is_touched = linux_is_touched,
};
