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
 * A table is an anonymous range of its own, kept mapped, and reset over its
 * size as the memory is: dropped, zeroed whole, or scanned. The runtime's
 * structure is not pooled there: calloc() and free() each time.
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

#define REGIONS 64
#define REGIONS_LIMIT 32

struct cow {
	const struct bench_case *c;
	uint8_t *base;
	uint64_t accessible_bytes;
	bool attached;
	struct bench_parts parts;
};

/* What is reset at once: image bytes, and zeroes beyond the image. */
struct range {
	uint8_t *at;
	uint64_t bytes;
	const uint8_t *image;
	uint64_t image_bytes;
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
	err = bench_table_map(c, &cow->parts.table);
	if (!err)
		err = bench_slot_reserve(&cow->base);
	if (err) {
		bench_table_unmap(c, cow->parts.table);
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
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
		 0) == MAP_FAILED)
		return -errno;
	if (mmap(cow->base, c->image_bytes, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, c->memfd,
		 0) == MAP_FAILED)
		return -errno;
	cow->attached = true;
	cow->accessible_bytes = c->image_bytes;
	return 0;
}

static int cow_take(void *state, uint8_t **base)
{
	struct cow *cow = state;

	*base = cow->base;
	if (!cow->c->structure_bytes)
		return 0;
	cow->parts.structure = calloc(1, cow->c->structure_bytes);
	return cow->parts.structure ? 0 : -ENOMEM;
}

static void cow_parts(void *state, struct bench_parts *parts)
{
	struct cow *cow = state;

	*parts = cow->parts;
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

/* The last step of each way to give. */
static int shrink(struct cow *cow)
{
	const struct bench_case *c = cow->c;

	free(cow->parts.structure);
	cow->parts.structure = NULL;
	if (cow->accessible_bytes == c->image_bytes)
		return 0;
	cow->accessible_bytes = c->image_bytes;
	return bench_slot_deny(cow->base + c->image_bytes, c->grow_bytes);
}

static struct range memory_of(const struct cow *cow)
{
	return (struct range){ cow->base, cow->accessible_bytes, cow->c->image,
			       cow->c->image_bytes };
}

/* Whole host pages; of 0 bytes if there is no table. */
static struct range table_of(const struct cow *cow)
{
	uint64_t mask = cow->c->hpage_bytes - 1;

	return (struct range){ .at = cow->parts.table,
			       .bytes = (cow->c->table_bytes + mask) & ~mask };
}

static void restore(const struct range *range, uint64_t from, uint64_t to)
{
	uint64_t copied = to < range->image_bytes ? to : range->image_bytes;

	if (from < copied) {
		memcpy(range->at + from, range->image + from, copied - from);
		from = copied;
	}
	if (from < to)
		memset(range->at + from, 0, to - from);
}

/*
 * One scan of [*at, end of the range). Restores what it finds, moves *at to
 * where the walk ended.
 */
static int scan_once(const struct cow *cow, const struct range *range,
		     uint64_t *at, uint64_t limit)
{
	struct page_region regions[REGIONS];
	const uint64_t base = (uintptr_t)range->at;
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.start = base + *at,
		.end = base + range->bytes,
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
		restore(range, regions[i].start - base, regions[i].end - base);
	*at = arg.walk_end - base;
	return 0;
}

static int give_dontneed(void *state)
{
	struct cow *cow = state;
	struct range table = table_of(cow);
	int err = bench_slot_drop(cow->base, cow->accessible_bytes);

	if (!err && table.bytes)
		err = bench_slot_drop(table.at, table.bytes);
	return err ? err : shrink(cow);
}

static int give_keep(void *state)
{
	struct cow *cow = state;

	struct range memory = memory_of(cow), table = table_of(cow);

	restore(&memory, 0, memory.bytes);
	restore(&table, 0, table.bytes);
	return shrink(cow);
}

static int scan_all(const struct cow *cow, struct range range)
{
	uint64_t at = 0;
	int err = 0;

	while (!err && at < range.bytes)
		err = scan_once(cow, &range, &at, REGIONS);
	return err;
}

static int give_scan(void *state)
{
	struct cow *cow = state;
	int err = scan_all(cow, memory_of(cow));

	if (!err)
		err = scan_all(cow, table_of(cow));
	return err ? err : shrink(cow);
}

static int scan_32(const struct cow *cow, struct range range)
{
	uint64_t at = 0;
	int err = 0;

	if (range.bytes)
		err = scan_once(cow, &range, &at, REGIONS_LIMIT);
	if (!err && at < range.bytes)
		err = bench_slot_drop(range.at + at, range.bytes - at);
	return err;
}

static int give_scan_32(void *state)
{
	struct cow *cow = state;
	int err = scan_32(cow, memory_of(cow));

	if (!err)
		err = scan_32(cow, table_of(cow));
	return err ? err : shrink(cow);
}

static int cow_detach(void *state)
{
	struct cow *cow = state;

	cow->attached = false;
	if (mmap(cow->base, cow->c->image_bytes, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
		 0) == MAP_FAILED)
		return -errno;
	return 0;
}

static void cow_teardown(void *state)
{
	struct cow *cow = state;

	bench_slot_release(cow->base);
	bench_table_unmap(cow->c, cow->parts.table);
	free(cow->parts.structure);
	free(cow);
}

const struct bench_competitor bench_cow_dontneed = {
	.name = "cow-dontneed",
	.note = "CoW image, DONTNEED: Wasmtime's default",
	.features = "memfd",
	.setup = cow_setup,
	.attach = cow_attach,
	.take = cow_take,
	.parts = cow_parts,
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
	.parts = cow_parts,
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
	.parts = cow_parts,
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
	.parts = cow_parts,
	.grow = cow_grow,
	.give = give_scan_32,
	.detach = cow_detach,
	.teardown = cow_teardown,
};
