/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* bank.c - take, attach; reset, audit, give; see bank.h. */
#include "bank.h"
#include "audit.h"
#include "bound.h"
#include "module/holes.h"

static int request_check(const struct fl__bank *bank,
			 const struct fl__request *request,
			 struct fl_error *error)
{
	const struct fl_image *image = request->image;
	const char *what = bank->kind->what;

	if (!image)
		return 0;
	if (image->context != bank->pool->context)
		return fl__error_set(
			error, -EINVAL,
			"the image was made with another context than the pool");
	if (image->map.trap)
		return fl__error_set_trap(
			error, image->map.trap,
			"data segment %zu is out of bounds of the %s's %llu bytes",
			image->map.trap_segment_idx, what,
			fl_llu(image->map.initial_bytes));
	if (image->map.data_end_bytes > request->initial_bytes)
		return fl__error_set(
			error, -EINVAL,
			"the %s starts with %llu bytes, but the image has content up to byte %llu",
			what, fl_llu(request->initial_bytes),
			fl_llu(image->map.data_end_bytes));
	return 0;
}

/* What a free slot keeps counts for the pool's budget. Without a budget nothing
 * is counted, because all threads would write the sum. */
void fl__slot_count(struct fl__slot *slot, uint64_t kept_bytes)
{
	struct fl_pool *pool = slot->bank->pool;

	if (pool->config.max_idle_bytes == UINT64_MAX)
		return;
	__atomic_add_fetch(&pool->idle_kept_bytes,
			   kept_bytes - slot->counted_bytes, __ATOMIC_RELAXED);
	slot->counted_bytes = kept_bytes;
}

/* Which words count a bank's slots. */
struct bank_words {
	enum fl__word released, refused, retired, open;
};

static const struct bank_words bank_words[FL__BANK_COUNT] = {
#define WORDS(plural)                                                         \
	{                                                                     \
		FL__WORD_##plural##_released, FL__WORD_##plural##_refused,    \
			FL__WORD_##plural##_retired, FL__WORD_##plural##_open \
	}
	[FL__BANK_MEMORY] = WORDS(memories),
	[FL__BANK_TABLE] = WORDS(tables),
	[FL__BANK_STRUCTURE] = WORDS(instances),
	[FL__BANK_STACK] = WORDS(stacks),
#undef WORDS
};

static const struct bank_words *words_of(const struct fl__bank *bank)
{
	return &bank_words[bank - bank->pool->banks];
}

void fl__slot_count_open(struct fl__slot *slot, bool is_open)
{
	if (slot->is_counted == is_open)
		return;
	slot->is_counted = is_open;
	fl__stats_add(slot->bank->pool->stats, words_of(slot->bank)->open,
		      is_open ? 1 : UINT64_MAX);
}

void fl__slot_count_retired(struct fl__slot *slot, int count)
{
	fl__stats_add(slot->bank->pool->stats, words_of(slot->bank)->retired,
		      (uint64_t)(int64_t)count);
}

/* Only the counting takes from these counts, so what is added meanwhile is
 * counted later. */
static uint32_t count_take(uint32_t *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED) ?
		       __atomic_exchange_n(count, 0, __ATOMIC_RELAXED) :
		       0;
}

void fl__slot_count_calls(struct fl__slot *slot)
{
	struct fl__stats *stats = slot->bank->pool->stats;

	/* Of a warm slot there are none, nearly always. */
	if (!__atomic_load_n(&slot->space.calls, __ATOMIC_RELAXED))
		return;
	fl__stats_add(stats, FL__WORD_system_calls,
		      count_take(&slot->space.calls));
	fl__stats_add(stats, FL__WORD_scans, count_take(&slot->space.scans));
}

/* The slot shows nothing any more. The image that the slot had. */
static struct fl_image *slot_forget(struct fl__slot *slot)
{
	struct fl__stats *stats = slot->bank->pool->stats;
	struct fl_image *image = slot->space.image;

