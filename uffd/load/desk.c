/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* desk.c - loads from their beginning to their end; see desk.h. */
#include "desk.h"
#include "ahead.h"
#include "large.h"
#include "slots/stats.h"
#include "uffd/uffd.h"
#include "waiters.h"

void fl__desk_watch_locked(const struct fl__desk *desk, uint64_t deadline_ns)
{
	if (deadline_ns < desk->watched_ns)
		fl__desk_ring(desk);
}

/* A page of the image is to be read. */
static void reader_call(struct fl__desk *desk, const struct fl_image *image)
{
	switch (image->lazy->reader) {
	case FL__READER_RING:
		fl__desk_ring(desk);
		return;
	case FL__READER_CALLER:
		fl__os_cond_signal(&desk->caller);
		return;
	default:
		fl__os_cond_signal(&desk->filler);
	}
}

/* ------------------------------------------------------------------ places */

/* The first slot that shows an image begins to load the image's set. */
static void set_begin(struct fl__desk *desk, struct fl__lazy *lazy)
{
	if (lazy->is_shown)
		return;
	lazy->is_shown = desk->may_ask = true;
	fl__os_cond_broadcast(&desk->filler);
	fl__os_cond_broadcast(&desk->caller);
	fl__desk_ring(desk);
}

int fl__desk_add_place(struct fl__desk *desk, uint64_t start, uint64_t end,
		       struct fl_image *image, struct fl__space *space)
{
	const struct fl__place place = { start, end, image, space };
	int err;

	fl__os_lock(&desk->lock);
	err = fl__places_add(&desk->places, &place);
	if (!err)
		set_begin(desk, image->lazy);
	fl__os_unlock(&desk->lock);
	return err;
}

void fl__desk_leave(struct fl__desk *desk, const struct fl__space *space)
{
	fl__os_lock(&desk->lock);
	fl__waiters_leave(desk, space);
	fl__os_unlock(&desk->lock);
}

void fl__desk_drop_space(struct fl__desk *desk, const struct fl__space *space,
			 uint64_t end)
{
	fl__os_lock(&desk->lock);
	fl__waiters_leave(desk, space);
	fl__places_drop(&desk->places, space, (uintptr_t)space->base, end);
	fl__os_unlock(&desk->lock);
}

/* ------------------------------------------------------------------- loads */

struct fl__load *fl__desk_find_locked(struct fl__desk *desk,
				      const struct fl_image *image,
				      uint64_t wpage, struct fl__part part)
{
	uint32_t wanted = fl__part_mask(part);

	for (uint32_t i = 0; i < FL__DESK_LOADS; i++) {
		struct fl__load *load = &desk->loads[i];

		if (fl__load_is_of(load, image, wpage) && !load->is_left &&
		    !(wanted & ~fl__part_mask(load->part)))
			return load;
	}
	return NULL;
}

static bool is_lent_but_by(const struct fl__desk *desk,
			   const struct fl_image *image, uint64_t wpage,
			   struct fl__part part, const struct fl__load *but)
{
	uint32_t wanted = fl__part_mask(part);

	if (!image->lazy->is_continue)
		return false;
	for (uint32_t i = 0; i < FL__DESK_LOADS; i++) {
		const struct fl__load *load = &desk->loads[i];

		if (load != but && fl__load_is_of(load, image, wpage) &&
		    wanted & fl__part_mask(load->part))
			return true;
	}
	return false;
}

bool fl__desk_is_lent_locked(const struct fl__desk *desk,
			     const struct fl_image *image, uint64_t wpage,
			     struct fl__part part)
{
	return is_lent_but_by(desk, image, wpage, part, NULL);
}

struct fl__load *fl__desk_begin_locked(struct fl__desk *desk,
				       struct fl_image *image, uint64_t wpage,
				       struct fl__part part,
				       uint64_t deadline_ns, bool is_foreseen)
{
	const struct fl__toc *toc = &image->origin->toc;
	struct fl__load *load = desk->loads;

	while (load->state != FL__LOAD_FREE || load->users) {
		if (++load == desk->loads + FL__DESK_LOADS)
			return NULL;
	}
	load->image = image;
	load->asked = image->origin->pages;
	load->waiters = NULL;
	load->wpage = wpage;
	load->part = part;
	load->is_zero =
		!fl__toc_find(toc, image->origin_idx, wpage, &load->entry_idx);
	load->deadline_ns = deadline_ns;
	load->begin_ns = fl__os_now_ns();
	load->is_foreseen = is_foreseen;
	image->lazy->foreseen_count += is_foreseen;
	fl__stats_add(image->loads, FL__LOADS_loads_begun, 1);
	if (is_foreseen)
		fl__stats_add(image->loads, FL__LOADS_foreseen_begun, 1);
	load->got_bytes = 0;
	load->order = ++desk->order;
	load->is_demand = load->is_left = false;
	load->is_to_cancel = load->is_told = false;
	load->state = FL__LOAD_QUEUED;
	desk->taken_count++;
	return load;
}

