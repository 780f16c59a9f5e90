/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * competitors_grow.c - ways to give back what a memory grew by.
 *
 * The image is mapped privately and never touched in bench_grow; what these
 * differ in is the grown part only: how it becomes accessible, zero again,
 * and inaccessible again. None resets the image, so they are of use in
 * bench_grow alone.
 *
 * mprotect-dontneed: Wasmtime's way, two mprotects and a DONTNEED.
 * mprotect-memset: the pages stay resident and all are zeroed.
 * thp-mprotect-memset: the same on 2 MiB pages, where the host allows them.
 * mmap-fixed: shrinking is PROT_NONE memory mapped over it.
 * guard-dontneed: MADV_GUARD_INSTALL in place of mprotect.
 * accessible-memset: left accessible, all grown memory zeroed (bounds are
 *	checked in code).
 * accessible-floor: left accessible, only touched pages zeroed, which it is
 *	told. Not a competitor: a floor.
 */
#include "competitors.h"
#include "kernel_abi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HUGE_BYTES ((uint64_t)2 << 20)

struct growing {
	const struct bench_case *c;
	uint8_t *slot;
	uint8_t *base;
	uint8_t *tail; /* what is grown */
};

static int growing_setup(const struct bench_case *c,
			 const struct bench_guest *guest, void **state)
{
	struct growing *g = calloc(1, sizeof(*g));
	int err;

	(void)guest;
	if (!g)
		return -ENOMEM;
	g->c = c;
	err = bench_slot_reserve(&g->slot);
	if (err) {
		free(g);
		return err;
	}
	/* The tail begins on a huge page's boundary for all of them. */
	g->base = g->slot + (-c->image_bytes & (HUGE_BYTES - 1));
	g->tail = g->base + c->image_bytes;
	*state = g;
	return 0;
}

static int growing_attach(void *state)
{
	struct growing *g = state;

	if (mmap(g->base, g->c->image_bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, g->c->memfd,
		 0) == MAP_FAILED)
		return -errno;
	return 0;
}

static int growing_take(void *state, uint8_t **base)
{
	struct growing *g = state;

	*base = g->base;
	return 0;
}

static void growing_teardown(void *state)
{
	struct growing *g = state;

	bench_slot_release(g->slot);
	free(g);
}

static int grow_allow(void *state)
{
	struct growing *g = state;

	return bench_slot_allow(g->tail, g->c->grow_bytes);
}

static int give_dontneed(void *state)
{
	struct growing *g = state;
	int err = bench_slot_drop(g->tail, g->c->grow_bytes);

	return err ? err : bench_slot_deny(g->tail, g->c->grow_bytes);
}

static int give_memset(void *state)
{
	struct growing *g = state;

	memset(g->tail, 0, g->c->grow_bytes);
	return bench_slot_deny(g->tail, g->c->grow_bytes);
}

static bool have_thp(const struct bench_case *c, char *reason, size_t size)
{
	FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");
	char line[64] = "";

	(void)c;
	if (f && !fgets(line, sizeof(line), f))
		line[0] = '\0';
	if (f)
		fclose(f);
	if (strstr(line, "[always]") || strstr(line, "[madvise]"))
		return true;
	snprintf(reason, size, "transparent huge pages are off");
	return false;
}

static int huge_attach(void *state)
{
	struct growing *g = state;
	uint64_t bytes = (g->c->grow_bytes + HUGE_BYTES - 1) &
			 ~(HUGE_BYTES - 1);
	int err = growing_attach(state);

	if (!err)
		err = bench_slot_allow(g->tail, bytes);
	if (!err && madvise(g->tail, bytes, MADV_HUGEPAGE))
		err = -errno;
	if (err)
		return err;
	memset(g->tail, 0, bytes);
	return bench_slot_deny(g->tail, bytes);
}

