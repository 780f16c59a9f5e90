/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * layout.h - the arithmetic of a pool's reservation.
 *
 * Takes a configuration and the host page size; gives the geometry of each
 * bank, or names the two values that contradict each other. Pure. A pool is
 * one inaccessible reservation:
 *
 *	│ before │ prefix │ memory 0 ... │ after │ prefix │ memory 1 ... │ after │
 *	                  └── stride ────────────────────┘
 *	│ guard │ table 0 │ guard │ table 1 │ guard │ ... │ guard │
 *	│ guard │ structure 0 │ guard │ ... │ guard │
 *	│ guard │ stack 0 │ guard │ ... │ guard │
 *
 * A slot's trailing guard is the leading guard of the next slot. All of a
 * table, a structure or a stack is accessible, and guards between them may be
 * marks in one mapping (marked_bytes) where the backend can. In a pool whose memories are
 * accessible too, guest code is checked everywhere, and tables and structures
 * have no guards between them: 10,000 instances are 20,000 mappings less.
 *
 * A prefix lies beyond the stride of the slot before it, because a prefix is
 * writable, and code that elides checks reaches the whole stride.
 */
#ifndef FL_LAYOUT_H
#define FL_LAYOUT_H

#include "backend.h"

#define FL__MAX_ELEMENT_BYTES 32
#define FL__MAX_STACK_ALIGNMENT 4096u

enum fl__bank_idx {
	FL__BANK_MEMORY = 0,
	FL__BANK_TABLE = 1,
	FL__BANK_STRUCTURE = 2,
	FL__BANK_STACK = 3,
	FL__BANK_COUNT = 4,
};

/* Where the banks lie, from the start of the reservation. */
struct fl__layout {
	struct fl__geometry banks[FL__BANK_COUNT];
	/* From a memory's base on, so many bytes are the memory's own or
	 * inaccessible: up to the prefix of the next memory. */
	uint64_t memory_reach_bytes;
	uint64_t reserved_bytes;
	uint64_t align_bytes;
};

/*
 * All slots in one reservation. Or, if is_apart, each slot in a mapping of its
 * own, guards included: as long as first_off and stride_bytes of the bank's
 * geometry together; nothing is reserved. -EINVAL: values contradict each
 * other, or an enum has no such value; -ENOMEM.
 */
int fl__layout_plan(const struct fl_pool_config *config, uint64_t hpage_bytes,
		    bool is_apart, struct fl__layout *layout,
		    struct fl_error *error);

/* The field to which a slot of the bank owes most of its stride: the one to lower
 * where the bank does not fit. */
const char *fl__layout_largest_field(const struct fl_pool_config *config,
				     enum fl__bank_idx bank);

/*
 * The backend marks guards: say where, in a layout that is not apart. Between slots
 * that are accessible as a whole guards need not be mappings. A guard of memories
 * is too large for marks, and a mark takes what tells runtimes a bounds trap
 * (SEGV_ACCERR).
 */
void fl__layout_mark_guards(struct fl__layout *layout);

static inline bool fl__table_width_is_valid(uint64_t bytes)
{
	return bytes == 4 || bytes == 8 || bytes == 16 || bytes == 24 ||
	       bytes == 32;
}

#endif
