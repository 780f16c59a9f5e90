/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * unpack.h - packed pages of lazy images: a layer between any source and publishing.
 *
 * Takes what a source gave of a page, in the staging buffer of its load; gives the
 * page, in the memory of an unpacker that the caller holds until it has published
 * the page. Sources know nothing of it: they are asked for the bytes that the index
 * says are stored of the part.
 *
 * Only fillers unpack. The thread that reads faults never does (it would keep every
 * other guest waiting), and gives even a page that came alone to a filler. All
 * memory is taken when the first packed image comes: to unpack allocates nothing,
 * makes no system call and takes no lock.
 */
#ifndef FL_UNPACK_H
#define FL_UNPACK_H

#include "desk.h"

struct fl__unpack {
	struct fl__page_unpacker *unpackers[FL__MAX_LOAD_THREADS];
	uint32_t count;
	uint32_t busy;	/* atomic; a bit for each that is held */
};

/* Have count unpackers, or more. -ENOTSUP, -ENOMEM. */
int fl__unpack_ready(struct fl__unpack *unpack, uint32_t count);
/* No unpacker is held. All zeroes again. */
void fl__unpack_fini(struct fl__unpack *unpack);

/* Is the load's page stored packed? And where in the file it lies, and how many bytes
 * are to be read for it. */
static inline bool fl__unpack_is_for(const struct fl__load *load)
{
	return !load->is_zero &&
	       fl__toc_is_packed(&load->image->origin->toc, load->entry_idx);
}

static inline uint64_t fl__unpack_stored(const struct fl__load *load)
{
	uint64_t len;

	if (load->is_zero)
		return FL_WPAGE_BYTES;
	(void)fl__workset_place(&load->image->set, load->entry_idx,
				load->part, &len);
	return len;
}

/* Unpack the load's part of a page from what is stored of it. *bytes is the part, not checked
 * yet, and *held the unpacker, which the caller gives back whatever is returned.
 * -ENOEXEC. */
int fl__unpack_take(struct fl__unpack *unpack, const struct fl__load *load,
		    const uint8_t *stored, uint32_t *held,
		    const uint8_t **bytes);
void fl__unpack_give(struct fl__unpack *unpack, uint32_t held);

#endif
