/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* slots.c - choosing free indices; see slots.h. */
#include "slots.h"

#include <errno.h>
#include <stdlib.h>

enum {
	COLD = 0,
	USED,
	FREE,
	RETIRED
};

int fl__slots_init(struct fl__slots *slots, uint32_t capacity,
		   enum fl_strategy strategy, uint32_t max_warm, uint64_t seed)
{
	uint32_t buckets = 1;

	while (buckets < capacity && buckets < UINT32_C(1) << 30)
		buckets <<= 1;
	*slots = (struct fl__slots){
		.strategy = strategy,
		.capacity = capacity,
		.max_warm = max_warm,
		.warm = { FL__SLOT_NONE, FL__SLOT_NONE, 0 },
		.emptied = { FL__SLOT_NONE, FL__SLOT_NONE, 0 },
		.unused_group = capacity ? 0 : FL__SLOT_NONE,
		.bucket_mask = buckets - 1,
		.random_state = seed,
		.entries =
			calloc((size_t)capacity + 1, sizeof(*slots->entries)),
		.groups = calloc((size_t)capacity + 1, sizeof(*slots->groups)),
		.buckets = malloc(buckets * sizeof(*slots->buckets)),
		.free_order = calloc((size_t)capacity + 1,
				     sizeof(*slots->free_order)),
	};
	if (!slots->entries || !slots->groups || !slots->buckets ||
	    !slots->free_order) {
		fl__slots_fini(slots);
		return -ENOMEM;
	}
	memset(slots->buckets, 0xff, buckets * sizeof(*slots->buckets));
	for (uint32_t i = 0; i < capacity; i++) {
		slots->entries[i].group = FL__SLOT_NONE;
		slots->groups[i].next = i + 1 < capacity ? i + 1 :
							   FL__SLOT_NONE;
	}
	return 0;
}

void fl__slots_fini(struct fl__slots *slots)
{
	free(slots->entries);
	free(slots->groups);
	free(slots->buckets);
	free(slots->free_order);
	slots->entries = NULL;
	slots->groups = NULL;
	slots->buckets = NULL;
	slots->free_order = NULL;
	slots->capacity = 0;
}

/* splitmix64: affinities are small serial numbers, and want spreading. */
static uint64_t mix(uint64_t value)
{
	value += UINT64_C(0x9e3779b97f4a7c15);
	value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
	return value ^ (value >> 31);
}

static uint32_t *bucket_of(const struct fl__slots *slots, uint64_t affinity)
{
	return &slots->buckets[mix(affinity) & slots->bucket_mask];
}

static uint32_t group_find(const struct fl__slots *slots, uint64_t affinity)
{
	uint32_t group = *bucket_of(slots, affinity);

	while (group != FL__SLOT_NONE &&
	       slots->groups[group].affinity != affinity)
		group = slots->groups[group].next;
	return group;
}

static uint32_t group_make(struct fl__slots *slots, uint64_t affinity)
{
	uint32_t *bucket = bucket_of(slots, affinity);
	uint32_t group = slots->unused_group;

	fl_assert(group != FL__SLOT_NONE);
	slots->unused_group = slots->groups[group].next;
	slots->groups[group] = (struct fl__slots_group){
		.affinity = affinity,
		.oldest = FL__SLOT_NONE,
		.youngest = FL__SLOT_NONE,
		.next = *bucket,
	};
	*bucket = group;
	return group;
}

static void group_drop(struct fl__slots *slots, uint32_t group)
{
	uint32_t *link = bucket_of(slots, slots->groups[group].affinity);

	while (*link != group)
		link = &slots->groups[*link].next;
	*link = slots->groups[group].next;
	slots->groups[group].next = slots->unused_group;
	slots->unused_group = group;
}

