/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* bound.c - copies of what stays in slots; see bound.h. */
#include "bound.h"
#include "base/copy.h"

/* Growth weighs as much as so many tenants that let nothing grow. */
#define GROWTH_WEIGHT 16

#define LINE FL__COPY_LINE

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
	if (slot->spurned == serial && slot->outgrown > GROWTH_WEIGHT)
		return;
	bound = malloc((size_t)bytes);
	if (!bound)
		return;
	if (slot->spurned != serial)
		slot->outgrown = 0;
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

static void lines_back(uint8_t *at, const uint8_t *copy, size_t count)
{
	uint64_t mask = fl__copy_differ(at, copy, count);

	for (; mask; mask &= mask - 1) {
		size_t off = (size_t)__builtin_ctzll(mask) * LINE;

		memcpy(at + off, copy + off, LINE);
	}
}

void fl__bound_bring_back(struct fl__slot *slot)
{
	const struct fl__bound *bound = slot->bound;
	size_t end = (size_t)bound->length_bytes, off = 0;

	while (end - off >= LINE) {
		size_t count = (size_t)fl_min_u64((end - off) / LINE, 64);

		lines_back(slot->space.base + off, bound->bytes + off, count);
		off += count * LINE;
	}
	memcpy(slot->space.base + off, bound->bytes + off, end - off);
	slot->outgrown -= slot->outgrown != 0;
}

void fl__bound_outgrown(struct fl__slot *slot)
{
	slot->outgrown += GROWTH_WEIGHT;
}

void fl__slot_unbind(struct fl__slot *slot)
{
	if (!slot->bound)
		return;
	free(slot->bound);
	slot->bound = NULL;
	__atomic_store_n(&slot->bound_bytes, 0, __ATOMIC_RELAXED);
}
