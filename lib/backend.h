/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * backend.h - the contract between the portable core and what makes memory.
 *
 * The core decides which slot shows which image at which size; a backend makes
 * the slot do so, and makes the slot clean again. A slot has one owner at a
 * time, and only the owner calls the backend on the slot. A slot moves through
 * these states, and only acquire and release move a slot:
 *
 *	EMPTY ──attach──► READY ══ guest ══► DIRTY ──reset──► CLEAN
 *	  ▲                 ▲                                  │ │
 *	  └────detach───────┼──────────────────────────────────┘ │
 *	                    └───────────attach───────────────────┘
 *
 * EMPTY: inaccessible, no image, nothing resident. CLEAN: nothing of the guest
 * is left, nor is the guest's size; what the image's next attach needs may be
 * kept.
 *
 * Preconditions, stated once: sizes given in bytes need not be multiples of a
 * host page and are at most geometry->max_bytes; the image's initial content
 * fits the size. Calls return 0 or a negative errno of the closed set. After an
 * error from attach or reset the slot is in no known state, and the only call
 * allowed is detach. A detach that fails changes nothing: a CLEAN slot is CLEAN,
 * and any other can only be detached later, until when no tenant gets it. A
 * slot in which an attach has mapped nothing is EMPTY still. A failed
 * grow changes nothing that can be seen. A grow that failed and could not be
 * undone marks the slot torn, and the reset of a torn slot fails. Until attach
 * returns 0, space->image is the image that the slot had before.
 *
 * Invariants that every backend keeps
 * - After attach, [0, size rounded up to a host page) is accessible and shows
 *   the image and zeroes. In a guarded arena everything else of the slot
 *   faults; in an accessible arena [0, max_bytes) is accessible.
 * - After reset, the same holds for the size that the slot was attached with.
 * - The prefix is accessible and zero after attach.
 */
#ifndef FL_BACKEND_H
#define FL_BACKEND_H

#include "image/origin.h"
#include "image/workset.h"
#include "os/os.h"

#include <errno.h>

/* The most shards of descriptors that a context may be asked for. */
#define FL__MAX_SHARDS 64
#define FL__MAX_LOAD_THREADS 16

/* A backend opens a host once for a context, and an arena once for a source.
 * Each backend defines both structs. */
struct fl__host;
struct fl__arena;
/* What a backend knows of an image that it loads on demand. */
struct fl__lazy;

/*
 * What of a slot is in core dumps. The kernel walks each mapping that is in, page
 * by page, as soon as a page of it was written, and a mapping that once was
 * accessible counts: without care, a dump walks the whole reservation.
 */
enum fl__dump {
	FL__DUMP_ALL = 0,	/* the slot is small: nothing is done */
	FL__DUMP_NONE,		/* the reservation is out, and so is the rest */
	FL__DUMP_ACCESSIBLE,	/* the reservation is out */
};

/* How the slots of a bank, or the one slot of a region, lie in the address
 * space that was reserved for them. */
struct fl__geometry {
	uint8_t *reservation;
	uint64_t first_off;	/* of slot 0's base from the reservation */
	uint64_t stride_bytes;
	uint64_t max_bytes;	/* accessible ceiling, whole host pages */
	uint64_t prefix_bytes;	/* whole host pages before the base */
	uint64_t hpage_bytes;
	uint64_t max_kept_bytes;	/* by a clean slot; more is dropped */
	/* So many bytes before a base belong to the slot with that base rather
	 * than to the slot below; the first slot has a number of its own. */
	uint64_t lead_bytes, first_lead_bytes;
	uint64_t trail_bytes;	/* behind the last stride, the last slot's */
	uint32_t slot_count;
	bool guard_is_above;	/* a guard belongs to the slot above it */
	bool is_accessible;	/* FL_BOUNDS_ACCESSIBLE */
	bool is_single_use;	/* slots are detached, and never reset */
	enum fl__dump dump;
	bool avoids_huge_pages;		/* of zeroes */
	/* So many bytes before each base but the first are a guard that may be
	 * marked, and lie in one mapping with the slots then. 0: such bytes are
	 * inaccessible. */
	uint64_t marked_bytes;
};

