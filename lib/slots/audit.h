/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * audit.h - is a slot that was made clean really clean?
 *
 * Takes a slot after its reset; compares the slot with its image byte for byte,
 * including what the last tenant had grown, and looks whether the process has
 * pinned memory that no tenant declared. Every audit_every-th release of a pool
 * has an audit. An audit reads the whole slot, and takes that long.
 *
 * An audit looks by other calls than the reset does: what a scan has missed, a
 * scan would miss again.
 */
#ifndef FL_AUDIT_H
#define FL_AUDIT_H

#include "pool.h"

enum fl__audit_verdict {
	FL__AUDIT_CLEAN = 0,
	FL__AUDIT_UNSURE,	/* pins, or unreadable: empty the slot */
	FL__AUDIT_DIRTY,	/* retire the slot */
};

/* Count a release of a pool that wants audits: is it this one's turn? */
bool fl__audit_is_due(struct fl_pool *pool);

/* A slot that was just reset, from a tenant whose size was length_bytes. */
enum fl__audit_verdict fl__audit(struct fl__slot *slot, uint64_t length_bytes);

#endif
