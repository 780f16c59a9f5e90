/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * competitors.c - slots, and the competitors that need no kernel feature.
 *
 * mmap-memcpy: what most C runtimes do. Each instance reserves 8 GiB, makes
 * the memory accessible and copies the data segments; free is munmap. Table
 * and structure are calloc'ed each time.
 *
 * plain-mmap: a private mapping of the image and nothing around it. It has
 * no slot, no guard and no reset, and shows what attaching cannot go below.
 *
 * memcpy-floor: resident anonymous memory and a memcpy of exactly the pages
 * that were written, which it is told. Not a competitor: a floor.
 */
#include "competitors.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int bench_slot_reserve(uint8_t **base)
{
	const uint64_t size = BENCH_SLOT_BYTES;
	uint64_t head;
	uint8_t *at;

	at = mmap(NULL, 2 * size, PROT_NONE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	head = -(uint64_t)(uintptr_t)at & (size - 1);
	if (head)
		munmap(at, head);
	munmap(at + head + size, size - head);
	*base = at + head;
	return 0;
}

void bench_slot_release(uint8_t *base)
{
	munmap(base, BENCH_SLOT_BYTES);
}

int bench_slot_allow(uint8_t *at, uint64_t bytes)
{
	return mprotect(at, bytes, PROT_READ | PROT_WRITE) ? -errno : 0;
}

int bench_slot_deny(uint8_t *at, uint64_t bytes)
{
	return mprotect(at, bytes, PROT_NONE) ? -errno : 0;
}

int bench_slot_drop(uint8_t *at, uint64_t bytes)
{
	return madvise(at, bytes, MADV_DONTNEED) ? -errno : 0;
}

int bench_table_map(const struct bench_case *c, uint8_t **table)
{
	void *at = NULL;

	if (c->table_bytes) {
		at = mmap(NULL, c->table_bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED)
			return -errno;
	}
	*table = at;
	return 0;
}

void bench_table_unmap(const struct bench_case *c, uint8_t *table)
{
	if (table)
		munmap(table, c->table_bytes);
}

struct plain {
	const struct bench_case *c;
	const struct bench_guest *guest;
	uint8_t *base;
	struct bench_parts parts;
};

static void plain_parts(void *state, struct bench_parts *parts)
{
	struct plain *p = state;

	*parts = p->parts;
}

static int plain_setup(const struct bench_case *c,
		       const struct bench_guest *guest, void **state)
{
	struct plain *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->c = c;
	p->guest = guest;
	*state = p;
	return 0;
}

static int mmap_memcpy_take(void *state, uint8_t **base)
{
	struct plain *p = state;
	uint8_t *at = mmap(NULL, BENCH_SLOT_BYTES, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int err;

	if (at == MAP_FAILED)
		return -errno;
	p->base = at;
	err = bench_slot_allow(at, p->c->image_bytes);
	if (err)
		return err;
	memcpy(at, p->c->image, p->c->image_bytes);
	*base = at;
	if (!bench_case_has_parts(p->c))
		return 0;
	/* One byte more: calloc(0) may answer NULL. */
	p->parts.table = calloc(1, p->c->table_bytes + 1);
	p->parts.structure = calloc(1, p->c->structure_bytes + 1);
	return p->parts.table && p->parts.structure ? 0 : -ENOMEM;
}

static void mmap_memcpy_free_parts(struct plain *p)
{
	free(p->parts.table);
	free(p->parts.structure);
	p->parts = (struct bench_parts){ 0 };
}

static int mmap_memcpy_grow(void *state)
{
	struct plain *p = state;

	return bench_slot_allow(p->base + p->c->image_bytes, p->c->grow_bytes);
}

static int mmap_memcpy_give(void *state)
{
	struct plain *p = state;
	int err = munmap(p->base, BENCH_SLOT_BYTES) ? -errno : 0;

	mmap_memcpy_free_parts(p);
	p->base = NULL;
	return err;
}

static void mmap_memcpy_teardown(void *state)
{
	struct plain *p = state;

	if (p->base)
		munmap(p->base, BENCH_SLOT_BYTES);
	mmap_memcpy_free_parts(p);
	free(p);
}

const struct bench_competitor bench_mmap_memcpy = {
	.name = "mmap-memcpy",
	.note = "mmap, copy the image, munmap: most C runtimes",
	.features = "",
	.setup = plain_setup,
	.take = mmap_memcpy_take,
	.parts = plain_parts,
	.grow = mmap_memcpy_grow,
	.give = mmap_memcpy_give,
	.teardown = mmap_memcpy_teardown,
};

static int plain_mmap_take(void *state, uint8_t **base)
{
	struct plain *p = state;
	uint8_t *at = mmap(NULL, p->c->image_bytes, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_NORESERVE, p->c->memfd, 0);

	if (at == MAP_FAILED)
		return -errno;
	*base = p->base = at;
	return 0;
}

static int plain_mmap_give(void *state)
{
	struct plain *p = state;
	int err = munmap(p->base, p->c->image_bytes) ? -errno : 0;

	p->base = NULL;
	return err;
}

static void plain_mmap_teardown(void *state)
{
	struct plain *p = state;

	if (p->base)
		munmap(p->base, p->c->image_bytes);
	free(p);
}

const struct bench_competitor bench_plain_mmap = {
	.name = "plain-mmap",
	.note = "private mapping of the image, munmap: no slot, no guard",
	.features = "memfd",
	.setup = plain_setup,
	.take = plain_mmap_take,
	.give = plain_mmap_give,
	.teardown = plain_mmap_teardown,
};

static void floor_teardown(void *state)
{
	struct plain *p = state;

	munmap(p->base, p->c->image_bytes + p->c->grow_bytes);
	bench_table_unmap(p->c, p->parts.table);
	free(p->parts.structure);
	free(p);
}

static int floor_setup_parts(struct plain *p)
{
	int err = bench_table_map(p->c, &p->parts.table);

	if (!err && p->c->structure_bytes) {
		p->parts.structure = aligned_alloc(
			p->c->hpage_bytes,
			(p->c->structure_bytes + p->c->hpage_bytes - 1) &
				~(p->c->hpage_bytes - 1));
		if (!p->parts.structure)
			return -ENOMEM;
		memset(p->parts.structure, 0, p->c->structure_bytes);
	}
	if (!err && p->parts.table)
		memset(p->parts.table, 0, p->c->table_bytes);
	return err;
}

static int floor_setup(const struct bench_case *c,
		       const struct bench_guest *guest, void **state)
{
	uint64_t bytes = c->image_bytes + c->grow_bytes;
	struct plain *p;
	int err = plain_setup(c, guest, state);

	if (err)
		return err;
	p = *state;
	p->base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->base == MAP_FAILED) {
		err = -errno;
		free(p);
		*state = NULL;
		return err;
	}
	memcpy(p->base, c->image, c->image_bytes);
	memset(p->base + c->image_bytes, 0, c->grow_bytes);
	err = floor_setup_parts(p);
	if (err) {
		floor_teardown(p);
		*state = NULL;
	}
	return err;
}

static int floor_take(void *state, uint8_t **base)
{
	struct plain *p = state;

	*base = p->base;
	return 0;
}

static int floor_grow(void *state)
{
	(void)state;
	return 0;
}

static void copy_back(const struct bench_case *c, uint8_t *base,
		      const uint32_t *idx, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t off = idx[i] * c->hpage_bytes;

		memcpy(base + off, c->image + off, c->hpage_bytes);
	}
}

