/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * competitors.c - slots, and the competitors that need no kernel feature.
 *
 * mmap-memcpy: what most C runtimes do. Each instance reserves 8 GiB, makes
 * the memory accessible and copies the data segments; free is munmap.
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

struct plain {
	const struct bench_case *c;
	const struct bench_guest *guest;
	uint8_t *base;
};

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
	return 0;
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

	p->base = NULL;
	return err;
}

static void mmap_memcpy_teardown(void *state)
{
	struct plain *p = state;

	if (p->base)
		munmap(p->base, BENCH_SLOT_BYTES);
	free(p);
}

const struct bench_competitor bench_mmap_memcpy = {
	.name = "mmap-memcpy",
	.note = "mmap, copy the image, munmap: most C runtimes",
	.features = "",
	.setup = plain_setup,
	.take = mmap_memcpy_take,
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
	return 0;
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

static int floor_give(void *state)
{
	struct plain *p = state;
	const struct bench_case *c = p->c;

	copy_back(c, p->base, c->write_idx, c->n_writes);
	copy_back(c, p->base, p->guest->drawn_idx, p->guest->n_drawn);
	for (size_t i = 0; i < c->n_grow; i++)
		memset(p->base + c->image_bytes +
		       c->grow_idx[i] * c->hpage_bytes, 0, c->hpage_bytes);
	return 0;
}

static void floor_teardown(void *state)
{
	struct plain *p = state;

	munmap(p->base, p->c->image_bytes + p->c->grow_bytes);
	free(p);
}

const struct bench_competitor bench_memcpy_floor = {
	.name = "memcpy-floor",
	.note = "(floor) resident, told what to copy back",
	.features = "",
	.setup = floor_setup,
	.take = floor_take,
	.grow = floor_grow,
	.give = floor_give,
	.teardown = floor_teardown,
};
