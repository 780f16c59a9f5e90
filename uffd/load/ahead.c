/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* ahead.c - what is foreseen of an image; see ahead.h. */
#include "ahead.h"

/* Pages that follow a sequential demand are foreseen, so many at most. */
#define AHEAD_WPAGES 8

#define ROOM_WPAGES (FL__AHEAD_BYTES / FL_WPAGE_BYTES)

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

bool fl__ahead_next(struct fl__lazy *lazy, uint64_t *wpage)
{
	if (lazy->ahead < lazy->ahead_end) {
		*wpage = lazy->ahead++;
		return true;
	}
	if (!lazy->is_shown ||
	    !fl__workset_next(&lazy->image->set, &lazy->set_at, wpage))
		return false;
	lazy->set_begun++;
	return true;
}

/* Pages that were asked for and are not being loaded yet. */
static uint64_t asked_wpages(const struct fl__lazy *lazy)
{
	return lazy->set_asked > lazy->set_begun ?
		       lazy->set_asked - lazy->set_begun :
		       0;
}

bool fl__ahead_wants(const struct fl__lazy *lazy)
{
	uint64_t most = lazy->is_going ? ROOM_WPAGES - 1 : ROOM_WPAGES / 2;

	return lazy->is_shown && lazy->can_ask && asked_wpages(lazy) <= most;
}

bool fl__ahead_ask(struct fl__lazy *lazy, uint64_t *off, uint64_t *len)
{
	const struct fl__workset *set = &lazy->image->set;
	uint64_t at, wpage, room;

	lazy->is_going = fl__ahead_wants(lazy);
	if (!lazy->is_going)
		return false;
	/* The loads went past what was asked for. */
	if (lazy->ask_at < lazy->set_at) {
		lazy->ask_at = lazy->set_at;
		lazy->set_asked = lazy->set_begun;
	}
	room = fl_min_u64(ROOM_WPAGES - asked_wpages(lazy),
			  FL__AHEAD_RUN_BYTES / FL_WPAGE_BYTES);
	*off = *len = 0;
	at = lazy->ask_at;
	for (; room && fl__workset_next(set, &at, &wpage); room--) {
		const struct fl__toc_entry *entry =
			&set->toc->entries[set->first_entry + at - 1];

		if (!*len)
			*off = entry->file_off;
		else if (entry->file_off != *off + *len)
			break;
		*len += entry->stored_bytes;
		lazy->ask_at = at;
		lazy->set_asked++;
	}
	/* The end of the set. */
	lazy->can_ask = *len;
	return *len;
}