/* The last page of a table may be a part of one. */
static void zero_hpages(const struct bench_case *c, uint8_t *at, uint64_t bytes,
			const uint32_t *idx, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t off = idx[i] * c->hpage_bytes;
		uint64_t left = bytes - off;

		memset(at + off, 0,
		       left < c->hpage_bytes ? left : c->hpage_bytes);
	}
}

static int floor_give(void *state)
{
	struct plain *p = state;
	const struct bench_case *c = p->c;

	copy_back(c, p->base, c->write_idx, c->n_writes);
	copy_back(c, p->base, p->guest->drawn_idx, p->guest->n_drawn);
	zero_hpages(c, p->base + c->image_bytes, c->grow_bytes, c->grow_idx,
		    c->n_grow);
	zero_hpages(c, p->parts.table, c->table_bytes, c->table_idx,
		    c->n_table);
	zero_hpages(c, p->parts.structure, c->structure_bytes, c->structure_idx,
		    c->n_structure);
	return 0;
}

const struct bench_competitor bench_memcpy_floor = {
	.name = "memcpy-floor",
	.note = "(floor) resident, told what to copy back",
	.features = "",
	.setup = floor_setup,
	.take = floor_take,
	.parts = plain_parts,
	.grow = floor_grow,
	.give = floor_give,
	.teardown = floor_teardown,
};