/* A load of what is foreseen has ended: is there room for several? Each call wakes a
 * thread. But a source of the host may be far away: there as many reads as may be are under
 * way. */
static void foreseen_end(struct fl__desk *desk, struct fl_image *image)
{
	struct fl__lazy *lazy = image->lazy;

	lazy->foreseen_count--;
	if (!lazy->is_short ||
	    (lazy->reader != FL__READER_CALLER &&
	     lazy->foreseen_count > fl__desk_foreseen_max(lazy) / 2))
		return;
	lazy->is_short = false;
	reader_call(desk, image);
}

static void load_free(struct fl__desk *desk, struct fl__load *load)
{
	struct fl_image *image = load->image;
	struct fl__stats *loads = image ? image->loads : NULL;

	fl__stats_add(loads, FL__LOADS_loads_ended, 1);
	if (loads)
		fl__stats_end(loads, FL__LOADS_TIMES_load, load->begin_ns);
	load->state = FL__LOAD_FREE;
	load->image = NULL;
	load->is_to_cancel = false;
	desk->taken_count--;
	fl__os_cond_broadcast(&desk->answered);
	if (desk->may_collapse && !desk->taken_count)
		fl__os_cond_signal(&desk->filler);
	if (image && load->is_foreseen)
		foreseen_end(desk, image);
	if (desk->is_short || desk->unserved)
		fl__desk_ring(desk);
	if (desk->is_short)
		fl__os_cond_signal(&desk->caller);
	desk->is_short = false;
	/* The last answer that was owed may come when no image is left. */
	if (!desk->images && !desk->taken_count)
		fl__buffers_rest(&desk->buffers);
}

static void load_answer(struct fl__desk *desk, struct fl__load *load, int err)
{
	struct fl__waiter *waiter = load->waiters, *next;

	load->waiters = NULL;
	for (; waiter; waiter = next) {
		next = waiter->next;
		fl__waiter_answer(desk, waiter,
				  fl__waiter_is_served(waiter) ? 0 : err);
	}
}

/* What a load brought may be what others wait for: a page is loaded beside a part
 * of it. */
static void others_answer(struct fl__desk *desk, const struct fl__load *done)
{
	for (uint32_t i = 0; i < FL__DESK_LOADS; i++) {
		struct fl__load *load = &desk->loads[i];

		if (load != done &&
		    fl__load_is_of(load, done->image, done->wpage))
			fl__waiters_serve(desk, &load->waiters);
	}
}

static void failure_count(const struct fl_image *image)
{
	__atomic_add_fetch(&image->lazy->failed_count, 1, __ATOMIC_RELAXED);
	fl__stats_add(image->loads, FL__LOADS_loads_failed, 1);
}

/* Of a load whose time is over. Its buffer is lent until the source answers. */
static void load_leave(struct fl__desk *desk, struct fl__load *load, int err)
{
	failure_count(load->image);
	load_answer(desk, load, err);
	if (load->state == FL__LOAD_QUEUED) {
		load_free(desk, load);
		return;
	}
	load->is_left = true;
	if (load->state == FL__LOAD_READING && !load->users) {
		load->is_to_cancel = true;
		reader_call(desk, load->image);
	}
}

void fl__desk_end_locked(struct fl__desk *desk, struct fl__load *load, int err)
{
	if (!err && !load->is_zero && fl__part_is_whole(load->part) &&
	    fl__lazy_set_loaded(load->image, load->entry_idx,
				!load->is_foreseen ? FL__PAGE_ASKED :
				load->is_demand	   ? FL__PAGE_USED :
						     FL__PAGE_FORESEEN))
		desk->may_collapse |=
			fl__large_count(load->image->lazy, load->wpage);
	if (err && !load->is_left)
		failure_count(load->image);
	load_answer(desk, load, err);
	if (!err)
		others_answer(desk, load);
	load_free(desk, load);
}

