/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * bound.h - what stays in a slot from one tenant to the next.
 *
 * Takes what a slot shows beyond its image, when that is known to be what the
 * next tenant of the same origin would have to make again: the decoded elements
 * of a clone's table, or a clone's structure. Keeps a copy of it, and a key that
 * says whom it was made for. A slot to which something is bound is not reset at
 * its release: each line of it that differs from the copy gets the copy's bytes.
 * And the slot is reset before any tenant gets it who did not ask for this
 * serial. So whatever a tenant, the runtime or the kernel did there, nobody sees
 * bytes that were not made for such a tenant. A structure is bound up to the end
 * of its last page, a table up to its length. What was written behind a table's
 * end, which no call shows and no guest reaches, is not compared: it goes with
 * the next reset, and growth writes each element that it adds. What has grown is
 * reset at its release.
 *
 * The copy is what makes this safe without a promise about who writes to the
 * slot. With 514 elements of 32 bytes and a structure of 4 KiB a clone takes 1.9 us
 * from acquire to release, 3.2 where the table alone is bound, 4.6 where both are
 * decoded each time, and an instance of a module 2.9 (bench_cycle --image-wpages
 * 256 --reads 0 --writes 0 --table 514 --structure 4096): to compare so little
 * costs less than to scan its slot.
 *
 * What two tenants in turn have let grow is not bound to the slot again.
 *
 * The slot's owner calls.
 */
#ifndef FL_BOUND_H
#define FL_BOUND_H

#include "slot.h"

struct fl__bound {
	uint64_t serial;		/* of what is bound: the slot's affinity */
	uint64_t length_bytes;		/* of the slot, from its start */
	uint64_t key_bytes;
	uint64_t kept_bytes;		/* by the slot, when it is free */
	uint8_t bytes[];		/* the copy, then the key */
};

/* 0: nothing is bound. */
static inline uint64_t fl__bound_serial(const struct fl__slot *slot)
{
	return slot->bound ? slot->bound->serial : 0;
}

static inline uint64_t fl__bound_kept_bytes(const struct fl__slot *slot)
{
	return slot->bound->kept_bytes;
}

static inline const void *fl__bound_key(const struct fl__bound *bound)
{
	return bound->bytes + bound->length_bytes;
}

static inline bool fl__bound_is_for(const struct fl__bound *bound,
				    const void *key, uint64_t key_bytes)
{
	return bound->key_bytes == key_bytes &&
	       !memcmp(fl__bound_key(bound), key, (size_t)key_bytes);
}

/* Bind the first length_bytes of what a slot shows now; all else that it shows is
 * its image. Does nothing where that does not pay or there is no memory. */
void fl__slot_bind(struct fl__slot *slot, uint64_t serial,
		   uint64_t length_bytes, const void *key, uint64_t key_bytes);

/* After this the slot shows what is bound to it, and nothing of its tenant's. */
void fl__bound_bring_back(struct fl__slot *slot);

/* What tenants outgrow is not to be bound again and again. */
void fl__bound_outgrown(struct fl__slot *slot);

/* Nothing is bound to the slot any more, which is as dirty as any. */
void fl__slot_unbind(struct fl__slot *slot);

#endif
