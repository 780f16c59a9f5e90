/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* ahead.c - what is foreseen of an image; see ahead.h. */
#include "ahead.h"

/* Pages that follow a sequential demand are foreseen, so many at most. */
#define AHEAD_WPAGES 8

/* A sequence of demands foresees what comes next. */
void fl__ahead_demand(struct fl__lazy *lazy, uint64_t wpage)
{
	uint64_t end = (lazy->first_off + lazy->span_bytes) / FL_WPAGE_BYTES;

	if (wpage == lazy->last_wpage + 1 ||
	    (lazy->ahead_end && wpage <= lazy->ahead &&
	     wpage + AHEAD_WPAGES >= lazy->ahead)) {
		lazy->ahead = fl_max_u64(lazy->ahead, wpage + 1);
		lazy->ahead_end = fl_min_u64(end, wpage + 1 + AHEAD_WPAGES);
	} else {
		lazy->ahead = lazy->ahead_end = 0;
	}
	lazy->last_wpage = wpage;
}

static uint64_t part_bytes(struct fl__part part)
{
	return part.count * FL__PAGE_BLOCK_BYTES;
}

bool fl__ahead_next(struct fl__lazy *lazy, uint64_t *wpage,
		    struct fl__part *part)
{
	const struct fl__workset *set = &lazy->image->set;
	uint64_t entry_idx;

	*part = FL__PART_WHOLE;
	if (lazy->ahead < lazy->ahead_end) {
		*wpage = lazy->ahead++;
		return true;
	}
	if (!lazy->is_shown ||
	    !fl__workset_next_part(set, &lazy->set_at, &entry_idx, part))
		return false;
	*wpage = set->toc->entries[entry_idx].wpage;
	lazy->set_begun += part_bytes(*part);
	return true;
}

/* Bytes that were asked for and are not being loaded yet. */
static uint64_t asked_bytes(const struct fl__lazy *lazy)
{
	/* Leaves that came meanwhile make a part of what was asked for whole. */
	return lazy->ask_at > lazy->set_at &&
			       lazy->set_asked > lazy->set_begun ?
		       lazy->set_asked - lazy->set_begun :
		       0;
}

bool fl__ahead_wants(const struct fl__lazy *lazy)
{
	uint64_t most = lazy->is_going ? FL__AHEAD_BYTES - FL_WPAGE_BYTES :
					 FL__AHEAD_BYTES / 2;

	return lazy->is_shown && lazy->can_ask && asked_bytes(lazy) <= most;
}

/* The next part from *at on, if it is the first or follows what was taken. */
static bool ask_more(struct fl__lazy *lazy, uint64_t *off, uint64_t *len)
{
	const struct fl__workset *set = &lazy->image->set;
	uint64_t at = lazy->ask_at, entry_idx, place, bytes;
	struct fl__part part;

	if (!fl__workset_next_part(set, &at, &entry_idx, &part))
		return false;
	place = fl__workset_place(set, entry_idx, part, &bytes);
	if (!*len)
		*off = place;
	else if (place != *off + *len)
		return false;
	*len += bytes;
	lazy->ask_at = at;
	lazy->set_asked += part_bytes(part);
	return true;
}

bool fl__ahead_ask(struct fl__lazy *lazy, uint64_t *off, uint64_t *len)
{
	lazy->is_going = fl__ahead_wants(lazy);
	if (!lazy->is_going)
		return false;
	/* The loads have come to what was asked for, or past it. */
	if (lazy->ask_at <= lazy->set_at) {
		lazy->ask_at = lazy->set_at;
		lazy->set_asked = lazy->set_begun;
	}
	*off = *len = 0;
	while (*len < FL__AHEAD_RUN_BYTES &&
	       asked_bytes(lazy) < FL__AHEAD_BYTES && ask_more(lazy, off, len))
		;
	/* The end of the set. */
	lazy->can_ask = *len;
	return *len;
}