	fl__stats_add(stats, FL__WORD_kept_bytes, -slot->space.kept_bytes);
	fl__stats_add(stats, FL__WORD_emptied, 1);
	fl__slot_count_calls(slot);
	fl__slot_count_open(slot, false);
	slot->space.image = NULL;
	slot->space.kept_bytes = 0;
	fl__slot_count(slot, 0);
	fl__slot_unbind(slot);
	slot->is_unclean = false;
	return image;
}

/* Empty the slot in any state and give it back; retire a slot that no tenant may
 * get again. A mapping that cannot be had now can be had later, so a slot that
 * could not be emptied is laid up. */
static int slot_clear(struct fl__slot *slot, bool may_return)
{
	const struct fl__backend *backend = slot->bank->backend;
	struct fl_image *image;
	int err = 0;

	/* What keeps no slots unmaps this one, emptied or not; what loads its
	 * pages knows the slot until then. */
	if (slot->source->calls->keeps_slots)
		err = backend->detach(slot->arena, &slot->space);
	else if (slot->space.is_lazy)
		(void)backend->detach(slot->arena, &slot->space);
	image = slot_forget(slot);
	if (err || !may_return) {
		fl__slot_count_retired(slot, 1);
		slot->source->calls->retire(slot, !may_return);
	} else {
		slot->source->calls->give(slot);
	}
	fl__image_unshow(image);
	fl_image_release(image);
	return err ? -ENOMEM : 0;
}

/* A slot of a bare kind is no backend's. */
static int slot_recall(struct fl__slot *slot)
{
	const struct fl__bank *bank = slot->bank;
	int err;

	if (bank->backend)
		return bank->backend->detach(slot->arena, &slot->space);
	fl__space_called(&slot->space, 1);
	err = fl__os_renew(slot->space.base, bank->geometry.max_bytes);
	if (!err)
		slot->space.is_open = false;
	return err;
}

bool fl__slot_trim(struct fl__slot *slot, struct fl_image **image)
{
	*image = NULL;
	/* A detach that fails leaves a clean slot clean. */
	if (slot_recall(slot)) {
		slot->source->calls->give(slot);
		return false;
	}
	*image = slot_forget(slot);
	slot->source->calls->give(slot);
	fl__image_unshow(*image);
	return true;
}

void fl__bank_recall(struct fl__bank *bank)
{
	const struct fl__source_calls *calls = bank->source->calls;
	struct fl__slot *slot;
	uint32_t from = 0;

	while (calls->take_laid_up &&
	       (slot = calls->take_laid_up(bank->source, &from))) {
		if (slot_recall(slot)) {
			/* What this slot lacks, the next will lack too. */
			slot->source->calls->retire(slot, false);
			return;
		}
		fl__slot_count_retired(slot, -1);
		slot->source->calls->give(slot);
	}
}

/* Of a slot of no bytes there is nothing to show and nothing to make clean. It is
 * handed out and given back like others, and would halve what an attach and a
 * reset seem to take. */
static bool slot_holds(const struct fl__slot *slot)
{
	return slot->geometry->max_bytes || slot->geometry->prefix_bytes;
}

/* See fl__stats_begin(). */
static uint64_t slot_begin(struct fl__stats *stats, const struct fl__slot *slot)
{
	return slot_holds(slot) ? fl__stats_begin(stats, fl__slot_turn(slot)) :
				  0;
}