/* One image: its map, its storage, its references. */
struct fl_image {
	uint32_t refs;			/* atomic */
	uint64_t serial;		/* > 0; never used twice in a process */
	struct fl_context *context;	/* a reference */
	struct fl__image_map map;
	uint64_t charged_bytes, charged_span_bytes;	/* to the context */
	struct fl__kept_digest digest;	/* of a file of this image */
	/* The backend owns the rest. bytes: content from the first extent on,
	 * readable for the image's whole life. NULL: there are no extents, or
	 * the image is a file of somebody else's, mapped in place. Whoever can
	 * cut such a file makes a signal of every access to its mapping, so no
	 * code of ours reads it but by fl__image_fetch(), and no slot that shows
	 * it but by fl__os_peek(). */
	const uint8_t *bytes;
	int fd;				/* -1: not in a file */
	/* Where each extent is in the file. */
	uint64_t file_offs[FL__IMAGE_MAX_EXTENTS];
	/* Of an image that has a working set: one that is loaded on demand, or
	 * a file in place whose pages nobody has read; else NULL. */
	struct fl__origin *origin;	/* a reference */
	uint32_t origin_idx;		/* which image of the origin */
	struct fl__workset set;		/* where there is origin */
	/* The backend's, of an image that is loaded on demand; else NULL. The
	 * image has no bytes, and its file has pages that are not there yet. */
	struct fl__lazy *lazy;
	struct fl__stats *loads;	/* base/loads.def; NULL: not counted */
	bool is_published;		/* loads */
	/* Wait until a range of an extent is in the file. Not for a thread that
	 * serves loads. -EIO, -ENOEXEC, -ENOMEM, -ETIMEDOUT. */
	int (*ready)(const struct fl_image *image, uint64_t off, uint64_t len);
	/* Is a byte of the range in the file? */
	bool (*has)(const struct fl_image *image, uint64_t off, uint64_t len);
	/* For fl_image_loading(); 0: nobody opened the image from a file. */
	enum fl_load_way way;
	const char *way_reason;
	/* Zeroes within the extents that the storage has as holes, and that
	 * become memory when a guest touches them. False: so few that they
	 * count as storage. */
	bool has_holes;
	uint64_t settled_bytes;		/* of the storage, with all holes */
	/* With has_holes, see module/holes.h. Atomic: slots that show the
	 * image, looks at it, and what was filled after the last drain. */
	uint32_t shown, looks;
	fl_atomic64 drained_to;
	struct fl_image *next, *prev;	/* context's list */
};

/* A slot's addresses, as the backend sees them. Only the slot's owner changes
 * this struct. */
struct fl__space {
	uint8_t *base;
	uint32_t idx;
	struct fl_image *image;		/* attached; set and held by the core */
	uint64_t attached_bytes;	/* size at attach: what reset restores */
	uint64_t allowed_bytes;		/* [0, this) is accessible */
	uint64_t kept_bytes;		/* private memory kept when CLEAN */
	uint64_t highest_bytes;		/* see fl__space_keep_tables() */
	bool is_open;			/* false: EMPTY */
	/* Atomic; a page of the image could not be loaded, and why: accesses to
	 * the page are SIGSEGVs. 0: none. Such a slot can only be detached. */
	int32_t load_error;
	/* The backend's: what loads the image's pages knows the slot, which has to
	 * be detached before its memory or its image goes. */
	bool is_lazy;
	/* The backend's: what is mapped of the image is what the tenant touched. */
	bool is_watched;
	/* The backend's: of a fresh slot more of the image is mapped than its tenant
	 * touched, and so nothing is recorded. */
	bool is_ahead;
	/* The backend's: a slot that could not be emptied, and in which no fault
	 * is answered any more. No tenant gets it before it is mapped anew. */
	bool is_adrift;
	/* A CLEAN slot has zeroes until the next attach, and not the image of its
	 * last tenant. */
	bool is_blank;
	/* A failed grow could not be undone: more may be accessible than
	 * allowed_bytes says. The slot can only be detached, not reset. */
	bool is_torn;
	/* Atomic; system calls that were made for the slot, and scans among
	 * them, until the core counts them. */
	uint32_t calls, scans;
};