void fl__desk_put_locked(struct fl__desk *desk, struct fl__load *load)
{
	load->users--;
	/* Past its deadline while a thread was starting its read. */
	if (load->is_left && load->state == FL__LOAD_READING && !load->users &&
	    load->image && !load->is_told) {
		load->is_to_cancel = true;
		reader_call(desk, load->image);
	}
	/* What was next came before this thread let go of the load. */
	if (load->state == FL__LOAD_ANSWERED && !load->users)
		fl__os_cond_signal(&desk->filler);
	if (load->state == FL__LOAD_QUEUED && !load->users)
		reader_call(desk, load->image);
	fl__os_cond_broadcast(&desk->answered);
}

void fl__desk_again_locked(struct fl__desk *desk, struct fl__load *load)
{
	load->state = FL__LOAD_QUEUED;
	reader_call(desk, load->image);
}

/* The page is being loaded by another, who answers from here on. */
static void load_hand_over(struct fl__desk *desk, struct fl__load *load,
			   struct fl__load *to)
{
	struct fl__waiter **link = &to->waiters;

	while (*link)
		link = &(*link)->next;
	*link = load->waiters;
	load->waiters = NULL;
	to->is_demand |= load->is_demand;
	load_free(desk, load);
}

/* Other blocks of the page are on their way: whoever waits gets the page later. */
static void load_put_back(struct fl__desk *desk, struct fl__load *load)
{
	struct fl__waiter *waiter = load->waiters, *next;

	load->waiters = NULL;
	for (; waiter; waiter = next) {
		next = waiter->next;
		waiter->part = FL__PART_WHOLE;
		fl__waiters_wait(desk, waiter);
	}
	load_free(desk, load);
}

void fl__desk_widen_locked(struct fl__desk *desk, struct fl__load *load)
{
	struct fl__load *whole = fl__desk_find_locked(
		desk, load->image, load->wpage, FL__PART_WHOLE);

	if (fl__lazy_has_part(load->image, load->entry_idx, load->part)) {
		fl__desk_end_locked(desk, load, 0);
		return;
	}
	/* Nobody waits for it. */
	if (load->is_left) {
		fl__desk_end_locked(desk, load, -ETIMEDOUT);
		return;
	}
	if (whole) {
		load_hand_over(desk, load, whole);
		return;
	}
	if (is_lent_but_by(desk, load->image, load->wpage, FL__PART_WHOLE,
			   load)) {
		load_put_back(desk, load);
		return;
	}
	load->part = FL__PART_WHOLE;
	load->got_bytes = 0;
	fl__desk_again_locked(desk, load);
}

/* ------------------------------------------------------------------- asking */

/* Whoever waits for pages of a source has at most twice the loads that are free: one that
 * never answers leaves a third of the loads to others, and the next one a third of
 * these. What is foreseen has a limit of its own. */
static bool has_share(const struct fl__desk *desk, const struct fl_image *image)
{
	uint32_t own = 0;

	for (uint32_t i = 0; i < FL__DESK_LOADS; i++) {
		own += desk->loads[i].state != FL__LOAD_FREE &&
		       !desk->loads[i].is_foreseen &&
		       desk->loads[i].asked == image->origin->pages;
	}
	return own < 2 * (FL__DESK_LOADS - desk->taken_count);
}

/* True: the waiter is served, or joins a load. */
static bool waiter_join(struct fl__desk *desk, struct fl__waiter *waiter)
{
	struct fl_image *image = waiter->image;
	struct fl__load *load;

	if (fl__waiter_is_served(waiter)) {
		fl__waiter_answer(desk, waiter, 0);
		return true;
	}
	load = fl__desk_find_locked(desk, image, waiter->wpage, waiter->part);
	if (!load && has_share(desk, image) &&
	    !fl__desk_is_lent_locked(desk, image, waiter->wpage, waiter->part))
		load = fl__desk_begin_locked(desk, image, waiter->wpage,
					     waiter->part, waiter->deadline_ns,
					     false);
	if (!load)
		return false;
	load->is_demand = true;
	waiter->next = load->waiters;
	load->waiters = waiter;
	if (load->state != FL__LOAD_QUEUED)
		return true;
	if (load->is_zero)
		fl__os_cond_signal(&desk->filler);
	else
		reader_call(desk, image);
	return true;
}