/* All that a release counts, by one claim. */
static void count_reset(struct fl__slot *slot, struct fl__work *work,
			uint64_t kept_more_bytes, bool is_release, int err)
{
	struct fl__stats *stats = slot->bank->pool->stats;
	struct fl__shard *shard = fl__stats_claim(stats);

	if (is_release && slot->is_published)
		fl__shard_add(shard, words_of(slot->bank)->released, 1);
	slot->is_published &= !is_release;
	if (slot_holds(slot))
		fl__shard_add(shard,
			      err ? FL__WORD_resets_failed : FL__WORD_resets,
			      1);
	if (kept_more_bytes)
		fl__shard_add(shard, FL__WORD_kept_bytes, kept_more_bytes);
	if (work->restored) {
		fl__shard_add(shard, FL__WORD_pages_restored, work->restored);
		fl__shard_add(shard, FL__WORD_pages_compared, work->compared);
	}
	if (work->dropped)
		fl__shard_add(shard, FL__WORD_pages_dropped, work->dropped);
	if (work->protected)
		fl__shard_add(shard, FL__WORD_pages_protected, work->protected);
	if (work->sweeps)
		fl__shard_add(shard, FL__WORD_sweeps, work->sweeps);
	work->calls += count_take(&slot->space.calls);
	if (work->calls)
		fl__shard_add(shard, FL__WORD_system_calls, work->calls);
	work->scans += count_take(&slot->space.scans);
	if (work->scans)
		fl__shard_add(shard, FL__WORD_scans, work->scans);
	fl__stats_let_go(shard);
	if (work->scan_ns)
		fl__stats_time(stats, FL__TIMES_scan, work->scan_ns);
}

static int slot_reset(struct fl__slot *slot, bool is_release,
		      struct fl__taker *taker)
{
	struct fl__stats *stats = slot->bank->pool->stats;
	uint64_t kept_bytes = slot->space.kept_bytes;
	uint64_t start_ns = slot_begin(stats, slot);
	struct fl__work work = { .is_timed = start_ns != 0 };
	const struct fl__backend *backend = slot->bank->backend;
	int err = fl_unlikely(taker != NULL) ?
			  backend->reset_taking(slot->arena, &slot->space,
						&work, taker) :
			  backend->reset(slot->arena, &slot->space, &work);

	fl__stats_end(stats, FL__TIMES_reset, start_ns);
	if (stats)
		count_reset(slot, &work, slot->space.kept_bytes - kept_bytes,
			    is_release, err);
	return err;
}

/* A slot that shows more than its image gets the next tenant as any slot does
 * after a release: clean, or empty. */
static int slot_loosen(struct fl__slot *slot)
{
	struct fl_image *image;

	fl__slot_unbind(slot);
	if (!slot_reset(slot, false, NULL))
		return 0;
	if (slot_recall(slot))
		return -ENOMEM;
	image = slot_forget(slot);
	fl__image_unshow(image);
	fl_image_release(image);
	return 0;
}

/* Is the slot taken for what is bound to it? */
static bool slot_suits(const struct fl__slot *slot,
		       const struct fl__request *request)
{
	return fl__bound_serial(slot) == request->bound_serial &&
	       slot->space.image == request->image &&
	       slot->space.attached_bytes == request->initial_bytes &&
	       !request->is_lent;
}

/* The holes of an extent become memory of the slot. */
static int extent_fill(struct fl__slot *slot, const struct fl__run *extent)
{
	const struct fl__image_map *map = &slot->space.image->map;
	uint64_t at = extent->hpage_off * map->hpage_bytes;
	uint64_t end = fl_min_u64(at + extent->hpage_len * map->hpage_bytes,
				  fl_round_up(slot->space.attached_bytes,
					      map->hpage_bytes));
	struct fl__piece piece;
	int err = 0;

	for (; !err && fl__image_map_next_data(map, NULL, at, end, &piece);
	     at += piece.len)
		if (!piece.is_data)
			err = slot->bank->backend->prefault(slot->arena,
							    &slot->space,
							    piece.off,
							    piece.len);
	return err;
}

/* Where every byte is charged, a page of the image's storage for which nothing is
 * left would be a signal of whoever first reads it, and a call that reads a table
 * has no answer for it. */
static int slot_fill(struct fl__slot *slot)
{
	const struct fl_image *image = slot->space.image;
	int err = 0;

	if (!image || !slot->bank->kind->is_hosts ||
	    !slot->bank->pool->context->is_commit_strict)
		return 0;
	for (uint32_t i = 0; i < image->map.extent_count && !err; i++)
		err = extent_fill(slot, &image->map.extents[i]);
	return err;
}