/* What a reset did, in events and host pages; a backend adds to what it
 * counts. */
struct fl__work {
	uint64_t scan_ns;		/* only if is_timed */
	uint32_t calls;			/* scans and others */
	uint32_t scans, sweeps;
	uint32_t restored, compared, dropped, protected;
	bool is_timed;
};

typedef int fl__changed_fn(void *user, uint64_t offset_bytes,
			   uint64_t length_bytes);

/*
 * What takes a tenant's changes as a reset undoes them, so that each written page
 * is passed over once. Either call takes what of [off, off + len) differs from what
 * the slot was attached with; the ranges go upwards, and none comes twice.
 */
struct fl__taker {
	/* What the call written told of all that is accessible. The tenant has
	 * not run since. */
	const struct fl_memory_run *runs;
	uint64_t run_count;
	/* The slot's content there is `there`, zeroes for NULL, and is brought
	 * back. Whole host pages. True: some byte differed. */
	bool (*bring_back)(struct fl__taker *taker, uint64_t off,
			   const uint8_t *there, uint64_t len);
	/* Whatever the content is. The range is about to be changed. Of no
	 * bytes: all before off was told. */
	void (*take)(struct fl__taker *taker, uint64_t off, uint64_t len);
};

/* The rungs of the Linux engine, best first, which are the same to every build. */
#define FL__LINUX_RUNGS "track", "scan", "dontneed"

struct fl__backend {
	const char *name;
	/* The names of its rungs, NULL behind the last. */
	const char *rungs[4];

	/* Is that the name of a feature? NULL: there is none. */
	bool (*knows)(const char *name, size_t len);
	/* Probe, and open whatever is needed later: the process may give up
	 * its rights then. disabled lists features to do without; config->rung
	 * is one of the rungs, which the caller asks for, NULL for the best.
	 * What these two exclude is not called. -ENOTSUP with the reason when
	 * this host cannot; -ENOMEM when something ran out, which says nothing of
	 * the host. */
	int (*open)(const char *disabled,
		    const struct fl_context_config *config,
		    struct fl__host **host, struct fl_error *error);
	void (*close)(struct fl__host *host);
	const char *(*rung)(const struct fl__host *host, const char **reason);
	/* False past the last feature. NULL: there is none. */
	bool (*feature)(const struct fl__host *host, uint32_t idx,
			struct fl_feature *feature);
	/* The same for the system calls that this backend makes. */
	bool (*syscall)(const struct fl__host *host, uint32_t idx,
			struct fl_syscall *syscall);
	/* May guards be marked, by fl__os_mark_guard()? NULL: never. */
	bool (*marks_guards)(const struct fl__host *host);

	/* Give a planned image its storage and fill the storage: sets bytes and
	 * fd, seals what can be sealed. */
	int (*image_create)(struct fl__host *host, struct fl_image *image,
			    const struct fl__segments *segments,
			    struct fl_error *error);
	/* Make an image of the file that it has been given, with its map, fd and
	 * file_offs; the backend does not close fd when this fails. -ENOTSUP.
	 * NULL: this backend maps no files. */
	int (*image_map)(struct fl__host *host, struct fl_image *image,
			 struct fl_error *error);
	/* Why images cannot be loaded on demand here; NULL: they can. The call is
	 * NULL for a backend that never can. */
	const char *(*load_lacks)(const struct fl__host *host);
	/* Make an image that is loaded on demand of the image that has its map
	 * and its origin. -ENOMEM. */
	int (*image_load)(struct fl__host *host, struct fl_image *image,
			  struct fl_error *error);
	/* Pages of data that are loaded, and loads that failed. */
	void (*image_loading)(const struct fl_image *image,
			      struct fl_image_loading *loading);
	void (*image_destroy)(struct fl_image *image);
	/* Memory that holes of an image's storage have become because a guest
	 * touched them. drain gives back what no slot maps. NULL: holes stay
	 * holes. */
	uint64_t (*image_filled)(const struct fl_image *image);
	void (*image_drain)(const struct fl_image *image);

