/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/*
 * competitors_cow.c - private mappings of a sealed memfd, kept mapped, as
 * Wasmtime's pooling allocator has them; four ways to reset.
 *
 * cow-dontneed: one MADV_DONTNEED over the accessible range. Its default.
 * cow-keep: everything kept resident, the whole range copied back.
 * cow-scan: everything kept resident; PAGEMAP_SCAN finds pages that are
 *	written, present, not file and not the zero page, and those are
 *	copied back. Looped over until the walk ends.
 * cow-scan-32: the same as released: one scan of up to 32 regions, the rest
 *	of the range is given to MADV_DONTNEED.
 *
 * The scan asks for PRESENT pages as Wasmtime's does, so on a host that
 * swaps it can miss a written page, and verification may say so. It never
 * write-protects: a page once written is found at each reset.
 *
 * Taking a slot that holds the image is free of system calls. The order of
 * steps follows the description of Wasmtime 48 (image switch: anonymous
 * memory over the old image's extent, then the new image over that).
 */
#include "competitors.h"
#include "kernel_abi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REGIONS		64
#define REGIONS_LIMIT	32

struct cow {
	const struct bench_case *c;
	uint8_t *base;
	uint64_t accessible_bytes;
	bool attached;
};

static bool have_scan(const struct bench_case *c, char *reason, size_t size)
{
	struct pm_scan_arg arg = { .size = sizeof(arg) };

	if (c->pagemap_fd < 0) {
		snprintf(reason, size, "/proc/self/pagemap cannot be opened");
		return false;
	}
	if (ioctl(c->pagemap_fd, PAGEMAP_SCAN, &arg) < 0) {
		snprintf(reason, size, "PAGEMAP_SCAN: %s (Linux 6.7 has it)",
			 strerror(errno));
		return false;
	}
	return true;
}

static int cow_setup(const struct bench_case *c,
		     const struct bench_guest *guest, void **state)
{
	struct cow *cow = calloc(1, sizeof(*cow));
	int err;

	(void)guest;
	if (!cow)
		return -ENOMEM;
	cow->c = c;
	err = bench_slot_reserve(&cow->base);
	if (err) {
		free(cow);
		return err;
	}
	*state = cow;
	return 0;
}

static int cow_attach(void *state)
{
	struct cow *cow = state;
	const struct bench_case *c = cow->c;

	if (cow->attached &&
	    mmap(cow->base, c->image_bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
		 -1, 0) == MAP_FAILED)
		return -errno;
	if (mmap(cow->base, c->image_bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, c->memfd, 0) ==
	    MAP_FAILED)
		return -errno;
	cow->attached = true;
	cow->accessible_bytes = c->image_bytes;
	return 0;
}

static int cow_take(void *state, uint8_t **base)
{
	struct cow *cow = state;

	*base = cow->base;
	return 0;
}

static int cow_grow(void *state)
{
	struct cow *cow = state;
	const struct bench_case *c = cow->c;
	int err = bench_slot_allow(cow->base + c->image_bytes, c->grow_bytes);

	if (!err)
		cow->accessible_bytes = c->image_bytes + c->grow_bytes;
	return err;
}

static int shrink(struct cow *cow)
{
	const struct bench_case *c = cow->c;

	if (cow->accessible_bytes == c->image_bytes)
		return 0;
	cow->accessible_bytes = c->image_bytes;
	return bench_slot_deny(cow->base + c->image_bytes, c->grow_bytes);
}

/* Image bytes where there is an image, zeroes beyond. */
static void restore(const struct cow *cow, uint64_t from, uint64_t to)
{
	const struct bench_case *c = cow->c;
	uint64_t copied = to < c->image_bytes ? to : c->image_bytes;

	if (from < copied) {
		memcpy(cow->base + from, c->image + from, copied - from);
		from = copied;
	}
	if (from < to)
		memset(cow->base + from, 0, to - from);
}

/*
 * One scan of [*at, accessible). Restores what it finds, moves *at to where
 * the walk ended.
 */
