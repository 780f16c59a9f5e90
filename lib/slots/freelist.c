/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* freelist.c - choosing free indices; see freelist.h. */
#include "freelist.h"

#include <errno.h>
#include <stdlib.h>

enum {
	COLD = 0,
	USED,
	FREE,
	RETIRED
};

int fl__freelist_init(struct fl__freelist *list, uint32_t capacity,
		      enum fl_strategy strategy, uint32_t max_warm,
		      uint64_t seed)
{
	uint32_t buckets = 1;

	while (buckets < capacity && buckets < UINT32_C(1) << 30)
		buckets <<= 1;
	*list = (struct fl__freelist){
		.strategy = strategy,
		.capacity = capacity,
		.max_warm = max_warm,
		.warm = { FL__IDX_NONE, FL__IDX_NONE, 0 },
		.emptied = { FL__IDX_NONE, FL__IDX_NONE, 0 },
		.unused_group = capacity ? 0 : FL__IDX_NONE,
		.bucket_mask = buckets - 1,
		.random_state = seed,
		.entries = calloc((size_t)capacity + 1, sizeof(*list->entries)),
		.groups = calloc((size_t)capacity + 1, sizeof(*list->groups)),
		.buckets = malloc(buckets * sizeof(*list->buckets)),
		.free_order =
			calloc((size_t)capacity + 1, sizeof(*list->free_order)),
	};
	if (!list->entries || !list->groups || !list->buckets ||
	    !list->free_order) {
		fl__freelist_fini(list);
		return -ENOMEM;
	}
	memset(list->buckets, 0xff, buckets * sizeof(*list->buckets));
	for (uint32_t i = 0; i < capacity; i++) {
		list->entries[i].group = FL__IDX_NONE;
		list->groups[i].next = i + 1 < capacity ? i + 1 : FL__IDX_NONE;
	}
	return 0;
}

void fl__freelist_fini(struct fl__freelist *list)
{
	free(list->entries);
	free(list->groups);
	free(list->buckets);
	free(list->free_order);
	*list = (struct fl__freelist){ 0 };
}

/* splitmix64: affinities are small serial numbers, and want spreading. */
static uint64_t mix(uint64_t value)
{
	value += UINT64_C(0x9e3779b97f4a7c15);
	value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
	return value ^ (value >> 31);
}

static uint32_t *bucket_of(const struct fl__freelist *list, uint64_t affinity)
{
	return &list->buckets[mix(affinity) & list->bucket_mask];
}

static uint32_t group_find(const struct fl__freelist *list, uint64_t affinity)
{
	uint32_t group = *bucket_of(list, affinity);

	while (group != FL__IDX_NONE &&
	       list->groups[group].affinity != affinity)
		group = list->groups[group].next;
	return group;
}

static uint32_t group_make(struct fl__freelist *list, uint64_t affinity)
{
	uint32_t *bucket = bucket_of(list, affinity);
	uint32_t group = list->unused_group;

	fl_assert(group != FL__IDX_NONE);
	list->unused_group = list->groups[group].next;
	list->groups[group] = (struct fl__freelist_group){
		.affinity = affinity,
		.members = { FL__IDX_NONE, FL__IDX_NONE, 0 },
		.next = *bucket,
	};
	*bucket = group;
	return group;
}

static void group_drop(struct fl__freelist *list, uint32_t group)
{
	uint32_t *link = bucket_of(list, list->groups[group].affinity);

	while (*link != group)
		link = &list->groups[*link].next;
	*link = list->groups[group].next;
	list->groups[group].next = list->unused_group;
	list->unused_group = group;
}

/* Make a free index the youngest of a list; at[which] is its place there. */
static void list_add(struct fl__freelist *list, struct fl__freelist_list *to,
		     enum fl__freelist_which which, uint32_t idx)
{
	struct fl__freelist_entry *entries = list->entries;

	entries[idx].at[which] = (struct fl__freelist_place){
		.older = to->youngest,
		.younger = FL__IDX_NONE,
	};
	if (to->youngest != FL__IDX_NONE)
		entries[to->youngest].at[which].younger = idx;
	else
		to->oldest = idx;
	to->youngest = idx;
	to->count++;
}

static void list_remove(struct fl__freelist *list,
			struct fl__freelist_list *from,
			enum fl__freelist_which which, uint32_t idx)
{
	struct fl__freelist_entry *entries = list->entries;
	struct fl__freelist_place at = entries[idx].at[which];

	if (at.older != FL__IDX_NONE)
		entries[at.older].at[which].younger = at.younger;
	else
		from->oldest = at.younger;
	if (at.younger != FL__IDX_NONE)
		entries[at.younger].at[which].older = at.older;
	else
		from->youngest = at.older;
	from->count--;
}

/* The list by age that a free index is in. */
static struct fl__freelist_list *ages_of(struct fl__freelist *list,
					 uint32_t idx)
{
	return list->entries[idx].affinity ? &list->warm : &list->emptied;
}

static uint32_t use_free(struct fl__freelist *list, uint32_t idx)
{
	struct fl__freelist_entry *entry;
	struct fl__freelist_list *group;
	uint32_t last;

	if (idx == FL__IDX_NONE)
		return idx;
	entry = &list->entries[idx];
	last = list->free_order[--list->free_count];
	list->free_order[entry->position] = last;
	list->entries[last].position = entry->position;
	list_remove(list, ages_of(list, idx), FL__FREELIST_AGES, idx);
	group = &list->groups[entry->group].members;
	list_remove(list, group, FL__FREELIST_GROUP, idx);
	if (!group->count)
		group_drop(list, entry->group);
	entry->group = FL__IDX_NONE;
	entry->state = USED;
	list->used_count++;
	return idx;
}

