/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* wake.h - what an instance shows becomes what a delta says; see wake.c. */
#ifndef FL_WAKE_H
#define FL_WAKE_H

#include "delta.h"
#include "table.h"

/* What shows an instance of the delta's snapshot, as an acquire left it. */
struct fl__wake_target {
	struct fl_memory *const *memories;	/* by the module's index spaces */
	struct fl_table *const *tables;
	uint8_t *structure;
	uint64_t *dropped_data, *dropped_elements;	/* bits */
	bool drops_data, drops_elements;	/* set: some bit was */
};

/* Sizes, lines, dropped segments: all but what the runtime decodes. After an error
 * the target is between the two, and only to be given back. -E2BIG, -ENOMEM,
 * -EPERM, -EIO, -EINVAL. */
int fl__wake(const struct fl_delta *delta, uint32_t instance_idx,
	     struct fl__wake_target *target, struct fl_error *error);

/* The values that the elements of an encoded table had, length_elements of them;
 * UINT64_MAX stands for null. */
void fl__wake_values(const struct fl__captured_table *captured,
		     const struct fl__delta_part *part, uint64_t *values);

#endif