static int slot_show(struct fl__slot *slot, const struct fl__request *request)
{
	int err = slot->bound ? slot_loosen(slot) : 0;

	if (err)
		return err;
	return slot->bank->backend->attach(slot->arena, &slot->space,
					   request->image,
					   request->initial_bytes);
}

int fl__slot_refused(const struct fl__slot *slot, const char *what, int err,
		     struct fl_error *error)
{
	const struct fl__kind *kind = slot->bank->kind;
	const char *remedy = fl__os_remedy(err);

	if (err != -ENOMEM)
		return fl__error_set(error, err,
				     "cannot map the %s of a %s: %s", what,
				     kind->what, fl_strerror(err));
	return fl__error_set(
		error, err,
		"cannot map the %s of a %s: %s; %s%sif vm.max_map_count is reached, raise it or lower max_%s",
		what, kind->what, fl_strerror(err), remedy ? remedy : "",
		remedy ? ", or " : "", kind->plural);
}

static int slot_attach(struct fl__slot *slot, const struct fl__request *request,
		       struct fl_error *error)
{
	struct fl__bank *bank = slot->bank;
	struct fl__stats *stats = bank->pool->stats;
	struct fl_image *old;
	uint64_t start_ns;
	int err;

	if (slot->bound && slot_suits(slot, request)) {
		fl__slot_count(slot, 0);
		return 0;
	}
	start_ns = slot_begin(stats, slot);
	err = slot_show(slot, request);
	old = slot->space.image;
	fl__stats_end(stats, FL__TIMES_attach, start_ns);
	fl__slot_count_open(slot, slot->space.is_open);
	fl__slot_count_calls(slot);
	if (!err && old != request->image) {
		if (request->image)
			fl_image_retain(request->image);
		fl__image_show(request->image);
		slot->space.image = request->image;
		fl__image_unshow(old);
		fl_image_release(old);
	}
	if (!err)
		err = slot_fill(slot);
	if (err) {
		err = fl__slot_refused(slot, "initial content", err, error);
		/* The old image may still be mapped in part. */
		(void)slot_clear(slot, true);
		return err;
	}
	fl__slot_count(slot, 0);
	__atomic_store_n(&slot->is_lent, request->is_lent, __ATOMIC_RELAXED);
	return 0;
}

void fl__bank_join(struct fl__bank *bank)
{
	/* The slots of a bare kind are not empty when they are free. */
	if (bank->backend && bank->geometry.max_bytes &&
	    bank->source->calls->join)
		bank->source->calls->join(bank->source);
}

/* Slots that are being trimmed are in use for a moment, and slots that are laid
 * up may be emptied by now. Neither must turn away a taker, and with the
 * trim_lock no slot is being trimmed. */
static int take_again(struct fl__bank *bank, const struct fl__request *requests,
		      uint32_t count, struct fl__slot **slots,
		      struct fl_error *error)
{
	struct fl__os_lock *trim_lock = &bank->pool->trim_lock;
	const struct fl__os_wait no_wait = { 0 };
	int err;

	fl__os_lock(trim_lock);
	fl__bank_recall(bank);
	err = bank->source->calls->take(bank->source, requests, count, &no_wait,
					slots, error);
	fl__os_unlock(trim_lock);
	return err;
}

/* Whoever is told that there is no slot is told when there is one. */
static int take_or_arm(struct fl__bank *bank,
		       const struct fl__request *requests, uint32_t count,
		       int event_fd, struct fl__slot **slots,
		       struct fl_error *error)
{
	const struct fl__os_wait no_wait = { 0 };
	struct fl__source *source = bank->source;
	int err;

	source->calls->arm(source, event_fd);
	err = source->calls->take(source, requests, count, &no_wait, slots,
				  error);
	if (err != -EAGAIN)
		source->calls->disarm(source);
	return err;
}