static void group_add(struct fl__slots *slots, uint32_t idx, uint64_t affinity)
{
	struct fl__slots_entry *entry = &slots->entries[idx];
	uint32_t group = group_find(slots, affinity);
	struct fl__slots_group *to;

	if (group == FL__SLOT_NONE)
		group = group_make(slots, affinity);
	to = &slots->groups[group];
	entry->group = group;
	entry->group_older = to->youngest;
	entry->group_younger = FL__SLOT_NONE;
	if (to->youngest != FL__SLOT_NONE)
		slots->entries[to->youngest].group_younger = idx;
	else
		to->oldest = idx;
	to->youngest = idx;
}

static void group_remove(struct fl__slots *slots, uint32_t idx)
{
	struct fl__slots_entry *entry = &slots->entries[idx];
	struct fl__slots_group *from = &slots->groups[entry->group];

	if (entry->group_older != FL__SLOT_NONE)
		slots->entries[entry->group_older].group_younger =
			entry->group_younger;
	else
		from->oldest = entry->group_younger;
	if (entry->group_younger != FL__SLOT_NONE)
		slots->entries[entry->group_younger].group_older =
			entry->group_older;
	else
		from->youngest = entry->group_older;
	if (from->oldest == FL__SLOT_NONE)
		group_drop(slots, entry->group);
	entry->group = FL__SLOT_NONE;
}

/* The list by age that a free index is in. */
static struct fl__slots_list *list_of(struct fl__slots *slots, uint32_t idx)
{
	return slots->entries[idx].affinity ? &slots->warm : &slots->emptied;
}

static void list_add(struct fl__slots *slots, uint32_t idx)
{
	struct fl__slots_list *to = list_of(slots, idx);
	struct fl__slots_entry *entry = &slots->entries[idx];

	entry->freed = slots->given++;
	entry->older = to->youngest;
	entry->younger = FL__SLOT_NONE;
	if (to->youngest != FL__SLOT_NONE)
		slots->entries[to->youngest].younger = idx;
	else
		to->oldest = idx;
	to->youngest = idx;
	to->count++;
}

static void list_remove(struct fl__slots *slots, uint32_t idx)
{
	struct fl__slots_list *from = list_of(slots, idx);
	const struct fl__slots_entry *entry = &slots->entries[idx];

	if (entry->older != FL__SLOT_NONE)
		slots->entries[entry->older].younger = entry->younger;
	else
		from->oldest = entry->younger;
	if (entry->younger != FL__SLOT_NONE)
		slots->entries[entry->younger].older = entry->older;
	else
		from->youngest = entry->older;
	from->count--;
}

static void free_add(struct fl__slots *slots, uint32_t idx)
{
	struct fl__slots_entry *entry = &slots->entries[idx];

	entry->state = FREE;
	entry->position = slots->free_count;
	slots->free_order[slots->free_count++] = idx;
	list_add(slots, idx);
	group_add(slots, idx, entry->affinity);
}

static void free_remove(struct fl__slots *slots, uint32_t idx)
{
	const struct fl__slots_entry *entry = &slots->entries[idx];
	uint32_t last = slots->free_order[--slots->free_count];

	slots->free_order[entry->position] = last;
	slots->entries[last].position = entry->position;
	list_remove(slots, idx);
	group_remove(slots, idx);
}

static uint32_t use_free(struct fl__slots *slots, uint32_t idx)
{
	if (idx == FL__SLOT_NONE)
		return idx;
	free_remove(slots, idx);
	slots->entries[idx].state = USED;
	slots->used_count++;
	return idx;
}

static uint32_t use_cold(struct fl__slots *slots)
{
	if (slots->cold_next == slots->capacity)
		return FL__SLOT_NONE;
	slots->entries[slots->cold_next].state = USED;
	slots->used_count++;
	return slots->cold_next++;
}

uint32_t fl__slots_take_affine(struct fl__slots *slots, uint64_t affinity)
{
	uint32_t group = group_find(slots, affinity);

	if (group == FL__SLOT_NONE)
		return FL__SLOT_NONE;
	return use_free(slots, slots->groups[group].youngest);
}

uint32_t fl__slots_take_oldest(struct fl__slots *slots)
{
	return use_free(slots, slots->warm.oldest);
}