	/* The address space is reserved and inaccessible. The core unmaps the
	 * address space after the close. */
	int (*arena_open)(struct fl__host *host,
			  const struct fl__geometry *geometry,
			  struct fl__arena **arena, struct fl_error *error);
	void (*arena_close)(struct fl__arena *arena);

	/* From EMPTY or CLEAN: show image (NULL: zeroes) at size. */
	int (*attach)(struct fl__arena *arena, struct fl__space *space,
		      struct fl_image *image, uint64_t size_bytes);
	/* From any state to EMPTY. */
	int (*detach)(struct fl__arena *arena, struct fl__space *space);
	/* size_bytes is larger than the current size. */
	int (*grow)(struct fl__arena *arena, struct fl__space *space,
		    uint64_t size_bytes);
	int (*reset)(struct fl__arena *arena, struct fl__space *space,
		     struct fl__work *work);
	/* The same, telling the taker of each run before or while the run is
	 * changed; not of an image that is fetched. After an error what was not
	 * told is as it was. NULL: the taker takes before a reset. */
	int (*reset_taking)(struct fl__arena *arena, struct fl__space *space,
			    struct fl__work *work, struct fl__taker *taker);

	/* Make host pages of the current size resident and writable. */
	int (*prefault)(struct fl__arena *arena, struct fl__space *space,
			uint64_t offset_bytes, uint64_t length_bytes);
	/* Add what the slot takes to usage; in any state, and the guest may
	 * run. -ENOTSUP when the page tables cannot be read, of which accounts
	 * tells in advance. Both are NULL: always so. */
	bool (*accounts)(const struct fl__host *host);
	int (*account)(const struct fl__arena *arena,
		       const struct fl__space *space,
		       struct fl_pool_usage *usage);
	/* Does the backend use memory files, so that others may be made? */
	bool makes_memory_files;
	/*
	 * Tell every stretch of [0, size_bytes) that may differ from what the
	 * slot was attached with, in order, in whole host pages; a stretch may
	 * be equal all the same. What fn returns, if not 0, ends the call.
	 * NULL: all of it may differ. The guest does not run.
	 */
	int (*changed)(const struct fl__arena *arena,
		       const struct fl__space *space, uint64_t size_bytes,
		       fl__changed_fn *fn, void *user);
	/*
	 * Tell every stretch of [0, size_bytes), in order and in whole host
	 * pages, that was written since the attach, or (is_anew) since the last
	 * watch that answered 0. Others may be among them; for is_anew none of
	 * what was accessible at that watch. What fn returns, if not 0, ends the
	 * call. The guest does not run. -ENOTSUP when the host cannot tell. NULL:
	 * always so.
	 */
	int (*written)(struct fl__arena *arena, struct fl__space *space,
		       uint64_t size_bytes, bool is_anew, fl__changed_fn *fn,
		       void *user);
	/* From now on, know which pages are written. -ENOTSUP when that cannot
	 * be had. After an error the slot is as dirty as before, and is_anew is
	 * not to be asked for. NULL: always -ENOTSUP. */
	int (*watch)(struct fl__arena *arena, struct fl__space *space);
	/* Is any page of a range resident or swapped out? True when the backend
	 * cannot tell, which it can better with is_swapless: no page of the
	 * process is swapped out. NULL: always so. */
	bool (*is_touched)(const struct fl__arena *arena,
			   const struct fl__space *space, uint64_t offset_bytes,
			   uint64_t length_bytes, bool is_swapless);
};

/* Beside a call of the system, an addition costs nothing. A guest may grow its
 * memory while others ask what it wrote. */
static inline void fl__space_called(struct fl__space *space, uint32_t calls)
{
	__atomic_fetch_add(&space->calls, calls, __ATOMIC_RELAXED);
}

static inline void fl__space_scanned(struct fl__space *space, uint32_t scans)
{
	__atomic_fetch_add(&space->scans, scans, __ATOMIC_RELAXED);
	fl__space_called(space, scans);
}