int fl__bank_take_slots(struct fl__bank *bank,
			const struct fl__request *requests, uint32_t count,
			const struct fl__os_wait *wait, struct fl__slot **slots,
			struct fl_error *error)
{
	const struct fl__source_calls *calls = bank->source->calls;
	const struct fl__os_wait no_wait = { 0 };
	int err = calls->take(bank->source, requests, count, &no_wait, slots,
			      error);
	int event_fd;

	if (err == -EAGAIN)
		err = take_again(bank, requests, count, slots, error);
	if (err == -EAGAIN && wait->timeout_ns)
		err = calls->take(bank->source, requests, count, wait, slots,
				  error);
	/* Slots may have been laid up meanwhile. */
	if (err == -EAGAIN && wait->timeout_ns)
		err = take_again(bank, requests, count, slots, error);
	event_fd = __atomic_load_n(&bank->pool->event_fd, __ATOMIC_RELAXED);
	if (fl_unlikely(err == -EAGAIN && event_fd >= 0 && calls->arm))
		err = take_or_arm(bank, requests, count, event_fd, slots,
				  error);
	return err;
}

void fl__bank_refuse(struct fl__bank *bank)
{
	__atomic_add_fetch(&bank->refused, 1, __ATOMIC_RELAXED);
	fl__stats_add(bank->pool->stats, words_of(bank)->refused, 1);
}

int fl__bank_take(struct fl__bank *bank, const struct fl__request *requests,
		  uint32_t count, const struct fl__os_wait *wait,
		  struct fl__slot **slots, struct fl_error *error)
{
	int err = 0;

	fl_assert(count <= FL__TAKE_MAX);
	for (uint32_t i = 0; i < count && !err; i++)
		err = request_check(bank, &requests[i], error);
	if (err || !count)
		return err;
	err = fl__bank_take_slots(bank, requests, count, wait, slots, error);
	for (uint32_t i = 0; i < count && !err; i++) {
		err = slot_attach(slots[i], &requests[i], error);
		if (!err)
			continue;
		/* Slots after i are not attached; slot i is given already. */
		for (uint32_t j = i + 1; j < count; j++)
			slots[j]->source->calls->give(slots[j]);
		while (i--)
			(void)fl__slot_give(slots[i], 0);
		break;
	}
	if (err)
		fl__bank_refuse(bank);
	return err;
}

struct fl__slot *fl__bank_take_warm(struct fl__bank *bank, uint64_t serial)
{
	if (!bank->source->calls->take_warm)
		return NULL;
	return bank->source->calls->take_warm(bank->source, serial);
}

/* Empty warm slots until the pool keeps no more than its budget, beginning with
 * the bank that a slot has just come back to. */
static void pool_keep_budget(struct fl_pool *pool, struct fl__bank *bank)
{
	uint64_t budget = pool->config.max_idle_bytes;
	int left = FL__BANK_COUNT;

	fl__os_lock(&pool->trim_lock);
	while (left && __atomic_load_n(&pool->idle_kept_bytes,
				       __ATOMIC_RELAXED) > budget) {
		struct fl__slot *slot = fl__bank_take_warm(bank, 0);
		struct fl_image *image;

		if (slot && fl__slot_trim(slot, &image)) {
			fl__os_unlock(&pool->trim_lock);
			fl_image_release(image);
			fl__os_lock(&pool->trim_lock);
			continue;
		}
		bank = bank + 1 < pool->banks + FL__BANK_COUNT ? bank + 1 :
								 pool->banks;
		left--;
	}
	fl__os_unlock(&pool->trim_lock);
}

/* Give a clean slot back, and keep the pool within its budget. What guests made
 * of holes of the image is all slots' that show it; each counts all of it, so
 * that the budgets hold whichever slots go. */
