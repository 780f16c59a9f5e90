/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * lane.c - one competitor on one thread: its steps, and their verification.
 *
 * `taken` says whether the guest may touch the memory. Verification compares
 * each byte of a taken memory with the image, and of newly grown memory, of
 * the table and of the structure with zero. It reads every page, which warms
 * the slot: figures of a run with --verify are not those of a run without.
 */
#include "bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int bench_lane_open(struct bench_lane *lane, const struct bench_competitor *k,
		    const struct bench_case *c, unsigned int thread_idx)
{
	int err;

	*lane = (struct bench_lane){ .competitor = k, .c = c };
	err = bench_guest_init(&lane->guest, c, thread_idx);
	if (!err)
		err = k->setup(c, &lane->guest, &lane->state);
	return err;
}

void bench_lane_close(struct bench_lane *lane)
{
	if (lane->state)
		lane->competitor->teardown(lane->state);
	lane->state = NULL;
	free(lane->guest.drawn_idx);
	lane->guest.drawn_idx = NULL;
}

int bench_lane_attach(struct bench_lane *lane)
{
	if (!lane->competitor->attach)
		return 0;
	return lane->competitor->attach(lane->state);
}

int bench_lane_take(struct bench_lane *lane)
{
	int err = lane->competitor->take(lane->state, &lane->base);

	lane->taken = !err;
	if (!err && bench_case_has_parts(lane->c))
		lane->competitor->parts(lane->state, &lane->parts);
	return err;
}

int bench_lane_touch(struct bench_lane *lane)
{
	const struct bench_case *c = lane->c;
	int err;

	bench_guest_touch(&lane->guest, c, lane->base);
	if (bench_case_has_parts(c))
		bench_guest_touch_parts(&lane->guest, c, &lane->parts);
	if (!c->grow_bytes)
		return 0;
	err = lane->competitor->grow(lane->state);
	if (!err)
		bench_guest_touch_grown(&lane->guest, c, lane->base);
	return err;
}

int bench_lane_give(struct bench_lane *lane)
{
	lane->taken = false;
	return lane->competitor->give(lane->state);
}

int bench_lane_detach(struct bench_lane *lane)
{
	if (!lane->competitor->detach)
		return 0;
	return lane->competitor->detach(lane->state);
}

int bench_lane_cycle(struct bench_lane *lane)
{
	int err = bench_lane_take(lane);

	if (!err)
		err = bench_lane_touch(lane);
	if (!err)
		err = bench_lane_give(lane);
	return err;
}

static int compare(const struct bench_lane *lane, char *why, size_t why_size)
{
	const struct bench_case *c = lane->c;

	if (!memcmp(lane->base, c->image, c->image_bytes))
		return 0;
	for (uint64_t off = 0; off < c->image_bytes; off++) {
		if (lane->base[off] == c->image[off])
			continue;
		snprintf(why, why_size,
			 "VERIFY: byte %llu (host page %llu) "
			 "is 0x%02x, the image has 0x%02x",
			 (unsigned long long)off,
			 (unsigned long long)(off / c->hpage_bytes),
			 lane->base[off], c->image[off]);
		break;
	}
	return -EILSEQ;
}

static int compare_zero(const uint8_t *at, uint64_t bytes, const char *what,
			char *why, size_t why_size)
{
	for (uint64_t off = 0; off < bytes; off++) {
		if (!at[off])
			continue;
		snprintf(why, why_size,
			 "VERIFY: byte %llu of %s is 0x%02x, "
			 "must be 0",
			 (unsigned long long)off, what, at[off]);
		return -EILSEQ;
	}
	return 0;
}

static int compare_parts(const struct bench_lane *lane, char *why,
			 size_t why_size)
{
	const struct bench_case *c = lane->c;
	int err = compare_zero(lane->parts.table, c->table_bytes, "the table",
			       why, why_size);

	return err ? err :
		     compare_zero(lane->parts.structure, c->structure_bytes,
				  "the structure", why, why_size);
}

static int verify_taken(struct bench_lane *lane, char *why, size_t why_size)
{
	int err = compare(lane, why, why_size);

	if (!err)
		err = compare_parts(lane, why, why_size);
	if (err || !lane->c->grow_bytes)
		return err;
	err = lane->competitor->grow(lane->state);
	if (err) {
		snprintf(why, why_size, "VERIFY: grow: %s", strerror(-err));
		return err;
	}
	return compare_zero(lane->base + lane->c->image_bytes,
			    lane->c->grow_bytes, "grown memory", why, why_size);
}

/* A lane that was taken, but not yet touched, stays taken. */
int bench_lane_verify(struct bench_lane *lane, char *why, size_t why_size)
{
	bool was_taken = lane->taken;
	int err = was_taken ? 0 : bench_lane_take(lane);

	if (err) {
		snprintf(why, why_size, "VERIFY: take: %s", strerror(-err));
		return err;
	}
	if (was_taken)
		return compare(lane, why, why_size);
	err = verify_taken(lane, why, why_size);
	if (err)
		return err;
	err = bench_lane_give(lane);
	if (err)
		snprintf(why, why_size, "VERIFY: give: %s", strerror(-err));
	return err;
}
