/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* unpack.c - unpackers of the threads that fill; see unpack.h. */
#include "unpack.h"

int fl__unpack_ready(struct fl__unpack *unpack, uint32_t count)
{
	int err = 0;

	fl_assert(count <= FL__MAX_LOAD_THREADS);
	while (!err && unpack->count < count) {
		err = fl__page_unpacker_create(
			&unpack->unpackers[unpack->count], NULL);
		unpack->count += !err;
	}
	return err;
}

void fl__unpack_fini(struct fl__unpack *unpack)
{
	fl_assert(!unpack->busy);
	while (unpack->count)
		fl__page_unpacker_destroy(unpack->unpackers[--unpack->count]);
}

/* There is one for each thread that asks: the search ends. */
static uint32_t hold(struct fl__unpack *unpack)
{
	for (uint32_t i = 0;; i = (i + 1) % unpack->count) {
		uint32_t bit = (uint32_t)1 << i;

		/* Pairs with fl__unpack_give(). */
		if (!(__atomic_load_n(&unpack->busy, __ATOMIC_RELAXED) & bit) &&
		    !(__atomic_fetch_or(&unpack->busy, bit, __ATOMIC_ACQUIRE) &
		      bit))
			return i;
	}
}

int fl__unpack_take(struct fl__unpack *unpack, const struct fl__load *load,
		    const uint8_t *stored, uint32_t *held,
		    const uint8_t **bytes)
{
	struct fl__page_unpacker *unpacker;
	uint8_t *to;

	*held = hold(unpack);
	unpacker = unpack->unpackers[*held];
	*bytes = to = fl__page_unpacker_buffer(unpacker);
	return fl__toc_unpack_blocks(&load->image->origin->toc, load->entry_idx,
				     unpacker, stored, load->part.first,
				     load->part.count, to, NULL);
}

void fl__unpack_give(struct fl__unpack *unpack, uint32_t held)
{
	__atomic_fetch_and(&unpack->busy, ~((uint32_t)1 << held),
			   __ATOMIC_RELEASE);
}
