/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * written.c - what did the tenant of a memory write?
 *
 * Takes a memory in which nothing runs; gives the runs of host pages that were
 * written since acquire, or since the caller last began anew. The backend tells
 * pages that may have been written. Where the answer is about bytes, each of
 * these pages is compared with what the memory began with, because the policies
 * of the backend leave pages open that nobody wrote.
 *
 * Comparing is not done since a beginning: no copy was made of what a page held
 * then. Beyond the size of that moment there was nothing, so that pages which
 * are zero are left out.
 */
#include "base/sized.h"
#include "memory.h"

#define FLAGS (FL_WRITTEN_SINCE_LAST | FL_WRITTEN_BEGIN)

struct answer {
	const struct fl__slot *slot;
	uint64_t end; /* the size */
	uint64_t compared_off; /* pages from here on are compared */
	struct fl_memory_run *runs;
	uint64_t capacity, count, written_bytes;
	uint64_t last_end; /* of the last run; 0: none */
};

#define FILE_STEP_BYTES 4096

/* A file in place may have been cut: the kernel reads both sides. */
static int file_differs(const struct fl__space *space, uint64_t off,
			uint64_t len, bool *differs)
{
	uint8_t here[FILE_STEP_BYTES], there[FILE_STEP_BYTES];

	for (uint64_t done = 0, step; done < len && !*differs; done += step) {
		step = fl_min_u64(len - done, FILE_STEP_BYTES);
		if (fl__os_peek(here, space->base + off + done, step) ||
		    fl__image_fetch(space->image, off + done, there, step))
			return -EIO;
		*differs = memcmp(here, there, (size_t)step) != 0;
	}
	return 0;
}

/* Zeroes that a file in place may have as its hole, or that a lazy image may not be
 * able to make: a page that cannot be had is an error, and no signal. */
static int file_is_dirty(const struct fl__space *space, uint64_t off,
			 uint64_t len, bool *is_dirty)
{
	uint8_t here[FILE_STEP_BYTES];

	for (uint64_t done = 0, step; done < len && !*is_dirty; done += step) {
		step = fl_min_u64(len - done, FILE_STEP_BYTES);
		if (fl__os_peek(here, space->base + off + done, step))
			return -EIO;
		*is_dirty = !fl_is_zero(here, step);
	}
	return 0;
}

static int piece_differs(const struct fl__space *space,
			 const struct fl__piece *piece, bool *differs)
{
	const struct fl_image *image = space->image;
	const uint8_t *here = space->base + piece->off;

	if (piece->bytes)
		*differs = memcmp(here, piece->bytes, (size_t)piece->len) != 0;
	else if (piece->is_data)
		return file_differs(space, piece->off, piece->len, differs);
	else if (fl__image_is_in_place(image))
		return file_is_dirty(space, piece->off, piece->len, differs);
	else
		*differs = !fl_is_zero(here, piece->len);
	return 0;
}

static int page_differs(const struct fl__space *space, uint64_t off,
			uint64_t end, bool *differs)
{
	const struct fl_image *image = space->image;
	struct fl__piece piece;
	int err = 0;

	*differs = !image && !fl_is_zero(space->base + off, end - off);
	if (!image)
		return 0;
	for (uint64_t at = off;
	     !err && !*differs &&
	     fl__image_map_next_data(&image->map, image->bytes, at, end,
				     &piece);
	     at += piece.len)
		err = piece_differs(space, &piece, differs);
	return err;
}

static void answer_add(struct answer *answer, uint64_t off, uint64_t end)
{
	struct fl_memory_run *last = NULL;

	if (answer->count && answer->count <= answer->capacity)
		last = &answer->runs[answer->count - 1];
	answer->written_bytes += end - off;
	if (!answer->count || off != answer->last_end) {
		if (answer->count < answer->capacity)
			answer->runs[answer->count] =
				(struct fl_memory_run){ off, end - off };
		answer->count++;
	} else if (last) {
		last->length_bytes += end - off;
	}
	answer->last_end = end;
}

/* Of a lazy image a page that the slot has not mapped is one that nobody wrote, and to
 * look at it would load it. */
static bool may_differ(const struct fl__slot *slot, uint64_t off, uint64_t len)
{
	const struct fl__backend *backend = slot->bank->backend;

	return !slot->space.image || !slot->space.image->lazy ||
	       !backend->is_touched ||
	       backend->is_touched(slot->arena, &slot->space, off, len, false);
}