static void waiter_ask(struct fl__desk *desk, struct fl__waiter *waiter,
		       struct fl_image *image, uint64_t wpage,
		       struct fl__part part)
{
	uint64_t now = fl__os_now_ns();

	waiter->begin_ns = now;
	fl__stats_add(image->loads, FL__LOADS_waits_begun, 1);
	waiter->image = image;
	waiter->wpage = wpage;
	waiter->part = part;
	if (fl_add_overflow(now, image->origin->deadline_ns,
			    &waiter->deadline_ns))
		waiter->deadline_ns = UINT64_MAX;
	/* What the set foresees says nothing of what follows. */
	if (fl__part_is_whole(part))
		fl__ahead_demand(image->lazy, wpage);
	if (waiter_join(desk, waiter))
		return;
	fl__waiters_wait(desk, waiter);
	fl__desk_ring(desk);
}

/* What is loaded for a guest that waits for a block. One that then wants another block
 * faults again. */
static struct fl__part fault_part(struct fl_image *image, uint64_t wpage,
				  uint32_t block)
{
	uint64_t entry_idx;

	if (!fl__toc_find(&image->origin->toc, image->origin_idx, wpage,
			  &entry_idx))
		return FL__PART_WHOLE;
	fl__workset_wait(&image->set, entry_idx);
	return fl__workset_part_at(&image->set, entry_idx, block);
}

void fl__desk_fault_locked(struct fl__desk *desk, uint64_t addr)
{
	const struct fl__place *place = fl__places_at(&desk->places, addr);
	struct fl__waiter *waiter = desk->free_waiters;
	uint64_t off, wpage, page_start, start;
	uint32_t block;

	/* The slot has gone: the access that is tried again finds what is. */
	if (!place) {
		uint64_t hpage = fl__os_hpage_bytes();

		fl__uffd_wake(desk->uffd_fd, fl_round_down(addr, hpage), hpage);
		return;
	}
	off = addr - (uintptr_t)place->space->base;
	wpage = off / FL_WPAGE_BYTES;
	block = (uint32_t)(off % FL_WPAGE_BYTES / FL__PAGE_BLOCK_BYTES);
	page_start = (uintptr_t)place->space->base + wpage * FL_WPAGE_BYTES;
	start = fl_max_u64(page_start, place->start);
	if (fl__waiters_have(desk, place, wpage, start, block))
		return;
	desk->free_waiters = waiter->next;
	desk->free_waiter_count--;
	waiter->space = place->space;
	waiter->err = 0;
	waiter->start = start;
	waiter->end = fl_min_u64(page_start + FL_WPAGE_BYTES, place->end);
	waiter_ask(desk, waiter, place->image, wpage,
		   fault_part(place->image, wpage, block));
}

int fl__desk_want(struct fl__desk *desk, struct fl_image *image, uint64_t wpage)
{
	fl__os_no_cancel();
	struct fl__waiter waiter = { .err = 0 };

	fl__os_lock(&desk->lock);
	waiter_ask(desk, &waiter, image, wpage, FL__PART_WHOLE);
	fl__desk_watch_locked(desk, waiter.deadline_ns);
	while (!waiter.is_answered)
		fl__os_cond_wait(&desk->answered, &desk->lock, UINT64_MAX, NULL,
				 NULL);
	fl__os_unlock(&desk->lock);
	return waiter.err;
}

/* -------------------------------------------------------------------- time */

static void unserved_tick(struct fl__desk *desk, struct fl__waiter *waiter,
			  uint64_t now)
{
	if (waiter->deadline_ns > now) {
		/* Lost already, and the slot could not be told so. */
		if (waiter->err || !waiter_join(desk, waiter))
			fl__waiters_wait(desk, waiter);
		return;
	}
	if (!waiter->err)
		failure_count(waiter->image);
	fl__waiter_answer(desk, waiter, waiter->err ? waiter->err : -ETIMEDOUT);
}

static uint64_t unserved_tick_all(struct fl__desk *desk, uint64_t now)
{
	struct fl__waiter *waiter = desk->unserved, *next;
	uint64_t first = UINT64_MAX;

	desk->unserved = NULL;
	for (; waiter; waiter = next) {
		next = waiter->next;
		unserved_tick(desk, waiter, now);
	}
	for (waiter = desk->unserved; waiter; waiter = waiter->next)
		first = fl_min_u64(first, waiter->deadline_ns);
	return first;
}

