/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* taking.c - gathering, securing room, taking lines; see taking.h. */
#include "taking.h"
#include "base/copy.h"

#include <stdlib.h>

#define STEP_BYTES 4096u

int fl__taking_begin(struct fl__taking *taking, struct fl_snapshot *snapshot,
		     uint32_t instance_count, const uint8_t *tag, void *buffer,
		     uint64_t buffer_bytes, bool is_end, struct fl_error *error)
{
	/* Field by field: the first slots and runs are large. */
	taking->snapshot = snapshot;
	taking->instance_count = instance_count;
	taking->tag = tag;
	taking->buffer = buffer;
	taking->buffer_bytes = buffer_bytes;
	taking->delta = NULL;
	taking->is_end = taking->is_one_pass = is_end;
	taking->slots = taking->first_slots;
	taking->slot_count = 0;
	taking->slot_room = FL__TAKING_SLOTS;
	fl__delta_bound_begin(&taking->bound, snapshot->encoding,
			      instance_count);
	return fl_snapshot_digest(snapshot, taking->digest, error);
}

void fl__taking_fini(struct fl__taking *taking)
{
	for (uint32_t i = 0; i < taking->slot_count; i++) {
		if (taking->slots[i].runs != taking->first_runs)
			free(taking->slots[i].runs);
	}
	if (taking->slots != taking->first_slots)
		free(taking->slots);
	free(taking->delta);
}

/* ---------------------------------------------------------------- gathering */

/* Room for one more in an array that began as `first` and is the heap's when it
 * has grown. NULL: no memory. */
static void *array_grow(void *items, const void *first, uint64_t room,
			size_t size)
{
	void *grown = items == first ?
			      malloc((size_t)(2 * room) * size) :
			      realloc(items, (size_t)(2 * room) * size);

	if (grown && items == first)
		memcpy(grown, first, (size_t)room * size);
	return grown;
}

struct gathering {
	struct fl__taken_slot *taken;
	const struct fl_memory_run *first;
};

static int run_add(struct gathering *gathering, uint64_t off, uint64_t len)
{
	struct fl__taken_slot *taken = gathering->taken;

	if (taken->run_count == taken->room) {
		uint64_t room = taken->room ? taken->room : 32;
		void *grown = array_grow(taken->runs, gathering->first, room,
					 sizeof(*taken->runs));

		if (!grown)
			return -ENOMEM;
		taken->runs = grown;
		taken->room = 2 * room;
	}
	taken->runs[taken->run_count++] = (struct fl_memory_run){ off, len };
	return 0;
}

static int on_written(void *user, uint64_t off, uint64_t len)
{
	struct gathering *gathering = user;
	struct fl__taken_slot *taken = gathering->taken;
	struct fl_memory_run *last =
		taken->run_count ? &taken->runs[taken->run_count - 1] : NULL;
	bool is_next = last && last->offset_bytes + last->length_bytes == off;

	if (off < taken->length_bytes) {
		taken->bytes += fl_min_u64(len, taken->length_bytes - off);
		taken->stretches += !is_next;
	}
	if (!is_next)
		return run_add(gathering, off, len);
	last->length_bytes += len;
	return 0;
}

/* What a reset is to bring back may lie beyond the length. */
static int slot_gather(struct fl__taking *taking, struct fl__taken_slot *taken)
{
	struct fl__slot *slot = taken->slot;
	const struct fl__backend *backend = slot->bank->backend;
	struct gathering gathering = { taken, taking->first_runs };
	uint64_t size_bytes = taking->is_one_pass && !taken->stays ?
				      slot->space.allowed_bytes :
				      taken->length_bytes;
	int err = backend->written ? backend->written(slot->arena, &slot->space,
						      size_bytes, false,
						      on_written, &gathering) :
				     -ENOTSUP;

	if (err != -ENOTSUP)
		return err;
	taking->is_one_pass = false;
	taken->run_count = taken->bytes = taken->stretches = 0;
	return taken->length_bytes ?
		       on_written(&gathering, 0, taken->length_bytes) :
		       0;
}

static struct fl__taken_slot *slot_add(struct fl__taking *taking)
{
	struct fl__taken_slot *taken;

	if (taking->slot_count == taking->slot_room) {
		void *grown = array_grow(taking->slots, taking->first_slots,
					 taking->slot_room,
					 sizeof(*taking->slots));

		if (!grown)
			return NULL;
		taking->slots = grown;
		taking->slot_room *= 2;
	}
	taken = &taking->slots[taking->slot_count++];
	*taken = (struct fl__taken_slot){ .slot = NULL };
	if (taking->slot_count == 1) {
		taken->runs = taking->first_runs;
		taken->room = FL__TAKING_RUNS;
	}
	return taken;
}

