/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * attack.h - a hostile tenant's tools, for the programs live/isolation*.
 *
 * attack_repeat() takes one slot through many tenancies. Each checks every byte
 * that it is given against a model, then makes the pages it has picked dirty
 * by the means under test, and releases. The picks are such that pages pass
 * through all states an engine may keep: written every time, for a while and
 * then no more, now and then, once; long runs and none; the last page, the
 * grown ones, the borders of page tables. Images are switched late, so that
 * what was learnt about one is there to be misused for another.
 *
 * One thread at a time, except where a call says otherwise.
 */
#ifndef ATTACK_H
#define ATTACK_H

#include "conform.h"
#include "random.h"

#define ATTACK_MAX_BYTES (8 * MIB)
#define ATTACK_PREFIX_BYTES 24
#define ATTACK_MAX_PICKS 192

/* What a slot shows to begin with. */
enum attack_kind {
	ATTACK_SMALL_IMAGE, /* 6 MiB, two extents with zeroes around them */
	ATTACK_LARGE_IMAGE, /* 5 MiB, data in most of it, a large folio too */
	ATTACK_NO_IMAGE, /* 3 MiB of zeroes */
	ATTACK_KINDS,
};

struct attack {
	struct conform conform;
	struct fl_image *images[ATTACK_KINDS];
	const struct model *models; /* of each kind */
	struct test_random random;
	uint64_t prefix_bytes;
	bool is_guarded; /* what is beyond the size traps */
	unsigned int cycle;
	unsigned int dirt; /* pages that were different at release */
	unsigned int evidence; /* that the event happened; up to the means */
};

/* One tenancy. */
struct tenant {
	struct attack *attack;
	struct fl_memory *memory;
	uint8_t *base;
	uint64_t length_bytes; /* with what was grown */
	enum attack_kind kind;
	unsigned int cycle;
	bool was_counted; /* the means counted its dirt itself */
	uint32_t picks[ATTACK_MAX_PICKS]; /* host pages to make dirty */
	uint32_t pick_count;
};

/* Make the picked pages dirty. */
typedef void attack_fn(struct tenant *tenant);

void attack_open(struct attack *attack, enum fl_bounds bounds);
/* The same with a configuration of its own; see attack_pool_config(). */
void attack_open_with(struct attack *attack,
		      const struct fl_pool_config *config);
void attack_pool_config(struct fl_pool_config *config);
void attack_close(struct attack *attack);

/* Does the rung of the running case tell written pages from others? Then pages
 * stay in the slot over a release, and attacks on that make sense. */
bool attack_rung_keeps_pages(void);
bool attack_rung_tracks(void);

/* Tenancy of a kind, checked at once with attack_check(). */
void attack_begin(struct attack *attack, struct tenant *tenant,
		  enum attack_kind kind);
/* Every byte, and the prefix: fails the case unless all is as it must be. */
bool attack_check(const struct tenant *tenant);
/* The first byte that is not as it must be, or MODEL_EQUAL. */
uint64_t attack_diff(const struct tenant *tenant);
void attack_grow(struct tenant *tenant, uint64_t delta_wpages);
void attack_end(struct tenant *tenant);

/* Choose pages; [first, first + count) is added. */
void attack_pick(struct tenant *tenant, uint32_t hpage_idx);
void attack_pick_run(struct tenant *tenant, uint32_t first, uint32_t count);
void attack_pick_by_cycle(struct tenant *tenant);

uint8_t *attack_picked(const struct tenant *tenant, uint32_t pick_idx);

/* Write all, or some, bytes of the picks, by plain stores. */
void attack_write(struct tenant *tenant);
/* How many of the picks differ from the slot's content: see that the means
 * worked. Reads them. */
void attack_count_dirt(struct tenant *tenant);

/* Forty tenancies in a pool with guards, then some in an accessible one; fewer
 * on rungs that learn nothing. */
void attack_repeat(attack_fn *fn);
void attack_repeat_times(attack_fn *fn, unsigned int cycles);

/* What the means leaves for the summary of attack_repeat() to demand. */
extern bool attack_wants_evidence;

/* A file with bytes that no image has, opened with the given flags, in a
 * directory where O_DIRECT works; -1 if there is none. */
#define ATTACK_FILE_BYTES (256 * KIB)
int attack_file_open(int flags);

#endif