/* Is the image a file that others may change? */
static inline bool fl__image_is_in_place(const struct fl_image *image)
{
	return image->fd >= 0 && !image->bytes;
}

/* Is there data that no access of ours may read? An image in place, or one that
 * is loaded on demand. */
static inline bool fl__image_is_fetched(const struct fl_image *image)
{
	return !image->bytes && image->map.extent_count;
}

/* Where a byte of the image's extents is in its file. */
static inline uint64_t fl__image_file_off(const struct fl_image *image,
					  uint64_t off)
{
	const struct fl__image_map *map = &image->map;
	uint32_t i = map->extent_count - 1;

	while (i && off < map->extents[i].hpage_off * map->hpage_bytes)
		i--;
	return image->file_offs[i] +
	       (off - map->extents[i].hpage_off * map->hpage_bytes);
}

/* Copy content that lies in one extent. -EIO: the file has it no more. */
static inline int fl__image_fetch(const struct fl_image *image, uint64_t off,
				  void *dst, uint64_t len)
{
	uint64_t done;
	int err;

	if (image->bytes) {
		memcpy(dst,
		       image->bytes +
			       (off - fl__image_map_first_off(&image->map)),
		       (size_t)len);
		return 0;
	}
	err = image->ready ? image->ready(image, off, len) : 0;
	if (err)
		return -EIO;
	err = fl__os_file_read(image->fd, fl__image_file_off(image, off), dst,
			       len, &done);
	return err || done < len ? -EIO : 0;
}

/* How many bytes of an open slot are accessible at a size; in an accessible
 * arena all are. */
static inline uint64_t fl__geometry_allowed(const struct fl__geometry *geometry,
					    uint64_t size_bytes)
{
	return geometry->is_accessible
		       ? geometry->max_bytes
		       : fl_round_up(size_bytes, geometry->hpage_bytes);
}

/* Make [0, target) of an open slot accessible, and the rest inaccessible. */
int fl__space_move_border(struct fl__space *space,
			  const struct fl__geometry *geometry, uint64_t target);

/* As fl__space_move_border() to a lower or the same border, in an arena that is
 * not accessible. Behind it is reserved address space, and nothing is kept. */
int fl__space_cut(struct fl__space *space, const struct fl__geometry *geometry,
		  uint64_t target);

/* As the call grow, up to target. What lies from split on, which is at least
 * allowed_bytes, is opened first. */
int fl__space_grow(struct fl__space *space, const struct fl__geometry *geometry,
		   uint64_t target, uint64_t split);

/*
 * Before an EMPTY slot is opened: mark its guard, if the geometry says so, and put
 * the guard into one mapping with the slot. After an error the guard is
 * inaccessible as before, and a mapping of its own.
 */
void fl__space_mark_guard(struct fl__space *space,
			  const struct fl__geometry *geometry);

/* After something was mapped over [addr, addr + len) of a slot: have it in core
 * dumps or not, as the geometry says. */
uint32_t fl__space_dump_mapped(const struct fl__geometry *geometry,
			       uint8_t *addr, uint64_t len);

/* After zeroes were mapped there, or reserved. */
static inline void fl__geometry_zeroes(const struct fl__geometry *geometry,
				       uint8_t *addr, uint64_t len)
{
	if (fl_unlikely(geometry->avoids_huge_pages))
		fl__os_avoid_huge_pages(addr, len);
}

/* What of page tables and records of a slot counts as kept: the little that a
 * slot of few megabytes has does not. */
static inline uint64_t fl__overhead_counts(uint64_t bytes)
{
	return bytes > (uint64_t)64 << 10 ? bytes : 0;
}

/*
 * Of a backend that does not look at page tables: set kept_bytes to what page
 * tables may take, one for each 2 MiB that were ever
 * accessible since the slot was EMPTY. Slots that never were large count as
 * none. -EAGAIN: that is more than a slot may keep, and the slot must be mapped
 * anew.
 */
int fl__space_keep_tables(struct fl__space *space,
			  const struct fl__geometry *geometry);

/* As the call detach: all of the slot is reserved address space again. */
int fl__space_renew(struct fl__space *space,
		    const struct fl__geometry *geometry);

#endif