uint64_t fl__desk_tick_locked(struct fl__desk *desk)
{
	uint64_t now = fl__os_now_ns(), first;

	for (uint32_t i = 0; i < FL__DESK_LOADS; i++) {
		struct fl__load *load = &desk->loads[i];

		if (load->state != FL__LOAD_FREE && load->image &&
		    !load->is_left && load->deadline_ns <= now)
			load_leave(desk, load, -ETIMEDOUT);
	}
	first = unserved_tick_all(desk, now);
	for (uint32_t i = 0; i < FL__DESK_LOADS; i++) {
		const struct fl__load *load = &desk->loads[i];

		if (load->state != FL__LOAD_FREE && load->image &&
		    !load->is_left)
			first = fl_min_u64(first, load->deadline_ns);
	}
	desk->watched_ns = first;
	return first;
}

/* ---------------------------------------------------------------- the end */

/* A load of the image that still needs something: to be freed, to be waited for,
 * or to have its source told. */
static struct fl__load *load_of(struct fl__desk *desk,
				const struct fl_image *image)
{
	for (uint32_t i = 0; i < FL__DESK_LOADS; i++) {
		if (desk->loads[i].state != FL__LOAD_FREE &&
		    desk->loads[i].image == image)
			return &desk->loads[i];
	}
	return NULL;
}

void fl__desk_add_image(struct fl__desk *desk, struct fl_image *image)
{
	fl__os_lock(&desk->lock);
	image->lazy->image = image;
	image->lazy->next = desk->images;
	desk->images = image->lazy;
	fl__os_unlock(&desk->lock);
}

void fl__desk_drop_image(struct fl__desk *desk, struct fl_image *image)
{
	fl__os_no_cancel();
	struct fl_page_source *pages = image->origin->pages;
	struct fl__lazy **link = &desk->images;
	struct fl__load *load;

	fl__os_lock(&desk->lock);
	fl_assert_full(!fl__places_show(&desk->places, image));
	while (*link != image->lazy)
		link = &(*link)->next;
	*link = image->lazy->next;
	while (image->lazy->holders)
		fl__os_cond_wait(&desk->answered, &desk->lock, UINT64_MAX, NULL,
				 NULL);
	while ((load = load_of(desk, image))) {
		/* A thread may be starting the read. */
		uint64_t ticket =
			__atomic_load_n(&load->read.ticket, __ATOMIC_RELAXED);

		if (load->users) {
			fl__os_cond_wait(&desk->answered, &desk->lock,
					 UINT64_MAX, NULL, NULL);
			continue;
		}
		if (load->state != FL__LOAD_READING) {
			load_free(desk, load);
			continue;
		}
		if (image->lazy->reader == FL__READER_RING) {
			/* The kernel writes to the buffer until it answers. */
			load->is_to_cancel = !load->is_told;
			fl__desk_ring(desk);
			fl__os_cond_wait(&desk->answered, &desk->lock,
					 UINT64_MAX, NULL, NULL);
			continue;
		}
		/* The source owes an answer, which nobody needs. */
		load->image = NULL;
		load->is_to_cancel = false;
		fl__os_unlock(&desk->lock);
		fl__page_source_cancel(pages, ticket);
		fl__os_lock(&desk->lock);
	}
	fl__os_unlock(&desk->lock);
}

static bool is_owed(const struct fl__desk *desk)
{
	for (uint32_t i = 0; i < FL__DESK_LOADS; i++) {
		if (desk->loads[i].state != FL__LOAD_FREE)
			return true;
	}
	return false;
}

void fl__desk_answer_locked(struct fl__desk *desk, struct fl__load *load,
			    int64_t result)
{
	load->result = result;
	load->state = FL__LOAD_ANSWERED;
	fl__os_cond_signal(&desk->filler);
	fl__os_cond_broadcast(&desk->answered);
}

bool fl__desk_answer(struct fl__desk *desk, struct fl__load *load,
		     int64_t result)
{
	bool is_over = false;

	fl__os_lock(&desk->lock);
	if (load->image) {
		fl__desk_answer_locked(desk, load, result);
	} else {
		load_free(desk, load);
		is_over = desk->is_closed && !is_owed(desk);
	}
	fl__os_unlock(&desk->lock);
	return is_over;
}

bool fl__desk_close(struct fl__desk *desk)
{
	bool is_over;

	fl__os_lock(&desk->lock);
	desk->is_closed = true;
	is_over = !is_owed(desk);
	fl__os_unlock(&desk->lock);
	return is_over;
}
