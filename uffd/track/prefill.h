/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * prefill.h - which pages does the first tenant of a slot write?
 *
 * The first write to a page of a fresh slot is a page fault that copies the
 * image's page. Tenants of one image mostly write the same pages, so these can
 * be copied in one call a run before the tenant comes, for half the price. That
 * is not done where a large folio maps the image: splitting the folio costs the
 * reads more than the writes gain (kernel-notes/private-mappings.md).
 *
 * Takes, from the first release of each fresh slot, the pages that were written;
 * gives the pages that all first tenants wrote since the list began, once there
 * were enough of them. The list only shrinks; when nothing is left it begins
 * anew. So what is prefilled in vain goes off the list, as long as the caller
 * leaves such pages out of what it reports; and an image whose tenants have
 * nothing in common is not prefilled at all. At most FL__PREFILL_MAX_HPAGES, so
 * that a wrong guess costs little.
 *
 * Wrong or missing knowledge costs time and memory, never cleanliness: a page
 * made private ahead of its first write is a private page like others.
 *
 * Any thread. Who finds the list in use by another goes without. Pure.
 */
#ifndef FL_PREFILL_H
#define FL_PREFILL_H

#include "base/util.h"

#define FL__PREFILL_MAX_HPAGES	64
/* So many first tenants must have written a page. */
#define FL__PREFILL_ROUNDS	3

/* Host pages of a memory, counted from its base, upwards. */
struct fl__prefill_list {
	uint32_t count;
	uint32_t hpages[FL__PREFILL_MAX_HPAGES];
};

/* One image's. All zero: nothing is known. */
struct fl__prefill {
	bool is_locked;			/* atomic */
	uint32_t turn;			/* how often it was asked for */
	uint32_t rounds;		/* first tenants since the list began */
	struct fl__prefill_list list;
};

/* What to prefill now; nothing as long as too little is known. *turn gets
 * another number each time. */
void fl__prefill_get(struct fl__prefill *prefill,
		     struct fl__prefill_list *list, uint32_t *turn);

/* A first tenant has written these, among up to FL__PREFILL_MAX_HPAGES. */
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

/* How many from number i on lie one after the other. */
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
