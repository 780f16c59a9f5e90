/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* turns.c - what is demanded, then what is foreseen; see turns.h. */
#include "turns.h"
#include "ahead.h"

/* The part is in the file, or on its way. */
static bool part_is_coming(struct fl__desk *desk, const struct fl_image *image,
			   uint64_t wpage, struct fl__part part)
{
	uint64_t entry_idx;

	return !fl__toc_find(&image->origin->toc, image->origin_idx, wpage,
			     &entry_idx) ||
	       fl__lazy_has_part(image, entry_idx, part) ||
	       fl__desk_find_locked(desk, image, wpage, part) ||
	       fl__desk_is_lent_locked(desk, image, wpage, part);
}

static struct fl__load *foreseen_begin(struct fl__desk *desk,
				       struct fl__lazy *lazy)
{
	struct fl_image *image = lazy->image;
	uint64_t wpage, deadline_ns;
	struct fl__part part;

	do {
		if (!fl__ahead_next(lazy, &wpage, &part))
			return NULL;
	} while (part_is_coming(desk, image, wpage, part));
	if (fl_add_overflow(fl__os_now_ns(), image->origin->deadline_ns,
			    &deadline_ns))
		deadline_ns = UINT64_MAX;
	if (lazy->foreseen_wpage != wpage)
		__atomic_add_fetch(&image->set.foreseen_count, 1,
				   __ATOMIC_RELAXED);
	lazy->foreseen_wpage = wpage;
	if (!desk->may_ask && fl__ahead_wants(lazy)) {
		desk->may_ask = true;
		fl__os_cond_signal(&desk->filler);
	}
	fl__desk_watch_locked(desk, deadline_ns);
	return fl__desk_begin_locked(desk, image, wpage, part, deadline_ns,
				     true);
}

/* May a load of the image begin that nobody waits for? Else those that begin loads are
 * told when it may, by the end of a load or of a read. */
static bool has_room(struct fl__desk *desk, struct fl__lazy *lazy)
{
	if (lazy->foreseen_count >= fl__desk_foreseen_max(lazy)) {
		lazy->is_short = true;
		return false;
	}
	if (fl__lazy_is_direct_copy(lazy) &&
	    lazy->reading_count >= FL__DESK_DIRECT_READS)
		return false;
	desk->is_short |= desk->taken_count >= FL__DESK_FORESEEN_MAX;
	return desk->taken_count < FL__DESK_FORESEEN_MAX;
}

/* What is foreseen, if enough loads are free. */
static struct fl__load *load_foreseen(struct fl__desk *desk,
				      enum fl__lazy_reader who)
{
	struct fl__load *load = NULL;

	for (struct fl__lazy *lazy = desk->images; lazy && !load;
	     lazy = lazy->next) {
		if (lazy->reader == who && has_room(desk, lazy))
			load = foreseen_begin(desk, lazy);
	}
	return load;
}

/* Is there anything that a thread of this kind can do for the load? */
static bool load_is_for(const struct fl__load *load, enum fl__lazy_reader who)
{
	if (load->users)
		return false;
	if (load->state == FL__LOAD_ANSWERED)
		return who == FL__READER_FILLER;
	return load->state == FL__LOAD_QUEUED &&
	       who == (load->is_zero ? FL__READER_FILLER :
				       load->image->lazy->reader);
}

/* The load that is most wanted of those that a thread of this kind can work on. */
static struct fl__load *load_best(struct fl__desk *desk,
				  enum fl__lazy_reader who)
{
	struct fl__load *best = NULL;

	for (uint32_t i = 0; i < FL__DESK_LOADS; i++) {
		struct fl__load *load = &desk->loads[i];

		if (!load_is_for(load, who))
			continue;
		if (!best || load->is_demand > best->is_demand ||
		    (load->is_demand == best->is_demand &&
		     load->order < best->order))
			best = load;
	}
	return best;
}

struct fl__load *fl__turns_next_locked(struct fl__desk *desk,
				       enum fl__lazy_reader who)
{
	struct fl__load *best = load_best(desk, who);

	if (!best)
		best = load_foreseen(desk, who);
	if (best)
		best->users++;
	return best;
}

struct fl__load *fl__turns_to_cancel_locked(struct fl__desk *desk,
					    enum fl__lazy_reader who)
{
	for (uint32_t i = 0; i < FL__DESK_LOADS; i++) {
		struct fl__load *load = &desk->loads[i];

		if (!load->is_to_cancel || !load->image ||
		    load->image->lazy->reader != who)
			continue;
		load->is_to_cancel = false;
		/* The answer came first, and a thread may be ending the load. */
		if (load->state != FL__LOAD_READING || load->users)
			continue;
		load->is_told = true;
		load->users++;
		return load;
	}
	return NULL;
}
