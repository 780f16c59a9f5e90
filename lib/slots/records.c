/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* records.c - slabs of 64 records; see records.h. */
#include "records.h"

#include <stdlib.h>
#include <string.h>

#define SLAB_RECORDS 64

/* Below this no tidying pays. */
#define SPARE_MIN_BYTES ((uint64_t)64 << 10)

static uint64_t slab_bytes(const struct fl__records *records)
{
	return fl_round_up(SLAB_RECORDS * (uint64_t)records->record_bytes,
			   fl__os_hpage_bytes());
}

static uint64_t count_of(uint64_t bits)
{
	return (uint64_t)__builtin_popcountll(bits);
}

static uint64_t spare_bytes(const struct fl__records *records)
{
	return (records->known_count - records->taken_count) *
	       records->record_bytes;
}

void fl__records_init(struct fl__records *records, size_t record_bytes,
		      uint64_t limit_bytes)
{
	*records = (struct fl__records){
		.record_bytes = record_bytes,
		.limit_bytes = fl_max_u64(limit_bytes, SPARE_MIN_BYTES),
	};
}

void fl__records_fini(struct fl__records *records)
{
	struct fl__slab *slab;

	while ((slab = records->all)) {
		records->all = slab->next;
		fl__os_release(slab->start, slab_bytes(records));
		free(slab);
	}
}

static struct fl__slab *slab_open(struct fl__records *records)
{
	struct fl__slab *slab = calloc(1, sizeof(*slab));
	uint64_t bytes = slab_bytes(records);

	if (!slab)
		return NULL;
	if (fl__os_reserve(bytes, fl__os_hpage_bytes(), &slab->start)) {
		free(slab);
		return NULL;
	}
	if (fl__os_allow(slab->start, bytes)) {
		fl__os_release(slab->start, bytes);
		free(slab);
		return NULL;
	}
	slab->next = records->all;
	records->all = records->roomy = slab;
	slab->is_roomy = true;
	return slab;
}

void *fl__records_take(struct fl__records *records, struct fl__slab **out)
{
	struct fl__slab *slab = records->roomy ? records->roomy :
						 slab_open(records);
	uint64_t idx, bit;
	uint8_t *record;

	if (!slab)
		return NULL;
	idx = (uint64_t)__builtin_ctzll(~slab->taken);
	bit = (uint64_t)1 << idx;
	record = slab->start + idx * records->record_bytes;
	if (!(slab->known & bit)) {
		/* A page that it shares may have been left. */
		memset(record, 0, records->record_bytes);
		slab->known |= bit;
		records->known_count++;
	}
	slab->taken |= bit;
	records->taken_count++;
	if (!~slab->taken) {
		records->roomy = slab->roomy;
		slab->is_roomy = false;
	}
	*out = slab;
	return record;
}

void fl__records_give(struct fl__records *records, struct fl__slab *slab,
		      void *record)
{
	uint64_t idx = (uint64_t)((uint8_t *)record - slab->start) /
		       records->record_bytes;

	slab->taken &= ~((uint64_t)1 << idx);
	records->taken_count--;
	if (!slab->is_roomy) {
		slab->roomy = records->roomy;
		records->roomy = slab;
		slab->is_roomy = true;
	}
	if (spare_bytes(records) >
	    fl_max_u64(records->limit_bytes, 2 * records->left_bytes))
		(void)fl__records_tidy(records);
}

/* The records that have a byte within a range of their slab. */
static uint64_t records_within(const struct fl__records *records, uint64_t off,
			       uint64_t len)
{
	uint64_t first = off / records->record_bytes;
	uint64_t last = fl_min_u64((off + len - 1) / records->record_bytes,
				   SLAB_RECORDS - 1);

	return first > last ? 0 :
			      UINT64_MAX << first &
				      UINT64_MAX >> (SLAB_RECORDS - 1 - last);
}

/* Drop a run of pages that have no taken record. */
static void run_drop(struct fl__records *records, struct fl__slab *slab,
		     uint64_t off, uint64_t len)
{
	uint64_t gone = records_within(records, off, len) & slab->known;

	if (!gone || fl__os_discard(slab->start + off, len))
		return;
	slab->known &= ~gone;
	records->known_count -= count_of(gone);
}

static void slab_tidy(struct fl__records *records, struct fl__slab *slab)
{
	uint64_t hpage_bytes = fl__os_hpage_bytes(), end = slab_bytes(records);
	uint64_t from = 0;

	for (uint64_t off = 0; off < end; off += hpage_bytes) {
		if (!(records_within(records, off, hpage_bytes) & slab->taken))
			continue;
		if (off > from)
			run_drop(records, slab, from, off - from);
		from = off + hpage_bytes;
	}
	if (end > from)
		run_drop(records, slab, from, end - from);
}

uint64_t fl__records_tidy(struct fl__records *records)
{
	uint64_t before = fl__records_bytes(records);

	for (struct fl__slab *slab = records->all; slab; slab = slab->next) {
		if (slab->known & ~slab->taken)
			slab_tidy(records, slab);
	}
	records->left_bytes = spare_bytes(records);
	return before - fl__records_bytes(records);
}