static int give_remap(void *state)
{
	struct growing *g = state;

	if (mmap(g->tail, g->c->grow_bytes, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
		 0) == MAP_FAILED)
		return -errno;
	return 0;
}

static bool have_guard(const struct bench_case *c, char *reason, size_t size)
{
	uint8_t *slot;
	int err = bench_slot_reserve(&slot);

	if (!err && madvise(slot, c->hpage_bytes, MADV_GUARD_INSTALL))
		err = -errno;
	if (!err || err != -ENOMEM)
		bench_slot_release(slot);
	if (err)
		snprintf(reason, size,
			 "MADV_GUARD_INSTALL: %s (Linux 6.13 "
			 "has it)",
			 strerror(-err));
	return !err;
}

static int guard_install(struct growing *g)
{
	/* It zaps the pages itself: no DONTNEED before it. */
	return madvise(g->tail, g->c->grow_bytes, MADV_GUARD_INSTALL) ? -errno :
									0;
}

static int guard_attach(void *state)
{
	struct growing *g = state;
	int err = growing_attach(state);

	if (!err)
		err = bench_slot_allow(g->tail, g->c->grow_bytes);
	return err ? err : guard_install(g);
}

static int guard_grow(void *state)
{
	struct growing *g = state;

	return madvise(g->tail, g->c->grow_bytes, MADV_GUARD_REMOVE) ? -errno :
								       0;
}

static int guard_give(void *state)
{
	return guard_install(state);
}

static int accessible_attach(void *state)
{
	int err = growing_attach(state);

	return err ? err : grow_allow(state);
}

static int accessible_grow(void *state)
{
	(void)state;
	return 0;
}

static int accessible_give(void *state)
{
	struct growing *g = state;

	memset(g->tail, 0, g->c->grow_bytes);
	return 0;
}

static int floor_give(void *state)
{
	struct growing *g = state;
	const struct bench_case *c = g->c;

	for (size_t i = 0; i < c->n_grow; i++)
		memset(g->tail + c->grow_idx[i] * c->hpage_bytes, 0,
		       c->hpage_bytes);
	return 0;
}

#define GROWING(attach_, grow_, give_)                                   \
	.setup = growing_setup, .attach = attach_, .take = growing_take, \
	.grow = grow_, .give = give_, .teardown = growing_teardown

const struct bench_competitor bench_grow_dontneed = {
	.name = "mprotect-dontneed",
	.note = "mprotect, DONTNEED, mprotect: Wasmtime",
	.features = "",
	GROWING(growing_attach, grow_allow, give_dontneed),
};

const struct bench_competitor bench_grow_memset = {
	.name = "mprotect-memset",
	.note = "mprotect both ways, kept resident, all zeroed",
	.features = "",
	GROWING(growing_attach, grow_allow, give_memset),
};

const struct bench_competitor bench_grow_huge = {
	.name = "thp-mprotect-memset",
	.note = "the same on 2 MiB pages",
	.features = "thp",
	.probe = have_thp,
	GROWING(huge_attach, grow_allow, give_memset),
};

const struct bench_competitor bench_grow_remap = {
	.name = "mmap-fixed",
	.note = "mprotect, then new PROT_NONE memory over it",
	.features = "",
	GROWING(growing_attach, grow_allow, give_remap),
};

const struct bench_competitor bench_grow_guard = {
	.name = "guard-dontneed",
	.note = "guard markers in place of mprotect",
	.features = "guard-markers",
	.probe = have_guard,
	GROWING(guard_attach, guard_grow, guard_give),
};

const struct bench_competitor bench_grow_accessible = {
	.name = "accessible-memset",
	.note = "left accessible, all of it zeroed",
	.features = "",
	GROWING(accessible_attach, accessible_grow, accessible_give),
};

const struct bench_competitor bench_grow_floor = {
	.name = "accessible-floor",
	.note = "(floor) left accessible, told what to zero",
	.features = "",
	GROWING(accessible_attach, accessible_grow, floor_give),
};
