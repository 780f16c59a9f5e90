/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* bound.c - copies of what stays in slots; see bound.h. */
#include "bound.h"

/* A change weighs as much as so many tenants that changed nothing. */
#define CHANGE_WEIGHT 16

void fl__slot_bind(struct fl__slot *slot, uint64_t serial,
		   uint64_t length_bytes, const void *key, uint64_t key_bytes)
{
	uint64_t bytes = sizeof(struct fl__bound) + length_bytes + key_bytes;
	uint64_t kept_bytes =
		bytes + slot->space.kept_bytes +
		fl_round_up(length_bytes, slot->geometry->hpage_bytes);
	struct fl__bound *bound;

	if (!length_bytes || !slot->source->calls->keeps_slots ||
	    kept_bytes > slot->geometry->max_kept_bytes)
		return;
	if (slot->spurned == serial && slot->changes > CHANGE_WEIGHT)
		return;
	bound = malloc((size_t)bytes);
	if (!bound)
		return;
	if (slot->spurned != serial)
		slot->changes = 0;
	slot->spurned = serial;
	bound->serial = serial;
	bound->length_bytes = length_bytes;
	bound->key_bytes = key_bytes;
	bound->kept_bytes = kept_bytes;
	memcpy(bound->bytes, slot->space.base, (size_t)length_bytes);
	memcpy(bound->bytes + length_bytes, key, (size_t)key_bytes);
	fl__slot_unbind(slot);
	slot->bound = bound;
	__atomic_store_n(&slot->bound_bytes, bytes, __ATOMIC_RELAXED);
}

bool fl__bound_is_intact(struct fl__slot *slot)
{
	const struct fl__bound *bound = slot->bound;

	if (memcmp(slot->space.base, bound->bytes,
		   (size_t)bound->length_bytes) != 0) {
		fl__bound_changed(slot);
		return false;
	}
	slot->changes -= slot->changes != 0;
	return true;
}

void fl__bound_changed(struct fl__slot *slot)
{
	slot->changes += CHANGE_WEIGHT;
}

void fl__slot_unbind(struct fl__slot *slot)
{
	if (!slot->bound)
		return;
	free(slot->bound);
	slot->bound = NULL;
	__atomic_store_n(&slot->bound_bytes, 0, __ATOMIC_RELAXED);
}