void fl__slot_shelve(struct fl__slot *slot)
{
	struct fl__bank *bank = slot->bank;
	struct fl_pool *pool = bank->pool;

	if (slot->space.image && fl_unlikely(slot->space.image->has_holes)) {
		slot->space.kept_bytes += fl__image_filled(slot->space.image);
		if (slot->space.kept_bytes > slot->geometry->max_kept_bytes) {
			(void)slot_clear(slot, true);
			return;
		}
	}
	fl__slot_count(slot, slot->space.kept_bytes);
	slot->source->calls->give(slot);
	if (__atomic_load_n(&pool->idle_kept_bytes, __ATOMIC_RELAXED) >
	    pool->config.max_idle_bytes)
		pool_keep_budget(pool, bank);
}

/* The slot was reset, and the pool wants audits. */
static int slot_audit(struct fl__slot *slot, uint64_t used_bytes)
{
	enum fl__audit_verdict verdict = fl__audit(slot, used_bytes);
	int err = 0;

	/* No tenant may ever see what is in a dirty slot. */
	if (verdict == FL__AUDIT_CLEAN)
		fl__slot_shelve(slot);
	else
		err = slot_clear(slot, verdict != FL__AUDIT_DIRTY);
	return verdict == FL__AUDIT_DIRTY ? -EIO : err;
}

/* The reset failed, and nobody gets the slot before it is mapped anew. That the
 * file of an image cannot be read any more, the host has to know. Of a slot that
 * was torn before, it knows. */
static int slot_fail(struct fl__slot *slot, int err)
{
	const struct fl_image *image = slot->space.image;
	bool is_lost = err == -EIO && !slot->space.is_torn && image &&
		       fl__image_is_in_place(image);

	err = slot_clear(slot, true);
	return is_lost ? -EIO : err;
}

void fl__slot_count_release(struct fl__slot *slot)
{
	if (slot->is_published)
		fl__stats_add(slot->bank->pool->stats,
			      words_of(slot->bank)->released, 1);
	slot->is_published = false;
}

/* The slot goes back with what is bound to it, and nothing else. An audit compares
 * with the image. */
static bool slot_stays_bound(struct fl__slot *slot, bool is_audited)
{
	struct fl__stats *stats = slot->bank->pool->stats;
	uint64_t kept_bytes = fl__bound_kept_bytes(slot);

	if (is_audited) {
		fl__slot_unbind(slot);
		return false;
	}
	fl__bound_bring_back(slot);
	fl__stats_add(stats, FL__WORD_kept_bytes,
		      kept_bytes - slot->space.kept_bytes);
	slot->space.kept_bytes = kept_bytes;
	fl__slot_count_release(slot);
	fl__slot_shelve(slot);
	return true;
}

bool fl__slot_can_settle(const struct fl__slot *slot)
{
	const struct fl_image *image = slot->space.image;

	return slot->bank->backend->reset_taking && !slot->bound &&
	       slot->source->calls->keeps_slots && !slot->is_unclean &&
	       !__atomic_load_n(&slot->is_lent, __ATOMIC_RELAXED) &&
	       !(image && fl__image_is_fetched(image));
}

int fl__slot_settle(struct fl__slot *slot, struct fl__taker *taker)
{
	slot->is_settled = true;
	slot->settle_error = slot_reset(slot, true, taker);
	return slot->settle_error;
}

