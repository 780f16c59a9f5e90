/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * freelist.h - which free index to hand out.
 *
 * Takes indices back, each with the affinity that the index was last used for;
 * gives the index that costs the next user least. Pure: no lock, no clock, no
 * system call; the caller serialises. Every operation is O(1), as far as the
 * hash keeps its chains short.
 *
 * An index is cold (never used), used, free, or retired. A free index is in one
 * of two lists by age: warm indices in one, emptied indices, which have
 * affinity 0, in the other. A free index is also in the list of its affinity's
 * group. With reuse affinity a taker gets: the youngest free index of its own
 * affinity; else the youngest emptied one; else, while fewer than max_warm are
 * warm, a cold one; else the oldest warm one; else a cold one. With
 * next-available a taker gets the youngest free index, else a cold one; with
 * random, any index that is free or cold, uniformly.
 *
 * Invariant: cold + used + free + retired = capacity.
 */
#ifndef FL_FREELIST_H
#define FL_FREELIST_H

#include "faultline.h"
#include "base/util.h"

#define FL__IDX_NONE	UINT32_MAX

/* The two lists that a free index is in. */
enum fl__freelist_which {
	FL__FREELIST_AGES,
	FL__FREELIST_GROUP,
};

struct fl__freelist_place {
	uint32_t older, younger;
};

/* Free indices, by age. */
struct fl__freelist_list {
	uint32_t oldest, youngest, count;
};

struct fl__freelist_entry {
	fl_atomic64 affinity;	/* of the last user; 0: none */
	uint64_t freed;		/* how many indices were given before */
	struct fl__freelist_place at[2];	/* by fl__freelist_which */
	uint32_t group;		/* FL__IDX_NONE: in no group */
	uint32_t position;	/* in free_order, for random */
	uint8_t state;
};

/* Free indices of one affinity. There are never more groups than indices. */
struct fl__freelist_group {
	uint64_t affinity;
	struct fl__freelist_list members;
	uint32_t next;		/* in its hash chain, or of unused groups */
};

struct fl__freelist {
	enum fl_strategy strategy;
	uint32_t capacity;
	uint32_t max_warm;
	uint32_t cold_next;	/* first index never used */
	uint32_t free_count, used_count, retired_count;
	struct fl__freelist_list warm, emptied;	/* with an affinity, without */
	uint64_t given;
	uint32_t unused_group;
	uint32_t bucket_mask;
	uint64_t random_state;
	struct fl__freelist_entry *entries;
	struct fl__freelist_group *groups;
	uint32_t *buckets;
	uint32_t *free_order;	/* read by the random strategy alone */
};

/* -ENOMEM. */
int fl__freelist_init(struct fl__freelist *list, uint32_t capacity,
		   enum fl_strategy strategy, uint32_t max_warm,
		   uint64_t seed);
void fl__freelist_fini(struct fl__freelist *list);

/* FL__IDX_NONE when nothing is free. */
uint32_t fl__freelist_take(struct fl__freelist *list, uint64_t affinity);

/* Only an index that is free and of this affinity. */
uint32_t fl__freelist_take_affine(struct fl__freelist *list, uint64_t affinity);

/* The oldest free index that has any affinity: for trimming. */
uint32_t fl__freelist_take_oldest(struct fl__freelist *list);

/* Only this index, and only if it is free and has no affinity. */
bool fl__freelist_take_emptied(struct fl__freelist *list, uint32_t idx);

/* affinity 0: the slot was emptied, and serves all affinities alike. */
void fl__freelist_give(struct fl__freelist *list, uint32_t idx, uint64_t affinity);
void fl__freelist_retire(struct fl__freelist *list, uint32_t idx);
/* A retired index is used again. */
void fl__freelist_recall(struct fl__freelist *list, uint32_t idx);

bool fl__freelist_is_valid(const struct fl__freelist *list);

#endif
