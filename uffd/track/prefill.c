/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* prefill.c - the list behind prefill.h. */
#include "prefill.h"

/* Pairs with the release in list_unlock(). */
static bool list_trylock(struct fl__prefill *prefill)
{
	return !__atomic_test_and_set(&prefill->is_locked, __ATOMIC_ACQUIRE);
}

static void list_unlock(struct fl__prefill *prefill)
{
	__atomic_clear(&prefill->is_locked, __ATOMIC_RELEASE);
}

/* Keep pages that are in the other list too. Both lists go upwards. */
static void list_intersect(struct fl__prefill_list *list,
			   const struct fl__prefill_list *other)
{
	uint32_t kept = 0, at = 0;

	for (uint32_t i = 0; i < list->count; i++) {
		while (at < other->count && other->hpages[at] < list->hpages[i])
			at++;
		if (at < other->count && other->hpages[at] == list->hpages[i])
			list->hpages[kept++] = list->hpages[i];
	}
	list->count = kept;
}

void fl__prefill_get(struct fl__prefill *prefill, struct fl__prefill_list *list,
		     uint32_t *turn)
{
	list->count = 0;
	*turn = 0;
	if (!list_trylock(prefill))
		return;
	if (prefill->rounds >= FL__PREFILL_ROUNDS)
		*list = prefill->list;
	*turn = prefill->turn++;
	list_unlock(prefill);
}

void fl__prefill_learn(struct fl__prefill *prefill,
		       const struct fl__prefill_list *written)
{
	if (!list_trylock(prefill))
		return;
	if (prefill->rounds)
		list_intersect(&prefill->list, written);
	else
		prefill->list = *written;
	if (!prefill->list.count)
		prefill->rounds = 0;
	else if (prefill->rounds < FL__PREFILL_ROUNDS)
		prefill->rounds++;
	list_unlock(prefill);
}
