/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* delta.c - delta objects: opened, lent, looked at; see delta.h. */
#include "delta.h"
#include "base/sized.h"

#include <stdlib.h>

/* Fits any second cache. The lines go there, because the first one waits when a few
 * are on their way. */
#define ASKED_BYTES ((uint64_t)64 << 10)

struct fl_delta *fl__delta_alloc(uint64_t room_bytes)
{
	struct fl_delta *delta =
		room_bytes < SIZE_MAX / 2 ?
			malloc(sizeof(*delta) + (size_t)room_bytes) :
			NULL;

	if (delta)
		*delta = (struct fl_delta){ .refs = 1, .bytes = delta->own };
	return delta;
}

int fl__delta_adopt(struct fl_delta *delta, uint64_t length_bytes,
		    struct fl_snapshot *snapshot, const uint8_t *digest,
		    const uint8_t *tag, struct fl_error *error)
{
	int err = fl__delta_check(delta->bytes, length_bytes, snapshot, digest,
				  tag, error);

	if (err) {
		free(delta);
		return err;
	}
	delta->length_bytes = length_bytes;
	delta->snapshot = fl_snapshot_retain(snapshot);
	return 0;
}

/* A delta that slept is in no cache. Asked for at once, its lines come side by
 * side; read in order, they come nearly one after another. */
static void ask_for(const uint8_t *bytes, uint64_t length_bytes)
{
	length_bytes = fl_min_u64(length_bytes, ASKED_BYTES);
	for (uint64_t off = 0; off < length_bytes; off += FL__DELTA_LINE_BYTES)
		__builtin_prefetch(bytes + off, 0, 2);
}

int fl_delta_open(struct fl_snapshot *snapshot, const void *bytes,
		  uint64_t length_bytes, enum fl_bytes_ownership ownership,
		  const uint8_t *tag, struct fl_delta **out,
		  struct fl_error *error)
{
	uint8_t digest[FL__SHA256_BYTES];
	bool is_copy = ownership == FL_BYTES_COPY;
	struct fl_delta *delta;
	int err;

	if (!is_copy && ownership != FL_BYTES_BORROW)
		return fl__error_set(
			error, -EINVAL,
			"ownership is %d; use FL_BYTES_COPY or FL_BYTES_BORROW",
			(int)ownership);
	ask_for(bytes, length_bytes);
	err = fl_snapshot_digest(snapshot, digest, error);
	if (err)
		return err;
	/* What is copied is checked after that, so that nobody changes it
	 * meanwhile. */
	delta = fl__delta_alloc(is_copy ? length_bytes : 0);
	if (!delta)
		return fl__error_set(error, -ENOMEM,
				     "no memory for a delta of %llu bytes",
				     fl_llu(length_bytes));
	if (is_copy && length_bytes)
		memcpy(delta->own, bytes, (size_t)length_bytes);
	else if (!is_copy)
		delta->bytes = bytes;
	err = fl__delta_adopt(delta, length_bytes, snapshot, digest, tag,
			      error);
	if (!err)
		*out = delta;
	return err;
}

struct fl_delta *fl_delta_retain(struct fl_delta *delta)
{
	__atomic_fetch_add(&delta->refs, 1, __ATOMIC_RELAXED);
	return delta;
}

void fl_delta_release(struct fl_delta *delta)
{
	/* The last one out must see what the others wrote. */
	if (!delta || __atomic_sub_fetch(&delta->refs, 1, __ATOMIC_ACQ_REL))
		return;
	fl_snapshot_release(delta->snapshot);
	free(delta);
}

const void *fl_delta_bytes(const struct fl_delta *delta, uint64_t *length_bytes)
{
	*length_bytes = delta->length_bytes;
	return delta->bytes;
}

void fl_delta_info(const struct fl_delta *delta, struct fl_delta_info *info)
{
	struct fl__delta_walk walk;
	struct fl_delta_info filled;

	fl__delta_walk(&walk, delta->bytes);
	filled = (struct fl_delta_info){
		.snapshot = delta->snapshot,
		.length_bytes = delta->length_bytes,
		.line_count = fl__delta_line_count(delta->bytes),
		.instance_count = walk.instance_count,
		.release_error = delta->release_error,
		.tag = fl__delta_tag(delta->bytes),
		.snapshot_digest = fl__delta_digest(delta->bytes),
	};
	fl__sized_write(info, &filled, sizeof(filled));
}

/* -------------------------------------------------------------------- state */

static void copy_lines(struct fl__delta_part *part, uint8_t *buffer)
{
	struct fl__delta_run run;

	while (fl__delta_next_run(part, &run)) {
		uint64_t off = run.first * FL__DELTA_LINE_BYTES;
		uint64_t len = run.count * FL__DELTA_LINE_BYTES;

		memcpy(buffer + off, run.lines,
		       (size_t)fl_min_u64(len, part->length - off));
	}
}

void fl__delta_read_state(const struct fl_delta *delta, uint32_t instance_idx,
			  void *buffer, uint64_t *length_bytes)
{
	const struct fl__captured *captured =
		&delta->snapshot->instances[instance_idx];
	struct fl__delta_part part;
	uint64_t were = captured->state_bytes;

	if (!fl__delta_find(delta->bytes, instance_idx, FL__DELTA_STATE, 0,
			    &part)) {
		*length_bytes = were;
		if (buffer && were)
			memcpy(buffer, captured->state, (size_t)were);
		return;
	}
	*length_bytes = part.length;
	if (!buffer)
		return;
	were = fl_min_u64(were, part.length);
	if (were)
		memcpy(buffer, captured->state, (size_t)were);
	memset((uint8_t *)buffer + were, 0, (size_t)(part.length - were));
	copy_lines(&part, buffer);
}

int fl_delta_read_state(const struct fl_delta *delta, uint32_t instance_idx,
			void *buffer, uint64_t *length_bytes)
{
	uint64_t room = *length_bytes;

	*length_bytes = 0;
	if (instance_idx >= delta->snapshot->count)
		return -EINVAL;
	fl__delta_read_state(delta, instance_idx, NULL, length_bytes);
	if (!buffer)
		return 0;
	if (room < *length_bytes)
		return -E2BIG;
	fl__delta_read_state(delta, instance_idx, buffer, length_bytes);
	return 0;
}
