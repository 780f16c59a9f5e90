/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * prefill.h - which pages does the first tenant of a slot write?
 *
 * The first write to a page of a fresh slot is a page fault that copies the
 * image's page. Tenants of one image mostly write the same pages. So one call a
 * run can copy these pages before the tenant comes, for half the price. Pages
 * that a large folio maps are left out: splitting the folio costs the reads
 * more than the writes gain (kernel-notes/private-mappings.md).
 *
 * Takes, from the first release of each fresh slot, the pages that were
 * written; gives the pages that all first tenants wrote since the list began,
 * once there were enough first tenants. The list only shrinks, and an empty
 * list begins anew. The caller reports no page that was prefilled in vain, so
 * such a page goes off the list. An image whose tenants have nothing in common
 * is not prefilled at all. A list has at most FL__PREFILL_MAX_HPAGES, so that a
 * wrong guess costs little.
 *
 * Wrong or missing knowledge costs time and memory, never cleanliness: a page
 * made private ahead of its first write is a private page like any other.
 *
 * Any thread. A caller that finds the list in use goes without. Pure.
 */
#ifndef FL_PREFILL_H
#define FL_PREFILL_H

#include "base/util.h"

#define FL__PREFILL_MAX_HPAGES	64
/* So many first tenants must have written a page. */
#define FL__PREFILL_ROUNDS	3

/* Host pages of a slot, counted from its base, upwards. */
struct fl__prefill_list {
	uint32_t count;
	uint32_t hpages[FL__PREFILL_MAX_HPAGES];
};

/* One image's. All zero: nothing is known. */
struct fl__prefill {
	bool is_locked;			/* atomic */
	uint32_t turn;			/* how often the list was asked for */
	uint32_t rounds;		/* first tenants since the list began */
	struct fl__prefill_list list;
};

/* Get the pages to prefill now; none as long as too little is known. *turn gets
 * another number each time. */
void fl__prefill_get(struct fl__prefill *prefill,
		     struct fl__prefill_list *list, uint32_t *turn);

/* A first tenant has written these pages; the list holds the first ones. */
void fl__prefill_learn(struct fl__prefill *prefill,
		       const struct fl__prefill_list *written);

/* Add a page that lies above the last one; false when the list is full. */
static inline bool fl__prefill_add(struct fl__prefill_list *list,
				   uint32_t hpage)
{
	if (list->count == FL__PREFILL_MAX_HPAGES)
		return false;
	list->hpages[list->count++] = hpage;
	return true;
}

/* How many pages from number i on lie one after the other. */
static inline uint32_t fl__prefill_run(const struct fl__prefill_list *list,
				       uint32_t i)
{
	uint32_t len = 1;

	while (i + len < list->count &&
	       list->hpages[i + len] == list->hpages[i] + len)
		len++;
	return len;
}

#endif