static int on_written(void *user, uint64_t off, uint64_t len)
{
	struct answer *answer = user;
	uint64_t hpage = answer->slot->geometry->hpage_bytes;
	uint64_t stop = fl_min_u64(off + len, answer->end);
	uint64_t plain = fl_min_u64(stop, answer->compared_off);
	bool differs;
	int err = 0;

	if (off < plain) {
		answer_add(answer, off, plain);
		off = plain;
	}
	for (uint64_t next; off < stop && !err; off = next) {
		next = fl_min_u64(fl_round_down(off, hpage) + hpage, stop);
		if (!may_differ(answer->slot, off, next - off))
			continue;
		err = page_differs(&answer->slot->space, off, next, &differs);
		if (!err && differs)
			answer_add(answer, off, next);
	}
	return err;
}

/* From where on the answer goes by bytes. */
static uint64_t compared_off(const struct fl__memory *memory, uint32_t flags)
{
	const struct fl__slot *slot = fl__slot_of_side(memory);

	if (!(flags & FL_WRITTEN_SINCE_LAST) ||
	    memory->since == FL__SINCE_ACQUIRE)
		return 0;
	if (memory->since == FL__SINCE_UNWATCHED)
		return UINT64_MAX;
	return fl_round_up(memory->begun_bytes, slot->geometry->hpage_bytes);
}

static int begin(struct fl__memory *memory)
{
	struct fl__slot *slot = fl__slot_of_side(memory);
	const struct fl__backend *backend = slot->bank->backend;
	int err = backend->watch ? backend->watch(slot->arena, &slot->space) :
				   -ENOTSUP;

	memory->begun_bytes = fl__memory_length(&memory->pub);
	memory->since = err ? FL__SINCE_UNWATCHED : FL__SINCE_WATCHED;
	return err == -ENOTSUP ? 0 : err;
}

/* With the grow_lock. */
static int memory_written(struct fl__memory *memory, uint32_t flags,
			  struct answer *answer, bool *is_exact)
{
	struct fl__slot *slot = fl__slot_of_side(memory);
	const struct fl__backend *backend = slot->bank->backend;
	int err;

	answer->slot = slot;
	answer->end = fl__memory_length(&memory->pub);
	answer->compared_off = compared_off(memory, flags);
	*is_exact = answer->compared_off != UINT64_MAX;
	err = backend->written ?
		      backend->written(slot->arena, &slot->space, answer->end,
				       *is_exact && answer->compared_off,
				       on_written, answer) :
		      -ENOTSUP;
	if (!err && answer->count > answer->capacity)
		err = -E2BIG;
	if (!err && flags & FL_WRITTEN_BEGIN)
		err = begin(memory);
	return err;
}

static int check(const struct fl_memory *memory, uint32_t flags,
		 struct fl_error *error)
{
	const struct fl__slot *slot = fl__slot_of_side(memory);

	if (!fl__slot_is_live(slot))
		return fl__error_set(error, -EINVAL, "the memory is not live");
	if (flags & ~(uint32_t)FLAGS)
		return fl__error_set(
			error, -EINVAL,
			"flags is %#x; use enumerators of enum fl_written_flags",
			flags);
	if (__atomic_load_n(&slot->is_lent, __ATOMIC_RELAXED))
		return fl__error_set(
			error, -ENOTSUP,
			"the memory is lent: the holder of its pages writes unseen");
	return 0;
}

static int explain(const struct answer *answer, int err, struct fl_error *error)
{
	switch (err) {
	case 0:
		return 0;
	case -E2BIG:
		return fl__error_set(
			error, err,
			"there %s %llu %s; raise run_capacity, which is %llu",
			fl_noun(answer->count, "is", "are"),
			fl_llu(answer->count),
			fl_noun(answer->count, "run", "runs"),
			fl_llu(answer->capacity));
	case -ENOTSUP:
		return fl__error_set(
			error, err,
			"this host cannot tell what was written; fl_context_rung() says why");
	default:
		return fl__error_set(error, err,
				     "cannot tell what was written: %s",
				     fl_strerror(err));
	}
}

int fl_memory_written(struct fl_memory *pub, uint32_t flags,
		      struct fl_memory_run *runs, uint64_t run_capacity,
		      struct fl_written *written, struct fl_error *error)
{
	struct fl__memory *memory = fl__memory_of(pub);
	struct answer answer = { .runs = runs, .capacity = run_capacity };
	bool is_exact = false;
	int err =
		fl__pool_check_owner(fl__slot_of_side(pub)->bank->pool, error);

	if (!err)
		err = check(pub, flags, error);
	if (err)
		return err;
	fl__os_lock(&memory->grow_lock);
	err = memory_written(memory, flags, &answer, &is_exact);
	fl__os_unlock(&memory->grow_lock);
	fl__slot_count_calls(fl__slot_of_side(pub));
	if (written && (!err || err == -E2BIG)) {
		struct fl_written filled = {
			.run_count = answer.count,
			.written_bytes = answer.written_bytes,
			.is_exact = is_exact,
		};

		fl__sized_write(written, &filled, sizeof(filled));
	}
	return explain(&answer, err, error);
}
