/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * records.h - structs of one size that come and go, whose memory can be given
 * back while somebody may still hold the address of one.
 *
 * Takes a size; gives records, zeroed or as their last holder left them. A
 * record that was given has its bytes until fl__records_tidy() gives its host
 * pages to the system. From then on it reads as zeroes, in part or whole. So
 * whoever asks a record that is long gone gets a "no" and never a fault: the
 * address space stays until fl__records_fini().
 *
 * Records lie in slabs of 64, and the lowest free one of a slab is taken first,
 * so that the others' pages become free together. Giving tidies by itself when
 * spare records hold more than a limit and than twice what the last time had to
 * leave, so that the price of tidying is spread over what was given.
 *
 * No locks: the caller has one. Calls of the system are made by tidying, and
 * once for 64 records.
 */
#ifndef FL_RECORDS_H
#define FL_RECORDS_H

#include "os/os.h"

struct fl__slab {
	struct fl__slab *next;		/* of all */
	struct fl__slab *roomy;		/* of those with room */
	uint8_t *start;
	uint64_t taken, known;		/* a bit a record */
	bool is_roomy;
};

struct fl__records {
	size_t record_bytes;
	uint64_t limit_bytes;		/* of spare records */
	uint64_t known_count, taken_count;
	uint64_t left_bytes;		/* spare after the last tidying */
	struct fl__slab *all, *roomy;
};

/* Records of at most limit_bytes beside those that are taken, as far as whole
 * host pages allow. */
void fl__records_init(struct fl__records *records, size_t record_bytes,
		      uint64_t limit_bytes);
/* All records are gone, taken or not. */
void fl__records_fini(struct fl__records *records);

/* NULL: no memory. *slab is for fl__records_give(). */
void *fl__records_take(struct fl__records *records, struct fl__slab **slab);
void fl__records_give(struct fl__records *records, struct fl__slab *slab,
		      void *record);

/* Give back the host pages in which no record is taken: so many bytes. */
uint64_t fl__records_tidy(struct fl__records *records);

/* What records take, those that are taken among them. */
static inline uint64_t fl__records_bytes(const struct fl__records *records)
{
	return records->known_count * records->record_bytes;
}

#endif