int fl__taking_slot(struct fl__taking *taking, struct fl__slot *slot,
		    uint64_t length_bytes, bool stays, struct fl_error *error)
{
	struct fl__taken_slot *taken = slot_add(taking);
	int err;

	if (!taken)
		return fl__error_set(error, -ENOMEM,
				     "no memory to make a delta");
	taken->slot = slot;
	taken->acquired = __atomic_load_n(&slot->acquired, __ATOMIC_RELAXED);
	taken->length_bytes = length_bytes;
	taken->stays = stays;
	taking->is_one_pass &= fl__slot_can_settle(slot);
	err = slot_gather(taking, taken);
	if (err)
		return fl__error_set(
			error, err,
			"cannot list what was written to the %s: %s",
			slot->bank->kind->what, fl_strerror(err));
	fl__delta_bound_lines(&taking->bound, taken->stretches, taken->bytes);
	return 0;
}

int fl__taking_is_sure(const struct fl__taking *taking, struct fl_error *error)
{
	for (uint32_t i = 0; i < taking->slot_count; i++) {
		const struct fl__taken_slot *taken = &taking->slots[i];

		if (__atomic_load_n(&taken->slot->acquired, __ATOMIC_RELAXED) !=
		    taken->acquired)
			return fl__error_set(
				error, -EINVAL,
				"a %s was released by somebody else, and has another tenant",
				taken->slot->bank->kind->what);
	}
	return 0;
}

/* --------------------------------------------------------------------- room */

int fl__taking_room(struct fl__taking *taking, uint64_t *needed_bytes,
		    struct fl_error *error)
{
	uint64_t bytes;

	if (!fl__delta_bound_bytes(&taking->bound, &bytes))
		return fl__error_set(
			error, -E2BIG,
			"so much was written that no delta holds it");
	if (needed_bytes)
		*needed_bytes = bytes;
	if (taking->buffer && taking->buffer_bytes < bytes)
		return fl__error_set(
			error, -E2BIG,
			"the delta may take %llu bytes; raise buffer_bytes, which is %llu",
			fl_llu(bytes), fl_llu(taking->buffer_bytes));
	taking->delta = fl__delta_alloc(taking->buffer ? 0 : bytes);
	if (!taking->delta)
		return fl__error_set(error, -ENOMEM,
				     "no memory for a delta of %llu bytes",
				     fl_llu(bytes));
	if (taking->buffer)
		taking->delta->bytes = taking->buffer;
	fl__delta_begin(&taking->out, &taking->bound,
			taking->buffer ? taking->buffer : taking->delta->own,
			taking->snapshot->encoding, taking->instance_count);
	return 0;
}

/* -------------------------------------------------------------------- lines */

/* A stretch of an image without bytes of its own, or of zeroes within it. */
static int fetched_lines(struct fl__taking *taking,
			 const struct fl__space *space,
			 const struct fl__piece *piece)
{
	uint8_t here[STEP_BYTES], there[STEP_BYTES];
	uint64_t step;

	for (uint64_t done = 0; done < piece->len; done += step) {
		uint64_t off = piece->off + done;

		step = fl_min_u64(piece->len - done, STEP_BYTES);
		if (fl__os_peek(here, space->base + off, step) ||
		    (piece->is_data &&
		     fl__image_fetch(space->image, off, there, step)))
			return -EIO;
		fl__delta_lines(&taking->out, off, here,
				piece->is_data ? there : NULL, step);
	}
	return 0;
}

/* [at, end) of a slot. */
static int stretch_lines(struct fl__taking *taking,
			 const struct fl__space *space, uint64_t at,
			 uint64_t end)
{
	const struct fl_image *image = space->image;
	struct fl__piece piece = { .off = at, .len = end - at };
	int err = 0;

	for (; at < end && !err; at += piece.len) {
		if (image)
			(void)fl__image_map_next_data(&image->map, image->bytes,
						      at, end, &piece);
		if (image && fl__image_is_fetched(image))
			err = fetched_lines(taking, space, &piece);
		else
			fl__delta_lines(&taking->out, piece.off,
					space->base + piece.off, piece.bytes,
					piece.len);
	}
	return err;
}

/* What was told of [from, to), as far as the length. */
static int told_lines(struct fl__taking *taking,
		      const struct fl__taken_slot *taken, uint64_t *run_idx,
		      uint64_t from, uint64_t to)
{
	int err = 0;

	to = fl_min_u64(to, taken->length_bytes);
	for (; *run_idx < taken->run_count && !err; (*run_idx)++) {
		const struct fl_memory_run *run = &taken->runs[*run_idx];
		uint64_t end = run->offset_bytes + run->length_bytes;
		uint64_t at = fl_max_u64(from, run->offset_bytes);

		if (run->offset_bytes >= to)
			break;
		if (at < fl_min_u64(end, to))
			err = stretch_lines(taking, &taken->slot->space, at,
					    fl_min_u64(end, to));
		/* More of the run may be asked for. */
		if (end > to)
			break;
	}
	return err;
}

/* ----------------------------------------------------------------- one pass */

struct taker {
	struct fl__taker base;
	struct fl__taking *taking;
	const struct fl__taken_slot *taken;
	uint64_t run_idx; /* no run before it is of interest */
	uint64_t at; /* all before is taken */
};

