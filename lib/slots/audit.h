/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * audit.h - is a slot that was made clean really clean?
 *
 * Takes a slot after its reset; compares the slot with its image byte for byte,
 * including what the last tenant had grown, and looks whether the process has
 * pinned memory that nobody declared. Every audit_every-th release of a pool;
 * an audit reads the whole memory, and so is as slow as it sounds.
 *
 * An audit looks by other calls than the reset does: what a scan has missed, a
 * scan would miss again.
 */
#ifndef FL_AUDIT_H
#define FL_AUDIT_H

#include "pool.h"

enum fl__audit_verdict {
	FL__AUDIT_CLEAN = 0,	/* or it is not this slot's turn */
	FL__AUDIT_UNSURE,	/* pinned, or not to be read: to be emptied */
	FL__AUDIT_DIRTY,	/* the slot is to be retired */
};

/* A slot that was just reset, from a tenant whose size was length_bytes. */
enum fl__audit_verdict fl__audit(struct fl__slot *slot, uint64_t length_bytes);

#endif
