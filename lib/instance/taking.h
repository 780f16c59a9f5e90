/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * taking.h - a delta being made: from the slots of live memories to its bytes.
 *
 * Takes slots in which nothing runs, the snapshot that they were cloned from, and
 * where the bytes go; gives a delta. In this order:
 *
 *	fl__taking_slot()	for each slot: what may have been written there
 *	fl__taking_room()	room for all of that; from here on nothing fails for
 *				want of memory
 *	fl__taking_is_sure()	for a suspend, after its caller has claimed the slots
 *	fl__taking_lines()	for each slot, in the order of the delta's parts
 *	fl__taking_end()	the delta
 *	fl__taking_fini()	in any case
 *
 * The pages that may have been written bound the delta, so the room is known
 * before a line is taken. Where the backend cannot tell pages, all of a slot is
 * compared: the bytes are the same.
 *
 * A suspend passes over each written page once: the reset of a slot takes the lines
 * as it brings them back (struct fl__taker). So a slot is reset while its part is
 * written, and from the first such part on nothing may fail. If the reset fails, the
 * rest is taken from the slot as it is, the delta stands, and the slot is retired
 * when it is given. Where a slot cannot be reset like that, all slots are taken first
 * and reset after that, as if they were to live on: an image that must be fetched
 * can fail to be, and a backend may know no written pages.
 *
 * An image that has no bytes of its own (a file in place, a lazy image) is read by
 * calls, and so is a slot that shows the image: what is lost is an error and no
 * signal.
 */
#ifndef FL_TAKING_H
#define FL_TAKING_H

#include "delta.h"
#include "slots/bank.h"

/* Stretches of one slot, in whole host pages. */
struct fl__taken_slot {
	struct fl__slot *slot;
	uint64_t acquired;		/* the slot's count, when it was asked */
	uint64_t length_bytes;
	struct fl_memory_run *runs;
	uint64_t run_count, room;
	uint64_t stretches, bytes;	/* below the length */
	bool stays;			/* the reset comes with the give */
};

#define FL__TAKING_SLOTS 2
#define FL__TAKING_RUNS 64

struct fl__taking {
	struct fl_snapshot *snapshot;
	uint8_t digest[FL__SHA256_BYTES];
	const uint8_t *tag;
	uint32_t instance_count;
	void *buffer;			/* the caller's, or NULL */
	uint64_t buffer_bytes;
	struct fl__delta_bound bound;
	struct fl__delta_out out;
	struct fl_delta *delta;		/* that is written to */
	bool is_end;			/* the slots are given after that */
	bool is_one_pass;
	struct fl__taken_slot *slots;
	uint32_t slot_count, slot_room;
	/* As many as nearly every session has. */
	struct fl__taken_slot first_slots[FL__TAKING_SLOTS];
	struct fl_memory_run first_runs[FL__TAKING_RUNS];
};

/* A delta of instance_count instances of the snapshot. -ENOMEM, and what
 * fl_snapshot_digest() answers. */
int fl__taking_begin(struct fl__taking *taking, struct fl_snapshot *snapshot,
		     uint32_t instance_count, const uint8_t *tag,
		     void *buffer, uint64_t buffer_bytes, bool is_end,
		     struct fl_error *error);

/* stays: the slot has to be as it is until its give. */
int fl__taking_slot(struct fl__taking *taking, struct fl__slot *slot,
		    uint64_t length_bytes, bool stays, struct fl_error *error);

/* needed_bytes (may be NULL) gets what the caller's buffer must have. -E2BIG,
 * -ENOMEM. */
int fl__taking_room(struct fl__taking *taking, uint64_t *needed_bytes,
		    struct fl_error *error);

/* Nobody released the slots meanwhile, which the caller has claimed; else
 * -EINVAL. */
int fl__taking_is_sure(const struct fl__taking *taking,
		       struct fl_error *error);

/* A part with what differs in slot number slot_idx. was_bytes: the length in the
 * snapshot. -EIO, and never in one pass. */
int fl__taking_lines(struct fl__taking *taking, uint32_t slot_idx,
		     enum fl__delta_kind kind, uint32_t idx,
		     uint64_t was_bytes, struct fl_error *error);

/* A part with the runtime's bytes of an instance. */
void fl__taking_state(struct fl__taking *taking,
		      const struct fl__captured *was, const void *state,
		      uint64_t state_bytes);

struct fl_delta *fl__taking_end(struct fl__taking *taking);
void fl__taking_fini(struct fl__taking *taking);

#endif