static struct taker *taker_of(struct fl__taker *base)
{
	return (struct taker *)(void *)base;
}

static void taker_take(struct fl__taker *base, uint64_t off, uint64_t len)
{
	struct taker *taker = taker_of(base);

	(void)told_lines(taker->taking, taker->taken, &taker->run_idx, off,
			 off + len);
	taker->at = off + len;
}

static bool taker_bring_back(struct fl__taker *base, uint64_t off,
			     const uint8_t *there, uint64_t len)
{
	struct taker *taker = taker_of(base);
	const struct fl__taken_slot *taken = taker->taken;
	const struct fl_memory_run *run = &taken->runs[taker->run_idx];
	const struct fl_memory_run *end = &taken->runs[taken->run_count];
	uint8_t *at = taken->slot->space.base + off;

	while (run < end && run->offset_bytes + run->length_bytes <= off)
		run++;
	taker->run_idx = (uint64_t)(run - taken->runs);
	if (run < end && off >= run->offset_bytes &&
	    off + len <= run->offset_bytes + run->length_bytes &&
	    off + len <= taken->length_bytes) {
		taker->at = off + len;
		return fl__delta_lines_back(&taker->taking->out, off, at, there,
					    len);
	}
	/* Of a page that was not told nothing is taken, because there is no
	 * room for it; it is brought back all the same. */
	taker_take(base, off, len);
	return there ? fl__copy_back(at, there, (size_t)len) :
		       fl__copy_zeroes(at, (size_t)len);
}

static void lines_in_one_pass(struct fl__taking *taking,
			      const struct fl__taken_slot *taken)
{
	struct taker taker = {
		.base = { .runs = taken->runs,
			  .run_count = taken->run_count,
			  .bring_back = taker_bring_back,
			  .take = taker_take },
		.taking = taking,
		.taken = taken,
	};

	if (fl__slot_settle(taken->slot, &taker.base))
		(void)told_lines(taking, taken, &taker.run_idx, taker.at,
				 UINT64_MAX);
}

int fl__taking_lines(struct fl__taking *taking, uint32_t slot_idx,
		     enum fl__delta_kind kind, uint32_t idx, uint64_t was_bytes,
		     struct fl_error *error)
{
	const struct fl__taken_slot *taken = &taking->slots[slot_idx];
	uint64_t run_idx = 0;
	int err = 0;

	fl__delta_part(&taking->out, kind, idx, taken->length_bytes);
	if (taking->is_one_pass && !taken->stays)
		lines_in_one_pass(taking, taken);
	else
		err = told_lines(taking, taken, &run_idx, 0, UINT64_MAX);
	if (err)
		return fl__error_set(
			error, err,
			"what was written to the %s cannot be read: its image file was cut or cannot be read",
			taken->slot->bank->kind->what);
	(void)fl__delta_part_end(&taking->out, was_bytes);
	return 0;
}

void fl__taking_state(struct fl__taking *taking, const struct fl__captured *was,
		      const void *state, uint64_t state_bytes)
{
	struct fl__delta_out *out = &taking->out;
	const uint8_t *bytes = state, *were = was->state;
	uint64_t both = fl_min_u64(state_bytes, was->state_bytes);
	uint64_t whole = fl_round_down(both, FL__DELTA_LINE_BYTES);
	uint64_t len = fl_min_u64(state_bytes - whole, FL__DELTA_LINE_BYTES);
	uint8_t last[FL__DELTA_LINE_BYTES] = { 0 };

	fl__delta_part(out, FL__DELTA_STATE, 0, state_bytes);
	if (whole)
		fl__delta_lines(out, 0, bytes, were, whole);
	/* The line in which one of both ends. */
	if (both > whole)
		memcpy(last, were + whole, (size_t)(both - whole));
	if (len && both > whole)
		fl__delta_lines(out, whole, bytes + whole, last, len);
	if (both > whole)
		whole += len;
	if (state_bytes > whole)
		fl__delta_all_lines(out, whole, bytes + whole,
				    state_bytes - whole);
	(void)fl__delta_part_end(out, was->state_bytes);
}

/* ---------------------------------------------------------------------- end */

/* What lies in the library's memory is moved to as much as it takes, for it may
 * stay there for long. Without memory for that, it stays where it is. */
static struct fl_delta *delta_fit(struct fl_delta *delta, uint64_t length_bytes)
{
	struct fl_delta *fit = fl__delta_alloc(length_bytes);

	if (!fit)
		return delta;
	memcpy(fit->own, delta->own, (size_t)length_bytes);
	free(delta);
	return fit;
}

struct fl_delta *fl__taking_end(struct fl__taking *taking)
{
	struct fl_delta *delta = taking->delta;
	uint64_t length_bytes =
		fl__delta_end(&taking->out, taking->digest, taking->tag);

	taking->delta = NULL;
	if (!taking->buffer)
		delta = delta_fit(delta, length_bytes);
	delta->length_bytes = length_bytes;
	delta->snapshot = fl_snapshot_retain(taking->snapshot);
	return delta;
}