static uint32_t use_cold(struct fl__freelist *list)
{
	if (list->cold_next == list->capacity)
		return FL__IDX_NONE;
	list->entries[list->cold_next].state = USED;
	list->used_count++;
	return list->cold_next++;
}

uint32_t fl__freelist_take_affine(struct fl__freelist *list, uint64_t affinity)
{
	uint32_t group = group_find(list, affinity);

	if (group == FL__IDX_NONE)
		return FL__IDX_NONE;
	return use_free(list, list->groups[group].members.youngest);
}

uint32_t fl__freelist_take_oldest(struct fl__freelist *list)
{
	return use_free(list, list->warm.oldest);
}

bool fl__freelist_take_emptied(struct fl__freelist *list, uint32_t idx)
{
	const struct fl__freelist_entry *entry = &list->entries[idx];

	return entry->state == FREE && !entry->affinity &&
	       use_free(list, idx) == idx;
}

static uint32_t take_youngest(struct fl__freelist *list)
{
	uint32_t warm = list->warm.youngest;
	uint32_t emptied = list->emptied.youngest;

	if (warm == FL__IDX_NONE ||
	    (emptied != FL__IDX_NONE &&
	     list->entries[emptied].freed > list->entries[warm].freed))
		return use_free(list, emptied);
	return use_free(list, warm);
}

static uint32_t take_random(struct fl__freelist *list)
{
	uint64_t choices =
		(uint64_t)list->free_count + list->capacity - list->cold_next;
	uint64_t choice;

	if (!choices)
		return FL__IDX_NONE;
	choice = mix(list->random_state++) % choices;
	if (choice < list->free_count)
		return use_free(list, list->free_order[choice]);
	return use_cold(list);
}

static uint32_t take_by_affinity(struct fl__freelist *list, uint64_t affinity)
{
	uint32_t idx = fl__freelist_take_affine(list, affinity);

	if (idx == FL__IDX_NONE)
		idx = fl__freelist_take_affine(list, 0);
	if (idx == FL__IDX_NONE && list->warm.count < list->max_warm)
		idx = use_cold(list);
	if (idx == FL__IDX_NONE)
		idx = fl__freelist_take_oldest(list);
	return idx == FL__IDX_NONE ? use_cold(list) : idx;
}

uint32_t fl__freelist_take(struct fl__freelist *list, uint64_t affinity)
{
	uint32_t idx;

	if (list->strategy == FL_STRATEGY_REUSE_AFFINITY)
		return take_by_affinity(list, affinity);
	if (list->strategy == FL_STRATEGY_RANDOM)
		return take_random(list);
	idx = take_youngest(list);
	return idx == FL__IDX_NONE ? use_cold(list) : idx;
}

void fl__freelist_give(struct fl__freelist *list, uint32_t idx,
		       uint64_t affinity)
{
	struct fl__freelist_entry *entry = &list->entries[idx];

	fl_assert(entry->state == USED);
	list->used_count--;
	/* The stock reads affinities without the lock, and mostly has written
	 * this one already. */
	if (entry->affinity != affinity)
		entry->affinity = affinity;
	entry->state = FREE;
	entry->freed = list->given++;
	entry->position = list->free_count;
	list->free_order[list->free_count++] = idx;
	list_add(list, ages_of(list, idx), FL__FREELIST_AGES, idx);
	entry->group = group_find(list, affinity);
	if (entry->group == FL__IDX_NONE)
		entry->group = group_make(list, affinity);
	list_add(list, &list->groups[entry->group].members, FL__FREELIST_GROUP,
		 idx);
	fl_assert_full(fl__freelist_is_valid(list));
}

void fl__freelist_retire(struct fl__freelist *list, uint32_t idx)
{
	fl_assert(list->entries[idx].state == USED);
	list->used_count--;
	list->retired_count++;
	list->entries[idx].state = RETIRED;
}

void fl__freelist_recall(struct fl__freelist *list, uint32_t idx)
{
	fl_assert(list->entries[idx].state == RETIRED);
	list->retired_count--;
	list->used_count++;
	list->entries[idx].state = USED;
}

static bool ages_are_valid(const struct fl__freelist *list,
			   const struct fl__freelist_list *ages, bool is_warm)
{
	uint32_t count = 0;
	uint64_t freed = 0;

	for (uint32_t i = ages->oldest; i != FL__IDX_NONE;
	     i = list->entries[i].at[FL__FREELIST_AGES].younger) {
		const struct fl__freelist_entry *entry = &list->entries[i];

		if (entry->state != FREE || (entry->affinity != 0) != is_warm ||
		    entry->group == FL__IDX_NONE ||
		    list->free_order[entry->position] != i ||
		    entry->freed < freed || ++count > list->capacity)
			return false;
		freed = entry->freed;
	}
	return count == ages->count;
}

bool fl__freelist_is_valid(const struct fl__freelist *list)
{
	uint32_t by_state[4] = { 0 };

	for (uint32_t i = 0; i < list->capacity; i++)
		by_state[list->entries[i].state]++;
	return ages_are_valid(list, &list->warm, true) &&
	       ages_are_valid(list, &list->emptied, false) &&
	       list->warm.count + list->emptied.count == list->free_count &&
	       by_state[FREE] == list->free_count &&
	       by_state[USED] == list->used_count &&
	       by_state[RETIRED] == list->retired_count &&
	       by_state[COLD] == list->capacity - list->cold_next;
}