int fl__slot_give(struct fl__slot *slot, uint64_t used_bytes)
{
	struct fl_pool *pool = slot->bank->pool;
	bool is_settled = slot->is_settled;
	bool is_audited;
	int err;

	/* Whatever becomes of the slot, the next tenant's reset is its own. */
	slot->is_settled = false;
	__atomic_store_n(&slot->state, FL__SLOT_FREE, __ATOMIC_RELEASE);
	__atomic_store_n(&slot->instance, NULL, __ATOMIC_RELAXED);
	if (fl_unlikely(slot->is_unclean)) {
		fl__slot_count_release(slot);
		(void)slot_clear(slot, false);
		return -EIO;
	}
	/* A slot that no tenant gets again need not be clean. A holder of a
	 * lent page keeps that page, and the slot gets other pages. */
	if (!slot->source->calls->keeps_slots ||
	    __atomic_load_n(&slot->is_lent, __ATOMIC_RELAXED)) {
		fl__slot_count_release(slot);
		return slot_clear(slot, true);
	}
	is_audited = fl_unlikely(pool->config.audit_every) &&
		     fl__audit_is_due(pool);
	if (slot->bound && slot_stays_bound(slot, is_audited))
		return 0;
	err = fl_unlikely(is_settled) ? slot->settle_error :
					slot_reset(slot, true, NULL);
	if (err)
		return slot_fail(slot, err);
	if (is_audited)
		return slot_audit(slot, used_bytes);
	fl__slot_shelve(slot);
	return 0;
}

int fl__slot_shut(struct fl__slot *slot)
{
	uint64_t prefix = slot->geometry->prefix_bytes;

	fl__space_called(&slot->space, 1);
	return fl__os_deny(slot->space.base - prefix,
			   prefix + slot->geometry->max_bytes);
}

/* New memory for a live slot. No reset believes what is left of a slot for which
 * there is none. A detach that fails leaves no fault answered: where that could
 * keep the tenant waiting, the slot is shut first, or not detached. */
static int slot_renew(struct fl__slot *slot)
{
	const struct fl__backend *backend = slot->bank->backend;
	uint64_t bytes = slot->space.attached_bytes;
	int err = slot->space.is_lazy ? fl__slot_shut(slot) : 0;

	if (!err) {
		err = backend->detach(slot->arena, &slot->space);
		fl__stats_add(slot->bank->pool->stats, FL__WORD_kept_bytes,
			      -slot->space.kept_bytes);
		slot->space.kept_bytes = 0;
	}
	if (!err)
		err = backend->attach(slot->arena, &slot->space,
				      slot->space.image, bytes);
	if (!err)
		err = slot_fill(slot);
	slot->space.is_torn |= err != 0;
	fl__slot_count_calls(slot);
	return err;
}

int fl__slot_restart(struct fl__slot *slot, uint64_t used_bytes)
{
	const struct fl__backend *backend = slot->bank->backend;
	enum fl__audit_verdict verdict = FL__AUDIT_CLEAN;
	struct fl_pool *pool = slot->bank->pool;

	fl__slot_unbind(slot);
	if (!slot->source->calls->keeps_slots ||
	    __atomic_load_n(&slot->is_lent, __ATOMIC_RELAXED) ||
	    slot_reset(slot, false, NULL))
		return slot_renew(slot);
	if (fl_unlikely(pool->config.audit_every) && fl__audit_is_due(pool))
		verdict = fl__audit(slot, used_bytes);
	if (verdict == FL__AUDIT_DIRTY) {
		slot->is_unclean = true;
		return -EIO;
	}
	if (verdict == FL__AUDIT_UNSURE ||
	    backend->attach(slot->arena, &slot->space, slot->space.image,
			    slot->space.attached_bytes) ||
	    slot_fill(slot))
		return slot_renew(slot);
	return 0;
}

int fl__bank_open(struct fl__bank *bank, struct fl_pool *pool,
		  const struct fl__kind *kind,
		  const struct fl__geometry *geometry, struct fl_error *error)
{
	int err = 0;

	bank->pool = pool;
	bank->kind = kind;
	bank->backend = kind->is_bare ? NULL : pool->context->backend;
	bank->geometry = *geometry;
	bank->geometry.reservation = pool->reservation;
	if (kind->open)
		err = kind->open(bank, error);
	return err ? err : pool->source->open(bank, &bank->source, error);
}

void fl__bank_close(struct fl__bank *bank)
{
	if (bank->source)
		bank->source->calls->close(bank->source);
	if (bank->kind && bank->kind->close)
		bank->kind->close(bank);
}
