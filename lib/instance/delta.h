/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * delta.h - what differs from a snapshot, as an object.
 *
 * suspend.c makes deltas of live memories and instances; wake.c makes these of
 * deltas. A delta is its bytes (delta_bytes.h), which were checked or were written
 * here, and a reference to its snapshot. Immutable, any thread. The bytes lie right
 * behind the struct, or in memory that is the caller's, so that a sleeping session
 * is one allocation of what it holds and a few words.
 */
#ifndef FL_DELTA_H
#define FL_DELTA_H

#include "delta_bytes.h"

struct fl_delta {
	uint32_t refs;			/* atomic */
	int32_t release_error;		/* of what was suspended, or 0 */
	struct fl_snapshot *snapshot;	/* a reference */
	const uint8_t *bytes;
	uint64_t length_bytes;
	uint8_t own[];
};

/* A delta with room for so many bytes of its own, that are not there yet, of no
 * snapshot. NULL: no memory. */
struct fl_delta *fl__delta_alloc(uint64_t room_bytes);

/* Make the first length_bytes of its bytes its own, checked as fl__delta_check()
 * does. After an error the delta is gone. */
int fl__delta_adopt(struct fl_delta *delta, uint64_t length_bytes,
		    struct fl_snapshot *snapshot, const uint8_t *digest,
		    const uint8_t *tag, struct fl_error *error);

/* The state of an instance, in a delta whose snapshot has a state of that
 * length; buffer is as long as *length_bytes says then. NULL asks for the length
 * alone. */
void fl__delta_read_state(const struct fl_delta *delta, uint32_t instance_idx,
			  void *buffer, uint64_t *length_bytes);

#endif
