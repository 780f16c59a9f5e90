/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * taking_values.h - the parts of a delta that are no lines: encoded tables, and
 * segments that were dropped.
 *
 * Takes what was captured of an instance now, and what the snapshot has; gives the
 * parts with what differs. An encoded table's values lie in runs, and the nulls
 * between these are not there. Nothing fails.
 */
#ifndef FL_TAKING_VALUES_H
#define FL_TAKING_VALUES_H

#include "delta_bytes.h"

/* Call fn for each element that has another value, upwards. */
void fl__taking_each_value(const struct fl__captured_table *now,
			   const struct fl__captured_table *was,
			   void (*fn)(void *user, uint64_t idx), void *user);

/* How many that are. */
uint64_t fl__taking_count_values(const struct fl__captured_table *now,
				 const struct fl__captured_table *was);

void fl__taking_values(struct fl__delta_out *out, uint32_t table_idx,
		       const struct fl__captured_table *now,
		       const struct fl__captured_table *was);

/* kind: FL__DELTA_DROPPED_DATA or _ELEMENTS. Bits of NULL: none is dropped. */
void fl__taking_dropped(struct fl__delta_out *out, enum fl__delta_kind kind,
			const uint64_t *now, const uint64_t *was,
			uint32_t count);

#endif