static int scan_once(struct cow *cow, uint64_t *at, uint64_t limit)
{
	struct page_region regions[REGIONS];
	const uint64_t base = (uintptr_t)cow->base;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = base + *at,
		.end = base + cow->accessible_bytes,
		.vec = (uintptr_t)regions,
		.vec_len = limit,
		.category_inverted = PAGE_IS_PFNZERO | PAGE_IS_FILE,
		.category_mask = PAGE_IS_WRITTEN | PAGE_IS_PRESENT |
				 PAGE_IS_PFNZERO | PAGE_IS_FILE,
	};
	int n = ioctl(cow->c->pagemap_fd, PAGEMAP_SCAN, &arg);

	if (n < 0)
		return -errno;
	for (int i = 0; i < n; i++)
		restore(cow, regions[i].start - base, regions[i].end - base);
	*at = arg.walk_end - base;
	return 0;
}

static int give_dontneed(void *state)
{
	struct cow *cow = state;
	int err = bench_slot_drop(cow->base, cow->accessible_bytes);

	return err ? err : shrink(cow);
}

static int give_keep(void *state)
{
	struct cow *cow = state;

	restore(cow, 0, cow->accessible_bytes);
	return shrink(cow);
}

static int give_scan(void *state)
{
	struct cow *cow = state;
	uint64_t at = 0;
	int err = 0;

	while (!err && at < cow->accessible_bytes)
		err = scan_once(cow, &at, REGIONS);
	return err ? err : shrink(cow);
}

static int give_scan_32(void *state)
{
	struct cow *cow = state;
	uint64_t at = 0;
	int err = scan_once(cow, &at, REGIONS_LIMIT);

	if (!err && at < cow->accessible_bytes)
		err = bench_slot_drop(cow->base + at,
				      cow->accessible_bytes - at);
	return err ? err : shrink(cow);
}

static int cow_detach(void *state)
{
	struct cow *cow = state;

	cow->attached = false;
	if (mmap(cow->base, cow->c->image_bytes, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
		 -1, 0) == MAP_FAILED)
		return -errno;
	return 0;
}

static void cow_teardown(void *state)
{
	struct cow *cow = state;

	bench_slot_release(cow->base);
	free(cow);
}

const struct bench_competitor bench_cow_dontneed = {
	.name = "cow-dontneed",
	.note = "CoW image, DONTNEED: Wasmtime's default",
	.features = "memfd",
	.setup = cow_setup,
	.attach = cow_attach,
	.take = cow_take,
	.grow = cow_grow,
	.give = give_dontneed,
	.detach = cow_detach,
	.teardown = cow_teardown,
};

const struct bench_competitor bench_cow_keep = {
	.name = "cow-keep",
	.note = "CoW image, all copied back: Wasmtime keep-resident",
	.features = "memfd",
	.setup = cow_setup,
	.attach = cow_attach,
	.take = cow_take,
	.grow = cow_grow,
	.give = give_keep,
	.detach = cow_detach,
	.teardown = cow_teardown,
};

const struct bench_competitor bench_cow_scan = {
	.name = "cow-scan",
	.note = "CoW image, scan + copy back: Wasmtime's best, no limit",
	.features = "memfd, pagemap-scan",
	.probe = have_scan,
	.setup = cow_setup,
	.attach = cow_attach,
	.take = cow_take,
	.grow = cow_grow,
	.give = give_scan,
	.detach = cow_detach,
	.teardown = cow_teardown,
};

const struct bench_competitor bench_cow_scan_32 = {
	.name = "cow-scan-32",
	.note = "the same, 32 regions, then DONTNEED: as released",
	.features = "memfd, pagemap-scan",
	.probe = have_scan,
	.setup = cow_setup,
	.attach = cow_attach,
	.take = cow_take,
	.grow = cow_grow,
	.give = give_scan_32,
	.detach = cow_detach,
	.teardown = cow_teardown,
};
