/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* taking.c - gathering, securing room, taking lines; see taking.h. */
#include "taking.h"

#include <stdlib.h>

#define STEP_BYTES 4096u

int fl__taking_begin(struct fl__taking *taking, struct fl_snapshot *snapshot,
		     uint32_t instance_count, const uint8_t *tag, void *buffer,
		     uint64_t buffer_bytes, struct fl_error *error)
{
	*taking = (struct fl__taking){
		.snapshot = snapshot,
		.instance_count = instance_count,
		.tag = tag,
		.buffer = buffer,
		.buffer_bytes = buffer_bytes,
	};
	fl__delta_bound_begin(&taking->bound, snapshot->encoding,
			      instance_count);
	return fl_snapshot_digest(snapshot, taking->digest, error);
}

void fl__taking_fini(struct fl__taking *taking)
{
	for (uint32_t i = 0; i < taking->slot_count; i++)
		free(taking->slots[i].runs);
	free(taking->slots);
	free(taking->delta);
}

/* ---------------------------------------------------------------- gathering */

static int on_written(void *user, uint64_t off, uint64_t len)
{
	struct fl__taken_slot *taken = user;
	struct fl_memory_run *last =
		taken->run_count ? &taken->runs[taken->run_count - 1] : NULL;

	if (off >= taken->length_bytes)
		return 0;
	len = fl_min_u64(len, taken->length_bytes - off);
	taken->bytes += len;
	if (last && last->offset_bytes + last->length_bytes == off) {
		last->length_bytes += len;
		return 0;
	}
	if (taken->run_count == taken->room) {
		uint64_t room = taken->room ? 2 * taken->room : 32;
		void *grown = realloc(taken->runs,
				      (size_t)room * sizeof(*taken->runs));

		if (!grown)
			return -ENOMEM;
		taken->runs = grown;
		taken->room = room;
	}
	taken->runs[taken->run_count++] = (struct fl_memory_run){ off, len };
	return 0;
}

static int slot_gather(struct fl__taken_slot *taken)
{
	const struct fl__slot *slot = taken->slot;
	const struct fl__backend *backend = slot->bank->backend;
	int err = backend->written ?
			  backend->written(slot->arena, &slot->space,
					   taken->length_bytes, false,
					   on_written, taken) :
			  -ENOTSUP;

	if (err != -ENOTSUP)
		return err;
	taken->run_count = taken->bytes = 0;
	return on_written(taken, 0, taken->length_bytes);
}

int fl__taking_slot(struct fl__taking *taking, const struct fl__slot *slot,
		    uint64_t length_bytes, struct fl_error *error)
{
	struct fl__taken_slot *taken;
	int err;

	if (taking->slot_count == taking->slot_room) {
		uint32_t room = taking->slot_room ? 2 * taking->slot_room : 4;
		void *grown = realloc(taking->slots,
				      room * sizeof(*taking->slots));

		if (!grown)
			return fl__error_set(error, -ENOMEM,
					     "no memory to make a delta");
		taking->slots = grown;
		taking->slot_room = room;
	}
	taken = &taking->slots[taking->slot_count++];
	*taken = (struct fl__taken_slot){ .slot = slot,
					  .length_bytes = length_bytes };
	err = slot_gather(taken);
	if (err)
		return fl__error_set(error, err,
				     "cannot list what was written to the %s: %s",
				     slot->bank->kind->what, fl_strerror(err));
	fl__delta_bound_lines(&taking->bound, taken->run_count, taken->bytes);
	return 0;
}

/* --------------------------------------------------------------------- room */

int fl__taking_room(struct fl__taking *taking, uint64_t *needed_bytes,
		    struct fl_error *error)
{
	uint64_t bytes;

	if (!fl__delta_bound_bytes(&taking->bound, &bytes))
		return fl__error_set(error, -E2BIG,
				     "so much was written that no delta holds it");
	if (needed_bytes)
		*needed_bytes = bytes;
	if (taking->buffer && taking->buffer_bytes < bytes)
		return fl__error_set(
			error, -E2BIG,
			"the delta may take %llu bytes, buffer_bytes is %llu",
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

static int run_lines(struct fl__taking *taking, const struct fl__space *space,
		     const struct fl_memory_run *run)
{
	const struct fl_image *image = space->image;
	uint64_t end = run->offset_bytes + run->length_bytes;
	struct fl__piece piece;
	int err = 0;

	if (!image)
		fl__delta_lines(&taking->out, run->offset_bytes,
				space->base + run->offset_bytes, NULL,
				run->length_bytes);
	for (uint64_t at = run->offset_bytes;
	     image && !err &&
	     fl__image_map_next_data(&image->map, image->bytes, at, end,
				     &piece);
	     at += piece.len) {
		if (fl__image_is_fetched(image))
			err = fetched_lines(taking, space, &piece);
		else
			fl__delta_lines(&taking->out, piece.off,
					space->base + piece.off, piece.bytes,
					piece.len);
	}
	return err;
}

int fl__taking_lines(struct fl__taking *taking, uint32_t slot_idx,
		     enum fl__delta_kind kind, uint32_t idx,
		     uint64_t was_bytes, struct fl_error *error)
{
	const struct fl__taken_slot *taken = &taking->slots[slot_idx];
	int err = 0;

	fl__delta_part(&taking->out, kind, idx, taken->length_bytes);
	for (uint64_t i = 0; i < taken->run_count && !err; i++)
		err = run_lines(taking, &taken->slot->space, &taken->runs[i]);
	if (err)
		return fl__error_set(
			error, err,
			"what was written to the %s cannot be read: its image file was cut or cannot be read",
			taken->slot->bank->kind->what);
	(void)fl__delta_part_end(&taking->out, was_bytes);
	return 0;
}

void fl__taking_state(struct fl__taking *taking,
		      const struct fl__captured *was, const void *state,
		      uint64_t state_bytes)
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