static uint32_t take_youngest(struct fl__slots *slots)
{
	uint32_t warm = slots->warm.youngest;
	uint32_t emptied = slots->emptied.youngest;

	if (warm == FL__SLOT_NONE ||
	    (emptied != FL__SLOT_NONE &&
	     slots->entries[emptied].freed > slots->entries[warm].freed))
		return use_free(slots, emptied);
	return use_free(slots, warm);
}

static uint32_t take_random(struct fl__slots *slots)
{
	uint64_t choices = (uint64_t)slots->free_count + slots->capacity -
			   slots->cold_next;
	uint64_t choice;

	if (!choices)
		return FL__SLOT_NONE;
	choice = mix(slots->random_state++) % choices;
	if (choice < slots->free_count)
		return use_free(slots, slots->free_order[choice]);
	return use_cold(slots);
}

static uint32_t take_by_affinity(struct fl__slots *slots, uint64_t affinity)
{
	uint32_t idx = fl__slots_take_affine(slots, affinity);

	if (idx == FL__SLOT_NONE)
		idx = fl__slots_take_affine(slots, 0);
	if (idx == FL__SLOT_NONE && slots->warm.count < slots->max_warm)
		idx = use_cold(slots);
	if (idx == FL__SLOT_NONE)
		idx = fl__slots_take_oldest(slots);
	return idx == FL__SLOT_NONE ? use_cold(slots) : idx;
}

uint32_t fl__slots_take(struct fl__slots *slots, uint64_t affinity)
{
	uint32_t idx;

	switch (slots->strategy) {
	case FL_STRATEGY_RANDOM:
		return take_random(slots);
	case FL_STRATEGY_NEXT_AVAILABLE:
		idx = take_youngest(slots);
		return idx == FL__SLOT_NONE ? use_cold(slots) : idx;
	case FL_STRATEGY_REUSE_AFFINITY:
		break;
	}
	return take_by_affinity(slots, affinity);
}

void fl__slots_give(struct fl__slots *slots, uint32_t idx, uint64_t affinity)
{
	fl_assert(slots->entries[idx].state == USED);
	slots->used_count--;
	/* stock.h reads it without the lock, and has then written it. */
	if (slots->entries[idx].affinity != affinity)
		slots->entries[idx].affinity = affinity;
	free_add(slots, idx);
	fl_assert_full(fl__slots_is_valid(slots));
}

void fl__slots_retire(struct fl__slots *slots, uint32_t idx)
{
	fl_assert(slots->entries[idx].state == USED);
	slots->used_count--;
	slots->retired_count++;
	slots->entries[idx].state = RETIRED;
}

static bool list_is_valid(const struct fl__slots *slots,
			  const struct fl__slots_list *list, bool is_warm)
{
	uint32_t count = 0;
	uint64_t freed = 0;

	for (uint32_t i = list->oldest; i != FL__SLOT_NONE;
	     i = slots->entries[i].younger) {
		const struct fl__slots_entry *entry = &slots->entries[i];

		if (entry->state != FREE || (entry->affinity != 0) != is_warm ||
		    entry->group == FL__SLOT_NONE ||
		    slots->free_order[entry->position] != i ||
		    entry->freed < freed || ++count > slots->capacity)
			return false;
		freed = entry->freed;
	}
	return count == list->count;
}

bool fl__slots_is_valid(const struct fl__slots *slots)
{
	uint32_t by_state[4] = { 0 };

	for (uint32_t i = 0; i < slots->capacity; i++)
		by_state[slots->entries[i].state]++;
	return list_is_valid(slots, &slots->warm, true) &&
	       list_is_valid(slots, &slots->emptied, false) &&
	       slots->warm.count + slots->emptied.count == slots->free_count &&
	       by_state[FREE] == slots->free_count &&
	       by_state[USED] == slots->used_count &&
	       by_state[RETIRED] == slots->retired_count &&
	       by_state[COLD] == slots->capacity - slots->cold_next;
}
